//! Lanes about tracks: their packets, and the few words about them.
//!
//! The words are those that another node could be told as well: publications are named by ids that are the same
//! everywhere, layers by the numbers that their origin gave them, and each packet says which source of its layer it is
//! from. Who feeds a publication and who receives it at the far end is nobody's concern here.
//!
//! Bounds: [`CAPACITY`] messages on each lane, of which media leaves [`SPARED`] to the words about them. Words are merged
//! until there is room: at most one of each kind for each publication and layer.

use super::merged::{MergedLanes, Post, Untold};
use crate::ids::{PublicationId, ShardId};
use crate::router::publication::SenderClock;
use crate::router::{LAYERS_MAX, LayerIndex, LayerSet};
use crate::rtp::{Codec, MediaKind, Packet};

/// Messages that one lane holds: about 40 ms of 100,000 packets per second.
const CAPACITY: usize = 4096;
/// Of these, kept from media: however much of it comes, what is said about it finds room.
const SPARED: usize = 512;

/// What is said of a track between those who feed it and those who receive it.
#[derive(Debug)]
pub(in crate::shard) enum TrackMessage {
    /// Towards the origin: there are subscribers here. The layers are to be told, again if need be.
    Attach(PublicationId, MediaKind),
    /// Towards the origin: there are none any more.
    Detach(PublicationId),
    /// Towards the origin: subscribers need a keyframe of a layer.
    Keyframe(PublicationId, LayerIndex),
    /// From the origin: a layer has this name, or is gone.
    Layer(PublicationId, LayerIndex, LayerState),
    /// From the origin: the publisher's clock.
    Clock(PublicationId, LayerIndex, LayerClock),
    /// From the origin: the publisher sends reports, of this or another of its publications.
    Reporting(PublicationId),
    /// From the origin: one packet.
    Media(Media),
}

/// What a layer is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::shard) enum LayerState {
    /// It has this name; none without simulcast.
    Named(Option<Box<str>>),
    /// It is not sent any more.
    Gone,
}

/// The publisher's clock, and which source of its layer counts by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::shard) struct LayerClock {
    pub(in crate::shard) source: u32,
    pub(in crate::shard) clock: SenderClock,
}

/// One packet of a track.
#[derive(Debug)]
pub(in crate::shard) struct Media {
    pub(in crate::shard) publication: PublicationId,
    pub(in crate::shard) layer: LayerIndex,
    /// Which source of its layer it is from.
    pub(in crate::shard) source: u32,
    pub(in crate::shard) codec: Codec,
    pub(in crate::shard) packet: Packet,
}

/// What is to be told of one publication.
#[derive(Debug, Default)]
struct TrackWords {
    attachment: Option<Attachment>,
    keyframes: LayerSet,
    reporting: bool,
    layers: [Option<LayerState>; LAYERS_MAX],
    clocks: [Option<LayerClock>; LAYERS_MAX],
}

#[derive(Debug, Clone, Copy)]
enum Attachment {
    /// `fresh` if the other side has heard of none before.
    Attach {
        kind: MediaKind,
        fresh: bool,
    },
    Detach,
}

impl Untold<PublicationId, TrackMessage> for TrackWords {
    /// Layers come before all that is said of them.
    fn next(&mut self, publication: &PublicationId) -> Option<TrackMessage> {
        let publication = *publication;
        match self.attachment.take() {
            Some(Attachment::Attach { kind, .. }) => return Some(TrackMessage::Attach(publication, kind)),
            Some(Attachment::Detach) => return Some(TrackMessage::Detach(publication)),
            None => {}
        }
        if std::mem::take(&mut self.reporting) {
            return Some(TrackMessage::Reporting(publication));
        }
        for (position, state) in self.layers.iter_mut().enumerate() {
            if let (Some(layer), Some(state)) = (LayerIndex::at(position), state.take()) {
                return Some(TrackMessage::Layer(publication, layer, state));
            }
        }
        for (position, clock) in self.clocks.iter_mut().enumerate() {
            if let (Some(layer), Some(clock)) = (LayerIndex::at(position), clock.take()) {
                return Some(TrackMessage::Clock(publication, layer, clock));
            }
        }
        let layer = self.keyframes.into_iter().next()?;
        self.keyframes.remove(layer);
        Some(TrackMessage::Keyframe(publication, layer))
    }
}

fn put<T>(places: &mut [Option<T>; LAYERS_MAX], layer: LayerIndex, value: T) {
    if let Some(place) = places.get_mut(layer.position()) {
        *place = Some(value);
    }
}

