//! What cannot be provoked from outside: a kernel that refuses entries.

use super::*;
use crate::net::{IoKind, host};

fn write(outbox: &mut Outbox, destination: std::net::SocketAddr, payload: &[u8]) {
    outbox.space(payload.len()).unwrap().copy_from_slice(payload);
    outbox.commit(SocketIndex::bound(0), destination, payload.len());
}

#[test]
fn entries_that_the_kernel_did_not_take_never_send_what_the_outbox_holds_later() {
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let to = peer.local_addr().unwrap();
    host::run(IoKind::Uring, async {
        let socket = udp::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut driver = UringDriver::new(vec![socket], &Waker::new().unwrap()).unwrap();
        let mut outbox = Outbox::new(4096);
        for _ in 0..5 {
            write(&mut outbox, to, b"lost");
            write(&mut outbox, to, b"longer and lost");
        }
        let mut report = SendReport::default();
        driver.queue_chunk(&outbox, &mut Pieces::default());
        driver.blank_unsubmitted();
        driver.settle_chunk(&outbox, &mut report);
        // A shorter datagram joins the longer one before it, so ten datagrams are six messages.
        assert_eq!(report, SendReport { calls: 6, failed: 10, ..SendReport::default() });
        drop(outbox);
        let mut outbox = Outbox::new(4096);
        write(&mut outbox, to, b"sent");
        let report = driver.send(&outbox);
        assert_eq!(
            report,
            SendReport {
                datagrams: 1,
                bytes: 4,
                calls: 1,
                failed: 0,
                together: [1, 0, 0, 0],
                together_sum: 1
            }
        );
        let mut buffer = [0; 100];
        assert_eq!(peer.recv(&mut buffer).unwrap(), 4);
        assert_eq!(&buffer[..4], b"sent");
        peer.set_nonblocking(true).unwrap();
        assert!(peer.recv(&mut buffer).is_err());
    })
    .unwrap();
}

#[test]
fn all_operations_end_before_the_memory_goes() {
    host::run(IoKind::Uring, async {
        let sockets = (0..10).map(|_| udp::bind("127.0.0.1:0".parse().unwrap()).unwrap()).collect();
        let mut driver = UringDriver::new(sockets, &Waker::new().unwrap()).unwrap();
        assert!(driver.sockets.iter().all(|receiver| receiver.state == Receiving::Armed));
        assert!(driver.wake_armed);
        assert!(driver.quiesce());
        assert!(driver.sockets.iter().all(|receiver| receiver.state != Receiving::Armed));
        assert!(!driver.wake_armed);
        assert!(driver.quiesce());
    })
    .unwrap();
}
