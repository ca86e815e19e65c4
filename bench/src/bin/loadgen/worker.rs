//! A thread that runs endpoints over sockets: one socket for each, because a server tells clients apart by their
//! addresses.
//!
//! Timers stand in a heap, and are looked at between any two sockets, so that a burst leaves on time whatever is
//! received meanwhile.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::ErrorKind;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::Context;
use mio::{Events, Interest, Poll, Token, Waker};
use ringcast_bench::source::Source;

use crate::batch::Batch;
use crate::endpoint::{ClientReport, Endpoint};
use crate::now;

const WAKE: Token = Token(usize::MAX);
/// The longest time between two looks at the orders.
const WAIT_MAX: Duration = Duration::from_millis(100);
/// How long the main thread waits for a reply.
const REPLY_PATIENCE: Duration = Duration::from_secs(30);

/// What the main thread asks of a worker.
pub(crate) enum Order {
    /// Runs one more endpoint; tells its number.
    Add(Box<Endpoint>, Sender<usize>),
    /// Gives an offer to an endpoint with the sources that it brings; tells the answer.
    Offer { endpoint: usize, sdp: String, expects: Vec<u32>, reply: Sender<anyhow::Result<String>> },
    /// Tells how far the endpoints are.
    Status(Sender<Status>),
    /// Stops the sources with ids from this one on.
    Silence(u32, Sender<()>),
    /// Begins to measure: forgets latencies and tells the counters of the sources.
    Begin(Sender<SourceCounters>),
    /// Stops the sources and tells their counters.
    Pause(Sender<SourceCounters>),
    /// Ends the thread and tells what every endpoint has seen.
    Finish(Sender<Vec<ClientReport>>),
}

/// Next counter of each source and layer.
pub(crate) type SourceCounters = HashMap<(u32, u8), u64>;

/// How far the endpoints of one worker are.
#[derive(Debug, Default)]
pub(crate) struct Status {
    pub(crate) connected: usize,
    /// Expected sources of which something came, over all endpoints.
    pub(crate) begun: usize,
    pub(crate) failures: Vec<String>,
}

/// The main thread's end of a worker.
pub(crate) struct Handle {
    orders: Sender<Order>,
    waker: Waker,
    thread: std::thread::JoinHandle<anyhow::Result<()>>,
}

impl Handle {
    pub(crate) fn spawn() -> anyhow::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKE)?;
        let (orders, inbox) = channel();
        let worker = move || {
            let timers = BinaryHeap::new();
            Worker { poll, inbox, endpoints: Vec::new(), timers, batch: Batch::new() }.run()
        };
        let thread = std::thread::Builder::new().name("clients".to_owned()).spawn(worker)?;
        Ok(Self { orders, waker, thread })
    }

    pub(crate) fn ask<T>(&self, order: impl FnOnce(Sender<T>) -> Order) -> anyhow::Result<T> {
        let (reply, answer) = channel();
        self.orders.send(order(reply)).ok().context("a client thread has ended")?;
        self.waker.wake()?;
        answer.recv_timeout(REPLY_PATIENCE).context("a client thread does not answer")
    }

    pub(crate) fn join(self) -> anyhow::Result<()> {
        self.thread.join().ok().context("a client thread has panicked")?
    }
}

struct Worker {
    poll: Poll,
    inbox: Receiver<Order>,
    endpoints: Vec<Endpoint>,
    timers: BinaryHeap<Reverse<(Instant, usize)>>,
    batch: Batch,
}

