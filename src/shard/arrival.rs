//! Datagrams of clients: to their session, or to the shard that has it.
//!
//! A datagram comes from a socket of this shard or, where all shards receive on one port, from the shard that the kernel
//! gave it to. A check names its owner; everything else goes by its source, which the owner has made known once a check
//! has proven it. So strangers make no state here either, and a datagram is handed over once at most.

use std::net::SocketAddr;
use std::time::Instant;

use super::demux::{Protocol, protocol_of};
use super::mailbox::PeerMessage;
use super::sessions::SessionKey;
use super::{DATAGRAM_BYTES_MAX, Shard, path_by, socket_of};
use crate::drop::DropReason;
use crate::ids::ShardId;
use crate::net::{Outbox, SocketIndex};
use crate::session::{Binding, Carrier, Path, binding_request};

/// What the kernel should know of a source on a shared port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steer {
    /// It belongs to this shard from now on.
    Here(SocketIndex, SocketAddr),
    /// It does not any more.
    Nowhere(SocketIndex, SocketAddr),
}

/// How one datagram came.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    socket: SocketIndex,
    path: Path,
    /// The shard that handed it over.
    via: Option<ShardId>,
}

impl Shard {
    /// Takes one datagram that arrived on a socket.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        socket: SocketIndex,
        source: SocketAddr,
        datagram: &[u8],
        outbox: &mut Outbox,
    ) {
        self.counters.datagrams_in += 1;
        self.counters.bytes_in += datagram.len() as u64;
        self.take(now, (socket, source, None), datagram, outbox);
    }

    /// Takes what came to other shards but belongs to this one, at most `budget` datagrams.
    pub fn handle_handed_over(&mut self, now: Instant, budget: usize, outbox: &mut Outbox) {
        for _ in 0..budget {
            let Some((from, parcel)) = self.mailbox.handover().receive() else { return };
            self.take(now, (parcel.socket, parcel.source, Some(from)), parcel.datagram(), outbox);
            self.mailbox.handover().give_back(from, parcel);
        }
    }

    /// Takes the next thing that the kernel should know of a source; there is none unless shards share a port.
    pub fn poll_steer(&mut self) -> Option<Steer> {
        self.steers.pop_front()
    }

    fn take(
        &mut self,
        now: Instant,
        (socket, source, via): (SocketIndex, SocketAddr, Option<ShardId>),
        datagram: &[u8],
        outbox: &mut Outbox,
    ) {
        let Some(path) = path_by(&self.setup, socket, source) else { return };
        let arrival = Arrival { socket, path, via };
        let taken = if datagram.is_empty() || datagram.len() > DATAGRAM_BYTES_MAX {
            Err(DropReason::Size)
        } else {
            match protocol_of(datagram) {
                None => Err(DropReason::UnknownProtocol),
                Some(Protocol::Stun) => self.handle_check(now, arrival, datagram, outbox),
                Some(Protocol::Dtls | Protocol::Rtp) => self.handle_proven(now, arrival, datagram, outbox),
            }
        };
        if let Err(reason) = taken {
            self.counters.drop(reason);
        }
    }

    /// A connectivity check: from a known address, or by its user name.
    fn handle_check(
        &mut self,
        now: Instant,
        arrival: Arrival,
        datagram: &[u8],
        outbox: &mut Outbox,
    ) -> Result<(), DropReason> {
        let (_, ufrag) = binding_request(datagram).ok_or(DropReason::BadStun)?;
        let key = match self.demux.session_named(ufrag) {
            Some(key) => key,
            None => {
                let owner = self.keys.owner_of_ufrag(ufrag).map_err(|_| DropReason::ForeignUfrag)?;
                if owner == self.id {
                    return Err(DropReason::UnknownUfrag);
                }
                return self.hand_over(owner, arrival, datagram, DropReason::ForeignUfrag);
            }
        };
        let path = arrival.path;
        let binding = self.with_session(now, key, outbox, |session, setup, out| {
            session.handle_binding(path, datagram, setup, now, out)
        })?;
        if let Binding::New { evicted } = binding {
            self.demux.bind_path(path, key);
            if let Some(evicted) = evicted {
                self.forget_path(&evicted, key);
            }
        }
        self.announce(arrival, binding != Binding::Known);
        self.arm_session(key);
        Ok(())
    }

    /// DTLS, SRTP or SRTCP: only from an address that a check has proven.
    fn handle_proven(
        &mut self,
        now: Instant,
        arrival: Arrival,
        datagram: &[u8],
        outbox: &mut Outbox,
    ) -> Result<(), DropReason> {
        let path = arrival.path;
        let Some(key) = self.demux.session_at(&path) else {
            let owner = self.demux.owner_elsewhere(&path).ok_or(DropReason::UnknownSource)?;
            return self.hand_over(owner, arrival, datagram, DropReason::UnknownSource);
        };
        let taken = self.with_session(now, key, outbox, |session, setup, out| {
            session.handle_datagram(path, datagram, setup, now, out)
        });
        self.arm_session(key);
        taken
    }

    /// Brings a datagram to its owner, unless it has been handed over already, each shard has its own port, or it came by
    /// a connection, which belongs to one shard for good.
    fn hand_over(
        &mut self,
        owner: ShardId,
        arrival: Arrival,
        datagram: &[u8],
        otherwise: DropReason,
    ) -> Result<(), DropReason> {
        let is_udp = arrival.path.carrier == Carrier::Udp;
        if !is_udp || arrival.via.is_some() || !self.mailbox.handover().is_in_use() {
            return Err(otherwise);
        }
        if !self.mailbox.hand_over(owner, arrival.socket, arrival.path.remote, datagram) {
            return Err(DropReason::HandoverFull);
        }
        self.counters.handed_over += 1;
        Ok(())
    }

    /// After a proven check on a shared port: lets the kernel and the shard that it came to know whose the source is.
    ///
    /// Each check that comes the long way does so, since the kernel forgets sources when it knows too many.
    fn announce(&mut self, arrival: Arrival, is_new: bool) {
        if !self.mailbox.handover().is_in_use() {
            return;
        }
        if is_new || arrival.via.is_some() {
            self.steers.push_back(Steer::Here(arrival.socket, arrival.path.remote));
        }
        let Some(via) = arrival.via else { return };
        let (path, owner) = (arrival.path, self.id);
        if let Some(before) = self.demux.set_via(&path, via).filter(|before| *before != via) {
            self.mailbox.send(before, PeerMessage::Disowned { path, owner });
        }
        self.mailbox.send(via, PeerMessage::OwnedElsewhere { path, owner });
    }

    /// Gives up an address of a session, unless another session has proven it since.
    pub(super) fn forget_path(&mut self, path: &Path, session: SessionKey) {
        let Some(via) = self.demux.unbind_path(path, session) else { return };
        if !self.mailbox.handover().is_in_use() {
            return;
        }
        if let Some(via) = via {
            self.mailbox.send(via, PeerMessage::Disowned { path: *path, owner: self.id });
        }
        if let Some(socket) = socket_of(&self.setup, *path) {
            self.steers.push_back(Steer::Nowhere(socket, path.remote));
        }
    }
}
