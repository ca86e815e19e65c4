//! The only packet cache: what subscribers may ask for again, per layer, shared by all of them.
//!
//! A ring by number. It holds at most [`VIDEO_PACKETS_MAX`] or [`AUDIO_PACKETS_MAX`] numbers, packets no older than
//! [`AGE_MAX`] and payloads of [`BYTES_MAX`] in all; it starts empty and grows with use. Payloads are shared with
//! the batch and with other shards.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::segment::Vp8Numbers;
use crate::rtp::{Codec, MediaKind, Packet, SpatialPlace};

/// Most numbers of a video layer in the cache.
pub const VIDEO_PACKETS_MAX: usize = 1024;
/// Most numbers of an audio layer in the cache.
pub const AUDIO_PACKETS_MAX: usize = 128;
/// Greatest age of a packet in the cache, compared with the newest one.
pub const AGE_MAX: Duration = Duration::from_secs(2);
/// Most payload bytes of one layer in the cache.
pub const BYTES_MAX: usize = 2 << 20;

/// A packet as its publication keeps it, with all that is found in its payload.
#[derive(Debug, Clone)]
pub struct CachedPacket {
    /// The packet; its `seq` is the number in the layer, free of the gaps that padding left.
    pub packet: Packet,
    /// What it is encoded in.
    pub codec: Codec,
    /// Which source of the layer it came from; rises with each change. Sequence and timestamps of two sources have
    /// nothing to do with each other.
    pub source: u32,
    /// Whether it is the first seen of a keyframe.
    pub keyframe: bool,
    /// Whether it is known to be the first packet of a frame.
    pub frame_start: bool,
    /// The running numbers of its VP8 payload descriptor.
    pub vp8: Option<Vp8Numbers>,
    /// The number of its frame, by the dependency descriptor.
    pub frame_number: Option<u16>,
    /// Where it stands among the spatial layers of AV1.
    pub spatial: SpatialPlace,
}

/// The cache of one layer.
#[derive(Debug)]
pub struct ResendCache {
    /// Number of the front slot.
    base: u64,
    slots: VecDeque<Option<CachedPacket>>,
    bytes: usize,
    packets_max: usize,
}

impl ResendCache {
    /// Creates an empty cache with the bounds of the kind.
    pub fn new(kind: MediaKind) -> Self {
        let packets_max = match kind {
            MediaKind::Audio => AUDIO_PACKETS_MAX,
            MediaKind::Video => VIDEO_PACKETS_MAX,
        };
        Self { base: 0, slots: VecDeque::new(), bytes: 0, packets_max }
    }

    /// Stores a packet under its number, unless it is older than all that the cache reaches back to.
    pub fn insert(&mut self, cached: CachedPacket) {
        let number = cached.packet.seq;
        let now = cached.packet.received_at;
        if self.slots.is_empty() || number >= self.base + (self.slots.len() + self.packets_max) as u64 {
            self.clear();
            self.base = number;
        }
        let Some(offset) = number.checked_sub(self.base) else { return };
        let offset = offset as usize; // Below the present length and `packets_max` together.
        while self.slots.len() < offset {
            self.slots.push_back(None);
        }
        let bytes = cached.packet.payload.len();
        match self.slots.get_mut(offset) {
            None => self.slots.push_back(Some(cached)),
            Some(late @ None) => *late = Some(cached),
            Some(Some(_)) => return,
        }
        self.bytes += bytes;
        self.expire(now);
    }

    /// Returns the packet with this number.
    pub fn get(&self, number: u64) -> Option<&CachedPacket> {
        let offset = usize::try_from(number.checked_sub(self.base)?).ok()?;
        self.slots.get(offset)?.as_ref()
    }

    /// Returns the numbers from the oldest packet held to the newest one; some between may be missing.
    pub fn held(&self) -> Range<u64> {
        self.base..self.base + self.slots.len() as u64
    }

