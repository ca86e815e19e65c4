//! The publications and subscriptions of a shard: the one owner of both, and of the lanes that carry them to other shards.
//!
//! A publication stands on the shard where it is fed and, as a replica, on every shard where somebody receives it. It is
//! fed by a [`Source`], and each of its subscriptions drinks into a [`Sink`]; neither knows what is behind the other.
//!
//! Bounds: publications, by those that the plans of sessions name or subscribe to; a publication that no plan names any
//! more goes with its last subscription. Subscriptions, by the streams of sessions and one for each other shard.

mod behind;
mod intake;
mod levels;
mod moves;
mod sink;
mod source;
mod upkeep;

use std::collections::HashMap;
use std::mem;
use std::ptr;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

pub(super) use self::behind::Drink;
use self::behind::Stragglers;
use self::levels::Levels;
pub(super) use self::moves::Terms;
use self::sink::{Ahead, Flow};
pub(super) use self::sink::{Sink, StreamSink, SubscriptionSlot};
pub(super) use self::source::{Feed, Feeds, Source};
use super::lanes::tracks::{LayerState, TrackLanes};
use super::lanes::{Post, ShardSet};
use super::ledger::Ledger;
use super::sessions::SessionKey;
use super::table::{Key, Table};
use super::timers::{Armed, Timers};
use crate::ids::{PublicationId, ShardId};
use crate::router::LayerIndex;
use crate::router::publication::Publication;
use crate::rtp::MediaKind;
use crate::session::Footprint;

pub(super) type PublicationKey = Key<PublicationSlot>;
pub(super) type SubscriptionKey = Key<SubscriptionSlot>;

/// One publication as this shard sees it.
#[derive(Debug)]
pub(super) struct PublicationSlot {
    pub(super) state: Publication,
    pub(super) source: Source,
    /// Those that go to other shards stand first.
    pub(super) subscribers: Vec<SubscriptionKey>,
    /// Those that receive another publication still, until they can begin with this one.
    at_door: Vec<SubscriptionKey>,
    /// Where that lies which they will need, by their order; wrong where that has changed, which costs time alone.
    ahead: Vec<Ahead>,
    /// Whether it waits for the flush of this tick.
    dirty: bool,
    /// Whether somebody who receives it was seen to wait for a packet to begin with.
    awaited: bool,
    /// Whether levels of it are wanted.
    listened: bool,
    armed: Armed,
}

impl PublicationSlot {
    pub(super) fn id(&self) -> PublicationId {
        self.state.id()
    }

    /// Whether nobody would miss it.
    fn is_unused(&self) -> bool {
        !matches!(self.source, Source::Session(_)) && self.subscribers.is_empty() && self.at_door.is_empty()
    }
}

/// A keyframe that the session of a publisher is to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyframeRequest {
    pub(super) session: SessionKey,
    /// The stream that feeds the layer.
    pub(super) ssrc: u32,
}

/// All publications and subscriptions of a shard.
#[derive(Debug)]
pub(super) struct Tracks {
    shard: ShardId,
    publications: Table<PublicationSlot>,
    by_id: HashMap<PublicationId, PublicationKey, RandomState>,
    subscriptions: Table<SubscriptionSlot>,
    /// Of these, those that go to other shards.
    lane_sinks: usize,
    /// Those with packets of this tick, each once.
    dirty: Vec<PublicationKey>,
    /// Keyframes to be asked for when the turn ends: each layer once within its spacing.
    wanted: Vec<(PublicationKey, LayerIndex)>,
    timers: Timers<PublicationKey>,
    /// Those that drink from the cache.
    stragglers: Stragglers,
    levels: Levels,
    lanes: TrackLanes,
    /// A publication without RTP becomes idle after this.
    idle_after: Duration,
}

