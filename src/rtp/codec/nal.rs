//! H.264 (RFC 6184) and H.265 (RFC 7798) payloads: NAL units alone, aggregated, or in fragments.
//!
//! A keyframe starts at its parameter sets when they lead it, else at the first slice of an IDR or IRAP
//! picture. The slice header is not looked at: an encrypted one would make a keyframe invisible for ever.

use super::super::wire::u16_at;

/// RFC 6184 5.2: aggregation packet without decoding order numbers.
const H264_STAP_A: u8 = 24;
/// RFC 6184 5.2: fragmentation unit without decoding order number.
const H264_FU_A: u8 = 28;
/// RFC 7798 4.4.2: aggregation packet.
const H265_AP: u8 = 48;
/// RFC 7798 4.4.3: fragmentation unit.
const H265_FU: u8 = 49;

/// Tells whether an H.264 payload holds the start of an IDR picture or a sequence parameter set.
pub(super) fn h264_starts_keyframe(payload: &[u8]) -> bool {
    let Some((header, rest)) = payload.split_first() else { return false };
    match header & 0x1f {
        H264_STAP_A => aggregated(rest).any(|unit| unit.first().is_some_and(|h| h264_is_key(h & 0x1f))),
        H264_FU_A => rest.first().is_some_and(|fu| fu & 0x80 != 0 && h264_is_key(fu & 0x1f)),
        unit_type => h264_is_key(unit_type),
    }
}

/// NAL unit types 5 (slice of an IDR picture) and 7 (sequence parameter set).
fn h264_is_key(unit_type: u8) -> bool {
    matches!(unit_type, 5 | 7)
}

/// Tells whether an H.265 payload holds the start of an IRAP picture or a video or sequence parameter set.
pub(super) fn h265_starts_keyframe(payload: &[u8]) -> bool {
    let Some(([header, _], rest)) = payload.split_first_chunk::<2>() else { return false };
    match (header >> 1) & 0x3f {
        H265_AP => aggregated(rest).any(|unit| unit.first().is_some_and(|h| h265_is_key((h >> 1) & 0x3f))),
        H265_FU => rest.first().is_some_and(|fu| fu & 0x80 != 0 && h265_is_key(fu & 0x3f)),
        unit_type => h265_is_key(unit_type),
    }
}

/// NAL unit types 16 to 23 (IRAP pictures), 32 (video) and 33 (sequence parameter set).
fn h265_is_key(unit_type: u8) -> bool {
    matches!(unit_type, 16..=23 | 32 | 33)
}

/// Walks over the units of an aggregation packet, each behind its 16-bit length; ends at the first that is cut
/// short. Every step consumes at least two bytes.
fn aggregated(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let len = usize::from(u16_at(rest, 0)?);
        let (unit, behind) = rest.get(2..)?.split_at_checked(len)?;
        rest = behind;
        Some(unit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h264_keyframes_are_found_in_every_packet_form() {
        assert!(h264_starts_keyframe(&[0x65, 0x88]), "IDR alone");
        assert!(h264_starts_keyframe(&[0x67, 0x42]), "SPS alone");
        assert!(h264_starts_keyframe(&[0x78, 0, 1, 0x68, 0, 2, 0x67, 0x42]), "SPS behind another unit");
        assert!(h264_starts_keyframe(&[0x7c, 0x85, 0x88]), "first fragment of IDR");
    }

    #[test]
    fn h264_other_units_are_no_start() {
        assert!(!h264_starts_keyframe(&[0x61, 0x88]), "other slice");
        assert!(!h264_starts_keyframe(&[0x68, 0x88]), "PPS alone");
        assert!(!h264_starts_keyframe(&[0x7c, 0x05, 0x88]), "later fragment of IDR");
        assert!(!h264_starts_keyframe(&[0x7c, 0x81, 0x88]), "first fragment of other slice");
        assert!(!h264_starts_keyframe(&[0x78, 0, 9, 0x67, 0x42]), "unit longer than the packet");
        assert!(!h264_starts_keyframe(&[0x78, 0, 0, 0, 0]), "empty units");
    }

    #[test]
    fn h265_keyframes_are_found_in_every_packet_form() {
        assert!(h265_starts_keyframe(&[19 << 1, 1, 0xaf]), "IDR alone");
        assert!(h265_starts_keyframe(&[32 << 1, 1, 0x0c]), "VPS alone");
        assert!(
            h265_starts_keyframe(&[48 << 1, 1, 0, 2, 35 << 1, 1, 0, 2, 33 << 1, 1]),
            "SPS behind another unit"
        );
        assert!(h265_starts_keyframe(&[49 << 1, 1, 0x80 | 21, 0xaf]), "first fragment of CRA");
    }

    #[test]
    fn h265_other_units_are_no_start() {
        assert!(!h265_starts_keyframe(&[1 << 1, 1, 0xaf]), "other slice");
        assert!(!h265_starts_keyframe(&[34 << 1, 1, 0xaf]), "PPS alone");
        assert!(!h265_starts_keyframe(&[49 << 1, 1, 21, 0xaf]), "later fragment of CRA");
        assert!(!h265_starts_keyframe(&[19 << 1]), "half a header");
    }
}
