//! Retransmission payloads (RFC 4588 4): the original sequence number, then the original payload.

use super::wire::u16_at;

/// Bytes that the original sequence number takes in front of the payload.
pub const OSN_LEN: usize = 2;

/// Writes the original sequence number to the front of `out` and answers its length, or 0 when there is no room.
pub fn write_original_sequence(out: &mut [u8], seq: u16) -> usize {
    match out.first_chunk_mut::<OSN_LEN>() {
        Some(front) => {
            *front = seq.to_be_bytes();
            OSN_LEN
        }
        None => 0,
    }
}

/// Splits a retransmission payload into original sequence number and original payload.
pub fn split_original(payload: &[u8]) -> Option<(u16, &[u8])> {
    Some((u16_at(payload, 0)?, payload.get(OSN_LEN..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_split_again() {
        let mut out = [0, 0, 7, 8];
        assert_eq!(write_original_sequence(&mut out, 0xfffe), 2);
        assert_eq!(split_original(&out), Some((0xfffe, &[7u8, 8][..])));
    }

    #[test]
    fn too_little_room_or_payload_is_refused() {
        assert_eq!(write_original_sequence(&mut [0], 1), 0);
        assert_eq!(split_original(&[1]), None);
    }
}
