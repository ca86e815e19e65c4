//! One publication as one shard sees it. Whether a session or a lane from another shard feeds it makes no difference:
//! the packets that [`Publication::batch`] holds can be pushed into the same publication of another shard as they are.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::allocation::Level;
use super::keyframe::KeyframeDemand;
use super::layer::{Layer, LayerView, came_within};
use super::resend::CachedPacket;
use super::timing::ReportedTime;
pub use super::timing::SenderClock;
use super::{LAYERS_MAX, LayerIndex, LayerSet};
use crate::ids::PublicationId;
use crate::rtp::{Codec, MediaKind, Packet};

/// Time without media after which a publication counts as not being sent.
pub const PUBLICATION_DEAD_AFTER: Duration = Duration::from_secs(2);

/// What headers, tags and lower layers add to payloads of video, about.
const HEADERS: (u64, u64) = (211, 200);

/// What headers, tags and lower layers add to sound, bits per second: 66 bytes for each 20 ms.
const AUDIO_HEADERS_BPS: u64 = 26_400;

/// What the cheapest layer is taken for until its rate is known, bits per second.
const LEAST_BPS: u64 = 150_000;

/// Least time between two reports of one layer that are told to others. Publishers report every second or so.
pub const CLOCK_SPACING: Duration = Duration::from_millis(100);

/// What came to life with a packet, for the first time or again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awoken {
    /// Nothing: media was flowing.
    Nothing,
    /// Its layer; others were being sent.
    Layer,
    /// The publication.
    Publication,
}

/// What became of a pushed packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushOutcome {
    /// It is in the batch.
    Stored(Awoken),
    /// It was padding. Its gap is closed; where it came too late for that, an empty packet is in the batch.
    Padding,
    /// It came before.
    Duplicate,
    /// It is too old to be placed, or there is no such layer.
    TooOld,
}

/// One packet that is to be forwarded.
#[derive(Debug, Clone)]
pub struct BatchEntry {
    /// Its layer.
    pub layer: LayerIndex,
    /// The packet.
    pub cached: CachedPacket,
}

/// The layers of one publication, and the packets that have come since the batch was last cleared.
#[derive(Debug)]
pub struct Publication {
    id: PublicationId,
    kind: MediaKind,
    layers: Vec<Layer>,
    batch: Vec<BatchEntry>,
    last_packet_at: Option<Instant>,
    reporting: bool,
}

impl Publication {
    /// Creates a publication that has no layer yet.
    pub fn new(id: PublicationId, kind: MediaKind) -> Self {
        Self { id, kind, layers: Vec::new(), batch: Vec::new(), last_packet_at: None, reporting: false }
    }

    /// Returns its id.
    pub fn id(&self) -> PublicationId {
        self.id
    }

    /// Returns whether it is audio or video.
    pub fn kind(&self) -> MediaKind {
        self.kind
    }

    /// Finds the layer with this name or mints it, where the publication is fed; `None` when there are [`LAYERS_MAX`]
    /// others. Layers are to be made in the order of the `a=simulcast` line, which counts as from best to worst until
    /// bitrates are known. Everywhere else the layer then has the same index ([`Self::set_layer`]).
    pub fn layer_index(&mut self, rid: Option<&str>) -> Option<LayerIndex> {
        if let Some((known, _)) = self.indexed_layers().find(|(_, layer)| layer.rid() == rid) {
            return Some(known);
        }
        let free = self.layers.iter().position(|layer| layer.name.is_none());
        let index = LayerIndex::at(free.unwrap_or(self.layers.len()))?;
        self.set_layer(index, rid);
        Some(index)
    }

    /// Gives a layer the index and the name that it has where the publication is fed. One that was in this place before
    /// is gone.
    pub fn set_layer(&mut self, index: LayerIndex, rid: Option<&str>) {
        while self.layers.len() <= index.position() {
            self.layers.push(Layer::new(self.kind));
        }
        if let Some(layer) = self.layers.get_mut(index.position()) {
            layer.rename(rid);
        }
    }

