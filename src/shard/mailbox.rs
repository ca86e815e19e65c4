//! Bounded lanes between the shards of a node. Values cross, never handles.
//!
//! One lane for each ordered pair of shards carries media and the few messages about it, in order. Media is
//! lossy: when the lane is full the packet is dropped and counted. The rest is kept back by the sender until
//! there is room, and media waits behind it, so that order holds.

use std::collections::VecDeque;
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;

use crate::ids::{PublicationId, ShardId};
use crate::router::LayerIndex;
use crate::rtp::{Codec, MediaKind, Packet};

/// Messages that one lane holds: about 40 ms of 100,000 packets per second.
const LANE_CAPACITY: usize = 4096;

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
    /// One packet.
    Media { publication: PublicationId, layer: LayerIndex, codec: Codec, packet: Packet },
}

#[derive(Debug)]
struct Outward {
    queue: Arc<ArrayQueue<PeerMessage>>,
    held_back: VecDeque<PeerMessage>,
    touched: bool,
}

/// The lanes of one shard to and from all others.
#[derive(Debug)]
pub struct Mailbox {
    outward: Vec<Option<Outward>>,
    inward: Vec<Arc<ArrayQueue<PeerMessage>>>,
}

impl Mailbox {
    /// Makes the mailboxes of all shards of a node, joined by a lane for each ordered pair.
    pub fn join(shards: usize) -> Vec<Self> {
        let queues: Vec<Vec<Arc<ArrayQueue<PeerMessage>>>> = (0..shards)
            .map(|_| (0..shards).map(|_| Arc::new(ArrayQueue::new(LANE_CAPACITY))).collect())
            .collect();
        (0..shards)
            .map(|me| Self {
                outward: (0..shards)
                    .map(|to| {
                        let queue = queues.get(me)?.get(to)?;
                        (to != me).then(|| Outward {
                            queue: Arc::clone(queue),
                            held_back: VecDeque::new(),
                            touched: false,
                        })
                    })
                    .collect(),
                inward: queues
                    .iter()
                    .enumerate()
                    .filter(|(from, _)| *from != me)
                    .filter_map(|(_, row)| row.get(me).cloned())
                    .collect(),
            })
            .collect()
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

    /// Takes the next message from any other shard.
    pub(super) fn receive(&mut self) -> Option<PeerMessage> {
        self.inward.iter().find_map(|queue| queue.pop())
    }

    /// Whether a message waits.
    pub(super) fn has_mail(&self) -> bool {
        self.inward.iter().any(|queue| !queue.is_empty())
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
