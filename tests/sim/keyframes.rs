//! When publishers are asked for keyframes, and how soon subscribers have one.

use std::time::{Duration, Instant};

use ringcast::shard::command::Event;
use ringcast_bench::source::Media;

use crate::harness::{PeerKey, Sim, Track, Way};

const SECOND: Duration = Duration::from_secs(1);
/// Time to the next frame, and what engines add before they send feedback.
const FRAME: Duration = Duration::from_millis(34);

fn publisher(sim: &mut Sim, delay_ms: u64) -> (PeerKey, Track) {
    let publisher = sim.join(0, Way::clean(delay_ms));
    let track = sim.publish(publisher, &[Media::video(30, 120, 900)]).remove(0);
    (publisher, track)
}

fn requests(sim: &Sim, publisher: PeerKey) -> Vec<Instant> {
    let totals = sim.peer(publisher).client.published()[0].source.totals().next().unwrap();
    totals.keyframe_requests.clone()
}

/// From the moment at which the subscription could begin to the first packet of a keyframe.
fn time_to_keyframe(sim: &Sim, subscriber: PeerKey, ready: Instant, track: &Track) -> Duration {
    let stream = sim.received(subscriber, track).expect("no packet");
    let first = stream.log.iter().filter(|arrival| arrival.stamp.keyframe).map(|arrival| arrival.at).min();
    first.expect("no keyframe").saturating_duration_since(ready)
}

#[test]
fn late_subscriber_gets_keyframe_within_one_rtt() {
    for shards in [1, 3] {
        for (publisher_ms, subscriber_ms) in [(10, 10), (80, 20), (20, 80)] {
            let mut sim = Sim::new(shards, 71);
            let (_, track) = publisher(&mut sim, publisher_ms);
            sim.run_for(3 * SECOND);
            let subscriber = sim.join(shards - 1, Way::clean(subscriber_ms));
            sim.subscribe(subscriber, &[&track]);
            sim.run_for(3 * SECOND);
            let session = sim.peer(subscriber).session;
            let ready = sim.told(|event| matches!(event, Event::Connected(id) if *id == session))[0];
            let rtts = Duration::from_millis(2 * (publisher_ms + subscriber_ms));
            let took = time_to_keyframe(&sim, subscriber, ready, &track);
            assert!(took <= rtts + FRAME, "{took:?} at {publisher_ms} and {subscriber_ms} ms");
        }
    }
}

#[test]
fn a_further_track_of_a_connected_session_has_its_keyframe_within_one_rtt() {
    let mut sim = Sim::new(1, 72);
    let (_, first) = publisher(&mut sim, 30);
    let (_, second) = publisher(&mut sim, 30);
    let subscriber = sim.join(0, Way::clean(20));
    sim.subscribe(subscriber, &[&first]);
    sim.run_for(3 * SECOND);
    sim.subscribe(subscriber, &[&second]);
    let ready = sim.now;
    sim.run_for(SECOND);
    let took = time_to_keyframe(&sim, subscriber, ready, &second);
    assert!(took <= Duration::from_millis(100) + FRAME, "{took:?}");
}

/// More requests than two within 300 ms are ignored by publishers, or cost them their bandwidth.
fn assert_spaced(requests: &[Instant]) {
    for window in requests.windows(3) {
        let span = window[2].duration_since(window[0]);
        assert!(span > Duration::from_millis(300), "three requests within {span:?}");
    }
}

#[test]
fn twenty_late_joiners_at_once_cost_the_publisher_two_requests_at_most() {
    for shards in [1, 3] {
        let mut sim = Sim::new(shards, 73);
        let (source, track) = publisher(&mut sim, 30);
        let early = sim.join(0, Way::clean(10));
        sim.subscribe(early, &[&track]);
        sim.run_for(3 * SECOND);
        let before = requests(&sim, source).len();
        let joiners: Vec<PeerKey> = (0..20)
            .map(|number| {
                let joiner = sim.join(number % shards, Way::clean(10));
                sim.subscribe(joiner, &[&track]);
                joiner
            })
            .collect();
        sim.run_for(2 * SECOND);
        for joiner in joiners {
            assert!(sim.received(joiner, &track).is_some());
        }
        let all = requests(&sim, source);
        assert_spaced(&all);
        assert!((1..=2).contains(&(all.len() - before)), "{}", all.len() - before);
    }
}

#[test]
fn joiners_that_trickle_in_are_served_without_flooding_the_publisher() {
    let mut sim = Sim::new(3, 74);
    let (source, track) = publisher(&mut sim, 30);
    sim.run_for(2 * SECOND);
    let joiners: Vec<PeerKey> = (0..30)
        .map(|number| {
            let joiner = sim.join(number % 3, Way::clean(10));
            sim.subscribe(joiner, &[&track]);
            sim.run_for(Duration::from_millis(37));
            joiner
        })
        .collect();
    sim.run_for(2 * SECOND);
    assert_spaced(&requests(&sim, source));
    for joiner in joiners {
        let session = sim.peer(joiner).session;
        let ready = sim.told(|event| matches!(event, Event::Connected(id) if *id == session))[0];
        let took = time_to_keyframe(&sim, joiner, ready, &track);
        // One that just missed a keyframe waits until the publisher may be asked again.
        assert!(took <= Duration::from_millis(400 + 80) + FRAME, "{took:?}");
    }
}

#[test]
fn a_keyframe_request_that_is_lost_is_repeated_until_the_keyframe_comes() {
    let mut sim = Sim::new(1, 75);
    let (source, track) = publisher(&mut sim, 10);
    sim.run_for(2 * SECOND);
    let subscriber = sim.join(0, Way::clean(10));
    sim.subscribe(subscriber, &[&track]);
    sim.peer_mut(source).down.cut = true;
    sim.run_for(Duration::from_millis(1500));
    assert!(sim.received(subscriber, &track).is_none());
    sim.peer_mut(source).down.cut = false;
    let healed = sim.now;
    sim.run_for(SECOND);
    let took = time_to_keyframe(&sim, subscriber, healed, &track);
    assert!(took <= Duration::from_millis(400 + 30) + FRAME, "{took:?}");
}

#[test]
fn a_subscribers_own_request_reaches_the_publisher_once() {
    let mut sim = Sim::new(3, 76);
    let (source, track) = publisher(&mut sim, 10);
    let subscriber = sim.join(2, Way::clean(10));
    sim.subscribe(subscriber, &[&track]);
    sim.run_for(3 * SECOND);
    let before = requests(&sim, source).len();
    let ssrc = sim.received(subscriber, &track).unwrap().ssrc;
    let now = sim.now;
    sim.peer_mut(subscriber).client.request_keyframe(now, ssrc);
    sim.run_for(2 * SECOND);
    assert_eq!(requests(&sim, source).len() - before, 1);
}
