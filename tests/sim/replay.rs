//! A scenario goes the same way whenever it is run with the same seed.

use std::net::SocketAddr;
use std::time::Duration;

use ringcast::metrics::shard::Wake;
use ringcast::rtp::RtpView;
use ringcast_bench::source::Media;

use crate::harness::link::LinkSpec;
use crate::harness::{Sim, Way};

const SECOND: Duration = Duration::from_secs(1);

/// What a datagram shows to those who have no keys, which are new each time: all of a check; of media the header; of RTCP
/// the first words; of DTLS that it is some, since the length of a signature varies.
fn plain(datagram: &[u8]) -> Vec<u8> {
    let shown = match datagram.first() {
        Some(0..4) => datagram.len(),
        Some(128..192) if (192..224).contains(&datagram[1]) => 8,
        Some(128..192) => RtpView::parse(datagram).unwrap().header_len(),
        _ => return datagram[..1].to_vec(),
    };
    [&datagram[..shown], &datagram.len().to_be_bytes()].concat()
}

type Departure = (Duration, SocketAddr, Vec<u8>);

/// A call with everything that is drawn by somebody: new sessions, streams, losses, repetitions, checks of ours.
fn call(seed: u64) -> (Vec<Departure>, Vec<u64>) {
    let mut sim = Sim::on_one_port(2, seed, false);
    sim.departed = Some(Vec::new());
    let lossy = Way::both(LinkSpec::clean(20).with_loss(0.05).with_jitter(5));
    // One stream each: an engine walks over several in an order that is new each time.
    let tracks: Vec<_> = [Media::audio(), Media::video(30, 150, 900)]
        .into_iter()
        .flat_map(|media| {
            let publisher = sim.join(0, lossy);
            sim.publish(publisher, &[media])
        })
        .collect();
    let viewers = [0, 1, 1].map(|shard| sim.join(shard, lossy));
    for (viewer, track) in viewers.into_iter().zip([0, 1, 1]) {
        sim.subscribe(viewer, &[&tracks[track]]);
    }
    sim.run_for(3 * SECOND);
    sim.rebind(viewers[0], "10.9.9.5:7000".parse().unwrap());
    sim.hang_up(viewers[2]);
    sim.run_for(SECOND / 5);
    sim.come_back(viewers[2]);
    sim.run_for(8 * SECOND);
    sim.leave(viewers[1]);
    sim.run_for(SECOND);
    let departed = sim.departed.take().unwrap();
    let departed = departed.into_iter().map(|(at, to, datagram)| (at - sim.base, to, plain(&datagram)));
    let wakes = [Wake::Engine, Wake::Reports, Wake::Keyframe, Wake::Layers, Wake::Silence, Wake::Expiry];
    (departed.collect(), wakes.map(|wake| sim.counted(|all| all.wakes.of(wake))).into())
}

#[test]
fn the_same_seed_gives_the_same_datagrams_at_the_same_times_and_another_seed_others() {
    let (first, wakes) = call(401);
    let (again, wakes_again) = call(401);
    let differs = first.iter().zip(&again).position(|(one, other)| one != other);
    if let Some(at) = differs {
        panic!("datagram {at} of {}: {:?} and {:?}", first.len(), first[at], again[at]);
    }
    assert_eq!(first.len(), again.len());
    assert_eq!(wakes, wakes_again);
    assert!(first.len() > 4_000, "{}", first.len());
    let streams = |departed: &[Departure]| -> Vec<Vec<u8>> {
        departed.iter().filter(|(.., shown)| shown[0] >= 128).map(|(.., shown)| shown.clone()).collect()
    };
    let (other, _) = call(402);
    assert_ne!(streams(&first)[..100], streams(&other)[..100]);
}

#[test]
fn timers_say_what_they_were_for() {
    let mut sim = Sim::new(1, 403);
    let wakes = |sim: &mut Sim, wake| sim.counted(|all| all.wakes.of(wake));
    sim.open(0);
    sim.run_for(61 * SECOND);
    assert_eq!((wakes(&mut sim, Wake::Expiry), sim.counted(|all| all.wakes.total())), (1, 1));
    let publisher = sim.join(0, Way::clean(10));
    let track = sim.publish(publisher, &[Media::video(30, 60, 300)]).remove(0);
    let viewer = sim.join(0, Way::clean(10));
    sim.subscribe(viewer, &[&track]);
    sim.run_for(10 * SECOND);
    let reports = wakes(&mut sim, Wake::Reports);
    assert!(
        (1..=20).contains(&reports),
        "two sessions, once a second each and along with all else: {reports}"
    );
    assert_eq!(wakes(&mut sim, Wake::Silence), 0);
    let asked = wakes(&mut sim, Wake::Keyframe);
    // The publisher goes silent: it is asked for the keyframe that does not come, and then said to be idle.
    sim.pause_sources();
    let (now, ssrc) = (sim.now, sim.received(viewer, &track).unwrap().ssrc);
    sim.peer_mut(viewer).client.request_keyframe(now, ssrc);
    sim.run_for(40 * SECOND);
    assert!(wakes(&mut sim, Wake::Keyframe) > asked);
    assert!(wakes(&mut sim, Wake::Silence) >= 1);
    assert_eq!(wakes(&mut sim, Wake::Expiry), 1, "the clients are there");
}
