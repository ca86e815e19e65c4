//! The stages of a packet's way, each alone: one table for the stop watch (`micro.rs`) and for the count of
//! instructions (`counts.rs`).
//!
//! A stage is made once, with everything that it needs, and then run as often as one likes; each run does the same
//! work on the same bytes. What differs from run to run are numbers that may not come twice, like the index under
//! which a packet is sealed.

mod forwarding;
mod names;
mod protection;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// One stage, ready to run.
pub(crate) type Run = Box<dyn FnMut()>;

/// A stage by its name.
pub(crate) struct Stage {
    /// Its name, as it stands in `bench/counts.tsv`.
    pub(crate) name: &'static str,
    /// Packets, or whatever the stage works on, in one run.
    pub(crate) units: u32,
    /// Makes it.
    pub(crate) make: fn() -> Run,
}

const fn stage(name: &'static str, units: u32, make: fn() -> Run) -> Stage {
    Stage { name, units, make }
}

/// Every stage, in the order of a packet's way.
pub(crate) const STAGES: [Stage; 22] = [
    stage("demux_unproven_rtp", 1, names::demux_unproven_rtp),
    stage("demux_unknown_check", 1, names::demux_unknown_check),
    stage("ufrag_verify", 1, names::ufrag_verify),
    stage("session_id_read", 1, names::session_id_read),
    stage("srtcp_open_gcm_128", REPORTS, protection::srtcp_open_gcm_128),
    stage("srtcp_open_cm", REPORTS, protection::srtcp_open_cm),
    stage("vp8_descriptor_parse", 1, forwarding::vp8_descriptor_parse),
    stage("publication_push", 8, forwarding::publication_push),
    stage("cache_insert", 1, forwarding::cache_insert),
    stage("rewrite_8_for_1", 8, forwarding::rewrite_8_for_1),
    stage("rewrite_8_for_200", 1600, forwarding::rewrite_8_for_200),
    stage("resend_lookup", 1, forwarding::resend_lookup),
    stage("header_write", 1, forwarding::header_write),
    stage("seal_gcm_128_120", 1, protection::seal_gcm_128_120),
    stage("seal_gcm_128_1200", 1, protection::seal_gcm_128_1200),
    stage("seal_gcm_256_120", 1, protection::seal_gcm_256_120),
    stage("seal_gcm_256_1200", 1, protection::seal_gcm_256_1200),
    stage("seal_cm_120", 1, protection::seal_cm_120),
    stage("seal_cm_1200", 1, protection::seal_cm_1200),
    stage("srtcp_seal_gcm_128", 1, protection::srtcp_seal_gcm_128),
    stage("outbox_run_of_8", 8, forwarding::outbox_run_of_8),
    stage("outbox_8_destinations", 8, forwarding::outbox_8_destinations),
];

/// Reports that one run opens: a receiver takes none twice, so that each run begins with a new one.
const REPORTS: u32 = 16;

/// The moment from which all times are counted.
#[expect(clippy::disallowed_methods, reason = "an instant has no other beginning")]
fn base_instant() -> Instant {
    static BASE: OnceLock<Instant> = OnceLock::new();
    *BASE.get_or_init(Instant::now)
}

fn at_ms(ms: u64) -> Instant {
    base_instant() + Duration::from_millis(ms)
}
