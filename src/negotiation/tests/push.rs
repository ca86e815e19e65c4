//! The client offers and sends.

use super::*;
use crate::negotiation::{BindError, NegotiationError};
use crate::plan::{DtlsPart, SrtpOffer};
use crate::sdp::SectionKind;

const VIDEO_TIMING: &str = "http://www.webrtc.org/experiments/rtp-hdrext/video-timing";

fn pushed(style: Style) -> (Negotiation, Client, SessionDescription, String) {
    let (mut session, mut client) = (session(), Client::new(style));
    client.add(MediaKind::Audio, Direction::SendOnly);
    client.add(MediaKind::Video, Direction::SendOnly);
    offer(&mut session, &client);
    for mid in ["0", "1"] {
        session.bind_local(mid, PublicationId(mid.parse().unwrap())).unwrap();
    }
    let text = session.answer();
    let answer = client.accept_answer(&text);
    (session, client, answer, text)
}

#[test]
fn answers_keep_the_clients_numbers_and_order_and_drop_what_is_unknown() {
    let (_, _, answer, _) = pushed(Style::Chromium);
    assert_eq!(numbers(section(&answer, "0")), [111, 63, 0, 8]);
    assert_eq!(
        numbers(section(&answer, "1")),
        [96, 97, 98, 99, 100, 101, 102, 103, 104, 105, 106, 107, 45, 46]
    );
    let (_, _, answer, _) = pushed(Style::Firefox);
    assert_eq!(numbers(section(&answer, "0")), [109, 0, 8]);
    assert_eq!(numbers(section(&answer, "1")), [120, 124, 121, 125, 126, 127, 99, 100]);
    let (_, _, answer, _) = pushed(Style::Aiortc);
    assert_eq!(numbers(section(&answer, "0")), [96, 0, 8]);
    assert_eq!(numbers(section(&answer, "1")), [97, 98, 99, 100, 101, 102]);
    for section in &answer.sections {
        for payload in section.payloads.iter().filter(|payload| payload.name == "rtx") {
            assert_eq!(payload.rtx_for(), Some(payload.pt - 1));
        }
    }
}

#[test]
fn answers_are_those_of_a_passive_lite_agent() {
    let (_, _, answer, text) = pushed(Style::Chromium);
    let (head, body) = text.split_once("m=audio").unwrap();
    let (audio, video) = body.split_once("m=video").unwrap();
    for line in ["a=ice-lite", "a=group:BUNDLE 0 1", "a=extmap-allow-mixed", "a=fingerprint:sha-256 AB:CD:EF"]
    {
        assert!(head.contains(&format!("{line}\r\n")), "{line}");
    }
    assert!(audio.contains("a=candidate:1 1 udp 2130706431 192.0.2.10 3478 typ host\r\n"));
    assert!(audio.contains(" 2001:db8::1 3478 typ host\r\na=end-of-candidates\r\n"));
    assert!(
        video.contains("a=candidate:1 1 udp 2130706431 192.0.2.10 3478 typ host\r\n"),
        "in every section"
    );
    for section in &answer.sections {
        assert_eq!(section.direction, Direction::RecvOnly);
        assert!(section.rtcp_mux && section.rtcp_rsize);
        assert_eq!(section.transport.ice.as_ref().unwrap().ufrag, "AServer0");
    }
    assert!(!text.contains("a=ssrc") && !text.contains("a=msid:") && !text.contains("goog-remb"));
    assert!(video.contains("a=rtcp-fb:96 nack pli\r\n") && video.contains("a=rtcp-fb:96 ccm fir\r\n"));
}

#[test]
fn what_the_client_did_not_offer_is_not_answered() {
    let (_, _, answer, text) = pushed(Style::Aiortc);
    assert!(!text.contains("extmap-allow-mixed") && !text.contains("rtcp-rsize"));
    let ids: Vec<u8> = section(&answer, "1").extmap.iter().map(|extmap| extmap.id).collect();
    assert_eq!(ids, [1]);
    let (_, _, _, text) = pushed(Style::Firefox);
    assert!(
        text.contains("a=extmap:6/sendonly http://www.webrtc.org/experiments/rtp-hdrext/playout-delay\r\n")
    );
}

