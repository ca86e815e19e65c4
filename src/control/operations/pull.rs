//! tracks/new for remote tracks: the client subscribes.

use std::sync::Arc;

use tokio::time::Instant;

use crate::ids::SessionId;
use crate::negotiation::Place;
use crate::rtp::MediaKind;

use super::super::Control;
use super::super::error::{ApiError, ItemError};
use super::super::model::{NewTracksResponse, SessionDescription, TrackRequest, TrackResult};
use super::super::registry::stages::Seat;
use super::super::session::Session;
use super::super::session::draft::{Draft, Source, check_name};
use super::super::session::publication::Phase;

/// A track to pull: what was asked, and what was found.
struct Wanted<'a> {
    track: &'a TrackRequest,
    publisher: &'a str,
    name: &'a str,
    source: Result<Found, ItemError>,
}

/// What was found.
#[derive(Debug, Clone)]
pub(super) enum Found {
    /// A track.
    Track(Source),
    /// A seat, and the track of whoever sits there.
    Seat(Arc<Seat>, Option<Source>),
}

impl Control {
    /// Subscribes to tracks: in sections of the client's offer, in sections that it names, or in our own offer.
    pub(super) async fn pull(
        self: &Arc<Self>,
        session: &Arc<Session>,
        tracks: &[TrackRequest],
        offer: Option<&str>,
    ) -> Result<NewTracksResponse, ApiError> {
        let mut wanted = Vec::with_capacity(tracks.len());
        for track in tracks {
            let publisher = track.session_id.as_deref();
            let publisher = publisher.ok_or_else(|| ApiError::params("a remote track needs a sessionId"))?;
            let name = check_name(track.track_name.as_deref())?;
            wanted.push((track, publisher, name));
        }
        let deadline = Instant::now() + self.rules().limits.pull_hold();
        let mut found = Vec::with_capacity(wanted.len());
        for (track, publisher, name) in wanted {
            // One after the other, but all against one deadline: together they wait no longer than the longest.
            let source = self.find(session, publisher, name, deadline).await;
            found.push(Wanted { track, publisher, name, source });
        }
        let answerable = found.iter().any(|wanted| wanted.source.is_ok());
        match offer {
            Some(sdp) => self.pull_into_offer(session, &found, sdp).await,
            None if answerable => self.pull_by_offer(session, &found).await,
            None => Ok(NewTracksResponse {
                requires_immediate_renegotiation: false,
                tracks: found.iter().map(|wanted| wanted.result(Err(wanted.failure()))).collect(),
                session_description: None,
            }),
        }
    }

    /// Finds a track, and waits until media of it arrives, or a seat.
    pub(super) async fn find(
        &self,
        viewer: &Session,
        publisher: &str,
        name: &str,
        deadline: Instant,
    ) -> Result<Found, ItemError> {
        match Seat::stage_of(publisher) {
            Some(stage) => self.seat(viewer, stage, name).map(|(seat, source)| Found::Seat(seat, source)),
            None => self.source(&viewer.app, publisher, name, deadline).await.map(Found::Track),
        }
    }

    /// Finds a publication and waits until media of it arrives.
    pub(super) async fn source(
        &self,
        app: &str,
        publisher: &str,
        name: &str,
        deadline: Instant,
    ) -> Result<Source, ItemError> {
        let session = self.find_session(app, publisher).map_err(|_| {
            ItemError::TrackNotFound("the session that publishes it is not known or has ended".into())
        })?;
        let unknown = || ItemError::TrackNotFound("its session publishes no track of this name".into());
        let publication = session.publication(name).ok_or_else(unknown)?;
        let mut watch = publication.watch();
        let settled = watch.wait_for(|view| {
            view.phase == Phase::Closed || (view.phase == Phase::Live && view.media.is_some())
        });
        let phase = tokio::time::timeout_at(deadline, settled).await.map(|view| view.map(|view| view.phase));
        match (phase, publication.media()) {
            (Ok(Ok(Phase::Live)), Some(media)) => Ok(Source { publication, media }),
            (Ok(_), _) => Err(unknown()),
            (Err(_), _) if session.is_connected() => Err(ItemError::Empty("")),
            (Err(_), _) => Err(ItemError::Empty("; its publisher appears to be disconnected")),
        }
    }

