//! The load itself: rooms with their publishers and subscribers, brought up over HTTP or at the bare loop.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use ringcast_bench::client::{Change, Client, ClientSetup};
use ringcast_bench::lean::Lean;
use ringcast_bench::source::Media;
use socket2::{Domain, Protocol, Socket, Type};

use crate::api::{Api, RemoteTrack};
use crate::args::{Args, Receivers};
use crate::endpoint::{Endpoint, Peer};
use crate::plain::PlainPublisher;
use crate::worker::{Handle, Order, SourceCounters};
use crate::{now, pause};

/// How long all clients together may take until media flows, and what each of them adds.
const READY_PATIENCE: Duration = Duration::from_secs(30);
const READY_PATIENCE_EACH: Duration = Duration::from_millis(100);
/// Socket buffers: a burst must not be lost here and be counted against the server.
const BUFFER_BYTES: usize = 4 << 20;
/// Sources of one publisher at most, silent ones apart.
const SOURCES_EACH: u32 = 16;
/// Ids of silent sources begin here.
pub(crate) const SILENT_ID: u32 = 1 << 24;
/// Tracks that the API takes in one call.
const TRACKS_OF_CALL: usize = 64;

/// Everything that runs.
pub(crate) struct Load<'a> {
    args: &'a Args,
    api: Api,
    pub(crate) workers: Vec<Handle>,
    epoch: Instant,
    endpoints: AtomicUsize,
    rooms: Vec<Room>,
}

/// What subscribers of a room receive.
#[derive(Default)]
struct Room {
    tracks: Vec<RemoteTrack>,
    sources: Vec<u32>,
    silent: Vec<RemoteTrack>,
}

/// One session of a mesh.
pub(crate) struct Member {
    session: String,
    worker: usize,
    endpoint: usize,
    room: Room,
}

/// Who ought to be there.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted {
    connected: usize,
    begun: usize,
}

impl<'a> Load<'a> {
    pub(crate) fn new(args: &'a Args) -> anyhow::Result<Self> {
        Ok(Self {
            args,
            api: Api::new(&args.api, &args.app, &args.secret, args.concurrency as usize),
            workers: (0..args.threads).map(|_| Handle::spawn()).collect::<anyhow::Result<_>>()?,
            epoch: now(),
            endpoints: AtomicUsize::new(0),
            rooms: Vec::new(),
        })
    }

    /// Brings up the publishers of every room.
    pub(crate) fn publish(&mut self, media: &[Media]) -> anyhow::Result<Wanted> {
        let mut wanted = Wanted::default();
        for number in 0..self.args.rooms {
            let mut room = Room::default();
            for publisher in 0..self.args.publishers {
                let id = (number * self.args.publishers + publisher) * SOURCES_EACH;
                room.sources.extend((id..).take(media.len()));
                wanted.connected += 1;
                if let Some(server) = self.args.limit {
                    let publisher = PlainPublisher::new(server, now(), id, media);
                    self.add(self.endpoint(self.socket()?, Peer::Publisher(publisher))?)?;
                    continue;
                }
                let member = self.add_publisher(id, media).with_context(|| format!("publisher {id}"))?;
                room.tracks.extend(member.room.tracks);
            }
            if self.args.lines > 1 {
                let count = (self.args.lines as usize).saturating_sub(room.sources.len());
                let quiet = vec![Media::video(5, 5, 200); count];
                for part in quiet.chunks(TRACKS_OF_CALL) {
                    let id = SILENT_ID + wanted.connected as u32 * TRACKS_OF_CALL as u32;
                    room.silent.extend(self.add_publisher(id, part).context("silent tracks")?.room.tracks);
                    wanted.connected += 1;
                }
            }
            self.rooms.push(room);
        }
        self.wait_until(wanted).context("the publishers do not connect")?;
        Ok(wanted)
    }

