//! What a publication looks like to those who pull it, and how a pull is asked for.

use std::net::SocketAddr;

use crate::ids::{PublicationId, ShardId};
use crate::plan::LayerPreference;
use crate::rtp::{Codec, ExtensionKind, MediaKind};
use crate::sdp::Candidate;

/// Our side of every transport of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalTransport {
    /// `a=fingerprint` value of our certificate, such as `sha-256 AB:CD`.
    pub fingerprint: String,
    /// Where clients reach the shard.
    pub candidates: Vec<Candidate>,
    /// Whether we begin the DTLS handshake where that is left to us and brings something.
    pub begins_dtls: bool,
}

impl LocalTransport {
    /// Builds it of addresses, the first being preferred.
    #[must_use]
    pub fn new(fingerprint: impl Into<String>, addresses: &[SocketAddr]) -> Self {
        let preferences = (0..=u16::MAX).rev();
        let candidates = addresses
            .iter()
            .zip(preferences)
            .map(|(address, preference)| Candidate::host(*address, preference));
        Self { fingerprint: fingerprint.into(), candidates: candidates.collect(), begins_dtls: false }
    }

    /// Has us begin the DTLS handshake where that is left to us and brings something, or leaves it to clients.
    #[must_use]
    pub fn with_dtls_begun(mut self, begins: bool) -> Self {
        self.begins_dtls = begins;
        self
    }

    /// Adds addresses for TCP, the first being preferred.
    #[must_use]
    pub fn with_tcp(mut self, addresses: &[SocketAddr]) -> Self {
        let preferences = (0..0x1fff_u16).rev();
        let candidates = addresses.iter().zip(preferences);
        self.candidates.extend(candidates.map(|(address, preference)| Candidate::tcp(*address, preference)));
        self
    }
}

/// What a client publishes in one section, as negotiated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedMedia {
    /// Audio or video.
    pub kind: MediaKind,
    /// The codecs that it may send, in its order of preference.
    pub codecs: Vec<PublishedCodec>,
    /// Simulcast layers in the order of its `a=simulcast` line.
    pub rids: Vec<String>,
    /// Header extensions of it that are passed on.
    pub extensions: Vec<ExtensionKind>,
}

impl PublishedMedia {
    /// Names its codecs for people.
    #[must_use]
    pub fn codec_names(&self) -> String {
        super::codecs::described(&self.codecs)
    }
}

/// One codec configuration of a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedCodec {
    /// Payload type that the publisher sends.
    pub pt: u8,
    /// The codec.
    pub codec: Codec,
    /// RTP clock rate, Hz.
    pub clock_rate: u32,
    /// Channels, audio only.
    pub channels: Option<u8>,
    /// Format parameters.
    pub fmtp: Option<String>,
    /// Feedback that was negotiated.
    pub rtcp_fb: Vec<String>,
    /// Payload type of its retransmissions, where negotiated.
    pub rtx: Option<u8>,
}

/// A publication that a client is to receive.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteSource {
    /// Which one.
    pub publication: PublicationId,
    /// The shard that feeds it.
    pub origin: ShardId,
    /// What it is.
    pub media: PublishedMedia,
    /// The publisher's session in hexadecimal: stream id of all its tracks, so that they play in sync.
    pub stream_label: String,
    /// Which layer to forward.
    pub preference: LayerPreference,
}

impl RemoteSource {
    /// Gives the CNAME: the same for all tracks of one publisher (RFC 3550 6.5.1).
    #[must_use]
    pub fn cname(&self) -> String {
        cname(&self.stream_label)
    }
}

/// The CNAME that belongs to a stream id.
pub(super) fn cname(stream_label: &str) -> String {
    stream_label.chars().take(16).collect()
}

/// Where a pulled track goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Into a section of our next offer: one that is free again, or a new one.
    Offered,
    /// Into the transceiver with this mid.
    Existing(String),
    /// Into the first free section of the client's offer that can receive it.
    FirstFree,
}

/// What the client's offer says, section by section.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OfferSummary {
    /// Live audio and video sections in m-line order.
    pub sections: Vec<SectionSummary>,
    /// What this offer ended: stopped sections, and those of our offer that it pushed aside.
    pub ended: Vec<EndedSlot>,
    /// Whether a live data channel section is among them.
    pub has_application: bool,
}

/// One live section of a client's offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionSummary {
    /// Its mid.
    pub mid: String,
    /// Audio or video.
    pub kind: MediaKind,
    /// Whether the client sends in it.
    pub sends: bool,
    /// Whether the client receives in it.
    pub receives: bool,
    /// Whether the section was unknown before this offer.
    pub is_new: bool,
    /// Simulcast layers that the client sends.
    pub rids: Vec<String>,
    /// The publication that it feeds already.
    pub local: Option<PublicationId>,
}

/// A section that lost what it carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedSlot {
    /// Its mid.
    pub mid: String,
    /// The publication that it fed.
    pub local: Option<PublicationId>,
    /// Whether an offer of ours asked the client to feed one, and was not answered.
    pub asked: bool,
    /// Whether the client received a track in it.
    pub remote: bool,
}

/// What the client's answer refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AnswerSummary {
    /// Mids of sections that carry nothing, although we offered a track in them.
    pub rejected: Vec<String>,
    /// Those of them that were accepted, or may have been refused, for want of a codec that the track is sent in.
    pub unplayable: Vec<String>,
}

/// One section as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionState {
    /// Its mid.
    pub mid: String,
    /// Audio or video; `None` for data channels and others.
    pub kind: Option<MediaKind>,
    /// Whether the m-line is stopped.
    pub stopped: bool,
    /// Whether we send in it, by the last complete exchange.
    pub sends: bool,
    /// Whether we receive in it, by the last complete exchange.
    pub receives: bool,
    /// The publication that it feeds.
    pub local: Option<PublicationId>,
    /// The publication that the client receives in it.
    pub remote: Option<PublicationId>,
    /// Whether an offer of ours is still to be answered before it holds.
    pub proposed: bool,
}

/// What a session in which we offer first has as its first line.
///
/// The transport of libwebrtc belongs to the first mid of the BUNDLE group, and a connection whose last section
/// closes can never be used again. A first line that never closes prevents both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepAlive {
    /// `m=application`.
    Application,
    /// An audio section that stays inactive. aiortc does not connect with it.
    InactiveAudio,
    /// Nothing.
    None,
}
