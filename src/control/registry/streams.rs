//! Streams: names under which one session at a time is watched, as WHIP and WHEP have them.
//!
//! Owns which session is the source of a stream, who watches it, and how often it may be asked for. A stream is there
//! as long as it has a source or a viewer, so there are no more of them than sessions and names given to them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::config::Limits;
use crate::ids::SessionId;

use super::super::access::Holder;
use super::super::error::ApiError;
use super::super::locked;
use super::super::session::Budget;

/// Streams that one session may be the source of.
const NAMES_OF_SESSION_MAX: usize = 16;
/// Streams whose request budgets are kept; beyond it those that are full again are forgotten.
const BUDGETS_MAX: usize = 4_096;

/// A stream of an application.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct StreamKey {
    pub(in super::super) app: Box<str>,
    pub(in super::super) name: Box<str>,
}

/// What a stream shows: a session, and which of its tracks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct StreamSource {
    pub(in super::super) session: SessionId,
    /// Name of its audio track; absent for the first that it has.
    pub(in super::super) audio: Option<Box<str>>,
    /// Name of its video track, likewise.
    pub(in super::super) video: Option<Box<str>>,
    /// By what it became the source; absent for a session that is played by its id.
    pub(in super::super) holder: Option<Holder>,
}

impl StreamSource {
    /// Whether another source may take its place without being asked who it is: what is sent with the same token is
    /// the same encoder, started again, and the newest is the one that runs.
    pub(in super::super) fn gives_way_to(&self, holder: Option<&Holder>) -> bool {
        self.holder.is_some() && self.holder.as_ref() == holder
    }
}

/// One stream.
pub(in super::super) struct Stream {
    pub(in super::super) key: StreamKey,
    source: watch::Sender<Option<StreamSource>>,
    viewers: watch::Sender<usize>,
}

impl Stream {
    pub(in super::super) fn source(&self) -> Option<StreamSource> {
        self.source.borrow().clone()
    }

    pub(in super::super) fn watch_source(&self) -> watch::Receiver<Option<StreamSource>> {
        self.source.subscribe()
    }

    pub(in super::super) fn watch_viewers(&self) -> watch::Receiver<usize> {
        self.viewers.subscribe()
    }

    pub(in super::super) fn viewer_count(&self) -> usize {
        *self.viewers.borrow()
    }

    fn is_idle(&self) -> bool {
        self.viewer_count() == 0 && self.source.borrow().is_none()
    }
}

/// A session that watches a stream; what follows the stream for it ends with this value.
struct Viewer {
    stream: Arc<Stream>,
    follower: Option<AbortHandle>,
    /// Counts the event streams that it has had; the newest is the one that it has.
    listening: watch::Sender<u64>,
}

impl Drop for Viewer {
    fn drop(&mut self) {
        if let Some(follower) = &self.follower {
            follower.abort();
        }
    }
}

#[derive(Default)]
struct Tables {
    streams: BTreeMap<StreamKey, Arc<Stream>>,
    sources: BTreeMap<SessionId, Vec<StreamKey>>,
    viewers: BTreeMap<SessionId, Viewer>,
}

impl Tables {
    fn stream(&mut self, key: &StreamKey) -> Arc<Stream> {
        let fresh = || {
            let (source, viewers) = (watch::channel(None).0, watch::channel(0).0);
            Arc::new(Stream { key: key.clone(), source, viewers })
        };
        Arc::clone(self.streams.entry(key.clone()).or_insert_with(fresh))
    }

    fn forget_idle(&mut self, key: &StreamKey) {
        if self.streams.get(key).is_some_and(|stream| stream.is_idle()) {
            self.streams.remove(key);
        }
    }

    fn take_source(&mut self, key: &StreamKey, session: SessionId) {
        if let Some(stream) = self.streams.get(key) {
            stream.source.send_if_modified(|source| {
                let is_it = source.as_ref().is_some_and(|source| source.session == session);
                if is_it {
                    *source = None;
                }
                is_it
            });
        }
        if let Some(names) = self.sources.get_mut(&session) {
            names.retain(|name| name != key);
            if names.is_empty() {
                self.sources.remove(&session);
            }
        }
        self.forget_idle(key);
    }
}

/// All streams of this node.
#[derive(Default)]
pub(in super::super) struct Streams {
    tables: Mutex<Tables>,
    budgets: Mutex<BTreeMap<StreamKey, Budget>>,
}

