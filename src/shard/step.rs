//! One step of one session, and what follows from it.

use std::time::Instant;

use super::Shard;
use super::channels::Around;
use super::command::{ConfigureError, Event};
use super::sessions::SessionKey;
use super::tracks::Feed;
use crate::drop::DropReason;
use crate::metrics::shard::{KeyframeOutcome, Reported};
use crate::net::Outbox;
use crate::session::fence::fenced;
use crate::session::{Feedback, IngressPacket, Path, Session, SessionError, SessionOutput, SessionSetup};

/// Rounds in one turn in which what one data channel led to is carried out for others.
const CHANNEL_ROUNDS_MAX: usize = 8;

impl Shard {
    /// Runs one step of one session, then carries out what followed from it. A panic inside ends that session
    /// and no other.
    pub(super) fn with_session<R, E: From<Unserved>>(
        &mut self,
        now: Instant,
        key: SessionKey,
        outbox: &mut Outbox,
        step: impl FnOnce(&mut Session, &mut SessionSetup, &mut SessionOutput) -> Result<R, E>,
    ) -> Result<R, E> {
        let Some((session, setup)) = self.sessions.with_setup(key) else {
            return Err(Unserved::Gone.into());
        };
        let mut output = std::mem::take(&mut self.output);
        output.clear();
        let result = match fenced(|| step(session, setup, &mut output)) {
            Some(result) => {
                self.absorb(now, key, &mut output, outbox);
                result
            }
            None => {
                self.fail_session(key);
                Err(Unserved::Broken.into())
            }
        };
        self.output = output;
        result
    }

    /// Carries out what followed from one step of a session.
    fn absorb(&mut self, now: Instant, key: SessionKey, output: &mut SessionOutput, outbox: &mut Outbox) {
        for (path, range) in &output.transmits {
            let contents = output.bytes.get(range.clone()).unwrap_or_default();
            self.transmit(*path, contents, outbox);
        }
        for reason in &output.dropped {
            self.ledger.drop(*reason);
        }
        for path in &output.paths_removed {
            self.addresses.release(*path, key);
        }
        if output.rekeyed {
            self.rekeyed(now, key);
        }
        for packet in output.packets.drain(..) {
            self.ingest(now, key, packet);
        }
        for feedback in output.feedback.drain(..) {
            self.handle_feedback(now, key, feedback, outbox);
        }
        for event in output.channels.drain(..) {
            let around = &mut Around { sessions: &mut self.sessions, ledger: &mut self.ledger };
            self.channels.event(key, event, around);
        }
        self.sync_ready(now, key);
    }

    fn transmit(&mut self, path: Path, contents: &[u8], outbox: &mut Outbox) {
        let Some(socket) = self.addresses.socket_of(path) else { return };
        match outbox.space(contents.len()).and_then(|space| space.get_mut(..contents.len())) {
            Some(space) => {
                space.copy_from_slice(contents);
                outbox.commit(socket, path.remote, contents.len());
            }
            None => self.ledger.drop(DropReason::SendFailed),
        }
    }

    /// Hands a packet of a session to its publication.
    fn ingest(&mut self, now: Instant, session: SessionKey, packet: IngressPacket) {
        let feeding =
            self.sessions.get_mut(session).and_then(|slot| slot.feeding.get_mut(packet.section)?.as_mut());
        let Some(feeding) = feeding else { return self.ledger.drop(DropReason::Unpublished) };
        let publication = feeding.publication;
        let layer = match packet.layer {
            Some(position) => feeding.layers.get(position).copied().flatten(),
            None => {
                if feeding.whole.is_none() {
                    feeding.whole = self.tracks.layer_named(now, publication, None, &mut self.ledger);
                }
                feeding.whole
            }
        };
        let Some(layer) = layer else { return self.ledger.drop(DropReason::UnknownStream) };
        let feed = Feed { ssrc: packet.ssrc, clock_rate: packet.clock_rate };
        let (to, contents) = ((publication, layer), (packet.codec, packet.packet));
        self.tracks.ingest(now, to, feed, contents, &mut self.ledger);
    }

