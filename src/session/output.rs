//! What follows from one input to a session.

use std::ops::Range;

use super::channels::ChannelEvent;
use super::ingress::IngressPacket;
use super::paths::Path;
use super::reports::Feedback;
use super::wires::WireEvent;
use crate::drop::DropReason;

/// Everything that follows from one input, in buffers that are used again.
#[derive(Debug, Default)]
pub struct SessionOutput {
    /// Datagrams to send, as ranges of `bytes`.
    pub transmits: Vec<(Path, Range<usize>)>,
    /// Contents of the datagrams.
    pub bytes: Vec<u8>,
    /// Packets that the client published.
    pub packets: Vec<IngressPacket>,
    /// What the client reported about what it receives, and sender reports about what it sends.
    pub feedback: Vec<Feedback>,
    /// Addresses that no longer belong to the session.
    pub paths_removed: Vec<Path>,
    /// New SRTP keys are in force: every stream starts its index again.
    pub rekeyed: bool,
    /// Packets that went no further.
    pub dropped: Vec<DropReason>,
    /// What happened on data channels.
    pub channels: Vec<ChannelEvent>,
    /// The same as the engine says it, until the session has looked at it.
    pub(super) wires: Vec<WireEvent>,
}

impl SessionOutput {
    /// Sends a datagram.
    pub(super) fn transmit(&mut self, path: Path, contents: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(contents);
        self.transmits.push((path, start..self.bytes.len()));
    }

    /// Empties all buffers.
    pub fn clear(&mut self) {
        self.transmits.clear();
        self.bytes.clear();
        self.packets.clear();
        self.feedback.clear();
        self.paths_removed.clear();
        self.dropped.clear();
        self.channels.clear();
        self.wires.clear();
        self.rekeyed = false;
    }
}
