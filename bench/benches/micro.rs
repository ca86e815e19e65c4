//! How long each stage of a packet's way takes, alone and with everything in the cache of the processor:
//! `cargo bench --profile release --workspace --bench micro`. What a packet costs in a running server is for
//! `bench/run` to say.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark ends where its premise ends"
)]

mod stages;

use std::time::Duration;

use criterion::{Criterion, Throughput};

use self::stages::STAGES;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let mut group = criterion.benchmark_group("stage");
    for stage in &STAGES {
        group.throughput(Throughput::Elements(stage.units.into()));
        group.bench_function(stage.name, |bencher| bencher.iter((stage.make)()));
    }
    group.finish();
    criterion.final_summary();
}
