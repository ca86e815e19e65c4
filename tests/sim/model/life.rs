//! A script carried out on a simulated node, and the model that is kept beside it: who is there, what each sends, and
//! what each has asked for.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ringcast::ids::{ChannelId, SessionId, ShardId};
use ringcast::plan::{ChannelPlan, ChannelRole, Delivery, LayerPreference, Reliability};
use ringcast::shard::command::Event;
use ringcast_bench::client::channels::ChannelSetup;
use ringcast_bench::source::{Layer, Media};

use super::script::{From, Kind, Path, Ports, Script, Step};
use crate::harness::link::LinkSpec;
use crate::harness::{PeerKey, Sim, Track, Way};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// Clients that are there at a time, tracks of one, and what one receives.
const CLIENTS_MAX: usize = 6;
const TRACKS_MAX: usize = 3;
const PULLS_MAX: usize = 5;
/// How often one client comes back: more would be too often for a minute.
const RETURNS_MAX: u32 = 4;
/// How old a datagram is that is sent once more: the true one has arrived by then, wherever it went.
const COPIED_AFTER: Duration = SECOND;
/// Datagrams that may be sent once more.
const COPIES_KEPT: usize = 2_000;

const SHARDS: u8 = 2;
const RIDS: [&str; 3] = ["f", "h", "q"];

/// What has become of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Here,
    /// It has ended DTLS, and its session may end.
    HungUp,
    /// It is gone without a word, and its session will end.
    Vanished,
    /// Its session has ended.
    Gone,
}

pub(super) struct Member {
    pub(super) key: PeerKey,
    pub(super) session: SessionId,
    pub(super) state: State,
    pub(super) path: Path,
    /// Whether it has been where it is, as what it is, from the beginning.
    pub(super) is_settled: bool,
    /// Whether it has a section at all; nobody connects without one.
    pub(super) is_described: bool,
    has_channels: bool,
    published: u32,
    returns: u32,
    next_stream: u16,
}

pub(super) struct Publication {
    pub(super) owner: usize,
    pub(super) track: Track,
    pub(super) kind: Kind,
    pub(super) is_sent: bool,
    /// Whether its section carries the whole bundle.
    is_first: bool,
}

/// What a client receives in one section, for as long as it is the same track.
pub(super) struct Pull {
    pub(super) viewer: usize,
    pub(super) mid: String,
    pub(super) of: usize,
    pub(super) until: Option<Instant>,
    /// Whether nothing else was ever received in the section.
    pub(super) is_first: bool,
    pub(super) layer: u8,
}

/// A data channel that one client publishes.
pub(super) struct Chat {
    pub(super) owner: usize,
    pub(super) stream: u16,
    pub(super) is_open: bool,
    pub(super) sent: u32,
    pub(super) receivers: Vec<Receiver>,
}

pub(super) struct Receiver {
    pub(super) member: usize,
    pub(super) stream: u16,
    pub(super) is_open: bool,
}

struct Sent {
    at: Instant,
    client: SocketAddr,
    contents: Vec<u8>,
}

/// One life.
pub(super) struct Life {
    pub(super) sim: Sim,
    ports: Ports,
    pub(super) members: Vec<Member>,
    pub(super) publications: Vec<Publication>,
    pub(super) pulls: Vec<Pull>,
    pub(super) chats: Vec<Chat>,
    /// Bytes that came from addresses of nobody which get answers, since what came was a client's.
    pub(super) onlookers: BTreeMap<SocketAddr, usize>,
    /// Datagrams of clients whose way loses nothing.
    sent: VecDeque<Sent>,
    /// A call that nobody does anything to: its publisher, its viewer, its track.
    pub(super) bystanders: (PeerKey, PeerKey, Track),
    pub(super) events_seen: usize,
    addresses: u16,
}

impl Life {
    /// Lives a script to its end.
    pub(super) fn of(script: &Script) {
        let mut life = Self::begin(script);
        for step in &script.steps {
            life.carry_out(*step);
            life.look();
        }
        life.end();
    }

