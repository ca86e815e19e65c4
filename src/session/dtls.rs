//! DTLS for sessions: one shared configuration, and the SRTP keying material that each handshake exports.
//!
//! The stock provider builds and self-tests a configuration for every connection (over a millisecond); here it
//! is built once per process. The keys of a handshake leave through a cell that was announced on this thread
//! just before the engine was built, since the engine itself keeps them to itself.

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use str0m::config::CryptoProvider;
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{
    DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, KeyingMaterial,
    ProtocolVersion, SrtpProfile,
};

use crate::srtp::Profile;

/// Keying material of one finished handshake and the profile it is for.
#[derive(Debug)]
pub(super) struct ExportedKeys {
    /// Client key, server key, client salt, server salt (RFC 5764 4.2).
    pub(super) material: KeyingMaterial,
    /// The negotiated protection profile.
    pub(super) profile: Profile,
}

/// Where the keys of one handshake arrive, once.
pub(super) type KeyCell = Arc<OnceLock<ExportedKeys>>;

thread_local! {
    static ANNOUNCED: RefCell<Option<KeyCell>> = const { RefCell::new(None) };
}

/// Announces the cell for the next DTLS instance that is made on this thread.
pub(super) fn announce(cell: KeyCell) {
    ANNOUNCED.with_borrow_mut(|slot| *slot = Some(cell));
}

/// The crypto provider of all sessions.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    static DTLS: Dtls = Dtls;
    Arc::clone(PROVIDER.get_or_init(|| {
        let mut provider = str0m::crypto::from_feature_flags();
        provider.dtls_provider = &DTLS;
        Arc::new(provider)
    }))
}

#[derive(Debug)]
struct Dtls;

impl Dtls {
    /// The configuration of every handshake. Cookies are off: ICE has proven the address before any DTLS
    /// record is taken.
    fn config() -> Result<Arc<dimpl::Config>, CryptoError> {
        static CONFIG: OnceLock<Result<Arc<dimpl::Config>, String>> = OnceLock::new();
        CONFIG
            .get_or_init(|| {
                dimpl::Config::builder()
                    .use_server_cookie(false)
                    .build()
                    .map(Arc::new)
                    .map_err(|error| error.to_string())
            })
            .clone()
            .map_err(CryptoError::Other)
    }
}

impl DtlsProvider for Dtls {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        dimpl::certificate::generate_self_signed_certificate().ok()
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        _mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let config = Self::config()?;
        let certificate = certificate.clone();
        let dtls = match version {
            DtlsVersion::Dtls12 => dimpl::Dtls::new_12(config, certificate, now),
            DtlsVersion::Dtls13 => dimpl::Dtls::new_13(config, certificate, now),
            _ => dimpl::Dtls::new_auto(config, certificate, now),
        };
        let keys = ANNOUNCED.with_borrow_mut(Option::take);
        Ok(Box::new(Instance { dtls, keys }))
    }
}

struct Instance {
    dtls: dimpl::Dtls,
    keys: Option<KeyCell>,
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance").finish_non_exhaustive()
    }
}

fn profile(profile: SrtpProfile) -> Option<Profile> {
    match profile {
        SrtpProfile::AEAD_AES_256_GCM => Some(Profile::AeadAes256Gcm),
        SrtpProfile::AEAD_AES_128_GCM => Some(Profile::AeadAes128Gcm),
        SrtpProfile::AES128_CM_SHA1_80 => Some(Profile::AesCm128HmacSha1_80),
        _ => None,
    }
}

impl DtlsInstance for Instance {
    fn set_active(&mut self, active: bool) {
        self.dtls.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.dtls.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        let output = self.dtls.poll_output(buf);
        if let (DtlsOutput::KeyingMaterial(material, negotiated), Some(cell)) = (&output, &self.keys)
            && let Some(profile) = profile(*negotiated)
        {
            // A second export on one association would be a second handshake; the first one stands.
            let _already_set = cell.set(ExportedKeys { material: KeyingMaterial::new(material), profile });
        }
        output
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.dtls.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
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
