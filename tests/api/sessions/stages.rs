//! Stages: seats that change hands behind their sections, who takes part, who may, and what is told of it.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use ringcast::ids::PublicationId;
use ringcast::shard::command::{Event, Heard};
use ringcast::speakers::Activity;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::access::tokens::token;
use crate::browser::{Browser, direction_of};
use crate::harness::{
    APP, Answer, Api, OTHER_APP, OTHER_SECRET, Publisher, Response, SECRET, remote, settle, text,
};
use crate::streams::events::Reader;

const SPEECH: Activity = Activity { immediate: 10, medium: 10, long: 8, level: 20 };
const STAGE: &str = "/ext/stages/garden";

/// A stage of so many seats, and so many people who take part in it.
async fn stage(api: &Api, seats: usize, people: usize) -> Vec<Publisher> {
    api.put(STAGE, &json!({ "seats": seats })).await.ok();
    let mut all = Vec::new();
    for _ in 0..people {
        let person = api.publisher(&[("audio", "mic"), ("video", "cam")]).await;
        join(api, &person).await.ok();
        all.push(person);
    }
    all
}

async fn join(api: &Api, person: &Publisher) -> Response {
    api.put(&format!("{STAGE}/members/{}", person.session), &json!({"audio": "mic", "video": "cam"})).await
}

async fn leave(api: &Api, person: &Publisher) -> Response {
    api.call(Method::DELETE, &format!("{STAGE}/members/{}", person.session), Body::empty()).await
}

fn fed(api: &Api, person: &Publisher, mid: &str) -> PublicationId {
    api.shard(&person.session).fed(&person.session, mid).unwrap()
}

/// What a viewer receives in a section, if that is something.
fn shown(api: &Api, viewer: &Publisher, mid: &str) -> Option<PublicationId> {
    api.shard(&viewer.session).received(&viewer.session, mid)
}

/// Has one speak and all others of these be silent, long enough for anybody to lose the floor.
async fn speak(api: &Api, people: &[Publisher], speaker: usize) {
    tokio::time::sleep(Duration::from_secs(2)).await;
    let heard = people.iter().enumerate().map(|(number, person)| Heard {
        publication: fed(api, person, "0"),
        activity: if number == speaker { SPEECH } else { Activity::SILENT },
    });
    hear(api, heard.collect()).await;
}

/// Tells control what was heard; it takes that.
async fn hear(api: &Api, heard: Vec<Heard>) {
    let (receipt, mut taken) = oneshot::channel();
    api.shards[0].tell(Event::Levels { heard, receipt });
    settle().await;
    assert_eq!(taken.try_recv(), Err(oneshot::error::TryRecvError::Closed));
}

#[tokio::test(start_paused = true)]
async fn seats_change_hands_behind_their_sections_and_nothing_is_negotiated() {
    let api = Api::new();
    let people = stage(&api, 2, 4).await;
    let mut viewer = Publisher { session: api.open().await, browser: Browser::default() };
    let mids =
        viewer.pull(&api, "stage:garden", &["speaker-1/video", "speaker-2/video", "speaker-1/audio"]).await;
    let sections = mids.len();
    let seen = |api: &Api| [0, 1].map(|seat| shown(api, &viewer, &mids[seat]).unwrap());
    let videos: Vec<PublicationId> = people.iter().map(|person| fed(&api, person, "1")).collect();
    assert_eq!(seen(&api), [videos[0], videos[1]], "they sit in the order in which they came");
    assert_eq!(shown(&api, &viewer, &mids[2]), Some(fed(&api, &people[0], "0")));
    let ssrcs: Vec<u32> =
        api.shard(&viewer.session).plan(&viewer.session).egress.iter().map(|one| one.ssrc).collect();
    // Whoever sits stays where he sits; the one who has spoken least lately gives way.
    for (speaker, expected) in [(1, [0, 1]), (2, [2, 1]), (1, [2, 1]), (3, [3, 1]), (0, [3, 0]), (3, [3, 0])]
    {
        speak(&api, &people, speaker).await;
        assert_eq!(seen(&api), expected.map(|person| videos[person]), "{speaker} speaks");
    }
    let plan = api.shard(&viewer.session).plan(&viewer.session);
    assert_eq!(plan.egress.iter().map(|one| one.ssrc).collect::<Vec<_>>(), ssrcs);
    assert_eq!(plan.egress.len(), sections);
    let state = api.get(&format!("/sessions/{}", viewer.session)).await.ok();
    assert_eq!(state["tracks"][0]["sessionId"], "stage:garden");
    assert_eq!(state["tracks"][0]["trackName"], "speaker-1/video");
    assert_eq!(state["tracks"][0]["status"], "active");
    let stage = api.get(STAGE).await.ok();
    assert_eq!(
        (&stage["speaker"], &stage["seats"][0]["sessionId"]),
        (&json!(people[3].session), &json!(people[3].session))
    );
    assert_eq!(stage["members"][3]["level"], -20);
}

