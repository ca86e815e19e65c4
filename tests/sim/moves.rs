//! Pictures that go on until the next one can begin.

use std::time::{Duration, Instant};

use ringcast::plan::LayerPreference;
use ringcast_bench::reception::Arrival;
use ringcast_bench::source::Media;

use crate::harness::{PeerKey, Sim, Track, Way};

const SECOND: Duration = Duration::from_secs(1);

/// Somebody with a microphone and a camera.
struct Person {
    peer: PeerKey,
    picture: Track,
}

fn person(sim: &mut Sim, shard: u8) -> Person {
    let peer = sim.join(shard, Way::clean(15));
    Person { peer, picture: sim.publish(peer, &[Media::audio(), Media::video(30, 120, 900)]).remove(1) }
}

/// What a viewer got on the stream that shows these, in the order of arrival.
fn log(sim: &Sim, viewer: PeerKey, track: &Track) -> Vec<Arrival> {
    sim.received(viewer, track).map(|stream| stream.log.clone()).unwrap_or_default()
}

fn keyframe_requests(sim: &Sim, person: &Person, since: Instant) -> usize {
    let section = &sim.peer(person.peer).client.published()[1];
    let all = &section.source.totals().next().unwrap().keyframe_requests;
    all.iter().filter(|at| **at >= since).count()
}

#[test]
fn a_picture_goes_on_until_the_keyframe_of_the_next_has_come() {
    for shards in [1, 2, 3] {
        let mut sim = Sim::new(shards, 404);
        let first = person(&mut sim, 0);
        let second = person(&mut sim, shards - 1);
        let viewers: Vec<(PeerKey, String)> = (0..12)
            .map(|number| {
                let viewer = sim.join(number % shards, Way::clean(20));
                (viewer, sim.subscribe(viewer, &[&first.picture]).remove(0))
            })
            .collect();
        // Somebody who sees the first one all the time.
        let bystander = sim.join(0, Way::clean(20));
        sim.subscribe(bystander, &[&first.picture]);
        sim.run_for(3 * SECOND);
        let switched = sim.now;
        for (viewer, mid) in &viewers {
            sim.switch(*viewer, mid, &second.picture, LayerPreference::default());
        }
        sim.run_for(2 * SECOND);
        assert_eq!(keyframe_requests(&sim, &second, switched), 1, "{shards} shards");
        assert_eq!(keyframe_requests(&sim, &first, switched), 0);
        for (viewer, _) in &viewers {
            let log = log(&sim, *viewer, &second.picture);
            let begins = log.iter().position(|one| one.stamp.source == second.picture.source).unwrap();
            assert!(log[begins].stamp.keyframe);
            assert!(
                log[begins..].iter().all(|one| one.stamp.source == second.picture.source),
                "there is no way back"
            );
            assert!(log.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1), "numbers run on");
            assert!(
                log.windows(2).all(|pair| pair[1].at.duration_since(pair[0].at) < Duration::from_millis(80))
            );
            assert!(log[begins - 1].at > switched, "the former picture went on");
        }
        assert!(
            log(&sim, bystander, &first.picture).iter().all(|one| one.stamp.source == first.picture.source)
        );
        assert_eq!(
            sim.sizes().publications,
            4 + usize::from(shards) - 1,
            "nobody receives the first elsewhere"
        );
    }
}

#[test]
fn one_who_cannot_begin_is_waited_for_no_longer_than_for_a_keyframe() {
    let mut sim = Sim::new(2, 405);
    let (first, second) = (person(&mut sim, 0), person(&mut sim, 1));
    let viewer = sim.join(0, Way::clean(20));
    let mid = sim.subscribe(viewer, &[&first.picture]).remove(0);
    sim.run_for(3 * SECOND);
    sim.peer_mut(second.peer).client.published_mut()[1].source.pause();
    sim.run_for(3 * SECOND);
    let switched = sim.now;
    sim.switch(viewer, &mid, &second.picture, LayerPreference::default());
    sim.run_for(6 * SECOND);
    let last = log(&sim, viewer, &first.picture).last().unwrap().at.duration_since(switched);
    assert!(last > SECOND && last < 3 * SECOND, "{last:?}");
    // It comes, and is seen.
    let now = sim.now;
    sim.peer_mut(second.peer).client.published_mut()[1].source.resume(now);
    sim.run_for(2 * SECOND);
    let newest = *log(&sim, viewer, &first.picture).last().unwrap();
    assert_eq!(newest.stamp.source, second.picture.source);
}

#[test]
fn a_viewer_that_is_sent_back_before_the_keyframe_has_come_stays_where_it_was() {
    let mut sim = Sim::new(2, 406);
    let (first, second) = (person(&mut sim, 0), person(&mut sim, 1));
    let viewer = sim.join(0, Way::clean(20));
    let mid = sim.subscribe(viewer, &[&first.picture]).remove(0);
    sim.run_for(3 * SECOND);
    let before = sim.sizes();
    sim.switch(viewer, &mid, &second.picture, LayerPreference::default());
    sim.switch(viewer, &mid, &first.picture, LayerPreference::default());
    sim.run_for(2 * SECOND);
    let log = log(&sim, viewer, &first.picture);
    assert!(log.iter().all(|one| one.stamp.source == first.picture.source));
    assert!(log.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1));
    assert_eq!(sim.sizes(), before);
    sim.unsubscribe(viewer, &mid);
    sim.run_for(SECOND);
    assert_eq!(sim.sizes().publications, 4);
}
