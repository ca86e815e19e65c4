//! Bounded lanes between the shards of a node. Values cross, never handles.
//!
//! Each vocabulary has lanes of its own: of tracks ([`tracks`]), of addresses ([`addresses`]) and of data channels
//! ([`channels`]), beside those of datagrams that came to the wrong shard ([`super::handover`]). So none of them waits for
//! another. What is said within one vocabulary keeps its order.
//!
//! Media is lossy: when a lane is full a packet is dropped and counted. State is never queued twice: what changes again
//! before there was room is told as it is then. So a shard that stands still costs the others no more than what they hold
//! themselves.

pub(super) mod addresses;
pub(super) mod channels;
mod merged;
pub(super) mod tracks;

use std::sync::Arc;

use crossbeam_queue::ArrayQueue;

use self::addresses::AddressLanes;
use self::channels::ChannelLanes;
pub(super) use self::merged::Post;
use self::tracks::TrackLanes;
use super::handover::Handover;
use crate::ids::ShardId;

/// Shards of a node: as many as a set of them has bits.
const SHARDS_MAX: usize = 64;

/// The lanes of one shard to and from all others.
#[derive(Debug)]
pub struct Mailbox {
    pub(super) tracks: TrackLanes,
    pub(super) addresses: AddressLanes,
    pub(super) channels: ChannelLanes,
    pub(super) handover: Handover,
}

impl Mailbox {
    /// Makes the mailboxes of all shards of a node, joined by lanes for each ordered pair.
    pub fn join(shards: usize) -> Vec<Self> {
        let kinds = TrackLanes::join(shards).into_iter().zip(AddressLanes::join(shards));
        kinds
            .zip(ChannelLanes::join(shards))
            .map(|((tracks, addresses), channels)| Self {
                tracks,
                addresses,
                channels,
                handover: Handover::default(),
            })
            .collect()
    }

    /// The same for shards that receive on one port, and hand over what came to the wrong one.
    pub fn join_on_one_port(shards: usize) -> Vec<Self> {
        let all = Self::join(shards).into_iter().zip(Handover::join(shards));
        all.map(|(mailbox, handover)| Self { handover, ..mailbox }).collect()
    }
}

/// A set of shards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShardSet(u64);

const _: () = assert!(SHARDS_MAX <= u64::BITS as usize, "a set of shards has one bit for each");

impl ShardSet {
    pub(super) fn insert(&mut self, shard: ShardId) {
        self.0 |= 1_u64.checked_shl(u32::from(shard.0)).unwrap_or(0);
    }

    /// Adds all that another set holds.
    pub(super) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl FromIterator<ShardId> for ShardSet {
    fn from_iter<I: IntoIterator<Item = ShardId>>(shards: I) -> Self {
        let mut set = Self::default();
        shards.into_iter().for_each(|shard| set.insert(shard));
        set
    }
}

impl Iterator for ShardSet {
    type Item = ShardId;

    fn next(&mut self) -> Option<ShardId> {
        let shard = u8::try_from(self.0.trailing_zeros()).ok().filter(|_| self.0 != 0)?;
        self.0 &= self.0 - 1;
        Some(ShardId(shard))
    }
}

/// The lanes of one vocabulary: a queue for each ordered pair of shards.
#[derive(Debug)]
struct Lanes<M> {
    outward: Vec<Option<Arc<ArrayQueue<M>>>>,
    inward: Vec<Option<Arc<ArrayQueue<M>>>>,
    /// The lane that is looked into first.
    next: usize,
    /// Shards that have mail since that was last asked.
    touched: ShardSet,
}

impl<M> Lanes<M> {
    /// The lanes of so many shards, each with room for so many messages.
    fn join(shards: usize, capacity: usize) -> Vec<Self> {
        let lane = |from: usize, to: usize| (from != to).then(|| Arc::new(ArrayQueue::new(capacity)));
        let all: Vec<Vec<_>> =
            (0..shards).map(|from| (0..shards).map(|to| lane(from, to)).collect()).collect();
        (0..shards)
            .map(|me| Self {
                outward: all.get(me).cloned().unwrap_or_default(),
                inward: all.iter().map(|row| row.get(me)?.clone()).collect(),
                next: 0,
                touched: ShardSet::default(),
            })
            .collect()
    }