/// The lanes of one shard.
#[derive(Debug)]
pub(in crate::shard) struct TrackLanes(MergedLanes<PublicationId, TrackWords, TrackMessage>);

impl TrackLanes {
    pub(super) fn join(shards: usize) -> Vec<Self> {
        MergedLanes::join(shards, CAPACITY).into_iter().map(Self).collect()
    }

    /// Wants a publication from its origin.
    pub(in crate::shard) fn attach(&mut self, origin: ShardId, publication: PublicationId, kind: MediaKind) {
        let Some(untold) = self.0.of(origin, &publication) else { return };
        let fresh = untold.attachment.is_none();
        untold.attachment = Some(Attachment::Attach { kind, fresh });
    }

    /// Wants it no more.
    pub(in crate::shard) fn detach(&mut self, origin: ShardId, publication: PublicationId) {
        let Some(untold) = self.0.of(origin, &publication) else { return };
        // Who has heard nothing yet need not hear of the end.
        let is_unheard = matches!(untold.attachment, Some(Attachment::Attach { fresh: true, .. }));
        *untold = TrackWords { attachment: Some(Attachment::Detach), ..TrackWords::default() };
        if is_unheard {
            self.0.forget(origin, &publication);
        }
    }

    /// Wants a keyframe of a layer from its origin.
    pub(in crate::shard) fn want_keyframe(
        &mut self,
        origin: ShardId,
        publication: PublicationId,
        layer: LayerIndex,
    ) {
        if let Some(untold) = self.0.of(origin, &publication) {
            untold.keyframes.insert(layer);
        }
    }

    /// Tells what a layer is called.
    pub(in crate::shard) fn tell_layer(
        &mut self,
        to: ShardId,
        publication: PublicationId,
        layer: LayerIndex,
        state: LayerState,
    ) {
        if let Some(untold) = self.0.of(to, &publication) {
            put(&mut untold.layers, layer, state);
        }
    }

    /// Tells the publisher's clock.
    pub(in crate::shard) fn tell_clock(
        &mut self,
        to: ShardId,
        publication: PublicationId,
        layer: LayerIndex,
        clock: LayerClock,
    ) {
        if let Some(untold) = self.0.of(to, &publication) {
            put(&mut untold.clocks, layer, clock);
        }
    }

    /// Tells that the publisher sends reports.
    pub(in crate::shard) fn tell_reporting(&mut self, to: ShardId, publication: PublicationId) {
        if let Some(untold) = self.0.of(to, &publication) {
            untold.reporting = true;
        }
    }

    /// Sends a packet, behind all that is to be told of its publication. Returns whether there was room.
    #[inline]
    pub(in crate::shard) fn send_media(&mut self, to: ShardId, media: Media) -> bool {
        let publication = media.publication;
        self.0.send(to, &publication, TrackMessage::Media(media), SPARED)
    }

    /// How many packets may be sent that can be done without: as many as leave half of the lane to others.
    pub(in crate::shard) fn room_to_spare(&self, to: ShardId) -> usize {
        self.0.room(to).saturating_sub(CAPACITY / 2)
    }

    /// Takes the next message, and says whose it is.
    pub(in crate::shard) fn receive(&mut self) -> Option<(ShardId, TrackMessage)> {
        self.0.receive()
    }

