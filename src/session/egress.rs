//! What leaves for one client: RTP, retransmissions and sender reports, written and sealed in place.
//!
//! Takes a packet and the header that was decided for it, and writes both straight into the space from which
//! the datagram is sent. Rules that the keys depend on: an SSRC belongs to exactly one stream for the life of
//! the session; one (SSRC, index) seals one packet only, so a packet that is sent again without RTX must be the
//! same to the bit, header included (RFC 3711 9.1, RFC 7714 8.3).

use std::time::{Duration, Instant};

use super::history::{Sort, low16};
use super::paths::Path;
use super::reach::{Admission, Reach};
use super::repair::{self, Requests};
use super::sender::{Sender, Way};
use super::transport::Keys;
use crate::congestion::{Micros, Purpose, Reception};
use crate::drop::{DropReason, RepairRefusal};
use crate::plan::EgressPlan;
use crate::rtp::descriptor::FRAME_NUMBER_AT;
use crate::rtp::header::{HeaderOut, RtpView, write_header};
use crate::rtp::rtcp::{ReportBlock, SenderReportOut, write_sender_report};
use crate::rtp::template::PassedIds;
use crate::rtp::{ExtensionKind, ExtensionTemplate, MediaKind, Packet, PayloadEdit, Rewritten, rtx, time};

/// The largest datagram that is sent: header and extensions, payload, tag. It is so much more than the largest that is
/// taken that no packet fails to fit once its header was decided.
pub const DATAGRAM_BYTES_MAX: usize = 2048;

/// Packets of a stream without RTX whose transport-wide numbers are remembered: a second of sound and more, as long as one is
/// worth sending again.
const NUMBERS_REMEMBERED: usize = 64;

/// What a header with its extensions and the tag take, about.
const HEADERS_BYTES: usize = 44;

/// The bit of the first byte that says that padding follows (RFC 3550 5.1).
const PADDING_BIT: u8 = 0x20;

/// Sender reports whose answer may still come.
const REPORTS_REMEMBERED: usize = 4;

/// One stream that leaves for the client.
#[derive(Debug)]
pub struct EgressStream {
    mid: String,
    kind: MediaKind,
    ssrc: u32,
    cname: String,
    rtx_ssrc: Option<u32>,
    /// Index of the next retransmission on its own SSRC.
    rtx_index: u64,
    mid_id: Option<u8>,
    transport_cc_id: Option<u8>,
    /// Where packets with transport-wide numbers are sent again as they were.
    numbers: Option<Box<Numbers>>,
    /// The id of each kind that is passed on; 0 for none.
    passed_ids: PassedIds,
    /// What all its headers have in common, where the short form of extensions does.
    template: Option<ExtensionTemplate>,
    reach: Reach,
    figures: EgressFigures,
    reports: [Option<SentReport>; REPORTS_REMEMBERED],
    pub(super) requests: Requests,
}

/// What was sent, and what the client reported of it.
#[derive(Debug, Clone, Default)]
pub struct EgressFigures {
    /// Packets sent, retransmissions not counted.
    pub packets: u64,
    /// Payload bytes sent, retransmissions not counted.
    pub bytes: u64,
    /// Bits per second over the last full second.
    pub bitrate_bps: u64,
    /// Packets that the client asked for again.
    pub nacks: u64,
    /// Packets sent again.
    pub retransmissions: u64,
    /// Packets that it asked for and that were not sent again.
    pub retransmissions_refused: u64,
    /// Keyframe requests of the client.
    pub keyframe_requests: u64,
    /// Share reported lost in the newest report.
    pub fraction_lost: f64,
    /// Packets reported lost in all.
    pub lost: i64,
    /// Round-trip time by the newest report.
    pub rtt: Option<Duration>,
    /// Interarrival jitter by the newest report, RTP clock ticks.
    pub jitter_ticks: u32,
    bytes_at_tick: u64,
}

#[derive(Debug, Clone, Copy)]
struct SentReport {
    /// Middle 32 bits of its NTP time, which the client echoes.
    middle: u32,
    at: Instant,
}

/// The transport-wide numbers under which the newest packets of a stream left.
#[derive(Debug)]
struct Numbers([(u32, u16); NUMBERS_REMEMBERED]);

impl Default for Numbers {
    fn default() -> Self {
        // No index has this name in the first place.
        Self([(u32::MAX, 0); NUMBERS_REMEMBERED])
    }
}

