//! From a publication's packet to what lies in the outbox, sealing left out.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ringcast::ids::PublicationId;
use ringcast::net::{Outbox, SocketIndex};
use ringcast::plan::{LayerPreference, PayloadForm, PayloadMap};
use ringcast::router::publication::{BatchEntry, Publication};
use ringcast::router::resend::{CachedPacket, ResendCache};
use ringcast::router::subscription::{Forwarding, Subscription};
use ringcast::rtp::{
    Codec, ExtensionKind, ExtensionTemplate, HeaderOut, MediaKind, Packet, PassedExtensions, SpatialPlace,
    Vp8Descriptor,
};

use super::{Run, at_ms};

const PAYLOAD_TYPE: u8 = 96;
const PAYLOAD_LEN: usize = 1100;
const BATCH: u64 = 8;
/// Time between two batches, as of frames.
const FRAME_MS: u64 = 33;

/// A VP8 payload with 15-bit picture id and TL0PICIDX (RFC 7741 4.2, 4.3).
fn vp8(keyframe: bool, first: bool, picture: u64) -> Vec<u8> {
    let [.., high, low] = picture.to_be_bytes();
    let mut payload = vec![0x5a; PAYLOAD_LEN];
    let start = if first { 0x90 } else { 0x80 };
    payload[..9].copy_from_slice(&[start, 0xe0, high | 0x80, low, low, 0, u8::from(!keyframe), 0, 0]);
    if keyframe && first {
        payload[9..12].copy_from_slice(&[0x9d, 0x01, 0x2a]);
    }
    payload
}

fn packet(seq: u64, payload: &Arc<[u8]>) -> Packet {
    let frame = seq / BATCH;
    let mut extensions = PassedExtensions::default();
    extensions.push(ExtensionKind::PlayoutDelay, &[0, 0, 0]);
    Packet {
        seq,
        timestamp: (frame * 3000) as u32,
        marker: seq % BATCH == BATCH - 1,
        payload_type: PAYLOAD_TYPE,
        extensions,
        payload: Arc::clone(payload),
        received_at: at_ms(frame * FRAME_MS),
        ecn: 0,
    }
}

/// One frame of a publication: eight packets in its batch.
fn push_frame(publication: &mut Publication, frame: u64, payloads: &[Arc<[u8]>]) {
    let layer = publication.layer_index(None).unwrap();
    publication.clear_batch();
    for (seq, payload) in (frame * BATCH..).zip(payloads) {
        publication.push(layer, Codec::Vp8, packet(seq, payload), at_ms(frame * FRAME_MS));
    }
}

/// Payloads of a frame; not a byte differs from frame to frame but picture id and TL0PICIDX, which stand still: the
/// work does not depend on them.
fn frame(keyframe: bool) -> Vec<Arc<[u8]>> {
    (0..BATCH).map(|at| vp8(keyframe, at == 0, 1).into()).collect()
}

fn subscription() -> Subscription {
    let map = PayloadMap {
        from: PAYLOAD_TYPE,
        to: 102,
        rtx: Some(103),
        codec: Codec::Vp8,
        clock_rate: 90_000,
        form: PayloadForm::Whole,
    };
    Subscription::new(MediaKind::Video, vec![map], LayerPreference::default(), 1000, 5000)
}

/// A publication, subscriptions that have begun with its keyframe, and the frame after that.
fn audience(size: usize) -> (Publication, Vec<Subscription>, Vec<BatchEntry>) {
    let mut publication = Publication::new(PublicationId(1), MediaKind::Video);
    let mut subscriptions: Vec<Subscription> = (0..size).map(|_| subscription()).collect();
    push_frame(&mut publication, 0, &frame(true));
    for one in &mut subscriptions {
        one.choose_layer(&publication, at_ms(0));
        for entry in publication.batch() {
            assert!(matches!(one.rewrite(&publication, entry), Forwarding::Forward(_)));
        }
    }
    push_frame(&mut publication, 1, &frame(false));
    let batch = publication.batch().to_vec();
    (publication, subscriptions, batch)
}

/// Makes the next frame of a frame: a subscription is to see no packet twice.
fn advance(batch: &mut [BatchEntry]) {
    for entry in batch {
        let packet = &mut entry.cached.packet;
        packet.seq += BATCH;
        packet.timestamp = packet.timestamp.wrapping_add(3000);
        packet.received_at += Duration::from_millis(FRAME_MS);
    }
}

