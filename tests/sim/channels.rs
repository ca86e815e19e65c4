//! Data channels between clients of one shard and of several: what arrives, who may speak, and how each of them ends.

use std::time::Duration;

use ringcast::drop::ChannelDrop;
use ringcast::ids::{ChannelId, GroupId, ShardId};
use ringcast::metrics::shard::{ChannelEnd, Direction};
use ringcast::plan::{ChannelPlan, ChannelRole, Delivery, Reliability};
use ringcast::shard::TableSizes;
use ringcast::shard::command::{ChannelState, Event};
use ringcast_bench::client::channels::ChannelSetup;
use ringcast_bench::source::Media;

use crate::harness::link::LinkSpec;
use crate::harness::{PeerKey, Sim, Way};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// How long a subscriber has for the first message that is waited for.
const ACK_PATIENCE: Duration = Duration::from_secs(30);

const CHAT: ChannelId = ChannelId(7);
const RELIABLE: Delivery = Delivery { ordered: true, reliability: Reliability::Reliable };
const GROUP: GroupId = GroupId(3);

/// Where the channels of a scenario are: the subscribers' streams differ from the publisher's.
const PUBLISHED: u16 = 2;
const SUBSCRIBED: u16 = 4;

fn published(delivery: Delivery) -> ChannelPlan {
    let (label, role) = ("chat".to_owned(), ChannelRole::Publish(CHAT));
    ChannelPlan { stream: PUBLISHED, label, delivery, role }
}

fn subscribed(origin: u8, delivery: Delivery, wait_for_ack: bool, grant: Option<u64>) -> ChannelPlan {
    let role = ChannelRole::Subscribe { channel: CHAT, origin: ShardId(origin), wait_for_ack, grant };
    ChannelPlan { stream: SUBSCRIBED, label: "chat".to_owned(), delivery, role }
}

/// A connected client on a shard that has a section for data channels.
fn member(sim: &mut Sim, shard: u8, way: Way) -> PeerKey {
    let peer = sim.join(shard, way);
    sim.establish_channels(peer);
    peer
}

/// Gives a client a channel of the plan and opens it at the client with the agreed stream.
fn open(sim: &mut Sim, peer: PeerKey, plan: ChannelPlan) {
    let (stream, now) = (plan.stream, sim.now);
    let ordered = plan.delivery.ordered;
    let retransmits = match plan.delivery.reliability {
        Reliability::Retransmits(times) => Some(times),
        Reliability::Reliable | Reliability::Lifetime(_) => None,
    };
    sim.plan_channels(peer, |channels| channels.list.push(plan));
    let setup = ChannelSetup { label: "chat", stream: Some(stream), ordered, retransmits };
    sim.peer_mut(peer).client.open_channel(now, &setup);
}

fn await_open(sim: &mut Sim, peers: &[PeerKey], label: &str) {
    let all_open = |sim: &mut Sim| {
        let open = |peer: &PeerKey| sim.peer(*peer).client.channel(label).is_some_and(|one| one.is_open);
        peers.iter().all(open)
    };
    assert!(sim.run_until_that(30 * SECOND, all_open), "{label} does not open at all of {peers:?}");
    // Both ends of every channel, and what shards tell each other of it.
    sim.run_for(200 * MS);
}

fn send(sim: &mut Sim, peer: PeerKey, label: &str, text: &str) {
    let now = sim.now;
    assert!(sim.peer_mut(peer).client.send_message(now, label, false, text.as_bytes()));
}

fn texts(sim: &Sim, peer: PeerKey, label: &str) -> Vec<String> {
    let received = &sim.peer(peer).client.channel(label).unwrap().received;
    received.iter().map(|(_, payload)| String::from_utf8(payload.clone()).unwrap()).collect()
}

/// Sends numbered messages of one size, as fast as the client takes them.
fn send_numbered(sim: &mut Sim, peer: PeerKey, range: std::ops::Range<u32>, len: usize) {
    for number in range {
        let mut payload = vec![0; len];
        payload[..4].copy_from_slice(&number.to_be_bytes());
        let taken = |sim: &mut Sim| {
            let now = sim.now;
            sim.peer_mut(peer).client.send_message(now, "chat", true, &payload)
        };
        assert!(sim.run_until_that(10 * SECOND, taken), "message {number} is not taken");
    }
}