impl Numbers {
    /// The part of an index by which packets are told apart: as many are never in one place at a time.
    fn name(index: u64) -> u32 {
        (index & u64::from(u32::MAX)) as u32
    }

    fn remember(&mut self, index: u64, number: u16) {
        if let Some(place) = self.0.get_mut(Self::name(index) as usize % NUMBERS_REMEMBERED) {
            *place = (Self::name(index), number);
        }
    }

    fn of(&self, index: u64) -> Option<u16> {
        let (name, number) = *self.0.get(Self::name(index) as usize % NUMBERS_REMEMBERED)?;
        (name == Self::name(index)).then_some(number)
    }
}

/// A stream with its keys and its path: all that the packets of one batch have in common.
pub struct Outlet<'a> {
    pub(super) stream: &'a mut EgressStream,
    pub(super) departure: Departure<'a>,
    /// Where its datagrams go.
    pub path: Path,
}

/// What packets of all streams of a session leave by, at one moment.
pub(super) struct Departure<'a> {
    keys: &'a Keys,
    sender: &'a mut Sender,
    /// When.
    at: Micros,
    /// Bytes that IP and UDP add to a datagram.
    overhead: usize,
}

impl<'a> Departure<'a> {
    #[inline]
    pub(super) fn new(
        keys: &'a Keys,
        sender: &'a mut Sender,
        (path, way): (Path, Way),
        now: Instant,
    ) -> Self {
        let at = sender.micros(now);
        sender.go_by(way, at);
        let overhead = if path.remote.is_ipv4() { 20 + 8 } else { 40 + 8 };
        Self { keys, sender, at, overhead }
    }
}

impl Outlet<'_> {
    /// Whether so many packets with so many bytes of payload may leave now. What may not is not given a header. Sound is never
    /// held.
    ///
    /// # Errors
    /// The reason for which none may: [`DropReason::Held`] where they are to wait, and not to be dropped.
    #[inline]
    pub fn admits(&mut self, packets: usize, bytes: u64) -> Result<Admission, DropReason> {
        let Departure { sender, at, .. } = &mut self.departure;
        if self.stream.kind == MediaKind::Audio || sender.admits(*at, bytes) {
            self.stream.reach.admits(packets).ok_or(DropReason::ReceiverSilent)
        } else {
            Err(DropReason::Held)
        }
    }

    /// Whether what is sent is more than the path carries.
    pub fn is_strained(&self) -> bool {
        let Departure { sender, at, .. } = &self.departure;
        sender.regulator.as_ref().is_some_and(|regulator| regulator.is_strained(*at))
    }

    /// Writes and seals one packet into `space`, [`DATAGRAM_BYTES_MAX`] of an outbox that the datagram is going to lie in,
    /// and numbers it; returns the length of the datagram.
    #[inline]
    pub fn seal(&mut self, out: &Rewritten, packet: &Packet, space: &mut [u8]) -> Option<usize> {
        self.stream.seal(&mut self.departure, out, packet, space)
    }
}

impl EgressStream {
    /// Makes the stream of a planned section. `first_rtx_index` starts its retransmissions: below 32768.
    pub fn new(plan: &EgressPlan, numbers_sound: bool, first_rtx_index: u16) -> Self {
        let mut stream = Self {
            mid: plan.mid.clone(),
            kind: plan.kind,
            ssrc: plan.ssrc,
            cname: plan.cname.clone(),
            rtx_ssrc: plan.rtx_ssrc,
            rtx_index: u64::from(first_rtx_index & 0x7fff),
            mid_id: None,
            transport_cc_id: None,
            numbers: None,
            passed_ids: PassedIds::default(),
            template: None,
            reach: Reach::default(),
            figures: EgressFigures::default(),
            reports: [None; REPORTS_REMEMBERED],
            requests: Requests::default(),
        };
        stream.apply(plan, numbers_sound);
        stream
    }

