//! Making scoped tokens by request, for backends without a library for them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::super::Control;
use super::super::access::apps::unix_now;
use super::super::access::token::{Scope, Seconds};
use super::super::access::wish::{Wish, refuse_unknown};
use super::super::error::ApiError;
use super::call::{AppPath, JsonBody, SecretCall};
use super::openapi::AppErrors;

/// Life of a token when the request does not say it, seconds.
const TTL_DEFAULT: u64 = 3_600;

/// The members of a request.
const MEMBERS: [&str; 10] = [
    "ttl",
    "sub",
    "session",
    "publish",
    "subscribe",
    "publishData",
    "subscribeData",
    "whip",
    "whep",
    "rooms",
];

/// What a token is to hold. A name may end with `*`: then it stands for all names that begin so. A member that is not
/// known here is refused.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TokenRequest {
    /// Seconds that it lives; an hour unless given.
    #[schema(minimum = 1, maximum = 2_592_000)]
    ttl: Option<u64>,
    /// Whose token it is: tokens of one `sub` share the sessions that they make. Without it, this token stands alone.
    #[schema(min_length = 1, max_length = 512)]
    sub: Option<String>,
    /// The only session that it may touch.
    #[schema(min_length = 1, max_length = 512)]
    session: Option<String>,
    /// Tracks to publish.
    #[serde(default)]
    #[schema(max_items = 64)]
    publish: Vec<String>,
    /// Tracks to receive.
    #[serde(default)]
    #[schema(max_items = 64)]
    subscribe: Vec<String>,
    /// Data channels to send on.
    #[serde(default)]
    #[schema(max_items = 64)]
    publish_data: Vec<String>,
    /// Data channels to receive.
    #[serde(default)]
    #[schema(max_items = 64)]
    subscribe_data: Vec<String>,
    /// Streams to send by WHIP.
    #[serde(default)]
    #[schema(max_items = 64)]
    whip: Vec<String>,
    /// Streams to play by WHEP.
    #[serde(default)]
    #[schema(max_items = 64)]
    whep: Vec<String>,
    /// Rooms of the presence board to be in.
    #[serde(default)]
    #[schema(max_items = 64)]
    rooms: Vec<String>,
}

/// A token.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TokenResponse {
    /// The token itself.
    token: String,
    /// End of its time, seconds since 1970.
    expires_at: u64,
}

/// Makes a token that a browser may hold in place of the secret.
#[utoipa::path(
    post, path = "/ext/tokens", tag = "extensions", operation_id = "newToken", params(AppPath),
    request_body(content = TokenRequest, content_type = "application/json"),
    responses((status = 201, description = "The token", body = TokenResponse), AppErrors),
)]
pub(super) async fn new_token(
    State(control): State<Arc<Control>>,
    call: SecretCall,
    JsonBody(members): JsonBody<Map<String, Value>>,
) -> Result<(StatusCode, [(header::HeaderName, &'static str); 1], Json<TokenResponse>), ApiError> {
    refuse_unknown(members.keys(), &MEMBERS)?;
    let request: TokenRequest = serde_json::from_value(Value::Object(members))
        .map_err(|error| ApiError::Decoding(format!("the body cannot be used: {error}")))?;
    let scope = Scope {
        publish: request.publish,
        subscribe: request.subscribe,
        publish_data: request.publish_data,
        subscribe_data: request.subscribe_data,
        whip: request.whip,
        whep: request.whep,
        rooms: request.rooms,
    };
    let ttl = request.ttl.unwrap_or(TTL_DEFAULT);
    let wish = Wish { subject: request.sub, session: request.session, scope, ttl };
    let claims = wish.claims(&call.app, unix_now(), control.rules().apps.lifetime())?;
    let Seconds(expires_at) = claims.exp;
    let token = control.rules().apps.sign(&call.app, &claims)?;
    Ok((
        StatusCode::CREATED,
        [(header::CACHE_CONTROL, "no-store")],
        Json(TokenResponse { token, expires_at }),
    ))
}