fn numbers(sim: &Sim, peer: PeerKey) -> Vec<u32> {
    let received = &sim.peer(peer).client.channel("chat").unwrap().received;
    received.iter().map(|(_, payload)| u32::from_be_bytes(payload[..4].try_into().unwrap())).collect()
}

fn dropped(sim: &mut Sim, reason: ChannelDrop) -> u64 {
    sim.counted(|counters| counters.channel_dropped[reason as usize])
}

fn told(sim: &Sim, peer: PeerKey, stream: u16, state: ChannelState) -> usize {
    let session = sim.peer(peer).session;
    let is_it = |event: &Event| matches!(event, Event::Channel(id, of, what) if *id == session && *of == stream && *what == state);
    sim.told(is_it).len()
}

/// A publisher on shard 0 and one subscriber on each of the shards.
fn audience(sim: &mut Sim, subscribers: &[u8], way: Way, delivery: Delivery) -> (PeerKey, Vec<PeerKey>) {
    let publisher = member(sim, 0, Way::clean(10));
    let subscribers: Vec<PeerKey> = subscribers.iter().map(|shard| member(sim, *shard, way)).collect();
    open(sim, publisher, published(delivery));
    for subscriber in &subscribers {
        open(sim, *subscriber, subscribed(0, delivery, false, None));
    }
    let all: Vec<PeerKey> = [publisher].into_iter().chain(subscribers.iter().copied()).collect();
    await_open(sim, &all, "chat");
    (publisher, subscribers)
}

#[test]
fn messages_reach_every_subscriber_on_every_shard_whole_and_in_order() {
    let mut sim = Sim::new(3, 301);
    let (publisher, subscribers) = audience(&mut sim, &[0, 1, 2, 2], Way::clean(20), RELIABLE);
    let sizes = [1, 2, 1_199, 1_200, 1_201, 65_535, 65_536, 100_000];
    let sent: Vec<(bool, Vec<u8>)> =
        sizes.iter().zip(1u8..).map(|(len, number)| (number % 2 == 0, vec![b'a' + number; *len])).collect();
    for (binary, payload) in &sent {
        let taken = |sim: &mut Sim| {
            let now = sim.now;
            sim.peer_mut(publisher).client.send_message(now, "chat", *binary, payload)
        };
        assert!(sim.run_until_that(10 * SECOND, taken));
    }
    sim.run_for(10 * SECOND);
    for subscriber in &subscribers {
        let received = &sim.peer(*subscriber).client.channel("chat").unwrap().received;
        assert_eq!(received.len(), sent.len());
        assert!(*received == sent);
    }
    let count = sizes.len() as u64;
    let messages = sim.counted(|counters| {
        let messages = &counters.channel_messages;
        messages.of(Direction::Ingress) * 1_000 + messages.of(Direction::Egress)
    });
    assert_eq!(messages, count * 1_000 + count * 4);
    assert_eq!(sim.peer(publisher).client.channel("chat").unwrap().received.len(), 0);
}

#[test]
fn a_subscriber_is_told_open_when_what_is_published_reaches_it_and_not_before() {
    let mut sim = Sim::new(2, 314);
    let publisher = member(&mut sim, 0, Way::clean(10));
    let [near, far, later] = [0, 1, 1].map(|shard| member(&mut sim, shard, Way::clean(10)));
    open(&mut sim, publisher, published(RELIABLE));
    sim.behind = Some(ShardId(0));
    open(&mut sim, near, subscribed(0, RELIABLE, false, None));
    open(&mut sim, far, subscribed(0, RELIABLE, false, None));
    await_open(&mut sim, &[publisher, near, far], "chat");
    let open_at = |sim: &Sim, peer| told(sim, peer, SUBSCRIBED, ChannelState::Open);
    assert_eq!((open_at(&sim, near), open_at(&sim, far)), (1, 0));
    send(&mut sim, publisher, "chat", "early");
    sim.run_for(SECOND);
    assert_eq!((texts(&sim, near, "chat").len(), texts(&sim, far, "chat").len()), (1, 0));
    sim.behind = None;
    open(&mut sim, later, subscribed(0, RELIABLE, false, None));
    await_open(&mut sim, &[later], "chat");
    assert_eq!((open_at(&sim, far), open_at(&sim, later)), (1, 1));
    send(&mut sim, publisher, "chat", "now");
    sim.run_for(SECOND);
    assert_eq!(texts(&sim, near, "chat"), ["early", "now"]);
    assert_eq!(
        (texts(&sim, far, "chat"), texts(&sim, later, "chat")),
        (vec!["now".into()], vec!["now".into()])
    );
}

