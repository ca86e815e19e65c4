//! Every subscriber gets every packet once and in order, or the network has it on its conscience.

use std::time::Duration;

use ringcast::metrics::shard::Retransmission;
use ringcast::plan::LayerPreference;
use ringcast_bench::reception::{Arrival, CounterSet};
use ringcast_bench::source::{Layer, Media};

use crate::harness::link::LinkSpec;
use crate::harness::{PeerKey, Sim, Track, Way};

const SECOND: Duration = Duration::from_secs(1);

/// A publisher of audio and video, subscribers, and one who is connected but pulls nothing of it.
struct Call {
    sim: Sim,
    tracks: Vec<Track>,
    subscribers: Vec<PeerKey>,
    bystander: PeerKey,
}

/// Publishes, subscribes, and lets everything flow for `span`, then lets it drain.
fn call(shards: u8, seed: u64, publisher: Way, subscribers: &[Way], span: Duration) -> Call {
    let mut sim = Sim::new(shards, seed);
    let source = sim.join(0, publisher);
    let tracks = sim.publish(source, &[Media::audio(), Media::video(30, 150, 900)]);
    let shard_of = |index: usize| u8::try_from(index % usize::from(shards)).unwrap();
    let subscribers: Vec<PeerKey> = subscribers
        .iter()
        .enumerate()
        .map(|(index, way)| {
            let peer = sim.join(shard_of(index + 1), *way);
            sim.subscribe(peer, &tracks.iter().collect::<Vec<_>>());
            peer
        })
        .collect();
    // It publishes itself, so that it has everything that a subscriber has but the subscription.
    let bystander = sim.join(0, Way::clean(10));
    sim.publish(bystander, &[Media::audio()]);
    sim.run_for(span);
    sim.pause_sources();
    sim.run_for(3 * SECOND);
    Call { sim, tracks, subscribers, bystander }
}

impl Call {
    fn assert_bystander_got_nothing(&self) {
        let bystander = self.sim.peer(self.bystander);
        assert!(bystander.client.connected_at().is_some());
        assert!(bystander.client.streams().is_empty());
        assert_eq!(bystander.down.rtp, 0);
    }

    /// What each subscriber got of each track.
    fn outcome(&self) -> Vec<CounterSet> {
        let each = self.subscribers.iter().flat_map(|subscriber| {
            self.tracks.iter().map(|track| {
                let stream = self.sim.received(*subscriber, track).unwrap();
                stream.source(track.source, 0).unwrap().counters.clone()
            })
        });
        each.collect()
    }
}

#[test]
fn every_subscriber_gets_every_packet_once_and_in_order() {
    let ways = [Way::clean(5), Way::clean(20), Way::clean(100), Way::clean(0)];
    let mut call = call(1, 11, Way::clean(20), &ways, 3 * SECOND);
    for subscriber in call.subscribers.clone() {
        for track in call.tracks.clone() {
            let account = call.sim.account(subscriber, &track);
            assert!(account.expected > 100, "{account:?}");
            account.assert_complete();
            let stream = call.sim.received(subscriber, &track).unwrap();
            assert_eq!(stream.late, 0, "a clean link keeps the order");
        }
    }
    call.assert_bystander_got_nothing();
}

#[test]
fn packets_leave_with_the_congestion_bits_that_they_came_in_with_and_nothing_else_does() {
    let lossy = Way { up: LinkSpec::clean(25), down: LinkSpec::clean(25).with_loss(0.05) };
    for (on_one_port, ecn) in [(false, 0), (false, 1), (true, 2), (false, 3), (true, 3)] {
        let mut sim = if on_one_port { Sim::on_one_port(3, 15, false) } else { Sim::new(3, 15) };
        sim.ecn = ecn;
        let publisher = sim.join(0, Way::clean(20));
        let tracks = sim.publish(publisher, &[Media::audio(), Media::video(30, 150, 900)]);
        let subscribers: Vec<_> = (0..3).map(|shard| sim.join(shard, lossy)).collect();
        for subscriber in subscribers {
            sim.subscribe(subscriber, &tracks.iter().collect::<Vec<_>>());
        }
        sim.run_for(2 * SECOND);
        let (again, came) = (
            sim.counted(|all| all.retransmissions.of(Retransmission::Hit)),
            sim.counted(|all| all.datagrams_in),
        );
        let forwarded = sim.counted(|all| all.rtp_out.total());
        assert!(forwarded > 500 && again > 20, "{forwarded} {again}");
        let mut expected = [0; 4];
        expected[usize::from(ecn)] += forwarded;
        // A packet that is sent again, or to measure the path, is not the one that was marked.
        expected[0] += again + sim.counted(|all| all.probe_packets);
        assert_eq!(sim.left.rtp, expected, "{ecn}");
        assert_eq!(sim.left.others[1..], [0; 3], "{ecn}");
        let marks = sim.counted(|all| all.congestion_marks);
        assert_eq!(marks, if ecn == 3 { came } else { 0 }, "{ecn}");
    }
}

