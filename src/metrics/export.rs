//! Serving the catalogue: the newest report of every shard, summed or by shard, the API's own histogram, what the kernel
//! says of the process, and how much of each limit is used.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, LabelPair, MetricFamily, MetricType};
use prometheus::{HistogramOpts, HistogramVec, Registry};

use super::exposition::Form;
use super::names::{self, ConnectionEnd, Kind, Metric, SessionBound};
use super::process::Process;
use super::shard::{ESTIMATE_BOUNDS, LOSS_BOUNDS, ROUND_TRIP_BOUNDS, ShardCounters};
use super::spread::Spread;
use super::tally::{Label, Tally, values};
use crate::drop::{ChannelDrop, DropReason};
use crate::ids::ShardId;
use crate::rtp::MediaKind;

/// What runs.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit that it was built from: see `build.rs`.
const COMMIT: &str = env!("RINGCAST_COMMIT");

/// Reasons of [`Refused`], in its order.
const REFUSALS: [&str; 6] = ["full", "address", "silent", "oversize", "foreign", "busy"];

/// TCP connections that were refused, counted where they are accepted.
pub type Refused = Arc<[AtomicU64; 6]>;

/// Upper bounds of [`ShardCounters::together`].
const TOGETHER_BOUNDS: [f64; 3] = [1.0, 3.0, 7.0];

/// How much of what the configuration allows is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// What it is, by the name of its setting.
    pub resource: &'static str,
    /// How much is in use.
    pub used: usize,
    /// How much may be.
    pub limit: usize,
}

/// All metrics of a node.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    reports: Arc<Mutex<Vec<Option<ShardCounters>>>>,
    requests: HistogramVec,
    api: Arc<Api>,
    lost_lines: Arc<OnceLock<Arc<AtomicU64>>>,
}

/// What the API has refused or ended, each by its reason.
#[derive(Default)]
struct Api {
    denied: Denied,
    connections: [AtomicU64; ConnectionEnd::ALL.len()],
    sessions: [AtomicU64; SessionBound::ALL.len()],
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
        let api = Arc::new(Api::default());
        let lost_lines = Arc::default();
        let node =
            Node::new(Arc::clone(&reports), backend, refused, Arc::clone(&api), Arc::clone(&lost_lines))?;
        registry.register(Box::new(node))?;
        Ok(Self { registry, reports, requests, api, lost_lines })
    }

    /// Has the lines of the log counted that were lost.
    #[must_use]
    pub fn with_lost_lines(self, lost: Arc<AtomicU64>) -> Self {
        // Set once, at the start of a node.
        let _set_before = self.lost_lines.set(lost);
        self
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
        add_one(&self.api.denied, reason);
    }

    /// Counts one connection of the API that was refused or closed by us.
    pub fn connection_ended(&self, end: ConnectionEnd) {
        add_one(&self.api.connections, end as usize);
    }

    /// Counts one session that was not made.
    pub fn session_refused(&self, bound: SessionBound) {
        add_one(&self.api.sessions, bound as usize);
    }

    /// Connections of clients over TCP, on all shards.
    pub fn tcp_connections(&self) -> usize {
        let reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        let open: u64 = reports.iter().flatten().map(|counters| counters.tcp_connections).sum();
        usize::try_from(open).unwrap_or(usize::MAX)
    }

    /// The exposition.
    ///
    /// # Errors
    /// When a family cannot be encoded.
    pub fn expose(&self, form: Form, usages: &[Usage]) -> Result<Vec<u8>, prometheus::Error> {
        let mut families = self.registry.gather();
        let each = |of: fn(&Usage) -> usize| -> Values {
            usages.iter().map(|usage| (vec![usage.resource.to_owned()], of(usage) as f64)).collect()
        };
        families.push(family(&names::LIMIT, each(|usage| usage.limit)));
        families.push(family(&names::LIMIT_USED, each(|usage| usage.used)));
        form.write(families)
    }
}

/// What has a collector of its own, or is added where it is asked for.
const OWN: [&str; 3] = [names::API_REQUEST_SECONDS.name, names::LIMIT.name, names::LIMIT_USED.name];

