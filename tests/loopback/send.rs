//! What is put into an outbox arrives, and leaves in as few calls as the rules allow.

use std::net::{IpAddr, SocketAddr};

use ringcast::net::{Outbox, SendReport, udp};

use crate::rig::{Rig, drain, payload, write};

pub(crate) async fn a_burst_leaves_as_segments_and_arrives_as_datagrams(mut rig: Rig) {
    assert!(rig.driver.gso());
    let peer = rig.peer();
    let to = peer.local_addr().unwrap();
    let mut outbox = Outbox::new(1 << 20);
    for seed in 0..200 {
        write(&mut outbox, 0, to, &payload(seed, 1200));
    }
    let report = rig.driver.send(&mut outbox);
    // 54 datagrams of 1200 bytes are the most that one send may carry.
    assert_eq!(
        report,
        SendReport {
            datagrams: 200,
            bytes: 240_000,
            calls: 4,
            failed: 0,
            together: [0, 0, 0, 200],
            together_sum: 3 * 54 * 54 + 38 * 38
        }
    );
    assert!(outbox.is_empty());
    for (seed, (source, datagram)) in drain(&peer, 200).into_iter().enumerate() {
        assert_eq!((source, datagram), (rig.address(), payload(seed, 1200)), "{seed}");
    }
}

pub(crate) async fn without_the_offload_every_datagram_is_a_call_of_its_own(mut rig: Rig) {
    rig.driver.set_gso(false);
    assert!(!rig.driver.gso());
    let peer = rig.peer();
    let mut outbox = Outbox::new(1 << 20);
    for seed in 0..300 {
        write(&mut outbox, 0, peer.local_addr().unwrap(), &payload(seed, 500 + seed / 100));
    }
    let report = rig.driver.send(&mut outbox);
    assert_eq!((report.datagrams, report.calls, report.failed), (300, 300, 0));
    for (seed, (_, datagram)) in drain(&peer, 300).into_iter().enumerate() {
        assert_eq!(datagram, payload(seed, 500 + seed / 100), "{seed}");
    }
    rig.driver.set_gso(true);
    assert!(rig.driver.gso());
}

pub(crate) async fn sizes_that_break_a_run_arrive_in_order(mut rig: Rig) {
    let peer = rig.peer();
    let sizes = [
        100, 100, 40, 40, 41, 0, 0, 1, 1, 1, 1200, 1200, 1199, 1200, 0, 65_000, 65_000, 1, 30_000, 30_000,
        5_001,
    ];
    let mut outbox = Outbox::new(1 << 20);
    for (seed, size) in sizes.into_iter().enumerate() {
        write(&mut outbox, 0, peer.local_addr().unwrap(), &payload(seed, size));
    }
    let report = rig.driver.send(&mut outbox);
    assert_eq!(report.datagrams, sizes.len() as u64);
    assert_eq!(report.bytes, sizes.iter().sum::<usize>() as u64);
    assert!(report.calls < report.datagrams);
    for (seed, (_, datagram)) in drain(&peer, sizes.len()).into_iter().enumerate() {
        assert_eq!(datagram, payload(seed, sizes[seed]), "{seed}");
    }
}

pub(crate) async fn more_destinations_than_one_submission_holds_are_all_served(mut rig: Rig) {
    let peers: Vec<_> = (0..7).map(|_| rig.peer()).collect();
    let mut outbox = Outbox::new(1 << 20);
    // Destinations change with every datagram, so none can leave together.
    for seed in 0..1400 {
        write(&mut outbox, 0, peers[seed % 7].local_addr().unwrap(), &payload(seed, 100));
    }
    for _ in 0..2 {
        let report = rig.driver.send(&mut outbox);
        assert_eq!((report.datagrams, report.calls, report.failed), (1400, 1400, 0));
        for (first, peer) in peers.iter().enumerate() {
            for (index, (_, datagram)) in drain(peer, 200).into_iter().enumerate() {
                assert_eq!(datagram, payload(first + 7 * index, 100));
            }
        }
        for seed in 0..1400 {
            write(&mut outbox, 0, peers[seed % 7].local_addr().unwrap(), &payload(seed, 100));
        }
    }
}

