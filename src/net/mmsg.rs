//! The driver for where io_uring cannot be used, and the measure of the other: readiness and batched system calls.
//!
//! Owns the sockets, `SLOTS` receive buffers and the room to build batches. Must not know what a datagram means.
//! Next: datagrams go to the shard, an outbox to the kernel.

use std::future::poll_fn;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::ancillary::Notes;
use super::offload::{Joined, Refusal, Segmentation, refuses_segments, send_singly};
use super::outbox::{Outbox, Piece, Pieces};
use super::sys::{self, BATCH_MAX, OutgoingMessage, Slot};
use super::{
    Datagram, EAGER_WAITS_MAX, Faults, Moment, NetError, SendReport, SocketIndex, Waker, passed, udp,
};

/// Receive buffers. Each holds the longest row of datagrams that the kernel joins, 64 KiB, hence 2 MiB per shard at
/// most; pages that no datagram reaches cost nothing.
const SLOTS: usize = 32;

/// The longest UDP payload, joined or not.
const SLOT_BYTES: usize = 65_536;

const _: () = assert!(SLOTS <= BATCH_MAX, "one call fills all slots");

/// Drives sockets by readiness, `recvmmsg` and `sendmmsg`.
pub struct MmsgDriver {
    sockets: Vec<AsyncFd<UdpSocket>>,
    event: AsyncFd<OwnedFd>,
    waker: Waker,
    slots: Vec<Slot>,
    /// Slots that the last receive filled, the first of them not opened yet, and the socket that they came by.
    filled: usize,
    next: usize,
    socket: SocketIndex,
    /// What is left in the slot before `next`.
    joined: Option<Joined>,
    /// The socket to be asked next, so that a busy one cannot starve the others.
    turn: usize,
    scratch: Vec<OutgoingMessage>,
    pieces: Vec<Piece>,
    refused: Vec<Refusal>,
    waits: u32,
    pub(super) segmentation: Segmentation,
    pub(super) faults: Faults,
}

/// Why a wait ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    Socket,
    Event,
    Deadline,
}

impl MmsgDriver {
    /// Takes over the sockets.
    pub(super) fn new(sockets: Vec<UdpSocket>, waker: &Waker) -> Result<Self, NetError> {
        let segmentation = Segmentation::new(sockets.iter().map(udp::can_segment));
        let event = waker.as_fd().try_clone_to_owned().map_err(NetError::setup("duplicate an eventfd"))?;
        let watched: Result<Vec<_>, _> = sockets.into_iter().map(sys::watch_socket).collect();
        Ok(Self {
            sockets: watched.map_err(NetError::setup("watch a socket"))?,
            event: sys::watch(event).map_err(NetError::setup("watch an eventfd"))?,
            waker: waker.clone(),
            slots: (0..SLOTS).map(|_| Slot::new(SLOT_BYTES)).collect(),
            filled: 0,
            next: 0,
            socket: SocketIndex::bound(0),
            joined: None,
            turn: 0,
            scratch: (0..BATCH_MAX).map(|_| OutgoingMessage::new()).collect(),
            pieces: Vec::with_capacity(BATCH_MAX),
            refused: Vec::with_capacity(BATCH_MAX),
            waits: 0,
            segmentation,
            faults: Faults::default(),
        })
    }

    /// See [`super::Driver::kernel_drops`].
    pub(super) fn kernel_drops(&self) -> u64 {
        self.sockets.iter().map(|socket| udp::kernel_drops(socket.get_ref().as_fd())).sum()
    }

    /// See [`super::Driver::wait`].
    pub(super) async fn wait(&mut self, deadline: Option<Instant>) {
        self.waits += 1;
        if self.waits >= EAGER_WAITS_MAX {
            self.waits = 0;
            tokio::task::yield_now().await;
        }
        if self.joined.is_some() || self.next < self.filled {
            return;
        }
        loop {
            if !self.waker.fall_asleep() {
                return;
            }
            let mut polls = 0;
            let cause = tokio::select! {
                biased;
                cause = poll_fn(|context| { polls += 1; self.poll_cause(context) }) => cause,
                () = passed(deadline) => Cause::Deadline,
            };
            let woken = self.waker.rise();
            if cause == Cause::Deadline && polls < 2 {
                // Readiness is found out only when the thread parks; one that is always late must not grow deaf.
                tokio::task::yield_now().await;
            }
            if woken || cause != Cause::Event {
                return;
            }
        }
    }

    /// See [`super::Driver::poll`]. Asks the sockets themselves: readiness is found out only when the thread parks.
    pub(super) fn poll(&mut self) -> bool {
        if self.joined.is_some() || self.next < self.filled || self.waker.is_woken() {
            return true;
        }
        for index in 0..self.sockets.len() {
            let Some(socket) = self.sockets.get(index) else { continue };
            if let Ok(received) = sys::receive_batch(socket.get_ref(), &mut self.slots)
                && received > 0
            {
                (self.filled, self.next) = (received, 0);
                self.socket = SocketIndex::bound(u8::try_from(index).unwrap_or_default());
                return true;
            }
        }
        false
    }

