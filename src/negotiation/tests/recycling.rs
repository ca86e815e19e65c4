//! Lines that stop and come back: sessions of any length keep their size.

use super::engine::Engine;
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

/// Numbers beyond a bound were passed over when ours were chosen, and then met.
#[test]
fn mids_of_ours_meet_none_of_the_clients_wherever_it_counts_from() {
    for first in ["16777215", "16777216", "4294967295", "data", "keep", "007", "0"] {
        let (mut session, mut client) = (session(), Client::new(Style::Chromium));
        let number = first.parse::<u64>().unwrap_or_default();
        let mids = [first.to_owned(), (number + 1).to_string(), (number + 3).to_string()];
        for mid in &mids {
            let given = client.add(MediaKind::Audio, Direction::SendOnly);
            client.line(&given).mid.clone_from(mid);
        }
        push_all(&mut session, &mut client, 1);
        session.offer_application().unwrap();
        for round in 0..6 {
            session
                .bind_remote(source(10 + round, Style::Chromium, MediaKind::Video), Place::Offered)
                .unwrap();
        }
        let offered = session.create_offer();
        let mut seen: Vec<String> = SessionDescription::parse(&offered)
            .unwrap()
            .sections
            .into_iter()
            .map(|section| section.mid)
            .collect();
        assert_eq!(seen[..3], mids, "{first}");
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!((seen.len(), count), (10, 10), "{first}: {seen:?}");
        session.client_answer(&client.answer(&offered)).unwrap();
        Engine::new().feed(&session);
    }
}

/// The engine keeps the kind of a line that it knows by a name.
#[test]
fn a_mid_that_comes_back_for_another_kind_is_another_line_for_the_engine() {
    let (mut session, mut client, mut engine) = (session(), Client::new(Style::Chromium), Engine::new());
    client.add(MediaKind::Audio, Direction::SendOnly);
    client.add(MediaKind::Audio, Direction::SendOnly);
    push_all(&mut session, &mut client, 1);
    engine.feed(&session);
    client.stop("1");
    push_all(&mut session, &mut client, 3);
    engine.feed(&session);
    let again = client.add(MediaKind::Video, Direction::SendOnly);
    client.line(&again).mid = "1".to_owned();
    push_all(&mut session, &mut client, 5);
    engine.feed(&session);
    let plan = session.plan();
    let kinds: Vec<_> = plan.ingress.iter().map(|section| (section.mid.as_str(), section.kind)).collect();
    assert!(
        kinds.contains(&("0", MediaKind::Audio)) && kinds.contains(&("1", MediaKind::Video)),
        "{kinds:?}"
    );
    assert_ne!(plan.ingress[0].name, plan.ingress[1].name);
}

/// A shard may have sent under them before it turned out that nobody would hear of the change.
#[test]
fn sources_of_a_change_that_is_given_up_are_never_minted_again() {
    let (mut session, mut client) = viewer(Style::Chromium, true);
    let mut seen = Vec::new();
    for round in 0..4 {
        let mut draft = session.clone();
        pull(&mut draft, &mut Client::clone(&client), source(10 + round, Style::Chromium, MediaKind::Video));
        let egress = &draft.plan().egress[0];
        seen.extend([Some(egress.ssrc), egress.rtx_ssrc].into_iter().flatten());
    }
    pull(&mut session, &mut client, source(20, Style::Chromium, MediaKind::Video));
    let egress = &session.plan().egress[0];
    seen.extend([Some(egress.ssrc), egress.rtx_ssrc].into_iter().flatten());
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 10);
}

/// What a shard may have ended in a change that was given up does not go on under the same source, and the rest does.
#[test]
fn sources_that_may_have_ended_elsewhere_are_burnt_and_the_others_go_on() {
    let (mut session, mut client) = viewer(Style::Chromium, true);
    let mids: Vec<String> = (10..12)
        .map(|id| pull(&mut session, &mut client, source(id, Style::Chromium, MediaKind::Video)))
        .collect();
    let before = session.plan().egress;
    session.burn_all_but(&[before[0].ssrc]);
    assert_eq!(session.plan().egress, before[..1]);
    offer(&mut session, &client);
    answer(&mut session, &mut client);
    let after = session.plan().egress;
    assert_eq!((after[0].ssrc, &after[1].mid), (before[0].ssrc, &mids[1]));
    assert_ne!(after[1].ssrc, before[1].ssrc);
}
