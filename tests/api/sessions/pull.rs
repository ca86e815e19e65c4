//! tracks/new for remote tracks.

use std::time::Duration;

use ringcast::plan::{LayerPreference, Ordering};
use ringcast::shard::command::Event;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::browser::{Browser, Direction, direction_of};
use crate::harness::{APP, Api, OTHER_APP, OTHER_SECRET, Publisher, local, remote, settle, text};

#[tokio::test(start_paused = true)]
async fn a_pull_is_offered_and_takes_effect_with_the_answer() {
    let api = Api::new();
    let publisher = api.publisher(&[("audio", "mic"), ("video", "cam")]).await;
    let mut subscriber = Publisher { session: api.open().await, browser: Browser::default() };
    let tracks =
        json!([remote(&publisher.session, "cam"), {"sessionId": publisher.session, "trackName": "mic"}]);
    let body = api.tracks_new(&subscriber.session, &json!({"tracks": tracks})).await.ok();
    assert_eq!(body["requiresImmediateRenegotiation"], true);
    let mids = [text(&body["tracks"][0]["mid"]), text(&body["tracks"][1]["mid"])];
    assert_eq!(
        body["tracks"][0],
        json!({"sessionId": publisher.session, "trackName": "cam", "mid": mids[0]})
    );
    let offer = text(&body["sessionDescription"]["sdp"]);
    for mid in &mids {
        assert_eq!(direction_of(&offer, mid), Some("sendonly"));
    }
    assert!(offer.contains("a=ssrc:") && offer.contains(" cname:"), "{offer}");
    let answer = subscriber.browser.answer(&offer);
    assert_eq!(api.renegotiate(&subscriber.session, "answer", &answer).await.ok(), json!({}));
    let fed = api.shard(&publisher.session).fed(&publisher.session, "1");
    let shard = api.shard(&subscriber.session);
    assert_eq!(shard.received(&subscriber.session, &mids[0]), fed);
    let plan = shard.plan(&subscriber.session);
    assert_eq!(plan.egress.len(), 2);
    assert_eq!(plan.egress[0].cname, plan.egress[1].cname);
    assert_ne!(
        plan.egress[0].origin.0,
        u8::from(std::ptr::eq(shard, &*api.shards[1])),
        "sessions spread over shards"
    );
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_pulled_fails_alone() {
    let api = Api::new();
    let publisher = api.publisher(&[("audio", "mic")]).await;
    let foreign = foreign_publisher(&api).await;
    let session = api.open().await;
    let tracks = json!([
        remote(&publisher.session, "nothing"),
        remote(&publisher.session, "mic"),
        remote("undefined", "mic"),
        remote(&"0".repeat(32), "mic"),
        remote(&foreign, "mic"),
    ]);
    let body = api.tracks_new(&session, &json!({"tracks": tracks})).await.ok();
    assert_eq!(body["requiresImmediateRenegotiation"], true);
    assert_eq!(text(&body["sessionDescription"]["sdp"]).matches("m=audio").count(), 1);
    for (index, track) in body["tracks"].as_array().unwrap().iter().enumerate() {
        assert_eq!(track["sessionId"], tracks[index]["sessionId"]);
        assert_eq!(track["trackName"], tracks[index]["trackName"]);
        if index == 1 {
            assert!(!text(&track["mid"]).is_empty() && track.get("errorCode").is_none());
        } else {
            assert_eq!((track.get("mid"), &track["errorCode"]), (None, &json!("not_found_track_error")));
            assert!(text(&track["errorDescription"]).contains("Track not found"));
        }
    }
}

/// A publisher of the same name in another application.
async fn foreign_publisher(api: &Api) -> String {
    let call = |path: String, body: Value| {
        axum::http::Request::builder()
            .method("POST")
            .uri(format!("/v1/apps/{OTHER_APP}{path}"))
            .header("authorization", format!("Bearer {OTHER_SECRET}"))
            .body(axum::body::Body::from(body.to_string()))
            .unwrap()
    };
    let session = text(&api.request(call("/sessions/new".into(), json!({}))).await.ok()["sessionId"]);
    let mut browser = Browser::default();
    browser.add("audio", Direction::Send);
    let body = json!({"sessionDescription": {"type": "offer", "sdp": browser.offer()}, "tracks": [local("0", "mic")]});
    api.request(call(format!("/sessions/{session}/tracks/new"), body)).await.ok();
    settle().await;
    assert_ne!(APP, OTHER_APP);
    session
}

#[tokio::test(start_paused = true)]
async fn when_all_fail_nothing_is_negotiated() {
    let api = Api::new();
    let session = api.open().await;
    let body = json!({"tracks": [remote("gone", "a"), remote("gone", "b")]});
    let body = api.tracks_new(&session, &body).await.ok();
    assert_eq!(body["requiresImmediateRenegotiation"], false);
    assert!(body.get("sessionDescription").is_none());
    assert!(
        body["tracks"]
            .as_array()
            .unwrap()
            .iter()
            .all(|track| track.get("mid").is_none() && track["errorCode"].is_string())
    );
    assert!(api.shards.iter().all(|shard| !shard.log().contains(&"configure".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_pull_waits_for_media_and_several_wait_together() {
    let api = Api::new();
    api.shards.iter().for_each(|shard| shard.keep_silent());
    let publisher = api.publisher(&[("audio", "mic"), ("video", "cam"), ("video", "screen")]).await;
    let session = api.open().await;
    let tracks: Vec<Value> =
        ["mic", "cam", "screen"].iter().map(|name| remote(&publisher.session, name)).collect();
    let begun = Instant::now();
    let pulls = async { api.tracks_new(&session, &json!({"tracks": tracks})).await.ok() };
    let media = async {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let id = api.shard(&publisher.session).fed(&publisher.session, "1").unwrap();
        api.shards[0].tell(Event::PublicationLive(id));
    };
    let (body, ()) = tokio::join!(pulls, media);
    assert_eq!(begun.elapsed().as_secs(), 2);
    assert_eq!(body["requiresImmediateRenegotiation"], true);
    assert!(!text(&body["tracks"][1]["mid"]).is_empty());
    for index in [0, 2] {
        assert_eq!(
            (body["tracks"][index].get("mid"), &body["tracks"][index]["errorCode"]),
            (None, &json!("empty_track_error"))
        );
    }
    let description = text(&body["tracks"][0]["errorDescription"]);
    assert!(description.contains("appears to be disconnected"), "{description}");
}

#[tokio::test(start_paused = true)]
async fn a_hold_ends_at_once_when_the_publisher_goes() {
    let api = Api::new();
    api.shards.iter().for_each(|shard| shard.keep_silent());
    let publisher = api.publisher(&[("audio", "mic")]).await;
    let session = api.open().await;
    let begun = Instant::now();
    let pull = json!({"tracks": [remote(&publisher.session, "mic")]});
    let (body, ()) = tokio::join!(api.tracks_new(&session, &pull), async {
        settle().await;
        api.end(&publisher.session).await;
    });
    assert_eq!(body.ok()["tracks"][0]["errorCode"], "not_found_track_error");
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn the_clients_own_sections_are_used_in_order_and_by_kind() {
    let api = Api::new();
    let publisher = api.publisher(&[("audio", "mic"), ("video", "cam")]).await;
    let (session, mut browser) = (api.open().await, Browser::default());
    let video = browser.add("video", Direction::Receive);
    let audio = browser.add("audio", Direction::Receive);
    let body = json!({
        "sessionDescription": {"type": "offer", "sdp": browser.offer()},
        "tracks": [remote(&publisher.session, "mic"), remote(&publisher.session, "cam"), remote(&publisher.session, "mic")],
    });
    let body = api.tracks_new(&session, &body).await.ok();
    assert_eq!(body["requiresImmediateRenegotiation"], false);
    assert_eq!(body["sessionDescription"]["type"], "answer");
    let answer = text(&body["sessionDescription"]["sdp"]);
    assert_eq!((&body["tracks"][0]["mid"], &body["tracks"][1]["mid"]), (&json!(audio), &json!(video)));
    assert_eq!(
        (direction_of(&answer, &audio), direction_of(&answer, &video)),
        (Some("sendonly"), Some("sendonly"))
    );
    assert_eq!(body["tracks"][2].get("mid"), None);
    assert_eq!(body["tracks"][2]["errorCode"], "transport_unavailable_error");
    assert_eq!(api.shard(&session).plan(&session).egress.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_offer_is_answered_even_when_nothing_can_be_pulled() {
    let api = Api::new();
    let (session, mut browser) = (api.open().await, Browser::default());
    let mid = browser.add("video", Direction::Receive);
    let offer = json!({"type": "offer", "sdp": browser.offer()});
    let body = api
        .tracks_new(&session, &json!({"sessionDescription": offer, "tracks": [remote("x", "y")]}))
        .await
        .ok();
    assert_eq!(body["requiresImmediateRenegotiation"], false);
    assert_eq!(direction_of(&text(&body["sessionDescription"]["sdp"]), &mid), Some("inactive"));
    assert_eq!(body["tracks"][0].get("mid"), None);
}

#[tokio::test(start_paused = true)]
async fn an_existing_transceiver_is_used_without_any_description() {
    let api = Api::new();
    let publisher = api.publisher(&[("audio", "mic")]).await;
    let (session, mut browser) = (api.open().await, Browser::default());
    let track =
        json!({"location": "local", "trackName": "mic-1", "kind": "audio", "bidirectionalMediaStream": true});
    let body = api.tracks_new(&session, &json!({"tracks": [track]})).await.ok();
    let mid = text(&body["tracks"][0]["mid"]);
    let answer = browser.answer(&text(&body["sessionDescription"]["sdp"]));
    api.renegotiate(&session, "answer", &answer).await.ok();
    for asked in ["#mic-1", mid.as_str()] {
        let track =
            json!({"location": "remote", "sessionId": publisher.session, "trackName": "mic", "mid": asked});
        let body = api.tracks_new(&session, &json!({"tracks": [track]})).await.ok();
        assert_eq!(body["requiresImmediateRenegotiation"], false, "{body}");
        assert!(body.get("sessionDescription").is_none());
        assert_eq!(body["tracks"][0]["mid"], mid);
        let source = api.shard(&publisher.session).fed(&publisher.session, "0");
        assert_eq!(api.shard(&session).received(&session, &mid), source);
    }
    let state = api.get(&format!("/sessions/{session}")).await.ok();
    assert_eq!(state["tracks"].as_array().unwrap().len(), 2, "one section, a track each way");
    for asked in ["#nobody", "77"] {
        let track =
            json!({"location": "remote", "sessionId": publisher.session, "trackName": "mic", "mid": asked});
        let body = api.tracks_new(&session, &json!({"tracks": [track]})).await.ok();
        assert_eq!(body["tracks"][0].get("mid"), None);
        assert!(body["tracks"][0]["errorCode"].is_string());
    }
}

#[tokio::test(start_paused = true)]
async fn one_track_can_be_pulled_twice_and_also_by_its_own_session() {
    let api = Api::new();
    let mut publisher = api.publisher(&[("video", "cam")]).await;
    let (subscriber, mids) = api.subscriber(&publisher.session, &["cam", "cam"]).await;
    assert_ne!(mids[0], mids[1]);
    assert_eq!(api.shard(&subscriber.session).plan(&subscriber.session).egress.len(), 2);
    let id = publisher.session.clone();
    let own = publisher.pull(&api, &id, &["cam"]).await;
    let shard = api.shard(&publisher.session);
    assert_eq!(shard.received(&publisher.session, &own[0]), shard.fed(&publisher.session, "0"));
}

#[tokio::test(start_paused = true)]
async fn the_wanted_layer_is_echoed_and_planned() {
    let api = Api::new();
    let publisher = api.simulcaster("cam").await;
    let wishes = [
        (json!({"preferredRid": "h"}), Some("h"), Ordering::None),
        (json!({"preferredRid": ""}), None, Ordering::None),
        (
            json!({"preferredRid": "q", "ridNotAvailable": "asciibetical", "priorityOrdering": "none"}),
            Some("q"),
            Ordering::Asciibetical,
        ),
    ];
    for (wish, rid, ordering) in wishes {
        let (session, mut browser) = (api.open().await, Browser::default());
        let mut track = remote(&publisher.session, "cam");
        track["simulcast"] = wish.clone();
        let body = api.tracks_new(&session, &json!({"tracks": [track]})).await.ok();
        assert_eq!(body["tracks"][0]["simulcast"], wish);
        let answer = browser.answer(&text(&body["sessionDescription"]["sdp"]));
        api.renegotiate(&session, "answer", &answer).await.ok();
        let expected = LayerPreference {
            preferred_rid: rid.map(str::to_owned),
            priority_ordering: Ordering::None,
            rid_not_available: ordering,
        };
        assert_eq!(api.shard(&session).plan(&session).egress[0].preference, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_publication_has_so_many_subscriptions_and_no_more() {
    let api = Api::with(|config| config.limits.subscriptions_per_publication = 2_u64.try_into().unwrap());
    let publisher = api.publisher(&[("audio", "mic")]).await;
    let (subscriber, mids) = api.subscriber(&publisher.session, &["mic", "mic"]).await;
    let session = api.open().await;
    let pull = json!({"tracks": [remote(&publisher.session, "mic")]});
    let body = api.tracks_new(&session, &pull).await.ok();
    assert_eq!(body["tracks"][0]["errorCode"], "temporarily_unavailable_error");
    assert_eq!(body["requiresImmediateRenegotiation"], false);
    api.close(&subscriber.session, &json!({"tracks": [{"mid": mids[0]}], "force": true})).await.ok();
    api.subscriber(&publisher.session, &["mic"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_rejected_section_of_our_offer_is_closed() {
    let api = Api::new();
    let publisher = api.publisher(&[("audio", "mic"), ("video", "cam")]).await;
    let (session, mut browser) = (api.open().await, Browser::default());
    let tracks = json!({"tracks": [remote(&publisher.session, "mic"), remote(&publisher.session, "cam")]});
    let body = api.tracks_new(&session, &tracks).await.ok();
    let (mic, cam) = (text(&body["tracks"][0]["mid"]), text(&body["tracks"][1]["mid"]));
    browser.answer(&text(&body["sessionDescription"]["sdp"]));
    browser.turn(&cam, Direction::Stopped);
    let answer = browser.offer().replace("a=setup:actpass", "a=setup:active");
    api.renegotiate(&session, "answer", &answer).await.ok();
    let state = api.get(&format!("/sessions/{session}")).await.ok();
    let status: Vec<_> =
        state["tracks"].as_array().unwrap().iter().map(|t| (text(&t["mid"]), text(&t["status"]))).collect();
    assert_eq!(status, [(mic.clone(), "active".into()), (cam.clone(), "inactive".into())]);
    assert_eq!(api.shard(&session).received(&session, &cam), None);
    assert!(api.shard(&session).received(&session, &mic).is_some());
}
