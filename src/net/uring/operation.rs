//! The operations that a ring has under way, as plain values.
//!
//! Owns the state of each socket's multishot receive and the numbers by which completions are known. Must not touch
//! the ring. Next: [`super::UringDriver`] arms what has ended.

use std::net::UdpSocket;

use crate::net::{Faults, SocketIndex};

/// A socket and its multishot receive.
pub(super) struct Receiver {
    pub(super) socket: UdpSocket,
    pub(super) state: Receiving,
}

/// The state of a socket's multishot receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Receiving {
    Armed,
    /// Over, as when buffers ran out: to be armed again at once.
    Ended,
    /// Over with an unusual error: to be armed again after a pause.
    Failed(i32),
}

impl Receiver {
    pub(super) fn new(socket: UdpSocket) -> Self {
        Self { socket, state: Receiving::Ended }
    }

    /// Notes how a receive goes on after a completion.
    pub(super) fn note(&mut self, result: i32, more: bool, faults: &mut Faults) {
        if result == -libc::ENOBUFS {
            faults.starved += 1;
        } else if result < 0 && result != -libc::ECANCELED {
            faults.receive_errors += 1;
        }
        if more {
            return;
        }
        // Any completion may be the last of a multishot, also a good one.
        let usual = result >= 0 || result == -libc::ENOBUFS;
        self.state = if usual { Receiving::Ended } else { Receiving::Failed(result.saturating_neg()) };
    }

    /// Returns the unusual error that ended the receive.
    pub(super) fn failure(&self) -> Option<i32> {
        if let Receiving::Failed(error) = self.state { Some(error) } else { None }
    }

    /// Lets a failed receive be armed again.
    pub(super) fn forgive(&mut self) {
        if self.failure().is_some() {
            self.state = Receiving::Ended;
        }
    }
}

/// What a completion answers; travels through the kernel as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Receive(SocketIndex),
    Wake,
    Alarm,
    Send { chunk: u32, piece: u16 },
}

impl Token {
    pub(super) fn pack(self) -> u64 {
        match self {
            Self::Receive(socket) => 1 << 56 | u64::from(socket.number()),
            Self::Wake => 2 << 56,
            Self::Alarm => 4 << 56,
            Self::Send { chunk, piece } => 3 << 56 | u64::from(chunk) << 16 | u64::from(piece),
        }
    }

    pub(super) fn unpack(number: u64) -> Option<Self> {
        let low = number as u16;
        match number >> 56 {
            1 => Some(Self::Receive(SocketIndex::from_number(low))),
            2 => Some(Self::Wake),
            4 => Some(Self::Alarm),
            3 => Some(Self::Send { chunk: (number >> 16) as u32, piece: low }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_way_through_the_kernel() {
        for token in [
            Token::Receive(SocketIndex::bound(0)),
            Token::Receive(SocketIndex::bound(u8::MAX)),
            Token::Wake,
            Token::Alarm,
            Token::Send { chunk: 0, piece: 0 },
            Token::Send { chunk: u32::MAX, piece: u16::MAX },
        ] {
            assert_eq!(Token::unpack(token.pack()), Some(token));
        }
        assert_eq!(Token::unpack(0), None);
        assert_eq!(Token::unpack(u64::MAX), None);
    }

    #[test]
    fn a_receive_is_armed_again_at_once_unless_its_error_is_unusual() {
        let mut receiver = Receiver::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        let mut faults = Faults::default();
        let mut after = |result, more| {
            receiver.state = Receiving::Armed;
            receiver.note(result, more, &mut faults);
            receiver.state
        };
        assert_eq!(after(100, true), Receiving::Armed);
        assert_eq!(after(100, false), Receiving::Ended);
        assert_eq!(after(-libc::ENOBUFS, false), Receiving::Ended);
        assert_eq!(after(-libc::ENOMEM, false), Receiving::Failed(libc::ENOMEM));
        assert_eq!(receiver.failure(), Some(libc::ENOMEM));
        receiver.forgive();
        assert_eq!(receiver.state, Receiving::Ended);
        assert_eq!(faults, Faults { starved: 1, receive_errors: 1, ..Faults::default() });
    }
}
