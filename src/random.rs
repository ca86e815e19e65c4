//! Random numbers as a value: whoever draws has been handed what to draw from.
//!
//! A node seeds each from the system. A simulation seeds it with a number, and what follows from the same datagrams,
//! commands and moments is then the same again. Nobody who knows some of the numbers can tell the others (ChaCha12), so
//! they are good for names and ids that must not be guessed.

use aws_lc_rs::rand::fill;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A source of random numbers. There is no copy of one: two would give the same numbers.
pub struct Random {
    source: StdRng,
    repeats: bool,
}

impl Random {
    /// One that nobody can repeat.
    pub fn from_system() -> Self {
        let mut seed = [0; 32];
        if fill(&mut seed).is_err() {
            give_up("the system gives no random bytes");
        }
        Self { source: StdRng::from_seed(seed), repeats: false }
    }

    /// One that gives the same numbers each time: for simulations.
    pub fn from_number(number: u64) -> Self {
        Self { source: StdRng::seed_from_u64(number), repeats: true }
    }

    /// Whether it gives the same numbers each time.
    pub fn repeats(&self) -> bool {
        self.repeats
    }

    /// Draws bytes.
    pub fn bytes<const LEN: usize>(&mut self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        self.source.fill_bytes(&mut bytes);
        bytes
    }

    /// Draws 16 bits.
    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.bytes())
    }

    /// Draws 32 bits.
    pub fn u32(&mut self) -> u32 {
        self.source.next_u32()
    }
}

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Random").field("repeats", &self.repeats).finish_non_exhaustive()
    }
}

/// Ends the process: ids that can be guessed would open sessions to strangers, so that going on without these
/// primitives is worse than not running. None of the causes can be brought about from outside.
pub(crate) fn give_up(why: &str) -> ! {
    tracing::error!(why, "ids cannot be made safely, the node stops");
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(mut random: Random) -> ([u8; 12], u16, u32) {
        (random.bytes(), random.u16(), random.u32())
    }

    #[test]
    fn the_same_number_gives_the_same_and_the_system_never_does() {
        assert_eq!(drawn(Random::from_number(7)), drawn(Random::from_number(7)));
        assert_ne!(drawn(Random::from_number(7)), drawn(Random::from_number(8)));
        assert_ne!(drawn(Random::from_system()), drawn(Random::from_system()));
    }

    #[test]
    fn nothing_of_the_state_is_shown() {
        assert_eq!(format!("{:?}", Random::from_number(7)), "Random { repeats: true, .. }");
        assert_eq!(format!("{:?}", Random::from_system()), "Random { repeats: false, .. }");
    }
}
