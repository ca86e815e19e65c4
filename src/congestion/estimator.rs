//! The estimator of one subscriber: what it is told goes to its parts, and the least of what they allow is the target.

use super::capacity::Capacity;
use super::delay::{Delay, Usage};
use super::loss::{self, Loss};
use super::probe::{Probe, Prober};
use super::rate::{self, Rate};
use super::reports::{Reception, Reports};
use super::throughput::Throughput;
use super::{
    CEILING_BPS, Demand, Estimate, FLOOR_BPS, Micros, Outcome, Purpose, Reason, START_BPS, State,
    UNTOLD_START_BPS,
};

/// A packet that was sent longer ago says nothing any more.
const AGE_MAX: Micros = 10_000_000;

/// A receiver's clock that jumps further than time went by is another.
const JUMP: i64 = 3_000_000;

/// Most of one feedback that is looked at; more cannot be under way.
const OUTCOMES_MAX: usize = 4096;

/// Time without video after which the delay of audio packets enters the trend.
const AUDIO_ALONE: Micros = 1_000_000;

/// Time without feedback after which the trend begins anew.
const TREND_MAX_PAUSE: Micros = 2_000_000;

/// Time without feedback, with so many packets out, after which nothing grows.
const SILENCE: Micros = 1_000_000;
const SILENT_PACKETS: u32 = 10;

/// Round trip and silence together after which the rate falls, each second to this part of it.
const OUTAGE: Micros = 3_000_000;
const OUTAGE_DECREASE: f64 = 0.8;

/// Share of the target below which what is sent is less than the path carries.
const LIMITED_BY_SOURCE: f64 = 0.65;

/// A queue of so much that stood for so long, and is below the third again, has drained.
const QUEUE_STOOD: Micros = 60_000;
const QUEUE_STOOD_FOR: Micros = 1_000_000;
const QUEUE_DRAINED: Micros = 20_000;

/// A queue of so much is overuse while it grows.
const QUEUE_LONG: Micros = 80_000;

/// A fall to less than this of what it was calls for a probe.
const FALL: f64 = 0.66;

/// Slots of the send rate and their length: a second of them.
const SLOTS: usize = 8;
const SLOT: Micros = 125_000;

/// Bytes sent in the last second.
#[derive(Debug, Default)]
struct Sent {
    slots: [u32; SLOTS],
    slot: u64,
    began: Option<Micros>,
}

impl Sent {
    fn advance(&mut self, now: Micros) {
        let slot = now / SLOT;
        self.began.get_or_insert(now);
        let behind = slot.saturating_sub(self.slot).min(SLOTS as u64);
        for back in 0..behind {
            if let Some(place) = self.slots.get_mut(((slot - back) % SLOTS as u64) as usize) {
                *place = 0;
            }
        }
        self.slot = self.slot.max(slot);
    }

    fn add(&mut self, now: Micros, bytes: u32) {
        self.advance(now);
        if let Some(place) = self.slots.get_mut((self.slot % SLOTS as u64) as usize) {
            *place = place.saturating_add(bytes);
        }
    }

    fn bps(&mut self, now: Micros) -> f64 {
        self.advance(now);
        let bytes: u64 = self.slots.iter().map(|bytes| u64::from(*bytes)).sum();
        let full = SLOT * (SLOTS as u64 - 1) + now % SLOT;
        let span = full.min(now.saturating_sub(self.began.unwrap_or(now))).max(SLOT);
        bytes as f64 * 8e6 / span as f64
    }
}

/// The estimator of one subscriber.
#[derive(Debug)]
pub struct Estimator {
    throughput: Throughput,
    capacity: Capacity,
    delay: Delay,
    rate: Rate,
    loss: Loss,
    prober: Prober,
    reports: Reports,
    /// Media, repair and probes; and media alone.
    sent: Sent,
    sent_media: Sent,
    demand: Demand,
    /// Packets sent since the last feedback.
    out: u32,
    /// When the first of these was sent.
    out_since: Micros,
    told_at: Option<Micros>,
    round_trip: Micros,
    newest_arrival: Option<(i64, Micros)>,
    video_at: Option<Micros>,
    lowered_at: Micros,
    queue_since: Option<Micros>,
    has_feedback: bool,
    /// Whether anything can tell what comes of a probe.
    may_probe: bool,
    is_stream: bool,
    target: f64,
    /// The last change worth a name.
    reason: (Reason, Micros),
}

