//! N shards and M clients, joined by links, in one virtual time.

pub(crate) mod account;
mod check;
mod control;
pub(crate) mod forge;
pub(crate) mod link;
pub(crate) mod meter;
mod wire;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringcast::drop::DropReason;
use ringcast::ids::{NodeKeys, PublicationId, SessionId, ShardId};
use ringcast::negotiation::{LocalTransport, Negotiation, PublishedMedia};
use ringcast::net::outbox::Transmit;
use ringcast::net::{Datagram, Outbox, SocketIndex};
use ringcast::plan::ChannelsPlan;
use ringcast::random::Random;
use ringcast::shard::Mailbox;
use ringcast::shard::command::{Event, Heard, ShardLimits};
use ringcast::shard::{Certificate, Shard, ShardSetup, Steer, TableSizes, WallClock};
use ringcast_bench::client::Client;
use ringcast_bench::reception::ReceivedStream;

use self::link::{Link, LinkSpec, rtp_name};
use self::meter::{Call, Meter, Unmetered};
use self::wire::Watch;

/// Bytes that a shard may write before they are taken from it.
const ARENA_BYTES: usize = 1 << 20;
/// Messages that a shard takes from the others at a time.
const MAIL_BUDGET: usize = 100_000;
/// Steps in which time does not move, before a scenario is taken for one that does not come to rest.
const STANDSTILL_MAX: u32 = 1_000;

/// The time since 1970 at which every scenario begins.
pub(crate) const WALL_CLOCK: Duration = Duration::from_secs(1_800_000_000);

/// The life-cycle times of the API.
pub(crate) const LIMITS: ShardLimits = ShardLimits {
    never_connected: Duration::from_secs(60),
    disconnected: Duration::from_secs(30),
    publication_idle: Duration::from_secs(30),
    sessions: 10_000,
};

/// Names a client of a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PeerKey(pub(crate) usize);

/// A published track.
#[derive(Debug, Clone)]
pub(crate) struct Track {
    pub(crate) owner: PeerKey,
    pub(crate) mid: String,
    /// Mark of its packets.
    pub(crate) source: u32,
    pub(crate) publication: PublicationId,
    pub(crate) origin: ShardId,
    pub(crate) media: PublishedMedia,
    pub(crate) stream_label: String,
}

/// One client, its session, and the way between them.
pub(crate) struct Peer {
    pub(crate) client: Client,
    pub(crate) session: SessionId,
    pub(crate) shard: ShardId,
    pub(crate) negotiation: Negotiation,
    /// Its data channels, as control keeps them.
    pub(crate) channels: ChannelsPlan,
    pub(crate) up: Link,
    pub(crate) down: Link,
    /// The newest offer of the node that the client has taken.
    last_offer: Option<String>,
    /// From when on its nominations get through; `None` if never.
    nominates_from: Option<Instant>,
    watch: Watch,
}

/// A whole node and its clients.
pub(crate) struct Sim {
    pub(crate) base: Instant,
    pub(crate) now: Instant,
    pub(crate) keys: Arc<NodeKeys>,
    seed: u64,
    shards: Vec<Shard>,
    local: Vec<Arc<LocalTransport>>,
    outbox: Outbox,
    /// Clients that are there, by their keys.
    peers: BTreeMap<usize, Peer>,
    next_peer: usize,
    by_address: HashMap<SocketAddr, PeerKey>,
    /// What shards told control, and when.
    pub(crate) events: Vec<(Instant, Event)>,
    /// What shards heard of publications that they listen to, and when.
    pub(crate) heard: Vec<(Instant, ShardId, Vec<Heard>)>,
    /// Reports of that which control does not take.
    pub(crate) untaken: Option<Vec<Event>>,
    /// Datagrams of clients, kept when a scenario wants to tamper with them.
    pub(crate) captured: Option<Vec<(ShardId, SocketAddr, Vec<u8>)>>,
    /// The socket that datagrams of clients come in by: UDP, unless a scenario says otherwise.
    pub(crate) socket: SocketIndex,
    /// The congestion bits that they come in with.
    pub(crate) ecn: u8,
    /// What shards have sent.
    pub(crate) left: Left,
    /// Stands around the calls by which packets come, cross and leave.
    pub(crate) meter: Box<dyn Meter>,
    next_number: u32,
    /// What the kernel does where all shards share a port.
    pub(crate) shared_port: Option<SharedPort>,
    /// Under which address the node sees clients behind a NAT.
    outside: HashMap<PeerKey, SocketAddr>,
    /// Addresses of no client, and what was sent to them.
    pub(crate) onlookers: HashMap<SocketAddr, Vec<Vec<u8>>>,
    /// A shard that does not get to what the others tell it.
    pub(crate) behind: Option<ShardId>,
    /// How long a turn of a busy shard lasts: so long it may be before it takes what has come.
    pub(crate) turns_last: Option<Duration>,
    waiting: Vec<(Instant, ShardId, SocketAddr, Vec<u8>)>,
    /// Datagrams that shards were given.
    pub(crate) given: u64,
    /// Where shards have sent what, and when, kept when a scenario wants to compare it.
    pub(crate) departed: Option<Vec<(Instant, SocketAddr, Vec<u8>)>>,
}

