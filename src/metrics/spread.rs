//! A histogram of one shard: plain numbers in fixed buckets, without a label for a session.

/// Counts of values by bucket, and their sum. Its user keeps the upper bounds, each included, in rising order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread<const BOUNDS: usize> {
    /// Values in each bucket alone.
    counts: [u64; BOUNDS],
    /// Values above the last bound.
    above: u64,
    sum: f64,
}

impl<const BOUNDS: usize> Default for Spread<BOUNDS> {
    fn default() -> Self {
        Self { counts: [0; BOUNDS], above: 0, sum: 0.0 }
    }
}

impl<const BOUNDS: usize> Spread<BOUNDS> {
    /// Counts one value.
    pub fn observe(&mut self, bounds: &[f64; BOUNDS], value: f64) {
        self.sum += value;
        let bucket = bounds.iter().zip(&mut self.counts).find(|(bound, _)| value <= **bound);
        *bucket.map_or(&mut self.above, |(_, count)| count) += 1;
    }

    /// Adds what another one with the same bounds has counted.
    pub fn add(&mut self, more: &Self) {
        self.counts.iter_mut().zip(more.counts).for_each(|(total, more)| *total += more);
        self.above += more.above;
        self.sum += more.sum;
    }

    /// Values in each bucket, the last of which has no bound, and the sum of all.
    pub fn figures(&self) -> (Vec<u64>, f64) {
        (self.counts.into_iter().chain([self.above]).collect(), self.sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket_and_what_lies_above_all_is_counted_too() {
        let bounds = [0.0, 0.5, 1.0];
        let mut spread = Spread::default();
        for value in [0.0, 0.5, 0.75, 1.0, 7.0] {
            spread.observe(&bounds, value);
        }
        let mut sum = Spread::default();
        sum.observe(&bounds, 0.25);
        sum.add(&spread);
        assert_eq!(sum.figures(), (vec![1, 2, 2, 1], 9.5));
    }
}
