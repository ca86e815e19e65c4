//! Which of a client's proven addresses media goes to.
//!
//! Owns that choice for one transport. A path comes in question only after a connectivity check from it carried the right
//! password; who calls sees to that. Whoever copies a check can send it from anywhere, so one that came by UDP moves nothing,
//! and holds nothing where it is: it says where the client may *want* to be reached, and media stays where it is until
//! something has come from there that nobody else could send (RFC 9000 9.3 is the model). Wanted is a path
//!
//! - by a check by which the client nominates (RFC 8445 7.3.1.5), at once;
//! - by a check from another path, once the present one has been quiet for [`GONE`], for clients that send no packets.
//!
//! Four things move the route, and nothing that a stranger sends is among them:
//!
//! - the end of the handshake, by the path that it came by;
//! - an answer to a check of ours from a wanted path ([`super::probes`]), or an authentic packet from there, at once;
//! - an authentic packet from any other path, once none has come by the present one for [`QUIET`]: a client sends media
//!   where it wants to receive it. Firefox and aiortc do not nominate again when the NAT between has changed; their checks
//!   that keep consent fresh (RFC 7675 5.1) prove the new address, and their packets say that it is the one;
//! - a check from a wanted path, as long as there are no keys.
//!
//! Who stands between client and server can pass on even our checks. So a path that no packet has come by gives way to one by
//! which they do come, [`QUIET`] after it was taken, and from then on nominations count no more than other checks.

use std::time::{Duration, Instant};

use super::paths::Path;

/// How long no packet must have come by the present path before an authentic one from another moves the route: longer than
/// packets overtake each other, shorter than a viewer notices.
const QUIET: Duration = Duration::from_millis(500);
/// The same for a check that does not nominate: longer than clients pause between two checks of the path in use (Chromium
/// 2.5 seconds, Firefox and aiortc 4 to 6).
const GONE: Duration = Duration::from_secs(8);
/// How long a path stays wanted without another check from there.
const WANTED: Duration = Duration::from_secs(10);
/// Paths that may be wanted at a time: copies of checks from elsewhere must not push out where the client is. More push the
/// oldest out.
const WANTED_MAX: usize = 4;

/// The present path, and what speaks for it.
#[derive(Debug, Default)]
pub(super) struct Route {
    present: Option<Present>,
    /// Where the client may want to be reached, and when a check last said so; the oldest first.
    wanted: Vec<(Path, Instant)>,
    /// A nomination has pointed to where nobody was.
    was_misled: bool,
    /// How often another path has become the present one.
    moves: u32,
}

#[derive(Debug)]
struct Present {
    path: Path,
    /// When something last came by it that cannot be copied.
    heard: Instant,
    /// When the last packet came by it; before the first, since when it is the present one.
    packet: Instant,
    has_packets: bool,
}

impl Present {
    fn new(path: Path, has_packets: bool, now: Instant) -> Self {
        Self { path, heard: now, packet: now, has_packets }
    }
}

impl Route {
    pub(super) fn path(&self) -> Option<Path> {
        self.present.as_ref().map(|present| present.path)
    }

    /// How often another path has become the present one.
    pub(super) fn moves(&self) -> u32 {
        self.moves
    }

    /// Takes note of an answered check from a path. `is_certain` where no answer to a check of ours is needed. Returns
    /// whether the path is wanted, and one is.
    pub(super) fn checked(&mut self, path: Path, nominates: bool, is_certain: bool, now: Instant) -> bool {
        let patience = if nominates && !self.was_misled { Duration::ZERO } else { GONE };
        if let Some(present) = &self.present {
            let is_early = now < present.heard + patience && !self.wants(path, now);
            if present.path == path || is_early {
                return false;
            }
        }
        if is_certain {
            self.go(path, false, now);
            return false;
        }
        self.want(path, now);
        true
    }

