//! The rate that loss allows: of a few candidates the likeliest, where a path loses some share by its nature and all that is
//! sent over its bandwidth (the model of loss-based estimation in later WebRTC implementations).

use super::{CEILING_BPS, FLOOR_BPS, Micros};

/// Least span of an observation.
const SPAN: Micros = 250_000;

/// Observations kept, the weight of each as that of the one after it, and the least number that says something.
const OBSERVATIONS: usize = 15;
const AGEING: f64 = 0.9;
const OBSERVATIONS_MIN: usize = 3;

/// Candidates, as the present estimate.
const CANDIDATES: [f64; 3] = [1.02, 1.0, 0.95];

/// Bounds of the share that is lost by nature. The upper one rises as the rate falls: a slow path is no reason to starve it.
const INHERENT: (f64, f64) = (0.001, 0.05);
const INHERENT_BPS: f64 = 100_000.0;

/// The same where delay stays flat while packets are lost: a queue that overflows is seen before.
const INHERENT_FLAT: f64 = 0.12;

/// Queueing delay up to which it is flat, microseconds.
const FLAT: Micros = 15_000;

/// And from which on a queue stands; what is lost then was not lost by nature.
const STANDING: Micros = 80_000;
const INHERENT_STANDING: f64 = 0.02;

/// Bounds before any delay was seen.
const NO_QUEUE: (Micros, Micros) = (Micros::MAX, 0);

/// Part of a step of Newton's that is taken.
const NEWTON: f64 = 0.75;

/// How much likelier a higher rate is held to be.
const BIAS: (f64, f64) = (0.0002, 0.02);

/// Loss over which lower rates are.
const BIAS_TURNS_AT: f64 = 0.2;

/// Growth within [`GROWTH_SPAN`], and over what was acknowledged: at most.
const GROWTH: f64 = 1.3;
const GROWTH_SPAN: Micros = 300_000;
const OVER_THROUGHPUT: f64 = 1.5;
const OVER_THROUGHPUT_HELD: f64 = 1.2;

/// How long a rate is held after growth from a loss has failed: bounds.
const HOLD: (Micros, Micros) = (300_000, 60_000_000);

/// Loss from which on the estimate is bounded at once.
const INSTANT_LOSS: f64 = 0.05;
const INSTANT_BPS: f64 = 100_000.0;

#[derive(Debug, Clone, Copy, Default)]
struct Observation {
    bytes: u32,
    lost: u32,
    bps: f32,
}

/// What was lost of what was sent lately, and the rate that follows.
#[derive(Debug)]
pub(super) struct Loss {
    observations: [Observation; OBSERVATIONS],
    newest: usize,
    len: usize,
    part: Observation,
    /// Packets of the part, and since when it is gathered: moments of sending.
    part_from: Option<Micros>,
    part_to: Micros,
    inherent: f64,
    bps: f64,
    hold: (Micros, Micros),
    window: (Micros, f64),
    /// The least and the most queueing delay since the last observation.
    queue: (Micros, Micros),
}

/// What else is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inputs {
    pub(super) now: Micros,
    /// The rate that delay allows.
    pub(super) delay_bps: f64,
    pub(super) throughput: Option<f64>,
    /// Whether the throughput is that of what there was to send, and not of the path.
    pub(super) is_limited_by_source: bool,
    /// Queueing delay, microseconds.
    pub(super) queue: Micros,
}

impl Loss {
    pub(super) const fn new() -> Self {
        let empty = Observation { bytes: 0, lost: 0, bps: 0.0 };
        Self {
            observations: [empty; OBSERVATIONS],
            newest: 0,
            len: 0,
            part: empty,
            part_from: None,
            part_to: 0,
            inherent: 0.01,
            bps: f64::INFINITY,
            hold: (0, HOLD.0),
            window: (0, f64::INFINITY),
            queue: NO_QUEUE,
        }
    }

    pub(super) fn reset(&mut self) {
        *self = Self::new();
    }

    /// Takes note of a packet of which something was told.
    pub(super) fn told(&mut self, sent: Micros, bytes: u32, is_lost: bool) {
        self.part_from.get_or_insert(sent);
        self.part_to = self.part_to.max(sent);
        self.part.bytes = self.part.bytes.saturating_add(bytes);
        if is_lost {
            self.part.lost = self.part.lost.saturating_add(bytes);
        }
    }

    /// A packet that was called lost has come after all.
    pub(super) fn take_back(&mut self, bytes: u32) {
        if self.part.lost >= bytes {
            self.part.lost -= bytes;
            return;
        }
        let mut left = bytes;
        for back in 0..self.len {
            let place = (self.newest + OBSERVATIONS - back) % OBSERVATIONS;
            let Some(observation) = self.observations.get_mut(place) else { return };
            let taken = observation.lost.min(left);
            observation.lost -= taken;
            left -= taken;
        }
    }

