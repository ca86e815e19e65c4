//! Clients whose address changes in a call, and strangers who would like it to look so.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use ringcast_bench::source::Media;

use crate::harness::{PeerKey, Sim, Track, Way};

const SECOND: Duration = Duration::from_secs(1);

fn call(sim: &mut Sim) -> (Track, PeerKey, PeerKey) {
    let publisher = sim.join(0, Way::clean(10));
    let track = sim.publish(publisher, &[Media::video(30, 150, 900)]).remove(0);
    let viewer = sim.join(0, Way::clean(10));
    sim.subscribe(viewer, &[&track]);
    (track, publisher, viewer)
}

fn received(sim: &Sim, viewer: PeerKey, track: &Track) -> usize {
    sim.received(viewer, track).unwrap().log.len()
}

#[test]
fn who_moves_is_followed() {
    for mover in ["publisher", "viewer"] {
        let mut sim = Sim::new(1, 120);
        let (track, publisher, viewer) = call(&mut sim);
        sim.run_for(3 * SECOND);
        for (turn, port) in [7000, 7001, 7002].into_iter().enumerate() {
            let outside = SocketAddr::from(([10, 9, 9, 5], port));
            sim.rebind(if mover == "publisher" { publisher } else { viewer }, outside);
            sim.run_for(12 * SECOND);
            let before = received(&sim, viewer, &track);
            sim.run_for(SECOND);
            assert!(received(&sim, viewer, &track) > before + 50, "{mover}, move {turn}");
            assert!(sim.holds_address(ringcast::ids::ShardId(0), outside));
        }
        assert_eq!(sim.counted(|counters| counters.session_failures), 0);
    }
}

#[test]
fn copies_sent_from_elsewhere_turn_no_media_away() {
    let mut sim = Sim::new(1, 121);
    let (track, _, viewer) = call(&mut sim);
    sim.run_for(3 * SECOND);
    let stranger = SocketAddr::from(([10, 9, 9, 6], 6000));
    sim.onlookers.insert(stranger, Vec::new());
    let mut copies = 0;
    // The way of the true ones takes 10 ms. Whoever is faster than they are cannot be told from a client that has moved.
    let mut late = VecDeque::from([vec![], vec![]]);
    for _ in 0..2_000 {
        sim.captured = Some(Vec::new());
        sim.run_for(Duration::from_millis(10));
        late.push_back(sim.captured.take().unwrap());
        for (shard, _, datagram) in late.pop_front().unwrap() {
            sim.inject(shard, stranger, &datagram);
            copies += 1;
        }
    }
    assert!(copies > 1_000, "{copies}");
    // Some answers to checks, and what is sent until the viewer's next packets show where it is: once, in twenty seconds.
    let sent = sim.onlookers.remove(&stranger).unwrap();
    let media = sent.iter().filter(|datagram| datagram.first().is_some_and(|first| *first >= 128)).count();
    assert!(media <= 300, "{media} of {} datagrams to the stranger are media", sent.len());
    sim.onlookers.insert(stranger, Vec::new());
    let before = received(&sim, viewer, &track);
    sim.run_for(SECOND);
    assert!(received(&sim, viewer, &track) > before + 140);
    assert_eq!(sim.onlookers[&stranger].len(), 0);
}

/// Checks of a client that nominate (RFC 8445 16.1).
fn nominations(sim: &mut Sim, client: SocketAddr) -> Vec<Vec<u8>> {
    let nominates = |datagram: &[u8]| datagram[20..].chunks(4).any(|word| word == [0, 0x25, 0, 0]);
    checks(sim, client).into_iter().filter(|datagram| nominates(datagram)).collect()
}

fn checks(sim: &mut Sim, client: SocketAddr) -> Vec<Vec<u8>> {
    let captured = sim.captured.take().unwrap().into_iter();
    let checks = captured.filter(|(_, from, datagram)| *from == client && datagram.starts_with(&[0, 1]));
    checks.map(|(_, _, datagram)| datagram).collect()
}

