//! RTP header extensions (RFC 8285): the kinds that are known, and the few bytes of them that travel with a
//! packet from publisher to subscribers.

use std::sync::Arc;

/// RTP header extensions that are known by URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExtensionKind {
    /// `urn:ietf:params:rtp-hdrext:sdes:mid`; written anew per subscription.
    Mid,
    /// Transport-wide congestion control number; written anew per session.
    TransportCc,
    /// RFC 6464 client-to-mixer audio level; passed on.
    AudioLevel,
    /// 3GPP video orientation; passed on.
    VideoOrientation,
    /// Playout delay limits; passed on.
    PlayoutDelay,
    /// Video content type (screen content); passed on.
    VideoContentType,
    /// Colour space; passed on.
    ColorSpace,
    /// Absolute capture time; passed on.
    AbsCaptureTime,
    /// AV1 dependency descriptor; passed on.
    DependencyDescriptor,
}

impl ExtensionKind {
    /// Every kind; a kind's place is its discriminant.
    pub const ALL: [ExtensionKind; 9] = [
        ExtensionKind::Mid,
        ExtensionKind::TransportCc,
        ExtensionKind::AudioLevel,
        ExtensionKind::VideoOrientation,
        ExtensionKind::PlayoutDelay,
        ExtensionKind::VideoContentType,
        ExtensionKind::ColorSpace,
        ExtensionKind::AbsCaptureTime,
        ExtensionKind::DependencyDescriptor,
    ];

    /// The URI by which SDP names it (`a=extmap`, RFC 8285 5).
    pub const fn uri(self) -> &'static str {
        match self {
            ExtensionKind::Mid => "urn:ietf:params:rtp-hdrext:sdes:mid",
            ExtensionKind::TransportCc => {
                "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
            }
            ExtensionKind::AudioLevel => "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            ExtensionKind::VideoOrientation => "urn:3gpp:video-orientation",
            ExtensionKind::PlayoutDelay => "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
            ExtensionKind::VideoContentType => {
                "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type"
            }
            ExtensionKind::ColorSpace => "http://www.webrtc.org/experiments/rtp-hdrext/color-space",
            ExtensionKind::AbsCaptureTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
            ExtensionKind::DependencyDescriptor => {
                "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
            }
        }
    }

    /// Finds the kind that a URI names.
    pub fn from_uri(uri: &str) -> Option<ExtensionKind> {
        ExtensionKind::ALL.into_iter().find(|kind| kind.uri() == uri)
    }

    /// Tells whether its bytes go unchanged from publisher to subscriber; the others are written anew.
    pub const fn is_passed(self) -> bool {
        !matches!(self, ExtensionKind::Mid | ExtensionKind::TransportCc)
    }
}

/// Bytes of extensions that lie in the packet itself.
const ROOM: usize = 44;

/// Bytes of extensions for which a place apart is made: the longest element of the two-byte form (RFC 8285 4.3), and
/// 96 bytes for all others.
const ROOM_APART: usize = 2 + 255 + 96;

/// Header extensions taken from a publisher's packet, in the order in which they came.
///
/// Each element takes two bytes besides its data. The 44 bytes in the packet do for all but a dependency descriptor that
/// holds the structure of its stream, as the first packet of a keyframe does: a hundred bytes and more. All extensions of
/// such a packet lie in a place apart, which its clones share. What does not fit even there is refused whole.
#[derive(Debug, Clone)]
pub struct PassedExtensions(Place);

#[derive(Debug, Clone)]
enum Place {
    Packet(Elements<ROOM>),
    Apart(Arc<Elements<ROOM_APART>>),
}

/// Elements one after another: kind, length, data.
#[derive(Debug, Clone)]
struct Elements<const ROOM: usize> {
    len: u16,
    bytes: [u8; ROOM],
}

impl PassedExtensions {
    /// No extensions.
    pub const EMPTY: PassedExtensions = PassedExtensions(Place::Packet(Elements::EMPTY));

    /// Appends one element; answers false, and keeps nothing of it, when there is no room.
    pub fn push(&mut self, kind: ExtensionKind, data: &[u8]) -> bool {
        match &mut self.0 {
            Place::Packet(elements) => elements.push(kind, data) || self.push_apart(kind, data),
            Place::Apart(elements) => Arc::make_mut(elements).push(kind, data),
        }
    }

    /// Appends one element for which the packet has no room.
    #[cold]
    fn push_apart(&mut self, kind: ExtensionKind, data: &[u8]) -> bool {
        let mut elements = Elements::EMPTY;
        let moved = self.iter().all(|(kind, data)| elements.push(kind, data));
        let pushed = moved && elements.push(kind, data);
        if pushed {
            self.0 = Place::Apart(Arc::new(elements));
        }
        pushed
    }

    /// Walks over the elements in the order in which they were pushed.
    pub fn iter(&self) -> PassedIter<'_> {
        let rest = match &self.0 {
            Place::Packet(elements) => elements.written(),
            Place::Apart(elements) => elements.written(),
        };
        PassedIter { rest }
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.iter().rest.is_empty()
    }
}

impl<const ROOM: usize> Elements<ROOM> {
    const EMPTY: Self = Self { len: 0, bytes: [0; ROOM] };