    fn begin(script: &Script) -> Self {
        let mut sim = match script.ports {
            Ports::Own => Sim::new(SHARDS, script.seed),
            Ports::Shared => Sim::on_one_port(SHARDS, script.seed, false),
            Ports::Steered => Sim::on_one_port(SHARDS, script.seed, true),
        };
        let [publisher, viewer] = [0, 1].map(|shard| sim.join(shard, Way::clean(10)));
        let track = sim.publish(publisher, &[Media::audio()]).remove(0);
        sim.subscribe(viewer, &[&track]);
        sim.captured = Some(Vec::new());
        Self {
            sim,
            ports: script.ports,
            members: Vec::new(),
            publications: Vec::new(),
            pulls: Vec::new(),
            chats: Vec::new(),
            onlookers: BTreeMap::new(),
            sent: VecDeque::new(),
            bystanders: (publisher, viewer, track),
            events_seen: 0,
            addresses: 0,
        }
    }

    fn carry_out(&mut self, step: Step) {
        // A step about nobody is none: the script was cut, or it is early in it.
        let _about_nobody: Option<()> = match step {
            Step::Join { shard, path, channels } => self.join(shard, path, channels),
            Step::Leave { who } => self.here(who).map(|member| self.leave(member)),
            Step::Vanish { who } => self.here(who).map(|member| self.vanish(member)),
            Step::HangUp { who } => self.here(who).map(|member| self.hang_up(member)),
            Step::ComeBack { who } => self.here(who).map(|member| self.come_back(member)),
            // In the moment in which it connects that is a known gap.
            Step::RestartIce { who } => {
                self.described(who).filter(|one| self.has_been_connected(*one)).map(|member| {
                    self.members[member].is_settled = false;
                    self.sim.restart_ice(self.members[member].key);
                })
            }
            Step::Roam { who } => self.described(who).map(|member| self.roam(member)),
            Step::Publish { who, kind } => self.here(who).and_then(|member| self.publish(member, kind)),
            Step::Stop { which } => self.stop(which),
            Step::Pull { who, which, layer } => self.pull(who, which, layer),
            Step::Release { which } => self.release(which),
            Step::Prefer { which, layer } => self.prefer(which, layer),
            Step::Switch { which, to } => self.switch(which, to),
            Step::OpenChannel { who } => self.open_channel(who),
            Step::JoinChannel { who, which } => self.join_channel(who, which),
            Step::Send { which, count } => self.send(which, count),
            Step::LeaveChannel { which } => self.leave_channel(which),
            Step::EndChannel { which } => self.end_channel(which),
            Step::Garbage { from, shard, first, len } => self.garbage(from, shard, first, len),
            Step::Copy { from, shard, back, flip } => self.copy(from, shard, back, flip),
            Step::Wait { ms } => {
                self.sim.run_for(u32::from(ms) * MS);
                Some(())
            }
        };
        self.keep_sent();
        self.follow_ends();
    }

    /// The member that a step is about, counted round those that are there.
    fn here(&self, who: u8) -> Option<usize> {
        let is_here = |member: &usize| self.members[*member].state == State::Here;
        counted_round(who, (0..self.members.len()).filter(is_here))
    }

    fn described(&self, who: u8) -> Option<usize> {
        self.here(who).filter(|member| self.members[*member].is_described)
    }

    /// A pull of somebody who is there.
    fn pulled(&self, which: u8) -> Option<usize> {
        let is_live = |pull: &usize| {
            let Pull { viewer, until, .. } = &self.pulls[*pull];
            until.is_none() && self.members[*viewer].state == State::Here
        };
        counted_round(which, (0..self.pulls.len()).filter(is_live))
    }

    /// A publication of somebody who is there and not this one.
    fn published(&self, which: u8, viewer: usize) -> Option<usize> {
        let is_there = |of: &usize| {
            let Publication { owner, is_sent, .. } = self.publications[*of];
            is_sent && owner != viewer && self.members[owner].state == State::Here
        };
        counted_round(which, (0..self.publications.len()).filter(is_there))
    }

