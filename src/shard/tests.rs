//! Properties of a shard that need no media: refusal, isolation, ends.

mod behind;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::command::{Command, EndReason, Event, ShardLimits};
use super::lanes::channels::ChannelMessage;
use super::tracks::{Drink, Feed, StreamSink};
use super::*;
use crate::drop::DropReason;
use crate::ids::{ChannelId, NodeKeys, PublicationId};
use crate::net::Datagram;
use crate::plan::{LayerPreference, Ordering, PayloadForm, PayloadMap};
use crate::router::channel::HubId;
use crate::router::subscription::{Forwarding, Subscription};
use crate::rtp::{Codec, MediaKind, Packet, PassedExtensions};
use crate::session::Session;

fn shard(sessions: usize) -> (Shard, Arc<NodeKeys>) {
    let keys = Arc::new(NodeKeys::generate());
    (make(0, sessions, &keys, Mailbox::join(1).pop().unwrap()), keys)
}

fn make(id: u8, sessions: usize, keys: &Arc<NodeKeys>, mailbox: Mailbox) -> Shard {
    let setup = ShardSetup {
        id: ShardId(id),
        candidates: vec!["192.0.2.1:40000".parse().unwrap()],
        tcp_candidates: Vec::new(),
        certificate: Certificate::generate().unwrap(),
        keys: Arc::clone(keys),
        limits: ShardLimits {
            never_connected: Duration::from_secs(60),
            disconnected: Duration::from_secs(30),
            publication_idle: Duration::from_secs(30),
            sessions,
        },
        clock: WallClock::new(start(), Duration::from_secs(1_800_000_000)),
        random: Random::from_number(1),
    };
    Shard::new(setup, mailbox)
}

#[expect(
    clippy::disallowed_methods,
    reason = "an instant can only be had from the clock; time then stands still"
)]
fn start() -> Instant {
    Instant::now()
}

fn source() -> SocketAddr {
    "198.51.100.7:5000".parse().unwrap()
}

fn dropped(shard: &mut Shard, reason: DropReason) -> u64 {
    shard.counters().dropped[reason as usize]
}

#[test]
fn a_panic_inside_one_session_ends_that_session_alone() {
    let (mut shard, keys) = shard(10);
    let now = start();
    let mut outbox = Outbox::new(1 << 16);
    let ids = [keys.mint_session(ShardId(0)), keys.mint_session(ShardId(0))];
    for session in ids {
        shard.handle_command(
            now,
            Command::Open { session, dialled: Vec::new(), credentials: None },
            &mut outbox,
        );
    }
    let key = shard.sessions.key_of(&ids[0]).unwrap();
    let result: Result<(), DropReason> =
        shard.with_session(now, key, &mut outbox, |_, _, _| panic!("made to fail"));
    assert_eq!(result, Err(DropReason::Refused));
    assert_eq!(shard.counters().session_failures, 1);
    assert_eq!(shard.sizes().sessions, 1);
    assert!(matches!(shard.poll_event(), Some(Event::Ended(id, EndReason::Failed)) if id == ids[0]));
    assert!(shard.sessions.key_of(&ids[1]).is_some());
}

#[test]
fn what_belongs_to_nobody_is_dropped_with_its_reason() {
    let (mut shard, keys) = shard(10);
    let now = start();
    let mut outbox = Outbox::new(1 << 16);
    let mut give = |shard: &mut Shard, payload: &[u8]| {
        shard.handle_datagram(
            now,
            Datagram { socket: SocketIndex::bound(0), source: source(), payload, ecn: 0, arrived: now },
            &mut outbox,
        );
    };
    give(&mut shard, &[]);
    give(&mut shard, &[0x80; DATAGRAM_BYTES_MAX + 1]);
    assert_eq!(dropped(&mut shard, DropReason::Size), 2);
    give(&mut shard, &[200, 1, 2, 3]);
    assert_eq!(dropped(&mut shard, DropReason::UnknownProtocol), 1);
    for first in [22, 0x80, 0xbf] {
        give(&mut shard, &[first; 100]);
    }
    assert_eq!(dropped(&mut shard, DropReason::UnknownSource), 3);
    for len in 1..40 {
        give(&mut shard, &vec![0; len]);
    }
    assert_eq!(dropped(&mut shard, DropReason::BadStun), 39);
    give(&mut shard, &check("nobody"));
    assert_eq!(dropped(&mut shard, DropReason::ForeignUfrag), 1);
    give(&mut shard, &check(&keys.mint_ice(ShardId(0)).ufrag));
    assert_eq!(dropped(&mut shard, DropReason::UnknownUfrag), 1);
    assert!(outbox.is_empty(), "none of it is answered");
    assert_eq!(shard.sizes().paths, 0, "none of it leaves a trace");
}

