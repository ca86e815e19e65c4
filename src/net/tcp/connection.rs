//! One TCP connection: what of a frame has come, and what its reader has not taken yet.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use super::accept::Permit;
use super::framing::{self, FRAME_BYTES_MAX, PREFIX_BYTES};
use crate::net::SocketIndex;

/// Bytes that may wait for a slow reader, beside what the kernel holds: a large keyframe. What does not fit is dropped,
/// whole datagrams only.
pub const UNSENT_BYTES_MAX: usize = 256 << 10;

/// A reader for which datagrams are dropped has so long to take as many bytes as may wait for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CloseReason {
    /// The client, or the network, ended it.
    ByClient,
    /// It framed more than a datagram may have.
    Oversize,
    /// No session has proven its address in time, or the session is over.
    Unproven,
    /// It read too little of what was sent to it.
    SlowReader,
    /// The kernel refused to serve it.
    Failed,
}

impl CloseReason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::ByClient, Self::Oversize, Self::Unproven, Self::SlowReader, Self::Failed];
}

/// How far a read came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing more is there.
    Done,
    /// More may be there.
    More,
}

/// What became of the datagrams of one [`Connection::write`].
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Datagrams that were sent or wait, and their bytes.
    pub(super) datagrams: usize,
    pub(super) payload: usize,
    /// Datagrams that found no room.
    pub(super) dropped: u64,
    /// Bytes that the kernel has taken.
    pub(super) sent: u64,
    /// The connection is over.
    pub(super) closed: Option<CloseReason>,
}

pub(super) struct Connection {
    stream: TcpStream,
    pub(super) listener: SocketIndex,
    pub(super) peer: SocketAddr,
    pub(super) opened: Instant,
    /// It stands in the list of those to be read.
    pub(super) queued: bool,
    /// Its client has said that it sends no more; what it sent before may still lie there.
    pub(super) ending: bool,
    /// Bytes read in all.
    pub(super) received: u64,
    /// The beginning of a frame whose rest has not come.
    begun: Vec<u8>,
    /// Frames, and the rest of one, that the kernel has not taken.
    unsent: Vec<u8>,
    /// Bytes that the kernel has taken in all.
    sent: u64,
    /// When datagrams began to be dropped, and what had been sent by then.
    behind: Option<(Instant, u64)>,
    /// Its place among all connections; given back when it goes.
    _permit: Permit,
}

impl Connection {
    pub(super) fn new(
        stream: TcpStream,
        listener: SocketIndex,
        peer: SocketAddr,
        permit: Permit,
        now: Instant,
    ) -> Self {
        Self {
            stream,
            listener,
            peer,
            opened: now,
            queued: false,
            ending: false,
            received: 0,
            begun: Vec::new(),
            unsent: Vec::new(),
            sent: 0,
            behind: None,
            _permit: permit,
        }
    }

    pub(super) fn stream_mut(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Reads once into `scratch` and hands every whole frame to `take`.
    pub(super) fn read(
        &mut self,
        scratch: &mut [u8],
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<Progress, CloseReason> {
        let held = self.begun.len();
        let Some((begun, room)) = scratch.split_at_mut_checked(held) else { return Err(CloseReason::Failed) };
        let room_len = room.len();
        let read = match self.stream.read(room) {
            Ok(0) => return Err(CloseReason::ByClient),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Progress::Done),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Progress::More),
            Err(_broken) => return Err(CloseReason::ByClient),
        };
        begun.copy_from_slice(&self.begun);
        self.received += read as u64;
        let bytes = scratch.get(..held + read).unwrap_or_default();
        let done = framing::split(bytes, take).map_err(|_| CloseReason::Oversize)?;
        self.begun.clear();
        let rest = bytes.get(done..).unwrap_or_default();
        debug_assert!(rest.len() < PREFIX_BYTES + FRAME_BYTES_MAX, "a whole frame was left");
        self.begun.extend_from_slice(rest);
        // Less than there was room for: what comes from now on is a new edge. The end was reported already.
        Ok(if read < room_len && !self.ending { Progress::Done } else { Progress::More })
    }

    /// Frames datagrams and sends what the kernel takes; the rest waits within its bound. `framed` is overwritten.
    pub(super) fn write<'a>(
        &mut self,
        datagrams: impl Iterator<Item = &'a [u8]>,
        framed: &mut Vec<u8>,
        now: Instant,
    ) -> Written {
        let mut written = Written::default();
        framed.clear();
        for datagram in datagrams {
            let waiting = self.unsent.len() + framed.len();
            let fits = waiting + PREFIX_BYTES + datagram.len() <= UNSENT_BYTES_MAX;
            if fits && framing::append(framed, datagram) {
                written.datagrams += 1;
                written.payload += datagram.len();
            } else {
                written.dropped += 1;
            }
        }
        if written.dropped > 0 {
            self.behind.get_or_insert((now, self.sent));
        }
        let taken = if self.unsent.is_empty() { self.offer(framed) } else { Ok(0) };
        match taken {
            Ok(taken) => {
                written.sent = taken as u64;
                self.unsent.extend_from_slice(framed.get(taken..).unwrap_or_default());
            }
            Err(reason) => written.closed = Some(reason),
        }
        written
    }

    /// Sends what waits, as far as the kernel takes it; returns how many bytes that were.
    pub(super) fn flush(&mut self) -> Result<u64, CloseReason> {
        if self.unsent.is_empty() {
            return Ok(0);
        }
        let mut unsent = std::mem::take(&mut self.unsent);
        let taken = self.offer(&unsent)?;
        if taken < unsent.len() {
            unsent.drain(..taken);
            self.unsent = unsent;
        } else {
            self.behind = None;
        }
        Ok(taken as u64)
    }

    /// Whether datagrams were dropped for so long, and so little was read meanwhile, that it is better to end.
    pub(super) fn stands_still(&mut self, now: Instant) -> bool {
        let Some((since, sent)) = self.behind else { return false };
        if now.saturating_duration_since(since) < PATIENCE {
            return false;
        }
        self.behind = None;
        self.sent - sent < UNSENT_BYTES_MAX as u64
    }

    fn offer(&mut self, bytes: &[u8]) -> Result<usize, CloseReason> {
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(0) => return Err(CloseReason::ByClient),
                Ok(more) => taken += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_broken) => return Err(CloseReason::ByClient),
            }
        }
        self.sent += taken as u64;
        Ok(taken)
    }
}
