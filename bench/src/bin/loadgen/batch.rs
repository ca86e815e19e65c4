//! Datagrams by the batch: one system call receives what waits in a socket, one sends what a client has to say.
//!
//! Bound: [`BATCH`] datagrams a call, each of [`DATAGRAM_BYTES`] at most.

use std::io::{IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};

/// Datagrams of one call.
pub(crate) const BATCH: usize = 32;
/// Longer ones are cut, and then are damaged.
const DATAGRAM_BYTES: usize = 2048;

/// The buffers of one thread.
pub(crate) struct Batch {
    headers: MultiHeaders<SockaddrStorage>,
    sending: MultiHeaders<SockaddrStorage>,
    buffer: Vec<u8>,
    arrived: Vec<(usize, SockaddrStorage)>,
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self {
            headers: MultiHeaders::preallocate(BATCH, None),
            sending: MultiHeaders::preallocate(BATCH, None),
            buffer: vec![0; BATCH * DATAGRAM_BYTES],
            arrived: Vec::with_capacity(BATCH),
        }
    }

    /// Takes what waits in a socket that does not block. Fewer than [`BATCH`] means that no more waits.
    pub(crate) fn receive(&mut self, socket: &impl AsRawFd) -> anyhow::Result<usize> {
        self.arrived.clear();
        let mut spaces = self.buffer.chunks_mut(DATAGRAM_BYTES);
        let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
            std::array::from_fn(|_| [IoSliceMut::new(spaces.next().unwrap_or_default())]);
        let flags = MsgFlags::MSG_DONTWAIT;
        match recvmmsg(socket.as_raw_fd(), &mut self.headers, slices.iter_mut(), flags, None) {
            Ok(messages) => {
                let arrived = messages.filter_map(|message| Some((message.bytes, message.address?)));
                self.arrived.extend(arrived);
            }
            Err(Errno::EAGAIN) => {}
            // An ICMP error of an earlier send; ICE finds out by itself whether the server is there. More may wait.
            Err(Errno::ECONNREFUSED | Errno::EINTR) => return Ok(BATCH),
            Err(error) => return Err(error.into()),
        }
        Ok(self.arrived.len())
    }

    /// What [`Batch::receive`] has taken, with the source of each datagram.
    pub(crate) fn datagrams(&mut self) -> impl Iterator<Item = (&mut [u8], &SockaddrStorage)> {
        self.buffer
            .chunks_mut(DATAGRAM_BYTES)
            .zip(&self.arrived)
            .map(|(space, (len, source))| (space.get_mut(..*len).unwrap_or_default(), source))
    }

    /// Sends datagrams in a row, so that what belongs together leaves together.
    pub(crate) fn send(
        &mut self,
        socket: &impl AsRawFd,
        datagrams: &[(SocketAddr, Vec<u8>)],
    ) -> anyhow::Result<()> {
        let mut rest = datagrams;
        while !rest.is_empty() {
            let now = rest.get(..BATCH).unwrap_or(rest);
            let slices: Vec<[IoSlice<'_>; 1]> = now.iter().map(|(_, bytes)| [IoSlice::new(bytes)]).collect();
            let names: Vec<Option<SockaddrStorage>> =
                now.iter().map(|(address, _)| Some(SockaddrStorage::from(*address))).collect();
            let flags = MsgFlags::MSG_DONTWAIT;
            let sent = sendmmsg(socket.as_raw_fd(), &mut self.sending, &slices, &names, [], flags);
            let sent = match sent {
                Ok(sent) => sent.count().max(1),
                // A full socket buffer loses the datagram, as the network would.
                Err(Errno::EAGAIN | Errno::ECONNREFUSED) => 1,
                Err(Errno::EINTR) => 0,
                Err(error) => return Err(error.into()),
            };
            rest = rest.get(sent..).unwrap_or_default();
        }
        Ok(())
    }
}

/// The address behind a name of the kernel.
pub(crate) fn address(name: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = name.as_sockaddr_in().map(|v4| SocketAddr::from((v4.ip(), v4.port())));
    v4.or_else(|| name.as_sockaddr_in6().map(|v6| SocketAddr::from((v6.ip(), v6.port()))))
}
