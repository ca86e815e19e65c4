//! tracks/update and tracks/close.

use ringcast::plan::LayerPreference;
use serde_json::{Value, json};

use crate::browser::{Direction, direction_of};
use crate::harness::{Api, local, remote, settle, text};

async fn statuses(api: &Api, session: &str) -> Vec<(String, String)> {
    let state = api.get(&format!("/sessions/{session}")).await.ok();
    let track = |track: &Value| (text(&track["mid"]), text(&track["status"]));
    state["tracks"].as_array().unwrap().iter().map(track).collect()
}

fn preference(api: &Api, session: &str, mid: &str) -> LayerPreference {
    let plan = api.shard(session).plan(session);
    plan.egress.iter().find(|section| section.mid == mid).unwrap().preference.clone()
}

#[tokio::test(start_paused = true)]
async fn an_update_replaces_the_whole_layer_preference() {
    let api = Api::new();
    let publisher = api.simulcaster("cam").await;
    let (subscriber, mids) = api.subscriber(&publisher.session, &["cam"]).await;
    let wishes = [
        (json!({"preferredRid": "q", "ridNotAvailable": "asciibetical"}), Some("q")),
        (json!({"preferredRid": "h"}), Some("h")),
        (json!({"preferredRid": ""}), None),
    ];
    for (wish, rid) in wishes {
        let mut track = remote(&publisher.session, "cam");
        (track["mid"], track["simulcast"]) = (json!(mids[0]), wish.clone());
        let body = api.update(&subscriber.session, &json!({"tracks": [track]})).await.ok();
        assert_eq!(body["requiresImmediateRenegotiation"], false);
        let expected =
            json!([{"mid": mids[0], "sessionId": publisher.session, "trackName": "cam", "simulcast": wish}]);
        assert_eq!(body["tracks"], expected);
        let preference = preference(&api, &subscriber.session, &mids[0]);
        assert_eq!(preference.preferred_rid.as_deref(), rid);
        assert_eq!(preference.rid_not_available == Default::default(), wish.get("ridNotAvailable").is_none());
    }
    let by_name =
        json!({"sessionId": publisher.session, "trackName": "cam", "simulcast": {"preferredRid": "f"}});
    assert_eq!(
        api.update(&subscriber.session, &json!({"tracks": [by_name]})).await.ok()["tracks"][0]["mid"],
        mids[0]
    );
}

