//! The paths on which estimators are measured, and what is expected there.

use super::Rng;
use super::link::{Cross, Loss, Spec};

/// What a run has to reach, as the mean over its seeds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aim {
    /// Seconds on the middle layer or the best, and on the best.
    pub(crate) middle: f64,
    pub(crate) best: f64,
    /// Seconds without a picture, after the first.
    pub(crate) none: f64,
    /// Queueing, 95th percentile, milliseconds.
    pub(crate) queue_ms: u64,
    pub(crate) switches: f64,
    pub(crate) audio_lost: f64,
}

const AIM: Aim = Aim { middle: 0.0, best: 0.0, none: 1.0, queue_ms: 100, switches: 2.0, audio_lost: 0.001 };

/// On a path that carries the best layer.
const BEST: Aim = Aim { middle: 58.5, best: 58.5, ..AIM };

/// On a path that carries the middle one.
const MIDDLE: Aim = Aim { middle: 59.0, switches: 1.5, ..AIM };

/// A path and what is expected on it.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) name: &'static str,
    pub(crate) seconds: u64,
    pub(crate) spec: Spec,
    pub(crate) aim: Aim,
}

fn trace(name: &'static str, seconds: u64, spec: Spec, aim: Aim) -> Trace {
    Trace { name, seconds, spec, aim }
}

fn changing(rates: &[(u64, u64)]) -> Spec {
    Spec {
        rates: rates.iter().map(|(second, kilobits)| (second * 1000, *kilobits)).collect(),
        ..Spec::steady(0)
    }
}

/// A rate that wanders between 0.5 and 8 Mbit/s as a mobile network's does.
fn wandering(seed: u64) -> Spec {
    let mut rng = Rng::new(seed);
    let mut kilobits = 2_000.0_f64;
    let step = |at: u64| {
        kilobits = (kilobits * (0.85 + 0.3 * rng.share())).clamp(500.0, 8_000.0);
        (at * 200, kilobits as u64)
    };
    Spec { rates: (0..300).map(step).collect(), queue_ms: 300, ..Spec::steady(0) }
}

/// All of them.
pub(crate) fn all() -> Vec<Trace> {
    [wide(), thin(), changing_rates(), recommended(), shared(), odd()].into_iter().flatten().collect()
}

fn random(kilobits: u64, share: f64) -> Spec {
    Spec { loss: Loss::Random(share), ..Spec::steady(kilobits) }
}

/// With the audio that is lost at random, and is not repaired.
fn lossy(aim: Aim, share: f64) -> Aim {
    Aim { audio_lost: 1.3 * share + 0.002, ..aim }
}

/// Room for the best layer.
fn wide() -> Vec<Trace> {
    let steady = Spec::steady;
    vec![
        trace("5,000", 60, steady(5_000), BEST),
        trace("5,000, 1 % loss", 60, random(5_000, 0.01), lossy(BEST, 0.01)),
        trace("5,000, 5 % loss", 60, random(5_000, 0.05), lossy(Aim { best: 57.5, ..BEST }, 0.05)),
        trace("5,000, 10 % loss", 60, random(5_000, 0.1), lossy(Aim { best: 57.5, ..BEST }, 0.1)),
        trace(
            "5,000, loss in bursts, 5 %",
            60,
            Spec { loss: Loss::Bursts(0.05), ..steady(5_000) },
            lossy(BEST, 0.05),
        ),
    ]
}

/// Room for the middle layer, and for the cheapest.
fn thin() -> Vec<Trace> {
    let steady = Spec::steady;
    vec![
        trace("900", 60, steady(900), MIDDLE),
        trace("900, queue 50 ms", 60, Spec { queue_ms: 50, ..steady(900) }, MIDDLE),
        trace(
            "900, round trip 300 ms",
            60,
            Spec { round_trip_ms: 300, ..steady(900) },
            Aim { middle: 58.0, ..MIDDLE },
        ),
        trace("900, 5 % loss", 60, random(900, 0.05), lossy(Aim { middle: 57.0, ..MIDDLE }, 0.05)),
        trace("300", 60, steady(300), Aim { none: 0.1, switches: 0.5, ..AIM }),
    ]
}

