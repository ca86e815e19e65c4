//! One socket and who is behind it: a client of a server, or the publisher or a sink of the bare loop. All receive
//! by the same code.

use std::net::SocketAddr;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use ringcast_bench::client::Client;
use ringcast_bench::histogram::Histogram;
use ringcast_bench::lean::{Lean, Numbering, Opening, Tally};
use ringcast_bench::opening::Opener;
use ringcast_bench::reception::CounterSet;
use ringcast_bench::sealing::{Cipher, JOIN, Key, LEAVE};
use ringcast_bench::source::Source;

use crate::batch::{BATCH, Batch, address};
use crate::now;
use crate::plain::PlainPublisher;

/// Batches taken from one socket before the others have their turn.
const RECEIVE_BUDGET: usize = 4;

/// Who is behind a socket.
pub(crate) enum Peer {
    /// A client of a server.
    Client(Box<Client>),
    /// The publisher of the bare loop.
    Publisher(PlainPublisher),
    /// A sink of the bare loop at this address.
    Sink(SocketAddr),
}

/// One socket with its peer.
pub(crate) struct Endpoint {
    pub(crate) socket: UdpSocket,
    pub(crate) peer: Peer,
    /// Reads the headers of what comes; without it the client's engine takes everything.
    pub(crate) lean: Option<Lean>,
    /// Sources that it should receive.
    pub(crate) expects: Vec<u32>,
    /// Is told once when the client is connected.
    pub(crate) connected: Option<Sender<()>>,
    pub(crate) created_at: Instant,
    pub(crate) epoch: Instant,
    /// Where it has sent to.
    server_port: u16,
    /// The entry of this endpoint among the timers.
    pub(crate) scheduled: Option<Instant>,
}

/// What came of one source.
pub(crate) struct SourceReport {
    pub(crate) source: u32,
    pub(crate) layer: u8,
    counters: Counters,
}

enum Counters {
    Stamped(CounterSet),
    /// Extended sequence numbers, and the one that counter 0 has.
    Numbered(Tally, i64),
}

/// What one endpoint has seen.
#[derive(Default)]
pub(crate) struct ClientReport {
    pub(crate) publisher: bool,
    pub(crate) created_at: Option<Instant>,
    pub(crate) connected_at: Option<Instant>,
    pub(crate) first_at: Option<Instant>,
    pub(crate) expects: Vec<u32>,
    pub(crate) sources: Vec<SourceReport>,
    /// Our port, and the one that this endpoint sends to.
    pub(crate) port: u16,
    pub(crate) server_port: u16,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) repeated: u64,
    pub(crate) damaged: u64,
    pub(crate) samples: u64,
    pub(crate) renumbered: u64,
    pub(crate) latency: Histogram,
}

impl SourceReport {
    /// What headers have told of a source whose counter 0 has this number.
    pub(crate) fn numbered(numbering: &Numbering, tally: Tally) -> Self {
        let counters = Counters::Numbered(tally, numbering.base);
        Self { source: numbering.source, layer: numbering.layer, counters }
    }

    /// Distinct packets with counters from `begin` up to `end` that came.
    pub(crate) fn received_between(&self, begin: u64, end: u64) -> u64 {
        let shifted = |counter: u64, base: i64| counter.saturating_add_signed(base);
        match &self.counters {
            Counters::Stamped(set) => set.count(begin..end),
            Counters::Numbered(tally, base) => {
                tally.received_between(shifted(begin, *base), shifted(end, *base))
            }
        }
    }
}

impl Endpoint {
    pub(crate) fn new(socket: UdpSocket, peer: Peer, epoch: Instant) -> Self {
        let created_at = now();
        let server_port = match &peer {
            Peer::Client(_) => 0,
            Peer::Publisher(publisher) => publisher.server.port(),
            Peer::Sink(server) => server.port(),
        };
        let (lean, expects, connected, scheduled) = (None, Vec::new(), None, None);
        Self { socket, peer, lean, expects, connected, created_at, epoch, server_port, scheduled }
    }

