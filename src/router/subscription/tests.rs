//! One publication, one subscription, one packet at a time.

use super::*;
use crate::ids::PublicationId;
use crate::plan::Ordering;
use crate::router::fixture::{at_ms, packet, vp8};
use crate::router::keyframe::KeyframeDemand;
use crate::router::publication::{PushOutcome, SenderClock};
use crate::rtp::codec::vp8::Vp8Patch;
use crate::rtp::{Codec, ExtensionKind, Packet};

const FIRST_SEQ: u16 = 100;
const FIRST_TIMESTAMP: u32 = 5_000;

fn maps() -> Vec<PayloadMap> {
    vec![PayloadMap {
        from: 96,
        to: 120,
        rtx: Some(121),
        codec: Codec::Vp8,
        clock_rate: 90_000,
        form: PayloadForm::Whole,
    }]
}

fn wall() -> WallClock {
    WallClock::new(at_ms(0), Duration::from_secs(1_800_000_000))
}

fn pinned(rid: &str, rid_not_available: Ordering) -> LayerPreference {
    LayerPreference {
        preferred_rid: Some(rid.to_owned()),
        priority_ordering: Ordering::None,
        rid_not_available,
    }
}

/// One publication with one subscription and a clock. Layer timestamps are the clock's milliseconds times 90, so
/// layers tell no offsets unless a test gives them some.
struct Bench {
    publication: Publication,
    subscription: Subscription,
    ms: u64,
}

impl Bench {
    fn new(kind: MediaKind, preference: LayerPreference) -> Self {
        Self {
            publication: Publication::new(PublicationId(1), kind),
            subscription: Subscription::new(kind, maps(), preference, FIRST_SEQ, FIRST_TIMESTAMP),
            ms: 0,
        }
    }

    fn video() -> Self {
        Self::new(MediaKind::Video, LayerPreference::default())
    }

    fn layers(mut self, rids: &[&str]) -> Self {
        for rid in rids {
            self.publication.layer_index(Some(rid)).unwrap();
        }
        self
    }

    fn choose(&mut self) {
        self.subscription.choose_layer(&self.publication, at_ms(self.ms));
    }

    /// Pushes one packet and forwards what the batch then holds.
    fn push(&mut self, rid: Option<&str>, codec: Codec, mut packet: Packet) -> Vec<Forwarding> {
        packet.received_at = at_ms(self.ms);
        let layer = self.publication.layer_index(rid).unwrap();
        self.publication.push(layer, codec, packet, at_ms(self.ms));
        let forwarded = self
            .publication
            .batch()
            .iter()
            .map(|entry| self.subscription.rewrite(&self.publication, entry))
            .collect();
        self.publication.clear_batch();
        forwarded
    }

    fn timestamp(&self) -> u32 {
        u32::try_from(self.ms * 90).unwrap()
    }

    /// A VP8 frame of one packet.
    fn frame(&mut self, rid: Option<&str>, seq: u64, keyframe: bool) -> Forwarding {
        let payload = vp8(keyframe, (seq % 0x8000) as u16, (seq % 256) as u8, seq);
        let packet = packet(seq, self.timestamp(), &payload);
        self.push(rid, Codec::Vp8, packet)[0]
    }

    /// One packet whose payload tells nothing.
    fn opaque(&mut self, rid: Option<&str>, seq: u64) -> Vec<Forwarding> {
        let packet = packet(seq, self.timestamp(), b"sealed");
        self.push(rid, Codec::H264, packet)
    }

    fn padding(&mut self, rid: Option<&str>, seq: u64) -> Vec<Forwarding> {
        let packet = packet(seq, self.timestamp(), b"");
        self.push(rid, Codec::Vp8, packet)
    }

    fn wanted(&self) -> Option<&str> {
        self.publication.layer_name(self.subscription.wanted_keyframe()?)
    }

    fn current(&self) -> Option<&str> {
        self.publication.layer_name(self.subscription.current_layer()?)
    }
}

fn sent(forwarding: Forwarding) -> Rewritten {
    let Forwarding::Forward(rewritten) = forwarding else { panic!("{forwarding:?}") };
    rewritten
}

