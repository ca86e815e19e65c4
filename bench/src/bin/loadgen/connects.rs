//! Connecting as the measured thing: how many clients a second come up, and what each costs the server.

use std::fmt;

use ringcast_bench::histogram::Histogram;
use ringcast_bench::source::Media;
use serde::Serialize;

use crate::args::Args;
use crate::load::Load;
use crate::now;
use crate::process::CpuTime;
use crate::report::{Machine, Own, Quantiles};
use crate::worker::Order;

/// Threads of the server that carry media and handshakes.
const SHARDS: &str = "shard-";

/// What a run of connects has shown.
#[derive(Debug, Serialize)]
pub(crate) struct ConnectReport {
    kind: &'static str,
    label: String,
    machine: Machine,
    parameters: serde_json::Value,
    span_s: f64,
    connects: u64,
    /// By the wall clock.
    connects_per_second: f64,
    /// By the CPU time of the shards, and of the whole process with HTTP and SDP.
    connects_per_core_second: Option<f64>,
    connects_per_core_second_whole: Option<f64>,
    connect_ms: Quantiles,
    server: Option<ConnectCpu>,
    own: Own,
    pub(crate) void: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ConnectCpu {
    cpu_ns: u64,
    user_ns: u64,
    system_ns: u64,
    us_per_connect: f64,
    shard_us_per_connect: f64,
    threads: std::collections::BTreeMap<String, u64>,
}

/// Brings up so many clients and tells what that took.
pub(crate) fn run(args: &Args, count: usize) -> anyhow::Result<ConnectReport> {
    let mut load = Load::new(args)?;
    // Two packets a second: enough for a pull to be answered, too little to be seen in the figures.
    load.publish(&[Media::video(2, 2, 200)])?;
    let server = args.server_pid.map(|pid| pid.to_string());
    let cpu = || server.as_deref().map(CpuTime::of).transpose();
    let (server_before, own_before, begun_at) = (cpu()?, CpuTime::of("self")?, now());
    load.connect(count)?;
    let span = now().duration_since(begun_at);
    let (server_after, own_after) = (cpu()?, CpuTime::of("self")?);
    let mut connect = Histogram::default();
    for worker in &load.workers {
        for client in worker.ask(Order::Finish)?.iter().filter(|client| !client.publisher) {
            if let Some(took) = client.since_created(client.connected_at) {
                connect.record(took);
            }
        }
    }
    let own = own_after.since(&own_before);
    let each = count.max(1) as f64;
    let server = server_after.zip(server_before).map(|(after, before)| after.since(&before));
    let server = server.map(|spent| ConnectCpu {
        cpu_ns: spent.total_ns(),
        user_ns: spent.user_ns(),
        system_ns: spent.system_ns(),
        us_per_connect: spent.total_ns() as f64 / 1000.0 / each,
        shard_us_per_connect: spent.threads_ns(SHARDS) as f64 / 1000.0 / each,
        threads: spent.threads,
    });
    let rate = |us: f64| (us > 0.0).then_some(1e6 / us);
    let connected = connect.count();
    let mut void = Vec::new();
    if connected != count as u64 {
        void.push(format!("{connected} of {count} connected"));
    }
    Ok(ConnectReport {
        kind: "connects",
        label: args.label(),
        machine: Machine::read(),
        parameters: serde_json::to_value(args)?,
        span_s: span.as_secs_f64(),
        connects: connected,
        connects_per_second: connected as f64 / span.as_secs_f64(),
        connects_per_core_second: server.as_ref().and_then(|cpu| rate(cpu.shard_us_per_connect)),
        connects_per_core_second_whole: server.as_ref().and_then(|cpu| rate(cpu.us_per_connect)),
        connect_ms: Quantiles::of(&connect),
        server,
        // The threads that speak HTTP make and connect clients as well.
        own: Own::new(own.total_ns(), span, 1),
        void,
    })
}

impl fmt::Display for ConnectReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.label)?;
        writeln!(
            f,
            "  connects       {} in {:.2} s: {:.0} per second",
            self.connects, self.span_s, self.connects_per_second
        )?;
        writeln!(f, "  {}", self.connect_ms.line("connect"))?;
        if let Some(server) = &self.server {
            writeln!(
                f,
                "  server CPU     {:.0} us per connect, {:.0} us of them in shards",
                server.us_per_connect, server.shard_us_per_connect
            )?;
        }
        writeln!(f, "  own CPU        {:.0} % of one core", self.own.busy * 100.0)?;
        for reason in &self.void {
            writeln!(f, "  VOID           {reason}")?;
        }
        Ok(())
    }
}
