//! The HTTP API beside the way of the packets: it turns requests into plans and commands for shards.
//!
//! Owns sessions, publications and their states as clients see them, one negotiation per session, and the order
//! of requests on one session. It must not know sockets of media, the engine of a session, or a shard's tables:
//! all it can do to media is to send a [`Command`]. Media goes on when everything here stands still.
//! A request goes `http` -> `operations` -> `draft` -> shard; what shards report comes back through `events`.

#![expect(
    clippy::disallowed_types,
    reason = "no packet passes here; the std mutexes below guard tables for a few map operations and are never \
              held across an await"
)]

pub mod access;
pub mod admin;
pub mod error;
mod events;
pub mod http;
pub mod model;
mod operations;
pub mod registry;
pub mod serve;
mod session;
pub mod turn;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use crate::config::{Http, Limits, Whep, Whip};
use crate::ids::{NodeKeys, PublicationId, SessionId, ShardId};
use crate::metrics::export::{Metrics, Usage};
use crate::negotiation::LocalTransport;
use crate::plan::SessionPlan;
use crate::rtp::MediaKind;
use crate::shard::command::{Command, ConfigureError, Description, DialledSocket, ShardLimits};

use access::apps::Apps;
use error::ApiError;
use registry::Registry;
use registry::placement::Placement;
use registry::places::Places;
use registry::rooms::Rooms;
use registry::stages::Stages;
use registry::streams::Streams;
use session::channels::Groups;
use turn::IceServers;

/// How long a shard may take to answer a command before the request is given up.
const SHARD_REPLY: Duration = Duration::from_secs(5);
/// Sessions that call out at most, whatever the limit.
const CALLS_MAX: usize = 16_000;
/// How long a full command queue of a shard is waited for.
const SHARD_QUEUE: Duration = Duration::from_secs(2);
/// Pause between two attempts on a full command queue.
const SHARD_RETRY: Duration = Duration::from_millis(2);

/// The way to one shard. Tests put a scripted one in place of a thread.
pub trait ShardPort: Send + Sync + 'static {
    /// Hands a command over in order, or gives it back when the queue is full.
    fn send(&self, command: Command) -> Result<(), Command>;
}

/// The way to sockets for sessions that call out to another server.
pub trait Dialler: Send + Sync + 'static {
    /// Binds a free port of every local address, and tells under which address the other side sees it.
    ///
    /// # Errors
    /// When the system gives none, with cause and remedy.
    fn dial(&self) -> anyhow::Result<Vec<(DialledSocket, SocketAddr)>>;
}

/// What control needs to know of one shard.
pub struct ShardLink {
    /// The way to it.
    pub port: Arc<dyn ShardPort>,
    /// What descriptions say of its sockets.
    pub local: Arc<LocalTransport>,
}

/// What control is made of.
pub struct Settings {
    /// The HTTP part of the configuration.
    pub http: Http,
    /// Bounds and times.
    pub limits: Limits,
    /// STUN and TURN servers for clients.
    pub ice: IceServers,
    /// How streams are published.
    pub whip: Whip,
    /// How streams are played.
    pub whep: Whep,
    /// Applications and their secrets.
    pub apps: Apps,
    /// Shards in the order of their ids.
    pub shards: Vec<ShardLink>,
    /// Where sessions that call out get their sockets.
    pub dialler: Box<dyn Dialler>,
    /// Maker and reader of ids and credentials.
    pub keys: Arc<NodeKeys>,
    /// Where figures of requests and shards are kept.
    pub metrics: Metrics,
}

/// What an operator may change while sessions go on.
pub struct Rules {
    /// Bounds and times.
    pub limits: Limits,
    /// STUN and TURN servers for clients.
    pub ice: IceServers,
    /// How streams are published.
    pub whip: Whip,
    /// How streams are played.
    pub whep: Whep,
    /// Applications and their secrets.
    pub apps: Apps,
}

