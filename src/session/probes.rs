//! Checks of ours: whether a client is where a check says that it is.
//!
//! A check carries our password, so the client made it; but who copies one can send it from anywhere. Only who gets what we
//! send to an address, and knows the password of the client's own description, can answer a check of ours from there, as
//! every agent must that is not lite (RFC 8445 7.3; RFC 9000 8.2 is the model). So none is sent but in reply to a check that
//! was verified, and it is no longer than that.
//!
//! Bound: [`PROBES_MAX`] under way, one for each path, which is repeated after [`AGAIN`].

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::check::{self, Transaction};
use super::paths::{Binding, Path};
use super::transport::Transport;
use super::transports::Which;
use super::{Session, SessionOutput, SessionSetup};
use crate::drop::DropReason;
use crate::ids::IceCredentials;

/// Checks whose answers may still come. More push the oldest out.
const PROBES_MAX: usize = 8;
/// How soon the same path is asked again: about what a round trip takes.
const AGAIN: Duration = Duration::from_millis(40);
/// How long an answer counts.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Probe {
    path: Path,
    id: Transaction,
    at: Instant,
}

/// The checks of ours that are under way on one transport.
#[derive(Debug, Default)]
pub(super) struct Probes(VecDeque<Probe>);

impl Probes {
    /// Writes a check for who may be at the other end of a path, unless one has just gone there. A new question has an id
    /// that is drawn for it.
    pub(super) fn ask(
        &mut self,
        path: Path,
        ours: &str,
        theirs: &IceCredentials,
        draw: impl FnOnce() -> Transaction,
        now: Instant,
    ) -> Option<Vec<u8>> {
        // Asked again, it is the same question (RFC 8489 6.2.1): the way may be longer than the time between two.
        let known = self.0.iter_mut().find(|probe| probe.path == path && now <= probe.at + PATIENCE);
        if known.as_ref().is_some_and(|probe| now < probe.at + AGAIN) {
            return None;
        }
        let id = known.map_or_else(draw, |probe| {
            probe.at = now;
            probe.id
        });
        let datagram = check::probe(&format!("{}:{ours}", theirs.ufrag), id, &theirs.pwd)?;
        if !self.0.iter().any(|probe| probe.path == path && probe.id == id) {
            self.0.retain(|probe| probe.path != path);
            if self.0.len() >= PROBES_MAX {
                self.0.pop_front();
            }
            self.0.push_back(Probe { path, id, at: now });
        }
        Some(datagram)
    }

    /// Whether an answer under this id from a path is one that is waited for. All questions to that path are settled by it.
    pub(super) fn settle(&mut self, path: Path, id: Transaction, now: Instant) -> bool {
        let is_one =
            self.0.iter().any(|probe| probe.path == path && probe.id == id && now <= probe.at + PATIENCE);
        if is_one {
            self.0.retain(|probe| probe.path != path);
        }
        is_one
    }
}

impl Session {
    /// Takes a check from an address that another session holds: it is not answered, but somebody is asked there whether it
    /// is this session's client.
    ///
    /// # Errors
    /// [`DropReason::BadIntegrity`] as for any other check.
    pub fn handle_claim(
        &mut self,
        path: Path,
        contents: &[u8],
        setup: &mut SessionSetup,
        now: Instant,
        out: &mut SessionOutput,
    ) -> Result<(), DropReason> {
        let (message, ufrag) = check::binding_request(contents).ok_or(DropReason::BadStun)?;
        if self.early.is_some() {
            // It has not said yet how it can be asked.
            return Err(DropReason::HeldAddress);
        }
        let verifies = |transport: &Transport| transport.verifies(&message, ufrag);
        let which = self.transports.of_check(path, &self.paths, verifies);
        let transport = which.and_then(|which| self.transports.get_mut(which));
        transport.ok_or(DropReason::BadIntegrity)?.ask(path, ufrag, setup, now, out);
        Ok(())
    }

    /// Takes the answer to a check of ours, by which its address is this client's beyond doubt.
    ///
    /// # Errors
    /// [`DropReason::BadStun`] when it answers nothing that was asked.
    pub fn handle_answer(
        &mut self,
        path: Path,
        contents: &[u8],
        now: Instant,
    ) -> Result<Binding, DropReason> {
        let (message, id) = check::answer_read(contents).ok_or(DropReason::BadStun)?;
        let generation = Which::BOTH.into_iter().find_map(|which| {
            let transport = self.transports.get_mut(which)?;
            transport.take_answer(path, &message, id, now).then(|| transport.generation())
        });
        let generation = generation.ok_or(DropReason::BadStun)?;
        self.last_authentic = now;
        let binding = self.remember(path, generation, now);
        self.paths.confirm(path, now);
        Ok(binding)
    }

    /// Whether this client is at an address for certain, and was heard there lately.
    pub fn holds(&self, path: Path, now: Instant) -> bool {
        self.paths.holds(path, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::session::Carrier;

    fn path(port: u16) -> Path {
        let local = "192.0.2.1:40000".parse().unwrap();
        Path { carrier: Carrier::Udp, local, remote: ([203, 0, 113, 7], port).into() }
    }

    fn id_of(datagram: &[u8]) -> Transaction {
        *datagram[8..].first_chunk().unwrap()
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an instant cannot be made without the clock")]
    fn an_answer_counts_once_from_where_it_was_asked_for_and_in_time() {
        let (mut probes, start) = (Probes::default(), Instant::now());
        let theirs = IceCredentials { ufrag: "them".to_owned(), pwd: "secret".to_owned() };
        let mut random = Random::from_number(1);
        let mut ask = |probes: &mut Probes, port, at| {
            let asked = probes.ask(path(port), "us", &theirs, || random.bytes(), at);
            asked.map(|datagram| id_of(&datagram))
        };
        let first = ask(&mut probes, 1, start).unwrap();
        assert_eq!(ask(&mut probes, 1, start + AGAIN / 2), None, "it was asked just now");
        let second = ask(&mut probes, 1, start + AGAIN).unwrap();
        assert_eq!(first, second, "the same question, however long the way is");
        assert!(!probes.settle(path(2), first, start + AGAIN), "another path");
        assert!(!probes.settle(path(1), [7; 12], start + AGAIN), "another transaction");
        assert!(!probes.settle(path(1), second, start + AGAIN + PATIENCE * 2), "too late");
        assert!(probes.settle(path(1), first, start + AGAIN * 2));
        assert!(!probes.settle(path(1), second, start + AGAIN * 2), "that is known by now");
        assert_ne!(ask(&mut probes, 1, start + AGAIN * 3), Some(first), "another question");
        for port in 0..1000 {
            ask(&mut probes, port, start);
        }
        assert_eq!(probes.0.len(), PROBES_MAX);
    }
}
