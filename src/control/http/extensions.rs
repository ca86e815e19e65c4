//! What the original does not have: sessions of an application, their figures, their end by request.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::Uri;
use serde::Serialize;
use tokio::sync::oneshot;
use utoipa::{IntoParams, ToSchema};

use super::super::access::apps::unix_now;
use super::super::error::{ApiError, ErrorBody};
use super::super::model::TrackState;
use super::super::session::{Origin, Session};
use super::super::{Control, SHARD_REPLY};
use super::call::{AppPath, SecretCall, SessionCall, SessionPath, run};
use super::openapi::{AppErrors, SessionErrors};
use crate::ids::{SessionId, ShardId};
use crate::shard::command::{Command, EgressStatistics, SessionStatistics, Whereabouts};

/// Sessions in one page.
const PAGE_MAX: usize = 1_000;
const PAGE_DEFAULT: usize = 100;

/// Parameters of the list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its documentation is used")]
pub(super) struct ListQuery {
    /// The `cursor` of the page before.
    #[param(required = false, pattern = "^[0-9a-f]{32}$")]
    cursor: Option<String>,
    /// Sessions to return.
    #[param(required = false, minimum = 1, maximum = 1000)]
    limit: Option<u16>,
}

/// One session of the list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SessionEntry {
    /// Its id.
    session_id: String,
    /// Shard that owns it.
    shard: u8,
    /// Whether it has connected.
    connected: bool,
    /// Its age, milliseconds.
    age_ms: u64,
    /// When it was opened, milliseconds since 1970.
    created_at_ms: u64,
    /// Subject (`sub`) of the token that it was opened with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    subject: Option<Box<str>>,
    /// Label that its caller gave it (`correlationId` of sessions/new).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    correlation_id: Option<Box<str>>,
    /// Program that opened it, as it calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    user_agent: Option<Box<str>>,
    /// The client's address in use; absent while it is not connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>)]
    remote_address: Option<SocketAddr>,
    /// What carries its media, udp or tcp; absent while it is not connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    transport: Option<&'static str>,
    /// Tracks that it publishes, by name.
    publishes: Vec<String>,
    /// Tracks that it receives.
    pulls: Vec<PulledTrack>,
    /// Streams that it publishes, by name.
    publishes_streams: Vec<Box<str>>,
    /// Stream that it watches by WHEP.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    watches_stream: Option<Box<str>>,
}

/// A track that a session of the list receives.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PulledTrack {
    /// The session that publishes it.
    session_id: String,
    /// Its name.
    track_name: String,
}

/// A page of sessions.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionList {
    /// In the order of their ids.
    sessions: Vec<SessionEntry>,
    /// Gives the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    cursor: Option<String>,
}

/// Figures of a session.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatisticsResponse {
    /// The session.
    session_id: String,
    /// Its tracks by name; `mid` joins them with the figures.
    tracks: Vec<TrackState>,
    /// What its shard knows.
    statistics: SessionStatistics,
}

/// Nothing to tell.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Done {}

/// Lists the sessions of an application.
#[utoipa::path(
    get, path = "/ext/sessions", tag = "extensions", operation_id = "listSessions",
    params(AppPath, ListQuery),
    responses((status = 200, description = "A page of sessions", body = SessionList), AppErrors),
)]
pub(super) async fn list_sessions(
    State(control): State<Arc<Control>>,
    call: SecretCall,
    uri: Uri,
) -> Result<Json<SessionList>, ApiError> {
    let query = Query::<BTreeMap<String, String>>::try_from_uri(&uri);
    let query = query.map(|Query(query)| query).unwrap_or_default();
    let bad = || ApiError::Decoding("cursor cannot be used".into());
    let cursor = query.get("cursor").map(|text| control.parse_id(text).ok_or_else(bad));
    let limit = page_limit(&query)?;
    let (page, more) = control.registry.list(&call.app, cursor.transpose()?, limit);
    let cursor = page.last().filter(|_| more).map(|session| session.id.to_string());
    let places = control.whereabouts(&page).await;
    let sessions = page.iter().map(|session| control.entry(session, places.get(&session.id)));
    Ok(Json(SessionList { sessions: sessions.collect(), cursor }))
}

impl Control {
    /// Where the clients of these sessions are, as far as their shards say so in time.
    async fn whereabouts(&self, page: &[Arc<Session>]) -> BTreeMap<SessionId, Whereabouts> {
        let mut by_shard = BTreeMap::<ShardId, Vec<SessionId>>::new();
        for session in page {
            by_shard.entry(session.shard).or_default().push(session.id);
        }
        let mut answers = Vec::new();
        for (shard, sessions) in by_shard {
            let (reply, answer) = oneshot::channel();
            if self.send(shard, Command::Locate { sessions, reply }).await.is_ok() {
                answers.push(answer);
            }
        }
        let mut places = BTreeMap::new();
        for answer in answers {
            // The list is worth having without: who asks for it may well be looking for what is wrong.
            if let Ok(Ok(answer)) = tokio::time::timeout(SHARD_REPLY, answer).await {
                places.extend(answer);
            }
        }
        places
    }

