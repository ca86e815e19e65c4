//! Which layer a subscription should receive: the API's `simulcast` object against the layers that are being sent, and its
//! share of what the client's path carries.
//!
//! A choice changes nothing by itself; the subscription moves at the target's next keyframe.

use std::cmp::Reverse;
use std::time::Instant;

use super::allocation::{Level, Scope, Verdict, scope};
use super::layer::Layer;
use super::publication::Publication;
use super::{LAYERS_MAX, LayerIndex};
use crate::plan::{LayerPreference, Ordering};

/// How much more than the present layer another one must carry to take its place, as a ratio. Layers whose bitrates
/// lie close together (a still picture) would otherwise change places all the time.
const RANK_MARGIN: (u64, u64) = (5, 4);

/// Why a layer is forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum LayerReason {
    /// The publication has no other.
    Only,
    /// It is the best one that is being sent.
    Best,
    /// The client wants this one.
    Pinned,
    /// It stands in for the one that the client wants.
    Fallback,
    /// Another layer is meant and its keyframe has not come; this one goes on until then.
    Switching,
    /// Nothing is forwarded: no keyframe yet, or the layer is not being sent.
    Waiting,
    /// The client's path carries no better one.
    Bandwidth,
    /// Nothing is forwarded: the client's path does not carry the cheapest one.
    Paused,
    /// It is more than the client's path carries, and forwarded all the same: the client wants this one, or it is the only
    /// picture.
    OverBudget,
}

/// What a subscription may have of its publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Share {
    /// Whatever is wanted: nobody divides the path.
    #[default]
    Whole,
    /// The cheapest one, until the path is divided.
    Least,
    /// This one, and why.
    Layer(LayerIndex, Verdict),
    /// None.
    Nothing,
}

impl LayerReason {
    /// The word of the API for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Only => "only",
            Self::Best => "best",
            Self::Pinned => "pinned",
            Self::Fallback => "fallback",
            Self::Switching => "switching",
            Self::Waiting => "waiting",
            Self::Bandwidth => "bandwidth",
            Self::Paused => "paused",
            Self::OverBudget => "overBudget",
        }
    }
}

/// The outcome of the decision table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The layer to forward; `None` while no layer can be meant.
    pub target: Option<LayerIndex>,
    /// Whether it is being sent, so that asking for its keyframe makes sense.
    pub live: bool,
    /// Why this one.
    pub reason: LayerReason,
}

/// Chooses among the layers of a publication, as far as the share of its path goes. `incumbent` and `settled` as for
/// [`choose_freely`].
pub fn choose(
    publication: &Publication,
    preference: &LayerPreference,
    share: Share,
    incumbent: Option<LayerIndex>,
    settled: bool,
    now: Instant,
) -> Choice {
    let free = choose_freely(publication, preference, incumbent, settled, now);
    let cheapest = || options(publication, preference, incumbent, now).iter().next();
    let (target, verdict) = match share {
        Share::Whole => return free,
        Share::Nothing => return Choice { target: None, live: false, reason: LayerReason::Paused },
        Share::Layer(layer, verdict) if publication.is_layer_live(layer, now) => (Some(layer), verdict),
        Share::Layer(..) | Share::Least => (cheapest().map(|option| option.layer), Verdict::Bandwidth),
    };
    let Some(target) = target else { return free };
    let reason = match verdict {
        Verdict::OverBudget => LayerReason::OverBudget,
        _ if Some(target) == free.target => free.reason,
        Verdict::Best => LayerReason::Best,
        Verdict::Bandwidth | Verdict::Paused => LayerReason::Bandwidth,
    };
    Choice { target: Some(target), live: true, reason }
}

/// A layer that a subscription could have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choosable {
    /// Which.
    pub layer: LayerIndex,
    /// What it costs and is worth.
    pub level: Level,
}

/// What a subscription could have, from the cheapest to the best.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    all: [Option<Choosable>; LAYERS_MAX],
}

impl Options {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Choosable> + '_ {
        self.all.iter().map_while(|option| *option)
    }

    /// The one at this place.
    pub fn at(&self, place: usize) -> Option<Choosable> {
        self.all.get(place).copied().flatten()
    }

    /// The place of a layer among them.
    pub fn place_of(&self, layer: LayerIndex) -> Option<usize> {
        self.iter().position(|option| option.layer == layer)
    }
}

/// Whether the client wants one layer whatever its path carries.
pub fn is_kept(preference: &LayerPreference) -> bool {
    matches!(scope(preference), Scope::Kept(_))
}