#[test]
fn simulcast_is_answered_in_the_clients_order() {
    let (mut session, mut client) = (session(), Client::new(Style::Chromium));
    let mid = client.add(MediaKind::Video, Direction::SendOnly);
    client.line(&mid).rids = vec!["f", "h", "q"];
    let summary = offer(&mut session, &client);
    assert_eq!(summary.sections[0].rids, ["f", "h", "q"]);
    let media = session.bind_local(&mid, PublicationId(1)).unwrap();
    assert_eq!(media.rids, ["f", "h", "q"]);
    let text = session.answer();
    assert!(text.contains("a=rid:f recv\r\na=rid:h recv\r\na=rid:q recv\r\na=simulcast:recv f;h;q\r\n"));
    assert!(text.contains("a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n"));
    assert_eq!(session.plan().ingress[0].rids, ["f", "h", "q"]);
    client.accept_answer(&text);
    // A later offer of ours must repeat it, or the client would fall back to one layer.
    let viewed = source(9, Style::Chromium, MediaKind::Audio);
    session.bind_remote(viewed, Place::Offered).unwrap();
    let ours = session.create_offer();
    assert!(ours.contains("a=simulcast:recv f;h;q\r\n"));
    session.client_answer(&client.answer(&ours)).unwrap();
    assert_eq!(session.plan().ingress[0].rids, ["f", "h", "q"]);
}

#[test]
fn sections_that_no_track_names_are_answered_inactive() {
    let (mut session, mut client) = (session(), Client::new(Style::Chromium));
    let pushed = client.add(MediaKind::Video, Direction::SendOnly);
    client.add(MediaKind::Audio, Direction::RecvOnly);
    client.add(MediaKind::Video, Direction::SendRecv);
    let summary = offer(&mut session, &client);
    assert!(summary.sections.iter().all(|section| section.is_new));
    session.bind_local(&pushed, PublicationId(1)).unwrap();
    let answer = answer(&mut session, &mut client);
    let directions: Vec<_> = answer.sections.iter().map(|section| section.direction).collect();
    assert_eq!(directions, [Direction::RecvOnly, Direction::Inactive, Direction::Inactive]);
    assert!(answer.sections.iter().all(|section| !section.rejected));
    assert_eq!(session.plan().ingress.len(), 1);
    // The same sections can be bound by a later offer.
    assert!(!offer(&mut session, &client).sections[2].is_new);
    session.bind_local("2", PublicationId(2)).unwrap();
    assert_eq!(section(&client.accept_answer(&session.answer()), "2").direction, Direction::RecvOnly);
}

#[test]
fn what_comes_rejected_goes_rejected() {
    let (mut session, mut client, _, _) = pushed(Style::Chromium);
    client.stop("1");
    let summary = offer(&mut session, &client);
    assert_eq!(summary.ended.len(), 1);
    assert_eq!((summary.ended[0].mid.as_str(), summary.ended[0].local), ("1", Some(PublicationId(1))));
    let answer = answer(&mut session, &mut client);
    assert!(answer.sections[1].rejected && !answer.sections[0].rejected);
    assert_eq!(answer.bundle, ["0"]);
    assert_eq!(session.plan().ingress.len(), 1);
}

#[test]
fn an_offer_with_everything_rejected_is_answered_and_the_session_goes_on() {
    let (mut session, mut client, _, _) = pushed(Style::Chromium);
    client.stop("0");
    client.stop("1");
    assert_eq!(offer(&mut session, &client).ended.len(), 2);
    let text = session.answer();
    assert!(!text.contains("a=group"));
    let answer = client.accept_answer(&text);
    assert!(answer.sections.iter().all(|section| section.rejected));
    assert_eq!(session.plan().ingress, []);
    let mid = client.add(MediaKind::Video, Direction::SendOnly);
    let answer = push_all(&mut session, &mut client, 5);
    assert_eq!(answer.sections.len(), 2);
    assert_eq!(section(&answer, &mid).direction, Direction::RecvOnly);
    assert_eq!(session.plan().transport.generation, 1);
}

