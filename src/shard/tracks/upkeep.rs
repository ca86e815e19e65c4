//! What a publication does by itself: keyframes that did not come, layers that come and go, silence.

use std::time::{Duration, Instant};

use super::{Flow, KeyframeRequest, PublicationKey, Source, SubscriptionKey, Tracks};
use crate::metrics::shard::{KeyframeOutcome, Wake};
use crate::router::keyframe::KeyframeDemand;
use crate::router::selection::Share;
use crate::router::{LayerIndex, LayerSet};
use crate::shard::command::Event;
use crate::shard::ledger::Ledger;

/// How often the layers of a publication are looked over for its subscribers, while there is a choice or somebody waits.
const LAYER_REVIEW: Duration = Duration::from_millis(250);
/// The same while no media comes, and the first packet of any layer will be a reason to look anyway.
const SILENT_REVIEW: Duration = Duration::from_secs(2);

impl Tracks {
    /// Wants a keyframe of a layer: asked for when the turn ends, or merged into a request that is under way.
    pub(in crate::shard) fn demand_keyframe(
        &mut self,
        now: Instant,
        key: PublicationKey,
        layer: LayerIndex,
        ledger: &mut Ledger,
    ) {
        let Some(slot) = self.publications.get_mut(key) else { return };
        match slot.state.demand_keyframe(layer, now) {
            KeyframeDemand::Send => self.wanted.push((key, layer)),
            KeyframeDemand::Merged => ledger.counters.keyframe_requests.count(KeyframeOutcome::Merged),
        }
        self.arm(now, key);
    }

    /// Asks for the keyframes without which subscriptions cannot go on, unless they are on their way: whatever they wait
    /// for, and since when.
    pub(in crate::shard) fn await_keyframes(
        &mut self,
        now: Instant,
        key: PublicationKey,
        awaited: LayerSet,
        ledger: &mut Ledger,
    ) {
        for layer in awaited {
            if self.publications.get(key).is_some_and(|slot| !slot.state.awaits_keyframe(layer)) {
                self.demand_keyframe(now, key, layer, ledger);
            }
        }
    }

    /// A subscriber misses a keyframe of what it gets, or waits for.
    pub(in crate::shard) fn keyframe_missed(
        &mut self,
        now: Instant,
        key: SubscriptionKey,
        ledger: &mut Ledger,
    ) {
        let Some(slot) = self.subscriptions.get(key) else { return };
        let Some(stream) = slot.stream() else { return };
        if let Some(layer) = stream.state.wanted_keyframe().or_else(|| stream.state.current_layer()) {
            self.demand_keyframe(now, slot.publication, layer, ledger);
        }
    }

    /// Sends the keyframe requests of this turn towards their publishers; gives the next for a session of this shard.
    pub(in crate::shard) fn poll_keyframe(&mut self, ledger: &mut Ledger) -> Option<KeyframeRequest> {
        while let Some((key, layer)) = self.wanted.pop() {
            let Some(slot) = self.publications.get(key) else { continue };
            ledger.counters.keyframe_requests.count(KeyframeOutcome::Sent);
            match &slot.source {
                Source::Awaited => {}
                Source::Lane(origin) => self.lanes.want_keyframe(*origin, slot.id(), layer),
                Source::Session(feeds) => {
                    if let Some(feed) = feeds.feed(layer) {
                        return Some(KeyframeRequest { session: feeds.session, ssrc: feed.ssrc });
                    }
                }
            }
        }
        None
    }

    /// Chooses the layer of one subscription anew and sees to the keyframe that the choice needs: a newcomer gets it from the
    /// cache where it can, for everybody else the publisher is asked. One that is behind is looked at when it has caught up.
    pub(in crate::shard) fn look_for_layer(
        &mut self,
        now: Instant,
        key: SubscriptionKey,
        ledger: &mut Ledger,
    ) {
        let Some((followed, layer)) = self.choose(now, key) else { return };
        if !self.begin_in_cache(now, key, layer, ledger) {
            self.demand_keyframe(now, followed, layer, ledger);
        }
    }

    /// Chooses the layer of one subscription anew. Returns the layer that it needs a keyframe of.
    pub(super) fn choose(
        &mut self,
        now: Instant,
        key: SubscriptionKey,
    ) -> Option<(PublicationKey, LayerIndex)> {
        let slot = self.subscriptions.get_mut(key)?;
        let followed = slot.publication;
        let publication = self.publications.get_mut(followed)?;
        let stream = slot.stream_mut().filter(|stream| !stream.is_behind())?;
        stream.state.choose_layer(&publication.state, now);
        publication.awaited |= stream.state.current_layer().is_none();
        Some((followed, stream.state.wanted_keyframe().filter(|_| stream.is_open())?))
    }