fn index(forwarding: Forwarding) -> u64 {
    sent(forwarding).index
}

fn clock(ntp: u64, rtp: u32) -> SenderClock {
    SenderClock { ntp, rtp, clock_rate: 90_000 }
}

#[test]
fn the_first_packet_has_the_first_index_and_the_mapped_header() {
    let mut bench = Bench::video();
    assert_eq!(bench.frame(None, 70_000, false), Forwarding::Skip, "no keyframe yet");
    assert_eq!(bench.subscription.reason(), LayerReason::Waiting);
    assert!(bench.subscription.wanted_keyframe().is_some());
    let first = sent(bench.frame(None, 70_001, true));
    assert_eq!((first.index, first.seq(), first.timestamp), (100, 100, FIRST_TIMESTAMP));
    assert_eq!((first.payload_type, first.marker, first.edit), (120, false, None));
    assert_eq!(bench.subscription.wanted_keyframe(), None);
    assert_eq!(bench.subscription.reason(), LayerReason::Only);
}

#[test]
fn audio_starts_at_once_and_runs_over_the_wrap() {
    let mut bench = Bench::new(MediaKind::Audio, LayerPreference::default());
    for step in 0..70_000_u64 {
        let packet = packet(65_000 + step, (step as u32).wrapping_mul(960), b"opus");
        let rewritten = sent(bench.push(None, Codec::Opus, packet)[0]);
        assert_eq!(rewritten.index, 100 + step);
        assert_eq!(rewritten.timestamp, FIRST_TIMESTAMP.wrapping_add((step as u32).wrapping_mul(960)));
    }
    assert_eq!(bench.subscription.wanted_keyframe(), None);
}

#[test]
fn late_packets_get_the_index_kept_for_them() {
    let mut bench = Bench::video();
    assert_eq!(index(bench.frame(None, 10, true)), 100);
    assert_eq!(index(bench.frame(None, 13, false)), 103);
    assert_eq!(index(bench.frame(None, 11, false)), 101);
    assert_eq!(bench.frame(None, 9, false), Forwarding::Skip, "before the start");
    assert_eq!(index(bench.frame(None, 12, false)), 102);
    assert_eq!(index(bench.frame(None, 14, false)), 104);
}

#[test]
fn padding_takes_no_index_unless_it_is_late() {
    let mut bench = Bench::video();
    assert_eq!(index(bench.frame(None, 10, true)), 100);
    assert!(bench.padding(None, 11).is_empty());
    assert_eq!(index(bench.frame(None, 12, false)), 101);
    assert_eq!(index(bench.frame(None, 14, false)), 103);
    assert_eq!(index(bench.padding(None, 13)[0]), 102, "an empty packet takes the index kept back");
    assert_eq!(index(bench.frame(None, 15, false)), 104);
}

#[test]
fn a_switch_waits_for_the_keyframe_and_goes_on_without_a_seam() {
    let mut bench = Bench::video().layers(&["f", "h"]);
    assert_eq!(index(bench.frame(Some("h"), 500, true)), 100);
    bench.ms = 40;
    let newest = sent(bench.frame(Some("h"), 501, false));
    assert_eq!(newest.timestamp, FIRST_TIMESTAMP + 40 * 90);
    bench.frame(Some("f"), 900, false);
    bench.subscription.set_preference(pinned("f", Ordering::None));
    bench.choose();
    assert_eq!((bench.wanted(), bench.subscription.reason()), (Some("f"), LayerReason::Switching));
    bench.ms = 80;
    assert_eq!(bench.frame(Some("f"), 901, false), Forwarding::Skip);
    assert_eq!(index(bench.frame(Some("h"), 502, false)), 102, "the old layer goes on");
    bench.ms = 120;
    let first = sent(bench.frame(Some("f"), 902, true));
    assert_eq!((first.index, first.timestamp), (103, FIRST_TIMESTAMP + 120 * 90));
    assert_eq!(
        first.edit,
        Some(PayloadEdit::Vp8(Vp8Patch { picture_id: Some(503), tl0: Some(247) })),
        "502 and 246 went before"
    );
    assert_eq!((bench.wanted(), bench.subscription.reason()), (None, LayerReason::Pinned));
    assert_eq!(bench.frame(Some("h"), 503, false), Forwarding::Skip);
    assert_eq!(bench.frame(Some("f"), 899, false), Forwarding::Skip);
    bench.ms = 160;
    let next = sent(bench.frame(Some("f"), 903, false));
    assert_eq!((next.index, next.timestamp), (104, FIRST_TIMESTAMP + 160 * 90));
    assert_eq!(next.edit, Some(PayloadEdit::Vp8(Vp8Patch { picture_id: Some(504), tl0: Some(248) })));
}