#[test]
fn a_lossy_way_delays_reliable_messages_and_loses_none() {
    let mut sim = Sim::new(2, 302);
    let lossy = Way::both(LinkSpec::clean(30).with_loss(0.1).with_jitter(10));
    let (publisher, subscribers) = audience(&mut sim, &[0, 1], lossy, RELIABLE);
    send_numbered(&mut sim, publisher, 0..500, 900);
    sim.run_for(60 * SECOND);
    for subscriber in subscribers {
        assert!(sim.peer(subscriber).down.lost > 20, "the way lost next to nothing");
        assert_eq!(numbers(&sim, subscriber), (0..500).collect::<Vec<u32>>());
    }
}

#[test]
fn a_channel_that_may_lose_gives_up_on_messages_and_keeps_their_order() {
    let mut sim = Sim::new(2, 303);
    let lossy = Way::both(LinkSpec::clean(30).with_loss(0.2));
    let delivery = Delivery { ordered: true, reliability: Reliability::Retransmits(0) };
    let (publisher, subscribers) = audience(&mut sim, &[1], lossy, delivery);
    for number in 0..300 {
        send_numbered(&mut sim, publisher, number..number + 1, 900);
        sim.run_for(20 * MS);
    }
    // Timers of SCTP double up to a minute while the way takes what they repeat (RFC 9260 6.3.1).
    sim.run_for(180 * SECOND);
    let received = numbers(&sim, subscribers[0]);
    assert!((100..300).contains(&received.len()), "{}", received.len());
    assert!(received.is_sorted());
    // It goes on after the losses.
    assert!(received.last().is_some_and(|last| *last >= 290), "{received:?}");
}

#[test]
fn channels_opened_in_band_join_those_of_their_label_within_their_group() {
    let mut sim = Sim::new(2, 304);
    let peers: Vec<PeerKey> =
        [0, 0, 1, 1].iter().map(|shard| member(&mut sim, *shard, Way::clean(10))).collect();
    for (number, peer) in peers.iter().enumerate() {
        // The last one is in no group.
        if number < 3 {
            sim.plan_channels(*peer, |channels| channels.group = Some(GROUP));
        }
        let now = sim.now;
        sim.peer_mut(*peer).client.open_channel(now, &ChannelSetup::reliable("room", None));
        sim.peer_mut(*peer).client.open_channel(now, &ChannelSetup::reliable("other", None));
    }
    await_open(&mut sim, &peers, "room");
    await_open(&mut sim, &peers, "other");
    for (number, peer) in peers.iter().enumerate() {
        send(&mut sim, *peer, "room", &format!("from {number}"));
        sim.run_for(100 * MS);
    }
    let room = |sim: &Sim, number: usize| texts(sim, peers[number], "room");
    assert_eq!(room(&sim, 0), ["from 1", "from 2"]);
    assert_eq!(room(&sim, 1), ["from 0", "from 2"]);
    assert_eq!(room(&sim, 2), ["from 0", "from 1"]);
    assert_eq!(room(&sim, 3), [""; 0]);
    assert!(peers.iter().all(|peer| texts(&sim, *peer, "other").is_empty()));
    assert_eq!(dropped(&mut sim, ChannelDrop::Unaddressed), 1);
    // One leaves the group, and its channel stays; one closes its channel; one joins.
    sim.plan_channels(peers[0], |channels| channels.group = None);
    let now = sim.now;
    sim.peer_mut(peers[1]).client.close_channel(now, "room");
    sim.plan_channels(peers[3], |channels| channels.group = Some(GROUP));
    sim.run_for(SECOND);
    send(&mut sim, peers[2], "room", "later");
    send(&mut sim, peers[0], "room", "unheard");
    sim.run_for(SECOND);
    assert_eq!(room(&sim, 0).len() + room(&sim, 1).len(), 4);
    assert_eq!(room(&sim, 2).len(), 2);
    assert_eq!(room(&sim, 3), ["later"]);
}

