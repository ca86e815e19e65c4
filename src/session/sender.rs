//! When what goes to one client leaves, and what has left.
//!
//! A packet's way out: the router decides its header, the [`Pacer`] lets it go, the session writes and seals it in place, and
//! only then it is numbered and remembered. So nothing has a transport-wide number that has not been sealed, and nothing that
//! has one is dropped: who seals holds the room in the outbox already.

use std::time::{Duration, Instant};

use super::history::{History, Purpose, Record, TICKS_PER_SECOND, Told, WayNumber, low16};
use super::repair::Budget;
use crate::rtp::rtcp::twcc;

/// What tells one way of media from all others that a session has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Way {
    /// Which transport of the session.
    pub(super) transport: u32,
    /// How often its media had moved.
    pub(super) moves: u32,
}

/// The sending side of one session.
#[derive(Debug)]
pub(super) struct Sender {
    began: Instant,
    /// Of the next packet that carries one.
    next_number: u64,
    /// What was sent, once there is video.
    history: Option<History>,
    /// The way that was last sent by, and its number.
    way: (Way, WayNumber),
    pacer: Pacer,
    /// What may be sent once more.
    pub(super) repair: Budget,
    /// The turn, and how many entries of feedback are still read in it.
    told: Option<(Instant, usize)>,
}

/// Holds back what the way to the client has no room for. This one knows no bound: it holds back nothing.
#[derive(Debug)]
pub(super) struct Pacer {
    /// Bytes that may leave at once.
    allowance: u64,
}

impl Pacer {
    const UNBOUNDED: Self = Self { allowance: u64::MAX };

    /// Whether so many bytes may leave now.
    #[inline]
    pub(super) fn admits(&self, bytes: u64) -> bool {
        bytes <= self.allowance
    }
}

impl Sender {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            began: now,
            next_number: 0,
            history: None,
            way: Default::default(),
            pacer: Pacer::UNBOUNDED,
            repair: Budget::default(),
            told: None,
        }
    }

    /// Begins to remember what is sent, unless it does.
    pub(super) fn remember(&mut self) {
        self.history.get_or_insert_with(|| History::new(self.next_number));
    }

    /// Whether it remembers what is sent.
    pub(super) fn remembers(&self) -> bool {
        self.history.is_some()
    }

    /// Takes note of the way by which what follows is sent.
    #[inline]
    pub(super) fn go_by(&mut self, way: Way) {
        if self.way.0 != way {
            self.way = (way, self.way.1.next());
        }
    }

    pub(super) fn pacer(&self) -> &Pacer {
        &self.pacer
    }

    /// The moment as the history has it.
    #[inline]
    pub(super) fn tick(&self, now: Instant) -> u32 {
        ticks(now.saturating_duration_since(self.began))
    }

    /// The number that the next packet is to carry. It is given away by [`Self::sent`], not before.
    #[inline]
    pub(super) fn next_number(&self) -> u16 {
        low16(self.next_number)
    }

    /// Takes note of a sealed packet that carries the next number.
    #[inline]
    pub(super) fn sent(&mut self, at: u32, bytes: usize, purpose: Purpose) {
        self.next_number += 1;
        if let Some(history) = &mut self.history {
            history.push(Record::new(at, bytes, self.way.1, purpose));
        }
    }

    /// Takes the client's feedback on the numbers of this transport, as far as the history reaches, and returns what is new
    /// of it. In one turn no more is read than twice the history holds, whatever the datagrams say: a client that has more to
    /// say says something twice.
    pub(super) fn reported(&mut self, information: &[u8], now: Instant) -> Told {
        let mut told = Told::default();
        let Some(history) = &mut self.history else { return told };
        let mut left = match self.told {
            Some((turn, left)) if turn == now => left,
            _ => 2 * history.reach(),
        };
        for arrival in twcc::arrivals(information).into_iter().flatten().take(history.reach().min(left)) {
            left -= 1;
            history.reported(arrival.number, arrival.delta.is_some(), self.way.1, &mut told);
        }
        self.told = Some((now, left));
        told
    }
}

/// Ticks of a span, modulo 2^32.
fn ticks(span: Duration) -> u32 {
    let seconds = (span.as_secs() & u64::from(u32::MAX)) as u32;
    seconds.wrapping_mul(TICKS_PER_SECOND).wrapping_add(span.subsec_micros() / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "an instant cannot be made without the clock")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn of_feedback_no_more_is_read_in_a_turn_than_twice_what_is_remembered() {
        let now = start();
        let mut sender = Sender::new(now);
        sender.remember();
        (0..100).for_each(|_| sender.sent(0, 1000, Purpose::Media));
        let reach = sender.history.as_ref().unwrap().reach();
        // From number 0 on, 8,191 packets that have not come: one run (draft-holmer-rmcat-transport-wide-cc-extensions-01 3.1.3).
        let nothing_came = [0, 0, 0x1f, 0xff, 0, 0, 0, 0, 0x1f, 0xff];
        for _ in 0..1000 {
            sender.reported(&nothing_came, now);
        }
        assert_eq!(sender.told, Some((now, 0)));
        let later = now + Duration::from_millis(1);
        sender.reported(&nothing_came, later);
        assert_eq!(sender.told, Some((later, reach)));
    }
}
