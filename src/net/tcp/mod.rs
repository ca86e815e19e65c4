//! ICE over TCP (RFC 6544): the same datagrams, framed, for clients whose network lets no UDP through.
//!
//! One port serves all shards: [`accept`] reads the first frame of a connection, learns from it which shard it is for,
//! and hands the connection over. From then on it belongs to the [`Connections`] of that shard and is read and written
//! on its thread alone. Must not know what a datagram means. Bounds: [`accept::Bounds`] connections, [`FRAME_BYTES_MAX`]
//! for what a client may frame, [`UNSENT_BYTES_MAX`] for what a slow one leaves lying. Next: as for any
//! [`Datagram`](super::Datagram); what an [`Outbox`] holds for a connection leaves by [`Connections::send`].

pub mod accept;
mod connection;
mod framing;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use mio::Interest;
use mio::event::Event;
use slab::Slab;

pub use self::accept::{Admission, Arrival, Refusal};
pub use self::connection::{CloseReason, UNSENT_BYTES_MAX};
use self::connection::{Connection, Progress};
pub use self::framing::FRAME_BYTES_MAX;
use super::outbox::Transmit;
use super::watch::{self, Watch};
use super::{Datagram, NOT_ECT, NetError, Outbox, SendReport, SocketIndex, SocketKind};

/// Bytes that one connection may bring before it is the turn of the next.
const READ_BYTES: usize = 16 << 10;
/// Reads of one turn at most.
const READS: usize = 32;
/// How long a connection may stay without a session that has proven its address.
const UNPROVEN: Duration = Duration::from_secs(10);

/// Totals of the connections of one shard.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Connections at present.
    pub open: u64,
    /// Bytes read and written, framing included.
    pub bytes: [u64; 2],
    /// Datagrams dropped whole because a reader did not keep up.
    pub dropped: u64,
    /// Connections ended, by [`CloseReason`].
    pub closed: [u64; CloseReason::ALL.len()],
}

/// The connections of one shard.
pub struct Connections {
    watch: Watch,
    all: Slab<Connection>,
    by_peer: HashMap<(SocketIndex, SocketAddr), usize, RandomState>,
    /// Connections that may have more to read.
    readable: VecDeque<usize>,
    /// Those that ended since they were last asked for.
    ended: Vec<(SocketIndex, SocketAddr)>,
    scratch: Box<[u8]>,
    framed: Vec<u8>,
    figures: Figures,
}

