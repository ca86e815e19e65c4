//! What a client receives, packet by packet: what came, what came twice, what is missing, in which order, how
//! late.

use std::time::{Duration, Instant};

use crate::histogram::Histogram;
use crate::source::Media;
use crate::stamp::Stamp;

/// Counters further apart than this are not of one source.
const COUNTER_MAX: u64 = 1 << 26;

/// A set of packet counters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CounterSet {
    words: Vec<u64>,
    len: u64,
}

impl CounterSet {
    /// Adds a counter. Returns whether it was not in the set.
    pub fn insert(&mut self, counter: u64) -> bool {
        if counter >= COUNTER_MAX {
            return false;
        }
        let (index, bit) = ((counter / 64) as usize, 1 << (counter % 64));
        if self.words.len() <= index {
            self.words.resize(index + 1, 0);
        }
        let Some(word) = self.words.get_mut(index).filter(|word| **word & bit == 0) else { return false };
        *word |= bit;
        self.len += 1;
        true
    }

    /// Whether a counter is in the set.
    pub fn contains(&self, counter: u64) -> bool {
        let word = usize::try_from(counter / 64).ok().and_then(|index| self.words.get(index));
        word.is_some_and(|word| word & (1 << (counter % 64)) != 0)
    }

    /// Counters in the set.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The lowest counter.
    pub fn first(&self) -> Option<u64> {
        self.iter().next()
    }

    /// The highest counter.
    pub fn last(&self) -> Option<u64> {
        let (index, word) = self.words.iter().enumerate().rfind(|(_, word)| **word != 0)?;
        Some(index as u64 * 64 + u64::from(word.ilog2()))
    }

    /// All counters, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.words.iter().zip(0u64..).flat_map(|(word, index)| {
            (0..64).filter(move |bit| word & (1 << bit) != 0).map(move |bit| index * 64 + bit)
        })
    }

    /// Members within a range.
    pub fn count(&self, range: std::ops::Range<u64>) -> u64 {
        let words = (range.start / 64..range.end.div_ceil(64)).map_while(|index| {
            let word = self.words.get(usize::try_from(index).ok()?)?;
            let below = |end: u64| match end.saturating_sub(index * 64) {
                bits @ 0..64 => (1 << bits) - 1,
                _ => u64::MAX,
            };
            Some(u64::from((word & below(range.end) & !below(range.start)).count_ones()))
        });
        words.sum()
    }

    /// Counters between the lowest and the highest that are not in the set.
    pub fn gaps(&self) -> u64 {
        match (self.first(), self.last()) {
            (Some(first), Some(last)) => last - first + 1 - self.len,
            _ => 0,
        }
    }
}

/// One packet as it arrived, kept when the client was told to keep a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Extended sequence number on the wire.
    pub seq: u64,
    /// RTP timestamp on the wire.
    pub timestamp: u32,
    /// What the payload says.
    pub stamp: Stamp,
    /// VP8 picture id on the wire, for video.
    pub picture: u16,
    /// When it came.
    pub at: Instant,
}

/// What came of one layer of one source on one stream.
#[derive(Debug, Clone)]
pub struct Reception {
    /// Source by its stamp.
    pub source: u32,
    /// Layer of the source.
    pub layer: u8,
    /// Counters that came.
    pub counters: CounterSet,
    /// Packets whose counter had come before.
    pub repeated: u64,
    /// Keyframes that began.
    pub keyframes: u64,
    /// First packet, and first packet of a keyframe.
    pub first_at: Instant,
    /// First packet of a keyframe.
    pub first_keyframe_at: Option<Instant>,
    /// Newest packet.
    pub newest_at: Instant,
    /// Longest time without a packet.
    pub longest_gap: Duration,
}

/// One received stream, by its SSRC.
#[derive(Debug, Clone)]
pub struct ReceivedStream {
    /// SSRC on the wire.
    pub ssrc: u32,
    /// Section that it belongs to.
    pub mid: String,
    /// Whether it is video.
    pub video: bool,
    /// Packets.
    pub packets: u64,
    /// Packets whose payload is not as it was sent.
    pub corrupt: u64,
    /// Packets whose sequence number is below one that came before.
    pub late: u64,
    /// From sending to arrival, of packets that came in order or late.
    pub latency: Histogram,
    /// What came, by source and layer.
    pub sources: Vec<Reception>,
    /// Every arrival, when a log is kept.
    pub log: Vec<Arrival>,
    highest_seq: Option<u64>,
}

/// A packet as the engine hands it over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Incoming<'a> {
    pub(crate) seq: u64,
    pub(crate) timestamp: u32,
    pub(crate) payload: &'a [u8],
    /// Nanoseconds from the epoch.
    pub(crate) at_nanos: u64,
    pub(crate) at: Instant,
    pub(crate) keep_log: bool,
}

impl ReceivedStream {
    pub(crate) fn new(ssrc: u32, mid: String, video: bool) -> Self {
        Self {
            ssrc,
            mid,
            video,
            packets: 0,
            corrupt: 0,
            late: 0,
            latency: Histogram::default(),
            sources: Vec::new(),
            log: Vec::new(),
            highest_seq: None,
        }
    }

