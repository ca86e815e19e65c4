//! Datagrams on their way out: one contiguous arena and the list of what lies in it.
//!
//! Owns the bytes between the moment a session seals a packet and the moment a driver hands them to the kernel, and
//! the rules by which neighbours leave as one segmented send. Must not know sockets or the kernel. Bounds: the arena
//! and [`TRANSMITS_MAX`]; a full outbox is flushed by its user. Next: [`super::Driver::send`].
//!
//! ```text
//! arena  | a a a a | a a a a | a a | b b b | free ...
//! list     transmit 0: destination a, segment 4, len 10    transmit 1: destination b
//! ```

use std::net::SocketAddr;

use super::sys::Outgoing;
use super::{NOT_ECT, SocketIndex};

/// Segments of one send at most: older kernels refuse more than 64.
pub const SEGMENTS_MAX: usize = 64;

/// Bytes of one segmented send at most: the kernel refuses more than 65,507, less IPv6 extension headers.
pub const SEGMENTED_BYTES_MAX: usize = 65_000;

/// Entries of the list at most, so that tiny datagrams cannot make it grow without bound.
pub const TRANSMITS_MAX: usize = 4096;

/// An outbox with less room than this counts as full: more than any packet of ours.
pub const ROOM_BYTES_MIN: usize = 2048;

/// One send: neighbouring datagrams of one destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit {
    /// The socket that it leaves by.
    pub socket: SocketIndex,
    /// Where it goes.
    pub destination: SocketAddr,
    /// Offset of its first byte in the arena.
    pub start: usize,
    /// Bytes of all its datagrams.
    pub len: usize,
    /// How many those are.
    pub datagrams: usize,
    /// Bytes of each datagram but the last, which may be shorter.
    pub segment: usize,
    /// The congestion bits that all of them leave with (RFC 3168 5), 0 to 3.
    pub ecn: u8,
}

/// The arena and the list of what is to be sent from it.
pub struct Outbox {
    arena: Box<[u8]>,
    full_at: usize,
    used: usize,
    offered: usize,
    datagrams: usize,
    transmits: Vec<Transmit>,
    /// Some of them do not leave by a socket of the driver.
    aside: bool,
}

impl Outbox {
    /// Makes an empty outbox with an arena of `arena_bytes`.
    pub fn new(arena_bytes: usize) -> Self {
        Self {
            arena: vec![0; arena_bytes].into_boxed_slice(),
            full_at: arena_bytes,
            used: 0,
            offered: 0,
            datagrams: 0,
            transmits: Vec::with_capacity(TRANSMITS_MAX),
            aside: false,
        }
    }

    /// Lets it count as full once it holds `bytes`, so that what was sealed is still in the processor's cache when the
    /// kernel reads it. The room beyond is for who cannot send in between: answers to the reports and checks of a turn.
    pub fn full_at(self, bytes: usize) -> Self {
        Self { full_at: bytes, ..self }
    }

    /// Returns the next `max_len` free bytes for one datagram, or `None` when they are not there.
    ///
    /// Calling it again without [`commit`](Self::commit) offers the same bytes.
    pub fn space(&mut self, max_len: usize) -> Option<&mut [u8]> {
        if self.transmits.len() >= TRANSMITS_MAX {
            return None;
        }
        let end = self.used.checked_add(max_len)?;
        let space = self.arena.get_mut(self.used..end)?;
        self.offered = max_len;
        Some(space)
    }