    /// Takes what RTCP of a session said.
    fn handle_feedback(
        &mut self,
        now: Instant,
        session: SessionKey,
        feedback: Feedback,
        outbox: &mut Outbox,
    ) {
        match feedback {
            Feedback::Nack { stream, seq } => self.resend(now, session, stream, seq, outbox),
            Feedback::Keyframe { stream } => {
                let slot = self.sessions.get(session);
                if let Some(subscription) = slot.and_then(|slot| slot.subscription(stream)) {
                    self.tracks.keyframe_missed(now, subscription, &mut self.ledger);
                }
            }
            Feedback::SenderReport { ssrc, ntp, rtp } => {
                if let Some(slot) = self.sessions.get(session) {
                    self.tracks.take_clock(now, slot.publications(), ssrc, (ntp, rtp));
                }
            }
            Feedback::Reception { round_trip, fraction_lost } => {
                self.ledger.counters.reported(round_trip, fraction_lost);
                self.divide(now, session, false);
            }
            Feedback::Ceiling => self.divide(now, session, false),
            Feedback::Refused(reason, packets) => {
                self.ledger.counters.retransmissions_refused.add(reason, packets);
            }
            Feedback::KeyframesRefused(wishes) => {
                self.ledger.counters.keyframe_requests.add(KeyframeOutcome::Refused, wishes);
            }
            Feedback::Transport(told) => {
                let told_of = &mut self.ledger.counters.told;
                told_of.add(Reported::Arrived, told.arrived.into());
                told_of.add(Reported::Lost, told.lost.into());
                told_of.add(Reported::Late, told.late.into());
                told_of.add(Reported::Unknown, told.unknown.into());
                self.divide(now, session, false);
            }
        }
    }

    /// New SRTP keys: every stream of the session starts its index again, and none goes on before the client
    /// can be reached.
    fn rekeyed(&mut self, now: Instant, key: SessionKey) {
        self.ledger.counters.handshakes += 1;
        // The transport that gave way takes its credentials with it.
        self.sync_ufrags(key);
        let Some(slot) = self.sessions.get_mut(key) else { return };
        slot.waiting = true;
        for subscription in slot.subscriptions.iter().flatten() {
            self.tracks.close(*subscription);
            if let Some(stream) = self.tracks.stream_mut(*subscription) {
                stream.state.rebase();
            }
        }
        tracing::debug!(session = %slot.session.id(), age = ?now.duration_since(slot.session.created()), "keys");
        self.ledger.tell(Event::Connected(slot.session.id()));
    }

    /// Lets waiting subscriptions of a session begin once the client can be reached.
    pub(super) fn sync_ready(&mut self, now: Instant, key: SessionKey) {
        let Some(slot) = self.sessions.get_mut(key).filter(|slot| slot.waiting) else { return };
        if slot.session.ready().is_none() {
            return;
        }
        slot.waiting = false;
        for subscription in slot.subscriptions.iter().flatten() {
            self.tracks.begin(now, *subscription, &mut self.ledger);
        }
    }

    /// Makes a session known under its present credentials and no others.
    pub(super) fn sync_ufrags(&mut self, key: SessionKey) {
        let Some(slot) = self.sessions.get_mut(key) else { return };
        let present: Vec<String> = slot.session.credentials().map(|own| own.ufrag.clone()).collect();
        self.addresses.name(key, &slot.ufrags, &present);
        slot.ufrags = present;
    }

    /// Asks the publishers of this shard for the keyframes that this turn wants, and tells other shards of theirs.
    pub(super) fn request_keyframes(&mut self, now: Instant, outbox: &mut Outbox) {
        while let Some(request) = self.tracks.poll_keyframe(&mut self.ledger) {
            let _gone: Result<(), Unserved> =
                self.with_session(now, request.session, outbox, |session, setup, out| {
                    session.request_keyframe(request.ssrc, setup, now, out);
                    Ok(())
                });
            self.sessions.arm(request.session);
        }
    }

    /// Lets the data channels of all sessions run that have something to do.
    pub(super) fn run_channels(&mut self, now: Instant, outbox: &mut Outbox) {
        for _ in 0..CHANNEL_ROUNDS_MAX {
            let dirty = self.channels.take_dirty(&mut self.sessions);
            if dirty.is_empty() {
                return;
            }
            for key in dirty {
                let ran: Result<bool, Unserved> =
                    self.with_session(now, key, outbox, |session, setup, out| {
                        Ok(session.run_channels(setup, now, out).is_ok())
                    });
                if ran == Ok(false) {
                    self.fail_session(key);
                } else {
                    self.sessions.arm(key);
                }
            }
        }
    }
}

/// Why a step of a session was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unserved {
    /// There is no such session.
    Gone,
    /// Its engine has panicked, which was its end.
    Broken,
}

impl From<Unserved> for DropReason {
    fn from(why: Unserved) -> Self {
        match why {
            Unserved::Gone => Self::UnknownSource,
            Unserved::Broken => Self::Refused,
        }
    }
}

impl From<Unserved> for ConfigureError {
    fn from(why: Unserved) -> Self {
        match why {
            Unserved::Gone => Self::SessionGone,
            Unserved::Broken => Self::Failed,
        }
    }
}

impl From<SessionError> for ConfigureError {
    fn from(error: SessionError) -> Self {
        Self::Refused(error.to_string())
    }
}
