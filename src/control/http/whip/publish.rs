//! POST on a WHIP endpoint: a session is made, its tracks are published, and it becomes the source of the stream.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;

use super::super::super::Control;
use super::super::super::access::{Holder, Right};
use super::super::super::model::{Kind, Location, NewTracksRequest, SessionDescription, TrackRequest};
use super::super::super::registry::places::Account;
use super::super::super::registry::streams::{SourceRefusal, StreamKey, StreamSource};
use super::super::super::session::{Origin, Session};
use super::super::call::run;
use super::offer::{self, OfferedSections};
use super::problem::Problem;
use super::request::{Call, content_type, text};
use super::{SDP, reply};
use crate::rtp::MediaKind;

/// Publishes a stream.
pub(super) async fn post(
    State(control): State<Arc<Control>>,
    call: Call,
    request: Request,
) -> Result<Response, Problem> {
    let holder = call.admit(&control)?;
    let caller = (call.account(&holder), call.origin(&holder));
    let content = content_type(request.headers());
    if content != SDP {
        return Err(wrong_type(&content));
    }
    let sdp = text(request, &control).await?;
    let offered = offer::check(&sdp, Right::Whip)?;
    let (key, node) = (call.key.clone(), Arc::clone(&control));
    let (session, answer) =
        run(async move { publish(&node, &key, (holder, caller), sdp, &offered).await }).await?;
    session.tell_stream(&call.key, "stream published");
    reply::description(&control, StatusCode::CREATED, &call, &session, answer)
}

pub(super) fn wrong_type(content: &str) -> Problem {
    let detail = format!("the body has to be {SDP}, not {content:?}");
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
        .with(HeaderName::from_static("accept-post"), HeaderValue::from_static(SDP))
}

fn taken(control: &Control) -> Problem {
    Problem::conflict(format!(
        "the stream is published with another token: publish with that one, which takes over at once, or end its session, \
         or let every publisher take over (whip.takeover); a publisher that has gone silent makes room after {} seconds \
         (limits.disconnected_seconds)",
        control.rules().limits.disconnected_seconds.get()
    ))
}

async fn publish(
    control: &Arc<Control>,
    key: &StreamKey,
    (holder, caller): (Holder, (Account, Origin)),
    sdp: String,
    offered: &OfferedSections,
) -> Result<(Arc<Session>, String), Problem> {
    // The id of a session stands for its tracks: nobody publishes in its place.
    if control.session_of(&key.app, &key.name).is_some() {
        return Err(Problem::conflict(
            "this is the id of a session, under which its own tracks are played: choose another name",
        ));
    }
    let present = control.streams.find(key).and_then(|stream| stream.source());
    let takeover = control.rules().whip.takeover;
    if present.is_some_and(|present| !takeover && !present.gives_way_to(Some(&holder))) {
        return Err(taken(control));
    }
    let session = control.bare_session(&key.app, caller).await?;
    let published = push(control, &session, sdp, offered).await;
    let answer = match published {
        Ok(answer) => answer,
        Err(problem) => {
            control.close_session(&session, Control::NOT_OPENED).await;
            return Err(problem);
        }
    };
    let name = |kind| {
        // A stream without one of the two never gets it: other tracks of the session are not part of the stream.
        let _ = offered.iter().find(|(_, offered)| *offered == kind)?;
        Some(track_name(kind).into())
    };
    let source = StreamSource {
        session: session.id,
        audio: name(MediaKind::Audio),
        video: name(MediaKind::Video),
        holder: Some(holder),
    };
    match control.streams.set_source(key, source, takeover) {
        Ok(None) => {}
        Ok(Some(other)) => {
            tracing::info!(session = %session.id, before = %other, stream = &*key.name, "stream taken over");
            if let Some(other) = control.registry.session(other) {
                control.close_session(&other, "another publisher took over").await;
            }
        }
        Err(SourceRefusal::Taken | SourceRefusal::TooManyNames) => {
            control.close_session(&session, Control::NOT_OPENED).await;
            return Err(taken(control));
        }
    }
    // It may have ended while it became the source.
    if session.state().is_none() {
        control.streams.ended(session.id);
        return Err(Problem::gone());
    }
    Ok((session, answer))
}

fn track_name(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    }
}

/// Publishes every section of the offer, or fails as a whole.
async fn push(
    control: &Arc<Control>,
    session: &Arc<Session>,
    sdp: String,
    offered: &OfferedSections,
) -> Result<String, Problem> {
    let track = |(mid, kind): &(String, MediaKind)| TrackRequest {
        location: Some(Location::Local),
        track_name: Some(track_name(*kind).to_owned()),
        mid: Some(mid.clone()),
        kind: Some(Kind::from(*kind)),
        ..TrackRequest::default()
    };
    let request = NewTracksRequest {
        tracks: offered.iter().map(track).collect(),
        session_description: Some(SessionDescription::offer(sdp)),
        auto_discover: None,
    };
    let response = control.new_tracks(session, request).await?;
    let failed = response.tracks.iter().find(|track| track.error_code.is_some());
    if let Some(track) = failed {
        let name = track.track_name.as_deref().unwrap_or_default();
        let cause = track.error_description.as_deref().unwrap_or_default();
        return Err(Problem::unprocessable(format!("the {name} section cannot be published: {cause}")));
    }
    let answer = response.session_description.map(|description| description.sdp);
    answer.ok_or_else(|| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "there is no answer"))
}
