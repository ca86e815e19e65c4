//! Whose an address is: which session a datagram belongs to, by where it came from or by the name in a check, and which
//! socket leads to a client.
//!
//! Owns the addresses that sessions of this shard have proven, those of a shared port that other shards have, the names of
//! credentials, the sockets of sessions that call out, and the lanes about addresses to other shards. Must not know what a
//! session is. What follows for others lies in two queues that each turn empties: what the kernel should know ([`Steer`]),
//! and sockets to open and close ([`Dial`]).
//!
//! An address belongs to one session. It comes to another only where the session that has it was not heard there lately, or
//! when the other's client has answered a check of ours from there; a claim is kept until then. On a shared port the shard
//! that a datagram lands on knows which shard has its address, and numbers what may prove it: of two that have proven it, the
//! later has it, in whatever order the shards hear of each other.
//!
//! An address enters only after a check from it carried the right password, so nothing that a stranger sends makes an entry.
//! Bounds: the sessions of the shard times the addresses and names of one; what other shards own, by their sessions
//! likewise; [`CLAIMS_MAX`] claims; sockets by [`DIALLED_MAX`](crate::net::DIALLED_MAX).

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use foldhash::fast::RandomState;

use super::dialled::{Dial, DialledTable};
use super::lanes::Post;
use super::lanes::addresses::{AddressLanes, AddressMessage};
use super::sessions::SessionKey;
use crate::ids::ShardId;
use crate::net::dialled::DialledSocket;
use crate::net::{SocketIndex, SocketKind};
use crate::session::{Carrier, Path};

/// Checks from held addresses that may still be answered for. More push the oldest out.
const CLAIMS_MAX: usize = 256;

/// Where a datagram came from. A socket stands for one candidate of ours, so this says as much as a path and is shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Source {
    /// The socket that it came in by, the same number on all shards of a shared port.
    pub(super) socket: SocketIndex,
    /// The client's address.
    pub(super) address: SocketAddr,
}

/// Where something came in by which an address is proven, and when, by the count of that shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Landing {
    /// The shard that the kernel brought it to.
    pub(super) shard: ShardId,
    /// Its number there.
    pub(super) number: u64,
}

/// What the kernel should know of a source on a shared port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steer {
    /// It belongs to this shard from now on.
    Here(SocketIndex, SocketAddr),
    /// It does not any more.
    Nowhere(SocketIndex, SocketAddr),
}

/// An address that a session has proven.
#[derive(Debug, Clone, Copy)]
struct Proven {
    session: SessionKey,
    /// The shard that the kernel brings its datagrams to, where that was seen to be another one.
    via: Option<ShardId>,
    /// What it was last proven by.
    landing: Landing,
}

/// An address that a session of another shard has proven by what landed here.
#[derive(Debug, Clone, Copy)]
struct ProvenElsewhere {
    owner: ShardId,
    /// The number of what it was last proven by.
    number: u64,
}

/// The addresses of one shard.
pub(super) struct Addresses {
    shard: ShardId,
    /// Whether all shards receive on the same ports.
    shares_port: bool,
    /// What bound sockets and listeners stand for, in their order.
    candidates: Box<[SocketAddr]>,
    tcp_candidates: Box<[SocketAddr]>,
    proven: HashMap<Source, Proven, RandomState>,
    elsewhere: HashMap<Source, ProvenElsewhere, RandomState>,
    /// What has landed here that may prove an address.
    landed: u64,
    named: HashMap<String, SessionKey, RandomState>,
    /// Who else says to be at an address that is held.
    claims: VecDeque<(Source, SessionKey)>,
    dialled: DialledTable,
    steers: VecDeque<Steer>,
    lanes: AddressLanes,
}

impl Addresses {
    /// Those of a shard with these sockets and listeners, of which nothing is known yet.
    pub(super) fn new(
        shard: ShardId,
        shares_port: bool,
        candidates: &[SocketAddr],
        tcp_candidates: &[SocketAddr],
        lanes: AddressLanes,
    ) -> Self {
        Self {
            shard,
            shares_port,
            candidates: candidates.into(),
            tcp_candidates: tcp_candidates.into(),
            proven: HashMap::default(),
            elsewhere: HashMap::default(),
            landed: 0,
            named: HashMap::default(),
            claims: VecDeque::new(),
            dialled: DialledTable::default(),
            steers: VecDeque::new(),
            lanes,
        }
    }

    /// The session that has an address.
    #[inline]
    pub(super) fn session_at(&self, source: &Source) -> Option<SessionKey> {
        self.proven.get(source).map(|proven| proven.session)
    }

    /// The session whose credentials have a name.
    pub(super) fn session_named(&self, ufrag: &str) -> Option<SessionKey> {
        self.named.get(ufrag).copied()
    }

    /// The session whose own socket it is, and the path by which something came there.
    pub(super) fn session_dialling(&self, source: &Source) -> Option<(SessionKey, Path)> {
        let (local, session) = self.dialled.get(source.socket)?;
        Some((session, Path { carrier: Carrier::Udp, local, remote: source.address }))
    }