    fn chat(&self, which: u8) -> Option<usize> {
        let is_live = |chat: &usize| {
            let Chat { owner, is_open, .. } = self.chats[*chat];
            is_open && self.members[owner].state == State::Here
        };
        counted_round(which, (0..self.chats.len()).filter(is_live))
    }

    fn join(&mut self, shard: u8, path: Path, has_channels: bool) -> Option<()> {
        if self.members.iter().filter(|member| member.state == State::Here).count() >= CLIENTS_MAX {
            return None;
        }
        let key = self.sim.join(shard % SHARDS, way(path));
        if has_channels {
            self.sim.establish_channels(key);
        }
        self.members.push(Member {
            key,
            session: self.sim.peer(key).session,
            state: State::Here,
            path,
            is_settled: true,
            is_described: has_channels,
            has_channels,
            published: 0,
            returns: 0,
            next_stream: 2,
        });
        Some(())
    }

    pub(super) fn leave(&mut self, member: usize) {
        self.sim.leave(self.members[member].key);
        self.members[member].state = State::Gone;
        self.let_go(member);
    }

    pub(super) fn vanish(&mut self, member: usize) {
        self.sim.vanish(self.members[member].key);
        self.members[member].state = State::Vanished;
        self.let_go(member);
    }

    fn hang_up(&mut self, member: usize) {
        if !self.is_connected(member) {
            return;
        }
        self.sim.hang_up(self.members[member].key);
        self.members[member].state = State::HungUp;
        self.let_go(member);
    }

    /// What a client does not do any more once it is gone. What its session receives, it receives as long as that lives.
    fn let_go(&mut self, member: usize) {
        let publications = self.publications.iter_mut().filter(|one| one.owner == member);
        publications.for_each(|one| one.is_sent = false);
        self.chats.iter_mut().filter(|chat| chat.owner == member).for_each(|chat| chat.is_open = false);
        let receivers = self.chats.iter_mut().flat_map(|chat| &mut chat.receivers);
        receivers.filter(|receiver| receiver.member == member).for_each(|receiver| receiver.is_open = false);
    }

    /// Only an association that is there can be ended.
    fn is_connected(&self, member: usize) -> bool {
        self.sim.peer(self.members[member].key).client.connected_at().is_some()
    }

    fn has_been_connected(&self, member: usize) -> bool {
        let at = self.sim.peer(self.members[member].key).client.connected_at();
        at.is_some_and(|at| at + SECOND <= self.sim.now)
    }

    fn come_back(&mut self, member: usize) {
        let Member { key, path, has_channels, published, returns, is_described, .. } = self.members[member];
        // Only who receives and nothing else begins anew so; and what it said last has to have come through.
        let may = is_described && self.is_connected(member) && returns < RETURNS_MAX;
        if !may || has_channels || published > 0 || path == Path::Bad {
            return;
        }
        self.members[member].returns += 1;
        self.members[member].is_settled = false;
        self.sim.hang_up(key);
        self.sim.run_for(200 * MS);
        self.sim.come_back(key);
        let is_seen_elsewhere = self.sim.seen_at(key) != self.sim.peer(key).client.address();
        if is_seen_elsewhere {
            self.roam(member);
        }
    }

    fn roam(&mut self, member: usize) {
        self.addresses += 1;
        let [high, low] = self.addresses.to_be_bytes();
        let outside = SocketAddr::from(([10, 200, high, low], 7_000));
        self.members[member].is_settled = false;
        self.sim.rebind(self.members[member].key, outside);
    }

    fn publish(&mut self, member: usize, kind: Kind) -> Option<()> {
        let owned = self.publications.iter().filter(|one| one.owner == member && one.is_sent).count();
        if owned >= TRACKS_MAX {
            return None;
        }
        let track = self.sim.publish(self.members[member].key, &[media(kind)]).remove(0);
        let is_first = !self.members[member].is_described;
        self.members[member].is_described = true;
        self.members[member].published += 1;
        self.publications.push(Publication { owner: member, track, kind, is_sent: true, is_first });
        Some(())
    }

