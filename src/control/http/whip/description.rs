//! WHIP and WHEP in the description of the API. Publishers and viewers share their handlers, so what is said about each
//! stands here and not beside the code.

use serde::Serialize;
use utoipa::{IntoParams, IntoResponses, OpenApi, ToSchema};

use super::layer::Selection;

/// A refusal as problem details (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProblemDetails {
    /// Always `about:blank`: the status says what it is.
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    /// The name of the status.
    pub(super) title: &'static str,
    /// The status.
    pub(super) status: u16,
    /// What is wrong, and what helps.
    pub(super) detail: String,
}

/// The operations.
#[derive(OpenApi)]
#[openapi(paths(
    publish,
    discover_publish,
    patch_publisher,
    delete_publisher,
    get_publisher,
    play,
    discover_play,
    patch_viewer,
    delete_viewer,
    get_viewer,
    make_events,
    get_events,
    choose_layer,
    leave_layer
))]
pub(in super::super) struct Description;

/// Parameters of the path of a stream.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its documentation is used")]
struct StreamPath {
    /// The application.
    #[param(rename = "appId", pattern = "^[A-Za-z0-9_-]{1,64}$")]
    app_id: String,
    /// The stream.
    #[param(pattern = "^[A-Za-z0-9_.~-]{1,128}$")]
    stream: String,
}

/// Parameters of the path of a publisher or viewer.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its documentation is used")]
struct ResourcePath {
    /// The application.
    #[param(rename = "appId", pattern = "^[A-Za-z0-9_-]{1,64}$")]
    app_id: String,
    /// The stream.
    #[param(pattern = "^[A-Za-z0-9_.~-]{1,128}$")]
    stream: String,
    /// The session, which is the resource.
    #[param(rename = "sessionId", pattern = "^[0-9a-f]{32}$")]
    session_id: String,
}

/// Whether a viewer waits.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its documentation is used")]
struct WaitQuery {
    /// `0`: refuse the viewer while nobody publishes; `1`: let it wait. The setting `whep.wait` unless given.
    #[param(required = false)]
    wait: Option<u8>,
}

/// Which changes of a stream are told.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its documentation is used")]
struct EventsQuery {
    /// Names with commas between them; all unless given.
    #[param(required = false)]
    types: Option<String>,
}

/// The condition of a change.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its documentation is used")]
struct ConditionHeader {
    /// The ETag of the present ICE session, or `*` to restart ICE.
    #[param(rename = "If-Match", required = false)]
    if_match: Option<String>,
}

/// Refusals of every call on a stream.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its documentation is used")]
enum Refusals {
    /// The secret or token is missing or wrong.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(ProblemDetails),
    /// The token does not allow this.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(ProblemDetails),
    /// There is no such application, stream name or resource.
    #[response(status = 404, content_type = "application/problem+json")]
    Unknown(ProblemDetails),
    /// Too many requests on this stream or resource.
    #[response(status = 429, content_type = "application/problem+json")]
    RateLimited(ProblemDetails),
    /// A mistake of the server.
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(ProblemDetails),
    /// Not now.
    #[response(status = 503, content_type = "application/problem+json")]
    Overloaded(ProblemDetails),
}

/// Refusals of every call with a body.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its documentation is used")]
enum BodyRefusals {
    /// The body cannot be read.
    #[response(status = 400, content_type = "application/problem+json")]
    Unreadable(ProblemDetails),
    /// The body did not arrive in time.
    #[response(status = 408, content_type = "application/problem+json")]
    BodyTimeout(ProblemDetails),
    /// Not in the present state; `Retry-After` says when to ask again.
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(ProblemDetails),
    /// The body is too large.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(ProblemDetails),
    /// The body has another type.
    #[response(status = 415, content_type = "application/problem+json")]
    WrongType(ProblemDetails),
    /// The body can be read, but not served.
    #[response(status = 422, content_type = "application/problem+json")]
    Unserved(ProblemDetails),
}

/// Refusals of a condition.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its documentation is used")]
enum ConditionRefusals {
    /// The ETag is not that of the present ICE session.
    #[response(status = 412, content_type = "application/problem+json")]
    Stale(ProblemDetails),
    /// `If-Match` is needed here.
    #[response(status = 428, content_type = "application/problem+json")]
    Unconditional(ProblemDetails),
}

