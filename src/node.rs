//! One process: builds shards, control and their listeners in order, and takes them down in order.
//!
//! Start: sockets first, so that a taken port is told before anything runs; then the shards, then control, then
//! the listeners. Stop: no new sessions, clients are told, no new connections, open requests end, then the shards stop.

mod life;
mod ports;
mod service_manager;
mod tcp;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

pub use self::life::Reader;
use self::life::{Running, Signals};
use self::ports::MediaPorts;
use crate::config::{App, AppId, Config, DtlsRole, IoChoice, Secret, ShardChoice};
use crate::control::access::apps::{new_secret, random_hex};
use crate::control::serve::{Bounds, Room, serve};
use crate::control::{Control, Dialler, Rules, Settings, ShardLink, ShardPort, admin, http, shard_limits};
use crate::ids::{NodeKeys, ShardId};
use crate::log::say;
use crate::metrics::export::Metrics;
use crate::negotiation::LocalTransport;
use crate::net::{IoKind, probe, sys};
use crate::shard::command::{Command, DialledSocket};
use crate::shard::worker::{ShardHandle, WorkerConfig, Workers, spawn_all};
use crate::shard::{Certificate, WallClock};

/// Open files that a node needs besides one for each connection of the API and of media over TCP.
const FILES_RESERVE: u64 = 512;
/// Connections of the listener for operators.
const ADMIN_CONNECTIONS: usize = 64;

impl ShardPort for ShardHandle {
    fn send(&self, command: Command) -> Result<(), Command> {
        self.try_send(command)
    }
}

/// Binds ports of all addresses for media.
struct MediaAddresses {
    /// Each with the address under which it is reached.
    all: Vec<(IpAddr, IpAddr)>,
}

impl Dialler for MediaAddresses {
    fn dial(&self) -> anyhow::Result<Vec<(DialledSocket, SocketAddr)>> {
        let bound = self.all.iter().map(|(address, public)| {
            let socket = DialledSocket::bind(*address)?;
            let seen_as = SocketAddr::new(*public, socket.address.port());
            Ok((socket, seen_as))
        });
        bound.collect()
    }
}

/// Lets media come first on the core of a thread of control. To be called on each as it begins.
pub fn begin_control_thread() {
    if let Err(error) = sys::give_way() {
        tracing::debug!(%error, "a thread of control does not give way to media");
    }
}

/// Runs a node until it is told to stop. `read` gives the configuration when it is to be read anew.
///
/// # Errors
/// When it cannot start or go on, as a sentence with cause and remedy.
pub async fn run(config: Config, read: Reader) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let started = config.clone();
    let mut config = config;
    check_open_files(&config);
    if let Err(error) = sys::refuse_huge_pages() {
        tracing::warn!(%error, "the kernel may use huge pages: a connection costs more time and memory");
    }
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let development = config.apps.is_empty();
    if development {
        config.apps.push(development_app()?);
    }
    let mut listeners = Vec::new();
    for address in config.http.listen.addresses() {
        listeners.push(listen(*address, "--listen").await?);
    }
    let operators = listen(config.admin.listen, "--admin").await?;
    let io = choose_io(config.media.io)?;
    let (events, reports) = mpsc::unbounded_channel();
    let keys = Arc::new(NodeKeys::generate());
    let certificate = Certificate::generate().context("the certificate for DTLS cannot be made")?;
    let fingerprint = certificate.fingerprint();
    let addresses = ports::addresses(&config)?;
    let doors = tcp::open(&config, &addresses)?;
    let all = addresses.iter().map(|address| (*address, ports::public(&config, *address))).collect();
    let workers = worker_configs(&config, io, &keys, certificate, &doors)?;
    let candidates: Vec<Vec<SocketAddr>> =
        workers.iter().map(|worker| ports::candidates(&worker.sockets)).collect();
    let (handles, workers) = spawn_all(workers, events).context("the shards cannot start")?;
    let admission = doors.admission(&config);
    let refused = admission.refused();
    let tcp_candidates = doors.candidates.clone();
    doors.serve(Arc::clone(&admission), &keys, handles.clone());
    let links = handles.into_iter().zip(&candidates).map(|(handle, candidates)| ShardLink {
        port: Arc::new(handle),
        local: Arc::new(
            LocalTransport::new(fingerprint.clone(), candidates)
                .with_tcp(&tcp_candidates)
                .with_dtls_begun(config.media.dtls_role == DtlsRole::Auto),
        ),
    });
    let Rules { limits, ice, whip, whep, apps } = life::rules(&config);
    let control = Control::new(Settings {
        http: config.http.clone(),
        limits,
        ice,
        whip,
        whep,
        apps,
        shards: links.collect(),
        dialler: Box::new(MediaAddresses { all }),
        keys,
        metrics: Metrics::new(candidates.len(), backend_name(io), refused)
            .context("the metrics cannot be set up")?
            .with_lost_lines(crate::log::lost()),
    });
    tokio::spawn(Arc::clone(&control).follow(reports));
    announce(&config, development, &listeners, &operators)?;
    service_manager::tell("READY=1");
    let running = Running { control, admission, read, config, started, development };
    let served = serve_until_told(running, &mut signals, listeners, operators, &workers).await;
    workers.stop().context("a shard failed")?;
    served
}

