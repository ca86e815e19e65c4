//! DTLS for sessions: one shared configuration, and the SRTP keying material that each handshake exports.
//!
//! The stock provider builds and self-tests a configuration for every connection (over a millisecond); here it
//! is built once per process. The keys of a handshake leave through a cell that was announced on this thread
//! just before the engine was built, since the engine itself keeps them to itself.
//!
//! Between the wire and the implementation stands a `disguise`, for what that cannot do by itself.

mod crypto;
mod disguise;
mod fingerprint;
mod provider;
mod signature;
mod wire;

#[cfg(test)]
mod tests;

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

use self::disguise::Disguise;
pub(super) use self::wire::is_handshake;
use super::empty::{Mark, restore};
use crate::plan::{DtlsPart, DtlsPlan};
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
    /// What stands for an empty message.
    mark: Mark,
    /// Whether it is to go the same way each time.
    repeats: bool,
}

impl KeyExchange {
    pub(super) fn new(mark: Mark, repeats: bool) -> Self {
        Self { mark, repeats, ..Self::default() }
    }

    pub(super) fn mark(&self) -> Mark {
        self.mark
    }

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
/// How long an instance that has nothing to do need not be asked.
const IDLE: Duration = Duration::from_secs(3600);

impl Dtls {
    /// The configuration of every handshake. Cookies are off: ICE has proven the address before any DTLS
    /// record is taken.
    ///
    /// In a simulation the times of its repetitions and the fields that it draws by itself are the same in each. Keys and
    /// signatures are the system's in any case.
    fn config(repeats: bool) -> Result<Arc<dimpl::Config>, CryptoError> {
        static CONFIGS: [OnceLock<Result<Arc<dimpl::Config>, String>>; 2] =
            [OnceLock::new(), OnceLock::new()];
        let [drawn, repeated] = &CONFIGS;
        let build = || {
            let mut builder = dimpl::Config::builder()
                .with_crypto_provider(crypto::provider())
                .use_server_cookie(false)
                .flight_start_rto(FLIGHT_WAIT)
                .flight_retries(FLIGHT_REPEATS);
            if repeats {
                builder = builder.dangerously_set_rng_seed(1);
            }
            builder.build().map(Arc::new).map_err(|error| error.to_string())
        };
        let config = if repeats { repeated } else { drawn };
        config.get_or_init(build).clone().map_err(CryptoError::Other)
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
        _version: DtlsVersion,
        _mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let exchange = ANNOUNCED.with_borrow_mut(Option::take).unwrap_or_default();
        let handshake = Handshake::Waiting(Self::config(exchange.repeats)?, certificate.clone());
        Ok(Box::new(Instance {
            handshake,
            disguise: None,
            now,
            exchange,
            is_known: false,
            held_back: None,
            waits: false,
        }))
    }
}

#[expect(clippy::large_enum_variant, reason = "every session has the large one as soon as its part is known")]
enum Handshake {
    /// Our part is not known yet.
    Waiting(Arc<dimpl::Config>, DtlsCert),
    Running(dimpl::Dtls),
}

struct Instance {
    handshake: Handshake,
    /// Until there are keys.
    disguise: Option<Box<Disguise>>,
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

/// Room for what one step of a handshake gives: a datagram, or a certificate with the longest key that is taken.
const STEP_BYTES: usize = 8 * 1024;

thread_local! {
    /// Datagrams before and after they are changed; only during a handshake.
    static SCRATCH: RefCell<(Vec<u8>, Vec<u8>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

impl Instance {
    fn engine_needs_keys(&self) -> bool {
        self.exchange.engine_needs.load(Ordering::Relaxed)
    }

    /// Begins the handshake, if it is time to. The engine would do so when it reads the description; the client cannot be
    /// reached then, and its timer would have the hello repeated before it was ever sent.
    fn begin(&mut self) -> bool {
        let Some(now) = self.exchange.begun.get().copied() else { return false };
        self.waits = false;
        // It does not fail before anything has been exchanged.
        let _timer = self.handle_timeout(now);
        true
    }

    fn running(&self) -> Option<&dimpl::Dtls> {
        match &self.handshake {
            Handshake::Running(dtls) => Some(dtls),
            Handshake::Waiting(..) => None,
        }
    }

    /// One step of a handshake. It is taken in a space of its own, since what goes to the wire may be longer, and
    /// the implementation asserts that a certificate has room.
    fn step<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        SCRATCH.with_borrow_mut(|(known, wire)| {
            known.resize(STEP_BYTES, 0);
            loop {
                let Handshake::Running(dtls) = &mut self.handshake else {
                    return DtlsOutput::Timeout(self.now + NEVER);
                };
                let role = if dtls.is_active() { Role::Client } else { Role::Server };
                let output = crypto::under(&mut self.disguise, || dtls.poll_output(known));
                match output {
                    DtlsOutput::Packet(packet) => {
                        let is_changed = self
                            .disguise
                            .as_deref_mut()
                            .is_some_and(|disguise| disguise.outgoing(packet, wire));
                        return copied(if is_changed { wire } else { packet }, buf, DtlsOutput::Packet);
                    }
                    DtlsOutput::PeerCert(certificate) => {
                        let sent =
                            self.disguise.as_ref().and_then(|disguise| disguise.certificate(certificate));
                        // The engine need not see it: its fingerprints are ours to look at.
                        self.is_known = self.exchange.knows(sent.as_deref().unwrap_or(certificate));
                        if !self.is_known {
                            return self.refuse();
                        }
                    }
                    // Who has not shown the right certificate gets no further than that.
                    DtlsOutput::KeyingMaterial(..) | DtlsOutput::ApplicationData(_) if !self.is_known => {
                        return self.refuse();
                    }
                    DtlsOutput::KeyingMaterial(material, negotiated) => {
                        return self.keyed(material, negotiated, role);
                    }
                    DtlsOutput::ApplicationData(data) => {
                        return copied(data, buf, DtlsOutput::ApplicationData);
                    }
                    DtlsOutput::BufferTooSmall { needed } => return DtlsOutput::BufferTooSmall { needed },
                    DtlsOutput::Timeout(at) => return DtlsOutput::Timeout(at),
                    DtlsOutput::Connected => return DtlsOutput::Connected,
                    _ => return DtlsOutput::CloseNotify,
                }
            }
        })
    }

    fn refuse(&mut self) -> DtlsOutput<'static> {
        self.exchange.refused.store(true, Ordering::Relaxed);
        self.disguise = None;
        DtlsOutput::Timeout(self.now + NEVER)
    }

    /// Hands on the keys of a finished handshake. From here on nothing is disguised.
    fn keyed(
        &mut self,
        material: KeyingMaterial,
        negotiated: SrtpProfile,
        role: Role,
    ) -> DtlsOutput<'static> {
        self.disguise = None;
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
}

/// Copies what lies in the scratch to where the engine wants it.
fn copied<'a>(
    bytes: &[u8],
    buf: &'a mut [u8],
    output: impl FnOnce(&'a [u8]) -> DtlsOutput<'a>,
) -> DtlsOutput<'a> {
    // What does not fit was not made for this path: it is lost, as datagrams may be.
    let length = if bytes.len() > buf.len() { 0 } else { bytes.len() };
    let (start, _) = buf.split_at_mut(length);
    start.copy_from_slice(bytes.get(..length).unwrap_or_default());
    output(start)
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
        let Handshake::Waiting(config, certificate) = &self.handshake else { return };
        let (config, certificate) = (Arc::clone(config), certificate.clone());
        let offer = match self.exchange.plan.get().map(|plan| plan.part) {
            Some(DtlsPart::Begins(offer)) if active => Some(offer),
            _ => None,
        };
        // A server of 1.3 would take the client's first SRTP profile; ours of 1.2 has an order of its own. So 1.3 is for
        // those whom we offer what we want.
        let mut dtls = match active {
            true => dimpl::Dtls::new_auto(config, certificate, self.now),
            false => dimpl::Dtls::new_12(config, certificate, self.now),
        };
        dtls.set_active(active);
        self.disguise = Some(Box::new(Disguise::new(offer)));
        self.handshake = Handshake::Running(dtls);
        self.waits = active;
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        if self.exchange.is_refused() {
            return Err(DtlsImplError::ConnectionClosed);
        }
        if self.waits {
            return Ok(());
        }
        let Handshake::Running(dtls) = &mut self.handshake else { return Ok(()) };
        if self.disguise.is_none() {
            return dtls.handle_packet(packet);
        }
        SCRATCH.with_borrow_mut(|(known, _)| {
            let is_changed =
                self.disguise.as_deref_mut().is_some_and(|disguise| disguise.incoming(packet, known));
            let packet = if is_changed { known } else { packet };
            crypto::under(&mut self.disguise, || dtls.handle_packet(packet))
        })
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
        match &mut self.handshake {
            Handshake::Running(dtls) if self.disguise.is_none() => dtls.poll_output(buf),
            _ => self.step(buf),
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.now = now;
        if self.waits {
            return Ok(());
        }
        let Handshake::Running(dtls) = &mut self.handshake else { return Ok(()) };
        crypto::under(&mut self.disguise, || dtls.handle_timeout(now))
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        let data = &*restore(data, self.exchange.mark);
        match &mut self.handshake {
            Handshake::Running(dtls) => dtls.send_application_data(data),
            Handshake::Waiting(..) => Ok(0),
        }
    }

    fn is_active(&self) -> bool {
        self.running().is_some_and(dimpl::Dtls::is_active)
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.running()?.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.running().is_some_and(dimpl::Dtls::is_closing)
    }

    fn is_closed(&self) -> bool {
        self.running().is_some_and(dimpl::Dtls::is_closed)
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        match &mut self.handshake {
            Handshake::Running(dtls) => dtls.close(),
            Handshake::Waiting(..) => Ok(()),
        }
    }
}
