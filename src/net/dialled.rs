//! Sockets of single sessions: those that call out to another server instead of waiting for a client.
//!
//! A server tells its clients apart by their addresses, and so do we. Two sessions that call the same port of another
//! server from the same port of ours would be one to both sides, so each of them has its own ports. Such sessions are few
//! (other servers, not viewers): their sockets are read and written by plain system calls beside the driver.
//!
//! Must not know who a session is. Bounds: [`super::DIALLED_MAX`] sockets for one shard. Next: as for any
//! [`Datagram`](super::Datagram); what an [`Outbox`] holds for them leaves by [`Dialled::send`].

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use mio::Interest;
use slab::Slab;

use super::ancillary::Notes;
use super::outbox::Transmit;
use super::sys::{self, Outgoing, Slot};
use super::watch::{self, Watch};
use super::{Datagram, Moment, NetError, Outbox, SendReport, SocketIndex, SocketKind, udp};

/// Bytes of a receive buffer: one more than the largest datagram that anybody takes, so that a larger one is seen.
const DATAGRAM_BYTES: usize = 2048;
/// Datagrams that one socket may bring before it is the turn of the next.
const READS_OF_ONE: usize = 64;
/// Datagrams of one turn at most.
const READS: usize = 256;
/// Datagrams of one call.
const SLOTS: usize = 16;

/// A UDP socket for one session, and its address.
#[derive(Debug)]
pub struct DialledSocket {
    /// As it is bound.
    pub address: SocketAddr,
    /// The socket.
    pub socket: std::net::UdpSocket,
}

impl DialledSocket {
    /// Binds a free port of a local address.
    ///
    /// # Errors
    /// When the kernel refuses, with cause and remedy.
    pub fn bind(address: IpAddr) -> Result<Self, NetError> {
        let socket = udp::bind(SocketAddr::new(address, 0))?;
        udp::ask_for_notes(&socket)?;
        let address = socket.local_addr().map_err(NetError::setup("read the address of a socket"))?;
        Ok(Self { address, socket })
    }
}

struct Entry {
    index: SocketIndex,
    socket: mio::net::UdpSocket,
    queued: bool,
}

/// The dialled sockets of one shard.
pub struct Dialled {
    watch: Watch,
    all: Slab<Entry>,
    /// Where a socket stands in `all`, by its position.
    keys: Vec<Option<usize>>,
    /// Sockets that may have more to read.
    readable: VecDeque<usize>,
    slots: Vec<Slot>,
    /// What the kernel dropped of sockets that are closed.
    dropped: u64,
}

