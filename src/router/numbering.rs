//! Numbers of one layer's packets: the publisher's sequence with its padding taken out.
//!
//! A publisher without RTX pads on the media SSRC, often more than it sends media. Forwarding that padding would cost
//! every subscriber; leaving it out opens gaps that receivers take for loss. So padding is left out and the numbers
//! behind it move up. What arrives late complicates this:
//!
//! ```text
//! sequence   10 11 12 13 14     M media, P padding, arriving in the order 10 12 13 11 14
//!             M  P  M  P  M
//! number     20    22    23     12 was numbered 22 while 11 might still have been media, so 11 keeps 21 and goes out
//!                21             as an empty packet; 13 came in order, so it is closed and 14 follows as 23.
//! ```
//!
//! A sequence number is closed only while nothing above it is numbered. Hence the count of closed numbers below a
//! numbered packet never changes: each sequence number has one number for life, rising with the sequence.

/// How far behind the newest packet a packet may arrive, and how far ahead one may jump, in sequence numbers.
pub const WINDOW: u64 = 2048;

const WORDS: usize = (WINDOW / 64) as usize;

/// Where the sequence number 0 stands here. What comes late before the first packet of a source may lie below 0, which is the
/// other end of what 64 bits hold; seen from the middle it is next to it.
const MIDDLE: u64 = 1 << 63;

/// Where one sequence number goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It goes on under this number. Padding that is numbered goes on without payload: its number can serve nothing
    /// else, and receivers would wait for it.
    Numbered {
        /// Its number in the layer.
        number: u64,
        /// Whether it is the newest so far.
        newest: bool,
    },
    /// It was padding and its gap is closed.
    Closed,
    /// It came before.
    Duplicate,
    /// It lies behind the window.
    TooOld,
}

/// The numbering of one layer. Numbers rise for as long as the layer lives, whatever its sources.
#[derive(Debug, Default)]
pub struct Numbering {
    started: bool,
    /// Newest sequence number seen.
    highest: u64,
    /// Newest sequence number that has a number, since the start of the source.
    numbered: Option<u64>,
    /// Sequence less number, before closed gaps; modulo 2^64.
    shift: u64,
    /// Sequence numbers closed since the start of the source.
    closed_total: u64,
    /// Newest number given out in the life of the layer.
    top: u64,
    /// Seen and closed sequence numbers of the window, by their lower bits.
    seen: Bits,
    closed: Bits,
    expected: u64,
    received: u64,
}

impl Numbering {
    /// Ends the present source: the next packet begins another sequence.
    pub fn reset(&mut self) {
        self.started = false;
    }

    /// Returns the packets that never came, as RFC 3550 A.3 counts them, over all sources.
    pub fn lost(&self) -> u64 {
        self.expected.saturating_sub(self.received)
    }

    /// Places one packet.
    pub fn place(&mut self, seq: u64, padding: bool) -> Place {
        let seq = seq.wrapping_add(MIDDLE);
        if !self.started || seq > self.highest.saturating_add(WINDOW) {
            self.start(seq);
        } else if seq > self.highest {
            self.advance(seq);
        } else if self.highest - seq >= WINDOW {
            return Place::TooOld;
        }
        if self.seen.get(seq) {
            return Place::Duplicate;
        }
        self.seen.set(seq);
        self.received += 1;
        let newest = self.numbered.is_none_or(|numbered| seq > numbered);
        if padding && newest {
            self.closed.set(seq);
            self.closed_total += 1;
            return Place::Closed;
        }
        let number = self.number(seq);
        if newest {
            self.numbered = Some(seq);
            self.top = number;
        }
        Place::Numbered { number, newest }
    }

    /// Begins a sequence at `seq`, for a new source or after a jump that nothing can bridge. The first packet's
    /// number leaves room for all that may come late before it, so no number of an earlier sequence returns: the
    /// oldest acceptable sequence number, `WINDOW - 1` back, still gets more than `top`.
    fn start(&mut self, seq: u64) {
        self.started = true;
        self.highest = seq;
        self.numbered = None;
        self.shift = seq.wrapping_sub(self.top + WINDOW + 1);
        self.closed_total = 0;
        self.seen = Bits::default();
        self.closed = Bits::default();
        self.expected += 1;
    }

