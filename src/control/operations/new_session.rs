//! sessions/new, and the end of a session by control.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::negotiation::{Caller, LocalTransport, Negotiation};
use crate::shard::command::{Command, DialledSocket};

use super::super::Control;
use super::super::access::Owner;
use super::super::error::ApiError;
use super::super::model::{NewSessionResponse, SessionDescription};
use super::super::registry::places::{Account, Place};
use super::super::session::draft::Draft;
use super::super::session::{Origin, Session};
use super::expect_offer;

/// Characters of the session id that name it inside descriptions.
const LABEL_CHARS: usize = 16;

impl Control {
    /// Makes a session on the least loaded shard; answers the offer if there is one. Its tracks stay unpublished.
    pub(in super::super) async fn new_session(
        self: &Arc<Self>,
        app: &str,
        owner: Option<Owner>,
        (account, origin): (Account, Origin),
        caller: Caller,
        offer: Option<SessionDescription>,
    ) -> Result<NewSessionResponse, ApiError> {
        if self.draining.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(ApiError::Overloaded);
        }
        let offer = offer.as_ref().map(expect_offer).transpose()?;
        let place = self.place(app, account)?;
        let call = (caller == Caller::Us).then(|| self.call_out()).transpose()?;
        let shard = self.placement.assign().ok_or(ApiError::Overloaded)?;
        let id = self.keys.mint_session(shard);
        let label: String = id.to_string().chars().take(LABEL_CHARS).collect();
        let local = self.link(shard).map(|link| Arc::clone(&link.local));
        let credentials = self.keys.mint_ice(shard);
        // They stand in an offer of ours, which the client checks by while its answer is on the way.
        let expected = (caller == Caller::Client && offer.is_none()).then(|| credentials.clone());
        let (negotiation, sockets, permit) = match (local, call) {
            (Err(error), _) => {
                self.placement.released(shard);
                return Err(error);
            }
            (Ok(local), None) => (Negotiation::new(label, local, credentials), Vec::new(), None),
            (Ok(local), Some(Call { addresses, sockets, permit })) => {
                let local = Arc::new(LocalTransport::new(&local.fingerprint, &addresses));
                (Negotiation::new(label, local, credentials).calling(), sockets, Some(permit))
            }
        };
        let session = Session::new(id, app, owner, origin, shard, negotiation, (place, permit));
        self.registry.add_session(&session);
        let open = Command::Open { session: id, dialled: sockets, credentials: expected };
        let opened = self.open(&session, open, offer).await;
        if opened.is_err() {
            self.end_session(id, Self::NOT_OPENED);
        }
        Ok(NewSessionResponse { session_id: id.to_string(), session_description: opened? })
    }

    /// Takes a place for a session, or tells and counts which bound keeps it out.
    fn place(&self, app: &str, account: Account) -> Result<Place, ApiError> {
        let rules = self.rules();
        let taken = self.places.take(app, account, &rules.limits, &rules.apps.ids());
        taken.map_err(|bound| {
            self.metrics.session_refused(bound);
            ApiError::Full(bound)
        })
    }

    /// Takes sockets for a session that calls another server.
    fn call_out(&self) -> Result<Call, ApiError> {
        let permit = Arc::clone(&self.calls).try_acquire_owned().map_err(|_full| ApiError::Overloaded)?;
        if self.calls() > self.rules().limits.thirdparty_sessions.size() {
            return Err(ApiError::Overloaded);
        }
        let dialled = self.dialler.dial().map_err(|error| {
            tracing::warn!(%error, "a session that calls out gets no sockets");
            ApiError::Overloaded
        })?;
        let (sockets, addresses) = dialled.into_iter().unzip();
        Ok(Call { addresses, sockets, permit })
    }

    async fn open(
        self: &Arc<Self>,
        session: &Arc<Session>,
        open: Command,
        offer: Option<&str>,
    ) -> Result<Option<SessionDescription>, ApiError> {
        let Some(sdp) = offer else {
            self.send(session.shard, open).await?;
            return Ok(None);
        };
        let mut draft = Draft::begin(self, session).await?;
        // The offer is judged first: a bad one then never reaches the shard.
        draft.client_offer(sdp)?;
        let answer = draft.answer();
        self.send(session.shard, open).await?;
        if let Err(error) = draft.commit().await {
            self.close_session(session, Self::NOT_OPENED).await;
            return Err(error);
        }
        Ok(Some(SessionDescription::answer(answer)))
    }

    /// Ends a session on both sides; its client is told.
    pub(in super::super) async fn close_session(&self, session: &Session, reason: &'static str) {
        self.end_session(session.id, reason);
        let (shard, mut tries) = (session.shard, 3);
        while tries > 0 && self.send(shard, Command::Close { session: session.id }).await.is_err() {
            tries -= 1;
        }
    }
}

/// What a session that calls out is made with.
struct Call {
    /// As the other side sees them.
    addresses: Vec<SocketAddr>,
    sockets: Vec<DialledSocket>,
    permit: OwnedSemaphorePermit,
}
