//! One request's work on a session: a copy of its state, the turn that keeps other requests away, and what has
//! to be told to others once the whole has succeeded. A draft that is dropped changes nothing.

use std::sync::{Arc, Weak};

use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use crate::negotiation::{
    BindError, Negotiation, NegotiationError, OfferSummary, Place, PublishedMedia, RemoteSource,
};
use crate::plan::{LayerPreference, SessionPlan};
use crate::rtp::MediaKind;

use super::super::Control;
use super::super::error::{ApiError, ItemError};
use super::super::model::{NewTracksResponse, Simulcast};
use super::super::registry::stages::Seat;
use super::publication::{Phase, Publication, Subscription};
use super::{PendingOffer, Session, State};

/// Longest name of a track.
const NAME_BYTES_MAX: usize = 512;

/// The changes of one request.
pub(in super::super) struct Draft {
    control: Arc<Control>,
    session: Arc<Session>,
    /// Kept until the changes are in force or given up.
    _turn: OwnedMutexGuard<()>,
    pub(in super::super) state: State,
    /// Publications that are new, or return.
    begun: Vec<Arc<Publication>>,
    closed: Vec<Arc<Publication>>,
    /// Whether this request made the offer that is pending.
    new_offer: bool,
    /// The plan that the shard was given, and may have carried out.
    tried: Option<Arc<SessionPlan>>,
}

/// A publication that can be subscribed to.
#[derive(Debug, Clone)]
pub(in super::super) struct Source {
    pub(in super::super) publication: Arc<Publication>,
    pub(in super::super) media: Arc<PublishedMedia>,
}

impl Source {
    fn with(&self, preference: LayerPreference) -> RemoteSource {
        RemoteSource {
            publication: self.publication.id,
            origin: self.publication.shard,
            media: PublishedMedia::clone(&self.media),
            stream_label: self.publication.session.to_string(),
            preference,
        }
    }
}

impl Draft {
    /// Takes the session's turn.
    pub(in super::super) async fn begin(
        control: &Arc<Control>,
        session: &Arc<Session>,
    ) -> Result<Self, ApiError> {
        Self::begin_by(control, session, Instant::now() + control.rules().limits.queue()).await
    }

    /// Takes the session's turn before a moment.
    pub(in super::super) async fn begin_by(
        control: &Arc<Control>,
        session: &Arc<Session>,
        deadline: Instant,
    ) -> Result<Self, ApiError> {
        let turn = session.turn(deadline).await?;
        Self::with_turn(control, session, turn)
    }

    /// Takes the session's turn before a moment, when no offer of ours is pending.
    pub(in super::super) async fn begin_settled(
        control: &Arc<Control>,
        session: &Arc<Session>,
        deadline: Instant,
    ) -> Result<Self, ApiError> {
        let turn = session.settled_turn(deadline).await?;
        Self::with_turn(control, session, turn)
    }

    fn with_turn(
        control: &Arc<Control>,
        session: &Arc<Session>,
        turn: OwnedMutexGuard<()>,
    ) -> Result<Self, ApiError> {
        let state = session.state().ok_or(ApiError::SessionGone)?;
        Ok(Self {
            control: Arc::clone(control),
            session: Arc::clone(session),
            _turn: turn,
            state,
            begun: Vec::new(),
            closed: Vec::new(),
            new_offer: false,
            tried: None,
        })
    }

    pub(in super::super) fn negotiation(&mut self) -> &mut Negotiation {
        &mut self.state.negotiation
    }

    /// Takes a client's offer. A pending offer of ours gives way to it.
    pub(in super::super) fn client_offer(&mut self, sdp: &str) -> Result<OfferSummary, ApiError> {
        self.drop_pending();
        let (keys, shard) = (&self.control.keys, self.session.shard);
        let summary = self.state.negotiation.client_offer(sdp, &mut || keys.mint_ice(shard))?;
        if summary.sections.len() > self.control.rules().limits.sections_per_session.size() {
            return Err(ApiError::params("the description has too many media sections"));
        }
        self.state.described = true;
        for ended in &summary.ended {
            self.close_local(&ended.mid);
            self.state.tracks.close_remote(&ended.mid);
        }
        Ok(summary)
    }

