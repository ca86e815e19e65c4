//! A receiver that reads headers: what came, came twice or is missing, by SSRC and extended sequence number; and of
//! one packet in so many the payload, opened, for its stamp.
//!
//! So one core receives hundreds of thousands of packets each second for a thousand clients. A stamp says which
//! counter of its source a sequence number carries; since a forwarder renumbers by a constant, one stamp is enough
//! to know it of the whole stream, and every later one checks it.

use std::time::{Duration, Instant};

use crate::histogram::Histogram;
use crate::opening::Opener;
use crate::reception::CounterSet;
use crate::sealing::{HEADER_BYTES, Key};
use crate::source::VIDEO_DESCRIPTOR_BYTES;
use crate::stamp::{Corrupt, Stamp};

/// Streams of one receiver; packets of more are counted as damaged.
const STREAMS_MAX: usize = 4096;
/// How far before the first packet of a stream others may still come.
const EARLIER_MAX: u64 = 1024;
/// Bytes in front of a resent payload (RFC 4588 4).
const RESEND_BYTES: usize = 2;

/// How payloads are opened.
#[derive(Debug)]
pub enum Opening {
    /// SRTP.
    Srtp(Box<Opener>),
    /// The bare loop's, with either cipher.
    Limit(Vec<Key>),
}

/// Extended sequence numbers (RFC 3550 A.1) of one stream, and which of them came.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Of the highest packet; the count of rollovers begins with 1, so that nothing is below zero.
    highest: Option<u64>,
    origin: u64,
    came: CounterSet,
    /// Packets that had come before.
    pub repeated: u64,
    /// Packets too far before the first one.
    pub stray: u64,
}

impl Tally {
    /// Takes a sequence number; returns it extended.
    pub fn take(&mut self, seq: u16) -> u64 {
        let highest = self.highest.unwrap_or_else(|| (1 << 16) + u64::from(seq));
        let ahead = i64::from(seq.wrapping_sub((highest & 0xffff) as u16).cast_signed());
        let extended = highest.saturating_add_signed(ahead);
        if self.highest.is_none() {
            self.origin = extended.saturating_sub(EARLIER_MAX);
        }
        self.highest = Some(highest.max(extended));
        match extended.checked_sub(self.origin) {
            Some(at) if self.came.insert(at) => {}
            Some(_) => self.repeated += 1,
            None => self.stray += 1,
        }
        extended
    }

    /// Distinct packets that came.
    pub fn received(&self) -> u64 {
        self.came.len()
    }

    /// Packets between the first and the last that did not come.
    pub fn gaps(&self) -> u64 {
        self.came.gaps()
    }

    /// Distinct packets that came with extended numbers from `begin` up to `end`.
    pub fn received_between(&self, begin: u64, end: u64) -> u64 {
        self.came.count(begin.saturating_sub(self.origin)..end.saturating_sub(self.origin))
    }
}

/// What stamps have said about a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbering {
    /// Source.
    pub source: u32,
    /// Layer of the source.
    pub layer: u8,
    /// Extended sequence number of the packet whose counter is 0.
    pub base: i64,
}

/// One received stream.
#[derive(Debug, Clone)]
pub struct LeanStream {
    /// SSRC on the wire.
    pub ssrc: u32,
    /// Its packets.
    pub tally: Tally,
    /// Whose they are; `None` until a stamp was read, and for streams of resent packets or padding.
    pub numbering: Option<Numbering>,
    /// Stamps that contradict the numbering.
    pub renumbered: u64,
    /// When the first packet came.
    pub first_at: Instant,
    until_sample: u32,
}

/// What stands in front of a payload.
struct Header {
    len: usize,
    seq: u16,
    ssrc: u32,
    padded: bool,
}

/// The receiver of one client.
#[derive(Debug)]
pub struct Lean {
    opening: Option<Opening>,
    sample: u32,
    streams: Vec<LeanStream>,
    last: usize,
    /// Packets that came, and bytes of their datagrams.
    pub packets: u64,
    /// Bytes of all datagrams.
    pub bytes: u64,
    /// Stamps that were read and hold.
    pub samples: u64,
    /// Packets that are no RTP, or samples that are not authentic or not as they were sent.
    pub damaged: u64,
    /// From sending to arrival, of samples.
    pub latency: Histogram,
}

impl Lean {
    /// Makes a receiver that opens one packet in `sample` of each stream, beginning with the first.
    pub fn new(sample: u32) -> Self {
        Self {
            opening: None,
            sample: sample.max(1),
            streams: Vec::new(),
            last: 0,
            packets: 0,
            bytes: 0,
            samples: 0,
            damaged: 0,
            latency: Histogram::default(),
        }
    }

    /// Whether a datagram is RTP and no RTCP (RFC 5761 4, RFC 7983).
    pub fn is_rtp(datagram: &[u8]) -> bool {
        matches!(datagram, [0x80..=0xbf, kind, ..] if !(192..=223).contains(kind))
    }

