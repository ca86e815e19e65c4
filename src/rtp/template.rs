//! Headers by template: what all packets of a stream have in common is laid out once, and a packet adds its numbers.
//!
//! Most of a stream's extension block never changes: the section's name, and the place of the transport-wide number. The
//! header is what [`write_header`](super::header::write_header) writes, bit for bit, in a small part of its instructions;
//! what needs the two-byte form (RFC 8285 4.3) is left to it.
//!
//! ```text
//! | fixed header 12 | 0xBEDE | words | id, len | mid … | id, 1 | number | passed elements … | padding |
//!                    └──────────── template ─────────────────────────┘
//! ```

use super::descriptor::FRAME_NUMBER_AT;
use super::extension::{ExtensionKind, PassedExtensions};
use super::header::{FIXED_HEADER_LEN, HeaderOut, ONE_BYTE_PROFILE, fixed_header};

/// Bytes of a template: block header, a name of 16 bytes, the transport-wide number.
const TEMPLATE_BYTES: usize = BLOCK_HEADER_LEN + 17 + 3;

/// Profile and length in words (RFC 8285 4.1.2).
const BLOCK_HEADER_LEN: usize = 4;

/// The longest header that is written here; longer ones take the other way.
const HEADER_BYTES_MAX: usize = 128;

/// The id of each kind of extension that is passed on, by its place in [`ExtensionKind::ALL`]; 0 for none.
pub type PassedIds = [u8; ExtensionKind::ALL.len()];

/// The part of the extension block that all packets of a stream have in common, and the ids of what is passed on.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExtensionTemplate {
    /// As it leaves where nothing is passed on: length in words and padding included.
    bytes: [u8; TEMPLATE_BYTES],
    /// Without the padding.
    len: usize,
    /// The whole header where nothing is passed on.
    header_len: usize,
    /// Where the transport-wide number stands.
    number_at: Option<usize>,
    ids: PassedIds,
}

impl ExtensionTemplate {
    /// Lays out the section's name and the place of the transport-wide number under their ids; `None` when one of them
    /// needs the two-byte form.
    pub fn new(mid: Option<(u8, &[u8])>, transport_cc: Option<u8>, ids: PassedIds) -> Option<Self> {
        let mut template = Self { len: BLOCK_HEADER_LEN, ids, ..Self::default() };
        if let Some((id, name)) = mid {
            template.push(id, name)?;
        }
        if let Some(id) = transport_cc {
            template.push(id, &[0, 0])?;
            template.number_at = Some(template.len - 2);
        }
        let padded = template.len.next_multiple_of(4);
        let any = padded > BLOCK_HEADER_LEN;
        template.header_len = FIXED_HEADER_LEN + if any { padded } else { 0 };
        template.bytes.first_chunk_mut().map(|head| *head = block_head(padded))?;
        Some(template)
    }

    fn push(&mut self, id: u8, data: &[u8]) -> Option<()> {
        let room = self.bytes.get_mut(self.len..)?;
        self.len += put_element(room, id, data)?;
        Some(())
    }

    /// Writes a header with the template's elements, `number` in its place, and what is passed on behind them, its
    /// dependency descriptor with another frame number if there is one. Returns its length; `None`, and leaves `out` in no
    /// certain state, when the two-byte form is needed or the room is short.
    #[inline]
    pub fn write(
        &self,
        out: &mut [u8],
        header: &HeaderOut,
        number: u16,
        passed: &PassedExtensions,
        frame_number: Option<u16>,
    ) -> Option<usize> {
        let out = out.first_chunk_mut::<HEADER_BYTES_MAX>()?;
        let (fixed, block) = out.split_first_chunk_mut::<FIXED_HEADER_LEN>()?;
        *block.first_chunk_mut()? = self.bytes;
        if let Some(at) = self.number_at {
            *block.get_mut(at..)?.first_chunk_mut()? = number.to_be_bytes();
        }
        let mut header_len = self.header_len;
        if !passed.is_empty() {
            header_len = FIXED_HEADER_LEN + self.pass_on(block, passed, frame_number)?;
        }
        *fixed = fixed_header(header, header_len > FIXED_HEADER_LEN);
        Some(header_len)
    }

    /// Writes what is passed on behind the template's elements, and returns the length of the block.
    fn pass_on(
        &self,
        block: &mut [u8],
        passed: &PassedExtensions,
        frame_number: Option<u16>,
    ) -> Option<usize> {
        let mut len = self.len;
        for (kind, data) in passed {
            let id = *self.ids.get(kind as usize)?;
            if id == 0 {
                continue;
            }
            let place = block.get_mut(len..)?;
            len += put_element(place, id, data)?;
            if let Some(number) = frame_number.filter(|_| kind == ExtensionKind::DependencyDescriptor)
                && data.len() > FRAME_NUMBER_AT + 1
            {
                *place.get_mut(1 + FRAME_NUMBER_AT..)?.first_chunk_mut()? = number.to_be_bytes();
            }
        }
        if len == BLOCK_HEADER_LEN {
            return Some(0);
        }
        // Padding up to the next word: what lies behind that is overwritten by the payload.
        *block.get_mut(len..)?.first_chunk_mut()? = [0; 4];
        let end = len.next_multiple_of(4);
        *block.first_chunk_mut()? = block_head(end);
        Some(end)
    }
}

