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
mod description;
mod dtls;
mod early;
pub mod egress;
mod empty;
mod handshake;
pub mod ingress;
mod output;
mod reports;
mod route;
mod setup;
mod transport;
mod wires;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::media::KeyframeRequestKind;

pub use channels::{ChannelEvent, Message, Queued};
pub use description::Description;
pub use egress::{EgressStream, Outgoing, Outlet};
pub use ingress::{IngressPacket, IngressSection};
pub use output::SessionOutput;
pub use reports::Feedback;
pub use setup::{Certificate, SessionSetup};
pub use transport::{Carrier, Path, binding_request};

use self::channels::Channels;
use self::early::Early;
use self::ingress::Collector;
use self::transport::{Accepted, BINDING_SUCCESS, EngineError, Feed, Transport, Turn};
use crate::drop::DropReason;
use crate::ids::{IceCredentials, SessionId};
use crate::plan::{ChannelPlan, EgressPlan, IceAgent, IngressPlan, TransportPlan};
use crate::rtp::{Packet, rtcp};

/// Client addresses that one session may hold at a time.
pub const PATHS_MAX: usize = 16;
/// How long a transport that was announced may take to get its keys beside the present one.
const SUCCESSOR_PATIENCE: Duration = Duration::from_secs(30);
/// Sender reports, figures.
const TICK: Duration = Duration::from_secs(1);

/// Why a session cannot go on, or could not take a plan.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SessionError(#[from] EngineError);

/// Where a proven connectivity check came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// From an address that is known already.
    Known,
    /// From a new address; another one may have had to go.
    New {
        /// The oldest address, when the table of the session was full.
        evicted: Option<Path>,
    },
}

