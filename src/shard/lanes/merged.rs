//! Lanes whose words are merged: of each thing the newest, told when there is room.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use foldhash::fast::RandomState;

use super::{Lanes, ShardSet};
use crate::ids::ShardId;

/// What is to be told of one thing, named by `K`, in messages `M`.
pub(super) trait Untold<K, M>: Default {
    /// Takes out what is to be told next.
    fn next(&mut self, key: &K) -> Option<M>;
}

/// The lanes of one shard, and for each other shard what it is to be told.
#[derive(Debug)]
pub(in crate::shard) struct MergedLanes<K, U, M> {
    lanes: Lanes<M>,
    untold: Vec<Pending<K, U>>,
}

impl<K: Eq + Hash + Clone, U: Untold<K, M>, M> MergedLanes<K, U, M> {
    /// The lanes of so many shards, each with room for so many messages.
    pub(super) fn join(shards: usize, capacity: usize) -> Vec<Self> {
        let untold = || (0..shards).map(|_| Pending::default()).collect();
        Lanes::join(shards, capacity).into_iter().map(|lanes| Self { lanes, untold: untold() }).collect()
    }

    /// What another shard is to be told of a thing; made when there is nothing yet.
    pub(super) fn of(&mut self, to: ShardId, key: &K) -> Option<&mut U> {
        Some(self.untold.get_mut(usize::from(to.0))?.entry(key))
    }

    /// Forgets what another shard is to be told of a thing.
    pub(super) fn forget(&mut self, to: ShardId, key: &K) {
        if let Some(pending) = self.untold.get_mut(usize::from(to.0)) {
            pending.remove(key);
        }
    }

    /// Sends a message behind all that is to be told of a thing, where at least `spared` places stay free behind it. Returns
    /// whether there was room.
    #[inline]
    pub(super) fn send(&mut self, to: ShardId, key: &K, message: M, spared: usize) -> bool {
        self.is_told(to, key) && self.lanes.push(to, message, spared).is_ok()
    }

    /// Messages that have room on the lane to a shard.
    pub(super) fn room(&self, to: ShardId) -> usize {
        self.lanes.room(to)
    }

    /// Takes the next message, and says whose it is.
    pub(super) fn receive(&mut self) -> Option<(ShardId, M)> {
        self.lanes.receive()
    }

    /// The other shards.
    pub(super) fn others(&self) -> impl Iterator<Item = ShardId> + use<'_, K, U, M> {
        self.lanes.others()
    }

    /// Tells what is to be told of a thing. Returns whether nothing of it is left.
    #[inline]
    fn is_told(&mut self, to: ShardId, key: &K) -> bool {
        match self.untold.get(usize::from(to.0)) {
            None => false,
            Some(pending) if pending.entries.is_empty() => true,
            Some(_) => self.tell(to, key),
        }
    }

    #[inline(never)]
    fn tell(&mut self, to: ShardId, key: &K) -> bool {
        let Some(pending) = self.untold.get_mut(usize::from(to.0)) else { return false };
        if !pending.entries.contains_key(key) {
            return true;
        }
        while self.lanes.has_room(to) {
            let Some(message) = pending.entry(key).next(key) else {
                pending.remove(key);
                return true;
            };
            // There is room, and nobody else sends on this lane.
            let _sent = self.lanes.push(to, message, 0);
        }
        false
    }

    #[cfg(test)]
    pub(super) fn waiting(&self, to: ShardId) -> usize {
        self.untold[usize::from(to.0)].entries.len()
    }

    #[cfg(test)]
    pub(super) fn fill(&mut self, to: ShardId, mut message: impl FnMut() -> M) {
        while self.lanes.push(to, message(), 0).is_ok() {}
    }
}

/// What every owner does with its lanes when a turn ends.
pub(in crate::shard) trait Post {
    /// Whether other shards have something to say.
    fn has_mail(&self) -> bool;

    /// Whether something for other shards waits for room.
    fn is_held_back(&self) -> bool;

    /// Tells other shards what is to be told, as far as there is room.
    fn move_on(&mut self);

    /// The shards that have mail since the last call.
    fn take_touched(&mut self) -> ShardSet;
}

impl<K: Eq + Hash + Clone, U: Untold<K, M>, M> Post for MergedLanes<K, U, M> {
    fn has_mail(&self) -> bool {
        self.lanes.has_mail()
    }

    fn is_held_back(&self) -> bool {
        self.untold.iter().any(|pending| !pending.entries.is_empty())
    }

    fn move_on(&mut self) {
        for index in 0..self.untold.len() {
            let Ok(to) = u8::try_from(index).map(ShardId) else { return };
            while let Some(key) = self.untold.get(index).and_then(|pending| pending.order.front()).cloned() {
                if !self.is_told(to, &key) {
                    break;
                }
            }
        }
    }

    fn take_touched(&mut self) -> ShardSet {
        std::mem::take(&mut self.lanes.touched)
    }
}

/// What waits, one entry for each thing, in the order in which they came to wait.
#[derive(Debug)]
struct Pending<K, V> {
    entries: HashMap<K, V, RandomState>,
    /// The keys of all entries, each once.
    order: VecDeque<K>,
}

impl<K, V> Default for Pending<K, V> {
    fn default() -> Self {
        Self { entries: HashMap::default(), order: VecDeque::new() }
    }
}

impl<K: Eq + Hash + Clone, V: Default> Pending<K, V> {
    /// The entry of a key, made when there is none.
    fn entry(&mut self, key: &K) -> &mut V {
        if !self.entries.contains_key(key) {
            self.order.push_back(key.clone());
        }
        self.entries.entry(key.clone()).or_default()
    }

    fn remove(&mut self, key: &K) {
        if self.entries.remove(key).is_none() {
            return;
        }
        // Nearly always the one that has waited longest.
        if self.order.front() == Some(key) {
            self.order.pop_front();
        } else {
            self.order.retain(|known| known != key);
        }
    }
}