#[tokio::test(start_paused = true)]
async fn a_seat_that_is_pulled_while_it_is_empty_is_filled_and_emptied_without_descriptions() {
    let api = Api::new();
    stage(&api, 1, 0).await;
    let mut viewer = Publisher { session: api.open().await, browser: Browser::default() };
    let body = api
        .tracks_new(&viewer.session, &json!({"tracks": [remote("stage:garden", "speaker-1/video")]}))
        .await
        .ok();
    let (offer, mid) = (text(&body["sessionDescription"]["sdp"]), text(&body["tracks"][0]["mid"]));
    assert_eq!(direction_of(&offer, &mid), Some("sendonly"));
    for codec in ["VP8", "VP9", "H264", "AV1"] {
        assert!(offer.contains(codec), "whoever sits down can be shown: {codec}");
    }
    let answer = viewer.browser.answer(&offer);
    api.renegotiate(&viewer.session, "answer", &answer).await.ok();
    assert_eq!(shown(&api, &viewer, &mid), None);
    let person = api.publisher(&[("audio", "mic"), ("video", "cam")]).await;
    join(&api, &person).await.ok();
    settle().await;
    let video = fed(&api, &person, "1");
    assert_eq!(shown(&api, &viewer, &mid), Some(video));
    let ssrc = api.shard(&viewer.session).plan(&viewer.session).egress[0].ssrc;
    leave(&api, &person).await.ok();
    settle().await;
    assert!(shown(&api, &viewer, &mid).is_some_and(|shown| shown != video), "what nobody feeds");
    let state = api.get(&format!("/sessions/{}", viewer.session)).await.ok();
    assert_eq!(state["tracks"][0]["status"], "inactive");
    join(&api, &person).await.ok();
    settle().await;
    assert_eq!(shown(&api, &viewer, &mid), Some(video));
    // A picture that its publisher ends is shown no more, and the one that returns is.
    let close = json!({"tracks": [{"mid": "1"}], "force": true});
    api.close(&person.session, &close).await.ok();
    settle().await;
    assert_ne!(shown(&api, &viewer, &mid), Some(video));
    api.end(&person.session).await;
    assert_eq!(api.get(STAGE).await.ok()["members"], json!([]));
    assert_eq!(api.shard(&viewer.session).plan(&viewer.session).egress[0].ssrc, ssrc);
    // The section can be closed like any other.
    api.close(&viewer.session, &json!({"tracks": [{"mid": mid}], "force": true})).await.ok();
    assert_eq!(shown(&api, &viewer, &mid), None);
}

