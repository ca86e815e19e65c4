//! The tick's batch of each publication to its subscribers, and what subscribers ask for again.

use std::time::Instant;

use super::Shard;
use super::mailbox::PeerMessage;
use super::publications::PublicationKey;
use super::sessions::SessionKey;
use crate::drop::DropReason;
use crate::metrics::shard::Retransmission;
use crate::net::{NOT_ECT, Outbox};
use crate::router::publication::BatchEntry;
use crate::router::subscription::Forwarding;
use crate::router::{LAYERS_MAX, LayerIndex, LayerSet};
use crate::session::egress::DATAGRAM_BYTES_MAX;

/// Bytes of a batch, by layer.
struct Load([u64; LAYERS_MAX]);

impl Load {
    fn of(batch: &[BatchEntry]) -> Self {
        let mut load = Self([0; LAYERS_MAX]);
        for entry in batch {
            if let Some(bytes) = load.0.get_mut(entry.layer.position()) {
                *bytes += entry.cached.packet.payload.len() as u64;
            }
        }
        load
    }

    /// Bytes for one who gets this layer.
    fn of_layer(&self, layer: Option<LayerIndex>) -> u64 {
        layer.and_then(|layer| self.0.get(layer.position()).copied()).unwrap_or_default()
    }
}

impl Shard {
    /// Writes everything that this tick forwards into the outbox. `send` empties the outbox when it is full.
    ///
    /// Publication by publication and, within one, subscriber by subscriber: the packets of a batch for one
    /// client lie side by side in the arena and leave in one segmented send.
    pub fn flush(&mut self, now: Instant, outbox: &mut Outbox, send: &mut dyn FnMut(&mut Outbox)) {
        self.send_keyframe_requests(now, outbox);
        self.run_channels(now, outbox);
        let mut dirty = std::mem::take(&mut self.dirty);
        for key in dirty.drain(..) {
            self.cross(now, key);
            self.forward(now, key, outbox, send);
            if let Some(slot) = self.publications.get_mut(key) {
                slot.state.clear_batch();
                slot.dirty = false;
            }
        }
        self.dirty = dirty;
        self.send_keyframe_requests(now, outbox);
        self.tell_addresses();
    }

    /// Tells other shards what they should know of addresses on a shared port.
    fn tell_addresses(&mut self) {
        while let Some((to, message)) = self.addresses.poll_notice() {
            self.mailbox.send(to, PeerMessage::Address(message));
        }
    }

    /// One copy of each packet for every shard that has subscribers.
    fn cross(&mut self, now: Instant, key: PublicationKey) {
        let Some(slot) = self.publications.get(key) else { return };
        for shard in &slot.attached {
            for entry in slot.state.batch() {
                let codec = slot.state.layer_view(entry.layer, now).and_then(|view| view.codec);
                let Some(codec) = codec else { continue };
                let message = PeerMessage::Media {
                    publication: slot.id,
                    layer: entry.layer,
                    codec,
                    packet: entry.cached.packet.clone(),
                };
                if self.mailbox.send_media(*shard, message) {
                    self.counters.lane_out += 1;
                } else {
                    self.counters.drop(DropReason::LaneFull);
                }
            }
        }
    }