    /// Lets go of a layer that is not sent any more: its name is forgotten, and its place free for another.
    pub fn free_layer(&mut self, index: LayerIndex) {
        if let Some(layer) = self.layer_mut(index) {
            layer.free();
        }
    }

    /// Returns the layers that have no place in a publication with these names: others, unless they are sent without a name all
    /// the same, and all where the names stand in another order, since the order of layers is that of names.
    pub fn layers_besides(&self, rids: &[String], now: Instant) -> LayerSet {
        let named = self.indexed_layers().filter_map(|(_, layer)| layer.rid());
        let in_order = named.zip(rids).all(|(known, rid)| known == rid);
        let mut besides = LayerSet::default();
        for (index, layer) in self.indexed_layers() {
            let stays = match layer.rid() {
                Some(known) => in_order && rids.iter().any(|rid| rid == known),
                None => rids.is_empty() || layer.is_live(now),
            };
            if !stays {
                besides.insert(index);
            }
        }
        besides
    }

    /// Returns whether it has more layers than one.
    pub fn has_choice(&self) -> bool {
        self.indexed_layers().nth(1).is_some()
    }

    /// Returns the name of a layer.
    pub fn layer_name(&self, layer: LayerIndex) -> Option<&str> {
        self.layer(layer)?.rid()
    }

