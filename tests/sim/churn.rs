//! Sessions come and go and leave nothing behind.

use std::time::Duration;

use ringcast::metrics::shard::SessionEnd;
use ringcast::shard::TableSizes;
use ringcast_bench::source::Media;

use crate::harness::{LIMITS, PeerKey, Sim, Track, Way};

const SESSIONS: usize = 2_000;
/// Sessions that are there at a time.
const WAVE: usize = 40;

/// Connects one wave: every fourth client publishes, the others receive what it sends.
fn connect(sim: &mut Sim, shards: u8, wave: usize) -> Vec<PeerKey> {
    let mut peers = Vec::new();
    let mut track: Option<Track> = None;
    for number in 0..WAVE {
        let shard = u8::try_from((wave + number) % usize::from(shards)).unwrap();
        let peer = sim.join(shard, Way::clean(1));
        match track.as_ref().filter(|_| number % 4 != 0) {
            Some(track) => {
                sim.subscribe(peer, &[track]);
            }
            None => track = sim.publish(peer, &[Media::audio()]).pop(),
        }
        peers.push(peer);
    }
    let all_connected =
        |sim: &mut Sim| peers.iter().all(|peer| sim.peer(*peer).client.connected_at().is_some());
    assert!(sim.run_until_that(Duration::from_secs(5), all_connected), "wave {wave} does not connect");
    sim.run_for(Duration::from_millis(100));
    peers
}

#[test]
fn two_thousand_sessions_come_and_go_and_leave_nothing_behind() {
    let shards = 3;
    let mut sim = Sim::new(shards, 101);
    for wave in 0..SESSIONS / WAVE {
        let peers = connect(&mut sim, shards, wave);
        assert_eq!(sim.sizes().sessions, WAVE);
        assert!(peers.iter().any(|peer| !sim.peer(*peer).client.streams().is_empty()));
        for (number, peer) in peers.into_iter().enumerate() {
            if number % 2 == 0 {
                let now = sim.now;
                sim.peer_mut(peer).client.close(now);
                sim.run_for(Duration::from_millis(1));
            }
            sim.leave(peer);
        }
        sim.run_for(Duration::from_millis(10));
        assert_eq!(sim.sizes(), TableSizes::default(), "after wave {wave}");
    }
    assert_eq!(sim.counted(|counters| counters.sessions), 0);
    assert_eq!(
        sim.counted(|counters| counters.publications + counters.subscriptions + counters.addresses),
        0
    );
    assert_eq!(sim.counted(|counters| counters.handshakes), SESSIONS as u64);
    assert_eq!(sim.counted(|counters| counters.sessions_ended.of(SessionEnd::Deleted)), SESSIONS as u64);
    assert_eq!(sim.counted(|counters| counters.session_failures), 0);
    // Timers of the dead find nothing, and then there are none.
    sim.run_for(LIMITS.never_connected + Duration::from_secs(1));
    assert!(sim.events.iter().all(|(_, event)| !matches!(event, ringcast::shard::command::Event::Ended(..))));
}

#[test]
fn clients_that_vanish_without_a_word_leave_nothing_behind() {
    let mut sim = Sim::new(3, 102);
    for wave in 0..3 {
        for peer in connect(&mut sim, 3, wave) {
            sim.vanish(peer);
        }
    }
    assert_eq!(sim.sizes().sessions, 3 * WAVE);
    sim.run_for(LIMITS.disconnected + Duration::from_secs(2));
    assert_eq!(sim.sizes(), TableSizes::default());
    assert_eq!(sim.counted(|counters| counters.sessions_ended.of(SessionEnd::TimedOut)), 3 * WAVE as u64);
}
