//! Segments of a subscription: stretches of one layer that go out under constant offsets, and the memory of past ones.
//!
//! ```text
//! numbers of layer h   ... 70 71 72 73 |                 | 98 99 ...
//! numbers of layer f               ... | 12 13 14 15 ... |
//! indices                   5  6  7  8 |  9 10 11 12 ... | 40 41 ...
//! ```

use super::LayerIndex;
use crate::rtp::codec::vp8::{Vp8Descriptor, Vp8Patch};

/// How many past segments a subscription remembers for late packets and NACKs.
pub const HISTORY: usize = 16;

const PICTURE_ID_MASK: u16 = 0x7fff;
const PICTURE_ID_NARROW_MASK: u16 = 0x7f;

/// The running numbers of a VP8 payload descriptor (RFC 7741 4.2), which go on in each subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vp8Numbers {
    /// Picture id.
    pub picture_id: Option<u16>,
    /// Whether it has 15 bits, not 7.
    pub picture_id_wide: bool,
    /// Running index of the frames of the lowest temporal layer.
    pub tl0: Option<u8>,
}

impl From<Vp8Descriptor> for Vp8Numbers {
    fn from(descriptor: Vp8Descriptor) -> Self {
        Self {
            picture_id: descriptor.picture_id,
            picture_id_wide: descriptor.picture_id_bits == 15,
            tl0: descriptor.tl0,
        }
    }
}

/// One stretch of a layer, from its first number on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// First number of the layer that belongs to it.
    pub number_start: u64,
    /// Index of that number.
    pub index_start: u64,
    /// Source of the layer.
    pub source: u32,
    /// Added to timestamps, modulo 2^32.
    pub timestamp_offset: u32,
    /// Added to VP8 picture ids, modulo their width.
    pub picture_id_offset: u16,
    /// Added to TL0PICIDX, modulo 2^8.
    pub tl0_offset: u8,
    /// Added to the frame numbers of dependency descriptors, modulo 2^16.
    pub frame_number_offset: u16,
    /// Its layer.
    pub layer: LayerIndex,
}

impl Segment {
    /// Returns the index of a number; `None` before the segment.
    pub fn index_of(&self, number: u64) -> Option<u64> {
        number.checked_sub(self.number_start).map(|offset| self.index_start + offset)
    }

    /// Returns the number of an index; `None` before the segment.
    pub fn number_of(&self, index: u64) -> Option<u64> {
        index.checked_sub(self.index_start).map(|offset| self.number_start + offset)
    }

    /// Returns whether packets of this layer and source belong to it.
    pub fn is_of(&self, layer: LayerIndex, source: u32) -> bool {
        self.layer == layer && self.source == source
    }

    /// Returns whether running numbers of payload or descriptor go out as others than they came.
    pub fn renumbers(&self) -> bool {
        self.picture_id_offset | self.frame_number_offset | u16::from(self.tl0_offset) != 0
    }

    /// Returns what is to be written into the payload; `None` when it goes out as it is.
    pub fn patch(&self, numbers: Option<&Vp8Numbers>) -> Option<Vp8Patch> {
        if self.picture_id_offset == 0 && self.tl0_offset == 0 {
            return None;
        }
        let numbers = numbers?;
        Some(Vp8Patch {
            picture_id: self.picture_id(numbers),
            tl0: numbers.tl0.map(|tl0| tl0.wrapping_add(self.tl0_offset)),
        })
    }

    /// Returns the picture id as sent, in the width of the publisher (RFC 7741 4.2: 7 or 15 bits).
    pub fn picture_id(&self, numbers: &Vp8Numbers) -> Option<u16> {
        let mask = if numbers.picture_id_wide { PICTURE_ID_MASK } else { PICTURE_ID_NARROW_MASK };
        numbers.picture_id.map(|id| id.wrapping_add(self.picture_id_offset) & mask)
    }

    /// Returns the frame number to be written into the dependency descriptor; `None` when it goes out as it is.
    pub fn frame_number_patch(&self, number: Option<u16>) -> Option<u16> {
        if self.frame_number_offset == 0 { None } else { self.frame_number(number) }
    }

