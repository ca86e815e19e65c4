//! One ICE and DTLS transport of a session: the engine that carries it, its keys and its addresses.
//!
//! The engine (`Rtc`) answers connectivity checks, does the DTLS handshake and takes what the client sends. It
//! is fed descriptions of the client's sending sections alone and never sends media. A session replaces its
//! transport when the client starts a new DTLS association; nothing of the session's media state lives here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::config::DtlsCert;
use str0m::format::{Codec, FormatParams};
use str0m::ice::StunMessage;
use str0m::media::{Frequency, KeyframeRequestKind};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpPacket;
use str0m::stats::CandidatePairStats;
use str0m::{Candidate, Event, IceConnectionState, IceCreds, Input, Output, Rtc, RtcConfig};

use super::channels::Message;
use super::description::Description;
use super::dtls::{self, KeyExchange};
use super::early::Check;
use super::fence::fenced;
use super::handshake::Ways;
use super::ingress::{Collector, IngressSection};
use super::route::Route;
use super::wires::{WireEvent, Wires};
use crate::drop::DropReason;
use crate::ids::IceCredentials;
use crate::plan::{ChannelPlan, IceAgent, TransportPlan};
use crate::srtp::{Profile, SrtcpReceiver, SrtcpSender, SrtpSender};

/// Payload type slots under which client video codecs are shown to the engine, and their retransmissions.
const FIRST_SLOT: u8 = 96;
const FIRST_RESEND_SLOT: u8 = 112;
const SLOTS: u8 = 16;

/// The most outputs that one input may cause before the engine is taken for broken.
const OUTPUT_BUDGET: usize = 4096;

/// How often a full agent tells which pair of addresses it has settled on.
const PAIR_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes that the engine buffers for all data channels: room for a message of the largest size beside another.
const SEND_BUFFER_BYTES: usize = 2 * super::channels::MESSAGE_BYTES_MAX;

/// Room for USE-CANDIDATE, and for what a check may be without: a role, MESSAGE-INTEGRITY and FINGERPRINT.
const NOMINATION_BYTES: usize = 64;

/// How the answer to a check begins (RFC 8489 5).
pub(super) const BINDING_SUCCESS: [u8; 2] = [1, 1];

/// SRTP state of a finished handshake.
pub(super) struct Keys {
    pub(super) profile: Profile,
    pub(super) rtp: SrtpSender,
    pub(super) rtcp: SrtcpSender,
    pub(super) client_rtcp: SrtcpReceiver,
}

/// What carries datagrams between a client and us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// UDP.
    Udp,
    /// Frames on a TCP connection (RFC 6544).
    Tcp,
}

impl Carrier {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// A pair of addresses, ours and the client's, and what carries datagrams between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// UDP or TCP.
    pub carrier: Carrier,
    /// Our candidate.
    pub local: SocketAddr,
    /// The client's address.
    pub remote: SocketAddr,
}

/// What came from a client.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// The way that it came by.
    pub path: Path,
    /// Its bytes.
    pub contents: &'a [u8],
    /// When the kernel took it from the network: this turn or earlier.
    pub arrived: Instant,
}

/// Why the engine took no further part.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    #[error("{0}")]
    Refused(#[from] str0m::RtcError),
    #[error("the description cannot be read: {0}")]
    Description(String),
    #[error("an address cannot be used: {0}")]
    Address(String),
    #[error("the certificate of the client does not match a=fingerprint of its session description")]
    Certificate,
    #[error("the engine does not come to rest")]
    Restless,
}

/// What draining the engine yields; implemented by the session.
pub(super) trait Drain {
    fn transmit(&mut self, path: Path, contents: &[u8]);
    fn dropped(&mut self, reason: DropReason);
    fn packet(&mut self, rtc: &mut Rtc, packet: RtpPacket);
    fn wire(&mut self, event: WireEvent);
}

/// What a full agent makes of a datagram.
pub(super) enum Accepted {
    /// A check of the far end, or the answer to one of ours.
    Check,
    /// From a proven address.
    Proven,
    /// Neither.
    No(DropReason),
}

