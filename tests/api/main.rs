//! The contract of the HTTP API, checked on the whole service with a scripted shard: no sockets, virtual time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_types,
    missing_docs,
    reason = "a failed step of a test is a failed test"
)]

mod access;
mod browser;
mod client;
mod harness;
mod service;
mod sessions;
mod streams;
mod strict;
