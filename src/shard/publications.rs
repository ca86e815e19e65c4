//! Publications and subscriptions of a shard.
//!
//! A publication stands on the shard where it is fed and, as a replica, on every shard where somebody receives
//! it. Neither side knows what feeds or drinks: a session here, or a lane.

use std::time::Instant;

use super::sessions::SessionKey;
use super::table::Key;
use super::timers::Armed;
use crate::ids::{PublicationId, ShardId};
use crate::plan::PayloadMap;
use crate::router::LayerIndex;
use crate::router::publication::Publication;
use crate::router::subscription::Subscription;

pub(super) type PublicationKey = Key<PublicationSlot>;
pub(super) type SubscriptionKey = Key<SubscriptionSlot>;

/// The stream that feeds a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Feed {
    pub(super) ssrc: u32,
    /// RTP clock rate, Hz.
    pub(super) clock_rate: u32,
}

pub(super) struct PublicationSlot {
    pub(super) id: PublicationId,
    pub(super) state: Publication,
    /// Shard on which it is fed.
    pub(super) origin: ShardId,
    /// The session that owns its name, on the origin.
    pub(super) owner: Option<SessionKey>,
    /// What feeds each layer at present, on the origin.
    pub(super) feeds: Vec<Option<Feed>>,
    /// Layer names in use.
    pub(super) rids: Vec<String>,
    /// Shards that have a replica, on the origin.
    pub(super) attached: Vec<ShardId>,
    pub(super) subscribers: Vec<SubscriptionKey>,
    /// Whether a section of the owner feeds it by the present plan.
    pub(super) bound: bool,
    /// Whether control was told that RTP flows.
    pub(super) live: bool,
    /// Whether control was told that the publication timeout passed.
    pub(super) idle: bool,
    /// Since when the publication timeout counts while nothing came.
    pub(super) silent_since: Instant,
    /// Whether it waits for the flush of this tick.
    pub(super) dirty: bool,
    pub(super) armed: Armed,
}

impl PublicationSlot {
    pub(super) fn new(id: PublicationId, state: Publication, origin: ShardId, now: Instant) -> Self {
        Self {
            id,
            state,
            origin,
            owner: None,
            feeds: Vec::new(),
            rids: Vec::new(),
            attached: Vec::new(),
            subscribers: Vec::new(),
            bound: false,
            live: false,
            idle: false,
            silent_since: now,
            dirty: false,
            armed: None,
        }
    }

    /// Whether nobody would miss it.
    pub(super) fn is_unused(&self) -> bool {
        self.owner.is_none() && self.attached.is_empty() && self.subscribers.is_empty()
    }

    /// Since when nothing came.
    pub(super) fn silent_from(&self) -> Instant {
        self.state.last_packet_at().map_or(self.silent_since, |last| last.max(self.silent_since))
    }

    /// What feeds a layer.
    pub(super) fn feed(&self, layer: LayerIndex) -> Option<Feed> {
        self.feeds.get(layer.position()).copied().flatten()
    }

    /// Notes what feeds a layer. Returns whether that is another stream than before.
    pub(super) fn set_feed(&mut self, layer: LayerIndex, new: Feed) -> bool {
        let index = layer.position();
        if self.feeds.len() <= index {
            self.feeds.resize(index + 1, None);
        }
        let Some(feed) = self.feeds.get_mut(index) else { return false };
        feed.replace(new).map(|old| old.ssrc) != Some(new.ssrc)
    }
}

pub(super) struct SubscriptionSlot {
    pub(super) session: SessionKey,
    /// Index of the stream in its session.
    pub(super) stream: usize,
    pub(super) publication: PublicationKey,
    pub(super) state: Subscription,
    pub(super) payload_types: Vec<PayloadMap>,
    /// Whether it holds back what comes until the session has keys and an address.
    pub(super) ready: bool,
}
