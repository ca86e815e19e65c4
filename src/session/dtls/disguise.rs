//! What is different on the wire from what the DTLS implementation takes it for.
//!
//! It knows certificates of ECDSA on P-256 and P-384 alone, offers the SRTP profiles in an order of its own and fills its
//! hello with zeros.
//! All three are decided here instead, between it and the wire, and it never learns of that:
//!
//! | message | on the wire | as it knows it |
//! |---|---|---|
//! | our ClientHello | the profiles of the plan; signatures of RSA and P-521, cipher suites of RSA as well; no padding | its own |
//! | our CertificateRequest (1.2) | RSA certificates and SHA-512 as well | ECDSA with SHA-256 and SHA-384 |
//! | ServerHello, ServerKeyExchange (1.2) | a cipher suite and a signature of RSA, or a signature with SHA-512 | the same of ECDSA with SHA-256 |
//! | Certificate, CertificateVerify (1.3) | a key and a signature of RSA or P-521 | the same of P-256 |
//!
//! A handshake is proven by hashes of all its messages, and those are taken of what was on the wire: whatever is
//! hashed, signed or verified goes by [`Disguise::undone`] first. Signatures are verified by `signature`. So a peer
//! that sends what only a disguise looks like has its own handshake fail, and no other.
//!
//! Bounded by two hellos and one request; it is gone when the keys are there.

#[cfg(test)]
mod tests;

use super::wire::{self, Fragment, MESSAGE_HEADER, counted, kind, number};
use crate::plan::SrtpOffer;

/// TLS_ECDHE_RSA_* and the suites with ECDSA that are the same otherwise (RFC 5289 3.2, RFC 7905 2).
const SUITES: [([u8; 2], [u8; 2]); 3] =
    [([0xc0, 0x2f], [0xc0, 0x2b]), ([0xc0, 0x30], [0xc0, 0x2c]), ([0xcc, 0xa8], [0xcc, 0xa9])];
/// rsa_pss_rsae_sha256, which 1.3 asks for (RFC 8446 4.2.3).
pub(super) const RSA_PSS: [u8; 2] = [0x08, 0x04];
/// rsa_pkcs1_sha256.
pub(super) const RSA_PKCS1: [u8; 2] = [0x04, 0x01];
/// ecdsa_secp256r1_sha256.
const ECDSA: [u8; 2] = [0x04, 0x03];
/// ecdsa_secp521r1_sha512; in 1.2, SHA-512 with any curve.
const ECDSA_SHA512: [u8; 2] = [0x06, 0x03];
/// Shortest signature by RSA or on P-521 that is taken, bytes; ours are well below.
const LONG_SIGNATURE: usize = 128;
/// rsa_sign (RFC 5246 7.4.4).
const RSA_SIGN: u8 = 1;
/// Keys of certificates that are shown as others of P-256, in 1.3.
static KEYS: [Key; 2] = [
    // RFC 3279 2.3.1.
    Key {
        sent: &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00],
        shown: &[0x30, 0x0d, 0x06, 0x01, 0x2a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
        scheme: RSA_PSS,
    },
    // P-521 (RFC 5480 2.1.1.1).
    Key {
        sent: &[
            0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04,
            0x00, 0x23,
        ],
        shown: &[
            0x30, 0x10, 0x06, 0x04, 0x2a, 0x03, 0x04, 0x05, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03,
            0x01, 0x07,
        ],
        scheme: ECDSA_SHA512,
    },
];
/// Extensions of a hello (RFC 8446 4.2, RFC 5764 4.1.1, RFC 7685).
const SIGNATURE_ALGORITHMS: usize = 13;
const USE_SRTP: usize = 14;
const PADDING: usize = 21;
const SUPPORTED_VERSIONS: usize = 43;
const DTLS_1_3: [u8; 2] = [0xfe, 0xfc];
/// Version and random, at the start of both hellos.
const HELLO_START: usize = 34;

/// A kind of key.
#[derive(Debug)]
struct Key {
    /// Its algorithm in a certificate.
    sent: &'static [u8],
    /// As many bytes that name the curve P-256 where the algorithm of an elliptic key names its curve (RFC 5480 2.1.1).
    shown: &'static [u8],
    /// What 1.3 signs with it (RFC 8446 4.2.3).
    scheme: [u8; 2],
}

