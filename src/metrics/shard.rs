//! Counters of one shard: plain numbers that only its thread touches; a copy leaves once a second.

use crate::drop::{ChannelDrop, DropReason};

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
    /// Datagrams that a router on their way has marked for congestion.
    pub congestion_marks: u64,
    /// RTP packets taken from publishers: audio, video.
    pub rtp_in: [u64; 2],
    /// RTP packets forwarded to subscribers: audio, video.
    pub rtp_out: [u64; 2],
    /// Packets dropped, by [`DropReason`].
    pub dropped: [u64; DropReason::ALL.len()],
    /// Retransmissions served from the cache, and requests that it could not serve.
    pub retransmissions: [u64; 2],
    /// Keyframe requests: sent to a publisher, and merged into one already under way.
    pub keyframe_requests: [u64; 2],
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
    /// Sessions ended, by reason: never connected, timed out, closed by client, failed, by control.
    pub sessions_ended: [u64; 5],
    /// Sessions at present.
    pub sessions: u64,
    /// Publications at present, replicas included.
    pub publications: u64,
    /// Subscriptions at present.
    pub subscriptions: u64,
    /// Entries of the address table at present.
    pub addresses: u64,
    /// TCP connections at present.
    pub tcp_connections: u64,
    /// Bytes on TCP connections, framing included: received, sent.
    pub tcp_bytes: [u64; 2],
    /// TCP connections ended, by reason: by the client, oversize, unproven, slow reader, failed.
    pub tcp_closed: [u64; 5],
    /// Messages of data channels: taken from clients, queued for clients.
    pub channel_messages: [u64; 2],
    /// Bytes of these.
    pub channel_bytes: [u64; 2],
    /// Messages of data channels that went no further, by [`ChannelDrop`].
    pub channel_dropped: [u64; ChannelDrop::ALL.len()],
    /// Subscriptions of data channels that were ended by us: could not keep up, lane full, not acknowledged.
    pub channels_ended: [u64; 3],
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
    /// Counts messages of data channels that were dropped.
    pub fn drop_messages(&mut self, reason: ChannelDrop, messages: usize) {
        if let Some(count) = self.channel_dropped.get_mut(reason as usize) {
            *count += messages as u64;
        }
    }

    /// Counts one dropped packet.
    pub fn drop(&mut self, reason: DropReason) {
        if let Some(count) = self.dropped.get_mut(reason as usize) {
            *count += 1;
        }
    }
}
