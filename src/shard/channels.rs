//! Data channels between sessions, here and on other shards.
//!
//! A message goes from the session that received it to its hub ([`crate::router::channel`]), and from there into
//! the bounded backlog of every receiver, which is sent from when the turn ends. It is never copied. Nobody waits
//! for anybody: a receiver that is too slow loses messages, or its channel if that may lose nothing.

use std::time::Instant;

use super::command::{ChannelState, Event};
use super::mailbox::ChannelMessage;
use super::sessions::SessionKey;
use super::{Shard, Unserved};
use crate::drop::ChannelDrop;
use crate::ids::{GroupId, ShardId};
use crate::net::Outbox;
use crate::plan::{ChannelPlan, ChannelRole, ChannelsPlan};
use crate::router::channel::{Hub, HubId};
use crate::session::{ChannelEvent, Message, Queued};

/// Rounds in one turn in which what one channel led to is carried out for others.
const ROUNDS_MAX: usize = 8;

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

/// Why we ended a subscription: the index of its counter.
#[derive(Debug, Clone, Copy)]
enum EndedFor {
    Slow = 0,
    LaneFull = 1,
    Unacknowledged = 2,
}

impl Shard {
    /// Brings the data channels of a session to their plan.
    pub(super) fn apply_channels(&mut self, key: SessionKey, plan: ChannelsPlan) {
        let Some(slot) = self.sessions.get_mut(key) else { return };
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
            self.forget_use(key, stream);
            if matches!(of, Use::Planned(_)) {
                self.release_channel((key, stream), &of);
                self.with_channels(key, |session| session.remove_channel(stream));
            }
        }
        if plan.server_events {
            self.with_channels(key, crate::session::Session::open_server_events);
        }
        for channel in plan.list {
            self.apply_channel(key, channel);
        }
        self.apply_group(key, plan.group);
    }

    fn apply_channel(&mut self, key: SessionKey, plan: ChannelPlan) {
        let Some(slot) = self.sessions.get_mut(key) else { return };
        let (member, stream) = ((key, plan.stream), plan.stream);
        match slot.channels.get(&stream) {
            Some(Use::Ended(_)) => return,
            Some(Use::Planned(_)) => {}
            Some(Use::InBand(..)) | None => {
                // The client may have taken the stream in the meantime; what the API has given stands.
                let taken = slot.channels.get(&stream).cloned();
                slot.session.add_channel(plan.clone());
                if let Some(taken) = taken {
                    self.release_channel(member, &taken);
                }
                self.with_channels(key, |_| ());
            }
        }
        match plan.role {
            ChannelRole::Publish(channel) => {
                let origin = self.id;
                self.hub(HubId::Channel(channel), Some(origin)).publisher = Some(member);
            }
            ChannelRole::Subscribe { channel, origin, grant, .. } => {
                let id = HubId::Channel(channel);
                let is_here = origin == self.id;
                let hub = self.hub(id.clone(), Some(origin));
                hub.attached |= is_here;
                if hub.join(member) && !is_here {
                    let attach = ChannelMessage::Attach { from: self.id, greet: false };
                    self.mailbox.send_channel(origin, id.clone(), attach);
                }
                if let Some(grant) = grant {
                    if origin == self.id {
                        self.hub(id, Some(origin)).grant(grant);
                    } else {
                        self.mailbox.send_channel(origin, id, ChannelMessage::Grant(grant));
                    }
                }
            }
        }
        self.set_use(key, stream, Use::Planned(plan));
    }

    /// Moves the in-band channels of a session to another group.
    fn apply_group(&mut self, key: SessionKey, group: Option<GroupId>) {
        let Some(slot) = self.sessions.get_mut(key).filter(|slot| slot.group != group) else { return };
        slot.group = group;
        let in_band: Vec<(u16, Use)> = slot
            .channels
            .iter()
            .filter(|(_, of)| matches!(of, Use::InBand(..)))
            .map(|(stream, of)| (*stream, of.clone()))
            .collect();
        for (stream, of) in in_band {
            self.release_channel((key, stream), &of);
            if let Use::InBand(label, _) = of {
                self.join_group(key, stream, label, group);
            }
        }
    }

    fn join_group(&mut self, key: SessionKey, stream: u16, label: String, group: Option<GroupId>) {
        if let Some(group) = group {
            let id = HubId::Group(group, label.clone());
            if self.hub(id.clone(), None).join((key, stream)) {
                for shard in self.mailbox.others() {
                    let attach = ChannelMessage::Attach { from: self.id, greet: true };
                    self.mailbox.send_channel(shard, id.clone(), attach);
                }
            }
        }
        self.set_use(key, stream, Use::InBand(label, group));
    }

    /// Takes a channel out of its hub.
    pub(super) fn release_channel(&mut self, member: Member, of: &Use) {
        let (id, publishes) = match of {
            Use::Planned(plan) => match plan.role {
                ChannelRole::Publish(channel) => (HubId::Channel(channel), true),
                ChannelRole::Subscribe { channel, .. } => (HubId::Channel(channel), false),
            },
            Use::InBand(label, Some(group)) => (HubId::Group(*group, label.clone()), false),
            Use::Ended(_) | Use::InBand(_, None) => return,
        };
        if publishes {
            self.end_hub(&id);
            return;
        }
        let Some(hub) = self.hubs.get_mut(&id) else { return };
        let (last, origin) = (hub.leave(member), hub.origin);
        if last {
            let to = match origin {
                Some(origin) if origin == self.id => Vec::new(),
                Some(origin) => vec![origin],
                None => self.mailbox.others(),
            };
            for shard in to {
                self.mailbox.send_channel(shard, id.clone(), ChannelMessage::Detach { from: self.id });
            }
        }
        self.collect_hub(&id);
    }

    /// The publisher is gone: all its subscribers end, here and elsewhere.
    fn end_hub(&mut self, id: &HubId) {
        let Some(hub) = self.hubs.remove(id) else { return };
        if hub.origin == Some(self.id) {
            for shard in hub.shards() {
                self.mailbox.send_channel(*shard, id.clone(), ChannelMessage::Ended);
            }
        }
        for member in hub.members() {
            self.end_member(*member);
        }
    }

    /// Ends a planned channel that the plan still holds.
    fn end_member(&mut self, (key, stream): Member) {
        let Some(slot) = self.sessions.get_mut(key) else { return };
        let Some(of) = slot.channels.get_mut(&stream) else { return };
        let Use::Planned(plan) = of else { return };
        *of = Use::Ended(plan.clone());
        let id = slot.session.id();
        self.with_channels(key, |session| session.remove_channel(stream));
        self.events.push_back(Event::Channel(id, stream, ChannelState::Ended));
    }

    /// Ends a subscription that cannot go on.
    fn give_up(&mut self, member: Member, reason: EndedFor) {
        if let Some(count) = self.counters.channels_ended.get_mut(reason as usize) {
            *count += 1;
        }
        let (key, stream) = member;
        let Some(of) = self.sessions.get(key).and_then(|slot| slot.channels.get(&stream)).cloned() else {
            return;
        };
        if matches!(of, Use::InBand(..)) {
            self.forget_use(key, stream);
            self.release_channel(member, &of);
            self.with_channels(key, |session| session.remove_channel(stream));
        } else {
            self.release_channel(member, &of);
            self.end_member(member);
        }
    }

    /// Follows what happened on a channel of a session.
    pub(super) fn channel_event(&mut self, key: SessionKey, event: ChannelEvent) {
        let Some(slot) = self.sessions.get(key) else { return };
        let id = slot.session.id();
        match event {
            ChannelEvent::Open(stream) => self.tell_open((key, stream)),
            ChannelEvent::Opened(stream, label) => {
                let group = slot.group.filter(|_| label != SERVER_EVENTS);
                self.join_group(key, stream, label, group);
                self.events.push_back(Event::Channel(id, stream, ChannelState::Taken));
            }
            ChannelEvent::Closed(stream) => {
                let of = slot.channels.get(&stream).cloned();
                if let Some(Use::InBand(..)) = of {
                    self.forget_use(key, stream);
                }
                if let Some(of) = of {
                    self.release_channel((key, stream), &of);
                    self.end_member((key, stream));
                }
                self.events.push_back(Event::Channel(id, stream, ChannelState::Free));
            }
            ChannelEvent::Unacknowledged(stream) => self.give_up((key, stream), EndedFor::Unacknowledged),
            ChannelEvent::Message(stream, message) => self.message(key, stream, message),
            ChannelEvent::Consumed(_) => self.counters.drop_messages(ChannelDrop::Unaddressed, 1),
            ChannelEvent::Refused(_) => self.counters.drop_messages(ChannelDrop::Refused, 1),
        }
    }

    /// Tells control of a channel that carries messages both ways: it is open, and its publisher's shard knows of it.
    fn tell_open(&mut self, (key, stream): Member) {
        let Some(slot) = self.sessions.get(key).filter(|slot| slot.session.has_open(stream)) else { return };
        if let Some(Use::Planned(plan)) = slot.channels.get(&stream)
            && let ChannelRole::Subscribe { channel, .. } = plan.role
            && self.hubs.get(&HubId::Channel(channel)).is_some_and(|hub| !hub.attached)
        {
            return;
        }
        self.events.push_back(Event::Channel(slot.session.id(), stream, ChannelState::Open));
    }

    /// A message of a client.
    fn message(&mut self, key: SessionKey, stream: u16, message: Message) {
        count(&mut self.counters.channel_messages, &mut self.counters.channel_bytes, 0, &message);
        let Some(slot) = self.sessions.get(key) else { return };
        let (hub, grant) = match slot.channels.get(&stream) {
            Some(Use::Planned(plan)) => match plan.role {
                ChannelRole::Publish(channel) => (HubId::Channel(channel), None),
                ChannelRole::Subscribe { channel, origin, grant: Some(grant), .. } => {
                    self.reply(HubId::Channel(channel), origin, grant, message);
                    return;
                }
                ChannelRole::Subscribe { .. } => {
                    self.counters.drop_messages(ChannelDrop::NotGranted, 1);
                    return;
                }
            },
            Some(Use::InBand(label, Some(group))) => {
                (HubId::Group(*group, label.clone()), Some((key, stream)))
            }
            Some(Use::Ended(_) | Use::InBand(_, None)) | None => {
                self.counters.drop_messages(ChannelDrop::Unaddressed, 1);
                return;
            }
        };
        let Some(shards) = self.hubs.get(&hub).map(|hub| hub.shards().to_vec()) else { return };
        for shard in shards {
            if !self.mailbox.send_channel(shard, hub.clone(), ChannelMessage::Data(message.clone())) {
                self.counters.drop_messages(ChannelDrop::LaneFull, 1);
                self.mailbox.send_channel(shard, hub.clone(), ChannelMessage::Overflow);
            }
        }
        self.deliver(&hub, &message, grant);
    }

    /// A reply of a subscriber goes to the publisher, if its grant is the newest.
    fn reply(&mut self, id: HubId, origin: ShardId, grant: u64, message: Message) {
        if origin != self.id {
            if !self.mailbox.send_channel(origin, id, ChannelMessage::Reply(grant, message)) {
                self.counters.drop_messages(ChannelDrop::LaneFull, 1);
            }
            return;
        }
        let publisher = self.hubs.get(&id).filter(|hub| hub.may_reply(grant)).and_then(|hub| hub.publisher);
        match publisher {
            Some(publisher) => self.queue(publisher, message),
            None => self.counters.drop_messages(ChannelDrop::NotGranted, 1),
        }
    }

    /// Puts a message into the backlogs of all receivers here.
    fn deliver(&mut self, id: &HubId, message: &Message, except: Option<Member>) {
        let members = self.hubs.get(id).map(|hub| hub.members().to_vec()).unwrap_or_default();
        for member in members.into_iter().filter(|member| Some(*member) != except) {
            self.queue(member, message.clone());
        }
    }

    fn queue(&mut self, member: Member, message: Message) {
        let (key, stream) = member;
        let Some(slot) = self.sessions.get_mut(key) else { return };
        let sent = message.clone();
        match slot.session.queue(stream, message) {
            Queued::Waiting(displaced) => {
                count(&mut self.counters.channel_messages, &mut self.counters.channel_bytes, 1, &sent);
                self.counters.drop_messages(ChannelDrop::Slow, displaced);
                self.with_channels(key, |_| ());
            }
            Queued::NotYet => self.counters.drop_messages(ChannelDrop::NotOpen, 1),
            Queued::Full => {
                self.counters.drop_messages(ChannelDrop::Slow, 1);
                self.give_up(member, EndedFor::Slow);
            }
        }
    }

    /// Takes what another shard says of a channel.
    pub(super) fn channel_message(&mut self, id: HubId, what: ChannelMessage) {
        let origin = matches!(id, HubId::Channel(_)).then_some(self.id);
        match what {
            ChannelMessage::Attach { from, greet } => {
                let hub = self.hub(id.clone(), origin);
                hub.attach(from);
                if greet && !hub.members().is_empty() {
                    let attach = ChannelMessage::Attach { from: self.id, greet: false };
                    self.mailbox.send_channel(from, id, attach);
                } else if origin.is_some() {
                    self.mailbox.send_channel(from, id, ChannelMessage::Attached);
                }
            }
            ChannelMessage::Attached => {
                let Some(hub) = self.hubs.get_mut(&id) else { return };
                hub.attached = true;
                for member in hub.members().to_vec() {
                    self.tell_open(member);
                }
            }
            ChannelMessage::Detach { from } => {
                if let Some(hub) = self.hubs.get_mut(&id) {
                    hub.detach(from);
                }
                self.collect_hub(&id);
            }
            ChannelMessage::Grant(number) => self.hub(id, origin).grant(number),
            ChannelMessage::Data(message) => self.deliver(&id, &message, None),
            ChannelMessage::Reply(grant, message) => self.reply(id, self.id, grant, message),
            ChannelMessage::Ended => self.end_hub(&id),
            ChannelMessage::Overflow => {
                let members = self.hubs.get(&id).map(|hub| hub.members().to_vec()).unwrap_or_default();
                for member in members {
                    let session = self.sessions.get(member.0);
                    if session.is_some_and(|slot| slot.session.loses_nothing(member.1)) {
                        self.give_up(member, EndedFor::LaneFull);
                    }
                }
            }
        }
    }

    /// Lets the channels of all sessions run that have something to do.
    pub(super) fn run_channels(&mut self, now: Instant, outbox: &mut Outbox) {
        for _ in 0..ROUNDS_MAX {
            if self.channels_dirty.is_empty() {
                return;
            }
            self.run_dirty_channels(now, outbox);
        }
    }

    fn run_dirty_channels(&mut self, now: Instant, outbox: &mut Outbox) {
        for key in std::mem::take(&mut self.channels_dirty) {
            let Some(slot) = self.sessions.get_mut(key) else { continue };
            slot.channels_dirty = false;
            let ran: Result<bool, Unserved> = self.with_session(now, key, outbox, |session, setup, out| {
                Ok(session.run_channels(setup, now, out).is_ok())
            });
            if ran == Ok(false) {
                self.fail_session(key, now);
            } else {
                self.arm_session(key);
            }
        }
    }

    /// Does something to the channels of a session and has them run when the turn ends.
    fn with_channels(&mut self, key: SessionKey, step: impl FnOnce(&mut crate::session::Session)) {
        let Some(slot) = self.sessions.get_mut(key) else { return };
        step(&mut slot.session);
        if !slot.channels_dirty {
            slot.channels_dirty = true;
            self.channels_dirty.push(key);
        }
    }

    fn forget_use(&mut self, key: SessionKey, stream: u16) {
        if let Some(slot) = self.sessions.get_mut(key) {
            self.counters.channels -= u64::from(slot.channels.remove(&stream).is_some());
        }
    }

    fn set_use(&mut self, key: SessionKey, stream: u16, of: Use) {
        if let Some(slot) = self.sessions.get_mut(key) {
            self.counters.channels += u64::from(slot.channels.insert(stream, of).is_none());
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

fn count(messages: &mut [u64; 2], bytes: &mut [u64; 2], direction: usize, message: &Message) {
    if let (Some(messages), Some(bytes)) = (messages.get_mut(direction), bytes.get_mut(direction)) {
        *messages += 1;
        *bytes += message.payload.len() as u64;
    }
}
