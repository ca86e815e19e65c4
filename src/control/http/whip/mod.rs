//! WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep-03): a stream is published or played by one POST of a description.
//!
//! Owns what is HTTP in it: statuses, headers, conditions, problem bodies. What happens to sessions is for
//! `operations` to do, so a publisher here is a session with tracks named `audio` and `video` like any other.

mod description;
mod events;
mod ice;
mod layer;
mod offer;
mod play;
mod problem;
mod publish;
mod reply;
mod request;
mod resource;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{patch, post};

use super::super::Control;
use super::super::access::Right;
pub(super) use description::Description;
use problem::Problem;
use request::Call;

/// The type of descriptions (RFC 8866 8.1).
const SDP: &str = "application/sdp";
/// The type of fragments with ICE (RFC 8840 9.2).
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// The extensions of WHEP that a viewer's resource has.
const EVENTS_RELATION: &str = "urn:ietf:params:whep:ext:core:server-sent-events";
const LAYER_RELATION: &str = "urn:ietf:params:whep:ext:core:layer";

pub(super) fn router() -> Router<Arc<Control>> {
    let resource =
        || patch(resource::patch).delete(resource::delete).get(resource::get).fallback(refuse_method);
    let routes = Router::new()
        .route("/whip/{appId}/{stream}", post(publish::post).get(discover).fallback(refuse_method))
        .route("/whip/{appId}/{stream}/{sessionId}", resource())
        .route("/whep/{appId}/{stream}", post(play::post).get(discover).fallback(refuse_method))
        .route("/whep/{appId}/{stream}/{sessionId}", resource());
    let events = post(events::post).get(events::get).fallback(refuse_method);
    let routes = routes.route("/whep/{appId}/{stream}/{sessionId}/events", events);
    routes.route(
        "/whep/{appId}/{stream}/{sessionId}/layer",
        post(layer::post).delete(layer::delete).fallback(refuse_method),
    )
}

/// Whether a path is one of ours.
fn is_ours(path: &str) -> bool {
    path.starts_with("/whip/") || path.starts_with("/whep/")
}

/// GET and HEAD of an endpoint: nothing but what it takes, which tells a player that it is one.
async fn discover(
    State(control): State<Arc<Control>>,
    call: Call,
    method: Method,
) -> Result<Response, Problem> {
    control.rules().apps.find(&call.key.app)?;
    let accept = [(header::HeaderName::from_static("accept-post"), HeaderValue::from_static(SDP))];
    let is_player_endpoint = call.access == Right::Whep;
    if is_player_endpoint && method == Method::HEAD {
        let content = [(header::CONTENT_TYPE, HeaderValue::from_static(SDP))];
        return Ok((StatusCode::OK, accept, content).into_response());
    }
    Ok((StatusCode::NO_CONTENT, accept).into_response())
}

async fn refuse_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this method is not served at this path")
}

/// Completes the answers to OPTIONS, which the layer for CORS gives to all paths alike: what is taken here, and the
/// ICE servers for those who are allowed to know them. A preflight never gets them (RFC 9725 4.6).
pub(super) async fn options(State(control): State<Arc<Control>>, request: Request, next: Next) -> Response {
    if request.method() != Method::OPTIONS || !is_ours(request.uri().path()) {
        return next.run(request).await;
    }
    let is_preflight = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let path = request.uri().path().to_owned();
    let token = request.headers().get(header::AUTHORIZATION).cloned();
    let mut response = next.run(request).await;
    let mut parts = path.split('/').skip(1);
    let (Some(prefix), Some(app), Some(stream)) = (parts.next(), parts.next(), parts.next()) else {
        return response;
    };
    let access = if prefix == "whip" { Right::Whip } else { Right::Whep };
    let headers = response.headers_mut();
    if parts.next().is_some() {
        headers.insert("accept-patch", HeaderValue::from_static(reply::accept_patch(access)));
    } else {
        headers.insert("accept-post", HeaderValue::from_static(SDP));
    }
    // The layer for CORS takes every OPTIONS for a preflight, whose headers no page reads.
    if let Some(exposed) = super::exposed().filter(|_| !is_preflight) {
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    if !is_preflight && control.authorize_stream((app, stream), access, token.as_ref()).is_ok() {
        ice::push_links(&control, (app, stream), access, headers);
    }
    response
}