impl Worker {
    fn run(mut self) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut unfinished: Vec<usize> = Vec::new();
        loop {
            while let Ok(order) = self.inbox.try_recv() {
                if self.obey(order)? {
                    return Ok(());
                }
            }
            let wait = if unfinished.is_empty() { self.wait() } else { Duration::ZERO };
            if let Err(error) = self.poll.poll(&mut events, Some(wait))
                && error.kind() != ErrorKind::Interrupted
            {
                return Err(error.into());
            }
            let mut readable = std::mem::take(&mut unfinished);
            readable.extend(events.iter().map(|event| event.token().0).filter(|token| *token != WAKE.0));
            for index in readable {
                self.run_timers()?;
                if let Some(endpoint) = self.endpoints.get_mut(index)
                    && endpoint.receive(&mut self.batch)?
                {
                    unfinished.push(index);
                }
                self.schedule(index);
            }
            self.run_timers()?;
        }
    }

    fn wait(&self) -> Duration {
        let next = self.timers.peek().map(|Reverse((at, _))| *at);
        next.map_or(WAIT_MAX, |at| at.saturating_duration_since(now()).min(WAIT_MAX))
    }

    /// Enters the next time of an endpoint, unless an earlier one is entered.
    fn schedule(&mut self, index: usize) {
        let Some(endpoint) = self.endpoints.get_mut(index) else { return };
        let Some(at) = endpoint.next_at() else { return };
        if endpoint.scheduled.is_none_or(|entered| at < entered) {
            endpoint.scheduled = Some(at);
            self.timers.push(Reverse((at, index)));
        }
    }

    fn run_timers(&mut self) -> anyhow::Result<()> {
        let time = now();
        while let Some(Reverse((at, index))) = self.timers.peek().copied().filter(|first| first.0.0 <= time) {
            self.timers.pop();
            // An entry that an earlier one has replaced.
            let Some(endpoint) = self.endpoints.get_mut(index).filter(|known| known.scheduled == Some(at))
            else {
                continue;
            };
            endpoint.scheduled = None;
            if endpoint.next_at().is_some_and(|due| due <= time) {
                endpoint.handle_timeout(&mut self.batch)?;
            }
            self.schedule(index);
        }
        Ok(())
    }

    /// Returns whether the thread is to end. A main thread that no longer waits for a reply has given up.
    fn obey(&mut self, order: Order) -> anyhow::Result<bool> {
        match order {
            Order::Add(mut endpoint, reply) => {
                let index = self.endpoints.len();
                self.poll.registry().register(&mut endpoint.socket, Token(index), Interest::READABLE)?;
                endpoint.begin(&mut self.batch)?;
                self.endpoints.push(*endpoint);
                self.schedule(index);
                let _gone = reply.send(index);
            }
            Order::Offer { endpoint: index, sdp, expects, reply } => {
                let endpoint = self.endpoints.get_mut(index).context("there is no such endpoint")?;
                let _gone = reply.send(endpoint.accept_offer(&sdp, &expects, &mut self.batch));
                self.schedule(index);
            }
            Order::Status(reply) => {
                let _gone = reply.send(self.status());
            }
            Order::Silence(from, reply) => {
                let silent = self.sources_mut().filter(|source| source.id() >= from);
                silent.for_each(Source::pause);
                let _gone = reply.send(());
            }
            Order::Begin(reply) => {
                self.endpoints.iter_mut().for_each(Endpoint::reset_latency);
                let _gone = reply.send(self.counters());
            }
            Order::Pause(reply) => {
                self.sources_mut().for_each(Source::pause);
                let _gone = reply.send(self.counters());
            }
            Order::Finish(reply) => {
                for endpoint in &mut self.endpoints {
                    endpoint.end(&mut self.batch)?;
                }
                let _gone = reply.send(self.endpoints.iter().map(Endpoint::report).collect());
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn sources_mut(&mut self) -> impl Iterator<Item = &mut Source> {
        self.endpoints.iter_mut().flat_map(Endpoint::sources_mut)
    }

    fn status(&self) -> Status {
        Status {
            connected: self.endpoints.iter().filter(|endpoint| endpoint.is_connected()).count(),
            begun: self.endpoints.iter().map(Endpoint::begun).sum(),
            failures: self.endpoints.iter().filter_map(Endpoint::failure).collect(),
        }
    }

    fn counters(&self) -> SourceCounters {
        let sources = self.endpoints.iter().flat_map(Endpoint::sources);
        sources
            .flat_map(|source| {
                let layers = source.totals().zip(0..);
                layers.map(|(layer, index)| ((source.id(), index), layer.packets))
            })
            .collect()
    }
}
