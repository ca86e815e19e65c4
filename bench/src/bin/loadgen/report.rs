//! What a run has shown, as a table and as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use ringcast_bench::histogram::Histogram;
use serde::Serialize;

use crate::endpoint::ClientReport;
use crate::load::SILENT_ID;
use crate::losses::{self, Drops};
use crate::process::CpuTime;
use crate::worker::SourceCounters;

/// A run with a slower 99th percentile had a backlog: work was put off, and CPU per packet looks too low.
const BACKLOG: Duration = Duration::from_millis(250);
/// A run that lost more than this was not the run that was asked for.
const DELIVERED_MIN: f64 = 0.99;
/// A load generator this busy measures itself.
const OWN_BUSY_MAX: f64 = 0.9;
/// Our threads that carry media.
const OWN_THREADS: &str = "clients";

/// Everything a run has shown.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    kind: &'static str,
    label: String,
    machine: Machine,
    parameters: serde_json::Value,
    seconds: f64,
    span_s: f64,
    /// Packets that the sources sent while it was measured.
    sent: u64,
    /// Packets that subscribers should have received of them.
    expected: u64,
    /// Distinct packets that they did receive.
    delivered: u64,
    delivered_ratio: f64,
    /// What the server says it dropped meanwhile.
    dropped_by_reason: Drops,
    /// Expected and not delivered, without what the server dropped for single subscribers.
    unaccounted: i64,
    /// What the kernel dropped at our sockets, and at those that the publishers sent to.
    socket_drops: u64,
    server_socket_drops: u64,
    /// Over the whole run: packets that came a second time, and packets that were damaged.
    repeated: u64,
    damaged: u64,
    corrupt: u64,
    /// Packets that were opened and whose stamp was read, and stamps that contradict the numbering.
    samples: u64,
    renumbered: u64,
    /// Mean length of the datagrams that subscribers received.
    datagram_bytes: f64,
    latency_ms: Quantiles,
    connect_ms: Quantiles,
    first_packet_ms: Quantiles,
    server: Option<Cpu>,
    /// CPU of the load generator.
    own: Own,
    memory: Option<Memory>,
    /// Why the figures must not be used; empty when they may.
    pub(crate) void: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    kernel: String,
    cpu: String,
    cores: usize,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Quantiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

#[derive(Debug, Serialize)]
struct Cpu {
    cpu_ns: u64,
    user_ns: u64,
    system_ns: u64,
    user_s: f64,
    system_s: f64,
    /// By delivered packet.
    ns_per_packet: f64,
    user_ns_per_packet: f64,
    system_ns_per_packet: f64,
    us_per_delivered_packet: f64,
    /// How long threads were ready to run and others had the core.
    waited_ns: u64,
    threads: BTreeMap<String, u64>,
}

/// CPU of the load generator itself.
#[derive(Debug, Serialize)]
pub(crate) struct Own {
    cpu_ns: u64,
    /// Share of the wall time of its threads.
    pub(crate) busy: f64,
}

/// Memory of the server without and with its subscribers.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Memory {
    before_bytes: u64,
    after_bytes: u64,
    subscribers: u64,
    per_subscriber_bytes: u64,
}

/// What was read while the run lasted.
#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) begun: SourceCounters,
    pub(crate) paused: SourceCounters,
    pub(crate) span: Duration,
    pub(crate) server: Option<CpuTime>,
    pub(crate) own: CpuTime,
    pub(crate) threads: usize,
    pub(crate) dropped: Drops,
    /// What the kernel dropped meanwhile, by local port.
    pub(crate) sockets: BTreeMap<u16, u64>,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) memory: Option<Memory>,
    pub(crate) clients: Vec<ClientReport>,
}

impl Own {
    pub(crate) fn new(cpu_ns: u64, span: Duration, threads: usize) -> Self {
        Self { cpu_ns, busy: cpu_ns as f64 / 1e9 / (span.as_secs_f64() * threads as f64) }
    }
}

