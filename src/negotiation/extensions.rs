//! The header extension ids of one session. Like payload types they mean the same in every section of a BUNDLE
//! group (RFC 9143 9.2), and browsers refuse a change.

use super::limits;
use super::media::PublishedMedia;
use crate::rtp::{ExtensionKind, MediaKind};
use crate::sdp::{Extmap, Section};

/// Name of a layer (RFC 8852).
pub(super) const STREAM_ID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
/// Name of the layer that a retransmission belongs to (RFC 8852).
pub(super) const REPAIRED_STREAM_ID: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";

/// Highest id of the one-byte form (RFC 8285 4.2).
const ONE_BYTE_MAX: u8 = 14;

/// What this session calls by an extension id.
#[derive(Debug, Clone, Default)]
pub(super) struct ExtensionTable {
    /// One entry per URI that was named; bounded by the 255 ids.
    entries: Vec<Entry>,
    /// Whether the client has made an offer with audio, which shows all that it knows there.
    audio_shown: bool,
    /// The same for video.
    video_shown: bool,
}

#[derive(Debug, Clone)]
struct Entry {
    id: u8,
    uri: String,
    client: Knowledge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Knowledge {
    /// The client has named or accepted it.
    Known,
    /// The client has left it out of an answer.
    Refused,
    /// We have an id for it, but the client has not answered yet.
    Unasked,
}

impl ExtensionTable {
    /// Takes over what a section of a client's offer says.
    pub(super) fn learn_offer(&mut self, section: &Section, kind: MediaKind) {
        match kind {
            MediaKind::Audio => self.audio_shown = true,
            MediaKind::Video => self.video_shown = true,
        }
        for extmap in &section.extmap {
            self.name(extmap.id, &extmap.uri);
        }
    }

    /// Takes over what a section of a client's answer says to the ids that we offered in it.
    pub(super) fn learn_answer(&mut self, offered: &[Extmap], section: &Section) {
        for extmap in offered {
            let accepted =
                section.extmap.iter().any(|answer| answer.uri == extmap.uri && answer.id == extmap.id);
            if let Some(entry) = self.entries.iter_mut().find(|entry| entry.uri == extmap.uri) {
                // What it took in one section it knows, even if another section goes without.
                if accepted {
                    entry.client = Knowledge::Known;
                } else if entry.client == Knowledge::Unasked {
                    entry.client = Knowledge::Refused;
                }
            }
        }
    }

    /// Gives the lines with which we answer a client's section: those that we use, with its ids.
    pub(super) fn accept(section: &Section, kind: MediaKind) -> Vec<Extmap> {
        let layered = section.direction.sends() && !section.rids.is_empty();
        let used = |extmap: &&Extmap| match ExtensionKind::from_uri(&extmap.uri) {
            Some(extension) => carries(kind, extension) && is_used(extension, section.extmap_allow_mixed),
            None => layered && [STREAM_ID, REPAIRED_STREAM_ID].contains(&extmap.uri.as_str()),
        };
        let mut accepted: Vec<Extmap> = Vec::new();
        for extmap in section.extmap.iter().filter(used).filter(|line| limits::is_extension(line)) {
            if !accepted.iter().any(|known| known.uri == extmap.uri) {
                let direction = extmap.direction.map(crate::sdp::Direction::reversed);
                accepted.push(Extmap { direction, ..extmap.clone() });
            }
        }
        accepted
    }

    /// Gives the lines of a section that we offer: mid, transport-wide numbers, and of the passed extensions those
    /// that the publication has (all, if we offer to receive) and that the client has not shown to lack.
    pub(super) fn offer(&mut self, kind: MediaKind, media: Option<&PublishedMedia>) -> Vec<Extmap> {
        let published = |extension: ExtensionKind| {
            !extension.is_passed() || media.is_none_or(|media| media.extensions.contains(&extension))
        };
        let wanted = ExtensionKind::ALL
            .into_iter()
            .filter(|extension| carries(kind, *extension) && published(*extension));
        let mut lines = Vec::new();
        for extension in wanted {
            if let Some(id) = self.offered_id(kind, extension) {
                lines.push(Extmap { id, uri: extension.uri().to_owned(), direction: None });
            }
        }
        lines
    }

    fn offered_id(&mut self, kind: MediaKind, extension: ExtensionKind) -> Option<u8> {
        let uri = extension.uri();
        let shown = match kind {
            MediaKind::Audio => self.audio_shown,
            MediaKind::Video => self.video_shown,
        };
        if let Some(entry) = self.entries.iter().find(|entry| entry.uri == uri) {
            return match entry.client {
                Knowledge::Known => Some(entry.id),
                Knowledge::Refused => None,
                Knowledge::Unasked => (!shown).then_some(entry.id),
            };
        }
        if shown {
            return None;
        }
        let used = |id: u8| self.entries.iter().any(|entry| entry.id == id);
        let id = Some(usual_id(extension)).filter(|id| !used(*id));
        let id = id.or_else(|| (1..=ONE_BYTE_MAX).find(|id| !used(*id)))?;
        self.entries.push(Entry { id, uri: uri.to_owned(), client: Knowledge::Unasked });
        Some(id)
    }

