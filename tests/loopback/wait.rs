//! A wait ends when it should, and only the clock of the test's patience ends it otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;

use crate::rig::{PATIENCE, Rig};

pub(crate) async fn a_wake_from_another_thread_ends_a_wait(mut rig: Rig) {
    let (ask, asked) = mpsc::channel();
    let woken = Arc::new(AtomicBool::new(false));
    let (waker, flag) = (rig.waker.clone(), Arc::clone(&woken));
    let other = thread::spawn(move || {
        while let Ok(()) = asked.recv() {
            flag.store(true, Ordering::SeqCst);
            waker.wake();
        }
    });
    let end = Instant::now() + PATIENCE;
    for _ in 0..500 {
        ask.send(()).unwrap();
        while !woken.swap(false, Ordering::SeqCst) {
            assert!(Instant::now() < end);
            rig.wait_patiently(None).await;
        }
    }
    drop(ask);
    other.join().unwrap();
}

pub(crate) async fn a_wake_before_the_wait_ends_it(mut rig: Rig) {
    for _ in 0..100 {
        rig.waker.wake();
        rig.waker.wake();
        rig.wait_patiently(None).await;
    }
}

pub(crate) async fn no_item_of_a_hasty_producer_is_overslept(mut rig: Rig) {
    const ITEMS: u64 = 100_000;
    let queue = Arc::new(ArrayQueue::new(64));
    let (waker, lane) = (rig.waker.clone(), Arc::clone(&queue));
    let producer = thread::spawn(move || {
        for item in 0..ITEMS {
            let mut pending = item;
            while let Err(back) = lane.push(pending) {
                pending = back;
                thread::yield_now();
            }
            waker.wake();
        }
    });
    let mut expected = 0;
    while expected < ITEMS {
        // Without a deadline: only a wake can end this.
        rig.wait_patiently(None).await;
        while let Some(item) = queue.pop() {
            assert_eq!(item, expected);
            expected += 1;
        }
        assert_eq!(rig.round(10, &mut Vec::new()), 0);
    }
    producer.join().unwrap();
}

pub(crate) async fn a_deadline_ends_a_wait(mut rig: Rig) {
    for millis in [0, 1, 5, 20] {
        let deadline = Instant::now() + Duration::from_millis(millis);
        let end = Instant::now() + PATIENCE;
        // A wait may end early without a cause, but not for ever.
        while Instant::now() < deadline {
            assert!(Instant::now() < end);
            rig.wait_patiently(Some(deadline)).await;
        }
        rig.wait_patiently(Some(deadline)).await;
    }
}

pub(crate) async fn a_past_deadline_does_not_make_the_driver_deaf(mut rig: Rig) {
    let peer = rig.peer();
    let past = Instant::now();
    let end = past + PATIENCE;
    // The runtime's clock, too, must have gone past it.
    while Instant::now() < past + Duration::from_millis(10) {
        rig.wait_patiently(Some(past + Duration::from_millis(10))).await;
    }
    let mut prompt = 0;
    for _ in 0..50 {
        peer.send_to(b"hello", rig.address()).unwrap();
        let (mut received, mut rounds) = (Vec::new(), 0);
        while received.is_empty() {
            assert!(Instant::now() < end);
            rig.wait_patiently(Some(past)).await;
            rig.round(10, &mut received);
            rounds += 1;
        }
        prompt += usize::from(rounds <= 3);
    }
    // The kernel may deliver some late; on the whole it does so before the sender is back.
    assert!(prompt > 25, "{prompt} of 50 were received within three rounds");
}

pub(crate) async fn a_wait_that_was_dropped_loses_nothing(mut rig: Rig) {
    let peer = rig.peer();
    for round in 0..50 {
        // The first poll puts the driver to sleep; the ready branch then drops it.
        tokio::select! {
            biased;
            () = rig.driver.wait(None) => {}
            () = std::future::ready(()) => {}
        }
        if round % 2 == 0 {
            let waker = rig.waker.clone();
            thread::spawn(move || waker.wake()).join().unwrap();
            rig.wait_patiently(None).await;
        } else {
            peer.send_to(b"hello", rig.address()).unwrap();
            assert_eq!(rig.collect(1).await.len(), 1);
        }
    }
}

pub(crate) async fn a_datagram_ends_a_wait_without_deadline(mut rig: Rig) {
    let (ask, asked) = mpsc::channel::<()>();
    let (peer, to) = (rig.peer(), rig.address());
    let other = thread::spawn(move || {
        while let Ok(()) = asked.recv() {
            peer.send_to(b"hello", to).unwrap();
        }
    });
    let end = Instant::now() + PATIENCE;
    for _ in 0..500 {
        ask.send(()).unwrap();
        let mut received = Vec::new();
        while received.is_empty() {
            assert!(Instant::now() < end);
            rig.wait_patiently(None).await;
            rig.round(10, &mut received);
        }
        assert_eq!(received.len(), 1);
    }
    drop(ask);
    other.join().unwrap();
}

pub(crate) async fn waits_of_both_kinds_may_follow_each_other(mut rig: Rig) {
    let peer = rig.peer();
    let end = Instant::now() + PATIENCE;
    for round in 0..60 {
        rig.alone = round % 2 == 0;
        match round % 3 {
            0 => {
                let deadline = Instant::now() + Duration::from_millis(2);
                while Instant::now() < deadline {
                    assert!(Instant::now() < end);
                    rig.wait_patiently(Some(deadline)).await;
                }
            }
            1 => {
                let waker = rig.waker.clone();
                let other = thread::spawn(move || waker.wake());
                rig.wait_patiently(None).await;
                other.join().unwrap();
            }
            _ => {
                peer.send_to(b"hello", rig.address()).unwrap();
                assert_eq!(rig.collect(1).await.len(), 1);
            }
        }
    }
}

pub(crate) async fn other_tasks_run_beside_a_busy_driver(mut rig: Rig) {
    // Who waits alone has no others.
    rig.alone = false;
    let (done, mut finished) = tokio::sync::oneshot::channel();
    tokio::task::spawn_local(async move {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        done.send(()).unwrap();
    });
    let peer = rig.peer();
    let end = Instant::now() + PATIENCE;
    peer.send_to(b"one", rig.address()).unwrap();
    peer.send_to(b"two", rig.address()).unwrap();
    while finished.try_recv().is_err() {
        assert!(Instant::now() < end);
        // There is always a datagram left, so no wait has to wait.
        peer.send_to(b"more", rig.address()).unwrap();
        rig.wait_patiently(None).await;
        rig.round(1, &mut Vec::new());
    }
}
