//! The routes, and what holds for every request: CORS, JSON on every path, no redirects, time limits, figures.
//!
//! From here a request goes on to `operations`, in a task of its own: a client that hangs up does not stop an
//! operation half way.

mod adapters;
mod base;
mod call;
mod datachannels;
mod examples;
mod extensions;
mod guard;
mod ice;
mod openapi;
mod pages;
mod presence;
mod sessions;
mod stages;
mod tokens;
mod tracks;
mod turn;
mod whip;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, Uri, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use tower::util::MapRequest;
use tower_http::cors::{AllowOrigin, CorsLayer};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Control;
use super::error::ApiError;
use base::Base;

/// The whole API as a service: paths are brought into one form, then routed.
pub type ApiService = MapRequest<Router, fn(Request<Body>) -> Request<Body>>;

/// How long browsers may keep the answer to a preflight.
const PREFLIGHT_AGE: Duration = Duration::from_secs(7_200);
/// Headers that pages of other origins may read, and a client of WHIP asks OPTIONS whether it may send PATCH.
const EXPOSED: [HeaderName; 7] = [
    header::RETRY_AFTER,
    header::LOCATION,
    header::LINK,
    header::ETAG,
    HeaderName::from_static("accept-patch"),
    HeaderName::from_static("accept-post"),
    header::ACCESS_CONTROL_ALLOW_METHODS,
];
/// Where the calls of one application are.
const APP_PREFIX: &str = "/v1/apps/{appId}";
/// Where the calls of one key of a TURN server are.
const TURN_PREFIX: &str = "/v1/turn/keys/{keyId}";

/// Makes the service.
pub fn service(control: &Arc<Control>) -> ApiService {
    MapRequest::new(router(control), normalised)
}

fn router(control: &Arc<Control>) -> Router {
    let app = OpenApiRouter::new()
        .routes(routes!(sessions::new_session))
        .routes(routes!(sessions::get_session))
        .routes(routes!(tracks::new_tracks))
        .routes(routes!(tracks::renegotiate))
        .routes(routes!(tracks::update_tracks))
        .routes(routes!(tracks::close_tracks))
        .routes(routes!(datachannels::establish))
        .routes(routes!(datachannels::new_data_channels))
        .routes(routes!(datachannels::update_data_channels))
        .routes(routes!(datachannels::close_data_channels))
        .routes(routes!(adapters::new_adapters))
        .routes(routes!(adapters::close_adapters))
        .routes(routes!(ice::generate_ice_servers))
        .routes(routes!(extensions::list_sessions))
        .routes(routes!(extensions::list_streams))
        .routes(routes!(extensions::delete_session))
        .routes(routes!(extensions::session_statistics))
        .routes(routes!(tokens::new_token))
        .routes(routes!(datachannels::set_group))
        .routes(routes!(stages::get_stage, stages::put_stage, stages::delete_stage))
        .routes(routes!(stages::put_stage_member, stages::delete_stage_member))
        .routes(routes!(stages::watch_stage))
        .routes(routes!(presence::get_room))
        .routes(routes!(presence::put_member, presence::delete_member));
    let turn = OpenApiRouter::new()
        .routes(routes!(turn::generate_turn_ice_servers))
        .routes(routes!(turn::generate_turn_credentials))
        .routes(routes!(turn::revoke_turn_credentials));
    let documented = OpenApiRouter::with_openapi(openapi::description());
    let documented = documented.nest(APP_PREFIX, app).nest(TURN_PREFIX, turn);
    let (router, mut description) = documented.split_for_parts();
    description.merge(whip::Description::openapi());
    examples::add(&mut description);
    let describe = async move |base: Base| {
        ([(header::CONTENT_TYPE, "application/json")], openapi::printed(&description, &base.root()))
    };
    router
        .route("/openapi.json", get(describe))
        .merge(pages::router())
        .merge(whip::router())
        .method_not_allowed_fallback(unrouted)
        .fallback(unrouted)
        .layer(from_fn_with_state(Arc::clone(control), guard::limit_time))
        .layer(guard::catch_panics())
        .layer(from_fn(guard::refuse_sessions_without_json))
        .layer(from_fn_with_state(Arc::clone(control), guard::observe))
        .layer(cors(control))
        .layer(from_fn_with_state(Arc::clone(control), whip::options))
        .with_state(Arc::clone(control))
}

/// What no route takes: 404 is for unknown applications and keys, anything else of a known one is 405.
async fn unrouted(State(control): State<Arc<Control>>, uri: Uri) -> ApiError {
    let key = uri.path().strip_prefix("/v1/turn/keys/").and_then(|rest| rest.split('/').next());
    if let Some(key) = key {
        return if control.rules().ice.has_key(key) {
            ApiError::MethodNotAllowed
        } else {
            ApiError::UnknownTurnKey
        };
    }
    let app = uri.path().strip_prefix("/v1/apps/").and_then(|rest| rest.split('/').next());
    match app {
        Some(app) => control.rules().apps.find(app).err().unwrap_or(ApiError::MethodNotAllowed),
        None if pages::has(uri.path()) => ApiError::MethodNotAllowed,
        None => ApiError::UnknownPath,
    }
}

/// `/apps/..` is the same as `/v1/apps/..`, likewise `/turn/..`, and a slash at the end means nothing: a redirect would make
/// partytracks reload the page.
fn normalised(mut request: Request<Body>) -> Request<Body> {
    let path = request.uri().path();
    let trimmed = path.trim_end_matches('/');
    let prefix = if path.starts_with("/apps/") || path.starts_with("/turn/") { "/v1" } else { "" };
    if prefix.is_empty() && (trimmed.len() == path.len() || path == "/") {
        return request;
    }
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = if trimmed.is_empty() { "/" } else { trimmed };
    if let Ok(uri) = format!("{prefix}{path}{query}").parse() {
        *request.uri_mut() = uri;
    }
    request
}

/// [`EXPOSED`] as a header has it.
fn exposed() -> Option<HeaderValue> {
    HeaderValue::try_from(EXPOSED.map(|name| name.to_string()).join(",")).ok()
}

fn cors(control: &Control) -> CorsLayer {
    let origins: Vec<HeaderValue> =
        control.http.cors_origins.iter().filter_map(|origin| origin.as_str().parse().ok()).collect();
    let origin = if origins.is_empty() { AllowOrigin::mirror_request() } else { AllowOrigin::list(origins) };
    CorsLayer::new()
        .allow_origin(origin)
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::OPTIONS,
            Method::PATCH,
            Method::HEAD,
        ])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            header::LINK,
            // A client of WHIP sends it where If-Match belongs.
            header::ETAG,
            HeaderName::from_static("prefer"),
        ])
        .expose_headers(EXPOSED)
        .max_age(PREFLIGHT_AGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_one_form() {
        let table = [
            ("/apps/a/sessions/new", "/v1/apps/a/sessions/new"),
            ("/apps/a/sessions/new/?x=1", "/v1/apps/a/sessions/new?x=1"),
            ("/v1/apps/a/sessions/new?", "/v1/apps/a/sessions/new?"),
            ("/v1/apps/a//", "/v1/apps/a"),
            ("/turn/keys/k/credentials/generate", "/v1/turn/keys/k/credentials/generate"),
            ("/", "/"),
            ("//", "/"),
        ];
        for (given, expected) in table {
            let request = normalised(Request::builder().uri(given).body(Body::empty()).unwrap());
            assert_eq!(request.uri().to_string(), expected);
        }
    }
}