/// A well-formed binding request for a user name, with an integrity code that is made up.
fn check(ufrag: &str) -> Vec<u8> {
    let name = format!("{ufrag}:peer");
    let mut attributes = vec![0, 6, 0, u8::try_from(name.len()).unwrap()];
    attributes.extend_from_slice(name.as_bytes());
    attributes.resize(attributes.len().next_multiple_of(4), 0);
    attributes.extend_from_slice(&[0, 0x24, 0, 4, 0, 0, 0, 1]);
    attributes.extend_from_slice(&[0, 8, 0, 20]);
    attributes.extend_from_slice(&[7; 20]);
    let mut message = vec![0, 1, 0, u8::try_from(attributes.len()).unwrap(), 0x21, 0x12, 0xa4, 0x42];
    message.extend_from_slice(&[9; 12]);
    message.extend_from_slice(&attributes);
    message
}

#[test]
fn a_session_that_never_connects_ends_exactly_when_its_time_is_over() {
    let (mut shard, keys) = shard(10);
    let now = start();
    let mut outbox = Outbox::new(1 << 16);
    let session = keys.mint_session(ShardId(0));
    shard.handle_command(now, Command::Open { session, dialled: Vec::new(), credentials: None }, &mut outbox);
    let end = now + Duration::from_secs(60);
    assert_eq!(shard.poll_timeout(), Some(end));
    shard.handle_timeout(end - Duration::from_millis(1), &mut outbox);
    assert_eq!(shard.sizes().sessions, 1);
    shard.handle_timeout(end, &mut outbox);
    assert_eq!(shard.sizes(), TableSizes::default());
    assert!(matches!(shard.poll_event(), Some(Event::Ended(id, EndReason::NeverConnected)) if id == session));
}

#[test]
fn sessions_beyond_the_bound_are_refused() {
    let (mut shard, keys) = shard(1);
    let now = start();
    let mut outbox = Outbox::new(1 << 16);
    for _ in 0..2 {
        let session = keys.mint_session(ShardId(0));
        shard.handle_command(
            now,
            Command::Open { session, dialled: Vec::new(), credentials: None },
            &mut outbox,
        );
    }
    assert_eq!(shard.sizes().sessions, 1);
    assert_eq!(dropped(&mut shard, DropReason::Overload), 1);
    assert!(matches!(shard.poll_event(), Some(Event::Ended(..))));
}

/// A packet of a stream.
fn packet(seq: u64) -> Packet {
    Packet {
        seq,
        timestamp: seq as u32 * 960,
        marker: false,
        payload_type: 111,
        extensions: PassedExtensions::default(),
        payload: b"x"[..].into(),
        received_at: start(),
        ecn: 0,
    }
}

