//! What must hold of a life: at each moment, when all have had time to come to rest, and when all have left.

use std::time::Duration;

use ringcast::drop::DropReason;
use ringcast::metrics::shard::{Retransmission, Wake};
use ringcast::shard::TableSizes;

use super::life::{Chat, Life, Member, Publication, Pull, State, label};
use super::script::{Kind, Path};
use crate::harness::LIMITS;
use crate::harness::link::LinkSpec;

const SECOND: Duration = Duration::from_secs(1);
/// What may still come after an end: what is under way, and what is asked for again.
const UNDER_WAY: Duration = Duration::from_millis(1_500);
/// A client that has moved is found by its next check, the way is then asked for, and a keyframe comes.
const REST: Duration = Duration::from_secs(14);

impl Life {
    /// What holds at every moment.
    pub(super) fn look(&mut self) {
        self.look_at_tables();
        for member in 0..self.members.len() {
            if matches!(self.members[member].state, State::Here | State::HungUp) {
                self.look_at_member(member);
            }
        }
        for (onlooker, given) in &self.onlookers {
            let sent = &self.sim.onlookers[onlooker];
            let bytes: usize = sent.iter().map(Vec::len).sum();
            assert!(bytes <= 3 * given, "{bytes} bytes went to {onlooker} for {given}");
            let media = sent.iter().filter(|datagram| datagram.first().is_some_and(|first| *first >= 128));
            assert_eq!(media.count(), 0, "media went to {onlooker}, who has answered nothing");
        }
        assert_eq!(self.sim.counted(|all| all.session_failures), 0, "a session has failed");
        for reason in [DropReason::SendFailed, DropReason::SealFailed, DropReason::Overload] {
            assert_eq!(self.sim.dropped(reason), 0, "{reason:?}");
        }
        let given = self.sim.given;
        assert_eq!(self.sim.counted(|all| all.datagrams_in), given, "each datagram is counted once");
        let forwarded = self.sim.counted(|all| all.rtp_out.total());
        let again = self.sim.counted(|all| all.retransmissions.of(Retransmission::Hit));
        let left: u64 = self.sim.left.rtp.iter().sum();
        let measuring = self.sim.counted(|all| all.probe_packets);
        assert_eq!(forwarded + again + measuring, left, "what is counted as sent has left");
    }

    /// Sessions and subscriptions are those that were asked for, no more and no fewer.
    fn look_at_tables(&mut self) {
        let is_there = |member: &Member| member.state != State::Gone;
        let sessions = 2 + self.members.iter().filter(|member| is_there(member)).count();
        let is_open = |pull: &&Pull| pull.until.is_none() && is_there(&self.members[pull.viewer]);
        let subscriptions = 1 + self.pulls.iter().filter(is_open).count();
        let sizes = self.sim.sizes();
        assert_eq!(
            (sizes.sessions, sizes.subscriptions),
            (sessions, subscriptions),
            "sessions, subscriptions"
        );
        let counted = self.sim.counted(|all| all.sessions + 1_000 * all.subscriptions);
        assert_eq!(counted, (sessions + 1_000 * subscriptions) as u64);
    }

    /// Nobody gets what is not his, or not his any more.
    fn look_at_member(&self, member: usize) {
        let client = &self.sim.peer(self.members[member].key).client;
        // An engine whose SCTP is not up yet fails to end it.
        let may_fail = self.members[member].state == State::HungUp;
        assert!(may_fail || client.failure().is_none(), "{:?}", client.failure());
        for stream in client.streams() {
            assert_eq!(stream.corrupt, 0, "a damaged packet");
            for reception in &stream.sources {
                let may = |pull: &Pull| {
                    pull.viewer == member
                        && pull.mid == stream.mid
                        && self.publications[pull.of].track.source == reception.source
                        && pull.until.is_none_or(|until| reception.newest_at <= until + UNDER_WAY)
                };
                assert!(
                    self.pulls.iter().any(may),
                    "client {member} got packets of source {} in section {} at {:?}",
                    reception.source,
                    stream.mid,
                    reception.newest_at.duration_since(self.sim.base)
                );
            }
        }
        for (number, chat) in self.chats.iter().enumerate() {
            self.look_at_messages(member, number, chat);
        }
    }

    /// Messages come in their order, none twice, none left out, and to nobody else.
    fn look_at_messages(&self, member: usize, number: usize, chat: &Chat) {
        let received = self.messages(member, number);
        let is_receiver = chat.receivers.iter().any(|one| one.member == member);
        assert!(received.is_empty() || is_receiver, "client {member} got messages of chat {number}");
        let is_next = |pair: &[u32]| pair[1] == pair[0] + 1;
        assert!(received.windows(2).all(is_next), "client {member} got {received:?} of chat {number}");
        assert!(received.last().is_none_or(|last| *last < chat.sent));
    }

    fn messages(&self, member: usize, number: usize) -> Vec<u32> {
        let client = &self.sim.peer(self.members[member].key).client;
        let received = client.channel(&label(number)).map_or(&[][..], |channel| &channel.received);
        received.iter().map(|(_, payload)| u32::from_be_bytes(payload[..].try_into().unwrap())).collect()
    }

