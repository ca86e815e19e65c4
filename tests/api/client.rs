//! A plain client of WHIP and WHEP: one POST of a description, then requests on what it made.

use axum::body::Body;
use axum::http::Request;

use super::browser::{Browser, Direction};
use super::harness::{APP, Api, Response, SECRET};

pub(crate) const SDP: (&str, &str) = ("content-type", "application/sdp");
pub(crate) const FRAGMENT: (&str, &str) = ("content-type", "application/trickle-ice-sdpfrag");

/// What the browsers of these tests say of their ICE at first, and after a restart.
pub(crate) const PRESENT_ICE: &str = "a=ice-ufrag:Qw7R\r\na=ice-pwd:0Jf7hnC8VTdRLQ1bUAy5nx2o\r\n";
pub(crate) const NEXT_ICE: &str = "a=ice-ufrag:Next\r\na=ice-pwd:0Jf7hnC8VTdRLQ1bUAy5nx2p\r\n";

/// A request; with the secret of the app unless another `authorization` is given, or an empty one for none.
pub(crate) async fn send(
    api: &Api,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Response {
    let mut request = Request::builder().method(method).uri(path);
    if headers.iter().all(|(name, _)| *name != "authorization") {
        request = request.header("authorization", format!("Bearer {SECRET}"));
    }
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        request = request.header(*name, *value);
    }
    api.request(request.body(Body::from(body.to_owned())).unwrap()).await
}

/// An offer of one audio and one video section.
pub(crate) fn offer(direction: Direction) -> String {
    let mut browser = Browser::default();
    browser.add("audio", direction);
    browser.add("video", direction);
    browser.offer()
}

/// An offer to the endpoint of the stream `studio`.
pub(crate) async fn post(api: &Api, kind: &str, body: &str) -> Response {
    send(api, "POST", &format!("/{kind}/{APP}/studio"), &[SDP], body).await
}

pub(crate) fn header(response: &Response, name: &str) -> String {
    let value = response.headers.get(name).unwrap_or_else(|| panic!("no {name}: {response:?}"));
    value.to_str().unwrap().to_owned()
}

/// What a POST has made.
pub(crate) struct Resource {
    pub(crate) path: String,
    pub(crate) tag: String,
}

impl Resource {
    pub(crate) fn of(response: &Response) -> Self {
        assert!([201, 406].contains(&response.status), "{response:?}");
        Self { path: header(response, "location"), tag: header(response, "etag") }
    }

    /// The stream `studio`, published.
    pub(crate) async fn publisher(api: &Api) -> Self {
        Self::of(&post(api, "whip", &offer(Direction::Send)).await)
    }

    /// A viewer of it.
    pub(crate) async fn viewer(api: &Api) -> Self {
        Self::of(&post(api, "whep", &offer(Direction::Receive)).await)
    }

    pub(crate) async fn patch(&self, api: &Api, headers: &[(&str, &str)], body: &str) -> Response {
        send(api, "PATCH", &self.path, headers, body).await
    }

    pub(crate) async fn delete(&self, api: &Api) -> u16 {
        send(api, "DELETE", &self.path, &[], "").await.status
    }
}

/// Status and text of a refusal, which is a problem of RFC 9457.
pub(crate) fn problem(response: &Response) -> (u16, String) {
    assert_eq!(header(response, "content-type"), "application/problem+json");
    let body = response.json();
    assert_eq!(body["status"], response.status);
    (response.status, body["detail"].as_str().unwrap().to_owned())
}
