//! What leaves for those that lag behind: packets of the cache, as if they came now.

use std::time::Instant;

use super::Shard;
use super::tracks::Drink;
use crate::drop::DropReason;
use crate::net::Outbox;
use crate::router::subscription::Forwarding;
use crate::session::egress::DATAGRAM_BYTES_MAX;

impl Shard {
    /// Gives those that are behind what is due to them, as far as the outbox has room to spare. What has no room has no number
    /// yet, and waits in the cache.
    pub(super) fn catch_up(&mut self, now: Instant, outbox: &mut Outbox, send: &mut dyn FnMut(&mut Outbox)) {
        let Self { tracks, sessions, addresses, ledger, .. } = self;
        tracks.catch_up(now, ledger, |publication, sink, entry, ledger| {
            if outbox.is_full() {
                send(outbox);
            }
            let session = sessions.get_mut(sink.session);
            let outlet = session.and_then(|slot| slot.session.outlet(sink.stream, now));
            let socket = outlet.as_ref().and_then(|one| addresses.socket_of(one.path));
            let (Some(mut outlet), Some(socket)) = (outlet, socket) else { return Drink::Never };
            let packet = &entry.cached.packet;
            if outlet.admits(1, packet.payload.len() as u64).is_err() {
                return if outlet.is_strained() { Drink::Strained } else { Drink::Later };
            }
            if !outbox.has_room_to_spare() {
                return Drink::Later;
            }
            let Some(mut place) = outbox.reserve(DATAGRAM_BYTES_MAX) else { return Drink::Later };
            let rewritten = match sink.state.rewrite(publication, entry) {
                Forwarding::Forward(rewritten) => rewritten,
                Forwarding::Skip => return Drink::Taken,
                Forwarding::Drop(reason) => {
                    ledger.drop(reason);
                    return Drink::Taken;
                }
            };
            match outlet.seal(&rewritten, packet, place.space()) {
                Some(len) => {
                    place.fill(socket, outlet.path.remote, len, packet.ecn);
                    ledger.counters.rtp_out.count(publication.kind());
                }
                None => ledger.drop(DropReason::SealFailed),
            }
            Drink::Taken
        });
    }
}
