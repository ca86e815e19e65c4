//! Who receives which packet, and rewritten how: publications, their caches, subscriptions.
//!
//! A [`Publication`](publication::Publication) takes the packets of one track, layer by layer, closes the gaps that
//! padding leaves, keeps what may be asked for again, and decides when its publisher is asked for a keyframe. A
//! [`Subscription`](subscription::Subscription) is the few numbers that turn those packets into one client's stream.
//!
//! The module owns no table of sessions and knows neither sockets nor engines nor clocks: whoever feeds a publication
//! (a session of this shard, a lane from another one) and whoever takes what a subscription forwards stays outside.
//! Packets come from `session` by way of the shard, and go back by way of the shard to the egress of other sessions.
//!
//! Bounds: [`LAYERS_MAX`] layers per publication; the cache of a layer is bounded by count, age and bytes (see
//! [`resend`]); a subscription remembers [`segment::HISTORY`] past segments. All loops are over these.
//!
//! # Why no sequence number is ever used twice
//!
//! SRTP with AES-GCM is broken by two different packets under one (key, SSRC, index) (RFC 7714 8.1), so the way from
//! packet to index is injective at each of its two steps:
//!
//! ```text
//! publisher's sequence --[numbering]--> number of the layer --[segment]--> 48-bit index of the subscription
//! ```
//!
//! 1. [`numbering`] gives each sequence number of a layer at most one number and never the same to two; numbers only
//!    rise over the life of the layer, across changes of its source as well. A second packet with the same sequence
//!    number is refused there, before any subscription sees it.
//! 2. A [`segment`] maps numbers to indices by adding a constant, so two numbers of one segment never meet. A segment
//!    starts at the first index that no earlier segment has handed out or kept back, and an ended segment maps nothing
//!    at or beyond the start of its successor; so the ranges of two segments never meet either.
//!
//! The header that goes with an index is a function of packet, segment and payload types, so sending again repeats it.
//! When the payload types or the keys change, a floor is set below which no index is used any more. New keys alone may
//! bring indices back ([`Subscription::rebase`](subscription::Subscription::rebase)). What the module cannot see is
//! the rest of the header: whoever seals must not write a number of its own (transport-wide sequence numbers) into a
//! packet that it sends a second time under the same SSRC.

pub mod allocation;
pub mod channel;
pub mod keyframe;
pub mod layer;
pub mod numbering;
pub mod publication;
pub mod recent;
pub mod resend;
pub mod segment;
pub mod selection;
pub mod subscription;
mod timing;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod random_tests;

/// Most layers that one publication may have.
pub const LAYERS_MAX: usize = 8;

/// One layer of a publication: its place, given where the publication is fed and the same on every shard. A place that is
/// freed may be given to another layer, with a later source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayerIndex(u8);

impl LayerIndex {
    /// Returns the position in the order of layers.
    pub const fn position(self) -> usize {
        self.0 as usize
    }

    /// Returns the layer at `position`, when a publication may have one there.
    pub fn at(position: usize) -> Option<Self> {
        u8::try_from(position).ok().filter(|_| position < LAYERS_MAX).map(Self)
    }
}

/// A set of layers of one publication.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LayerSet(u8);

const _: () = assert!(LAYERS_MAX <= u8::BITS as usize, "a layer set has one bit per layer");

impl LayerSet {
    /// Adds a layer.
    pub fn insert(&mut self, layer: LayerIndex) {
        self.0 |= 1 << layer.0;
    }

    /// Takes a layer out.
    pub fn remove(&mut self, layer: LayerIndex) {
        self.0 &= !(1 << layer.0);
    }

    /// Returns whether the layer is in the set.
    pub fn contains(self, layer: LayerIndex) -> bool {
        self.0 & (1 << layer.0) != 0
    }

    /// Returns whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl IntoIterator for LayerSet {
    type Item = LayerIndex;
    type IntoIter = LayerSetIter;

    fn into_iter(self) -> LayerSetIter {
        LayerSetIter(self.0)
    }
}

/// Iterates over a [`LayerSet`] in the order of layers.
#[derive(Debug, Clone)]
pub struct LayerSetIter(u8);

impl Iterator for LayerSetIter {
    type Item = LayerIndex;

    fn next(&mut self) -> Option<LayerIndex> {
        let layer = u8::try_from(self.0.trailing_zeros()).ok().filter(|_| self.0 != 0)?;
        self.0 &= self.0 - 1;
        Some(LayerIndex(layer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layer_set_gives_its_layers_in_order_and_once() {
        let mut set = LayerSet::default();
        assert!(set.is_empty());
        for position in [7, 0, 3, 7] {
            set.insert(LayerIndex::at(position).unwrap());
        }
        assert_eq!(set.into_iter().map(LayerIndex::position).collect::<Vec<_>>(), [0, 3, 7]);
        assert!(set.contains(LayerIndex(3)) && !set.contains(LayerIndex(4)));
        assert_eq!(LayerIndex::at(LAYERS_MAX), None);
    }
}
