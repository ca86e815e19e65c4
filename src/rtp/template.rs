//! Headers by template: what all packets of a stream have in common is laid out once, and a packet adds its numbers.
//!
//! Most of a stream's extension block never changes: the section's name, and the place of the transport-wide number. The
//! header is what [`write_header`](super::header::write_header) writes, bit for bit, in a fifth of its instructions;
//! what needs the two-byte form (RFC 8285 4.3) is left to it.
//!
//! ```text
//! | fixed header 12 | 0xBEDE | words | id, len | mid … | id, 1 | number | passed elements … | padding |
//!                    └──────────── template ─────────────────────────┘
//! ```

use super::header::{FIXED_HEADER_LEN, HeaderOut, ONE_BYTE_PROFILE, fixed_header};

/// Bytes of a template: block header, a name of 16 bytes, the transport-wide number.
const TEMPLATE_BYTES: usize = BLOCK_HEADER_LEN + 17 + 3;

/// Profile and length in words (RFC 8285 4.1.2).
const BLOCK_HEADER_LEN: usize = 4;

/// The longest header that is written here; longer ones take the other way.
const HEADER_BYTES_MAX: usize = 128;

/// The part of the extension block that all packets of a stream have in common.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExtensionTemplate {
    bytes: [u8; TEMPLATE_BYTES],
    len: usize,
    /// Where the transport-wide number stands.
    number_at: Option<usize>,
}

impl ExtensionTemplate {
    /// Lays out the section's name and the place of the transport-wide number under their ids; `None` when one of them
    /// needs the two-byte form.
    pub fn new(mid: Option<(u8, &[u8])>, transport_cc: Option<u8>) -> Option<Self> {
        let mut template = Self { len: BLOCK_HEADER_LEN, ..Self::default() };
        *template.bytes.first_chunk_mut()? = ONE_BYTE_PROFILE.to_be_bytes();
        if let Some((id, name)) = mid {
            template.push(id, name)?;
        }
        if let Some(id) = transport_cc {
            template.push(id, &[0, 0])?;
            template.number_at = Some(template.len - 2);
        }
        Some(template)
    }

    fn push(&mut self, id: u8, data: &[u8]) -> Option<()> {
        let room = self.bytes.get_mut(self.len..)?;
        self.len += put_element(room, id, data)?;
        Some(())
    }

    /// Writes a header with the template's elements, `number` in its place, and the passed elements behind them.
    /// Returns its length; `None`, and leaves `out` in no certain state, when the two-byte form is needed or the room
    /// is short.
    pub fn write<'e>(
        &self,
        out: &mut [u8],
        header: &HeaderOut,
        number: u16,
        passed: impl Iterator<Item = (u8, &'e [u8])>,
    ) -> Option<usize> {
        let out = out.first_chunk_mut::<HEADER_BYTES_MAX>()?;
        let (fixed, block) = out.split_first_chunk_mut::<FIXED_HEADER_LEN>()?;
        *block.first_chunk_mut()? = self.bytes;
        if let Some(at) = self.number_at {
            *block.get_mut(at..)?.first_chunk_mut()? = number.to_be_bytes();
        }
        let mut len = self.len;
        for (id, data) in passed {
            len += put_element(block.get_mut(len..)?, id, data)?;
        }
        let any = len > BLOCK_HEADER_LEN;
        *fixed = fixed_header(header, any);
        if !any {
            return Some(FIXED_HEADER_LEN);
        }
        let end = len.next_multiple_of(4);
        block.get_mut(len..end)?.fill(0);
        let words = u16::try_from((end - BLOCK_HEADER_LEN) / 4).ok()?;
        *block.get_mut(2..)?.first_chunk_mut()? = words.to_be_bytes();
        Some(FIXED_HEADER_LEN + end)
    }
}

/// Writes one element in the one-byte form (RFC 8285 4.2) and returns its length; `None` where that form does not do.
fn put_element(room: &mut [u8], id: u8, data: &[u8]) -> Option<usize> {
    if !(1..=14).contains(&id) || !(1..=16).contains(&data.len()) {
        return None;
    }
    let (head, room) = room.split_first_mut()?;
    // Lossless: the length is 16 at most.
    *head = id << 4 | (data.len() - 1) as u8;
    room.get_mut(..data.len())?.copy_from_slice(data);
    Some(1 + data.len())
}

#[cfg(test)]
mod tests {
    use super::super::header::write_header;
    use super::super::wire::Noise;
    use super::*;

    const HEADER: HeaderOut =
        HeaderOut { marker: true, payload_type: 96, seq: 0xfffe, timestamp: 0x0102_0304, ssrc: 0xdead_beef };

    fn by_template(
        mid: Option<(u8, &[u8])>,
        number: Option<(u8, u16)>,
        passed: &[(u8, &[u8])],
    ) -> Option<Vec<u8>> {
        let mut out = [0xaa; 1500];
        let template = ExtensionTemplate::new(mid, number.map(|(id, _)| id))?;
        let number = number.map_or(7, |(_, number)| number);
        let len = template.write(&mut out, &HEADER, number, passed.iter().copied())?;
        Some(out[..len].to_vec())
    }

    fn by_the_other_way(
        mid: Option<(u8, &[u8])>,
        number: Option<(u8, u16)>,
        passed: &[(u8, &[u8])],
    ) -> Vec<u8> {
        let mut out = [0xaa; 1500];
        let bytes = number.map(|(id, number)| (id, number.to_be_bytes()));
        let number = bytes.as_ref().map(|(id, bytes)| (*id, bytes.as_slice()));
        let all = mid.into_iter().chain(number).chain(passed.iter().copied());
        let len = write_header(&mut out, &HEADER, all);
        assert!(len > 0);
        out[..len].to_vec()
    }

    #[test]
    fn headers_are_those_of_the_other_way_bit_for_bit() {
        let mut noise = Noise(77);
        let bytes: Vec<u8> = (0..64).collect();
        let mut written = 0;
        for _ in 0..20_000 {
            let mut next = |below: u64| (noise.next() % below) as usize;
            let mid = (next(3) > 0).then(|| (1 + next(15) as u8, &bytes[..next(18)]));
            let number = (next(3) > 0).then(|| (1 + next(15) as u8, next(65_536) as u16));
            let passed: Vec<(u8, &[u8])> =
                (0..next(4)).map(|_| (1 + next(15) as u8, &bytes[next(20)..][..next(19)])).collect();
            if let Some(header) = by_template(mid, number, &passed) {
                assert_eq!(header, by_the_other_way(mid, number, &passed));
                written += 1;
            }
        }
        assert!(written > 5_000, "{written} took the short way");
    }

    #[test]
    fn what_needs_two_bytes_or_more_room_is_left_to_the_other_way() {
        let long = [1; 17];
        assert_eq!(by_template(Some((1, &long)), None, &[]), None);
        assert_eq!(by_template(None, Some((15, 1)), &[]), None);
        assert_eq!(by_template(None, None, &[(3, &long)]), None);
        assert_eq!(by_template(None, None, &[(3, &[])]), None);
        assert_eq!(by_template(None, None, &[(3, &long[..16]); 8]), None);
        assert_eq!(by_template(None, None, &[]).map(|header| header.len()), Some(FIXED_HEADER_LEN));
        let template = ExtensionTemplate::new(None, None).unwrap();
        assert_eq!(template.write(&mut [0; 20], &HEADER, 0, std::iter::empty()), None);
    }
}