/// The collector over the shards' reports.
struct Node {
    reports: Arc<Mutex<Vec<Option<ShardCounters>>>>,
    backend: &'static str,
    refused: Refused,
    api: Arc<Api>,
    /// Read once: the kernel derives it from the clock, and whoever sees it change takes that for a restart.
    start_seconds: Option<f64>,
    lost_lines: Arc<OnceLock<Arc<AtomicU64>>>,
    descriptions: Vec<Desc>,
}

impl Node {
    fn new(
        reports: Arc<Mutex<Vec<Option<ShardCounters>>>>,
        backend: &'static str,
        refused: Refused,
        api: Arc<Api>,
        lost_lines: Arc<OnceLock<Arc<AtomicU64>>>,
    ) -> Result<Self, prometheus::Error> {
        let descriptions = names::ALL
            .iter()
            .filter(|metric| !OWN.contains(&metric.name))
            .map(|metric| {
                let labels = metric.labels.iter().map(|label| (*label).to_owned()).collect();
                Desc::new(metric.name.to_owned(), metric.help.to_owned(), labels, Default::default())
            })
            .collect::<Result<_, _>>()?;
        let start_seconds = Process::read().start_seconds;
        Ok(Self { reports, backend, refused, api, lost_lines, start_seconds, descriptions })
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
            family(&names::BUILD_INFO, vec![(vec![VERSION.to_owned(), COMMIT.to_owned()], 1.0)]),
            family(&names::IO_BACKEND, vec![(vec![self.backend.to_owned()], 1.0)]),
        ];
        families.push(family(&names::TCP_REFUSED, labelled(REFUSALS, &self.refused)));
        families.push(family(&names::API_REFUSED, labelled(names::DENIALS, &self.api.denied)));
        let ends = ConnectionEnd::ALL.map(ConnectionEnd::label);
        families.push(family(&names::API_CONNECTIONS_ENDED, labelled(ends, &self.api.connections)));
        let bounds = SessionBound::ALL.map(SessionBound::label);
        families.push(family(&names::SESSIONS_REFUSED, labelled(bounds, &self.api.sessions)));
        let process = Process { start_seconds: self.start_seconds, ..Process::read() };
        families.extend(of_process(&process));
        let lost = self.lost_lines.get().map_or(0, |lost| lost.load(Ordering::Relaxed));
        families.push(family(&names::LOG_LINES_LOST, vec![(vec![], lost as f64)]));
        families.extend(summed(&shards));
        families.extend(histograms(&shards));
        families.extend(of_channels(&shards));
        families.extend(by_shard(&shards));
        families
    }
}

/// A metric's values: label values in the order of its labels, and the number.
type Values = Vec<(Vec<String>, f64)>;

