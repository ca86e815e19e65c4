//! Where a subscription drinks into.

use std::time::Instant;

use super::moves::Move;
use super::{PublicationKey, PublicationSlot};
use crate::drop::DropReason;
use crate::ids::{PublicationId, ShardId};
use crate::net::prefetch;
use crate::plan::PayloadMap;
use crate::router::LayerIndex;
use crate::router::resend::CachedPacket;
use crate::router::subscription::Subscription;
use crate::session::Footprint;
use crate::shard::lanes::tracks::{LayerClock, LayerState, Media, TrackLanes};
use crate::shard::ledger::Ledger;
use crate::shard::sessions::SessionKey;

/// A subscription of a publication.
#[derive(Debug)]
pub(in crate::shard) struct SubscriptionSlot {
    pub(in crate::shard) publication: PublicationKey,
    pub(in crate::shard) sink: Sink,
}

/// What takes the packets of a publication.
#[derive(Debug)]
pub(in crate::shard) enum Sink {
    /// A stream of a session here: one layer, rewritten for its client.
    Session(StreamSink),
    /// Another shard: all layers, once, as they came.
    Lane(ShardId),
}

/// A stream of a session.
#[derive(Debug)]
pub(in crate::shard) struct StreamSink {
    pub(in crate::shard) session: SessionKey,
    /// Index of the stream in its session.
    pub(in crate::shard) stream: usize,
    pub(in crate::shard) state: Subscription,
    pub(in crate::shard) payload_types: Vec<PayloadMap>,
    /// What becomes of the batches of its publication.
    pub(super) flow: Flow,
    /// Where it is about to move.
    pub(super) moving: Option<Box<Move>>,
}

/// What a stream does with the batches of its publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// It takes nothing: it has no keys or no address.
    Closed,
    /// There was no room for the batch of this tick: it is about to lag behind.
    Held,
    /// It lags behind, and drinks from the cache until it has caught up ([`behind`](super::behind)).
    Behind,
    /// It takes what comes.
    Open,
}

impl StreamSink {
    pub(in crate::shard) fn new(
        session: SessionKey,
        stream: usize,
        state: Subscription,
        payload_types: Vec<PayloadMap>,
    ) -> Self {
        Self { session, stream, state, payload_types, flow: Flow::Closed, moving: None }
    }

    /// Whether it takes what comes.
    #[inline]
    pub(in crate::shard) fn is_open(&self) -> bool {
        self.flow == Flow::Open
    }

    /// Takes nothing of this tick's batch. What is held it takes later, from the cache;
    /// [`Tracks::hold_back`](super::Tracks::hold_back) is to follow.
    pub(in crate::shard) fn turn_away(&mut self, reason: DropReason, packets: usize, ledger: &mut Ledger) {
        if reason == DropReason::Held {
            self.flow = Flow::Held;
        } else {
            self.state.hold();
            ledger.counters.drop_packets(reason, packets);
        }
    }

    /// Whether it will take what comes, though later.
    pub(in crate::shard) fn is_behind(&self) -> bool {
        self.flow == Flow::Behind
    }
}

/// Where that lies which a subscription needs for its next batch: addresses of the last one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ahead {
    pub(super) subscription: usize,
    pub(super) session: Footprint,
}

impl Ahead {
    /// Has all of it fetched, and does not wait for it.
    #[inline]
    pub(super) fn prefetch(&self) {
        prefetch(self.subscription, size_of::<SubscriptionSlot>());
        for (address, bytes) in self.session.places() {
            prefetch(address, bytes);
        }
    }
}

impl SubscriptionSlot {
    pub(in crate::shard) fn stream(&self) -> Option<&StreamSink> {
        match &self.sink {
            Sink::Session(stream) => Some(stream),
            Sink::Lane(_) => None,
        }
    }

    pub(in crate::shard) fn stream_mut(&mut self) -> Option<&mut StreamSink> {
        match &mut self.sink {
            Sink::Session(stream) => Some(stream),
            Sink::Lane(_) => None,
        }
    }

    /// The shard that it goes to.
    pub(in crate::shard) fn lane(&self) -> Option<ShardId> {
        match self.sink {
            Sink::Lane(to) => Some(to),
            Sink::Session(_) => None,
        }
    }
}

/// Tells another shard all that is known of a publication but its media.
pub(super) fn tell_all(lanes: &mut TrackLanes, to: ShardId, slot: &PublicationSlot, now: Instant) {
    for (layer, known) in slot.state.indexed_layers() {
        lanes.tell_layer(to, slot.id(), layer, LayerState::Named(known.rid().map(Box::from)));
        if let Some(clock) = clock_of(slot, layer, now) {
            lanes.tell_clock(to, slot.id(), layer, clock);
        }
    }
    if slot.state.is_reporting() {
        lanes.tell_reporting(to, slot.id());
    }
}

/// The publisher's clock of a layer, carried on to this moment: who hears of it takes it for that of the moment.
pub(super) fn clock_of(slot: &PublicationSlot, layer: LayerIndex, now: Instant) -> Option<LayerClock> {
    let (source, clock) = slot.state.clock(layer, now)?;
    Some(LayerClock { source, clock })
}

/// Sends this tick's batch to another shard.
pub(super) fn cross(lanes: &mut TrackLanes, to: ShardId, slot: &PublicationSlot, ledger: &mut Ledger) {
    for entry in slot.state.batch() {
        send_packet(lanes, to, (slot.id(), entry.layer), &entry.cached, ledger);
    }
}

/// Sends another shard, which is new, that with which its newcomers can begin: of each layer what has come since a keyframe
/// with which they could begin here. What of it is in the batch of this tick comes with that. Where a lane is not half empty
/// nothing is sent: the media of others comes first.
pub(super) fn send_past(
    lanes: &mut TrackLanes,
    to: ShardId,
    slot: &PublicationSlot,
    now: Instant,
    ledger: &mut Ledger,
) {
    let batch = slot.state.batch();
    for (layer, _) in slot.state.indexed_layers() {
        let held = slot.state.held(layer).map(|(held, _)| held);
        let (Some(first), Some(held)) = (slot.state.beginning(layer, now), held) else { continue };
        let is_of_batch =
            |number| batch.iter().any(|entry| entry.layer == layer && entry.cached.packet.seq == number);
        let past = (first..held.end).filter(|number| !is_of_batch(*number));
        if lanes.room_to_spare(to) < (held.end - first) as usize {
            continue;
        }
        for cached in past.filter_map(|number| slot.state.cached(layer, number)) {
            send_packet(lanes, to, (slot.id(), layer), cached, ledger);
        }
    }
}

fn send_packet(
    lanes: &mut TrackLanes,
    to: ShardId,
    (publication, layer): (PublicationId, LayerIndex),
    cached: &CachedPacket,
    ledger: &mut Ledger,
) {
    let CachedPacket { source, codec, ref packet, .. } = *cached;
    let media = Media { publication, layer, source, codec, packet: packet.clone() };
    if lanes.send_media(to, media) {
        ledger.counters.lane_out += 1;
    } else {
        ledger.drop(DropReason::LaneFull);
    }
}
