//! Refusals as problem details (RFC 9457).

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::super::super::error::ApiError;
use super::description::ProblemDetails;

/// Seconds after which a client may ask again for what is not there, or taken, at present.
const RETRY_SECONDS: u16 = 2;

/// Why a request is refused.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), headers: Vec::new() }
    }

    /// What was given can be read, but is not served (RFC 9725 4.2).
    pub(super) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// Not in the present state, but perhaps soon.
    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail).with(header::RETRY_AFTER, HeaderValue::from(RETRY_SECONDS))
    }

    pub(super) fn gone() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is no such resource, or it has ended")
    }

    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl From<ApiError> for Problem {
    fn from(error: ApiError) -> Self {
        let status = match &error {
            ApiError::InvalidDescription { subcode: Some("bad_sdp"), .. } => StatusCode::BAD_REQUEST,
            ApiError::InvalidDescription {
                subcode: Some(ApiError::HAVE_REMOTE_OFFER | ApiError::HAVE_LOCAL_OFFER),
                ..
            } => return Self::conflict(error.to_string()),
            ApiError::InvalidDescription { .. } | ApiError::InvalidParams(_) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            ApiError::SessionGone => return Self::gone(),
            _ => error.status(),
        };
        let mut problem = Self::new(status, error.to_string());
        if let Some(seconds) = error.retry_after() {
            problem = problem.with(header::RETRY_AFTER, HeaderValue::from(u16::from(seconds)));
        }
        if error.status() == StatusCode::UNAUTHORIZED {
            problem = problem.with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!(ProblemDetails {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            detail: self.detail,
        });
        let content = [(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))];
        let mut response = (self.status, content, body.to_string()).into_response();
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}
