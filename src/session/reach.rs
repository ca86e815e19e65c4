//! How far a stream may run ahead of what its receiver has.
//!
//! Only sixteen bits of a packet's index travel. A receiver takes the index next to the newest one that it has (RFC 3711
//! 3.3.1), and is lost for good once [`ROLLOVER`] packets in a row do not reach it. So a stream stops well before that, tries
//! one packet a second, and goes on when a report says that it came. A stream on which nobody ever reports has no bound.

use crate::congestion::Reception;
use crate::rtp::rtcp::ReportBlock;

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
    /// The first index, and how many were sent.
    first: u64,
    sealed: u64,
    /// What the newest report told of all packets: the highest sequence number with the number of wraps, those that are lost;
    /// and how many numbers had not been sent by then.
    told: Option<(u32, i32, u64)>,
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
        Self {
            newest: None,
            first: 0,
            sealed: 0,
            told: None,
            heard: 0,
            end: u64::MAX,
            may_try: false,
            is_reported: false,
        }
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
        self.sealed += 1;
        if self.newest.is_none_or(|newest| index > newest) {
            if self.newest.is_none() {
                (self.first, self.heard) = (index, index);
            }
            self.may_try &= index <= self.end;
            self.newest = Some(index);
        }
    }

    /// Takes a report block, and returns what it tells since the one before.
    pub(super) fn reported(&mut self, block: &ReportBlock) -> Reception {
        let Some(newest) = self.newest else { return Reception::default() };
        self.hear(newest, (block.highest_seq & 0xffff) as u16);
        let never_sent = (newest + 1 - self.first).saturating_sub(self.sealed);
        let before = self.told.replace((block.highest_seq, block.cumulative_lost, never_sent));
        let Some((highest, lost, gaps)) = before else { return Reception::default() };
        let ahead = block.highest_seq.wrapping_sub(highest).cast_signed();
        let missing = block.cumulative_lost.saturating_sub(lost);
        Reception {
            expected: u32::try_from(ahead).unwrap_or_default(),
            missing: u32::try_from(missing).unwrap_or_default(),
            never_sent: u32::try_from(never_sent.saturating_sub(gaps)).unwrap_or(u32::MAX),
            round_trip: None,
        }
    }

    fn hear(&mut self, newest: u64, highest: u16) {
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

    fn block(highest_seq: u32, cumulative_lost: i32) -> ReportBlock {
        ReportBlock {
            ssrc: 1,
            fraction_lost: 0,
            cumulative_lost,
            highest_seq,
            jitter: 0,
            last_sr: 0,
            delay_since_last_sr: 0,
        }
    }

    fn hear(reach: &mut Reach, highest: u16) {
        reach.reported(&block(highest.into(), 0));
    }

    #[test]
    fn what_never_left_is_told_apart_from_what_did_not_come() {
        let mut reach = Reach::default();
        (100..200).for_each(|index| reach.sealed(index));
        assert_eq!(reach.reported(&block(199, 0)).expected, 0, "the first one has none before it");
        // Twenty numbers were lost before they came to us.
        (220..300).for_each(|index| reach.sealed(index));
        let reception = reach.reported(&block(299, 25));
        assert_eq!((reception.expected, reception.missing, reception.never_sent), (100, 25, 20));
        let lies = reach.reported(&block(5, i32::MIN));
        assert_eq!((lies.expected, lies.missing, lies.never_sent), (0, 0, 0));
        let lies = reach.reported(&block(u32::MAX, i32::MAX));
        assert_eq!((lies.expected, lies.never_sent), (0, 0));
    }

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
        hear(&mut reach, (30_099_u64 & 0xffff) as u16);
        assert_eq!(send(&mut reach, 50_000), AHEAD_MAX);
        for _ in 0..10 {
            assert_eq!(reach.admits(1), None);
            reach.tick();
            assert_eq!(reach.admits(1), Some(Admission::One));
            assert_eq!(send(&mut reach, 1_000), 1);
        }
        hear(&mut reach, (30_099_u64 & 0xffff) as u16);
        assert_eq!(send(&mut reach, 1_000), 0, "nothing new");
        hear(&mut reach, ((30_099 + AHEAD_MAX + 10) & 0xffff) as u16);
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
        hear(&mut reach, 99_990_u64 as u16);
        assert_eq!((reach.heard, reach.end), (99_990, 99_990 + AHEAD_MAX));
        hear(&mut reach, 99_980_u64 as u16);
        assert_eq!(reach.heard, 99_990, "an old report");
        reach.tick();
        assert_eq!(reach.end, 99_990 + AHEAD_MAX);
    }
}