    /// Follows a changed plan of the same SSRC. Returns whether headers are made of other things from now on, so that
    /// nothing that was sent before can be made again.
    ///
    /// `numbers_sound` where what the client says of transport-wide numbers is of use: not for sound alone, of which there is
    /// no less to send.
    pub(super) fn apply(&mut self, plan: &EgressPlan, numbers_sound: bool) -> bool {
        let before = (self.mid_id, self.transport_cc_id, self.passed_ids, self.rtx_ssrc);
        let is_renamed = self.mid != plan.mid;
        self.mid.clone_from(&plan.mid);
        self.cname.clone_from(&plan.cname);
        self.rtx_ssrc = plan.rtx_ssrc;
        let id_of = |kind| plan.extensions.iter().find(|(_, known)| *known == kind).map(|(id, _)| *id);
        self.mid_id = id_of(ExtensionKind::Mid);
        // Without RTX a packet is sent again bit for bit, with the number that it had. Sound has so few that they can be
        // remembered.
        let has_numbers = plan.rtx_ssrc.is_some() || numbers_sound && plan.kind == MediaKind::Audio;
        self.transport_cc_id = id_of(ExtensionKind::TransportCc).filter(|_| has_numbers);
        self.passed_ids = PassedIds::default();
        for (id, kind) in plan.extensions.iter().filter(|(_, kind)| kind.is_passed()) {
            if let Some(place) = self.passed_ids.get_mut(*kind as usize).filter(|place| **place == 0) {
                *place = *id;
            }
        }
        let mid = self.mid_id.map(|id| (id, self.mid.as_bytes()));
        self.template = ExtensionTemplate::new(mid, self.transport_cc_id, self.passed_ids);
        let is_changed =
            is_renamed || before != (self.mid_id, self.transport_cc_id, self.passed_ids, self.rtx_ssrc);
        if is_changed {
            self.forget_numbers();
        }
        is_changed
    }

    fn forget_numbers(&mut self) {
        let remembers = self.transport_cc_id.is_some() && self.rtx_ssrc.is_none();
        self.numbers = remembers.then(Box::default);
    }

    /// The SSRC of its media.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Its section.
    pub fn mid(&self) -> &str {
        &self.mid
    }

    /// Audio or video.
    pub fn kind(&self) -> MediaKind {
        self.kind
    }

    /// What was sent and reported.
    pub fn figures(&self) -> &EgressFigures {
        &self.figures
    }

    /// Mutable figures, for what the shard counts.
    pub fn figures_mut(&mut self) -> &mut EgressFigures {
        &mut self.figures
    }

    /// Starts again under new keys: retransmissions count from below 32768 at rollover 0.
    pub(super) fn rebase(&mut self, first_rtx_index: u16) {
        self.rtx_index = u64::from(first_rtx_index & 0x7fff);
        self.reports = [None; REPORTS_REMEMBERED];
        self.reach = Reach::default();
        self.requests.clear();
        self.forget_numbers();
    }

    /// The time to the client and back, as far as requests are concerned.
    pub(super) fn round_trip(&self) -> Duration {
        repair::round_trip(self.figures.rtt)
    }

    /// Closes one second of counting.
    pub(super) fn tick(&mut self) {
        self.reach.tick();
        self.figures.bitrate_bps = (self.figures.bytes - self.figures.bytes_at_tick) * 8;
        self.figures.bytes_at_tick = self.figures.bytes;
    }

    /// Writes and seals one media packet into `space`; returns the length of the datagram.
    #[inline]
    fn seal(
        &mut self,
        by: &mut Departure<'_>,
        out: &Rewritten,
        packet: &Packet,
        space: &mut [u8],
    ) -> Option<usize> {
        let number = by.sender.next_number();
        let (len, payload) = self.seal_media(by, out, packet, space, number)?;
        self.number(by, len, Purpose::Media);
        if let Some(numbers) = &mut self.numbers {
            numbers.remember(out.index, number);
        }
        self.reach.sealed(out.index);
        by.sender.repair.earn(len);
        self.figures.packets += 1;
        self.figures.bytes += payload as u64;
        Some(len)
    }

    /// The same without counting it, under a transport-wide number; returns the length of the payload too.
    #[inline]
    fn seal_media(
        &self,
        by: &mut Departure<'_>,
        out: &Rewritten,
        packet: &Packet,
        space: &mut [u8],
        number: u16,
    ) -> Option<(usize, usize)> {
        let header = HeaderOut {
            marker: out.marker,
            payload_type: out.payload_type,
            seq: out.seq(),
            timestamp: out.timestamp,
            ssrc: self.ssrc,
        };
        let header_len = self.write_header(&header, number, out, packet, space)?;
        let written = PayloadEdit::write(out.edit.as_ref(), &packet.payload, space.get_mut(header_len..)?)?;
        let len = by.keys.rtp.seal(space, header_len, header_len + written, out.index, self.ssrc).ok()?;
        Some((len, written))
    }

