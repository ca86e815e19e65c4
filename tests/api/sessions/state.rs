//! sessions/new and the state of a session.

use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};

use crate::browser::{Browser, Direction, direction_of};
use crate::harness::{Api, settle, text};

async fn new(api: &Api, query: &str, body: impl Into<Body>) -> crate::harness::Response {
    api.call(Method::POST, &format!("/sessions/new{query}"), body).await
}

fn is_session_id(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[tokio::test(start_paused = true)]
async fn a_session_needs_no_body() {
    let api = Api::new();
    for (query, body) in
        [("", ""), ("?", " \r\n"), ("?correlationId=x%20y&thirdparty=false", "{}"), ("", "{\"x\":1}")]
    {
        let response = new(&api, query, body).await;
        assert_eq!(response.status, 201);
        let body = response.ok();
        assert!(is_session_id(&text(&body["sessionId"])), "{body}");
        assert_eq!(body.as_object().unwrap().len(), 1);
    }
    assert_eq!(api.shards.iter().map(|shard| shard.log().len()).collect::<Vec<_>>(), [2, 2], "they spread");
}

#[tokio::test(start_paused = true)]
async fn an_offer_is_answered_and_its_tracks_are_not_published() {
    let api = Api::new();
    let mut browser = Browser::default();
    let mid = browser.add("audio", Direction::Send);
    let offer = browser.offer();
    let body = json!({"sessionDescription": {"type": "offer", "sdp": offer}}).to_string();
    let body = new(&api, "", body).await.ok();
    assert_eq!(body["sessionDescription"]["type"], "answer");
    let answer = text(&body["sessionDescription"]["sdp"]);
    assert!(answer.contains("a=ice-lite") && answer.contains("a=end-of-candidates"), "{answer}");
    assert!(direction_of(&answer, &mid).is_some());
    let session = text(&body["sessionId"]);
    assert_eq!(api.get(&format!("/sessions/{session}")).await.ok()["tracks"], json!([]));
    assert_eq!(api.shard(&session).fed(&session, &mid), None);
    assert_eq!(api.shard(&session).log(), ["open", "configure"]);
}

#[tokio::test(start_paused = true)]
async fn a_bad_request_makes_no_session() {
    let api = Api::new();
    let description =
        |kind: &str, sdp: &str| json!({"sessionDescription": {"type": kind, "sdp": sdp}}).to_string();
    let mut browser = Browser::default();
    browser.add("audio", Direction::Send);
    let cases = [
        ("", "{".to_owned(), 400, "decoding_error"),
        ("", "[]".to_owned(), 400, "decoding_error"),
        ("?thirdparty=true", description("offer", &browser.offer()), 406, "invalid_session_description"),
        ("", description("offer", "nonsense"), 406, "invalid_session_description"),
        ("", description("answer", &browser.offer()), 406, "invalid_session_description"),
    ];
    for (query, body, status, code) in cases {
        assert_eq!(new(&api, query, body.clone()).await.refusal(), (status, code.into()), "{body}");
    }
    assert!(api.shards.iter().all(|shard| shard.log().is_empty()));
    assert_eq!(api.get("/ext/sessions").await.ok()["sessions"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn strict_mode_refuses_an_empty_object() {
    let api = Api::with(|config| config.http.strict_session_body = true);
    assert_eq!(new(&api, "", "{}").await.refusal(), (400, "decoding_error".into()));
    assert_eq!(new(&api, "", "").await.status, 201);
}

/// What a refusal for lack of room says.
fn sentence(response: &crate::harness::Response) -> String {
    assert_eq!(response.status, 503, "{response:?}");
    assert!(serde_json::from_slice::<Value>(&response.body).is_err(), "{response:?}");
    String::from_utf8(response.body.to_vec()).unwrap()
}

/// partytracks takes any JSON for a session and never comes back, but retries on anything else.
#[tokio::test(start_paused = true)]
async fn lack_of_room_is_told_without_json() {
    let api = Api::with(|config| config.limits.sessions = 2_u64.try_into().unwrap());
    let first = api.open().await;
    api.open().await;
    let refused = new(&api, "", "").await;
    assert!(sentence(&refused).contains("limits.sessions"), "{refused:?}");
    assert_eq!(refused.headers["retry-after"], "5");
    assert_eq!(refused.headers["access-control-allow-origin"], "https://page.example");
    api.end(&first).await;
    api.open().await;
    api.control.drain();
    assert!(sentence(&new(&api, "", "").await).contains("try again"));
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_takes_no_command_refuses_without_json() {
    let api = Api::new();
    api.shards.iter().for_each(|shard| shard.answer_with(crate::harness::Answer::Full));
    assert!(sentence(&new(&api, "", "").await).contains("try again"));
    api.shards.iter().for_each(|shard| shard.release());
    assert_eq!(api.get("/ext/sessions").await.ok()["sessions"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn the_state_lists_tracks_as_the_original_does() {
    let api = Api::new();
    let publisher = api.publisher(&[("audio", "mic"), ("video", "cam")]).await;
    let (subscriber, mids) = api.subscriber(&publisher.session, &["cam"]).await;
    let state = api.get(&format!("/sessions/{}", publisher.session)).await.ok();
    let expected = json!({"tracks": [
        {"location": "local", "mid": "0", "trackName": "mic", "status": "active"},
        {"location": "local", "mid": "1", "trackName": "cam", "status": "active"},
    ], "dataChannels": []});
    assert_eq!(state, expected);
    let received = |status: &str| json!([{"location": "remote", "mid": mids[0], "sessionId": publisher.session, "trackName": "cam", "status": status}]);
    let state = async || api.get(&format!("/sessions/{}", subscriber.session)).await.ok()["tracks"].clone();
    assert_eq!(state().await, received("active"));
    let id = api.shard(&publisher.session).fed(&publisher.session, "1").unwrap();
    api.shards[0].tell(ringcast::shard::command::Event::PublicationIdle(id));
    settle().await;
    assert_eq!(state().await, received("inactive"));
    api.shards[0].tell(ringcast::shard::command::Event::PublicationLive(id));
    settle().await;
    assert_eq!(state().await, received("active"));
    api.end(&publisher.session).await;
    assert_eq!(state().await, received("inactive"));
    let _: Value = state().await;
}
