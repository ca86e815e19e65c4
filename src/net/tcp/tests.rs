//! Connections on loopback: real sockets, and time that is given.

#![expect(clippy::disallowed_methods, reason = "patience with real sockets is measured by a real clock")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::accept::{self, Bounds};
use super::*;
use crate::net::{IoKind, host};

/// After this a property counts as broken.
const PATIENCE: Duration = Duration::from_secs(20);
const BOUNDS: Bounds = Bounds { connections: 100, per_address: 100, first_frame: PATIENCE };

struct Rig {
    connections: Connections,
    address: SocketAddr,
    admission: Arc<Admission>,
    arrivals: mpsc::Receiver<Arrival>,
    taken: Vec<(SocketAddr, Vec<u8>)>,
    base: Instant,
}

/// Runs a property on both runtimes.
fn run(bounds: Bounds, property: impl AsyncFn(&mut Rig)) {
    for io in IoKind::ALL {
        host::run(io, async {
            let listener = accept::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let address = listener.local_addr().unwrap();
            let admission = Admission::new(bounds);
            let (sender, arrivals) = mpsc::channel();
            let route: accept::Route = Arc::new(move |arrival: Arrival| {
                if arrival.first.starts_with(b"ours") {
                    sender.send(arrival).map_err(|_| Refusal::Busy)
                } else {
                    Err(Refusal::Foreign)
                }
            });
            tokio::spawn(accept::serve(
                listener,
                SocketIndex::listener(0).unwrap(),
                Arc::clone(&admission),
                route,
            ));
            let connections = Connections::new().unwrap();
            let base = Instant::now();
            property(&mut Rig { connections, address, admission, arrivals, taken: Vec::new(), base }).await;
        })
        .unwrap();
    }
}

impl Rig {
    /// Runs until a condition holds.
    async fn until(&mut self, what: &str, mut condition: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        loop {
            let (connections, taken) = (&mut self.connections, &mut self.taken);
            let mut take = |datagram: Datagram<'_>| taken.push((datagram.source, datagram.payload.to_vec()));
            while let Ok(arrival) = self.arrivals.try_recv() {
                connections.add(arrival, self.base, &mut take);
            }
            connections.receive(self.base, &mut take);
            if condition(self) {
                return;
            }
            assert!(Instant::now() < end, "{what}: {:?}, {:?}", self.connections.figures(), self.admission);
            let _ = tokio::time::timeout(Duration::from_millis(10), self.connections.ready()).await;
        }
    }