    /// Share of bytes lost in about the last second.
    pub(super) fn recent(&self) -> f64 {
        let parts = (0..self.len.min(4)).filter_map(|back| self.back(back)).chain([self.part]);
        let (bytes, lost) = parts
            .fold((0_u64, 0_u64), |sum, one| (sum.0 + u64::from(one.bytes), sum.1 + u64::from(one.lost)));
        if bytes == 0 { 0.0 } else { (lost as f64 / bytes as f64).min(1.0) }
    }

    /// The rate that loss allows; infinite while it bounds nothing.
    pub(super) fn bps(&self) -> f64 {
        self.bps
    }

    /// Whether it keeps the rate below this.
    pub(super) fn limits(&self, bps: f64) -> bool {
        self.bps < bps
    }

    /// A probe came through: what was lost before speaks of another path.
    pub(super) fn raise_to(&mut self, bps: f64) {
        if self.bps < bps {
            self.reset();
        }
    }

    fn back(&self, back: usize) -> Option<Observation> {
        self.observations.get((self.newest + OBSERVATIONS - back) % OBSERVATIONS).copied()
    }

    /// Takes one look, once enough was told.
    pub(super) fn update(&mut self, inputs: Inputs) {
        let Some(from) = self.part_from else { return };
        let (least, most) = self.queue;
        self.queue = (least.min(inputs.queue), most.max(inputs.queue));
        let span = self.part_to.saturating_sub(from);
        if span < SPAN || self.part.bytes == 0 {
            return;
        }
        self.newest = (self.newest + 1) % OBSERVATIONS;
        self.len = (self.len + 1).min(OBSERVATIONS);
        let bps = (f64::from(self.part.bytes) * 8e6 / span as f64) as f32;
        let part = std::mem::take(&mut self.part);
        if let Some(place) = self.observations.get_mut(self.newest) {
            *place = Observation { bps, ..part };
        }
        self.part_from = None;
        let queue = std::mem::replace(&mut self.queue, NO_QUEUE);
        let has_lost = (0..self.len).any(|back| self.back(back).is_some_and(|one| one.lost > 0));
        if self.len < OBSERVATIONS_MIN || !has_lost && !self.limits(inputs.delay_bps) {
            if !has_lost {
                self.bps = f64::INFINITY;
            }
            return;
        }
        self.choose(inputs, queue);
    }

    fn choose(&mut self, inputs: Inputs, queue: (Micros, Micros)) {
        let is_flat = queue.1 < FLAT;
        let present = self.bps.min(inputs.delay_bps);
        let average = self.average();
        let acknowledged = inputs.throughput.filter(|_| !inputs.is_limited_by_source);
        let candidates = CANDIDATES.map(|factor| Some(factor * present)).into_iter();
        let candidates = candidates.chain([acknowledged, Some(inputs.delay_bps)]).flatten();
        let mut best = (f64::NEG_INFINITY, present, self.inherent);
        for bps in candidates.map(|bps| bps.clamp(FLOOR_BPS as f64, CEILING_BPS as f64)) {
            let inherent = self.fit(bps, queue);
            let worth = self.likelihood(bps, inherent, average);
            if worth > best.0 {
                best = (worth, bps, inherent);
            }
        }
        let (_, mut next, inherent) = best;
        self.inherent = inherent;
        if next > present {
            next = self.bounded_growth(present, next, inputs);
        }
        if average > INSTANT_LOSS && !is_flat {
            next = next.min(INSTANT_BPS / (average - INSTANT_LOSS));
        } else if average > INHERENT_FLAT {
            next = next.min(INSTANT_BPS / (average - INHERENT_FLAT));
        }
        if next < present * 0.999 {
            self.fell(inputs.now);
        }
        let limits = next < inputs.delay_bps * 0.999;
        self.bps = if limits { next.max(FLOOR_BPS as f64) } else { f64::INFINITY };
    }

    fn bounded_growth(&mut self, present: f64, next: f64, inputs: Inputs) -> f64 {
        if !self.bps.is_finite() {
            return next;
        }
        let (until, _) = self.hold;
        let is_held = inputs.now < until;
        let (from, at_begin) = self.window;
        if inputs.now.saturating_sub(from) >= GROWTH_SPAN || !at_begin.is_finite() {
            self.window = (inputs.now, present);
        }
        let factor = if is_held { OVER_THROUGHPUT_HELD } else { OVER_THROUGHPUT };
        let witnessed = inputs.throughput.map_or(present, |bps| (bps * factor).max(present));
        next.min(self.window.1 * GROWTH).min(witnessed)
    }