    /// Takes the answer to a check of ours.
    pub(super) fn answered(&mut self, path: Path, now: Instant) {
        let is_wanted = self.wants(path, now);
        match &mut self.present {
            Some(present) if present.path == path => present.heard = now,
            _ if is_wanted => self.go(path, false, now),
            _ => {}
        }
    }

    /// Takes note of a packet whose authenticity and order were checked, from a proven path.
    pub(super) fn received(&mut self, path: Path, now: Instant) {
        let is_wanted = self.wants(path, now);
        match &mut self.present {
            Some(present) if present.path == path => {
                (present.heard, present.packet, present.has_packets) = (now, now, true);
            }
            Some(present) if now < present.packet + QUIET && !is_wanted => {}
            present => {
                self.was_misled |= !is_wanted && present.as_ref().is_some_and(|one| !one.has_packets);
                self.go(path, true, now);
            }
        }
    }

    /// Takes the path by which the client has finished the handshake, which says more than a check: nobody else could make
    /// what came by it, and no nomination was worth anything before. Later ones count as ever.
    pub(super) fn keyed(&mut self, path: Path, now: Instant) {
        self.go(path, true, now);
    }

    /// Takes the path that a full agent has settled on, which is not chosen here.
    pub(super) fn settle(&mut self, path: Option<Path>, now: Instant) {
        self.count_move(path);
        self.present = path.map(|path| Present::new(path, false, now));
    }

    /// Gives up a path that can no longer be reached.
    pub(super) fn forget(&mut self, path: Path) {
        self.present.take_if(|present| present.path == path);
        self.wanted.retain(|(wanted, _)| *wanted != path);
    }

    fn wants(&self, path: Path, now: Instant) -> bool {
        self.wanted.iter().any(|(wanted, at)| *wanted == path && now < *at + WANTED)
    }

    fn want(&mut self, path: Path, now: Instant) {
        self.wanted.retain(|(wanted, at)| *wanted != path && now < *at + WANTED);
        if self.wanted.len() >= WANTED_MAX {
            self.wanted.remove(0);
        }
        self.wanted.push((path, now));
    }

    fn go(&mut self, path: Path, has_packets: bool, now: Instant) {
        self.count_move(Some(path));
        self.present = Some(Present::new(path, has_packets, now));
        self.wanted = Vec::new();
    }