    /// The shard that has an address of which datagrams come here.
    #[inline]
    pub(super) fn owner_elsewhere(&self, source: &Source) -> Option<ShardId> {
        self.elsewhere.get(source).map(|elsewhere| elsewhere.owner)
    }

    /// Numbers something that the kernel has brought here.
    pub(super) fn land(&mut self) -> Landing {
        self.landed += 1;
        Landing { shard: self.shard, number: self.landed }
    }

    /// Whether all shards receive on this socket's port. A connection belongs to one shard for good.
    pub(super) fn is_shared(&self, socket: SocketIndex) -> bool {
        self.shares_port && socket.is_bound()
    }

    /// The path by which something came by a socket of all sessions.
    pub(super) fn path_of(&self, Source { socket, address }: Source) -> Option<Path> {
        let (carrier, candidates) = match socket.kind() {
            SocketKind::Bound => (Carrier::Udp, &self.candidates),
            SocketKind::Listener => (Carrier::Tcp, &self.tcp_candidates),
            SocketKind::Dialled => return None,
        };
        Some(Path { carrier, local: *candidates.get(socket.position())?, remote: address })
    }

    /// The socket or the listener behind our end of a path.
    pub(super) fn socket_of(&self, path: Path) -> Option<SocketIndex> {
        let position =
            |candidates: &[SocketAddr]| candidates.iter().position(|candidate| *candidate == path.local);
        let found = match path.carrier {
            Carrier::Udp => {
                position(&self.candidates).and_then(|at| Some(SocketIndex::bound(u8::try_from(at).ok()?)))
            }
            Carrier::Tcp => position(&self.tcp_candidates).and_then(SocketIndex::listener),
        };
        found.or_else(|| self.dialled.socket_at(&path.local))
    }

    /// Whether an address is anybody's.
    pub(super) fn is_known(&self, source: &Source) -> bool {
        self.proven.contains_key(source) || self.elsewhere.contains_key(source)
    }

    /// Notes that a session says to be at an address that is held.
    pub(super) fn claim(&mut self, source: Source, session: SessionKey) {
        if self.claims.contains(&(source, session)) {
            return;
        }
        if self.claims.len() >= CLAIMS_MAX {
            self.claims.pop_front();
        }
        self.claims.push_back((source, session));
    }

    /// The sessions that may have asked who is at an address: those that claim it, and the one that has it.
    pub(super) fn asking_at(&self, source: &Source) -> Vec<SessionKey> {
        let claims = self.claims.iter().filter(|(claimed, _)| claimed == source).map(|(_, session)| *session);
        claims.chain(self.session_at(source)).collect()
    }

    /// Takes an address that a session has just proven by what landed here or on another shard. Gives the session of this
    /// shard that had it before.
    ///
    /// Each check that comes the long way has that shard and the kernel told, since the kernel forgets sources when it knows
    /// too many.
    pub(super) fn prove(
        &mut self,
        source: Source,
        session: SessionKey,
        landing: Landing,
    ) -> Option<SessionKey> {
        let via = Some(landing.shard).filter(|shard| *shard != self.shard);
        let known = self.proven.get(&source).copied();
        let is_new = known.is_none_or(|known| known.session != session);
        let before = known.and_then(|known| known.via);
        self.proven.insert(source, Proven { session, via: via.or(before), landing });
        if is_new || via.is_some() {
            self.claims.retain(|claim| *claim != (source, session));
            if let Some(ProvenElsewhere { owner, number }) = self.elsewhere.remove(&source) {
                self.lanes.tell(owner, AddressMessage::Lost(source, number));
            }
            if self.is_shared(source.socket) {
                self.steers.push_back(Steer::Here(source.socket, source.address));
            }
        }
        if let Some(via) = via {
            if let Some(before) = before.filter(|before| *before != via) {
                self.lanes.tell(before, AddressMessage::Disowned(source));
            }
            self.lanes.tell(via, AddressMessage::Owned(source, landing.number));
        }
        known.map(|known| known.session).filter(|had| *had != session)
    }

    /// Gives up an address of a session, unless another session has proven it since.
    pub(super) fn release(&mut self, path: Path, session: SessionKey) {
        if let Some(socket) = self.socket_of(path).filter(|socket| !socket.is_dialled()) {
            self.release_source(Source { socket, address: path.remote }, session);
        }
    }

    /// The same, by where its datagrams came from.
    pub(super) fn release_source(&mut self, source: Source, session: SessionKey) {
        let Some(known) = self.proven.get(&source).copied().filter(|known| known.session == session) else {
            return;
        };
        self.proven.remove(&source);
        shrink(&mut self.proven);
        if !self.is_shared(source.socket) {
            return;
        }
        if let Some(via) = known.via {
            self.lanes.tell(via, AddressMessage::Disowned(source));
        }
        self.steers.push_back(Steer::Nowhere(source.socket, source.address));
    }

