//! Session descriptions (RFC 8866) as values: text in, [`SessionDescription`] out, and back.
//!
//! Owns the syntax and its bounds. It knows nothing of offers, answers or sessions: what a description means for
//! a session is for `negotiation` to say. What is parsed here comes from clients, so every list is bounded and
//! nothing in it is trusted to be consistent.

mod attribute;
mod fragment;
mod model;
mod parse;
mod write;

pub use fragment::IceFragment;
pub use model::{
    Candidate, Direction, Extmap, Fingerprint, Ice, Msid, Origin, Payload, Rid, RidDirection, Section,
    SectionKind, SessionDescription, Setup, Simulcast, SimulcastLayer, SsrcGroup, SsrcSource, Transport,
    fmtp_parameter,
};

/// Longest accepted description, bytes.
pub const BYTES_MAX: usize = 1 << 20;
/// Most sections (m-lines) of one description.
pub const SECTIONS_MAX: usize = 512;
/// Most payload types of one section.
pub const PAYLOADS_MAX: usize = 256;
/// Most `a=extmap`, `a=ssrc` sources, `a=ssrc-group`, `a=rid` or layers of one section, each.
pub const ATTRIBUTES_MAX: usize = 128;
/// Most candidates of one section that are read; each is sent checks to.
pub const CANDIDATES_MAX: usize = 16;
/// Longest value of one attribute that is kept, bytes.
pub const VALUE_BYTES_MAX: usize = 4096;

/// Why a text is not an acceptable session description.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// The text is over [`BYTES_MAX`].
    #[error("the description has {0} bytes, more than {BYTES_MAX}")]
    TooLong(usize),
    /// A line breaks the grammar; the text names the line.
    #[error("{0}")]
    Syntax(String),
    /// The session part is wrong.
    #[error("session part: {0}")]
    Session(String),
    /// A section is wrong.
    #[error("section {index} (mid \"{mid}\"): {problem}")]
    Section {
        /// Index of the m-line, from 0.
        index: usize,
        /// Its mid; empty if it has none.
        mid: String,
        /// What is wrong with it.
        problem: String,
    },
}
