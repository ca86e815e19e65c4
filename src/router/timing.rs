//! Time of a layer: the publisher's sender reports and the way from one layer's RTP timestamps to another's.

use std::time::{Duration, Instant};

use crate::rtp::time::{ntp_from_duration, rtp_ticks};

/// Greatest difference, in time, between what sender reports and what arrival says about one packet. A publisher
/// whose reports are further off has a broken clock in them, and its arrival is the better guess.
const REPORT_ERROR_MAX: Duration = Duration::from_secs(1);

/// The sender information of a publisher's report (RFC 3550 6.4.1): one moment on two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderClock {
    /// The publisher's wall clock, 32.32 seconds.
    pub ntp: u64,
    /// The same moment in RTP timestamps of the layer.
    pub rtp: u32,
    /// RTP clock rate, Hz.
    pub clock_rate: u32,
}

/// The sender information of a report, and when that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReportedTime {
    /// The publisher's wall clock, 32.32 seconds.
    pub(crate) ntp: u64,
    /// The same moment in RTP timestamps of the layer.
    pub(crate) rtp: u32,
    /// RTP clock rate, Hz.
    pub(crate) clock_rate: u32,
    /// When the report arrived.
    pub(crate) received_at: Instant,
}

impl ReportedTime {
    pub(crate) fn new(clock: SenderClock, received_at: Instant) -> Self {
        let SenderClock { ntp, rtp, clock_rate } = clock;
        Self { ntp, rtp, clock_rate, received_at }
    }

    /// Carries the reported moment on to `now`, on both clocks.
    pub(crate) fn at(&self, now: Instant) -> (u64, u32) {
        let elapsed = now.saturating_duration_since(self.received_at);
        (
            self.ntp.wrapping_add(ntp_from_duration(elapsed)),
            self.rtp.wrapping_add(rtp_ticks(elapsed, self.clock_rate)),
        )
    }

    /// Returns the timestamp that the moment of `timestamp`, counted as `other` counts, has in this layer.
    fn timestamp_of(&self, other: &Self, timestamp: u32) -> Option<u32> {
        if self.clock_rate == 0 || other.clock_rate == 0 {
            return None;
        }
        // Differences, not absolute times: both clocks wrap, and packets may be older than the report.
        let since_other = i128::from(timestamp.wrapping_sub(other.rtp).cast_signed());
        let ntp_since_other = (since_other << 32) / i128::from(other.clock_rate);
        let ntp_since_self = ntp_since_other + i128::from(other.ntp.wrapping_sub(self.ntp).cast_signed());
        let half = 1 << 31;
        Some(self.rtp.wrapping_add(low_bits((ntp_since_self * i128::from(self.clock_rate) + half) >> 32)))
    }
}

/// How long a layer is sent before its time is guessed. Publishers that report at all have reported by then.
const REPORT_PATIENCE: Duration = Duration::from_secs(2);

/// Span whose quickest packet tells the time of the next: clocks of two machines drift apart, by a millisecond in it at most.
const ARRIVAL_SPAN: Duration = Duration::from_secs(10);

/// The time of a layer whose publisher sends no reports, by the arrival of its packets.
///
/// All of them are late by what the network and the encoder held them up; the one that was least so tells the time best.
#[derive(Debug, Default)]
pub(crate) struct ArrivalClock {
    began: Option<Instant>,
    /// The quickest of this span and the one before.
    quickest: Option<Arrival>,
    /// The quickest of this span.
    upcoming: Option<Arrival>,
    span_began: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Arrival {
    timestamp: u32,
    at: Instant,
    clock_rate: u32,
}

impl Arrival {
    /// Seconds by which `other` came earlier than its timestamp says, if this one was in time.
    fn ahead_by(&self, other: &Self) -> f64 {
        let ticks = other.timestamp.wrapping_sub(self.timestamp).cast_signed();
        let elapsed = other.at.saturating_duration_since(self.at);
        f64::from(ticks) / f64::from(other.clock_rate.max(1)) - elapsed.as_secs_f64()
    }
}

impl ArrivalClock {
    /// Takes the first packet of a frame.
    pub(crate) fn observe(&mut self, timestamp: u32, at: Instant, clock_rate: u32) {
        let arrival = Arrival { timestamp, at, clock_rate };
        // A publisher whose timestamps jump, or whose clock rate changes, has begun anew.
        let goes_on = |known: &Arrival| {
            known.clock_rate == clock_rate && known.ahead_by(&arrival).abs() < REPORT_ERROR_MAX.as_secs_f64()
        };
        if !self.quickest.as_ref().is_some_and(goes_on) {
            *self = Self { began: self.began.or(Some(at)), quickest: Some(arrival), ..Self::default() };
        }
        let span_began = *self.span_began.get_or_insert(at);
        if at.saturating_duration_since(span_began) >= ARRIVAL_SPAN {
            self.span_began = Some(at);
            self.quickest = self.upcoming.take();
        }
        for quickest in [&mut self.quickest, &mut self.upcoming] {
            if quickest.is_none_or(|known| known.ahead_by(&arrival) > 0.0) {
                *quickest = Some(arrival);
            }
        }
    }

    /// Returns the timestamp of `now`; `None` while a report may still come.
    pub(crate) fn at(&self, now: Instant) -> Option<u32> {
        let began = self.began?;
        let quickest = self.quickest.filter(|_| now.saturating_duration_since(began) >= REPORT_PATIENCE)?;
        let elapsed = now.saturating_duration_since(quickest.at);
        Some(quickest.timestamp.wrapping_add(rtp_ticks(elapsed, quickest.clock_rate)))
    }
}

/// The place where a stream is to go on: the newest frame sent before the change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seam {
    /// Its timestamp as sent.
    pub(crate) timestamp: u32,
    /// When it had arrived.
    pub(crate) received_at: Instant,
}

