//! Serving the catalogue: the newest report of every shard, summed or by shard, and the API's own histogram.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{LabelPair, MetricFamily, MetricType};
use prometheus::{Encoder, HistogramOpts, HistogramVec, Registry, TextEncoder};

use super::names::{self, Kind, Metric};
use super::shard::ShardCounters;
use crate::drop::{ChannelDrop, DropReason};
use crate::ids::ShardId;

/// Reasons of [`ShardCounters::sessions_ended`], in its order.
const END_REASONS: [&str; 5] = ["never_connected", "timed_out", "closed_by_client", "failed", "deleted"];

/// Reasons of [`ShardCounters::tcp_closed`], in its order.
const CLOSE_REASONS: [&str; 5] = ["by_client", "oversize", "unproven", "slow_reader", "failed"];

/// Reasons of [`Refused`], in its order.
const REFUSALS: [&str; 6] = ["full", "address", "silent", "oversize", "foreign", "busy"];

/// TCP connections that were refused, counted where they are accepted.
pub type Refused = Arc<[AtomicU64; 6]>;

/// All metrics of a node.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    reports: Arc<Mutex<Vec<Option<ShardCounters>>>>,
    requests: HistogramVec,
    denied: Arc<Denied>,
}

/// Requests of the API refused for lack of authority, in the order of [`names::DENIALS`].
type Denied = [AtomicU64; names::DENIALS.len()];

impl Metrics {
    /// Makes the metrics of a node with this many shards and this I/O backend.
    ///
    /// # Errors
    /// When the catalogue contradicts itself.
    pub fn new(shards: usize, backend: &'static str, refused: Refused) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let reports = Arc::new(Mutex::new(vec![None; shards]));
        let metric = names::API_REQUEST_SECONDS;
        let buckets = vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        let requests =
            HistogramVec::new(HistogramOpts::new(metric.name, metric.help).buckets(buckets), metric.labels)?;
        registry.register(Box::new(requests.clone()))?;
        let denied = Arc::new(Denied::default());
        let node = Node::new(Arc::clone(&reports), backend, refused, Arc::clone(&denied))?;
        registry.register(Box::new(node))?;
        Ok(Self { registry, reports, requests, denied })
    }

