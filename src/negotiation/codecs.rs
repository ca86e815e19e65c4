//! Which payload types are understood, and which of two sides' configurations fit each other.

use super::limits;
use super::media::PublishedCodec;
use crate::plan::{PayloadForm, PayloadMap};
use crate::rtp::{Codec, MediaKind};
use crate::sdp::{Payload, Section, fmtp_parameter};

/// Feedback that we speak (RFC 4585, RFC 5104, transport-wide congestion control). REMB is not among it.
const FEEDBACK: [&str; 4] = ["nack", "nack pli", "ccm fir", "transport-cc"];

/// Gives the codec of a payload type, if it is one that we carry in sections of this kind.
pub(super) fn known(payload: &Payload, kind: MediaKind) -> Option<Codec> {
    let codec = Codec::from_name(&payload.name).filter(|_| limits::is_payload_type(payload.pt))?;
    let fits = match codec {
        Codec::Opus => payload.channels.unwrap_or(2) == 2,
        // RFC 3551 6: their payload types are static, and the ingress engine knows them only so.
        Codec::Pcmu => payload.pt == 0 && payload.channels.unwrap_or(1) == 1,
        Codec::Pcma => payload.pt == 8 && payload.channels.unwrap_or(1) == 1,
        _ => true,
    };
    (fits && payload.clock == codec.clock_rate() && codec.kind() == kind).then_some(codec)
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
        None => limits::is_payload_type(payload.pt) && payload.rtx_for().is_some_and(has),
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
/// Profiles that are parts of each other play where the larger one does. Levels do not decide: what decoders name is
/// what they promise for every stream, and they play more than that. A viewer of H.264 who says nothing at all leaves it
/// to what comes: by the letter that would be 128 by 96 pixels in mode 0, which nobody means.
pub(super) fn playable(codec: Codec, stream: Option<&str>, viewer: Option<&str>) -> bool {
    let number = |fmtp: Option<&str>, key: &str, default: u8| {
        fmtp.and_then(|fmtp| fmtp_parameter(fmtp, key))
            .and_then(|value| value.parse().ok())
            .unwrap_or(default)
    };
    match codec {
        Codec::H264 if viewer.is_none() => true,
        Codec::H264 => {
            // Mode 1 has all that mode 0 has (RFC 6184 6.2, 6.3).
            let (sent, taken) = (packetization_mode(stream), packetization_mode(viewer));
            h264_profile(stream).plays_in(h264_profile(viewer))
                && (sent == taken || (sent == "0" && taken == "1"))
        }
        // AV1 6.4.1: who decodes High decodes Main, and who decodes Professional decodes both.
        Codec::Av1 => number(stream, "profile", 0) <= number(viewer, "profile", 0),
        Codec::H265 => {
            // H.265 A.3.3: Main 10 has all of Main.
            let (sent, taken) = (number(stream, "profile-id", 1), number(viewer, "profile-id", 1));
            let tier = number(stream, "tier-flag", 0) <= number(viewer, "tier-flag", 0);
            let mode = |fmtp: Option<&str>| {
                fmtp.and_then(|fmtp| fmtp_parameter(fmtp, "tx-mode")).unwrap_or("SRST").to_owned()
            };
            tier && mode(stream) == mode(viewer) && (sent == taken || (sent == 1 && taken == 2))
        }
        _ => compatible(codec, stream, viewer),
    }
}

/// Other ways to name a stream of H.264 that decoders may know instead of its own: larger profiles that play it, as
/// browsers name them. Debian's Chromium knows High in no other way than as a part of the last.
pub(super) fn larger_profiles(fmtp: Option<&str>) -> Vec<String> {
    let (Some(fmtp), profile) = (fmtp, h264_profile(fmtp)) else { return Vec::new() };
    let Some(id) = fmtp_parameter(fmtp, "profile-level-id") else { return Vec::new() };
    let Some(level) = id.get(4..6) else { return Vec::new() };
    if profile <= H264Profile::Baseline {
        // Whoever decodes H.264 names this one.
        return Vec::new();
    }
    let larger = ["640c", "6400", "f400"].map(|profile| format!("{profile}{level}"));
    let larger = larger.iter().map(|larger| fmtp.replacen(id, larger, 1));
    larger.filter(|other| h264_profile(Some(other)) > profile).collect()
}

/// RFC 6184 8.1: single NAL unit mode, 0, if absent.
fn packetization_mode(fmtp: Option<&str>) -> &str {
    fmtp.and_then(|fmtp| fmtp_parameter(fmtp, "packetization-mode")).unwrap_or("0")
}

/// H.264 profiles as decoders tell them apart, each playing those before it (H.264 A.2, A.3).
///
/// Baseline has more tools than Constrained Baseline, and Main than Constrained High, but no encoder for calls makes use
/// of them, and browsers name Baseline first though what they send is constrained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum H264Profile {
    ConstrainedBaseline,
    Baseline,
    Main,
    ConstrainedHigh,
    High,
    High10,
    High422,
    High444,
    Other(u8, u8),
}

