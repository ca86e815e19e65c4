//! Metrics: the catalogue, a shard's plain counters, and their export.

pub mod shard;
