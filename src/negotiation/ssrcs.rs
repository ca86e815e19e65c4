//! The sources under which a session sends. Each is used for one thing only in the life of the session: a packet
//! index of SRTP must never repeat under the same key and source (RFC 3711 9.1).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Counts through all 32-bit values in scrambled order, so that none comes twice. All copies share the count: what a change
/// was given stays used when the change is given up, since a shard may have sent under it.
#[derive(Debug, Clone)]
pub(super) struct SsrcSequence {
    next: Arc<AtomicU32>,
}

impl SsrcSequence {
    pub(super) fn new(seed: u64) -> Self {
        // The low half spreads sessions; the high half went into the origin.
        Self { next: Arc::new(AtomicU32::new((seed & u64::from(u32::MAX)) as u32)) }
    }

    /// Gives the next source that is not taken by the client.
    pub(super) fn mint(&self, taken: impl Fn(u32) -> bool) -> u32 {
        loop {
            let ssrc = scramble(self.next.fetch_add(1, Ordering::Relaxed));
            // Zero is what probes of congestion control use. The client's sources are few, so this ends.
            if ssrc != 0 && !taken(ssrc) {
                return ssrc;
            }
        }
    }
}

/// A bijection: multiplying by an odd number and folding the high half down can both be undone.
fn scramble(value: u32) -> u32 {
    let mut value = value;
    for _ in 0..3 {
        value = value.wrapping_mul(0x9e37_79b1);
        value ^= value >> 16;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_source_comes_twice_and_taken_ones_not_at_all() {
        let sequence = SsrcSequence::new(99);
        let first = scramble(99);
        let taken = |ssrc: u32| ssrc == first;
        let mut seen: Vec<u32> = (0..10_000).map(|_| sequence.mint(taken)).collect();
        assert!(!seen.contains(&first) && !seen.contains(&0));
        // What a copy was given counts for all.
        let copy = sequence.clone();
        seen.push(copy.mint(taken));
        seen.push(sequence.mint(taken));
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 10_002);
    }
}
