//! A shard that calls another server, and what a stranger can do to that call.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringcast::drop::DropReason;
use ringcast::ids::{NodeKeys, SessionId, ShardId};
use ringcast::negotiation::{LocalTransport, Negotiation};
use ringcast::net::dialled::DialledSocket;
use ringcast::net::{Datagram, Outbox, SocketIndex};
use ringcast::random::Random;
use ringcast::shard::Mailbox;
use ringcast::shard::command::{Command, EndReason, Event, ShardLimits};
use ringcast::shard::{Certificate, Dial, Shard, ShardSetup, WallClock};
use tokio::sync::oneshot;

use crate::harness::{LIMITS, WALL_CLOCK};

/// The first socket of a session that calls out.
fn number() -> SocketIndex {
    SocketIndex::dialled(0).unwrap()
}

const SECOND: Duration = Duration::from_secs(1);

/// One server with one session.
struct Server {
    shard: Shard,
    outbox: Outbox,
    keys: Arc<NodeKeys>,
    negotiation: Negotiation,
    session: SessionId,
    /// Where the other side reaches it, and by which socket.
    address: SocketAddr,
    socket: SocketIndex,
    events: Vec<Event>,
}

impl Server {
    /// A server that waits, or one that calls.
    fn new(now: Instant, calls: bool, limits: &ShardLimits) -> Self {
        let keys = Arc::new(NodeKeys::generate());
        let certificate = Certificate::generate().unwrap();
        let fingerprint = certificate.fingerprint();
        let waiting: SocketAddr = ([192, 0, 2, 1], 40_000).into();
        let setup = ShardSetup {
            id: ShardId(0),
            candidates: vec![waiting],
            tcp_candidates: Vec::new(),
            certificate,
            keys: Arc::clone(&keys),
            limits: limits.clone(),
            clock: WallClock::new(now, WALL_CLOCK),
            random: Random::from_number(1),
        };
        let dialled: Vec<_> =
            calls.then(|| DialledSocket::bind([127, 0, 0, 1].into()).unwrap()).into_iter().collect();
        let address = dialled.first().map_or(waiting, |socket| socket.address);
        let local = Arc::new(LocalTransport::new(fingerprint, &[address]));
        let negotiation = Negotiation::new("call".to_owned(), local, keys.mint_ice(ShardId(0)));
        let session = keys.mint_session(ShardId(0));
        let mut server = Self {
            shard: Shard::new(setup, Mailbox::join(1).remove(0)),
            outbox: Outbox::new(1 << 20),
            keys,
            negotiation: if calls { negotiation.calling() } else { negotiation },
            session,
            address,
            socket: if calls { number() } else { SocketIndex::bound(0) },
            events: Vec::new(),
        };
        server.command(now, Command::Open { session, dialled, credentials: None });
        server
    }

    fn command(&mut self, now: Instant, command: Command) {
        self.shard.handle_command(now, command, &mut self.outbox);
    }

    fn configure(&mut self, now: Instant) {
        let (reply, mut answer) = oneshot::channel();
        let plan = Box::new(self.negotiation.plan());
        self.command(now, Command::Configure { session: self.session, plan, description: None, reply });
        answer.try_recv().unwrap().unwrap();
    }

    /// What it sends now.
    fn flush(&mut self, now: Instant) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut sent = Vec::new();
        let socket = self.socket;
        let mut take = |outbox: &mut Outbox| {
            for transmit in outbox.transmits() {
                assert_eq!(transmit.socket, socket);
                let datagrams = outbox.bytes_of(transmit).chunks(transmit.segment);
                sent.extend(datagrams.map(|datagram| (transmit.destination, datagram.to_vec())));
            }
            outbox.clear();
        };
        self.shard.flush(now, &mut self.outbox, &mut take);
        take(&mut self.outbox);
        self.events.extend(std::iter::from_fn(|| self.shard.poll_event()));
        sent
    }

    fn receive(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        let datagram = Datagram { socket: self.socket, source, payload: datagram, ecn: 0, arrived: now };
        self.shard.handle_datagram(now, datagram, &mut self.outbox);
    }

    fn dropped(&mut self, reason: DropReason) -> u64 {
        self.shard.counters().dropped[reason as usize]
    }

    fn ended(&self) -> Option<EndReason> {
        self.events.iter().find_map(|event| match event {
            Event::Ended(_, reason) => Some(*reason),
            _ => None,
        })
    }

    fn is_connected(&self) -> bool {
        self.events.iter().any(|event| matches!(event, Event::Connected(_)))
    }

    fn dials(&mut self) -> Vec<Dial> {
        std::iter::from_fn(|| self.shard.poll_dial()).collect()
    }
}

/// Two servers, of which the first calls the second.
struct Call {
    now: Instant,
    near: Server,
    far: Server,
    /// Whether datagrams arrive.
    is_up: bool,
    /// What the far server sent, if it is kept.
    captured: Vec<Vec<u8>>,
}

impl Call {
    #[expect(clippy::disallowed_methods, reason = "an instant has no other beginning")]
    fn new() -> Self {
        let now = Instant::now();
        let (mut near, mut far) = (Server::new(now, true, &LIMITS), Server::new(now, false, &LIMITS));
        near.negotiation.offer_application().unwrap();
        let offer = near.negotiation.create_offer();
        let keys = Arc::clone(&far.keys);
        far.negotiation.client_offer(&offer, &mut || keys.mint_ice(ShardId(0))).unwrap();
        let answer = far.negotiation.answer();
        near.negotiation.client_answer(&answer).unwrap();
        far.configure(now);
        near.configure(now);
        Self { now, near, far, is_up: true, captured: Vec::new() }
    }

