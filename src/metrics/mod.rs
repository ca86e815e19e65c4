//! Metrics: the catalogue, a shard's plain counters, and their export.
//!
//! A shard adds to plain numbers and sends a copy once a second; the export sums the copies when it is scraped.
//! What belongs to one session is JSON under `/ext/`, never a label.

#![expect(
    clippy::disallowed_types,
    reason = "the export stands beside the way of a packet; a scrape may wait"
)]

pub mod export;
pub mod exposition;
pub mod names;
pub mod process;
pub mod shard;
pub mod spread;
pub mod tally;
