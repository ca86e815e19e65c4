//! WHIP and WHEP: a stream is published and played by one POST each.

use axum::body::Body;
use axum::http::Request;
use ringcast::config::{OptionalSecret, PublicTtl, Within};
use ringcast::control::apps::unix_now;

use super::browser::{Browser, Direction};
use super::harness::{APP, Api, Response, SECRET, settle};

async fn send(api: &Api, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
    let mut request = Request::builder().method(method).uri(path);
    request = request.header("authorization", format!("Bearer {SECRET}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    api.request(request.body(Body::from(body.to_owned())).unwrap()).await
}

fn offer(direction: Direction) -> String {
    let mut browser = Browser::default();
    browser.add("audio", direction);
    browser.add("video", direction);
    browser.offer()
}

async fn post(api: &Api, kind: &str, body: &str) -> Response {
    send(api, "POST", &format!("/{kind}/{APP}/studio"), &[("content-type", "application/sdp")], body).await
}

fn header(response: &Response, name: &str) -> String {
    response.headers[name].to_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_came_first_gets_the_stream_when_it_comes_and_when_it_returns() {
    let api = Api::new();
    let viewer = post(&api, "whep", &offer(Direction::Receive)).await;
    assert_eq!(viewer.status, 201, "{viewer:?}");
    let session = header(&viewer, "location").rsplit('/').next().unwrap().to_owned();
    assert!(api.shard(&session).plan(&session).egress.is_empty());
    let mut seen = Vec::new();
    for _ in 0..2 {
        let publisher = post(&api, "whip", &offer(Direction::Send)).await;
        assert_eq!(publisher.status, 201, "{publisher:?}");
        settle().await;
        let plan = api.shard(&session).plan(&session);
        assert_eq!(plan.egress.len(), 2);
        seen.push((plan.egress[0].publication, plan.egress[0].ssrc));
        assert_eq!(post(&api, "whip", &offer(Direction::Send)).await.status, 409);
        assert_eq!(send(&api, "DELETE", &header(&publisher, "location"), &[], "").await.status, 200);
        settle().await;
    }
    assert_ne!(seen[0].0, seen[1].0);
    assert_eq!(seen[0].1, seen[1].1, "the viewer keeps its source");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_served_is_refused_as_a_whole() {
    let api = Api::new();
    assert_eq!(post(&api, "whip", "hello").await.status, 400);
    assert_eq!(post(&api, "whip", &offer(Direction::Receive)).await.status, 422);
    assert_eq!(post(&api, "whep", &offer(Direction::Send)).await.status, 422);
    let untyped = send(&api, "POST", &format!("/whip/{APP}/studio"), &[], &offer(Direction::Send)).await;
    assert_eq!(untyped.status, 415);
    assert_eq!(header(&untyped, "content-type"), "application/problem+json");
    let path = format!("/whep/{APP}/studio?wait=0");
    let typed = [("content-type", "application/sdp")];
    let absent = send(&api, "POST", &path, &typed, &offer(Direction::Receive)).await;
    assert_eq!((absent.status, header(&absent, "retry-after")), (409, "2".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn fragments_need_the_tag_and_a_restart_changes_it() {
    let api = Api::new();
    let publisher = post(&api, "whip", &offer(Direction::Send)).await;
    let (resource, tag) = (header(&publisher, "location"), header(&publisher, "etag"));
    let typed = ("content-type", "application/trickle-ice-sdpfrag");
    let same = "a=ice-ufrag:Qw7R\r\na=ice-pwd:0Jf7hnC8VTdRLQ1bUAy5nx2o\r\n";
    let new = "a=ice-ufrag:Next\r\na=ice-pwd:0Jf7hnC8VTdRLQ1bUAy5nx2p\r\n";
    assert_eq!(send(&api, "PATCH", &resource, &[typed], same).await.status, 428);
    assert_eq!(send(&api, "PATCH", &resource, &[typed, ("if-match", "\"old\"")], same).await.status, 412);
    assert_eq!(send(&api, "PATCH", &resource, &[typed, ("if-match", &tag)], "bad").await.status, 400);
    assert_eq!(send(&api, "PATCH", &resource, &[typed, ("if-match", &tag)], same).await.status, 204);
    let restarted = send(&api, "PATCH", &resource, &[typed, ("if-match", "*")], new).await;
    assert_eq!(restarted.status, 200);
    assert_ne!(header(&restarted, "etag"), tag);
    assert_eq!(send(&api, "PATCH", &resource, &[typed, ("if-match", &tag)], new).await.status, 412);
    assert_eq!(send(&api, "DELETE", &resource, &[], "").await.status, 200);
    assert_eq!(send(&api, "DELETE", &resource, &[], "").await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn viewers_of_a_stream_that_is_open_to_all_get_the_relay_as_strangers_do() {
    for (open, public_ttl, life) in [(false, 600, Some(86_400)), (true, 600, Some(600)), (true, 0, None)] {
        let api = Api::with(|config| {
            config.whep.public = open;
            config.turn.urls = vec!["turn:t.example:3478?transport=udp".to_owned()];
            config.turn.secret = OptionalSecret::try_from("shared-with-coturn".to_owned()).unwrap();
            config.turn.public_ttl_seconds = PublicTtl(Within::new(public_ttl));
        });
        let relays = |response: &Response| {
            let links = response.headers.get_all("link").iter().filter_map(|link| link.to_str().ok());
            let names = links.filter_map(|link| link.split_once("username=\"")?.1.split_once(':'));
            names.map(|(expiry, _)| expiry.parse::<u64>().unwrap()).collect::<Vec<_>>()
        };
        let viewer = post(&api, "whep", &offer(Direction::Receive)).await;
        assert_eq!(viewer.status, 201);
        let given = relays(&viewer);
        assert_eq!(given.len(), life.iter().count(), "{open} {public_ttl}");
        for (expiry, life) in given.iter().zip(life) {
            assert!((unix_now() + life - 5..=unix_now() + life).contains(expiry), "{open}");
        }
        let publisher = post(&api, "whip", &offer(Direction::Send)).await;
        assert_eq!((publisher.status, relays(&publisher).len()), (201, 1));
    }
}
