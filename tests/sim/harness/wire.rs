//! Watches what shards put on the wire for rules that hold in every scenario.
//!
//! One key, SSRC and index must never seal two different packets, header included: with AES-GCM that gives the keystream and
//! the authentication key away (RFC 7714 8.1), and a header is what the tag covers besides (8.2). SSRC and sequence number
//! stand in clear, and the rest of the index follows from what came before, so the wire itself shows a breach.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use ringcast::rtp::RtpView;

use super::link::rtcp_name;

/// What has left for one client under its present keys.
#[derive(Default)]
pub(crate) struct Watch {
    hasher: RandomState,
    /// The newest index of each stream.
    newest: HashMap<u32, u64>,
    /// Prints of header and of the whole packet.
    rtp: HashMap<(u32, u64), (u64, u64)>,
    rtcp: HashMap<(u32, u32), u64>,
    /// Breaches seen.
    pub(crate) breaches: Vec<String>,
}

impl Watch {
    /// New keys: every index may be used again.
    pub(crate) fn rekeyed(&mut self) {
        self.newest.clear();
        self.rtp.clear();
        self.rtcp.clear();
    }

    pub(crate) fn see(&mut self, datagram: &[u8]) {
        let print = self.hasher.hash_one(datagram);
        if let Some(name) = rtcp_name(datagram) {
            if self.rtcp.insert(name, print).is_some_and(|before| before != print) {
                self.breaches.push(format!("RTCP sender {:#x} index {} sealed two packets", name.0, name.1));
            }
        } else if let Some(view) = RtpView::parse(datagram) {
            let (ssrc, index) = (view.ssrc(), self.index(view.ssrc(), view.sequence()));
            let header = self.hasher.hash_one(&datagram[..view.header_len()]);
            if let Some(before) = self.rtp.insert((ssrc, index), (header, print))
                && before != (header, print)
            {
                let what = if before.0 == header { "two packets" } else { "two headers" };
                self.breaches.push(format!("SSRC {ssrc:#x} index {index} sealed {what}"));
            }
        }
    }

    /// The index next to the newest one of the stream (RFC 3711 3.3.1).
    fn index(&mut self, ssrc: u32, seq: u16) -> u64 {
        let newest = self.newest.entry(ssrc).or_insert_with(|| u64::from(seq));
        let ahead = i64::from(seq.wrapping_sub((*newest & 0xffff) as u16).cast_signed());
        let index = newest.checked_add_signed(ahead).unwrap_or_else(|| u64::from(seq));
        *newest = index.max(*newest);
        index
    }
}