impl Memory {
    pub(crate) fn new(before_bytes: u64, after_bytes: u64, subscribers: u64) -> Self {
        let per_subscriber_bytes = after_bytes.saturating_sub(before_bytes) / subscribers.max(1);
        Self { before_bytes, after_bytes, subscribers, per_subscriber_bytes }
    }
}

impl Cpu {
    fn new(spent: &CpuTime, delivered: u64) -> Self {
        let each = |nanos: u64| nanos as f64 / delivered.max(1) as f64;
        let (cpu_ns, user_ns, system_ns) = (spent.total_ns(), spent.user_ns(), spent.system_ns());
        Self {
            cpu_ns,
            user_ns,
            system_ns,
            user_s: user_ns as f64 / 1e9,
            system_s: system_ns as f64 / 1e9,
            ns_per_packet: each(cpu_ns),
            user_ns_per_packet: each(user_ns),
            system_ns_per_packet: each(system_ns),
            us_per_delivered_packet: each(cpu_ns) / 1000.0,
            waited_ns: spent.waited_ns,
            threads: spent.threads.clone(),
        }
    }
}

impl Measured {
    /// Counters of a source at the beginning and the end.
    fn window(&self, key: (u32, u8)) -> (u64, u64) {
        let at = |counters: &SourceCounters| counters.get(&key).copied().unwrap_or_default();
        (at(&self.begun), at(&self.paused))
    }

    /// What one client should have received, and what it did.
    fn delivery(&self, client: &ClientReport) -> (u64, u64) {
        let (mut expected, mut delivered) = (0, 0);
        for source in &client.expects {
            let (begin, end) = self.window((*source, 0));
            expected += end.saturating_sub(begin);
            let streams = client.sources.iter().filter(|one| (one.source, one.layer) == (*source, 0));
            delivered += streams.map(|one| one.received_between(begin, end)).sum::<u64>();
        }
        (expected, delivered)
    }

    fn socket_drops(&self, ports: impl Iterator<Item = u16>) -> u64 {
        let ports: std::collections::BTreeSet<u16> = ports.filter(|port| *port > 0).collect();
        ports.iter().filter_map(|port| self.sockets.get(port)).sum()
    }
}

impl Report {
    pub(crate) fn new(label: String, parameters: serde_json::Value, measured: &Measured) -> Self {
        let loud = measured.paused.keys().filter(|(source, _)| *source < SILENT_ID);
        let spans = loud.map(|key| measured.window(*key)).map(|(begin, end)| end.saturating_sub(begin));
        let sent = spans.sum();
        let [mut latency, mut connect, mut first_packet] = [(); 3].map(|()| Histogram::default());
        let (mut expected, mut delivered) = (0, 0);
        for client in &measured.clients {
            latency.merge(&client.latency);
            client.since_created(client.connected_at).into_iter().for_each(|took| connect.record(took));
            let first = client.since_created(client.first_at).filter(|_| !client.publisher);
            first.into_iter().for_each(|took| first_packet.record(took));
            let (should, did) = measured.delivery(client);
            (expected, delivered) = (expected + should, delivered + did);
        }
        let total = |of: fn(&ClientReport) -> u64| measured.clients.iter().map(of).sum::<u64>();
        let (dropped, _) = losses::explained(&measured.dropped);
        let own = measured.own.threads_ns(OWN_THREADS);
        let mut report = Self {
            kind: "media",
            label,
            machine: Machine::read(),
            parameters,
            seconds: measured.span.as_secs_f64(),
            span_s: measured.span.as_secs_f64(),
            sent,
            expected,
            delivered,
            delivered_ratio: delivered as f64 / expected.max(1) as f64,
            dropped_by_reason: measured.dropped.clone(),
            unaccounted: expected.cast_signed() - delivered.cast_signed() - dropped.cast_signed(),
            socket_drops: measured.socket_drops(measured.clients.iter().map(|client| client.port)),
            server_socket_drops: measured.socket_drops(measured.clients.iter().map(|one| one.server_port)),
            repeated: total(|client| client.repeated),
            damaged: total(|client| client.damaged),
            corrupt: total(|client| client.damaged),
            samples: total(|client| client.samples),
            renumbered: total(|client| client.renumbered),
            datagram_bytes: total(|client| client.bytes) as f64
                / total(|client| client.packets).max(1) as f64,
            latency_ms: Quantiles::of(&latency),
            connect_ms: Quantiles::of(&connect),
            first_packet_ms: Quantiles::of(&first_packet),
            server: measured.server.as_ref().map(|spent| Cpu::new(spent, delivered)),
            own: Own::new(own, measured.span, measured.threads),
            memory: measured.memory,
            void: Vec::new(),
        };
        report.judge();
        report
    }