/// What an endpoint says of itself.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its documentation is used")]
enum Discovery {
    /// It is one; `Accept-Post` says what it takes.
    #[response(status = 204, headers(("Accept-Post" = String, description = "What POST takes")))]
    Found,
    /// There is no such application or stream name.
    #[response(status = 404, content_type = "application/problem+json")]
    Unknown(ProblemDetails),
}

/// Publishes a stream (WHIP, RFC 9725).
///
/// The offer has at most one audio and one video section, both `sendonly`. What is published is a session with the
/// tracks `audio` and `video` like any other. `Location` is the resource, `Link` names the ICE servers.
#[utoipa::path(
    post, path = "/whip/{appId}/{stream}", tag = "whip", operation_id = "publishStream", params(StreamPath),
    request_body(content = String, content_type = "application/sdp", description = "The offer"),
    responses(
        (
            status = 201, description = "The answer", body = String, content_type = "application/sdp",
            headers(
                ("Location" = String, description = "The resource"),
                ("ETag" = String, description = "The ICE session"),
                ("Accept-Patch" = String, description = "What PATCH takes"),
            ),
        ),
        Refusals, BodyRefusals,
    ),
)]
#[expect(dead_code, reason = "only its documentation is used")]
fn publish() {}

/// Tells what an endpoint of publishers takes, which tells a client that it is one.
#[utoipa::path(
    get, path = "/whip/{appId}/{stream}", tag = "whip", operation_id = "getPublishEndpoint", params(StreamPath), security(()),
    responses(Discovery),
)]
#[expect(dead_code, reason = "only its documentation is used")]
fn discover_publish() {}

/// Takes candidates of a publisher, or restarts ICE.
#[utoipa::path(
    patch, path = "/whip/{appId}/{stream}/{sessionId}", tag = "whip", operation_id = "patchPublisher",
    params(ResourcePath, ConditionHeader),
    request_body(content = String, content_type = "application/trickle-ice-sdpfrag", description = "The fragment"),
    responses(
        (
            status = 200, description = "ICE has restarted: the credentials and candidates of the server",
            body = String, content_type = "application/trickle-ice-sdpfrag",
            headers(("ETag" = String, description = "The new ICE session")),
        ),
        (status = 204, description = "The candidates are taken"),
        Refusals, BodyRefusals, ConditionRefusals,
    ),
)]
#[expect(dead_code, reason = "only its documentation is used")]
fn patch_publisher() {}

/// Ends a stream.
#[utoipa::path(
    delete, path = "/whip/{appId}/{stream}/{sessionId}", tag = "whip", operation_id = "endStream",
    params(ResourcePath),
    responses((status = 200, description = "It has ended"), Refusals),
)]
#[expect(dead_code, reason = "only its documentation is used")]
fn delete_publisher() {}

/// Tells whether a publisher is there.
#[utoipa::path(
    get, path = "/whip/{appId}/{stream}/{sessionId}", tag = "whip", operation_id = "getPublisher",
    params(ResourcePath),
    responses(
        (
            status = 204, description = "It is there",
            headers(("ETag" = String, description = "The ICE session")),
        ),
        Refusals,
    ),
)]
#[expect(dead_code, reason = "only its documentation is used")]
fn get_publisher() {}

/// Plays a stream (WHEP, draft-ietf-wish-whep-03), also one that is yet to come.
///
/// The offer has at most one audio and one video section, both `recvonly`; without a body the server offers. What it
/// offers is answered by PATCH of the resource.
#[utoipa::path(
    post, path = "/whep/{appId}/{stream}", tag = "whep", operation_id = "playStream",
    params(StreamPath, WaitQuery),
    request_body(content = Option<String>, content_type = "application/sdp", description = "The offer"),
    responses(
        (
            status = 201, description = "The answer, or an offer of the server", body = String,
            content_type = "application/sdp",
            headers(
                ("Location" = String, description = "The resource"),
                ("ETag" = String, description = "The ICE session"),
                ("Accept-Patch" = String, description = "What PATCH takes"),
            ),
        ),
        (
            status = 406, description = "The offer cannot play this stream: an offer of the server that does",
            body = String, content_type = "application/sdp",
            headers(("Location" = String, description = "The resource")),
        ),
        Refusals, BodyRefusals,
    ),
)]
#[expect(dead_code, reason = "only its documentation is used")]
fn play() {}

