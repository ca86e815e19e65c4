//! State that waits for room in a lane: one entry for each thing that it is about, in the order in which they came to wait.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use foldhash::fast::RandomState;

/// What waits, by what it is about. What changes again changes its entry.
#[derive(Debug)]
pub(super) struct Pending<K, V> {
    entries: HashMap<K, V, RandomState>,
    /// The keys of all entries, each once, and perhaps some whose entries are gone.
    order: VecDeque<K>,
}

impl<K, V> Default for Pending<K, V> {
    fn default() -> Self {
        Self { entries: HashMap::default(), order: VecDeque::new() }
    }
}

impl<K: Eq + Hash + Clone, V: Default> Pending<K, V> {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn contains(&self, key: &K) -> bool {
        self.entries.contains_key(key)
    }

    /// The entry of a key, made when there is none.
    pub(super) fn entry(&mut self, key: &K) -> &mut V {
        if !self.entries.contains_key(key) {
            self.order.push_back(key.clone());
        }
        self.entries.entry(key.clone()).or_default()
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let entry = self.entries.remove(key);
        if entry.is_some() {
            self.order.retain(|known| known != key);
        }
        entry
    }

    /// The entry that has waited longest.
    pub(super) fn first(&mut self) -> Option<(K, &mut V)> {
        let key = self.order.front()?.clone();
        let entry = self.entries.get_mut(&key)?;
        Some((key, entry))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
