//! Credentials for a TURN server, as the original's own TURN service gives them out.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, IntoResponses, ToSchema};

use super::super::Control;
use super::super::access::apps::unix_now;
use super::super::error::{ApiError, ErrorBody};
use super::super::turn::{IceServerBody, TTL_MAX};
use super::call::{OptionalBody, authorization, path_param};
use super::ice::IceServersResponse;

/// Life of credentials when the request does not say it, seconds.
const TTL_DEFAULT: u64 = 86_400;
/// Longest name of a client.
const CLIENT_BYTES_MAX: usize = 64;

/// Parameter of the paths of a key.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its documentation is used")]
pub(super) struct KeyPath {
    /// The key.
    #[param(rename = "keyId", pattern = "^[A-Za-z0-9_-]{1,64}$")]
    key_id: String,
}

/// Parameters of the path of one credential.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its documentation is used")]
pub(super) struct CredentialPath {
    /// The key.
    #[param(rename = "keyId", pattern = "^[A-Za-z0-9_-]{1,64}$")]
    key_id: String,
    /// The user name of the credentials.
    #[param(pattern = "^[0-9]{1,12}:[A-Za-z0-9_-]{1,64}$")]
    username: String,
}

/// Refusals of every call of a key.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its documentation is used")]
pub(super) enum KeyErrors {
    /// The body or a parameter cannot be read.
    #[response(status = 400)]
    Decoding(ErrorBody),
    /// The token of the key is missing or wrong.
    #[response(status = 401)]
    Unauthorized(ErrorBody),
    /// There is no such key.
    #[response(status = 404)]
    UnknownKey(ErrorBody),
    /// The life or the name cannot be used.
    #[response(status = 406)]
    NotAcceptable(ErrorBody),
    /// The body did not arrive in time.
    #[response(status = 408)]
    BodyTimeout(ErrorBody),
    /// The body is too large.
    #[response(status = 413)]
    TooLarge(ErrorBody),
}

/// What credentials are wanted.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CredentialsRequest {
    /// Seconds that they live; a day unless given.
    #[schema(minimum = 1, maximum = 172_800)]
    ttl: Option<u64>,
    /// Names the client in the log of the TURN server; visible characters without `:`.
    #[schema(min_length = 1, max_length = 64)]
    custom_identifier: Option<String>,
}

/// The TURN server alone, in the older form.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CredentialsResponse {
    /// The server.
    ice_servers: IceServerBody,
}

/// A call of a key with its token.
pub(super) struct KeyCall;

impl FromRequestParts<Arc<Control>> for KeyCall {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, control: &Arc<Control>) -> Result<Self, ApiError> {
        let key = path_param(parts, "keyId").await?;
        control.rules().ice.authorize(&key, authorization(parts)).map(|()| Self)
    }
}

/// The user name in a path.
pub(super) struct UserName(String);

impl FromRequestParts<Arc<Control>> for UserName {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Control>) -> Result<Self, ApiError> {
        path_param(parts, "username").await.map(Self)
    }
}

fn mint(control: &Control, request: &CredentialsRequest) -> Result<Vec<IceServerBody>, ApiError> {
    let ttl = request.ttl.unwrap_or(TTL_DEFAULT);
    if !(1..=TTL_MAX).contains(&ttl) {
        return Err(ApiError::params(format!("ttl must be from 1 to {TTL_MAX} seconds")));
    }
    let client = request.custom_identifier.as_deref();
    let usable = |name: &str| {
        let plain = name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
        (1..=CLIENT_BYTES_MAX).contains(&name.len()) && plain
    };
    if client.is_some_and(|name| !usable(name)) {
        let text = format!(
            "customIdentifier must be 1 to {CLIENT_BYTES_MAX} visible ASCII characters without a colon"
        );
        return Err(ApiError::params(text));
    }
    control.rules().ice.minted(client, ttl, unix_now())
}

const NO_STORE: [(header::HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

type Created<T> = (StatusCode, [(header::HeaderName, &'static str); 1], Json<T>);

/// Makes credentials for the TURN server, and names its addresses.
#[utoipa::path(
    post, path = "/credentials/generate-ice-servers", tag = "turn", operation_id = "generateTurnIceServers",
    params(KeyPath), security(("turnKeyToken" = [])),
    request_body(content = Option<CredentialsRequest>, content_type = "application/json"),
    responses((status = 201, description = "The servers", body = IceServersResponse), KeyErrors),
)]
pub(super) async fn generate_turn_ice_servers(
    State(control): State<Arc<Control>>,
    _key: KeyCall,
    body: OptionalBody<CredentialsRequest>,
) -> Result<Created<IceServersResponse>, ApiError> {
    let ice_servers = mint(&control, &body.value.unwrap_or_default())?;
    Ok((StatusCode::CREATED, NO_STORE, Json(IceServersResponse { ice_servers })))
}

/// The same in the older form: `iceServers` is one object.
#[utoipa::path(
    post, path = "/credentials/generate", tag = "turn", operation_id = "generateTurnCredentials",
    params(KeyPath), security(("turnKeyToken" = [])),
    request_body(content = Option<CredentialsRequest>, content_type = "application/json"),
    responses((status = 201, description = "The server", body = CredentialsResponse), KeyErrors),
)]
pub(super) async fn generate_turn_credentials(
    State(control): State<Arc<Control>>,
    _key: KeyCall,
    body: OptionalBody<CredentialsRequest>,
) -> Result<Created<CredentialsResponse>, ApiError> {
    let mut servers = mint(&control, &body.value.unwrap_or_default())?;
    let mut ice_servers = servers.pop().ok_or(ApiError::Internal)?;
    ice_servers.urls = servers.into_iter().flat_map(|stun| stun.urls).chain(ice_servers.urls).collect();
    Ok((StatusCode::CREATED, NO_STORE, Json(CredentialsResponse { ice_servers })))
}

/// Takes credentials back: possible only when their time is over.
///
/// The TURN server judges credentials by the secret that it shares with this one, and nobody keeps a list of them. So
/// those that still live are not taken back, and the answer says so.
#[utoipa::path(
    post, path = "/credentials/{username}/revoke", tag = "turn", operation_id = "revokeTurnCredentials",
    params(CredentialPath), security(("turnKeyToken" = [])),
    responses(
        (status = 204, description = "Their time is over: nobody can use them any more"),
        (status = 409, description = "They live on until their time is over", body = ErrorBody),
        KeyErrors,
    ),
)]
pub(super) async fn revoke_turn_credentials(_key: KeyCall, user: UserName) -> Result<StatusCode, ApiError> {
    let UserName(name) = user;
    let end = name.split_once(':').and_then(|(end, _)| end.parse::<u64>().ok());
    match end {
        None => Err(ApiError::params("this is no user name of credentials from here")),
        Some(end) if end < unix_now() => Ok(StatusCode::NO_CONTENT),
        Some(_) => Err(ApiError::CannotRevoke),
    }
}
