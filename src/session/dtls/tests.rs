//! Handshakes with peers of every kind: either role, ECDSA and RSA, 1.2 and 1.3, with and without a second hello.
//!
//! The peer is the same implementation, with a provider that makes it one with a key of RSA or P-521: what `disguise` does,
//! the other way round.

use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding,
};
use dimpl::crypto::{Buf, SigningKey};
use dimpl::{CryptoError, Output};
use rcgen::{
    CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_RSA_SHA256, RsaKeySize,
};

use super::provider::{self, Change, Signed};
use super::wire::{self, kind};
use super::*;
use crate::plan::{Fingerprint, Hash, SrtpOffer};

/// What a peer is whose key is of another kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Client12,
    Server12,
    Server13,
}

/// Such a peer, with a key of RSA or P-521.
#[derive(Debug, Clone, Copy)]
struct Peer {
    part: Part,
    is_rsa: bool,
}

impl Peer {
    const fn rsa(part: Part) -> Self {
        Self { part, is_rsa: true }
    }

    const fn p521(part: Part) -> Self {
        Self { part, is_rsa: false }
    }

    /// A message of its own as one of that key.
    fn as_other(self, kind: u8, body: &[u8]) -> Option<Vec<u8>> {
        let at = match (self.part, kind) {
            (Part::Client12 | Part::Server13, kind::CERTIFICATE_VERIFY) => 0,
            (Part::Server12, kind::SERVER_KEY_EXCHANGE) => 4 + usize::from(body[3]),
            (Part::Server12, kind::SERVER_HELLO) if self.is_rsa => {
                let at = 35 + usize::from(body[34]);
                let new = match body[at..at + 2] {
                    [0xc0, 0x2b] => [0xc0, 0x2f],
                    [0xc0, 0x2c] => [0xc0, 0x30],
                    _ => [0xcc, 0xa8],
                };
                return Some([&body[..at], &new, &body[at + 2..]].concat());
            }
            _ => return None,
        };
        // Ours are short.
        let length = wire::number(body.get(at + 2..at + 4)?);
        let scheme = match self {
            Self { is_rsa: false, .. } => [6, 3],
            Self { part: Part::Server13, .. } => [8, 4],
            _ => [4, 1],
        };
        (length >= 128).then(|| [&body[..at], &scheme, &body[at + 2..]].concat())
    }

    fn transcript(self, mut messages: &[u8]) -> Vec<u8> {
        let header = if self.part == Part::Server13 { 4 } else { 12 };
        let mut out = Vec::new();
        while messages.len() > header {
            let length = wire::number(&messages[1..4]);
            let Some((message, rest)) = messages.split_at_checked(header + length) else { break };
            out.extend_from_slice(&message[..header]);
            let new = self.as_other(message[0], &message[header..]);
            out.extend_from_slice(new.as_deref().unwrap_or_else(|| &message[header..]));
            messages = rest;
        }
        out.extend_from_slice(messages);
        out
    }
}

impl Change for Peer {
    fn changes_hashes(self) -> bool {
        true
    }

    fn hashed(self, data: &[u8]) -> Option<Vec<u8>> {
        let is_messages = data.len() > 12 && matches!(data[0], 1 | 0xfe) && data[1] == 0;
        is_messages.then(|| self.transcript(data))
    }

    fn signer(self, key: &[u8]) -> Option<Box<dyn SigningKey>> {
        if let Ok(pair) = RsaKeyPair::from_pkcs8(key) {
            return Some(provider::signing_key(move |data| {
                let padding: &'static dyn RsaEncoding =
                    if self.part == Part::Server13 { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &SystemRandom::new(), data, &mut signature).ok()?;
                Some(signature)
            }));
        }
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P521_SHA512_ASN1_SIGNING, key).ok()?;
        Some(provider::signing_key(move |data| {
            Some(pair.sign(&SystemRandom::new(), data).ok()?.as_ref().to_vec())
        }))
    }

    fn verify(self, signed: Signed<'_>) -> Result<(), CryptoError> {
        let messages = (self.part == Part::Server12).then(|| self.transcript(signed.data));
        let Signed { certificate, signature, hash, algorithm, .. } = signed;
        let data = messages.as_deref().unwrap_or(signed.data);
        let stock = provider::stock().signature_verification;
        stock.verify_signature(certificate, data, signature, hash, algorithm)
    }

    fn encrypting(self, plaintext: &mut Buf) {
        let new = wire::fragment(plaintext)
            .filter(|(_, part, _)| part.offset == 0)
            .and_then(|(_, part, _)| self.as_other(part.kind, part.body));
        if let Some(new) = new {
            plaintext[12..12 + new.len()].copy_from_slice(&new);
        }
    }

    fn decrypted(self, _: &mut [u8]) {}
}

/// A certificate with a key of RSA.
fn rsa_certificate(size: RsaKeySize) -> DtlsCert {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, size).unwrap();
    let certificate = CertificateParams::new(vec!["peer".to_owned()]).unwrap().self_signed(&key).unwrap();
    DtlsCert { certificate: certificate.der().to_vec(), private_key: key.serialize_der() }
}

