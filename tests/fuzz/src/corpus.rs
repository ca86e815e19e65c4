//! The corpus: what true clients send, taken from a call in virtual time, and a little that is made by hand.

use std::net::SocketAddr;

use ringcast_bench::source::Media;

use crate::harness::{Sim, Way};
use crate::pieces::{Piece, write};
use crate::world::MS;

/// Inputs, each with its target and its name.
#[derive(Default)]
struct Corpus(Vec<(&'static str, String, Vec<u8>)>);

impl Corpus {
    fn add(&mut self, target: &'static str, name: &str, pieces: &[(u8, Vec<u8>)]) {
        let pieces: Vec<Piece> =
            pieces.iter().map(|(kind, bytes)| Piece { kind: *kind, bytes: bytes.clone() }).collect();
        self.0.push((target, name.to_owned(), write(&pieces)));
    }
}

/// All inputs, each with its target and its name.
pub fn all() -> Vec<(&'static str, String, Vec<u8>)> {
    let mut corpus = Corpus::default();
    for add in [add_clients, add_rtp, add_rtcp, add_sctp, add_messages, add_descriptions] {
        add(&mut corpus);
    }
    corpus.0
}

/// What a client sends, from strangers and from itself.
fn add_clients(corpus: &mut Corpus) {
    let sent = datagrams_of_a_client();
    let of = |first: std::ops::Range<u8>, kind: u8, most: usize| -> Vec<(u8, Vec<u8>)> {
        let taken = sent.iter().filter(|datagram| first.contains(&datagram[0]));
        taken.take(most).map(|datagram| (kind, datagram.clone())).collect()
    };
    for kind in [0, 1] {
        let from = ["strangers", "client"][usize::from(kind)];
        corpus.add("strangers", &format!("checks-of-{from}"), &of(0..4, kind, 4));
        corpus.add("strangers", &format!("dtls-of-{from}"), &of(20..64, kind, 6));
        corpus.add("strangers", &format!("media-of-{from}"), &of(128..192, kind, 8));
    }
    corpus.add("handshake", "whole", &of(20..64, 0x20, 12));
    corpus.add(
        "handshake",
        "first-flight-again",
        &[of(20..64, 0x80, 1), of(20..64, 0x80, 1), of(20..64, 0, 1)].concat(),
    );
    corpus.add(
        "handshake",
        "checks-between",
        &[of(20..64, 0, 2), of(0..4, 0, 2), of(128..192, 0, 2)].concat(),
    );
}

/// RTP behind what a client seals.
fn add_rtp(corpus: &mut Corpus) {
    // Packets that lie below the number 0 of their stream, one of them sent again (RFC 4588 4).
    let mut before_zero = rtp_packet(111, &[], 60);
    before_zero[2..4].fill(0xff);
    let mut again = rtp_packet(97, &[], 60);
    again[12..14].fill(0xff);
    corpus.add("rtp", "before-zero", &[(0, before_zero), (9, again.clone()), (15, again)]);
    corpus.add(
        "rtp",
        "plain",
        &[(8, rtp_packet(111, &[], 60)), (9, rtp_packet(96, &[], 200)), (15, rtp_packet(96, &[], 9))],
    );
    // One-byte and two-byte header extensions (RFC 8285 4.2, 4.3): mid, rid, time, transport-wide number, levels.
    let short = [0xbe, 0xde, 0, 3, 0x10, b'1', 0x30, b'f', 0x51, 0, 7, 0x22, 1, 2, 3, 0];
    let long = [0x10, 0, 0, 3, 1, 1, b'1', 3, 1, b'q', 5, 2, 0, 9, 0, 0];
    corpus.add(
        "rtp",
        "extensions",
        &[
            (9, rtp_packet(96, &short, 100)),
            (8, rtp_packet(111, &long, 40)),
            (15, rtp_packet(96, &short, 100)),
        ],
    );
    // A retransmission (RFC 4588 4), redundant sound (RFC 2198 3), padding alone.
    let red = [&[0xef, 0, 0x40, 8, 111][..], &[7; 40]].concat();
    let mut padding = rtp_packet(96, &[], 4);
    padding[0] |= 0x20;
    *padding.last_mut().unwrap() = 4;
    corpus.add(
        "rtp",
        "resent-redundant-padding",
        &[(9, rtp_packet(97, &[], 30)), (8, [rtp_packet(63, &[], 0), red].concat()), (9, padding)],
    );
}

/// RTCP behind what a client seals.
fn add_rtcp(corpus: &mut Corpus) {
    let report = [&[0x80, 200, 0, 6, 1, 2, 3, 4][..], &[9; 20]].concat();
    let receiver = [&[0x81, 201, 0, 7, 1, 2, 3, 4, 0, 0, 0, 0][..], &[0; 20]].concat();
    let bye = vec![0x81, 203, 0, 1, 1, 2, 3, 4];
    let named = [&[0x81, 202, 0, 3, 1, 2, 3, 4, 1, 4][..], b"name", &[0, 0]].concat();
    let nack = vec![0x81, 205, 0, 3, 1, 2, 3, 4, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
    let transport = vec![0x8f, 205, 0, 5, 1, 2, 3, 4, 0, 0, 0, 0, 0, 1, 0, 3, 0, 0, 1, 0, 0x20, 3, 4, 4];
    let picture = vec![0x81, 206, 0, 2, 1, 2, 3, 4, 0, 0, 0, 0];
    let full = vec![0x84, 206, 0, 4, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
    let remb = [&[0x8f, 206, 0, 5, 1, 2, 3, 4, 0, 0, 0, 0][..], b"REMB", &[1, 9, 9, 9, 0, 0, 0, 1]].concat();
    let extended = vec![0x80, 207, 0, 4, 1, 2, 3, 4, 4, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8];
    let compound = [&report[..], &named, &nack].concat();
    corpus.add("rtcp", "reports", &[(2, report), (1, receiver.clone()), (0, named), (0, bye), (0, extended)]);
    corpus.add("rtcp", "requests", &[(1, nack), (1, transport), (1, picture), (1, full), (1, remb)]);
    corpus.add("rtcp", "compound", &[(1, [&receiver[..], &compound].concat()), (2, compound)]);
}

/// SCTP in the records of a client.
fn add_sctp(corpus: &mut Corpus) {
    let chunk = |kind: u8, flags: u8, body: &[u8]| {
        let len = (4 + body.len()) as u16;
        [&[kind, flags][..], &len.to_be_bytes(), body, &vec![0; body.len().next_multiple_of(4) - body.len()]]
            .concat()
    };
    let data = |number: u32, stream: u8, protocol: u8, bytes: &[u8]| {
        chunk(0, 7, &[&number.to_be_bytes()[..], &[0, stream, 0, 0, 0, 0, 0, protocol], bytes].concat())
    };
    let init = chunk(1, 0, &[1, 2, 3, 4, 0, 1, 0, 0, 0, 9, 0, 9, 0, 0, 0, 1, 0xc0, 0, 0, 4]);
    let sack = chunk(3, 0, &[0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 2, 0, 3, 0, 0, 0, 1]);
    let reset = chunk(130, 0, &[0, 13, 0, 18, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1]);
    let forward = chunk(192, 0, &[0, 0, 0, 9, 0, 1, 0, 1]);
    corpus.add(
        "sctp",
        "association",
        &[(0, init), (0, chunk(10, 0, &[7; 16])), (0, chunk(11, 0, &[])), (0, sack.clone())],
    );
    corpus.add(
        "sctp",
        "data",
        &[(0, data(1, 1, 51, b"text")), (0, [data(2, 1, 53, &[1]), sack].concat()), (0, forward), (0, reset)],
    );
    corpus.add(
        "sctp",
        "others",
        &[
            (0, chunk(4, 0, &[0, 1, 0, 8, 1, 2, 3, 4])),
            (0, chunk(9, 0, &[0, 1, 0, 4])),
            (0, chunk(7, 0, &[0; 4])),
            (0, chunk(6, 0, &[])),
        ],
    );
}

/// Messages of data channels.
fn add_messages(corpus: &mut Corpus) {
    let open = |kind: u8, label: &[u8]| {
        [&[3, 3, kind, 0, 0, 0, 0, 0, 0, label.len() as u8, 0, 0][..], label].concat()
    };
    corpus.add(
        "messages",
        "opens-and-talks",
        &[(0, open(0, b"chat")), (1, [&[3][..], b"hello"].concat()), (3, vec![3, 1, 2, 3])],
    );
    corpus.add(
        "messages",
        "opens-again",
        &[(0, open(0, b"chat")), (0, open(0x81, b"other")), (0, vec![3, 2]), (5, vec![3]), (6, vec![3])],
    );
    corpus.add(
        "messages",
        "pieces",
        &[(9, [&[0x21][..], b"begin"].concat()), (9, [&[1][..], b"end"].concat()), (3, vec![9, 9])],
    );
}

/// Offers and answers.
fn add_descriptions(corpus: &mut Corpus) {
    for (name, media) in
        [("sound", vec![Media::audio()]), ("both", vec![Media::audio(), Media::video(30, 60, 300)])]
    {
        let (offer, answer) = descriptions(&media);
        corpus.add("offers", name, &[(0, offer.into_bytes())]);
        corpus.add("answers", name, &[(0, answer.into_bytes())]);
    }
}

/// An RTP packet of payload type, header extensions and payload length.
fn rtp_packet(payload_type: u8, extensions: &[u8], payload: usize) -> Vec<u8> {
    let first = if extensions.is_empty() { 0x80 } else { 0x90 };
    let header = [first, payload_type, 0, 1, 0, 0, 0, 9, 0, 0, 0, 7];
    [&header[..], extensions, &vec![0x5a; payload]].concat()
}

/// All that a client sends from its first check on.
fn datagrams_of_a_client() -> Vec<Vec<u8>> {
    // Others than those that the targets make: a check of theirs is to be a stranger's.
    let mut sim = Sim::new(1, 2);
    sim.captured = Some(Vec::new());
    let client = sim.join(0, Way::clean(5));
    sim.publish(client, &[Media::audio(), Media::video(30, 60, 300)]);
    sim.run_for(1_000 * MS);
    let address: SocketAddr = sim.peer(client).client.address();
    let captured = sim.captured.take().unwrap_or_default().into_iter();
    captured.filter(|(_, from, _)| *from == address).map(|(.., datagram)| datagram).collect()
}

/// What a client offers to publish, and what it answers to be sent the same.
fn descriptions(media: &[Media]) -> (String, String) {
    // Others than those that the targets make: a check of theirs is to be a stranger's.
    let mut sim = Sim::new(1, 2);
    let (client, viewer) = (sim.join(0, Way::clean(5)), sim.join(0, Way::clean(5)));
    let mut offer = String::new();
    let keep = |text: String| {
        offer.clone_from(&text);
        text
    };
    let tracks = sim.push(client, media, None, keep).unwrap();
    let preference = ringcast::plan::LayerPreference::default();
    let (_, answer) = sim.offer_tracks(viewer, &tracks.iter().collect::<Vec<_>>(), &preference);
    (offer, answer)
}