/// The layers that are being sent of those that the client may be given. Of two that cost about the same the incumbent stands
/// for both.
pub fn options(
    publication: &Publication,
    preference: &LayerPreference,
    incumbent: Option<LayerIndex>,
    now: Instant,
) -> Options {
    let mut options = Options::default();
    let mut count = 0;
    let scope = present_scope(publication, preference, now);
    for (layer, known) in publication.indexed_layers().filter(|(_, layer)| layer.is_live(now)) {
        if known.rid().is_some_and(|rid| !scope.is_some_and(|scope| scope.takes(rid))) {
            continue;
        }
        let level = publication.level(layer);
        if let Some(place) = options.all.get_mut(count) {
            *place = Some(Choosable { layer, level });
            count += 1;
        }
    }
    let cost = |option: &Option<Choosable>| {
        // Those that are not there stand last; of two that cost the same the one that is named first is the better one.
        option
            .map_or((u64::MAX, Reverse(0)), |option| (option.level.now_bps, Reverse(option.layer.position())))
    };
    options.all.sort_unstable_by_key(cost);
    merge_alike(&mut options, incumbent);
    options
}

/// Leaves of each pair that costs about the same the incumbent, else the better one.
fn merge_alike(options: &mut Options, incumbent: Option<LayerIndex>) {
    let (more, less) = RANK_MARGIN;
    let mut kept = Options::default();
    let mut count = 0_usize;
    for option in options.iter() {
        let before = count.checked_sub(1).and_then(|last| kept.all.get_mut(last));
        if let Some(Some(before)) = before
            && before.level.now_bps.saturating_mul(more) > option.level.now_bps.saturating_mul(less)
        {
            if Some(before.layer) != incumbent {
                *before = option;
            }
            continue;
        }
        if let Some(place) = kept.all.get_mut(count) {
            *place = Some(option);
            count += 1;
        }
    }
    *options = kept;
}

/// What the client may be given at present: what stands in for the layer that it names, where that is not sent.
fn present_scope<'a>(
    publication: &'a Publication,
    preference: &'a LayerPreference,
    now: Instant,
) -> Option<Scope<'a>> {
    let wanted = scope(preference);
    let (Scope::UpTo(rid) | Scope::Kept(rid)) = wanted else { return Some(wanted) };
    let is_live =
        |rid| publication.indexed_layers().any(|(_, layer)| layer.rid() == Some(rid) && layer.is_live(now));
    if is_live(rid) {
        return Some(wanted);
    }
    let stands_in = next_by_name(publication, rid, now)
        .filter(|_| preference.rid_not_available == Ordering::Asciibetical)?;
    let rid = publication.layer_name(stands_in)?;
    Some(if matches!(wanted, Scope::Kept(_)) { Scope::Kept(rid) } else { Scope::UpTo(rid) })
}

/// Chooses among the layers of a publication as if any path carried them. `incumbent` is the present target; `settled` tells that it is already
/// being forwarded, so that leaving it has a price.
fn choose_freely(
    publication: &Publication,
    preference: &LayerPreference,
    incumbent: Option<LayerIndex>,
    settled: bool,
    now: Instant,
) -> Choice {
    let count = publication.indexed_layers().count();
    // A layer without a name is the whole publication: there is nothing that a name could choose.
    let whole = publication.indexed_layers().find(|(_, layer)| layer.rid().is_none());
    if let Some((index, layer)) = whole
        && (count == 1 || layer.is_live(now))
    {
        return Choice { target: Some(index), live: layer.is_live(now), reason: LayerReason::Only };
    }
    let Some(wanted) = preference.preferred_rid.as_deref().filter(|rid| !rid.is_empty()) else {
        let reason = if count == 1 { LayerReason::Only } else { LayerReason::Best };
        return best(publication, incumbent, settled, now, reason);
    };
    let pinned = publication.indexed_layers().find(|(_, layer)| layer.rid() == Some(wanted));
    let live = pinned.is_some_and(|(_, layer)| layer.is_live(now));
    if !live
        && preference.rid_not_available == Ordering::Asciibetical
        && let Some(target) = next_by_name(publication, wanted, now)
    {
        return Choice { target: Some(target), live: true, reason: LayerReason::Fallback };
    }
    Choice { target: pinned.map(|(index, _)| index), live, reason: LayerReason::Pinned }
}

/// The best layer that is being sent. While none is, the incumbent stays: it may come back.
fn best(
    publication: &Publication,
    incumbent: Option<LayerIndex>,
    settled: bool,
    now: Instant,
    reason: LayerReason,
) -> Choice {
    let live = |(_, layer): &(LayerIndex, &Layer)| layer.is_live(now);
    let rank = |(index, layer): &(LayerIndex, &Layer)| (layer.rank_bps().unwrap_or(0), Reverse(*index));
    let Some((top, top_layer)) = publication.indexed_layers().filter(live).max_by_key(rank) else {
        let first = publication.indexed_layers().map(|(index, _)| index).next();
        return Choice { target: incumbent.or(first), live: false, reason };
    };
    let stays = incumbent.and_then(|index| Some((index, publication.layer(index)?))).filter(|(_, layer)| {
        settled && layer.is_live(now) && !outranks(top_layer.rank_bps(), layer.rank_bps())
    });
    Choice { target: Some(stays.map_or(top, |(index, _)| index)), live: true, reason }
}

