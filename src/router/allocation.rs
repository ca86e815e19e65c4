//! How one client's path is divided among its video subscriptions: which level of each is forwarded.
//!
//! Pure values: what each subscription could have and costs goes in, with what is known of the path; a level for each comes out,
//! and what more would be of use. Rounds that give each in turn its next step (max-min), so that one screen cannot starve five
//! faces. Down goes at once; up waits, so that layers do not change places all the time.
//!
//! Bounds: work proportional to subscriptions times levels, squared in the former; nothing is allocated once the list of
//! subscriptions has had its length.

use std::ops::Deref;

use super::LAYERS_MAX;
use crate::plan::{LayerPreference, Ordering};

/// Microseconds of the session, as the estimate has them.
pub type Micros = u64;

/// Part of the budget that is given away.
const USED: (u64, u64) = (95, 100);

/// What a step up has to leave room for: its cost and a tenth.
const UP_MARGIN: (u64, u64) = (11, 10);

/// How long a step up has to fit; and in the first seconds, how long these are.
const UP_AFTER: Micros = 1_000_000;
const UP_AFTER_EARLY: Micros = 100_000;
const EARLY: Micros = 3_000_000;

/// Least time between two steps up of one client.
const BETWEEN_UPS: Micros = 500_000;

/// No step up for so long after a step down for want of bandwidth: bounds. Doubled, for the level that was left and those above
/// it, when it came so soon after a step up, and back to the first after it held for so long.
const HOLD: (Micros, Micros) = (5_000_000, 40_000_000);
const DOWN_TOO_SOON: Micros = 10_000_000;
const PEACE: Micros = 30_000_000;

/// When the cheapest level does not fit, and that shows in loss, delay or silence: paused below this part of it for so long, back above that part and so long after.
const PAUSE_BELOW: (u64, u64) = (9, 10);
const PAUSE_AFTER: Micros = 2_000_000;
const PAUSE_LOSS: f32 = 0.15;
const PAUSE_QUEUE: Micros = 400_000;
const RESUME_ABOVE: (u64, u64) = (11, 10);
const RESUME_AFTER: Micros = 5_000_000;

/// The first in order is forwarded though it does not fit: a camera up to this part of what there is, a screen up to so much more.
const OVERSEND: (u64, u64) = (12, 10);
const OVERSEND_SCREEN_BPS: u64 = 500_000;

/// After a step up the budget that it was taken by holds, less a tenth, for so long: the queue of its keyframe is no news.
const GRACE: Micros = 2_000_000;
const GRACE_PART: (u64, u64) = (9, 10);
/// What ends the grace: loss, and delay in microseconds.
const GRACE_LOSS_MAX: f32 = 0.1;
const GRACE_QUEUE_MAX: Micros = 400_000;

/// Queueing delay, microseconds, from which on a layer that does not fit is stopped before the next one has come.
const STOP_QUEUE: Micros = 100_000;

impl Path {
    /// Whether what is sent harms: another flow that fills the queue is no reason to show nothing at all.
    fn is_strained(&self) -> bool {
        self.loss >= PAUSE_LOSS || self.queue > PAUSE_QUEUE || self.is_silent
    }

    /// Whether it is known not to carry so much; an estimate that has not grown yet says nothing.
    fn is_less_than(&self, bps: u64) -> bool {
        self.is_strained() || (self.capacity_bps > 0 && times(self.capacity_bps, USED) < bps)
    }
}

fn times(value: u64, (more, of): (u64, u64)) -> u64 {
    value.saturating_mul(more) / of
}

/// Which layers a subscription may be given, by the API's `simulcast` object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// All of them.
    All,
    /// This one and those behind it in the ASCII order of names.
    UpTo(&'a str),
    /// This one whatever the path carries.
    Kept(&'a str),
}

/// Reads the scope out of what the client asked for.
pub fn scope(preference: &LayerPreference) -> Scope<'_> {
    match preference.preferred_rid.as_deref() {
        None | Some("") => Scope::All,
        Some(rid) if preference.priority_ordering == Ordering::Asciibetical => Scope::UpTo(rid),
        Some(rid) => Scope::Kept(rid),
    }
}

