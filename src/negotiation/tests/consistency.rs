//! Whatever a client offers, what is answered was offered (RFC 3264 6, RFC 8829 5.3.1, RFC 8853 5.3.2).
//!
//! | attribute | in the answer |
//! |---|---|
//! | m-line, mid, protocol | as offered, port 0 where refused |
//! | direction | no more than its reverse |
//! | rtpmap, fmtp | as offered, those that are carried |
//! | rtcp-fb | of those offered, the ones that both speak |
//! | extmap | as offered, those that are used; a restriction turned round |
//! | extmap-allow-mixed, rtcp-rsize | where offered |
//! | rid | as offered with its restrictions, from the other side; payload types that are not agreed left out |
//! | simulcast | what it sends, with order, alternatives and pauses; what it could receive is not sent |
//! | rtcp-mux | where offered; a section without it is refused |
//! | ptime, maxptime, b, framerate, imageattr | wishes of a receiver for its own side: none of ours, so none is said |
//! | msid, ssrc, ssrc-group | describe what a side sends: ours are our own |

use super::engine::Engine;
use super::random_life::Dice;
use super::*;
use crate::sdp::{RidDirection, Section};

/// Lines without which nothing is left to answer.
const NEEDED: [&str; 6] = ["a=mid", "a=ice-", "a=fingerprint", "a=setup", "a=group", "a=rtpmap"];

/// Changes an offer line by line: some are left out, some say something else.
fn shaken(text: &str, dice: &mut Dice) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let is_needed = !line.starts_with("a=") || NEEDED.iter().any(|needed| line.starts_with(needed));
        if !is_needed && dice.below(8) == 0 {
            continue;
        }
        let mut line = line.to_owned();
        if line.starts_with("a=extmap:") && dice.below(4) == 0 {
            let direction = ["sendonly", "recvonly", "inactive", "sendrecv"][dice.below(4)];
            line = line.replacen(' ', &format!("/{direction} "), 1);
        }
        if line.starts_with("a=rid:") && dice.below(3) == 0 {
            line.push_str([" max-width=320", " pt=96", " pt=98,96;max-fps=5", " x-own=1"][dice.below(4)]);
        }
        if line.starts_with("a=simulcast:send") && dice.below(2) == 0 {
            line = line.replace(';', [";~", ",", ",~"][dice.below(3)]);
        }
        lines.push(line);
        if lines.last().is_some_and(|line| line.starts_with("a=mid")) {
            let more =
                ["a=ptime:20", "a=maxptime:60", "a=framerate:30", "a=extmap-allow-mixed", "a=rtcp-rsize"];
            lines.push(more[dice.below(5)].to_owned());
        }
    }
    lines.iter().map(|line| format!("{line}\r\n")).collect()
}

fn check(offered: &Section, answered: &Section) {
    assert_eq!((&answered.mid, &answered.media), (&offered.mid, &offered.media));
    assert_eq!(answered.protocol, offered.protocol);
    if answered.rejected {
        return;
    }
    assert!(!offered.rejected);
    let (ours, theirs) = (answered.direction, offered.direction);
    assert!(!ours.sends() || theirs.receives());
    assert!(!ours.receives() || theirs.sends());
    assert!(!answered.rtcp_mux || offered.rtcp_mux);
    assert!(!answered.rtcp_rsize || offered.rtcp_rsize);
    assert!(!answered.extmap_allow_mixed || offered.extmap_allow_mixed);
    for payload in &answered.payloads {
        let known = offered.payloads.iter().find(|known| known.pt == payload.pt).unwrap();
        assert!(known.name.eq_ignore_ascii_case(&payload.name));
        assert_eq!((known.clock, &known.fmtp), (payload.clock, &payload.fmtp));
        assert_eq!(known.channels.unwrap_or(1), payload.channels.unwrap_or(1));
        assert!(payload.rtcp_fb.iter().all(|feedback| known.rtcp_fb.contains(feedback)));
    }
    for line in &answered.extmap {
        let known = offered.extmap.iter().find(|known| known.id == line.id).unwrap();
        assert_eq!(known.uri, line.uri);
        assert_eq!(line.direction, known.direction.map(Direction::reversed));
    }
    check_layers(offered, answered);
}

fn check_layers(offered: &Section, answered: &Section) {
    for rid in &answered.rids {
        let known = offered.rids.iter().find(|known| known.id == rid.id).unwrap();
        assert_eq!((known.direction, rid.direction), (RidDirection::Send, RidDirection::Recv));
        let restricted = known.restrictions.as_deref().unwrap_or_default();
        for restriction in rid.restrictions.as_deref().unwrap_or_default().split(';') {
            assert!(restricted.contains(restriction) || restriction.starts_with("pt="), "{restriction}");
        }
    }
    let Some(simulcast) = &answered.simulcast else { return };
    assert!(simulcast.send.is_empty());
    let sent = &offered.simulcast.as_ref().unwrap().send;
    // In the order of the offer, each with the state that it had.
    let mut rest = sent.iter();
    for alternatives in &simulcast.recv {
        let same = rest.find(|layer| layer.contains(&alternatives[0])).expect("a layer in its place");
        assert!(alternatives.iter().all(|layer| same.contains(layer)));
        assert!(alternatives.iter().all(|layer| answered.rids.iter().any(|rid| rid.id == layer.rid)));
    }
}

#[test]
fn what_is_answered_was_offered() {
    for seed in 0..48 {
        let mut dice = Dice(seed);
        let style = [Style::Chromium, Style::Firefox, Style::Aiortc][dice.below(3)];
        let (mut session, mut client, mut engine) = (session(), Client::new(style), Engine::new());
        for _ in 0..=dice.below(4) {
            let kind = [MediaKind::Audio, MediaKind::Video][dice.below(2)];
            let direction = [Direction::SendOnly, Direction::SendRecv, Direction::RecvOnly][dice.below(3)];
            let mid = client.add(kind, direction);
            if kind == MediaKind::Video && dice.below(2) == 0 {
                client.line(&mid).rids = vec!["q", "h", "f"];
            }
        }
        // Once more on the same session: what was agreed does not change what may be said.
        for round in 0..2 {
            let text = shaken(&client.offer(), &mut dice);
            let offer = SessionDescription::parse(&text).unwrap();
            let summary = session.client_offer(&text, &mut || credentials("x"));
            let Ok(summary) = summary else { panic!("seed {seed}: {summary:?}") };
            for section in summary.sections.iter().filter(|section| section.sends && dice.below(4) > 0) {
                session.bind_local(&section.mid, PublicationId(round + 1)).unwrap();
            }
            let answer = SessionDescription::parse(&session.answer()).unwrap();
            assert!(!answer.extmap_allow_mixed || offer.extmap_allow_mixed);
            assert_eq!(answer.sections.len(), offer.sections.len());
            for (offered, answered) in offer.sections.iter().zip(&answer.sections) {
                check(offered, answered);
            }
            if !session.plan().transport.ingress_offer.is_empty() {
                engine.feed(&session);
            }
            if answer.sections.iter().any(|section| section.rejected) {
                break;
            }
        }
    }
}