    /// Takes the client's answer to our offer; what it rejects is closed.
    pub(in super::super) fn client_answer(&mut self, sdp: &str) -> Result<(), NegotiationError> {
        let summary = self.state.negotiation.client_answer(sdp)?;
        self.state.described = true;
        self.state.pending = None;
        for mid in &summary.rejected {
            self.force_close(mid);
        }
        self.state.unplayable.extend(summary.unplayable);
        let State { tracks, negotiation, .. } = &mut self.state;
        let asked = tracks.locals().filter(|(mid, named)| negotiation.local(mid) != Some(named.id));
        let asked: Vec<_> = asked.map(|(mid, named)| (mid.to_owned(), named.id)).collect();
        for (mid, publication) in asked {
            if self.state.negotiation.bind_local(&mid, publication).is_err() {
                self.close_local(&mid);
            }
        }
        Ok(())
    }

    /// Gives up our unanswered offer and what stands only in it.
    pub(in super::super) fn drop_pending(&mut self) {
        if self.state.pending.take().is_none() {
            return;
        }
        for ended in self.state.negotiation.rollback() {
            if ended.local.is_some() || ended.asked {
                self.close_local(&ended.mid);
            }
            if ended.remote {
                self.state.tracks.close_remote(&ended.mid);
            }
        }
    }

    /// Makes our answer.
    pub(in super::super) fn answer(&mut self) -> String {
        self.state.negotiation.answer()
    }

    /// Makes our offer for what has changed.
    pub(in super::super) fn create_offer(&mut self) -> Result<String, ApiError> {
        let sdp = self.state.negotiation.create_offer();
        let sections = sdp.lines().filter(|line| line.starts_with("m=")).count();
        if sections > self.control.rules().limits.sections_per_session.size() {
            return Err(ApiError::params("the session has too many media sections"));
        }
        Ok(sdp)
    }

    /// Keeps our offer pending until it is answered; `response` is what the client gets.
    pub(in super::super) fn expect(&mut self, request: Vec<(String, String)>, response: NewTracksResponse) {
        self.state.pending = Some(Arc::new(PendingOffer { request, response }));
        self.new_offer = true;
    }

    /// Publishes what the client sends in a section under a name.
    ///
    /// A repeat changes nothing; a name that is fed from elsewhere moves here; another name of this section ends.
    pub(in super::super) fn publish(&mut self, mid: &str, name: &str) -> Result<MediaKind, ItemError> {
        let present = self.state.tracks.local(mid).filter(|present| &*present.name == name);
        let publication = present.cloned().unwrap_or_else(|| self.named(name));
        let media = self.state.negotiation.bind_local(mid, publication.id).map_err(|error| match error {
            BindError::NoSection => {
                ItemError::TrackNotFound(format!("the description has no live section with mid {mid:?}"))
            }
            BindError::NotSending => ItemError::TrackNotFound(error.to_string()),
            other => ItemError::TransportUnavailable(other.to_string()),
        })?;
        if self.state.tracks.local(mid).is_some_and(|present| present.id == publication.id) {
            return Ok(media.kind);
        }
        if let Some(elsewhere) = self.state.tracks.mid_of(name).map(str::to_owned) {
            self.state.negotiation.unbind_local(&elsewhere);
            self.state.tracks.close_local(&elsewhere);
        }
        // The binding is replaced already; what is left is to tell of the end of the other name.
        if let Some(other) = self.state.tracks.close_local(mid) {
            self.end_publication(other);
        }
        self.state.tracks.set_local(mid, &publication);
        self.begin_publication(publication);
        Ok(media.kind)
    }

    /// Offers a section in which the client shall send under a name.
    pub(in super::super) fn offer_local(
        &mut self,
        name: &str,
        kind: MediaKind,
        both_ways: bool,
    ) -> Result<String, ItemError> {
        if let Some(present) = self.state.tracks.mid_of(name) {
            return Ok(present.to_owned());
        }
        let mid = self.state.negotiation.add_offered_local(kind, both_ways);
        let mid = mid.map_err(|error| ItemError::TransportUnavailable(error.to_string()))?;
        let publication = self.named(name);
        self.state.tracks.set_local(&mid, &publication);
        self.begin_publication(publication);
        Ok(mid)
    }

    fn named(&self, name: &str) -> Arc<Publication> {
        let known = self.state.tracks.publication(name).cloned();
        known.unwrap_or_else(|| {
            let id = self.control.keys.mint_publication();
            Publication::new(id, self.session.id, self.session.shard, name.into())
        })
    }