    /// Takes the next word of another shard; gives the session that has lost an address by it. `None` when there is no more.
    pub(super) fn take_word(&mut self) -> Option<Option<(Source, SessionKey)>> {
        let (from, message) = self.lanes.receive()?;
        Some(self.take(from, message))
    }

    fn take(&mut self, from: ShardId, message: AddressMessage) -> Option<(Source, SessionKey)> {
        match message {
            AddressMessage::Owned(source, number) => {
                let other = self.elsewhere.get(&source).copied().filter(|known| known.owner != from);
                if self.was_proven_after(source, self.shard, number)
                    || other.is_some_and(|other| other.number > number)
                {
                    self.lanes.tell(from, AddressMessage::Lost(source, number));
                    return self.keep(source);
                }
                self.elsewhere.insert(source, ProvenElsewhere { owner: from, number });
                if let Some(other) = other {
                    self.lanes.tell(other.owner, AddressMessage::Lost(source, other.number));
                }
                self.lose(source)
            }
            // It has crossed a newer proof.
            AddressMessage::Lost(source, number) if self.was_proven_after(source, from, number) => {
                self.keep(source)
            }
            AddressMessage::Lost(source, _) => self.lose(source),
            AddressMessage::Disowned(source) => {
                if self.owner_elsewhere(&source) == Some(from) {
                    self.elsewhere.remove(&source);
                }
                shrink(&mut self.elsewhere);
                None
            }
        }
    }

    /// Loses nothing. The shard that took an address of this one's for its own has told the kernel so.
    fn keep(&mut self, source: Source) -> Option<(Source, SessionKey)> {
        if self.proven.contains_key(&source) {
            self.steers.push_back(Steer::Here(source.socket, source.address));
        }
        None
    }

    /// Whether an address was proven here by what landed on that shard later than something of this number.
    fn was_proven_after(&self, source: Source, shard: ShardId, number: u64) -> bool {
        let landing = self.proven.get(&source).map(|known| known.landing);
        landing.is_some_and(|landing| landing.shard == shard && landing.number > number)
    }

    /// Its lanes, as far as the end of a turn concerns them.
    pub(super) fn post(&mut self) -> &mut dyn Post {
        self.lanes.post()
    }

    /// Another shard has an address. Those that were told otherwise are told so.
    fn lose(&mut self, source: Source) -> Option<(Source, SessionKey)> {
        let known = self.proven.remove(&source)?;
        if let Some(via) = known.via {
            self.lanes.tell(via, AddressMessage::Disowned(source));
        }
        Some((source, known.session))
    }

    /// Makes a session known by these names, and by those that it had no more.
    pub(super) fn name(&mut self, session: SessionKey, had: &[String], names: &[String]) {
        for gone in had.iter().filter(|name| !names.contains(name)) {
            self.named.remove(gone);
        }
        for name in names.iter().filter(|name| !had.contains(name)) {
            self.named.insert(name.clone(), session);
        }
        shrink(&mut self.named);
    }

    /// Whether one more session has room for so many sockets of its own.
    pub(super) fn has_room(&self, sockets: usize) -> bool {
        self.dialled.has_room(sockets)
    }

    /// Makes sockets those of a session.
    pub(super) fn open(&mut self, session: SessionKey, sockets: Vec<DialledSocket>) {
        self.dialled.open(session, sockets);
    }

    /// Gives up all that a session has: the paths that it holds, its names, and its own sockets.
    pub(super) fn release_all(
        &mut self,
        session: SessionKey,
        paths: impl Iterator<Item = Path>,
        names: &[String],
        sockets: &[SocketAddr],
    ) {
        paths.for_each(|path| self.release(path, session));
        self.claims.retain(|(_, claiming)| *claiming != session);
        self.name(session, names, &[]);
        self.dialled.close(sockets);
    }

    /// The next thing that the kernel should know of a source; there is none unless shards share a port.
    pub(super) fn poll_steer(&mut self) -> Option<Steer> {
        self.steers.pop_front()
    }

    /// The next socket to open or close.
    pub(super) fn poll_dial(&mut self) -> Option<Dial> {
        self.dialled.poll()
    }

    /// Addresses that sessions have proven.
    pub(super) fn proven(&self) -> usize {
        self.proven.len()
    }

    /// Addresses that other shards have.
    pub(super) fn elsewhere(&self) -> usize {
        self.elsewhere.len()
    }

    /// Names of credentials.
    pub(super) fn names(&self) -> usize {
        self.named.len()
    }

    /// Sockets of sessions that call out.
    pub(super) fn dialled(&self) -> usize {
        self.dialled.len()
    }
}

/// Gives memory back after a crowd has left.
fn shrink<K: Eq + std::hash::Hash, V>(map: &mut HashMap<K, V, RandomState>) {
    if map.capacity() > 4096 && map.len() * 8 < map.capacity() {
        map.shrink_to_fit();
    }
}