    fn judge(&mut self) {
        let mut void = Vec::new();
        // A packet that a publisher lost misses at each of its subscribers.
        let fan = self.expected.div_ceil(self.sent.max(1));
        let (_, of_publishers) = losses::explained(&self.dropped_by_reason);
        let explained = self.socket_drops + fan * (of_publishers + self.server_socket_drops);
        if self.expected == 0 || self.delivered_ratio < DELIVERED_MIN {
            void.push(format!("only {:.2} % were delivered", self.delivered_ratio * 100.0));
        }
        if self.unaccounted > explained.cast_signed() {
            void.push(format!("{} packets are missing, {explained} of them explained", self.unaccounted));
        }
        if self.delivered > self.expected {
            void.push("more was delivered than was sent".to_owned());
        }
        if self.latency_ms.p99 > BACKLOG.as_secs_f64() * 1000.0 {
            void.push("a backlog built up: CPU per packet is biased low".to_owned());
        }
        if self.own.busy > OWN_BUSY_MAX {
            void.push(format!("the load generator was {:.0} % busy", self.own.busy * 100.0));
        }
        if self.damaged > 0 {
            void.push(format!("{} packets were damaged", self.damaged));
        }
        if self.renumbered > 0 {
            void.push(format!("{} stamps contradict the numbering of their streams", self.renumbered));
        }
        self.void = void;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.label)?;
        writeln!(f, "  sent           {} in {:.2} s", self.sent, self.seconds)?;
        writeln!(
            f,
            "  delivered      {} of {} ({:.3} %), {} repeated, {} damaged of {} opened, {:.0} bytes each",
            self.delivered,
            self.expected,
            self.delivered_ratio * 100.0,
            self.repeated,
            self.damaged,
            self.samples,
            self.datagram_bytes
        )?;
        writeln!(
            f,
            "  unaccounted    {}; dropped at our sockets {}, at the server's {}, by the server {:?}",
            self.unaccounted, self.socket_drops, self.server_socket_drops, self.dropped_by_reason
        )?;
        writeln!(f, "  {}", self.latency_ms.line("latency"))?;
        writeln!(f, "  {}", self.connect_ms.line("connect"))?;
        writeln!(f, "  {}", self.first_packet_ms.line("first packet"))?;
        if let Some(cpu) = &self.server {
            writeln!(
                f,
                "  server CPU     user {:.2} s, system {:.2} s, waiting for a core {:.2} s, {:.3} us per \
                 delivered packet",
                cpu.user_s,
                cpu.system_s,
                cpu.waited_ns as f64 / 1e9,
                cpu.us_per_delivered_packet
            )?;
        }
        let each = self.own.cpu_ns as f64 / 1000.0 / self.delivered.max(1) as f64;
        writeln!(f, "  own CPU        {:.0} % busy, {each:.3} us per packet", self.own.busy * 100.0)?;
        if let Some(memory) = &self.memory {
            writeln!(f, "  memory         {} bytes per subscriber", memory.per_subscriber_bytes)?;
        }
        for reason in &self.void {
            writeln!(f, "  VOID           {reason}")?;
        }
        Ok(())
    }
}