#[test]
fn a_subscriber_that_is_waited_for_hears_nothing_before_its_first_message() {
    let mut sim = Sim::new(2, 305);
    let publisher = member(&mut sim, 0, Way::clean(10));
    let subscriber = member(&mut sim, 1, Way::clean(10));
    open(&mut sim, publisher, published(RELIABLE));
    open(&mut sim, subscriber, subscribed(0, RELIABLE, true, Some(1)));
    await_open(&mut sim, &[publisher, subscriber], "chat");
    send(&mut sim, publisher, "chat", "too early");
    sim.run_for(SECOND);
    assert_eq!(dropped(&mut sim, ChannelDrop::NotOpen), 1);
    send(&mut sim, subscriber, "chat", "ready");
    sim.run_for(SECOND);
    send(&mut sim, publisher, "chat", "now");
    send(&mut sim, subscriber, "chat", "a reply");
    sim.run_for(2 * ACK_PATIENCE);
    assert_eq!(texts(&sim, subscriber, "chat"), ["now"]);
    // Its first message was meant for us alone.
    assert_eq!(texts(&sim, publisher, "chat"), ["a reply"]);
    assert_eq!(told(&sim, subscriber, SUBSCRIBED, ChannelState::Ended), 0);
}

#[test]
fn a_subscriber_that_is_waited_for_in_vain_ends_when_its_time_is_over() {
    let mut sim = Sim::new(2, 306);
    let publisher = member(&mut sim, 0, Way::clean(10));
    let [patient, other] = [1, 1].map(|shard| member(&mut sim, shard, Way::clean(10)));
    open(&mut sim, publisher, published(RELIABLE));
    open(&mut sim, patient, subscribed(0, RELIABLE, true, None));
    open(&mut sim, other, subscribed(0, RELIABLE, false, None));
    await_open(&mut sim, &[publisher, patient, other], "chat");
    let session = sim.peer(patient).session;
    let opened = sim
        .told(|event| matches!(event, Event::Channel(id, SUBSCRIBED, ChannelState::Open) if *id == session));
    sim.run_until(opened[0] + ACK_PATIENCE - MS);
    assert_eq!(told(&sim, patient, SUBSCRIBED, ChannelState::Ended), 0);
    sim.run_until(opened[0] + ACK_PATIENCE + MS);
    assert_eq!(told(&sim, patient, SUBSCRIBED, ChannelState::Ended), 1);
    sim.run_for(SECOND);
    assert!(sim.peer(patient).client.channel("chat").unwrap().is_closed);
    assert_eq!(sim.counted(|counters| counters.channels_ended.of(ChannelEnd::Unacknowledged)), 1);
    send(&mut sim, publisher, "chat", "on we go");
    sim.run_for(SECOND);
    assert_eq!(texts(&sim, other, "chat"), ["on we go"]);
}

#[test]
fn only_the_newest_grant_may_reply() {
    let mut sim = Sim::new(2, 307);
    let publisher = member(&mut sim, 0, Way::clean(10));
    let [mute, former, holder] = [1, 0, 1].map(|shard| member(&mut sim, shard, Way::clean(10)));
    open(&mut sim, publisher, published(RELIABLE));
    open(&mut sim, mute, subscribed(0, RELIABLE, false, None));
    open(&mut sim, former, subscribed(0, RELIABLE, false, Some(1)));
    await_open(&mut sim, &[publisher, mute, former], "chat");
    send(&mut sim, former, "chat", "first");
    sim.run_for(SECOND);
    open(&mut sim, holder, subscribed(0, RELIABLE, false, Some(2)));
    await_open(&mut sim, &[holder], "chat");
    for (peer, text) in [(mute, "mute"), (former, "former"), (holder, "holder")] {
        send(&mut sim, peer, "chat", text);
    }
    sim.run_for(SECOND);
    assert_eq!(texts(&sim, publisher, "chat"), ["first", "holder"]);
    assert_eq!(dropped(&mut sim, ChannelDrop::NotGranted), 2);
    // Replies reach the publisher alone.
    assert!([mute, former, holder].iter().all(|peer| texts(&sim, *peer, "chat").is_empty()));
}

