//! Lanes about data channels: their messages, and who joins and leaves.
//!
//! Bounds: messages of clients have a number and a sum of bytes for each lane, and whoever sends them is told when either
//! is reached. All else is merged until there is room: one entry for each hub.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::merged::{MergedLanes, Post, Untold};
use crate::ids::ShardId;
use crate::router::channel::HubId;
use crate::session::Message;

/// Messages that one lane holds.
const CAPACITY: usize = 2048;
/// Of these, kept from messages of clients.
const SPARED: usize = 256;
/// Bytes of clients' messages under way in one lane.
const BYTES_MAX: usize = 8 << 20;

/// What one shard tells another of a data channel or group.
#[derive(Debug)]
pub(in crate::shard) enum ChannelMessage {
    /// The sender has receivers; `greet` asks for the same if the receiver has some.
    Attach { greet: bool },
    /// The publisher's shard has taken that in: what is published from now on arrives.
    Attached,
    /// It has none any more.
    Detach,
    /// A subscriber may reply under this number.
    Grant(u64),
    /// A message for all receivers.
    Data(Message),
    /// A message for the publisher, under a grant.
    Reply(u64, Message),
    /// The publisher has ended the channel.
    Ended,
    /// A message had no room in the lane: receivers that may lose nothing end.
    Overflow,
}

impl ChannelMessage {
    /// Bytes of a client's message.
    fn weight(&self) -> usize {
        match self {
            Self::Data(message) | Self::Reply(_, message) => message.payload.len(),
            _ => 0,
        }
    }
}

/// What is to be told of one hub.
#[derive(Debug, Default)]
struct HubWords {
    membership: Option<Membership>,
    grant: Option<u64>,
    attached: bool,
    overflow: bool,
    ended: bool,
}

#[derive(Debug, Clone, Copy)]
enum Membership {
    /// `fresh` if the other side has heard of none before.
    Attach {
        greet: bool,
        fresh: bool,
    },
    Detach,
}

impl HubWords {
    /// Takes in what is to be told. Returns whether there is anything to tell at all.
    fn take_in(&mut self, message: &ChannelMessage) -> bool {
        match message {
            ChannelMessage::Attach { greet } => {
                let fresh = self.membership.is_none();
                let greet = *greet || matches!(self.membership, Some(Membership::Attach { greet: true, .. }));
                self.membership = Some(Membership::Attach { greet, fresh });
            }
            ChannelMessage::Detach => {
                // Who has heard nothing yet need not hear of the end.
                if matches!(self.membership, Some(Membership::Attach { fresh: true, .. })) {
                    self.membership = None;
                    return self.grant.is_some() || self.attached || self.overflow || self.ended;
                }
                self.membership = Some(Membership::Detach);
            }
            ChannelMessage::Grant(number) => self.grant = self.grant.max(Some(*number)),
            ChannelMessage::Attached => self.attached = true,
            ChannelMessage::Overflow => self.overflow = true,
            ChannelMessage::Ended => self.ended = true,
            ChannelMessage::Data(_) | ChannelMessage::Reply(..) => {}
        }
        true
    }

    /// Takes out what is to be told next.
    fn take_out(&mut self) -> Option<ChannelMessage> {
        match self.membership.take() {
            Some(Membership::Attach { greet, .. }) => return Some(ChannelMessage::Attach { greet }),
            Some(Membership::Detach) => return Some(ChannelMessage::Detach),
            None => {}
        }
        if let Some(number) = self.grant.take() {
            return Some(ChannelMessage::Grant(number));
        }
        if std::mem::take(&mut self.attached) {
            return Some(ChannelMessage::Attached);
        }
        if std::mem::take(&mut self.overflow) {
            return Some(ChannelMessage::Overflow);
        }
        std::mem::take(&mut self.ended).then_some(ChannelMessage::Ended)
    }
}

impl Untold<HubId, (HubId, ChannelMessage)> for HubWords {
    fn next(&mut self, hub: &HubId) -> Option<(HubId, ChannelMessage)> {
        Some((hub.clone(), self.take_out()?))
    }
}

/// The lanes of one shard.
#[derive(Debug)]
pub(in crate::shard) struct ChannelLanes {
    lanes: MergedLanes<HubId, HubWords, (HubId, ChannelMessage)>,
    /// By the receiving shard: bytes of messages under way, written by both ends.
    bytes_out: Vec<Arc<AtomicUsize>>,
    /// By the sending shard.
    bytes_in: Vec<Arc<AtomicUsize>>,
}

impl ChannelLanes {
    pub(super) fn join(shards: usize) -> Vec<Self> {
        let bytes: Vec<Vec<Arc<AtomicUsize>>> =
            (0..shards).map(|_| (0..shards).map(|_| Arc::default()).collect()).collect();
        let lanes = MergedLanes::join(shards, CAPACITY).into_iter().enumerate();
        lanes
            .map(|(me, lanes)| Self {
                lanes,
                bytes_out: bytes.get(me).cloned().unwrap_or_default(),
                bytes_in: bytes.iter().filter_map(|row| row.get(me).cloned()).collect(),
            })
            .collect()
    }