#[test]
fn a_publisher_that_floods_takes_nothing_from_the_media_of_another_that_crosses() {
    let keys = Arc::new(NodeKeys::generate());
    let mut mail = Mailbox::join(2);
    let mut far = make(1, 10, &keys, mail.pop().unwrap());
    let mut near = make(0, 10, &keys, mail.pop().unwrap());
    let now = start();
    let mut outbox = Outbox::new(1 << 16);
    let publish = |near: &mut Shard, id| {
        let session = near.sessions.insert(Session::new(keys.mint_session(ShardId(0)), Box::default(), now));
        let key = near.tracks.publish(now, (id, MediaKind::Audio), session, &[], &mut near.ledger);
        let layer = near.tracks.layer_named(now, key, None, &mut near.ledger).unwrap();
        (key, layer)
    };
    let (loud, quiet) = (PublicationId(1), PublicationId(2));
    let (loud_feed, quiet_feed) = (publish(&mut near, loud), publish(&mut near, quiet));
    let viewer = far.sessions.insert(Session::new(keys.mint_session(ShardId(1)), Box::default(), now));
    for (id, stream) in [(loud, 0), (quiet, 1)] {
        let state = Subscription::new(MediaKind::Audio, Vec::new(), LayerPreference::default(), 0, 0);
        let sink = StreamSink::new(viewer, stream, state, Vec::new());
        far.tracks.subscribe(now, (id, MediaKind::Audio, ShardId(0)), sink, &mut far.ledger);
    }
    let mut turn = |shard: &mut Shard| {
        shard.handle_mail(now, 100_000);
        shard.flush(now, &mut outbox, &mut Outbox::clear);
    };
    turn(&mut far);
    turn(&mut near);
    let taken = |far: &Shard, id| {
        let slot = far.tracks.key_of(id).and_then(|key| far.tracks.publication(key)).unwrap();
        slot.state.layers(now).map(|(_, view)| view.packets).sum::<u64>()
    };
    // The far shard does not get to its mail for a second, in which the near one takes a thousand turns.
    for round in 0..1000 {
        for flood in 0..100 {
            let ssrc = round * 100 + flood;
            let contents = (Codec::Opus, packet(u64::from(flood)));
            let feed = Feed { ssrc, clock_rate: 48_000 };
            if flood < 2 {
                near.tracks.ingest(now, loud_feed, feed, contents, &mut near.ledger);
            }
            near.tracks.take_clock(now, std::iter::once(loud_feed.0), ssrc, (1, 1));
        }
        if round % 20 == 0 {
            let feed = Feed { ssrc: 1, clock_rate: 48_000 };
            let contents = (Codec::Opus, packet(u64::from(round / 20)));
            near.tracks.ingest(now, quiet_feed, feed, contents, &mut near.ledger);
        }
        turn(&mut near);
    }
    turn(&mut far);
    assert_eq!(taken(&far, quiet), 50, "each packet of the other has arrived");
    assert_eq!(taken(&far, loud), 2000);
    assert!(!near.is_held_back());
    assert_eq!(dropped(&mut near, DropReason::LaneFull), 0);
}

#[test]
fn who_follows_a_layer_that_its_publisher_gives_up_follows_another_at_once() {
    let (mut shard, keys) = shard(10);
    let now = start();
    let session = shard.sessions.insert(Session::new(keys.mint_session(ShardId(0)), Box::default(), now));
    let viewer = shard.sessions.insert(Session::new(keys.mint_session(ShardId(0)), Box::default(), now));
    let named = (PublicationId(1), MediaKind::Video);
    let rids = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let Shard { tracks, ledger, .. } = &mut shard;
    let key = tracks.publish(now, named, session, &rids(&["f", "h"]), ledger);
    let layers = ["f", "h"].map(|rid| tracks.layer_named(now, key, Some(rid), ledger).unwrap());
    let preference = LayerPreference {
        preferred_rid: Some("h".to_owned()),
        rid_not_available: Ordering::Asciibetical,
        ..LayerPreference::default()
    };
    let types = vec![PayloadMap {
        from: 111,
        to: 96,
        rtx: None,
        codec: Codec::Vp8,
        clock_rate: 90_000,
        form: PayloadForm::Whole,
    }];
    let state = Subscription::new(MediaKind::Video, types.clone(), preference, 0, 0);
    let sink = StreamSink::new(viewer, 0, state, types);
    let subscription = tracks.subscribe(now, (named.0, named.1, ShardId(0)), sink, ledger);
    let keyframe =
        |seq| Packet { payload: [0x10, 0, 0, 0, 0x9d, 1, 0x2a, 0, 0, 0, 0][..].into(), ..packet(seq) };
    for (layer, ssrc) in layers.into_iter().zip(1..) {
        let feed = Feed { ssrc, clock_rate: 90_000 };
        tracks.ingest(now, (key, layer), feed, (Codec::Vp8, keyframe(1)), ledger);
    }
    tracks.look_for_layer(now, subscription, ledger);
    tracks.pour(key, ledger, |publication, sink, _, _| {
        for entry in publication.batch() {
            sink.state.rewrite(publication, entry);
        }
    });
    assert_eq!(tracks.stream_mut(subscription).unwrap().state.current_layer(), Some(layers[1]));
    tracks.publish(now, named, session, &rids(&["f"]), ledger);
    let state = &tracks.stream_mut(subscription).unwrap().state;
    assert_eq!((state.current_layer(), state.wanted_keyframe()), (None, Some(layers[0])));
}

