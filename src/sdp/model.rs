//! The nouns of a session description. Plain values: nothing here checks that they fit each other.

use std::net::SocketAddr;

/// A whole description.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionDescription {
    /// The `o=` line.
    pub origin: Origin,
    /// The user name of the `o=` line as it was read, in which some say what they are; ours is `-`, which is none.
    pub author: Option<String>,
    /// Mids of the BUNDLE group in its order (RFC 9143 7.1); empty without a group.
    pub bundle: Vec<String>,
    /// `a=ice-lite` (RFC 8839 5.3).
    pub ice_lite: bool,
    /// `a=extmap-allow-mixed` (RFC 8285 6).
    pub extmap_allow_mixed: bool,
    /// Transport attributes of the session level. After parsing, sections have inherited them.
    pub transport: Transport,
    /// The m-lines in their order.
    pub sections: Vec<Section>,
}

/// The two numbers of the `o=` line that change (RFC 8866 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Origin {
    /// Names the session.
    pub id: u64,
    /// Rises with each description of it.
    pub version: u64,
}

/// ICE and DTLS attributes; they stand at session or at section level.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transport {
    /// `a=ice-ufrag` and `a=ice-pwd`.
    pub ice: Option<Ice>,
    /// The `a=fingerprint` lines: several may stand side by side (RFC 8122 5).
    pub fingerprints: Vec<Fingerprint>,
    /// `a=setup` (RFC 4145 4).
    pub setup: Option<Setup>,
}

/// ICE credentials of the describing side (RFC 8839 5.4).
#[derive(Clone, PartialEq, Eq)]
pub struct Ice {
    /// User name fragment.
    pub ufrag: String,
    /// Password.
    pub pwd: String,
}

impl std::fmt::Debug for Ice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ice").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

/// Certificate fingerprint (RFC 8122 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// Hash function, lower case.
    pub hash: String,
    /// Colon-separated hexadecimal bytes, upper case.
    pub value: String,
}

/// DTLS role (RFC 8842 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// Either role.
    ActPass,
    /// DTLS client.
    Active,
    /// DTLS server.
    Passive,
}

/// What an m-line carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SectionKind {
    /// `m=audio`.
    Audio,
    /// `m=video`.
    Video,
    /// `m=application`, data channels.
    Application,
    /// Anything else.
    Other,
}

/// Media direction, from the describing side's view (RFC 8866 6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Both ways; the default of the grammar.
    #[default]
    SendRecv,
    /// Sends only.
    SendOnly,
    /// Receives only.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// Builds a direction of its two halves.
    #[must_use]
    pub fn new(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// Whether the describing side sends.
    #[must_use]
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the describing side receives.
    #[must_use]
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// Gives the same direction as the other side says it.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self::new(self.receives(), self.sends())
    }
}

/// One m-line with its attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// What it carries.
    pub kind: SectionKind,
    /// Media type as written; it tells apart what [`SectionKind::Other`] does not.
    pub media: String,
    /// Identification tag (RFC 5888).
    pub mid: String,
    /// Port zero without `a=bundle-only`: refused or stopped (RFC 8829 5.2.2, RFC 9143 6).
    pub rejected: bool,
    /// Transport protocol as written.
    pub protocol: String,
    /// The format list as written; printed when there are no payloads.
    pub formats: String,
    /// Media direction.
    pub direction: Direction,
    /// ICE and DTLS.
    pub transport: Transport,
    /// Payload types in order of preference.
    pub payloads: Vec<Payload>,
    /// Header extensions (RFC 8285).
    pub extmap: Vec<Extmap>,
    /// `a=extmap-allow-mixed` (RFC 8285 6). After parsing, sections have inherited it.
    pub extmap_allow_mixed: bool,
    /// `a=rid` lines (RFC 8851).
    pub rids: Vec<Rid>,
    /// The `a=simulcast` line (RFC 8853).
    pub simulcast: Option<Simulcast>,
    /// Announced sources (RFC 5576).
    pub ssrcs: Vec<SsrcSource>,
    /// Announced relations of sources.
    pub ssrc_groups: Vec<SsrcGroup>,
    /// `a=msid` (RFC 8830).
    pub msid: Option<Msid>,
    /// `a=sctp-port` (RFC 8841 5).
    pub sctp_port: Option<u16>,
    /// `a=max-message-size` (RFC 8841 6).
    pub max_message_size: Option<u64>,
    /// `a=rtcp-mux` (RFC 5761).
    pub rtcp_mux: bool,
    /// `a=rtcp-rsize` (RFC 5506).
    pub rtcp_rsize: bool,
    /// Candidates: those over UDP with an address in numbers are read.
    pub candidates: Vec<Candidate>,
    /// `a=end-of-candidates` (RFC 8838 8.2).
    pub end_of_candidates: bool,
}

