//! The handshake does not wait for the client's nomination, and goes by the paths that its checks have proven.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use ringcast::drop::DropReason;
use ringcast::ids::ShardId;
use ringcast::net::SocketIndex;
use ringcast::plan::LayerPreference;
use ringcast::session::PATHS_MAX;
use ringcast::shard::command::Event;
use ringcast_bench::source::Media;

use crate::harness::{PeerKey, Sim, Track, Way};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// One way; a round trip is 120 ms.
const DELAY_MS: u64 = 60;

/// What stands in the way of a client's nominations.
#[derive(Debug, Clone, Copy)]
enum Nominates {
    AtOnce,
    After(Duration),
    Never,
}

fn join(sim: &mut Sim, nominates: Nominates) -> PeerKey {
    let client = sim.join(0, Way::clean(DELAY_MS));
    let from = match nominates {
        Nominates::AtOnce => Some(sim.now),
        Nominates::After(span) => Some(sim.now + span),
        Nominates::Never => None,
    };
    sim.nominates_from(client, from);
    client
}

/// Joins as a viewer, who begins DTLS or waits for us to do so.
fn view(sim: &mut Sim, track: &Track, nominates: Nominates, waits: bool) -> PeerKey {
    let viewer = join(sim, nominates);
    if waits {
        sim.peer_mut(viewer).client.wait_for_dtls();
    }
    sim.subscribe(viewer, &[track]);
    viewer
}

fn publish(sim: &mut Sim) -> Track {
    let publisher = sim.join(0, Way::clean(10));
    let track = sim.publish(publisher, &[Media::video(30, 150, 900)]).remove(0);
    sim.run_for(SECOND);
    track
}

fn is_connected(sim: &Sim, client: PeerKey) -> bool {
    let session = sim.peer(client).session;
    !sim.told(|event| matches!(event, Event::Connected(id) if *id == session)).is_empty()
}

/// How long it takes until a client has keys, and until media has come.
fn times(sim: &mut Sim, client: PeerKey, track: Option<&Track>) -> (Duration, Duration) {
    let begun = sim.now;
    assert!(sim.run_until_that(20 * SECOND, |sim| is_connected(sim, client)), "never connected");
    let keyed = sim.now - begun;
    if let Some(track) = track {
        assert!(sim.run_until_that(SECOND, |sim| sim.received(client, track).is_some()), "no media");
    }
    (keyed, sim.now - begun)
}

fn received(sim: &Sim, viewer: PeerKey, track: &Track) -> usize {
    sim.received(viewer, track).map_or(0, |stream| stream.log.len())
}

fn is_media(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| *first >= 128)
}

#[test]
fn who_nominates_late_or_never_is_connected_as_soon_as_who_does_at_once() {
    let joined = |nominates, waits| {
        let mut sim = Sim::new(1, 130);
        let track = publish(&mut sim);
        let viewer = view(&mut sim, &track, nominates, waits);
        let viewed = times(&mut sim, viewer, Some(&track));
        let publisher = join(&mut sim, nominates);
        sim.publish(publisher, &[Media::audio()]);
        let published = times(&mut sim, publisher, None);
        assert_eq!(sim.counted(|counters| counters.session_failures), 0);
        (viewed, published)
    };
    for waits in [false, true] {
        let at_once = joined(Nominates::AtOnce, waits);
        assert_eq!(joined(Nominates::After(3 * SECOND), waits), at_once);
        assert_eq!(joined(Nominates::Never, waits), at_once);
    }
}

/// Where the node offers, checks come before the answer: by this they are answered without it.
fn view_answering(sim: &mut Sim, track: &Track, after: Duration, waits: bool) -> (PeerKey, Duration) {
    let viewer = sim.join(0, Way::clean(DELAY_MS));
    if waits {
        sim.peer_mut(viewer).client.wait_for_dtls();
    }
    let begun = sim.now;
    let (_, answer) = sim.offer_tracks(viewer, &[track], &LayerPreference::default());
    sim.run_until(begun + after);
    sim.take_answer(viewer, &answer);
    times(sim, viewer, Some(track));
    let connected =
        sim.told(|event| matches!(event, Event::Connected(id) if *id == sim.peer(viewer).session));
    (viewer, connected[0] - begun)
}

