//! The figures of one session, gathered from its connection and from the router.

use std::time::{Duration, Instant};

use super::Shard;
use super::command::{EgressStatistics, IngressStatistics, PathStatistics, SessionStatistics, Whereabouts};
use super::sessions::{SessionKey, SessionSlot};
use super::tracks::SubscriptionKey;
use crate::ids::SessionId;
use crate::router::LayerIndex;

impl Shard {
    pub(super) fn statistics(&mut self, id: SessionId, now: Instant) -> Option<SessionStatistics> {
        let key: SessionKey = self.sessions.key_of(&id)?;
        let profile = self.sessions.get_mut(key)?.session.profile().map(str::to_owned);
        let slot = self.sessions.get(key)?;
        let path = slot.session.ready();
        Some(SessionStatistics {
            shard: self.id.0,
            connected: path.is_some(),
            remote_address: path.map(|path| path.remote),
            refusal: slot.session.refusal().map(str::to_owned),
            local_address: path.map(|path| path.local),
            srtp_profile: profile,
            age_ms: millis(now.duration_since(slot.session.created())),
            transports: slot.session.transports(),
            path: path_statistics(slot, now),
            local: self.local_statistics(slot, now),
            remote: slot
                .subscriptions
                .iter()
                .flatten()
                .filter_map(|subscription| self.remote_statistics(slot, *subscription))
                .collect(),
        })
    }

    /// Where the clients of these sessions are, as far as they are connected.
    pub(super) fn locate(&self, sessions: &[SessionId]) -> Vec<(SessionId, Whereabouts)> {
        let found = sessions.iter().filter_map(|id| {
            let path = self.sessions.get(self.sessions.key_of(id)?)?.session.ready()?;
            Some((*id, Whereabouts { address: path.remote, carrier: path.carrier.name() }))
        });
        found.collect()
    }

    fn local_statistics(&self, slot: &SessionSlot, now: Instant) -> Vec<IngressStatistics> {
        let mut all = Vec::new();
        for section in slot.session.ingress() {
            let plan = section.plan();
            let key = plan.publication.and_then(|id| self.tracks.key_of(id));
            let Some(publication) = key.and_then(|key| self.tracks.publication(key)) else { continue };
            for (layer, view) in publication.state.layers(now) {
                all.push(IngressStatistics {
                    mid: plan.mid.clone(),
                    rid: view.rid.map(str::to_owned),
                    ssrc: publication
                        .source
                        .session()
                        .and_then(|feeds| feeds.feed(layer))
                        .map_or(0, |feed| feed.ssrc),
                    codec: view.codec.map(|codec| codec.name().to_owned()),
                    packets: view.packets,
                    bytes: view.bytes,
                    bitrate_bps: view.bitrate_bps,
                    lost: view.lost,
                    jitter_ms: view.jitter_ms,
                    keyframes: view.keyframes,
                    keyframe_requests: view.keyframe_requests,
                    idle_ms: view.last_packet_at.map(|at| millis(now.saturating_duration_since(at))),
                });
            }
        }
        all
    }

    fn remote_statistics(&self, session: &SessionSlot, key: SubscriptionKey) -> Option<EgressStatistics> {
        let subscription = self.tracks.subscription(key)?;
        let publication = self.tracks.publication(subscription.publication)?;
        let slot = subscription.stream()?;
        let stream = session.session.stream(slot.stream)?;
        let figures = stream.figures();
        let clock_rate = slot.payload_types.first().map_or(90_000, |map| map.clock_rate);
        let name = |layer: Option<LayerIndex>| {
            layer.and_then(|layer| publication.state.layer_name(layer)).map(str::to_owned)
        };
        Some(EgressStatistics {
            mid: stream.mid().to_owned(),
            ssrc: stream.ssrc(),
            packets: figures.packets,
            bytes: figures.bytes,
            bitrate_bps: figures.bitrate_bps,
            rid: name(slot.state.current_layer()),
            target_rid: name(slot.state.target()),
            layer_reason: slot.state.reason().label().to_owned(),
            fraction_lost: figures.fraction_lost,
            lost: figures.lost,
            rtt_ms: figures.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
            jitter_ms: f64::from(figures.jitter_ticks) * 1000.0 / f64::from(clock_rate.max(1)),
            nacks: figures.nacks,
            retransmissions: figures.retransmissions,
            retransmissions_refused: figures.retransmissions_refused,
            keyframe_requests: figures.keyframe_requests,
        })
    }
}

fn path_statistics(slot: &SessionSlot, now: Instant) -> Option<PathStatistics> {
    let estimate = slot.session.estimate(now)?;
    let need = slot.division.as_ref().map(|division| division.need()).unwrap_or_default();
    Some(PathStatistics {
        estimate_bps: estimate.target_bps,
        capacity_bps: Some(estimate.capacity_bps).filter(|bps| *bps > 0),
        needed_bps: need.now,
        wanted_bps: need.top,
        loss_percent: 100.0 * f64::from(estimate.loss),
        queue_ms: estimate.queue as f64 / 1000.0,
        probing: estimate.is_probing,
        state: estimate.state.label(),
        reason: estimate.reason.label(),
        changed_ms_ago: slot.session.micros(now).saturating_sub(estimate.changed_at) / 1000,
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