    fn poll_cause(&self, context: &mut Context<'_>) -> Poll<Cause> {
        let mut cause = Poll::Pending;
        for socket in &self.sockets {
            // Readiness is kept: only a receive that finds nothing more takes it away.
            if let Poll::Ready(ready) = socket.poll_read_ready(context) {
                if let Ok(mut guard) = ready {
                    guard.retain_ready();
                }
                cause = Poll::Ready(Cause::Socket);
            }
        }
        if cause.is_pending()
            && let Poll::Ready(ready) = self.event.poll_read_ready(context)
        {
            // Each write to the eventfd is a new edge; the count is never read (see `Waker`).
            if let Ok(mut guard) = ready {
                guard.clear_ready();
            }
            cause = Poll::Ready(Cause::Event);
        }
        cause
    }

    /// See [`super::Driver::receive`].
    pub(super) fn receive(
        &mut self,
        budget: usize,
        moment: &Moment,
        take: &mut dyn FnMut(Datagram<'_>),
    ) -> usize {
        let mut taken = 0;
        while taken < budget {
            if let Some(datagram) = self.next_datagram(moment) {
                take(datagram);
                taken += 1;
            } else if !self.open_next() && !self.refill() {
                break;
            }
        }
        taken
    }

    /// Returns the next datagram of the slot that is open.
    fn next_datagram(&mut self, moment: &Moment) -> Option<Datagram<'_>> {
        let joined = self.joined.as_mut()?;
        let (socket, source, Notes { ecn, stamp, .. }) = (joined.socket, joined.source, joined.notes);
        let range = joined.next_range();
        if joined.is_done() {
            self.joined = None;
        }
        let payload = self.slots.get(self.next.checked_sub(1)?)?.payload.get(range?)?;
        Some(Datagram { socket, source, payload, ecn, arrived: moment.arrival(stamp) })
    }

    /// Opens the next filled slot, if there is one.
    fn open_next(&mut self) -> bool {
        while let Some(slot) = self.slots.get(self.next).filter(|_| self.next < self.filled) {
            self.next += 1;
            let filled = slot.filled;
            let Some(source) = slot.source().filter(|_| !filled.cut_short) else {
                self.faults.unreadable += 1;
                continue;
            };
            self.joined = Some(Joined::new(self.socket, source, slot.notes(), 0..filled.payload));
            return true;
        }
        false
    }

    /// Asks each socket once, the one whose turn it is first, until one fills slots.
    fn refill(&mut self) -> bool {
        for _ in 0..self.sockets.len() {
            let index = self.turn;
            self.turn = (self.turn + 1) % self.sockets.len();
            let Some(socket) = self.sockets.get(index) else { continue };
            let (slots, mut received) = (&mut self.slots, 0);
            let outcome = socket.try_io(Interest::READABLE, |socket| {
                received = sys::receive_batch(socket, slots)?;
                // Less than a full batch: the socket is empty, which is what "would block" tells the watcher. A
                // datagram that came meanwhile is a new edge, which is looked for when the thread parks.
                if received < SLOTS { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            if outcome.is_err_and(|error| !is_no_fault(&error)) {
                self.faults.receive_errors += 1;
            }
            if received > 0 {
                (self.filled, self.next) = (received, 0);
                self.socket = SocketIndex::bound(u8::try_from(index).unwrap_or_default());
                return true;
            }
        }
        false
    }

    /// See [`super::Driver::send`].
    pub(super) fn send(&mut self, outbox: &Outbox) -> SendReport {
        let mut report = SendReport::default();
        let mut cursor = Pieces::default();
        loop {
            self.pieces.clear();
            self.refused.clear();
            while self.pieces.len() < BATCH_MAX
                && let Some(piece) =
                    cursor.next(outbox.transmits(), |socket| self.segmentation.allowed(socket))
            {
                self.pieces.push(piece);
            }
            if self.pieces.is_empty() {
                return report;
            }
            self.send_pieces(outbox, &mut report);
            self.segmentation.settle(&self.pieces, &self.refused);
            let socket_of = |socket: SocketIndex| self.sockets.get(socket.position()).map(AsyncFd::get_ref);
            send_singly(socket_of, outbox, &self.pieces, &self.refused, &mut report, &mut self.faults);
        }
    }

    /// Hands `pieces` to the kernel, neighbours of one socket in one call.
    fn send_pieces(&mut self, outbox: &Outbox, report: &mut SendReport) {
        let mut at = 0;
        while let Some(first) = self.pieces.get(at) {
            let rest = self.pieces.get(at..).unwrap_or_default();
            let row = rest.iter().take_while(|piece| piece.socket == first.socket);
            let batch = row.clone().map(|piece| outbox.message_of(piece));
            let outcome = match self.sockets.get(first.socket.position()) {
                Some(socket) => sys::send_batch(socket.get_ref(), batch, &mut self.scratch),
                None => Err(io::ErrorKind::NotFound.into()),
            };
            match outcome {
                Ok(sent) if sent > 0 => {
                    for piece in row.take(sent) {
                        report.calls += 1;
                        report.taken(piece.datagrams, piece.len);
                    }
                    at += sent;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => {
                    // The call stopped at its first message: that one is lost or repeated, the others get their try.
                    let error = outcome.err().and_then(|error| error.raw_os_error()).unwrap_or(0);
                    report.calls += 1;
                    if first.segment.is_some() && refuses_segments(error) {
                        self.refused.push(Refusal { piece: at, error });
                    } else {
                        report.failed += first.datagrams as u64;
                    }
                    at += 1;
                }
            }
        }
    }
}

fn is_no_fault(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