    /// Lets everything come to rest, looks at who gets what, has all leave, and looks at what is left.
    pub(super) fn end(mut self) {
        for number in 0..self.members.len() {
            let Member { key, state, .. } = self.members[number];
            if state == State::Here {
                let peer = self.sim.peer_mut(key);
                peer.up.become_another(LinkSpec::clean(5), 1);
                peer.down.become_another(LinkSpec::clean(5), 2);
            }
        }
        let sent: Vec<u32> = self.chats.iter().map(|chat| chat.sent).collect();
        self.sim.run_for(REST);
        self.follow_ends();
        self.look();
        self.look_for_what_is_due();
        self.sim.pause_sources();
        self.sim.run_for(2 * SECOND);
        self.look();
        self.look_for_gaps();
        self.look_for_messages(&sent);
        self.leave_nothing();
    }

    /// Who asked for a track that is sent gets it, in the layer that it asked for.
    fn look_for_what_is_due(&mut self) {
        for pull in 0..self.pulls.len() {
            let Pull { viewer, ref mid, of, until, layer, .. } = self.pulls[pull];
            let Publication { owner, ref track, kind, is_sent, .. } = self.publications[of];
            let is_here = |member: usize| self.members[member].state == State::Here;
            if until.is_some() || !is_here(viewer) {
                continue;
            }
            let client = &self.sim.peer(self.members[viewer].key).client;
            let since = self.sim.now - SECOND;
            let stream = client.streams().iter().find(|stream| stream.mid == *mid);
            let new = |source: u32| {
                let log = stream.map_or(&[][..], |stream| &stream.log);
                log.iter().filter(move |one| one.at > since && one.stamp.source == source)
            };
            let mut layers: Vec<u8> = new(track.source).map(|one| one.stamp.layer).collect();
            layers.sort_unstable();
            layers.dedup();
            let is_sent = is_sent && is_here(owner);
            let is_right = match (is_sent, kind, layer) {
                (false, ..) | (true, Kind::Simulcast, 3) => layers.is_empty(),
                (true, Kind::Simulcast, 0..3) => layers == [layer],
                (true, Kind::Simulcast, _) => layers.len() == 1,
                (true, Kind::Audio | Kind::Video, _) => layers == [0],
            };
            assert!(
                is_right,
                "client {viewer} gets layers {layers:?} in section {mid} of what {owner} sends ({is_sent}) as {kind:?}, and \
                 asked for {layer}"
            );
        }
    }

    /// Where nothing has happened to either side, each packet came once and in order.
    fn look_for_gaps(&mut self) {
        let (_, viewer, track) = self.bystanders.clone();
        let account = self.sim.account(viewer, &track);
        assert!(account.expected > 100, "{account:?}");
        account.assert_complete();
        assert_eq!(self.sim.received(viewer, &track).unwrap().late, 0, "a bystander lost its order");
        for pull in 0..self.pulls.len() {
            let Pull { viewer, of, until, is_first, .. } = self.pulls[pull];
            let Publication { owner, ref track, kind, is_sent, .. } = self.publications[of];
            let is_undisturbed = |member: usize| {
                let Member { state, path, is_settled, .. } = self.members[member];
                state == State::Here && path != Path::Bad && is_settled
            };
            let is_simple = is_sent && until.is_none() && is_first && kind != Kind::Simulcast;
            let again = self.pulls.iter().filter(|one| one.viewer == viewer && one.of == of).count() > 1;
            if is_simple && !again && is_undisturbed(viewer) && is_undisturbed(owner) {
                let (key, track) = (self.members[viewer].key, track.clone());
                self.sim.account(key, &track).assert_complete();
            }
        }
    }

    /// Who was in a channel to the end has all messages since the first that it got.
    fn look_for_messages(&self, sent: &[u32]) {
        for (number, chat) in self.chats.iter().enumerate() {
            for receiver in chat.receivers.iter().filter(|receiver| receiver.is_open && chat.is_open) {
                let received = self.messages(receiver.member, number);
                if let Some(last) = received.last() {
                    assert_eq!(*last + 1, sent[number], "client {} in chat {number}", receiver.member);
                }
            }
        }
    }

    fn leave_nothing(mut self) {
        let (publisher, viewer, _) = self.bystanders.clone();
        [publisher, viewer].into_iter().for_each(|bystander| self.sim.leave(bystander));
        for member in 0..self.members.len() {
            match self.members[member].state {
                State::Here if member % 3 == 0 => self.vanish(member),
                State::Here => self.leave(member),
                State::HungUp | State::Vanished | State::Gone => {}
            }
        }
        // Those who have gone without a word, and whoever has never connected.
        self.sim.run_for(LIMITS.never_connected + LIMITS.disconnected);
        assert_eq!(self.sim.sizes(), TableSizes::default(), "something is left");
        let counted = self.sim.counted(|all| all.replicas + all.channels + all.sessions + all.publications);
        assert_eq!(counted, 0, "something is counted that is not there");
        assert!(self.sim.is_at_rest(), "a timer is left");
        if let Some(port) = &self.sim.shared_port {
            assert!(port.owners.is_empty(), "the kernel was not told that {:?} are nobody's", port.owners);
        }
        let (all, for_nothing) =
            (self.sim.counted(|all| all.wakes.total()), self.sim.counted(|all| all.wakes.of(Wake::Moved)));
        assert!(for_nothing * 4 <= all, "{for_nothing} of {all} timers came due for nothing");
    }
}