impl Tracks {
    pub(super) fn new(shard: ShardId, lanes: TrackLanes, idle_after: Duration) -> Self {
        Self {
            shard,
            publications: Table::default(),
            by_id: HashMap::default(),
            subscriptions: Table::default(),
            lane_sinks: 0,
            dirty: Vec::new(),
            wanted: Vec::new(),
            timers: Timers::default(),
            stragglers: Stragglers::default(),
            levels: Levels::default(),
            lanes,
            idle_after,
        }
    }

    pub(super) fn set_idle_after(&mut self, idle_after: Duration) {
        self.idle_after = idle_after;
    }

    /// Publications here, replicas included.
    pub(super) fn publications(&self) -> usize {
        self.publications.len()
    }

    /// Subscriptions of sessions here.
    pub(super) fn subscriptions(&self) -> usize {
        self.subscriptions.len() - self.lane_sinks
    }

    pub(super) fn key_of(&self, id: PublicationId) -> Option<PublicationKey> {
        self.by_id.get(&id).copied()
    }

    pub(super) fn publication(&self, key: PublicationKey) -> Option<&PublicationSlot> {
        self.publications.get(key)
    }

    pub(super) fn subscription(&self, key: SubscriptionKey) -> Option<&SubscriptionSlot> {
        self.subscriptions.get(key)
    }

    /// The stream that a subscription drinks into, if that is one of a session.
    pub(super) fn stream_mut(&mut self, key: SubscriptionKey) -> Option<&mut StreamSink> {
        self.subscriptions.get_mut(key)?.stream_mut()
    }

    /// Its lanes, as far as the end of a turn concerns them.
    pub(super) fn post(&mut self) -> &mut dyn Post {
        self.lanes.post()
    }

    /// Makes a publication one of a session's, with layers of these names, in the order from best to worst; what else it had
    /// is let go.
    pub(super) fn publish(
        &mut self,
        now: Instant,
        (id, kind): (PublicationId, MediaKind),
        session: SessionKey,
        rids: &[String],
        ledger: &mut Ledger,
    ) -> PublicationKey {
        let key = self.find_or_make(id, kind, Source::Awaited);
        let Some(slot) = self.publications.get_mut(key) else { return key };
        if slot.source.session().is_none_or(|feeds| feeds.session != session) {
            slot.state.forget_keyframes();
            slot.source = Source::Session(Box::new(Feeds::new(session, now)));
        }
        let besides = slot.state.layers_besides(rids, now);
        for layer in besides {
            self.free_layer(key, layer);
        }
        for rid in rids {
            self.layer_named(now, key, Some(rid), ledger);
        }
        if !besides.is_empty() {
            self.review(now, key, ledger);
        }
        self.arm(now, key);
        key
    }

    /// Ends a session's hold on a publication: by its plan it is not fed any more.
    pub(super) fn withdraw(&mut self, key: PublicationKey, ledger: &mut Ledger) {
        if let Some(slot) = self.publications.get_mut(key) {
            slot.state.forget_keyframes();
            slot.source = Source::Awaited;
        }
        self.collect(key, ledger);
    }

    /// Has a stream of a session receive a publication that is fed on the shard `origin`.
    pub(super) fn subscribe(
        &mut self,
        now: Instant,
        (id, kind, origin): (PublicationId, MediaKind, ShardId),
        stream: StreamSink,
        ledger: &mut Ledger,
    ) -> SubscriptionKey {
        let publication = self.replica_or_own(id, kind, origin, ledger);
        let key = self.subscriptions.insert(SubscriptionSlot { publication, sink: Sink::Session(stream) });
        if let Some(slot) = self.publications.get_mut(publication) {
            slot.subscribers.push(key);
            slot.awaited = true;
        }
        self.arm(now, publication);
        key
    }

    /// Ends a subscription; gives back the stream that it drank into, if that was one of a session.
    pub(super) fn unsubscribe(&mut self, key: SubscriptionKey, ledger: &mut Ledger) -> Option<StreamSink> {
        self.stay(key, ledger);
        let slot = self.subscriptions.remove(key)?;
        self.leave(slot.publication, key, ledger);
        match slot.sink {
            Sink::Session(stream) => Some(stream),
            Sink::Lane(_) => {
                self.lane_sinks -= 1;
                None
            }
        }
    }