/// One client's connection.
pub struct Session {
    id: SessionId,
    created: Instant,
    present: Option<Box<Transport>>,
    successor: Option<(Box<Transport>, Instant)>,
    /// What came before the first plan.
    early: Option<Box<Early>>,
    plan: Option<TransportPlan>,
    transports: u32,
    /// Our addresses, when it calls out by sockets of its own.
    dialled: Box<[SocketAddr]>,
    paths: Vec<(Path, u32)>,
    ingress: Vec<IngressSection>,
    /// Whether packets of some are told by their payload types.
    has_unnamed: bool,
    collector: Collector,
    egress: Vec<Option<EgressStream>>,
    transport_number: u16,
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
            present: None,
            successor: None,
            early: None,
            plan: None,
            transports: 0,
            dialled,
            paths: Vec::new(),
            ingress: Vec::new(),
            has_unnamed: false,
            collector: Collector::default(),
            egress: Vec::new(),
            transport_number: 0,
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
        self.transports
    }

    /// The addresses that it holds.
    pub fn paths(&self) -> impl Iterator<Item = Path> + '_ {
        self.paths.iter().map(|(path, _)| *path)
    }

    /// Our addresses, when it calls out by sockets of its own.
    pub fn dialled(&self) -> &[SocketAddr] {
        &self.dialled
    }

    /// Whether it called out and nobody has answered.
    pub fn reached_nobody(&self) -> bool {
        !self.dialled.is_empty() && !self.connected_once
    }

    /// Credentials under which the client may check connectivity at present.
    pub fn credentials(&self) -> impl Iterator<Item = &IceCredentials> {
        let successor = self.successor.as_ref().map(|(transport, _)| transport);
        let transports = self.present.iter().chain(successor).flat_map(|transport| transport.credentials());
        transports.chain(self.early.iter().map(|early| early.credentials()))
    }

    /// Path of its media, once keys and a proven address are there.
    pub fn ready(&self) -> Option<Path> {
        self.present.as_ref().filter(|transport| transport.is_keyed())?.path()
    }

    /// Name of the SRTP profile in force.
    pub fn profile(&mut self) -> Option<&'static str> {
        Some(self.present.as_mut()?.keys()?.profile.name())
    }

    /// Brings the transport to its plan: builds it, shows it new sections, restarts ICE, or prepares a successor.
    ///
    /// # Errors
    /// When the engine refuses the description; the session then is as it was.
    pub fn apply_transport(
        &mut self,
        plan: TransportPlan,
        description: Option<Description>,
        setup: &SessionSetup,
        now: Instant,
        out: &mut SessionOutput,
    ) -> Result<(), SessionError> {
        let parts = setup.parts(&self.dialled);
        match (&mut self.present, &mut self.successor) {
            (None, _) => {
                self.present = Some(Box::new(Transport::new(&parts, &plan, description, now)?));
                self.transports += 1;
            }
            (Some(present), _) if present.generation() == plan.generation => {
                present.apply(&plan, description)?
            }
            (_, Some((successor, _))) if successor.generation() == plan.generation => {
                successor.apply(&plan, description)?
            }
            // Its ports are for one association only, and the far end has begun the next.
            _ if !self.dialled.is_empty() => {
                self.present = Some(Box::new(Transport::new(&parts, &plan, description, now)?));
                self.transports += 1;
            }
            _ => {
                self.successor = Some((
                    Box::new(Transport::new(&parts, &plan, description, now)?),
                    now + SUCCESSOR_PATIENCE,
                ));
                self.transports += 1;
            }
        }
        // A full agent begins to check when it is told the time, and nobody else would tell it.
        let calls = plan.agent != IceAgent::Lite;
        self.plan = Some(plan);
        for which in [Which::Present, Which::Successor] {
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

    /// Adds a stream to the client; returns its index, which stays until [`Session::remove_stream`].
    pub fn add_stream(&mut self, plan: &EgressPlan, first_rtx_index: u16) -> usize {
        let stream = EgressStream::new(plan, first_rtx_index);
        if let Some(free) = self.egress.iter().position(Option::is_none) {
            if let Some(slot) = self.egress.get_mut(free) {
                *slot = Some(stream);
            }
            return free;
        }
        self.egress.push(Some(stream));
        self.egress.len() - 1
    }

    /// Ends a stream.
    pub fn remove_stream(&mut self, index: usize) {
        if let Some(slot) = self.egress.get_mut(index) {
            *slot = None;
        }
    }

    /// A stream by its index.
    pub fn stream(&self, index: usize) -> Option<&EgressStream> {
        self.egress.get(index)?.as_ref()
    }

    /// A stream by its index.
    pub fn stream_mut(&mut self, index: usize) -> Option<&mut EgressStream> {
        self.egress.get_mut(index)?.as_mut()
    }

    /// All streams with their indices.
    pub fn streams(&self) -> impl Iterator<Item = (usize, &EgressStream)> {
        self.egress.iter().enumerate().filter_map(|(index, stream)| Some((index, stream.as_ref()?)))
    }

    /// Takes a connectivity check (RFC 8445 7.3) whose user name fragment is one of this session's.
    ///
    /// # Errors
    /// [`DropReason::BadIntegrity`] when it was not made with our password; nothing is changed by it.
    pub fn handle_binding(
        &mut self,
        path: Path,
        contents: &[u8],
        setup: &SessionSetup,
        now: Instant,
        out: &mut SessionOutput,
    ) -> Result<Binding, DropReason> {
        let (message, ufrag) = binding_request(contents).ok_or(DropReason::BadStun)?;
        if self.early.is_some() {
            return self.handle_early_check(path, message, ufrag, contents.len(), out);
        }
        let which = self.transport_for_check(path, |transport| transport.verifies(&message, ufrag));
        let which = which.ok_or(DropReason::BadIntegrity)?;
        let nominates = message.use_candidate();
        let Some(transport) = self.transport_mut(which) else { return Err(DropReason::Refused) };
        let copy = transport.shown(&message, ufrag, path, contents);
        let before = out.transmits.len();
        self.last_authentic = now;
        let feed = Feed::Datagram(path, copy.as_deref().unwrap_or(contents));
        self.run(which, feed, setup, now, out).map_err(|_| DropReason::Refused)?;
        let answered = out.transmits.iter().skip(before).any(|(to, range)| {
            *to == path
                && out.bytes.get(range.clone()).is_some_and(|bytes| bytes.starts_with(&BINDING_SUCCESS))
        });
        let Some(transport) = self.transport_mut(which) else { return Err(DropReason::Refused) };
        if answered {
            transport.checked(path, nominates, now);
        }
        let generation = transport.generation();
        Ok(self.remember(path, generation))
    }

    /// Takes DTLS, SRTP or SRTCP from an address that a check has proven.
    ///
    /// # Errors
    /// The reason for which the datagram was dropped.
    pub fn handle_datagram(
        &mut self,
        path: Path,
        contents: &[u8],
        setup: &SessionSetup,
        now: Instant,
        out: &mut SessionOutput,
    ) -> Result<(), DropReason> {
        if let Some(early) = self.early.as_deref_mut() {
            return early.datagram(path, contents);
        }
        let which = self.transport_of_path(path);
        if rtcp::is_rtcp(contents) {
            self.handle_rtcp(which, contents, now, out)?;
            self.received(which, path, now);
            if self.ingress.is_empty() {
                return Ok(());
            }
        } else if contents.first().is_some_and(|first| *first >= 128)
            && !self.transport_mut(which).is_some_and(|transport| transport.is_keyed())
        {
            return Err(DropReason::NoKeys);
        }
        let packets = out.packets.len();
        self.run(which, Feed::Datagram(path, contents), setup, now, out)
            .map_err(|error| self.refused(&error))?;
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
        path: Path,
        contents: &[u8],
        setup: &SessionSetup,
        now: Instant,
        out: &mut SessionOutput,
    ) -> Result<(), DropReason> {
        let Some(transport) = self.present.as_deref() else { return Err(DropReason::UnknownSource) };
        match transport.accepts(path, contents, now) {
            Accepted::Check => self
                .run(Which::Present, Feed::Datagram(path, contents), setup, now, out)
                .map_err(|error| self.refused(&error)),
            Accepted::Proven => self.handle_datagram(path, contents, setup, now, out),
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
        if let Some(transport) = self.transport_mut(which) {
            transport.received(path, now);
        }
    }

    /// Forgets an address that can no longer be reached: its TCP connection is over.
    pub fn forget_path(&mut self, path: Path) {
        self.paths.retain(|(known, _)| *known != path);
        if let Some(early) = self.early.as_deref_mut() {
            early.forget(path);
        }
        for which in [Which::Present, Which::Successor] {
            if let Some(transport) = self.transport_mut(which) {
                transport.forget(path);
            }
        }
    }

    /// Asks the publisher for a keyframe of one of its streams.
    pub fn request_keyframe(
        &mut self,
        ssrc: u32,
        setup: &SessionSetup,
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

    /// The next moment at which [`Session::handle_timeout`] has something else to do.
    pub fn poll_timeout(&self, setup: &SessionSetup) -> Instant {
        let present = self.present.as_ref().and_then(|transport| transport.timeout());
        let successor = self.successor.as_ref().map(|(transport, expires)| {
            transport.timeout().map_or(*expires, |timeout| timeout.min(*expires))
        });
        let engines = [present, successor, self.channels.deadline()];
        engines.into_iter().flatten().fold(self.expires(setup), Instant::min)
    }

    /// Lets due timers of the engines run. Returns whether a second has passed: reports and figures are due.
    ///
    /// # Errors
    /// When an engine failed for good.
    pub fn handle_timeout(
        &mut self,
        setup: &SessionSetup,
        now: Instant,
        out: &mut SessionOutput,
    ) -> Result<bool, SessionError> {
        for which in [Which::Present, Which::Successor] {
            let due = self.transport_mut(which).and_then(|transport| transport.timeout());
            if due.is_some_and(|at| at <= now) {
                self.run(which, Feed::Timeout, setup, now, out)?;
            }
        }
        if self.successor.as_ref().is_some_and(|(_, expires)| *expires <= now) {
            self.successor = None;
        }
        self.channels.handle_timeout(now, &mut out.channels);
        let Some(tick) = self.next_tick.filter(|tick| *tick <= now) else { return Ok(false) };
        self.next_tick = Some((tick + TICK).max(now));
        if self.present.as_ref().is_some_and(|transport| transport.has_consent()) {
            self.last_authentic = now;
        }
        self.egress.iter_mut().flatten().for_each(EgressStream::tick);
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

    /// Opens a stream for the packets of one batch; `None` while there are no keys or no proven address.
    pub fn outlet(&mut self, stream: usize) -> Option<Outlet<'_>> {
        let (keys, path) = sealing(&mut self.present)?;
        let stream = self.egress.get_mut(stream)?.as_mut()?;
        Some(Outlet { stream, keys, transport_number: &mut self.transport_number, path })
    }

    /// Writes and seals a packet of a stream once more, as a retransmission.
    pub fn seal_again(
        &mut self,
        stream: usize,
        out: &Outgoing,
        rtx_payload_type: Option<u8>,
        packet: &Packet,
        space: &mut [u8],
    ) -> Option<(Path, usize)> {
        let (keys, path) = sealing(&mut self.present)?;
        let stream = self.egress.get_mut(stream)?.as_mut()?;
        let len =
            stream.seal_again(keys, &mut self.transport_number, out, rtx_payload_type, packet, space)?;
        Some((path, len))
    }

    /// Writes and seals a sender report of a stream.
    pub fn seal_report(
        &mut self,
        stream: usize,
        (ntp, rtp): (u64, u32),
        now: Instant,
        space: &mut [u8],
    ) -> Option<(Path, usize)> {
        let (keys, path) = sealing(&mut self.present)?;
        let stream = self.egress.get_mut(stream)?.as_mut()?;
        let len = stream.seal_report(keys, ntp, rtp, now, space)?;
        Some((path, len))
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
        let transport = match which {
            Which::Present => self.present.as_deref_mut(),
            Which::Successor => self.successor.as_mut().map(|(transport, _)| &mut **transport),
        };
        let keys = transport.and_then(Transport::keys).ok_or(DropReason::NoKeys)?;
        let len = keys.client_rtcp.open(&mut self.scratch).map_err(|_| DropReason::BadRtcp)?;
        let Some(plain) = self.scratch.get(..len) else { return Err(DropReason::BadRtcp) };
        for report in rtcp::parse(plain) {
            reports::read(report, &mut self.egress, now, &mut out.feedback);
        }
        Ok(())
    }

    /// Feeds one engine and sees to what the turn changed.
    fn run(
        &mut self,
        which: Which,
        feed: Feed<'_>,
        setup: &SessionSetup,
        now: Instant,
        out: &mut SessionOutput,
    ) -> Result<(), EngineError> {
        let transport = match which {
            Which::Present => self.present.as_deref_mut(),
            Which::Successor => self.successor.as_mut().map(|(transport, _)| &mut **transport),
        };
        let Some(transport) = transport else { return Ok(()) };
        let datagram = if let Feed::Datagram(_, contents) = &feed { contents } else { &[][..] };
        if self.has_unnamed {
            transport.latch(&mut self.collector, &self.ingress, datagram);
        }
        let mut drain = self.collector.drain(&self.ingress, datagram, now, out);
        let turn = transport.turn(feed, now, &mut drain)?;
        self.follow(which, turn, setup, now, out)?;
        self.take_wires(now, out);
        let Some(transport) = self.present.as_deref_mut().filter(|_| which == Which::Present) else {
            return Ok(());
        };
        if self.channels.send(transport, &mut out.channels) {
            let mut drain = self.collector.drain(&self.ingress, &[], now, out);
            let turn = transport.turn(Feed::Timeout, now, &mut drain)?;
            self.follow(which, turn, setup, now, out)?;
            self.take_wires(now, out);
        }
        Ok(())
    }

    /// Takes what the engine said of data channels.
    fn take_wires(&mut self, now: Instant, out: &mut SessionOutput) {
        let mut wires = std::mem::take(&mut out.wires);
        for event in wires.drain(..) {
            self.channels.take(event, now, &mut out.channels);
        }
        out.wires = wires;
    }

    /// Ends DTLS towards the client. Nothing else may follow.
    ///
    /// # Errors
    /// When the engine failed.
    pub fn farewell(&mut self, now: Instant, out: &mut SessionOutput) -> Result<(), SessionError> {
        let Some(transport) = self.present.as_deref_mut().filter(|transport| transport.is_keyed()) else {
            return Ok(());
        };
        let mut drain = self.collector.drain(&self.ingress, &[], now, out);
        Ok(transport.close(now, &mut drain)?)
    }

    /// Adds a planned data channel; false when there are too many.
    pub fn add_channel(&mut self, plan: ChannelPlan) -> bool {
        self.channels.add(plan)
    }

    /// Has the channel `server-events` opened.
    pub fn open_server_events(&mut self) {
        self.channels.open_server_events();
    }

    /// Ends a data channel. Its end is told when its stream is free.
    pub fn remove_channel(&mut self, stream: u16) {
        self.channels.remove(stream);
    }

    /// Takes a message for the client, which leaves with [`Session::run_channels`].
    pub fn queue(&mut self, stream: u16, message: Message) -> Queued {
        self.channels.queue(stream, message)
    }

    /// Whether a data channel carries messages.
    pub fn has_open(&self, stream: u16) -> bool {
        self.channels.is_open(stream)
    }

    /// Whether a data channel may lose nothing.
    pub fn loses_nothing(&self, stream: u16) -> bool {
        self.channels.loses_nothing(stream)
    }

    /// Opens and ends channels as wanted, and sends what waits.
    ///
    /// # Errors
    /// When the engine failed for good.
    pub fn run_channels(
        &mut self,
        setup: &SessionSetup,
        now: Instant,
        out: &mut SessionOutput,
    ) -> Result<(), SessionError> {
        if let Some(transport) = self.present.as_deref_mut() {
            self.channels.sync(transport, now, &mut out.channels);
            self.channels.send(transport, &mut out.channels);
        }
        Ok(self.run(Which::Present, Feed::Timeout, setup, now, out)?)
    }

    fn follow(
        &mut self,
        which: Which,
        turn: Turn,
        setup: &SessionSetup,
        now: Instant,
        out: &mut SessionOutput,
    ) -> Result<(), EngineError> {
        if turn.keyed {
            self.keyed(which, now, out);
        }
        if turn.closed && self.transport_mut(which).is_some_and(|transport| transport.is_closed()) {
            self.closed(which, setup, now, out)?;
        }
        Ok(())
    }

    /// New keys: a successor takes over, and every index starts again.
    fn keyed(&mut self, which: Which, now: Instant, out: &mut SessionOutput) {
        if let Some((successor, _)) = self.successor.take_if(|_| which == Which::Successor) {
            let generation = successor.generation();
            self.present = Some(successor);
            self.collector.forget_engine();
            self.channels.transport_replaced(&mut out.channels);
            self.paths.retain(|(path, of)| {
                if *of != generation {
                    out.paths_removed.push(*path);
                }
                *of == generation
            });
        }
        for stream in self.egress.iter_mut().flatten() {
            stream.rebase(crate::ids::random_u16());
        }
        self.connected_once = true;
        self.closed_by_client = false;
        self.last_authentic = now;
        self.next_tick.get_or_insert(now + TICK);
        out.rekeyed = true;
        if let Some(transport) = self.present.as_deref_mut().filter(|_| !self.channels.is_empty()) {
            self.channels.sync(transport, now, &mut out.channels);
        }
    }

    /// The client ended DTLS. It may come back from other ports with the same credentials, so an engine that can
    /// take a new handshake takes the place of the dead one.
    fn closed(
        &mut self,
        which: Which,
        setup: &SessionSetup,
        now: Instant,
        out: &mut SessionOutput,
    ) -> Result<(), EngineError> {
        if which == Which::Successor {
            self.successor = None;
            return Ok(());
        }
        self.closed_by_client = true;
        self.collector.forget_engine();
        self.channels.transport_replaced(&mut out.channels);
        if let Some((successor, _)) = self.successor.take() {
            self.present = Some(successor);
            return Ok(());
        }
        let Some(plan) = &self.plan else { return Ok(()) };
        let parts = setup.parts(&self.dialled);
        self.present = Some(Box::new(Transport::new(&parts, plan, None, now)?));
        self.transports += 1;
        Ok(())
    }

    fn expires(&self, setup: &SessionSetup) -> Instant {
        if self.connected_once {
            self.last_authentic + setup.disconnected
        } else {
            self.created + setup.never_connected
        }
    }

    fn transport_mut(&mut self, which: Which) -> Option<&mut Transport> {
        match which {
            Which::Present => self.present.as_deref_mut(),
            Which::Successor => self.successor.as_mut().map(|(transport, _)| &mut **transport),
        }
    }

    /// The transport that a check belongs to. When both share credentials, a path that the present transport
    /// knows stays with it, and a new one is the beginning of the successor.
    fn transport_for_check(&self, path: Path, verifies: impl Fn(&Transport) -> bool) -> Option<Which> {
        let present = self.present.as_ref().filter(|transport| verifies(transport));
        let successor = self.successor.as_ref().filter(|(transport, _)| verifies(transport));
        match (present, successor) {
            (None, None) => None,
            (Some(_), None) => Some(Which::Present),
            (None, Some(_)) => Some(Which::Successor),
            (Some(present), Some(_)) => {
                let generation = present.generation();
                let known = self.paths.iter().any(|(known, of)| *known == path && *of == generation);
                Some(if known { Which::Present } else { Which::Successor })
            }
        }
    }

    fn transport_of_path(&self, path: Path) -> Which {
        let generation =
            self.paths.iter().find(|(known, _)| *known == path).map(|(_, generation)| *generation);
        let successor = self.successor.as_ref().map(|(transport, _)| transport.generation());
        if generation.is_some() && generation == successor { Which::Successor } else { Which::Present }
    }

    fn remember(&mut self, path: Path, generation: u32) -> Binding {
        if let Some(known) = self.paths.iter_mut().find(|(known, _)| *known == path) {
            known.1 = generation;
            return Binding::Known;
        }
        let mut evicted = None;
        if self.paths.len() >= PATHS_MAX {
            let in_use = self.present.as_ref().and_then(|transport| transport.path());
            let oldest = self.paths.iter().position(|(path, _)| Some(*path) != in_use);
            evicted = oldest.map(|index| self.paths.remove(index).0);
        }
        self.paths.push((path, generation));
        Binding::New { evicted }
    }
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Present,
    Successor,
}

fn sealing(present: &mut Option<Box<Transport>>) -> Option<(&mut transport::Keys, Path)> {
    let transport = present.as_deref_mut()?;
    let path = transport.path()?;
    Some((transport.keys()?, path))
}