impl Dialled {
    /// Makes an empty table; needs the runtime of [`super::host::run`].
    pub fn new() -> Result<Self, NetError> {
        let slots = (0..SLOTS).map(|_| Slot::new(DATAGRAM_BYTES)).collect();
        let (all, keys, readable) = (Slab::new(), Vec::new(), VecDeque::new());
        Ok(Self { watch: Watch::new()?, all, keys, readable, slots, dropped: 0 })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Takes a socket over under a number, in place of the one that had it.
    ///
    /// # Errors
    /// When the kernel does not watch it; the socket is then gone.
    pub fn add(&mut self, index: SocketIndex, socket: std::net::UdpSocket) -> io::Result<()> {
        self.remove(index);
        let mut socket = mio::net::UdpSocket::from_std(socket);
        let entry = self.all.vacant_entry();
        let key = entry.key();
        self.watch.add(&mut socket, key, Interest::READABLE)?;
        entry.insert(Entry { index, socket, queued: false });
        let slot = index.position();
        if self.keys.len() <= slot {
            self.keys.resize(slot + 1, None);
        }
        if let Some(place) = self.keys.get_mut(slot) {
            *place = Some(key);
        }
        self.mark_readable(key);
        Ok(())
    }

    /// Returns how often the kernel has dropped what came because the receive buffer of a socket was full.
    pub fn kernel_drops(&self) -> u64 {
        let open = self.all.iter().map(|(_, entry)| udp::kernel_drops(entry.socket.as_fd()));
        self.dropped + open.sum::<u64>()
    }

    /// Closes a socket.
    pub fn remove(&mut self, index: SocketIndex) {
        let key = self.keys.get_mut(index.position()).and_then(Option::take);
        let Some(key) = key else { return };
        if let Some(mut entry) = self.all.try_remove(key) {
            self.dropped += udp::kernel_drops(entry.socket.as_fd());
            self.watch.remove(&mut entry.socket);
            self.readable.retain(|queued| *queued != key);
        }
    }

    /// Tells without sleeping whether something has come.
    pub fn poll(&mut self) -> bool {
        if !self.all.is_empty() {
            self.take_reports();
        }
        !self.readable.is_empty()
    }

    /// Ends when something has come; never while nothing does. Dropping the future loses nothing.
    pub async fn ready(&mut self) {
        if self.readable.is_empty() {
            self.watch.changed().await;
        }
    }

    /// Reads what has come, within bounds, and hands every datagram to `take`.
    pub fn receive(&mut self, moment: &Moment, take: &mut dyn FnMut(Datagram<'_>)) {
        self.take_reports();
        let mut reads = READS;
        while reads > 0
            && let Some(key) = self.readable.pop_front()
        {
            let Some(entry) = self.all.get_mut(key) else { continue };
            entry.queued = false;
            let mut left = READS_OF_ONE.min(reads);
            reads -= left;
            while left > 0 {
                let slots = self.slots.get_mut(..left.min(SLOTS)).unwrap_or_default();
                match sys::receive_batch(&entry.socket, slots) {
                    Ok(received) => {
                        let datagrams = slots.iter().take(received);
                        datagrams
                            .filter_map(|slot| datagram_in(slot, entry.index, moment))
                            .for_each(&mut *take);
                        left = left.saturating_sub(received.max(1));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // What an earlier datagram met on its way, such as a closed port: the socket goes on.
                    Err(_) => left -= 1,
                }
            }
            if left == 0 {
                self.mark_readable(key);
            }
        }
    }

    /// Sends what `outbox` holds for them. A datagram that the kernel does not take is lost.
    pub fn send(&mut self, outbox: &Outbox) -> SendReport {
        let mut report = SendReport::default();
        let is_ours = |transmit: &&Transmit| transmit.socket.kind() == SocketKind::Dialled;
        for transmit in outbox.transmits().iter().filter(is_ours) {
            let key = self.keys.get(transmit.socket.position()).copied().flatten();
            let Some(entry) = key.and_then(|key| self.all.get(key)) else {
                report.failed += transmit.datagrams as u64;
                continue;
            };
            let Transmit { destination, ecn, .. } = *transmit;
            for payload in outbox.bytes_of(transmit).chunks(transmit.segment.max(1)) {
                report.calls += 1;
                let single = Outgoing { destination, payload, segment: None, ecn };
                match sys::send_one(&entry.socket, &single) {
                    Ok(bytes) => report.taken(1, bytes),
                    Err(_) => report.failed += 1,
                }
            }
        }
        report
    }

    fn take_reports(&mut self) {
        loop {
            let events = self.watch.take();
            for event in &events {
                self.mark_readable(watch::key_of(event));
            }
            if !self.watch.give_back(events) {
                return;
            }
        }
    }

    fn mark_readable(&mut self, key: usize) {
        let Some(entry) = self.all.get_mut(key).filter(|entry| !entry.queued) else { return };
        entry.queued = true;
        self.readable.push_back(key);
    }
}

/// What a receive has put into a slot; `None` from a source that cannot be read.
fn datagram_in<'a>(slot: &'a Slot, socket: SocketIndex, moment: &Moment) -> Option<Datagram<'a>> {
    let payload = slot.payload.get(..slot.filled.payload)?;
    let Notes { ecn, stamp, .. } = slot.notes();
    Some(Datagram { socket, source: slot.source()?, payload, ecn, arrived: moment.arrival(stamp) })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant, SystemTime};

    use super::super::{IoKind, host};
    use super::*;

    fn number(position: usize) -> SocketIndex {
        SocketIndex::dialled(position).unwrap()
    }

    fn socket() -> DialledSocket {
        DialledSocket::bind([127, 0, 0, 1].into()).unwrap()
    }

    /// What comes within a while, with the socket that it came by and its source.
    async fn receive(dialled: &mut Dialled) -> Vec<(SocketIndex, SocketAddr, Vec<u8>)> {
        let mut got = Vec::new();
        while got.is_empty() {
            let ready = tokio::time::timeout(Duration::from_secs(10), dialled.ready());
            ready.await.expect("something comes");
            dialled.receive(&moment(), &mut |datagram| {
                got.push((datagram.socket, datagram.source, datagram.payload.to_vec()));
            });
        }
        got
    }

    #[expect(clippy::disallowed_methods, reason = "real sockets have a real clock")]
    fn moment() -> Moment {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Moment::new(Instant::now(), since_1970)
    }

    fn run(test: impl Future<Output = ()>) {
        host::run(IoKind::Mmsg, test).unwrap();
    }

    fn outbox(socket: SocketIndex, to: SocketAddr, datagrams: &[&[u8]]) -> Outbox {
        let mut outbox = Outbox::new(1 << 16);
        for datagram in datagrams {
            outbox.space(datagram.len()).unwrap().copy_from_slice(datagram);
            outbox.commit(socket, to, datagram.len());
        }
        outbox
    }

