//! What feeds a publication on this shard.

use std::time::{Duration, Instant};

use crate::ids::ShardId;
use crate::router::{LAYERS_MAX, LayerIndex};
use crate::shard::sessions::SessionKey;

/// What feeds a publication here.
#[derive(Debug)]
pub(in crate::shard) enum Source {
    /// Nobody yet, or nobody any more: subscribers wait for the name to be published here.
    Awaited,
    /// A session of this shard.
    Session(Box<Feeds>),
    /// A lane from the shard where it is fed.
    Lane(ShardId),
}

impl Source {
    /// The session that feeds it.
    pub(in crate::shard) fn session(&self) -> Option<&Feeds> {
        match self {
            Self::Session(feeds) => Some(feeds),
            Self::Awaited | Self::Lane(_) => None,
        }
    }

    pub(in crate::shard) fn session_mut(&mut self) -> Option<&mut Feeds> {
        match self {
            Self::Session(feeds) => Some(feeds),
            Self::Awaited | Self::Lane(_) => None,
        }
    }
}

/// The stream that feeds a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::shard) struct Feed {
    pub(in crate::shard) ssrc: u32,
    /// RTP clock rate, Hz.
    pub(in crate::shard) clock_rate: u32,
}

/// Former streams of a layer that are remembered.
const FORMER_MAX: usize = 4;

/// How long the present stream of a layer must have been silent before a former one takes its place again: longer than
/// packets are under way, retransmissions included.
const FORMER_PATIENCE: Duration = Duration::from_secs(1);

/// What a packet of some stream means to a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::shard) enum FeedChange {
    /// Its stream feeds the layer.
    Present,
    /// Its stream feeds the layer from this packet on.
    New,
    /// Its stream fed the layer before the present one: the packet is late.
    Former,
}

/// What feeds one layer, and what did before.
#[derive(Debug, Default)]
struct LayerFeed {
    present: Option<(Feed, Instant)>,
    former: [Option<u32>; FORMER_MAX],
}

impl LayerFeed {
    /// What feeds it.
    fn present(&self) -> Option<Feed> {
        self.present.map(|(feed, _)| feed)
    }

    /// Takes note of a packet. A publisher that changes its stream is followed at once; what is still under way of the
    /// stream before does not change it back.
    fn take(&mut self, feed: Feed, now: Instant) -> FeedChange {
        if let Some((present, heard)) = &mut self.present {
            if present.ssrc == feed.ssrc {
                (*present, *heard) = (feed, now);
                return FeedChange::Present;
            }
            if self.former.contains(&Some(feed.ssrc)) && now < *heard + FORMER_PATIENCE {
                return FeedChange::Former;
            }
            let gone = present.ssrc;
            self.former.iter_mut().for_each(|known| *known = known.filter(|known| *known != feed.ssrc));
            self.former.rotate_right(1);
            if let Some(newest) = self.former.first_mut() {
                *newest = Some(gone);
            }
        }
        self.present = Some((feed, now));
        FeedChange::New
    }
}

/// A session that feeds a publication, and what control was told of that.
#[derive(Debug)]
pub(in crate::shard) struct Feeds {
    pub(in crate::shard) session: SessionKey,
    /// What feeds each layer at present.
    layers: [LayerFeed; LAYERS_MAX],
    /// Whether control was told that RTP flows.
    pub(in crate::shard) live: bool,
    /// Whether control was told that the publication timeout passed.
    pub(in crate::shard) idle: bool,
    /// Since when the publication timeout counts while nothing came.
    pub(in crate::shard) since: Instant,
}

impl Feeds {
    pub(in crate::shard) fn new(session: SessionKey, since: Instant) -> Self {
        Self { session, layers: Default::default(), live: false, idle: false, since }
    }

    /// Since when nothing came, if the newest packet is from `last`.
    pub(super) fn silent_from(&self, last: Option<Instant>) -> Instant {
        last.map_or(self.since, |last| last.max(self.since))
    }

    /// What feeds a layer.
    pub(in crate::shard) fn feed(&self, layer: LayerIndex) -> Option<Feed> {
        self.layers.get(layer.position())?.present()
    }

    /// The layer that a stream feeds.
    pub(in crate::shard) fn layer_of(&self, ssrc: u32) -> Option<(LayerIndex, Feed)> {
        let all = self.layers.iter().enumerate();
        all.filter_map(|(position, feed)| Some((LayerIndex::at(position)?, feed.present()?)))
            .find(|(_, feed)| feed.ssrc == ssrc)
    }

    /// Takes note of what a packet of a layer came by.
    pub(super) fn take(&mut self, layer: LayerIndex, feed: Feed, now: Instant) -> FeedChange {
        self.layers.get_mut(layer.position()).map_or(FeedChange::Former, |known| known.take(feed, now))
    }

    /// Forgets what fed a layer.
    pub(in crate::shard) fn clear(&mut self, layer: LayerIndex) {
        if let Some(feed) = self.layers.get_mut(layer.position()) {
            *feed = LayerFeed::default();
        }
    }
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
        assert_eq!(layer.take(feed(1), start), FeedChange::New);
        assert_eq!(layer.take(feed(1), start), FeedChange::Present);
        assert_eq!(layer.take(feed(2), start), FeedChange::New);
        assert_eq!(layer.take(feed(1), start + FORMER_PATIENCE / 2), FeedChange::Former);
        assert_eq!(layer.take(feed(2), start + FORMER_PATIENCE / 2), FeedChange::Present);
        assert_eq!(layer.take(feed(1), start + FORMER_PATIENCE), FeedChange::Former);
        assert_eq!(layer.present(), Some(feed(2)));
        assert_eq!(layer.take(feed(1), start + FORMER_PATIENCE * 3 / 2), FeedChange::New, "it has come back");
        assert_eq!(layer.take(feed(2), start + FORMER_PATIENCE * 3 / 2), FeedChange::Former);
    }

    #[test]
    fn as_many_former_streams_are_remembered_as_the_bound_says() {
        let (mut layer, start) = (LayerFeed::default(), base_instant());
        for ssrc in 0..6 {
            assert_eq!(layer.take(feed(ssrc), start), FeedChange::New);
        }
        for ssrc in 1..5 {
            assert_eq!(layer.take(feed(ssrc), start), FeedChange::Former);
        }
        assert_eq!(layer.take(feed(0), start), FeedChange::New, "forgotten");
    }
}
