//! The rate that follows from delay: it grows while nothing speaks against it, and falls to what came through when a queue
//! grows (draft-ietf-rmcat-gcc-02 5.5).

use super::delay::Usage;
use super::{CEILING_BPS, FLOOR_BPS, Micros, Reason};

/// What is left of the throughput of the last second when a queue grows.
const DECREASE: f64 = 0.85;

/// What is left of the path's capacity when that was measured with the queue standing, which is the better figure.
const DECREASE_TO_CAPACITY: f64 = 0.92;

/// While a queue of so many microseconds stands, nothing grows.
const STANDING: Micros = 80_000;

/// Growth per second, far from what is known of the path.
const GROWTH: f64 = 1.08;

/// Growth near it: a packet of so many bits per response time, which is the round trip and this, and at least so much per
/// second.
const PACKET_BITS: f64 = 9_600.0;
const RESPONSE: f64 = 0.1;
const STEP_MIN: f64 = 4_000.0;

/// Ceiling of growth by itself, as what was acknowledged: so much more, and so much.
const OVER_THROUGHPUT: f64 = 1.5;
const OVER_THROUGHPUT_BPS: f64 = 10_000.0;

/// And as the path's capacity, while that is known: what was full is not grown into.
const GROWTH_OF_CAPACITY: f64 = 0.97;

/// Bounds of the time between two decreases: a round trip.
const BETWEEN_DECREASES: (Micros, Micros) = (10_000, 200_000);

/// What has an influence, at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inputs {
    pub(super) now: Micros,
    pub(super) usage: Usage,
    pub(super) throughput: Option<f64>,
    /// What came through of late, for a decrease; `None` where the capacity alone counts.
    pub(super) carried: Option<f64>,
    /// What the path carries, if that was measured lately.
    pub(super) capacity: Option<f64>,
    pub(super) round_trip: Micros,
    /// Queueing delay, microseconds.
    pub(super) queue: Micros,
    /// Whether growth would be of use and may be.
    pub(super) may_grow: bool,
}

/// The rate that delay allows.
#[derive(Debug)]
pub(super) struct Rate {
    bps: f64,
    holds: bool,
    decreased_at: Option<Micros>,
    updated_at: Option<Micros>,
    link: Link,
}

impl Rate {
    pub(super) const fn new(bps: f64) -> Self {
        Self {
            bps,
            holds: false,
            decreased_at: None,
            updated_at: None,
            link: Link { mean: None, deviation: 0.4 },
        }
    }

    pub(super) fn bps(&self) -> f64 {
        self.bps
    }

    pub(super) fn holds(&self) -> bool {
        self.holds
    }

    /// Sets it to what was found in another way.
    pub(super) fn set(&mut self, bps: f64) {
        self.bps = bps.clamp(FLOOR_BPS as f64, CEILING_BPS as f64);
    }

    /// Forgets what was known of the link: the next is another.
    pub(super) fn forget(&mut self) {
        *self = Self::new(self.bps);
    }

    /// Takes one look; returns why it has changed, if it has.
    pub(super) fn update(&mut self, inputs: Inputs) -> Option<Reason> {
        let since =
            inputs.now.saturating_sub(self.updated_at.unwrap_or(inputs.now)).min(1_000_000) as f64 / 1e6;
        self.updated_at = Some(inputs.now);
        match inputs.usage {
            Usage::Over => self.decrease(inputs),
            _ if inputs.usage == Usage::Under || inputs.queue >= STANDING => {
                self.holds = true;
                None
            }
            _ => {
                self.holds = false;
                self.grow(inputs, since)
            }
        }
    }

