//! Every refusal of a whole request, with the status and code that the API documents.

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};

use crate::browser::{Browser, Direction};
use crate::harness::{APP, Answer, Api, OLDER_SECRET, OTHER_APP, OTHER_SECRET, SECRET, local, remote};

fn offer() -> Value {
    let mut browser = Browser::default();
    browser.add("audio", Direction::Send);
    json!({"type": "offer", "sdp": browser.offer()})
}

fn without_ice(description: &Value) -> Value {
    let sdp = description["sdp"].as_str().unwrap();
    let lines = sdp.split_inclusive("\r\n").filter(|line| !line.starts_with("a=ice-ufrag"));
    json!({"type": "offer", "sdp": lines.collect::<String>()})
}

#[tokio::test(start_paused = true)]
async fn bodies_of_tracks_new() {
    let api = Api::new();
    let many: Vec<Value> = (0..65).map(|number| remote("x", &number.to_string())).collect();
    let as_answer = json!({"type": "answer", "sdp": offer()["sdp"]});
    let push = |description: &Value| json!({"sessionDescription": description, "tracks": [local("0", "a")]});
    let cases = [
        (json!("text"), 400, "decoding_error"),
        (json!({"tracks": [{"mid": 0, "trackName": "a"}]}), 400, "decoding_error"),
        (json!({"tracks": [{"location": "here"}]}), 400, "decoding_error"),
        (json!({"tracks": {}}), 400, "decoding_error"),
        (json!([[local("0", "a")]]), 400, "decoding_error"),
        (json!({"tracks": [["local", "a", "0"]]}), 400, "decoding_error"),
        (json!({"sessionDescription": ["offer", ""], "tracks": [local("0", "a")]}), 400, "decoding_error"),
        (push(&json!({"type": "pranswer", "sdp": ""})), 400, "decoding_error"),
        (push(&without_ice(&offer())), 400, "decoding_error"),
        (json!({}), 406, "invalid_params"),
        (json!({"tracks": []}), 406, "invalid_params"),
        (json!({"autoDiscover": true}), 406, "invalid_params"),
        (json!({"tracks": many}), 406, "invalid_params"),
        (json!({"tracks": [local("0", "a"), remote("x", "y")]}), 406, "invalid_params"),
        (json!({"tracks": [remote("x", "y")], "autoDiscover": true}), 406, "invalid_params"),
        (json!({"tracks": [{"location": "remote", "trackName": "y"}]}), 406, "invalid_params"),
        (json!({"tracks": [{"location": "remote", "sessionId": "x"}]}), 406, "invalid_params"),
        (json!({"tracks": [{"location": "local", "trackName": "y"}]}), 406, "invalid_params"),
        (
            json!({"sessionDescription": offer(), "tracks": [{"location": "local", "mid": "0"}]}),
            406,
            "invalid_params",
        ),
        (
            json!({"sessionDescription": offer(), "tracks": [{"location": "local", "trackName": "a"}]}),
            406,
            "invalid_params",
        ),
        (
            json!({"sessionDescription": offer(), "tracks": [local("0", "a"), local("0", "b")]}),
            406,
            "invalid_params",
        ),
        (
            json!({"sessionDescription": offer(), "tracks": [local("0", &"n".repeat(513))]}),
            406,
            "invalid_params",
        ),
        (push(&json!({"type": "offer", "sdp": "nonsense"})), 406, "invalid_session_description"),
        (push(&as_answer), 406, "invalid_session_description"),
    ];
    let session = api.open().await;
    for (body, status, code) in cases {
        let refusal = api.tracks_new(&session, &body).await.refusal();
        assert_eq!(refusal, (status, code.into()), "{body}");
    }
    assert!(
        api.shards.iter().all(|shard| !shard.log().contains(&"configure".to_owned())),
        "a refusal changes nothing"
    );
    let body = api.call(Method::POST, &format!("/sessions/{session}/tracks/new"), Body::empty()).await;
    assert_eq!(body.refusal(), (400, "decoding_error".into()));
}