/// What is fed to the engine.
pub(super) enum Feed<'a> {
    Nothing,
    Timeout,
    Datagram(Incoming<'a>),
    /// What was answered before there was this engine.
    Answered(&'a Check),
    KeyframeRequest(u32, KeyframeRequestKind),
}

/// What one turn of the engine changed besides packets and transmits.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    /// The SRTP keys have just come.
    pub(super) keyed: bool,
    /// The client has ended DTLS.
    pub(super) closed: bool,
}

pub(super) struct Transport {
    rtc: Rtc,
    exchange: Arc<KeyExchange>,
    keys: Option<Box<Keys>>,
    /// Credentials that the client may use: the present ones last, those before an ICE restart first.
    credentials: Vec<IceCredentials>,
    ingress_offer: String,
    generation: u32,
    agent: IceAgent,
    route: Route,
    /// Where the handshake goes, until it is over for the client too.
    ways: Ways,
    /// By which path that came which the engine is at, unless it is nothing that a handshake answers.
    cause: Option<Path>,
    /// Whether the engine has answered a check, and so has an address to send to.
    has_answered: bool,
    /// While it is shown a check that the client has its answer to: whether that nominates.
    answered_before: Option<bool>,
    /// Whether the far end of a full agent answers its checks.
    consented: bool,
    timeout: Option<Instant>,
    /// When the last media came.
    heard: Instant,
    closed: bool,
    wires: Wires,
}

/// What a transport is made from.
pub(super) struct TransportSetup<'a> {
    pub(super) candidates: &'a [SocketAddr],
    pub(super) tcp_candidates: &'a [SocketAddr],
    pub(super) certificate: &'a DtlsCert,
    /// Whether the ports are a session's own: the far end has left them when it begins another association.
    pub(super) serves_one_association: bool,
}

impl Transport {
    /// Builds an engine for a planned transport and shows it the client's description.
    pub(super) fn new(
        setup: &TransportSetup<'_>,
        plan: &TransportPlan,
        description: Option<Description>,
        now: Instant,
    ) -> Result<Self, EngineError> {
        let exchange = Arc::new(KeyExchange::default());
        dtls::announce(Arc::clone(&exchange));
        let mut rtc = config(setup.certificate, plan).build(now);
        let udp = setup.candidates.iter().map(|address| (address, "udp"));
        let tcp = setup.tcp_candidates.iter().map(|address| (address, "tcp"));
        for (address, protocol) in udp.chain(tcp) {
            let candidate = Candidate::host(*address, protocol)
                .map_err(|error| EngineError::Address(error.to_string()))?;
            rtc.add_local_candidate(candidate);
        }
        let mut transport = Self {
            rtc,
            exchange,
            keys: None,
            credentials: Vec::new(),
            ingress_offer: String::new(),
            generation: plan.generation,
            agent: plan.agent,
            route: Route::default(),
            ways: Ways::default(),
            cause: None,
            has_answered: false,
            answered_before: None,
            consented: false,
            timeout: Some(now),
            heard: now,
            closed: false,
            wires: Wires::default(),
        };
        transport.apply(plan, description)?;
        Ok(transport)
    }

    /// Brings the engine to another plan of the same transport: more sections, or an ICE restart. What the plan describes
    /// is read here unless it comes along.
    pub(super) fn apply(
        &mut self,
        plan: &TransportPlan,
        description: Option<Description>,
    ) -> Result<(), EngineError> {
        if plan.takes_media {
            self.exchange.open_to_engine();
        }
        if self.ingress_offer != plan.ingress_offer {
            self.exchange.begin(&plan.dtls);
            let description = match description {
                Some(description) => description,
                None => Description::try_read(&plan.ingress_offer)?,
            };
            self.rtc.sdp_api().accept_offer(description.into_offer())?;
            self.ingress_offer.clone_from(&plan.ingress_offer);
        }
        if plan.agent != IceAgent::Lite {
            // The engine only ever answers, so it would leave that to the far end.
            self.rtc.direct_api().set_ice_controlling(plan.agent == IceAgent::Controlling);
        }
        // After a restart by the client the engine makes up credentials; ours name the owner and are in the answer.
        let mut direct = self.rtc.direct_api();
        if direct.local_ice_credentials().ufrag != plan.local.ufrag {
            direct.set_local_ice_credentials(creds(&plan.local));
        }
        // On its own sockets the engine looks at checks itself.
        if plan.agent == IceAgent::Lite && self.credentials.last() != Some(&plan.local) {
            self.credentials.push(plan.local.clone());
            // A client restarts one at a time; the credentials before the last restart are still in flight.
            if self.credentials.len() > 2 {
                self.credentials.remove(0);
            }
        }
        Ok(())
    }

    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    pub(super) fn keys(&mut self) -> Option<&mut Keys> {
        self.keys.as_deref_mut()
    }

