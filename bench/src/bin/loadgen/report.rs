//! What a run has shown, as a table and as JSON.

use std::collections::HashSet;
use std::fmt;
use std::time::{Duration, Instant};

use ringcast_bench::histogram::Histogram;
use serde::Serialize;

use crate::process::CpuTime;
use crate::worker::{ClientReport, SourceCounters};

/// A run with a slower 99th percentile had a backlog: work was put off, and CPU per packet looks too low.
const BACKLOG: Duration = Duration::from_millis(250);
/// A run that lost more than this was not the run that was asked for.
const DELIVERED_MIN: f64 = 0.99;
/// A load generator this busy measures itself.
const OWN_BUSY_MAX: f64 = 0.9;

/// Everything a run has shown.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) label: String,
    pub(crate) machine: Machine,
    pub(crate) parameters: serde_json::Value,
    pub(crate) seconds: f64,
    /// Packets that the sources sent while it was measured.
    pub(crate) sent: u64,
    /// Packets that subscribers should have received of them.
    pub(crate) expected: u64,
    /// Distinct packets that they did receive.
    pub(crate) delivered: u64,
    pub(crate) delivered_ratio: f64,
    /// Over the whole run: packets that came a second time, and packets that were damaged.
    pub(crate) repeated: u64,
    pub(crate) corrupt: u64,
    pub(crate) latency_ms: Quantiles,
    pub(crate) connect_ms: Quantiles,
    pub(crate) first_packet_ms: Quantiles,
    pub(crate) server: Option<Cpu>,
    /// CPU that the load generator itself used, and its busiest share of one core.
    pub(crate) own: Cpu,
    /// Why the figures must not be used; empty when they may.
    pub(crate) void: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) kernel: String,
    pub(crate) cpu: String,
    pub(crate) cores: usize,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Quantiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Cpu {
    pub(crate) user_s: f64,
    pub(crate) system_s: f64,
    pub(crate) us_per_delivered_packet: f64,
}

/// What was read while the run lasted.
pub(crate) struct Measured {
    pub(crate) begun: SourceCounters,
    pub(crate) paused: SourceCounters,
    pub(crate) span: Duration,
    pub(crate) server: Option<CpuTime>,
    pub(crate) own: CpuTime,
    pub(crate) threads: usize,
    /// When the signalling of each client began is its creation; this is the same clock.
    pub(crate) clients: Vec<ClientReport>,
}

impl Report {
    pub(crate) fn new(label: String, parameters: serde_json::Value, measured: &Measured) -> Self {
        let span =
            |key: &(u32, u8), end: u64| end.saturating_sub(measured.begun.get(key).copied().unwrap_or(0));
        let sent: u64 = measured.paused.iter().map(|(key, end)| span(key, *end)).sum();
        let mut latency = Histogram::default();
        let mut connect = Histogram::default();
        let mut first_packet = Histogram::default();
        let (mut expected, mut delivered, mut repeated, mut corrupt) = (0, 0, 0, 0);
        for client in &measured.clients {
            connect_times(client, &mut connect, &mut first_packet);
            for stream in &client.streams {
                latency.merge(&stream.latency);
                repeated += stream.repeated();
                corrupt += stream.corrupt;
            }
            let received: HashSet<(u32, u8)> = client
                .streams
                .iter()
                .flat_map(|stream| &stream.sources)
                .map(|one| (one.source, one.layer))
                .collect();
            for key in received {
                let begin = measured.begun.get(&key).copied().unwrap_or(0);
                let end = measured.paused.get(&key).copied().unwrap_or(begin);
                expected += end.saturating_sub(begin);
                let sources = client.streams.iter().filter_map(|stream| stream.source(key.0, key.1));
                delivered += sources
                    .map(|one| one.counters.iter().filter(|at| (begin..end).contains(at)).count() as u64)
                    .sum::<u64>();
            }
        }
        let cpu = |time: CpuTime| Cpu {
            user_s: time.user.as_secs_f64(),
            system_s: time.system.as_secs_f64(),
            us_per_delivered_packet: time.total().as_secs_f64() * 1e6 / (delivered.max(1)) as f64,
        };
        let mut report = Self {
            label,
            machine: Machine::read(),
            parameters,
            seconds: measured.span.as_secs_f64(),
            sent,
            expected,
            delivered,
            delivered_ratio: delivered as f64 / expected.max(1) as f64,
            repeated,
            corrupt,
            latency_ms: Quantiles::of(&latency),
            connect_ms: Quantiles::of(&connect),
            first_packet_ms: Quantiles::of(&first_packet),
            server: measured.server.map(cpu),
            own: cpu(measured.own),
            void: Vec::new(),
        };
        report.judge(measured);
        report
    }

