//! WHIP and WHEP: a stream is published and played by one POST each.

use ringcast::config::{OptionalSecret, PublicTtl, Within};
use ringcast::control::access::apps::unix_now;

use crate::browser::Direction;
use crate::client::{FRAGMENT, NEXT_ICE, PRESENT_ICE, Resource, header, offer, post, problem, send};
use crate::harness::{APP, Api, Response, settle};

#[tokio::test(start_paused = true)]
async fn a_viewer_that_came_first_gets_the_stream_when_it_comes_and_when_it_returns() {
    let api = Api::new();
    let viewer = post(&api, "whep", &offer(Direction::Receive)).await;
    assert_eq!(viewer.status, 201, "{viewer:?}");
    let session = header(&viewer, "location").rsplit('/').next().unwrap().to_owned();
    assert!(api.shard(&session).plan(&session).egress.is_empty());
    let mut seen = Vec::new();
    for _ in 0..2 {
        let publisher = post(&api, "whip", &offer(Direction::Send)).await;
        assert_eq!(publisher.status, 201, "{publisher:?}");
        settle().await;
        let plan = api.shard(&session).plan(&session);
        assert_eq!(plan.egress.len(), 2);
        seen.push((plan.egress[0].publication, plan.egress[0].ssrc));
        assert_eq!(send(&api, "DELETE", &header(&publisher, "location"), &[], "").await.status, 200);
        settle().await;
    }
    assert_ne!(seen[0].0, seen[1].0);
    assert_eq!(seen[0].1, seen[1].1, "the viewer keeps its source");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_served_is_refused_as_a_whole() {
    let api = Api::new();
    assert_eq!(post(&api, "whip", "hello").await.status, 400);
    assert_eq!(post(&api, "whip", &offer(Direction::Receive)).await.status, 422);
    assert_eq!(post(&api, "whep", &offer(Direction::Send)).await.status, 422);
    let untyped = send(&api, "POST", &format!("/whip/{APP}/studio"), &[], &offer(Direction::Send)).await;
    assert_eq!(untyped.status, 415);
    assert_eq!(header(&untyped, "content-type"), "application/problem+json");
    let path = format!("/whep/{APP}/studio?wait=0");
    let typed = [("content-type", "application/sdp")];
    let absent = send(&api, "POST", &path, &typed, &offer(Direction::Receive)).await;
    assert_eq!((absent.status, header(&absent, "retry-after")), (409, "2".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn candidates_without_if_match_are_taken_only_with_the_present_credentials() {
    let api = Api::new();
    // What the client of Eyevinn (1.1.7) sends: the tag in a header of its own, component 0, one line for every mid.
    let line = "candidate:842163049 0 udp 2122260223 7a1f.local 61764 typ host\r\n";
    let media = |mid| format!("m=audio 9 RTP/AVP 0\r\na=mid:{mid}\r\na={line}");
    let eyevinn = format!("{PRESENT_ICE}{}{}", media(0), media(1));
    // What the client of binbat (1.1.1) sends after a restart of its own, and in WHEP always.
    let line =
        "candidate:842163049 1 udp 2122260223 7a1f.local 61764 typ host generation 0 ufrag Qw7R network-id 1";
    let binbat = format!(
        "{PRESENT_ICE}m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na={line}\r\na=\r\na=end-of-candidates\r\n"
    );
    for resource in [Resource::publisher(&api).await, Resource::viewer(&api).await] {
        for body in [&eyevinn, &binbat] {
            for headers in [&[FRAGMENT, ("etag", resource.tag.as_str())][..], &[FRAGMENT]] {
                let taken = resource.patch(&api, headers, body).await;
                assert_eq!((taken.status, taken.headers.get("etag"), taken.body.len()), (204, None, 0));
            }
        }
        let restart = resource.patch(&api, &[FRAGMENT], NEXT_ICE).await;
        let (status, text) = problem(&restart);
        assert!(status == 428 && text.contains("If-Match"), "{restart:?}");
        let restarted = resource.patch(&api, &[FRAGMENT, ("if-match", "*")], NEXT_ICE).await;
        assert_eq!(restarted.status, 200, "{restarted:?}");
        // Candidates that come late are of a session that is over; they shall not bring it back.
        assert_eq!(resource.patch(&api, &[FRAGMENT], &binbat).await.status, 428);
        let next = binbat.replace(PRESENT_ICE, NEXT_ICE);
        assert_eq!(resource.patch(&api, &[FRAGMENT], &next).await.status, 204);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_joins_candidates_with_commas_can_use_the_answer_to_its_restart() {
    let api = Api::new();
    let publisher = Resource::publisher(&api).await;
    let restarted = publisher.patch(&api, &[FRAGMENT, ("if-match", "*")], NEXT_ICE).await;
    let text = String::from_utf8(restarted.body.to_vec()).unwrap();
    assert!(text.contains("a=ice-ufrag:") && text.contains("a=ice-pwd:"), "{text}");
    let lines = text.split_inclusive("\r\n").filter(|line| line.starts_with("a=candidate:"));
    let found: Vec<&str> = lines.filter(|line| !line.trim_end().contains('\n')).collect();
    assert_eq!(found.len(), 1, "{text}");
    assert!(text.lines().filter(|line| line.starts_with("a=candidate:")).count() > 1, "{text}");
    // Its trickle that follows has the tag of the answer, and may end all candidates without any.
    let end = format!("{NEXT_ICE}m=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=end-of-candidates\r\n");
    let tag = header(&restarted, "etag");
    assert_eq!(publisher.patch(&api, &[FRAGMENT, ("if-match", &tag)], &end).await.status, 204);
}

#[tokio::test(start_paused = true)]
async fn fragments_need_the_tag_and_a_restart_changes_it() {
    let api = Api::new();
    let publisher = Resource::publisher(&api).await;
    let tag = publisher.tag.as_str();
    for (condition, body, status) in
        [("\"old\"", PRESENT_ICE, 412), (tag, "bad", 400), (tag, PRESENT_ICE, 204), ("*", PRESENT_ICE, 204)]
    {
        let answer = publisher.patch(&api, &[FRAGMENT, ("if-match", condition)], body).await;
        assert_eq!(answer.status, status, "{condition} {body}");
    }
    let restarted = publisher.patch(&api, &[FRAGMENT, ("if-match", "*")], NEXT_ICE).await;
    assert_eq!(restarted.status, 200);
    assert_ne!(header(&restarted, "etag"), tag);
    assert_eq!(publisher.patch(&api, &[FRAGMENT, ("if-match", tag)], NEXT_ICE).await.status, 412);
    assert_eq!(publisher.delete(&api).await, 200);
    assert_eq!(publisher.delete(&api).await, 404);
}

#[tokio::test(start_paused = true)]
async fn a_page_of_another_origin_reads_from_options_that_it_may_trickle() {
    let api = Api::new();
    let page = ("origin", "https://page.example");
    let told = send(&api, "OPTIONS", &format!("/whip/{APP}/studio"), &[page], "").await;
    assert_eq!(told.status, 200);
    assert!(header(&told, "access-control-allow-methods").split(',').any(|method| method.trim() == "PATCH"));
    let exposed = header(&told, "access-control-expose-headers");
    for name in ["access-control-allow-methods", "link", "accept-post"] {
        assert!(exposed.split(',').any(|exposed| exposed == name), "{name}: {exposed}");
    }
}

#[tokio::test(start_paused = true)]
async fn viewers_of_a_stream_that_is_open_to_all_get_the_relay_as_strangers_do() {
    for (open, public_ttl, life) in [(false, 600, Some(86_400)), (true, 600, Some(600)), (true, 0, None)] {
        let api = Api::with(|config| {
            config.whep.public = open;
            config.turn.urls = vec!["turn:t.example:3478?transport=udp".to_owned()];
            config.turn.secret = OptionalSecret::try_from("shared-with-coturn".to_owned()).unwrap();
            config.turn.public_ttl_seconds = PublicTtl(Within::new(public_ttl));
        });
        let relays = |response: &Response| {
            let links = response.headers.get_all("link").iter().filter_map(|link| link.to_str().ok());
            let names = links.filter_map(|link| link.split_once("username=\"")?.1.split_once(':'));
            names.map(|(expiry, _)| expiry.parse::<u64>().unwrap()).collect::<Vec<_>>()
        };
        let viewer = post(&api, "whep", &offer(Direction::Receive)).await;
        assert_eq!(viewer.status, 201);
        let given = relays(&viewer);
        assert_eq!(given.len(), life.iter().count(), "{open} {public_ttl}");
        for (expiry, life) in given.iter().zip(life) {
            assert!((unix_now() + life - 5..=unix_now() + life).contains(expiry), "{open}");
        }
        let publisher = post(&api, "whip", &offer(Direction::Send)).await;
        assert_eq!((publisher.status, relays(&publisher).len()), (201, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn streams_that_are_all_public_are_no_sessions_of_the_api() {
    let api = Api::with(|config| config.whep.public = true);
    let private = api.publisher(&[("audio", "mic"), ("video", "cam")]).await.session;
    assert_eq!(post(&api, "whip", &offer(Direction::Send)).await.status, 201);
    let typed = ("content-type", "application/sdp");
    let play = async |name: &str, headers: &[(&str, &str)]| {
        send(&api, "POST", &format!("/whep/{APP}/{name}"), headers, &offer(Direction::Receive)).await
    };
    let by_nobody = [typed, ("authorization", "")];
    assert_eq!(play(&private, &by_nobody).await.status, 401);
    assert_eq!(play("studio", &by_nobody).await.status, 201);
    // Who has the secret plays it by its id, and opens it to nobody by that.
    let shown = play(&private, &[typed]).await;
    assert_eq!(shown.status, 201, "{shown:?}");
    assert_eq!(play(&private, &by_nobody).await.status, 401);
    assert_eq!(
        send(&api, "GET", &header(&shown, "location"), &[("authorization", "")], "").await.status,
        401
    );
    // Its end leaves a name that is still nobody's to wait at.
    api.end(&private).await;
    assert_eq!(play(&private, &by_nobody).await.status, 401);
}
