//! What stands in for feedback where a client sends none: the ceiling that it names (REMB), and the loss and round trip of
//! receiver reports.

use super::{CEILING_BPS, FLOOR_BPS, Micros, Reason};

/// Loss of a report up to which the rate grows, and over which it falls.
const LITTLE: f64 = 0.02;
const MUCH: f64 = 0.1;

/// Growth per second, and the most that one report brings.
const GROWTH: f64 = 1.08;
const GROWTH_MAX: f64 = 1.3;

/// What more than the least round trip means that a queue stands, and what is left of the rate then.
const ROUND_TRIP_OVER: Micros = 150_000;
const DECREASE: f64 = 0.85;

/// How long a trial of the next step up waits for the one before: bounds, twice as long after each that failed.
const TRIAL_EVERY: (Micros, Micros) = (10_000_000, 80_000_000);

/// A trial fails when loss or a longer round trip comes so soon after it; then the rate is what it was before.
const TRIAL_FAILS: Micros = 6_000_000;
const TRIAL_ROUND_TRIP_OVER: Micros = 50_000;

/// Loss that tells so: twice the usual one, and this.
const TRIAL_LOSS: f64 = 0.025;

/// Loss that stays at so much of what it was, though only so much of what was sent is sent, is the path's nature.
const STAYS: f64 = 0.75;
const SENT_LESS: f64 = 0.7;

/// How long the least round trip holds.
const BASE_SPAN: Micros = 60_000_000;

/// Ceiling of growth, as what is sent.
const OVER_SENT: f64 = 1.5;
const OVER_SENT_BPS: f64 = 10_000.0;

/// What one receiver report says of all streams together.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reception {
    /// Packets that the client has expected since the report before.
    pub expected: u32,
    /// Of these, packets that it has not received.
    pub missing: u32,
    /// Of these, packets that were never sent to it, since they were lost before: they say nothing of its path.
    pub never_sent: u32,
    /// Time to the client and back, microseconds, where the report names one of ours.
    pub round_trip: Option<Micros>,
}

impl Reception {
    /// The share that was lost on the client's path.
    pub(super) fn loss(&self) -> f64 {
        let expected = self.expected.saturating_sub(self.never_sent);
        let missing = self.missing.saturating_sub(self.never_sent).min(expected);
        if expected == 0 { 0.0 } else { f64::from(missing) / f64::from(expected) }
    }
}

/// The state that reports need from one to the next.
#[derive(Debug)]
pub(super) struct Reports {
    at: Option<Micros>,
    /// Least round trip of this span and the one before, and when this one began.
    base: Option<(Micros, Micros, Micros)>,
    /// Reports in a row whose round trip was too long.
    long: u8,
    /// When a trial was made or might have been, how long the next one waits, and the rate and the loss before it, while it may
    /// fail.
    tried_at: Option<Micros>,
    wait: Micros,
    before_trial: Option<(f64, f64)>,
    /// Loss and bits per second sent when the rate began to fall for loss.
    fell_from: Option<(f64, f64)>,
    /// Share that is lost whatever is sent, and what is usually lost.
    nature: f64,
    usual: f64,
    pub(super) loss: f64,
    /// What the client named as ceiling, bits per second; infinite while it has not.
    pub(super) ceiling: f64,
}

impl Reports {
    pub(super) const fn new() -> Self {
        Self {
            at: None,
            base: None,
            long: 0,
            tried_at: None,
            wait: TRIAL_EVERY.0,
            before_trial: None,
            fell_from: None,
            nature: 0.0,
            usual: 0.0,
            loss: 0.0,
            ceiling: f64::INFINITY,
        }
    }

    pub(super) fn name_ceiling(&mut self, bps: u64) {
        self.ceiling = bps.clamp(FLOOR_BPS, CEILING_BPS) as f64;
    }

    /// Takes a report; `sent` are bits per second of late, `next` what the cheapest step up needs, 0 for none.
    pub(super) fn take(
        &mut self,
        report: Reception,
        now: Micros,
        target: f64,
        sent: f64,
        next: f64,
    ) -> Option<(f64, Reason)> {
        let since = now.saturating_sub(self.at.unwrap_or(now)).min(10_000_000) as f64 / 1e6;
        self.at = Some(now);
        self.loss = report.loss();
        let over = report.round_trip.map_or(0, |round_trip| self.over(round_trip, now));
        let is_long = over > ROUND_TRIP_OVER;
        self.long = if is_long { (self.long + 1).min(2) } else { 0 };
        let excess = self.excess(sent);
        if let Some(failed) = self.failed_trial(now, over) {
            return Some(failed);
        }
        self.usual += 0.3 * (self.loss - self.usual);
        if self.long == 2 {
            self.long = 0;
            self.tried_at = Some(now);
            return Some((DECREASE * target.min(OVER_SENT * sent.max(FLOOR_BPS as f64)), Reason::RoundTrip));
        }
        if excess > MUCH {
            self.tried_at = Some(now);
            self.fell_from.get_or_insert((self.loss, sent));
            return Some((target * (1.0 - self.loss / 2.0), Reason::Loss));
        }
        self.fell_from = self.fell_from.filter(|_| self.loss > LITTLE);
        if next <= target || is_long {
            return None;
        }
        let tried_at = *self.tried_at.get_or_insert(now);
        if now.saturating_sub(tried_at) >= self.wait {
            // Nothing can be sent to measure with, so the step itself is the measurement.
            (self.tried_at, self.before_trial) = (Some(now), Some((target, self.usual)));
            return Some((next, Reason::Growth));
        }
        if excess >= LITTLE {
            return None;
        }
        let grown = target * GROWTH.powf(since).min(GROWTH_MAX);
        let bounded = grown.min(OVER_SENT * sent + OVER_SENT_BPS);
        (bounded > target).then_some((bounded, Reason::Growth))
    }

