//! The event streams of viewers, the list of streams, and what a stream's right does not reach.

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::json;
use tower::ServiceExt;

use crate::browser::Direction;
use crate::client::{Resource, SDP, header, offer, post, problem, send};
use crate::harness::{APP, Api, Response, settle};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn subscribe(api: &Api, viewer: &Resource, names: &str) -> Response {
    send(api, "POST", &format!("{}/events", viewer.path), &[JSON], names).await
}

/// An event stream as it is read.
pub(crate) struct Reader {
    body: Body,
    text: String,
}

impl Reader {
    /// Opens it as `EventSource` does: without any token.
    pub(crate) async fn open(api: &Api, address: &str) -> Self {
        Self::request(api, Request::builder().uri(address).body(Body::empty()).unwrap()).await
    }

    /// Opens it by a request.
    pub(crate) async fn request(api: &Api, request: Request<Body>) -> Self {
        let response = api.service.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body(), text: String::new() }
    }

    /// The next event: its name and its data; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<(String, String)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let line = |prefix: &str| {
                    event.lines().find_map(|line| line.strip_prefix(prefix)).map(str::to_owned)
                };
                if let (Some(name), Some(data)) = (line("event: "), line("data: ")) {
                    return Some((name, data));
                }
                continue;
            }
            let body = &mut self.body;
            let frame = std::future::poll_fn(|context| {
                axum::body::HttpBody::poll_frame(std::pin::Pin::new(&mut *body), context)
            });
            let data = frame.await?.unwrap().into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    pub(crate) async fn expect(&mut self, name: &str, data: &str) {
        assert_eq!(self.next().await, Some((name.to_owned(), data.to_owned())));
    }
}

#[tokio::test(start_paused = true)]
async fn a_viewer_is_told_of_the_stream_its_layers_and_the_crowd() {
    let api = Api::new();
    let viewer = Resource::viewer(&api).await;
    let made = post(&api, "whep", &offer(Direction::Receive)).await;
    let links: Vec<_> = made.headers.get_all("link").iter().map(|link| link.to_str().unwrap()).collect();
    assert!(
        links
            .iter()
            .any(|link| link.contains("/events>; rel=\"urn:ietf:params:whep:ext:core:server-sent-events\""))
    );
    let subscribed =
        subscribe(&api, &viewer, r#"["viewercount","active","inactive","layers","scte35"]"#).await;
    assert_eq!(subscribed.status, 201);
    let mut reader = Reader::open(&api, &header(&subscribed, "location")).await;
    reader.expect("inactive", "{}").await;
    let (name, layers) = reader.next().await.unwrap();
    assert_eq!(name, "layers");
    assert!(layers.contains("\"active\":[]"), "{layers}");
    reader.expect("viewercount", r#"{"viewercount":2}"#).await;
    let publisher = Resource::publisher(&api).await;
    settle().await;
    reader.expect("active", "{}").await;
    let leaver = Resource::of(&made);
    assert_eq!(leaver.delete(&api).await, 200);
    reader.expect("viewercount", r#"{"viewercount":1}"#).await;
    assert_eq!(publisher.delete(&api).await, 200);
    reader.expect("inactive", "{}").await;
    assert_eq!(viewer.delete(&api).await, 200);
    assert_eq!(reader.next().await, None, "it ends with its viewer");
}

#[tokio::test(start_paused = true)]
async fn a_viewer_has_one_event_stream_and_chooses_what_it_tells() {
    let api = Api::new();
    let viewer = Resource::viewer(&api).await;
    let address = header(&subscribe(&api, &viewer, r#"["viewercount"]"#).await, "location");
    let mut first = Reader::open(&api, &address).await;
    first.expect("viewercount", r#"{"viewercount":1}"#).await;
    let mut second = Reader::open(&api, &address).await;
    second.expect("viewercount", r#"{"viewercount":1}"#).await;
    assert_eq!(first.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn bad_subscriptions_are_refused() {
    let api = Api::new();
    let viewer = Resource::viewer(&api).await;
    assert_eq!(problem(&subscribe(&api, &viewer, "{").await).0, 400);
    assert_eq!(problem(&subscribe(&api, &viewer, r#"["scte35"]"#).await).0, 422);
    let path = format!("{}/events", viewer.path);
    assert_eq!(problem(&send(&api, "POST", &path, &[SDP], "[]").await).0, 415);
    assert_eq!(problem(&send(&api, "PUT", &path, &[JSON], "[]").await).0, 405);
    assert_eq!(send(&api, "POST", &path, &[JSON, ("authorization", "")], "[]").await.status, 401);
    let unknown = format!("/whep/{APP}/studio/{}/events", "0".repeat(32));
    assert_eq!(problem(&send(&api, "GET", &unknown, &[], "").await).0, 404);
    // A publisher has none.
    let publisher = Resource::publisher(&api).await;
    let as_viewer = publisher.path.replace("/whip/", "/whep/");
    assert_eq!(problem(&send(&api, "GET", &format!("{as_viewer}/events"), &[], "").await).0, 404);
}

#[tokio::test(start_paused = true)]
async fn streams_are_listed_with_their_source_and_viewers_in_pages() {
    let api = Api::new();
    assert_eq!(api.get("/ext/streams").await.ok(), json!({"streams": []}));
    let publisher = Resource::publisher(&api).await;
    Resource::viewer(&api).await;
    let waiting = format!("/whep/{APP}/another");
    assert_eq!(send(&api, "POST", &waiting, &[SDP], &offer(Direction::Receive)).await.status, 201);
    let session = publisher.path.rsplit('/').next().unwrap();
    let another = json!({"stream": "another", "viewers": 1});
    let studio = json!({"stream": "studio", "sessionId": session, "viewers": 1});
    assert_eq!(api.get("/ext/streams").await.ok(), json!({"streams": [another, studio]}));
    let page = api.get("/ext/streams?limit=1").await.ok();
    assert_eq!(page, json!({"streams": [another], "cursor": "another"}));
    let rest = api.get("/ext/streams?limit=1&cursor=another").await.ok();
    assert_eq!(rest, json!({"streams": [studio]}));
    assert_eq!(api.get("/ext/streams?limit=0").await.refusal().0, 400);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_played_by_its_id_is_neither_ended_nor_replaced_by_whip() {
    let api = Api::new();
    let publisher = api.publisher(&[("audio", "audio")]).await;
    let id = &publisher.session;
    let played = send(&api, "POST", &format!("/whep/{APP}/{id}"), &[SDP], &offer(Direction::Receive)).await;
    assert_eq!(played.status, 201);
    let resource = format!("/whip/{APP}/{id}/{id}");
    assert_eq!(problem(&send(&api, "DELETE", &resource, &[], "").await).0, 404);
    let taken = send(&api, "POST", &format!("/whip/{APP}/{id}"), &[SDP], &offer(Direction::Send)).await;
    assert_eq!(problem(&taken).0, 409);
    let state = api.call(Method::GET, &format!("/sessions/{id}"), "").await;
    assert_eq!(state.status, 200, "it lives on");
}
