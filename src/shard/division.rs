//! How the path of one client is divided among what it receives, and who is told of it.

use std::time::Instant;

use super::Shard;
use super::sessions::{SessionKey, SessionSlot};
use super::tracks::{StreamSink, SubscriptionKey, Tracks};
use crate::congestion::{Demand, Estimate, Micros, State};
use crate::metrics::shard::ShareChange;
use crate::router::allocation::{Allocation, Need, Path, Standing, Wish};
use crate::router::publication::Publication;
use crate::router::selection::{Options, Share, is_kept, options};
use crate::rtp::MediaKind;

/// How often a path is divided anew, microseconds, while its estimate hardly moves; and by what part it moves for that.
const EVERY: Micros = 100_000;
const MOVED: u64 = 20;

/// A video subscription, as the division knows it from one time to the next.
#[derive(Debug)]
struct Part {
    subscription: SubscriptionKey,
    /// Whether that is still there.
    is_there: bool,
    /// The layers that levels are places of.
    options: Options,
    /// What the subscription was told.
    share: Share,
}

impl Part {
    /// What it means that the subscription has another share than before.
    fn change_to(&self, share: Share) -> Option<ShareChange> {
        match (self.share, share) {
            (Share::Nothing, Share::Layer(..)) => Some(ShareChange::Resumed),
            (Share::Layer(..), Share::Nothing) => Some(ShareChange::Paused),
            (Share::Layer(before, _), Share::Layer(after, _)) if before != after => {
                let is_up = self.options.place_of(after) > self.options.place_of(before);
                Some(if is_up { ShareChange::Up } else { ShareChange::Down })
            }
            _ => None,
        }
    }

    /// Takes what there is to choose from now, and returns the place of what was meant: of the same layer, or else of the nearest
    /// one below.
    fn choose_from(&mut self, options: Options, meant: Option<usize>) -> Option<usize> {
        let before = meant.and_then(|meant| self.options.at(meant));
        self.options = options;
        let before = before?;
        let below = || {
            let cheaper =
                options.iter().filter(|option| option.level.now_bps <= before.level.now_bps).count();
            options.at(0).map(|_| cheaper.saturating_sub(1))
        };
        options.place_of(before.layer).or_else(below)
    }
}

/// The division of one client's path. Its lists have the same order.
#[derive(Debug, Default)]
pub(super) struct Division {
    allocation: Allocation,
    parts: Vec<Part>,
    wishes: Vec<Wish>,
    standings: Vec<Standing>,
    /// When the path was divided last, and for what target.
    divided: Option<(Micros, u64)>,
    /// What that came to.
    need: Need,
    /// Whether the rates of all that is forwarded are known.
    is_measured: bool,
}

impl Division {
    /// What the division came to last.
    pub(super) fn need(&self) -> Need {
        self.need
    }

    /// Whether there is a reason to divide anew.
    fn is_due(&self, now: Micros, target_bps: u64) -> bool {
        self.divided.is_none_or(|(at, before)| {
            now.saturating_sub(at) >= EVERY || target_bps.abs_diff(before) > before / MOVED
        })
    }

    /// Brings the lists to the subscriptions that there are.
    fn sync(&mut self, now: Instant, slot: &SessionSlot, tracks: &Tracks) {
        self.is_measured = true;
        self.wishes.clear();
        self.parts.iter_mut().for_each(|part| part.is_there = false);
        for key in slot.subscriptions.iter().flatten() {
            if video(tracks, *key).is_none() {
                continue;
            }
            match self.parts.iter_mut().find(|part| part.subscription == *key) {
                Some(part) => part.is_there = true,
                None => {
                    let (options, share) = (Options::default(), Share::Least);
                    self.parts.push(Part { subscription: *key, is_there: true, options, share });
                    self.standings.push(Standing::default());
                }
            }
        }
        let mut there = self.parts.iter().map(|part| part.is_there);
        self.standings.retain(|_| there.next().unwrap_or(false));
        self.parts.retain(|part| part.is_there);
        for (part, standing) in self.parts.iter_mut().zip(&mut self.standings) {
            let Some((stream, publication)) = video(tracks, part.subscription) else { continue };
            let preference = stream.state.preference();
            let meant = standing.level.and_then(|level| part.options.at(level)).map(|option| option.layer);
            standing.level = part.choose_from(options(publication, preference, meant, now), standing.level);
            let forwarded = meant.or_else(|| stream.state.current_layer());
            self.is_measured &= forwarded.is_none_or(|layer| publication.is_measured(layer));
            let levels = part.options.iter().map(|option| option.level).collect();
            self.wishes.push(Wish { levels, priority: 1, is_screen: false, is_kept: is_kept(preference) });
        }
    }

