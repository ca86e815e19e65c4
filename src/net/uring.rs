//! The io_uring driver: one ring that receives, sends and hears wakes.
//!
//! Owns the sockets, the ring and its memory. Must not know what a datagram means. Bounds: `BUFFERS` receive buffers,
//! `CHUNK` messages a submission. Next: datagrams go to the shard, an outbox to the kernel.
//!
//! ```text
//!  kernel                                   this driver
//!  multishot recvmsg, one a socket ──────▶  reap(): completions ─▶ arrivals ─▶ receive(): take(datagram)
//!        ▲ takes a free buffer                                                     │
//!        └───────────── buffer ring ◀── give_back(), publish() ◀── all its datagrams taken
//!  multishot poll of the eventfd ────────▶  ends the sleep
//!  timeout, moved when it is too late ───▶  ends the sleep
//!  sendmsg ◀─ submit() ◀─ send(): messages that point into the outbox; only errors come back
//! ```
//!
//! # Who may touch which memory, and when
//!
//! - A *receive buffer* belongs to the kernel from `publish` until the completion that names it, then to us until the
//!   next `give_back`. The kernel may write to the first kind at any time while a receive is armed, so `Drop` ends all
//!   receives, and if it cannot prove that, it leaves the memory mapped for ever.
//! - A *message header* is read by the kernel when its entry is submitted. Every send carries MSG_DONTWAIT, so it is
//!   over, for better or worse, when `submit` returns; the outbox is free again then. If the kernel refuses to take
//!   entries, their messages are blanked, so a later submission of them reads nothing of the outbox.
//! - The *span of the alarm* is read by the kernel when its entry is submitted, and written by us only to make another.
//! - The ring is the first field, so it is closed before its memory is given up.
#![expect(
    unsafe_code,
    reason = "memory shared with the kernel; each block holds one operation and its proof"
)]

mod operation;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use io_uring::types::{BufRingEntry, CancelBuilder, Fd, RecvMsgOut, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use self::operation::{Receiver, Receiving, Token};
use super::ancillary::{CONTROL_BYTES, NAME_BYTES, Notes, read_address};
use super::offload::{Joined, Refusal, Segmentation, refuses_segments, send_singly};
use super::outbox::{Outbox, Piece, Pieces};
use super::sys::{OutgoingMessage, Pages, empty_header};
use super::{
    Datagram, EAGER_WAITS_MAX, Faults, Moment, NetError, SOCKETS_MAX, SendReport, SocketIndex, Waker, udp,
};

/// Receive buffers. More do not make it faster (64 and 128 cost the same as 1024); when they run out, datagrams wait in
/// the socket.
const BUFFERS: u16 = 128;

/// Bytes of a buffer: the longest row of datagrams that the kernel joins, after the head that it writes in front.
/// 8.4 MB a shard, of which only the pages that datagrams reach cost memory.
const BUFFER_BYTES: usize = PAYLOAD_AT + 65_544;

/// Where a payload begins: after 16 bytes of lengths, the source and the control messages.
const PAYLOAD_AT: usize = 16 + NAME_BYTES + CONTROL_BYTES;

/// Messages of one submission at most.
const CHUNK: usize = 256;

/// Entries of the submission queue: a chunk, and the receives and the poll to be armed again.
const SUBMISSIONS: u32 = 512;

/// Entries of the completion queue: one for each buffer, the end of each receive, an error for each message of a chunk.
const COMPLETIONS: u32 = 1024;

const _: () = assert!(BUFFERS.is_power_of_two(), "positions in the buffer ring are taken with a mask");
const _: () = assert!(CHUNK + SOCKETS_MAX < SUBMISSIONS as usize, "a chunk always fits");
const _: () = assert!(
    BUFFERS as usize + 2 * SOCKETS_MAX + CHUNK + 16 < COMPLETIONS as usize,
    "completions are reaped after each chunk, so they never overflow"
);

/// The one group of provided buffers.
const GROUP: u16 = 0;

/// Attempts to make the kernel take what is in the submission queue.
const SUBMIT_TRIES: usize = 8;

/// Pause before a receive that failed for an unusual reason is armed again, so that it cannot spin.
const RETRY: Duration = Duration::from_millis(10);

/// Rounds of cancelling before memory is given up for lost.
const CANCEL_ROUNDS: usize = 32;

/// Drives sockets by a ring of its own.
pub struct UringDriver {
    ring: AsyncFd<IoUring>,
    buffers: BufferRing,
    outgoing: Vec<OutgoingMessage>,
    /// Tells the kernel how much room a buffer's head leaves for source and control messages.
    head: Box<libc::msghdr>,
    sockets: Vec<Receiver>,
    waker: Waker,
    wake_armed: bool,
    /// When the timeout under way ends, if there is one, and its span as the kernel reads it.
    alarm: Option<Instant>,
    alarm_span: Box<Timespec>,
    arrivals: VecDeque<Arrival>,
    joined: Option<(u16, Joined)>,
    /// Number of the present chunk, by which late errors of another are told apart.
    chunk: u32,
    /// The kernel refused entries, which still stand in the submission queue.
    stuck: bool,
    pieces: Vec<Piece>,
    errors: Vec<Refusal>,
    refused: Vec<Refusal>,
    waits: u32,
    pub(super) segmentation: Segmentation,
    pub(super) faults: Faults,
}

/// A filled buffer.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    socket: SocketIndex,
    buffer: u16,
}

