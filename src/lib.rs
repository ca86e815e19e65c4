//! Ringcast: a selective forwarding unit for WebRTC.
//!
//! Modules stand in the order in which a packet meets them; control stands beside that way.
//! ARCHITECTURE.md tells the whole story.

pub mod net;
pub mod shard;
pub mod session;
pub mod router;
pub mod speakers;
pub mod congestion;
pub mod rtp;
pub mod srtp;

pub mod drop;
pub mod ids;
pub mod random;
pub mod plan;

pub mod control;
pub mod negotiation;
pub mod sdp;

pub mod config;
pub mod log;
pub mod metrics;
pub mod node;
