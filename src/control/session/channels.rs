//! The data channels of one session as its client knows them, and the groups of in-band ones.
//!
//! Bounded: [`CHANNELS_MAX`] channels of a session, ids below [`STREAMS_END`], groups by the sessions in them.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use crate::ids::{ChannelId, GroupId, SessionId, ShardId};
use crate::plan::{ChannelPlan, ChannelRole, ChannelsPlan, Delivery};
use crate::shard::command::ChannelState;

use super::super::error::ItemError;
use super::super::locked;
use super::super::model::{ChannelStatus, DataChannelResult, Location};

/// Channels that one session may have through the API.
const CHANNELS_MAX: usize = 256;
/// The first id that is given: 0 and 1 are for `server-events`.
const STREAMS_BEGIN: u16 = 2;
/// Browsers have streams below this.
const STREAMS_END: u16 = 1023;

static NEXT_CHANNEL: AtomicU64 = AtomicU64::new(1);
static NEXT_GRANT: AtomicU64 = AtomicU64::new(1);
static NEXT_GROUP: AtomicU64 = AtomicU64::new(1);

/// One published channel.
#[derive(Debug)]
pub(in super::super) struct DataChannel {
    pub(in super::super) id: ChannelId,
    pub(in super::super) shard: ShardId,
    ended: AtomicBool,
}

impl DataChannel {
    /// Makes one that nobody knows yet.
    pub(in super::super) fn new(shard: ShardId) -> Arc<Self> {
        let id = ChannelId(NEXT_CHANNEL.fetch_add(1, Ordering::Relaxed));
        Arc::new(Self { id, shard, ended: AtomicBool::new(false) })
    }

    pub(in super::super) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

/// What the shard says of the SCTP streams of one session.
#[derive(Debug, Default)]
pub(in super::super) struct StreamIds {
    states: BTreeMap<u16, Stream>,
    /// Those that a request is closing, and whether the shard has let go of them already.
    closing: BTreeMap<u16, bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Open,
    Ended,
    /// Not to be given: the client has it, or its reset is under way.
    Taken,
}

impl StreamIds {
    /// Takes an event of the shard.
    pub(in super::super) fn take(&mut self, stream: u16, state: ChannelState) {
        match state {
            // News of a channel that is closed here already changes nothing.
            ChannelState::Open if self.states.get(&stream) == Some(&Stream::Taken) => {}
            ChannelState::Open => drop(self.states.insert(stream, Stream::Open)),
            ChannelState::Ended if self.states.get(&stream) == Some(&Stream::Taken) => {}
            ChannelState::Ended => drop(self.states.insert(stream, Stream::Ended)),
            ChannelState::Taken => drop(self.states.insert(stream, Stream::Taken)),
            ChannelState::Free => {
                if let Some(is_free) = self.closing.get_mut(&stream) {
                    *is_free = true;
                }
                if self.states.get(&stream) != Some(&Stream::Ended) {
                    self.states.remove(&stream);
                }
            }
        }
    }

    fn is_ended(&self, stream: u16) -> bool {
        self.states.get(&stream) == Some(&Stream::Ended)
    }

    /// Notes what comes of these from here on: the shard may let go of them before the request is through.
    pub(in super::super) fn begin_closing(&mut self, closed: &[Closed]) {
        self.closing.extend(closed.iter().map(|closed| (closed.channel.id, false)));
    }

    /// The request is through: their ids are free once the shard has let go of them.
    pub(in super::super) fn closed(&mut self, closed: &[Closed]) {
        for Closed { channel, on_shard } in closed {
            let is_free = self.closing.remove(&channel.id).unwrap_or_default();
            if *on_shard && !is_free && !self.is_ended(channel.id) {
                self.states.insert(channel.id, Stream::Taken);
            } else {
                self.states.remove(&channel.id);
            }
        }
    }

