//! UDP sockets of the media path.
//!
//! Owns how a socket is bound and which options it carries. Must not read or write a datagram. The bit that forbids
//! fragmentation is left as the system has it (set, as long as the datagram fits the known path): a packet of a
//! publisher that is too large for one subscriber's path is then cut by the kernel rather than lost.
//! Next: [`super::Driver::new`] takes the sockets over.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::BorrowedFd;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::NetError;
use super::sys::{self, set_option};

/// Asked for as receive and send buffer of a socket: some thousands of datagrams, so that a shard that is late by a few
/// milliseconds loses nothing. The kernel gives no more than `net.core.rmem_max` and `net.core.wmem_max`.
pub const BUFFER_BYTES: usize = 4 << 20;

/// Binds a UDP socket of the media path.
pub fn bind(address: SocketAddr) -> Result<UdpSocket, NetError> {
    bind_one(address, false)
}

/// Binds so many sockets to one address and port. The kernel gives each datagram to one of them, the same for one
/// source, unless a [`super::steering::Steering`] says otherwise.
pub fn bind_shared(address: SocketAddr, count: usize) -> Result<Vec<UdpSocket>, NetError> {
    // Sharing would also let in on a port that another process of ours holds; whoever holds it, this bind fails.
    let probe = bind(address)?;
    let address = probe.local_addr().map_err(NetError::setup("read the address of a socket"))?;
    drop(probe);
    (0..count).map(|_| bind_one(address, true)).collect()
}

fn bind_one(address: SocketAddr, shared: bool) -> Result<UdpSocket, NetError> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))
        .map_err(|source| refused(address, source))?;
    if address.is_ipv6() {
        // An IPv4 address has its own socket.
        socket.set_only_v6(true).map_err(NetError::setup("confine a socket to IPv6"))?;
    }
    if shared {
        socket.set_reuse_port(true).map_err(NetError::setup("share a port between sockets"))?;
    }
    // A smaller buffer than asked for is no failure; what was given can be asked with `buffer_bytes`.
    let _ = socket.set_recv_buffer_size(BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(BUFFER_BYTES);
    socket.bind(&address.into()).map_err(|source| refused(address, source))?;
    let socket = UdpSocket::from(socket);
    if let Ok((receive_bytes, send_bytes)) = buffer_bytes(&socket) {
        tracing::debug!(receive_bytes, send_bytes, "bound a UDP socket");
    }
    Ok(socket)
}

/// Returns the sizes of the receive and the send buffer of `socket`, as the kernel counts payload.
///
/// The kernel books twice of what is asked for, to cover its own overhead, and reports that; this undoes it.
pub fn buffer_bytes(socket: &UdpSocket) -> io::Result<(usize, usize)> {
    let socket = SockRef::from(socket);
    Ok((socket.recv_buffer_size()? / 2, socket.send_buffer_size()? / 2))
}

/// Asks the kernel for what the drivers know how to read: joined datagrams, the traffic class and the time of arrival.
///
/// Old kernels lack the one or the other, which costs nothing but the offload.
pub(super) fn prepare(socket: &UdpSocket) -> Result<(), NetError> {
    socket.set_nonblocking(true).map_err(NetError::setup("make a socket nonblocking"))?;
    ask_for_notes(socket)?;
    let _ = set_option(socket, libc::SOL_UDP, libc::UDP_GRO, 1);
    Ok(())
}

/// Asks the kernel to tell the traffic class of each datagram, and when it came. A kernel that cannot tells nothing.
pub(super) fn ask_for_notes(socket: &UdpSocket) -> Result<(), NetError> {
    let options = SockRef::from(socket);
    let _ = match socket.local_addr().map_err(NetError::setup("read the address of a socket"))? {
        SocketAddr::V4(_) => options.set_recv_tos_v4(true),
        SocketAddr::V6(_) => options.set_recv_tclass_v6(true),
    };
    let _ = set_option(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1);
    Ok(())
}

/// Tells how often the kernel has dropped what came for a socket because its receive buffer was full; 0 where it does not
/// say.
pub(super) fn kernel_drops(socket: BorrowedFd<'_>) -> u64 {
    sys::receive_drops(socket).map_or(0, u64::from)
}

/// Tells whether the kernel knows segmented sends on `socket`.
pub(super) fn can_segment(socket: &UdpSocket) -> bool {
    // A size of zero leaves the socket as it is: sizes are given with each message.
    set_option(socket, libc::SOL_UDP, libc::UDP_SEGMENT, 0).is_ok()
}

fn refused(address: SocketAddr, source: io::Error) -> NetError {
    NetError::Bind { address, remedy: remedy(source.raw_os_error().unwrap_or(0)), source }
}

fn remedy(error: i32) -> &'static str {
    match error {
        libc::EADDRINUSE => {
            "another process holds this port (see `ss -ulpn`): stop it or choose another port base"
        }
        libc::EACCES => {
            "ports below 1024 need CAP_NET_BIND_SERVICE: choose a higher port base or grant the capability"
        }
        libc::EADDRNOTAVAIL => {
            "no interface of this machine has this address: name one of its own, and give the public one as the \
             address to advertise"
        }
        libc::EAFNOSUPPORT => {
            "this kernel has that version of IP switched off: name addresses of the other only"
        }
        libc::EMFILE | libc::ENFILE => "too many open files: raise the limit (`ulimit -n`, LimitNOFILE=)",
        _ => "see the error for the cause",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_socket_is_nonblocking_and_reports_its_buffers() {
        let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let error = socket.recv_from(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let (receive, send) = buffer_bytes(&socket).unwrap();
        assert!(receive > 0 && send > 0);
    }

    #[test]
    fn an_ipv6_socket_leaves_the_ipv4_port_free() {
        let v6 = bind("[::]:0".parse().unwrap()).unwrap();
        let port = v6.local_addr().unwrap().port();
        bind(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
    }

    #[test]
    fn a_refusal_names_address_cause_and_remedy() {
        let held = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = held.local_addr().unwrap();
        let text = bind(address).unwrap_err().to_string();
        assert!(text.contains(&address.to_string()), "{text}");
        assert!(text.contains("choose another port base"), "{text}");
        let text = bind("192.0.2.1:0".parse().unwrap()).unwrap_err().to_string();
        assert!(text.contains("no interface of this machine"), "{text}");
    }

    #[test]
    fn sockets_share_a_port_with_each_other_and_with_nobody_else() {
        let group = bind_shared("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let address = group[0].local_addr().unwrap();
        assert!(group.iter().all(|socket| socket.local_addr().unwrap() == address));
        assert!(bind(address).is_err());
        assert!(bind_shared(address, 2).is_err());
    }

    #[test]
    fn a_privileged_port_has_its_own_remedy() {
        assert!(remedy(libc::EACCES).contains("CAP_NET_BIND_SERVICE"));
    }
}