    fn exchange(&mut self) {
        loop {
            let (forth, back) = (self.near.flush(self.now), self.far.flush(self.now));
            if forth.is_empty() && back.is_empty() {
                return;
            }
            if !self.is_up {
                continue;
            }
            for (to, datagram) in forth {
                if to == self.far.address {
                    self.far.receive(self.now, self.near.address, &datagram);
                }
            }
            for (to, datagram) in back {
                assert_eq!(to, self.near.address);
                self.near.receive(self.now, self.far.address, &datagram);
                self.captured.push(datagram);
            }
        }
    }

    fn run_for(&mut self, span: Duration) {
        let until = self.now + span;
        self.exchange();
        loop {
            let servers = [&mut self.near, &mut self.far].into_iter();
            let next = servers.filter_map(|server| server.shard.poll_timeout()).min();
            let Some(at) = next.filter(|at| *at <= until) else { break };
            self.now = self.now.max(at);
            self.near.shard.handle_timeout(self.now, &mut self.near.outbox);
            self.far.shard.handle_timeout(self.now, &mut self.far.outbox);
            self.exchange();
        }
        self.now = until;
    }
}

#[test]
fn a_server_that_waits_is_reached_and_stays_reached_without_media() {
    let mut call = Call::new();
    assert!(matches!(call.near.dials().as_slice(), [Dial::Open(index, _)] if *index == number()));
    call.run_for(5 * SECOND);
    assert!(call.near.is_connected() && call.far.is_connected());
    // Nothing but checks crosses for longer than a silent session may live.
    call.run_for(3 * LIMITS.disconnected);
    assert_eq!((call.near.ended(), call.far.ended()), (None, None));
    assert_eq!(call.near.shard.sizes().dialled, 1);
    let session = call.near.session;
    call.near.command(call.now, Command::Close { session });
    assert!(matches!(call.near.dials().as_slice(), [Dial::Close(index)] if *index == number()));
    assert_eq!(call.near.shard.sizes().dialled, 0);
}

#[test]
fn a_server_that_is_gone_ends_the_call_and_its_sockets() {
    let mut call = Call::new();
    call.run_for(5 * SECOND);
    call.near.dials();
    call.is_up = false;
    call.run_for(LIMITS.disconnected + 30 * SECOND);
    assert_eq!(call.near.ended(), Some(EndReason::TimedOut));
    assert!(matches!(call.near.dials().as_slice(), [Dial::Close(index)] if *index == number()));
}

#[test]
fn a_server_that_was_away_for_a_while_is_reached_again() {
    let mut call = Call::new();
    call.run_for(5 * SECOND);
    call.is_up = false;
    call.run_for(8 * SECOND);
    call.is_up = true;
    call.run_for(3 * LIMITS.disconnected);
    assert_eq!((call.near.ended(), call.far.ended()), (None, None));
}

#[test]
fn a_server_that_never_answers_costs_checks_for_a_bounded_time() {
    let mut call = Call::new();
    call.is_up = false;
    let (mut checks, mut seconds) = (0, 0);
    while call.near.ended().is_none() && seconds < 300 {
        checks += call.near.flush(call.now).len();
        call.now += SECOND;
        seconds += 1;
        call.near.shard.handle_timeout(call.now, &mut call.near.outbox);
    }
    assert_eq!(call.near.ended(), Some(EndReason::NeverConnected));
    assert!((1..200).contains(&checks), "{checks} datagrams to who may be a stranger");
    assert_eq!(call.near.shard.sizes().dialled, 0);
}

#[test]
fn strangers_at_its_port_change_nothing() {
    let mut call = Call::new();
    let stranger: SocketAddr = ([203, 0, 113, 9], 9).into();
    let junk: [&[u8]; 5] =
        [b"", &[0; 20], &[22, 254, 253, 0, 0], &[0x80; 40], &[0x80, 200, 0, 1, 0, 0, 0, 0]];
    for datagram in junk {
        call.near.receive(call.now, stranger, datagram);
    }
    call.run_for(5 * SECOND);
    assert!(call.near.is_connected());
    // All that the far server ever said, once more and from elsewhere.
    for datagram in std::mem::take(&mut call.captured) {
        call.near.receive(call.now, stranger, &datagram);
        let mut changed = datagram;
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        call.near.receive(call.now, call.far.address, &changed);
    }
    for datagram in junk {
        call.near.receive(call.now, stranger, datagram);
        call.near.receive(call.now, call.far.address, datagram);
    }
    let sent = call.near.flush(call.now);
    let mut to_stranger = sent.iter().filter(|(to, _)| *to == stranger);
    assert!(
        to_stranger.all(|(_, one)| one[0] < 4),
        "a check is answered wherever it comes from, and nothing else"
    );
    assert!(call.near.dropped(DropReason::UnknownSource) > 0);
    assert!(call.near.dropped(DropReason::BadStun) > 0);
    call.run_for(3 * LIMITS.disconnected);
    assert_eq!((call.near.ended(), call.far.ended()), (None, None));
    assert_eq!(call.near.shard.counters().session_failures, 0);
}
