//! The transports of a session: the one in force, and beside it the next until that has keys.
//!
//! Owns which of the two something is for. Bounds: two at a time, and [`BEGUN_MAX`] in [`BEGUN_WITHIN`], since a handshake is
//! the dearest thing that a client can ask for.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::description::Description;
use super::paths::{Carrier, Path, Paths};
use super::sender::Way;
use super::setup::TransportSetup;
use super::transport::{EngineError, Keys, Transport};
use crate::ids::IceCredentials;
use crate::plan::TransportPlan;

/// How long a transport that was announced may take to get its keys beside the present one.
const SUCCESSOR_PATIENCE: Duration = Duration::from_secs(30);

/// Associations that a session may begin within [`BEGUN_WITHIN`]: who stops and starts its first section needs one each time.
const BEGUN_MAX: usize = 10;
const BEGUN_WITHIN: Duration = Duration::from_secs(60);

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Present,
    Successor,
}

impl Which {
    pub(super) const BOTH: [Self; 2] = [Self::Present, Self::Successor];
}

struct Successor {
    transport: Box<Transport>,
    expires: Instant,
}

/// The transport in force, and the next.
#[derive(Default)]
pub(super) struct Transports {
    present: Option<Box<Transport>>,
    successor: Option<Successor>,
    made: u32,
    /// How many have been in force.
    in_force: u32,
    /// When the newest of them were made, the oldest first.
    begun: VecDeque<Instant>,
}

impl Transports {
    /// How many there have been.
    pub(super) fn made(&self) -> u32 {
        self.made
    }

    pub(super) fn get(&self, which: Which) -> Option<&Transport> {
        match which {
            Which::Present => self.present.as_deref(),
            Which::Successor => self.successor.as_ref().map(|next| &*next.transport),
        }
    }

    pub(super) fn get_mut(&mut self, which: Which) -> Option<&mut Transport> {
        match which {
            Which::Present => self.present.as_deref_mut(),
            Which::Successor => self.successor.as_mut().map(|next| &mut *next.transport),
        }
    }

    pub(super) fn present(&self) -> Option<&Transport> {
        self.present.as_deref()
    }

    pub(super) fn present_mut(&mut self) -> Option<&mut Transport> {
        self.present.as_deref_mut()
    }

    fn all(&self) -> impl Iterator<Item = (Which, &Transport)> {
        Which::BOTH.into_iter().filter_map(|which| Some((which, self.get(which)?)))
    }

    /// What seals packets for the client, and where they go; `None` without keys or a proven address.
    pub(super) fn sealing(&mut self) -> Option<(&mut Keys, Path, Way)> {
        let in_force = self.in_force;
        let transport = self.present_mut()?;
        let path = transport.path()?;
        let is_stream = path.carrier == Carrier::Tcp;
        let way = Way { transport: in_force, moves: transport.moves(), is_stream };
        Some((transport.keys()?, path, way))
    }

    /// Credentials under which the client may check connectivity.
    pub(super) fn credentials(&self) -> impl Iterator<Item = &IceCredentials> {
        self.all().flat_map(|(_, transport)| transport.credentials())
    }

    /// Brings the transport of a plan to it, and makes it if there is none: as successor, or in place of the present one
    /// where nothing could be sent by that any more.
    pub(super) fn apply(
        &mut self,
        parts: &TransportSetup<'_>,
        plan: &TransportPlan,
        description: Option<Description>,
        now: Instant,
    ) -> Result<(), EngineError> {
        let known = self.all().find(|(_, transport)| transport.generation() == plan.generation);
        if let Some(known) = known.map(|(which, _)| which).and_then(|which| self.get_mut(which)) {
            return known.apply(plan, description);
        }
        if self.present.is_none() || parts.serves_one_association {
            return self.replace(parts, plan, description, now);
        }
        let transport = self.make(parts, plan, description, now)?;
        self.successor = Some(Successor { transport, expires: now + SUCCESSOR_PATIENCE });
        Ok(())
    }

    /// Makes a transport that is in force at once.
    pub(super) fn replace(
        &mut self,
        parts: &TransportSetup<'_>,
        plan: &TransportPlan,
        description: Option<Description>,
        now: Instant,
    ) -> Result<(), EngineError> {
        self.present = Some(self.make(parts, plan, description, now)?);
        self.in_force += 1;
        Ok(())
    }

    /// Whether one more association may begin.
    pub(super) fn has_room(&self, now: Instant) -> bool {
        self.next_begins(now) <= now
    }

    fn next_begins(&self, now: Instant) -> Instant {
        let oldest = self.begun.front().filter(|_| self.begun.len() >= BEGUN_MAX);
        oldest.map_or(now, |oldest| *oldest + BEGUN_WITHIN)
    }

    fn make(
        &mut self,
        parts: &TransportSetup<'_>,
        plan: &TransportPlan,
        description: Option<Description>,
        now: Instant,
    ) -> Result<Box<Transport>, EngineError> {
        let wait = self.next_begins(now).saturating_duration_since(now);
        if !wait.is_zero() {
            return Err(EngineError::Often { most: BEGUN_MAX, wait: wait.as_secs() + 1 });
        }
        let transport = Box::new(Transport::new(parts, plan, description, now)?);
        self.made += 1;
        if self.begun.len() >= BEGUN_MAX {
            self.begun.pop_front();
        }
        self.begun.push_back(now);
        Ok(transport)
    }

    /// Puts the successor in force. Returns whether there was one.
    pub(super) fn succeed(&mut self) -> bool {
        let Some(next) = self.successor.take() else { return false };
        self.present = Some(next.transport);
        self.in_force += 1;
        true
    }

    /// Ends the successor, which then never was in force.
    pub(super) fn drop_successor(&mut self) {
        self.successor = None;
    }

    /// Ends a successor whose time to get keys is over.
    pub(super) fn expire(&mut self, now: Instant) {
        self.successor.take_if(|next| next.expires <= now);
    }

    /// When the next of them has something to do.
    pub(super) fn timeout(&self) -> Option<Instant> {
        let expires = self.successor.as_ref().map(|next| next.expires);
        self.all().filter_map(|(_, transport)| transport.timeout()).chain(expires).min()
    }

    /// Whether a transport has a timer that is due.
    pub(super) fn is_due(&self, which: Which, now: Instant) -> bool {
        self.get(which).and_then(Transport::timeout).is_some_and(|at| at <= now)
    }

    /// The transport that a check belongs to. When both share credentials, a path that the present transport
    /// knows stays with it, and a new one is the beginning of the successor.
    pub(super) fn of_check(
        &self,
        path: Path,
        paths: &Paths,
        verifies: impl Fn(&Transport) -> bool,
    ) -> Option<Which> {
        let mut taken = self.all().filter(|(_, transport)| verifies(transport));
        let (first, transport) = taken.next()?;
        if taken.next().is_none() || paths.generation(path) == Some(transport.generation()) {
            return Some(first);
        }
        Some(Which::Successor)
    }

    /// The transport that a path belongs to.
    pub(super) fn of_path(&self, path: Path, paths: &Paths) -> Which {
        let generation = paths.generation(path);
        let successor = self.get(Which::Successor).map(Transport::generation);
        if generation.is_some() && generation == successor { Which::Successor } else { Which::Present }
    }

    /// Gives up a path that can no longer be reached.
    pub(super) fn forget(&mut self, path: Path) {
        for which in Which::BOTH {
            if let Some(transport) = self.get_mut(which) {
                transport.forget(path);
            }
        }
    }
}
