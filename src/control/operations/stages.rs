//! Stages: who takes part, and clients for which seats are shown as they change hands.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::ids::PublicationId;
use crate::rtp::MediaKind;
use crate::shard::command::Command;

use super::super::Control;
use super::super::error::{ApiError, ItemError};
use super::super::registry::stages::{Listening, Member, Seat, Stage, View};
use super::super::session::Session;
use super::super::session::draft::{Draft, Source};
use super::super::session::publication::Publication;
use super::super::session::tracks::TakenSeat;

/// Pause before what could not be put into force is tried again.
const RETRY: Duration = Duration::from_secs(1);

impl Control {
    /// The stage of that name, for those who take part or watch.
    pub(in super::super) fn stage(&self, app: &str, name: &str) -> Result<Arc<Stage>, ApiError> {
        let unknown = || {
            ApiError::params(format!("there is no stage {name:?}: make it first, by PUT ext/stages/{name}"))
        };
        self.stages.find(app, name).ok_or_else(unknown)
    }

    /// Has a session take part in a stage by the names of its tracks, or by others than before.
    pub(in super::super) async fn join_stage(
        &self,
        stage: &Arc<Stage>,
        session: &Session,
        (audio, video): (Option<&str>, Option<&str>),
    ) -> Result<(), ApiError> {
        if audio.is_none() && video.is_none() {
            return Err(ApiError::params(
                "name at least one of audio and video: a track that the session publishes",
            ));
        }
        let member = Member {
            session: session.id,
            audio: published(session, audio, MediaKind::Audio)?,
            video: published(session, video, MediaKind::Video)?,
        };
        let Listening { heard, gone } = self.stages.admit(stage, member)?;
        // It may have ended meanwhile, and was looked for before it was there.
        if session.state().is_none() {
            self.stages.ended(session.id);
            return Err(ApiError::SessionGone);
        }
        gone.iter().for_each(|gone| self.listen_no_more(gone));
        let Some(heard) = heard else { return Ok(()) };
        let command = Command::Listen { publication: heard.id, listens: true };
        let told = self.send(heard.shard, command).await;
        if told.is_err() {
            self.leave_stage(stage, session);
        }
        told
    }

    /// Takes a session off a stage.
    pub(in super::super) fn leave_stage(&self, stage: &Arc<Stage>, session: &Session) {
        if let Some(gone) = self.stages.dismiss(stage, session.id) {
            self.listen_no_more(&gone);
        }
    }

    /// Ends a stage; one that is not there is no error.
    pub(in super::super) fn close_stage(&self, app: &str, name: &str) {
        self.stages.close(app, name).iter().flatten().for_each(|gone| self.listen_no_more(gone));
    }

    /// A shard that does not hear of it now hears of it when it tells of that publication next.
    fn listen_no_more(&self, publication: &Publication) {
        let command = Command::Listen { publication: publication.id, listens: false };
        self.try_send(publication.shard, command);
    }

    /// Finds a seat, and the track of whoever sits there for the eyes of a viewer.
    pub(super) fn seat(
        &self,
        viewer: &Session,
        stage: &str,
        name: &str,
    ) -> Result<(Arc<Seat>, Option<Source>), ItemError> {
        let unknown = || ItemError::TrackNotFound("there is no stage of this name: make it first".into());
        let found = self.stages.find(&viewer.app, stage).ok_or_else(unknown)?;
        let (seat, view) = (Seat::parse(stage, name), found.view());
        let seat = seat.filter(|seat| seat.number < view.seats.len()).ok_or_else(|| {
            let last = view.seats.len();
            ItemError::TrackNotFound(format!(
                "a stage has speaker-1/video and speaker-1/audio, and so on until speaker-{last}"
            ))
        })?;
        let source = sitting(&view, &seat, viewer);
        Ok((Arc::new(seat), source))
    }

