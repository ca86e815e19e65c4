//! Which layer a subscription should receive: the API's `simulcast` object against the layers that are being sent.
//!
//! No bandwidth estimate enters, so `priorityOrdering` makes no difference: the wanted layer is the ceiling and the
//! floor. A choice changes nothing by itself; the subscription moves at the target's next keyframe.

use std::cmp::Reverse;
use std::time::Instant;

use super::LayerIndex;
use super::layer::Layer;
use super::publication::Publication;
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

/// Chooses among the layers of a publication. `incumbent` is the present target; `settled` tells that it is already
/// being forwarded, so that leaving it has a price.
pub fn choose(
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
        let choice = choose(publication, preference, incumbent.map(index), incumbent.is_some(), at_ms(2000));
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
    fn names_choose_nothing_where_layers_have_none() {
        let mut publication = Publication::new(PublicationId(1), MediaKind::Video);
        let layer = publication.layer_index(None).unwrap();
        let choice = choose(&publication, &preference(Some("b"), Ordering::None), None, false, at_ms(0));
        assert_eq!(choice, Choice { target: Some(layer), live: false, reason: LayerReason::Only });
    }
}