fn curve_certificate(algorithm: &'static rcgen::SignatureAlgorithm) -> DtlsCert {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let certificate = CertificateParams::new(vec!["peer".to_owned()]).unwrap().self_signed(&key).unwrap();
    DtlsCert { certificate: certificate.der().to_vec(), private_key: key.serialize_der() }
}

fn ecdsa_certificate() -> DtlsCert {
    dimpl::certificate::generate_self_signed_certificate().unwrap()
}

struct Handshake {
    ours: Box<dyn DtlsInstance>,
    exchange: Arc<KeyExchange>,
    theirs: dimpl::Dtls,
    other: Option<Peer>,
    now: Instant,
    their_keys: Option<(Vec<u8>, SrtpProfile)>,
    failed: bool,
    connected: (bool, bool),
}

/// How the peer differs from the usual.
#[derive(Clone, Copy)]
struct Peculiar {
    other: Option<Peer>,
    is_new: bool,
    has_cookie: bool,
    mtu: usize,
}

const USUAL: Peculiar = Peculiar { other: None, is_new: false, has_cookie: false, mtu: 1150 };

impl Handshake {
    #[expect(clippy::disallowed_methods, reason = "an instant has no other beginning")]
    fn new(part: DtlsPart, certificate: DtlsCert, peculiar: Peculiar) -> Self {
        let now = Instant::now();
        let provider = peculiar.other.map_or_else(|| provider::stock().clone(), provider::changed);
        let config = dimpl::Config::builder()
            .with_crypto_provider(provider)
            .use_server_cookie(peculiar.has_cookie)
            .mtu(peculiar.mtu)
            .build()
            .unwrap();
        let exchange = Arc::new(KeyExchange::default());
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &certificate.certificate);
        let fingerprints = vec![Fingerprint { hash: Hash::Sha256, digest: digest.as_ref().to_vec() }];
        exchange.begin(&DtlsPlan { part, fingerprints });
        exchange.open_to_engine();
        exchange.release(now);
        announce(Arc::clone(&exchange));
        let mut ours = Dtls.new_dtls(&ecdsa_certificate(), now, DtlsVersion::Dtls12, None).unwrap();
        let begins = part != DtlsPart::Waits;
        ours.set_active(begins);
        ours.handle_timeout(now).unwrap();
        let mut theirs = match peculiar.is_new {
            true => dimpl::Dtls::new_auto(Arc::new(config), certificate, now),
            false => dimpl::Dtls::new_12(Arc::new(config), certificate, now),
        };
        theirs.set_active(!begins);
        theirs.handle_timeout(now).unwrap();
        let other = peculiar.other;
        let connected = (false, false);
        Self { ours, exchange, theirs, other, now, their_keys: None, failed: false, connected }
    }

    fn step(&mut self) {
        self.now += Duration::from_millis(50);
        self.failed |= self.ours.handle_timeout(self.now).is_err();
        let mut buf = vec![0; 2000];
        let mut packets = Vec::new();
        loop {
            match self.ours.poll_output(&mut buf) {
                DtlsOutput::Packet(packet) => packets.push(packet.to_vec()),
                DtlsOutput::Timeout(_) => break,
                DtlsOutput::Connected => self.connected.0 = true,
                _ => {}
            }
        }
        for packet in packets {
            self.failed |= self.theirs.handle_packet(&packet).is_err();
        }
        self.failed |= self.theirs.handle_timeout(self.now).is_err();
        let (mut packets, mut rewritten) = (Vec::new(), Vec::new());
        loop {
            match self.theirs.poll_output(&mut buf) {
                Output::Packet(packet) => {
                    let other = self.other.filter(|peer| peer.part != Part::Server13);
                    let is_changed = wire::rewrite(packet, &mut rewritten, |part| {
                        other
                            .filter(|_| part.offset == 0)
                            .and_then(|peer| peer.as_other(part.kind, part.body))
                    });
                    packets.push(if is_changed { rewritten.clone() } else { packet.to_vec() });
                }
                Output::KeyingMaterial(keys, profile) => {
                    self.their_keys = Some((keys.to_vec(), profile));
                }
                Output::Connected => self.connected.1 = true,
                Output::Timeout(_) => break,
                _ => {}
            }
        }
        for packet in packets {
            self.failed |= self.ours.handle_packet(&packet).is_err();
        }
    }

    fn run(&mut self) {
        for _ in 0..60 {
            self.step();
        }
    }

    /// Runs it to its end, and compares what both have exported.
    fn succeed(mut self, version: ProtocolVersion, wanted: SrtpProfile) {
        self.run();
        assert!(!self.failed && self.connected == (true, true), "{:?} {:?}", self.failed, self.connected);
        let (keys, profile) = self.their_keys.unwrap();
        let exported = self.exchange.exported().unwrap();
        assert_eq!((exported.material.to_vec(), profile), (keys, wanted));
        assert_eq!(self.ours.protocol_version(), Some(version));
        assert_eq!(self.ours.send_application_data(b"hello").unwrap(), 5);
    }
}