/// Builds a ring with everything the driver needs and closes it again.
pub(super) fn try_ring() -> io::Result<()> {
    let ring = build_ring()?;
    let buffers = BufferRing::new(&ring);
    // No receive was armed, so nothing can be written to the buffers; the ring goes first all the same.
    drop(ring);
    buffers.map(drop)
}

/// COOP_TASKRUN rather than DEFER_TASKRUN: the descriptor of a deferring ring does not wake epoll.
fn build_ring() -> io::Result<IoUring> {
    IoUring::builder()
        .setup_coop_taskrun()
        .setup_taskrun_flag()
        .setup_single_issuer()
        .setup_submit_all()
        .setup_cqsize(COMPLETIONS)
        .dontfork()
        .build(SUBMISSIONS)
}

impl UringDriver {
    /// Takes over the sockets and begins to receive.
    pub(super) fn new(sockets: Vec<UdpSocket>, waker: &Waker) -> Result<Self, NetError> {
        let ring = build_ring().map_err(NetError::setup("set up a ring for a shard"))?;
        let buffers = BufferRing::new(&ring).map_err(NetError::setup("register receive buffers"))?;
        // SAFETY: `IoUring` owns its descriptor, closes it only when dropped and always returns the same one; the
        // `AsyncFd` owns the ring, so the descriptor is open for as long as it is registered.
        let watched = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) };
        let mut head = Box::new(empty_header());
        head.msg_namelen = NAME_BYTES as libc::socklen_t;
        head.msg_controllen = CONTROL_BYTES as _;
        let mut driver = Self {
            ring: watched.map_err(io::Error::from).map_err(NetError::setup("watch a ring"))?,
            buffers,
            outgoing: (0..CHUNK).map(|_| OutgoingMessage::new()).collect(),
            head,
            segmentation: Segmentation::new(sockets.iter().map(udp::can_segment)),
            sockets: sockets.into_iter().map(Receiver::new).collect(),
            waker: waker.clone(),
            wake_armed: false,
            alarm: None,
            alarm_span: Box::new(Timespec::new()),
            arrivals: VecDeque::with_capacity(usize::from(BUFFERS)),
            joined: None,
            chunk: 0,
            stuck: false,
            pieces: Vec::with_capacity(CHUNK),
            errors: Vec::with_capacity(CHUNK),
            refused: Vec::with_capacity(CHUNK),
            waits: 0,
            faults: Faults::default(),
        };
        driver.flush().map_err(NetError::setup("begin to receive on a ring"))?;
        match driver.sockets.iter().find_map(|receiver| receiver.failure()) {
            Some(error) => {
                Err(NetError::setup("begin to receive on a ring")(io::Error::from_raw_os_error(error)))
            }
            None => Ok(driver),
        }
    }

    /// See [`super::Driver::kernel_drops`].
    pub(super) fn kernel_drops(&self) -> u64 {
        self.sockets.iter().map(|receiver| udp::kernel_drops(receiver.socket.as_fd())).sum()
    }

    /// See [`super::Driver::wait`].
    pub(super) async fn wait(&mut self, deadline: Option<Instant>) {
        self.waits += 1;
        if self.waits >= EAGER_WAITS_MAX {
            self.waits = 0;
            tokio::task::yield_now().await;
        }
        loop {
            self.reap();
            let now = now();
            let over = deadline.is_some_and(|at| at <= now);
            if !over && !self.has_arrivals() {
                self.set_alarm(deadline, now);
            }
            let unsubmitted = self.flush().is_err();
            if over || self.has_arrivals() {
                return;
            }
            // An earlier alarm, which was to end this sleep, has ended just now.
            if deadline.is_some() && self.alarm.is_none() && !unsubmitted {
                continue;
            }
            if !self.waker.fall_asleep() {
                return;
            }
            let failing = unsubmitted || self.sockets.iter().any(|receiver| receiver.failure().is_some());
            tokio::select! {
                biased;
                ready = self.ring.readable() => {
                    // Cleared before the completions are reaped below: one that comes later is a new edge.
                    if let Ok(mut guard) = ready {
                        guard.clear_ready();
                    }
                }
                () = tokio::time::sleep(RETRY), if failing => {
                    self.sockets.iter_mut().for_each(Receiver::forgive);
                }
            };
            let woken = self.waker.rise();
            self.reap();
            if woken || self.has_arrivals() {
                return;
            }
        }
    }

    /// See [`super::Driver::wait_alone`]. The thread sleeps in the ring itself, in the call that submits what is armed.
    pub(super) async fn wait_alone(&mut self, deadline: Option<Instant>) {
        loop {
            self.reap();
            self.arm();
            if self.sockets.iter().any(|receiver| receiver.failure().is_some()) {
                return self.wait(deadline).await;
            }
            let span = deadline.map(|at| at.saturating_duration_since(now()));
            if self.has_arrivals() || span.is_some_and(|span| span.is_zero()) {
                let _ = self.flush();
                return;
            }
            if !self.waker.fall_asleep() {
                return;
            }
            let slept = self.sleep(span);
            let woken = self.waker.rise();
            self.reap();
            if woken || self.has_arrivals() {
                return;
            }
            let usual = [Some(libc::ETIME), Some(libc::EINTR)];
            if slept.is_err_and(|error| !usual.contains(&error.raw_os_error())) {
                // The other wait pauses before it asks the kernel again.
                return self.wait(deadline).await;
            }
        }
    }

    /// Submits everything and sleeps until a completion comes, at most for `span`.
    fn sleep(&self, span: Option<Duration>) -> io::Result<usize> {
        let submitter = self.ring.get_ref().submitter();
        match span.map(Timespec::from) {
            Some(span) => submitter.submit_with_args(1, &SubmitArgs::new().timespec(&span)),
            None => submitter.submit_and_wait(1),
        }
    }

    /// Makes sure that something comes from the ring at `deadline`. An alarm that is set for an earlier moment stays: it
    /// ends the sleep, not the wait.
    ///
    /// The runtime's own timers would do, but a deadline that is moved forward costs them a wake of their own thread.
    fn set_alarm(&mut self, deadline: Option<Instant>, now: Instant) {
        let Some(at) = deadline.filter(|at| self.alarm.is_none_or(|set| *at < set)) else { return };
        *self.alarm_span = Timespec::from(at.saturating_duration_since(now));
        let span: *const Timespec = &raw const *self.alarm_span;
        let entry = match self.alarm {
            None => opcode::Timeout::new(span).build(),
            Some(_) => opcode::TimeoutUpdate::new(Token::Alarm.pack(), span)
                .build()
                .flags(squeue::Flags::SKIP_SUCCESS),
        };
        if self.push(entry.user_data(Token::Alarm.pack())) {
            self.alarm = Some(at);
        }
    }

    /// See [`super::Driver::poll`]. Enters the kernel only when it holds work back.
    pub(super) fn poll(&mut self) -> bool {
        if !self.has_arrivals() {
            self.reap();
            if self.work_waits() {
                let _ = self.ring.get_ref().submit();
                self.reap();
            }
        }
        self.has_arrivals() || self.waker.is_woken()
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
            } else if !self.open_next() {
                break;
            }
        }
        // Buffers go back first: a receive that is armed while the ring is empty ends at once.
        self.close_taken();
        self.buffers.publish();
        self.arm();
        taken
    }

    fn has_arrivals(&self) -> bool {
        self.joined.is_some() || !self.arrivals.is_empty()
    }

    /// Returns the next datagram of the buffer that is open.
    fn next_datagram(&mut self, moment: &Moment) -> Option<Datagram<'_>> {
        let (buffer, joined) = self.joined.as_mut()?;
        let range = joined.next_range()?;
        let (socket, source, Notes { ecn, stamp, .. }) = (joined.socket, joined.source, joined.notes);
        let payload = self.buffers.bytes(*buffer)?.get(range)?;
        Some(Datagram { socket, source, payload, ecn, arrived: moment.arrival(stamp) })
    }

    /// Gives back the buffer that is open if all its datagrams were taken.
    fn close_taken(&mut self) {
        if let Some((buffer, joined)) = self.joined
            && joined.is_done()
        {
            self.joined = None;
            self.buffers.give_back(buffer);
        }
    }

    /// Opens the next filled buffer; `false` when there is none.
    fn open_next(&mut self) -> bool {
        self.close_taken();
        while let Some(Arrival { socket, buffer }) = self.next_arrival() {
            match self.read_head(socket, buffer) {
                Some(joined) => {
                    self.joined = Some((buffer, joined));
                    return true;
                }
                None => {
                    self.faults.unreadable += 1;
                    self.buffers.give_back(buffer);
                }
            }
        }
        false
    }

    fn next_arrival(&mut self) -> Option<Arrival> {
        if self.arrivals.is_empty() {
            self.reap();
        }
        if self.arrivals.is_empty() && self.work_waits() {
            // One issue of a multishot receive takes some 32 datagrams; the rest is done when we enter the kernel.
            let _ = self.ring.get_ref().submit();
            self.reap();
        }
        self.arrivals.pop_front()
    }

    /// Reads what the kernel wrote in front of a payload.
    fn read_head(&mut self, socket: SocketIndex, buffer: u16) -> Option<Joined> {
        let bytes = self.buffers.bytes(buffer)?;
        let message = RecvMsgOut::parse(bytes, &self.head).ok()?;
        if message.is_payload_truncated() {
            return None;
        }
        let source = read_address(message.name_data())?;
        let notes = Notes::read(message.control_data());
        let payload = PAYLOAD_AT..PAYLOAD_AT + message.payload_data().len();
        Some(Joined::new(socket, source, notes, payload))
    }

    /// Takes all completions from the ring.
    fn reap(&mut self) {
        for completion in self.ring.get_mut().completion() {
            let more = cqueue::more(completion.flags());
            match Token::unpack(completion.user_data()) {
                Some(Token::Receive(socket)) => {
                    if let Some(receiver) = self.sockets.get_mut(socket.position()) {
                        receiver.note(completion.result(), more, &mut self.faults);
                    }
                    match cqueue::buffer_select(completion.flags()) {
                        Some(buffer) if completion.result() >= 0 => {
                            self.arrivals.push_back(Arrival { socket, buffer });
                        }
                        Some(buffer) => self.buffers.give_back(buffer),
                        None => {}
                    }
                }
                Some(Token::Wake) => self.wake_armed = more,
                // The timeout has ended, or was over before it could be moved.
                Some(Token::Alarm) => self.alarm = None,
                Some(Token::Send { chunk, piece }) if chunk == self.chunk => {
                    // Success is skipped by the kernel, so whatever comes is an error.
                    let error = completion.result().checked_neg().unwrap_or(libc::EIO);
                    self.errors.push(Refusal { piece: usize::from(piece), error });
                }
                Some(Token::Send { .. }) | None => {}
            }
        }
    }

    /// Puts ended receives and the ended poll of the eventfd into the submission queue.
    fn arm(&mut self) {
        // There are [`SOCKETS_MAX`] at most.
        for position in 0..u8::try_from(self.sockets.len()).unwrap_or(u8::MAX) {
            let index = usize::from(position);
            let Some(receiver) =
                self.sockets.get(index).filter(|receiver| receiver.state == Receiving::Ended)
            else {
                continue;
            };
            let socket = Fd(receiver.socket.as_raw_fd());
            let token = Token::Receive(SocketIndex::bound(position));
            let entry = opcode::RecvMsgMulti::new(socket, &raw const *self.head, GROUP).build();
            let pushed = self.push(entry.user_data(token.pack()));
            if let Some(receiver) = self.sockets.get_mut(index).filter(|_| pushed) {
                receiver.state = Receiving::Armed;
            }
        }
        if !self.wake_armed {
            let event = Fd(self.waker.as_fd().as_raw_fd());
            let entry = opcode::PollAdd::new(event, libc::POLLIN as u32).multi(true).build();
            self.wake_armed = self.push(entry.user_data(Token::Wake.pack()));
        }
    }

    fn push(&mut self, entry: squeue::Entry) -> bool {
        // SAFETY: what an entry points to outlives the kernel's use of it. Receives: `head` is boxed and lives until
        // after the ring is closed. Sends: the message lies in `outgoing`, which never grows or moves and lives as
        // long, and it points to an outbox that `send` borrows until the kernel has taken the entry or the message
        // was blanked. Timeouts: the span is boxed and lives until after the ring is closed. Polls point to nothing.
        // All descriptors belong to fields of this driver.
        unsafe { self.ring.get_mut().submission().push(&entry) }.is_ok()
    }

    /// Tells whether the kernel holds work back until it is entered.
    fn work_waits(&mut self) -> bool {
        let submissions = self.ring.get_mut().submission();
        submissions.taskrun() || submissions.cq_overflow()
    }

    /// Hands everything in the submission queue to the kernel.
    fn submit(&mut self) -> io::Result<()> {
        for _ in 0..SUBMIT_TRIES {
            if self.ring.get_mut().submission().is_empty() {
                return Ok(());
            }
            match self.ring.get_ref().submit() {
                Ok(_) => {}
                Err(error) if is_passing(&error) => self.reap(),
                Err(error) => return Err(error),
            }
        }
        if self.ring.get_mut().submission().is_empty() {
            Ok(())
        } else {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    /// Arms what has ended, enters the kernel if there is a reason, and takes what has come.
    fn flush(&mut self) -> io::Result<()> {
        self.reap();
        self.arm();
        let submitted = self.submit();
        if self.work_waits() {
            let _ = self.ring.get_ref().submit();
        }
        self.reap();
        submitted
    }

    /// See [`super::Driver::send`].
    pub(super) fn send(&mut self, outbox: &Outbox) -> SendReport {
        let mut report = SendReport::default();
        if self.stuck {
            if self.submit().is_err() {
                report.failed = outbox.len() as u64;
                return report;
            }
            self.stuck = false;
            self.reap();
        }
        let mut cursor = Pieces::default();
        loop {
            self.queue_chunk(outbox, &mut cursor);
            if self.pieces.is_empty() {
                return report;
            }
            if self.submit().is_err() {
                self.blank_unsubmitted();
            }
            self.reap();
            self.settle_chunk(outbox, &mut report);
            if self.stuck {
                report.failed = (outbox.len() as u64).saturating_sub(report.datagrams);
                return report;
            }
        }
    }

    /// Fills messages and the submission queue with the next pieces.
    fn queue_chunk(&mut self, outbox: &Outbox, cursor: &mut Pieces) {
        self.chunk = self.chunk.wrapping_add(1);
        self.pieces.clear();
        self.errors.clear();
        self.refused.clear();
        while let Some(message) = self.outgoing.get_mut(self.pieces.len())
            && let Some(piece) = cursor.next(outbox.transmits(), |socket| self.segmentation.allowed(socket))
        {
            let index = self.pieces.len();
            let header = message.fill(&outbox.message_of(&piece));
            let socket =
                self.sockets.get(piece.socket.position()).map(|receiver| receiver.socket.as_raw_fd());
            self.pieces.push(piece);
            let pushed = socket.is_some_and(|socket| {
                let token = Token::Send { chunk: self.chunk, piece: index as u16 };
                let entry = opcode::SendMsg::new(Fd(socket), header).flags(libc::MSG_DONTWAIT as u32).build();
                self.push(entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(token.pack()))
            });
            if !pushed {
                self.errors.push(Refusal { piece: index, error: libc::EBADF });
            }
        }
    }

    /// Makes entries that the kernel did not take harmless, and counts their messages as failed.
    ///
    /// The queue is taken in order, so those are the last ones.
    fn blank_unsubmitted(&mut self) {
        self.stuck = true;
        self.outgoing.iter_mut().for_each(OutgoingMessage::blank);
        let left = self.ring.get_mut().submission().len();
        let first = self.pieces.len().saturating_sub(left);
        let failed = first..self.pieces.len();
        self.errors.extend(failed.map(|piece| Refusal { piece, error: libc::EBUSY }));
    }

    /// Counts what became of a chunk and repeats what was refused only for being segmented.
    fn settle_chunk(&mut self, outbox: &Outbox, report: &mut SendReport) {
        for piece in &self.pieces {
            report.calls += 1;
            report.taken(piece.datagrams, piece.len);
        }
        for error in &self.errors {
            let Some(piece) = self.pieces.get(error.piece) else { continue };
            report.not_taken(piece.datagrams, piece.len);
            if piece.segment.is_some() && refuses_segments(error.error) {
                self.refused.push(*error);
            } else {
                report.failed += piece.datagrams as u64;
            }
        }
        self.segmentation.settle(&self.pieces, &self.refused);
        let socket_of =
            |socket: SocketIndex| self.sockets.get(socket.position()).map(|receiver| &receiver.socket);
        send_singly(socket_of, outbox, &self.pieces, &self.refused, report, &mut self.faults);
    }

    /// Ends all operations; `true` when the kernel has none left that could write to a buffer.
    fn quiesce(&mut self) -> bool {
        // Entries that were never submitted cannot be cancelled, and closing the ring does away with them.
        let submitted = self.submit().is_ok();
        for _ in 0..CANCEL_ROUNDS {
            self.reap();
            if !self.sockets.iter().any(|receiver| receiver.state == Receiving::Armed) && !self.wake_armed {
                return submitted;
            }
            let pause = Timespec::from(RETRY);
            let ring = self.ring.get_ref();
            let _ = ring.submitter().register_sync_cancel(Some(pause), CancelBuilder::any());
            // The cancelled operations report their end; the pause only bounds the wait for it.
            let _ = ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&pause));
        }
        false
    }
}

