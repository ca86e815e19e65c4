//! Everything one core owns. No lock, no clock, no socket: datagrams, commands and the present moment come in by
//! `handle_*`, and [`Shard::flush`] writes what leaves into an outbox. The worker around it ([`worker`]) brings time and
//! sockets.
//!
//! Each thing has one owner, and nobody else touches it:
//!
//! | owner | has |
//! |---|---|
//! | [`sessions`] | sessions, and when each has to do something |
//! | [`addresses`] | who is at which address or name, and which socket leads there |
//! | [`tracks`] | publications and subscriptions, their sources and sinks, the lanes that carry them to other shards |
//! | [`channels`] | data channels, and their lanes |
//! | [`ledger`] | counters, and what control is told |
//!
//! The shard itself only takes a value from one and hands it to another. A packet's way: [`Shard::handle_datagram`] finds
//! the session (`arrival`, `addresses`), a step of the session yields packets (`step`), `tracks` puts them into their
//! publication, and `forward` takes the tick's batch of each publication to its sinks: streams of sessions here, and lanes.

mod addresses;
mod arrival;
mod backlog;
mod catch_up;
mod channels;
pub mod command;
mod configure;
mod demux;
mod dialled;
mod division;
mod forward;
mod handover;
mod lanes;
mod ledger;
mod life;
mod probing;
mod sessions;
mod statistics;
mod step;
mod table;
mod timers;
mod tracks;
pub mod worker;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

pub use self::addresses::Steer;
use self::addresses::{Addresses, Source};
use self::backlog::Backlog;
use self::channels::{Around, Channels};
use self::command::{Command, Event, ShardLimits};
pub use self::demux::shard_of_check;
pub use self::dialled::Dial;
use self::handover::Handover;
use self::lanes::Post;
pub use self::lanes::{Mailbox, ShardSet};
use self::ledger::Ledger;
use self::probing::Probing;
use self::sessions::Sessions;
use self::tracks::Tracks;
use crate::ids::{NodeKeys, ShardId};
use crate::metrics::shard::ShardCounters;
use crate::net::{Outbox, SocketIndex};
use crate::random::Random;
pub use crate::rtp::time::WallClock;
pub use crate::session::Certificate;
use crate::session::{SessionOutput, SessionSetup};

/// The largest datagram that is taken from a client.
const DATAGRAM_BYTES_MAX: usize = 2000;

/// What a shard is made from.
#[derive(Debug)]
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
    /// What everything random of the shard is drawn from.
    pub random: Random,
}