/// Only what has been measured on both sides speaks against the incumbent.
fn outranks(challenger: Option<u64>, incumbent: Option<u64>) -> bool {
    let (more, less) = RANK_MARGIN;
    match (challenger, incumbent) {
        (Some(challenger), Some(incumbent)) => {
            challenger.saturating_mul(less) > incumbent.saturating_mul(more)
        }
        _ => false,
    }
}

/// The live layer that follows `wanted` in the ASCII order of names, else the nearest before it.
fn next_by_name(publication: &Publication, wanted: &str, now: Instant) -> Option<LayerIndex> {
    let named = || {
        publication
            .indexed_layers()
            .filter(|(_, layer)| layer.is_live(now))
            .filter_map(|(index, layer)| Some((layer.rid()?, index)))
    };
    let after = named().filter(|(name, _)| *name > wanted).min();
    after.or_else(|| named().filter(|(name, _)| *name < wanted).max()).map(|(_, index)| index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PublicationId;
    use crate::router::fixture::{at_ms, packet};
    use crate::rtp::{Codec, MediaKind};

    /// What is sent, the wanted name, what to do without it; the expected layer and reason.
    type Case<'a> = (&'a [(&'a str, usize)], Option<&'a str>, Ordering, Option<&'a str>, LayerReason);

    /// Layers f, h, q of which `live` have been sent for two seconds, with that many bytes every 10 ms.
    fn publication(live: &[(&str, usize)]) -> Publication {
        let mut publication = Publication::new(PublicationId(1), MediaKind::Video);
        let indices = ["f", "h", "q"].map(|rid| publication.layer_index(Some(rid)).unwrap());
        for step in 0..200 {
            for (rid, bytes) in live {
                let index = indices[["f", "h", "q"].iter().position(|name| name == rid).unwrap()];
                publication.push(index, Codec::H264, packet(step, 0, &vec![1; *bytes]), at_ms(step * 10));
            }
        }
        publication
    }

    fn preference(rid: Option<&str>, rid_not_available: Ordering) -> LayerPreference {
        LayerPreference {
            preferred_rid: rid.map(str::to_owned),
            priority_ordering: Ordering::Asciibetical,
            rid_not_available,
        }
    }

    fn decide(
        publication: &Publication,
        preference: &LayerPreference,
        incumbent: Option<&str>,
    ) -> (Option<String>, LayerReason) {
        let index =
            |rid: &str| publication.indexed_layers().find(|(_, layer)| layer.rid() == Some(rid)).unwrap().0;
        let whole = Share::Whole;
        let incumbent = incumbent.map(index);
        let choice = choose(publication, preference, whole, incumbent, incumbent.is_some(), at_ms(2000));
        let name = choice.target.map(|target| publication.layer_name(target).unwrap().to_owned());
        (name, choice.reason)
    }

    #[test]
    fn decision_table() {
        use LayerReason::{Best, Fallback, Pinned};
        use Ordering::{Asciibetical, None as Stay};
        let all = [("f", 1000), ("h", 300), ("q", 100)];
        let cases: &[Case] = &[
            (&all, None, Stay, Some("f"), Best),
            (&all, Some(""), Stay, Some("f"), Best),
            (&all[1..], None, Stay, Some("h"), Best),
            (&[("f", 100), ("h", 300)], None, Stay, Some("h"), Best),
            (&[], None, Stay, Some("f"), Best),
            (&all, Some("h"), Stay, Some("h"), Pinned),
            (&all, Some("q"), Asciibetical, Some("q"), Pinned),
            (&all[..1], Some("h"), Stay, Some("h"), Pinned),
            (&all, Some("unknown"), Stay, None, Pinned),
            (&all, Some("g"), Asciibetical, Some("h"), Fallback),
            (&all, Some("z"), Asciibetical, Some("q"), Fallback),
            (&all[1..], Some("f"), Asciibetical, Some("h"), Fallback),
            (&all[..2], Some("q"), Asciibetical, Some("h"), Fallback),
            (&[], Some("h"), Asciibetical, Some("h"), Pinned),
        ];
        for (live, rid, not_available, expected, reason) in cases {
            let publication = publication(live);
            let decided = decide(&publication, &preference(*rid, *not_available), None);
            assert_eq!(decided, (expected.map(str::to_owned), *reason), "{live:?} {rid:?} {not_available:?}");
        }
    }

    #[test]
    fn a_layer_that_is_forwarded_gives_way_only_to_a_clearly_better_one() {
        let automatic = preference(None, Ordering::None);
        let target =
            |live: &[(&str, usize)], incumbent| decide(&publication(live), &automatic, Some(incumbent)).0;
        assert_eq!(target(&[("f", 110), ("h", 100)], "h").as_deref(), Some("h"));
        assert_eq!(target(&[("f", 130), ("h", 100)], "h").as_deref(), Some("f"));
        assert_eq!(target(&[("f", 100), ("h", 130)], "f").as_deref(), Some("h"));
        assert_eq!(target(&[("h", 100)], "f").as_deref(), Some("h"), "it has stopped");
        assert_eq!(target(&[], "h").as_deref(), Some("h"), "nothing is sent");
    }

    #[test]
    fn what_a_client_may_have_stands_from_the_cheapest_to_the_best() {
        use Ordering::{Asciibetical, None as Stay};
        let all = [("f", 1000), ("h", 300), ("q", 100)];
        type Case<'a> = (&'a [(&'a str, usize)], Option<&'a str>, [Ordering; 2], &'a str);
        let cases: &[Case] = &[
            (&all, None, [Stay, Stay], "qhf"),
            (&all, Some("h"), [Asciibetical, Stay], "qh"),
            (&all, Some("h"), [Stay, Stay], "h"),
            (&all[..1], Some("h"), [Asciibetical, Stay], ""),
            (&all[1..], Some("f"), [Asciibetical, Asciibetical], "qh"),
            (&all[..2], Some("q"), [Stay, Asciibetical], "h"),
            (&all[1..], None, [Stay, Stay], "qh"),
            (&[("f", 110), ("h", 100), ("q", 50)], None, [Stay, Stay], "qf"),
            (&[], None, [Stay, Stay], ""),
        ];
        for (live, rid, [priority_ordering, rid_not_available], expected) in cases {
            let (publication, preferred_rid) = (publication(live), rid.map(str::to_owned));
            let (priority_ordering, rid_not_available) = (*priority_ordering, *rid_not_available);
            let preference = LayerPreference { preferred_rid, priority_ordering, rid_not_available };
            let options = options(&publication, &preference, None, at_ms(2000));
            let names: String =
                options.iter().map(|option| publication.layer_name(option.layer).unwrap()).collect();
            assert_eq!(names, *expected, "{live:?} {preference:?}");
        }
        // The one that is forwarded stands for those that cost about the same.
        let publication = publication(&[("f", 110), ("h", 100), ("q", 50)]);
        let h = LayerIndex::at(1);
        let options = options(&publication, &preference(None, Stay), h, at_ms(2000));
        assert_eq!(options.iter().nth(1).map(|option| option.layer), h);
    }

    #[test]
    fn a_share_decides_and_the_reason_says_so() {
        let publication = publication(&[("f", 1000), ("h", 300), ("q", 100)]);
        let [f, h, q] = [0, 1, 2].map(LayerIndex::at);
        let (f, h) = (f.unwrap(), h.unwrap());
        let decide = |rid, share| {
            let preference = preference(rid, Ordering::None);
            let choice = choose(&publication, &preference, share, None, false, at_ms(2000));
            (choice.target, choice.reason)
        };
        let automatic = |share| decide(None, share);
        assert_eq!(automatic(Share::Least), (q, LayerReason::Bandwidth));
        assert_eq!(automatic(Share::Layer(h, Verdict::Bandwidth)), (Some(h), LayerReason::Bandwidth));
        assert_eq!(automatic(Share::Layer(f, Verdict::Best)), (Some(f), LayerReason::Best));
        assert_eq!(automatic(Share::Nothing), (None, LayerReason::Paused));
        let gone = LayerIndex::at(5).unwrap();
        assert_eq!(automatic(Share::Layer(gone, Verdict::Best)), (q, LayerReason::Bandwidth), "it has gone");
        assert_eq!(
            decide(Some("f"), Share::Layer(f, Verdict::OverBudget)),
            (Some(f), LayerReason::OverBudget)
        );
    }

    #[test]
    fn names_choose_nothing_where_layers_have_none() {
        let mut publication = Publication::new(PublicationId(1), MediaKind::Video);
        let layer = publication.layer_index(None).unwrap();
        let wanted = preference(Some("b"), Ordering::None);
        let choice = choose(&publication, &wanted, Share::Whole, None, false, at_ms(0));
        assert_eq!(choice, Choice { target: Some(layer), live: false, reason: LayerReason::Only });
    }
}
