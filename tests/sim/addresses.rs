//! Whose an address is when more than one session says to be there.

use std::net::SocketAddr;
use std::time::Duration;

use ringcast::drop::DropReason;
use ringcast::ids::ShardId;
use ringcast::shard::command::Event;
use ringcast_bench::source::Media;

use crate::harness::{PeerKey, Sim, Track, Way};

const SECOND: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(100);

/// Two publishers, each with a viewer of its own, and a shard for each pair.
struct Calls {
    tracks: [Track; 2],
    publishers: [PeerKey; 2],
    viewers: [PeerKey; 2],
    /// Checks of the second publisher.
    checks: Vec<Vec<u8>>,
}

fn calls(sim: &mut Sim, shards: [u8; 2]) -> Calls {
    sim.captured = Some(Vec::new());
    let publishers = shards.map(|shard| sim.join(shard, Way::clean(10)));
    let tracks = publishers.map(|publisher| sim.publish(publisher, &[Media::video(30, 150, 900)]).remove(0));
    let viewers = shards.map(|shard| sim.join(shard, Way::clean(10)));
    for (viewer, track) in viewers.iter().zip(&tracks) {
        sim.subscribe(*viewer, &[track]);
    }
    sim.run_for(4 * SECOND);
    let second = sim.peer(publishers[1]).client.address();
    let captured = sim.captured.take().unwrap().into_iter();
    let checks = captured.filter(|(_, from, datagram)| *from == second && datagram.starts_with(&[0, 1]));
    let checks: Vec<_> = checks.map(|(_, _, datagram)| datagram).collect();
    assert!(!checks.is_empty());
    Calls { tracks, publishers, viewers, checks }
}

/// A port of each shard, and one for all, which the kernel steers or not; and the shards of the two pairs. Unless it is
/// steered, what comes from the publishers lands on the first shard, whether that is one of theirs or not.
fn nodes() -> Vec<(Sim, [u8; 2])> {
    let shared = [[0, 2], [1, 2], [1, 0]].into_iter().flat_map(|shards| {
        [false, true].map(|steers| (Sim::on_one_port(3, 132 + u64::from(steers), steers), shards))
    });
    std::iter::once((Sim::new(1, 131), [0, 0])).chain(shared).collect()
}

/// Sends copies of the second publisher's checks from an address for a while.
fn copy_checks(sim: &mut Sim, calls: &Calls, from: SocketAddr, span: Duration) {
    let until = sim.now + span;
    for check in calls.checks.iter().cycle() {
        if sim.now >= until {
            return;
        }
        let landing = sim.landing(from).unwrap_or(ShardId(0));
        sim.inject(landing, from, check);
        sim.run_for(PAUSE);
    }
}

fn received(sim: &Sim, calls: &Calls, pair: usize) -> usize {
    sim.received(calls.viewers[pair], &calls.tracks[pair]).unwrap().log.len()
}

#[test]
fn checks_that_were_copied_take_no_address_from_who_is_there() {
    for (mut sim, shards) in nodes() {
        let calls = calls(&mut sim, shards);
        let victim = sim.peer(calls.publishers[0]).client.address();
        copy_checks(&mut sim, &calls, victim, 30 * SECOND);
        assert!(sim.dropped(DropReason::HeldAddress) > 200);
        sim.pause_sources();
        sim.run_for(SECOND);
        for (viewer, track) in calls.viewers.iter().zip(&calls.tracks) {
            let account = sim.account(*viewer, track);
            assert!(account.expected > 4_000, "{account:?}");
            account.assert_complete();
        }
        assert_eq!(sim.dropped(DropReason::UnknownSource) + sim.dropped(DropReason::BadRtcp), 0);
    }
}

#[test]
fn whoever_gets_the_port_of_one_who_has_gone_has_the_address_by_an_answer_from_there() {
    for (mut sim, shards) in nodes() {
        let calls = calls(&mut sim, shards);
        let address = sim.peer(calls.publishers[0]).client.address();
        let gone = sim.peer(calls.publishers[0]).session;
        sim.vanish(calls.publishers[0]);
        sim.rebind(calls.publishers[1], address);
        sim.run_for(PAUSE);
        let before = received(&sim, &calls, 1);
        let patience = 9 * SECOND;
        assert!(sim.run_until_that(patience, |sim| received(sim, &calls, 1) > before + 100));
        assert!(sim.holds_address(ShardId(shards[1]), address));
        // The session that had it is still there, and has lost nothing else.
        assert!(sim.told(|event| matches!(event, Event::Ended(id, _) if *id == gone)).is_empty());
        assert_eq!(sim.counted(|counters| counters.session_failures), 0);
    }
}