/// Counts that stand in the order of their labels.
fn labelled<const LABELS: usize>(labels: [&'static str; LABELS], counts: &[AtomicU64; LABELS]) -> Values {
    let value =
        |(label, count): (&str, &AtomicU64)| (vec![label.to_owned()], count.load(Ordering::Relaxed) as f64);
    labels.into_iter().zip(counts).map(value).collect()
}

fn add_one(counts: &[AtomicU64], index: usize) {
    if let Some(count) = counts.get(index) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

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

/// The same of a tally.
fn tallied<L: Label, const N: usize>(
    shards: &[(usize, &ShardCounters)],
    of: impl Fn(&ShardCounters) -> &Tally<L, N>,
) -> Values {
    each(shards, &values::<L>(), |counters| of(counters).counts())
}

fn summed(shards: &[(usize, &ShardCounters)]) -> Vec<MetricFamily> {
    let sum = |of: &dyn Fn(&ShardCounters) -> u64| total(shards, of);
    let one = |label: &str, value: f64| (vec![label.to_owned()], value);
    let mut rtp = Values::new();
    for kind in [MediaKind::Audio, MediaKind::Video] {
        let labels = |way: &str| vec![way.to_owned(), kind.label().to_owned()];
        rtp.push((labels("ingress"), sum(&|counters| counters.rtp_in.of(kind))));
        rtp.push((labels("egress"), sum(&|counters| counters.rtp_out.of(kind))));
    }
    let pair = |first: (&str, &dyn Fn(&ShardCounters) -> u64),
                second: (&str, &dyn Fn(&ShardCounters) -> u64)| {
        vec![one(first.0, sum(first.1)), one(second.0, sum(second.1))]
    };
    vec![
        family(&names::DATAGRAMS, pair(("ingress", &|c| c.datagrams_in), ("egress", &|c| c.datagrams_out))),
        family(&names::DATAGRAM_BYTES, pair(("ingress", &|c| c.bytes_in), ("egress", &|c| c.bytes_out))),
        family(&names::SENDS, vec![(vec![], sum(&|counters| counters.sends))]),
        family(&names::CONGESTION_MARKS, vec![(vec![], sum(&|counters| counters.congestion_marks))]),
        family(&names::RTP_PACKETS, rtp),
        family(&names::IO_FAULTS, tallied(shards, |c| &c.io_faults)),
        family(&names::DROPPED, each(shards, &DropReason::ALL.map(DropReason::label), |c| &c.dropped)),
        family(&names::RETRANSMISSIONS, tallied(shards, |c| &c.retransmissions)),
        family(&names::RETRANSMISSIONS_REFUSED, tallied(shards, |c| &c.retransmissions_refused)),
        family(&names::REPORTED, tallied(shards, |c| &c.told)),
        family(&names::KEYFRAME_REQUESTS, tallied(shards, |c| &c.keyframe_requests)),
        family(&names::SHARE_CHANGES, tallied(shards, |c| &c.share_changes)),
        family(&names::PROBES, vec![(vec![], sum(&|counters| counters.probes))]),
        family(&names::PROBE_PACKETS, vec![(vec![], sum(&|counters| counters.probe_packets))]),
        family(&names::TIMERS, tallied(shards, |c| &c.wakes)),
        family(&names::LANE_PACKETS, pair(("out", &|c| c.lane_out), ("in", &|c| c.lane_in))),
        family(&names::HANDED_OVER, vec![(vec![], sum(&|counters| counters.handed_over))]),
        family(&names::HANDSHAKES, vec![(vec![], sum(&|counters| counters.handshakes))]),
        family(&names::SESSION_FAILURES, vec![(vec![], sum(&|counters| counters.session_failures))]),
        family(&names::SESSIONS_ENDED, tallied(shards, |c| &c.sessions_ended)),
        family(&names::TCP_BYTES, tallied(shards, |c| &c.tcp_bytes)),
        family(&names::TCP_CLOSED, tallied(shards, |c| &c.tcp_closed)),
    ]
}

fn histograms(shards: &[(usize, &ShardCounters)]) -> Vec<MetricFamily> {
    let mut together = (vec![0; TOGETHER_BOUNDS.len() + 1], 0);
    for (_, counters) in shards {
        together.0.iter_mut().zip(counters.together).for_each(|(total, more)| *total += more);
        together.1 += counters.together_sum;
    }
    let (round_trips, trip_sum) = merged(shards, |counters| &counters.round_trips);
    let (estimates, estimate_sum) = merged(shards, |counters| &counters.estimates);
    let (losses, loss_sum) = merged(shards, |counters| &counters.losses);
    vec![
        histogram(&names::DATAGRAMS_TOGETHER, &TOGETHER_BOUNDS, &together.0, together.1 as f64),
        histogram(&names::ROUND_TRIP_SECONDS, &ROUND_TRIP_BOUNDS, &round_trips, trip_sum),
        histogram(&names::ESTIMATE_BPS, &ESTIMATE_BOUNDS, &estimates, estimate_sum),
        histogram(&names::LOSS_RATIO, &LOSS_BOUNDS, &losses, loss_sum),
    ]
}

fn merged<const BOUNDS: usize>(
    shards: &[(usize, &ShardCounters)],
    of: impl Fn(&ShardCounters) -> &Spread<BOUNDS>,
) -> (Vec<u64>, f64) {
    let mut sum = Spread::default();
    shards.iter().for_each(|(_, counters)| sum.add(of(counters)));
    sum.figures()
}

/// What the kernel did not tell has no sample.
fn of_process(process: &Process) -> Vec<MetricFamily> {
    let all = [
        (&names::PROCESS_CPU, process.cpu_seconds),
        (&names::PROCESS_RESIDENT, process.resident_bytes),
        (&names::PROCESS_VIRTUAL, process.virtual_bytes),
        (&names::PROCESS_OPEN_FDS, process.open_fds),
        (&names::PROCESS_MAX_FDS, process.max_fds),
        (&names::PROCESS_THREADS, process.threads),
        (&names::PROCESS_START, process.start_seconds),
        (&names::MEMORY_LIMIT, process.memory_limit_bytes),
    ];
    let known = all.into_iter().filter_map(|(metric, value)| Some((metric, value?)));
    known.map(|(metric, value)| family(metric, vec![(vec![], value)])).collect()
}

fn of_channels(shards: &[(usize, &ShardCounters)]) -> Vec<MetricFamily> {
    let drops = ChannelDrop::ALL.map(ChannelDrop::label);
    vec![
        family(&names::CHANNEL_MESSAGES, tallied(shards, |c| &c.channel_messages)),
        family(&names::CHANNEL_BYTES, tallied(shards, |c| &c.channel_bytes)),
        family(&names::CHANNEL_DROPPED, each(shards, &drops, |c| &c.channel_dropped)),
        family(&names::CHANNELS_ENDED, tallied(shards, |c| &c.channels_ended)),
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
        family(&names::REPLICAS, each(&|counters| counters.replicas as f64)),
        family(&names::KERNEL_DROPS, each(&|counters| counters.kernel_drops as f64)),
        family(&names::SUBSCRIPTIONS, each(&|counters| counters.subscriptions as f64)),
        family(&names::ADDRESSES, each(&|counters| counters.addresses as f64)),
        family(&names::TCP_CONNECTIONS, each(&|counters| counters.tcp_connections as f64)),
        family(&names::CHANNELS, each(&|counters| counters.channels as f64)),
        family(&names::SHARD_BUSY_SECONDS, each(&|counters| counters.busy_ns as f64 / 1e9)),
    ]
}

fn empty(metric: &Metric) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(metric.name.to_owned());
    family.set_help(metric.help.to_owned());
    family.set_field_type(match metric.kind {
        Kind::Counter => MetricType::COUNTER,
        Kind::Gauge => MetricType::GAUGE,
        Kind::Histogram => MetricType::HISTOGRAM,
    });
    family
}

/// A histogram without labels; `counts` has one more than `bounds`, for what lies above them.
fn histogram(metric: &Metric, bounds: &[f64], counts: &[u64], sum: f64) -> MetricFamily {
    let mut total = 0;
    let buckets = bounds.iter().zip(counts).map(|(bound, count)| {
        total += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(total);
        bucket
    });
    let mut inner = prometheus::proto::Histogram::default();
    inner.set_bucket(buckets.collect());
    inner.set_sample_count(counts.iter().sum());
    inner.set_sample_sum(sum);
    let mut sample = prometheus::proto::Metric::default();
    sample.set_histogram(inner);
    let mut family = empty(metric);
    family.set_metric(vec![sample]);
    family
}

fn family(metric: &Metric, values: Values) -> MetricFamily {
    let mut family = empty(metric);
    let counter = metric.kind == Kind::Counter;
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
    use crate::metrics::shard::SessionEnd;

    /// A node whose second shard has seen subscribers.
    fn node() -> Metrics {
        let metrics = Metrics::new(2, "mmsg", Refused::default()).unwrap();
        assert!(!metrics.all_reported());
        let mut counters = ShardCounters { sessions: 3, ..Default::default() };
        counters.rtp_in.add(MediaKind::Audio, 1);
        counters.rtp_in.add(MediaKind::Video, 2);
        metrics.report(ShardId(0), counters.clone());
        (counters.together, counters.together_sum) = ([5, 4, 0, 8], 5 + 8 + 64);
        counters.reported(Some(Duration::from_millis(80)), 0.0);
        counters.reported(None, 0.75);
        metrics.report(ShardId(1), counters);
        assert!(metrics.all_reported());
        metrics.request("/v1/apps/{app}/sessions/new", 201, Duration::from_millis(3));
        metrics
    }

    fn exposed(form: Form) -> String {
        let usage = Usage { resource: "sessions", used: 6, limit: 100 };
        String::from_utf8(node().expose(form, &[usage]).unwrap()).unwrap()
    }

    #[test]
    fn everything_in_the_catalogue_is_exposed_and_nothing_else() {
        let text = exposed(Form::Text);
        for metric in names::ALL {
            assert!(text.contains(&format!("# HELP {} ", metric.name)), "{} is missing", metric.name);
        }
        let count = text.lines().filter(|line| line.starts_with("# TYPE")).count();
        assert_eq!(count, names::ALL.len());
        for line in [
            "ringcast_rtp_packets_total{direction=\"ingress\",kind=\"video\"} 4",
            "ringcast_sessions{shard=\"1\"} 3",
            "ringcast_limit{resource=\"sessions\"} 100",
            "ringcast_limit_used{resource=\"sessions\"} 6",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }

    #[test]
    fn histograms_count_up_to_each_bound_and_their_sums_are_those_of_the_values() {
        let text = exposed(Form::Text);
        for (name, lines) in [
            ("datagrams_sent_together", "1:5 3:9 7:9 +Inf:17 sum:77 count:17"),
            ("subscriber_round_trip_seconds", "0.05:0 0.1:1 2:1 +Inf:1 sum:0.08 count:1"),
            ("subscriber_loss_ratio", "0:1 0.5:1 +Inf:2 sum:0.75 count:2"),
        ] {
            for line in lines.split(' ') {
                let (key, value) = line.split_once(':').unwrap();
                let line = match key {
                    "sum" | "count" => format!("ringcast_{name}_{key} {value}\n"),
                    bound => format!("ringcast_{name}_bucket{{le=\"{bound}\"}} {value}\n"),
                };
                assert!(text.contains(&line), "{line}: {text}");
            }
        }
    }

    #[test]
    fn openmetrics_says_the_same_in_its_own_form() {
        let (text, open) = (exposed(Form::Text), exposed(Form::OpenMetrics));
        assert!(open.ends_with("# EOF\n"));
        assert!(open.contains("# TYPE ringcast_rtp_packets counter\n"), "{open}");
        let samples = |text: &str| -> Vec<String> {
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            // Bounds and labels have their own form and order, and the process has lived on between the two.
            let mut all: Vec<String> = lines
                .filter(|line| !line.starts_with("process_"))
                .map(|line| {
                    let (series, value) = line.rsplit_once(' ').unwrap();
                    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
                    let mut labels: Vec<String> = labels
                        .trim_end_matches('}')
                        .split("\",")
                        .map(|label| label.replace(".0", ""))
                        .collect();
                    labels.iter_mut().for_each(|label| *label = label.trim_end_matches('"').to_owned());
                    labels.sort();
                    format!("{name} {labels:?} {}", value.parse::<f64>().unwrap())
                })
                .collect();
            all.sort();
            all
        };
        assert_eq!(samples(&text), samples(&open));
    }

    #[test]
    fn whoever_scrapes_first_sees_every_reason_at_zero() {
        let metrics = Metrics::new(1, "mmsg", Refused::default()).unwrap();
        metrics.report(ShardId(0), ShardCounters::default());
        let usage = Usage { resource: "sessions", used: 0, limit: 1 };
        let text = String::from_utf8(metrics.expose(Form::Text, &[usage]).unwrap()).unwrap();
        let reasons = DropReason::ALL.map(|reason| ("dropped", reason.label()));
        let ended = values::<SessionEnd>().into_iter().map(|reason| ("sessions_ended", reason));
        let denied = names::DENIALS.map(|reason| ("api_refused", reason));
        for (name, reason) in reasons.into_iter().chain(ended).chain(denied) {
            let line = format!("ringcast_{name}_total{{reason=\"{reason}\"}} 0\n");
            assert!(text.contains(&line), "{line}: {text}");
        }
    }
}