    fn stop(&mut self, which: u8) -> Option<()> {
        let may_stop = |of: &usize| {
            let Publication { owner, is_sent, is_first, .. } = self.publications[*of];
            is_sent && !is_first && self.members[owner].state == State::Here
        };
        let of = counted_round(which, (0..self.publications.len()).filter(may_stop))?;
        let one = &mut self.publications[of];
        one.is_sent = false;
        let mid = one.track.mid.clone();
        self.sim.stop(self.members[one.owner].key, &mid);
        Some(())
    }

    fn pull(&mut self, who: u8, which: u8, layer: u8) -> Option<()> {
        let viewer = self.here(who)?;
        let of = self.published(which, viewer)?;
        let pulled = self.pulls.iter().filter(|pull| pull.viewer == viewer && pull.until.is_none()).count();
        if pulled >= PULLS_MAX {
            return None;
        }
        let (key, track) = (self.members[viewer].key, self.publications[of].track.clone());
        let mid = self.sim.subscribe_to_layer(key, &[&track], &preference(layer)).remove(0);
        self.members[viewer].is_described = true;
        let is_first = !self.pulls.iter().any(|pull| pull.viewer == viewer && pull.mid == mid);
        self.pulls.push(Pull { viewer, mid, of, until: None, is_first, layer });
        Some(())
    }

    fn release(&mut self, which: u8) -> Option<()> {
        let pull = self.pulled(which)?;
        let Pull { viewer, ref mid, .. } = self.pulls[pull];
        self.sim.unsubscribe(self.members[viewer].key, mid);
        self.pulls[pull].until = Some(self.sim.now);
        Some(())
    }

    fn prefer(&mut self, which: u8, layer: u8) -> Option<()> {
        let pull = self.pulled(which)?;
        self.pulls[pull].layer = layer;
        let Pull { viewer, ref mid, of, .. } = self.pulls[pull];
        let (key, track) = (self.members[viewer].key, &self.publications[of].track);
        self.sim.switch(key, mid, track, preference(layer));
        Some(())
    }

    fn switch(&mut self, which: u8, to: u8) -> Option<()> {
        let pull = self.pulled(which)?;
        let Pull { viewer, ref mid, of: before, layer, .. } = self.pulls[pull];
        let of = self.published(to, viewer)?;
        let is_audio = |of: usize| self.publications[of].kind == Kind::Audio;
        if of == before || is_audio(of) != is_audio(before) {
            return None;
        }
        let (key, mid) = (self.members[viewer].key, mid.clone());
        self.sim.switch(key, &mid, &self.publications[of].track, preference(layer));
        self.pulls[pull].until = Some(self.sim.now);
        self.pulls.push(Pull { viewer, mid, of, until: None, is_first: false, layer });
        Some(())
    }

    fn open_channel(&mut self, who: u8) -> Option<()> {
        let owner = self.here(who).filter(|member| self.members[*member].has_channels)?;
        let chat = self.chats.len();
        let stream = self.add_channel(owner, chat, ChannelRole::Publish(channel_id(chat)));
        self.chats.push(Chat { owner, stream, is_open: true, sent: 0, receivers: Vec::new() });
        Some(())
    }

    fn join_channel(&mut self, who: u8, which: u8) -> Option<()> {
        let member = self.here(who).filter(|member| self.members[*member].has_channels)?;
        let chat = self.chat(which).filter(|chat| self.chats[*chat].owner != member)?;
        if self.chats[chat].receivers.iter().any(|one| one.member == member) {
            return None;
        }
        let origin = self.sim.peer(self.members[self.chats[chat].owner].key).shard;
        let channel = channel_id(chat);
        let role = ChannelRole::Subscribe { channel, origin, wait_for_ack: false, grant: None };
        let stream = self.add_channel(member, chat, role);
        self.chats[chat].receivers.push(Receiver { member, stream, is_open: true });
        Some(())
    }

