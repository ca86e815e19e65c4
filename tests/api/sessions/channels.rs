//! Data channels: the calls, the ids, who may reply, and groups of in-band channels.

use axum::http::{Method, Request};
use ringcast::ids::SessionId;
use ringcast::plan::{ChannelPlan, ChannelRole, Reliability};
use ringcast::shard::command::{ChannelState, Event};
use serde_json::{Value, json};

use crate::harness::{Answer, Api, OTHER_APP, OTHER_SECRET, text};

const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
    a=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 \
    00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n\
    a=setup:actpass\r\na=mid:0\r\na=sctp-port:5000\r\na=max-message-size:65536\r\n";

async fn call(api: &Api, method: Method, session: &str, what: &str, channel: &Value) -> Value {
    let path = format!("/sessions/{session}/datachannels/{what}");
    let body = json!({"dataChannels": [channel]}).to_string();
    api.call(method, &path, body).await.ok()["dataChannels"][0].clone()
}

async fn new(api: &Api, session: &str, channel: &Value) -> Value {
    call(api, Method::POST, session, "new", channel).await
}

fn local(name: &str) -> Value {
    json!({"location": "local", "dataChannelName": name})
}

fn remote(publisher: &str, name: &str) -> Value {
    json!({"location": "remote", "sessionId": publisher, "dataChannelName": name})
}

/// A session whose client has offered a section for data channels.
async fn described(api: &Api) -> String {
    let body = json!({"sessionDescription": {"type": "offer", "sdp": OFFER}});
    text(&api.post("/sessions/new", &body).await.json()["sessionId"])
}

fn planned(api: &Api, session: &str) -> Vec<ChannelPlan> {
    api.shard(session).plan(session).channels.list
}

fn tell(api: &Api, session: &str, stream: u16, state: ChannelState) {
    api.control.handle_event(Event::Channel(SessionId::parse(session).unwrap(), stream, state));
}

async fn states(api: &Api, session: &str) -> Value {
    api.get(&format!("/sessions/{session}")).await.ok()["dataChannels"].clone()
}

#[tokio::test(start_paused = true)]
async fn establish_answers_an_offer_or_makes_one_once_per_session() {
    let api = Api::new();
    let establish = |session: &str| format!("/sessions/{session}/datachannels/establish");
    let wish = json!({"dataChannel": {"location": "remote", "dataChannelName": "server-events"}});
    let session = api.open().await;
    let mut with_offer = wish.clone();
    with_offer["sessionDescription"] = json!({"type": "offer", "sdp": OFFER});
    let reply = api.post(&establish(&session), &with_offer).await.ok();
    assert_eq!(reply["requiresImmediateRenegotiation"], false);
    assert_eq!(reply["dataChannel"], json!({"dataChannelName": "server-events", "id": 0}));
    assert!(text(&reply["sessionDescription"]["sdp"]).contains("a=max-message-size:262144"));
    assert!(!api.shard(&session).plan(&session).channels.server_events);
    let again = api.post(&establish(&session), &wish).await;
    assert_eq!(again.refusal(), (400, "decoding_error".into()));

    let session = api.open().await;
    let reply = api.post(&establish(&session), &wish).await.ok();
    assert_eq!(reply["requiresImmediateRenegotiation"], true);
    assert_eq!(reply["dataChannel"]["id"], 1);
    assert_eq!(reply["sessionDescription"]["type"], "offer");
    assert_eq!(api.post(&establish(&session), &wish).await.refusal(), (400, "decoding_error".into()));
    let answer = OFFER
        .replace("actpass", "active")
        .replace("a=mid:0", "a=mid:data")
        .replace("BUNDLE 0", "BUNDLE data");
    api.renegotiate(&session, "answer", &answer).await.ok();
    assert!(api.shard(&session).plan(&session).channels.server_events);
}

#[tokio::test(start_paused = true)]
async fn channels_may_be_named_before_there_is_a_transport_and_are_carried_out_with_it() {
    let api = Api::new();
    let session = api.open().await;
    assert_eq!(new(&api, &session, &local("early")).await["id"], 2);
    assert_eq!(states(&api, &session).await[0]["status"], "initializing");
    let establish = json!({"sessionDescription": {"type": "offer", "sdp": OFFER}});
    api.post(&format!("/sessions/{session}/datachannels/establish"), &establish).await.ok();
    let plan = planned(&api, &session);
    assert_eq!((plan[0].stream, plan[0].label.as_str()), (2, "early"));
    tell(&api, &session, 2, ChannelState::Open);
    assert_eq!(
        states(&api, &session).await[0],
        json!({"location": "local", "dataChannelName": "early", "id": 2, "status": "active"})
    );
}

