//! The synthetic descriptions against the real ingress engine, built as sessions build it.

use std::sync::Arc;

use str0m::change::SdpOffer;
use str0m::config::CryptoProvider;
use str0m::format::{Codec, FormatParams};
use str0m::media::Frequency;
use str0m::{IceCreds, Rtc, RtcConfig};

use super::*;
use crate::plan::SessionPlan;
use crate::session::dialect::VIDEO_DISGUISES;

/// One engine, fed with every plan of a session.
pub(super) struct Engine {
    provider: Arc<CryptoProvider>,
    rtc: Rtc,
    generation: u32,
}

#[expect(clippy::disallowed_methods, reason = "the engine wants some time to begin with; nothing here waits")]
fn build(provider: &Arc<CryptoProvider>) -> Rtc {
    let mut config = RtcConfig::new()
        .set_ice_lite(true)
        .set_rtp_mode(true)
        .set_crypto_provider(provider.clone())
        .set_local_ice_credentials(IceCreds { ufrag: "AServer0".to_owned(), pass: "p".repeat(24) })
        .clear_codecs()
        .enable_opus(true, true)
        .enable_pcmu(true, false)
        .enable_pcma(true, false);
    for disguise in 0..VIDEO_DISGUISES {
        let format = FormatParams { profile_id: Some(u32::from(disguise)), ..FormatParams::default() };
        let (pt, rtx) = ((96 + disguise).into(), (112 + disguise).into());
        config.codec_config().add_config(pt, Some(rtx), Codec::Vp9, Frequency::NINETY_KHZ, None, format);
    }
    config.build(std::time::Instant::now())
}

impl Engine {
    pub(super) fn new() -> Self {
        let provider = Arc::new(str0m::crypto::from_feature_flags());
        Self { rtc: build(&provider), provider, generation: 0 }
    }

    /// Feeds the plan and checks that the engine takes every section and payload type of it.
    pub(super) fn feed(&mut self, session: &Negotiation) {
        let plan = session.plan();
        if plan.transport.generation != self.generation {
            self.generation = plan.transport.generation;
            self.rtc = build(&self.provider);
        }
        // Any number of times.
        for _ in 0..2 {
            let offer = SdpOffer::from_sdp_string(&plan.transport.ingress_offer).unwrap();
            self.rtc.sdp_api().accept_offer(offer).unwrap();
            self.check(&plan);
        }
    }

    fn check(&self, plan: &SessionPlan) {
        let offer = SessionDescription::parse(&plan.transport.ingress_offer).unwrap();
        let config = self.rtc.codec_config().params();
        for ingress in &plan.ingress {
            let media = self.rtc.media(ingress.name.as_str().into()).unwrap();
            assert!(!media.disabled() && media.direction().is_receiving(), "{} is refused", ingress.mid);
            let section = section(&offer, &ingress.name);
            let layers = format!("{:?}", media.rids_rx());
            for name in &ingress.layer_names {
                assert!(layers.contains(&format!("({name})")), "layer {name} is not among {layers}");
            }
            for codec in &ingress.codecs {
                let pt = codec.payload_type;
                if codec.codec == crate::rtp::Codec::Red {
                    assert!(
                        config.iter().any(|known| known.red() == Some(pt.into())),
                        "{pt} is no redundancy"
                    );
                    continue;
                }
                let known: Vec<_> = config.iter().filter(|known| known.pt() == pt.into()).collect();
                let [known] = known.as_slice() else { panic!("{pt} of {}: {known:?}", ingress.mid) };
                assert_eq!(known.resend(), section.rtx_of(pt).map(Into::into), "retransmissions of {pt}");
                if ingress.kind == MediaKind::Video {
                    let offered = section.payloads.iter().find(|payload| payload.pt == pt).unwrap();
                    let disguise = known.spec().format.profile_id.unwrap();
                    assert_eq!(offered.fmtp, Some(format!("profile-id={disguise}")));
                }
            }
        }
    }
}

#[test]
fn a_whole_life_is_accepted() {
    for style in [Style::Chromium, Style::Firefox, Style::Aiortc] {
        let (mut session, mut client, mut engine) = (session(), Client::new(style), Engine::new());
        let audio = client.add(MediaKind::Audio, Direction::SendOnly);
        let video = client.add(MediaKind::Video, Direction::SendOnly);
        push_all(&mut session, &mut client, 1);
        engine.feed(&session);
        // A simulcast, and data channels.
        let layered = client.add(MediaKind::Video, Direction::SendOnly);
        client.line(&layered).rids = vec!["f", "h", "q"];
        client.add_application();
        push_all(&mut session, &mut client, 10);
        engine.feed(&session);
        // A pull changes nothing for the engine.
        let pulled = pull(&mut session, &mut client, source(99, Style::Chromium, MediaKind::Video));
        engine.feed(&session);
        // Close, recycle, ten times, the kinds taking turns.
        let mut last = video;
        for round in 0..10 {
            client.stop(&last);
            push_all(&mut session, &mut client, 0);
            engine.feed(&session);
            let kind = if round % 2 == 0 { MediaKind::Audio } else { MediaKind::Video };
            last = client.add(kind, Direction::SendOnly);
            push_all(&mut session, &mut client, 20 + round);
            engine.feed(&session);
        }
        // ICE restart.
        client.ufrag = "restarted".to_owned();
        push_all(&mut session, &mut client, 0);
        engine.feed(&session);
        // Close by force and push under the same mid.
        session.unbind_local(&last);
        engine.feed(&session);
        push_all(&mut session, &mut client, 50);
        engine.feed(&session);
        // The first line closes: a new generation. Then it is refilled: another one.
        client.stop(&audio);
        client.stop(&pulled);
        push_all(&mut session, &mut client, 0);
        engine.feed(&session);
        assert_eq!(engine.generation, 1);
        client.add(MediaKind::Audio, Direction::SendOnly);
        client.ufrag = "moved".to_owned();
        push_all(&mut session, &mut client, 60);
        engine.feed(&session);
        assert_eq!(engine.generation, 2);
        client.add(MediaKind::Video, Direction::SendOnly);
        push_all(&mut session, &mut client, 70);
        engine.feed(&session);
        assert_eq!(session.plan().ingress.iter().filter(|ingress| ingress.publication.is_some()).count(), 4);
    }
}