impl Streams {
    /// Takes one request off the budget of a stream.
    pub(in super::super) fn spend(&self, key: &StreamKey, limits: &Limits) -> Result<(), ApiError> {
        let (now, per_second) = (Instant::now(), limits.stream_requests_per_second.get());
        let mut budgets = locked(&self.budgets);
        if budgets.len() >= BUDGETS_MAX && !budgets.contains_key(key) {
            budgets.retain(|_, budget| !budget.is_full(now, per_second));
            if budgets.len() >= BUDGETS_MAX {
                return Err(ApiError::RateLimited);
            }
        }
        let budget = budgets.entry(key.clone()).or_insert_with(|| Budget::new(now));
        budget.spend(now, per_second, limits.stream_request_burst.get())
    }

    pub(in super::super) fn find(&self, key: &StreamKey) -> Option<Arc<Stream>> {
        locked(&self.tables).streams.get(key).cloned()
    }

    /// Makes a session the source of a stream. Another one that is it already is replaced and returned if it gives way
    /// to this one, or to all; else it keeps its place, which is a refusal.
    pub(in super::super) fn set_source(
        &self,
        key: &StreamKey,
        source: StreamSource,
        may_replace: bool,
    ) -> Result<Option<SessionId>, SourceRefusal> {
        let mut tables = locked(&self.tables);
        let present = tables.streams.get(key).and_then(|stream| stream.source());
        let other = present.filter(|present| present.session != source.session);
        if other.as_ref().is_some_and(|other| !may_replace && !other.gives_way_to(source.holder.as_ref())) {
            return Err(SourceRefusal::Taken);
        }
        let other = other.map(|other| other.session);
        let names = tables.sources.entry(source.session).or_default();
        if !names.contains(key) {
            if names.len() >= NAMES_OF_SESSION_MAX {
                return Err(SourceRefusal::TooManyNames);
            }
            names.push(key.clone());
        }
        let stream = tables.stream(key);
        stream.source.send_replace(Some(source));
        if let Some(other) = other {
            tables.take_source(key, other);
        }
        Ok(other)
    }

    /// Whether a session is the source of a stream.
    pub(in super::super) fn is_source(&self, key: &StreamKey, session: SessionId) -> bool {
        locked(&self.tables).sources.get(&session).is_some_and(|names| names.contains(key))
    }

    /// Notes a session as a viewer of a stream.
    pub(in super::super) fn add_viewer(&self, key: &StreamKey, session: SessionId) -> Arc<Stream> {
        let mut tables = locked(&self.tables);
        let stream = tables.stream(key);
        stream.viewers.send_modify(|viewers| *viewers += 1);
        tables.viewers.insert(
            session,
            Viewer { stream: Arc::clone(&stream), follower: None, listening: watch::channel(0).0 },
        );
        stream
    }

    /// Ties a task to a viewer; it ends with it, or at once if the viewer is gone.
    pub(in super::super) fn set_follower(&self, session: SessionId, follower: AbortHandle) {
        match locked(&self.tables).viewers.get_mut(&session) {
            Some(viewer) => viewer.follower = Some(follower),
            None => follower.abort(),
        }
    }

    /// Begins an event stream of a viewer, which ends the one that it had: told of what follows by a change, and of the
    /// viewer's end by being closed.
    pub(in super::super) fn listen(&self, session: SessionId) -> Option<watch::Receiver<u64>> {
        let tables = locked(&self.tables);
        let listening = &tables.viewers.get(&session)?.listening;
        listening.send_modify(|turn| *turn += 1);
        Some(listening.subscribe())
    }

    /// The streams of an application from a name on, at most so many, and whether there are more.
    pub(in super::super) fn list(
        &self,
        app: &str,
        after: Option<&str>,
        limit: usize,
    ) -> (Vec<Arc<Stream>>, bool) {
        let tables = locked(&self.tables);
        let first = StreamKey { app: app.into(), name: after.unwrap_or_default().into() };
        let of_app = tables.streams.range(first..).map(|(_, stream)| stream);
        let mut page: Vec<Arc<Stream>> = of_app
            .take_while(|stream| &*stream.key.app == app)
            .filter(|stream| after != Some(&*stream.key.name))
            .take(limit + 1)
            .cloned()
            .collect();
        let more = page.len() > limit;
        page.truncate(limit);
        (page, more)
    }

