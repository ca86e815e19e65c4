//! The RTP header (RFC 3550 5.1) with its extension block (RFC 8285): a view over a datagram, and the writer
//! of the headers that leave.
//!
//! ```text
//!  0                   1                   2                   3
//! |V=2|P|X|  CC   |M|     PT      |       sequence number         |
//! |                           timestamp                           |
//! |                             SSRC                              |
//! |                  CSRC, CC times 32 bits                       |
//! |   0xBEDE or 0x100x            |    length in 32-bit words     |  only with X
//! |                 extension elements, padded                    |
//! ```

use std::ops::Range;

use super::wire::{Writer, u16_at, u32_at};

/// Length of a header without CSRCs and extensions.
pub const FIXED_HEADER_LEN: usize = 12;

/// Profile of the extension block with one-byte element headers (RFC 8285 4.2).
pub(super) const ONE_BYTE_PROFILE: u16 = 0xBEDE;

/// Profile of the extension block with two-byte element headers, whose low four bits are free (RFC 8285 4.3).
const TWO_BYTE_PROFILE: u16 = 0x1000;

/// An RTP packet as it lies in a datagram. Nothing is copied.
#[derive(Debug, Clone, Copy)]
pub struct RtpView<'a> {
    bytes: &'a [u8],
    header_len: usize,
    profile: u16,
    elements: &'a [u8],
    timestamp: u32,
    ssrc: u32,
    sequence: u16,
    second: u8,
}

impl<'a> RtpView<'a> {
    /// Reads the header; `None` when the bytes cannot be RTP version 2 or end inside the header.
    pub fn parse(datagram: &'a [u8]) -> Option<RtpView<'a>> {
        let (first, second) = (*datagram.first()?, *datagram.get(1)?);
        if first >> 6 != 2 {
            return None;
        }
        let (sequence, timestamp, ssrc) = (u16_at(datagram, 2)?, u32_at(datagram, 4)?, u32_at(datagram, 8)?);
        let fixed_len = FIXED_HEADER_LEN + 4 * usize::from(first & 0x0f);
        let (profile, elements_len) = if first & 0x10 == 0 {
            (0, None)
        } else {
            (u16_at(datagram, fixed_len)?, Some(4 * usize::from(u16_at(datagram, fixed_len + 2)?)))
        };
        let header_len = fixed_len + elements_len.map_or(0, |len| 4 + len);
        if header_len > datagram.len() {
            return None;
        }
        let elements = match elements_len {
            Some(len) => datagram.get(header_len - len..header_len)?,
            None => &[],
        };
        Some(RtpView { bytes: datagram, header_len, profile, elements, timestamp, ssrc, sequence, second })
    }

    /// Marker bit.
    pub fn marker(&self) -> bool {
        self.second & 0x80 != 0
    }

    /// Payload type.
    pub fn payload_type(&self) -> u8 {
        self.second & 0x7f
    }

    /// Sequence number.
    pub fn sequence(&self) -> u16 {
        self.sequence
    }

    /// RTP timestamp.
    pub fn timestamp(&self) -> u32 {
        self.timestamp
    }

    /// Synchronisation source.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Length of the header with CSRCs and extension block: what SRTP leaves in clear.
    pub fn header_len(&self) -> usize {
        self.header_len
    }

    /// Everything after the header, padding included; the only payload that a sealed packet has.
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(self.header_len..).unwrap_or_default()
    }

    /// The payload of a packet in clear without its padding (RFC 3550 5.1, P bit); `None` when the padding
    /// claims more bytes than there are.
    pub fn unpadded_payload(&self) -> Option<&'a [u8]> {
        let payload = self.payload();
        if self.bytes.first()? & 0x20 == 0 {
            return Some(payload);
        }
        let padding = usize::from(*payload.last()?);
        if padding == 0 {
            return None;
        }
        payload.get(..payload.len().checked_sub(padding)?)
    }

    /// Walks over the extension elements: id and data.
    pub fn extensions(&self) -> ExtensionIter<'a> {
        let two_byte = self.profile & 0xfff0 == TWO_BYTE_PROFILE;
        let known = two_byte || self.profile == ONE_BYTE_PROFILE;
        ExtensionIter { rest: if known { self.elements } else { &[] }, two_byte }
    }
}

