//! The tracks of one session as its client knows them: by mid, by name, open or closed. Where they stand in the exchange of
//! descriptions is for the negotiation to say.
//!
//! Bounded: closed entries and names that are no longer fed are forgotten beyond a fixed number.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ids::{PublicationId, SessionId};

use super::super::model::{Location, Simulcast, TrackState, TrackStatus};
use super::super::registry::stages::Seat;
use super::publication::{Phase, Publication, Subscription};

/// Closed tracks that stay listed.
const CLOSED_MAX: usize = 256;
/// Names of one session that keep their publication.
const NAMES_MAX: usize = 1_024;

/// Where the media of a track comes from or goes to.
#[derive(Debug, Clone)]
pub(in super::super) enum Side {
    Local {
        publication: Arc<Publication>,
    },
    Remote {
        pulled: Pulled,
        /// Absent once the track is closed, and while nobody sits in a seat.
        subscription: Option<Arc<Subscription>>,
        /// The wish as it was given.
        simulcast: Option<Simulcast>,
    },
}

/// What a client asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Pulled {
    Track {
        publisher: SessionId,
        name: Arc<str>,
    },
    /// Whoever sits there.
    Seat(Arc<Seat>),
}

/// A seat that a client receives.
#[derive(Debug, Clone)]
pub(in super::super) struct TakenSeat {
    pub(in super::super) mid: String,
    pub(in super::super) seat: Arc<Seat>,
    /// What is shown at present.
    pub(in super::super) shown: Option<PublicationId>,
}

/// One direction of one section.
#[derive(Debug, Clone)]
pub(in super::super) struct Track {
    pub(in super::super) mid: String,
    pub(in super::super) open: bool,
    pub(in super::super) side: Side,
}

impl Track {
    fn is_local(&self) -> bool {
        matches!(self.side, Side::Local { .. })
    }

    fn status(&self) -> TrackStatus {
        let phase = match &self.side {
            Side::Local { publication } => Some(publication.phase()),
            Side::Remote { subscription, .. } => subscription.as_ref().map(|taken| taken.source.phase()),
        };
        match phase {
            Some(Phase::Declared | Phase::Live) if self.open => TrackStatus::Active,
            _ => TrackStatus::Inactive,
        }
    }
}

/// All tracks of one session, and the publications of its names.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Tracks {
    list: Vec<Track>,
    names: BTreeMap<Arc<str>, Arc<Publication>>,
}

impl Tracks {
    pub(in super::super) fn publications(&self) -> impl Iterator<Item = &Arc<Publication>> {
        self.names.values()
    }

    pub(in super::super) fn publication(&self, name: &str) -> Option<&Arc<Publication>> {
        self.names.get(name)
    }

    pub(in super::super) fn open(&self) -> impl Iterator<Item = &Track> {
        self.list.iter().filter(|track| track.open)
    }

    /// The publication that an open local section feeds.
    pub(in super::super) fn local(&self, mid: &str) -> Option<&Arc<Publication>> {
        self.open().find_map(|track| match &track.side {
            Side::Local { publication } if track.mid == mid => Some(publication),
            _ => None,
        })
    }

    /// The section that feeds a publication.
    pub(in super::super) fn mid_of(&self, name: &str) -> Option<&str> {
        self.open().find_map(|track| match &track.side {
            Side::Local { publication } if &*publication.name == name => Some(track.mid.as_str()),
            _ => None,
        })
    }

    /// What an open remote section receives.
    pub(in super::super) fn remote(&self, mid: &str) -> Option<&Arc<Subscription>> {
        self.open().find_map(|track| match &track.side {
            Side::Remote { subscription, .. } if track.mid == mid => subscription.as_ref(),
            _ => None,
        })
    }

    /// The first open section that receives a publication.
    pub(in super::super) fn mid_receiving(&self, publisher: SessionId, name: &str) -> Option<&str> {
        self.open().find_map(|track| match &track.side {
            Side::Remote { pulled: Pulled::Track { publisher: of, name: named }, .. }
                if *of == publisher && &**named == name =>
            {
                Some(track.mid.as_str())
            }
            _ => None,
        })
    }

    /// The open sections that receive a publication, each with its wish.
    pub(in super::super) fn receiving(&self, publication: PublicationId) -> Vec<(String, Option<Simulcast>)> {
        let receiving = self.open().filter_map(|track| match &track.side {
            Side::Remote { subscription: Some(taken), simulcast, .. } if taken.source.id == publication => {
                Some((track.mid.clone(), simulcast.clone()))
            }
            _ => None,
        });
        receiving.collect()
    }

