//! Pages and scripts, all of them in the binary: nothing is read from disk or from another host.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

use super::super::Control;

/// One file: path, type, content.
type Page = (&'static str, &'static str, &'static str);

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Everything that is served as it is.
const PAGES: &[Page] = &[
    ("/docs", HTML, include_str!("../pages/docs.html")),
    ("/docs.css", CSS, include_str!("../pages/docs.css")),
    ("/docs.js", SCRIPT, include_str!("../pages/docs.js")),
    ("/", HTML, include_str!("../pages/demo.html")),
    ("/demo.css", CSS, include_str!("../pages/demo.css")),
    ("/demo.js", SCRIPT, include_str!("../pages/demo.js")),
    ("/demo-call.js", SCRIPT, include_str!("../pages/demo-call.js")),
    ("/demo-key.js", SCRIPT, include_str!("../pages/demo-key.js")),
    ("/demo-media.js", SCRIPT, include_str!("../pages/demo-media.js")),
    ("/demo-stage.js", SCRIPT, include_str!("../pages/demo-stage.js")),
    ("/demo-stats.js", SCRIPT, include_str!("../pages/demo-stats.js")),
    ("/demo-tile.js", SCRIPT, include_str!("../pages/demo-tile.js")),
    ("/ringcast-client.js", SCRIPT, include_str!("../../../client/src/session.js")),
    ("/ringcast-room.js", SCRIPT, include_str!("../pages/ringcast-room.js")),
];

/// Everything comes from this host, and nothing is written into the pages themselves.
const POLICY: &str = "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

pub(super) fn router() -> Router<Arc<Control>> {
    PAGES.iter().fold(Router::new(), |router, (path, content_type, content)| {
        router.route(path, get(async || page(content_type, content)))
    })
}

/// Whether something is served at a path.
pub(super) fn has(path: &str) -> bool {
    path == "/openapi.json" || PAGES.iter().any(|(known, _, _)| *known == path)
}

fn page(content_type: &'static str, content: &'static str) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, content)
}