#[tokio::test(start_paused = true)]
async fn nobody_sees_itself_and_all_others_see_the_same() {
    let api = Api::new();
    let mut people = stage(&api, 2, 3).await;
    let videos: Vec<PublicationId> = people.iter().map(|person| fed(&api, person, "1")).collect();
    let (mut first, mut last) = (people.remove(0), people.remove(1));
    let seats = ["speaker-1/video", "speaker-2/video"];
    let of_first = first.pull(&api, "stage:garden", &seats).await;
    let of_last = last.pull(&api, "stage:garden", &seats).await;
    let seen = |api: &Api, viewer: &Publisher, mids: &[String]| {
        [0, 1].map(|seat| shown(api, viewer, &mids[seat]).unwrap())
    };
    assert_eq!(
        seen(&api, &first, &of_first),
        [videos[2], videos[1]],
        "in its own seat the one who would be next"
    );
    assert_eq!(seen(&api, &last, &of_last), [videos[0], videos[1]]);
    let all = [first, people.remove(0), last];
    speak(&api, &all, 1).await;
    speak(&api, &all, 2).await;
    assert_eq!(seen(&api, &all[0], &of_first), [videos[2], videos[1]]);
    assert_eq!(seen(&api, &all[2], &of_last), [videos[0], videos[1]]);
}

