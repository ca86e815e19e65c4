//! VP8 payload descriptor (RFC 7741 4.2): read once per packet, patched per subscription.
//!
//! ```text
//!      |X|R|N|S|R| PID |
//! X:   |I|L|T|K| RSV   |
//! I:   |M| PictureID   |    M: 15 bits in two bytes, else 7 in one
//! L:   |   TL0PICIDX   |
//! T/K: |TID|Y| KEYIDX  |
//! ```

use super::super::wire::u16_at;

/// The fields of a descriptor, and where they lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vp8Descriptor {
    /// Length of the descriptor; VP8 data follow.
    pub len: usize,
    /// This packet starts the first partition of a frame.
    pub starts_frame: bool,
    /// No other frame refers to this one.
    pub non_reference: bool,
    /// Picture id.
    pub picture_id: Option<u16>,
    /// Width of the picture id: 15, 7, or 0 when there is none.
    pub picture_id_bits: u8,
    /// Running index of the frames of the lowest temporal layer.
    pub tl0: Option<u8>,
    /// Temporal layer.
    pub tid: Option<u8>,
    /// This frame depends on the lowest temporal layer only.
    pub layer_sync: bool,
    /// Temporal key frame index.
    pub keyidx: Option<u8>,
    picture_id_at: usize,
    tl0_at: usize,
}

impl Vp8Descriptor {
    /// Reads the descriptor in front of a payload; `None` when the payload ends inside it.
    pub fn parse(payload: &[u8]) -> Option<Vp8Descriptor> {
        let first = *payload.first()?;
        let mut descriptor = Vp8Descriptor {
            len: 1,
            starts_frame: first & 0x17 == 0x10,
            non_reference: first & 0x20 != 0,
            picture_id: None,
            picture_id_bits: 0,
            tl0: None,
            tid: None,
            layer_sync: false,
            keyidx: None,
            picture_id_at: 0,
            tl0_at: 0,
        };
        if first & 0x80 == 0 {
            return Some(descriptor);
        }
        let extension = *payload.get(1)?;
        let mut at = 2;
        if extension & 0x80 != 0 {
            let byte = *payload.get(at)?;
            descriptor.picture_id_at = at;
            if byte & 0x80 != 0 {
                descriptor.picture_id = Some(u16_at(payload, at)? & 0x7fff);
                descriptor.picture_id_bits = 15;
                at += 2;
            } else {
                descriptor.picture_id = Some(u16::from(byte));
                descriptor.picture_id_bits = 7;
                at += 1;
            }
        }
        if extension & 0x40 != 0 {
            descriptor.tl0_at = at;
            descriptor.tl0 = Some(*payload.get(at)?);
            at += 1;
        }
        if extension & 0x30 != 0 {
            let byte = *payload.get(at)?;
            if extension & 0x20 != 0 {
                descriptor.tid = Some(byte >> 6);
                descriptor.layer_sync = byte & 0x20 != 0;
            }
            if extension & 0x10 != 0 {
                descriptor.keyidx = Some(byte & 0x1f);
            }
            at += 1;
        }
        descriptor.len = at;
        Some(descriptor)
    }
}

/// New values for the running numbers of one packet. A number that the packet does not carry stays absent and
/// the width of the picture id never changes: a value that does not fit wraps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Vp8Patch {
    /// Picture id to write, modulo 2^15 or 2^7 by the width in the packet.
    pub picture_id: Option<u16>,
    /// TL0PICIDX to write.
    pub tl0: Option<u8>,
}

impl Vp8Patch {
    /// Writes the numbers into a payload of one's own, in place; leaves a payload alone that has no descriptor.
    pub fn apply(&self, payload_copy: &mut [u8]) {
        let Some(descriptor) = Vp8Descriptor::parse(payload_copy) else { return };
        if let Some(picture_id) = self.picture_id {
            let room = payload_copy.get_mut(descriptor.picture_id_at..).unwrap_or_default();
            match (descriptor.picture_id_bits, room) {
                (15, [high, low, ..]) => [*high, *low] = (picture_id | 0x8000).to_be_bytes(),
                (7, [only, ..]) => *only = (picture_id & 0x7f) as u8,
                _ => {}
            }
        }
        if let (Some(tl0), Some(_), Some(byte)) =
            (self.tl0, descriptor.tl0, payload_copy.get_mut(descriptor.tl0_at))
        {
            *byte = tl0;
        }
    }
}

/// What stands behind the three bytes that all frames begin with, where a frame is a key frame (RFC 6386 9.1).
const START_CODE: [u8; 3] = [0x9d, 0x01, 0x2a];

