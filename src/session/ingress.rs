//! What a client sends: engine packets become packets of a section and layer.
//!
//! The engine authenticates, decrypts, unwraps retransmissions and filters duplicates. Header extensions are
//! read from the datagram itself, where they stand in the clear under the packet's authentication.

use std::collections::{HashMap, VecDeque};

use str0m::Rtc;
use str0m::media::Mid;
use str0m::rtp::RtpPacket;

use super::SessionOutput;
use super::paths::Path;
use super::transport::Drain;
use super::wires::WireEvent;
use crate::drop::DropReason;
use crate::plan::IngressPlan;
use crate::rtp::header::RtpView;
use crate::rtp::{Codec, Packet, PassedExtensions};

/// Streams that one client may send at a time.
const STREAMS_MAX: usize = 1024;
/// Sources that are told by their payload types, of one client. More push the oldest out of which nothing authentic came.
const LATCHED_MAX: usize = 32;

/// One section in which the client sends.
#[derive(Debug)]
pub struct IngressSection {
    plan: IngressPlan,
}

impl IngressSection {
    pub(super) fn new(plan: IngressPlan) -> Self {
        Self { plan }
    }

    /// The section as planned.
    pub fn plan(&self) -> &IngressPlan {
        &self.plan
    }
}

/// A packet of a client, authenticated and decrypted.
#[derive(Debug)]
pub struct IngressPacket {
    /// SSRC of the stream.
    pub ssrc: u32,
    /// Index of the section in [`super::Session::ingress`].
    pub section: usize,
    /// Index of the layer in the section's `rids`; `None` without simulcast.
    pub layer: Option<usize>,
    /// Codec of its payload type.
    pub codec: Codec,
    /// RTP clock rate, Hz.
    pub clock_rate: u32,
    /// The packet.
    pub packet: Packet,
}

/// Section and layer of the streams seen so far.
#[derive(Debug, Default)]
pub(super) struct Collector {
    streams: HashMap<u32, (usize, Option<usize>), foldhash::fast::RandomState>,
    /// Sources that were told by their payload types, the oldest first. The engine has each for as long as it is here.
    latched: VecDeque<Latched>,
}

/// A source of a client that nothing but its payload type tells.
#[derive(Debug)]
struct Latched {
    ssrc: u32,
    section: Mid,
    /// The source that last seemed to bring its retransmissions.
    rtx: Option<u32>,
    /// Whether something authentic came.
    heard: bool,
}

impl Collector {
    /// Forgets which stream belongs where: sections have changed. The engine goes on with the sources that it has.
    pub(super) fn forget_streams(&mut self) {
        self.streams.clear();
    }

    /// Forgets all that an engine had that is gone.
    pub(super) fn forget_engine(&mut self) {
        self.forget_streams();
        self.latched.clear();
    }

    /// Lets the engine know of a source that nothing but its payload type tells (RFC 9143 9.2).
    ///
    /// Like all by which it tells packets that is not authentic yet: no source that is gives way to one that is not, and
    /// one for retransmissions only until its next packet.
    pub(super) fn latch(&mut self, rtc: &mut Rtc, sections: &[IngressSection], datagram: &[u8]) {
        let Some(view) = RtpView::parse(datagram) else { return };
        let (ssrc, payload_type) = (view.ssrc(), view.payload_type());
        let fits = |(main, rtx): &&(u8, Option<u8>)| *main == payload_type || *rtx == Some(payload_type);
        let mut told = sections
            .iter()
            .filter_map(|section| Some((&section.plan, *section.plan.told_by.iter().find(fits)?)));
        let Some((plan, (main, rtx))) = told.next() else { return };
        let section = Mid::from(plan.name.as_str());
        let mut known = self.latched.iter();
        // It cannot be asked about sections that it does not have.
        if known.any(|known| [Some(known.ssrc), known.rtx].contains(&Some(ssrc)))
            || rtc.media(section).is_none()
        {
            return;
        }
        let mut direct = rtc.direct_api();
        if direct.stream_rx(&ssrc.into()).is_some() {
            return;
        }
        if payload_type != main {
            // Retransmissions are of what the section sends.
            let mut newest = self.latched.iter_mut().rev();
            if let Some(known) = newest.find(|known| known.section == section && known.heard) {
                if let Some(before) = known.rtx.replace(ssrc) {
                    direct.remove_stream_rx(before.into());
                }
                direct.expect_stream_rx(known.ssrc.into(), Some(ssrc.into()), section, None);
            }
            return;
        }
        if self.latched.len() >= LATCHED_MAX {
            let silent = self.latched.iter().position(|known| !known.heard);
            if let Some(gone) = self.latched.remove(silent.unwrap_or_default()) {
                direct.remove_stream_rx(gone.ssrc.into());
                self.streams.remove(&gone.ssrc);
            }
        }
        direct.expect_stream_rx(ssrc.into(), None, section, None).suppress_nack(rtx.is_none());
        self.latched.push_back(Latched { ssrc, section, rtx: None, heard: false });
    }