#[test]
fn checks_are_not_lost_that_come_before_the_answer() {
    let joined = |after, waits| {
        let mut sim = Sim::new(1, 140);
        let track = publish(&mut sim);
        let took = view_answering(&mut sim, &track, after, waits).1;
        assert_eq!(sim.dropped(DropReason::UnknownUfrag), 0);
        took
    };
    let trip = Duration::from_millis(2 * DELAY_MS);
    // Who begins DTLS does so when its check is answered, and its hello takes as long again.
    let at_once = joined(Duration::ZERO, false);
    assert_eq!(joined(trip / 2 + MS, false), at_once);
    assert_eq!(joined(trip + trip / 2, false), at_once);
    // From then on its hello waits for the answer, and what follows takes a round trip.
    for late in [trip * 2, trip * 10] {
        assert_eq!(joined(late, false), late + trip, "{late:?}");
    }
    // Who waits for us has our hello as soon as the answer is there, and finishes by a flight of its own.
    for late in [trip / 2, trip, trip * 10] {
        assert_eq!(joined(late, true), late + trip * 2, "{late:?}");
    }
}

#[test]
fn each_check_is_answered_once_also_before_the_answer() {
    let mut sim = Sim::new(1, 141);
    let track = publish(&mut sim);
    sim.captured = Some(Vec::new());
    let viewer = join(&mut sim, Nominates::Never);
    let address = sim.peer(viewer).client.address();
    sim.onlookers.insert(address, Vec::new());
    let (_, answer) = sim.offer_tracks(viewer, &[&track], &LayerPreference::default());
    sim.run_for(2 * SECOND);
    assert!(sim.onlookers[&address].len() >= 2);
    sim.take_answer(viewer, &answer);
    sim.run_for(8 * SECOND);
    assert_answered_once(&mut sim, address);
}

/// Checks of somebody else's password, and of this one's from a thousand addresses.
#[test]
fn before_the_answer_strangers_prove_nothing_and_copies_are_bounded() {
    let mut sim = Sim::new(1, 142);
    let track = publish(&mut sim);
    sim.captured = Some(Vec::new());
    let (viewer, paths) = (sim.join(0, Way::clean(DELAY_MS)), sim.sizes().paths);
    let address = sim.peer(viewer).client.address();
    let (_, answer) = sim.offer_tracks(viewer, &[&track], &LayerPreference::default());
    sim.run_for(2 * MS);
    let check = sim.captured.take().unwrap().into_iter().find(|(_, from, _)| *from == address).unwrap().2;
    let elsewhere = |number: u16| SocketAddr::from(([203, 0, 113, 1 + (number >> 8) as u8], 1000 + number));
    let mut wrong = check.clone();
    wrong[10] ^= 1;
    for number in 0..1000 {
        sim.inject(ShardId(0), elsewhere(number), &wrong);
        sim.inject(ShardId(0), elsewhere(number), &[22; 1000]);
    }
    assert_eq!(sim.sizes().paths, paths);
    assert_eq!(sim.dropped(DropReason::UnknownSource), 1000);
    // Half of the true check's way is over: who copies is faster.
    for number in 0..1000 {
        let copier = elsewhere(number);
        sim.onlookers.insert(copier, Vec::new());
        for _ in 0..3 {
            sim.inject(ShardId(0), copier, &check);
            sim.inject(ShardId(0), copier, &[22; 1000]);
        }
        let sent: usize = sim.onlookers[&copier].iter().map(Vec::len).sum();
        assert!(0 < sent && sent <= 3 * check.len(), "an answer is no longer than its check");
    }
    assert_eq!(sim.sizes().paths, paths + PATHS_MAX);
    sim.run_for(Duration::from_millis(DELAY_MS));
    sim.take_answer(viewer, &answer);
    times(&mut sim, viewer, Some(&track));
    for number in 0..1000 {
        let received: usize = sim.onlookers[&elsewhere(number)].iter().map(Vec::len).sum();
        assert!(received <= 3 * (check.len() + 1000), "{received}");
    }
    assert_eq!(sim.counted(|counters| counters.session_failures), 0);
}