#[test]
fn who_answers_nothing_has_the_address_of_one_who_has_gone_after_ten_seconds() {
    for (mut sim, shards) in nodes() {
        let calls = calls(&mut sim, shards);
        let address = sim.peer(calls.publishers[0]).client.address();
        sim.peer_mut(calls.publishers[1]).down.without_checks = true;
        sim.vanish(calls.publishers[0]);
        sim.rebind(calls.publishers[1], address);
        sim.run_for(9 * SECOND);
        assert!(sim.holds_address(ShardId(shards[0]), address), "{shards:?}");
        let before = received(&sim, &calls, 1);
        // Its next check is three seconds away at most.
        let patience = 5 * SECOND;
        assert!(sim.run_until_that(patience, |sim| received(sim, &calls, 1) > before + 100), "{shards:?}");
        assert!(sim.holds_address(ShardId(shards[1]), address));
    }
}

#[test]
fn copied_checks_alone_keep_no_address_from_the_next_who_is_there() {
    for (mut sim, shards) in nodes() {
        let calls = calls(&mut sim, shards);
        let address = SocketAddr::from(([10, 0, 0, 1], 7000));
        sim.onlookers.insert(address, Vec::new());
        copy_checks(&mut sim, &calls, address, SECOND);
        assert!(sim.holds_address(ShardId(shards[1]), address));
        sim.onlookers.remove(&address);
        sim.peer_mut(calls.publishers[0]).down.without_checks = true;
        sim.rebind(calls.publishers[0], address);
        let before = received(&sim, &calls, 0);
        assert!(sim.run_until_that(5 * SECOND, |sim| received(sim, &calls, 0) > before + 50), "{shards:?}");
        sim.pause_sources();
        sim.run_for(SECOND);
        sim.account(calls.viewers[1], &calls.tracks[1]).assert_complete();
    }
}

#[test]
fn an_address_that_was_taken_in_a_silence_is_back_with_the_next_checks_of_its_client() {
    for (mut sim, shards) in nodes() {
        let calls = calls(&mut sim, shards);
        let own = sim.peer(calls.publishers[0]).client.address();
        sim.rebind(calls.publishers[0], SocketAddr::from(([10, 9, 9, 5], 7000)));
        sim.run_for(11 * SECOND);
        copy_checks(&mut sim, &calls, own, SECOND);
        assert!(sim.holds_address(ShardId(shards[1]), own));
        sim.rebind(calls.publishers[0], own);
        copy_checks(&mut sim, &calls, own, 12 * SECOND);
        assert!(sim.holds_address(ShardId(shards[0]), own));
        let before = received(&sim, &calls, 0);
        copy_checks(&mut sim, &calls, own, SECOND);
        assert!(received(&sim, &calls, 0) > before + 100);
        sim.pause_sources();
        sim.run_for(SECOND);
        // Nobody has taken anything from the one whose checks were copied.
        sim.account(calls.viewers[1], &calls.tracks[1]).assert_complete();
    }
}

#[test]
fn nothing_is_left_of_addresses_that_were_claimed_and_taken() {
    for (mut sim, shards) in nodes() {
        let calls = calls(&mut sim, shards);
        let address = sim.peer(calls.publishers[0]).client.address();
        sim.vanish(calls.publishers[0]);
        sim.rebind(calls.publishers[1], address);
        sim.run_for(70 * SECOND);
        assert_eq!(sim.sizes().sessions, 3);
        for client in [calls.publishers[1], calls.viewers[0], calls.viewers[1]] {
            sim.leave(client);
        }
        sim.run_for(SECOND);
        let sizes = sim.sizes();
        assert_eq!((sizes.sessions, sizes.paths, sizes.paths_elsewhere, sizes.ufrags), (0, 0, 0, 0));
        assert!(sim.shared_port.as_ref().is_none_or(|port| port.owners.is_empty()));
    }
}
