//! Who begins the DTLS handshake, and by what the client's certificate is known.

use std::time::Duration;

use aws_lc_rs::digest::{self, Algorithm};
use ringcast::shard::command::{EndReason, Event};
use ringcast_bench::client;
use ringcast_bench::source::Media;

use crate::harness::{LIMITS, PeerKey, Sim, Track, Way};

const SECOND: Duration = Duration::from_secs(1);

fn viewer(sim: &mut Sim, tracks: &[Track], waits: bool) -> PeerKey {
    let viewer = sim.join(0, Way::clean(10));
    if waits {
        sim.peer_mut(viewer).client.wait_for_dtls();
    }
    sim.subscribe(viewer, &tracks.iter().collect::<Vec<_>>());
    viewer
}

fn assert_seen(sim: &mut Sim, tracks: &[Track], viewers: &[PeerKey]) {
    sim.run_for(2 * SECOND);
    sim.pause_sources();
    sim.run_for(2 * SECOND);
    for viewer in viewers {
        assert_eq!(sim.statistics(*viewer).srtp_profile.as_deref(), Some("AEAD_AES_256_GCM"));
        for track in tracks {
            sim.account(*viewer, track).assert_complete();
        }
    }
    assert_eq!(sim.counted(|counters| counters.session_failures), 0);
}

#[test]
fn viewers_that_wait_for_dtls_see_as_others_do() {
    let mut sim = Sim::new(1, 171);
    let publisher = sim.join(0, Way::clean(10));
    let tracks = sim.publish(publisher, &[Media::audio(), Media::video(30, 150, 900)]);
    let viewers = [true, false, true].map(|waits| viewer(&mut sim, &tracks, waits));
    assert_seen(&mut sim, &tracks, &viewers);
    // A further track, and an ICE restart, leave the roles as they are.
    sim.restart_ice(viewers[0]);
    let more = sim.publish(publisher, &[Media::audio()]);
    for viewer in viewers {
        sim.subscribe(viewer, &[&more[0]]);
    }
    assert_seen(&mut sim, &more, &viewers);
}

#[test]
fn a_publisher_that_offers_to_wait_is_heard() {
    let mut sim = Sim::new(1, 172);
    let publisher = sim.join(0, Way::clean(10));
    let waits = |offer: String| offer.replace("a=setup:actpass", "a=setup:passive");
    let tracks = sim.push(publisher, &[Media::audio(), Media::video(30, 150, 900)], None, waits).unwrap();
    let viewers = [viewer(&mut sim, &tracks, false)];
    assert_seen(&mut sim, &tracks, &viewers);
}

/// The `a=fingerprint` line of the clients' certificate, or of one that differs.
fn line(name: &str, algorithm: &'static Algorithm, is_true: bool) -> String {
    let mut certificate = client::certificate().unwrap();
    if !is_true {
        certificate.reverse();
    }
    let digest = digest::digest(algorithm, &certificate);
    let bytes: Vec<String> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    format!("a=fingerprint:{name} {}\r\n", bytes.join(":"))
}

/// Whether a publisher with these fingerprints is heard.
fn is_heard(seed: u64, lines: &[String]) -> bool {
    let mut sim = Sim::new(1, seed);
    let publisher = sim.join(0, Way::clean(10));
    let tell = |offer: String| {
        let is_fingerprint = |line: &str| line.starts_with("a=fingerprint:");
        let at = offer.find("a=fingerprint:").unwrap();
        let rest: Vec<&str> =
            offer[at..].split_inclusive('\n').filter(|line| !is_fingerprint(line)).collect();
        format!("{}{}{}", &offer[..at], lines.concat(), rest.concat())
    };
    let tracks = sim.push(publisher, &[Media::audio()], None, tell).unwrap();
    let viewer = viewer(&mut sim, &tracks, false);
    sim.run_for(2 * SECOND);
    let refusal = sim.statistics(publisher).refusal;
    let is_heard = sim.received(viewer, &tracks[0]).is_some();
    assert_eq!(refusal.is_some_and(|text| text.contains("does not match a=fingerprint")), !is_heard);
    is_heard
}

#[test]
fn certificates_are_known_by_every_hash_and_the_strongest_decides() {
    let all = [
        ("sha-1", &digest::SHA1_FOR_LEGACY_USE_ONLY),
        ("sha-224", &digest::SHA224),
        ("sha-256", &digest::SHA256),
        ("sha-384", &digest::SHA384),
        ("sha-512", &digest::SHA512),
    ];
    for ((name, algorithm), seed) in all.into_iter().zip(180..) {
        assert!(is_heard(seed, &[line(name, algorithm, true)]), "{name}");
        assert!(!is_heard(seed, &[line(name, algorithm, false)]), "{name}");
    }
    let (weak, strong) =
        (|truth| line("sha-256", &digest::SHA256, truth), |truth| line("sha-512", &digest::SHA512, truth));
    let unknown = || "a=fingerprint:sha3-512 00:01\r\n".to_owned();
    assert!(is_heard(190, &[unknown(), weak(true), strong(false), strong(true)]));
    assert!(!is_heard(191, &[weak(true), strong(false)]));
    assert!(is_heard(192, &[weak(false), strong(true), unknown()]));
}

#[test]
fn a_handshake_that_cannot_be_finished_ends_its_session_as_one_that_never_connected() {
    let mut sim = Sim::new(1, 173);
    let publisher = sim.join(0, Way::clean(10));
    let track = sim.publish(publisher, &[Media::video(30, 150, 900)]).remove(0);
    let bystander = viewer(&mut sim, std::slice::from_ref(&track), false);
    sim.run_for(SECOND);
    // What another client says in its handshake, from the address of one whose own does not get through.
    sim.captured = Some(Vec::new());
    let other = viewer(&mut sim, std::slice::from_ref(&track), false);
    sim.run_for(SECOND);
    let captured = sim.captured.take().unwrap();
    let said = |from| captured.iter().filter(move |(_, client, _)| *client == from);
    let flights: Vec<Vec<u8>> = said(sim.peer(other).client.address())
        .filter(|(.., datagram)| (20..64).contains(&datagram[0]))
        .map(|(.., datagram)| datagram.clone())
        .collect();
    assert!(flights.len() >= 2);
    let liar = sim.join(0, Way::clean(10));
    sim.peer_mut(liar).up.without_dtls = true;
    sim.publish(liar, &[Media::audio()]);
    sim.run_for(SECOND);
    let (shard, address) = (sim.peer(liar).shard, sim.peer(liar).client.address());
    for flight in flights {
        sim.inject(shard, address, &flight);
        sim.run_for(Duration::from_millis(20));
    }
    sim.run_for(LIMITS.never_connected);
    let session = sim.peer(liar).session;
    let ended =
        |event: &Event| matches!(event, Event::Ended(id, EndReason::NeverConnected) if *id == session);
    assert_eq!(sim.told(ended).len(), 1);
    assert_eq!(sim.counted(|all| all.session_failures), 0, "nothing of ours has failed");
    sim.pause_sources();
    sim.run_for(SECOND);
    sim.account(bystander, &track).assert_complete();
}
