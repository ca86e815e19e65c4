//! Scoped tokens: what each claim allows, every refusal, and that a refused request changes nothing for anybody.

use axum::body::Body;
use axum::http::{Method, Request};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use ringcast::config::Secret;
use ringcast::control::access::apps::unix_now as now;
use serde_json::{Value, json};

use crate::browser::{Browser, Direction};
use crate::client::{Resource, SDP, offer, problem, send};
use crate::harness::{
    APP, Api, OLDER_SECRET, OTHER_APP, OTHER_SECRET, Response, SECRET, local, remote, settle, text,
};

fn signed(secret: &str, claims: &Value) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

/// A token of this app for an hour, with more or other claims.
pub(crate) fn token(more: &Value) -> String {
    let mut claims = json!({"iss": APP, "aud": "ringcast", "sub": "ann", "iat": now(), "exp": now() + 3_600});
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    signed(SECRET, &claims)
}

/// The service as the bearer of one token meets it.
struct Bearer<'a> {
    api: &'a Api,
    token: String,
}

impl<'a> Bearer<'a> {
    fn new(api: &'a Api, more: &Value) -> Self {
        Self { api, token: token(more) }
    }

    async fn call(&self, method: Method, path: &str, body: impl Into<Body>) -> Response {
        let request = Request::builder()
            .method(method)
            .uri(format!("/v1/apps/{APP}{path}"))
            .header("authorization", format!("Bearer {}", self.token))
            .body(body.into())
            .unwrap();
        self.api.request(request).await
    }

    async fn open(&self) -> String {
        text(&self.call(Method::POST, "/sessions/new", Body::empty()).await.ok()["sessionId"])
    }

    async fn tracks_new(&self, session: &str, body: &Value) -> Response {
        self.call(Method::POST, &format!("/sessions/{session}/tracks/new"), body.to_string()).await
    }

    async fn push(&self, session: &str, name: &str) -> Response {
        let mut browser = Browser::default();
        let mid = browser.add("audio", Direction::Send);
        let offer = json!({"type": "offer", "sdp": browser.offer()});
        self.tracks_new(session, &json!({"sessionDescription": offer, "tracks": [local(&mid, name)]})).await
    }
}

/// Status and reason of a refusal, which names its remedy.
fn forbidden(response: &Response) -> String {
    assert_eq!(response.refusal(), (403, "forbidden".into()), "{response:?}");
    text(&response.json()["errorSubcode"])
}

