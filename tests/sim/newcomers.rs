//! Newcomers that begin with a keyframe of the cache: what they get, how fast, and at whose expense.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ringcast::metrics::shard::KeyframeOutcome;
use ringcast::rtp::MediaKind;
use ringcast::shard::Shard;
use ringcast::shard::command::Event;
use ringcast_bench::reception::Arrival;
use ringcast_bench::source::{Layer, Media};

use crate::harness::link::LinkSpec;
use crate::harness::meter::{Call, Meter};
use crate::harness::{PeerKey, Sim, Track, Way};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// What the server promises: so many times as fast as it came, and that of it at once.
const PACE: u32 = 4;
const HEAD_START: Duration = Duration::from_millis(20);
const AGE_MAX: Duration = Duration::from_millis(500);
const FRAME: Duration = Duration::from_millis(34);

/// A publisher so far away that asking it takes a while, and a viewer who has been there for long and shall notice nothing.
fn room(sim: &mut Sim, media: &Media) -> (PeerKey, Track, PeerKey) {
    let publisher = sim.join(0, Way::clean(60));
    let track = sim.publish(publisher, std::slice::from_ref(media)).remove(0);
    let bystander = viewer(sim, 0, &track, Way::clean(10));
    sim.run_for(3 * SECOND);
    (publisher, track, bystander)
}

fn viewer(sim: &mut Sim, shard: u8, track: &Track, way: Way) -> PeerKey {
    let viewer = sim.join(shard, way);
    sim.subscribe(viewer, &[track]);
    viewer
}

/// Somebody comes, and has a keyframe made.
fn first_comes(sim: &mut Sim, shard: u8, track: &Track) -> PeerKey {
    let first = viewer(sim, shard, track, Way::clean(10));
    assert!(sim.run_until_that(SECOND, |sim| sim.received(first, track).is_some()));
    first
}

fn requests(sim: &Sim, publisher: PeerKey) -> usize {
    sim.peer(publisher).client.published()[0].source.totals().next().unwrap().keyframe_requests.len()
}

fn cached(sim: &mut Sim) -> u64 {
    sim.counted(|all| all.keyframe_requests.of(KeyframeOutcome::Cached))
}

fn log(sim: &Sim, viewer: PeerKey, track: &Track) -> Vec<Arrival> {
    sim.received(viewer, track).map(|stream| stream.log.clone()).unwrap_or_default()
}

/// From the moment at which the client could be sent to, to its first packet, which is of a keyframe.
fn waited(sim: &Sim, viewer: PeerKey, track: &Track) -> Duration {
    let session = sim.peer(viewer).session;
    let ready = sim.told(|event| matches!(event, Event::Connected(id) if *id == session))[0];
    let first = log(sim, viewer, track)[0];
    assert!(first.stamp.keyframe);
    first.at - ready
}

/// Everything came, in order and each packet once, without a gap in the numbers.
fn assert_seamless(log: &[Arrival]) {
    for pair in log.windows(2) {
        assert_eq!(pair[1].seq, pair[0].seq + 1, "a gap, or not in order");
        assert_eq!(pair[1].stamp.counter, pair[0].stamp.counter + 1);
        let by = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        assert!(by == 0 || (2999..=3001).contains(&by), "timestamps are the publisher's: {by}");
    }
}

/// Nothing came faster than promised, and from half a second's third on all of it as soon as to anybody else.
fn assert_paced(sim: &Sim, log: &[Arrival], way: Duration) {
    let (first, sent) = (log[0], |one: &Arrival| Duration::from_nanos(one.stamp.sent));
    for one in log {
        let made_up = sent(one) - sent(&first);
        assert!(made_up <= HEAD_START + (one.at - first.at) * PACE + MS, "{made_up:?} at once");
    }
    let late = log.iter().filter(|one| one.at >= first.at + AGE_MAX / (PACE - 1));
    let latency = late.map(|one| one.at - sim.base - sent(one)).max().unwrap();
    assert!(latency <= way + 10 * MS, "{latency:?}");
}