    fn advance(&mut self, seq: u64) {
        for skipped in self.highest + 1..=seq {
            self.seen.clear(skipped);
            self.closed.clear(skipped);
        }
        self.expected += seq - self.highest;
        self.highest = seq;
    }

    /// Sequence less shift less the closed sequence numbers below it.
    fn number(&self, seq: u64) -> u64 {
        let closed_below = self.closed_total - self.closed.count(seq, self.highest);
        seq.wrapping_sub(self.shift) - closed_below
    }
}

/// One bit per sequence number of the window.
#[derive(Debug)]
struct Bits([u64; WORDS]);

impl Default for Bits {
    fn default() -> Self {
        Self([0; WORDS])
    }
}

impl Bits {
    fn word(seq: u64) -> usize {
        (seq % WINDOW / 64) as usize
    }

    fn get(&self, seq: u64) -> bool {
        self.0.get(Self::word(seq)).is_some_and(|word| word >> (seq % 64) & 1 == 1)
    }

    fn set(&mut self, seq: u64) {
        if let Some(word) = self.0.get_mut(Self::word(seq)) {
            *word |= 1 << (seq % 64);
        }
    }

    fn clear(&mut self, seq: u64) {
        if let Some(word) = self.0.get_mut(Self::word(seq)) {
            *word &= !(1 << (seq % 64));
        }
    }