    /// What is lost more than by nature. Loss that does not fall with what is sent is of that kind.
    fn excess(&mut self, sent: f64) -> f64 {
        if let Some((loss, before)) = self.fell_from
            && sent < SENT_LESS * before
        {
            self.nature = if self.loss > STAYS * loss { self.loss } else { 0.0 };
            self.fell_from = None;
        }
        self.nature = self.nature.min((self.nature + self.loss) / 2.0);
        // Reports of few packets vary by half.
        self.loss - 1.5 * self.nature
    }

    /// The rate before a trial that has failed.
    fn failed_trial(&mut self, now: Micros, over: Micros) -> Option<(f64, Reason)> {
        let (before, usual) = self.before_trial?;
        let (least, most) = TRIAL_EVERY;
        let tried_at = self.tried_at.unwrap_or(now);
        let is_lossy = self.loss > 2.0 * usual + TRIAL_LOSS;
        if over > TRIAL_ROUND_TRIP_OVER || is_lossy {
            self.wait = (2 * self.wait).min(most);
            (self.tried_at, self.before_trial) = (Some(now), None);
            return Some((before, if is_lossy { Reason::Loss } else { Reason::RoundTrip }));
        }
        if now.saturating_sub(tried_at) > TRIAL_FAILS {
            (self.wait, self.before_trial) = (least, None);
        }
        None
    }

    /// How much longer a round trip is than the least of late.
    fn over(&mut self, round_trip: Micros, now: Micros) -> Micros {
        let (least, before, began) = self.base.unwrap_or((round_trip, round_trip, now));
        self.base = Some(if now.saturating_sub(began) > BASE_SPAN {
            (round_trip, least, now)
        } else {
            (least.min(round_trip), before, began)
        });
        round_trip.saturating_sub(least.min(before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(missing: u32, never_sent: u32, round_trip: Micros) -> Reception {
        Reception { expected: 100, missing, never_sent, round_trip: Some(round_trip) }
    }

    #[test]
    fn loss_before_us_is_no_loss_of_this_path() {
        let mut reports = Reports::new();
        let verdict = reports.take(report(30, 30, 50_000), 0, 6e5, 6e5, 0.0);
        assert_eq!((verdict, reports.loss), (None, 0.0));
        let verdict = reports.take(report(30, 10, 50_000), 1_000_000, 6e5, 6e5, 0.0).unwrap();
        assert!(verdict.0 < 5.5e5 && verdict.1 == Reason::Loss, "{verdict:?}");
        reports.take(report(10, 200, 50_000), 1_000_000, 6e5, 6e5, 0.0);
        assert_eq!(reports.loss, 0.0, "counts that lie");
    }

    #[test]
    fn two_long_round_trips_lower_and_ten_quiet_seconds_try_the_next_step() {
        let mut reports = Reports::new();
        assert_eq!(reports.take(report(0, 0, 50_000), 0, 2e5, 2e5, 0.0), None);
        assert_eq!(reports.take(report(0, 0, 250_000), 1_000_000, 2e5, 2e5, 0.0), None);
        let verdict = reports.take(report(0, 0, 250_000), 2_000_000, 2e5, 2e5, 0.0).unwrap();
        assert_eq!(verdict.1, Reason::RoundTrip);
        for second in 3..12 {
            let verdict = reports.take(report(0, 0, 50_000), second * 1_000_000, 2e5, 2e5, 8e5);
            assert!(verdict.is_none_or(|(bps, _)| bps < 3.2e5), "{verdict:?}");
        }
        let verdict = reports.take(report(0, 0, 50_000), 12_000_000, 2e5, 2e5, 8e5);
        assert_eq!(verdict, Some((8e5, Reason::Growth)));
        let verdict = reports.take(report(3, 0, 130_000), 13_000_000, 8e5, 8e5, 0.0);
        assert_eq!(verdict, Some((2e5, Reason::Loss)), "the trial has failed");
        for second in 14..33 {
            let verdict = reports.take(report(0, 0, 50_000), second * 1_000_000, 2e5, 2e5, 8e5);
            assert!(verdict.is_none_or(|(bps, _)| bps < 3.2e5), "twice as long: {verdict:?}");
        }
    }

    #[test]
    fn loss_that_does_not_fall_with_the_rate_does_not_starve() {
        let mut reports = Reports::new();
        let mut target = 1e6;
        for second in 0..60 {
            let verdict = reports.take(report(15, 0, 50_000), second * 1_000_000, target, target, 0.0);
            target = verdict.map_or(target, |(bps, _)| bps);
        }
        assert!(target > 5e5, "{target}");
    }
}