#[test]
fn sessions_that_only_receive_are_accepted() {
    let (mut session, mut client, mut engine) = (session(), Client::new(Style::Chromium), Engine::new());
    for round in 0..3 {
        let mid = pull(&mut session, &mut client, source(round, Style::Firefox, MediaKind::Video));
        engine.feed(&session);
        client.stop(&mid);
        push_all(&mut session, &mut client, 0);
        engine.feed(&session);
    }
    let mid = client.add(MediaKind::Video, Direction::SendOnly);
    push_all(&mut session, &mut client, 9);
    engine.feed(&session);
    assert!(session.section_state(&mid).unwrap().receives);
}

#[test]
fn a_session_in_which_all_stopped_is_accepted() {
    let (mut session, mut client, mut engine) = (session(), Client::new(Style::Firefox), Engine::new());
    let mid = client.add(MediaKind::Video, Direction::SendOnly);
    push_all(&mut session, &mut client, 1);
    engine.feed(&session);
    client.stop(&mid);
    push_all(&mut session, &mut client, 0);
    engine.feed(&session);
    client.add(MediaKind::Video, Direction::SendOnly);
    client.ufrag = "again".to_owned();
    push_all(&mut session, &mut client, 2);
    engine.feed(&session);
    assert_eq!(engine.generation, 1);
}

#[test]
fn a_section_that_stops_while_another_begins_is_accepted() {
    let (mut session, mut client, mut engine) = (session(), Client::new(Style::Chromium), Engine::new());
    client.add(MediaKind::Audio, Direction::SendOnly);
    let mut last = client.add(MediaKind::Video, Direction::SendOnly);
    push_all(&mut session, &mut client, 1);
    engine.feed(&session);
    for round in 0..5 {
        client.stop(&last);
        last = client.add(MediaKind::Video, Direction::SendOnly);
        push_all(&mut session, &mut client, 10 + round);
        engine.feed(&session);
    }
    assert!(client.lines.len() <= 3);
}

#[test]
fn a_track_that_we_offered_to_receive_is_accepted() {
    let (mut session, mut client, mut engine) = (session(), Client::new(Style::Firefox), Engine::new());
    let mid = session.add_offered_local(MediaKind::Video, true).unwrap();
    session.bind_local(&mid, PublicationId(1)).unwrap();
    let offer = session.create_offer();
    session.client_answer(&client.answer(&offer)).unwrap();
    engine.feed(&session);
    assert_eq!(session.plan().ingress.len(), 1);
}

#[test]
fn formats_that_a_client_adds_to_a_section_are_learnt() {
    let (mut session, mut client, mut engine) = (session(), Client::new(Style::Chromium), Engine::new());
    let mid = session.add_offered_local(MediaKind::Video, false).unwrap();
    session.bind_local(&mid, PublicationId(1)).unwrap();
    let offer = session.create_offer();
    session.client_answer(&client.answer(&offer)).unwrap();
    engine.feed(&session);
    assert_eq!(session.plan().ingress[0].codecs.len(), 4);
    // Its own offers list all that it has.
    push_all(&mut session, &mut client, 2);
    engine.feed(&session);
    assert_eq!(session.plan().ingress[0].codecs.len(), 7);
}

#[test]
fn a_number_that_the_engine_knows_otherwise_is_left_out_of_the_answer() {
    let (mut session, mut client, mut engine) = (session(), Client::new(Style::Aiortc), Engine::new());
    client.add(MediaKind::Video, Direction::SendOnly);
    push_all(&mut session, &mut client, 1);
    engine.feed(&session);
    let mid = client.add(MediaKind::Audio, Direction::SendOnly);
    let clash =
        client.offer().replace("96 9 0 8", "98 9 0 8").replace("a=rtpmap:96 opus", "a=rtpmap:98 opus");
    session.client_offer(&clash, &mut || credentials("x")).unwrap();
    session.bind_local(&mid, PublicationId(2)).unwrap();
    assert_eq!(numbers(section(&answer(&mut session, &mut client), &mid)), [0, 8]);
    engine.feed(&session);
}

#[test]
fn more_video_formats_than_the_engine_has_are_left_out_of_the_answer() {
    let (mut session, mut client, mut engine) = (session(), Client::new(Style::Aiortc), Engine::new());
    client.add(MediaKind::Video, Direction::SendOnly);
    let extra: Vec<u8> = (35..=54).collect();
    let list: String = extra.iter().map(|pt| format!(" {pt}")).collect();
    let lines: String = extra
        .iter()
        .map(|pt| format!("a=rtpmap:{pt} VP9/90000\r\na=fmtp:{pt} profile-id={pt}\r\n"))
        .collect();
    let text =
        client.offer().replace("97 98 99 100 101 102", &format!("97 98 99 100 101 102{list}")) + &lines;
    session.client_offer(&text, &mut || credentials("x")).unwrap();
    session.bind_local("0", PublicationId(1)).unwrap();
    client.accept_answer(&session.answer());
    assert_eq!(session.plan().ingress[0].codecs.len(), usize::from(VIDEO_DISGUISES));
    engine.feed(&session);
}
