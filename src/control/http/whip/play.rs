//! POST on a WHEP endpoint: a viewer's session is made and follows the stream, also one that is yet to come.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;

use super::super::super::Control;
use super::super::super::access::Right;
use super::super::super::operations::{OpenedViewer, ViewerRefusal};
use super::super::super::registry::places::Account;
use super::super::super::registry::streams::{StreamKey, StreamSource};
use super::super::super::session::{Origin, Session};
use super::super::call::run;
use super::problem::Problem;
use super::publish::wrong_type;
use super::request::{Call, content_type, text};
use super::{SDP, offer, reply};

/// How long an offer of ours waits for the viewer's answer (draft-ietf-wish-whep-03).
const OFFER_VALID: Duration = Duration::from_secs(30);

/// Plays a stream.
pub(super) async fn post(
    State(control): State<Arc<Control>>,
    call: Call,
    uri: Uri,
    request: Request,
) -> Result<Response, Problem> {
    let holder = call.admit(&control)?;
    let caller = (call.account(&holder), call.origin(&holder));
    let content = content_type(request.headers());
    let may_wait = wait_wish(request.headers(), &uri).unwrap_or(control.rules().whep.wait);
    let sdp = text(request, &control).await?;
    let wants_offer = sdp.trim().is_empty();
    if content != SDP && !(wants_offer && content.is_empty()) {
        return Err(wrong_type(&content));
    }
    if !wants_offer {
        offer::check(&sdp, Right::Whep)?;
    }
    let (key, node) = (call.key.clone(), Arc::clone(&control));
    let offer = (!wants_offer).then_some(sdp);
    let (status, viewer) = run(async move { play(&node, &key, caller, offer, may_wait).await }).await?;
    let OpenedViewer { session, sdp } = viewer;
    session.tell_stream(&call.key, "stream watched");
    reply::description(&control, status, &call, &session, sdp)
}

/// Whether the client says itself if it waits for a stream that is not there: `?wait=0` or `?wait=1`, or the
/// preference of RFC 7240 4.3, of which zero seconds count as no.
fn wait_wish(headers: &HeaderMap, uri: &Uri) -> Option<bool> {
    let query = uri.query().unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("wait="));
    let mut preferences = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let preferred = || {
        preferences.find_map(|value| value.split([',', ';']).find_map(|one| one.trim().strip_prefix("wait=")))
    };
    match query.or_else(preferred)?.trim() {
        "0" | "false" | "no" => Some(false),
        _ => Some(true),
    }
}

async fn play(
    control: &Arc<Control>,
    key: &StreamKey,
    caller: (Account, Origin),
    offer: Option<String>,
    may_wait: bool,
) -> Result<(StatusCode, OpenedViewer), Problem> {
    let shown = control.shown(source(control, key).as_ref());
    if shown.is_empty() && !may_wait {
        return Err(Problem::conflict("nobody publishes this stream at present"));
    }
    let (status, viewer) = match offer {
        Some(offer) => match control.open_viewer(key, caller.clone(), &offer, &shown).await? {
            Ok(viewer) => (StatusCode::CREATED, viewer),
            Err(ViewerRefusal::Section(mid, cause)) => {
                return Err(Problem::unprocessable(format!("section {mid:?} cannot be played: {cause}")));
            }
            // The viewer may still be able to take what the stream has: this says what that is.
            Err(ViewerRefusal::Stream) => {
                (StatusCode::NOT_ACCEPTABLE, control.offer_viewer(key, caller, &shown).await?)
            }
        },
        None => (StatusCode::CREATED, control.offer_viewer(key, caller, &shown).await?),
    };
    let stream = control.streams.add_viewer(key, viewer.session.id);
    if viewer.session.state().is_none() {
        control.streams.ended(viewer.session.id);
        return Err(Problem::gone());
    }
    control.follow_stream(&viewer.session, &stream);
    if viewer.session.has_pending_offer() {
        expire(control, &viewer.session);
    }
    Ok((status, viewer))
}

/// What a stream shows. The id of a live session stands for its tracks where no stream has that name.
fn source(control: &Control, key: &StreamKey) -> Option<StreamSource> {
    let present = control.streams.find(key).and_then(|stream| stream.source());
    present.or_else(|| {
        let session = control.session_of(&key.app, &key.name)?;
        let source = StreamSource { session, audio: None, video: None, holder: None };
        control.streams.set_source(key, source.clone(), false).ok()?;
        Some(source)
    })
}

/// Ends a viewer that does not answer our offer in time.
fn expire(control: &Arc<Control>, session: &Arc<Session>) {
    let (control, session) = (Arc::clone(control), Arc::downgrade(session));
    tokio::spawn(async move {
        tokio::time::sleep(OFFER_VALID).await;
        if let Some(session) = session.upgrade().filter(|session| session.has_pending_offer()) {
            control.close_session(&session, "offer not answered").await;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_say_whether_it_waits() {
        let wish = |uri: &str, prefer: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(prefer) = prefer {
                headers.insert("prefer", prefer.parse().unwrap());
            }
            wait_wish(&headers, &uri.parse().unwrap())
        };
        assert_eq!(wish("/whep/a/b", None), None);
        assert_eq!(wish("/whep/a/b?wait=0", None), Some(false));
        assert_eq!(wish("/whep/a/b?x=1&wait=1", Some("wait=0")), Some(true));
        assert_eq!(wish("/whep/a/b", Some("respond-async, wait=0")), Some(false));
        assert_eq!(wish("/whep/a/b", Some("wait=30")), Some(true));
    }
}
