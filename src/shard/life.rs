//! Beginning and end of sessions.

use std::time::Instant;

use super::Shard;
use super::channels::Around;
use super::command::{DialledSocket, EndReason, Event, ShardLimits};
use super::sessions::SessionKey;
use super::step::Unserved;
use super::tracks::PublicationSlot;
use crate::drop::DropReason;
use crate::ids::{IceCredentials, SessionId};
use crate::metrics::shard::{ESTIMATE_BOUNDS, SessionEnd};
use crate::net::Outbox;
use crate::session::{Expiry, Session, SessionError};

impl Shard {
    pub(super) fn open(
        &mut self,
        now: Instant,
        id: SessionId,
        dialled: Vec<DialledSocket>,
        credentials: Option<IceCredentials>,
    ) {
        if self.sessions.len() >= self.limits.sessions || !self.addresses.has_room(dialled.len()) {
            self.ledger.drop(DropReason::Overload);
            self.ledger.tell(Event::Ended(id, EndReason::NeverConnected));
            return;
        }
        let addresses = dialled.iter().map(|socket| socket.address).collect();
        let mut session = Session::new(id, addresses, now);
        if let Some(credentials) = credentials {
            session.expect_checks(credentials);
        }
        let key = self.sessions.insert(session);
        self.sync_ufrags(key);
        self.addresses.open(key, dialled);
        self.sessions.arm(key);
    }

    /// Timers of a session: its engines, its reports, its end.
    pub(super) fn session_due(&mut self, now: Instant, key: SessionKey, outbox: &mut Outbox) {
        let Some((session, setup)) = self.sessions.with_setup(key) else { return };
        if let Some(expiry) = session.expired(setup, now) {
            let reason = match expiry {
                Expiry::NeverConnected => EndReason::NeverConnected,
                Expiry::Silent => EndReason::TimedOut,
                Expiry::Closed => EndReason::ClosedByClient,
            };
            self.end_session(key, reason);
            return;
        }
        let mut failed = false;
        let tick: Result<bool, Unserved> = self.with_session(now, key, outbox, |session, setup, out| {
            Ok(session.handle_timeout(setup, now, out).unwrap_or_else(|_: SessionError| {
                failed = true;
                false
            }))
        });
        if failed && self.sessions.get(key).is_some_and(|slot| !slot.session.has_connected()) {
            // A handshake that cannot be finished, whatever the far end has said in it; or one that was begun for when somebody
            // answers, and gives up before its time is over.
            self.end_session(key, EndReason::NeverConnected);
        } else if failed {
            self.fail_session(key);
        } else if tick == Ok(true) {
            self.send_reports(now, key, outbox);
            self.divide(now, key, false);
            if let Some(estimate) = self.sessions.get(key).and_then(|slot| slot.session.estimate(now)) {
                self.ledger.counters.estimates.observe(&ESTIMATE_BOUNDS, estimate.target_bps as f64);
            }
        }
    }

    pub(super) fn fail_session(&mut self, key: SessionKey) {
        self.ledger.counters.session_failures += 1;
        self.end_session(key, EndReason::Failed);
    }

    fn end_session(&mut self, key: SessionKey, reason: EndReason) {
        let Some(id) = self.remove_session(key) else { return };
        self.ledger.counters.sessions_ended.count(match reason {
            EndReason::NeverConnected => SessionEnd::NeverConnected,
            EndReason::TimedOut => SessionEnd::TimedOut,
            EndReason::ClosedByClient => SessionEnd::ClosedByClient,
            EndReason::Failed => SessionEnd::Failed,
        });
        tracing::debug!(session = %id, shard = self.id.0, ?reason, "session ended");
        self.ledger.tell(Event::Ended(id, reason));
    }

    /// Ends a session by order of control, and tells its client, who would find out after seconds only.
    pub(super) fn dismiss(&mut self, key: SessionKey, now: Instant, outbox: &mut Outbox) {
        // Without keys, or with an engine that fails, there is nobody to tell.
        let _untold = self.with_session(now, key, outbox, |session, _, out| {
            session.farewell(now, out).map_err(|_| DropReason::Refused)
        });
        if self.remove_session(key).is_some() {
            self.ledger.counters.sessions_ended.count(SessionEnd::Deleted);
        }
    }

    pub(super) fn take_limits(&mut self, limits: ShardLimits) {
        self.sessions.setup.never_connected = limits.never_connected;
        self.sessions.setup.disconnected = limits.disconnected;
        self.tracks.set_idle_after(limits.publication_idle);
        self.limits = limits;
        // One that waits for its first connection may have to end sooner than it was to wake.
        self.sessions.keys().into_iter().for_each(|key| self.sessions.arm(key));
    }

    fn remove_session(&mut self, key: SessionKey) -> Option<SessionId> {
        let slot = self.sessions.remove(key)?;
        let session = &slot.session;
        self.addresses.release_all(key, session.paths(), &slot.ufrags, session.dialled());
        self.ledger.counters.channels -= slot.channels.len() as u64;
        let around = &mut Around { sessions: &mut self.sessions, ledger: &mut self.ledger };
        for (stream, of) in &slot.channels {
            self.channels.release((key, *stream), of, around);
        }
        for subscription in slot.subscriptions.iter().flatten() {
            self.tracks.unsubscribe(*subscription, &mut self.ledger);
        }
        for publication in slot.publications() {
            // Its name will not return.
            if let Some(id) = self.tracks.publication(publication).map(PublicationSlot::id) {
                self.tracks.listen(id, false);
            }
            self.tracks.withdraw(publication, &mut self.ledger);
        }
        Some(session.id())
    }
}
