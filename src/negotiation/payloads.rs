//! The payload types of one session. In a BUNDLE group a payload type means the same in every section (RFC 9143
//! 9.1), so there is one table per session: what the client has said, and what we have assigned in our offers.

use super::codecs;
use super::error::BindError;
use super::media::{PublishedCodec, PublishedMedia};
use crate::rtp::{Codec, MediaKind};
use crate::sdp::{Payload, Section};

/// Payload types that may be assigned: the dynamic range first (RFC 3551 6), then the unassigned ones that are
/// not mistaken for RTCP (RFC 5761 4).
const FREE: [std::ops::RangeInclusive<u8>; 2] = [96..=127, 35..=63];

/// Everything that this session calls by a payload type. Bounded by the 128 that exist.
#[derive(Debug, Clone, Default)]
pub(super) struct PayloadTable {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    payload: Payload,
    /// The codec, unless it is one that we do not carry (or a retransmission).
    codec: Option<Codec>,
    rtx: Option<u8>,
}

impl PayloadTable {
    /// Takes over what a client's section says. The client's word replaces ours.
    pub(super) fn learn(&mut self, section: &Section, kind: MediaKind) {
        for payload in &section.payloads {
            let codec = codecs::known(payload, kind);
            let known = self.entries.iter().find(|entry| entry.payload.pt == payload.pt);
            // A section may leave retransmission out (`setCodecPreferences`); others keep theirs.
            let rtx = section.rtx_of(payload.pt).or_else(|| known.and_then(|known| known.rtx));
            self.insert(Entry { payload: payload.clone(), codec, rtx });
        }
    }

    /// Gives the retransmission payload type of a payload type.
    pub(super) fn rtx_of(&self, pt: u8) -> Option<u8> {
        self.entries.iter().find(|entry| entry.payload.pt == pt)?.rtx
    }

    /// Gives the payload list under which we offer a publication, in the publisher's order. Configurations that
    /// the session knows keep their numbers; each number is used once.
    pub(super) fn offer(&mut self, media: &PublishedMedia) -> Result<Vec<Payload>, BindError> {
        let mut chosen: Vec<(u8, u8)> = Vec::new();
        for pass in 0..3 {
            for codec in media.codecs.iter().filter(|codec| codec.codec != Codec::Red) {
                if chosen.iter().any(|(from, _)| *from == codec.pt) {
                    continue;
                }
                let fits = |entry: &&Entry| {
                    let (left, right) = (entry.payload.fmtp.as_deref(), codec.fmtp.as_deref());
                    entry.codec == Some(codec.codec)
                        && !chosen.iter().any(|(_, to)| *to == entry.payload.pt)
                        && match pass {
                            0 => codecs::same_parameters(left, right),
                            1 => codecs::compatible(codec.codec, left, right),
                            _ => codecs::playable(codec.codec, right, left),
                        }
                };
                if let Some(entry) = self.entries.iter().find(fits) {
                    chosen.push((codec.pt, entry.payload.pt));
                }
            }
        }
        // Redundancy names the number of Opus, so Opus gets its number first, also when it stands behind.
        for opus in media.codecs.iter().filter(|codec| codec.codec == Codec::Opus) {
            if !chosen.iter().any(|(from, _)| *from == opus.pt)
                && let Some(pt) = self.assign(opus)
            {
                chosen.push((opus.pt, pt));
            }
        }
        let mut payloads = Vec::new();
        for codec in &media.codecs {
            let pt = match chosen.iter().find(|(from, _)| *from == codec.pt) {
                Some((_, pt)) => Some(*pt),
                None if codec.codec == Codec::Red => self.red(codec, &chosen),
                None => self.assign(codec),
            };
            let Some(pt) = pt else { continue };
            chosen.push((codec.pt, pt));
            self.describe(pt, codec, &mut payloads);
        }
        self.describe_larger(media, &mut payloads);
        if payloads.is_empty() { Err(BindError::NoCodec) } else { Ok(payloads) }
    }

