//! The statuses and headers that RFC 9725 and draft-ietf-wish-whep-03 ask for, request by request.

use axum::body::Body;
use axum::http::Request;
use ringcast::config::{AppId, OptionalSecret, PublicUrl, Secret, Stream, StreamName, Within};
use ringcast::control::serve::Peer;
use serde_json::json;

use crate::access::tokens::token;
use crate::browser::{Browser, Direction, direction_of};
use crate::client::{FRAGMENT, PRESENT_ICE, Resource, SDP, header, offer, post, problem, send};
use crate::harness::{APP, Api, OLDER_SECRET, Response, SECRET, settle};

const NO_TOKEN: (&str, &str) = ("authorization", "");

fn endpoint(kind: &str) -> String {
    format!("/{kind}/{APP}/studio")
}

/// A service that knows a STUN and a TURN server.
fn with_ice_servers() -> Api {
    Api::with(|config| {
        config.turn.urls = ["turn:t.example:3478?transport=udp", "turns:t.example:443?transport=tcp"]
            .map(str::to_owned)
            .to_vec();
        config.turn.secret = OptionalSecret::try_from("shared-with-coturn".to_owned()).unwrap();
    })
}

/// The links of one relation.
fn links(response: &Response, relation: &str) -> Vec<String> {
    let all = response.headers.get_all("link").iter().map(|link| link.to_str().unwrap().to_owned());
    all.filter(|link| link.contains(&format!("rel=\"{relation}\""))).collect()
}