impl Estimator {
    /// Begins with [`START_BPS`], and with probes as soon as something more is wanted.
    pub fn new(now: Micros) -> Self {
        let mut prober = Prober::new();
        prober.start(START_BPS as f64);
        Self {
            throughput: Throughput::new(),
            capacity: Capacity::new(),
            delay: Delay::new(),
            rate: Rate::new(START_BPS as f64),
            loss: Loss::new(),
            prober,
            reports: Reports::new(),
            sent: Sent::default(),
            sent_media: Sent::default(),
            demand: Demand::default(),
            out: 0,
            out_since: now,
            told_at: None,
            round_trip: 0,
            newest_arrival: None,
            video_at: None,
            lowered_at: now,
            queue_since: None,
            has_feedback: false,
            may_probe: true,
            is_stream: false,
            target: START_BPS as f64,
            reason: (Reason::Start, now),
        }
    }

    /// For a client that has not agreed to send feedback of packets: it is believed by its reports, and not probed. Since nothing
    /// but what it is sent tells what its path carries, it begins with [`UNTOLD_START_BPS`].
    pub fn without_feedback(now: Micros) -> Self {
        let start = UNTOLD_START_BPS as f64;
        Self { may_probe: false, rate: Rate::new(start), target: start, ..Self::new(now) }
    }

    /// What is known at this moment.
    pub fn estimate(&self, now: Micros) -> Estimate {
        let target = self.target.clamp(FLOOR_BPS as f64, CEILING_BPS as f64);
        let loss = if self.has_feedback { self.loss.recent() } else { self.reports.loss };
        Estimate {
            target_bps: target as u64,
            capacity_bps: self.capacity.bps(now).unwrap_or(0.0).clamp(0.0, CEILING_BPS as f64) as u64,
            round_trip: self.round_trip,
            loss: loss.clamp(0.0, 1.0) as f32,
            queue: self.delay.queue(),
            state: self.state(now),
            reason: self.reason.0,
            changed_at: self.reason.1,
            is_probing: self.prober.is_running(),
        }
    }

    fn state(&self, now: Micros) -> State {
        if self.is_silent(now) {
            State::Silent
        } else if self.told_at.is_none() {
            State::Starting
        } else if self.usage() == Usage::Over {
            State::Congested
        } else if self.loss.limits(self.rate.bps()) {
            State::Lossy
        } else if self.rate.holds() {
            State::Holding
        } else {
            State::Growing
        }
    }

    fn usage(&self) -> Usage {
        // A queue that is long by now and grows by what the newest packets tell needs no trend of many.
        let is_plain = self.delay.queue() >= QUEUE_LONG && self.capacity.grew();
        match self.delay.usage() {
            _ if is_plain => Usage::Over,
            // The trend of many packets is the last to notice.
            Usage::Over if self.delay.is_draining() => Usage::Under,
            usage => usage,
        }
    }

    fn is_silent(&self, now: Micros) -> bool {
        self.out >= SILENT_PACKETS && now.saturating_sub(self.out_since) >= SILENCE
    }

    /// Says what would be of use. Nothing is probed for, and nothing grows, where that is less than the target.
    pub fn set_demand(&mut self, demand: Demand) {
        self.demand = demand;
    }

    /// Takes note of a packet that left; `bytes` with the headers of IP and UDP, `cluster` as in [`Outcome::cluster`].
    #[inline]
    pub fn on_sent(&mut self, now: Micros, bytes: u32, purpose: Purpose, cluster: u8) {
        self.sent.add(now, bytes);
        if purpose == Purpose::Media {
            self.sent_media.add(now, bytes);
        }
        if self.out == 0 {
            self.out_since = now;
        }
        self.out = self.out.saturating_add(1);
        if cluster != 0 {
            self.prober.sent(cluster, bytes);
        }
    }

    /// Takes what one feedback told, in the order of numbers: of numbers that were sent, by the present way, and that are new.
    pub fn on_feedback(&mut self, now: Micros, outcomes: impl IntoIterator<Item = Outcome>) {
        if self.told_at.is_some_and(|at| now.saturating_sub(at) > TREND_MAX_PAUSE) {
            self.delay.reset_trend();
        }
        let (mut told, mut newest_sent) = (0, None);
        for outcome in outcomes.into_iter().take(OUTCOMES_MAX) {
            if outcome.sent > now || now - outcome.sent > AGE_MAX || outcome.bytes == 0 {
                continue;
            }
            told += 1;
            self.take(now, &outcome);
            if outcome.arrived.is_some() {
                newest_sent = newest_sent.max(Some(outcome.sent));
            }
        }
        if told == 0 {
            return;
        }
        (self.told_at, self.out) = (Some(now), 0);
        (self.has_feedback, self.may_probe) = (true, true);
        if let Some(sent) = newest_sent {
            let round_trip = now - sent;
            self.round_trip = match self.round_trip {
                0 => round_trip,
                known => (7 * known + round_trip) / 8,
            };
        }
        self.conclude(now);
    }

