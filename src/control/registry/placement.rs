//! Which shard gets the next session.

use std::sync::Mutex;

use crate::ids::ShardId;
use crate::metrics::shard::ShardCounters;

use super::super::locked;

#[derive(Debug, Clone, Copy, Default)]
struct Load {
    /// Sessions given to the shard and not ended. Counted at assignment, so that a burst of new sessions
    /// spreads before the first report of it arrives.
    sessions: u64,
    /// RTP packets sent in all, by the newest report.
    sent: u64,
    /// Packets sent between the two newest reports.
    rate: u64,
}

/// The load of each shard.
pub(in super::super) struct Placement {
    loads: Mutex<Vec<Load>>,
}

impl Placement {
    pub(in super::super) fn new(shards: usize) -> Self {
        Self { loads: Mutex::new(vec![Load::default(); shards]) }
    }

    /// Picks the shard with the fewest sessions, and of these the one that sends least.
    pub(in super::super) fn assign(&self) -> Option<ShardId> {
        let mut loads = locked(&self.loads);
        let (index, load) =
            loads.iter_mut().enumerate().min_by_key(|(_, load)| (load.sessions, load.rate))?;
        load.sessions += 1;
        u8::try_from(index).ok().map(ShardId)
    }

    /// Takes a session off a shard.
    pub(in super::super) fn released(&self, shard: ShardId) {
        if let Some(load) = locked(&self.loads).get_mut(usize::from(shard.0)) {
            load.sessions = load.sessions.saturating_sub(1);
        }
    }

    /// Takes a shard's report.
    pub(in super::super) fn reported(&self, shard: ShardId, counters: &ShardCounters) {
        if let Some(load) = locked(&self.loads).get_mut(usize::from(shard.0)) {
            let sent = counters.rtp_out.total();
            load.rate = sent.saturating_sub(load.sent);
            load.sent = sent;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(sent: u64) -> ShardCounters {
        let mut counters = ShardCounters::default();
        counters.rtp_out.add(crate::rtp::MediaKind::Audio, sent);
        counters
    }

    #[test]
    fn a_burst_spreads_evenly_without_any_report() {
        let placement = Placement::new(3);
        let mut counts = [0; 3];
        for _ in 0..9 {
            counts[usize::from(placement.assign().unwrap().0)] += 1;
        }
        assert_eq!(counts, [3, 3, 3]);
    }

    #[test]
    fn a_released_place_is_taken_again() {
        let placement = Placement::new(2);
        assert_ne!(placement.assign(), placement.assign());
        placement.released(ShardId(1));
        assert_eq!(placement.assign(), Some(ShardId(1)));
    }

    #[test]
    fn of_equals_the_quieter_shard_is_taken() {
        let placement = Placement::new(2);
        placement.reported(ShardId(0), &report(100));
        placement.reported(ShardId(1), &report(5_000));
        placement.reported(ShardId(0), &report(4_000));
        placement.reported(ShardId(1), &report(5_010));
        assert_eq!(placement.assign(), Some(ShardId(1)));
    }
}