/// Profile and length of a block of so many bytes.
fn block_head(len: usize) -> [u8; BLOCK_HEADER_LEN] {
    let [p0, p1] = ONE_BYTE_PROFILE.to_be_bytes();
    // Lossless: a block is shorter than a header is here.
    let [w0, w1] = ((len.saturating_sub(BLOCK_HEADER_LEN) / 4) as u16).to_be_bytes();
    [p0, p1, w0, w1]
}

/// Writes one element in the one-byte form (RFC 8285 4.2) and returns its length; `None` where that form does not do.
fn put_element(room: &mut [u8], id: u8, data: &[u8]) -> Option<usize> {
    if !(1..=14).contains(&id) || !(1..=16).contains(&data.len()) {
        return None;
    }
    let (head, room) = room.split_first_mut()?;
    // Lossless: the length is 16 at most.
    *head = id << 4 | (data.len() - 1) as u8;
    match (room.get_mut(..data.len())?, data) {
        // Most are as short as that, and a call to copy them takes longer.
        ([to], [from]) => *to = *from,
        (room, data) => room.copy_from_slice(data),
    }
    Some(1 + data.len())
}

#[cfg(test)]
mod tests {
    use super::super::header::{RtpView, write_header};
    use super::super::wire::Noise;
    use super::*;

    const HEADER: HeaderOut =
        HeaderOut { marker: true, payload_type: 96, seq: 0xfffe, timestamp: 0x0102_0304, ssrc: 0xdead_beef };

    /// Kinds that are passed on, each under the id behind it.
    fn passed_of(passed: &[(ExtensionKind, u8, &[u8])]) -> (PassedIds, PassedExtensions) {
        let (mut ids, mut extensions) = (PassedIds::default(), PassedExtensions::EMPTY);
        for (kind, id, data) in passed {
            ids[*kind as usize] = *id;
            assert!(extensions.push(*kind, data));
        }
        (ids, extensions)
    }

    fn by_template(
        mid: Option<(u8, &[u8])>,
        number: Option<(u8, u16)>,
        passed: &[(ExtensionKind, u8, &[u8])],
    ) -> Option<Vec<u8>> {
        let mut out = [0xaa; 1500];
        let (ids, passed) = passed_of(passed);
        let template = ExtensionTemplate::new(mid, number.map(|(id, _)| id), ids)?;
        let number = number.map_or(7, |(_, number)| number);
        let len = template.write(&mut out, &HEADER, number, &passed, None)?;
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
            let kinds = ExtensionKind::ALL.into_iter().filter(|kind| kind.is_passed()).take(next(4));
            // Now and then one that the client has not taken.
            let passed: Vec<(ExtensionKind, u8, &[u8])> =
                kinds.map(|kind| (kind, next(16) as u8, &bytes[next(20)..][..next(19)])).collect();
            if let Some(header) = by_template(mid, number, &passed) {
                let taken: Vec<(u8, &[u8])> =
                    passed.iter().map(|(_, id, data)| (*id, *data)).filter(|(id, _)| *id != 0).collect();
                assert_eq!(header, by_the_other_way(mid, number, &taken));
                written += 1;
            }
        }
        assert!(written > 5_000, "{written} took the short way");
    }

    #[test]
    fn what_needs_two_bytes_or_more_room_is_left_to_the_other_way() {
        let (long, kind) = ([1; 17], ExtensionKind::ColorSpace);
        assert_eq!(by_template(Some((1, &long)), None, &[]), None);
        assert_eq!(by_template(None, Some((15, 1)), &[]), None);
        assert_eq!(by_template(None, None, &[(kind, 15, &[1])]), None);
        assert_eq!(by_template(None, None, &[(kind, 3, &long)]), None);
        assert_eq!(by_template(None, None, &[(kind, 3, &[])]), None);
        let kinds = ExtensionKind::ALL.into_iter().filter(|kind| kind.is_passed());
        let many: Vec<_> = kinds.map(|kind| (kind, 3, &long[..16])).collect();
        assert_eq!(by_template(Some((1, &long[..16])), None, &many), None);
        assert_eq!(by_template(None, None, &[]).map(|header| header.len()), Some(FIXED_HEADER_LEN));
        assert_eq!(by_template(None, None, &[(kind, 0, &[1])]).map(|header| header.len()), Some(12));
        let template = ExtensionTemplate::new(None, None, PassedIds::default()).unwrap();
        assert_eq!(template.write(&mut [0; 20], &HEADER, 0, &PassedExtensions::EMPTY, None), None);
    }

    #[test]
    fn a_frame_number_is_written_into_the_descriptor_alone() {
        let descriptor = ExtensionKind::DependencyDescriptor;
        for (data, expected) in [(&[0xc0, 1, 2][..], &[0xc0, 0x12, 0x34][..]), (&[0xc0, 1], &[0xc0, 1])] {
            let passed = [(ExtensionKind::PlayoutDelay, 4, &[7, 8, 9][..]), (descriptor, 5, data)];
            let (ids, passed) = passed_of(&passed);
            let template = ExtensionTemplate::new(None, None, ids).unwrap();
            let mut out = [0xaa; 1500];
            let len = template.write(&mut out, &HEADER, 0, &passed, Some(0x1234)).unwrap();
            let view = RtpView::parse(&out[..len]).unwrap();
            assert_eq!(view.extensions().collect::<Vec<_>>(), [(4, &[7, 8, 9][..]), (5, expected)]);
        }
    }
}
