//! One layer of a publication: its numbering, cache, keyframe requests, clock and figures.

use std::time::{Duration, Instant};

use super::keyframe::KeyframeRequests;
use super::numbering::{Numbering, Place};
use super::publication::PushOutcome;
use super::recent::{AGE_MAX, Since};
use super::resend::{CachedPacket, ResendCache};
use super::segment::Vp8Numbers;
use super::timing::{ArrivalClock, ReportedTime};
use crate::rtp::codec::starts_keyframe;
use crate::rtp::codec::vp8::Vp8Descriptor;
use crate::rtp::descriptor::{Templates, begins_sequence, frame_number, has_structure};
use crate::rtp::{Codec, ExtensionKind, MediaKind, Packet, SpatialPlace};

/// Time without media after which a layer counts as not being sent.
pub const LAYER_DEAD_AFTER: Duration = Duration::from_millis(1500);

/// Span over which a bitrate is measured.
const RATE_SPAN: Duration = Duration::from_secs(1);

/// Figures of one layer, for choice and statistics.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerView<'a> {
    /// Name; `None` without simulcast.
    pub rid: Option<&'a str>,
    /// Whether media came within [`LAYER_DEAD_AFTER`].
    pub live: bool,
    /// Codec of the newest packet.
    pub codec: Option<Codec>,
    /// When the newest media packet came.
    pub last_packet_at: Option<Instant>,
    /// Bits per second over the last whole second; 0 before the first.
    pub bitrate_bps: u64,
    /// Smoothed bitrate by which layers are ranked; `None` until the layer has been sent for a second.
    pub rank_bps: Option<u64>,
    /// Media packets received.
    pub packets: u64,
    /// Payload bytes of these.
    pub bytes: u64,
    /// Packets that never came (RFC 3550 A.3: expected less received).
    pub lost: u64,
    /// Interarrival jitter of frames (RFC 3550 A.8), milliseconds.
    pub jitter_ms: f64,
    /// Keyframes seen.
    pub keyframes: u64,
    /// Keyframe requests sent to the publisher.
    pub keyframe_requests: u64,
}

#[derive(Debug)]
pub(crate) struct Layer {
    /// Its name, which is `None` within where there is no simulcast; `None` while the place is free.
    pub(crate) name: Option<Option<Box<str>>>,
    /// Rises with each change of what is sent here, of its name as well, so that place and source name a layer for ever.
    pub(crate) source: u32,
    pub(crate) cache: ResendCache,
    pub(crate) requests: KeyframeRequests,
    pub(crate) report: Option<ReportedTime>,
    /// When others were told of a report.
    pub(crate) clock_told_at: Option<Instant>,
    pub(crate) arrivals: ArrivalClock,
    kind: MediaKind,
    numbering: Numbering,
    /// Number and timestamp of the newest packet of this source.
    newest: Option<(u64, u32)>,
    /// Timestamp of the newest keyframe of this source.
    keyframe_timestamp: Option<u32>,
    /// The newest keyframe of this source with which a newcomer might begin.
    since: Option<Since>,
    /// Whether a descriptor of this source has told where a keyframe begins.
    is_described: bool,
    /// Which spatial layers its packets are of, as far as their descriptors tell.
    templates: Option<Box<Templates>>,
    codec: Option<Codec>,
    last_packet_at: Option<Instant>,
    rate: Rate,
    jitter: Jitter,
    packets: u64,
    bytes: u64,
    keyframes: u64,
}

impl Layer {
    /// Makes a place for a layer, which is free.
    pub(crate) fn new(kind: MediaKind) -> Self {
        Self {
            name: None,
            source: 0,
            kind,
            cache: ResendCache::new(kind),
            requests: KeyframeRequests::default(),
            report: None,
            clock_told_at: None,
            arrivals: ArrivalClock::default(),
            numbering: Numbering::default(),
            newest: None,
            keyframe_timestamp: None,
            since: None,
            is_described: false,
            templates: None,
            codec: None,
            last_packet_at: None,
            rate: Rate::default(),
            jitter: Jitter::default(),
            packets: 0,
            bytes: 0,
            keyframes: 0,
        }
    }

    /// Its name; `None` without simulcast.
    pub(crate) fn rid(&self) -> Option<&str> {
        self.name.as_ref()?.as_deref()
    }

    /// Takes a name, if it has another.
    pub(crate) fn rename(&mut self, rid: Option<&str>) {
        if self.name.as_ref().is_some_and(|name| name.as_deref() == rid) {
            return;
        }
        self.free();
        self.name = Some(rid.map(Box::from));
    }

    /// Lets go of everything but the numbers: they go on rising, so that none of this place ever means two packets.
    pub(crate) fn free(&mut self) {
        if self.name.take().is_none() {
            return;
        }
        self.reset_source(self.source.wrapping_add(1));
        self.cache = ResendCache::new(self.kind);
        self.requests = KeyframeRequests::default();
        (self.codec, self.last_packet_at) = (None, None);
        self.rate = Rate::default();
        (self.packets, self.bytes, self.keyframes) = (0, 0, 0);
    }