#[test]
fn no_media_follows_a_copied_nomination_to_where_nobody_answers() {
    let mut sim = Sim::new(1, 122);
    sim.captured = Some(Vec::new());
    let (track, _, viewer) = call(&mut sim);
    let bystander = sim.join(0, Way::clean(10));
    sim.subscribe(bystander, &[&track]);
    sim.run_for(3 * SECOND);
    let client = sim.peer(viewer).client.address();
    let copies = nominations(&mut sim, client);
    assert!(!copies.is_empty());
    let stranger = SocketAddr::from(([10, 9, 9, 6], 6000));
    sim.onlookers.insert(stranger, Vec::new());
    let mut copied = 0;
    for copy in copies.iter().cycle().take(400) {
        sim.inject(ringcast::ids::ShardId(0), stranger, copy);
        copied += copy.len();
        sim.run_for(Duration::from_millis(100));
    }
    // Answers, and checks of ours that ask who is there.
    let sent = sim.onlookers.remove(&stranger).unwrap();
    assert!(sent.iter().all(|datagram| datagram.first().is_some_and(|first| *first < 4)));
    assert!(sent.iter().any(|datagram| datagram.starts_with(&[0, 1])));
    let bytes: usize = sent.iter().map(Vec::len).sum();
    assert!(bytes <= 3 * copied, "{bytes} for {copied}");
    sim.onlookers.insert(stranger, Vec::new());
    sim.pause_sources();
    sim.run_for(SECOND);
    for viewer in [viewer, bystander] {
        let account = sim.account(viewer, &track);
        assert!(account.expected > 5_000, "{account:?}");
        account.assert_complete();
    }
}

#[test]
fn who_answers_from_where_it_has_nominated_is_followed_within_a_round_trip() {
    let mut sim = Sim::new(1, 123);
    sim.captured = Some(Vec::new());
    let (track, _, viewer) = call(&mut sim);
    sim.run_for(3 * SECOND);
    let client = sim.peer(viewer).client.address();
    let nomination = nominations(&mut sim, client).pop().unwrap();
    let outside = SocketAddr::from(([10, 9, 9, 5], 7000));
    sim.rebind(viewer, outside);
    // What was on its way is there.
    sim.run_for(Duration::from_millis(20));
    let before = received(&sim, viewer, &track);
    sim.inject(ringcast::ids::ShardId(0), outside, &nomination);
    sim.run_for(Duration::from_millis(100));
    assert!(received(&sim, viewer, &track) > before, "a check and its answer take 20 ms");
}

#[test]
fn checks_that_are_copied_to_where_a_client_was_hold_no_media_there() {
    for nominates in [true, false] {
        let mut sim = Sim::new(1, 124);
        let (track, _, viewer) = call(&mut sim);
        let bystander = sim.join(0, Way::clean(10));
        sim.subscribe(bystander, &[&track]);
        if !nominates {
            sim.nominates_from(viewer, None);
        }
        sim.captured = Some(Vec::new());
        sim.run_for(8 * SECOND);
        let home = sim.peer(viewer).client.address();
        let copies = match nominates {
            true => nominations(&mut sim, home),
            false => checks(&mut sim, home),
        };
        assert!(!copies.is_empty());
        sim.rebind(viewer, SocketAddr::from(([10, 9, 9, 5], 7000)));
        let copy_for = |sim: &mut Sim, steps: usize| {
            for copy in copies.iter().cycle().take(steps) {
                sim.inject(ringcast::ids::ShardId(0), home, copy);
                sim.run_for(Duration::from_millis(20));
            }
        };
        // Its next check proves the new address, its next report says that it is the one.
        copy_for(&mut sim, 250);
        let before = received(&sim, viewer, &track);
        copy_for(&mut sim, 500);
        let came = received(&sim, viewer, &track) - before;
        assert!(came >= 1_450, "{came} packets in ten seconds, nominations: {nominates}");
        sim.pause_sources();
        sim.run_for(SECOND);
        sim.account(bystander, &track).assert_complete();
    }
}