fn assert_untouched(sim: &mut Sim, bystander: PeerKey, track: &Track) {
    sim.pause_sources();
    sim.run_for(SECOND);
    sim.account(bystander, track).assert_complete();
    let latency = log(sim, bystander, track)
        .iter()
        .map(|one| one.at - sim.base - Duration::from_nanos(one.stamp.sent))
        .max()
        .unwrap();
    assert!(latency <= 71 * MS, "{latency:?}");
}

#[test]
fn a_newcomer_right_after_another_begins_with_its_keyframe_and_the_publisher_is_not_asked() {
    for (shards, first, second) in [(1, 0, 0), (2, 0, 1), (2, 1, 1), (2, 1, 0)] {
        let mut sim = Sim::new(shards, 401);
        let (publisher, track, bystander) = room(&mut sim, &Media::video(30, 300, 900));
        first_comes(&mut sim, first, &track);
        sim.run_for(100 * MS);
        let before = (requests(&sim, publisher), cached(&mut sim));
        let newcomer = viewer(&mut sim, second, &track, Way::clean(10));
        sim.run_for(2 * SECOND);
        assert_eq!(requests(&sim, publisher), before.0, "{shards} {first} {second}");
        assert_eq!(cached(&mut sim), before.1 + 1);
        let log = log(&sim, newcomer, &track);
        assert!(waited(&sim, newcomer, &track) <= 11 * MS, "{:?}", waited(&sim, newcomer, &track));
        assert!(
            log[0].at - sim.base - Duration::from_nanos(log[0].stamp.sent) > 150 * MS,
            "it is of the past"
        );
        assert_seamless(&log);
        assert_paced(&sim, &log, 70 * MS);
        assert_untouched(&mut sim, bystander, &track);
        sim.account(newcomer, &track).assert_complete();
    }
}

#[test]
fn a_keyframe_that_is_too_old_or_incomplete_is_asked_for_as_ever() {
    for is_lossy in [false, true] {
        let mut sim = Sim::new(1, 402);
        let publisher = sim.join(0, Way::clean(150));
        let track = sim.publish(publisher, &[Media::video(30, 120, 900)]).remove(0);
        let bystander = viewer(&mut sim, 0, &track, Way::clean(10));
        sim.run_for(3 * SECOND);
        first_comes(&mut sim, 0, &track);
        if is_lossy {
            // It is sent again after a round trip, which is longer than it takes to come.
            sim.peer_mut(publisher).up.cut = true;
            sim.run_for(40 * MS);
            sim.peer_mut(publisher).up.cut = false;
            sim.run_for(150 * MS);
        } else {
            sim.run_for(AGE_MAX);
        }
        let before = (requests(&sim, publisher), cached(&mut sim));
        let newcomer = viewer(&mut sim, 0, &track, Way::clean(10));
        sim.run_for(2 * SECOND);
        assert_eq!((requests(&sim, publisher), cached(&mut sim)), (before.0 + 1, before.1));
        assert!(waited(&sim, newcomer, &track) > 300 * MS);
        sim.pause_sources();
        sim.run_for(SECOND);
        sim.account(newcomer, &track).assert_complete();
        sim.account(bystander, &track).assert_complete();
    }
}

#[test]
fn a_newcomer_begins_with_the_cheapest_layer_out_of_the_cache_and_is_soon_given_the_best() {
    let rates = [("f", 180), ("h", 90), ("q", 30)];
    let layers = rates.map(|(rid, packets_per_second)| Layer { rid: rid.to_owned(), packets_per_second });
    let media = Media::Video { fps: 30, payload_bytes: 300, layers: layers.to_vec() };
    for shards in [1, 2] {
        let mut sim = Sim::new(shards, 403);
        let (publisher, track, _) = room(&mut sim, &media);
        first_comes(&mut sim, 0, &track);
        sim.run_for(100 * MS);
        let (before, served) = (requests(&sim, publisher), cached(&mut sim));
        let newcomer = viewer(&mut sim, shards - 1, &track, Way::clean(10));
        sim.run_for(70 * MS);
        assert_eq!((requests(&sim, publisher), cached(&mut sim)), (before, served + 1));
        sim.run_for(4 * SECOND);
        let log = log(&sim, newcomer, &track);
        let layers: Vec<u32> = log
            .chunk_by(|one, next| one.stamp.layer == next.stamp.layer)
            .map(|one| one[0].stamp.layer.into())
            .collect();
        assert!(layers.first() == Some(&2) && layers.last() == Some(&0) && layers.len() <= 3, "{layers:?}");
        assert!(log.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1), "a gap, or not in order");
        let best = log.iter().find(|one| one.stamp.layer == 0).unwrap();
        assert!(best.stamp.keyframe && best.at < log[0].at + 4 * SECOND, "{:?}", best.at - log[0].at);
    }
}

