//! We offer, or the client offers to receive.

use super::*;
use crate::negotiation::{BindError, KeepAlive};
use crate::plan::{DtlsPart, PayloadMap, SrtpOffer};
use crate::rtp::ExtensionKind;
use crate::sdp::{Section, SectionKind, Setup};

fn parse(text: &str) -> SessionDescription {
    SessionDescription::parse(text).unwrap()
}

#[test]
fn the_first_offer_begins_with_a_line_that_never_closes() {
    let (mut session, mut client) = (session(), Client::new(Style::Chromium));
    let mid = session.bind_remote(source(1, Style::Chromium, MediaKind::Video), Place::Offered).unwrap();
    assert_eq!(mid, "0", "numbers are for media");
    let text = session.create_offer();
    let offer = parse(&text);
    assert_eq!(offer.bundle, ["data", "0"]);
    assert_eq!((offer.sections[0].kind, offer.sections[0].mid.as_str()), (SectionKind::Application, "data"));
    let answer = client.answer(&text);
    session.client_answer(&answer).unwrap();
    let plan = session.plan();
    assert!(plan.transport.ingress_offer.contains("a=group:BUNDLE __ data\r\n"));
    assert_eq!((plan.egress.len(), plan.ingress.len()), (1, 0));
    assert_eq!(plan.egress[0].mid, "0");
}

#[test]
fn other_first_lines_can_be_chosen() {
    let first = |keep_alive| {
        let mut session = session().with_keep_alive(keep_alive);
        session.bind_remote(source(1, Style::Chromium, MediaKind::Audio), Place::Offered).unwrap();
        let offer = session.create_offer();
        let answer = Client::new(Style::Chromium).answer(&offer);
        session.client_answer(&answer).unwrap();
        assert_eq!(session.plan().egress.len(), 1);
        parse(&offer)
    };
    assert_eq!(first(KeepAlive::None).sections.len(), 1);
    let offer = first(KeepAlive::InactiveAudio);
    assert_eq!(offer.sections.len(), 2);
    assert_eq!(
        (offer.sections[0].kind, offer.sections[0].direction),
        (SectionKind::Audio, Direction::Inactive)
    );
}

#[test]
fn a_pull_offer_says_all_that_clients_need() {
    let mut session = session();
    session.bind_remote(source(1, Style::Chromium, MediaKind::Video), Place::Offered).unwrap();
    session.bind_remote(source(2, Style::Chromium, MediaKind::Audio), Place::Offered).unwrap();
    let text = session.create_offer();
    assert!(session.pending_offer() && !session.needs_offer());
    let offer = parse(&text);
    let [_, video, audio] = offer.sections.as_slice() else { panic!() };
    for section in [video, audio] {
        assert_eq!(section.direction, Direction::SendOnly);
        assert_eq!(section.transport.setup, Some(Setup::ActPass));
        let msid = section.msid.as_ref().unwrap();
        assert_eq!(msid.stream, PUBLISHER);
        assert_eq!(msid.track, format!("t{}", section.ssrcs[0].ssrc));
        for source in &section.ssrcs {
            assert_eq!(source.cname.as_deref(), Some("0011223344556677"));
            assert_eq!(source.msid.as_ref(), Some(msid));
        }
    }
    assert_eq!(video.ssrc_groups[0].semantics, "FID");
    assert_eq!(video.ssrc_groups[0].ssrcs, video.ssrcs.iter().map(|source| source.ssrc).collect::<Vec<_>>());
    assert_eq!((video.ssrcs.len(), audio.ssrcs.len()), (2, 1));
    assert_eq!(numbers(video), [96, 97, 98, 99, 100, 101, 102, 103, 104, 105, 106, 107, 45, 46]);
    assert_eq!(video.payloads[0].rtcp_fb, ["nack", "nack pli", "ccm fir", "transport-cc"]);
    assert!(!text.contains("goog-remb"));
    let uris = |section: &Section| {
        section.extmap.iter().filter_map(|extmap| ExtensionKind::from_uri(&extmap.uri)).collect::<Vec<_>>()
    };
    use ExtensionKind::{AudioLevel, Mid, PlayoutDelay, TransportCc, VideoContentType, VideoOrientation};
    assert_eq!(uris(audio), [Mid, TransportCc, AudioLevel]);
    assert_eq!(uris(video), [Mid, TransportCc, VideoOrientation, PlayoutDelay, VideoContentType]);
    assert!(session.plan().egress.is_empty());
}