impl Drop for UringDriver {
    fn drop(&mut self) {
        if !self.quiesce() {
            self.buffers.keep();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a driver sleeps: it turns a deadline into a span")]
fn now() -> Instant {
    Instant::now()
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY))
}

/// The buffers that the kernel receives into, and the ring by which it is told of free ones.
///
/// ```text
/// entries  | 0 | 1 | 2 | ... | 127 |   each: address, length, number of a buffer; the kernel takes from the front,
///                ^front    ^tail       we put at the tail, which it sees after `publish`
/// ```
struct BufferRing {
    entries: Pages,
    bytes: Pages,
    tail: u16,
}

impl BufferRing {
    /// Maps the memory and registers all buffers as free.
    fn new(ring: &IoUring) -> io::Result<Self> {
        let entries = Pages::new(usize::from(BUFFERS) * size_of::<BufRingEntry>())?;
        let bytes = Pages::new(usize::from(BUFFERS) * BUFFER_BYTES)?;
        let mut buffers = Self { entries, bytes, tail: 0 };
        let address = buffers.entries.as_ptr().addr() as u64;
        // SAFETY: the entries are mapped, page-aligned and as many as said. They stay mapped until the ring is closed:
        // `UringDriver` and `try_ring` drop the ring before this.
        unsafe { ring.submitter().register_buf_ring_with_flags(address, BUFFERS, GROUP, 0) }?;
        (0..BUFFERS).for_each(|buffer| buffers.give_back(buffer));
        buffers.publish();
        Ok(buffers)
    }

