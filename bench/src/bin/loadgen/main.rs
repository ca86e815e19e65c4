//! Load generator: publishers and subscribers that talk to a running server as real clients do, over HTTP and
//! UDP, and account for every packet. `bench/README.md` says how to read what it prints.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program speaks on its terminal"
)]

mod api;
mod process;
mod report;
mod worker;

use std::net::{IpAddr, UdpSocket};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use ringcast_bench::client::{Change, Client, ClientSetup};
use ringcast_bench::source::Media;
use serde::Serialize;
use socket2::{Domain, Protocol, Socket, Type};

use crate::api::{Api, RemoteTrack};
use crate::process::CpuTime;
use crate::report::{Measured, Report};
use crate::worker::{Handle, Order, SourceCounters};

/// How long all clients together may take until media flows.
const READY_PATIENCE: Duration = Duration::from_secs(30);
/// Media that flows before the measurement begins.
const WARM_UP: Duration = Duration::from_secs(1);
/// How long packets may take to arrive after the last one was sent.
const DRAIN: Duration = Duration::from_millis(500);
/// Receive buffer of each socket: a burst must not be lost here and be counted against the server.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// Measures a server by sending media through it.
#[derive(Debug, Parser, Serialize)]
#[command(name = "loadgen", version)]
struct Args {
    /// Address of the server's API.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    api: String,
    /// Application id.
    #[arg(long)]
    app: String,
    /// Secret of the application.
    #[arg(long)]
    #[serde(skip)]
    secret: String,
    /// Sessions that send.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=500))]
    publishers: u32,
    /// Sessions that receive every track of every publisher.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=2000))]
    subscribers: u32,
    /// Bits per second of each video, in thousands; 0 for none.
    #[arg(long, default_value_t = 2200)]
    video_kbps: u32,
    /// Video frames per second.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=240))]
    fps: u32,
    /// Payload bytes of a video packet.
    #[arg(long, default_value_t = 1100, value_parser = clap::value_parser!(u32).range(64..=1200))]
    payload: u32,
    /// Sends audio as well.
    #[arg(long)]
    audio: bool,
    /// How long to measure.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Threads that run the clients.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    threads: u32,
    /// Our own address.
    #[arg(long, default_value = "127.0.0.1")]
    address: IpAddr,
    /// Process id of the server, to measure its CPU.
    #[arg(long)]
    server_pid: Option<u32>,
    /// File for the result as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Name of the run in the result.
    #[arg(long, default_value = "")]
    label: String,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(report) if report.void.is_empty() => ExitCode::SUCCESS,
        Ok(_void) => ExitCode::from(2),
        Err(error) => {
            eprintln!("loadgen: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<Report> {
    if args.video_kbps == 0 && !args.audio {
        bail!("neither audio nor video is to be sent");
    }
    let mut load = Load {
        api: Api::new(&args.api, &args.app, &args.secret),
        workers: (0..args.threads).map(|_| Handle::spawn()).collect::<anyhow::Result<_>>()?,
        epoch: now(),
        media: media(args),
        address: args.address,
        clients: 0,
        tracks: Vec::new(),
    };
    for number in 0..args.publishers {
        load.add_publisher(number).with_context(|| format!("publisher {number}"))?;
    }
    load.wait_until(args.publishers as usize, 0).context("the publishers do not connect")?;
    for number in 0..args.subscribers {
        load.add_subscriber().with_context(|| format!("subscriber {number}"))?;
    }
    let streams = load.tracks.len() * args.subscribers as usize;
    load.wait_until((args.publishers + args.subscribers) as usize, streams)
        .context("not all subscribers receive everything")?;
    let measured = load.measure(args)?;
    let label = match args.label.as_str() {
        "" => format!("{} -> {}", args.publishers, args.subscribers),
        label => label.to_owned(),
    };
    let report = Report::new(label, serde_json::to_value(args)?, &measured);
    print!("{report}");
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_string_pretty(&report)? + "\n")
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(report)
}

fn media(args: &Args) -> Vec<Media> {
    let packets_per_second = args.video_kbps * 1000 / 8 / args.payload;
    let video =
        (args.video_kbps > 0).then(|| Media::video(args.fps, packets_per_second, args.payload as usize));
    args.audio.then(Media::audio).into_iter().chain(video).collect()
}

struct Load {
    api: Api,
    workers: Vec<Handle>,
    epoch: Instant,
    media: Vec<Media>,
    address: IpAddr,
    clients: usize,
    tracks: Vec<RemoteTrack>,
}

impl Load {
    fn add_publisher(&mut self, number: u32) -> anyhow::Result<()> {
        let (mut client, socket) = self.client()?;
        let session = self.api.new_session()?;
        let changes: Vec<Change<'_>> = self
            .media
            .iter()
            .zip(0..)
            .map(|(media, index)| Change::Publish { id: number * 16 + index, media })
            .collect();
        let offer = client.create_offer(now(), &changes)?;
        let names: Vec<(String, String)> =
            offer.mids.into_iter().zip(0..).map(|(mid, index)| (mid, format!("track-{index}"))).collect();
        let answer = self.api.push(&session, &offer.sdp, &names)?;
        client.accept_answer(now(), &answer)?;
        let tracks = names.into_iter().map(|(_, name)| RemoteTrack { session: session.clone(), name });
        self.tracks.extend(tracks);
        self.hand_over(client, socket)
    }

