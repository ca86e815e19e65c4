//! Everything one core owns: sessions, publications, subscriptions, timers, counters. No lock, no clock, no
//! socket: datagrams, commands and the present moment come in by `handle_*`, and [`Shard::flush`] writes what
//! leaves into an outbox. The worker around it ([`worker`]) brings time and sockets.
//!
//! The shard mediates between sessions and the router, which do not know each other. A packet's way through
//! here: [`Shard::handle_datagram`] finds the session (`arrival`, `addresses`), the session yields packets, `ingest` hands
//! them to their publication, and `forward` takes the tick's batch of each publication to its subscribers here
//! and, once, to every other shard that has some (`mailbox`).

mod addresses;
mod arrival;
mod channels;
pub mod command;
mod configure;
mod demux;
mod dialled;
mod forward;
mod handover;
mod ingest;
pub mod mailbox;
mod publications;
mod sessions;
mod statistics;
mod table;
mod timers;
pub mod worker;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

use self::addresses::Addresses;
use self::addresses::Source;
pub use self::addresses::Steer;
use self::channels::Member;
use self::command::{Command, ConfigureError, DialledSocket, EndReason, Event, ShardLimits};
pub use self::demux::shard_of_check;
pub use self::dialled::Dial;
use self::mailbox::Mailbox;
use self::publications::{PublicationKey, PublicationSlot, SubscriptionSlot};
use self::sessions::{SessionKey, SessionSlot};
use self::table::Table;
use self::timers::{Grid, TimerOf, Timers};
use crate::drop::DropReason;
use crate::ids::{IceCredentials, NodeKeys, PublicationId, SessionId, ShardId};
use crate::metrics::shard::ShardCounters;
use crate::net::{Outbox, SocketIndex};
use crate::router::LayerIndex;
use crate::router::channel::{Hub, HubId};
pub use crate::rtp::time::WallClock;
pub use crate::session::Certificate;
use crate::session::fence::fenced;
use crate::session::{Expiry, Path, Session, SessionError, SessionOutput, SessionSetup};

/// The largest datagram that is taken from a client.
const DATAGRAM_BYTES_MAX: usize = 2000;
/// Sessions whose second ends within so long a span do together what they do once a second: a wake of its own for each
/// would cost more than what it is for, and all of them at once would hold up media.
const TICK_SPAN: Duration = Duration::from_millis(100);

/// What a shard is made from.
#[derive(Debug, Clone)]
pub struct ShardSetup {
    /// Its number.
    pub id: ShardId,
    /// Address of each socket, in the order of the sockets: as it is bound, whatever clients are told.
    pub candidates: Vec<SocketAddr>,
    /// Advertised address of each TCP listener, in the order of the listeners.
    pub tcp_candidates: Vec<SocketAddr>,
    /// The node's certificate.
    pub certificate: Certificate,
    /// The node's keys for ids and credentials.
    pub keys: Arc<NodeKeys>,
    /// Life-cycle times and bounds.
    pub limits: ShardLimits,
    /// The wall clock: the same for all shards of a node.
    pub clock: WallClock,
}

/// The state of one core.
pub struct Shard {
    id: ShardId,
    keys: Arc<NodeKeys>,
    limits: ShardLimits,
    clock: WallClock,
    setup: SessionSetup,
    sessions: Table<SessionSlot>,
    by_id: HashMap<SessionId, SessionKey, RandomState>,
    addresses: Addresses,
    publications: Table<PublicationSlot>,
    by_publication: HashMap<PublicationId, PublicationKey, RandomState>,
    subscriptions: Table<SubscriptionSlot>,
    dirty: Vec<PublicationKey>,
    keyframes_due: Vec<(PublicationKey, LayerIndex)>,
    timers: Timers,
    mailbox: Mailbox,
    hubs: HashMap<HubId, Hub<Member>, RandomState>,
    /// Sessions whose data channels have something to do.
    channels_dirty: Vec<SessionKey>,
    events: VecDeque<Event>,
    counters: ShardCounters,
    output: SessionOutput,
}

/// Sizes of a shard's tables, for tests and metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableSizes {
    /// Sessions.
    pub sessions: usize,
    /// Publications, replicas included.
    pub publications: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Proven client addresses.
    pub paths: usize,
    /// Addresses of a shared port that other shards have proven.
    pub paths_elsewhere: usize,
    /// User name fragments.
    pub ufrags: usize,
    /// Sockets of sessions that call out.
    pub dialled: usize,
    /// Data channels and groups of them, those with members on other shards included.
    pub hubs: usize,
}

