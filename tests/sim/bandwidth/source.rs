//! A publisher of three layers and sound, as its packets reach the server.

use std::collections::VecDeque;

use ringcast::congestion::Micros;

use super::Rng;

/// Payload of the layers, bits per second, from the cheapest to the best.
pub(crate) const LAYERS: [u64; 3] = [200_000, 600_000, 1_200_000];

/// Frames per second.
const FRAMES: u64 = 25;

/// What a keyframe is as a frame.
const KEYFRAME: f64 = 5.0;

/// Largest payload, and what is added to each: headers of IP, UDP and RTP, extensions, tag.
const PAYLOAD: u64 = 1_150;
const HEADERS: u64 = 66;

/// Time between packets of one frame.
const SPACING: Micros = 1_500;

/// Round trip between publisher and server, and the longest that requests are gathered and an encoder takes its time.
const ROUND_TRIP: Micros = 50_000;
const GATHERED: f64 = 300_000.0;

/// Audio: bytes of a packet with headers, and time between two: 58 kbit/s.
pub(crate) const AUDIO_BYTES: u64 = 145;
pub(crate) const AUDIO_EVERY: Micros = 20_000;
pub(crate) const AUDIO_BPS: u64 = 58_000;

/// A packet as it reaches the server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Published {
    /// `None` for audio.
    pub(crate) layer: Option<usize>,
    pub(crate) bytes: u64,
    /// Whether a keyframe begins with it.
    pub(crate) begins_keyframe: bool,
}

#[derive(Debug)]
pub(crate) struct Source {
    rng: Rng,
    next_frame: Micros,
    next_audio: Micros,
    keyframe_at: [Option<Micros>; 3],
    waiting: [VecDeque<(Micros, Published)>; 3],
}

impl Source {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            next_frame: 0,
            next_audio: 0,
            keyframe_at: [Some(0); 3],
            waiting: Default::default(),
        }
    }

    /// Asks for a keyframe of a layer.
    pub(crate) fn ask(&mut self, now: Micros, layer: usize) {
        let at = now + ROUND_TRIP + (self.rng.share() * GATHERED) as Micros;
        self.keyframe_at[layer].get_or_insert(at);
    }

    /// What reaches the server up to this moment.
    pub(crate) fn packets(&mut self, now: Micros, into: &mut Vec<Published>) {
        into.clear();
        if now >= self.next_audio {
            self.next_audio += AUDIO_EVERY;
            into.push(Published { layer: None, bytes: AUDIO_BYTES, begins_keyframe: false });
        }
        if now >= self.next_frame {
            self.next_frame += 1_000_000 / FRAMES;
            (0..LAYERS.len()).for_each(|layer| self.frame(now, layer));
        }
        for waiting in &mut self.waiting {
            while let Some((_, packet)) = waiting.pop_front_if(|(at, _)| *at <= now) {
                into.push(packet);
            }
        }
    }

    fn frame(&mut self, now: Micros, layer: usize) {
        let is_keyframe = self.keyframe_at[layer].take_if(|at| *at <= now).is_some();
        let mean = (LAYERS[layer] / FRAMES / 8) as f64;
        let factor = if is_keyframe { KEYFRAME } else { 0.7 + 0.6 * self.rng.share() };
        let mut left = (mean * factor) as u64;
        let count = left.div_ceil(PAYLOAD);
        let mut at = self.waiting[layer].back().map_or(now, |(at, _)| now.max(*at + SPACING));
        for packet in 0..count {
            let payload = left.div_ceil(count - packet);
            left -= payload;
            let begins_keyframe = is_keyframe && packet == 0;
            let packet = Published { layer: Some(layer), bytes: payload + HEADERS, begins_keyframe };
            self.waiting[layer].push_back((at, packet));
            at += SPACING;
        }
    }
}
