//! SCTP and messages of data channels as only a client can send them: inside its DTLS, beside its own engine.

use crate::Trace;
use crate::pieces::{Piece, read};
use crate::world::{Stage, World};

/// Bytes of the common header, and of that of a chunk of data (RFC 9260 3.1, 3.3.1).
const HEADER_BYTES: usize = 12;
const DATA_BYTES: usize = 16;
/// Payload protocols: opening, text, binary, both empty, and pieces of both (RFC 8831 8).
const PROTOCOLS: [u32; 7] = [50, 51, 52, 53, 54, 56, 57];

/// Packets of SCTP. A piece is what stands behind the common header, which is right unless the piece says otherwise.
pub(crate) fn sctp(input: &[u8]) -> Trace {
    let mut world = World::begin(Stage::Talking);
    for Piece { kind, bytes } in read(input) {
        let (header, _) = said(&world);
        let mut packet = [&header, &bytes[..]].concat();
        if kind & 1 == 0 {
            write_checksum(&mut packet);
        }
        aside(&mut world, packet, kind);
    }
    world.end()
}

/// Messages, and what opens channels (RFC 8832 5). A piece is one chunk of data in its turn.
pub(crate) fn messages(input: &[u8]) -> Trace {
    let mut world = World::begin(Stage::Talking);
    let (_, mut number) = said(&world);
    for Piece { kind, bytes } in read(input) {
        let (header, _) = said(&world);
        let protocol = PROTOCOLS[usize::from(kind & 7) % PROTOCOLS.len()];
        // Streams and their own numbers come from the bytes; most are whole messages.
        let (stream, rest) = bytes.split_first().unwrap_or((&1, &[]));
        let flags = if kind & 8 == 0 { 7 } else { stream >> 4 & 7 };
        number = number.wrapping_add(1);
        let mut packet = header.to_vec();
        packet.extend([0, flags]);
        packet.extend(((DATA_BYTES + rest.len()) as u16).to_be_bytes());
        packet.extend(number.to_be_bytes());
        packet.extend([0, stream & 15, 0, 0]);
        packet.extend(protocol.to_be_bytes());
        packet.extend(rest);
        packet.resize(packet.len().next_multiple_of(4), 0);
        write_checksum(&mut packet);
        aside(&mut world, packet, kind);
    }
    world.end()
}

/// The common header that the client's own engine writes, and the number of its newest chunk of data.
fn said(world: &World) -> ([u8; HEADER_BYTES], u32) {
    world.sim.peer(world.client).client.newest_sctp().unwrap_or_default()
}

fn aside(world: &mut World, packet: Vec<u8>, kind: u8) {
    let now = world.sim.now;
    world.sim.peer_mut(world.client).client.send_aside(now, packet);
    world.sim.run_for(crate::world::MS);
    world.go_on(kind);
}

/// CRC32c over the packet with nothing in its place (RFC 9260 A).
fn write_checksum(packet: &mut [u8]) {
    packet[8..12].fill(0);
    let byte = |sum: u32, byte: &u8| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| sum >> 1 ^ if sum & 1 == 1 { 0x82f6_3b78 } else { 0 })
    };
    let sum = !packet.iter().fold(u32::MAX, byte);
    packet[8..12].copy_from_slice(&sum.to_le_bytes());
}
