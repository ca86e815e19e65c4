//! What a driver hands out is what was sent to it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ringcast::net::{IoKind, Outbox, SocketIndex, udp};

use crate::rig::{BUDGET, Rig, payload, write};

pub(crate) async fn datagrams_of_many_sizes_arrive_whole_and_once(mut rig: Rig) {
    let peer = rig.peer();
    let sizes =
        [0, 1, 2, 3, 15, 16, 17, 100, 999, 1200, 1201, 1472, 1473, 4096, 9000, 30_000, 65_000, 65_487];
    for (seed, size) in sizes.into_iter().enumerate() {
        peer.send_to(&payload(seed, size), rig.address()).unwrap();
    }
    let received = rig.collect(sizes.len()).await;
    assert_eq!(received.len(), sizes.len());
    for (seed, (datagram, size)) in received.iter().zip(sizes).enumerate() {
        assert_eq!(datagram.payload, payload(seed, size), "{size}");
        assert_eq!(datagram.source, peer.local_addr().unwrap());
        assert_eq!(datagram.socket, 0);
        assert_eq!(datagram.ecn, 0);
    }
    rig.expect_nothing_more().await;
    assert_eq!(rig.driver.faults().unreadable, 0);
}

pub(crate) async fn every_socket_has_its_index_and_every_source_its_address(rig: Rig) {
    let mut rig = rig.another(5);
    let peers: Vec<_> = (0..4).map(|_| rig.peer()).collect();
    let mut expected = Vec::new();
    for (socket, address) in rig.addresses.iter().enumerate() {
        for peer in &peers {
            let bytes = payload(expected.len(), 50);
            peer.send_to(&bytes, address).unwrap();
            expected.push((socket as u8, peer.local_addr().unwrap(), bytes));
        }
    }
    let received = rig.collect(expected.len()).await;
    let mut received: Vec<_> =
        received.into_iter().map(|datagram| (datagram.socket, datagram.source, datagram.payload)).collect();
    received.sort();
    expected.sort();
    assert_eq!(received, expected);
    rig.expect_nothing_more().await;
}

pub(crate) async fn joined_datagrams_are_handed_out_singly_and_the_budget_holds(mut rig: Rig) {
    let mut sender = rig.another(1);
    let mut outbox = Outbox::new(1 << 16);
    for seed in 0..40 {
        write(&mut outbox, 0, rig.address(), &payload(seed, 300));
    }
    write(&mut outbox, 0, rig.address(), &payload(40, 7));
    let report = sender.driver.send(&mut outbox);
    assert_eq!((report.datagrams, report.calls), (41, 1));
    let mut received = Vec::new();
    let mut rounds = 0;
    while received.len() < 41 {
        rig.wait_patiently(None).await;
        let before = received.len();
        let taken = rig.round(3, &mut received);
        assert_eq!(received.len() - before, taken);
        assert!(taken <= 3);
        rounds += 1;
    }
    assert!(rounds >= 14, "{rounds}");
    for (seed, datagram) in received.iter().enumerate() {
        assert_eq!(datagram.payload, payload(seed, if seed < 40 { 300 } else { 7 }));
        assert_eq!(datagram.source, sender.address());
    }
    rig.expect_nothing_more().await;
}

pub(crate) async fn a_burst_beyond_all_buffers_is_received_whole_and_more_after_it(mut rig: Rig) {
    let socket = udp::bind(std::net::SocketAddr::new(rig.ip, 0)).unwrap();
    // As many as the socket itself can hold, where the kernel counts about a kilobyte for a small datagram.
    let burst = (udp::buffer_bytes(&socket).unwrap().0 / 1024).clamp(150, 4000);
    let peer = rig.peer();
    for round in 0..5 {
        for index in 0..burst {
            peer.send_to(&payload(round * burst + index, 64), rig.address()).unwrap();
        }
        let received = rig.collect(burst).await;
        assert_eq!(received.len(), burst);
        for (index, datagram) in received.iter().enumerate() {
            assert_eq!(datagram.payload, payload(round * burst + index, 64), "{round} {index}");
        }
        rig.expect_nothing_more().await;
    }
    let faults = rig.driver.faults();
    assert_eq!((faults.unreadable, faults.receive_errors), (0, 0));
    assert_eq!(faults.starved > 0, rig.io == IoKind::Uring, "the burst emptied the buffer ring");
}

