//! SRTP (RFC 3711 3.1, RFC 7714 8): header in clear, payload sealed, tag behind.

use super::cipher::Cipher;
use super::kdf::Master;
use super::replay::{Window, Windows};
use super::{KeyError, OpenError, Profile, Role, SealError};
use crate::rtp::RtpView;

/// Bits of a packet index: 32 of rollover counter, 16 of sequence number.
const INDEX_BITS: u32 = 48;

/// Seals the RTP that leaves on one transport, whatever its SSRC.
#[derive(Debug)]
pub struct SrtpSender {
    cipher: Cipher,
}

impl SrtpSender {
    /// Takes a derived session key.
    pub(super) fn new(cipher: Cipher) -> SrtpSender {
        SrtpSender { cipher }
    }

    /// Seals one packet in place and answers its whole length.
    ///
    /// `packet` holds `len` bytes of header and payload, then room for the tag; the first `header_len` bytes
    /// stay in clear. `index` is the rollover counter and sequence number in 48 bits, and its low 16 bits are
    /// the sequence number of the header.
    ///
    /// A pair of `ssrc` and `index` must never come twice, with any payload.
    pub fn seal(
        &self,
        packet: &mut [u8],
        header_len: usize,
        len: usize,
        index: u64,
        ssrc: u32,
    ) -> Result<usize, SealError> {
        if index >> INDEX_BITS != 0 {
            return Err(SealError::Exhausted);
        }
        let total = len.checked_add(self.cipher.tag_len()).ok_or(SealError::Room)?;
        let packet = packet.get_mut(..total).ok_or(SealError::Room)?;
        let (text, tag_room) = packet.split_at_mut_checked(len).ok_or(SealError::Room)?;
        let (header, payload) = text.split_at_mut_checked(header_len).ok_or(SealError::Room)?;
        match &self.cipher {
            Cipher::Gcm(gcm) => {
                let tag = gcm.seal(ssrc, index, header, payload)?;
                tag_room.copy_from_slice(&tag);
            }
            Cipher::Cm(cm) => {
                cm.apply(ssrc, index, payload)?;
                tag_room.copy_from_slice(&cm.tag(text, &rollover(index)));
            }
        }
        Ok(total)
    }
}

/// The rollover counter of an index, as HMAC covers it.
fn rollover(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

/// Opens the RTP of one peer and guesses the rollover counter of each of its sources (RFC 3711 3.3.1).
///
/// Ingress of the node is opened elsewhere; this serves load generators and tests. Sources beyond
/// 64 at a time push out the least busy one, which then starts again at rollover counter 0.
#[derive(Debug)]
pub struct SrtpReceiver {
    cipher: Cipher,
    windows: Windows,
}

impl SrtpReceiver {
    /// Derives the receiver of the side `role` from exported keying material.
    pub fn derive(role: Role, profile: Profile, keying_material: &[u8]) -> Result<SrtpReceiver, KeyError> {
        let cipher = Master::of(role.peer(), profile, keying_material)?.rtp_cipher()?;
        Ok(SrtpReceiver::new(cipher))
    }

    /// Takes a derived session key.
    pub(super) fn new(cipher: Cipher) -> SrtpReceiver {
        SrtpReceiver { cipher, windows: Windows::default() }
    }

    /// Opens one packet in place and answers the length of header and payload in clear.
    ///
    /// After an error the bytes of the packet are of no use.
    pub fn open(&mut self, packet: &mut [u8]) -> Result<usize, OpenError> {
        let view = RtpView::parse(packet).ok_or(OpenError::Malformed)?;
        let (header_len, ssrc, sequence) = (view.header_len(), view.ssrc(), view.sequence());
        let index = estimate_index(self.windows.get(ssrc).map(Window::newest), sequence);
        if !self.windows.is_fresh(ssrc, index) {
            return Err(OpenError::Replayed);
        }
        let len = packet.len().checked_sub(self.cipher.tag_len()).ok_or(OpenError::Malformed)?;
        let (text, tag) = packet.split_at_mut_checked(len).ok_or(OpenError::Malformed)?;
        match &self.cipher {
            Cipher::Gcm(gcm) => {
                let (header, payload) = text.split_at_mut_checked(header_len).ok_or(OpenError::Malformed)?;
                gcm.open(ssrc, index, header, payload, tag)?;
            }
            Cipher::Cm(cm) => {
                cm.check(text, &rollover(index), tag)?;
                let payload = text.get_mut(header_len..).ok_or(OpenError::Malformed)?;
                cm.apply(ssrc, index, payload).map_err(|_| OpenError::Malformed)?;
            }
        }
        self.windows.note(ssrc, index);
        Ok(len)
    }
}

/// Chooses the index nearest to the newest one among those with this sequence number (RFC 3711 3.3.1).
fn estimate_index(newest: Option<u64>, sequence: u16) -> u64 {
    let Some(newest) = newest else { return u64::from(sequence) };
    let ahead = i64::from(sequence.wrapping_sub(newest as u16) as i16);
    match newest.checked_add_signed(ahead) {
        Some(index) => index & ((1 << INDEX_BITS) - 1),
        // Before the first rollover there is nothing below zero.
        None => u64::from(sequence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_nearest_to_the_newest_is_chosen() {
        assert_eq!(estimate_index(None, 0xffff), 0xffff);
        assert_eq!(estimate_index(Some(0xffff), 0), 0x1_0000);
        assert_eq!(estimate_index(Some(0x1_0000), 0xffff), 0xffff);
        assert_eq!(estimate_index(Some(0x5_8000), 0x8001), 0x5_8001);
        assert_eq!(estimate_index(Some(5), 0xfff0), 0xfff0, "nothing lies below zero");
    }
}