#[test]
fn a_switch_follows_the_reports_of_both_layers() {
    let mut bench = Bench::video().layers(&["f", "h"]);
    bench.frame(Some("h"), 500, true);
    bench.frame(Some("f"), 900, false);
    let [f, h] = [0, 1].map(|position| LayerIndex::at(position).unwrap());
    bench.publication.sender_report(h, clock(10 << 32, 0), at_ms(0));
    bench.publication.sender_report(f, clock(10 << 32, 1_000_000), at_ms(0));
    bench.subscription.set_preference(pinned("f", Ordering::None));
    bench.choose();
    bench.ms = 200; // Captured 150 ms after the report, but late on its way.
    let first = bench.push(Some("f"), Codec::Vp8, packet(901, 1_013_500, &vp8(true, 1, 1, 0)));
    assert_eq!(sent(first[0]).timestamp, FIRST_TIMESTAMP + 150 * 90);
    let (ntp, rtp) = bench.subscription.sender_report(&bench.publication, at_ms(1000), &wall()).unwrap();
    assert_eq!((ntp, rtp), (11 << 32, FIRST_TIMESTAMP + 90_000));
}

#[test]
fn who_never_reports_is_timed_by_arrival_until_reports_begin() {
    let mut bench = Bench::video();
    let report =
        |bench: &Bench| bench.subscription.sender_report(&bench.publication, at_ms(bench.ms), &wall());
    for seq in 0..60 {
        bench.ms = seq * 40;
        bench.frame(None, seq, seq == 0);
    }
    let (ntp, rtp) = report(&bench).unwrap();
    assert_eq!(ntp, wall().ntp(at_ms(bench.ms)));
    assert_eq!(rtp, FIRST_TIMESTAMP + 59 * 40 * 90);
    // A report of another of its streams: this one has the publisher's clock or none.
    bench.publication.set_reporting();
    assert_eq!(report(&bench), None);
    let layer = LayerIndex::at(0).unwrap();
    bench.publication.sender_report(layer, clock(7 << 32, bench.timestamp()), at_ms(bench.ms));
    assert_eq!(report(&bench), Some((7 << 32, FIRST_TIMESTAMP + 59 * 40 * 90)));
}

/// What leaves of a packet: header and payload as written.
fn written(sent: &Rewritten, payload: &[u8]) -> (u8, u16, bool, Vec<u8>) {
    let mut copy = payload.to_vec();
    let len = PayloadEdit::write(sent.edit.as_ref(), payload, &mut copy).unwrap();
    copy.truncate(len);
    (sent.payload_type, sent.seq(), sent.marker, copy)
}

/// Payload types and payloads.
type Three<'a> = [(u8, &'a [u8]); 3];

