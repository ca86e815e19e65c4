//! The sessions of a shard, and what each of them has in its other tables.

use std::collections::BTreeMap;

use super::channels::Use;
use super::publications::{PublicationKey, SubscriptionKey};
use super::table::Key;
use super::timers::Armed;
use crate::ids::GroupId;
use crate::session::Session;

pub(super) type SessionKey = Key<SessionSlot>;

pub(super) struct SessionSlot {
    pub(super) session: Session,
    /// Publications that belong to this session, fed at present or not.
    pub(super) publications: Vec<PublicationKey>,
    /// What it receives, by the index of the stream in the session.
    pub(super) subscriptions: Vec<Option<SubscriptionKey>>,
    /// User name fragments under which the demultiplexer knows it.
    pub(super) ufrags: Vec<String>,
    pub(super) armed: Armed,
    /// Whether some of its subscriptions wait for keys and an address.
    pub(super) waiting: bool,
    /// What its data channels are for, by their streams.
    pub(super) channels: BTreeMap<u16, Use>,
    /// The group that its in-band channels belong to.
    pub(super) group: Option<GroupId>,
    /// Whether its channels wait to be run.
    pub(super) channels_dirty: bool,
}

impl SessionSlot {
    pub(super) fn new(session: Session) -> Self {
        Self {
            session,
            publications: Vec::new(),
            subscriptions: Vec::new(),
            ufrags: Vec::new(),
            armed: None,
            waiting: false,
            channels: BTreeMap::new(),
            group: None,
            channels_dirty: false,
        }
    }
}