impl Shard {
    /// Makes an empty shard.
    pub fn new(setup: ShardSetup, mut mailbox: Mailbox) -> Self {
        let shares_port = mailbox.handover().is_in_use();
        let (udp, tcp) = (&setup.candidates, &setup.tcp_candidates);
        Self {
            id: setup.id,
            addresses: Addresses::new(setup.id, shares_port, udp, tcp),
            keys: setup.keys,
            setup: SessionSetup {
                shard: setup.id,
                candidates: setup.candidates,
                tcp_candidates: setup.tcp_candidates,
                certificate: setup.certificate,
                never_connected: setup.limits.never_connected,
                disconnected: setup.limits.disconnected,
            },
            limits: setup.limits,
            clock: setup.clock,
            sessions: Table::default(),
            by_id: HashMap::default(),
            publications: Table::default(),
            by_publication: HashMap::default(),
            subscriptions: Table::default(),
            dirty: Vec::new(),
            keyframes_due: Vec::new(),
            timers: Timers::default(),
            mailbox,
            hubs: HashMap::default(),
            channels_dirty: Vec::new(),
            events: VecDeque::new(),
            counters: ShardCounters::default(),
            output: SessionOutput::default(),
        }
    }

    /// Its number.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// Whether a session holds the address at the other end of a TCP connection.
    pub fn holds_address(&self, listener: SocketIndex, peer: SocketAddr) -> bool {
        self.addresses.session_at(&Source { socket: listener, address: peer }).is_some()
    }

    /// Takes notice that a TCP connection is over: nothing is sent there any more.
    pub fn handle_disconnect(&mut self, listener: SocketIndex, peer: SocketAddr) {
        let source = Source { socket: listener, address: peer };
        let Some(key) = self.addresses.session_at(&source) else { return };
        self.addresses.release_source(source, key);
        if let (Some(slot), Some(path)) = (self.sessions.get_mut(key), self.addresses.path_of(source)) {
            slot.session.forget_path(path);
        }
    }

    /// Carries out a command of control.
    pub fn handle_command(&mut self, now: Instant, command: Command, outbox: &mut Outbox) {
        match command {
            Command::Open { session, dialled, credentials } => self.open(now, session, dialled, credentials),
            Command::Configure { session, plan, description, reply } => {
                let result = self.configure(now, session, *plan, description.map(|read| *read), outbox);
                // Control may have given up waiting; the plan is in force all the same.
                let _gone = reply.send(result);
            }
            Command::Close { session } => {
                if let Some(key) = self.by_id.get(&session).copied() {
                    self.dismiss(key, now, outbox);
                }
            }
            Command::Limits(limits) => self.take_limits(limits),
            Command::Goodbye { reply } => {
                let keys: Vec<SessionKey> = self.by_id.values().copied().collect();
                keys.iter().for_each(|key| self.dismiss(*key, now, outbox));
                let _gone = reply.send(keys.len());
            }
            Command::Locate { sessions, reply } => {
                let _gone = reply.send(self.locate(&sessions));
            }
            Command::Statistics { session, reply } => {
                let _gone = reply.send(self.statistics(session, now));
            }
        }
    }

    /// Takes what other shards sent, at most `budget` messages. Returns whether more waits.
    pub fn handle_mail(&mut self, now: Instant, budget: usize) -> bool {
        for _ in 0..budget {
            let Some(message) = self.mailbox.receive() else { return false };
            self.handle_message(now, message);
        }
        self.mailbox.has_mail()
    }

    /// Lets everything run whose time has come.
    pub fn handle_timeout(&mut self, now: Instant, outbox: &mut Outbox) {
        while let Some((at, of)) = self.timers.pop_due(now) {
            match of {
                TimerOf::Session(key) => {
                    let slot = self.sessions.get_mut(key);
                    let Some(slot) = slot.filter(|slot| slot.armed == Some(at)) else { continue };
                    slot.armed = None;
                    self.session_due(now, key, outbox);
                    self.arm_session(key);
                }
                TimerOf::Publication(key) => {
                    let slot = self.publications.get_mut(key);
                    let Some(slot) = slot.filter(|slot| slot.armed == Some(at)) else { continue };
                    slot.armed = None;
                    self.publication_due(now, key);
                    self.arm_publication(key, now);
                }
            }
        }
    }

    /// Takes the next thing that the kernel should know of a source; there is none unless shards share a port.
    pub fn poll_steer(&mut self) -> Option<Steer> {
        self.addresses.poll_steer()
    }

    /// Takes the next thing to do for sessions that call out.
    pub fn poll_dial(&mut self) -> Option<Dial> {
        self.addresses.poll_dial()
    }