/// Tells what an endpoint of viewers takes, which tells a client that it is one.
#[utoipa::path(
    get, path = "/whep/{appId}/{stream}", tag = "whep", operation_id = "getPlayEndpoint", params(StreamPath), security(()),
    responses(Discovery),
)]
#[expect(dead_code, reason = "only its documentation is used")]
fn discover_play() {}

/// Takes candidates of a viewer, restarts ICE, or takes the answer to an offer of the server.
#[utoipa::path(
    patch, path = "/whep/{appId}/{stream}/{sessionId}", tag = "whep", operation_id = "patchViewer",
    params(ResourcePath, ConditionHeader),
    request_body(content(
        (String = "application/trickle-ice-sdpfrag"),
        (String = "application/sdp"),
    ), description = "The fragment, or the answer"),
    responses(
        (
            status = 200, description = "ICE has restarted: the credentials and candidates of the server",
            body = String, content_type = "application/trickle-ice-sdpfrag",
            headers(("ETag" = String, description = "The new ICE session")),
        ),
        (status = 204, description = "The candidates or the answer are taken"),
        Refusals, BodyRefusals, ConditionRefusals,
    ),
)]
#[expect(dead_code, reason = "only its documentation is used")]
fn patch_viewer() {}

/// Ends a viewer.
#[utoipa::path(
    delete, path = "/whep/{appId}/{stream}/{sessionId}", tag = "whep", operation_id = "endViewer",
    params(ResourcePath),
    responses((status = 200, description = "It has ended"), Refusals),
)]
#[expect(dead_code, reason = "only its documentation is used")]
fn delete_viewer() {}

/// Tells whether a viewer is there.
#[utoipa::path(
    get, path = "/whep/{appId}/{stream}/{sessionId}", tag = "whep", operation_id = "getViewer",
    params(ResourcePath),
    responses(
        (
            status = 204, description = "It is there",
            headers(("ETag" = String, description = "The ICE session")),
        ),
        Refusals,
    ),
)]
#[expect(dead_code, reason = "only its documentation is used")]
fn get_viewer() {}

/// Makes a stream of events for a viewer.
///
/// The body names the events: `active`, `inactive`, `layers`, `viewercount`, `no_codec`. The last names the sections, by
/// mid, that take none of the codecs that the stream is sent in, and those codecs; it is `{}` once there are none.
#[utoipa::path(
    post, path = "/whep/{appId}/{stream}/{sessionId}/events", tag = "whep", operation_id = "makeViewerEvents",
    params(ResourcePath), request_body(content = Vec<String>, content_type = "application/json"),
    responses(
        (
            status = 201, description = "It is made",
            headers(("Location" = String, description = "Where the events are")),
        ),
        Refusals, BodyRefusals,
    ),
)]
#[expect(dead_code, reason = "only its documentation is used")]
fn make_events() {}

/// The events of a viewer, as server-sent events.
///
/// The id of the session is what proves the right to them: `EventSource` of browsers sends no token.
#[utoipa::path(
    get, path = "/whep/{appId}/{stream}/{sessionId}/events", tag = "whep", operation_id = "getViewerEvents",
    params(ResourcePath, EventsQuery), security(()),
    responses(
        (status = 200, description = "Events without end", body = String, content_type = "text/event-stream"),
        Refusals,
    ),
)]
#[expect(dead_code, reason = "only its documentation is used")]
fn get_events() {}

/// Chooses a simulcast layer for a viewer.
#[utoipa::path(
    post, path = "/whep/{appId}/{stream}/{sessionId}/layer", tag = "whep", operation_id = "chooseViewerLayer",
    params(ResourcePath), request_body(content = Selection, content_type = "application/json"),
    responses((status = 200, description = "It is chosen"), Refusals, BodyRefusals),
)]
#[expect(dead_code, reason = "only its documentation is used")]
fn choose_layer() {}

/// Leaves the choice of the layer to the server.
#[utoipa::path(
    delete, path = "/whep/{appId}/{stream}/{sessionId}/layer", tag = "whep", operation_id = "leaveViewerLayer",
    params(ResourcePath),
    responses(
        (status = 200, description = "It is left"),
        (
            status = 409, description = "The viewer receives no video yet", body = ProblemDetails,
            content_type = "application/problem+json",
        ),
        (
            status = 422, description = "The layer cannot be changed", body = ProblemDetails,
            content_type = "application/problem+json",
        ),
        Refusals,
    ),
)]
#[expect(dead_code, reason = "only its documentation is used")]
fn leave_layer() {}
