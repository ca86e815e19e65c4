//! RTCP in clear (RFC 3550 6, RFC 4585, RFC 5104): compound datagrams walked packet by packet.
//!
//! SRTCP is opened before (`srtp`); what is read here steers `session` and is never forwarded as it is. Every
//! step of every iterator consumes at least one word, so work is bounded by the datagram.

use super::wire::{u16_at, u32_at, u64_at};

pub mod twcc;
mod write;

pub use write::{SenderReportOut, write_sender_report};

/// Packet type of a sender report (RFC 3550 12.1).
const SENDER_REPORT: u8 = 200;
/// Packet type of a receiver report.
const RECEIVER_REPORT: u8 = 201;
/// Packet type of a source description.
const SOURCE_DESCRIPTION: u8 = 202;
/// Packet type of a farewell.
const GOODBYE: u8 = 203;
/// Packet type of transport layer feedback (RFC 4585 6.1).
const TRANSPORT_FEEDBACK: u8 = 205;
/// Packet type of payload specific feedback (RFC 4585 6.1).
const PAYLOAD_FEEDBACK: u8 = 206;

/// Length of one report block (RFC 3550 6.4.1).
const BLOCK_LEN: usize = 24;

/// Tells RTCP from RTP on one port (RFC 5761 4): packet types 192 to 223 in the second byte.
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [first, 192..=223, ..] if first >> 6 == 2)
}

/// One packet of a compound.
#[derive(Debug, Clone)]
pub enum Rtcp<'a> {
    /// Sender report (RFC 3550 6.4.1).
    SenderReport {
        /// Sender of the report and of the RTP stream that it describes.
        ssrc: u32,
        /// Wall clock of the sender as NTP timestamp.
        ntp: u64,
        /// RTP timestamp of the same instant.
        rtp: u32,
        /// What the sender received from others.
        blocks: ReportBlocks<'a>,
    },
    /// Receiver report (RFC 3550 6.4.2).
    ReceiverReport {
        /// Sender of the report.
        ssrc: u32,
        /// What it received from others.
        blocks: ReportBlocks<'a>,
    },
    /// Generic NACK (RFC 4585 6.2.1).
    Nack {
        /// Stream in which packets are missing.
        media_ssrc: u32,
        /// Their sequence numbers.
        lost: LostSequences<'a>,
    },
    /// Picture loss indication (RFC 4585 6.3.1).
    Pli {
        /// Stream of which a keyframe is wanted.
        media_ssrc: u32,
    },
    /// Full intra request (RFC 5104 4.3.1).
    Fir {
        /// Streams of which a keyframe is wanted, each with the number of the request.
        entries: FirEntries<'a>,
    },
    /// Receiver estimated maximum bitrate (draft-alvestrand-rmcat-remb-03 2.2), bits per second.
    Remb(u64),
    /// Transport-wide congestion control feedback, with the bytes behind the media SSRC.
    Twcc(&'a [u8]),
    /// Farewell (RFC 3550 6.6) of one or more sources.
    Bye(Sources<'a>),
    /// Source description (RFC 3550 6.5), with its chunks.
    Sdes(&'a [u8]),
    /// Anything else.
    Unknown {
        /// Its packet type.
        packet_type: u8,
    },
}

/// Walks over the packets of a compound in clear.
///
/// A packet that contradicts itself is handed out as [`Rtcp::Unknown`]; the walk ends where the lengths no
/// longer fit the datagram.
pub fn parse(compound: &[u8]) -> Compound<'_> {
    Compound { rest: compound }
}

/// The packets of a compound; made by [`parse`].
#[derive(Debug, Clone)]
pub struct Compound<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Compound<'a> {
    type Item = Rtcp<'a>;

    fn next(&mut self) -> Option<Rtcp<'a>> {
        let ([first, packet_type, high, low], _) = self.rest.split_first_chunk::<4>()?;
        let len = 4 * (usize::from(u16::from_be_bytes([*high, *low])) + 1);
        if first >> 6 != 2 {
            self.rest = &[];
            return None;
        }
        let Some((packet, rest)) = self.rest.split_at_checked(len) else {
            self.rest = &[];
            return None;
        };
        self.rest = rest;
        let body = packet.get(4..).unwrap_or_default();
        let body = if first & 0x20 == 0 { Some(body) } else { without_padding(body) };
        let read = body.and_then(|body| read_packet(*packet_type, first & 0x1f, body));
        Some(read.unwrap_or(Rtcp::Unknown { packet_type: *packet_type }))
    }
}

/// Takes off the padding that the P bit announces, counted by its last byte. That is a multiple of four by RFC 3550 6.4.1, but one
/// to three bytes in transport-wide feedback, which is filled up to a whole word so.
fn without_padding(body: &[u8]) -> Option<&[u8]> {
    let padding = usize::from(*body.last()?);
    if padding == 0 {
        return None;
    }
    body.get(..body.len().checked_sub(padding)?)
}

/// Reads the body of one packet; `count` is the five-bit field in its first byte.
fn read_packet(packet_type: u8, count: u8, body: &[u8]) -> Option<Rtcp<'_>> {
    match packet_type {
        SENDER_REPORT => Some(Rtcp::SenderReport {
            ssrc: u32_at(body, 0)?,
            ntp: u64_at(body, 4)?,
            rtp: u32_at(body, 12)?,
            blocks: ReportBlocks::new(body.get(24..)?, count)?,
        }),
        RECEIVER_REPORT => Some(Rtcp::ReceiverReport {
            ssrc: u32_at(body, 0)?,
            blocks: ReportBlocks::new(body.get(4..)?, count)?,
        }),
        SOURCE_DESCRIPTION => Some(Rtcp::Sdes(body)),
        GOODBYE => Some(Rtcp::Bye(Sources { rest: body.get(..4 * usize::from(count))? })),
        TRANSPORT_FEEDBACK => read_transport_feedback(count, body),
        PAYLOAD_FEEDBACK => read_payload_feedback(count, body),
        _ => None,
    }
}

