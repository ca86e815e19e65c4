//! The only sockets of the media path: datagrams in, datagrams out, nothing else.
//!
//! Owns the UDP sockets of one shard and the two ways to drive them, [`uring`] (a ring of its own) and [`mmsg`] (readiness
//! with `recvmmsg`/`sendmmsg`), which promise the same and run the same tests; beside them the TCP connections ([`tcp`])
//! and the sockets of sessions that call out ([`dialled`]). A shard sees all of them as one [`Door`]. Must not know what a
//! datagram means, who a session is, or that there are shards at all. Bounds: a fixed number of receive buffers per driver, a
//! fixed arena per [`Outbox`]. A received [`Datagram`] goes on to the shard's demultiplexer; what comes back in an [`Outbox`] leaves here.

mod ancillary;
pub mod dialled;
mod door;
pub mod host;
pub mod local;
pub mod mmsg;
mod moment;
mod offload;
pub mod outbox;
pub mod probe;
mod socket;
pub mod steering;
pub mod sys;
pub mod tcp;
pub mod udp;
pub mod uring;
pub mod wake;
mod watch;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

pub use door::Door;
pub use moment::Moment;
pub use outbox::Outbox;
pub use probe::IoKind;
pub use socket::{DIALLED_MAX, SocketIndex, SocketKind};
pub use sys::prefetch;
pub use wake::Waker;

/// Sockets that one driver takes at most: one for each local address of the machine.
pub const SOCKETS_MAX: usize = 64;

/// Waits in a row that end at once before the driver lets the other tasks of its thread run.
const EAGER_WAITS_MAX: u32 = 16;

/// The congestion bits of a datagram that takes no part in explicit congestion notification (RFC 3168 5).
pub const NOT_ECT: u8 = 0b00;

/// The congestion bits by which a router on the way says that it was congested (RFC 3168 5).
pub const CONGESTION_EXPERIENCED: u8 = 0b11;

/// One received UDP payload.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    /// The socket that it came in by.
    pub socket: SocketIndex,
    /// Where it came from.
    pub source: SocketAddr,
    /// Its bytes, in the receive buffer.
    pub payload: &'a [u8],
    /// The congestion bits of its IP header (RFC 3168 5), 0 to 3.
    pub ecn: u8,
    /// When the kernel took it from the network, as well as that is known; never later than the turn that hands it out.
    pub arrived: Instant,
}

/// What became of the datagrams handed to one [`Driver::send`].
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct SendReport {
    /// Datagrams that the kernel took.
    pub datagrams: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Messages handed to the kernel, whatever their number of segments: one ring entry or one `sendmmsg` slot each.
    pub calls: u64,
    /// Datagrams that the kernel refused; they are gone, as on any lossy path.
    pub failed: u64,
    /// The datagrams by how many left in one message: 1, 2 to 3, 4 to 7, 8 and more.
    pub together: [u64; 4],
    /// For each datagram, how many left in its message; the sum.
    pub together_sum: u64,
}

impl SendReport {
    /// Counts one message of so many datagrams that the kernel has taken.
    fn taken(&mut self, datagrams: usize, bytes: usize) {
        self.datagrams += datagrams as u64;
        self.bytes += bytes as u64;
        *self.run_of(datagrams) += datagrams as u64;
        self.together_sum += (datagrams * datagrams) as u64;
    }

    /// Takes back what [`Self::taken`] has counted.
    fn not_taken(&mut self, datagrams: usize, bytes: usize) {
        self.datagrams -= datagrams as u64;
        self.bytes -= bytes as u64;
        *self.run_of(datagrams) -= datagrams as u64;
        self.together_sum -= (datagrams * datagrams) as u64;
    }

    fn run_of(&mut self, datagrams: usize) -> &mut u64 {
        let [alone, few, some, many] = &mut self.together;
        match datagrams {
            0 | 1 => alone,
            2..4 => few,
            4..8 => some,
            _ => many,
        }
    }

