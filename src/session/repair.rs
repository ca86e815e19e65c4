//! What a client may have sent once more: how soon, how often, how much.
//!
//! A client asks for what it misses until it has it, and one whose link is full misses most of what is sent: answers then
//! fill the link still more. So a packet goes once more at most every round trip and [`TIMES_MAX`] times in all, while its
//! frame can still be shown, and all of it within a quarter of what is sent. What one turn brings of requests is bounded,
//! and so is what answers take of an outbox.

use std::time::{Duration, Instant};

use super::history::TICKS_PER_SECOND;
use crate::drop::RepairRefusal;

/// How often one packet is sent once more.
const TIMES_MAX: u8 = 3;

/// Requests of one session that are looked at in one turn: half of what the cache of a layer holds.
const ASKS_PER_TURN: u32 = 512;

/// Packets of a stream whose requests are remembered, a power of two.
const REMEMBERED: usize = 512;

/// Bounds of the time to the client and back, as far as requests are concerned, and what it is taken for until it is known.
const ROUND_TRIP_MIN: Duration = Duration::from_millis(20);
const ROUND_TRIP_MAX: Duration = Duration::from_secs(1);
const ROUND_TRIP_UNKNOWN: Duration = Duration::from_millis(100);

/// How old a packet may be, a round trip aside: nobody waits longer for a frame.
const AGE_MAX: Duration = Duration::from_millis(500);

/// So many packets of a stream may be of the past, and so much older than others: a newcomer begins with what was there.
const BEGINNING_PACKETS: u64 = 512;
const BEGINNING_AGE: Duration = Duration::from_millis(500);

/// The share of what is sent that may be sent once more where nothing speaks against it, thousandths.
const SHARE: u64 = 250;

/// How much of it may gather: half a second's, and ten packets in any case.
const GATHERED_MIN: u64 = 12_000;

/// How far keyframe requests of one stream may run ahead of one a second.
const KEYFRAMES_AHEAD: Duration = Duration::from_secs(3);
const KEYFRAME_INTERVAL: Duration = Duration::from_secs(1);

/// The round trip to go by.
pub(super) fn round_trip(reported: Option<Duration>) -> Duration {
    reported.unwrap_or(ROUND_TRIP_UNKNOWN).clamp(ROUND_TRIP_MIN, ROUND_TRIP_MAX)
}

/// Whether a packet that came then can still be of use on a stream that has sent so many.
pub(super) fn is_of_use(received_at: Instant, round_trip: Duration, sent: u64, now: Instant) -> bool {
    let age_before = if sent < BEGINNING_PACKETS { BEGINNING_AGE } else { Duration::ZERO };
    now.saturating_duration_since(received_at) <= AGE_MAX + age_before + round_trip
}

/// What was asked of one packet.
#[derive(Debug, Clone, Copy, Default)]
struct Asked {
    /// When it was last asked for, in ticks of the session.
    at: u32,
    seq: u16,
    /// How often it was sent once more.
    times: u8,
    is_used: bool,
}

const _: () = assert!(size_of::<Asked>() == 8, "four kilobytes for a stream of which packets are lost");

/// What a client has asked of one stream. Without a request it takes no room.
#[derive(Debug, Default)]
pub(super) struct Requests {
    asked: Option<Box<[Asked; REMEMBERED]>>,
    keyframes_until: Option<Instant>,
}

impl Requests {
    /// Takes a request for a packet.
    pub(super) fn ask(&mut self, seq: u16, at: u32, round_trip: Duration) -> Result<(), RepairRefusal> {
        let asked = self.asked.get_or_insert_with(|| Box::new([Asked::default(); REMEMBERED]));
        let Some(known) = asked.get_mut(usize::from(seq) % REMEMBERED) else {
            return Err(RepairRefusal::Old);
        };
        // Numbers come again: what was asked for long ago was another packet.
        let is_fresh = known.is_used && at.wrapping_sub(known.at) <= ticks(AGE_MAX + ROUND_TRIP_MAX);
        if is_fresh && known.seq == seq {
            if known.times >= TIMES_MAX {
                return Err(RepairRefusal::Exhausted);
            }
            if at.wrapping_sub(known.at) < ticks(round_trip) {
                return Err(RepairRefusal::Repeated);
            }
            known.at = at;
            return Ok(());
        }
        // A newer packet stands in its place, which must not forget how often that was sent.
        if is_fresh && known.seq.wrapping_sub(seq) < 1 << 15 {
            return Err(RepairRefusal::Old);
        }
        *known = Asked { at, seq, times: 0, is_used: true };
        Ok(())
    }

    /// Takes note that a packet was sent once more.
    pub(super) fn answered(&mut self, seq: u16) {
        let place = self.asked.as_mut().and_then(|asked| asked.get_mut(usize::from(seq) % REMEMBERED));
        if let Some(known) = place.filter(|known| known.seq == seq) {
            known.times = known.times.saturating_add(1);
        }
    }

    /// Takes a request for a keyframe. Returns whether it counts: one a second does, and a few at once.
    pub(super) fn ask_keyframe(&mut self, now: Instant) -> bool {
        let until = self.keyframes_until.map_or(now, |until| until.max(now));
        let counts = until <= now + KEYFRAMES_AHEAD;
        if counts {
            self.keyframes_until = Some(until + KEYFRAME_INTERVAL);
        }
        counts
    }

    /// Forgets all: sequence numbers begin anew.
    pub(super) fn clear(&mut self) {
        self.asked = None;
    }
}

