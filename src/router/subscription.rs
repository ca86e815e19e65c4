//! One subscription: the few numbers that turn a publication's packets into one client's stream.
//!
//! It holds no packet and no key. [`Subscription::rewrite`] is called for each entry of the publication's batch and
//! says what header the packet leaves with; the shard hands that to the session's egress. The struct itself is what a
//! packet touches and stays within two cache lines, so that a dense array of them can be walked; what is needed
//! seldom is behind one pointer.
//!
//! Sequence numbers: indices are handed out in order of the layer's numbers and run on across layers and sources. A
//! late packet gets the index that was kept for it. See the module documentation for why none is used twice.

use std::time::{Duration, Instant};

use super::LayerIndex;
use super::publication::{BatchEntry, Publication};
use super::resend::CachedPacket;
use super::segment::{History, Segment};
use super::selection::{LayerReason, Share, choose};
use super::timing::{Reports, Seam, is_later};
use crate::drop::DropReason;
use crate::plan::{LayerPreference, PayloadForm, PayloadMap};
use crate::rtp::time::WallClock;
use crate::rtp::{MediaKind, PayloadEdit, Rewritten, SpatialPlace, red};

/// How long a subscription that forwards nothing waits for a keyframe after it was asked for. After that it starts
/// at any frame: keyframes that are encrypted end to end cannot be seen.
pub const KEYFRAME_PATIENCE: Duration = Duration::from_secs(2);

/// Most indices left out for packets that never came to the subscription. A greater gap is closed but for one index:
/// receivers derive the rollover counter from the sequence number and lose it at 2^15 (RFC 3711 3.3.1).
const GAP_MAX: u64 = 1000;

/// Indices of a stream start below this, so that a lost first packet cannot set the rollover counter wrong.
const INDEX_START_MAX: u64 = 1 << 15;

/// What becomes of a packet of the publication for one subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarding {
    /// It goes out with this header.
    Forward(Rewritten),
    /// It is not meant for this client: another layer, or nothing can start with it.
    Skip,
    /// It is meant for this client, who cannot take it.
    Drop(DropReason),
}

/// Rewriting state of one subscription.
#[derive(Debug)]
pub struct Subscription {
    current: Option<Segment>,
    /// The first index that is neither handed out nor kept back.
    next_index: u64,
    /// The newest frame sent; `None` before the first.
    seam: Option<Seam>,
    cold: Box<Cold>,
    first_timestamp: u32,
    running: Running,
    /// The payload type seen last and what becomes of it.
    payload_type: Option<(u8, Written)>,
    target: Option<LayerIndex>,
    reason: LayerReason,
    /// Whether the target is being sent.
    target_live: bool,
    /// Whether a keyframe of the layer being forwarded is wanted, though it goes on meanwhile.
    refresh: bool,
    /// Whether nothing is sent for now: the way to the client is closed, and a keyframe would not get through.
    held: bool,
    /// Whether the next packet is to close a gap.
    gap: bool,
    video: bool,
    /// Whether its client's path has nothing for it.
    is_paused: bool,
}

/// Numbers that go on through all segments, as sent with the newest frame.
#[derive(Debug, Clone, Copy, Default)]
struct Running {
    picture_id: Option<u16>,
    frame_number: Option<u16>,
    tl0: Option<u8>,
}

impl Running {
    /// Takes note of a packet of a newer frame than all before. The others of a VP8 frame have the same numbers.
    fn note(&mut self, segment: &Segment, cached: &CachedPacket) {
        if let Some(vp8) = &cached.vp8 {
            self.picture_id = segment.picture_id(vp8).or(self.picture_id);
            self.tl0 = vp8.tl0.map(|tl0| tl0.wrapping_add(segment.tl0_offset)).or(self.tl0);
        }
        self.note_frame(segment, cached);
    }

    /// Takes note of a packet whose descriptor numbers frames: several have one timestamp.
    fn note_frame(&mut self, segment: &Segment, cached: &CachedPacket) {
        self.frame_number = segment.frame_number(cached.frame_number).or(self.frame_number);
    }
}

/// How packets of one payload type are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Written {
    payload_type: u8,
    form: PayloadForm,
}

impl From<&PayloadMap> for Written {
    fn from(map: &PayloadMap) -> Self {
        Self { payload_type: map.to, form: map.form }
    }
}

