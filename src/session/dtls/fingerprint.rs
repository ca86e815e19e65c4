//! Whether a certificate is the one that a description tells of: what stands in for authorities in WebRTC.

use aws_lc_rs::digest::{self, Algorithm};
use subtle::ConstantTimeEq;

use crate::plan::{Fingerprint, Hash};

/// Whether one of the fingerprints is that of the certificate (RFC 8122 5); nothing matches none.
pub(super) fn matches(fingerprints: &[Fingerprint], certificate: &[u8]) -> bool {
    fingerprints.iter().any(|fingerprint| {
        let digest = digest::digest(algorithm(fingerprint.hash), certificate);
        digest.as_ref().ct_eq(&fingerprint.digest).into()
    })
}

fn algorithm(hash: Hash) -> &'static Algorithm {
    match hash {
        Hash::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        Hash::Sha224 => &digest::SHA224,
        Hash::Sha256 => &digest::SHA256,
        Hash::Sha384 => &digest::SHA384,
        Hash::Sha512 => &digest::SHA512,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_known_by_any_of_its_digests_and_by_no_other() {
        for hash in Hash::ALL {
            let digest = digest::digest(algorithm(hash), b"certificate").as_ref().to_vec();
            assert_eq!(digest.len(), hash.bytes());
            let right = Fingerprint { hash, digest };
            let wrong = Fingerprint { hash, digest: vec![0; hash.bytes()] };
            assert!(matches(&[wrong.clone(), right.clone()], b"certificate"));
            assert!(!matches(&[right], b"another"));
            assert!(!matches(&[wrong], b"certificate"));
        }
        assert!(!matches(&[], b"certificate"));
    }
}
