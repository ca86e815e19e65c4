//! SRTCP (RFC 3711 3.4, RFC 7714 9): eight bytes in clear, the rest sealed, an index with the E bit behind.
//!
//! ```text
//! AES-GCM:  | header 8 | sealed | tag 16 | E, index 31 |
//! AES-CM:   | header 8 | sealed | E, index 31 | tag 10 |
//! ```

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::cipher::{Cipher, RtcpAad};
use super::replay::Windows;
use super::{OpenError, SealError};

/// Bytes in clear: the first word of the compound and its sender's SSRC.
const HEADER_LEN: usize = 8;

/// Bytes of index and E bit.
pub(super) const INDEX_LEN: usize = 4;

/// The bit in front of the index that says that the packet is encrypted.
const ENCRYPTED: u32 = 1 << 31;

/// Sources whose indices are kept apart. Beyond that they go on together from the highest.
const COUNTED_MAX: usize = 4096;

/// Seals the RTCP that leaves on one transport. It counts the indices itself.
///
/// Each source has its own (RFC 3711 3.2.3), as with libsrtp. An index has 31 bits and ends for good: counted together, the
/// reports of a few hundred streams would use it up within weeks; a source that reports once a second takes 68 years.
#[derive(Debug)]
pub struct SrtcpSender {
    cipher: Cipher,
    /// The next index of each source, by SSRC.
    next: HashMap<u32, u32, RandomState>,
    /// The first index of a source that is not among them.
    floor: u32,
}

impl SrtcpSender {
    /// Takes a derived session key; the first index is 0 (RFC 3711 3.2.1).
    pub(super) fn new(cipher: Cipher) -> SrtcpSender {
        SrtcpSender { cipher, next: HashMap::default(), floor: 0 }
    }

    /// Seals a compound of `len` bytes in place and answers its whole length; `packet` needs room for
    /// [`Profile::rtcp_overhead`](super::Profile::rtcp_overhead) more.
    pub fn seal(&mut self, packet: &mut [u8], len: usize) -> Result<usize, SealError> {
        let trailer_len = self.cipher.tag_len() + INDEX_LEN;
        let total = len.checked_add(trailer_len).ok_or(SealError::Room)?;
        let packet = packet.get_mut(..total).ok_or(SealError::Room)?;
        let (text, trailer) = packet.split_at_mut_checked(len).ok_or(SealError::Room)?;
        let (header, body) = text.split_first_chunk_mut::<HEADER_LEN>().ok_or(SealError::Room)?;

        let ssrc = ssrc_of(header);
        // Counted before the cryptography: an index of a packet that failed is not used again.
        let index = self.take_index(ssrc).ok_or(SealError::Exhausted)?;
        let (index, index_word) = (u64::from(index), (index | ENCRYPTED).to_be_bytes());
        match &self.cipher {
            Cipher::Gcm(gcm) => {
                let tag = gcm.seal(ssrc, index, &rtcp_aad(header, index_word), body)?;
                let (tag_room, index_room) =
                    trailer.split_at_mut_checked(tag.len()).ok_or(SealError::Room)?;
                tag_room.copy_from_slice(&tag);
                index_room.copy_from_slice(&index_word);
            }
            Cipher::Cm(cm) => {
                cm.apply(ssrc, index, body)?;
                let (index_room, tag_room) =
                    trailer.split_at_mut_checked(INDEX_LEN).ok_or(SealError::Room)?;
                index_room.copy_from_slice(&index_word);
                tag_room.copy_from_slice(&cm.tag(text, &index_word));
            }
        }
        Ok(total)
    }

    fn take_index(&mut self, ssrc: u32) -> Option<u32> {
        if self.next.len() >= COUNTED_MAX && !self.next.contains_key(&ssrc) {
            self.floor = self.next.values().copied().fold(self.floor, u32::max);
            self.next.clear();
        }
        let next = self.next.entry(ssrc).or_insert(self.floor);
        let index = Some(*next).filter(|index| *index < ENCRYPTED)?;
        *next += 1;
        Some(index)
    }

