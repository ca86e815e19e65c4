//! Sealing for every destination and sending: the arena, and what leaves as one message.
//!
//! Bounds: [`MESSAGES_MAX`] messages and [`ARENA_BYTES`] bytes for one system call, [`SEGMENTS_MAX`] datagrams and
//! [`SEGMENTED_BYTES_MAX`] bytes for one message, [`DESTINATIONS_MAX`] destinations.

use std::io::IoSlice;
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::os::fd::AsRawFd;

use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg};
use ringcast_bench::sealing::{Cipher, Key, TAG_BYTES};

/// Messages of one system call.
const MESSAGES_MAX: usize = 64;
/// Bytes after which a system call is made: what was sealed is still in the cache when the kernel copies it.
const ARENA_BYTES: usize = 256 << 10;
/// Datagrams that the kernel cuts out of one message (`UDP_MAX_SEGMENTS` of kernels before 6.9).
const SEGMENTS_MAX: usize = 64;
/// Bytes of one message: the largest payload of UDP over IPv4.
const SEGMENTED_BYTES_MAX: usize = 65_507;
/// Destinations at one time.
const DESTINATIONS_MAX: usize = 10_000;

/// Destinations with their keys, and the arena in which packets are sealed for them.
pub(crate) struct Forward {
    cipher: Cipher,
    /// Whether the kernel cuts messages into datagrams.
    gso: bool,
    keys: Vec<Key>,
    addresses: Vec<Option<SockaddrStorage>>,
    arena: Vec<u8>,
    /// Where in the arena each message lies.
    messages: Vec<Range<usize>>,
    plain: MultiHeaders<SockaddrStorage>,
    segmented: MultiHeaders<SockaddrStorage>,
}

impl Forward {
    pub(crate) fn new(cipher: Cipher, gso: bool) -> Self {
        Self {
            cipher,
            gso,
            keys: Vec::new(),
            addresses: Vec::new(),
            arena: vec![0; ARENA_BYTES + SEGMENTED_BYTES_MAX + TAG_BYTES],
            messages: Vec::with_capacity(MESSAGES_MAX),
            plain: MultiHeaders::preallocate(MESSAGES_MAX, None),
            segmented: MultiHeaders::preallocate(MESSAGES_MAX, Some(nix::cmsg_space!(u16))),
        }
    }

    /// Adds a destination; one that is there stays as it is.
    pub(crate) fn join(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        let name = Some(SockaddrStorage::from(address));
        if self.keys.len() < DESTINATIONS_MAX && !self.addresses.contains(&name) {
            self.keys.push(Key::of(address.port(), self.cipher)?);
            self.addresses.push(name);
        }
        Ok(())
    }

    /// Removes a destination.
    pub(crate) fn leave(&mut self, address: SocketAddr) {
        let name = Some(SockaddrStorage::from(address));
        if let Some(index) = self.addresses.iter().position(|known| *known == name) {
            self.addresses.swap_remove(index);
            self.keys.swap_remove(index);
        }
    }

    /// Seals packets for every destination and sends them.
    pub(crate) fn forward<'p>(
        &mut self,
        socket: &UdpSocket,
        packets: impl ExactSizeIterator<Item = &'p [u8]> + Clone,
    ) {
        let mut start = 0;
        while start < packets.len() {
            let rest = packets.clone().skip(start);
            let count = if self.gso { run(rest.clone().map(<[u8]>::len)) } else { 1 };
            self.forward_run(socket, rest.take(count));
            start += count;
        }
    }

    /// Sends packets that fit one message to every destination.
    fn forward_run<'p>(&mut self, socket: &UdpSocket, packets: impl Iterator<Item = &'p [u8]> + Clone) {
        let segment = packets.clone().next().map_or(0, <[u8]>::len) + TAG_BYTES;
        let segment = (packets.clone().count() > 1).then(|| u16::try_from(segment).unwrap_or(u16::MAX));
        let (mut at, mut first) = (0, 0);
        self.messages.clear();
        for (index, key) in self.keys.iter().enumerate() {
            let space = self.arena.get_mut(at..).unwrap_or_default();
            let len = seal_run(key, packets.clone(), space);
            self.messages.push(at..at + len);
            at += len;
            if self.messages.len() == MESSAGES_MAX || at >= ARENA_BYTES {
                let names = self.addresses.get(first..=index).unwrap_or_default();
                let headers = if segment.is_some() { &mut self.segmented } else { &mut self.plain };
                send(socket, headers, &self.arena, &self.messages, names, segment.as_ref());
                self.messages.clear();
                (at, first) = (0, index + 1);
            }
        }
        let names = self.addresses.get(first..).unwrap_or_default();
        let headers = if segment.is_some() { &mut self.segmented } else { &mut self.plain };
        send(socket, headers, &self.arena, &self.messages, names, segment.as_ref());
    }
}

