//! Names, and whose a datagram is.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ringcast::drop::DropReason;
use ringcast::ids::{NodeKeys, SessionId, ShardId};
use ringcast::net::{Datagram, Outbox, SocketIndex};
use ringcast::random::Random;
use ringcast::shard::Mailbox;
use ringcast::shard::command::ShardLimits;
use ringcast::shard::{Certificate, Shard, ShardSetup, WallClock};

use super::{Run, at_ms};

const SHARD: ShardId = ShardId(0);

fn keys() -> NodeKeys {
    NodeKeys::from_secret(&[7; 32], 1, 2, 3)
}

fn from_remote(payload: &[u8]) -> Datagram<'_> {
    Datagram {
        arrived: at_ms(0),
        socket: SocketIndex::bound(0),
        source: SocketAddr::from(([192, 0, 2, 2], 5000)),
        payload,
        ecn: 0,
    }
}

/// A shard without sessions, fed one datagram again and again.
fn demux(datagram: Vec<u8>, expected: DropReason) -> Run {
    let local = SocketAddr::from(([192, 0, 2, 1], 40_000));
    let setup = ShardSetup {
        id: SHARD,
        candidates: vec![local],
        tcp_candidates: Vec::new(),
        certificate: Certificate::generate().unwrap(),
        keys: Arc::new(keys()),
        limits: ShardLimits {
            never_connected: Duration::from_secs(60),
            disconnected: Duration::from_secs(30),
            publication_idle: Duration::from_secs(30),
            sessions: 100,
        },
        clock: WallClock::new(at_ms(0), Duration::ZERO),
        random: Random::from_number(1),
    };
    let mut shard = Shard::new(setup, Mailbox::join(1).pop().unwrap());
    let mut outbox = Outbox::new(1 << 16);
    shard.handle_datagram(at_ms(0), from_remote(&datagram), &mut outbox);
    assert_eq!(shard.counters().dropped[expected as usize], 1, "{expected:?}");
    Box::new(move || {
        shard.handle_datagram(at_ms(0), from_remote(black_box(&datagram)), &mut outbox);
        assert!(outbox.is_empty());
    })
}

/// Media from an address that no check has proven.
pub(super) fn demux_unproven_rtp() -> Run {
    let mut datagram = vec![0x5a; 1200];
    datagram[0] = 0x80;
    demux(datagram, DropReason::UnknownSource)
}

/// A check with a user name that this node made and no session has: what an intruder with an old name can make us do.
pub(super) fn demux_unknown_check() -> Run {
    let name = format!("{}:abcd", keys().mint_ice(SHARD).ufrag);
    let mut attributes = vec![0, 6, 0, name.len() as u8];
    attributes.extend(name.as_bytes());
    attributes.resize(attributes.len().next_multiple_of(4), 0);
    // A priority, and an integrity that nobody gets to compute.
    attributes.extend([0, 0x24, 0, 4, 0x6e, 0, 1, 0xff, 0, 8, 0, 20]);
    attributes.extend([0x5a; 20]);
    let mut datagram = vec![0, 1, 0, attributes.len() as u8, 0x21, 0x12, 0xa4, 0x42];
    datagram.extend([9; 12]);
    datagram.extend(attributes);
    demux(datagram, DropReason::UnknownUfrag)
}

pub(super) fn ufrag_verify() -> Run {
    let keys = keys();
    let ufrag = keys.mint_ice(SHARD).ufrag;
    Box::new(move || {
        assert_eq!(black_box(keys.owner_of_ufrag(black_box(&ufrag))), Ok(SHARD));
    })
}

pub(super) fn session_id_read() -> Run {
    let keys = keys();
    let text = keys.mint_session(SHARD).to_string();
    Box::new(move || {
        let session = SessionId::parse(black_box(&text)).unwrap();
        assert_eq!(black_box(keys.shard_of(&session)), Some(SHARD));
    })
}
