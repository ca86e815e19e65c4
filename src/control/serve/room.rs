//! How many connections there may be, in all and from one address, and which of them ends when another needs its place.
//!
//! Bounded: [`Bounds::connections`] entries. A trusted proxy brings the connections of all its clients from one address, so
//! its own are bounded by the whole alone.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::super::locked;
use super::usage::Usage;
use crate::config::{Http, Network};
use crate::metrics::export::Metrics;
use crate::metrics::names::ConnectionEnd;

/// Pause before another connection is asked to give way.
const PRESS: Duration = Duration::from_millis(100);
/// What has idled for less than this does not give way: its request may be on the way.
const GRACE: Duration = Duration::from_secs(1);

/// Bounds of the connections of some listeners.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Connections at the same time.
    pub connections: usize,
    /// Of these, connections from one address, of IPv6 from one network of 64 bits.
    pub per_address: usize,
    /// Where connections may come from in any number.
    pub unbounded: Vec<Network>,
    /// Time for the head of a request, and without any request.
    pub patience: Duration,
}

impl From<&Http> for Bounds {
    fn from(http: &Http) -> Self {
        Self {
            connections: http.connections.size(),
            per_address: http.connections_per_address.size(),
            unbounded: http.trusted_proxies.clone(),
            patience: Duration::from_secs(http.header_timeout_seconds.get()),
        }
    }
}

/// The places of connections, shared by listeners.
pub struct Room {
    bounds: Bounds,
    free: Arc<Semaphore>,
    taken: Mutex<Taken>,
    metrics: Metrics,
    has_refused: AtomicBool,
}

#[derive(Default)]
struct Taken {
    next: u64,
    connections: BTreeMap<u64, Arc<Usage>>,
    by_address: HashMap<Network, usize>,
}

/// What one connection takes of its address; given back when dropped.
pub(super) struct Share {
    room: Arc<Room>,
    /// Absent where connections are not counted.
    address: Option<Network>,
}

/// The place of one connection; given back when dropped.
pub(super) struct Place {
    share: Share,
    number: u64,
    usage: Arc<Usage>,
    _permit: OwnedSemaphorePermit,
}

impl Room {
    /// Makes an empty one, which counts what it ends or refuses.
    pub fn new(bounds: Bounds, metrics: &Metrics) -> Arc<Self> {
        let free = Arc::new(Semaphore::new(bounds.connections));
        Arc::new(Self {
            bounds,
            free,
            taken: Mutex::default(),
            metrics: metrics.clone(),
            has_refused: AtomicBool::new(false),
        })
    }

    /// Connections at present.
    pub fn connections(&self) -> usize {
        locked(&self.taken).connections.len()
    }

    /// Connections that there may be.
    pub fn size(&self) -> usize {
        self.bounds.connections
    }

    pub(super) fn per_address(&self) -> usize {
        self.bounds.per_address
    }

    pub(super) fn patience(&self) -> Duration {
        self.bounds.patience
    }

    pub(super) fn count(&self, end: ConnectionEnd) {
        self.metrics.connection_ended(end);
    }

    /// Whether nobody was refused before, which is to be told once.
    pub(super) fn refuses_first(&self) -> bool {
        !self.has_refused.swap(true, Ordering::Relaxed)
    }

    /// Counts a connection of an address; `None` when that has all that it may have.
    pub(super) fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Share> {
        let peer = peer.to_canonical();
        let is_bounded = !self.bounds.unbounded.iter().any(|network| network.contains(peer));
        let address = is_bounded.then(|| Network::of_client(peer));
        if let Some(address) = address {
            let mut taken = locked(&self.taken);
            let count = taken.by_address.entry(address).or_default();
            if *count >= self.bounds.per_address {
                return None;
            }
            *count += 1;
        }
        Some(Share { room: Arc::clone(self), address })
    }

    /// Waits for a place. While there is none, the connections that have idled longest give way.
    pub(super) async fn admit(&self, share: Share) -> Place {
        let permit = loop {
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
                break permit;
            }
            self.make_way();
            let freed = Arc::clone(&self.free).acquire_owned();
            if let Ok(Ok(permit)) = tokio::time::timeout(PRESS, freed).await {
                break permit;
            }
        };
        let usage = Usage::new();
        let mut taken = locked(&self.taken);
        let number = taken.next;
        taken.next += 1;
        taken.connections.insert(number, Arc::clone(&usage));
        Place { share, number, usage, _permit: permit }
    }

    fn make_way(&self) {
        let now = Instant::now();
        let taken = locked(&self.taken);
        let idle = taken.connections.values().filter_map(|usage| Some((usage.idle_since()?, usage)));
        let idle = idle.filter(|(since, _)| now.saturating_duration_since(*since) >= GRACE);
        if let Some((_, usage)) = idle.min_by_key(|(since, _)| *since) {
            usage.give_way();
        }
    }
}

impl Place {
    pub(super) fn usage(&self) -> &Arc<Usage> {
        &self.usage
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        locked(&self.share.room.taken).connections.remove(&self.number);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut taken = locked(&self.room.taken);
        if let Some(count) = taken.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                taken.by_address.remove(&address);
            }
        }
    }
}
