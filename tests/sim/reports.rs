//! Sender reports: who gets them, and whose they are.

use std::time::Duration;

use ringcast_bench::source::Media;

use crate::harness::forge::newest_report;
use crate::harness::{PeerKey, Sim, Track, Way};

const SECOND: Duration = Duration::from_secs(1);

/// A publisher of sound and picture whose reports get through or not, and a subscriber on each of two shards.
fn call(reports: bool) -> (Sim, PeerKey, Vec<Track>, [PeerKey; 2]) {
    let mut sim = Sim::new(2, 17);
    let publisher = sim.join(0, Way::clean(20));
    sim.peer_mut(publisher).up.without_reports = !reports;
    let tracks = sim.publish(publisher, &[Media::audio(), Media::video(30, 60, 900)]);
    let subscribers = [0, 1].map(|shard| sim.join(shard, Way::clean(20)));
    for subscriber in subscribers {
        sim.subscribe(subscriber, &tracks.iter().collect::<Vec<_>>());
    }
    (sim, publisher, tracks, subscribers)
}

/// How many reports each subscriber has got, of sound and of picture.
fn reports(sim: &Sim, subscribers: &[PeerKey]) -> Vec<Vec<u32>> {
    let of = |peer: &PeerKey| {
        let mut counts: Vec<u32> = sim.peer(*peer).down.reports.values().copied().collect();
        counts.sort_unstable();
        counts
    };
    subscribers.iter().map(of).collect()
}

#[test]
fn subscribers_get_reports_of_each_stream_whether_the_publisher_sends_any_or_not() {
    for publisher_reports in [true, false] {
        let (mut sim, publisher, tracks, subscribers) = call(publisher_reports);
        sim.run_for(8 * SECOND);
        assert_eq!(sim.peer(publisher).up.reports.is_empty(), !publisher_reports);
        for counts in reports(&sim, &subscribers) {
            assert_eq!(counts.len(), tracks.len(), "{counts:?}");
            assert!(counts.iter().all(|count| *count >= 3), "{counts:?}");
        }
    }
}

#[test]
fn reports_go_on_when_the_publisher_begins_to_send_them() {
    let (mut sim, publisher, _tracks, subscribers) = call(false);
    sim.run_for(8 * SECOND);
    let before = reports(&sim, &subscribers);
    sim.peer_mut(publisher).up.without_reports = false;
    sim.run_for(8 * SECOND);
    let after = reports(&sim, &subscribers);
    for (before, after) in before.iter().flatten().zip(after.iter().flatten()) {
        assert!(*after >= before + 3, "{before} {after}");
    }
}

/// The moment of a packet on the publisher's clock, by the newest report of a subscriber, in units of 2^-32 s.
fn moment(sim: &Sim, subscriber: PeerKey, track: &Track, counter: u64) -> Option<i128> {
    let stream = sim.received(subscriber, track)?;
    let arrival = stream.log.iter().find(|arrival| arrival.stamp.counter == counter)?;
    let (ntp, rtp) = newest_report(sim, subscriber, stream.ssrc)?;
    let since = i128::from(arrival.timestamp.wrapping_sub(rtp).cast_signed());
    Some(i128::from(ntp) + (since << 32) / if stream.video { 90_000 } else { 48_000 })
}

#[test]
fn a_subscriber_on_another_shard_has_the_clock_of_a_publisher_that_has_reported_before_it_came() {
    let mut sim = Sim::new(3, 18);
    let publisher = sim.join(0, Way::clean(20));
    let tracks = sim.publish(publisher, &[Media::audio(), Media::video(30, 60, 900)]);
    let subscribe = |sim: &mut Sim, shard| {
        let subscriber = sim.join(shard, Way::clean(20));
        sim.subscribe(subscriber, &tracks.iter().collect::<Vec<_>>());
        subscriber
    };
    let (early, other) = (subscribe(&mut sim, 0), subscribe(&mut sim, 1));
    sim.run_for(8 * SECOND);
    sim.peer_mut(publisher).up.without_reports = true;
    sim.run_for(4 * SECOND);
    let late = subscribe(&mut sim, 2);
    sim.run_for(4 * SECOND);
    for track in &tracks {
        let log = &sim.received(late, track).unwrap().log;
        let counter = log[log.len() / 2].stamp.counter;
        let moments = [early, other, late].map(|one| moment(&sim, one, track, counter));
        assert!(moments.iter().all(Option::is_some), "{moments:?}");
        for one in moments {
            let apart = one.unwrap().abs_diff(moments[0].unwrap());
            // The ways between the publisher and its replicas take no time here; ticks are rounded.
            assert!(apart < (1 << 32) / 1_000, "{moments:?}");
        }
    }
    sim.pause_sources();
    sim.run_for(SECOND);
    for track in &tracks {
        sim.account(early, track).assert_complete();
    }
}