/// The state of one core.
pub struct Shard {
    id: ShardId,
    keys: Arc<NodeKeys>,
    limits: ShardLimits,
    clock: WallClock,
    sessions: Sessions,
    addresses: Addresses,
    tracks: Tracks,
    channels: Channels,
    /// Datagrams that came to the wrong shard.
    handover: Handover,
    /// Datagrams of those that connect.
    backlog: Backlog,
    /// Those whose paths are being probed.
    probing: Probing,
    ledger: Ledger,
    /// What a step of a session leads to; kept for its room.
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
    pub fn new(setup: ShardSetup, mailbox: Mailbox) -> Self {
        let Mailbox { tracks, addresses, channels, handover } = mailbox;
        let (udp, tcp) = (&setup.candidates, &setup.tcp_candidates);
        Self {
            id: setup.id,
            keys: setup.keys,
            clock: setup.clock,
            addresses: Addresses::new(setup.id, handover.is_in_use(), udp, tcp, addresses),
            tracks: Tracks::new(setup.id, tracks, setup.limits.publication_idle),
            channels: Channels::new(setup.id, channels),
            sessions: Sessions::new(SessionSetup {
                shard: setup.id,
                candidates: setup.candidates,
                tcp_candidates: setup.tcp_candidates,
                certificate: setup.certificate,
                never_connected: setup.limits.never_connected,
                disconnected: setup.limits.disconnected,
                random: setup.random,
            }),
            limits: setup.limits,
            handover,
            backlog: Backlog::default(),
            probing: Probing::default(),
            ledger: Ledger::default(),
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
                if let Some(key) = self.sessions.key_of(&session) {
                    self.dismiss(key, now, outbox);
                }
            }
            Command::Listen { publication, listens } => self.tracks.listen(publication, listens),
            Command::Limits(limits) => self.take_limits(limits),
            Command::Goodbye { reply } => {
                let keys = self.sessions.keys();
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

    /// Takes what other shards sent, at most `budget` messages of each kind. Returns whether more waits.
    pub fn handle_mail(&mut self, now: Instant, budget: usize) -> bool {
        for _ in 0..budget {
            let Some(lost) = self.addresses.take_word() else { break };
            if let Some((source, session)) = lost {
                self.take_path(source, session);
            }
        }
        let more_tracks = self.tracks.handle_mail(now, budget, &mut self.ledger);
        let around = &mut Around { sessions: &mut self.sessions, ledger: &mut self.ledger };
        let more_channels = self.channels.handle_mail(budget, around);
        more_tracks || more_channels || self.addresses.post().has_mail()
    }

    /// Lets everything run whose time has come.
    pub fn handle_timeout(&mut self, now: Instant, outbox: &mut Outbox) {
        while let Some((key, why)) = self.sessions.pop_due(now) {
            self.ledger.counters.wakes.count(why);
            self.session_due(now, key, outbox);
            self.sessions.arm(key);
        }
        self.tracks.handle_timeout(now, &mut self.ledger);
        self.handle_waiting(now, outbox);
    }

    /// When [`Shard::handle_timeout`] has something to do next.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        let timers = self.sessions.poll_timeout().into_iter().chain(self.tracks.poll_timeout());
        timers.chain(self.poll_release()).min()
    }

    /// When packets are to be sent whatever comes, or those who connect have their turn. Unlike other deadlines this one may
    /// not be late.
    pub fn poll_release(&self) -> Option<Instant> {
        let waiting = self.backlog.since().into_iter().chain(self.probing.due());
        self.tracks.poll_stragglers().into_iter().chain(waiting).min()
    }

    /// Takes the next thing that the kernel should know of a source; there is none unless shards share a port.
    pub fn poll_steer(&mut self) -> Option<Steer> {
        self.addresses.poll_steer()
    }

    /// Takes the next thing to do for sessions that call out.
    pub fn poll_dial(&mut self) -> Option<Dial> {
        self.addresses.poll_dial()
    }

    /// Takes the next thing that control should know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.ledger.poll()
    }

    /// Whether other shards have sent something.
    pub fn has_mail(&mut self) -> bool {
        self.handover.has_mail() || self.posts().iter().any(|post| post.has_mail())
    }

    /// Whether something for other shards waits for room, so that it is to be tried again soon.
    pub fn is_held_back(&mut self) -> bool {
        self.posts().iter().any(|post| post.is_held_back())
    }

    /// Moves on what waits for room in lanes, and names the shards that have mail since the last call.
    pub fn take_touched(&mut self) -> ShardSet {
        self.move_on();
        let mut touched = self.handover.take_touched();
        self.posts().into_iter().for_each(|post| touched.add(post.take_touched()));
        touched
    }

    /// Writes everything that this tick leads to into the outbox. `send` empties the outbox when it is full.
    pub fn flush(&mut self, now: Instant, outbox: &mut Outbox, send: &mut dyn FnMut(&mut Outbox)) {
        self.request_keyframes(now, outbox);
        self.run_channels(now, outbox);
        self.forward(now, outbox, send);
        self.pad(now, outbox, send);
        // What could not go on for want of a keyframe is known now.
        self.request_keyframes(now, outbox);
        self.move_on();
    }

    /// Tells other shards what is to be told, as far as their lanes have room.
    fn move_on(&mut self) {
        self.posts().into_iter().for_each(Post::move_on);
    }

    /// The lanes of all owners.
    fn posts(&mut self) -> [&mut dyn Post; 3] {
        [self.addresses.post(), self.tracks.post(), self.channels.post()]
    }

    /// Counters as of now, sizes included.
    pub fn counters(&mut self) -> &mut ShardCounters {
        let sizes = self.sizes();
        let counters = &mut self.ledger.counters;
        counters.sessions = sizes.sessions as u64;
        counters.publications = (sizes.publications as u64).saturating_sub(counters.replicas);
        counters.subscriptions = sizes.subscriptions as u64;
        counters.addresses = sizes.paths as u64;
        counters
    }

    /// Sizes of the tables.
    pub fn sizes(&self) -> TableSizes {
        TableSizes {
            sessions: self.sessions.len(),
            publications: self.tracks.publications(),
            subscriptions: self.tracks.subscriptions(),
            paths: self.addresses.proven(),
            paths_elsewhere: self.addresses.elsewhere(),
            ufrags: self.addresses.names(),
            dialled: self.addresses.dialled(),
            hubs: self.channels.hubs(),
        }
    }
}

#[cfg(test)]
mod tests;
