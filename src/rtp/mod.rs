//! RTP as values: packets, header extensions, RTCP, payload descriptors. Parsers only; no state, no clock.

use std::sync::Arc;
use std::time::Instant;

/// Audio or video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// Audio.
    Audio,
    /// Video.
    Video,
}

/// The codecs that are told apart. Payloads stay opaque; the codec decides how a keyframe is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// RFC 7741.
    Vp8,
    /// RFC 9628.
    Vp9,
    /// RFC 6184.
    H264,
    /// RFC 7798.
    H265,
    /// AV1 RTP payload specification 1.0.
    Av1,
    /// RFC 7587.
    Opus,
    /// RFC 2198 around Opus.
    Red,
    /// G.711 mu-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
}

/// RTP header extensions that are known by URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExtensionKind {
    /// `urn:ietf:params:rtp-hdrext:sdes:mid`; written anew per subscription.
    Mid,
    /// Transport-wide congestion control number; written anew per session.
    TransportCc,
    /// RFC 6464 client-to-mixer audio level; passed on.
    AudioLevel,
    /// 3GPP video orientation; passed on.
    VideoOrientation,
    /// Playout delay limits; passed on.
    PlayoutDelay,
    /// Video content type (screen content); passed on.
    VideoContentType,
    /// Colour space; passed on.
    ColorSpace,
    /// Absolute capture time; passed on.
    AbsCaptureTime,
    /// AV1 dependency descriptor; passed on.
    DependencyDescriptor,
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
}

/// Up to 48 bytes of header extensions taken from a publisher's packet, in the order in which they came.
#[derive(Debug, Clone, Copy)]
pub struct PassedExtensions {
    len: u8,
    bytes: [u8; 48],
}