    pub(super) fn is_keyed(&self) -> bool {
        self.keys.is_some()
    }

    /// Where media goes to.
    pub(super) fn path(&self) -> Option<Path> {
        self.route.path()
    }

    /// Takes note of a check from a path, if it was answered in this turn.
    pub(super) fn checked(&mut self, path: Path, nominates: bool, now: Instant) {
        self.route.checked(path, nominates, now);
    }

    /// Takes note of a packet whose authenticity and order were checked, from a proven path.
    pub(super) fn received(&mut self, path: Path, now: Instant) {
        self.ways.close();
        // A full agent settles that by itself.
        if self.agent == IceAgent::Lite {
            self.route.received(path, now);
        }
    }

    /// Gives up a path that can no longer be reached.
    pub(super) fn forget(&mut self, path: Path) {
        self.route.forget(path);
        self.ways.forget(path);
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        self.timeout
    }

    pub(super) fn credentials(&self) -> &[IceCredentials] {
        &self.credentials
    }

    /// Whether a connectivity check addressed to `ufrag` holds our password (RFC 8489 14.5).
    pub(super) fn verifies(&self, message: &StunMessage<'_>, ufrag: &str) -> bool {
        let hmac = dtls::provider().sha1_hmac_provider;
        self.credentials.iter().filter(|credentials| credentials.ufrag == ufrag).any(|credentials| {
            message.verify(credentials.pwd.as_bytes(), |key, parts| hmac.sha1_hmac(key, parts))
        })
    }

    /// What the engine is to see of a check that was verified and came from a client.
    ///
    /// A lite engine sends nothing but answers before a check nominates, and Chromium nominates towards a lite server only
    /// with its next check after the pair works, which may be seconds later. So until it has answered one it is shown a copy
    /// that nominates. Its answer is the same; where media goes is decided by our own route, from what the client did say.
    pub(super) fn shown(
        &mut self,
        message: &StunMessage<'_>,
        ufrag: &str,
        path: Path,
        contents: &[u8],
    ) -> Option<Vec<u8>> {
        if !self.is_keyed() {
            self.ways.proven(path, contents.len());
        }
        let ours = self.credentials.last().filter(|present| present.ufrag == ufrag)?;
        // One that takes itself for the controlled one is for the engine to sort out (RFC 8445 7.3.1.1).
        if self.has_answered || message.use_candidate() || message.ice_controlled().is_some() {
            return None;
        }
        nominating(message, ours.pwd.as_bytes(), contents.len())
    }

    /// Has the engine know the source of a packet that its payload type alone tells.
    pub(super) fn latch(&mut self, collector: &mut Collector, sections: &[IngressSection], datagram: &[u8]) {
        collector.latch(&mut self.rtc, sections, datagram);
    }

