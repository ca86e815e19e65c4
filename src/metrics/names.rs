//! The catalogue: every metric with its name, help and labels. Nothing is exported that does not stand here.

/// What a metric is, in the terms of the exposition format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Durations by bucket.
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
    /// Constant 1, labelled with the version that runs.
    BUILD_INFO = Gauge "ringcast_build_info" ["version"];
    /// Constant 1, labelled with the system calls that carry datagrams: io_uring or mmsg.
    IO_BACKEND = Gauge "ringcast_io_backend" ["backend"];
    /// Whether a kernel offload is in use on a shard.
    OFFLOAD_ENABLED = Gauge "ringcast_offload_enabled" ["feature", "shard"];
    /// Datagrams received and sent by the media sockets.
    DATAGRAMS = Counter "ringcast_datagrams_total" ["direction"];
    /// Bytes of datagrams received and sent by the media sockets.
    DATAGRAM_BYTES = Counter "ringcast_datagram_bytes_total" ["direction"];
    /// Messages handed to the kernel for sending; one may carry many datagrams.
    SENDS = Counter "ringcast_sends_total" [];
    /// Datagrams sent, by the least number that left in the same message: 1, 2, 4, 8.
    DATAGRAMS_TOGETHER = Counter "ringcast_datagrams_sent_together_total" ["at_least"];
    /// Datagrams received that a router on their way has marked for congestion (ECN).
    CONGESTION_MARKS = Counter "ringcast_congestion_marks_total" [];
    /// RTP packets taken from publishers and forwarded to subscribers.
    RTP_PACKETS = Counter "ringcast_rtp_packets_total" ["direction", "kind"];
    /// Datagrams and packets that went no further, by reason.
    DROPPED = Counter "ringcast_dropped_total" ["reason"];
    /// Packets that subscribers asked for again: served from the cache, or no longer there.
    RETRANSMISSIONS = Counter "ringcast_retransmissions_total" ["result"];
    /// Keyframe requests sent to publishers, and those merged into one under way.
    KEYFRAME_REQUESTS = Counter "ringcast_keyframe_requests_total" ["outcome"];
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
    /// Publications at present, replicas on other shards included.
    PUBLICATIONS = Gauge "ringcast_publications" ["shard"];
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
    /// Requests of the API refused for lack of authority, by reason.
    API_REFUSED = Counter "ringcast_api_refused_total" ["reason"];
    /// Time to answer a request of the API.
    API_REQUEST_SECONDS = Histogram "ringcast_api_request_duration_seconds" ["route", "status"];
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
            assert!(metric.name.starts_with("ringcast_"), "{}", metric.name);
            assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter, "{}", metric.name);
            assert!(metric.help.ends_with('.') && metric.help.len() > 10, "{}: {}", metric.name, metric.help);
        }
        let mut names: Vec<_> = ALL.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