/// The differences of one handshake.
#[derive(Debug)]
pub(super) struct Disguise {
    /// What we offer, if we begin.
    offer: Option<SrtpOffer>,
    /// Our own messages that differ: the type, as the implementation knows it, as it is on the wire.
    ours: Vec<(u8, Vec<u8>, Vec<u8>)>,
    /// Whether the handshake is one of 1.3, whose messages have no numbers in what is hashed.
    is_1_3: bool,
    /// The cipher suite of RSA that the server has chosen.
    suite: Option<[u8; 2]>,
    /// The signature algorithm that the peer has used and that was made look like another.
    scheme: Option<[u8; 2]>,
    /// What the peer's certificate holds that was made look like one of P-256.
    key: Option<&'static Key>,
}

impl Disguise {
    /// For a handshake that we begin with an offer, or wait for.
    pub(super) fn new(offer: Option<SrtpOffer>) -> Self {
        Self { offer, ours: Vec::new(), is_1_3: false, suite: None, scheme: None, key: None }
    }

    /// Whether we have begun it.
    pub(super) fn is_client(&self) -> bool {
        self.offer.is_some()
    }

    /// Whether it is one of 1.3.
    pub(super) fn is_1_3(&self) -> bool {
        self.is_1_3
    }

    /// The signature algorithm that the peer has used in a message that we changed.
    pub(super) fn scheme(&self) -> Option<[u8; 2]> {
        self.scheme
    }

    /// Writes a datagram of ours as it goes to the wire; false when it stays as it is.
    pub(super) fn outgoing(&mut self, datagram: &[u8], out: &mut Vec<u8>) -> bool {
        wire::rewrite(datagram, out, |part| {
            if !part.is_whole() {
                return None;
            }
            let known = self.ours.iter().find(|(kind, body, _)| *kind == part.kind && body == part.body);
            if let Some((.., wire)) = known {
                return Some(wire.clone());
            }
            let new = match (part.kind, self.offer) {
                (kind::CLIENT_HELLO, Some(offer)) if self.ours.len() < 2 => hello(part.body, offer)?,
                (kind::CERTIFICATE_REQUEST, None) if self.ours.is_empty() => request(part.body)?,
                _ => return None,
            };
            self.ours.push((part.kind, part.body.to_vec(), new.clone()));
            Some(new)
        })
    }

    /// Writes a datagram of the peer as the implementation is to see it; false when it stays as it is.
    pub(super) fn incoming(&mut self, datagram: &[u8], out: &mut Vec<u8>) -> bool {
        // A server of ours takes signatures of RSA as they are, once it has asked for them.
        if !self.is_client() {
            return false;
        }
        wire::rewrite(datagram, out, |part| match part.kind {
            kind::SERVER_HELLO if part.is_whole() => self.take_server_hello(part.body),
            kind::SERVER_KEY_EXCHANGE if part.offset == 0 => self.take_key_exchange(part.body),
            _ => None,
        })
    }

    fn take_server_hello(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        let (at, suite, rest) = server_suite(body)?;
        let extensions = rest.get(1..).and_then(counted::<2>).map(|(extensions, _)| extensions);
        self.is_1_3 = extensions
            .and_then(|extensions| extension(extensions, SUPPORTED_VERSIONS))
            .is_some_and(|version| version == DTLS_1_3);
        let (rsa, ecdsa) = SUITES.into_iter().find(|(rsa, _)| *rsa == suite)?;
        self.suite = Some(rsa);
        Some(with(body, at, ecdsa))
    }

    fn take_key_exchange(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        let at = scheme_at(body)?;
        let scheme = *body.get(at..)?.first_chunk()?;
        let is_changed = match scheme {
            RSA_PSS | RSA_PKCS1 => self.suite.is_some(),
            ECDSA_SHA512 => self.suite.is_none(),
            _ => false,
        };
        if !is_changed {
            return None;
        }
        self.scheme = Some(scheme);
        Some(with(body, at, ECDSA))
    }

