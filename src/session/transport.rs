//! One ICE and DTLS transport of a session: the engine that carries it, its keys and its addresses.
//!
//! The engine (`Rtc`) answers connectivity checks, does the DTLS handshake and takes what the client sends. It
//! is fed descriptions of the client's sending sections alone and never sends media. A session replaces its
//! transport when the client starts a new DTLS association; nothing of the session's media state lives here.

use std::sync::Arc;
use std::time::Instant;

use str0m::ice::StunMessage;
use str0m::media::KeyframeRequestKind;
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpPacket;
use str0m::stats::CandidatePairStats;
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc};

use super::channels::Message;
use super::check::{self, BINDING_SUCCESS, Transaction};
use super::description::Description;
use super::dtls::{self, KeyExchange};
use super::early::Check;
use super::engine;
use super::footprint::address;
use super::handshake::Ways;
use super::ingress::{Collector, IngressSection};
use super::output::SessionOutput;
use super::paths::{Carrier, Incoming, Path};
use super::probes::Probes;
use super::route::Route;
use super::setup::{SessionSetup, TransportSetup};
use super::wires::{WireEvent, Wires};
use crate::drop::DropReason;
use crate::ids::IceCredentials;
use crate::plan::{ChannelPlan, IceAgent, TransportPlan};
use crate::srtp::{Profile, SrtcpReceiver, SrtcpSender, SrtpSender};

/// The most outputs that one input may cause before the engine is taken for broken.
const OUTPUT_BUDGET: usize = 4096;

/// SRTP state of a finished handshake.
pub(super) struct Keys {
    pub(super) profile: Profile,
    pub(super) rtp: SrtpSender,
    pub(super) rtcp: SrtcpSender,
    pub(super) client_rtcp: SrtcpReceiver,
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
    #[error(
        "this session has begun as many DTLS associations within a minute as one may ({most}); begin the next in {wait} s, or \
         another session"
    )]
    Often { most: usize, wait: u64 },
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
    // Apart from the rest, which each packet needs some of.
    rtc: Box<Rtc>,
    exchange: Arc<KeyExchange>,
    keys: Option<Box<Keys>>,
    /// Credentials that the client may use: the present ones last, those before an ICE restart first.
    credentials: Vec<IceCredentials>,
    /// The client's, by which it takes checks of ours.
    remote: Option<IceCredentials>,
    probes: Probes,
    ingress_offer: Arc<str>,
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

