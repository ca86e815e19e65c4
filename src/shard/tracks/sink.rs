//! Where a subscription drinks into.

use super::{PublicationKey, PublicationSlot};
use crate::drop::DropReason;
use crate::ids::ShardId;
use crate::plan::PayloadMap;
use crate::router::subscription::Subscription;
use crate::shard::lanes::tracks::{LayerState, Media, TrackLanes};
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
    /// Whether it has keys and an address; before that nothing is taken.
    pub(in crate::shard) ready: bool,
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
pub(super) fn tell_all(lanes: &mut TrackLanes, to: ShardId, slot: &PublicationSlot) {
    for (layer, known) in slot.state.indexed_layers() {
        lanes.tell_layer(to, slot.id(), layer, LayerState::Named(known.rid().map(Box::from)));
    }
    if slot.state.is_reporting() {
        lanes.tell_reporting(to, slot.id());
    }
}

/// Sends this tick's batch to another shard.
pub(super) fn cross(lanes: &mut TrackLanes, to: ShardId, slot: &PublicationSlot, ledger: &mut Ledger) {
    for entry in slot.state.batch() {
        let media = Media {
            publication: slot.id(),
            layer: entry.layer,
            source: entry.cached.source,
            codec: entry.cached.codec,
            packet: entry.cached.packet.clone(),
        };
        if lanes.send_media(to, media) {
            ledger.counters.lane_out += 1;
        } else {
            ledger.drop(DropReason::LaneFull);
        }
    }
}
