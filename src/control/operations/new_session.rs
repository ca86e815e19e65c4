//! sessions/new, and the end of a session by request.

use std::sync::Arc;

use crate::negotiation::Negotiation;
use crate::shard::command::Command;

use super::super::Control;
use super::super::access::Owner;
use super::super::draft::Draft;
use super::super::error::ApiError;
use super::super::model::{NewSessionResponse, SessionDescription};
use super::super::session::Session;
use super::expect_offer;

/// Characters of the session id that name it inside descriptions.
const LABEL_CHARS: usize = 16;

impl Control {
    /// Makes a session on the least loaded shard; answers the offer if there is one. Its tracks stay unpublished.
    pub(in super::super) async fn new_session(
        self: &Arc<Self>,
        app: &str,
        owner: Option<Owner>,
        offer: Option<SessionDescription>,
    ) -> Result<NewSessionResponse, ApiError> {
        if self.draining.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(ApiError::Overloaded);
        }
        let offer = offer.as_ref().map(expect_offer).transpose()?;
        let shard = self.placement.assign().ok_or(ApiError::Overloaded)?;
        let id = self.keys.mint_session(shard);
        let label: String = id.to_string().chars().take(LABEL_CHARS).collect();
        let local = self.link(shard).map(|link| Arc::clone(&link.local));
        let negotiation = local.map(|local| Negotiation::new(label, local, self.keys.mint_ice(shard)));
        let session = negotiation.map(|negotiation| Session::new(id, app, owner, shard, negotiation));
        let session = match session {
            Ok(session) if self.registry.add_session(&session, self.limits.sessions.size()) => session,
            Ok(_) | Err(_) => {
                self.placement.released(shard);
                return Err(ApiError::Overloaded);
            }
        };
        let opened = self.open(&session, offer).await;
        if opened.is_err() {
            self.end_session(id);
        }
        Ok(NewSessionResponse { session_id: id.to_string(), session_description: opened? })
    }

    async fn open(
        self: &Arc<Self>,
        session: &Arc<Session>,
        offer: Option<&str>,
    ) -> Result<Option<SessionDescription>, ApiError> {
        let Some(sdp) = offer else {
            self.send(session.shard, Command::Open { session: session.id }).await?;
            return Ok(None);
        };
        let mut draft = Draft::begin(self, session).await?;
        // The offer is judged first: a bad one then never reaches the shard.
        draft.client_offer(sdp)?;
        let answer = draft.answer();
        self.send(session.shard, Command::Open { session: session.id }).await?;
        if let Err(error) = draft.commit().await {
            self.close_session(session).await;
            return Err(error);
        }
        Ok(Some(SessionDescription::answer(answer)))
    }

    /// Ends a session by request.
    pub(in super::super) async fn close_session(&self, session: &Session) {
        self.end_session(session.id);
        let (shard, mut tries) = (session.shard, 3);
        while tries > 0 && self.send(shard, Command::Close { session: session.id }).await.is_err() {
            tries -= 1;
        }
    }
}
