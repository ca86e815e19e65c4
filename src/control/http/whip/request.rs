//! What a handler is given: a stream, the token, a resource, a body of the right type. Each is checked in this order.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};

use super::super::super::Control;
use super::super::super::access::{Holder, Owner, Right, StreamAccess};
use super::super::super::error::ApiError;
use super::super::super::registry::places::Account;
use super::super::super::registry::streams::StreamKey;
use super::super::super::session::{Origin, Session};
use super::super::base::Base;
use super::super::call::{path_param, read, user_agent};
use super::problem::Problem;
use crate::config::StreamName;

/// A call on a stream, not yet authorised.
pub(super) struct Call {
    pub(super) access: Right,
    pub(super) key: StreamKey,
    token: Option<HeaderValue>,
    user_agent: Option<Box<str>>,
    /// The resource; empty on an endpoint.
    pub(super) resource: String,
    /// Where the client reaches us.
    pub(super) base: Base,
}

impl FromRequestParts<Arc<Control>> for Call {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, control: &Arc<Control>) -> Result<Self, Problem> {
        let (app, stream) = (path_param(parts, "appId").await?, path_param(parts, "stream").await?);
        let stream = StreamName::try_from(stream)
            .map_err(|error| Problem::new(StatusCode::NOT_FOUND, error.to_string()))?;
        let whip = parts.uri.path().starts_with("/whip/");
        Ok(Self {
            access: if whip { Right::Whip } else { Right::Whep },
            key: StreamKey { app: app.into(), name: stream.as_str().into() },
            user_agent: user_agent(&parts.headers),
            token: parts.headers.get(header::AUTHORIZATION).cloned(),
            resource: path_param(parts, "sessionId").await.unwrap_or_default(),
            base: Base::of(&control.http, &parts.extensions, &parts.headers),
        })
    }
}

impl Control {
    /// Checks what is shown for a stream.
    pub(super) fn authorize_stream(
        &self,
        (app, stream): (&str, &str),
        right: Right,
        token: Option<&HeaderValue>,
    ) -> Result<StreamAccess, ApiError> {
        let token = token.map(HeaderValue::as_bytes);
        let is_session = self.parse_id(stream).is_some();
        self.rules().apps.authorize_stream(app, stream, right, token, is_session)
    }
}

impl Call {
    /// Checks the token.
    pub(super) fn authorize(&self, control: &Control) -> Result<StreamAccess, Problem> {
        let stream = (&*self.key.app, &*self.key.name);
        Ok(control.authorize_stream(stream, self.access, self.token.as_ref())?)
    }

    /// Checks that the token lets sessions be made, and takes one request off the budget of the stream. Tells by what the
    /// stream is sent or played.
    pub(super) fn admit(&self, control: &Control) -> Result<Holder, Problem> {
        let access = self.authorize(control)?;
        access.may_open()?;
        control.streams.spend(&self.key, &control.rules().limits)?;
        Ok(access.holder)
    }

    /// On whose account a session goes that is made by this call. What many share says nothing of who it is, so then it is
    /// the address, where that is one client's.
    pub(super) fn account(&self, holder: &Holder) -> Account {
        let shared = || self.base.stranger.map_or(Account::App, Account::Address);
        match holder {
            Holder::Token(owner) => Account::Owner(owner.clone()),
            // Of those who send a stream with one token the newest replaces the others.
            Holder::Secret => Account::App,
            Holder::Configured if self.access == Right::Whip => Account::App,
            Holder::Configured | Holder::Anybody => shared(),
        }
    }

    /// Who calls, as far as that was said.
    pub(super) fn origin(&self, holder: &Holder) -> Origin {
        let subject = match holder {
            Holder::Token(Owner::Subject(subject)) => Origin::kept(subject),
            _ => None,
        };
        Origin { subject, correlation: None, user_agent: self.user_agent.clone() }
    }

    /// The address of a session's resource, as the client can use it.
    pub(super) fn location(&self, session: &Session) -> String {
        let prefix = if self.access == Right::Whip { "whip" } else { "whep" };
        self.base.address(&format!("/{prefix}/{}/{}/{}", self.key.app, self.key.name, session.id))
    }

    /// Checks the token, finds the session of the resource and takes one request off its budget.
    pub(super) fn session(&self, control: &Control) -> Result<Arc<Session>, Problem> {
        self.authorize(control)?.may_touch(&self.resource)?;
        let session = self.known_session(control)?;
        session.spend(
            control.rules().limits.requests_per_second.get(),
            control.rules().limits.request_burst.get(),
        )?;
        Ok(session)
    }

    /// Finds the session of the resource.
    pub(super) fn known_session(&self, control: &Control) -> Result<Arc<Session>, Problem> {
        let session = control.find_session(&self.key.app, &self.resource).map_err(|_| Problem::gone())?;
        let is_ours = match self.access {
            // A session that is played by its id was not made here, so it is not ended here either.
            Right::Whip => {
                control.streams.is_source(&self.key, session.id) && *self.key.name != *self.resource
            }
            _ => control.streams.watched(&self.key, session.id).is_some(),
        };
        if is_ours { Ok(session) } else { Err(Problem::gone()) }
    }
}

/// The media type of a body, without its parameters and in lower case; empty if none is given.
pub(super) fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The body as text.
pub(super) async fn text(request: Request, control: &Control) -> Result<String, Problem> {
    let bytes = read(request, control).await?;
    String::from_utf8(bytes.into()).map_err(|_| Problem::bad_request("the body is no UTF-8"))
}

/// What `If-Match` demands (RFC 9110 13.1.1).
pub(super) enum Condition {
    /// Nothing.
    None,
    /// Any state, which for ICE means a restart (RFC 9725 4.3.1).
    Any,
    /// One of these strong tags, quotes included.
    Tags(Vec<String>),
}

impl Condition {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(header::IF_MATCH) else { return Self::None };
        let text = value.to_str().unwrap_or_default().trim();
        // The examples of RFC 9725 have the star in quotes.
        if text == "*" || text == "\"*\"" {
            return Self::Any;
        }
        Self::Tags(text.split(',').map(|tag| tag.trim().to_owned()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_compare_without_parameters_and_case() {
        let mut headers = HeaderMap::new();
        assert_eq!(content_type(&headers), "");
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("Application/SDP; charset=utf-8"));
        assert_eq!(content_type(&headers), "application/sdp");
    }
}
