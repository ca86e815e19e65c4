//! The tracks of a session, and the exchange of descriptions for them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::super::Control;
use super::super::error::ApiError;
use super::super::model::{
    ChangeTracksResponse, CloseTracksRequest, NewTracksRequest, NewTracksResponse, RenegotiateRequest,
    RenegotiateResponse, UpdateTracksRequest,
};
use super::call::{JsonBody, SessionCall, SessionPath, run};
use super::openapi::MutationErrors;

/// Publishes or receives tracks.
///
/// With an offer its sections are used and an answer comes back. Without one the server makes an offer where a
/// section is needed; it must be answered through renegotiate.
#[utoipa::path(
    post, path = "/sessions/{sessionId}/tracks/new", tag = "tracks", operation_id = "newTracks",
    params(SessionPath),
    request_body(content = NewTracksRequest, content_type = "application/json"),
    responses((status = 200, description = "One result per track", body = NewTracksResponse), MutationErrors),
)]
pub(super) async fn new_tracks(
    State(control): State<Arc<Control>>,
    call: SessionCall,
    JsonBody(request): JsonBody<NewTracksRequest>,
) -> Result<Json<NewTracksResponse>, ApiError> {
    call.access.may_use_tracks(&request.tracks, request.auto_discover == Some(true))?;
    run(async move { control.new_tracks(&call.session, request).await }).await.map(Json)
}

/// Completes the offer that the server made last, or answers one of the client's.
#[utoipa::path(
    put, path = "/sessions/{sessionId}/renegotiate", tag = "tracks", operation_id = "renegotiate",
    params(SessionPath),
    request_body(content = RenegotiateRequest, content_type = "application/json"),
    responses((status = 200, description = "The exchange is complete", body = RenegotiateResponse), MutationErrors),
)]
pub(super) async fn renegotiate(
    State(control): State<Arc<Control>>,
    call: SessionCall,
    JsonBody(request): JsonBody<RenegotiateRequest>,
) -> Result<Json<RenegotiateResponse>, ApiError> {
    run(async move { control.renegotiate(&call.session, &request.session_description).await }).await.map(Json)
}

/// Changes the layer preference or the source of received tracks, without any description.
#[utoipa::path(
    put, path = "/sessions/{sessionId}/tracks/update", tag = "tracks", operation_id = "updateTracks",
    params(SessionPath),
    request_body(content = UpdateTracksRequest, content_type = "application/json"),
    responses((status = 200, description = "One result per track", body = ChangeTracksResponse), MutationErrors),
)]
pub(super) async fn update_tracks(
    State(control): State<Arc<Control>>,
    call: SessionCall,
    JsonBody(request): JsonBody<UpdateTracksRequest>,
) -> Result<Json<ChangeTracksResponse>, ApiError> {
    call.access.may_switch_to(&request.tracks)?;
    run(async move { control.update_tracks(&call.session, &request.tracks).await }).await.map(Json)
}

/// Ends tracks, published and received, by their sections.
#[utoipa::path(
    put, path = "/sessions/{sessionId}/tracks/close", tag = "tracks", operation_id = "closeTracks",
    params(SessionPath),
    request_body(content = CloseTracksRequest, content_type = "application/json"),
    responses((status = 200, description = "One result per track", body = ChangeTracksResponse), MutationErrors),
)]
pub(super) async fn close_tracks(
    State(control): State<Arc<Control>>,
    call: SessionCall,
    JsonBody(request): JsonBody<CloseTracksRequest>,
) -> Result<Json<ChangeTracksResponse>, ApiError> {
    run(async move { control.close_tracks(&call.session, &request).await }).await.map(Json)
}