    fn add_channel(&mut self, member: usize, chat: usize, role: ChannelRole) -> u16 {
        let Member { key, next_stream: stream, .. } = self.members[member];
        self.members[member].next_stream += 2;
        let delivery = Delivery { ordered: true, reliability: Reliability::Reliable };
        let (label, now) = (label(chat), self.sim.now);
        let plan = ChannelPlan { stream, label: label.clone(), delivery, role };
        self.sim.plan_channels(key, |channels| channels.list.push(plan));
        let setup = ChannelSetup::reliable(&label, Some(stream));
        self.sim.peer_mut(key).client.open_channel(now, &setup);
        stream
    }

    /// Messages are numbered from 0.
    fn send(&mut self, which: u8, count: u8) -> Option<()> {
        let chat = self.chat(which)?;
        let (key, now) = (self.members[self.chats[chat].owner].key, self.sim.now);
        for _ in 0..count {
            let number = self.chats[chat].sent.to_be_bytes();
            let is_taken = self.sim.peer_mut(key).client.send_message(now, &label(chat), true, &number);
            self.chats[chat].sent += u32::from(is_taken);
        }
        Some(())
    }

    fn leave_channel(&mut self, which: u8) -> Option<()> {
        let is_open = |chat: usize, receiver: usize| self.chats[chat].receivers[receiver].is_open;
        let all = self.chats.iter().enumerate();
        let all = all.flat_map(|(chat, of)| (0..of.receivers.len()).map(move |receiver| (chat, receiver)));
        let (chat, receiver) = counted_round(which, all.filter(|(chat, one)| is_open(*chat, *one)))?;
        let Receiver { member, stream, .. } = self.chats[chat].receivers[receiver];
        self.chats[chat].receivers[receiver].is_open = false;
        self.drop_channel(member, chat, stream);
        Some(())
    }

    fn end_channel(&mut self, which: u8) -> Option<()> {
        let chat = self.chat(which)?;
        let Chat { owner, stream, .. } = self.chats[chat];
        self.chats[chat].is_open = false;
        self.drop_channel(owner, chat, stream);
        Some(())
    }

    fn drop_channel(&mut self, member: usize, chat: usize, stream: u16) {
        let (key, now) = (self.members[member].key, self.sim.now);
        self.sim.plan_channels(key, |channels| channels.list.retain(|plan| plan.stream != stream));
        self.sim.peer_mut(key).client.close_channel(now, &label(chat));
    }

    fn garbage(&mut self, from: From, shard: u8, first: u8, len: u16) -> Option<()> {
        let source = match from {
            // It is answered by nothing, which the simulation makes sure of.
            From::Stranger => SocketAddr::from(([203, 0, 113, 7], 1_000 + u16::from(first))),
            From::Client(who) => self.sim.seen_at(self.members[self.here(who)?].key),
        };
        let mut datagram: Vec<u8> =
            (0..len).map(|index| (index ^ index.rotate_left(5) ^ 0x5a) as u8).collect();
        if let Some(begin) = datagram.first_mut() {
            *begin = first;
        }
        self.sim.inject(self.landing(shard, source), source, &datagram);
        Some(())
    }

    fn copy(&mut self, from: From, shard: u8, back: u16, flip: Option<u16>) -> Option<()> {
        let old = self.sent.iter().take_while(|sent| sent.at + COPIED_AFTER <= self.sim.now).count();
        let sent = self.sent.get(usize::from(back).checked_rem(old)?)?;
        let mut contents = sent.contents.clone();
        if let Some(flip) = flip {
            let bit = usize::from(flip) % (contents.len() * 8);
            contents[bit / 8] ^= 1 << (bit % 8);
        }
        let source = match from {
            From::Client(_) => {
                let is_there = |member: &&Member| {
                    member.state == State::Here && self.sim.peer(member.key).client.address() == sent.client
                };
                self.sim.seen_at(self.members.iter().find(is_there)?.key)
            }
            From::Stranger => SocketAddr::from(([203, 0, 113, 9], 2_000 + back % 4)),
        };
        if from == From::Stranger {
            self.sim.onlookers.entry(source).or_default();
            *self.onlookers.entry(source).or_default() += contents.len();
        }
        self.sim.inject(self.landing(shard, source), source, &contents);
        Some(())
    }

