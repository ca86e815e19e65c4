//! When the publisher of one layer is asked for a keyframe: all subscribers' wishes in one, repeated until it came.
//!
//! Publishers ignore requests that follow each other closely, and requests are lost. A publisher was seen to let one
//! of two requests within a second fall for good: the layer switch then waited for ever. So a request is repeated
//! every [`REPEAT_AFTER`] until the keyframe was seen.
//!
//! Where payloads are encrypted end to end, a keyframe is never seen although it comes. Such a layer is taken for
//! opaque after a while: requests are then sent once each, and subscriptions start at any frame.

use std::time::{Duration, Instant};

/// Least time between two requests when the first was answered.
pub const SPACING_MIN: Duration = Duration::from_millis(300);
/// Time after which an unanswered request is repeated.
pub const REPEAT_AFTER: Duration = Duration::from_millis(400);
/// Time after which nothing is repeated when no subscription has asked again.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(10);
/// How long media must flow without an answer until a source that has never shown a keyframe is opaque.
pub const OPAQUE_AFTER: Duration = Duration::from_secs(2);
/// The same for a source that has shown keyframes before.
pub const OPAQUE_AGAIN_AFTER: Duration = Duration::from_secs(5);

const _: () =
    assert!(REPEAT_AFTER.as_millis() >= SPACING_MIN.as_millis(), "a repetition must not be ignored");

/// What becomes of one wish for a keyframe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyframeDemand {
    /// A request goes to the publisher at once.
    Send,
    /// A request that is under way, or one that will be polled, serves it.
    Merged,
}

/// The wishes for a keyframe of one layer.
#[derive(Debug, Default)]
pub struct KeyframeRequests {
    /// The newest wish that is not fulfilled.
    demanded_at: Option<Instant>,
    sent_at: Option<Instant>,
    /// The first request since the newest keyframe.
    unanswered_since: Option<Instant>,
    /// Whether this source has shown a keyframe.
    seen: bool,
    opaque: bool,
    requests: u64,
}

impl KeyframeRequests {
    /// Takes a wish.
    pub fn demand(&mut self, now: Instant) -> KeyframeDemand {
        self.demanded_at = Some(now);
        if self.due_at().is_none_or(|due| now >= due) {
            self.send(now);
            KeyframeDemand::Send
        } else {
            KeyframeDemand::Merged
        }
    }

    /// Returns whether a request is to be sent again.
    pub fn poll(&mut self, now: Instant) -> bool {
        let Some(demanded_at) = self.demanded_at else { return false };
        if now >= demanded_at + GIVE_UP_AFTER {
            self.demanded_at = None;
            return false;
        }
        let due = self.due_at().is_none_or(|due| now >= due);
        if due {
            self.send(now);
        }
        due
    }

    /// Returns whether there is a wish that is not fulfilled.
    pub fn is_demanded(&self) -> bool {
        self.demanded_at.is_some()
    }

