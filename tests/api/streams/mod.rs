//! WHIP and WHEP.

mod contract;
mod crowd;
pub(crate) mod events;
mod exchange;
