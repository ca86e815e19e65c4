//! Synthetic media: when frames are due, and what their packets hold.
//!
//! Video leaves in bursts of one frame, as real encoders send it, behind a true VP8 payload descriptor
//! (RFC 7741 4.2); the picture itself is filler. A keyframe is sent at the beginning and at the next frame after
//! it was asked for. Audio is one packet per interval.

use std::time::{Duration, Instant};

use crate::stamp::{STAMP_BYTES, Stamp};

/// Bytes of the payload descriptor in front of every video packet.
pub const VIDEO_DESCRIPTOR_BYTES: usize = 6;
/// Descriptor, keyframe header and mark.
const VIDEO_BYTES_MIN: usize = VIDEO_DESCRIPTOR_BYTES + 10 + STAMP_BYTES;
/// Interval of audio packets.
const AUDIO_INTERVAL: Duration = Duration::from_millis(20);

/// What a source sends.
#[derive(Debug, Clone)]
pub enum Media {
    /// Opus-like packets, 50 per second.
    Audio {
        /// Payload bytes of each.
        payload_bytes: usize,
    },
    /// VP8-like frames.
    Video {
        /// Frames per second.
        fps: u32,
        /// Payload bytes of each packet.
        payload_bytes: usize,
        /// The layers, best first; one without a name is no simulcast.
        layers: Vec<Layer>,
    },
}

/// One simulcast layer, or the only one.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Its name; empty without simulcast.
    pub rid: String,
    /// Packets of each second.
    pub packets_per_second: u32,
}

impl Media {
    /// Audio of a usual packet size.
    pub fn audio() -> Self {
        Self::Audio { payload_bytes: 80 }
    }

    /// Video without simulcast.
    pub fn video(fps: u32, packets_per_second: u32, payload_bytes: usize) -> Self {
        let layers = vec![Layer { rid: String::new(), packets_per_second }];
        Self::Video { fps, payload_bytes, layers }
    }

    /// Whether it is video.
    pub fn is_video(&self) -> bool {
        matches!(self, Self::Video { .. })
    }

    /// RTP clock rate, Hz.
    pub fn clock_rate(&self) -> u32 {
        if self.is_video() { 90_000 } else { 48_000 }
    }

    /// Names of the simulcast layers.
    pub fn rids(&self) -> impl Iterator<Item = &str> {
        let layers = match self {
            Self::Audio { .. } => &[][..],
            Self::Video { layers, .. } => layers,
        };
        layers.iter().map(|layer| layer.rid.as_str()).filter(|rid| !rid.is_empty())
    }

    /// Bytes of the payload descriptor in front of each packet.
    pub fn descriptor_bytes(video: bool) -> usize {
        if video { VIDEO_DESCRIPTOR_BYTES } else { 0 }
    }
}

/// One packet that is due.
#[derive(Debug, Clone)]
pub struct DuePacket {
    /// Index of the layer.
    pub layer: usize,
    /// Sequence number, extended.
    pub seq: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// Marker bit: last packet of a frame.
    pub marker: bool,
    /// Payload.
    pub payload: Vec<u8>,
    /// Level of its sound, dB below full scale (RFC 6464); none for pictures.
    pub level: Option<u8>,
}

/// What a layer has sent.
#[derive(Debug, Clone, Default)]
pub struct LayerTotals {
    /// Packets; also the counter of the next one.
    pub packets: u64,
    /// Keyframes.
    pub keyframes: u64,
    /// When keyframes were asked for.
    pub keyframe_requests: Vec<Instant>,
}

#[derive(Debug)]
struct LayerState {
    packets_per_second: u32,
    /// Packets owed to the rate, in units of one packet over the frame rate.
    owed: u32,
    first_seq: u64,
    picture: u16,
    keyframe_wanted: bool,
    totals: LayerTotals,
}

/// A running source.
#[derive(Debug)]
pub struct Source {
    id: u32,
    video: bool,
    clock_rate: u32,
    payload_bytes: usize,
    interval: Duration,
    frames_per_second: u32,
    begun: Option<Instant>,
    frames: u64,
    first_timestamp: u32,
    paused: bool,
    level: Option<u8>,
    layers: Vec<LayerState>,
}

/// Keyframe requests that are remembered of one layer.
const REQUESTS_REMEMBERED: usize = 10_000;

