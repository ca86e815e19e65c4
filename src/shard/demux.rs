//! Which session a datagram belongs to: by proven address, else by the user name of a connectivity check.
//!
//! An address enters only after a check from it carried the right password, so nothing that a stranger sends
//! makes an entry. Bounded by the sessions of the shard times the addresses of one session.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::sessions::SessionKey;
use crate::ids::{NodeKeys, ShardId};
use crate::session::{Path, binding_request};

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

#[derive(Debug, Default)]
pub(super) struct Demux {
    by_path: HashMap<Path, SessionKey, RandomState>,
    by_ufrag: HashMap<String, SessionKey, RandomState>,
}

impl Demux {
    pub(super) fn session_at(&self, path: &Path) -> Option<SessionKey> {
        self.by_path.get(path).copied()
    }

    pub(super) fn session_named(&self, ufrag: &str) -> Option<SessionKey> {
        self.by_ufrag.get(ufrag).copied()
    }

    pub(super) fn bind_path(&mut self, path: Path, session: SessionKey) {
        self.by_path.insert(path, session);
    }

    /// Removes an address, unless another session has proven it since.
    pub(super) fn unbind_path(&mut self, path: &Path, session: SessionKey) {
        if self.by_path.get(path) == Some(&session) {
            self.by_path.remove(path);
        }
        shrink(&mut self.by_path);
    }

    pub(super) fn bind_ufrag(&mut self, ufrag: String, session: SessionKey) {
        self.by_ufrag.insert(ufrag, session);
    }

    pub(super) fn unbind_ufrag(&mut self, ufrag: &str) {
        self.by_ufrag.remove(ufrag);
        shrink(&mut self.by_ufrag);
    }

    pub(super) fn paths(&self) -> usize {
        self.by_path.len()
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