    /// Returns when to poll again.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.demanded_at.and_then(|_| self.due_at())
    }

    /// Takes note of a packet of the layer.
    pub fn observe(&mut self, keyframe: bool, now: Instant) {
        if keyframe {
            self.demanded_at = None;
            self.unanswered_since = None;
            self.seen = true;
            self.opaque = false;
        } else if let Some(since) = self.unanswered_since
            && !self.opaque
        {
            self.opaque = now >= since + if self.seen { OPAQUE_AGAIN_AFTER } else { OPAQUE_AFTER };
            if self.opaque {
                self.demanded_at = None;
            }
        }
    }

    /// Forgets what was seen of the source; wishes stay.
    pub fn reset_source(&mut self) {
        self.seen = false;
        self.opaque = false;
        self.unanswered_since = None;
    }

    /// Returns when the first request was sent that no keyframe has answered.
    pub fn unanswered_since(&self) -> Option<Instant> {
        self.unanswered_since
    }

    /// Returns whether keyframes of this source cannot be recognised.
    pub fn is_opaque(&self) -> bool {
        self.opaque
    }

    /// Returns the number of requests sent.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    fn due_at(&self) -> Option<Instant> {
        let wait = if self.unanswered_since.is_some() { REPEAT_AFTER } else { SPACING_MIN };
        self.sent_at.map(|sent_at| sent_at + wait)
    }

    fn send(&mut self, now: Instant) {
        self.sent_at = Some(now);
        self.unanswered_since.get_or_insert(now);
        self.requests += 1;
        if self.opaque {
            self.demanded_at = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::fixture::base_instant;

    fn ms(ms: u64) -> Instant {
        base_instant() + Duration::from_millis(ms)
    }

    #[test]
    fn wishes_within_one_request_are_merged_and_an_unanswered_request_is_repeated() {
        let mut requests = KeyframeRequests::default();
        assert_eq!(requests.next_deadline(), None);
        assert_eq!(requests.demand(ms(0)), KeyframeDemand::Send);
        assert_eq!(requests.demand(ms(0)), KeyframeDemand::Merged);
        assert_eq!(requests.demand(ms(399)), KeyframeDemand::Merged);
        assert_eq!(requests.next_deadline(), Some(ms(400)));
        assert!(!requests.poll(ms(399)));
        assert!(requests.poll(ms(400)));
        assert!(!requests.poll(ms(400)));
        assert_eq!(requests.next_deadline(), Some(ms(800)));
        requests.observe(true, ms(500));
        assert_eq!(requests.next_deadline(), None);
        assert!(!requests.poll(ms(800)));
        assert_eq!(requests.requests(), 2);
    }

    #[test]
    fn a_wish_right_after_the_keyframe_waits_for_the_spacing() {
        let mut requests = KeyframeRequests::default();
        requests.demand(ms(0));
        requests.observe(true, ms(50));
        assert_eq!(requests.demand(ms(100)), KeyframeDemand::Merged);
        assert_eq!(requests.next_deadline(), Some(ms(300)));
        assert!(!requests.poll(ms(299)));
        assert!(requests.poll(ms(300)));
        requests.observe(true, ms(350));
        assert_eq!(requests.demand(ms(600)), KeyframeDemand::Send, "spacing is over");
    }

    #[test]
    fn repetition_ends_when_nobody_asks_any_more() {
        let mut requests = KeyframeRequests::default();
        requests.demand(ms(0));
        let sent: Vec<u64> = (1..20_000).filter(|&at| requests.poll(ms(at))).collect();
        assert_eq!(sent, (1..25).map(|n| n * 400).collect::<Vec<_>>());
        assert_eq!(requests.next_deadline(), None);
        assert_eq!(requests.demand(ms(20_000)), KeyframeDemand::Send);
        assert_eq!(requests.next_deadline(), Some(ms(20_400)));
    }

    #[test]
    fn a_source_that_never_shows_a_keyframe_is_asked_once_per_wish() {
        let mut requests = KeyframeRequests::default();
        requests.demand(ms(0));
        requests.observe(false, ms(1999));
        assert!(!requests.is_opaque() && requests.poll(ms(1999)));
        requests.observe(false, ms(2000));
        assert!(requests.is_opaque() && !requests.poll(ms(5000)));
        assert_eq!(requests.demand(ms(5000)), KeyframeDemand::Send);
        assert!(!requests.poll(ms(5400)) && requests.next_deadline().is_none());
        assert_eq!(requests.demand(ms(5401)), KeyframeDemand::Send);
        assert_eq!(requests.demand(ms(5402)), KeyframeDemand::Merged);
        assert!(requests.poll(ms(5801)) && !requests.poll(ms(9000)));
        requests.observe(true, ms(9000));
        assert!(!requests.is_opaque());
        requests.demand(ms(9001));
        requests.observe(false, ms(14_000));
        assert!(!requests.is_opaque(), "a source that has shown keyframes is given longer");
        requests.observe(false, ms(14_001));
        assert!(requests.is_opaque());
        requests.reset_source();
        assert!(!requests.is_opaque() && requests.unanswered_since().is_none());
    }
}