    fn push(&mut self, kind: ExtensionKind, data: &[u8]) -> bool {
        let start = usize::from(self.len);
        let Ok(size) = u8::try_from(data.len()) else { return false };
        let Some(room) = self.bytes.get_mut(start..) else { return false };
        let Some((head, rest)) = room.split_first_chunk_mut::<2>() else { return false };
        let Some(body) = rest.get_mut(..data.len()) else { return false };
        body.copy_from_slice(data);
        *head = [kind as u8, size];
        // Lossless: within the room, which is below 65,536.
        self.len = (start + 2 + data.len()) as u16;
        true
    }

    fn written(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl Default for PassedExtensions {
    fn default() -> PassedExtensions {
        PassedExtensions::EMPTY
    }
}

impl PartialEq for PassedExtensions {
    fn eq(&self, other: &PassedExtensions) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for PassedExtensions {}

impl<'a> IntoIterator for &'a PassedExtensions {
    type Item = (ExtensionKind, &'a [u8]);
    type IntoIter = PassedIter<'a>;

    fn into_iter(self) -> PassedIter<'a> {
        self.iter()
    }
}

/// Walks over [`PassedExtensions`].
#[derive(Debug, Clone)]
pub struct PassedIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for PassedIter<'a> {
    type Item = (ExtensionKind, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let ([kind, len], rest) = self.rest.split_first_chunk::<2>()?;
        let kind = *ExtensionKind::ALL.get(usize::from(*kind))?;
        let (data, rest) = rest.split_at_checked(usize::from(*len))?;
        self.rest = rest;
        Some((kind, data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_uri_and_stands_at_its_discriminant() {
        for (place, kind) in ExtensionKind::ALL.into_iter().enumerate() {
            assert_eq!(ExtensionKind::from_uri(kind.uri()), Some(kind));
            assert_eq!(kind as usize, place);
        }
        assert_eq!(ExtensionKind::from_uri("urn:3gpp:video-orientation "), None);
    }

    #[test]
    fn only_mid_and_transport_wide_numbers_are_written_anew() {
        let anew: Vec<_> = ExtensionKind::ALL.into_iter().filter(|kind| !kind.is_passed()).collect();
        assert_eq!(anew, [ExtensionKind::Mid, ExtensionKind::TransportCc]);
    }

    #[test]
    fn elements_come_back_in_order_with_their_bytes() {
        let mut passed = PassedExtensions::EMPTY;
        assert!(passed.is_empty());
        assert!(passed.push(ExtensionKind::VideoOrientation, &[1]));
        assert!(passed.push(ExtensionKind::AudioLevel, &[]));
        assert!(passed.push(ExtensionKind::AbsCaptureTime, &[7; 8]));
        let all: Vec<_> = passed.iter().collect();
        assert_eq!(
            all,
            [
                (ExtensionKind::VideoOrientation, &[1u8][..]),
                (ExtensionKind::AudioLevel, &[][..]),
                (ExtensionKind::AbsCaptureTime, &[7; 8][..]),
            ]
        );
    }

    #[test]
    fn a_long_descriptor_finds_room_beside_all_others_and_clones_share_it() {
        let mut passed = PassedExtensions::EMPTY;
        let structure: Vec<u8> = (0..255).collect();
        assert!(passed.push(ExtensionKind::ColorSpace, &[9; 28]));
        assert!(passed.push(ExtensionKind::DependencyDescriptor, &structure));
        assert!(passed.push(ExtensionKind::AbsCaptureTime, &[7; 16]));
        assert!(passed.push(ExtensionKind::PlayoutDelay, &[3; 3]));
        let shared = passed.clone();
        let all: Vec<_> = shared.iter().collect();
        assert_eq!(
            all,
            [
                (ExtensionKind::ColorSpace, &[9; 28][..]),
                (ExtensionKind::DependencyDescriptor, &structure[..]),
                (ExtensionKind::AbsCaptureTime, &[7; 16][..]),
                (ExtensionKind::PlayoutDelay, &[3; 3][..]),
            ]
        );
        assert_eq!(passed, shared);
        assert!(passed.push(ExtensionKind::VideoContentType, &[1]));
        assert_eq!((passed.iter().count(), shared.iter().count()), (5, 4), "a clone keeps what it had");
    }

    #[test]
    fn what_does_not_fit_is_refused_whole_and_leaves_the_rest_alone() {
        let mut passed = PassedExtensions::EMPTY;
        assert!(!passed.push(ExtensionKind::DependencyDescriptor, &[1; 256]));
        assert!(passed.is_empty());
        assert!(passed.push(ExtensionKind::ColorSpace, &[9; 46]));
        assert!(passed.push(ExtensionKind::DependencyDescriptor, &[1; 255]));
        let before = passed.clone();
        assert!(!passed.push(ExtensionKind::ColorSpace, &[9; 47]));
        assert_eq!(passed, before);
        assert!(passed.push(ExtensionKind::ColorSpace, &[9; 46]));
        assert!(!passed.push(ExtensionKind::AudioLevel, &[]));
        assert_eq!(passed.iter().count(), 3);
    }
}