impl Scope<'_> {
    /// Whether a layer of this name is within it.
    pub fn takes(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::UpTo(ceiling) => name >= *ceiling,
            Self::Kept(kept) => name == *kept,
        }
    }
}

/// What a subscription could have: a layer, or a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Level {
    /// What it costs now, bits per second with all headers.
    pub now_bps: u64,
    /// What it is to be counted with when it is not forwarded yet: its higher values.
    pub up_bps: u64,
    /// Which picture is better, in a unit that all subscriptions share: height of the picture, or its rate.
    pub quality: u32,
}

/// Levels of one subscription, from the cheapest to the best.
#[derive(Debug, Clone, Copy, Default)]
pub struct Levels {
    all: [Level; LAYERS_MAX],
    count: usize,
}

impl FromIterator<Level> for Levels {
    /// Takes the first [`LAYERS_MAX`].
    fn from_iter<I: IntoIterator<Item = Level>>(levels: I) -> Self {
        let mut taken = Self::default();
        for (place, level) in taken.all.iter_mut().zip(levels) {
            *place = level;
            taken.count += 1;
        }
        taken
    }
}

impl Deref for Levels {
    type Target = [Level];

    fn deref(&self) -> &[Level] {
        self.all.get(..self.count).unwrap_or_default()
    }
}

/// Takes out of levels, which stand from the cheapest to the best, those that cost no less than a better one; returns how many
/// are left in front.
pub fn strike(levels: &mut [Level]) -> usize {
    let mut left = 0;
    for at in 0..levels.len() {
        let Some(level) = levels.get(at).copied() else { break };
        while left > 0 && levels.get(left - 1).is_some_and(|before| before.now_bps >= level.now_bps) {
            left -= 1;
        }
        if let Some(place) = levels.get_mut(left) {
            *place = level;
        }
        left += 1;
    }
    left
}

/// What is known of the path.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Path {
    /// What may be sent, bits per second.
    pub target_bps: u64,
    /// What it carried when it was last full, bits per second; 0 while that is not known.
    pub capacity_bps: u64,
    /// Share lost in the last second.
    pub loss: f32,
    /// Queueing delay, microseconds.
    pub queue: Micros,
    /// Whether packets go out and nothing comes back.
    pub is_silent: bool,
    /// Whether a probe is under way, during which nothing goes up.
    pub is_probing: bool,
}

/// One video subscription, as the allocation sees it.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// What it could have, from the cheapest to the best, none that costs no less than a better one. For one that is kept, the
    /// kept one alone.
    pub levels: Levels,
    /// Its weight; at least 1.
    pub priority: u32,
    /// Whether it shows a screen.
    pub is_screen: bool,
    /// Whether it is forwarded whatever the path carries.
    pub is_kept: bool,
}

/// Why a subscription has the level that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verdict {
    /// It is the best one.
    #[default]
    Best,
    /// The path carries no more.
    Bandwidth,
    /// The path does not carry the cheapest.
    Paused,
    /// It is more than the path carries, and kept, or the only picture.
    OverBudget,
}

/// What the allocation remembers of a subscription from one time to the next.
#[derive(Debug, Clone, Copy, Default)]
pub struct Standing {
    /// The level that is meant, by its place in [`Wish::levels`]; `None` when it is paused.
    pub level: Option<usize>,
    /// Why.
    pub verdict: Verdict,
    /// What is better than the level that is meant and still forwarded in its place is to be stopped at once: the path is behind.
    pub stops: bool,
    has_begun: bool,
    fits_since: Option<Micros>,
    short_since: Option<Micros>,
    paused_at: Micros,
    is_paused_by_silence: bool,
    went_up_at: Option<Micros>,
    went_down_at: Option<Micros>,
    /// The level that was left then.
    failed: usize,
    hold: Micros,
    /// What the rounds gave it this time.
    given: Option<usize>,
}

/// What a budget would have to be, bits per second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Need {
    /// For what is forwarded.
    pub now: u64,
    /// For the cheapest step up; 0 when there is none.
    pub next: u64,
    /// For all that is wanted.
    pub top: u64,
    /// Whether what is kept is more than the path carries.
    pub is_over: bool,
}

