//! The server-sent events extension of WHEP (draft-murillo-whep-02 4.6.1): whether the stream is there, its layers, how
//! many watch it, and what of it this viewer cannot play for want of a codec.
//!
//! POST with a list of names answers the address of their event stream, GET on that is the stream. The address carries
//! the list, so nothing is kept between the two, and the id of the viewer's session in it is what proves the right to it:
//! `EventSource` of browsers sends no token. A viewer has one event stream; the next ends it. What is told is what is
//! true at the time of telling, so a slow reader makes nothing wait but itself.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::super::super::Control;
use super::super::super::registry::streams::Stream;
use super::super::super::session::Session;
use super::super::super::session::draft::Source;
use super::problem::Problem;
use super::reply::header_value;
use super::request::{Call, content_type, text};
use crate::rtp::MediaKind;
use crate::shard::command::EgressStatistics;

/// What can be told, in the order in which it is.
pub(super) const NAMES: [&str; 5] =
    ["active", "inactive", "layers", "viewercount", EgressStatistics::NO_CODEC];
/// Changes within so long are told together: a crowd that comes is told to a crowd.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a comment keeps the connection alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Answers the address of an event stream.
pub(super) async fn post(
    State(control): State<Arc<Control>>,
    call: Call,
    request: Request,
) -> Result<Response, Problem> {
    let session = call.session(&control)?;
    let content = content_type(request.headers());
    if content != "application/json" {
        let detail = format!("the body has to be application/json, a list of event names, not {content:?}");
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
            .with(HeaderName::from_static("accept-post"), HeaderValue::from_static("application/json")));
    }
    let text = text(request, &control).await?;
    let wanted: Vec<String> = serde_json::from_str(&text)
        .map_err(|error| Problem::bad_request(format!("the body is no list of event names: {error}")))?;
    // Names of other drafts are passed over, as long as one is known.
    let known: Vec<&str> =
        NAMES.into_iter().filter(|name| wanted.iter().any(|wanted| wanted == name)).collect();
    if known.is_empty() {
        return Err(Problem::unprocessable(format!(
            "none of these events is known; there are {}",
            NAMES.join(", ")
        )));
    }
    let address = format!("{}/events?types={}", call.location(&session), known.join(","));
    Ok((StatusCode::CREATED, [(header::LOCATION, header_value(&address)?)]).into_response())
}

