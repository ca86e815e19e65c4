//! What clients may offer and the engine cannot take is left out or refused, and what is answered it takes.

use super::engine::Engine;
use super::*;
use crate::negotiation::{BindError, NegotiationError};

fn offered(change: impl Fn(String) -> String) -> (Negotiation, Result<OfferSummary, NegotiationError>) {
    let (mut session, mut client) = (session(), Client::new(Style::Chromium));
    client.add(MediaKind::Audio, Direction::SendOnly);
    client.add(MediaKind::Video, Direction::SendOnly);
    let summary = session.client_offer(&change(client.offer()), &mut || credentials("x"));
    (session, summary)
}

/// Answers a changed offer and feeds the engine with it.
fn accepted(change: impl Fn(String) -> String) -> (Negotiation, SessionDescription) {
    let (mut session, summary) = offered(change);
    for section in summary.unwrap().sections {
        session.bind_local(&section.mid, PublicationId(1)).unwrap();
    }
    let answer = SessionDescription::parse(&session.answer()).unwrap();
    Engine::new().feed(&session);
    (session, answer)
}

fn renamed(mids: [&'static str; 2]) -> impl Fn(String) -> String {
    move |text| {
        text.replace("BUNDLE 0 1", &format!("BUNDLE {} {}", mids[0], mids[1]))
            .replace("a=mid:0\r\n", &format!("a=mid:{}\r\n", mids[0]))
            .replace("a=mid:1\r\n", &format!("a=mid:{}\r\n", mids[1]))
    }
}

#[test]
fn mids_of_any_punctuation_are_taken() {
    for mids in [["audio-1", "audio_1"], ["a.b", "a+b"], ["--", "-n3"], ["data", "_s0"], ["!", "#"]] {
        let (session, answer) = accepted(renamed(mids));
        let plan = session.plan();
        assert_eq!(plan.ingress.iter().map(|section| section.mid.as_str()).collect::<Vec<_>>(), mids);
        assert_eq!(answer.sections.iter().map(|section| section.mid.as_str()).collect::<Vec<_>>(), mids);
        assert_ne!(plan.ingress[0].name, plan.ingress[1].name);
    }
}

#[test]
fn each_refusal_of_a_mid_names_its_one_cause() {
    let unmarked = |text: String| {
        let text = renamed(["a-1", "a_1"])(text);
        text.lines().filter(|line| !line.starts_with("a=ssrc")).map(|line| format!("{line}\r\n")).collect()
    };
    let own = |text: String| {
        let text = renamed(["--", "1"])(text);
        text.lines().filter(|line| !line.starts_with("a=ssrc")).map(|line| format!("{line}\r\n")).collect()
    };
    let table: [(&dyn Fn(String) -> String, &str); 5] = [
        (&renamed(["0123456789abcdefg", "1"]), "has 17 bytes, but a packet has room for 16"),
        (&renamed(["a", "a"]), "mid \"a\" stands twice"),
        (&renamed(["a;b", "1"]), "has characters that names in a description do not have"),
        (&own, "mid \"--\" is like a name that this server uses itself"),
        (&unmarked, "mids \"a-1\" and \"a_1\" differ in punctuation alone"),
    ];
    for (change, cause) in table {
        let error = offered(change).1.unwrap_err();
        assert!(error.to_string().contains(cause), "{error}");
        assert_eq!(error.subcode(), "m_line_mismatch");
    }
}

#[test]
fn layers_that_the_engine_would_call_alike_are_left_out() {
    let (mut session, mut client) = (session(), Client::new(Style::Chromium));
    client.add(MediaKind::Video, Direction::SendOnly);
    client.line("0").rids = vec!["camerahigh", "camerahixyz", "lowquality", "a-b", "x"];
    offer(&mut session, &client);
    session.bind_local("0", PublicationId(1)).unwrap();
    let answer = answer(&mut session, &mut client);
    let rids: Vec<&str> = answer.sections[0].rids.iter().map(|rid| rid.id.as_str()).collect();
    assert_eq!(rids, ["camerahigh", "lowquality", "x"]);
    let plan = session.plan();
    assert_eq!(
        (&*plan.ingress[0].rids, &*plan.ingress[0].layer_names),
        (
            ["camerahigh", "lowquality", "x"].map(String::from).as_slice(),
            ["camerahi", "lowquali", "x"].map(String::from).as_slice(),
        )
    );
    Engine::new().feed(&session);
}

#[test]
fn layers_without_the_extensions_that_name_them_become_one_stream() {
    let (mut session, mut client) = (session(), Client::new(Style::Chromium));
    client.add(MediaKind::Video, Direction::SendOnly);
    client.line("0").rids = vec!["a", "b"];
    let text = client.offer();
    let kept = text.lines().filter(|line| !line.contains("rtp-stream-id"));
    let text: String = kept.map(|line| format!("{line}\r\n")).collect();
    session.client_offer(&text, &mut || credentials("x")).unwrap();
    session.bind_local("0", PublicationId(1)).unwrap();
    let answer = session.answer();
    assert!(!answer.contains("a=rid") && !answer.contains("a=simulcast"), "{answer}");
    Engine::new().feed(&session);
}

#[test]
fn extension_ids_that_cannot_be_read_are_left_out() {
    let ids = |answer: &SessionDescription, index: usize| {
        answer.sections[index].extmap.iter().map(|line| line.id).collect::<Vec<_>>()
    };
    let audio = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
    let level = |id: &'static str| {
        move |text: String| text.replace(&format!("a=extmap:1 {audio}"), &format!("a=extmap:{id} {audio}"))
    };
    assert_eq!(ids(&accepted(|text| text).1, 0), [1, 3, 4]);
    // 15 ends the one-byte form and names none; those above are of the two-byte form, and we read this one ourselves.
    assert_eq!(ids(&accepted(level("15")).1, 0), [3, 4]);
    assert_eq!(ids(&accepted(level("200")).1, 0), [200, 3, 4]);
    // Alternatives, and what is no id.
    for id in ["0", "256", "4096", "4351"] {
        let (_, outcome) = offered(level(id));
        assert!(id == "0" || outcome.is_ok(), "{id}");
    }
    // The engine's own table ends at 16.
    let twcc = |id: &'static str| move |text: String| text.replace("a=extmap:3 ", &format!("a=extmap:{id} "));
    assert_eq!(ids(&accepted(twcc("16")).1, 0), [1, 16, 4]);
    assert_eq!(ids(&accepted(twcc("17")).1, 0), [1, 4]);
    // An id that means something else in another section.
    let clash = |text: String| {
        text.replacen("a=extmap:13 urn:3gpp:video-orientation", "a=extmap:1 urn:3gpp:video-orientation", 1)
    };
    assert!(!ids(&accepted(clash).1, 1).contains(&1));
}

