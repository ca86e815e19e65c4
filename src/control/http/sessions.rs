//! The resource `sessions`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use utoipa::IntoParams;

use crate::negotiation::Caller;

use super::super::Control;
use super::super::error::{ApiError, ErrorBody};
use super::super::model::{NewSessionRequest, NewSessionResponse, SessionState};
use super::super::registry::places::Account;
use super::super::session::Origin;
use super::call::{AppCall, AppPath, OptionalBody, SessionCall, SessionPath, run, user_agent};
use super::openapi::{AppErrors, SessionErrors};

/// Parameters of sessions/new.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its documentation is used")]
pub(super) struct NewSessionQuery {
    /// Whether the far end is another server that waits to be called (`true`): the session then makes the connection,
    /// as a full ICE agent with ports of its own. Needs the secret. Anything else is ignored.
    #[param(required = false)]
    thirdparty: Option<String>,
    /// A label of the caller for this session: it stands in the log and in `ext/sessions`.
    #[param(required = false, rename = "correlationId")]
    correlation_id: Option<String>,
}

/// Makes a session.
///
/// Without a body no transport exists yet; the first exchange creates it.
#[utoipa::path(
    post, path = "/sessions/new", tag = "sessions", operation_id = "newSession",
    params(AppPath, NewSessionQuery),
    request_body(content = Option<NewSessionRequest>, content_type = "application/json"),
    responses(
        (status = 201, description = "The session", body = NewSessionResponse),
        (status = 429, description = "The app, or the owner of the token, has as many sessions as it may have: cause and remedy",
         body = String, content_type = "text/plain", headers(("Retry-After" = u16, description = "Seconds"))),
        (status = 500, description = "A mistake of the server", body = String, content_type = "text/plain"),
        (status = 503, description = "No room for another session: cause and remedy", body = String,
         content_type = "text/plain", headers(("Retry-After" = u16, description = "Seconds"))),
        AppErrors,
    ),
)]
pub(super) async fn new_session(
    State(control): State<Arc<Control>>,
    call: AppCall,
    uri: Uri,
    headers: HeaderMap,
    body: OptionalBody<NewSessionRequest>,
) -> Result<(StatusCode, Json<NewSessionResponse>), ApiError> {
    let query = Query::<BTreeMap<String, String>>::try_from_uri(&uri);
    let query = query.map(|Query(query)| query).unwrap_or_default();
    let is_call = query.get("thirdparty").is_some_and(|value| value == "true");
    let caller = if is_call { Caller::Us } else { Caller::Client };
    if is_call && control.rules().limits.thirdparty_sessions.size() == 0 {
        return Err(ApiError::params(
            "thirdparty sessions are switched off (limits.thirdparty_sessions is 0)",
        ));
    }
    if body.is_empty_object && control.http.strict_session_body {
        return Err(ApiError::Decoding("the body must hold a sessionDescription, or be empty".into()));
    }
    call.access.may_open()?;
    if is_call {
        // Whoever may have us call others may have us call anybody.
        call.access.expect_secret()?;
    }
    let offer = body.value.and_then(|request| request.session_description);
    let origin = Origin {
        subject: call.access.subject().and_then(Origin::kept),
        correlation: query.get("correlationId").and_then(|label| Origin::kept(label)),
        user_agent: user_agent(&headers),
    };
    let (app, subject, correlation) = (call.app.clone(), origin.subject.clone(), origin.correlation.clone());
    let owner = call.access.owner();
    let account = owner.clone().map_or(Account::App, Account::Owner);
    let response =
        run(async move { control.new_session(&call.app, owner, (account, origin), caller, offer).await })
            .await?;
    tracing::info!(
        session = response.session_id,
        app,
        subject = subject.as_deref(),
        correlation = correlation.as_deref(),
        "session opened"
    );
    Ok((StatusCode::CREATED, Json(response)))
}

/// Shows the tracks and data channels of a session.
#[utoipa::path(
    get, path = "/sessions/{sessionId}", tag = "sessions", operation_id = "getSession",
    params(SessionPath),
    responses(
        (status = 200, description = "The state of the session", body = SessionState),
        (status = 503, description = "Not now", body = ErrorBody),
        SessionErrors,
    ),
)]
pub(super) async fn get_session(call: SessionCall) -> Result<Json<SessionState>, ApiError> {
    let tracks = call.session.track_states().ok_or(ApiError::SessionGone)?;
    let data_channels = call.session.channel_states().ok_or(ApiError::SessionGone)?;
    Ok(Json(SessionState { tracks, data_channels }))
}