impl Quantiles {
    pub(crate) fn of(histogram: &Histogram) -> Self {
        let at = |share| histogram.quantile(share).unwrap_or_default().as_secs_f64() * 1000.0;
        Self { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: histogram.max().as_secs_f64() * 1000.0 }
    }

    pub(crate) fn line(&self, name: &str) -> String {
        let Self { p50, p99, p999, max } = self;
        format!("{name:<14} p50 {p50:.2}  p99 {p99:.2}  p99.9 {p999:.2}  max {max:.2} ms")
    }
}

impl Machine {
    pub(crate) fn read() -> Self {
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")
                .unwrap_or_default()
                .trim()
                .to_owned(),
            cpu: model.map(|(_, name)| name.to_owned()).unwrap_or_default(),
            // Of the machine, wherever this process may run.
            cores: cpu.lines().filter(|line| line.starts_with("processor")).count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use ringcast_bench::lean::{Numbering, Tally};

    use super::*;
    use crate::endpoint::SourceReport;

    /// Two subscribers of a source that sent the counters 100 to 199 while it was measured, under numbers that pass
    /// the wrap; `lost` of them did not reach the second one.
    fn measured(lost: std::ops::Range<u64>) -> Measured {
        let subscriber = |lost: std::ops::Range<u64>| {
            let mut tally = Tally::default();
            let numbers = (50..250u64).filter(|at| !lost.contains(at)).map(|at| (at + 65_400) as u16);
            let extended: Vec<u64> = numbers.map(|number| tally.take(number)).collect();
            let base = extended[0].cast_signed() - 50;
            let numbering = Numbering { source: 16, layer: 0, base };
            let sources = vec![SourceReport::numbered(&numbering, tally)];
            ClientReport { expects: vec![16], sources, port: 5, server_port: 9, ..ClientReport::default() }
        };
        Measured {
            begun: SourceCounters::from([((16, 0), 100), ((SILENT_ID, 0), 3)]),
            paused: SourceCounters::from([((16, 0), 200), ((SILENT_ID, 0), 8)]),
            span: Duration::from_secs(1),
            threads: 1,
            clients: vec![subscriber(0..0), subscriber(lost)],
            ..Measured::default()
        }
    }

    fn report(measured: &Measured) -> Report {
        Report::new(String::new(), serde_json::Value::Null, measured)
    }

    #[test]
    fn what_was_sent_before_and_after_the_span_is_left_out() {
        let report = report(&measured(0..0));
        assert_eq!((report.sent, report.expected, report.delivered, report.unaccounted), (100, 200, 200, 0));
        assert_eq!(report.void, Vec::<String>::new());
    }

    #[test]
    fn a_packet_that_nothing_explains_makes_the_run_void() {
        let lost = report(&measured(150..151));
        assert_eq!((lost.delivered, lost.unaccounted, lost.void.len()), (199, 1, 1));
        let outside = report(&measured(60..61));
        assert_eq!((outside.delivered, outside.void.len()), (200, 0));
    }

    #[test]
    fn drops_of_the_server_and_of_full_sockets_explain_what_is_missing() {
        let mut one = measured(150..151);
        one.dropped = Drops::from([("send_failed".to_owned(), 1)]);
        let by_server = report(&one);
        assert_eq!((by_server.unaccounted, by_server.void.len()), (0, 0));
        one.dropped = Drops::from([("bad_stun".to_owned(), 1)]);
        assert_eq!(report(&one).void.len(), 1);
        for port in [5, 9] {
            one.sockets = BTreeMap::from([(port, 1)]);
            assert_eq!(report(&one).void.len(), 0);
        }
        one.sockets = BTreeMap::from([(6, 1)]);
        assert_eq!(report(&one).void.len(), 1);
    }

    #[test]
    fn a_client_that_got_nothing_is_missed() {
        let mut two = measured(0..0);
        two.clients[1].sources.clear();
        let report = report(&two);
        assert_eq!((report.expected, report.delivered, report.void.len()), (200, 100, 2));
    }
}
