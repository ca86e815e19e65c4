//! A server between a publisher and one viewer, in steps of a millisecond: estimate, allocation, pacing, repair, probes.

use std::collections::VecDeque;

use ringcast::congestion::pacer::{HELD_MAX, Pacer, RELEASE_EVERY};
use ringcast::congestion::{Demand, Micros, Probe, Purpose, State};
use ringcast::router::allocation::{Allocation, Level, Path, Standing, Wish};

use super::control::{Control, Reported, outgoing};
use super::link::{Link, Spec};
use super::source::{AUDIO_BPS, LAYERS, Published, Source};
use super::viewer::{Said, Sent, Viewer};

/// Packets that are remembered.
const HISTORY: u64 = 4096;

/// Held packets after which a picture is given up.
const HELD_PACKETS: usize = 128;

/// The size of padding.
const PADDING: u64 = 1_000;

/// What came of a run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figures {
    /// Seconds in which each layer was forwarded; and none.
    pub(crate) seconds: [f64; 3],
    pub(crate) none: f64,
    pub(crate) switches: f64,
    /// Queueing of our packets, milliseconds: 95th percentile and longest.
    pub(crate) queue_ms: (u64, u64),
    /// Shares lost, of audio and, after repair, of video; and the share of bytes that were probes.
    pub(crate) audio_lost: f64,
    pub(crate) video_lost: f64,
    pub(crate) probes: f64,
    /// When the best layer was forwarded first, seconds.
    pub(crate) best_at: Option<f64>,
}

/// A server, with the estimator under test.
pub(crate) struct Run<C> {
    control: C,
    link: Link<Sent>,
    viewer: Viewer,
    source: Source,
    allocation: Allocation,
    standing: [Standing; 1],
    pacer: Pacer,
    history: VecDeque<Reported>,
    next_number: u64,
    next_video: u64,
    videos: VecDeque<(u64, u64)>,
    /// The layer that is forwarded, and the one that waits for its keyframe.
    layer: Option<usize>,
    awaited: Option<usize>,
    held: VecDeque<(Micros, Published)>,
    release_at: Micros,
    probe: Option<(Probe, u64, u32, Micros)>,
    repair: f64,
    divided_at: Micros,
    divided_for: u64,
    /// What the estimate would have to be for what is sent.
    needed: u64,
    queues: Vec<u16>,
    layers: [u64; 4],
    figures: Figures,
    audio: u64,
    bytes: (u64, u64),
    pub(crate) trace: Option<Vec<String>>,
}

impl<C: Control> Run<C> {
    pub(crate) fn new(control: C, spec: Spec, seed: u64) -> Self {
        let round_trip_ms = spec.round_trip_ms;
        Self {
            control,
            link: Link::new(spec, seed),
            viewer: Viewer::new(round_trip_ms),
            source: Source::new(seed + 1000),
            allocation: Allocation::default(),
            standing: Default::default(),
            pacer: Pacer::new(0, 300_000),
            history: VecDeque::new(),
            next_number: 0,
            next_video: 0,
            videos: VecDeque::new(),
            layer: None,
            awaited: None,
            held: VecDeque::new(),
            release_at: 0,
            probe: None,
            repair: 0.0,
            divided_at: 0,
            divided_for: 0,
            needed: 0,
            queues: Vec::new(),
            layers: [0; 4],
            figures: Figures::default(),
            audio: 0,
            bytes: (0, 0),
            trace: None,
        }
    }

    /// Runs for so many seconds, and tells what came of it.
    pub(crate) fn run(mut self, seconds: u64) -> (Figures, Vec<String>) {
        let mut published = Vec::new();
        for millisecond in 0..seconds * 1000 {
            let now = millisecond * 1000;
            self.link.advance(now);
            while let Some((at, packet)) = self.link.arrived(now) {
                self.viewer.receive(at, packet);
            }
            self.viewer.advance(now);
            while let Some(said) = self.viewer.said(now) {
                self.hear(now, said);
            }
            self.control.tick(now);
            if let Some(probe) = self.control.probe(now) {
                self.note(now, || format!("probe {} of {} B", probe.bps / 1000, probe.bytes));
                self.probe = Some((probe, 0, 0, now));
            }
            self.divide(now);
            self.source.packets(now, &mut published);
            published.sort_by_key(|packet| packet.layer);
            for packet in &published {
                self.forward(now, *packet);
            }
            self.release(now);
            self.pad(now);
            self.layers[self.layer.unwrap_or(3)] += 1;
        }
        // What is still under way arrives, and is not lost.
        for now in (seconds * 1000..seconds * 1000 + 3_000).map(|millisecond| millisecond * 1000) {
            self.link.advance(now);
            while let Some((at, packet)) = self.link.arrived(now) {
                self.viewer.receive(at, packet);
            }
        }
        self.conclude()
    }