    fn begin_publication(&mut self, publication: Arc<Publication>) {
        self.closed.retain(|closed| closed.id != publication.id);
        self.begun.push(publication);
    }

    fn end_publication(&mut self, publication: Arc<Publication>) {
        self.begun.retain(|begun| begun.id != publication.id);
        self.closed.push(publication);
    }

    /// Subscribes to a publication in a section; returns its mid.
    pub(in super::super) fn subscribe(
        &mut self,
        source: &Source,
        place: Place,
        simulcast: Option<Simulcast>,
    ) -> Result<String, ItemError> {
        let most = self.control.rules().limits.subscriptions_per_publication.size();
        if source.publication.subscriber_count() >= most {
            return Err(ItemError::Unavailable("this track has as many subscribers as this server allows"));
        }
        let preference = simulcast.as_ref().map(LayerPreference::from).unwrap_or_default();
        let mid = self.state.negotiation.bind_remote(source.with(preference), place);
        let mid = mid.map_err(|error| unbindable(error, source))?;
        let subscription = Subscription::new(Arc::clone(&source.publication), self.session.id);
        self.state.tracks.set_remote(&mid, subscription, simulcast);
        Ok(mid)
    }

    /// Feeds an open remote section from another publication, or anew from the same.
    pub(in super::super) fn switch(
        &mut self,
        mid: &str,
        source: &Source,
        simulcast: Option<Simulcast>,
    ) -> Result<(), ItemError> {
        let preference = simulcast.as_ref().map(LayerPreference::from).unwrap_or_default();
        let switched = self.state.negotiation.switch_source(mid, source.with(preference));
        switched.map_err(|error| unbindable(error, source))?;
        let subscription = Subscription::new(Arc::clone(&source.publication), self.session.id);
        match self.state.tracks.seat(mid).cloned() {
            Some(seat) => self.state.tracks.set_seat(mid, seat, Some(subscription), simulcast),
            None => self.state.tracks.set_remote(mid, subscription, simulcast),
        }
        Ok(())
    }

    /// Receives a seat in a section, and in it the track of whoever sits there; returns its mid.
    pub(in super::super) fn take_seat(
        &mut self,
        seat: &Arc<Seat>,
        source: Option<&Source>,
        place: Place,
        simulcast: Option<Simulcast>,
    ) -> Result<String, ItemError> {
        if place != Place::Offered {
            let source = source.ok_or(ItemError::Empty("; nobody sits there yet"))?;
            let mid = self.subscribe(source, place, simulcast.clone())?;
            let subscription = self.state.tracks.remote(&mid).cloned();
            self.state.tracks.set_seat(&mid, Arc::clone(seat), subscription, simulcast);
            return Ok(mid);
        }
        let preference = simulcast.as_ref().map(LayerPreference::from).unwrap_or_default();
        let first = source.map(|source| source.with(preference));
        let mid = self.state.negotiation.offer_seat(seat.kind, &seat.stream_label(), first);
        let mid = mid.map_err(|error| match source {
            Some(source) => unbindable(error, source),
            None => ItemError::TransportUnavailable(error.to_string()),
        })?;
        let subscription =
            source.map(|source| Subscription::new(Arc::clone(&source.publication), self.session.id));
        self.state.tracks.set_seat(&mid, Arc::clone(seat), subscription, simulcast);
        Ok(mid)
    }

    /// Shows the track of whoever sits in a seat, or nothing, in the section that receives it.
    pub(in super::super) fn show_seat(
        &mut self,
        mid: &str,
        source: Option<&Source>,
    ) -> Result<(), ItemError> {
        let Some(seat) = self.state.tracks.seat(mid).cloned() else { return Ok(()) };
        let wish = self.state.tracks.wish(mid).cloned();
        let is_bound =
            self.state.negotiation.section_state(mid).is_some_and(|section| section.remote.is_some());
        match source {
            Some(source) if is_bound => return self.switch(mid, source, wish),
            Some(source) => {
                self.subscribe(source, Place::Existing(mid.to_owned()), wish.clone())?;
            }
            None => {
                let nothing = self.control.nothing(seat.kind);
                self.state.negotiation.vacate(mid, nothing, self.session.shard);
                self.state.tracks.set_seat(mid, seat, None, wish);
                return Ok(());
            }
        }
        let subscription = self.state.tracks.remote(mid).cloned();
        self.state.tracks.set_seat(mid, seat, subscription, wish);
        Ok(())
    }