#[tokio::test(start_paused = true)]
async fn bodies_of_the_other_calls() {
    let api = Api::new();
    let session = format!("/sessions/{}", api.open().await);
    let description = |kind: &str, sdp: &str| json!({"sessionDescription": {"type": kind, "sdp": sdp}});
    let cases = [
        ("renegotiate", json!({}), 400, "decoding_error"),
        ("renegotiate", json!({"sessionDescription": ["answer", ""]}), 400, "decoding_error"),
        ("renegotiate", json!({"sessionDescription": null}), 400, "decoding_error"),
        ("renegotiate", description("answer", "nonsense"), 406, "invalid_session_description"),
        (
            "renegotiate",
            description("answer", offer()["sdp"].as_str().unwrap()),
            406,
            "invalid_session_description",
        ),
        ("renegotiate", description("offer", "nonsense"), 406, "invalid_session_description"),
        ("tracks/update", json!({}), 400, "decoding_error"),
        ("tracks/update", json!({"tracks": []}), 406, "invalid_params"),
        ("tracks/update", json!({"tracks": [{"mid": "0", "sessionId": "x"}]}), 406, "invalid_params"),
        ("tracks/close", json!({"tracks": [{}], "force": true}), 400, "decoding_error"),
        ("tracks/close", json!({"tracks": [], "force": true}), 406, "invalid_params"),
        ("tracks/close", json!({"tracks": [{"mid": "0"}], "force": false}), 406, "invalid_params"),
        ("tracks/close", json!({"tracks": [{"mid": "0"}]}), 406, "invalid_params"),
    ];
    for (call, body, status, code) in cases {
        let refusal = api.put(&format!("{session}/{call}"), &body).await.refusal();
        assert_eq!(refusal, (status, code.into()), "{call} {body}");
    }
    let answer = description("answer", offer()["sdp"].as_str().unwrap());
    let response = api.put(&format!("{session}/renegotiate"), &answer).await;
    assert_eq!(response.json()["errorSubcode"], "invalid_modification_stable");
}

#[tokio::test(start_paused = true)]
async fn the_app_is_checked_before_the_secret_and_that_before_the_session() {
    let api = Api::new();
    let session = api.open().await;
    let foreign = "0".repeat(32);
    let get = |app: &str, secret: Option<&str>, session: &str| {
        let mut request = Request::builder().uri(format!("/v1/apps/{app}/sessions/{session}"));
        if let Some(secret) = secret {
            request = request.header("authorization", secret);
        }
        request.body(Body::empty()).unwrap()
    };
    let bearer = format!("Bearer {SECRET}");
    let other = format!("Bearer {OTHER_SECRET}");
    let cases = [
        (get("nope", None, &foreign), 404, "not_found"),
        (get(APP, None, &foreign), 401, "unauthorized"),
        (get(APP, Some("Bearer wrong"), &session), 401, "unauthorized"),
        (get(APP, Some(&format!("Basic {SECRET}")), &session), 401, "unauthorized"),
        (get(APP, Some(&other), &session), 401, "unauthorized"),
        (get(APP, Some(&bearer), &foreign), 410, "session_error"),
        (get(APP, Some(&bearer), "undefined"), 410, "session_error"),
        (get(APP, Some(&bearer), &session.to_uppercase()), 410, "session_error"),
        (get(OTHER_APP, Some(&other), &session), 410, "session_error"),
    ];
    for (request, status, code) in cases {
        let uri = request.uri().clone();
        assert_eq!(api.request(request).await.refusal(), (status, code.into()), "{uri}");
    }
    let older = api.request(get(APP, Some(&format!("bearer {OLDER_SECRET}")), &session)).await;
    older.ok();
}