    fn leave(&mut self, publication: PublicationKey, key: SubscriptionKey, ledger: &mut Ledger) {
        if let Some(slot) = self.publications.get_mut(publication) {
            slot.subscribers.retain(|subscription| *subscription != key);
        }
        self.collect(publication, ledger);
    }

    /// Lets another shard receive a publication that is fed here. It hears all that is known, again if need be.
    fn attach(
        &mut self,
        now: Instant,
        (id, kind): (PublicationId, MediaKind),
        to: ShardId,
        ledger: &mut Ledger,
    ) {
        let key = self.find_or_make(id, kind, Source::Awaited);
        let Some(slot) = self.publications.get(key) else { return };
        sink::tell_all(&mut self.lanes, to, slot, now);
        if self.lane_subscription(key, to).is_some() {
            return;
        }
        sink::send_past(&mut self.lanes, to, slot, now, ledger);
        let lane = self.subscriptions.insert(SubscriptionSlot { publication: key, sink: Sink::Lane(to) });
        self.lane_sinks += 1;
        if let Some(slot) = self.publications.get_mut(key) {
            slot.subscribers.insert(0, lane);
        }
    }

    /// Ends that.
    fn detach(&mut self, id: PublicationId, from: ShardId, ledger: &mut Ledger) {
        let lane = self.key_of(id).and_then(|key| self.lane_subscription(key, from));
        if let Some(lane) = lane {
            self.unsubscribe(lane, ledger);
        }
    }

    fn lane_subscription(&self, key: PublicationKey, to: ShardId) -> Option<SubscriptionKey> {
        let subscribers = &self.publications.get(key)?.subscribers;
        let of = |subscription: &&SubscriptionKey| {
            self.subscriptions.get(**subscription).and_then(SubscriptionSlot::lane) == Some(to)
        };
        subscribers.iter().find(of).copied()
    }

