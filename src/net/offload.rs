//! Joining and cutting datagrams: what both drivers share about the kernel's UDP offloads.
//!
//! Owns the cutting of a received buffer that the kernel has joined (GRO) and the decision whether a socket sends
//! segmented (GSO). Must not know which driver asks. Next: received datagrams go to the shard, sends to the kernel.

use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;

use super::ancillary::Notes;
use super::outbox::{Outbox, Piece};
use super::sys::{self, Outgoing};
use super::{Faults, SendReport, SocketIndex};

/// Sends in which every segmented message was refused, in a row, until a socket stops trying.
///
/// One is not enough: kernels before 6.14 answer EINVAL also when the *path* of one destination is too narrow for the
/// segment, and one client behind a narrow tunnel must not take the offload from all others. A device or kernel that
/// cannot segment refuses every time, so it is found out soon, and nothing is lost on the way: refused messages are
/// repeated one datagram at a time.
const REFUSALS_MAX: u8 = 8;

/// A received buffer that holds the datagrams of one source, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Joined {
    pub(super) socket: SocketIndex,
    pub(super) source: SocketAddr,
    pub(super) notes: Notes,
    at: usize,
    end: usize,
    segment: usize,
    done: bool,
}

impl Joined {
    /// Describes the datagrams in `payload`, cut where the kernel has joined them, as its notes say.
    pub(super) fn new(socket: SocketIndex, source: SocketAddr, notes: Notes, payload: Range<usize>) -> Self {
        let len = payload.len();
        let segment = notes.segment.filter(|size| *size > 0).unwrap_or(len);
        Self { socket, source, notes, at: payload.start, end: payload.end, segment, done: false }
    }

    /// Returns the place of the next datagram; an empty payload is one empty datagram.
    pub(super) fn next_range(&mut self) -> Option<Range<usize>> {
        if self.done {
            return None;
        }
        let start = self.at;
        let end = start.saturating_add(self.segment).min(self.end);
        self.at = end;
        self.done = end >= self.end;
        Some(start..end)
    }

    /// Tells whether all datagrams were taken.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }
}

/// Whether sends are segmented, for each socket.
#[derive(Debug)]
pub(super) struct Segmentation {
    wanted: bool,
    sockets: Vec<SocketState>,
    /// Any refusal is remembered, so the common case need not look at the sockets.
    doubtful: bool,
}

#[derive(Debug)]
struct SocketState {
    supported: bool,
    off: bool,
    refusals: u8,
}

impl Segmentation {
    /// Starts with the sockets whose kernel knows the option.
    pub(super) fn new(supported: impl Iterator<Item = bool>) -> Self {
        let sockets = supported.map(|supported| SocketState { supported, off: false, refusals: 0 }).collect();
        Self { wanted: true, sockets, doubtful: false }
    }

    /// Tells whether `socket` sends segmented.
    pub(super) fn allowed(&self, socket: SocketIndex) -> bool {
        self.wanted && self.sockets.get(socket.position()).is_some_and(|state| state.supported && !state.off)
    }

    /// Tells whether any socket sends segmented.
    pub(super) fn in_use(&self) -> bool {
        self.wanted && self.sockets.iter().any(|state| state.supported && !state.off)
    }

    /// Switches all sockets; on forgets old refusals.
    pub(super) fn set(&mut self, on: bool) {
        self.wanted = on;
        for state in &mut self.sockets {
            state.off = false;
            state.refusals = 0;
        }
        self.doubtful = false;
    }

    /// Learns from one batch: `refused` are those of `pieces` whose segmentation the kernel did not take.
    pub(super) fn settle(&mut self, pieces: &[Piece], refused: &[Refusal]) {
        if refused.is_empty() && !self.doubtful {
            return;
        }
        let device_refused = |socket: SocketIndex| {
            let mine = refused.iter().filter(|refusal| blames_socket(refusal.error));
            mine.filter_map(|refusal| pieces.get(refusal.piece))
                .filter(|piece| piece.socket == socket)
                .count()
        };
        self.doubtful = false;
        for (index, state) in self.sockets.iter_mut().enumerate() {
            let Ok(socket) = u8::try_from(index).map(SocketIndex::bound) else { continue };
            let tried =
                pieces.iter().filter(|piece| piece.socket == socket && piece.segment.is_some()).count();
            if tried == 0 || state.off {
                self.doubtful |= state.refusals > 0;
                continue;
            }
            if device_refused(socket) < tried {
                state.refusals = 0;
                continue;
            }
            state.refusals += 1;
            self.doubtful = true;
            if state.refusals >= REFUSALS_MAX {
                state.off = true;
                state.refusals = 0;
                tracing::info!(
                    ?socket,
                    "segmentation offload switched off: the kernel refuses it on this socket"
                );
            }
        }
    }
}

/// A segmented message that the kernel did not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Its position in the batch.
    pub(super) piece: usize,
    /// The error number.
    pub(super) error: i32,
}

/// Tells whether a segmented message that failed so is to be repeated one datagram at a time.
pub(super) fn refuses_segments(error: i32) -> bool {
    blames_socket(error) || error == libc::EMSGSIZE
}

/// Tells whether the error may mean that the device or kernel cannot segment.
///
/// EIO: no checksum offload on the device, or IPsec. EINVAL: option unknown, or (old kernels) the path is too narrow.
/// EMSGSIZE always means the path.
fn blames_socket(error: i32) -> bool {
    error == libc::EIO || error == libc::EINVAL
}

