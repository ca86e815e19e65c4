//! Requests on one session that meet, and offers that nobody answers.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::browser::{Browser, Direction};
use crate::harness::{Answer, Api, Publisher, local, remote, settle, text};

fn push(browser: &mut Browser, name: &str) -> Value {
    let mid = browser.add("audio", Direction::Send);
    json!({"sessionDescription": {"type": "offer", "sdp": browser.offer()}, "tracks": [local(&mid, name)]})
}

#[tokio::test(start_paused = true)]
async fn requests_on_one_session_wait_for_each_other_and_other_sessions_go_on() {
    let api = Api::new();
    let (session, other) = (api.open().await, api.open().await);
    let mut browser = Browser::default();
    let (first, second) = (push(&mut browser, "a"), push(&mut browser, "b"));
    api.shards.iter().for_each(|shard| shard.answer_with(Answer::Hold));
    let begun = Instant::now();
    let (first, second, state, ()) = tokio::join!(
        api.tracks_new(&session, &first),
        api.tracks_new(&session, &second),
        async {
            settle().await;
            // Reading waits for nobody, and sees only what is in force.
            api.get(&format!("/sessions/{other}")).await.ok();
            api.get(&format!("/sessions/{session}")).await.ok()
        },
        async {
            sleep(Duration::from_secs(3)).await;
            api.shards.iter().for_each(|shard| shard.release());
        },
    );
    assert_eq!(state["tracks"], json!([]));
    first.ok();
    second.ok();
    assert_eq!(begun.elapsed().as_secs(), 3);
    let state = api.get(&format!("/sessions/{session}")).await.ok();
    assert_eq!(state["tracks"].as_array().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_too_long_is_refused_with_a_subcode() {
    let api = Api::new();
    let session = api.open().await;
    let (mut browser, update) = (Browser::default(), json!({"tracks": [{"mid": "0"}]}));
    let first = push(&mut browser, "a");
    api.shards.iter().for_each(|shard| shard.answer_with(Answer::Hold));
    let (first, second, ()) = tokio::join!(
        api.tracks_new(&session, &first),
        async {
            settle().await;
            api.update(&session, &update).await
        },
        async {
            sleep(Duration::from_millis(4_999)).await;
            api.shards.iter().for_each(|shard| shard.answer_with(Answer::Full));
        },
    );
    // The first gives up after five seconds too, a moment earlier; whichever is first, nobody hangs.
    assert_eq!(first.status, 503);
    assert!(
        second.status == 200 || second.json()["errorSubcode"] == "invalid_modification_have_remote_offer"
    );
}

/// Two concurrent pulls of a client that does not wait: the second gets its offer when the first is answered.
#[tokio::test(start_paused = true)]
async fn a_pull_waits_until_the_offer_before_it_is_answered() {
    let api = Api::new();
    let publisher = api.publisher(&[("audio", "mic"), ("video", "cam")]).await;
    let mut subscriber = Publisher { session: api.open().await, browser: Browser::default() };
    let pull = |name: &str| json!({"tracks": [remote(&publisher.session, name)]});
    let first = api.tracks_new(&subscriber.session, &pull("mic")).await.ok();
    let session = subscriber.session.clone();
    let later = pull("cam");
    let (second, ()) = tokio::join!(api.tracks_new(&session, &later), async {
        sleep(Duration::from_secs(1)).await;
        let answer = subscriber.browser.answer(&text(&first["sessionDescription"]["sdp"]));
        api.renegotiate(&subscriber.session, "answer", &answer).await.ok();
    });
    let second = second.ok();
    let answer = subscriber.browser.answer(&text(&second["sessionDescription"]["sdp"]));
    api.renegotiate(&subscriber.session, "answer", &answer).await.ok();
    assert_eq!(api.shard(&subscriber.session).plan(&subscriber.session).egress.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn pulls_that_wait_for_an_answer_are_served_in_the_order_in_which_they_came() {
    let api = Api::new();
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let publisher = api.publisher(&names.map(|name| ("audio", name))).await;
    let (session, mut browser) = (api.open().await, Browser::default());
    let served = std::sync::Mutex::new(Vec::new());
    let (offers, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let pulls = names.map(|name| {
        let (api, session, served, offers) = (&api, &session, &served, offers.clone());
        let body = json!({"tracks": [remote(&publisher.session, name)]});
        async move {
            let body = api.tracks_new(session, &body).await.ok();
            served.lock().unwrap().push(name);
            offers.send(text(&body["sessionDescription"]["sdp"])).unwrap();
        }
    });
    let answers = async {
        for _ in names {
            let answer = browser.answer(&arrived.recv().await.unwrap());
            api.renegotiate(&session, "answer", &answer).await.ok();
        }
    };
    tokio::join!(futures_util::future::join_all(pulls), answers);
    assert_eq!(*served.lock().unwrap(), names);
}

#[tokio::test(start_paused = true)]
async fn a_pull_during_an_unanswered_offer_is_refused_but_a_repeat_gets_the_same_offer() {
    let api = Api::new();
    let publisher = api.publisher(&[("audio", "mic"), ("video", "cam")]).await;
    let session = api.open().await;
    let pull = |name: &str| json!({"tracks": [remote(&publisher.session, name)]});
    let first = api.tracks_new(&session, &pull("mic")).await.ok();
    let begun = Instant::now();
    let refused = api.tracks_new(&session, &pull("cam")).await;
    assert_eq!(begun.elapsed().as_secs(), 5);
    assert_eq!(refused.refusal(), (406, "invalid_session_description".into()));
    assert_eq!(refused.json()["errorSubcode"], "invalid_modification_have_local_offer");
    let session = api.open().await;
    let first_again = api.tracks_new(&session, &pull("mic")).await.ok();
    assert_eq!(api.tracks_new(&session, &pull("mic")).await.ok(), first_again);
    assert_eq!(first["tracks"], first_again["tracks"]);
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_offer_is_rolled_back_for_all_to_see() {
    let api = Api::new();
    let publisher = api.publisher(&[("audio", "mic")]).await;
    let mut subscriber = Publisher { session: api.open().await, browser: Browser::default() };
    let pull = json!({"tracks": [remote(&publisher.session, "mic")]});
    let late = api.tracks_new(&subscriber.session, &pull).await.ok();
    let status = async || {
        let state = api.get(&format!("/sessions/{}", subscriber.session)).await.ok();
        text(&state["tracks"][0]["status"])
    };
    sleep(Duration::from_millis(9_900)).await;
    assert_eq!(status().await, "active");
    sleep(Duration::from_millis(200)).await;
    assert_eq!(status().await, "inactive");
    let answer = Browser::default().answer(&text(&late["sessionDescription"]["sdp"]));
    let refused = api.renegotiate(&subscriber.session, "answer", &answer).await;
    assert_eq!(refused.refusal(), (406, "invalid_session_description".into()));
    assert_eq!(refused.json()["errorSubcode"], "invalid_modification_stable");
    subscriber.pull(&api, &publisher.session, &["mic"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_time_stays() {
    let api = Api::new();
    let publisher = api.publisher(&[("audio", "mic")]).await;
    let (subscriber, mids) = api.subscriber(&publisher.session, &["mic"]).await;
    sleep(Duration::from_secs(20)).await;
    assert!(api.shard(&subscriber.session).received(&subscriber.session, &mids[0]).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_clients_offer_wins_over_ours() {
    let api = Api::new();
    let mut publisher = api.publisher(&[("audio", "mic")]).await;
    let id = publisher.session.clone();
    let pull = json!({"tracks": [remote(&id, "mic")]});
    let pulled = text(&api.tracks_new(&id, &pull).await.ok()["tracks"][0]["mid"]);
    let body = push(&mut publisher.browser, "second");
    let body = api.tracks_new(&id, &body).await.ok();
    assert_eq!(body["sessionDescription"]["type"], "answer");
    let state = api.get(&format!("/sessions/{id}")).await.ok();
    let open = state["tracks"].as_array().unwrap().iter().filter(|track| track["status"] == "active");
    assert_eq!(open.map(|track| text(&track["trackName"])).collect::<Vec<_>>(), ["mic", "second"]);
    assert!(!pulled.is_empty());
    let own = publisher.pull(&api, &id, &["second"]).await;
    assert!(api.shard(&id).received(&id, &own[0]).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_up_does_not_stop_its_request() {
    let api = Api::new();
    let session = api.open().await;
    let body = push(&mut Browser::default(), "a");
    api.shards.iter().for_each(|shard| shard.answer_with(Answer::Hold));
    tokio::select! {
        _ = api.tracks_new(&session, &body) => panic!("the shard holds its answer"),
        () = sleep(Duration::from_secs(1)) => {}
    }
    api.shards.iter().for_each(|shard| shard.release());
    settle().await;
    let state = api.get(&format!("/sessions/{session}")).await.ok();
    assert_eq!(state["tracks"][0]["trackName"], "a");
}
