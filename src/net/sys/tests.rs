//! Limits, counts of drops, and what a prefetch may be given.

use super::*;

#[test]
fn a_pinned_thread_runs_on_its_cpu_alone() {
    let allowed = cpus();
    assert!(!allowed.is_empty());
    assert!(allowed.is_sorted());
    let last = *allowed.last().unwrap();
    std::thread::spawn(move || {
        pin_thread(last).unwrap();
        assert_eq!(cpus(), [last]);
    })
    .join()
    .unwrap();
}

#[test]
fn a_cpu_beyond_the_mask_is_refused() {
    assert_eq!(pin_thread(CPUS_MAX).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert!(pin_thread(CPUS_MAX - 1).is_err());
}

#[test]
fn the_soft_limit_of_open_files_can_be_raised_to_the_hard_one() {
    let (soft, hard) = open_file_limit().unwrap();
    assert!(soft <= hard);
    assert_eq!(raise_open_file_limit().unwrap(), hard);
    assert_eq!(open_file_limit().unwrap(), (hard, hard));
}

#[test]
fn an_eventfd_counts_its_signals() {
    let event = EventFd::new().unwrap();
    assert_eq!(event.drain(), 0);
    event.signal();
    event.signal();
    assert_eq!(event.drain(), 2);
    assert_eq!(event.drain(), 0);
}

#[test]
fn batches_carry_payload_source_and_segments() {
    let (a, b) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let destination = b.local_addr().unwrap();
    let batch = [
        Outgoing { destination, payload: b"one", segment: None, ecn: 0 },
        Outgoing { destination, payload: b"twothr33", segment: Some(3), ecn: 1 },
    ];
    let mut scratch: Vec<_> = (0..4).map(|_| OutgoingMessage::new()).collect();
    assert_eq!(send_batch(&a, batch.into_iter(), &mut scratch).unwrap(), 2);
    let mut slots: Vec<_> = (0..8).map(|_| Slot::new(4)).collect();
    assert_eq!(receive_batch(&b, &mut slots).unwrap(), 4);
    let payloads: Vec<_> = slots.iter().take(4).map(|slot| &slot.payload[..slot.filled.payload]).collect();
    assert_eq!(payloads, [&b"one"[..], b"two", b"thr", b"33"]);
    for slot in &slots[..4] {
        assert_eq!(slot.source(), Some(a.local_addr().unwrap()));
        assert!(!slot.filled.cut_short);
    }
}

#[test]
fn a_datagram_beyond_its_slot_is_marked() {
    let (a, b) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    a.send_to(b"12345", b.local_addr().unwrap()).unwrap();
    let mut slots = [Slot::new(4)];
    assert_eq!(receive_batch(&b, &mut slots).unwrap(), 1);
    assert!(slots[0].filled.cut_short);
    assert_eq!(receive_batch(&b, &mut slots).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_blank_message_cannot_leave() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut message = OutgoingMessage::new();
    let destination = socket.local_addr().unwrap();
    message.fill(&Outgoing { destination, payload: b"payload", segment: None, ecn: 0 });
    message.blank();
    // SAFETY: a blank header points to nothing.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &message.header, libc::MSG_DONTWAIT) };
    assert_eq!(check(sent as i32).unwrap_err().raw_os_error(), Some(libc::EDESTADDRREQ));
}

#[test]
fn pages_are_zeroed_aligned_and_writable() {
    let pages = Pages::new(3 * 4096).unwrap();
    assert_eq!(pages.as_ptr().addr() % 4096, 0);
    // SAFETY: the mapping is three pages long, nobody else knows it, and this borrow ends before `pages`.
    let bytes = unsafe { std::slice::from_raw_parts_mut(pages.as_ptr(), pages.len()) };
    assert!(bytes.iter().all(|byte| *byte == 0));
    bytes.fill(7);
}

#[test]
fn memory_can_be_fetched_wherever_it_is_said_to_lie() {
    let value = [7_u8; 200];
    prefetch(value.as_ptr().addr(), value.len());
    for address in [0, 1, CACHE_LINE_BYTES, usize::MAX / 2, usize::MAX - 100, usize::MAX] {
        prefetch(address, 200);
        prefetch(address, 0);
    }
    assert_eq!(value, [7; 200]);
}