    fn fell(&mut self, now: Micros) {
        let (until, len) = self.hold;
        // A fall within twice the hold of the one before means that growth has failed.
        let (least, most) = HOLD;
        let len = if now < until.saturating_add(len) { (2 * len).min(most) } else { least };
        self.hold = (now.saturating_add(len), len);
    }

    fn average(&self) -> f64 {
        let (mut lost, mut bytes) = (0.0, 0.0);
        let mut weight = 1.0;
        for one in (0..self.len).filter_map(|back| self.back(back)) {
            lost += weight * f64::from(one.lost);
            bytes += weight * f64::from(one.bytes);
            weight *= AGEING;
        }
        if bytes > 0.0 { lost / bytes } else { 0.0 }
    }

    /// The share lost by nature that fits best if the path carries so much: one step from the present one.
    fn fit(&self, bps: f64, queue: (Micros, Micros)) -> f64 {
        let (mut first, mut second, mut weight) = (0.0, 0.0, 1.0);
        for one in (0..self.len).filter_map(|back| self.back(back)) {
            let share = probability(self.inherent, bps, f64::from(one.bps));
            let (lost, came) = kilobytes(one);
            first += weight * (lost / share - came / (1.0 - share));
            second -= weight * (lost / (share * share) + came / ((1.0 - share) * (1.0 - share)));
            weight *= AGEING;
        }
        let step = if second < 0.0 { NEWTON * first / second } else { 0.0 };
        let (least, most) = INHERENT;
        let most = match queue {
            (_, ..FLAT) => INHERENT_FLAT + INHERENT_BPS / bps,
            (STANDING.., _) => INHERENT_STANDING,
            _ => most + INHERENT_BPS / bps,
        };
        (self.inherent - step).clamp(least, most.min(1.0))
    }

    fn likelihood(&self, bps: f64, inherent: f64, average: f64) -> f64 {
        let (linear, by_log) = BIAS;
        let bias = if average > BIAS_TURNS_AT { -1.0 } else { 1.0 };
        let bias = bias * (linear * bps / 1000.0 + by_log * (1.0 + bps / 1000.0).ln());
        let (mut sum, mut weight) = (0.0, 1.0);
        for one in (0..self.len).filter_map(|back| self.back(back)) {
            let share = probability(inherent, bps, f64::from(one.bps));
            let (lost, came) = kilobytes(one);
            sum += weight * (lost * share.ln() + came * (1.0 - share).ln() + bias * (lost + came));
            weight *= AGEING;
        }
        sum
    }
}

fn kilobytes(one: Observation) -> (f64, f64) {
    let lost = f64::from(one.lost.min(one.bytes)) / 1000.0;
    (lost, f64::from(one.bytes) / 1000.0 - lost)
}

/// How likely a byte is lost: by nature, or since more was sent than the path carries.
fn probability(inherent: f64, bps: f64, sent_bps: f64) -> f64 {
    let over = if sent_bps > bps && sent_bps > 0.0 { (sent_bps - bps) / sent_bps } else { 0.0 };
    (inherent + (1.0 - inherent) * over).clamp(1e-6, 1.0 - 1e-6)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends so many packets of 1000 bytes a second for ten seconds, of which one in so many is lost, with a queue.
    fn run(loss: &mut Loss, packets: u64, one_in: u64, queue: Micros) -> f64 {
        let bps = packets as f64 * 8000.0;
        for number in 0..10 * packets {
            let sent = number * 1_000_000 / packets;
            loss.told(sent, 1000, number % one_in == one_in - 1);
            let throughput = Some(bps * (1.0 - 1.0 / one_in as f64));
            loss.update(Inputs { now: sent, delay_bps: 1e6, throughput, is_limited_by_source: false, queue });
        }
        loss.bps()
    }

    #[test]
    fn loss_by_nature_bounds_nothing_and_loss_by_excess_does() {
        assert_eq!(run(&mut Loss::new(), 100, 100, 0), f64::INFINITY);
        assert_eq!(run(&mut Loss::new(), 100, 20, 0), f64::INFINITY);
        assert!(run(&mut Loss::new(), 100, 3, 100_000) < 700_000.0);
    }

    #[test]
    fn what_comes_late_was_never_lost() {
        let mut loss = Loss::new();
        for number in 0..999 {
            loss.told(number * 10_000, 1000, number % 3 == 0);
            if number % 3 == 1 {
                loss.take_back(1000);
            }
        }
        assert_eq!(loss.recent(), 0.0);
    }
}