/// The two layers' reports at a change of layer, with the offset in force before it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reports {
    /// Of the layer that ends.
    pub(crate) before: ReportedTime,
    /// What was added to timestamps of that layer.
    pub(crate) offset: u32,
    /// Of the layer that begins.
    pub(crate) after: ReportedTime,
}

impl Seam {
    /// Returns the timestamp under which the first packet after the change goes out: by the publisher's clock where
    /// both layers are tied to it, else by the time between arrivals; always later than what was sent before.
    pub(crate) fn next(
        &self,
        timestamp: u32,
        received_at: Instant,
        clock_rate: u32,
        reports: Option<Reports>,
    ) -> u32 {
        let elapsed = received_at.saturating_duration_since(self.received_at);
        let by_arrival = self.timestamp.wrapping_add(rtp_ticks(elapsed, clock_rate));
        let error_max = rtp_ticks(REPORT_ERROR_MAX, clock_rate);
        let by_report = reports
            .and_then(|r| Some(r.before.timestamp_of(&r.after, timestamp)?.wrapping_add(r.offset)))
            .filter(|mapped| mapped.wrapping_sub(by_arrival).cast_signed().unsigned_abs() <= error_max);
        let mapped = by_report.unwrap_or(by_arrival);
        if is_later(mapped, self.timestamp) { mapped } else { self.timestamp.wrapping_add(1) }
    }
}

/// Returns whether RTP timestamp `a` is later than `b`, modulo 2^32.
pub(crate) fn is_later(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() > 0
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "RTP time is modulo 2^32")]
fn low_bits(ticks: i128) -> u32 {
    ticks as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::fixture::base_instant;

    fn report(ntp_ms: u64, rtp: u32) -> ReportedTime {
        ReportedTime { ntp: (ntp_ms << 32) / 1000, rtp, clock_rate: 90_000, received_at: base_instant() }
    }

    #[test]
    fn a_moment_has_its_timestamp_in_either_layer() {
        let low = report(10_000, 1_000_000);
        for (high, timestamp, expected) in [
            (report(10_000, 0xffff_ff00), 0xffff_ff00_u32, 1_000_000),
            (report(10_000, 0xffff_ff00), 0xffff_ff00_u32.wrapping_add(90_000), 1_090_000),
            (report(12_000, 500), 500 - 180, 1_000_000 + 180_000 - 180),
            (report(7_000, 500), 500, 1_000_000 - 270_000),
        ] {
            let mapped = low.timestamp_of(&high, timestamp).unwrap();
            assert_eq!(mapped, expected);
        }
    }

    #[test]
    fn a_report_is_carried_on_to_the_present() {
        let (ntp, rtp) = report(5_000, u32::MAX).at(base_instant() + Duration::from_millis(500));
        assert_eq!((ntp >> 32, rtp), (5, 44_999));
        assert_eq!(ntp as u32, 1 << 31);
    }

    #[test]
    fn timestamps_go_on_by_report_then_by_arrival_and_never_back() {
        let seam = Seam { timestamp: 50_000, received_at: base_instant() };
        let at = |ms| base_instant() + Duration::from_millis(ms);
        assert_eq!(seam.next(7, at(100), 90_000, None), 59_000, "arrival");
        assert_eq!(seam.next(7, at(0), 90_000, None), 50_001, "same moment");
        let reports = |ntp_ms, offset| {
            Some(Reports { before: report(10_000, 40_000), offset, after: report(ntp_ms, 7) })
        };
        assert_eq!(seam.next(7, at(100), 90_000, reports(10_050, 10_000)), 54_500, "report");
        assert_eq!(seam.next(7, at(100), 90_000, reports(60_000, 10_000)), 59_000, "report is far off");
        assert_eq!(seam.next(7, at(100), 90_000, reports(9_950, 10_000)), 50_001, "report says earlier");
    }

    #[test]
    fn arrival_tells_the_time_by_the_packet_that_was_held_up_least() {
        let at = |ms| base_instant() + Duration::from_millis(ms);
        let mut clock = ArrivalClock::default();
        // A frame each 20 ms, held up by 5 to 39 ms.
        for frame in 0..500_u32 {
            let held_up = 5 + u64::from(frame * 7 % 35);
            clock.observe(frame.wrapping_mul(960), at(u64::from(frame) * 20 + held_up), 48_000);
            if frame == 90 {
                assert_eq!(clock.at(at(1_990)), None, "a report may still come");
            }
        }
        let (now, truth) = (10_000, 9_995 * 48);
        let told = clock.at(at(now)).unwrap();
        assert!(told.abs_diff(truth) <= 48, "{told} {truth}");
        // The publisher's clock is slow by a hundredth: the quickest of the past does not hold for ever.
        for frame in 0..3_000_u32 {
            clock.observe(
                480_000 + frame * 960,
                at(10_005 + u64::from(frame) * 20 + u64::from(frame / 10)),
                48_000,
            );
        }
        let (now, truth) = (at(10_005 + 60_000 + 300), 480_000 + 3_000 * 960);
        let told = clock.at(now).unwrap();
        assert!(told.abs_diff(truth) < 48 * 210, "{told} {truth}");
        // It begins anew elsewhere.
        clock.observe(7, now, 48_000);
        assert_eq!(clock.at(now), Some(7));
    }
}