    /// Sends its first datagrams.
    pub(crate) fn begin(&mut self, batch: &mut Batch) -> anyhow::Result<()> {
        if let Peer::Sink(server) = self.peer {
            let port = self.socket.local_addr()?.port();
            let keys =
                Cipher::ALL.into_iter().map(|cipher| Key::of(port, cipher)).collect::<anyhow::Result<_>>()?;
            if let Some(lean) = &mut self.lean {
                lean.set_opening(Opening::Limit(keys));
            }
            batch.send(&self.socket, &[(server, JOIN.to_vec())])?;
        }
        self.handle_timeout(batch)
    }

    /// Says goodbye where nobody would notice.
    pub(crate) fn end(&mut self, batch: &mut Batch) -> anyhow::Result<()> {
        if let Peer::Sink(server) = self.peer {
            batch.send(&self.socket, &[(server, LEAVE.to_vec())])?;
        }
        Ok(())
    }

    /// When [`Endpoint::handle_timeout`] has something to do.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        match &self.peer {
            Peer::Client(client) => client.poll_timeout(),
            Peer::Publisher(publisher) => publisher.next_at(),
            Peer::Sink(_) => None,
        }
    }

    /// Sends what is due and lets timers run.
    pub(crate) fn handle_timeout(&mut self, batch: &mut Batch) -> anyhow::Result<()> {
        match &mut self.peer {
            Peer::Client(client) => client.handle_timeout(now()),
            Peer::Publisher(publisher) => {
                let due = publisher.poll(now(), self.epoch);
                return batch.send(&self.socket, &due);
            }
            Peer::Sink(_) => {}
        }
        self.after_input(batch)
    }

    /// Takes what waits in the socket. Returns whether more may wait.
    pub(crate) fn receive(&mut self, batch: &mut Batch) -> anyhow::Result<bool> {
        for _ in 0..RECEIVE_BUDGET {
            let count = batch.receive(&self.socket)?;
            let time = now();
            let nanos =
                u64::try_from(time.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX);
            let mut is_engine_fed = false;
            for (datagram, source) in batch.datagrams() {
                match (&mut self.lean, &mut self.peer) {
                    (Some(lean), _) if Lean::is_rtp(datagram) => lean.take(time, nanos, datagram),
                    (_, Peer::Client(client)) => {
                        if let Some(source) = address(source) {
                            client.handle_datagram(time, source, datagram);
                            is_engine_fed = true;
                        }
                    }
                    _ => {}
                }
            }
            if is_engine_fed {
                self.after_input(batch)?;
            }
            if count < BATCH {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes an offer of the server; returns the answer.
    pub(crate) fn accept_offer(
        &mut self,
        sdp: &str,
        expects: &[u32],
        batch: &mut Batch,
    ) -> anyhow::Result<String> {
        let Peer::Client(client) = &mut self.peer else { anyhow::bail!("only clients negotiate") };
        let answer = client.accept_offer(now(), sdp)?;
        self.expects.extend(expects);
        self.after_input(batch)?;
        Ok(answer)
    }

    /// Sends what the engine has to say, and looks how far it is.
    fn after_input(&mut self, batch: &mut Batch) -> anyhow::Result<()> {
        let Peer::Client(client) = &mut self.peer else { return Ok(()) };
        let transmits: Vec<(SocketAddr, Vec<u8>)> = std::iter::from_fn(|| client.poll_transmit())
            .map(|transmit| (transmit.destination, transmit.contents))
            .collect();
        if let Some(lean) = self.lean.as_mut().filter(|lean| !lean.can_open())
            && let Some(opener) = client.exported_keys().and_then(Opener::new)
        {
            lean.set_opening(Opening::Srtp(Box::new(opener)));
        }
        if client.connected_at().is_some()
            && let Some(connected) = self.connected.take()
        {
            let _gone = connected.send(());
        }
        if let Some((server, _)) = transmits.last() {
            self.server_port = server.port();
        }
        batch.send(&self.socket, &transmits)
    }

    pub(crate) fn is_connected(&self) -> bool {
        match &self.peer {
            Peer::Client(client) => client.connected_at().is_some(),
            _ => true,
        }
    }

    pub(crate) fn failure(&self) -> Option<String> {
        let Peer::Client(client) = &self.peer else { return None };
        client.failure().or_else(|| client.is_closed().then_some("closed")).map(str::to_owned)
    }

    /// Sources that it expects and has something of.
    pub(crate) fn begun(&self) -> usize {
        let has = |source: u32| match (&self.lean, &self.peer) {
            (Some(lean), _) => lean
                .streams()
                .iter()
                .any(|stream| stream.numbering.is_some_and(|numbering| numbering.source == source)),
            (None, Peer::Client(client)) => {
                client.streams().iter().any(|stream| stream.source(source, 0).is_some())
            }
            _ => false,
        };
        self.expects.iter().filter(|source| has(**source)).count()
    }

    pub(crate) fn reset_latency(&mut self) {
        if let Peer::Client(client) = &mut self.peer {
            client.reset_latency();
        }
        if let Some(lean) = &mut self.lean {
            lean.latency = Histogram::default();
        }
    }

    pub(crate) fn sources(&self) -> Vec<&Source> {
        match &self.peer {
            Peer::Client(client) => client.published().iter().map(|section| &section.source).collect(),
            Peer::Publisher(publisher) => publisher.sources.iter().collect(),
            Peer::Sink(_) => Vec::new(),
        }
    }

    pub(crate) fn sources_mut(&mut self) -> Vec<&mut Source> {
        match &mut self.peer {
            Peer::Client(client) => {
                client.published_mut().iter_mut().map(|section| &mut section.source).collect()
            }
            Peer::Publisher(publisher) => publisher.sources.iter_mut().collect(),
            Peer::Sink(_) => Vec::new(),
        }
    }

    pub(crate) fn report(&self) -> ClientReport {
        let connected_at = match &self.peer {
            Peer::Client(client) => client.connected_at(),
            _ => Some(self.created_at),
        };
        let mut report = ClientReport {
            publisher: !self.sources().is_empty(),
            created_at: Some(match &self.peer {
                Peer::Client(client) => client.created_at(),
                _ => self.created_at,
            }),
            connected_at,
            expects: self.expects.clone(),
            port: self.socket.local_addr().map_or(0, |address| address.port()),
            server_port: self.server_port,
            ..ClientReport::default()
        };
        match (&self.lean, &self.peer) {
            (Some(lean), _) => report.add_lean(lean),
            (None, Peer::Client(client)) => report.add_full(client),
            _ => {}
        }
        report
    }
}

impl ClientReport {
    fn add_lean(&mut self, lean: &Lean) {
        self.first_at = lean.streams().iter().map(|stream| stream.first_at).min();
        (self.packets, self.bytes) = (lean.packets, lean.bytes);
        (self.damaged, self.samples) = (lean.damaged, lean.samples);
        self.latency = lean.latency.clone();
        for stream in lean.streams() {
            self.repeated += stream.tally.repeated;
            self.renumbered += stream.renumbered;
            if let Some(numbering) = stream.numbering {
                self.sources.push(SourceReport::numbered(&numbering, stream.tally.clone()));
            }
        }
    }

    fn add_full(&mut self, client: &Client) {
        for stream in client.streams() {
            self.packets += stream.packets;
            self.samples += stream.packets - stream.corrupt;
            self.repeated += stream.repeated();
            self.damaged += stream.corrupt;
            self.latency.merge(&stream.latency);
            for reception in &stream.sources {
                self.first_at = self.first_at.into_iter().chain([reception.first_at]).min();
                self.sources.push(SourceReport {
                    source: reception.source,
                    layer: reception.layer,
                    counters: Counters::Stamped(reception.counters.clone()),
                });
            }
        }
    }

    /// How long after the beginning of its signalling something happened.
    pub(crate) fn since_created(&self, at: Option<Instant>) -> Option<Duration> {
        Some(at?.saturating_duration_since(self.created_at?))
    }
}
