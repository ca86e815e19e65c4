//! What a session knows of its client's path, and what that means for what it sends: the estimate, what may leave at once,
//! the probe under way.
//!
//! There is one once the client is to receive video; sound alone is never less than it is. Nothing here is per packet but
//! sums.

use std::time::Duration;

use super::history::{News, Sort, TICK};
use crate::congestion::pacer::Pacer;
use crate::congestion::{Demand, Estimate, Estimator, Micros, Outcome, Probe, Reception, START_BPS};
use crate::rtp::rtcp::twcc;

/// How often what a probe lacks is sent: so much at once is one message.
const BURST: Micros = 5_000;

/// Sizes of what is sent to measure alone, bytes with all headers.
const PADDING: (u64, u64) = (224, 1_000);

/// While such a queue stands, repair takes no more than what media leaves.
const STANDING: Micros = 80_000;

/// Share lost that shows that a path does not carry what is sent.
const STRAINED_LOSS: f32 = 0.15;

/// What may be sent once more: at most such a share of the target, thousandths, and at least that while a queue stands.
const REPAIR: (u64, u64) = (50, 250);

/// A probe that is being sent.
#[derive(Debug, Clone, Copy)]
struct Burst {
    probe: Probe,
    began: Micros,
    bytes: u64,
    packets: u32,
}

impl Burst {
    fn is_whole(&self) -> bool {
        self.bytes >= u64::from(self.probe.bytes) && self.packets >= self.probe.packets
    }

    /// The size of the next packet that is due to it besides media, bytes with all headers.
    fn due(&self, now: Micros) -> Option<u64> {
        let Probe { bps, bytes, packets, .. } = self.probe;
        let passed = (now - self.began) / BURST * BURST + BURST;
        let by_rate = (passed * bps / 8_000_000).saturating_sub(self.bytes);
        let (least, most) = PADDING;
        let missing = u64::from(packets.saturating_sub(self.packets)) * least;
        let left = u64::from(bytes).saturating_sub(self.bytes).max(missing);
        // One packet a burst, where that is enough; and as many as there have to be.
        let burst = (bps * BURST / 8_000_000).max(least);
        let size = burst.div_ceil(burst.div_ceil(most)).min(u64::from(bytes / packets.max(1))).max(least);
        (by_rate.min(left) >= size / 2).then_some(size)
    }
}

/// What a probe asks of who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// A packet of about so many bytes with all headers, now.
    Send(usize),
    /// Nothing before so long a time has passed.
    After(Duration),
    /// Nothing more: there is no probe under way.
    Over,
}

/// The moments of a client's feedback, on one time line of its own.
#[derive(Debug, Clone, Copy)]
struct Clock {
    /// The reference time of the newest feedback as it travels, 24 bits, and on the line, microseconds.
    reference: (u32, i64),
}

/// The sending side of a session, as far as the path has a say in it.
#[derive(Debug)]
pub(super) struct Regulator {
    estimator: Estimator,
    pacer: Pacer,
    burst: Option<Burst>,
    clock: Option<Clock>,
    /// What is needed for what is sent now, bits per second.
    needed: u64,
    /// Whether the rates of all that is sent are known.
    is_measured: bool,
}

impl Regulator {
    /// Begins; `has_feedback` where the client has agreed to tell of packets by their numbers.
    pub(super) fn new(now: Micros, has_feedback: bool) -> Self {
        let estimator = if has_feedback { Estimator::new(now) } else { Estimator::without_feedback(now) };
        Self {
            estimator,
            pacer: Pacer::new(now, START_BPS),
            burst: None,
            clock: None,
            needed: 0,
            is_measured: false,
        }
    }

    /// Whether the client is reached by a connection, which loses nothing.
    pub(super) fn set_stream(&mut self, is_stream: bool) {
        self.estimator.set_stream(is_stream);
    }

    pub(super) fn estimate(&self, now: Micros) -> Estimate {
        self.estimator.estimate(now)
    }

    /// Whether so many bytes of video may leave now.
    #[inline]
    pub(super) fn admits(&mut self, now: Micros, bytes: u64) -> bool {
        self.pacer.admits(now, bytes)
    }

    /// Whether what is sent is more than the path carries, by estimate and by what shows of it.
    pub(super) fn is_strained(&self, now: Micros) -> bool {
        let Estimate { target_bps, queue, loss, .. } = self.estimator.estimate(now);
        target_bps < self.needed && (queue >= STANDING || loss >= STRAINED_LOSS)
    }

    /// The probe that what leaves now belongs to; 0 for none.
    #[inline]
    pub(super) fn cluster(&self) -> u8 {
        self.burst.map_or(0, |burst| burst.probe.cluster)
    }

