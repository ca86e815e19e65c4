//! Sockets of single sessions: which number stands for which address, and whose it is.
//!
//! A session that calls out has its own ports, so what comes by them needs no demultiplexer: the socket names the session.

use std::collections::{HashMap, VecDeque};
use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

use foldhash::fast::RandomState;
use slab::Slab;

use super::Shard;
use super::arrival::Arrival;
use super::sessions::SessionKey;
use crate::drop::DropReason;
use crate::net::dialled::DialledSocket;
use crate::net::{DIALLED_MAX, Outbox, SocketIndex};
use crate::session::Incoming;

/// What the worker does for sessions that call out.
#[derive(Debug)]
pub enum Dial {
    /// Takes a socket over under a number.
    Open(SocketIndex, UdpSocket),
    /// Closes it.
    Close(SocketIndex),
}

/// The dialled sockets of a shard.
#[derive(Debug, Default)]
pub(super) struct DialledTable {
    all: Slab<(SocketAddr, SessionKey)>,
    by_address: HashMap<SocketAddr, SocketIndex, RandomState>,
    /// Emptied each turn.
    dials: VecDeque<Dial>,
}

impl DialledTable {
    /// Whether one more session with so many sockets has room.
    pub(super) fn has_room(&self, sockets: usize) -> bool {
        self.all.len() + sockets <= DIALLED_MAX
    }

    /// Makes sockets those of a session.
    pub(super) fn open(&mut self, session: SessionKey, sockets: Vec<DialledSocket>) {
        for DialledSocket { address, socket } in sockets {
            let slot = self.all.insert((address, session));
            let Some(index) = SocketIndex::dialled(slot) else {
                self.all.remove(slot);
                continue;
            };
            self.by_address.insert(address, index);
            self.dials.push_back(Dial::Open(index, socket));
        }
    }

    /// Ends the sockets of a session.
    pub(super) fn close(&mut self, addresses: &[SocketAddr]) {
        for address in addresses {
            let Some(index) = self.by_address.remove(address) else { continue };
            self.all.try_remove(index.position());
            self.dials.push_back(Dial::Close(index));
        }
    }

    /// The socket that is bound to an address.
    pub(super) fn socket_at(&self, address: &SocketAddr) -> Option<SocketIndex> {
        self.by_address.get(address).copied()
    }

    /// What a socket is bound to, and whose it is.
    pub(super) fn get(&self, index: SocketIndex) -> Option<(SocketAddr, SessionKey)> {
        self.all.get(index.position()).copied()
    }

    /// The next socket to open or close.
    pub(super) fn poll(&mut self) -> Option<Dial> {
        self.dials.pop_front()
    }

    /// Sockets at present.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }
}

impl Shard {
    /// A datagram that came by the socket of one session.
    #[inline(never)]
    pub(super) fn handle_dialled(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        datagram: &[u8],
        outbox: &mut Outbox,
    ) -> Result<(), DropReason> {
        let dialling = self.addresses.session_dialling(&arrival.source);
        let (key, path) = dialling.ok_or(DropReason::UnknownSource)?;
        let incoming = Incoming { path, contents: datagram, arrived: arrival.at };
        let taken = self.with_session(now, key, outbox, |session, setup, out| {
            session.handle_dialled(incoming, setup, now, out)?;
            arrival.mark(out);
            Ok(())
        });
        self.sessions.arm(key);
        taken
    }
}
