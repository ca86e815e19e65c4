//! Stages as resources: who takes part, who sits where, and events of both.
//!
//! The seats themselves are received like any track, by tracks/new with a `sessionId` of `stage:NAME`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::HeaderName;
use axum::http::request::Parts;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

use super::super::Control;
use super::super::access::{Access, Right};
use super::super::error::{ApiError, ErrorBody};
use super::super::registry::stages::{Member, Stage, View};
use super::super::session::Session;
use super::call::{AppCall, JsonBody, path_param};
use super::extensions::Done;
use super::openapi::{AppErrors, SessionErrors};
use crate::ids::SessionId;
use crate::rtp::MediaKind;

/// Levels are told no more often than this.
const LEVELS: Duration = Duration::from_millis(200);
/// A level that differs by less is not told again, dB.
const LEVEL_CHANGE: u8 = 3;
/// How often a comment keeps the connection alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Parameters of a stage's path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its documentation is used")]
pub(super) struct StagePath {
    /// The application.
    #[param(rename = "appId", pattern = "^[A-Za-z0-9_-]{1,64}$")]
    app_id: String,
    /// The stage.
    #[param(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    stage: String,
}

/// Parameters of the path of one who takes part.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its documentation is used")]
pub(super) struct StageMemberPath {
    /// The application.
    #[param(rename = "appId", pattern = "^[A-Za-z0-9_-]{1,64}$")]
    app_id: String,
    /// The stage.
    #[param(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    stage: String,
    /// The session.
    #[param(rename = "sessionId", pattern = "^[0-9a-f]{32}$")]
    session_id: String,
}

/// A stage that is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StageRequest {
    /// How many seats it has. One that is there already keeps its own number.
    #[schema(minimum = 1, maximum = 25)]
    seats: usize,
}

/// The tracks of one who takes part, at least one of them.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StageTracks {
    /// Name of the track by whose levels it is found to speak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    audio: Option<String>,
    /// Name of the track by which it is seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    video: Option<String>,
}

/// One seat.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SeatState {
    /// Its number, from 1: its tracks are `speaker-1/video` and `speaker-1/audio`.
    seat: usize,
    /// Who sits there; absent while nobody does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    session_id: Option<String>,
    /// Its tracks.
    #[serde(flatten)]
    tracks: StageTracks,
}

/// One who takes part.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StagePerson {
    /// The session.
    session_id: String,
    /// Its tracks.
    #[serde(flatten)]
    tracks: StageTracks,
}

/// One who takes part, as it sounds.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StageMember {
    /// Who.
    #[serde(flatten)]
    person: StagePerson,
    /// How loud it is, dBov: 0 is the loudest, -127 no sound.
    level: i16,
}

/// A stage.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StageState {
    /// Its seats, by number.
    seats: Vec<SeatState>,
    /// Who would get the next seat; a session that sits in a seat sees this one there, since nobody sees itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<StagePerson>,
    /// The session that speaks, or spoke last; absent before anybody has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    speaker: Option<String>,
    /// All who take part, in the order in which they came.
    members: Vec<StageMember>,
}

impl From<&Member> for StageTracks {
    fn from(member: &Member) -> Self {
        let name = |kind| member.publication(kind).map(|publication| publication.name.to_string());
        Self { audio: name(MediaKind::Audio), video: name(MediaKind::Video) }
    }
}

impl From<&Member> for StagePerson {
    fn from(member: &Member) -> Self {
        Self { session_id: member.session.to_string(), tracks: StageTracks::from(member) }
    }
}

impl PartialEq for StageTracks {
    fn eq(&self, other: &Self) -> bool {
        (&self.audio, &self.video) == (&other.audio, &other.video)
    }
}

/// The seats of a view, by number.
fn seats(view: &View) -> Vec<SeatState> {
    let seat = |(seat, member): (usize, &Option<Member>)| SeatState {
        seat,
        session_id: member.as_ref().map(|member| member.session.to_string()),
        tracks: member.as_ref().map_or(StageTracks { audio: None, video: None }, StageTracks::from),
    };
    (1..).zip(&view.seats).map(seat).collect()
}

impl From<&Stage> for StageState {
    fn from(stage: &Stage) -> Self {
        let view = stage.view();
        let members = stage.members().into_iter().map(|(member, activity)| StageMember {
            person: StagePerson::from(&member),
            level: -i16::from(activity.level),
        });
        Self {
            seats: seats(&view),
            next: view.next.as_ref().map(StagePerson::from),
            speaker: view.speaker.map(|speaker| speaker.to_string()),
            members: members.collect(),
        }
    }
}

