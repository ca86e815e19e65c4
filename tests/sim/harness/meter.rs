//! A look at every call into a shard from outside, for tests that measure what a call costs.

use ringcast::shard::Shard;

/// What a call into a shard is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// A datagram of a client.
    Datagram,
    /// What other shards sent.
    Mail,
    /// The end of a turn: forwarding.
    Flush,
    /// Timers.
    Timeout,
}

/// Stands around every such call.
pub(crate) trait Meter {
    /// Makes the call, exactly once.
    fn run(&mut self, call: Call, shard: &mut Shard, step: &mut dyn FnMut(&mut Shard));
}

/// Measures nothing.
pub(crate) struct Unmetered;

impl Meter for Unmetered {
    fn run(&mut self, _call: Call, shard: &mut Shard, step: &mut dyn FnMut(&mut Shard)) {
        step(shard);
    }
}
