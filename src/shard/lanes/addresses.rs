//! Lanes about addresses of a port that all shards share: which shard has proven one whose datagrams come to another.
//!
//! Each message is the newest word about one address, so what waits is bounded by the addresses that the two shards hold.

use super::pending::Pending;
use super::{Lanes, ShardSet};
use crate::ids::ShardId;
use crate::shard::addresses::Source;

/// Messages that one lane holds.
const CAPACITY: usize = 1024;

/// What one shard tells another of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::shard) enum AddressMessage {
    /// The sender has proven it, and the kernel brings its datagrams to the receiving shard.
    Owned(Source),
    /// The sender does not own it any more.
    Disowned(Source),
    /// Another shard has proven an address that the receiving one had.
    Lost(Source),
}

/// What is to be told of one address.
#[derive(Debug, Default)]
struct Untold {
    is_lost: bool,
    /// Whether the sender has it.
    is_owned: Option<bool>,
}

impl Untold {
    /// Takes out what is to be told next.
    fn next(&mut self, source: Source) -> Option<AddressMessage> {
        if std::mem::take(&mut self.is_lost) {
            return Some(AddressMessage::Lost(source));
        }
        let is_owned = self.is_owned.take()?;
        Some(if is_owned { AddressMessage::Owned(source) } else { AddressMessage::Disowned(source) })
    }
}

/// The lanes of one shard.
#[derive(Debug)]
pub(in crate::shard) struct AddressLanes {
    lanes: Lanes<AddressMessage>,
    /// By the receiving shard.
    untold: Vec<Pending<Source, Untold>>,
}

impl AddressLanes {
    pub(super) fn join(shards: usize) -> Vec<Self> {
        let untold = || (0..shards).map(|_| Pending::default()).collect();
        Lanes::join(shards, CAPACITY).into_iter().map(|lanes| Self { lanes, untold: untold() }).collect()
    }

    /// Tells another shard of an address.
    pub(in crate::shard) fn tell(&mut self, to: ShardId, message: AddressMessage) {
        let Some(pending) = self.untold.get_mut(usize::from(to.0)) else { return };
        match message {
            AddressMessage::Owned(source) => pending.entry(&source).is_owned = Some(true),
            AddressMessage::Disowned(source) => pending.entry(&source).is_owned = Some(false),
            AddressMessage::Lost(source) => pending.entry(&source).is_lost = true,
        }
    }

    /// Takes the next message, and says whose it is.
    pub(in crate::shard) fn receive(&mut self) -> Option<(ShardId, AddressMessage)> {
        self.lanes.receive()
    }

    pub(in crate::shard) fn has_mail(&self) -> bool {
        self.lanes.has_mail()
    }

    /// Tells what is to be told, as far as there is room.
    pub(in crate::shard) fn move_on(&mut self) {
        for (pending, to) in self.untold.iter_mut().zip((0_u8..).map(ShardId)) {
            while let Some((source, untold)) = pending.first().filter(|_| self.lanes.has_room(to)) {
                match untold.next(source) {
                    // There is room, and nobody else sends on this lane.
                    Some(message) => drop(self.lanes.push(to, message, 0)),
                    None => drop(pending.remove(&source)),
                }
            }
        }
    }

    /// Whether something waits for room.
    pub(in crate::shard) fn is_held_back(&self) -> bool {
        self.untold.iter().any(|untold| !untold.is_empty())
    }

    /// The shards that have mail since the last call.
    pub(in crate::shard) fn take_touched(&mut self) -> ShardSet {
        std::mem::take(&mut self.lanes.touched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::SocketIndex;

    fn source(number: usize) -> Source {
        let [high, low] = u16::try_from(number % 1000).unwrap().to_be_bytes();
        let address = ([203, 0, 113, 7], u16::from_be_bytes([high, low])).into();
        Source { socket: SocketIndex::bound(0), address }
    }

    #[test]
    fn a_full_lane_keeps_the_newest_word_of_each_address() {
        let mut all = AddressLanes::join(2);
        let mut second = all.pop().unwrap();
        let mut first = all.pop().unwrap();
        for number in 0..CAPACITY {
            first.tell(ShardId(1), AddressMessage::Owned(source(number)));
            first.move_on();
        }
        for number in 0..10_000 {
            first.tell(ShardId(1), AddressMessage::Owned(source(number)));
            first.tell(ShardId(1), AddressMessage::Disowned(source(number)));
        }
        assert_eq!(first.untold[1].len(), 1000);
        let mut told = Vec::new();
        while let Some((_, message)) = second.receive() {
            told.push(message);
            first.move_on();
        }
        assert_eq!(told.len(), CAPACITY + 1000);
        let last = &told[CAPACITY..];
        assert!(last.iter().all(|message| matches!(message, AddressMessage::Disowned(_))));
        assert!(!first.is_held_back());
    }
}