    /// Writes and seals a packet that was sent before: on the retransmission stream (RFC 4588 4) when the client
    /// negotiated one for its payload type, else the same packet once more.
    pub(super) fn seal_again(
        &mut self,
        by: &mut Departure<'_>,
        out: &Rewritten,
        rtx_payload_type: Option<u8>,
        packet: &Packet,
        now: Instant,
        space: &mut [u8],
    ) -> Result<usize, RepairRefusal> {
        let own = self.rtx_ssrc.zip(rtx_payload_type);
        // Any other number than it had would make another packet of it, under the same index.
        let number = match (self.transport_cc_id, own) {
            (None, _) | (_, Some(_)) => by.sender.next_number(),
            (Some(_), None) => {
                let numbers = self.numbers.as_ref();
                numbers.and_then(|numbers| numbers.of(out.index)).ok_or(RepairRefusal::Changed)?
            }
        };
        if !repair::is_of_use(packet.received_at, self.round_trip(), self.figures.packets, now) {
            return Err(RepairRefusal::Old);
        }
        if !by.sender.repair.spend(packet.payload.len() + by.overhead + HEADERS_BYTES) {
            return Err(RepairRefusal::Budget);
        }
        let sealed = match own {
            Some(own) => self.seal_rtx(by, out, own, Purpose::Repair, packet, space),
            None => self.seal_media(by, out, packet, space, number).map(|(len, _)| {
                let sort = Sort { purpose: Purpose::Repair, ..self.sort() };
                by.sender.sent(by.at, len + by.overhead, sort, false);
                len
            }),
        };
        let len = sealed.ok_or(RepairRefusal::SealFailed)?;
        self.figures.retransmissions += 1;
        self.requests.answered(out.seq());
        Ok(len)
    }

    fn seal_rtx(
        &mut self,
        by: &mut Departure<'_>,
        out: &Rewritten,
        (ssrc, payload_type): (u32, u8),
        purpose: Purpose,
        packet: &Packet,
        space: &mut [u8],
    ) -> Option<usize> {
        let index = self.rtx_index;
        let header =
            HeaderOut { marker: out.marker, payload_type, seq: low16(index), timestamp: out.timestamp, ssrc };
        let header_len = self.write_header(&header, by.sender.next_number(), out, packet, space)?;
        let (original, payload) = space.get_mut(header_len..)?.split_at_mut_checked(2)?;
        rtx::write_original_sequence(original, out.seq());
        let written = PayloadEdit::write(out.edit.as_ref(), &packet.payload, payload)?;
        // Counted before the cryptography: an index of a packet that failed is not used again.
        self.rtx_index += 1;
        let len = by.keys.rtp.seal(space, header_len, header_len + 2 + written, index, ssrc).ok()?;
        self.number(by, len, purpose);
        Some(len)
    }

    /// Whether packets can be sent to it to measure the path alone: on the retransmission stream, under numbers that the client
    /// tells of.
    pub(super) fn takes_padding(&self) -> bool {
        self.rtx_ssrc.is_some() && self.transport_cc_id.is_some()
    }

    /// Writes and seals a packet that measures the path: a retransmission that nobody asked for.
    pub(super) fn seal_probe(
        &mut self,
        by: &mut Departure<'_>,
        out: &Rewritten,
        payload_type: u8,
        packet: &Packet,
        space: &mut [u8],
    ) -> Option<usize> {
        self.transport_cc_id?;
        self.seal_rtx(by, out, (self.rtx_ssrc?, payload_type), Purpose::Probe, packet, space)
    }

    /// Writes and seals a packet that measures the path and holds nothing: padding alone (RFC 3550 5.1), of so many bytes, on
    /// the retransmission stream, where decoders do not miss it.
    pub(super) fn seal_padding(
        &mut self,
        by: &mut Departure<'_>,
        (payload_type, bytes): (u8, u8),
        space: &mut [u8],
    ) -> Option<usize> {
        let (ssrc, index, id) = (self.rtx_ssrc?, self.rtx_index, self.transport_cc_id?);
        let header = HeaderOut { marker: false, payload_type, seq: low16(index), timestamp: 0, ssrc };
        let number = by.sender.next_number().to_be_bytes();
        let mid = self.mid_id.map(|id| (id, self.mid.as_bytes()));
        let header_len = write_header(space, &header, mid.into_iter().chain([(id, number.as_slice())]));
        *space.first_mut()? |= PADDING_BIT;
        let padding = space.get_mut(header_len..header_len + usize::from(bytes))?;
        padding.fill(0);
        *padding.last_mut()? = bytes;
        // Counted before the cryptography: an index of a packet that failed is not used again.
        self.rtx_index += 1;
        let len = by.keys.rtp.seal(space, header_len, header_len + usize::from(bytes), index, ssrc).ok()?;
        self.number(by, len, Purpose::Probe);
        Some(len)
    }