    /// Sets the index of the next packet of any source, for tests.
    #[cfg(test)]
    pub(super) fn set_next_index(&mut self, index: u32) {
        (self.next, self.floor) = (HashMap::default(), index);
    }
}

/// Opens the RTCP of one peer and refuses what it saw before.
#[derive(Debug)]
pub struct SrtcpReceiver {
    cipher: Cipher,
    windows: Windows,
}

impl SrtcpReceiver {
    /// Takes a derived session key.
    pub(super) fn new(cipher: Cipher) -> SrtcpReceiver {
        SrtcpReceiver { cipher, windows: Windows::default() }
    }

    /// Opens a compound in place and answers its length in clear. Give it a copy when the sealed datagram is
    /// still needed: after an error the bytes are of no use.
    pub fn open(&mut self, packet: &mut [u8]) -> Result<usize, OpenError> {
        let trailer_len = self.cipher.tag_len() + INDEX_LEN;
        let len = packet.len().checked_sub(trailer_len).ok_or(OpenError::Malformed)?;
        let (text, trailer) = packet.split_at_mut_checked(len).ok_or(OpenError::Malformed)?;
        let header = *text.first_chunk::<HEADER_LEN>().ok_or(OpenError::Malformed)?;
        if header.first().is_none_or(|byte| byte >> 6 != 2) {
            return Err(OpenError::Malformed);
        }
        if let Cipher::Gcm(_) = self.cipher {
            // From here on both layouts are the same: text, index, tag.
            trailer.rotate_right(INDEX_LEN);
        }
        let index_word = *trailer.first_chunk::<INDEX_LEN>().ok_or(OpenError::Malformed)?;
        let (ssrc, index) = (ssrc_of(&header), u64::from(u32::from_be_bytes(index_word) & !ENCRYPTED));
        if !self.windows.is_fresh(ssrc, index) {
            return Err(OpenError::Replayed);
        }
        open_compound(&self.cipher, packet, len, &header, index_word)?;
        self.windows.note(ssrc, index);
        Ok(len)
    }
}

/// Checks the tag of a compound and decrypts it when its E bit says so; `packet` holds `len` bytes of text,
/// then index, then tag.
fn open_compound(
    cipher: &Cipher,
    packet: &mut [u8],
    len: usize,
    header: &[u8; HEADER_LEN],
    index_word: [u8; INDEX_LEN],
) -> Result<(), OpenError> {
    let word = u32::from_be_bytes(index_word);
    let (ssrc, index) = (ssrc_of(header), u64::from(word & !ENCRYPTED));
    let (indexed, tag) = packet.split_at_mut_checked(len + INDEX_LEN).ok_or(OpenError::Malformed)?;
    match cipher {
        Cipher::Gcm(gcm) if word & ENCRYPTED != 0 => {
            let body = indexed.get_mut(HEADER_LEN..len).ok_or(OpenError::Malformed)?;
            gcm.open(ssrc, index, &rtcp_aad(header, index_word), body, tag)
        }
        // RFC 7714 9.3: all of a compound in clear is associated data.
        Cipher::Gcm(gcm) => gcm.open(ssrc, index, indexed, &mut [], tag),
        Cipher::Cm(cm) => {
            cm.check(indexed, &[], tag)?;
            if word & ENCRYPTED != 0 {
                let body = indexed.get_mut(HEADER_LEN..len).ok_or(OpenError::Malformed)?;
                cm.apply(ssrc, index, body).map_err(|_| OpenError::Malformed)?;
            }
            Ok(())
        }
    }
}

/// The SSRC in the first eight bytes of a compound.
fn ssrc_of(header: &[u8; HEADER_LEN]) -> u32 {
    let [_, _, _, _, ssrc @ ..] = *header;
    u32::from_be_bytes(ssrc)
}

/// The associated data of an encrypted compound (RFC 7714 9.2): header, then E bit and index.
fn rtcp_aad(header: &[u8; HEADER_LEN], index_word: [u8; INDEX_LEN]) -> RtcpAad {
    let ([h0, h1, h2, h3, h4, h5, h6, h7], [i0, i1, i2, i3]) = (*header, index_word);
    [h0, h1, h2, h3, h4, h5, h6, h7, i0, i1, i2, i3]
}
