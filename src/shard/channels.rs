//! Data channels between sessions, here and on other shards.
//!
//! A message goes from the session that received it to its hub ([`crate::router::channel`]), and from there into
//! the bounded backlog of every receiver, which is sent from when the turn ends. It is never copied. Nobody waits
//! for anybody: a receiver that is too slow loses messages, or its channel if that may lose nothing.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::command::{ChannelState, Event};
use super::lanes::Post;
use super::lanes::channels::{ChannelLanes, ChannelMessage};
use super::ledger::Ledger;
use super::sessions::{SessionKey, Sessions};
use crate::drop::ChannelDrop;
use crate::ids::{GroupId, ShardId};
use crate::metrics::shard::{ChannelEnd, Direction};
use crate::plan::{ChannelPlan, ChannelRole, ChannelsPlan};
use crate::router::channel::{Hub, HubId};
use crate::session::{ChannelEvent, Message, Queued, Session};

/// A channel of a session.
pub(super) type Member = (SessionKey, u16);

/// What a stream of a session is for.
#[derive(Debug, Clone)]
pub(super) enum Use {
    /// A channel of the plan.
    Planned(ChannelPlan),
    /// A channel of the plan that has ended by itself.
    Ended(ChannelPlan),
    /// Opened by the client, under this label; in the hub of its group, if it has one.
    InBand(String, Option<GroupId>),
}

/// The data channels of a shard: who receives what, and the lanes to other shards.
///
/// Hubs are bounded by the channels of sessions, here and on the shards that receive from here.
#[derive(Debug)]
pub(super) struct Channels {
    shard: ShardId,
    hubs: HashMap<HubId, Hub<Member>, RandomState>,
    /// Sessions whose data channels have something to do, each once.
    dirty: Vec<SessionKey>,
    lanes: ChannelLanes,
}

/// What a channel does something to: the sessions that it belongs to, and what is told of it.
pub(super) struct Around<'a> {
    pub(super) sessions: &'a mut Sessions,
    pub(super) ledger: &'a mut Ledger,
}

impl Channels {
    pub(super) fn new(shard: ShardId, lanes: ChannelLanes) -> Self {
        Self { shard, hubs: HashMap::default(), dirty: Vec::new(), lanes }
    }

    /// Data channels and groups of them, those with members on other shards included.
    pub(super) fn hubs(&self) -> usize {
        self.hubs.len()
    }

    /// Its lanes, as far as the end of a turn concerns them.
    pub(super) fn post(&mut self) -> &mut dyn Post {
        self.lanes.post()
    }

    /// Sessions whose channels have something to do; what they do may lead to more.
    pub(super) fn take_dirty(&mut self, sessions: &mut Sessions) -> Vec<SessionKey> {
        let dirty = std::mem::take(&mut self.dirty);
        for key in &dirty {
            if let Some(slot) = sessions.get_mut(*key) {
                slot.channels_dirty = false;
            }
        }
        dirty
    }

    /// Brings the data channels of a session to their plan.
    pub(super) fn apply(&mut self, key: SessionKey, plan: ChannelsPlan, around: &mut Around) {
        let Some(slot) = around.sessions.get_mut(key) else { return };
        let is_wanted = |known: &ChannelPlan| {
            plan.list.iter().any(|wanted| {
                let same_grant = grantless(wanted) == grantless(known);
                same_grant && wanted.stream == known.stream
            })
        };
        let gone: Vec<(u16, Use)> = slot
            .channels
            .iter()
            .filter(|(_, of)| matches!(of, Use::Planned(known) | Use::Ended(known) if !is_wanted(known)))
            .map(|(stream, of)| (*stream, of.clone()))
            .collect();
        for (stream, of) in gone {
            self.forget_use(key, stream, around);
            if matches!(of, Use::Planned(_)) {
                self.release((key, stream), &of, around);
                with_channels(&mut self.dirty, key, around, |session| session.remove_channel(stream));
            }
        }
        if plan.server_events {
            with_channels(&mut self.dirty, key, around, Session::open_server_events);
        }
        for channel in plan.list {
            self.apply_channel(key, channel, around);
        }
        self.apply_group(key, plan.group, around);
    }