    /// Tells another shard what must arrive.
    pub(in crate::shard) fn tell(&mut self, to: ShardId, hub: &HubId, message: &ChannelMessage) {
        if self.lanes.of(to, hub).is_some_and(|words| !words.take_in(message)) {
            self.lanes.forget(to, hub);
        }
    }

    /// Sends a message of a client behind all that is to be told of its hub. Returns whether there was room.
    pub(in crate::shard) fn send(&mut self, to: ShardId, hub: &HubId, message: ChannelMessage) -> bool {
        let weight = message.weight();
        let Some(bytes) = self.bytes_out.get(usize::from(to.0)) else { return false };
        if bytes.load(Ordering::Relaxed) + weight > BYTES_MAX {
            return false;
        }
        // Before it can be taken out: the receiver subtracts.
        bytes.fetch_add(weight, Ordering::Relaxed);
        let is_sent = self.lanes.send(to, hub, (hub.clone(), message), SPARED);
        if !is_sent {
            bytes.fetch_sub(weight, Ordering::Relaxed);
        }
        is_sent
    }

    /// The other shards.
    pub(in crate::shard) fn others(&self) -> Vec<ShardId> {
        self.lanes.others().collect()
    }

    /// Takes the next message, and says whose it is.
    pub(in crate::shard) fn receive(&mut self) -> Option<(ShardId, HubId, ChannelMessage)> {
        let (from, (hub, message)) = self.lanes.receive()?;
        if let Some(bytes) = self.bytes_in.get(usize::from(from.0)) {
            bytes.fetch_sub(message.weight(), Ordering::Relaxed);
        }
        Some((from, hub, message))
    }

    /// What is done with them when a turn ends.
    pub(in crate::shard) fn post(&mut self) -> &mut dyn Post {
        &mut self.lanes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ChannelId;

    const TO: ShardId = ShardId(1);

    fn pair() -> (ChannelLanes, ChannelLanes) {
        let mut all = ChannelLanes::join(2);
        let second = all.pop().unwrap();
        (all.pop().unwrap(), second)
    }

    fn hub(number: u64) -> HubId {
        HubId::Channel(ChannelId(number))
    }

    fn data(bytes: usize) -> ChannelMessage {
        ChannelMessage::Data(Message { binary: true, payload: vec![0; bytes].into() })
    }

    #[test]
    fn messages_of_clients_have_a_bound_in_bytes_and_one_in_number() {
        let (mut first, mut second) = pair();
        assert!((0..8).all(|_| first.send(TO, &hub(1), data(1 << 20))));
        assert!(!first.send(TO, &hub(1), data(1 << 20)));
        assert!(second.receive().is_some());
        assert!(first.send(TO, &hub(1), data(1 << 20)));
        while second.receive().is_some() {}
        assert_eq!((0..CAPACITY).filter(|_| first.send(TO, &hub(1), data(1))).count(), CAPACITY - SPARED);
        first.tell(TO, &hub(2), &ChannelMessage::Attach { greet: false });
        first.post().move_on();
        assert!(!first.post().is_held_back(), "what must arrive has room of its own");
    }

    #[test]
    fn a_flood_is_told_once_until_there_is_room_for_the_word() {
        let (mut first, mut second) = pair();
        let mut told = |second: &mut ChannelLanes| {
            for number in (0..3 * CAPACITY as u64).map(|round| round % 2) {
                first.tell(TO, &hub(number), &ChannelMessage::Overflow);
            }
            first.post().move_on();
            std::iter::from_fn(|| second.receive()).map(|(_, hub, _)| hub).collect::<Vec<_>>()
        };
        assert_eq!(told(&mut second), [hub(0), hub(1)]);
        assert_eq!(told(&mut second), [hub(0), hub(1)], "what is lost later is told anew");
    }

    #[test]
    fn a_shard_that_stands_still_costs_the_others_no_more_than_one_entry_for_each_hub() {
        let (mut first, mut second) = pair();
        first.lanes.fill(TO, || (hub(0), ChannelMessage::Overflow));
        for round in 0..100_000 {
            first.tell(TO, &hub(1), &ChannelMessage::Attach { greet: false });
            first.tell(TO, &hub(1), &ChannelMessage::Grant(round));
            first.tell(TO, &hub(2 + round), &ChannelMessage::Attach { greet: true });
            first.tell(TO, &hub(2 + round), &ChannelMessage::Detach);
        }
        assert_eq!(first.lanes.waiting(TO), 1);
        assert!(
            !first.send(TO, &hub(1), data(1)),
            "a message does not overtake what is to be told before it"
        );
        while second.receive().is_some() {}
        first.post().move_on();
        let all: Vec<_> = std::iter::from_fn(|| second.receive()).map(|(_, _, message)| message).collect();
        assert!(matches!(
            all.as_slice(),
            [ChannelMessage::Attach { greet: false }, ChannelMessage::Grant(99_999)]
        ));
    }
}