#[test]
fn a_grant_that_comes_after_the_end_of_its_channel_leaves_nothing() {
    let keys = Arc::new(NodeKeys::generate());
    let mut mail = Mailbox::join(2);
    let mut far = mail.pop().unwrap();
    let mut near = make(0, 10, &keys, mail.pop().unwrap());
    let hub = HubId::Channel(ChannelId(7));
    far.channels.tell(ShardId(0), &hub, &ChannelMessage::Grant(1));
    far.channels.post().move_on();
    assert!(near.has_mail());
    near.handle_mail(start(), 10);
    assert!(!near.has_mail());
    assert_eq!(near.sizes(), TableSizes::default());
}

/// Brings every shard what the others have told it of addresses.
fn deliver(shards: &mut [Shard]) {
    for _ in 0..3 {
        shards.iter_mut().for_each(|shard| shard.addresses.post().move_on());
        for shard in &mut *shards {
            shard.handle_mail(start(), 100);
        }
    }
}

#[test]
fn the_later_of_two_proofs_of_an_address_holds_and_no_word_that_crosses_it_undoes_that() {
    let keys = Arc::new(NodeKeys::generate());
    let mail = Mailbox::join_on_one_port(3).into_iter().zip(0..);
    let mut shards: Vec<Shard> = mail.map(|(mail, id)| make(id, 10, &keys, mail)).collect();
    let sessions: Vec<_> = shards
        .iter_mut()
        .map(|shard| {
            shard.sessions.insert(Session::new(keys.mint_session(shard.id()), Box::default(), start()))
        })
        .collect();
    let at = |port| Source { socket: SocketIndex::bound(0), address: ([198, 51, 100, 7], port).into() };
    // What proves it always lands on the first shard.
    let prove = |shards: &mut [Shard], shard: usize, source: Source| {
        let landing = shards[0].addresses.land();
        shards[shard].addresses.prove(source, sessions[shard], landing);
    };
    let holders = |shards: &[Shard], source: Source| -> Vec<usize> {
        (0..3).filter(|shard| shards[*shard].addresses.session_at(&source).is_some()).collect()
    };
    let (contested, own, quiet) = (at(1), at(2), at(3));
    prove(&mut shards, 2, quiet);
    prove(&mut shards, 1, contested);
    deliver(&mut shards);
    prove(&mut shards, 2, contested);
    shards[2].addresses.post().move_on();
    shards[0].handle_mail(start(), 100);
    // Before the former holder hears that it has lost the address, its client is heard there again.
    prove(&mut shards, 1, contested);
    deliver(&mut shards);
    assert_eq!(holders(&shards, contested), [1]);
    assert_eq!(shards[0].addresses.owner_elsewhere(&contested), Some(ShardId(1)));
    prove(&mut shards, 2, contested);
    deliver(&mut shards);
    assert_eq!(holders(&shards, contested), [2]);
    // The same where the shard on which it lands has the address.
    prove(&mut shards, 0, own);
    prove(&mut shards, 1, own);
    prove(&mut shards, 0, own);
    deliver(&mut shards);
    assert_eq!(holders(&shards, own), [0]);
    prove(&mut shards, 1, own);
    deliver(&mut shards);
    assert_eq!(holders(&shards, own), [1]);
    assert_eq!(holders(&shards, quiet), [2]);
    assert_eq!(shards[0].addresses.owner_elsewhere(&quiet), Some(ShardId(2)));
}