    fn entry(&self, session: &Session, place: Option<&Whereabouts>) -> SessionEntry {
        let age_ms = u64::try_from(session.age().as_millis()).unwrap_or(u64::MAX);
        let (publishes_streams, watches_stream) = self.streams.of_session(session.id);
        let (mut publishes, mut pulls) = (Vec::new(), Vec::new());
        for TrackState { session_id, track_name, .. } in session.track_states().unwrap_or_default() {
            match session_id {
                Some(session_id) => pulls.push(PulledTrack { session_id, track_name }),
                None => publishes.push(track_name),
            }
        }
        let Origin { subject, correlation, user_agent } = (*session.origin).clone();
        SessionEntry {
            session_id: session.id.to_string(),
            shard: session.shard.0,
            connected: session.is_connected(),
            age_ms,
            created_at_ms: (unix_now() * 1_000).saturating_sub(age_ms),
            subject,
            correlation_id: correlation,
            user_agent,
            remote_address: place.map(|place| place.address),
            transport: place.map(|place| place.carrier),
            publishes,
            pulls,
            publishes_streams,
            watches_stream,
        }
    }
}

/// One stream of the list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StreamEntry {
    /// Its name.
    stream: String,
    /// The session that publishes it; absent while nobody does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    session_id: Option<String>,
    /// Sessions that watch it by WHEP.
    viewers: usize,
}

/// A page of streams.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StreamList {
    /// In the order of their names.
    streams: Vec<StreamEntry>,
    /// Gives the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    cursor: Option<String>,
}

/// Parameters of the list of streams.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its documentation is used")]
pub(super) struct StreamListQuery {
    /// The `cursor` of the page before.
    #[param(required = false)]
    cursor: Option<String>,
    /// Streams to return.
    #[param(required = false, minimum = 1, maximum = 1000)]
    limit: Option<u16>,
}

/// Lists the streams of an application that are published or watched by WHIP and WHEP.
#[utoipa::path(
    get, path = "/ext/streams", tag = "extensions", operation_id = "listStreams",
    params(AppPath, StreamListQuery),
    responses((status = 200, description = "A page of streams", body = StreamList), AppErrors),
)]
pub(super) async fn list_streams(
    State(control): State<Arc<Control>>,
    call: SecretCall,
    uri: Uri,
) -> Result<Json<StreamList>, ApiError> {
    let query = Query::<BTreeMap<String, String>>::try_from_uri(&uri);
    let query = query.map(|Query(query)| query).unwrap_or_default();
    let limit = page_limit(&query)?;
    let (page, more) = control.streams.list(&call.app, query.get("cursor").map(String::as_str), limit);
    let cursor = page.last().filter(|_| more).map(|stream| stream.key.name.to_string());
    let streams = page.iter().map(|stream| StreamEntry {
        stream: stream.key.name.to_string(),
        session_id: stream.source().map(|source| source.session.to_string()),
        viewers: stream.viewer_count(),
    });
    Ok(Json(StreamList { streams: streams.collect(), cursor }))
}

fn page_limit(query: &BTreeMap<String, String>) -> Result<usize, ApiError> {
    match query.get("limit").map(|text| text.parse()) {
        None => Ok(PAGE_DEFAULT),
        Some(Ok(limit)) if (1..=PAGE_MAX).contains(&limit) => Ok(limit),
        Some(_) => Err(ApiError::Decoding("limit cannot be used".into())),
    }
}

/// Ends a session: its media stops at once.
#[utoipa::path(
    delete, path = "/ext/sessions/{sessionId}", tag = "extensions", operation_id = "deleteSession",
    params(SessionPath),
    responses((status = 200, description = "It has ended", body = Done), SessionErrors),
)]
pub(super) async fn delete_session(
    State(control): State<Arc<Control>>,
    call: SessionCall,
) -> Result<Json<Done>, ApiError> {
    run(async move {
        control.close_session(&call.session, "closed by request").await;
        Ok(Json(Done {}))
    })
    .await
}

/// Shows the figures of a session.
#[utoipa::path(
    get, path = "/ext/sessions/{sessionId}/stats", tag = "extensions", operation_id = "sessionStatistics",
    params(SessionPath),
    responses(
        (status = 200, description = "The figures", body = StatisticsResponse),
        (status = 503, description = "The shard does not answer", body = ErrorBody),
        SessionErrors,
    ),
)]
pub(super) async fn session_statistics(
    State(control): State<Arc<Control>>,
    call: SessionCall,
) -> Result<Json<StatisticsResponse>, ApiError> {
    let session = call.session;
    let tracks = session.track_states().ok_or(ApiError::SessionGone)?;
    let (reply, answer) = oneshot::channel();
    control.send(session.shard, Command::Statistics { session: session.id, reply }).await?;
    match tokio::time::timeout(SHARD_REPLY, answer).await {
        Ok(Ok(Some(mut statistics))) => {
            // The shard does not know of tracks that it was never to send, and may still hold what they are to replace.
            for (mid, _) in session.unplayable() {
                match statistics.remote.iter_mut().find(|figures| figures.mid == mid) {
                    Some(figures) => figures.layer_reason = EgressStatistics::NO_CODEC.to_owned(),
                    None => statistics.remote.push(EgressStatistics::unplayable(mid)),
                }
            }
            Ok(Json(StatisticsResponse { session_id: session.id.to_string(), tracks, statistics }))
        }
        Ok(_) => Err(ApiError::SessionGone),
        Err(_) => Err(ApiError::Overloaded),
    }
}
