//! The whole vocabulary between control and a shard: values only, never a handle into a shard's tables.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::oneshot;
use utoipa::ToSchema;

use crate::ids::{IceCredentials, PublicationId, SessionId, ShardId};
use crate::metrics::shard::ShardCounters;
pub use crate::net::dialled::DialledSocket;
use crate::plan::SessionPlan;
pub use crate::session::Description;
use crate::speakers::Activity;

/// What control asks of a shard. Delivered in order, never lost.
#[derive(Debug)]
pub enum Command {
    /// Makes a session known; it waits for its first plan.
    Open {
        /// Its id, whose shard is this one.
        session: SessionId,
        /// Sockets of its own, if it calls out to another server; otherwise a client calls it by those of the shard.
        dialled: Vec<DialledSocket>,
        /// Credentials of ours that an offer may name before there is a plan: checks come no later than the answer.
        credentials: Option<IceCredentials>,
    },
    /// Brings a session to the given plan.
    Configure {
        /// The session.
        session: SessionId,
        /// Its whole desired state.
        plan: Box<SessionPlan>,
        /// The description in the plan, read, when it is a new one; without it the shard reads that itself.
        description: Option<Box<Description>>,
        /// Answered when the plan is in force.
        reply: oneshot::Sender<Result<(), ConfigureError>>,
    },
    /// Has the levels of a publication that is fed there reported, or no more.
    Listen {
        /// The publication.
        publication: PublicationId,
        /// Whether they are wanted.
        listens: bool,
    },
    /// Ends a session: its media stops, its publications end, its client is told.
    Close {
        /// The session.
        session: SessionId,
    },
    /// Has other limits hold from here on; no session ends by that at once.
    Limits(ShardLimits),
    /// Ends all sessions, and tells their clients.
    Goodbye {
        /// Receives how many there were.
        reply: oneshot::Sender<usize>,
    },
    /// Asks where the clients of some sessions are; those that are not connected are left out of the answer.
    Locate {
        /// The sessions.
        sessions: Vec<SessionId>,
        /// Receives what is known.
        reply: oneshot::Sender<Vec<(SessionId, Whereabouts)>>,
    },
    /// Asks for the figures of one session; `None` when it is gone.
    Statistics {
        /// The session.
        session: SessionId,
        /// Receives the figures.
        reply: oneshot::Sender<Option<SessionStatistics>>,
    },
}

/// Where the client of a session is at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whereabouts {
    /// Its address.
    pub address: SocketAddr,
    /// What carries its datagrams: `udp` or `tcp`.
    pub carrier: &'static str,
}

/// Why a plan could not be put into force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigureError {
    /// The session has ended.
    #[error("the session has ended")]
    SessionGone,
    /// The ingress engine refused the description.
    #[error("the description was refused: {0}")]
    Refused(String),
    /// The session failed inside and was ended.
    #[error("the session failed and was ended")]
    Failed,
}

/// What a shard tells control.
#[derive(Debug)]
pub enum Event {
    /// ICE and DTLS of a session are up (again).
    Connected(SessionId),
    /// A session has ended by itself; it is already gone from the shard.
    Ended(SessionId, EndReason),
    /// RTP of a publication has begun (again).
    PublicationLive(PublicationId),
    /// No RTP came for the publication timeout.
    PublicationIdle(PublicationId),
    /// How much speech there is in publications that are listened to: those in which that has changed. The next report
    /// comes when this one is taken.
    Levels {
        /// Each publication once.
        heard: Vec<Heard>,
        /// To be dropped, or answered, when the report is taken.
        receipt: oneshot::Sender<()>,
    },
    /// A data channel of a session has changed.
    Channel(SessionId, u16, ChannelState),
    /// Counters of one shard, absolute, once a second.
    Report(ShardId, Box<ShardCounters>),
}

/// What is heard of a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// The publication.
    pub publication: PublicationId,
    /// How much speech there was.
    pub activity: Activity,
}

/// What became of a stream of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelState {
    /// A planned channel can carry messages.
    Open,
    /// A planned channel carries nothing any more; its stream is not free yet.
    Ended,
    /// The client has opened a channel in band on this stream.
    Taken,
    /// The stream is free.
    Free,
}

/// Why a session ended without being asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// It never connected within its time.
    NeverConnected,
    /// Nothing authenticated came from the client for the idle time.
    TimedOut,
    /// The client ended DTLS and did not come back.
    ClosedByClient,
    /// Its code failed; no other session is touched.
    Failed,
}

