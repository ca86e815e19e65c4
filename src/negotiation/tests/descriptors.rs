//! Dependency descriptors, and the two forms of extensions that they need (RFC 8285 4.1.2, 6).

use super::*;
use crate::plan::PayloadForm;
use crate::rtp::{Codec, ExtensionKind};

const MIXED: &str = "a=extmap-allow-mixed\r\n";
const DESCRIPTOR: ExtensionKind = ExtensionKind::DependencyDescriptor;

/// Where an offer allows both forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Allowed {
    Session,
    Section,
    Nowhere,
}

/// The client's offer with a line for descriptors.
fn described(client: &Client, allowed: Allowed) -> String {
    let line = format!("a=extmap:12 {}\r\n", DESCRIPTOR.uri());
    let offer = client.offer().replace("a=rtcp-mux\r\n", &format!("{line}a=rtcp-mux\r\n"));
    let bare = offer.replace(MIXED, "");
    match allowed {
        Allowed::Session => offer,
        Allowed::Section => bare.replace("a=rtcp-mux\r\n", &format!("{MIXED}a=rtcp-mux\r\n")),
        Allowed::Nowhere => bare,
    }
}

fn offered(session: &mut Negotiation, client: &Client, allowed: Allowed) {
    session.client_offer(&described(client, allowed), &mut || credentials("AServer1")).unwrap();
}

#[test]
fn descriptors_are_taken_where_both_forms_may_stand_in_one_stream() {
    for allowed in [Allowed::Session, Allowed::Section, Allowed::Nowhere] {
        let (mut session, mut client) = (session(), Client::new(Style::Chromium));
        let mid = client.add(MediaKind::Video, Direction::SendOnly);
        offered(&mut session, &client, allowed);
        let media = session.bind_local(&mid, PublicationId(1)).unwrap();
        let text = session.answer();
        let (head, body) = text.split_once("m=video").unwrap();
        let takes = allowed != Allowed::Nowhere;
        assert_eq!(head.contains(MIXED), allowed == Allowed::Session, "{allowed:?}");
        assert_eq!(body.contains(MIXED), allowed == Allowed::Section, "{allowed:?}");
        assert_eq!(body.contains(DESCRIPTOR.uri()), takes, "{allowed:?}");
        assert_eq!(media.extensions.contains(&DESCRIPTOR), takes);
        assert_eq!(session.plan().ingress[0].extensions.contains(&(12, DESCRIPTOR)), takes);
    }
}

#[test]
fn a_viewer_without_descriptors_gets_the_lowest_layer_of_av1_and_all_of_vp9() {
    for allowed in [Allowed::Session, Allowed::Nowhere] {
        let mut source = source(7, Style::Chromium, MediaKind::Video);
        source.media.extensions.push(DESCRIPTOR);
        let (mut session, mut client) = (session(), Client::new(Style::Chromium));
        let mid = client.add(MediaKind::Video, Direction::RecvOnly);
        offered(&mut session, &client, allowed);
        session.bind_remote(source, Place::Existing(mid)).unwrap();
        client.accept_answer(&session.answer());
        let plan = session.plan();
        let takes = allowed == Allowed::Session;
        assert_eq!(plan.egress[0].extensions.contains(&(12, DESCRIPTOR)), takes);
        for map in &plan.egress[0].payload_types {
            let lowest = map.codec == Codec::Av1 && !takes;
            let form = if lowest { PayloadForm::LowestLayer } else { PayloadForm::Whole };
            assert_eq!(map.form, form, "{:?}", map.codec);
        }
    }
}
