//! Which of a client's proven addresses media goes to.
//!
//! Owns that choice for one transport. A path comes in question only after a connectivity check from it carried the right
//! password; who calls sees to that. Three things move the route, and nothing that a stranger sends is among them:
//!
//! - a check by which the client nominates (RFC 8445 7.3.1.5), at once;
//! - an authentic packet from another path, once the present one has been quiet for [`QUIET`]: a client sends media where
//!   it wants to receive it. Firefox and aiortc do not nominate again when the NAT between has changed; their checks
//!   that keep consent fresh (RFC 7675 5.1) prove the new address, and their packets say that it is the one;
//! - a check from another path, once the present one has been quiet for [`GONE`], for clients that send no packets.
//!
//! A datagram that was copied and sent again from elsewhere is no packet (it fails the replay check) and at most one
//! check; the route is back with the client's next packet after [`QUIET`].

use std::time::{Duration, Instant};

use super::transport::Path;

/// How long the present path must have been quiet before an authentic packet from another one moves the route: longer
/// than packets overtake each other, shorter than a viewer notices.
const QUIET: Duration = Duration::from_millis(500);
/// The same for a check that does not nominate: longer than clients pause between two checks of the path in use (Chromium
/// 2.5 seconds, Firefox and aiortc 4 to 6).
const GONE: Duration = Duration::from_secs(8);

/// The present path and when something authentic last came by it.
#[derive(Debug, Default)]
pub(super) struct Route {
    present: Option<(Path, Instant)>,
}

impl Route {
    pub(super) fn path(&self) -> Option<Path> {
        self.present.map(|(path, _)| path)
    }

    /// Takes note of an answered check from a path.
    pub(super) fn checked(&mut self, path: Path, nominates: bool, now: Instant) {
        self.heard(path, if nominates { Duration::ZERO } else { GONE }, now);
    }

    /// Takes note of a packet whose authenticity and order were checked, from a proven path.
    pub(super) fn received(&mut self, path: Path, now: Instant) {
        self.heard(path, QUIET, now);
    }

    /// Takes the path that a full agent has settled on, which is not chosen here.
    pub(super) fn settle(&mut self, path: Option<Path>, now: Instant) {
        self.present = path.map(|path| (path, now));
    }

    /// Gives up a path that can no longer be reached.
    pub(super) fn forget(&mut self, path: Path) {
        self.present = self.present.filter(|(known, _)| *known != path);
    }

    fn heard(&mut self, path: Path, patience: Duration, now: Instant) {
        let stays = self.present.is_some_and(|(present, heard)| present != path && now < heard + patience);
        if !stays {
            self.present = Some((path, now));
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
}
