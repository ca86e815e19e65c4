//! When packets of publishers came, as the server reports it to them: they make out from it what the network can carry.

use std::time::Duration;

use ringcast_bench::source::Media;

use crate::harness::{PeerKey, Sim, Way};

const SECOND: Duration = Duration::from_secs(1);
/// Sound is sent every twenty milliseconds.
const APART: Duration = Duration::from_millis(20);
/// Feedback counts in quarters of a millisecond.
const EXACT: Duration = Duration::from_micros(250);

/// Times between packets that were sent one after the other, as the server told their sender.
fn spacing(sim: &Sim, publisher: PeerKey) -> Vec<Duration> {
    let told = sim.peer(publisher).client.feedback();
    assert!(told.is_sorted(), "each packet once, in order: {told:?}");
    let neighbours = told.windows(2).filter(|pair| pair[1].0 == pair[0].0 + 1);
    neighbours.map(|pair| pair[1].1 - pair[0].1).collect()
}

fn is_as_sent(spacing: Duration) -> bool {
    spacing.abs_diff(APART) <= EXACT
}

#[test]
fn feedback_has_packets_of_one_turn_as_far_apart_as_they_came_for_each_publisher() {
    let mut sim = Sim::new(1, 71);
    let publishers = [10, 17].map(|delay| sim.join(0, Way::clean(delay)));
    let tracks = publishers.map(|publisher| sim.publish(publisher, &[Media::audio()]).remove(0));
    let viewer = sim.join(0, Way::clean(10));
    sim.subscribe(viewer, &tracks.each_ref());
    sim.run_for(SECOND);
    // Six packets of each, and of the other those that came between them.
    sim.turns_last = Some(6 * APART);
    sim.run_for(4 * SECOND);
    for publisher in publishers {
        let spacing = spacing(&sim, publisher);
        assert!(spacing.len() > 200, "{}", spacing.len());
        assert!(spacing.iter().all(|spacing| is_as_sent(*spacing)), "{spacing:?}");
    }
    for track in &tracks {
        let stream = sim.received(viewer, track).unwrap();
        assert_eq!((stream.repeated(), stream.corrupt), (0, 0));
        assert!(stream.packets > 200, "{}", stream.packets);
    }
}

#[test]
fn a_packet_handed_over_by_another_shard_has_the_time_at_which_it_came_there() {
    let mut sim = Sim::on_one_port(2, 72, false);
    let publishers = [0, 1].map(|shard| sim.join(shard, Way::clean(10)));
    for publisher in publishers {
        sim.publish(publisher, &[Media::audio()]);
    }
    sim.run_for(SECOND);
    sim.turns_last = Some(6 * APART);
    sim.run_for(4 * SECOND);
    assert!(sim.counted(|counters| counters.handed_over) > 100);
    for publisher in publishers {
        let spacing = spacing(&sim, publisher);
        assert!(spacing.len() > 200, "{}", spacing.len());
        assert!(spacing.iter().all(|spacing| is_as_sent(*spacing)), "{spacing:?}");
    }
}