impl RtpView<'_> {
    /// Tells where the data of an extension element lie in the datagram.
    pub fn extension_place(&self, wanted: u8) -> Option<Range<usize>> {
        let mut elements = self.extensions();
        while let Some((id, data)) = elements.next() {
            if id == wanted {
                let end = self.header_len - elements.rest.len();
                return Some(end - data.len()..end);
            }
        }
        None
    }
}

/// Walks over the elements of an extension block; ends at the first element that is cut short.
#[derive(Debug, Clone)]
pub struct ExtensionIter<'a> {
    rest: &'a [u8],
    two_byte: bool,
}

impl<'a> ExtensionIter<'a> {
    /// Takes the id and length in front of the next element.
    fn element_head(&mut self) -> Option<(u8, usize)> {
        loop {
            let (head, rest) = self.rest.split_first()?;
            if *head == 0 {
                // RFC 8285 4.1.2: a zero byte is padding, between elements as well as at the end.
                self.rest = rest;
                continue;
            }
            if self.two_byte {
                let (len, rest) = rest.split_first()?;
                self.rest = rest;
                return Some((*head, usize::from(*len)));
            }
            let id = head >> 4;
            // RFC 8285 4.2: ids 0 (with a length) and 15 end the processing of the block.
            if id == 0 || id == 15 {
                return None;
            }
            self.rest = rest;
            return Some((id, usize::from(head & 0x0f) + 1));
        }
    }
}

impl<'a> Iterator for ExtensionIter<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let element = self.element_head().and_then(|(id, len)| {
            let (data, rest) = self.rest.split_at_checked(len)?;
            self.rest = rest;
            Some((id, data))
        });
        if element.is_none() {
            self.rest = &[];
        }
        element
    }
}

/// The fields of a header to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderOut {
    /// Marker bit.
    pub marker: bool,
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Sequence number.
    pub seq: u16,
    /// RTP timestamp.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
}

/// Writes a header with its extension block to the front of `out` and answers its length, or 0 when `out` is
/// too short.
///
/// One-byte element headers are used when every id and length allows them, else two-byte ones (RFC 8285 4.1.2
/// forbids a mixture). Elements that no form can carry (id 0, more than 255 bytes) are left out.
pub fn write_header<'e>(
    out: &mut [u8],
    header: &HeaderOut,
    extensions: impl Iterator<Item = (u8, &'e [u8])> + Clone,
) -> usize {
    try_write_header(out, header, extensions).unwrap_or(0)
}

/// Does the work of [`write_header`]; `None` when `out` is too short.
fn try_write_header<'e>(
    out: &mut [u8],
    header: &HeaderOut,
    extensions: impl Iterator<Item = (u8, &'e [u8])> + Clone,
) -> Option<usize> {
    let writable = extensions.filter(|(id, data)| *id != 0 && data.len() <= 255);
    let (mut any, mut one_byte) = (false, true);
    for (id, data) in writable.clone() {
        any = true;
        one_byte &= id <= 14 && (1..=16).contains(&data.len());
    }

    let (fixed, block) = out.split_first_chunk_mut::<FIXED_HEADER_LEN>()?;
    *fixed = fixed_header(header, any);
    if !any {
        return Some(FIXED_HEADER_LEN);
    }
    let mut block = Writer::new(block);
    let profile = if one_byte { ONE_BYTE_PROFILE } else { TWO_BYTE_PROFILE };
    block.put(&profile.to_be_bytes())?;
    block.put(&[0; 2])?;
    for (id, data) in writable {
        // Lossless: lengths above 255 were filtered out, and above 16 in the one-byte form.
        let len = data.len() as u8;
        if one_byte {
            block.put(&[id << 4 | (len - 1)])?;
        } else {
            block.put(&[id, len])?;
        }
        block.put(data)?;
    }
    block.pad()?;
    let words = u16::try_from((block.len() - 4) / 4).ok()?;
    block.patch(2, &words.to_be_bytes())?;
    Some(FIXED_HEADER_LEN + block.len())
}

