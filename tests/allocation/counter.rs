//! Counts what each call into a shard allocates, beside what the call did.

use std::cell::RefCell;
use std::rc::Rc;

use ringcast::metrics::shard::Retransmission;
use ringcast::shard::Shard;

use crate::harness::meter::{Call, Meter};

/// One call into a shard.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// What it was for.
    pub(crate) call: Call,
    /// Allocations while it ran, by this thread and through Rust's allocator; growing counts as one. What C code
    /// takes from malloc itself is not seen.
    pub(crate) allocations: u64,
    /// The bytes of these.
    pub(crate) bytes: u64,
    /// What it did.
    pub(crate) work: Work,
}

/// Counters of a shard, or by how much a call raised them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// Packets taken from publishers.
    pub(crate) received: u64,
    /// Packets written for subscribers.
    pub(crate) forwarded: u64,
    /// Packets handed to other shards.
    pub(crate) crossed: u64,
    /// Packets written once more.
    pub(crate) repeated: u64,
}

impl Work {
    fn of(shard: &mut Shard) -> Self {
        let counters = shard.counters();
        Self {
            received: counters.rtp_in.total(),
            forwarded: counters.rtp_out.total(),
            crossed: counters.lane_out,
            repeated: counters.retransmissions.of(Retransmission::Hit),
        }
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            received: self.received - before.received,
            forwarded: self.forwarded - before.forwarded,
            crossed: self.crossed - before.crossed,
            repeated: self.repeated - before.repeated,
        }
    }
}

/// Keeps a record of every call.
#[derive(Clone, Default)]
pub(crate) struct Counter {
    records: Rc<RefCell<Vec<Record>>>,
}

impl Counter {
    /// Takes the records out.
    pub(crate) fn take(&self) -> Vec<Record> {
        self.records.take()
    }
}

impl Meter for Counter {
    fn run(&mut self, call: Call, shard: &mut Shard, step: &mut dyn FnMut(&mut Shard)) {
        let before = Work::of(shard);
        let made = allocation_counter::measure(|| step(shard));
        let work = Work::of(shard).since(&before);
        self.records.borrow_mut().push(Record {
            call,
            allocations: made.count_total,
            bytes: made.bytes_total,
            work,
        });
    }
}