const GCM: DtlsPart = DtlsPart::Begins(SrtpOffer::Gcm);
const ALL: DtlsPart = DtlsPart::Begins(SrtpOffer::All);
const BEST: SrtpProfile = SrtpProfile::AEAD_AES_256_GCM;

#[test]
fn ecdsa_connects_in_either_role_and_version_with_gcm() {
    for has_cookie in [false, true] {
        let peculiar = Peculiar { has_cookie, ..USUAL };
        for part in [DtlsPart::Waits, GCM, ALL] {
            Handshake::new(part, ecdsa_certificate(), peculiar).succeed(ProtocolVersion::DTLS1_2, BEST);
        }
        for part in [GCM, ALL] {
            let peculiar = Peculiar { is_new: true, ..peculiar };
            Handshake::new(part, ecdsa_certificate(), peculiar).succeed(ProtocolVersion::DTLS1_3, BEST);
        }
    }
}

#[test]
fn clients_with_rsa_connect() {
    for (size, mtu) in [(RsaKeySize::_2048, 1150), (RsaKeySize::_4096, 1150), (RsaKeySize::_2048, 700)] {
        let peculiar = Peculiar { other: Some(Peer::rsa(Part::Client12)), mtu, ..USUAL };
        Handshake::new(DtlsPart::Waits, rsa_certificate(size), peculiar)
            .succeed(ProtocolVersion::DTLS1_2, BEST);
    }
}

#[test]
fn servers_with_rsa_connect_by_1_2_and_by_1_3() {
    for size in [RsaKeySize::_2048, RsaKeySize::_4096] {
        let certificate = rsa_certificate(size);
        for has_cookie in [false, true] {
            let old = Peculiar { other: Some(Peer::rsa(Part::Server12)), has_cookie, ..USUAL };
            Handshake::new(ALL, certificate.clone(), old).succeed(ProtocolVersion::DTLS1_2, BEST);
            let new = Peculiar { other: Some(Peer::rsa(Part::Server13)), is_new: true, has_cookie, ..USUAL };
            Handshake::new(GCM, certificate.clone(), new).succeed(ProtocolVersion::DTLS1_3, BEST);
        }
    }
}

#[test]
fn keys_on_other_curves_connect_in_either_role_and_version() {
    let [p384, p521] = [&PKCS_ECDSA_P384_SHA384, &PKCS_ECDSA_P521_SHA512].map(curve_certificate);
    let others = [Part::Client12, Part::Server12, Part::Server13].map(|part| Some(Peer::p521(part)));
    for (part, other, is_new) in
        [(DtlsPart::Waits, others[0], false), (ALL, others[1], false), (GCM, others[2], true)]
    {
        let version = if is_new { ProtocolVersion::DTLS1_3 } else { ProtocolVersion::DTLS1_2 };
        for has_cookie in [false, true] {
            let peculiar = Peculiar { is_new, has_cookie, ..USUAL };
            Handshake::new(part, p384.clone(), peculiar).succeed(version, BEST);
            Handshake::new(part, p521.clone(), Peculiar { other, ..peculiar }).succeed(version, BEST);
        }
    }
}

#[test]
fn a_certificate_of_rsa_whose_key_the_peer_does_not_have_is_refused() {
    let (one, other) = (rsa_certificate(RsaKeySize::_2048), rsa_certificate(RsaKeySize::_2048));
    let stolen = || DtlsCert { certificate: one.certificate.clone(), private_key: other.private_key.clone() };
    for (part, peer, is_new) in
        [(DtlsPart::Waits, Part::Client12, false), (ALL, Part::Server12, false), (ALL, Part::Server13, true)]
    {
        let other = Some(Peer::rsa(peer));
        let mut handshake = Handshake::new(part, stolen(), Peculiar { other, is_new, ..USUAL });
        handshake.run();
        assert!(handshake.failed && !handshake.connected.0 && handshake.exchange.exported().is_none());
    }
}

#[test]
fn a_certificate_that_is_not_the_described_one_gets_no_keys() {
    for (part, is_new) in [(DtlsPart::Waits, false), (ALL, false), (GCM, true)] {
        let mut handshake = Handshake::new(part, ecdsa_certificate(), Peculiar { is_new, ..USUAL });
        let exchange = Arc::new(KeyExchange::default());
        exchange.release(handshake.now);
        let fingerprints = vec![Fingerprint { hash: Hash::Sha256, digest: vec![0; 32] }];
        exchange.begin(&DtlsPlan { part, fingerprints });
        announce(Arc::clone(&exchange));
        handshake.ours =
            Dtls.new_dtls(&ecdsa_certificate(), handshake.now, DtlsVersion::Dtls12, None).unwrap();
        handshake.ours.set_active(part != DtlsPart::Waits);
        handshake.run();
        assert!(exchange.is_refused() && exchange.exported().is_none() && !handshake.connected.0);
    }
}
