//! The kernel's layout of socket addresses and control messages, read and written as plain bytes.
//!
//! Owns the byte formats of `sockaddr_in`, `sockaddr_in6` and `cmsghdr`, so that no pointer is needed to read what
//! came with a datagram. Must not make system calls. Bound: [`CONTROL_BYTES`] and [`NAME_BYTES`]. Next: the drivers.
//!
//! ```text
//! cmsghdr   | length: usize | level: i32 | type: i32 | data, padded to a multiple of usize |
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::time::Duration;

/// Room for the larger of the two kinds of address, a `sockaddr_in6` of 28 bytes, padded to keep what follows aligned.
pub(super) const NAME_BYTES: usize = 32;

/// Room for the control messages of one received datagram: segment size and traffic class, 24 bytes each, the stamp, 32
/// bytes, and a spare.
pub(super) const CONTROL_BYTES: usize = 104;

/// A control message to be sent: its header and at most a word.
pub(super) type SentControl = [u8; HEADER_BYTES + WORD];

const WORD: usize = size_of::<usize>();
const HEADER_BYTES: usize = WORD + 8;

/// The congestion bits of a traffic class byte (RFC 3168 5).
const ECN_MASK: u8 = 0b11;

/// What the control messages of a received buffer say.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Notes {
    /// Distance at which the buffer is to be cut, where the kernel has joined several datagrams.
    pub(super) segment: Option<usize>,
    /// The congestion bits.
    pub(super) ecn: u8,
    /// When the kernel took it from the network, since 1970 by the clock of the calendar. Of several datagrams that it has
    /// joined, the first.
    pub(super) stamp: Option<Duration>,
}

impl Notes {
    /// Reads the control messages in `control`; unknown and broken ones are passed over.
    pub(super) fn read(mut control: &[u8]) -> Self {
        let mut notes = Self::default();
        while let Some((message, rest)) = split_message(control) {
            match (message.level, message.kind) {
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    notes.segment = read_int(message.data).filter(|size| *size > 0);
                }
                (libc::IPPROTO_IP, libc::IP_TOS) | (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                    notes.ecn = first_byte(message.data) & ECN_MASK;
                }
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => notes.stamp = read_stamp(message.data),
                _ => {}
            }
            control = rest;
        }
        notes
    }
}

struct Message<'a> {
    level: i32,
    kind: i32,
    data: &'a [u8],
}

