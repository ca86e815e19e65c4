//! Encoding names and extension URIs of the values in `rtp`.

use crate::rtp::{Codec, ExtensionKind, MediaKind};

/// Every codec with its encoding name, in the spelling that goes into descriptions.
const CODECS: [(Codec, &str); 9] = [
    (Codec::Vp8, "VP8"),
    (Codec::Vp9, "VP9"),
    (Codec::H264, "H264"),
    (Codec::H265, "H265"),
    (Codec::Av1, "AV1"),
    (Codec::Opus, "opus"),
    (Codec::Red, "red"),
    (Codec::Pcmu, "PCMU"),
    (Codec::Pcma, "PCMA"),
];

/// Every extension with its URI.
const EXTENSIONS: [(ExtensionKind, &str); 9] = [
    (ExtensionKind::Mid, "urn:ietf:params:rtp-hdrext:sdes:mid"),
    (
        ExtensionKind::TransportCc,
        "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    ),
    (ExtensionKind::AudioLevel, "urn:ietf:params:rtp-hdrext:ssrc-audio-level"),
    (ExtensionKind::VideoOrientation, "urn:3gpp:video-orientation"),
    (ExtensionKind::PlayoutDelay, "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"),
    (ExtensionKind::VideoContentType, "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type"),
    (ExtensionKind::ColorSpace, "http://www.webrtc.org/experiments/rtp-hdrext/color-space"),
    (ExtensionKind::AbsCaptureTime, "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"),
    (
        ExtensionKind::DependencyDescriptor,
        "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
    ),
];

pub(super) fn codec_from_name(name: &str) -> Option<Codec> {
    CODECS.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(codec, _)| *codec)
}

pub(super) fn codec_name(codec: Codec) -> &'static str {
    CODECS.iter().find(|(known, _)| *known == codec).map_or("", |(_, name)| name)
}

pub(super) fn codec_kind(codec: Codec) -> MediaKind {
    match codec {
        Codec::Opus | Codec::Red | Codec::Pcmu | Codec::Pcma => MediaKind::Audio,
        Codec::Vp8 | Codec::Vp9 | Codec::H264 | Codec::H265 | Codec::Av1 => MediaKind::Video,
    }
}

pub(super) fn extension_from_uri(uri: &str) -> Option<ExtensionKind> {
    EXTENSIONS.iter().find(|(_, known)| *known == uri).map(|(kind, _)| *kind)
}

pub(super) fn extension_uri(kind: ExtensionKind) -> &'static str {
    EXTENSIONS.iter().find(|(known, _)| *known == kind).map_or("", |(_, uri)| uri)
}

/// Whether it goes from publisher to subscriber; the others are written anew.
pub(super) fn is_passed(kind: ExtensionKind) -> bool {
    !matches!(kind, ExtensionKind::Mid | ExtensionKind::TransportCc)
}