    /// Feeds the engine one thing and drains it to rest.
    ///
    /// The engine holds a single received packet, so it is drained after every datagram, and may ask for the
    /// present moment again before it rests.
    pub(super) fn turn(
        &mut self,
        feed: Feed<'_>,
        now: Instant,
        drain: &mut dyn Drain,
    ) -> Result<Turn, EngineError> {
        (self.cause, self.answered_before) = (None, None);
        match feed {
            Feed::Nothing => {}
            Feed::Timeout => self.rtc.handle_input(Input::Timeout(now))?,
            Feed::Datagram(Incoming { path, contents, arrived }) => {
                if !is_check(contents) {
                    self.ways.received(path, contents.len());
                    let may_answer = !self.is_keyed() || is_handshake(contents);
                    self.cause = may_answer.then_some(path);
                }
                let at = self.arrival(contents, arrived, now);
                self.receive(path, contents, at)?;
            }
            Feed::Answered(check) => {
                self.ways.proven(check.path, check.received);
                self.ways.answered(check.path, check.sent);
                self.answered_before = Some(check.nominates);
                self.receive(check.path, &check.shown, now)?;
            }
            Feed::KeyframeRequest(ssrc, kind) => {
                if let Some(stream) = self.rtc.direct_api().stream_rx(&ssrc.into()) {
                    stream.request_keyframe(kind);
                }
                self.rtc.handle_input(Input::Timeout(now))?;
            }
        }
        let mut turn = Turn::default();
        for _ in 0..OUTPUT_BUDGET {
            match self.rtc.poll_output()? {
                Output::Timeout(at) if at <= now => self.rtc.handle_input(Input::Timeout(now))?,
                Output::Timeout(at) => {
                    self.timeout = Some(at);
                    if self.exchange.is_refused() && self.rtc.is_alive() {
                        self.rtc.disconnect();
                        return Err(EngineError::Certificate);
                    }
                    turn.keyed = self.take_keys(now);
                    return Ok(turn);
                }
                Output::Transmit(transmit) => {
                    let carrier = if transmit.proto == Protocol::Udp { Carrier::Udp } else { Carrier::Tcp };
                    let asked = Path { carrier, local: transmit.source, remote: transmit.destination };
                    self.send(asked, &transmit.contents, now, drain);
                }
                Output::Event(Event::PeerStats(stats)) => {
                    self.follow_pair(stats.selected_candidate_pair, now);
                }
                Output::Event(Event::IceConnectionStateChange(state)) => self.follow_state(state, now),
                Output::Event(Event::RtpPacket(packet)) => drain.packet(&mut self.rtc, packet),
                Output::Event(Event::Closed) => {
                    self.closed = true;
                    turn.closed = true;
                    self.timeout = None;
                    return Ok(turn);
                }
                Output::Event(event) => {
                    if let Some(event) = self.wires.take(&mut self.rtc, event) {
                        self.ways.close();
                        drain.wire(event);
                    }
                }
            }
        }
        Err(EngineError::Restless)
    }

    /// The time at which the engine is shown a datagram.
    ///
    /// Of media, when it came: the engine reports that to the client, which makes out from it what the network can carry
    /// (draft-holmer-rmcat-transport-wide-cc-extensions-01 3.1), and a turn takes many datagrams. The times of one client do
    /// not fall. One that lies before what the engine has seen moves none of its timers. All else goes by the turn.
    fn arrival(&mut self, contents: &[u8], arrived: Instant, now: Instant) -> Instant {
        if !is_media(contents) {
            return now;
        }
        self.heard = arrived.max(self.heard).min(now);
        self.heard
    }

    fn receive(&mut self, path: Path, contents: &[u8], now: Instant) -> Result<(), EngineError> {
        let protocol = match path.carrier {
            Carrier::Udp => Protocol::Udp,
            Carrier::Tcp => Protocol::Tcp,
        };
        let receive = Receive::new(protocol, path.remote, path.local, contents)
            .map_err(|error| EngineError::Description(error.to_string()))?;
        Ok(self.rtc.handle_input(Input::Receive(now, receive))?)
    }

    /// Whether the far end of a full agent answers its checks; a client is heard by its own.
    pub(super) fn has_consent(&self) -> bool {
        self.consented
    }

    /// Whether a full agent takes a datagram: a check that holds what only the far end knows, or anything else from an
    /// address that a check has proven.
    pub(super) fn accepts(&self, path: Path, contents: &[u8], now: Instant) -> Accepted {
        let is_check = is_check(contents);
        if is_check && stun_message(contents).is_none() {
            return Accepted::No(DropReason::BadStun);
        }
        let Ok(receive) = Receive::new(Protocol::Udp, path.remote, path.local, contents) else {
            return Accepted::No(DropReason::UnknownProtocol);
        };
        match (self.rtc.accepts(&Input::Receive(now, receive)), is_check) {
            (true, true) => Accepted::Check,
            (true, false) => Accepted::Proven,
            (false, true) => Accepted::No(DropReason::BadIntegrity),
            (false, false) => Accepted::No(DropReason::UnknownSource),
        }
    }

