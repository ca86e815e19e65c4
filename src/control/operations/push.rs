//! tracks/new for local tracks: the client publishes.

use std::sync::Arc;

use aws_lc_rs::rand;
use tokio::time::Instant;

use super::super::Control;
use super::super::error::{ApiError, ItemError};
use super::super::model::{NewTracksResponse, SessionDescription, TrackRequest, TrackResult};
use super::super::session::Session;
use super::super::session::draft::{Draft, check_name};

impl Control {
    /// The client offers: its offer is answered, and the named sections are published.
    pub(super) async fn push(
        self: &Arc<Self>,
        session: &Arc<Session>,
        tracks: &[TrackRequest],
        discover: bool,
        sdp: &str,
    ) -> Result<NewTracksResponse, ApiError> {
        let mut named = Vec::with_capacity(tracks.len());
        for track in tracks {
            let mid = track.mid.as_deref().filter(|mid| !mid.is_empty());
            let mid = mid.ok_or_else(|| ApiError::params("a local track needs the mid of its section"))?;
            let name = check_name(track.track_name.as_deref())?;
            if named.iter().any(|(other, named)| *other == mid || *named == name) {
                return Err(ApiError::params("a request may name a mid or a trackName only once"));
            }
            named.push((mid, name));
        }
        let mut draft = Draft::begin(self, session).await?;
        let summary = draft.client_offer(sdp)?;
        let mut results: Vec<TrackResult> =
            named.iter().map(|(mid, name)| result(mid, name, draft.publish(mid, name).map(|_| ()))).collect();
        if discover {
            let unnamed = |mid: &str| !named.iter().any(|(named, _)| *named == mid);
            let new = summary.sections.iter().filter(|section| section.is_new && section.sends);
            for section in new.filter(|section| unnamed(&section.mid)) {
                let name = random_name()?;
                let published = draft.publish(&section.mid, &name);
                let kind = published.as_ref().ok().map(|kind| (*kind).into());
                results.push(TrackResult { kind, ..result(&section.mid, &name, published.map(|_| ())) });
            }
        }
        let answer = draft.answer();
        draft.commit().await?;
        Ok(NewTracksResponse {
            requires_immediate_renegotiation: false,
            tracks: results,
            session_description: Some(SessionDescription::answer(answer)),
        })
    }

    /// The client names tracks without an offer: we offer sections for them.
    pub(super) async fn offer_push(
        self: &Arc<Self>,
        session: &Arc<Session>,
        tracks: &[TrackRequest],
    ) -> Result<NewTracksResponse, ApiError> {
        let mut wanted = Vec::with_capacity(tracks.len());
        for track in tracks {
            let name = check_name(track.track_name.as_deref())?;
            let kind = track.kind.ok_or_else(|| {
                ApiError::params("a local track needs an offer, or a kind so that the server can offer")
            })?;
            wanted.push((name, kind, track.bidirectional_media_stream == Some(true)));
        }
        let mut draft =
            Draft::begin_settled(self, session, Instant::now() + self.rules().limits.queue()).await?;
        let offered = wanted.iter().map(|(name, kind, both_ways)| {
            match draft.offer_local(name, (*kind).into(), *both_ways) {
                Ok(mid) => result(&mid, name, Ok(())),
                Err(error) => result("", name, Err(error)),
            }
        });
        let tracks = offered.collect();
        let mut response =
            NewTracksResponse { requires_immediate_renegotiation: false, tracks, session_description: None };
        if draft.negotiation().needs_offer() {
            response.requires_immediate_renegotiation = true;
            response.session_description = Some(SessionDescription::offer(draft.create_offer()?));
            draft.expect(Vec::new(), response.clone());
            draft.commit().await?;
        }
        Ok(response)
    }
}

/// A failed push carries no mid: partytracks takes an entry with one for published.
fn result(mid: &str, name: &str, outcome: Result<(), ItemError>) -> TrackResult {
    let result = TrackResult { track_name: Some(name.to_owned()), ..TrackResult::default() };
    match outcome {
        Ok(()) => TrackResult { mid: Some(mid.to_owned()), ..result },
        Err(error) => result.failed(&error),
    }
}

fn random_name() -> Result<String, ApiError> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| ApiError::Internal)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
