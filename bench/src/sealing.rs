//! What the bare loop and its sinks agree on: how a sink joins, and how a packet is sealed for it.
//!
//! **This is a yardstick and no security.** The key of a destination follows from its port number, so that a sink
//! can open what it gets without a handshake; the work of sealing is that of SRTP with AES-GCM (RFC 7714): header
//! in clear and authenticated, payload encrypted, tag behind. The nonce is the header itself, whose sequence number
//! and timestamp count up: one key, one source, no repetition.

use anyhow::anyhow;
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// A datagram that makes its source a destination.
pub const JOIN: &[u8] = b"LIMIT-JOIN";
/// A datagram after which its source gets nothing more.
pub const LEAVE: &[u8] = b"LIMIT-LEAVE";
/// Bytes of an RTP header without extensions, which stay in clear.
pub const HEADER_BYTES: usize = NONCE_LEN;
/// Bytes behind a sealed packet.
pub const TAG_BYTES: usize = 16;

/// The ciphers that browsers and servers agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Cipher {
    /// AES-GCM with a key of 128 bits.
    #[value(name = "aes-128-gcm")]
    Aes128Gcm,
    /// AES-GCM with a key of 256 bits.
    #[value(name = "aes-256-gcm")]
    Aes256Gcm,
}

impl Cipher {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Aes128Gcm, Self::Aes256Gcm];
}

/// The prepared key of one destination.
#[derive(Debug)]
pub struct Key(LessSafeKey);

impl Key {
    /// The key of the destination with this port.
    ///
    /// # Errors
    /// When the cryptographic library refuses it, which it has no reason for.
    pub fn of(port: u16, cipher: Cipher) -> anyhow::Result<Self> {
        let algorithm = match cipher {
            Cipher::Aes128Gcm => &AES_128_GCM,
            Cipher::Aes256Gcm => &AES_256_GCM,
        };
        let bytes: Vec<u8> = port.to_be_bytes().into_iter().cycle().take(algorithm.key_len()).collect();
        let key = UnboundKey::new(algorithm, &bytes).map_err(|_| anyhow!("a key of a port is refused"))?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Copies a packet to the front of `space` and seals it there. Returns its length, or `None` when it is no RTP
    /// packet or there is no room.
    pub fn seal(&self, packet: &[u8], space: &mut [u8]) -> Option<usize> {
        let (text, rest) = space.split_at_mut_checked(packet.len())?;
        let tag_space = rest.first_chunk_mut::<TAG_BYTES>()?;
        text.copy_from_slice(packet);
        let (header, payload) = text.split_first_chunk_mut::<HEADER_BYTES>()?;
        let nonce = Nonce::assume_unique_for_key(*header);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(*header), payload).ok()?;
        tag_space.copy_from_slice(tag.as_ref());
        Some(packet.len() + TAG_BYTES)
    }

    /// Opens a sealed packet in place. Returns what stands behind its header, or `None` when it is not authentic.
    pub fn open<'a>(&self, packet: &'a mut [u8]) -> Option<&'a [u8]> {
        let (header, sealed) = packet.split_first_chunk_mut::<HEADER_BYTES>()?;
        let nonce = Nonce::assume_unique_for_key(*header);
        self.0.open_in_place(nonce, Aad::from(*header), sealed).ok().map(|payload| &*payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_for_a_port_opens_with_its_key_and_no_other() {
        let packet: Vec<u8> = (0..200).collect();
        for cipher in Cipher::ALL {
            let mut space = vec![0; 300];
            let len = Key::of(4000, cipher).unwrap().seal(&packet, &mut space).unwrap();
            assert_eq!(len, packet.len() + TAG_BYTES);
            assert_eq!(space[..HEADER_BYTES], packet[..HEADER_BYTES]);
            assert_ne!(space[HEADER_BYTES..200], packet[HEADER_BYTES..]);
            for other in [
                Key::of(4001, cipher).unwrap(),
                Key::of(4000, Cipher::ALL[usize::from(cipher == Cipher::Aes128Gcm)]).unwrap(),
            ] {
                assert!(other.open(&mut space[..len].to_vec()).is_none());
            }
            let opened = Key::of(4000, cipher).unwrap().open(&mut space[..len]).unwrap().to_vec();
            assert_eq!(opened, packet[HEADER_BYTES..]);
        }
    }

    #[test]
    fn every_changed_bit_is_found() {
        let key = Key::of(9, Cipher::Aes128Gcm).unwrap();
        let mut space = vec![0; 80];
        let len = key.seal(&[0x80; 40], &mut space).unwrap();
        for index in 0..len {
            let mut damaged = space[..len].to_vec();
            damaged[index] ^= 1;
            assert!(key.open(&mut damaged).is_none(), "{index}");
        }
    }

    #[test]
    fn a_packet_without_room_or_header_is_not_sealed() {
        let key = Key::of(9, Cipher::Aes128Gcm).unwrap();
        assert_eq!(key.seal(&[0x80; 40], &mut [0; 40 + TAG_BYTES - 1]), None);
        assert_eq!(key.seal(&[0x80; HEADER_BYTES - 1], &mut [0; 100]), None);
        assert_eq!(key.seal(&[0x80; HEADER_BYTES], &mut [0; 100]), Some(HEADER_BYTES + TAG_BYTES));
    }
}
