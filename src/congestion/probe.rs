//! Short bursts at a rate above what is known, to learn whether more comes through.
//!
//! An SFU mostly sends less than the path carries, so that nothing but a probe can tell whether a better layer fits. Whatever
//! is sent while one is under way belongs to it, media too: otherwise the result reads low.

use super::{CEILING_BPS, Demand, Micros};

/// The first probe as the first estimate, and each after it as the result before, while that came through.
const START_FACTOR: f64 = 3.0;
const NEXT_FACTOR: f64 = 2.0;
const CAME_THROUGH: f64 = 0.7;

/// How much more is tried than what would be needed.
const OVER_NEED: f64 = 1.2;

/// Time between probes that look for more, grows by the half with each failure, up to the second.
const INTERVAL: (Micros, Micros) = (3_000_000, 10_000_000);

/// The wait when the result is less than this part of what is needed.
const FAR: f64 = 0.75;
const HOPELESS: Micros = 30_000_000;

/// Two results are the same when they differ by less than this part.
const SAME: f64 = 0.15;

/// While that wait lasts, so many small packets are sent at once every so often, microseconds: what they are spread to tells
/// whether the path has changed, and only then it is probed in earnest.
const SENTRY_PACKETS: u32 = 4;
const SENTRY_BYTES: u32 = 1_000;
const SENTRY_EVERY: Micros = 2_000_000;

/// How often a start is tried again at the same rate, should it be lost.
const STARTS_MAX: u8 = 3;

/// The wait after a start that found less than is needed.
const AFTER_START: Micros = 1_000_000;

/// Most probes that follow each other without a pause: twice as much each time comes from the floor to the ceiling.
const CHAIN_MAX: u8 = 10;

/// Least time between two, when a queue has drained.
const AFTER_DRAIN: Micros = 2_000_000;

/// Length of a burst: at the start, and bounds later.
const LEN_START: Micros = 30_000;
const LEN: (Micros, Micros) = (25_000, 100_000);

/// Queue that a later burst may make, microseconds.
const QUEUE: f64 = 60_000.0;

/// Least packets.
const PACKETS_MIN: u32 = 5;

/// Share of packets and bytes that has to be told of.
const TOLD: f64 = 0.8;

/// Most that a receive rate may be above the send rate before the figure is taken for noise.
const RATIO_MAX: f64 = 2.0;

/// The path was full when it received less than this of the send rate; what is used of it then.
const FULL: f64 = 0.9;
const USED: f64 = 0.95;

/// Packets that are sent or arrive within so many microseconds are one clump.
const CLUMP: i64 = 1_000;

/// Time for feedback.
const PATIENCE: Micros = 1_000_000;

/// Numbers of probes come round after this.
const CLUSTERS: u8 = 31;

/// A burst that is wanted: send so much and no more at this rate, media and padding together, and mark it with the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Its number, 1 to 31: what is sent from now on, until all is sent, carries it.
    pub cluster: u8,
    /// Bits per second with all headers.
    pub bps: u64,
    /// Bytes with all headers.
    pub bytes: u32,
    /// Least number of packets that these are to be.
    pub packets: u32,
    /// When to give up sending.
    pub until: Micros,
}

/// What came of a probe.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Found {
    /// Bits per second that can be used.
    pub(super) bps: f64,
    /// What was received, where the path was full.
    pub(super) full: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Start,
    Later,
    Sentry,
}

#[derive(Debug, Clone, Copy)]
struct Running {
    probe: Probe,
    kind: Kind,
    /// What was sent with its number: packets, bytes.
    sent: (u32, u32),
    /// What arrived: packets, bytes.
    came: (u32, u32),
    /// What was told of: bytes.
    told: u32,
    /// When it was sent and when it arrived.
    sending: Option<Span>,
    arriving: Option<Span>,
}

/// The time from a first clump to a last one, and the bytes of both.
#[derive(Debug, Clone, Copy)]
struct Span {
    first: i64,
    last: i64,
    first_bytes: u32,
    last_bytes: u32,
}

impl Span {
    fn add(span: &mut Option<Self>, at: i64, bytes: u32) {
        let Some(span) = span else {
            *span = Some(Self { first: at, last: at, first_bytes: bytes, last_bytes: bytes });
            return;
        };
        if at <= span.first.saturating_add(CLUMP) {
            span.first_bytes = span.first_bytes.saturating_add(bytes);
        }
        let is_later = at > span.last.saturating_add(CLUMP);
        span.last_bytes = if is_later { bytes } else { span.last_bytes.saturating_add(bytes) };
        (span.first, span.last) = (span.first.min(at), span.last.max(at));
    }

    fn len(&self) -> i64 {
        self.last.saturating_sub(self.first)
    }

