//! The crypto provider of the clients: a DTLS configuration built once per process, and one certificate.
//!
//! The stock provider builds and self-tests a configuration for each connection, which costs more than the
//! handshake itself and would make a machine full of clients the bottleneck of a measurement. The keys of a handshake
//! leave through a cell that was announced on this thread just before the engine was built.
#![expect(
    clippy::disallowed_types,
    reason = "a client of tests and measurements, which waits for nobody else"
)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use str0m::config::{CryptoProvider, DtlsCert};
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{
    DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, ProtocolVersion,
};

use crate::opening::ExportedKeys;

/// What a client and its handshake know of each other besides the engine.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Where the keys of the handshake arrive, once.
    pub(crate) keys: OnceLock<ExportedKeys>,
    /// What goes over the connection that the engine knows nothing of.
    pub(crate) aside: Mutex<Aside>,
}

/// SCTP that is sent beside the engine's, and what the engine's own looks like.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    pub(crate) waiting: VecDeque<Vec<u8>>,
    /// The common header of the newest packet, and the number of the newest chunk of data (RFC 9260 3.1, 3.3.1).
    pub(crate) newest: Option<([u8; 12], u32)>,
}

impl Aside {
    fn see(&mut self, packet: &[u8]) {
        let Some((header, chunks)) = packet.split_first_chunk() else { return };
        let number = match chunks {
            [0, _, _, _, a, b, c, d, ..] => Some(u32::from_be_bytes([*a, *b, *c, *d])),
            _ => self.newest.map(|(_, number)| number),
        };
        self.newest = Some((*header, number.unwrap_or_default()));
    }
}

/// Shared by both.
pub(crate) type KeyCell = Arc<Shared>;

thread_local! {
    static ANNOUNCED: RefCell<Option<(KeyCell, bool)>> = const { RefCell::new(None) };
}

/// Announces the cell for the next DTLS instance that is made on this thread, and whether that repeats itself at the same
/// times in each run.
pub(crate) fn announce(cell: KeyCell, repeats: bool) {
    ANNOUNCED.with_borrow_mut(|slot| *slot = Some((cell, repeats)));
}

/// The provider of all clients.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    static DTLS: Dtls = Dtls;
    Arc::clone(PROVIDER.get_or_init(|| {
        let mut provider = str0m::crypto::from_feature_flags();
        provider.dtls_provider = &DTLS;
        Arc::new(provider)
    }))
}

/// The certificate of all clients; `None` when the crypto library cannot make one.
pub(crate) fn certificate() -> Option<DtlsCert> {
    static CERTIFICATE: OnceLock<Option<DtlsCert>> = OnceLock::new();
    CERTIFICATE.get_or_init(|| Dtls.generate_certificate()).clone()
}

#[derive(Debug)]
struct Dtls;

impl DtlsProvider for Dtls {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        dimpl::certificate::generate_self_signed_certificate().ok()
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        _version: DtlsVersion,
        _mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        static CONFIGS: [OnceLock<Result<Arc<dimpl::Config>, String>>; 2] =
            [OnceLock::new(), OnceLock::new()];
        let announced = ANNOUNCED.with_borrow_mut(Option::take);
        let repeats = announced.as_ref().is_some_and(|(_, repeats)| *repeats);
        let [drawn, repeated] = &CONFIGS;
        let build = || {
            let builder = dimpl::Config::builder();
            let builder = if repeats { builder.dangerously_set_rng_seed(2) } else { builder };
            builder.build().map(Arc::new).map_err(|error| error.to_string())
        };
        let config = if repeats { repeated } else { drawn };
        let config = config.get_or_init(build).clone().map_err(CryptoError::Other)?;
        let dtls = dimpl::Dtls::new_12(Arc::clone(&config), certificate.clone(), now);
        let newer = Some((config, certificate.clone(), now));
        Ok(Box::new(Instance { dtls, newer, keys: announced.map(|(keys, _)| keys) }))
    }
}

struct Instance {
    dtls: dimpl::Dtls,
    /// What one that takes 1.3 as well is made of.
    newer: Option<(Arc<dimpl::Config>, DtlsCert, Instant)>,
    keys: Option<KeyCell>,
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance").finish_non_exhaustive()
    }
}

impl DtlsInstance for Instance {
    fn set_active(&mut self, active: bool) {
        // Servers take what they are offered; clients stay with 1.2, which the server that they measure answers.
        if let Some((config, certificate, now)) = self.newer.take().filter(|_| !active) {
            self.dtls = dimpl::Dtls::new_auto(config, certificate, now);
        }
        self.dtls.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.dtls.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        if let Some(cell) = &self.keys {
            let mut aside = cell.aside.lock().unwrap_or_else(PoisonError::into_inner);
            while let Some(packet) = aside.waiting.pop_front() {
                // What does not go is lost, as datagrams may be.
                let _lost = self.dtls.send_application_data(&packet);
            }
        }
        let active = self.dtls.is_active();
        let output = self.dtls.poll_output(buf);
        if let (DtlsOutput::KeyingMaterial(material, profile), Some(cell)) = (&output, &self.keys) {
            // A second handshake of one client would be another transport; the first one stands.
            let _already_set =
                cell.keys.set(ExportedKeys { material: material.to_vec(), profile: *profile, active });
        }
        output
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.dtls.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        if let Some(cell) = &self.keys {
            cell.aside.lock().unwrap_or_else(PoisonError::into_inner).see(data);
        }
        self.dtls.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.dtls.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.dtls.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.dtls.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.dtls.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.dtls.close()
    }
}
