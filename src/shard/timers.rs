//! Deadlines of sessions, and of publications: a wheel of slots in which an entry that was overtaken is passed over.
//!
//! Arming, firing and finding the next take the same time whatever the number of sessions: a slot gathers the deadlines
//! of [`SLOT`], and only the earliest slot is looked into. Each says what it is for ([`Wake`]).
//!
//! ```text
//!  slots   | 0 | 1 | 2 | ... | 511 |   tick t stands in slot t modulo 512; later laps wait in the same slot
//!                ^ cursor
//! ```
//!
//! Bound: an owner has the entries that overtook each other within its own deadline, and each goes with its time.

use std::time::{Duration, Instant};

use crate::metrics::shard::Wake;

/// The span of one slot.
const SLOT: Duration = Duration::from_millis(4);

/// Slots of one lap, a power of two: 2 s, so that reports and retransmissions never lap.
const SLOTS: usize = 512;

/// How far before the first deadline ever armed time begins: no later one is armed before that.
const EARLIER: Duration = Duration::from_secs(24 * 3600);

/// The earliest deadline that the owner has in the wheel.
pub(super) type Armed = Option<Instant>;

#[derive(Debug, Clone, Copy)]
struct Entry<K> {
    tick: u64,
    at: Instant,
    of: K,
    why: Wake,
}

/// The deadlines of one kind of owners, named by `K`.
#[derive(Debug)]
pub(super) struct Timers<K> {
    /// When tick 0 begins; set by the first deadline.
    base: Option<Instant>,
    slots: Vec<Vec<Entry<K>>>,
    /// One bit for each slot that holds an entry.
    occupied: [u64; SLOTS / 64],
    /// The present tick, or one before; no entry has an earlier one.
    cursor: u64,
    /// Entries whose time has come, to be taken from the back.
    due: Vec<Entry<K>>,
}

const _: () =
    assert!(SLOTS.is_power_of_two() && SLOTS >= 64, "slots are found with a mask, and by words of bits");

impl<K> Default for Timers<K> {
    fn default() -> Self {
        let slots = (0..SLOTS).map(|_| Vec::new()).collect();
        Self { base: None, slots, occupied: [0; SLOTS / 64], cursor: u64::MAX, due: Vec::new() }
    }
}

impl<K: Copy> Timers<K> {
    /// Sees to it that the owner is called at `at` or before. An earlier call finds the later deadline by itself,
    /// so only an earlier one enters the wheel.
    pub(super) fn arm(&mut self, armed: &mut Armed, of: K, (at, why): (Instant, Wake)) {
        if armed.is_some_and(|present| at >= present) {
            return;
        }
        *armed = Some(at);
        let base = *self.base.get_or_insert_with(|| at.checked_sub(EARLIER).unwrap_or(at));
        let tick = tick_at(base, at);
        self.cursor = self.cursor.min(tick);
        self.place(Entry { tick, at, of, why });
    }