    /// Appends other names of what the publisher sends, under which a client may know it. Those that it has shown to know
    /// were chosen already.
    fn describe_larger(&mut self, media: &PublishedMedia, payloads: &mut Vec<Payload>) {
        for codec in media.codecs.iter().filter(|codec| codec.codec == Codec::H264) {
            for fmtp in codecs::larger_profiles(codec.fmtp.as_deref()) {
                let same =
                    |fmtp: Option<&str>, other: &str| codecs::compatible(Codec::H264, fmtp, Some(other));
                let is_named = |payload: &Payload| {
                    codecs::known(payload, MediaKind::Video) == Some(Codec::H264)
                        && same(payload.fmtp.as_deref(), &fmtp)
                };
                if payloads.iter().any(is_named) {
                    continue;
                }
                let known = self.entries.iter().find(|entry| {
                    entry.codec == Some(Codec::H264) && same(entry.payload.fmtp.as_deref(), &fmtp)
                });
                let known = known.map(|entry| entry.payload.pt);
                let other = PublishedCodec { fmtp: Some(fmtp.clone()), ..codec.clone() };
                if let Some(pt) = known.or_else(|| self.assign(&other)) {
                    self.describe(pt, &other, payloads);
                }
            }
        }
    }

    fn insert(&mut self, entry: Entry) {
        match self.entries.iter_mut().find(|known| known.payload.pt == entry.payload.pt) {
            Some(known) => *known = entry,
            None => self.entries.push(entry),
        }
    }

    /// Adds a configuration that the session does not know yet.
    fn assign(&mut self, codec: &PublishedCodec) -> Option<u8> {
        let pt = self.free(Some(codec.pt))?;
        let payload = Payload {
            pt,
            name: codec.codec.name().to_owned(),
            clock: codec.clock_rate,
            channels: codec.channels,
            fmtp: codec.fmtp.clone(),
            rtcp_fb: Vec::new(),
        };
        self.insert(Entry { payload, codec: Some(codec.codec), rtx: None });
        Some(pt)
    }

    /// Finds the number of redundancy around Opus, as Opus is numbered here.
    fn red(&mut self, codec: &PublishedCodec, chosen: &[(u8, u8)]) -> Option<u8> {
        let published = codecs::primary_of(codec.fmtp.as_deref())?;
        let (_, opus) = *chosen.iter().find(|(from, _)| *from == published)?;
        let known = self.entries.iter().find(|entry| {
            entry.codec == Some(Codec::Red) && codecs::red_primary(&entry.payload) == Some(opus)
        });
        match known {
            Some(entry) => Some(entry.payload.pt),
            None => self.assign(&PublishedCodec { fmtp: Some(format!("{opus}/{opus}")), ..codec.clone() }),
        }
    }

