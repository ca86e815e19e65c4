//! The names by which one shard tells its sockets apart.
//!
//! ```text
//! | kind, 2 bits: 0 bound, 1 dialled, 2 listener | position among those of its kind, 14 bits |
//! ```

/// How many sockets of a kind can be named.
const POSITIONS: u16 = 1 << 14;
const DIALLED: u16 = POSITIONS;
const LISTENER: u16 = POSITIONS * 2;

/// Sockets of single sessions that one shard has at most.
pub const DIALLED_MAX: usize = POSITIONS as usize;

/// Names a socket of a shard, or the listener of its connections: the same on all shards of a shared port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SocketIndex(u16);

/// What a [`SocketIndex`] stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketKind {
    /// A UDP socket of all sessions: its position in the list that the driver was made from.
    Bound,
    /// A UDP socket of one session that calls another server.
    Dialled,
    /// A TCP listener: its position in the list of TCP candidates.
    Listener,
}

impl SocketIndex {
    /// The bound socket at a position.
    #[inline]
    pub const fn bound(position: u8) -> Self {
        Self(position as u16)
    }

    /// The dialled socket at a position; `None` from [`DIALLED_MAX`] on.
    pub fn dialled(position: usize) -> Option<Self> {
        Self::of(DIALLED, position)
    }

    /// The listener at a position; `None` beyond what can be named.
    pub fn listener(position: usize) -> Option<Self> {
        Self::of(LISTENER, position)
    }

    /// What it stands for.
    #[inline]
    pub const fn kind(self) -> SocketKind {
        match self.0 / POSITIONS {
            0 => SocketKind::Bound,
            1 => SocketKind::Dialled,
            _ => SocketKind::Listener,
        }
    }

    /// Where it stands among those of its kind.
    #[inline]
    pub const fn position(self) -> usize {
        (self.0 % POSITIONS) as usize
    }

    /// Whether it is one of the driver's.
    #[inline]
    pub const fn is_bound(self) -> bool {
        self.0 < DIALLED
    }

    /// Whether it is that of one session.
    #[inline]
    pub const fn is_dialled(self) -> bool {
        self.0 / POSITIONS == DIALLED / POSITIONS
    }

    /// As a number, for what travels through the kernel.
    pub(super) const fn number(self) -> u16 {
        self.0
    }

    /// Undoes [`Self::number`].
    pub(super) const fn from_number(number: u16) -> Self {
        Self(number)
    }

    fn of(kind: u16, position: usize) -> Option<Self> {
        let position = u16::try_from(position).ok().filter(|position| *position < POSITIONS)?;
        Some(Self(kind + position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_kind_and_position() {
        let last = DIALLED_MAX - 1;
        for (name, kind, position) in [
            (Some(SocketIndex::bound(0)), SocketKind::Bound, 0),
            (Some(SocketIndex::bound(u8::MAX)), SocketKind::Bound, 255),
            (SocketIndex::dialled(0), SocketKind::Dialled, 0),
            (SocketIndex::dialled(last), SocketKind::Dialled, last),
            (SocketIndex::listener(0), SocketKind::Listener, 0),
            (SocketIndex::listener(last), SocketKind::Listener, last),
        ] {
            let name = name.unwrap();
            assert_eq!(
                (name.kind(), name.position(), name.is_bound()),
                (kind, position, kind == SocketKind::Bound)
            );
            assert_eq!(SocketIndex::from_number(name.number()), name);
        }
        assert_eq!((SocketIndex::dialled(last + 1), SocketIndex::listener(usize::MAX)), (None, None));
    }
}
