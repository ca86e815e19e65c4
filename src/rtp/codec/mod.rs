//! The codecs that are told apart, and how the first packet of a keyframe is recognised.
//!
//! Payloads may be encrypted end to end, so every byte is taken as a hint: no parser here trusts a length,
//! and a wrong guess costs at most one early or late switch.

use super::MediaKind;

mod av1;
mod nal;
pub mod vp8;
mod vp9;

/// The codecs that are told apart. Payloads stay opaque; the codec decides how a keyframe is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// RFC 7741.
    Vp8,
    /// RFC 9628.
    Vp9,
    /// RFC 6184.
    H264,
    /// RFC 7798.
    H265,
    /// AV1 RTP payload specification 1.0.
    Av1,
    /// RFC 7587.
    Opus,
    /// RFC 2198 around Opus.
    Red,
    /// G.711 mu-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
}

impl Codec {
    /// Every codec.
    pub const ALL: [Codec; 9] = [
        Codec::Vp8,
        Codec::Vp9,
        Codec::H264,
        Codec::H265,
        Codec::Av1,
        Codec::Opus,
        Codec::Red,
        Codec::Pcmu,
        Codec::Pcma,
    ];

    /// Ticks of its RTP clock in a second: each of them has one rate (RFC 7587 4.1, RFC 3551 4.5, RFC 7741 4.1 and others).
    #[must_use]
    pub const fn clock_rate(self) -> u32 {
        match self {
            Self::Opus | Self::Red => 48_000,
            Self::Pcmu | Self::Pcma => 8_000,
            Self::Vp8 | Self::Vp9 | Self::H264 | Self::H265 | Self::Av1 => 90_000,
        }
    }

    /// The encoding name in the spelling of its registration (`a=rtpmap`, RFC 8866 6.6).
    pub const fn name(self) -> &'static str {
        match self {
            Codec::Vp8 => "VP8",
            Codec::Vp9 => "VP9",
            Codec::H264 => "H264",
            Codec::H265 => "H265",
            Codec::Av1 => "AV1",
            Codec::Opus => "opus",
            Codec::Red => "red",
            Codec::Pcmu => "PCMU",
            Codec::Pcma => "PCMA",
        }
    }

    /// Finds the codec of an encoding name; case does not matter (RFC 4855 3).
    pub fn from_name(encoding_name: &str) -> Option<Codec> {
        Codec::ALL.into_iter().find(|codec| codec.name().eq_ignore_ascii_case(encoding_name))
    }

    /// Audio or video.
    pub const fn kind(self) -> MediaKind {
        match self {
            Codec::Vp8 | Codec::Vp9 | Codec::H264 | Codec::H265 | Codec::Av1 => MediaKind::Video,
            Codec::Opus | Codec::Red | Codec::Pcmu | Codec::Pcma => MediaKind::Audio,
        }
    }
}

/// Tells whether a subscriber can begin with this packet: the first packet of a keyframe, or any of audio.
pub fn starts_keyframe(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::Vp8 => vp8::starts_keyframe(payload),
        Codec::Vp9 => vp9::starts_keyframe(payload),
        Codec::H264 => nal::h264_starts_keyframe(payload),
        Codec::H265 => nal::h265_starts_keyframe(payload),
        Codec::Av1 => av1::starts_keyframe(payload),
        Codec::Opus | Codec::Red | Codec::Pcmu | Codec::Pcma => true,
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::Noise;
    use super::*;

    #[test]
    fn names_are_found_in_any_case() {
        for codec in Codec::ALL {
            assert_eq!(Codec::from_name(codec.name()), Some(codec));
            assert_eq!(Codec::from_name(&codec.name().to_lowercase()), Some(codec));
            assert_eq!(Codec::from_name(&codec.name().to_uppercase()), Some(codec));
        }
        assert_eq!(Codec::from_name("rtx"), None);
    }

    #[test]
    fn audio_can_be_joined_at_any_packet_and_video_never_at_an_empty_one() {
        for codec in Codec::ALL {
            assert_eq!(starts_keyframe(codec, &[]), codec.kind() == MediaKind::Audio, "{codec:?}");
        }
    }

    #[test]
    fn any_bytes_are_survived() {
        let mut noise = Noise(0x0123_4567_89ab_cdef);
        for _ in 0..100_000 {
            let mut bytes = noise.bytes(64);
            for codec in Codec::ALL {
                let _ = starts_keyframe(codec, &bytes);
            }
            // The parsers that walk lists are led into them.
            for first in [24, 28, 48 << 1, 49 << 1, 0x10, 0x00] {
                if let Some(byte) = bytes.first_mut() {
                    *byte = first;
                }
                for codec in Codec::ALL {
                    let _ = starts_keyframe(codec, &bytes);
                }
            }
        }
    }
}