    /// Brings up the subscribers of every room.
    pub(crate) fn subscribe(&self, mut wanted: Wanted) -> anyhow::Result<()> {
        let each = self.args.subscribers as usize;
        self.in_parallel(each * self.rooms.len(), |number| {
            let room = self.rooms.get(number / each).context("there is no such room")?;
            let is_done = self.add_subscriber(room, None);
            is_done.with_context(|| format!("subscriber {number}"))
        })?;
        for room in &self.rooms {
            wanted.connected += each;
            wanted.begun += each * room.sources.len();
        }
        self.wait_until(wanted).context("not all subscribers receive everything")?;
        if self.rooms.iter().any(|room| !room.silent.is_empty()) {
            for worker in &self.workers {
                worker.ask(|reply| Order::Silence(SILENT_ID, reply))?;
            }
        }
        Ok(())
    }

    /// Brings up so many clients of one room, each of which counts as done when it is connected.
    pub(crate) fn connect(&self, count: usize) -> anyhow::Result<()> {
        let room = self.rooms.first().context("there is no room")?;
        self.in_parallel(count, |number| {
            let (connected, is_connected) = std::sync::mpsc::channel();
            self.add_subscriber(room, Some(connected)).with_context(|| format!("client {number}"))?;
            is_connected
                .recv_timeout(READY_PATIENCE)
                .with_context(|| format!("client {number} does not connect"))
        })
    }

    /// Brings up the sessions of a mesh, which send and do not receive yet.
    pub(crate) fn mesh(&self, count: u32, media: &[Media]) -> anyhow::Result<Vec<Member>> {
        let members: Vec<Member> = (0..count)
            .map(|number| self.add_publisher(number * SOURCES_EACH, media))
            .collect::<anyhow::Result<_>>()?;
        let wanted = Wanted { connected: members.len(), begun: 0 };
        self.wait_until(wanted).context("the sessions do not connect")?;
        Ok(members)
    }

    /// Lets each session of a mesh receive from the others.
    pub(crate) fn join(&self, members: &[Member], media: &[Media]) -> anyhow::Result<()> {
        self.in_parallel(members.len(), |number| {
            let member = members.get(number).context("there is no such session")?;
            let others = || members.iter().filter(|other| other.session != member.session);
            let tracks: Vec<RemoteTrack> =
                others().flat_map(|other| other.room.tracks.iter().cloned()).collect();
            let sources: Vec<u32> = others().flat_map(|other| other.room.sources.iter().copied()).collect();
            let worker = self.workers.get(member.worker).context("there is no such thread")?;
            let chunks = tracks.chunks(TRACKS_OF_CALL).zip(sources.chunks(TRACKS_OF_CALL));
            for (tracks, sources) in chunks {
                let sdp = self.api.pull(&member.session, tracks)?;
                let (endpoint, expects) = (member.endpoint, sources.to_vec());
                let answer = worker.ask(|reply| Order::Offer { endpoint, sdp, expects, reply })??;
                self.api.renegotiate(&member.session, &answer)?;
            }
            Ok(())
        })?;
        let begun = members.len() * members.len().saturating_sub(1) * media.len();
        let wanted = Wanted { connected: members.len(), begun };
        self.wait_until(wanted).context("not all sessions receive everything")
    }

    fn add_publisher(&self, id: u32, media: &[Media]) -> anyhow::Result<Member> {
        let (mut client, socket) = self.client()?;
        let session = self.api.new_session()?;
        let changes: Vec<Change<'_>> =
            media.iter().zip(id..).map(|(media, id)| Change::Publish { id, media }).collect();
        let offer = client.create_offer(now(), &changes)?;
        let names: Vec<(String, String)> =
            offer.mids.into_iter().zip(0..).map(|(mid, index)| (mid, format!("track-{index}"))).collect();
        let answer = self.api.push(&session, &offer.sdp, &names)?;
        client.accept_answer(now(), &answer)?;
        let tracks =
            names.into_iter().map(|(_, name)| RemoteTrack { session: session.clone(), name }).collect();
        let sources = (id..).take(media.len()).collect();
        let room = Room { tracks, sources, silent: Vec::new() };
        let (worker, endpoint) = self.add(self.endpoint(socket, Peer::Client(Box::new(client)))?)?;
        Ok(Member { session, worker, endpoint, room })
    }