/// One run over links that do everything at once, in both directions.
fn bad_links_are_accounted_for(shards: u8, seed: u64, loss: f32) {
    let bad = |delay, jitter| {
        let spec = LinkSpec::clean(delay).with_loss(loss).with_jitter(jitter);
        Way::both(spec.with_duplicates(0.02).with_reordering(13))
    };
    let ways = [bad(20, 3), bad(50, 10), bad(100, 20)];
    let mut call = call(shards, seed, bad(30, 5), &ways, 5 * SECOND);
    for subscriber in call.subscribers.clone() {
        for track in call.tracks.clone() {
            let account = call.sim.account(subscriber, &track);
            // Audio is never sent again; of video only what is lost again and again stays lost.
            let bound = if track.media.rids.is_empty() && track.mid == call.tracks[0].mid {
                3.0 * loss
            } else {
                0.005
            };
            account.assert_lost_at_most(f64::from(bound));
            assert!(account.expected > 150, "{account:?}");
        }
    }
    call.assert_bystander_got_nothing();
}

#[test]
fn reordering_and_duplication_cost_nothing() {
    bad_links_are_accounted_for(1, 21, 0.0);
}

#[test]
fn two_percent_loss_is_recovered_or_accounted_for() {
    bad_links_are_accounted_for(1, 22, 0.02);
}

#[test]
fn five_percent_loss_is_recovered_or_accounted_for() {
    bad_links_are_accounted_for(1, 23, 0.05);
}

#[test]
fn five_percent_loss_is_accounted_for_across_shards() {
    bad_links_are_accounted_for(3, 24, 0.05);
}

#[test]
fn three_shards_deliver_exactly_what_one_does() {
    let ways = [Way::clean(5), Way::clean(20), Way::clean(100), Way::clean(0), Way::clean(33)];
    let one = call(1, 31, Way::clean(20), &ways, 2 * SECOND);
    let three = call(3, 31, Way::clean(20), &ways, 2 * SECOND);
    assert_eq!(one.outcome(), three.outcome());
    assert!(one.outcome().iter().all(|counters| counters.gaps() == 0 && counters.len() > 40));
}

/// Arrivals in the order of their sequence numbers.
fn in_order(sim: &Sim, subscriber: PeerKey) -> Vec<Arrival> {
    let mut log = sim.peer(subscriber).client.streams()[0].log.clone();
    log.sort_by_key(|arrival| arrival.seq);
    log
}

/// What a decoder relies on across a change of source or layer: no hole in the numbers, time and pictures that
/// run on, and a keyframe wherever another source or layer begins.
fn assert_runs_on(log: &[Arrival]) {
    for pair in log.windows(2) {
        let [before, after] = pair else { unreachable!() };
        assert_eq!(after.seq, before.seq + 1, "{pair:?}");
        let ticks = after.timestamp.wrapping_sub(before.timestamp);
        assert!(ticks < 90_000, "time goes back or leaps: {pair:?}");
        let pictures = after.picture.wrapping_sub(before.picture) & 0x7fff;
        assert_eq!(pictures, u16::from(ticks > 0), "{pair:?}");
        let same = (before.stamp.source, before.stamp.layer) == (after.stamp.source, after.stamp.layer);
        if same {
            assert_eq!(after.stamp.counter, before.stamp.counter + 1, "{pair:?}");
        } else {
            assert!(after.stamp.keyframe, "{pair:?}");
        }
    }
}

#[test]
fn a_section_that_is_given_another_source_runs_on() {
    for shards in [1, 3] {
        let mut sim = Sim::new(shards, 41);
        let tracks: Vec<Track> = (0..2)
            .flat_map(|number| {
                let publisher = sim.join(number % shards, Way::clean(15));
                sim.publish(publisher, &[Media::video(30, 150, 900)])
            })
            .collect();
        let subscriber = sim.join(shards - 1, Way::clean(15));
        let mids = sim.subscribe(subscriber, &[&tracks[0]]);
        sim.run_for(2 * SECOND);
        for number in [1, 0, 1] {
            sim.switch(subscriber, &mids[0], &tracks[number], LayerPreference::default());
            sim.run_for(SECOND);
        }
        let log = in_order(&sim, subscriber);
        assert_runs_on(&log);
        let changes = log.windows(2).filter(|pair| pair[0].stamp.source != pair[1].stamp.source).count();
        assert_eq!((changes, sim.peer(subscriber).client.streams().len()), (3, 1));
    }
}