/// Serves the listeners until a signal comes or a shard fails.
async fn serve_until_told(
    mut running: Running,
    signals: &mut Signals,
    listeners: Vec<TcpListener>,
    operators: TcpListener,
    workers: &Workers,
) -> anyhow::Result<()> {
    let (stop, stopped) = watch::channel(false);
    let (control, config) = (Arc::clone(&running.control), &running.started);
    let until = |mut stopped: watch::Receiver<bool>| async move {
        // The sender lives until every listener has ended; should it go first, that is an end too.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    let mut serving: Vec<_> = listeners
        .into_iter()
        .map(|listener| {
            tokio::spawn(serve(
                listener,
                http::service(&control),
                Arc::clone(control.connections()),
                until(stopped.clone()),
            ))
        })
        .collect();
    let bounds = Bounds {
        connections: ADMIN_CONNECTIONS,
        per_address: ADMIN_CONNECTIONS,
        ..Bounds::from(&config.http)
    };
    let room = Room::new(bounds, control.metrics());
    serving.push(tokio::spawn(serve(operators, admin::router(&control), room, until(stopped))));
    let mut told = running.until_told(signals, workers).await;
    if told.is_ok() {
        told = running.drain(signals, workers).await;
    }
    control.drain();
    stop.send_replace(true);
    let ended = async {
        for listener in serving {
            listener.await.context("a listener failed")?;
        }
        Ok(())
    };
    tokio::select! {
        ended = ended => told.and(ended),
        // Whoever asks again has no patience for open requests.
        () = signals.stop() => told,
    }
}

async fn listen(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "TCP {address} is taken by another process: end it, or choose another address with {flag}"
        ),
        std::io::ErrorKind::PermissionDenied => anyhow::anyhow!(
            "TCP {address} needs a privilege that this process does not have: choose a port above 1023 with {flag}"
        ),
        _ => anyhow::anyhow!("TCP {address} cannot be served ({error}): choose another address with {flag}"),
    })
}

/// Raises the limit on open files, and says when it stays too low.
fn check_open_files(config: &Config) {
    let wanted = config.http.connections.get() + config.limits.tcp_connections.get() + FILES_RESERVE;
    match sys::raise_open_file_limit() {
        Ok(limit) if limit < wanted => say(&format!(
            "warning: only {limit} files may be open at a time, {wanted} are wanted: raise LimitNOFILE or ulimit -n, \
             or lower http.connections or limits.tcp_connections"
        )),
        Ok(_) => {}
        Err(error) => tracing::debug!(%error, "the limit on open files cannot be raised"),
    }
}

fn choose_io(choice: IoChoice) -> anyhow::Result<IoKind> {
    let kind = match choice {
        IoChoice::Mmsg => IoKind::Mmsg,
        IoChoice::Uring => {
            probe::probe_uring().map_err(|cause| anyhow::anyhow!("{cause}"))?;
            IoKind::Uring
        }
        IoChoice::Auto => match probe::probe_uring() {
            Ok(()) => IoKind::Uring,
            Err(cause) => {
                say(&format!("media I/O is {}: {cause}", backend_name(IoKind::Mmsg)));
                return Ok(IoKind::Mmsg);
            }
        },
    };
    say(&format!("media I/O is {}", backend_name(kind)));
    Ok(kind)
}

const fn backend_name(io: IoKind) -> &'static str {
    match io {
        IoKind::Uring => "io_uring",
        IoKind::Mmsg => "mmsg",
    }
}

/// Binds the sockets of every shard, and puts together what its thread needs.
fn worker_configs(
    config: &Config,
    io: IoKind,
    keys: &Arc<NodeKeys>,
    certificate: Certificate,
    doors: &tcp::Doors,
) -> anyhow::Result<Vec<WorkerConfig>> {
    let cpus = sys::cpus();
    let shards = match config.media.shards {
        ShardChoice::Fixed(count) => usize::from(count),
        ShardChoice::Auto => cpus.len().clamp(1, usize::from(ShardChoice::MOST)),
    };
    let limits = shard_limits(&config.limits);
    let ports = MediaPorts::open(config, shards)?;
    let clock = wall_clock();
    let workers = ports.sockets.into_iter().zip(0_u8..).map(|(sockets, number)| WorkerConfig {
        shard: ShardId(number),
        // More shards than cores: the scheduler places them better than a fixed choice.
        cpu: cpus.get(usize::from(number)).copied().filter(|_| shards <= cpus.len()),
        io,
        sockets,
        tcp_candidates: doors.candidates.clone(),
        limits: limits.clone(),
        clock,
        keys: Arc::clone(keys),
        certificate: certificate.clone(),
        gso: config.media.gso.0,
        busy_poll: Duration::from_micros(config.media.busy_poll_microseconds.get()),
        shared_port: ports.shared.clone(),
    });
    Ok(workers.collect())
}

/// What the clocks say now.
#[expect(clippy::disallowed_methods, reason = "the shell reads the clocks for its shards")]
fn wall_clock() -> WallClock {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallClock::new(Instant::now(), since_1970)
}

/// An application for trying things out; its secret is new at every start.
fn development_app() -> anyhow::Result<App> {
    let id = AppId::try_from(random_hex::<16>()?)?;
    Ok(App { id, secrets: vec![Secret::try_from(new_secret()?)?] })
}

fn announce(
    config: &Config,
    development: bool,
    listeners: &[TcpListener],
    operators: &TcpListener,
) -> anyhow::Result<()> {
    say(&format!("metrics and health on http://{}", operators.local_addr()?));
    let public = config.http.public_url.get();
    if let Some(url) = public {
        say(&format!("API for clients on {url}/v1"));
    }
    for listener in listeners {
        let address = listener.local_addr()?;
        say(&format!("API on http://{address}/v1"));
        if let Some(app) = config.apps.first().filter(|_| development) {
            let secret = app.secrets.first().map(Secret::reveal).unwrap_or_default();
            let root = public.map_or_else(|| format!("http://{address}"), str::to_owned);
            say(&format!("no app is configured; try {root}/?app={}#key={secret}", app.id));
        }
    }
    Ok(())
}
