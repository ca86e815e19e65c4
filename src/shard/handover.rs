//! Datagrams that arrived at another shard than their owner's, where all shards receive on one port.
//!
//! One lane for each ordered pair of shards, beside those of [`super::lanes`], so that a flood on the shared port
//! takes no room from media that crosses. Must not know what a datagram means. Bound: [`PARCELS_MAX`] datagrams on each
//! lane; a datagram beyond is lost, and counted by its sender. Parcels go back empty and are filled again, so a lane
//! that was once full allocates nothing more. Next: [`super::Shard::handle_handed_over`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_queue::ArrayQueue;

use super::addresses::Landing;
use super::{DATAGRAM_BYTES_MAX, ShardSet};
use crate::ids::ShardId;
use crate::net::{Datagram, SocketIndex};

/// Datagrams that one lane holds: two turns of a shard.
const PARCELS_MAX: usize = 512;

/// What is said with a datagram that is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Note {
    /// Where the kernel brought it.
    pub(super) landing: Landing,
    /// Whether another session than the one that a check is for holds its address; `None` where the receiving shard is to
    /// look, and to hand it on.
    pub(super) is_held: Option<bool>,
}

/// One datagram on its way to its owner.
#[derive(Debug)]
pub(super) struct Parcel {
    /// The local address that it came to, the same for all shards.
    socket: SocketIndex,
    source: SocketAddr,
    ecn: u8,
    arrived: Instant,
    note: Note,
    len: usize,
    bytes: [u8; DATAGRAM_BYTES_MAX],
}

impl Parcel {
    pub(super) fn note(&self) -> Note {
        self.note
    }

    pub(super) fn datagram(&self) -> Datagram<'_> {
        let Self { socket, source, ecn, arrived, .. } = *self;
        Datagram { socket, source, payload: self.bytes.get(..self.len).unwrap_or_default(), ecn, arrived }
    }
}

#[derive(Debug, Clone)]
struct Lane {
    full: Arc<ArrayQueue<Box<Parcel>>>,
    empty: Arc<ArrayQueue<Box<Parcel>>>,
}

impl Lane {
    fn new() -> Self {
        Self { full: Arc::new(ArrayQueue::new(PARCELS_MAX)), empty: Arc::new(ArrayQueue::new(PARCELS_MAX)) }
    }
}

/// The lanes of one shard to and from all others; none where each shard has a port of its own.
#[derive(Debug, Default)]
pub(super) struct Handover {
    /// By the receiving shard: its lane, and how many parcels were made for it.
    outward: Vec<Option<(Lane, usize)>>,
    /// By the sending shard.
    inward: Vec<Option<Lane>>,
    /// The lane that is looked into first.
    next: usize,
    /// Shards that have mail since that was last asked.
    touched: ShardSet,
}

impl Handover {
    /// Joins so many shards by a lane for each ordered pair.
    pub(super) fn join(shards: usize) -> Vec<Self> {
        let lanes: Vec<Vec<Option<Lane>>> =
            (0..shards).map(|from| (0..shards).map(|to| (from != to).then(Lane::new)).collect()).collect();
        (0..shards)
            .map(|me| Self {
                outward: lanes
                    .get(me)
                    .map(|row| row.iter().map(|lane| Some((lane.clone()?, 0))).collect())
                    .unwrap_or_default(),
                inward: lanes.iter().map(|row| row.get(me)?.clone()).collect(),
                next: 0,
                touched: ShardSet::default(),
            })
            .collect()
    }

    /// Whether the shards receive on one port at all.
    pub(super) fn is_in_use(&self) -> bool {
        !self.outward.is_empty()
    }

    /// Copies a datagram onto the lane to its owner. Returns whether there was room.
    pub(super) fn send(&mut self, to: ShardId, datagram: Datagram<'_>, note: Note) -> bool {
        let Datagram { socket, source, payload, ecn, arrived } = datagram;
        let Some(Some((lane, made))) = self.outward.get_mut(usize::from(to.0)) else { return false };
        let parcel = lane.empty.pop().or_else(|| {
            (*made < PARCELS_MAX).then(|| {
                *made += 1;
                let bytes = [0; DATAGRAM_BYTES_MAX];
                Box::new(Parcel { socket, source, ecn, arrived, note, len: 0, bytes })
            })
        });
        let Some(mut parcel) = parcel else { return false };
        let fits = match parcel.bytes.get_mut(..payload.len()) {
            Some(space) => {
                space.copy_from_slice(payload);
                true
            }
            None => false,
        };
        (parcel.socket, parcel.source, parcel.ecn) = (socket, source, ecn);
        (parcel.arrived, parcel.note) = (arrived, note);
        parcel.len = if fits { payload.len() } else { 0 };
        self.touched.insert(to);
        // No more parcels than room were made.
        lane.full.push(parcel).is_ok() && fits
    }

