//! Where a newcomer may begin: the newest keyframe of a layer, and whether all that came since is still there.
//!
//! A newcomer that begins in the cache costs the publisher nothing and sees a picture at once. In return it is sent what has
//! come since faster than that came, at [`PACE`] times the speed, until it is where all others are.
//!
//! Bounds: three numbers for each layer.

use std::ops::Range;
use std::time::Duration;

/// How many times as fast the past is sent as it came. Publishers spread a keyframe over some frames' time, so this is also
/// about the multiple of a layer's rate that a newcomer's way has to carry for a moment.
pub const PACE: u32 = 4;

/// Greatest age of a keyframe with which a newcomer may begin. What is made up for at [`PACE`] takes a third of its age, 170 ms
/// at most. A keyframe that is asked for takes as long: a round trip to the publisher, the time to its next frame, and its
/// packets. With an older one a newcomer would look at the past for longer than it would have waited.
pub const AGE_MAX: Duration = Duration::from_millis(500);

/// Most payload bytes from that keyframe on. In the 170 ms of the greatest age they are 12 Mbit/s: a way that cannot carry that
/// has them in its queue for longer than a keyframe takes, and they are in the way of sound.
pub const BYTES_MAX: usize = 256 << 10;

const _: () =
    assert!(AGE_MAX.as_millis() <= super::resend::AGE_MAX.as_millis(), "older packets are not kept");
const _: () = assert!(BYTES_MAX <= super::resend::BYTES_MAX, "more bytes are not kept");

/// Numbers behind a keyframe that came before its first packet did, at most: more is no reordering but a new sequence.
const OVERTAKEN_MAX: u64 = 64;

/// The newest keyframe of a layer, and what has come since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Since {
    /// Number of its first packet.
    first: u64,
    /// Packets from that number on.
    packets: u64,
    /// Payload bytes of these.
    bytes: usize,
}

impl Since {
    /// Begins with a keyframe whose first packet has this number and is in the cache, which holds these numbers. `bytes` gives
    /// the payload bytes of one that is there. `None` if so much came before it that nothing can be said.
    pub(crate) fn begin(first: u64, held: &Range<u64>, bytes: impl Fn(u64) -> Option<usize>) -> Option<Self> {
        if held.end.saturating_sub(first) > OVERTAKEN_MAX {
            return None;
        }
        let mut since = Self { first, packets: 0, bytes: 0 };
        for bytes in (first..held.end).filter_map(bytes) {
            since.packets += 1;
            since.bytes += bytes;
        }
        Some(since)
    }

    /// Takes note of one more packet in the cache.
    pub(crate) fn add(&mut self, number: u64, bytes: usize) {
        if number >= self.first {
            self.packets += 1;
            self.bytes += bytes;
        }
    }

