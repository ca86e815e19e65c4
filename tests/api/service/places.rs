//! How many sessions an app, an owner of tokens and an address may have, and that nobody is kept out by another's.

use axum::body::Body;
use axum::http::Request;
use ringcast::config::{Config, Within};
use ringcast::control::serve::Peer;
use ringcast::ids::SessionId;
use ringcast::shard::command::Event;
use serde_json::json;

use crate::access::tokens::token;
use crate::browser::Direction;
use crate::client::{SDP, header, offer, post, problem};
use crate::harness::{APP, Api, OTHER_APP, OTHER_SECRET, Response, SECRET, settle, text};

fn small(config: &mut Config) {
    config.limits.sessions = Within::new(40);
    config.limits.connecting_sessions = Within::new(40);
    config.limits.sessions_per_owner = Within::new(8);
    config.limits.sessions_per_address = Within::new(4);
}

async fn open(api: &Api, app: &str, bearer: &str) -> Response {
    let request = Request::post(format!("/v1/apps/{app}/sessions/new"))
        .header("authorization", format!("Bearer {bearer}"))
        .body(Body::empty())
        .unwrap();
    api.request(request).await
}

/// Opens sessions as long as there are places; gives their ids and the refusal.
async fn fill(api: &Api, app: &str, bearer: &str, connects: bool) -> (Vec<String>, Response) {
    let mut made = Vec::new();
    loop {
        let response = open(api, app, bearer).await;
        if response.status != 201 {
            return (made, response);
        }
        let id = text(&response.json()["sessionId"]);
        if connects {
            api.shards[0].tell(Event::Connected(SessionId::parse(&id).unwrap()));
            settle().await;
        }
        made.push(id);
    }
}

/// Status and sentence of a refused sessions/new.
fn refused(response: &Response) -> (u16, String) {
    assert_eq!(header(response, "retry-after"), "5");
    assert!(header(response, "content-type").starts_with("text/plain"), "JSON would be taken for a session");
    (response.status, String::from_utf8(response.body.to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn the_owner_of_a_token_takes_no_sessions_of_others() {
    let api = Api::with(small);
    let ann = token(&json!({"subscribe": ["*"]}));
    let (made, refusal) = fill(&api, APP, &ann, false).await;
    let (status, sentence) = refused(&refusal);
    assert_eq!((made.len(), status), (2, 429), "a quarter before they connect");
    assert!(sentence.contains("limits.sessions_per_owner"), "{sentence}");
    api.shards[0].tell(Event::Connected(SessionId::parse(&made[0]).unwrap()));
    api.shards[0].tell(Event::Connected(SessionId::parse(&made[1]).unwrap()));
    settle().await;
    // Another token of the same owner is counted with it.
    let (more, _) = fill(&api, APP, &token(&json!({"subscribe": ["*"], "jti": "x"})), true).await;
    assert_eq!(made.len() + more.len(), 8);
    assert_eq!(open(&api, APP, &token(&json!({"sub": "bob"}))).await.status, 201);
    assert_eq!(open(&api, APP, SECRET).await.status, 201);
    assert_eq!(open(&api, OTHER_APP, OTHER_SECRET).await.status, 201);
    api.end(&more[0]).await;
    assert_eq!(open(&api, APP, &ann).await.status, 201, "a place that is free again");
    assert!(api.exposed().await.contains("ringcast_sessions_refused_total{bound=\"owner\"} 2\n"));
}

#[tokio::test(start_paused = true)]
async fn an_app_takes_nothing_of_the_share_of_another() {
    let api = Api::with(small);
    let (made, refusal) = fill(&api, APP, SECRET, true).await;
    let (status, sentence) = refused(&refusal);
    assert_eq!((made.len(), status), (35, 429));
    assert!(sentence.contains("limits.sessions_per_app"), "{sentence}");
    let (others, refusal) = fill(&api, OTHER_APP, OTHER_SECRET, true).await;
    assert_eq!((others.len(), refused(&refusal).0), (5, 503));
    api.end(&made[0]).await;
    assert_eq!(open(&api, APP, SECRET).await.status, 201);
}

#[tokio::test(start_paused = true)]
async fn sessions_that_do_not_connect_take_a_part_of_the_node() {
    let api = Api::with(|config| {
        small(config);
        config.limits.connecting_sessions = Within::new(8);
    });
    let (made, refusal) = fill(&api, APP, SECRET, false).await;
    assert_eq!((made.len(), refused(&refusal).0), (7, 429));
    let (others, refusal) = fill(&api, OTHER_APP, OTHER_SECRET, true).await;
    assert_eq!((others.len(), refused(&refusal).0), (33, 503), "whoever connects is not counted there");
    assert!(api.exposed().await.contains("ringcast_limit_used{resource=\"connecting_sessions\"} 7\n"));
    api.end(&made[0]).await;
    assert_eq!(open(&api, APP, SECRET).await.status, 201);
}

async fn play(api: &Api, peer: &str, told: Option<&str>) -> Response {
    let peer = Peer(format!("{peer}:5000").parse().unwrap());
    let mut request = Request::post(format!("/whep/{APP}/studio")).extension(peer).header(SDP.0, SDP.1);
    if let Some(told) = told {
        request = request.header("x-forwarded-for", told);
    }
    api.request(request.body(Body::from(offer(Direction::Receive))).unwrap()).await
}

#[tokio::test(start_paused = true)]
async fn public_playback_of_one_address_takes_nothing_of_others() {
    let api = Api::with(|config| {
        small(config);
        config.whep.public = true;
    });
    assert_eq!(post(&api, "whip", &offer(Direction::Send)).await.status, 201);
    assert_eq!(play(&api, "192.0.2.7", None).await.status, 201);
    let refusal = play(&api, "192.0.2.7", None).await;
    let (status, sentence) = problem(&refusal);
    assert_eq!((status, header(&refusal, "retry-after")), (429, "5".into()));
    assert!(sentence.contains("limits.sessions_per_address"), "{sentence}");
    assert_eq!(play(&api, "192.0.2.8", None).await.status, 201);
    // Behind a proxy it is the address that the proxy tells, and a proxy that tells none is no one client.
    assert_eq!(play(&api, "127.0.0.1", Some("192.0.2.7")).await.status, 429);
    assert_eq!(play(&api, "127.0.0.1", Some("192.0.2.9")).await.status, 201);
    for _ in 0..3 {
        assert_eq!(play(&api, "127.0.0.1", None).await.status, 201);
    }
    assert_eq!(open(&api, APP, SECRET).await.status, 201);
    assert_eq!(open(&api, OTHER_APP, OTHER_SECRET).await.status, 201);
}
