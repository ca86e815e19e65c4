//! Redundant audio (RFC 2198 3): earlier encodings in front of the present one, each under its payload type.
//!
//! ```text
//! |1| payload type | timestamp offset 14 | length 10 |    for each earlier encoding
//! |0| payload type |                                      for the present one, the primary
//! | earlier encodings | primary |
//! ```

/// Earlier encodings that are looked over; senders put one or two.
const BLOCKS_MAX: usize = 16;
/// Bytes in front of an earlier encoding.
const BLOCK_HEADER_LEN: usize = 4;

/// Finds where the primary encoding begins; `None` when the payload is no such packet.
pub fn primary(payload: &[u8]) -> Option<usize> {
    let (mut at, mut earlier) = (0, 0);
    for _ in 0..=BLOCKS_MAX {
        if payload.get(at)? & 0x80 == 0 {
            let start = at + 1 + earlier;
            return (start <= payload.len()).then_some(start);
        }
        let header: [u8; BLOCK_HEADER_LEN] = *payload.get(at..)?.first_chunk()?;
        earlier += usize::from(u16::from_be_bytes([header[2], header[3]]) & 0x03ff);
        at += BLOCK_HEADER_LEN;
    }
    None
}

/// Gives the encodings of one payload type another, in place. What is no such packet may change in its first bytes.
pub fn renumber(payload_copy: &mut [u8], from: u8, to: u8) {
    let mut headers = payload_copy;
    for _ in 0..=BLOCKS_MAX {
        let Some((head, rest)) = headers.split_first_mut() else { return };
        let is_earlier = *head & 0x80;
        if *head & 0x7f == from {
            *head = is_earlier | to & 0x7f;
        }
        if is_earlier == 0 {
            return;
        }
        headers = rest.get_mut(BLOCK_HEADER_LEN - 1..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::Noise;
    use super::*;

    /// Two earlier encodings of three and one bytes, and the primary.
    const PACKET: [u8; 16] =
        [0x80 | 111, 0x1e, 0x00, 3, 0x80 | 111, 0x0f, 0x00, 1, 111, 1, 2, 3, 4, 0xaa, 0xbb, 0xcc];

    #[test]
    fn the_primary_lies_behind_all_earlier_encodings() {
        assert_eq!(primary(&PACKET), Some(13));
        assert_eq!(primary(&[111, 7, 7]), Some(1), "none earlier");
        assert_eq!(primary(&[111]), Some(1), "an empty primary");
        assert_eq!(
            primary(&[0x80 | 111, 0, 0x03, 0xff, 111, 9]),
            None,
            "an earlier one longer than the packet"
        );
        assert_eq!(primary(&[]), None);
        assert_eq!(primary(&[0x80 | 111, 0, 0]), None, "cut short");
    }

    #[test]
    fn only_the_numbers_of_encodings_change() {
        let mut copy = PACKET;
        renumber(&mut copy, 111, 96);
        let mut expected = PACKET;
        (expected[0], expected[4], expected[8]) = (0x80 | 96, 0x80 | 96, 96);
        assert_eq!(copy, expected);
        renumber(&mut copy, 111, 5);
        assert_eq!(copy, expected, "another payload type stays");
    }

    #[test]
    fn any_bytes_are_survived() {
        let mut noise = Noise(2198);
        for _ in 0..50_000 {
            let mut bytes = noise.bytes(80);
            assert!(primary(&bytes).is_none_or(|start| start <= bytes.len()));
            renumber(&mut bytes, 111, 96);
        }
    }
}