    fn divide(&mut self, now: Micros, estimate: &Estimate, audio_bps: u64) {
        self.divided = Some((now, estimate.target_bps));
        let path = Path {
            target_bps: estimate.target_bps,
            capacity_bps: estimate.capacity_bps,
            loss: estimate.loss,
            queue: estimate.queue,
            is_silent: estimate.state == State::Silent,
            is_probing: estimate.is_probing,
        };
        self.need = self.allocation.divide(now, path, audio_bps, &self.wishes, &mut self.standings);
    }
}

/// The stream and the publication of a video subscription.
fn video(tracks: &Tracks, key: SubscriptionKey) -> Option<(&StreamSink, &Publication)> {
    let slot = tracks.subscription(key)?;
    let publication = &tracks.publication(slot.publication)?.state;
    Some((slot.stream()?, publication)).filter(|_| publication.kind() == MediaKind::Video)
}

impl Shard {
    /// Divides the path of a client anew, if there is a reason: what it told has changed the estimate, or some time has gone by.
    /// `must` where what is wanted of it is another.
    pub(super) fn divide(&mut self, now: Instant, key: SessionKey, must: bool) {
        let Some(slot) = self.sessions.get_mut(key) else { return };
        let (at, estimate) = (slot.session.micros(now), slot.session.estimate(now));
        let Some(estimate) = estimate else { return };
        let mut division = slot.division.take().unwrap_or_default();
        if must || division.is_due(at, estimate.target_bps) {
            division.sync(now, slot, &self.tracks);
            division.divide(at, &estimate, self.audio_bps(key, now));
            self.share_out(now, key, &mut division);
        }
        if let Some(slot) = self.sessions.get_mut(key) {
            slot.division = Some(division);
        }
        self.probe(now, key);
    }

    /// What all sound of a client takes, bits per second.
    fn audio_bps(&self, key: SessionKey, now: Instant) -> u64 {
        let Some(slot) = self.sessions.get(key) else { return 0 };
        let of = |key: &SubscriptionKey| {
            let publication = &self.tracks.publication(self.tracks.subscription(*key)?.publication)?.state;
            (publication.kind() == MediaKind::Audio).then(|| publication.audio_bps(now))
        };
        slot.subscriptions.iter().flatten().filter_map(of).sum()
    }

    /// Tells each subscription what it may have, and the session what is wanted of its path.
    fn share_out(&mut self, now: Instant, key: SessionKey, division: &mut Division) {
        for (part, standing) in division.parts.iter_mut().zip(&division.standings) {
            let share = match standing.level.and_then(|level| part.options.at(level)) {
                Some(option) => Share::Layer(option.layer, standing.verdict),
                None if part.options.at(0).is_some() => Share::Nothing,
                None => Share::Least,
            };
            if let Some(change) = part.change_to(share) {
                self.ledger.counters.share_changes.count(change);
            }
            part.share = share;
            let stream = self.tracks.subscription(part.subscription).and_then(|slot| slot.stream());
            let current = stream.and_then(|stream| stream.state.current_layer());
            let place = current.and_then(|layer| part.options.place_of(layer));
            let stops = standing.stops && place > standing.level;
            self.tracks.share(now, part.subscription, share, stops, &mut self.ledger);
        }
        let Need { now: needed, next, top, .. } = division.need;
        if let Some(slot) = self.sessions.get_mut(key) {
            slot.session.set_demand(Demand { now: needed, next, top }, division.is_measured, now);
        }
    }
}
