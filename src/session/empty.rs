//! Empty messages on data channels (RFC 8831 6.6): some bytes that mean nothing, under a payload protocol of their own.
//!
//! The engine knows that protocol, and yet numbers such a message and sends nothing of it; the stream then waits for the
//! number for ever. So it is given a mark in place of an empty message, and where its packets pass on their way into DTLS
//! the mark becomes what it stands for. It is random, and each transport has its own, so nobody hits on it by chance.
//!
//! ```text
//! | ports 4 | tag 4 | checksum 4 |                                          SCTP (RFC 9260 3)
//! | 0 | flags | length 2 | TSN 4 | stream 2 | number 2 | protocol 4 | bytes |  a chunk of data
//! ```

use std::borrow::Cow;

use crate::random::Random;

/// Bytes of the mark.
const MARK_LEN: usize = 16;
/// Ports, tag and checksum of a packet.
const HEADER_LEN: usize = 12;
/// Type, flags and length of a chunk.
const CHUNK_HEADER_LEN: usize = 4;
/// What stands in a chunk of data in front of the bytes of the message.
const DATA_HEADER_LEN: usize = 16;
/// Where the payload protocol stands in it.
const PROTOCOL_AT: usize = 12;
/// Type of a chunk that holds a message or a piece of one.
const DATA: u8 = 0;
/// Reversed polynomial of CRC32c (RFC 9260 A).
const CRC32C: u32 = 0x82f6_3b78;

/// What is sent in place of an empty message: its payload protocol, and the one that it becomes (RFC 8831 8).
const PROTOCOLS: [(u32, u32); 2] = [(51, 56), (53, 57)];

/// What the engine of one transport is given for an empty message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mark([u8; MARK_LEN]);

impl Mark {
    pub(super) fn draw(random: &mut Random) -> Self {
        Self(random.bytes())
    }

    /// What is sent in place of nothing.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Turns the marks in a packet of the engine into empty messages. Most packets hold none and stay as they are.
pub(super) fn restore(packet: &[u8], mark: Mark) -> Cow<'_, [u8]> {
    let mut restored = Cow::Borrowed(packet);
    let mut at = HEADER_LEN;
    while let Some((kind, chunk)) = chunk(packet, at) {
        if kind == DATA
            && let Some(protocol) = empty_protocol(chunk, mark)
            && let Some(place) =
                restored.to_mut().get_mut(at + PROTOCOL_AT..).and_then(<[u8]>::first_chunk_mut)
        {
            *place = protocol.to_be_bytes();
        }
        // Chunks begin at words (RFC 9260 3.2); one is four bytes long at least.
        at += chunk.len().next_multiple_of(4);
    }
    if let Cow::Owned(packet) = &mut restored {
        write_checksum(packet);
    }
    restored
}

/// The chunk that begins at `at`, with its type.
fn chunk(packet: &[u8], at: usize) -> Option<(u8, &[u8])> {
    let [kind, _, high, low]: [u8; CHUNK_HEADER_LEN] = *packet.get(at..)?.first_chunk()?;
    let len = usize::from(u16::from_be_bytes([high, low])).max(CHUNK_HEADER_LEN);
    Some((kind, packet.get(at..at + len)?))
}

/// The payload protocol of the empty message that a chunk stands for, if it stands for one.
fn empty_protocol(chunk: &[u8], mark: Mark) -> Option<u32> {
    let (header, bytes) = chunk.split_first_chunk::<DATA_HEADER_LEN>()?;
    if bytes != mark.as_bytes() {
        return None;
    }
    let written = header.get(PROTOCOL_AT..)?.first_chunk().map(|protocol| u32::from_be_bytes(*protocol))?;
    PROTOCOLS.iter().find(|(marked, _)| *marked == written).map(|(_, empty)| *empty)
}

fn write_checksum(packet: &mut [u8]) {
    let place = HEADER_LEN - 4..HEADER_LEN;
    if let Some(field) = packet.get_mut(place.clone()) {
        field.fill(0);
    }
    let sum = crc32c(packet);
    if let Some(field) = packet.get_mut(place).and_then(<[u8]>::first_chunk_mut) {
        // RFC 9260 A: in the order in which its bits would be sent.
        *field = sum.to_le_bytes();
    }
}

/// Bit by bit: it is needed for an empty message alone.
fn crc32c(bytes: &[u8]) -> u32 {
    let byte = |sum: u32, byte: &u8| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| sum >> 1 ^ if sum & 1 == 1 { CRC32C } else { 0 })
    };
    !bytes.iter().fold(u32::MAX, byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: Mark = Mark(*b"nothing is meant");

    fn data(protocol: u32, bytes: &[u8]) -> Vec<u8> {
        let len = (DATA_HEADER_LEN + bytes.len()) as u16;
        let mut chunk = vec![DATA, 3];
        chunk.extend(len.to_be_bytes());
        chunk.extend([0, 0, 0, 9, 0, 4, 0, 1]);
        chunk.extend(protocol.to_be_bytes());
        chunk.extend(bytes);
        chunk.resize(chunk.len().next_multiple_of(4), 0);
        chunk
    }

    fn packet(chunks: &[Vec<u8>]) -> Vec<u8> {
        let mut packet = [&[0x13, 0x88, 0x13, 0x88, 1, 2, 3, 4, 0, 0, 0, 0][..], &chunks.concat()].concat();
        write_checksum(&mut packet);
        packet
    }

    #[test]
    fn marks_become_empty_messages_and_all_else_stays() {
        let sack = vec![3, 0, 0, 16, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0];
        let others = [
            sack,
            data(53, b"hello"),
            data(50, MARK.as_bytes()),
            data(53, &MARK.as_bytes()[1..]),
            data(51, b""),
        ];
        assert!(matches!(restore(&packet(&others), MARK), Cow::Borrowed(_)));
        let with = |text: u32, binary: u32| {
            let marked = [data(text, MARK.as_bytes()), data(53, b"x"), data(binary, MARK.as_bytes())];
            packet(&[others.as_slice(), &marked].concat())
        };
        assert_eq!(restore(&with(51, 53), MARK), with(56, 57));
        let another = Mark::draw(&mut Random::from_number(1));
        assert!(matches!(restore(&with(51, 53), another), Cow::Borrowed(_)), "each transport has its own");
    }

    #[test]
    fn checksums_are_those_of_the_registered_polynomial() {
        // The check value of CRC-32/ISCSI.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn any_bytes_are_survived() {
        let whole = packet(&[data(51, MARK.as_bytes()), data(53, MARK.as_bytes())]);
        for len in 0..whole.len() {
            let _ = restore(&whole[..len], MARK);
            let mut wrong = whole.clone();
            wrong[len] ^= 0xff;
            let _ = restore(&wrong, MARK);
        }
        let endless = [vec![0; HEADER_LEN], vec![0; 1200]].concat();
        let _ = restore(&endless, MARK);
    }
}
