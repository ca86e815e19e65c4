//! The DTLS 1.2 server for clients whose certificate may be one of RSA, which GStreamer's is by default.
//!
//! A client names the certificates it can check, not the one it has. So this serves all that speak 1.2 at most and
//! offer key exchanges which only general TLS libraries still do: `may_have_rsa`. Browsers never do.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rtc_dtls::cipher_suite::CipherSuiteId;
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, HandshakeConfig};
use rtc_dtls::crypto::Certificate;
use rtc_dtls::crypto_provider::{SignatureScheme as KeyScheme, default_provider};
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_dtls::signature_hash_algorithm::SignatureScheme;
use str0m::crypto::dtls::{DtlsCert, DtlsImplError, DtlsOutput, KeyingMaterial, SrtpProfile};
use sync_wrapper::SyncWrapper;

/// What the endpoint knows its one client by; addresses are no matter of this layer.
const CLIENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
/// How long a flight waits for its answer before it is sent again, the first time (RFC 6347 4.2.4.1 allows less than
/// its second where the round trip is known to be short).
const FIRST_WAIT: Duration = Duration::from_millis(400);
/// Bytes that a client may send before the handshake is done: its certificate and a good many repetitions.
const HANDSHAKE_BYTES: usize = 64 * 1024;
/// Standing in for "never".
const IDLE: Duration = Duration::from_secs(24 * 3600);

const SIGNATURES: [SignatureScheme; 5] = [
    SignatureScheme::EcdsaWithP256AndSha256,
    SignatureScheme::EcdsaWithP384AndSha384,
    SignatureScheme::Pkcs1WithSha256,
    SignatureScheme::Pkcs1WithSha384,
    SignatureScheme::Pkcs1WithSha512,
];
const CIPHERS: [CipherSuiteId; 2] = [
    CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256,
    CipherSuiteId::Tls_Ecdhe_Ecdsa_With_ChaCha20_Poly1305_Sha256,
];
const PROFILES: [SrtpProtectionProfile; 3] = [
    SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm,
    SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
    SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
];

enum Step {
    Packet(Bytes),
    PeerCertificate(Vec<u8>),
    Keys(KeyingMaterial, SrtpProfile),
    Connected,
    Data(Bytes),
    Closed,
}

/// One association, as the server.
pub(super) struct Server {
    /// The engine asks for something that threads could share, though none do.
    endpoint: SyncWrapper<Endpoint>,
    steps: VecDeque<Step>,
    /// When we were last told the time.
    now: Instant,
    /// A packet came since: the time is to be told.
    is_behind: bool,
    /// When the last flight is sent again, and the wait after that.
    again: Option<Instant>,
    wait: Duration,
    handshake_bytes: usize,
    is_connected: bool,
    is_closed: bool,
}

impl Server {
    /// # Errors
    ///
    /// If the certificate is not one of ECDSA on P-256, which is what `generate_certificate` makes.
    pub(super) fn new(certificate: &DtlsCert, now: Instant) -> Result<Self, DtlsImplError> {
        let config = config(certificate).map_err(|error| {
            tracing::warn!(%error, "the certificate does not serve for clients with RSA");
            failed()
        })?;
        Ok(Self {
            endpoint: SyncWrapper::new(Endpoint::new(CLIENT, Default::default(), Some(Arc::new(config)))),
            steps: VecDeque::new(),
            now,
            is_behind: false,
            again: None,
            wait: FIRST_WAIT,
            handshake_bytes: 0,
            is_connected: false,
            is_closed: false,
        })
    }

    fn endpoint(&mut self) -> &mut Endpoint {
        self.endpoint.get_mut()
    }

