//! Which engine of a browser has made an offer, as far as it matters who begins the DTLS handshake.
//!
//! Where we begin it with DTLS 1.3, keys are there a round trip earlier. But then the far end chooses the SRTP profile,
//! and those who know AES-GCM prefer what costs four times as much, unless that is not offered to them. One that knows
//! nothing else would then have no profile at all. So only engines count of which it is certain that they know it.

use crate::sdp::{SectionKind, SessionDescription};

/// How the `o=` line of Firefox begins; the version follows, which has stood still since.
const FIREFOX: &str = "mozilla...THIS_IS_SDPARTA-";
/// A version of Firefox that knows AES-GCM for SRTP.
const FIREFOX_WITH_GCM: u32 = 99;
/// An extension that libwebrtc offers for video, and others do not.
const VIDEO_TIMING: &str = "http://www.webrtc.org/experiments/rtp-hdrext/video-timing";

/// Whether an offer is from an engine that certainly knows AES-GCM for SRTP: Firefox, or a libwebrtc (Chromium, Safari)
/// that describes its AV1 by level, years after it had AES-GCM on by default.
pub(super) fn know_gcm(offer: &SessionDescription) -> bool {
    is_firefox(offer) || is_libwebrtc(offer)
}

fn is_firefox(offer: &SessionDescription) -> bool {
    let version = offer.author.as_deref().and_then(|author| author.strip_prefix(FIREFOX));
    let major = version.and_then(|version| version.split('.').next()?.parse().ok());
    major.is_some_and(|major: u32| major >= FIREFOX_WITH_GCM)
}

fn is_libwebrtc(offer: &SessionDescription) -> bool {
    let mut video = offer.sections.iter().filter(|section| section.kind == SectionKind::Video);
    offer.extmap_allow_mixed
        && video.any(|section| {
            section.extmap.iter().any(|extension| extension.uri == VIDEO_TIMING)
                && section.payloads.iter().any(|payload| {
                    payload.name.eq_ignore_ascii_case("AV1")
                        && payload.fmtp.as_ref().is_some_and(|parameters| parameters.contains("level-idx"))
                })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(author: &str, session: &str, video: &str) -> bool {
        let text = format!(
            "v=0\r\no={author} 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n{session}m=video 9 UDP/TLS/RTP/SAVPF 45\r\n\
             a=mid:0\r\na=rtpmap:45 AV1/90000\r\n{video}"
        );
        know_gcm(&SessionDescription::parse(&text).unwrap())
    }

    #[test]
    fn browsers_are_told_from_everybody_else() {
        let (mixed, level) = ("a=extmap-allow-mixed\r\n", "a=fmtp:45 level-idx=5;profile=0;tier=0\r\n");
        let timing = format!("{level}a=extmap:8 {VIDEO_TIMING}\r\n");
        assert!(offer("-", mixed, &timing));
        assert!(!offer("-", "", &timing));
        assert!(!offer("-", mixed, level));
        assert!(!offer("-", mixed, &timing.replace("level-idx=5;", "")));
        assert!(offer("mozilla...THIS_IS_SDPARTA-99.0", "", ""));
        assert!(!offer("mozilla...THIS_IS_SDPARTA-52.0", "", ""));
        assert!(!offer("mozilla...THIS_IS_SDPARTA-", "", ""));
        assert!(!offer("rtc", "", ""));
    }
}