/// The state of the API, shared by all requests.
pub struct Control {
    http: Http,
    /// What an operator may change while sessions go on; each use takes the rules of its moment.
    rules: Mutex<Arc<Rules>>,
    shards: Vec<ShardLink>,
    dialler: Box<dyn Dialler>,
    /// A place for each session that calls out; how many may be taken is one of the limits.
    calls: Arc<Semaphore>,
    keys: Arc<NodeKeys>,
    registry: Registry,
    placement: Placement,
    places: Arc<Places>,
    rooms: Rooms,
    groups: Groups,
    streams: Streams,
    stages: Stages,
    /// What seats show in which nobody sits: publications that nobody ever feeds.
    nothing: [PublicationId; 2],
    metrics: Metrics,
    /// The places of connections to the API.
    connections: Arc<serve::Room>,
    draining: AtomicBool,
}

impl Control {
    /// Makes an empty state.
    pub fn new(settings: Settings) -> Arc<Self> {
        let Settings { http, limits, ice, whip, whep, apps, shards, dialler, keys, metrics } = settings;
        Arc::new(Self {
            placement: Placement::new(shards.len()),
            places: Arc::default(),
            rooms: Rooms::new(&limits),
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            groups: Groups::default(),
            connections: serve::Room::new(serve::Bounds::from(&http), &metrics),
            http,
            rules: Mutex::new(Arc::new(Rules { limits, ice, whip, whep, apps })),
            shards,
            dialler,
            registry: Registry::default(),
            streams: Streams::default(),
            stages: Stages::default(),
            nothing: [keys.mint_publication(), keys.mint_publication()],
            metrics,
            keys,
            draining: AtomicBool::new(false),
        })
    }