#[test]
fn fewer_lines_or_another_order_or_another_mid_are_refused() {
    let (mut session, client, _, _) = pushed(Style::Chromium);
    let mut refused = |change: &dyn Fn(&mut Client)| {
        let mut other = client.clone();
        change(&mut other);
        let error = session.clone().client_offer(&other.offer(), &mut || credentials("x")).unwrap_err();
        assert_eq!((error.code(), error.subcode()), ("invalid_session_description", "m_line_mismatch"));
        session.client_offer(&client.offer(), &mut || credentials("x")).unwrap();
    };
    refused(&|client| drop(client.lines.pop()));
    refused(&|client| client.lines.swap(0, 1));
    refused(&|client| client.lines[1].mid = "7".to_owned());
    refused(&|client| client.lines[1].kind = SectionKind::Audio);
    refused(&|client| client.lines[1].mid = "0".to_owned());
}

#[test]
fn bad_text_is_told_from_missing_ice() {
    let (_, client, _, _) = pushed(Style::Chromium);
    let error = |text: &str| session().client_offer(text, &mut || credentials("x")).unwrap_err();
    let without = |what: &str| {
        let lines = client.offer();
        let kept: Vec<&str> = lines.lines().filter(|line| !line.starts_with(what)).collect();
        kept.join("\n")
    };
    let missing = error(&without("a=ice-ufrag"));
    assert_eq!((missing.code(), missing.subcode()), ("decoding_error", "bad_sdp"));
    assert_eq!(error(&without("a=fingerprint")), NegotiationError::MissingFingerprint);
    let garbage = error("hello");
    assert_eq!((garbage.code(), garbage.subcode()), ("invalid_session_description", "bad_sdp"));
    for nonsense in ["holdconn", "both"] {
        let text = client.offer().replace("setup:actpass", &format!("setup:{nonsense}"));
        let refused = error(&text);
        assert_eq!(refused.subcode(), "bad_sdp");
        assert!(refused.to_string().contains("send actpass, active or passive"), "{refused}");
    }
}

#[test]
fn an_encoder_that_waits_for_dtls_has_us_begin() {
    let (mut session, mut client) = (session(), Client::new(Style::Chromium));
    client.add(MediaKind::Video, Direction::SendOnly);
    let passive = client.offer().replace("setup:actpass", "setup:passive");
    session.client_offer(&passive, &mut || credentials("x")).unwrap();
    let answer = session.answer();
    assert!(answer.contains("a=setup:active\r\n") && !answer.contains("a=setup:passive"), "{answer}");
    let transport = session.plan().transport;
    assert_eq!(transport.dtls.part, DtlsPart::Begins(SrtpOffer::All));
    assert!(transport.ingress_offer.contains("a=setup:passive\r\n"));
    // What it offers later leaves open what is settled (RFC 8842 5.2).
    session.client_offer(&client.offer(), &mut || credentials("x")).unwrap();
    assert!(session.answer().contains("a=setup:active\r\n"));
}

#[test]
fn a_browser_that_leaves_the_role_open_has_us_begin_if_we_like_and_it_knows_gcm() {
    let local = LocalTransport::new("sha-256 AB:CD:EF", &[([192, 0, 2, 1], 40_000).into()]);
    for (style, likes, part) in [
        (Style::Chromium, true, DtlsPart::Begins(SrtpOffer::Gcm)),
        (Style::Aiortc, true, DtlsPart::Waits),
        (Style::Chromium, false, DtlsPart::Waits),
    ] {
        let local = Arc::new(local.clone().with_dtls_begun(likes));
        let mut session = Negotiation::new("label".to_owned(), local, credentials("ours"));
        let mut client = Client::new(style);
        client.add(MediaKind::Video, Direction::RecvOnly);
        let offer = client.offer().replace("a=mid:0", &format!("a=mid:0\na=extmap:9 {VIDEO_TIMING}"));
        session.client_offer(&offer, &mut || credentials("x")).unwrap();
        let begins = part != DtlsPart::Waits;
        assert_eq!(session.answer().contains("a=setup:active\r\n"), begins);
        let plan = session.plan().transport;
        assert_eq!(plan.dtls.part, part);
        assert_eq!(plan.ingress_offer.contains("a=setup:passive\r\n"), begins);
    }
}

