//! The sessions of a shard, by key and by id, and their deadlines.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

use super::channels::Use;
use super::division::Division;
use super::table::{Key, Table};
use super::timers::{Armed, Grid, Timers};
use super::tracks::{PublicationKey, SubscriptionKey};
use crate::ids::{GroupId, SessionId};
use crate::metrics::shard::Wake;
use crate::router::LayerIndex;
use crate::session::{Due, Session, SessionSetup};

pub(super) type SessionKey = Key<SessionSlot>;

/// Sessions whose second ends within so long a span do together what they do once a second: a wake of its own for each
/// would cost more than what it is for, and all of them at once would hold up media.
const TICK_SPAN: Duration = Duration::from_millis(100);

/// A session, and what it has with the other owners of the shard.
pub(super) struct SessionSlot {
    pub(super) session: Session,
    /// What its sections feed, by their order in its plan.
    pub(super) feeding: Vec<Option<Feeding>>,
    /// What it receives, by the index of the stream in the session.
    pub(super) subscriptions: Vec<Option<SubscriptionKey>>,
    /// User name fragments under which it is known.
    pub(super) ufrags: Vec<String>,
    /// Whether some of its subscriptions wait for keys and an address.
    pub(super) waiting: bool,
    /// What its data channels are for, by their streams.
    pub(super) channels: BTreeMap<u16, Use>,
    /// The group that its in-band channels belong to.
    pub(super) group: Option<GroupId>,
    /// Datagrams for it that wait behind media.
    pub(super) waiting_datagrams: u16,
    /// Whether its channels wait to be run.
    pub(super) channels_dirty: bool,
    /// How its path is divided, once it receives video.
    pub(super) division: Option<Box<Division>>,
    /// Whether a probe of its path is under way.
    pub(super) is_probing: bool,
    armed: Armed,
}

/// What a section feeds.
#[derive(Debug)]
pub(super) struct Feeding {
    pub(super) publication: PublicationKey,
    /// Its layers, by the order of their names in the plan.
    pub(super) layers: Vec<Option<LayerIndex>>,
    /// The layer of packets that name none; known once one has come.
    pub(super) whole: Option<LayerIndex>,
}

impl SessionSlot {
    fn new(session: Session) -> Self {
        Self {
            session,
            feeding: Vec::new(),
            subscriptions: Vec::new(),
            ufrags: Vec::new(),
            waiting: false,
            channels: BTreeMap::new(),
            group: None,
            waiting_datagrams: 0,
            channels_dirty: false,
            division: None,
            is_probing: false,
            armed: None,
        }
    }

    /// The publications that it feeds by its plan.
    pub(super) fn publications(&self) -> impl Iterator<Item = PublicationKey> + '_ {
        self.feeding.iter().flatten().map(|feeding| feeding.publication)
    }

    /// The subscription that drinks into a stream.
    pub(super) fn subscription(&self, stream: usize) -> Option<SubscriptionKey> {
        self.subscriptions.get(stream).copied().flatten()
    }
}

/// All sessions of a shard. Their number is bounded by who opens them.
pub(super) struct Sessions {
    /// What all of them share.
    pub(super) setup: SessionSetup,
    table: Table<SessionSlot>,
    by_id: HashMap<SessionId, SessionKey, RandomState>,
    timers: Timers<SessionKey>,
}

impl Sessions {
    pub(super) fn new(setup: SessionSetup) -> Self {
        Self { setup, table: Table::default(), by_id: HashMap::default(), timers: Timers::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn key_of(&self, id: &SessionId) -> Option<SessionKey> {
        self.by_id.get(id).copied()
    }

    pub(super) fn keys(&self) -> Vec<SessionKey> {
        self.table.keys().collect()
    }

    #[inline]
    pub(super) fn get(&self, key: SessionKey) -> Option<&SessionSlot> {
        self.table.get(key)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, key: SessionKey) -> Option<&mut SessionSlot> {
        self.table.get_mut(key)
    }

    pub(super) fn insert(&mut self, session: Session) -> SessionKey {
        let id = session.id();
        let key = self.table.insert(SessionSlot::new(session));
        self.by_id.insert(id, key);
        key
    }

    pub(super) fn remove(&mut self, key: SessionKey) -> Option<SessionSlot> {
        let slot = self.table.remove(key)?;
        self.by_id.remove(&slot.session.id());
        Some(slot)
    }

    /// A session together with what all share.
    pub(super) fn with_setup(&mut self, key: SessionKey) -> Option<(&mut Session, &mut SessionSetup)> {
        Some((&mut self.table.get_mut(key)?.session, &mut self.setup))
    }

    /// Sees to it that a session is called when it has something to do next.
    pub(super) fn arm(&mut self, key: SessionKey) {
        let Some(slot) = self.table.get_mut(key) else { return };
        let next = deadline(&slot.session, &self.setup, self.timers.grid());
        self.timers.arm(&mut slot.armed, key, next);
    }

    /// When a session has something to do next.
    pub(super) fn poll_timeout(&mut self) -> Option<Instant> {
        let grid = self.timers.grid();
        let (table, setup) = (&mut self.table, &self.setup);
        self.timers.next(&mut |key, at| {
            let slot = table.get_mut(key).filter(|slot| slot.armed == Some(at))?;
            let (wanted, why) = deadline(&slot.session, setup, grid);
            slot.armed = Some(at.max(wanted));
            Some((at.max(wanted), why))
        })
    }

    /// Takes one session whose time has come, and what for; it is armed no more.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<(SessionKey, Wake)> {
        let grid = self.timers.grid();
        while let Some((at, key, why)) = self.timers.pop_due(now) {
            let slot = self.table.get_mut(key);
            if let Some(slot) = slot.filter(|slot| slot.armed == Some(at)) {
                slot.armed = None;
                let (next, _) = deadline(&slot.session, &self.setup, grid);
                return Some((key, if next > now { Wake::Moved } else { why }));
            }
        }
        None
    }
}

/// When a session has something to do next, and what.
fn deadline(session: &Session, setup: &SessionSetup, grid: Grid) -> (Instant, Wake) {
    let (exact, due) = session.poll_timeout(setup);
    let tick = session.next_tick().map(|tick| grid.end_of_span(tick, TICK_SPAN));
    if let Some(tick) = tick.filter(|tick| *tick < exact) {
        return (tick, Wake::Reports);
    }
    let why = match due {
        Due::Engine => Wake::Engine,
        Due::Channel => Wake::Channel,
        Due::Expiry => Wake::Expiry,
    };
    (exact, why)
}
