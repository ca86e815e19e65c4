//! Counters of one shard: plain numbers that only its thread touches; a copy leaves once a second.

use std::time::Duration;

use super::spread::Spread;
use super::tally::{Label, Tally, labels};
use crate::drop::{ChannelDrop, DropReason, RepairRefusal};
use crate::rtp::MediaKind;

/// Bounds of [`ShardCounters::round_trips`], seconds.
pub const ROUND_TRIP_BOUNDS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.0];
/// Bounds of [`ShardCounters::estimates`], bits per second.
pub const ESTIMATE_BOUNDS: [f64; 10] = [1e5, 2e5, 3e5, 5e5, 1e6, 2e6, 3e6, 5e6, 1e7, 2e7];
/// Bounds of [`ShardCounters::losses`].
pub const LOSS_BOUNDS: [f64; 7] = [0.0, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5];

impl Label for MediaKind {
    const ALL: &'static [Self] = &[Self::Audio, Self::Video];

    fn label(self) -> &'static str {
        Self::label(self)
    }

    fn place(self) -> usize {
        self as usize
    }
}

impl Label for RepairRefusal {
    const ALL: &'static [Self] = &Self::ALL;

    fn label(self) -> &'static str {
        Self::label(self)
    }

    fn place(self) -> usize {
        self as usize
    }
}

labels! {
    /// What became of a request for a packet.
    Retransmission {
        /// It was sent again, from the cache.
        Hit = "hit",
        /// The cache does not have it any more.
        Miss = "miss",
    }
}

labels! {
    /// What became of a wish for a keyframe.
    KeyframeOutcome {
        /// The publisher was asked.
        Sent = "sent",
        /// A request is under way.
        Merged = "merged",
        /// Nobody was asked: a newcomer begins with the one in the cache.
        Cached = "cached",
        /// The subscriber asks too often.
        Refused = "refused",
    }
}

labels! {
    /// What a subscriber told of a packet, by its transport-wide number.
    Reported {
        /// It has come.
        Arrived = "arrived",
        /// It has not come.
        Lost = "lost",
        /// It has come after all.
        Late = "late",
        /// Nothing is known of the number.
        Unknown = "unknown",
    }
}

labels! {
    /// What happened to a subscription's share of its client's path.
    ShareChange {
        /// It is given a better layer.
        Up = "up",
        /// It is given a lesser one.
        Down = "down",
        /// It is given none.
        Paused = "paused",
        /// It is given one again.
        Resumed = "resumed",
    }
}

labels! {
    /// What a timer of a shard was for.
    Wake {
        /// ICE, DTLS or SCTP of a session, or the end of a transport that did not get its keys.
        Engine = "engine",
        /// Reports and figures of a session, once a second.
        Reports = "reports",
        /// A data channel whose first message was not acknowledged.
        Channel = "channel",
        /// The end of a session that nobody has connected to, or from which nothing comes any more.
        Expiry = "expiry",
        /// A keyframe that did not come.
        Keyframe = "keyframe",
        /// A publisher that may have gone silent.
        Silence = "silence",
        /// Packets of the past for those who lag behind.
        Past = "past",
        /// Layers are looked over, since there is a choice or somebody waits.
        Layers = "layers",
        /// Packets that measure a client's path.
        Probe = "probe",
        /// Nothing: what it was for has moved on since.
        Moved = "moved",
    }
}

labels! {
    /// Which way something goes.
    Direction {
        /// From a client.
        Ingress = "ingress",
        /// To a client.
        Egress = "egress",
    }
}

labels! {
    /// Why a session has ended.
    SessionEnd {
        /// It never connected.
        NeverConnected = "never_connected",
        /// Nothing came from the client any more.
        TimedOut = "timed_out",
        /// The client ended DTLS.
        ClosedByClient = "closed_by_client",
        /// Its own code failed.
        Failed = "failed",
        /// By order of control.
        Deleted = "deleted",
    }
}

labels! {
    /// Why we have ended a subscription of a data channel.
    ChannelEnd {
        /// It could not keep up.
        Slow = "slow",
        /// A lane between shards was full.
        LaneFull = "lane_full",
        /// It was not acknowledged.
        Unacknowledged = "unacknowledged",
    }
}

labels! {
    /// Why a TCP connection has ended.
    TcpEnd {
        /// The client, or the network, ended it.
        ByClient = "by_client",
        /// It framed more than a datagram may have.
        Oversize = "oversize",
        /// No session has proven its address in time, or the session is over.
        Unproven = "unproven",
        /// It read too little of what was sent to it.
        SlowReader = "slow_reader",
        /// The kernel refused to serve it.
        Failed = "failed",
    }
}

labels! {
    /// What went wrong between the driver and the kernel.
    IoFault {
        /// A datagram could not be read.
        Unreadable = "unreadable",
        /// There was no free receive buffer.
        NoReceiveBuffer = "no_receive_buffer",
        /// A receive ended with another error.
        ReceiveError = "receive_error",
        /// The kernel refused a segmented send.
        Unsegmented = "unsegmented",
    }
}

