//! What is sent to clients to learn what their paths carry, besides media.
//!
//! Retransmissions of what was sent last, which repair as well, where one of the right size is there; else packets of padding on
//! the retransmission stream. Nothing of it goes on the stream of the media, whose decoder would miss its numbers.

use std::time::{Duration, Instant};

use super::Shard;
use super::sessions::SessionKey;
use crate::metrics::shard::Wake;
use crate::net::{NOT_ECT, Outbox};
use crate::rtp::Rewritten;
use crate::session::Padding;
use crate::session::egress::DATAGRAM_BYTES_MAX;

/// Most packets for one client in one go.
const PACKETS_MAX: usize = 64;

/// How old a packet may be that is sent once more for this.
const AGE_MAX: Duration = Duration::from_secs(1);

/// Those whose paths are being probed. Bound: one entry for each session.
#[derive(Debug)]
pub(super) struct Probing {
    sessions: Vec<SessionKey>,
    due: Option<Instant>,
}

impl Default for Probing {
    /// Has room for as many as are probed at a time on most days: probes begin while reports are read.
    fn default() -> Self {
        Self { sessions: Vec::with_capacity(64), due: None }
    }
}

impl Probing {
    /// When the next packets are due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }
}

impl Shard {
    /// Begins a probe of a client's path, if one is called for.
    pub(super) fn probe(&mut self, now: Instant, key: SessionKey) {
        let Some(slot) = self.sessions.get_mut(key).filter(|slot| !slot.is_probing) else { return };
        if !slot.session.begin_probe(now) {
            return;
        }
        slot.is_probing = true;
        self.ledger.counters.probes += 1;
        self.probing.sessions.push(key);
        self.probing.due = Some(now);
    }

    /// Sends what probes lack, behind media.
    pub(super) fn pad(&mut self, now: Instant, outbox: &mut Outbox, send: &mut dyn FnMut(&mut Outbox)) {
        if self.probing.due.is_none_or(|due| now < due) {
            return;
        }
        self.ledger.counters.wakes.count(Wake::Probe);
        let mut sessions = std::mem::take(&mut self.probing.sessions);
        let mut next: Option<Duration> = None;
        sessions.retain(|key| {
            if outbox.is_full() {
                send(outbox);
            }
            let wait = self.pad_one(now, *key, outbox);
            next = next.into_iter().chain(wait).min();
            if let Some(slot) = self.sessions.get_mut(*key) {
                slot.is_probing = wait.is_some();
            }
            wait.is_some()
        });
        self.probing = Probing { sessions, due: next.map(|next| now + next) };
    }

    /// Sends what the probe of one client lacks. Returns when there is more to do.
    fn pad_one(&mut self, now: Instant, key: SessionKey, outbox: &mut Outbox) -> Option<Duration> {
        for back in 0..PACKETS_MAX {
            let slot = self.sessions.get_mut(key)?;
            match slot.session.padding(now) {
                Padding::Over => return None,
                Padding::After(wait) => return Some(wait),
                Padding::Send(size) if outbox.has_room_to_spare() => {
                    self.send_padding(now, key, (size, back), outbox)?;
                }
                Padding::Send(_) => break,
            }
        }
        Some(Duration::from_millis(1))
    }

    /// Sends one packet of about such a size: of those that were sent, the one so far back, or padding.
    fn send_padding(
        &mut self,
        now: Instant,
        key: SessionKey,
        (size, back): (usize, usize),
        outbox: &mut Outbox,
    ) -> Option<()> {
        let Self { tracks, sessions, addresses, ledger, .. } = self;
        let slot = sessions.get_mut(key)?;
        let socket = addresses.socket_of(slot.session.ready()?)?;
        let taking = slot.subscriptions.iter().flatten().find_map(|key| {
            let subscription = tracks.subscription(*key)?;
            let sink = subscription.stream().filter(|sink| slot.session.takes_padding(sink.stream))?;
            Some((sink, tracks.publication(subscription.publication)?))
        });
        let (sink, publication) = taking?;
        let rtx = |to: Option<u8>| {
            let mut maps = sink.payload_types.iter();
            maps.find(|map| to.is_none_or(|to| map.to == to) && map.rtx.is_some()).and_then(|map| map.rtx)
        };
        let again = sink
            .state
            .recent(&publication.state, back)
            .filter(|(_, cached)| now.saturating_duration_since(cached.packet.received_at) <= AGE_MAX);
        let again = again.and_then(|(rewritten, cached)| {
            Some((rewritten, &cached.packet, rtx(Some(rewritten.payload_type))?))
        });
        let payload_type = again.as_ref().map(|(.., rtx)| *rtx).or_else(|| rtx(None))?;
        let again = again.map(|(rewritten, packet, _): (Rewritten, _, _)| (rewritten, packet));
        let mut place = outbox.reserve(DATAGRAM_BYTES_MAX)?;
        let (path, len) =
            slot.session.seal_probe(sink.stream, (size, payload_type), again, now, place.space())?;
        place.fill(socket, path.remote, len, NOT_ECT);
        ledger.counters.probe_packets += 1;
        Some(())
    }
}
