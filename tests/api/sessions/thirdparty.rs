//! Sessions that call another server: what descriptions say, who may have them, and how many.

use axum::http::Method;
use ringcast::config::Within;
use ringcast::plan::IceAgent;
use serde_json::json;

use crate::browser::{Browser, Direction};
use crate::harness::{Answer, Api, local, remote, text};

const NEW: &str = "/sessions/new?thirdparty=true";

/// The description as a server that waits prints it: lite, with candidates, and with the role asked for.
fn as_server(description: &str, setup: &str) -> String {
    let candidates = "a=candidate:1 1 udp 2130706431 198.51.100.7 3478 typ host\r\n\
                      a=candidate:2 1 tcp 1518280447 198.51.100.7 443 typ host tcptype passive\r\n\
                      a=candidate:3 1 UDP 2130706175 name.local 3478 typ host\r\n\
                      a=candidate:4 2 udp 2130706430 198.51.100.7 3479 typ host\r\n";
    let lite = description.replacen("a=group:", "a=ice-lite\r\na=group:", 1);
    let lines = lite.split_inclusive("\r\n").map(|line| match line {
        "a=setup:active\r\n" | "a=setup:actpass\r\n" => format!("a=setup:{setup}\r\n{candidates}"),
        line => line.to_owned(),
    });
    lines.collect()
}

async fn open(api: &Api) -> String {
    let response = api.call(Method::POST, NEW, "").await;
    assert_eq!(response.status, 201);
    text(&response.ok()["sessionId"])
}

#[tokio::test(start_paused = true)]
async fn our_offer_is_that_of_a_full_agent_and_the_other_server_may_be_lite_and_passive() {
    let api = Api::new();
    let publisher = api.publisher(&[("audio", "microphone")]).await;
    let session = open(&api).await;
    let pulled =
        api.tracks_new(&session, &json!({"tracks": [remote(&publisher.session, "microphone")]})).await.ok();
    let offer = text(&pulled["sessionDescription"]["sdp"]);
    assert!(!offer.contains("a=ice-lite") && offer.contains("a=setup:actpass"), "{offer}");
    assert_eq!(offer.matches("m=").count(), 1, "no line that only clients need: {offer}");
    let candidates: Vec<_> = offer.lines().filter(|line| line.starts_with("a=candidate:")).collect();
    assert!(
        candidates.len() == 1 && candidates[0].contains(" udp ") && candidates[0].contains(" 192.0.2.7 "),
        "{offer}"
    );

    let answer = Browser::default().answer(&offer);
    let nowhere = answer.replacen("a=group:", "a=ice-lite\r\na=group:", 1);
    let refused = api.renegotiate(&session, "answer", &nowhere).await;
    assert_eq!(refused.refusal(), (406, "invalid_session_description".into()));
    assert!(refused.json().to_string().contains("nobody to call"), "{}", refused.json());

    api.renegotiate(&session, "answer", &as_server(&answer, "passive")).await.ok();
    let plan = api.shard(&session).plan(&session);
    assert_eq!(plan.transport.agent, IceAgent::Controlling);
    let shown = &plan.transport.ingress_offer;
    assert!(shown.contains("a=ice-lite") && shown.contains("a=setup:passive"), "{shown}");
    let candidates: Vec<_> = shown.lines().filter(|line| line.starts_with("a=candidate:")).collect();
    assert_eq!(candidates, ["a=candidate:1 1 udp 2130706431 198.51.100.7 3478 typ host"]);
    assert_eq!(plan.egress.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_offer_of_another_server_is_answered_by_who_begins() {
    for (is_lite, agent) in [(true, IceAgent::Controlling), (false, IceAgent::Controlled)] {
        let api = Api::new();
        let session = open(&api).await;
        let mut browser = Browser::default();
        let mid = browser.add("audio", Direction::Send);
        let mut offer = as_server(&browser.offer(), "actpass");
        if !is_lite {
            offer = offer.replace("a=ice-lite\r\n", "");
        }
        let body = json!({
            "sessionDescription": {"type": "offer", "sdp": offer},
            "tracks": [local(&mid, "microphone")],
        });
        let answer = text(&api.tracks_new(&session, &body).await.ok()["sessionDescription"]["sdp"]);
        assert!(answer.contains("a=setup:active") && !answer.contains("a=ice-lite"), "{answer}");
        assert!(answer.contains(" 192.0.2.7 "), "{answer}");
        let plan = api.shard(&session).plan(&session);
        assert_eq!(plan.transport.agent, agent);
        assert!(plan.transport.ingress_offer.contains("a=setup:passive"), "{}", plan.transport.ingress_offer);
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_are_open_than_there_may_be_and_an_end_makes_room() {
    let api = Api::with(|config| config.limits.thirdparty_sessions = Within::new(1));
    let first = open(&api).await;
    let refused = api.call(Method::POST, NEW, "").await;
    assert_eq!(refused.status, 503);
    api.open().await;
    api.call(Method::DELETE, &format!("/ext/sessions/{first}"), "").await;
    open(&api).await;
    // What a shard does not take makes room as well.
    let api = Api::with(|config| config.limits.thirdparty_sessions = Within::new(1));
    api.shards.iter().for_each(|shard| shard.answer_with(Answer::Full));
    assert_eq!(api.call(Method::POST, NEW, "").await.status, 503);
    api.shards.iter().for_each(|shard| shard.answer_with(Answer::Accept));
    open(&api).await;
}

#[tokio::test(start_paused = true)]
async fn they_can_be_switched_off() {
    let api = Api::with(|config| config.limits.thirdparty_sessions = Within::new(0));
    let refused = api.call(Method::POST, NEW, "").await;
    assert_eq!(refused.refusal(), (406, "invalid_params".into()));
    assert!(refused.json().to_string().contains("limits.thirdparty_sessions"), "{}", refused.json());
}
