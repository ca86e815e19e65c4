//! SRTP and SRTCP with keys that DTLS exported (RFC 3711, RFC 5764, RFC 7714).
//!
//! Owns sealing of what leaves and opening of the reports that come; must not know sockets, sessions or SDP.
//! Sealing happens in place, in the buffer from which the datagram is sent, and allocates nothing.
//!
//! **The rule of this module: one key never seals two packets under one (SSRC, index).** With AES-GCM a single
//! repetition gives away the authentication key. RTP indices are the caller's, who owns the sequence numbers;
//! SRTCP indices are counted here.

use std::fmt;

mod cipher;
mod kdf;
mod replay;
mod rtcp;
mod rtp;

pub use rtcp::{SrtcpReceiver, SrtcpSender};
pub use rtp::{SrtpReceiver, SrtpSender};

/// Protection profiles (RFC 5764 4.1.2, RFC 7714 14.2), best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// AES-GCM with 256-bit key.
    AeadAes256Gcm,
    /// AES-GCM with 128-bit key.
    AeadAes128Gcm,
    /// AES in counter mode with HMAC-SHA1 cut to 80 bits.
    AesCm128HmacSha1_80,
}

impl Profile {
    /// Every profile, best first.
    pub const ALL: [Profile; 3] =
        [Profile::AeadAes256Gcm, Profile::AeadAes128Gcm, Profile::AesCm128HmacSha1_80];

    /// The name as registered for SRTP crypto suites (RFC 7714 14.1, RFC 4568 6.2).
    pub const fn name(self) -> &'static str {
        match self {
            Profile::AeadAes256Gcm => "AEAD_AES_256_GCM",
            Profile::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Profile::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
        }
    }

    /// Bytes of the authentication tag.
    pub const fn tag_len(self) -> usize {
        match self {
            Profile::AeadAes256Gcm | Profile::AeadAes128Gcm => cipher::GCM_TAG_LEN,
            Profile::AesCm128HmacSha1_80 => cipher::SHA1_80_TAG_LEN,
        }
    }

    /// Bytes by which sealing makes an RTP packet longer.
    pub const fn overhead(self) -> usize {
        self.tag_len()
    }

    /// Bytes by which sealing makes an RTCP compound longer: the tag, and the index with its E bit.
    pub const fn rtcp_overhead(self) -> usize {
        self.tag_len() + rtcp::INDEX_LEN
    }

    /// Bytes of one master key.
    pub const fn key_len(self) -> usize {
        match self {
            Profile::AeadAes256Gcm => 32,
            Profile::AeadAes128Gcm | Profile::AesCm128HmacSha1_80 => 16,
        }
    }

    /// Bytes of one master salt.
    pub const fn salt_len(self) -> usize {
        match self {
            Profile::AeadAes256Gcm | Profile::AeadAes128Gcm => 12,
            Profile::AesCm128HmacSha1_80 => 14,
        }
    }

    /// Bytes of keying material that DTLS has to export: two keys and two salts (RFC 5764 4.2).
    pub const fn keying_material_len(self) -> usize {
        2 * (self.key_len() + self.salt_len())
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which side of the DTLS association one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Seals with the client's keys.
    Client,
    /// Seals with the server's keys, as this node does unless it calls out.
    Server,
}

impl Role {
    /// The side whose packets this one opens.
    const fn peer(self) -> Role {
        match self {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        }
    }
}

/// Keys could not be derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The keying material is shorter than the profile needs.
    #[error("{profile} needs {needed} bytes of keying material, not {given}")]
    MaterialLength {
        /// The profile.
        profile: Profile,
        /// Bytes that it needs.
        needed: usize,
        /// Bytes that there are.
        given: usize,
    },
    /// The cryptographic library refused a key.
    #[error("the cryptographic library refused a key")]
    Refused,
}

/// A packet could not be sealed. None of these comes from the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The buffer has no room for tag and trailer, or the lengths contradict each other.
    #[error("no room for the tag, or lengths that contradict each other")]
    Room,
    /// All indices of the key are used up (RFC 3711 9.2).
    #[error("the key is used up")]
    Exhausted,
    /// The cryptographic library refused.
    #[error("the cryptographic library refused")]
    Refused,
}

/// A packet from the network was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Too short or not RTP/RTCP at all.
    #[error("malformed")]
    Malformed,
    /// The tag does not fit the packet.
    #[error("not authentic")]
    Authentication,
    /// The index was seen before or is too old to tell.
    #[error("replayed")]
    Replayed,
}

/// What one transport of a session needs to send media and reports and to read the reports of its client.
#[derive(Debug)]
pub struct Contexts {
    /// Seals RTP that leaves.
    pub sender: SrtpSender,
    /// Seals RTCP that leaves.
    pub rtcp_sender: SrtcpSender,
    /// Opens RTCP that comes.
    pub rtcp_receiver: SrtcpReceiver,
}

/// Derives the contexts of the server.
///
/// The keying material is what DTLS exported for `EXTRACTOR-dtls_srtp` (RFC 5764 4.2): client key, server key,
/// client salt, server salt.
pub fn derive(profile: Profile, keying_material: &[u8]) -> Result<Contexts, KeyError> {
    derive_as(Role::Server, profile, keying_material)
}

/// Derives the contexts of either side.
pub fn derive_as(role: Role, profile: Profile, keying_material: &[u8]) -> Result<Contexts, KeyError> {
    let local = kdf::Master::of(role, profile, keying_material)?;
    let remote = kdf::Master::of(role.peer(), profile, keying_material)?;
    Ok(Contexts {
        sender: SrtpSender::new(local.rtp_cipher()?),
        rtcp_sender: SrtcpSender::new(local.rtcp_cipher()?),
        rtcp_receiver: SrtcpReceiver::new(remote.rtcp_cipher()?),
    })
}

#[cfg(test)]
mod tests;
