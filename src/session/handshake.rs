//! Which of a client's proven addresses the handshake goes by, and how much of it.
//!
//! A client may take seconds to nominate, and the handshake does not wait for that. So before there are keys nothing says
//! where the client wants to be reached: what answers a datagram goes back to where that came from, and what a timer
//! sends goes by every path that a check has proven.
//!
//! A proven path is one from which somebody sent what the client has made. Whoever copies a check, and sends it on under
//! the address of a third party, proves that address too. So a path is sent at most [`FACTOR`] times what came from it
//! (RFC 9000 8.1 has the same bound), answers to checks included, until there are keys; by then the handshake has shown
//! which path the client is on. Yet a copy may have been faster than what the client sent, so the end of a handshake that a
//! timer repeats behind the keys still goes by all of them, until something authentic came that takes keys. What is held back
//! is lost, and repeated by the timer of whoever waits for it. By TCP an address cannot be made up.
//!
//! Two hellos of ours may go to any proven path behind an answer ([`FLOOR`]), and one with a cookie to who has answered.
//! Encoders by ffmpeg send one check of 108 bytes, lose a hello that comes close behind the answer, and are silent until the
//! next; it would not fit three times that check.

use super::paths::{Carrier, PATHS_MAX, Path};

/// How many times as much may go to a path as came from it.
const FACTOR: usize = 3;
/// An answer to a check at its longest, bytes.
const ANSWER: usize = 76;
/// A hello of ours at its longest, bytes: `dtls/disguise.rs` leaves no padding in it.
const HELLO: usize = 192;
/// The same with a cookie of usual size.
const HELLO_WITH_COOKIE: usize = 240;
/// How much may go to a path however little came from it, bytes.
const FLOOR: usize = ANSWER + 2 * HELLO;

/// What came and went by a path.
#[derive(Debug)]
struct Way {
    path: Path,
    received: usize,
    sent: usize,
    /// How much may be sent however little was received.
    floor: usize,
}

/// The paths of a transport by which its handshake may go, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Ways(Vec<Way>);

impl Ways {
    /// A check of so many bytes has proven a path.
    pub(super) fn proven(&mut self, path: Path, bytes: usize) {
        if self.of(path).is_none() {
            if self.0.len() >= PATHS_MAX {
                self.0.remove(0);
            }
            self.0.push(Way { path, received: 0, sent: 0, floor: FLOOR });
        }
        if let Some(way) = self.of(path) {
            way.received = way.received.saturating_add(bytes);
        }
    }

    /// A datagram of the handshake came by a path; it counts if the path is proven.
    pub(super) fn received(&mut self, path: Path, bytes: usize) {
        if let Some(way) = self.of(path) {
            way.received = way.received.saturating_add(bytes);
            way.floor = FLOOR + HELLO_WITH_COOKIE;
        }
    }

    /// A check was answered, which is never held back: an answer is shorter than any check.
    pub(super) fn answered(&mut self, path: Path, bytes: usize) {
        if let Some(way) = self.of(path) {
            way.sent = way.sent.saturating_add(bytes);
        }
    }

    /// Takes a datagram of the handshake that answers what came by a path, or that a timer sends: by which paths it is to
    /// go, and by which of them it may.
    pub(super) fn take(
        &mut self,
        cause: Option<Path>,
        bytes: usize,
    ) -> impl Iterator<Item = (Path, bool)> + '_ {
        let ways = self.0.iter_mut().filter(move |way| cause.is_none_or(|path| way.path == path));
        ways.map(move |way| {
            let sent = way.sent.saturating_add(bytes);
            let bound = way.received.saturating_mul(FACTOR).max(way.floor);
            let may = way.path.carrier == Carrier::Tcp || sent <= bound;
            if may {
                way.sent = sent;
            }
            (way.path, may)
        })
    }

    /// The client has sent what takes keys, so that nothing of the handshake is missed any more.
    pub(super) fn close(&mut self) {
        self.0 = Vec::new();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives up a path that can no longer be reached.
    pub(super) fn forget(&mut self, path: Path) {
        self.0.retain(|way| way.path != path);
    }

    fn of(&mut self, path: Path) -> Option<&mut Way> {
        self.0.iter_mut().find(|way| way.path == path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(carrier: Carrier, port: u16) -> Path {
        let local = "192.0.2.1:40000".parse().unwrap();
        Path { carrier, local, remote: ([203, 0, 113, 7], port).into() }
    }

    fn taken(ways: &mut Ways, cause: Option<Path>, bytes: usize) -> Vec<(u16, bool)> {
        ways.take(cause, bytes).map(|(path, may)| (path.remote.port(), may)).collect()
    }

    #[test]
    fn a_path_is_sent_three_times_what_came_from_it_and_no_more() {
        let (mut ways, one) = (Ways::default(), path(Carrier::Udp, 1));
        ways.proven(one, 1000);
        ways.answered(one, 64);
        assert_eq!(taken(&mut ways, Some(one), 2937), [(1, false)]);
        assert_eq!(taken(&mut ways, Some(one), 2936), [(1, true)]);
        assert_eq!(taken(&mut ways, Some(one), 1), [(1, false)]);
        ways.received(one, 100);
        assert_eq!(taken(&mut ways, Some(one), 300), [(1, true)]);
    }

    #[test]
    fn one_short_check_is_enough_for_an_answer_and_two_hellos() {
        let (mut ways, one) = (Ways::default(), path(Carrier::Udp, 1));
        ways.proven(one, 90);
        ways.answered(one, ANSWER);
        assert_eq!(taken(&mut ways, Some(one), HELLO), [(1, true)]);
        assert_eq!(taken(&mut ways, None, HELLO), [(1, true)]);
        assert_eq!(taken(&mut ways, None, 1), [(1, false)]);
        ways.received(one, 60);
        assert_eq!(taken(&mut ways, Some(one), HELLO_WITH_COOKIE), [(1, true)]);
        assert_eq!(taken(&mut ways, Some(one), 1), [(1, false)]);
    }

    #[test]
    fn what_answers_goes_back_and_what_a_timer_sends_goes_by_every_path_that_was_proven() {
        let (mut ways, one, two) = (Ways::default(), path(Carrier::Udp, 1), path(Carrier::Udp, 2));
        ways.proven(one, 300);
        ways.proven(two, 300);
        ways.received(path(Carrier::Udp, 3), 1000);
        assert_eq!(taken(&mut ways, Some(two), 600), [(2, true)]);
        assert_eq!(taken(&mut ways, None, 600), [(1, true), (2, false)]);
        ways.forget(one);
        assert_eq!(taken(&mut ways, None, 100), [(2, true)]);
        assert_eq!(taken(&mut ways, Some(one), 1), []);
    }

    #[test]
    fn a_connection_needs_no_bound() {
        let (mut ways, one) = (Ways::default(), path(Carrier::Tcp, 1));
        ways.proven(one, 100);
        assert_eq!(taken(&mut ways, Some(one), 100_000), [(1, true)]);
    }

    #[test]
    fn more_paths_than_a_session_may_have_push_the_oldest_out() {
        let mut ways = Ways::default();
        for port in 0..=PATHS_MAX {
            ways.proven(path(Carrier::Udp, u16::try_from(port).unwrap()), 100);
        }
        assert_eq!(taken(&mut ways, None, 1).len(), PATHS_MAX);
        assert_eq!(taken(&mut ways, Some(path(Carrier::Udp, 0)), 1), []);
    }
}
