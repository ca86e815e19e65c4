//! Durations counted in buckets whose width grows with the value, three percent of it at most.

use std::time::Duration;

/// Buckets for each doubling of the value.
const PER_DOUBLING: u64 = 32;
const PER_DOUBLING_BITS: u32 = PER_DOUBLING.trailing_zeros();
/// One linear range and 58 doublings hold every `u64`.
const BUCKETS: usize = 1920;

/// A histogram of durations: constant size, no allocation after the first value.
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, value: Duration) {
        let nanos = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
        if self.buckets.is_empty() {
            self.buckets.resize(BUCKETS, 0);
        }
        if let Some(bucket) = self.buckets.get_mut(index_of(nanos)) {
            *bucket += 1;
        }
        self.count += 1;
        self.max = self.max.max(nanos);
    }

    /// Adds everything that another histogram has counted.
    pub fn merge(&mut self, other: &Self) {
        if self.buckets.is_empty() {
            self.buckets.clone_from(&other.buckets);
        } else {
            for (bucket, more) in self.buckets.iter_mut().zip(&other.buckets) {
                *bucket += more;
            }
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// Values counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The largest value, exactly.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }

    /// The value that the given share of all values does not exceed, to the width of its bucket; `None` when
    /// nothing was counted.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        if self.count == 0 {
            return None;
        }
        let rank = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count);
        let mut seen = 0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            seen += bucket;
            if seen >= rank {
                return Some(Duration::from_nanos(upper_bound(index).min(self.max)));
            }
        }
        Some(self.max())
    }
}

fn index_of(value: u64) -> usize {
    if value < PER_DOUBLING {
        return value as usize;
    }
    let shift = value.ilog2() - PER_DOUBLING_BITS;
    (u64::from(shift) * PER_DOUBLING + (value >> shift)) as usize
}

/// The largest value of a bucket.
fn upper_bound(index: usize) -> u64 {
    let index = index as u64;
    if index < PER_DOUBLING {
        return index;
    }
    let shift = index / PER_DOUBLING - 1;
    let next = u128::from(index - shift * PER_DOUBLING + 1) << shift;
    u64::try_from(next - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_the_bucket_that_ends_at_or_above_it() {
        for value in (0..200).chain([1 << 20, (1 << 20) + 1, 123_456_789, u64::MAX - 1, u64::MAX]) {
            let index = index_of(value);
            assert!(index < BUCKETS, "{value}");
            assert!(upper_bound(index) >= value, "{value}");
            assert!(index == 0 || upper_bound(index - 1) < value, "{value}");
            assert!(u128::from(upper_bound(index)) <= u128::from(value) * 33 / 32 + 1, "{value}");
        }
    }

    #[test]
    fn quantiles_of_a_uniform_run_are_right_to_three_percent() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        (1..=1000).for_each(|ms| histogram.record(Duration::from_millis(ms)));
        let mut merged = Histogram::default();
        merged.merge(&histogram);
        merged.merge(&histogram);
        assert_eq!(merged.count(), 2000);
        for (share, expected) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let found = merged.quantile(share).unwrap().as_secs_f64() * 1000.0;
            assert!((found / expected - 1.0).abs() < 0.035, "{share}: {found}");
        }
        assert_eq!(merged.max(), Duration::from_secs(1));
    }
}