/// Figures of one session (API `ext/sessions/{id}/stats`).
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionStatistics {
    /// Shard that owns the session.
    pub shard: u8,
    /// Whether ICE and DTLS are up.
    pub connected: bool,
    /// The client's address in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    pub remote_address: Option<SocketAddr>,
    /// What kept the client from connecting, as far as that is known, such as an error of its DTLS; absent once it has
    /// connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub refusal: Option<String>,
    /// Our address in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    pub local_address: Option<SocketAddr>,
    /// SRTP protection profile in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub srtp_profile: Option<String>,
    /// Age of the session, milliseconds.
    pub age_ms: u64,
    /// Transports that the session has had.
    pub transports: u32,
    /// What is known of the client's path; absent while it receives no video.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub path: Option<PathStatistics>,
    /// Tracks that the client publishes.
    pub local: Vec<IngressStatistics>,
    /// Tracks that the client receives.
    pub remote: Vec<EgressStatistics>,
}

/// What is known of the path to a client that receives video. Rates are bits per second with the headers of IP and UDP.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PathStatistics {
    /// What may be sent.
    pub estimate_bps: u64,
    /// What the path carried when it was last full; absent while that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub capacity_bps: Option<u64>,
    /// What it would take to send what is sent now; 0 before rates are known.
    pub needed_bps: u64,
    /// What it would take to send all that is wanted.
    pub wanted_bps: u64,
    /// Share lost in the last second, percent.
    pub loss_percent: f64,
    /// How much longer packets take than they did at best, milliseconds.
    pub queue_ms: f64,
    /// Whether a probe is under way.
    pub probing: bool,
    /// What holds the estimate where it is: `starting`, `growing`, `holding` (a queue empties), `congested`, `lossy`, `silent`.
    pub state: &'static str,
    /// Why it changed last: `start`, `growth`, `probe`, `overuse`, `loss`, `rtt`, `outage`, `remb`, `path`.
    pub reason: &'static str,
    /// Milliseconds since then.
    pub changed_ms_ago: u64,
}

/// Figures of one published layer.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IngressStatistics {
    /// Section.
    pub mid: String,
    /// Simulcast layer; absent without simulcast.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub rid: Option<String>,
    /// SSRC in use.
    pub ssrc: u32,
    /// Codec of the newest packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub codec: Option<String>,
    /// Packets received.
    pub packets: u64,
    /// Payload bytes received.
    pub bytes: u64,
    /// Bits per second over the last second.
    pub bitrate_bps: u64,
    /// Packets missing for good so far.
    pub lost: u64,
    /// Interarrival jitter, milliseconds (RFC 3550 6.4.1).
    pub jitter_ms: f64,
    /// Keyframes seen.
    pub keyframes: u64,
    /// Keyframe requests sent to the publisher.
    pub keyframe_requests: u64,
    /// Milliseconds since the newest packet; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub idle_ms: Option<u64>,
}

/// Figures of one subscription.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EgressStatistics {
    /// Section.
    pub mid: String,
    /// Our SSRC.
    pub ssrc: u32,
    /// Packets sent.
    pub packets: u64,
    /// Payload bytes sent.
    pub bytes: u64,
    /// Bits per second over the last second.
    pub bitrate_bps: u64,
    /// Layer being forwarded; absent without simulcast or when nothing is forwarded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub rid: Option<String>,
    /// Layer that is to be forwarded, from its next keyframe on; absent without simulcast or when none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub target_rid: Option<String>,
    /// Why this layer: `only`, `best`, `pinned`, `fallback`, `switching`, `waiting`; `bandwidth`: the client's path carries no
    /// better one; `paused`: nothing is sent, since the path does not carry the cheapest; `overBudget`: it is more than the path
    /// carries, and sent all the same, since it is pinned or the only picture; or `no_codec`: nothing is sent, since the client
    /// takes none of the codecs that the track is sent in.
    pub layer_reason: String,
    /// Share of packets that the client reported lost in its newest report, 0 to 1.
    pub fraction_lost: f64,
    /// Packets that the client reported lost in all.
    pub lost: i64,
    /// Round-trip time by the client's newest report, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub rtt_ms: Option<f64>,
    /// Jitter that the client reported, milliseconds.
    pub jitter_ms: f64,
    /// Packets that the client asked for again.
    pub nacks: u64,
    /// Of these, sent again.
    pub retransmissions: u64,
    /// Of these, not sent again: asked for too often or too late, or more than a quarter of what is sent to the client.
    pub retransmissions_refused: u64,
    /// Keyframe requests of the client.
    pub keyframe_requests: u64,
}

impl EgressStatistics {
    /// The `layer_reason` of a section whose client takes no codec that the track is sent in.
    pub const NO_CODEC: &str = "no_codec";

    /// The figures of such a section in which nothing was ever sent.
    pub fn unplayable(mid: String) -> Self {
        Self { mid, layer_reason: Self::NO_CODEC.to_owned(), ..Self::default() }
    }
}

/// Life-cycle times and bounds of a shard (API limits).
#[derive(Debug, Clone)]
pub struct ShardLimits {
    /// A session that never connected ends after this.
    pub never_connected: Duration,
    /// A session from which nothing authenticated comes ends after this.
    pub disconnected: Duration,
    /// A publication without RTP becomes idle after this.
    pub publication_idle: Duration,
    /// Sessions on the shard.
    pub sessions: usize,
}
