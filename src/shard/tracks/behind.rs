//! Those that lag behind what comes, and drink from the cache of their publication until they have caught up.
//!
//! A newcomer begins with the newest keyframe and is sent what has come since at [`PACE`] times the speed, in the order of
//! numbers. What comes meanwhile waits in the cache like the rest, so there is no seam between the two. A stream that is held
//! back for want of room goes on in the same way ([`Tracks::hold_back`]), from the packet after the last one that it was
//! sent; who takes the packets says when there is no room ([`Drink::Later`]).
//!
//! A stream that is behind has exactly one entry here, and each number is given to it once: its position only rises, and of
//! the numbers that were missing when their turn came those that come late are remembered one by one.
//!
//! Bounds: one entry for each stream of a session; [`PACKETS_MAX`] packets in one go, [`SHARE_MAX`] of them for one stream.
//! Newcomers that lack more than [`CROWD_PACKETS_MAX`] together are not taken: one keyframe serves all of them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::sink::Flow;
use super::{PublicationKey, StreamSink, SubscriptionKey, SubscriptionSlot, Tracks};
use crate::congestion::pacer::HELD_MAX;
use crate::drop::DropReason;
use crate::metrics::shard::{KeyframeOutcome, Wake};
use crate::router::LayerIndex;
use crate::router::publication::{BatchEntry, Publication};
use crate::router::recent::PACE;
use crate::shard::ledger::Ledger;

/// How often they get something: what is sent to one in so long a time leaves as one message.
const INTERVAL: Duration = Duration::from_millis(5);

/// What of the past leaves at once: as much as an interval brings.
const HEAD_START: Duration = INTERVAL.saturating_mul(PACE);

/// Packets for all of them in one go: a millisecond's work.
const PACKETS_MAX: usize = 512;

/// Of these, for one: as many as fit into one message.
const SHARE_MAX: usize = 64;

/// What newcomers may lack together: a third of a second's work. All of them lack about the same.
const CROWD_PACKETS_MAX: u64 = 32_768;

/// Who is later than this, where its path carries less than it is sent, is given up: a frame that late is of no use.
const LATE_MAX: Duration = Duration::from_micros(HELD_MAX);

/// What became of a packet that was given to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::shard) enum Drink {
    /// It is dealt with.
    Taken,
    /// It is to be given again: there is no room in the outbox.
    Later,
    /// It is to be given again: there is no room on the path, and what is sent is more than that carries.
    Strained,
    /// The stream leads nowhere at present.
    Never,
}

/// One that lags behind.
#[derive(Debug)]
struct Straggler {
    subscription: SubscriptionKey,
    layer: LayerIndex,
    source: u32,
    /// The next number that it gets.
    next: u64,
    /// Which of the 64 numbers before that were missing when their turn came, the nearest one lowest.
    missed: u64,
    /// It gets what came up to here, moved on at [`PACE`] since it began.
    until: Instant,
    began: Instant,
}

impl Straggler {
    /// Up to when packets must have come to be due.
    fn due(&self, now: Instant) -> Instant {
        self.until + now.saturating_duration_since(self.began) * PACE
    }

    /// Moves on by one number.
    fn advance(&mut self, was_there: bool) {
        self.next += 1;
        self.missed = self.missed << 1 | u64::from(!was_there);
    }
}

/// All of them, the one whose turn is next in front.
#[derive(Debug)]
pub(super) struct Stragglers {
    queue: VecDeque<Straggler>,
    due: Option<Instant>,
}

impl Default for Stragglers {
    /// Has room for as many as are held back at a time on most days: that happens while packets are forwarded.
    fn default() -> Self {
        Self { queue: VecDeque::with_capacity(64), due: None }
    }
}

/// How far one has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// It is still behind.
    Behind,
    /// It has all that has come.
    CaughtUp,
    /// It cannot go on here: what it needs is not kept any more.
    Lost,
    /// What it needs comes too late to be of use.
    Late,
    /// There is no such stream any more, or it is not behind.
    Gone,
}

impl Tracks {
    /// When the next packets are due to those that are behind. The moment matters: it is what spreads them.
    pub(in crate::shard) fn poll_stragglers(&self) -> Option<Instant> {
        self.stragglers.due
    }

