//! The bare loop: receives, seals for every destination and sends, and nothing else. It is no server. It knows no
//! session, checks nothing, keeps nothing and counts nothing: what a forwarded packet costs here is what the kernel
//! and the cipher take, and a server can only come near it.
//!
//! One thread, one socket. A wait takes all that is there; what came is sealed for one destination after the other
//! into an arena; equal datagrams for one destination leave as one message, up to 64 messages by one system call.
//! Nothing is allocated for a packet. How sinks join, and that the keys are no secret: [`ringcast_bench::sealing`].

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program speaks on its terminal"
)]

mod forward;

use std::io::IoSliceMut;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg};
use ringcast_bench::sealing::{Cipher, HEADER_BYTES, JOIN, LEAVE};
use socket2::{Domain, Protocol, Socket, Type};

use crate::forward::Forward;

/// Datagrams taken by one wait.
const BATCH: usize = 64;
/// The longest datagram that is taken whole.
const DATAGRAM_BYTES: usize = 2048;
/// Buffers of the socket, as the server asks for.
const BUFFER_BYTES: usize = 4 << 20;

/// The bare loop: what forwarding costs without a server.
#[derive(Debug, Parser)]
#[command(name = "limit", version)]
struct Args {
    /// Address of the socket.
    #[arg(long)]
    listen: SocketAddr,
    /// Whether equal datagrams leave as one message that the kernel cuts.
    #[arg(long, value_enum, default_value = "on")]
    gso: Switch,
    /// How packets are sealed.
    #[arg(long, value_enum, default_value = "aes-128-gcm")]
    cipher: Cipher,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("limit: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let socket = bind(args.listen).with_context(|| format!("{} cannot be bound", args.listen))?;
    let mut forward = Forward::new(args.cipher, args.gso == Switch::On);
    let mut buffer = vec![0; BATCH * DATAGRAM_BYTES];
    let mut headers = MultiHeaders::preallocate(BATCH, None);
    let mut lengths = Vec::with_capacity(BATCH);
    println!("ready");
    loop {
        lengths.clear();
        if !receive(&socket, &mut headers, &mut buffer, &mut lengths, &mut forward)? {
            continue;
        }
        // What was an order has the length 0.
        let packets = buffer.chunks(DATAGRAM_BYTES).zip(&lengths);
        if lengths.contains(&0) {
            let kept: Vec<&[u8]> =
                packets.filter(|(_, len)| **len > 0).filter_map(|(space, len)| space.get(..*len)).collect();
            forward.forward(&socket, kept.into_iter());
        } else {
            forward.forward(&socket, packets.map(|(space, len)| space.get(..*len).unwrap_or_default()));
        }
    }
}

/// Waits, takes what is there and obeys orders among it. Returns whether there are packets to forward.
fn receive(
    socket: &UdpSocket,
    headers: &mut MultiHeaders<SockaddrStorage>,
    buffer: &mut [u8],
    lengths: &mut Vec<usize>,
    forward: &mut Forward,
) -> anyhow::Result<bool> {
    let mut spaces = buffer.chunks_mut(DATAGRAM_BYTES);
    let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
        std::array::from_fn(|_| [IoSliceMut::new(spaces.next().unwrap_or_default())]);
    let received =
        match recvmmsg(socket.as_raw_fd(), headers, slices.iter_mut(), MsgFlags::MSG_WAITFORONE, None) {
            Ok(received) => received,
            // A signal, or an ICMP error of an earlier send.
            Err(Errno::EINTR | Errno::ECONNREFUSED) => return Ok(false),
            Err(error) => return Err(error).context("nothing can be received"),
        };
    let mut any = false;
    for message in received {
        let contents = message.iovs().next().unwrap_or_default();
        let is_rtp = contents.len() >= HEADER_BYTES && matches!(contents.first(), Some(0x80..=0xbf));
        lengths.push(if is_rtp { contents.len() } else { 0 });
        any |= is_rtp;
        if is_rtp {
            continue;
        }
        let Some(source) = message.address.as_ref().and_then(address) else { continue };
        match contents {
            JOIN => forward.join(source)?,
            LEAVE => forward.leave(source),
            _ => {}
        }
    }
    Ok(any)
}

fn address(name: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = name.as_sockaddr_in().map(|v4| SocketAddr::from((v4.ip(), v4.port())));
    v4.or_else(|| name.as_sockaddr_in6().map(|v6| SocketAddr::from((v6.ip(), v6.port()))))
}

fn bind(address: SocketAddr) -> anyhow::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.cloexec(), Some(Protocol::UDP))?;
    // The kernel grants what its limit allows.
    socket.set_recv_buffer_size(BUFFER_BYTES)?;
    socket.set_send_buffer_size(BUFFER_BYTES)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}
