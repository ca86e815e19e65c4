//! What the router needs to know about payloads, until the parsers of `rtp` stand in its place.

use std::time::Duration;

use crate::rtp::Codec;

pub(crate) fn starts_keyframe(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::Vp8 => vp8_header(payload).is_some_and(|(header, rest)| {
            header & 0x17 == 0x10 && rest.first().is_some_and(|first| first & 1 == 0)
        }),
        _ => false,
    }
}

fn vp8_header(payload: &[u8]) -> Option<(u8, &[u8])> {
    let (&header, mut rest) = payload.split_first()?;
    if header & 0x80 != 0 {
        let (&bits, tail) = rest.split_first()?;
        rest = tail;
        if bits & 0x80 != 0 {
            rest = rest.get(if rest.first()? & 0x80 != 0 { 2 } else { 1 }..)?;
        }
        rest = rest.get(usize::from(bits & 0x40 != 0) + usize::from(bits & 0x30 != 0)..)?;
    }
    Some((header, rest))
}

pub(crate) mod vp8 {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Vp8Descriptor {
        pub picture_id: Option<u16>,
        pub picture_id_wide: bool,
        pub tl0: Option<u8>,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Vp8Patch {
        pub picture_id: Option<u16>,
        pub tl0: Option<u8>,
    }

    impl Vp8Descriptor {
        pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
            let mut bytes = payload.iter().copied();
            let mut this = Self { picture_id: None, picture_id_wide: false, tl0: None };
            if bytes.next()? & 0x80 == 0 {
                return Some(this);
            }
            let bits = bytes.next()?;
            if bits & 0x80 != 0 {
                let high = bytes.next()?;
                this.picture_id_wide = high & 0x80 != 0;
                this.picture_id = Some(if this.picture_id_wide {
                    u16::from(high & 0x7f) << 8 | u16::from(bytes.next()?)
                } else {
                    u16::from(high)
                });
            }
            if bits & 0x40 != 0 {
                this.tl0 = Some(bytes.next()?);
            }
            Some(this)
        }
    }
}

pub(crate) fn ntp_from_duration(duration: Duration) -> u64 {
    let fraction = (u64::from(duration.subsec_nanos()) << 32) / 1_000_000_000;
    (duration.as_secs() << 32).wrapping_add(fraction)
}

#[expect(clippy::cast_possible_truncation, reason = "RTP time is modulo 2^32")]
pub(crate) fn rtp_ticks(duration: Duration, clock_rate: u32) -> u32 {
    (duration.as_nanos() * u128::from(clock_rate) / 1_000_000_000) as u32
}
