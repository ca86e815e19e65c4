//! A session outlives its transport: clients that begin a new DTLS association keep what they have.

use std::time::Duration;

use ringcast::shard::command::Event;
use ringcast_bench::source::Media;

use crate::harness::{PeerKey, Sim, Track, Way};

const SECOND: Duration = Duration::from_secs(1);

/// Transports that a session was told to be connected by.
fn connections(sim: &Sim, key: PeerKey) -> usize {
    let session = sim.peer(key).session;
    sim.told(|event| matches!(event, Event::Connected(id) if *id == session)).len()
}

/// What the present client of a subscriber got: from a keyframe on, everything.
fn assert_flows_from_a_keyframe(sim: &mut Sim, subscriber: PeerKey, track: &Track, at_least: u64) {
    let account = sim.account(subscriber, track);
    assert!(account.expected > at_least, "{account:?}");
    assert_eq!(account.delivered, account.expected, "{account:?}");
    let stream = sim.received(subscriber, track).unwrap();
    let first = stream.log.iter().min_by_key(|arrival| arrival.seq).unwrap();
    assert!(first.stamp.keyframe && first.seq < 1 << 15, "{first:?}");
}

#[test]
fn a_subscriber_that_ends_dtls_and_begins_anew_from_another_port_goes_on() {
    for shards in [1, 3] {
        let mut sim = Sim::new(shards, 111);
        let publisher = sim.join(0, Way::clean(10));
        let track = sim.publish(publisher, &[Media::video(30, 150, 900)]).remove(0);
        let [subscriber, other] = [sim.join(shards - 1, Way::clean(10)), sim.join(0, Way::clean(10))];
        sim.subscribe(subscriber, &[&track]);
        sim.subscribe(other, &[&track]);
        sim.run_for(2 * SECOND);
        for times in 2..4 {
            sim.hang_up(subscriber);
            sim.run_for(100 * Duration::from_millis(1));
            sim.come_back(subscriber);
            sim.run_for(2 * SECOND);
            assert_eq!(connections(&sim, subscriber), times);
        }
        sim.pause_sources();
        sim.run_for(SECOND);
        assert_flows_from_a_keyframe(&mut sim, subscriber, &track, 200);
        sim.account(other, &track).assert_complete();
    }
}

#[test]
fn a_client_that_moves_its_bundle_to_a_new_section_is_given_a_new_transport() {
    for hangs_up in [false, true] {
        let mut sim = Sim::new(3, 112);
        let publisher = sim.join(0, Way::clean(10));
        let track = sim.publish(publisher, &[Media::video(30, 150, 900)]).remove(0);
        let subscriber = sim.join(2, Way::clean(10));
        sim.subscribe(subscriber, &[&track]);
        sim.run_for(2 * SECOND);
        // The client stops its only section, and refills its line with another one under other ICE credentials.
        let before = sim.peer(publisher).negotiation.plan().transport;
        sim.stop_unanswered(publisher, &track.mid);
        if hangs_up {
            sim.hang_up(publisher);
            sim.run_for(100 * Duration::from_millis(1));
        }
        sim.start_over(publisher);
        let again = sim.publish_again(publisher, &Media::video(30, 150, 900), track.publication);
        let after = sim.peer(publisher).negotiation.plan().transport;
        assert_eq!(after.generation, before.generation + 1);
        assert_ne!(after.local, before.local);
        sim.run_for(2 * SECOND);
        assert_eq!(connections(&sim, publisher), 2);
        sim.pause_sources();
        sim.run_for(SECOND);
        let stream = sim.received(subscriber, &again).unwrap();
        let reception = stream.source(again.source, 0).unwrap();
        assert!(
            reception.counters.len() > 200 && reception.counters.gaps() == 0,
            "{:?}",
            reception.counters.len()
        );
        assert_eq!(sim.peer(subscriber).client.streams().len(), 1, "it is the same stream to the subscriber");
        // Only the new transport is left.
        assert_eq!((sim.sizes().sessions, sim.sizes().paths), (2, 2));
    }
}

#[test]
fn who_begins_dtls_again_and_again_is_served_so_often_in_a_minute_and_later_again() {
    let mut sim = Sim::new(1, 113);
    let publisher = sim.join(0, Way::clean(10));
    let track = sim.publish(publisher, &[Media::video(30, 150, 900)]).remove(0);
    let [restless, other] = [sim.join(0, Way::clean(10)), sim.join(0, Way::clean(10))];
    sim.subscribe(restless, &[&track]);
    sim.subscribe(other, &[&track]);
    sim.run_for(SECOND);
    for _ in 0..20 {
        sim.hang_up(restless);
        sim.run_for(100 * Duration::from_millis(1));
        sim.come_back(restless);
        sim.run_for(400 * Duration::from_millis(1));
    }
    let served = connections(&sim, restless);
    assert!((5..=10).contains(&served), "{served}");
    assert_eq!(sim.statistics(restless).transports, 10);
    // Its checks keep the session, and one of them is served when the minute is over.
    let is_back = (0..30).any(|_| {
        sim.come_back(restless);
        sim.run_for(3 * SECOND);
        connections(&sim, restless) > served
    });
    assert!(is_back);
    sim.pause_sources();
    sim.run_for(SECOND);
    sim.account(other, &track).assert_complete();
}