    /// Adds another report.
    pub fn add(&mut self, more: &Self) {
        self.datagrams += more.datagrams;
        self.bytes += more.bytes;
        self.calls += more.calls;
        self.failed += more.failed;
        self.together.iter_mut().zip(more.together).for_each(|(total, more)| *total += more);
        self.together_sum += more.together_sum;
    }
}

/// Absolute totals of what went wrong inside a driver.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Faults {
    /// Datagrams dropped here because they were cut short or came from an address that cannot be read.
    pub unreadable: u64,
    /// Times when the kernel found no free receive buffer (datagrams then wait in the socket).
    pub starved: u64,
    /// Receive operations that ended with another error.
    pub receive_errors: u64,
    /// Segmented sends that the kernel refused and that were repeated one datagram at a time.
    pub unsegmented: u64,
}

/// Why the sockets or their driver cannot be set up; each text names cause and remedy.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// An address cannot be bound.
    #[error("cannot bind UDP {address}: {source}; {remedy}")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
        /// What an operator can do.
        remedy: &'static str,
    },
    /// A TCP port cannot be served.
    #[error("cannot listen on TCP {address} for media: {source}; {remedy}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
        /// What an operator can do.
        remedy: &'static str,
    },
    /// A step of setting up a socket, a ring or a runtime failed.
    #[error("cannot {step}: {source}")]
    Setup {
        /// The step, as words that follow "cannot".
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// io_uring cannot be used here.
    #[error("{0}")]
    Uring(String),
    /// A driver was made outside the runtime of [`host::run`].
    #[error("a driver can only be made inside the runtime that net::host::run starts")]
    NoHost,
    /// More sockets than a driver takes.
    #[error("{0} UDP sockets for one shard, at most 64 are possible; name fewer local addresses")]
    TooManySockets(usize),
}

impl NetError {
    /// Makes the error of a failed set-up step.
    pub(crate) fn setup(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Setup { step, source }
    }
}

/// The sockets of one shard and the way they are driven.
///
/// Lives on the thread that made it. One round is: [`wait`](Self::wait), [`receive`](Self::receive) once, work,
/// [`send`](Self::send).
pub enum Driver {
    /// A ring of its own.
    Uring(Box<uring::UringDriver>),
    /// Readiness and batched system calls.
    Mmsg(Box<mmsg::MmsgDriver>),
}