#[tokio::test(start_paused = true)]
async fn a_token_does_what_its_scope_names_and_nothing_else() {
    let api = Api::new();
    let publisher = api.publisher(&[("audio", "mic"), ("video", "screen")]).await;
    let ann = Bearer::new(&api, &json!({"publish": ["cam-*", "mic"], "subscribe": ["mic"]}));
    let session = ann.open().await;
    for name in ["cam-1", "mic"] {
        ann.push(&session, name).await.ok();
    }
    for name in ["cam", "screen", "mic2", "Mic"] {
        assert_eq!(forbidden(&ann.push(&session, name).await), "publish", "{name}");
    }
    let offered = json!({"tracks": [{"location": "local", "trackName": "screen", "kind": "video"}]});
    assert_eq!(forbidden(&ann.tracks_new(&session, &offered).await), "publish");
    let pulled = ann.tracks_new(&session, &json!({"tracks": [remote(&publisher.session, "mic")]})).await.ok();
    assert!(pulled["tracks"][0]["mid"].is_string());
    let without_location = json!({"tracks": [{"sessionId": publisher.session, "trackName": "screen"}]});
    let both = json!({"tracks": [remote(&publisher.session, "mic"), remote(&publisher.session, "screen")]});
    for body in [without_location, both] {
        assert_eq!(forbidden(&ann.tracks_new(&session, &body).await), "subscribe", "{body}");
    }
    let mid = pulled["tracks"][0]["mid"].clone();
    let other =
        json!({"tracks": [{"mid": mid, "sessionId": publisher.session, "trackName": "screen"}]}).to_string();
    let path = format!("/sessions/{session}/tracks/update");
    assert_eq!(forbidden(&ann.call(Method::PUT, &path, other).await), "subscribe");
    assert_eq!(ann.call(Method::GET, &format!("/sessions/{session}"), Body::empty()).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn names_that_the_server_chooses_need_a_right_on_every_name() {
    let api = Api::new();
    for (publish, status) in [(json!(["*"]), 200), (json!(["cam-*"]), 403), (json!([]), 403)] {
        let ann = Bearer::new(&api, &json!({"publish": publish}));
        let mut browser = Browser::default();
        browser.add("audio", Direction::Send);
        let offer = json!({"type": "offer", "sdp": browser.offer()});
        let body = json!({"sessionDescription": offer, "autoDiscover": true});
        assert_eq!(ann.tracks_new(&ann.open().await, &body).await.status, status, "{publish}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_touches_only_the_sessions_of_its_owner() {
    let api = Api::new();
    let scope = json!({"publish": ["*"], "subscribe": ["*"]});
    let owned = |more: Value| {
        let mut claims = scope.clone();
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Bearer::new(&api, &claims)
    };
    let (ann, again, bob) = (owned(json!({})), owned(json!({"jti": "2"})), owned(json!({"sub": "bob"})));
    let session = ann.open().await;
    ann.push(&session, "mic").await.ok();
    again.push(&session, "cam").await.ok();
    let before = api.get(&format!("/sessions/{session}")).await.json();
    let close = json!({"tracks": [{"mid": "0"}], "force": true}).to_string();
    let answer = json!({"sessionDescription": {"type": "answer", "sdp": ""}}).to_string();
    let of_secret = api.open().await;
    // More often than the budget of a session allows: a stranger does not spend it.
    for _ in 0..20 {
        for (method, end, body) in [
            (Method::GET, "", String::new()),
            (Method::POST, "/tracks/new", json!({"tracks": [remote(&session, "mic")]}).to_string()),
            (Method::PUT, "/tracks/close", close.clone()),
            (Method::PUT, "/tracks/update", json!({"tracks": [{"mid": "0"}]}).to_string()),
            (Method::PUT, "/renegotiate", answer.clone()),
        ] {
            let refused = bob.call(method.clone(), &format!("/sessions/{session}{end}"), body).await;
            assert_eq!(forbidden(&refused), "session", "{method} {end}");
        }
        for (method, path) in [
            (Method::DELETE, format!("/ext/sessions/{session}")),
            (Method::GET, format!("/ext/sessions/{session}/stats")),
            (Method::GET, format!("/sessions/{of_secret}")),
        ] {
            assert_eq!(forbidden(&bob.call(method, &path, Body::empty()).await), "session", "{path}");
        }
    }
    assert_eq!(api.get(&format!("/sessions/{session}")).await.ok(), before);
    // What bob may do with it is to receive from it, in a session of his own.
    settle().await;
    let own = bob.open().await;
    let pulled = bob.tracks_new(&own, &json!({"tracks": [remote(&session, "cam")]})).await.ok();
    assert!(pulled["tracks"][0]["mid"].is_string());
    let end = ann.call(Method::DELETE, &format!("/ext/sessions/{session}"), Body::empty()).await;
    assert_eq!(end.status, 200);
}

#[tokio::test(start_paused = true)]
async fn data_channels_are_granted_by_name_and_direction() {
    let api = Api::new();
    let ann = Bearer::new(&api, &json!({"publishData": ["chat*"], "subscribeData": ["news"]}));
    let session = ann.open().await;
    let other = api.open().await;
    let own = |name: &str| json!({"location": "local", "dataChannelName": name});
    let of_other = |name: &str, reply: bool| json!({"location": "remote", "sessionId": other, "dataChannelName": name, "canReply": reply});
    for (verb, channel, reason) in [
        ("new", own("news"), "publish_data"),
        ("new", of_other("chat", false), "subscribe_data"),
        // To reply is to send.
        ("new", of_other("news", true), "publish_data"),
        ("update", of_other("news", true), "publish_data"),
        ("update", of_other("chat", false), "subscribe_data"),
    ] {
        let method = if verb == "new" { Method::POST } else { Method::PUT };
        let path = format!("/sessions/{session}/datachannels/{verb}");
        let body = json!({"dataChannels": [channel]}).to_string();
        assert_eq!(forbidden(&ann.call(method, &path, body).await), reason, "{channel}");
    }
    let path = format!("/sessions/{session}/datachannels/new");
    let body = json!({"dataChannels": [own("chat-1")]}).to_string();
    assert_ne!(ann.call(Method::POST, &path, body).await.status, 403);
    let path = format!("/ext/sessions/{session}/group");
    let body = json!({"group": "room"}).to_string();
    assert_eq!(forbidden(&ann.call(Method::PUT, &path, body).await), "publish_data");
    let body = json!({"group": "chat-2"}).to_string();
    assert_eq!(forbidden(&ann.call(Method::PUT, &path, body).await), "subscribe_data");
}

#[tokio::test(start_paused = true)]
async fn a_token_for_one_session_touches_that_one_alone() {
    let api = Api::new();
    let (session, other) = (api.open().await, api.open().await);
    let ann = Bearer::new(&api, &json!({"session": session, "publish": ["mic"]}));
    ann.push(&session, "mic").await.ok();
    assert_eq!(forbidden(&ann.push(&other, "mic").await), "session");
    let refused = ann.call(Method::POST, "/sessions/new", Body::empty()).await;
    assert_eq!(forbidden(&refused), "one_session");
}

#[tokio::test(start_paused = true)]
async fn what_concerns_everybody_needs_the_secret() {
    let api = Api::new();
    let ann = Bearer::new(&api, &json!({"publish": ["*"], "subscribe": ["*"]}));
    let adapters = json!({"tracks": [{"trackName": "mic"}]}).to_string();
    for (method, path, body) in [
        (Method::GET, "/ext/sessions", String::new()),
        (Method::POST, "/sessions/new?thirdparty=true", String::new()),
        (Method::POST, "/ext/tokens", json!({"publish": ["*"]}).to_string()),
        (Method::POST, "/adapters/websocket/new", adapters.clone()),
        (Method::POST, "/adapters/websocket/close", adapters),
    ] {
        assert_eq!(forbidden(&ann.call(method, path, body).await), "secret_only", "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_opens_the_rooms_that_it_names() {
    let api = Api::new();
    let calls = |room: &str| {
        [
            (Method::PUT, format!("/ext/rooms/{room}/members/a"), json!({"name": "a"}).to_string()),
            (Method::GET, format!("/ext/rooms/{room}"), String::new()),
            (Method::DELETE, format!("/ext/rooms/{room}/members/a"), String::new()),
        ]
    };
    let made = api.post("/ext/tokens", &json!({"rooms": ["garden", "attic-*"]})).await.ok();
    let ann = Bearer { api: &api, token: text(&made["token"]) };
    for room in ["garden", "attic-1"] {
        for (method, path, body) in calls(room) {
            ann.call(method, &path, body).await.ok();
        }
    }
    let nowhere = Bearer::new(&api, &json!({"publish": ["*"], "subscribe": ["*"], "whip": ["*"]}));
    for (bearer, room) in [(&ann, "gardens"), (&ann, "attic"), (&nowhere, "garden")] {
        for (method, path, body) in calls(room) {
            assert_eq!(forbidden(&bearer.call(method, &path, body).await), "rooms", "{path}");
        }
    }
    // To be in a room is not to hear what is said there.
    let session = ann.open().await;
    assert_eq!(forbidden(&ann.push(&session, "camera").await), "publish");
}

#[tokio::test(start_paused = true)]
async fn tokens_that_do_not_do_are_refused_with_their_reason_and_counted() {
    let api = Api::new();
    let claims = |more: Value| token(&more);
    let good = claims(json!({"publish": ["*"]}));
    let other_app = json!({"iss": OTHER_APP, "aud": "ringcast", "exp": now() + 60});
    let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", good.split('.').nth(1).unwrap());
    let table = [
        (claims(json!({"exp": now() - 60})), 403, Some("expired")),
        (claims(json!({"nbf": now() + 120})), 403, Some("not_yet_valid")),
        (claims(json!({"exp": now() + 90_000})), 403, Some("lifetime")),
        (claims(json!({"aud": "other"})), 403, Some("audience")),
        (claims(json!({"iss": OTHER_APP})), 403, Some("wrong_app")),
        (signed(OTHER_SECRET, &other_app), 403, Some("wrong_app")),
        (claims(json!({"publish": "*"})), 403, Some("claims")),
        (signed("no-secret-of-this-app", &json!({"iss": APP, "exp": now() + 60})), 401, None),
        (unsigned, 401, None),
        (format!("{good}x"), 401, None),
    ];
    for (token, status, reason) in &table {
        let bearer = Bearer { api: &api, token: token.clone() };
        let refused = bearer.call(Method::POST, "/sessions/new", Body::empty()).await;
        let code = if *status == 401 { "unauthorized" } else { "forbidden" };
        assert_eq!(refused.refusal(), (*status, code.into()), "{reason:?}");
        assert_eq!(refused.json()["errorSubcode"].as_str(), *reason);
        assert_eq!(refused.headers.contains_key("www-authenticate"), *status == 401);
    }
    assert!(api.shards.iter().all(|shard| shard.log().is_empty()), "no session was made");
    let exposed = api.exposed().await;
    for (reason, count) in [("expired", 1), ("wrong_app", 2), ("unknown", 3), ("publish", 0)] {
        let line = format!("ringcast_api_refused_total{{reason=\"{reason}\"}} {count}\n");
        assert!(exposed.contains(&line), "{line} {exposed}");
    }
    let bearer = Bearer { api: &api, token: good };
    bearer.call(Method::POST, "/sessions/new", Body::empty()).await.ok();
}

#[tokio::test(start_paused = true)]
async fn tokens_signed_by_an_older_secret_are_taken_while_it_stands() {
    let api = Api::new();
    let claims = json!({"iss": APP, "aud": ["ringcast"], "exp": now() + 60});
    let bearer = Bearer { api: &api, token: signed(OLDER_SECRET, &claims) };
    bearer.open().await;
}

#[tokio::test(start_paused = true)]
async fn the_server_makes_tokens_for_those_who_know_the_secret() {
    let api = Api::new();
    let wish = json!({"ttl": 60, "sub": "ann", "publish": ["mic"], "whip": ["stage"]});
    let made = api.post("/ext/tokens", &wish).await;
    assert_eq!((made.status, made.headers["cache-control"].to_str().unwrap()), (201, "no-store"));
    assert!((now() + 55..=now() + 60).contains(&made.json()["expiresAt"].as_u64().unwrap()));
    let ann = Bearer { api: &api, token: text(&made.json()["token"]) };
    let session = ann.open().await;
    ann.push(&session, "mic").await.ok();
    assert_eq!(forbidden(&ann.push(&session, "cam").await), "publish");
    // Another token of the same subject goes on where the first one was.
    let next = api.post("/ext/tokens", &json!({"sub": "ann", "publish": ["cam"]})).await.ok();
    Bearer { api: &api, token: text(&next["token"]) }.push(&session, "cam").await.ok();
}

#[tokio::test(start_paused = true)]
async fn a_token_request_with_a_slip_is_refused_with_the_remedy() {
    let api = Api::new();
    let refused = async |body: Value| {
        let response = api.post("/ext/tokens", &body).await;
        let (status, code) = response.refusal();
        (status, code, text(&response.json()["errorDescription"]))
    };
    for (body, hint) in [
        (json!({"publish": ["*"], "ttl": 0}), "from 1 to 86400"),
        (json!({"publish": ["*"], "ttl": 86_401}), "from 1 to 86400"),
        (json!({"publish": [""]}), "publish"),
        (json!({"publish": ["a,b"]}), "\"a\" and \"b\""),
        (json!({"publish": ["a*b"]}), "\"a*\""),
        (json!({"publish": ["*"], "sub": ""}), "sub is empty"),
        (json!({"sub": "ann"}), "would allow nothing"),
        (json!({}), "would allow nothing"),
        (json!({"publish": [], "whep": []}), "would allow nothing"),
    ] {
        let (status, code, description) = refused(body.clone()).await;
        assert_eq!((status, code.as_str()), (406, "invalid_params"), "{body}");
        assert!(description.contains(hint), "{body}: {description}");
    }
    for (body, hint) in [
        (json!({"publsih": ["*"]}), "did you mean \"publish\"?"),
        (json!({"publish": ["*"], "subject": "ann"}), "did you mean \"sub\"?"),
        (json!({"publish": ["*"], "expiresIn": 60}), "ttl"),
        (json!({"publish": "*"}), "sequence"),
        (json!(["publish"]), "invalid type"),
    ] {
        let (status, code, description) = refused(body.clone()).await;
        assert_eq!((status, code.as_str()), (400, "decoding_error"), "{body}");
        assert!(description.contains(hint), "{body}: {description}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_secret_is_taken_itself_but_signs_and_checks_no_token() {
    const SHORT: &str = "a-secret-of-only-31-characters-";
    let api = Api::with(|config| {
        config.apps[0].secrets = vec![Secret::try_from(SHORT.to_owned()).unwrap()];
    });
    let call = async |bearer: &str, path: &str, body: Value| {
        let request = Request::builder().method(Method::POST).uri(format!("/v1/apps/{APP}{path}"));
        let request = request.header("authorization", format!("Bearer {bearer}"));
        api.request(request.body(Body::from(body.to_string())).unwrap()).await
    };
    assert_eq!(call(SHORT, "/sessions/new", json!({})).await.status, 201);
    let claims = json!({"iss": APP, "aud": "ringcast", "exp": now() + 60, "publish": ["*"]});
    let refused = call(&signed(SHORT, &claims), "/sessions/new", json!({})).await;
    assert_eq!(refused.refusal(), (401, "unauthorized".into()));
    assert!(text(&refused.json()["errorDescription"]).contains("32 characters"));
    let refused = call(SHORT, "/ext/tokens", json!({"publish": ["*"]})).await;
    assert_eq!(refused.refusal(), (406, "invalid_params".into()));
    assert!(text(&refused.json()["errorDescription"]).contains("generate-secret"));
}

#[tokio::test(start_paused = true)]
async fn preflights_and_ice_servers_need_no_token() {
    let api = Api::new();
    let request = Request::builder()
        .method(Method::GET)
        .uri(format!("/v1/apps/{APP}/generate-ice-servers"))
        .header("origin", "https://page.example")
        .body(Body::empty())
        .unwrap();
    let response = api.request(request).await;
    assert_eq!(response.ok(), json!({"iceServers": []}));
    assert_eq!(response.headers["access-control-allow-origin"], "https://page.example");
}

#[tokio::test(start_paused = true)]
async fn a_token_for_one_session_makes_no_other_by_whip_or_whep() {
    let api = Api::new();
    let publisher = Resource::publisher(&api).await;
    let viewer = Resource::viewer(&api).await;
    let session = publisher.path.rsplit('/').next().unwrap().to_owned();
    let bearer = |more: &Value| format!("Bearer {}", token(more));
    let bound = bearer(&json!({"session": session, "whip": ["*"], "whep": ["*"]}));
    let count = async || api.get("/ext/sessions").await.ok()["sessions"].as_array().unwrap().len();
    for (kind, direction) in [("whip", Direction::Send), ("whep", Direction::Receive)] {
        let path = format!("/{kind}/{APP}/other");
        let made = send(&api, "POST", &path, &[SDP, ("authorization", &bound)], &offer(direction)).await;
        let (status, text) = problem(&made);
        assert!(status == 403 && text.contains("for one session"), "{text}");
    }
    assert_eq!(count().await, 2);
    // It reaches the session that it names, and no other of the same stream.
    let end = async |path: &str| send(&api, "DELETE", path, &[("authorization", &bound)], "").await.status;
    assert_eq!(end(&viewer.path).await, 403);
    assert_eq!(end(&publisher.path).await, 200);
    assert_eq!(count().await, 1);
    // One with the same rights and no such claim goes on.
    let free = bearer(&json!({"whep": ["*"]}));
    let path = format!("/whep/{APP}/studio");
    let played =
        send(&api, "POST", &path, &[SDP, ("authorization", &free)], &offer(Direction::Receive)).await;
    assert_eq!(played.status, 201, "{played:?}");
}
