//! The ICE servers for clients. The call carries no secret: partytracks sends none with it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::header;
use axum::http::request::Parts;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::Control;
use super::super::access::apps::unix_now;
use super::super::error::{ApiError, ErrorBody};
use super::super::turn::{IceServerBody, TTL_MAX};
use super::call::{AppPath, authorization, path_param};

/// All servers, as `RTCPeerConnection` takes them.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct IceServersResponse {
    /// The servers; none are needed to reach this one.
    pub(super) ice_servers: Vec<IceServerBody>,
}

/// A call of a known application, with or without its secret.
pub(super) struct KnownApp {
    /// Life of TURN credentials for this caller, seconds.
    ttl: u64,
}

impl FromRequestParts<Arc<Control>> for KnownApp {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, control: &Arc<Control>) -> Result<Self, ApiError> {
        let app = path_param(parts, "appId").await?;
        control.rules().apps.find(&app)?;
        let public_ttl = control.rules().ice.public_ttl();
        let is_known = || control.rules().apps.authorize(&app, authorization(parts)).is_ok();
        // A bearer is only asked for where strangers get nothing; one that does not do makes a stranger.
        let ttl = if public_ttl == 0 && is_known() { TTL_MAX / 2 } else { public_ttl };
        Ok(Self { ttl })
    }
}

/// Tells clients the STUN and TURN servers to use.
///
/// With a TURN server that shares a secret with this one, each answer carries new credentials for it.
#[utoipa::path(
    get, path = "/generate-ice-servers", tag = "ice", operation_id = "generateIceServers",
    params(AppPath), security(()),
    responses(
        (status = 200, description = "The servers", body = IceServersResponse,
         headers(("Cache-Control" = String, description = "no-store"))),
        (status = 404, description = "No such application", body = ErrorBody),
    ),
)]
pub(super) async fn generate_ice_servers(
    State(control): State<Arc<Control>>,
    app: KnownApp,
) -> Result<([(header::HeaderName, &'static str); 1], Json<IceServersResponse>), ApiError> {
    let ice_servers = control.rules().ice.all(None, app.ttl, unix_now())?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(IceServersResponse { ice_servers })))
}