    /// Follows the pair of addresses that a full agent has settled on, while the far end consents (RFC 7675 5.1).
    fn follow_pair(&mut self, pair: Option<CandidatePairStats>, now: Instant) {
        if let Some(pair) = pair.filter(|_| self.consented) {
            let path = Path { carrier: Carrier::Udp, local: pair.local.addr, remote: pair.remote.addr };
            self.route.settle(Some(path), now);
        }
    }

    /// Sends a datagram of the engine to where it belongs.
    fn send(&mut self, asked: Path, contents: &[u8], now: Instant, drain: &mut dyn Drain) {
        if is_check(contents) {
            if self.agent == IceAgent::Lite && contents.starts_with(&BINDING_SUCCESS) {
                self.answered(asked, now);
                if let Some(nominates) = self.answered_before.take() {
                    return self.route.checked(asked, nominates, now);
                }
                self.ways.answered(asked, contents.len());
            }
            return drain.transmit(asked, contents);
        }
        if self.agent != IceAgent::Lite {
            // All but checks go to the pair that a full agent has settled on.
            self.route.settle(Some(asked), now);
            return drain.transmit(asked, contents);
        }
        // Who repeats the end of a handshake has not seen ours, and may be elsewhere than who brought the first copy. So may be
        // who waits for the end that a timer repeats, as ours of 1.3 does.
        let is_repeated = self.cause.is_none() && is_handshake(contents) && !self.ways.is_closed();
        if self.is_keyed() && !is_repeated {
            // The engine would send to the pair that it once saw nominated, also when the client has long moved on.
            let back = self.cause.filter(|_| is_handshake(contents));
            return drain.transmit(back.or_else(|| self.route.path()).unwrap_or(asked), contents);
        }
        for (path, may) in self.ways.take(self.cause, contents.len()) {
            if may {
                drain.transmit(path, contents);
            } else {
                drain.dropped(DropReason::Amplification);
            }
        }
    }

    /// A lite engine answers a check. Behind its first answer our part of the handshake may begin.
    fn answered(&mut self, path: Path, now: Instant) {
        if !self.has_answered {
            self.has_answered = true;
            self.cause = Some(path);
            self.exchange.release(now);
        }
    }

    fn follow_state(&mut self, state: IceConnectionState, now: Instant) {
        if self.agent == IceAgent::Lite {
            return;
        }
        self.consented = state.is_connected();
        if self.consented {
            self.exchange.release(now);
        } else {
            self.route.settle(None, now);
        }
    }

    /// Opens a data channel with an agreed id, unless it is there. Returns whether it is open already.
    pub(super) fn open_channel(&mut self, plan: &ChannelPlan) -> bool {
        self.wires.open(&mut self.rtc, plan)
    }

    /// Opens `server-events`, unless it is there.
    pub(super) fn open_server_events(&mut self) {
        self.wires.open_server_events(&mut self.rtc);
    }

    /// Ends a data channel; false when there is none.
    pub(super) fn close_channel(&mut self, stream: u16) -> bool {
        self.wires.close(&mut self.rtc, stream)
    }

    /// Hands over a message: whether there was room, or `None` when the channel cannot take it at all.
    pub(super) fn write_channel(&mut self, stream: u16, message: &Message) -> Option<bool> {
        self.wires.write(&mut self.rtc, stream, message)
    }

