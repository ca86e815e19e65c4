//! Properties of the whole way from packet to index under random loss, order, padding, changes and wishes.

use std::collections::{BTreeSet, HashMap};

use super::LayerIndex;
use super::fixture::{Xorshift, at_ms, packet, vp8};
use super::publication::{BatchEntry, Publication, SenderClock};
use super::segment::HISTORY;
use super::subscription::{Forwarding, Subscription};
use crate::ids::PublicationId;
use crate::plan::{LayerPreference, Ordering, PayloadForm, PayloadMap};
use crate::rtp::{Codec, MediaKind, Packet, Rewritten};

/// What makes a packet of a stream itself and not another one: where it came from, and its header.
type Identity = (PublicationId, LayerIndex, u32, u64, Rewritten);

const RIDS: [&str; 3] = ["f", "h", "q"];

/// A publisher of three layers, the network to the node, and one subscription.
struct World {
    random: Xorshift,
    publication: Publication,
    subscription: Subscription,
    ms: u64,
    sources: [Source; 3],
    in_flight: Vec<(usize, Packet)>,
    /// All that left under the present keys.
    sent: HashMap<u64, Identity>,
    newest_timestamp: Option<u32>,
    forwarded: u64,
}

#[derive(Clone, Copy)]
struct Source {
    seq: u64,
    timestamp: u32,
    picture_id: u16,
}

impl Source {
    fn random(random: &mut Xorshift) -> Self {
        Self {
            seq: 10_000 + random.below(1 << 20),
            timestamp: u32::try_from(random.below(1 << 32)).unwrap(),
            picture_id: u16::try_from(random.below(1 << 15)).unwrap(),
        }
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Xorshift::new(seed);
        let sources = [0; 3].map(|_| Source::random(&mut random));
        let first_seq = u16::try_from(random.below(1 << 15)).unwrap();
        let subscription =
            Subscription::new(MediaKind::Video, maps(true, 10), LayerPreference::default(), first_seq, 1);
        let mut world = Self {
            random,
            publication: Publication::new(PublicationId(0), MediaKind::Video),
            subscription,
            ms: 0,
            sources,
            in_flight: Vec::new(),
            sent: HashMap::new(),
            newest_timestamp: None,
            forwarded: 0,
        };
        world.name_layers();
        world
    }

    fn name_layers(&mut self) {
        for rid in RIDS {
            self.publication.layer_index(Some(rid)).unwrap();
        }
    }

    /// The publisher sends one packet of a layer into the network.
    fn publish(&mut self, layer: usize, padding_percent: u64, keyframe_percent: u64) {
        let padding = self.random.chance(padding_percent);
        let keyframe = self.random.chance(keyframe_percent);
        let foreign = self.random.chance(2);
        let source = &mut self.sources[layer];
        source.seq += 1;
        if !padding {
            source.timestamp = source.timestamp.wrapping_add(3000);
            source.picture_id = source.picture_id.wrapping_add(1) & 0x7fff;
        }
        let payload = if padding { Vec::new() } else { vp8(keyframe, source.picture_id, 0, source.seq) };
        let mut packet = packet(source.seq, source.timestamp, &payload);
        packet.payload_type = if foreign { 97 } else { 96 };
        self.in_flight.push((layer, packet));
    }

    /// The network delivers one packet, which one is left to chance, perhaps twice or never.
    fn deliver(&mut self, loss_percent: u64, duplicate_percent: u64) {
        let chosen = self.random.index(self.in_flight.len());
        let (layer, mut packet) = if self.random.chance(duplicate_percent) {
            self.in_flight[chosen].clone()
        } else {
            self.in_flight.swap_remove(chosen)
        };
        if self.random.chance(loss_percent) {
            return;
        }
        packet.received_at = at_ms(self.ms);
        let layer = LayerIndex::at(layer).unwrap();
        self.publication.push(layer, Codec::Vp8, packet, at_ms(self.ms));
    }

    /// The subscription walks the batch.
    fn forward(&mut self) {
        let batch: Vec<BatchEntry> = self.publication.batch().to_vec();
        for entry in &batch {
            if let Forwarding::Forward(rewritten) = self.subscription.rewrite(&self.publication, entry) {
                let cached = &entry.cached;
                let identity =
                    (self.publication.id(), entry.layer, cached.source, cached.packet.seq, rewritten);
                self.record(identity);
                self.forwarded += 1;
            }
        }
        self.publication.clear_batch();
    }

