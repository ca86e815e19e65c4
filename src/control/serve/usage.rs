//! Whether a connection is in use: how many of its requests are open, and since when none is.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::super::locked;
use crate::metrics::names::ConnectionEnd;

/// The use of one connection.
pub(super) struct Usage {
    state: Mutex<State>,
    gives_way: Notify,
}

struct State {
    open: usize,
    /// When the last open request ended, or when the connection came.
    since: Instant,
    /// Whether its place is wanted by another.
    wanted: bool,
}

/// How long a connection may still idle.
pub(super) enum Idle {
    /// Until then, as things stand.
    Until(Instant),
    /// No longer, and why.
    Over(ConnectionEnd),
}

impl Usage {
    pub(super) fn new() -> Arc<Self> {
        let state = State { open: 0, since: Instant::now(), wanted: false };
        Arc::new(Self { state: Mutex::new(state), gives_way: Notify::new() })
    }

    /// A request has begun; it is open until the value that this gives is dropped.
    pub(super) fn request(self: &Arc<Self>) -> Open {
        locked(&self.state).open += 1;
        Open(Arc::clone(self))
    }

    /// Since when it has no open request, unless it has one or gives way already.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = locked(&self.state);
        (state.open == 0 && !state.wanted).then_some(state.since)
    }

    /// Has it end for another one, if it is idle still.
    pub(super) fn give_way(&self) {
        let mut state = locked(&self.state);
        if state.open == 0 {
            state.wanted = true;
            self.gives_way.notify_one();
        }
    }

    /// Ends when it is told to give way.
    pub(super) async fn told(&self) {
        self.gives_way.notified().await;
    }

    pub(super) fn idle(&self, patience: Duration) -> Idle {
        let (state, now) = (locked(&self.state), Instant::now());
        match (state.open, now.saturating_duration_since(state.since) >= patience) {
            (0, _) if state.wanted => Idle::Over(ConnectionEnd::GaveWay),
            (0, true) => Idle::Over(ConnectionEnd::Idle),
            (0, false) => Idle::Until(state.since + patience),
            (_, _) => Idle::Until(now + patience),
        }
    }
}

/// An open request.
pub(super) struct Open(Arc<Usage>);

impl Open {
    /// The body of the answer, with whose end the request ends.
    pub(super) fn until_sent(self, body: Body) -> Body {
        Body::new(Answer { body, _open: self })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = locked(&self.0.state);
        state.open -= 1;
        state.since = Instant::now();
    }
}

struct Answer {
    body: Body,
    _open: Open,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