#[tokio::test(start_paused = true)]
async fn shards_listen_to_those_who_take_part_and_to_nobody_else() {
    let api = Api::new();
    let people = stage(&api, 2, 2).await;
    let listened =
        |api: &Api| -> Vec<PublicationId> { api.shards.iter().flat_map(|shard| shard.listened()).collect() };
    let sounds: Vec<PublicationId> = people.iter().map(|person| fed(&api, person, "0")).collect();
    assert!(listened(&api).len() == 2 && sounds.iter().all(|sound| listened(&api).contains(sound)));
    // A second stage listens to the same.
    api.put("/ext/stages/hall", &json!({"seats": 1})).await.ok();
    let hall = format!("/ext/stages/hall/members/{}", people[0].session);
    api.put(&hall, &json!({"audio": "mic"})).await.ok();
    leave(&api, &people[0]).await.ok();
    assert_eq!(listened(&api).len(), 2);
    api.call(Method::DELETE, &hall, Body::empty()).await.ok();
    assert_eq!(listened(&api), [sounds[1]]);
    // A shard that was not told is told when it tells of one that nobody listens to.
    let owner = api.shards.iter().find(|shard| shard.listened().contains(&sounds[1])).unwrap();
    owner.answer_with(Answer::Full);
    leave(&api, &people[1]).await.ok();
    assert_eq!(listened(&api), [sounds[1]]);
    owner.answer_with(Answer::Accept);
    hear(&api, vec![Heard { publication: sounds[1], activity: SPEECH }]).await;
    assert_eq!(listened(&api), []);
    // One that cannot be listened to does not take part.
    owner.answer_with(Answer::Full);
    let refused = join(&api, &people[1]).await;
    assert_eq!(refused.refusal(), (503, "temporarily_unavailable_error".into()));
    assert_eq!(api.get(STAGE).await.ok()["members"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_done_with_a_stage_is_said_with_the_remedy() {
    let api = Api::new();
    let people = stage(&api, 2, 1).await;
    let member = format!("{STAGE}/members/{}", people[0].session);
    let refusals = [
        (api.put("/ext/stages/no%20name", &json!({"seats": 2})).await, "letters, digits"),
        (api.put("/ext/stages/x", &json!({"seats": 0})).await, "from 1 to 25"),
        (api.put("/ext/stages/x", &json!({"seats": 26})).await, "from 1 to 25"),
        (api.get("/ext/stages/x").await, "PUT ext/stages/x"),
        (api.put(&member, &json!({})).await, "at least one of audio and video"),
        (api.put(&member, &json!({"audio": "nothing"})).await, "publish it first"),
        (api.put(&member, &json!({"audio": "cam"})).await, "is not audio"),
    ];
    for (response, remedy) in refusals {
        assert_eq!(response.refusal(), (406, "invalid_params".into()), "{remedy}");
        assert!(text(&response.json()["errorDescription"]).contains(remedy), "{}", response.json());
    }
    assert_eq!(
        api.put(&format!("{STAGE}/members/{}", "0".repeat(32)), &json!({"audio": "mic"})).await.status,
        410
    );
    let viewer = api.open().await;
    for (stage, seat, remedy) in [
        ("stage:nowhere", "speaker-1/video", "make it first"),
        ("stage:garden", "speaker-3/video", "until speaker-2"),
        ("stage:garden", "speaker-0/video", "until speaker-2"),
        ("stage:garden", "speaker-+1/video", "until speaker-2"),
        ("stage:garden", "speaker-1/screen", "until speaker-2"),
        ("stage:garden", "cam", "until speaker-2"),
    ] {
        let body = api.tracks_new(&viewer, &json!({"tracks": [remote(stage, seat)]})).await.ok();
        assert_eq!(body["tracks"][0]["errorCode"], "not_found_track_error", "{seat}");
        assert!(text(&body["tracks"][0]["errorDescription"]).contains(remedy), "{body}");
    }
    let again = api.put(STAGE, &json!({"seats": 5})).await.ok();
    assert_eq!(again["seats"].as_array().unwrap().len(), 2, "the stage stays as it was made");
}

async fn bearer(api: &Api, token: &str, method: Method, path: &str, body: &Value) -> Response {
    let request = Request::builder().method(method).uri(format!("/v1/apps/{APP}{path}"));
    let request = request.header("authorization", format!("Bearer {token}"));
    api.request(request.body(Body::from(body.to_string())).unwrap()).await
}

#[tokio::test(start_paused = true)]
async fn a_stage_is_open_to_those_to_whom_the_room_of_its_name_is() {
    let api = Api::new();
    let people = stage(&api, 2, 1).await;
    let ann = token(&json!({"rooms": ["garden"], "subscribe": ["speaker-*"]}));
    let bob = token(&json!({"rooms": ["hall"], "subscribe": ["*"], "sub": "bob"}));
    let eve = token(&json!({"rooms": ["garden"], "subscribe": ["cam"], "sub": "eve"}));
    assert_eq!(bearer(&api, &ann, Method::GET, STAGE, &json!({})).await.status, 200);
    let member = format!("{STAGE}/members/{}", people[0].session);
    for (token, method, path) in [
        (&bob, Method::GET, STAGE),
        (&bob, Method::PUT, STAGE),
        (&ann, Method::DELETE, STAGE),
        (&ann, Method::PUT, &member),
        (&ann, Method::DELETE, &member),
    ] {
        let body = json!({"seats": 2, "audio": "mic"});
        let refused = bearer(&api, token, method.clone(), path, &body).await;
        assert_eq!(refused.refusal(), (403, "forbidden".into()), "{method} {path}");
    }
    let pull = json!({"tracks": [remote("stage:garden", "speaker-1/video")]});
    for (token, status) in [(&ann, 200), (&bob, 403), (&eve, 403)] {
        let session = bearer(&api, token, Method::POST, "/sessions/new", &json!({})).await.ok();
        let path = format!("/sessions/{}/tracks/new", text(&session["sessionId"]));
        assert_eq!(bearer(&api, token, Method::POST, &path, &pull).await.status, status);
    }
    // Another application has stages of its own.
    let foreign = Request::builder().uri(format!("/v1/apps/{OTHER_APP}{STAGE}"));
    let foreign = foreign.header("authorization", format!("Bearer {OTHER_SECRET}"));
    assert_eq!(api.request(foreign.body(Body::empty()).unwrap()).await.status, 406);
}

#[tokio::test(start_paused = true)]
async fn an_app_cannot_take_all_stages_and_those_that_nobody_uses_make_room() {
    let api = Api::new();
    let mut made = 0;
    while api.put(&format!("/ext/stages/s{made}"), &json!({"seats": 1})).await.status == 200 {
        made += 1;
    }
    assert_eq!(made, 875, "an eighth is for the other app");
    let other = |path: &str| {
        let request = Request::builder().method("PUT").uri(format!("/v1/apps/{OTHER_APP}{path}"));
        let request = request.header("authorization", format!("Bearer {OTHER_SECRET}"));
        request.body(Body::from(json!({"seats": 1}).to_string())).unwrap()
    };
    assert_eq!(api.request(other("/ext/stages/mine")).await.status, 200);
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(api.put("/ext/stages/more", &json!({"seats": 1})).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn events_tell_how_things_are_and_then_what_changes() {
    let api = Api::new();
    let people = stage(&api, 1, 2).await;
    let request = Request::builder().uri(format!("/v1/apps/{APP}{STAGE}/events"));
    let request = request.header("authorization", format!("Bearer {SECRET}")).body(Body::empty()).unwrap();
    let mut reader = Reader::request(&api, request).await;
    let person = |person: &Publisher| json!({"audio": "mic", "sessionId": person.session, "video": "cam"});
    let mut next = async || {
        let (name, data) = reader.next().await?;
        Some((name, serde_json::from_str::<Value>(&data).unwrap()))
    };
    let seat =
        |sits: &Publisher| json!([{"audio": "mic", "seat": 1, "sessionId": sits.session, "video": "cam"}]);
    let seats = |sits, waits| ("seats".to_owned(), json!({"next": person(waits), "seats": seat(sits)}));
    assert_eq!(next().await, Some(seats(&people[0], &people[1])));
    let members = json!({"members": [person(&people[0]), person(&people[1])]});
    assert_eq!(next().await, Some(("members".into(), members)));
    let levels = json!({"levels": {(people[0].session.as_str()): -127, (people[1].session.as_str()): -127}});
    assert_eq!(next().await, Some(("levels".into(), levels)));
    speak(&api, &people, 1).await;
    assert_eq!(next().await, Some(seats(&people[1], &people[0])));
    assert_eq!(next().await, Some(("speaker".into(), json!({"sessionId": people[1].session}))));
    let levels = json!({"levels": {(people[1].session.as_str()): -20}});
    assert_eq!(next().await, Some(("levels".into(), levels)));
    api.call(Method::DELETE, STAGE, Body::empty()).await.ok();
    assert_eq!(next().await, None);
    // One of the same name is another.
    assert_eq!(api.put(STAGE, &json!({"seats": 3})).await.ok()["members"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn a_section_moves_between_seats_and_tracks_by_update() {
    let api = Api::new();
    let people = stage(&api, 2, 3).await;
    let videos: Vec<PublicationId> = people.iter().map(|person| fed(&api, person, "1")).collect();
    let mut viewer = Publisher { session: api.open().await, browser: Browser::default() };
    let mid = viewer.pull(&api, "stage:garden", &["speaker-1/video"]).await.remove(0);
    let update = async |to: &str, name: &str| {
        let body = json!({"tracks": [{"mid": mid, "sessionId": to, "trackName": name}]});
        api.update(&viewer.session, &body).await.ok()["tracks"][0].clone()
    };
    assert!(update("stage:garden", "speaker-2/video").await.get("errorCode").is_none());
    assert_eq!(shown(&api, &viewer, &mid), Some(videos[1]));
    assert!(update(&people[2].session, "cam").await.get("errorCode").is_none());
    assert_eq!(shown(&api, &viewer, &mid), Some(videos[2]));
    speak(&api, &people, 0).await;
    speak(&api, &people, 2).await;
    assert_eq!(shown(&api, &viewer, &mid), Some(videos[2]), "it is no seat any more");
    assert!(update("stage:garden", "speaker-1/video").await.get("errorCode").is_none());
    assert_eq!(shown(&api, &viewer, &mid), Some(videos[0]));
    assert_eq!(update("stage:garden", "speaker-1/audio").await["errorCode"], "update_track_error");
    speak(&api, &people, 1).await;
    assert_eq!(shown(&api, &viewer, &mid), Some(videos[1]), "it is one again");
}
