//! How many sessions there may be: of the node, of an application, and of who asks for them.
//!
//! A session that has not connected is cheap to ask for, so such ones have a bound of their own, on the node and for
//! everybody. Every application of the configuration finds a quarter of its even share free, whatever the others hold:
//! nobody is kept out by somebody else's sessions.
//!
//! Bounded by the sessions that there are: who has none is forgotten.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::super::access::Owner;
use super::super::locked;
use crate::config::{Limits, Network};
use crate::metrics::names::SessionBound;

/// The part of an even share that stays free for an application, and of its own bound that an owner or address may have
/// in sessions that have not connected: one of so many.
const QUARTER: usize = 4;

/// On whose account a session goes, besides its application's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in super::super) enum Account {
    /// Nobody's: it was asked for with a secret, or by somebody who cannot be told from others.
    App,
    /// That of an owner of tokens.
    Owner(Owner),
    /// That of an address, where no token says who it is.
    Address(Network),
}

/// Sessions, and those of them that have not connected.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    sessions: usize,
    connecting: usize,
}

impl Count {
    fn reaches(self, most: Self) -> bool {
        self.sessions >= most.sessions || self.connecting >= most.connecting
    }
}

#[derive(Default)]
struct Taken {
    all: Count,
    by_app: HashMap<Box<str>, Count>,
    by_account: HashMap<(Box<str>, Account), Count>,
}

impl Taken {
    fn of_app(&self, app: &str) -> Count {
        self.by_app.get(app).copied().unwrap_or_default()
    }

    /// The bound that a session more would break.
    fn broken(&self, key: &(Box<str>, Account), limits: &Limits, apps: &[&str]) -> Option<SessionBound> {
        let (app, account) = key;
        let sessions = limits.sessions.size();
        let most = Count { sessions, connecting: limits.connecting_sessions.size().min(sessions) };
        if self.all.sessions >= most.sessions {
            return Some(SessionBound::Node);
        }
        if self.all.connecting >= most.connecting {
            return Some(SessionBound::Connecting);
        }
        let of_account = self.by_account.get(key).copied().unwrap_or_default();
        let bounded = match account {
            Account::App => None,
            Account::Owner(_) => Some((limits.sessions_per_owner.size(), SessionBound::Owner)),
            Account::Address(_) => Some((limits.sessions_per_address.size(), SessionBound::Address)),
        };
        if let Some((sessions, bound)) = bounded
            && of_account.reaches(Count { sessions, connecting: sessions.div_ceil(QUARTER) })
        {
            return Some(bound);
        }
        let others = || apps.iter().filter(|other| **other != &**app).map(|other| self.of_app(other));
        let share = |most: usize| most / (QUARTER * apps.len().max(1));
        let kept = Count {
            sessions: others().map(|other| share(most.sessions).saturating_sub(other.sessions)).sum(),
            connecting: others().map(|other| share(most.connecting).saturating_sub(other.connecting)).sum(),
        };
        let left = Count {
            sessions: most.sessions.saturating_sub(kept.sessions),
            connecting: most.connecting.saturating_sub(kept.connecting),
        };
        let own = limits.sessions_per_app.size();
        let is_full = self.all.reaches(left) || (own > 0 && self.of_app(app).sessions >= own);
        is_full.then_some(SessionBound::App)
    }

    /// Changes all counts of a session alike.
    fn count(&mut self, (app, account): &(Box<str>, Account), change: impl Fn(&mut Count)) {
        change(&mut self.all);
        change(self.by_app.entry(app.clone()).or_default());
        let key = (app.clone(), account.clone());
        change(self.by_account.entry(key).or_default());
        if self.of_app(app).sessions == 0 {
            self.by_app.remove(app);
        }
        let key = (app.clone(), account.clone());
        if self.by_account.get(&key).is_some_and(|count| count.sessions == 0) {
            self.by_account.remove(&key);
        }
    }
}

/// The places of the sessions of this node.
#[derive(Default)]
pub(in super::super) struct Places {
    taken: Mutex<Taken>,
}

impl Places {
    /// Takes a place for a session of one of these applications, or tells which bound keeps it out.
    pub(in super::super) fn take(
        self: &Arc<Self>,
        app: &str,
        account: Account,
        limits: &Limits,
        apps: &[&str],
    ) -> Result<Place, SessionBound> {
        let key = (Box::from(app), account);
        let mut taken = locked(&self.taken);
        if let Some(bound) = taken.broken(&key, limits, apps) {
            return Err(bound);
        }
        taken.count(&key, |count| {
            count.sessions += 1;
            count.connecting += 1;
        });
        Ok(Place { places: Arc::clone(self), key, stage: Mutex::new(Stage::Connecting) })
    }