/// The allocation of one client.
#[derive(Debug, Default)]
pub struct Allocation {
    began: Option<Micros>,
    went_up: Option<(Micros, u64)>,
    order: Vec<usize>,
}

impl Allocation {
    /// Divides the path. `audio_bps` are forwarded in any case; `wishes` stand in the order of their sections, and each has its
    /// standing at the same place. To be called when the budget has moved, what is wanted or sent has changed, and once a second.
    pub fn divide(
        &mut self,
        now: Micros,
        path: Path,
        audio_bps: u64,
        wishes: &[Wish],
        standings: &mut [Standing],
    ) -> Need {
        let began = *self.began.get_or_insert(now);
        self.sort(wishes);
        let budget = times(self.budget(now, path), USED).saturating_sub(audio_bps);
        let (mut left, mut is_over) = (budget, false);
        for (wish, standing) in wishes.iter().zip(standings.iter_mut()) {
            standing.stops = path.queue > STOP_QUEUE;
            standing.given = None;
            // A level that has gone away is left without more ado.
            standing.level =
                standing.level.and_then(|level| Some(level.min(wish.levels.len().checked_sub(1)?)));
            // What is not sent by anybody begins anew when it is.
            standing.has_begun &= !wish.levels.is_empty();
            if wish.is_kept {
                standing.given = wish.levels.len().checked_sub(1);
                let cost = cost(wish, standing, standing.given);
                is_over |= cost > left;
                left = left.saturating_sub(cost);
            }
        }
        self.give_cheapest(now, path, (&mut left, budget + audio_bps), wishes, standings);
        self.give_rounds(&mut left, wishes, standings);
        let is_early = now.saturating_sub(began) < EARLY;
        for (wish, standing) in wishes.iter().zip(standings.iter_mut()) {
            standing.go_down(now, wish, path);
        }
        self.go_up(now, path, is_early, wishes, standings);
        let all =
            wishes.iter().zip(standings.iter()).map(|(wish, standing)| cost(wish, standing, standing.level));
        let is_over = is_over && path.is_less_than(all.sum::<u64>().saturating_add(audio_bps));
        for (wish, standing) in wishes.iter().zip(standings.iter_mut()) {
            standing.judge(wish, is_over, path, budget);
        }
        let mut need = need(audio_bps, wishes, standings, is_over);
        if need.now > path.target_bps && need.next == 0 {
            // What is forwarded although it is more than is known to fit is what is to be found out about.
            need.next = need.now;
        }
        if (!is_early || path.loss > 0.0)
            && self.went_up.is_some_and(|(at, _)| now.saturating_sub(at) < GRACE)
        {
            // A step up is itself a probe, and one more would spoil it. At first all is to be found out quickly.
            need.next = 0;
        }
        need
    }

    /// By priority, screens first, else as their sections stand.
    fn sort(&mut self, wishes: &[Wish]) {
        self.order.clear();
        self.order.extend(0..wishes.len());
        self.order.sort_by_key(|at| {
            wishes.get(*at).map(|wish| (std::cmp::Reverse(wish.priority), !wish.is_screen, *at))
        });
    }

    fn budget(&mut self, now: Micros, path: Path) -> u64 {
        let Some((at, then)) = self.went_up else { return path.target_bps };
        let is_over = now.saturating_sub(at) > GRACE || path.loss >= GRACE_LOSS_MAX;
        if is_over || path.queue > GRACE_QUEUE_MAX {
            self.went_up = None;
            return path.target_bps;
        }
        path.target_bps.max(times(then, GRACE_PART))
    }

