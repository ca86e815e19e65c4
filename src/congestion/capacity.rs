//! What the path carries for us while its queue stands.
//!
//! A server sends in steps: the keyframe of a better layer makes a queue within a tenth of a second, in which the throughput of
//! the last second still is that of the layer before. So the rate of the moment is measured as well, and only then when
//! growing delay tells that the path was busy all the time. It is our share of the path, and what jitter can do to it is to
//! read as what was sent.

use super::Micros;

/// Arrivals within so many microseconds are one entry.
const MERGE: u32 = 4_000;

/// Span that is looked at, microseconds.
const WINDOW: u32 = 150_000;

/// Entries: as many as the span has room for, and a few that packets out of order cost.
const ENTRIES: usize = 40;

/// Least span, microseconds, and packets.
const SPAN_MIN: u32 = 40_000;
const PACKETS_MIN: u32 = 6;

/// Growth of delay over the span from which on the queue stood, microseconds.
const GROWTH_MIN: i32 = 15_000;

/// A packet that saw less found no queue: what came before it says nothing, for the path may have been idle.
const BUSY: i32 = 5_000;

/// A queue of which all packets of the span saw at least so much stood as well, microseconds.
const STANDING: i32 = 40_000;

/// Weight of a new sample.
const WEIGHT: f64 = 0.2;

/// How long a sample holds.
const VALID: Micros = 10_000_000;

/// After this long without one a new sample takes its place at once.
const STALE: Micros = 2_000_000;

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    /// First and last arrival, microseconds that wrap.
    first: u32,
    last: u32,
    /// Delay of the last, microseconds that wrap.
    delay: u32,
    bytes: u32,
    packets: u32,
}

/// The newest arrivals, and the sample.
#[derive(Debug)]
pub(super) struct Capacity {
    entries: [Entry; ENTRIES],
    newest: usize,
    len: usize,
    bps: f64,
    at: Option<Micros>,
    /// Whether something came since the last sample.
    is_new: bool,
    /// Whether delay grew while the last sample was taken.
    grew: bool,
}

impl Capacity {
    pub(super) const fn new() -> Self {
        let empty = Entry { first: 0, last: 0, delay: 0, bytes: 0, packets: 0 };
        Self { entries: [empty; ENTRIES], newest: 0, len: 0, bps: 0.0, at: None, is_new: false, grew: false }
    }

    pub(super) fn reset(&mut self) {
        *self = Self::new();
    }

    /// Forgets arrivals, since the receiver's clock jumped, and keeps the sample.
    pub(super) fn forget_arrivals(&mut self) {
        (self.len, self.grew) = (0, false);
    }

    pub(super) fn arrived(&mut self, at: i64, delay: i64, bytes: u32) {
        let (at, delay) = (at as u32, delay as u32);
        self.is_new = true;
        if let Some(entry) = self.entries.get_mut(self.newest).filter(|_| self.len > 0) {
            let is_late = (at.wrapping_sub(entry.last) as i32) < 0;
            if is_late || at.wrapping_sub(entry.first) < MERGE {
                entry.bytes = entry.bytes.saturating_add(bytes);
                entry.packets += 1;
                if !is_late {
                    (entry.last, entry.delay) = (at, delay);
                }
                return;
            }
        }
        self.newest = (self.newest + 1) % ENTRIES;
        self.len = (self.len + 1).min(ENTRIES);
        if let Some(entry) = self.entries.get_mut(self.newest) {
            *entry = Entry { first: at, last: at, delay, bytes, packets: 1 };
        }
    }

    /// Looks at the newest arrivals once more; `base` is the least delay of the path. Returns what they alone say.
    pub(super) fn update(&mut self, base: i64, now: Micros) -> Option<f64> {
        if !std::mem::take(&mut self.is_new) {
            return None;
        }
        self.grew = false;
        let (sample, grew) = self.sample(base as u32)?;
        self.grew = grew;
        let is_fresh = self.at.is_some_and(|at| now.saturating_sub(at) < STALE);
        self.bps = if is_fresh { self.bps + WEIGHT * (sample - self.bps) } else { sample };
        self.at = Some(now);
        Some(sample)
    }