const _: () = assert!(size_of::<Subscription>() <= 128, "a subscription must stay within two cache lines");

#[derive(Debug)]
struct Cold {
    preference: LayerPreference,
    share: Share,
    payload_types: Vec<PayloadMap>,
    history: History,
    /// Indices below the next one that may still be sent start here: those before it belong to other keys or payload
    /// types, and would come with another header than they had.
    index_floor: u64,
    /// Since when the target has been waited for.
    waiting_since: Option<Instant>,
}

impl Subscription {
    /// Creates a subscription that has not sent anything. `first_seq` is to be random below 2^15.
    pub fn new(
        kind: MediaKind,
        payload_types: Vec<PayloadMap>,
        preference: LayerPreference,
        first_seq: u16,
        first_timestamp: u32,
    ) -> Self {
        let next_index = u64::from(first_seq) % INDEX_START_MAX;
        Self {
            current: None,
            next_index,
            seam: None,
            cold: Box::new(Cold {
                preference,
                share: Share::Whole,
                payload_types,
                history: History::default(),
                index_floor: next_index,
                waiting_since: None,
            }),
            first_timestamp,
            running: Running::default(),
            payload_type: None,
            target: None,
            reason: LayerReason::Best,
            target_live: false,
            refresh: false,
            held: false,
            gap: false,
            video: kind == MediaKind::Video,
            is_paused: false,
        }
    }

    /// Replaces the layer preference; [`Self::choose_layer`] is to follow.
    pub fn set_preference(&mut self, preference: LayerPreference) {
        self.cold.preference = preference;
    }

    /// Returns the layer preference.
    pub fn preference(&self) -> &LayerPreference {
        &self.cold.preference
    }

    /// What its client's path has for it.
    pub fn share(&self) -> Share {
        self.cold.share
    }

    /// Takes what its client's path has for it; [`Self::choose_layer`] is to follow. Returns whether that is another share than
    /// before.
    pub fn set_share(&mut self, share: Share) -> bool {
        std::mem::replace(&mut self.cold.share, share) != share
    }

    /// Sends nothing more before the next keyframe of the target.
    pub fn stop(&mut self) {
        self.end_segment();
    }

    /// Begins another header epoch: whatever else than packets headers are made of is another from now on, these payload
    /// types among it. What was sent before is not sent again, since it would be another packet under the same index.
    pub fn begin_epoch(&mut self, payload_types: Vec<PayloadMap>) {
        self.cold.payload_types = payload_types;
        self.cold.index_floor = self.next_index;
        self.payload_type = None;
    }

    /// Takes note that what comes is not sent for now. What is sent after that closes the gap, whatever its size.
    pub fn hold(&mut self) {
        self.held = true;
        self.gap = true;
        // The next packet is not to take the short way.
        self.payload_type = None;
    }

    /// Takes note that all that comes is sent.
    #[inline]
    pub fn go_on_sending(&mut self) {
        self.held = false;
    }

    /// Makes the subscription ready to follow another publication: sequence and picture ids run on, timestamps by
    /// the time of arrival; video waits for a keyframe.
    pub fn switch_source(&mut self) {
        self.current = None;
        self.cold.history.clear();
        self.cold.index_floor = self.next_index;
        self.target = None;
        self.target_live = false;
        self.cold.waiting_since = None;
        self.refresh = false;
    }

    /// Starts indices anew for a new SRTP context of the receiver, in which the rollover counter is 0 again. Must be
    /// called only together with new keys: indices return. The layer goes on, and a keyframe of it is wanted, since
    /// the change of transport has probably cost packets.
    pub fn rebase(&mut self) {
        let next_index = rebased(self.next_index);
        if let Some(segment) = &mut self.current {
            segment.number_start = segment.number_of(self.next_index).unwrap_or(segment.number_start);
            segment.index_start = next_index;
            self.refresh = self.video;
        }
        self.next_index = next_index;
        self.cold.history.clear();
        self.cold.index_floor = next_index;
    }

