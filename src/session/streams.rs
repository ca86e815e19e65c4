//! The streams that leave for the client, and the packets of each.

use std::time::Instant;

use super::Session;
use super::egress::{Departure, EgressStream, Outlet};
use super::footprint::{Footprint, address};
use super::paths::Path;
use super::transport::Transport;
use crate::drop::RepairRefusal;
use crate::plan::EgressPlan;
use crate::rtp::{Packet, Rewritten};

impl Session {
    /// Takes note that the client is to receive video: what is sent is remembered from now on, and what sound is sent counts as
    /// well.
    ///
    /// `has_feedback` where it has agreed to tell of packets by their transport-wide numbers.
    pub fn expect_video(&mut self, now: Instant, has_feedback: bool) {
        self.sender.remember(now, has_feedback);
    }

    /// Has a stream follow a changed plan of the same SSRC. Returns whether its headers are made of other things from now on.
    pub fn change_stream(&mut self, index: usize, plan: &EgressPlan) -> bool {
        let numbers_sound = self.sender.remembers();
        self.stream_mut(index).is_some_and(|stream| stream.apply(plan, numbers_sound))
    }

    /// Adds a stream to the client; returns its index, which stays until [`Session::remove_stream`].
    pub fn add_stream(&mut self, plan: &EgressPlan, first_rtx_index: u16) -> usize {
        let stream = Box::new(EgressStream::new(plan, self.sender.remembers(), first_rtx_index));
        if let Some(free) = self.egress.iter().position(Option::is_none) {
            if let Some(slot) = self.egress.get_mut(free) {
                *slot = Some(stream);
            }
            return free;
        }
        self.egress.push(Some(stream));
        self.egress.len() - 1
    }

    /// Ends a stream.
    pub fn remove_stream(&mut self, index: usize) {
        if let Some(slot) = self.egress.get_mut(index) {
            *slot = None;
        }
    }

    /// A stream by its index.
    pub fn stream(&self, index: usize) -> Option<&EgressStream> {
        self.egress.get(index)?.as_deref()
    }

    /// A stream by its index.
    pub fn stream_mut(&mut self, index: usize) -> Option<&mut EgressStream> {
        self.egress.get_mut(index)?.as_deref_mut()
    }

    /// All streams with their indices.
    pub fn streams(&self) -> impl Iterator<Item = (usize, &EgressStream)> {
        self.egress.iter().enumerate().filter_map(|(index, stream)| Some((index, stream.as_deref()?)))
    }

    /// Where that lies which the next batch of a stream will need.
    #[inline]
    pub fn footprint(&self, stream: usize) -> Footprint {
        let (route, keys) = self.transports.present().map(Transport::footprint).unwrap_or_default();
        Footprint {
            stream: self.egress.get(stream).and_then(Option::as_deref).map_or(0, address),
            streams: address(&self.egress),
            transports: address(&self.transports),
            sender: address(&self.sender),
            route,
            keys,
        }
    }

    /// Opens a stream for the packets of one batch; `None` while there are no keys or no proven address.
    #[inline]
    pub fn outlet(&mut self, stream: usize, now: Instant) -> Option<Outlet<'_>> {
        let (keys, path, way) = self.transports.sealing()?;
        let stream = self.egress.get_mut(stream)?.as_deref_mut()?;
        Some(Outlet { stream, departure: Departure::new(keys, &mut self.sender, (path, way), now), path })
    }

    /// Writes and seals a packet of a stream once more, as a retransmission.
    ///
    /// # Errors
    /// The reason for which it is not sent.
    pub fn seal_again(
        &mut self,
        stream: usize,
        out: &Rewritten,
        rtx_payload_type: Option<u8>,
        packet: &Packet,
        now: Instant,
        space: &mut [u8],
    ) -> Result<usize, RepairRefusal> {
        let stream = self.egress.get_mut(stream).and_then(Option::as_deref_mut);
        let (Some((keys, path, way)), Some(stream)) = (self.transports.sealing(), stream) else {
            return Err(RepairRefusal::NotReady);
        };
        let mut departure = Departure::new(keys, &mut self.sender, (path, way), now);
        stream.seal_again(&mut departure, out, rtx_payload_type, packet, now, space)
    }

    /// Writes and seals a sender report of a stream.
    pub fn seal_report(
        &mut self,
        stream: usize,
        (ntp, rtp): (u64, u32),
        now: Instant,
        space: &mut [u8],
    ) -> Option<(Path, usize)> {
        let (keys, path, _) = self.transports.sealing()?;
        let stream = self.egress.get_mut(stream)?.as_deref_mut()?;
        let len = stream.seal_report(keys, ntp, rtp, now, space)?;
        Some((path, len))
    }
}
