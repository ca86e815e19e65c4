//! When what goes to one client leaves, and what has left.
//!
//! A packet's way out: the router decides its header, the pacer lets it go, the session writes and seals it in place, and
//! only then it is numbered and remembered. So nothing has a transport-wide number that has not been sealed, and nothing that
//! has one is dropped: who seals holds the room in the outbox already.

use std::time::Instant;

use super::history::{History, Record, Sort, TICK, Told, WayNumber, low16};
use super::regulator::Regulator;
use super::repair::Budget;
use crate::congestion::{Demand, Micros, Reception};
use crate::rtp::rtcp::twcc;

/// What tells one way of media from all others that a session has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Way {
    /// Which transport of the session.
    pub(super) transport: u32,
    /// How often its media had moved.
    pub(super) moves: u32,
    /// Whether it is a connection, which loses nothing.
    pub(super) is_stream: bool,
}

/// The sending side of one session.
#[derive(Debug)]
pub(super) struct Sender {
    began: Instant,
    /// Of the next packet that carries one.
    next_number: u64,
    /// What was sent, once there is video.
    history: Option<History>,
    /// What the path carries, once there is video.
    pub(super) regulator: Option<Box<Regulator>>,
    /// The way that was last sent by, and its number.
    way: (Way, WayNumber),
    /// What may be sent once more.
    pub(super) repair: Budget,
    /// The turn, and how many entries of feedback are still read in it.
    told: Option<(Instant, usize)>,
}

