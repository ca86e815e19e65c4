//! Both sides offer at once, or ours stays unanswered.

use super::*;

#[test]
fn the_clients_offer_wins_and_ends_what_was_in_ours() {
    let (mut session, mut client) = (session(), Client::new(Style::Chromium));
    client.add(MediaKind::Audio, Direction::SendOnly);
    push_all(&mut session, &mut client, 1);
    let kept = pull(&mut session, &mut client, source(5, Style::Chromium, MediaKind::Video));
    let pending = session.bind_remote(source(6, Style::Chromium, MediaKind::Video), Place::Offered).unwrap();
    session.create_offer();
    // The client has not seen our offer, and takes the same mid for a track of its own.
    let mid = client.add(MediaKind::Video, Direction::SendOnly);
    assert_eq!(mid, pending);
    let summary = offer(&mut session, &client);
    let ended: Vec<_> =
        summary.ended.iter().map(|ended| (ended.mid.as_str(), ended.local, ended.remote)).collect();
    assert_eq!(ended, [(pending.as_str(), None, true)]);
    assert!(!session.pending_offer() && !session.needs_offer());
    session.bind_local(&mid, PublicationId(2)).unwrap();
    answer(&mut session, &mut client);
    let plan = session.plan();
    assert_eq!(plan.egress.iter().map(|egress| egress.mid.as_str()).collect::<Vec<_>>(), [kept.as_str()]);
    assert_eq!(plan.ingress.len(), 2);
    let next = session.bind_remote(source(6, Style::Chromium, MediaKind::Video), Place::Offered).unwrap();
    assert_eq!(next, "3");
}

#[test]
fn a_rolled_back_offer_leaves_no_trace() {
    let (mut session, mut client) = (session(), Client::new(Style::Chromium));
    client.add(MediaKind::Audio, Direction::SendOnly);
    push_all(&mut session, &mut client, 1);
    let mid = pull(&mut session, &mut client, source(5, Style::Chromium, MediaKind::Video));
    client.stop(&mid);
    push_all(&mut session, &mut client, 2);
    let before = session.plan();
    // One recycled line and one new one.
    for id in [6, 7] {
        session.bind_remote(source(id, Style::Chromium, MediaKind::Video), Place::Offered).unwrap();
    }
    let lost = session.create_offer();
    assert_eq!(session.rollback().len(), 2);
    assert_eq!(session.plan(), before);
    assert!(!session.needs_offer() && !session.pending_offer());
    assert_eq!(session.rollback(), []);
    // A client that had not seen the offer and one that had applied it both go on: by our next offer,
    for knows in [false, true] {
        let (mut session, mut client) = (session.clone(), client.clone());
        if knows {
            client.answer(&lost);
        }
        let mid = pull(&mut session, &mut client, source(8, Style::Chromium, MediaKind::Audio));
        let plan = session.plan();
        assert_eq!((plan.egress.len(), plan.egress[0].mid.as_str()), (1, mid.as_str()));
        // The lines of the lost offer are used by later pulls.
        for id in [9, 10] {
            pull(&mut session, &mut client, source(id, Style::Chromium, MediaKind::Video));
        }
        assert_eq!(session.sections().count(), 4);
    }
    // or by their own.
    for knows in [false, true] {
        let (mut session, mut client) = (session.clone(), client.clone());
        if knows {
            client.answer(&lost);
        }
        let answer = push_all(&mut session, &mut client, 8);
        assert_eq!(answer.sections.len(), if knows { 3 } else { 2 });
    }
}

#[test]
fn the_first_offer_can_be_rolled_back_to_nothing() {
    let (mut session, mut client) = (session(), Client::new(Style::Firefox));
    session.bind_remote(source(1, Style::Chromium, MediaKind::Video), Place::Offered).unwrap();
    session.create_offer();
    client.add(MediaKind::Video, Direction::SendOnly);
    let answer = push_all(&mut session, &mut client, 1);
    assert_eq!(answer.sections.len(), 1);
    assert_eq!(session.plan().ingress.len(), 1);
}

#[test]
fn what_the_client_publishes_survives_a_rollback() {
    let (mut session, mut client) = (session(), Client::new(Style::Chromium));
    let mid = client.add(MediaKind::Audio, Direction::SendRecv);
    push_all(&mut session, &mut client, 1);
    session.bind_remote(source(2, Style::Firefox, MediaKind::Audio), Place::Existing(mid.clone())).unwrap();
    session.create_offer();
    let ended = session.rollback();
    assert_eq!((ended.len(), ended[0].local, ended[0].remote), (1, None, true));
    let state = session.section_state(&mid).unwrap();
    assert_eq!((state.local, state.remote, state.receives), (Some(PublicationId(1)), None, true));
    assert_eq!(session.plan().ingress.len(), 1);
}

#[test]
fn a_client_that_had_applied_our_lost_offer_can_go_on() {
    let (mut session, mut client) = (session(), Client::new(Style::Chromium));
    client.add(MediaKind::Audio, Direction::SendOnly);
    push_all(&mut session, &mut client, 1);
    session.bind_remote(source(5, Style::Chromium, MediaKind::Video), Place::Offered).unwrap();
    let lost = session.create_offer();
    client.answer(&lost);
    session.rollback();
    let mid = client.add(MediaKind::Video, Direction::SendOnly);
    let answer = push_all(&mut session, &mut client, 2);
    assert_eq!(answer.sections.len(), 3);
    assert_eq!(answer.sections[1].direction, Direction::Inactive);
    assert_eq!(section(&answer, &mid).direction, Direction::RecvOnly);
}
