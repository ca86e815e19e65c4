//! Why a description or a binding is refused, with the codes that the API gives its clients.

use crate::sdp::SdpError;

/// Why a client's description is refused. The session is unchanged in every case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NegotiationError {
    /// The text is no session description, or is over a bound.
    #[error("bad session description: {0}")]
    Sdp(#[from] SdpError),
    /// No ICE user fragment and password where a section is live.
    #[error("the session description has no a=ice-ufrag and a=ice-pwd")]
    MissingIce,
    /// No certificate fingerprint where a section is live.
    #[error("the session description has no a=fingerprint")]
    MissingFingerprint,
    /// No fingerprint by a hash function that we have.
    #[error(
        "a=fingerprint is by {found}, which cannot be checked here: send one by {}",
        super::limits::hash_names()
    )]
    UnknownHash {
        /// What was found.
        found: String,
    },
    /// A fingerprint that no certificate can have.
    #[error("a=fingerprint:{hash} has {found} bytes, but a digest by {hash} has {expected}")]
    FingerprintLength {
        /// The hash function.
        hash: &'static str,
        /// Bytes of the digest.
        found: usize,
        /// Bytes that it has to have.
        expected: usize,
    },
    /// The client is ICE-lite too, so nobody would send checks.
    #[error(
        "a=ice-lite is not supported: the server is the lite side, except in sessions made with thirdparty=true"
    )]
    LiteClient,
    /// We call out, and nobody says where to.
    #[error(
        "the session description has no candidate over UDP with an address in numbers, so there is nobody to call"
    )]
    MissingCandidates,
    /// Another certificate on an association that stays.
    #[error("a=fingerprint changed without new ICE credentials")]
    FingerprintChanged,
    /// The other DTLS role on an association that stays.
    #[error(
        "a=setup says that the client is the DTLS {0} now: the roles last as long as the connection, so offer actpass \
         or what it was, or restart ICE"
    )]
    RoleChanged(&'static str),
    /// The m-lines do not fit the agreed ones.
    #[error("{0}")]
    Sections(String),
    /// An answer without an offer of ours.
    #[error("no offer is pending, so there is nothing to answer")]
    NoOfferPending,
}

impl NegotiationError {
    /// Gives the `errorCode` of the API.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::MissingIce => "decoding_error",
            _ => "invalid_session_description",
        }
    }

    /// Gives the `errorSubcode` of the API, which tells ordering mistakes from bad text.
    #[must_use]
    pub fn subcode(&self) -> &'static str {
        match self {
            Self::Sdp(_)
            | Self::MissingIce
            | Self::MissingFingerprint
            | Self::FingerprintLength { .. }
            | Self::MissingCandidates => "bad_sdp",
            Self::UnknownHash { .. } => "unsupported_fingerprint",
            Self::LiteClient | Self::RoleChanged(_) => "unsupported_role",
            Self::FingerprintChanged => "fingerprint_changed",
            Self::Sections(_) => "m_line_mismatch",
            Self::NoOfferPending => "invalid_modification_stable",
        }
    }
}

/// Why a track cannot be bound to a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// There is no such section, or it cannot carry the track in that direction.
    #[error("no section can carry the track")]
    NoSection,
    /// The client does not send in the section.
    #[error("the client does not send in this section: its direction has to be sendonly or sendrecv")]
    NotSending,
    /// None of the section's codecs is carried here.
    #[error(
        "the section has no codec that is carried here: those of video are VP8, VP9, H264, H265 and AV1, those of audio \
         opus/48000/2, and PCMU and PCMA by their static payload types"
    )]
    UnknownCodecs,
    /// The section's protocol is another one.
    #[error(
        "the protocol of the section is not served: media come by UDP/TLS/RTP/SAVPF, data channels by UDP/DTLS/SCTP"
    )]
    Protocol,
    /// The section wants a transport of its own.
    #[error(
        "the section is not in the BUNDLE group: all sections share one transport (bundlePolicy max-bundle)"
    )]
    NotBundled,
    /// The section wants another port for RTCP.
    #[error("the section has no a=rtcp-mux: RTP and RTCP have to share the transport")]
    NoRtcpMux,
    /// Nothing tells the section's packets from those of another one.
    #[error(
        "nothing would tell the packets of the section from those of another one: offer the header extension \
         urn:ietf:params:rtp-hdrext:sdes:mid, announce the source by a=ssrc, or give it payload types of its own"
    )]
    Unnamed,
    /// The section carries the other kind of media.
    #[error("the section carries another kind of media")]
    KindMismatch,
    /// The two ends have no codec in common.
    #[error("there is no codec in common")]
    NoCodec,
    /// The session has as many m-lines as it may have.
    #[error("the session has too many m-lines")]
    Limit,
    /// An offer of ours waits for its answer, so another one cannot be prepared.
    #[error("an offer is pending: answer it first")]
    OfferPending,
}

impl BindError {
    /// Gives the `errorSubcode` of the API.
    #[must_use]
    pub fn subcode(self) -> &'static str {
        match self {
            Self::NoSection => "no_section",
            Self::KindMismatch => "kind_mismatch",
            Self::NotSending => "not_sending",
            Self::NoCodec | Self::UnknownCodecs => "no_codec",
            Self::Protocol => "unsupported_protocol",
            Self::NotBundled => "not_bundled",
            Self::NoRtcpMux => "no_rtcp_mux",
            Self::Unnamed => "unnamed_section",
            Self::Limit => "too_many_sections",
            Self::OfferPending => "invalid_modification_have_local_offer",
        }
    }
}
