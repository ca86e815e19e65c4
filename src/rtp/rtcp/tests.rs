//! Properties of the RTCP parsers and writers.

use super::super::wire::Noise;
use super::*;

/// One packet: count or format, type, body.
fn packet(count: u8, packet_type: u8, body: &[u8]) -> Vec<u8> {
    assert_eq!(body.len() % 4, 0);
    let words = (body.len() / 4) as u16;
    let mut bytes = vec![0x80 | count, packet_type];
    bytes.extend_from_slice(&words.to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

#[test]
fn a_report_block_is_read_with_a_negative_loss() {
    let body = words(&[1, 2, 0x40_ff_ff_fe, 0x0001_0002, 33, 44, 55]);
    let compound = packet(1, RECEIVER_REPORT, &body);
    let Some(Rtcp::ReceiverReport { ssrc: 1, mut blocks }) = parse(&compound).next() else { panic!() };
    let block = ReportBlock {
        ssrc: 2,
        fraction_lost: 0x40,
        cumulative_lost: -2,
        highest_seq: 0x0001_0002,
        jitter: 33,
        last_sr: 44,
        delay_since_last_sr: 55,
    };
    assert_eq!(blocks.next(), Some(block));
    assert_eq!(blocks.next(), None);
}

#[test]
fn a_report_with_fewer_blocks_than_it_claims_is_unknown() {
    let compound = packet(2, RECEIVER_REPORT, &words(&[1, 2, 3, 4, 5, 6, 7]));
    assert!(matches!(parse(&compound).next(), Some(Rtcp::Unknown { packet_type: RECEIVER_REPORT })));
}

#[test]
fn a_nack_names_the_packet_and_its_followers_across_the_wrap() {
    let body = words(&[1, 7, 0xffff_8001, 0x0010_0000]);
    let compound = packet(1, TRANSPORT_FEEDBACK, &body);
    let Some(Rtcp::Nack { media_ssrc: 7, lost }) = parse(&compound).next() else { panic!() };
    assert_eq!(lost.collect::<Vec<_>>(), [0xffff, 0, 15, 16]);
}

#[test]
fn keyframe_requests_of_both_kinds_are_read() {
    let mut compound = packet(1, PAYLOAD_FEEDBACK, &words(&[1, 7]));
    compound.extend(packet(4, PAYLOAD_FEEDBACK, &words(&[1, 0, 8, 0x0500_0000, 9, 0x0600_0000])));
    let mut read = parse(&compound);
    assert!(matches!(read.next(), Some(Rtcp::Pli { media_ssrc: 7 })));
    let Some(Rtcp::Fir { entries }) = read.next() else { panic!() };
    assert_eq!(entries.collect::<Vec<_>>(), [(8, 5), (9, 6)]);
    assert!(read.next().is_none());
}

#[test]
fn opaque_feedback_is_told_apart() {
    let mut compound = packet(15, TRANSPORT_FEEDBACK, &words(&[1, 7, 0xabcd]));
    compound.extend(packet(
        15,
        PAYLOAD_FEEDBACK,
        &[&words(&[1, 0])[..], b"REMB", &words(&[0x0105_a3c1, 9])].concat(),
    ));
    compound.extend(packet(15, PAYLOAD_FEEDBACK, &words(&[1, 0, 5])));
    compound.extend(packet(2, GOODBYE, &words(&[5, 6])));
    compound.extend(packet(1, SOURCE_DESCRIPTION, &words(&[5, 0])));
    let mut read = parse(&compound);
    assert!(matches!(read.next(), Some(Rtcp::Twcc(information)) if information == words(&[0xabcd])));
    assert!(matches!(read.next(), Some(Rtcp::Remb(bps)) if bps == 0x1_a3c1 << 1));
    assert!(matches!(read.next(), Some(Rtcp::Unknown { packet_type: PAYLOAD_FEEDBACK })));
    let Some(Rtcp::Bye(sources)) = read.next() else { panic!() };
    assert_eq!(sources.collect::<Vec<_>>(), [5, 6]);
    assert!(matches!(read.next(), Some(Rtcp::Sdes(_))));
}

#[test]
fn ceilings_of_any_size_are_read() {
    let remb =
        |word| packet(15, PAYLOAD_FEEDBACK, &[&words(&[1, 0])[..], b"REMB", &words(&[word, 9])].concat());
    for (word, bps) in [(0x0100_0000, 0), (0x01ff_ffff, u64::MAX), (0x01ff_0001, u64::MAX), (0x0100_0001, 1)]
    {
        let compound = remb(word);
        assert!(matches!(parse(&compound).next(), Some(Rtcp::Remb(read)) if read == bps), "{word:x}");
    }
}

#[test]
fn padding_names_no_lost_packets() {
    let mut compound = packet(1, TRANSPORT_FEEDBACK, &words(&[1, 7, 0x0005_0000, 0, 8]));
    compound[0] |= 0x20;
    let Some(Rtcp::Nack { lost, .. }) = parse(&compound).next() else { panic!() };
    assert_eq!(lost.collect::<Vec<_>>(), [5]);
    // From number 39 on, three packets of which the first has come, and three bytes to make the words whole.
    let information = [0, 39, 0, 3, 0, 0, 0, 1, 0b1010_0000, 0, 5, 0, 2];
    let mut feedback = packet(15, TRANSPORT_FEEDBACK, &[&words(&[1, 7])[..], &information, &[0; 3]].concat());
    feedback[0] |= 0x20;
    *feedback.last_mut().unwrap() = 3;
    assert!(matches!(parse(&feedback).next(), Some(Rtcp::Twcc(read)) if read == information));
    for lie in [0, 24, 255] {
        *compound.last_mut().unwrap() = lie;
        assert!(matches!(parse(&compound).next(), Some(Rtcp::Unknown { .. })));
    }
}

#[test]
fn the_walk_ends_where_lengths_no_longer_fit() {
    let mut compound = packet(1, PAYLOAD_FEEDBACK, &words(&[1, 7]));
    compound.extend([0x81, PAYLOAD_FEEDBACK, 0, 9, 0, 0, 0, 0]);
    let mut read = parse(&compound);
    assert!(matches!(read.next(), Some(Rtcp::Pli { .. })));
    assert!(read.next().is_none());
    assert!(read.next().is_none());
}

#[test]
fn a_written_sender_report_reads_back_at_every_length_of_name() {
    for len in [0, 1, 2, 3, 4, 16, 254, 255, 256, 300] {
        let cname = "n".repeat(len);
        let report = SenderReportOut {
            ssrc: 0xdead_beef,
            ntp: 0x0102_0304_0506_0708,
            rtp: 9,
            packets: 10,
            octets: 11,
            cname: &cname,
        };
        let mut out = [0xff; 400];
        let written = write_sender_report(&mut out, &report);
        assert!(written > 0 && written.is_multiple_of(4));
        let mut read = parse(&out[..written]);
        let Some(Rtcp::SenderReport { ssrc, ntp, rtp, mut blocks }) = read.next() else { panic!() };
        assert_eq!((ssrc, ntp, rtp), (0xdead_beef, 0x0102_0304_0506_0708, 9));
        assert!(blocks.next().is_none());
        assert_eq!(out[20..28], words(&[10, 11]));
        let Some(Rtcp::Sdes(chunk)) = read.next() else { panic!() };
        let shown = len.min(255);
        assert_eq!(chunk[..4], 0xdead_beefu32.to_be_bytes());
        assert_eq!(chunk[4..6], [1, shown as u8]);
        assert_eq!(&chunk[6..6 + shown], &cname.as_bytes()[..shown]);
        assert!(chunk[6 + shown..].iter().all(|byte| *byte == 0) && chunk.len() > 6 + shown);
        assert!(read.next().is_none());
        for short in 0..written {
            assert_eq!(write_sender_report(&mut out[..short], &report), 0);
        }
    }
}

#[test]
fn rtcp_is_told_from_rtp_by_its_second_byte() {
    assert!(is_rtcp(&[0x80, 200]) && is_rtcp(&[0x81, 206, 0]));
    assert!(!is_rtcp(&[0x80, 96]) && !is_rtcp(&[0x80, 224]) && !is_rtcp(&[0x00, 200]) && !is_rtcp(&[0x80]));
}

#[test]
fn any_bytes_are_survived_and_work_is_bounded_by_them() {
    let mut noise = Noise(0x5555_aaaa_1234_4321);
    for round in 0..100_000u64 {
        let mut bytes = noise.bytes(128);
        if let Some([first, kind, high, low, ..]) = bytes.get_mut(..).filter(|_| round % 4 != 0) {
            (*first, *kind) = (0x80 | *first & 0x3f, 200 + *kind % 8);
            (*high, *low) = (0, *low % 24);
        }
        let mut work = 0;
        for packet in parse(&bytes) {
            work += 1 + match packet {
                Rtcp::SenderReport { blocks, .. } | Rtcp::ReceiverReport { blocks, .. } => blocks.count(),
                Rtcp::Nack { lost, .. } => lost.count(),
                Rtcp::Fir { entries } => entries.count(),
                Rtcp::Bye(sources) => sources.count(),
                _ => 0,
            };
        }
        assert!(work <= bytes.len() * 5, "{work} for {}", bytes.len());
    }
}