    /// Of so many bytes, those that belong to the time between: of both ends the half.
    fn bps(&self, bytes: u32) -> Option<f64> {
        let ends = (f64::from(self.first_bytes) + f64::from(self.last_bytes)) / 2.0;
        let is_sane = self.len() > CLUMP && self.len() <= PATIENCE as i64;
        is_sane.then(|| (f64::from(bytes) - ends).max(0.0) * 8e6 / self.len() as f64)
    }
}

/// When to probe, and the probe that is under way.
#[derive(Debug)]
pub(super) struct Prober {
    cluster: u8,
    running: Option<Running>,
    /// What a start has yet to try, bits per second.
    start: Option<f64>,
    last_at: Option<Micros>,
    wait: Micros,
    /// When the last in earnest began.
    earnest_at: Option<Micros>,
    /// Starts that were lost in a row.
    lost: u8,
    /// Probes in a row without a pause.
    starts: u8,
    /// Whether the last one that looked for all that is wanted has failed.
    has_failed: bool,
    /// What the last in earnest found, where that was far below what is needed and the path full.
    far: Option<f64>,
    interval: Micros,
}

impl Prober {
    pub(super) const fn new() -> Self {
        Self {
            cluster: 0,
            running: None,
            start: None,
            last_at: None,
            wait: INTERVAL.0,
            earnest_at: None,
            lost: 0,
            starts: 0,
            has_failed: false,
            far: None,
            interval: INTERVAL.0,
        }
    }

