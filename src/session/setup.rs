//! What every session of a shard shares.

use std::net::SocketAddr;
use std::time::Duration;

use str0m::config::DtlsCert;

use super::check::Transaction;
use super::dtls;
use super::empty::Mark;
use crate::ids::ShardId;
use crate::random::Random;

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
    /// What stands for an empty message on its way through the engine.
    pub(super) mark: Mark,
    /// Whether its handshakes are to go the same way each time: in a simulation.
    pub(super) repeats: bool,
    /// Whether the ports are a session's own: the far end has left them when it begins another association.
    pub(super) serves_one_association: bool,
}

/// What every session of a shard shares.
#[derive(Debug)]
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
    /// What everything random in a session is drawn from.
    pub random: Random,
}

impl SessionSetup {
    /// What a transport needs of it; a session that calls out has its own addresses.
    pub(super) fn parts<'a>(&'a mut self, dialled: &'a [SocketAddr]) -> TransportSetup<'a> {
        let (mark, repeats) = (Mark::draw(&mut self.random), self.random.repeats());
        let serves_one_association = !dialled.is_empty();
        let (candidates, tcp_candidates) = match serves_one_association {
            true => (dialled, &[][..]),
            false => (&*self.candidates, &*self.tcp_candidates),
        };
        let certificate = &self.certificate.0;
        TransportSetup { candidates, tcp_candidates, certificate, mark, repeats, serves_one_association }
    }

    /// Draws the id of a STUN transaction of ours (RFC 8489 5), which begins with the shard that begins it.
    pub(super) fn transaction(&mut self) -> Transaction {
        let mut id: Transaction = self.random.bytes();
        if let Some(first) = id.first_mut() {
            *first = self.shard.0;
        }
        id
    }
}
