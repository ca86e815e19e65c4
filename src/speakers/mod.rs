//! Who speaks: audio levels (RFC 6464) to the dominant speaker, after Volfin and Cohen, "Dominant Speaker Identification
//! for Multipoint Videoconferencing" (2013).
//!
//! A [`Voice`] is the history of one source: it takes the level of each packet where that comes in, and sums it up on
//! three time scales as [`Activity`]. A [`Floor`] compares the activities of all who may speak and says who has the
//! floor. Between the two go a few bytes a few times a second, whoever carries them: the voices of one floor may be on
//! different shards.
//!
//! Pure values: time comes in, nothing is allocated for a packet, and a source costs the same whatever it sends. Bounds:
//! a voice remembers [`voice::HISTORY`]; a floor holds as many speakers as it is given.

pub mod floor;
#[cfg(test)]
mod tests;
pub mod voice;

pub use floor::Floor;
pub use voice::{Activity, Voice};
