//! What is written of a payload for one subscriber, where that is not all of it as it came.

use super::codec::vp8::Vp8Patch;
use super::red;

/// How a payload is written. A function of packet and subscription, so that writing it again gives the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PayloadEdit {
    /// As it came.
    #[default]
    Unchanged,
    /// With other numbers in the VP8 payload descriptor.
    Vp8(Vp8Patch),
    /// From this byte on: what redundancy (RFC 2198) is around.
    From(u16),
    /// With another payload type in the headers of redundancy.
    Red {
        /// The publisher's.
        from: u8,
        /// The client's.
        to: u8,
    },
    /// Nothing of it: the packet only keeps its place in the sequence.
    Empty,
}

impl PayloadEdit {
    /// The bytes that are written, before [`PayloadEdit::apply`].
    pub fn part<'a>(&self, payload: &'a [u8]) -> &'a [u8] {
        match self {
            Self::From(start) => payload.get(usize::from(*start)..).unwrap_or_default(),
            Self::Empty => &[],
            Self::Unchanged | Self::Vp8(_) | Self::Red { .. } => payload,
        }
    }

    /// Changes the copy of those bytes, in place.
    pub fn apply(&self, copy: &mut [u8]) {
        match self {
            Self::Vp8(patch) => patch.apply(copy),
            Self::Red { from, to } => red::renumber(copy, *from, *to),
            Self::Unchanged | Self::From(_) | Self::Empty => {}
        }
    }
}
