//! What every request passes: the time limit, the net for panics, the figures.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;
use tower_http::catch_panic::CatchPanicLayer;

use super::super::Control;
use super::super::access::Refusal;
use super::super::error::ApiError;
use super::base::Base;

/// Ends requests that take too long.
pub(super) async fn limit_time(
    State(control): State<Arc<Control>>,
    request: Request,
    next: Next,
) -> Response {
    let most = Duration::from_secs(control.http.request_timeout_seconds.get());
    match tokio::time::timeout(most, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::Overloaded.into_response(),
    }
}

/// Turns a panic of a handler into a JSON answer.
pub(super) fn catch_panics() -> CatchPanicLayer<fn(Box<dyn Any + Send>) -> Response> {
    CatchPanicLayer::custom(panicked)
}

fn panicked(_: Box<dyn Any + Send>) -> Response {
    ApiError::Internal.into_response()
}

/// A refusal of sessions/new for which the client shall try again is a sentence: partytracks would take any JSON for a
/// session, and never come back.
pub(super) async fn refuse_sessions_without_json(request: Request, next: Next) -> Response {
    let is_new_session = request.uri().path().ends_with("/sessions/new");
    let response = next.run(request).await;
    if !is_new_session || !is_service_side(response.status()) {
        return response;
    }
    let error = response.extensions().get::<ApiError>().cloned().unwrap_or(ApiError::Internal);
    error.without_json()
}

fn is_service_side(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

/// Measures every request under its route, never under its path, and counts why requests lack authority.
pub(super) async fn observe(State(control): State<Arc<Control>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let client = Base::of(&control.http, request.extensions(), request.headers()).client;
    let begun = Instant::now();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    tracing::debug!(?client, %method, route, status = response.status().as_u16(), "request");
    if let Some(refusal) = response.extensions().get::<Refusal>() {
        control.metrics.denied(refusal.index());
    }
    control.metrics.request(route, response.status().as_u16(), begun.elapsed());
    response
}