    /// Lets a newcomer begin with a keyframe in the cache. Returns whether it does.
    ///
    /// With a keyframe of this tick's batch it begins without being behind, as the whole audience of a stream that starts
    /// does.
    pub(super) fn begin_in_cache(
        &mut self,
        now: Instant,
        key: SubscriptionKey,
        layer: LayerIndex,
        ledger: &mut Ledger,
    ) -> bool {
        let Some(slot) = self.subscriptions.get(key) else { return false };
        let Some(publication) = self.publications.get(slot.publication) else { return false };
        let is_new = slot.stream().is_some_and(|stream| stream.state.is_new());
        let Some(first) = publication.state.beginning(layer, now).filter(|_| is_new) else { return false };
        let mut batch = publication.state.batch().iter();
        if batch.any(|entry| entry.layer == layer && entry.cached.packet.seq == first) {
            return true;
        }
        let lacking = publication.state.held(layer).map_or(0, |(held, _)| held.end.saturating_sub(first));
        if lacking * (self.stragglers.queue.len() as u64 + 1) > CROWD_PACKETS_MAX {
            return false;
        }
        let begins = self.fall_behind(now, key, layer, first);
        if begins {
            ledger.counters.keyframe_requests.count(KeyframeOutcome::Cached);
        }
        begins
    }

    /// Lets an open stream go on with a number of its layer in the cache, from where it drinks until it has caught up. Returns
    /// whether it does.
    pub(super) fn fall_behind(
        &mut self,
        now: Instant,
        key: SubscriptionKey,
        layer: LayerIndex,
        next: u64,
    ) -> bool {
        let Some(slot) = self.subscriptions.get_mut(key) else { return false };
        let Some(publication) = self.publications.get(slot.publication) else { return false };
        let Some((_, source)) = publication.state.held(layer) else { return false };
        let Some(cached) = publication.state.cached(layer, next) else { return false };
        let Some(stream) = slot.stream_mut().filter(|stream| stream.is_open()) else { return false };
        stream.flow = Flow::Behind;
        let until = cached.packet.received_at + HEAD_START;
        let straggler = Straggler { subscription: key, layer, source, next, missed: 0, until, began: now };
        self.stragglers.queue.push_back(straggler);
        self.stragglers.due.get_or_insert(now);
        true
    }

    /// Lets those streams of a publication go on from the cache for which there was no room in this tick.
    #[cold]
    pub(in crate::shard) fn hold_back(&mut self, now: Instant, key: PublicationKey) {
        let Some(publication) = self.publications.get(key) else { return };
        let (state, batch) = (&publication.state, publication.state.batch());
        for subscription in &publication.subscribers {
            let stream = self.subscriptions.get_mut(*subscription).and_then(SubscriptionSlot::stream_mut);
            let Some(stream) = stream.filter(|stream| stream.flow == Flow::Held) else { continue };
            stream.flow = Flow::Open;
            let place = stream.state.place().or_else(|| Some((batch.first()?.layer, None)));
            let Some((layer, next)) = place else { continue };
            let numbers =
                batch.iter().filter(|entry| entry.layer == layer).map(|entry| entry.cached.packet.seq);
            // A batch without anything for it is no reason to wait.
            let Some(first) = numbers.clone().min() else { continue };
            let Some((_, source)) = state.held(layer) else { continue };
            let next = next.unwrap_or(first);
            // What comes late is of numbers that it has passed by.
            let late = numbers.filter_map(|number| next.checked_sub(number + 1));
            let missed =
                late.filter(|back| *back < u64::from(u64::BITS)).fold(0, |missed, back| missed | 1 << back);
            stream.flow = Flow::Behind;
            let (subscription, until) = (*subscription, now);
            let straggler = Straggler { subscription, layer, source, next, missed, until, began: now };
            self.stragglers.queue.push_back(straggler);
            self.stragglers.due = self.stragglers.due.or(Some(now + INTERVAL));
        }
    }

    /// Takes nothing for a stream from now on: it is about to have other keys, or another address.
    pub(in crate::shard) fn close(&mut self, key: SubscriptionKey) {
        self.leave_cache(key);
        if let Some(stream) = self.stream_mut(key) {
            stream.flow = Flow::Closed;
        }
    }

    /// Has a stream take what comes, if it was behind: what it would get is of no use to it any more.
    pub(super) fn leave_cache(&mut self, key: SubscriptionKey) {
        if let Some(stream) = self.stream_mut(key).filter(|stream| stream.is_behind()) {
            stream.flow = Flow::Open;
            self.stragglers.queue.retain(|one| one.subscription != key);
        }
    }