    pub(super) fn drain<'a>(
        &'a mut self,
        sections: &'a [IngressSection],
        datagram: &'a [u8],
        out: &'a mut SessionOutput,
    ) -> Draining<'a> {
        Draining { collector: self, sections, datagram, out }
    }
}

pub(super) struct Draining<'a> {
    collector: &'a mut Collector,
    sections: &'a [IngressSection],
    datagram: &'a [u8],
    out: &'a mut SessionOutput,
}

impl Drain for Draining<'_> {
    fn transmit(&mut self, path: Path, contents: &[u8]) {
        self.out.transmit(path, contents);
    }

    fn dropped(&mut self, reason: DropReason) {
        self.out.dropped.push(reason);
    }

    fn packet(&mut self, rtc: &mut Rtc, packet: RtpPacket) {
        match self.take(rtc, packet) {
            Ok(packet) => self.out.packets.push(packet),
            Err(reason) => self.out.dropped.push(reason),
        }
    }

    fn wire(&mut self, event: WireEvent) {
        self.out.wires.push(event);
    }
}

impl Draining<'_> {
    fn take(&mut self, rtc: &mut Rtc, packet: RtpPacket) -> Result<IngressPacket, DropReason> {
        let ssrc = *packet.header.ssrc;
        let (section, layer) = self.stream(rtc, ssrc).ok_or(DropReason::UnknownStream)?;
        let plan = self.sections.get(section).ok_or(DropReason::UnknownStream)?.plan();
        let payload_type = *packet.header.payload_type;
        let payload = plan
            .codecs
            .iter()
            .find(|payload| payload.payload_type == payload_type)
            .ok_or(DropReason::PayloadType)?;
        Ok(IngressPacket {
            ssrc,
            section,
            layer,
            codec: payload.codec,
            clock_rate: payload.clock_rate,
            packet: Packet {
                seq: *packet.seq_no,
                timestamp: packet.header.timestamp,
                marker: packet.header.marker,
                payload_type,
                extensions: self.extensions(plan),
                payload: packet.payload,
                received_at: packet.timestamp,
                ecn: 0,
            },
        })
    }

    fn stream(&mut self, rtc: &mut Rtc, ssrc: u32) -> Option<(usize, Option<usize>)> {
        if let Some(known) = self.collector.streams.get(&ssrc) {
            return Some(*known);
        }
        let mut direct = rtc.direct_api();
        let stream = direct.stream_rx(&ssrc.into())?;
        let (mid, rid) = (stream.mid(), stream.rid());
        let section = self.sections.iter().position(|section| section.plan.name.as_str() == &*mid)?;
        let names = &self.sections.get(section)?.plan.layer_names;
        let layer = match rid {
            Some(rid) => Some(names.iter().position(|known| known.as_str() == &*rid)?),
            None => None,
        };
        if self.collector.streams.len() >= STREAMS_MAX {
            return None;
        }
        self.collector.streams.insert(ssrc, (section, layer));
        if let Some(latched) = self.collector.latched.iter_mut().find(|known| known.ssrc == ssrc) {
            latched.heard = true;
        }
        Some((section, layer))
    }

    fn extensions(&self, plan: &IngressPlan) -> PassedExtensions {
        let mut passed = PassedExtensions::EMPTY;
        let Some(view) = RtpView::parse(self.datagram) else { return passed };
        for (id, value) in view.extensions() {
            let kind = plan.extensions.iter().find(|(known, _)| *known == id).map(|(_, kind)| *kind);
            if let Some(kind) = kind.filter(|kind| kind.is_passed()) {
                // One that finds no room is left out: none of them is needed to decode.
                let _fits = passed.push(kind, value);
            }
        }
        passed
    }
}
