//! What a session is to carry: plain values that negotiation writes and a shard carries out.
//!
//! A [`SessionPlan`] is the whole desired state of one session, not a change to it: the shard compares it with
//! what it has and does the difference, so a plan may be given any number of times. Nothing here refers to a
//! table of either side.

use std::sync::Arc;

use crate::ids::{ChannelId, GroupId, IceCredentials, PublicationId, ShardId};
use crate::rtp::{Codec, ExtensionKind, MediaKind};

/// Everything one session sends and receives, and the transport that carries it.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionPlan {
    /// The ICE and DTLS transport.
    pub transport: TransportPlan,
    /// Sections in which the client sends, in m-line order.
    pub ingress: Vec<IngressPlan>,
    /// Sections in which the client receives a publication, in m-line order.
    pub egress: Vec<EgressPlan>,
    /// Its data channels.
    pub channels: ChannelsPlan,
}

/// The data channels of one session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChannelsPlan {
    /// Channels with agreed ids (RFC 8831 6.5).
    pub list: Vec<ChannelPlan>,
    /// Whether we open the channel `server-events` in band.
    pub server_events: bool,
    /// The group that channels opened in band by the client belong to.
    pub group: Option<GroupId>,
}

/// One data channel with an agreed id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelPlan {
    /// SCTP stream.
    pub stream: u16,
    /// Its name.
    pub label: String,
    /// How messages are delivered.
    pub delivery: Delivery,
    /// What the client does with it.
    pub role: ChannelRole,
}

/// How the messages of a channel are delivered (RFC 8832 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// In the order of sending.
    pub ordered: bool,
    /// How long delivery is tried.
    pub reliability: Reliability,
}

/// How long delivery of a message is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reliability {
    /// Until it succeeds.
    Reliable,
    /// So many times more than once.
    Retransmits(u16),
    /// For so many milliseconds.
    Lifetime(u16),
}

impl Delivery {
    /// Whether no message may be missing.
    pub fn is_reliable(self) -> bool {
        self.reliability == Reliability::Reliable
    }
}

/// What a client does with a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelRole {
    /// It sends to all subscribers.
    Publish(ChannelId),
    /// It receives.
    Subscribe {
        /// The published channel.
        channel: ChannelId,
        /// Shard of its publisher.
        origin: ShardId,
        /// Whether nothing is delivered before the client's first message.
        wait_for_ack: bool,
        /// Number of the grant to reply; the greatest number given for a channel holds.
        grant: Option<u64>,
    },
}

/// One ICE and DTLS transport of a session. A session may outlive several.
#[derive(Debug, Clone, PartialEq)]
pub struct TransportPlan {
    /// Rises by one whenever the client moves to a new DTLS association (another BUNDLE tag). The shard then
    /// keeps the old transport until the new one has its keys.
    pub generation: u32,
    /// Our credentials of this transport; they change at an ICE restart and with the generation.
    pub local: IceCredentials,
    /// The client's, once it has described itself: by these it can be asked whether it is where it seems to be.
    pub remote: Option<IceCredentials>,
    /// The description of the client's sending sections alone that feeds the ingress engine, as SDP.
    pub ingress_offer: Arc<str>,
    /// Our part in ICE.
    pub agent: IceAgent,
    /// The DTLS handshake.
    pub dtls: DtlsPlan,
    /// Whether the client sends media on it. The engine of one that only receives gets no SRTP keys.
    pub takes_media: bool,
}

/// The DTLS handshake of a transport: who begins it, and how the far end is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DtlsPlan {
    /// Our part.
    pub part: DtlsPart,
    /// Digests of certificates, all by one function. The certificate of the far end has to have one of them
    /// (RFC 8122 5).
    pub fingerprints: Vec<Fingerprint>,
}

/// Our part in the DTLS handshake (RFC 8842 5.1). It holds as long as the association.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DtlsPart {
    /// We wait for the far end to begin, and choose the SRTP profile.
    #[default]
    Waits,
    /// We begin, and the far end chooses among the SRTP profiles that we offer.
    Begins(SrtpOffer),
}

/// The SRTP profiles that we offer when we begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SrtpOffer {
    /// All that we know, AES-GCM first: for who may know none of that.
    All,
    /// AES-GCM alone: for who knows it, and would prefer what costs four times as much.
    Gcm,
}

/// The digest of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// The function.
    pub hash: Hash,
    /// The digest.
    pub digest: Vec<u8>,
}

