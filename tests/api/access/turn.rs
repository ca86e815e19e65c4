//! Credentials for a TURN server.

use axum::http::{Method, Request};
use ringcast::config::{App, AppId, OptionalSecret, PublicTtl, Secret, Within};
use ringcast::control::access::apps::unix_now as now;
use serde_json::{Value, json};

use crate::harness::{APP, Api, Response, SECRET, text};

const TOKEN: &str = "token-of-the-key";

fn api(public_ttl: u64) -> Api {
    Api::with(|config| {
        config.turn.urls = [
            "stun:t.example:3478",
            "turn:t.example:3478?transport=udp",
            "turns:t.example:5349?transport=tcp",
        ]
        .map(str::to_owned)
        .to_vec();
        config.turn.secret = OptionalSecret::try_from("shared-with-coturn".to_owned()).unwrap();
        config.turn.keys = vec![App {
            id: AppId::try_from("key".to_owned()).unwrap(),
            secrets: vec![Secret::try_from(TOKEN.to_owned()).unwrap()],
        }];
        config.turn.public_ttl_seconds = PublicTtl(Within::new(public_ttl));
    })
}

async fn call(api: &Api, path: &str, token: Option<&str>, body: &str) -> Response {
    let request = Request::builder().method(Method::POST).uri(format!("/v1/turn/keys/{path}"));
    let request = match token {
        Some(token) => request.header("authorization", format!("Bearer {token}")),
        None => request,
    };
    api.request(request.body(body.to_owned().into()).unwrap()).await
}

fn expiry(server: &Value) -> u64 {
    text(&server["username"]).split_once(':').unwrap().0.parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn credentials_come_with_their_servers() {
    let api = api(600);
    let body = json!({"ttl": 60, "customIdentifier": "ann"}).to_string();
    let made = call(&api, "key/credentials/generate-ice-servers", Some(TOKEN), &body).await;
    assert_eq!(made.status, 201);
    let servers = made.ok()["iceServers"].clone();
    assert_eq!(servers[0], json!({"urls": ["stun:t.example:3478"]}));
    let relay = &servers[1];
    assert_eq!(relay["urls"].as_array().unwrap().len(), 2);
    assert!(text(&relay["username"]).ends_with(":ann") && relay["credential"].is_string());
    assert!((now() + 55..=now() + 60).contains(&expiry(relay)));
    let older = call(&api, "key/credentials/generate", Some(TOKEN), "").await;
    assert_eq!((older.status, older.ok()["iceServers"]["urls"].as_array().unwrap().len()), (201, 3));
    assert!((now() + 86_395..=now() + 86_400).contains(&expiry(&older.ok()["iceServers"])));
}

#[tokio::test(start_paused = true)]
async fn requests_for_credentials_are_refused_with_their_reason() {
    let api = api(600);
    let path = "key/credentials/generate-ice-servers";
    for (path, token, body, refusal) in [
        (path, None, "{}", (401, "unauthorized")),
        (path, Some("wrong"), "{}", (401, "unauthorized")),
        // A secret of an application is no token of a key.
        (path, Some(SECRET), "{}", (401, "unauthorized")),
        ("other/credentials/generate", Some(TOKEN), "{}", (404, "not_found")),
        (path, Some(TOKEN), r#"{"ttl": 0}"#, (406, "invalid_params")),
        (path, Some(TOKEN), r#"{"ttl": 172801}"#, (406, "invalid_params")),
        (path, Some(TOKEN), r#"{"ttl": "1"}"#, (400, "decoding_error")),
        (path, Some(TOKEN), r#"{"customIdentifier": "a:b"}"#, (406, "invalid_params")),
        (path, Some(TOKEN), r#"{"customIdentifier": ""}"#, (406, "invalid_params")),
        ("key/credentials", Some(TOKEN), "{}", (405, "method_not_allowed")),
        ("other/credentials", Some(TOKEN), "{}", (404, "not_found")),
    ] {
        let (status, code) = refusal;
        assert_eq!(call(&api, path, token, body).await.refusal(), (status, code.to_owned()), "{path} {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn living_credentials_are_not_said_to_be_revoked() {
    let api = api(600);
    let revoke = async |name: String, token| {
        call(&api, &format!("key/credentials/{name}/revoke"), token, "").await.status
    };
    assert_eq!(revoke(format!("{}:ann", now() + 60), Some(TOKEN)).await, 409);
    assert_eq!(revoke(format!("{}%3Aann", now() - 60), Some(TOKEN)).await, 204);
    assert_eq!(revoke("ann".into(), Some(TOKEN)).await, 406);
    assert_eq!(revoke(format!("{}:ann", now() - 60), Some("wrong")).await, 401);
}

#[tokio::test(start_paused = true)]
async fn ice_servers_of_an_application_carry_credentials_for_as_long_as_configured() {
    let get = async |api: &Api, token: Option<&str>| {
        let request = Request::builder().uri(format!("/v1/apps/{APP}/generate-ice-servers"));
        let request = match token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        api.request(request.body("".into()).unwrap()).await.ok()["iceServers"].clone()
    };
    let open = get(&api(600), None).await;
    assert!((now() + 595..=now() + 600).contains(&expiry(&open[1])), "{open}");
    let closed = api(0);
    for stranger in [None, Some("wrong")] {
        assert_eq!(get(&closed, stranger).await, json!([{"urls": ["stun:t.example:3478"]}]));
    }
    assert!(get(&closed, Some(SECRET)).await[1]["credential"].is_string());
}
