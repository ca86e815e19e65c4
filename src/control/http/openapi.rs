//! The description of the API for machines, made from the handlers; `/docs` shows it to people.

use utoipa::IntoResponses;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Components, Info, OpenApi, OpenApiBuilder, SecurityRequirement, Server, Tag};

use super::super::error::ErrorBody;

/// Name of the security scheme of secrets.
const SECRET: &str = "appSecret";
/// The same for scoped tokens.
const TOKEN: &str = "scopedToken";
/// The same for the keys of a TURN server.
const TURN_TOKEN: &str = "turnKeyToken";
/// Groups of operations, in the order in which a reader meets them.
const TAGS: [&str; 11] = [
    "sessions",
    "tracks",
    "datachannels",
    "whip",
    "whep",
    "ice",
    "turn",
    "extensions",
    "stages",
    "presence",
    "adapters",
];

/// Refusals of every call of an application.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its documentation is used")]
pub(super) enum AppErrors {
    /// The body or a parameter cannot be read.
    #[response(status = 400)]
    Decoding(ErrorBody),
    /// The secret or token is missing or wrong.
    #[response(status = 401)]
    Unauthorized(ErrorBody),
    /// The token does not allow this; `errorSubcode` says why.
    #[response(status = 403)]
    Forbidden(ErrorBody),
    /// There is no such application.
    #[response(status = 404)]
    UnknownApp(ErrorBody),
    /// The values do not fit together, or a description is wrong.
    #[response(status = 406)]
    NotAcceptable(ErrorBody),
    /// The body did not arrive in time.
    #[response(status = 408)]
    BodyTimeout(ErrorBody),
    /// The body is too large.
    #[response(status = 413)]
    TooLarge(ErrorBody),
}

/// Refusals of every call on a session.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its documentation is used")]
pub(super) enum SessionErrors {
    /// The body or a parameter cannot be read.
    #[response(status = 400)]
    Decoding(ErrorBody),
    /// The secret or token is missing or wrong.
    #[response(status = 401)]
    Unauthorized(ErrorBody),
    /// The token does not allow this; `errorSubcode` says why.
    #[response(status = 403)]
    Forbidden(ErrorBody),
    /// There is no such application.
    #[response(status = 404)]
    UnknownApp(ErrorBody),
    /// The values do not fit together, or a description is wrong.
    #[response(status = 406)]
    NotAcceptable(ErrorBody),
    /// The body did not arrive in time.
    #[response(status = 408)]
    BodyTimeout(ErrorBody),
    /// The session has ended or is not known.
    #[response(status = 410)]
    SessionGone(ErrorBody),
    /// The body is too large.
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// Too many requests on this session.
    #[response(status = 429)]
    RateLimited(ErrorBody),
}

/// Refusals of every call that changes a session.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its documentation is used")]
pub(super) enum MutationErrors {
    /// The body or a parameter cannot be read.
    #[response(status = 400)]
    Decoding(ErrorBody),
    /// The secret or token is missing or wrong.
    #[response(status = 401)]
    Unauthorized(ErrorBody),
    /// The token does not allow this; `errorSubcode` says why.
    #[response(status = 403)]
    Forbidden(ErrorBody),
    /// There is no such application.
    #[response(status = 404)]
    UnknownApp(ErrorBody),
    /// The values do not fit together, a description is wrong, or another request is being worked on.
    #[response(status = 406)]
    NotAcceptable(ErrorBody),
    /// The body did not arrive in time.
    #[response(status = 408)]
    BodyTimeout(ErrorBody),
    /// The session has ended or is not known.
    #[response(status = 410)]
    SessionGone(ErrorBody),
    /// The body is too large.
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// The session is not connected yet.
    #[response(status = 425)]
    NotConnected(ErrorBody),
    /// Too many requests on this session.
    #[response(status = 429)]
    RateLimited(ErrorBody),
    /// A mistake of the server.
    #[response(status = 500)]
    Internal(ErrorBody),
    /// Not now.
    #[response(status = 503)]
    Overloaded(ErrorBody),
}

/// What does not come from the handlers.
pub(super) fn description() -> OpenApi {
    let mut info = Info::new("Ringcast", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "Sessions and tracks of a selective forwarding unit for WebRTC. `/apps/..` is the same as `/v1/apps/..`. \
         Bodies are read as JSON whatever their Content-Type; unknown members and parameters are \
         ignored, and refused where a token is asked for."
            .into(),
    );
    let mut components = Components::new();
    let bearer = |text: &str, format: Option<&str>| {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.description = Some(text.into());
        scheme.bearer_format = format.map(Into::into);
        SecurityScheme::Http(scheme)
    };
    let secret = "A secret of the application. It allows everything and belongs on servers.";
    components.add_security_scheme(SECRET, bearer(secret, None));
    let token = "A token signed by HS256 with a secret of the application: short-lived, with the scope that its claims \
                 name. Browsers may hold it.";
    components.add_security_scheme(TOKEN, bearer(token, Some("JWT")));
    let turn = "The token of a key of the TURN server.";
    components.add_security_scheme(TURN_TOKEN, bearer(turn, None));
    let either = [SECRET, TOKEN].map(|scheme| SecurityRequirement::new(scheme, Vec::<String>::new()));
    OpenApiBuilder::new()
        .info(info)
        .tags(Some(TAGS.map(Tag::new)))
        .components(Some(components))
        .security(Some(either))
        .build()
}

/// The whole description as JSON, for those who reach us at this address.
pub(super) fn printed(description: &OpenApi, root: &str) -> String {
    let mut described = description.clone();
    described.servers = Some(vec![Server::new(root)]);
    described.to_json().unwrap_or_else(|error| {
        tracing::error!(%error, "the description of the API cannot be printed");
        "{}".into()
    })
}
