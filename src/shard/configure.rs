//! Bringing a session to its plan: the difference between what the plan wants and what the owners hold.

use std::time::Instant;

use super::Shard;
use super::channels::Around;
use super::command::ConfigureError;
use super::sessions::{Feeding, SessionKey};
use super::tracks::{StreamSink, SubscriptionKey, Terms};
use crate::ids::SessionId;
use crate::net::Outbox;
use crate::plan::{EgressPlan, IngressPlan, SessionPlan};
use crate::router::selection::Share;
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
        let key = self.sessions.key_of(&session).ok_or(ConfigureError::SessionGone)?;
        let SessionPlan { transport, ingress, egress, channels } = plan;
        let applied: Result<(), ConfigureError> =
            self.with_session(now, key, outbox, |session, setup, out| {
                Ok(session.apply_transport(transport, description, setup, now, out)?)
            });
        self.sync_ufrags(key);
        applied?;
        self.apply_ingress(now, key, ingress);
        self.apply_egress(now, key, &egress);
        self.divide(now, key, true);
        let around = &mut Around { sessions: &mut self.sessions, ledger: &mut self.ledger };
        self.channels.apply(key, channels, around);
        self.run_channels(now, outbox);
        self.sync_ready(now, key);
        self.sessions.arm(key);
        Ok(())
    }

    /// What the plan names is fed from now on; what it does not name any more is let go.
    fn apply_ingress(&mut self, now: Instant, key: SessionKey, plans: Vec<IngressPlan>) {
        let Some(slot) = self.sessions.get_mut(key) else { return };
        let before: Vec<_> = slot.publications().collect();
        let reporting = before.iter().any(|publication| {
            self.tracks.publication(*publication).is_some_and(|slot| slot.state.is_reporting())
        });
        let feeding: Vec<Option<Feeding>> = plans
            .iter()
            .map(|plan| {
                let tracks = &mut self.tracks;
                let named = (plan.publication?, plan.kind);
                let publication = tracks.publish(now, named, key, &plan.rids, &mut self.ledger);
                if reporting {
                    tracks.note_reporting(publication);
                }
                let layer = |rid: &String| tracks.layer_named(now, publication, Some(rid), &mut self.ledger);
                Some(Feeding { publication, layers: plan.rids.iter().map(layer).collect(), whole: None })
            })
            .collect();
        slot.session.set_ingress(plans);
        slot.feeding = feeding;
        let gone: Vec<_> =
            before.into_iter().filter(|key| !slot.publications().any(|fed| fed == *key)).collect();
        for publication in gone {
            self.tracks.withdraw(publication, &mut self.ledger);
        }
    }

    fn apply_egress(&mut self, now: Instant, key: SessionKey, plans: &[EgressPlan]) {
        let Some(slot) = self.sessions.get_mut(key) else { return };
        if plans.iter().any(|plan| plan.kind == MediaKind::Video) {
            slot.session.expect_video(now, plans.iter().any(EgressPlan::is_told_of));
        }
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
        let random = &mut self.sessions.setup.random;
        // Retransmissions, and the stream itself.
        let begins = (random.u16(), random.u16() & 0x7fff, random.u32());
        let Some(slot) = self.sessions.get_mut(session) else { return };
        let stream = slot.session.add_stream(plan, begins.0);
        let mut state = Subscription::new(
            plan.kind,
            plan.payload_types.clone(),
            plan.preference.clone(),
            begins.1,
            begins.2,
        );
        if slot.session.estimate(now).is_some() && plan.kind == MediaKind::Video {
            state.set_share(Share::Least);
        }
        let sink = StreamSink::new(session, stream, state, plan.payload_types.clone());
        let publication = (plan.publication, plan.kind, plan.origin);
        let subscription = self.tracks.subscribe(now, publication, sink, &mut self.ledger);
        if slot.subscriptions.len() <= stream {
            slot.subscriptions.resize(stream + 1, None);
        }
        if let Some(place) = slot.subscriptions.get_mut(stream) {
            *place = Some(subscription);
        }
        slot.waiting = true;
    }

    fn change_subscription(&mut self, now: Instant, key: SubscriptionKey, plan: &EgressPlan) {
        let Some(sink) = self.tracks.stream_mut(key) else { return };
        let session = self.sessions.get_mut(sink.session);
        let has_new_headers = session.is_some_and(|slot| slot.session.change_stream(sink.stream, plan));
        if has_new_headers {
            sink.state.begin_epoch(sink.payload_types.clone());
        }
        let terms = Terms { payload_types: plan.payload_types.clone(), preference: plan.preference.clone() };
        let publication = (plan.publication, plan.kind, plan.origin);
        self.tracks.follow(now, key, publication, terms, &mut self.ledger);
        self.tracks.look_for_layer(now, key, &mut self.ledger);
    }

    fn remove_subscription(&mut self, key: SubscriptionKey) {
        let Some(sink) = self.tracks.unsubscribe(key, &mut self.ledger) else { return };
        let Some(slot) = self.sessions.get_mut(sink.session) else { return };
        slot.session.remove_stream(sink.stream);
        if let Some(place) = slot.subscriptions.get_mut(sink.stream) {
            *place = None;
        }
    }
}