    fn add_subscriber(&self, room: &Room, connected: Option<Sender<()>>) -> anyhow::Result<()> {
        if let Some(server) = self.args.limit {
            let mut sink = self.endpoint(self.socket()?, Peer::Sink(server))?;
            sink.expects.clone_from(&room.sources);
            return self.add(sink).map(drop);
        }
        let (mut client, socket) = self.client()?;
        let session = self.api.new_session()?;
        let tracks: Vec<RemoteTrack> = room.tracks.iter().chain(&room.silent).cloned().collect();
        for tracks in tracks.chunks(TRACKS_OF_CALL) {
            let offer = self.api.pull(&session, tracks)?;
            let answer = client.accept_offer(now(), &offer)?;
            self.api.renegotiate(&session, &answer)?;
        }
        let mut endpoint = self.endpoint(socket, Peer::Client(Box::new(client)))?;
        endpoint.expects.clone_from(&room.sources);
        endpoint.connected = connected;
        self.add(endpoint).map(drop)
    }

    fn socket(&self) -> anyhow::Result<UdpSocket> {
        let address = SocketAddr::new(self.args.address, 0);
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        // The kernel grants what its limit allows.
        socket.set_recv_buffer_size(BUFFER_BYTES)?;
        socket.set_send_buffer_size(BUFFER_BYTES)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(socket.into())
    }

    fn client(&self) -> anyhow::Result<(Client, UdpSocket)> {
        let socket = self.socket()?;
        let address = socket.local_addr()?;
        let setup =
            ClientSetup { address, epoch: self.epoch, keep_log: false, credentials: None, repeats: false };
        Ok((Client::new(now(), setup)?, socket))
    }

    fn endpoint(&self, socket: UdpSocket, peer: Peer) -> anyhow::Result<Endpoint> {
        let mut endpoint = Endpoint::new(mio::net::UdpSocket::from_std(socket), peer, self.epoch);
        endpoint.lean = (self.args.receivers == Receivers::Lean).then(|| Lean::new(self.args.sample));
        Ok(endpoint)
    }

    /// Hands an endpoint to a thread; tells the thread and its number there.
    fn add(&self, endpoint: Endpoint) -> anyhow::Result<(usize, usize)> {
        let worker = self.endpoints.fetch_add(1, Ordering::Relaxed) % self.workers.len();
        let handle = self.workers.get(worker).context("there are no threads")?;
        let endpoint = handle.ask(|reply| Order::Add(Box::new(endpoint), reply))?;
        Ok((worker, endpoint))
    }

    /// Does a job for every number below `count`, some at a time; ends with the first failure.
    fn in_parallel(
        &self,
        count: usize,
        job: impl Fn(usize) -> anyhow::Result<()> + Sync,
    ) -> anyhow::Result<()> {
        let next = AtomicUsize::new(0);
        let work = || loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(());
            }
            if let Err(error) = job(number) {
                next.store(count, Ordering::Relaxed);
                return Err(error);
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..self.args.concurrency as usize).take(count).map(|_| scope.spawn(work)).collect();
            let mut result = Ok(());
            for thread in threads {
                let ended = thread.join().unwrap_or_else(|_| bail!("a thread has panicked"));
                result = result.and(ended);
            }
            result
        })
    }

    /// Waits until so many clients are connected and so many sources have begun at them.
    pub(crate) fn wait_until(&self, wanted: Wanted) -> anyhow::Result<()> {
        let each = READY_PATIENCE_EACH * u32::try_from(wanted.connected).unwrap_or(u32::MAX);
        let deadline = now() + READY_PATIENCE + each;
        loop {
            let mut seen = Wanted::default();
            for worker in &self.workers {
                let status = worker.ask(Order::Status)?;
                if let Some(failure) = status.failures.first() {
                    bail!("a client failed: {failure}");
                }
                seen.connected += status.connected;
                seen.begun += status.begun;
            }
            if seen.connected >= wanted.connected && seen.begun >= wanted.begun {
                return Ok(());
            }
            if now() > deadline {
                bail!("wanted {wanted:?}, got {seen:?}");
            }
            pause(Duration::from_millis(50));
        }
    }

    /// Asks every thread for counters.
    pub(crate) fn counters(
        &self,
        order: impl Fn(Sender<SourceCounters>) -> Order + Copy,
    ) -> anyhow::Result<SourceCounters> {
        let mut all = SourceCounters::new();
        for worker in &self.workers {
            all.extend(worker.ask(order)?);
        }
        Ok(all)
    }
}