    /// Counts the bits set from `from` to `to`, both included and less than a window apart.
    fn count(&self, from: u64, to: u64) -> u64 {
        let (mut total, mut at, mut left) = (0, from, (to + 1).saturating_sub(from));
        while left > 0 {
            let bit = at % 64;
            let span = (64 - bit).min(left);
            let mask = (u64::MAX >> (64 - span)) << bit;
            total += self.0.get(Self::word(at)).map_or(0, |word| u64::from((word & mask).count_ones()));
            at += span;
            left -= span;
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::fixture::Xorshift;

    const M: bool = false;
    const P: bool = true;

    /// Numbers relative to the first one that was given out; `None` for what got none.
    fn place_all(input: &[(u64, bool)]) -> Vec<Option<i64>> {
        let mut numbering = Numbering::default();
        let mut first = None;
        input
            .iter()
            .map(|&(seq, padding)| match numbering.place(seq, padding) {
                Place::Numbered { number, .. } => {
                    let base = *first.get_or_insert(number);
                    Some(i64::try_from(number).unwrap() - i64::try_from(base).unwrap())
                }
                _ => None,
            })
            .collect()
    }

    #[test]
    fn padding_leaves_no_gap_wherever_it_stands() {
        assert_eq!(place_all(&[(10, M), (11, M), (12, M)]), [Some(0), Some(1), Some(2)], "none");
        assert_eq!(place_all(&[(10, M), (11, P), (12, M)]), [Some(0), None, Some(1)], "between");
        assert_eq!(place_all(&[(10, P), (11, P), (12, M), (13, M)]), [None, None, Some(0), Some(1)], "first");
        assert_eq!(
            place_all(&[(10, M), (13, P), (12, M), (11, M)]),
            [Some(0), None, Some(2), Some(1)],
            "ahead"
        );
        assert_eq!(
            place_all(&[(10, M), (12, P), (11, P), (13, M)]),
            [Some(0), None, None, Some(1)],
            "padding behind padding closes too"
        );
        assert_eq!(
            place_all(&[(10, M), (12, M), (11, P), (13, M)]),
            [Some(0), Some(2), Some(1), Some(3)],
            "padding behind media keeps its number"
        );
        assert_eq!(
            place_all(&[(10, M), (11, P), (13, M), (12, M), (15, P), (14, M), (16, M)]),
            [Some(0), None, Some(2), Some(1), None, Some(3), Some(4)],
            "late media behind closed gaps"
        );
        assert_eq!(place_all(&[(5, P), (4, M), (6, M)]), [None, Some(0), Some(1)], "late before the first");
    }

    #[test]
    fn what_comes_late_before_a_first_number_of_0_stands_before_it() {
        let below = |number: u64| 0_u64.wrapping_sub(number);
        let order = [(0, M), (below(1), M), (1, M), (below(2), P), (below(3), M), (2, M)];
        assert_eq!(place_all(&order), [Some(0), Some(-1), Some(1), Some(-2), Some(-3), Some(2)]);
        assert_eq!(
            place_all(&[(u64::MAX, M), (u64::MAX, M), (0, M), (below(2), M)]),
            [Some(0), None, Some(1), Some(-1)]
        );
    }

    #[test]
    fn duplicates_and_stragglers_are_refused() {
        let mut numbering = Numbering::default();
        assert!(matches!(numbering.place(5000, M), Place::Numbered { newest: true, .. }));
        assert_eq!(numbering.place(5000, M), Place::Duplicate);
        assert_eq!(numbering.place(5001, P), Place::Closed);
        assert_eq!(numbering.place(5001, P), Place::Duplicate);
        assert_eq!(numbering.place(5001, M), Place::Duplicate);
        assert_eq!(numbering.place(5001 - WINDOW, M), Place::TooOld);
        assert!(matches!(numbering.place(5002 - WINDOW, M), Place::Numbered { newest: false, .. }));
    }

    #[test]
    fn loss_is_what_was_expected_and_never_came() {
        let mut numbering = Numbering::default();
        for seq in [10, 11, 14, 15, 14, 12] {
            numbering.place(seq, M);
        }
        assert_eq!(numbering.lost(), 1);
        numbering.reset();
        numbering.place(9_000_000, M);
        numbering.place(9_000_002, M);
        assert_eq!(numbering.lost(), 2);
    }

    #[test]
    fn numbers_are_unique_and_without_gaps_for_any_order_of_arrival() {
        for seed in 1..200 {
            let mut random = Xorshift::new(seed);
            let mut numbering = Numbering::default();
            let mut given = std::collections::BTreeMap::new();
            let mut pending: Vec<(u64, bool)> = Vec::new();
            let start = random.below(70_000);
            for seq in start..start + 3000 {
                pending.push((seq, random.chance(40)));
                while pending.len() > 30 || (!pending.is_empty() && random.chance(50)) {
                    let (seq, padding) = pending.swap_remove(random.index(pending.len()));
                    if let Place::Numbered { number, .. } = numbering.place(seq, padding) {
                        assert!(given.insert(number, seq).is_none(), "seed {seed}: number {number} twice");
                    }
                }
            }
            let first = *given.first_key_value().unwrap().0;
            let last = *given.last_key_value().unwrap().0;
            // What is left in `pending` may be missing at the end; all else must have come.
            let missing = (first..=last).filter(|number| !given.contains_key(number)).count();
            assert!(missing <= pending.len(), "seed {seed}: {missing} gaps");
            assert!(given.values().is_sorted(), "seed {seed}: numbers do not rise with the sequence");
        }
    }

    #[test]
    fn jumps_and_new_sources_never_bring_a_number_back() {
        for seed in 1..50 {
            let mut random = Xorshift::new(seed);
            let mut numbering = Numbering::default();
            let mut given = std::collections::HashSet::new();
            let mut seq = 1 << 20;
            for _ in 0..5000 {
                seq = match random.below(300) {
                    0 => seq + 40_000,
                    1 => {
                        numbering.reset();
                        random.below(1 << 30) + 4000
                    }
                    2 => seq + WINDOW - random.below(3),
                    _ => seq + 1 + random.below(3),
                };
                let late = if random.chance(30) { random.below(WINDOW + 10) } else { 0 };
                if let Place::Numbered { number, .. } = numbering.place(seq - late, random.chance(20)) {
                    assert!(given.insert(number), "seed {seed}");
                }
            }
        }
    }
}
