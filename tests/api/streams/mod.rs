//! WHIP and WHEP.

mod contract;
pub(crate) mod events;
mod exchange;