#[test]
fn numbers_of_the_session_are_reused_when_a_client_pushes_and_pulls() {
    let (mut session, mut client) = (session(), Client::new(Style::Firefox));
    client.add(MediaKind::Audio, Direction::SendOnly);
    client.add(MediaKind::Video, Direction::SendOnly);
    push_all(&mut session, &mut client, 1);
    let video = pull(&mut session, &mut client, source(7, Style::Chromium, MediaKind::Video));
    let audio = pull(&mut session, &mut client, source(8, Style::Chromium, MediaKind::Audio));
    let plan = session.plan();
    let map = |mid: &str| &plan.egress.iter().find(|egress| egress.mid == mid).unwrap().payload_types;
    let numbers = |map: &[PayloadMap]| map.iter().map(|map| (map.from, map.to, map.rtx)).collect::<Vec<_>>();
    // VP8, VP9 and the matching H264 and AV1 by the client's own numbers; the rest by the publisher's, if free.
    assert_eq!(
        numbers(map(&video)),
        [
            (96, 120, Some(124)),
            (98, 121, Some(125)),
            (100, 96, Some(97)),
            (102, 102, Some(103)),
            (104, 104, Some(105)),
            (106, 126, Some(127)),
            (45, 99, Some(100)),
        ]
    );
    // Redundancy is unpacked for a client that takes none.
    assert_eq!(numbers(map(&audio)), [(111, 109, None), (63, 109, None), (0, 0, None), (8, 8, None)]);
    let ids = |mid: &str| plan.egress.iter().find(|egress| egress.mid == mid).unwrap().extensions.clone();
    // The client gave mid and audio level their ids, and showed no transport-wide numbers for audio; they have an
    // id by the video section, which it then has in all.
    assert!(ids(&audio).contains(&(3, ExtensionKind::Mid)));
    assert!(ids(&audio).contains(&(1, ExtensionKind::AudioLevel)));
    assert_eq!(ids(&video)[0], (3, ExtensionKind::Mid));
    assert!(ids(&video).contains(&(7, ExtensionKind::TransportCc)));
}

#[test]
fn every_number_stands_once_in_a_section() {
    for viewer in [Style::Chromium, Style::Firefox, Style::Aiortc] {
        for publisher in [Style::Chromium, Style::Firefox, Style::Aiortc] {
            let (mut session, mut client) = (session(), Client::new(viewer));
            client.add(MediaKind::Video, Direction::SendOnly);
            push_all(&mut session, &mut client, 1);
            session.bind_remote(source(2, publisher, MediaKind::Video), Place::Offered).unwrap();
            let offer = parse(&session.create_offer());
            let mut unique = numbers(&offer.sections[1]);
            let count = unique.len();
            unique.sort_unstable();
            unique.dedup();
            assert_eq!(unique.len(), count, "{viewer:?} {publisher:?}");
            for payload in &offer.sections[0].payloads {
                let same = offer.sections[1].payloads.iter().find(|other| other.pt == payload.pt);
                assert!(same.is_none_or(|same| same.name == payload.name && same.fmtp == payload.fmtp));
            }
            session.client_answer(&client.answer(&offer.to_string())).unwrap();
            assert_eq!(session.plan().egress.len(), 1);
        }
    }
}

#[test]
fn a_refused_section_ends_its_pull() {
    let (mut session, mut client) = (session(), Client::new(Style::Chromium));
    let video = session.bind_remote(source(1, Style::Chromium, MediaKind::Video), Place::Offered).unwrap();
    let audio = session.bind_remote(source(2, Style::Chromium, MediaKind::Audio), Place::Offered).unwrap();
    let offer = session.create_offer();
    let answer = client.answer_if(&offer, |section| section.mid != video);
    assert_eq!(session.client_answer(&answer).unwrap().rejected, std::slice::from_ref(&video));
    assert!(session.section_state(&video).unwrap().stopped);
    let plan = session.plan();
    assert_eq!(plan.egress.len(), 1);
    assert_eq!(plan.egress[0].mid, audio);
}