#[tokio::test(start_paused = true)]
async fn zero_differs_from_absent_and_both_limits_are_an_error_of_the_item() {
    let api = Api::new();
    let session = described(&api).await;
    let with = |name: &str, more: Value| {
        let mut wish = local(name);
        wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        wish
    };
    let table = [
        ("a", json!({}), Reliability::Reliable),
        ("b", json!({"maxRetransmits": 0}), Reliability::Retransmits(0)),
        ("c", json!({"maxPacketLifeTime": 0, "ordered": false}), Reliability::Lifetime(0)),
    ];
    for (name, more, expected) in table {
        let id = new(&api, &session, &with(name, more)).await["id"].clone();
        let plan = planned(&api, &session).into_iter().find(|plan| plan.stream == id).unwrap();
        assert_eq!((plan.delivery.reliability, plan.delivery.ordered), (expected, name != "c"));
    }
    let both = new(&api, &session, &with("d", json!({"maxRetransmits": 1, "maxPacketLifeTime": 1}))).await;
    assert_eq!((&both["errorCode"], both.get("id")), (&json!("invalid_params"), None));
    assert_eq!(new(&api, &session, &local("server-events")).await["errorCode"], "invalid_params");
}

#[tokio::test(start_paused = true)]
async fn what_is_unknown_repeated_or_of_another_app_is_refused_item_by_item() {
    let api = Api::new();
    let (publisher, subscriber) = (described(&api).await, described(&api).await);
    new(&api, &publisher, &local("news")).await;
    assert_eq!(new(&api, &publisher, &local("news")).await["errorCode"], "repeated_local_track_error");
    let got = new(&api, &subscriber, &remote(&publisher, "news")).await;
    assert_eq!((&got["id"], &got["sessionId"]), (&json!(2), &json!(publisher)));
    let code = new(&api, &subscriber, &remote(&publisher, "news")).await["errorCode"].clone();
    assert_eq!(code, "repeated_local_track_error");
    for wish in [remote(&publisher, "other"), remote(&"0".repeat(32), "news")] {
        assert_eq!(new(&api, &subscriber, &wish).await["errorCode"], "not_found_track_error");
    }
    let foreign = Request::post(format!("/v1/apps/{OTHER_APP}/sessions/new"))
        .header("authorization", format!("Bearer {OTHER_SECRET}"))
        .body(axum::body::Body::empty())
        .unwrap();
    let foreign = text(&api.request(foreign).await.json()["sessionId"]);
    assert_eq!(new(&api, &publisher, &remote(&foreign, "news")).await["errorCode"], "not_found_track_error");
    let mixed = json!({"dataChannels": [local("x"), remote(&publisher, "news")]});
    let mixed = api.post(&format!("/sessions/{subscriber}/datachannels/new"), &mixed).await;
    assert_eq!(mixed.refusal(), (406, "invalid_params".into()));
}

#[tokio::test(start_paused = true)]
async fn a_session_may_receive_its_own_channel() {
    let api = Api::new();
    let session = described(&api).await;
    new(&api, &session, &local("echo")).await;
    assert_eq!(new(&api, &session, &remote(&session, "echo")).await["id"], 3);
}

#[tokio::test(start_paused = true)]
async fn every_grant_to_reply_has_a_greater_number_than_those_before() {
    let api = Api::new();
    let publisher = described(&api).await;
    let (first, second) = (described(&api).await, described(&api).await);
    new(&api, &publisher, &local("news")).await;
    let wish = |reply: bool| {
        let mut wish = remote(&publisher, "news");
        wish["canReply"] = json!(reply);
        wish
    };
    let grant = |session: &str| match planned(&api, session)[0].role {
        ChannelRole::Subscribe { grant, .. } => grant,
        ChannelRole::Publish(_) => None,
    };
    new(&api, &first, &wish(true)).await;
    new(&api, &second, &remote(&publisher, "news")).await;
    assert_eq!(grant(&second), None);
    let updated = call(&api, Method::PUT, &second, "update", &wish(true)).await;
    assert_eq!((&updated["canReply"], &updated["id"]), (&json!(true), &json!(2)));
    assert!(grant(&second) > grant(&first));
    let updated = call(&api, Method::PUT, &second, "update", &wish(false)).await;
    assert_eq!((&updated["canReply"], grant(&second)), (&json!(false), None));
}

