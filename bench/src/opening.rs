//! Opens SRTP with the keys that a client's DTLS handshake exported (RFC 3711, RFC 5764 4.2, RFC 7714), with the
//! ciphers of the client's own engine. Meant for samples: it is not made to be fast.

use std::sync::Arc;

use str0m::config::CryptoProvider;
use str0m::crypto::dtls::SrtpProfile;
use str0m::crypto::{AeadAes128GcmCipher, AeadAes256GcmCipher, Aes128CmSha1_80Cipher};

use crate::engine;

/// Bytes of the tag of AES-GCM and of HMAC-SHA1-80.
const GCM_TAG_BYTES: usize = 16;
const SHA1_TAG_BYTES: usize = 10;
/// Labels of the session keys of RTP (RFC 3711 4.3.2).
const LABEL_KEY: u8 = 0;
const LABEL_AUTHENTICATION: u8 = 1;
const LABEL_SALT: u8 = 2;

/// What a finished handshake exported.
#[derive(Debug, Clone)]
pub struct ExportedKeys {
    /// Client key, server key, client salt, server salt.
    pub(crate) material: Vec<u8>,
    /// The negotiated profile.
    pub(crate) profile: SrtpProfile,
    /// Whether this side was the DTLS client.
    pub(crate) active: bool,
}

impl ExportedKeys {
    /// Client key, server key, client salt, server salt.
    pub fn material(&self) -> &[u8] {
        &self.material
    }

    /// Whether this side was the DTLS client, which seals with the client's keys.
    pub fn is_active(&self) -> bool {
        self.active
    }
}

#[derive(Debug)]
enum Cipher {
    Gcm128(Box<dyn AeadAes128GcmCipher>),
    Gcm256(Box<dyn AeadAes256GcmCipher>),
    CounterMode(Box<dyn Aes128CmSha1_80Cipher>, [u8; 20]),
}

/// Opens the RTP that the other side sends.
#[derive(Debug)]
pub struct Opener {
    provider: Arc<CryptoProvider>,
    cipher: Cipher,
    salt: [u8; 14],
}

impl Opener {
    /// Derives the session keys of the other side; `None` for a profile that no browser offers.
    pub fn new(keys: &ExportedKeys) -> Option<Self> {
        Self::of_side(keys, keys.active)
    }

    /// Derives the session keys of the DTLS server's side or of the client's.
    fn of_side(keys: &ExportedKeys, of_server: bool) -> Option<Self> {
        let (key_len, salt_len) = match keys.profile {
            SrtpProfile::AEAD_AES_128_GCM => (16, 12),
            SrtpProfile::AEAD_AES_256_GCM => (32, 12),
            SrtpProfile::AES128_CM_SHA1_80 => (16, 14),
            _ => return None,
        };
        let side = usize::from(of_server);
        let master = keys.material.get(side * key_len..)?.get(..key_len)?;
        let salt_at = 2 * key_len + side * salt_len;
        let mut master_salt = [0; 14];
        let salt = keys.material.get(salt_at..)?.get(..salt_len)?;
        master_salt.iter_mut().zip(salt).for_each(|(to, from)| *to = *from);
        let provider = engine::provider();
        let derive = |label| derive(&provider, master, master_salt, label);
        let key = derive(LABEL_KEY);
        let srtp = provider.srtp_provider;
        let cipher = match keys.profile {
            SrtpProfile::AEAD_AES_128_GCM => {
                Cipher::Gcm128(srtp.aead_aes_128_gcm().create_cipher(*key.first_chunk()?, false))
            }
            SrtpProfile::AEAD_AES_256_GCM => {
                Cipher::Gcm256(srtp.aead_aes_256_gcm().create_cipher(key, false))
            }
            _ => Cipher::CounterMode(
                srtp.aes_128_cm_sha1_80().create_cipher(*key.first_chunk()?, false),
                *derive(LABEL_AUTHENTICATION).first_chunk()?,
            ),
        };
        let salt = *derive(LABEL_SALT).first_chunk()?;
        Some(Self { provider, cipher, salt })
    }