pub(crate) async fn a_busy_socket_does_not_starve_another(rig: Rig) {
    let mut rig = rig.another(2);
    let peer = rig.peer();
    let mut sockets = BTreeSet::new();
    let mut received = Vec::new();
    peer.send_to(b"quiet", rig.addresses[1]).unwrap();
    // The busy socket always holds more than one round takes.
    for _ in 0..10 {
        for _ in 0..BUDGET * 2 {
            peer.send_to(b"busy", rig.addresses[0]).unwrap();
        }
        rig.wait_patiently(None).await;
        rig.round(BUDGET, &mut received);
        sockets.extend(received.drain(..).map(|datagram| datagram.socket));
        if sockets.len() == 2 {
            return;
        }
    }
    panic!("the quiet socket was not served in ten rounds");
}

pub(crate) async fn each_datagram_has_the_time_at_which_it_came(mut rig: Rig) {
    const PAUSE: Duration = Duration::from_millis(20);
    let peer = rig.peer();
    let mut sent = Vec::new();
    for number in 0..4 {
        let before = Instant::now();
        peer.send_to(&[number], rig.address()).unwrap();
        sent.push((before, Instant::now()));
        while sent[usize::from(number)].1.elapsed() < PAUSE {}
    }
    let received = rig.collect(4).await;
    assert!(received.iter().map(|one| one.payload[0]).eq(0..4));
    // All are taken at once, long after the first has come. The two clocks drift apart by less than the part of a pause
    // that is left out here.
    for (pair, sent) in received.windows(2).zip(sent.windows(2)) {
        let apart = pair[1].arrived - pair[0].arrived;
        assert!(apart > PAUSE / 2, "{apart:?}");
        assert!(apart < sent[1].1 - sent[0].0 + PAUSE / 2, "{apart:?}");
    }
}

pub(crate) async fn congestion_bits_are_told(mut rig: Rig) {
    let peer = rig.peer();
    for ecn in [1, 2, 3, 0] {
        let options = socket2::SockRef::from(&peer);
        // The upper six bits are another field and must not show.
        let class = 0b1011_1000 | u32::from(ecn);
        if rig.ip.is_ipv4() { options.set_tos_v4(class) } else { options.set_tclass_v6(class) }.unwrap();
        peer.send_to(b"marked", rig.address()).unwrap();
        let received = rig.collect(1).await;
        assert_eq!(received[0].ecn, ecn);
    }
}

pub(crate) async fn congestion_bits_leave_as_they_were_written(mut rig: Rig) {
    let mut far = rig.another(1);
    let to = far.address();
    for (segments, calls) in [(true, 5), (false, 9)] {
        rig.driver.set_gso(segments);
        let mut outbox = Outbox::new(1 << 16);
        let written = [0, 1, 1, 1, 3, 2, 2, 0, 0];
        for (seed, ecn) in written.into_iter().enumerate() {
            outbox.space(700).unwrap().copy_from_slice(&payload(seed, 700));
            outbox.commit_marked(SocketIndex::bound(0), to, 700, ecn);
        }
        let report = rig.driver.send(&mut outbox);
        assert_eq!((report.datagrams, report.calls, report.failed), (9, calls, 0));
        for (seed, datagram) in far.collect(written.len()).await.into_iter().enumerate() {
            assert_eq!((datagram.ecn, datagram.payload), (written[seed], payload(seed, 700)), "{seed}");
        }
    }
}