#[test]
fn a_pull_without_common_codec_ends_with_the_answer() {
    let (mut session, mut client) = (session(), Client::new(Style::Aiortc));
    let mut vp9 = source(1, Style::Chromium, MediaKind::Video);
    vp9.media.codecs.retain(|codec| codec.codec == crate::rtp::Codec::Vp9);
    let mid = session.bind_remote(vp9, Place::Offered).unwrap();
    let answer = client.answer(&session.create_offer());
    let summary = session.client_answer(&answer).unwrap();
    assert_eq!((summary.rejected, summary.unplayable), (vec![mid.clone()], vec![mid]));
    assert!(session.plan().egress.is_empty());
}

#[test]
fn a_client_that_knows_a_larger_profile_alone_gets_the_stream() {
    let high = "packetization-mode=1;profile-level-id=640028";
    let mut stream = source(1, Style::Aiortc, MediaKind::Video);
    stream.media.codecs.retain(|codec| codec.codec == crate::rtp::Codec::H264);
    stream.media.codecs.truncate(1);
    stream.media.codecs[0].fmtp = Some(high.to_owned());
    let from = stream.media.codecs[0].pt;
    // We offer: as Debian's Chromium does, it refuses High by its own name.
    let (mut first, mut client) = (session(), Client::new(Style::Chromium));
    let mid = first.bind_remote(stream.clone(), Place::Offered).unwrap();
    let answer = client.answer(&first.create_offer());
    let mut answer = parse(&answer);
    let section = answer.sections.iter_mut().find(|section| section.mid == mid).unwrap();
    let is_high = |payload: &crate::sdp::Payload| payload.fmtp.as_deref() == Some(high);
    let refused = section.payloads.iter().find(|payload| is_high(payload)).unwrap().pt;
    section.payloads.retain(|payload| payload.pt != refused && payload.rtx_for() != Some(refused));
    assert_eq!(first.client_answer(&answer.to_string()).unwrap().rejected, Vec::<String>::new());
    let map = &first.plan().egress[0].payload_types;
    assert_eq!((map.len(), map[0].from, map[0].to != refused), (1, from, true));
    // The client offers.
    let (mut session, mut client) = (session(), Client::new(Style::Chromium));
    client.add(MediaKind::Video, Direction::RecvOnly);
    let text = client.offer().replace("profile-level-id=42e01f", "profile-level-id=f4001f");
    session.client_offer(&text, &mut || credentials("x")).unwrap();
    session.bind_remote(stream, Place::FirstFree).unwrap();
    session.answer();
    let map = &session.plan().egress[0].payload_types;
    assert_eq!(map.iter().map(|entry| (entry.from, entry.to)).collect::<Vec<_>>(), [(from, 106)]);
}

#[test]
fn an_answer_must_fit_the_offer() {
    let (mut session, mut client) = (session(), Client::new(Style::Chromium));
    let error = session.client_answer("").unwrap_err();
    assert_eq!(
        (error.code(), error.subcode()),
        ("invalid_session_description", "invalid_modification_stable")
    );
    session.bind_remote(source(1, Style::Chromium, MediaKind::Video), Place::Offered).unwrap();
    let answer = client.answer(&session.create_offer());
    let (short, _) = answer.split_once("m=video").unwrap();
    assert_eq!(session.clone().client_answer(short).unwrap_err().subcode(), "m_line_mismatch");
    let renamed = answer.replace("a=mid:0", "a=mid:5");
    assert_eq!(session.clone().client_answer(&renamed).unwrap_err().subcode(), "m_line_mismatch");
    let passive = answer.replace("setup:active", "setup:passive");
    let mut begun = session.clone();
    begun.client_answer(&passive).unwrap();
    assert_eq!(begun.plan().transport.dtls.part, DtlsPart::Begins(SrtpOffer::All));
    session.client_answer(&answer).unwrap();
    assert_eq!(session.client_answer(&answer).unwrap_err().subcode(), "invalid_modification_stable");
}

#[test]
fn a_second_pull_waits_for_the_first_answer() {
    let mut session = session();
    session.bind_remote(source(1, Style::Chromium, MediaKind::Video), Place::Offered).unwrap();
    session.create_offer();
    let refused = session.bind_remote(source(2, Style::Chromium, MediaKind::Video), Place::Offered);
    assert_eq!(refused, Err(BindError::OfferPending));
    assert_eq!(session.add_offered_local(MediaKind::Audio, false), Err(BindError::OfferPending));
}

