//! What RTCP of a client says about the streams that it receives and the clocks of those it sends.

use std::time::{Duration, Instant};

use super::egress::EgressStream;
use super::history::Told;
use super::sender::Sender;
use crate::congestion::Reception;
use crate::drop::RepairRefusal;
use crate::rtp::rtcp::{self, LostSequences, ReportBlocks, Rtcp};

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
    /// Packets that are missing too, and are not sent again.
    Refused(RepairRefusal, u64),
    /// A keyframe of an egress stream is wanted.
    Keyframe {
        /// Index of the stream.
        stream: usize,
    },
    /// So many wishes for keyframes came too soon after others.
    KeyframesRefused(u64),
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
    /// The client named a ceiling for what is sent to it.
    Ceiling,
}

/// Reads the packets of a compound: figures go into their streams, the rest into `feedback`.
pub(super) fn read(
    compound: &[u8],
    egress: &mut [Option<Box<EgressStream>>],
    sender: &mut Sender,
    now: Instant,
    feedback: &mut Vec<Feedback>,
) {
    let mut received = None;
    for report in rtcp::parse(compound) {
        read_one(report, egress, sender, now, &mut received, feedback);
    }
    if let Some(reception) = received {
        sender.received(reception, now);
    }
}

/// Adds what a block tells to what others of the same compound tell.
fn add(all: &mut Option<Reception>, told: Reception, round_trip: Option<Duration>) {
    let all = all.get_or_insert_default();
    all.expected = all.expected.saturating_add(told.expected);
    all.missing = all.missing.saturating_add(told.missing);
    all.never_sent = all.never_sent.saturating_add(told.never_sent);
    let round_trip = round_trip.map(|round_trip| u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX));
    all.round_trip = round_trip.or(all.round_trip);
}

fn read_one(
    report: Rtcp<'_>,
    egress: &mut [Option<Box<EgressStream>>],
    sender: &mut Sender,
    now: Instant,
    received: &mut Option<Reception>,
    feedback: &mut Vec<Feedback>,
) {
    match report {
        Rtcp::SenderReport { ssrc, ntp, rtp, blocks } => {
            feedback.push(Feedback::SenderReport { ssrc, ntp, rtp });
            read_blocks(blocks, egress, now, received, feedback);
        }
        Rtcp::ReceiverReport { blocks, .. } => read_blocks(blocks, egress, now, received, feedback),
        Rtcp::Remb(bps) => {
            sender.capped(bps, now);
            feedback.push(Feedback::Ceiling);
        }
        Rtcp::Nack { media_ssrc, lost } => {
            if let Some(index) = find(egress, media_ssrc)
                && let Some(Some(stream)) = egress.get_mut(index)
            {
                read_nack(lost, index, stream, sender, now, feedback);
            }
        }
        Rtcp::Pli { media_ssrc } => read_keyframes(std::iter::once(media_ssrc), egress, now, feedback),
        Rtcp::Fir { entries } => read_keyframes(entries.map(|(ssrc, _)| ssrc), egress, now, feedback),
        Rtcp::Twcc(information) => feedback.push(Feedback::Transport(sender.reported(information, now))),
        _ => {}
    }
}

/// What is missing, as far as it may be asked for: in one turn no more than a bound, whatever the datagrams say.
fn read_nack(
    lost: LostSequences<'_>,
    index: usize,
    stream: &mut EgressStream,
    sender: &mut Sender,
    now: Instant,
    feedback: &mut Vec<Feedback>,
) {
    let (at, round_trip) = (sender.tick(now), stream.round_trip());
    let (mut asked, mut refused) = (0, [0; RepairRefusal::ALL.len()]);
    for seq in lost {
        asked += 1;
        let result = if sender.repair.takes(now) {
            stream.requests.ask(seq, at, round_trip)
        } else {
            Err(RepairRefusal::Excess)
        };
        match result {
            Ok(()) => feedback.push(Feedback::Nack { stream: index, seq }),
            Err(reason) => {
                if let Some(count) = refused.get_mut(reason as usize) {
                    *count += 1;
                }
            }
        }
    }
    let figures = stream.figures_mut();
    figures.nacks += asked;
    figures.retransmissions_refused += refused.iter().sum::<u64>();
    let counted = RepairRefusal::ALL.into_iter().zip(refused).filter(|(_, count)| *count > 0);
    feedback.extend(counted.map(|(reason, count)| Feedback::Refused(reason, count)));
}

/// Wishes for keyframes of streams, as far as they do not come too often.
fn read_keyframes(
    wanted: impl Iterator<Item = u32>,
    egress: &mut [Option<Box<EgressStream>>],
    now: Instant,
    feedback: &mut Vec<Feedback>,
) {
    let mut refused = 0;
    for ssrc in wanted {
        let Some(index) = find(egress, ssrc) else { continue };
        let Some(Some(stream)) = egress.get_mut(index) else { continue };
        stream.figures_mut().keyframe_requests += 1;
        if stream.requests.ask_keyframe(now) {
            feedback.push(Feedback::Keyframe { stream: index });
        } else {
            refused += 1;
        }
    }
    if refused > 0 {
        feedback.push(Feedback::KeyframesRefused(refused));
    }
}

fn read_blocks(
    blocks: ReportBlocks<'_>,
    egress: &mut [Option<Box<EgressStream>>],
    now: Instant,
    received: &mut Option<Reception>,
    feedback: &mut Vec<Feedback>,
) {
    for block in blocks {
        if let Some(Some(stream)) = find(egress, block.ssrc).and_then(|index| egress.get_mut(index)) {
            let (told, round_trip) = stream.reported(&block, now);
            add(received, told, round_trip);
            let fraction_lost = stream.figures().fraction_lost;
            feedback.push(Feedback::Reception { round_trip, fraction_lost });
        }
    }
}

fn find(egress: &[Option<Box<EgressStream>>], ssrc: u32) -> Option<usize> {
    egress.iter().position(|stream| stream.as_ref().is_some_and(|stream| stream.ssrc() == ssrc))
}
