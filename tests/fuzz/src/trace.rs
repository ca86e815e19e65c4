//! What a shard has counted while an input was played, so coarsely that the same behaviour leaves the same trace.

use std::collections::BTreeSet;

use ringcast::drop::{ChannelDrop, DropReason};

use crate::harness::Sim;

/// Marks of behaviour: which figure, and how many binary digits it has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace(pub BTreeSet<(u16, u32)>);

impl Trace {
    pub(crate) fn of(sim: &mut Sim) -> Self {
        let mut figures = Vec::new();
        figures.extend((0..DropReason::ALL.len()).map(|at| sim.counted(|all| all.dropped[at])));
        figures.extend((0..ChannelDrop::ALL.len()).map(|at| sim.counted(|all| all.channel_dropped[at])));
        let mut tally = |of: fn(&ringcast::metrics::shard::ShardCounters) -> &[u64]| {
            let len = std::cell::Cell::new(0);
            sim.counted(|all| {
                len.set(of(all).len());
                0
            });
            for at in 0..len.get() {
                figures.push(sim.counted(|all| of(all)[at]));
            }
        };
        tally(|all| all.retransmissions.counts());
        tally(|all| all.retransmissions_refused.counts());
        tally(|all| all.keyframe_requests.counts());
        tally(|all| all.told.counts());
        tally(|all| all.channels_ended.counts());
        tally(|all| all.channel_messages.counts());
        tally(|all| all.sessions_ended.counts());
        figures.push(sim.counted(|all| all.rtp_in.total()));
        figures.push(sim.counted(|all| all.handshakes));
        figures.push(sim.left.others.iter().sum());
        Self(figures.iter().zip(0..).map(|(figure, at)| (at, u64::BITS - figure.leading_zeros())).collect())
    }
}
