//! What the ingress engine and the session around it can carry out: negotiation promises nothing else.
//!
//! Whoever accepts a value of a client's description asks here. A value that is not here is left out of our answer
//! where the protocol lets it be left out, and refused with what we would take where it does not.

use super::error::NegotiationError;
use crate::plan::{Fingerprint, Hash};
use crate::sdp;

/// The hash functions of certificates by name, as refusals tell them.
pub(super) fn hash_names() -> String {
    Hash::ALL.map(Hash::name).join(", ")
}

/// Reads the fingerprints of a description, as far as we can check them. One is enough (RFC 8122 5).
pub(super) fn fingerprints(lines: &[sdp::Fingerprint]) -> Result<Vec<Fingerprint>, NegotiationError> {
    let hash = |line: &sdp::Fingerprint| Hash::ALL.into_iter().find(|hash| hash.name() == line.hash);
    let known = lines.iter().filter_map(|line| Some(fingerprint(hash(line)?, line)));
    let known = known.collect::<Result<Vec<_>, _>>()?;
    if known.is_empty() {
        let found: Vec<&str> = lines.iter().map(|line| line.hash.as_str()).collect();
        return Err(match found.as_slice() {
            [] => NegotiationError::MissingFingerprint,
            found => NegotiationError::UnknownHash { found: found.join(", ").chars().take(64).collect() },
        });
    }
    Ok(known)
}

fn fingerprint(hash: Hash, line: &sdp::Fingerprint) -> Result<Fingerprint, NegotiationError> {
    let digest: Vec<u8> =
        line.value.split(':').filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    let (found, expected) = (digest.len(), hash.bytes());
    if found != expected {
        return Err(NegotiationError::FingerprintLength { hash: hash.name(), found, expected });
    }
    Ok(Fingerprint { hash, digest })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(hash: &str, bytes: usize) -> sdp::Fingerprint {
        sdp::Fingerprint { hash: hash.to_owned(), value: vec!["0A"; bytes].join(":") }
    }

    #[test]
    fn what_can_be_checked_is_kept() {
        let lines = [line("sha-1", 20), line("sha-384", 48), line("sha3-512", 64), line("sha-256", 32)];
        let hashes = fingerprints(&lines).unwrap().into_iter().map(|known| known.hash);
        assert_eq!(hashes.collect::<Vec<_>>(), [Hash::Sha1, Hash::Sha384, Hash::Sha256]);
    }

    #[test]
    fn every_function_of_the_list_is_taken_alone() {
        for hash in Hash::ALL {
            let decisive = fingerprints(&[line(hash.name(), hash.bytes())]).unwrap();
            assert_eq!(decisive, [Fingerprint { hash, digest: vec![10; hash.bytes()] }]);
        }
    }

    #[test]
    fn what_cannot_be_checked_is_refused_with_what_can() {
        let unknown = fingerprints(&[line("md5", 16), line("sha3-256", 32)]).unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "a=fingerprint is by md5, sha3-256, which cannot be checked here: send one by sha-1, sha-224, sha-256, \
             sha-384, sha-512"
        );
        assert_eq!(unknown.subcode(), "unsupported_fingerprint");
        let short = fingerprints(&[line("sha-256", 20)]).unwrap_err();
        assert_eq!(short.to_string(), "a=fingerprint:sha-256 has 20 bytes, but a digest by sha-256 has 32");
        assert_eq!(fingerprints(&[]), Err(NegotiationError::MissingFingerprint));
    }
}
