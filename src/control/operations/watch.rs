//! Viewers of a stream: a session whose sections are announced at once, and filled with whatever the stream shows,
//! now or later, from one publisher after another.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::ids::SessionId;
use crate::negotiation::{BindError, Caller, KeepAlive, Place};
use crate::rtp::MediaKind;
use crate::sdp::{Ice, IceFragment};

use super::super::Control;
use super::super::error::ApiError;
use super::super::registry::places::Account;
use super::super::registry::streams::{Stream, StreamKey, StreamSource};
use super::super::session::draft::{Draft, Source};
use super::super::session::publication::Publication;
use super::super::session::{Origin, Session};

/// Pause before what could not be put into force is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// A viewer's session and our description for it.
pub(in super::super) struct OpenedViewer {
    pub(in super::super) session: Arc<Session>,
    pub(in super::super) sdp: String,
}

/// Why an offer is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum ViewerRefusal {
    /// A section of it cannot be answered.
    Section(String, BindError),
    /// It can carry none of the tracks that the stream has at present.
    Stream,
}

impl Control {
    /// A session of an application that no client knows of yet.
    pub(in super::super) async fn bare_session(
        self: &Arc<Self>,
        app: &str,
        (account, origin): (Account, Origin),
    ) -> Result<Arc<Session>, ApiError> {
        let opened = self.new_session(app, None, (account, origin), Caller::Client, None).await?;
        self.find_session(app, &opened.session_id)
    }

    /// Makes a viewer's session by its offer of receiving sections. The answer is inactive, or no, in those that have no
    /// codec in common with what the stream shows.
    ///
    /// Refused when a section cannot be answered for another reason, or when what the stream shows fits none of them.
    pub(in super::super) async fn open_viewer(
        self: &Arc<Self>,
        key: &StreamKey,
        caller: (Account, Origin),
        offer: &str,
        shown: &[Source],
    ) -> Result<Result<OpenedViewer, ViewerRefusal>, ApiError> {
        let session = self.bare_session(&key.app, caller).await?;
        let opened = self.answer_viewer(&session, offer, shown).await;
        if !matches!(opened, Ok(Ok(_))) {
            self.close_session(&session, Self::NOT_OPENED).await;
        }
        opened.map(|answer| answer.map(|sdp| OpenedViewer { session, sdp }))
    }

    async fn answer_viewer(
        self: &Arc<Self>,
        session: &Arc<Session>,
        offer: &str,
        shown: &[Source],
    ) -> Result<Result<String, ViewerRefusal>, ApiError> {
        let mut draft = Draft::begin(self, session).await?;
        let summary = draft.client_offer(offer)?;
        let negotiation = draft.negotiation();
        let codecs_lack = |cause: &BindError| *cause == BindError::UnknownCodecs;
        let may_show = !summary.sections.is_empty() || !shown.is_empty();
        if let Some((mid, cause)) = negotiation.refusals().find(|(_, cause)| !may_show || !codecs_lack(cause))
        {
            return Ok(Err(ViewerRefusal::Section(mid.to_owned(), cause)));
        }
        let (fitting, unshown): (Vec<_>, Vec<_>) = shown
            .iter()
            .filter_map(|source| Some((negotiation.viewed(source.media.kind)?, source)))
            .partition(|(section, source)| negotiation.can_carry(&section.mid, &source.media));
        if !shown.is_empty() && fitting.is_empty() {
            return Ok(Err(ViewerRefusal::Stream));
        }
        // What a player reads of the answer is the direction: it can show a word in place of a black picture.
        let unshown: BTreeSet<_> = unshown.into_iter().map(|(section, _)| section.mid).collect();
        negotiation.announce(&session.id.to_string(), &unshown);
        draft.state.unshown = unshown;
        let answer = draft.answer();
        draft.commit().await?;
        Ok(Ok(answer))
    }

    /// Makes a viewer's session by an offer of ours: a section of each kind that the stream shows, or of both.
    pub(in super::super) async fn offer_viewer(
        self: &Arc<Self>,
        key: &StreamKey,
        caller: (Account, Origin),
        shown: &[Source],
    ) -> Result<OpenedViewer, ApiError> {
        let session = self.bare_session(&key.app, caller).await?;
        let mut draft = Draft::begin(self, &session).await?;
        let negotiation = draft.negotiation();
        *negotiation = negotiation.clone().with_keep_alive(KeepAlive::None);
        let label = session.id.to_string();
        for kind in [MediaKind::Audio, MediaKind::Video] {
            let source = shown.iter().find(|source| source.media.kind == kind);
            if source.is_none() && !shown.is_empty() {
                continue;
            }
            let media = source.map(|source| &*source.media);
            negotiation.offer_announced(kind, media, &label).map_err(|_| ApiError::Internal)?;
        }
        let sdp = draft.create_offer()?;
        draft.commit().await?;
        Ok(OpenedViewer { session, sdp })
    }

    /// Takes a viewer's answer to our offer; false when none is awaited.
    pub(in super::super) async fn viewer_answered(
        self: &Arc<Self>,
        session: &Arc<Session>,
        answer: &str,
    ) -> Result<bool, ApiError> {
        let mut draft = Draft::begin(self, session).await?;
        if !draft.negotiation().pending_offer() {
            return Ok(false);
        }
        draft.client_answer(answer)?;
        draft.commit().await?;
        Ok(true)
    }

