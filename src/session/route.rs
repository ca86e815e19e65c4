//! Which of a client's proven addresses media goes to.
//!
//! Owns that choice for one transport. A path comes in question only after a connectivity check from it carried the right
//! password; who calls sees to that. Four things move the route, and nothing that a stranger sends is among them:
//!
//! - the end of the handshake, by the path that it came by;
//! - a check by which the client nominates (RFC 8445 7.3.1.5), at once;
//! - an authentic packet from another path, once the present one has been quiet for [`QUIET`]: a client sends media where
//!   it wants to receive it. Firefox and aiortc do not nominate again when the NAT between has changed; their checks
//!   that keep consent fresh (RFC 7675 5.1) prove the new address, and their packets say that it is the one;
//! - a check from another path, once the present one has been quiet for [`GONE`], for clients that send no packets.
//!
//! A datagram that was copied and sent again from elsewhere is no packet (it fails the replay check), but it may be a check
//! that nominates. So a path that no packet has come by gives way to one by which they do come, [`QUIET`] after it was
//! taken, and from then on nominations count no more than other checks: whoever copies has turned media away once, for
//! that long.

use std::time::{Duration, Instant};

use super::transport::Path;

/// How long the present path must have been quiet before an authentic packet from another one moves the route: longer
/// than packets overtake each other, shorter than a viewer notices.
const QUIET: Duration = Duration::from_millis(500);
/// The same for a check that does not nominate: longer than clients pause between two checks of the path in use (Chromium
/// 2.5 seconds, Firefox and aiortc 4 to 6).
const GONE: Duration = Duration::from_secs(8);

/// The present path, and what speaks for it.
#[derive(Debug, Default)]
pub(super) struct Route {
    present: Option<Present>,
    /// A nomination has pointed to where nobody was.
    was_misled: bool,
}

#[derive(Debug)]
struct Present {
    path: Path,
    /// When it became that.
    since: Instant,
    /// When something authentic last came by it.
    heard: Instant,
    /// A packet was among it.
    has_packets: bool,
}

impl Present {
    fn new(path: Path, has_packets: bool, now: Instant) -> Self {
        Self { path, since: now, heard: now, has_packets }
    }
}

impl Route {
    pub(super) fn path(&self) -> Option<Path> {
        self.present.as_ref().map(|present| present.path)
    }

    /// Takes note of an answered check from a path.
    pub(super) fn checked(&mut self, path: Path, nominates: bool, now: Instant) {
        let patience = if nominates && !self.was_misled { Duration::ZERO } else { GONE };
        match &mut self.present {
            Some(present) if present.path == path => present.heard = now,
            Some(present) if now < present.heard + patience => {}
            present => *present = Some(Present::new(path, false, now)),
        }
    }

    /// Takes note of a packet whose authenticity and order were checked, from a proven path.
    pub(super) fn received(&mut self, path: Path, now: Instant) {
        match &mut self.present {
            Some(present) if present.path == path => (present.heard, present.has_packets) = (now, true),
            Some(present) if !present.has_packets && now >= present.since + QUIET => {
                self.was_misled = true;
                *present = Present::new(path, true, now);
            }
            Some(present) if now < present.heard + QUIET => {}
            present => *present = Some(Present::new(path, true, now)),
        }
    }

    /// Takes the path by which the client has finished the handshake, which says more than a check: nobody else could make
    /// what came by it, and no nomination was worth anything before. Later ones count as ever.
    pub(super) fn keyed(&mut self, path: Path, now: Instant) {
        self.present = Some(Present::new(path, true, now));
    }

    /// Takes the path that a full agent has settled on, which is not chosen here.
    pub(super) fn settle(&mut self, path: Option<Path>, now: Instant) {
        self.present = path.map(|path| Present::new(path, false, now));
    }

