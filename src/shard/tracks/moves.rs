//! Subscriptions that move to another publication.
//!
//! Sound moves at once. A picture goes on as it was until the next one can begin, as it does where layers change: the
//! stream stays with its former publication, and stands at the door of the other one until a keyframe has come there.
//! Bound: one door for each subscription.

use std::time::Instant;

use super::{PublicationKey, StreamSink, SubscriptionKey, SubscriptionSlot, Tracks};
use crate::ids::{PublicationId, ShardId};
use crate::plan::{LayerPreference, PayloadMap};
use crate::router::LayerIndex;
use crate::router::publication::Publication;
use crate::router::selection::{Share, choose};
use crate::router::subscription::KEYFRAME_PATIENCE;
use crate::rtp::MediaKind;
use crate::shard::ledger::Ledger;

/// How a stream takes a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::shard) struct Terms {
    pub(in crate::shard) payload_types: Vec<PayloadMap>,
    pub(in crate::shard) preference: LayerPreference,
}

/// A move that is under way.
#[derive(Debug)]
pub(super) struct Move {
    to: PublicationKey,
    terms: Terms,
    since: Instant,
}

impl StreamSink {
    /// Takes its publication, present or next, on these terms.
    fn take_terms(&mut self, terms: Terms) {
        if self.payload_types != terms.payload_types {
            self.payload_types.clone_from(&terms.payload_types);
            self.state.begin_epoch(terms.payload_types);
        }
        self.state.set_preference(terms.preference);
    }
}

impl Move {
    /// The layer with which the stream is to begin, where that is being sent: what its client's path carries of the present
    /// publication is taken to be what it carries of the next.
    fn layer(&self, publication: &Publication, share: Share, now: Instant) -> Option<LayerIndex> {
        let choice = choose(publication, &self.terms.preference, share, None, false, now);
        choice.target.filter(|_| choice.live)
    }

    /// Whether the stream can begin with what has come in this tick.
    fn may_begin(&self, publication: &Publication, share: Share, now: Instant) -> bool {
        let Some(layer) = self.layer(publication, share, now) else { return false };
        // Keyframes that are encrypted end to end cannot be seen.
        let is_opaque = publication.layer(layer).is_some_and(|layer| layer.requests.is_opaque());
        let begins =
            |cached: &crate::router::resend::CachedPacket| cached.keyframe || is_opaque && cached.frame_start;
        publication.batch().iter().any(|entry| entry.layer == layer && begins(&entry.cached))
    }
}

impl Tracks {
    /// Has a subscription receive this publication on these terms from now on, on the same stream, or as soon as a picture of
    /// it can begin.
    pub(in crate::shard) fn follow(
        &mut self,
        now: Instant,
        key: SubscriptionKey,
        (id, kind, origin): (PublicationId, MediaKind, ShardId),
        terms: Terms,
        ledger: &mut Ledger,
    ) {
        let followed = self.subscriptions.get(key).and_then(|slot| self.publications.get(slot.publication));
        let is_followed = followed.is_some_and(|followed| followed.id() == id);
        let Some(stream) = self.stream_mut(key) else { return };
        let keeps_picture =
            kind == MediaKind::Video && stream.is_open() && stream.state.current_layer().is_some();
        if is_followed {
            stream.take_terms(terms);
            return self.stay(key, ledger);
        }
        let next = stream.moving.as_ref().map(|moving| moving.to);
        if next.and_then(|next| self.publications.get(next)).is_some_and(|next| next.id() == id) {
            if let Some(moving) = self.stream_mut(key).and_then(|stream| stream.moving.as_mut()) {
                moving.terms = terms;
            }
            return;
        }
        self.stay(key, ledger);
        let to = self.replica_or_own(id, kind, origin, ledger);
        let (Some(slot), Some(stream)) = (
            self.publications.get_mut(to),
            self.subscriptions.get_mut(key).and_then(SubscriptionSlot::stream_mut),
        ) else {
            return;
        };
        slot.at_door.push(key);
        stream.moving = Some(Box::new(Move { to, terms, since: now }));
        if keeps_picture {
            self.ask_for_beginning(now, key, ledger);
            self.arm(now, to);
        } else {
            self.arrive(now, key, ledger);
        }
    }

