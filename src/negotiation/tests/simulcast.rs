//! Layers as the client offers them: order, alternatives, pauses and restrictions come back as they were.

use super::engine::Engine;
use super::*;

/// An offer of one section with these lines of layers.
fn layered(lines: &str) -> (Negotiation, Client, String) {
    let (session, mut client) = (session(), Client::new(Style::Chromium));
    let mid = client.add(MediaKind::Video, Direction::SendOnly);
    client.line(&mid).rids = vec!["x"];
    let text = client.offer().replace("a=rid:x send\r\na=simulcast:send x\r\n", &lines.replace('\n', "\r\n"));
    (session, client, text)
}

fn answered(lines: &str) -> (String, Negotiation) {
    let (mut session, _, text) = layered(lines);
    session.client_offer(&text, &mut || credentials("x")).unwrap();
    session.bind_local("0", PublicationId(1)).unwrap();
    let answer = session.answer();
    Engine::new().feed(&session);
    (answer, session)
}

#[test]
fn what_is_offered_of_layers_is_answered() {
    let table = [
        // (offered, answered)
        (
            "a=rid:q send\na=rid:h send\na=rid:f send\na=simulcast:send q;h;~f\n",
            "a=simulcast:recv q;h;~f\r\n",
        ),
        (
            "a=rid:a send\na=rid:b send\na=rid:c send\na=simulcast:send ~a,b;c\n",
            "a=simulcast:recv ~a,b;c\r\n",
        ),
        // What has no line of its own is none, and each stands once.
        ("a=rid:a send\na=rid:b send\na=simulcast:send a,x;y;b;a\n", "a=simulcast:recv a;b\r\n"),
        // We send one stream, whatever a client could take.
        (
            "a=rid:a send\na=rid:b send\na=rid:r recv\na=simulcast:send a;b recv r\n",
            "a=simulcast:recv a;b\r\n",
        ),
        (
            "a=rid:a send max-width=640;max-fps=15\na=rid:b send\na=simulcast:send a;b\n",
            "a=rid:a recv max-width=640;max-fps=15\r\n",
        ),
        (
            "a=rid:a send pt=98,55,96;max-br=9\na=rid:b send\na=simulcast:send a;b\n",
            "a=rid:a recv pt=98,96;max-br=9\r\n",
        ),
        // A layer in formats that nobody takes here is not taken.
        ("a=rid:a send pt=116\na=rid:b send\na=simulcast:send a;b\n", "a=simulcast:recv b\r\n"),
    ];
    for (offered, expected) in table {
        let (answer, _) = answered(offered);
        assert!(answer.contains(expected), "{offered}{answer}");
        assert!(!answer.contains("a=rid:r") && !answer.contains("simulcast:send"), "{answer}");
    }
}

#[test]
fn alternatives_are_layers_of_their_own_to_the_engine() {
    let (_, session) = answered("a=rid:a send\na=rid:b send\na=rid:c send\na=simulcast:send a,b;~c\n");
    assert_eq!(session.plan().ingress[0].rids, ["a", "b", "c"]);
    assert!(session.plan().transport.ingress_offer.contains("a=simulcast:send a;b;c\r\n"));
}

#[test]
fn a_pause_lasts_through_every_later_description() {
    let (mut session, mut client, text) = layered("a=rid:q send\na=rid:f send\na=simulcast:send q;~f\n");
    let paused = "a=simulcast:recv q;~f\r\n";
    session.client_offer(&text, &mut || credentials("x")).unwrap();
    session.bind_local("0", PublicationId(1)).unwrap();
    client.accept_answer(&session.answer());
    session.client_offer(&text, &mut || credentials("x")).unwrap();
    assert!(session.answer().contains(paused));
    session.bind_remote(source(9, Style::Chromium, MediaKind::Audio), Place::Offered).unwrap();
    assert!(session.create_offer().contains(paused));
    session.rollback();
    let woken = text.replace("q;~f", "q;f");
    session.client_offer(&woken, &mut || credentials("x")).unwrap();
    assert!(session.answer().contains("a=simulcast:recv q;f\r\n"));
}

/// Browsers give layers up for good when an answer is without them.
#[test]
fn layers_are_kept_while_no_track_names_their_section() {
    let (mut session, _, text) = layered("a=rid:q send\na=rid:f send\na=simulcast:send q;f\n");
    session.client_offer(&text, &mut || credentials("x")).unwrap();
    let answer = session.answer();
    assert!(answer.contains("a=inactive\r\n") && answer.contains("a=simulcast:recv q;f\r\n"), "{answer}");
    session.client_offer(&text, &mut || credentials("x")).unwrap();
    session.bind_local("0", PublicationId(1)).unwrap();
    session.answer();
    session.unbind_local("0");
    session.client_offer(&text, &mut || credentials("x")).unwrap();
    assert!(session.answer().contains("a=rid:q recv\r\na=rid:f recv\r\na=simulcast:recv q;f\r\n"));
}