    /// Gives a subscription another share of its client's path. `stops` where what it gets at present is to end before the other
    /// layer has come.
    pub(in crate::shard) fn share(
        &mut self,
        now: Instant,
        key: SubscriptionKey,
        share: Share,
        stops: bool,
        ledger: &mut Ledger,
    ) {
        let Some(stream) = self.stream_mut(key) else { return };
        let is_new = stream.state.set_share(share);
        // What one who lags behind has not been sent yet is of the layer that the path does not carry.
        let is_late = stream.is_behind() && is_new && stops;
        if is_late {
            self.leave_cache(key);
        }
        if let Some(stream) = self.stream_mut(key).filter(|_| stops) {
            stream.state.stop();
        }
        if is_new || stops {
            self.look_for_layer(now, key, ledger);
        }
    }

    /// Lets a subscription begin, or go on under new keys.
    pub(in crate::shard) fn begin(&mut self, now: Instant, key: SubscriptionKey, ledger: &mut Ledger) {
        let Some(slot) = self.subscriptions.get_mut(key) else { return };
        let publication = slot.publication;
        let Some(stream) = slot.stream_mut().filter(|stream| stream.flow == Flow::Closed) else { return };
        stream.flow = Flow::Open;
        let current = stream.state.current_layer();
        self.look_for_layer(now, key, ledger);
        // One that goes on under new keys has lost packets on the way.
        if let Some(layer) = current {
            self.demand_keyframe(now, publication, layer, ledger);
        }
        self.arm(now, publication);
    }

    /// Looks the layers over for all subscribers, and for those that are about to be.
    pub(super) fn review(&mut self, now: Instant, key: PublicationKey, ledger: &mut Ledger) {
        let Some(slot) = self.publications.get_mut(key) else { return };
        slot.awaited = false;
        for index in 0.. {
            let subscribers = self.publications.get(key).map(|slot| slot.subscribers.as_slice());
            let Some(subscription) = subscribers.and_then(|all| all.get(index)).copied() else { break };
            self.look_for_layer(now, subscription, ledger);
        }
        self.look_at_door(now, key, ledger);
    }

    /// When [`Self::handle_timeout`] has something to do next.
    pub(in crate::shard) fn poll_timeout(&mut self) -> Option<Instant> {
        let publications = &self.publications;
        let timers = self.timers.next(&mut |key, at| {
            // None moves: what is due later than it was armed for is seen then.
            publications.get(key).filter(|slot| slot.armed == Some(at)).map(|_| (at, Wake::Moved))
        });
        timers.into_iter().chain(self.levels.due()).min()
    }

    /// Lets every publication do what its time has come for.
    pub(in crate::shard) fn handle_timeout(&mut self, now: Instant, ledger: &mut Ledger) {
        while let Some((at, key, why)) = self.timers.pop_due(now) {
            let slot = self.publications.get_mut(key);
            let Some(slot) = slot.filter(|slot| slot.armed == Some(at)) else { continue };
            slot.armed = None;
            ledger.counters.wakes.count(why);
            self.due(now, key, ledger);
            self.arm(now, key);
        }
        self.levels.report(now, ledger);
    }

    fn due(&mut self, now: Instant, key: PublicationKey, ledger: &mut Ledger) {
        let idle_after = self.idle_after;
        let Some(slot) = self.publications.get_mut(key) else { return };
        slot.state.expire(now);
        for layer in slot.state.poll_keyframes(now) {
            self.wanted.push((key, layer));
        }
        let (id, last) = (slot.id(), slot.state.last_packet_at());
        if let Some(feeds) = slot.source.session_mut()
            && !feeds.idle
            && now >= feeds.silent_from(last) + idle_after
        {
            feeds.idle = true;
            feeds.live = false;
            ledger.tell(Event::PublicationIdle(id));
        }
        if slot.awaited || slot.state.has_choice() || !slot.at_door.is_empty() {
            self.review(now, key, ledger);
        }
    }

    pub(super) fn arm(&mut self, now: Instant, key: PublicationKey) {
        let Some(slot) = self.publications.get_mut(key) else { return };
        let last = slot.state.last_packet_at();
        let feeds = slot.source.session().filter(|feeds| !feeds.idle);
        let silence = feeds.map(|feeds| (feeds.silent_from(last) + self.idle_after, Wake::Silence));
        let has_reason = !slot.at_door.is_empty()
            || !slot.subscribers.is_empty() && (slot.awaited || slot.state.has_choice());
        let is_soon = slot.state.is_live(now) || !slot.at_door.is_empty();
        let span = if is_soon { LAYER_REVIEW } else { SILENT_REVIEW };
        let review = has_reason.then(|| (now + span, Wake::Layers));
        let keyframe = slot.state.next_keyframe_deadline().map(|at| (at, Wake::Keyframe));
        if let Some(next) = [keyframe, silence, review].into_iter().flatten().min_by_key(|(at, _)| *at) {
            self.timers.arm(&mut slot.armed, key, next);
        }
    }
}
