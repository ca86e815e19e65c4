//! What may leave at once: a debt that drains at a little more than the path carries, and no queue.
//!
//! The publisher has paced its media already. What is left to even out is the keyframe of a step up and the answers to a burst of
//! requests, so packets go as they are while the debt is small, which is always so on a good path: one compare for each batch.
//! What is held back stays where it lies, in the publication's cache, and is read on from there in order.

use super::{Estimate, Micros, State};

/// What may leave, by what a path has shown.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// How much faster the debt drains than the path is believed to carry.
    drain: (u64, u64),
    /// How much may leave at once: so long at that rate.
    allowance: Micros,
}

impl Pace {
    /// It has shown no limit: what is believed of it is no more than what it was tried with.
    const FREE: Self = Self { drain: (5, 2), allowance: 100_000 };
    const LIMITED: Self = Self { drain: (6, 5), allowance: 40_000 };
    /// A queue stands, to which nothing is added.
    const QUEUED: Self = Self { drain: (1, 1), allowance: 40_000 };
}

/// Queueing delay, microseconds, from which on a queue stands.
const STANDING: Micros = 80_000;

/// What may leave at once, bytes: bounds.
const ALLOWANCE_BYTES: (u64, u64) = (3_000, 63_000);

/// How long video may be held before it is given up: a frame that late is of no use, and the layer does not fit.
pub const HELD_MAX: Micros = 400_000;

/// How often held video is looked at, microseconds: what leaves then is a run of packets.
pub const RELEASE_EVERY: Micros = 20_000;

/// The debt of one session.
#[derive(Debug, Clone, Copy)]
pub struct Pacer {
    /// Bytes; in bits times microseconds per second, so that nothing is lost to rounding.
    debt: u64,
    drain_bps: u64,
    allowance: u64,
    at: Micros,
    /// Whether the path has ever shown a limit, a queue or loss.
    has_limit: bool,
    /// Whether all leaves as it comes, and nothing is owed: nothing is known yet.
    is_open: bool,
}

/// Units of the debt in a byte.
const BYTE: u64 = 8_000_000;

/// The most that is owed, bytes: audio is never held, whatever the debt.
const DEBT_MAX: u64 = 1 << 20;

impl Pacer {
    /// Begins without debt, for a path that carries so much.
    pub fn new(now: Micros, bps: u64) -> Self {
        let mut pacer =
            Self { debt: 0, drain_bps: 0, allowance: 0, at: now, has_limit: false, is_open: false };
        pacer.set_rate(now, bps, Pace::LIMITED);
        pacer
    }

    /// Goes by what is known of the path, and what is needed for what is sent, bits per second; not known before rates are.
    pub fn follow(&mut self, now: Micros, path: &Estimate, needed: Option<u64>) {
        self.has_limit |= path.capacity_bps > 0 || path.queue >= STANDING || path.loss > 0.0;
        self.is_open = needed.is_none() || path.state == State::Starting;
        let pace = match self.has_limit {
            _ if path.queue >= STANDING => Pace::QUEUED,
            true => Pace::LIMITED,
            false => Pace::FREE,
        };
        self.set_rate(now, path.target_bps.max(needed.unwrap_or_default()), pace);
    }

    fn set_rate(&mut self, now: Micros, bps: u64, pace: Pace) {
        self.drain(now);
        let bps = bps.min(super::CEILING_BPS);
        let ((more, of), (least, most)) = (pace.drain, ALLOWANCE_BYTES);
        self.drain_bps = bps * more / of;
        self.allowance = (bps * pace.allowance / BYTE).clamp(least, most);
    }

    fn drain(&mut self, now: Micros) {
        let passed = now.saturating_sub(self.at).min(60_000_000);
        self.at = self.at.max(now);
        self.debt = self.debt.saturating_sub(passed * self.drain_bps);
    }

    /// Whether so many bytes may leave now. What is larger than the whole allowance may when nothing is owed.
    #[inline]
    pub fn admits(&mut self, now: Micros, bytes: u64) -> bool {
        self.drain(now);
        self.is_open || self.debt == 0 || self.debt / BYTE + bytes <= self.allowance
    }

    /// Bytes that may leave now.
    pub fn room(&mut self, now: Micros) -> u64 {
        self.drain(now);
        self.allowance.saturating_sub(self.debt / BYTE)
    }

    /// Takes note of what has left, audio too.
    #[inline]
    pub fn charge(&mut self, now: Micros, bytes: u64) {
        self.drain(now);
        if self.is_open {
            return;
        }
        self.debt = (self.debt + bytes.min(DEBT_MAX) * BYTE).min(DEBT_MAX * BYTE);
    }

    /// What is owed, bytes.
    pub fn debt(&mut self, now: Micros) -> u64 {
        self.drain(now);
        self.debt / BYTE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_leaves_up_to_the_allowance_and_the_rest_at_the_rate() {
        let mut pacer = Pacer::new(0, 1_000_000);
        let mut left = 0;
        while pacer.admits(0, 1200) {
            pacer.charge(0, 1200);
            left += 1;
        }
        assert_eq!(left, 4, "5,000 bytes");
        assert!(!pacer.admits(6_600, 1200) && pacer.admits(6_700, 1200), "1.2 Mbit/s from then on");
        assert_eq!((pacer.room(6_700), pacer.debt(1_000_000)), (1_205, 0));
    }

    #[test]
    fn what_may_leave_follows_what_the_path_has_shown() {
        let path = Estimate { target_bps: 1_000_000, state: State::Growing, ..Estimate::default() };
        let room = |path: &Estimate, needed| {
            let mut pacer = Pacer::new(0, 1_000_000);
            pacer.follow(0, path, needed);
            pacer.charge(0, 1_000_000);
            let debt = pacer.debt(0);
            (pacer.allowance, debt, debt - pacer.debt(1_000_000))
        };
        let starting = Estimate { state: State::Starting, ..path };
        for (path, needed) in [(path, None), (starting, Some(0))] {
            assert_eq!(room(&path, needed).1, 0, "nothing is known, and nothing owed");
        }
        assert_eq!(room(&path, Some(0)), (12_500, 1_000_000, 312_500), "no limit");
        assert_eq!(room(&path, Some(2_000_000)), (25_000, 1_000_000, 625_000), "more is needed");
        for path in [Estimate { capacity_bps: 900_000, ..path }, Estimate { loss: 0.01, ..path }] {
            assert_eq!(room(&path, Some(0)), (5_000, 1_000_000, 150_000), "{path:?}");
        }
        assert_eq!(room(&Estimate { queue: STANDING, ..path }, Some(0)), (5_000, 1_000_000, 125_000));
    }

    #[test]
    fn a_limit_that_was_shown_once_is_remembered() {
        let path = Estimate { target_bps: 1_000_000, state: State::Growing, ..Estimate::default() };
        let mut pacer = Pacer::new(0, 1_000_000);
        pacer.follow(0, &Estimate { loss: 0.01, ..path }, Some(0));
        pacer.follow(0, &path, Some(0));
        assert_eq!(pacer.allowance, 5_000);
    }

    #[test]
    fn debt_is_bounded_and_what_is_larger_than_the_allowance_leaves_when_nothing_is_owed() {
        let mut pacer = Pacer::new(0, 0);
        assert!(pacer.admits(0, 1 << 40));
        (0..10).for_each(|_| pacer.charge(0, u64::MAX));
        assert_eq!(pacer.debt(u64::MAX), DEBT_MAX, "it does not drain, and does not overflow");
        pacer.set_rate(u64::MAX, u64::MAX, Pace::QUEUED);
        assert!(!pacer.admits(u64::MAX, 1));
    }
}