impl Connections {
    /// Makes an empty table; needs the runtime of [`super::host::run`].
    pub fn new() -> Result<Self, NetError> {
        Ok(Self {
            watch: Watch::new()?,
            all: Slab::new(),
            by_peer: HashMap::default(),
            readable: VecDeque::new(),
            ended: Vec::new(),
            scratch: vec![0; READ_BYTES + FRAME_BYTES_MAX + framing::PREFIX_BYTES].into_boxed_slice(),
            framed: Vec::new(),
            figures: Figures::default(),
        })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Totals so far.
    pub fn figures(&self) -> Figures {
        Figures { open: self.all.len() as u64, ..self.figures }
    }

    /// Takes a connection over, and hands its first datagram to `take`.
    pub fn add(&mut self, arrival: Arrival, now: Instant, take: &mut dyn FnMut(Datagram<'_>)) {
        let Arrival { listener, peer, stream, first, permit } = arrival;
        let mut stream = mio::net::TcpStream::from_std(stream);
        let entry = self.all.vacant_entry();
        let key = entry.key();
        let interest = Interest::READABLE | Interest::WRITABLE;
        if self.watch.add(&mut stream, key, interest).is_err() {
            // Only a kernel without memory or descriptors refuses; the connection goes with the stream.
            return self.figures.count(CloseReason::Failed);
        }
        entry.insert(Connection::new(stream, listener, peer, permit, now));
        if let Some(old) = self.by_peer.insert((listener, peer), key) {
            // The kernel has given the same port pair again: the former connection is over.
            self.drop_entry(old, CloseReason::ByClient);
        }
        self.figures.bytes[0] += (first.len() + framing::PREFIX_BYTES) as u64;
        take(Datagram { socket: listener, source: peer, payload: &first, ecn: NOT_ECT, arrived: now });
        self.mark_readable(key);
    }

    /// Tells without sleeping whether something has come.
    pub fn poll(&mut self) -> bool {
        if !self.all.is_empty() {
            self.take_reports();
        }
        !self.readable.is_empty()
    }

    /// Ends when something has come; never while nothing does. Dropping the future loses nothing.
    pub async fn ready(&mut self) {
        if !self.readable.is_empty() {
            return;
        }
        self.watch.changed().await;
    }

    /// Reads what has come, within bounds, and hands every datagram to `take`. Returns whether more may wait.
    ///
    /// All of it came now: the kernel stamps packets of TCP, and what they carry is read out of a stream that has waited for
    /// retransmissions anyway.
    pub fn receive(&mut self, now: Instant, take: &mut dyn FnMut(Datagram<'_>)) -> bool {
        self.take_reports();
        for _ in 0..READS {
            let Some(key) = self.readable.pop_front() else { break };
            let Some(connection) = self.all.get_mut(key) else { continue };
            connection.queued = false;
            let (socket, source) = (connection.listener, connection.peer);
            let before = connection.received;
            let progress = connection.read(&mut self.scratch, &mut |payload| {
                take(Datagram { socket, source, payload, ecn: NOT_ECT, arrived: now });
            });
            self.figures.bytes[0] += connection.received - before;
            match progress {
                Ok(Progress::Done) => {}
                Ok(Progress::More) => self.mark_readable(key),
                Err(reason) => self.close(key, reason),
            }
        }
        !self.readable.is_empty()
    }

    /// Writes what `outbox` holds for connections. A datagram for one that is gone or does not keep up is lost.
    pub fn send(&mut self, outbox: &Outbox, now: Instant) -> SendReport {
        let mut report = SendReport::default();
        let is_ours = |transmit: &&Transmit| transmit.socket.kind() == SocketKind::Listener;
        for transmit in outbox.transmits().iter().filter(is_ours) {
            let key = self.by_peer.get(&(transmit.socket, transmit.destination)).copied();
            let Some((key, connection)) = key.and_then(|key| Some((key, self.all.get_mut(key)?))) else {
                report.failed += transmit.datagrams as u64;
                continue;
            };
            let datagrams = outbox.bytes_of(transmit).chunks(transmit.segment.max(1));
            let written = connection.write(datagrams, &mut self.framed, now);
            report.calls += 1;
            report.taken(written.datagrams, written.payload);
            self.figures.dropped += written.dropped;
            self.figures.bytes[1] += written.sent;
            if let Some(reason) = written.closed {
                self.close(key, reason);
            }
        }
        report
    }

    /// Ends connections whose time is over: those whose address no session holds, and readers that stand still.
    pub fn sweep(&mut self, now: Instant, is_proven: &mut dyn FnMut(SocketIndex, SocketAddr) -> bool) {
        let over: Vec<_> = self
            .all
            .iter_mut()
            .filter_map(|(key, connection)| {
                let young = now.saturating_duration_since(connection.opened) < UNPROVEN;
                if !young && !is_proven(connection.listener, connection.peer) {
                    return Some((key, CloseReason::Unproven));
                }
                connection.stands_still(now).then_some((key, CloseReason::SlowReader))
            })
            .collect();
        for (key, reason) in over {
            self.close(key, reason);
        }
        if self.all.is_empty() {
            // Memory of a crowd that has left.
            self.all.shrink_to_fit();
            self.by_peer.shrink_to_fit();
            self.framed = Vec::new();
        }
    }

    /// Takes the name of a connection that has ended.
    pub fn poll_ended(&mut self) -> Option<(SocketIndex, SocketAddr)> {
        self.ended.pop()
    }

    /// Takes all reports of readiness, and writes where there is room again.
    fn take_reports(&mut self) {
        loop {
            let events = self.watch.take();
            for event in &events {
                self.take_report(event);
            }
            if !self.watch.give_back(events) {
                return;
            }
        }
    }

    fn take_report(&mut self, event: &Event) {
        let key = watch::key_of(event);
        let Some(connection) = self.all.get_mut(key) else { return };
        connection.ending |= event.is_read_closed();
        if event.is_writable() {
            match connection.flush() {
                Ok(sent) => self.figures.bytes[1] += sent,
                Err(reason) => return self.close(key, reason),
            }
        }
        if event.is_readable() || event.is_read_closed() {
            self.mark_readable(key);
        }
    }

    fn mark_readable(&mut self, key: usize) {
        let Some(connection) = self.all.get_mut(key).filter(|connection| !connection.queued) else { return };
        connection.queued = true;
        self.readable.push_back(key);
    }

    fn close(&mut self, key: usize, reason: CloseReason) {
        let Some(connection) = self.all.get(key) else { return };
        let name = (connection.listener, connection.peer);
        self.by_peer.remove(&name);
        self.ended.push(name);
        self.drop_entry(key, reason);
    }

    fn drop_entry(&mut self, key: usize, reason: CloseReason) {
        if let Some(mut connection) = self.all.try_remove(key) {
            self.watch.remove(connection.stream_mut());
            self.figures.count(reason);
        }
    }
}

impl Figures {
    fn count(&mut self, reason: CloseReason) {
        if let Some(count) = self.closed.get_mut(reason as usize) {
            *count += 1;
        }
    }
}
