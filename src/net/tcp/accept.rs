//! The one TCP port: who may connect, and to whom a connection belongs.
//!
//! A connection has to begin with a frame that its [`Route`] knows how to place, within a moment and a few hundred
//! bytes. Until then nothing but this task knows it. Bounds: [`Bounds`].

#![expect(clippy::disallowed_types, reason = "taken when a connection begins or ends, never for a packet")]

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::framing::PREFIX_BYTES;
use crate::net::{NetError, SocketIndex};

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 1024;
/// The largest first frame: several times a connectivity check of any client.
const FIRST_FRAME_BYTES_MAX: usize = 600;
/// Asked for as the kernel's send buffer, which doubles it: what lies there is too old to be worth sending.
const SEND_BUFFER_BYTES: usize = 128 << 10;
/// A connection whose client acknowledges nothing for so long is given up by the kernel.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);
/// Pause after a failed accept, most often for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How many connections there may be, and how long one may take to say whose it is.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// In all.
    pub connections: usize,
    /// From one address; of IPv6, from one network of 64 bits. A quarter of them may be without a first frame.
    pub per_address: usize,
    /// Time for the first frame.
    pub first_frame: Duration,
}

/// Why a connection was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Refusal {
    /// There are too many in all.
    Full,
    /// There are too many from its address.
    Address,
    /// Its first frame did not come in time, or the client left before.
    Silent,
    /// Its first frame is too large.
    Oversize,
    /// Its first frame is no connectivity check of a session of this node.
    Foreign,
    /// Its shard has too much to do.
    Busy,
}

/// Refused connections, by [`Refusal`].
pub type Refused = Arc<[AtomicU64; 6]>;

/// A connection, and its first frame, on the way to its shard.
pub struct Arrival {
    /// The listener that it came by.
    pub listener: SocketIndex,
    /// The client's address.
    pub peer: SocketAddr,
    /// The connection, from which nothing but the first frame was read.
    pub stream: std::net::TcpStream,
    /// The first frame.
    pub first: Vec<u8>,
    /// Its place among all connections.
    pub permit: Permit,
}

/// Places a connection by its first frame.
pub type Route = Arc<dyn Fn(Arrival) -> Result<(), Refusal> + Send + Sync>;

/// Counts connections; shared by all listeners, and by shards when a connection ends.
#[derive(Debug)]
pub struct Admission {
    first_frame: Duration,
    taken: Mutex<Taken>,
    refused: Refused,
}

#[derive(Debug)]
struct Taken {
    bounds: Bounds,
    all: usize,
    by_address: HashMap<IpAddr, Share, RandomState>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Share {
    all: usize,
    silent: usize,
}

/// The place of one connection; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    admission: Arc<Admission>,
    address: IpAddr,
    silent: bool,
}

impl Admission {
    /// Begins with no connections.
    pub fn new(bounds: Bounds) -> Arc<Self> {
        let taken = Mutex::new(Taken { bounds, all: 0, by_address: HashMap::default() });
        Arc::new(Self { first_frame: bounds.first_frame, taken, refused: Refused::default() })
    }

    /// Has other numbers hold for connections that come; the time for a first frame stays.
    pub fn set_bounds(&self, bounds: Bounds) {
        self.lock().bounds = bounds;
    }

    /// The refused ones.
    pub fn refused(&self) -> Refused {
        Arc::clone(&self.refused)
    }

    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Result<Permit, Refusal> {
        let address = network(peer);
        let mut taken = self.lock();
        let bounds = taken.bounds;
        if taken.all >= bounds.connections {
            return Err(Refusal::Full);
        }
        let share = taken.by_address.get(&address).copied().unwrap_or_default();
        if share.all >= bounds.per_address || share.silent >= (bounds.per_address / 4).max(1) {
            return Err(Refusal::Address);
        }
        taken.all += 1;
        taken.by_address.insert(address, Share { all: share.all + 1, silent: share.silent + 1 });
        Ok(Permit { admission: Arc::clone(self), address, silent: true })
    }

