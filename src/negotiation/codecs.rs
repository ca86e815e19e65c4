//! Which payload types are understood, and which of two sides' configurations fit each other.

use super::media::PublishedCodec;
use crate::plan::{PayloadForm, PayloadMap};
use crate::rtp::{Codec, MediaKind};
use crate::sdp::{Payload, Section, fmtp_parameter};

/// Feedback that we speak (RFC 4585, RFC 5104, transport-wide congestion control). REMB is not among it.
const FEEDBACK: [&str; 4] = ["nack", "nack pli", "ccm fir", "transport-cc"];

/// Gives the codec of a payload type, if it is one that we carry in sections of this kind.
pub(super) fn known(payload: &Payload, kind: MediaKind) -> Option<Codec> {
    let codec = Codec::from_name(&payload.name)?;
    let fits = match codec {
        Codec::Opus => payload.clock == 48_000 && payload.channels.unwrap_or(2) == 2,
        Codec::Red => payload.clock == 48_000,
        // RFC 3551 6: their payload types are static, and the ingress engine knows them only so.
        Codec::Pcmu => payload.pt == 0 && payload.clock == 8_000 && payload.channels.unwrap_or(1) == 1,
        Codec::Pcma => payload.pt == 8 && payload.clock == 8_000 && payload.channels.unwrap_or(1) == 1,
        _ => payload.clock == 90_000,
    };
    (fits && codec.kind() == kind).then_some(codec)
}

/// Gives the primary payload type that a `red` line repeats (RFC 2198 5, `PT/PT`).
pub(super) fn red_primary(payload: &Payload) -> Option<u8> {
    primary_of(payload.fmtp.as_deref())
}

/// The same, of the line itself.
pub(super) fn primary_of(fmtp: Option<&str>) -> Option<u8> {
    fmtp?.split('/').next()?.trim().parse().ok()
}

/// Filters a client's section down to what we carry, in the client's order: codecs, their retransmissions, and
/// redundancy around Opus. Feedback is cut to what both sides speak.
pub(super) fn acceptable(section: &Section, kind: MediaKind) -> Vec<Payload> {
    let mut accepted = filtered(&section.payloads, kind, |_, _| true);
    for payload in &mut accepted {
        payload.rtcp_fb.retain(|feedback| FEEDBACK.contains(&feedback.as_str()));
    }
    accepted
}

/// Filters a payload list by codec; what depends on a dropped payload type goes with it.
pub(super) fn filtered(
    payloads: &[Payload],
    kind: MediaKind,
    mut keep: impl FnMut(&Payload, Codec) -> bool,
) -> Vec<Payload> {
    let mut kept: Vec<(u8, Codec)> = Vec::new();
    for payload in payloads {
        if let Some(codec) = known(payload, kind).filter(|codec| keep(payload, *codec)) {
            kept.push((payload.pt, codec));
        }
    }
    let has = |pt: u8| kept.iter().any(|(known, _)| *known == pt);
    let stays = |payload: &&Payload| match known(payload, kind) {
        Some(Codec::Red) => {
            let primary = red_primary(payload);
            has(payload.pt) && primary.is_some_and(|pt| kept.contains(&(pt, Codec::Opus)))
        }
        Some(_) => has(payload.pt),
        None => payload.rtx_for().is_some_and(has),
    };
    payloads.iter().filter(stays).cloned().collect()
}

/// Describes a negotiated list as what a publisher may send.
pub(super) fn published(payloads: &[Payload], kind: MediaKind) -> Vec<PublishedCodec> {
    let rtx_of = |pt| payloads.iter().find(|payload| payload.rtx_for() == Some(pt)).map(|payload| payload.pt);
    let codec = |payload: &Payload| {
        let codec = known(payload, kind)?;
        Some(PublishedCodec {
            pt: payload.pt,
            codec,
            clock_rate: payload.clock,
            // RFC 7587 7: the channel count of Opus is always written as two.
            channels: if codec == Codec::Opus { Some(2) } else { payload.channels },
            fmtp: payload.fmtp.clone(),
            rtcp_fb: payload.rtcp_fb.clone(),
            rtx: rtx_of(payload.pt),
        })
    };
    payloads.iter().filter_map(codec).collect()
}