    async fn pull_into_offer(
        self: &Arc<Self>,
        session: &Arc<Session>,
        wanted: &[Wanted<'_>],
        sdp: &str,
    ) -> Result<NewTracksResponse, ApiError> {
        let mut draft = Draft::begin(self, session).await?;
        draft.client_offer(sdp)?;
        let results = wanted.iter().map(|wanted| wanted.bind(&mut draft, Place::FirstFree));
        let tracks = results.collect();
        let answer = draft.answer();
        draft.commit().await?;
        self.follow_seats(session);
        Ok(NewTracksResponse {
            requires_immediate_renegotiation: false,
            tracks,
            session_description: Some(SessionDescription::answer(answer)),
        })
    }

    async fn pull_by_offer(
        self: &Arc<Self>,
        session: &Arc<Session>,
        wanted: &[Wanted<'_>],
    ) -> Result<NewTracksResponse, ApiError> {
        let request: Vec<_> =
            wanted.iter().map(|wanted| (wanted.publisher.to_owned(), wanted.name.to_owned())).collect();
        // One deadline for all waiting, since clients give a request ten seconds.
        let deadline = Instant::now() + self.rules().limits.queue();
        let mut settled = wanted.iter().any(|wanted| wanted.source.is_ok() && wanted.track.mid.is_none());
        loop {
            let draft = if settled {
                Draft::begin_settled(self, session, deadline).await
            } else {
                Draft::begin_by(self, session, deadline).await
            };
            let mut draft = match draft {
                Ok(draft) => draft,
                Err(error) => return repeated(session, &request).ok_or(error),
            };
            let results = wanted.iter().map(|wanted| wanted.bind(&mut draft, Place::Offered));
            let tracks: Vec<_> = results.collect();
            let failed =
                tracks.iter().zip(wanted).any(|(track, wanted)| track.mid.is_none() && wanted.source.is_ok());
            if failed && !settled && draft.negotiation().pending_offer() {
                // A named section has to change its direction while another offer of ours is under way.
                settled = true;
                continue;
            }
            let mut response = NewTracksResponse {
                requires_immediate_renegotiation: false,
                tracks,
                session_description: None,
            };
            if draft.negotiation().needs_offer() {
                response.requires_immediate_renegotiation = true;
                response.session_description = Some(SessionDescription::offer(draft.create_offer()?));
                draft.expect(request, response.clone());
            }
            draft.commit().await?;
            self.follow_seats(session);
            return Ok(response);
        }
    }
}

impl Found {
    /// Audio or video.
    pub(super) fn kind(&self) -> MediaKind {
        match self {
            Self::Track(source) => source.media.kind,
            Self::Seat(seat, _) => seat.kind,
        }
    }
}

/// The response of the pending offer, when that very request is repeated: its first response may be lost.
fn repeated(session: &Session, request: &[(String, String)]) -> Option<NewTracksResponse> {
    let pending = session.state()?.pending?;
    (pending.request == request).then(|| pending.response.clone())
}

impl Wanted<'_> {
    fn failure(&self) -> ItemError {
        let unknown = || ItemError::TrackNotFound("it is not available".into());
        self.source.as_ref().err().cloned().unwrap_or_else(unknown)
    }

    fn bind(&self, draft: &mut Draft, place: Place) -> TrackResult {
        let bound = self.source.clone().and_then(|source| {
            let place = match self.track.mid.as_deref().filter(|mid| !mid.is_empty()) {
                Some(mid) => Place::Existing(draft.state.tracks.resolve_mid(mid).ok_or_else(|| {
                    ItemError::TrackNotFound(
                        "mid refers to a local track that this session does not publish".into(),
                    )
                })?),
                None => place,
            };
            let wish = self.track.simulcast.clone();
            match source {
                Found::Track(source) => draft.subscribe(&source, place, wish),
                Found::Seat(seat, source) => draft.take_seat(&seat, source.as_ref(), place, wish),
            }
        });
        self.result(bound)
    }

    fn result(&self, bound: Result<String, ItemError>) -> TrackResult {
        let result = TrackResult {
            session_id: Some(self.publisher.to_owned()),
            track_name: Some(self.name.to_owned()),
            simulcast: self.track.simulcast.clone(),
            ..TrackResult::default()
        };
        match bound {
            Ok(mid) => TrackResult { mid: Some(mid), ..result },
            Err(error) => result.failed(&error),
        }
    }
}

/// The publisher and name of a track, when both can be such.
pub(super) fn named(control: &Control, track: &TrackRequest) -> Option<(SessionId, String)> {
    let publisher = control.parse_id(track.session_id.as_deref()?)?;
    Some((publisher, track.track_name.clone()?))
}