    pub(crate) fn reset_source(&mut self, source: u32) {
        self.source = source;
        self.numbering.reset();
        self.requests.reset_source();
        self.report = None;
        self.clock_told_at = None;
        self.arrivals = ArrivalClock::default();
        self.newest = None;
        self.keyframe_timestamp = None;
        self.since = None;
        self.is_described = false;
        self.templates = None;
        self.jitter = Jitter::default();
    }

    /// Takes a packet; answers what is to be forwarded of it, for padding an empty packet, or why nothing is.
    pub(crate) fn take(
        &mut self,
        codec: Codec,
        mut packet: Packet,
        now: Instant,
    ) -> Result<CachedPacket, PushOutcome> {
        let padding = packet.payload.is_empty();
        let (number, newest) = match self.numbering.place(packet.seq, padding) {
            Place::Numbered { number, newest } => (number, newest),
            Place::Closed => return Err(PushOutcome::Padding),
            Place::Duplicate => return Err(PushOutcome::Duplicate),
            Place::TooOld => return Err(PushOutcome::TooOld),
        };
        packet.seq = number;
        let mut cached = CachedPacket {
            codec,
            packet,
            source: self.source,
            keyframe: false,
            frame_start: false,
            vp8: None,
            frame_number: None,
            spatial: SpatialPlace::Unknown,
        };
        if !padding {
            self.look_inside(codec, &mut cached, newest);
            self.count(codec, &cached, newest, now);
            self.requests.observe(cached.keyframe, now);
        }
        self.cache.insert(cached.clone());
        self.note_since(&cached);
        Ok(cached)
    }

    fn note_since(&mut self, cached: &CachedPacket) {
        let (number, bytes) = (cached.packet.seq, cached.packet.payload.len());
        if cached.keyframe && self.since.is_none_or(|since| since.first() < number) {
            let bytes_of = |number| self.cache.get(number).map(|held| held.packet.payload.len());
            self.since = Since::begin(number, &self.cache.held(), bytes_of);
        } else if let Some(since) = &mut self.since {
            since.add(number, bytes);
        }
    }

    /// The number with which a newcomer may begin at once: of the newest keyframe, while that is young, all that came since is
    /// there, and it is not too much.
    pub(crate) fn beginning(&self, now: Instant) -> Option<u64> {
        let since = self.since.filter(|since| since.is_whole(self.cache.held().end))?;
        let first = &self.cache.get(since.first())?.packet;
        (now.saturating_duration_since(first.received_at) <= AGE_MAX).then_some(first.seq)
    }

    /// Lets no newcomer begin with what has come.
    pub(crate) fn forget_keyframe(&mut self) {
        self.since = None;
    }

    fn look_inside(&mut self, codec: Codec, cached: &mut CachedPacket, newest: bool) {
        let packet = &cached.packet;
        if codec == Codec::Vp8 {
            cached.vp8 = Vp8Descriptor::parse(&packet.payload).map(Vp8Numbers::from);
        }
        let descriptor =
            packet.extensions.iter().find(|(kind, _)| *kind == ExtensionKind::DependencyDescriptor);
        if let Some((_, descriptor)) = descriptor {
            self.is_described |= has_structure(descriptor);
            cached.frame_number = frame_number(descriptor);
            if codec == Codec::Av1 {
                cached.spatial = self.templates.get_or_insert_default().place(descriptor);
            }
        }
        // Who goes on without descriptors says no longer by them where a keyframe is.
        self.is_described &= descriptor.is_some() || !newest || packet.payload.is_empty();
        cached.frame_start = newest
            && self
                .newest
                .is_some_and(|(number, timestamp)| number + 1 == packet.seq && timestamp != packet.timestamp);
        // A keyframe may begin with several packets that look like its start (parameter sets, slices); a
        // subscription must start at the first of them. What a descriptor says holds for encrypted payloads as well.
        cached.keyframe = self.keyframe_timestamp != Some(packet.timestamp)
            && codec.kind() == MediaKind::Video
            && if self.is_described {
                descriptor.is_some_and(|(_, descriptor)| begins_sequence(descriptor))
            } else {
                starts_keyframe(codec, &packet.payload)
            };
        if cached.keyframe {
            self.keyframe_timestamp = Some(packet.timestamp);
            self.keyframes += 1;
        }
    }

    fn count(&mut self, codec: Codec, cached: &CachedPacket, newest: bool, now: Instant) {
        let packet = &cached.packet;
        if newest {
            if self.newest.is_none_or(|(_, timestamp)| timestamp != packet.timestamp) {
                self.jitter.observe(packet.received_at, packet.timestamp, codec.clock_rate());
                if self.report.is_none() {
                    self.arrivals.observe(packet.timestamp, packet.received_at, codec.clock_rate());
                }
            }
            self.newest = Some((packet.seq, packet.timestamp));
            self.codec = Some(codec);
        }
        if !self.is_live(now) {
            // What was measured before a pause says nothing about what begins after it.
            self.rate = Rate::default();
        }
        self.rate.add(packet.payload.len() as u64, now);
        self.last_packet_at = Some(now);
        self.packets += 1;
        self.bytes += packet.payload.len() as u64;
    }