    fn give_cheapest(
        &self,
        now: Micros,
        path: Path,
        (left, all): (&mut u64, u64),
        wishes: &[Wish],
        standings: &mut [Standing],
    ) {
        let is_kept = |wish: &Wish| wish.is_kept && !wish.levels.is_empty();
        let mut is_first = !wishes.iter().any(is_kept);
        for at in &self.order {
            let (Some(wish), Some(standing)) = (wishes.get(*at), standings.get_mut(*at)) else { continue };
            if wish.is_kept || wish.levels.is_empty() {
                continue;
            }
            let cost = cost(wish, standing, Some(0));
            let is_only = std::mem::take(&mut is_first);
            let most = if is_only { most_for_first(wish, *left) } else { *left };
            // The only picture goes on while it does no harm, and all of them while the path may carry them for all that is known.
            let spent = all.saturating_sub(*left);
            let goes_on = is_only && !path.is_strained() || !path.is_less_than(spent.saturating_add(cost));
            if standing.takes_cheapest(now, cost, most, goes_on) {
                standing.given = Some(0);
                *left = left.saturating_sub(cost);
            }
        }
    }

    /// Whoever has least by its priority takes the next step, as long as there is one that fits.
    fn give_rounds(&self, left: &mut u64, wishes: &[Wish], standings: &mut [Standing]) {
        loop {
            let mut best: Option<(u64, usize, usize, u64)> = None;
            for at in &self.order {
                let (Some(wish), Some(standing)) = (wishes.get(*at), standings.get(*at)) else { continue };
                let Some(given) = standing.given.filter(|_| !wish.is_kept) else { continue };
                let before = cost(wish, standing, Some(given));
                let reached = wish.levels.get(given).map_or(0, |level| u64::from(level.quality));
                let reached = reached * 1024 / u64::from(wish.priority.max(1));
                // The next that fits, should the very next one not.
                let next = (given + 1..wish.levels.len())
                    .map(|level| (level, cost(wish, standing, Some(level)).saturating_sub(before)))
                    .find(|(_, more)| *more <= *left);
                if let Some((level, more)) = next
                    && best.is_none_or(|(least, ..)| reached < least)
                {
                    best = Some((reached, *at, level, more));
                }
            }
            let Some((_, at, level, more)) = best else { break };
            *left -= more;
            if let Some(standing) = standings.get_mut(at) {
                standing.given = Some(level);
            }
        }
    }

    /// One step of one subscription, of those that had room for long enough.
    fn go_up(
        &mut self,
        now: Micros,
        path: Path,
        is_early: bool,
        wishes: &[Wish],
        standings: &mut [Standing],
    ) {
        let is_soon = self.went_up.is_some_and(|(at, _)| now.saturating_sub(at) < BETWEEN_UPS);
        let may = !is_soon && !path.is_probing;
        let patience = if is_early { UP_AFTER_EARLY } else { UP_AFTER };
        let mut has_gone = false;
        for at in &self.order {
            let (Some(wish), Some(standing)) = (wishes.get(*at), standings.get_mut(*at)) else { continue };
            if standing.given <= standing.level {
                standing.fits_since = None;
                continue;
            }
            if wish.is_kept || !standing.has_begun {
                // The first picture comes at once.
                standing.has_begun = true;
                standing.level = if wish.is_kept { standing.given } else { Some(0) };
                continue;
            }
            if standing.level.is_none() {
                standing.level = Some(0);
                continue;
            }
            let since = *standing.fits_since.get_or_insert(now);
            let next = standing.given.min(standing.reach(now));
            if !may || has_gone || next <= standing.level || now.saturating_sub(since) < patience {
                continue;
            }
            standing.level = next;
            standing.fits_since = None;
            standing.went_up_at = Some(now);
            self.went_up = Some((now, path.target_bps));
            has_gone = true;
        }
    }
}

/// What a level costs; more than now where it would be a step up.
fn cost(wish: &Wish, standing: &Standing, level: Option<usize>) -> u64 {
    let Some((at, level)) = level.and_then(|at| Some((at, wish.levels.get(at)?))) else { return 0 };
    let is_up = at > 0 && Some(at) > standing.level;
    if is_up && !wish.is_kept { times(level.up_bps.max(level.now_bps), UP_MARGIN) } else { level.now_bps }
}

/// What the first in order may cost, though there is only so much.
fn most_for_first(wish: &Wish, left: u64) -> u64 {
    if wish.is_screen { left.saturating_add(OVERSEND_SCREEN_BPS) } else { times(left, OVERSEND) }
}