    /// Holds `max_len` bytes for one datagram until it is there; `None` when they are not there.
    #[inline]
    pub fn reserve(&mut self, max_len: usize) -> Option<Reserved<'_>> {
        self.space(max_len).is_some().then_some(Reserved { outbox: self, max_len })
    }

    /// Makes the first `len` bytes of the last [`space`](Self::space) one datagram.
    ///
    /// A `len` beyond the space that was offered is cut to it.
    pub fn commit(&mut self, socket: SocketIndex, destination: SocketAddr, len: usize) {
        self.commit_marked(socket, destination, len, NOT_ECT);
    }

    /// The same, for a datagram that leaves with these congestion bits, 0 to 3.
    pub fn commit_marked(&mut self, socket: SocketIndex, destination: SocketAddr, len: usize, ecn: u8) {
        debug_assert!(len <= self.offered, "commit of more than was offered");
        let len = len.min(self.offered);
        self.offered = 0;
        let start = self.used;
        self.used += len;
        self.datagrams += 1;
        match self.transmits.last_mut() {
            Some(last) if extends(last, socket, destination, len) && last.ecn == ecn => {
                last.len += len;
                last.datagrams += 1;
            }
            _ => {
                self.aside |= !socket.is_bound();
                self.transmits.push(Transmit {
                    socket,
                    destination,
                    start,
                    len,
                    datagrams: 1,
                    segment: len,
                    ecn,
                });
            }
        }
    }

    /// Tells whether it is time to send: much to send, little room or a long list.
    pub fn is_full(&self) -> bool {
        self.used >= self.full_at
            || self.arena.len() - self.used < ROOM_BYTES_MIN
            || self.transmits.len() >= TRANSMITS_MAX
    }

    /// Tells whether what can be done without may take room: half of it is for who cannot wait.
    pub fn has_room_to_spare(&self) -> bool {
        self.used < self.arena.len() / 2 && self.transmits.len() < TRANSMITS_MAX / 2
    }

    /// Tells whether nothing is to be sent.
    pub fn is_empty(&self) -> bool {
        self.transmits.is_empty()
    }

    /// Tells whether some of it leaves by no socket of the driver but by what stands beside it: TCP connections
    /// ([`tcp`](super::tcp)) and dialled sockets ([`dialled`](super::dialled)).
    pub fn has_aside(&self) -> bool {
        self.aside
    }

    /// Returns the number of datagrams to be sent.
    pub fn len(&self) -> usize {
        self.datagrams
    }

    /// Returns the sends in the order in which they were written.
    pub fn transmits(&self) -> &[Transmit] {
        &self.transmits
    }

    /// Returns the bytes of `transmit`, all its datagrams in a row.
    pub fn bytes_of(&self, transmit: &Transmit) -> &[u8] {
        self.arena.get(transmit.start..transmit.start + transmit.len).unwrap_or_default()
    }

    /// Forgets everything that was written.
    pub fn clear(&mut self) {
        self.used = 0;
        self.offered = 0;
        self.datagrams = 0;
        self.transmits.clear();
        self.aside = false;
    }

    /// Returns `piece` as it is handed to the kernel.
    pub(super) fn message_of(&self, piece: &Piece) -> Outgoing<'_> {
        let Piece { destination, segment, ecn, .. } = *piece;
        let payload = self.arena.get(piece.start..piece.start + piece.len).unwrap_or_default();
        Outgoing { destination, payload, segment, ecn }
    }
}

/// Room for one datagram, which nobody else can take; given back unless it is filled.
pub struct Reserved<'a> {
    outbox: &'a mut Outbox,
    max_len: usize,
}

impl Reserved<'_> {
    /// The room.
    #[inline]
    pub fn space(&mut self) -> &mut [u8] {
        let start = self.outbox.used;
        self.outbox.arena.get_mut(start..start + self.max_len).unwrap_or_default()
    }

    /// Makes the first `len` bytes of it one datagram, which leaves with these congestion bits, 0 to 3.
    #[inline]
    pub fn fill(self, socket: SocketIndex, destination: SocketAddr, len: usize, ecn: u8) {
        self.outbox.commit_marked(socket, destination, len, ecn);
    }
}

/// Tells whether a datagram of `len` bytes may join `last`, whose bytes end where it begins.
///
/// The kernel cuts a segmented send at equal distances, so only the last datagram may be shorter, and an empty one
/// cannot take part at all.
fn extends(last: &Transmit, socket: SocketIndex, destination: SocketAddr, len: usize) -> bool {
    let open = last.len == last.segment * last.datagrams;
    open && len > 0
        && len <= last.segment
        && last.socket == socket
        && last.destination == destination
        && last.datagrams < SEGMENTS_MAX
        && last.len + len <= SEGMENTED_BYTES_MAX
}

/// One message for the kernel: a whole transmit, or one datagram of it where the socket does not segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) socket: SocketIndex,
    pub(super) destination: SocketAddr,
    pub(super) start: usize,
    pub(super) len: usize,
    /// The segment size, only where there are at least two segments: some kernels refuse the option on a single one.
    pub(super) segment: Option<u16>,
    pub(super) datagrams: usize,
    /// The congestion bits of its datagrams.
    pub(super) ecn: u8,
}

/// Walks a list of transmits as pieces.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    transmit: usize,
    at: usize,
}