    /// Sessions that have not connected.
    pub(in super::super) fn connecting(&self) -> usize {
        locked(&self.taken).all.connecting
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connecting,
    Connected,
    Ended,
}

/// The place of one session; given back when dropped, if not before.
pub(in super::super) struct Place {
    places: Arc<Places>,
    key: (Box<str>, Account),
    stage: Mutex<Stage>,
}

impl Place {
    /// The session has connected.
    pub(in super::super) fn connected(&self) {
        let mut stage = locked(&self.stage);
        if *stage == Stage::Connecting {
            *stage = Stage::Connected;
            locked(&self.places.taken).count(&self.key, |count| count.connecting -= 1);
        }
    }

    /// The session has ended, though requests on it may not have.
    pub(in super::super) fn give_back(&self) {
        let before = std::mem::replace(&mut *locked(&self.stage), Stage::Ended);
        if before == Stage::Ended {
            return;
        }
        locked(&self.places.taken).count(&self.key, |count| {
            count.sessions -= 1;
            count.connecting -= usize::from(before == Stage::Connecting);
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Within;

    fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
        let mut limits =
            Limits { sessions: Within::new(80), connecting_sessions: Within::new(80), ..Limits::default() };
        change(&mut limits);
        limits
    }

    const APPS: [&str; 2] = ["a", "b"];

    fn fill(
        places: &Arc<Places>,
        app: &str,
        account: &Account,
        limits: &Limits,
    ) -> (Vec<Place>, SessionBound) {
        let mut held = Vec::new();
        loop {
            match places.take(app, account.clone(), limits, &APPS) {
                Ok(place) => held.push(place),
                Err(bound) => return (held, bound),
            }
        }
    }

    fn ann() -> Account {
        Account::Owner(Owner::Subject("ann".into()))
    }

    #[test]
    fn an_app_finds_its_share_free_and_whoever_is_alone_has_all() {
        let (places, limits) = (Arc::<Places>::default(), limits(|_| {}));
        let (held, bound) = fill(&places, "a", &Account::App, &limits);
        assert_eq!((held.len(), bound), (70, SessionBound::App));
        let (others, bound) = fill(&places, "b", &Account::App, &limits);
        assert_eq!((others.len(), bound), (10, SessionBound::Node));
        drop((held, others));
        let alone = (0..80).map(|_| places.take("a", Account::App, &limits, &["a"]));
        assert!(alone.collect::<Result<Vec<_>, _>>().is_ok());
    }

    #[test]
    fn an_owner_has_a_bound_and_a_quarter_of_it_before_they_connect() {
        let (places, limits) =
            (Arc::<Places>::default(), limits(|limits| limits.sessions_per_owner = Within::new(8)));
        let (mut held, bound) = fill(&places, "a", &ann(), &limits);
        assert_eq!((held.len(), bound), (2, SessionBound::Owner));
        held.iter().for_each(Place::connected);
        while let Ok(place) = places.take("a", ann(), &limits, &APPS) {
            place.connected();
            held.push(place);
        }
        assert_eq!(held.len(), 8);
        let bob = Account::Owner(Owner::Subject("bob".into()));
        assert!(
            places.take("a", bob, &limits, &APPS).is_ok() && places.take("b", ann(), &limits, &APPS).is_ok()
        );
    }

    #[test]
    fn an_address_has_a_bound_that_others_do_not_feel() {
        let (places, limits) =
            (Arc::<Places>::default(), limits(|limits| limits.sessions_per_address = Within::new(4)));
        let of = |address: &str| Account::Address(Network::of_client(address.parse().unwrap()));
        let (held, bound) = fill(&places, "a", &of("2001:db8::1"), &limits);
        assert_eq!((held.len(), bound), (1, SessionBound::Address));
        assert!(places.take("a", of("2001:db8::2"), &limits, &APPS).is_err());
        assert!(places.take("a", of("2001:db8:0:1::2"), &limits, &APPS).is_ok());
    }

    #[test]
    fn those_that_have_not_connected_take_a_part_of_the_node_and_nothing_of_what_an_app_is_due() {
        let limits = limits(|limits| limits.connecting_sessions = Within::new(16));
        let places = Arc::<Places>::default();
        let (held, bound) = fill(&places, "a", &Account::App, &limits);
        assert_eq!((held.len(), bound), (14, SessionBound::App));
        let (others, bound) = fill(&places, "b", &Account::App, &limits);
        assert_eq!((others.len(), bound), (2, SessionBound::Connecting));
        held.iter().for_each(Place::connected);
        assert_eq!(places.connecting(), 2);
        assert!(places.take("a", Account::App, &limits, &APPS).is_ok());
    }

    #[test]
    fn a_place_is_given_back_once_and_leaves_nothing_behind() {
        let (places, limits) =
            (Arc::<Places>::default(), limits(|limits| limits.sessions_per_app = Within::new(1)));
        let place = places.take("a", ann(), &limits, &APPS).unwrap();
        assert_eq!(places.take("a", Account::App, &limits, &APPS).err(), Some(SessionBound::App));
        place.connected();
        place.give_back();
        place.connected();
        drop(place);
        let taken = locked(&places.taken);
        assert!(taken.by_app.is_empty() && taken.by_account.is_empty() && taken.all.sessions == 0);
    }
}