#[test]
fn over_tcp_nobody_waits_for_a_nomination_either() {
    let mut sim = Sim::new(1, 131);
    sim.socket = SocketIndex::listener(0).unwrap();
    let track = publish(&mut sim);
    let viewer = join(&mut sim, Nominates::Never);
    sim.subscribe(viewer, &[&track]);
    times(&mut sim, viewer, Some(&track));
}

#[test]
fn each_check_is_answered_once() {
    let mut sim = Sim::new(1, 132);
    let track = publish(&mut sim);
    sim.captured = Some(Vec::new());
    let viewer = join(&mut sim, Nominates::Never);
    let address = sim.peer(viewer).client.address();
    sim.onlookers.insert(address, Vec::new());
    sim.subscribe(viewer, &[&track]);
    // Nothing comes back, so the client does nothing but check.
    sim.run_for(10 * SECOND);
    assert_answered_once(&mut sim, address);
}

fn assert_answered_once(sim: &mut Sim, address: SocketAddr) {
    // Transaction ids (RFC 8489 5).
    let sent = sim.captured.take().unwrap().into_iter().filter(|(_, source, _)| *source == address);
    let checks: Vec<Vec<u8>> = sent.map(|(_, _, check)| check[8..20].to_vec()).collect();
    let answers = sim.onlookers[&address].iter().filter(|datagram| datagram.starts_with(&[1, 1]));
    let answers: Vec<Vec<u8>> = answers.map(|answer| answer[8..20].to_vec()).collect();
    assert!(checks.len() >= 4, "{}", checks.len());
    assert_eq!(answers, checks[..answers.len()]);
    assert!(answers.len() >= checks.len() - 2, "the last may be on their way");
}

#[test]
fn a_nomination_that_comes_late_moves_media_within_a_round_trip() {
    let mut sim = Sim::new(1, 133);
    let track = publish(&mut sim);
    let viewer = join(&mut sim, Nominates::Never);
    sim.subscribe(viewer, &[&track]);
    times(&mut sim, viewer, Some(&track));
    sim.run_for(2 * SECOND);
    let elsewhere = SocketAddr::from(([10, 9, 9, 5], 7000));
    sim.rebind(viewer, elsewhere);
    let now = sim.now;
    sim.nominates_from(viewer, Some(now));
    assert!(sim.run_until_that(10 * SECOND, |sim| sim.holds_address(ShardId(0), elsewhere)));
    // Somebody is asked there, answers, and media follows.
    sim.run_for(Duration::from_millis(4 * DELAY_MS));
    let before = received(&sim, viewer, &track);
    assert!(before > 200);
    sim.run_for(100 * MS);
    assert!(received(&sim, viewer, &track) >= before + 10);
}

#[test]
fn a_first_path_that_dies_behind_the_first_check_keeps_nobody_out() {
    for (nominates, waits) in
        [(Nominates::AtOnce, false), (Nominates::Never, false), (Nominates::Never, true)]
    {
        let mut sim = Sim::new(1, 134);
        let track = publish(&mut sim);
        let viewer = view(&mut sim, &track, nominates, waits);
        let first = sim.peer(viewer).client.address();
        assert!(sim.run_until_that(SECOND, |sim| sim.holds_address(ShardId(0), first)));
        // The answer is on its way to where nobody is any more.
        sim.rebind(viewer, SocketAddr::from(([10, 9, 9, 6], 7000)));
        times(&mut sim, viewer, Some(&track));
        let before = received(&sim, viewer, &track);
        sim.run_for(SECOND);
        assert!(received(&sim, viewer, &track) > before + 120, "{nominates:?} {waits}");
    }
}

/// Somebody who sees what a client sends, and sends it on under the address of a third party.
struct Copier {
    victim: SocketAddr,
    /// What was seen, until it is sent on.
    late: VecDeque<Vec<Vec<u8>>>,
    sent: usize,
    /// Whether more than checks was sent on.
    has_handshake: bool,
}