/// The kernel's part of a port that all shards share.
#[derive(Default)]
pub(crate) struct SharedPort {
    /// Whether it heeds what it is told.
    steers: bool,
    /// What it was told.
    pub(crate) owners: HashMap<SocketAddr, ShardId>,
}

impl Sim {
    /// Makes a node of so many shards. The seed decides everything that is random but keys of DTLS, and what is sealed by
    /// them.
    pub(crate) fn new(shards: u8, seed: u64) -> Self {
        Self::with_limits(shards, seed, &LIMITS)
    }

    /// Makes a node whose shards receive on one port. Where the kernel does not steer, it gives all datagrams of a
    /// client to one shard, whichever owns them.
    pub(crate) fn on_one_port(shards: u8, seed: u64, steers: bool) -> Self {
        let shared_port = SharedPort { steers, ..SharedPort::default() };
        Self::build(shards, seed, &LIMITS, Some(shared_port))
    }

    pub(crate) fn with_limits(shards: u8, seed: u64, limits: &ShardLimits) -> Self {
        Self::build(shards, seed, limits, None)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant has no other beginning; time then only adds to it"
    )]
    fn build(shards: u8, seed: u64, limits: &ShardLimits, shared_port: Option<SharedPort>) -> Self {
        let base = Instant::now();
        // The engines draw from what this thread has, below both clients and shards.
        fastrand::seed(seed);
        let keys = Arc::new(NodeKeys::drawn_from(Random::from_number(seed)));
        let certificate = Certificate::generate().unwrap();
        let distance = u16::from(shared_port.is_none());
        let address = |shard: u8| SocketAddr::from(([192, 0, 2, 1], 40_000 + distance * u16::from(shard)));
        let transport = |shard| Arc::new(LocalTransport::new(certificate.fingerprint(), &[address(shard)]));
        let local = (0..shards).map(transport).collect();
        let setup = |shard: u8| ShardSetup {
            id: ShardId(shard),
            candidates: vec![address(shard)],
            // The same addresses: a scenario says by which of them its clients come.
            tcp_candidates: vec![address(shard)],
            certificate: certificate.clone(),
            keys: Arc::clone(&keys),
            limits: limits.clone(),
            clock: WallClock::new(base, WALL_CLOCK),
            random: Random::from_number(seed.wrapping_mul(64).wrapping_add(u64::from(shard))),
        };
        let join = if shared_port.is_some() { Mailbox::join_on_one_port } else { Mailbox::join };
        let mailboxes = join(usize::from(shards));
        let shards =
            mailboxes.into_iter().zip(0..).map(|(mail, shard)| Shard::new(setup(shard), mail)).collect();
        Self {
            base,
            now: base,
            keys,
            seed,
            shards,
            local,
            outbox: Outbox::new(ARENA_BYTES),
            peers: BTreeMap::new(),
            next_peer: 0,
            by_address: HashMap::new(),
            events: Vec::new(),
            heard: Vec::new(),
            untaken: None,
            captured: None,
            socket: SocketIndex::bound(0),
            ecn: 0,
            left: Left::default(),
            meter: Box::new(Unmetered),
            next_number: 0,
            shared_port,
            outside: HashMap::new(),
            onlookers: HashMap::new(),
            behind: None,
            turns_last: None,
            waiting: Vec::new(),
            given: 0,
            departed: None,
        }
    }

    /// Lets so much time pass.
    pub(crate) fn run_for(&mut self, span: Duration) {
        self.run_until(self.now + span);
    }

    /// Lets time pass until that moment, stepping from deadline to deadline.
    pub(crate) fn run_until(&mut self, until: Instant) {
        self.run_while(until, |_| true);
    }

    /// Lets time pass until the condition holds. Returns whether it came to hold before the patience was over.
    pub(crate) fn run_until_that(
        &mut self,
        patience: Duration,
        mut condition: impl FnMut(&mut Self) -> bool,
    ) -> bool {
        let mut held = false;
        self.run_while(self.now + patience, |sim| {
            held = condition(sim);
            !held
        });
        held || condition(self)
    }

    fn run_while(&mut self, until: Instant, mut go_on: impl FnMut(&mut Self) -> bool) {
        let mut standstill = 0;
        self.settle();
        while go_on(self) {
            let Some(at) = self.next_at().filter(|at| *at <= until) else {
                self.now = until;
                return;
            };
            standstill = if at > self.now { 0 } else { standstill + 1 };
            assert!(standstill < STANDSTILL_MAX, "the simulation does not come to rest");
            self.now = self.now.max(at);
            self.deliver();
            self.let_timers_run();
            self.settle();
        }
    }

    /// The earliest deadline of anything.
    fn next_at(&mut self) -> Option<Instant> {
        let turn = self.next_turn();
        let shards = self.shards.iter_mut().filter_map(Shard::poll_timeout);
        let peers = self.peers.values().flat_map(|peer| {
            [peer.client.poll_timeout(), peer.up.next_at(), peer.down.next_at()].into_iter().flatten()
        });
        shards.chain(peers).chain(turn).min()
    }

    /// Hands over everything that has arrived.
    fn deliver(&mut self) {
        let now = self.now;
        let keys: Vec<usize> = self.peers.keys().copied().collect();
        for key in keys {
            let Some(peer) = self.peers.get_mut(&key) else { continue };
            let source = self.local[usize::from(peer.shard.0)].candidates[0].address;
            while let Some(datagram) = peer.down.pop(now) {
                // A client that has moved to another port is not reached under the former one.
                if datagram.client == peer.client.address() {
                    peer.client.handle_datagram(now, source, &datagram.contents);
                }
            }
            while let Some(datagram) = self.peers.get_mut(&key).and_then(|peer| peer.up.pop(now)) {
                let Some(peer) = self.peers.get(&key) else { break };
                let source = self.outside.get(&PeerKey(key)).copied().unwrap_or(datagram.client);
                let shard = self.landing(source).unwrap_or(peer.shard);
                if self.turns_last.is_some() {
                    self.waiting.push((now, shard, source, datagram.contents));
                } else {
                    self.inject(shard, source, &datagram.contents);
                }
            }
        }
        if self.next_turn().is_some_and(|at| at <= now) {
            for (arrived, shard, source, datagram) in std::mem::take(&mut self.waiting) {
                self.inject_arrived(arrived, shard, source, &datagram);
            }
        }
    }

    /// When shards that are busy take what waits.
    fn next_turn(&self) -> Option<Instant> {
        let (span, (first, ..)) = (self.turns_last?, self.waiting.first()?);
        let turns = first.duration_since(self.base).as_nanos().div_ceil(span.as_nanos());
        Some(self.base + span * u32::try_from(turns).unwrap())
    }

    /// The shard that the kernel gives datagrams of a source to, where shards share a port.
    pub(crate) fn landing(&self, source: SocketAddr) -> Option<ShardId> {
        let SharedPort { steers, owners } = self.shared_port.as_ref()?;
        let owner = owners.get(&source).filter(|_| *steers).copied();
        let SocketAddr::V4(v4) = source else { return owner };
        let shards = u8::try_from(self.shards.len()).unwrap();
        owner.or_else(|| Some(ShardId(v4.ip().octets()[3] / 2 % shards)))
    }

    /// Gives a shard a datagram.
    pub(crate) fn inject(&mut self, shard: ShardId, source: SocketAddr, datagram: &[u8]) {
        self.inject_arrived(self.now, shard, source, datagram);
    }

    fn inject_arrived(&mut self, arrived: Instant, shard: ShardId, source: SocketAddr, datagram: &[u8]) {
        self.given += 1;
        let (now, outbox) = (self.now, &mut self.outbox);
        let datagram = Datagram { socket: self.socket, source, payload: datagram, ecn: self.ecn, arrived };
        self.meter.run(Call::Datagram, &mut self.shards[usize::from(shard.0)], &mut |shard| {
            shard.handle_datagram(now, datagram, outbox);
        });
        self.take_events(shard);
        self.put_on_links();
    }

    /// Tells a shard that the TCP connection of a client is over.
    pub(crate) fn disconnect(&mut self, shard: ShardId, client: SocketAddr) {
        let socket = self.socket;
        self.shards[usize::from(shard.0)].handle_disconnect(socket, client);
    }

    /// Whether a session holds the address of a client, by the way that clients come now.
    pub(crate) fn holds_address(&self, shard: ShardId, client: SocketAddr) -> bool {
        self.shards[usize::from(shard.0)].holds_address(self.socket, client)
    }

    fn let_timers_run(&mut self) {
        let now = self.now;
        for peer in self.peers.values_mut() {
            if peer.client.poll_timeout().is_some_and(|at| at <= now) {
                peer.client.handle_timeout(now);
            }
        }
        for index in 0..self.shards.len() {
            if self.shards[index].poll_timeout().is_some_and(|at| at <= now) {
                let outbox = &mut self.outbox;
                self.meter.run(Call::Timeout, &mut self.shards[index], &mut |shard| {
                    shard.handle_timeout(now, outbox);
                });
                self.take_events(self.shards[index].id());
                self.put_on_links();
            }
        }
    }

    /// Ends the turn of every shard, as its worker does, until nothing more passes between them; then puts what
    /// clients send on their links.
    fn settle(&mut self) {
        let now = self.now;
        // Attach, layers, keyframe request: no conversation of two shards is longer.
        for _ in 0..if self.shards.len() > 1 { 4 } else { 1 } {
            for index in 0..self.shards.len() {
                let mut full = Vec::new();
                let (shard, outbox) = (&mut self.shards[index], &mut self.outbox);
                let budget = if self.behind == Some(shard.id()) { 0 } else { MAIL_BUDGET };
                self.meter.run(Call::Mail, shard, &mut |shard| {
                    shard.handle_handed_over(now, budget, outbox);
                    shard.handle_mail(now, budget);
                });
                self.meter.run(Call::Flush, shard, &mut |shard| {
                    shard.flush(now, outbox, &mut |outbox| full.extend(take(outbox)));
                });
                full.into_iter().for_each(|leaving| self.put_on_link(leaving));
                self.take_events(self.shards[index].id());
                self.put_on_links();
            }
        }
        for peer in self.peers.values_mut() {
            while let Some(transmit) = peer.client.poll_transmit() {
                let (client, mut contents) = (peer.client.address(), transmit.contents);
                if peer.nominates_from.is_none_or(|from| now < from) {
                    let password = peer.negotiation.plan().transport.local.pwd;
                    contents = check::without_nomination(&contents, &password).unwrap_or(contents);
                }
                if let Some(captured) = &mut self.captured {
                    captured.push((peer.shard, client, contents.clone()));
                }
                peer.up.push(now, link::Datagram { client, contents });
            }
        }
    }

    fn take_events(&mut self, shard: ShardId) {
        while let Some(event) = self.shards[usize::from(shard.0)].poll_event() {
            if let Event::Connected(session) = &event
                && let Some(peer) = self.peers.values_mut().find(|peer| peer.session == *session)
            {
                peer.watch.rekeyed();
            }
            match event {
                Event::Levels { heard, receipt } => {
                    self.heard.push((self.now, shard, heard.clone()));
                    if let Some(untaken) = &mut self.untaken {
                        untaken.push(Event::Levels { heard, receipt });
                    }
                }
                event => self.events.push((self.now, event)),
            }
        }
        while let Some(steer) = self.shards[usize::from(shard.0)].poll_steer() {
            let owners = &mut self.shared_port.as_mut().expect("shards share no port").owners;
            match steer {
                Steer::Here(_, source) => owners.insert(source, shard),
                Steer::Nowhere(_, source) => owners.remove(&source),
            };
        }
    }

    fn put_on_links(&mut self) {
        for leaving in take(&mut self.outbox) {
            self.put_on_link(leaving);
        }
    }

    fn put_on_link(&mut self, leaving: Leaving) {
        let Leaving { destination, ecn, datagram } = leaving;
        if let Some(departed) = &mut self.departed {
            departed.push((self.now, destination, datagram.clone()));
        }
        let left = if rtp_name(&datagram).is_some() { &mut self.left.rtp } else { &mut self.left.others };
        left[usize::from(ecn)] += 1;
        if let Some(sent) = self.onlookers.get_mut(&destination) {
            sent.push(datagram);
            return;
        }
        let Some(key) = self.by_address.get(&destination) else {
            panic!("sent to {destination}, who is nobody")
        };
        // One who has left without a word is sent to until the session times out.
        let Some(peer) = self.peers.get_mut(&key.0) else { return };
        peer.watch.see(&datagram);
        assert_eq!(peer.watch.breaches, [""; 0], "{key:?}");
        // A NAT takes in what comes to its present mapping.
        let client = match self.outside.get(key) {
            Some(outside) if *outside == destination => peer.client.address(),
            Some(_) => return,
            None => destination,
        };
        peer.down.push(self.now, link::Datagram { client, contents: datagram });
    }

    /// A client.
    pub(crate) fn peer(&self, key: PeerKey) -> &Peer {
        self.peers.get(&key.0).unwrap()
    }

    /// A client.
    pub(crate) fn peer_mut(&mut self, key: PeerKey) -> &mut Peer {
        self.peers.get_mut(&key.0).unwrap()
    }

    /// Where the node sees a client.
    pub(crate) fn seen_at(&self, key: PeerKey) -> SocketAddr {
        self.outside.get(&key).copied().unwrap_or_else(|| self.peer(key).client.address())
    }

    /// Whether no shard has a timer.
    pub(crate) fn is_at_rest(&mut self) -> bool {
        self.shards.iter_mut().all(|shard| shard.poll_timeout().is_none())
    }

    /// The stream on which a client receives a track.
    pub(crate) fn received(&self, subscriber: PeerKey, track: &Track) -> Option<&ReceivedStream> {
        let streams = self.peer(subscriber).client.streams();
        streams.iter().find(|stream| stream.sources.iter().any(|one| one.source == track.source))
    }

    /// Stops all sources.
    pub(crate) fn pause_sources(&mut self) {
        for peer in self.peers.values_mut() {
            peer.client.published_mut().iter_mut().for_each(|section| section.source.pause());
        }
    }

    /// Table sizes of all shards together.
    pub(crate) fn sizes(&self) -> TableSizes {
        self.shards.iter().map(Shard::sizes).fold(TableSizes::default(), |sum, one| TableSizes {
            sessions: sum.sessions + one.sessions,
            publications: sum.publications + one.publications,
            subscriptions: sum.subscriptions + one.subscriptions,
            paths: sum.paths + one.paths,
            paths_elsewhere: sum.paths_elsewhere + one.paths_elsewhere,
            ufrags: sum.ufrags + one.ufrags,
            dialled: sum.dialled + one.dialled,
            hubs: sum.hubs + one.hubs,
        })
    }

    /// Datagrams and packets dropped for a reason, by all shards together.
    pub(crate) fn dropped(&mut self, reason: DropReason) -> u64 {
        self.shards.iter_mut().map(|shard| shard.counters().dropped[reason as usize]).sum()
    }

    /// A sum over all shards.
    pub(crate) fn counted(&mut self, of: impl Fn(&ringcast::metrics::shard::ShardCounters) -> u64) -> u64 {
        self.shards.iter_mut().map(|shard| of(shard.counters())).sum()
    }

    /// When control was told something about a session or a publication, in order.
    pub(crate) fn told(&self, wanted: impl Fn(&Event) -> bool) -> Vec<Instant> {
        self.events.iter().filter(|(_, event)| wanted(event)).map(|(at, _)| *at).collect()
    }
}

/// A datagram that a shard has sent.
struct Leaving {
    destination: SocketAddr,
    ecn: u8,
    datagram: Vec<u8>,
}

/// Datagrams that have left, by their congestion bits.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left {
    /// Media and retransmissions.
    pub(crate) rtp: [u64; 4],
    /// Checks, handshakes, RTCP.
    pub(crate) others: [u64; 4],
}

/// Empties an outbox.
fn take(outbox: &mut Outbox) -> Vec<Leaving> {
    let mut all = Vec::new();
    for transmit in outbox.transmits() {
        let Transmit { destination, ecn, segment, .. } = *transmit;
        let datagrams = outbox.bytes_of(transmit).chunks(segment);
        all.extend(datagrams.map(|one| Leaving { destination, ecn, datagram: one.to_vec() }));
    }
    outbox.clear();
    all
}

/// Both directions of a way to a client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) up: LinkSpec,
    pub(crate) down: LinkSpec,
}

impl Way {
    /// The same in both directions.
    pub(crate) const fn both(spec: LinkSpec) -> Self {
        Self { up: spec, down: spec }
    }

    /// Only takes time.
    pub(crate) const fn clean(delay_ms: u64) -> Self {
        Self::both(LinkSpec::clean(delay_ms))
    }
}
