//! Data channels. They are not served: every call is answered as temporarily unavailable, item by item, so that
//! clients fall back instead of taking the session for broken.

use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::error::{ApiError, ItemError};
use super::super::model::{DataChannelResult, SessionDescription, object, objects};
use super::call::{JsonBody, SessionCall, SessionPath};
use super::openapi::SessionErrors;

const NOT_SERVED: ItemError = ItemError::Unavailable("data channels are not served by this server");

/// One data channel of a request.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DataChannelRequest {
    /// Name of the channel.
    data_channel_name: Option<String>,
}

/// Body of datachannels/establish.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "a body is checked before it is refused")]
pub(super) struct EstablishRequest {
    /// The channel; always `server-events`.
    #[serde(default, deserialize_with = "object")]
    data_channel: Option<DataChannelRequest>,
    /// The client's offer.
    #[serde(default, deserialize_with = "object")]
    session_description: Option<SessionDescription>,
}

/// Body of the other calls.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DataChannelsRequest {
    /// The channels.
    #[serde(deserialize_with = "objects")]
    data_channels: Vec<DataChannelRequest>,
}

/// Response of the calls on data channels.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DataChannelsResponse {
    /// One result per channel, in the order of the request.
    data_channels: Vec<DataChannelResult>,
    /// Why the request failed.
    error_code: String,
    /// The same for people.
    error_description: String,
}

type Refusal = (StatusCode, Json<DataChannelsResponse>);

fn refusal(channels: Vec<DataChannelRequest>) -> Refusal {
    let result = |channel: DataChannelRequest| DataChannelResult {
        data_channel_name: channel.data_channel_name,
        error_code: Some(NOT_SERVED.code().into()),
        error_description: Some(NOT_SERVED.to_string()),
    };
    let response = DataChannelsResponse {
        data_channels: channels.into_iter().map(result).collect(),
        error_code: NOT_SERVED.code().into(),
        error_description: NOT_SERVED.to_string(),
    };
    (StatusCode::SERVICE_UNAVAILABLE, Json(response))
}

/// Sets up the transport of data channels. Not served.
#[utoipa::path(
    post, path = "/sessions/{sessionId}/datachannels/establish", tag = "datachannels",
    operation_id = "establishDataChannels", params(SessionPath),
    request_body(content = EstablishRequest, content_type = "application/json"),
    responses((status = 503, description = "Not served", body = DataChannelsResponse), SessionErrors),
)]
pub(super) async fn establish(
    _call: SessionCall,
    JsonBody(_request): JsonBody<EstablishRequest>,
) -> Result<Refusal, ApiError> {
    Ok(refusal(Vec::new()))
}

/// Opens data channels. Not served.
#[utoipa::path(
    post, path = "/sessions/{sessionId}/datachannels/new", tag = "datachannels",
    operation_id = "newDataChannels", params(SessionPath),
    request_body(content = DataChannelsRequest, content_type = "application/json"),
    responses((status = 503, description = "Not served", body = DataChannelsResponse), SessionErrors),
)]
pub(super) async fn new_data_channels(
    _call: SessionCall,
    JsonBody(request): JsonBody<DataChannelsRequest>,
) -> Result<Refusal, ApiError> {
    Ok(refusal(request.data_channels))
}

/// Changes data channels. Not served.
#[utoipa::path(
    put, path = "/sessions/{sessionId}/datachannels/update", tag = "datachannels",
    operation_id = "updateDataChannels", params(SessionPath),
    request_body(content = DataChannelsRequest, content_type = "application/json"),
    responses((status = 503, description = "Not served", body = DataChannelsResponse), SessionErrors),
)]
pub(super) async fn update_data_channels(
    _call: SessionCall,
    JsonBody(request): JsonBody<DataChannelsRequest>,
) -> Result<Refusal, ApiError> {
    Ok(refusal(request.data_channels))
}

/// Closes data channels. Not served.
#[utoipa::path(
    put, path = "/sessions/{sessionId}/datachannels/close", tag = "datachannels",
    operation_id = "closeDataChannels", params(SessionPath),
    request_body(content = DataChannelsRequest, content_type = "application/json"),
    responses((status = 503, description = "Not served", body = DataChannelsResponse), SessionErrors),
)]
pub(super) async fn close_data_channels(
    _call: SessionCall,
    JsonBody(request): JsonBody<DataChannelsRequest>,
) -> Result<Refusal, ApiError> {
    Ok(refusal(request.data_channels))
}