fn changing_rates() -> Vec<Trace> {
    vec![
        trace(
            "5,000 to 900 to 5,000",
            70,
            changing(&[(0, 5_000), (20, 900), (40, 5_000)]),
            Aim { middle: 69.0, best: 45.5, switches: 3.5, ..AIM },
        ),
        trace(
            "5,000 to 300 to 5,000",
            70,
            changing(&[(0, 5_000), (20, 300), (40, 5_000)]),
            Aim { middle: 46.0, best: 42.0, switches: 4.0, ..AIM },
        ),
        trace(
            "900 to 300 to 900",
            70,
            changing(&[(0, 900), (20, 300), (40, 900)]),
            Aim { middle: 46.0, switches: 3.5, ..AIM },
        ),
        trace(
            "900 to 300, queue 1 s",
            60,
            Spec { queue_ms: 1_000, ..changing(&[(0, 900), (20, 300)]) },
            Aim { queue_ms: 230, switches: 2.5, ..AIM },
        ),
    ]
}

/// The variable rates of RFC 8867.
fn recommended() -> Vec<Trace> {
    let first = [(0, 1_000), (40, 2_500), (60, 600), (80, 1_000)];
    let second = [(0, 2_000), (25, 1_000), (50, 1_750), (75, 500), (100, 1_000)];
    vec![
        trace(
            "RFC 8867 5.1",
            100,
            Spec { round_trip_ms: 100, queue_ms: 300, ..changing(&first) },
            Aim { middle: 76.0, switches: 5.0, ..AIM },
        ),
        trace(
            "RFC 8867 5.2",
            125,
            Spec { round_trip_ms: 100, queue_ms: 300, ..changing(&second) },
            Aim { middle: 94.0, switches: 6.0, ..AIM },
        ),
    ]
}

/// With another flow on the same link.
fn shared() -> Vec<Trace> {
    let steady = Spec::steady;
    vec![
        trace(
            "2,000, another flow of 1,400",
            60,
            Spec { cross: Cross::Constant(1_400, 20, 40), ..steady(2_000) },
            Aim { middle: 28.0, switches: 5.0, queue_ms: 160, ..AIM },
        ),
        trace(
            "2,000, another flow that adapts",
            60,
            Spec { cross: Cross::Adapting(20, 40), ..steady(2_000) },
            Aim { middle: 38.0, switches: 5.0, queue_ms: 200, ..AIM },
        ),
    ]
}

/// Jitter, policers, stalls, long ways, mobile networks, and outages.
fn odd() -> Vec<Trace> {
    let steady = Spec::steady;
    vec![
        trace(
            "5,000, jitter 30 ms",
            60,
            Spec { jitter_ms: 30, ..steady(5_000) },
            Aim { middle: 58.0, best: 54.0, ..BEST },
        ),
        trace(
            "policer 1,000, 20 kB",
            60,
            Spec { bucket: Some(20_000), ..steady(1_000) },
            Aim { middle: 50.0, switches: 8.0, audio_lost: 0.02, ..AIM },
        ),
        trace("900, round trip 20 ms", 60, Spec { round_trip_ms: 20, ..steady(900) }, MIDDLE),
        trace(
            "5,000, round trip 300 ms",
            60,
            Spec { round_trip_ms: 300, ..steady(5_000) },
            Aim { middle: 58.0, best: 57.0, ..BEST },
        ),
        trace(
            "mobile, 500 to 8,000",
            60,
            wandering(5),
            Aim { middle: 58.5, best: 45.0, switches: 5.0, ..AIM },
        ),
        trace(
            "5,000, stalls of 100 to 400 ms",
            60,
            Spec { stalls: Some((4_000, 400)), queue_ms: 500, ..steady(5_000) },
            Aim { middle: 50.0, switches: 4.0, ..AIM },
        ),
        trace(
            "900 to 100 to 900",
            60,
            changing(&[(0, 900), (10, 100), (30, 900)]),
            Aim { middle: 32.0, none: 22.0, switches: 3.0, audio_lost: 0.01, ..AIM },
        ),
    ]
}
