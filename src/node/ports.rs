//! The UDP ports of media: which addresses, a port for each shard or one for all, and what clients are told of them.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use anyhow::Context;

use crate::config::{Config, SteeringChoice};
use crate::log::say;
use crate::net::steering::{self, Steering};
use crate::net::{local, udp};
use crate::shard::worker::{BoundSocket, SharedPort};

/// Sources that the kernel knows for each local address at most, whatever the limit on sessions: 8 MB each.
const FLOWS_MAX: u64 = 131_072;

/// The sockets of every shard.
pub(super) struct MediaPorts {
    /// By shard, those of each local address in the same order.
    pub(super) sockets: Vec<Vec<BoundSocket>>,
    pub(super) shared: Option<SharedPort>,
}

impl MediaPorts {
    /// Binds everything, so that a taken port is told before anything runs.
    pub(super) fn open(config: &Config, shards: usize) -> anyhow::Result<Self> {
        let addresses = addresses(config)?;
        let mut sockets: Vec<Vec<BoundSocket>> = (0..shards).map(|_| Vec::new()).collect();
        for address in &addresses {
            for (sockets, socket) in sockets.iter_mut().zip(bind(config, *address, shards)?) {
                let candidate = candidate(config, socket.local_addr()?);
                sockets.push(BoundSocket { socket, candidate });
            }
        }
        announce(&sockets, config.media.single_port)?;
        let shared = config.media.single_port.then(|| share(config, &sockets)).transpose()?;
        Ok(Self { sockets, shared })
    }
}

/// What clients are told of a shard's sockets, each address once.
pub(super) fn candidates(sockets: &[BoundSocket]) -> Vec<SocketAddr> {
    let mut candidates: Vec<SocketAddr> = Vec::new();
    for socket in sockets {
        if !candidates.contains(&socket.candidate) {
            candidates.push(socket.candidate);
        }
    }
    candidates
}

/// The addresses for media, those that reach farthest first: clients try them in this order.
pub(super) fn addresses(config: &Config) -> anyhow::Result<Vec<IpAddr>> {
    let mut addresses = match config.media.addresses.as_slice() {
        [] => local::local_addresses()?,
        chosen => chosen.to_vec(),
    };
    addresses.sort_by_key(|address| (address.is_loopback(), *address));
    addresses.dedup();
    anyhow::ensure!(
        !addresses.is_empty(),
        "this machine has no address for media: name one with --media-address"
    );
    Ok(addresses)
}

/// The sockets of one address, one for each shard.
fn bind(config: &Config, address: IpAddr, shards: usize) -> anyhow::Result<Vec<UdpSocket>> {
    let first = config.media.port.get();
    if config.media.single_port {
        return Ok(udp::bind_shared(SocketAddr::new(address, first), shards)?);
    }
    let ports = (0..shards).map(|shard| {
        let port = u16::try_from(shard).ok().and_then(|shard| first.checked_add(shard));
        let port = port.context("media.port leaves no room for all shards: choose a lower one")?;
        Ok(udp::bind(SocketAddr::new(address, port))?)
    });
    ports.collect()
}

/// Under which address clients reach a socket.
fn candidate(config: &Config, bound: SocketAddr) -> SocketAddr {
    SocketAddr::new(public(config, bound.ip()), bound.port())
}

/// The address under which clients reach a local one.
pub(super) fn public(config: &Config, address: IpAddr) -> IpAddr {
    let advertised = config.media.advertise.iter().find(|advertise| advertise.covers(address));
    advertised.map_or(address, |advertise| advertise.public)
}

pub(super) fn known_as(address: IpAddr, candidate: SocketAddr) -> String {
    if candidate.ip() == address { String::new() } else { format!(", known as {candidate}") }
}

/// Makes the kernel bring each datagram of the shared port to its shard, if that is wanted and permitted.
fn share(config: &Config, sockets: &[Vec<BoundSocket>]) -> anyhow::Result<SharedPort> {
    if config.media.steering == SteeringChoice::Handover {
        say("datagrams are handed over to their shard, as configured");
        return Ok(SharedPort::HandedOver);
    }
    let locals = sockets.first().map_or(0, Vec::len);
    let groups: Vec<Vec<&UdpSocket>> = (0..locals)
        .map(|local| sockets.iter().filter_map(|shard| Some(&shard.get(local)?.socket)).collect())
        .collect();
    // A session has two addresses for a moment when it moves, rarely more.
    let flows_max = (config.limits.sessions.get() * 2).clamp(1024, FLOWS_MAX);
    match Steering::attach(&groups, u32::try_from(flows_max)?) {
        Ok(steering) => {
            say("datagrams are steered to their shard by the kernel");
            Ok(SharedPort::Steered(Arc::new(steering)))
        }
        Err(error) => {
            let remedy = steering::remedy(&error);
            anyhow::ensure!(
                config.media.steering == SteeringChoice::Auto,
                "the kernel does not steer datagrams to their shard ({error}): {remedy}, or set media.steering to \
                 \"auto\""
            );
            say(&format!(
                "datagrams are handed over to their shard, since the kernel does not steer them ({error}): {remedy} to \
                 spare that"
            ));
            Ok(SharedPort::HandedOver)
        }
    }
}

fn announce(sockets: &[Vec<BoundSocket>], single_port: bool) -> anyhow::Result<()> {
    for (shard, sockets) in sockets.iter().enumerate().take(if single_port { 1 } else { usize::MAX }) {
        let whose = if single_port { "all shards".to_owned() } else { format!("shard {shard}") };
        for BoundSocket { socket, candidate } in sockets {
            let bound = socket.local_addr()?;
            let known_as =
                if bound == *candidate { String::new() } else { format!(", known as {candidate}") };
            say(&format!("media of {whose} on udp://{bound}{known_as}"));
        }
    }
    Ok(())
}