    fn take(&mut self, now: Micros, outcome: &Outcome) {
        let Outcome { sent, bytes, cluster, .. } = *outcome;
        if outcome.was_lost {
            if outcome.arrived.is_some() {
                self.loss.take_back(bytes);
            }
            return;
        }
        self.loss.told(sent, bytes, outcome.arrived.is_none());
        let arrived = outcome.arrived.filter(|at| at.unsigned_abs() < 1 << 60);
        if cluster != 0 {
            self.prober.told(cluster, sent, arrived, bytes);
        }
        let Some(arrived) = arrived else { return };
        self.watch_clock(arrived, now);
        if !outcome.is_audio {
            self.video_at = Some(sent);
        }
        let trends =
            !outcome.is_audio || self.video_at.is_none_or(|at| sent.saturating_sub(at) > AUDIO_ALONE);
        self.throughput.arrived(arrived, sent, bytes);
        self.capacity.arrived(arrived, arrived.wrapping_sub(sent as i64), bytes);
        self.delay.arrived(sent, arrived, now, trends);
    }

    /// A clock of the receiver that jumps makes what was measured by it worthless.
    fn watch_clock(&mut self, arrived: i64, now: Micros) {
        if let Some((newest, at)) = self.newest_arrival {
            let ahead = arrived.saturating_sub(newest);
            let passed = now.saturating_sub(at).min(AGE_MAX) as i64;
            if ahead < -JUMP || ahead > passed + JUMP {
                self.throughput.reset();
                self.capacity.forget_arrivals();
                self.delay.reset();
            } else if ahead <= 0 {
                return;
            }
        }
        self.newest_arrival = Some((arrived, now));
    }

    /// What follows from all that was told.
    fn conclude(&mut self, now: Micros) {
        let throughput = self.throughput.bps();
        let moment = self.capacity.update(self.delay.base_delay(), now);
        let capacity = self.capacity.bps(now);
        let capacity = match (moment, capacity) {
            // What passes at this moment bounds what had passed before.
            (Some(moment), Some(smoothed)) => Some(smoothed.min(1.15 * moment)),
            (None, smoothed) | (smoothed, None) => smoothed,
        };
        // While the queue grows, what passes is the better figure; else what was sent a second ago is no measure of a step since.
        let is_measured = moment.is_some() && self.capacity.grew();
        let carried = match throughput {
            _ if is_measured => None,
            Some(bps) => Some(bps.max(self.capacity.recent().unwrap_or(0.0))),
            None => None,
        };
        let wants_more = self.demand.next as f64 > self.target;
        let usage = self.usage();
        let before = self.target;
        let inputs = rate::Inputs {
            now,
            usage,
            throughput,
            carried,
            capacity,
            round_trip: self.round_trip,
            queue: self.delay.queue(),
            may_grow: wants_more && !self.is_silent(now),
        };
        let mut reason = self.rate.update(inputs);
        if usage == Usage::Over {
            self.prober.stop();
        }
        if let Some(found) = self.prober.result(now, self.demand, self.target).flatten() {
            if let Some(full) = found.full {
                self.capacity.probed(full, now);
            }
            self.capacity.outdo(found.bps);
            if usage != Usage::Over && (found.full.is_some() || found.bps > self.target) {
                self.rate.set(found.bps);
                self.loss.raise_to(found.bps);
                reason = Some(Reason::Probe);
            }
        }
        if !self.is_stream {
            let sent = self.sent_media.bps(now);
            self.loss.update(loss::Inputs {
                now,
                delay_bps: self.rate.bps(),
                throughput,
                is_limited_by_source: sent < LIMITED_BY_SOURCE * self.target,
                queue: self.delay.queue(),
            });
        }
        if self.loss.limits(self.rate.bps()) && self.loss.bps() != before {
            reason = Some(if self.loss.bps() < before { Reason::Loss } else { Reason::Growth });
        }
        self.settle(now, reason);
        self.watch_queue(now, before);
    }

    /// Takes the least of what the parts allow for the target.
    fn settle(&mut self, now: Micros, reason: Option<Reason>) {
        let allowed = self.rate.bps().min(self.loss.bps());
        let (next, reason) = if self.reports.ceiling < allowed {
            (self.reports.ceiling, Some(Reason::Remb))
        } else {
            (allowed, reason)
        };
        let next = next.clamp(FLOOR_BPS as f64, CEILING_BPS as f64);
        if next != self.target
            && let Some(reason) = reason
        {
            self.reason = (reason, now);
        }
        self.target = next;
    }

