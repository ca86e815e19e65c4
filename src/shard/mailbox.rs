//! Bounded lanes between the shards of a node. Values cross, never handles.
//!
//! One lane for each ordered pair of shards carries media and the few messages about it, in order. Media is
//! lossy: when the lane is full the packet is dropped and counted. The rest is kept back by the sender until
//! there is room, and media waits behind it, so that order holds. Messages of data channels have a bound of their
//! own, and whoever sends them is told when it is reached.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_queue::ArrayQueue;

use super::addresses::AddressMessage;
use super::handover::Handover;
use crate::ids::{PublicationId, ShardId};
use crate::net::Datagram;
use crate::router::LayerIndex;
use crate::router::channel::HubId;
use crate::rtp::{Codec, MediaKind, Packet};
use crate::session::Message;

/// Messages that one lane holds: about 40 ms of 100,000 packets per second.
const LANE_CAPACITY: usize = 4096;
/// Bytes of data channel messages under way in one lane. They share the lane with media, so they may not fill it.
const LANE_DATA_BYTES_MAX: usize = 8 << 20;
/// Data channel messages under way in one lane.
const LANE_DATA_MESSAGES_MAX: usize = LANE_CAPACITY / 2;

/// What one shard tells another.
#[derive(Debug)]
pub(super) enum PeerMessage {
    /// The sender has subscribers of a publication that is fed on the receiving shard.
    Attach { publication: PublicationId, kind: MediaKind, from: ShardId },
    /// It has none any more.
    Detach { publication: PublicationId, from: ShardId },
    /// Its subscribers need a keyframe of a layer.
    KeyframeWanted { publication: PublicationId, layer: LayerIndex },
    /// A layer exists, under this name; or another stream feeds it from now on.
    Layer { publication: PublicationId, layer: LayerIndex, rid: Option<String>, reset: bool },
    /// The publisher's clock.
    SenderReport { publication: PublicationId, layer: LayerIndex, ntp: u64, rtp: u32, clock_rate: u32 },
    /// The publisher sends reports, of this or another of its publications.
    Reporting { publication: PublicationId },
    /// Whose an address of a shared port is.
    Address(AddressMessage),
    /// One packet.
    Media { publication: PublicationId, layer: LayerIndex, codec: Codec, packet: Packet },
    /// What concerns a data channel.
    Channel { hub: HubId, what: ChannelMessage },
}

/// What one shard tells another of a data channel or group.
#[derive(Debug)]
pub(super) enum ChannelMessage {
    /// The sender has receivers; `greet` asks for the same if the receiver has some.
    Attach { from: ShardId, greet: bool },
    /// The publisher's shard has taken that in: what is published from now on arrives.
    Attached,
    /// It has none any more.
    Detach { from: ShardId },
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
    /// What the lane may hold of it: messages and their bytes.
    fn weight(&self) -> Option<usize> {
        match self {
            Self::Data(message) | Self::Reply(_, message) => Some(message.payload.len()),
            _ => None,
        }
    }
}

/// What of data channels is under way in one lane: written by both of its ends, for messages of data and their overflow.
#[derive(Debug, Default)]
struct DataLoad {
    messages: AtomicUsize,
    bytes: AtomicUsize,
    /// Words of an overflow that were taken out so far.
    overflows_taken: AtomicUsize,
}

#[derive(Debug)]
struct Outward {
    queue: Arc<ArrayQueue<PeerMessage>>,
    load: Arc<DataLoad>,
    held_back: VecDeque<PeerMessage>,
    /// The channels whose overflow is under way, in order: one word tells of all that was lost until it is taken, so each
    /// channel of this shard is here once at most.
    overflows: VecDeque<HubId>,
    /// How many words of an overflow are known to be taken.
    overflows_taken: usize,
    touched: bool,
}

impl Outward {
    /// Whether the overflow of a channel has to be told, and is not under way already.
    fn begins_overflow(&mut self, hub: &HubId) -> bool {
        let taken = self.load.overflows_taken.load(Ordering::Acquire);
        for _ in 0..taken.wrapping_sub(std::mem::replace(&mut self.overflows_taken, taken)) {
            self.overflows.pop_front();
        }
        let begins = !self.overflows.contains(hub);
        if begins {
            self.overflows.push_back(hub.clone());
        }
        begins
    }
}

#[derive(Debug)]
struct Inward {
    queue: Arc<ArrayQueue<PeerMessage>>,
    load: Arc<DataLoad>,
}

/// The lanes of one shard to and from all others.
#[derive(Debug)]
pub struct Mailbox {
    outward: Vec<Option<Outward>>,
    inward: Vec<Inward>,
    handover: Handover,
}

