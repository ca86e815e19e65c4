//! WebSocket adapters. They are not served; a 404 would read as a wrong application, so each item says so.

use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::error::{ApiError, ItemError};
use super::super::model::objects;
use super::call::{AppPath, JsonBody, SecretCall};
use super::openapi::AppErrors;

const NOT_SERVED: ItemError = ItemError::Unavailable("adapters are not served by this server");

/// One track of an adapter request.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AdapterRequest {
    /// Name of the track.
    track_name: Option<String>,
    /// The adapter.
    adapter_id: Option<String>,
}

/// Body of adapters/websocket/new and close.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct AdaptersRequest {
    /// The tracks.
    #[serde(deserialize_with = "objects")]
    #[schema(min_items = 1, max_items = 4)]
    tracks: Vec<AdapterRequest>,
}

/// One result of an adapter request.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AdapterResult {
    /// Name of the track.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    track_name: Option<String>,
    /// The adapter.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    adapter_id: Option<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error_code: Option<String>,
    /// The same for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error_description: Option<String>,
}

/// Response of the adapter calls.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AdaptersResponse {
    /// One result per track, in the order of the request.
    tracks: Vec<AdapterResult>,
}

fn check(request: &AdaptersRequest) -> Result<(), ApiError> {
    match request.tracks.len() {
        1..=4 => Ok(()),
        _ => Err(ApiError::params("tracks must have 1 to 4 entries")),
    }
}

/// Connects tracks to WebSocket endpoints. Not served.
#[utoipa::path(
    post, path = "/adapters/websocket/new", tag = "adapters", operation_id = "newAdapters",
    params(AppPath),
    request_body(content = AdaptersRequest, content_type = "application/json"),
    responses((status = 503, description = "Not served", body = AdaptersResponse), AppErrors),
)]
pub(super) async fn new_adapters(
    _call: SecretCall,
    JsonBody(request): JsonBody<AdaptersRequest>,
) -> Result<(StatusCode, Json<AdaptersResponse>), ApiError> {
    check(&request)?;
    let result = |track: AdapterRequest| AdapterResult {
        track_name: track.track_name,
        error_code: Some(NOT_SERVED.code().into()),
        error_description: Some(NOT_SERVED.to_string()),
        ..AdapterResult::default()
    };
    let tracks = request.tracks.into_iter().map(result).collect();
    Ok((StatusCode::SERVICE_UNAVAILABLE, Json(AdaptersResponse { tracks })))
}

/// Ends adapters. There are none, and to end an absent one is no error.
#[utoipa::path(
    post, path = "/adapters/websocket/close", tag = "adapters", operation_id = "closeAdapters",
    params(AppPath),
    request_body(content = AdaptersRequest, content_type = "application/json"),
    responses((status = 200, description = "One result per adapter", body = AdaptersResponse), AppErrors),
)]
pub(super) async fn close_adapters(
    _call: SecretCall,
    JsonBody(request): JsonBody<AdaptersRequest>,
) -> Result<Json<AdaptersResponse>, ApiError> {
    check(&request)?;
    let result =
        |track: AdapterRequest| AdapterResult { adapter_id: track.adapter_id, ..AdapterResult::default() };
    Ok(Json(AdaptersResponse { tracks: request.tracks.into_iter().map(result).collect() }))
}