    /// A queue that has drained, and a rate that has fallen at once, call for a look at what the path carries now.
    fn watch_queue(&mut self, now: Micros, before: f64) {
        let queue = self.delay.queue();
        if queue >= QUEUE_STOOD {
            self.queue_since.get_or_insert(now);
        } else if queue < QUEUE_DRAINED
            && let Some(since) = self.queue_since.take()
            && now.saturating_sub(since) >= QUEUE_STOOD_FOR
        {
            self.prober.hasten();
        }
        if self.target < FALL * before {
            self.prober.hasten();
        }
    }

    /// The probe that should begin now, if one should: whoever sends marks what leaves from now on with its number, and adds
    /// what media lacks to its rate. To be asked after each feedback and ten times a second.
    pub fn poll_probe(&mut self, now: Micros) -> Option<Probe> {
        let has_begun = self.out > 0 || self.told_at.is_some();
        let is_lossy = self.loss.limits(self.rate.bps()) && self.loss.recent() > 0.1;
        let is_calm = self.usage() == Usage::Normal
            && self.delay.queue() < QUEUE_STOOD
            && !self.is_silent(now)
            && !is_lossy;
        if !has_begun || !self.may_probe || !is_calm || self.is_in_outage(now) {
            return None;
        }
        let ceiling = if self.loss.limits(self.rate.bps()) { 1.5 * self.target } else { f64::INFINITY };
        let carries = self.capacity.bps(now).map_or(self.target, |bps| bps.min(self.target));
        self.prober.poll(now, self.target, carries, self.demand, ceiling.min(self.reports.ceiling))
    }

    fn is_in_outage(&self, now: Micros) -> bool {
        let silence = now.saturating_sub(self.told_at.unwrap_or(now).max(self.out_since.min(now)));
        self.out > 0 && self.told_at.is_some() && self.round_trip.saturating_add(silence) > OUTAGE
    }

    /// To be called about ten times a second, whether or not something is sent: notices silence.
    pub fn on_tick(&mut self, now: Micros) {
        if let Some(None) = self.prober.result(now, self.demand, self.target) {
            // It was lost as a whole, or nothing tells of it.
        }
        let may_fall = now.saturating_sub(self.lowered_at) >= SILENCE;
        if self.has_feedback && self.is_in_outage(now) && may_fall {
            self.lowered_at = now;
            self.rate.set(self.target * OUTAGE_DECREASE);
            self.prober.stop();
            self.settle(now, Some(Reason::Outage));
        }
    }

    /// The client named a ceiling (REMB), bits per second. Where it sends feedback of packets, that is the better witness.
    pub fn on_remb(&mut self, now: Micros, bps: u64) {
        if self.has_feedback {
            return;
        }
        self.reports.name_ceiling(bps);
        self.settle(now, Some(Reason::Remb));
    }

    /// Takes a receiver report of all streams together. Where the client sends feedback of packets, it tells the round trip alone,
    /// and only while that is not known.
    pub fn on_reception(&mut self, now: Micros, report: Reception) {
        if let Some(round_trip) = report.round_trip
            && (!self.has_feedback || self.round_trip == 0)
        {
            self.round_trip = round_trip.min(AGE_MAX);
        }
        if self.has_feedback {
            return;
        }
        (self.told_at, self.out) = (Some(now), 0);
        // What was agreed on has not come.
        self.may_probe = false;
        let sent = self.sent.bps(now);
        let verdict = self.reports.take(report, now, self.target, sent, self.demand.next as f64);
        if let Some((bps, reason)) = verdict {
            self.rate.set(bps);
            self.settle(now, Some(reason));
        }
    }

    /// The client is reached by another way from now on: nothing that was measured holds there, but for a guess of where to begin.
    pub fn on_path_change(&mut self, now: Micros) {
        let guess = self.throughput.bps().map_or(self.target, |bps| bps.min(self.target));
        let guess = guess.max((START_BPS as f64).min(self.target));
        self.throughput.reset();
        self.capacity.reset();
        self.delay.reset();
        self.loss.reset();
        self.rate.forget();
        self.rate.set(guess);
        self.reports = Reports::new();
        (self.newest_arrival, self.told_at, self.round_trip, self.out) = (None, None, 0, 0);
        self.queue_since = None;
        self.prober.start(guess);
        self.settle(now, Some(Reason::Path));
        self.reason = (Reason::Path, now);
    }

    /// Whether the client is reached by a connection that loses nothing (TCP): then loss says nothing of the path.
    pub fn set_stream(&mut self, is_stream: bool) {
        self.is_stream = is_stream;
    }

    /// What the path carried when that was measured last, however long ago; 0 when never. For sources that send too little to
    /// measure with.
    pub fn last_capacity_bps(&self) -> u64 {
        self.capacity.last_bps().clamp(0.0, CEILING_BPS as f64) as u64
    }
}
