//! Datagrams of those who have no keys: from anywhere, in a client's name, and during its handshake.

use std::net::SocketAddr;

use crate::Trace;
use crate::pieces::read;
use crate::world::{SHARD, Stage, World};

/// First bytes of what is taken at all: checks, DTLS, RTP and RTCP.
const FIRST: [u8; 8] = [0, 1, 20, 21, 22, 23, 128, 129];

/// From an address that nobody has proven, or from the client's own; as they are, or with a first byte that is known.
///
/// Nothing is sent to a stranger: the simulation does not let that pass.
pub(crate) fn datagrams(input: &[u8]) -> Trace {
    let mut world = World::begin(Stage::Sending);
    let sizes = world.sim.sizes();
    for piece in read(input) {
        let mut datagram = piece.bytes;
        if let Some(first) = datagram.first_mut().filter(|_| piece.kind & 2 != 0) {
            *first = FIRST[usize::from(piece.kind >> 2) % FIRST.len()];
        }
        let source = match piece.kind & 1 {
            0 => SocketAddr::from(([203, 0, 113, 7], 1_000 + u16::from(piece.kind))),
            _ => world.sim.peer(world.client).client.address(),
        };
        world.sim.inject(SHARD, source, &datagram);
        world.go_on(piece.kind);
    }
    assert_eq!(world.sim.sizes(), sizes, "who has no keys changes nothing");
    world.end()
}

/// From the client's address, which it has proven, before its own handshake.
pub(crate) fn handshake(input: &[u8]) -> Trace {
    let mut world = World::begin(Stage::Checked);
    let source = world.sim.peer(world.client).client.address();
    for piece in read(input) {
        world.sim.inject(SHARD, source, &piece.bytes);
        world.go_on(piece.kind);
    }
    world.end()
}
