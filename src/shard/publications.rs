//! Publications and subscriptions of a shard.
//!
//! A publication stands on the shard where it is fed and, as a replica, on every shard where somebody receives
//! it. Neither side knows what feeds or drinks: a session here, or a lane.

use std::time::{Duration, Instant};

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

/// Former streams of a layer that are remembered.
const FORMER_MAX: usize = 4;

/// How long the present stream of a layer must have been silent before a former one takes its place again: longer than
/// packets are under way, retransmissions included.
const FORMER_PATIENCE: Duration = Duration::from_secs(1);

/// What a packet of some stream means to a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Feeding {
    /// Its stream feeds the layer.
    Present,
    /// Its stream feeds the layer from this packet on.
    New,
    /// Its stream fed the layer before the present one: the packet is late.
    Former,
}

/// What feeds one layer, and what did before.
#[derive(Debug, Default)]
pub(super) struct LayerFeed {
    present: Option<(Feed, Instant)>,
    former: [Option<u32>; FORMER_MAX],
}

impl LayerFeed {
    /// What feeds it.
    pub(super) fn present(&self) -> Option<Feed> {
        self.present.map(|(feed, _)| feed)
    }

    /// Takes note of a packet. A publisher that changes its stream is followed at once; what is still under way of the
    /// stream before does not change it back.
    fn take(&mut self, feed: Feed, now: Instant) -> Feeding {
        if let Some((present, heard)) = &mut self.present {
            if present.ssrc == feed.ssrc {
                (*present, *heard) = (feed, now);
                return Feeding::Present;
            }
            if self.former.contains(&Some(feed.ssrc)) && now < *heard + FORMER_PATIENCE {
                return Feeding::Former;
            }
            let gone = present.ssrc;
            self.former.iter_mut().for_each(|known| *known = known.filter(|known| *known != feed.ssrc));
            self.former.rotate_right(1);
            if let Some(newest) = self.former.first_mut() {
                *newest = Some(gone);
            }
        }
        self.present = Some((feed, now));
        Feeding::New
    }
}

pub(super) struct PublicationSlot {
    pub(super) id: PublicationId,
    pub(super) state: Publication,
    /// Shard on which it is fed.
    pub(super) origin: ShardId,
    /// The session that owns its name, on the origin.
    pub(super) owner: Option<SessionKey>,
    /// What feeds each layer at present, on the origin.
    pub(super) feeds: Vec<LayerFeed>,
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
        self.feeds.get(layer.position()).and_then(LayerFeed::present)
    }

    /// Takes note of what a packet of a layer came by.
    pub(super) fn take_feed(&mut self, layer: LayerIndex, feed: Feed, now: Instant) -> Feeding {
        let index = layer.position();
        if self.feeds.len() <= index {
            self.feeds.resize_with(index + 1, LayerFeed::default);
        }
        self.feeds.get_mut(index).map_or(Feeding::Former, |known| known.take(feed, now))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "an instant cannot be made without the clock")]
    fn base_instant() -> Instant {
        Instant::now()
    }

    fn feed(ssrc: u32) -> Feed {
        Feed { ssrc, clock_rate: 90_000 }
    }

    #[test]
    fn a_layer_follows_a_new_stream_at_once_and_a_former_one_only_after_silence() {
        let (mut layer, start) = (LayerFeed::default(), base_instant());
        assert_eq!(layer.take(feed(1), start), Feeding::New);
        assert_eq!(layer.take(feed(1), start), Feeding::Present);
        assert_eq!(layer.take(feed(2), start), Feeding::New);
        assert_eq!(layer.take(feed(1), start + FORMER_PATIENCE / 2), Feeding::Former);
        assert_eq!(layer.take(feed(2), start + FORMER_PATIENCE / 2), Feeding::Present);
        assert_eq!(layer.take(feed(1), start + FORMER_PATIENCE), Feeding::Former);
        assert_eq!(layer.present(), Some(feed(2)));
        assert_eq!(layer.take(feed(1), start + FORMER_PATIENCE * 3 / 2), Feeding::New, "it has come back");
        assert_eq!(layer.take(feed(2), start + FORMER_PATIENCE * 3 / 2), Feeding::Former);
    }

    #[test]
    fn as_many_former_streams_are_remembered_as_the_bound_says() {
        let (mut layer, start) = (LayerFeed::default(), base_instant());
        for ssrc in 0..6 {
            assert_eq!(layer.take(feed(ssrc), start), Feeding::New);
        }
        for ssrc in 1..5 {
            assert_eq!(layer.take(feed(ssrc), start), Feeding::Former);
        }
        assert_eq!(layer.take(feed(0), start), Feeding::New, "forgotten");
    }
}