    /// Records an id that the client gives; it displaces whatever we had planned for that id or URI.
    fn name(&mut self, id: u8, uri: &str) {
        self.entries.retain(|entry| entry.id != id && entry.uri != uri);
        self.entries.push(Entry { id, uri: uri.to_owned(), client: Knowledge::Known });
    }
}

/// Whether an extension is of use in a section where extensions of the one-byte and of the two-byte form may, or may not,
/// stand in one stream (RFC 8285 4.1.2, 6).
///
/// A dependency descriptor is short in most packets, and longer than the one-byte form can carry where it brings the
/// structure of its stream, without which the others mean nothing. Decoders cope with none, and not with some: so there
/// are none where the forms may not be mixed.
pub(super) fn is_used(extension: ExtensionKind, takes_mixed: bool) -> bool {
    takes_mixed || extension != ExtensionKind::DependencyDescriptor
}

/// Whether an extension belongs in sections of a kind.
fn carries(kind: MediaKind, extension: ExtensionKind) -> bool {
    match extension {
        ExtensionKind::Mid | ExtensionKind::TransportCc | ExtensionKind::AbsCaptureTime => true,
        ExtensionKind::AudioLevel => kind == MediaKind::Audio,
        ExtensionKind::VideoOrientation
        | ExtensionKind::PlayoutDelay
        | ExtensionKind::VideoContentType
        | ExtensionKind::ColorSpace
        | ExtensionKind::DependencyDescriptor => kind == MediaKind::Video,
    }
}

/// The id that libwebrtc gives an extension by itself, so that its own later offers agree with ours.
fn usual_id(extension: ExtensionKind) -> u8 {
    match extension {
        ExtensionKind::AudioLevel => 1,
        ExtensionKind::TransportCc => 3,
        ExtensionKind::Mid => 4,
        ExtensionKind::PlayoutDelay => 5,
        ExtensionKind::VideoContentType => 6,
        ExtensionKind::ColorSpace => 8,
        ExtensionKind::AbsCaptureTime => 9,
        ExtensionKind::DependencyDescriptor => 12,
        ExtensionKind::VideoOrientation => 13,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdp::SectionKind;

    fn section(kind: SectionKind, lines: &[(u8, ExtensionKind)]) -> Section {
        let mut section = Section::new(kind, "0");
        section.extmap = lines
            .iter()
            .map(|(id, kind)| Extmap { id: *id, uri: kind.uri().to_owned(), direction: None })
            .collect();
        section
    }

    fn ids(lines: &[Extmap]) -> Vec<u8> {
        lines.iter().map(|line| line.id).collect()
    }

    #[test]
    fn ids_of_the_client_are_kept() {
        let mut table = ExtensionTable::default();
        let lines =
            [(7, ExtensionKind::Mid), (2, ExtensionKind::TransportCc), (3, ExtensionKind::VideoOrientation)];
        table.learn_offer(&section(SectionKind::Video, &lines), MediaKind::Video);
        assert_eq!(ids(&table.offer(MediaKind::Video, None)), [7, 2, 3]);
        // The client has not shown its audio extensions, so what it may know is offered under a free id.
        assert_eq!(ids(&table.offer(MediaKind::Audio, None)), [7, 2, 1, 9]);
    }

    #[test]
    fn what_an_answer_leaves_out_is_not_offered_again() {
        let mut table = ExtensionTable::default();
        let offered = table.offer(MediaKind::Video, None);
        assert_eq!(offered.len(), 8);
        let answer =
            section(SectionKind::Video, &[(4, ExtensionKind::Mid), (13, ExtensionKind::VideoOrientation)]);
        table.learn_answer(&offered, &answer);
        assert_eq!(ids(&table.offer(MediaKind::Video, None)), [4, 13]);
    }

    #[test]
    fn a_publication_decides_what_is_passed() {
        let mut table = ExtensionTable::default();
        let media = PublishedMedia {
            kind: MediaKind::Video,
            codecs: Vec::new(),
            rids: Vec::new(),
            extensions: vec![ExtensionKind::PlayoutDelay],
        };
        assert_eq!(ids(&table.offer(MediaKind::Video, Some(&media))), [4, 3, 5]);
    }

    #[test]
    fn every_id_is_used_once() {
        let mut table = ExtensionTable::default();
        let lines: Vec<_> = [(4, ExtensionKind::AudioLevel), (3, ExtensionKind::Mid)].into();
        table.learn_offer(&section(SectionKind::Audio, &lines), MediaKind::Audio);
        let mut ids = ids(&table.offer(MediaKind::Video, None));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 8);
    }
}