    pub(super) fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        // What is no record is dropped in silence (RFC 6347 4.1.2.7): anyone can send it.
        if self.is_closed || !is_records(packet) {
            return Ok(());
        }
        if !self.is_connected {
            self.handshake_bytes += packet.len();
            if self.handshake_bytes > HANDSHAKE_BYTES {
                return Err(failed());
            }
        }
        let now = self.now;
        let result = self.endpoint().read(now, CLIENT, None, BytesMut::from(packet));
        self.take_packets();
        self.is_behind = true;
        self.wait = FIRST_WAIT;
        match result {
            Ok(events) => events.into_iter().try_for_each(|event| self.take(event)),
            // Records of an association that stands are proven or dropped.
            Err(_) if self.is_connected => Ok(()),
            Err(error) => {
                tracing::debug!(%error, "a handshake with a client that may have RSA has failed");
                Err(failed())
            }
        }
    }

    fn take(&mut self, event: EndpointEvent) -> Result<(), DtlsImplError> {
        match event {
            EndpointEvent::HandshakeComplete => self.complete().ok_or_else(failed)?,
            EndpointEvent::ApplicationData(data) => self.steps.push_back(Step::Data(data.freeze())),
            _ => {
                self.is_closed = true;
                self.steps.push_back(Step::Closed);
            }
        }
        Ok(())
    }

    /// Hands on what the finished handshake has proven: the certificate first, for it decides about the rest.
    fn complete(&mut self) -> Option<()> {
        let state = self.endpoint().get_connection_state(CLIENT)?;
        let profile = match state.srtp_protection_profile() {
            SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm => SrtpProfile::AEAD_AES_256_GCM,
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm => SrtpProfile::AEAD_AES_128_GCM,
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 => SrtpProfile::AES128_CM_SHA1_80,
            _ => return None,
        };
        let certificate = state.peer_certificates.first()?.clone();
        let length = profile.keying_material_len();
        let keys = state.export_keying_material("EXTRACTOR-dtls_srtp", &[], length).ok()?;
        self.steps.push_back(Step::PeerCertificate(certificate));
        self.steps.push_back(Step::Keys(KeyingMaterial::new(keys.as_ref()), profile));
        self.steps.push_back(Step::Connected);
        self.is_connected = true;
        self.again = None;
        Some(())
    }

    fn take_packets(&mut self) {
        while let Some(packet) = self.endpoint().poll_transmit() {
            self.steps.push_back(Step::Packet(packet.message.freeze()));
        }
    }

    pub(super) fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        let needed = match self.steps.front() {
            Some(Step::Packet(bytes) | Step::Data(bytes)) => bytes.len(),
            Some(Step::PeerCertificate(bytes)) => bytes.len(),
            _ => 0,
        };
        if needed > buf.len() {
            return DtlsOutput::BufferTooSmall { needed };
        }
        match self.steps.pop_front() {
            Some(Step::Packet(bytes)) => DtlsOutput::Packet(copied(&bytes, buf)),
            Some(Step::Data(bytes)) => DtlsOutput::ApplicationData(copied(&bytes, buf)),
            Some(Step::PeerCertificate(bytes)) => DtlsOutput::PeerCert(copied(&bytes, buf)),
            Some(Step::Keys(keys, profile)) => DtlsOutput::KeyingMaterial(keys, profile),
            Some(Step::Connected) => DtlsOutput::Connected,
            Some(Step::Closed) => DtlsOutput::CloseNotify,
            None if self.is_behind => DtlsOutput::Timeout(self.now),
            None => DtlsOutput::Timeout(self.again.unwrap_or(self.now + IDLE)),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.now = now;
        if std::mem::take(&mut self.is_behind) {
            let is_waiting = !self.is_connected && self.endpoint().poll_timeout(&CLIENT).is_some();
            self.again = is_waiting.then(|| now + self.wait);
        } else if self.again.is_some_and(|again| again <= now) {
            // The endpoint's own timer started when we were last told the time, which is earlier.
            let due = self.endpoint().poll_timeout(&CLIENT).map_or(now, |timer| timer.max(now));
            self.endpoint().handle_timeout(CLIENT, due).map_err(|_| failed())?;
            self.take_packets();
            self.wait *= 2;
            self.again = Some(now + self.wait);
        }
        Ok(())
    }

    pub(super) fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        if !self.is_connected || self.is_closed {
            return Ok(0);
        }
        let now = self.now;
        self.endpoint().write(now, CLIENT, data).map_err(|_| failed())?;
        self.take_packets();
        Ok(data.len())
    }

    pub(super) fn is_connected(&self) -> bool {
        self.is_connected
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed && self.steps.is_empty()
    }

    pub(super) fn close(&mut self) {
        self.is_closed = true;
        let now = self.now;
        self.endpoint().stop(now, CLIENT);
        self.take_packets();
    }
}

fn copied<'a>(bytes: &[u8], buf: &'a mut [u8]) -> &'a [u8] {
    let (start, _) = buf.split_at_mut(bytes.len());
    start.copy_from_slice(bytes);
    start
}

/// The engine's error type has no room for the errors of others.
fn failed() -> DtlsImplError {
    DtlsImplError::ConnectionClosed
}