#[test]
fn redundancy_leaves_as_each_client_takes_it_and_the_same_when_asked_for_again() {
    const EARLIER: u8 = 0x80 | 111;
    // Redundancy, a packet of Opus alone, what only claims to be redundancy.
    let packets: Three<'_> =
        [(63, &[EARLIER, 0x0f, 0, 2, 111, 1, 2, 8, 9]), (111, &[7, 7]), (63, &[EARLIER, 0, 3])];
    let forms: [(PayloadForm, Three<'_>); 3] = [
        (PayloadForm::Whole, [(70, packets[0].1), (109, &[7, 7]), (70, packets[2].1)]),
        (
            PayloadForm::Renumbered { from: 111, to: 109 },
            [(70, &[0x80 | 109, 0x0f, 0, 2, 109, 1, 2, 8, 9]), (109, &[7, 7]), (70, &[0x80 | 109, 0, 3])],
        ),
        (PayloadForm::Unpacked, [(109, &[8, 9]), (109, &[7, 7]), (109, &[])]),
    ];
    for (form, expected) in forms {
        let mut bench = Bench::new(MediaKind::Audio, LayerPreference::default());
        let map = |from, to, codec, form| PayloadMap { from, to, rtx: None, codec, clock_rate: 48_000, form };
        let red = if form == PayloadForm::Unpacked { 109 } else { 70 };
        let maps = vec![map(63, red, Codec::Red, form), map(111, 109, Codec::Opus, PayloadForm::Whole)];
        bench.subscription.begin_epoch(maps);
        for (seq, ((payload_type, payload), (to, bytes))) in (0..).zip(packets.into_iter().zip(expected)) {
            let packet = Packet { payload_type, ..packet(seq, 0, payload) };
            let codec = if payload_type == 63 { Codec::Red } else { Codec::Opus };
            let first = sent(bench.push(None, codec, packet)[0]);
            let index = FIRST_SEQ + u16::try_from(seq).unwrap();
            assert_eq!(written(&first, payload), (to, index, false, bytes.to_vec()), "{form:?}");
            let (again, cached) = bench.subscription.resend(&bench.publication, index).unwrap();
            assert_eq!((again, &*cached.packet.payload), (first, payload));
        }
    }
}

#[test]
fn who_cannot_tell_layers_apart_gets_the_lowest_and_empty_packets_for_the_others() {
    let mut bench = Bench::video();
    let [map] = maps().try_into().unwrap();
    bench.subscription.begin_epoch(vec![PayloadMap { form: PayloadForm::LowestLayer, ..map }]);
    let mut push = |seq, template: u8, marker, payload: &[u8]| {
        let mut packet = Packet { marker, ..packet(seq, 0, payload) };
        // With the structure: two templates, the first in spatial layer 0, the second in 1.
        let descriptor = [template, 0, 1, 0x80, 0, 0b1011_0000];
        packet.extensions.push(ExtensionKind::DependencyDescriptor, &descriptor);
        let first = sent(bench.push(None, Codec::Av1, packet)[0]);
        let again = bench.subscription.resend(&bench.publication, first.seq()).unwrap().0;
        assert_eq!(again, first);
        let (_, seq, marker, bytes) = written(&first, payload);
        (seq - FIRST_SEQ, marker, bytes)
    };
    // A keyframe by its N bit, then what continues it.
    let (key, more) = (&[0x18, 0x32, 0][..], &[0x90, 5][..]);
    assert_eq!(push(0, 0x80, false, key), (0, false, key.to_vec()));
    assert_eq!(push(1, 0x40, false, more), (1, true, more.to_vec()), "the end of the lowest");
    assert_eq!(push(2, 0x81, false, more), (2, false, vec![]));
    assert_eq!(push(3, 0x41, true, more), (3, false, vec![]));
    assert_eq!(push(4, 0xc0, false, more), (4, true, more.to_vec()));
}

#[test]
fn frame_numbers_of_descriptors_go_on_when_the_publisher_begins_anew() {
    let mut bench = Bench::video();
    let push = |bench: &mut Bench, seq, number: u16, keyframe| {
        let mut packet = packet(seq, bench.timestamp(), &vp8(keyframe, 1, 1, seq));
        let [high, low] = number.to_be_bytes();
        packet.extensions.push(ExtensionKind::DependencyDescriptor, &[0xc0, high, low]);
        sent(bench.push(None, Codec::Vp8, packet)[0]).frame_number
    };
    assert_eq!(push(&mut bench, 1, 0xfffe, true), None, "as it came");
    assert_eq!(push(&mut bench, 2, 0xffff, false), None);
    bench.ms = 40;
    bench.publication.reset_source(LayerIndex::at(0).unwrap());
    assert_eq!(push(&mut bench, 900, 70, true), Some(0), "after 65,535");
    assert_eq!(push(&mut bench, 901, 72, false), Some(2));
    let seq = FIRST_SEQ + 2;
    assert_eq!(bench.subscription.resend(&bench.publication, seq).unwrap().0.frame_number, Some(0));
}

#[test]
fn no_report_leaves_before_the_publisher_has_reported() {
    let mut bench = Bench::video();
    bench.frame(None, 1, true);
    assert_eq!(bench.subscription.sender_report(&bench.publication, at_ms(0), &wall()), None);
    let layer = LayerIndex::at(0).unwrap();
    bench.publication.sender_report(layer, clock(1 << 32, 0), at_ms(0));
    assert!(bench.subscription.sender_report(&bench.publication, at_ms(0), &wall()).is_some());
    bench.publication.reset_source(layer);
    assert_eq!(bench.subscription.sender_report(&bench.publication, at_ms(0), &wall()), None);
}

#[test]
fn a_pinned_layer_that_is_not_sent_sends_nothing() {
    let mut bench = Bench::new(MediaKind::Video, pinned("q", Ordering::None)).layers(&["f", "h"]);
    for seq in 0..50 {
        assert_eq!(bench.frame(Some("f"), seq, seq % 10 == 0), Forwarding::Skip);
    }
    bench.choose();
    assert_eq!((bench.wanted(), bench.subscription.reason()), (None, LayerReason::Waiting));
    assert_eq!(bench.frame(Some("q"), 7, false), Forwarding::Skip);
    assert_eq!(bench.wanted(), Some("q"));
    assert_eq!(index(bench.frame(Some("q"), 8, true)), 100);
    bench.subscription.set_preference(pinned("h", Ordering::None));
    bench.choose();
    assert_eq!(bench.frame(Some("q"), 9, false), Forwarding::Skip, "h alone is wanted and is not sent");
    bench.subscription.set_preference(pinned("q", Ordering::None));
    bench.choose();
    assert_eq!(bench.frame(Some("q"), 10, false), Forwarding::Skip);
    bench.ms = 40;
    assert_eq!(index(bench.frame(Some("q"), 11, true)), 101);
}

#[test]
fn automatic_choice_falls_back_when_the_layer_stops_and_returns_when_it_is_back() {
    let mut bench = Bench::video().layers(&["f", "q"]);
    let mut seen = Vec::new();
    let big = vec![0; 1000];
    for step in 0..900_u64 {
        bench.ms = step * 10;
        let (seq, keyframe) = (step + 1, step % 20 == 0);
        if !(2000..5000).contains(&bench.ms) {
            let mut payload = vp8(keyframe, 1, 1, seq);
            payload.extend(&big);
            let packet = packet(seq, bench.timestamp(), &payload);
            bench.push(Some("f"), Codec::Vp8, packet);
        }
        bench.frame(Some("q"), seq, keyframe);
        bench.choose();
        let now = bench.current().map(str::to_owned);
        if seen.last().is_none_or(|(_, last)| *last != now) {
            seen.push((bench.ms, now));
        }
    }
    let names: Vec<_> = seen.iter().map(|(_, name)| name.as_deref().unwrap_or("-")).collect();
    assert_eq!(names, ["f", "q", "f"]);
    assert!((3400..3800).contains(&seen[1].0) && (6000..6400).contains(&seen[2].0), "{seen:?}");
}

#[test]
fn a_fallback_gives_way_when_the_wanted_layer_comes_back() {
    let mut bench =
        Bench::new(MediaKind::Video, pinned("h", Ordering::Asciibetical)).layers(&["f", "h", "q"]);
    bench.frame(Some("q"), 1, false);
    bench.choose();
    assert_eq!(bench.wanted(), Some("q"));
    bench.frame(Some("q"), 2, true);
    assert_eq!((bench.current(), bench.subscription.reason()), (Some("q"), LayerReason::Fallback));
    bench.frame(Some("h"), 1, false);
    bench.choose();
    assert_eq!((bench.wanted(), bench.subscription.reason()), (Some("h"), LayerReason::Switching));
    bench.frame(Some("h"), 2, true);
    assert_eq!((bench.current(), bench.subscription.reason()), (Some("h"), LayerReason::Pinned));
}

#[test]
fn payload_types_that_the_client_cannot_take_leave_no_gap() {
    let mut bench = Bench::new(MediaKind::Audio, LayerPreference::default());
    let mut push = |seq, payload_type| {
        let packet = Packet { payload_type, ..packet(seq, 1, b"x") };
        bench.push(None, Codec::Opus, packet)[0]
    };
    let dropped = Forwarding::Drop(DropReason::PayloadType);
    assert_eq!(push(9, 13), dropped);
    assert_eq!(index(push(10, 96)), 100);
    assert_eq!(push(11, 13), dropped);
    assert_eq!(push(12, 13), dropped);
    assert_eq!(index(push(13, 96)), 101);
    assert_eq!(push(16, 13), dropped, "14 and 15 keep their indices");
    assert_eq!(index(push(17, 96)), 104);
    assert_eq!(index(push(15, 96)), 103);
    assert_eq!(push(14, 13), dropped, "too late to close");
    assert_eq!(index(push(18, 96)), 105);
}

#[test]
fn a_new_source_waits_for_a_keyframe_and_runs_on() {
    let mut bench = Bench::video();
    bench.frame(None, 60_000, true);
    bench.ms = 1000;
    bench.publication.reset_source(LayerIndex::at(0).unwrap());
    assert_eq!(bench.frame(None, 5, false), Forwarding::Skip);
    assert!(bench.subscription.wanted_keyframe().is_some());
    let first = sent(bench.frame(None, 6, true));
    assert_eq!((first.index, first.timestamp), (101, FIRST_TIMESTAMP + 90_000));
    let Some(PayloadEdit::Vp8(patch)) = first.edit else { panic!("{first:?}") };
    assert_eq!(patch.picture_id, Some((60_000 % 0x8000) as u16 + 1));
}

#[test]
fn another_publication_runs_on_and_what_was_before_is_not_sent_again() {
    let mut bench = Bench::video();
    bench.frame(None, 10, true);
    bench.subscription.switch_source();
    assert!(bench.subscription.resend(&bench.publication, FIRST_SEQ).is_none());
    bench.publication = Publication::new(PublicationId(2), MediaKind::Video);
    bench.ms = 100;
    assert_eq!(bench.frame(None, 900, false), Forwarding::Skip);
    let first = sent(bench.frame(None, 901, true));
    assert_eq!((first.index, first.timestamp), (101, FIRST_TIMESTAMP + 9_000));
    assert!(bench.subscription.resend(&bench.publication, 101).is_some());
}

#[test]
fn a_resent_packet_is_the_very_same() {
    let mut bench = Bench::video().layers(&["f", "h"]);
    let mut first = vec![sent(bench.frame(Some("h"), 500, true))];
    first.push(sent(bench.frame(Some("h"), 502, false)));
    bench.frame(Some("f"), 900, false);
    bench.subscription.set_preference(pinned("f", Ordering::None));
    bench.choose();
    first.push(sent(bench.frame(Some("f"), 901, true)));
    for rewritten in &first {
        let (again, cached) = bench.subscription.resend(&bench.publication, rewritten.seq()).unwrap();
        assert_eq!(again, *rewritten);
        assert!(!cached.packet.payload.is_empty());
    }
    for unknown in [99, 101, 104, 40_000] {
        assert_eq!(bench.subscription.resend(&bench.publication, unknown).map(|(again, _)| again), None);
    }
    bench.subscription.begin_epoch(vec![]);
    assert!(bench.subscription.resend(&bench.publication, 100).is_none(), "it would leave with another type");
}

#[test]
fn a_new_context_starts_below_half_the_circle_and_goes_forward() {
    for (next, expected) in
        [(0, 0), (5, 5), (32_767, 32_767), (32_768, 32_767), (32_769, 32_767), (32_770, 0), (65_535, 0)]
    {
        assert_eq!(rebased(next), expected);
        assert_eq!(rebased(next + (7 << 16)), expected);
        assert!(rebased(next) < INDEX_START_MAX);
    }
    let mut bench = Bench::video();
    for seq in (0..40_000).filter(|seq| *seq != 39_990) {
        bench.frame(None, seq, seq == 0);
    }
    bench.subscription.rebase();
    assert_eq!(bench.subscription.resend(&bench.publication, 40_099).map(|(again, _)| again), None);
    assert!(bench.subscription.wanted_keyframe().is_some());
    assert_eq!(bench.frame(None, 39_990, false), Forwarding::Skip, "its index was of the old context");
    assert_eq!(index(bench.frame(None, 40_000, false)), 0, "it goes on meanwhile");
    bench.ms = 40;
    assert_eq!(index(bench.frame(None, 40_001, true)), 1);
    assert_eq!(bench.subscription.wanted_keyframe(), None);
    assert!(bench.subscription.resend(&bench.publication, 0).is_some());
    assert!(bench.subscription.resend(&bench.publication, 65_535).is_none());
}

#[test]
fn nothing_of_the_old_context_or_payload_type_leaves_late() {
    let change: [fn(&mut Subscription); 2] = [Subscription::rebase, |subscription| {
        subscription.begin_epoch(vec![PayloadMap { to: 99, ..maps().remove(0) }]);
    }];
    // The second start makes the indices of the old context higher than the first of the new one.
    for (change, first) in change.into_iter().flat_map(|change| [(change, FIRST_SEQ), (change, 32_766)]) {
        let mut bench = Bench::video();
        bench.subscription =
            Subscription::new(MediaKind::Video, maps(), LayerPreference::default(), first, 0);
        bench.frame(None, 10, true);
        let foreign = Packet { payload_type: 13, ..packet(13, 0, b"x") };
        bench.push(None, Codec::Vp8, foreign);
        assert_eq!(index(bench.frame(None, 16, false)), u64::from(first) + 5);
        change(&mut bench.subscription);
        let late: Vec<_> = [11, 14].map(|seq| bench.frame(None, seq, false)).to_vec();
        assert_eq!(late, [Forwarding::Skip; 2]);
        for offset in [0, 1, 3, 5] {
            assert!(bench.subscription.resend(&bench.publication, first + offset).is_none());
        }
        assert!(matches!(bench.frame(None, 17, false), Forwarding::Forward(_)));
    }
}

#[test]
fn a_gap_that_would_cost_the_rollover_counter_is_closed_but_for_one() {
    let mut bench = Bench::video();
    bench.frame(None, 10, true);
    assert_eq!(index(bench.frame(None, 10 + GAP_MAX, false)), 100 + GAP_MAX);
    assert_eq!(bench.subscription.wanted_keyframe(), None);
    assert_eq!(index(bench.frame(None, 60_000, false)), 100 + GAP_MAX + 2);
    assert!(bench.subscription.wanted_keyframe().is_some(), "what is missing may be needed");
}

#[test]
fn encrypted_payloads_pass_after_a_while_and_others_then_at_once() {
    let mut bench = Bench::video();
    let mut started = None;
    for step in 0..400_u64 {
        bench.ms = step * 10; // Three packets a frame.
        let packet = packet(step, u32::try_from(step / 3 * 2700).unwrap(), b"sealed");
        let forwarded = bench.push(None, Codec::H264, packet)[0];
        if let Some(layer) = bench.subscription.wanted_keyframe() {
            bench.publication.demand_keyframe(layer, at_ms(bench.ms));
        }
        if forwarded != Forwarding::Skip && started.is_none() {
            started = Some(step);
        }
    }
    assert_eq!(started, Some(201), "the first frame that begins two seconds after the request");
    let second = Subscription::new(MediaKind::Video, maps(), LayerPreference::default(), 7, 7);
    bench.subscription = second;
    bench.ms = 4000;
    let within = packet(400, 133 * 2700, b"sealed");
    assert_eq!(bench.push(None, Codec::H264, within), [Forwarding::Skip], "within a frame");
    let layer = bench.subscription.wanted_keyframe().unwrap();
    assert_eq!(bench.publication.demand_keyframe(layer, at_ms(4000)), KeyframeDemand::Send);
    bench.ms = 4010;
    assert_eq!(index(bench.opaque(None, 401)[0]), 7);
}

#[test]
fn without_a_layer_nothing_is_chosen() {
    let mut bench = Bench::video();
    bench.choose();
    assert_eq!((bench.wanted(), bench.subscription.reason()), (None, LayerReason::Waiting));
    let layer = LayerIndex::at(3).unwrap();
    assert_eq!(bench.publication.push(layer, Codec::Vp8, packet(1, 1, b"x"), at_ms(0)), PushOutcome::TooOld);
}
