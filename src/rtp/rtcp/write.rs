//! Writing of RTCP: the sender reports of egress.

use super::super::wire::Writer;
use super::{SENDER_REPORT, SOURCE_DESCRIPTION};

/// SDES item type of the canonical name (RFC 3550 6.5.1).
const CNAME: u8 = 1;

/// A sender report with its CNAME, to be written.
#[derive(Debug, Clone, Copy)]
pub struct SenderReportOut<'a> {
    /// Stream that is described, and sender of the report.
    pub ssrc: u32,
    /// Wall clock as NTP timestamp.
    pub ntp: u64,
    /// RTP timestamp of the same instant.
    pub rtp: u32,
    /// Packets sent so far.
    pub packets: u32,
    /// Payload bytes sent so far.
    pub octets: u32,
    /// Canonical name of the source; cut off after 255 bytes.
    pub cname: &'a str,
}

/// Writes a compound of sender report and source description (RFC 3550 6.1) to the front of `out` and answers
/// its length, or 0 when `out` is too short.
pub fn write_sender_report(out: &mut [u8], report: &SenderReportOut<'_>) -> usize {
    try_write(out, report).unwrap_or(0)
}

/// Does the work of [`write_sender_report`]; `None` when `out` is too short.
fn try_write(out: &mut [u8], report: &SenderReportOut<'_>) -> Option<usize> {
    let mut writer = Writer::new(out);
    // Six words follow the first one; no report blocks: what a session receives is reported by its ingress.
    writer.put(&[0x80, SENDER_REPORT, 0, 6])?;
    writer.put(&report.ssrc.to_be_bytes())?;
    writer.put(&report.ntp.to_be_bytes())?;
    writer.put(&report.rtp.to_be_bytes())?;
    writer.put(&report.packets.to_be_bytes())?;
    writer.put(&report.octets.to_be_bytes())?;

    let description_at = writer.len();
    writer.put(&[0x81, SOURCE_DESCRIPTION, 0, 0])?;
    writer.put(&report.ssrc.to_be_bytes())?;
    let cname = report.cname.as_bytes();
    let len = u8::try_from(cname.len()).unwrap_or(u8::MAX);
    writer.put(&[CNAME, len])?;
    writer.put(cname.get(..usize::from(len))?)?;
    // RFC 3550 6.5: at least one zero byte ends the chunk, more fill its last word.
    writer.put(&[0])?;
    writer.pad()?;
    // Lossless: at most 2 + 65 words.
    let words = ((writer.len() - description_at) / 4 - 1) as u16;
    writer.patch(description_at + 2, &words.to_be_bytes())?;
    Some(writer.len())
}
