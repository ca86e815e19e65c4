//! Bringing a session to its plan: the difference between what the plan wants and what the tables hold.

use std::time::Instant;

use super::Shard;
use super::command::ConfigureError;
use super::mailbox::PeerMessage;
use super::publications::{PublicationKey, PublicationSlot, SubscriptionKey, SubscriptionSlot};
use super::sessions::SessionKey;
use crate::ids::{PublicationId, SessionId, ShardId, random_u16, random_u32};
use crate::net::Outbox;
use crate::plan::{EgressPlan, IngressPlan, SessionPlan, TransportPlan};
use crate::router::publication::Publication;
use crate::router::subscription::Subscription;
use crate::rtp::MediaKind;
use crate::session::Description;

impl Shard {
    pub(super) fn configure(
        &mut self,
        now: Instant,
        session: SessionId,
        plan: SessionPlan,
        description: Option<Description>,
        outbox: &mut Outbox,
    ) -> Result<(), ConfigureError> {
        let key = self.by_id.get(&session).copied().ok_or(ConfigureError::SessionGone)?;
        self.apply_transport(now, key, plan.transport, description, outbox)?;
        self.apply_ingress(now, key, plan.ingress);
        self.apply_egress(now, key, &plan.egress);
        self.apply_channels(key, plan.channels);
        self.run_channels(now, outbox);
        self.sync_ready(now, key);
        self.arm_session(key);
        Ok(())
    }

    fn apply_transport(
        &mut self,
        now: Instant,
        key: SessionKey,
        plan: TransportPlan,
        description: Option<Description>,
        outbox: &mut Outbox,
    ) -> Result<(), ConfigureError> {
        let result = self.with_session(now, key, outbox, |session, setup, out| {
            Ok(session.apply_transport(plan, description, setup, now, out)?)
        });
        self.sync_ufrags(key);
        result
    }

    /// Makes the demultiplexer know the session under its present credentials and no others.
    pub(super) fn sync_ufrags(&mut self, key: SessionKey) {
        let Some(slot) = self.sessions.get_mut(key) else { return };
        let present: Vec<String> = slot.session.credentials().map(|own| own.ufrag.clone()).collect();
        self.addresses.name(key, &slot.ufrags, &present);
        slot.ufrags = present;
    }

    fn apply_ingress(&mut self, now: Instant, key: SessionKey, plans: Vec<IngressPlan>) {
        let named: Vec<(PublicationId, MediaKind, Vec<String>)> =
            plans.iter().filter_map(|plan| Some((plan.publication?, plan.kind, plan.rids.clone()))).collect();
        let Some(slot) = self.sessions.get_mut(key) else { return };
        slot.session.set_ingress(plans);
        let owned = slot.publications.clone();
        for publication in owned {
            let Some(slot) = self.publications.get_mut(publication) else { continue };
            if !named.iter().any(|(id, ..)| *id == slot.id) {
                slot.bound = false;
                slot.live = false;
            }
        }
        for (id, kind, rids) in named {
            let publication = self.publication(now, id, kind, self.id);
            self.adopt(now, key, publication, rids);
        }
    }

    /// Makes a publication belong to a session and feeds on what its plan says.
    fn adopt(&mut self, now: Instant, session: SessionKey, key: PublicationKey, rids: Vec<String>) {
        let Some(slot) = self.publications.get_mut(key) else { return };
        slot.owner = Some(session);
        if !slot.bound {
            slot.bound = true;
            slot.idle = false;
            slot.silent_since = now;
        }
        for rid in &rids {
            slot.state.layer_index(Some(rid));
        }
        slot.rids = rids;
        if let Some(owner) = self.sessions.get_mut(session)
            && !owner.publications.contains(&key)
        {
            owner.publications.push(key);
        }
        let owned = self.sessions.get(session).map(|owner| owner.publications.as_slice()).unwrap_or_default();
        let known =
            |key: &PublicationKey| self.publications.get(*key).is_some_and(|slot| slot.state.is_reporting());
        if owned.iter().any(known) {
            self.note_reporting(key);
        }
        self.arm_publication(key, now);
    }

    fn apply_egress(&mut self, now: Instant, key: SessionKey, plans: &[EgressPlan]) {
        let Some(slot) = self.sessions.get(key) else { return };
        let present: Vec<(SubscriptionKey, u32)> = slot
            .subscriptions
            .iter()
            .zip(0..)
            .filter_map(|(subscription, stream)| {
                Some(((*subscription)?, slot.session.stream(stream)?.ssrc()))
            })
            .collect();
        for (subscription, ssrc) in &present {
            if !plans.iter().any(|plan| plan.ssrc == *ssrc) {
                self.remove_subscription(*subscription);
            }
        }
        for plan in plans {
            match present.iter().find(|(_, ssrc)| *ssrc == plan.ssrc) {
                Some((subscription, _)) => self.change_subscription(now, *subscription, plan),
                None => self.add_subscription(now, key, plan),
            }
        }
    }