    fn apply_channel(&mut self, key: SessionKey, plan: ChannelPlan, around: &mut Around) {
        let Some(slot) = around.sessions.get_mut(key) else { return };
        let (member, stream) = ((key, plan.stream), plan.stream);
        match slot.channels.get(&stream) {
            Some(Use::Ended(_)) => return,
            Some(Use::Planned(_)) => {}
            Some(Use::InBand(..)) | None => {
                // The client may have taken the stream in the meantime; what the API has given stands.
                let taken = slot.channels.get(&stream).cloned();
                slot.session.add_channel(plan.clone());
                if let Some(taken) = taken {
                    self.release(member, &taken, around);
                }
                with_channels(&mut self.dirty, key, around, |_| ());
            }
        }
        match plan.role {
            ChannelRole::Publish(channel) => {
                let origin = self.shard;
                self.hub(HubId::Channel(channel), Some(origin)).publisher = Some(member);
            }
            ChannelRole::Subscribe { channel, origin, grant, .. } => {
                let id = HubId::Channel(channel);
                let is_here = origin == self.shard;
                let hub = self.hub(id.clone(), Some(origin));
                hub.attached |= is_here;
                if hub.join(member) && !is_here {
                    self.lanes.tell(origin, &id, &ChannelMessage::Attach { greet: false });
                }
                if let Some(grant) = grant {
                    if origin == self.shard {
                        self.hub(id, Some(origin)).grant(grant);
                    } else {
                        self.lanes.tell(origin, &id, &ChannelMessage::Grant(grant));
                    }
                }
            }
        }
        self.set_use(key, stream, Use::Planned(plan), around);
    }

    /// Moves the in-band channels of a session to another group.
    fn apply_group(&mut self, key: SessionKey, group: Option<GroupId>, around: &mut Around) {
        let Some(slot) = around.sessions.get_mut(key).filter(|slot| slot.group != group) else { return };
        slot.group = group;
        let in_band: Vec<(u16, Use)> = slot
            .channels
            .iter()
            .filter(|(_, of)| matches!(of, Use::InBand(..)))
            .map(|(stream, of)| (*stream, of.clone()))
            .collect();
        for (stream, of) in in_band {
            self.release((key, stream), &of, around);
            if let Use::InBand(label, _) = of {
                self.join_group(key, stream, label, group, around);
            }
        }
    }

    fn join_group(
        &mut self,
        key: SessionKey,
        stream: u16,
        label: String,
        group: Option<GroupId>,
        around: &mut Around,
    ) {
        if let Some(group) = group {
            let id = HubId::Group(group, label.clone());
            if self.hub(id.clone(), None).join((key, stream)) {
                for shard in self.lanes.others() {
                    self.lanes.tell(shard, &id, &ChannelMessage::Attach { greet: true });
                }
            }
        }
        self.set_use(key, stream, Use::InBand(label, group), around);
    }

    /// Takes a channel out of its hub.
    pub(super) fn release(&mut self, member: Member, of: &Use, around: &mut Around) {
        let (id, publishes) = match of {
            Use::Planned(plan) => match plan.role {
                ChannelRole::Publish(channel) => (HubId::Channel(channel), true),
                ChannelRole::Subscribe { channel, .. } => (HubId::Channel(channel), false),
            },
            Use::InBand(label, Some(group)) => (HubId::Group(*group, label.clone()), false),
            Use::Ended(_) | Use::InBand(_, None) => return,
        };
        if publishes {
            self.end_hub(&id, around);
            return;
        }
        let Some(hub) = self.hubs.get_mut(&id) else { return };
        let (last, origin) = (hub.leave(member), hub.origin);
        if last {
            let to = match origin {
                Some(origin) if origin == self.shard => Vec::new(),
                Some(origin) => vec![origin],
                None => self.lanes.others(),
            };
            for shard in to {
                self.lanes.tell(shard, &id, &ChannelMessage::Detach);
            }
        }
        self.collect_hub(&id);
    }