    /// Refuses new sessions from here on and reports not ready; requests on present sessions go on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// What is in force at this moment.
    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&locked(&self.rules))
    }

    /// Puts other rules into force. They are about what comes; no session ends by them.
    pub async fn adopt(&self, rules: Rules) {
        self.rooms.set_bounds(&rules.limits);
        let limits = shard_limits(&rules.limits);
        *locked(&self.rules) = Arc::new(rules);
        for shard in (0..=u8::MAX).zip(&self.shards).map(|(shard, _)| ShardId(shard)) {
            // A shard that takes nothing is told in the log by the attempt.
            let _overloaded = self.send(shard, Command::Limits(limits.clone())).await;
        }
    }

    /// Sessions that there are.
    pub fn sessions(&self) -> usize {
        self.registry.session_count()
    }

    /// Ends all sessions, and tells their clients. Event streams and whoever waits for a session end with them.
    pub async fn say_goodbye(&self) {
        self.drain();
        while let Some(id) = self.registry.any_session() {
            self.end_session(id, "server stopped");
        }
        self.stages.close_all();
        let mut answers = Vec::new();
        for shard in (0..=u8::MAX).zip(&self.shards).map(|(shard, _)| ShardId(shard)) {
            let (reply, answer) = oneshot::channel();
            if self.send(shard, Command::Goodbye { reply }).await.is_ok() {
                answers.push(answer);
            }
        }
        for answer in answers {
            // Clients of a shard that does not answer find out by themselves.
            let _late = tokio::time::timeout(SHARD_REPLY, answer).await;
        }
    }

    /// Whether every shard has reported and no drain has begun.
    pub fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Relaxed) && self.metrics.all_reported()
    }

    /// The figures that this state writes to.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The places of connections to the API, for its listeners.
    pub fn connections(&self) -> &Arc<serve::Room> {
        &self.connections
    }

    /// Sessions that call out.
    fn calls(&self) -> usize {
        CALLS_MAX.saturating_sub(self.calls.available_permits())
    }

    /// How much of what the configuration allows is in use.
    fn usages(&self) -> Vec<Usage> {
        let rules = self.rules();
        let limits = &rules.limits;
        let usage = |resource, used, limit| Usage { resource, used, limit };
        vec![
            usage("sessions", self.registry.session_count(), limits.sessions.size()),
            usage("connecting_sessions", self.places.connecting(), limits.connecting_sessions.size()),
            usage("thirdparty_sessions", self.calls(), limits.thirdparty_sessions.size()),
            usage("http_connections", self.connections.connections(), self.connections.size()),
            usage("tcp_connections", self.metrics.tcp_connections(), limits.tcp_connections.size()),
            usage("rooms", self.rooms.count(), limits.rooms.size()),
        ]
    }

    /// Reads the id of a session of this process; `None` when it cannot be one.
    fn parse_id(&self, text: &str) -> Option<SessionId> {
        SessionId::parse(text).filter(|id| self.keys.shard_of(id).is_some())
    }

    fn link(&self, shard: ShardId) -> Result<&ShardLink, ApiError> {
        self.shards.get(usize::from(shard.0)).ok_or(ApiError::Internal)
    }

    /// Hands a command to a shard; waits for a while when its queue is full.
    async fn send(&self, shard: ShardId, command: Command) -> Result<(), ApiError> {
        let port = &self.link(shard)?.port;
        let mut command = command;
        let attempts = SHARD_QUEUE.as_millis() / SHARD_RETRY.as_millis();
        for _ in 0..attempts {
            match port.send(command) {
                Ok(()) => return Ok(()),
                Err(returned) => command = returned,
            }
            tokio::time::sleep(SHARD_RETRY).await;
        }
        tracing::warn!(shard = shard.0, "the command queue of a shard stays full");
        Err(ApiError::Overloaded)
    }

    /// Hands a command over if the shard takes it at once.
    fn try_send(&self, shard: ShardId, command: Command) {
        if let Ok(link) = self.link(shard)
            && link.port.send(command).is_err()
        {
            tracing::debug!(shard = shard.0, "the command queue of a shard is full");
        }
    }

    /// What a seat shows in which nobody sits.
    fn nothing(&self, kind: MediaKind) -> PublicationId {
        let [audio, video] = self.nothing;
        match kind {
            MediaKind::Audio => audio,
            MediaKind::Video => video,
        }
    }

    /// Brings a session to a plan and waits until it is in force. `before` is the plan that was in force, if any.
    async fn configure(
        &self,
        session: SessionId,
        shard: ShardId,
        plan: SessionPlan,
        before: Option<&SessionPlan>,
    ) -> Result<(), ApiError> {
        let (reply, answer) = oneshot::channel();
        let text = &plan.transport.ingress_offer;
        let is_new = before.is_none_or(|before| before.transport.ingress_offer != *text);
        let description = is_new.then(|| Description::read(text)).flatten().map(Box::new);
        self.send(shard, Command::Configure { session, plan: Box::new(plan), description, reply }).await?;
        match tokio::time::timeout(SHARD_REPLY, answer).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(ConfigureError::SessionGone | ConfigureError::Failed))) | Ok(Err(_)) => {
                self.end_session(session, "failed");
                Err(ApiError::SessionGone)
            }
            Ok(Ok(Err(ConfigureError::Refused(cause)))) => {
                tracing::debug!(%session, cause, "a shard refused a description");
                Err(ApiError::description("the description cannot be carried out", None))
            }
            Err(_) => {
                tracing::warn!(shard = shard.0, "a shard did not answer in time");
                Err(ApiError::Overloaded)
            }
        }
    }

    /// Why a session ends that its client never learned of: its first request is refused.
    const NOT_OPENED: &'static str = "not opened";

    /// Forgets a session that has ended on its shard, and ends its publications for everyone.
    fn end_session(&self, id: SessionId, reason: &'static str) {
        self.streams.ended(id);
        self.stages.ended(id);
        if let Some(session) = self.registry.remove_session(id) {
            if reason != Self::NOT_OPENED {
                tracing::info!(
                    session = %id,
                    app = &*session.app,
                    subject = session.origin.subject.as_deref(),
                    correlation = session.origin.correlation.as_deref(),
                    reason,
                    connected = session.is_connected(),
                    seconds = session.age().as_secs(),
                    "session ended"
                );
            }
            self.placement.released(session.shard);
            for publication in session.end() {
                self.registry.forget(&publication);
            }
        }
    }
}

/// What a shard is told of the limits.
pub fn shard_limits(limits: &Limits) -> ShardLimits {
    ShardLimits {
        never_connected: Duration::from_secs(limits.never_connected_seconds.get()),
        disconnected: Duration::from_secs(limits.disconnected_seconds.get()),
        publication_idle: Duration::from_secs(limits.publication_idle_seconds.get()),
        sessions: limits.sessions.size(),
    }
}

/// Takes a std mutex whatever happened to the thread that held it before: the tables stay consistent between
/// statements, so a panic elsewhere does not spoil them.
fn locked<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