    /// Brings the target up to date with the preference and with what is being sent. To be called when the
    /// preference or the publication changes, and a few times a second.
    pub fn choose_layer(&mut self, publication: &Publication, now: Instant) {
        let Cold { preference, share, .. } = &*self.cold;
        let choice = choose(publication, preference, *share, self.target, self.current.is_some(), now);
        if self.target != choice.target || self.cold.waiting_since.is_none() {
            self.target = choice.target;
            self.cold.waiting_since = Some(now);
        }
        self.target_live = choice.live;
        self.reason = choice.reason;
        if self.current.is_some_and(|segment| publication.layer(segment.layer).is_none()) {
            self.end_segment();
        }
        // A client that wants one layer and nothing else gets nothing while that is not being sent.
        let absent = choice.reason == LayerReason::Pinned && !choice.live;
        self.is_paused = choice.reason == LayerReason::Paused;
        if (absent || self.is_paused)
            && self.current.is_some_and(|segment| Some(segment.layer) != choice.target)
        {
            self.end_segment();
        }
    }

    /// Returns the layer whose keyframe the subscription waits for. While nothing is sent it waits for none.
    pub fn wanted_keyframe(&self) -> Option<LayerIndex> {
        if self.held { None } else { self.missing_keyframe() }
    }

    fn missing_keyframe(&self) -> Option<LayerIndex> {
        let target = self.target.filter(|_| self.video && self.target_live)?;
        let flows = self.current.is_some_and(|segment| segment.layer == target);
        (!flows || self.refresh).then_some(target)
    }

    /// Returns the layer whose keyframe the subscription needs to go on at all, or to go on well after a gap.
    #[inline]
    pub fn stuck(&self) -> Option<LayerIndex> {
        let flows = self.current.is_some() && (!self.refresh || self.held);
        if flows { None } else { self.missing_keyframe() }
    }

    /// Decides what to do with one entry of the publication's batch. Each entry is to be given once.
    pub fn rewrite(&mut self, publication: &Publication, entry: &BatchEntry) -> Forwarding {
        let cached = &entry.cached;
        // Nearly all packets are the next ones of what is being forwarded, and take this short way.
        if let Some(segment) = &self.current
            && segment.is_of(entry.layer, cached.source)
            && let Some(index) = segment.index_of(cached.packet.seq)
            && index.wrapping_sub(self.next_index) <= GAP_MAX
            && !self.refresh
            && let Some((known, written)) = self.payload_type
            && known == cached.packet.payload_type
        {
            let rewritten = rewritten(segment, index, written, cached);
            self.next_index = index + 1;
            if self.seam.is_none_or(|seam| is_later(rewritten.timestamp, seam.timestamp)) {
                self.running.note(segment, cached);
                self.seam =
                    Some(Seam { timestamp: rewritten.timestamp, received_at: cached.packet.received_at });
            } else if cached.frame_number.is_some() {
                self.running.note_frame(segment, cached);
            }
            return Forwarding::Forward(rewritten);
        }
        // So do those of a layer that is neither forwarded nor wanted.
        if self.current_layer() != Some(entry.layer) && self.target.is_some_and(|layer| layer != entry.layer)
        {
            return Forwarding::Skip;
        }
        self.decide(publication, entry)
    }

    /// Decides where more has to be looked at than the short way does.
    #[inline(never)]
    fn decide(&mut self, publication: &Publication, entry: &BatchEntry) -> Forwarding {
        if self.is_paused {
            return Forwarding::Skip;
        }
        let cached = &entry.cached;
        if let Some(segment) = self.current
            && segment.layer == entry.layer
        {
            if segment.source == cached.source {
                return self.go_on(publication, segment, entry);
            }
            // The layer has another source, or another layer has its place: nothing more of the old one comes.
            self.end_segment();
            self.target = None;
        }
        if self.target.is_none() {
            self.choose_layer(publication, cached.packet.received_at);
            self.cold.waiting_since = Some(cached.packet.received_at);
        }
        if self.target != Some(entry.layer) {
            return Forwarding::Skip;
        }
        self.target_live = true;
        if self.may_start(publication, entry) { self.start(publication, entry) } else { Forwarding::Skip }
    }