    /// Number of the keyframe's first packet.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// Whether all of it has come and it is not too much, if the cache ends before this number.
    pub(crate) fn is_whole(&self, end: u64) -> bool {
        self.bytes <= BYTES_MAX && end.checked_sub(self.first) == Some(self.packets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PublicationId;
    use crate::router::LayerIndex;
    use crate::router::fixture::{at_ms, packet, vp8};
    use crate::router::publication::Publication;
    use crate::rtp::{Codec, ExtensionKind, MediaKind};

    struct Bench {
        publication: Publication,
        layer: LayerIndex,
    }

    impl Bench {
        fn new() -> Self {
            let mut publication = Publication::new(PublicationId(1), MediaKind::Video);
            let layer = publication.layer_index(None).unwrap();
            Self { publication, layer }
        }

        /// A frame of one packet that comes at a moment. Returns its number.
        fn push(&mut self, ms: u64, seq: u64, keyframe: bool, bytes: usize) -> u64 {
            let mut payload = vp8(keyframe, 1, 1, seq);
            payload.resize(bytes.max(payload.len()), 0);
            let mut packet = packet(seq, u32::try_from(seq).unwrap() * 3000, &payload);
            packet.received_at = at_ms(ms);
            self.publication.push(self.layer, Codec::Vp8, packet, at_ms(ms));
            self.publication.batch().last().unwrap().cached.packet.seq
        }

        fn beginning(&self, ms: u64) -> Option<u64> {
            self.publication.beginning(self.layer, at_ms(ms))
        }
    }

    #[test]
    fn a_newcomer_begins_with_the_newest_keyframe_unless_something_behind_it_is_missing() {
        let mut bench = Bench::new();
        assert_eq!(bench.beginning(0), None, "nothing came");
        bench.push(0, 9, false, 100);
        assert_eq!(bench.beginning(0), None, "no keyframe came");
        let first = bench.push(0, 10, true, 100);
        assert_eq!(bench.beginning(0), Some(first));
        bench.push(30, 11, false, 100);
        assert_eq!(bench.beginning(30), Some(first));
        bench.push(60, 13, false, 100);
        assert_eq!(bench.beginning(60), None, "one is missing");
        bench.push(70, 12, false, 100);
        assert_eq!(bench.beginning(70), Some(first), "it has come late");
        bench.push(70, 8, false, 100);
        assert_eq!(bench.beginning(70), Some(first), "what is older than the keyframe changes nothing");
        bench.push(90, 15, false, 100);
        assert_eq!(bench.beginning(90), None);
        let second = bench.push(100, 16, true, 100);
        assert_eq!(bench.beginning(100), Some(second), "what is missing lies before it");
        bench.push(101, 14, true, 100);
        assert_eq!(bench.beginning(101), Some(second), "an older keyframe is late");
    }

    #[test]
    fn padding_is_not_missed() {
        let mut bench = Bench::new();
        let first = bench.push(0, 10, true, 100);
        let mut pad = |seq| {
            let mut padding = packet(seq, 0, b"");
            padding.received_at = at_ms(1);
            bench.publication.push(bench.layer, Codec::Vp8, padding, at_ms(1));
        };
        (11..20).for_each(&mut pad);
        bench.push(2, 21, false, 100);
        assert_eq!(bench.beginning(2), None, "number 20 may still be media");
        let mut padding = packet(20, 0, b"");
        padding.received_at = at_ms(3);
        bench.publication.push(bench.layer, Codec::Vp8, padding, at_ms(3));
        assert_eq!(bench.beginning(3), Some(first));
    }

    #[test]
    fn a_keyframe_whose_first_packet_was_overtaken_counts_what_was_there() {
        let mut bench = Bench::new();
        bench.push(0, 9, false, 100);
        bench.push(0, 11, false, 100);
        bench.push(0, 12, false, 100);
        let first = bench.push(1, 10, true, 100);
        assert_eq!(bench.beginning(1), Some(first));
        bench.push(2, 13, false, 100);
        assert_eq!(bench.beginning(2), Some(first));
        bench.push(2, 15, false, 100);
        assert_eq!(bench.beginning(2), None);
        (20..20 + OVERTAKEN_MAX + 1).for_each(|seq| {
            bench.push(3, seq, false, 100);
        });
        bench.push(4, 19, true, 100);
        assert_eq!(bench.beginning(4), None, "too much came before it");
    }

    #[test]
    fn a_keyframe_is_used_while_it_is_young_and_not_too_much_came_since() {
        let mut bench = Bench::new();
        let first = bench.push(0, 10, true, 100);
        let age_max = u64::try_from(AGE_MAX.as_millis()).unwrap();
        assert_eq!(bench.beginning(age_max), Some(first));
        assert_eq!(bench.beginning(age_max + 1), None);
        let full = bench.push(1_000, 11, true, 1000);
        for seq in 12..12 + (BYTES_MAX / 1000) as u64 - 1 {
            bench.push(1_001, seq, false, 1000);
        }
        assert_eq!(bench.beginning(1_001), Some(full));
        bench.push(1_001, 12 + (BYTES_MAX / 1000) as u64 - 1, false, 1000);
        assert_eq!(bench.beginning(1_001), None);
    }

    #[test]
    fn a_keyframe_that_the_cache_has_let_go_is_not_used() {
        let mut bench = Bench::new();
        let first = bench.push(0, 10, true, 20);
        let held = super::super::resend::VIDEO_PACKETS_MAX as u64;
        for seq in 11..10 + held {
            bench.push(1, seq, false, 20);
        }
        assert_eq!(bench.beginning(1), Some(first));
        bench.push(1, 10 + held, false, 20);
        assert_eq!(bench.beginning(1), None);
        // The ring is round many times over.
        for seq in 11 + held..10 + 5 * held {
            let keyframe = seq % 500 == 0;
            let number = bench.push(2, seq, keyframe, 20);
            assert_eq!(bench.beginning(2).is_some_and(|first| first == number), keyframe);
        }
        bench.push(3, 10 + 7 * held, false, 20);
        assert_eq!(bench.beginning(3), None, "numbers have jumped");
    }

    #[test]
    fn the_keyframe_of_another_source_is_not_used() {
        for change in [
            (|bench: &mut Bench| bench.publication.reset_source(bench.layer)) as fn(&mut Bench),
            |bench| bench.publication.follow_source(bench.layer, 7),
            |bench| bench.publication.set_layer(bench.layer, Some("another")),
            |bench| bench.publication.free_layer(bench.layer),
            |bench| bench.publication.forget_keyframes(),
        ] {
            let mut bench = Bench::new();
            bench.push(0, 10, true, 100);
            assert!(bench.beginning(1).is_some());
            change(&mut bench);
            assert_eq!(bench.beginning(1), None);
        }
        let mut bench = Bench::new();
        bench.push(0, 10, true, 100);
        bench.publication.reset_source(bench.layer);
        bench.push(1, 11, false, 100);
        assert_eq!(bench.beginning(1), None, "the numbers go on, the pictures do not");
        let first = bench.push(2, 12, true, 100);
        assert_eq!(bench.beginning(2), Some(first));
    }

    #[test]
    fn keyframes_of_encrypted_payloads_are_known_by_their_descriptors_alone() {
        let mut bench = Bench::new();
        let mut push = |seq: u64, descriptor: &[u8], payload: &[u8]| {
            let mut packet = packet(seq, u32::try_from(seq).unwrap() * 3000, payload);
            packet.extensions.push(ExtensionKind::DependencyDescriptor, descriptor);
            bench.publication.push(bench.layer, Codec::H264, packet, at_ms(0));
            bench.publication.batch().last().unwrap().cached.keyframe
        };
        // The type of an IDR picture, and one that is none.
        let (idr, other) = (&[0x65, 0, 0][..], &[0xa1, 7, 9][..]);
        assert!(push(1, &[0xc0, 0, 1], idr), "no descriptor has told anything yet");
        assert!(push(2, &[0x80, 0, 2, 0x80, 0, 0b1011_0000], other), "the structure begins a sequence");
        assert!(!push(3, &[0xc0, 0, 3], idr), "one byte is right by chance");
        assert!(!push(4, &[0x40, 0, 4, 0x80, 0, 0b1011_0000], other), "it begins no frame");
    }

    #[test]
    fn a_publisher_that_goes_on_without_descriptors_is_known_by_its_payloads_again() {
        let mut bench = Bench::new();
        let mut described = packet(1, 3000, &vp8(true, 1, 1, 1));
        described.extensions.push(ExtensionKind::DependencyDescriptor, &[0x80, 0, 1, 0x80, 0, 0b1011_0000]);
        bench.publication.push(bench.layer, Codec::Vp8, described, at_ms(0));
        bench.push(1, 2, false, 100);
        let first = bench.push(2, 3, true, 100);
        assert_eq!(bench.beginning(2), Some(first));
    }
}