    /// Changes what a record of 1.3 that was just decrypted holds of the peer's certificate. Its length stays.
    pub(super) fn decrypted(&mut self, content: &mut [u8]) {
        if !self.is_1_3 {
            return;
        }
        let mut at = 0;
        while let Some((_, part, _)) = content.get(at..).and_then(wire::fragment) {
            let Fragment { kind, offset, body, .. } = part;
            let (start, end) = (at + MESSAGE_HEADER, at + MESSAGE_HEADER + body.len());
            let Some(body) = content.get_mut(start..end) else { return };
            match kind {
                kind::CERTIFICATE if self.key.is_none() => {
                    self.key = KEYS.iter().find(|key| replace(body, key.sent, key.shown));
                }
                kind::CERTIFICATE_VERIFY if offset == 0 => {
                    let scheme = self.key.map(|key| key.scheme).filter(|scheme| body.starts_with(scheme));
                    if scheme.is_some() {
                        self.scheme = scheme;
                        wire::set(body, ECDSA);
                    }
                }
                _ => {}
            }
            at = end;
        }
    }

    /// Gives a certificate of the peer as it was sent; `None` when it is.
    pub(super) fn certificate(&self, certificate: &[u8]) -> Option<Vec<u8>> {
        let key = self.key?;
        let mut restored = certificate.to_vec();
        replace(&mut restored, key.shown, key.sent).then_some(restored)
    }

    /// Gives the messages of a handshake as they were on the wire; `None` when they are, or are no such messages.
    pub(super) fn undone(&self, transcript: &[u8]) -> Option<Vec<u8>> {
        if self.ours.is_empty() && self.suite.is_none() && self.scheme.is_none() && self.key.is_none() {
            return None;
        }
        // Type and length; in 1.2 the number, and the offset and length of a fragment that is the whole.
        let header_length = if self.is_1_3 { 4 } else { MESSAGE_HEADER };
        let (mut rest, mut out) = (transcript, Vec::with_capacity(transcript.len()));
        while !rest.is_empty() {
            let (header, after) = rest.split_at_checked(header_length)?;
            let [kind, x, y, z, ..] = *header else { return None };
            let (body, after) = after.split_at_checked(number(&[x, y, z]))?;
            let at = out.len();
            out.extend_from_slice(header);
            match self.undone_message(kind, body) {
                Some(new) => {
                    let [_, x, y, z] = u32::try_from(new.len()).ok()?.to_be_bytes();
                    wire::set(out.get_mut(at + 1..)?, [x, y, z]);
                    if !self.is_1_3 {
                        wire::set(out.get_mut(at + 9..)?, [x, y, z]);
                    }
                    out.extend_from_slice(&new);
                }
                None => out.extend_from_slice(body),
            }
            rest = after;
        }
        Some(out)
    }

    fn undone_message(&self, kind: u8, body: &[u8]) -> Option<Vec<u8>> {
        match kind {
            kind::CLIENT_HELLO | kind::CERTIFICATE_REQUEST => {
                let ours = self.ours.iter().find(|(of, known, _)| *of == kind && known == body)?;
                Some(ours.2.clone())
            }
            kind::SERVER_HELLO => Some(with(body, server_suite(body)?.0, self.suite?)),
            kind::SERVER_KEY_EXCHANGE => Some(with(body, scheme_at(body)?, self.scheme?)),
            kind::CERTIFICATE => self.certificate(body),
            // Ours has the same algorithm, and a shorter signature.
            kind::CERTIFICATE_VERIFY if self.is_1_3 => {
                let (signature, _) = counted::<2>(body.get(2..)?)?;
                let is_theirs = body.starts_with(&ECDSA) && signature.len() >= LONG_SIGNATURE;
                Some(with(body, 0, self.scheme.filter(|_| is_theirs)?))
            }
            _ => None,
        }
    }
}