    /// Takes the newest totals of a shard.
    pub fn report(&self, shard: ShardId, counters: ShardCounters) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(report) = reports.get_mut(usize::from(shard.0)) {
            *report = Some(counters);
        }
    }

    /// Whether every shard has reported.
    pub fn all_reported(&self) -> bool {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).iter().all(Option::is_some)
    }

    /// Counts one answered request of the API. `route` is the route's pattern, never the path.
    pub fn request(&self, route: &str, status: u16, took: Duration) {
        self.requests.with_label_values(&[route, &status.to_string()]).observe(took.as_secs_f64());
    }

    /// Counts one request that was refused for lack of authority; `reason` is its place in [`names::DENIALS`].
    pub fn denied(&self, reason: usize) {
        if let Some(count) = self.denied.get(reason) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The exposition in the text format.
    ///
    /// # Errors
    /// When a family cannot be encoded.
    pub fn expose(&self) -> Result<String, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// The collector over the shards' reports.
struct Node {
    reports: Arc<Mutex<Vec<Option<ShardCounters>>>>,
    backend: &'static str,
    refused: Refused,
    denied: Arc<Denied>,
    descriptions: Vec<Desc>,
}

impl Node {
    fn new(
        reports: Arc<Mutex<Vec<Option<ShardCounters>>>>,
        backend: &'static str,
        refused: Refused,
        denied: Arc<Denied>,
    ) -> Result<Self, prometheus::Error> {
        let descriptions = names::ALL
            .iter()
            .filter(|metric| metric.kind != Kind::Histogram)
            .map(|metric| {
                let labels = metric.labels.iter().map(|label| (*label).to_owned()).collect();
                Desc::new(metric.name.to_owned(), metric.help.to_owned(), labels, Default::default())
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { reports, backend, refused, denied, descriptions })
    }
}

impl Collector for Node {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        let shards: Vec<(usize, &ShardCounters)> = reports
            .iter()
            .enumerate()
            .filter_map(|(shard, report)| Some((shard, report.as_ref()?)))
            .collect();
        let mut families = vec![
            family(&names::BUILD_INFO, vec![(vec![env!("CARGO_PKG_VERSION").to_owned()], 1.0)]),
            family(&names::IO_BACKEND, vec![(vec![self.backend.to_owned()], 1.0)]),
        ];
        let refused = REFUSALS.iter().zip(self.refused.iter());
        let refused =
            refused.map(|(reason, count)| (vec![(*reason).to_owned()], count.load(Ordering::Relaxed) as f64));
        families.push(family(&names::TCP_REFUSED, refused.collect()));
        let denied = names::DENIALS.iter().zip(self.denied.iter());
        let denied =
            denied.map(|(reason, count)| (vec![(*reason).to_owned()], count.load(Ordering::Relaxed) as f64));
        families.push(family(&names::API_REFUSED, denied.collect()));
        families.extend(summed(&shards));
        families.extend(of_channels(&shards));
        families.extend(by_shard(&shards));
        families
    }
}

/// A metric's values: label values in the order of its labels, and the number.
type Values = Vec<(Vec<String>, f64)>;

/// The sum of a figure over all shards.
fn total(shards: &[(usize, &ShardCounters)], of: impl Fn(&ShardCounters) -> u64) -> f64 {
    shards.iter().map(|(_, counters)| of(counters)).fold(0_u64, u64::saturating_add) as f64
}

/// The same of figures that stand side by side, one for each label.
fn each(
    shards: &[(usize, &ShardCounters)],
    labels: &[&str],
    of: impl Fn(&ShardCounters) -> &[u64],
) -> Values {
    let at = |index| total(shards, |counters| of(counters).get(index).copied().unwrap_or_default());
    labels.iter().enumerate().map(|(index, label)| (vec![(*label).to_owned()], at(index))).collect()
}

/// The ways of what comes from clients and what goes to them.
const WAYS: [&str; 2] = ["ingress", "egress"];

fn summed(shards: &[(usize, &ShardCounters)]) -> Vec<MetricFamily> {
    let sum = |of: &dyn Fn(&ShardCounters) -> u64| total(shards, of);
    let one = |label: &str, value: f64| (vec![label.to_owned()], value);
    let mut rtp = Values::new();
    for (index, kind) in ["audio", "video"].into_iter().enumerate() {
        let at = |counts: &[u64; 2]| counts.get(index).copied().unwrap_or_default();
        rtp.push((vec!["ingress".to_owned(), kind.to_owned()], sum(&|counters| at(&counters.rtp_in))));
        rtp.push((vec!["egress".to_owned(), kind.to_owned()], sum(&|counters| at(&counters.rtp_out))));
    }
    let pair = |first: (&str, &dyn Fn(&ShardCounters) -> u64),
                second: (&str, &dyn Fn(&ShardCounters) -> u64)| {
        vec![one(first.0, sum(first.1)), one(second.0, sum(second.1))]
    };
    vec![
        family(&names::DATAGRAMS, pair(("ingress", &|c| c.datagrams_in), ("egress", &|c| c.datagrams_out))),
        family(&names::DATAGRAM_BYTES, pair(("ingress", &|c| c.bytes_in), ("egress", &|c| c.bytes_out))),
        family(&names::SENDS, vec![(vec![], sum(&|counters| counters.sends))]),
        family(&names::DATAGRAMS_TOGETHER, each(shards, &["1", "2", "4", "8"], |c| &c.together)),
        family(&names::CONGESTION_MARKS, vec![(vec![], sum(&|counters| counters.congestion_marks))]),
        family(&names::RTP_PACKETS, rtp),
        family(&names::DROPPED, each(shards, &DropReason::ALL.map(DropReason::label), |c| &c.dropped)),
        family(&names::RETRANSMISSIONS, each(shards, &["hit", "miss"], |c| &c.retransmissions)),
        family(&names::KEYFRAME_REQUESTS, each(shards, &["sent", "merged"], |c| &c.keyframe_requests)),
        family(&names::LANE_PACKETS, pair(("out", &|c| c.lane_out), ("in", &|c| c.lane_in))),
        family(&names::HANDED_OVER, vec![(vec![], sum(&|counters| counters.handed_over))]),
        family(&names::HANDSHAKES, vec![(vec![], sum(&|counters| counters.handshakes))]),
        family(&names::SESSION_FAILURES, vec![(vec![], sum(&|counters| counters.session_failures))]),
        family(&names::SESSIONS_ENDED, each(shards, &END_REASONS, |c| &c.sessions_ended)),
        family(&names::TCP_BYTES, each(shards, &WAYS, |c| &c.tcp_bytes)),
        family(&names::TCP_CLOSED, each(shards, &CLOSE_REASONS, |c| &c.tcp_closed)),
    ]
}

fn of_channels(shards: &[(usize, &ShardCounters)]) -> Vec<MetricFamily> {
    let drops = ChannelDrop::ALL.map(ChannelDrop::label);
    let ends = ["slow", "lane_full", "unacknowledged"];
    vec![
        family(&names::CHANNEL_MESSAGES, each(shards, &WAYS, |c| &c.channel_messages)),
        family(&names::CHANNEL_BYTES, each(shards, &WAYS, |c| &c.channel_bytes)),
        family(&names::CHANNEL_DROPPED, each(shards, &drops, |c| &c.channel_dropped)),
        family(&names::CHANNELS_ENDED, each(shards, &ends, |c| &c.channels_ended)),
    ]
}

fn by_shard(shards: &[(usize, &ShardCounters)]) -> Vec<MetricFamily> {
    let each = |of: &dyn Fn(&ShardCounters) -> f64| -> Values {
        shards.iter().map(|(shard, counters)| (vec![shard.to_string()], of(counters))).collect()
    };
    let offloads = shards
        .iter()
        .flat_map(|(shard, counters)| {
            [("gso", counters.gso), ("steering", counters.steering)]
                .map(|(feature, on)| (vec![feature.to_owned(), shard.to_string()], f64::from(u8::from(on))))
        })
        .collect();
    vec![
        family(&names::OFFLOAD_ENABLED, offloads),
        family(&names::SESSIONS, each(&|counters| counters.sessions as f64)),
        family(&names::PUBLICATIONS, each(&|counters| counters.publications as f64)),
        family(&names::SUBSCRIPTIONS, each(&|counters| counters.subscriptions as f64)),
        family(&names::ADDRESSES, each(&|counters| counters.addresses as f64)),
        family(&names::TCP_CONNECTIONS, each(&|counters| counters.tcp_connections as f64)),
        family(&names::CHANNELS, each(&|counters| counters.channels as f64)),
        family(&names::SHARD_BUSY_SECONDS, each(&|counters| counters.busy_ns as f64 / 1e9)),
    ]
}

fn family(metric: &Metric, values: Values) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(metric.name.to_owned());
    family.set_help(metric.help.to_owned());
    let counter = metric.kind == Kind::Counter;
    family.set_field_type(if counter { MetricType::COUNTER } else { MetricType::GAUGE });
    let metrics = values.into_iter().map(|(labels, value)| sample(metric, labels, value, counter));
    family.set_metric(metrics.collect());
    family
}