/// Lays out the first twelve bytes.
pub(super) fn fixed_header(header: &HeaderOut, extended: bool) -> [u8; FIXED_HEADER_LEN] {
    let first = if extended { 0x90 } else { 0x80 };
    let second = header.payload_type & 0x7f | if header.marker { 0x80 } else { 0 };
    let [s0, s1] = header.seq.to_be_bytes();
    let [t0, t1, t2, t3] = header.timestamp.to_be_bytes();
    let [r0, r1, r2, r3] = header.ssrc.to_be_bytes();
    [first, second, s0, s1, t0, t1, t2, t3, r0, r1, r2, r3]
}

#[cfg(test)]
mod tests {
    use super::super::wire::Noise;
    use super::*;

    const HEADER: HeaderOut =
        HeaderOut { marker: true, payload_type: 96, seq: 0xfffe, timestamp: 0x0102_0304, ssrc: 0xdead_beef };

    fn written(extensions: &[(u8, &[u8])]) -> Vec<u8> {
        let mut out = [0xaa; 1500];
        let len = write_header(&mut out, &HEADER, extensions.iter().copied());
        assert!(len > 0);
        out[..len].to_vec()
    }

    fn assert_reads_back(extensions: &[(u8, &[u8])]) -> u16 {
        let mut bytes = written(extensions);
        assert_eq!(bytes.len() % 4, 0);
        let header_len = bytes.len();
        bytes.extend_from_slice(b"payload");
        let view = RtpView::parse(&bytes).unwrap();
        assert_eq!(view.header_len(), header_len);
        assert_eq!(view.payload(), b"payload");
        assert_eq!(view.unpadded_payload(), Some(&b"payload"[..]));
        assert!(view.marker());
        assert_eq!(view.payload_type(), 96);
        assert_eq!((view.sequence(), view.timestamp(), view.ssrc()), (0xfffe, 0x0102_0304, 0xdead_beef));
        let read: Vec<_> = view.extensions().collect();
        assert_eq!(read, extensions);
        view.profile
    }

    #[test]
    fn a_header_without_extensions_is_twelve_bytes() {
        assert_eq!(written(&[]).len(), 12);
        assert_reads_back(&[]);
    }

    #[test]
    fn the_one_byte_form_is_taken_up_to_id_14_and_16_bytes() {
        assert_eq!(assert_reads_back(&[(1, b"0"), (14, &[7; 16])]), 0xBEDE);
    }

    #[test]
    fn the_two_byte_form_is_taken_when_one_element_needs_it() {
        assert_eq!(assert_reads_back(&[(1, b"0"), (15, b"x")]), 0x1000);
        assert_eq!(assert_reads_back(&[(1, b""), (2, b"x")]), 0x1000);
        assert_eq!(assert_reads_back(&[(1, &[1; 17])]), 0x1000);
        assert_eq!(assert_reads_back(&[(255, &[1; 255]), (3, b"x")]), 0x1000);
    }

    #[test]
    fn an_element_is_found_where_it_lies() {
        for long in [3, 97] {
            let bytes = vec![7; long];
            let mut header = written(&[(4, b"0"), (12, &bytes), (3, &[1, 2])]);
            let place = RtpView::parse(&header).unwrap().extension_place(12).unwrap();
            header[place].fill(9);
            let view = RtpView::parse(&header).unwrap();
            let changed = vec![9; long];
            let all: Vec<_> = view.extensions().collect();
            assert_eq!(all, [(4, &b"0"[..]), (12, &changed[..]), (3, &[1, 2][..])]);
            assert_eq!(view.extension_place(5), None);
        }
    }