#[test]
fn fingerprints_by_what_we_cannot_check_are_refused() {
    let (_, client, _, _) = pushed(Style::Chromium);
    let text = client.offer().replace("a=fingerprint:sha-256", "a=fingerprint:sha3-256");
    let error = session().client_offer(&text, &mut || credentials("x")).unwrap_err();
    assert_eq!(error.subcode(), "unsupported_fingerprint");
}

#[test]
fn a_data_channel_section_is_answered_live_and_reaches_the_engine() {
    let (mut session, mut client) = (session(), Client::new(Style::Chromium));
    client.add_application();
    assert!(offer(&mut session, &client).has_application);
    let text = session.answer();
    client.accept_answer(&text);
    assert!(text.contains("m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"));
    assert!(text.contains("a=sctp-port:5000\r\na=max-message-size:262144\r\n"));
    let plan = session.plan();
    assert!(plan.transport.ingress_offer.contains("m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"));
    assert!(plan.transport.ingress_offer.contains("a=group:BUNDLE __ 0\r\n"));
    assert_eq!(plan.ingress, []);
}

#[test]
fn sections_outside_the_group_or_without_common_codecs_are_refused() {
    let (mut session, mut client) = (session(), Client::new(Style::Chromium));
    client.add(MediaKind::Audio, Direction::SendOnly);
    client.add(MediaKind::Video, Direction::SendOnly);
    let mut alone = session.clone();
    alone.client_offer(&client.offer().replace("BUNDLE 0 1", "BUNDLE 0"), &mut || credentials("x")).unwrap();
    let answer = SessionDescription::parse(&alone.answer()).unwrap();
    assert!(!answer.sections[0].rejected && answer.sections[1].rejected);
    let text = ["opus/48000", "red/48000", "PCMU/8000", "PCMA/8000"]
        .iter()
        .fold(client.offer(), |text, name| text.replace(name, "lpc/8000"));
    session.client_offer(&text, &mut || credentials("x")).unwrap();
    let answer = SessionDescription::parse(&session.answer()).unwrap();
    assert!(answer.sections[0].rejected && !answer.sections[1].rejected);
    assert_eq!(answer.bundle, ["1"]);
}

#[test]
fn a_forced_close_leaves_the_line_for_another_name() {
    let (mut session, mut client, _, _) = pushed(Style::Chromium);
    assert_eq!(session.unbind_local("1"), Some(PublicationId(1)));
    assert_eq!(session.unbind_local("1"), None);
    let plan = session.plan();
    assert_eq!((plan.ingress[1].mid.as_str(), plan.ingress[1].publication), ("1", None));
    offer(&mut session, &client);
    session.bind_local("1", PublicationId(7)).unwrap();
    assert_eq!(section(&answer(&mut session, &mut client), "1").direction, Direction::RecvOnly);
    assert_eq!(session.plan().ingress[1].publication, Some(PublicationId(7)));
    assert_eq!(session.bind_local("9", PublicationId(8)), Err(BindError::NoSection));
}

#[test]
fn a_repeated_push_gives_the_same_result() {
    let (mut session, mut client, first, _) = pushed(Style::Firefox);
    offer(&mut session, &client);
    for mid in ["0", "1"] {
        session.bind_local(mid, PublicationId(mid.parse().unwrap())).unwrap();
    }
    let before = session.plan();
    let again = answer(&mut session, &mut client);
    assert_eq!(again.sections, first.sections);
    assert_eq!(session.plan(), before);
}

#[test]
fn published_media_says_what_was_negotiated() {
    let (session, ..) = pushed(Style::Chromium);
    let video = session.published_media("1").unwrap();
    assert_eq!(video.kind, MediaKind::Video);
    assert_eq!((video.codecs[0].pt, video.codecs[0].rtx), (96, Some(97)));
    assert_eq!(video.codecs.len(), 7);
    use crate::rtp::ExtensionKind::{PlayoutDelay, VideoContentType, VideoOrientation};
    assert_eq!(video.extensions, [VideoOrientation, PlayoutDelay, VideoContentType]);
    let plan = session.plan();
    assert_eq!(plan.ingress[1].codecs.len(), 7);
    assert_eq!(plan.ingress[1].extensions[0], (13, VideoOrientation));
}
