//! What a packet leaves with for one subscriber: decided by the router, written by the session that it goes to.

use super::PayloadEdit;

/// The header with which a packet leaves, and what is written of its payload. One index always comes with the same values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewritten {
    /// SRTP packet index: rollover counter and sequence number, 48 bits (RFC 3711 3.3.1).
    pub index: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// Payload type that the client expects.
    pub payload_type: u8,
    /// Marker bit.
    pub marker: bool,
    /// What is written of the payload; `None` when it goes out as it came.
    pub edit: Option<PayloadEdit>,
    /// What is written as frame number into the dependency descriptor; `None` when it goes out as it is.
    pub frame_number: Option<u16>,
}

impl Rewritten {
    /// Returns the RTP sequence number.
    #[expect(clippy::cast_possible_truncation, reason = "the sequence number is the low half of the index")]
    pub const fn seq(&self) -> u16 {
        self.index as u16
    }
}