impl H264Profile {
    fn plays_in(self, decoder: Self) -> bool {
        use H264Profile::{Baseline, Other};
        match (self, decoder) {
            (Other(..), _) | (_, Other(..)) => self == decoder,
            _ => self.max(Baseline) <= decoder.max(Baseline),
        }
    }
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
        // Progressive High (constraint 4 alone) is what encoders for calls make of High.
        0x64 if !set(0x04) => H264Profile::High,
        // With constraint 3 they are of intra frames alone, which decoders of the whole play as well.
        0x6e => H264Profile::High10,
        0x7a => H264Profile::High422,
        0xf4 => H264Profile::High444,
        _ => H264Profile::Other(idc, constraints),
    }
}

/// Names codecs for people.
pub(super) fn described(codecs: &[PublishedCodec]) -> String {
    let mut names: Vec<String> = Vec::new();
    for codec in codecs {
        let keys = ["profile-level-id", "packetization-mode", "profile-id", "profile"];
        let fmtp = codec.fmtp.as_deref().unwrap_or_default();
        let said: Vec<String> = keys
            .into_iter()
            .filter_map(|key| Some(format!("{key}={}", fmtp_parameter(fmtp, key)?)))
            .collect();
        let name = match (codec.codec.kind(), said.as_slice()) {
            (MediaKind::Video, [_, ..]) => format!("{} ({})", codec.codec.name(), said.join(", ")),
            _ => codec.codec.name().to_owned(),
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join("; ")
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
        // (stream, those that play it of 42e01f, 42001f, 4d001f, 640c1f, 64001f, f4001f)
        let decoders = ["42e01f", "42001f", "4d001f", "640c1f", "64001f", "f4001f"];
        let table = [
            ("42c01f", "xxxxxx"),
            ("4d401f", "..xxxx"),
            ("640c28", "...xxx"),
            ("640028", "....xx"),
            ("640828", "....xx"),
            ("6e0028", ".....x"),
            ("f4001f", ".....x"),
        ];
        for (stream, expected) in table {
            let found: String = decoders
                .iter()
                .map(|decoder| if plays(&line(1, stream), &line(1, decoder)) { 'x' } else { '.' })
                .collect();
            assert_eq!(found, expected, "{stream}");
        }
        assert!(plays(&line(0, "42e01f"), &line(1, "42e01f")));
        assert!(!plays(&line(1, "42e01f"), &line(0, "42e01f")));
        assert!(playable(Codec::H264, None, Some(&line(1, "42e01f"))));
        assert!(playable(Codec::H264, Some(&line(1, "42e01f")), None));
        assert!(!playable(Codec::Vp9, Some("profile-id=2"), None));
    }

    #[test]
    fn later_codecs_play_where_a_larger_profile_does() {
        let av1 = |stream: &str, viewer: &str| playable(Codec::Av1, Some(stream), Some(viewer));
        assert!(av1("profile=0", "profile=1") && av1("profile=1", "profile=2") && av1("profile=0", ""));
        assert!(!av1("profile=1", "profile=0"));
        let h265 = |stream: &str, viewer: &str| playable(Codec::H265, Some(stream), Some(viewer));
        assert!(
            h265("level-id=120", "profile-id=1;level-id=93")
                && h265("profile-id=1", "profile-id=2;tier-flag=1")
        );
        assert!(!h265("profile-id=2", "profile-id=1") && !h265("tier-flag=1", "tier-flag=0"));
        assert!(!h265("tx-mode=MRST", "profile-id=1"));
        assert!(!playable(Codec::Vp9, Some("profile-id=1"), Some("profile-id=3")));
    }

    #[test]
    fn a_stream_can_be_named_by_the_profiles_that_play_it() {
        let high = "packetization-mode=1;profile-level-id=640028;sprop-parameter-sets=Z2QAKA==";
        let named = larger_profiles(Some(high));
        assert_eq!(named, [high.replace("640028", "f40028")]);
        assert_eq!(larger_profiles(Some("profile-level-id=4d401f")).len(), 3);
        assert!(
            larger_profiles(Some("profile-level-id=42e01f")).is_empty() && larger_profiles(None).is_empty()
        );
        assert!(larger_profiles(Some("profile-level-id=640\u{e4}8")).is_empty(), "no part of a character");
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
        let same = [payload(111, "opus", None), payload(50, "red", Some("111/111"))];
        assert_eq!(map(&same), [(63, 50, whole), (111, 111, whole)]);
        let other = [payload(109, "opus", None), payload(50, "red", Some("109/109"))];
        let renumbered = PayloadForm::Renumbered { from: 111, to: 109 };
        assert_eq!(map(&other), [(63, 50, renumbered), (111, 109, whole)]);
        let without = [payload(109, "opus", None)];
        assert_eq!(map(&without), [(63, 109, PayloadForm::Unpacked), (111, 109, whole)]);
        assert_eq!(map(&[payload(8, "PCMA", None)]), []);
    }
}
