//! Readiness of the sockets beside the driver: TCP connections and dialled sockets, which come and go.
//!
//! Owns one epoll instance of its own and the way by which the runtime of the thread waits for it. Reports are edges: who
//! is told that a socket is readable reads until nothing is left, or remembers that something is.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use mio::event::{Event, Source};
use mio::{Events, Interest, Token};
use tokio::io::unix::AsyncFd;

use super::{NetError, sys};

/// Reports taken from the kernel at a time.
const EVENTS: usize = 256;

/// The sockets of one table, watched together.
pub(super) struct Watch {
    poll: mio::Poll,
    /// Another descriptor of `poll`, by which the runtime waits for it.
    watched: AsyncFd<OwnedFd>,
    events: Events,
}

impl Watch {
    /// Watches nothing yet; needs the runtime of [`super::host::run`].
    pub(super) fn new() -> Result<Self, NetError> {
        let poll = mio::Poll::new().map_err(NetError::setup("watch sockets"))?;
        let descriptor = poll.registry().as_fd().try_clone_to_owned();
        let descriptor = descriptor.map_err(NetError::setup("duplicate an epoll descriptor"))?;
        Ok(Self {
            poll,
            watched: sys::watch(descriptor).map_err(NetError::setup("watch sockets"))?,
            events: Events::with_capacity(EVENTS),
        })
    }

    /// Watches one more socket. Only a kernel without memory or descriptors refuses.
    pub(super) fn add(
        &self,
        source: &mut impl Source,
        key: usize,
        interest: Interest,
    ) -> std::io::Result<()> {
        self.poll.registry().register(source, Token(key), interest)
    }

    /// Watches a socket no more. Closing it does the same, only later.
    pub(super) fn remove(&self, source: &mut impl Source) {
        let _gone = self.poll.registry().deregister(source);
    }

    /// Ends when something has changed; never while nothing does. Dropping the future loses nothing.
    pub(super) async fn changed(&mut self) {
        match self.watched.readable().await {
            // Cleared before the reports are taken: one that comes later is a new edge.
            Ok(mut guard) => guard.clear_ready(),
            Err(_runtime_ends) => std::future::pending().await,
        }
    }

    /// Takes the next reports without sleeping; none are left when it returns an empty list.
    ///
    /// The list goes back by [`Watch::give_back`], so that it is made once.
    pub(super) fn take(&mut self) -> Events {
        if self.poll.poll(&mut self.events, Some(Duration::ZERO)).is_err() {
            self.events.clear();
        }
        std::mem::replace(&mut self.events, Events::with_capacity(0))
    }

    /// Takes the list back; tells whether it was full, so that more reports may wait.
    pub(super) fn give_back(&mut self, events: Events) -> bool {
        let count = events.iter().count();
        self.events = events;
        count >= EVENTS
    }
}

/// The key under which the socket of a report is watched.
pub(super) fn key_of(event: &Event) -> usize {
    let Token(key) = event.token();
    key
}
