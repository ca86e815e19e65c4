//! Clients whose packets name neither their section nor a source that was announced.

use std::time::Duration;

use ringcast::ids::ShardId;
use ringcast::plan::LayerPreference;
use ringcast::rtp::header::RtpView;
use ringcast_bench::source::Media;

use crate::harness::link::LinkSpec;
use crate::harness::{PeerKey, Sim, Track, Way};

const SECOND: Duration = Duration::from_secs(1);

/// The same offer without the header extension for mids and without sources.
fn unnamed(offer: String) -> String {
    let kept = offer.lines().filter(|line| !line.starts_with("a=ssrc") && !line.contains("sdes:mid"));
    kept.map(|line| format!("{line}\r\n")).collect()
}

fn call(sim: &mut Sim, publisher: Way) -> (Vec<Track>, PeerKey) {
    let publisher = sim.join(0, publisher);
    let media = [Media::audio(), Media::video(30, 150, 900)];
    let tracks = sim.push(publisher, &media, None, unnamed).unwrap();
    let viewer = sim.join(0, Way::clean(20));
    sim.subscribe(viewer, &[&tracks[0], &tracks[1]]);
    (tracks, viewer)
}

#[test]
fn payload_types_tell_packets_and_retransmissions_that_nothing_names() {
    let mut sim = Sim::new(1, 160);
    sim.captured = Some(Vec::new());
    let lossy = Way { up: LinkSpec::clean(20).with_loss(0.05), down: LinkSpec::clean(20) };
    let (tracks, viewer) = call(&mut sim, lossy);
    sim.run_for(4 * SECOND);
    sim.pause_sources();
    sim.run_for(2 * SECOND);
    let address = sim.peer(tracks[0].owner).client.address();
    for (_, from, datagram) in sim.captured.take().unwrap() {
        let view = RtpView::parse(&datagram).filter(|_| from == address);
        let mut values = view.iter().flat_map(RtpView::extensions);
        assert!(!values.any(|(_, value)| tracks.iter().any(|track| track.mid.as_bytes() == value)));
    }
    assert!(sim.peer(tracks[1].owner).up.lost > 10, "the link must have lost something");
    sim.account(viewer, &tracks[0]).assert_lost_at_most(0.1);
    sim.account(viewer, &tracks[1]).assert_lost_at_most(0.001);
}

#[test]
fn losses_are_repaired_also_when_sections_have_changed_and_among_sources_that_somebody_makes_up() {
    let mut sim = Sim::new(1, 162);
    let (tracks, viewer) = call(&mut sim, Way::clean(20));
    let owner = tracks[0].owner;
    sim.run_for(SECOND);
    let other = sim.join(0, Way::clean(20));
    let of_other = sim.publish(other, &[Media::audio()]);
    let (_, answer) = sim.offer_tracks(owner, &[&of_other[0]], &LayerPreference::default());
    sim.take_answer(owner, &unnamed(answer));
    sim.run_for(SECOND);
    sim.peer_mut(owner).up.become_another(LinkSpec::clean(20).with_loss(0.05), 7);
    sim.run_for(2 * SECOND);
    let address = sim.peer(owner).client.address();
    for ssrc in 0..1000_u32 {
        // All dynamic payload types, those of retransmissions among them.
        let mut datagram = vec![0x80, 96 + (ssrc % 32) as u8, 0, 1, 0, 0, 0, 1];
        datagram.extend(ssrc.to_be_bytes());
        datagram.resize(200, 7);
        sim.inject(ShardId(0), address, &datagram);
    }
    sim.run_for(2 * SECOND);
    sim.pause_sources();
    sim.run_for(2 * SECOND);
    assert!(sim.peer(owner).up.lost > 10, "the link must have lost something");
    sim.account(viewer, &tracks[1]).assert_lost_at_most(0.001);
    assert_eq!(sim.counted(|counters| counters.session_failures), 0);
}

#[test]
fn sources_that_somebody_makes_up_displace_nobody() {
    let mut sim = Sim::new(1, 161);
    let (tracks, viewer) = call(&mut sim, Way::clean(20));
    sim.run_for(2 * SECOND);
    let address = sim.peer(tracks[0].owner).client.address();
    for ssrc in 0..1000_u32 {
        let payload_type = tracks[ssrc as usize % 2].media.codecs[0].pt;
        let mut datagram = vec![0x80, payload_type, 0, 1, 0, 0, 0, 1];
        datagram.extend(ssrc.to_be_bytes());
        datagram.resize(200, 7);
        sim.inject(ShardId(0), address, &datagram);
    }
    sim.run_for(2 * SECOND);
    sim.pause_sources();
    sim.run_for(SECOND);
    for track in &tracks {
        sim.account(viewer, track).assert_complete();
    }
    assert_eq!(sim.counted(|counters| counters.session_failures), 0);
}
