//! Into a publication: packets and clocks of sessions, and what other shards say.

use std::time::Instant;

use super::source::FeedChange;
use super::{Feed, PublicationKey, Source, Tracks, sink};
use crate::drop::DropReason;
use crate::router::LayerIndex;
use crate::router::publication::{Awoken, PushOutcome, SenderClock};
use crate::rtp::{Codec, Packet};
use crate::shard::command::Event;
use crate::shard::lanes::ShardSet;
use crate::shard::lanes::tracks::{LayerClock, LayerState, Media, TrackMessage};
use crate::shard::ledger::Ledger;

impl Tracks {
    /// Takes a packet of a session.
    pub(in crate::shard) fn ingest(
        &mut self,
        now: Instant,
        (key, layer): (PublicationKey, LayerIndex),
        feed: Feed,
        (codec, packet): (Codec, Packet),
        ledger: &mut Ledger,
    ) {
        let Some(slot) = self.publications.get_mut(key) else { return };
        let Some(feeds) = slot.source.session_mut() else { return };
        match feeds.take(layer, feed, now) {
            FeedChange::Present => {}
            FeedChange::Former => return ledger.drop(DropReason::FormerSource),
            FeedChange::New => slot.state.reset_source(layer),
        }
        ledger.counters.rtp_in.count(slot.state.kind());
        if slot.listened {
            self.levels.hear(slot.id(), &packet.extensions, now);
        }
        self.push(now, key, layer, (codec, packet), ledger);
    }

    /// Takes what other shards say, at most so many messages. Returns whether more waits.
    pub(in crate::shard) fn handle_mail(&mut self, now: Instant, budget: usize, ledger: &mut Ledger) -> bool {
        for _ in 0..budget {
            let Some((from, message)) = self.lanes.receive() else { return false };
            match message {
                TrackMessage::Media(media) => self.take_media(now, media, ledger),
                TrackMessage::Attach(id, kind) => self.attach(now, (id, kind), from, ledger),
                TrackMessage::Detach(id) => self.detach(id, from, ledger),
                TrackMessage::Keyframe(id, layer) => {
                    if let Some(key) = self.key_of(id) {
                        self.demand_keyframe(now, key, layer, ledger);
                    }
                }
                TrackMessage::Layer(id, layer, state) => {
                    let Some(key) = self.replica(id) else { continue };
                    let Some(slot) = self.publications.get_mut(key) else { continue };
                    match state {
                        LayerState::Named(rid) => slot.state.set_layer(layer, rid.as_deref()),
                        LayerState::Gone => slot.state.free_layer(layer),
                    }
                    self.review(now, key, ledger);
                    self.arm(now, key);
                }
                TrackMessage::Clock(id, layer, LayerClock { source, clock }) => {
                    if let Some(slot) = self.replica(id).and_then(|key| self.publications.get_mut(key)) {
                        // It may be ahead of the first packet of its source.
                        slot.state.follow_source(layer, source);
                        slot.state.sender_report(layer, clock, now);
                    }
                }
                TrackMessage::Reporting(id) => {
                    if let Some(slot) = self.replica(id).and_then(|key| self.publications.get_mut(key)) {
                        slot.state.set_reporting();
                    }
                }
            }
        }
        self.lanes.post().has_mail()
    }

    /// The publication of that id, if it is fed on another shard.
    fn replica(&self, id: crate::ids::PublicationId) -> Option<PublicationKey> {
        let key = self.key_of(id)?;
        matches!(self.publications.get(key)?.source, Source::Lane(_)).then_some(key)
    }

    fn take_media(&mut self, now: Instant, media: Media, ledger: &mut Ledger) {
        let Media { publication, layer, source, codec, packet } = media;
        ledger.counters.lane_in += 1;
        let Some(key) = self.replica(publication) else { return };
        let Some(slot) = self.publications.get_mut(key) else { return };
        slot.state.follow_source(layer, source);
        self.push(now, key, layer, (codec, packet), ledger);
    }

    fn push(
        &mut self,
        now: Instant,
        key: PublicationKey,
        layer: LayerIndex,
        (codec, packet): (Codec, Packet),
        ledger: &mut Ledger,
    ) {
        let Some(slot) = self.publications.get_mut(key) else { return };
        let outcome = slot.state.push(layer, codec, packet, now);
        // Padding that came too late to close its gap goes out as an empty packet.
        if !slot.dirty && !slot.state.batch().is_empty() {
            slot.dirty = true;
            self.dirty.push(key);
        }
        match outcome {
            // A publication that was withdrawn and comes back at once is told anew, though media hardly paused.
            PushOutcome::Stored(Awoken::Nothing) if slot.source.session().is_none_or(|feeds| feeds.live) => {}
            PushOutcome::Stored(_) => self.awoken(now, key, ledger),
            PushOutcome::Padding => ledger.drop(DropReason::PaddingOnly),
            PushOutcome::Duplicate | PushOutcome::TooOld => ledger.drop(DropReason::Repeated),
        }
    }

    /// A layer is sent, for the first time or again: those who wait for it are looked at.
    #[inline(never)]
    fn awoken(&mut self, now: Instant, key: PublicationKey, ledger: &mut Ledger) {
        let Some(slot) = self.publications.get_mut(key) else { return };
        let id = slot.id();
        if let Some(feeds) = slot.source.session_mut().filter(|feeds| !feeds.live) {
            feeds.live = true;
            feeds.idle = false;
            ledger.tell(Event::PublicationLive(id));
        }
        self.review(now, key, ledger);
        self.arm(now, key);
    }

    /// Takes a report of a session, which tells the clock of one stream, and that the session reports on all that it
    /// publishes.
    pub(in crate::shard) fn take_clock(
        &mut self,
        now: Instant,
        published: impl Iterator<Item = PublicationKey>,
        ssrc: u32,
        (ntp, rtp): (u64, u32),
    ) {
        for key in published {
            self.note_reporting(key);
            let Some(slot) = self.publications.get_mut(key) else { continue };
            let Some((layer, feed)) = slot.source.session().and_then(|feeds| feeds.layer_of(ssrc)) else {
                continue;
            };
            let clock = SenderClock { ntp, rtp, clock_rate: feed.clock_rate };
            if !slot.state.sender_report(layer, clock, now) {
                continue;
            }
            let id = slot.id();
            let Some(clock) = sink::clock_of(slot, layer, now) else { continue };
            let shards: ShardSet = self.lanes_of(key).collect();
            for to in shards {
                self.lanes.tell_clock(to, id, layer, clock);
            }
        }
    }
}
