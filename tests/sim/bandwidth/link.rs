//! One direction of a path: a rate that changes, a queue that holds so many milliseconds of it, delay, jitter in order, loss.

use std::collections::VecDeque;

use ringcast::congestion::Micros;

use super::Rng;

/// Loss of packets beside the queue's.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Loss {
    None,
    /// This share of packets, each by itself.
    Random(f64),
    /// In bursts: this share is lost in all, half of what is sent while they last.
    Bursts(f64),
}

/// What else takes room in the queue.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cross {
    None,
    /// So many kilobits per second, from one second to another.
    Constant(u64, u64, u64),
    /// A flow that adds and halves, as TCP does, from one second to another.
    Adapting(u64, u64),
}

/// A path to a client.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    /// From which millisecond on it carries how many kilobits per second.
    pub(crate) rates: Vec<(u64, u64)>,
    /// What its queue holds, milliseconds.
    pub(crate) queue_ms: u64,
    pub(crate) round_trip_ms: u64,
    pub(crate) jitter_ms: u64,
    pub(crate) loss: Loss,
    pub(crate) cross: Cross,
    /// Bytes of the bucket of a policer, which drops instead of queueing.
    pub(crate) bucket: Option<u64>,
    /// Stalls: every so many milliseconds, of up to so many.
    pub(crate) stalls: Option<(u64, u64)>,
}

impl Spec {
    pub(crate) fn steady(kilobits: u64) -> Self {
        Self {
            rates: vec![(0, kilobits)],
            queue_ms: 200,
            round_trip_ms: 50,
            jitter_ms: 0,
            loss: Loss::None,
            cross: Cross::None,
            bucket: None,
            stalls: None,
        }
    }
}

#[derive(Debug)]
struct Waiting<T> {
    bytes: u64,
    since: Micros,
    /// `None` for the packet of another flow.
    packet: Option<T>,
}

#[derive(Debug)]
pub(crate) struct Link<T> {
    spec: Spec,
    rng: Rng,
    waiting: VecDeque<Waiting<T>>,
    bytes: u64,
    free_at: Micros,
    last_arrival: Micros,
    arriving: VecDeque<(Micros, T)>,
    in_burst: bool,
    tokens: f64,
    tokens_at: Micros,
    stall_until: Micros,
    next_stall: Micros,
    cross_debt: f64,
    cross_bps: f64,
    cross_at: Micros,
}

impl<T> Link<T> {
    pub(crate) fn new(spec: Spec, seed: u64) -> Self {
        let next_stall = spec.stalls.map_or(Micros::MAX, |(every, _)| every * 1000);
        let tokens = spec.bucket.unwrap_or(0) as f64;
        Self {
            spec,
            rng: Rng::new(seed),
            waiting: VecDeque::new(),
            bytes: 0,
            free_at: 0,
            last_arrival: 0,
            arriving: VecDeque::new(),
            in_burst: false,
            tokens,
            tokens_at: 0,
            stall_until: 0,
            next_stall,
            cross_debt: 0.0,
            cross_bps: 200_000.0,
            cross_at: 0,
        }
    }

    pub(crate) fn bps(&self, now: Micros) -> u64 {
        let rates = self.spec.rates.iter();
        rates.take_while(|(from, _)| from * 1000 <= now).last().map_or(0, |(_, kilobits)| kilobits * 1000)
    }

    fn loses(&mut self) -> bool {
        match self.spec.loss {
            Loss::None => false,
            Loss::Random(share) => self.rng.share() < share,
            Loss::Bursts(share) => {
                let bad = 2.0 * share;
                let (leaves, enters) = (0.25, 0.25 * bad / (1.0 - bad));
                self.in_burst =
                    if self.in_burst { self.rng.share() >= leaves } else { self.rng.share() < enters };
                self.in_burst && self.rng.share() < 0.5
            }
        }
    }

    /// Takes a packet; returns how long it will wait, or nothing when it is lost on the way in.
    pub(crate) fn send(&mut self, now: Micros, bytes: u64, packet: T) -> Option<Micros> {
        if self.loses() {
            return Some(0);
        }
        if let Some(bucket) = self.spec.bucket {
            let grown = (now - self.tokens_at) as f64 * self.bps(now) as f64 / 8e6;
            self.tokens = (self.tokens + grown).min(bucket as f64);
            self.tokens_at = now;
            if self.tokens < bytes as f64 {
                return None;
            }
            self.tokens -= bytes as f64;
            self.arrive(now, packet);
            return Some(0);
        }
        self.enqueue(now, bytes, Some(packet)).then(|| self.bytes * 8_000_000 / self.bps(now).max(1))
    }

    fn enqueue(&mut self, now: Micros, bytes: u64, packet: Option<T>) -> bool {
        let room = (self.spec.queue_ms * self.bps(now) / 8000).max(3_000);
        if self.bytes + bytes > room {
            return false;
        }
        self.bytes += bytes;
        self.waiting.push_back(Waiting { bytes, since: now, packet });
        true
    }

    fn arrive(&mut self, left: Micros, packet: T) {
        let jitter = (self.rng.share() * self.spec.jitter_ms as f64 * 1000.0) as u64;
        let at = (left + self.spec.round_trip_ms * 500 + jitter).max(self.last_arrival);
        self.last_arrival = at;
        self.arriving.push_back((at, packet));
    }

    /// Lets time go by up to this moment.
    pub(crate) fn advance(&mut self, now: Micros) {
        if now >= self.next_stall
            && let Some((every, longest)) = self.spec.stalls
        {
            let len = 100_000 + (self.rng.share() * (longest as f64 - 100.0) * 1000.0) as u64;
            self.stall_until = now + len;
            self.next_stall = now + every * 500 + (self.rng.share() * every as f64 * 1000.0) as u64;
        }
        self.cross(now);
        while let Some(front) = self.waiting.front() {
            let begins = self.free_at.max(front.since).max(self.stall_until);
            let done = begins + front.bytes * 8_000_000 / self.bps(begins.min(now)).max(1);
            if done > now {
                break;
            }
            self.free_at = done;
            self.bytes -= front.bytes;
            if let Some(packet) = self.waiting.pop_front().and_then(|waiting| waiting.packet) {
                self.arrive(done, packet);
            }
        }
    }

    fn cross(&mut self, now: Micros) {
        let since = (now - self.cross_at) as f64;
        self.cross_at = now;
        let second = now / 1_000_000;
        let bps = match self.spec.cross {
            Cross::Constant(kilobits, from, to) if (from..to).contains(&second) => kilobits as f64 * 1000.0,
            Cross::Adapting(from, to) if (from..to).contains(&second) => {
                // A packet per round trip more, each round trip.
                let trip =
                    self.spec.round_trip_ms as f64 / 1000.0 + self.bytes as f64 * 8.0 / self.bps(now) as f64;
                self.cross_bps += 10_000.0 / trip * (since / 1e6 / trip);
                self.cross_bps
            }
            _ => return,
        };
        self.cross_debt += bps * since / 8e6;
        while self.cross_debt >= 1250.0 {
            self.cross_debt -= 1250.0;
            if !self.enqueue(now, 1250, None) {
                self.cross_bps = (self.cross_bps * 0.7).max(100_000.0);
            }
        }
    }

    /// What has arrived by this moment, and when.
    pub(crate) fn arrived(&mut self, now: Micros) -> Option<(Micros, T)> {
        self.arriving.front().filter(|(at, _)| *at <= now)?;
        self.arriving.pop_front()
    }
}
