//! The description of what a client sends, read for the engine.
//!
//! Reading takes longer than everything that a shard does for a frame, so whoever has the time does it beforehand, on
//! another thread. Next: [`super::Session::apply_transport`] takes it along with the plan whose text it is.

use str0m::change::SdpOffer;

use super::transport::EngineError;

/// A description that the engine can take without reading it.
#[derive(Debug)]
pub struct Description(SdpOffer);

impl Description {
    /// Reads the text of a plan. What cannot be read is `None`: whoever carries out the plan then says why.
    pub fn read(text: &str) -> Option<Self> {
        Self::try_read(text).ok()
    }

    pub(super) fn try_read(text: &str) -> Result<Self, EngineError> {
        SdpOffer::from_sdp_string(text).map(Self).map_err(|error| EngineError::Description(error.to_string()))
    }

    pub(super) fn into_offer(self) -> SdpOffer {
        self.0
    }
}