impl Pieces {
    /// Returns the next piece; `segments` tells which sockets take segmented sends.
    pub(super) fn next(
        &mut self,
        transmits: &[Transmit],
        segments: impl Fn(SocketIndex) -> bool,
    ) -> Option<Piece> {
        while transmits.get(self.transmit).is_some_and(|transmit| !transmit.socket.is_bound()) {
            self.transmit += 1;
        }
        let transmit = transmits.get(self.transmit)?;
        let Transmit { socket, destination, start, len, datagrams, segment, ecn } = *transmit;
        let rest = len - self.at;
        let whole = self.at == 0 && datagrams > 1 && segments(socket);
        let taken = if whole { rest } else { segment.min(rest) };
        let piece = Piece {
            socket,
            destination,
            start: start + self.at,
            len: taken,
            segment: if whole { u16::try_from(segment).ok() } else { None },
            datagrams: if whole { datagrams } else { 1 },
            ecn,
        };
        self.at += taken;
        if self.at >= len {
            self.transmit += 1;
            self.at = 0;
        }
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn write(outbox: &mut Outbox, socket: u8, port: u16, len: usize) {
        let fill = outbox.len() as u8;
        outbox.space(len).unwrap().fill(fill);
        outbox.commit(SocketIndex::bound(socket), address(port), len);
    }

    fn outbox_of(datagrams: &[(u8, u16, usize)]) -> Outbox {
        let mut outbox = Outbox::new(1 << 20);
        for &(socket, port, len) in datagrams {
            write(&mut outbox, socket, port, len);
        }
        outbox
    }

    fn shapes(outbox: &Outbox) -> Vec<(usize, usize)> {
        outbox.transmits().iter().map(|transmit| (transmit.segment, transmit.datagrams)).collect()
    }

    #[test]
    fn equal_neighbours_of_one_destination_leave_together() {
        let outbox = outbox_of(&[(0, 1, 100), (0, 1, 100), (0, 1, 100)]);
        assert_eq!(shapes(&outbox), [(100, 3)]);
        assert_eq!(outbox.len(), 3);
    }

    #[test]
    fn a_shorter_datagram_closes_the_run() {
        let outbox = outbox_of(&[(0, 1, 100), (0, 1, 40), (0, 1, 40), (0, 1, 100)]);
        assert_eq!(shapes(&outbox), [(100, 2), (40, 1), (100, 1)]);
    }

    #[test]
    fn a_longer_datagram_begins_a_new_run() {
        let outbox = outbox_of(&[(0, 1, 100), (0, 1, 101), (0, 1, 101)]);
        assert_eq!(shapes(&outbox), [(100, 1), (101, 2)]);
    }

    #[test]
    fn another_socket_or_destination_begins_a_new_run() {
        let outbox = outbox_of(&[(0, 1, 9), (1, 1, 9), (1, 2, 9), (1, 2, 9), (0, 1, 9)]);
        assert_eq!(shapes(&outbox), [(9, 1), (9, 1), (9, 2), (9, 1)]);
    }

    #[test]
    fn other_congestion_bits_begin_a_new_run() {
        let mut outbox = Outbox::new(100);
        for ecn in [0, 1, 1, 3, 1, 0, 0] {
            outbox.space(9).unwrap().fill(ecn);
            outbox.commit_marked(SocketIndex::bound(0), address(1), 9, ecn);
        }
        let mut cursor = Pieces::default();
        let pieces = std::iter::from_fn(|| cursor.next(outbox.transmits(), |_| true));
        let found: Vec<_> = pieces.map(|piece| (piece.ecn, piece.datagrams)).collect();
        assert_eq!(found, [(0, 1), (1, 2), (3, 1), (1, 1), (0, 2)]);
    }

    #[test]
    fn an_empty_datagram_stands_alone() {
        let outbox = outbox_of(&[(0, 1, 0), (0, 1, 0), (0, 1, 5), (0, 1, 0)]);
        assert_eq!(shapes(&outbox), [(0, 1), (0, 1), (5, 1), (0, 1)]);
        assert_eq!(outbox.len(), 4);
    }

    #[test]
    fn segment_count_is_bounded() {
        let outbox = outbox_of(&vec![(0, 1, 10); SEGMENTS_MAX + 1]);
        assert_eq!(shapes(&outbox), [(10, SEGMENTS_MAX), (10, 1)]);
    }

    #[test]
    fn segmented_bytes_are_bounded() {
        let fitting = SEGMENTED_BYTES_MAX / 1200;
        let outbox = outbox_of(&vec![(0, 1, 1200); fitting + 1]);
        assert_eq!(shapes(&outbox), [(1200, fitting), (1200, 1)]);
    }

    #[test]
    fn a_datagram_beyond_the_segmented_bound_may_leave_alone() {
        let outbox = outbox_of(&[(0, 1, 65_507), (0, 1, 1)]);
        assert_eq!(shapes(&outbox), [(65_507, 1), (1, 1)]);
    }

    #[test]
    fn bytes_are_those_written_and_a_shorter_commit_leaves_no_gap() {
        let mut outbox = Outbox::new(100);
        outbox.space(50).unwrap()[..3].copy_from_slice(b"abc");
        outbox.commit(SocketIndex::bound(0), address(1), 3);
        outbox.space(50).unwrap()[..3].copy_from_slice(b"def");
        outbox.commit(SocketIndex::bound(0), address(1), 3);
        let [transmit] = outbox.transmits() else { panic!("one transmit expected") };
        assert_eq!(outbox.bytes_of(transmit), b"abcdef");
    }

    #[test]
    fn a_full_arena_offers_no_space_until_cleared() {
        let mut outbox = Outbox::new(10);
        assert!(outbox.space(11).is_none());
        write(&mut outbox, 0, 1, 10);
        assert!(outbox.space(1).is_none());
        assert!(outbox.space(usize::MAX).is_none());
        assert!(outbox.is_full());
        outbox.clear();
        assert!(outbox.is_empty());
        assert_eq!(outbox.len(), 0);
        assert!(outbox.space(10).is_some());
    }

    #[test]
    fn a_long_list_counts_as_full() {
        let mut outbox = Outbox::new(1 << 20);
        for _ in 0..TRANSMITS_MAX {
            write(&mut outbox, 0, 1, 0);
        }
        assert!(outbox.is_full());
        assert!(outbox.space(0).is_none());
    }

    #[test]
    fn an_outbox_counts_as_full_long_before_it_has_no_room() {
        let mut outbox = Outbox::new(4 << 20).full_at(100);
        write(&mut outbox, 0, 1, 99);
        assert!(!outbox.is_full());
        write(&mut outbox, 0, 1, 1);
        assert!(outbox.is_full());
        assert!(outbox.space(1 << 20).is_some());
    }

    #[test]
    fn space_offered_twice_is_the_same_space() {
        let mut outbox = Outbox::new(10);
        outbox.space(10).unwrap()[0] = 1;
        assert_eq!(outbox.space(4).unwrap(), [1, 0, 0, 0]);
    }

    fn pieces(outbox: &Outbox, segments: bool) -> Vec<(usize, usize, Option<u16>)> {
        let mut cursor = Pieces::default();
        let mut found = Vec::new();
        while let Some(piece) = cursor.next(outbox.transmits(), |_| segments) {
            found.push((piece.start, piece.len, piece.segment));
        }
        found
    }

    #[test]
    fn pieces_are_whole_transmits_where_the_socket_segments() {
        let outbox = outbox_of(&[(0, 1, 10), (0, 1, 10), (0, 1, 4), (0, 2, 7), (0, 2, 0)]);
        assert_eq!(pieces(&outbox, true), [(0, 24, Some(10)), (24, 7, None), (31, 0, None)]);
    }

    #[test]
    fn pieces_are_single_datagrams_where_it_does_not() {
        let outbox = outbox_of(&[(0, 1, 10), (0, 1, 10), (0, 1, 4), (0, 2, 7), (0, 2, 0)]);
        let singles = [(0, 10, None), (10, 10, None), (20, 4, None), (24, 7, None), (31, 0, None)];
        assert_eq!(pieces(&outbox, false), singles);
    }

    #[test]
    fn a_switch_in_the_middle_of_a_transmit_keeps_its_datagrams_whole() {
        let outbox = outbox_of(&[(0, 1, 10), (0, 1, 10), (0, 1, 10)]);
        let mut cursor = Pieces::default();
        assert_eq!(cursor.next(outbox.transmits(), |_| false).map(|piece| piece.len), Some(10));
        assert_eq!(cursor.next(outbox.transmits(), |_| true).map(|piece| piece.len), Some(10));
        assert_eq!(cursor.next(outbox.transmits(), |_| true).map(|piece| piece.len), Some(10));
        assert_eq!(cursor.next(outbox.transmits(), |_| true), None);
    }
}