impl Mailbox {
    /// Makes the mailboxes of all shards of a node, joined by a lane for each ordered pair.
    pub fn join(shards: usize) -> Vec<Self> {
        type Lane = (Arc<ArrayQueue<PeerMessage>>, Arc<DataLoad>);
        let lane = |_| (Arc::new(ArrayQueue::new(LANE_CAPACITY)), Arc::default());
        let lanes: Vec<Vec<Lane>> = (0..shards).map(|_| (0..shards).map(lane).collect()).collect();
        (0..shards)
            .map(|me| Self {
                outward: (0..shards)
                    .map(|to| {
                        let (queue, load) = lanes.get(me)?.get(to)?;
                        (to != me).then(|| Outward {
                            queue: Arc::clone(queue),
                            load: Arc::clone(load),
                            held_back: VecDeque::new(),
                            overflows: VecDeque::new(),
                            overflows_taken: 0,
                            touched: false,
                        })
                    })
                    .collect(),
                inward: lanes
                    .iter()
                    .enumerate()
                    .filter(|(from, _)| *from != me)
                    .filter_map(|(_, row)| row.get(me).cloned())
                    .map(|(queue, load)| Inward { queue, load })
                    .collect(),
                handover: Handover::default(),
            })
            .collect()
    }

    /// The same for shards that receive on one port, and hand over what came to the wrong one.
    pub fn join_on_one_port(shards: usize) -> Vec<Self> {
        let all = Self::join(shards).into_iter().zip(Handover::join(shards));
        all.map(|(mailbox, handover)| Self { handover, ..mailbox }).collect()
    }

    /// The lanes of datagrams that came to the wrong shard.
    pub(super) fn handover(&mut self) -> &mut Handover {
        &mut self.handover
    }

    /// Hands a datagram over to its owner. Returns whether there was room.
    pub(super) fn hand_over(&mut self, to: ShardId, datagram: Datagram<'_>, is_held: bool) -> bool {
        let sent = self.handover.send(to, datagram, is_held);
        if let Some(lane) = self.lane(to) {
            lane.touched |= sent;
        }
        sent
    }

    /// Sends a message that must arrive.
    pub(super) fn send(&mut self, to: ShardId, message: PeerMessage) {
        let Some(lane) = self.lane(to) else { return };
        lane.touched = true;
        if lane.held_back.is_empty() {
            if let Err(message) = lane.queue.push(message) {
                lane.held_back.push_back(message);
            }
        } else {
            lane.held_back.push_back(message);
        }
    }

    /// Sends a packet if there is room. Returns whether there was.
    pub(super) fn send_media(&mut self, to: ShardId, message: PeerMessage) -> bool {
        let Some(lane) = self.lane(to) else { return false };
        lane.touched = true;
        lane.held_back.is_empty() && lane.queue.push(message).is_ok()
    }

    /// Sends what concerns a data channel, in the order of everything else. Returns whether there was room: what
    /// is no message of a client always finds some.
    pub(super) fn send_channel(&mut self, to: ShardId, hub: HubId, what: ChannelMessage) -> bool {
        if let Some(len) = what.weight() {
            let Some(lane) = self.lane(to) else { return false };
            let (messages, bytes) = (&lane.load.messages, &lane.load.bytes);
            if messages.load(Ordering::Relaxed) >= LANE_DATA_MESSAGES_MAX
                || bytes.load(Ordering::Relaxed) + len > LANE_DATA_BYTES_MAX
            {
                return false;
            }
            messages.fetch_add(1, Ordering::Relaxed);
            bytes.fetch_add(len, Ordering::Relaxed);
        }
        // A client that floods would else fill the lane with this.
        if matches!(what, ChannelMessage::Overflow)
            && self.lane(to).is_some_and(|lane| !lane.begins_overflow(&hub))
        {
            return true;
        }
        self.send(to, PeerMessage::Channel { hub, what });
        true
    }

    /// The other shards.
    pub(super) fn others(&self) -> Vec<ShardId> {
        let there = self.outward.iter().enumerate().filter(|(_, lane)| lane.is_some());
        there.filter_map(|(to, _)| u8::try_from(to).ok().map(ShardId)).collect()
    }

    /// Takes the next message from any other shard.
    pub(super) fn receive(&mut self) -> Option<PeerMessage> {
        self.inward.iter().find_map(|lane| {
            let message = lane.queue.pop()?;
            if let PeerMessage::Channel { what, .. } = &message {
                if let Some(len) = what.weight() {
                    lane.load.messages.fetch_sub(1, Ordering::Relaxed);
                    lane.load.bytes.fetch_sub(len, Ordering::Relaxed);
                }
                if matches!(what, ChannelMessage::Overflow) {
                    lane.load.overflows_taken.fetch_add(1, Ordering::Release);
                }
            }
            Some(message)
        })
    }

