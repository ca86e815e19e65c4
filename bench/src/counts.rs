//! Instructions that the stages of a packet's way take, and the bounds that were set for them.
//!
//! Reads what callgrind prints and the file of bounds, compares, and writes that file anew. A count is given per unit:
//! per packet, or per whatever a stage works on.

use std::collections::BTreeMap;

use anyhow::Context;

/// Units of each stage that are counted together.
pub const UNITS: u32 = 1600;

/// By how much a new bound lies above the count from which it is made: room for another build of the same code.
const HEADROOM: f64 = 0.05;

/// Below this share of its bound a count has fallen so far that the bound guards nothing any more.
const SLACK: f64 = 0.8;

/// Instructions per unit, by stage.
pub type Counts = BTreeMap<String, f64>;

/// Reads how many instructions callgrind says that it has counted: `==4711== Collected : 28`.
pub fn collected(text: &str) -> Option<u64> {
    let count = text.lines().find_map(|line| line.split_once("Collected :"))?.1;
    count.trim().parse().ok()
}

/// Reads a file of bounds: a stage and a number on each line, behind lines that begin with `#`.
pub fn parse_bounds(text: &str) -> anyhow::Result<Counts> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let (stage, bound) = line.split_once('\t').with_context(|| format!("`{line}`: no tab"))?;
            Ok((stage.to_owned(), bound.parse().with_context(|| format!("`{line}`: no number"))?))
        })
        .collect()
}

/// Writes the bounds that follow from what was counted, in the form of [`parse_bounds`].
pub fn write_bounds(comment: &str, counts: &Counts) -> String {
    let bounds = counts.iter().map(|(stage, count)| format!("{stage}\t{:.1}\n", count * (1.0 + HEADROOM)));
    let comment = comment.lines().filter(|line| line.starts_with('#')).map(|line| format!("{line}\n"));
    comment.chain(bounds).collect()
}

/// What one stage was found to be.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// Within its bound.
    Within,
    /// So far below its bound that this should be lowered.
    Loose,
    /// Over its bound.
    Over,
    /// It has no bound.
    Unbounded,
    /// It has a bound and was not counted.
    Uncounted,
}

impl Verdict {
    /// Whether the check fails with it.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Over | Self::Unbounded | Self::Uncounted)
    }
}

/// Compares every stage with its bound, by name.
pub fn compare<'a>(
    counts: &'a Counts,
    bounds: &'a Counts,
) -> impl Iterator<Item = (&'a str, Option<f64>, Option<f64>, Verdict)> {
    let uncounted = bounds.keys().filter(|stage| !counts.contains_key(*stage));
    counts.keys().chain(uncounted).map(|stage| {
        let (count, bound) = (counts.get(stage).copied(), bounds.get(stage).copied());
        let verdict = match (count, bound) {
            (Some(count), Some(bound)) if count > bound => Verdict::Over,
            (Some(count), Some(bound)) if count < bound * SLACK => Verdict::Loose,
            (Some(_), Some(_)) => Verdict::Within,
            (_, None) => Verdict::Unbounded,
            (None, Some(_)) => Verdict::Uncounted,
        };
        (stage.as_str(), count, bound, verdict)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: &[(&str, f64)]) -> Counts {
        of.iter().map(|(stage, count)| ((*stage).to_owned(), *count)).collect()
    }

    #[test]
    fn the_count_is_found_in_what_callgrind_says() {
        let said = "==7== Events    : Ir\n==7== Collected : 16000\n==7== \n==7== I   refs:      16,000\n";
        assert_eq!(collected(said), Some(16_000));
        assert_eq!(collected("==7== Events    : Ir\n"), None);
        assert_eq!(collected("==7== Collected : many\n"), None);
    }

    #[test]
    fn written_bounds_are_read_and_hold_what_they_were_made_from() {
        let measured = counts(&[("open", 7.0), ("seal", 1000.0)]);
        let text = write_bounds("# Why\nopen\t3\n", &measured);
        assert_eq!(text, "# Why\nopen\t7.3\nseal\t1050.0\n".replace("7.3", &format!("{:.1}", 7.0 * 1.05)));
        let bounds = parse_bounds(&text).unwrap();
        assert!(compare(&measured, &bounds).all(|(_, _, _, verdict)| verdict == Verdict::Within));
    }

    #[test]
    fn a_stage_over_its_bound_fails_and_so_does_one_without() {
        let found = counts(&[("a", 101.0), ("b", 99.0), ("c", 50.0), ("d", 1.0)]);
        let bounds = counts(&[("a", 100.0), ("b", 100.0), ("c", 100.0), ("e", 1.0)]);
        let verdicts: Vec<_> =
            compare(&found, &bounds).map(|(stage, _, _, verdict)| (stage, verdict)).collect();
        let expected = [
            ("a", Verdict::Over),
            ("b", Verdict::Within),
            ("c", Verdict::Loose),
            ("d", Verdict::Unbounded),
            ("e", Verdict::Uncounted),
        ];
        assert_eq!(verdicts, expected);
        let failures = verdicts.iter().filter(|(_, verdict)| verdict.is_failure()).count();
        assert_eq!(failures, 3);
    }
}
