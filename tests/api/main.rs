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

mod browser;
mod change;
mod channels;
mod client;
mod codecs;
mod command;
mod description;
mod errors;
mod events;
mod extensions;
mod golden;
mod harness;
mod order;
mod pull;
mod push;
mod serving;
mod sessions;
mod strict;
mod thirdparty;
mod tokens;
mod turn;
mod whip;
mod whip_contract;