    /// The streams that a session publishes, and the one that it watches.
    pub(in super::super) fn of_session(&self, session: SessionId) -> (Vec<Box<str>>, Option<Box<str>>) {
        let tables = locked(&self.tables);
        let published = tables.sources.get(&session).into_iter().flatten().map(|key| key.name.clone());
        let watched = tables.viewers.get(&session).map(|viewer| viewer.stream.key.name.clone());
        (published.collect(), watched)
    }

    /// The stream that a session watches, if it is this one.
    pub(in super::super) fn watched(&self, key: &StreamKey, session: SessionId) -> Option<Arc<Stream>> {
        let tables = locked(&self.tables);
        let viewer = tables.viewers.get(&session)?;
        (viewer.stream.key == *key).then(|| Arc::clone(&viewer.stream))
    }

    /// Forgets a session that has ended, whatever it was.
    pub(in super::super) fn ended(&self, session: SessionId) {
        let mut tables = locked(&self.tables);
        if let Some(viewer) = tables.viewers.remove(&session) {
            viewer.stream.viewers.send_modify(|viewers| *viewers = viewers.saturating_sub(1));
            tables.forget_idle(&viewer.stream.key);
        }
        for key in tables.sources.get(&session).cloned().unwrap_or_default() {
            tables.take_source(&key, session);
        }
    }
}

/// Why a session cannot become the source of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum SourceRefusal {
    /// Another session is it.
    Taken,
    /// The session is the source of as many streams as it may be.
    TooManyNames,
}

#[cfg(test)]
mod tests {
    use super::super::super::access::Owner;
    use super::*;

    const ALICE: SessionId = SessionId([1; 16]);
    const BOB: SessionId = SessionId([2; 16]);

    fn key(name: &str) -> StreamKey {
        StreamKey { app: "app".into(), name: name.into() }
    }

    fn source(session: SessionId) -> StreamSource {
        StreamSource { session, audio: None, video: None, holder: None }
    }

    #[test]
    fn a_stream_lives_as_long_as_it_has_a_source_or_a_viewer() {
        let streams = Streams::default();
        streams.add_viewer(&key("a"), BOB);
        assert_eq!(streams.set_source(&key("a"), source(ALICE), false), Ok(None));
        streams.ended(ALICE);
        assert!(streams.find(&key("a")).is_some_and(|stream| stream.source().is_none()));
        streams.ended(BOB);
        assert!(streams.find(&key("a")).is_none());
    }

    #[test]
    fn a_source_is_replaced_only_where_that_is_allowed_and_takes_nothing_with_it() {
        let streams = Streams::default();
        assert_eq!(streams.set_source(&key("a"), source(ALICE), false), Ok(None));
        assert_eq!(streams.set_source(&key("a"), source(BOB), false), Err(SourceRefusal::Taken));
        assert_eq!(streams.set_source(&key("a"), source(BOB), true), Ok(Some(ALICE)));
        streams.ended(ALICE);
        assert!(streams.is_source(&key("a"), BOB) && !streams.is_source(&key("a"), ALICE));
        assert_eq!(streams.find(&key("a")).unwrap().source(), Some(source(BOB)));
    }

    #[test]
    fn a_source_gives_way_to_one_of_the_same_token_and_to_no_other() {
        let of = |session, holder: &str| StreamSource {
            holder: Some(Holder::Token(Owner::Subject(holder.into()))),
            ..source(session)
        };
        let streams = Streams::default();
        assert_eq!(streams.set_source(&key("a"), of(ALICE, "ann"), false), Ok(None));
        assert_eq!(streams.set_source(&key("a"), of(BOB, "bob"), false), Err(SourceRefusal::Taken));
        let by_secret = StreamSource { holder: Some(Holder::Secret), ..source(BOB) };
        assert_eq!(streams.set_source(&key("a"), by_secret, false), Err(SourceRefusal::Taken));
        assert_eq!(streams.set_source(&key("a"), of(BOB, "ann"), false), Ok(Some(ALICE)));
    }

    #[test]
    fn one_session_takes_a_bounded_number_of_names() {
        let streams = Streams::default();
        for number in 0..NAMES_OF_SESSION_MAX {
            assert_eq!(streams.set_source(&key(&number.to_string()), source(ALICE), false), Ok(None));
        }
        let refused = streams.set_source(&key("more"), source(ALICE), false);
        assert_eq!(refused, Err(SourceRefusal::TooManyNames));
        assert!(streams.find(&key("more")).is_none());
    }
}
