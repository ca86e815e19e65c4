//! From a session or a lane into a publication; and what subscribers ask of it.

use std::time::{Duration, Instant};

use super::command::Event;
use super::mailbox::PeerMessage;
use super::publications::{Feed, Feeding, PublicationKey, PublicationSlot, SubscriptionKey};
use super::sessions::SessionKey;
use super::timers::TimerOf;
use super::{Shard, Unserved};
use crate::drop::DropReason;
use crate::ids::PublicationId;
use crate::metrics::shard::{KeyframeOutcome, Reported};
use crate::net::Outbox;
use crate::router::LayerIndex;
use crate::router::keyframe::KeyframeDemand;
use crate::router::publication::PushOutcome;
use crate::rtp::{Codec, Packet};
use crate::session::{Feedback, IngressPacket};

/// How often the layers of a simulcast publication are looked over for its subscribers.
const LAYER_REVIEW: Duration = Duration::from_millis(250);

impl Shard {
    /// Hands a packet of a session to its publication.
    pub(super) fn ingest(&mut self, now: Instant, session: SessionKey, packet: IngressPacket) {
        let Some(slot) = self.sessions.get(session) else { return };
        let Some(section) = slot.session.ingress().get(packet.section) else { return };
        let plan = section.plan();
        let Some(key) = plan.publication.and_then(|id| self.by_publication.get(&id)).copied() else {
            return self.counters.drop(DropReason::Unpublished);
        };
        let Some(publication) = self.publications.get_mut(key) else { return };
        let rid = packet.layer.and_then(|layer| plan.rids.get(layer)).map(String::as_str);
        let Some(layer) = publication.state.layer_index(rid) else {
            return self.counters.drop(DropReason::UnknownStream);
        };
        let feed = Feed { ssrc: packet.ssrc, clock_rate: packet.clock_rate };
        match publication.take_feed(layer, feed, now) {
            Feeding::Present => {}
            Feeding::Former => return self.counters.drop(DropReason::FormerSource),
            Feeding::New => {
                publication.state.reset_source(layer);
                for shard in &publication.attached {
                    self.mailbox.send(*shard, layer_message(publication, layer, true));
                }
            }
        }
        self.counters.rtp_in.count(publication.state.kind());
        self.push(now, key, layer, packet.codec, packet.packet);
    }

    fn push(&mut self, now: Instant, key: PublicationKey, layer: LayerIndex, codec: Codec, packet: Packet) {
        let Some(slot) = self.publications.get_mut(key) else { return };
        let outcome = slot.state.push(layer, codec, packet, now);
        // Padding that came too late to close its gap goes out as an empty packet.
        if !slot.dirty && !slot.state.batch().is_empty() {
            slot.dirty = true;
            self.dirty.push(key);
        }
        match outcome {
            PushOutcome::Stored { first } => {
                if !slot.live && slot.owner.is_some() {
                    slot.live = true;
                    slot.idle = false;
                    self.events.push_back(Event::PublicationLive(slot.id));
                    self.arm_publication(key, now);
                }
                if first {
                    self.review_layers(now, key);
                }
            }
            PushOutcome::Padding => self.counters.drop(DropReason::PaddingOnly),
            PushOutcome::Duplicate | PushOutcome::TooOld => self.counters.drop(DropReason::Repeated),
        }
    }

    /// Takes a message of another shard.
    pub(super) fn handle_message(&mut self, now: Instant, message: PeerMessage) {
        match message {
            PeerMessage::Attach { publication, kind, from } => {
                let key = self.publication(now, publication, kind, self.id);
                let Some(slot) = self.publications.get_mut(key) else { return };
                if !slot.attached.contains(&from) {
                    slot.attached.push(from);
                }
                for (layer, _) in slot.state.layers(now) {
                    self.mailbox.send(from, layer_message(slot, layer, false));
                }
                if slot.state.is_reporting() {
                    self.mailbox.send(from, PeerMessage::Reporting { publication });
                }
            }
            PeerMessage::Detach { publication, from } => {
                let Some(key) = self.by_publication.get(&publication).copied() else { return };
                if let Some(slot) = self.publications.get_mut(key) {
                    slot.attached.retain(|shard| *shard != from);
                }
                self.collect_publication(key);
            }
            PeerMessage::KeyframeWanted { publication, layer } => {
                if let Some(key) = self.by_publication.get(&publication).copied() {
                    self.demand_keyframe(now, key, layer);
                }
            }
            PeerMessage::Layer { publication, layer, rid, reset } => {
                let Some(slot) = self.replica(publication) else { return };
                slot.state.layer_index(rid.as_deref());
                if reset {
                    slot.state.reset_source(layer);
                }
            }
            PeerMessage::SenderReport { publication, layer, ntp, rtp, clock_rate } => {
                let Some(slot) = self.replica(publication) else { return };
                slot.state.sender_report(layer, ntp, rtp, clock_rate, now);
            }
            PeerMessage::Reporting { publication } => {
                let Some(slot) = self.replica(publication) else { return };
                slot.state.set_reporting();
            }
            PeerMessage::Address(message) => {
                if let Some((source, session)) = self.addresses.take(message) {
                    self.take_path(source, session);
                }
            }
            PeerMessage::Media { publication, layer, codec, packet } => {
                self.counters.lane_in += 1;
                let Some(key) = self.by_publication.get(&publication).copied() else { return };
                self.push(now, key, layer, codec, packet);
            }
            PeerMessage::Channel { hub, what } => self.channel_message(hub, what),
        }
    }