    /// Opens one packet whose header has `header` bytes. `index` is rollover counter and sequence number. Returns the
    /// payload, or `None` when it is not authentic.
    pub fn open(&mut self, packet: &[u8], header: usize, ssrc: u32, index: u64) -> Option<Vec<u8>> {
        let (clear, sealed) = packet.split_at_checked(header)?;
        match &mut self.cipher {
            Cipher::Gcm128(_) | Cipher::Gcm256(_) if sealed.len() < GCM_TAG_BYTES => None,
            Cipher::Gcm128(cipher) => {
                let mut payload = vec![0; sealed.len() - GCM_TAG_BYTES];
                let nonce = nonce(&self.salt, ssrc, index);
                cipher.decrypt(&nonce, &[clear], sealed, &mut payload).ok().map(|_| payload)
            }
            Cipher::Gcm256(cipher) => {
                let mut payload = vec![0; sealed.len() - GCM_TAG_BYTES];
                let nonce = nonce(&self.salt, ssrc, index);
                cipher.decrypt(&nonce, &[clear], sealed, &mut payload).ok().map(|_| payload)
            }
            Cipher::CounterMode(cipher, authentication) => {
                let (text, tag) = sealed.split_at_checked(sealed.len().checked_sub(SHA1_TAG_BYTES)?)?;
                let rollover = ((index >> 16) as u32).to_be_bytes();
                let hmac = self.provider.sha1_hmac_provider;
                if !hmac.sha1_hmac(authentication, &[clear, text, &rollover]).starts_with(tag) {
                    return None;
                }
                let mut payload = vec![0; text.len()];
                let block = counter_block(&self.salt, ssrc, index);
                cipher.decrypt(&block, text, &mut payload).ok().map(|()| payload)
            }
        }
    }
}

/// RFC 7714 8.1: two zero bytes, SSRC, 48 bits of index, XOR salt.
fn nonce(salt: &[u8; 14], ssrc: u32, index: u64) -> [u8; 12] {
    let plain = u128::from(ssrc) << 48 | u128::from(index & 0xffff_ffff_ffff);
    let [_, _, _, _, mut nonce @ ..] = plain.to_be_bytes();
    nonce.iter_mut().zip(salt).for_each(|(byte, salt)| *byte ^= salt);
    nonce
}

/// RFC 3711 4.1.1: salt * 2^16 XOR ssrc * 2^64 XOR index * 2^16.
fn counter_block(salt: &[u8; 14], ssrc: u32, index: u64) -> [u8; 16] {
    let plain = u128::from(ssrc) << 64 | u128::from(index & 0xffff_ffff_ffff) << 16;
    let mut block = plain.to_be_bytes();
    block.iter_mut().zip(salt).for_each(|(byte, salt)| *byte ^= salt);
    block
}

/// RFC 3711 4.3.3: the key stream of AES in counter mode whose block is the salt with the label at byte 7.
fn derive(provider: &CryptoProvider, master: &[u8], salt: [u8; 14], label: u8) -> [u8; 32] {
    let mut out = [0; 32];
    for (part, counter) in out.chunks_mut(16).zip(0..) {
        let [s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13] = salt;
        let block = [s0, s1, s2, s3, s4, s5, s6, s7 ^ label, s8, s9, s10, s11, s12, s13, 0, counter];
        if master.len() == 32 {
            provider.srtp_provider.srtp_aes_256_ecb_round(master, &block, part);
        } else {
            provider.srtp_provider.srtp_aes_128_ecb_round(master, &block, part);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_rfc_3711_b_3_are_derived() {
        let master = 0xe1f9_7a0d_3e01_8be0_d64f_a32c_06de_4139_u128.to_be_bytes();
        let salt = [0x0e, 0xc6, 0x75, 0xad, 0x49, 0x8a, 0xfe, 0xeb, 0xb6, 0x96, 0x0b, 0x3a, 0xab, 0xe6];
        let key = derive(&engine::provider(), &master, salt, LABEL_KEY);
        assert_eq!(key[..16], 0xc61e_7a93_744f_39ee_1073_4afe_3ff7_a087_u128.to_be_bytes());
        let salt = derive(&engine::provider(), &master, salt, LABEL_SALT);
        assert_eq!(salt[..4], [0x30, 0xcb, 0xbc, 0x08]);
    }

    #[test]
    fn material_that_is_too_short_makes_no_opener() {
        for (profile, len) in [(SrtpProfile::AEAD_AES_128_GCM, 56), (SrtpProfile::AES128_CM_SHA1_80, 60)] {
            let keys = |len| ExportedKeys { material: vec![7; len], profile, active: true };
            assert!(Opener::new(&keys(len)).is_some());
            assert!(Opener::new(&keys(len - 1)).is_none());
        }
    }
}
