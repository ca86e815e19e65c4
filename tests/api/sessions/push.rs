//! tracks/new for local tracks, and renegotiate.

use serde_json::{Value, json};

use crate::browser::{Browser, Direction, direction_of};
use crate::harness::{Answer, Api, local, settle, text};

async fn state(api: &Api, session: &str) -> Vec<(String, String, String)> {
    let state = api.get(&format!("/sessions/{session}")).await.ok();
    let track = |track: &Value| (text(&track["mid"]), text(&track["trackName"]), text(&track["status"]));
    state["tracks"].as_array().unwrap().iter().map(track).collect()
}

fn owned(tracks: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    tracks.iter().map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_push_is_answered_with_exactly_what_was_named() {
    let api = Api::new();
    let (session, mut browser) = (api.open().await, Browser::default());
    let (audio, video) = (browser.add("audio", Direction::Send), browser.add_simulcast(&["f", "h", "q"]));
    let stray = browser.add("video", Direction::Receive);
    let body = json!({
        "sessionDescription": {"sdp": browser.offer(), "type": "offer"},
        "tracks": [
            {"trackName": "b5ed", "mid": audio, "location": "local", "errorCode": "ignored", "kind": "audio"},
            {"trackName": "a63e", "mid": video, "location": "local"},
        ],
    });
    let body = api.tracks_new(&session, &body).await.ok();
    assert_eq!(body["requiresImmediateRenegotiation"], false);
    assert_eq!(body["tracks"], json!([{"mid": "0", "trackName": "b5ed"}, {"mid": "1", "trackName": "a63e"}]));
    assert_eq!(body["sessionDescription"]["type"], "answer");
    let answer = text(&body["sessionDescription"]["sdp"]);
    assert_eq!(direction_of(&answer, &audio), Some("recvonly"));
    assert_eq!(direction_of(&answer, &video), Some("recvonly"));
    assert_eq!(direction_of(&answer, &stray), Some("inactive"));
    assert!(!answer.contains("a=ssrc"), "{answer}");
    let plan = api.shard(&session).plan(&session);
    assert_eq!(plan.ingress.len(), 2);
    assert!(plan.ingress.iter().all(|section| section.publication.is_some()));
    assert_eq!(plan.ingress[1].rids, ["f", "h", "q"]);
    assert!(plan.egress.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_push_without_a_codec_of_ours_says_so() {
    let api = Api::new();
    let (session, mut browser) = (api.open().await, Browser::default());
    let mid = browser.add("video", Direction::Send);
    let sdp = browser.offer().replace("VP8/90000", "theora/90000").replace("H264/90000", "dirac/90000");
    let body = json!({"sessionDescription": {"sdp": sdp, "type": "offer"}, "tracks": [local(&mid, "cam")]});
    let item = api.tracks_new(&session, &body).await.ok()["tracks"][0].clone();
    assert_eq!((&item["errorCode"], item.get("mid")), (&json!("transport_unavailable_error"), None));
    let text = text(&item["errorDescription"]);
    assert!(text.contains("no codec that is carried here") && text.contains("VP8"), "{text}");
}

/// What a client sends that names neither its sections nor its sources.
fn unnamed(offer: &str) -> String {
    let kept = offer.split("\r\n").filter(|line| !line.starts_with("a=ssrc") && !line.contains("sdes:mid"));
    kept.collect::<Vec<_>>().join("\r\n")
}

#[tokio::test(start_paused = true)]
async fn packets_that_nothing_names_need_payload_types_of_one_section_alone() {
    let api = Api::new();
    let (session, mut browser) = (api.open().await, Browser::default());
    let mids = ["audio", "video", "audio"].map(|kind| browser.add(kind, Direction::Send));
    let tracks: Vec<Value> = mids.iter().map(|mid| local(mid, &format!("track {mid}"))).collect();
    let offer = json!({"sdp": unnamed(&browser.offer()), "type": "offer"});
    let body = api.tracks_new(&session, &json!({"sessionDescription": offer, "tracks": tracks})).await.ok();
    for (mid, item) in mids.iter().zip(body["tracks"].as_array().unwrap()).take(2) {
        assert_eq!(item, &json!({"mid": mid, "trackName": format!("track {mid}")}));
    }
    let item = &body["tracks"][2];
    assert_eq!((&item["errorCode"], item.get("mid")), (&json!("transport_unavailable_error"), None));
    let cause = text(&item["errorDescription"]);
    assert!(cause.contains("rtp-hdrext:sdes:mid") && cause.contains("a=ssrc"), "{cause}");
    let answer = text(&body["sessionDescription"]["sdp"]);
    assert_eq!(direction_of(&answer, &mids[1]), Some("recvonly"));
    assert_eq!(answer.matches("m=audio 0 ").count(), 1, "{answer}");
    let plan = api.shard(&session).plan(&session);
    assert!(plan.ingress.len() == 2 && plan.ingress.iter().all(|section| !section.told_by.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn a_track_that_cannot_be_published_has_no_mid_and_the_others_are() {
    let api = Api::new();
    let (session, mut browser) = (api.open().await, Browser::default());
    let (good, receiving) = (browser.add("audio", Direction::Send), browser.add("video", Direction::Receive));
    let offer = json!({"sdp": browser.offer(), "type": "offer"});
    let tracks = json!([local("9", "absent"), local(&good, "mic"), local(&receiving, "receiving")]);
    let body = api.tracks_new(&session, &json!({"sessionDescription": offer, "tracks": tracks})).await.ok();
    assert_eq!(body["tracks"][1], json!({"mid": good, "trackName": "mic"}));
    for (index, name) in [(0, "absent"), (2, "receiving")] {
        let failed = &body["tracks"][index];
        assert_eq!((failed.get("mid"), &failed["trackName"]), (None, &json!(name)));
        assert_eq!(failed["errorCode"], "not_found_track_error");
        assert!(text(&failed["errorDescription"]).contains("Track not found"));
    }
    assert!(body["sessionDescription"].is_object());
    assert_eq!(state(&api, &session).await, owned(&[("0", "mic", "active")]));
}

#[tokio::test(start_paused = true)]
async fn discovery_publishes_every_new_sending_section_under_a_random_name() {
    let api = Api::new();
    let (session, mut browser) = (api.open().await, Browser::default());
    browser.add("audio", Direction::Send);
    let body = json!({"sessionDescription": {"sdp": browser.offer(), "type": "offer"}, "tracks": [local("0", "mic")]});
    api.tracks_new(&session, &body).await.ok();
    browser.add("video", Direction::Send);
    browser.add("audio", Direction::Receive);
    browser.add("audio", Direction::Both);
    let body = json!({"sessionDescription": {"sdp": browser.offer(), "type": "offer"}, "autoDiscover": true});
    let body = api.tracks_new(&session, &body).await.ok();
    let found: Vec<_> = body["tracks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|track| (text(&track["mid"]), text(&track["kind"])))
        .collect();
    assert_eq!(found, [("1".into(), "video".into()), ("3".into(), "audio".into())]);
    let names = [text(&body["tracks"][0]["trackName"]), text(&body["tracks"][1]["trackName"])];
    assert!(names[0] != names[1] && names.iter().all(|name| name.len() == 32), "{names:?}");
    assert_eq!(body["requiresImmediateRenegotiation"], false);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_push_gives_the_same_result_and_the_same_publication() {
    let api = Api::new();
    let mut publisher = api.publisher(&[("audio", "mic"), ("video", "cam")]).await;
    let fed = api.shard(&publisher.session).fed(&publisher.session, "1");
    let repeat =
        json!({"sessionDescription": publisher.offer(), "tracks": [local("0", "mic"), local("1", "cam")]});
    let body = api.tracks_new(&publisher.session, &repeat).await.ok();
    assert_eq!(body["tracks"], json!([{"mid": "0", "trackName": "mic"}, {"mid": "1", "trackName": "cam"}]));
    assert_eq!(api.shard(&publisher.session).fed(&publisher.session, "1"), fed);
    assert_eq!(state(&api, &publisher.session).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn another_name_on_a_section_ends_the_old_one() {
    let api = Api::new();
    let mut publisher = api.publisher(&[("video", "cam")]).await;
    let (subscriber, mids) = api.subscriber(&publisher.session, &["cam"]).await;
    let old = api.shard(&publisher.session).fed(&publisher.session, "0");
    let rename = json!({"sessionDescription": publisher.offer(), "tracks": [local("0", "screen")]});
    api.tracks_new(&publisher.session, &rename).await.ok();
    settle().await;
    assert_ne!(api.shard(&publisher.session).fed(&publisher.session, "0"), old);
    assert_eq!(state(&api, &publisher.session).await, owned(&[("0", "screen", "active")]));
    assert_eq!(state(&api, &subscriber.session).await, owned(&[(&mids[0], "cam", "inactive")]));
    let pulls = json!({"tracks": [crate::harness::remote(&publisher.session, "cam")]});
    let body = api.tracks_new(&subscriber.session, &pulls).await.ok();
    assert_eq!(body["tracks"][0]["errorCode"], "not_found_track_error");
    api.subscriber(&publisher.session, &["screen"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_name_on_another_section_moves_with_its_subscribers() {
    let api = Api::new();
    let mut publisher = api.publisher(&[("video", "cam")]).await;
    let (subscriber, mids) = api.subscriber(&publisher.session, &["cam"]).await;
    let source = api.shard(&publisher.session).fed(&publisher.session, "0");
    let mid = publisher.browser.add("video", Direction::Send);
    let body = json!({"sessionDescription": publisher.offer(), "tracks": [local(&mid, "cam")]});
    let body = api.tracks_new(&publisher.session, &body).await.ok();
    assert_eq!(body["tracks"], json!([{"mid": mid, "trackName": "cam"}]));
    let shard = api.shard(&publisher.session);
    assert_eq!((shard.fed(&publisher.session, "0"), shard.fed(&publisher.session, &mid)), (None, source));
    assert_eq!(api.shard(&subscriber.session).received(&subscriber.session, &mids[0]), source);
    assert_eq!(
        state(&api, &publisher.session).await,
        owned(&[("0", "cam", "inactive"), (&mid, "cam", "active")])
    );
    assert_eq!(state(&api, &subscriber.session).await, owned(&[(&mids[0], "cam", "active")]));
}

#[tokio::test(start_paused = true)]
async fn a_name_that_returns_feeds_its_old_subscribers() {
    let api = Api::new();
    let mut publisher = api.publisher(&[("video", "cam"), ("audio", "mic")]).await;
    let (subscriber, mids) = api.subscriber(&publisher.session, &["cam"]).await;
    let source = api.shard(&publisher.session).fed(&publisher.session, "0");
    api.close(&publisher.session, &json!({"tracks": [{"mid": "0"}], "force": true})).await.ok();
    assert_eq!(state(&api, &subscriber.session).await, owned(&[(&mids[0], "cam", "inactive")]));
    let again = json!({"sessionDescription": publisher.offer(), "tracks": [local("0", "cam")]});
    api.tracks_new(&publisher.session, &again).await.ok();
    settle().await;
    assert_eq!(api.shard(&publisher.session).fed(&publisher.session, "0"), source);
    assert_eq!(state(&api, &subscriber.session).await, owned(&[(&mids[0], "cam", "active")]));
}

#[tokio::test(start_paused = true)]
async fn a_failed_push_leaves_nothing_behind_and_can_be_repeated() {
    let api = Api::new();
    let (session, mut browser) = (api.open().await, Browser::default());
    let mid = browser.add("video", Direction::Send);
    let body = json!({"sessionDescription": {"type": "offer", "sdp": browser.offer()}, "tracks": [local(&mid, "cam")]});
    api.shards.iter().for_each(|shard| shard.answer_with(Answer::Refuse));
    assert_eq!(api.tracks_new(&session, &body).await.status, 406);
    api.shards.iter().for_each(|shard| shard.release());
    assert_eq!(state(&api, &session).await, []);
    let pull = json!({"tracks": [crate::harness::remote(&session, "cam")]});
    let other = api.open().await;
    assert_eq!(api.tracks_new(&other, &pull).await.ok()["tracks"][0]["errorCode"], "not_found_track_error");
    api.tracks_new(&session, &body).await.ok();
    assert_eq!(state(&api, &session).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_server_offers_for_a_local_track_with_a_kind() {
    let api = Api::new();
    for (both, direction) in [(true, "sendrecv"), (false, "recvonly")] {
        let (session, mut browser) = (api.open().await, Browser::default());
        let track = json!({"location": "local", "trackName": "mic", "kind": "audio", "bidirectionalMediaStream": both});
        let body = api.tracks_new(&session, &json!({"tracks": [track]})).await.ok();
        assert_eq!(body["requiresImmediateRenegotiation"], true);
        assert_eq!(body["sessionDescription"]["type"], "offer");
        let (mid, offer) = (text(&body["tracks"][0]["mid"]), text(&body["sessionDescription"]["sdp"]));
        assert_eq!(direction_of(&offer, &mid), Some(direction));
        let answer = browser.answer(&offer);
        assert_eq!(api.renegotiate(&session, "answer", &answer).await.ok(), json!({}));
        settle().await;
        assert!(api.shard(&session).fed(&session, &mid).is_some());
        assert_eq!(state(&api, &session).await, owned(&[(&mid, "mic", "active")]));
        api.subscriber(&session, &["mic"]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_local_track_that_the_client_declines_is_not_published() {
    let api = Api::new();
    let (session, mut browser) = (api.open().await, Browser::default());
    let track = json!({"location": "local", "trackName": "mic", "kind": "audio"});
    let body = api.tracks_new(&session, &json!({"tracks": [track]})).await.ok();
    let (mid, offer) = (text(&body["tracks"][0]["mid"]), text(&body["sessionDescription"]["sdp"]));
    browser.answer(&offer);
    browser.turn(&mid, Direction::Inactive);
    let declined = browser.offer().replace("a=setup:actpass", "a=setup:active");
    assert_eq!(api.renegotiate(&session, "answer", &declined).await.ok(), json!({}));
    assert_eq!(state(&api, &session).await, owned(&[(&mid, "mic", "inactive")]));
}

#[tokio::test(start_paused = true)]
async fn renegotiate_takes_an_offer_too() {
    let api = Api::new();
    let mut publisher = api.publisher(&[("video", "cam")]).await;
    let source = api.shard(&publisher.session).fed(&publisher.session, "0");
    publisher.browser.ufrag = "Rst4".into();
    let offer = publisher.browser.offer();
    let body = api.renegotiate(&publisher.session, "offer", &offer).await.ok();
    assert_eq!(body["sessionDescription"]["type"], "answer");
    assert_eq!(api.shard(&publisher.session).fed(&publisher.session, "0"), source);
    assert_eq!(state(&api, &publisher.session).await, owned(&[("0", "cam", "active")]));
}

#[tokio::test(start_paused = true)]
async fn a_publication_that_changes_its_codecs_takes_its_subscribers_along() {
    let api = Api::new();
    let mut publisher = api.publisher(&[("video", "cam")]).await;
    let (subscriber, _) = api.subscriber(&publisher.session, &["cam"]).await;
    let codecs = || api.shard(&subscriber.session).plan(&subscriber.session).egress[0].payload_types.len();
    assert_eq!(codecs(), 2);
    publisher.browser.forget_h264("0");
    let again = json!({"sessionDescription": publisher.offer(), "tracks": [local("0", "cam")]});
    api.tracks_new(&publisher.session, &again).await.ok();
    settle().await;
    assert_eq!(codecs(), 1);
}
