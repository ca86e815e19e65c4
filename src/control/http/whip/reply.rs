//! Responses with a description: where its resource is, and what that can do.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::super::super::Control;
use super::super::super::access::Right;
use super::super::super::session::Session;
use super::problem::Problem;
use super::request::Call;
use super::{EVENTS_RELATION, FRAGMENT, LAYER_RELATION, SDP, events, ice};

/// What PATCH takes on a resource: a viewer may have to answer an offer of ours.
pub(super) fn accept_patch(access: Right) -> &'static str {
    match access {
        Right::Whip => FRAGMENT,
        _ => "application/trickle-ice-sdpfrag, application/sdp",
    }
}

/// The strong tag of the present ICE session (RFC 9725 4.3.1): it changes with our credentials.
pub(super) fn entity_tag(session: &Session) -> Result<String, Problem> {
    let state = session.state().ok_or_else(Problem::gone)?;
    Ok(format!("\"{}\"", state.negotiation.local_credentials().ufrag))
}

pub(super) fn header_value(text: &str) -> Result<HeaderValue, Problem> {
    HeaderValue::try_from(text)
        .map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "a header cannot be written"))
}

/// A description of ours for a new resource.
pub(super) fn description(
    control: &Control,
    status: StatusCode,
    call: &Call,
    session: &Session,
    sdp: String,
) -> Result<Response, Problem> {
    let (access, key, location) = (call.access, &call.key, call.location(session));
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(SDP));
    headers.insert(header::LOCATION, header_value(&location)?);
    headers.insert(header::ETAG, header_value(&entity_tag(session)?)?);
    headers.insert("accept-patch", HeaderValue::from_static(accept_patch(access)));
    ice::push_links(control, (&key.app, &key.name), access, &mut headers);
    if access == Right::Whep {
        let names = events::NAMES.join(",");
        let links = [
            format!("<{location}/events>; rel=\"{EVENTS_RELATION}\"; events=\"{names}\""),
            format!("<{location}/layer>; rel=\"{LAYER_RELATION}\""),
        ];
        for link in links {
            headers.append(header::LINK, header_value(&link)?);
        }
    }
    Ok((status, headers, sdp).into_response())
}
