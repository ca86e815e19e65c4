//! What a viewer or a pull without a codec in common with its source is told: by the answer, by events, by the figures.

use serde_json::{Value, json};

use crate::browser::{Browser, Direction, direction_of};
use crate::client::{Resource, SDP, header, offer, post, problem, send};
use crate::harness::{APP, Api, remote, settle, text};
use crate::streams::events::Reader;

/// What each section of a session receives nothing for, by the figures.
async fn reasons(api: &Api, session: &str) -> Vec<(String, String)> {
    let figures = api.get(&format!("/ext/sessions/{session}/stats")).await.ok();
    let remote = figures["statistics"]["remote"].as_array().unwrap();
    remote.iter().map(|one| (text(&one["mid"]), text(&one["layerReason"]))).collect()
}

fn no_codec(mid: &str) -> Vec<(String, String)> {
    vec![(mid.to_owned(), "no_codec".to_owned())]
}

/// The stream `studio`, with sound by Opus and pictures by VP8 alone.
async fn publish_vp8(api: &Api) -> Resource {
    let mut publisher = Browser::default();
    publisher.add("audio", Direction::Send);
    let mid = publisher.add("video", Direction::Send);
    publisher.forget_h264(&mid);
    let offer =
        publisher.offer().replace("SAVPF 111 63 0 8", "SAVPF 111 63").replace("a=rtpmap:0 PCMU/8000\r\n", "");
    Resource::of(&post(api, "whip", &offer.replace("a=rtpmap:8 PCMA/8000\r\n", "")).await)
}

/// Sections for sound and pictures, without VP8.
fn offer_without_vp8() -> String {
    offer(Direction::Receive).replace("VP8/90000", "VP9/90000")
}

fn id(resource: &Resource) -> &str {
    resource.path.rsplit('/').next().unwrap()
}

async fn listen(api: &Api, viewer: &Resource) -> Reader {
    let path = format!("{}/events", viewer.path);
    let wanted = r#"["active", "inactive", "no_codec"]"#;
    let made = send(api, "POST", &path, &[("content-type", "application/json")], wanted).await;
    Reader::open(api, &header(&made, "location")).await
}

const VP8_IN_1: &str = r#"{"1":{"kind":"video","sent":"VP8"}}"#;