/// A hash function for certificates, the weaker first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hash {
    /// SHA-1, which some native clients still announce.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256, which everybody else announces.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Hash {
    /// All of them, the weaker first.
    pub const ALL: [Self; 5] = [Self::Sha1, Self::Sha224, Self::Sha256, Self::Sha384, Self::Sha512];

    /// Its name in a session description.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha-1",
            Self::Sha224 => "sha-224",
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    /// Bytes of a digest.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// Our part in ICE (RFC 8445 6.1.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IceAgent {
    /// We answer the checks of a client and make none (RFC 8445 2.5).
    #[default]
    Lite,
    /// We make checks, and choose the pair of addresses.
    Controlling,
    /// We make checks, and the far end chooses.
    Controlled,
}

/// One section in which the client sends.
#[derive(Debug, Clone, PartialEq)]
pub struct IngressPlan {
    /// Media identification tag of the section (RFC 5888).
    pub mid: String,
    /// What the ingress engine calls the section.
    pub name: String,
    /// Audio or video.
    pub kind: MediaKind,
    /// The publication that this section feeds; `None` while no track names the section.
    pub publication: Option<PublicationId>,
    /// What the client may send, by payload type.
    pub codecs: Vec<PayloadPlan>,
    /// Simulcast layers in the order of the client's `a=simulcast` line; empty without simulcast.
    pub rids: Vec<String>,
    /// What the ingress engine calls these.
    pub layer_names: Vec<String>,
    /// Header extensions that are passed on, by their id on this transport.
    pub extensions: Vec<(u8, ExtensionKind)>,
    /// Where nothing else tells the client's packets: its payload types, each with that of its retransmissions. They are
    /// of no other section.
    pub told_by: Vec<(u8, Option<u8>)>,
}

/// One payload type of an ingress section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadPlan {
    /// Payload type on the wire.
    pub payload_type: u8,
    /// Its codec.
    pub codec: Codec,
    /// RTP clock rate, Hz.
    pub clock_rate: u32,
}

/// One section in which the client receives a publication.
#[derive(Debug, Clone, PartialEq)]
pub struct EgressPlan {
    /// Media identification tag of the section.
    pub mid: String,
    /// Audio or video.
    pub kind: MediaKind,
    /// The publication to forward.
    pub publication: PublicationId,
    /// The shard on which that publication is fed.
    pub origin: ShardId,
    /// SSRC under which it leaves; never used for anything else in the life of the session.
    pub ssrc: u32,
    /// SSRC of its retransmissions (RFC 4588), when the client negotiated them.
    pub rtx_ssrc: Option<u32>,
    /// CNAME of its reports: the same for all tracks of one publisher, so that they play in sync.
    pub cname: String,
    /// Publisher's payload type to the client's.
    pub payload_types: Vec<PayloadMap>,
    /// Header extensions that the client takes, with their id on its transport.
    pub extensions: Vec<(u8, ExtensionKind)>,
    /// Which simulcast layer to forward.
    pub preference: LayerPreference,
}

impl EgressPlan {
    /// Whether the client is to tell of its packets by transport-wide numbers: without RTX a packet that is sent again has to be
    /// the same to the bit, and has none.
    pub fn is_told_of(&self) -> bool {
        let is_told_of = |(_, kind): &(u8, ExtensionKind)| *kind == ExtensionKind::TransportCc;
        self.rtx_ssrc.is_some() && self.extensions.iter().any(is_told_of)
    }
}

/// How one payload type of a publication is written for one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadMap {
    /// Payload type that the publisher sends.
    pub from: u8,
    /// Payload type that the client expects.
    pub to: u8,
    /// Payload type of retransmissions, when negotiated.
    pub rtx: Option<u8>,
    /// The codec of both.
    pub codec: Codec,
    /// RTP clock rate, Hz.
    pub clock_rate: u32,
    /// What is done to payloads.
    pub form: PayloadForm,
}

/// What is done to the payloads of a payload type for one client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PayloadForm {
    /// They go out as they came.
    #[default]
    Whole,
    /// Redundancy (RFC 2198) around a codec that the client numbers otherwise.
    Renumbered {
        /// The codec's payload type inside of the publisher's packets.
        from: u8,
        /// The client's.
        to: u8,
    },
    /// Redundancy for a client that does not take it: what it is around goes out alone.
    Unpacked,
    /// A stream of spatial layers for a client that cannot tell them apart: the lowest alone.
    LowestLayer,
}

/// Layer preference of one subscription (API `simulcast` object).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LayerPreference {
    /// The wanted layer; `None` or empty leaves the choice to us.
    pub preferred_rid: Option<String>,
    /// What to do when the client's bandwidth is short.
    pub priority_ordering: Ordering,
    /// What to do while the wanted layer is not being sent.
    pub rid_not_available: Ordering,
}

/// Whether another layer may stand in for the wanted one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ordering {
    /// Stay with the wanted layer.
    #[default]
    None,
    /// Take the next layer by the ASCII order of names, first being best.
    Asciibetical,
}