impl Driver {
    /// Takes over `sockets` and the receiving end of `waker`.
    ///
    /// Must be called inside [`host::run`] of the same kind. A waker serves one driver.
    pub fn new(io: IoKind, sockets: Vec<UdpSocket>, waker: &Waker) -> Result<Self, NetError> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(NetError::NoHost);
        }
        if sockets.len() > SOCKETS_MAX {
            return Err(NetError::TooManySockets(sockets.len()));
        }
        for socket in &sockets {
            udp::prepare(socket)?;
        }
        Ok(match io {
            IoKind::Uring => Self::Uring(Box::new(uring::UringDriver::new(sockets, waker)?)),
            IoKind::Mmsg => Self::Mmsg(Box::new(mmsg::MmsgDriver::new(sockets, waker)?)),
        })
    }

    /// Waits until datagrams are there, the waker was used, or `deadline` passed.
    ///
    /// May end early without a cause. Dropping the future loses nothing.
    pub async fn wait(&mut self, deadline: Option<Instant>) {
        match self {
            Self::Uring(driver) => driver.wait(deadline).await,
            Self::Mmsg(driver) => driver.wait(deadline).await,
        }
    }

    /// The same for a thread that has nothing else to wait for: other tasks of its runtime stand still meanwhile. The ring
    /// then sleeps without the runtime, which spares most of a wake's system calls.
    pub async fn wait_alone(&mut self, deadline: Option<Instant>) {
        match self {
            Self::Uring(driver) => driver.wait_alone(deadline).await,
            Self::Mmsg(driver) => driver.wait(deadline).await,
        }
    }

    /// Tells without sleeping whether a wait would end at once: datagrams or a wake have come.
    pub fn poll(&mut self) -> bool {
        match self {
            Self::Uring(driver) => driver.poll(),
            Self::Mmsg(driver) => driver.poll(),
        }
    }

    /// Hands every waiting datagram, at most `budget`, to `take` and returns how many those were.
    pub fn receive(&mut self, budget: usize, moment: &Moment, take: &mut dyn FnMut(Datagram<'_>)) -> usize {
        match self {
            Self::Uring(driver) => driver.receive(budget, moment, take),
            Self::Mmsg(driver) => driver.receive(budget, moment, take),
        }
    }

    /// Sends everything in `outbox` and clears it. A datagram that the kernel does not take is lost and counted.
    pub fn send(&mut self, outbox: &mut Outbox) -> SendReport {
        let report = match self {
            Self::Uring(driver) => driver.send(outbox),
            Self::Mmsg(driver) => driver.send(outbox),
        };
        outbox.clear();
        report
    }

    /// Tells whether segmentation offload is in use on any socket.
    pub fn gso(&self) -> bool {
        match self {
            Self::Uring(driver) => driver.segmentation.in_use(),
            Self::Mmsg(driver) => driver.segmentation.in_use(),
        }
    }

    /// Switches segmentation offload; switching on gives sockets that refused it another chance.
    pub fn set_gso(&mut self, on: bool) {
        match self {
            Self::Uring(driver) => driver.segmentation.set(on),
            Self::Mmsg(driver) => driver.segmentation.set(on),
        }
    }

    /// Returns the absolute totals of what went wrong so far.
    pub fn faults(&self) -> Faults {
        match self {
            Self::Uring(driver) => driver.faults,
            Self::Mmsg(driver) => driver.faults,
        }
    }

    /// Returns how often the kernel has dropped what came because the receive buffer of a socket was full. Datagrams that
    /// it had joined count as one.
    pub fn kernel_drops(&self) -> u64 {
        match self {
            Self::Uring(driver) => driver.kernel_drops(),
            Self::Mmsg(driver) => driver.kernel_drops(),
        }
    }

    /// Returns the value that metrics and logs use for this driver.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Uring(_) => "io_uring",
            Self::Mmsg(_) => "mmsg",
        }
    }
}