/// Absolute totals and present sizes of one shard.
#[derive(Debug, Clone, Default)]
pub struct ShardCounters {
    /// Datagrams received.
    pub datagrams_in: u64,
    /// Bytes of datagrams received.
    pub bytes_in: u64,
    /// Datagrams sent.
    pub datagrams_out: u64,
    /// Bytes of datagrams sent.
    pub bytes_out: u64,
    /// System calls or ring entries that sent them.
    pub sends: u64,
    /// Datagrams sent, by how many left in one message: 1, 2 to 3, 4 to 7, 8 and more.
    pub together: [u64; 4],
    /// For each datagram sent, how many left in its message; the sum.
    pub together_sum: u64,
    /// Datagrams that the kernel dropped for want of room in a receive buffer.
    pub kernel_drops: u64,
    /// What went wrong between the driver and the kernel.
    pub io_faults: Tally<IoFault, { IoFault::COUNT }>,
    /// Round trips that subscribers reported, seconds.
    pub round_trips: Spread<10>,
    /// Share of packets lost that they reported.
    pub losses: Spread<7>,
    /// What the paths of subscribers carry by estimate, bits per second: each once a second.
    pub estimates: Spread<10>,
    /// Changes of what subscriptions have of their clients' paths.
    pub share_changes: Tally<ShareChange, { ShareChange::COUNT }>,
    /// Probes of paths.
    pub probes: u64,
    /// Packets that were sent for probes alone.
    pub probe_packets: u64,
    /// Datagrams that a router on their way has marked for congestion.
    pub congestion_marks: u64,
    /// RTP packets taken from publishers.
    pub rtp_in: Tally<MediaKind, 2>,
    /// RTP packets forwarded to subscribers.
    pub rtp_out: Tally<MediaKind, 2>,
    /// Packets dropped, by [`DropReason`].
    pub dropped: [u64; DropReason::ALL.len()],
    /// Packets that subscribers asked for again.
    pub retransmissions: Tally<Retransmission, { Retransmission::COUNT }>,
    /// Of these, requests that were not looked at or not answered.
    pub retransmissions_refused: Tally<RepairRefusal, { RepairRefusal::ALL.len() }>,
    /// Wishes for keyframes.
    pub keyframe_requests: Tally<KeyframeOutcome, { KeyframeOutcome::COUNT }>,
    /// Packets that subscribers told of by their transport-wide numbers.
    pub told: Tally<Reported, { Reported::COUNT }>,
    /// Timers that came due.
    pub wakes: Tally<Wake, { Wake::COUNT }>,
    /// Packets handed to other shards.
    pub lane_out: u64,
    /// Packets taken from other shards.
    pub lane_in: u64,
    /// Datagrams handed over to the shard that owns them.
    pub handed_over: u64,
    /// Sessions ended by a failure of their own code.
    pub session_failures: u64,
    /// Transports that reached DTLS keys.
    pub handshakes: u64,
    /// Sessions ended.
    pub sessions_ended: Tally<SessionEnd, { SessionEnd::COUNT }>,
    /// Sessions at present.
    pub sessions: u64,
    /// Publications at present that are fed here.
    pub publications: u64,
    /// Replicas of publications of other shards at present.
    pub replicas: u64,
    /// Subscriptions at present.
    pub subscriptions: u64,
    /// Entries of the address table at present.
    pub addresses: u64,
    /// TCP connections at present.
    pub tcp_connections: u64,
    /// Bytes on TCP connections, framing included.
    pub tcp_bytes: Tally<Direction, { Direction::COUNT }>,
    /// TCP connections ended.
    pub tcp_closed: Tally<TcpEnd, { TcpEnd::COUNT }>,
    /// Messages of data channels: taken from clients, and queued for them.
    pub channel_messages: Tally<Direction, { Direction::COUNT }>,
    /// Bytes of these.
    pub channel_bytes: Tally<Direction, { Direction::COUNT }>,
    /// Messages of data channels that went no further, by [`ChannelDrop`].
    pub channel_dropped: [u64; ChannelDrop::ALL.len()],
    /// Subscriptions of data channels that were ended by us.
    pub channels_ended: Tally<ChannelEnd, { ChannelEnd::COUNT }>,
    /// Data channels in use at present.
    pub channels: u64,
    /// Nanoseconds spent working (not waiting).
    pub busy_ns: u64,
    /// Whether segmentation offload is in use.
    pub gso: bool,
    /// Whether the kernel brings datagrams of a shared port to their owners.
    pub steering: bool,
}

impl ShardCounters {
    /// Counts a message of a data channel with so many bytes.
    pub fn message(&mut self, direction: Direction, bytes: usize) {
        self.channel_messages.count(direction);
        self.channel_bytes.add(direction, bytes as u64);
    }

    /// Counts messages of data channels that were dropped.
    pub fn drop_messages(&mut self, reason: ChannelDrop, messages: usize) {
        if let Some(count) = self.channel_dropped.get_mut(reason as usize) {
            *count += messages as u64;
        }
    }

    /// Counts what a subscriber reports of a stream.
    pub fn reported(&mut self, round_trip: Option<Duration>, fraction_lost: f64) {
        if let Some(time) = round_trip {
            self.round_trips.observe(&ROUND_TRIP_BOUNDS, time.as_secs_f64());
        }
        self.losses.observe(&LOSS_BOUNDS, fraction_lost);
    }

    /// Counts packets that were dropped for one reason.
    pub fn drop_packets(&mut self, reason: DropReason, packets: usize) {
        if let Some(count) = self.dropped.get_mut(reason as usize) {
            *count += packets as u64;
        }
    }

    /// Counts one dropped packet.
    pub fn drop(&mut self, reason: DropReason) {
        if let Some(count) = self.dropped.get_mut(reason as usize) {
            *count += 1;
        }
    }
}
