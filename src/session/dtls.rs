//! DTLS for sessions: one shared configuration, and the SRTP keying material that each handshake exports.
//!
//! The stock provider builds and self-tests a configuration for every connection (over a millisecond); here it
//! is built once per process. The keys of a handshake leave through a cell that was announced on this thread
//! just before the engine was built, since the engine itself keeps them to itself.
//!
//! That implementation takes ECDSA certificates alone. Clients that may have one of RSA are met by another one: `rsa`.

mod fingerprint;
mod rsa;

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use str0m::config::CryptoProvider;
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{
    DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, KeyingMaterial,
    ProtocolVersion, SrtpProfile,
};

use crate::plan::DtlsPlan;
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

/// What a transport and its handshake know of each other: how it is to go, and where its keys arrive, once, and from
/// where they go on to the engine when it needs them.
///
/// An engine with keys sets up six ciphers; one whose client only receives never uses them.
#[derive(Debug, Default)]
pub(super) struct KeyExchange {
    plan: OnceLock<DtlsPlan>,
    exported: OnceLock<ExportedKeys>,
    engine_needs: AtomicBool,
    refused: AtomicBool,
    begun: OnceLock<Instant>,
}

impl KeyExchange {
    /// Says how the handshake is to go, before it begins. The first word holds: what differs is another association.
    pub(super) fn begin(&self, plan: &DtlsPlan) {
        self.plan.get_or_init(|| plan.clone());
    }

    /// Whether the far end has shown a certificate that is not the described one. Nothing it sends counts any more.
    pub(super) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// Whether this is the certificate that was described (RFC 8122 6).
    fn knows(&self, certificate: &[u8]) -> bool {
        self.plan.get().is_some_and(|plan| fingerprint::matches(&plan.fingerprints, certificate))
    }

    /// The keys, once there are any.
    pub(super) fn exported(&self) -> Option<&ExportedKeys> {
        self.exported.get()
    }

    /// Lets a handshake that is ours to begin do so, once: only now can the client be reached.
    pub(super) fn release(&self, now: Instant) {
        let _already_begun = self.begun.set(now);
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

/// Standing in for "never".
const NEVER: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug)]
struct Dtls;

/// How long a flight waits for its answer before it is sent again, at first; each time twice as long as the last.
///
/// RFC 6347 4.2.4.1 proposes a second for peers of which nothing is known. Here checks have passed both ways by then, the
/// other end takes a repetition as such, and a viewer who lost one datagram sees nothing as long as this. Where the round
/// trip is longer, one flight goes twice.
const FLIGHT_WAIT: Duration = Duration::from_millis(300);
/// How often a flight is sent again: for about as long as a handshake may take.
const FLIGHT_REPEATS: usize = 6;
/// The largest datagram of a handshake that we begin.
///
/// The hello is padded to that size. It follows the first check, and no more may go to an address than three times what
/// came from it (`handshake`): a check with our user name has 108 bytes at least, and its answer up to 76.
const CLIENT_MTU: usize = 248;
/// How long an instance that has nothing to do need not be asked.
const IDLE: Duration = Duration::from_secs(3600);

impl Dtls {
    /// The configuration of every handshake. Cookies are off: ICE has proven the address before any DTLS
    /// record is taken.
    fn config() -> Result<Arc<dimpl::Config>, CryptoError> {
        static CONFIG: OnceLock<Result<Arc<dimpl::Config>, String>> = OnceLock::new();
        CONFIG.get_or_init(|| Self::built(Self::builder())).clone().map_err(CryptoError::Other)
    }

    /// The same for those that we begin.
    fn client_config() -> Result<Arc<dimpl::Config>, CryptoError> {
        static CONFIG: OnceLock<Result<Arc<dimpl::Config>, String>> = OnceLock::new();
        CONFIG
            .get_or_init(|| Self::built(Self::builder().mtu(CLIENT_MTU)))
            .clone()
            .map_err(CryptoError::Other)
    }

    fn builder() -> dimpl::ConfigBuilder {
        dimpl::Config::builder()
            .use_server_cookie(false)
            .flight_start_rto(FLIGHT_WAIT)
            .flight_retries(FLIGHT_REPEATS)
    }

    fn built(builder: dimpl::ConfigBuilder) -> Result<Arc<dimpl::Config>, String> {
        builder.build().map(Arc::new).map_err(|error| error.to_string())
    }

    fn instance(
        config: Arc<dimpl::Config>,
        version: DtlsVersion,
        own: DtlsCert,
        now: Instant,
    ) -> dimpl::Dtls {
        match version {
            DtlsVersion::Dtls12 => dimpl::Dtls::new_12(config, own, now),
            DtlsVersion::Dtls13 => dimpl::Dtls::new_13(config, own, now),
            _ => dimpl::Dtls::new_auto(config, own, now),
        }
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
        let dtls = Self::instance(Self::config()?, version, certificate.clone(), now);
        let untouched = (version != DtlsVersion::Dtls13).then(|| certificate.clone());
        let exchange = ANNOUNCED.with_borrow_mut(Option::take).unwrap_or_default();
        let handshake = Handshake::Usual(dtls);
        Ok(Box::new(Instance {
            handshake,
            version,
            untouched,
            now,
            exchange,
            is_known: false,
            held_back: None,
            waits: false,
        }))
    }
}