    /// Returns the frame number of a dependency descriptor as sent.
    pub fn frame_number(&self, number: Option<u16>) -> Option<u16> {
        number.map(|number| number.wrapping_add(self.frame_number_offset))
    }
}

/// Past segments with their ends; the oldest of [`HISTORY`] is forgotten for a new one. Most subscriptions never have one.
#[derive(Debug, Default)]
pub struct History {
    ring: Vec<Past>,
    next: usize,
}

/// A segment and the index at which it ended.
#[derive(Debug, Clone, Copy)]
struct Past {
    segment: Segment,
    index_end: u64,
}

impl History {
    /// Remembers a segment that maps nothing from `index_end` on. One that never mapped anything is not kept.
    pub fn push(&mut self, segment: Segment, index_end: u64) {
        if index_end <= segment.index_start {
            return;
        }
        let past = Past { segment, index_end };
        match self.ring.get_mut(self.next) {
            Some(oldest) => *oldest = past,
            None => self.ring.push(past),
        }
        self.next = (self.next + 1) % HISTORY;
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Returns the segment that a number of a layer belonged to, with its index.
    pub fn by_number(&self, layer: LayerIndex, source: u32, number: u64) -> Option<(Segment, u64)> {
        self.past().find_map(|past| {
            let index = past.segment.is_of(layer, source).then(|| past.segment.index_of(number)).flatten()?;
            (index < past.index_end).then_some((past.segment, index))
        })
    }

    /// Returns the segment that an index belonged to.
    pub fn by_index(&self, index: u64) -> Option<&Segment> {
        self.past()
            .find(|past| (past.segment.index_start..past.index_end).contains(&index))
            .map(|past| &past.segment)
    }

    fn past(&self) -> impl Iterator<Item = &Past> {
        self.ring.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(layer: usize, number_start: u64, index_start: u64) -> Segment {
        Segment {
            number_start,
            index_start,
            source: 3,
            timestamp_offset: 0,
            picture_id_offset: 0,
            tl0_offset: 0,
            frame_number_offset: 0,
            layer: LayerIndex::at(layer).unwrap(),
        }
    }

    #[test]
    fn history_finds_by_number_and_by_index_within_the_ends() {
        let mut history = History::default();
        history.push(segment(0, 70, 5), 9);
        history.push(segment(1, 12, 9), 40);
        history.push(segment(1, 50, 40), 40);
        let [low, high] = [0, 1].map(|position| LayerIndex::at(position).unwrap());
        assert_eq!(history.by_number(low, 3, 73).map(|(_, index)| index), Some(8));
        assert_eq!(history.by_number(low, 3, 74), None, "past its end");
        assert_eq!(history.by_number(low, 3, 69), None, "before its start");
        assert_eq!(history.by_number(low, 4, 73), None, "another source");
        assert_eq!(history.by_number(high, 3, 12).map(|(_, index)| index), Some(9));
        assert_eq!(history.by_index(8).map(|found| found.layer), Some(low));
        assert_eq!(history.by_index(9).map(|found| found.layer), Some(high));
        assert_eq!(history.by_index(40), None);
        for start in 0..HISTORY as u64 {
            history.push(segment(2, start, 100 + start), 101 + start);
        }
        assert_eq!(history.by_index(9), None, "forgotten");
        history.clear();
        assert_eq!(history.by_index(100), None);
    }

    #[test]
    fn picture_ids_keep_their_width() {
        let moved = Segment { picture_id_offset: 0x7ffe, tl0_offset: 2, ..segment(0, 0, 0) };
        for (picture_id, wide, expected) in [(1, true, 0x7fff), (2, true, 0), (1, false, 0x7f), (2, false, 0)]
        {
            let numbers = Vp8Numbers { picture_id: Some(picture_id), picture_id_wide: wide, tl0: Some(255) };
            let patch = moved.patch(Some(&numbers)).unwrap();
            assert_eq!((patch.picture_id, patch.tl0), (Some(expected), Some(1)));
        }
        assert_eq!(moved.patch(None), None);
        let numbers = Vp8Numbers { picture_id: Some(5), picture_id_wide: true, tl0: None };
        assert_eq!(segment(0, 0, 0).patch(Some(&numbers)), None, "nothing to change");
    }
}