#[test]
fn the_end_of_a_publisher_ends_its_subscribers_and_nothing_else() {
    for leaves in [false, true] {
        let mut sim = Sim::new(2, 308);
        let (publisher, subscribers) = audience(&mut sim, &[0, 1], Way::clean(10), RELIABLE);
        if leaves {
            sim.leave(publisher);
        } else {
            sim.plan_channels(publisher, |channels| channels.list.clear());
        }
        sim.run_for(SECOND);
        for subscriber in &subscribers {
            assert_eq!(told(&sim, *subscriber, SUBSCRIBED, ChannelState::Ended), 1);
            assert!(sim.peer(*subscriber).client.channel("chat").unwrap().is_closed);
            assert!(sim.peer(*subscriber).client.is_ice_connected());
        }
        assert_eq!(sim.sizes().hubs, 0);
    }
}

#[test]
fn a_reader_that_stands_still_loses_its_reliable_channel_and_no_other_reader_notices() {
    let mut sim = Sim::new(2, 309);
    let (publisher, subscribers) = audience(&mut sim, &[0, 1, 1], Way::clean(10), RELIABLE);
    let (slow, others) = (subscribers[1], [subscribers[0], subscribers[2]]);
    sim.peer_mut(slow).down.cut = true;
    send_numbered(&mut sim, publisher, 0..100, 64 * 1024);
    sim.run_for(5 * SECOND);
    assert_eq!(told(&sim, slow, SUBSCRIBED, ChannelState::Ended), 1);
    assert_eq!(sim.counted(|counters| counters.channels_ended.of(ChannelEnd::Slow)), 1);
    for other in others {
        assert_eq!(numbers(&sim, other), (0..100).collect::<Vec<u32>>());
    }
    // It can be heard again: with a new channel, on a stream that is free.
    sim.peer_mut(slow).down.cut = false;
    sim.run_for(10 * SECOND);
    assert_eq!(told(&sim, slow, SUBSCRIBED, ChannelState::Free), 1);
    let now = sim.now;
    sim.plan_channels(slow, |channels| {
        channels.list = vec![ChannelPlan {
            stream: 6,
            label: "again".to_owned(),
            ..subscribed(0, RELIABLE, false, None)
        }];
    });
    sim.peer_mut(slow).client.open_channel(now, &ChannelSetup::reliable("again", Some(6)));
    await_open(&mut sim, &[slow], "again");
    send(&mut sim, publisher, "chat", "welcome back");
    sim.run_for(SECOND);
    assert_eq!(texts(&sim, slow, "again"), ["welcome back"]);
}

#[test]
fn a_reader_that_stands_still_misses_messages_of_a_channel_that_may_lose_them() {
    let mut sim = Sim::new(2, 310);
    let delivery = Delivery { ordered: true, reliability: Reliability::Retransmits(3) };
    let (publisher, subscribers) = audience(&mut sim, &[1, 1], Way::clean(10), delivery);
    let (slow, other) = (subscribers[0], subscribers[1]);
    sim.peer_mut(slow).down.cut = true;
    send_numbered(&mut sim, publisher, 0..100, 64 * 1024);
    sim.run_for(SECOND);
    assert_eq!(numbers(&sim, other), (0..100).collect::<Vec<u32>>());
    let slow_drops = dropped(&mut sim, ChannelDrop::Slow);
    assert!(slow_drops > 50, "{slow_drops}");
    sim.peer_mut(slow).down.cut = false;
    sim.run_for(10 * SECOND);
    send_numbered(&mut sim, publisher, 100..101, 100);
    sim.run_for(10 * SECOND);
    assert_eq!(told(&sim, slow, SUBSCRIBED, ChannelState::Ended), 0);
    assert_eq!(numbers(&sim, slow).last(), Some(&100));
}