    /// Ends a move before it is done.
    pub(super) fn stay(&mut self, key: SubscriptionKey, ledger: &mut Ledger) {
        let Some(moving) = self.stream_mut(key).and_then(|stream| stream.moving.take()) else { return };
        if let Some(slot) = self.publications.get_mut(moving.to) {
            slot.at_door.retain(|waiting| *waiting != key);
        }
        self.collect(moving.to, ledger);
    }

    /// Lets those in who can begin with what has come in this tick.
    #[inline]
    pub(in crate::shard) fn open_door(&mut self, now: Instant, key: PublicationKey, ledger: &mut Ledger) {
        if self.publications.get(key).is_some_and(|slot| !slot.at_door.is_empty()) {
            self.let_in(now, key, ledger);
        }
    }

    #[inline(never)]
    fn let_in(&mut self, now: Instant, key: PublicationKey, ledger: &mut Ledger) {
        let Some(slot) = self.publications.get(key) else { return };
        let may_begin = |waiting: &&SubscriptionKey| {
            let stream = self.subscriptions.get(**waiting).and_then(SubscriptionSlot::stream);
            let moving = stream.and_then(|stream| Some((stream.moving.as_ref()?, stream.state.share())));
            moving.is_some_and(|(moving, share)| moving.may_begin(&slot.state, share, now))
        };
        let begin: Vec<SubscriptionKey> = slot.at_door.iter().filter(may_begin).copied().collect();
        begin.into_iter().for_each(|waiting| self.arrive(now, waiting, ledger));
    }

    /// Looks at those who wait to begin: whoever has waited too long begins as best it can.
    pub(super) fn look_at_door(&mut self, now: Instant, key: PublicationKey, ledger: &mut Ledger) {
        let waiting = self.publications.get(key).map(|slot| slot.at_door.clone()).unwrap_or_default();
        for one in waiting {
            let moving = self.stream_mut(one).and_then(|stream| stream.moving.as_ref());
            let is_over = moving.is_some_and(|moving| now >= moving.since + KEYFRAME_PATIENCE);
            if is_over {
                self.arrive(now, one, ledger);
                self.look_for_layer(now, one, ledger);
                continue;
            }
            let layer = self.awaited_at_door(now, one);
            let is_asked =
                |layer| self.publications.get(key).is_some_and(|slot| slot.state.awaits_keyframe(layer));
            if let Some(layer) = layer.filter(|layer| !is_asked(*layer)) {
                self.demand_keyframe(now, key, layer, ledger);
            }
        }
    }

    /// Asks for the keyframe with which a picture is to begin.
    fn ask_for_beginning(&mut self, now: Instant, key: SubscriptionKey, ledger: &mut Ledger) {
        let to = self.stream_mut(key).and_then(|stream| Some(stream.moving.as_ref()?.to));
        if let (Some(to), Some(layer)) = (to, self.awaited_at_door(now, key)) {
            self.demand_keyframe(now, to, layer, ledger);
        }
    }

    fn awaited_at_door(&self, now: Instant, key: SubscriptionKey) -> Option<LayerIndex> {
        let stream = self.subscriptions.get(key)?.stream()?;
        let moving = stream.moving.as_ref()?;
        moving.layer(&self.publications.get(moving.to)?.state, stream.state.share(), now)
    }

    /// Ends a move where it leads.
    fn arrive(&mut self, now: Instant, key: SubscriptionKey, ledger: &mut Ledger) {
        self.leave_cache(key);
        let Some(slot) = self.subscriptions.get_mut(key) else { return };
        let Some(moving) = slot.stream_mut().and_then(|stream| stream.moving.take()) else { return };
        let Move { to, terms, .. } = *moving;
        let former = std::mem::replace(&mut slot.publication, to);
        if let Some(stream) = slot.stream_mut() {
            stream.state.switch_source();
            stream.take_terms(terms);
        }
        if let Some(slot) = self.publications.get_mut(to) {
            slot.at_door.retain(|waiting| *waiting != key);
            slot.subscribers.push(key);
            slot.awaited = true;
        }
        self.leave(former, key, ledger);
        self.arm(now, to);
    }
}
