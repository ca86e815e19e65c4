//! What a datagram is, by its first byte, and which shard a connectivity check is for. Whose it is: [`super::addresses`].

use crate::ids::{NodeKeys, ShardId};
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
