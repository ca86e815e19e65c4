//! Who a message of a data channel goes to: members here, other shards, and the one subscriber that may reply.
//!
//! It holds names only, no queue and no payload: messages wait in the sessions they are for. Members are bounded
//! by the channels that sessions may have, shards by their number.

use crate::ids::{ChannelId, GroupId, ShardId};

/// What joins the channels of several sessions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HubId {
    /// One published channel: its publisher sends, all others receive.
    Channel(ChannelId),
    /// Channels opened in band under one label within a group: each sends to all others.
    Group(GroupId, String),
}

/// The receivers of one hub on one shard. `M` names a channel of a session.
#[derive(Debug)]
pub struct Hub<M> {
    /// Shard of the publisher; `None` for a group, which has none.
    pub origin: Option<ShardId>,
    /// The publisher's channel, on its shard.
    pub publisher: Option<M>,
    /// Whether the publisher's shard knows that there are receivers here.
    pub attached: bool,
    members: Vec<M>,
    shards: Vec<ShardId>,
    /// The newest grant to reply, on the publisher's shard.
    grant: u64,
}

impl<M: Copy + PartialEq> Hub<M> {
    /// Makes one without members.
    pub fn new(origin: Option<ShardId>) -> Self {
        Self { origin, publisher: None, attached: false, members: Vec::new(), shards: Vec::new(), grant: 0 }
    }

    /// Adds a receiver here; tells whether it is the first.
    pub fn join(&mut self, member: M) -> bool {
        let first = self.members.is_empty();
        if !self.members.contains(&member) {
            self.members.push(member);
        }
        first
    }

    /// Takes a receiver off; tells whether it was the last.
    pub fn leave(&mut self, member: M) -> bool {
        let before = self.members.len();
        self.members.retain(|known| *known != member);
        before > 0 && self.members.is_empty()
    }

    /// Adds a shard that has receivers; tells whether it is new.
    pub fn attach(&mut self, shard: ShardId) -> bool {
        let new = !self.shards.contains(&shard);
        if new {
            self.shards.push(shard);
        }
        new
    }

    /// Takes a shard off.
    pub fn detach(&mut self, shard: ShardId) {
        self.shards.retain(|known| *known != shard);
    }

    /// Receivers here.
    pub fn members(&self) -> &[M] {
        &self.members
    }

    /// Other shards that have receivers.
    pub fn shards(&self) -> &[ShardId] {
        &self.shards
    }

    /// Notes a grant to reply. A newer one has a greater number and ends all before it.
    pub fn grant(&mut self, number: u64) {
        self.grant = self.grant.max(number);
    }

    /// Whether a reply under this grant goes to the publisher.
    pub fn may_reply(&self, number: u64) -> bool {
        number == self.grant
    }

    /// Whether nobody would miss it.
    pub fn is_unused(&self) -> bool {
        self.publisher.is_none() && self.members.is_empty() && self.shards.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_grant_ends_the_older_one_in_whatever_order_they_come() {
        let mut hub: Hub<u32> = Hub::new(Some(ShardId(0)));
        hub.grant(7);
        assert!(hub.may_reply(7));
        hub.grant(9);
        hub.grant(8);
        assert!(hub.may_reply(9) && !hub.may_reply(8) && !hub.may_reply(7));
    }

    #[test]
    fn the_first_and_the_last_member_are_told() {
        let mut hub = Hub::new(None);
        assert!(hub.join(1));
        assert!(!hub.join(2) && !hub.join(2));
        assert_eq!(hub.members(), [1, 2]);
        assert!(!hub.leave(1));
        assert!(hub.leave(2));
        assert!(!hub.leave(2), "it had none");
    }

    #[test]
    fn a_hub_is_used_while_it_has_a_publisher_a_member_or_a_shard() {
        let mut hub = Hub::new(None);
        assert!(hub.is_unused());
        assert!(hub.attach(ShardId(1)) && !hub.attach(ShardId(1)));
        assert!(!hub.is_unused());
        hub.detach(ShardId(1));
        hub.publisher = Some(3);
        assert!(!hub.is_unused());
    }
}
