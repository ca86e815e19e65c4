//! What a handler is given: an authorised application, a session, a body. Each is checked in this order, and
//! each refusal is JSON.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::super::Control;
use super::super::access::Access;
use super::super::error::ApiError;
use super::super::session::{Origin, Session};

/// A call of an application with a secret of it, or with a token.
pub(super) struct AppCall {
    pub(super) app: String,
    pub(super) access: Access,
}

/// A call of an application with a secret of it: what no token may do.
pub(super) struct SecretCall {
    pub(super) app: String,
}

/// A call on a live session that the caller may touch, within the session's request budget.
pub(super) struct SessionCall {
    pub(super) session: Arc<Session>,
    pub(super) access: Access,
}

/// Parameter of every path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its documentation is used")]
pub(super) struct AppPath {
    /// The application.
    #[param(rename = "appId", pattern = "^[A-Za-z0-9_-]{1,64}$")]
    app_id: String,
}

/// Parameters of the paths of a session.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its documentation is used")]
pub(super) struct SessionPath {
    /// The application.
    #[param(rename = "appId", pattern = "^[A-Za-z0-9_-]{1,64}$")]
    app_id: String,
    /// The session.
    #[param(rename = "sessionId", pattern = "^[0-9a-f]{32}$")]
    session_id: String,
}

/// One parameter of the path of a request.
pub(super) async fn path_param(parts: &mut Parts, name: &str) -> Result<String, ApiError> {
    let params = RawPathParams::from_request_parts(parts, &()).await;
    let params = params.map_err(|_| ApiError::Decoding("the path is no UTF-8".into()))?;
    let found = params.iter().find(|(key, _)| *key == name);
    found.map(|(_, value)| value.to_owned()).ok_or(ApiError::UnknownPath)
}

/// The `Authorization` header as it came.
pub(super) fn authorization(parts: &Parts) -> Option<&[u8]> {
    parts.headers.get(header::AUTHORIZATION).map(header::HeaderValue::as_bytes)
}

/// The program that calls, as it calls itself.
pub(super) fn user_agent(headers: &HeaderMap) -> Option<Box<str>> {
    Origin::kept(headers.get(header::USER_AGENT)?.to_str().ok()?)
}

impl FromRequestParts<Arc<Control>> for AppCall {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, control: &Arc<Control>) -> Result<Self, ApiError> {
        let app = path_param(parts, "appId").await?;
        let access = control.rules().apps.authorize(&app, authorization(parts))?;
        Ok(Self { app, access })
    }
}

impl FromRequestParts<Arc<Control>> for SecretCall {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, control: &Arc<Control>) -> Result<Self, ApiError> {
        let AppCall { app, access } = AppCall::from_request_parts(parts, control).await?;
        access.expect_secret()?;
        Ok(Self { app })
    }
}

impl FromRequestParts<Arc<Control>> for SessionCall {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, control: &Arc<Control>) -> Result<Self, ApiError> {
        let AppCall { app, access } = AppCall::from_request_parts(parts, control).await?;
        let id = path_param(parts, "sessionId").await?;
        let session = control.find_session(&app, &id)?;
        // Before the budget: nobody spends that of a session which he may not touch.
        access.may_touch(&id, session.owner.as_ref())?;
        session.spend(
            control.rules().limits.requests_per_second.get(),
            control.rules().limits.request_burst.get(),
        )?;
        Ok(Self { session, access })
    }
}

/// A JSON body, whatever the `Content-Type`: partytracks sends `text/plain`.
pub(super) struct JsonBody<T>(pub(super) T);

/// A JSON body that may be missing.
pub(super) struct OptionalBody<T> {
    pub(super) value: Option<T>,
    /// Whether the body was an object without any member.
    pub(super) is_empty_object: bool,
}

pub(super) async fn read(request: Request, control: &Control) -> Result<Bytes, ApiError> {
    let most = control.http.body_bytes;
    let too_large = || ApiError::PayloadTooLarge(most.get());
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if announced.and_then(|length| length.parse::<u64>().ok()).is_some_and(|length| length > most.get()) {
        return Err(too_large());
    }
    let patience = Duration::from_secs(control.http.body_timeout_seconds.get());
    match tokio::time::timeout(patience, to_bytes(request.into_body(), most.size())).await {
        Ok(Ok(bytes)) => Ok(bytes),
        // Either the limit of the body or a broken connection, and only the former has a reader for the answer.
        Ok(Err(_)) => Err(too_large()),
        Err(_) => Err(ApiError::BodyTimeout),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::Decoding(format!("the body cannot be used: {error}")))
}

impl<T: DeserializeOwned> FromRequest<Arc<Control>> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, control: &Arc<Control>) -> Result<Self, ApiError> {
        parse(&read(request, control).await?).map(Self)
    }
}

impl<T: DeserializeOwned> FromRequest<Arc<Control>> for OptionalBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, control: &Arc<Control>) -> Result<Self, ApiError> {
        let bytes = read(request, control).await?;
        if bytes.trim_ascii().is_empty() {
            return Ok(Self { value: None, is_empty_object: false });
        }
        let members: serde_json::Map<String, serde_json::Value> = parse(&bytes)?;
        Ok(Self { value: Some(parse(&bytes)?), is_empty_object: members.is_empty() })
    }
}

/// Runs an operation to its end even when the client hangs up, and survives its panic.
pub(super) async fn run<T: Send + 'static, E: From<ApiError> + Send + 'static>(
    operation: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, E> {
    match tokio::spawn(operation).await {
        Ok(outcome) => outcome,
        Err(error) => {
            tracing::error!(%error, "an operation of the API failed");
            Err(ApiError::Internal.into())
        }
    }
}