/// Ends when `deadline` has passed, never without one.
///
/// The timer behind it counts whole milliseconds and rounds up.
async fn passed(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(tokio::time::Instant::from_std(at)).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `bursts` bursts of ten datagrams each to a plain socket and returns the sum of the reports.
    fn send_bursts(driver: &mut Driver, to: &UdpSocket, bursts: u8) -> SendReport {
        let mut outbox = Outbox::new(1 << 16);
        let mut sum = SendReport::default();
        for burst in 0..bursts {
            for index in 0..10 {
                let space = outbox.space(100).unwrap();
                space.fill(index);
                space[0] = burst;
                outbox.commit(SocketIndex::bound(0), to.local_addr().unwrap(), 100);
            }
            let report = driver.send(&mut outbox);
            assert!(outbox.is_empty());
            sum.add(&report);
            for index in 0..10 {
                let mut datagram = [0; 200];
                assert_eq!(to.recv(&mut datagram).unwrap(), 100);
                assert_eq!((datagram[0], datagram[1]), (burst, index));
            }
        }
        sum
    }

    #[test]
    fn a_socket_that_refuses_segments_sends_singly_loses_nothing_and_stops_trying() {
        for io in IoKind::ALL {
            host::run(io, async {
                let socket = udp::bind("127.0.0.1:0".parse().unwrap()).unwrap();
                // Without checksums the kernel refuses to segment, as it does on devices that cannot compute them.
                sys::set_option(&socket, libc::SOL_SOCKET, libc::SO_NO_CHECK, 1).unwrap();
                let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
                peer.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
                let mut driver = Driver::new(io, vec![socket], &Waker::new().unwrap()).unwrap();
                assert!(driver.gso());
                let report = send_bursts(&mut driver, &peer, 20);
                assert_eq!((report.datagrams, report.bytes, report.failed), (200, 20_000, 0), "{io}");
                assert!(!driver.gso());
                let unsegmented = driver.faults().unsegmented;
                assert!(unsegmented > 1 && unsegmented < 20, "{unsegmented}");
                driver.set_gso(true);
                assert!(driver.gso());
            })
            .unwrap();
        }
    }

    #[expect(clippy::disallowed_methods, reason = "real sockets have a real clock")]
    fn moment() -> Moment {
        Moment::new(Instant::now(), std::time::Duration::ZERO)
    }

    #[test]
    fn a_look_without_sleep_finds_datagrams_and_wakes() {
        for io in IoKind::ALL {
            host::run(io, async {
                let socket = udp::bind("127.0.0.1:0".parse().unwrap()).unwrap();
                let address = socket.local_addr().unwrap();
                let waker = Waker::new().unwrap();
                let mut driver = Driver::new(io, vec![socket], &waker).unwrap();
                assert!(!driver.poll(), "{io}");
                waker.wake();
                assert!(driver.poll(), "{io}");
                driver.wait(None).await;
                assert!(!driver.poll(), "{io}: the wait has taken the wake");
                let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
                peer.send_to(b"here", address).unwrap();
                while !driver.poll() {}
                let mut payload = Vec::new();
                let mut take = |datagram: Datagram<'_>| payload.extend_from_slice(datagram.payload);
                assert_eq!(driver.receive(8, &moment(), &mut take), 1);
                assert_eq!(payload, b"here");
            })
            .unwrap();
        }
    }

    #[test]
    fn what_the_kernel_drops_for_want_of_room_is_told() {
        for io in IoKind::ALL {
            host::run(io, async {
                let socket = udp::bind("127.0.0.1:0".parse().unwrap()).unwrap();
                // The kernel gives what it has as least: room for a few datagrams.
                socket2::SockRef::from(&socket).set_recv_buffer_size(1).unwrap();
                let address = socket.local_addr().unwrap();
                let driver = Driver::new(io, vec![socket], &Waker::new().unwrap()).unwrap();
                assert_eq!(driver.kernel_drops(), 0, "{io}");
                let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
                let mut sent = 0;
                while driver.kernel_drops() == 0 && sent < 100_000 {
                    peer.send_to(&[0; 1200], address).unwrap();
                    sent += 1;
                }
                assert!(driver.kernel_drops() > 0, "{io}: {sent} datagrams that nobody reads");
            })
            .unwrap();
        }
    }

    #[test]
    fn reports_tell_how_many_left_together() {
        let mut report = SendReport::default();
        for datagrams in [1, 2, 3, 4, 7, 8, 64] {
            report.taken(datagrams, 10);
        }
        assert_eq!((report.together, report.together_sum), ([1, 5, 11, 72], 1 + 4 + 9 + 16 + 49 + 64 + 4096));
        report.not_taken(3, 10);
        let mut sum = SendReport::default();
        sum.add(&report);
        assert_eq!((sum.together, sum.datagrams, sum.bytes), ([1, 2, 11, 72], 86, 60));
        assert_eq!(sum.together_sum, report.together_sum);
    }

    #[test]
    fn a_driver_needs_its_host() {
        for io in IoKind::ALL {
            assert!(matches!(Driver::new(io, Vec::new(), &Waker::new().unwrap()), Err(NetError::NoHost)));
        }
    }

    #[test]
    fn sockets_are_bounded() {
        let socket = udp::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let sockets = |count| (0..count).map(|_| socket.try_clone().unwrap()).collect::<Vec<_>>();
        for io in IoKind::ALL {
            host::run(io, async {
                let waker = Waker::new().unwrap();
                assert!(Driver::new(io, sockets(SOCKETS_MAX), &waker).is_ok());
                let refused = Driver::new(io, sockets(SOCKETS_MAX + 1), &waker);
                assert!(matches!(refused, Err(NetError::TooManySockets(65))));
            })
            .unwrap();
        }
    }
}
