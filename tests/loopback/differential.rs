//! The same script through both drivers gives the same datagrams.

use std::net::{IpAddr, UdpSocket};

use ringcast::net::{IoKind, Outbox, SendReport, host};

use crate::rig::{Rig, drain, payload, write};

/// What one run showed, with ports replaced by the position of their socket.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// Received by the driver: socket, peer, payload.
    inward: Vec<(usize, usize, Vec<u8>)>,
    /// Received by each peer: socket, payload.
    outward: Vec<Vec<(usize, Vec<u8>)>>,
    reports: Vec<SendReport>,
}

/// A small generator of reproducible numbers.
struct Script(u64);

impl Script {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }

    /// Favours sizes that repeat, as video packets do, with some odd ones.
    fn size(&mut self) -> usize {
        [1200, 1200, 1200, 1200, 1180, 1, 0, 60, 300, 2000][self.next(10)]
    }
}

async fn play(io: IoKind, ip: IpAddr, seed: u64) -> Outcome {
    let mut rig = Rig::new(io, ip, 3);
    let peers: Vec<UdpSocket> = (0..4).map(|_| rig.peer()).collect();
    let mut script = Script(seed);
    let mut outbox = Outbox::new(1 << 18);
    let mut outcome = Outcome { inward: Vec::new(), outward: vec![Vec::new(); 4], reports: Vec::new() };
    for round in 0..40 {
        let burst = script.next(120);
        for index in 0..burst {
            let (peer, socket) = (script.next(4), script.next(3));
            peers[peer].send_to(&payload(round + index, script.size()), rig.addresses[socket]).unwrap();
        }
        for datagram in rig.collect(burst).await {
            let peer = peers.iter().position(|peer| peer.local_addr().unwrap() == datagram.source).unwrap();
            outcome.inward.push((usize::from(datagram.socket), peer, datagram.payload));
        }
        let mut expected = [0; 4];
        for run in 0..script.next(8) {
            let (peer, socket, size) = (script.next(4), script.next(3), script.size());
            for index in 0..script.next(20) {
                let size = if script.next(9) == 0 { script.size() } else { size };
                let to = peers[peer].local_addr().unwrap();
                write(&mut outbox, socket as u8, to, &payload(run + index, size));
                expected[peer] += 1;
            }
        }
        rig.driver.set_gso(script.next(4) != 0);
        outcome.reports.push(rig.driver.send(&mut outbox));
        for (peer, count) in expected.into_iter().enumerate() {
            for (source, datagram) in drain(&peers[peer], count) {
                let socket = rig.addresses.iter().position(|address| *address == source).unwrap();
                outcome.outward[peer].push((socket, datagram));
            }
        }
    }
    rig.expect_nothing_more().await;
    // Between different sockets no order is promised.
    outcome.inward.sort();
    outcome
}

#[test]
fn both_drivers_give_the_same_datagrams_for_the_same_script() {
    for ip in ["127.0.0.1", "::1"] {
        let ip = ip.parse().unwrap();
        for seed in 1..=4 {
            let [uring, mmsg] =
                [IoKind::Uring, IoKind::Mmsg].map(|io| host::run(io, play(io, ip, seed)).unwrap());
            assert!(
                !uring.inward.is_empty()
                    && uring.reports.iter().any(|report| report.calls < report.datagrams)
            );
            assert_eq!(uring, mmsg, "{ip} {seed}");
        }
    }
}
