//! All shards on one port: whatever shard the kernel gives a datagram to, it gets to its owner, and strangers get nowhere.

use std::net::SocketAddr;
use std::time::Duration;

use ringcast::drop::DropReason;
use ringcast::ids::ShardId;
use ringcast_bench::source::Media;

use crate::harness::{PeerKey, Sim, Track, Way};

const SECOND: Duration = Duration::from_secs(1);

/// Two clients on each shard; everybody sees the first one of each shard.
fn call(sim: &mut Sim) -> (Vec<Track>, Vec<PeerKey>) {
    let publishers: Vec<PeerKey> = (0..3).map(|shard| sim.join(shard, Way::clean(10))).collect();
    let media = [Media::audio(), Media::video(30, 150, 900)];
    let tracks: Vec<Track> =
        publishers.iter().flat_map(|publisher| sim.publish(*publisher, &media)).collect();
    let subscribers: Vec<PeerKey> = (0..6).map(|number| sim.join(number % 3, Way::clean(10))).collect();
    for subscriber in &subscribers {
        sim.subscribe(*subscriber, &tracks.iter().collect::<Vec<_>>());
    }
    (tracks, subscribers)
}

fn assert_all_came(sim: &mut Sim, tracks: &[Track], subscribers: &[PeerKey]) {
    sim.pause_sources();
    sim.run_for(2 * SECOND);
    for subscriber in subscribers {
        for track in tracks {
            sim.account(*subscriber, track).assert_complete();
        }
    }
}

#[test]
fn everything_comes_whichever_shard_the_kernel_gives_it_to() {
    let mut sim = Sim::on_one_port(3, 71, false);
    let (tracks, subscribers) = call(&mut sim);
    sim.run_for(10 * SECOND);
    assert_all_came(&mut sim, &tracks, &subscribers);
    let handed_over = sim.counted(|counters| counters.handed_over);
    assert!(handed_over > 1000, "{handed_over}");
    for reason in [DropReason::UnknownSource, DropReason::ForeignUfrag, DropReason::HandoverFull] {
        assert_eq!(sim.dropped(reason), 0, "{reason:?}");
    }
}

#[test]
fn a_kernel_that_steers_leaves_only_the_first_check_to_be_handed_over() {
    let mut sim = Sim::on_one_port(3, 72, true);
    let (tracks, subscribers) = call(&mut sim);
    sim.run_for(2 * SECOND);
    let to_begin_with = sim.counted(|counters| counters.handed_over);
    assert!((1..50).contains(&to_begin_with), "{to_begin_with}");
    sim.run_for(8 * SECOND);
    assert_eq!(sim.counted(|counters| counters.handed_over), to_begin_with);
    assert_all_came(&mut sim, &tracks, &subscribers);
}

#[test]
fn sources_that_the_kernel_has_forgotten_are_handed_over_and_soon_known_again() {
    let mut sim = Sim::on_one_port(3, 73, true);
    let (tracks, subscribers) = call(&mut sim);
    sim.run_for(5 * SECOND);
    let before = sim.counted(|counters| counters.handed_over);
    sim.shared_port.as_mut().unwrap().owners.clear();
    sim.run_for(5 * SECOND);
    let healed = sim.counted(|counters| counters.handed_over);
    assert!(healed > before);
    sim.run_for(5 * SECOND);
    assert_eq!(sim.counted(|counters| counters.handed_over), healed);
    assert_all_came(&mut sim, &tracks, &subscribers);
}

#[test]
fn nothing_of_a_session_is_left_on_any_shard() {
    for steers in [false, true] {
        let mut sim = Sim::on_one_port(3, 74, steers);
        let (_, subscribers) = call(&mut sim);
        sim.run_for(3 * SECOND);
        assert!(sim.sizes().paths_elsewhere > 0);
        assert_eq!(sim.shared_port.as_ref().unwrap().owners.len(), 9);
        let clients = subscribers.iter().copied().chain((0..3).map(PeerKey));
        clients.for_each(|client| sim.leave(client));
        sim.run_for(SECOND);
        let sizes = sim.sizes();
        assert_eq!((sizes.sessions, sizes.paths, sizes.paths_elsewhere), (0, 0, 0));
        assert_eq!(sim.shared_port.as_ref().unwrap().owners.len(), 0);
    }
}

#[test]
fn what_strangers_send_is_not_handed_over_and_makes_no_state() {
    let mut sim = Sim::on_one_port(3, 75, false);
    let (tracks, subscribers) = call(&mut sim);
    sim.captured = Some(Vec::new());
    sim.run_for(3 * SECOND);
    let captured = sim.captured.take().unwrap();
    let sizes = sim.sizes();
    let handed_over = sim.counted(|counters| counters.handed_over);
    let stranger: SocketAddr = "203.0.113.9:4000".parse().unwrap();
    let (checks, others): (Vec<_>, Vec<_>) =
        captured.into_iter().partition(|(_, _, contents)| contents.first().is_some_and(|first| *first < 4));
    assert!(!checks.is_empty() && !others.is_empty());
    for (_, _, contents) in others.iter().take(500) {
        for shard in 0..3 {
            sim.inject(ShardId(shard), stranger, contents);
        }
    }
    assert_eq!(sim.counted(|counters| counters.handed_over), handed_over);
    // A check with a name of ours and a false password goes to its owner, who refuses it.
    for (_, _, mut contents) in checks.into_iter().take(20) {
        // The last attributes are integrity, 24 bytes, and fingerprint, 8 bytes (RFC 8489 14.5, 14.7).
        contents.truncate(contents.len() - 8);
        if let Some(byte) = contents.last_mut() {
            *byte ^= 1;
        }
        contents[3] -= 8;
        for shard in 0..3 {
            sim.inject(ShardId(shard), stranger, &contents);
        }
    }
    sim.run_for(Duration::from_millis(1));
    assert!(sim.dropped(DropReason::BadIntegrity) > 0);
    assert_eq!(sim.sizes(), sizes);
    assert!(!sim.shared_port.as_ref().unwrap().owners.contains_key(&stranger));
    assert_all_came(&mut sim, &tracks, &subscribers);
}

#[test]
fn a_client_whose_nat_makes_another_mapping_is_followed_to_another_shard_s_socket() {
    for steers in [false, true] {
        let mut sim = Sim::on_one_port(3, 76, steers);
        let publisher = sim.join(1, Way::clean(10));
        let track = sim.publish(publisher, &[Media::video(30, 150, 900)]).remove(0);
        let subscriber = sim.join(2, Way::clean(10));
        sim.subscribe(subscriber, &[&track]);
        sim.run_for(3 * SECOND);
        sim.rebind(publisher, "10.9.9.5:6000".parse().unwrap());
        sim.run_for(5 * SECOND);
        let before = sim.received(subscriber, &track).unwrap().log.len();
        sim.run_for(2 * SECOND);
        assert!(sim.received(subscriber, &track).unwrap().log.len() > before + 100, "{steers}");
    }
}