/// Reads transport layer feedback by its format (RFC 4585 6.2); 15 is transport-wide congestion control.
fn read_transport_feedback(format: u8, body: &[u8]) -> Option<Rtcp<'_>> {
    let (media_ssrc, information) = (u32_at(body, 4)?, body.get(8..)?);
    match format {
        1 => Some(Rtcp::Nack { media_ssrc, lost: LostSequences { rest: information, base: 0, mask: 0 } }),
        15 => Some(Rtcp::Twcc(information)),
        _ => None,
    }
}

/// Reads payload specific feedback by its format (RFC 4585 6.3); 15 with the word `REMB` is the estimate.
fn read_payload_feedback(format: u8, body: &[u8]) -> Option<Rtcp<'_>> {
    let (media_ssrc, information) = (u32_at(body, 4)?, body.get(8..)?);
    match format {
        1 => Some(Rtcp::Pli { media_ssrc }),
        4 => Some(Rtcp::Fir { entries: FirEntries { rest: information } }),
        15 if information.starts_with(b"REMB") => {
            // | REMB 32 | SSRCs 8 | exponent 6 | mantissa 18 | SSRCs |
            let word = u32_at(information, 4)?;
            let (exponent, mantissa) = (word >> 18 & 0x3f, u64::from(word & 0x3_ffff));
            let bps = mantissa.checked_shl(exponent).filter(|bps| bps >> exponent == mantissa);
            Some(Rtcp::Remb(bps.unwrap_or(u64::MAX)))
        }
        _ => None,
    }
}

/// What one receiver saw of one stream (RFC 3550 6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportBlock {
    /// The stream.
    pub ssrc: u32,
    /// Share of packets lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the beginning; duplicates can make it negative.
    pub cumulative_lost: i32,
    /// Highest sequence number received, with the number of wraps above it.
    pub highest_seq: u32,
    /// Interarrival jitter in RTP ticks.
    pub jitter: u32,
    /// Middle 32 bits of the NTP timestamp of the newest sender report; 0 when there was none.
    pub last_sr: u32,
    /// Time between that report and this one, in 1/65536 s.
    pub delay_since_last_sr: u32,
}

/// Walks over report blocks.
#[derive(Debug, Clone)]
pub struct ReportBlocks<'a> {
    rest: &'a [u8],
}

impl<'a> ReportBlocks<'a> {
    /// Takes `count` blocks from the front; what follows them is a profile's extension.
    fn new(bytes: &'a [u8], count: u8) -> Option<ReportBlocks<'a>> {
        Some(ReportBlocks { rest: bytes.get(..BLOCK_LEN * usize::from(count))? })
    }
}

impl Iterator for ReportBlocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (block, rest) = self.rest.split_at_checked(BLOCK_LEN)?;
        self.rest = rest;
        let loss = u32_at(block, 4)?;
        Some(ReportBlock {
            ssrc: u32_at(block, 0)?,
            fraction_lost: (loss >> 24) as u8,
            // The 24 bits are signed: shifted up and down again, their sign is kept.
            cumulative_lost: ((loss << 8) as i32) >> 8,
            highest_seq: u32_at(block, 8)?,
            jitter: u32_at(block, 12)?,
            last_sr: u32_at(block, 16)?,
            delay_since_last_sr: u32_at(block, 20)?,
        })
    }
}

/// Walks over the sequence numbers that a NACK names.
#[derive(Debug, Clone)]
pub struct LostSequences<'a> {
    rest: &'a [u8],
    base: u16,
    mask: u16,
}

impl Iterator for LostSequences<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        if self.mask == 0 {
            let (pid, blp) = (u16_at(self.rest, 0)?, u16_at(self.rest, 2)?);
            self.rest = self.rest.get(4..)?;
            (self.base, self.mask) = (pid, blp);
            return Some(pid);
        }
        // RFC 4585 6.2.1: BLP bit i, counted from the lowest as 0, means PID + i + 1.
        let bit = self.mask.trailing_zeros() as u16;
        self.mask &= self.mask - 1;
        Some(self.base.wrapping_add(bit + 1))
    }
}

/// Walks over the entries of a full intra request: stream and number of the request.
#[derive(Debug, Clone)]
pub struct FirEntries<'a> {
    rest: &'a [u8],
}

impl Iterator for FirEntries<'_> {
    type Item = (u32, u8);

    fn next(&mut self) -> Option<(u32, u8)> {
        let entry = (u32_at(self.rest, 0)?, *self.rest.get(4)?);
        self.rest = self.rest.get(8..)?;
        Some(entry)
    }
}

/// Walks over the SSRCs of a farewell.
#[derive(Debug, Clone)]
pub struct Sources<'a> {
    rest: &'a [u8],
}

impl Iterator for Sources<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let ssrc = u32_at(self.rest, 0)?;
        self.rest = self.rest.get(4..)?;
        Some(ssrc)
    }
}

#[cfg(test)]
mod tests;
