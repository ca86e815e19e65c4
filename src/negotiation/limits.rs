//! What can be carried out of a description: negotiation promises nothing else. The bounds of the engine are those of
//! [`crate::session::dialect`]; here is what follows from them, and from what the session around it does.
//!
//! Whoever accepts a value of a client's description asks here. A value that is not here is left out of our answer
//! where the protocol lets it be left out, and refused with what we would take where it does not.

use std::collections::{BTreeMap, BTreeSet};

use super::error::{BindError, NegotiationError};
use super::ingress;
use crate::plan::{Fingerprint, Hash};
use crate::rtp::ExtensionKind;
use crate::sdp::{self, Extmap, Section, SectionKind};
use crate::session::dialect::{EXTENSION_ID_MAX, MID_BYTES_MAX, section_name};

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

/// Checks a mid: a token (RFC 5888 4) that fits into a packet.
pub(super) fn check_mid(mid: &str) -> Result<(), NegotiationError> {
    let length = mid.len();
    if length > MID_BYTES_MAX {
        let mid: String = mid.chars().take(64).collect();
        return Err(NegotiationError::Sections(format!(
            "mid \"{mid}\" has {length} bytes, but a packet has room for {MID_BYTES_MAX}: choose a shorter one"
        )));
    }
    let other = |byte: &u8| !byte.is_ascii_graphic() || b"\"(),/:;<=>?@[\\]".contains(byte);
    if mid.as_bytes().iter().any(other) {
        return Err(NegotiationError::Sections(format!(
            "mid {mid:?} has characters that names in a description do not have: choose letters, digits and hyphens"
        )));
    }
    Ok(())
}

/// Checks the mids of an offer against each other. Sections that the engine would call alike are told by the sources
/// that the client announces, so these have to be there.
pub(super) fn check_mids(sections: &[Section]) -> Result<(), NegotiationError> {
    let mut names: BTreeMap<String, &Section> = BTreeMap::new();
    let mut mids = BTreeSet::new();
    for section in sections {
        check_mid(&section.mid)?;
        if !mids.insert(section.mid.as_str()) {
            return Err(NegotiationError::Sections(format!(
                "mid \"{}\" stands twice: each section needs one of its own",
                section.mid
            )));
        }
        if section.rejected || !matches!(section.kind, SectionKind::Audio | SectionKind::Video) {
            continue;
        }
        let is_told = |section: &Section| !section.direction.sends() || !needs_mid(section);
        let name = section_name(&section.mid);
        if ingress::reserved(&name) && !is_told(section) {
            return Err(NegotiationError::Sections(format!(
                "mid \"{}\" is like a name that this server uses itself: choose another, or announce the sources of the \
                 section by a=ssrc and send it without layers",
                section.mid
            )));
        }
        let Some(other) = names.insert(name, section) else { continue };
        if !is_told(section) || !is_told(other) {
            return Err(NegotiationError::Sections(format!(
                "mids \"{}\" and \"{}\" differ in punctuation alone, by which packets are not told apart: name one \
                 otherwise, or announce the sources of both by a=ssrc and send them without layers",
                other.mid, section.mid
            )));
        }
    }
    Ok(())
}

/// Whether packets of a section can be told by their mid alone.
fn needs_mid(section: &Section) -> bool {
    section.ssrcs.is_empty() || !section.rids.is_empty()
}

/// Tells why a live section cannot be carried whatever its codecs are.
pub(super) fn refusal(section: &Section, is_bundled: bool) -> Option<BindError> {
    let is_media = matches!(section.kind, SectionKind::Audio | SectionKind::Video);
    let is_ours = |protocol: &&str| section.protocol.eq_ignore_ascii_case(protocol);
    let protocols: &[&str] = if is_media { &MEDIA_PROTOCOLS } else { &CHANNEL_PROTOCOLS };
    if section.kind == SectionKind::Other || !protocols.iter().any(is_ours) {
        return Some(BindError::Protocol);
    }
    // A section beside the group would need a transport of its own (RFC 9143 7.3).
    if !is_bundled {
        return Some(BindError::NotBundled);
    }
    if is_media && !section.rtcp_mux {
        return Some(BindError::NoRtcpMux);
    }
    None
}

/// What RTP may come in (RFC 8829 5.1.2): all of them mean DTLS-SRTP with feedback here.
const MEDIA_PROTOCOLS: [&str; 6] = [
    "UDP/TLS/RTP/SAVPF",
    "TCP/TLS/RTP/SAVPF",
    "UDP/TLS/RTP/SAVP",
    "TCP/TLS/RTP/SAVP",
    "RTP/SAVPF",
    "RTP/SAVP",
];
/// What data channels may come in (RFC 8841 4, and its drafts).
const CHANNEL_PROTOCOLS: [&str; 3] = ["UDP/DTLS/SCTP", "TCP/DTLS/SCTP", "DTLS/SCTP"];

/// Whether a payload type can be told from RTCP on a transport that both share (RFC 5761 4).
pub(super) fn is_payload_type(pt: u8) -> bool {
    !(64..=95).contains(&pt)
}

/// Ends the extensions of the one-byte form, so it names none (RFC 8285 4.2).
const RESERVED_ID: u8 = 15;

/// Whether a header extension can be taken under its id.
pub(super) fn is_extension(line: &Extmap) -> bool {
    // Those that are passed on are read by us, at any id.
    let is_passed = ExtensionKind::from_uri(&line.uri).is_some_and(ExtensionKind::is_passed);
    line.id != RESERVED_ID && (is_passed || line.id <= EXTENSION_ID_MAX)
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