    fn decrease(&mut self, inputs: Inputs) -> Option<Reason> {
        self.holds = true;
        let (least, most) = BETWEEN_DECREASES;
        let pause = inputs.round_trip.clamp(least, most);
        let throughput = inputs.throughput;
        let is_far_below = throughput.is_some_and(|bps| bps < self.bps / 2.0);
        let is_soon = self.decreased_at.is_some_and(|at| inputs.now.saturating_sub(at) < pause);
        if is_soon && !is_far_below {
            return None;
        }
        self.decreased_at = Some(inputs.now);
        let carried = inputs.carried.map(|bps| DECREASE * bps - 5_000.0);
        let measured = inputs.capacity.map(|bps| DECREASE_TO_CAPACITY * bps);
        let next = carried.into_iter().chain(measured).fold(0.0, f64::max);
        let next = if next > 0.0 { next } else { DECREASE * self.bps };
        if let Some(full) = inputs.capacity.or(throughput) {
            self.link.overused(full);
        }
        if next >= self.bps {
            return None;
        }
        self.set(next);
        Some(Reason::Overuse)
    }

    fn grow(&mut self, inputs: Inputs, since: f64) -> Option<Reason> {
        let throughput = inputs.throughput?;
        self.link.outgrown_by(throughput);
        if !inputs.may_grow {
            return None;
        }
        let next = if self.link.mean.is_some() {
            let response = 2.0 * (inputs.round_trip.min(2_000_000) as f64 / 1e6 + RESPONSE);
            self.bps + (PACKET_BITS / response).max(STEP_MIN) * since
        } else {
            self.bps * GROWTH.powf(since) + (1_000.0 * since).min(1_000.0)
        };
        let witnessed = OVER_THROUGHPUT * throughput + OVER_THROUGHPUT_BPS;
        let carried = inputs.capacity.map_or(f64::INFINITY, |bps| (GROWTH_OF_CAPACITY * bps).max(throughput));
        let next = next.min(witnessed).min(carried);
        if next <= self.bps {
            return None;
        }
        self.set(next);
        Some(Reason::Growth)
    }
}

/// What the path carried when its queue grew: smoothed, in kbit/s, with its deviation.
#[derive(Debug)]
struct Link {
    mean: Option<f64>,
    /// Variance by the mean.
    deviation: f64,
}

impl Link {
    fn overused(&mut self, bps: f64) {
        let sample = bps / 1000.0;
        if self.mean.is_some_and(|mean| sample < mean - self.spread(mean)) {
            self.mean = None;
        }
        let mean = self.mean.map_or(sample, |mean| 0.95 * mean + 0.05 * sample);
        let error = mean - sample;
        self.deviation = (0.95 * self.deviation + 0.05 * error * error / mean.max(1.0)).clamp(0.4, 2.5);
        self.mean = Some(mean);
    }

    /// What came through is far more: it is another link by now.
    fn outgrown_by(&mut self, bps: f64) {
        if self.mean.is_some_and(|mean| bps / 1000.0 > mean + self.spread(mean)) {
            self.mean = None;
        }
    }

    fn spread(&self, mean: f64) -> f64 {
        3.0 * (self.deviation * mean).max(0.0).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUTS: Inputs = Inputs {
        now: 0,
        usage: Usage::Normal,
        throughput: Some(691_000.0),
        carried: Some(691_000.0),
        capacity: None,
        round_trip: 50_000,
        queue: 0,
        may_grow: true,
    };

    #[test]
    fn it_grows_no_further_than_what_is_acknowledged_bears_witness_for() {
        let mut rate = Rate::new(600_000.0);
        for step in 0..1000 {
            rate.update(Inputs { now: step * 100_000, ..INPUTS });
        }
        assert!((1_046_000.0..1_047_000.0).contains(&rate.bps()), "{}", rate.bps());
        let mut idle = Rate::new(600_000.0);
        assert_eq!(idle.update(Inputs { may_grow: false, ..INPUTS }), None);
    }

    #[test]
    fn it_falls_to_what_the_path_carries_and_not_to_what_was_sent_a_second_ago() {
        let mut rate = Rate::new(1_000_000.0);
        let inputs =
            Inputs { usage: Usage::Over, carried: Some(250_000.0), capacity: Some(900_000.0), ..INPUTS };
        assert_eq!(rate.update(inputs), Some(Reason::Overuse));
        assert!((820_000.0..840_000.0).contains(&rate.bps()), "{}", rate.bps());
        let mut rate = Rate::new(1_000_000.0);
        rate.update(Inputs { capacity: None, ..inputs });
        assert!(rate.bps() < 250_000.0);
    }
}
