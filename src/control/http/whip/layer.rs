//! The layer extension of WHEP (draft-murillo-whep-02 4.6.2): a viewer chooses a simulcast layer, or leaves the choice.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::super::Control;
use super::super::super::model::{LayerOrder, Simulcast, TrackRequest};
use super::super::super::session::Session;
use super::super::call::run;
use super::problem::Problem;
use super::request::{Call, text};

/// Which layer of which section; without a layer the choice is the server's.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Selection {
    /// Mid of the section; absent for that of the video.
    media_id: Option<String>,
    /// The layer by its rid.
    encoding_id: Option<String>,
}

/// Chooses a layer.
pub(super) async fn post(
    State(control): State<Arc<Control>>,
    call: Call,
    request: Request,
) -> Result<Response, Problem> {
    let session = call.session(&control)?;
    let text = text(request, &control).await?;
    let selection: Selection = serde_json::from_str(&text)
        .map_err(|error| Problem::bad_request(format!("the body is no selection of a layer: {error}")))?;
    select(&control, session, selection).await
}

/// Leaves the choice to the server.
pub(super) async fn delete(State(control): State<Arc<Control>>, call: Call) -> Result<Response, Problem> {
    let session = call.session(&control)?;
    select(&control, session, Selection::default()).await
}

async fn select(
    control: &Arc<Control>,
    session: Arc<Session>,
    Selection { media_id, encoding_id }: Selection,
) -> Result<Response, Problem> {
    let encoding_id = encoding_id.filter(|rid| !rid.is_empty());
    let mid = media_id.or_else(|| session.video_section());
    let mid = mid.ok_or_else(|| Problem::conflict("this viewer receives no video yet"))?;
    let present = session.subscription(&mid);
    let present = present.ok_or_else(|| Problem::conflict("nothing is received in this section yet"))?;
    let rids = present.source.media().map(|media| media.rids.clone()).unwrap_or_default();
    if encoding_id.as_ref().is_some_and(|rid| !rids.contains(rid)) {
        return Err(Problem::unprocessable(format!(
            "the stream has no such layer; it has {}",
            if rids.is_empty() { "none".to_owned() } else { rids.join(", ") }
        )));
    }
    if rids.is_empty() {
        return Ok(StatusCode::OK.into_response());
    }
    let simulcast = encoding_id.map(|rid| Simulcast {
        preferred_rid: Some(rid),
        priority_ordering: None,
        // A publisher that sends fewer layers for a while shall not leave the viewer without any.
        rid_not_available: Some(LayerOrder::Asciibetical),
    });
    let track = TrackRequest { mid: Some(mid), simulcast, ..TrackRequest::default() };
    let node = Arc::clone(control);
    let changed = run(async move { node.update_tracks(&session, &[track]).await }).await?;
    match changed.tracks.into_iter().find_map(|track| track.error_description) {
        Some(error) => Err(Problem::unprocessable(error)),
        None => Ok(StatusCode::OK.into_response()),
    }
}