fn config(certificate: &DtlsCert) -> Result<HandshakeConfig, Box<dyn std::error::Error>> {
    let provider = default_provider()?;
    let key = provider.crypto().import_signing_key(KeyScheme::EcdsaP256Sha256, &certificate.private_key)?;
    let own = Certificate::from_signing_key(vec![certificate.certificate.clone().into()], key);
    Ok(ConfigBuilder::default()
        .with_crypto_provider(provider)
        .with_certificates(vec![own])
        .with_cipher_suites(CIPHERS.to_vec())
        .with_signature_schemes(SIGNATURES.to_vec())
        .with_srtp_protection_profiles(PROFILES.to_vec())
        // It must have one and prove that it is its own; the engine compares it with the fingerprint of the SDP
        // (RFC 8122 5), which is what stands in for authorities in WebRTC.
        .with_client_auth(ClientAuthType::RequireAnyClientCert)
        // About the certificates of servers, of which there are none here.
        .with_insecure_skip_verify(true)
        .with_flight_interval(FIRST_WAIT)
        .build(false, None)?)
}

const HANDSHAKE_RECORD: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const RECORD_HEADER: usize = 13;
/// Type, length of the message, its number, offset and length of the fragment (RFC 6347 4.2.2).
const HANDSHAKE_HEADER: usize = 12;
const SUPPORTED_VERSIONS: u16 = 43;
const DTLS_1_3: [u8; 2] = [0xfe, 0xfc];
/// TLS_DHE_RSA_WITH_AES_128_GCM_SHA256, TLS_DHE_RSA_WITH_AES_256_GCM_SHA384 (RFC 5288 3).
const DHE_RSA: [[u8; 2]; 2] = [[0x00, 0x9e], [0x00, 0x9f]];
/// TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 (RFC 5289 3.2): with our certificate no other family is of use.
const ECDHE_ECDSA: [u8; 2] = [0xc0, 0x2b];

/// Whether `packet` is a whole number of DTLS records (RFC 6347 4.1).
fn is_records(mut packet: &[u8]) -> bool {
    while let Some(([.., high, low], rest)) = packet.split_first_chunk::<RECORD_HEADER>() {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some((_, rest)) = rest.split_at_checked(length) else { return false };
        if rest.is_empty() {
            return true;
        }
        packet = rest;
    }
    false
}

/// Whether `packet` is the ClientHello of a client whose certificate may be one of RSA: it speaks DTLS 1.2 at most, and
/// offers DHE with RSA.
pub(super) fn may_have_rsa(packet: &[u8]) -> bool {
    hello(packet).is_some_and(|(suites, extensions)| {
        let offers = |wanted: &[u8; 2]| suites.chunks_exact(2).any(|suite| suite == wanted);
        DHE_RSA.iter().any(offers) && offers(&ECDHE_ECDSA) && !speaks_1_3(extensions)
    })
}

/// The cipher suites and the extensions of a ClientHello, as far as they stand in its first fragment (RFC 5246 7.4.1.2,
/// RFC 6347 4.2.1 and 4.2.2).
fn hello(packet: &[u8]) -> Option<(&[u8], &[u8])> {
    let ([content, ..], record) = packet.split_first_chunk::<RECORD_HEADER>()?;
    let ([kind, _, _, _, _, _, offset @ .., _, _, _], body) =
        record.split_first_chunk::<HANDSHAKE_HEADER>()?;
    if *content != HANDSHAKE_RECORD || *kind != CLIENT_HELLO || *offset != [0; 3] {
        return None;
    }
    // Version and random.
    let rest = body.get(34..)?;
    let (_session, rest) = counted::<1>(rest)?;
    let (_cookie, rest) = counted::<1>(rest)?;
    let (suites, rest) = counted::<2>(rest)?;
    let (_compressions, rest) = counted::<1>(rest)?;
    Some((suites, rest.get(2..).unwrap_or_default()))
}

fn speaks_1_3(mut extensions: &[u8]) -> bool {
    while let Some((kind, rest)) = extensions.split_at_checked(2) {
        let Some((content, rest)) = counted::<2>(rest) else { return false };
        if kind == SUPPORTED_VERSIONS.to_be_bytes() {
            return content
                .get(1..)
                .is_some_and(|versions| versions.chunks_exact(2).any(|one| one == DTLS_1_3));
        }
        extensions = rest;
    }
    false
}

/// A vector whose length stands before it in `N` bytes, and what follows.
fn counted<const N: usize>(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(N)?;
    let length = length.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
    rest.split_at_checked(length)
}
