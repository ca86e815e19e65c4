//! Drivers come and go without taking memory, ports or each other's datagrams along.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringcast::net::{Outbox, udp};

use crate::rig::{Rig, drain, payload, write};

pub(crate) async fn a_dropped_driver_frees_its_port_in_the_middle_of_traffic(rig: Rig) {
    let stop = Arc::new(AtomicBool::new(false));
    let address = rig.address();
    let (peer, flag) = (rig.peer(), Arc::clone(&stop));
    let flood = thread::spawn(move || {
        while !flag.load(Ordering::Relaxed) {
            // The port is closed for moments, which a plain socket may report.
            let _ = peer.send_to(&[7; 1000], address);
        }
    });
    let io = rig.io;
    let mut rig = rig;
    for round in 0..30 {
        if round % 3 == 0 {
            rig.collect(5).await;
        }
        drop(rig);
        // Memory that the kernel still wrote to would be found changed here, if it was handed out again.
        let fresh = vec![0xa5u8; 1 << 20];
        assert!(fresh.iter().all(|byte| *byte == 0xa5));
        let socket = udp::bind(address).unwrap();
        rig = Rig::over(io, vec![socket]);
        assert!(fresh.iter().all(|byte| *byte == 0xa5));
    }
    rig.collect(5).await;
    stop.store(true, Ordering::Relaxed);
    flood.join().unwrap();
}

pub(crate) async fn two_drivers_share_a_thread(mut rig: Rig) {
    let mut other = rig.another(2);
    let peer = rig.peer();
    let mut outbox = Outbox::new(1 << 16);
    for seed in 0..50 {
        write(&mut outbox, 0, other.addresses[1], &payload(seed, 80));
    }
    rig.driver.send(&mut outbox);
    let received = other.collect(50).await;
    for (seed, datagram) in received.iter().enumerate() {
        assert_eq!((datagram.socket, datagram.source), (1, rig.address()));
        write(&mut outbox, 0, rig.address(), &datagram.payload);
        assert_eq!(datagram.payload, payload(seed, 80));
    }
    write(&mut outbox, 1, peer.local_addr().unwrap(), b"done");
    other.driver.send(&mut outbox);
    let received = rig.collect(50).await;
    assert!(received.iter().all(|datagram| datagram.source == other.addresses[0]));
    assert_eq!(drain(&peer, 1)[0].0, other.addresses[1]);
    rig.expect_nothing_more().await;
    other.expect_nothing_more().await;
}

pub(crate) async fn an_idle_driver_is_served_after_a_long_time_of_only_waits(mut rig: Rig) {
    for _ in 0..200 {
        rig.wait_patiently(Some(Instant::now() + Duration::from_micros(100))).await;
        rig.waker.wake();
        rig.wait_patiently(None).await;
    }
    let peer = rig.peer();
    peer.send_to(b"hello", rig.address()).unwrap();
    assert_eq!(rig.collect(1).await[0].payload, b"hello");
}
