//! What is written of a payload for one subscriber, where that is not all of it as it came.

use super::codec::vp8::Vp8Patch;
use super::red;

/// How a payload is written. A function of packet and subscription, so that writing it again gives the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadEdit {
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
    /// Writes a payload, as it came without an edit, to the front of `space`; returns its length, or `None` without room.
    #[inline]
    pub fn write(edit: Option<&Self>, payload: &[u8], space: &mut [u8]) -> Option<usize> {
        let part = edit.map_or(payload, |edit| edit.part(payload));
        let copy = space.get_mut(..part.len())?;
        copy.copy_from_slice(part);
        if let Some(edit) = edit {
            edit.apply(copy);
        }
        Some(part.len())
    }

    /// The bytes that are written, before [`PayloadEdit::apply`].
    fn part<'a>(&self, payload: &'a [u8]) -> &'a [u8] {
        match self {
            Self::From(start) => payload.get(usize::from(*start)..).unwrap_or_default(),
            Self::Empty => &[],
            Self::Vp8(_) | Self::Red { .. } => payload,
        }
    }

    /// Changes the copy of those bytes, in place.
    fn apply(&self, copy: &mut [u8]) {
        match self {
            Self::Vp8(patch) => patch.apply(copy),
            Self::Red { from, to } => red::renumber(copy, *from, *to),
            Self::From(_) | Self::Empty => {}
        }
    }
}