pub(super) fn vp8_descriptor_parse() -> Run {
    let payload = vp8(false, true, 300);
    Box::new(move || {
        black_box(Vp8Descriptor::parse(black_box(&payload))).unwrap();
    })
}

/// Eight packets into numbering, figures, cache and batch.
pub(super) fn publication_push() -> Run {
    let mut publication = Publication::new(PublicationId(1), MediaKind::Video);
    let (payloads, mut next) = (frame(false), 1);
    push_frame(&mut publication, 0, &frame(true));
    Box::new(move || {
        push_frame(black_box(&mut publication), next, &payloads);
        next += 1;
    })
}

fn cached(number: u64, payload: &Arc<[u8]>) -> CachedPacket {
    CachedPacket {
        codec: Codec::Vp8,
        packet: packet(number, payload),
        source: 0,
        keyframe: false,
        frame_start: false,
        vp8: None,
        frame_number: None,
        spatial: SpatialPlace::Unknown,
    }
}

/// Into a full cache, so that the oldest one leaves.
pub(super) fn cache_insert() -> Run {
    let mut cache = ResendCache::new(MediaKind::Video);
    let payload = vp8(false, true, 1).into();
    let first = cached(0, &payload);
    let mut next = 0;
    let mut insert = move || {
        let mut one = first.clone();
        one.packet.seq = next;
        next += 1;
        cache.insert(black_box(one));
    };
    (0..2000).for_each(|_| insert());
    Box::new(insert)
}

/// One frame for one subscriber.
pub(super) fn rewrite_8_for_1() -> Run {
    rewrite(1)
}

/// One frame for all subscribers of a large room.
pub(super) fn rewrite_8_for_200() -> Run {
    rewrite(200)
}

fn rewrite(audience_size: usize) -> Run {
    let (publication, mut subscriptions, mut batch) = audience(audience_size);
    Box::new(move || {
        for subscription in &mut subscriptions {
            for entry in &batch {
                let rewritten = subscription.rewrite(black_box(&publication), entry);
                assert!(matches!(black_box(rewritten), Forwarding::Forward(_)));
            }
        }
        advance(&mut batch);
    })
}

/// A request for a packet 400 behind the newest.
pub(super) fn resend_lookup() -> Run {
    let (mut publication, mut subscriptions, _) = audience(1);
    for number in 1..60 {
        push_frame(&mut publication, number, &frame(false));
        for entry in publication.batch() {
            subscriptions[0].rewrite(&publication, entry);
        }
    }
    let newest = 1000 + 60 * 8 - 1;
    Box::new(move || {
        let found = subscriptions[0].resend(black_box(&publication), black_box(newest - 400));
        assert!(black_box(found).is_some());
    })
}

/// With the three extensions that most streams carry.
pub(super) fn header_write() -> Run {
    let header =
        HeaderOut { marker: true, payload_type: 102, seq: 0x1234, timestamp: 0x0102_0304, ssrc: 0x1234_5678 };
    let mut ids = [0; ExtensionKind::ALL.len()];
    ids[ExtensionKind::AudioLevel as usize] = 5;
    let template = ExtensionTemplate::new(Some((1, b"12")), Some(3), ids).unwrap();
    let mut passed = PassedExtensions::default();
    passed.push(ExtensionKind::AudioLevel, &[0x80]);
    let mut space = vec![0; 1500];
    Box::new(move || {
        let template = black_box(&template);
        let len = template.write(black_box(&mut space), black_box(&header), 7, black_box(&passed), None);
        assert!(black_box(len).is_some());
    })
}

fn outbox(destinations: u16) -> Run {
    let mut outbox = Outbox::new(1 << 20);
    Box::new(move || {
        for number in 0..8 {
            let destination = SocketAddr::from(([192, 0, 2, 1], 5000 + number % destinations));
            let space = black_box(&mut outbox).space(1500).unwrap();
            space[0] = 0x80;
            outbox.commit(SocketIndex::bound(0), destination, 1200);
        }
        assert_eq!(outbox.transmits().len(), usize::from(destinations));
        outbox.clear();
    })
}

/// Eight datagrams that leave as one message.
pub(super) fn outbox_run_of_8() -> Run {
    outbox(1)
}

/// Eight datagrams that leave as eight.
pub(super) fn outbox_8_destinations() -> Run {
    outbox(8)
}
