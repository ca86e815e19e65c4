//! What every session of a shard shares.

use std::net::SocketAddr;
use std::time::Duration;

use str0m::config::DtlsCert;

use super::dtls;
use crate::ids::ShardId;

/// The DTLS certificate of the node, shared by all sessions.
#[derive(Clone)]
pub struct Certificate(pub(super) DtlsCert);

impl Certificate {
    /// Makes a self-signed certificate; `None` when the crypto library cannot.
    pub fn generate() -> Option<Self> {
        dtls::provider().dtls_provider.generate_certificate().map(Self)
    }

    /// Its fingerprint as in `a=fingerprint` (RFC 8122 5): `sha-256 AB:CD:…`.
    pub fn fingerprint(&self) -> String {
        let digest = dtls::provider().sha256_provider.sha256(&self.0.certificate);
        let hex: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
        format!("sha-256 {}", hex.join(":"))
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Certificate").field(&self.fingerprint()).finish()
    }
}

/// What a transport is made from.
pub(super) struct TransportSetup<'a> {
    pub(super) candidates: &'a [SocketAddr],
    pub(super) tcp_candidates: &'a [SocketAddr],
    pub(super) certificate: &'a DtlsCert,
    /// Whether the ports are a session's own: the far end has left them when it begins another association.
    pub(super) serves_one_association: bool,
}

/// What every session of a shard shares.
#[derive(Debug, Clone)]
pub struct SessionSetup {
    /// The shard.
    pub shard: ShardId,
    /// Our addresses and ports as they are bound, each once. The engine never learns what clients are told instead.
    pub candidates: Vec<SocketAddr>,
    /// Our candidates for TCP.
    pub tcp_candidates: Vec<SocketAddr>,
    /// Our certificate.
    pub certificate: Certificate,
    /// Life-cycle: never connected.
    pub never_connected: Duration,
    /// Life-cycle: connected once, silent since.
    pub disconnected: Duration,
}

impl SessionSetup {
    /// What a transport needs of it; a session that calls out has its own addresses.
    pub(super) fn parts<'a>(&'a self, dialled: &'a [SocketAddr]) -> TransportSetup<'a> {
        let certificate = &self.certificate.0;
        if dialled.is_empty() {
            return TransportSetup {
                candidates: &self.candidates,
                tcp_candidates: &self.tcp_candidates,
                certificate,
                serves_one_association: false,
            };
        }
        TransportSetup { candidates: dialled, tcp_candidates: &[], certificate, serves_one_association: true }
    }
}
