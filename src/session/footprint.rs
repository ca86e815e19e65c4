//! Where in memory that lies which one stream of a session needs for a batch.
//!
//! Between two batches most of it leaves the processor's caches, and to wait for each piece at the moment when it is needed
//! takes a good part of what a packet costs. Whoever remembers where it lay last time can have all of it fetched while the
//! batch of somebody else is worked on. These are addresses and no references: what has moved or gone meanwhile is fetched
//! in vain, and nothing else comes of it.

use std::ptr;

use super::egress::EgressStream;
use super::route::Route;
use super::sender::Sender;
use super::transports::Transports;
use crate::srtp::SrtpSender;

/// The addresses; 0 for what is not there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Footprint {
    pub(super) stream: usize,
    /// The list that the stream is in.
    pub(super) streams: usize,
    pub(super) transports: usize,
    pub(super) sender: usize,
    pub(super) route: usize,
    pub(super) keys: usize,
}

impl Footprint {
    /// Address and bytes of each place.
    #[inline]
    pub fn places(&self) -> [(usize, usize); 6] {
        [
            (self.stream, size_of::<EgressStream>()),
            (self.streams, size_of::<Vec<EgressStream>>()),
            (self.transports, size_of::<Transports>()),
            (self.sender, size_of::<Sender>()),
            (self.route, size_of::<Route>()),
            (self.keys, size_of::<SrtpSender>()),
        ]
    }
}

/// Where a value lies.
#[inline]
pub(super) fn address<T>(value: &T) -> usize {
    ptr::from_ref(value).addr()
}
