//! What the original does not have.

use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use ringcast::config::Within;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::harness::{Api, text};

#[tokio::test(start_paused = true)]
async fn sessions_are_listed_page_by_page() {
    let api = Api::new();
    let mut opened = Vec::new();
    for _ in 0..5 {
        opened.push(api.open().await);
    }
    opened.sort();
    let (mut listed, mut cursor) = (Vec::new(), String::new());
    for expected in [2, 2, 1] {
        let page = api.get(&format!("/ext/sessions?limit=2{cursor}")).await.ok();
        let sessions = page["sessions"].as_array().unwrap();
        assert_eq!(sessions.len(), expected);
        listed.extend(sessions.iter().map(|session| text(&session["sessionId"])));
        cursor = page.get("cursor").map(|cursor| format!("&cursor={}", text(cursor))).unwrap_or_default();
    }
    assert_eq!(listed, opened);
    assert!(cursor.is_empty());
    for query in ["limit=0", "limit=1001", "limit=x", "cursor=x"] {
        assert_eq!(
            api.get(&format!("/ext/sessions?{query}")).await.refusal(),
            (400, "decoding_error".into())
        );
    }
}

#[tokio::test(start_paused = true)]
async fn figures_of_a_session_come_with_its_track_names() {
    let api = Api::new();
    let publisher = api.publisher(&[("audio", "mic")]).await;
    let body = api.get(&format!("/ext/sessions/{}/stats", publisher.session)).await.ok();
    assert_eq!(body["sessionId"], json!(publisher.session));
    assert_eq!(body["tracks"][0]["trackName"], "mic");
    assert_eq!(body["statistics"]["remoteAddress"], "192.0.2.7:50000");
    assert_eq!(body["statistics"]["path"]["estimateBps"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_session_is_gone_and_so_are_its_tracks() {
    let api = Api::new();
    let publisher = api.publisher(&[("audio", "mic")]).await;
    let (subscriber, _) = api.subscriber(&publisher.session, &["mic"]).await;
    let path = format!("/ext/sessions/{}", publisher.session);
    assert_eq!(api.call(Method::DELETE, &path, Body::empty()).await.ok(), json!({}));
    assert_eq!(api.call(Method::DELETE, &path, Body::empty()).await.refusal(), (410, "session_error".into()));
    assert!(api.shards.iter().any(|shard| shard.log().last().is_some_and(|last| last == "close")));
    let state = api.get(&format!("/sessions/{}", subscriber.session)).await.ok();
    assert_eq!(state["tracks"][0]["status"], "inactive");
}

fn member(name: &str) -> Value {
    json!({"name": name, "sessionId": "s", "tracks": [{"trackName": "cam", "kind": "video", "source": "camera"}]})
}

#[tokio::test(start_paused = true)]
async fn room_members_are_seen_until_they_leave_or_fall_silent() {
    let api = Api::new();
    let ids = |room: &Value| -> Vec<String> {
        room["members"].as_array().unwrap().iter().map(|member| text(&member["id"])).collect()
    };
    api.put("/ext/rooms/lobby/members/a", &member("Ann")).await.ok();
    sleep(Duration::from_secs(10)).await;
    let room = api.put("/ext/rooms/lobby/members/b", &member("Bob")).await.ok();
    assert_eq!(ids(&room), ["a", "b"]);
    assert_eq!(room["members"][0]["name"], "Ann");
    assert_eq!(room["members"][0]["tracks"], member("Ann")["tracks"]);
    sleep(Duration::from_secs(6)).await;
    assert_eq!(ids(&api.get("/ext/rooms/lobby").await.ok()), ["b"]);
    api.call(Method::DELETE, "/ext/rooms/lobby/members/b", Body::empty()).await.ok();
    assert_eq!(api.get("/ext/rooms/lobby").await.ok(), json!({"members": []}));
    assert_eq!(api.get("/ext/rooms/other").await.ok(), json!({"members": []}));
}

#[tokio::test(start_paused = true)]
async fn rooms_are_bounded() {
    let api = Api::with(|config| {
        config.limits.rooms = 2_u64.try_into().unwrap();
        config.limits.room_members = 2_u64.try_into().unwrap();
    });
    let put = async |room: &str, id: &str| {
        api.put(&format!("/ext/rooms/{room}/members/{id}"), &member(id)).await.status
    };
    assert_eq!(
        [put("r", "a").await, put("r", "b").await, put("r", "c").await, put("r", "a").await],
        [200, 200, 503, 200]
    );
    assert_eq!([put("s", "a").await, put("t", "a").await], [200, 503]);
    sleep(Duration::from_secs(16)).await;
    assert_eq!(put("t", "a").await, 200);
    let long = json!({"name": "x".repeat(20_000)});
    assert_eq!(api.put("/ext/rooms/t/members/a", &long).await.refusal(), (406, "invalid_params".into()));
    assert_eq!(api.get("/ext/rooms/a.b").await.refusal(), (406, "invalid_params".into()));
}

#[tokio::test(start_paused = true)]
async fn requests_are_measured_by_route_and_never_by_path() {
    let api = Api::new();
    let session = api.open().await;
    api.get(&format!("/sessions/{session}")).await.ok();
    api.get("/nonsense").await;
    let text = api.exposed().await;
    assert!(text.contains("route=\"/v1/apps/{appId}/sessions/{sessionId}\",status=\"200\""), "{text}");
    assert!(text.contains("route=\"none\",status=\"405\""), "{text}");
    assert!(!text.contains(&session));
}

#[tokio::test(start_paused = true)]
async fn operators_see_how_much_of_each_limit_is_used() {
    let api = Api::with(|config| {
        config.limits.sessions = Within::new(7);
        config.limits.thirdparty_sessions = Within::new(3);
    });
    let used = |text: &str, resource: &str| -> [String; 2] {
        ["limit", "limit_used"].map(|name| {
            let series = format!("ringcast_{name}{{resource=\"{resource}\"}} ");
            text.lines().find_map(|line| line.strip_prefix(&series)).unwrap_or("none").to_owned()
        })
    };
    api.open().await;
    let opened = api.call(Method::POST, "/sessions/new?thirdparty=true", Body::empty()).await;
    assert_eq!(opened.status, 201);
    api.put("/ext/rooms/garden/members/ada", &json!({"name": "Ada"})).await.ok();
    let text = api.exposed().await;
    assert_eq!(used(&text, "sessions"), ["7", "2"], "{text}");
    assert_eq!(used(&text, "thirdparty_sessions"), ["3", "1"]);
    assert_eq!(used(&text, "rooms"), ["1000", "1"]);
    assert_eq!(used(&text, "tcp_connections"), ["4096", "0"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_is_ready_when_every_shard_has_reported_and_no_drain_has_begun() {
    use ringcast::ids::ShardId;
    use ringcast::shard::command::Event;
    let api = Api::new();
    for shard in [0, 1] {
        assert!(!api.control.is_ready());
        api.control.handle_event(Event::Report(ShardId(shard), Box::default()));
    }
    assert!(api.control.is_ready());
    api.control.drain();
    assert!(!api.control.is_ready());
}
