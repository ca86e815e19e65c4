//! The two constructions behind the profiles: AES-GCM (RFC 7714), and AES counter mode with HMAC-SHA1
//! (RFC 3711 4.1.1 and 4.2.1). Both work in place with prepared key schedules.
//!
//! GCM is sealed by `ring`, which for packets of 1,200 bytes takes a twentieth to a half less time than aws-lc, by the
//! processor, and the same for short ones; HMAC-SHA1 is aws-lc's, which is two to three times as fast as ring's.

use std::fmt;

use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{constant_time, hmac};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey};

use super::{KeyError, OpenError, Profile, SealError};

/// Bytes of the tag of AES-GCM.
pub(super) const GCM_TAG_LEN: usize = 16;

/// Bytes of the tag of HMAC-SHA1-80.
pub(super) const SHA1_80_TAG_LEN: usize = 10;

/// Longest associated data that are not contiguous in a packet: an RTCP header and the index behind it.
pub(super) type RtcpAad = [u8; 12];

/// A session key of RTP or of RTCP, ready for use.
#[expect(
    clippy::large_enum_variant,
    reason = "browsers negotiate GCM: its key lies beside its owner's state"
)]
pub(super) enum Cipher {
    /// AES-GCM.
    Gcm(Gcm),
    /// AES counter mode with HMAC-SHA1.
    Cm(Box<CounterMode>),
}

impl Cipher {
    /// Prepares session keys; `salt` holds 14 bytes, of which GCM uses the first 12.
    pub(super) fn new(
        profile: Profile,
        key: &[u8],
        salt: &[u8; 14],
        authentication_key: &[u8],
    ) -> Result<Cipher, KeyError> {
        let algorithm = match profile {
            Profile::AeadAes256Gcm => &AES_256_GCM,
            Profile::AeadAes128Gcm => &AES_128_GCM,
            Profile::AesCm128HmacSha1_80 => {
                return CounterMode::new(key, *salt, authentication_key).map(|cm| Cipher::Cm(Box::new(cm)));
            }
        };
        let key = UnboundKey::new(algorithm, key).map_err(|_| KeyError::Refused)?;
        let [s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, _, _] = *salt;
        let salt = [0, 0, 0, 0, s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11];
        Ok(Cipher::Gcm(Gcm { key: LessSafeKey::new(key), salt: u128::from_be_bytes(salt) }))
    }

    /// Bytes of the tag.
    pub(super) fn tag_len(&self) -> usize {
        match self {
            Cipher::Gcm(_) => GCM_TAG_LEN,
            Cipher::Cm(_) => SHA1_80_TAG_LEN,
        }
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cipher::Gcm(_) => "Gcm",
            Cipher::Cm(_) => "CounterMode",
        })
    }
}

/// AES-GCM with its salt.
pub(super) struct Gcm {
    key: LessSafeKey,
    /// Its twelve bytes as one number.
    salt: u128,
}

impl Gcm {
    /// The nonce of a packet (RFC 7714 8.1 and 9.1): two zero bytes, the SSRC, and 48 bits of index, XOR salt.
    /// RTP puts in rollover counter and sequence number, RTCP its 31-bit index.
    fn nonce(&self, ssrc: u32, index: u64) -> Nonce {
        let plain = u128::from(ssrc) << 48 | u128::from(index & 0xffff_ffff_ffff);
        let [_, _, _, _, nonce @ ..] = (plain ^ self.salt).to_be_bytes();
        Nonce::assume_unique_for_key(nonce)
    }

    /// Encrypts `text` in place and answers the tag over `aad` and ciphertext.
    pub(super) fn seal(
        &self,
        ssrc: u32,
        index: u64,
        aad: &[u8],
        text: &mut [u8],
    ) -> Result<[u8; GCM_TAG_LEN], SealError> {
        let sealed = self.key.seal_in_place_separate_tag(self.nonce(ssrc, index), Aad::from(aad), text);
        let tag = sealed.map_err(|_| SealError::Refused)?;
        tag.as_ref().try_into().map_err(|_| SealError::Refused)
    }

