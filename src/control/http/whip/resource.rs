//! PATCH, DELETE and GET on the resource of a publisher or of a viewer.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::super::super::Control;
use super::super::super::access::Right;
use super::super::super::session::Session;
use super::super::call::run;
use super::problem::Problem;
use super::reply::{accept_patch, entity_tag, header_value};
use super::request::{Call, Condition, content_type, text};
use super::{FRAGMENT, SDP};
use crate::sdp::{Ice, IceFragment};

/// Takes candidates, restarts ICE, or completes an offer of ours.
pub(super) async fn patch(
    State(control): State<Arc<Control>>,
    call: Call,
    request: Request,
) -> Result<Response, Problem> {
    let session = call.session(&control)?;
    let headers = request.headers().clone();
    match content_type(&headers).as_str() {
        FRAGMENT => {
            let text = text(request, &control).await?;
            fragment(&control, session, &headers, &text).await
        }
        SDP if call.access == Right::Whep => {
            let sdp = text(request, &control).await?;
            answer(&control, session, &headers, sdp).await
        }
        other => {
            let accepted = accept_patch(call.access);
            let detail = format!("the body has to be {accepted}, not {other:?}");
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
                .with(HeaderName::from_static("accept-patch"), HeaderValue::from_static(accepted)))
        }
    }
}

/// Candidates are of no use to the lite side, which learns addresses from checks; they are taken and forgotten.
///
/// RFC 9725 4.3.1 asks clients for `If-Match`, and two that many use leave it out when they trickle. What the condition
/// guards against is candidates of an ICE session that is over: credentials tell that as well, so a fragment with the
/// present ones needs none. One with others is a restart, and is never guessed.
async fn fragment(
    control: &Arc<Control>,
    session: Arc<Session>,
    headers: &HeaderMap,
    text: &str,
) -> Result<Response, Problem> {
    let fragment = IceFragment::parse(text)
        .map_err(|error| Problem::bad_request(format!("the fragment cannot be used: {error}")))?;
    let state = session.state().ok_or_else(Problem::gone)?;
    let is_present = state.negotiation.is_remote(&fragment.ice);
    let condition = Condition::of(headers);
    if matches!(condition, Condition::None) && is_present != Some(true) {
        return Err(Problem::new(
            StatusCode::PRECONDITION_REQUIRED,
            "If-Match is missing, and these are not the credentials of the present ICE session: give its ETag, or * \
             to restart ICE",
        ));
    }
    check_tag(&session, &condition)?;
    match is_present {
        Some(true) => Ok(StatusCode::NO_CONTENT.into_response()),
        Some(false) => restart(control, session, fragment).await,
        // Before the viewer has answered our offer its credentials are not known.
        None if matches!(condition, Condition::Any) => {
            Err(Problem::conflict("the offer has to be answered before ICE can restart"))
        }
        None => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

async fn restart(
    control: &Arc<Control>,
    session: Arc<Session>,
    fragment: IceFragment,
) -> Result<Response, Problem> {
    if fragment.ice_lite {
        return Err(Problem::unprocessable("the server is the lite side: the client cannot be it too"));
    }
    let Ice { ufrag, pwd } = fragment.ice;
    let (node, same) = (Arc::clone(control), Arc::clone(&session));
    let ours = run(async move { node.restart_ice(&same, Ice { ufrag, pwd }).await }).await?;
    let ours = ours.ok_or_else(|| Problem::conflict("the session has no description yet"))?;
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(FRAGMENT));
    headers.insert(header::ETAG, header_value(&entity_tag(&session)?)?);
    Ok((StatusCode::OK, headers, ours.to_string()).into_response())
}

fn check_tag(session: &Session, condition: &Condition) -> Result<(), Problem> {
    let Condition::Tags(tags) = condition else { return Ok(()) };
    // A weak tag never matches (RFC 9110 13.1.1).
    if tags.contains(&entity_tag(session)?) {
        return Ok(());
    }
    Err(Problem::new(StatusCode::PRECONDITION_FAILED, "the ETag is not that of the present ICE session"))
}

/// The viewer's answer to our offer.
async fn answer(
    control: &Arc<Control>,
    session: Arc<Session>,
    headers: &HeaderMap,
    sdp: String,
) -> Result<Response, Problem> {
    check_tag(&session, &Condition::of(headers))?;
    let node = Arc::clone(control);
    if run(async move { node.viewer_answered(&session, &sdp).await }).await? {
        Ok(StatusCode::NO_CONTENT.into_response())
    } else {
        Err(Problem::new(StatusCode::CONFLICT, "no offer of the server waits for an answer"))
    }
}

/// Ends the session.
pub(super) async fn delete(State(control): State<Arc<Control>>, call: Call) -> Result<Response, Problem> {
    let session = call.session(&control)?;
    let node = Arc::clone(&control);
    run(async move {
        node.close_session(&session, "closed by request").await;
        Ok::<_, Problem>(())
    })
    .await?;
    Ok(StatusCode::OK.into_response())
}

/// Tells that the resource is there.
pub(super) async fn get(State(control): State<Arc<Control>>, call: Call) -> Result<Response, Problem> {
    let session = call.session(&control)?;
    let tag = [(header::ETAG, header_value(&entity_tag(&session)?)?)];
    Ok((StatusCode::NO_CONTENT, tag).into_response())
}