    /// The one property that matters: an index belongs to one packet for as long as the keys last.
    fn record(&mut self, identity: Identity) {
        let index = identity.4.index;
        let before = self.sent.entry(index).or_insert(identity);
        assert_eq!(*before, identity, "index {index} carries two packets");
    }

    /// The client asks again for some sequence numbers, known or not.
    fn ask_again(&mut self) {
        for _ in 0..20 {
            let newest = self.sent.keys().max().copied().unwrap_or(0);
            let seq = newest.wrapping_sub(self.random.below(400)).wrapping_add(self.random.below(20));
            if let Some((rewritten, cached)) =
                self.subscription.resend(&self.publication, (seq & 0xffff) as u16)
            {
                // The answer does not say the layer; the place of the packet does.
                let layer = (0..RIDS.len()).filter_map(LayerIndex::at).find(|layer| {
                    self.publication
                        .cached(*layer, cached.packet.seq)
                        .is_some_and(|found| std::ptr::eq(found, cached))
                });
                let identity =
                    (self.publication.id(), layer.unwrap(), cached.source, cached.packet.seq, rewritten);
                self.record(identity);
            }
        }
    }

    /// Something changes that is not a packet.
    fn disturb(&mut self) {
        match self.random.below(14) {
            0 => {
                let layer = self.random.index(3);
                self.in_flight.retain(|(of, _)| *of != layer);
                self.sources[layer] = Source::random(&mut self.random);
                self.publication.reset_source(LayerIndex::at(layer).unwrap());
            }
            1 => {
                let layer = self.random.index(3);
                self.sources[layer].seq += 500 + self.random.below(60_000);
            }
            2 => {
                self.subscription.switch_source();
                let id = PublicationId(self.publication.id().0 + 1);
                self.publication = Publication::new(id, MediaKind::Video);
                self.name_layers();
                self.in_flight.clear();
            }
            3 => {
                self.subscription.rebase();
                self.sent.clear();
            }
            4 => {
                let both = self.random.chance(50);
                let shift = if self.random.chance(50) { 10 } else { 20 };
                self.subscription.begin_epoch(maps(both, shift));
            }
            5 => self.publication.clear_batch(),
            6 => {
                let layer = self.random.index(3);
                let ntp = (self.ms << 32) / 1000;
                let rtp = self.sources[layer].timestamp;
                self.publication.sender_report(
                    LayerIndex::at(layer).unwrap(),
                    SenderClock { ntp, rtp, clock_rate: 90_000 },
                    at_ms(self.ms),
                );
            }
            _ => {
                let rid = *["", "f", "h", "q", "x"].get(self.random.index(5)).unwrap();
                let rid_not_available =
                    if self.random.chance(50) { Ordering::None } else { Ordering::Asciibetical };
                self.subscription.set_preference(LayerPreference {
                    preferred_rid: Some(rid.to_owned()),
                    priority_ordering: Ordering::None,
                    rid_not_available,
                });
            }
        }
        self.subscription.choose_layer(&self.publication, at_ms(self.ms));
    }
}

/// Payload types of the client: one or both of the publisher's, under one of two names each.
fn maps(both: bool, shift: u8) -> Vec<PayloadMap> {
    let map = |from: u8| PayloadMap {
        from,
        to: from + shift,
        rtx: None,
        codec: Codec::Vp8,
        clock_rate: 90_000,
        form: PayloadForm::Whole,
    };
    if both { vec![map(96), map(97)] } else { vec![map(96)] }
}

#[test]
fn an_index_never_carries_two_packets() {
    let mut forwarded = 0;
    for seed in 1..=150 {
        let mut world = World::new(seed);
        let mut live = 3;
        for step in 0..4000 {
            world.ms += world.random.below(12);
            if step % 500 == 0 {
                live = 1 + world.random.index(3);
            }
            let layer = world.random.index(live);
            world.publish(layer, 15, 8);
            while world.in_flight.len() > 24 {
                world.deliver(3, 5);
            }
            if world.random.chance(30) {
                world.forward();
            }
            if world.random.chance(4) {
                world.ask_again();
            }
            if world.random.chance(2) {
                world.disturb();
            }
        }
        forwarded += world.forwarded;
    }
    assert!(forwarded > 100_000, "the test has forwarded next to nothing: {forwarded}");
}