/// What all streams of a session may send once more.
#[derive(Debug)]
pub(super) struct Budget {
    /// Bytes of media that were sent in all, and by the last time that something was spent.
    sent: u64,
    sent_when_spent: u64,
    /// By the last second.
    sent_at_tick: u64,
    gathered: u64,
    gathered_max: u64,
    /// The share that may be sent once more, thousandths.
    share: u64,
    /// The turn, and what is left of it.
    turn: Option<Instant>,
    asks_left: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            sent: 0,
            sent_when_spent: 0,
            sent_at_tick: 0,
            gathered: GATHERED_MIN,
            gathered_max: GATHERED_MIN,
            share: SHARE,
            turn: None,
            asks_left: 0,
        }
    }
}

impl Budget {
    /// Takes note of media that was sent.
    #[inline]
    pub(super) fn earn(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// Closes a second.
    pub(super) fn tick(&mut self) {
        self.gathered_max = GATHERED_MIN.max((self.sent - self.sent_at_tick) * SHARE / 1_000 / 2);
        self.sent_at_tick = self.sent;
    }

    /// What is sent from now on may be sent once more to this share, thousandths.
    pub(super) fn set_share(&mut self, share: u64) {
        self.gathered += (self.sent - self.sent_when_spent) * self.share / 1_000;
        (self.sent_when_spent, self.share) = (self.sent, share);
    }

    /// Whether one more request of this turn is looked at.
    pub(super) fn takes(&mut self, now: Instant) -> bool {
        if self.turn != Some(now) {
            (self.turn, self.asks_left) = (Some(now), ASKS_PER_TURN);
        }
        let left = self.asks_left.checked_sub(1);
        self.asks_left = left.unwrap_or_default();
        left.is_some()
    }

    /// Spends so many bytes, if they are there.
    pub(super) fn spend(&mut self, bytes: usize) -> bool {
        let earned = (self.sent - self.sent_when_spent) * self.share / 1_000;
        self.sent_when_spent = self.sent;
        self.gathered = (self.gathered + earned).min(self.gathered_max);
        let left = self.gathered.checked_sub(bytes as u64);
        self.gathered = left.unwrap_or(self.gathered);
        left.is_some()
    }
}

fn ticks(span: Duration) -> u32 {
    // Lossless: a round trip is a second at most.
    (span.as_micros() / (1_000_000 / u128::from(TICKS_PER_SECOND))) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(40);

    fn ms(ms: u32) -> u32 {
        ms * (TICKS_PER_SECOND / 1000)
    }

    #[test]
    fn what_was_asked_for_long_ago_was_another_packet_and_stands_in_nobodys_way() {
        let mut requests = Requests::default();
        assert_eq!(requests.ask(100, ms(1000), RTT), Ok(()));
        // Both are kept in the same place; the numbers alone say that the second is the older one.
        assert_eq!(requests.ask(33_380, ms(1001), RTT), Err(RepairRefusal::Old));
        assert_eq!(requests.ask(33_380, ms(111_000), RTT), Ok(()));
        for _ in 0..TIMES_MAX {
            requests.answered(33_380);
        }
        assert_eq!(requests.ask(33_380, ms(111_100), RTT), Err(RepairRefusal::Exhausted));
        assert_eq!(requests.ask(33_380, ms(330_000), RTT), Ok(()), "the number has come round");
    }

    #[test]
    fn a_packet_is_asked_for_once_in_a_round_trip_and_sent_three_times_in_all() {
        let mut requests = Requests::default();
        assert_eq!(requests.ask(7, ms(1000), RTT), Ok(()));
        assert_eq!(requests.ask(7, ms(1039), RTT), Err(RepairRefusal::Repeated));
        for time in 0..3 {
            assert_eq!(requests.ask(7, ms(1040 + 40 * time), RTT), Ok(()));
            requests.answered(7);
        }
        assert_eq!(requests.ask(7, ms(1500), RTT), Err(RepairRefusal::Exhausted));
        assert_eq!(requests.ask(8, ms(1500), RTT), Ok(()));
        assert_eq!(requests.ask(7 + 512, ms(1500), RTT), Ok(()));
        assert_eq!(requests.ask(7, ms(2499), RTT), Err(RepairRefusal::Old), "in the place of a newer one");
        requests.clear();
        assert_eq!(requests.ask(7, ms(2499), RTT), Ok(()));
    }

    #[test]
    fn a_quarter_of_what_is_sent_may_be_sent_once_more() {
        let mut budget = Budget::default();
        let spend = |budget: &mut Budget| (0..1_000).filter(|_| budget.spend(1_200)).count();
        assert_eq!(spend(&mut budget), 10, "at the beginning");
        for _ in 0..100 {
            budget.earn(1_200);
        }
        assert_eq!(spend(&mut budget), 10, "no more may gather yet");
        budget.tick();
        let mut spent = 0;
        for _ in 0..400 {
            budget.earn(1_200);
            spent += usize::from(budget.spend(1_200));
        }
        assert_eq!(spent, 100);
        for _ in 0..400 {
            budget.earn(1_200);
        }
        budget.tick();
        assert_eq!(spend(&mut budget), 100, "half a second's, of both");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an instant cannot be made without the clock")]
    fn requests_of_one_turn_and_for_keyframes_are_bounded() {
        let (mut budget, mut requests, now) = (Budget::default(), Requests::default(), Instant::now());
        assert_eq!((0..5_000).filter(|_| budget.takes(now)).count(), ASKS_PER_TURN as usize);
        assert!(budget.takes(now + Duration::from_millis(1)));
        let count = (0..100).filter(|_| requests.ask_keyframe(now)).count();
        assert_eq!(count, 4);
        let later =
            (0..100).filter(|ms| requests.ask_keyframe(now + Duration::from_millis(100 * ms))).count();
        assert_eq!(later, 9);
        assert!(requests.ask_keyframe(now + Duration::from_secs(60)));
    }
}
