//! The demo's presence board as a resource.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use utoipa::IntoParams;

use super::super::Control;
use super::super::access::Right;
use super::super::error::{ApiError, ErrorBody};
use super::super::registry::rooms::{Presence, Room};
use super::call::{AppCall, JsonBody, path_param};
use super::extensions::Done;
use super::openapi::AppErrors;

/// Parameters of a room's path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its documentation is used")]
pub(super) struct RoomPath {
    /// The application.
    #[param(rename = "appId", pattern = "^[A-Za-z0-9_-]{1,64}$")]
    app_id: String,
    /// The room.
    #[param(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    room: String,
}

/// Parameters of a member's path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its documentation is used")]
pub(super) struct MemberPath {
    /// The application.
    #[param(rename = "appId", pattern = "^[A-Za-z0-9_-]{1,64}$")]
    app_id: String,
    /// The room.
    #[param(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    room: String,
    /// The member.
    #[param(rename = "memberId", pattern = "^[A-Za-z0-9_-]{1,64}$")]
    member_id: String,
}

/// A call on a room.
pub(super) struct RoomCall {
    app: String,
    room: String,
}

/// A call on a member of a room.
pub(super) struct MemberCall {
    room: RoomCall,
    member: String,
}

impl FromRequestParts<Arc<Control>> for RoomCall {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, control: &Arc<Control>) -> Result<Self, ApiError> {
        let AppCall { app, access } = AppCall::from_request_parts(parts, control).await?;
        let room = path_param(parts, "room").await?;
        access.may(Right::Rooms, &room)?;
        Ok(Self { app, room })
    }
}

impl FromRequestParts<Arc<Control>> for MemberCall {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, control: &Arc<Control>) -> Result<Self, ApiError> {
        let room = RoomCall::from_request_parts(parts, control).await?;
        Ok(Self { room, member: path_param(parts, "memberId").await? })
    }
}

/// Shows who is in a room of the demo. It takes the secret, or a token with the room in its claim `rooms`.
#[utoipa::path(
    get, path = "/ext/rooms/{room}", tag = "presence", operation_id = "getRoom", params(RoomPath),
    responses((status = 200, description = "The members", body = Room), AppErrors),
)]
pub(super) async fn get_room(
    State(control): State<Arc<Control>>,
    call: RoomCall,
) -> Result<Json<Room>, ApiError> {
    control.rooms.get(&call.app, &call.room).map(Json)
}

/// Tells a room of the demo that a member is there. It disappears after 15 seconds unless this is repeated.
#[utoipa::path(
    put, path = "/ext/rooms/{room}/members/{memberId}", tag = "presence", operation_id = "putMember",
    params(MemberPath),
    request_body(content = Presence, content_type = "application/json"),
    responses(
        (status = 200, description = "The members, this one included", body = Room),
        (status = 503, description = "No room for more", body = ErrorBody),
        AppErrors,
    ),
)]
pub(super) async fn put_member(
    State(control): State<Arc<Control>>,
    call: MemberCall,
    JsonBody(presence): JsonBody<Presence>,
) -> Result<Json<Room>, ApiError> {
    let rules = control.rules();
    let apps = rules.apps.ids();
    control.rooms.put((&call.room.app, &apps), &call.room.room, &call.member, &presence).map(Json)
}

/// Takes a member off a room of the demo.
#[utoipa::path(
    delete, path = "/ext/rooms/{room}/members/{memberId}", tag = "presence", operation_id = "deleteMember",
    params(MemberPath),
    responses((status = 200, description = "It is not there any more", body = Done), AppErrors),
)]
pub(super) async fn delete_member(
    State(control): State<Arc<Control>>,
    call: MemberCall,
) -> Result<Json<Done>, ApiError> {
    control.rooms.remove(&call.room.app, &call.room.room, &call.member).map(|()| Json(Done {}))
}