    /// What is done with them when a turn ends.
    pub(in crate::shard) fn post(&mut self) -> &mut dyn Post {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::rtp::PassedExtensions;

    fn pair() -> (TrackLanes, TrackLanes) {
        let mut all = TrackLanes::join(2);
        let second = all.pop().unwrap();
        (all.pop().unwrap(), second)
    }

    #[expect(clippy::disallowed_methods, reason = "an instant cannot be made without the clock")]
    fn media(publication: PublicationId) -> Media {
        let packet = Packet {
            seq: 1,
            timestamp: 1,
            marker: false,
            payload_type: 96,
            extensions: PassedExtensions::default(),
            payload: b"x"[..].into(),
            received_at: Instant::now(),
            ecn: 0,
        };
        Media { publication, layer: layer(0), source: 0, codec: Codec::Vp8, packet }
    }

    fn layer(position: usize) -> LayerIndex {
        LayerIndex::at(position).unwrap()
    }

    fn clock(ntp: u64) -> LayerClock {
        LayerClock { source: 1, clock: SenderClock { ntp, rtp: 0, clock_rate: 90_000 } }
    }

    const TO: ShardId = ShardId(1);
    const LOUD: PublicationId = PublicationId(1);
    const QUIET: PublicationId = PublicationId(2);

    #[test]
    fn a_flood_about_one_track_takes_no_room_from_the_media_of_another() {
        let (mut first, mut second) = pair();
        for ntp in 0..100_000 {
            first.tell_clock(TO, LOUD, layer(0), clock(ntp));
            first.tell_layer(TO, LOUD, layer(1), LayerState::Named(Some("h".into())));
        }
        assert_eq!(first.0.waiting(TO), 1, "all of it is one entry");
        for _ in 0..1000 {
            assert!(first.send_media(TO, media(QUIET)));
        }
        first.post().move_on();
        let all: Vec<_> = std::iter::from_fn(|| second.receive()).map(|(_, message)| message).collect();
        assert_eq!(all.len(), 1002);
        assert!(matches!(all.last(), Some(TrackMessage::Clock(LOUD, _, newest)) if *newest == clock(99_999)));
    }

    #[test]
    fn a_flood_of_media_leaves_room_for_what_is_said_of_it() {
        let (mut first, mut second) = pair();
        let sent = (0..2 * CAPACITY).filter(|_| first.send_media(TO, media(LOUD))).count();
        assert_eq!(sent, CAPACITY - SPARED);
        first.attach(TO, QUIET, MediaKind::Audio);
        first.want_keyframe(TO, QUIET, layer(0));
        first.post().move_on();
        assert!(!first.post().is_held_back());
        let last: Vec<_> = std::iter::from_fn(|| second.receive()).skip(sent).collect();
        assert!(matches!(
            last.as_slice(),
            [(_, TrackMessage::Attach(QUIET, MediaKind::Audio)), (_, TrackMessage::Keyframe(QUIET, _))]
        ));
    }

    #[test]
    fn what_can_be_done_without_leaves_half_of_a_lane_to_the_media_of_others() {
        let (mut first, mut second) = pair();
        assert_eq!(first.room_to_spare(TO), CAPACITY / 2);
        for _ in 0..CAPACITY / 2 - 10 {
            assert!(first.send_media(TO, media(QUIET)));
        }
        assert_eq!(first.room_to_spare(TO), 10);
        for _ in 0..100 {
            assert!(first.send_media(TO, media(QUIET)));
        }
        assert_eq!(first.room_to_spare(TO), 0);
        while second.receive().is_some() {}
        assert_eq!(first.room_to_spare(TO), CAPACITY / 2);
        assert_eq!(first.room_to_spare(ShardId(0)), 0, "a shard has no lane to itself");
    }

    #[test]
    fn packets_follow_the_names_of_their_layers_and_never_overtake_them() {
        let (mut first, mut second) = pair();
        first.tell_layer(TO, LOUD, layer(0), LayerState::Named(None));
        assert!(first.send_media(TO, media(LOUD)));
        assert!(matches!(second.receive(), Some((ShardId(0), TrackMessage::Layer(LOUD, ..)))));
        assert!(matches!(second.receive(), Some((_, TrackMessage::Media(_)))));
        // Where there is no room for the name there is none for the packet.
        first.0.fill(TO, || TrackMessage::Reporting(QUIET));
        first.tell_layer(TO, LOUD, layer(0), LayerState::Gone);
        for _ in 0..SPARED {
            assert!(!first.send_media(TO, media(LOUD)));
            second.receive();
        }
    }

    #[test]
    fn a_shard_that_stands_still_costs_the_others_nothing_for_what_came_and_went() {
        let (mut first, mut second) = pair();
        first.0.fill(TO, || TrackMessage::Reporting(QUIET));
        for number in 0..100_000 {
            first.attach(TO, PublicationId(number), MediaKind::Audio);
            first.post().move_on();
            first.detach(TO, PublicationId(number));
        }
        assert!(!first.post().is_held_back());
        first.attach(TO, LOUD, MediaKind::Audio);
        while second.receive().is_some() {}
        first.post().move_on();
        assert!(matches!(second.receive(), Some((_, TrackMessage::Attach(LOUD, _)))));
        first.detach(TO, LOUD);
        first.attach(TO, LOUD, MediaKind::Audio);
        first.post().move_on();
        assert!(matches!(second.receive(), Some((_, TrackMessage::Attach(LOUD, _)))), "it is told anew");
        assert!(second.receive().is_none());
    }
}
