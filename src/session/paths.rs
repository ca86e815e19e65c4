//! The addresses of a client that it has proven by a check, and what else speaks for them.
//!
//! A check can be copied and sent again from elsewhere. So an address is the client's beyond doubt only after something that
//! cannot be: an answer to a check of ours, a packet that is authentic and was not there before, the end of the handshake.
//!
//! Bound: [`PATHS_MAX`]; the oldest gives way, but not the one in use. One that is silent for [`SILENCE`] goes as well.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Client addresses that one session may hold at a time.
pub const PATHS_MAX: usize = 16;
/// How long a client holds an address after something certain has come from there: longer than any pauses between two checks
/// (Chromium 2.5 seconds, Firefox and aiortc 4 to 6).
const HELD: Duration = Duration::from_secs(10);
/// After so long a client that sends nothing but checks is asked whether it is still there: so early that the answer to its
/// next check comes before [`HELD`] is over.
const DOUBTED: Duration = Duration::from_secs(3);
/// After so long a silence an address is nobody's.
const SILENCE: Duration = Duration::from_secs(30);

/// What carries datagrams between a client and us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// UDP.
    Udp,
    /// Frames on a TCP connection (RFC 6544).
    Tcp,
}

impl Carrier {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// A pair of addresses, ours and the client's, and what carries datagrams between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// UDP or TCP.
    pub carrier: Carrier,
    /// Our candidate.
    pub local: SocketAddr,
    /// The client's address.
    pub remote: SocketAddr,
}

/// What came from a client.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// The way that it came by.
    pub path: Path,
    /// Its bytes.
    pub contents: &'a [u8],
    /// When the kernel took it from the network: this turn or earlier.
    pub arrived: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Proven {
    path: Path,
    /// Of the transport that it belongs to.
    generation: u32,
    /// When a check or anything authentic last came.
    heard: Instant,
    /// When something last came that nobody else could have sent.
    certain: Option<Instant>,
}

impl Proven {
    /// Whether it was certain within a span that the client is there.
    fn is_certain_within(&self, span: Duration, now: Instant) -> bool {
        self.certain.is_some_and(|at| now < at + span)
    }
}

/// What became of a proven address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// It was known already.
    Known,
    /// It is new; another one may have had to go.
    New {
        /// The oldest address, when the table of the session was full.
        evicted: Option<Path>,
    },
}

/// The proven addresses of a session, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Paths(Vec<Proven>);

impl Paths {
    pub(super) fn iter(&self) -> impl Iterator<Item = Path> + '_ {
        self.0.iter().map(|proven| proven.path)
    }

    /// The generation of the transport that an address belongs to.
    pub(super) fn generation(&self, path: Path) -> Option<u32> {
        self.get(path).map(|proven| proven.generation)
    }

    /// Whether it was lately certain that the client is there: nobody else may have the address then.
    pub(super) fn holds(&self, path: Path, now: Instant) -> bool {
        self.get(path).is_some_and(|proven| proven.is_certain_within(HELD, now))
    }

    /// Whether the client is to be asked if it is there, when a check comes from there.
    pub(super) fn is_in_doubt(&self, path: Path, now: Instant) -> bool {
        self.get(path).is_none_or(|proven| !proven.is_certain_within(DOUBTED, now))
    }

    /// Takes an address that a check has just proven to a transport.
    pub(super) fn remember(
        &mut self,
        path: Path,
        generation: u32,
        in_use: Option<Path>,
        now: Instant,
    ) -> Binding {
        if let Some(known) = self.get_mut(path) {
            (known.generation, known.heard) = (generation, now);
            return Binding::Known;
        }
        let mut evicted = None;
        if self.0.len() >= PATHS_MAX {
            let oldest = self.0.iter().position(|proven| Some(proven.path) != in_use);
            evicted = oldest.map(|index| self.0.remove(index).path);
        }
        // Most sessions have one address all their life.
        self.0.reserve_exact(1);
        self.0.push(Proven { path, generation, heard: now, certain: None });
        Binding::New { evicted }
    }

    /// Something came from an address that nobody but the client could have sent.
    pub(super) fn confirm(&mut self, path: Path, now: Instant) {
        if let Some(known) = self.get_mut(path) {
            (known.heard, known.certain) = (now, Some(now));
        }
    }

    /// Makes all of them belong to the first transport of a session.
    pub(super) fn belong_to(&mut self, generation: u32) {
        self.0.iter_mut().for_each(|proven| proven.generation = generation);
    }

    /// Gives up all that belong to former transports.
    pub(super) fn retain(&mut self, generation: u32, removed: &mut Vec<Path>) {
        let gone = self.0.extract_if(.., |proven| proven.generation != generation);
        removed.extend(gone.map(|proven| proven.path));
    }

    /// Gives up those where nobody was for long, but not the one in use.
    pub(super) fn expire(&mut self, in_use: Option<Path>, now: Instant, removed: &mut Vec<Path>) {
        let is_silent = |proven: &Proven| Some(proven.path) != in_use && now >= proven.heard + SILENCE;
        let gone = self.0.extract_if(.., |proven| is_silent(proven));
        removed.extend(gone.map(|proven| proven.path));
    }

    pub(super) fn forget(&mut self, path: Path) {
        self.0.retain(|proven| proven.path != path);
    }

    fn get(&self, path: Path) -> Option<&Proven> {
        self.0.iter().find(|proven| proven.path == path)
    }

    fn get_mut(&mut self, path: Path) -> Option<&mut Proven> {
        self.0.iter_mut().find(|proven| proven.path == path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Carrier;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an instant cannot be made without the clock")]
    fn checks_alone_hold_no_address_and_do_not_prolong_what_something_certain_began() {
        let (mut paths, start) = (Paths::default(), Instant::now());
        let local = "192.0.2.1:40000".parse().unwrap();
        let path = |port| Path { carrier: Carrier::Udp, local, remote: ([203, 0, 113, 7], port).into() };
        paths.remember(path(1), 0, None, start);
        assert!(!paths.holds(path(1), start));
        paths.confirm(path(1), start);
        paths.confirm(path(2), start);
        assert!(paths.holds(path(1), start) && !paths.holds(path(2), start));
        assert!(paths.is_in_doubt(path(2), start) && !paths.is_in_doubt(path(1), start));
        let later = start + HELD * 9 / 10;
        assert!(paths.holds(path(1), later) && paths.is_in_doubt(path(1), later));
        assert_eq!(paths.remember(path(1), 0, None, later), Binding::Known);
        assert!(!paths.holds(path(1), start + HELD));
        paths.confirm(path(1), later);
        assert!(paths.holds(path(1), start + HELD) && !paths.is_in_doubt(path(1), later));
        let (mut removed, end) = (Vec::new(), later + SILENCE);
        paths.expire(Some(path(1)), end, &mut removed);
        assert_eq!(removed, []);
        paths.expire(None, end, &mut removed);
        assert_eq!(removed, [path(1)]);
    }
}
