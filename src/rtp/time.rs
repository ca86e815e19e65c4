//! Arithmetic between the clocks of RTP: NTP timestamps (RFC 3550 4), RTP ticks, and durations.
//!
//! Nothing here reads a clock. An NTP timestamp is 64 bits of seconds since 1900, 32 before the point and 32
//! behind; it wraps in 2036 and all differences here wrap with it.

use std::time::{Duration, Instant};

/// Seconds from 1900 to 1970.
const NTP_TO_UNIX_SECONDS: u64 = 2_208_988_800;

/// Nanoseconds of one second.
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// One moment on the clock of this node and on the wall, from which all others follow: the wall may be set, and this then
/// does not jump.
#[derive(Debug, Clone, Copy)]
pub struct WallClock {
    at: Instant,
    ntp: u64,
}

impl WallClock {
    /// Makes it of a moment and the time since 1970 then.
    pub fn new(at: Instant, since_1970: Duration) -> Self {
        Self { at, ntp: ntp_from_unix(since_1970) }
    }

    /// The NTP timestamp of a moment.
    pub fn ntp(&self, moment: Instant) -> u64 {
        match moment.checked_duration_since(self.at) {
            Some(since) => self.ntp.wrapping_add(ntp_from_duration(since)),
            None => self.ntp.wrapping_sub(ntp_from_duration(self.at.saturating_duration_since(moment))),
        }
    }
}

/// Turns the time since 1970 into an NTP timestamp.
pub fn ntp_from_unix(since_1970: Duration) -> u64 {
    ntp_from_duration(since_1970).wrapping_add(NTP_TO_UNIX_SECONDS << 32)
}

/// Turns a duration into NTP units, seconds with 32 bits behind the point; to be added with `wrapping_add`.
pub fn ntp_from_duration(duration: Duration) -> u64 {
    let fraction = (u64::from(duration.subsec_nanos()) << 32) / NANOS_PER_SECOND;
    // Seconds beyond 32 bits belong to another NTP era and fall out on the left.
    (duration.as_secs() << 32) | fraction
}

/// Turns a difference of NTP timestamps into a duration.
pub fn duration_from_ntp(units: u64) -> Duration {
    let nanos = ((units & 0xffff_ffff) * NANOS_PER_SECOND) >> 32;
    // Lossless: below 10^9.
    Duration::new(units >> 32, nanos as u32)
}

/// Takes the middle 32 bits of an NTP timestamp, as reports quote it (RFC 3550 6.4.1, LSR).
pub fn ntp_middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

/// Turns a difference of middle bits, 1/65536 s, into a duration (RFC 3550 6.4.1, DLSR).
pub fn duration_from_middle(units: u32) -> Duration {
    duration_from_ntp(u64::from(units) << 16)
}

/// Computes the round-trip time from a report block that quotes one of our sender reports; `None` when the
/// block quotes none or its figures cannot be true (RFC 3550 6.4.1).
pub fn round_trip(now_ntp: u64, last_sr: u32, delay_since_last_sr: u32) -> Option<Duration> {
    if last_sr == 0 {
        return None;
    }
    let units = ntp_middle(now_ntp).wrapping_sub(last_sr).wrapping_sub(delay_since_last_sr);
    // Clocks of different rates can bring a tiny round trip below zero; half the range tells the sign.
    (units < 1 << 31).then(|| duration_from_middle(units))
}

/// Counts the ticks of an RTP clock in a duration, modulo 2^32, rounded down.
pub fn rtp_ticks(duration: Duration, clock_rate: u32) -> u32 {
    let whole = duration.as_secs().wrapping_mul(u64::from(clock_rate));
    let part = u64::from(duration.subsec_nanos()) * u64::from(clock_rate) / NANOS_PER_SECOND;
    whole.wrapping_add(part) as u32
}

/// Turns a number of ticks of an RTP clock into a duration; zero for a clock that does not tick.
pub fn duration_of_ticks(ticks: u32, clock_rate: u32) -> Duration {
    let (ticks, rate) = (u64::from(ticks), u64::from(clock_rate));
    match (ticks * NANOS_PER_SECOND).checked_div(rate) {
        Some(nanos) => Duration::from_nanos(nanos),
        None => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_survive_the_way_through_ntp_units() {
        for nanos in [0, 1, 999_999_999, 1_000_000_000, 1_500_000_000, 86_400_000_000_123] {
            let duration = Duration::from_nanos(nanos);
            let back = duration_from_ntp(ntp_from_duration(duration));
            assert!(duration - back <= Duration::from_nanos(1), "{duration:?} {back:?}");
        }
        assert_eq!(ntp_from_duration(Duration::from_millis(500)), 1 << 31);
    }

    #[test]
    fn the_unix_epoch_is_known_to_ntp() {
        assert_eq!(ntp_from_unix(Duration::ZERO) >> 32, 2_208_988_800);
        // 2036-02-07 06:28:16 UTC is where the 32 bits of seconds wrap.
        assert_eq!(ntp_from_unix(Duration::from_secs(2_085_978_496)), 0);
    }

    #[test]
    fn a_round_trip_is_what_is_left_after_the_delay() {
        let sent = ntp_from_unix(Duration::from_secs(1_800_000_000));
        let received = sent.wrapping_add(ntp_from_duration(Duration::from_millis(350)));
        let delay = ntp_middle(ntp_from_duration(Duration::from_millis(250)));
        let rtt = round_trip(received, ntp_middle(sent), delay).unwrap();
        assert!(rtt.abs_diff(Duration::from_millis(100)) < Duration::from_micros(50), "{rtt:?}");
        assert_eq!(round_trip(received, 0, delay), None);
        assert_eq!(round_trip(sent, ntp_middle(sent), 1), None);
    }

    #[test]
    fn a_round_trip_across_the_wrap_of_the_middle_bits_is_right() {
        let sent = u64::MAX - 5;
        let received = sent.wrapping_add(1 << 32);
        assert_eq!(round_trip(received, ntp_middle(sent), 0), Some(Duration::from_secs(1)));
    }

    #[test]
    fn ticks_follow_the_clock_rate_and_wrap() {
        assert_eq!(rtp_ticks(Duration::from_millis(20), 48_000), 960);
        assert_eq!(rtp_ticks(Duration::from_millis(1), 90_000), 90);
        assert_eq!(rtp_ticks(Duration::from_nanos(999_999_999), 8_000), 7_999);
        let day = Duration::from_secs(86_400);
        assert_eq!(rtp_ticks(day, 90_000), (86_400u64 * 90_000) as u32);
        assert_eq!(rtp_ticks(Duration::MAX, u32::MAX), rtp_ticks(Duration::MAX, u32::MAX));
        assert_eq!(duration_of_ticks(960, 48_000), Duration::from_millis(20));
        assert_eq!(duration_of_ticks(960, 0), Duration::ZERO);
    }
}
