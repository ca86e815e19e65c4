//! What a session's path is used for: what is known of it, what is wanted of it, and what is sent to learn more.

use std::time::Instant;

use super::Session;
use super::egress::Departure;
use super::paths::Path;
use super::regulator::Padding;
use crate::congestion::{Demand, Estimate, Micros};
use crate::rtp::{Packet, Rewritten};

/// Bytes of headers, tag, IP and UDP of a packet that is sent to measure the path, about.
const HEADERS: usize = 74;

impl Session {
    /// Microseconds since the session began.
    pub fn micros(&self, now: Instant) -> Micros {
        self.sender.micros(now)
    }

    /// What is known of the path; `None` for one that receives no video, whose path nobody divides.
    pub fn estimate(&self, now: Instant) -> Option<Estimate> {
        let at = self.sender.micros(now);
        self.sender.regulator.as_ref().map(|regulator| regulator.estimate(at))
    }

    /// Takes what is wanted of the path; `is_measured` when the rates of all that is sent are known.
    pub fn set_demand(&mut self, demand: Demand, is_measured: bool, now: Instant) {
        self.sender.set_demand(demand, is_measured, now);
    }

    /// Whether a probe of the path begins, for which [`Self::padding`] says what to send.
    pub fn begin_probe(&mut self, now: Instant) -> bool {
        let at = self.sender.micros(now);
        let can = self.egress.iter().flatten().any(|stream| stream.takes_padding());
        let can = can && self.ready().is_some();
        let regulator = self.sender.regulator.as_mut().filter(|_| can);
        regulator.is_some_and(|regulator| regulator.begin_probe(at))
    }

    /// What the probe under way asks for besides media.
    pub fn padding(&mut self, now: Instant) -> Padding {
        let at = self.sender.micros(now);
        self.sender.regulator.as_mut().map_or(Padding::Over, |regulator| regulator.padding(at))
    }

    /// Whether a stream takes what is sent to measure the path.
    pub fn takes_padding(&self, stream: usize) -> bool {
        self.stream(stream).is_some_and(|stream| stream.takes_padding())
    }

    /// Writes and seals a packet of about so many bytes with all headers that measures the path: one that was sent before, if
    /// there is one of that size, else padding. Returns the length of the datagram.
    pub fn seal_probe(
        &mut self,
        stream: usize,
        (size, payload_type): (usize, u8),
        again: Option<(Rewritten, &Packet)>,
        now: Instant,
        space: &mut [u8],
    ) -> Option<(Path, usize)> {
        let (keys, path, way) = self.transports.sealing()?;
        let stream = self.egress.get_mut(stream)?.as_deref_mut()?;
        let mut by = Departure::new(keys, &mut self.sender, (path, way), now);
        let fits = |packet: &Packet| packet.payload.len() + HEADERS <= size + size / 2;
        let len = match again.filter(|(_, packet)| fits(packet)) {
            Some((out, packet)) => stream.seal_probe(&mut by, &out, payload_type, packet, space)?,
            None => {
                let bytes = u8::try_from(size.saturating_sub(HEADERS).max(1)).unwrap_or(u8::MAX);
                stream.seal_padding(&mut by, (payload_type, bytes), space)?
            }
        };
        Some((path, len))
    }
}
