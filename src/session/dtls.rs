//! DTLS for sessions: one shared configuration, and the SRTP keying material that each handshake exports.
//!
//! The stock provider builds and self-tests a configuration for every connection (over a millisecond); here it
//! is built once per process. The keys of a handshake leave through a cell that was announced on this thread
//! just before the engine was built, since the engine itself keeps them to itself.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use str0m::config::CryptoProvider;
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{
    DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, KeyingMaterial,
    ProtocolVersion, SrtpProfile,
};

use crate::srtp::{Profile, Role};

/// Keying material of one finished handshake and the profile it is for.
#[derive(Debug)]
pub(super) struct ExportedKeys {
    /// Client key, server key, client salt, server salt (RFC 5764 4.2).
    pub(super) material: KeyingMaterial,
    /// The negotiated protection profile.
    pub(super) profile: Profile,
    /// Our side of the handshake: the server, unless the far end is one that waits.
    pub(super) role: Role,
}

/// Where the keys of one handshake arrive, once, and from where they go on to the engine when it needs them.
///
/// An engine with keys sets up six ciphers; one whose client only receives never uses them.
#[derive(Debug, Default)]
pub(super) struct KeyExchange {
    exported: OnceLock<ExportedKeys>,
    engine_needs: AtomicBool,
}

impl KeyExchange {
    /// The keys, once there are any.
    pub(super) fn exported(&self) -> Option<&ExportedKeys> {
        self.exported.get()
    }

    /// Lets the engine have the keys at its next turn, and keep them.
    pub(super) fn open_to_engine(&self) {
        self.engine_needs.store(true, Ordering::Relaxed);
    }
}

thread_local! {
    static ANNOUNCED: RefCell<Option<Arc<KeyExchange>>> = const { RefCell::new(None) };
}

/// Announces where the keys of the next DTLS instance that is made on this thread go.
pub(super) fn announce(keys: Arc<KeyExchange>) {
    ANNOUNCED.with_borrow_mut(|slot| *slot = Some(keys));
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
        Ok(Box::new(Instance { dtls, keys, held_back: None }))
    }
}

struct Instance {
    dtls: dimpl::Dtls,
    keys: Option<Arc<KeyExchange>>,
    /// Keys that the engine does not need yet.
    held_back: Option<(KeyingMaterial, SrtpProfile)>,
}

impl Instance {
    fn engine_needs_keys(&self) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.engine_needs.load(Ordering::Relaxed))
    }
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
        if self.held_back.is_some()
            && self.engine_needs_keys()
            && let Some((material, profile)) = self.held_back.take()
        {
            return DtlsOutput::KeyingMaterial(material, profile);
        }
        let role = if self.dtls.is_active() { Role::Client } else { Role::Server };
        match self.dtls.poll_output(buf) {
            DtlsOutput::KeyingMaterial(material, negotiated) => {
                if let (Some(keys), Some(profile)) = (&self.keys, profile(negotiated)) {
                    // A second export on one association would be a second handshake; the first one stands.
                    let material = KeyingMaterial::new(&material);
                    let _already_set = keys.exported.set(ExportedKeys { material, profile, role });
                }
                if self.engine_needs_keys() {
                    return DtlsOutput::KeyingMaterial(material, negotiated);
                }
                self.held_back = Some((material, negotiated));
                // The engine takes note of it once, however often it is told; the keys come of a finished handshake.
                DtlsOutput::Connected
            }
            output => output,
        }
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
