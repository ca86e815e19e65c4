//! Whole shards and real clients in virtual time: no socket, no thread, no sleep.
//!
//! Shards are driven as their worker drives them, control is played with `ringcast::negotiation` and commands,
//! and clients are str0m engines joined to their shard by emulated links. ICE, DTLS, SRTP and RTCP are real; only
//! time and the network are made up. The seed
//! of a scenario decides all that is random but the keys of DTLS, so runs of one seed are equal in behaviour and time, and in
//! all bytes that those keys do not seal.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure of the harness is a failure of the test that runs it"
)]

mod harness;

mod addresses;
mod arrival;
mod bandwidth;
mod calling;
mod channels;
mod churn;
mod crowds;
mod delivery;
mod dtls;
mod hostile;
mod joining;
mod keyframes;
mod layers;
mod lifecycle;
mod model;
mod moves;
mod newcomers;
mod one_port;
mod replay;
mod reports;
mod resend;
mod roaming;
mod sending;
mod sources;
mod speakers;
mod tcp;
mod transports;
mod unnamed;