impl Copier {
    /// Copies arrive so many milliseconds after they were seen; the true ones take [`DELAY_MS`].
    fn new(sim: &mut Sim, late_ms: usize) -> Self {
        let victim = SocketAddr::from(([203, 0, 113, 66], 6000));
        sim.onlookers.insert(victim, Vec::new());
        sim.captured = Some(Vec::new());
        Self {
            victim,
            late: std::iter::repeat_n(Vec::new(), late_ms).collect(),
            sent: 0,
            has_handshake: false,
        }
    }

    /// Lets a millisecond pass.
    fn step(&mut self, sim: &mut Sim, client: PeerKey, times: usize) {
        let address = sim.peer(client).client.address();
        sim.run_for(MS);
        let seen = sim.captured.replace(Vec::new()).unwrap();
        let seen = seen.into_iter().filter(|(_, source, _)| *source == address);
        self.late.push_back(seen.map(|(_, _, datagram)| datagram).collect());
        for datagram in self.late.pop_front().unwrap() {
            for _ in 0..times {
                self.send(sim, &datagram);
            }
        }
    }

    /// Sends on a copy.
    fn send(&mut self, sim: &mut Sim, datagram: &[u8]) {
        self.sent += datagram.len();
        self.has_handshake |= datagram[0] > 3;
        sim.inject(ShardId(0), self.victim, datagram);
    }

    fn received<'a>(&self, sim: &'a Sim) -> &'a [Vec<u8>] {
        &sim.onlookers[&self.victim]
    }

    fn assert_bounded(&self, sim: &Sim) {
        let received: usize = self.received(sim).iter().map(Vec::len).sum();
        // An answer and two hellos may go to whoever sent one check, and a third to who answered that.
        let floor = if self.has_handshake { 700 } else { 460 };
        assert!(received <= (3 * self.sent).max(floor), "{received} bytes for {}", self.sent);
    }
}

/// Late and early, once and often: who copies neither hinders the handshake nor makes more of what was sent.
#[test]
fn copies_of_a_joining_client_are_no_lever_and_steal_no_handshake() {
    let cases = [(70, 1), (70, 10), (61, 3), (5, 1), (5, 2)];
    for ((late_ms, times), waits) in cases.into_iter().flat_map(|case| [(case, false), (case, true)]) {
        let mut sim = Sim::new(1, 135);
        let track = publish(&mut sim);
        let mut copier = Copier::new(&mut sim, late_ms);
        let viewer = view(&mut sim, &track, Nominates::Never, waits);
        let begun = sim.now;
        while !is_connected(&sim, viewer) {
            copier.step(&mut sim, viewer, times);
            copier.assert_bounded(&sim);
            assert!(!copier.received(&sim).iter().any(|datagram| is_media(datagram)));
            assert!(sim.now < begun + 2 * SECOND, "{late_ms} {times} {waits}");
        }
        assert!(sim.holds_address(ShardId(0), copier.victim));
        // One byte that looks like media or data is no word that the client has keys.
        for first in [0x80, 23] {
            copier.send(&mut sim, &[first; 60]);
        }
        let is_slower = late_ms > DELAY_MS as usize;
        for _ in 0..500 {
            copier.step(&mut sim, viewer, times);
        }
        if is_slower {
            assert!(
                !copier.received(&sim).iter().any(|datagram| is_media(datagram)),
                "{late_ms} {times} {waits}"
            );
        }
        sim.captured = None;
        // Only the client can finish the handshake, so its end is not only where the copies came from.
        let has_keys = |sim: &mut Sim| sim.peer(viewer).client.connected_at().is_some();
        assert!(sim.run_until_that(3 * SECOND, has_keys), "{late_ms} {times} {waits}");
        // Who was faster than the client looks like one that has moved. A viewer that sees nothing sends checks alone.
        sim.run_for(if is_slower { SECOND } else { 15 * SECOND });
        let before = received(&sim, viewer, &track);
        sim.run_for(SECOND);
        assert!(received(&sim, viewer, &track) > before + 120, "{late_ms} {times} {waits}");
    }
}

