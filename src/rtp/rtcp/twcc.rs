//! Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 3.1): which packets of a
//! transport have come, and when.
//!
//! ```text
//! | base number 16 | count 16 | reference time 24 | feedback count 8 | chunks, 16 bits each | deltas, 8 or 16 bits each |
//! chunk:  |0| symbol 2 | run 13 |    |1|0| 14 symbols of 1 bit |    |1|1| 7 symbols of 2 bits |
//! ```

use super::super::wire::u16_at;

/// Bytes in front of the chunks.
const HEAD_LEN: usize = 8;

/// Microseconds of one unit of the reference time.
pub const REFERENCE_UNIT: i64 = 64_000;

/// Microseconds of one unit of a delta.
pub const DELTA_UNIT: i64 = 250;

/// Reads the reference time, in units of [`REFERENCE_UNIT`]: 24 bits that come round. The first delta counts from there.
pub fn reference(information: &[u8]) -> Option<u32> {
    let [high, middle, low] = *information.get(4..7)?.first_chunk()?;
    Some(u32::from_be_bytes([0, high, middle, low]))
}

/// What became of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Its transport-wide number.
    pub number: u16,
    /// Quarters of a millisecond after the packet before it that came; `None` when it has not come.
    pub delta: Option<i16>,
}

/// Walks over the packets that a feedback tells of, in the order of their numbers; at most as many as it says and as its
/// chunks and deltas have room for.
#[derive(Debug, Clone)]
pub struct Arrivals<'a> {
    number: u16,
    left: u16,
    chunks: &'a [u8],
    deltas: &'a [u8],
    chunk: Chunk,
}

/// What is left of a chunk.
#[derive(Debug, Clone, Copy)]
enum Chunk {
    Run { symbol: u16, left: u16 },
    Vector { bits: u16, width: u32, left: u16 },
}

impl Chunk {
    fn read(word: u16) -> Self {
        match word >> 14 {
            0 | 1 => Self::Run { symbol: word >> 13 & 3, left: word & 0x1fff },
            2 => Self::Vector { bits: word << 2, width: 1, left: 14 },
            _ => Self::Vector { bits: word << 2, width: 2, left: 7 },
        }
    }

    const fn left(self) -> u16 {
        match self {
            Self::Run { left, .. } | Self::Vector { left, .. } => left,
        }
    }

    fn next(&mut self) -> Option<u16> {
        match self {
            Self::Run { left: 0, .. } | Self::Vector { left: 0, .. } => None,
            Self::Run { symbol, left } => {
                *left -= 1;
                Some(*symbol)
            }
            Self::Vector { bits, width, left } => {
                let symbol = *bits >> (16 - *width);
                *bits <<= *width;
                *left -= 1;
                Some(symbol)
            }
        }
    }
}

/// Reads what lies behind the media SSRC; `None` when it ends within its chunks.
pub fn arrivals(information: &[u8]) -> Option<Arrivals<'_>> {
    let (number, count) = (u16_at(information, 0)?, u16_at(information, 2)?);
    let body = information.get(HEAD_LEN..)?;
    let (mut covered, mut at) = (0_u32, 0);
    while covered < u32::from(count) {
        covered += u32::from(Chunk::read(u16_at(body, at)?).left());
        at += 2;
    }
    let (chunks, deltas) = body.split_at_checked(at)?;
    Some(Arrivals { number, left: count, chunks, deltas, chunk: Chunk::Run { symbol: 0, left: 0 } })
}

impl Iterator for Arrivals<'_> {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        self.left = self.left.checked_sub(1)?;
        let symbol = loop {
            if let Some(symbol) = self.chunk.next() {
                break symbol;
            }
            let (word, rest) = self.chunks.split_first_chunk()?;
            self.chunk = Chunk::read(u16::from_be_bytes(*word));
            self.chunks = rest;
        };
        let delta = match symbol {
            1 => {
                let (delta, rest) = self.deltas.split_first()?;
                self.deltas = rest;
                Some(i16::from(*delta))
            }
            2 => {
                let (delta, rest) = self.deltas.split_first_chunk()?;
                self.deltas = rest;
                Some(i16::from_be_bytes(*delta))
            }
            _ => None,
        };
        let number = self.number;
        self.number = number.wrapping_add(1);
        Some(Arrival { number, delta })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::wire::Noise;
    use super::*;

    fn read(information: &[u8]) -> Vec<(u16, Option<i16>)> {
        arrivals(information).unwrap().map(|arrival| (arrival.number, arrival.delta)).collect()
    }

    #[test]
    fn all_kinds_of_chunks_are_read() {
        let run = [0xff, 0xfe, 0, 4, 0, 0, 1, 7, 0x20, 4, 1, 2, 3, 4];
        assert_eq!(read(&run), [(65534, Some(1)), (65535, Some(2)), (0, Some(3)), (1, Some(4))]);
        let bits = [0, 9, 0, 3, 0, 0, 1, 7, 0b1010_1000, 0, 5, 6];
        assert_eq!(read(&bits), [(9, Some(5)), (10, None), (11, Some(6))]);
        let pairs = [0, 9, 0, 3, 0, 0, 1, 7, 0b1101_0010, 0, 5, 0xff, 0xff];
        assert_eq!(read(&pairs), [(9, Some(5)), (10, None), (11, Some(-1))]);
        let lost_then_bits = [0, 1, 0, 5, 0, 0, 1, 7, 0, 3, 0b1011_0000, 0, 8, 9];
        assert_eq!(read(&lost_then_bits), [(1, None), (2, None), (3, None), (4, Some(8)), (5, Some(9))]);
    }

    #[test]
    fn what_is_cut_short_ends_and_no_bytes_are_too_strange() {
        assert!(arrivals(&[0, 1, 0, 5, 0, 0, 1, 7, 0, 3]).is_none(), "within the chunks");
        assert_eq!(read(&[0, 1, 0, 2, 0, 0, 1, 7, 0x20, 2, 9]), [(1, Some(9))], "within the deltas");
        assert!(arrivals(&[0; 7]).is_none());
        let mut noise = Noise(5);
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..noise.next() % 60).map(|_| (noise.next() >> 56) as u8).collect();
            if let Some(all) = arrivals(&bytes) {
                let count = u16::from_be_bytes([bytes[2], bytes[3]]);
                assert!(all.count() <= usize::from(count));
            }
        }
    }
}
