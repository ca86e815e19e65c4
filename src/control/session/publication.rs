//! One (session, track name) and what control knows of its media.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use crate::ids::{PublicationId, SessionId, ShardId};
use crate::negotiation::PublishedMedia;

use super::super::locked;

/// Where a publication stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Phase {
    /// Accepted; no RTP has come yet.
    Declared,
    /// RTP comes.
    Live,
    /// RTP came, but not for the publication timeout.
    Idle,
    /// Ended by its publisher; the same name may return.
    Closed,
}

/// What subscribers need to know.
#[derive(Debug, Clone)]
pub(in super::super) struct View {
    pub(in super::super) phase: Phase,
    /// Absent until the client has answered an offer of ours for this track.
    pub(in super::super) media: Option<Arc<PublishedMedia>>,
}

/// One (session, track name); it keeps its id whatever feeds it.
pub(in super::super) struct Publication {
    pub(in super::super) id: PublicationId,
    pub(in super::super) session: SessionId,
    pub(in super::super) shard: ShardId,
    pub(in super::super) name: Arc<str>,
    view: watch::Sender<View>,
    /// Subscribing sessions by the number of the subscription.
    subscribers: Mutex<BTreeMap<u64, SessionId>>,
}

impl fmt::Debug for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} {:?}", self.id, self.name, self.phase())
    }
}

static NEXT_SUBSCRIPTION: AtomicU64 = AtomicU64::new(1);

impl Publication {
    pub(in super::super) fn new(
        id: PublicationId,
        session: SessionId,
        shard: ShardId,
        name: Arc<str>,
    ) -> Arc<Self> {
        let (view, _) = watch::channel(View { phase: Phase::Declared, media: None });
        Arc::new(Self { id, session, shard, name, view, subscribers: Mutex::default() })
    }

    pub(in super::super) fn phase(&self) -> Phase {
        self.view.borrow().phase
    }

    pub(in super::super) fn media(&self) -> Option<Arc<PublishedMedia>> {
        self.view.borrow().media.clone()
    }

    pub(in super::super) fn watch(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    pub(in super::super) fn set_phase(&self, phase: Phase) {
        self.view.send_if_modified(|view| std::mem::replace(&mut view.phase, phase) != phase);
    }

    /// Moves from `from` to `to`; stays where it is otherwise.
    pub(in super::super) fn advance(&self, from: &[Phase], to: Phase) -> bool {
        self.view.send_if_modified(|view| {
            let moves = from.contains(&view.phase);
            if moves {
                view.phase = to;
            }
            moves
        })
    }

    /// Takes what the publisher negotiated; returns whether subscribers have to be told.
    pub(in super::super) fn set_media(&self, media: &Arc<PublishedMedia>) -> bool {
        let mut changed = false;
        self.view.send_if_modified(|view| {
            if view.media.as_ref() == Some(media) {
                return false;
            }
            changed = view.media.replace(Arc::clone(media)).is_some();
            true
        });
        changed
    }

    pub(in super::super) fn subscriber_count(&self) -> usize {
        locked(&self.subscribers).len()
    }

    /// Sessions that subscribe to it, each once.
    pub(in super::super) fn subscribers(&self) -> Vec<SessionId> {
        let mut sessions: Vec<SessionId> = locked(&self.subscribers).values().copied().collect();
        sessions.sort_unstable();
        sessions.dedup();
        sessions
    }
}

/// One session's receipt of a publication; the publication knows of it as long as this value lives.
#[derive(Debug)]
pub(in super::super) struct Subscription {
    pub(in super::super) source: Arc<Publication>,
    number: u64,
}

impl Subscription {
    pub(in super::super) fn new(source: Arc<Publication>, subscriber: SessionId) -> Arc<Self> {
        let number = NEXT_SUBSCRIPTION.fetch_add(1, Ordering::Relaxed);
        locked(&source.subscribers).insert(number, subscriber);
        Arc::new(Self { source, number })
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        locked(&self.source.subscribers).remove(&self.number);
    }
}