    fn add_subscription(&mut self, now: Instant, session: SessionKey, plan: &EgressPlan) {
        let publication = self.publication(now, plan.publication, plan.kind, plan.origin);
        let Some(slot) = self.sessions.get_mut(session) else { return };
        let stream = slot.session.add_stream(plan, random_u16());
        let state = Subscription::new(
            plan.kind,
            plan.payload_types.clone(),
            plan.preference.clone(),
            random_u16() & 0x7fff,
            random_u32(),
        );
        let subscription = self.subscriptions.insert(SubscriptionSlot {
            session,
            stream,
            publication,
            state,
            payload_types: plan.payload_types.clone(),
            ready: false,
        });
        if slot.subscriptions.len() <= stream {
            slot.subscriptions.resize(stream + 1, None);
        }
        if let Some(place) = slot.subscriptions.get_mut(stream) {
            *place = Some(subscription);
        }
        slot.waiting = true;
        if let Some(slot) = self.publications.get_mut(publication) {
            slot.subscribers.push(subscription);
        }
    }

    fn change_subscription(&mut self, now: Instant, key: SubscriptionKey, plan: &EgressPlan) {
        let Some(slot) = self.subscriptions.get_mut(key) else { return };
        if slot.payload_types != plan.payload_types {
            slot.payload_types.clone_from(&plan.payload_types);
            slot.state.set_payload_types(plan.payload_types.clone());
        }
        slot.state.set_preference(plan.preference.clone());
        let (session, stream, followed) = (slot.session, slot.stream, slot.publication);
        if let Some(stream) = self.sessions.get_mut(session).and_then(|slot| slot.session.stream_mut(stream))
        {
            stream.apply(plan);
        }
        if self.publications.get(followed).is_none_or(|slot| slot.id != plan.publication) {
            self.follow_other(now, key, followed, plan);
        }
        self.look_for_layer(now, key);
    }

    /// Moves a subscription to another publication, on the same SSRC.
    fn follow_other(
        &mut self,
        now: Instant,
        key: SubscriptionKey,
        followed: PublicationKey,
        plan: &EgressPlan,
    ) {
        let publication = self.publication(now, plan.publication, plan.kind, plan.origin);
        if let Some(slot) = self.subscriptions.get_mut(key) {
            slot.publication = publication;
            slot.state.switch_source();
        }
        if let Some(slot) = self.publications.get_mut(publication) {
            slot.subscribers.push(key);
        }
        self.leave_publication(followed, key);
    }

    pub(super) fn remove_subscription(&mut self, key: SubscriptionKey) {
        let Some(slot) = self.subscriptions.remove(key) else { return };
        if let Some(session) = self.sessions.get_mut(slot.session) {
            session.session.remove_stream(slot.stream);
            if let Some(place) = session.subscriptions.get_mut(slot.stream) {
                *place = None;
            }
        }
        self.leave_publication(slot.publication, key);
    }

    fn leave_publication(&mut self, publication: PublicationKey, key: SubscriptionKey) {
        if let Some(slot) = self.publications.get_mut(publication) {
            slot.subscribers.retain(|subscription| *subscription != key);
        }
        self.collect_publication(publication);
    }

    /// The publication of that id here, made when it is missing. One that is fed elsewhere is attached to its
    /// origin.
    pub(super) fn publication(
        &mut self,
        now: Instant,
        id: PublicationId,
        kind: MediaKind,
        origin: ShardId,
    ) -> PublicationKey {
        if let Some(key) = self.by_publication.get(&id) {
            return *key;
        }
        let slot = PublicationSlot::new(id, Publication::new(id, kind), origin, now);
        let key = self.publications.insert(slot);
        self.by_publication.insert(id, key);
        if origin != self.id {
            self.counters.replicas += 1;
            self.mailbox.send(origin, PeerMessage::Attach { publication: id, kind, from: self.id });
        }
        key
    }

    /// Ends a session's hold on a publication of its own.
    pub(super) fn disown(&mut self, key: PublicationKey, now: Instant) {
        if let Some(slot) = self.publications.get_mut(key) {
            slot.owner = None;
            slot.bound = false;
            slot.live = false;
            slot.feeds.clear();
            slot.silent_since = now;
        }
        self.collect_publication(key);
    }

    /// Removes a publication that nobody owns, feeds on or receives.
    pub(super) fn collect_publication(&mut self, key: PublicationKey) {
        if !self.publications.get(key).is_some_and(PublicationSlot::is_unused) {
            return;
        }
        let Some(slot) = self.publications.remove(key) else { return };
        self.by_publication.remove(&slot.id);
        if slot.origin != self.id {
            self.counters.replicas -= 1;
            self.mailbox.send(slot.origin, PeerMessage::Detach { publication: slot.id, from: self.id });
        }
    }
}