    /// A `mid` as clients write it: `#name` stands for the section of a local track.
    pub(in super::super) fn resolve_mid(&self, mid: &str) -> Option<String> {
        match mid.strip_prefix('#') {
            Some(name) => self.mid_of(name).map(str::to_owned),
            None => Some(mid.to_owned()),
        }
    }

    pub(in super::super) fn set_local(&mut self, mid: &str, publication: &Arc<Publication>) {
        self.names.insert(Arc::clone(&publication.name), Arc::clone(publication));
        let side = Side::Local { publication: Arc::clone(publication) };
        self.put(Track { mid: mid.to_owned(), open: true, side });
    }

    pub(in super::super) fn set_remote(
        &mut self,
        mid: &str,
        subscription: Arc<Subscription>,
        simulcast: Option<Simulcast>,
    ) {
        let source = &subscription.source;
        let pulled = Pulled::Track { publisher: source.session, name: Arc::clone(&source.name) };
        let side = Side::Remote { pulled, subscription: Some(subscription), simulcast };
        self.put(Track { mid: mid.to_owned(), open: true, side });
    }

    /// The same for a seat, in which perhaps nobody sits.
    pub(in super::super) fn set_seat(
        &mut self,
        mid: &str,
        seat: Arc<Seat>,
        subscription: Option<Arc<Subscription>>,
        simulcast: Option<Simulcast>,
    ) {
        let side = Side::Remote { pulled: Pulled::Seat(seat), subscription, simulcast };
        self.put(Track { mid: mid.to_owned(), open: true, side });
    }

    /// The seat that an open section receives.
    pub(in super::super) fn seat(&self, mid: &str) -> Option<&Arc<Seat>> {
        self.open().find_map(|track| match &track.side {
            Side::Remote { pulled: Pulled::Seat(seat), .. } if track.mid == mid => Some(seat),
            _ => None,
        })
    }

    /// The stages of which seats are received.
    pub(in super::super) fn watched_stages(&self) -> BTreeSet<Arc<str>> {
        let stages = self.open().filter_map(|track| match &track.side {
            Side::Remote { pulled: Pulled::Seat(seat), .. } => Some(Arc::clone(&seat.stage)),
            _ => None,
        });
        stages.collect()
    }

    /// The seats of a stage that are received.
    pub(in super::super) fn seats_of(&self, stage: &str) -> Vec<TakenSeat> {
        let taken = self.open().filter_map(|track| match &track.side {
            Side::Remote { pulled: Pulled::Seat(seat), subscription, .. } if &*seat.stage == stage => {
                let shown = subscription.as_ref().map(|present| present.source.id);
                Some(TakenSeat { mid: track.mid.clone(), seat: Arc::clone(seat), shown })
            }
            _ => None,
        });
        taken.collect()
    }

    fn put(&mut self, track: Track) {
        let same = |other: &&mut Track| other.mid == track.mid && other.is_local() == track.is_local();
        match self.list.iter_mut().find(same) {
            Some(place) => *place = track,
            None => {
                self.list.reserve_exact(1);
                self.list.push(track);
            }
        }
    }

    /// The layer preference of an open remote section, as it was given.
    pub(in super::super) fn wish(&self, mid: &str) -> Option<&Simulcast> {
        self.open().find_map(|track| match &track.side {
            Side::Remote { simulcast, .. } if track.mid == mid => simulcast.as_ref(),
            _ => None,
        })
    }

    /// Notes another layer preference of an open remote section.
    pub(in super::super) fn set_wish(&mut self, mid: &str, wish: Option<Simulcast>) {
        let mut open = self.list.iter_mut().filter(|track| track.open && track.mid == mid);
        if let Some(simulcast) = open.find_map(|track| match &mut track.side {
            Side::Remote { simulcast, .. } => Some(simulcast),
            Side::Local { .. } => None,
        }) {
            *simulcast = wish;
        }
    }

    /// Ends what an open local section feeds, and returns it.
    pub(in super::super) fn close_local(&mut self, mid: &str) -> Option<Arc<Publication>> {
        let track = self.list.iter_mut().find(|track| track.open && track.is_local() && track.mid == mid)?;
        track.open = false;
        match &track.side {
            Side::Local { publication } => Some(Arc::clone(publication)),
            Side::Remote { .. } => None,
        }
    }

    /// Ends what an open remote section receives; false when there is none.
    pub(in super::super) fn close_remote(&mut self, mid: &str) -> bool {
        let found = self.list.iter_mut().find(|track| track.open && !track.is_local() && track.mid == mid);
        let Some(track) = found else { return false };
        track.open = false;
        if let Side::Remote { subscription, .. } = &mut track.side {
            *subscription = None;
        }
        true
    }