    /// The request has failed: they stay as they are.
    pub(in super::super) fn keep(&mut self, closed: &[Closed]) {
        for Closed { channel, .. } in closed {
            self.closing.remove(&channel.id);
        }
    }
}

/// What a channel is for the client.
#[derive(Debug, Clone)]
pub(in super::super) enum Side {
    Local,
    Remote { publisher: SessionId, grant: Option<u64>, wait_for_ack: bool },
}

/// One channel of a session.
#[derive(Debug, Clone)]
pub(in super::super) struct Channel {
    pub(in super::super) id: u16,
    pub(in super::super) name: Arc<str>,
    pub(in super::super) delivery: Delivery,
    pub(in super::super) source: Arc<DataChannel>,
    pub(in super::super) side: Side,
}

/// A channel that a request has closed, until the whole request is through.
#[derive(Debug, Clone)]
pub(in super::super) struct Closed {
    channel: Channel,
    /// Whether the shard has to let go of its stream.
    on_shard: bool,
}

impl Closed {
    /// Ends it for its subscribers.
    pub(in super::super) fn end(&self) {
        if matches!(self.channel.side, Side::Local) {
            self.channel.source.ended.store(true, Ordering::Relaxed);
        }
    }
}

/// All channels of one session.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Channels {
    list: Vec<Channel>,
    /// Closed by the request that works on this copy.
    closed: Vec<Closed>,
    /// Whether `server-events` was established, and whether we open it.
    pub(in super::super) established: bool,
    pub(in super::super) server_events: bool,
    pub(in super::super) group: Option<Arc<Group>>,
    /// Where the search for a free id goes on.
    next: u16,
}

impl Channels {
    /// A live channel that the session publishes.
    pub(in super::super) fn published(&self, name: &str, streams: &StreamIds) -> Option<Arc<DataChannel>> {
        let found = self.list.iter().find(|channel| {
            matches!(channel.side, Side::Local) && &*channel.name == name && !streams.is_ended(channel.id)
        });
        found.map(|channel| Arc::clone(&channel.source))
    }

    /// A live channel that it receives.
    pub(in super::super) fn received(&self, source: &DataChannel, streams: &StreamIds) -> Option<u16> {
        let found = self.list.iter().find(|channel| {
            matches!(channel.side, Side::Remote { .. })
                && channel.source.id == source.id
                && !streams.is_ended(channel.id)
        });
        found.map(|channel| channel.id)
    }

    /// Adds a channel under a free id.
    pub(in super::super) fn add(
        &mut self,
        name: &str,
        delivery: Delivery,
        source: Arc<DataChannel>,
        side: Side,
        streams: &StreamIds,
    ) -> Result<u16, ItemError> {
        if self.list.len() >= CHANNELS_MAX {
            return Err(ItemError::Unavailable(
                "the session has as many data channels as this server allows",
            ));
        }
        let id = self.free_id(streams).ok_or(ItemError::Unavailable("no id is free"))?;
        self.next = id + 1;
        self.list.push(Channel { id, name: name.into(), delivery, source, side });
        Ok(id)
    }

    fn free_id(&self, streams: &StreamIds) -> Option<u16> {
        let start = self.next.clamp(STREAMS_BEGIN, STREAMS_END);
        (start..STREAMS_END)
            .chain(STREAMS_BEGIN..start)
            .find(|id| !streams.states.contains_key(id) && !self.list.iter().any(|channel| channel.id == *id))
    }

    /// Lets a subscriber reply, or no longer. Returns the id of its channel.
    pub(in super::super) fn set_reply(&mut self, id: u16, reply: bool) {
        let Some(channel) = self.list.iter_mut().find(|channel| channel.id == id) else { return };
        if let Side::Remote { grant, .. } = &mut channel.side {
            // It ends all grants before it, wherever they were given.
            *grant = reply.then(|| NEXT_GRANT.fetch_add(1, Ordering::Relaxed));
        }
    }

    /// Takes a channel off; false when it is not open. It ends when the request is through.
    pub(in super::super) fn close(&mut self, id: u16, on_shard: bool, streams: &StreamIds) -> bool {
        let Some(index) = self.list.iter().position(|channel| channel.id == id) else { return false };
        let channel = self.list.swap_remove(index);
        self.closed.push(Closed { channel, on_shard });
        !streams.is_ended(id)
    }

    /// What was closed and has to end now.
    pub(in super::super) fn take_closed(&mut self) -> Vec<Closed> {
        std::mem::take(&mut self.closed)
    }

    /// The session is gone: what it publishes ends.
    pub(in super::super) fn end(&self) {
        for channel in self.list.iter().filter(|channel| matches!(channel.side, Side::Local)) {
            channel.source.ended.store(true, Ordering::Relaxed);
        }
    }

    /// What the shard has to carry out.
    pub(in super::super) fn plan(&self) -> ChannelsPlan {
        let list = self.list.iter().map(|channel| ChannelPlan {
            stream: channel.id,
            label: channel.name.as_ref().to_owned(),
            delivery: channel.delivery,
            role: match channel.side {
                Side::Local => ChannelRole::Publish(channel.source.id),
                Side::Remote { grant, wait_for_ack, .. } => ChannelRole::Subscribe {
                    channel: channel.source.id,
                    origin: channel.source.shard,
                    wait_for_ack,
                    grant,
                },
            },
        });
        ChannelsPlan {
            list: list.collect(),
            server_events: self.server_events,
            group: self.group.as_ref().map(|group| group.id),
        }
    }