impl Source {
    /// Makes a source that waits to be started. `id` marks its packets and varies its first numbers.
    pub fn new(id: u32, media: &Media) -> Self {
        let (interval, frames_per_second, payload_bytes, rates) = match media {
            Media::Audio { payload_bytes } => {
                (AUDIO_INTERVAL, 50, (*payload_bytes).max(STAMP_BYTES), vec![50])
            }
            Media::Video { fps, payload_bytes, layers } => {
                let fps = (*fps).clamp(1, 1000);
                let rates = layers.iter().map(|layer| layer.packets_per_second).collect();
                (Duration::from_secs(1) / fps, fps, (*payload_bytes).max(VIDEO_BYTES_MIN), rates)
            }
        };
        let layers = rates
            .into_iter()
            .zip(0u64..)
            .map(|(packets_per_second, index)| LayerState {
                packets_per_second,
                owed: 0,
                // Low enough that no index passes a rollover before its receiver has seen the stream.
                first_seq: 1 + (u64::from(id) * 131 + index * 977) % 8000,
                picture: (id.wrapping_mul(57) & 0x0fff) as u16,
                keyframe_wanted: true,
                totals: LayerTotals::default(),
            })
            .collect();
        Self {
            id,
            video: media.is_video(),
            clock_rate: media.clock_rate(),
            payload_bytes,
            interval,
            frames_per_second,
            begun: None,
            frames: 0,
            first_timestamp: id.wrapping_mul(0x9e37_79b9),
            paused: false,
            level: None,
            layers,
        }
    }

    /// The mark of its packets.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Whether it is video.
    pub fn is_video(&self) -> bool {
        self.video
    }

    /// Begins to send, if it has not.
    pub fn start(&mut self, now: Instant) {
        self.begun.get_or_insert(now);
    }

    /// Says how loud it is from now on: dB below full scale (RFC 6464), or nothing.
    pub fn set_level(&mut self, level: Option<u8>) {
        self.level = level;
    }

    /// Stops sending for now; the frames of the pause are never sent.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// Goes on after a pause.
    pub fn resume(&mut self, now: Instant) {
        if let Some(begun) = self.begun.filter(|_| self.paused) {
            let passed = now.saturating_duration_since(begun).as_nanos() / self.interval.as_nanos().max(1);
            self.frames = self.frames.max(u64::try_from(passed).unwrap_or(u64::MAX) + 1);
        }
        self.paused = false;
    }

    /// When the next frame is due; `None` before the start and while paused.
    pub fn next_at(&self) -> Option<Instant> {
        let begun = self.begun.filter(|_| !self.paused)?;
        Some(begun + Duration::from_nanos(self.frame_offset(self.frames)))
    }

    /// Wants the next frame of a layer to be a keyframe.
    pub fn request_keyframe(&mut self, layer: usize, now: Instant) {
        if let Some(layer) = self.layers.get_mut(layer) {
            layer.keyframe_wanted = true;
            if layer.totals.keyframe_requests.len() < REQUESTS_REMEMBERED {
                layer.totals.keyframe_requests.push(now);
            }
        }
    }

    /// What each layer has sent.
    pub fn totals(&self) -> impl Iterator<Item = &LayerTotals> {
        self.layers.iter().map(|layer| &layer.totals)
    }

    /// The sequence number under which a layer sends, or has sent, the packet with that counter.
    pub fn seq_of(&self, layer: usize, counter: u64) -> Option<u64> {
        Some(self.layers.get(layer)?.first_seq + counter)
    }

    /// The packets of one frame, if one is due. `sent` is the present moment in nanoseconds from the epoch.
    pub fn poll(&mut self, now: Instant, sent: u64) -> Vec<DuePacket> {
        let mut due = Vec::new();
        if self.next_at().is_none_or(|at| at > now) {
            return due;
        }
        let elapsed = self.frame_offset(self.frames);
        let ticks = u128::from(elapsed) * u128::from(self.clock_rate) / 1_000_000_000;
        let timestamp = self.first_timestamp.wrapping_add((ticks & 0xffff_ffff) as u32);
        self.frames += 1;
        let frame = Frame {
            source: self.id,
            video: self.video,
            payload_bytes: self.payload_bytes,
            frames_per_second: self.frames_per_second,
            timestamp,
            sent,
            level: self.level,
        };
        for (index, layer) in self.layers.iter_mut().enumerate() {
            layer.frame(index, &frame, &mut due);
        }
        due
    }

    fn frame_offset(&self, frame: u64) -> u64 {
        // Multiplied before divided, so that no error adds up.
        let nanos = u128::from(frame) * 1_000_000_000 / u128::from(self.frames_per_second);
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }
}

struct Frame {
    source: u32,
    video: bool,
    payload_bytes: usize,
    frames_per_second: u32,
    timestamp: u32,
    sent: u64,
    level: Option<u8>,
}

