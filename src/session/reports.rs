//! What RTCP of a client says about the streams that it receives and the clocks of those it sends.

use std::time::{Duration, Instant};

use super::egress::EgressStream;
use super::history::Told;
use super::sender::Sender;
use crate::rtp::rtcp::{ReportBlocks, Rtcp};

/// Packets that one NACK may ask for: half of what the cache of a layer holds.
const NACKED_PACKETS_MAX: usize = 512;

/// What RTCP of a client said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Feedback {
    /// A packet of an egress stream is missing.
    Nack {
        /// Index of the stream.
        stream: usize,
        /// Sequence number on the wire.
        seq: u16,
    },
    /// A keyframe of an egress stream is wanted.
    Keyframe {
        /// Index of the stream.
        stream: usize,
    },
    /// The publisher's clock for one of its streams.
    SenderReport {
        /// SSRC of the published stream.
        ssrc: u32,
        /// NTP time, 32.32 fixed point.
        ntp: u64,
        /// RTP time of the same moment.
        rtp: u32,
    },
    /// How an egress stream arrives.
    Reception {
        /// Time to the client and back, where the report names one of ours.
        round_trip: Option<Duration>,
        /// Share of packets lost since the report before, 0 to 1.
        fraction_lost: f64,
    },
    /// What became of packets, by their transport-wide numbers.
    Transport(Told),
}

/// Reads one packet of a compound: figures go into their streams, the rest into `feedback`.
pub(super) fn read(
    report: Rtcp<'_>,
    egress: &mut [Option<EgressStream>],
    sender: &mut Sender,
    now: Instant,
    feedback: &mut Vec<Feedback>,
) {
    match report {
        Rtcp::SenderReport { ssrc, ntp, rtp, blocks } => {
            feedback.push(Feedback::SenderReport { ssrc, ntp, rtp });
            read_blocks(blocks, egress, now, feedback);
        }
        Rtcp::ReceiverReport { blocks, .. } => read_blocks(blocks, egress, now, feedback),
        Rtcp::Nack { media_ssrc, lost } => {
            if let Some(stream) = find(egress, media_ssrc) {
                feedback.extend(lost.take(NACKED_PACKETS_MAX).map(|seq| Feedback::Nack { stream, seq }));
            }
        }
        Rtcp::Pli { media_ssrc } => {
            feedback.extend(find(egress, media_ssrc).map(|stream| Feedback::Keyframe { stream }));
        }
        Rtcp::Fir { entries } => {
            let wanted = entries.filter_map(|(ssrc, _)| find(egress, ssrc));
            feedback.extend(wanted.map(|stream| Feedback::Keyframe { stream }));
        }
        Rtcp::Twcc(information) => feedback.push(Feedback::Transport(sender.reported(information))),
        _ => {}
    }
}

fn read_blocks(
    blocks: ReportBlocks<'_>,
    egress: &mut [Option<EgressStream>],
    now: Instant,
    feedback: &mut Vec<Feedback>,
) {
    for block in blocks {
        if let Some(Some(stream)) = find(egress, block.ssrc).and_then(|index| egress.get_mut(index)) {
            let round_trip = stream.reported(&block, now);
            let fraction_lost = stream.figures().fraction_lost;
            feedback.push(Feedback::Reception { round_trip, fraction_lost });
        }
    }
}

fn find(egress: &[Option<EgressStream>], ssrc: u32) -> Option<usize> {
    egress.iter().position(|stream| stream.as_ref().is_some_and(|stream| stream.ssrc() == ssrc))
}