impl Sender {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            began: now,
            next_number: 0,
            history: None,
            regulator: None,
            way: Default::default(),
            repair: Budget::default(),
            told: None,
        }
    }

    /// Begins to remember what is sent, unless it does, and to estimate what the path carries: `has_feedback` where the client
    /// has agreed to tell of packets by their numbers.
    pub(super) fn remember(&mut self, now: Instant, has_feedback: bool) {
        if self.history.is_some() {
            return;
        }
        let mut regulator = Regulator::new(self.micros(now), has_feedback);
        regulator.set_stream(self.way.0.is_stream);
        self.history = Some(History::new(self.next_number));
        self.regulator = Some(Box::new(regulator));
    }

    /// Whether it remembers what is sent.
    pub(super) fn remembers(&self) -> bool {
        self.history.is_some()
    }

    /// Takes note of the way by which what follows is sent.
    #[inline]
    pub(super) fn go_by(&mut self, way: Way, now: Micros) {
        if self.way.0 != way {
            self.change_way(way, now);
        }
    }

    #[cold]
    fn change_way(&mut self, way: Way, now: Micros) {
        let is_first = self.way.0 == Way::default();
        self.way = (way, self.way.1.next());
        let Some(regulator) = &mut self.regulator else { return };
        regulator.set_stream(way.is_stream);
        if !is_first {
            regulator.moved(now);
        }
    }

    /// Microseconds since the session began.
    #[inline]
    pub(super) fn micros(&self, now: Instant) -> Micros {
        let since = now.saturating_duration_since(self.began);
        since.as_secs() * 1_000_000 + u64::from(since.subsec_micros())
    }

    /// The moment as the history has it, modulo 2^32.
    #[inline]
    pub(super) fn tick(&self, now: Instant) -> u32 {
        ticks(self.micros(now))
    }

    /// Whether so many bytes of video may leave now. What may not is to wait.
    #[inline]
    pub(super) fn admits(&mut self, now: Micros, bytes: u64) -> bool {
        self.regulator.as_mut().is_none_or(|regulator| regulator.admits(now, bytes))
    }

    /// The number that the next packet is to carry. It is given away by [`Self::sent`], not before.
    #[inline]
    pub(super) fn next_number(&self) -> u16 {
        low16(self.next_number)
    }

    /// Takes note of a sealed packet; `has_number` when it carries the next number.
    #[inline]
    pub(super) fn sent(&mut self, now: Micros, bytes: usize, sort: Sort, has_number: bool) {
        let mut sort = sort;
        if let Some(regulator) = &mut self.regulator {
            sort.cluster = if has_number { regulator.cluster() } else { 0 };
            regulator.sent(now, bytes as u64, sort);
        }
        if has_number {
            self.next_number += 1;
            if let Some(history) = &mut self.history {
                history.push(Record::new(ticks(now), bytes, self.way.1, sort));
            }
        }
    }

    /// Takes the client's feedback on the numbers of this transport, as far as the history reaches, and returns what is new
    /// of it. In one turn no more is read than twice the history holds, whatever the datagrams say: a client that has more to
    /// say says something twice.
    pub(super) fn reported(&mut self, information: &[u8], now: Instant) -> Told {
        let (mut told, at) = (Told::default(), self.micros(now));
        let (Some(history), Some(regulator)) = (&mut self.history, &mut self.regulator) else { return told };
        let reach = history.reach();
        let left = match self.told {
            Some((turn, left)) if turn == now => left,
            _ => 2 * reach,
        };
        let (present, mut arrived, mut read) = (self.way.1, regulator.reference(information), 0);
        let arrivals = twcc::arrivals(information).into_iter().flatten().take(reach.min(left));
        let news = arrivals.filter_map(|arrival| {
            read += 1;
            let came = arrival.delta.map(|delta| {
                arrived += i64::from(delta) * twcc::DELTA_UNIT;
                arrived
            });
            let news = history.reported(arrival.number, came.is_some(), present, &mut told)?;
            Some((news, came))
        });
        regulator.told(at, news);
        self.repair.set_share(regulator.repair_share(at));
        self.told = Some((now, left - read));
        told
    }

    /// Takes a receiver report on all streams together.
    pub(super) fn received(&mut self, report: Reception, now: Instant) {
        let at = self.micros(now);
        if let Some(regulator) = &mut self.regulator {
            regulator.received(at, report);
            self.repair.set_share(regulator.repair_share(at));
        }
    }

    /// Takes what is wanted of the path.
    pub(super) fn set_demand(&mut self, demand: Demand, is_measured: bool, now: Instant) {
        let at = self.micros(now);
        if let Some(regulator) = &mut self.regulator {
            regulator.set_demand(at, demand, is_measured);
            self.repair.set_share(regulator.repair_share(at));
        }
    }

    /// Takes the ceiling that the client names, bits per second.
    pub(super) fn capped(&mut self, bps: u64, now: Instant) {
        let at = self.micros(now);
        if let Some(regulator) = &mut self.regulator {
            regulator.capped(at, bps);
        }
    }

    /// Closes a second.
    pub(super) fn close_second(&mut self, now: Instant) {
        let at = self.micros(now);
        self.repair.tick();
        if let Some(regulator) = &mut self.regulator {
            regulator.tick(at);
        }
    }
}

/// Ticks of a moment, modulo 2^32.
fn ticks(at: Micros) -> u32 {
    // Lossless: the mask keeps 32 bits.
    ((at / TICK) & u64::from(u32::MAX)) as u32
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
        sender.remember(now, true);
        (0..100).for_each(|_| sender.sent(0, 1000, Sort::default(), true));
        let reach = sender.history.as_ref().unwrap().reach();
        // From number 0 on, 8,191 packets that have not come: one run (draft-holmer-rmcat-transport-wide-cc-extensions-01 3.1.3).
        let nothing_came = [0, 0, 0x1f, 0xff, 0, 0, 0, 0, 0x1f, 0xff];
        for _ in 0..1000 {
            sender.reported(&nothing_came, now);
        }
        assert_eq!(sender.told, Some((now, 0)));
        let later = now + std::time::Duration::from_millis(1);
        sender.reported(&nothing_came, later);
        assert_eq!(sender.told, Some((later, reach)));
    }
}
