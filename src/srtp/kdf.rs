//! Key derivation (RFC 3711 4.3, with key derivation rate 0): from a master key and salt to session keys.

use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, UnboundCipherKey};

use super::cipher::Cipher;
use super::{KeyError, Profile, Role};

/// Labels of the session keys of RTP: encryption, authentication, salt (RFC 3711 4.3.2).
const RTP_LABELS: [u8; 3] = [0, 1, 2];

/// Labels of the session keys of RTCP.
const RTCP_LABELS: [u8; 3] = [3, 4, 5];

/// AES block length.
const BLOCK_LEN: usize = 16;

/// Length of a master salt in the derivation. The 96-bit salts of AES-GCM get zeros behind them (RFC 7714 11,
/// erratum 4938).
const SALT_LEN: usize = 14;

/// Length of an authentication key of HMAC-SHA1 (RFC 3711 5.2).
const SHA1_KEY_LEN: usize = 20;

/// The master key and salt of one side.
pub(super) struct Master {
    profile: Profile,
    prf: EncryptingKey,
    salt: [u8; SALT_LEN],
}

impl Master {
    /// Cuts the key and salt of one side out of exported keying material (RFC 5764 4.2).
    pub(super) fn of(role: Role, profile: Profile, keying_material: &[u8]) -> Result<Master, KeyError> {
        let (key_len, salt_len) = (profile.key_len(), profile.salt_len());
        let place = match role {
            Role::Client => 0,
            Role::Server => 1,
        };
        let key_at = place * key_len;
        let salt_at = 2 * key_len + place * salt_len;
        let key = keying_material.get(key_at..key_at + key_len);
        let salt = keying_material.get(salt_at..salt_at + salt_len);
        let (Some(key), Some(salt)) = (key, salt) else {
            let (needed, given) = (profile.keying_material_len(), keying_material.len());
            return Err(KeyError::MaterialLength { profile, needed, given });
        };
        Master::new(profile, key, salt)
    }

    /// Takes a master key and salt of the lengths of the profile.
    pub(super) fn new(profile: Profile, key: &[u8], salt: &[u8]) -> Result<Master, KeyError> {
        let algorithm = if profile.key_len() == 32 { &AES_256 } else { &AES_128 };
        let prf = UnboundCipherKey::new(algorithm, key).and_then(EncryptingKey::ecb);
        let mut filled = [0; SALT_LEN];
        filled.get_mut(..salt.len()).ok_or(KeyError::Refused)?.copy_from_slice(salt);
        Ok(Master { profile, prf: prf.map_err(|_| KeyError::Refused)?, salt: filled })
    }

    /// Derives the cipher of RTP.
    pub(super) fn rtp_cipher(&self) -> Result<Cipher, KeyError> {
        self.cipher(RTP_LABELS)
    }

    /// Derives the cipher of RTCP.
    pub(super) fn rtcp_cipher(&self) -> Result<Cipher, KeyError> {
        self.cipher(RTCP_LABELS)
    }

    /// Derives the session keys under three labels.
    fn cipher(&self, [encryption, authentication, salting]: [u8; 3]) -> Result<Cipher, KeyError> {
        let mut salt = [0; SALT_LEN];
        self.derive(salting, &mut salt)?;
        let mut key_room = [0; 32];
        let key = key_room.get_mut(..self.profile.key_len()).ok_or(KeyError::Refused)?;
        self.derive(encryption, key)?;
        let mut authentication_key = [0; SHA1_KEY_LEN];
        self.derive(authentication, &mut authentication_key)?;
        Cipher::new(self.profile, key, &salt, &authentication_key)
    }

    /// Fills `out` with the key stream of one label (RFC 3711 4.3.3): AES in counter mode whose counter block
    /// is the salt with the label at byte 7, then 16 bits of counter.
    pub(super) fn derive(&self, label: u8, out: &mut [u8]) -> Result<(), KeyError> {
        for (counter, part) in (0u16..).zip(out.chunks_mut(BLOCK_LEN)) {
            let [high, low] = counter.to_be_bytes();
            let [s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13] = self.salt;
            let mut block = [s0, s1, s2, s3, s4, s5, s6, s7 ^ label, s8, s9, s10, s11, s12, s13, high, low];
            self.prf.encrypt(&mut block).map_err(|_| KeyError::Refused)?;
            part.copy_from_slice(block.get(..part.len()).unwrap_or_default());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    #[test]
    fn the_keys_of_rfc_3711_b_3_are_derived() {
        let key = hex!("E1F97A0D3E018BE0D64FA32C06DE4139");
        let salt = hex!("0EC675AD498AFEEBB6960B3AABE6");
        let master = Master::new(Profile::AesCm128HmacSha1_80, &key, &salt).unwrap();
        let derived = |label, len| {
            let mut out = vec![0; len];
            master.derive(label, &mut out).unwrap();
            out
        };
        assert_eq!(derived(0, 16), hex!("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(derived(2, 14), hex!("30CBBC08863D8C85D49DB34A9AE1"));
        assert_eq!(
            derived(1, 94),
            hex!(
                "CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE"
                "E049646C43D9327AD175578EF7227098 6371C10C9A369AC2F94A8C5FBCDDDC25"
                "6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2"
            )
        );
    }

    #[test]
    fn material_that_is_too_short_is_refused_and_more_is_ignored() {
        for profile in Profile::ALL {
            let needed = profile.keying_material_len();
            for given in [0, 1, needed - 1] {
                let refused = super::super::derive(profile, &vec![7; given]).err();
                assert_eq!(refused, Some(KeyError::MaterialLength { profile, needed, given }));
            }
            assert!(super::super::derive(profile, &vec![7; needed + 5]).is_ok());
        }
    }
}
