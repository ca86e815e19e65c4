//! Datagrams by the batch: one system call receives what waits in a socket, one sends the packets of a frame, as
//! browsers do it.
//!
//! Bound: [`BATCH`] datagrams a call, each of [`DATAGRAM_BYTES`] at most.

use std::io::{IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmsg};

/// Datagrams of one call.
pub(crate) const BATCH: usize = 32;
/// Longer ones are cut, and then are damaged.
const DATAGRAM_BYTES: usize = 2048;

/// Datagrams and bytes of a message that the kernel cuts.
const SEGMENTS_MAX: usize = 64;
const SEGMENTED_BYTES_MAX: usize = 65_507;

/// The buffers of one thread.
pub(crate) struct Batch {
    headers: MultiHeaders<SockaddrStorage>,
    buffer: Vec<u8>,
    arrived: Vec<(usize, SockaddrStorage)>,
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self {
            headers: MultiHeaders::preallocate(BATCH, None),
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

    /// Sends datagrams; what belongs together leaves together.
    pub(crate) fn send(
        &mut self,
        socket: &impl AsRawFd,
        datagrams: &[(SocketAddr, Vec<u8>)],
    ) -> anyhow::Result<()> {
        let mut rest = datagrams;
        while let Some((run, later)) = rest.split_at_checked(run(rest)).filter(|(run, _)| !run.is_empty()) {
            if !send_run(socket, run)? {
                for one in run {
                    send_run(socket, std::slice::from_ref(one))?;
                }
            }
            rest = later;
        }
        Ok(())
    }
}

/// How many datagrams at the front can leave as one message that the kernel cuts: they have one destination and one
/// length, but the last may be shorter.
fn run(datagrams: &[(SocketAddr, Vec<u8>)]) -> usize {
    let Some((to, first)) = datagrams.first() else { return 0 };
    let most = (SEGMENTED_BYTES_MAX / first.len().max(1)).clamp(1, SEGMENTS_MAX);
    let equal = |(address, one): &&(SocketAddr, Vec<u8>)| address == to && one.len() == first.len();
    let count = datagrams.iter().take(most).take_while(equal).count();
    let is_closed = |(address, one): &(SocketAddr, Vec<u8>)| {
        address == to && !one.is_empty() && one.len() < first.len() && count < most
    };
    count + usize::from(datagrams.get(count).is_some_and(is_closed))
}

/// Sends what [`run`] has found. Returns whether the kernel knows how.
fn send_run(socket: &impl AsRawFd, run: &[(SocketAddr, Vec<u8>)]) -> anyhow::Result<bool> {
    let Some((to, first)) = run.first() else { return Ok(true) };
    let slices: Vec<IoSlice<'_>> = run.iter().map(|(_, bytes)| IoSlice::new(bytes)).collect();
    let segment = u16::try_from(first.len())?;
    let control = [ControlMessage::UdpGsoSegments(&segment)];
    let control = control.get(..usize::from(run.len() > 1)).unwrap_or_default();
    let name = SockaddrStorage::from(*to);
    match sendmsg(socket.as_raw_fd(), &slices, control, MsgFlags::MSG_DONTWAIT, Some(&name)) {
        // A full socket buffer loses the datagrams, as the network would.
        Ok(_) | Err(Errno::EAGAIN | Errno::ECONNREFUSED | Errno::EINTR) => Ok(true),
        // A device that cannot do checksums cannot cut either.
        Err(Errno::EIO | Errno::EINVAL) if run.len() > 1 => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The address behind a name of the kernel.
pub(crate) fn address(name: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = name.as_sockaddr_in().map(|v4| SocketAddr::from((v4.ip(), v4.port())));
    v4.or_else(|| name.as_sockaddr_in6().map(|v6| SocketAddr::from((v6.ip(), v6.port()))))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    fn datagrams(to: &[SocketAddr], lengths: &[usize]) -> Vec<(SocketAddr, Vec<u8>)> {
        to.iter().cycle().zip(lengths).zip(0..).map(|((to, len), fill)| (*to, vec![fill; *len])).collect()
    }

    #[test]
    fn equal_datagrams_of_one_destination_leave_together() {
        let [one, other] = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        for (lengths, count) in [(&[][..], 0), (&[5], 1), (&[5, 5, 3, 3], 3), (&[5, 6], 1), (&[5, 5, 0], 2)] {
            assert_eq!(run(&datagrams(&[one], lengths)), count, "{lengths:?}");
        }
        assert_eq!(run(&datagrams(&[one, other], &[5, 5])), 1);
        assert_eq!(run(&datagrams(&[one], &[10; 100])), SEGMENTS_MAX);
        assert_eq!(run(&datagrams(&[one], &[1200; 100])), 54);
    }

    #[test]
    fn what_is_sent_is_received_whole_and_in_order() {
        let [from, to] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let sent = datagrams(&[to.local_addr().unwrap()], &[1100, 1100, 1100, 400, 90, 1300, 1300]);
        let mut batch = Batch::new();
        batch.send(&from, &sent).unwrap();
        assert_eq!(batch.receive(&to).unwrap(), sent.len());
        for ((got, source), (_, wanted)) in batch.datagrams().zip(&sent) {
            assert_eq!((&*got, address(source)), (&wanted[..], from.local_addr().ok()));
        }
        assert_eq!(batch.receive(&to).unwrap(), 0);
    }
}