    fn note(&mut self, now: Micros, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:8.3} {}", now as f64 / 1e6, text()));
        }
    }

    fn hear(&mut self, now: Micros, said: Said) {
        match said {
            Said::Feedback(from, arrivals) => {
                let first = self.history.front().map_or(0, |one| one.number);
                let known = arrivals.iter().zip(from..).filter_map(|(arrived, number)| {
                    let mut one = *self.history.get(number.checked_sub(first)? as usize)?;
                    // The receiver's clock began at another time.
                    one.outcome.arrived = arrived.map(|at| at as i64 + 3_000_000_000);
                    Some(one)
                });
                let known: Vec<Reported> = known.collect();
                let before = self.control.estimate(now);
                self.control.feedback(now, &known);
                let after = self.control.estimate(now);
                let moved = after.target_bps.abs_diff(before.target_bps) > before.target_bps / 50;
                if moved || before.state != after.state {
                    self.note(now, || {
                        let kilo = |bps| bps / 1000;
                        format!(
                            "target {} -> {} capacity {} queue {} loss {:.2} {:?} {:?}",
                            kilo(before.target_bps),
                            kilo(after.target_bps),
                            kilo(after.capacity_bps),
                            after.queue / 1000,
                            after.loss,
                            after.state,
                            after.reason
                        )
                    });
                }
                self.pacer.follow(now, &after, Some(self.needed));
            }
            Said::Missing(numbers) => {
                for number in numbers {
                    let first = self.videos.front().map_or(0, |(number, _)| *number);
                    let place = number.checked_sub(first).map(|place| place as usize);
                    let Some((_, bytes)) = place.and_then(|place| self.videos.get(place)).copied() else {
                        continue;
                    };
                    if self.repair >= bytes as f64 {
                        self.repair -= bytes as f64;
                        self.send(now, bytes + 2, Purpose::Repair, Some(number));
                    }
                }
            }
        }
    }

    fn send(&mut self, now: Micros, bytes: u64, purpose: Purpose, video: Option<u64>) {
        let is_audio = purpose == Purpose::Media && video.is_none();
        let cluster = self.probe.map_or(0, |(probe, ..)| probe.cluster);
        let reported =
            Reported { number: self.next_number, outcome: outgoing(now, bytes, purpose, cluster, is_audio) };
        self.next_number += 1;
        self.control.sent(now, reported);
        self.history.push_back(reported);
        if self.history.len() as u64 > HISTORY {
            self.history.pop_front();
        }
        self.pacer.charge(now, bytes);
        self.bytes.0 += bytes;
        if purpose == Purpose::Probe {
            self.bytes.1 += bytes;
        }
        if let Some((_, sent, packets, _)) = &mut self.probe {
            *sent += bytes;
            *packets += 1;
        }
        let packet = Sent { number: reported.number, bytes, video, is_audio };
        if let Some(wait) = self.link.send(now, bytes, packet) {
            self.queues.push((wait / 1000).min(60_000) as u16);
        }
    }

    fn send_video(&mut self, now: Micros, packet: Published) {
        self.videos.push_back((self.next_video, packet.bytes));
        if self.videos.len() as u64 > HISTORY {
            self.videos.pop_front();
        }
        let number = self.next_video;
        self.next_video += 1;
        self.send(now, packet.bytes, Purpose::Media, Some(number));
    }

    fn forward(&mut self, now: Micros, packet: Published) {
        let Some(layer) = packet.layer else {
            self.audio += 1;
            self.send(now, packet.bytes, Purpose::Media, None);
            return;
        };
        if packet.begins_keyframe && self.awaited == Some(layer) {
            self.note(now, || format!("switch to {layer}"));
            if self.layer.is_some() {
                self.figures.switches += 1.0;
            }
            if layer == 2 && self.figures.best_at.is_none() {
                self.figures.best_at = Some(now as f64 / 1e6);
            }
            (self.layer, self.awaited) = (Some(layer), None);
            self.held.clear();
        }
        if self.layer != Some(layer) {
            return;
        }
        if self.held.is_empty() && self.pacer.admits(now, packet.bytes) {
            self.send_video(now, packet);
        } else {
            self.held.push_back((now, packet));
        }
    }

    fn release(&mut self, now: Micros) {
        let Some((since, _)) = self.held.front().copied() else { return };
        if now - since > HELD_MAX || self.held.len() > HELD_PACKETS {
            self.note(now, || "given up".to_owned());
            self.held.clear();
            // The picture is not whole any more: the next keyframe begins it anew, of the cheapest.
            if let Some(layer) = self.standing[0].level.or(self.layer) {
                self.awaited = Some(layer);
                self.layer = None;
                self.source.ask(now, layer);
            }
            return;
        }
        if now < self.release_at {
            return;
        }
        self.release_at = now + RELEASE_EVERY;
        while let Some((_, packet)) =
            self.held.pop_front_if(|(_, packet)| self.pacer.admits(now, packet.bytes))
        {
            self.send_video(now, packet);
        }
    }

    /// What media lacks to the rate of a probe, in bursts of five milliseconds.
    fn pad(&mut self, now: Micros) {
        let Some((probe, sent, packets, began)) = self.probe else { return };
        let is_whole = sent >= u64::from(probe.bytes) && packets >= probe.packets;
        if is_whole || now > probe.until || !self.control.estimate(now).is_probing {
            self.probe = None;
            return;
        }
        if !(now - began).is_multiple_of(5_000) {
            return;
        }
        let by_rate = ((now - began + 5_000) * probe.bps / 8_000_000).saturating_sub(sent);
        let missing = u64::from(probe.packets.saturating_sub(packets)) * 224;
        let mut due = by_rate.min(u64::from(probe.bytes).saturating_sub(sent).max(missing));
        // One packet a burst, where that is enough; and as many as there have to be.
        let burst = (probe.bps / 1_600).max(224);
        let size = PADDING
            .min(burst.div_ceil(burst.div_ceil(PADDING)))
            .min(u64::from(probe.bytes / probe.packets))
            .max(224);
        while due >= size / 2 {
            self.send(now, size, Purpose::Probe, None);
            due = due.saturating_sub(size);
        }
    }

    fn divide(&mut self, now: Micros) {
        let estimate = self.control.estimate(now);
        // A quarter of the estimate at most, and while a queue stands not much more than is free.
        let target = estimate.target_bps as f64;
        let free = if estimate.queue > 80_000 { target - self.needed as f64 } else { target };
        let share = free.clamp(0.05 * target, 0.25 * target);
        self.repair = (self.repair + share / 8_000.0).min(share / 16.0);
        let has_moved = estimate.target_bps.abs_diff(self.divided_for) > self.divided_for / 20;
        let is_due = now - self.divided_at >= 100_000 || now == 0;
        if !has_moved && !is_due {
            return;
        }
        (self.divided_at, self.divided_for) = (now, estimate.target_bps);
        let levels: [Level; 3] = std::array::from_fn(|layer| {
            let bps = LAYERS[layer] * 211 / 200;
            Level { now_bps: bps, up_bps: bps, quality: [180, 360, 720][layer] }
        });
        let path = Path {
            target_bps: estimate.target_bps,
            capacity_bps: estimate.capacity_bps,
            loss: estimate.loss,
            queue: estimate.queue,
            is_silent: estimate.state == State::Silent,
            is_probing: estimate.is_probing,
        };
        let wish =
            Wish { levels: levels.into_iter().collect(), priority: 1, is_screen: false, is_kept: false };
        let need = self.allocation.divide(now, path, AUDIO_BPS, &[wish], &mut self.standing);
        self.control.demand(now, Demand { now: need.now, next: need.next, top: need.top });
        self.needed = need.now;
        let level = self.standing[0].level;
        if level != self.awaited.or(self.layer) {
            let present = self.layer;
            self.note(now, || format!("wants {level:?}, has {present:?}"));
            if level.is_none() {
                self.layer = None;
            }
            self.awaited = level.filter(|_| level != self.layer);
            if let Some(layer) = self.awaited {
                self.source.ask(now, layer);
            }
        }
        if self.standing[0].stops && self.layer > level {
            self.layer = None;
        }
        if self.layer.is_none() {
            self.held.clear();
        }
    }

    fn conclude(mut self) -> (Figures, Vec<String>) {
        let mut figures = self.figures;
        for (seconds, count) in figures.seconds.iter_mut().zip(self.layers) {
            *seconds = count as f64 / 1000.0;
        }
        figures.none = self.layers[3] as f64 / 1000.0;
        self.queues.sort_unstable();
        let most = self.queues.last().copied().unwrap_or(0);
        let high = self.queues.get(self.queues.len() * 95 / 100).copied().unwrap_or(0);
        figures.queue_ms = (u64::from(high), u64::from(most));
        let lost = |sent: u64, came: u64| 1.0 - (came as f64 / sent.max(1) as f64).min(1.0);
        figures.audio_lost = lost(self.audio, self.viewer.audio);
        figures.video_lost = lost(self.next_video, self.viewer.video);
        figures.probes = self.bytes.1 as f64 / self.bytes.0.max(1) as f64;
        (figures, self.trace.unwrap_or_default())
    }
}