    /// Has the seats that a client receives shown as they change hands, for as long as it receives any.
    pub(super) fn follow_seats(self: &Arc<Self>, session: &Arc<Session>) {
        for name in session.watched_stages() {
            let Some(stage) = self.stages.find(&session.app, &name) else { continue };
            if stage.begin_following(session.id) {
                let (control, session) = (Arc::clone(self), Arc::clone(session));
                tokio::spawn(async move { control.show_seats(&session, &stage).await });
            }
        }
    }

    async fn show_seats(self: &Arc<Self>, session: &Arc<Session>, stage: &Arc<Stage>) {
        let (mut views, mut own) = (stage.watch(), session.changes());
        // What could not be carried is not tried again, unless somebody else sits there meanwhile.
        let mut refused = BTreeMap::new();
        loop {
            let view = Arc::clone(&views.borrow_and_update());
            own.borrow_and_update();
            if session.seats_of(&stage.name).is_empty() {
                stage.end_following(session.id);
                // Somebody may have asked for a seat since, and found it followed.
                if session.seats_of(&stage.name).is_empty() || !stage.begin_following(session.id) {
                    return;
                }
                continue;
            }
            match self.show_view(session, stage, &view, &mut refused).await {
                Ok(()) if view.is_over => return stage.end_following(session.id),
                Ok(()) => {}
                Err(ApiError::SessionGone) => return stage.end_following(session.id),
                Err(error) => {
                    tracing::debug!(session = %session.id, %error, "seats could not be shown yet");
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            }
            let has_changed = tokio::select! {
                changed = views.changed() => changed,
                changed = own.changed() => changed,
            };
            if has_changed.is_err() {
                return stage.end_following(session.id);
            }
        }
    }

    /// Puts the tracks of those who sit there on the sections of the seats, without any description.
    async fn show_view(
        self: &Arc<Self>,
        session: &Arc<Session>,
        stage: &Stage,
        view: &View,
        refused: &mut BTreeMap<String, PublicationId>,
    ) -> Result<(), ApiError> {
        let wanted = |taken: &TakenSeat, refused: &BTreeMap<String, PublicationId>| {
            let source = sitting(view, &taken.seat, session);
            source.filter(|source| refused.get(&taken.mid) != Some(&source.publication.id))
        };
        let is_shown = |taken: &TakenSeat, source: &Option<Source>| {
            taken.shown == source.as_ref().map(|source| source.publication.id)
        };
        let seats = session.seats_of(&stage.name);
        if seats.iter().all(|taken| is_shown(taken, &wanted(taken, refused))) {
            return Ok(());
        }
        let mut draft = Draft::begin(self, session).await?;
        for taken in draft.state.tracks.seats_of(&stage.name) {
            let source = wanted(&taken, refused);
            if is_shown(&taken, &source) {
                continue;
            }
            refused.remove(&taken.mid);
            if let (Some(source), Err(error)) = (&source, draft.show_seat(&taken.mid, source.as_ref())) {
                tracing::debug!(session = %session.id, mid = taken.mid, %error, "a seat cannot be shown");
                refused.insert(taken.mid.clone(), source.publication.id);
                draft.show_seat(&taken.mid, None).unwrap_or_default();
            }
        }
        draft.commit().await
    }
}

/// The track of whoever sits in a seat for the eyes of a viewer.
fn sitting(view: &View, seat: &Seat, viewer: &Session) -> Option<Source> {
    let publication = view.seat(seat.number, viewer.id)?.publication(seat.kind)?;
    Some(Source { publication: Arc::clone(publication), media: publication.media()? })
}

/// A track that a session publishes, by its name.
fn published(
    session: &Session,
    name: Option<&str>,
    kind: MediaKind,
) -> Result<Option<Arc<Publication>>, ApiError> {
    let Some(name) = name else { return Ok(None) };
    let kind_of = |publication: &Arc<Publication>| publication.media().map(|media| media.kind);
    match session.publication(name) {
        None => Err(ApiError::params(format!(
            "the session publishes no track {name:?}: publish it first, by tracks/new"
        ))),
        Some(publication) if kind_of(&publication).is_some_and(|of| of != kind) => {
            Err(ApiError::params(format!("the track {name:?} is not {}", kind.label())))
        }
        Some(publication) => Ok(Some(publication)),
    }
}