    /// Gives the keys. Until then nothing is opened.
    pub fn set_opening(&mut self, opening: Opening) {
        self.opening = Some(opening);
    }

    /// Whether it has keys.
    pub fn can_open(&self) -> bool {
        self.opening.is_some()
    }

    /// Streams in the order of their first packet.
    pub fn streams(&self) -> &[LeanStream] {
        &self.streams
    }

    /// Streams whose source is known.
    pub fn known_streams(&self) -> usize {
        self.streams.iter().filter(|stream| stream.numbering.is_some()).count()
    }

    /// Takes a datagram that [`Lean::is_rtp`]. `nanos` is the time from the epoch of stamps.
    pub fn take(&mut self, now: Instant, nanos: u64, datagram: &mut [u8]) {
        self.packets += 1;
        self.bytes += datagram.len() as u64;
        let Some(header) = read_header(datagram) else {
            self.damaged += 1;
            return;
        };
        let Some(index) = self.stream_of(header.ssrc, now) else {
            self.damaged += 1;
            return;
        };
        self.last = index;
        let Some(stream) = self.streams.get_mut(index) else { return };
        let extended = stream.tally.take(header.seq);
        stream.until_sample = stream.until_sample.saturating_sub(1);
        if stream.until_sample > 0 {
            return;
        }
        let Some(opening) = &mut self.opening else { return };
        stream.until_sample = self.sample;
        // Padding alone carries no stamp.
        if header.padded {
            return;
        }
        let stamp = open(opening, datagram, &header, extended).map(|payload| read_stamp(&payload));
        match stamp {
            Some(Ok((stamp, resent))) => {
                self.samples += 1;
                self.latency.record(Duration::from_nanos(nanos.saturating_sub(stamp.sent)));
                if !resent {
                    stream.learn(&stamp, extended);
                }
            }
            Some(Err(Corrupt)) | None => self.damaged += 1,
        }
    }

    fn stream_of(&mut self, ssrc: u32, now: Instant) -> Option<usize> {
        if self.streams.get(self.last).is_some_and(|stream| stream.ssrc == ssrc) {
            return Some(self.last);
        }
        if let Some(index) = self.streams.iter().position(|stream| stream.ssrc == ssrc) {
            return Some(index);
        }
        (self.streams.len() < STREAMS_MAX).then(|| {
            self.streams.push(LeanStream {
                ssrc,
                tally: Tally::default(),
                numbering: None,
                renumbered: 0,
                first_at: now,
                until_sample: 0,
            });
            self.streams.len() - 1
        })
    }
}

impl LeanStream {
    fn learn(&mut self, stamp: &Stamp, extended: u64) {
        let base = extended.cast_signed() - stamp.counter.cast_signed();
        let said = Numbering { source: stamp.source, layer: stamp.layer, base };
        if *self.numbering.get_or_insert(said) != said {
            self.renumbered += 1;
        }
    }
}

/// RFC 3550 5.1 and 5.3.1.
fn read_header(datagram: &[u8]) -> Option<Header> {
    let [first, _, s1, s2, _, _, _, _, c1, c2, c3, c4] = *datagram.first_chunk::<HEADER_BYTES>()?;
    let mut len = HEADER_BYTES + 4 * usize::from(first & 0x0f);
    if first & 0x10 != 0 {
        let [_, _, high, low] = *datagram.get(len..)?.first_chunk::<4>()?;
        len += 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
    }
    (len <= datagram.len()).then_some(Header {
        len,
        seq: u16::from_be_bytes([s1, s2]),
        ssrc: u32::from_be_bytes([c1, c2, c3, c4]),
        padded: first & 0x20 != 0,
    })
}

fn open(opening: &mut Opening, datagram: &mut [u8], header: &Header, extended: u64) -> Option<Vec<u8>> {
    match opening {
        // The tally counts rollovers from 1, SRTP from 0.
        Opening::Srtp(opener) => opener.open(datagram, header.len, header.ssrc, extended - (1 << 16)),
        Opening::Limit(keys) => keys.iter().find_map(|key| {
            // Opening in place spoils what another key would need.
            let mut copy = datagram.to_vec();
            key.open(&mut copy).map(<[u8]>::to_vec)
        }),
    }
}