    /// Returns the bytes of a buffer that a completion has named and that was not given back since.
    fn bytes(&self, buffer: u16) -> Option<&[u8]> {
        let start = self.start_of(buffer)?;
        // SAFETY: `start_of` has checked that the buffer lies inside the mapping, and mapped bytes are initialised.
        // The kernel took it out of the ring before it posted the completion and cannot write to it before it is
        // given back, which needs `&mut self` and so the end of this borrow.
        Some(unsafe { std::slice::from_raw_parts(start, BUFFER_BYTES) })
    }

    fn start_of(&self, buffer: u16) -> Option<*mut u8> {
        let offset = usize::from(buffer) * BUFFER_BYTES;
        (offset + BUFFER_BYTES <= self.bytes.len()).then(|| self.bytes.as_ptr().wrapping_add(offset))
    }

    /// Puts a buffer at the tail; the kernel learns of it with the next `publish`.
    fn give_back(&mut self, buffer: u16) {
        let Some(start) = self.start_of(buffer) else { return };
        let position = usize::from(self.tail & (BUFFERS - 1));
        let entry = self.entries.as_ptr().cast::<BufRingEntry>().wrapping_add(position);
        // SAFETY: the mask keeps `position` below the number of entries, and the mapping is aligned to a page. The
        // kernel reads entries only between its front and the published tail; this one lies outside, because at most
        // `BUFFERS` are in the ring and `buffer` is not. It never writes to entries.
        let entry = unsafe { &mut *entry };
        entry.set_addr(start.addr() as u64);
        entry.set_len(BUFFER_BYTES as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel all buffers that were given back.
    fn publish(&mut self) {
        let base = self.entries.as_ptr().cast::<BufRingEntry>();
        // SAFETY: `base` is the mapping of the entries; the tail lies in the spare field of the first.
        let tail = unsafe { BufRingEntry::tail(base) };
        // SAFETY: the field is aligned to two bytes and mapped for as long as `self`; while the kernel may read it,
        // it is written here only, atomically, and no reference to the first entry is alive.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        // Release: the kernel, which reads the tail with acquire, must see the entries before it.
        tail.store(self.tail, Ordering::Release);
    }

    /// Leaves the memory mapped for the rest of the process.
    fn keep(&mut self) {
        self.entries.keep();
        self.bytes.keep();
    }
}
