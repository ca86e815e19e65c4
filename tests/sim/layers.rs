//! Layers of a publication: known under one number on every shard, and let go when they are not sent any more.

use std::time::Duration;

use ringcast::plan::LayerPreference;
use ringcast_bench::source::{Layer, Media};

use crate::harness::{PeerKey, Sim, Track, Way};

const SECOND: Duration = Duration::from_secs(1);

fn simulcast(rids: &[&str]) -> Media {
    let layers = rids.iter().zip([180, 90, 30]);
    let layers = layers.map(|(rid, packets_per_second)| Layer { rid: (*rid).to_owned(), packets_per_second });
    Media::Video { fps: 30, payload_bytes: 300, layers: layers.collect() }
}

fn pinned(rid: &str) -> LayerPreference {
    LayerPreference { preferred_rid: Some(rid.to_owned()), ..LayerPreference::default() }
}

/// A call that has nothing to do with the rest: one publisher, and a viewer on the last shard.
fn bystanders(sim: &mut Sim, shards: u8) -> (PeerKey, Track) {
    let publisher = sim.join(0, Way::clean(10));
    let track = sim.publish(publisher, &[Media::audio()]).remove(0);
    let viewer = sim.join(shards - 1, Way::clean(10));
    sim.subscribe(viewer, &[&track]);
    (viewer, track)
}

fn assert_untouched(sim: &mut Sim, (viewer, track): &(PeerKey, Track)) {
    sim.pause_sources();
    sim.run_for(2 * SECOND);
    sim.account(*viewer, track).assert_complete();
}

/// Publishes layers of these names, behind a section that keeps the transport when they are stopped.
fn publish(sim: &mut Sim, publisher: PeerKey, rids: &[&str]) -> Track {
    sim.publish(publisher, &[Media::audio(), simulcast(rids)]).remove(1)
}

/// The layers of which a viewer got packets in the last second, each once.
fn layers_of(sim: &Sim, viewer: PeerKey, track: &Track) -> Vec<u8> {
    let since = sim.now.checked_sub(SECOND).unwrap();
    let Some(stream) = sim.received(viewer, track) else { return Vec::new() };
    let mut layers: Vec<u8> =
        stream.log.iter().filter(|arrival| arrival.at >= since).map(|arrival| arrival.stamp.layer).collect();
    layers.sort_unstable();
    layers.dedup();
    layers
}

#[test]
fn the_first_viewer_on_another_shard_gets_whatever_layer_it_is_pinned_to() {
    for shards in [1, 2] {
        let mut sim = Sim::new(shards, 301);
        let bystanders = bystanders(&mut sim, shards);
        for (rid, number) in [("f", 0), ("h", 1), ("q", 2)] {
            let publisher = sim.join(0, Way::clean(15));
            let track = sim.publish(publisher, &[simulcast(&["f", "h", "q"])]).remove(0);
            sim.run_for(3 * SECOND);
            let viewer = sim.join(shards - 1, Way::clean(15));
            sim.subscribe_to_layer(viewer, &[&track], &pinned(rid));
            sim.run_for(3 * SECOND);
            assert_eq!(layers_of(&sim, viewer, &track), [number], "{rid} on {shards} shards");
            let told = sim.statistics(viewer).remote.remove(0);
            assert_eq!((told.rid.as_deref(), told.layer_reason.as_str()), (Some(rid), "pinned"));
        }
        assert_untouched(&mut sim, &bystanders);
    }
}

#[test]
fn a_viewer_that_waits_is_looked_at_again_when_its_layer_comes_to_life_late() {
    for shards in [1, 2] {
        let mut sim = Sim::new(shards, 302);
        let bystanders = bystanders(&mut sim, shards);
        let publisher = sim.join(0, Way::clean(15));
        let first = publish(&mut sim, publisher, &["f", "h"]);
        let viewer = sim.join(shards - 1, Way::clean(15));
        sim.subscribe_to_layer(viewer, &[&first], &pinned("q"));
        sim.run_for(3 * SECOND);
        assert!(sim.received(viewer, &first).is_none(), "there is no such layer yet");
        sim.stop(publisher, &first.mid);
        let second = sim.publish_again(publisher, &simulcast(&["f", "h", "q"]), first.publication);
        sim.run_for(3 * SECOND);
        assert_eq!(layers_of(&sim, viewer, &second), [2], "{shards} shards");
        assert_untouched(&mut sim, &bystanders);
    }
}

#[test]
fn a_layer_has_one_name_on_every_shard_however_often_the_names_change() {
    let shards = 3;
    let mut sim = Sim::new(shards, 303);
    let bystanders = bystanders(&mut sim, shards);
    let publisher = sim.join(0, Way::clean(15));
    let mut track = publish(&mut sim, publisher, &["a", "h"]);
    let viewers: Vec<PeerKey> = (0..shards)
        .map(|shard| {
            let viewer = sim.join(shard, Way::clean(15));
            sim.subscribe_to_layer(viewer, &[&track], &pinned("h"));
            viewer
        })
        .collect();
    // Thirteen names in all, in places of their own each time.
    let rounds: [&[&str]; 6] =
        [&["h", "b"], &["c", "d", "h"], &["e", "h", "i"], &["h"], &["j", "k", "h"], &["l", "h", "m"]];
    for rids in rounds {
        sim.stop(publisher, &track.mid);
        track = sim.publish_again(publisher, &simulcast(rids), track.publication);
        sim.run_for(4 * SECOND);
        let wanted = rids.iter().position(|rid| *rid == "h").unwrap() as u8;
        for viewer in &viewers {
            assert_eq!(layers_of(&sim, *viewer, &track), [wanted], "{rids:?} {viewer:?}");
            let told = sim.statistics(*viewer).remote.remove(0);
            assert_eq!(told.rid.as_deref(), Some("h"), "{rids:?} {viewer:?}");
        }
        let local = sim.statistics(publisher).local;
        let names: Vec<_> = local.iter().filter_map(|layer| layer.rid.as_deref()).collect();
        assert_eq!(names, rids, "what is not sent any more is gone");
    }
    assert_untouched(&mut sim, &bystanders);
}