#[tokio::test(start_paused = true)]
async fn an_update_may_come_between_our_offer_and_its_answer() {
    let api = Api::new();
    let publisher = api.simulcaster("cam").await;
    let (mut subscriber, mids) = api.subscriber(&publisher.session, &["cam"]).await;
    let pull = json!({"tracks": [remote(&publisher.session, "cam")]});
    let body = api.tracks_new(&subscriber.session, &pull).await.ok();
    let update = json!({"tracks": [{"mid": mids[0], "simulcast": {"preferredRid": "h"}}]});
    api.update(&subscriber.session, &update).await.ok();
    let answer = subscriber.browser.answer(&text(&body["sessionDescription"]["sdp"]));
    api.renegotiate(&subscriber.session, "answer", &answer).await.ok();
    assert_eq!(preference(&api, &subscriber.session, &mids[0]).preferred_rid.as_deref(), Some("h"));
    assert_eq!(api.shard(&subscriber.session).plan(&subscriber.session).egress.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_update_switches_to_another_publication_and_keeps_the_stream() {
    let api = Api::new();
    let (first, second) =
        (api.publisher(&[("video", "a")]).await, api.publisher(&[("video", "b"), ("audio", "c")]).await);
    let (subscriber, mids) = api.subscriber(&first.session, &["a"]).await;
    let before = api.shard(&subscriber.session).plan(&subscriber.session).egress[0].clone();
    let mut track = remote(&second.session, "b");
    track["mid"] = json!(mids[0]);
    let body = api.update(&subscriber.session, &json!({"tracks": [track]})).await.ok();
    assert_eq!(body["tracks"], json!([{"mid": mids[0], "sessionId": second.session, "trackName": "b"}]));
    let after = api.shard(&subscriber.session).plan(&subscriber.session).egress[0].clone();
    assert_eq!(Some(after.publication), api.shard(&second.session).fed(&second.session, "0"));
    assert_eq!((after.ssrc, after.mid), (before.ssrc, before.mid));
    let state = api.get(&format!("/sessions/{}", subscriber.session)).await.ok();
    assert_eq!(state["tracks"][0]["sessionId"], json!(second.session));
    for (source, code) in
        [(remote(&second.session, "c"), "update_track_error"), (remote("gone", "x"), "not_found_track_error")]
    {
        let mut track = source;
        track["mid"] = json!(mids[0]);
        let body = api.update(&subscriber.session, &json!({"tracks": [track]})).await.ok();
        assert_eq!(body["tracks"][0]["errorCode"], code);
    }
    assert_eq!(
        Some(after.publication),
        api.shard(&subscriber.session).received(&subscriber.session, &mids[0])
    );
}

/// Echo pages of the original name the section in which their publisher sends the track.
#[tokio::test(start_paused = true)]
async fn an_update_that_names_a_section_of_the_publisher_reaches_the_one_that_receives() {
    let api = Api::new();
    let publisher = api.simulcaster("cam").await;
    let voice = api.publisher(&[("audio", "mic")]).await;
    let wish = json!({"preferredRid": "h"});
    // A session that pulls alone counts as its publisher does.
    let (subscriber, mids) = api.subscriber(&publisher.session, &["cam"]).await;
    assert_eq!(mids, ["0"]);
    let mut track = remote(&publisher.session, "cam");
    (track["mid"], track["simulcast"]) = (json!("0"), wish.clone());
    let body = api.update(&subscriber.session, &json!({"tracks": [track]})).await.ok();
    assert_eq!(body["tracks"][0].get("errorCode"), None, "{body}");
    // One that received a voice before does not.
    let (mut subscriber, first) = api.subscriber(&voice.session, &["mic"]).await;
    let second = subscriber.pull(&api, &publisher.session, &["cam"]).await;
    assert_eq!((first[0].as_str(), second[0].as_str()), ("0", "1"));
    for named in ["0", "5"] {
        let mut track = remote(&publisher.session, "cam");
        (track["mid"], track["simulcast"]) = (json!(named), wish.clone());
        let body = api.update(&subscriber.session, &json!({"tracks": [track]})).await.ok();
        assert_eq!(
            (&body["tracks"][0]["mid"], body["tracks"][0].get("errorCode")),
            (&json!("1"), None),
            "{body}"
        );
        assert_eq!(preference(&api, &subscriber.session, "1").preferred_rid.as_deref(), Some("h"));
    }
    let voice_stays = api.shard(&subscriber.session).received(&subscriber.session, "0");
    assert_eq!(voice_stays, api.shard(&voice.session).fed(&voice.session, "0"));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_updated_says_so() {
    let api = Api::new();
    let publisher = api.publisher(&[("video", "cam")]).await;
    let (subscriber, mids) = api.subscriber(&publisher.session, &["cam"]).await;
    let wish = json!({"preferredRid": "h"});
    let plain = json!({"mid": mids[0], "simulcast": wish});
    let absent = json!({"mid": "77", "simulcast": wish});
    let body = api.update(&subscriber.session, &json!({"tracks": [plain, absent]})).await.ok();
    assert_eq!(body["tracks"][0]["errorCode"], "update_track_error");
    assert!(text(&body["tracks"][0]["errorDescription"]).contains("not configured for simulcast"));
    assert_eq!(body["tracks"][1]["errorCode"], "not_found_track_error");
    let local = json!({"location": "local", "mid": "0", "simulcast": wish});
    let body = api.update(&publisher.session, &json!({"tracks": [local]})).await.ok();
    assert_eq!(body["tracks"][0]["errorCode"], "update_track_error");
}

/// partytracks stops only the first transceiver of a batch: the offer still shows the others live.
#[tokio::test(start_paused = true)]
async fn every_listed_section_is_closed_whatever_the_offer_says() {
    let api = Api::new();
    let publisher = api.publisher(&[("video", "a"), ("video", "b"), ("video", "c")]).await;
    let (mut subscriber, mids) = api.subscriber(&publisher.session, &["a", "b", "c"]).await;
    subscriber.browser.turn(&mids[0], Direction::Stopped);
    let tracks = json!([{"mid": mids[0]}, {"mid": mids[1]}]);
    let close = json!({"tracks": tracks, "sessionDescription": subscriber.offer(), "force": false});
    let body = api.close(&subscriber.session, &close).await.ok();
    assert_eq!(body["requiresImmediateRenegotiation"], false);
    assert_eq!(body["tracks"], tracks);
    assert_eq!(body["sessionDescription"]["type"], "answer");
    let answer = text(&body["sessionDescription"]["sdp"]);
    assert_eq!(direction_of(&answer, &mids[1]), Some("inactive"));
    assert_eq!(direction_of(&answer, &mids[2]), Some("sendonly"));
    let expected: Vec<_> = mids
        .iter()
        .zip(["inactive", "inactive", "active"])
        .map(|(mid, status)| (mid.clone(), status.to_owned()))
        .collect();
    assert_eq!(statuses(&api, &subscriber.session).await, expected);
    assert_eq!(api.shard(&subscriber.session).plan(&subscriber.session).egress.len(), 1);
}

/// The client applies the answer unchecked; without one it stays in have-local-offer for ever.
#[tokio::test(start_paused = true)]
async fn a_close_by_offer_is_always_answered() {
    let api = Api::new();
    let publisher = api.publisher(&[("video", "a"), ("audio", "b")]).await;
    let (mut subscriber, mids) = api.subscriber(&publisher.session, &["a", "b"]).await;
    subscriber.browser.turn(&mids[0], Direction::Stopped);
    for errors in [false, true] {
        let close =
            json!({"tracks": [{"mid": mids[0]}], "sessionDescription": subscriber.offer(), "force": false});
        let body = api.close(&subscriber.session, &close).await.ok();
        assert_eq!(body["sessionDescription"]["type"], "answer");
        assert_eq!(body["tracks"][0]["mid"], mids[0]);
        assert_eq!(body["tracks"][0].get("errorCode").is_some(), errors);
    }
    let close =
        json!({"tracks": [{"mid": mids[0]}], "sessionDescription": subscriber.offer(), "force": false});
    assert_eq!(
        api.close(&subscriber.session, &close).await.ok()["tracks"][0]["errorCode"],
        "close_track_error"
    );
}

#[tokio::test(start_paused = true)]
async fn a_forced_close_needs_no_description_and_keeps_the_section() {
    let api = Api::new();
    let mut publisher = api.publisher(&[("video", "cam"), ("audio", "mic")]).await;
    let (subscriber, mids) = api.subscriber(&publisher.session, &["cam", "mic"]).await;
    let close = json!({"tracks": [{"mid": mids[1]}, {"mid": "77"}], "force": true});
    let body = api.close(&subscriber.session, &close).await.ok();
    assert!(body.get("sessionDescription").is_none());
    assert_eq!(body["tracks"][0], json!({"mid": mids[1]}));
    assert_eq!(body["tracks"][1]["errorCode"], "close_track_error");
    assert_eq!(api.shard(&subscriber.session).received(&subscriber.session, &mids[1]), None);
    let close = json!({"tracks": [{"mid": "0"}], "force": true});
    api.close(&publisher.session, &close).await.ok();
    assert_eq!(api.shard(&publisher.session).fed(&publisher.session, "0"), None);
    assert_eq!(statuses(&api, &subscriber.session).await[0].1, "inactive", "a publication ends for everyone");
    // The original accepts the next name on this section, but nobody can pull it.
    let again = json!({"sessionDescription": publisher.offer(), "tracks": [local("0", "cam-2")]});
    api.tracks_new(&publisher.session, &again).await.ok();
    settle().await;
    api.subscriber(&publisher.session, &["cam-2"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_bidirectional_section_loses_both_directions() {
    let api = Api::new();
    let publisher = api.publisher(&[("audio", "mic")]).await;
    let session = api.open().await;
    let mut browser = crate::browser::Browser::default();
    let track =
        json!({"location": "local", "trackName": "own", "kind": "audio", "bidirectionalMediaStream": true});
    let body = api.tracks_new(&session, &json!({"tracks": [track]})).await.ok();
    let answer = browser.answer(&text(&body["sessionDescription"]["sdp"]));
    api.renegotiate(&session, "answer", &answer).await.ok();
    let mut pulled = remote(&publisher.session, "mic");
    pulled["mid"] = json!("#own");
    let mid = text(&api.tracks_new(&session, &json!({"tracks": [pulled]})).await.ok()["tracks"][0]["mid"]);
    api.close(&session, &json!({"tracks": [{"mid": mid}], "force": true})).await.ok();
    assert_eq!(
        (api.shard(&session).fed(&session, &mid), api.shard(&session).received(&session, &mid)),
        (None, None)
    );
    assert!(statuses(&api, &session).await.iter().all(|(_, status)| status == "inactive"));
}

#[tokio::test(start_paused = true)]
async fn closing_everything_keeps_the_session() {
    let api = Api::new();
    let mut publisher = api.publisher(&[("video", "cam")]).await;
    publisher.browser.turn("0", Direction::Stopped);
    let close = json!({"tracks": [{"mid": "0"}], "sessionDescription": publisher.offer(), "force": false});
    let body = api.close(&publisher.session, &close).await.ok();
    assert_eq!(body["sessionDescription"]["type"], "answer");
    assert_eq!(statuses(&api, &publisher.session).await, [("0".to_owned(), "inactive".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_section_that_was_closed_by_force_is_used_again_once_the_client_knows() {
    let api = Api::new();
    let publisher = api.publisher(&[("video", "a"), ("video", "b")]).await;
    let (mut subscriber, mids) = api.subscriber(&publisher.session, &["a", "b"]).await;
    let mut lines = 0;
    for round in 0..6 {
        let mid = if round == 0 {
            mids[1].clone()
        } else {
            subscriber.pull(&api, &publisher.session, &["b"]).await[0].clone()
        };
        let close = json!({"tracks": [{"mid": mid}], "force": true});
        api.close(&subscriber.session, &close).await.ok();
        let offer = subscriber.browser.offer();
        let count = offer.matches("\r\nm=").count();
        // The first pull after it only tells the client that the old section carries nothing.
        assert!(round < 2 || count == lines, "the description grows: {offer}");
        lines = count;
    }
}
