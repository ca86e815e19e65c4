//! What arrives per second, by the receiver's clock.

use super::Micros;

/// Span of one bucket, microseconds.
const BUCKET: i64 = 50_000;

/// Buckets: a little over a second of them.
const BUCKETS: usize = 24;

/// Span over which is measured, microseconds.
const WINDOW: i64 = 1_000_000;

/// Least span that says something, microseconds.
const SPAN_MIN: i64 = 250_000;

/// Least packets that say something.
const PACKETS_MIN: u32 = 10;

/// What arrived within one span.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    /// Which span of the receiver's clock; they wrap.
    index: u32,
    bytes: u32,
    packets: u32,
    /// The longest time without a packet that ended in it, microseconds.
    gap: u32,
    /// First and last moment of sending, milliseconds.
    sent: (u32, u32),
}

/// Bytes per time of arrival, in spans.
#[derive(Debug)]
pub(super) struct Throughput {
    buckets: [Bucket; BUCKETS],
    /// The newest arrival.
    newest: Option<i64>,
    /// The first arrival since the beginning or a reset.
    first: i64,
}

impl Throughput {
    pub(super) const fn new() -> Self {
        let empty = Bucket { index: 0, bytes: 0, packets: 0, gap: 0, sent: (0, 0) };
        Self { buckets: [empty; BUCKETS], newest: None, first: 0 }
    }

    pub(super) fn reset(&mut self) {
        *self = Self::new();
    }

    /// Takes note of a packet. The caller sees to it that arrival times do not jump.
    pub(super) fn arrived(&mut self, at: i64, sent: Micros, bytes: u32) {
        let newest = *self.newest.get_or_insert_with(|| {
            self.first = at;
            at
        });
        let gap = at.saturating_sub(newest).clamp(0, WINDOW) as u32;
        self.newest = Some(newest.max(at));
        let index = at.div_euclid(BUCKET);
        let place = index.rem_euclid(BUCKETS as i64) as usize;
        let Some(bucket) = self.buckets.get_mut(place) else { return };
        let (index, sent) = (index as u32, (sent / 1000) as u32);
        if bucket.packets == 0 || bucket.index != index {
            // A packet that is older than all that is kept says nothing any more.
            if bucket.packets > 0 && (bucket.index.wrapping_sub(index) as i32) > 0 {
                return;
            }
            *bucket = Bucket { index, sent: (sent, sent), ..Bucket::default() };
        }
        bucket.bytes = bucket.bytes.saturating_add(bytes);
        bucket.packets += 1;
        bucket.gap = bucket.gap.max(gap);
        bucket.sent = (bucket.sent.0.min(sent), bucket.sent.1.max(sent));
    }

    /// Bits per second over the last second; the longest pause counts as the second longest, so that a stall that ends in one
    /// burst does not look like a slow path. Never more than was sent per second. `None` while too little has come.
    pub(super) fn bps(&self) -> Option<f64> {
        let newest = self.newest?;
        let last = newest.div_euclid(BUCKET) as u32;
        let spans = (WINDOW / BUCKET) as u32;
        let (mut bytes, mut packets, mut gaps) = (0_u64, 0, (0_u32, 0_u32));
        let mut sent: Option<(u32, u32)> = None;
        for bucket in &self.buckets {
            if bucket.packets == 0 || last.wrapping_sub(bucket.index) > spans {
                continue;
            }
            bytes += u64::from(bucket.bytes);
            packets += bucket.packets;
            gaps = match bucket.gap {
                gap if gap >= gaps.0 => (gap, gaps.0),
                gap => (gaps.0, gaps.1.max(gap)),
            };
            let (first, last) = sent.unwrap_or(bucket.sent);
            sent = Some((first.min(bucket.sent.0), last.max(bucket.sent.1)));
        }
        let oldest = (newest.div_euclid(BUCKET) - i64::from(spans)).saturating_mul(BUCKET).max(self.first);
        let span = newest.saturating_sub(oldest) - i64::from(gaps.0 - gaps.1);
        if packets < PACKETS_MIN || newest.saturating_sub(oldest) < SPAN_MIN {
            return None;
        }
        let arrived = bytes as f64 * 8e6 / span.max(SPAN_MIN / 2) as f64;
        let (first, last) = sent?;
        // One more millisecond, since moments are cut to them; and the first packet is no part of the time that is counted.
        let sending = f64::from(last.saturating_sub(first) + 1) * 1000.0 * f64::from(packets)
            / f64::from(packets.saturating_sub(1).max(1));
        Some(arrived.min(bytes as f64 * 8e6 / sending))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_reads_as_what_it_is() {
        let mut throughput = Throughput::new();
        assert_eq!(throughput.bps(), None);
        for step in 0..200_i64 {
            throughput.arrived(-500_000 + step * 10_000, step as u64 * 10_000, 1250);
        }
        let bps = throughput.bps().unwrap();
        assert!((950_000.0..1_050_000.0).contains(&bps), "{bps}");
    }

    #[test]
    fn a_stall_that_ends_in_a_burst_is_not_a_slow_path_nor_a_fast_one() {
        let mut throughput = Throughput::new();
        for step in 0..200_i64 {
            let sent = step * 10_000;
            // What is sent from 1.4 s on waits till 1.7 s.
            let at = if (1_400_000..1_700_000).contains(&sent) { 1_700_000 } else { sent };
            throughput.arrived(at, sent as u64, 1250);
            if step == 172 {
                let bps = throughput.bps().unwrap();
                assert!((850_000.0..1_100_000.0).contains(&bps), "{bps}");
            }
        }
    }
}
