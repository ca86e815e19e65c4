//! AV1 aggregation header (AV1 RTP payload specification 1.0, 4.4), as far as a keyframe needs it.
//!
//! ```text
//! |Z|Y| W |N|-|-|-|    Z: continues an OBU, W: number of OBU elements or 0, N: new coded video sequence
//! ```

/// OBU type of a sequence header (AV1 bitstream specification 6.2.2).
const SEQUENCE_HEADER: u8 = 1;

/// Elements of one packet that are looked at; encoders put the sequence header first or second.
const ELEMENTS_MAX: usize = 8;

/// Tells whether a payload starts a coded video sequence, by the N bit or by a sequence header.
pub(super) fn starts_keyframe(payload: &[u8]) -> bool {
    let Some((aggregation, elements)) = payload.split_first() else { return false };
    let continues = aggregation & 0x80 != 0;
    if continues {
        // 4.4: Z and N exclude each other, and a sequence header is never cut in two by encoders.
        return false;
    }
    if aggregation & 0x08 != 0 {
        return !elements.is_empty();
    }
    has_sequence_header(elements, usize::from((aggregation >> 4) & 0x03))
}

/// Walks over OBU elements; `count` 0 means that every element has a length, else the last has none.
fn has_sequence_header(mut elements: &[u8], count: usize) -> bool {
    for place in 1..=ELEMENTS_MAX {
        let element = if place == count {
            elements
        } else {
            let Some((len, rest)) = leb128(elements) else { return false };
            let Some((element, behind)) = rest.split_at_checked(len) else { return false };
            elements = behind;
            element
        };
        if element.first().is_some_and(|header| (header >> 3) & 0x0f == SEQUENCE_HEADER) {
            return true;
        }
        if place == count || elements.is_empty() {
            return false;
        }
    }
    false
}

/// Reads a length of up to 32 bits in LEB128 form (AV1 bitstream specification 4.10.5).
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0u64;
    for (place, byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, bytes.get(place + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_sequence_is_found_by_its_bit() {
        assert!(starts_keyframe(&[0x18, 0x32, 0x00]));
        assert!(!starts_keyframe(&[0x10, 0x32, 0x00]));
        assert!(!starts_keyframe(&[0x98, 0x32, 0x00]), "a continuation starts nothing");
        assert!(!starts_keyframe(&[0x08]), "no data");
    }

    #[test]
    fn a_new_sequence_is_found_by_its_header() {
        assert!(starts_keyframe(&[0x10, 0x08, 0x00]), "alone, without length");
        assert!(starts_keyframe(&[0x00, 0x02, 0x08, 0x00]), "alone, with length");
        assert!(starts_keyframe(&[0x20, 0x01, 0x12, 0x08, 0x00]), "behind a temporal delimiter");
        assert!(!starts_keyframe(&[0x20, 0x01, 0x12, 0x32, 0x00]), "frame behind a temporal delimiter");
        assert!(!starts_keyframe(&[0x00, 0x09, 0x08, 0x00]), "element longer than the packet");
        assert!(!starts_keyframe(&[0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0x08]), "length without end");
    }
}
