//! The yardstick: libwebrtc's controller as the crate `goog_cc` has it, with its own probes, in the place of ours.

use std::collections::VecDeque;

use goog_cc::network_control::{NetworkControllerConfig, NetworkControllerInterface};
use goog_cc::transport::{
    NetworkAvailability, NetworkControlUpdate, PacedPacketInfo, PacketResult, ProbeClusterConfig,
    ProcessInterval, SentPacket, StreamsConfig, TargetRateConstraints, TransportPacketsFeedback,
};
use goog_cc::units::{DataRate, DataSize, Timestamp};
use goog_cc::{GoogCcConfig, GoogCcNetworkController};
use ringcast::congestion::{Demand, Estimate, Micros, Probe, START_BPS};

use super::control::{Control, Reported};

/// Numbers of probes as ours have them.
const CLUSTERS: i32 = 31;

pub(crate) struct Goog {
    controller: GoogCcNetworkController,
    target_bps: u64,
    round_trip: Micros,
    /// Lost and told of, with weights that halve.
    loss: (f64, f64),
    queue: f64,
    least_delay: i64,
    waiting: VecDeque<ProbeClusterConfig>,
    /// What probes were like, by their number.
    probes: [Option<ProbeClusterConfig>; CLUSTERS as usize + 1],
    probing_until: Micros,
    demand: Demand,
}

fn at(now: Micros) -> Timestamp {
    Timestamp::from_micros(now as i64 + 1_000_000)
}

impl Goog {
    pub(crate) fn new() -> Self {
        let constraints = TargetRateConstraints {
            at_time: at(0),
            min_data_rate: Some(DataRate::from_bits_per_sec(30_000)),
            max_data_rate: Some(DataRate::from_kilobits_per_sec(100_000)),
            starting_rate: Some(DataRate::from_bits_per_sec(START_BPS as i64)),
        };
        let stream_based_config =
            StreamsConfig { at_time: at(0), requests_alr_probing: Some(true), ..StreamsConfig::default() };
        let config = NetworkControllerConfig {
            constraints,
            stream_based_config,
            ..NetworkControllerConfig::default()
        };
        let mut controller = GoogCcNetworkController::new(config, GoogCcConfig { feedback_only: true });
        let available = NetworkAvailability { at_time: at(0), network_available: true };
        let update = controller.on_network_availability(available);
        let mut goog = Self {
            controller,
            target_bps: START_BPS,
            round_trip: 0,
            loss: (0.0, 0.0),
            queue: 0.0,
            least_delay: i64::MAX,
            waiting: VecDeque::new(),
            probes: Default::default(),
            probing_until: 0,
            demand: Demand::default(),
        };
        goog.take(update);
        goog
    }

    fn take(&mut self, update: NetworkControlUpdate) {
        self.waiting.extend(update.probe_cluster_configs);
        if let Some(target) = update.target_rate {
            self.target_bps = target.target_rate.bps().clamp(0, 100_000_000) as u64;
        }
    }

    fn packet(&self, Reported { number, outcome }: Reported) -> SentPacket {
        let probe = self.probes[usize::from(outcome.cluster) % self.probes.len()].as_ref();
        let pacing_info =
            probe.filter(|_| outcome.cluster != 0).map_or_else(PacedPacketInfo::default, |probe| {
                let bytes = probe.target_data_rate.bps() * probe.target_duration.us() / 8_000_000;
                let mut info = PacedPacketInfo::new(probe.id, probe.target_probe_count.into(), bytes);
                info.send_bitrate = probe.target_data_rate;
                info
            });
        SentPacket {
            send_time: at(outcome.sent),
            size: DataSize::from_bytes(outcome.bytes.into()),
            pacing_info,
            audio: outcome.is_audio,
            sequence_number: number as i64,
            ..SentPacket::default()
        }
    }
}

impl Control for Goog {
    fn sent(&mut self, _: Micros, packet: Reported) {
        let update = self.controller.on_sent_packet(self.packet(packet));
        self.take(update);
    }

    fn feedback(&mut self, now: Micros, reported: &[Reported]) {
        let mut packets = Vec::new();
        for one in reported {
            let mut result = PacketResult { sent_packet: self.packet(*one), ..PacketResult::default() };
            let bytes = f64::from(one.outcome.bytes);
            let weight = 1.0 - bytes * 8.0 / self.target_bps.max(30_000) as f64;
            self.loss = (self.loss.0 * weight.max(0.5), self.loss.1 * weight.max(0.5) + bytes);
            if let Some(arrived) = one.outcome.arrived {
                result.receive_time = Timestamp::from_micros(arrived);
                let delay = arrived - one.outcome.sent as i64;
                self.least_delay = self.least_delay.min(delay);
                self.queue += 0.3 * ((delay - self.least_delay) as f64 - self.queue);
                self.round_trip = now - one.outcome.sent;
            } else {
                self.loss.0 += bytes;
            }
            packets.push(result);
        }
        let feedback = TransportPacketsFeedback {
            feedback_time: at(now),
            packet_feedbacks: packets,
            ..TransportPacketsFeedback::default()
        };
        let update = self.controller.on_transport_packets_feedback(feedback);
        self.take(update);
    }

    fn tick(&mut self, now: Micros) {
        if now.is_multiple_of(25_000) {
            let interval = ProcessInterval { at_time: at(now), ..ProcessInterval::default() };
            let update = self.controller.on_process_interval(interval);
            self.take(update);
        }
    }

    fn demand(&mut self, now: Micros, demand: Demand) {
        if demand.top == self.demand.top {
            return;
        }
        self.demand = demand;
        let config = StreamsConfig {
            at_time: at(now),
            requests_alr_probing: Some(true),
            max_total_allocated_bitrate: Some(DataRate::from_bits_per_sec(demand.top as i64)),
            ..StreamsConfig::default()
        };
        let update = self.controller.on_streams_config(config);
        self.take(update);
    }

    fn probe(&mut self, now: Micros) -> Option<Probe> {
        if now < self.probing_until {
            return None;
        }
        let config = self.waiting.pop_front()?;
        let cluster = config.id.rem_euclid(CLUSTERS) + 1;
        let bps = config.target_data_rate.bps() as u64;
        let len = config.target_duration.us() as u64;
        let packets = config.target_probe_count.max(0) as u32;
        self.probing_until = now + len + 20_000;
        self.probes[cluster as usize] = Some(config);
        let bytes = (bps * len / 8_000_000) as u32;
        Some(Probe { cluster: cluster as u8, bps, bytes, packets, until: now + len + 50_000 })
    }

    fn estimate(&self, now: Micros) -> Estimate {
        Estimate {
            target_bps: self.target_bps,
            round_trip: self.round_trip,
            loss: (self.loss.0 / self.loss.1.max(1.0)) as f32,
            queue: self.queue as Micros,
            is_probing: now < self.probing_until,
            ..Estimate::default()
        }
    }
}
