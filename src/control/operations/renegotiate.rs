//! renegotiate: the client's answer to our offer, or an offer of its own outside of tracks/new.

use std::sync::Arc;

use super::super::Control;
use super::super::error::ApiError;
use super::super::model::{DescriptionKind, RenegotiateResponse, SessionDescription};
use super::super::session::Session;
use super::super::session::draft::Draft;

impl Control {
    /// Completes our pending offer, or answers an offer (ICE restart, sections that no track names).
    pub(in super::super) async fn renegotiate(
        self: &Arc<Self>,
        session: &Arc<Session>,
        description: &SessionDescription,
    ) -> Result<RenegotiateResponse, ApiError> {
        let mut draft = Draft::begin(self, session).await?;
        let session_description = match description.kind {
            DescriptionKind::Answer => {
                draft.client_answer(&description.sdp)?;
                None
            }
            DescriptionKind::Offer => {
                draft.client_offer(&description.sdp)?;
                Some(SessionDescription::answer(draft.answer()))
            }
        };
        draft.commit().await?;
        Ok(RenegotiateResponse { session_description })
    }
}
