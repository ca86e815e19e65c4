//! One client's connection: its transports, what it sends, what it is sent. The only module that names str0m.
//!
//! Bytes come in by [`Session::handle_binding`] and [`Session::handle_datagram`]; what follows from them lies in
//! a [`SessionOutput`] that the shard empties. Packets for the client are written by [`Session::seal`] and its
//! siblings straight into the space they are sent from. The session knows no router, no socket and no clock,
//! and everything in it ends with it.
//!
//! A session outlives its transport. When a browser closes the first section of its bundle it ends DTLS and
//! begins anew from other ports: the next transport is then built beside the present one, and takes its place
//! when it has keys. Streams, SSRCs and figures belong to the session and go on.

pub mod channels;
mod check;
mod description;
pub mod dialect;
mod dtls;
mod early;
pub mod egress;
mod empty;
mod engine;
pub mod fence;
mod footprint;
mod handshake;
mod history;
pub mod ingress;
mod output;
mod path_use;
mod paths;
mod probes;
mod reach;
mod regulator;
mod repair;
mod reports;
mod route;
mod sender;
mod setup;
mod streams;
mod transport;
mod transports;
mod wires;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::media::KeyframeRequestKind;

pub use channels::{ChannelEvent, Message, Queued};
pub use check::{answer_for, binding_request};
pub use description::Description;
pub use egress::{EgressStream, Outlet};
pub use footprint::Footprint;
pub use history::Told;
pub use ingress::{IngressPacket, IngressSection};
pub use output::SessionOutput;
pub use paths::{Binding, Carrier, Incoming, PATHS_MAX, Path};
pub use reach::Admission;
pub use regulator::Padding;
pub use reports::Feedback;
pub use setup::{Certificate, SessionSetup};

use self::channels::Channels;
use self::early::Early;
use self::ingress::Collector;
use self::paths::Paths;
use self::sender::Sender;
use self::transport::{Accepted, EngineError, Feed, Transport, Turn};
use self::transports::{Transports, Which};
use crate::drop::DropReason;
use crate::ids::{IceCredentials, SessionId};
use crate::plan::{IceAgent, IngressPlan, TransportPlan};
use crate::rtp::rtcp;

/// Sender reports, figures.
const TICK: Duration = Duration::from_secs(1);

/// Why a session cannot go on, or could not take a plan.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SessionError(#[from] EngineError);

/// One client's connection.
pub struct Session {
    id: SessionId,
    created: Instant,
    transports: Transports,
    /// What came before the first plan.
    early: Option<Box<Early>>,
    plan: Option<TransportPlan>,
    /// Our addresses, when it calls out by sockets of its own.
    dialled: Box<[SocketAddr]>,
    paths: Paths,
    ingress: Vec<IngressSection>,
    /// Whether packets of some are told by their payload types.
    has_unnamed: bool,
    collector: Collector,
    egress: Vec<Option<Box<EgressStream>>>,
    sender: Sender,
    last_authentic: Instant,
    connected_once: bool,
    refusal: Option<String>,
    closed_by_client: bool,
    next_tick: Option<Instant>,
    channels: Channels,
    scratch: Vec<u8>,
}

impl Session {
    /// Makes a session that waits for its first plan.
    ///
    /// One that calls out to another server has addresses of its own (`dialled`); one that is called has none.
    pub fn new(id: SessionId, dialled: Box<[SocketAddr]>, now: Instant) -> Self {
        Self {
            id,
            created: now,
            transports: Transports::default(),
            early: None,
            plan: None,
            dialled,
            paths: Paths::default(),
            ingress: Vec::new(),
            has_unnamed: false,
            collector: Collector::default(),
            egress: Vec::new(),
            sender: Sender::new(now),
            last_authentic: now,
            connected_once: false,
            refusal: None,
            closed_by_client: false,
            next_tick: None,
            channels: Channels::default(),
            scratch: Vec::new(),
        }
    }

    /// Its id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// When it was opened.
    pub fn created(&self) -> Instant {
        self.created
    }

    /// Transports that it has had.
    pub fn transports(&self) -> u32 {
        self.transports.made()
    }