    /// The publisher is gone: all its subscribers end, here and elsewhere.
    fn end_hub(&mut self, id: &HubId, around: &mut Around) {
        let Some(hub) = self.hubs.remove(id) else { return };
        if hub.origin == Some(self.shard) {
            for shard in hub.shards() {
                self.lanes.tell(*shard, id, &ChannelMessage::Ended);
            }
        }
        for member in hub.members() {
            self.end_member(*member, around);
        }
    }

    /// Ends a planned channel that the plan still holds.
    fn end_member(&mut self, (key, stream): Member, around: &mut Around) {
        let Some(slot) = around.sessions.get_mut(key) else { return };
        let Some(of) = slot.channels.get_mut(&stream) else { return };
        let Use::Planned(plan) = of else { return };
        *of = Use::Ended(plan.clone());
        let id = slot.session.id();
        with_channels(&mut self.dirty, key, around, |session| session.remove_channel(stream));
        around.ledger.tell(Event::Channel(id, stream, ChannelState::Ended));
    }

    /// Ends a subscription that cannot go on.
    fn give_up(&mut self, member: Member, reason: ChannelEnd, around: &mut Around) {
        around.ledger.counters.channels_ended.count(reason);
        let (key, stream) = member;
        let Some(of) = around.sessions.get(key).and_then(|slot| slot.channels.get(&stream)).cloned() else {
            return;
        };
        if matches!(of, Use::InBand(..)) {
            self.forget_use(key, stream, around);
            self.release(member, &of, around);
            with_channels(&mut self.dirty, key, around, |session| session.remove_channel(stream));
        } else {
            self.release(member, &of, around);
            self.end_member(member, around);
        }
    }

    /// Follows what happened on a channel of a session.
    pub(super) fn event(&mut self, key: SessionKey, event: ChannelEvent, around: &mut Around) {
        let Some(slot) = around.sessions.get(key) else { return };
        let id = slot.session.id();
        match event {
            ChannelEvent::Open(stream) => self.tell_open((key, stream), around),
            ChannelEvent::Opened(stream, label) => {
                let group = slot.group.filter(|_| label != SERVER_EVENTS);
                self.join_group(key, stream, label, group, around);
                around.ledger.tell(Event::Channel(id, stream, ChannelState::Taken));
            }
            ChannelEvent::Closed(stream) => {
                let of = slot.channels.get(&stream).cloned();
                if let Some(Use::InBand(..)) = of {
                    self.forget_use(key, stream, around);
                }
                if let Some(of) = of {
                    self.release((key, stream), &of, around);
                    self.end_member((key, stream), around);
                }
                around.ledger.tell(Event::Channel(id, stream, ChannelState::Free));
            }
            ChannelEvent::Unacknowledged(stream) => {
                self.give_up((key, stream), ChannelEnd::Unacknowledged, around)
            }
            ChannelEvent::Message(stream, message) => self.message(key, stream, message, around),
            ChannelEvent::Consumed(_) => around.ledger.counters.drop_messages(ChannelDrop::Unaddressed, 1),
            ChannelEvent::Refused(_) => around.ledger.counters.drop_messages(ChannelDrop::Refused, 1),
        }
    }

    /// Tells control of a channel that carries messages both ways: it is open, and its publisher's shard knows of it.
    fn tell_open(&mut self, (key, stream): Member, around: &mut Around) {
        let Some(slot) = around.sessions.get(key).filter(|slot| slot.session.has_open(stream)) else {
            return;
        };
        if let Some(Use::Planned(plan)) = slot.channels.get(&stream)
            && let ChannelRole::Subscribe { channel, .. } = plan.role
            && self.hubs.get(&HubId::Channel(channel)).is_some_and(|hub| !hub.attached)
        {
            return;
        }
        around.ledger.tell(Event::Channel(slot.session.id(), stream, ChannelState::Open));
    }