    fn connect(&self) -> (TcpStream, SocketAddr) {
        let client = TcpStream::connect(self.address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = client.local_addr().unwrap();
        (client, name)
    }

    /// Connects and is taken over.
    async fn join(&mut self) -> (TcpStream, SocketAddr) {
        let (mut client, name) = self.connect();
        client.write_all(&framed(&[b"ours"])).unwrap();
        self.until("to be taken over", |rig| rig.of(name) == [b"ours"]).await;
        (client, name)
    }

    fn of(&self, name: SocketAddr) -> Vec<Vec<u8>> {
        self.taken.iter().filter(|(source, _)| *source == name).map(|(_, payload)| payload.clone()).collect()
    }

    fn refused(&self, refusal: Refusal) -> u64 {
        self.admission.refused()[refusal as usize].load(Ordering::Relaxed)
    }

    fn closed(&self, reason: CloseReason) -> u64 {
        self.connections.figures().closed[reason as usize]
    }

    /// Sends so many datagrams of so many bytes, numbered from `first`, to each of the clients.
    fn send(&mut self, to: &[SocketAddr], first: u32, count: u32, len: usize) -> SendReport {
        let mut outbox = Outbox::new(1 << 20);
        for client in to {
            for number in first..first + count {
                let space = outbox.space(len).unwrap();
                space.fill(7);
                space[..4].copy_from_slice(&number.to_be_bytes());
                outbox.commit(SocketIndex::listener(0).unwrap(), *client, len);
            }
        }
        assert!(outbox.has_aside());
        self.connections.send(&outbox, self.base)
    }
}

fn framed(datagrams: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for datagram in datagrams {
        assert!(framing::append(&mut bytes, datagram));
    }
    bytes
}

fn read_frame(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut prefix = [0; 2];
    client.read_exact(&mut prefix).ok()?;
    let mut frame = vec![0; usize::from(u16::from_be_bytes(prefix))];
    client.read_exact(&mut frame).ok()?;
    Some(frame)
}

/// Whether the other end has closed, everything that was sent before being read.
fn is_closed(client: &mut TcpStream) -> bool {
    let mut buffer = [0; 4096];
    loop {
        match client.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

#[test]
fn datagrams_pass_both_ways_however_they_are_cut() {
    run(BOUNDS, async |rig| {
        let (mut client, name) = rig.connect();
        let sent: Vec<Vec<u8>> = (1..=40_u8).map(|n| vec![n; usize::from(n) * 50]).collect();
        let parts: Vec<&[u8]> = std::iter::once(&b"ours"[..]).chain(sent.iter().map(Vec::as_slice)).collect();
        let bytes = framed(&parts);
        for cut in bytes.chunks(611) {
            client.write_all(cut).unwrap();
            rig.until("to rest", |_| true).await;
        }
        rig.until("all datagrams", |rig| rig.of(name).len() == parts.len()).await;
        assert_eq!(rig.of(name), parts);
        let report = rig.send(&[name], 0, 5, 1000);
        assert_eq!((report.datagrams, report.bytes, report.failed), (5, 5000, 0));
        for number in 0..5_u32 {
            let frame = read_frame(&mut client).unwrap();
            assert_eq!((frame.len(), &frame[..4]), (1000, &number.to_be_bytes()[..]));
        }
        let figures = rig.connections.figures();
        assert_eq!((figures.open, figures.bytes), (1, [bytes.len() as u64, 5 * 1002]));
        drop(client);
        rig.until("the end", |rig| rig.connections.is_empty()).await;
        assert_eq!(rig.closed(CloseReason::ByClient), 1);
        assert_eq!(rig.connections.poll_ended(), Some((SocketIndex::listener(0).unwrap(), name)));
        assert_eq!(rig.send(&[name], 0, 3, 10).failed, 3);
    });
}

#[test]
fn a_connection_that_does_not_begin_with_a_check_is_refused() {
    run(Bounds { first_frame: Duration::from_millis(100), ..BOUNDS }, async |rig| {
        let cases = [
            (framed(&[b"strange"]), Refusal::Foreign),
            (b"GET / HTTP/1.1\r\n\r\n".to_vec(), Refusal::Oversize),
            (vec![0, 20, 1], Refusal::Silent),
            (Vec::new(), Refusal::Silent),
        ];
        for (bytes, refusal) in cases {
            let before = rig.refused(refusal);
            let (mut client, _) = rig.connect();
            client.write_all(&bytes).unwrap();
            rig.until("the refusal", |rig| rig.refused(refusal) == before + 1).await;
            assert!(is_closed(&mut client), "{refusal:?}");
        }
        assert!(rig.connections.is_empty() && rig.taken.is_empty());
    });
}

#[test]
fn places_are_bounded_in_all_and_by_address_and_are_given_back() {
    run(Bounds { connections: 100, per_address: 4, first_frame: PATIENCE }, async |rig| {
        // A quarter of the four may be silent.
        let (silent, _) = rig.connect();
        let (mut second, _) = rig.connect();
        rig.until("the second silent one to be refused", |rig| rig.refused(Refusal::Address) == 1).await;
        assert!(is_closed(&mut second));
        drop(silent);
        rig.until("the silent one to be gone", |rig| rig.refused(Refusal::Silent) == 1).await;
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(rig.join().await);
        }
        let (_fifth, _) = rig.connect();
        rig.until("the fifth to be refused", |rig| rig.refused(Refusal::Address) == 2).await;
        clients.pop();
        rig.until("a place to be free", |rig| rig.connections.figures().open == 3).await;
        clients.push(rig.join().await);
    });
    run(Bounds { connections: 1, ..BOUNDS }, async |rig| {
        let _first = rig.join().await;
        let (_second, _) = rig.connect();
        rig.until("the second to be refused", |rig| rig.refused(Refusal::Full) == 1).await;
    });
}

#[test]
fn a_frame_above_the_bound_ends_its_connection_and_no_other() {
    run(BOUNDS, async |rig| {
        let (mut good, name) = rig.join().await;
        let (mut bad, _) = rig.join().await;
        bad.write_all(&[0xff, 0xff, 1, 2, 3]).unwrap();
        rig.until("the end of the bad one", |rig| rig.closed(CloseReason::Oversize) == 1).await;
        assert!(is_closed(&mut bad));
        good.write_all(&framed(&[b"still here"])).unwrap();
        rig.until("the good one", |rig| rig.of(name).len() == 2).await;
    });
}

#[test]
fn a_slow_reader_loses_whole_datagrams_disturbs_nobody_and_is_ended_when_it_stands_still() {
    run(BOUNDS, async |rig| {
        let (mut slow, slow_name) = rig.join().await;
        let (mut quick, quick_name) = rig.join().await;
        let mut number = 0;
        while rig.connections.figures().dropped < 100 {
            rig.send(&[slow_name, quick_name], number, 8, 1100);
            for expected in number..number + 8 {
                assert_eq!(read_frame(&mut quick).unwrap()[..4], expected.to_be_bytes());
            }
            number += 8;
            rig.until("to rest", |_| true).await;
            assert!(number < 100_000, "nothing is ever dropped");
        }
        // It reads again: what comes is whole and in order, with gaps.
        let mut last = None;
        for _ in 0..200 {
            let frame = read_frame(&mut slow).unwrap();
            let number = u32::from_be_bytes(*frame.first_chunk().unwrap());
            assert!(frame.len() == 1100 && last < Some(number), "{number} after {last:?}");
            last = Some(number);
        }
        let later = rig.base + Duration::from_secs(9);
        rig.connections.sweep(later, &mut |_, _| true);
        assert_eq!(rig.connections.figures().open, 2, "it has time");
        rig.connections.sweep(later + Duration::from_secs(2), &mut |_, _| true);
        assert_eq!((rig.closed(CloseReason::SlowReader), rig.connections.figures().open), (1, 1));
        assert_eq!(rig.connections.poll_ended(), Some((SocketIndex::listener(0).unwrap(), slow_name)));
        while read_frame(&mut slow).is_some_and(|frame| frame.len() == 1100) {}
        rig.send(&[quick_name], number, 1, 1100);
        assert_eq!(read_frame(&mut quick).unwrap()[..4], number.to_be_bytes());
    });
}

#[test]
fn a_connection_without_a_session_is_ended_when_its_time_is_over() {
    run(BOUNDS, async |rig| {
        let (mut lost, _) = rig.join().await;
        let (_held, held_name) = rig.join().await;
        let is_held = |_, peer| peer == held_name;
        rig.connections.sweep(rig.base + UNPROVEN / 2, &mut { is_held });
        assert_eq!(rig.connections.figures().open, 2);
        rig.connections.sweep(rig.base + UNPROVEN, &mut { is_held });
        assert_eq!((rig.closed(CloseReason::Unproven), rig.connections.figures().open), (1, 1));
        assert!(is_closed(&mut lost));
    });
}

#[test]
fn networks_of_ipv6_count_as_one_address() {
    let admission = Admission::new(Bounds { per_address: 4, ..BOUNDS });
    let admit = |address: &str| admission.admit(address.parse().unwrap());
    let _one = admit("2001:db8::1").unwrap();
    assert_eq!(admit("2001:db8::ffff:1").unwrap_err(), Refusal::Address);
    let _other = admit("2001:db8:0:1::1").unwrap();
    let _mapped = admit("::ffff:192.0.2.1").unwrap();
    assert_eq!(admit("192.0.2.1").unwrap_err(), Refusal::Address);
}
