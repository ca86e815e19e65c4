//! The resource `datachannels`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::Control;
use super::super::error::ApiError;
use super::super::model::{
    CloseDataChannelsRequest, DataChannelsRequest, DataChannelsResponse, EstablishRequest, EstablishResponse,
};
use super::call::{JsonBody, SessionCall, SessionPath, run};
use super::openapi::MutationErrors;

/// Sets up the transport of data channels and its channel `server-events`.
///
/// Not needed when an earlier offer had a section for data channels. With the client's offer the answer comes back;
/// without it an offer, to be answered through renegotiate. Once per session.
#[utoipa::path(
    post, path = "/sessions/{sessionId}/datachannels/establish", tag = "datachannels",
    operation_id = "establishDataChannels", params(SessionPath),
    request_body(content = EstablishRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "The channel", body = EstablishResponse),
        MutationErrors,
    ),
)]
pub(super) async fn establish(
    State(control): State<Arc<Control>>,
    call: SessionCall,
    JsonBody(request): JsonBody<EstablishRequest>,
) -> Result<Json<EstablishResponse>, ApiError> {
    run(async move { control.establish_channels(&call.session, &request).await.map(Json) }).await
}

/// Publishes data channels, or subscribes to those of other sessions.
///
/// Each result has the `id` under which the client makes the channel with `negotiated: true` and the same delivery.
#[utoipa::path(
    post, path = "/sessions/{sessionId}/datachannels/new", tag = "datachannels",
    operation_id = "newDataChannels", params(SessionPath),
    request_body(content = DataChannelsRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "One result per channel", body = DataChannelsResponse),
        MutationErrors,
    ),
)]
pub(super) async fn new_data_channels(
    State(control): State<Arc<Control>>,
    call: SessionCall,
    JsonBody(request): JsonBody<DataChannelsRequest>,
) -> Result<Json<DataChannelsResponse>, ApiError> {
    call.access.may_use_channels(&request.data_channels)?;
    run(async move { control.new_channels(&call.session, &request.data_channels).await.map(Json) }).await
}

/// Changes who may reply to the publisher.
#[utoipa::path(
    put, path = "/sessions/{sessionId}/datachannels/update", tag = "datachannels",
    operation_id = "updateDataChannels", params(SessionPath),
    request_body(content = DataChannelsRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "One result per channel", body = DataChannelsResponse),
        MutationErrors,
    ),
)]
pub(super) async fn update_data_channels(
    State(control): State<Arc<Control>>,
    call: SessionCall,
    JsonBody(request): JsonBody<DataChannelsRequest>,
) -> Result<Json<DataChannelsResponse>, ApiError> {
    call.access.may_use_channels(&request.data_channels)?;
    run(async move { control.update_channels(&call.session, &request.data_channels).await.map(Json) }).await
}

/// Closes data channels of this session; those that it publishes end for everybody.
#[utoipa::path(
    put, path = "/sessions/{sessionId}/datachannels/close", tag = "datachannels",
    operation_id = "closeDataChannels", params(SessionPath),
    request_body(content = CloseDataChannelsRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "One result per channel", body = DataChannelsResponse),
        MutationErrors,
    ),
)]
pub(super) async fn close_data_channels(
    State(control): State<Arc<Control>>,
    call: SessionCall,
    JsonBody(request): JsonBody<CloseDataChannelsRequest>,
) -> Result<Json<DataChannelsResponse>, ApiError> {
    run(async move { control.close_channels(&call.session, &request).await.map(Json) }).await
}

/// Body and response of the call on groups.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct GroupMembership {
    /// Name of the group within the application; null or absent for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 256)]
    group: Option<String>,
}

/// Joins the data channels that this client opens in band with those of the group.
///
/// A message on such a channel goes to all sessions of the group that have opened one with the same label, whatever
/// the delivery that each has chosen. Without a group, such messages go nowhere.
#[utoipa::path(
    put, path = "/ext/sessions/{sessionId}/group", tag = "extensions", operation_id = "setGroup",
    params(SessionPath),
    request_body(content = GroupMembership, content_type = "application/json"),
    responses(
        (status = 200, description = "The group in force", body = GroupMembership),
        MutationErrors,
    ),
)]
pub(super) async fn set_group(
    State(control): State<Arc<Control>>,
    call: SessionCall,
    JsonBody(request): JsonBody<GroupMembership>,
) -> Result<Json<GroupMembership>, ApiError> {
    call.access.may_join(request.group.as_deref())?;
    run(async move {
        control.set_group(&call.session, request.group.as_deref()).await?;
        let group = call.session.group().map(|group| group.name.clone());
        Ok(Json(GroupMembership { group }))
    })
    .await
}
