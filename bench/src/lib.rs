//! WebRTC clients for measurements and tests: a sans-IO client that publishes and receives media whose every
//! packet can be told apart.
//!
//! The [`client`] is driven as `handle_*(now, ..)` and `poll_*`, so the same client runs over sockets in the load
//! generator and in virtual time in the simulation. What it sends comes from a [`source`], each payload carries a
//! [`stamp`], and what it receives is accounted for in [`reception`]. Nothing here knows the server's code: the
//! two meet only in SDP and datagrams. (The single stages in `benches/` do know it, and are no part of this library.)

pub mod client;
pub mod counts;
mod engine;
pub mod histogram;
pub mod lean;
pub mod opening;
pub mod reception;
pub mod sealing;
pub mod source;
pub mod stamp;
pub mod stopwatch;
