//! The addresses of a client that it has proven by a check.
//!
//! Bound: [`PATHS_MAX`]; the oldest gives way, but not the one in use.

use super::transport::Path;

/// Client addresses that one session may hold at a time.
pub const PATHS_MAX: usize = 16;

#[derive(Debug, Clone, Copy)]
struct Proven {
    path: Path,
    /// Of the transport that it belongs to.
    generation: u32,
}

/// What became of a proven address in [`Paths::remember`].
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
        self.0.iter().find(|proven| proven.path == path).map(|proven| proven.generation)
    }

    /// Takes an address that a check has just proven to a transport.
    pub(super) fn remember(&mut self, path: Path, generation: u32, in_use: Option<Path>) -> Binding {
        if let Some(known) = self.0.iter_mut().find(|proven| proven.path == path) {
            known.generation = generation;
            return Binding::Known;
        }
        let mut evicted = None;
        if self.0.len() >= PATHS_MAX {
            let oldest = self.0.iter().position(|proven| Some(proven.path) != in_use);
            evicted = oldest.map(|index| self.0.remove(index).path);
        }
        self.0.push(Proven { path, generation });
        Binding::New { evicted }
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

    pub(super) fn forget(&mut self, path: Path) {
        self.0.retain(|proven| proven.path != path);
    }
}