fn split_message(control: &[u8]) -> Option<(Message<'_>, &[u8])> {
    let (length, rest) = control.split_first_chunk::<WORD>()?;
    let (level, rest) = rest.split_first_chunk::<4>()?;
    let (kind, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::from_ne_bytes(*length).checked_sub(HEADER_BYTES)?;
    let message = Message {
        level: i32::from_ne_bytes(*level),
        kind: i32::from_ne_bytes(*kind),
        data: rest.get(..length)?,
    };
    // The last message may come without its padding.
    let next = length.next_multiple_of(WORD).min(rest.len());
    Some((message, rest.get(next..)?))
}

fn read_int(data: &[u8]) -> Option<usize> {
    usize::try_from(i32::from_ne_bytes(*data.first_chunk()?)).ok()
}

/// Reads a `timespec`, which is two words: seconds and the nanoseconds beyond them.
fn read_stamp(data: &[u8]) -> Option<Duration> {
    let (seconds, rest) = data.split_first_chunk::<WORD>()?;
    let seconds = u64::try_from(isize::from_ne_bytes(*seconds)).ok()?;
    let nanoseconds = u32::try_from(isize::from_ne_bytes(*rest.first_chunk::<WORD>()?)).ok()?;
    (nanoseconds < 1_000_000_000).then(|| Duration::new(seconds, nanoseconds))
}

/// Returns the class byte, which IPv4 sends as one byte and IPv6 as an int.
fn first_byte(data: &[u8]) -> u8 {
    match data.first_chunk::<4>() {
        Some(int) => (i32::from_ne_bytes(*int) & 0xff) as u8,
        None => data.first().copied().unwrap_or(0),
    }
}

/// Returns the control message that makes the kernel cut a send every `segment` bytes.
pub(super) fn segment_control(segment: u16) -> SentControl {
    sent(libc::SOL_UDP, libc::UDP_SEGMENT, &segment.to_ne_bytes())
}

/// Returns the control message that gives a send to `destination` these congestion bits, and zeros in the other bits of
/// the class, as they are without it.
pub(super) fn class_control(destination: &SocketAddr, ecn: u8) -> SentControl {
    let class = i32::from(ecn & ECN_MASK).to_ne_bytes();
    match destination {
        SocketAddr::V4(_) => sent(libc::IPPROTO_IP, libc::IP_TOS, &class),
        SocketAddr::V6(_) => sent(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &class),
    }
}

/// The data is a word at most.
fn sent(level: i32, kind: i32, data: &[u8]) -> SentControl {
    let mut control = [0; HEADER_BYTES + WORD];
    let length = (HEADER_BYTES + data.len()).to_ne_bytes();
    let fields: [&[u8]; 4] = [&length, &level.to_ne_bytes(), &kind.to_ne_bytes(), data];
    for (byte, value) in control.iter_mut().zip(fields.into_iter().flatten()) {
        *byte = *value;
    }
    control
}

/// Writes `address` as the kernel wants it and returns how many bytes count.
pub(super) fn write_address(address: SocketAddr, name: &mut [u8; NAME_BYTES]) -> usize {
    let family = match address.ip() {
        IpAddr::V4(_) => libc::AF_INET,
        IpAddr::V6(_) => libc::AF_INET6,
    } as libc::sa_family_t;
    let (family, port) = (family.to_ne_bytes(), address.port().to_be_bytes());
    let mut put = |fields: &[&[u8]]| {
        let bytes = fields.iter().copied().flatten();
        name.iter_mut().zip(bytes).map(|(byte, value)| *byte = *value).count()
    };
    match address {
        // family 2, port 2, address 4, zero 8
        SocketAddr::V4(v4) => put(&[&family, &port, &v4.ip().octets(), &[0; 8]]),
        // family 2, port 2, flow information 4, address 16, scope 4
        SocketAddr::V6(v6) => {
            put(&[&family, &port, &[0; 4], &v6.ip().octets(), &v6.scope_id().to_ne_bytes()])
        }
    }
}

/// Reads an address that the kernel wrote.
pub(super) fn read_address(name: &[u8]) -> Option<SocketAddr> {
    let (family, rest) = name.split_first_chunk::<2>()?;
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let (family, port) = (u16::from_ne_bytes(*family), u16::from_be_bytes(*port));
    match i32::from(family) {
        libc::AF_INET => Some(SocketAddrV4::new(Ipv4Addr::from(*rest.first_chunk::<4>()?), port).into()),
        libc::AF_INET6 => {
            // The flow label is the sender's affair and would make one source look like several.
            let (_flow, rest) = rest.split_first_chunk::<4>()?;
            let (octets, rest) = rest.split_first_chunk::<16>()?;
            let scope = u32::from_ne_bytes(*rest.first_chunk::<4>()?);
            Some(SocketAddrV6::new(Ipv6Addr::from(*octets), port, 0, scope).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
        let mut bytes = (HEADER_BYTES + data.len()).to_ne_bytes().to_vec();
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(WORD), 0);
        bytes
    }

    #[test]
    fn addresses_survive_the_way_to_the_kernel_and_back() {
        for text in ["192.0.2.7:0", "255.255.255.255:65535", "[2001:db8::1]:3478", "[::1]:1", "[fe80::1%7]:9"]
        {
            let address: SocketAddr = text.parse().unwrap();
            let mut name = [0xaa; NAME_BYTES];
            let len = write_address(address, &mut name);
            assert_eq!(len, if address.is_ipv4() { 16 } else { 28 });
            assert_eq!(read_address(&name[..len]), Some(address), "{text}");
        }
    }

    #[test]
    fn short_or_foreign_addresses_are_refused() {
        let mut name = [0; NAME_BYTES];
        let len = write_address("[::1]:1".parse().unwrap(), &mut name);
        for cut in 0..len {
            assert_eq!(read_address(&name[..cut]), None, "{cut}");
        }
        assert_eq!(read_address(&[0xff; NAME_BYTES]), None);
    }

    #[test]
    fn the_flow_label_is_no_part_of_a_source() {
        let labelled = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 5, 0x000a_bcde, 0);
        let mut name = [0; NAME_BYTES];
        let len = write_address(labelled.into(), &mut name);
        assert_eq!(read_address(&name[..len]), Some("[::1]:5".parse().unwrap()));
    }

    #[test]
    fn segment_size_and_congestion_bits_are_read() {
        let mut control = message(libc::IPPROTO_IP, libc::IP_TOS, &[0xfe]);
        control.extend(message(libc::SOL_UDP, libc::UDP_GRO, &1200i32.to_ne_bytes()));
        assert_eq!(Notes::read(&control), Notes { segment: Some(1200), ecn: 2, stamp: None });
        let class = message(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &3i32.to_ne_bytes());
        assert_eq!(Notes::read(&class), Notes { ecn: 3, ..Notes::default() });
    }

    fn stamp(seconds: isize, nanoseconds: isize) -> Vec<u8> {
        let data = [seconds.to_ne_bytes(), nanoseconds.to_ne_bytes()].concat();
        message(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, &data)
    }

    #[test]
    fn the_stamp_is_read_beside_all_else_and_room_for_all_is_reserved() {
        let mut control = stamp(1_900_000_000, 999_999_999);
        control.extend(message(libc::SOL_UDP, libc::UDP_GRO, &1200i32.to_ne_bytes()));
        control.extend(message(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &3i32.to_ne_bytes()));
        let expected = Duration::new(1_900_000_000, 999_999_999);
        assert_eq!(Notes::read(&control), Notes { segment: Some(1200), ecn: 3, stamp: Some(expected) });
        assert!(control.len() <= CONTROL_BYTES);
    }

    #[test]
    fn a_stamp_that_is_no_time_is_none() {
        for broken in [stamp(-1, 0), stamp(1, -1), stamp(1, 1_000_000_000)] {
            assert_eq!(Notes::read(&broken), Notes::default());
        }
        let whole = stamp(1, 2);
        for cut in 0..whole.len() {
            assert_eq!(Notes::read(&whole[..cut]).stamp, None, "{cut}");
        }
    }

    #[test]
    fn unknown_and_broken_messages_change_nothing() {
        let mut control = message(1, 2, &[1, 2, 3]);
        control.extend(message(libc::SOL_UDP, libc::UDP_GRO, &7i32.to_ne_bytes()));
        assert_eq!(Notes::read(&control).segment, Some(7));
        assert_eq!(Notes::read(&[]), Notes::default());
        assert_eq!(Notes::read(&[0; CONTROL_BYTES]), Notes::default());
        assert_eq!(Notes::read(&[0xff; CONTROL_BYTES]), Notes::default());
        for size in [0i32, -1] {
            let control = message(libc::SOL_UDP, libc::UDP_GRO, &size.to_ne_bytes());
            assert_eq!(Notes::read(&control).segment, None);
        }
        let whole = message(libc::SOL_UDP, libc::UDP_GRO, &7i32.to_ne_bytes());
        for cut in 0..HEADER_BYTES + 4 {
            assert_eq!(Notes::read(&whole[..cut]), Notes::default(), "{cut}");
        }
        assert_eq!(Notes::read(&whole[..HEADER_BYTES + 4]).segment, Some(7));
    }

    #[test]
    fn sent_control_messages_have_the_layout_that_is_read() {
        let control = segment_control(1172);
        let (message, rest) = split_message(&control).unwrap();
        assert_eq!((message.level, message.kind), (libc::SOL_UDP, libc::UDP_SEGMENT));
        assert_eq!(message.data, 1172u16.to_ne_bytes());
        assert!(rest.is_empty());
        for destination in ["192.0.2.1:1", "[2001:db8::1]:1"] {
            let class = class_control(&destination.parse().unwrap(), 0xfe);
            assert_eq!(Notes::read(&class), Notes { ecn: 2, ..Notes::default() });
            let (message, rest) = split_message(&class).unwrap();
            assert_eq!(message.data, 2i32.to_ne_bytes(), "the other bits stay zero");
            assert!(rest.is_empty());
        }
    }
}