impl Section {
    /// Builds an empty section that is not rejected.
    #[must_use]
    pub fn new(kind: SectionKind, mid: impl Into<String>) -> Self {
        let (protocol, formats) = match kind {
            SectionKind::Application => ("UDP/DTLS/SCTP", "webrtc-datachannel"),
            _ => ("UDP/TLS/RTP/SAVPF", "0"),
        };
        let media = match kind {
            SectionKind::Audio => "audio",
            SectionKind::Video => "video",
            SectionKind::Application => "application",
            SectionKind::Other => "text",
        };
        Self {
            kind,
            media: media.to_owned(),
            mid: mid.into(),
            rejected: false,
            protocol: protocol.to_owned(),
            formats: formats.to_owned(),
            direction: Direction::default(),
            transport: Transport::default(),
            payloads: Vec::new(),
            extmap: Vec::new(),
            extmap_allow_mixed: false,
            rids: Vec::new(),
            simulcast: None,
            ssrcs: Vec::new(),
            ssrc_groups: Vec::new(),
            msid: None,
            sctp_port: None,
            max_message_size: None,
            rtcp_mux: false,
            rtcp_rsize: false,
            candidates: Vec::new(),
            end_of_candidates: false,
        }
    }

    /// Finds the retransmission payload type that belongs to a payload type (RFC 4588 8.1).
    #[must_use]
    pub fn rtx_of(&self, pt: u8) -> Option<u8> {
        self.payloads.iter().find(|payload| payload.rtx_for() == Some(pt)).map(|payload| payload.pt)
    }
}

/// One payload type with its `a=rtpmap`, `a=fmtp` and `a=rtcp-fb` lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// Payload type.
    pub pt: u8,
    /// Encoding name as written; names compare without case (RFC 8866 6.6).
    pub name: String,
    /// Clock rate, Hz.
    pub clock: u32,
    /// Channels, audio only.
    pub channels: Option<u8>,
    /// Format parameters as written.
    pub fmtp: Option<String>,
    /// Feedback (RFC 4585 4.2), such as `nack pli`.
    pub rtcp_fb: Vec<String>,
}

impl Payload {
    /// Gives the payload type that this one retransmits, if it is `rtx`.
    #[must_use]
    pub fn rtx_for(&self) -> Option<u8> {
        if !self.name.eq_ignore_ascii_case("rtx") {
            return None;
        }
        fmtp_parameter(self.fmtp.as_deref()?, "apt")?.parse().ok()
    }
}

/// Finds a parameter of a `key=value;key=value` format line; keys compare without case.
#[must_use]
pub fn fmtp_parameter<'a>(fmtp: &'a str, key: &str) -> Option<&'a str> {
    fmtp.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case(key).then(|| value.trim())
    })
}

/// One `a=extmap` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extmap {
    /// Local identifier.
    pub id: u8,
    /// What it names.
    pub uri: String,
    /// Direction, where restricted.
    pub direction: Option<Direction>,
}

/// One `a=rid` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rid {
    /// Name of the stream.
    pub id: String,
    /// Who sends it.
    pub direction: RidDirection,
    /// What restricts it, such as `pt=96;max-width=640`, as written.
    pub restrictions: Option<String>,
}

/// Direction of a rid, from the describing side's view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RidDirection {
    /// `send`.
    Send,
    /// `recv`.
    Recv,
}

/// The `a=simulcast` line: layers in order of preference, each with its alternatives.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Simulcast {
    /// What the describing side sends.
    pub send: Vec<Vec<SimulcastLayer>>,
    /// What it receives.
    pub recv: Vec<Vec<SimulcastLayer>>,
}

/// One alternative of a simulcast layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulcastLayer {
    /// Its rid.
    pub rid: String,
    /// Marked `~`: starts paused.
    pub paused: bool,
}

/// What `a=ssrc` lines say of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SsrcSource {
    /// The source.
    pub ssrc: u32,
    /// Its CNAME.
    pub cname: Option<String>,
    /// Its stream and track.
    pub msid: Option<Msid>,
}

/// One `a=ssrc-group` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SsrcGroup {
    /// Such as `FID`.
    pub semantics: String,
    /// The related sources in order.
    pub ssrcs: Vec<u32>,
}

/// Stream and track identifiers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Msid {
    /// Stream; `-` for none.
    pub stream: String,
    /// Track; empty if not given.
    pub track: String,
}

/// A host candidate (RFC 8839 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Transport address as the other side reaches it.
    pub address: SocketAddr,
    /// Priority (RFC 8445 5.1.2.1).
    pub priority: u32,
    /// Whether it waits for TCP connections (RFC 6544) instead of UDP.
    pub tcp: bool,
}

impl Candidate {
    /// Builds a host candidate; a higher preference is tried first.
    #[must_use]
    pub fn host(address: SocketAddr, local_preference: u16) -> Self {
        // RFC 8445 5.1.2.1: type preference 126 for host candidates, component 1.
        Self { address, priority: (126 << 24) | (u32::from(local_preference) << 8) | 255, tcp: false }
    }

    /// Builds a passive host candidate over TCP. Every one over UDP is preferred, since it loses nothing but what is
    /// lost.
    #[must_use]
    pub fn tcp(address: SocketAddr, local_preference: u16) -> Self {
        // RFC 6544 4.2: a lower type preference than UDP, direction preference 4 for passive hosts, 13 bits of ours.
        let local = (4 << 13) | (u32::from(local_preference) & 0x1fff);
        Self { address, priority: (90 << 24) | (local << 8) | 255, tcp: true }
    }
}