fn pinned(rid: &str) -> LayerPreference {
    LayerPreference { preferred_rid: Some(rid.to_owned()), ..LayerPreference::default() }
}

#[test]
fn a_pinned_layer_is_forwarded_alone_and_a_switch_runs_on() {
    for shards in [1, 3] {
        let mut sim = Sim::new(shards, 43);
        let publisher = sim.join(0, Way::clean(15));
        let layers = [("h", 180), ("m", 90), ("l", 30)];
        let layers =
            layers.map(|(rid, packets_per_second)| Layer { rid: rid.to_owned(), packets_per_second });
        let media = Media::Video { fps: 30, payload_bytes: 600, layers: layers.to_vec() };
        let track = sim.publish(publisher, &[media]).remove(0);
        let subscriber = sim.join(shards - 1, Way::clean(15));
        let mids = sim.subscribe_to_layer(subscriber, &[&track], &pinned("l"));
        sim.run_for(2 * SECOND);
        assert!(in_order(&sim, subscriber).iter().all(|arrival| arrival.stamp.layer == 2));
        for rid in ["h", "m", "l"] {
            sim.switch(subscriber, &mids[0], &track, pinned(rid));
            sim.run_for(SECOND);
        }
        let log = in_order(&sim, subscriber);
        assert_runs_on(&log);
        let mut layers: Vec<u8> = log.iter().map(|arrival| arrival.stamp.layer).collect();
        layers.dedup();
        assert_eq!(layers, [2, 0, 1, 2]);
        let longest = log.windows(2).map(|pair| pair[1].at.saturating_duration_since(pair[0].at)).max();
        assert!(longest < Some(Duration::from_millis(100)), "a switch does not freeze: {longest:?}");
    }
}

#[test]
fn an_ended_subscription_gets_nothing_and_the_others_go_on() {
    let mut sim = Sim::new(1, 47);
    let publisher = sim.join(0, Way::clean(10));
    let tracks = sim.publish(publisher, &[Media::audio(), Media::video(30, 150, 900)]);
    let [leaver, stayer] = [sim.join(0, Way::clean(10)), sim.join(0, Way::clean(10))];
    let mids = sim.subscribe(leaver, &[&tracks[0], &tracks[1]]);
    sim.subscribe(stayer, &[&tracks[0], &tracks[1]]);
    sim.run_for(SECOND);
    sim.unsubscribe(leaver, &mids[1]);
    sim.run_for(Duration::from_millis(50));
    let before = sim.received(leaver, &tracks[1]).unwrap().packets;
    sim.run_for(SECOND);
    assert_eq!(sim.received(leaver, &tracks[1]).unwrap().packets, before);
    sim.pause_sources();
    sim.run_for(SECOND);
    sim.account(leaver, &tracks[0]).assert_complete();
    sim.account(stayer, &tracks[0]).assert_complete();
    sim.account(stayer, &tracks[1]).assert_complete();
}

#[test]
fn media_goes_on_through_an_ice_restart_of_either_side() {
    let mut sim = Sim::new(1, 53);
    let publisher = sim.join(0, Way::clean(10));
    let tracks = sim.publish(publisher, &[Media::video(30, 150, 900)]);
    let subscriber = sim.join(0, Way::clean(10));
    sim.subscribe(subscriber, &[&tracks[0]]);
    sim.run_for(SECOND);
    for peer in [publisher, subscriber] {
        sim.restart_ice(peer);
        sim.run_for(2 * SECOND);
    }
    sim.pause_sources();
    sim.run_for(SECOND);
    let account = sim.account(subscriber, &tracks[0]);
    assert!(account.expected > 600);
    account.assert_complete();
}

#[test]
fn a_client_that_received_for_a_while_and_then_sends_is_heard_from_its_first_packet() {
    let mut sim = Sim::new(1, 41);
    let publisher = sim.join(0, Way::clean(10));
    let track = sim.publish(publisher, &[Media::audio()]).remove(0);
    let other = sim.join(0, Way::clean(10));
    sim.subscribe(other, &[&track]);
    sim.run_for(3 * SECOND);
    // Its engine had no need of keys so far.
    let reply = sim.publish(other, &[Media::audio()]).remove(0);
    sim.subscribe(publisher, &[&reply]);
    sim.run_for(3 * SECOND);
    sim.pause_sources();
    sim.run_for(SECOND);
    assert!(sim.received(publisher, &reply).is_some());
    sim.account(publisher, &reply).assert_complete();
    sim.account(other, &track).assert_complete();
}
