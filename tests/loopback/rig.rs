//! What all properties use: a driver with its sockets, plain peers, and loops that end.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

use ringcast::net::{Driver, IoKind, Moment, Outbox, SocketIndex, Waker, host, probe, udp};

/// After this a property counts as broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The budget of one round, smaller than most bursts so that rounds follow each other.
pub(crate) const BUDGET: usize = 100;

/// A received datagram, copied out of its buffer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Received {
    /// The position of the socket that it came in by.
    pub(crate) socket: u8,
    pub(crate) source: SocketAddr,
    pub(crate) ecn: u8,
    pub(crate) payload: Vec<u8>,
    pub(crate) arrived: Instant,
}

/// One driver, its waker and the addresses of its sockets.
pub(crate) struct Rig {
    pub(crate) io: IoKind,
    pub(crate) ip: IpAddr,
    pub(crate) driver: Driver,
    pub(crate) waker: Waker,
    pub(crate) addresses: Vec<SocketAddr>,
    /// Whether the thread has nothing else to wait for.
    pub(crate) alone: bool,
}

/// Runs a property inside the host runtime of `io`.
pub(crate) fn run(io: IoKind, ip: &str, alone: bool, property: impl AsyncFnOnce(Rig)) {
    if io == IoKind::Uring {
        probe::probe_uring().unwrap();
    }
    let ip = ip.parse().unwrap();
    host::run(io, async { property(Rig { alone, ..Rig::new(io, ip, 1) }).await }).unwrap();
}

impl Rig {
    pub(crate) fn new(io: IoKind, ip: IpAddr, sockets: usize) -> Self {
        let sockets: Vec<_> = (0..sockets).map(|_| udp::bind(SocketAddr::new(ip, 0)).unwrap()).collect();
        Self::over(io, sockets)
    }

    pub(crate) fn over(io: IoKind, sockets: Vec<UdpSocket>) -> Self {
        let addresses: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
        let waker = Waker::new().unwrap();
        let driver = Driver::new(io, sockets, &waker).unwrap();
        Self { io, ip: addresses[0].ip(), driver, waker, addresses, alone: false }
    }

    /// Makes another driver of the same kind on the same thread.
    pub(crate) fn another(&self, sockets: usize) -> Self {
        Self { alone: self.alone, ..Self::new(self.io, self.ip, sockets) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Makes a plain socket that waits for datagrams.
    pub(crate) fn peer(&self) -> UdpSocket {
        let peer = udp::bind(SocketAddr::new(self.ip, 0)).unwrap();
        peer.set_nonblocking(false).unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        peer
    }

    /// Receives until `count` datagrams are there.
    pub(crate) async fn collect(&mut self, count: usize) -> Vec<Received> {
        let end = Instant::now() + PATIENCE;
        let mut received = Vec::new();
        while received.len() < count {
            assert!(Instant::now() < end, "{} of {count} datagrams came", received.len());
            self.wait_patiently(Some(end)).await;
            self.round(BUDGET, &mut received);
        }
        received
    }

    /// Receives once.
    pub(crate) fn round(&mut self, budget: usize, received: &mut Vec<Received>) -> usize {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let moment = Moment::new(Instant::now(), since_1970);
        self.driver.receive(budget, &moment, &mut |datagram| {
            assert!(datagram.arrived <= moment.now());
            received.push(Received {
                arrived: datagram.arrived,
                socket: u8::try_from(datagram.socket.position()).unwrap(),
                source: datagram.source,
                ecn: datagram.ecn,
                payload: datagram.payload.to_vec(),
            });
        })
    }

    /// Makes sure that nothing is left: what was sent before a last datagram has come before it.
    pub(crate) async fn expect_nothing_more(&mut self) {
        let peer = self.peer();
        for address in self.addresses.clone() {
            peer.send_to(b"the last", address).unwrap();
            let received = self.collect(1).await;
            assert_eq!(received.len(), 1);
            assert_eq!(received[0].payload, b"the last");
        }
    }

    /// Waits until `wait` has ended, which must be soon.
    pub(crate) async fn wait_patiently(&mut self, deadline: Option<Instant>) {
        if self.alone {
            let end = Instant::now() + PATIENCE;
            self.driver.wait_alone(Some(deadline.map_or(end, |at| at.min(end)))).await;
            assert!(Instant::now() < end, "the wait ended");
        } else {
            tokio::time::timeout(PATIENCE, self.driver.wait(deadline)).await.expect("the wait ended");
        }
    }
}

/// Returns `len` bytes that tell datagrams apart.
pub(crate) fn payload(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (seed.wrapping_mul(31) ^ at.wrapping_mul(7) ^ (at >> 8)) as u8).collect()
}

/// Writes one datagram.
pub(crate) fn write(outbox: &mut Outbox, socket: u8, destination: SocketAddr, payload: &[u8]) {
    outbox.space(payload.len()).unwrap().copy_from_slice(payload);
    outbox.commit(SocketIndex::bound(socket), destination, payload.len());
}

/// Receives `count` datagrams at a plain socket.
pub(crate) fn drain(peer: &UdpSocket, count: usize) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut buffer = vec![0; 65_536];
    let mut received = Vec::new();
    while received.len() < count {
        let (len, source) = peer.recv_from(&mut buffer).unwrap_or_else(|error| {
            panic!("{} of {count} datagrams came: {error}", received.len());
        });
        received.push((source, buffer[..len].to_vec()));
    }
    peer.set_nonblocking(true).unwrap();
    assert!(peer.recv_from(&mut buffer).is_err(), "more than {count} datagrams came");
    peer.set_nonblocking(false).unwrap();
    received
}
