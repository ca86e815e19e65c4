//! One session as control knows it: its committed state, the turn of requests on it, its request budget.

pub(super) mod channels;
pub(super) mod draft;
pub(super) mod publication;
pub(super) mod tracks;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use crate::ids::{SessionId, ShardId};
use crate::negotiation::Negotiation;
use crate::plan::SessionPlan;
use crate::rtp::MediaKind;

use super::access::Owner;
use super::error::ApiError;
use super::locked;
use super::model::{DataChannelResult, NewTracksResponse, TrackState};
use super::registry::places::Place;
use super::registry::streams::StreamKey;
use channels::{Channels, DataChannel, Group, StreamIds};
use publication::{Phase, Publication, Subscription};
use tracks::{TakenSeat, Tracks};

/// What a request works on: a copy of it is changed, and becomes the session's when the whole has succeeded.
#[derive(Clone)]
pub(super) struct State {
    pub(super) negotiation: Negotiation,
    pub(super) tracks: Tracks,
    pub(super) channels: Channels,
    /// Sections that carry nothing, since client and publisher have no codec in common.
    pub(super) unplayable: BTreeSet<String>,
    /// Sections of a viewer that takes none of the codecs that its stream is sent in at present.
    pub(super) unshown: BTreeSet<String>,
    /// Our offer that waits for the client's answer.
    pub(super) pending: Option<Arc<PendingOffer>>,
    /// The plan that the shard has put into force.
    pub(super) configured: Option<Arc<SessionPlan>>,
    /// Whether the client has described itself; before that a shard has nothing to connect to.
    pub(super) described: bool,
}

/// An offer of ours and the request that led to it.
pub(super) struct PendingOffer {
    /// Publisher and name of each pulled track: names the request when it is repeated.
    pub(super) request: Vec<(String, String)>,
    pub(super) response: NewTracksResponse,
}

/// Who asked for a session, as far as that was said: for operators, not for what is allowed.
#[derive(Debug, Clone, Default)]
pub(super) struct Origin {
    /// The subject of the token.
    pub(super) subject: Option<Box<str>>,
    /// The label that the caller gave it.
    pub(super) correlation: Option<Box<str>>,
    /// The program that called.
    pub(super) user_agent: Option<Box<str>>,
}

impl Origin {
    /// Longest text of a caller that is kept.
    const CHARS_MAX: usize = 128;

    /// What a caller said of itself, as far as it is kept: no controls, and not too much.
    pub(super) fn kept(text: &str) -> Option<Box<str>> {
        let kept: String = text.chars().filter(|char| !char.is_control()).take(Self::CHARS_MAX).collect();
        (!kept.is_empty()).then(|| kept.into())
    }
}

/// One session.
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) app: Box<str>,
    pub(super) shard: ShardId,
    /// Whose token made it; `None` when it was the secret.
    pub(super) owner: Option<Owner>,
    /// Who asked for it.
    pub(super) origin: Box<Origin>,
    /// Its place among all sessions.
    place: Place,
    /// Its place among those that call out, given back with it.
    _call: Option<OwnedSemaphorePermit>,
    opened_at: Instant,
    connected: AtomicBool,
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Those who wait for an offer of ours to be answered, first come first served.
    line: tokio::sync::Mutex<()>,
    /// Whether an offer of ours is pending.
    pending: watch::Sender<bool>,
    /// Told whenever its state has changed.
    changes: watch::Sender<()>,
    /// `None` after the end.
    state: Mutex<Option<State>>,
    budget: Mutex<Budget>,
    /// What the shard says of its SCTP streams.
    streams: Mutex<StreamIds>,
}

impl Session {
    pub(super) fn new(
        id: SessionId,
        app: &str,
        owner: Option<Owner>,
        origin: Origin,
        shard: ShardId,
        negotiation: Negotiation,
        (place, call): (Place, Option<OwnedSemaphorePermit>),
    ) -> Arc<Self> {
        let state = State {
            negotiation,
            tracks: Tracks::default(),
            channels: Channels::default(),
            unplayable: BTreeSet::new(),
            unshown: BTreeSet::new(),
            pending: None,
            configured: None,
            described: false,
        };
        let now = Instant::now();
        Arc::new(Self {
            id,
            app: app.into(),
            shard,
            owner,
            origin: Box::new(origin),
            place,
            _call: call,
            opened_at: now,
            connected: AtomicBool::new(false),
            turn: Arc::default(),
            line: tokio::sync::Mutex::default(),
            pending: watch::channel(false).0,
            changes: watch::channel(()).0,
            state: Mutex::new(Some(state)),
            budget: Mutex::new(Budget::new(now)),
            streams: Mutex::default(),
        })
    }

