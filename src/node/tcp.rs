//! The TCP port for media: one listener for each local address, and the way from a first frame to its shard.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use super::ports::{known_as, public};
use crate::config::{Config, TcpPort};
use crate::ids::{NodeKeys, ShardId};
use crate::log::say;
use crate::net::SocketIndex;
use crate::net::tcp::accept::{self, Bounds, Route};
use crate::net::tcp::{Admission, Arrival, Refusal};
use crate::shard::shard_of_check;
use crate::shard::worker::ShardHandle;

/// Time that a connection has to say whose it is.
const FIRST_FRAME: Duration = Duration::from_secs(5);

/// The listeners, before they are served.
pub(super) struct Doors {
    listeners: Vec<(TcpListener, SocketIndex)>,
    /// What clients are told, each address once.
    pub(super) candidates: Vec<SocketAddr>,
}

/// Binds the port on every address for media.
pub(super) fn open(config: &Config, addresses: &[IpAddr]) -> anyhow::Result<Doors> {
    let mut doors = Doors { listeners: Vec::new(), candidates: Vec::new() };
    let port = match config.media.tcp_port {
        TcpPort::Off => return Ok(doors),
        TcpPort::Auto => config.media.port.get(),
        TcpPort::Fixed(port) => port,
    };
    for address in addresses {
        let local = SocketAddr::new(*address, port);
        let listener = match accept::bind(local) {
            Ok(listener) => listener,
            // Nobody has asked for it, so the node does without.
            Err(error) if config.media.tcp_port == TcpPort::Auto => {
                say(&format!("no media on tcp://{local}: {error}"));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let candidate = SocketAddr::new(public(config, *address), port);
        say(&format!("media of all shards on tcp://{local}{}", known_as(*address, candidate)));
        let known = doors.candidates.iter().position(|known| *known == candidate);
        let index = known.unwrap_or(doors.candidates.len());
        if known.is_none() {
            doors.candidates.push(candidate);
        }
        let index =
            SocketIndex::listener(index).context("too many TCP listeners: name fewer local addresses")?;
        doors.listeners.push((listener, index));
    }
    Ok(doors)
}

impl Doors {
    /// Who may come in.
    pub(super) fn admission(&self, config: &Config) -> Arc<Admission> {
        Admission::new(bounds(config))
    }

    /// Serves all listeners until the runtime ends.
    pub(super) fn serve(self, admission: Arc<Admission>, keys: &Arc<NodeKeys>, shards: Vec<ShardHandle>) {
        let route = route(Arc::clone(keys), shards);
        for (listener, index) in self.listeners {
            tokio::spawn(accept::serve(listener, index, Arc::clone(&admission), Arc::clone(&route)));
        }
    }
}

/// How many connections there may be.
pub(super) fn bounds(config: &Config) -> Bounds {
    Bounds {
        connections: config.limits.tcp_connections.size(),
        per_address: config.limits.tcp_connections_per_address.size(),
        first_frame: FIRST_FRAME,
    }
}

/// A connection belongs to the shard that the user name of its first check says.
fn route(keys: Arc<NodeKeys>, shards: Vec<ShardHandle>) -> Route {
    let shards: HashMap<ShardId, ShardHandle> = shards.into_iter().map(|shard| (shard.id(), shard)).collect();
    Arc::new(move |arrival: Arrival| {
        let owner = shard_of_check(&keys, &arrival.first).ok_or(Refusal::Foreign)?;
        let shard = shards.get(&owner).ok_or(Refusal::Foreign)?;
        shard.take_over(arrival).map_err(|_| Refusal::Busy)
    })
}