impl Transport {
    /// Builds an engine for a planned transport and shows it the client's description.
    pub(super) fn new(
        setup: &TransportSetup<'_>,
        plan: &TransportPlan,
        description: Option<Description>,
        now: Instant,
    ) -> Result<Self, EngineError> {
        let exchange = Arc::new(KeyExchange::new(setup.mark, setup.repeats));
        dtls::announce(Arc::clone(&exchange));
        let mut rtc = engine::config(setup.certificate, plan).build(now);
        let udp = setup.candidates.iter().map(|address| (address, "udp"));
        let tcp = setup.tcp_candidates.iter().map(|address| (address, "tcp"));
        for (address, protocol) in udp.chain(tcp) {
            let candidate = Candidate::host(*address, protocol)
                .map_err(|error| EngineError::Address(error.to_string()))?;
            rtc.add_local_candidate(candidate);
        }
        let mut transport = Self {
            rtc: Box::new(rtc),
            exchange,
            keys: None,
            credentials: Vec::new(),
            remote: None,
            probes: Probes::default(),
            ingress_offer: Arc::from(""),
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
        self.remote.clone_from(&plan.remote);
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
            direct.set_local_ice_credentials(engine::creds(&plan.local));
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

    /// Where its route lies, and what seals RTP.
    #[inline]
    pub(super) fn footprint(&self) -> (usize, usize) {
        (address(&self.route), self.keys.as_ref().map_or(0, |keys| address(&keys.rtp)))
    }

    /// Where media goes to.
    pub(super) fn path(&self) -> Option<Path> {
        self.route.path()
    }

    /// How often its media has moved.
    pub(super) fn moves(&self) -> u32 {
        self.route.moves()
    }

    /// Takes note of an answered check from a path. Returns whether somebody has to be asked there before media follows.
    pub(super) fn checked(&mut self, path: Path, nominates: bool, now: Instant) -> bool {
        // Before there are keys nothing goes there but what `Ways` allows. By TCP an address cannot be made up, but whoever
        // copies a check can have one.
        self.route.checked(path, nominates, !self.is_keyed(), now)
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
        self.named(ufrag).any(|credentials| check::verifies(message, &credentials.pwd))
    }

    fn named(&self, ufrag: &str) -> impl Iterator<Item = &IceCredentials> {
        self.credentials.iter().filter(move |credentials| credentials.ufrag == ufrag)
    }

    /// Takes note of a check from a client that was verified.
    pub(super) fn proven(&mut self, path: Path, bytes: usize) {
        if !self.is_keyed() {
            self.ways.proven(path, bytes);
        }
    }

    /// What the engine is to see of a check, when it is not to see it as it came; only until it has answered one.
    ///
    /// A lite engine sends nothing but answers before a check nominates, and Chromium nominates towards a lite server only
    /// with its next check after the pair works, which may be seconds later. So it is shown a copy that nominates. Its answer
    /// is the same; where media goes is decided by our own route, from what the client did say.
    pub(super) fn shown(&self, message: &StunMessage<'_>, ufrag: &str, bytes: usize) -> Option<Vec<u8>> {
        let ours = self.credentials.last().filter(|present| present.ufrag == ufrag)?;
        // One that takes itself for the controlled one is for the engine to sort out (RFC 8445 7.3.1.1).
        if message.use_candidate() || message.ice_controlled().is_some() {
            return None;
        }
        check::nominating(message, &ours.pwd, bytes)
    }

    /// Whether the engine has answered a check. From then on it knows all that it needs of them, and would only remember
    /// each further address for ever.
    pub(super) fn has_answered(&self) -> bool {
        self.has_answered
    }

    /// Answers a check that was verified, as the engine would (RFC 8445 7.3). Returns whether it has proven its path.
    pub(super) fn answer(
        &mut self,
        message: &StunMessage<'_>,
        ufrag: &str,
        path: Path,
        out: &mut SessionOutput,
    ) -> bool {
        // Whoever is answered under the credentials before an ICE restart stays with the pair that it had.
        let present = self.credentials.last().filter(|present| present.ufrag == ufrag);
        let Some(pwd) = present.map(|credentials| credentials.pwd.as_str()) else { return false };
        let agrees = message.ice_controlled().is_none();
        let answer = match agrees {
            true => check::answer(message, path.remote, pwd),
            false => check::role_conflict(message, pwd),
        };
        let Some(answer) = answer else { return false };
        out.transmit(path, &answer);
        self.ways.answered(path, answer.len());
        agrees
    }

    /// Asks who is at the other end of a path where a check addressed to `ufrag` came from, unless the client has not said
    /// how it can be asked.
    pub(super) fn ask(
        &mut self,
        path: Path,
        ufrag: &str,
        setup: &mut SessionSetup,
        now: Instant,
        out: &mut SessionOutput,
    ) {
        let Some(theirs) = &self.remote else { return };
        if let Some(probe) = self.probes.ask(path, ufrag, theirs, || setup.transaction(), now) {
            out.transmit(path, &probe);
        }
    }

    /// Takes what may be the answer to a check of ours; returns whether it is.
    pub(super) fn take_answer(
        &mut self,
        path: Path,
        message: &StunMessage<'_>,
        id: Transaction,
        now: Instant,
    ) -> bool {
        let is_theirs = self.remote.as_ref().is_some_and(|theirs| check::verifies(message, &theirs.pwd));
        let is_answer = is_theirs && self.probes.settle(path, id, now);
        if is_answer {
            self.route.answered(path, now);
        }
        is_answer
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
                if !check::is_check(contents) {
                    self.ways.received(path, contents.len());
                    let may_answer = !self.is_keyed() || dtls::is_handshake(contents);
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
        let is_check = check::is_check(contents);
        if is_check && check::parse(contents).is_none() {
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
        if check::is_check(contents) {
            if self.agent == IceAgent::Lite && contents.starts_with(&BINDING_SUCCESS) {
                self.answered(asked, now);
                if let Some(nominates) = self.answered_before.take() {
                    self.checked(asked, nominates, now);
                    return;
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
        let is_repeated = self.cause.is_none() && dtls::is_handshake(contents) && !self.ways.is_closed();
        if self.is_keyed() && !is_repeated {
            // The engine would send to the pair that it once saw nominated, also when the client has long moved on.
            let back = self.cause.filter(|_| dtls::is_handshake(contents));
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
        self.wires.write(&mut self.rtc, stream, message, self.exchange.mark())
    }

    /// Ends DTLS, as a far end that waits would not notice for seconds.
    pub(super) fn close(&mut self, now: Instant, drain: &mut dyn Drain) -> Result<(), EngineError> {
        self.rtc.close()?;
        self.turn(Feed::Timeout, now, drain).map(|_turn| ())
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Gives up the keys of an association that the client has ended.
    pub(super) fn drop_keys(&mut self) {
        self.keys = None;
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

/// Whether a datagram is RTP or RTCP (RFC 7983 7).
pub(super) fn is_media(contents: &[u8]) -> bool {
    contents.first().is_some_and(|first| (128..192).contains(first))
}
