//! Any bytes at all as the input of a shard: from strangers, from clients, and behind all that clients seal.
//!
//! Each [`Target`] takes one input, which is a list of [`pieces`], and plays it to a new node in virtual time, beside a
//! call of others that must not notice. So an input that fails is all that is needed to see it fail again. What a target
//! returns says what the shard has counted, by which a search without instruments can tell new behaviour from old.
//!
//! `src/bin/fuzz.rs` searches by itself, or plays files; the corpus is played with the tests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure of the harness is a failure of the input that is played"
)]

#[expect(dead_code, reason = "the harness of tests/sim, of which these targets use a part")]
#[path = "../../sim/harness/mod.rs"]
mod harness;

mod channels;
pub mod corpus;
mod descriptions;
mod media;
pub mod pieces;
pub mod search;
mod strangers;
mod trace;
mod world;

pub use self::trace::Trace;

/// One way into a shard.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of the folder of its corpus.
    pub name: &'static str,
    /// Plays an input.
    pub play: fn(&[u8]) -> Trace,
}

/// All of them.
pub const TARGETS: [Target; 8] = [
    Target { name: "strangers", play: strangers::datagrams },
    Target { name: "handshake", play: strangers::handshake },
    Target { name: "rtp", play: media::rtp },
    Target { name: "rtcp", play: media::rtcp },
    Target { name: "sctp", play: channels::sctp },
    Target { name: "messages", play: channels::messages },
    Target { name: "offers", play: descriptions::offers },
    Target { name: "answers", play: descriptions::answers },
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_corpus_harms_nobody() {
        for target in TARGETS {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
            let inputs = search::inputs(&folder);
            assert!(!inputs.is_empty(), "{} has no corpus", target.name);
            for (name, input) in inputs {
                eprintln!("{}/{name}", target.name);
                (target.play)(&input);
            }
        }
    }
}
