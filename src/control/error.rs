//! Every way in which a request, or one item of a request, can be refused, with its status and stable code.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::metrics::names::SessionBound;
use crate::negotiation::NegotiationError;

use super::access::Refusal;

/// Why a whole request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The body, or a value in it, cannot be read.
    #[error("{0}")]
    Decoding(String),
    /// The bearer is unknown, or may not do this.
    #[error("{}", .0.text())]
    Refused(Refusal),
    /// No such application.
    #[error("there is no such app")]
    UnknownApp,
    /// No such key of a TURN server.
    #[error("there is no such TURN key: see turn.keys of the configuration")]
    UnknownTurnKey,
    /// What was given out keeps its value until its time is over.
    #[error(
        "credentials of this TURN server cannot be taken back before their time: give them a short ttl, or change the \
         secret that the TURN server shares, which ends all of them"
    )]
    CannotRevoke,
    /// Nothing is served at this place outside of an application.
    #[error("there is nothing at this path")]
    UnknownPath,
    /// No such method and path within an application.
    #[error("this method is not served at this path")]
    MethodNotAllowed,
    /// The body did not come in time.
    #[error("the request body did not arrive in time")]
    BodyTimeout,
    /// The values do not fit together.
    #[error("{0}")]
    InvalidParams(String),
    /// The session description is wrong, or comes at the wrong moment.
    #[error("{text}")]
    InvalidDescription {
        /// What is wrong.
        text: String,
        /// Tells errors of order from bad descriptions.
        subcode: Option<&'static str>,
    },
    /// The session has ended or never was.
    #[error("the session has ended or is not known: make a new one")]
    SessionGone,
    /// The body is too large.
    #[error("the request body is larger than {0} bytes")]
    PayloadTooLarge(u64),
    /// The session is not connected yet.
    #[error("the session is not connected yet: try again")]
    NotConnected,
    /// Too many requests on one session.
    #[error("too many requests on this session")]
    RateLimited,
    /// No place for another session.
    #[error("{}", full(*.0))]
    Full(SessionBound),
    /// A mistake of ours.
    #[error("the request failed inside the server")]
    Internal,
    /// No room, or not now.
    #[error("the server cannot take this now: try again")]
    Overloaded,
}

impl ApiError {
    /// Subcode: a client's offer or request is still being worked on.
    pub const HAVE_REMOTE_OFFER: &'static str = "invalid_modification_have_remote_offer";
    /// Subcode: an offer of ours waits for the client's answer.
    pub const HAVE_LOCAL_OFFER: &'static str = "invalid_modification_have_local_offer";

    /// A wrong description.
    pub fn description(text: impl Into<String>, subcode: Option<&'static str>) -> Self {
        Self::InvalidDescription { text: text.into(), subcode }
    }

    /// Values that do not fit together.
    pub fn params(text: impl Into<String>) -> Self {
        Self::InvalidParams(text.into())
    }

