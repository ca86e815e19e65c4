//! How many instructions each stage of a packet's way takes, counted under callgrind: `bench/counts` runs this and
//! compares with `bench/counts.tsv`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark ends where its premise ends"
)]
#![expect(missing_docs, reason = "the macros of gungraun write public items without")]

mod stages;

use gungraun::prelude::*;
use ringcast_bench::counts::UNITS;

use self::stages::{Run, STAGES};

/// A stage, and how often it is to run.
struct Counted {
    run: Run,
    runs: u32,
}

impl Counted {
    fn run(&mut self) {
        (0..self.runs).for_each(|_| (self.run)());
    }
}

/// Makes a stage and runs it until its memory and the dynamic linker have settled.
fn make(name: &str) -> Counted {
    let stage = STAGES.iter().find(|stage| stage.name == name).unwrap();
    assert!(UNITS.is_multiple_of(stage.units), "{name}: runs are counted whole");
    let mut counted = Counted { run: (stage.make)(), runs: UNITS / stage.units };
    counted.run();
    counted
}

#[library_benchmark(setup = make)]
#[bench::demux_unproven_rtp("demux_unproven_rtp")]
#[bench::demux_unknown_check("demux_unknown_check")]
#[bench::ufrag_verify("ufrag_verify")]
#[bench::session_id_read("session_id_read")]
#[bench::srtcp_open_gcm_128("srtcp_open_gcm_128")]
#[bench::srtcp_open_cm("srtcp_open_cm")]
#[bench::vp8_descriptor_parse("vp8_descriptor_parse")]
#[bench::publication_push("publication_push")]
#[bench::cache_insert("cache_insert")]
#[bench::rewrite_8_for_1("rewrite_8_for_1")]
#[bench::rewrite_8_for_200("rewrite_8_for_200")]
#[bench::resend_lookup("resend_lookup")]
#[bench::header_write("header_write")]
#[bench::seal_gcm_128_120("seal_gcm_128_120")]
#[bench::seal_gcm_128_1200("seal_gcm_128_1200")]
#[bench::seal_gcm_256_120("seal_gcm_256_120")]
#[bench::seal_gcm_256_1200("seal_gcm_256_1200")]
#[bench::seal_cm_120("seal_cm_120")]
#[bench::seal_cm_1200("seal_cm_1200")]
#[bench::srtcp_seal_gcm_128("srtcp_seal_gcm_128")]
#[bench::outbox_run_of_8("outbox_run_of_8")]
#[bench::outbox_8_destinations("outbox_8_destinations")]
fn stage(mut counted: Counted) -> Counted {
    counted.run();
    counted
}

library_benchmark_group!(name = way_of_a_packet; benchmarks = stage);
main!(library_benchmark_groups = way_of_a_packet);
