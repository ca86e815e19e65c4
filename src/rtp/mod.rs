//! RTP as values: packets, header extensions, RTCP, payload descriptors. Parsers and writers only; no state,
//! no clock, no socket.
//!
//! Every parser takes bytes as they came from the network, survives all of them, and does work bounded by the
//! length of the datagram. A packet comes here from `session` after decryption and goes on to `router` as a
//! [`Packet`]; at egress `session` writes its header anew with [`header::write_header`].

use std::sync::Arc;
use std::time::Instant;

pub mod codec;
pub mod descriptor;
mod edit;
pub mod extension;
pub mod header;
pub mod red;
mod rewritten;
pub mod rtcp;
pub mod rtx;
pub mod template;
pub mod time;
mod wire;

pub use codec::vp8::{Vp8Descriptor, Vp8Patch};
pub use codec::{Codec, starts_keyframe};
pub use descriptor::SpatialPlace;
pub use edit::PayloadEdit;
pub use extension::{ExtensionKind, PassedExtensions};
pub use header::{HeaderOut, RtpView, write_header};
pub use rewritten::Rewritten;
pub use template::ExtensionTemplate;

/// Audio or video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// Audio.
    Audio,
    /// Video.
    Video,
}

impl MediaKind {
    /// The word for it in SDP media lines (RFC 8866 5.14), in the API and in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            MediaKind::Audio => "audio",
            MediaKind::Video => "video",
        }
    }
}

/// One RTP packet of a publication after ingress: authenticated, decrypted, unwrapped from RTX, never changed
/// again. Cloning shares the payload.
#[derive(Debug, Clone)]
pub struct Packet {
    /// Extended sequence number of the publisher's stream.
    pub seq: u64,
    /// RTP timestamp of the publisher's stream.
    pub timestamp: u32,
    /// Marker bit.
    pub marker: bool,
    /// Payload type as the publisher sent it.
    pub payload_type: u8,
    /// Header extensions to pass on.
    pub extensions: PassedExtensions,
    /// RTP payload without padding.
    pub payload: Arc<[u8]>,
    /// When it arrived at the node.
    pub received_at: Instant,
    /// The congestion bits of the datagram that it came in (RFC 3168 5), 0 to 3.
    pub ecn: u8,
}
