//! The listener for operators: figures and health. It has no authentication, and so belongs on a private address.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Control;
use crate::metrics::exposition::{Form, gzip, takes_gzip};

/// Makes the routes.
pub fn router(control: &Arc<Control>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(Arc::clone(control))
}

/// Prometheus asks for OpenMetrics and gzip, people with a browser or curl for neither.
async fn metrics(State(control): State<Arc<Control>>, headers: HeaderMap) -> Response {
    let named = |name: HeaderName| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.collect::<Vec<_>>().join(",")
    };
    let form = Form::wanted(&named(header::ACCEPT));
    let body = match control.metrics().expose(form, &control.usages()) {
        Ok(body) => body,
        Err(error) => {
            tracing::warn!(%error, "the metrics cannot be written");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let content = [(header::CONTENT_TYPE, form.content_type()), (header::VARY, "accept, accept-encoding")];
    let packed = takes_gzip(&named(header::ACCEPT_ENCODING)).then(|| gzip(&body));
    match packed {
        Some(Ok(packed)) => (content, [(header::CONTENT_ENCODING, "gzip")], packed).into_response(),
        _ => (content, body).into_response(),
    }
}

async fn ready(State(control): State<Arc<Control>>) -> (StatusCode, &'static str) {
    if control.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}