    /// Takes one owner that is due. The caller compares the moment with what the owner has armed: an entry that
    /// was overtaken by an earlier one differs and is passed over.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<(Instant, K, Wake)> {
        if self.due.is_empty() {
            self.turn(now);
        }
        self.due.pop().map(|entry| (entry.at, entry.of, entry.why))
    }

    /// The earliest deadline. Where all lie more than a lap ahead: the end of this lap.
    ///
    /// `wanted` tells for an entry that stands first when it is wanted now: nobody is woken for a deadline that has
    /// moved on since it was armed. The entry goes there, for what it is for by now; without a moment it goes altogether.
    pub(super) fn next(
        &mut self,
        wanted: &mut dyn FnMut(K, Instant) -> Option<(Instant, Wake)>,
    ) -> Option<Instant> {
        let base = self.base?;
        if let Some(entry) = self.due.last() {
            return Some(entry.at);
        }
        let lap_end = self.cursor.saturating_add(SLOTS as u64);
        let mut from = self.cursor;
        while let Some(tick) = self.occupied_from(from, lap_end) {
            let index = slot_of(tick);
            let slot = self.slots.get_mut(index)?;
            let of_this_lap = slot.iter().enumerate().filter(|(_, entry)| entry.tick <= tick);
            let Some((position, entry)) = of_this_lap.min_by_key(|(_, entry)| entry.at) else {
                from = tick + 1;
                continue;
            };
            let entry = *entry;
            let moved = wanted(entry.of, entry.at);
            if moved.is_some_and(|(at, _)| at <= entry.at) {
                return Some(entry.at);
            }
            slot.swap_remove(position);
            let emptied = slot.is_empty();
            self.set_occupied(index, !emptied);
            if let Some((at, why)) = moved {
                self.place(Entry { tick: tick_at(base, at), at, of: entry.of, why });
            }
        }
        // Whatever there is belongs to later laps: it is looked at again when this one is over.
        (from > self.cursor).then(|| moment(base, lap_end))
    }

    /// The grid of this wheel.
    pub(super) fn grid(&self) -> Grid {
        Grid { base: self.base }
    }

    fn place(&mut self, entry: Entry<K>) {
        let index = slot_of(entry.tick);
        if let Some(slot) = self.slots.get_mut(index) {
            slot.push(entry);
            self.set_occupied(index, true);
        }
    }

    /// Moves what is due at `now` out of its slots.
    fn turn(&mut self, now: Instant) {
        let Some(base) = self.base else { return };
        let present = tick_at(base, now).max(self.cursor);
        let last = present.min(self.cursor.saturating_add(SLOTS as u64 - 1));
        let mut from = self.cursor;
        while let Some(tick) = self.occupied_from(from, last + 1) {
            from = tick + 1;
            let index = slot_of(tick);
            let Some(slot) = self.slots.get_mut(index) else { continue };
            self.due.extend(slot.extract_if(.., |entry| entry.at <= now));
            let emptied = slot.is_empty();
            self.set_occupied(index, !emptied);
        }
        // Taken from the back: the earliest stands last.
        self.due.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.at));
        self.cursor = present;
    }

    /// The first tick from `from` on and before `end`, no more than a lap, whose slot holds an entry of any lap.
    fn occupied_from(&self, from: u64, end: u64) -> Option<u64> {
        let mut tick = from;
        while tick < end {
            let index = slot_of(tick);
            let rest = self.occupied.get(index / 64)? >> (index % 64);
            if rest != 0 {
                return Some(tick + u64::from(rest.trailing_zeros())).filter(|tick| *tick < end);
            }
            // On to the beginning of the next word.
            tick += 64 - (index % 64) as u64;
        }
        None
    }

    fn set_occupied(&mut self, index: usize, occupied: bool) {
        let Some(word) = self.occupied.get_mut(index / 64) else { return };
        let bit = 1 << (index % 64);
        *word = if occupied { *word | bit } else { *word & !bit };
    }
}

/// Moments that are a span apart, for what may be late: it is done together with others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid {
    base: Option<Instant>,
}

impl Grid {
    /// A grid that begins at `base`.
    pub(super) fn since(base: Instant) -> Self {
        Self { base: Some(base) }
    }

    /// The end of the span that a moment lies in, counted from the grid's beginning.
    pub(super) fn end_of_span(self, at: Instant, span: Duration) -> Instant {
        let Some(base) = self.base else { return at };
        let into = at.saturating_duration_since(base).as_nanos() % span.as_nanos();
        // Lossless: less than a span, and a span is less than centuries.
        let into = Duration::from_nanos(into as u64);
        if into.is_zero() { at } else { at + span.saturating_sub(into) }
    }
}

/// The slot of a tick.
fn slot_of(tick: u64) -> usize {
    // Lossless: the mask keeps nine bits.
    (tick & (SLOTS as u64 - 1)) as usize
}