    /// Tells in the log what it does with a stream.
    pub(super) fn tell_stream(&self, stream: &StreamKey, what: &str) {
        let (app, stream, subject) = (&*stream.app, &*stream.name, self.origin.subject.as_deref());
        tracing::info!(session = %self.id, app, stream, subject, "{what}");
    }

    pub(super) fn age(&self) -> Duration {
        self.opened_at.elapsed()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    pub(super) fn set_connected(&self) {
        self.connected.store(true, Ordering::Relaxed);
        self.place.connected();
    }

    /// Waits for the requests that came before, in their order.
    pub(super) async fn turn(&self, deadline: Instant) -> Result<OwnedMutexGuard<()>, ApiError> {
        let turn = Arc::clone(&self.turn).lock_owned();
        tokio::time::timeout_at(deadline, turn).await.map_err(|_| {
            let text = "an earlier request on this session is still being worked on";
            ApiError::description(text, Some(ApiError::HAVE_REMOTE_OFFER))
        })
    }

    /// The same, and until no offer of ours is pending.
    pub(super) async fn settled_turn(&self, deadline: Instant) -> Result<OwnedMutexGuard<()>, ApiError> {
        let unanswered = |_| {
            let text = "an earlier offer still waits for the client's answer";
            ApiError::description(text, Some(ApiError::HAVE_LOCAL_OFFER))
        };
        // Kept while it waits: whoever comes later would otherwise be as likely to be the next.
        let _place = tokio::time::timeout_at(deadline, self.line.lock()).await.map_err(unanswered)?;
        let mut pending = self.pending.subscribe();
        loop {
            let guard = self.turn(deadline).await?;
            if !*pending.borrow_and_update() {
                return Ok(guard);
            }
            drop(guard);
            let answered = pending.wait_for(|pending| !pending);
            drop(tokio::time::timeout_at(deadline, answered).await.map_err(unanswered)?);
        }
    }

    /// A copy of the state; `None` after the end.
    pub(super) fn state(&self) -> Option<State> {
        locked(&self.state).clone()
    }

    /// Takes a changed copy as the state; false after the end.
    pub(super) fn store(&self, state: State) -> bool {
        let pending = state.pending.is_some();
        let old = {
            let mut present = locked(&self.state);
            if present.is_none() {
                return false;
            }
            present.replace(state)
        };
        // Dropped outside of the lock: it may hold the last of some subscriptions.
        drop(old);
        self.pending.send_replace(pending);
        true
    }

    /// Has the next request configure the shard even if its plan is the one that was in force, after one that may or may
    /// not have been carried out.
    pub(super) fn forget_plan(&self, tried: Option<&SessionPlan>) {
        if let Some(state) = locked(&self.state).as_mut() {
            state.configured = None;
            if let Some(tried) = tried {
                let kept: Vec<u32> = tried.egress.iter().map(|egress| egress.ssrc).collect();
                state.negotiation.burn_all_but(&kept);
            }
        }
    }

    /// Ends the session for control; returns its publications, all closed.
    pub(super) fn end(&self) -> Vec<Arc<Publication>> {
        let state = locked(&self.state).take();
        self.place.give_back();
        self.pending.send_replace(false);
        self.changes.send_replace(());
        let publications: Vec<_> =
            state.iter().flat_map(|state| state.tracks.publications()).cloned().collect();
        for publication in &publications {
            publication.set_phase(Phase::Closed);
        }
        if let Some(state) = &state {
            state.channels.end();
        }
        publications
    }

    /// A publication by its name, unless it is closed.
    pub(super) fn publication(&self, name: &str) -> Option<Arc<Publication>> {
        let found = locked(&self.state).as_ref()?.tracks.publication(name).cloned();
        found.filter(|publication| publication.phase() != Phase::Closed)
    }

    /// Its publications, unless they are closed.
    pub(super) fn publications(&self) -> Vec<Arc<Publication>> {
        let state = locked(&self.state);
        let publications = state.iter().flat_map(|state| state.tracks.publications());
        publications.filter(|publication| publication.phase() != Phase::Closed).cloned().collect()
    }

    /// Whether an offer of ours waits for the client's answer, also one that is not rolled back.
    pub(super) fn has_pending_offer(&self) -> bool {
        locked(&self.state).as_ref().is_some_and(|state| state.negotiation.pending_offer())
    }

    /// The sections in which the client receives nothing for want of a codec in common with what they would carry.
    pub(super) fn unplayable(&self) -> Vec<(String, Option<MediaKind>)> {
        let state = locked(&self.state);
        let Some(state) = state.as_ref() else { return Vec::new() };
        let kind = |mid: &String| state.negotiation.section_state(mid).and_then(|section| section.kind);
        state.unplayable.union(&state.unshown).map(|mid| (mid.clone(), kind(mid))).collect()
    }

    /// The first section in which the client is sent video.
    pub(super) fn video_section(&self) -> Option<String> {
        let state = locked(&self.state);
        let mut sections = state.as_ref()?.negotiation.sections();
        sections
            .find(|section| section.kind == Some(MediaKind::Video) && section.sends)
            .map(|found| found.mid)
    }

    /// Follows the changes of its state.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Tells those who follow it that its state has changed.
    pub(super) fn changed(&self) {
        self.changes.send_replace(());
    }

    /// What an open remote section receives at present.
    pub(super) fn subscription(&self, mid: &str) -> Option<Arc<Subscription>> {
        locked(&self.state).as_ref()?.tracks.remote(mid).cloned()
    }

    /// The seats of a stage that it receives.
    pub(super) fn seats_of(&self, stage: &str) -> Vec<TakenSeat> {
        locked(&self.state).as_ref().map(|state| state.tracks.seats_of(stage)).unwrap_or_default()
    }

    /// Whether an open section receives a seat.
    pub(super) fn receives_seat(&self, mid: &str) -> bool {
        locked(&self.state).as_ref().is_some_and(|state| state.tracks.seat(mid).is_some())
    }

    /// The stages of which it receives seats.
    pub(super) fn watched_stages(&self) -> BTreeSet<Arc<str>> {
        locked(&self.state).as_ref().map(|state| state.tracks.watched_stages()).unwrap_or_default()
    }

    /// The kind of an open remote section.
    pub(super) fn remote_kind(&self, mid: &str) -> Option<MediaKind> {
        locked(&self.state).as_ref()?.negotiation.section_state(mid)?.kind
    }

    /// A `mid` as clients write it, or the section that receives the given track.
    pub(super) fn subscriber_mid(
        &self,
        mid: Option<&str>,
        source: Option<(SessionId, &str)>,
    ) -> Option<String> {
        let state = locked(&self.state);
        let tracks = &state.as_ref()?.tracks;
        match (mid.filter(|mid| !mid.is_empty()), source) {
            (Some(mid), _) => tracks.resolve_mid(mid),
            (None, Some((publisher, name))) => tracks.mid_receiving(publisher, name).map(str::to_owned),
            (None, None) => None,
        }
    }

    /// Its tracks as clients see them; `None` after the end.
    pub(super) fn track_states(&self) -> Option<Vec<TrackState>> {
        locked(&self.state).as_ref().map(|state| state.tracks.states())
    }

    /// What the shard says of its SCTP streams.
    pub(super) fn streams(&self) -> MutexGuard<'_, StreamIds> {
        locked(&self.streams)
    }