    fn replica(&mut self, id: PublicationId) -> Option<&mut PublicationSlot> {
        let key = *self.by_publication.get(&id)?;
        self.publications.get_mut(key)
    }

    /// Takes what RTCP of a session said.
    pub(super) fn handle_feedback(
        &mut self,
        now: Instant,
        session: SessionKey,
        feedback: Feedback,
        outbox: &mut Outbox,
    ) {
        match feedback {
            Feedback::Nack { stream, seq } => self.resend(now, session, stream, seq, outbox),
            Feedback::Keyframe { stream } => {
                let Some(slot) = self.sessions.get_mut(session) else { return };
                if let Some(stream) = slot.session.stream_mut(stream) {
                    stream.figures_mut().keyframe_requests += 1;
                }
                let Some(subscription) = self.subscription_of(session, stream) else { return };
                let Some(slot) = self.subscriptions.get(subscription) else { return };
                let layer = slot.state.wanted_keyframe().or_else(|| slot.state.current_layer());
                let publication = slot.publication;
                if let Some(layer) = layer {
                    self.demand_keyframe(now, publication, layer);
                }
            }
            Feedback::SenderReport { ssrc, ntp, rtp } => self.take_clock(now, session, ssrc, ntp, rtp),
            Feedback::Reception { round_trip, fraction_lost } => {
                self.counters.reported(round_trip, fraction_lost);
            }
            Feedback::Transport(told) => {
                let told_of = &mut self.counters.told;
                told_of.add(Reported::Arrived, told.arrived.into());
                told_of.add(Reported::Lost, told.lost.into());
                told_of.add(Reported::Late, told.late.into());
                told_of.add(Reported::Unknown, told.unknown.into());
            }
        }
    }

    /// The publisher's clock reaches every replica.
    fn take_clock(&mut self, now: Instant, session: SessionKey, ssrc: u32, ntp: u64, rtp: u32) {
        for index in 0.. {
            let Some(slot) = self.sessions.get(session) else { return };
            let Some(key) = slot.publications.get(index).copied() else { break };
            self.note_reporting(key);
        }
        let Some(slot) = self.sessions.get(session) else { return };
        for key in &slot.publications {
            let Some(publication) = self.publications.get_mut(*key) else { continue };
            let position = publication
                .feeds
                .iter()
                .position(|feed| feed.present().is_some_and(|feed| feed.ssrc == ssrc));
            let Some(layer) = position.and_then(LayerIndex::at) else { continue };
            let Some(Feed { clock_rate, .. }) = publication.feed(layer) else { continue };
            publication.state.sender_report(layer, ntp, rtp, clock_rate, now);
            for shard in &publication.attached {
                let publication = publication.id;
                let message = PeerMessage::SenderReport { publication, layer, ntp, rtp, clock_rate };
                self.mailbox.send(*shard, message);
            }
        }
    }

    /// Notes that the publisher sends reports, here and on all shards that have a replica.
    pub(super) fn note_reporting(&mut self, key: PublicationKey) {
        let Some(slot) = self.publications.get_mut(key).filter(|slot| !slot.state.is_reporting()) else {
            return;
        };
        slot.state.set_reporting();
        for shard in &slot.attached {
            self.mailbox.send(*shard, PeerMessage::Reporting { publication: slot.id });
        }
    }

    pub(super) fn subscription_of(&self, session: SessionKey, stream: usize) -> Option<SubscriptionKey> {
        self.sessions.get(session)?.subscriptions.get(stream).copied().flatten()
    }

    /// Wants a keyframe of a layer: asked for now, or merged into a request that is under way.
    pub(super) fn demand_keyframe(&mut self, now: Instant, key: PublicationKey, layer: LayerIndex) {
        let Some(slot) = self.publications.get_mut(key) else { return };
        match slot.state.demand_keyframe(layer, now) {
            KeyframeDemand::Send => self.keyframes_due.push((key, layer)),
            KeyframeDemand::Merged => self.counters.keyframe_requests.count(KeyframeOutcome::Merged),
        }
        self.arm_publication(key, now);
    }

