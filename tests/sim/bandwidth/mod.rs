//! The estimator of a subscriber, with the allocation and pacing that follow from it, on paths in virtual time, beside the
//! estimator of libwebrtc on the same ones.
//!
//! `cargo test --release --test sim bandwidth::table -- --ignored --nocapture` prints what each reaches, with `BANDWIDTH_SEEDS`
//! seeds (10). `BANDWIDTH_TRACE` with the name of a path prints what happens there instead, with the seed `BANDWIDTH_SEED`.

mod control;
mod goog;
mod link;
mod run;
mod source;
mod traces;
mod viewer;

use ringcast::congestion::Estimator;

use control::{ByReports, Control, Ours};
use goog::Goog;
use run::{Figures, Run};
use traces::{Aim, Trace};

/// Seeds of each trace.
const SEEDS: u64 = 10;

/// Numbers that are the same each time (splitmix64).
#[derive(Debug, Clone)]
struct Rng(u64);

impl Rng {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995)
    }

    /// From 0 to 1.
    fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// What came of some seeds of a trace, each with a new estimator.
fn runs<C: Control>(trace: &Trace, seeds: u64, control: impl Fn() -> C) -> Figures {
    let run = |seed| Run::new(control(), trace.spec.clone(), seed).run(trace.seconds).0;
    mean(&(1..=seeds).map(run).collect::<Vec<_>>())
}

fn ours() -> Ours {
    Ours(Estimator::new(0))
}

/// The means, and the worst of what is the longest.
fn mean(runs: &[Figures]) -> Figures {
    let mean = |of: &dyn Fn(&Figures) -> f64| runs.iter().map(of).sum::<f64>() / runs.len() as f64;
    Figures {
        seconds: std::array::from_fn(|layer| mean(&|run| run.seconds[layer])),
        none: mean(&|run| run.none),
        switches: mean(&|run| run.switches),
        queue_ms: (
            mean(&|run| run.queue_ms.0 as f64) as u64,
            runs.iter().map(|run| run.queue_ms.1).max().unwrap_or(0),
        ),
        audio_lost: mean(&|run| run.audio_lost),
        video_lost: mean(&|run| run.video_lost),
        probes: mean(&|run| run.probes),
        best_at: runs.iter().filter_map(|run| run.best_at).reduce(f64::max),
    }
}

const HEAD: &str = "path                              best  mid+  none     queue    sw audio% video% probe%";

/// Seconds on the best layer, on that or the middle one, and without a picture; queue of 95 % and longest, milliseconds;
/// switches; lost and probed shares.
fn line(figures: &Figures) -> String {
    let [_, middle, best] = figures.seconds;
    format!(
        "{:5.1} {:5.1} {:5.1} {:4}/{:<4} {:5.1} {:6.2} {:6.2} {:5.2}",
        best,
        best + middle,
        figures.none,
        figures.queue_ms.0,
        figures.queue_ms.1,
        figures.switches,
        100.0 * figures.audio_lost,
        100.0 * figures.video_lost,
        100.0 * figures.probes,
    )
}

/// What a trace misses of its aim.
fn missed(trace: &Trace, figures: &Figures) -> Option<String> {
    let Aim { middle, best, none, queue_ms, switches, audio_lost } = trace.aim;
    let reaches = figures.seconds[1] + figures.seconds[2] >= middle
        && figures.seconds[2] >= best
        && figures.none <= none
        && figures.queue_ms.0 <= queue_ms
        && figures.switches <= switches
        && figures.audio_lost <= audio_lost;
    (!reaches).then(|| format!("{:32} {}\n  {:?}", trace.name, line(figures), trace.aim))
}

#[test]
fn every_path_is_used_for_the_best_that_it_carries() {
    let traces = traces::all();
    let missed: Vec<String> =
        traces.iter().filter_map(|trace| missed(trace, &runs(trace, SEEDS, ours))).collect();
    assert!(missed.is_empty(), "\n{HEAD}\n{}", missed.join("\n"));
}

#[test]
fn layers_are_held_for_longer_than_by_the_yardstick() {
    // One seed of each is enough: the sum over all paths is what counts.
    let seconds = |figures: Figures| figures.seconds[1] + 2.0 * figures.seconds[2];
    let (mut own, mut others) = (0.0, 0.0);
    for trace in traces::all() {
        own += seconds(runs(&trace, 1, ours));
        others += seconds(runs(&trace, 1, Goog::new));
    }
    assert!(own > 1.2 * others, "{own} against {others}");
}

#[test]
fn a_client_that_reports_alone_climbs_by_trial_and_falls_back() {
    for (name, most) in [("5,000", 2), ("5,000, 5 % loss", 2), ("900", 1)] {
        let trace = traces::all().into_iter().find(|trace| trace.name == name).unwrap();
        let figures = runs(&trace, SEEDS, ByReports::new);
        assert!(figures.seconds[most] > 30.0, "{name}\n{HEAD}\n{:32} {}", "", line(&figures));
    }
}

#[test]
fn a_run_is_the_same_each_time() {
    let trace = &traces::all()[3];
    let runs = [0, 1].map(|_| format!("{:?}", runs(trace, 1, ours)));
    assert_eq!(runs[0], runs[1]);
}

#[test]
#[ignore = "prints figures, and holds nothing"]
fn table() {
    if let Ok(name) = std::env::var("BANDWIDTH_TRACE") {
        for trace in traces::all().iter().filter(|trace| trace.name == name) {
            if std::env::var("BANDWIDTH_REPORTS").is_ok() {
                let mut run =
                    Run::new(ByReports::new(), trace.spec.clone(), number("BANDWIDTH_SEED").unwrap_or(1));
                run.trace = Some(Vec::new());
                println!("{}", run.run(trace.seconds).1.join("\n"));
                continue;
            }
            let mut run = Run::new(ours(), trace.spec.clone(), number("BANDWIDTH_SEED").unwrap_or(1));
            run.trace = Some(Vec::new());
            let (figures, trace) = run.run(trace.seconds);
            println!("{}\n{}", trace.join("\n"), line(&figures));
        }
        return;
    }
    let seeds = number("BANDWIDTH_SEEDS").unwrap_or(SEEDS);
    println!("ours, then goog_cc, then ours by receiver reports alone\n{HEAD}");
    for trace in traces::all() {
        println!("{:32} {}", trace.name, line(&runs(&trace, seeds, ours)));
        println!("{:32} {}", "", line(&runs(&trace, seeds, Goog::new)));
        println!("{:32} {}", "", line(&runs(&trace, seeds, ByReports::new)));
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}
