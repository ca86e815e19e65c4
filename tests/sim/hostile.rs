//! Strangers and liars change nothing for anybody else.

use std::net::SocketAddr;
use std::time::Duration;

use ringcast::drop::DropReason;
use ringcast::ids::ShardId;
use ringcast::shard::command::{EndReason, Event};
use ringcast_bench::source::Media;

use crate::harness::{LIMITS, PeerKey, Sim, Track, Way};

const SECOND: Duration = Duration::from_secs(1);

/// Numbers without pattern, the same in every run (xorshift64*).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.next() >> 56) as u8).collect()
    }
}

fn stranger(number: u64) -> SocketAddr {
    let [.., high, low] = number.to_be_bytes();
    SocketAddr::from(([203, 0, 113, high], 1000 + u16::from(low)))
}

fn call(sim: &mut Sim) -> (Vec<Track>, Vec<PeerKey>) {
    let publisher = sim.join(0, Way::clean(10));
    let tracks = sim.publish(publisher, &[Media::audio(), Media::video(30, 150, 900)]);
    let subscribers: Vec<PeerKey> = (0..3).map(|_| sim.join(0, Way::clean(10))).collect();
    for subscriber in &subscribers {
        sim.subscribe(*subscriber, &[&tracks[0], &tracks[1]]);
    }
    (tracks, subscribers)
}

fn assert_untouched(sim: &mut Sim, tracks: &[Track], subscribers: &[PeerKey]) {
    sim.pause_sources();
    sim.run_for(2 * SECOND);
    for subscriber in subscribers {
        for track in tracks {
            sim.account(*subscriber, track).assert_complete();
        }
    }
    assert_eq!(sim.counted(|counters| counters.session_failures), 0);
}

#[test]
fn garbage_from_strangers_and_in_the_name_of_clients_changes_nothing() {
    let mut sim = Sim::new(1, 91);
    let (tracks, subscribers) = call(&mut sim);
    sim.run_for(SECOND);
    let clients: Vec<SocketAddr> = subscribers.iter().map(|peer| sim.peer(*peer).client.address()).collect();
    let mut noise = Noise(91);
    for turn in 0..200 {
        for _ in 0..20 {
            let len = noise.below(1500);
            let mut datagram = noise.bytes(len);
            // Half of it begins like one of our protocols.
            if let Some(first) = datagram.first_mut().filter(|_| turn % 2 == 0) {
                *first = [0, 1, 20, 22, 25, 63, 128, 144, 191][noise.below(9)];
            }
            let source = if noise.below(2) == 0 { stranger(noise.next()) } else { clients[noise.below(3)] };
            sim.inject(ShardId(0), source, &datagram);
        }
        sim.run_for(Duration::from_millis(10));
    }
    let paths = sim.sizes().paths;
    assert_eq!(paths, 4, "strangers leave no trace");
    assert_untouched(&mut sim, &tracks, &subscribers);
}

#[test]
fn true_datagrams_with_flipped_bits_change_nothing() {
    let mut sim = Sim::new(1, 92);
    let (tracks, subscribers) = call(&mut sim);
    sim.run_for(SECOND);
    let mut noise = Noise(92);
    let mut flipped = 0;
    for _ in 0..200 {
        sim.captured = Some(Vec::new());
        sim.run_for(Duration::from_millis(10));
        for (shard, source, mut datagram) in sim.captured.take().unwrap() {
            for _ in 0..=noise.below(3) {
                let bit = noise.below(datagram.len() * 8);
                datagram[bit / 8] ^= 1 << (bit % 8);
            }
            let source = if noise.below(4) == 0 { stranger(noise.next()) } else { source };
            sim.inject(shard, source, &datagram);
            flipped += 1;
        }
    }
    assert!(flipped > 500, "{flipped}");
    assert_eq!(sim.sizes().paths, 4);
    assert_untouched(&mut sim, &tracks, &subscribers);
}