/// Maps what a publisher may send to what a client has negotiated.
///
/// Each payload type of the client is taken once, by exact parameters before compatible ones, and by those before others
/// that play the stream too. What is left over shares one: a publisher that changes its codec in mid-track then still
/// reaches the client.
pub(super) fn payload_map(
    codecs: &[PublishedCodec],
    payloads: &[Payload],
    kind: MediaKind,
) -> Vec<PayloadMap> {
    let viewer: Vec<(&Payload, Codec)> =
        payloads.iter().filter_map(|payload| Some((payload, known(payload, kind)?))).collect();
    let mut taken: Vec<(u8, u8)> = Vec::new();
    for pass in [Pass::Exact, Pass::Compatible, Pass::Playable, Pass::Shared] {
        for codec in codecs.iter().filter(|codec| codec.codec != Codec::Red) {
            if taken.iter().any(|(from, _)| *from == codec.pt) {
                continue;
            }
            let free = |pt: u8| pass == Pass::Shared || !taken.iter().any(|(_, to)| *to == pt);
            let fits = |payload: &Payload, kind: Codec| {
                kind == codec.codec
                    && free(payload.pt)
                    && match pass {
                        Pass::Exact => same_parameters(payload.fmtp.as_deref(), codec.fmtp.as_deref()),
                        Pass::Compatible => compatible(kind, payload.fmtp.as_deref(), codec.fmtp.as_deref()),
                        _ => playable(kind, codec.fmtp.as_deref(), payload.fmtp.as_deref()),
                    }
            };
            if let Some((payload, _)) = viewer.iter().find(|(payload, kind)| fits(payload, *kind)) {
                taken.push((codec.pt, payload.pt));
            }
        }
    }
    let rtx_of = |pt| payloads.iter().find(|payload| payload.rtx_for() == Some(pt)).map(|payload| payload.pt);
    let entry = |codec: &PublishedCodec| {
        let (to, form) = match codec.codec {
            Codec::Red => redundancy(codec, &taken, &viewer)?,
            _ => (taken.iter().find(|(from, _)| *from == codec.pt)?.1, PayloadForm::Whole),
        };
        let PublishedCodec { pt: from, codec, clock_rate, .. } = *codec;
        Some(PayloadMap { from, to, rtx: rtx_of(to), codec, clock_rate, form })
    };
    codecs.iter().filter_map(entry).collect()
}