    #[test]
    fn each_socket_sends_and_receives_under_its_own_number() {
        run(async {
            let mut dialled = Dialled::new().unwrap();
            let (first, second) = (socket(), socket());
            let far = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            far.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let to = far.local_addr().unwrap();
            let (one, two) = (first.address, second.address);
            dialled.add(number(0), first.socket).unwrap();
            dialled.add(number(1), second.socket).unwrap();
            let outbox = outbox(number(1), to, &[b"ab", b"cd", b"e"]);
            assert!(outbox.has_aside());
            let report = dialled.send(&outbox);
            assert_eq!((report.datagrams, report.failed, report.bytes), (3, 0, 5));
            let mut got = [0; 8];
            for expected in [&b"ab"[..], b"cd", b"e"] {
                let (len, from) = far.recv_from(&mut got).unwrap();
                assert_eq!((&got[..len], from), (expected, two));
            }
            far.send_to(b"x", one).unwrap();
            assert_eq!(receive(&mut dialled).await, [(number(0), to, b"x".to_vec())]);
        });
    }

    #[test]
    fn congestion_bits_pass_both_ways() {
        run(async {
            let mut ends = [Dialled::new().unwrap(), Dialled::new().unwrap()];
            let sockets = [socket(), socket()];
            let addresses = sockets.each_ref().map(|socket| socket.address);
            for (end, socket) in ends.iter_mut().zip(sockets) {
                end.add(number(0), socket.socket).unwrap();
            }
            let [near, far] = &mut ends;
            for ecn in [1, 2, 3, 0] {
                let mut outbox = Outbox::new(100);
                outbox.space(1).unwrap().fill(ecn);
                outbox.commit_marked(number(0), addresses[1], 1, ecn);
                assert_eq!(near.send(&outbox).datagrams, 1);
                let mut came = Vec::new();
                while came.is_empty() {
                    tokio::time::timeout(Duration::from_secs(10), far.ready()).await.expect("it comes");
                    far.receive(&moment(), &mut |datagram| {
                        came.push((datagram.payload.to_vec(), datagram.ecn))
                    });
                }
                assert_eq!(came, [(vec![ecn], ecn)]);
            }
        });
    }

    #[test]
    fn each_datagram_has_the_time_at_which_it_came_not_that_at_which_it_is_read() {
        run(async {
            let mut dialled = Dialled::new().unwrap();
            let near = socket();
            let far = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            // The kernel stamps what comes from now on; it may have to begin with that.
            dialled.add(number(0), near.socket).unwrap();
            let before = moment().now();
            far.send_to(b"first", near.address).unwrap();
            while moment().now() - before < Duration::from_millis(20) {}
            let between = moment().now();
            far.send_to(b"second", near.address).unwrap();
            let mut came = Vec::new();
            while came.len() < 2 {
                tokio::time::timeout(Duration::from_secs(10), dialled.ready()).await.expect("both come");
                dialled.receive(&moment(), &mut |datagram| came.push(datagram.arrived));
            }
            assert!(came[0] < between && came[1] > came[0], "{came:?}");
        });
    }

    #[test]
    fn a_burst_beyond_the_budget_is_read_in_turns_and_whole() {
        run(async {
            let mut dialled = Dialled::new().unwrap();
            let near = socket();
            let far = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            for number in 0..u16::try_from(READS_OF_ONE * 3).unwrap() {
                far.send_to(&number.to_be_bytes(), near.address).unwrap();
            }
            dialled.add(number(0), near.socket).unwrap();
            let mut got = Vec::new();
            while got.len() < READS_OF_ONE * 3 {
                got.extend(receive(&mut dialled).await);
            }
            let numbers: Vec<u16> =
                got.iter().map(|(.., bytes)| u16::from_be_bytes([bytes[0], bytes[1]])).collect();
            assert!(numbers.is_sorted());
        });
    }

    #[test]
    fn a_closed_socket_sends_nothing_and_frees_its_port() {
        run(async {
            let mut dialled = Dialled::new().unwrap();
            let near = socket();
            let address = near.address;
            dialled.add(number(0), near.socket).unwrap();
            dialled.remove(number(0));
            dialled.remove(number(0));
            assert!(dialled.is_empty() && !dialled.poll());
            let report = dialled.send(&outbox(number(0), address, &[b"a"]));
            assert_eq!((report.datagrams, report.failed), (0, 1));
            udp::bind(address).unwrap();
        });
    }

    #[test]
    fn an_unreachable_far_end_does_not_end_the_socket() {
        run(async {
            let mut dialled = Dialled::new().unwrap();
            let near = socket();
            let address = near.address;
            dialled.add(number(0), near.socket).unwrap();
            let gone = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            for _ in 0..3 {
                dialled.send(&outbox(number(0), gone, &[b"a"]));
                dialled.receive(&moment(), &mut |_| panic!("nothing comes"));
            }
            let far = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            far.send_to(b"x", address).unwrap();
            assert_eq!(receive(&mut dialled).await.len(), 1);
        });
    }
}
