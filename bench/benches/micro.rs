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

use ringcast_bench::stopwatch::Stopwatch;

use self::stages::STAGES;

fn main() {
    let stopwatch = Stopwatch::from_command_line();
    for stage in &STAGES {
        stopwatch.time(stage.name, stage.units, (stage.make)());
    }
}
