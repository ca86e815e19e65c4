//! The ICE servers for clients. The call carries no secret: partytracks sends none with it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::Control;
use super::super::error::{ApiError, ErrorBody};
use super::call::{AppPath, path_param};

/// One server.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IceServerBody {
    /// Its addresses.
    urls: Vec<String>,
    /// TURN user name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    username: Option<String>,
    /// TURN credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    credential: Option<String>,
}

/// All servers, as `RTCPeerConnection` takes them.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct IceServersResponse {
    /// The servers; none are needed to reach this one.
    ice_servers: Vec<IceServerBody>,
}

/// A call of a known application without its secret.
pub(super) struct KnownApp;

impl FromRequestParts<Arc<Control>> for KnownApp {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, control: &Arc<Control>) -> Result<Self, ApiError> {
        control.apps.find(&path_param(parts, "appId").await?).map(|()| Self)
    }
}

/// Tells clients the STUN and TURN servers to use.
#[utoipa::path(
    get, path = "/generate-ice-servers", tag = "ice", operation_id = "generateIceServers",
    params(AppPath), security(()),
    responses(
        (status = 200, description = "The servers", body = IceServersResponse),
        (status = 404, description = "No such application", body = ErrorBody),
    ),
)]
pub(super) async fn generate_ice_servers(
    State(control): State<Arc<Control>>,
    _app: KnownApp,
) -> Json<IceServersResponse> {
    let servers = control.ice_servers.iter().map(|server| IceServerBody {
        urls: server.urls.clone(),
        username: server.username.clone(),
        credential: server.credential.as_ref().map(|secret| secret.reveal().to_owned()),
    });
    Json(IceServersResponse { ice_servers: servers.collect() })
}