    /// When [`Shard::handle_timeout`] has something to do next.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        let grid = self.timers.grid();
        let (sessions, publications, setup) = (&mut self.sessions, &self.publications, &self.setup);
        self.timers.next(&mut |of, at| match of {
            TimerOf::Session(key) => {
                let slot = sessions.get_mut(key).filter(|slot| slot.armed == Some(at))?;
                let wanted = at.max(deadline(&slot.session, setup, grid));
                slot.armed = Some(wanted);
                Some(wanted)
            }
            TimerOf::Publication(key) => {
                publications.get(key).filter(|slot| slot.armed == Some(at)).map(|_| at)
            }
        })
    }

    /// Takes the next thing that control should know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The lanes to other shards.
    pub fn mailbox(&mut self) -> &mut Mailbox {
        &mut self.mailbox
    }

    /// Counters as of now, sizes included.
    pub fn counters(&mut self) -> &mut ShardCounters {
        let sizes = self.sizes();
        self.counters.sessions = sizes.sessions as u64;
        self.counters.publications = (sizes.publications as u64).saturating_sub(self.counters.replicas);
        self.counters.subscriptions = sizes.subscriptions as u64;
        self.counters.addresses = sizes.paths as u64;
        &mut self.counters
    }

    /// Sizes of the tables.
    pub fn sizes(&self) -> TableSizes {
        TableSizes {
            sessions: self.sessions.len(),
            publications: self.publications.len(),
            subscriptions: self.subscriptions.len(),
            paths: self.addresses.proven(),
            paths_elsewhere: self.addresses.elsewhere(),
            ufrags: self.addresses.names(),
            dialled: self.addresses.dialled(),
            hubs: self.hubs.len(),
        }
    }

    fn open(
        &mut self,
        now: Instant,
        id: SessionId,
        dialled: Vec<DialledSocket>,
        credentials: Option<IceCredentials>,
    ) {
        if self.sessions.len() >= self.limits.sessions || !self.addresses.has_room(dialled.len()) {
            self.counters.drop(DropReason::Overload);
            self.events.push_back(Event::Ended(id, EndReason::NeverConnected));
            return;
        }
        let addresses = dialled.iter().map(|socket| socket.address).collect();
        let mut session = Session::new(id, addresses, now);
        if let Some(credentials) = credentials {
            session.expect_checks(credentials);
        }
        let key = self.sessions.insert(SessionSlot::new(session));
        self.sync_ufrags(key);
        self.addresses.open(key, dialled);
        self.by_id.insert(id, key);
        self.arm_session(key);
    }

    /// Runs one step of one session, then carries out what followed from it. A panic inside ends that session
    /// and no other.
    fn with_session<R, E: From<Unserved>>(
        &mut self,
        now: Instant,
        key: SessionKey,
        outbox: &mut Outbox,
        step: impl FnOnce(&mut Session, &SessionSetup, &mut SessionOutput) -> Result<R, E>,
    ) -> Result<R, E> {
        let Some(slot) = self.sessions.get_mut(key) else { return Err(Unserved::Gone.into()) };
        let mut output = std::mem::take(&mut self.output);
        output.clear();
        let (session, setup) = (&mut slot.session, &self.setup);
        let result = match fenced(|| step(session, setup, &mut output)) {
            Some(result) => {
                self.absorb(now, key, &mut output, outbox);
                result
            }
            None => {
                self.fail_session(key, now);
                Err(Unserved::Broken.into())
            }
        };
        self.output = output;
        result
    }

    /// Carries out what followed from one step of a session.
    fn absorb(&mut self, now: Instant, key: SessionKey, output: &mut SessionOutput, outbox: &mut Outbox) {
        for (path, range) in &output.transmits {
            let contents = output.bytes.get(range.clone()).unwrap_or_default();
            self.transmit(*path, contents, outbox);
        }
        for reason in &output.dropped {
            self.counters.drop(*reason);
        }
        for path in &output.paths_removed {
            self.addresses.release(*path, key);
        }
        if output.rekeyed {
            self.rekeyed(now, key);
        }
        for packet in output.packets.drain(..) {
            self.ingest(now, key, packet);
        }
        for feedback in output.feedback.drain(..) {
            self.handle_feedback(now, key, feedback, outbox);
        }
        for event in output.channels.drain(..) {
            self.channel_event(key, event);
        }
        self.sync_ready(now, key);
    }

    fn transmit(&mut self, path: Path, contents: &[u8], outbox: &mut Outbox) {
        let Some(socket) = self.addresses.socket_of(path) else { return };
        match outbox.space(contents.len()).and_then(|space| space.get_mut(..contents.len())) {
            Some(space) => {
                space.copy_from_slice(contents);
                outbox.commit(socket, path.remote, contents.len());
            }
            None => self.counters.drop(DropReason::SendFailed),
        }
    }

    /// Timers of a session: its engines, its reports, its end.
    fn session_due(&mut self, now: Instant, key: SessionKey, outbox: &mut Outbox) {
        let Some(slot) = self.sessions.get(key) else { return };
        if let Some(expiry) = slot.session.expired(&self.setup, now) {
            let reason = match expiry {
                Expiry::NeverConnected => EndReason::NeverConnected,
                Expiry::Silent => EndReason::TimedOut,
                Expiry::Closed => EndReason::ClosedByClient,
            };
            self.end_session(key, reason, now);
            return;
        }
        let mut failed = false;
        let tick: Result<bool, Unserved> = self.with_session(now, key, outbox, |session, setup, out| {
            Ok(session.handle_timeout(setup, now, out).unwrap_or_else(|_: SessionError| {
                failed = true;
                false
            }))
        });
        if failed && self.sessions.get(key).is_some_and(|slot| slot.session.reached_nobody()) {
            // The handshake that it had begun for when somebody answers gives up before its time is over.
            self.end_session(key, EndReason::NeverConnected, now);
        } else if failed {
            self.fail_session(key, now);
        } else if tick == Ok(true) {
            self.send_reports(now, key, outbox);
        }
    }

    fn arm_session(&mut self, key: SessionKey) {
        let Some(slot) = self.sessions.get_mut(key) else { return };
        let at = deadline(&slot.session, &self.setup, self.timers.grid());
        self.timers.arm(&mut slot.armed, TimerOf::Session(key), at);
    }

    fn fail_session(&mut self, key: SessionKey, now: Instant) {
        self.counters.session_failures += 1;
        self.end_session(key, EndReason::Failed, now);
    }

    fn end_session(&mut self, key: SessionKey, reason: EndReason, now: Instant) {
        let Some(id) = self.remove_session(key, now) else { return };
        self.count_end(match reason {
            EndReason::NeverConnected => 0,
            EndReason::TimedOut => 1,
            EndReason::ClosedByClient => 2,
            EndReason::Failed => 3,
        });
        tracing::debug!(session = %id, shard = self.id.0, ?reason, "session ended");
        self.events.push_back(Event::Ended(id, reason));
    }

    /// Ends a session by order of control, and tells its client, who would find out after seconds only.
    fn dismiss(&mut self, key: SessionKey, now: Instant, outbox: &mut Outbox) {
        // Without keys, or with an engine that fails, there is nobody to tell.
        let _untold = self.with_session(now, key, outbox, |session, _, out| {
            session.farewell(now, out).map_err(|_| DropReason::Refused)
        });
        if self.remove_session(key, now).is_some() {
            self.count_end(4);
        }
    }

    fn take_limits(&mut self, limits: ShardLimits) {
        self.setup.never_connected = limits.never_connected;
        self.setup.disconnected = limits.disconnected;
        self.limits = limits;
        // One that waits for its first connection may have to end sooner than it was to wake.
        let keys: Vec<SessionKey> = self.by_id.values().copied().collect();
        keys.iter().for_each(|key| self.arm_session(*key));
    }

    fn count_end(&mut self, reason: usize) {
        if let Some(count) = self.counters.sessions_ended.get_mut(reason) {
            *count += 1;
        }
    }

    fn remove_session(&mut self, key: SessionKey, now: Instant) -> Option<SessionId> {
        let slot = self.sessions.remove(key)?;
        let id = slot.session.id();
        self.by_id.remove(&id);
        let session = &slot.session;
        self.addresses.release_all(key, session.paths(), &slot.ufrags, session.dialled());
        self.counters.channels -= slot.channels.len() as u64;
        for (stream, of) in slot.channels {
            self.release_channel((key, stream), &of);
        }
        for subscription in slot.subscriptions.into_iter().flatten() {
            self.remove_subscription(subscription);
        }
        for publication in slot.publications {
            self.disown(publication, now);
        }
        Some(id)
    }
}

/// When a session has something to do next.
fn deadline(session: &Session, setup: &SessionSetup, grid: Grid) -> Instant {
    let exact = session.poll_timeout(setup);
    session.next_tick().map_or(exact, |tick| exact.min(grid.end_of_span(tick, TICK_SPAN)))
}

/// Why a step of a session was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unserved {
    /// There is no such session.
    Gone,
    /// Its engine has panicked, which was its end.
    Broken,
}

impl From<Unserved> for DropReason {
    fn from(why: Unserved) -> Self {
        match why {
            Unserved::Gone => Self::UnknownSource,
            Unserved::Broken => Self::Refused,
        }
    }
}

impl From<Unserved> for ConfigureError {
    fn from(why: Unserved) -> Self {
        match why {
            Unserved::Gone => Self::SessionGone,
            Unserved::Broken => Self::Failed,
        }
    }
}

impl From<SessionError> for ConfigureError {
    fn from(error: SessionError) -> Self {
        Self::Refused(error.to_string())
    }
}

#[cfg(test)]
mod tests;