    pub(crate) fn take(&mut self, packet: &Incoming<'_>) {
        self.packets += 1;
        match self.highest_seq {
            Some(highest) if packet.seq <= highest => self.late += 1,
            _ => self.highest_seq = Some(packet.seq),
        }
        let Ok(stamp) = Stamp::read(packet.payload, Media::descriptor_bytes(self.video)) else {
            self.corrupt += 1;
            return;
        };
        self.latency.record(Duration::from_nanos(packet.at_nanos.saturating_sub(stamp.sent)));
        if packet.keep_log {
            let picture = if self.video { picture_id(packet.payload) } else { 0 };
            self.log.push(Arrival {
                seq: packet.seq,
                timestamp: packet.timestamp,
                stamp,
                picture,
                at: packet.at,
            });
        }
        let known =
            self.sources.iter().position(|known| (known.source, known.layer) == (stamp.source, stamp.layer));
        let index = known.unwrap_or_else(|| {
            self.sources.push(Reception::new(&stamp, packet.at));
            self.sources.len() - 1
        });
        if let Some(reception) = self.sources.get_mut(index) {
            reception.take(&stamp, packet.at);
        }
    }

    /// Distinct packets that came, over all sources.
    pub fn unique(&self) -> u64 {
        self.sources.iter().map(|reception| reception.counters.len()).sum()
    }

    /// Packets whose counter had come before, over all sources.
    pub fn repeated(&self) -> u64 {
        self.sources.iter().map(|reception| reception.repeated).sum()
    }

    /// What came of a source's layer.
    pub fn source(&self, source: u32, layer: u8) -> Option<&Reception> {
        self.sources.iter().find(|known| (known.source, known.layer) == (source, layer))
    }
}

impl Reception {
    fn new(stamp: &Stamp, at: Instant) -> Self {
        Self {
            source: stamp.source,
            layer: stamp.layer,
            counters: CounterSet::default(),
            repeated: 0,
            keyframes: 0,
            first_at: at,
            first_keyframe_at: None,
            newest_at: at,
            longest_gap: Duration::ZERO,
        }
    }

    fn take(&mut self, stamp: &Stamp, at: Instant) {
        if !self.counters.insert(stamp.counter) {
            self.repeated += 1;
            return;
        }
        if stamp.keyframe {
            self.keyframes += 1;
            self.first_keyframe_at.get_or_insert(at);
        }
        self.longest_gap = self.longest_gap.max(at.saturating_duration_since(self.newest_at));
        self.newest_at = at;
    }
}

/// Picture id in 15 bits, as every source of ours writes it (RFC 7741 4.2).
fn picture_id(payload: &[u8]) -> u16 {
    match payload {
        [_, _, high, low, ..] => u16::from_be_bytes([high & 0x7f, *low]),
        _ => 0,
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an Instant has no other beginning; the test only adds to it")]
mod tests {
    use super::*;
    use crate::source::Source;

    #[test]
    fn a_set_knows_its_members_its_ends_and_its_gaps() {
        let mut set = CounterSet::default();
        assert_eq!((set.first(), set.last(), set.gaps()), (None, None, 0));
        for counter in [5, 63, 64, 200] {
            assert!(set.insert(counter));
            assert!(!set.insert(counter));
        }
        assert!(!set.insert(u64::MAX));
        assert_eq!(set.iter().collect::<Vec<_>>(), [5, 63, 64, 200]);
        assert_eq!((set.len(), set.first(), set.last(), set.gaps()), (4, Some(5), Some(200), 192));
        assert!(set.contains(63) && !set.contains(65) && !set.contains(u64::MAX));
        for (range, count) in [(0..1000, 4), (5..64, 2), (6..63, 0), (63..65, 2), (200..201, 1), (64..200, 1)]
        {
            assert_eq!(set.count(range), count);
        }
    }

    #[test]
    fn repeated_late_and_damaged_packets_are_told_apart() {
        let base = Instant::now();
        let mut source = Source::new(9, &Media::video(30, 90, 200));
        source.start(base);
        let packets = source.poll(base, 1_000);
        let mut stream = ReceivedStream::new(1, "0".to_owned(), true);
        let mut take = |index: usize, seq: u64, damage: bool| {
            let mut payload = packets[index].payload.clone();
            payload[50] ^= u8::from(damage);
            let incoming = Incoming {
                seq,
                timestamp: 0,
                payload: &payload,
                at_nanos: 2_000_000,
                at: base + Duration::from_millis(2),
                keep_log: true,
            };
            stream.take(&incoming);
        };
        take(0, 10, false);
        take(2, 12, false);
        take(1, 11, false);
        take(1, 13, false);
        take(2, 14, true);
        assert_eq!((stream.packets, stream.late, stream.corrupt), (5, 1, 1));
        assert_eq!((stream.unique(), stream.repeated()), (3, 1));
        assert_eq!(stream.latency.count(), 4);
        assert_eq!(stream.log.len(), 4);
        let reception = stream.source(9, 0).unwrap();
        assert_eq!(
            (reception.keyframes, reception.first_keyframe_at),
            (1, Some(base + Duration::from_millis(2)))
        );
    }
}
