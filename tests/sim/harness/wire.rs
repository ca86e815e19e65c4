//! Watches what shards put on the wire for rules that hold in every scenario.
//!
//! One key, SSRC and index must never seal two different packets: with AES-GCM that gives the keystream and the
//! authentication key away (RFC 7714 8.1). SSRC and index stand in clear, so the wire itself shows a breach.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use super::link::{rtcp_name, rtp_name};

/// What has left for one client under its present keys.
#[derive(Default)]
pub(crate) struct Watch {
    hasher: RandomState,
    rtp: HashMap<(u32, u16), u64>,
    rtcp: HashMap<(u32, u32), u64>,
    /// Breaches seen.
    pub(crate) breaches: Vec<String>,
}

impl Watch {
    /// New keys: every index may be used again.
    pub(crate) fn rekeyed(&mut self) {
        self.rtp.clear();
        self.rtcp.clear();
    }

    pub(crate) fn see(&mut self, datagram: &[u8]) {
        let print = self.hasher.hash_one(datagram);
        if let Some(name) = rtp_name(datagram)
            && self.rtp.insert(name, print).is_some_and(|before| before != print)
        {
            self.breaches.push(format!("SSRC {:#x} sequence number {} sealed two packets", name.0, name.1));
        }
        if let Some(name) = rtcp_name(datagram)
            && self.rtcp.insert(name, print).is_some_and(|before| before != print)
        {
            self.breaches.push(format!("RTCP sender {:#x} index {} sealed two packets", name.0, name.1));
        }
    }
}