    /// HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Decoding(_) => StatusCode::BAD_REQUEST,
            Self::Refused(refusal) if refusal.is_unauthorized() => StatusCode::UNAUTHORIZED,
            Self::Refused(_) => StatusCode::FORBIDDEN,
            Self::UnknownApp | Self::UnknownTurnKey | Self::UnknownPath => StatusCode::NOT_FOUND,
            Self::CannotRevoke => StatusCode::CONFLICT,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::InvalidParams(_) | Self::InvalidDescription { .. } => StatusCode::NOT_ACCEPTABLE,
            Self::SessionGone => StatusCode::GONE,
            Self::PayloadTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotConnected => StatusCode::TOO_EARLY,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Full(SessionBound::Node | SessionBound::Connecting) | Self::Overloaded => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Full(_) => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Decoding(_) => "decoding_error",
            Self::Refused(refusal) if refusal.is_unauthorized() => "unauthorized",
            Self::Refused(_) => "forbidden",
            Self::UnknownApp | Self::UnknownTurnKey | Self::UnknownPath => "not_found",
            Self::CannotRevoke => "revocation_unavailable",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::BodyTimeout => "request_timeout",
            Self::InvalidParams(_) => "invalid_params",
            Self::InvalidDescription { .. } => "invalid_session_description",
            Self::SessionGone | Self::NotConnected => "session_error",
            Self::PayloadTooLarge(_) => "payload_too_large",
            Self::RateLimited => "rate_limited",
            Self::Internal => "internal_error",
            Self::Full(SessionBound::Node | SessionBound::Connecting) | Self::Overloaded => {
                "temporarily_unavailable_error"
            }
            Self::Full(_) => "too_many_sessions",
        }
    }

    /// Seconds after which a retry makes sense.
    pub fn retry_after(&self) -> Option<u8> {
        match self {
            Self::RateLimited | Self::Overloaded | Self::NotConnected => Some(1),
            // A session has to end first, or to connect.
            Self::Full(_) => Some(5),
            _ => None,
        }
    }

    /// The refusal of `sessions/new` for lack of room: a sentence, since partytracks would take any JSON for a session, and
    /// never come back.
    pub fn without_json(&self) -> Response {
        self.with_headers((self.status(), self.to_string()).into_response())
    }

    fn with_headers(&self, mut response: Response) -> Response {
        if let Some(seconds) = self.retry_after() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(u16::from(seconds)));
        }
        if let Self::Refused(refusal) = self {
            if refusal.is_unauthorized() {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            // For those who count and tell, on the way out.
            response.extensions_mut().insert(*refusal);
        }
        response.extensions_mut().insert(self.clone());
        response
    }
}

/// Why there is no place for another session, and what helps.
fn full(bound: SessionBound) -> &'static str {
    match bound {
        SessionBound::Node => {
            "this node has as many sessions as it may have (limits.sessions): try again, or ask another node"
        }
        SessionBound::Connecting => {
            "as many sessions as this node may have wait for their clients to connect (limits.connecting_sessions): try \
             again, and make a session only when its client is about to connect"
        }
        SessionBound::App => {
            "this app has as many sessions as it may have, connected or not, beside the share of the others: end some, try \
             again, or have the operator raise limits.sessions or limits.sessions_per_app"
        }
        SessionBound::Owner => {
            "the owner of this token has as many sessions as it may have, a quarter of them before they connect: end some, \
             give each user a token with a sub of its own, or have the operator raise limits.sessions_per_owner"
        }
        SessionBound::Address => {
            "your address plays as many streams as it may without a token of its own, a quarter of them before they \
             connect: end some, or have the operator raise limits.sessions_per_address"
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<NegotiationError> for ApiError {
    fn from(error: NegotiationError) -> Self {
        match error.code() {
            "decoding_error" => Self::Decoding(error.to_string()),
            _ => Self::InvalidDescription { text: error.to_string(), subcode: Some(error.subcode()) },
        }
    }
}

/// The body of a refusal.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    /// Stable code.
    #[schema(examples("invalid_params"))]
    pub error_code: String,
    /// What is wrong, for people.
    pub error_description: String,
    /// Tells errors of order from bad descriptions, why a token does not do, and which bound is reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub error_subcode: Option<String>,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let error_subcode = match &self {
            Self::InvalidDescription { subcode, .. } => subcode.map(str::to_owned),
            Self::Refused(refusal) if !refusal.is_unauthorized() => Some(refusal.label().to_owned()),
            Self::Full(bound) => Some(bound.label().to_owned()),
            _ => None,
        };
        let body = ErrorBody {
            error_code: self.code().to_owned(),
            error_description: self.to_string(),
            error_subcode,
        };
        self.with_headers((self.status(), axum::Json(body)).into_response())
    }
}