    pub(crate) fn is_live(&self, now: Instant) -> bool {
        came_within(LAYER_DEAD_AFTER, self.last_packet_at, now)
    }

    pub(crate) fn view(&self, now: Instant) -> LayerView<'_> {
        let live = self.is_live(now);
        LayerView {
            rid: self.rid(),
            live,
            codec: self.codec,
            last_packet_at: self.last_packet_at,
            bitrate_bps: self.rate.last_second(now),
            rank_bps: self.rate.smooth_bps.filter(|_| live),
            packets: self.packets,
            bytes: self.bytes,
            lost: self.numbering.lost(),
            jitter_ms: self.jitter.milliseconds(),
            keyframes: self.keyframes,
            keyframe_requests: self.requests.requests(),
        }
    }

    pub(crate) fn rank_bps(&self) -> Option<u64> {
        self.rate.smooth_bps
    }
}

/// Whether the newest packet came less than so long ago.
pub(crate) fn came_within(span: Duration, newest: Option<Instant>, now: Instant) -> bool {
    // All packets of a tick share its moment, and the comparison is quicker than the difference.
    newest.is_some_and(|at| at == now || now.saturating_duration_since(at) < span)
}

/// Bitrate over spans of a second that follow each other.
#[derive(Debug, Default)]
struct Rate {
    span_start: Option<Instant>,
    span_bytes: u64,
    last_bps: u64,
    smooth_bps: Option<u64>,
}

impl Rate {
    fn add(&mut self, bytes: u64, now: Instant) {
        let start = *self.span_start.get_or_insert(now);
        let elapsed = now.saturating_duration_since(start);
        if elapsed >= RATE_SPAN {
            self.last_bps = bits_per_second(self.span_bytes, elapsed);
            self.smooth_bps =
                Some(self.smooth_bps.map_or(self.last_bps, |smooth| (3 * smooth + self.last_bps) / 4));
            self.span_start = Some(now);
            self.span_bytes = 0;
        }
        self.span_bytes += bytes;
    }

    /// Without packets the span grows beyond a second, and the rate falls to nothing.
    fn last_second(&self, now: Instant) -> u64 {
        let Some(start) = self.span_start else { return 0 };
        let elapsed = now.saturating_duration_since(start);
        if elapsed >= RATE_SPAN { bits_per_second(self.span_bytes, elapsed) } else { self.last_bps }
    }
}

fn bits_per_second(bytes: u64, elapsed: Duration) -> u64 {
    let micros = elapsed.as_micros().max(1);
    u64::try_from(u128::from(bytes) * 8 * 1_000_000 / micros).unwrap_or(u64::MAX)
}

/// Interarrival jitter, taken between first packets of frames: the packets within a video frame share a timestamp
/// and are paced, which RFC 3550 would count as jitter.
#[derive(Debug, Default)]
struct Jitter {
    last: Option<(Instant, u32)>,
    seconds: f64,
}

impl Jitter {
    fn observe(&mut self, received_at: Instant, timestamp: u32, clock_rate: u32) {
        if let Some((last_at, last_timestamp)) = self.last {
            let arrival = received_at.saturating_duration_since(last_at).as_secs_f64();
            let media =
                f64::from(timestamp.wrapping_sub(last_timestamp).cast_signed()) / f64::from(clock_rate);
            self.seconds += ((arrival - media).abs() - self.seconds) / 16.0;
        }
        self.last = Some((received_at, timestamp));
    }

    fn milliseconds(&self) -> f64 {
        self.seconds * 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::fixture::base_instant;

    fn ms(ms: u64) -> Instant {
        base_instant() + Duration::from_millis(ms)
    }

    #[test]
    fn bitrate_is_that_of_the_last_second_and_falls_when_nothing_comes() {
        let mut rate = Rate::default();
        for at in (0..3000).step_by(10) {
            rate.add(1000, ms(at));
        }
        assert_eq!(rate.last_second(ms(2990)), 800_000);
        assert_eq!(rate.smooth_bps, Some(800_000));
        assert!(rate.last_second(ms(6000)) < 400_000);
        assert_eq!(Rate::default().last_second(ms(0)), 0);
    }

    #[test]
    fn jitter_is_nothing_for_frames_in_step_and_grows_when_they_are_not() {
        let mut jitter = Jitter::default();
        for frame in 0..100_u32 {
            jitter.observe(ms(u64::from(frame) * 20), frame.wrapping_mul(1800).wrapping_sub(3600), 90_000);
        }
        assert!(jitter.milliseconds() < 0.001);
        for frame in 100..400_u32 {
            let late = u64::from(frame % 2) * 10;
            jitter.observe(
                ms(u64::from(frame) * 20 + late),
                frame.wrapping_mul(1800).wrapping_sub(3600),
                90_000,
            );
        }
        assert!((jitter.milliseconds() - 10.0).abs() < 0.5);
    }
}