    /// Sends a message where at least `spared` places stay free behind it.
    ///
    /// # Errors
    /// Gives the message back when there is no room. A shard has no lane to itself.
    fn push(&mut self, to: ShardId, message: M, spared: usize) -> Result<(), M> {
        let Some(Some(lane)) = self.outward.get(usize::from(to.0)) else { return Err(message) };
        if spared > 0 && lane.len() + spared >= lane.capacity() {
            return Err(message);
        }
        lane.push(message)?;
        self.touched.insert(to);
        Ok(())
    }

    /// Messages that have room; there is one sender on each lane, so the room stays.
    fn room(&self, to: ShardId) -> usize {
        let lane = self.outward.get(usize::from(to.0)).and_then(Option::as_ref);
        lane.map_or(0, |lane| lane.capacity() - lane.len())
    }

    /// Whether a message has room.
    fn has_room(&self, to: ShardId) -> bool {
        self.room(to) > 0
    }

    /// Takes the next message; other shards take turns.
    fn receive(&mut self) -> Option<(ShardId, M)> {
        let count = self.inward.len();
        for step in 0..count {
            let from = (self.next + step) % count;
            if let Some(Some(lane)) = self.inward.get(from)
                && let Some(message) = lane.pop()
            {
                self.next = from + 1;
                return u8::try_from(from).ok().map(|from| (ShardId(from), message));
            }
        }
        None
    }

    fn has_mail(&self) -> bool {
        self.inward.iter().flatten().any(|lane| !lane.is_empty())
    }

    /// The other shards.
    fn others(&self) -> impl Iterator<Item = ShardId> + use<'_, M> {
        (0_u8..).zip(&self.outward).filter(|(_, lane)| lane.is_some()).map(|(to, _)| ShardId(to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Lanes<u32>, Lanes<u32>) {
        let mut all = Lanes::join(2, 8);
        let second = all.pop().unwrap();
        (all.pop().unwrap(), second)
    }

    #[test]
    fn a_lane_keeps_order_and_gives_back_what_it_has_no_room_for() {
        let (mut first, mut second) = pair();
        for number in 0..8 {
            assert_eq!(first.push(ShardId(1), number, 0), Ok(()));
        }
        assert_eq!(first.push(ShardId(1), 8, 0), Err(8));
        let all: Vec<_> = std::iter::from_fn(|| second.receive()).map(|(_, number)| number).collect();
        assert_eq!(all, [0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(!second.has_mail());
        assert_eq!(first.push(ShardId(0), 1, 0), Err(1), "a shard has no lane to itself");
    }

    #[test]
    fn what_has_to_spare_places_leaves_them_to_others() {
        let (mut first, mut second) = pair();
        let sent = (0..8).filter(|number| first.push(ShardId(1), *number, 3).is_ok()).count();
        assert_eq!(sent, 5);
        assert!((0..3).all(|number| first.push(ShardId(1), number, 0).is_ok()));
        assert_eq!(std::iter::from_fn(|| second.receive()).count(), 8);
    }

    #[test]
    fn shards_take_turns_whoever_sends_most() {
        let mut all: Vec<Lanes<u32>> = Lanes::join(3, 8);
        (0..8).for_each(|number| all[0].push(ShardId(2), number, 0).unwrap());
        all[1].push(ShardId(2), 100, 0).unwrap();
        let order: Vec<_> = std::iter::from_fn(|| all[2].receive()).map(|(from, _)| from.0).collect();
        assert_eq!(order, [0, 1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(all[0].touched.collect::<Vec<_>>(), [ShardId(2)]);
        assert_eq!(all[0].others().collect::<Vec<_>>(), [ShardId(1), ShardId(2)]);
    }
}
