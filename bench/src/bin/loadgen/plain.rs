//! The publisher of the bare loop: the same frames as a client's, as RTP in clear.

use std::net::SocketAddr;
use std::time::Instant;

use ringcast_bench::source::{Media, Source};

/// Bytes of the extension block that forwarded packets of a server carry between header and payload. Payloads are
/// longer by it here, so that the bare loop sends datagrams of the same length.
const VIDEO_EXTENSION_BYTES: usize = 12;
const AUDIO_EXTENSION_BYTES: usize = 8;

/// A publisher of plain RTP.
pub(crate) struct PlainPublisher {
    pub(crate) server: SocketAddr,
    pub(crate) sources: Vec<Source>,
}

impl PlainPublisher {
    /// Makes a publisher whose sources have the ids from `first_id` and send at once.
    pub(crate) fn new(server: SocketAddr, now: Instant, first_id: u32, media: &[Media]) -> Self {
        let mut sources: Vec<Source> =
            media.iter().zip(first_id..).map(|(media, id)| Source::new(id, &longer(media))).collect();
        sources.iter_mut().for_each(|source| source.start(now));
        Self { server, sources }
    }

    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.sources.iter().filter_map(Source::next_at).min()
    }

    /// The datagrams that are due.
    pub(crate) fn poll(&mut self, now: Instant, epoch: Instant) -> Vec<(SocketAddr, Vec<u8>)> {
        let sent = u64::try_from(now.saturating_duration_since(epoch).as_nanos()).unwrap_or(u64::MAX);
        let mut due = Vec::new();
        for source in &mut self.sources {
            let (ssrc, kind) = (source.id() + 1, if source.is_video() { 96 } else { 111 });
            while source.next_at().is_some_and(|at| at <= now) {
                for packet in source.poll(now, sent) {
                    let mut datagram = Vec::with_capacity(packet.payload.len() + 64);
                    datagram.extend([0x80, u8::from(packet.marker) << 7 | kind]);
                    datagram.extend(((packet.seq & 0xffff) as u16).to_be_bytes());
                    datagram.extend(packet.timestamp.to_be_bytes());
                    datagram.extend(ssrc.to_be_bytes());
                    datagram.extend(packet.payload);
                    due.push((self.server, datagram));
                }
            }
        }
        due
    }
}

fn longer(media: &Media) -> Media {
    let mut media = media.clone();
    match &mut media {
        Media::Audio { payload_bytes } => *payload_bytes += AUDIO_EXTENSION_BYTES,
        Media::Video { payload_bytes, .. } => *payload_bytes += VIDEO_EXTENSION_BYTES,
    }
    media
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an Instant has no other beginning; the test only adds to it")]
mod tests {
    use super::*;
    use ringcast_bench::lean::{Lean, Opening};
    use ringcast_bench::sealing::{Cipher, Key};

    #[test]
    fn what_it_sends_is_understood_by_a_sink() {
        let base = Instant::now();
        let server = SocketAddr::from(([127, 0, 0, 1], 1));
        let media = [Media::video(30, 300, 500), Media::audio()];
        let mut publisher = PlainPublisher::new(server, base, 16, &media);
        let key = || Key::of(4, Cipher::Aes128Gcm).unwrap();
        let mut sink = Lean::new(1);
        sink.set_opening(Opening::Limit(vec![key()]));
        for _ in 0..100 {
            let at = publisher.next_at().unwrap();
            for (to, datagram) in publisher.poll(at, base) {
                assert_eq!(to, server);
                let mut sealed = vec![0; datagram.len() + 16];
                key().seal(&datagram, &mut sealed).unwrap();
                sink.take(at, 0, &mut sealed);
            }
        }
        assert_eq!((sink.damaged, sink.known_streams()), (0, 2));
        assert_eq!(sink.samples, sink.packets);
        let mut sources: Vec<u32> =
            sink.streams().iter().map(|stream| stream.numbering.unwrap().source).collect();
        sources.sort_unstable();
        assert_eq!(sources, [16, 17]);
    }
}