#[test]
fn what_a_newcomer_loses_of_the_past_is_sent_again() {
    let mut sim = Sim::new(1, 404);
    let (_, track, bystander) = room(&mut sim, &Media::video(30, 150, 900));
    first_comes(&mut sim, 0, &track);
    sim.run_for(200 * MS);
    let lossy = Way { up: LinkSpec::clean(20), down: LinkSpec::clean(20).with_loss(0.1) };
    let served = cached(&mut sim);
    let newcomer = viewer(&mut sim, 0, &track, lossy);
    sim.run_for(3 * SECOND);
    assert_eq!(cached(&mut sim), served + 1);
    assert_untouched(&mut sim, bystander, &track);
    sim.account(newcomer, &track).assert_lost_at_most(0.005);
    let counters = &sim.received(newcomer, &track).unwrap().source(track.source, 0).unwrap().counters;
    let first = log(&sim, newcomer, &track)[0].stamp.counter;
    let missing: Vec<u64> = (first..first + 100).filter(|counter| !counters.contains(*counter)).collect();
    assert_eq!(missing, [0; 0]);
    let late = log(&sim, newcomer, &track)
        .windows(2)
        .filter(|pair| pair[1].stamp.counter < pair[0].stamp.counter)
        .count();
    assert!(late > 5, "{late} of them were sent again");
}

#[test]
fn packets_that_overtake_each_other_while_a_newcomer_catches_up_all_reach_it() {
    for seed in 405..409 {
        let mut sim = Sim::new(1, seed);
        let up = LinkSpec::clean(60).with_jitter(10);
        let publisher = sim.join(0, Way { up, down: LinkSpec::clean(60) });
        let track = sim.publish(publisher, &[Media::video(30, 300, 900)]).remove(0);
        let bystander = viewer(&mut sim, 0, &track, Way::clean(10));
        sim.run_for(3 * SECOND);
        first_comes(&mut sim, 0, &track);
        sim.run_for(130 * MS);
        let served = cached(&mut sim);
        let newcomers: Vec<_> = (0..8)
            .map(|_| {
                sim.run_for(9 * MS);
                viewer(&mut sim, 0, &track, Way::clean(10))
            })
            .collect();
        sim.run_for(2 * SECOND);
        assert!(cached(&mut sim) > served, "some begin between two packets that are missing");
        sim.pause_sources();
        sim.run_for(SECOND);
        for viewer in newcomers.into_iter().chain([bystander]) {
            sim.account(viewer, &track).assert_complete();
        }
    }
}

/// The most packets that one end of a turn has sent.
struct Turns(Arc<AtomicU64>);

impl Meter for Turns {
    fn run(&mut self, call: Call, shard: &mut Shard, step: &mut dyn FnMut(&mut Shard)) {
        let before = shard.counters().rtp_out.of(MediaKind::Video);
        step(shard);
        let sent = shard.counters().rtp_out.of(MediaKind::Video) - before;
        assert!(call == Call::Flush || sent == 0);
        self.0.fetch_max(sent, Ordering::Relaxed);
    }
}

#[test]
fn a_crowd_that_comes_at_once_is_served_bit_by_bit_and_nobody_else_waits() {
    let mut sim = Sim::new(1, 410);
    let (publisher, track, bystander) = room(&mut sim, &Media::video(30, 300, 900));
    first_comes(&mut sim, 0, &track);
    sim.run_for(150 * MS);
    let (before, served) = (requests(&sim, publisher), cached(&mut sim));
    let most = Arc::new(AtomicU64::new(0));
    sim.meter = Box::new(Turns(Arc::clone(&most)));
    let crowd: Vec<_> = (0..200).map(|_| viewer(&mut sim, 0, &track, Way::clean(10))).collect();
    sim.run_for(220 * MS);
    // A frame has ten packets, and few take what comes while most are behind.
    let most = most.load(Ordering::Relaxed);
    assert!((500..=512 + 2020).contains(&most), "{most} packets in one turn");
    sim.run_for(SECOND);
    assert_eq!((requests(&sim, publisher), cached(&mut sim)), (before, served + 200));
    assert_untouched(&mut sim, bystander, &track);
    for newcomer in crowd {
        assert_seamless(&log(&sim, newcomer, &track));
        sim.account(newcomer, &track).assert_complete();
    }
}