    /// Gives up a path that can no longer be reached.
    pub(super) fn forget(&mut self, path: Path) {
        self.present.take_if(|present| present.path == path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Carrier;

    fn path(port: u16) -> Path {
        let local = "192.0.2.1:40000".parse().unwrap();
        Path { carrier: Carrier::Udp, local, remote: ([203, 0, 113, 7], port).into() }
    }

    #[expect(clippy::disallowed_methods, reason = "an instant cannot be made without the clock")]
    fn now() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_nomination_moves_the_route_at_once_and_another_check_only_from_nowhere() {
        let (mut route, start) = (Route::default(), now());
        route.checked(path(1), false, start);
        assert_eq!(route.path(), Some(path(1)));
        route.checked(path(2), false, start);
        assert_eq!(route.path(), Some(path(1)));
        route.checked(path(2), true, start);
        assert_eq!(route.path(), Some(path(2)));
        route.forget(path(1));
        assert_eq!(route.path(), Some(path(2)));
        route.forget(path(2));
        assert_eq!(route.path(), None);
        route.checked(path(3), false, start);
        assert_eq!(route.path(), Some(path(3)));
    }

    #[test]
    fn packets_move_the_route_when_the_present_path_is_quiet_and_not_before() {
        let (mut route, start) = (Route::default(), now());
        route.checked(path(1), true, start);
        // Both are alive, as when somebody sends a client's datagrams from elsewhere too.
        for number in 1..20 {
            let at = start + number * QUIET / 3;
            route.received(path(1), at);
            route.received(path(2), at + QUIET / 4);
            assert_eq!(route.path(), Some(path(1)));
        }
        let last = start + 19 * QUIET / 3;
        route.received(path(2), last + QUIET * 99 / 100);
        assert_eq!(route.path(), Some(path(1)));
        route.received(path(2), last + QUIET);
        assert_eq!(route.path(), Some(path(2)));
        // What was still on its way from the former one does not move it back.
        route.received(path(1), last + QUIET + QUIET / 2);
        assert_eq!(route.path(), Some(path(2)));
    }

    #[test]
    fn checks_alone_move_the_route_once_the_present_path_is_gone() {
        let (mut route, start) = (Route::default(), now());
        route.checked(path(1), true, start);
        route.checked(path(1), false, start + GONE / 2);
        route.checked(path(2), false, start + GONE * 3 / 2 - QUIET);
        assert_eq!(route.path(), Some(path(1)));
        route.checked(path(2), false, start + GONE * 3 / 2);
        assert_eq!(route.path(), Some(path(2)));
    }

    #[test]
    fn a_nomination_from_where_no_packet_comes_counts_once() {
        let (mut route, start) = (Route::default(), now());
        route.checked(path(1), true, start);
        route.received(path(1), start);
        // A copy of a nomination, again and again; the client goes on sending.
        route.checked(path(2), true, start);
        for number in 1..50 {
            let at = start + number * QUIET / 5;
            route.checked(path(2), true, at);
            route.received(path(1), at);
            let expected = if number < 5 { path(2) } else { path(1) };
            assert_eq!(route.path(), Some(expected), "{number}");
        }
        // The client itself is still followed by its packets.
        route.received(path(3), start + 20 * QUIET);
        assert_eq!(route.path(), Some(path(3)));
    }

    #[test]
    fn packets_that_a_new_path_has_overtaken_do_not_move_the_route_back() {
        let (mut route, start) = (Route::default(), now());
        route.checked(path(1), true, start);
        route.received(path(1), start);
        route.checked(path(2), true, start + QUIET);
        route.received(path(1), start + QUIET * 3 / 2);
        assert_eq!(route.path(), Some(path(2)));
        route.received(path(2), start + QUIET * 7 / 4);
        route.received(path(1), start + QUIET * 2);
        assert_eq!(route.path(), Some(path(2)));
        // A later change is nominated as well, and counts at once.
        route.checked(path(3), true, start + QUIET * 2);
        assert_eq!(route.path(), Some(path(3)));
    }
}