    fn add_subscriber(&mut self) -> anyhow::Result<()> {
        let (mut client, socket) = self.client()?;
        let session = self.api.new_session()?;
        // The API takes 64 tracks in one call.
        for tracks in self.tracks.chunks(64) {
            let offer = self.api.pull(&session, tracks)?;
            let answer = client.accept_offer(now(), &offer)?;
            self.api.renegotiate(&session, &answer)?;
        }
        self.hand_over(client, socket)
    }

    fn client(&self) -> anyhow::Result<(Client, UdpSocket)> {
        let domain = if self.address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        // The kernel grants what its limit allows.
        socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
        socket.bind(&std::net::SocketAddr::new(self.address, 0).into())?;
        let socket = UdpSocket::from(socket);
        let address = socket.local_addr()?;
        let setup = ClientSetup { address, epoch: self.epoch, keep_log: false, credentials: None };
        Ok((Client::new(now(), setup)?, socket))
    }

    fn hand_over(&mut self, client: Client, socket: UdpSocket) -> anyhow::Result<()> {
        let worker = self.workers.get(self.clients % self.workers.len()).context("there are no threads")?;
        self.clients += 1;
        worker.order(Order::Add(Box::new(client), socket))
    }

    /// Waits until so many clients are connected and so many streams have begun.
    fn wait_until(&self, connected: usize, streams: usize) -> anyhow::Result<()> {
        let deadline = now() + READY_PATIENCE;
        loop {
            let mut seen = (0, 0);
            for worker in &self.workers {
                let status = worker.ask(Order::Status)?;
                if let Some(failure) = status.failures.first() {
                    bail!("a client failed: {failure}");
                }
                seen = (seen.0 + status.connected, seen.1 + status.streams);
            }
            if seen.0 >= connected && seen.1 >= streams {
                return Ok(());
            }
            if now() > deadline {
                bail!("{} of {connected} connected, {} of {streams} streams begun", seen.0, seen.1);
            }
            pause(Duration::from_millis(20));
        }
    }

    fn measure(self, args: &Args) -> anyhow::Result<Measured> {
        pause(WARM_UP);
        let server = args.server_pid.map(|pid| pid.to_string());
        let cpu = || server.as_deref().map(CpuTime::of).transpose();
        let begun = self.counters(Order::Begin)?;
        let (server_before, own_before, begun_at) = (cpu()?, CpuTime::of("self")?, now());
        pause(Duration::from_secs(args.seconds));
        let paused = self.counters(Order::Pause)?;
        let (server_after, own_after, span) = (cpu()?, CpuTime::of("self")?, now().duration_since(begun_at));
        pause(DRAIN);
        let mut clients = Vec::new();
        for worker in &self.workers {
            clients.extend(worker.ask(Order::Finish)?);
        }
        let threads = self.workers.len();
        for worker in self.workers {
            worker.join()?;
        }
        Ok(Measured {
            begun,
            paused,
            span,
            server: server_after.zip(server_before).map(|(after, before)| after.since(before)),
            own: own_after.since(own_before),
            threads,
            clients,
        })
    }

    fn counters(
        &self,
        order: impl Fn(std::sync::mpsc::Sender<SourceCounters>) -> Order + Copy,
    ) -> anyhow::Result<SourceCounters> {
        let mut all = SourceCounters::new();
        for worker in &self.workers {
            all.extend(worker.ask(order)?);
        }
        Ok(all)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the load generator is a shell: it reads the clock for its clients"
)]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the main thread only waits for its client threads")]
fn pause(span: Duration) {
    std::thread::sleep(span);
}
