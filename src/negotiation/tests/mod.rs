//! Whole lives of sessions against clients that describe themselves as real ones do.

mod client;
mod consistency;
mod descriptors;
mod engine;
mod glare;
mod limits;
mod pull;
mod push;
mod random_life;
mod recycling;
mod simulcast;
mod transport;

use std::sync::Arc;

use super::{LocalTransport, Negotiation, OfferSummary, Place, PublishedMedia, RemoteSource};
use crate::ids::{IceCredentials, PublicationId, ShardId};
use crate::plan::LayerPreference;
use crate::rtp::MediaKind;
use crate::sdp::{Direction, SessionDescription};
use client::{Client, Style};

const PUBLISHER: &str = "00112233445566778899aabbccddeeff";

fn session() -> Negotiation {
    let addresses = ["192.0.2.10:3478".parse().unwrap(), "[2001:db8::1]:3478".parse().unwrap()];
    let local = LocalTransport::new("sha-256 AB:CD:EF", &addresses);
    Negotiation::new("feedfacefeedface".to_owned(), Arc::new(local), credentials("AServer0"))
}

fn credentials(ufrag: &str) -> IceCredentials {
    IceCredentials { ufrag: ufrag.to_owned(), pwd: "serverpasswordserverpass".to_owned() }
}

/// Gives one offer to a session; credentials are minted as `AServer1` and so on are not expected here.
fn offer(session: &mut Negotiation, client: &Client) -> OfferSummary {
    session.client_offer(&client.offer(), &mut || credentials("AServer1")).unwrap()
}

fn answer(session: &mut Negotiation, client: &mut Client) -> SessionDescription {
    client.accept_answer(&session.answer())
}

/// Publishes whatever the client sends and nobody has bound, one publication per section.
fn push_all(session: &mut Negotiation, client: &mut Client, first: u64) -> SessionDescription {
    let summary = offer(session, client);
    let unbound = summary.sections.iter().filter(|section| section.sends && section.local.is_none());
    for (section, id) in unbound.zip(first..) {
        session.bind_local(&section.mid, PublicationId(id)).unwrap();
    }
    answer(session, client)
}

/// What a client of this style publishes.
fn media(style: Style, kind: MediaKind) -> PublishedMedia {
    let (mut session, mut client) = (session(), Client::new(style));
    let mid = client.add(kind, Direction::SendOnly);
    push_all(&mut session, &mut client, 1);
    session.published_media(&mid).unwrap()
}

fn source(publication: u64, style: Style, kind: MediaKind) -> RemoteSource {
    RemoteSource {
        publication: PublicationId(publication),
        origin: ShardId(3),
        media: media(style, kind),
        stream_label: PUBLISHER.to_owned(),
        preference: LayerPreference::default(),
    }
}

/// Pulls one publication by our offer and completes the exchange. Gives the mid.
fn pull(session: &mut Negotiation, client: &mut Client, source: RemoteSource) -> String {
    let mid = session.bind_remote(source, Place::Offered).unwrap();
    assert!(session.needs_offer());
    let offer = session.create_offer();
    let summary = session.client_answer(&client.answer(&offer)).unwrap();
    assert_eq!(summary.rejected, Vec::<String>::new());
    mid
}

fn section<'a>(description: &'a SessionDescription, mid: &str) -> &'a crate::sdp::Section {
    description.sections.iter().find(|section| section.mid == mid).unwrap()
}

fn numbers(section: &crate::sdp::Section) -> Vec<u8> {
    section.payloads.iter().map(|payload| payload.pt).collect()
}
