//! The tick's batch of each publication to its subscribers, and what subscribers ask for again.

use std::time::Instant;

use super::Shard;
use super::mailbox::PeerMessage;
use super::publications::PublicationKey;
use super::sessions::SessionKey;
use crate::drop::DropReason;
use crate::net::Outbox;
use crate::router::subscription::{Forwarding, Rewritten};
use crate::rtp::MediaKind;
use crate::session::Outgoing;
use crate::session::egress::DATAGRAM_BYTES_MAX;

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
            self.forward(key, outbox, send);
            if let Some(slot) = self.publications.get_mut(key) {
                slot.state.clear_batch();
                slot.dirty = false;
            }
        }
        self.dirty = dirty;
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

    fn forward(&mut self, key: PublicationKey, outbox: &mut Outbox, send: &mut dyn FnMut(&mut Outbox)) {
        let Some(publication) = self.publications.get(key) else { return };
        let kind = usize::from(publication.state.kind() == MediaKind::Video);
        let mut forwarded = 0;
        for subscription in &publication.subscribers {
            let Some(slot) = self.subscriptions.get_mut(*subscription) else { continue };
            let session = self.sessions.get_mut(slot.session).filter(|_| slot.ready);
            let outlet = session.and_then(|session| session.session.outlet(slot.stream));
            let Some(mut outlet) = outlet else {
                let packets = publication.state.batch().iter();
                packets.for_each(|_| self.counters.drop(DropReason::SubscriberNotReady));
                continue;
            };
            let Some(socket) = self.addresses.socket_of(outlet.path) else { continue };
            for entry in publication.state.batch() {
                let rewritten = match slot.state.rewrite(&publication.state, entry) {
                    Forwarding::Forward(rewritten) => rewritten,
                    Forwarding::Skip => continue,
                    Forwarding::Drop(reason) => {
                        self.counters.drop(reason);
                        continue;
                    }
                };
                if outbox.is_full() {
                    send(outbox);
                }
                let space = outbox.space(DATAGRAM_BYTES_MAX);
                let sealed =
                    space.and_then(|space| outlet.seal(&outgoing(&rewritten), &entry.cached.packet, space));
                let Some(len) = sealed else {
                    self.counters.drop(DropReason::SendFailed);
                    continue;
                };
                outbox.commit_marked(socket, outlet.path.remote, len, entry.cached.packet.ecn);
                forwarded += 1;
            }
        }
        if let Some(count) = self.counters.rtp_out.get_mut(kind) {
            *count += forwarded;
        }
    }

    /// Sends a packet again that a client misses: from the publication's cache, never from the publisher.
    pub(super) fn resend(&mut self, session: SessionKey, stream: usize, seq: u16, outbox: &mut Outbox) {
        let Some(key) = self.subscription_of(session, stream) else { return };
        let Some(slot) = self.subscriptions.get(key) else { return };
        let Some(publication) = self.publications.get(slot.publication) else { return };
        let Some(session) = self.sessions.get_mut(session) else { return };
        if let Some(stream) = session.session.stream_mut(stream) {
            stream.figures_mut().nacks += 1;
        }
        let Some((rewritten, cached)) = slot.state.resend(&publication.state, seq) else {
            self.counters.retransmissions[1] += 1;
            return;
        };
        let rtx =
            slot.payload_types.iter().find(|map| map.to == rewritten.payload_type).and_then(|map| map.rtx);
        let sealed = outbox.space(DATAGRAM_BYTES_MAX).and_then(|space| {
            session.session.seal_again(stream, &outgoing(&rewritten), rtx, &cached.packet, space)
        });
        let Some((path, len)) = sealed else { return };
        let Some(socket) = self.addresses.socket_of(path) else { return };
        outbox.commit(socket, path.remote, len);
        self.counters.retransmissions[0] += 1;
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

fn outgoing(rewritten: &Rewritten) -> Outgoing {
    Outgoing {
        index: rewritten.index,
        timestamp: rewritten.timestamp,
        payload_type: rewritten.payload_type,
        marker: rewritten.marker,
        edit: rewritten.edit,
        frame_number: rewritten.frame_number,
    }
}