    /// What the client feeds, or is to feed: the sections and their publications.
    pub(in super::super) fn locals(&self) -> impl Iterator<Item = (&str, &Arc<Publication>)> {
        self.open().filter_map(|track| match &track.side {
            Side::Local { publication } => Some((track.mid.as_str(), publication)),
            Side::Remote { .. } => None,
        })
    }

    /// Forgets the oldest closed tracks and unfed names beyond the bounds; returns the forgotten publications.
    pub(in super::super) fn prune(&mut self) -> Vec<Arc<Publication>> {
        let mut closed = self.list.iter().filter(|track| !track.open).count();
        self.list.retain(|track| {
            let forget = !track.open && closed > CLOSED_MAX;
            if forget {
                closed -= 1;
            }
            !forget
        });
        let excess = self.names.len().saturating_sub(NAMES_MAX);
        if excess == 0 {
            return Vec::new();
        }
        let mut unfed: Vec<_> =
            self.names.values().filter(|named| self.mid_of(&named.name).is_none()).cloned().collect();
        unfed.sort_unstable_by_key(|publication| publication.id);
        unfed.truncate(excess);
        for publication in &unfed {
            self.names.remove(&publication.name);
        }
        unfed
    }

    /// The tracks as `GET sessions/{id}` shows them.
    pub(in super::super) fn states(&self) -> Vec<TrackState> {
        let state = |track: &Track| {
            let (location, session_id, track_name) = match &track.side {
                Side::Local { publication } => (Location::Local, None, publication.name.to_string()),
                Side::Remote { pulled: Pulled::Track { publisher, name }, .. } => {
                    (Location::Remote, Some(publisher.to_string()), name.to_string())
                }
                Side::Remote { pulled: Pulled::Seat(seat), .. } => {
                    (Location::Remote, Some(seat.session_id()), seat.track_name())
                }
            };
            TrackState { location, mid: track.mid.clone(), session_id, track_name, status: track.status() }
        };
        self.list.iter().map(state).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::ids::{NodeKeys, ShardId};

    const SESSION: SessionId = SessionId([7; 16]);

    fn publication(name: &str) -> Arc<Publication> {
        static KEYS: LazyLock<NodeKeys> = LazyLock::new(NodeKeys::generate);
        Publication::new(KEYS.mint_publication(), SESSION, ShardId(0), name.into())
    }

    #[test]
    fn one_section_carries_a_track_each_way() {
        let mut tracks = Tracks::default();
        tracks.set_local("0", &publication("cam"));
        tracks.set_remote("0", Subscription::new(publication("far"), SESSION), None);
        assert_eq!(tracks.states().len(), 2);
        assert!(tracks.close_remote("0") && !tracks.close_remote("0"));
        assert_eq!(tracks.mid_of("cam"), Some("0"));
        assert_eq!(tracks.resolve_mid("#cam").as_deref(), Some("0"));
        assert!(tracks.close_local("0").is_some() && tracks.close_local("0").is_none());
        assert_eq!(tracks.resolve_mid("#cam"), None);
        assert!(tracks.states().iter().all(|track| track.status == TrackStatus::Inactive));
    }

    #[test]
    fn a_closed_subscription_is_no_longer_counted() {
        let source = publication("cam");
        let mut tracks = Tracks::default();
        tracks.set_remote("1", Subscription::new(Arc::clone(&source), SESSION), None);
        let draft = tracks.clone();
        assert_eq!(source.subscriber_count(), 1);
        tracks.close_remote("1");
        assert_eq!(source.subscriber_count(), 1, "the draft still has it");
        drop(draft);
        assert_eq!(source.subscriber_count(), 0);
    }

    #[test]
    fn names_and_closed_tracks_stay_bounded_and_fed_ones_stay() {
        let mut tracks = Tracks::default();
        tracks.set_local("fed", &publication("first"));
        let mut forgotten = 0;
        for number in 0..2 * NAMES_MAX {
            tracks.set_local(&number.to_string(), &publication(&format!("name {number}")));
            tracks.close_local(&number.to_string());
            forgotten += tracks.prune().len();
        }
        assert_eq!(tracks.publications().count(), NAMES_MAX);
        assert_eq!(forgotten, NAMES_MAX + 1);
        assert_eq!(tracks.states().len(), CLOSED_MAX + 1);
        assert!(tracks.publication("first").is_some());
    }
}