/// An event stream.
pub(super) async fn get(
    State(control): State<Arc<Control>>,
    call: Call,
    uri: Uri,
) -> Result<Response, Problem> {
    let session = call.known_session(&control)?;
    session.spend(
        control.rules().limits.requests_per_second.get(),
        control.rules().limits.request_burst.get(),
    )?;
    let types = uri.query().unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("types="));
    let wants = NAMES.map(|name| types.is_none_or(|types| types.split(',').any(|wanted| wanted == name)));
    let watched = control.streams.watched(&call.key, session.id).ok_or_else(Problem::gone)?;
    let turn = control.streams.listen(session.id).ok_or_else(Problem::gone)?;
    let teller = Teller { control, session, watched, turn, wants, told: Told::new(), next: None };
    let events = stream::unfold(teller, |mut teller| async move {
        let event = teller.next().await?;
        Some((Ok::<_, Infallible>(event), teller))
    });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    // Proxies would hold back what is meant to come at once.
    let headers = [(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"))];
    Ok((headers, Sse::new(events).keep_alive(keep_alive)).into_response())
}

/// What a listener knows.
struct Told {
    active: Option<bool>,
    layers: Option<Value>,
    viewers: Option<usize>,
    unplayable: Value,
}

impl Told {
    /// Who hears of nothing that cannot be played knows that all can.
    fn new() -> Self {
        Self { active: None, layers: None, viewers: None, unplayable: json!({}) }
    }
}

/// Tells one viewer what changes.
struct Teller {
    control: Arc<Control>,
    session: Arc<Session>,
    watched: Arc<Stream>,
    /// Changes when another event stream takes the place of this one, and closes with the viewer.
    turn: watch::Receiver<u64>,
    wants: [bool; NAMES.len()],
    told: Told,
    /// When the next round may begin.
    next: Option<Instant>,
}

impl Teller {
    async fn next(&mut self) -> Option<Event> {
        loop {
            // Its own end is not told as one of the stream.
            self.session.state()?;
            let (mut sources, mut viewers) = (self.watched.watch_source(), self.watched.watch_viewers());
            let mut own = self.session.changes();
            own.borrow_and_update();
            let source = sources.borrow_and_update().clone();
            let publisher = source.as_ref().and_then(|source| self.control.registry.session(source.session));
            let mut published = publisher.map(|publisher| publisher.changes());
            let count = *viewers.borrow_and_update();
            if let Some(event) = self.untold(count) {
                return Some(event);
            }
            let next = self.next.take();
            if let Some(next) = next {
                tokio::time::sleep_until(next).await;
                continue;
            }
            tokio::select! {
                _ = self.turn.changed() => return None,
                changed = sources.changed() => changed.ok()?,
                changed = viewers.changed() => changed.ok()?,
                changed = own.changed() => changed.ok()?,
                () = super::super::super::operations::change(&mut published) => {}
            }
            self.next = Some(Instant::now() + PAUSE);
        }
    }

    /// The first thing that is true and was not told yet.
    fn untold(&mut self, viewers: usize) -> Option<Event> {
        let shown = self.control.shown(self.watched.source().as_ref());
        let is_active = !shown.is_empty();
        let [active, inactive, layers, viewercount, no_codec] = self.wants;
        if self.told.active != Some(is_active) {
            self.told.active = Some(is_active);
            if if is_active { active } else { inactive } {
                let name = if is_active { "active" } else { "inactive" };
                return Some(Event::default().event(name).data("{}"));
            }
        }
        let video = shown.iter().find(|source| source.media.kind == MediaKind::Video);
        let present =
            layers_of(self.session.video_section(), video.map_or(&[][..], |video| &video.media.rids));
        if layers && self.told.layers.as_ref() != Some(&present) {
            let event = Event::default().event("layers").data(present.to_string());
            self.told.layers = Some(present);
            return Some(event);
        }
        if viewercount && self.told.viewers != Some(viewers) {
            self.told.viewers = Some(viewers);
            let data = json!({ "viewercount": viewers });
            return Some(Event::default().event("viewercount").data(data.to_string()));
        }
        let unplayable = unplayable_of(self.session.unplayable(), &shown);
        if no_codec && self.told.unplayable != unplayable {
            let event = Event::default().event(EgressStatistics::NO_CODEC).data(unplayable.to_string());
            self.told.unplayable = unplayable;
            return Some(event);
        }
        None
    }
}

/// The sections of a viewer that take no codec of what is shown, by mid, and what that is sent in.
fn unplayable_of(sections: Vec<(String, Option<MediaKind>)>, shown: &[Source]) -> Value {
    let described = sections.into_iter().filter_map(|(mid, kind)| {
        let media = &shown.iter().find(|source| Some(source.media.kind) == kind)?.media;
        Some((mid, json!({ "kind": media.kind.label(), "sent": media.codec_names() })))
    });
    Value::Object(described.collect())
}

/// The simulcast layers of the video section, as the draft writes them; without simulcast there is nothing to choose.
fn layers_of(mid: Option<String>, rids: &[String]) -> Value {
    let Some(mid) = mid else { return json!({}) };
    let layers: Vec<Value> = rids
        .iter()
        .enumerate()
        .map(|(index, rid)| json!({ "encodingId": rid, "simulcastIdx": index }))
        .collect();
    json!({ mid: { "active": layers, "inactive": [], "layers": [] } })
}