#[tokio::test(start_paused = true)]
async fn options_tell_what_is_taken_and_the_ice_servers_to_those_who_may_know_them() {
    let api = with_ice_servers();
    let resources = [("whip", Resource::publisher(&api).await), ("whep", Resource::viewer(&api).await)];
    for (kind, resource) in resources {
        let asked = send(&api, "OPTIONS", &endpoint(kind), &[], "").await;
        assert_eq!((asked.status, header(&asked, "accept-post").as_str()), (200, "application/sdp"));
        assert_eq!(links(&asked, "ice-server").len(), 2, "{asked:?}");
        let stranger = send(&api, "OPTIONS", &endpoint(kind), &[NO_TOKEN], "").await;
        assert_eq!((stranger.status, links(&stranger, "ice-server").len()), (200, 0));
        let asked = send(&api, "OPTIONS", &resource.path, &[NO_TOKEN], "").await;
        assert_eq!(asked.status, 200);
        let patch = header(&asked, "accept-patch");
        assert!(patch.contains("application/trickle-ice-sdpfrag"), "{patch}");
        assert_eq!(patch.contains("application/sdp"), kind == "whep");
        // A preflight has no token by its nature, and one that somebody adds changes nothing.
        let preflight = [
            ("origin", "https://page.example"),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization,content-type,if-match,link"),
        ];
        let allowed = send(&api, "OPTIONS", &endpoint(kind), &preflight, "").await;
        assert_eq!((allowed.status, links(&allowed, "ice-server").len()), (200, 0));
        for (name, wanted) in [
            ("access-control-allow-methods", "POST,PATCH,DELETE,OPTIONS,GET,HEAD"),
            ("access-control-allow-headers", "authorization,content-type,if-match,link"),
        ] {
            let given = header(&allowed, name).to_ascii_lowercase();
            for one in wanted.to_ascii_lowercase().split(',') {
                assert!(given == "*" || given.split(',').any(|given| given.trim() == one), "{name}: {given}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_post_makes_a_resource_and_says_all_that_a_client_needs() {
    let api = with_ice_servers();
    let page = ("origin", "https://page.example");
    for (kind, sends, ours) in [
        ("whip", Direction::Send, "recvonly"),
        ("whip", Direction::Both, "recvonly"),
        ("whep", Direction::Receive, "sendonly"),
    ] {
        let made = send(&api, "POST", &endpoint(kind), &[SDP, page], &offer(sends)).await;
        assert_eq!((made.status, header(&made, "content-type").as_str()), (201, "application/sdp"));
        let (path, tag) = (header(&made, "location"), header(&made, "etag"));
        assert!(path.starts_with(&format!("{}/", endpoint(kind))), "{path}");
        assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 4, "{tag}");
        let servers = links(&made, "ice-server");
        assert_eq!(servers.len(), 2);
        for (server, url) in
            servers.iter().zip(["<turn:t.example:3478?transport=udp>", "<turns:t.example:443"])
        {
            assert!(server.starts_with(url) && server.contains("credential-type=\"password\""), "{server}");
            assert!(server.contains("; username=\"") && server.contains("; credential=\""), "{server}");
        }
        let exposed = header(&made, "access-control-expose-headers").to_ascii_lowercase();
        for name in ["location", "link", "etag", "accept-patch", "accept-post", "retry-after"] {
            assert!(exposed.split(',').any(|exposed| exposed.trim() == name), "{name}: {exposed}");
        }
        let answer = std::str::from_utf8(&made.body).unwrap();
        for mid in ["0", "1"] {
            assert_eq!(direction_of(answer, mid), Some(ours), "{kind}");
        }
        assert!(answer.contains("a=setup:passive") && answer.contains("a=ice-lite"), "{answer}");
        assert!(answer.contains("192.0.2.1 40000 ") || answer.contains("192.0.2.1 40001 "), "{answer}");
        let extensions =
            ["server-sent-events", "layer"].map(|name| format!("urn:ietf:params:whep:ext:core:{name}"));
        for relation in extensions {
            assert_eq!(links(&made, &relation).len(), usize::from(kind == "whep"));
        }
        if kind == "whip" {
            assert_eq!(send(&api, "DELETE", &path, &[("if-match", "\"another\"")], "").await.status, 200);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_offer_that_is_no_single_stream_makes_nothing() {
    // Room for one session: whatever an offer that is refused left behind would show.
    let api = Api::with(|config| config.limits.sessions = Within::new(1));
    let with = |kinds: &[&'static str], direction| {
        let mut browser = Browser::default();
        kinds.iter().for_each(|kind| drop(browser.add(kind, direction)));
        browser.offer()
    };
    let two_streams =
        with(&["audio", "video"], Direction::Send).replacen("a=msid:stream ", "a=msid:other ", 1);
    let no_mux = with(&["audio"], Direction::Send).replace("a=rtcp-mux\r\n", "");
    let lost_codec = with(&["audio"], Direction::Send).replace("opus/48000/2", "nobody/48000/2");
    let lost_codec = lost_codec
        .replace("111 63 0 8", "111")
        .replace("PCM", "XCM")
        .replace("a=rtpmap:63 red", "a=rtpmap:63 xed");
    for (kind, body, word) in [
        ("whip", with(&["video", "video"], Direction::Send), "more than one video"),
        ("whip", with(&["audio", "audio"], Direction::Send), "more than one audio"),
        ("whip", two_streams, "different streams"),
        ("whip", with(&["audio"], Direction::Inactive), "sendonly"),
        ("whip", with(&["audio"], Direction::Receive), "sendonly"),
        ("whip", with(&["audio"], Direction::Stopped), "neither"),
        ("whip", no_mux, "rtcp-mux"),
        ("whip", lost_codec, "codec"),
        ("whep", with(&["video", "video"], Direction::Receive), "more than one video"),
        ("whep", with(&["audio"], Direction::Send), "recvonly"),
        ("whep", with(&["audio"], Direction::Inactive), "recvonly"),
    ] {
        let (status, text) = problem(&post(&api, kind, &body).await);
        assert!(status == 422 && text.contains(word), "{kind} {word}: {status} {text}");
    }
    for body in ["", "hello"] {
        assert_eq!(problem(&post(&api, "whip", body).await).0, 400, "{body:?}");
    }
    settle().await;
    Resource::publisher(&api).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_opens_its_own_stream_in_its_own_direction_only() {
    let api = Api::new();
    let publisher = Resource::publisher(&api).await;
    for (kind, body) in [("whip", offer(Direction::Send)), ("whep", offer(Direction::Receive))] {
        let refused = |status, authorization: String| {
            let (api, body) = (&api, &body);
            async move {
                let headers = [SDP, ("authorization", authorization.as_str())];
                let answer = send(api, "POST", &endpoint(kind), &headers, body).await;
                assert_eq!(problem(&answer).0, status, "{kind} {authorization}");
                assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401);
            }
        };
        refused(401, String::new()).await;
        refused(401, "Bearer nonsense".to_owned()).await;
        refused(401, "Basic YTpi".to_owned()).await;
        let other = if kind == "whip" { "whep" } else { "whip" };
        refused(403, format!("Bearer {}", token(&json!({ other: ["studio"] })))).await;
        refused(403, format!("Bearer {}", token(&json!({ kind: ["another"] })))).await;
        refused(403, format!("Bearer {}", token(&json!({ kind: ["studio"], "exp": 1_000 })))).await;
    }
    let whep = format!("Bearer {}", token(&json!({"whep": ["studio"]})));
    for (method, body) in [("DELETE", ""), ("PATCH", PRESENT_ICE), ("GET", "")] {
        for authorization in ["", "Bearer nonsense", &whep] {
            let headers = [FRAGMENT, ("if-match", "*"), ("authorization", authorization)];
            let answer = send(&api, method, &publisher.path, &headers, body).await;
            assert_eq!(
                answer.status,
                if authorization == whep { 403 } else { 401 },
                "{method} {authorization}"
            );
        }
    }
    let whip = format!("Bearer {}", token(&json!({"whip": ["studio"]})));
    assert_eq!(send(&api, "DELETE", &publisher.path, &[("authorization", &whip)], "").await.status, 200);
    assert_eq!(
        send(&api, "POST", &endpoint("whip"), &[SDP, ("authorization", &whip)], &offer(Direction::Send))
            .await
            .status,
        201
    );
}

#[tokio::test(start_paused = true)]
async fn a_second_publisher_is_refused_or_takes_over_as_configured() {
    let api = Api::new();
    let first = Resource::publisher(&api).await;
    let by = |subject: &str| format!("Bearer {}", token(&json!({"sub": subject, "whip": ["studio"]})));
    let offer_by = async |api: &Api, bearer: &str| {
        let headers = [SDP, ("authorization", bearer)];
        send(api, "POST", &endpoint("whip"), &headers, &offer(Direction::Send)).await
    };
    let second = offer_by(&api, &by("ann")).await;
    let (status, told) = problem(&second);
    assert!(status == 409 && told.contains("another token") && told.contains("30 seconds"), "{told}");
    assert!(header(&second, "retry-after").parse::<u32>().unwrap() > 0);
    assert_eq!(send(&api, "GET", &first.path, &[], "").await.status, 204);

    let api = Api::with(|config| config.whip.takeover = true);
    let first = Resource::publisher(&api).await;
    let second = Resource::of(&offer_by(&api, &by("ann")).await);
    settle().await;
    assert_eq!(first.delete(&api).await, 404, "the first has ended");
    assert_eq!(send(&api, "GET", &second.path, &[], "").await.status, 204);
    // An offer that is refused takes nothing over.
    assert_eq!(post(&api, "whip", &offer(Direction::Receive)).await.status, 422);
    assert_eq!(send(&api, "GET", &second.path, &[], "").await.status, 204);
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_comes_again_with_its_token_takes_over_at_once_and_its_viewers_stay() {
    let api = Api::with(|config| {
        config.streams = vec![Stream {
            app: AppId::try_from(APP.to_owned()).unwrap(),
            stream: StreamName::try_from("studio".to_owned()).unwrap(),
            publish_token: Some(Secret::try_from("token-of-the-encoder".to_owned()).unwrap()),
            play_token: None,
            public: false,
        }];
    });
    let of = |more: serde_json::Value| {
        let mut claims = json!({"whip": ["studio"]});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        format!("Bearer {}", token(&claims))
    };
    let publish = async |bearer: &str| {
        let headers = [SDP, ("authorization", bearer)];
        send(&api, "POST", &endpoint("whip"), &headers, &offer(Direction::Send)).await
    };
    let viewer = Resource::viewer(&api).await;
    let session = viewer.path.rsplit('/').next().unwrap().to_owned();
    let secret = format!("Bearer {SECRET}");
    // By whom it is published, by whom it comes again, and who is somebody else.
    for (first, again, other) in [
        (secret.clone(), secret.clone(), of(json!({}))),
        (secret.clone(), format!("Bearer {OLDER_SECRET}"), "Bearer token-of-the-encoder".to_owned()),
        ("Bearer token-of-the-encoder".to_owned(), "Bearer token-of-the-encoder".to_owned(), secret.clone()),
        (
            of(json!({"sub": "ann", "jti": "1"})),
            of(json!({"sub": "ann", "jti": "2"})),
            of(json!({"sub": "bob"})),
        ),
    ] {
        let before = Resource::of(&publish(&first).await);
        settle().await;
        let shown = api.shard(&session).plan(&session).egress;
        assert_eq!(publish(&other).await.status, 409, "{other}");
        let after = Resource::of(&publish(&again).await);
        settle().await;
        assert_eq!(send(&api, "GET", &before.path, &[], "").await.status, 404, "the first has ended");
        assert_eq!(send(&api, "GET", &viewer.path, &[], "").await.status, 204, "the viewer is still there");
        let now = api.shard(&session).plan(&session).egress;
        assert_eq!((shown.len(), now.len()), (2, 2));
        for (shown, now) in shown.iter().zip(&now) {
            assert_ne!(shown.publication, now.publication, "it gets what is new");
            assert_eq!(shown.ssrc, now.ssrc, "in the stream that it has");
        }
        // The end of the former is no end of the stream.
        assert_eq!(publish(&other).await.status, 409, "{other}");
        assert_eq!(send(&api, "DELETE", &after.path, &[], "").await.status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_linked_leads_back_through_a_trusted_proxy_or_the_public_url() {
    let by_proxy = [("x-forwarded-prefix", "/live")];
    let proxy = "127.0.0.1:5000".parse().unwrap();
    let stranger = "192.0.2.1:5000".parse().unwrap();
    for (public_url, peer, front) in [
        ("", proxy, "/live"),
        ("", stranger, ""),
        ("https://sfu.example/media/", proxy, "https://sfu.example/media"),
        ("https://sfu.example/media/", stranger, "https://sfu.example/media"),
    ] {
        let api = Api::with(|config| {
            config.http.public_url = PublicUrl::try_from(public_url.to_owned()).unwrap();
        });
        let request = async |method: &str, path: &str, content: &str, body: String| {
            let mut request = Request::builder().method(method).uri(path).extension(Peer(peer));
            for (name, value) in by_proxy {
                request = request.header(name, value);
            }
            request =
                request.header("content-type", content).header("authorization", format!("Bearer {SECRET}"));
            api.request(request.body(Body::from(body)).unwrap()).await
        };
        for (kind, direction) in [("whip", Direction::Send), ("whep", Direction::Receive)] {
            let made = request("POST", &endpoint(kind), "application/sdp", offer(direction)).await;
            assert_eq!(made.status, 201, "{made:?}");
            let location = header(&made, "location");
            let path = location.strip_prefix(front).unwrap_or_else(|| panic!("{location} for {front}"));
            assert!(path.starts_with(&format!("/{kind}/{APP}/studio/")), "{location}");
            if kind == "whep" {
                for relation in ["server-sent-events", "layer"] {
                    let relation = format!("urn:ietf:params:whep:ext:core:{relation}");
                    let link = &links(&made, &relation)[0];
                    assert!(link.starts_with(&format!("<{location}/")), "{link}");
                }
                let wanted = json!(["active"]).to_string();
                let events = request("POST", &format!("{path}/events"), "application/json", wanted).await;
                assert!(
                    header(&events, "location").starts_with(&format!("{location}/events?")),
                    "{events:?}"
                );
            }
            assert_eq!(request("DELETE", path, "", String::new()).await.status, 200, "{location}");
        }
        let described = request("GET", "/openapi.json", "", String::new()).await;
        let root = if front.is_empty() { "/" } else { front };
        assert_eq!(described.json()["servers"], json!([{"url": root}]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_viewer_without_an_offer_gets_ours_and_answers_it_in_time() {
    let api = Api::new();
    Resource::publisher(&api).await;
    for answers in [true, false] {
        let made = send(&api, "POST", &endpoint("whep"), &[], "").await;
        assert_eq!((made.status, header(&made, "content-type").as_str()), (201, "application/sdp"));
        let viewer = Resource::of(&made);
        let ours = std::str::from_utf8(&made.body).unwrap();
        assert!(ours.contains("a=setup:actpass"), "{ours}");
        if !answers {
            tokio::time::sleep(std::time::Duration::from_secs(31)).await;
            settle().await;
            assert_eq!(viewer.delete(&api).await, 404);
            continue;
        }
        assert_eq!(viewer.patch(&api, &[SDP], "hello").await.status, 400);
        let answer = Browser::default().answer(ours);
        let stale = viewer.patch(&api, &[SDP, ("if-match", "\"old\"")], &answer).await;
        assert_eq!(problem(&stale).0, 412);
        let taken = viewer.patch(&api, &[SDP, ("if-match", &viewer.tag)], &answer).await;
        assert_eq!((taken.status, taken.body.len()), (204, 0), "{taken:?}");
        assert_eq!(problem(&viewer.patch(&api, &[SDP], &answer).await).0, 409, "there is no offer any more");
        tokio::time::sleep(std::time::Duration::from_secs(31)).await;
        settle().await;
        assert_eq!(viewer.delete(&api).await, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_cannot_play_the_codec_is_offered_what_there_is() {
    let api = Api::new();
    let mut publisher = Browser::default();
    let mid = publisher.add("video", Direction::Send);
    publisher.forget_h264(&mid);
    Resource::of(&post(&api, "whip", &publisher.offer()).await);
    let mut viewer = Browser::default();
    viewer.add("video", Direction::Receive);
    // Without VP8, which is all that is published.
    let body = viewer.offer().replace("VP8/90000", "VP9/90000");
    let countered = post(&api, "whep", &body).await;
    assert_eq!((countered.status, header(&countered, "content-type").as_str()), (406, "application/sdp"));
    let resource = Resource::of(&countered);
    let ours = std::str::from_utf8(&countered.body).unwrap();
    assert!(ours.contains("VP8/90000"), "{ours}");
    let answer = Browser::default().answer(ours);
    assert_eq!(resource.patch(&api, &[SDP], &answer).await.status, 204);
    assert_eq!(resource.delete(&api).await, 200);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_or_not_served_is_told_apart() {
    let api = Api::new();
    let publisher = Resource::publisher(&api).await;
    let viewer = Resource::viewer(&api).await;
    for (resource, sdp) in [(&publisher, 415), (&viewer, 409)] {
        let answer = resource.patch(&api, &[SDP, ("if-match", &resource.tag)], &offer(Direction::Send)).await;
        assert_eq!(problem(&answer).0, sdp, "{answer:?}");
        let answer = resource.patch(&api, &[("content-type", "text/plain"), ("if-match", "*")], "x").await;
        assert_eq!(problem(&answer).0, 415);
        assert!(header(&answer, "accept-patch").contains("trickle-ice-sdpfrag"));
        for (method, body) in [("POST", ""), ("PUT", "")] {
            assert_eq!(send(&api, method, &resource.path, &[], body).await.status, 405);
        }
        let there = send(&api, "GET", &resource.path, &[], "").await;
        assert_eq!((there.status, there.body.len(), header(&there, "etag")), (204, 0, resource.tag.clone()));
    }
    // A resource is one of its endpoint only.
    let elsewhere = viewer.path.replace("/whep/", "/whip/");
    assert_eq!(send(&api, "DELETE", &elsewhere, &[], "").await.status, 404);
    let elsewhere = viewer.path.replace("/studio/", "/another/");
    assert_eq!(send(&api, "DELETE", &elsewhere, &[], "").await.status, 404);
    for path in [format!("{}/{}", endpoint("whip"), "0".repeat(32)), format!("{}/nonsense", endpoint("whep"))]
    {
        for method in ["DELETE", "PATCH", "GET"] {
            let answer = send(&api, method, &path, &[FRAGMENT, ("if-match", "*")], PRESENT_ICE).await;
            assert_eq!(answer.status, 404, "{method} {path}");
        }
    }
    for (kind, method, status, sdp) in [
        ("whip", "HEAD", 204, false),
        ("whip", "GET", 204, false),
        ("whep", "HEAD", 200, true),
        ("whep", "GET", 204, false),
    ] {
        let told = send(&api, method, &endpoint(kind), &[], "").await;
        assert_eq!((told.status, told.body.len()), (status, 0), "{method} {kind}");
        assert_eq!(told.headers.get("content-type").is_some_and(|kind| kind == "application/sdp"), sdp);
    }
    let unknown = send(&api, "POST", "/whip/nobody/studio", &[SDP], &offer(Direction::Send)).await;
    assert_eq!(problem(&unknown).0, 404);
}

#[tokio::test(start_paused = true)]
async fn a_full_or_a_hurried_server_says_when_to_come_again() {
    let api = Api::with(|config| config.limits.sessions = Within::new(1));
    Resource::publisher(&api).await;
    let full = post(&api, "whep", &offer(Direction::Receive)).await;
    assert_eq!(problem(&full).0, 503);
    assert!(header(&full, "retry-after").parse::<u32>().unwrap() > 0);

    let api = Api::with(|config| {
        config.limits.requests_per_second = Within::new(1);
        config.limits.request_burst = Within::new(3);
        config.limits.stream_requests_per_second = Within::new(1);
        config.limits.stream_request_burst = Within::new(3);
    });
    let publisher = Resource::publisher(&api).await;
    for (method, path) in [("POST", endpoint("whip")), ("PATCH", publisher.path)] {
        let mut statuses = Vec::new();
        for _ in 0..6 {
            let answer = send(&api, method, &path, &[FRAGMENT, ("if-match", "\"old\"")], PRESENT_ICE).await;
            if answer.status == 429 {
                assert!(header(&answer, "retry-after").parse::<u32>().unwrap() > 0);
            }
            statuses.push(answer.status);
        }
        assert!(statuses.contains(&429) && statuses[0] != 429, "{method}: {statuses:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_simulcast_stream_is_taken_layer_by_layer() {
    let api = Api::new();
    let mut publisher = Browser::default();
    publisher.add("audio", Direction::Send);
    publisher.add_simulcast(&["q", "h", "f"]);
    let made = post(&api, "whip", &publisher.offer()).await;
    assert_eq!(made.status, 201);
    let answer = std::str::from_utf8(&made.body).unwrap();
    assert!(answer.contains("a=simulcast:recv q;h;f"), "{answer}");
    let session = header(&made, "location").rsplit('/').next().unwrap().to_owned();
    let plan = api.shard(&session).plan(&session);
    assert_eq!(plan.ingress.iter().map(|ingress| ingress.rids.len()).max(), Some(3), "{plan:?}");
}