    /// Restarts ICE by new credentials of the client; `None` before its first description.
    pub(in super::super) async fn restart_ice(
        self: &Arc<Self>,
        session: &Arc<Session>,
        ice: Ice,
    ) -> Result<Option<IceFragment>, ApiError> {
        let mut draft = Draft::begin(self, session).await?;
        let (keys, shard) = (&self.keys, session.shard);
        if !draft.negotiation().restart_ice(ice, &mut || keys.mint_ice(shard)) {
            return Ok(None);
        }
        let fragment = draft.negotiation().ice_fragment();
        draft.commit().await?;
        Ok(Some(fragment))
    }

    /// What a stream shows at present, audio first.
    pub(in super::super) fn shown(&self, source: Option<&StreamSource>) -> Vec<Source> {
        let publisher = source.and_then(|source| self.registry.session(source.session));
        let (Some(source), Some(publisher)) = (source, publisher) else { return Vec::new() };
        let publications = publisher.publications();
        let of_kind = |kind: MediaKind, name: Option<&str>, usual: &str| {
            let usable = |publication: &&Arc<Publication>| {
                publication.media().is_some_and(|media| media.kind == kind && !media.codecs.is_empty())
            };
            let named = |wanted: &str| publications.iter().filter(usable).find(|one| &*one.name == wanted);
            let found = match name {
                Some(name) => named(name),
                None => named(usual).or_else(|| publications.iter().find(usable)),
            };
            found.and_then(|publication| {
                Some(Source { publication: Arc::clone(publication), media: publication.media()? })
            })
        };
        let audio = of_kind(MediaKind::Audio, source.audio.as_deref(), "audio");
        let video = of_kind(MediaKind::Video, source.video.as_deref(), "video");
        audio.into_iter().chain(video).collect()
    }

    /// Has a viewer receive what its stream shows, for as long as it lives.
    pub(in super::super) fn follow_stream(self: &Arc<Self>, viewer: &Arc<Session>, stream: &Arc<Stream>) {
        let (control, session, stream) = (Arc::clone(self), Arc::clone(viewer), Arc::clone(stream));
        let follower = tokio::spawn(async move { control.fill(&session, &stream).await });
        self.streams.set_follower(viewer.id, follower.abort_handle());
    }

    async fn fill(self: &Arc<Self>, session: &Arc<Session>, stream: &Stream) {
        let (mut sources, mut own) = (stream.watch_source(), session.changes());
        // What it was given last: most changes of a publisher change nothing of that, and a viewer is one of many.
        let mut last: Option<Vec<Source>> = None;
        let mut is_own = false;
        loop {
            let source = sources.borrow_and_update().clone();
            is_own |= own.has_changed().unwrap_or(true);
            own.borrow_and_update();
            let publisher = source.as_ref().and_then(|source| self.registry.session(source.session));
            let mut published = publisher.map(|publisher| publisher.changes());
            if let Some(published) = &mut published {
                published.borrow_and_update();
            }
            let shown = self.shown(source.as_ref());
            let is_known = !is_own && last.as_ref().is_some_and(|last| same(last, &shown));
            let given = if is_known { Ok(()) } else { self.show(session, &shown).await };
            match given {
                Ok(()) => last = Some(shown),
                Err(ApiError::SessionGone) => return,
                Err(error) => {
                    tracing::debug!(session = %session.id, %error, "a viewer could not be given its stream yet");
                    last = None;
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            }
            let changed = tokio::select! {
                changed = sources.changed() => changed.map(|()| false),
                changed = own.changed() => changed.map(|()| true),
                // The end of a publisher is told by the source too.
                _ = change(&mut published) => Ok(false),
            };
            match changed {
                Ok(of_viewer) => is_own = of_viewer,
                Err(_) => return,
            }
        }
    }

    /// Puts tracks on the announced sections of a viewer, without any description, and notes those that it cannot take.
    async fn show(self: &Arc<Self>, session: &Arc<Session>, shown: &[Source]) -> Result<(), ApiError> {
        let mut draft = Draft::begin(self, session).await?;
        let (mut changes, mut unshown) = (false, BTreeSet::new());
        for source in shown {
            let Some(section) = draft.negotiation().viewed(source.media.kind) else { continue };
            if !draft.negotiation().can_carry(&section.mid, &source.media) {
                unshown.insert(section.mid);
                continue;
            }
            if !section.sends {
                continue;
            }
            let present = draft.state.tracks.remote(&section.mid).map(|present| present.source.id);
            if present == Some(source.publication.id) {
                continue;
            }
            let wish = draft.state.tracks.wish(&section.mid).cloned();
            let outcome = match present {
                Some(_) => draft.switch(&section.mid, source, wish),
                None => draft.subscribe(source, Place::Existing(section.mid), wish).map(drop),
            };
            match outcome {
                Ok(()) => changes = true,
                Err(error) => {
                    tracing::debug!(session = %session.id, %error, "a track cannot be shown to a viewer")
                }
            }
        }
        changes |= draft.state.unshown != unshown;
        draft.state.unshown = unshown;
        if changes { draft.commit().await } else { Ok(()) }
    }

    /// The session behind a text, if it is one of the application.
    pub(in super::super) fn session_of(&self, app: &str, text: &str) -> Option<SessionId> {
        self.find_session(app, text).ok().map(|session| session.id)
    }
}

/// Whether these are the same tracks, sent in the same way.
fn same(left: &[Source], right: &[Source]) -> bool {
    let is_same = |(left, right): (&Source, &Source)| {
        left.publication.id == right.publication.id && Arc::ptr_eq(&left.media, &right.media)
    };
    left.len() == right.len() && left.iter().zip(right).all(is_same)
}

/// Ends at the next change of a publisher; never without one.
pub(in super::super) async fn change(published: &mut Option<watch::Receiver<()>>) {
    match published {
        Some(published) => {
            if published.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
        None => std::future::pending().await,
    }
}