/// Repeats refused messages as single datagrams and counts what became of them.
pub(super) fn send_singly<'a>(
    socket_of: impl Fn(SocketIndex) -> Option<&'a UdpSocket>,
    outbox: &Outbox,
    pieces: &[Piece],
    refused: &[Refusal],
    report: &mut SendReport,
    faults: &mut Faults,
) {
    for piece in refused.iter().filter_map(|refusal| pieces.get(refusal.piece)) {
        faults.unsegmented += 1;
        let segment = piece.segment.map_or(piece.len, usize::from).max(1);
        let whole = outbox.message_of(piece);
        for payload in whole.payload.chunks(segment) {
            report.calls += 1;
            let single = Outgoing { payload, segment: None, ..whole };
            match socket_of(piece.socket).map(|socket| sys::send_one(socket, &single)) {
                Some(Ok(_)) => report.taken(1, payload.len()),
                Some(Err(_)) | None => report.failed += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 9))
    }

    /// Returns start and length of each datagram in a payload that begins at 10.
    fn cut(len: usize, segment: Option<usize>) -> Vec<(usize, usize)> {
        let notes = Notes { segment, ..Notes::default() };
        let mut joined = Joined::new(SocketIndex::bound(0), address(), notes, 10..10 + len);
        let mut found = Vec::new();
        while let Some(range) = joined.next_range() {
            found.push((range.start, range.len()));
        }
        assert!(joined.is_done());
        found
    }

    #[test]
    fn a_joined_buffer_is_cut_at_equal_distances() {
        assert_eq!(cut(10, Some(4)), [(10, 4), (14, 4), (18, 2)]);
        assert_eq!(cut(8, Some(4)), [(10, 4), (14, 4)]);
        assert_eq!(cut(10, Some(10)), [(10, 10)]);
        assert_eq!(cut(10, Some(99)), [(10, 10)]);
    }

    #[test]
    fn a_plain_buffer_is_one_datagram_even_when_empty() {
        assert_eq!(cut(10, None), [(10, 10)]);
        assert_eq!(cut(10, Some(0)), [(10, 10)]);
        assert_eq!(cut(0, None), [(10, 0)]);
        assert_eq!(cut(0, Some(5)), [(10, 0)]);
    }

    fn piece(socket: u8, segment: Option<u16>) -> Piece {
        Piece {
            socket: SocketIndex::bound(socket),
            destination: address(),
            start: 0,
            len: 20,
            segment,
            datagrams: 2,
            ecn: 0,
        }
    }

    fn refusal(piece: usize, error: i32) -> Refusal {
        Refusal { piece, error }
    }

    #[test]
    fn a_socket_that_always_refuses_stops_segmenting_and_others_go_on() {
        let mut segmentation = Segmentation::new([true, true].into_iter());
        let pieces = [piece(0, Some(10)), piece(1, Some(10))];
        for round in 0..REFUSALS_MAX {
            assert!(segmentation.allowed(SocketIndex::bound(0)), "{round}");
            segmentation.settle(&pieces, &[refusal(0, libc::EIO)]);
        }
        assert!(!segmentation.allowed(SocketIndex::bound(0)));
        assert!(segmentation.allowed(SocketIndex::bound(1)));
        assert!(segmentation.in_use());
    }

    #[test]
    fn one_narrow_path_does_not_end_segmentation() {
        let mut segmentation = Segmentation::new([true].into_iter());
        let pieces = [piece(0, Some(10)), piece(0, Some(10)), piece(0, None)];
        for _ in 0..100 {
            segmentation.settle(&pieces, &[refusal(1, libc::EINVAL)]);
            segmentation.settle(&pieces[..1], &[refusal(0, libc::EMSGSIZE)]);
        }
        assert!(segmentation.allowed(SocketIndex::bound(0)));
    }

    #[test]
    fn refusals_count_only_in_a_row() {
        let mut segmentation = Segmentation::new([true].into_iter());
        let pieces = [piece(0, Some(10))];
        for _ in 0..10 {
            for _ in 1..REFUSALS_MAX {
                segmentation.settle(&pieces, &[refusal(0, libc::EINVAL)]);
            }
            segmentation.settle(&pieces, &[]);
        }
        assert!(segmentation.allowed(SocketIndex::bound(0)));
    }

    #[test]
    fn batches_without_segments_prove_nothing() {
        let mut segmentation = Segmentation::new([true].into_iter());
        for _ in 0..REFUSALS_MAX {
            segmentation.settle(&[piece(0, Some(10))], &[refusal(0, libc::EINVAL)]);
            segmentation.settle(&[piece(0, None)], &[]);
        }
        assert!(!segmentation.allowed(SocketIndex::bound(0)));
    }

    #[test]
    fn switching_on_gives_another_chance_but_not_to_kernels_without_the_option() {
        let mut segmentation = Segmentation::new([true, false].into_iter());
        for _ in 0..REFUSALS_MAX {
            segmentation.settle(&[piece(0, Some(10))], &[refusal(0, libc::EIO)]);
        }
        assert!(!segmentation.in_use());
        segmentation.set(true);
        assert!(segmentation.allowed(SocketIndex::bound(0)));
        assert!(!segmentation.allowed(SocketIndex::bound(1)));
        segmentation.set(false);
        assert!(!segmentation.in_use());
    }
}