#[tokio::test(start_paused = true)]
async fn closing_and_the_end_of_the_publisher_show_in_the_state() {
    let api = Api::new();
    let (publisher, subscriber) = (described(&api).await, described(&api).await);
    new(&api, &publisher, &local("news")).await;
    new(&api, &subscriber, &remote(&publisher, "news")).await;
    tell(&api, &subscriber, 2, ChannelState::Open);
    assert_eq!(states(&api, &subscriber).await[0]["status"], "active");
    let close = |id: u16| json!({"id": id});
    let closed = call(&api, Method::PUT, &publisher, "close", &close(2)).await;
    assert_eq!(closed, json!({"id": 2}));
    assert_eq!(states(&api, &subscriber).await[0]["status"], "inactive");
    assert!(planned(&api, &publisher).is_empty());
    let again = call(&api, Method::PUT, &publisher, "close", &close(2)).await;
    assert_eq!(again["errorCode"], "close_track_error");
    // The name is free at once, the stream is not.
    assert_eq!(new(&api, &publisher, &local("news")).await["id"], 3);
    api.end(&publisher).await;
    assert_eq!(
        new(&api, &subscriber, &remote(&publisher, "news")).await["errorCode"],
        "not_found_track_error"
    );
}

#[tokio::test(start_paused = true)]
async fn a_group_is_of_one_application_and_can_be_left() {
    let api = Api::new();
    let (first, second) = (described(&api).await, described(&api).await);
    let group = |session: &str| api.shard(session).plan(session).channels.group;
    for session in [&first, &second] {
        let reply = api.put(&format!("/ext/sessions/{session}/group"), &json!({"group": "room-1"})).await;
        assert_eq!(reply.ok(), json!({"group": "room-1"}));
    }
    assert!(group(&first).is_some() && group(&first) == group(&second));
    api.put(&format!("/ext/sessions/{first}/group"), &json!({"group": null})).await.ok();
    assert_eq!(group(&first), None);
    let empty = api.put(&format!("/ext/sessions/{first}/group"), &json!({"group": ""})).await;
    assert_eq!(empty.refusal(), (406, "invalid_params".into()));
}

/// A close, and a leave to reply, that the shard does not carry out have not happened for anybody.
#[tokio::test(start_paused = true)]
async fn what_fails_ends_no_channel_and_lets_nobody_reply() {
    let api = Api::new();
    let (publisher, viewer, bystander) =
        (described(&api).await, described(&api).await, described(&api).await);
    let id = new(&api, &publisher, &local("chat")).await["id"].clone();
    tell(&api, &publisher, 2, ChannelState::Open);
    new(&api, &viewer, &remote(&publisher, "chat")).await;
    tell(&api, &viewer, 2, ChannelState::Open);
    let answer_all = |answer| api.shards.iter().for_each(|shard| shard.answer_with(answer));
    for answer in [Answer::Refuse, Answer::Hold] {
        answer_all(answer);
        let close = json!({"dataChannels": [{"id": id}]});
        let refused = api.put(&format!("/sessions/{publisher}/datachannels/close"), &close).await;
        assert!(refused.status > 400, "{refused:?}");
        let mut may_reply = remote(&publisher, "chat");
        may_reply["canReply"] = json!(true);
        let update = json!({"dataChannels": [may_reply]});
        let refused = api.put(&format!("/sessions/{viewer}/datachannels/update"), &update).await;
        assert!(refused.status > 400, "{refused:?}");
        for session in [&publisher, &viewer] {
            assert_eq!(states(&api, session).await[0]["status"], "active");
        }
    }
    api.shards.iter().for_each(|shard| shard.release());
    assert_eq!(new(&api, &bystander, &remote(&publisher, "chat")).await["id"], 2);
    assert!(new(&api, &viewer, &local("other")).await["id"].is_number());
    assert!(matches!(planned(&api, &viewer)[0].role, ChannelRole::Subscribe { grant: None, .. }));
    // What is carried out has happened for all, and its id is not given before the stream is free.
    call(&api, Method::PUT, &publisher, "close", &json!({"id": id})).await;
    assert_eq!(states(&api, &publisher).await, json!([]));
    for session in [&viewer, &bystander] {
        assert_eq!(states(&api, session).await[0]["status"], "inactive");
    }
    assert_ne!(new(&api, &publisher, &local("chat")).await["id"], id);
}