#[test]
fn channels_of_the_plan_outlive_the_transport() {
    let mut sim = Sim::new(2, 311);
    let publisher = member(&mut sim, 0, Way::clean(10));
    let voice = sim.join(1, Way::clean(10));
    let track = sim.publish(voice, &[Media::audio()]).remove(0);
    open(&mut sim, publisher, published(RELIABLE));
    // A client that pulls: its section for channels is in an offer of ours, which it can take again.
    let subscriber = sim.join(1, Way::clean(10));
    sim.peer_mut(subscriber).negotiation.offer_application().unwrap();
    sim.subscribe(subscriber, &[&track]);
    open(&mut sim, subscriber, subscribed(0, RELIABLE, false, None));
    await_open(&mut sim, &[publisher, subscriber], "chat");
    send(&mut sim, publisher, "chat", "before");
    sim.run_for(SECOND);
    assert_eq!(texts(&sim, subscriber, "chat"), ["before"]);
    sim.hang_up(subscriber);
    sim.run_for(100 * MS);
    sim.come_back(subscriber);
    let now = sim.now;
    let setup = ChannelSetup::reliable("chat", Some(SUBSCRIBED));
    sim.peer_mut(subscriber).client.open_channel(now, &setup);
    await_open(&mut sim, &[subscriber], "chat");
    send(&mut sim, publisher, "chat", "after");
    sim.run_for(SECOND);
    assert_eq!(texts(&sim, subscriber, "chat"), ["after"]);
    assert_eq!(told(&sim, subscriber, SUBSCRIBED, ChannelState::Ended), 0);
}

#[test]
fn a_flood_does_not_fill_the_lane_between_shards_for_media() {
    let mut sim = Sim::new(2, 312);
    let (publisher, subscribers) = audience(&mut sim, &[0, 1], Way::clean(1), RELIABLE);
    let voice = member(&mut sim, 0, Way::clean(5));
    let track = sim.publish(voice, &[Media::audio()]).remove(0);
    let listener = sim.join(1, Way::clean(5));
    sim.subscribe(listener, &[&track]);
    sim.run_for(SECOND);
    // Room in the window first, then more small messages at a time than a lane carries.
    send_numbered(&mut sim, publisher, 0..200, 16 * 1024);
    sim.run_for(SECOND);
    for burst in 0..2 {
        let now = sim.now;
        for number in 0..4_000u32 {
            let payload = (burst * 4_000 + number).to_be_bytes();
            sim.peer_mut(publisher).client.send_message(now, "chat", true, &payload);
        }
        sim.run_for(200 * MS);
    }
    sim.run_for(5 * SECOND);
    let overflowed = dropped(&mut sim, ChannelDrop::LaneFull);
    assert!(overflowed > 0);
    // Who may lose nothing and lost something ends; who is on the publisher's shard does not.
    assert_eq!(told(&sim, subscribers[1], SUBSCRIBED, ChannelState::Ended), 1);
    assert_eq!(told(&sim, subscribers[0], SUBSCRIBED, ChannelState::Ended), 0);
    sim.pause_sources();
    sim.run_for(SECOND);
    sim.account(listener, &track).assert_complete();
}

#[test]
fn members_come_and_go_and_leave_nothing_behind() {
    let mut sim = Sim::new(3, 313);
    let publisher = member(&mut sim, 0, Way::clean(5));
    sim.plan_channels(publisher, |channels| channels.group = Some(GROUP));
    open(&mut sim, publisher, published(RELIABLE));
    let now = sim.now;
    sim.peer_mut(publisher).client.open_channel(now, &ChannelSetup::reliable("room", None));
    await_open(&mut sim, &[publisher], "room");
    for round in 0..40u8 {
        let peers: Vec<PeerKey> =
            (0..5).map(|number| member(&mut sim, (round + number) % 3, Way::clean(5))).collect();
        for peer in &peers {
            sim.plan_channels(*peer, |channels| channels.group = Some(GROUP));
            open(&mut sim, *peer, subscribed(0, RELIABLE, false, None));
            let now = sim.now;
            sim.peer_mut(*peer).client.open_channel(now, &ChannelSetup::reliable("room", None));
        }
        await_open(&mut sim, &peers, "room");
        await_open(&mut sim, &peers, "chat");
        send(&mut sim, publisher, "chat", "to all");
        send(&mut sim, peers[0], "room", "to each other");
        sim.run_for(100 * MS);
        assert!(peers.iter().all(|peer| texts(&sim, *peer, "chat") == ["to all"]));
        assert!(peers[1..].iter().all(|peer| texts(&sim, *peer, "room") == ["to each other"]));
        peers.into_iter().for_each(|peer| sim.leave(peer));
        sim.run_for(100 * MS);
    }
    assert_eq!(texts(&sim, publisher, "room").len(), 40);
    sim.leave(publisher);
    sim.run_for(SECOND);
    assert_eq!(sim.sizes(), TableSizes::default());
    assert_eq!(sim.counted(|counters| counters.channels), 0);
}