#[expect(clippy::large_enum_variant, reason = "nearly every session has the large one")]
enum Handshake {
    Usual(dimpl::Dtls),
    Rsa(Box<rsa::Server>),
}

struct Instance {
    handshake: Handshake,
    version: DtlsVersion,
    /// Our certificate, until the first packet has shown who is to use it.
    untouched: Option<DtlsCert>,
    /// When we were last told the time.
    now: Instant,
    exchange: Arc<KeyExchange>,
    /// Whether the far end has shown the certificate that was described.
    is_known: bool,
    /// Keys that the engine does not need yet.
    held_back: Option<(KeyingMaterial, SrtpProfile)>,
    /// Whether it is to begin the handshake and may not yet.
    waits: bool,
}

impl Instance {
    fn engine_needs_keys(&self) -> bool {
        self.exchange.engine_needs.load(Ordering::Relaxed)
    }

    /// Gives the handshake to the other implementation if `packet`, the first one, is from a client that needs it.
    fn choose(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        let Some(certificate) = self.untouched.take() else { return Ok(()) };
        if !self.is_active() && rsa::may_have_rsa(packet) {
            self.handshake = Handshake::Rsa(Box::new(rsa::Server::new(&certificate, self.now)?));
        }
        Ok(())
    }

    /// Begins the handshake, if it is time to. The engine would do so when it reads the description; the client cannot be
    /// reached then, and its timer would have the hello repeated before it was ever sent.
    fn begin(&mut self) -> bool {
        let Some(now) = self.exchange.begun.get().copied() else { return false };
        self.waits = false;
        // Neither fails before anything has been exchanged. Nothing for a packet makes the hello, as the engine has it.
        let _timer = self.handle_timeout(now);
        let _hello = self.handle_packet(&[]);
        true
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
        if active && let (Some(certificate), Ok(config)) = (&self.untouched, Dtls::client_config()) {
            let dtls = Dtls::instance(config, self.version, certificate.clone(), self.now);
            self.handshake = Handshake::Usual(dtls);
        }
        self.waits = active;
        if let Handshake::Usual(dtls) = &mut self.handshake {
            dtls.set_active(active);
        }
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        if self.exchange.is_refused() {
            return Err(DtlsImplError::ConnectionClosed);
        }
        if self.waits {
            return Ok(());
        }
        self.choose(packet)?;
        match &mut self.handshake {
            Handshake::Usual(dtls) => dtls.handle_packet(packet),
            Handshake::Rsa(server) => server.handle_packet(packet),
        }
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        if self.waits && !self.begin() {
            return DtlsOutput::Timeout(self.now + IDLE);
        }
        if self.held_back.is_some()
            && self.engine_needs_keys()
            && let Some((material, profile)) = self.held_back.take()
        {
            return DtlsOutput::KeyingMaterial(material, profile);
        }
        if self.exchange.is_refused() {
            return DtlsOutput::Timeout(self.now + NEVER);
        }
        let role = if self.is_active() { Role::Client } else { Role::Server };
        let output = match &mut self.handshake {
            Handshake::Usual(dtls) => dtls.poll_output(buf),
            Handshake::Rsa(server) => server.poll_output(buf),
        };
        match output {
            DtlsOutput::PeerCert(certificate) if self.exchange.knows(certificate) => {
                self.is_known = true;
                DtlsOutput::PeerCert(certificate)
            }
            // Who has not shown the right certificate gets no further than that.
            DtlsOutput::PeerCert(_) | DtlsOutput::KeyingMaterial(..) | DtlsOutput::ApplicationData(_)
                if !self.is_known =>
            {
                self.exchange.refused.store(true, Ordering::Relaxed);
                DtlsOutput::Timeout(self.now + NEVER)
            }
            DtlsOutput::KeyingMaterial(material, negotiated) => {
                if let Some(profile) = profile(negotiated) {
                    // A second export on one association would be a second handshake; the first one stands.
                    let material = KeyingMaterial::new(&material);
                    let _already_set = self.exchange.exported.set(ExportedKeys { material, profile, role });
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
        self.now = now;
        if self.waits {
            return Ok(());
        }
        match &mut self.handshake {
            Handshake::Usual(dtls) => dtls.handle_timeout(now),
            Handshake::Rsa(server) => server.handle_timeout(now),
        }
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        let data = &*super::empty::restore(data);
        match &mut self.handshake {
            Handshake::Usual(dtls) => dtls.send_application_data(data),
            Handshake::Rsa(server) => server.send_application_data(data),
        }
    }

    fn is_active(&self) -> bool {
        matches!(&self.handshake, Handshake::Usual(dtls) if dtls.is_active())
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        match &self.handshake {
            Handshake::Usual(dtls) => dtls.protocol_version(),
            Handshake::Rsa(server) => server.is_connected().then_some(ProtocolVersion::DTLS1_2),
        }
    }

    fn is_closing(&self) -> bool {
        matches!(&self.handshake, Handshake::Usual(dtls) if dtls.is_closing())
    }

    fn is_closed(&self) -> bool {
        match &self.handshake {
            Handshake::Usual(dtls) => dtls.is_closed(),
            Handshake::Rsa(server) => server.is_closed(),
        }
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        match &mut self.handshake {
            Handshake::Usual(dtls) => dtls.close(),
            Handshake::Rsa(server) => {
                server.close();
                Ok(())
            }
        }
    }
}