#[test]
fn a_client_that_offers_to_receive_gets_its_tracks_in_order() {
    let (mut session, mut client) = (session(), Client::new(Style::Chromium));
    for _ in 0..2 {
        client.add(MediaKind::Audio, Direction::RecvOnly);
        client.add(MediaKind::Video, Direction::RecvOnly);
    }
    offer(&mut session, &client);
    let bind = |session: &mut Negotiation, id, kind| {
        session.bind_remote(source(id, Style::Firefox, kind), Place::FirstFree)
    };
    assert_eq!(bind(&mut session, 1, MediaKind::Video).as_deref(), Ok("1"));
    assert_eq!(bind(&mut session, 2, MediaKind::Audio).as_deref(), Ok("0"));
    assert_eq!(bind(&mut session, 3, MediaKind::Video).as_deref(), Ok("3"));
    assert_eq!(bind(&mut session, 4, MediaKind::Video), Err(BindError::NoSection));
    let answer = answer(&mut session, &mut client);
    let directions: Vec<_> = answer.sections.iter().map(|section| section.direction).collect();
    use Direction::{Inactive, SendOnly};
    assert_eq!(directions, [SendOnly, SendOnly, Inactive, SendOnly]);
    assert_eq!(answer.sections[1].ssrcs.len(), 2);
    let plan = session.plan();
    assert_eq!(plan.egress.len(), 3);
    let video = plan.egress.iter().find(|egress| egress.mid == "1").unwrap();
    assert_eq!((video.payload_types[0].from, video.payload_types[0].to), (120, 96));
    assert_eq!(
        (video.ssrc, video.rtx_ssrc),
        (answer.sections[1].ssrcs[0].ssrc, Some(answer.sections[1].ssrcs[1].ssrc))
    );
    assert_eq!(video.origin, ShardId(3));
}

#[test]
fn an_existing_transceiver_takes_another_track_without_a_description() {
    let (mut session, mut client) = (session(), Client::new(Style::Chromium));
    let mid = pull(&mut session, &mut client, source(1, Style::Chromium, MediaKind::Video));
    let before = session.plan().egress[0].clone();
    let next = source(2, Style::Firefox, MediaKind::Video);
    session.switch_source(&mid, next.clone()).unwrap();
    assert!(!session.needs_offer());
    let after = session.plan().egress[0].clone();
    assert_eq!((after.publication, after.ssrc), (PublicationId(2), before.ssrc));
    assert_eq!((after.payload_types[0].from, after.payload_types[0].to), (120, 96));
    assert_eq!(
        session.switch_source(&mid, source(3, Style::Chromium, MediaKind::Audio)),
        Err(BindError::KindMismatch)
    );
    assert_eq!(session.unbind_remote(&mid), Some(PublicationId(2)));
    assert!(session.plan().egress.is_empty());
    assert_eq!(session.switch_source(&mid, next.clone()), Err(BindError::NoSection));
    // What was closed comes back under another source, which takes an offer.
    assert_eq!(session.bind_remote(next, Place::Existing(mid.clone())), Ok(mid.clone()));
    assert!(session.needs_offer() && session.plan().egress.is_empty());
    let offer = session.create_offer();
    session.client_answer(&client.answer(&offer)).unwrap();
    let again = session.plan().egress[0].clone();
    assert_eq!((again.mid.as_str(), again.publication), (mid.as_str(), PublicationId(2)));
    assert_ne!(again.ssrc, before.ssrc);
    // While it receives, another track takes its place at once.
    let other = source(3, Style::Chromium, MediaKind::Video);
    session.bind_remote(other, Place::Existing(mid)).unwrap();
    assert!(!session.needs_offer());
    let last = session.plan().egress[0].clone();
    assert_eq!((last.ssrc, last.publication), (again.ssrc, PublicationId(3)));
}

#[test]
fn a_preference_changes_without_a_description() {
    let (mut session, mut client) = (session(), Client::new(Style::Chromium));
    let mid = pull(&mut session, &mut client, source(1, Style::Chromium, MediaKind::Video));
    let preference = LayerPreference { preferred_rid: Some("h".to_owned()), ..LayerPreference::default() };
    assert!(session.set_preference(&mid, preference.clone()));
    assert_eq!(session.plan().egress[0].preference, preference);
    assert!(!session.set_preference("9", preference) && !session.needs_offer());
}