    /// Gives those that are behind what is due to them, by `drink`.
    pub(in crate::shard) fn catch_up(
        &mut self,
        now: Instant,
        ledger: &mut Ledger,
        mut drink: impl FnMut(&Publication, &mut StreamSink, &BatchEntry, &mut Ledger) -> Drink,
    ) {
        if self.stragglers.due.is_none_or(|due| now < due) {
            return;
        }
        ledger.counters.wakes.count(Wake::Past);
        let mut left = PACKETS_MAX;
        // Who has used up his share comes first next time: so they are done one after the other, not all of them late.
        let mut unfinished = Vec::new();
        for _ in 0..self.stragglers.queue.len() {
            if left == 0 {
                break;
            }
            let Some(mut straggler) = self.stragglers.queue.pop_front() else { break };
            let share = left.min(SHARE_MAX);
            let mut drunk = 0;
            let progress =
                self.move_on(now, &mut straggler, ledger, &mut |publication, stream, entry, ledger| {
                    if drunk == share {
                        return Drink::Later;
                    }
                    let drink = drink(publication, stream, entry, ledger);
                    drunk += usize::from(drink == Drink::Taken);
                    drink
                });
            // To look at one and find nothing due takes about as long as a packet.
            left -= drunk.max(1);
            match progress {
                Progress::Behind if drunk == share => unfinished.push(straggler),
                Progress::Behind => self.stragglers.queue.push_back(straggler),
                Progress::Gone => {}
                Progress::CaughtUp | Progress::Lost | Progress::Late => {
                    self.rejoin(now, straggler.subscription, progress, ledger);
                }
            }
        }
        for straggler in unfinished.into_iter().rev() {
            self.stragglers.queue.push_front(straggler);
        }
        self.stragglers.due = (!self.stragglers.queue.is_empty()).then(|| now + INTERVAL);
    }

    /// Gives one what is due to it.
    fn move_on(
        &mut self,
        now: Instant,
        straggler: &mut Straggler,
        ledger: &mut Ledger,
        drink: &mut dyn FnMut(&Publication, &mut StreamSink, &BatchEntry, &mut Ledger) -> Drink,
    ) -> Progress {
        let Some(slot) = self.subscriptions.get_mut(straggler.subscription) else { return Progress::Gone };
        let Some(publication) = self.publications.get(slot.publication) else { return Progress::Gone };
        let Some(stream) = slot.stream_mut().filter(|stream| stream.is_behind()) else {
            return Progress::Gone;
        };
        let (layer, publication) = (straggler.layer, &publication.state);
        let Some((held, source)) = publication.held(layer) else { return Progress::Lost };
        if source != straggler.source {
            return Progress::Lost;
        }
        if let Some(gone) = held.start.checked_sub(straggler.next).filter(|gone| *gone > 0) {
            ledger.counters.drop_packets(DropReason::Held, usize::try_from(gone).unwrap_or(usize::MAX));
            return Progress::Lost;
        }
        let mut give = |number: u64| {
            let cached = publication.cached(layer, number)?.clone();
            Some(drink(publication, stream, &BatchEntry { layer, cached }, ledger))
        };
        let missed = straggler.missed;
        for back in (0..u64::BITS).filter(|back| missed >> back & 1 == 1).rev() {
            match give(straggler.next - 1 - u64::from(back)) {
                Some(Drink::Taken) => straggler.missed &= !(1 << back),
                Some(Drink::Later | Drink::Strained) => return Progress::Behind,
                Some(Drink::Never) => return Progress::Lost,
                None => {}
            }
        }
        let due = straggler.due(now);
        while straggler.next < held.end {
            let came = publication.cached(layer, straggler.next).map(|cached| cached.packet.received_at);
            if came.is_some_and(|came| came > due) {
                return Progress::Behind;
            }
            match give(straggler.next) {
                Some(Drink::Strained) if came.is_some_and(|came| due.min(now) > came + LATE_MAX) => {
                    return Progress::Late;
                }
                Some(Drink::Later | Drink::Strained) => return Progress::Behind,
                Some(Drink::Never) => return Progress::Lost,
                Some(Drink::Taken) => straggler.advance(true),
                None => straggler.advance(false),
            }
        }
        Progress::CaughtUp
    }

    /// Has a stream take what comes from now on.
    fn rejoin(&mut self, now: Instant, key: SubscriptionKey, progress: Progress, ledger: &mut Ledger) {
        let Some(slot) = self.subscriptions.get_mut(key) else { return };
        let followed = slot.publication;
        let Some(stream) = slot.stream_mut() else { return };
        stream.flow = Flow::Open;
        if progress == Progress::Late {
            // Nothing can be made of what follows before the next keyframe.
            stream.state.stop();
        }
        if progress == Progress::Lost {
            // What it misses is no loss that it could ask for: the gap is closed, and a keyframe wanted.
            stream.state.hold();
            stream.state.go_on_sending();
        }
        // Once more from the cache would lead to the same end.
        if let Some((_, layer)) = self.choose(now, key) {
            self.demand_keyframe(now, followed, layer, ledger);
        }
        self.arm(now, followed);
    }
}