/// How redundancy reaches a client: as it is, or with the client's number of Opus inside (RFC 2198 3), or unpacked for one
/// who takes none.
fn redundancy(
    red: &PublishedCodec,
    taken: &[(u8, u8)],
    viewer: &[(&Payload, Codec)],
) -> Option<(u8, PayloadForm)> {
    let from = primary_of(red.fmtp.as_deref())?;
    let (_, to) = *taken.iter().find(|(known, _)| *known == from)?;
    let around =
        |(payload, codec): &&(&Payload, Codec)| *codec == Codec::Red && red_primary(payload) == Some(to);
    Some(match viewer.iter().find(around) {
        Some((payload, _)) if from == to => (payload.pt, PayloadForm::Whole),
        Some((payload, _)) => (payload.pt, PayloadForm::Renumbered { from, to }),
        None => (to, PayloadForm::Unpacked),
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    Exact,
    Compatible,
    Playable,
    Shared,
}

/// Whether two format lines say the same, whatever the order and case of their parameters.
pub(super) fn same_parameters(left: Option<&str>, right: Option<&str>) -> bool {
    fn sorted(fmtp: Option<&str>) -> Vec<String> {
        let parameters = fmtp.unwrap_or_default().split(';').map(|parameter| {
            parameter.chars().filter(|char| !char.is_whitespace()).collect::<String>().to_ascii_lowercase()
        });
        let mut parameters: Vec<String> = parameters.filter(|parameter| !parameter.is_empty()).collect();
        parameters.sort_unstable();
        parameters
    }
    sorted(left) == sorted(right)
}

/// Whether two configurations are one as an offer and its answer see it.
pub(super) fn compatible(codec: Codec, left: Option<&str>, right: Option<&str>) -> bool {
    let equal = |key: &str, default: &str| {
        let value = |fmtp: Option<&str>| fmtp.and_then(|fmtp| fmtp_parameter(fmtp, key).map(str::to_owned));
        value(left).as_deref().unwrap_or(default) == value(right).as_deref().unwrap_or(default)
    };
    match codec {
        // RFC 6184 8.2.2: profile and packetization mode are symmetric; the level may differ.
        Codec::H264 => {
            packetization_mode(left) == packetization_mode(right) && h264_profile(left) == h264_profile(right)
        }
        // RFC 9628 6: profile 0 unless said otherwise.
        Codec::Vp9 => equal("profile-id", "0"),
        // AV1 RTP payload 7.2.3: the profile is symmetric.
        Codec::Av1 => equal("profile", "0"),
        // RFC 7798 7.1: defaults are profile Main and Main tier.
        Codec::H265 => equal("profile-id", "1") && equal("tier-flag", "0") && equal("tx-mode", "SRST"),
        // Redundancy names payload types of its own side, which its callers compare.
        Codec::Red => false,
        Codec::Vp8 | Codec::Opus | Codec::Pcmu | Codec::Pcma => true,
    }
}

/// Whether a decoder for `viewer` plays a stream of `stream`, which is more than the rules of offer and answer grant.
///
/// Constrained Baseline is a part of the other profiles (H.264 A.2). Baseline has more tools than it, but no encoder for
/// calls makes use of them, and browsers name it first though what they send is constrained. Mode 1 has all that mode 0
/// has (RFC 6184 6.2, 6.3). A viewer who says nothing at all leaves it to what comes: by the letter that would be 128 by
/// 96 pixels in mode 0, which nobody means.
fn playable(codec: Codec, stream: Option<&str>, viewer: Option<&str>) -> bool {
    use H264Profile::{Baseline, ConstrainedBaseline, ConstrainedHigh, High, Main};
    if codec != Codec::H264 {
        return compatible(codec, stream, viewer);
    }
    if viewer.is_none() {
        return true;
    }
    let (sent, taken) = (h264_profile(stream), h264_profile(viewer));
    let profile = match sent {
        Baseline | ConstrainedBaseline => {
            matches!(taken, ConstrainedBaseline | Baseline | Main | ConstrainedHigh | High)
        }
        _ => sent == taken,
    };
    let (sent, taken) = (packetization_mode(stream), packetization_mode(viewer));
    profile && (sent == taken || (sent == "0" && taken == "1"))
}

/// RFC 6184 8.1: single NAL unit mode, 0, if absent.
fn packetization_mode(fmtp: Option<&str>) -> &str {
    fmtp.and_then(|fmtp| fmtp_parameter(fmtp, "packetization-mode")).unwrap_or("0")
}

/// H.264 profiles as decoders tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum H264Profile {
    ConstrainedBaseline,
    Baseline,
    Main,
    ConstrainedHigh,
    High,
    Other(u8, u8),
}

/// Reads `profile-level-id`: profile_idc and the constraint bits (RFC 6184 8.1, table 5).
fn h264_profile(fmtp: Option<&str>) -> H264Profile {
    let id = fmtp.and_then(|fmtp| fmtp_parameter(fmtp, "profile-level-id")).unwrap_or("42000a");
    // RFC 6184 8.1: Baseline, level 1 if absent.
    let bits = u32::from_str_radix(id, 16).unwrap_or(0x42_000a);
    let [_, idc, constraints, _] = bits.to_be_bytes();
    let set = |mask: u8| constraints & mask == mask;
    match idc {
        0x42 if set(0x40) => H264Profile::ConstrainedBaseline,
        0x4d if set(0x80) => H264Profile::ConstrainedBaseline,
        0x58 if set(0xc0) => H264Profile::ConstrainedBaseline,
        0x42 => H264Profile::Baseline,
        0x58 if set(0x80) => H264Profile::Baseline,
        0x4d => H264Profile::Main,
        0x64 if set(0x0c) => H264Profile::ConstrainedHigh,
        0x64 if constraints & 0x0f == 0 => H264Profile::High,
        _ => H264Profile::Other(idc, constraints),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(pt: u8, name: &str, fmtp: Option<&str>) -> Payload {
        let clock = if name == "opus" || name == "red" { 48_000 } else { 90_000 };
        Payload {
            pt,
            name: name.to_owned(),
            clock,
            channels: None,
            fmtp: fmtp.map(str::to_owned),
            rtcp_fb: vec![],
        }
    }

    fn h264(pt: u8, mode: u8, profile: &str) -> Payload {
        payload(pt, "H264", Some(&format!("packetization-mode={mode};profile-level-id={profile}")))
    }

    #[test]
    fn h264_profiles_match_by_what_decoders_need() {
        let line = |profile: &str| format!("profile-level-id={profile};packetization-mode=1");
        let fits = |left: &str, right: &str| compatible(Codec::H264, Some(&line(left)), Some(&line(right)));
        assert!(fits("42e01f", "42e034"));
        assert!(fits("42e01f", "42c01f"));
        assert!(fits("42e01f", "4d801f"));
        assert!(!fits("42e01f", "42001f"));
        assert!(!fits("42e01f", "640c1f"));
        assert!(!fits("64001f", "640c1f"));
        assert!(!compatible(Codec::H264, Some(&line("42e01f")), Some("profile-level-id=42e01f")));
        assert!(compatible(Codec::H264, None, Some("profile-level-id=42001f;packetization-mode=0")));
    }

    #[test]
    fn decoders_play_what_is_a_part_of_theirs() {
        let line = |mode: u8, profile: &str| format!("profile-level-id={profile};packetization-mode={mode}");
        let plays = |stream: &str, viewer: &str| playable(Codec::H264, Some(stream), Some(viewer));
        for profile in ["42e01f", "42001f", "4d001f", "640c1f", "64001f"] {
            assert!(plays(&line(1, "42e01f"), &line(1, profile)), "{profile}");
            assert!(plays(&line(1, "42001f"), &line(1, profile)), "{profile}");
        }
        assert!(!plays(&line(1, "4d001f"), &line(1, "42e01f")));
        assert!(!plays(&line(1, "64001f"), &line(1, "640c1f")));
        assert!(plays(&line(0, "42e01f"), &line(1, "42e01f")));
        assert!(!plays(&line(1, "42e01f"), &line(0, "42e01f")));
        assert!(playable(Codec::H264, None, Some(&line(1, "42e01f"))));
        assert!(playable(Codec::H264, Some(&line(1, "42e01f")), None));
        assert!(!playable(Codec::Vp9, Some("profile-id=2"), None));
    }

    #[test]
    fn a_viewer_of_constrained_baseline_alone_gets_what_browsers_call_baseline() {
        let publisher = [h264(102, 1, "42001f"), h264(108, 0, "42e01f"), h264(127, 1, "4d001f")];
        let map =
            payload_map(&published(&publisher, MediaKind::Video), &[h264(97, 1, "42e01f")], MediaKind::Video);
        let pairs: Vec<_> = map.iter().map(|entry| (entry.from, entry.to)).collect();
        assert_eq!(pairs, [(102, 97), (108, 97)]);
    }

    #[test]
    fn profiles_of_vp9_and_av1_default_to_zero() {
        assert!(compatible(Codec::Vp9, None, Some("profile-id=0")));
        assert!(!compatible(Codec::Vp9, None, Some("profile-id=2")));
        assert!(compatible(Codec::Av1, Some("level-idx=5;profile=0;tier=0"), None));
        assert!(!compatible(Codec::Av1, Some("profile=1"), None));
    }

    #[test]
    fn parameters_compare_without_order() {
        assert!(same_parameters(Some("minptime=10;useinbandfec=1"), Some("useinbandfec=1; MINPTIME=10")));
        assert!(same_parameters(None, Some("")));
        assert!(!same_parameters(Some("minptime=10"), None));
    }

    #[test]
    fn each_payload_type_of_the_client_is_taken_once_before_any_is_shared() {
        let publisher = [h264(102, 1, "42001f"), h264(104, 1, "42e01f"), h264(106, 1, "42c020")];
        let codecs = published(&publisher, MediaKind::Video);
        let viewer = [h264(97, 1, "42e034"), payload(98, "rtx", Some("apt=97")), h264(99, 1, "42001f")];
        let map = payload_map(&codecs, &viewer, MediaKind::Video);
        let pairs: Vec<_> = map.iter().map(|entry| (entry.from, entry.to, entry.rtx)).collect();
        assert_eq!(pairs, [(102, 99, None), (104, 97, Some(98)), (106, 97, Some(98))]);
    }

    #[test]
    fn redundancy_reaches_everybody_who_takes_opus() {
        let publisher = [payload(63, "red", Some("111/111")), payload(111, "opus", None)];
        let codecs = published(&publisher, MediaKind::Audio);
        let map = |viewer: &[Payload]| -> Vec<_> {
            let map = payload_map(&codecs, viewer, MediaKind::Audio);
            map.iter().map(|entry| (entry.from, entry.to, entry.form)).collect()
        };
        let whole = PayloadForm::Whole;
        let same = [payload(111, "opus", None), payload(70, "red", Some("111/111"))];
        assert_eq!(map(&same), [(63, 70, whole), (111, 111, whole)]);
        let other = [payload(109, "opus", None), payload(70, "red", Some("109/109"))];
        let renumbered = PayloadForm::Renumbered { from: 111, to: 109 };
        assert_eq!(map(&other), [(63, 70, renumbered), (111, 109, whole)]);
        let without = [payload(109, "opus", None)];
        assert_eq!(map(&without), [(63, 109, PayloadForm::Unpacked), (111, 109, whole)]);
        assert_eq!(map(&[payload(8, "PCMA", None)]), []);
    }
}