    /// Where a datagram of a source comes to that may go to any shard.
    fn landing(&self, shard: u8, source: SocketAddr) -> ShardId {
        match self.ports {
            Ports::Own => ShardId(shard % SHARDS),
            Ports::Shared | Ports::Steered => self.sim.landing(source).unwrap(),
        }
    }

    /// Keeps what clients have sent by ways that lose nothing, for copies.
    fn keep_sent(&mut self) {
        let now = self.sim.now;
        for (_, client, contents) in self.sim.captured.replace(Vec::new()).unwrap_or_default() {
            let is_clean = self.members.iter().any(|member| {
                member.state == State::Here
                    && member.path != Path::Bad
                    && self.sim.peer(member.key).client.address() == client
            });
            if is_clean {
                self.sent.push_back(Sent { at: now, client, contents });
            }
        }
        while self.sent.len() > COPIES_KEPT {
            self.sent.pop_front();
        }
    }

    /// Takes note of sessions that have ended by themselves.
    pub(super) fn follow_ends(&mut self) {
        let events = &self.sim.events[self.events_seen..];
        let ended = |event: &Event| if let Event::Ended(session, _) = event { Some(*session) } else { None };
        let ended: Vec<SessionId> = events.iter().filter_map(|(_, event)| ended(event)).collect();
        self.events_seen = self.sim.events.len();
        for session in ended {
            let member = self.members.iter().position(|member| member.session == session);
            let Some(member) = member else { panic!("the session of a bystander has ended") };
            let Member { state, is_described, key, .. } = self.members[member];
            assert!(
                state != State::Here || !is_described,
                "a session has ended whose client is there: {key:?}"
            );
            if state != State::Vanished {
                self.sim.vanish(key);
            }
            self.members[member].state = State::Gone;
            self.let_go(member);
        }
    }
}

/// The one of that number, counted round.
fn counted_round<T>(number: u8, all: impl Iterator<Item = T>) -> Option<T> {
    let mut all: Vec<T> = all.collect();
    let index = usize::from(number).checked_rem(all.len())?;
    Some(all.swap_remove(index))
}

fn way(path: Path) -> Way {
    match path {
        Path::Near => Way::clean(5),
        Path::Far => Way::clean(70),
        Path::Bad => {
            let spec = LinkSpec::clean(25).with_loss(0.03).with_jitter(5);
            Way::both(spec.with_duplicates(0.02).with_reordering(13))
        }
    }
}

fn media(kind: Kind) -> Media {
    let layer = |rid: &str| Layer { rid: rid.to_owned(), packets_per_second: 10 };
    let layers = match kind {
        Kind::Audio => return Media::audio(),
        Kind::Video => vec![layer("")],
        Kind::Simulcast => RIDS.map(layer).into(),
    };
    Media::Video { fps: 10, payload_bytes: 300, layers }
}

/// The layer that a number asks for: one of those that are sent, one that never is, or whatever is best.
fn preference(layer: u8) -> LayerPreference {
    let rid = match layer {
        0..3 => Some(RIDS[usize::from(layer)].to_owned()),
        3 => Some("none".to_owned()),
        _ => None,
    };
    LayerPreference { preferred_rid: rid, ..LayerPreference::default() }
}

fn channel_id(chat: usize) -> ChannelId {
    ChannelId(100 + chat as u64)
}

pub(super) fn label(chat: usize) -> String {
    format!("chat {chat}")
}
