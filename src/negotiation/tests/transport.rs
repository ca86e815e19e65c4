//! Restarts, and clients that move to another transport.

use super::*;
use crate::negotiation::NegotiationError;

fn two_tracks() -> (Negotiation, Client) {
    let (mut session, mut client) = (session(), Client::new(Style::Chromium));
    client.add(MediaKind::Audio, Direction::SendOnly);
    client.add(MediaKind::Video, Direction::SendOnly);
    push_all(&mut session, &mut client, 1);
    (session, client)
}

fn exchange(session: &mut Negotiation, client: &mut Client) -> (u32, String, String) {
    session.client_offer(&client.offer(), &mut || credentials("AServer1")).unwrap();
    let answer = client.accept_answer(&session.answer());
    let plan = session.plan();
    let answered = answer.sections.iter().find_map(|section| section.transport.ice.clone()).unwrap();
    (plan.transport.generation, plan.transport.local.ufrag, answered.ufrag)
}

#[test]
fn an_ice_restart_gives_new_credentials_in_the_same_generation() {
    let (mut session, mut client) = two_tracks();
    client.ufrag = "next".to_owned();
    assert_eq!(exchange(&mut session, &mut client), (0, "AServer1".to_owned(), "AServer1".to_owned()));
    assert!(session.plan().transport.ingress_offer.contains("a=ice-ufrag:next\r\n"));
}

#[test]
fn closing_the_first_line_moves_the_transport_with_our_credentials() {
    let (mut session, mut client) = two_tracks();
    client.stop("0");
    assert_eq!(exchange(&mut session, &mut client), (1, "AServer0".to_owned(), "AServer0".to_owned()));
    // Nothing more changes until the tag does.
    assert_eq!(exchange(&mut session, &mut client).0, 1);
}

#[test]
fn a_client_that_refills_the_first_line_moves_with_new_credentials() {
    let (mut session, mut client) = two_tracks();
    client.stop("0");
    exchange(&mut session, &mut client);
    let mid = client.add(MediaKind::Audio, Direction::SendOnly);
    assert_eq!(client.lines[0].mid, mid);
    client.ufrag = "moved".to_owned();
    assert_eq!(exchange(&mut session, &mut client), (2, "AServer1".to_owned(), "AServer1".to_owned()));
}

#[test]
fn a_certificate_cannot_change_alone() {
    let (mut session, mut client) = two_tracks();
    client.fingerprint = client.fingerprint.replace("3A", "3B");
    let error = session.clone().client_offer(&client.offer(), &mut || credentials("x")).unwrap_err();
    assert_eq!(error, NegotiationError::FingerprintChanged);
    client.ufrag = "next".to_owned();
    assert_eq!(exchange(&mut session, &mut client), (1, "AServer1".to_owned(), "AServer1".to_owned()));
}

#[test]
fn the_first_line_of_ours_keeps_the_transport_through_any_close() {
    let (mut session, mut client) = (session(), Client::new(Style::Chromium));
    for round in 0..3 {
        let mid = pull(&mut session, &mut client, source(round, Style::Chromium, MediaKind::Video));
        client.stop(&mid);
        assert_eq!(exchange(&mut session, &mut client), (0, "AServer0".to_owned(), "AServer0".to_owned()));
    }
}

#[test]
fn the_plan_is_empty_of_the_client_until_it_speaks() {
    let mut session = session();
    assert_eq!(session.plan().transport.ingress_offer.as_ref(), "");
    session.bind_remote(source(1, Style::Chromium, MediaKind::Video), Place::Offered).unwrap();
    session.create_offer();
    let plan = session.plan();
    assert_eq!((plan.transport.generation, plan.transport.local.ufrag.as_str()), (0, "AServer0"));
    assert_eq!(plan.transport.ingress_offer.as_ref(), "");
}