#[test]
fn the_audience_that_waits_for_a_stream_begins_with_its_first_packet_however_many_they_are() {
    for shards in [1, 2] {
        let mut sim = Sim::new(shards, 413);
        let publisher = sim.join(0, Way::clean(60));
        let track = sim.publish(publisher, &[Media::video(30, 900, 900)]).remove(0);
        let crowd: Vec<_> = (0..150).map(|_| viewer(&mut sim, shards - 1, &track, Way::clean(10))).collect();
        sim.run_for(3 * SECOND);
        assert_eq!(cached(&mut sim), 0, "nobody is behind");
        let begun = crowd.iter().map(|one| log(&sim, *one, &track)[0]).collect::<Vec<_>>();
        assert!(begun.iter().all(|one| one.stamp == begun[0].stamp && one.at < begun[0].at + 2 * MS));
        sim.pause_sources();
        sim.run_for(SECOND);
        for one in crowd {
            assert_seamless(&log(&sim, one, &track));
        }
    }
}

/// A newcomer that has had some of the past, and not all of it.
fn half_way(sim: &mut Sim, track: &Track) -> (PeerKey, String) {
    first_comes(sim, 0, track);
    sim.run_for(250 * MS);
    let served = cached(sim);
    let newcomer = sim.join(0, Way::clean(1));
    let mid = sim.subscribe(newcomer, &[track]).remove(0);
    assert!(sim.run_until_that(SECOND, |sim| sim.received(newcomer, track).is_some()));
    sim.run_for(20 * MS);
    assert_eq!(cached(sim), served + 1);
    let newest = log(sim, newcomer, track).last().unwrap().stamp.sent;
    assert!(sim.now - sim.base - Duration::from_nanos(newest) > 150 * MS, "it has caught up already");
    (newcomer, mid)
}

#[test]
fn who_turns_to_something_else_while_it_catches_up_gets_that_and_no_more_of_the_past() {
    let mut sim = Sim::new(1, 411);
    let (_, track, bystander) = room(&mut sim, &Media::video(30, 300, 900));
    let publisher = sim.join(0, Way::clean(10));
    let other = sim.publish(publisher, &[Media::video(30, 120, 900)]).remove(0);
    let (newcomer, mid) = half_way(&mut sim, &track);
    sim.switch(newcomer, &mid, &other, ringcast::plan::LayerPreference::default());
    let switched: Instant = sim.now;
    sim.run_for(2 * SECOND);
    let log = log(&sim, newcomer, &other);
    assert!(log.iter().filter(|one| one.at > switched + 2 * MS).all(|one| one.stamp.source == other.source));
    let begun = log.iter().find(|one| one.stamp.source == other.source).unwrap();
    assert!(begun.stamp.keyframe && begun.at - switched < 100 * MS);
    assert_untouched(&mut sim, bystander, &track);
}

#[test]
fn who_begins_anew_or_leaves_while_it_catches_up_is_sealed_nothing_twice() {
    for leaves in [false, true] {
        let mut sim = Sim::new(1, 412);
        let (_, track, bystander) = room(&mut sim, &Media::video(30, 300, 900));
        let (newcomer, _) = half_way(&mut sim, &track);
        if leaves {
            sim.leave(newcomer);
            sim.run_for(SECOND);
        } else {
            sim.hang_up(newcomer);
            sim.run_for(3 * MS);
            sim.come_back(newcomer);
            sim.run_for(2 * SECOND);
            let log = log(&sim, newcomer, &track);
            assert!(log.iter().any(|one| one.stamp.keyframe));
            let newest = log.last().unwrap();
            assert!(sim.now - newest.at <= FRAME + MS);
        }
        assert_untouched(&mut sim, bystander, &track);
    }
}