/// The tick that a moment belongs to.
fn tick_at(base: Instant, at: Instant) -> u64 {
    let ticks = at.saturating_duration_since(base).as_nanos() / SLOT.as_nanos();
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

/// When a tick begins.
fn moment(base: Instant, tick: u64) -> Instant {
    base + Duration::from_nanos(tick.saturating_mul(SLOT.as_nanos() as u64))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an Instant has no other beginning; the tests only add to it")]
mod tests {
    use super::*;

    /// Names to tell owners apart.
    fn owners(count: u32) -> Vec<u32> {
        (0..count).collect()
    }

    fn fired(timers: &mut Timers<u32>, now: Instant) -> Vec<u32> {
        std::iter::from_fn(|| timers.pop_due(now)).map(|(_, of, _)| of).collect()
    }

    #[test]
    fn deadlines_come_in_their_order_and_at_their_time() {
        let base = Instant::now();
        let mut timers = Timers::default();
        let owners = owners(200);
        let spans: Vec<u64> = (0..200).map(|index| 1 + (index * index * 7919) % 9_000).collect();
        for (of, span) in owners.iter().zip(&spans) {
            timers.arm(&mut None, *of, (base + Duration::from_millis(*span), Wake::Engine));
        }
        let mut now = base;
        let mut seen = 0;
        while let Some(at) = timers.next(&mut |_, at| Some((at, Wake::Engine))) {
            assert!(at > now, "time stands still");
            now = at;
            for of in fired(&mut timers, now) {
                let span = spans[owners.iter().position(|owner| *owner == of).unwrap()];
                assert_eq!(base + Duration::from_millis(span), now);
                seen += 1;
            }
        }
        assert_eq!(seen, owners.len());
    }

    #[test]
    fn only_an_earlier_deadline_enters_and_the_overtaken_one_still_comes_by() {
        let base = Instant::now();
        let mut timers = Timers::default();
        let owner = owners(1)[0];
        let mut armed = None;
        timers.arm(&mut armed, owner, (base + Duration::from_millis(100), Wake::Engine));
        timers.arm(&mut armed, owner, (base + Duration::from_millis(200), Wake::Engine));
        timers.arm(&mut armed, owner, (base + Duration::from_millis(50), Wake::Engine));
        assert_eq!(armed, Some(base + Duration::from_millis(50)));
        let all: Vec<_> = std::iter::from_fn(|| timers.pop_due(base + Duration::from_secs(1))).collect();
        let moments: Vec<_> = all.iter().map(|(at, ..)| at.duration_since(base).as_millis()).collect();
        assert_eq!(moments, [50, 100]);
        assert_eq!(timers.next(&mut |_, at| Some((at, Wake::Engine))), None);
    }

    #[test]
    fn nobody_is_woken_for_a_deadline_that_has_moved_on() {
        let base = Instant::now();
        let mut timers = Timers::default();
        let owners = owners(3);
        let after = |millis| base + Duration::from_millis(millis);
        for (of, millis) in owners.iter().zip([10, 20, 5_000]) {
            timers.arm(&mut None, *of, (after(millis), Wake::Engine));
        }
        // The first has moved on, past a lap even; the second is gone.
        let mut asked = Vec::new();
        let next = timers.next(&mut |of, at| {
            asked.push(of);
            let moved =
                if of == owners[0] { Some(after(3_000)) } else { Some(at).filter(|_| of != owners[1]) };
            moved.map(|at| (at, Wake::Reports))
        });
        assert_eq!(asked, owners[..2]);
        assert!(next.is_some_and(|lap_end| lap_end > after(1_000) && lap_end <= after(3_000)));
        assert!(fired(&mut timers, after(2_999)).is_empty());
        let (_, of, why) = timers.pop_due(after(3_000)).unwrap();
        assert_eq!((of, why), (owners[0], Wake::Reports), "what it was moved for is known");
        assert_eq!(fired(&mut timers, after(5_000)), owners[2..]);
    }

    #[test]
    fn what_may_be_late_is_late_by_less_than_a_span() {
        let base = Instant::now();
        let span = Duration::from_millis(100);
        let mut timers = Timers::default();
        timers.arm(&mut None, owners(1)[0], (base, Wake::Engine));
        let mut ends = std::collections::BTreeSet::new();
        for millis in 0..1_000 {
            let at = base + Duration::from_millis(millis);
            let end = timers.grid().end_of_span(at, span);
            assert!(end >= at && end < at + span);
            ends.insert(end);
        }
        assert!((10..=11).contains(&ends.len()));
        let years = base + Duration::from_secs(10 * 365 * 24 * 3600) + Duration::from_millis(1);
        assert!(timers.grid().end_of_span(years, span) - years < span);
    }

    #[test]
    fn a_deadline_in_the_past_is_due_at_once() {
        let base = Instant::now();
        let mut timers = Timers::default();
        let owners = owners(2);
        timers.arm(&mut None, owners[0], (base, Wake::Engine));
        assert_eq!(fired(&mut timers, base + Duration::from_secs(5)), owners[..1]);
        timers.arm(&mut None, owners[1], (base + Duration::from_secs(1), Wake::Engine));
        assert_eq!(fired(&mut timers, base + Duration::from_secs(5)), owners[1..]);
    }

    #[test]
    fn a_pause_longer_than_a_lap_loses_nothing() {
        let base = Instant::now();
        let mut timers = Timers::default();
        let owners = owners(3);
        for (of, seconds) in owners.iter().zip([1, 3, 30]) {
            timers.arm(&mut None, *of, (base + Duration::from_secs(seconds), Wake::Engine));
        }
        assert_eq!(fired(&mut timers, base + Duration::from_secs(20)), owners[..2]);
        assert_eq!(fired(&mut timers, base + Duration::from_secs(40)), owners[2..]);
    }
}