impl LayerState {
    fn frame(&mut self, index: usize, frame: &Frame, due: &mut Vec<DuePacket>) {
        self.owed += self.packets_per_second;
        let count = (self.owed / frame.frames_per_second).max(1);
        self.owed = self.owed.saturating_sub(count * frame.frames_per_second);
        let keyframe = frame.video && std::mem::take(&mut self.keyframe_wanted);
        if keyframe {
            self.totals.keyframes += 1;
        }
        for packet in 0..count {
            let mut payload = vec![0x5a; frame.payload_bytes];
            if frame.video {
                self.describe(&mut payload, packet == 0, keyframe);
            }
            let stamp = Stamp {
                source: frame.source,
                layer: (index & 0xff) as u8,
                keyframe: keyframe && packet == 0,
                counter: self.totals.packets,
                sent: frame.sent,
            };
            stamp.write(&mut payload, Media::descriptor_bytes(frame.video));
            due.push(DuePacket {
                layer: index,
                seq: self.first_seq + self.totals.packets,
                timestamp: frame.timestamp,
                marker: if frame.video { packet + 1 == count } else { self.totals.packets == 0 },
                payload,
                level: frame.level,
            });
            self.totals.packets += 1;
        }
        self.picture = (self.picture + 1) & 0x7fff;
    }

    /// Payload descriptor of RFC 7741 4.2 with all its fields, and at the beginning of a frame the frame header
    /// of RFC 6386 9.1.
    fn describe(&self, payload: &mut [u8], first: bool, keyframe: bool) {
        let [high, low] = self.picture.to_be_bytes();
        let start = if first { 0x10 } else { 0 };
        // X with S; I, L and T; the picture id in 15 bits; its low half as TL0PICIDX; TID 0 and KEYIDX 0.
        let descriptor = [0x80 | start, 0xe0, 0x80 | high, low, low, 0];
        let header: &[u8] = match (first, keyframe) {
            (true, true) => &[0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01],
            (true, false) => &[0x11, 0, 0],
            _ => &[],
        };
        payload.iter_mut().zip(descriptor.iter().chain(header)).for_each(|(to, from)| *to = *from);
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an Instant has no other beginning; the test only adds to it")]
mod tests {
    use super::*;

    fn run(source: &mut Source, base: Instant, span: Duration) -> Vec<DuePacket> {
        source.start(base);
        let mut all = Vec::new();
        while let Some(at) = source.next_at().filter(|at| *at < base + span) {
            all.extend(source.poll(at, 0));
        }
        all
    }

    #[test]
    fn a_second_holds_the_packets_of_the_rate_whatever_the_frame_rate() {
        for (fps, rate) in [(30, 250), (30, 30), (24, 100), (7, 1000)] {
            let mut source = Source::new(1, &Media::video(fps, rate, 1100));
            let packets = run(&mut source, Instant::now(), Duration::from_secs(1));
            assert_eq!(packets.len() as u32, rate, "{fps} {rate}");
            assert_eq!(packets.iter().filter(|packet| packet.marker).count() as u32, fps);
            assert!(packets.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1));
            assert!(packets.iter().all(|packet| packet.payload.len() == 1100));
        }
    }

    #[test]
    fn a_keyframe_comes_first_and_once_for_each_request() {
        let base = Instant::now();
        let mut source = Source::new(3, &Media::video(30, 90, 300));
        source.start(base);
        let keyframe = |source: &mut Source| {
            let at = source.next_at().unwrap();
            let packets = source.poll(at, 0);
            let flags: Vec<bool> = packets
                .iter()
                .map(|packet| Stamp::read(&packet.payload, VIDEO_DESCRIPTOR_BYTES).unwrap().keyframe)
                .collect();
            assert!(!flags[1..].contains(&true));
            // RFC 7741 4.3: the P bit of the frame header is 0 in keyframes.
            assert_eq!(packets[0].payload[VIDEO_DESCRIPTOR_BYTES] & 1 == 0, flags[0]);
            flags[0]
        };
        assert!(keyframe(&mut source));
        assert!(!keyframe(&mut source));
        source.request_keyframe(0, base);
        source.request_keyframe(0, base);
        assert!(keyframe(&mut source));
        assert!(!keyframe(&mut source));
        assert_eq!(source.totals().map(|totals| totals.keyframes).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn frames_of_a_pause_are_never_sent() {
        let base = Instant::now();
        let mut source = Source::new(3, &Media::audio());
        assert_eq!(run(&mut source, base, Duration::from_secs(1)).len(), 50);
        source.pause();
        assert_eq!(source.next_at(), None);
        source.resume(base + Duration::from_secs(2));
        assert!(source.next_at().unwrap() > base + Duration::from_secs(2));
        assert_eq!(run(&mut source, base, Duration::from_secs(3)).len(), 49);
    }
}
