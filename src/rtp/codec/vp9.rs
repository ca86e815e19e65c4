//! VP9 payload descriptor (RFC 9628 4.2), as far as a keyframe needs it.
//!
//! ```text
//!      |I|P|L|F|B|E|V|Z|
//! I:   |M| PICTURE ID  |    M: two bytes
//! L:   | TID |U| SID |D|
//! ```

/// Tells whether a payload starts a picture that predicts from no other: P clear, B set, lowest spatial layer.
pub(super) fn starts_keyframe(payload: &[u8]) -> bool {
    let Some((flags, rest)) = payload.split_first() else { return false };
    let (predicted, begins) = (flags & 0x40 != 0, flags & 0x08 != 0);
    if predicted || !begins {
        return false;
    }
    if flags & 0x20 == 0 {
        return !rest.is_empty();
    }
    let picture_id_len = match (flags & 0x80 != 0, rest.first()) {
        (true, Some(byte)) if byte & 0x80 != 0 => 2,
        (true, _) => 1,
        (false, _) => 0,
    };
    rest.get(picture_id_len).is_some_and(|layers| (layers >> 1) & 0x07 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyframe_starts_at_the_lowest_spatial_layer() {
        assert!(starts_keyframe(&[0x08, 0xaa]), "no fields");
        assert!(starts_keyframe(&[0x88, 0x05, 0xaa]), "short picture id");
        assert!(starts_keyframe(&[0xa8, 0x85, 0x05, 0x00, 0x00]), "long picture id and layers");
        assert!(starts_keyframe(&[0x28, 0b0110_0000, 0x00]), "layers alone");
        assert!(!starts_keyframe(&[0xa8, 0x85, 0x05, 0b0000_0010, 0x00]), "second spatial layer");
    }

    #[test]
    fn predicted_pictures_and_continuations_are_no_start() {
        assert!(!starts_keyframe(&[0x48, 0xaa]), "predicted");
        assert!(!starts_keyframe(&[0x00, 0xaa]), "not the begin of a frame");
        assert!(!starts_keyframe(&[0xa8, 0x85, 0x05]), "cut short");
        assert!(!starts_keyframe(&[0x08]), "no data");
    }
}