#[test]
fn indices_have_no_gap_and_timestamps_never_go_back_when_all_comes_in_order() {
    for seed in 1..=100 {
        let mut world = World::new(seed);
        world.subscription.choose_layer(&world.publication, at_ms(0));
        let mut newest: Option<u64> = None;
        for _ in 0..4000 {
            world.ms += world.random.below(12);
            let layer = world.random.index(3);
            world.publish(layer, 30, 10);
            let (layer, mut packet) = world.in_flight.pop().unwrap();
            packet.received_at = at_ms(world.ms);
            world.publication.push(LayerIndex::at(layer).unwrap(), Codec::Vp8, packet, at_ms(world.ms));
            let batch = world.publication.batch().to_vec();
            for entry in &batch {
                let Forwarding::Forward(rewritten) = world.subscription.rewrite(&world.publication, entry)
                else {
                    continue;
                };
                assert!(newest.is_none_or(|newest| newest + 1 == rewritten.index), "seed {seed}");
                newest = Some(rewritten.index);
                if let Some(before) = world.newest_timestamp.replace(rewritten.timestamp) {
                    let ahead = rewritten.timestamp.wrapping_sub(before).cast_signed();
                    assert!(ahead > 0, "seed {seed}: {before} then {}", rewritten.timestamp);
                }
            }
            world.publication.clear_batch();
            if world.random.chance(2) {
                // All but a jump of the publisher's sequence, a new context, and packets withheld.
                match world.random.below(3) {
                    0 => {
                        let layer = world.random.index(3);
                        world.sources[layer] = Source::random(&mut world.random);
                        world.publication.reset_source(LayerIndex::at(layer).unwrap());
                    }
                    1 => {
                        let both = world.random.chance(50);
                        world.subscription.begin_epoch(maps(both, 10));
                    }
                    _ => {
                        let rid = RIDS[world.random.index(3)].to_owned();
                        world.subscription.set_preference(LayerPreference {
                            preferred_rid: Some(rid),
                            ..LayerPreference::default()
                        });
                    }
                }
                world.subscription.choose_layer(&world.publication, at_ms(world.ms));
            }
        }
        assert!(newest.is_some(), "seed {seed}");
    }
}

#[test]
fn every_index_is_filled_when_all_packets_come_in_whatever_order() {
    for seed in 1..=100 {
        let mut world = World::new(seed);
        world.subscription.begin_epoch(maps(true, 10));
        let mut indices = BTreeSet::new();
        for step in 0..3000 {
            // In order until the subscription has started, and at the end, so that both ends are plain.
            let disorder = if (10..2900).contains(&step) { 30 } else { 0 };
            world.ms += 1;
            world.publish(0, if step == 0 { 0 } else { 40 }, if step == 0 { 100 } else { 5 });
            while world.in_flight.len() > disorder {
                world.deliver(0, 10);
                let batch = world.publication.batch().to_vec();
                for entry in &batch {
                    if let Forwarding::Forward(rewritten) =
                        world.subscription.rewrite(&world.publication, entry)
                    {
                        indices.insert(rewritten.index);
                    }
                }
                world.publication.clear_batch();
            }
        }
        let (first, last) = (*indices.first().unwrap(), *indices.last().unwrap());
        assert_eq!(indices.len() as u64, last - first + 1, "seed {seed}: gaps");
        assert!(indices.len() > 1500);
    }
}

#[test]
fn what_was_sent_within_the_history_can_be_sent_again() {
    let mut world = World::new(7);
    let mut sent = Vec::new();
    for segment in 0..HISTORY {
        let rid = RIDS[segment % 3];
        world.subscription.set_preference(LayerPreference {
            preferred_rid: Some(rid.to_owned()),
            ..LayerPreference::default()
        });
        for step in 0..20 {
            world.publish(segment % 3, 0, if step == 1 { 100 } else { 0 });
            world.ms += 5;
            let (layer, mut packet) = world.in_flight.pop().unwrap();
            packet.received_at = at_ms(world.ms);
            world.publication.push(LayerIndex::at(layer).unwrap(), Codec::Vp8, packet, at_ms(world.ms));
            world.subscription.choose_layer(&world.publication, at_ms(world.ms));
            let batch = world.publication.batch().to_vec();
            for entry in &batch {
                if let Forwarding::Forward(rewritten) = world.subscription.rewrite(&world.publication, entry)
                {
                    sent.push((rewritten, entry.cached.packet.payload.clone()));
                }
            }
            world.publication.clear_batch();
        }
    }
    assert!(sent.len() > 250);
    for (rewritten, payload) in sent {
        let (again, cached) = world.subscription.resend(&world.publication, rewritten.seq()).unwrap();
        assert_eq!((again, &cached.packet.payload), (rewritten, &payload));
    }
}