    fn sample(&self, base: u32) -> Option<(f64, bool)> {
        let newest = *self.entries.get(self.newest).filter(|_| self.len > 0)?;
        let (mut bytes, mut packets) = (0_u64, 0);
        let mut oldest = newest;
        let mut least = i32::MAX;
        for back in 0..self.len {
            let entry = *self.entries.get((self.newest + ENTRIES - back) % ENTRIES)?;
            if newest.last.wrapping_sub(entry.first) > WINDOW {
                break;
            }
            let queue = entry.delay.wrapping_sub(base) as i32;
            if queue < BUSY {
                break;
            }
            bytes += u64::from(entry.bytes);
            packets += entry.packets;
            oldest = entry;
            least = least.min(queue);
        }
        let span = newest.last.wrapping_sub(oldest.last);
        let growth = newest.delay.wrapping_sub(oldest.delay) as i32;
        let has_stood = growth >= GROWTH_MIN || least >= STANDING;
        if packets < PACKETS_MIN || span < SPAN_MIN || !has_stood {
            return None;
        }
        Some(((bytes - u64::from(oldest.bytes)) as f64 * 8e6 / f64::from(span), growth >= GROWTH_MIN))
    }

    /// What arrived within the newest span, whether or not the path was full: bits per second.
    pub(super) fn recent(&self) -> Option<f64> {
        let newest = *self.entries.get(self.newest).filter(|_| self.len > 0)?;
        let (mut bytes, mut packets, mut oldest) = (0_u64, 0, newest);
        for back in 0..self.len {
            let entry = *self.entries.get((self.newest + ENTRIES - back) % ENTRIES)?;
            if newest.last.wrapping_sub(entry.first) > WINDOW {
                break;
            }
            bytes += u64::from(entry.bytes);
            packets += entry.packets;
            oldest = entry;
        }
        let span = newest.last.wrapping_sub(oldest.last);
        let bytes = bytes - u64::from(oldest.bytes);
        (packets >= PACKETS_MIN && span >= 2 * SPAN_MIN).then(|| bytes as f64 * 8e6 / f64::from(span))
    }

    /// A probe found more than was known: that holds no more.
    pub(super) fn outdo(&mut self, bps: f64) {
        if self.bps < bps {
            self.at = None;
        }
    }

    /// Whether delay grew while the newest sample was taken.
    pub(super) fn grew(&self) -> bool {
        self.grew
    }

    /// A probe has filled the path, and so much came through.
    pub(super) fn probed(&mut self, bps: f64, now: Micros) {
        (self.bps, self.at) = (bps, Some(now));
    }

    /// Bits per second, while that holds.
    pub(super) fn bps(&self, now: Micros) -> Option<f64> {
        self.at.filter(|at| now.saturating_sub(*at) < VALID).map(|_| self.bps)
    }

    /// The last that was measured, however long ago; 0 when nothing was.
    pub(super) fn last_bps(&self) -> f64 {
        self.bps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of 1250 bytes every 10 ms, each of which arrives so much later than the one before it.
    fn stream(capacity: &mut Capacity, spacing: i64) -> Option<f64> {
        for step in 0..16 {
            let at = step * spacing;
            capacity.arrived(at, at - step * 10_000, 1250);
        }
        capacity.update(0, 1_000_000)
    }

    #[test]
    fn it_reads_what_passes_a_standing_queue_and_nothing_else() {
        let mut capacity = Capacity::new();
        assert_eq!(stream(&mut capacity, 10_000), None, "no queue");
        capacity.reset();
        let bps = stream(&mut capacity, 12_500).unwrap();
        assert!((790_000.0..810_000.0).contains(&bps), "{bps}");
        assert_eq!(capacity.bps(1_000_000 + VALID), None, "too old");
        assert!(capacity.bps(2_000_000).is_some());
        assert_eq!(capacity.update(0, 2_000_000), None, "nothing new");
    }

    #[test]
    fn the_time_before_the_queue_does_not_count() {
        let mut capacity = Capacity::new();
        let mut delay = 0;
        for step in 0..30 {
            // Idle at first, then 1,250 bytes each 10 ms of which the path takes two thirds.
            let sent = if step < 4 { step * 30_000 } else { 120_000 + (step - 4) * 10_000 };
            delay += if step < 10 { 0 } else { 5_000 };
            capacity.arrived(sent + delay, delay, 1250);
            if step == 18 {
                let bps = capacity.update(0, 1_000_000).unwrap();
                assert!((650_000.0..680_000.0).contains(&bps), "{bps}");
            }
        }
    }
}
