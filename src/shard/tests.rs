//! Properties of a shard that need no media: refusal, isolation, ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::command::{Command, EndReason, Event, ShardLimits};
use super::mailbox::Mailbox;
use super::*;
use crate::ids::NodeKeys;
use crate::net::Datagram;

fn shard(sessions: usize) -> (Shard, Arc<NodeKeys>) {
    let keys = Arc::new(NodeKeys::generate());
    let setup = ShardSetup {
        id: ShardId(0),
        candidates: vec!["192.0.2.1:40000".parse().unwrap()],
        tcp_candidates: Vec::new(),
        certificate: Certificate::generate().unwrap(),
        keys: Arc::clone(&keys),
        limits: ShardLimits {
            never_connected: Duration::from_secs(60),
            disconnected: Duration::from_secs(30),
            publication_idle: Duration::from_secs(30),
            sessions,
        },
        clock: WallClock::new(start(), Duration::from_secs(1_800_000_000)),
    };
    (Shard::new(setup, Mailbox::join(1).pop().unwrap()), keys)
}

#[expect(
    clippy::disallowed_methods,
    reason = "an instant can only be had from the clock; time then stands still"
)]
fn start() -> Instant {
    Instant::now()
}

fn source() -> SocketAddr {
    "198.51.100.7:5000".parse().unwrap()
}

fn dropped(shard: &mut Shard, reason: DropReason) -> u64 {
    shard.counters().dropped[reason as usize]
}

#[test]
fn a_panic_inside_one_session_ends_that_session_alone() {
    let (mut shard, keys) = shard(10);
    let now = start();
    let mut outbox = Outbox::new(1 << 16);
    let ids = [keys.mint_session(ShardId(0)), keys.mint_session(ShardId(0))];
    for session in ids {
        shard.handle_command(
            now,
            Command::Open { session, dialled: Vec::new(), credentials: None },
            &mut outbox,
        );
    }
    let key = shard.by_id[&ids[0]];
    let result: Result<(), DropReason> =
        shard.with_session(now, key, &mut outbox, |_, _, _| panic!("made to fail"));
    assert_eq!(result, Err(DropReason::Refused));
    assert_eq!(shard.counters().session_failures, 1);
    assert_eq!(shard.sizes().sessions, 1);
    assert!(matches!(shard.poll_event(), Some(Event::Ended(id, EndReason::Failed)) if id == ids[0]));
    assert!(shard.by_id.contains_key(&ids[1]));
}

#[test]
fn what_belongs_to_nobody_is_dropped_with_its_reason() {
    let (mut shard, keys) = shard(10);
    let now = start();
    let mut outbox = Outbox::new(1 << 16);
    let mut give = |shard: &mut Shard, payload: &[u8]| {
        shard.handle_datagram(
            now,
            Datagram { socket: SocketIndex::bound(0), source: source(), payload, ecn: 0, arrived: now },
            &mut outbox,
        );
    };
    give(&mut shard, &[]);
    give(&mut shard, &[0x80; DATAGRAM_BYTES_MAX + 1]);
    assert_eq!(dropped(&mut shard, DropReason::Size), 2);
    give(&mut shard, &[200, 1, 2, 3]);
    assert_eq!(dropped(&mut shard, DropReason::UnknownProtocol), 1);
    for first in [22, 0x80, 0xbf] {
        give(&mut shard, &[first; 100]);
    }
    assert_eq!(dropped(&mut shard, DropReason::UnknownSource), 3);
    for len in 1..40 {
        give(&mut shard, &vec![0; len]);
    }
    assert_eq!(dropped(&mut shard, DropReason::BadStun), 39);
    give(&mut shard, &check("nobody"));
    assert_eq!(dropped(&mut shard, DropReason::ForeignUfrag), 1);
    give(&mut shard, &check(&keys.mint_ice(ShardId(0)).ufrag));
    assert_eq!(dropped(&mut shard, DropReason::UnknownUfrag), 1);
    assert!(outbox.is_empty(), "none of it is answered");
    assert_eq!(shard.sizes().paths, 0, "none of it leaves a trace");
}

/// A well-formed binding request for a user name, with an integrity code that is made up.
fn check(ufrag: &str) -> Vec<u8> {
    let name = format!("{ufrag}:peer");
    let mut attributes = vec![0, 6, 0, u8::try_from(name.len()).unwrap()];
    attributes.extend_from_slice(name.as_bytes());
    attributes.resize(attributes.len().next_multiple_of(4), 0);
    attributes.extend_from_slice(&[0, 0x24, 0, 4, 0, 0, 0, 1]);
    attributes.extend_from_slice(&[0, 8, 0, 20]);
    attributes.extend_from_slice(&[7; 20]);
    let mut message = vec![0, 1, 0, u8::try_from(attributes.len()).unwrap(), 0x21, 0x12, 0xa4, 0x42];
    message.extend_from_slice(&[9; 12]);
    message.extend_from_slice(&attributes);
    message
}

#[test]
fn a_session_that_never_connects_ends_exactly_when_its_time_is_over() {
    let (mut shard, keys) = shard(10);
    let now = start();
    let mut outbox = Outbox::new(1 << 16);
    let session = keys.mint_session(ShardId(0));
    shard.handle_command(now, Command::Open { session, dialled: Vec::new(), credentials: None }, &mut outbox);
    let end = now + Duration::from_secs(60);
    assert_eq!(shard.poll_timeout(), Some(end));
    shard.handle_timeout(end - Duration::from_millis(1), &mut outbox);
    assert_eq!(shard.sizes().sessions, 1);
    shard.handle_timeout(end, &mut outbox);
    assert_eq!(shard.sizes(), TableSizes::default());
    assert!(matches!(shard.poll_event(), Some(Event::Ended(id, EndReason::NeverConnected)) if id == session));
}

#[test]
fn sessions_beyond_the_bound_are_refused() {
    let (mut shard, keys) = shard(1);
    let now = start();
    let mut outbox = Outbox::new(1 << 16);
    for _ in 0..2 {
        let session = keys.mint_session(ShardId(0));
        shard.handle_command(
            now,
            Command::Open { session, dialled: Vec::new(), credentials: None },
            &mut outbox,
        );
    }
    assert_eq!(shard.sizes().sessions, 1);
    assert_eq!(dropped(&mut shard, DropReason::Overload), 1);
    assert!(matches!(shard.poll_event(), Some(Event::Ended(..))));
}
