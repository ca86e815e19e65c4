//! What the strictest clients ask of every response: theirs is checked by schemas in which an optional member is
//! missing or of its type, and one bad item voids the whole.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::browser::Browser;
use super::harness::{Api, Publisher, remote, text};

/// Names that are never empty.
const NAMES: [&str; 4] = ["mid", "sessionId", "trackName", "dataChannelName"];

/// Checks one response, whichever it is.
pub(crate) fn check(status: StatusCode, body: &Value) {
    // The description of the API speaks of members, and has none of them.
    if body.get("openapi").is_some() {
        return;
    }
    if status.is_success() {
        // Each of them is a failure even under 200.
        for sign in ["errorCode", "errorDescription"] {
            assert_eq!(body.get(sign), None, "a success with {sign}: {body}");
        }
    }
    check_value(body, body);
}

fn check_value(value: &Value, whole: &Value) {
    match value {
        Value::Null => panic!("what is absent is left out: {whole}"),
        Value::Array(items) => items.iter().for_each(|item| check_value(item, whole)),
        Value::Object(members) => {
            for (name, value) in members {
                if NAMES.contains(&name.as_str()) {
                    assert_ne!(value, "", "{name} stands for nothing: {whole}");
                }
                if name == "errorCode" {
                    check_code(value, whole);
                }
                check_value(value, whole);
            }
        }
        _ => {}
    }
}

/// Codes that are not of this form are thrown away.
fn check_code(code: &Value, whole: &Value) {
    let code = code.as_str().unwrap_or_default();
    let mut chars = code.chars();
    let begins = chars.next().is_some_and(|first| first.is_ascii_lowercase());
    let goes_on = chars.all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_');
    assert!(begins && goes_on && code.len() <= 64, "an errorCode that clients do not take: {whole}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_item_has_no_mid_and_leaves_the_others_usable() {
    let api = Api::new();
    let publisher = api.publisher(&[("audio", "mic")]).await;
    let session = api.open().await;
    let tracks = json!([remote(&publisher.session, "mic"), remote(&publisher.session, "gone")]);
    let body = api.tracks_new(&session, &json!({"tracks": tracks})).await.ok();
    assert!(body["tracks"][0]["mid"].is_string());
    assert_eq!(body["tracks"][1].get("mid"), None);
    for mid in ["", "#nobody"] {
        let update = json!({"tracks": [{"mid": mid, "simulcast": {"preferredRid": "a"}}]});
        let item = api.update(&session, &update).await.ok()["tracks"][0].clone();
        assert_eq!((item.get("mid"), item["errorCode"].is_string()), (None, true), "{item}");
        let close = json!({"tracks": [{"mid": mid}], "force": true});
        let item = api.close(&session, &close).await.ok()["tracks"][0].clone();
        assert_eq!((item.get("mid"), &item["errorCode"]), (None, &json!("close_track_error")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_forced_close_has_one_item_for_each_mid_in_its_order() {
    let api = Api::new();
    let publisher = api.publisher(&[("audio", "mic"), ("video", "cam")]).await;
    let mids = ["1", "77", "0", "1"];
    let tracks: Vec<Value> = mids.iter().map(|mid| json!({"mid": mid})).collect();
    let body = api.close(&publisher.session, &json!({"tracks": tracks, "force": true})).await.ok();
    assert_eq!(body["requiresImmediateRenegotiation"], false);
    let items = body["tracks"].as_array().unwrap();
    assert_eq!(items.iter().map(|item| text(&item["mid"])).collect::<Vec<_>>(), mids);
    let failed: Vec<bool> = items.iter().map(|item| item.get("errorCode").is_some()).collect();
    assert_eq!(failed[..3], [false, true, false]);
    // A session that has ended is "already gone" by its status.
    api.end(&publisher.session).await;
    let gone = api.close(&publisher.session, &json!({"tracks": [{"mid": "0"}], "force": true})).await;
    assert_eq!(gone.refusal(), (410, "session_error".into()));
}

#[tokio::test(start_paused = true)]
async fn channels_answer_item_by_item_with_what_was_asked() {
    let api = Api::new();
    let session = api.open().await;
    let path = |what: &str| format!("/sessions/{session}/datachannels/{what}");
    let wish = json!({"location": "local", "dataChannelName": "keys", "ordered": false, "maxRetransmits": 0});
    let item = api.post(&path("new"), &json!({"dataChannels": [wish]})).await.ok()["dataChannels"][0].clone();
    assert_eq!(item["dataChannelName"], "keys");
    assert_eq!((&item["ordered"], &item["maxRetransmits"]), (&json!(false), &json!(0)));
    // 0 is the client's own `server-events`, whether or not it was established.
    assert!(item["id"].as_u64().is_some_and(|id| (2..=65_534).contains(&id)));
    let close = json!({"dataChannels": [{"id": item["id"]}, {"id": 40}]});
    let closed = api.put(&path("close"), &close).await.ok();
    let ids: Vec<_> = closed["dataChannels"].as_array().unwrap().iter().map(|item| &item["id"]).collect();
    assert_eq!(ids, [&item["id"], &json!(40)]);
    let body = json!({"dataChannel": {"location": "remote", "dataChannelName": "server-events"}});
    let reply = api.post(&path("establish"), &body).await.ok();
    assert!(reply["dataChannel"]["id"].as_u64().is_some_and(|id| id <= 65_534), "{reply}");
}

#[tokio::test(start_paused = true)]
async fn no_request_waits_for_two_things_in_a_row_longer_than_clients_do() {
    let api = Api::new();
    let publisher = api.publisher(&[("audio", "mic"), ("video", "cam")]).await;
    let mut subscriber = Publisher { session: api.open().await, browser: Browser::default() };
    let mic = subscriber.pull(&api, &publisher.session, &["mic"]).await[0].clone();
    api.close(&subscriber.session, &json!({"tracks": [{"mid": mic}], "force": true})).await.ok();
    // An offer that nobody answers, then a pull into a closed section, which needs an offer as well.
    let pull = json!({"tracks": [remote(&publisher.session, "cam")]});
    api.tracks_new(&subscriber.session, &pull).await.ok();
    let mut again = remote(&publisher.session, "mic");
    again["mid"] = json!(mic);
    api.shards.iter().for_each(|shard| shard.keep_silent());
    let silent = api.publisher(&[("audio", "silent")]).await;
    let begun = tokio::time::Instant::now();
    let body = json!({"tracks": [again, remote(&silent.session, "silent")]});
    assert_eq!(api.tracks_new(&subscriber.session, &body).await.status, 406);
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_empty_body_with_a_content_type_of_json_makes_a_session() {
    let api = Api::new();
    let request = axum::http::Request::builder()
        .method("POST")
        .uri(format!("/v1/apps/{}/sessions/new", super::harness::APP))
        .header("authorization", format!("Bearer {}", super::harness::SECRET))
        .header("content-type", "application/json");
    let response = api.request(request.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(response.status, 201);
}
