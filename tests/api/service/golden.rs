//! What holds for every call, whatever it does.

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};

use crate::harness::{APP, Api, SECRET};

fn request(method: &str, uri: &str) -> axum::http::request::Builder {
    Request::builder().method(method).uri(uri).header("origin", "https://page.example")
}

#[tokio::test(start_paused = true)]
async fn bodies_are_json_whatever_the_content_type() {
    let api = Api::new();
    let session = api.open().await;
    for content_type in
        ["text/plain;charset=UTF-8", "application/json", "application/x-www-form-urlencoded", "nonsense"]
    {
        let request = request("PUT", &format!("/v1/apps/{APP}/sessions/{session}/tracks/update?a=b&c"))
            .header("authorization", format!("Bearer {SECRET}"))
            .header("content-type", content_type)
            .body(Body::from(json!({"tracks": [{"mid": "7", "unknown": 1}], "more": null}).to_string()))
            .unwrap();
        let body = api.request(request).await.ok();
        assert_eq!(body["tracks"][0]["errorCode"], "not_found_track_error");
    }
}

#[tokio::test(start_paused = true)]
async fn both_prefixes_and_a_slash_at_the_end_lead_to_the_same_place() {
    let api = Api::new();
    for path in [
        "/v1/apps/APP/sessions/new",
        "/apps/APP/sessions/new",
        "/apps/APP/sessions/new/?",
        "/v1/apps/APP/sessions/new//",
    ] {
        let request =
            request("POST", &path.replace("APP", APP)).header("authorization", format!("Bearer {SECRET}"));
        assert_eq!(api.request(request.body(Body::empty()).unwrap()).await.status, 201, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_call_is_redirected_and_every_refusal_is_json_with_cors() {
    let api = Api::new();
    let session = api.open().await;
    let session = format!("/v1/apps/{APP}/sessions/{session}");
    let paths = [
        ("DELETE", session.clone(), 405),
        ("GET", format!("{session}/tracks"), 405),
        ("GET", format!("{session}/tracks/new"), 405),
        ("POST", format!("{session}/renegotiate"), 405),
        ("PATCH", format!("/v1/apps/{APP}/sessions/new"), 405),
        ("GET", format!("/v1/apps/{APP}"), 405),
        ("GET", format!("/apps/{APP}/whatever/"), 405),
        ("GET", format!("/v1/apps/{APP}/%ff/x"), 405),
        ("GET", "/v1/apps/unknown/sessions/x".into(), 404),
        ("POST", "/v1/apps/unknown/sessions/new".into(), 404),
        ("GET", "/v1/apps/unknown/generate-ice-servers".into(), 404),
        ("GET", "/v1/apps".into(), 404),
        ("GET", "/favicon.ico".into(), 404),
        ("POST", "/".into(), 405),
        ("POST", format!("/v1/apps/{APP}/sessions/new"), 401),
        ("GET", session, 401),
    ];
    for (method, path, status) in paths {
        let response = api.request(request(method, &path).body(Body::empty()).unwrap()).await;
        assert_eq!(response.status, status, "{method} {path}");
        assert!(response.json().get("errorCode").is_some_and(Value::is_string), "{method} {path}");
        assert_eq!(
            response.headers["access-control-allow-origin"], "https://page.example",
            "{method} {path}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn preflights_need_no_secret_and_no_known_app() {
    let api = Api::new();
    for path in [format!("/v1/apps/{APP}/sessions/new"), "/apps/unknown/sessions/x/tracks/new".into()] {
        let preflight = request("OPTIONS", &path)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type");
        let response = api.request(preflight.body(Body::empty()).unwrap()).await;
        assert!(response.status < 300, "{response:?}");
        assert_eq!(response.headers["access-control-allow-origin"], "https://page.example");
        let methods = response.headers["access-control-allow-methods"].to_str().unwrap();
        assert!(["GET", "POST", "PUT", "OPTIONS"].iter().all(|method| methods.contains(method)), "{methods}");
        let headers = response.headers["access-control-allow-headers"].to_str().unwrap();
        assert!(["authorization", "content-type"].iter().all(|header| headers.contains(header)), "{headers}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_listed_origins_are_allowed_when_there_is_a_list() {
    let listed = "https://good.example".to_owned();
    let api = Api::with(|config| config.http.cors_origins = vec![listed.clone().try_into().unwrap()]);
    for (origin, allowed) in [("https://good.example", true), ("https://evil.example", false)] {
        let request =
            Request::builder().uri(format!("/v1/apps/{APP}/generate-ice-servers")).header("origin", origin);
        let response = api.request(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.headers.contains_key("access-control-allow-origin"), allowed, "{origin}");
        assert!(response.headers["vary"].to_str().unwrap().contains("origin"));
    }
}

#[tokio::test(start_paused = true)]
async fn head_is_answered_like_get_without_a_body() {
    let api = Api::new();
    let session = api.open().await;
    for path in [format!("/sessions/{session}"), "/generate-ice-servers".into()] {
        let response = api.call(Method::HEAD, &path, Body::empty()).await;
        assert_eq!((response.status, response.body.len()), (200, 0), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn ice_servers_need_no_secret() {
    let server = json!([{"urls": ["turn:t.example"], "username": "u", "credential": "c"}]);
    let api = Api::with(|config| config.ice_servers = serde_json::from_value(server.clone()).unwrap());
    let path = format!("/apps/{APP}/generate-ice-servers?");
    let response = api.request(request("GET", &path).body(Body::empty()).unwrap()).await;
    assert_eq!(response.ok(), json!({"iceServers": server}));
}

#[tokio::test(start_paused = true)]
async fn pages_and_scripts_come_from_here_alone() {
    let api = Api::new();
    for path in ["/", "/demo.js", "/demo.css", "/docs", "/openapi.json"] {
        let response = api.request(request("GET", path).body(Body::empty()).unwrap()).await;
        assert_eq!(response.status, 200, "{path}");
        let text = String::from_utf8_lossy(&response.body).into_owned();
        assert!(!text.contains("src=\"http") && !text.contains("href=\"http"), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn adapters_say_of_each_item_that_they_are_not_served() {
    let api = Api::new();
    let code = "temporarily_unavailable_error";
    let tracks = json!({"tracks": [{"location": "local", "trackName": "t", "endpoint": "wss://x.example", "inputCodec": "pcm"}]});
    let response = api.post("/adapters/websocket/new", &tracks).await;
    assert_eq!((response.status, &response.json()["tracks"][0]["errorCode"]), (503, &json!(code)));
    let response = api.post("/adapters/websocket/close", &json!({"tracks": [{"adapterId": "x"}]})).await;
    assert_eq!(response.ok(), json!({"tracks": [{"adapterId": "x"}]}));
}