    /// Sends the keyframe requests of this tick to their publishers, or towards them.
    pub(super) fn send_keyframe_requests(&mut self, now: Instant, outbox: &mut Outbox) {
        while let Some((key, layer)) = self.keyframes_due.pop() {
            let Some(slot) = self.publications.get(key) else { continue };
            self.counters.keyframe_requests.count(KeyframeOutcome::Sent);
            if slot.origin != self.id {
                let message = PeerMessage::KeyframeWanted { publication: slot.id, layer };
                self.mailbox.send(slot.origin, message);
            } else if let (Some(owner), Some(feed)) = (slot.owner, slot.feed(layer)) {
                let _gone: Result<(), Unserved> =
                    self.with_session(now, owner, outbox, |session, setup, out| {
                        session.request_keyframe(feed.ssrc, setup, now, out);
                        Ok(())
                    });
                self.arm_session(owner);
            }
        }
    }

    /// New SRTP keys: every stream of the session starts its index again, and none goes on before the client
    /// can be reached.
    pub(super) fn rekeyed(&mut self, now: Instant, key: SessionKey) {
        self.counters.handshakes += 1;
        // The transport that gave way takes its credentials with it.
        self.sync_ufrags(key);
        let Some(slot) = self.sessions.get_mut(key) else { return };
        slot.waiting = true;
        for subscription in slot.subscriptions.iter().flatten() {
            if let Some(slot) = self.subscriptions.get_mut(*subscription) {
                slot.state.rebase();
                slot.ready = false;
            }
        }
        tracing::debug!(session = %slot.session.id(), age = ?now.duration_since(slot.session.created()), "keys");
        self.events.push_back(Event::Connected(slot.session.id()));
    }

    /// Lets waiting subscriptions of a session begin once the client can be reached.
    pub(super) fn sync_ready(&mut self, now: Instant, key: SessionKey) {
        let Some(slot) = self.sessions.get_mut(key).filter(|slot| slot.waiting) else { return };
        if slot.session.ready().is_none() {
            return;
        }
        slot.waiting = false;
        for subscription in slot.subscriptions.clone().into_iter().flatten() {
            let Some(slot) = self.subscriptions.get_mut(subscription).filter(|slot| !slot.ready) else {
                continue;
            };
            slot.ready = true;
            let (publication, current) = (slot.publication, slot.state.current_layer());
            self.look_for_layer(now, subscription);
            // One that goes on under new keys has lost packets on the way.
            if let Some(layer) = current {
                self.demand_keyframe(now, publication, layer);
            }
        }
    }

    /// Chooses the layer of one subscription anew and asks for the keyframe that the choice needs.
    pub(super) fn look_for_layer(&mut self, now: Instant, key: SubscriptionKey) {
        let Some(slot) = self.subscriptions.get_mut(key) else { return };
        let Some(publication) = self.publications.get(slot.publication) else { return };
        slot.state.choose_layer(&publication.state, now);
        if let Some(layer) = slot.state.wanted_keyframe().filter(|_| slot.ready) {
            let publication = slot.publication;
            self.demand_keyframe(now, publication, layer);
        }
    }

    fn review_layers(&mut self, now: Instant, key: PublicationKey) {
        let Some(slot) = self.publications.get(key) else { return };
        for subscription in slot.subscribers.clone() {
            self.look_for_layer(now, subscription);
        }
    }

    /// Timers of a publication: keyframes that did not come, layers that come and go, silence.
    pub(super) fn publication_due(&mut self, now: Instant, key: PublicationKey) {
        let idle_after = self.limits.publication_idle;
        let Some(slot) = self.publications.get_mut(key) else { return };
        slot.state.expire(now);
        for layer in slot.state.poll_keyframes(now) {
            self.keyframes_due.push((key, layer));
        }
        if slot.bound && !slot.idle && now >= slot.silent_from() + idle_after {
            slot.idle = true;
            slot.live = false;
            self.events.push_back(Event::PublicationIdle(slot.id));
        }
        if slot.state.layers(now).count() > 1 {
            self.review_layers(now, key);
        }
    }

    pub(super) fn arm_publication(&mut self, key: PublicationKey, now: Instant) {
        let idle_after = self.limits.publication_idle;
        let Some(slot) = self.publications.get_mut(key) else { return };
        let silence = (slot.bound && !slot.idle).then(|| slot.silent_from() + idle_after);
        let review =
            (slot.state.layers(now).count() > 1 && !slot.subscribers.is_empty()).then(|| now + LAYER_REVIEW);
        let deadlines = [slot.state.next_keyframe_deadline(), silence, review];
        if let Some(at) = deadlines.into_iter().flatten().min() {
            self.timers.arm(&mut slot.armed, TimerOf::Publication(key), at);
        }
    }
}

fn layer_message(slot: &PublicationSlot, layer: LayerIndex, reset: bool) -> PeerMessage {
    let rid = slot.state.layer_name(layer).map(str::to_owned);
    PeerMessage::Layer { publication: slot.id, layer, rid, reset }
}
