//! The catalogue: every metric with its name, help and labels. Nothing is exported that does not stand here.

/// What a metric is, in the terms of the exposition format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// How often a value lay in which bucket.
    Histogram,
}

/// One metric of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Full name with unit.
    pub name: &'static str,
    /// What it counts, as shown in the exposition.
    pub help: &'static str,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// Label names; each takes its values from a small closed set.
    pub labels: &'static [&'static str],
}

macro_rules! catalogue {
    ($($(#[doc = $help:literal])+ $id:ident = $kind:ident $name:literal [$($label:literal),*];)+) => {
        $($(#[doc = $help])+ pub const $id: Metric = Metric {
            name: $name,
            help: concat!($($help),+).trim_ascii_start(),
            kind: Kind::$kind,
            labels: &[$($label),*],
        };)+
        /// All metrics, in the order of the catalogue.
        pub const ALL: &[Metric] = &[$($id),+];
    };
}

catalogue! {
    /// Constant 1, labelled with the version that runs and the commit that it was built from.
    BUILD_INFO = Gauge "ringcast_build_info" ["version", "commit"];
    /// Constant 1, labelled with the system calls that carry datagrams: io_uring or mmsg.
    IO_BACKEND = Gauge "ringcast_io_backend" ["backend"];
    /// Lines of the log that nobody read in time or that could not be written.
    LOG_LINES_LOST = Counter "ringcast_log_lines_lost_total" [];
    /// Whether a kernel offload is in use on a shard.
    OFFLOAD_ENABLED = Gauge "ringcast_offload_enabled" ["feature", "shard"];
    /// Datagrams received and sent by the media sockets.
    DATAGRAMS = Counter "ringcast_datagrams_total" ["direction"];
    /// Bytes of datagrams received and sent by the media sockets.
    DATAGRAM_BYTES = Counter "ringcast_datagram_bytes_total" ["direction"];
    /// Messages handed to the kernel for sending; one may carry many datagrams.
    SENDS = Counter "ringcast_sends_total" [];
    /// Datagrams that left in one message, itself included; each datagram sent is one observation.
    DATAGRAMS_TOGETHER = Histogram "ringcast_datagrams_sent_together" [];
    /// Datagrams that the kernel dropped because the receive buffer of a media socket was full; joined ones count as one.
    KERNEL_DROPS = Counter "ringcast_kernel_receive_drops_total" ["shard"];
    /// What went wrong between the media sockets and the kernel, by kind.
    IO_FAULTS = Counter "ringcast_io_faults_total" ["kind"];
    /// Time from the server to a subscriber and back, by the subscriber's reports on what it receives.
    ROUND_TRIP_SECONDS = Histogram "ringcast_subscriber_round_trip_seconds" [];
    /// Share of packets lost on the way to a subscriber, by its reports: 0 for none, 1 for all since the report before.
    LOSS_RATIO = Histogram "ringcast_subscriber_loss_ratio" [];
    /// What the path to a subscriber that receives video carries by estimate, bits per second; each once a second.
    ESTIMATE_BPS = Histogram "ringcast_subscriber_estimate_bps" [];
    /// Video subscriptions that were given a better layer, a lesser one, none, or one again, as their clients' paths are divided.
    SHARE_CHANGES = Counter "ringcast_share_changes_total" ["change"];
    /// Probes of what the paths to subscribers carry.
    PROBES = Counter "ringcast_probes_total" [];
    /// Packets that were sent for probes alone.
    PROBE_PACKETS = Counter "ringcast_probe_packets_total" [];
    /// Datagrams received that a router on their way has marked for congestion (ECN).
    CONGESTION_MARKS = Counter "ringcast_congestion_marks_total" [];
    /// RTP packets taken from publishers and forwarded to subscribers.
    RTP_PACKETS = Counter "ringcast_rtp_packets_total" ["direction", "kind"];
    /// Datagrams and packets that went no further, by reason.
    DROPPED = Counter "ringcast_dropped_total" ["reason"];
    /// Packets that subscribers asked for again: served from the cache, or no longer there.
    RETRANSMISSIONS = Counter "ringcast_retransmissions_total" ["result"];
    /// Packets that subscribers asked for again and that were not sent, by reason.
    RETRANSMISSIONS_REFUSED = Counter "ringcast_retransmissions_refused_total" ["reason"];
    /// Packets of video of which subscribers told what became, by transport-wide feedback.
    REPORTED = Counter "ringcast_reported_packets_total" ["result"];
    /// Wishes for keyframes: sent to publishers, merged into a request under way, answered from the cache, refused to subscribers that ask too often.
    KEYFRAME_REQUESTS = Counter "ringcast_keyframe_requests_total" ["outcome"];
    /// Timers of sessions and publications that came due, by what they were for.
    TIMERS = Counter "ringcast_timers_total" ["reason"];
    /// Packets handed from shard to shard.
    LANE_PACKETS = Counter "ringcast_lane_packets_total" ["direction"];
    /// Messages of data channels taken from clients and passed on to clients.
    CHANNEL_MESSAGES = Counter "ringcast_channel_messages_total" ["direction"];
    /// Bytes of these messages.
    CHANNEL_BYTES = Counter "ringcast_channel_bytes_total" ["direction"];
    /// Messages of data channels that went no further, by reason.
    CHANNEL_DROPPED = Counter "ringcast_channel_dropped_total" ["reason"];
    /// Subscriptions of data channels that the server ended, by reason.
    CHANNELS_ENDED = Counter "ringcast_channels_ended_total" ["reason"];
    /// Data channels in use at present, those that clients opened included.
    CHANNELS = Gauge "ringcast_channels" ["shard"];
    /// Datagrams that came to another shard than their owner's and were handed over; only on a shared port.
    HANDED_OVER = Counter "ringcast_handed_over_datagrams_total" [];
    /// Transports that reached DTLS keys.
    HANDSHAKES = Counter "ringcast_handshakes_total" [];
    /// Sessions ended by a failure of their own code.
    SESSION_FAILURES = Counter "ringcast_session_failures_total" [];
    /// Sessions ended, by reason.
    SESSIONS_ENDED = Counter "ringcast_sessions_ended_total" ["reason"];
    /// Sessions at present.
    SESSIONS = Gauge "ringcast_sessions" ["shard"];
    /// Publications at present, each on the shard of its session.
    PUBLICATIONS = Gauge "ringcast_publications" ["shard"];
    /// Replicas at present of publications of other shards: one for each such publication that is received here.
    REPLICAS = Gauge "ringcast_publication_replicas" ["shard"];
    /// Subscriptions at present.
    SUBSCRIPTIONS = Gauge "ringcast_subscriptions" ["shard"];
    /// Proven client addresses at present.
    ADDRESSES = Gauge "ringcast_addresses" ["shard"];
    /// TCP connections of clients at present.
    TCP_CONNECTIONS = Gauge "ringcast_tcp_connections" ["shard"];
    /// Bytes on TCP connections of clients, framing included.
    TCP_BYTES = Counter "ringcast_tcp_bytes_total" ["direction"];
    /// TCP connections of clients ended, by reason.
    TCP_CLOSED = Counter "ringcast_tcp_closed_total" ["reason"];
    /// TCP connections that were not taken, by reason.
    TCP_REFUSED = Counter "ringcast_tcp_refused_total" ["reason"];
    /// Seconds that a shard spent working rather than waiting.
    SHARD_BUSY_SECONDS = Counter "ringcast_shard_busy_seconds_total" ["shard"];
    /// What the configuration allows at the same time.
    LIMIT = Gauge "ringcast_limit" ["resource"];
    /// How much of it is in use.
    LIMIT_USED = Gauge "ringcast_limit_used" ["resource"];
    /// Memory that this process may use: the least of what its control groups allow and what the machine has.
    MEMORY_LIMIT = Gauge "ringcast_memory_limit_bytes" [];
    /// Time on a CPU, in user space and in the kernel.
    PROCESS_CPU = Counter "process_cpu_seconds_total" [];
    /// Memory in use.
    PROCESS_RESIDENT = Gauge "process_resident_memory_bytes" [];
    /// Address space in use.
    PROCESS_VIRTUAL = Gauge "process_virtual_memory_bytes" [];
    /// Descriptors that are open.
    PROCESS_OPEN_FDS = Gauge "process_open_fds" [];
    /// Descriptors that may be open.
    PROCESS_MAX_FDS = Gauge "process_max_fds" [];
    /// Threads of the process.
    PROCESS_THREADS = Gauge "process_threads" [];
    /// When the process began, in seconds since 1970.
    PROCESS_START = Gauge "process_start_time_seconds" [];
    /// Requests of the API refused for lack of authority, by reason.
    API_REFUSED = Counter "ringcast_api_refused_total" ["reason"];
    /// Connections of the API that the server refused or closed, by reason.
    API_CONNECTIONS_ENDED = Counter "ringcast_api_connections_ended_total" ["reason"];
    /// Sessions that were not made, by the bound that was reached.
    SESSIONS_REFUSED = Counter "ringcast_sessions_refused_total" ["bound"];
    /// Time to answer a request of the API.
    API_REQUEST_SECONDS = Histogram "ringcast_api_request_duration_seconds" ["route", "status"];
}

/// Why a connection of the API was refused or closed: the label of [`API_CONNECTIONS_ENDED`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// Its address had as many as it may have.
    Crowded,
    /// It had no request for too long.
    Idle,
    /// It was idle while another waited for a place.
    GaveWay,
}

impl ConnectionEnd {
    /// All of them, in their order.
    pub const ALL: [Self; 3] = [Self::Crowded, Self::Idle, Self::GaveWay];

    /// Its label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Crowded => "crowded",
            Self::Idle => "idle",
            Self::GaveWay => "gave_way",
        }
    }
}

