//! The tick's batch of each publication to its sinks, and what subscribers ask for again.

use std::time::Instant;

use super::Shard;
use super::sessions::SessionKey;
use super::tracks::PublicationKey;
use crate::drop::{DropReason, RepairRefusal};
use crate::metrics::shard::Retransmission;
use crate::net::{NOT_ECT, Outbox};
use crate::router::publication::BatchEntry;
use crate::router::subscription::Forwarding;
use crate::router::{LAYERS_MAX, LayerIndex, LayerSet};
use crate::session::Admission;
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
    /// Writes what this tick forwards into the outbox. `send` empties the outbox when it is full.
    ///
    /// Publication by publication and, within one, sink by sink: the packets of a batch for one client lie side by side in
    /// the arena and leave in one segmented send. Other shards come first: they work meanwhile.
    pub(super) fn forward(&mut self, now: Instant, outbox: &mut Outbox, send: &mut dyn FnMut(&mut Outbox)) {
        let dirty = self.tracks.take_dirty();
        for key in &dirty {
            self.forward_publication(now, *key, outbox, send);
        }
        self.tracks.end_tick(dirty);
        // Behind everybody else, who must not wait for it.
        self.catch_up(now, outbox, send);
    }

    /// Allocate, rewrite, hold or send, seal: a packet that is given a header has its place in the outbox, and leaves.
    fn forward_publication(
        &mut self,
        now: Instant,
        key: PublicationKey,
        outbox: &mut Outbox,
        send: &mut dyn FnMut(&mut Outbox),
    ) {
        let Self { tracks, sessions, addresses, ledger, .. } = self;
        tracks.open_door(now, key, ledger);
        let Some(slot) = tracks.publication(key) else { return };
        let (kind, load) = (slot.state.kind(), Load::of(slot.state.batch()));
        let (mut forwarded, mut awaited, mut is_held) = (0, LayerSet::default(), false);
        tracks.pour(key, ledger, |publication, sink, footprint, ledger| {
            let batch = publication.batch();
            let session = sessions.get_mut(sink.session).filter(|_| sink.is_open());
            let outlet = session.and_then(|slot| slot.session.outlet(sink.stream, now));
            let socket = outlet.as_ref().and_then(|one| addresses.socket_of(one.path));
            let (Some(mut outlet), Some(socket)) = (outlet, socket) else {
                if sink.is_behind() {
                    return;
                }
                return ledger.counters.drop_packets(DropReason::SubscriberNotReady, batch.len());
            };
            let admitted = match outlet.admits(batch.len(), load.of_layer(sink.state.current_layer())) {
                Ok(admitted) => admitted,
                Err(reason) => {
                    is_held |= reason == DropReason::Held;
                    return sink.turn_away(reason, batch.len(), ledger);
                }
            };
            for (position, entry) in batch.iter().enumerate() {
                if outbox.is_full() {
                    send(outbox);
                }
                let Some(mut place) = outbox.reserve(DATAGRAM_BYTES_MAX) else {
                    ledger.drop(DropReason::SendFailed);
                    continue;
                };
                let packet = &entry.cached.packet;
                let rewritten = match sink.state.rewrite(publication, entry) {
                    Forwarding::Forward(rewritten) => rewritten,
                    Forwarding::Skip => continue,
                    Forwarding::Drop(reason) => {
                        ledger.drop(reason);
                        continue;
                    }
                };
                let Some(len) = outlet.seal(&rewritten, packet, place.space()) else {
                    ledger.drop(DropReason::SealFailed);
                    continue;
                };
                place.fill(socket, outlet.path.remote, len, packet.ecn);
                forwarded += 1;
                if admitted == Admission::One {
                    let rest = batch.len() - position - 1;
                    ledger.counters.drop_packets(DropReason::ReceiverSilent, rest);
                    sink.state.hold();
                    break;
                }
            }
            if admitted == Admission::All {
                sink.state.go_on_sending();
            }
            if let Some(layer) = sink.state.stuck() {
                awaited.insert(layer);
            }
            if let Some(slot) = sessions.get(sink.session) {
                *footprint = slot.session.footprint(sink.stream);
            }
        });
        if is_held {
            tracks.hold_back(now, key);
        }
        ledger.counters.rtp_out.add(kind, forwarded);
        tracks.await_keyframes(now, key, awaited, ledger);
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
        let Self { tracks, sessions, addresses, ledger, .. } = self;
        let found = sessions.get_mut(session).and_then(|session| {
            let slot = session.subscription(stream).and_then(|key| tracks.subscription(key))?;
            Some((slot.stream()?, tracks.publication(slot.publication)?, session))
        });
        let Some((sink, publication, session)) = found else {
            return ledger.counters.retransmissions_refused.count(RepairRefusal::NotReady);
        };
        let Some((rewritten, cached)) = sink.state.resend(&publication.state, seq) else {
            return ledger.counters.retransmissions.count(Retransmission::Miss);
        };
        let rtx =
            sink.payload_types.iter().find(|map| map.to == rewritten.payload_type).and_then(|map| map.rtx);
        let path = session.session.ready();
        let to = path.and_then(|path| Some((addresses.socket_of(path)?, path.remote)));
        // Checks and handshakes of others have to find room in the same outbox.
        let place = if outbox.has_room_to_spare() { outbox.reserve(DATAGRAM_BYTES_MAX) } else { None };
        let sealed = match (to, place) {
            (None, _) => Err(RepairRefusal::NotReady),
            (_, None) => Err(RepairRefusal::NoRoom),
            (Some(to), Some(mut place)) => session
                .session
                .seal_again(stream, &rewritten, rtx, &cached.packet, now, place.space())
                .map(|len| (to, place, len)),
        };
        match sealed {
            Ok(((socket, remote), place, len)) => {
                place.fill(socket, remote, len, NOT_ECT);
                ledger.counters.retransmissions.count(Retransmission::Hit);
            }
            Err(reason) => {
                if let Some(stream) = session.session.stream_mut(stream) {
                    stream.figures_mut().retransmissions_refused += 1;
                }
                ledger.counters.retransmissions_refused.count(reason);
            }
        }
    }

    /// Sender reports of everything that a session receives, by the publishers' clocks as far as they tell them.
    pub(super) fn send_reports(&mut self, now: Instant, key: SessionKey, outbox: &mut Outbox) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        for subscription in session.subscriptions.iter().flatten() {
            let Some(slot) = self.tracks.subscription(*subscription) else { continue };
            let Some(publication) = self.tracks.publication(slot.publication) else { continue };
            let Some(sink) = slot.stream() else { continue };
            let Some(clock) = sink.state.sender_report(&publication.state, now, &self.clock) else {
                continue;
            };
            let Some(space) = outbox.space(DATAGRAM_BYTES_MAX) else { return };
            let Some((path, len)) = session.session.seal_report(sink.stream, clock, now, space) else {
                continue;
            };
            if let Some(socket) = self.addresses.socket_of(path) {
                outbox.commit(socket, path.remote, len);
            }
        }
    }
}