    /// Begins as with a new path: three times the estimate, then twice each result.
    pub(super) fn start(&mut self, target: f64) {
        *self = Self { cluster: self.cluster, start: Some(START_FACTOR * target), ..Self::new() };
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Gives up what is under way, since the path is full.
    pub(super) fn stop(&mut self) {
        self.start = None;
        self.running = None;
    }

    /// A queue that stood has drained, or the rate has fallen at once: the next may come soon.
    pub(super) fn hasten(&mut self) {
        self.wait = self.wait.min(AFTER_DRAIN);
        (self.interval, self.has_failed) = (INTERVAL.0, false);
    }

    /// The probe that is wanted now, if one is.
    /// `carries` is the least that the path is known to carry at most.
    pub(super) fn poll(
        &mut self,
        now: Micros,
        target: f64,
        carries: f64,
        demand: Demand,
        ceiling: f64,
    ) -> Option<Probe> {
        if self.running.is_some() || demand.next as f64 <= target {
            return None;
        }
        let (bps, kind) = self.next(now, target, demand)?;
        // No more than the shortest burst can show without making a longer queue.
        let bounded = carries * (1.0 + QUEUE / LEN.0 as f64);
        let bps = bps.min(ceiling).min(bounded).min(CEILING_BPS as f64);
        if bps <= target {
            return None;
        }
        let len = match kind {
            Kind::Start => LEN_START,
            Kind::Later => ((QUEUE * carries / (bps - carries).max(1.0)) as Micros).clamp(LEN.0, LEN.1),
            Kind::Sentry => 0,
        };
        self.cluster = self.cluster % CLUSTERS + 1;
        let bytes = if kind == Kind::Sentry { SENTRY_BYTES } else { (bps * len as f64 / 8e6) as u32 };
        // A sentry leaves all at once.
        let sent_bps = if kind == Kind::Sentry { CEILING_BPS } else { bps as u64 };
        let packets = if kind == Kind::Sentry { SENTRY_PACKETS } else { PACKETS_MIN };
        let until = now.saturating_add(2 * len + 50_000);
        let probe = Probe { cluster: self.cluster, bps: sent_bps, bytes, packets, until };
        self.last_at = Some(now);
        if kind != Kind::Sentry {
            self.earnest_at = Some(now);
        }
        self.running =
            Some(Running { probe, kind, sent: (0, 0), came: (0, 0), told: 0, sending: None, arriving: None });
        Some(probe)
    }

    /// What is to be tried now, if anything is.
    fn next(&mut self, now: Micros, target: f64, demand: Demand) -> Option<(f64, Kind)> {
        let top = demand.top.max(demand.next) as f64 * OVER_NEED;
        if let Some(bps) = self.start.take() {
            self.starts = self.starts.saturating_add(1);
            return Some((bps.min(top.max(target * OVER_NEED)), Kind::Start));
        }
        let passed = |at: Option<Micros>| at.map_or(Micros::MAX, |at| now.saturating_sub(at));
        if passed(self.earnest_at) < self.wait {
            let is_hopeless = self.wait >= HOPELESS && passed(self.last_at) >= SENTRY_EVERY;
            return is_hopeless.then_some((demand.next as f64 * OVER_NEED, Kind::Sentry));
        }
        self.starts = 0;
        let need = if self.has_failed { demand.next as f64 * OVER_NEED } else { top };
        Some((need, Kind::Later))
    }

    /// Takes note of what was sent with a number.
    pub(super) fn sent(&mut self, cluster: u8, bytes: u32) {
        if let Some(running) = self.running.as_mut().filter(|running| running.probe.cluster == cluster) {
            running.sent.0 += 1;
            running.sent.1 = running.sent.1.saturating_add(bytes);
        }
    }

    /// Takes note of what was told of a packet with a number.
    pub(super) fn told(&mut self, cluster: u8, sent: Micros, arrived: Option<i64>, bytes: u32) {
        let Some(running) = self.running.as_mut().filter(|running| running.probe.cluster == cluster) else {
            return;
        };
        running.told = running.told.saturating_add(bytes);
        let Some(arrived) = arrived else { return };
        running.came.0 += 1;
        running.came.1 = running.came.1.saturating_add(bytes);
        Span::add(&mut running.sending, sent as i64, bytes);
        Span::add(&mut running.arriving, arrived, bytes);
    }

    /// What has come of the one under way, once that can be said: `Some(None)` when it failed.
    pub(super) fn result(&mut self, now: Micros, demand: Demand, target: f64) -> Option<Option<Found>> {
        let running = self.running?;
        let is_all_sent = running.sent.1 >= running.probe.bytes && running.sent.0 >= running.probe.packets;
        let is_over = is_all_sent || now >= running.probe.until;
        let is_told = is_over && running.told >= running.sent.1 && running.sent.1 > 0;
        let is_late = now.saturating_sub(running.probe.until) > PATIENCE && now > running.probe.until;
        if !is_told && !is_late {
            return None;
        }
        self.running = None;
        if running.kind == Kind::Sentry {
            if running.spread_bps().is_some_and(|bps| bps >= demand.next as f64) {
                self.hasten();
            }
            return Some(None);
        }
        let found = running.found();
        self.plan(running, found, demand, target);
        Some(found)
    }

    /// Says when the next one may come.
    fn plan(&mut self, running: Running, found: Option<Found>, demand: Demand, target: f64) {
        let tried = running.probe.bps as f64;
        let result = found.map_or(0.0, |found| found.bps);
        let has_come = result > CAME_THROUGH * tried && found.is_some_and(|found| found.full.is_none());
        let is_enough = result.max(target) >= demand.next as f64;
        let is_full = found.is_some_and(|found| found.full.is_some());
        let far = Some(result).filter(|_| is_full && result.max(target) < FAR * demand.next as f64);
        // Said twice, and twice the same: jitter may look so once.
        let is_far = self.far.zip(far).is_some_and(|(before, far)| (far - before).abs() < SAME * before);
        // Neither came it through, nor was the path full: it was disturbed.
        let is_unclear = !has_come && found.is_none_or(|found| found.full.is_none());
        self.lost = if is_unclear { self.lost.saturating_add(1) } else { 0 };
        if self.starts < CHAIN_MAX && (running.kind == Kind::Start || has_come && !is_enough) {
            if has_come && result < OVER_NEED * demand.top as f64 {
                self.start = Some(NEXT_FACTOR * result);
            } else if is_unclear && self.lost < STARTS_MAX {
                self.start = Some(tried);
            }
        }
        self.has_failed = !has_come;
        if is_enough {
            (self.interval, self.wait) = (INTERVAL.0, INTERVAL.0);
        } else if is_far {
            self.wait = HOPELESS;
        } else {
            // The first may have met jitter, and much depends on it.
            self.wait = if running.kind == Kind::Start { AFTER_START } else { self.interval };
            self.interval = (self.interval * 3 / 2).min(INTERVAL.1);
        }
        self.far = far;
    }
}

impl Running {
    /// What arrived of packets that were sent at once, by how far apart they arrived: bits per second.
    fn spread_bps(&self) -> Option<f64> {
        let span = self.arriving.filter(|_| self.came.0 >= SENTRY_PACKETS - 1)?.len().max(1);
        let spread = self.came.1 - self.came.1 / self.came.0.max(1);
        (span < PATIENCE as i64).then(|| f64::from(spread) * 8e6 / span as f64)
    }