#[test]
fn replayed_datagrams_change_nothing() {
    let mut sim = Sim::new(1, 93);
    sim.captured = Some(Vec::new());
    let (tracks, subscribers) = call(&mut sim);
    sim.run_for(SECOND);
    // Among what is replayed is a true keyframe request.
    let ssrc = sim.received(subscribers[0], &tracks[1]).unwrap().ssrc;
    let now = sim.now;
    sim.peer_mut(subscribers[0]).client.request_keyframe(now, ssrc);
    sim.run_for(SECOND);
    let captured = sim.captured.take().unwrap();
    let keyframes =
        |sim: &Sim| sim.peer(tracks[1].owner).client.published()[1].source.totals().next().unwrap().keyframes;
    let (before, refused) = (keyframes(&sim), sim.dropped(DropReason::BadRtcp));
    let mut noise = Noise(93);
    for _ in 0..100 {
        for _ in 0..30 {
            let (shard, source, datagram) = captured[noise.below(captured.len())].clone();
            sim.inject(shard, source, &datagram);
        }
        sim.run_for(Duration::from_millis(10));
    }
    assert_eq!(keyframes(&sim), before, "no old request is obeyed again");
    assert!(sim.dropped(DropReason::BadRtcp) > refused);
    assert_untouched(&mut sim, &tracks, &subscribers);
}

#[test]
fn a_client_hello_from_an_address_that_no_check_has_proven_is_dropped() {
    let mut sim = Sim::new(1, 94);
    sim.captured = Some(Vec::new());
    let (tracks, subscribers) = call(&mut sim);
    sim.run_for(SECOND);
    let captured = sim.captured.take().unwrap();
    // Content type 22, handshake type 1 (RFC 6347 4.1, 4.2.2).
    let hellos: Vec<Vec<u8>> = captured
        .into_iter()
        .map(|(_, _, datagram)| datagram)
        .filter(|datagram| datagram[0] == 22 && datagram.get(13) == Some(&1))
        .collect();
    assert!(hellos.len() >= 4);
    let before = sim.dropped(DropReason::UnknownSource);
    for (hello, number) in hellos.iter().zip(0..) {
        // An answer would go to nobody, which the simulation does not let pass.
        sim.inject(ShardId(0), stranger(number), hello);
    }
    assert_eq!(sim.dropped(DropReason::UnknownSource) - before, hellos.len() as u64);
    assert_untouched(&mut sim, &tracks, &subscribers);
}

#[test]
fn a_client_whose_certificate_is_not_the_described_one_is_refused() {
    let mut sim = Sim::new(1, 95);
    let (tracks, subscribers) = call(&mut sim);
    let liar = sim.join(0, Way::clean(10));
    let began = sim.now;
    let lie = |offer: String| {
        let at = offer.find("a=fingerprint:sha-256 ").unwrap() + "a=fingerprint:sha-256 ".len();
        let other = if &offer[at..=at] == "0" { "1" } else { "0" };
        let true_value = offer[at..at + 95].to_owned();
        let false_value = format!("{other}{}", &true_value[1..]);
        offer.replace(&true_value, &false_value)
    };
    let lies = sim.push(liar, &[Media::audio()], None, lie).unwrap();
    sim.run_for(3 * SECOND);
    let session = sim.peer(liar).session;
    assert!(
        sim.told(|event| matches!(event, Event::PublicationLive(id) if *id == lies[0].publication))
            .is_empty()
    );
    assert!(sim.told(|event| matches!(event, Event::Connected(id) if *id == session)).is_empty());
    let refusal = sim.statistics(liar).refusal;
    assert!(refusal.as_ref().is_some_and(|text| text.contains("fingerprint")), "{refusal:?}");
    assert_eq!(sim.statistics(subscribers[0]).refusal, None);
    assert_untouched(&mut sim, &tracks, &subscribers);
    sim.run_until(began + LIMITS.never_connected + SECOND);
    let end =
        sim.told(|event| matches!(event, Event::Ended(id, EndReason::NeverConnected) if *id == session));
    assert_eq!(end, [began + LIMITS.never_connected]);
}

#[test]
fn a_check_with_another_password_proves_nothing() {
    let mut sim = Sim::new(1, 96);
    sim.captured = Some(Vec::new());
    let (tracks, subscribers) = call(&mut sim);
    sim.run_for(SECOND);
    let captured = sim.captured.take().unwrap();
    // The integrity code of a check covers all of it (RFC 8489 14.5): any check with one byte changed in its
    // transaction id is one with another password.
    let mut count = 0;
    for (shard, _, mut datagram) in
        captured.into_iter().filter(|(_, _, datagram)| datagram.starts_with(&[0, 1]))
    {
        datagram[10] ^= 1;
        sim.inject(shard, stranger(count), &datagram);
        count += 1;
    }
    assert!(count >= 4);
    assert_eq!(sim.dropped(DropReason::BadIntegrity) + sim.dropped(DropReason::BadStun), count);
    assert_eq!(sim.sizes().paths, 4);
    assert_untouched(&mut sim, &tracks, &subscribers);
}
