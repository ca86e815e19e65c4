//! A slab whose keys tell an entry from one that stood in its place before.

use std::marker::PhantomData;

use slab::Slab;

/// Names one entry of a [`Table`]; stale once the entry is gone, even when its place is taken again.
pub(super) struct Key<T> {
    index: u32,
    generation: u32,
    of: PhantomData<fn() -> T>,
}

impl<T> std::fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}#{}", self.index, self.generation)
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl<T> PartialEq for Key<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.index, self.generation) == (other.index, other.generation)
    }
}

impl<T> Eq for Key<T> {}

impl<T> PartialOrd for Key<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Key<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.index, self.generation).cmp(&(other.index, other.generation))
    }
}

/// Storage with constant-time insertion, removal and look-up.
///
/// Each entry is a piece of memory of its own. Where they lay one after the other, a table that grew moved all of them, half
/// a megabyte with 512 sessions, and kept room for as many again.
#[derive(Debug)]
pub(super) struct Table<T> {
    entries: Slab<(u32, Box<T>)>,
    next_generation: u32,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { entries: Slab::new(), next_generation: 0 }
    }
}

impl<T> Table<T> {
    pub(super) fn insert(&mut self, value: T) -> Key<T> {
        let generation = self.next_generation;
        self.next_generation = self.next_generation.wrapping_add(1);
        let index = u32::try_from(self.entries.insert((generation, Box::new(value)))).unwrap_or(u32::MAX);
        Key { index, generation, of: PhantomData }
    }

    pub(super) fn remove(&mut self, key: Key<T>) -> Option<T> {
        self.get(key)?;
        let (_, value) = self.entries.try_remove(key.index as usize)?;
        // A burst of sessions does not hold its memory for ever.
        if self.entries.capacity() > 1024 && self.entries.len() * 4 < self.entries.capacity() {
            self.entries.shrink_to_fit();
        }
        Some(*value)
    }

    pub(super) fn get(&self, key: Key<T>) -> Option<&T> {
        let (generation, value) = self.entries.get(key.index as usize)?;
        (*generation == key.generation).then_some(value)
    }

    pub(super) fn get_mut(&mut self, key: Key<T>) -> Option<&mut T> {
        let (generation, value) = self.entries.get_mut(key.index as usize)?;
        (*generation == key.generation).then_some(value)
    }

    /// All keys, in the order of their places.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key<T>> + '_ {
        let index = |index| u32::try_from(index).unwrap_or(u32::MAX);
        self.entries.iter().map(move |(at, (generation, _))| Key {
            index: index(at),
            generation: *generation,
            of: PhantomData,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_key_finds_nothing_in_a_place_that_is_taken_again() {
        let mut table = Table::default();
        let first = table.insert("a");
        assert_eq!(table.remove(first), Some("a"));
        let second = table.insert("b");
        assert_eq!(table.get(first), None);
        assert_eq!(table.remove(first), None);
        assert_eq!(table.get(second), Some(&"b"));
        assert_eq!(table.len(), 1);
        assert_eq!(table.keys().collect::<Vec<_>>(), [second]);
    }
}