    /// Returns the figures of one layer.
    pub fn layer_view(&self, layer: LayerIndex, now: Instant) -> Option<LayerView<'_>> {
        self.layer(layer).map(|layer| layer.view(now))
    }

    /// Returns the figures of all layers, in their order.
    pub fn layers(&self, now: Instant) -> impl Iterator<Item = (LayerIndex, LayerView<'_>)> {
        self.indexed_layers().map(move |(index, layer)| (index, layer.view(now)))
    }

    /// Returns what a layer costs and is worth. Before its rate is known it counts as if each layer took three times what the
    /// next one takes.
    pub fn level(&self, layer: LayerIndex) -> Level {
        let bps = self.layer(layer).and_then(Layer::rank_bps).unwrap_or_else(|| {
            let below = self.indexed_layers().filter(|(other, _)| *other > layer).count();
            LEAST_BPS * 3_u64.pow(u32::try_from(below).unwrap_or_default())
        });
        let (more, of) = HEADERS;
        let now_bps = bps.saturating_mul(more) / of;
        let quality = u32::try_from(bps / 1_000).unwrap_or(u32::MAX);
        Level { now_bps, up_bps: now_bps, quality }
    }

    /// Returns whether the rate of a layer is known.
    pub fn is_measured(&self, layer: LayerIndex) -> bool {
        self.layer(layer).is_some_and(|layer| layer.rank_bps().is_some())
    }

    /// Returns what its sound takes with all headers, bits per second.
    pub fn audio_bps(&self, now: Instant) -> u64 {
        let of = |layer: &Layer| {
            layer.view(now).bitrate_bps + if layer.is_live(now) { AUDIO_HEADERS_BPS } else { 0 }
        };
        self.indexed_layers().map(|(_, layer)| of(layer)).sum()
    }

    /// Tells that another SSRC or transport feeds the layer from the next packet on: its sequence and timestamps are
    /// new. Subscriptions to it wait for a keyframe and go on in their own sequence.
    pub fn reset_source(&mut self, layer: LayerIndex) {
        if let Some(layer) = self.layer_mut(layer) {
            layer.reset_source(layer.source.wrapping_add(1));
        }
    }

    /// The same as [`Self::reset_source`] away from where the publication is fed: its packets say which source of the
    /// layer they are from.
    pub fn follow_source(&mut self, layer: LayerIndex, source: u32) {
        if let Some(layer) = self.layer_mut(layer).filter(|layer| layer.source != source) {
            layer.reset_source(source);
        }
    }

    /// Takes one packet; one without payload is padding.
    pub fn push(&mut self, layer: LayerIndex, codec: Codec, packet: Packet, now: Instant) -> PushOutcome {
        let Some(state) = self.layer_mut(layer) else { return PushOutcome::TooOld };
        let layer_was_live = state.is_live(now);
        let cached = match state.take(codec, packet, now) {
            Ok(cached) => cached,
            Err(outcome) => return outcome,
        };
        let outcome = if cached.packet.payload.is_empty() {
            PushOutcome::Padding
        } else {
            let came = self.last_packet_at.replace(now);
            PushOutcome::Stored(match (came_within(PUBLICATION_DEAD_AFTER, came, now), layer_was_live) {
                (false, _) => Awoken::Publication,
                (true, false) => Awoken::Layer,
                (true, true) => Awoken::Nothing,
            })
        };
        self.batch.push(BatchEntry { layer, cached });
        outcome
    }

    /// Returns what was pushed since the batch was last cleared, in the order of arrival.
    pub fn batch(&self) -> &[BatchEntry] {
        &self.batch
    }

    /// Empties the batch, after every subscription has walked it.
    pub fn clear_batch(&mut self) {
        self.batch.clear();
    }

    /// Takes the sender information of the publisher's own report (RFC 3550 6.4.1). Returns whether others should be told:
    /// no more often than every [`CLOCK_SPACING`] for each layer, whatever a publisher sends.
    pub fn sender_report(&mut self, layer: LayerIndex, clock: SenderClock, now: Instant) -> bool {
        let Some(layer) = self.layer_mut(layer) else { return false };
        let is_worth_telling =
            layer.report.is_none() || !came_within(CLOCK_SPACING, layer.clock_told_at, now);
        if is_worth_telling {
            layer.clock_told_at = Some(now);
        }
        layer.report = Some(ReportedTime::new(clock, now));
        is_worth_telling
    }

    /// Returns the publisher's clock of a layer, carried on to this moment, and the source that counts by it; `None` before
    /// the first report of that.
    pub fn clock(&self, layer: LayerIndex, now: Instant) -> Option<(u32, SenderClock)> {
        let layer = self.layer(layer)?;
        let report = layer.report?;
        let (ntp, rtp) = report.at(now);
        Some((layer.source, SenderClock { ntp, rtp, clock_rate: report.clock_rate }))
    }

    /// Tells that the publisher reports on its streams, though perhaps not on these yet.
    pub fn set_reporting(&mut self) {
        self.reporting = true;
    }

    /// Returns whether the publisher reports on its streams.
    pub fn is_reporting(&self) -> bool {
        self.reporting
    }

    /// Takes a subscription's wish for a keyframe. It is kept until a keyframe was seen, and polled meanwhile.
    pub fn demand_keyframe(&mut self, layer: LayerIndex, now: Instant) -> KeyframeDemand {
        self.layer_mut(layer).map_or(KeyframeDemand::Merged, |layer| layer.requests.demand(now))
    }

    /// Returns whether a keyframe of the layer is wanted that has not come.
    pub fn awaits_keyframe(&self, layer: LayerIndex) -> bool {
        self.layer(layer).is_some_and(|layer| layer.requests.is_demanded())
    }

    /// Returns the layers whose publisher must be asked for a keyframe (again); each counts as asked.
    pub fn poll_keyframes(&mut self, now: Instant) -> LayerSet {
        let mut due = LayerSet::default();
        for (position, layer) in self.layers.iter_mut().enumerate() {
            if layer.requests.poll(now)
                && let Some(index) = LayerIndex::at(position)
            {
                due.insert(index);
            }
        }
        due
    }

    /// Returns when [`Self::poll_keyframes`] has something to do.
    pub fn next_keyframe_deadline(&self) -> Option<Instant> {
        self.layers.iter().filter_map(|layer| layer.requests.next_deadline()).min()
    }

    /// Returns whether media came within [`PUBLICATION_DEAD_AFTER`].
    pub fn is_live(&self, now: Instant) -> bool {
        came_within(PUBLICATION_DEAD_AFTER, self.last_packet_at, now)
    }

    /// Returns whether media of the layer came within [`LAYER_DEAD_AFTER`](super::layer::LAYER_DEAD_AFTER).
    pub fn is_layer_live(&self, layer: LayerIndex, now: Instant) -> bool {
        self.layer(layer).is_some_and(|layer| layer.is_live(now))
    }

    /// Returns when the newest media packet came.
    pub fn last_packet_at(&self) -> Option<Instant> {
        self.last_packet_at
    }

    /// Returns the cached packet with this number.
    pub fn cached(&self, layer: LayerIndex, number: u64) -> Option<&CachedPacket> {
        self.layer(layer)?.cache.get(number)
    }

    /// Returns the numbers of a layer from the oldest cached packet to the newest one, and the source of the newest.
    pub fn held(&self, layer: LayerIndex) -> Option<(Range<u64>, u32)> {
        self.layer(layer).map(|layer| (layer.cache.held(), layer.source))
    }

    /// Returns the number of the cached packet with which a newcomer to the layer may begin at once: the first one of a keyframe
    /// that is young, and behind which nothing is missing ([`recent`](super::recent)).
    pub fn beginning(&self, layer: LayerIndex, now: Instant) -> Option<u64> {
        self.layer(layer)?.beginning(now)
    }

    /// Lets no newcomer begin with what has come so far: who fed the publication feeds it no more.
    pub fn forget_keyframes(&mut self) {
        self.layers.iter_mut().for_each(Layer::forget_keyframe);
    }

    /// Lets go of cached packets that are too old; a layer that is being sent does so by itself.
    pub fn expire(&mut self, now: Instant) {
        for layer in &mut self.layers {
            layer.cache.expire(now);
        }
    }

    pub(crate) fn indexed_layers(&self) -> impl Iterator<Item = (LayerIndex, &Layer)> {
        self.layers
            .iter()
            .enumerate()
            .filter(|(_, layer)| layer.name.is_some())
            .filter_map(|(position, layer)| Some((LayerIndex::at(position)?, layer)))
    }

    pub(crate) fn layer(&self, layer: LayerIndex) -> Option<&Layer> {
        self.layers.get(layer.position()).filter(|layer| layer.name.is_some())
    }

    fn layer_mut(&mut self, layer: LayerIndex) -> Option<&mut Layer> {
        self.layers.get_mut(layer.position()).filter(|layer| layer.name.is_some())
    }
}