    /// A message of a client.
    fn message(&mut self, key: SessionKey, stream: u16, message: Message, around: &mut Around) {
        around.ledger.counters.message(Direction::Ingress, message.payload.len());
        let Some(slot) = around.sessions.get(key) else { return };
        let (hub, grant) = match slot.channels.get(&stream) {
            Some(Use::Planned(plan)) => match plan.role {
                ChannelRole::Publish(channel) => (HubId::Channel(channel), None),
                ChannelRole::Subscribe { channel, origin, grant: Some(grant), .. } => {
                    self.reply(HubId::Channel(channel), origin, grant, message, around);
                    return;
                }
                ChannelRole::Subscribe { .. } => {
                    around.ledger.counters.drop_messages(ChannelDrop::NotGranted, 1);
                    return;
                }
            },
            Some(Use::InBand(label, Some(group))) => {
                (HubId::Group(*group, label.clone()), Some((key, stream)))
            }
            Some(Use::Ended(_) | Use::InBand(_, None)) | None => {
                around.ledger.counters.drop_messages(ChannelDrop::Unaddressed, 1);
                return;
            }
        };
        let Some(shards) = self.hubs.get(&hub).map(|hub| hub.shards().to_vec()) else { return };
        for shard in shards {
            if !self.lanes.send(shard, &hub, ChannelMessage::Data(message.clone())) {
                around.ledger.counters.drop_messages(ChannelDrop::LaneFull, 1);
                self.lanes.tell(shard, &hub, &ChannelMessage::Overflow);
            }
        }
        self.deliver(&hub, &message, grant, around);
    }

    /// A reply of a subscriber goes to the publisher, if its grant is the newest.
    fn reply(&mut self, id: HubId, origin: ShardId, grant: u64, message: Message, around: &mut Around) {
        if origin != self.shard {
            if !self.lanes.send(origin, &id, ChannelMessage::Reply(grant, message)) {
                around.ledger.counters.drop_messages(ChannelDrop::LaneFull, 1);
            }
            return;
        }
        let publisher = self.hubs.get(&id).filter(|hub| hub.may_reply(grant)).and_then(|hub| hub.publisher);
        match publisher {
            Some(publisher) => self.queue(publisher, message, around),
            None => around.ledger.counters.drop_messages(ChannelDrop::NotGranted, 1),
        }
    }

    /// Puts a message into the backlogs of all receivers here.
    fn deliver(&mut self, id: &HubId, message: &Message, except: Option<Member>, around: &mut Around) {
        let members = self.hubs.get(id).map(|hub| hub.members().to_vec()).unwrap_or_default();
        for member in members.into_iter().filter(|member| Some(*member) != except) {
            self.queue(member, message.clone(), around);
        }
    }

    fn queue(&mut self, member: Member, message: Message, around: &mut Around) {
        let (key, stream) = member;
        let Some(slot) = around.sessions.get_mut(key) else { return };
        let bytes = message.payload.len();
        match slot.session.queue(stream, message) {
            Queued::Waiting(displaced) => {
                around.ledger.counters.message(Direction::Egress, bytes);
                around.ledger.counters.drop_messages(ChannelDrop::Slow, displaced);
                with_channels(&mut self.dirty, key, around, |_| ());
            }
            Queued::NotYet => around.ledger.counters.drop_messages(ChannelDrop::NotOpen, 1),
            Queued::Full => {
                around.ledger.counters.drop_messages(ChannelDrop::Slow, 1);
                self.give_up(member, ChannelEnd::Slow, around);
            }
        }
    }

    /// Takes what other shards say, at most so many messages. Returns whether more waits.
    pub(super) fn handle_mail(&mut self, budget: usize, around: &mut Around) -> bool {
        for _ in 0..budget {
            let Some((from, hub, message)) = self.lanes.receive() else { return false };
            self.take(from, hub, message, around);
        }
        self.lanes.post().has_mail()
    }