#[test]
fn payload_types_that_look_like_rtcp_are_left_out() {
    let moved = |text: String| {
        text.replace("96 97 98", "72 73 98")
            .replace(":96 ", ":72 ")
            .replace(":97 ", ":73 ")
            .replace("apt=96", "apt=72")
    };
    let (_, answer) = accepted(moved);
    assert_eq!(&numbers(&answer.sections[1])[..2], [98, 99]);
}

/// Takes away all by which packets name their section.
fn unnamed(text: String) -> String {
    let kept = text.lines().filter(|line| !line.starts_with("a=ssrc") && !line.contains("sdes:mid"));
    kept.map(|line| format!("{line}\r\n")).collect()
}

#[test]
fn packets_that_name_no_section_are_told_by_payload_types_of_one_section_alone() {
    let (session, answer) = accepted(unnamed);
    assert!(answer.sections.iter().all(|section| !section.rejected));
    let told: Vec<_> = session.plan().ingress.into_iter().map(|section| section.told_by).collect();
    assert_eq!((told[0].contains(&(111, None)), told[1][0]), (true, (96, Some(97))));
    // Whoever names its sections or sources is told by that.
    for part in ["a=ssrc", "sdes:mid"] {
        let without = |text: String| {
            let kept = text.lines().filter(|line| !line.contains(part));
            kept.map(|line| format!("{line}\r\n")).collect()
        };
        assert!(accepted(without).0.plan().ingress.iter().all(|section| section.told_by.is_empty()));
    }
}

#[test]
fn of_sections_that_nothing_tells_apart_the_later_is_refused_with_its_cause() {
    let (mut session, mut client) = (session(), Client::new(Style::Chromium));
    client.add(MediaKind::Audio, Direction::SendOnly);
    client.add(MediaKind::Audio, Direction::SendOnly);
    let summary = session.client_offer(&unnamed(client.offer()), &mut || credentials("x")).unwrap();
    assert_eq!(summary.sections.len(), 1);
    session.bind_local("0", PublicationId(1)).unwrap();
    let refusal = session.bind_local("1", PublicationId(2)).unwrap_err();
    assert_eq!((refusal, refusal.subcode()), (BindError::Unnamed, "unnamed_section"));
    let answer = SessionDescription::parse(&session.answer()).unwrap();
    assert_eq!(answer.sections.iter().map(|section| section.rejected).collect::<Vec<_>>(), [false, true]);
    Engine::new().feed(&session);
}

#[test]
fn sections_that_cannot_be_carried_are_refused_with_their_cause() {
    let video = |text: &str| text.find("m=video").unwrap();
    let in_video = |text: String, change: &dyn Fn(&str) -> String| {
        let (head, body) = text.split_at(video(&text));
        format!("{head}{}", change(body))
    };
    let without = |body: &str, parts: &[&str]| -> String {
        let kept = body.lines().filter(|line| !parts.iter().any(|part| line.contains(part)));
        kept.map(|line| format!("{line}\r\n")).collect()
    };
    type Change<'a> = &'a dyn Fn(&str) -> String;
    let table: [(Change<'_>, BindError); 4] = [
        (&|body| without(body, &["a=rtcp-mux"]), BindError::NoRtcpMux),
        (&|body| body.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"), BindError::Protocol),
        (&|body| body.replace("/90000", "/8000"), BindError::UnknownCodecs),
        (&|body| body.replace("a=mid:1", "a=mid:9"), BindError::NotBundled),
    ];
    for (change, refusal) in table {
        let (mut session, summary) = offered(|text| in_video(text, change));
        assert_eq!(summary.unwrap().sections.len(), 1, "{refusal:?}");
        let mid = if refusal == BindError::NotBundled { "9" } else { "1" };
        assert_eq!(session.bind_local(mid, PublicationId(2)), Err(refusal));
        session.bind_local("0", PublicationId(1)).unwrap();
        let answer = SessionDescription::parse(&session.answer()).unwrap();
        assert!(answer.sections[1].rejected && !answer.sections[0].rejected, "{refusal:?}");
        Engine::new().feed(&session);
    }
}