#[tokio::test(start_paused = true)]
async fn a_viewer_that_can_play_the_sound_alone_is_told_so() {
    let api = Api::new();
    publish_vp8(&api).await;
    let theora = offer(Direction::Receive).replace("VP8/90000", "theora/90000");
    let unknown = theora.replace("H264/90000", "dirac/90000");
    for (body, is_known) in [(offer_without_vp8(), true), (unknown, false)] {
        let answered = post(&api, "whep", &body).await;
        assert_eq!(answered.status, 201, "{answered:?}");
        let answer = std::str::from_utf8(&answered.body).unwrap();
        assert_eq!(direction_of(answer, "0"), Some("sendonly"), "{answer}");
        if is_known {
            assert_eq!(direction_of(answer, "1"), Some("inactive"), "{answer}");
        } else {
            assert!(answer.contains("m=video 0 "), "{answer}");
        }
        let viewer = Resource::of(&answered);
        settle().await;
        assert_eq!(reasons(&api, id(&viewer)).await, no_codec("1"));
        let plan = api.shard(id(&viewer)).plan(id(&viewer));
        assert_eq!(plan.egress.iter().map(|egress| egress.mid.as_str()).collect::<Vec<_>>(), ["0"]);
        let mut reader = listen(&api, &viewer).await;
        reader.expect("active", "{}").await;
        reader.expect("no_codec", VP8_IN_1).await;
        // What the viewer could play now it can have by joining anew.
        Resource::publisher(&api).await;
        settle().await;
        if is_known {
            reader.expect("no_codec", "{}").await;
            assert_eq!(reasons(&api, id(&viewer)).await, []);
        }
        publish_vp8(&api).await;
        settle().await;
        assert_eq!(reasons(&api, id(&viewer)).await, no_codec("1"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_came_first_is_told_when_the_stream_comes_in_another_codec() {
    let api = Api::new();
    let viewer = Resource::of(&post(&api, "whep", &offer_without_vp8()).await);
    let mut reader = listen(&api, &viewer).await;
    reader.expect("inactive", "{}").await;
    let publisher = publish_vp8(&api).await;
    settle().await;
    reader.expect("active", "{}").await;
    reader.expect("no_codec", VP8_IN_1).await;
    assert_eq!(reasons(&api, id(&viewer)).await, no_codec("1"));
    // Whoever takes over may send what this viewer plays, and the next may not again.
    Resource::publisher(&api).await;
    reader.expect("no_codec", "{}").await;
    settle().await;
    assert_eq!(reasons(&api, id(&viewer)).await, []);
    assert_eq!(api.shard(id(&viewer)).plan(id(&viewer)).egress.len(), 2);
    let last = publish_vp8(&api).await;
    reader.expect("no_codec", VP8_IN_1).await;
    settle().await;
    assert_eq!(reasons(&api, id(&viewer)).await, no_codec("1"));
    // Where nothing is sent nothing is amiss.
    assert_eq!((publisher.delete(&api).await, last.delete(&api).await), (404, 200));
    reader.expect("inactive", "{}").await;
    reader.expect("no_codec", "{}").await;
    assert_eq!(reasons(&api, id(&viewer)).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_viewer_without_any_codec_in_common_is_refused_and_offered_what_there_is() {
    let api = Api::new();
    publish_vp8(&api).await;
    let strange =
        offer_without_vp8().replace("opus/48000/2", "nobody/48000/2").replace("red/48000/2", "xed/48000/2");
    let without = |kinds: &[&'static str]| {
        let mut viewer = Browser::default();
        kinds.iter().for_each(|kind| drop(viewer.add(kind, Direction::Receive)));
        viewer.offer().replace("VP8/90000", "VP9/90000")
    };
    let unknown = strange.replace("VP9/", "theora/").replace("H264/", "dirac/").replace("PCM", "XCM");
    let unknown = unknown.replace("111 63 0 8", "111 63");
    for body in [strange.clone(), without(&["video"]), unknown.clone()] {
        let countered = post(&api, "whep", &body).await;
        let kind = header(&countered, "content-type");
        assert_eq!((countered.status, kind.as_str()), (406, "application/sdp"), "{countered:?}");
        let viewer = Resource::of(&countered);
        let ours = std::str::from_utf8(&countered.body).unwrap();
        assert!(ours.contains("VP8/90000"), "{ours}");
        // A browser refuses the section of whose codecs it knows none.
        let answer = Browser::default().answer(ours).replace("m=video 9", "m=video 0");
        assert_eq!(viewer.patch(&api, &[SDP], &answer).await.status, 204);
        settle().await;
        assert_eq!(reasons(&api, id(&viewer)).await, no_codec("1"));
        let mut reader = listen(&api, &viewer).await;
        reader.expect("active", "{}").await;
        reader.expect("no_codec", VP8_IN_1).await;
    }
    // Where nothing is known of the stream, the cause lies with the offer alone.
    let refused = send(&api, "POST", &format!("/whep/{APP}/another"), &[SDP], &unknown).await;
    let (status, cause) = problem(&refused);
    assert!(status == 422 && cause.contains("no codec that is carried here"), "{status} {cause}");
}

#[tokio::test(start_paused = true)]
async fn a_pull_without_a_codec_in_common_is_told_so() {
    let api = Api::new();
    let publisher = publish_vp8(&api).await;
    settle().await;
    let wanted = json!([remote(id(&publisher), "video")]);
    // Into the client's offer: the result of the track says it, and the section is answered as inactive.
    let (session, mut browser) = (api.open().await, Browser::default());
    browser.add("video", Direction::Receive);
    let sdp = browser.offer().replace("VP8/90000", "VP9/90000");
    let body = json!({"tracks": wanted, "sessionDescription": {"type": "offer", "sdp": sdp}});
    let body = api.tracks_new(&session, &body).await.ok();
    let item: &Value = &body["tracks"][0];
    let cause = text(&item["errorDescription"]);
    assert!(cause.contains("no codec in common") && cause.contains("VP8"), "{cause}");
    assert_eq!(direction_of(&text(&body["sessionDescription"]["sdp"]), "0"), Some("inactive"));
    // By our offer: the client's answer refuses the section, and the figures say what for.
    let (session, mut browser) = (api.open().await, Browser::default());
    let offered = api.tracks_new(&session, &json!({"tracks": wanted})).await.ok();
    let mid = text(&offered["tracks"][0]["mid"]);
    let answer =
        browser.answer(&text(&offered["sessionDescription"]["sdp"])).replace("m=video 9", "m=video 0");
    assert_eq!(api.renegotiate(&session, "answer", &answer).await.ok(), json!({}));
    assert_eq!(reasons(&api, &session).await, no_codec(&mid));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_whose_publisher_changes_to_another_codec_is_told_so_until_it_changes_back() {
    let api = Api::new();
    let mut publisher = api.publisher(&[("video", "cam")]).await;
    let (session, mut browser) = (api.open().await, Browser::default());
    let mid = browser.add("video", Direction::Receive);
    browser.forget_h264(&mid);
    let sdp = browser.offer();
    let tracks = json!([remote(&publisher.session, "cam")]);
    let body = json!({"tracks": tracks, "sessionDescription": {"type": "offer", "sdp": sdp}});
    api.tracks_new(&session, &body).await.ok();
    assert_eq!(reasons(&api, &session).await, []);
    for is_common in [false, true] {
        let sdp = publisher.browser.offer();
        let sdp = if is_common { sdp } else { sdp.replace("VP8/90000", "VP9/90000") };
        api.renegotiate(&publisher.session, "offer", &sdp).await.ok();
        settle().await;
        let expected = if is_common { Vec::new() } else { no_codec(&mid) };
        assert_eq!(reasons(&api, &session).await, expected);
    }
    let changed = publisher.browser.offer().replace("VP8/90000", "VP9/90000");
    api.renegotiate(&publisher.session, "offer", &changed).await.ok();
    settle().await;
    assert_eq!(reasons(&api, &session).await, no_codec(&mid));
    api.close(&session, &json!({"tracks": [{"mid": mid}], "force": true})).await.ok();
    assert_eq!(reasons(&api, &session).await, [], "what is closed lacks nothing");
}