    /// Checks the tag and decrypts `text` in place.
    pub(super) fn open(
        &self,
        ssrc: u32,
        index: u64,
        aad: &[u8],
        text: &mut [u8],
        tag: &[u8],
    ) -> Result<(), OpenError> {
        let tag = Tag::try_from(tag).map_err(|_| OpenError::Malformed)?;
        let nonce = self.nonce(ssrc, index);
        let opened = self.key.open_in_place_separate_tag(nonce, Aad::from(aad), tag, text, 0..);
        opened.map(|_| ()).map_err(|_| OpenError::Authentication)
    }
}

/// AES counter mode and HMAC-SHA1 with their keys.
pub(super) struct CounterMode {
    key: EncryptingKey,
    salt: [u8; 14],
    authentication: hmac::Key,
}

impl CounterMode {
    /// Prepares the key schedules.
    fn new(key: &[u8], salt: [u8; 14], authentication_key: &[u8]) -> Result<CounterMode, KeyError> {
        let key = UnboundCipherKey::new(&AES_128, key).and_then(EncryptingKey::ctr);
        let authentication = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, authentication_key);
        Ok(CounterMode { key: key.map_err(|_| KeyError::Refused)?, salt, authentication })
    }

    /// Encrypts or decrypts `text` in place. The counter block (RFC 3711 4.1.1) is
    /// salt * 2^16 XOR ssrc * 2^64 XOR index * 2^16.
    pub(super) fn apply(&self, ssrc: u32, index: u64, text: &mut [u8]) -> Result<(), SealError> {
        let mut salt = [0; 16];
        salt.iter_mut().zip(self.salt).for_each(|(byte, salt)| *byte = salt);
        let block =
            u128::from_be_bytes(salt) ^ u128::from(ssrc) << 64 ^ u128::from(index & 0xffff_ffff_ffff) << 16;
        let context = EncryptionContext::Iv128(FixedLength::from(block.to_be_bytes()));
        self.key.less_safe_encrypt(text, context).map(|_| ()).map_err(|_| SealError::Refused)
    }

    /// Computes the tag over two pieces: the packet, and what is authenticated without being sent (RTP's
    /// rollover counter, RFC 3711 4.2).
    pub(super) fn tag(&self, packet: &[u8], unsent: &[u8]) -> [u8; SHA1_80_TAG_LEN] {
        let mut context = hmac::Context::with_key(&self.authentication);
        context.update(packet);
        context.update(unsent);
        let full = context.sign();
        // HMAC-SHA1 gives 20 bytes, so that there always is a first chunk.
        full.as_ref().first_chunk().copied().unwrap_or_default()
    }

    /// Compares a tag in constant time.
    pub(super) fn check(&self, packet: &[u8], unsent: &[u8], tag: &[u8]) -> Result<(), OpenError> {
        constant_time::verify_slices_are_equal(&self.tag(packet, unsent), tag)
            .map_err(|_| OpenError::Authentication)
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    #[test]
    fn the_key_stream_of_rfc_3711_b_2_is_generated() {
        let mut salt = [0; 14];
        salt.copy_from_slice(&hex!("F0F1F2F3F4F5F6F7F8F9FAFBFCFD"));
        let key = hex!("2B7E151628AED2A6ABF7158809CF4F3C");
        let cipher = CounterMode::new(&key, salt, &[0; 20]).unwrap();
        let mut stream = vec![0; 1_044_512];
        cipher.apply(0, 0, &mut stream).unwrap();
        assert_eq!(
            stream[..48],
            hex!(
                "E03EAD0935C95E80E166B16DD92B4EB4"
                "D23513162B02D0F72A43A2FE4A5F97AB"
                "41E95B3BB0A2E8DD477901E4FCA894C0"
            )
        );
        assert_eq!(
            stream[stream.len() - 48..],
            hex!(
                "EC8CDF7398607CB0F2D21675EA9EA1E4"
                "362B7C3C6773516318A077D7FC5073AE"
                "6A2CC3787889374FBEB4C81B17BA6C44"
            )
        );
    }

    #[test]
    fn key_streams_differ_by_source_and_index() {
        let cipher = CounterMode::new(&[1; 16], [2; 14], &[0; 20]).unwrap();
        let stream = |ssrc, index| {
            let mut stream = [0; 16];
            cipher.apply(ssrc, index, &mut stream).unwrap();
            stream
        };
        let streams = [stream(0, 0), stream(1, 0), stream(0, 1), stream(0, 1 << 16), stream(0, 1 << 47)];
        for (place, one) in streams.iter().enumerate() {
            assert!(!streams[..place].contains(one));
        }
    }
}
