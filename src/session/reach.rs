//! How far a stream may run ahead of what its receiver has.
//!
//! Only sixteen bits of a packet's index travel. A receiver takes the index next to the newest one that it has (RFC 3711
//! 3.3.1), and is lost for good once [`ROLLOVER`] packets in a row do not reach it. So a stream stops well before that, tries
//! one packet a second, and goes on when a report says that it came. A stream on which nobody ever reports has no bound.

/// From here on a receiver takes what comes for something old.
const ROLLOVER: u64 = 1 << 15;

/// How far a stream runs ahead.
const AHEAD_MAX: u64 = ROLLOVER / 4 * 3;

/// How far it runs ahead in trials: the rest is for what a batch skips.
const TRIED_MAX: u64 = ROLLOVER - 2048;

/// What of a batch may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// All of it.
    All,
    /// One packet, to see whether it comes.
    One,
}

/// What of a stream has left, and what of it has come.
#[derive(Debug)]
pub(super) struct Reach {
    newest: Option<u64>,
    /// The newest index that the receiver has, or the first that was sent.
    heard: u64,
    /// Indices up to here may leave.
    end: u64,
    /// Whether one packet may leave beyond.
    may_try: bool,
    /// Whether a report has ever named the stream.
    is_reported: bool,
}

impl Default for Reach {
    fn default() -> Self {
        Self { newest: None, heard: 0, end: u64::MAX, may_try: false, is_reported: false }
    }
}

impl Reach {
    /// Whether so many packets may leave; all of them may, nearly always.
    #[inline]
    pub(super) fn admits(&self, packets: usize) -> Option<Admission> {
        match self.newest {
            Some(newest) if newest + packets as u64 > self.end => self.may_try.then_some(Admission::One),
            _ => Some(Admission::All),
        }
    }

    /// Takes note of a packet that was sealed.
    #[inline]
    pub(super) fn sealed(&mut self, index: u64) {
        if self.newest.is_none_or(|newest| index > newest) {
            if self.newest.is_none() {
                self.heard = index;
            }
            self.may_try &= index <= self.end;
            self.newest = Some(index);
        }
    }

    /// Takes the highest sequence number that a report tells.
    pub(super) fn reported(&mut self, highest: u16) {
        let Some(newest) = self.newest else { return };
        self.is_reported = true;
        let behind = u64::from(((newest & 0xffff) as u16).wrapping_sub(highest));
        if let Some(index) = newest.checked_sub(behind).filter(|index| *index >= self.heard) {
            self.heard = index;
            self.end = index + AHEAD_MAX;
        }
    }

    /// Lets a second pass. A stream that no report ever named is not bound: a client may report on its others alone.
    pub(super) fn tick(&mut self) {
        if let Some(newest) = self.newest.filter(|_| self.is_reported) {
            self.end = self.end.min(self.heard + AHEAD_MAX);
            self.may_try = newest < self.heard + TRIED_MAX;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_stops_in_time_tries_once_a_second_and_goes_on_when_it_is_heard() {
        let mut reach = Reach::default();
        let mut next = 30_000;
        let mut send = |reach: &mut Reach, packets: u64| {
            (0..packets)
                .filter(|_| {
                    let may = reach.admits(1).is_some();
                    if may {
                        reach.sealed(next);
                        next += 1;
                    }
                    may
                })
                .count() as u64
        };
        reach.tick();
        assert_eq!(send(&mut reach, 100), 100);
        reach.reported((30_099_u64 & 0xffff) as u16);
        assert_eq!(send(&mut reach, 50_000), AHEAD_MAX);
        for _ in 0..10 {
            assert_eq!(reach.admits(1), None);
            reach.tick();
            assert_eq!(reach.admits(1), Some(Admission::One));
            assert_eq!(send(&mut reach, 1_000), 1);
        }
        reach.reported((30_099_u64 & 0xffff) as u16);
        assert_eq!(send(&mut reach, 1_000), 0, "nothing new");
        reach.reported(((30_099 + AHEAD_MAX + 10) & 0xffff) as u16);
        assert_eq!(send(&mut reach, 50_000), AHEAD_MAX);
        for _ in 0..100_000 {
            reach.tick();
            send(&mut reach, 1_000);
        }
        assert!(reach.newest.unwrap() - reach.heard < ROLLOVER);
    }

    #[test]
    fn who_never_reports_is_sent_to_and_who_begins_is_bound_from_then_on() {
        let mut reach = Reach::default();
        for index in 0..100_000 {
            assert_eq!(reach.admits(3), Some(Admission::All));
            reach.sealed(index);
            reach.tick();
        }
        reach.reported(99_990_u64 as u16);
        assert_eq!((reach.heard, reach.end), (99_990, 99_990 + AHEAD_MAX));
        reach.reported(99_980_u64 as u16);
        assert_eq!(reach.heard, 99_990, "an old report");
        reach.tick();
        assert_eq!(reach.end, 99_990 + AHEAD_MAX);
    }
}