/// How many packets at the front fit one message: all as long as the first, but the last may be shorter.
fn run(lengths: impl Iterator<Item = usize>) -> usize {
    let (mut count, mut bytes, mut segment) = (0, 0, 0);
    for length in lengths.map(|length| length + TAG_BYTES) {
        if count == 0 {
            segment = length;
        }
        if count == SEGMENTS_MAX || length > segment || (count > 0 && bytes + length > SEGMENTED_BYTES_MAX) {
            break;
        }
        count += 1;
        bytes += length;
        if length < segment {
            break;
        }
    }
    count
}

/// Seals packets one behind the other. Returns their bytes.
fn seal_run<'p>(key: &Key, packets: impl Iterator<Item = &'p [u8]>, space: &mut [u8]) -> usize {
    let mut at = 0;
    for packet in packets {
        at += key.seal(packet, space.get_mut(at..).unwrap_or_default()).unwrap_or(0);
    }
    at
}

/// Sends messages; one that the kernel refuses is left out, and its loss is seen by its sink.
fn send(
    socket: &UdpSocket,
    headers: &mut MultiHeaders<SockaddrStorage>,
    arena: &[u8],
    messages: &[Range<usize>],
    names: &[Option<SockaddrStorage>],
    segment: Option<&u16>,
) {
    let mut start = 0;
    while start < messages.len() {
        let mut slices: [[IoSlice<'_>; 1]; MESSAGES_MAX] = [[IoSlice::new(&[])]; MESSAGES_MAX];
        let rest = messages.get(start..).unwrap_or_default();
        for (slice, range) in slices.iter_mut().zip(rest) {
            *slice = [IoSlice::new(arena.get(range.clone()).unwrap_or_default())];
        }
        let slices = slices.iter().take(rest.len());
        let names = names.get(start..).unwrap_or_default();
        let (fd, flags) = (socket.as_raw_fd(), MsgFlags::empty());
        let control = segment.map(ControlMessage::UdpGsoSegments);
        let sent = match &control {
            Some(control) => sendmmsg(fd, headers, slices, names, std::slice::from_ref(control), flags),
            None => sendmmsg(fd, headers, slices, names, [], flags),
        };
        start += sent.map_or(1, |sent| sent.count().max(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_packets_leave_together_and_a_shorter_one_closes_the_message() {
        assert_eq!(run([100, 100, 100].into_iter()), 3);
        assert_eq!(run([100, 100, 40, 40].into_iter()), 3);
        assert_eq!(run([100, 101].into_iter()), 1);
        assert_eq!(run([100].into_iter()), 1);
        assert_eq!(run(std::iter::empty()), 0);
    }

    #[test]
    fn a_message_is_bounded_in_datagrams_and_bytes() {
        assert_eq!(run(std::iter::repeat_n(100, 200)), SEGMENTS_MAX);
        let fitting = SEGMENTED_BYTES_MAX / (1200 + TAG_BYTES);
        assert_eq!(run(std::iter::repeat_n(1200, 200)), fitting);
    }

    /// Destinations, packets and expected runs over real sockets: every destination gets every packet, opened with
    /// its own key, in the order of sending.
    fn every_destination_gets_every_packet(gso: bool, lengths: &[usize]) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sinks: Vec<UdpSocket> = (0..70).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let mut forward = Forward::new(Cipher::Aes128Gcm, gso);
        for sink in &sinks {
            forward.join(sink.local_addr().unwrap()).unwrap();
            forward.join(sink.local_addr().unwrap()).unwrap();
        }
        let packets: Vec<Vec<u8>> =
            lengths.iter().zip(1..).map(|(len, fill)| vec![0x80 + fill; *len]).collect();
        forward.forward(&socket, packets.iter().map(Vec::as_slice));
        forward.leave(sinks[0].local_addr().unwrap());
        forward.forward(&socket, packets[..1].iter().map(Vec::as_slice));
        for (index, sink) in sinks.iter().enumerate() {
            let key = Key::of(sink.local_addr().unwrap().port(), Cipher::Aes128Gcm).unwrap();
            let again = packets[..1].iter().filter(|_| index > 0);
            for packet in packets.iter().chain(again) {
                let mut buffer = [0; 2000];
                let len = sink.recv(&mut buffer).unwrap();
                let opened = key.open(&mut buffer[..len]).unwrap();
                assert_eq!(opened, &packet[ringcast_bench::sealing::HEADER_BYTES..]);
            }
            sink.set_nonblocking(true).unwrap();
            assert!(sink.recv(&mut [0; 1]).is_err());
        }
    }

    #[test]
    fn every_destination_gets_every_packet_sealed_for_it() {
        for gso in [true, false] {
            every_destination_gets_every_packet(gso, &[1100, 1100, 1100, 300, 80, 1200]);
            every_destination_gets_every_packet(gso, &[120]);
        }
    }
}
