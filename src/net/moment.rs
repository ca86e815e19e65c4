//! One moment by two clocks, and with it the time at which a datagram came.
//!
//! The kernel stamps a datagram when it takes it from the network, by the clock of the calendar, which may be set; all
//! else here goes by one that never turns back. Owns how the one becomes the other. Must not read a clock: who sleeps
//! reads both, once a turn, and hands them in. Next: [`super::Datagram::arrived`].

use std::time::{Duration, Instant};

/// A datagram that seems to have waited for longer than this has a stamp from before the clock was set.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// What the clock of the shards and that of the calendar said at the same moment.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    now: Instant,
    since_1970: Duration,
}

impl Moment {
    /// Joins two readings, of which the second was made right before or after the first.
    pub const fn new(now: Instant, since_1970: Duration) -> Self {
        Self { now, since_1970 }
    }

    /// The time of the turn.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// When a datagram came by its stamp: never later than now, and now where there is no stamp that can be believed.
    pub(super) fn arrival(&self, stamp: Option<Duration>) -> Instant {
        let waited = stamp.and_then(|stamp| self.since_1970.checked_sub(stamp));
        let waited = waited.filter(|waited| *waited <= WAIT_MAX);
        waited.and_then(|waited| self.now.checked_sub(waited)).unwrap_or(self.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(
        clippy::disallowed_methods,
        reason = "an instant has no other beginning; the test only adds to it"
    )]
    fn moment() -> Moment {
        Moment::new(Instant::now() + Duration::from_secs(60), Duration::from_secs(1_000_000))
    }

    #[test]
    fn what_waited_for_its_turn_came_as_much_earlier() {
        let moment = moment();
        let came = |before_ms| {
            moment.arrival(Some(moment.since_1970.checked_sub(Duration::from_millis(before_ms)).unwrap()))
        };
        assert_eq!(moment.now() - came(0), Duration::ZERO);
        assert_eq!(moment.now() - came(7), Duration::from_millis(7));
        assert_eq!(came(2) - came(7), Duration::from_millis(5));
    }

    #[test]
    fn no_stamp_and_one_that_a_set_clock_has_spoilt_mean_now() {
        let moment = moment();
        assert_eq!(moment.arrival(None), moment.now());
        for stamp in [Duration::ZERO, moment.since_1970 - WAIT_MAX - Duration::from_nanos(1), Duration::MAX] {
            assert_eq!(moment.arrival(Some(stamp)), moment.now(), "{stamp:?}");
        }
        let later = moment.since_1970 + Duration::from_millis(3);
        assert_eq!(
            moment.arrival(Some(later)),
            moment.now(),
            "what comes in the middle of a turn comes with it"
        );
        assert_eq!(moment.now() - moment.arrival(Some(moment.since_1970 - WAIT_MAX)), WAIT_MAX);
    }
}