    /// Ends DTLS, as a far end that waits would not notice for seconds.
    pub(super) fn close(&mut self, now: Instant, drain: &mut dyn Drain) -> Result<(), EngineError> {
        self.rtc.close()?;
        self.turn(Feed::Timeout, now, drain).map(|_turn| ())
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes the keys of a handshake that has just finished, and the path that it was finished by.
    fn take_keys(&mut self, now: Instant) -> bool {
        if self.keys.is_some() {
            return false;
        }
        let Some(exported) = self.exchange.exported() else { return false };
        let Ok(derived) = crate::srtp::derive_as(exported.role, exported.profile, &exported.material) else {
            return false;
        };
        self.keys = Some(Box::new(Keys {
            profile: exported.profile,
            rtp: derived.sender,
            rtcp: derived.rtcp_sender,
            client_rtcp: derived.rtcp_receiver,
        }));
        if let Some(path) = self.cause.filter(|_| self.agent == IceAgent::Lite) {
            self.route.keyed(path, now);
        }
        true
    }
}

/// A check of so many bytes once more, so that it nominates.
pub(super) fn nominating(message: &StunMessage<'_>, pwd: &[u8], bytes: usize) -> Option<Vec<u8>> {
    let nominating = StunMessage::binding_request(
        message.username()?,
        message.trans_id(),
        true,
        message.ice_controlling().unwrap_or_default(),
        message.prio()?,
        true,
    );
    let mut copy = vec![0; bytes + NOMINATION_BYTES];
    let hmac = dtls::provider().sha1_hmac_provider;
    let len = nominating.to_bytes(Some(pwd), &mut copy, |key, parts| hmac.sha1_hmac(key, parts)).ok()?;
    copy.truncate(len);
    Some(copy)
}

fn creds(credentials: &IceCredentials) -> IceCreds {
    IceCreds { ufrag: credentials.ufrag.clone(), pass: credentials.pwd.clone() }
}

/// The engine's configuration.
///
/// It drops packets whose payload type it did not match, and matches by format parameters; it needs no more of
/// a video codec than its clock rate and its retransmission link. So each video payload type of a client is
/// shown to it as one of [`SLOTS`] profiles of a single codec, and the true names stay with negotiation.
fn config(certificate: &DtlsCert, plan: &TransportPlan) -> RtcConfig {
    let is_lite = plan.agent == IceAgent::Lite;
    let mut config = RtcConfig::new()
        .set_crypto_provider(dtls::provider())
        .set_dtls_cert(certificate.clone())
        // That is done before it learns of the certificate: it knows two of the hash functions.
        .set_fingerprint_verification(false)
        .set_ice_lite(is_lite)
        .set_stats_interval((!is_lite).then_some(PAIR_INTERVAL))
        .set_rtp_mode(true)
        .set_local_ice_credentials(creds(&plan.local))
        .set_sctp_max_buffered_amount(SEND_BUFFER_BYTES)
        .set_rtcp_report_interval_audio(Duration::from_secs(1))
        .clear_codecs()
        .enable_opus(true, true)
        .enable_pcmu(true, false)
        .enable_pcma(true, false);
    for slot in 0..SLOTS {
        config.codec_config().add_config(
            (FIRST_SLOT + slot).into(),
            Some((FIRST_RESEND_SLOT + slot).into()),
            Codec::Vp9,
            Frequency::NINETY_KHZ,
            None,
            FormatParams { profile_id: Some(u32::from(slot)), ..FormatParams::default() },
        );
    }
    config
}

/// Reads a connectivity check addressed to us: the message, and the user name fragment that names us.
///
/// `None` when the bytes are no STUN binding request with a user name (RFC 8445 7.2.2).
pub fn binding_request(contents: &[u8]) -> Option<(StunMessage<'_>, &str)> {
    let parsed = stun_message(contents)?;
    let ours = parsed.username()?.split_once(':')?.0;
    parsed.is_binding_request().then_some((parsed, ours))
}

fn stun_message(contents: &[u8]) -> Option<StunMessage<'_>> {
    // The parser has not seen all the bytes that a stranger can make up; a failure in it is a bad message.
    fenced(|| StunMessage::parse(contents).ok())?
}

/// Whether a DTLS datagram belongs to a handshake: it begins with a message of it in the clear or with the change of ciphers
/// (RFC 6347 4.1), or with a record of 1.3 under the keys of the handshake, which are those of epoch 2 (RFC 9147 4, 6.1).
fn is_handshake(contents: &[u8]) -> bool {
    contents.first().is_some_and(|first| [20, 22].contains(first) || first & 0b1110_0011 == 0b0010_0010)
}

/// Whether a datagram is RTP or RTCP (RFC 7983 7).
pub(super) fn is_media(contents: &[u8]) -> bool {
    contents.first().is_some_and(|first| (128..192).contains(first))
}

/// Whether a datagram is STUN rather than DTLS, RTP or RTCP (RFC 7983 7).
fn is_check(contents: &[u8]) -> bool {
    contents.first().is_some_and(|first| *first < 4)
}