    /// The other shards that receive a publication.
    fn lanes_of(&self, key: PublicationKey) -> impl Iterator<Item = ShardId> + '_ {
        let subscribers =
            self.publications.get(key).map(|slot| slot.subscribers.as_slice()).unwrap_or_default();
        subscribers.iter().map_while(|subscription| self.subscriptions.get(*subscription)?.lane())
    }

    /// The layer of that name where the publication is fed, made when it is missing.
    pub(super) fn layer_named(
        &mut self,
        now: Instant,
        key: PublicationKey,
        rid: Option<&str>,
        ledger: &mut Ledger,
    ) -> Option<LayerIndex> {
        let slot = self.publications.get_mut(key)?;
        let layers = slot.state.indexed_layers().count();
        let layer = slot.state.layer_index(rid)?;
        if slot.state.indexed_layers().count() > layers {
            self.tell_layer(key, layer);
            self.review(now, key, ledger);
        }
        Some(layer)
    }

    /// Lets go of a layer that the publisher does not name any more.
    fn free_layer(&mut self, key: PublicationKey, layer: LayerIndex) {
        let Some(slot) = self.publications.get_mut(key) else { return };
        slot.state.free_layer(layer);
        if let Some(feeds) = slot.source.session_mut() {
            feeds.clear(layer);
        }
        self.tell_layer(key, layer);
    }

    /// Tells the other shards what a layer is called now.
    fn tell_layer(&mut self, key: PublicationKey, layer: LayerIndex) {
        let Some(slot) = self.publications.get(key) else { return };
        let state = match slot.state.layer(layer) {
            Some(known) => LayerState::Named(known.rid().map(Box::from)),
            None => LayerState::Gone,
        };
        let id = slot.id();
        let shards: ShardSet = self.lanes_of(key).collect();
        for to in shards {
            self.lanes.tell_layer(to, id, layer, state.clone());
        }
    }

    /// Takes the publications that have packets of this tick, to be given back to [`Self::end_tick`].
    pub(super) fn take_dirty(&mut self) -> Vec<PublicationKey> {
        std::mem::take(&mut self.dirty)
    }

    /// Hands this tick's batch of a publication to its sinks: to other shards here, to each stream of a session by `drink`,
    /// which says where that lies which the next batch will need. Meanwhile it is fetched for the sink that comes next.
    #[inline]
    pub(super) fn pour(
        &mut self,
        key: PublicationKey,
        ledger: &mut Ledger,
        mut drink: impl FnMut(&Publication, &mut StreamSink, &mut Footprint, &mut Ledger),
    ) {
        let Some(publication) = self.publications.get_mut(key) else { return };
        let mut ahead = mem::take(&mut publication.ahead);
        ahead.resize(publication.subscribers.len(), Ahead::default());
        for (position, subscription) in publication.subscribers.iter().enumerate() {
            ahead.get(position + 1).inspect(|next| next.prefetch());
            let slot = self.subscriptions.get_mut(*subscription);
            let (Some(slot), Some(place)) = (slot, ahead.get_mut(position)) else { continue };
            place.subscription = ptr::from_ref(slot).addr();
            match &mut slot.sink {
                Sink::Session(stream) => drink(&publication.state, stream, &mut place.session, ledger),
                Sink::Lane(to) => sink::cross(&mut self.lanes, *to, publication, ledger),
            }
        }
        publication.ahead = ahead;
    }

    /// Ends the tick of these publications: their batches have been walked.
    pub(super) fn end_tick(&mut self, mut dirty: Vec<PublicationKey>) {
        for key in dirty.drain(..) {
            if let Some(slot) = self.publications.get_mut(key) {
                slot.state.clear_batch();
                slot.dirty = false;
            }
        }
        self.dirty = dirty;
    }

    /// Notes that the publisher sends reports, here and on all shards that have a replica.
    pub(super) fn note_reporting(&mut self, key: PublicationKey) {
        let Some(slot) = self.publications.get_mut(key).filter(|slot| !slot.state.is_reporting()) else {
            return;
        };
        slot.state.set_reporting();
        let id = slot.id();
        let shards: ShardSet = self.lanes_of(key).collect();
        for to in shards {
            self.lanes.tell_reporting(to, id);
        }
    }

    fn find_or_make(&mut self, id: PublicationId, kind: MediaKind, source: Source) -> PublicationKey {
        if let Some(key) = self.by_id.get(&id) {
            return *key;
        }
        let state = Publication::new(id, kind);
        let subscribers = Vec::new();
        let slot = PublicationSlot {
            state,
            source,
            subscribers,
            at_door: Vec::new(),
            ahead: Vec::new(),
            dirty: false,
            awaited: false,
            listened: self.levels.listens_to(id),
            armed: None,
        };
        let key = self.publications.insert(slot);
        self.by_id.insert(id, key);
        key
    }

    /// The publication of that id; one that is fed elsewhere is attached to its origin when it is new here.
    fn replica_or_own(
        &mut self,
        id: PublicationId,
        kind: MediaKind,
        origin: ShardId,
        ledger: &mut Ledger,
    ) -> PublicationKey {
        if origin == self.shard {
            return self.find_or_make(id, kind, Source::Awaited);
        }
        if let Some(key) = self.by_id.get(&id) {
            return *key;
        }
        ledger.counters.replicas += 1;
        self.lanes.attach(origin, id, kind);
        self.find_or_make(id, kind, Source::Lane(origin))
    }

    /// Removes a publication that nobody feeds by plan and nobody receives.
    fn collect(&mut self, key: PublicationKey, ledger: &mut Ledger) {
        if !self.publications.get(key).is_some_and(PublicationSlot::is_unused) {
            return;
        }
        let Some(slot) = self.publications.remove(key) else { return };
        self.by_id.remove(&slot.id());
        if let Source::Lane(origin) = slot.source {
            ledger.counters.replicas -= 1;
            self.lanes.detach(origin, slot.id());
        }
    }
}
