//! Replay protection (RFC 3711 3.3.2): per source, the newest index and which of the 64 up to it were seen.

/// Indices that one window covers (RFC 3711 3.3.2 asks for at least 64).
const WINDOW: u64 = 64;

/// Sources that one table remembers. A browser reports from a handful; only an authenticated client can add
/// any, and only to the table of its own session.
pub(super) const SOURCES_MAX: usize = 64;

/// What was seen of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// Newest authenticated index.
    newest: u64,
    /// Bit i stands for index `newest - i`.
    seen: u64,
}

impl Window {
    /// Starts with the first authenticated index.
    fn new(index: u64) -> Window {
        Window { newest: index, seen: 1 }
    }

    /// The newest authenticated index.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// Tells whether an index is neither seen nor too old to tell.
    fn is_fresh(&self, index: u64) -> bool {
        match self.newest.checked_sub(index) {
            None => true,
            Some(age) => age < WINDOW && self.seen & (1 << age) == 0,
        }
    }

    /// Notes an index that was fresh and authentic.
    fn note(&mut self, index: u64) {
        match index.checked_sub(self.newest) {
            Some(ahead) => {
                self.seen = if ahead < WINDOW { self.seen << ahead | 1 } else { 1 };
                self.newest = index;
            }
            None => {
                let age = self.newest - index;
                if age < WINDOW {
                    self.seen |= 1 << age;
                }
            }
        }
    }
}

/// The windows of the sources of one peer, busy ones in front.
///
/// When a source comes that has no place, the least busy one is forgotten: its old packets could then be
/// played again, but only its own.
#[derive(Debug, Default)]
pub(super) struct Windows {
    entries: Vec<(u32, Window)>,
}

impl Windows {
    /// What was seen of a source; `None` before its first authentic packet.
    pub(super) fn get(&self, ssrc: u32) -> Option<&Window> {
        self.entries.iter().find(|(known, _)| *known == ssrc).map(|(_, window)| window)
    }

    /// Tells whether a packet may be opened: to be asked before the cryptography.
    pub(super) fn is_fresh(&self, ssrc: u32, index: u64) -> bool {
        self.get(ssrc).is_none_or(|window| window.is_fresh(index))
    }

    /// Notes a packet: only after it proved authentic.
    pub(super) fn note(&mut self, ssrc: u32, index: u64) {
        let place = self.entries.iter().position(|(known, _)| *known == ssrc);
        match place {
            Some(place) => {
                if let Some((_, window)) = self.entries.get_mut(place) {
                    window.note(index);
                }
                // One step to the front per packet keeps busy sources near it.
                self.entries.swap(place, place.saturating_sub(1));
            }
            None => {
                if self.entries.len() >= SOURCES_MAX {
                    self.entries.pop();
                }
                self.entries.push((ssrc, Window::new(index)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_index_is_fresh_once_within_the_window_and_never_below_it() {
        let mut windows = Windows::default();
        assert!(windows.is_fresh(1, 100));
        windows.note(1, 100);
        assert!(!windows.is_fresh(1, 100));
        assert!(windows.is_fresh(1, 101) && windows.is_fresh(1, 99) && windows.is_fresh(1, 37));
        assert!(!windows.is_fresh(1, 36), "64 below the newest");
        windows.note(1, 99);
        assert!(!windows.is_fresh(1, 99));
        windows.note(1, 163);
        assert!(!windows.is_fresh(1, 100) && windows.is_fresh(1, 101));
        windows.note(1, 10_000);
        assert!(!windows.is_fresh(1, 163) && windows.is_fresh(1, 9_999));
    }

    #[test]
    fn sources_do_not_disturb_each_other() {
        let mut windows = Windows::default();
        windows.note(1, 500);
        assert!(windows.is_fresh(2, 3));
        windows.note(2, 3);
        assert!(!windows.is_fresh(2, 3) && !windows.is_fresh(1, 3));
    }

    #[test]
    fn the_table_is_bounded_and_busy_sources_stay() {
        let mut windows = Windows::default();
        for index in 0..10_000 {
            windows.note(7, u64::from(index));
            windows.note(1_000 + index, 1);
        }
        assert_eq!(windows.entries.len(), SOURCES_MAX);
        assert_eq!(windows.get(7).map(Window::newest), Some(9_999));
    }
}