/// A call on a stage.
pub(super) struct StageCall {
    app: String,
    name: String,
    access: Access,
}

/// A call on one who takes part.
pub(super) struct StageMemberCall {
    stage: StageCall,
    session: Arc<Session>,
}

impl FromRequestParts<Arc<Control>> for StageCall {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, control: &Arc<Control>) -> Result<Self, ApiError> {
        let AppCall { app, access } = AppCall::from_request_parts(parts, control).await?;
        let name = path_param(parts, "stage").await?;
        access.may(Right::Rooms, &name)?;
        Ok(Self { app, name, access })
    }
}

impl FromRequestParts<Arc<Control>> for StageMemberCall {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, control: &Arc<Control>) -> Result<Self, ApiError> {
        let stage = StageCall::from_request_parts(parts, control).await?;
        let id = path_param(parts, "sessionId").await?;
        let session = control.find_session(&stage.app, &id)?;
        stage.access.may_touch(&id, session.owner.as_ref())?;
        let rules = control.rules();
        session.spend(rules.limits.requests_per_second.get(), rules.limits.request_burst.get())?;
        Ok(Self { stage, session })
    }
}

/// Makes a stage, or finds the one of that name as it is.
///
/// All calls on it take the secret, or a token with its name in the claim `rooms`.
#[utoipa::path(
    put, path = "/ext/stages/{stage}", tag = "stages", operation_id = "putStage", params(StagePath),
    request_body(content = StageRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "The stage", body = StageState),
        (status = 503, description = "No room for more", body = ErrorBody),
        AppErrors,
    ),
)]
pub(super) async fn put_stage(
    State(control): State<Arc<Control>>,
    call: StageCall,
    JsonBody(request): JsonBody<StageRequest>,
) -> Result<Json<StageState>, ApiError> {
    let rules = control.rules();
    let apps = rules.apps.ids();
    let stage = control.stages.open((&call.app, &apps), &call.name, request.seats)?;
    Ok(Json(StageState::from(&*stage)))
}

/// Shows a stage.
#[utoipa::path(
    get, path = "/ext/stages/{stage}", tag = "stages", operation_id = "getStage", params(StagePath),
    responses((status = 200, description = "The stage", body = StageState), AppErrors),
)]
pub(super) async fn get_stage(
    State(control): State<Arc<Control>>,
    call: StageCall,
) -> Result<Json<StageState>, ApiError> {
    control.stage(&call.app, &call.name).map(|stage| Json(StageState::from(&*stage)))
}

/// Ends a stage: its seats show nobody any more, and its event streams end. It takes the secret.
#[utoipa::path(
    delete, path = "/ext/stages/{stage}", tag = "stages", operation_id = "deleteStage", params(StagePath),
    responses((status = 200, description = "It is not there any more", body = Done), AppErrors),
)]
pub(super) async fn delete_stage(
    State(control): State<Arc<Control>>,
    call: StageCall,
) -> Result<Json<Done>, ApiError> {
    call.access.expect_secret()?;
    control.close_stage(&call.app, &call.name);
    Ok(Json(Done {}))
}

/// Has a session take part in a stage by tracks that it publishes. It ends with the session.
///
/// Who speaks gets a seat, in place of the one who has spoken least lately. Levels are those of the header extension of
/// RFC 6464, which browsers send; whoever sends none never speaks.
#[utoipa::path(
    put, path = "/ext/stages/{stage}/members/{sessionId}", tag = "stages", operation_id = "putStageMember",
    params(StageMemberPath),
    request_body(content = StageTracks, content_type = "application/json"),
    responses(
        (status = 200, description = "The stage, with this session", body = StageState),
        (status = 503, description = "Not now", body = ErrorBody),
        SessionErrors,
    ),
)]
pub(super) async fn put_stage_member(
    State(control): State<Arc<Control>>,
    call: StageMemberCall,
    JsonBody(tracks): JsonBody<StageTracks>,
) -> Result<Json<StageState>, ApiError> {
    let stage = control.stage(&call.stage.app, &call.stage.name)?;
    let names = (tracks.audio.as_deref(), tracks.video.as_deref());
    control.join_stage(&stage, &call.session, names).await?;
    Ok(Json(StageState::from(&*stage)))
}

/// Takes a session off a stage.
#[utoipa::path(
    delete, path = "/ext/stages/{stage}/members/{sessionId}", tag = "stages", operation_id = "deleteStageMember",
    params(StageMemberPath),
    responses((status = 200, description = "It is not there any more", body = Done), SessionErrors),
)]
pub(super) async fn delete_stage_member(
    State(control): State<Arc<Control>>,
    call: StageMemberCall,
) -> Result<Json<Done>, ApiError> {
    let stage = control.stage(&call.stage.app, &call.stage.name)?;
    control.leave_stage(&stage, &call.session);
    Ok(Json(Done {}))
}