    /// Allocate, rewrite, hold or send, seal: a packet that is given a header has its place in the outbox, and leaves.
    fn forward(
        &mut self,
        now: Instant,
        key: PublicationKey,
        outbox: &mut Outbox,
        send: &mut dyn FnMut(&mut Outbox),
    ) {
        let Some(publication) = self.publications.get(key) else { return };
        let kind = publication.state.kind();
        let (batch, load) = (publication.state.batch(), Load::of(publication.state.batch()));
        let (mut forwarded, mut awaited) = (0, LayerSet::default());
        for subscription in &publication.subscribers {
            let Some(slot) = self.subscriptions.get_mut(*subscription) else { continue };
            let session = self.sessions.get_mut(slot.session).filter(|_| slot.ready);
            let outlet = session.and_then(|session| session.session.outlet(slot.stream, now));
            let socket = outlet.as_ref().and_then(|one| self.addresses.socket_of(one.path));
            let (Some(mut outlet), Some(socket)) = (outlet, socket) else {
                self.counters.drop_packets(DropReason::SubscriberNotReady, batch.len());
                continue;
            };
            if !outlet.admits(load.of_layer(slot.state.current_layer())) {
                self.counters.drop_packets(DropReason::Held, batch.len());
                continue;
            }
            for entry in batch {
                if outbox.is_full() {
                    send(outbox);
                }
                let Some(mut place) = outbox.reserve(DATAGRAM_BYTES_MAX) else {
                    self.counters.drop(DropReason::SendFailed);
                    continue;
                };
                let packet = &entry.cached.packet;
                let rewritten = match slot.state.rewrite(&publication.state, entry) {
                    Forwarding::Forward(rewritten) => rewritten,
                    Forwarding::Skip => continue,
                    Forwarding::Drop(reason) => {
                        self.counters.drop(reason);
                        continue;
                    }
                };
                let Some(len) = outlet.seal(&rewritten, packet, place.space()) else {
                    self.counters.drop(DropReason::SealFailed);
                    continue;
                };
                place.fill(socket, outlet.path.remote, len, packet.ecn);
                forwarded += 1;
            }
            if let Some(layer) = slot.state.stuck() {
                awaited.insert(layer);
            }
        }
        self.counters.rtp_out.add(kind, forwarded);
        self.await_keyframes(now, key, awaited);
    }

    /// Asks for the keyframes without which subscriptions cannot go on, unless they are on their way: whatever they wait
    /// for, and since when.
    fn await_keyframes(&mut self, now: Instant, key: PublicationKey, awaited: LayerSet) {
        for layer in awaited {
            if self.publications.get(key).is_some_and(|slot| !slot.state.awaits_keyframe(layer)) {
                self.demand_keyframe(now, key, layer);
            }
        }
    }

    /// Sends a packet again that a client misses: from the publication's cache, never from the publisher.
    pub(super) fn resend(
        &mut self,
        now: Instant,
        session: SessionKey,
        stream: usize,
        seq: u16,
        outbox: &mut Outbox,
    ) {
        let Some(key) = self.subscription_of(session, stream) else { return };
        let Some(slot) = self.subscriptions.get(key) else { return };
        let Some(publication) = self.publications.get(slot.publication) else { return };
        let Some(session) = self.sessions.get_mut(session) else { return };
        if let Some(stream) = session.session.stream_mut(stream) {
            stream.figures_mut().nacks += 1;
        }
        let Some((rewritten, cached)) = slot.state.resend(&publication.state, seq) else {
            return self.counters.retransmissions.count(Retransmission::Miss);
        };
        let rtx =
            slot.payload_types.iter().find(|map| map.to == rewritten.payload_type).and_then(|map| map.rtx);
        let path = session.session.ready();
        let to = path.and_then(|path| Some((self.addresses.socket_of(path)?, path.remote)));
        let Some((socket, remote)) = to else { return self.counters.drop(DropReason::SubscriberNotReady) };
        let Some(mut place) = outbox.reserve(DATAGRAM_BYTES_MAX) else {
            return self.counters.drop(DropReason::SendFailed);
        };
        let sealed = session.session.seal_again(stream, &rewritten, rtx, &cached.packet, now, place.space());
        let Some(len) = sealed else { return self.counters.drop(DropReason::SealFailed) };
        place.fill(socket, remote, len, NOT_ECT);
        self.counters.retransmissions.count(Retransmission::Hit);
    }

    /// Sender reports of everything that a session receives, by the publishers' clocks as far as they tell them.
    pub(super) fn send_reports(&mut self, now: Instant, key: SessionKey, outbox: &mut Outbox) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        for subscription in session.subscriptions.iter().flatten() {
            let Some(slot) = self.subscriptions.get(*subscription) else { continue };
            let Some(publication) = self.publications.get(slot.publication) else { continue };
            let Some(clock) = slot.state.sender_report(&publication.state, now, &self.clock) else {
                continue;
            };
            let Some(space) = outbox.space(DATAGRAM_BYTES_MAX) else { return };
            let Some((path, len)) = session.session.seal_report(slot.stream, clock, now, space) else {
                continue;
            };
            if let Some(socket) = self.addresses.socket_of(path) {
                outbox.commit(socket, path.remote, len);
            }
        }
    }
}
