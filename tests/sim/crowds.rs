//! Those who connect wait behind media, and one of them does not hold up another.

use std::net::SocketAddr;
use std::time::Duration;

use ringcast::drop::DropReason;
use ringcast::ids::ShardId;
use ringcast::shard::command::Event;
use ringcast_bench::source::Media;

use crate::harness::{PeerKey, Sim, Track, Way};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const DELAY_MS: u64 = 60;
const CROWD: usize = 24;

fn is_connected(sim: &Sim, client: PeerKey) -> bool {
    let session = sim.peer(client).session;
    !sim.told(|event| matches!(event, Event::Connected(id) if *id == session)).is_empty()
}

/// A call of two that goes on.
fn call(sim: &mut Sim) -> (PeerKey, Track) {
    let publisher = sim.join(0, Way::clean(10));
    let track = sim.publish(publisher, &[Media::video(30, 150, 900)]).remove(0);
    let viewer = sim.join(0, Way::clean(10));
    sim.subscribe(viewer, &[&track]);
    sim.run_for(SECOND);
    (viewer, track)
}

#[test]
fn a_turn_ends_one_handshake_at_most_and_media_leaves_with_each() {
    let mut sim = Sim::new(1, 150);
    let (viewer, track) = call(&mut sim);
    let begun = sim.counted(|counters| counters.handshakes);
    // All are equally far away, so their datagrams come in the same moments.
    let crowd: Vec<PeerKey> = (0..CROWD)
        .map(|_| {
            let newcomer = sim.join(0, Way::clean(DELAY_MS));
            sim.publish(newcomer, &[Media::audio()]);
            newcomer
        })
        .collect();
    let (mut before, mut most, mut moments) = (begun, 0, Vec::new());
    let all = sim.run_until_that(20 * SECOND, |sim| {
        let handshakes = sim.counted(|counters| counters.handshakes);
        most = most.max(handshakes - before);
        if handshakes > before {
            moments.push(sim.now);
        }
        before = handshakes;
        crowd.iter().all(|newcomer| is_connected(sim, *newcomer))
    });
    assert!(all, "{} of {CROWD} are connected", before - begun);
    assert_eq!(most, 1, "handshakes that ended in one turn");
    assert_eq!(sim.dropped(DropReason::BacklogFull), 0);
    assert!(moments.len() == CROWD && moments.windows(2).any(|two| two[0] == two[1]), "they came together");
    // Nobody in a call has lost anything.
    let media = sim.received(viewer, &track).unwrap().log.len();
    sim.run_for(SECOND);
    assert!(sim.received(viewer, &track).unwrap().log.len() > media);
    assert_eq!(sim.counted(|counters| counters.session_failures), 0);
}

#[test]
fn what_comes_right_behind_the_last_flight_of_a_handshake_is_not_lost() {
    let mut sim = Sim::new(1, 151);
    let newcomers: Vec<(PeerKey, Track)> = (0..8)
        .map(|_| {
            let newcomer = sim.join(0, Way::clean(DELAY_MS));
            (newcomer, sim.publish(newcomer, &[Media::video(50, 150, 900)]).remove(0))
        })
        .collect();
    sim.run_for(2 * SECOND);
    for (newcomer, _) in &newcomers {
        assert!(is_connected(&sim, *newcomer));
    }
    assert_eq!(sim.dropped(DropReason::NoKeys), 0, "a client sends once it has keys, and so had we");
}

/// Rounds of a millisecond until one who connects has keys, while copies of another's check come in or not; and what of these
/// found no room.
fn rounds_beside(flood: u16) -> (Option<u16>, u64) {
    let mut sim = Sim::new(1, 152);
    let (viewer, track) = call(&mut sim);
    sim.captured = Some(Vec::new());
    let target = sim.join(0, Way::clean(DELAY_MS));
    let address = sim.peer(target).client.address();
    sim.publish(target, &[Media::audio()]);
    sim.run_for(2 * MS);
    let check = sim.captured.take().unwrap().into_iter().find(|(_, from, _)| *from == address).unwrap().2;
    let bystander = sim.join(0, Way::clean(DELAY_MS));
    sim.publish(bystander, &[Media::audio()]);
    let elsewhere = |number: u16| SocketAddr::from(([203, 0, 113, 9], 1000 + number));
    for number in 0..flood {
        sim.onlookers.insert(elsewhere(number), Vec::new());
    }
    let mut connected = None;
    for round in 0..1000_u16 {
        for number in 0..flood {
            sim.inject(ShardId(0), elsewhere(number), &check);
        }
        sim.run_for(MS);
        if connected.is_none() && is_connected(&sim, bystander) {
            connected = Some(round);
        }
    }
    let media = sim.received(viewer, &track).unwrap().log.len();
    sim.run_for(SECOND);
    assert!(sim.received(viewer, &track).unwrap().log.len() > media);
    (connected, sim.dropped(DropReason::BacklogFull))
}

#[test]
fn a_flood_for_one_that_connects_holds_up_nobody_else() {
    let (alone, none) = rounds_beside(0);
    let (beside, refused) = rounds_beside(50);
    assert!(none == 0 && refused > 0, "what finds no room is counted");
    assert!(alone.is_some() && alone == beside, "{alone:?} {beside:?}");
}