pub(crate) async fn datagrams_leave_by_the_socket_that_was_named(rig: Rig) {
    let mut rig = rig.another(3);
    let peer = rig.peer();
    let mut outbox = Outbox::new(1 << 16);
    let order = [2u8, 0, 0, 1, 2, 2, 1];
    for (seed, socket) in order.into_iter().enumerate() {
        write(&mut outbox, socket, peer.local_addr().unwrap(), &payload(seed, 20));
    }
    let report = rig.driver.send(&mut outbox);
    assert_eq!((report.datagrams, report.calls), (7, 5));
    for (seed, (source, datagram)) in drain(&peer, 7).into_iter().enumerate() {
        assert_eq!(source, rig.addresses[usize::from(order[seed])]);
        assert_eq!(datagram, payload(seed, 20));
    }
}

/// A machine of several addresses; all of 127/8 is this machine's, of IPv6 one address alone.
pub(crate) async fn an_answer_leaves_from_the_address_that_was_asked(rig: Rig) {
    let last = if rig.ip.is_ipv4() { 4 } else { 1 };
    let addresses = (1..=last).map(|last| match rig.ip {
        IpAddr::V4(_) => IpAddr::from([127, 0, 0, last]),
        IpAddr::V6(ip) => IpAddr::V6(ip),
    });
    let first = udp::bind(SocketAddr::new(rig.ip, 0)).unwrap();
    let port = first.local_addr().unwrap().port();
    let others = addresses.skip(1).map(|address| udp::bind(SocketAddr::new(address, port)).unwrap());
    let mut rig = Rig::over(rig.io, std::iter::once(first).chain(others).collect());
    let peer = rig.peer();
    for asked in rig.addresses.clone() {
        peer.send_to(b"asked", asked).unwrap();
        let received = rig.collect(1).await;
        let mut outbox = Outbox::new(1 << 12);
        write(&mut outbox, received[0].socket, received[0].source, b"answer");
        rig.driver.send(&mut outbox);
        assert_eq!(drain(&peer, 1), [(asked, b"answer".to_vec())]);
    }
}

pub(crate) async fn refused_datagrams_are_counted_and_the_others_leave(mut rig: Rig) {
    let peer = rig.peer();
    let to = peer.local_addr().unwrap();
    // Port zero cannot be sent to, nor can an address of the other IP version, nor by a socket that does not exist.
    let nowhere = SocketAddr::new(rig.ip, 0);
    let mut outbox = Outbox::new(1 << 20);
    for seed in 0..60 {
        write(&mut outbox, 0, if seed % 3 == 0 { nowhere } else { to }, &payload(seed, 30));
        write(&mut outbox, 0, if seed % 3 == 0 { nowhere } else { to }, &payload(seed, 30));
    }
    write(&mut outbox, 9, to, b"no such socket");
    let report = rig.driver.send(&mut outbox);
    assert_eq!((report.datagrams, report.bytes, report.failed), (80, 2400, 41));
    assert!(outbox.is_empty());
    let received = drain(&peer, 80);
    let expected: Vec<_> = (0..60)
        .filter(|seed| seed % 3 != 0)
        .flat_map(|seed| [payload(seed, 30), payload(seed, 30)])
        .collect();
    assert!(received.iter().map(|(_, datagram)| datagram).eq(&expected));
    write(&mut outbox, 0, to, b"after");
    assert_eq!(rig.driver.send(&mut outbox).datagrams, 1);
    drain(&peer, 1);
}

pub(crate) async fn a_closed_port_does_not_stop_receiving(mut rig: Rig) {
    let closed = rig.peer().local_addr().unwrap();
    let peer = rig.peer();
    let mut outbox = Outbox::new(1 << 16);
    for round in 0..20 {
        for seed in 0..5 {
            write(&mut outbox, 0, closed, &payload(seed, 40));
        }
        rig.driver.send(&mut outbox);
        peer.send_to(&payload(round, 60), rig.address()).unwrap();
        let received = rig.collect(1).await;
        assert_eq!(received.len(), 1);
        assert_eq!(received[0].payload, payload(round, 60));
        write(&mut outbox, 0, received[0].source, b"answer");
        assert_eq!(rig.driver.send(&mut outbox).datagrams, 1);
        assert_eq!(drain(&peer, 1)[0].1, b"answer");
    }
    assert_eq!(rig.driver.faults().receive_errors, 0);
}