fn sample(metric: &Metric, labels: Vec<String>, value: f64, counter: bool) -> prometheus::proto::Metric {
    let mut sample = prometheus::proto::Metric::default();
    let pairs = metric.labels.iter().zip(labels).map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(value);
        pair
    });
    sample.set_label(pairs.collect());
    if counter {
        let mut inner = prometheus::proto::Counter::default();
        inner.set_value(value);
        sample.set_counter(inner);
    } else {
        let mut inner = prometheus::proto::Gauge::default();
        inner.set_value(value);
        sample.set_gauge(inner);
    }
    sample
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_in_the_catalogue_is_exposed_and_nothing_else() {
        let metrics = Metrics::new(2, "mmsg", Refused::default()).unwrap();
        assert!(!metrics.all_reported());
        for shard in 0..2 {
            metrics
                .report(ShardId(shard), ShardCounters { sessions: 3, rtp_in: [1, 2], ..Default::default() });
        }
        assert!(metrics.all_reported());
        metrics.request("/v1/apps/{app}/sessions/new", 201, Duration::from_millis(3));
        let text = metrics.expose().unwrap();
        for metric in names::ALL {
            assert!(text.contains(&format!("# HELP {} ", metric.name)), "{} is missing", metric.name);
        }
        let exposed = text.lines().filter(|line| line.starts_with("# TYPE")).count();
        assert_eq!(exposed, names::ALL.len());
        assert!(
            text.contains("ringcast_rtp_packets_total{direction=\"ingress\",kind=\"video\"} 4"),
            "{text}"
        );
        assert!(text.contains("ringcast_sessions{shard=\"1\"} 3"), "{text}");
    }
}