#[test]
fn a_copied_nomination_steals_no_media_that_the_handshake_brings() {
    let mut sim = Sim::new(1, 136);
    let track = publish(&mut sim);
    let mut copier = Copier::new(&mut sim, 70);
    let viewer = view(&mut sim, &track, Nominates::AtOnce, false);
    while !is_connected(&sim, viewer) {
        copier.step(&mut sim, viewer, 1);
        copier.assert_bounded(&sim);
    }
    sim.captured = None;
    sim.run_for(SECOND);
    assert!(!copier.received(&sim).iter().any(|datagram| is_media(datagram)));
    assert!(received(&sim, viewer, &track) > 100);
}

/// A client that goes away in its handshake, and copies of its check and hello for a minute.
#[test]
fn copies_of_a_client_that_has_gone_bring_no_more_than_three_times_their_bytes() {
    let mut sim = Sim::new(1, 137);
    let track = publish(&mut sim);
    let mut copier = Copier::new(&mut sim, 1000);
    let viewer = view(&mut sim, &track, Nominates::Never, false);
    let address = sim.peer(viewer).client.address();
    while !copier.late.iter().flatten().any(|datagram| datagram[0] == 22) {
        copier.step(&mut sim, viewer, 1);
    }
    sim.vanish(viewer);
    let seen: Vec<Vec<u8>> = copier.late.drain(..).flatten().collect();
    let (check, hello) = (&seen[0], seen.last().unwrap());
    assert!(sim.holds_address(ShardId(0), address) && check.starts_with(&[0, 1]));
    for number in 0..600 {
        let datagram = if number % 50 == 1 { hello } else { check };
        copier.send(&mut sim, datagram);
        copier.assert_bounded(&sim);
        sim.run_for(50 * MS);
        copier.assert_bounded(&sim);
    }
    assert!(copier.received(&sim).iter().any(|datagram| datagram[0] == 22));
}

#[test]
fn our_hello_leaves_behind_the_answer_to_the_first_check_and_its_timer_starts_then() {
    let mut sim = Sim::new(1, 138);
    let track = publish(&mut sim);
    let viewer = sim.join(0, Way::clean(2_000));
    sim.peer_mut(viewer).client.wait_for_dtls();
    let address = sim.peer(viewer).client.address();
    sim.onlookers.insert(address, Vec::new());
    sim.subscribe(viewer, &[&track]);
    assert!(sim.run_until_that(5 * SECOND, |sim| sim.holds_address(ShardId(0), address)));
    let first: Vec<u8> = sim.onlookers[&address].iter().map(|datagram| datagram[0]).collect();
    assert_eq!(first, [1, 22]);
    assert!(sim.onlookers[&address][1].len() <= 192, "two of them have to fit the bound of a path");
    let hellos = |sim: &Sim| sim.onlookers[&address].iter().filter(|datagram| datagram[0] == 22).count();
    sim.run_for(200 * MS);
    assert_eq!(hellos(&sim), 1);
    sim.run_for(200 * MS);
    assert_eq!(hellos(&sim), 2);
}

#[test]
fn a_copied_check_brings_a_third_party_our_hello_within_the_bound() {
    let mut sim = Sim::new(1, 139);
    let track = publish(&mut sim);
    let mut copier = Copier::new(&mut sim, 1000);
    let viewer = view(&mut sim, &track, Nominates::Never, true);
    let address = sim.peer(viewer).client.address();
    while !sim.holds_address(ShardId(0), address) {
        copier.step(&mut sim, viewer, 1);
    }
    sim.vanish(viewer);
    let check = copier.late.drain(..).flatten().next().unwrap();
    copier.send(&mut sim, &check);
    sim.run_for(20 * SECOND);
    copier.assert_bounded(&sim);
    assert!(copier.received(&sim).iter().any(|datagram| datagram[0] == 22));
    assert!(sim.dropped(DropReason::Amplification) > 0);
}
