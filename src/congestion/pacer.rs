//! What may leave at once: a debt that drains at a little more than the path carries, and no queue.
//!
//! The publisher has paced its media already. What is left to even out is the keyframe of a step up and the answers to a burst of
//! requests, so packets go as they are while the debt is small, which is always so on a good path: one compare for each batch.
//! What is held back stays where it lies, in the publication's cache, and is read on from there in order.

use super::Micros;

/// How much faster the debt drains than the path is believed to carry.
const DRAIN: (u64, u64) = (6, 5);

/// Queueing delay, microseconds, from which on a queue stands.
const STANDING: Micros = 80_000;

/// What may leave at once: so long at the path's rate, and bounds, bytes.
const ALLOWANCE: Micros = 40_000;
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
}

/// Units of the debt in a byte.
const BYTE: u64 = 8_000_000;

/// The most that is owed, bytes: audio is never held, whatever the debt.
const DEBT_MAX: u64 = 1 << 20;

impl Pacer {
    /// Begins without debt, for a path that carries so much.
    pub fn new(now: Micros, bps: u64) -> Self {
        let mut pacer = Self { debt: 0, drain_bps: 0, allowance: 0, at: now };
        pacer.set_rate(now, bps, 0);
        pacer
    }

    /// The path carries so much, bits per second, and such a queue stands in it, microseconds: while one does, nothing is added to
    /// it.
    pub fn set_rate(&mut self, now: Micros, bps: u64, queue: Micros) {
        self.drain(now);
        let bps = bps.min(super::CEILING_BPS);
        let (more, of) = if queue < STANDING { DRAIN } else { (1, 1) };
        let (least, most) = ALLOWANCE_BYTES;
        self.drain_bps = bps * more / of;
        self.allowance = (bps * ALLOWANCE / BYTE).clamp(least, most);
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
        self.debt == 0 || self.debt / BYTE + bytes <= self.allowance
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
    fn debt_is_bounded_and_what_is_larger_than_the_allowance_leaves_when_nothing_is_owed() {
        let mut pacer = Pacer::new(0, 0);
        assert!(pacer.admits(0, 1 << 40));
        (0..10).for_each(|_| pacer.charge(0, u64::MAX));
        assert_eq!(pacer.debt(u64::MAX), DEBT_MAX, "it does not drain, and does not overflow");
        pacer.set_rate(u64::MAX, u64::MAX, u64::MAX);
        assert!(!pacer.admits(u64::MAX, 1));
    }
}