/// Our hello as we want it (RFC 5246 7.4.1.2, RFC 6347 4.2.1).
fn hello(body: &[u8], offer: SrtpOffer) -> Option<Vec<u8>> {
    let (start, rest) = body.split_at_checked(HELLO_START)?;
    let (session, rest) = counted::<1>(rest)?;
    let (cookie, rest) = counted::<1>(rest)?;
    let (suites, rest) = counted::<2>(rest)?;
    let (compressions, rest) = counted::<1>(rest)?;
    let (mut extensions, after) = counted::<2>(rest)?;
    if !after.is_empty() {
        return None;
    }
    let mut kept = Vec::with_capacity(extensions.len());
    while let Some((name, rest)) = extensions.split_at_checked(2) {
        let (content, rest) = counted::<2>(rest)?;
        extensions = rest;
        let new = match number(name) {
            PADDING => continue,
            USE_SRTP => srtp_profiles(offer).to_vec(),
            SIGNATURE_ALGORITHMS => {
                let (algorithms, _) = counted::<2>(content)?;
                let mut new = Vec::new();
                wire::count::<2>(&mut new, &[algorithms, &ECDSA_SHA512, &RSA_PSS, &RSA_PKCS1].concat());
                new
            }
            _ => content.to_vec(),
        };
        kept.extend_from_slice(name);
        wire::count::<2>(&mut kept, &new);
    }
    let mut out = start.to_vec();
    wire::count::<1>(&mut out, session);
    wire::count::<1>(&mut out, cookie);
    wire::count::<2>(&mut out, &[suites, SUITES.map(|(rsa, _)| rsa).as_flattened()].concat());
    wire::count::<1>(&mut out, compressions);
    wire::count::<2>(&mut out, &kept);
    Some(out)
}

/// The extension with the SRTP profiles and no MKI (RFC 5764 4.1.1, RFC 7714 14.2).
fn srtp_profiles(offer: SrtpOffer) -> &'static [u8] {
    match offer {
        SrtpOffer::All => &[0, 6, 0, 8, 0, 7, 0, 1, 0],
        SrtpOffer::Gcm => &[0, 4, 0, 8, 0, 7, 0],
    }
}

/// Our request as we want it: RSA and SHA-512 as well (RFC 5246 7.4.4).
fn request(body: &[u8]) -> Option<Vec<u8>> {
    let (types, rest) = counted::<1>(body)?;
    let (algorithms, authorities) = counted::<2>(rest)?;
    let mut out = Vec::with_capacity(body.len() + 5);
    wire::count::<1>(&mut out, &[types, &[RSA_SIGN]].concat());
    wire::count::<2>(&mut out, &[algorithms, &ECDSA_SHA512, &RSA_PKCS1].concat());
    out.extend_from_slice(authorities);
    Some(out)
}

/// Where the cipher suite stands in a ServerHello, which one it is, and what follows it.
fn server_suite(body: &[u8]) -> Option<(usize, [u8; 2], &[u8])> {
    let (session, rest) = counted::<1>(body.get(HELLO_START..)?)?;
    let (suite, rest) = rest.split_first_chunk::<2>()?;
    Some((HELLO_START + 1 + session.len(), *suite, rest))
}

/// Where the signature algorithm stands in a ServerKeyExchange over an elliptic curve (RFC 8422 5.4).
fn scheme_at(body: &[u8]) -> Option<usize> {
    let (key, _) = counted::<1>(body.get(3..)?)?;
    Some(3 + 1 + key.len())
}

fn extension(mut extensions: &[u8], wanted: usize) -> Option<&[u8]> {
    while let Some((name, rest)) = extensions.split_at_checked(2) {
        let (content, rest) = counted::<2>(rest)?;
        if number(name) == wanted {
            return Some(content);
        }
        extensions = rest;
    }
    None
}

fn with(body: &[u8], at: usize, new: [u8; 2]) -> Vec<u8> {
    let mut changed = body.to_vec();
    wire::set(changed.get_mut(at..).unwrap_or_default(), new);
    changed
}

/// Replaces the first occurrence of some bytes by as many others; false when there is none.
fn replace(bytes: &mut [u8], old: &[u8], new: &[u8]) -> bool {
    let Some(at) = bytes.windows(old.len()).position(|window| window == old) else { return false };
    for (byte, new) in bytes.iter_mut().skip(at).zip(new) {
        *byte = *new;
    }
    true
}
