//! RTP and RTCP as only a client can say it: with any contents, sealed with its own keys.

use ringcast::rtp::RtpView;

use crate::Trace;
use crate::harness::forge::{Forger, contexts};
use crate::pieces::read;
use crate::world::{SHARD, Stage, World};

/// RTP packets. A piece is one, of its own stream or of one that the client sends.
pub(crate) fn rtp(input: &[u8]) -> Trace {
    let mut world = World::begin(Stage::Sending);
    let sender = contexts(&world.sim.peer(world.client).client).sender;
    let address = world.sim.peer(world.client).client.address();
    let mids: Vec<String> = world.tracks.iter().map(|track| track.mid.clone()).collect();
    let client = &mut world.sim.peer_mut(world.client).client;
    let streams = [(0, 0), (1, 0), (1, 1), (1, 2)];
    let streams = streams.map(|(track, layer): (usize, usize)| client.published_ssrc(&mids[track], layer));
    let mut index = 30_000;
    for piece in read(input) {
        let mut packet = piece.bytes;
        if packet.len() >= 12 {
            packet[0] = 0x80 | packet[0] & 0x3f;
            // What would be read as RTCP is none.
            packet[1] &= if (64..96).contains(&(packet[1] & 0x7f)) { 0x9f } else { 0xff };
            if let Some(Some(ssrc)) = streams.get(usize::from(piece.kind & 7)) {
                packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
            }
            if piece.kind & 8 != 0 {
                index += 1;
                packet[2..4].copy_from_slice(&(index as u16).to_be_bytes());
            }
        }
        // What is too short to have a header goes as it is.
        let mut datagram = [&packet[..], &[0; 100]].concat();
        let mut len = packet.len();
        if let Some(header) = packet.first_chunk::<12>() {
            let [.., s0, s1, s2, s3] = *header;
            let header_len = RtpView::parse(&packet).map_or(12, |view| view.header_len());
            let index = u64::from(u16::from_be_bytes([header[2], header[3]]));
            let ssrc = u32::from_be_bytes([s0, s1, s2, s3]);
            len = sender.seal(&mut datagram, header_len, len, index, ssrc).unwrap();
        }
        world.sim.inject(SHARD, address, &datagram[..len]);
        world.go_on(piece.kind);
    }
    world.end()
}

/// Compounds of RTCP. What a piece says of streams can be of those that the client is sent or sends.
pub(crate) fn rtcp(input: &[u8]) -> Trace {
    let mut world = World::begin(Stage::Sending);
    let mut forger = Forger::new(&world.sim, world.client);
    let received = world.sim.peer(world.client).client.streams().first().map(|stream| stream.ssrc);
    let mid = world.tracks[1].mid.clone();
    let sent = world.sim.peer_mut(world.client).client.published_ssrc(&mid, 0);
    for piece in read(input) {
        let mut compound = piece.bytes;
        let known = match piece.kind & 3 {
            1 => received,
            2 => sent,
            _ => None,
        };
        // The stream that most of them are about stands behind header and sender.
        if let (Some(ssrc), Some(place)) = (known, compound.get_mut(8..12)) {
            place.copy_from_slice(&ssrc.to_be_bytes());
        }
        if let [first, kind, ..] = &mut compound[..] {
            *first = 0x80 | *first & 0x3f;
            *kind = 192 | *kind & 0x1f;
        }
        forger.rtcp(&mut world.sim, &compound);
        world.go_on(piece.kind);
    }
    world.end()
}