const _: () = assert!(
    size_of::<BatchEntry>() <= 128,
    "copies of more bytes are calls, and a packet is copied five times"
);

const _: () = assert!(LAYERS_MAX <= u8::MAX as usize, "layer indices are bytes");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::fixture::{at_ms, packet, vp8};

    fn video() -> (Publication, LayerIndex) {
        let mut publication = Publication::new(PublicationId(1), MediaKind::Video);
        let layer = publication.layer_index(None).unwrap();
        (publication, layer)
    }

    #[test]
    fn layers_are_found_again_and_bounded() {
        let mut publication = Publication::new(PublicationId(1), MediaKind::Video);
        let indices: Vec<_> = ["f", "h", "q", "h"]
            .iter()
            .map(|rid| publication.layer_index(Some(rid)).unwrap().position())
            .collect();
        assert_eq!(indices, [0, 1, 2, 1]);
        for rid in ["a", "b", "c", "d", "e"] {
            assert!(publication.layer_index(Some(rid)).is_some());
        }
        assert_eq!(publication.layer_index(Some("one too many")), None);
        assert_eq!(publication.layer_name(LayerIndex::at(2).unwrap()), Some("q"));
        assert_eq!(publication.layers(at_ms(0)).count(), LAYERS_MAX);
    }

    #[test]
    fn the_batch_of_one_shard_feeds_another_without_gaps() {
        let (mut origin, layer) = video();
        let (mut replica, _) = video();
        for (seq, payload) in
            [(70_000, &b"a"[..]), (70_001, b""), (70_003, b"c"), (70_002, b""), (70_004, b"d")]
        {
            origin.push(layer, Codec::H264, packet(seq, 1, payload), at_ms(0));
        }
        for entry in origin.batch() {
            replica.push(entry.layer, Codec::H264, entry.cached.packet.clone(), at_ms(1));
        }
        for publication in [&origin, &replica] {
            let numbers: Vec<_> = publication.batch().iter().map(|entry| entry.cached.packet.seq).collect();
            let first = numbers[0];
            assert_eq!(numbers, [first, first + 2, first + 1, first + 3]);
        }
        origin.clear_batch();
        assert!(origin.batch().is_empty());
    }

    #[test]
    fn outcomes_say_when_a_publication_comes_to_life() {
        let (mut publication, layer) = video();
        let mut push =
            |seq, payload: &[u8], ms| publication.push(layer, Codec::Vp8, packet(seq, 1, payload), at_ms(ms));
        assert_eq!(push(5, b"", 0), PushOutcome::Padding);
        assert_eq!(push(6, b"x", 0), PushOutcome::Stored(Awoken::Publication));
        assert_eq!(push(6, b"x", 0), PushOutcome::Duplicate);
        assert_eq!(push(7, b"x", 1499), PushOutcome::Stored(Awoken::Nothing));
        assert_eq!(push(8, b"x", 2999), PushOutcome::Stored(Awoken::Layer));
        assert_eq!(push(9, b"x", 4999), PushOutcome::Stored(Awoken::Publication));
        assert_eq!(push(9 + 5000, b"x", 5000), PushOutcome::Stored(Awoken::Nothing));
        assert_eq!(push(10, b"x", 5000), PushOutcome::TooOld);
        assert!(publication.is_live(at_ms(6999)) && !publication.is_live(at_ms(7000)));
        assert!(
            publication.is_layer_live(layer, at_ms(6499)) && !publication.is_layer_live(layer, at_ms(6500))
        );
    }

    #[test]
    fn keyframes_count_once_and_answer_the_request() {
        let (mut publication, layer) = video();
        assert_eq!(publication.demand_keyframe(layer, at_ms(0)), KeyframeDemand::Send);
        assert_eq!(publication.demand_keyframe(layer, at_ms(10)), KeyframeDemand::Merged);
        assert_eq!(publication.next_keyframe_deadline(), Some(at_ms(400)));
        assert_eq!(publication.poll_keyframes(at_ms(400)).into_iter().collect::<Vec<_>>(), [layer]);
        for seq in 0..3 {
            publication.push(layer, Codec::Vp8, packet(seq, 77, &vp8(true, 1, 1, 0)), at_ms(450));
        }
        assert_eq!(publication.next_keyframe_deadline(), None);
        assert!(publication.poll_keyframes(at_ms(800)).is_empty());
        let starts: Vec<_> = publication.batch().iter().map(|entry| entry.cached.keyframe).collect();
        assert_eq!(starts, [true, false, false]);
        let view = publication.layer_view(layer, at_ms(450)).unwrap();
        assert_eq!((view.keyframes, view.keyframe_requests, view.packets, view.lost), (1, 2, 3, 0));
        assert_eq!((view.live, view.codec), (true, Some(Codec::Vp8)));
    }

    #[test]
    fn frame_starts_are_told_only_when_they_are_certain() {
        let (mut publication, layer) = video();
        for (seq, timestamp) in [(10, 1), (11, 1), (12, 2), (14, 3), (13, 3), (15, 3), (16, 4)] {
            publication.push(layer, Codec::H264, packet(seq, timestamp, b"x"), at_ms(0));
        }
        let starts: Vec<_> = publication.batch().iter().map(|entry| entry.cached.frame_start).collect();
        assert_eq!(starts, [false, false, true, false, false, false, true]);
    }
}