#[test]
fn a_two_way_transceiver_of_the_client_needs_an_offer_to_receive_later() {
    let (mut session, mut client) = (session(), Client::new(Style::Chromium));
    let mid = client.add(MediaKind::Audio, Direction::SendRecv);
    push_all(&mut session, &mut client, 1);
    let other = source(2, Style::Firefox, MediaKind::Audio);
    assert_eq!(session.bind_remote(other, Place::Existing(mid.clone())), Ok(mid.clone()));
    assert!(session.needs_offer() && session.plan().egress.is_empty());
    let offer = session.create_offer();
    assert_eq!(section(&parse(&offer), &mid).direction, Direction::SendRecv);
    session.client_answer(&client.answer(&offer)).unwrap();
    let plan = session.plan();
    assert_eq!((plan.egress.len(), plan.ingress.len()), (1, 1));
    assert_eq!(plan.ingress[0].publication, Some(PublicationId(1)));
}

#[test]
fn we_can_offer_to_receive_a_track() {
    let (mut session, mut client) = (session(), Client::new(Style::Chromium));
    let mid = session.add_offered_local(MediaKind::Video, false).unwrap();
    assert!(session.bind_local(&mid, PublicationId(1)).unwrap().codecs.is_empty());
    let text = session.create_offer();
    let offer = parse(&text);
    assert_eq!(section(&offer, &mid).direction, Direction::RecvOnly);
    assert!(!text.contains("a=ssrc"));
    session.client_answer(&client.answer(&text)).unwrap();
    let plan = session.plan();
    assert_eq!(
        (plan.ingress[0].mid.as_str(), plan.ingress[0].publication),
        (mid.as_str(), Some(PublicationId(1)))
    );
    assert_eq!(session.published_media(&mid).unwrap().codecs.len(), 4);
}

#[test]
fn a_two_way_section_of_ours_takes_a_pull_without_another_offer() {
    let (mut session, mut client) = (session(), Client::new(Style::Chromium));
    let mid = session.add_offered_local(MediaKind::Audio, true).unwrap();
    session.bind_local(&mid, PublicationId(1)).unwrap();
    let offer = session.create_offer();
    let announced = section(&parse(&offer), &mid).ssrcs[0].ssrc;
    session.client_answer(&client.answer(&offer)).unwrap();
    assert_eq!(session.section_state(&mid).map(|state| (state.sends, state.receives)), Some((true, true)));
    let echo =
        session.bind_remote(source(2, Style::Chromium, MediaKind::Audio), Place::Existing(mid.clone()));
    assert_eq!(echo, Ok(mid.clone()));
    assert!(!session.needs_offer());
    assert_eq!(session.plan().egress[0].ssrc, announced);
    session.unbind_local(&mid);
    session.unbind_remote(&mid);
    let state = session.section_state(&mid).unwrap();
    assert_eq!((state.local, state.remote), (None, None));
}

#[test]
fn a_client_that_refuses_to_send_is_told() {
    let (mut session, mut client) = (session(), Client::new(Style::Chromium));
    let mid = session.add_offered_local(MediaKind::Audio, false).unwrap();
    session.bind_local(&mid, PublicationId(1)).unwrap();
    let answer = client.answer(&session.create_offer()).replace("a=sendonly", "a=inactive");
    assert_eq!(session.client_answer(&answer).unwrap().rejected, std::slice::from_ref(&mid));
    assert_eq!(session.section_state(&mid).unwrap().local, None);
    assert_eq!(session.plan().ingress, []);
}

#[test]
fn the_lines_of_a_session_are_limited() {
    let mut session = session();
    let source = source(1, Style::Aiortc, MediaKind::Audio);
    for _ in 1..crate::sdp::SECTIONS_MAX {
        session.bind_remote(source.clone(), Place::Offered).unwrap();
    }
    assert_eq!(session.bind_remote(source, Place::Offered), Err(BindError::Limit));
    assert_eq!(parse(&session.create_offer()).sections.len(), crate::sdp::SECTIONS_MAX);
}
