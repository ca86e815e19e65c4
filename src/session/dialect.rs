//! What the engine understands, as far as it is less than what a description may say. Whoever promises something to a client
//! asks here, so that nothing is answered that the engine cannot carry out.
//!
//! Owns these bounds and nothing else: it names neither the engine nor anything of ours.

/// Video payload types that the engine can tell apart: it has so many configurations for them, which differ in a number.
pub const VIDEO_DISGUISES: u8 = 16;

/// Highest id of a header extension that the engine itself reads.
pub const EXTENSION_ID_MAX: u8 = 16;

/// Longest mid: the engine keeps them by so many bytes, as many as a header extension of the one-byte form has room for
/// (RFC 8285 4.2).
pub const MID_BYTES_MAX: usize = 16;

/// Characters of a layer's name that the engine keeps.
const LAYER_NAME_CHARS: usize = 8;

/// A mid as the engine keeps it: what is neither letter nor digit counts the same.
#[must_use]
pub fn section_name(mid: &str) -> String {
    mid.chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '_' }).collect()
}

/// A rid as the engine keeps it.
#[must_use]
pub fn layer_name(rid: &str) -> String {
    rid.chars().take(LAYER_NAME_CHARS).collect()
}

/// Whether the engine can read the name of a layer: RFC 8851 10 allows letters and digits, and it keeps to that.
#[must_use]
pub fn is_layer(rid: &str) -> bool {
    layer_name(rid).bytes().all(|byte| byte.is_ascii_alphanumeric())
}