/// Server-sent events of a stage: `seats`, `members`, `speaker` and `levels`, first as they are, then as they change.
///
/// `seats` has all seats and who is `next`, as the stage has them; `members` all who take part; `speaker` the `sessionId` of
/// who speaks; `levels` those that have changed, in dBov by `sessionId`, five times a second at most.
#[utoipa::path(
    get, path = "/ext/stages/{stage}/events", tag = "stages", operation_id = "watchStage", params(StagePath),
    responses(
        (status = 200, description = "Events until the stage ends", body = String, content_type = "text/event-stream"),
        AppErrors,
    ),
)]
pub(super) async fn watch_stage(
    State(control): State<Arc<Control>>,
    call: StageCall,
) -> Result<Response, ApiError> {
    let stage = control.stage(&call.app, &call.name)?;
    let teller = Teller {
        views: stage.watch(),
        levels: stage.watch_levels(),
        stage,
        seats: None,
        members: None,
        speaker: None,
        told: BTreeMap::new(),
        levels_from: Instant::now(),
    };
    let events = stream::unfold(teller, |mut teller| async move {
        let event = teller.next().await?;
        Some((Ok::<_, Infallible>(event), teller))
    });
    // Proxies would hold back what is meant to come at once.
    let headers = [(HeaderName::from_static("x-accel-buffering"), "no")];
    Ok((headers, Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))).into_response())
}

/// Tells one listener what changes: what is true at the time of telling, so a slow reader makes nothing wait but itself.
struct Teller {
    stage: Arc<Stage>,
    views: watch::Receiver<Arc<View>>,
    levels: watch::Receiver<()>,
    seats: Option<(Vec<SeatState>, Option<StagePerson>)>,
    members: Option<Vec<StagePerson>>,
    speaker: Option<SessionId>,
    told: BTreeMap<SessionId, u8>,
    /// When levels may be told next.
    levels_from: Instant,
}

impl Teller {
    async fn next(&mut self) -> Option<Event> {
        loop {
            let view = Arc::clone(&self.views.borrow_and_update());
            if view.is_over {
                return None;
            }
            if let Some(event) = self.untold(&view) {
                return Some(event);
            }
            let may_tell = Instant::now() >= self.levels_from;
            if may_tell {
                self.levels.borrow_and_update();
                if let Some(event) = self.untold_levels() {
                    self.levels_from = Instant::now() + LEVELS;
                    return Some(event);
                }
            }
            tokio::select! {
                changed = self.views.changed() => changed.ok()?,
                changed = self.levels.changed(), if may_tell => changed.ok()?,
                () = tokio::time::sleep_until(self.levels_from), if !may_tell => {}
            }
        }
    }

    fn untold(&mut self, view: &View) -> Option<Event> {
        let seats = (seats(view), view.next.as_ref().map(StagePerson::from));
        if self.seats.as_ref() != Some(&seats) {
            let data = json!({ "seats": seats.0, "next": seats.1 });
            self.seats = Some(seats);
            return Some(Event::default().event("seats").data(data.to_string()));
        }
        let members = self.stage.members().iter().map(|(member, _)| StagePerson::from(member)).collect();
        if self.members.as_ref() != Some(&members) {
            let data = json!({ "members": members });
            self.members = Some(members);
            return Some(Event::default().event("members").data(data.to_string()));
        }
        if self.speaker != view.speaker {
            self.speaker = view.speaker;
            let speaker = view.speaker.map(|speaker| speaker.to_string());
            return Some(Event::default().event("speaker").data(json!({ "sessionId": speaker }).to_string()));
        }
        None
    }

    fn untold_levels(&mut self) -> Option<Event> {
        let members = self.stage.members();
        self.told.retain(|session, _| members.iter().any(|(member, _)| member.session == *session));
        let mut changed = serde_json::Map::new();
        for (member, activity) in members {
            let told = self.told.get(&member.session);
            if told.is_none_or(|told| told.abs_diff(activity.level) >= LEVEL_CHANGE) {
                self.told.insert(member.session, activity.level);
                changed.insert(member.session.to_string(), (-i16::from(activity.level)).into());
            }
        }
        (!changed.is_empty())
            .then(|| Event::default().event("levels").data(json!({ "levels": changed }).to_string()))
    }
}