fn opus() -> PayloadMap {
    let (codec, form) = (Codec::Opus, PayloadForm::Whole);
    PayloadMap { from: 111, to: 111, rtx: None, codec, clock_rate: 48_000, form }
}

#[test]
fn who_is_held_back_for_want_of_room_gets_every_packet_once_and_nobody_else_waits() {
    let (mut shard, keys) = shard(10);
    let begin = start();
    let mut session =
        || shard.sessions.insert(Session::new(keys.mint_session(ShardId(0)), Box::default(), begin));
    let (publisher, viewer) = (session(), session());
    let Shard { tracks, ledger, .. } = &mut shard;
    let named = (PublicationId(1), MediaKind::Audio);
    let key = tracks.publish(begin, named, publisher, &[], ledger);
    let layer = tracks.layer_named(begin, key, None, ledger).unwrap();
    let types = vec![opus()];
    // The first is held back for a while, the second is a bystander.
    for stream in 0..2 {
        let state = Subscription::new(MediaKind::Audio, types.clone(), LayerPreference::default(), 7, 7);
        let sink = StreamSink::new(viewer, stream, state, types.clone());
        let subscription = tracks.subscribe(begin, (named.0, named.1, ShardId(0)), sink, ledger);
        tracks.begin(begin, subscription, ledger);
    }
    let feed = Feed { ssrc: 1, clock_rate: 48_000 };
    let mut got: [Vec<(u64, u64, u64)>; 2] = Default::default();
    for ms in (0..2_000_u64).step_by(5) {
        let now = begin + Duration::from_millis(ms);
        let has_room = |stream| stream == 1 || !(300..450).contains(&ms) && !(455..460).contains(&ms);
        // A packet each ten milliseconds; one of them comes late, when the first viewer is held back before it and behind.
        let seqs = match (ms / 10, ms % 10) {
            (31, 0) => vec![],
            (36, 0) => vec![36, 31],
            (ten, 0) if ten < 150 => vec![ten],
            _ => vec![],
        };
        for seq in seqs {
            let packet = Packet { received_at: now, ..packet(seq) };
            tracks.ingest(now, (key, layer), feed, (Codec::Opus, packet), ledger);
        }
        let dirty = tracks.take_dirty();
        for key in &dirty {
            tracks.pour(*key, ledger, |publication, sink, _, ledger| {
                if !sink.is_open() {
                    return;
                }
                if !has_room(sink.stream) {
                    return sink.turn_away(DropReason::Held, publication.batch().len(), ledger);
                }
                for entry in publication.batch() {
                    let Forwarding::Forward(out) = sink.state.rewrite(publication, entry) else { panic!() };
                    got[sink.stream].push((entry.cached.packet.seq, out.index, ms));
                }
            });
            tracks.hold_back(now, *key);
        }
        tracks.end_tick(dirty);
        tracks.catch_up(now, ledger, |publication, sink, entry, _| {
            if !has_room(sink.stream) {
                return Drink::Later;
            }
            let Forwarding::Forward(out) = sink.state.rewrite(publication, entry) else { panic!() };
            got[sink.stream].push((entry.cached.packet.seq, out.index, ms));
            Drink::Taken
        });
    }
    let [held, bystander] = got;
    let packets = |got: &[(u64, u64, u64)]| got.iter().map(|one| (one.0, one.1)).collect::<BTreeSet<_>>();
    assert_eq!(packets(&held), packets(&bystander), "the same packets under the same numbers");
    assert_eq!((held.len(), bystander.len()), (150, 150), "each once");
    let indices: Vec<u64> = packets(&held).into_iter().map(|one| one.1).collect();
    assert!(indices.windows(2).all(|pair| pair[1] == pair[0] + 1), "without a gap: {indices:?}");
    assert!(held.iter().all(|(.., at)| !(300..450).contains(at)));
    assert!(held.is_sorted_by_key(|one| one.1), "in order, the late one among them: {held:?}");
    assert_eq!(bystander.last().unwrap().2, 1_490, "the bystander waits for nothing");
    assert_eq!(bystander.iter().filter(|(.., at)| (300..450).contains(at)).count(), 15);
    assert_eq!(dropped(&mut shard, DropReason::Held), 0);
}
