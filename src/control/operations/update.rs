//! tracks/update: another layer, or another source, in a section that the client already receives.

use std::sync::Arc;

use tokio::time::Instant;

use crate::ids::SessionId;

use super::super::Control;
use super::super::error::{ApiError, ItemError};
use super::super::model::{ChangeTracksResponse, Location, TrackRequest, TrackResult};
use super::super::session::Session;
use super::super::session::draft::{Draft, check_name};
use super::super::session::publication::Subscription;
use super::pull::{Found, named};

/// What is to be done to one section.
enum Change {
    Preference,
    Found(Found),
}

impl Control {
    /// Changes subscriptions in place, without any description.
    pub(in super::super) async fn update_tracks(
        self: &Arc<Self>,
        session: &Arc<Session>,
        tracks: &[TrackRequest],
    ) -> Result<ChangeTracksResponse, ApiError> {
        if tracks.is_empty() {
            return Err(ApiError::params("tracks is empty"));
        }
        self.check_count(tracks.len())?;
        for track in tracks {
            if track.session_id.is_some() != track.track_name.is_some() {
                return Err(ApiError::params("give both sessionId and trackName, or neither"));
            }
            if track.track_name.is_some() {
                check_name(track.track_name.as_deref())?;
            }
        }
        let deadline = Instant::now() + self.rules().limits.pull_hold();
        let mut changes = Vec::with_capacity(tracks.len());
        for track in tracks {
            changes.push(self.change(session, track, deadline).await);
        }
        let mut draft = Draft::begin(self, session).await?;
        let results = tracks.iter().zip(changes).map(|(track, change)| {
            let outcome =
                change.and_then(|(mid, change)| apply(&mut draft, &mid, change, track).map(|()| mid));
            result(track, outcome)
        });
        let tracks = results.collect();
        draft.commit().await?;
        self.follow_seats(session);
        Ok(ChangeTracksResponse {
            requires_immediate_renegotiation: false,
            tracks,
            session_description: None,
        })
    }

    async fn change(
        &self,
        session: &Session,
        track: &TrackRequest,
        deadline: Instant,
    ) -> Result<(String, Change), ItemError> {
        if track.location == Some(Location::Local) {
            return Err(ItemError::Update("a local track has nothing to update".into()));
        }
        let source = named(self, track);
        let asked = source.as_ref().map(|(publisher, name)| (*publisher, name.as_str()));
        let absent = || ItemError::TrackNotFound("this session receives no track with this mid".into());
        let mid = meant(session, track.mid.as_deref(), asked).ok_or_else(absent)?;
        let present = session.subscription(&mid);
        if present.is_none() && !session.receives_seat(&mid) {
            return Err(absent());
        }
        let (Some(publisher), Some(name)) = (&track.session_id, &track.track_name) else {
            return Ok((mid, Change::Preference));
        };
        let is_present = |(of, name): (SessionId, &str)| {
            let is_source =
                |present: &Arc<Subscription>| of == present.source.session && *name == *present.source.name;
            present.as_ref().is_some_and(is_source)
        };
        if asked.is_some_and(is_present) && !session.receives_seat(&mid) {
            return Ok((mid, Change::Preference));
        }
        let found = self.find(session, publisher, name, deadline).await?;
        Ok((mid, Change::Found(found)))
    }
}

/// The section that is meant: the named one; where that cannot carry the track, the one that receives the track
/// already. Clients are known to name the section in which the track is published, by another session.
fn meant(session: &Session, mid: Option<&str>, asked: Option<(SessionId, &str)>) -> Option<String> {
    let kind = |mid: &str| session.remote_kind(mid);
    let named = mid.and_then(|mid| session.subscriber_mid(Some(mid), None));
    let receiving = asked.and_then(|source| session.subscriber_mid(None, Some(source)));
    match (named, receiving) {
        (Some(named), Some(receiving)) if kind(&named) != kind(&receiving) => Some(receiving),
        (Some(named), _) => Some(named),
        (None, receiving) => receiving,
    }
}

fn apply(draft: &mut Draft, mid: &str, change: Change, track: &TrackRequest) -> Result<(), ItemError> {
    let absent = || ItemError::TrackNotFound("this session receives no track with this mid".into());
    let present = draft.state.tracks.remote(mid).and_then(|present| present.source.media());
    let seat = draft.state.tracks.seat(mid).cloned();
    if present.is_none() && seat.is_none() {
        return Err(absent());
    }
    let kind = draft.negotiation().section_state(mid).and_then(|section| section.kind);
    match change {
        // Whoever sits down next may have layers.
        Change::Preference if seat.is_none() && present.is_some_and(|media| media.rids.is_empty()) => {
            Err(ItemError::Update("this track is not configured for simulcast".into()))
        }
        Change::Preference => {
            let wish = track.simulcast.clone();
            let preference = wish.as_ref().map(Into::into).unwrap_or_default();
            draft.negotiation().set_preference(mid, preference);
            draft.state.tracks.set_wish(mid, wish);
            Ok(())
        }
        Change::Found(found) if Some(found.kind()) != kind => {
            Err(ItemError::Update("audio and video cannot take each other's place".into()))
        }
        Change::Found(Found::Track(source)) => {
            draft.show_seat(mid, Some(&source))?;
            draft.leave_seat(mid);
            draft.switch(mid, &source, track.simulcast.clone())
        }
        Change::Found(Found::Seat(_, Some(source))) if !draft.negotiation().can_carry(mid, &source.media) => {
            Err(ItemError::Update("the section takes none of the codecs that the track is sent in".into()))
        }
        Change::Found(Found::Seat(seat, source)) => {
            let taken = draft.state.tracks.remote(mid).cloned();
            draft.state.tracks.set_seat(mid, seat, taken, track.simulcast.clone());
            draft.show_seat(mid, source.as_ref())
        }
    }
}

fn result(track: &TrackRequest, outcome: Result<String, ItemError>) -> TrackResult {
    let result = TrackResult {
        session_id: track.session_id.clone(),
        track_name: track.track_name.clone(),
        simulcast: track.simulcast.clone(),
        ..TrackResult::at(track.mid.as_deref())
    };
    match outcome {
        Ok(mid) => TrackResult { mid: Some(mid), ..result },
        Err(error) => result.failed(&error),
    }
}