    /// The channels as clients see them.
    pub(in super::super) fn states(&self, streams: &StreamIds) -> Vec<DataChannelResult> {
        let state = |channel: &Channel| {
            let (location, publisher) = match &channel.side {
                Side::Local => (Location::Local, None),
                Side::Remote { publisher, .. } => (Location::Remote, Some(publisher.to_string())),
            };
            let status = match streams.states.get(&channel.id) {
                _ if channel.source.is_ended() => ChannelStatus::Inactive,
                Some(Stream::Ended) => ChannelStatus::Inactive,
                Some(Stream::Open) => ChannelStatus::Active,
                Some(Stream::Taken) | None => ChannelStatus::Initializing,
            };
            DataChannelResult {
                location: Some(location),
                session_id: publisher,
                data_channel_name: Some(channel.name.as_ref().to_owned()),
                id: Some(channel.id),
                status: Some(status),
                ..DataChannelResult::default()
            }
        };
        self.list.iter().map(state).collect()
    }
}

/// Sessions of one application whose in-band channels are joined by label.
#[derive(Debug)]
pub(in super::super) struct Group {
    pub(in super::super) id: GroupId,
    pub(in super::super) name: String,
}

/// The groups of all applications; each lives as long as a session is in it.
#[derive(Debug, Default)]
pub(in super::super) struct Groups {
    table: Mutex<HashMap<(String, String), Weak<Group>>>,
}

impl Groups {
    /// The group of an application by its name, made when there is none.
    pub(in super::super) fn named(&self, app: &str, name: &str) -> Arc<Group> {
        let mut table = locked(&self.table);
        table.retain(|_, group| group.strong_count() > 0);
        let key = (app.to_owned(), name.to_owned());
        if let Some(group) = table.get(&key).and_then(Weak::upgrade) {
            return group;
        }
        let id = GroupId(NEXT_GROUP.fetch_add(1, Ordering::Relaxed));
        let group = Arc::new(Group { id, name: name.to_owned() });
        table.insert(key, Arc::downgrade(&group));
        group
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Reliability;

    const RELIABLE: Delivery = Delivery { ordered: true, reliability: Reliability::Reliable };

    fn publish(channels: &mut Channels, streams: &StreamIds) -> u16 {
        channels.add("a", RELIABLE, DataChannel::new(ShardId(0)), Side::Local, streams).unwrap()
    }

    #[test]
    fn an_id_is_given_again_only_once_its_stream_is_free() {
        let (mut channels, mut streams) = (Channels::default(), StreamIds::default());
        assert_eq!(publish(&mut channels, &streams), 2);
        streams.take(2, ChannelState::Open);
        assert!(channels.close(2, true, &streams));
        let closed = channels.take_closed();
        streams.begin_closing(&closed);
        streams.closed(&closed);
        channels.next = STREAMS_BEGIN;
        assert_eq!(publish(&mut channels, &streams), 3);
        streams.take(2, ChannelState::Free);
        channels.next = STREAMS_BEGIN;
        assert_eq!(publish(&mut channels, &streams), 2);
    }

    #[test]
    fn a_stream_that_the_shard_lets_go_of_before_the_request_is_through_is_free() {
        let (mut channels, mut streams) = (Channels::default(), StreamIds::default());
        let id = publish(&mut channels, &streams);
        streams.take(id, ChannelState::Open);
        channels.close(id, true, &streams);
        let closed = channels.take_closed();
        streams.begin_closing(&closed);
        streams.take(id, ChannelState::Free);
        streams.closed(&closed);
        channels.next = STREAMS_BEGIN;
        assert_eq!(publish(&mut channels, &streams), id);
    }

    #[test]
    fn a_stream_that_the_client_has_opened_is_not_given() {
        let (mut channels, mut streams) = (Channels::default(), StreamIds::default());
        streams.take(2, ChannelState::Taken);
        assert_eq!(publish(&mut channels, &streams), 3);
    }

    #[test]
    fn a_group_lasts_as_long_as_somebody_is_in_it() {
        let groups = Groups::default();
        let first = groups.named("app", "room");
        assert_eq!(groups.named("app", "room").id, first.id);
        assert_ne!(groups.named("other", "room").id, first.id);
        let id = first.id;
        drop(first);
        assert_ne!(groups.named("app", "room").id, id);
    }
}