    /// A data channel that it publishes, by its name.
    pub(super) fn data_channel(&self, name: &str) -> Option<Arc<DataChannel>> {
        locked(&self.state).as_ref()?.channels.published(name, &self.streams())
    }

    /// Its data channels as clients see them; `None` after the end.
    pub(super) fn channel_states(&self) -> Option<Vec<DataChannelResult>> {
        locked(&self.state).as_ref().map(|state| state.channels.states(&self.streams()))
    }

    /// The group that its in-band data channels belong to.
    pub(super) fn group(&self) -> Option<Arc<Group>> {
        locked(&self.state).as_ref()?.channels.group.clone()
    }

    /// Takes one request off the budget.
    pub(super) fn spend(&self, per_second: u64, burst: u64) -> Result<(), ApiError> {
        locked(&self.budget).spend(Instant::now(), per_second, burst)
    }
}

/// A token bucket, kept as what has been spent and not yet regained.
pub(super) struct Budget {
    spent: f64,
    at: Instant,
}

impl Budget {
    pub(super) fn new(now: Instant) -> Self {
        Self { spent: 0.0, at: now }
    }

    /// Whether all that was spent is regained.
    #[expect(clippy::cast_precision_loss, reason = "limits are far below 2^52")]
    pub(super) fn is_full(&self, now: Instant, per_second: u64) -> bool {
        now.saturating_duration_since(self.at).as_secs_f64() * per_second as f64 >= self.spent
    }

    #[expect(clippy::cast_precision_loss, reason = "limits are far below 2^52")]
    pub(super) fn spend(&mut self, now: Instant, per_second: u64, burst: u64) -> Result<(), ApiError> {
        let regained = now.saturating_duration_since(self.at).as_secs_f64() * per_second as f64;
        self.at = now;
        self.spent = (self.spent - regained).max(0.0);
        if self.spent + 1.0 > burst as f64 {
            return Err(ApiError::RateLimited);
        }
        self.spent += 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budget_allows_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let mut budget = Budget { spent: 0.0, at: start };
        let mut allowed = |at| (0..200).filter(|_| budget.spend(at, 50, 50).is_ok()).count();
        assert_eq!(allowed(start), 50);
        assert_eq!(allowed(start + Duration::from_millis(100)), 5);
        assert_eq!(allowed(start + Duration::from_secs(60)), 50);
    }
}
