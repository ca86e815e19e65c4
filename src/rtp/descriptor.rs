//! The dependency descriptor (AV1 RTP payload specification 1.0, A.8), as far as it tells which frame and which spatial layer
//! a packet belongs to.
//!
//! ```text
//! |S|E| template id 6 | frame number 16 |     S, E: begins, ends a frame
//! |structure|targets|indications|differences|chains|
//! | first template id 6 | decode targets 5 | next layer 2 ... |     only with the structure
//! ```

use super::wire::u16_at;

/// Where the frame number stands.
pub const FRAME_NUMBER_AT: usize = 1;

/// Reads the number of the frame, which counts on through all layers.
pub fn frame_number(descriptor: &[u8]) -> Option<u16> {
    u16_at(descriptor, FRAME_NUMBER_AT)
}

/// Whether it holds the structure of its stream.
pub fn has_structure(descriptor: &[u8]) -> bool {
    descriptor.get(3).is_some_and(|flags| flags & 0x80 != 0)
}

/// Whether the packet is the first one of a keyframe: the structure of a stream comes with the first frame of a sequence that
/// can be decoded by itself.
pub fn begins_sequence(descriptor: &[u8]) -> bool {
    has_structure(descriptor) && descriptor.first().is_some_and(|head| head & 0x80 != 0)
}

/// Templates that a stream may have: as many as their ids.
const TEMPLATES_MAX: usize = 64;

/// Where a packet stands among the spatial layers of its stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SpatialPlace {
    /// Nothing is known of layers.
    #[default]
    Unknown,
    /// In the lowest layer.
    Lowest {
        /// Whether it ends the frame of that layer.
        ends_frame: bool,
    },
    /// In a layer above it.
    Upper,
}

/// The spatial layers of the templates of one stream.
#[derive(Debug, Clone)]
pub struct Templates {
    first: u8,
    spatial: [u8; TEMPLATES_MAX],
    count: u8,
}

impl Default for Templates {
    fn default() -> Self {
        Self { first: 0, spatial: [0; TEMPLATES_MAX], count: 0 }
    }
}

impl Templates {
    /// Finds the place of a packet by its descriptor, and takes over the structure that the descriptor may hold.
    pub fn place(&mut self, descriptor: &[u8]) -> SpatialPlace {
        let Some((&[head, _, _], extended)) = descriptor.split_first_chunk::<3>() else {
            return SpatialPlace::Unknown;
        };
        if has_structure(descriptor) {
            *self = Self::read(extended).unwrap_or_default();
        }
        // A.8.2: ids count on from the first one, modulo 64.
        let index = (head & 0x3f).wrapping_sub(self.first) & 0x3f;
        match self.spatial.get(usize::from(index)) {
            Some(0) if index < self.count => SpatialPlace::Lowest { ends_frame: head & 0x40 != 0 },
            Some(_) if index < self.count => SpatialPlace::Upper,
            _ => SpatialPlace::Unknown,
        }
    }

    /// Reads the beginning of a structure: the id of the first template, and the layer of each.
    fn read(extended: &[u8]) -> Option<Self> {
        let mut bits = Bits { bytes: extended, at: 5 };
        let mut templates = Self { first: bits.take(6)?, ..Self::default() };
        // Decode targets.
        bits.take(5)?;
        let mut spatial = 0;
        loop {
            *templates.spatial.get_mut(usize::from(templates.count))? = spatial;
            templates.count += 1;
            // A.8.2, template_layers: the next template is in the same layers, a higher temporal, a higher spatial, or none.
            match bits.take(2)? {
                2 => spatial += 1,
                3 => return Some(templates),
                _ => {}
            }
        }
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<u8> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | byte >> (7 - self.at % 8) & 1;
            self.at += 1;
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::Noise;
    use super::*;

    /// A descriptor with a structure of templates in these spatial layers, the first of which has the id 60.
    fn structure(template: u8, layers: &[u8]) -> Vec<u8> {
        let mut bits: Vec<bool> = vec![true, false, false, false, false];
        let mut put =
            |value: u8, count: u8| (0..count).rev().for_each(|bit| bits.push(value >> bit & 1 == 1));
        put(60, 6);
        put(2, 5);
        for pair in layers.windows(2) {
            put(if pair[1] > pair[0] { 2 } else { 0 }, 2);
        }
        put(3, 2);
        put(0, 8);
        let mut bytes = vec![0xc0 | template & 0x3f, 0, 1];
        bytes.extend(bits.chunks(8).map(|byte| {
            (0..8).fold(0, |sum, bit| sum << 1 | u8::from(byte.get(bit).copied().unwrap_or_default()))
        }));
        bytes
    }

    #[test]
    fn packets_are_placed_by_the_structure_that_came_last() {
        let mut templates = Templates::default();
        assert_eq!(templates.place(&[0xc0, 0, 1]), SpatialPlace::Unknown, "no structure yet");
        let layers = [0, 0, 1, 1, 2, 2];
        assert_eq!(templates.place(&structure(60, &layers)), SpatialPlace::Lowest { ends_frame: true });
        let place = |templates: &mut Templates, id: u8| templates.place(&[0x80 | id & 0x3f, 0, 2]);
        assert_eq!(place(&mut templates, 61), SpatialPlace::Lowest { ends_frame: false });
        for id in 62..66 {
            assert_eq!(place(&mut templates, id), SpatialPlace::Upper, "{id}");
        }
        assert_eq!(place(&mut templates, 66), SpatialPlace::Unknown, "no such template");
        assert_eq!(templates.place(&structure(61, &[0, 1])), SpatialPlace::Upper);
        assert_eq!(place(&mut templates, 62), SpatialPlace::Unknown, "of the structure before");
        assert_eq!(templates.place(&[0x80]), SpatialPlace::Unknown, "cut short");
    }

    #[test]
    fn any_bytes_are_survived() {
        let mut noise = Noise(1);
        let mut templates = Templates::default();
        for _ in 0..50_000 {
            templates.place(&noise.bytes(40));
        }
        let endless = [vec![0, 0, 0, 0x80], vec![0; 200]].concat();
        assert_eq!(templates.place(&endless), SpatialPlace::Unknown, "more templates than there are ids");
    }
}
