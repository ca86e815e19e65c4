//! Deadlines of sessions and publications: a heap in which an entry that was overtaken is passed over.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use super::publications::PublicationKey;
use super::sessions::SessionKey;

/// Whose deadline it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TimerOf {
    Session(SessionKey),
    Publication(PublicationKey),
}

/// The earliest deadline that the owner has in the heap.
pub(super) type Armed = Option<Instant>;

#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, TimerOf)>>,
}

impl Timers {
    /// Sees to it that the owner is called at `at` or before. An earlier call finds the later deadline by itself,
    /// so only an earlier one enters the heap.
    pub(super) fn arm(&mut self, armed: &mut Armed, of: TimerOf, at: Instant) {
        if armed.is_none_or(|present| at < present) {
            *armed = Some(at);
            self.heap.push(Reverse((at, of)));
        }
    }

    /// Takes one owner that is due. The caller compares the moment with what the owner has armed: an entry that
    /// was overtaken by an earlier one differs and is passed over.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<(Instant, TimerOf)> {
        let Reverse((at, _)) = self.heap.peek()?;
        if *at > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}