    /// The addresses that it holds.
    pub fn paths(&self) -> impl Iterator<Item = Path> + '_ {
        self.paths.iter()
    }

    /// Our addresses, when it calls out by sockets of its own.
    pub fn dialled(&self) -> &[SocketAddr] {
        &self.dialled
    }

    /// Whether it has had keys.
    pub fn has_connected(&self) -> bool {
        self.connected_once
    }

    /// Credentials under which the client may check connectivity at present.
    pub fn credentials(&self) -> impl Iterator<Item = &IceCredentials> {
        self.transports.credentials().chain(self.early.iter().map(|early| early.credentials()))
    }

    /// Path of its media, once keys and a proven address are there.
    pub fn ready(&self) -> Option<Path> {
        self.transports.present().filter(|transport| transport.is_keyed())?.path()
    }

    /// Whether what its client sends are steps of a handshake, which take long. Before it has a plan it answers checks by
    /// itself, and keeps the rest.
    #[inline]
    pub fn is_connecting(&self) -> bool {
        self.transports.present().is_none_or(|transport| !transport.is_keyed()) && self.early.is_none()
    }

    /// Name of the SRTP profile in force.
    pub fn profile(&mut self) -> Option<&'static str> {
        Some(self.transports.present_mut()?.keys()?.profile.name())
    }

    /// Brings the transport to its plan: builds it, shows it new sections, restarts ICE, or prepares a successor.
    ///
    /// # Errors
    /// When the engine refuses the description; the session then is as it was.
    pub fn apply_transport(
        &mut self,
        plan: TransportPlan,
        description: Option<Description>,
        setup: &mut SessionSetup,
        now: Instant,
        out: &mut SessionOutput,
    ) -> Result<(), SessionError> {
        self.transports.apply(&setup.parts(&self.dialled), &plan, description, now)?;
        // A full agent begins to check when it is told the time, and nobody else would tell it.
        let calls = plan.agent != IceAgent::Lite;
        self.plan = Some(plan);
        for which in Which::BOTH {
            let feed = if calls { Feed::Timeout } else { Feed::Nothing };
            self.run(which, feed, setup, now, out)?;
        }
        self.take_early(setup, now, out);
        Ok(())
    }

    /// Takes the sections in which the client sends.
    pub fn set_ingress(&mut self, plans: Vec<IngressPlan>) {
        self.has_unnamed = plans.iter().any(|plan| !plan.told_by.is_empty());
        self.ingress = plans.into_iter().map(IngressSection::new).collect();
        self.collector.forget_streams();
    }

    /// The sections in which the client sends.
    pub fn ingress(&self) -> &[IngressSection] {
        &self.ingress
    }

    /// Takes a connectivity check (RFC 8445 7.3) whose user name fragment is one of this session's.
    ///
    /// # Errors
    /// [`DropReason::BadIntegrity`] when it was not made with our password; nothing is changed by it.
    pub fn handle_binding(
        &mut self,
        path: Path,
        contents: &[u8],
        setup: &mut SessionSetup,
        now: Instant,
        out: &mut SessionOutput,
    ) -> Result<Binding, DropReason> {
        let (message, ufrag) = binding_request(contents).ok_or(DropReason::BadStun)?;
        if self.early.is_some() {
            return self.handle_early_check(path, message, ufrag, contents.len(), now, out);
        }
        let verifies = |transport: &Transport| transport.verifies(&message, ufrag);
        let which = self.transports.of_check(path, &self.paths, verifies).ok_or(DropReason::BadIntegrity)?;
        self.last_authentic = now;
        if self.transports.get(which).is_some_and(Transport::is_closed) {
            self.revive(setup, now).map_err(|_| DropReason::Refused)?;
        }
        let Some(transport) = self.transports.get_mut(which).filter(|transport| !transport.is_closed())
        else {
            return Err(DropReason::Refused);
        };
        let (generation, nominates) = (transport.generation(), message.use_candidate());
        transport.proven(path, contents.len());
        let is_answered = if transport.has_answered() {
            transport.answer(&message, ufrag, path, out)
        } else {
            let copy = transport.shown(&message, ufrag, contents.len());
            let contents = copy.as_deref().unwrap_or(contents);
            let feed = Feed::Datagram(Incoming { path, contents, arrived: now });
            self.run(which, feed, setup, now, out).map_err(|_| DropReason::Refused)?;
            self.transports.get(which).is_some_and(Transport::has_answered)
        };
        if is_answered {
            let Some(transport) = self.transports.get_mut(which) else { return Err(DropReason::Refused) };
            let is_wanted = transport.checked(path, nominates, now);
            // Checks can be copied, so one who sends nothing else is asked now and then. One that is new is asked as well:
            // when the client nominates it, it has answered by then.
            if is_wanted || transport.is_keyed() && self.paths.is_in_doubt(path, now) {
                transport.ask(path, ufrag, setup, now, out);
            }
        }
        Ok(self.remember(path, generation, now))
    }

    /// Takes DTLS, SRTP or SRTCP from an address that a check has proven.
    ///
    /// # Errors
    /// The reason for which the datagram was dropped.
    pub fn handle_datagram(
        &mut self,
        incoming: Incoming<'_>,
        setup: &mut SessionSetup,
        now: Instant,
        out: &mut SessionOutput,
    ) -> Result<(), DropReason> {
        let Incoming { path, contents, .. } = incoming;
        if let Some(early) = self.early.as_deref_mut() {
            return early.datagram(path, contents);
        }
        let which = self.transports.of_path(path, &self.paths);
        if self.transports.get(which).is_some_and(Transport::is_closed) {
            return Err(DropReason::Refused);
        }
        if rtcp::is_rtcp(contents) {
            self.handle_rtcp(which, contents, now, out)?;
            self.received(which, path, now);
            if self.ingress.is_empty() {
                return Ok(());
            }
        } else if contents.first().is_some_and(|first| *first >= 128)
            && !self.transports.get(which).is_some_and(Transport::is_keyed)
        {
            return Err(DropReason::NoKeys);
        }
        let packets = out.packets.len();
        self.run(which, Feed::Datagram(incoming), setup, now, out).map_err(|error| self.refused(&error))?;
        if out.packets.len() > packets {
            self.received(which, path, now);
        }
        Ok(())
    }

    /// Takes what came by a socket of this session's own: the engine, a full agent, knows which checks are its own and
    /// which addresses they have proven, and the pair that it has settled on is the path of media.
    ///
    /// # Errors
    /// The reason for which the datagram was dropped.
    pub fn handle_dialled(
        &mut self,
        incoming: Incoming<'_>,
        setup: &mut SessionSetup,
        now: Instant,
        out: &mut SessionOutput,
    ) -> Result<(), DropReason> {
        let Some(transport) = self.transports.present() else { return Err(DropReason::UnknownSource) };
        match transport.accepts(incoming.path, incoming.contents, now) {
            Accepted::Check => self
                .run(Which::Present, Feed::Datagram(incoming), setup, now, out)
                .map_err(|error| self.refused(&error)),
            Accepted::Proven => self.handle_datagram(incoming, setup, now, out),
            Accepted::No(reason) => Err(reason),
        }
    }

    /// Keeps what was wrong with the first datagram that the engine refused before the session ever connected: most
    /// often that is why it never does. Once for each session, so it may allocate.
    #[cold]
    fn refused(&mut self, error: &EngineError) -> DropReason {
        if !self.connected_once && self.refusal.is_none() {
            self.refusal = Some(error.to_string());
        }
        DropReason::Refused
    }

    /// What kept the session from connecting, as far as that is known.
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref().filter(|_| !self.connected_once)
    }

    /// An authentic packet came from a proven address.
    fn received(&mut self, which: Which, path: Path, now: Instant) {
        self.last_authentic = now;
        self.paths.confirm(path, now);
        if let Some(transport) = self.transports.get_mut(which) {
            transport.received(path, now);
        }
    }

    /// Forgets an address that can no longer be reached: its TCP connection is over.
    pub fn forget_path(&mut self, path: Path) {
        self.paths.forget(path);
        if let Some(early) = self.early.as_deref_mut() {
            early.forget(path);
        }
        self.transports.forget(path);
    }

    /// Asks the publisher for a keyframe of one of its streams.
    pub fn request_keyframe(
        &mut self,
        ssrc: u32,
        setup: &mut SessionSetup,
        now: Instant,
        out: &mut SessionOutput,
    ) {
        let feed = Feed::KeyframeRequest(ssrc, KeyframeRequestKind::Pli);
        // The engine refuses nothing here; if it fails, its next input says so.
        let _refused = self.run(Which::Present, feed, setup, now, out);
    }

    /// When the next second has passed, after which [`Session::handle_timeout`] sees to reports and figures. That may be
    /// late.
    pub fn next_tick(&self) -> Option<Instant> {
        self.next_tick
    }

    /// The next moment at which [`Session::handle_timeout`] has something else to do, or its time is over.
    pub fn poll_timeout(&self, setup: &SessionSetup) -> (Instant, Due) {
        let engine = self.transports.timeout().map(|at| (at, Due::Engine));
        let channel = self.channels.deadline().map(|at| (at, Due::Channel));
        let others = [engine, channel].into_iter().flatten();
        others.fold((self.expires(setup), Due::Expiry), |next, one| if one.0 < next.0 { one } else { next })
    }

    /// Lets due timers of the engines run. Returns whether a second has passed: reports and figures are due.
    ///
    /// # Errors
    /// When an engine failed for good.
    pub fn handle_timeout(
        &mut self,
        setup: &mut SessionSetup,
        now: Instant,
        out: &mut SessionOutput,
    ) -> Result<bool, SessionError> {
        for which in Which::BOTH {
            if self.transports.is_due(which, now) {
                self.run(which, Feed::Timeout, setup, now, out)?;
            }
        }
        self.transports.expire(now);
        self.channels.handle_timeout(now, &mut out.channels);
        let Some(tick) = self.next_tick.filter(|tick| *tick <= now) else { return Ok(false) };
        self.next_tick = Some((tick + TICK).max(now));
        if self.transports.present().is_some_and(Transport::has_consent) {
            self.last_authentic = now;
        }
        let in_use = self.transports.present().and_then(Transport::path);
        self.paths.expire(in_use, now, &mut out.paths_removed);
        self.egress.iter_mut().flatten().for_each(|stream| stream.tick());
        self.sender.close_second(now);
        Ok(true)
    }

    /// Whether its time is over, and whether it had connected and the client had ended DTLS by then.
    pub fn expired(&self, setup: &SessionSetup, now: Instant) -> Option<Expiry> {
        if now < self.expires(setup) {
            return None;
        }
        Some(match (self.connected_once, self.closed_by_client) {
            (false, _) => Expiry::NeverConnected,
            (true, false) => Expiry::Silent,
            (true, true) => Expiry::Closed,
        })
    }

    fn handle_rtcp(
        &mut self,
        which: Which,
        contents: &[u8],
        now: Instant,
        out: &mut SessionOutput,
    ) -> Result<(), DropReason> {
        self.scratch.clear();
        self.scratch.extend_from_slice(contents);
        let keys = self.transports.get_mut(which).and_then(Transport::keys).ok_or(DropReason::NoKeys)?;
        let len = keys.client_rtcp.open(&mut self.scratch).map_err(|_| DropReason::BadRtcp)?;
        let Some(plain) = self.scratch.get(..len) else { return Err(DropReason::BadRtcp) };
        reports::read(plain, &mut self.egress, &mut self.sender, now, &mut out.feedback);
        Ok(())
    }

    /// Feeds one engine and sees to what the turn changed.
    fn run(
        &mut self,
        which: Which,
        feed: Feed<'_>,
        setup: &mut SessionSetup,
        now: Instant,
        out: &mut SessionOutput,
    ) -> Result<(), EngineError> {
        let Some(transport) = self.transports.get_mut(which) else { return Ok(()) };
        let datagram = if let Feed::Datagram(incoming) = &feed { incoming.contents } else { &[][..] };
        if self.has_unnamed {
            transport.latch(&mut self.collector, &self.ingress, datagram);
        }
        let mut drain = self.collector.drain(&self.ingress, datagram, out);
        let turn = transport.turn(feed, now, &mut drain)?;
        self.follow(which, turn, setup, now, out)?;
        self.take_wires(now, out);
        let Some(transport) = self.transports.present_mut().filter(|_| which == Which::Present) else {
            return Ok(());
        };
        if self.channels.send(transport, &mut out.channels) {
            let mut drain = self.collector.drain(&self.ingress, &[], out);
            let turn = transport.turn(Feed::Timeout, now, &mut drain)?;
            self.follow(which, turn, setup, now, out)?;
            self.take_wires(now, out);
        }
        Ok(())
    }

    /// Ends DTLS towards the client. Nothing else may follow.
    ///
    /// # Errors
    /// When the engine failed.
    pub fn farewell(&mut self, now: Instant, out: &mut SessionOutput) -> Result<(), SessionError> {
        let Some(transport) = self.transports.present_mut().filter(|transport| transport.is_keyed()) else {
            return Ok(());
        };
        let mut drain = self.collector.drain(&self.ingress, &[], out);
        Ok(transport.close(now, &mut drain)?)
    }

    fn follow(
        &mut self,
        which: Which,
        turn: Turn,
        setup: &mut SessionSetup,
        now: Instant,
        out: &mut SessionOutput,
    ) -> Result<(), EngineError> {
        if turn.keyed {
            self.keyed(which, setup, now, out);
        }
        if turn.closed && self.transports.get_mut(which).is_some_and(|transport| transport.is_closed()) {
            self.closed(which, setup, now, out)?;
        }
        Ok(())
    }

    /// New keys: a successor takes over, and every index starts again.
    fn keyed(&mut self, which: Which, setup: &mut SessionSetup, now: Instant, out: &mut SessionOutput) {
        if which == Which::Successor && self.transports.succeed() {
            self.collector.forget_engine();
            self.channels.transport_replaced(&mut out.channels);
            if let Some(present) = self.transports.present() {
                self.paths.retain(present.generation(), &mut out.paths_removed);
            }
        }
        for stream in self.egress.iter_mut().flatten() {
            stream.rebase(setup.random.u16());
        }
        if let Some(path) = self.transports.present().and_then(Transport::path) {
            self.paths.confirm(path, now);
        }
        self.connected_once = true;
        self.closed_by_client = false;
        self.last_authentic = now;
        self.next_tick.get_or_insert(now + TICK);
        out.rekeyed = true;
        if let Some(transport) = self.transports.present_mut().filter(|_| !self.channels.is_empty()) {
            self.channels.sync(transport, now, &mut out.channels);
        }
    }

    /// The client ended DTLS. It may come back from other ports with the same credentials, so an engine that can
    /// take a new handshake takes the place of the dead one.
    fn closed(
        &mut self,
        which: Which,
        setup: &mut SessionSetup,
        now: Instant,
        out: &mut SessionOutput,
    ) -> Result<(), EngineError> {
        if which == Which::Successor {
            self.transports.drop_successor();
            return Ok(());
        }
        self.closed_by_client = true;
        self.collector.forget_engine();
        self.channels.transport_replaced(&mut out.channels);
        if self.transports.succeed() {
            return Ok(());
        }
        if let Some(present) = self.transports.present_mut() {
            present.drop_keys();
        }
        self.revive(setup, now)
    }

    /// Makes an engine in place of one that has ended; where that was done too often lately, a later check does.
    fn revive(&mut self, setup: &mut SessionSetup, now: Instant) -> Result<(), EngineError> {
        let Some(plan) = self.plan.as_ref().filter(|_| self.transports.has_room(now)) else { return Ok(()) };
        self.transports.replace(&setup.parts(&self.dialled), plan, None, now)
    }

    fn expires(&self, setup: &SessionSetup) -> Instant {
        if self.connected_once {
            self.last_authentic + setup.disconnected
        } else {
            self.created + setup.never_connected
        }
    }

    fn remember(&mut self, path: Path, generation: u32, now: Instant) -> Binding {
        let in_use = self.transports.present().and_then(Transport::path);
        self.paths.remember(path, generation, in_use, now)
    }
}

/// What a session has to do at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Timers of its engines.
    Engine,
    /// A data channel whose first message was not acknowledged.
    Channel,
    /// Its end.
    Expiry,
}

/// How the time of a session ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// It never had keys.
    NeverConnected,
    /// Nothing authenticated came any more.
    Silent,
    /// The client had ended DTLS and did not begin anew.
    Closed,
}