    fn count(&self, refusal: Refusal) {
        if let Some(count) = self.refused.get(refusal as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Its first frame has come.
    fn has_spoken(&mut self) {
        if std::mem::take(&mut self.silent)
            && let Some(share) = self.admission.lock().by_address.get_mut(&self.address)
        {
            share.silent -= 1;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut taken = self.admission.lock();
        taken.all -= 1;
        if let Some(share) = taken.by_address.get_mut(&self.address) {
            share.all -= 1;
            share.silent -= usize::from(self.silent);
            if share.all == 0 {
                taken.by_address.remove(&self.address);
            }
        }
        if taken.by_address.capacity() > 4096 && taken.by_address.len() * 8 < taken.by_address.capacity() {
            taken.by_address.shrink_to_fit();
        }
    }
}

/// What counts as one address: of IPv6 the first 64 bits, of which one client commands all that follow.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

/// Binds the port on one address.
pub fn bind(address: SocketAddr) -> Result<TcpListener, NetError> {
    let refused = |source: std::io::Error| NetError::Listen { address, remedy: remedy(&source), source };
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP));
    let socket = socket.map_err(refused)?;
    if address.is_ipv6() {
        socket.set_only_v6(true).map_err(NetError::setup("confine a socket to IPv6"))?;
    }
    // Connections of a former process that are still closing are no reason to wait.
    socket.set_reuse_address(true).map_err(NetError::setup("let a port be used again"))?;
    socket.bind(&address.into()).map_err(refused)?;
    socket.listen(BACKLOG).map_err(refused)?;
    Ok(socket.into())
}

fn remedy(error: &std::io::Error) -> &'static str {
    match error.raw_os_error().unwrap_or(0) {
        libc::EADDRINUSE => {
            "another process holds this port (see `ss -tlpn`): stop it, or choose another with --tcp-port"
        }
        libc::EACCES => {
            "ports below 1024 need CAP_NET_BIND_SERVICE: grant the capability, or choose another with --tcp-port"
        }
        libc::EADDRNOTAVAIL => "no interface of this machine has this address: name one of its own",
        _ => "see the error for the cause, or switch it off with --tcp-port off",
    }
}

/// Accepts connections until the task is dropped; must run inside a runtime.
pub async fn serve(listener: TcpListener, index: SocketIndex, admission: Arc<Admission>, route: Route) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the TCP port for media cannot be served"),
    };
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match admission.admit(peer.ip()) {
            Ok(permit) => {
                let (admission, route) = (Arc::clone(&admission), Arc::clone(&route));
                tokio::spawn(async move {
                    if let Err(refusal) = introduce(stream, peer, index, permit, &route).await {
                        admission.count(refusal);
                    }
                });
            }
            Err(refusal) => admission.count(refusal),
        }
    }
}

/// Reads the first frame of a connection, and not a byte more, and hands both over.
async fn introduce(
    mut stream: TcpStream,
    peer: SocketAddr,
    listener: SocketIndex,
    mut permit: Permit,
    route: &Route,
) -> Result<(), Refusal> {
    let patience = permit.admission.first_frame;
    let first =
        tokio::time::timeout(patience, first_frame(&mut stream)).await.map_err(|_| Refusal::Silent)??;
    permit.has_spoken();
    let stream = stream.into_std().map_err(|_| Refusal::Busy)?;
    let options = SockRef::from(&stream);
    // A connection serves without any of them, though worse.
    let _ = options.set_tcp_nodelay(true);
    let _ = options.set_send_buffer_size(SEND_BUFFER_BYTES);
    let _ = options.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    route(Arrival { listener, peer, stream, first, permit })
}

async fn first_frame(stream: &mut TcpStream) -> Result<Vec<u8>, Refusal> {
    let mut prefix = [0; PREFIX_BYTES];
    stream.read_exact(&mut prefix).await.map_err(|_| Refusal::Silent)?;
    let len = usize::from(u16::from_be_bytes(prefix));
    if len > FIRST_FRAME_BYTES_MAX {
        return Err(Refusal::Oversize);
    }
    let mut frame = vec![0; len];
    stream.read_exact(&mut frame).await.map_err(|_| Refusal::Silent)?;
    Ok(frame)
}
