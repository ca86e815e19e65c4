//! A thread that runs clients over sockets: one socket for each, because a server tells clients apart by their
//! addresses.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::Context;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token, Waker};
use ringcast_bench::client::Client;
use ringcast_bench::reception::ReceivedStream;

use crate::now;

const WAKE: Token = Token(usize::MAX);
/// Datagrams taken from one socket before the others have their turn.
const RECEIVE_BUDGET: usize = 64;
/// The longest time between two looks at the orders.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// What the main thread asks of a worker.
pub(crate) enum Order {
    /// Runs one more client.
    Add(Box<Client>, std::net::UdpSocket),
    /// Tells how far the clients are.
    Status(Sender<Status>),
    /// Begins to measure: forgets latencies and tells the counters of the sources.
    Begin(Sender<SourceCounters>),
    /// Stops the sources and tells their counters.
    Pause(Sender<SourceCounters>),
    /// Ends the thread and tells what every client has seen.
    Finish(Sender<Vec<ClientReport>>),
}

/// Next counter of each source and layer.
pub(crate) type SourceCounters = HashMap<(u32, u8), u64>;

/// How far the clients of one worker are.
#[derive(Debug, Default)]
pub(crate) struct Status {
    pub(crate) connected: usize,
    /// Clients that have received something on as many streams as they expect.
    pub(crate) streams: usize,
    pub(crate) failures: Vec<String>,
}

/// What one client has seen.
pub(crate) struct ClientReport {
    pub(crate) publisher: bool,
    pub(crate) created_at: Instant,
    pub(crate) connected_at: Option<Instant>,
    pub(crate) streams: Vec<ReceivedStream>,
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
        let worker = Worker { poll, inbox, clients: Vec::new() };
        let thread = std::thread::Builder::new().name("clients".to_owned()).spawn(move || worker.run())?;
        Ok(Self { orders, waker, thread })
    }

    pub(crate) fn order(&self, order: Order) -> anyhow::Result<()> {
        self.orders.send(order).ok().context("a client thread has ended")?;
        self.waker.wake()?;
        Ok(())
    }

    pub(crate) fn ask<T>(&self, order: impl FnOnce(Sender<T>) -> Order) -> anyhow::Result<T> {
        let (reply, answer) = channel();
        self.order(order(reply))?;
        answer.recv_timeout(Duration::from_secs(10)).context("a client thread does not answer")
    }

    pub(crate) fn join(self) -> anyhow::Result<()> {
        self.thread.join().ok().context("a client thread has panicked")?
    }
}

struct Running {
    client: Client,
    socket: UdpSocket,
}

struct Worker {
    poll: Poll,
    inbox: Receiver<Order>,
    clients: Vec<Running>,
}

impl Worker {
    fn run(mut self) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; 4096];
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
                if let Some(running) = self.clients.get_mut(index)
                    && running.receive(&mut buffer)?
                {
                    unfinished.push(index);
                }
            }
            let time = now();
            for running in &mut self.clients {
                if running.client.poll_timeout().is_some_and(|at| at <= time) {
                    running.client.handle_timeout(now());
                    running.send()?;
                }
            }
        }
    }

    fn wait(&self) -> Duration {
        let next = self.clients.iter().filter_map(|running| running.client.poll_timeout()).min();
        next.map_or(WAIT_MAX, |at| at.saturating_duration_since(now()).min(WAIT_MAX))
    }

    /// Returns whether the thread is to end. A main thread that no longer waits for a reply has given up.
    fn obey(&mut self, order: Order) -> anyhow::Result<bool> {
        match order {
            Order::Add(client, socket) => {
                socket.set_nonblocking(true)?;
                let mut socket = UdpSocket::from_std(socket);
                self.poll.registry().register(&mut socket, Token(self.clients.len()), Interest::READABLE)?;
                let mut running = Running { client: *client, socket };
                running.client.handle_timeout(now());
                running.send()?;
                self.clients.push(running);
            }
            Order::Status(reply) => {
                let _gone = reply.send(self.status());
            }
            Order::Begin(reply) => {
                self.clients.iter_mut().for_each(|running| running.client.reset_latency());
                let _gone = reply.send(self.counters());
            }
            Order::Pause(reply) => {
                let sections = self.clients.iter_mut().flat_map(|running| running.client.published_mut());
                sections.for_each(|section| section.source.pause());
                let _gone = reply.send(self.counters());
            }
            Order::Finish(reply) => {
                let reports = self.clients.iter().map(|running| ClientReport {
                    publisher: !running.client.published().is_empty(),
                    created_at: running.client.created_at(),
                    connected_at: running.client.connected_at(),
                    streams: running.client.streams().to_vec(),
                });
                let _gone = reply.send(reports.collect());
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn status(&self) -> Status {
        let clients = || self.clients.iter().map(|running| &running.client);
        Status {
            connected: clients().filter(|client| client.connected_at().is_some()).count(),
            streams: clients().map(|client| client.streams().len()).sum(),
            failures: clients()
                .filter_map(|client| client.failure().or_else(|| client.is_closed().then_some("closed")))
                .map(str::to_owned)
                .collect(),
        }
    }

    fn counters(&self) -> SourceCounters {
        let sections = self.clients.iter().flat_map(|running| running.client.published());
        sections
            .flat_map(|section| {
                let source = section.source.id();
                section.source.totals().zip(0..).map(move |(layer, index)| ((source, index), layer.packets))
            })
            .collect()
    }
}

impl Running {
    /// Returns whether more may wait in the socket.
    fn receive(&mut self, buffer: &mut [u8]) -> anyhow::Result<bool> {
        for _ in 0..RECEIVE_BUDGET {
            match self.socket.recv_from(buffer) {
                Ok((len, source)) => {
                    self.client.handle_datagram(now(), source, buffer.get(..len).unwrap_or_default());
                    self.send()?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                // An ICMP error of an earlier send; ICE finds out by itself whether the server is there.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    fn send(&mut self) -> anyhow::Result<()> {
        while let Some(transmit) = self.client.poll_transmit() {
            match self.socket.send_to(&transmit.contents, transmit.destination) {
                Ok(_) => {}
                // A full socket buffer loses the datagram, as the network would.
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionRefused) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