    /// Returns the packet that was sent under `seq`, or kept back for it, with the very header of its first sending;
    /// `None` when it is not known any more.
    pub fn resend<'a>(
        &self,
        publication: &'a Publication,
        seq: u16,
    ) -> Option<(Rewritten, &'a CachedPacket)> {
        let newest = self.next_index.checked_sub(1)?;
        let behind = (newest & 0xffff).wrapping_sub(u64::from(seq)) & 0xffff;
        let index = newest.checked_sub(behind).filter(|index| *index >= self.cold.index_floor)?;
        let present = self.current.as_ref().filter(|segment| segment.index_start <= index);
        let segment = present.or_else(|| self.cold.history.by_index(index))?;
        let cached = publication.cached(segment.layer, segment.number_of(index)?)?;
        let written = self.written(cached.packet.payload_type)?;
        Some((rewritten(segment, index, written, cached), cached))
    }

    /// Returns a packet that was sent lately: the one so far before the newest.
    pub fn recent<'a>(
        &self,
        publication: &'a Publication,
        back: usize,
    ) -> Option<(Rewritten, &'a CachedPacket)> {
        let index = self.next_index.checked_sub(1 + back as u64)?;
        // Lossless: the low bits are what travels.
        self.resend(publication, (index & 0xffff) as u16)
    }

    /// Returns the sender information of our own report at `now`, in the timestamps of this subscription: the publisher's,
    /// carried on. The time of one who sends no reports at all is told by arrival, on the clock of this node. As soon as
    /// there is a report of any of its streams, it holds for all of them: two clocks must not meet in one pair of picture
    /// and sound.
    pub fn sender_report(
        &self,
        publication: &Publication,
        now: Instant,
        wall: &WallClock,
    ) -> Option<(u64, u32)> {
        let segment = self.current?;
        let layer = publication.layer(segment.layer).filter(|layer| layer.source == segment.source)?;
        let (ntp, rtp) = match layer.report {
            Some(report) => report.at(now),
            None if publication.is_reporting() => return None,
            None => (wall.ntp(now), layer.arrivals.at(now)?),
        };
        Some((ntp, rtp.wrapping_add(segment.timestamp_offset)))
    }

    /// Returns the layer whose next packet it takes, and the number of that where packets flow.
    pub fn place(&self) -> Option<(LayerIndex, Option<u64>)> {
        match self.current {
            Some(segment) => Some((segment.layer, segment.number_of(self.next_index))),
            None => self.target.map(|layer| (layer, None)),
        }
    }

    /// Returns the layer being forwarded.
    pub fn current_layer(&self) -> Option<LayerIndex> {
        self.current.map(|segment| segment.layer)
    }

    /// The layer that is to be forwarded.
    pub fn target(&self) -> Option<LayerIndex> {
        self.target
    }

    /// Returns whether nothing was sent yet.
    pub fn is_new(&self) -> bool {
        self.seam.is_none()
    }

    /// Returns why this layer is forwarded, or none.
    pub fn reason(&self) -> LayerReason {
        match self.current {
            None if self.is_paused => LayerReason::Paused,
            None => LayerReason::Waiting,
            Some(segment) if Some(segment.layer) != self.target => LayerReason::Switching,
            Some(_) => self.reason,
        }
    }

    fn may_start(&self, publication: &Publication, entry: &BatchEntry) -> bool {
        let cached = &entry.cached;
        if !self.video || cached.keyframe {
            return !cached.packet.payload.is_empty();
        }
        if !cached.frame_start {
            return false;
        }
        let Some(layer) = publication.layer(entry.layer) else { return false };
        if layer.requests.is_opaque() {
            return true;
        }
        let now = cached.packet.received_at;
        let present_flows = self.current.is_some_and(|segment| publication.is_layer_live(segment.layer, now));
        let Some(asked_at) = layer.requests.unanswered_since().max(self.cold.waiting_since) else {
            return false;
        };
        layer.requests.unanswered_since().is_some()
            && !present_flows
            && now.saturating_duration_since(asked_at) >= KEYFRAME_PATIENCE
    }

    /// Begins a segment with the entry.
    fn start(&mut self, publication: &Publication, entry: &BatchEntry) -> Forwarding {
        let cached = &entry.cached;
        let packet = &cached.packet;
        let Some(map) = self.map(packet.payload_type) else {
            return Forwarding::Drop(DropReason::PayloadType);
        };
        let (written, clock_rate) = (Written::from(map), map.clock_rate);
        let timestamp = self.seam.map_or(self.first_timestamp, |seam| {
            let reports = self.reports(publication, entry.layer);
            seam.next(packet.timestamp, packet.received_at, clock_rate, reports)
        });
        let offsets = cached.vp8.as_ref().map_or((0, 0), |vp8| {
            let next_id = self.running.picture_id.map(|id| id.wrapping_add(1));
            let next_tl0 = self.running.tl0.map(|tl0| tl0.wrapping_add(1));
            (
                next_id.zip(vp8.picture_id).map_or(0, |(next, id)| next.wrapping_sub(id) & 0x7fff),
                next_tl0.zip(vp8.tl0).map_or(0, |(next, tl0)| next.wrapping_sub(tl0)),
            )
        });
        let next_frame = self.running.frame_number.map(|number| number.wrapping_add(1));
        let frame_number_offset =
            next_frame.zip(cached.frame_number).map_or(0, |(next, number)| next.wrapping_sub(number));
        self.end_segment();
        let segment = Segment {
            number_start: packet.seq,
            index_start: self.next_index,
            source: cached.source,
            timestamp_offset: timestamp.wrapping_sub(packet.timestamp),
            picture_id_offset: offsets.0,
            tl0_offset: offsets.1,
            frame_number_offset,
            layer: entry.layer,
        };
        self.seam = Some(Seam { timestamp, received_at: packet.received_at });
        self.refresh = false;
        self.gap = false;
        self.current = Some(segment);
        Forwarding::Forward(self.send(&segment, self.next_index, written, cached))
    }

    /// Forwards one more packet of the layer and source being forwarded.
    fn go_on(&mut self, publication: &Publication, segment: Segment, entry: &BatchEntry) -> Forwarding {
        let cached = &entry.cached;
        let number = cached.packet.seq;
        let written = self.written(cached.packet.payload_type);
        self.payload_type =
            written.map(|written| (cached.packet.payload_type, written)).or(self.payload_type);
        let Some(mut index) = segment.index_of(number) else {
            // Late, from before this segment: its index was kept in the segment it belonged to, if any.
            let past = self.cold.history.by_number(entry.layer, cached.source, number);
            return past
                .map_or(Forwarding::Skip, |(past, index)| self.send_late(&past, index, written, cached));
        };
        if self.refresh {
            // Where keyframes cannot be seen, one request is all that can be done.
            let opaque = publication.layer(entry.layer).is_some_and(|layer| layer.requests.is_opaque());
            self.refresh = !cached.keyframe && !opaque;
        }
        if index < self.next_index {
            return self.send_late(&segment, index, written, cached);
        }
        let mut segment = segment;
        if index > self.next_index + GAP_MAX || self.gap {
            segment = self.close_gap(segment, number);
            self.refresh &= !cached.keyframe;
            index = segment.index_start;
        }
        let Some(written) = written else {
            self.leave_out(segment, index, number);
            return Forwarding::Drop(DropReason::PayloadType);
        };
        Forwarding::Forward(self.send(&segment, index, written, cached))
    }

    /// Forwards a packet whose index was kept back, unless that index is no longer ours to use.
    fn send_late(
        &self,
        segment: &Segment,
        index: u64,
        written: Option<Written>,
        cached: &CachedPacket,
    ) -> Forwarding {
        let Some(written) = written else { return Forwarding::Drop(DropReason::PayloadType) };
        if index < self.cold.index_floor {
            return Forwarding::Skip;
        }
        Forwarding::Forward(rewritten(segment, index, written, cached))
    }

    /// Decides the header of the newest packet so far, and takes note of what has been sent.
    fn send(&mut self, segment: &Segment, index: u64, written: Written, cached: &CachedPacket) -> Rewritten {
        let rewritten = rewritten(segment, index, written, cached);
        self.next_index = index + 1;
        self.running.note(segment, cached);
        if self.seam.is_none_or(|seam| is_later(rewritten.timestamp, seam.timestamp)) {
            let received_at = cached.packet.received_at;
            self.seam = Some(Seam { timestamp: rewritten.timestamp, received_at });
        }
        rewritten
    }

    /// Lets the segment go on at `number` with one index left out in place of many. The one tells the receiver that
    /// something is missing; without a keyframe it cannot go on well.
    fn close_gap(&mut self, segment: Segment, number: u64) -> Segment {
        self.cold.history.push(segment, self.next_index);
        let segment = Segment { number_start: number, index_start: self.next_index + 1, ..segment };
        self.current = Some(segment);
        self.gap = false;
        self.refresh = self.video;
        segment
    }

    /// Takes `number` out of the segment, so that the packet after it gets `index`. What is missing before it keeps
    /// its indices.
    fn leave_out(&mut self, segment: Segment, index: u64, number: u64) {
        self.cold.history.push(segment, index);
        self.current = Some(Segment { number_start: number + 1, index_start: index, ..segment });
        self.next_index = index;
    }

    fn end_segment(&mut self) {
        if let Some(segment) = self.current.take() {
            self.cold.history.push(segment, self.next_index);
        }
    }

    /// Returns both layers' reports at a change between two layers of this publication.
    fn reports(&self, publication: &Publication, target: LayerIndex) -> Option<Reports> {
        let segment = self.current?;
        let layer = publication.layer(segment.layer).filter(|layer| layer.source == segment.source)?;
        Some(Reports {
            before: layer.report?,
            offset: segment.timestamp_offset,
            after: publication.layer(target)?.report?,
        })
    }

    fn written(&self, from: u8) -> Option<Written> {
        match self.payload_type {
            Some((known, written)) if known == from => Some(written),
            _ => self.map(from).map(Written::from),
        }
    }

    fn map(&self, from: u8) -> Option<&PayloadMap> {
        self.cold.payload_types.iter().find(|map| map.from == from)
    }
}

