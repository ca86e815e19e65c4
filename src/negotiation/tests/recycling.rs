//! Lines that stop and come back: sessions of any length keep their size.

use super::*;
use crate::sdp::SectionKind;

const ROUNDS: u64 = 20;

fn viewer(style: Style, pushes: bool) -> (Negotiation, Client) {
    let (mut session, mut client) = (session(), Client::new(style));
    if pushes {
        client.add(MediaKind::Audio, Direction::SendOnly);
        push_all(&mut session, &mut client, 1);
    }
    (session, client)
}

#[test]
fn pulls_that_the_client_closes_keep_the_line_count() {
    for pushes in [false, true] {
        let (mut session, mut client) = viewer(Style::Chromium, pushes);
        let mut mids = Vec::new();
        for round in 0..ROUNDS {
            let mid = pull(&mut session, &mut client, source(round, Style::Chromium, MediaKind::Video));
            assert_eq!(session.plan().egress.len(), 1);
            client.stop(&mid);
            let summary = offer(&mut session, &client);
            assert_eq!((summary.ended.len(), summary.ended[0].remote), (1, true));
            answer(&mut session, &mut client);
            assert!(session.plan().egress.is_empty());
            mids.push(mid);
        }
        assert_eq!(session.sections().count(), 2);
        assert_eq!(session.plan().transport.generation, 0);
        mids.dedup();
        assert_eq!(mids.len(), 20, "a stopped line comes back under a new mid");
    }
}

#[test]
fn pulls_that_are_closed_by_force_keep_the_line_count() {
    let (mut session, mut client) = viewer(Style::Firefox, true);
    let mut sources = Vec::new();
    for round in 0..ROUNDS {
        let mid = pull(&mut session, &mut client, source(round, Style::Chromium, MediaKind::Video));
        let plan = session.plan();
        assert_eq!(plan.egress.len(), 1);
        sources.push(plan.egress[0].ssrc);
        assert!(session.unbind_remote(&mid).is_some());
    }
    // Two lines take turns: one is known to be inactive while the other was closed a moment ago.
    assert_eq!(session.sections().count(), 3);
    sources.sort_unstable();
    sources.dedup();
    assert_eq!(sources.len(), 20);
}

#[test]
fn a_line_that_the_client_knows_to_be_inactive_is_used_again_at_once() {
    let (mut session, mut client) = viewer(Style::Chromium, true);
    let mid = pull(&mut session, &mut client, source(1, Style::Chromium, MediaKind::Video));
    let ssrc = session.plan().egress[0].ssrc;
    session.unbind_remote(&mid);
    push_all(&mut session, &mut client, 5);
    // Not for the other kind.
    let audio = pull(&mut session, &mut client, source(2, Style::Chromium, MediaKind::Audio));
    assert_ne!(audio, mid);
    let again = pull(&mut session, &mut client, source(3, Style::Chromium, MediaKind::Video));
    assert_eq!(again, mid);
    let plan = session.plan();
    let egress = plan.egress.iter().find(|egress| egress.mid == mid).unwrap();
    assert_ne!(egress.ssrc, ssrc);
}

#[test]
fn no_slot_in_front_of_the_first_live_one_is_taken() {
    let (mut session, mut client) = (session(), Client::new(Style::Chromium));
    client.add(MediaKind::Audio, Direction::SendOnly);
    client.add(MediaKind::Video, Direction::SendOnly);
    push_all(&mut session, &mut client, 1);
    client.stop("0");
    push_all(&mut session, &mut client, 5);
    let mid = pull(&mut session, &mut client, source(9, Style::Chromium, MediaKind::Audio));
    let states: Vec<_> = session.sections().map(|state| (state.mid, state.stopped)).collect();
    assert_eq!(states, [("0".to_owned(), true), ("1".to_owned(), false), (mid, false)]);
}

#[test]
fn a_line_may_come_back_as_another_kind() {
    let (mut session, mut client) = viewer(Style::Chromium, true);
    let mid = pull(&mut session, &mut client, source(1, Style::Chromium, MediaKind::Video));
    client.stop(&mid);
    push_all(&mut session, &mut client, 5);
    pull(&mut session, &mut client, source(2, Style::Chromium, MediaKind::Audio));
    assert_eq!(client.lines.len(), 2);
    assert_eq!(client.lines[1].kind, SectionKind::Audio);
}

#[test]
fn a_client_recycles_lines_as_well() {
    let (mut session, mut client) = viewer(Style::Firefox, true);
    let lines = |session: &Negotiation| session.plan().transport.ingress_offer.matches("\r\nm=").count();
    for round in 0..ROUNDS {
        let kind = if round % 2 == 0 { MediaKind::Video } else { MediaKind::Audio };
        let mid = client.add(kind, Direction::SendOnly);
        let answer = push_all(&mut session, &mut client, round * 10);
        assert_eq!(answer.sections.len(), 2);
        assert_eq!(session.plan().ingress.len(), 2);
        assert_eq!(lines(&session), 4);
        client.stop(&mid);
        push_all(&mut session, &mut client, 0);
    }
}

#[test]
fn closing_what_the_offer_shows_as_live_answers_it_inactive() {
    let (mut session, mut client) = viewer(Style::Chromium, true);
    let one = pull(&mut session, &mut client, source(1, Style::Chromium, MediaKind::Video));
    let two = pull(&mut session, &mut client, source(2, Style::Chromium, MediaKind::Audio));
    client.stop(&one);
    offer(&mut session, &client);
    session.unbind_remote(&two);
    let answer = answer(&mut session, &mut client);
    assert!(section(&answer, &one).rejected);
    assert_eq!(section(&answer, &two).direction, Direction::Inactive);
    assert!(session.plan().egress.is_empty());
}

#[test]
fn a_paused_receiver_keeps_its_pull() {
    let (mut session, mut client) = viewer(Style::Chromium, true);
    let mid = pull(&mut session, &mut client, source(1, Style::Chromium, MediaKind::Video));
    let ssrc = session.plan().egress[0].ssrc;
    client.line(&mid).direction = Direction::Inactive;
    push_all(&mut session, &mut client, 5);
    assert!(session.plan().egress.is_empty());
    client.line(&mid).direction = Direction::RecvOnly;
    push_all(&mut session, &mut client, 6);
    assert_eq!(session.plan().egress.len(), 1);
    assert_ne!(session.plan().egress[0].ssrc, ssrc, "indices of the first source would begin anew");
}