    /// Takes what another shard says of a channel.
    fn take(&mut self, from: ShardId, id: HubId, what: ChannelMessage, around: &mut Around) {
        let origin = matches!(id, HubId::Channel(_)).then_some(self.shard);
        match what {
            ChannelMessage::Attach { greet } => {
                let hub = self.hub(id.clone(), origin);
                hub.attach(from);
                if greet && !hub.members().is_empty() {
                    self.lanes.tell(from, &id, &ChannelMessage::Attach { greet: false });
                } else if origin.is_some() {
                    self.lanes.tell(from, &id, &ChannelMessage::Attached);
                }
            }
            ChannelMessage::Attached => {
                let Some(hub) = self.hubs.get_mut(&id) else { return };
                hub.attached = true;
                for member in hub.members().to_vec() {
                    self.tell_open(member, around);
                }
            }
            ChannelMessage::Detach => {
                if let Some(hub) = self.hubs.get_mut(&id) {
                    hub.detach(from);
                }
                self.collect_hub(&id);
            }
            // The publisher may have ended the channel by now.
            ChannelMessage::Grant(number) => {
                if let Some(hub) = self.hubs.get_mut(&id) {
                    hub.grant(number);
                }
            }
            ChannelMessage::Data(message) => self.deliver(&id, &message, None, around),
            ChannelMessage::Reply(grant, message) => self.reply(id, self.shard, grant, message, around),
            ChannelMessage::Ended => self.end_hub(&id, around),
            ChannelMessage::Overflow => {
                let members = self.hubs.get(&id).map(|hub| hub.members().to_vec()).unwrap_or_default();
                for member in members {
                    let session = around.sessions.get(member.0);
                    if session.is_some_and(|slot| slot.session.loses_nothing(member.1)) {
                        self.give_up(member, ChannelEnd::LaneFull, around);
                    }
                }
            }
        }
    }

    fn forget_use(&self, key: SessionKey, stream: u16, around: &mut Around) {
        if let Some(slot) = around.sessions.get_mut(key) {
            around.ledger.counters.channels -= u64::from(slot.channels.remove(&stream).is_some());
        }
    }

    fn set_use(&self, key: SessionKey, stream: u16, of: Use, around: &mut Around) {
        if let Some(slot) = around.sessions.get_mut(key) {
            around.ledger.counters.channels += u64::from(slot.channels.insert(stream, of).is_none());
        }
    }

    fn hub(&mut self, id: HubId, origin: Option<ShardId>) -> &mut Hub<Member> {
        self.hubs.entry(id).or_insert_with(|| Hub::new(origin))
    }

    fn collect_hub(&mut self, id: &HubId) {
        if self.hubs.get(id).is_some_and(Hub::is_unused) {
            self.hubs.remove(id);
        }
    }
}

/// Does something to the channels of a session and has them run when the turn ends.
fn with_channels(
    dirty: &mut Vec<SessionKey>,
    key: SessionKey,
    around: &mut Around,
    step: impl FnOnce(&mut Session),
) {
    let Some(slot) = around.sessions.get_mut(key) else { return };
    step(&mut slot.session);
    if !slot.channels_dirty {
        slot.channels_dirty = true;
        dirty.push(key);
    }
}

/// Label of the channel that belongs to no group.
const SERVER_EVENTS: &str = "server-events";

/// A plan without what may change while the channel goes on.
fn grantless(plan: &ChannelPlan) -> ChannelPlan {
    let role = match plan.role {
        ChannelRole::Subscribe { channel, origin, wait_for_ack, .. } => {
            ChannelRole::Subscribe { channel, origin, wait_for_ack, grant: None }
        }
        role @ ChannelRole::Publish(_) => role,
    };
    ChannelPlan { role, ..plan.clone() }
}
