//! tracks/close: the end of publications and subscriptions by their sections.

use std::sync::Arc;

use super::super::Control;
use super::super::error::{ApiError, ItemError};
use super::super::model::{ChangeTracksResponse, CloseTracksRequest, SessionDescription, TrackResult};
use super::super::session::Session;
use super::super::session::draft::Draft;
use super::expect_offer;

impl Control {
    /// Ends every listed section, whatever the client's description says of it.
    pub(in super::super) async fn close_tracks(
        self: &Arc<Self>,
        session: &Arc<Session>,
        request: &CloseTracksRequest,
    ) -> Result<ChangeTracksResponse, ApiError> {
        if request.tracks.is_empty() {
            return Err(ApiError::params("tracks is empty"));
        }
        self.check_count(request.tracks.len())?;
        let offer = match (&request.session_description, request.force) {
            (_, true) => None,
            (Some(description), false) => Some(expect_offer(description)?),
            (None, false) => {
                return Err(ApiError::params(
                    "sessionDescription with an offer is needed unless force is true",
                ));
            }
        };
        let mut draft = Draft::begin(self, session).await?;
        // Looked at before the offer, which may close them too: these are the tracks that this request ends.
        let open: Vec<bool> = request
            .tracks
            .iter()
            .map(|track| draft.state.tracks.open().any(|open| open.mid == track.mid))
            .collect();
        if let Some(sdp) = offer {
            draft.client_offer(sdp)?;
        }
        let results = request.tracks.iter().zip(open).map(|(track, was_open)| {
            draft.force_close(&track.mid);
            let result = TrackResult::at(Some(&track.mid));
            if was_open { result } else { result.failed(&ItemError::Close) }
        });
        let tracks = results.collect();
        let session_description = offer.map(|_| SessionDescription::answer(draft.answer()));
        draft.commit().await?;
        Ok(ChangeTracksResponse { requires_immediate_renegotiation: false, tracks, session_description })
    }
}