    /// Makes a section that receives a seat one that receives a track, from the next switch on.
    pub(in super::super) fn leave_seat(&mut self, mid: &str) {
        if let Some(present) = self.state.tracks.remote(mid).cloned()
            && self.state.tracks.seat(mid).is_some()
        {
            let wish = self.state.tracks.wish(mid).cloned();
            self.state.tracks.set_remote(mid, present, wish);
        }
    }

    /// Ends what a section feeds; false when it feeds nothing.
    pub(in super::super) fn close_local(&mut self, mid: &str) -> bool {
        let Some(publication) = self.state.tracks.close_local(mid) else { return false };
        self.state.negotiation.unbind_local(mid);
        self.end_publication(publication);
        true
    }

    /// Ends both directions of a section whatever the client's description says; false when both were closed.
    pub(in super::super) fn force_close(&mut self, mid: &str) -> bool {
        let local = self.close_local(mid);
        let remote = self.state.tracks.close_remote(mid);
        self.state.unplayable.remove(mid);
        if remote {
            self.state.negotiation.unbind_remote(mid);
        }
        local || remote
    }

    /// Puts the changes into force: first on the shard, then here, then for those who watch.
    pub(in super::super) async fn commit(mut self) -> Result<(), ApiError> {
        for publication in &self.begun {
            // Known before the shard is told, so that news of its first packet finds it.
            self.control.registry.announce(publication);
            publication.advance(&[Phase::Closed], Phase::Declared);
        }
        let channels = self.state.channels.take_closed();
        self.session.streams().begin_closing(&channels);
        if let Err(error) = self.configure().await {
            // The shard may still carry it out: whoever is next has to say what holds.
            self.session.forget_plan(self.tried.as_deref());
            self.session.streams().keep(&channels);
            retract(&self.control, &self.session, &self.begun);
            return Err(error);
        }
        let Self { control, session, _turn: turn, mut state, begun, closed, new_offer, tried: _ } = self;
        let forgotten = state.tracks.prune();
        let offer = state.pending.clone().filter(|_| new_offer);
        let media = negotiated_media(&state);
        if !session.store(state) {
            retract(&control, &session, &begun);
            return Err(ApiError::SessionGone);
        }
        session.streams().closed(&channels);
        for channel in &channels {
            channel.end();
        }
        for publication in &closed {
            publication.set_phase(Phase::Closed);
        }
        for publication in &forgotten {
            control.registry.forget(publication);
        }
        let mut are_others = !begun.is_empty() || !closed.is_empty();
        for (publication, media) in media {
            are_others |= publication.media().is_none();
            if publication.set_media(&media) {
                refresh_subscribers(&control, &Source { publication, media });
            }
        }
        session.changed();
        if are_others {
            control.stages.changed(session.id);
        }
        if let Some(offer) = offer {
            expect_answer(&control, &session, &offer);
        }
        drop(turn);
        Ok(())
    }

    async fn configure(&mut self) -> Result<(), ApiError> {
        if !self.state.described {
            return Ok(());
        }
        let channels = self.state.channels.plan();
        let plan = Arc::new(SessionPlan { channels, ..self.state.negotiation.plan() });
        note_unplayable(&mut self.state, &plan);
        if self.state.configured.as_ref() != Some(&plan) {
            self.tried = Some(Arc::clone(&plan));
            let before = self.state.configured.as_deref();
            self.control.configure(self.session.id, self.session.shard, (*plan).clone(), before).await?;
            self.state.configured = Some(plan);
        }
        Ok(())
    }
}

/// Notes the sections that carry nothing though something is bound to them, and forgets those that play or are gone.
fn note_unplayable(state: &mut State, plan: &SessionPlan) {
    let State { unplayable, negotiation, tracks, .. } = state;
    // What is bound may be sent in other codecs by now than those that it was bound for.
    let is_current = |mid: &str| {
        let media = tracks.remote(mid).and_then(|present| present.source.media());
        media.is_none_or(|media| negotiation.can_carry(mid, &media))
    };
    let plays = |mid: &str| plan.egress.iter().any(|egress| egress.mid == mid) && is_current(mid);
    let bound = || {
        negotiation
            .sections()
            .filter(|section| section.remote.is_some() && section.sends && !section.proposed)
    };
    unplayable.retain(|mid| negotiation.section_state(mid).is_some() && !plays(mid));
    if bound().count() > plan.egress.len() {
        unplayable.extend(bound().map(|section| section.mid).filter(|mid| !plays(mid)));
    }
}