    fn sort(&self) -> Sort {
        Sort { is_audio: self.kind == MediaKind::Audio, ..Sort::default() }
    }

    /// Takes note of a sealed packet, and gives away the number that it carries, if it carries one.
    #[inline]
    fn number(&self, by: &mut Departure<'_>, len: usize, purpose: Purpose) {
        let sort = Sort { purpose, ..self.sort() };
        by.sender.sent(by.at, len + by.overhead, sort, self.transport_cc_id.is_some());
    }

    /// Writes and seals a sender report with the CNAME into `space`; returns the length of the datagram.
    pub(super) fn seal_report(
        &mut self,
        keys: &mut Keys,
        ntp: u64,
        rtp: u32,
        now: Instant,
        space: &mut [u8],
    ) -> Option<usize> {
        let report = SenderReportOut {
            ssrc: self.ssrc,
            ntp,
            rtp,
            packets: truncate(self.figures.packets),
            octets: truncate(self.figures.bytes),
            cname: &self.cname,
        };
        let len = write_sender_report(space, &report);
        self.reports.rotate_right(1);
        if let Some(newest) = self.reports.first_mut() {
            *newest = Some(SentReport { middle: time::ntp_middle(ntp), at: now });
        }
        keys.rtcp.seal(space, len).ok()
    }

    /// Takes a report block of the client about this stream (RFC 3550 6.4.1), and returns what it tells of its packets since
    /// the one before, and the time to the client and back if the block tells that.
    pub(super) fn reported(&mut self, block: &ReportBlock, now: Instant) -> (Reception, Option<Duration>) {
        self.figures.fraction_lost = f64::from(block.fraction_lost) / 256.0;
        self.figures.lost = i64::from(block.cumulative_lost);
        self.figures.jitter_ticks = block.jitter;
        let reception = self.reach.reported(block);
        let sent = self.reports.iter().flatten().find(|report| report.middle == block.last_sr);
        let Some(sent) = sent.filter(|_| block.last_sr != 0) else { return (reception, None) };
        let held = time::duration_from_middle(block.delay_since_last_sr);
        let round_trip = now.saturating_duration_since(sent.at).saturating_sub(held);
        self.figures.rtt = Some(round_trip);
        (reception, Some(round_trip))
    }

    #[inline]
    fn write_header(
        &self,
        header: &HeaderOut,
        number: u16,
        out: &Rewritten,
        packet: &Packet,
        space: &mut [u8],
    ) -> Option<usize> {
        let by_template = self
            .template
            .as_ref()
            .and_then(|template| template.write(space, header, number, &packet.extensions, out.frame_number));
        match by_template {
            Some(len) => Some(len),
            None => self.write_long_header(header, number, out, packet, space),
        }
    }

    /// Writes a header that needs the two-byte form.
    #[inline(never)]
    fn write_long_header(
        &self,
        header: &HeaderOut,
        number: u16,
        out: &Rewritten,
        packet: &Packet,
        space: &mut [u8],
    ) -> Option<usize> {
        let passed = packet.extensions.iter().filter_map(|(kind, value)| {
            let id = self.passed_ids.get(kind as usize).copied().filter(|id| *id != 0)?;
            Some((id, value))
        });
        let number = number.to_be_bytes();
        let mid = self.mid_id.map(|id| (id, self.mid.as_bytes()));
        let transport_cc = self.transport_cc_id.map(|id| (id, number.as_slice()));
        let len = write_header(space, header, mid.into_iter().chain(transport_cc).chain(passed));
        if let Some(number) = out.frame_number {
            self.renumber_frame(space.get_mut(..len)?, number);
        }
        (len > 0).then_some(len)
    }

    /// Writes another frame number into the dependency descriptor of a header that is written.
    fn renumber_frame(&self, header: &mut [u8], number: u16) -> Option<()> {
        let id = *self.passed_ids.get(ExtensionKind::DependencyDescriptor as usize)?;
        let place = RtpView::parse(header)?.extension_place(id)?;
        *header.get_mut(place)?.get_mut(FRAME_NUMBER_AT..)?.first_chunk_mut()? = number.to_be_bytes();
        Some(())
    }
}

/// RTCP counters are 32 bits wide and wrap (RFC 3550 6.4.1).
fn truncate(count: u64) -> u32 {
    (count & 0xffff_ffff) as u32
}