    /// Whether a message waits.
    pub(super) fn has_mail(&self) -> bool {
        self.inward.iter().any(|lane| !lane.queue.is_empty()) || self.handover.has_mail()
    }

    /// Moves on what was held back, and names the shards that have mail since the last call.
    pub(super) fn take_touched(&mut self) -> impl Iterator<Item = ShardId> + '_ {
        self.outward.iter_mut().enumerate().filter_map(|(to, lane)| {
            let lane = lane.as_mut()?;
            while let Some(message) = lane.held_back.pop_front() {
                lane.touched = true;
                if let Err(message) = lane.queue.push(message) {
                    lane.held_back.push_front(message);
                    break;
                }
            }
            let touched = std::mem::take(&mut lane.touched);
            touched.then(|| ShardId(u8::try_from(to).unwrap_or(u8::MAX)))
        })
    }

    /// Whether messages are held back for want of room.
    pub(super) fn is_held_back(&self) -> bool {
        self.outward.iter().flatten().any(|lane| !lane.held_back.is_empty())
    }

    fn lane(&mut self, to: ShardId) -> Option<&mut Outward> {
        self.outward.get_mut(usize::from(to.0))?.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attach(number: u64) -> PeerMessage {
        PeerMessage::Attach { publication: PublicationId(number), kind: MediaKind::Audio, from: ShardId(0) }
    }

    #[test]
    fn a_full_lane_keeps_back_what_must_arrive_and_the_order_holds() {
        let mut mail = Mailbox::join(2);
        let mut second = mail.pop().unwrap();
        let mut first = mail.pop().unwrap();
        let total = LANE_CAPACITY as u64 + 10;
        (0..total).for_each(|number| first.send(ShardId(1), attach(number)));
        assert!(first.is_held_back());
        let mut seen = 0;
        while seen < total {
            match second.receive() {
                Some(PeerMessage::Attach { publication, .. }) => {
                    assert_eq!(publication, PublicationId(seen));
                    seen += 1;
                }
                Some(other) => panic!("unexpected {other:?}"),
                None => assert_eq!(first.take_touched().collect::<Vec<_>>(), [ShardId(1)]),
            }
        }
        assert!(!first.is_held_back());
        assert!(!second.has_mail());
    }

    #[test]
    fn messages_of_data_channels_have_a_bound_of_their_own() {
        let mut mail = Mailbox::join(2);
        let mut second = mail.pop().unwrap();
        let mut first = mail.pop().unwrap();
        let hub = HubId::Channel(crate::ids::ChannelId(1));
        let message = Message { binary: true, payload: vec![0; 1 << 20].into() };
        let mut send = || first.send_channel(ShardId(1), hub.clone(), ChannelMessage::Data(message.clone()));
        assert!((0..8).all(|_| send()));
        assert!(!send());
        assert!(second.receive().is_some());
        assert!(send());
        assert!(first.send_channel(ShardId(1), hub, ChannelMessage::Overflow));
        assert!(first.send_media(ShardId(1), attach(1)));
    }

    #[test]
    fn a_flood_is_told_once_until_the_word_is_taken() {
        let mut mail = Mailbox::join(2);
        let mut second = mail.pop().unwrap();
        let mut first = mail.pop().unwrap();
        let hub = |number| HubId::Channel(crate::ids::ChannelId(number));
        let mut told = |second: &mut Mailbox| {
            for number in (0..3 * LANE_CAPACITY as u64).map(|round| round % 2) {
                first.send_channel(ShardId(1), hub(number), ChannelMessage::Overflow);
            }
            assert!(!first.is_held_back());
            let mut told = Vec::new();
            while let Some(PeerMessage::Channel { hub, .. }) = second.receive() {
                told.push(hub);
            }
            told
        };
        assert_eq!(told(&mut second), [hub(0), hub(1)]);
        assert_eq!(told(&mut second), [hub(0), hub(1)], "what is lost later is told anew");
    }

    #[test]
    fn touched_lanes_are_named_once() {
        let mut mail = Mailbox::join(3);
        let first = mail.first_mut().unwrap();
        first.send(ShardId(2), attach(1));
        first.send(ShardId(2), attach(2));
        assert_eq!(first.take_touched().collect::<Vec<_>>(), [ShardId(2)]);
        assert_eq!(first.take_touched().count(), 0);
        first.send(ShardId(0), attach(3));
        assert_eq!(first.take_touched().count(), 0, "a shard has no lane to itself");
    }
}