fn need(audio_bps: u64, wishes: &[Wish], standings: &[Standing], is_over: bool) -> Need {
    let (mut now, mut top, mut step) = (audio_bps, audio_bps, None::<u64>);
    for (wish, standing) in wishes.iter().zip(standings) {
        let present = cost(wish, standing, standing.level);
        now = now.saturating_add(present);
        top = top.saturating_add(cost(wish, standing, wish.levels.len().checked_sub(1)));
        let next = standing.level.map_or(0, |level| level + 1);
        if next < wish.levels.len() && !wish.is_kept {
            let more = cost(wish, standing, Some(next));
            let more = if standing.level.is_none() { times(more, RESUME_ABOVE) } else { more };
            let more = more.saturating_sub(present);
            step = Some(step.map_or(more, |step| step.min(more)));
        }
    }
    // What rounding has cut off must not leave a step that the need does not reach.
    let whole = |bps: u64| bps.saturating_mul(USED.1) / USED.0 + 1_000;
    let next = step.map_or(0, |step| whole(now.saturating_add(step)));
    Need { now: whole(now), next, top: whole(top), is_over }
}

impl Standing {
    /// Whether the cheapest level is forwarded, of which so much may be taken.
    fn takes_cheapest(&mut self, now: Micros, cost: u64, left: u64, goes_on: bool) -> bool {
        if !self.has_begun {
            return goes_on || cost <= left;
        }
        if self.level.is_none() {
            if self.is_paused_by_silence && goes_on {
                return true;
            }
            let may = now.saturating_sub(self.paused_at) >= RESUME_AFTER;
            return may && times(cost, RESUME_ABOVE) <= left;
        }
        if goes_on || left >= times(cost, PAUSE_BELOW) {
            self.short_since = None;
            return true;
        }
        let since = *self.short_since.get_or_insert(now);
        now.saturating_sub(since) < PAUSE_AFTER
    }

    fn go_down(&mut self, now: Micros, wish: &Wish, path: Path) {
        if self.given >= self.level {
            return;
        }
        if self.given.is_none() && wish.levels.is_empty() {
            self.level = None;
            return;
        }
        if self.given.is_none() {
            (self.paused_at, self.short_since) = (now, None);
            // Once something comes back there is no more to wait for.
            self.is_paused_by_silence = path.is_silent;
        }
        let is_peace = self.went_up_at.is_none_or(|at| now.saturating_sub(at) > PEACE);
        let is_soon = self.went_up_at.is_some_and(|at| now.saturating_sub(at) < DOWN_TOO_SOON);
        let (least, most) = HOLD;
        if is_peace || self.hold == 0 {
            self.hold = least;
        }
        if is_soon {
            self.hold = (2 * self.hold.max(least)).min(most);
        }
        self.went_down_at = Some(now);
        self.failed = self.level.unwrap_or_default();
        self.level = self.given;
    }

    /// The highest level to go up to, after a step down.
    fn reach(&self, now: Micros) -> Option<usize> {
        let Some(passed) = self.went_down_at.map(|at| now.saturating_sub(at)) else {
            return Some(LAYERS_MAX);
        };
        if passed < HOLD.0 {
            self.level
        } else if passed < self.hold {
            self.failed.checked_sub(1)
        } else {
            Some(LAYERS_MAX)
        }
    }

    /// Whether the cheapest level is more than there is, and known to be.
    fn is_too_much(&self, wish: &Wish, path: Path, budget: u64) -> bool {
        let cost = cost(wish, self, Some(0));
        cost > budget && path.is_less_than(cost)
    }

    fn judge(&mut self, wish: &Wish, is_over: bool, path: Path, budget: u64) {
        self.verdict = match self.level {
            None => Verdict::Paused,
            Some(_) if wish.is_kept && is_over => Verdict::OverBudget,
            Some(0) if !wish.is_kept && self.is_too_much(wish, path, budget) => Verdict::OverBudget,
            Some(level) if level + 1 < wish.levels.len() => Verdict::Bandwidth,
            Some(_) => Verdict::Best,
        };
    }
}

#[cfg(test)]
mod tests;
