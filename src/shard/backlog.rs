//! Datagrams of sessions that are not connected yet: they wait behind media, and a turn takes one of them.
//!
//! A step of a handshake takes as long as forwarding some hundred packets, so a crowd that connects at once would otherwise
//! hold up everybody who is in a call for as long as all of their steps together. What comes for one session stays in order.
//! A datagram that finds no room is lost as on a bad network, and its sender repeats it.
//!
//! Bounds: [`DATAGRAMS_MAX`] in all, of one session [`OF_ONE_MAX`]: whoever floods one waits for nobody but himself.

use std::collections::VecDeque;

use super::Shard;
use super::arrival::Arrival;
use super::sessions::SessionKey;
use crate::drop::DropReason;

/// Datagrams that wait at most: two flights of 512 clients.
const DATAGRAMS_MAX: usize = 1024;

/// Of these, for one session: a flight of a handshake in small pieces, some checks, and the media right behind.
const OF_ONE_MAX: u16 = 32;

/// One datagram that waits.
pub(super) struct Waiting {
    pub(super) session: SessionKey,
    pub(super) arrival: Arrival,
    pub(super) contents: Box<[u8]>,
}

/// All that wait, in the order in which they came.
#[derive(Default)]
pub(super) struct Backlog {
    queue: VecDeque<Waiting>,
}

impl Backlog {
    /// When the oldest one came.
    pub(super) fn since(&self) -> Option<std::time::Instant> {
        self.queue.front().map(|waiting| waiting.arrival.at)
    }
}

impl Shard {
    /// Has a datagram wait, if those of its session do. Returns whether it does, and that it is lost if there is no room.
    pub(super) fn puts_off(
        &mut self,
        session: SessionKey,
        arrival: &Arrival,
        contents: &[u8],
    ) -> Result<bool, DropReason> {
        if arrival.has_waited {
            return Ok(false);
        }
        let Some(slot) = self.sessions.get_mut(session) else { return Ok(false) };
        if slot.waiting_datagrams == 0 && !slot.session.is_connecting() {
            return Ok(false);
        }
        if slot.waiting_datagrams == OF_ONE_MAX || self.backlog.queue.len() == DATAGRAMS_MAX {
            return Err(DropReason::BacklogFull);
        }
        slot.waiting_datagrams += 1;
        let arrival = arrival.after_waiting();
        self.backlog.queue.push_back(Waiting { session, arrival, contents: contents.into() });
        Ok(true)
    }

    /// Takes the next datagram that waits.
    pub(super) fn next_waiting(&mut self) -> Option<Waiting> {
        let waiting = self.backlog.queue.pop_front()?;
        if let Some(slot) = self.sessions.get_mut(waiting.session) {
            slot.waiting_datagrams -= 1;
        }
        Some(waiting)
    }
}