    /// Lets go of what is beyond the bounds at `now`.
    pub fn expire(&mut self, now: Instant) {
        let oldest = now.checked_sub(AGE_MAX);
        while let Some(front) = self.slots.front() {
            let keep = self.slots.len() <= self.packets_max
                && self.bytes <= BYTES_MAX
                && front.as_ref().is_some_and(|cached| Some(cached.packet.received_at) >= oldest);
            if keep {
                break;
            }
            self.bytes -= front.as_ref().map_or(0, |gone| gone.packet.payload.len());
            self.slots.pop_front();
            self.base += 1;
        }
    }

    /// Returns the payload bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn clear(&mut self) {
        self.slots.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::fixture::{base_instant, packet};

    fn cached(number: u64, at: Instant, bytes: usize) -> CachedPacket {
        let mut packet = packet(number, 0, &vec![0; bytes]);
        packet.received_at = at;
        CachedPacket {
            codec: Codec::Vp8,
            packet,
            source: 0,
            keyframe: false,
            frame_start: false,
            vp8: None,
            frame_number: None,
            spatial: SpatialPlace::Unknown,
        }
    }

    fn numbers(cache: &ResendCache, range: std::ops::Range<u64>) -> Vec<u64> {
        range.filter(|&number| cache.get(number).is_some()).collect()
    }

    #[test]
    fn cache_is_bounded_by_count() {
        for (kind, max) in [(MediaKind::Video, 1024_u64), (MediaKind::Audio, 128)] {
            let mut cache = ResendCache::new(kind);
            for number in 0..3000 {
                cache.insert(cached(number, base_instant(), 10));
            }
            assert_eq!(numbers(&cache, 0..4000), (3000 - max..3000).collect::<Vec<_>>());
            assert_eq!(cache.bytes() as u64, 10 * max);
        }
    }

    #[test]
    fn cache_is_bounded_by_age() {
        let start = base_instant();
        let mut cache = ResendCache::new(MediaKind::Video);
        for number in 0..100 {
            cache.insert(cached(number, start + Duration::from_millis(number * 100), 10));
        }
        assert_eq!(numbers(&cache, 0..200), (79..100).collect::<Vec<_>>());
        cache.expire(start + Duration::from_millis(9900) + AGE_MAX);
        assert_eq!(numbers(&cache, 0..200), [99]);
        cache.expire(start + Duration::from_secs(20));
        assert_eq!((numbers(&cache, 0..200), cache.bytes()), (vec![], 0));
    }

    #[test]
    fn cache_is_bounded_by_bytes() {
        let mut cache = ResendCache::new(MediaKind::Video);
        for number in 0..100 {
            cache.insert(cached(number, base_instant(), 100_000));
            assert!(cache.bytes() <= BYTES_MAX);
        }
        assert_eq!(numbers(&cache, 0..100), (80..100).collect::<Vec<_>>());
    }

    #[test]
    fn late_packets_fill_their_slot_and_older_ones_are_not_kept() {
        let mut cache = ResendCache::new(MediaKind::Video);
        for number in [50, 53, 51, 49] {
            cache.insert(cached(number, base_instant(), 10));
        }
        assert_eq!(numbers(&cache, 0..100), [50, 51, 53]);
        assert_eq!(cache.bytes(), 30);
    }

    #[test]
    fn a_jump_of_any_size_costs_no_more_than_the_bound() {
        for jump in [1023, 1024, 1025, 2047, 2048, 5000, 1 << 40] {
            let mut cache = ResendCache::new(MediaKind::Video);
            for number in (0..1024).chain([1024 + jump]) {
                cache.insert(cached(number, base_instant(), 10));
            }
            assert!(cache.slots.len() <= VIDEO_PACKETS_MAX, "jump {jump}");
            assert!(cache.get(1024 + jump).is_some(), "jump {jump}");
            assert_eq!(cache.bytes(), cache.slots.iter().flatten().count() * 10, "jump {jump}");
        }
    }
}
