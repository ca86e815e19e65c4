//! Lanes about addresses of a port that all shards share: which shard has proven one whose datagrams come to another.
//!
//! Each message is the newest word about one address, so what waits is bounded by the addresses that the two shards hold.

use super::merged::{MergedLanes, Post, Untold};
use crate::ids::ShardId;
use crate::shard::addresses::Source;

/// Messages that one lane holds.
const CAPACITY: usize = 1024;

/// What one shard tells another of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::shard) enum AddressMessage {
    /// The sender has proven it by what the kernel brought to the receiving shard, which gave it this number.
    Owned(Source, u64),
    /// The sender does not own it any more.
    Disowned(Source),
    /// Another shard has proven an address that the receiving one had by what the sender has given this number.
    Lost(Source, u64),
}

/// What is to be told of one address.
#[derive(Debug, Default)]
struct AddressWords {
    lost: Option<u64>,
    /// Whether the sender has it, and since which number.
    owned: Option<Option<u64>>,
}

impl Untold<Source, AddressMessage> for AddressWords {
    fn next(&mut self, source: &Source) -> Option<AddressMessage> {
        let source = *source;
        if let Some(number) = self.lost.take() {
            return Some(AddressMessage::Lost(source, number));
        }
        Some(match self.owned.take()? {
            Some(number) => AddressMessage::Owned(source, number),
            None => AddressMessage::Disowned(source),
        })
    }
}

/// The lanes of one shard.
#[derive(Debug)]
pub(in crate::shard) struct AddressLanes(MergedLanes<Source, AddressWords, AddressMessage>);

impl AddressLanes {
    pub(super) fn join(shards: usize) -> Vec<Self> {
        MergedLanes::join(shards, CAPACITY).into_iter().map(Self).collect()
    }

    /// Tells another shard of an address.
    pub(in crate::shard) fn tell(&mut self, to: ShardId, message: AddressMessage) {
        let (AddressMessage::Owned(source, _)
        | AddressMessage::Disowned(source)
        | AddressMessage::Lost(source, _)) = message;
        let Some(words) = self.0.of(to, &source) else { return };
        match message {
            AddressMessage::Owned(_, number) => words.owned = Some(Some(number)),
            AddressMessage::Disowned(_) => words.owned = Some(None),
            AddressMessage::Lost(_, number) => words.lost = words.lost.max(Some(number)),
        }
    }

    /// Takes the next message, and says whose it is.
    pub(in crate::shard) fn receive(&mut self) -> Option<(ShardId, AddressMessage)> {
        self.0.receive()
    }

    /// What is done with them when a turn ends.
    pub(in crate::shard) fn post(&mut self) -> &mut dyn Post {
        &mut self.0
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
            first.tell(ShardId(1), AddressMessage::Owned(source(number), 1));
            first.post().move_on();
        }
        for number in 0..10_000 {
            first.tell(ShardId(1), AddressMessage::Owned(source(number), 2));
            first.tell(ShardId(1), AddressMessage::Disowned(source(number)));
        }
        assert_eq!(first.0.waiting(ShardId(1)), 1000);
        let mut told = Vec::new();
        while let Some((_, message)) = second.receive() {
            told.push(message);
            first.post().move_on();
        }
        assert_eq!(told.len(), CAPACITY + 1000);
        let last = &told[CAPACITY..];
        assert!(last.iter().all(|message| matches!(message, AddressMessage::Disowned(_))));
        assert!(!first.post().is_held_back());
    }
}
