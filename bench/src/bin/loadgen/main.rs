//! Load generator: publishers and subscribers that talk to a running server as real clients do, over HTTP and
//! UDP, and account for every packet. `bench/README.md` says how to read what it prints.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program speaks on its terminal"
)]

mod api;
mod args;
mod batch;
mod connects;
mod endpoint;
mod load;
mod losses;
mod plain;
mod process;
mod report;
mod worker;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use serde::Serialize;

use crate::args::Args;
use crate::load::Load;
use crate::process::{CpuTime, memory_bytes};
use crate::report::{Measured, Memory, Report};
use crate::worker::Order;

/// Media that flows before the measurement begins.
const WARM_UP: Duration = Duration::from_secs(1);
/// How long packets may take to arrive after the last one was sent.
const DRAIN: Duration = Duration::from_millis(500);
/// How old the metrics of the server may be.
const METRICS_AGE: Duration = Duration::from_millis(1200);

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(error) => {
            eprintln!("loadgen: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether the figures may be used.
fn run(args: &Args) -> anyhow::Result<bool> {
    args.check()?;
    if let Some(count) = args.connects {
        let report = connects::run(args, count as usize)?;
        print!("{report}");
        write(args, &report)?;
        return Ok(report.void.is_empty());
    }
    let mut load = Load::new(args)?;
    let memory = || args.server_pid.and_then(memory_bytes);
    let (before, subscribers) = match args.mesh {
        Some(count) => {
            let members = load.mesh(count, &args.media())?;
            let before = memory();
            load.join(&members, &args.media())?;
            (before, u64::from(count))
        }
        None => {
            let wanted = load.publish(&args.media())?;
            let before = memory();
            load.subscribe(wanted)?;
            (before, u64::from(args.subscribers) * u64::from(args.rooms))
        }
    };
    let mut measured = measure(load, args)?;
    let both = before.zip(measured.memory_bytes);
    measured.memory = both.map(|(before, after)| Memory::new(before, after, subscribers));
    let report = Report::new(args.label(), serde_json::to_value(args)?, &measured);
    print!("{report}");
    write(args, &report)?;
    Ok(report.void.is_empty())
}

fn write(args: &Args, report: &impl Serialize) -> anyhow::Result<()> {
    let Some(path) = &args.json else { return Ok(()) };
    std::fs::write(path, serde_json::to_string_pretty(report)? + "\n")
        .with_context(|| format!("{} cannot be written", path.display()))
}

fn measure(load: Load<'_>, args: &Args) -> anyhow::Result<Measured> {
    let admin = args.admin.as_deref();
    let age = if admin.is_some() { METRICS_AGE } else { Duration::ZERO };
    pause(WARM_UP + age);
    let server = args.server_pid.map(|pid| pid.to_string());
    let cpu = || server.as_deref().map(CpuTime::of).transpose();
    let dropped = || admin.map(losses::dropped).transpose();
    let (dropped_before, sockets_before) = (dropped()?, losses::at_sockets());
    let begun = load.counters(Order::Begin)?;
    let (server_before, own_before, begun_at) = (cpu()?, CpuTime::of("self")?, now());
    pause(Duration::from_secs(args.seconds));
    let paused = load.counters(Order::Pause)?;
    let (server_after, own_after, span) = (cpu()?, CpuTime::of("self")?, now().duration_since(begun_at));
    pause(DRAIN + age);
    let memory_bytes = args.server_pid.and_then(memory_bytes);
    let dropped = dropped()?.zip(dropped_before).map(|(after, before)| losses::added(&after, &before));
    let mut sockets = losses::at_sockets();
    for (port, before) in sockets_before {
        sockets.entry(port).and_modify(|count| *count = count.saturating_sub(before));
    }
    let mut clients = Vec::new();
    for worker in &load.workers {
        clients.extend(worker.ask(Order::Finish)?);
    }
    let threads = load.workers.len();
    for worker in load.workers {
        worker.join()?;
    }
    Ok(Measured {
        begun,
        paused,
        span,
        server: server_after.zip(server_before).map(|(after, before)| after.since(&before)),
        own: own_after.since(&own_before),
        threads,
        dropped: dropped.unwrap_or_default(),
        sockets,
        memory_bytes,
        memory: None,
        clients,
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the load generator is a shell: it reads the clock for its clients"
)]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the main thread only waits for its client threads")]
fn pause(span: Duration) {
    std::thread::sleep(span);
}