/// Why a track cannot be received in a section.
fn unbindable(error: BindError, source: &Source) -> ItemError {
    let sent = source.media.codec_names();
    ItemError::TransportUnavailable(match error {
        BindError::NoCodec => {
            format!(
                "there is no codec in common: the track is sent as {sent}, which the section does not take"
            )
        }
        other => other.to_string(),
    })
}

fn negotiated_media(state: &State) -> Vec<(Arc<Publication>, Arc<PublishedMedia>)> {
    let answered = state.tracks.locals().filter(|(mid, _)| !state.negotiation.is_proposed(mid));
    let media = answered.filter_map(|(mid, publication)| {
        let media = state.negotiation.published_media(mid)?;
        Some((Arc::clone(publication), Arc::new(media)))
    });
    media.collect()
}

/// Takes back what was announced for changes that did not come into force.
fn retract(control: &Control, session: &Session, begun: &[Arc<Publication>]) {
    let known = session.state();
    let tracks = known.as_ref().map(|state| &state.tracks);
    for publication in begun {
        let named = tracks.and_then(|tracks| tracks.publication(&publication.name));
        let fed = tracks.is_some_and(|tracks| tracks.mid_of(&publication.name).is_some());
        let is_known = named.is_some_and(|named| named.id == publication.id);
        if !is_known || !fed {
            publication.set_phase(Phase::Closed);
        }
        if !is_known {
            control.registry.forget(publication);
        }
    }
}

/// Checks a name that a client gives to a track.
pub(in super::super) fn check_name(name: Option<&str>) -> Result<&str, ApiError> {
    match name {
        Some(name) if !name.is_empty() && name.len() <= NAME_BYTES_MAX => Ok(name),
        Some(_) => Err(ApiError::params(format!("trackName must have 1 to {NAME_BYTES_MAX} bytes"))),
        None => Err(ApiError::params("a track needs a trackName")),
    }
}

/// Rolls an offer of ours back when it is still unanswered after its time.
fn expect_answer(control: &Arc<Control>, session: &Arc<Session>, offer: &Arc<PendingOffer>) {
    let (control, session, offer) = (Arc::clone(control), Arc::downgrade(session), Arc::downgrade(offer));
    tokio::spawn(async move {
        tokio::time::sleep(control.rules().limits.pending_offer()).await;
        roll_back(&control, &session, &offer).await;
    });
}

/// Gives up one offer, unless it was answered or replaced.
async fn roll_back(control: &Arc<Control>, session: &Weak<Session>, offer: &Weak<PendingOffer>) {
    loop {
        let Some(session) = session.upgrade() else { return };
        let mut draft = match Draft::begin(control, &session).await {
            Ok(draft) => draft,
            Err(ApiError::SessionGone) => return,
            // The turn did not come within its time: wait for it again.
            Err(_) => continue,
        };
        let pending = draft.state.pending.as_ref();
        if pending.is_none_or(|pending| Arc::as_ptr(pending) != offer.as_ptr()) {
            return;
        }
        draft.drop_pending();
        tracing::debug!(session = %session.id, "an offer was not answered and is rolled back");
        match draft.commit().await {
            Err(ApiError::Overloaded) => {}
            _ => return,
        }
    }
}

/// Tells the sessions that subscribe to a publication that it is sent in another way.
fn refresh_subscribers(control: &Arc<Control>, source: &Source) {
    for subscriber in source.publication.subscribers() {
        let Some(session) = control.registry.session(subscriber) else { continue };
        let (control, source) = (Arc::clone(control), source.clone());
        tokio::spawn(async move {
            if let Err(error) = refresh(&control, &session, &source).await {
                tracing::debug!(session = %session.id, %error, "subscriptions could not follow their source");
            }
        });
    }
}

async fn refresh(control: &Arc<Control>, session: &Arc<Session>, source: &Source) -> Result<(), ApiError> {
    let mut draft = Draft::begin(control, session).await?;
    for (mid, simulcast) in draft.state.tracks.receiving(source.publication.id) {
        if let Err(error) = draft.switch(&mid, source, simulcast) {
            draft.state.unplayable.insert(mid.clone());
            tracing::debug!(session = %session.id, mid, %error, "a subscription could not follow its source");
        }
    }
    draft.commit().await
}
