//! What a shard tells the outside: its counters, and events for control.

use std::collections::VecDeque;

use super::command::Event;
use crate::drop::DropReason;
use crate::metrics::shard::ShardCounters;

/// Counters, and events that wait to be taken. Emptied each turn; what one turn can add is bounded by its budgets and by
/// the sessions and publications of the shard, each of which says one thing at a time.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) counters: ShardCounters,
    events: VecDeque<Event>,
}

impl Ledger {
    /// Counts a packet that goes no further.
    #[inline]
    pub(super) fn drop(&mut self, reason: DropReason) {
        self.counters.drop(reason);
    }

    /// Tells control.
    pub(super) fn tell(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Takes the next event.
    pub(super) fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}
