//! What each call of the API does to a session. No HTTP here: values in, values or a refusal out.
//!
//! Every operation works on a [`super::session::draft::Draft`] and either commits the whole of it or nothing.

mod channels;
mod close;
mod new_session;
mod pull;
mod push;
mod renegotiate;
mod stages;
mod update;
mod watch;

use std::sync::Arc;

pub(super) use watch::{OpenedViewer, ViewerRefusal, change};

use crate::ids::SessionId;

use super::Control;
use super::error::ApiError;
use super::model::{DescriptionKind, Location, NewTracksRequest, NewTracksResponse, SessionDescription};
use super::session::Session;

impl Control {
    /// Finds a session of an application; one of another application is as unknown as none.
    pub(super) fn find_session(&self, app: &str, id: &str) -> Result<Arc<Session>, ApiError> {
        self.parse_id(id)
            .and_then(|id: SessionId| self.registry.session(id))
            .filter(|session| &*session.app == app)
            .ok_or(ApiError::SessionGone)
    }

    /// tracks/new: publishes or subscribes.
    pub(super) async fn new_tracks(
        self: &Arc<Self>,
        session: &Arc<Session>,
        request: NewTracksRequest,
    ) -> Result<NewTracksResponse, ApiError> {
        let discover = request.auto_discover == Some(true);
        if request.tracks.is_empty() && !discover {
            return Err(ApiError::params("tracks is empty and autoDiscover is not set"));
        }
        self.check_count(request.tracks.len())?;
        let offer = request.session_description.as_ref().map(expect_offer).transpose()?;
        let remote = request.tracks.iter().filter(|track| track.place() == Location::Remote).count();
        if remote == 0 {
            match offer {
                Some(sdp) => self.push(session, &request.tracks, discover, sdp).await,
                None if discover => Err(ApiError::params("autoDiscover needs an offer")),
                None => self.offer_push(session, &request.tracks).await,
            }
        } else if remote < request.tracks.len() || discover {
            Err(ApiError::params("local and remote tracks cannot be mixed in one request"))
        } else {
            self.pull(session, &request.tracks, offer).await
        }
    }

    fn check_count(&self, tracks: usize) -> Result<(), ApiError> {
        let most = self.rules().limits.tracks_per_request.size();
        if tracks > most {
            return Err(ApiError::params(format!("a request may name {most} tracks at most")));
        }
        Ok(())
    }
}

/// The text of a description that has to be an offer.
fn expect_offer(description: &SessionDescription) -> Result<&str, ApiError> {
    match description.kind {
        DescriptionKind::Offer => Ok(&description.sdp),
        DescriptionKind::Answer => {
            Err(ApiError::description("an offer is expected here, an answer belongs to renegotiate", None))
        }
    }
}
