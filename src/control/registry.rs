//! Which sessions and publications there are. Bounded by the session limit and the names of each session.

pub(super) mod placement;
pub(super) mod places;
pub mod rooms;
pub(super) mod stages;
pub(super) mod streams;

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use crate::ids::{PublicationId, SessionId};

use super::locked;
use super::session::Session;
use super::session::publication::Publication;

/// The tables of this node.
#[derive(Default)]
pub(super) struct Registry {
    sessions: Mutex<BTreeMap<SessionId, Arc<Session>>>,
    publications: Mutex<HashMap<PublicationId, Arc<Publication>>>,
}

impl Registry {
    pub(super) fn session(&self, id: SessionId) -> Option<Arc<Session>> {
        locked(&self.sessions).get(&id).cloned()
    }

    /// One of the sessions, if there is any.
    pub(super) fn any_session(&self) -> Option<SessionId> {
        locked(&self.sessions).keys().next().copied()
    }

    /// Adds a session, which has its place already.
    pub(super) fn add_session(&self, session: &Arc<Session>) {
        locked(&self.sessions).insert(session.id, Arc::clone(session));
    }

    /// Sessions at present.
    pub(super) fn session_count(&self) -> usize {
        locked(&self.sessions).len()
    }

    pub(super) fn remove_session(&self, id: SessionId) -> Option<Arc<Session>> {
        locked(&self.sessions).remove(&id)
    }

    /// Up to `limit` sessions of an application after `cursor`, in the order of their ids, and whether there
    /// are more.
    pub(super) fn list(
        &self,
        app: &str,
        cursor: Option<SessionId>,
        limit: usize,
    ) -> (Vec<Arc<Session>>, bool) {
        let from = cursor.map_or(Bound::Unbounded, Bound::Excluded);
        let sessions = locked(&self.sessions);
        let mut of_app = sessions.range((from, Bound::Unbounded)).map(|(_, session)| session);
        let mut of_app = of_app.by_ref().filter(|session| &*session.app == app);
        let page = of_app.by_ref().take(limit).cloned().collect();
        (page, of_app.next().is_some())
    }

    pub(super) fn publication(&self, id: PublicationId) -> Option<Arc<Publication>> {
        locked(&self.publications).get(&id).cloned()
    }

    /// Makes a publication known to the events of shards.
    pub(super) fn announce(&self, publication: &Arc<Publication>) {
        locked(&self.publications).insert(publication.id, Arc::clone(publication));
    }

    pub(super) fn forget(&self, publication: &Publication) {
        locked(&self.publications).remove(&publication.id);
    }
}
