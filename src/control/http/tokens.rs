//! Making scoped tokens by request, for backends without a library for them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::Control;
use super::super::access::NAME_BYTES_MAX;
use super::super::apps::unix_now;
use super::super::error::ApiError;
use super::super::token::{Claims, Scope, Seconds};
use super::call::{AppPath, JsonBody, SecretCall};
use super::openapi::AppErrors;

/// Life of a token when the request does not say it, seconds.
const TTL_DEFAULT: u64 = 3_600;

/// What a token is to hold. A name may end with `*`: then it stands for all names that begin so.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
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
    JsonBody(request): JsonBody<TokenRequest>,
) -> Result<(StatusCode, [(header::HeaderName, &'static str); 1], Json<TokenResponse>), ApiError> {
    let (ttl, most) = (request.ttl.unwrap_or(TTL_DEFAULT), control.apps.lifetime());
    if !(1..=most).contains(&ttl) {
        return Err(ApiError::params(format!(
            "ttl must be from 1 to {most} seconds (tokens.max_lifetime_seconds)"
        )));
    }
    let named =
        |name: &Option<String>| name.as_ref().is_none_or(|name| (1..=NAME_BYTES_MAX).contains(&name.len()));
    let scope = Scope {
        publish: request.publish,
        subscribe: request.subscribe,
        publish_data: request.publish_data,
        subscribe_data: request.subscribe_data,
        whip: request.whip,
        whep: request.whep,
    };
    if !named(&request.sub) || !named(&request.session) || scope.patterns().is_none() {
        return Err(ApiError::params("names must have 1 to 512 bytes, and there may be 64 of each kind"));
    }
    let claims = Claims::new(&call.app, request.sub, request.session, scope, unix_now(), ttl)?;
    let Seconds(expires_at) = claims.exp;
    let token = control.apps.sign(&call.app, &claims)?;
    Ok((
        StatusCode::CREATED,
        [(header::CACHE_CONTROL, "no-store")],
        Json(TokenResponse { token, expires_at }),
    ))
}