/// Reads the stamp of a payload of either kind, and tells whether it was resent.
fn read_stamp(payload: &[u8]) -> Result<(Stamp, bool), Corrupt> {
    let resent = |descriptor| Stamp::read(payload, RESEND_BYTES + descriptor).map(|stamp| (stamp, true));
    let first = |descriptor| Stamp::read(payload, descriptor).map(|stamp| (stamp, false));
    first(VIDEO_DESCRIPTOR_BYTES)
        .or_else(|_| first(0))
        .or_else(|_| resent(VIDEO_DESCRIPTOR_BYTES))
        .or_else(|_| resent(0))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an Instant has no other beginning; the test only adds to it")]
mod tests {
    use super::*;
    use crate::sealing::Cipher;
    use crate::source::{Media, Source};

    fn tally(seqs: impl IntoIterator<Item = u16>) -> Tally {
        let mut tally = Tally::default();
        seqs.into_iter().for_each(|seq| {
            tally.take(seq);
        });
        tally
    }

    #[test]
    fn numbers_go_on_over_the_wrap() {
        let mut long = Tally::default();
        let extended: Vec<u64> = (0..200_000u32).map(|at| long.take((65_000 + at) as u16)).collect();
        assert!(extended.windows(2).all(|pair| pair[1] == pair[0] + 1));
        assert_eq!((long.received(), long.gaps(), long.repeated, long.stray), (200_000, 0, 0, 0));
        assert_eq!(long.received_between(extended[10], extended[110_000]), 109_990);
    }

    #[test]
    fn repeated_missing_and_late_packets_are_told_apart() {
        let seen = tally([65_533, 65_534, 1, 65_534, 0, 5, 65_532, 65_533]);
        // 65,535 and 2 to 4 are missing; 65,532 came before the first; 0 came late.
        assert_eq!((seen.received(), seen.gaps(), seen.repeated, seen.stray), (6, 4, 2, 0));
    }

    #[test]
    fn what_lies_far_before_the_first_packet_is_set_apart() {
        let seen = tally([20_000, 20_000 - EARLIER_MAX as u16, 20_000 - EARLIER_MAX as u16 - 1]);
        assert_eq!((seen.received(), seen.repeated, seen.stray), (2, 0, 1));
    }

    /// Packets of a source as the bare loop sends them, renumbered by `shift`.
    fn sealed(source: &mut Source, key: &Key, now: Instant, shift: u16) -> Vec<Vec<u8>> {
        source.start(now);
        let at = source.next_at().unwrap();
        let due = source.poll(at, 1_000_000);
        due.iter()
            .map(|packet| {
                let mut plain = vec![0x80, 96];
                plain.extend((packet.seq as u16).wrapping_add(shift).to_be_bytes());
                plain.extend(packet.timestamp.to_be_bytes());
                plain.extend(77u32.to_be_bytes());
                plain.extend(&packet.payload);
                let mut space = vec![0; plain.len() + 16];
                key.seal(&plain, &mut space).unwrap();
                space
            })
            .collect()
    }

    fn receiver(sample: u32) -> (Lean, Source, Key) {
        let mut lean = Lean::new(sample);
        let keys = Cipher::ALL.into_iter().rev().map(|cipher| Key::of(5, cipher).unwrap()).collect();
        lean.set_opening(Opening::Limit(keys));
        (lean, Source::new(9, &Media::video(30, 900, 300)), Key::of(5, Cipher::Aes128Gcm).unwrap())
    }

    #[test]
    fn one_stamp_tells_the_counters_of_a_stream() {
        let base = Instant::now();
        let (mut lean, mut source, key) = receiver(8);
        for _ in 0..4 {
            for mut packet in sealed(&mut source, &key, base, 60_000) {
                lean.take(base, 3_000_000, &mut packet);
            }
        }
        let [stream] = lean.streams() else { panic!("one stream expected") };
        let numbering = stream.numbering.unwrap();
        assert_eq!((numbering.source, numbering.layer, stream.renumbered), (9, 0, 0));
        let base_number = numbering.base.cast_unsigned();
        assert_eq!(stream.tally.received_between(base_number, base_number + 120), 120);
        assert_eq!(stream.tally.received_between(base_number + 10, base_number + 20), 10);
        assert_eq!((lean.packets, lean.damaged, lean.samples), (120, 0, 15));
        assert_eq!(lean.latency.max(), Duration::from_millis(2));
    }

    #[test]
    fn damage_in_a_sample_and_a_change_of_numbering_are_found() {
        let base = Instant::now();
        let (mut lean, mut source, key) = receiver(1);
        let mut packets = sealed(&mut source, &key, base, 0);
        packets[3][100] ^= 1;
        packets.iter_mut().for_each(|packet| lean.take(base, 0, packet));
        assert_eq!((lean.damaged, lean.samples), (1, 29));
        sealed(&mut source, &key, base, 5).iter_mut().for_each(|packet| lean.take(base, 0, packet));
        assert_eq!(lean.streams()[0].renumbered, 30);
        lean.take(base, 0, &mut [0x80; 5]);
        assert_eq!(lean.damaged, 2);
    }

    #[test]
    fn reports_and_handshakes_are_no_rtp() {
        assert!(Lean::is_rtp(&[0x80, 96, 0]) && Lean::is_rtp(&[0xb0, 0x80 | 96]));
        for other in [&[0x80, 200][..], &[0x80, 223], &[22, 254], &[0, 1], &[0x80], &[]] {
            assert!(!Lean::is_rtp(other));
        }
    }
}