    fn found(&self) -> Option<Found> {
        let (packets, bytes) = self.came;
        let enough = f64::from(self.probe.bytes.min(self.sent.1)) * TOLD;
        if f64::from(packets) < f64::from(self.probe.packets) * TOLD || f64::from(bytes) < enough {
            return None;
        }
        let (sent, received) = (self.sending?.bps(bytes)?, self.arriving?.bps(bytes)?);
        if received > RATIO_MAX * sent {
            return None;
        }
        let is_full = received < FULL * sent;
        // Media that came by itself in the meantime may have made it faster than was meant, and that is but a moment.
        let bps = if is_full { USED * received } else { sent.min(received).min(2.0 * self.probe.bps as f64) };
        Some(Found { bps, full: is_full.then_some(received) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEMAND: Demand = Demand { now: 200_000, next: 800_000, top: 1_500_000 };

    /// Sends a probe as it is wanted over a link of such a rate, and returns what was found.
    fn play(prober: &mut Prober, probe: Probe, link_bps: u64, target: f64) -> Option<Found> {
        let (mut free, mut now) = (probe.until, probe.until);
        for _ in 0..probe.bytes.div_ceil(1000).max(probe.packets) {
            prober.sent(probe.cluster, 1000);
            free = free.max(now) + 8_000_000_000 / link_bps;
            prober.told(probe.cluster, now, Some(free as i64), 1000);
            now += 8_000_000_000 / probe.bps;
        }
        prober.result(now + 100_000, DEMAND, target).unwrap()
    }

    #[test]
    fn a_start_goes_on_while_it_comes_through_and_up_to_what_is_wanted() {
        let mut prober = Prober::new();
        prober.start(300_000.0);
        let first = prober.poll(0, 300_000.0, 300_000.0, DEMAND, f64::INFINITY).unwrap();
        assert_eq!((first.cluster, first.bps), (1, 900_000));
        assert_eq!(prober.poll(0, 300_000.0, 300_000.0, DEMAND, f64::INFINITY), None, "one at a time");
        let found = play(&mut prober, first, 5_000_000, 300_000.0).unwrap();
        assert!((890_000.0..910_000.0).contains(&found.bps) && found.full.is_none(), "{found:?}");
        let demand = Demand { next: 1_500_000, ..DEMAND };
        let second = prober.poll(100_000, found.bps, found.bps, demand, f64::INFINITY).unwrap();
        assert_eq!(second.bps, 1_800_000);
    }

    #[test]
    fn a_full_path_is_found_to_be_what_it_is_and_is_then_watched_by_small_packets_alone() {
        let mut prober = Prober::new();
        for now in [0, INTERVAL.0] {
            let probe = prober.poll(now, 280_000.0, 280_000.0, DEMAND, f64::INFINITY).unwrap();
            let found = play(&mut prober, probe, 300_000, 280_000.0).unwrap();
            assert!((270_000.0..300_000.0).contains(&found.bps), "{found:?}");
        }
        for link_bps in [300_000, 300_000, 900_000] {
            let now = prober.last_at.unwrap() + SENTRY_EVERY;
            assert_eq!(prober.poll(now - 1, 285_000.0, 285_000.0, DEMAND, f64::INFINITY), None);
            let probe = prober.poll(now, 285_000.0, 285_000.0, DEMAND, f64::INFINITY).unwrap();
            assert_eq!(probe.bytes, SENTRY_BYTES);
            let packet = u64::from(probe.bytes / probe.packets);
            for number in 0..u64::from(probe.packets) {
                prober.sent(probe.cluster, packet as u32);
                let arrived = now + number * packet * 8_000_000 / link_bps;
                prober.told(probe.cluster, now, Some(arrived as i64), packet as u32);
            }
            assert_eq!(prober.result(now + 100_000, DEMAND, 285_000.0), Some(None));
        }
        let now = prober.last_at.unwrap() + 100_000;
        let probe = prober.poll(now, 285_000.0, 285_000.0, DEMAND, f64::INFINITY).unwrap();
        assert!(probe.bytes > SENTRY_BYTES, "in earnest: {probe:?}");
    }

    #[test]
    fn probes_that_come_through_and_change_nothing_do_not_go_on_for_ever() {
        let mut prober = Prober::new();
        let (mut count, demand) = (0, Demand { now: 0, next: 50_000_000, top: 50_000_000 });
        while let Some(probe) = prober.poll(count, 300_000.0, 300_000.0, demand, f64::INFINITY) {
            for (number, sent) in (0..8).map(|number| (number, number * 8_000_000_000 / probe.bps)) {
                prober.sent(probe.cluster, 1000);
                prober.told(probe.cluster, sent, Some((sent + number) as i64), 1000);
            }
            prober.result(count, demand, 300_000.0).unwrap();
            count += 1;
        }
        assert!((2..=u64::from(CHAIN_MAX) + 1).contains(&count), "{count}");
    }

    #[test]
    fn nothing_is_tried_when_nothing_more_is_wanted() {
        let mut prober = Prober::new();
        prober.start(300_000.0);
        assert_eq!(prober.poll(0, 300_000.0, 300_000.0, Demand::default(), f64::INFINITY), None);
        assert_eq!(prober.poll(0, 2e6, 2e6, DEMAND, f64::INFINITY), None);
    }
}
