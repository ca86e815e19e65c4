//! Which session a datagram belongs to: by proven address, else by the user name of a connectivity check.
//!
//! An address enters only after a check from it carried the right password, so nothing that a stranger sends
//! makes an entry. Bounded by the sessions of the shard times the addresses of one session; what other shards own of a
//! shared port, by their sessions likewise.

use std::collections::HashMap;
use std::net::SocketAddr;

use foldhash::fast::RandomState;

use super::sessions::SessionKey;
use crate::ids::{NodeKeys, ShardId};
use crate::net::SocketIndex;
use crate::session::binding_request;

/// What the first byte of a datagram says (RFC 7983 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Stun,
    Dtls,
    Rtp,
}

pub(super) fn protocol_of(datagram: &[u8]) -> Option<Protocol> {
    match datagram.first()? {
        0..=3 => Some(Protocol::Stun),
        20..=63 => Some(Protocol::Dtls),
        128..=191 => Some(Protocol::Rtp),
        _ => None,
    }
}

/// The shard that the connectivity check at the beginning of a TCP connection is addressed to.
pub fn shard_of_check(keys: &NodeKeys, datagram: &[u8]) -> Option<ShardId> {
    if protocol_of(datagram) != Some(Protocol::Stun) {
        return None;
    }
    let (_, ufrag) = binding_request(datagram)?;
    keys.owner_of_ufrag(ufrag).ok()
}

/// Where a datagram came from. A socket stands for one candidate of ours, so this says as much as a path and is shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Source {
    /// The socket that it came in by, the same number on all shards of a shared port.
    pub(super) socket: SocketIndex,
    /// The client's address.
    pub(super) address: SocketAddr,
}

/// An address that a session has proven.
#[derive(Debug, Clone, Copy)]
struct Proven {
    session: SessionKey,
    /// The shard that the kernel brings its datagrams to, where that was seen to be another one.
    via: Option<ShardId>,
}

#[derive(Debug, Default)]
pub(super) struct Demux {
    by_source: HashMap<Source, Proven, RandomState>,
    elsewhere: HashMap<Source, ShardId, RandomState>,
    by_ufrag: HashMap<String, SessionKey, RandomState>,
}

impl Demux {
    #[inline]
    pub(super) fn session_at(&self, source: &Source) -> Option<SessionKey> {
        self.by_source.get(source).map(|proven| proven.session)
    }

    pub(super) fn session_named(&self, ufrag: &str) -> Option<SessionKey> {
        self.by_ufrag.get(ufrag).copied()
    }

    /// Binds an address to the session that has proven it last.
    pub(super) fn bind_source(&mut self, source: Source, session: SessionKey) {
        let via = self.by_source.get(&source).and_then(|proven| proven.via);
        self.by_source.insert(source, Proven { session, via });
        self.elsewhere.remove(&source);
    }

    /// Removes an address, unless another session has proven it since. Returns whether it did, and the other shard
    /// that its datagrams come to.
    pub(super) fn unbind_source(&mut self, source: &Source, session: SessionKey) -> Option<Option<ShardId>> {
        let proven = self.by_source.get(source).filter(|proven| proven.session == session).copied();
        if proven.is_some() {
            self.by_source.remove(source);
        }
        shrink(&mut self.by_source);
        proven.map(|proven| proven.via)
    }

    /// Notes that the datagrams of a proven address come to another shard. Returns the one before.
    pub(super) fn set_via(&mut self, source: &Source, via: ShardId) -> Option<ShardId> {
        self.by_source.get_mut(source)?.via.replace(via)
    }

    /// The shard that has proven an address of which datagrams come here.
    #[inline]
    pub(super) fn owner_elsewhere(&self, source: &Source) -> Option<ShardId> {
        self.elsewhere.get(source).copied()
    }

    /// Another shard has proven the address. If a session of this one had before, it has lost it.
    pub(super) fn set_elsewhere(&mut self, source: Source, owner: ShardId) {
        self.by_source.remove(&source);
        self.elsewhere.insert(source, owner);
    }

    /// That shard does not own it any more.
    pub(super) fn remove_elsewhere(&mut self, source: &Source, owner: ShardId) {
        if self.elsewhere.get(source) == Some(&owner) {
            self.elsewhere.remove(source);
        }
        shrink(&mut self.elsewhere);
    }

    pub(super) fn elsewhere(&self) -> usize {
        self.elsewhere.len()
    }

    pub(super) fn bind_ufrag(&mut self, ufrag: String, session: SessionKey) {
        self.by_ufrag.insert(ufrag, session);
    }

    pub(super) fn unbind_ufrag(&mut self, ufrag: &str) {
        self.by_ufrag.remove(ufrag);
        shrink(&mut self.by_ufrag);
    }

    pub(super) fn paths(&self) -> usize {
        self.by_source.len()
    }

    pub(super) fn ufrags(&self) -> usize {
        self.by_ufrag.len()
    }
}

/// Gives memory back after a crowd has left.
fn shrink<K: Eq + std::hash::Hash, V>(map: &mut HashMap<K, V, RandomState>) {
    if map.capacity() > 4096 && map.len() * 8 < map.capacity() {
        map.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_are_told_apart_as_rfc_7983_says() {
        assert_eq!(protocol_of(&[]), None);
        assert_eq!(protocol_of(&[0]), Some(Protocol::Stun));
        assert_eq!(protocol_of(&[4]), None);
        assert_eq!(protocol_of(&[19]), None);
        assert_eq!(protocol_of(&[20]), Some(Protocol::Dtls));
        assert_eq!(protocol_of(&[63]), Some(Protocol::Dtls));
        assert_eq!(protocol_of(&[64]), None);
        assert_eq!(protocol_of(&[128]), Some(Protocol::Rtp));
        assert_eq!(protocol_of(&[191]), Some(Protocol::Rtp));
        assert_eq!(protocol_of(&[192]), None);
    }
}
