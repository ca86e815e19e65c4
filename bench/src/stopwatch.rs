//! A stop watch for work of nanoseconds, for the benchmarks of single stages.
//!
//! Work is run until it is warm, then in samples that are long beside the reading of the clock. What is told is the
//! median of the samples, with the least and the greatest: on a busy machine the least says most.

use std::hint::black_box;
use std::time::{Duration, Instant};

const WARM_UP: Duration = Duration::from_millis(300);
const SAMPLE: Duration = Duration::from_millis(30);
const SAMPLES: usize = 30;

/// Times what its command line asks for.
#[derive(Debug)]
pub struct Stopwatch {
    wanted: Option<String>,
}

impl Stopwatch {
    /// Takes a part of a name from the command line: only work with such a name is timed, without one all of it.
    pub fn from_command_line() -> Self {
        // Cargo adds a flag that says that this is a benchmark.
        Self { wanted: std::env::args().skip(1).find(|argument| !argument.starts_with('-')) }
    }

    /// Times `work`, which does `units` of something each time, and prints nanoseconds for one unit.
    #[expect(clippy::print_stdout, reason = "a benchmark speaks on its terminal")]
    pub fn time<T>(&self, name: &str, units: u32, mut work: impl FnMut() -> T) {
        if self.wanted.as_ref().is_some_and(|wanted| !name.contains(wanted)) {
            return;
        }
        let mut runs: u32 = 1;
        let mut warm = Duration::ZERO;
        while warm < WARM_UP {
            let taken = sample(runs, &mut work);
            warm += taken;
            if taken < SAMPLE {
                runs = runs.saturating_mul(2);
            }
        }
        let samples = (0..SAMPLES).map(|_| sample(runs, &mut work).as_nanos() as f64);
        let units = f64::from(runs) * f64::from(units);
        let (least, median, greatest) = spread(samples.map(|nanos| nanos / units).collect());
        println!("{name:<40} {median:>10.1} ns ({least:.1}–{greatest:.1})");
    }
}

#[expect(clippy::disallowed_methods, reason = "a stop watch reads the clock")]
fn sample<T>(runs: u32, work: &mut impl FnMut() -> T) -> Duration {
    let begin = Instant::now();
    for _ in 0..runs {
        black_box(work());
    }
    begin.elapsed()
}

/// Least, median and greatest.
fn spread(mut samples: Vec<f64>) -> (f64, f64, f64) {
    samples.sort_by(f64::total_cmp);
    let at = |index: usize| samples.get(index).copied().unwrap_or(f64::NAN);
    (at(0), at(samples.len() / 2), at(samples.len().saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_between_the_least_and_the_greatest() {
        assert_eq!(spread(vec![9.0, 1.0, 2.0]), (1.0, 2.0, 9.0));
        assert_eq!(spread(vec![4.0]), (4.0, 4.0, 4.0));
        assert!(spread(Vec::new()).1.is_nan());
    }

    #[test]
    fn work_is_run_only_where_its_name_is_wanted() {
        let stopwatch = Stopwatch { wanted: Some("seal".to_owned()) };
        let mut runs = 0;
        stopwatch.time("open", 1, || runs += 1);
        assert_eq!(runs, 0);
    }
}