/// The bound that a new session met: the label of [`SESSIONS_REFUSED`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionBound {
    /// All sessions of the node.
    Node,
    /// Sessions of the node that have not connected yet.
    Connecting,
    /// Sessions of one application, connected or not.
    App,
    /// Sessions of one owner of tokens, connected or not.
    Owner,
    /// Sessions of one address, connected or not.
    Address,
}

impl SessionBound {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [Self::Node, Self::Connecting, Self::App, Self::Owner, Self::Address];

    /// Its label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Connecting => "connecting",
            Self::App => "app",
            Self::Owner => "owner",
            Self::Address => "address",
        }
    }
}

/// Values of the label of [`API_REFUSED`].
pub const DENIALS: [&str; 18] = [
    "missing",
    "unknown",
    "expired",
    "not_yet_valid",
    "lifetime",
    "audience",
    "wrong_app",
    "claims",
    "session",
    "one_session",
    "secret_only",
    "publish",
    "subscribe",
    "publish_data",
    "subscribe_data",
    "whip",
    "whep",
    "rooms",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        for metric in ALL {
            // The names of the second kind are the same for every program.
            let known = metric.name.starts_with("ringcast_") || metric.name.starts_with("process_");
            assert!(known, "{}", metric.name);
            assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter, "{}", metric.name);
            assert!(metric.help.ends_with('.') && metric.help.len() > 10, "{}: {}", metric.name, metric.help);
        }
        let mut names: Vec<_> = ALL.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