    /// Takes note of a packet that left. Only what has a transport-wide number can belong to a probe.
    #[inline]
    pub(super) fn sent(&mut self, now: Micros, bytes: u64, sort: Sort) {
        self.pacer.charge(now, bytes);
        // Lossless: a datagram.
        self.estimator.on_sent(now, bytes as u32, sort.purpose, sort.cluster);
        if let Some(burst) = self.burst.as_mut().filter(|_| sort.cluster != 0) {
            burst.bytes += bytes;
            burst.packets += 1;
            if burst.is_whole() {
                self.burst = None;
            }
        }
    }

    /// Takes what is wanted of the path, bits per second with all headers; `is_measured` when the rates of what is sent are known.
    pub(super) fn set_demand(&mut self, now: Micros, demand: Demand, is_measured: bool) {
        (self.needed, self.is_measured) = (demand.now, is_measured);
        self.estimator.set_demand(demand);
        self.keep_pace(now);
    }

    /// Takes what one feedback told: of each packet what is new of it, and when it came.
    pub(super) fn told(&mut self, now: Micros, news: impl Iterator<Item = (News, Option<i64>)>) {
        // Lossless: the low bits are those of the ticks of records.
        let ticks = ((now / TICK) & u64::from(u32::MAX)) as u32;
        let outcomes = news.map(|(news, arrived)| Outcome {
            sent: now.saturating_sub(u64::from(ticks.wrapping_sub(news.at)) * TICK),
            arrived,
            bytes: news.bytes.into(),
            purpose: news.sort.purpose,
            cluster: news.sort.cluster,
            is_audio: news.sort.is_audio,
            was_lost: news.was_lost,
        });
        self.estimator.on_feedback(now, outcomes);
        self.tick(now);
    }

    /// Where the times of a feedback begin on the client's time line, microseconds: its reference time, which comes round.
    pub(super) fn reference(&mut self, information: &[u8]) -> i64 {
        let Some(reference) = twcc::reference(information) else { return 0 };
        let at = match self.clock {
            None => i64::from(reference) * twcc::REFERENCE_UNIT,
            Some(Clock { reference: (before, at) }) => {
                // The shorter way round (24 bits).
                let ahead = (reference.wrapping_sub(before) << 8).cast_signed() >> 8;
                at.saturating_add(i64::from(ahead) * twcc::REFERENCE_UNIT)
            }
        };
        self.clock = Some(Clock { reference: (reference, at) });
        at
    }

    /// Takes a receiver report on all streams together.
    pub(super) fn received(&mut self, now: Micros, report: Reception) {
        self.estimator.on_reception(now, report);
        self.tick(now);
    }

    /// Takes the ceiling that a client names (REMB), bits per second.
    pub(super) fn capped(&mut self, now: Micros, bps: u64) {
        self.estimator.on_remb(now, bps);
        self.keep_pace(now);
    }

    /// The client is reached by another way from now on.
    pub(super) fn moved(&mut self, now: Micros) {
        (self.burst, self.clock, self.pacer) = (None, None, Pacer::new(now, START_BPS));
        self.estimator.on_path_change(now);
        self.keep_pace(now);
    }

    /// Lets time pass; to be called once a second, and with whatever a client tells.
    pub(super) fn tick(&mut self, now: Micros) {
        self.estimator.on_tick(now);
        self.keep_pace(now);
    }

    fn keep_pace(&mut self, now: Micros) {
        let needed = self.is_measured.then_some(self.needed);
        self.pacer.follow(now, &self.estimator.estimate(now), needed);
    }

    /// Whether a probe begins.
    pub(super) fn begin_probe(&mut self, now: Micros) -> bool {
        if self.burst.is_some() {
            return false;
        }
        let probe = self.estimator.poll_probe(now);
        self.burst = probe.map(|probe| Burst { probe, began: now, bytes: 0, packets: 0 });
        self.burst.is_some()
    }

    /// What the probe under way asks for besides media.
    pub(super) fn padding(&mut self, now: Micros) -> Padding {
        let is_probing = self.estimator.estimate(now).is_probing;
        self.burst = self.burst.filter(|burst| is_probing && now <= burst.probe.until);
        let Some(burst) = self.burst else { return Padding::Over };
        // Lossless: a packet.
        burst
            .due(now)
            .map_or(Padding::After(Duration::from_micros(BURST)), |size| Padding::Send(size as usize))
    }

    /// The share of what is sent that may be sent once more, thousandths.
    pub(super) fn repair_share(&self, now: Micros) -> u64 {
        let (least, most) = REPAIR;
        let Estimate { target_bps, queue, .. } = self.estimator.estimate(now);
        if queue < STANDING || self.needed == 0 {
            return most;
        }
        (target_bps.saturating_sub(self.needed) * 1_000 / self.needed).clamp(least, most)
    }
}
