//! Packets, moments and random numbers for the tests of this module.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::rtp::{Packet, PassedExtensions};

/// The one moment from which all test times are counted.
#[expect(clippy::disallowed_methods, reason = "an instant cannot be made without the clock")]
pub(super) fn base_instant() -> Instant {
    static BASE: OnceLock<Instant> = OnceLock::new();
    *BASE.get_or_init(Instant::now)
}

pub(super) fn at_ms(ms: u64) -> Instant {
    base_instant() + Duration::from_millis(ms)
}

/// A packet of payload type 96.
pub(super) fn packet(seq: u64, timestamp: u32, payload: &[u8]) -> Packet {
    Packet {
        seq,
        timestamp,
        marker: false,
        payload_type: 96,
        extensions: PassedExtensions::default(),
        payload: payload.into(),
        received_at: base_instant(),
        ecn: 0,
    }
}

/// A VP8 payload that starts a frame, with 15-bit picture id and TL0PICIDX (RFC 7741 4.2, 4.3); `tag` tells it from
/// others.
pub(super) fn vp8(keyframe: bool, picture_id: u16, tl0: u8, tag: u64) -> Vec<u8> {
    let [high, low] = picture_id.to_be_bytes();
    let mut payload = vec![0x90, 0xe0, high | 0x80, low, tl0, 0, u8::from(!keyframe), 0, 0];
    if keyframe {
        payload.extend([0x9d, 0x01, 0x2a]);
    }
    payload.extend(tag.to_be_bytes());
    payload
}

/// Marsaglia's xorshift: the same numbers for the same seed everywhere.
pub(super) struct Xorshift(u64);

impl Xorshift {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }

    pub(super) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap()
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}