    /// Appends the lines of one number: itself, and its retransmissions if it is video.
    fn describe(&mut self, pt: u8, codec: &PublishedCodec, payloads: &mut Vec<Payload>) {
        let Some(entry) = self.entries.iter().find(|entry| entry.payload.pt == pt) else { return };
        let video = codec.codec.kind() == MediaKind::Video;
        let feedback: &[&str] =
            if video { &["nack", "nack pli", "ccm fir", "transport-cc"] } else { &["transport-cc"] };
        let mut payload = entry.payload.clone();
        payload.rtcp_fb = feedback.iter().map(|line| (*line).to_owned()).collect();
        payloads.push(payload);
        if !video {
            return;
        }
        // Lost packets are repeated out of our own store, so every video codec has retransmissions here,
        // whatever the publisher negotiated.
        let rtx = entry.rtx.or_else(|| self.free(codec.rtx));
        let Some(rtx) = rtx else { return };
        let line = Payload {
            pt: rtx,
            name: "rtx".to_owned(),
            clock: codec.clock_rate,
            channels: None,
            fmtp: Some(format!("apt={pt}")),
            rtcp_fb: Vec::new(),
        };
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.payload.pt == pt) {
            entry.rtx = Some(rtx);
        }
        self.insert(Entry { payload: line.clone(), codec: None, rtx: None });
        payloads.push(line);
    }

    fn free(&self, wish: Option<u8>) -> Option<u8> {
        let used = |pt: u8| self.entries.iter().any(|entry| entry.payload.pt == pt || entry.rtx == Some(pt));
        let assignable = |pt: u8| matches!(pt, 0 | 8) || FREE.iter().any(|range| range.contains(&pt));
        wish.filter(|pt| assignable(*pt) && !used(*pt))
            .or_else(|| FREE.iter().cloned().flatten().find(|pt| !used(*pt)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codec(pt: u8, codec: Codec, fmtp: Option<&str>, rtx: Option<u8>) -> PublishedCodec {
        PublishedCodec {
            pt,
            codec,
            clock_rate: if codec.kind() == MediaKind::Video { 90_000 } else { 48_000 },
            channels: (codec == Codec::Opus).then_some(2),
            fmtp: fmtp.map(str::to_owned),
            rtcp_fb: Vec::new(),
            rtx,
        }
    }

    fn video(codecs: Vec<PublishedCodec>) -> PublishedMedia {
        PublishedMedia { kind: MediaKind::Video, codecs, rids: Vec::new(), extensions: Vec::new() }
    }

    fn numbers(payloads: &[Payload]) -> Vec<u8> {
        payloads.iter().map(|payload| payload.pt).collect()
    }

    #[test]
    fn an_empty_table_takes_the_publishers_numbers() {
        let mut table = PayloadTable::default();
        let media = video(vec![codec(96, Codec::Vp8, None, Some(97)), codec(45, Codec::Av1, None, None)]);
        assert_eq!(numbers(&table.offer(&media).unwrap()), [96, 97, 45, 98]);
        assert_eq!(numbers(&table.offer(&media).unwrap()), [96, 97, 45, 98]);
    }

    #[test]
    fn redundancy_that_a_publisher_prefers_stands_first_and_has_its_number() {
        let mut table = PayloadTable::default();
        let media = PublishedMedia {
            kind: MediaKind::Audio,
            ..video(vec![codec(63, Codec::Red, Some("111/111"), None), codec(111, Codec::Opus, None, None)])
        };
        assert_eq!(numbers(&table.offer(&media).unwrap()), [63, 111]);
        assert_eq!(numbers(&table.offer(&media).unwrap()), [63, 111]);
    }

    #[test]
    fn redundancy_names_the_number_that_opus_has_in_this_session() {
        let mut table = PayloadTable::default();
        let audio = |codecs| PublishedMedia { kind: MediaKind::Audio, ..video(codecs) };
        table.offer(&audio(vec![codec(109, Codec::Opus, None, None)])).unwrap();
        let red = codec(63, Codec::Red, Some("111/111"), None);
        let offered = table.offer(&audio(vec![red, codec(111, Codec::Opus, None, None)])).unwrap();
        assert_eq!(numbers(&offered), [63, 109]);
        assert_eq!(offered[0].fmtp.as_deref(), Some("109/109"));
    }

    #[test]
    fn two_variants_never_share_a_number() {
        let line = |profile: &str| format!("packetization-mode=1;profile-level-id={profile}");
        let mut table = PayloadTable::default();
        let one = video(vec![codec(102, Codec::H264, Some(&line("42e01f")), Some(103))]);
        assert_eq!(numbers(&table.offer(&one).unwrap()), [102, 103]);
        let two = video(vec![
            codec(120, Codec::H264, Some(&line("42e034")), Some(121)),
            codec(102, Codec::H264, Some(&line("42c01f")), Some(103)),
        ]);
        let offered = numbers(&table.offer(&two).unwrap());
        assert_eq!(offered, [102, 103, 96, 97]);
    }

    #[test]
    fn high_is_offered_by_the_larger_profile_as_well() {
        let line = |profile: &str| format!("packetization-mode=1;profile-level-id={profile}");
        let mut table = PayloadTable::default();
        let high = video(vec![codec(102, Codec::H264, Some(&line("640028")), Some(103))]);
        let offered = table.offer(&high).unwrap();
        assert_eq!(numbers(&offered), [102, 103, 96, 97]);
        assert_eq!(offered[2].fmtp, Some(line("f40028")));
        assert_eq!(numbers(&table.offer(&high).unwrap()), [102, 103, 96, 97]);
        // A client that has shown what it knows is offered that.
        let mut table = PayloadTable::default();
        let known = video(vec![codec(120, Codec::H264, Some(&line("f4001f")), Some(121))]);
        table.offer(&known).unwrap();
        assert_eq!(numbers(&table.offer(&high).unwrap()), [120, 121]);
    }

    #[test]
    fn a_number_that_means_something_else_is_not_taken() {
        let mut table = PayloadTable::default();
        table.offer(&video(vec![codec(96, Codec::Vp8, None, Some(97))])).unwrap();
        let offered = table.offer(&video(vec![codec(96, Codec::Vp9, None, Some(97))])).unwrap();
        assert_eq!(numbers(&offered), [98, 99]);
    }

    #[test]
    fn a_full_table_falls_back_to_the_low_range_and_then_refuses() {
        let mut table = PayloadTable::default();
        let profile = |id: usize| format!("profile-id={id}");
        for id in 0..63 {
            let media = video(vec![codec(96, Codec::Vp9, Some(&profile(id)), None)]);
            let offered = table.offer(&media);
            assert_eq!(offered.is_ok(), id < 31, "{id}: {offered:?}");
        }
    }
}
