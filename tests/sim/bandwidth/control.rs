//! Who estimates: ours, or the yardstick.

use ringcast::congestion::{Demand, Estimate, Estimator, Micros, Outcome, Probe, Purpose, Reception};

/// One packet of a feedback, by its number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reported {
    pub(crate) number: u64,
    pub(crate) outcome: Outcome,
}

/// An estimator under test.
pub(crate) trait Control {
    fn sent(&mut self, now: Micros, packet: Reported);
    fn feedback(&mut self, now: Micros, reported: &[Reported]);
    fn tick(&mut self, now: Micros);
    fn demand(&mut self, now: Micros, demand: Demand);
    fn probe(&mut self, now: Micros) -> Option<Probe>;
    fn estimate(&self, now: Micros) -> Estimate;
}

/// The product's.
#[derive(Debug)]
pub(crate) struct Ours(pub(crate) Estimator);

impl Control for Ours {
    fn sent(&mut self, now: Micros, Reported { outcome, .. }: Reported) {
        self.0.on_sent(now, outcome.bytes, outcome.purpose, outcome.cluster);
    }

    fn feedback(&mut self, now: Micros, reported: &[Reported]) {
        self.0.on_feedback(now, reported.iter().map(|one| one.outcome));
    }

    fn tick(&mut self, now: Micros) {
        if now.is_multiple_of(100_000) {
            self.0.on_tick(now);
        }
    }

    fn demand(&mut self, _: Micros, demand: Demand) {
        self.0.set_demand(demand);
    }

    fn probe(&mut self, now: Micros) -> Option<Probe> {
        self.0.poll_probe(now)
    }

    fn estimate(&self, now: Micros) -> Estimate {
        self.0.estimate(now)
    }
}

/// The product's for a client that sends receiver reports alone, one a second.
#[derive(Debug)]
pub(crate) struct ByReports {
    estimator: Estimator,
    report: Reception,
    next: Micros,
}

impl ByReports {
    pub(crate) fn new() -> Self {
        Self { estimator: Estimator::without_feedback(0), report: Reception::default(), next: 1_000_000 }
    }
}

impl Control for ByReports {
    fn sent(&mut self, now: Micros, Reported { outcome, .. }: Reported) {
        self.estimator.on_sent(now, outcome.bytes, outcome.purpose, outcome.cluster);
    }

    fn feedback(&mut self, now: Micros, reported: &[Reported]) {
        for one in reported {
            self.report.expected += 1;
            self.report.missing += u32::from(one.outcome.arrived.is_none());
            self.report.round_trip = Some(now - one.outcome.sent);
        }
        if now >= self.next {
            self.next = now + 1_000_000;
            self.estimator.on_reception(now, std::mem::take(&mut self.report));
        }
    }

    fn tick(&mut self, now: Micros) {
        if now.is_multiple_of(100_000) {
            self.estimator.on_tick(now);
        }
    }

    fn demand(&mut self, _: Micros, demand: Demand) {
        self.estimator.set_demand(demand);
    }

    fn probe(&mut self, now: Micros) -> Option<Probe> {
        self.estimator.poll_probe(now)
    }

    fn estimate(&self, now: Micros) -> Estimate {
        self.estimator.estimate(now)
    }
}

/// What a packet was sent for and within which probe, as an outcome that is not known yet.
pub(crate) fn outgoing(now: Micros, bytes: u64, purpose: Purpose, cluster: u8, is_audio: bool) -> Outcome {
    Outcome { sent: now, bytes: bytes as u32, purpose, cluster, is_audio, ..Outcome::default() }
}