/// The header of a packet under an index of a segment: a function of nothing else but the payload types, so that
/// sending it again gives the same.
#[inline]
fn rewritten(segment: &Segment, index: u64, written: Written, cached: &CachedPacket) -> Rewritten {
    let packet = &cached.packet;
    let mut rewritten = Rewritten {
        index,
        timestamp: packet.timestamp.wrapping_add(segment.timestamp_offset),
        payload_type: written.payload_type,
        marker: packet.marker,
        edit: None,
        frame_number: None,
    };
    if segment.renumbers() {
        rewritten.edit = segment.patch(cached.vp8.as_ref()).map(PayloadEdit::Vp8);
        rewritten.frame_number = segment.frame_number_patch(cached.frame_number);
    }
    if written.form != PayloadForm::Whole {
        (rewritten.marker, rewritten.edit) = formed(written.form, cached, rewritten.edit);
    }
    rewritten
}

/// Marker and payload in another form than the publisher's; `edit` is what is written of it otherwise.
#[inline(never)]
fn formed(
    form: PayloadForm,
    cached: &CachedPacket,
    edit: Option<PayloadEdit>,
) -> (bool, Option<PayloadEdit>) {
    let packet = &cached.packet;
    match (form, cached.spatial) {
        (PayloadForm::Renumbered { from, to }, _) => (packet.marker, Some(PayloadEdit::Red { from, to })),
        (PayloadForm::Unpacked, _) => (packet.marker, Some(unpacked(&packet.payload))),
        (PayloadForm::LowestLayer, SpatialPlace::Lowest { ends_frame }) => (ends_frame, edit),
        // What lies above keeps its number and nothing else, so that nobody waits for it.
        (PayloadForm::LowestLayer, SpatialPlace::Upper) => (false, Some(PayloadEdit::Empty)),
        (PayloadForm::LowestLayer, SpatialPlace::Unknown) | (PayloadForm::Whole, _) => (packet.marker, edit),
    }
}

/// What redundancy is around. Of what only claims to be redundancy nothing can be played.
fn unpacked(payload: &[u8]) -> PayloadEdit {
    let start = red::primary(payload).and_then(|start| u16::try_from(start).ok());
    start.map_or(PayloadEdit::Empty, PayloadEdit::From)
}

/// The index with which a stream goes on in a new SRTP context. The receiver's RTP side has not changed with its keys,
/// so the sequence number goes on where it may, else forward over the wrap. The two numbers from which that would be
/// half the circle or more, and look like going back, repeat one or two numbers instead.
fn rebased(next_index: u64) -> u64 {
    match next_index & 0xffff {
        seq if seq < INDEX_START_MAX + 2 => seq.min(INDEX_START_MAX - 1),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