    #[test]
    fn elements_that_no_form_can_carry_are_left_out() {
        let bytes = written(&[(0, b"x"), (3, &[0; 256]), (4, b"y")]);
        let read: Vec<_> = RtpView::parse(&bytes).unwrap().extensions().collect();
        assert_eq!(read, [(4, &b"y"[..])]);
        assert_eq!(written(&[(0, b"x")]).len(), 12);
    }

    #[test]
    fn a_buffer_that_is_too_short_gets_no_header() {
        let extensions: [(u8, &[u8]); 2] = [(1, b"0"), (3, &[0; 5])];
        let full = written(&extensions).len();
        for len in 0..full {
            let mut out = vec![0; len];
            assert_eq!(write_header(&mut out, &HEADER, extensions.iter().copied()), 0);
        }
    }

    #[test]
    fn padding_between_elements_is_skipped_and_id_15_ends_the_block() {
        let mut bytes = written(&[]);
        bytes[0] |= 0x10;
        bytes.extend_from_slice(&[0xBE, 0xDE, 0, 3]);
        bytes.extend_from_slice(&[0, 0x10, 5, 0, 0, 0x21, 6, 7, 0xf0, 1, 0x30, 1]);
        let read: Vec<_> = RtpView::parse(&bytes).unwrap().extensions().collect();
        assert_eq!(read, [(1, &[5u8][..]), (2, &[6, 7][..])]);
    }

    #[test]
    fn an_element_that_is_cut_short_ends_the_block() {
        let mut bytes = written(&[]);
        bytes[0] |= 0x10;
        bytes.extend_from_slice(&[0xBE, 0xDE, 0, 1, 0x10, 5, 0x2f, 6]);
        let mut read = RtpView::parse(&bytes).unwrap().extensions();
        assert_eq!(read.next(), Some((1, &[5u8][..])));
        assert_eq!(read.next(), None);
        assert_eq!(read.next(), None);
    }

    #[test]
    fn csrcs_belong_to_the_header_and_an_unknown_profile_has_no_elements() {
        let mut bytes = written(&[]);
        bytes[0] = 0x92;
        bytes.extend_from_slice(&[1, 1, 1, 1, 2, 2, 2, 2, 0x12, 0x34, 0, 1, 0x10, 5, 0, 0, 9]);
        let view = RtpView::parse(&bytes).unwrap();
        assert_eq!(view.header_len(), 28);
        assert_eq!(view.payload(), [9]);
        assert_eq!(view.extensions().count(), 0);
    }

    #[test]
    fn padding_is_taken_off_and_a_lie_about_it_is_refused() {
        let mut bytes = written(&[]);
        bytes[0] |= 0x20;
        bytes.extend_from_slice(&[1, 2, 3, 0, 2]);
        assert_eq!(RtpView::parse(&bytes).unwrap().unpadded_payload(), Some(&[1u8, 2, 3][..]));
        for lie in [0, 6, 255] {
            *bytes.last_mut().unwrap() = lie;
            assert_eq!(RtpView::parse(&bytes).unwrap().unpadded_payload(), None);
        }
        *bytes.last_mut().unwrap() = 5;
        assert_eq!(RtpView::parse(&bytes).unwrap().unpadded_payload(), Some(&[][..]));
    }

    #[test]
    fn any_bytes_are_survived() {
        let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
        for round in 0..200_000u64 {
            let mut bytes = noise.bytes(96);
            if round % 2 == 0
                && let Some(first) = bytes.first_mut()
            {
                *first = 0x80 | *first & 0x33;
            }
            if round % 3 == 0
                && let Some(profile) = bytes.get_mut(12..14)
            {
                profile.copy_from_slice(if round % 2 == 0 { &[0xBE, 0xDE] } else { &[0x10, 0x07] });
            }
            if let Some(view) = RtpView::parse(&bytes) {
                assert!(view.extensions().count() <= bytes.len());
                assert_eq!(view.header_len() + view.payload().len(), bytes.len());
                let _ = view.unpadded_payload();
            }
        }
    }
}