/// Tells whether a payload starts a frame whose header says key frame (RFC 7741 4.3: P bit clear). One bit says little where
/// payloads are encrypted end to end, so the start code has to be there as well, as far as the packet reaches.
pub(super) fn starts_keyframe(payload: &[u8]) -> bool {
    Vp8Descriptor::parse(payload).filter(|descriptor| descriptor.starts_frame).is_some_and(|descriptor| {
        match payload.get(descriptor.len..).unwrap_or_default() {
            [header, _, _, rest @ ..] => {
                header & 0x01 == 0 && START_CODE.iter().zip(rest).all(|(code, byte)| code == byte)
            }
            [header, ..] => header & 0x01 == 0,
            [] => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::wire::Noise;
    use super::*;

    #[test]
    fn a_full_descriptor_is_read() {
        let payload = [0x90, 0xf0, 0x92, 0x34, 0x56, 0b0110_0111, 0x00, 0x11];
        let read = Vp8Descriptor::parse(&payload).unwrap();
        assert_eq!(read.len, 6);
        assert!(read.starts_frame && read.layer_sync && !read.non_reference);
        assert_eq!((read.picture_id, read.picture_id_bits), (Some(0x1234), 15));
        assert_eq!((read.tl0, read.tid, read.keyidx), (Some(0x56), Some(1), Some(7)));
        assert!(starts_keyframe(&payload));
    }

    #[test]
    fn fields_that_are_not_announced_are_absent() {
        let bare = Vp8Descriptor::parse(&[0x00, 0xff]).unwrap();
        assert_eq!((bare.len, bare.starts_frame, bare.picture_id, bare.tl0), (1, false, None, None));
        let keyidx_only = Vp8Descriptor::parse(&[0x80, 0x10, 0xff]).unwrap();
        assert_eq!((keyidx_only.tid, keyidx_only.keyidx, keyidx_only.len), (None, Some(31), 3));
    }

    #[test]
    fn a_keyframe_starts_only_at_its_first_partition() {
        assert!(starts_keyframe(&[0x10, 0x00]));
        assert!(!starts_keyframe(&[0x10, 0x01]), "interframe");
        assert!(!starts_keyframe(&[0x00, 0x00]), "continuation");
        assert!(!starts_keyframe(&[0x11, 0x00]), "second partition");
        assert!(!starts_keyframe(&[0x10]), "nothing behind the descriptor");
        assert!(starts_keyframe(&[0x10, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80]));
        assert!(
            !starts_keyframe(&[0x10, 0x10, 0, 0, 0x9d, 0x02, 0x2a, 0x80]),
            "encrypted, and one bit right"
        );
    }

    #[test]
    fn a_descriptor_that_is_cut_short_is_refused() {
        let payload = [0x90, 0xf0, 0x92, 0x34, 0x56, 0x47];
        for len in 0..payload.len() {
            assert_eq!(Vp8Descriptor::parse(&payload[..len]), None, "{len}");
        }
        assert!(Vp8Descriptor::parse(&payload).is_some());
    }

    #[test]
    fn a_patch_keeps_the_width_and_everything_else() {
        let patch = Vp8Patch { picture_id: Some(0x7fff), tl0: Some(9) };
        let mut wide = [0x90, 0xe0, 0x80, 0x01, 0x05, 0x40, 0xaa];
        patch.apply(&mut wide);
        assert_eq!(wide, [0x90, 0xe0, 0xff, 0xff, 0x09, 0x40, 0xaa]);

        let mut narrow = [0x90, 0xc0, 0x01, 0x05, 0xaa];
        Vp8Patch { picture_id: Some(128 + 3), tl0: None }.apply(&mut narrow);
        assert_eq!(narrow, [0x90, 0xc0, 0x03, 0x05, 0xaa]);
    }

    #[test]
    fn a_patch_adds_nothing_that_was_not_there() {
        let patch = Vp8Patch { picture_id: Some(1), tl0: Some(2) };
        for bytes in [&[0x10u8, 0xaa, 0xbb][..], &[0x90, 0x20, 0x40, 0xaa], &[0x90], &[]] {
            let mut copy = bytes.to_vec();
            patch.apply(&mut copy);
            assert_eq!(copy, bytes);
        }
    }

    #[test]
    fn patched_noise_reads_back_as_patched() {
        let mut noise = Noise(0xfeed_face_cafe_beef);
        for _ in 0..50_000 {
            let mut bytes = noise.bytes(10);
            let before = Vp8Descriptor::parse(&bytes);
            let patch = Vp8Patch { picture_id: Some(noise.next() as u16), tl0: Some(noise.next() as u8) };
            patch.apply(&mut bytes);
            let after = Vp8Descriptor::parse(&bytes);
            assert_eq!(before.map(|d| (d.len, d.tid, d.keyidx)), after.map(|d| (d.len, d.tid, d.keyidx)));
            if let Some(after) = after {
                let mask = (1u16 << after.picture_id_bits) - 1;
                assert_eq!(
                    after.picture_id,
                    after.picture_id.and_then(|_| patch.picture_id.map(|id| id & mask))
                );
                assert_eq!(after.tl0, after.tl0.and(patch.tl0));
            }
        }
    }
}