    fn judge(&mut self, measured: &Measured) {
        if self.expected == 0 || self.delivered_ratio < DELIVERED_MIN {
            self.void.push(format!("only {:.2} % were delivered", self.delivered_ratio * 100.0));
        }
        if self.latency_ms.p99 > BACKLOG.as_secs_f64() * 1000.0 {
            self.void.push("a backlog built up: CPU per packet is biased low".to_owned());
        }
        let busy = measured.own.total().as_secs_f64() / (self.seconds * measured.threads as f64);
        if busy > OWN_BUSY_MAX {
            self.void.push(format!("the load generator was {:.0} % busy", busy * 100.0));
        }
        if self.corrupt > 0 {
            self.void.push(format!("{} packets were damaged", self.corrupt));
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = |name: &str, of: &Quantiles| {
            format!(
                "{name:<14} p50 {:.2}  p99 {:.2}  p99.9 {:.2}  max {:.2} ms",
                of.p50, of.p99, of.p999, of.max
            )
        };
        writeln!(f, "{}", self.label)?;
        writeln!(f, "  sent           {} in {:.2} s", self.sent, self.seconds)?;
        writeln!(
            f,
            "  delivered      {} of {} ({:.3} %), {} repeated, {} damaged",
            self.delivered,
            self.expected,
            self.delivered_ratio * 100.0,
            self.repeated,
            self.corrupt
        )?;
        writeln!(f, "  {}", times("latency", &self.latency_ms))?;
        writeln!(f, "  {}", times("connect", &self.connect_ms))?;
        writeln!(f, "  {}", times("first packet", &self.first_packet_ms))?;
        for (name, cpu) in [("server CPU", self.server.as_ref()), ("own CPU", Some(&self.own))] {
            let Some(cpu) = cpu else { continue };
            let (user, system, each) = (cpu.user_s, cpu.system_s, cpu.us_per_delivered_packet);
            writeln!(
                f,
                "  {name:<14} user {user:.2} s, system {system:.2} s, {each:.2} us per delivered packet"
            )?;
        }
        for reason in &self.void {
            writeln!(f, "  VOID           {reason}")?;
        }
        Ok(())
    }
}

impl Quantiles {
    fn of(histogram: &Histogram) -> Self {
        let at = |share| histogram.quantile(share).unwrap_or_default().as_secs_f64() * 1000.0;
        Self { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: histogram.max().as_secs_f64() * 1000.0 }
    }
}

impl Machine {
    fn read() -> Self {
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")
                .unwrap_or_default()
                .trim()
                .to_owned(),
            cpu: model.map(|(_, name)| name.to_owned()).unwrap_or_default(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
        }
    }
}

/// Times from the beginning of a client's signalling.
fn connect_times(client: &ClientReport, connect: &mut Histogram, first_packet: &mut Histogram) {
    let record = |at: Option<Instant>, into: &mut Histogram| {
        if let Some(at) = at {
            into.record(at.saturating_duration_since(client.created_at));
        }
    };
    record(client.connected_at, connect);
    if !client.publisher {
        let sources = client.streams.iter().flat_map(|stream| &stream.sources);
        record(sources.map(|one| one.first_at).min(), first_packet);
    }
}