    fn count_move(&mut self, path: Option<Path>) {
        if path.is_some() && path != self.path() {
            self.moves = self.moves.wrapping_add(1);
        }
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
    fn a_nomination_moves_the_route_once_it_is_answered_from_there_and_another_check_only_from_nowhere() {
        let (mut route, start) = (Route::default(), now());
        route.keyed(path(1), start);
        assert!(!route.checked(path(2), false, false, start));
        assert!(route.checked(path(2), true, false, start), "somebody is to be asked there");
        assert_eq!(route.path(), Some(path(1)));
        // The wanted one is asked for again, also by checks that do not nominate.
        assert!(route.checked(path(2), false, false, start));
        route.answered(path(3), start);
        assert_eq!(route.path(), Some(path(1)));
        route.answered(path(2), start);
        assert_eq!(route.path(), Some(path(2)));
        route.forget(path(1));
        assert_eq!(route.path(), Some(path(2)));
        route.forget(path(2));
        assert_eq!(route.path(), None);
        assert!(route.checked(path(3), false, false, start));
        assert_eq!(route.path(), None);
        route.answered(path(3), start);
        assert_eq!(route.path(), Some(path(3)));
    }

    #[test]
    fn a_nomination_counts_at_once_where_no_answer_is_needed() {
        let (mut route, start) = (Route::default(), now());
        route.keyed(path(1), start);
        assert!(!route.checked(path(2), true, true, start));
        assert_eq!(route.path(), Some(path(2)));
    }

    #[test]
    fn a_packet_from_where_the_client_wants_to_be_is_as_good_as_an_answer() {
        let (mut route, start) = (Route::default(), now());
        route.keyed(path(1), start);
        route.checked(path(2), true, false, start);
        route.received(path(1), start);
        assert_eq!(route.path(), Some(path(1)));
        route.received(path(2), start);
        assert_eq!(route.path(), Some(path(2)));
    }

    #[test]
    fn copies_from_elsewhere_do_not_push_out_where_the_client_wants_to_be() {
        let (mut route, start) = (Route::default(), now());
        route.keyed(path(1), start);
        route.checked(path(2), true, false, start);
        for port in 10..10 + WANTED_MAX as u16 - 1 {
            assert!(route.checked(path(port), true, false, start));
            assert!(!route.checked(path(1), true, false, start));
        }
        route.answered(path(2), start);
        assert_eq!(route.path(), Some(path(2)));
        assert_eq!(route.wanted, []);
        for port in 0..1000 {
            route.checked(path(port), true, false, start);
        }
        assert_eq!(route.wanted.len(), WANTED_MAX);
    }

    #[test]
    fn checks_from_where_media_goes_hold_it_there_neither_against_packets_nor_against_answers() {
        let (mut route, start) = (Route::default(), now());
        route.keyed(path(1), start);
        let at = |part: u32| start + GONE * part / 100;
        for part in 0..100 {
            assert!(!route.checked(path(1), true, false, at(part)));
        }
        assert!(route.checked(path(2), false, false, at(100)), "whoever sends them answers nothing");
        route.answered(path(2), at(100));
        assert_eq!(route.path(), Some(path(2)));
        let later = at(100) + QUIET;
        assert!(!route.checked(path(2), true, false, later));
        route.received(path(1), later);
        assert_eq!(route.path(), Some(path(1)), "a packet says more than a check, wherever that is from");
    }

    #[test]
    fn answers_keep_a_client_where_it_is_that_sends_no_packets() {
        let (mut route, start) = (Route::default(), now());
        route.keyed(path(1), start);
        for second in 0..60 {
            let at = start + Duration::from_secs(second);
            route.answered(path(1), at);
            assert!(!route.checked(path(2), false, false, at));
        }
        assert_eq!(route.path(), Some(path(1)));
    }

    #[test]
    fn a_path_is_not_wanted_for_ever() {
        let (mut route, start) = (Route::default(), now());
        route.keyed(path(1), start);
        route.checked(path(2), true, false, start);
        route.received(path(1), start + WANTED);
        route.answered(path(2), start + WANTED);
        route.received(path(2), start + WANTED);
        assert_eq!(route.path(), Some(path(1)));
    }

    #[test]
    fn packets_move_the_route_when_the_present_path_is_quiet_and_not_before() {
        let (mut route, start) = (Route::default(), now());
        route.keyed(path(1), start);
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
        route.keyed(path(1), start);
        route.answered(path(1), start + GONE / 2);
        assert!(!route.checked(path(2), false, false, start + GONE * 3 / 2 - QUIET));
        assert!(route.checked(path(2), false, false, start + GONE * 3 / 2));
        route.answered(path(2), start + GONE * 3 / 2);
        assert_eq!(route.path(), Some(path(2)));
    }

    #[test]
    fn who_passes_on_even_our_checks_turns_media_away_once() {
        let (mut route, start) = (Route::default(), now());
        route.keyed(path(1), start);
        // The client goes on sending.
        for number in 0..50 {
            let at = start + number * QUIET / 5;
            route.checked(path(2), true, false, at);
            route.answered(path(2), at);
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
        route.keyed(path(1), start);
        route.checked(path(2), true, false, start + QUIET);
        route.answered(path(2), start + QUIET);
        route.received(path(1), start + QUIET * 3 / 2);
        assert_eq!(route.path(), Some(path(2)));
        route.received(path(2), start + QUIET * 7 / 4);
        route.received(path(1), start + QUIET * 2);
        assert_eq!(route.path(), Some(path(2)));
    }
}