/// Why one item of a request is refused while the request as a whole is served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// No such publication, or no such section of the client's own.
    #[error("Track not found: {0}")]
    TrackNotFound(String),
    /// The publication is known, but no media came in the time of waiting.
    #[error("no media has arrived for this track{0}")]
    Empty(&'static str),
    /// The section cannot carry it.
    #[error("{0}")]
    TransportUnavailable(String),
    /// Nothing to update.
    #[error("{0}")]
    Update(String),
    /// Absent or already closed.
    #[error("there is no open track with this mid")]
    Close,
    /// No such data channel, or closed already.
    #[error("there is no open data channel with this id")]
    CloseChannel,
    /// A data channel that the session has already.
    #[error("{0}")]
    Repeated(String),
    /// Values of one item that do not fit together.
    #[error("{0}")]
    Params(String),
    /// Not now.
    #[error("{0}")]
    Unavailable(&'static str),
}

impl ItemError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TrackNotFound(_) => "not_found_track_error",
            Self::Empty(_) => "empty_track_error",
            Self::TransportUnavailable(_) => "transport_unavailable_error",
            Self::Update(_) => "update_track_error",
            Self::Close | Self::CloseChannel => "close_track_error",
            Self::Repeated(_) => "repeated_local_track_error",
            Self::Params(_) => "invalid_params",
            Self::Unavailable(_) => "temporarily_unavailable_error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_status_and_code() {
        let description = ApiError::description("", None);
        let table = [
            (ApiError::Decoding(String::new()), 400, "decoding_error"),
            (ApiError::Refused(Refusal::Missing), 401, "unauthorized"),
            (ApiError::Refused(Refusal::Unknown), 401, "unauthorized"),
            (ApiError::Refused(Refusal::Expired), 403, "forbidden"),
            (ApiError::UnknownApp, 404, "not_found"),
            (ApiError::UnknownTurnKey, 404, "not_found"),
            (ApiError::UnknownPath, 404, "not_found"),
            (ApiError::CannotRevoke, 409, "revocation_unavailable"),
            (ApiError::MethodNotAllowed, 405, "method_not_allowed"),
            (ApiError::BodyTimeout, 408, "request_timeout"),
            (ApiError::params(""), 406, "invalid_params"),
            (description, 406, "invalid_session_description"),
            (ApiError::SessionGone, 410, "session_error"),
            (ApiError::PayloadTooLarge(1), 413, "payload_too_large"),
            (ApiError::NotConnected, 425, "session_error"),
            (ApiError::RateLimited, 429, "rate_limited"),
            (ApiError::Full(SessionBound::Owner), 429, "too_many_sessions"),
            (ApiError::Full(SessionBound::Node), 503, "temporarily_unavailable_error"),
            (ApiError::Internal, 500, "internal_error"),
            (ApiError::Overloaded, 503, "temporarily_unavailable_error"),
        ];
        for (error, status, code) in table {
            assert_eq!((error.status().as_u16(), error.code()), (status, code));
        }
    }

    #[test]
    fn every_item_refusal_has_its_code() {
        let table = [
            (ItemError::TrackNotFound(String::new()), "not_found_track_error"),
            (ItemError::Empty(""), "empty_track_error"),
            (ItemError::TransportUnavailable(String::new()), "transport_unavailable_error"),
            (ItemError::Update(String::new()), "update_track_error"),
            (ItemError::Close, "close_track_error"),
            (ItemError::CloseChannel, "close_track_error"),
            (ItemError::Repeated(String::new()), "repeated_local_track_error"),
            (ItemError::Params(String::new()), "invalid_params"),
            (ItemError::Unavailable(""), "temporarily_unavailable_error"),
        ];
        for (error, code) in table {
            assert_eq!(error.code(), code);
        }
    }

    #[test]
    fn words_that_clients_look_for_are_there() {
        assert!(ItemError::TrackNotFound("x".into()).to_string().starts_with("Track not found"));
        assert!(
            ApiError::Overloaded.retry_after().is_some() && ApiError::RateLimited.retry_after().is_some()
        );
    }
}