#[tokio::test(start_paused = true)]
async fn an_ended_session_is_gone_for_every_call() {
    let api = Api::new();
    let session = api.open().await;
    api.end(&session).await;
    let path = format!("/sessions/{session}");
    let gone = (410, "session_error".to_owned());
    assert_eq!(api.get(&path).await.refusal(), gone);
    assert_eq!(api.tracks_new(&session, &json!({})).await.refusal(), gone);
    for call in ["renegotiate", "tracks/update", "tracks/close", "datachannels/update"] {
        assert_eq!(api.put(&format!("{path}/{call}"), &json!({})).await.refusal(), gone, "{call}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_shard_says_reaches_the_client() {
    let api = Api::new();
    let cases = [
        (Answer::Refuse, 406, "invalid_session_description"),
        (Answer::Full, 503, "temporarily_unavailable_error"),
        (Answer::Hold, 503, "temporarily_unavailable_error"),
        (Answer::Gone, 410, "session_error"),
        (Answer::Drop, 410, "session_error"),
    ];
    for (answer, status, code) in cases {
        let session = api.open().await;
        api.shards.iter().for_each(|shard| shard.answer_with(answer));
        let body = json!({"sessionDescription": offer(), "tracks": [local("0", "a")]});
        let response = api.tracks_new(&session, &body).await;
        assert_eq!(response.refusal(), (status, code.into()));
        assert_eq!(response.headers.contains_key("retry-after"), status == 503);
        api.shards.iter().for_each(|shard| shard.release());
        let after = api.get(&format!("/sessions/{session}")).await;
        if status == 410 {
            assert_eq!(after.refusal(), (410, code.into()));
        } else {
            assert_eq!(after.ok()["tracks"], json!([]), "nothing was committed");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn large_bodies_are_refused_with_and_without_a_length() {
    let api = Api::new();
    let session = api.open().await;
    let path = format!("/sessions/{session}/renegotiate");
    let large = format!("\"{}\"", "x".repeat(1 << 20));
    let announced = Request::builder()
        .method(Method::PUT)
        .uri(format!("/v1/apps/{APP}{path}"))
        .header("authorization", format!("Bearer {SECRET}"))
        .header("content-length", large.len());
    let announced = api.request(announced.body(Body::from(large.clone())).unwrap()).await;
    assert_eq!(announced.refusal(), (413, "payload_too_large".into()));
    let chunked = api.call(Method::PUT, &path, large).await;
    assert_eq!(chunked.refusal(), (413, "payload_too_large".into()));
    let fits = format!("\"{}\"", "x".repeat((1 << 20) - 2));
    assert_eq!(api.call(Method::PUT, &path, fits).await.refusal(), (400, "decoding_error".into()));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() {
    let api = Api::new();
    let session = api.open().await;
    let (sender, body) = tokio::io::duplex(64);
    let body = Body::from_stream(Endless(body));
    let response = api.call(Method::PUT, &format!("/sessions/{session}/renegotiate"), body).await;
    assert_eq!(response.refusal(), (408, "request_timeout".into()));
    drop(sender);
}

/// A body of which nothing ever comes.
struct Endless(tokio::io::DuplexStream);

impl futures_core::Stream for Endless {
    type Item = Result<axum::body::Bytes, std::io::Error>;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let _ = &self.0;
        std::task::Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_has_its_rate_and_others_are_not_touched() {
    let api = Api::new();
    let (session, other) = (api.open().await, api.open().await);
    let path = format!("/sessions/{session}");
    for _ in 0..50 {
        api.get(&path).await.ok();
    }
    let refused = api.get(&path).await;
    assert_eq!(refused.refusal(), (429, "rate_limited".into()));
    assert_eq!(refused.headers["retry-after"], "1");
    api.get(&format!("/sessions/{other}")).await.ok();
    for _ in 0..100 {
        api.get("/generate-ice-servers").await.ok();
    }
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    for _ in 0..50 {
        api.get(&path).await.ok();
    }
}