    /// Takes the next datagram; other shards take turns.
    pub(super) fn receive(&mut self) -> Option<(ShardId, Box<Parcel>)> {
        let count = self.inward.len();
        let (from, parcel) = (0..count).map(|step| (self.next + step) % count).find_map(|from| {
            let lane = self.inward.get(from)?.as_ref()?;
            Some((from, lane.full.pop()?))
        })?;
        self.next = from + 1;
        u8::try_from(from).ok().map(|from| (ShardId(from), parcel))
    }

    /// Lets a parcel be filled again by the shard that it came from.
    pub(super) fn give_back(&mut self, from: ShardId, parcel: Box<Parcel>) {
        if let Some(Some(lane)) = self.inward.get(usize::from(from.0)) {
            // There is room for all that were made.
            let _kept = lane.empty.push(parcel);
        }
    }

    /// The shards that have mail since the last call.
    pub(super) fn take_touched(&mut self) -> ShardSet {
        std::mem::take(&mut self.touched)
    }

    /// Whether a datagram waits.
    pub(super) fn has_mail(&self) -> bool {
        self.inward.iter().flatten().any(|lane| !lane.full.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;
    use std::time::Duration;

    use super::*;

    #[expect(
        clippy::disallowed_methods,
        reason = "an instant has no other beginning; the tests only add to it"
    )]
    fn base_instant() -> Instant {
        static BASE: OnceLock<Instant> = OnceLock::new();
        *BASE.get_or_init(Instant::now)
    }

    const NOTE: Note = Note { landing: Landing { shard: ShardId(0), number: 7 }, is_held: Some(true) };

    fn pair() -> (Handover, Handover) {
        let mut all = Handover::join(2);
        let second = all.pop().unwrap();
        (all.pop().unwrap(), second)
    }

    fn datagram(socket: u8, payload: &[u8]) -> Datagram<'_> {
        Datagram {
            socket: SocketIndex::bound(socket),
            source: "192.0.2.9:1234".parse().unwrap(),
            payload,
            ecn: 1,
            arrived: base_instant() + Duration::from_millis(u64::from(socket)),
        }
    }

    #[test]
    fn datagrams_arrive_whole_and_in_order_and_a_full_lane_takes_no_more() {
        let (mut first, mut second) = pair();
        for round in 0..3_u8 {
            for number in 0..PARCELS_MAX {
                let payload = vec![round; number % DATAGRAM_BYTES_MAX + 1];
                assert!(first.send(ShardId(1), datagram(3, &payload), NOTE), "{round} {number}");
            }
            assert!(!first.send(ShardId(1), datagram(3, b"one too many"), NOTE));
            for number in 0..PARCELS_MAX {
                let (from, parcel) = second.receive().unwrap();
                let Datagram { socket, source, payload, ecn, arrived } = parcel.datagram();
                assert_eq!(
                    (from, socket, source, ecn),
                    (ShardId(0), SocketIndex::bound(3), datagram(3, b"").source, 1)
                );
                assert_eq!(arrived, base_instant() + Duration::from_millis(3), "that of the first shard");
                assert_eq!(payload, vec![round; number % DATAGRAM_BYTES_MAX + 1]);
                assert_eq!(parcel.note(), NOTE);
                second.give_back(from, parcel);
            }
            assert!(!second.has_mail());
        }
    }

    #[test]
    fn a_shard_has_no_lane_to_itself_and_none_without_a_shared_port() {
        let (mut first, _) = pair();
        assert!(!first.send(ShardId(0), datagram(0, b"x"), NOTE));
        assert!(!Handover::default().send(ShardId(1), datagram(0, b"x"), NOTE));
        assert!(first.is_in_use() && !Handover::default().is_in_use());
    }
}
