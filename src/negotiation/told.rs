//! What the client says of a section besides what it carries in which direction: its layers, its sources, and what it takes.
//!
//! Bounded by the description that it came in.

use crate::sdp::{
    Payload, Rid, RidDirection, Section, SimulcastLayer, SsrcGroup, SsrcSource, fmtp_parameter,
};
use crate::session::dialect;

/// What the client last said.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// Largest data channel message that it takes (RFC 8841 6.1), when it says so.
    pub(super) message_bytes: Option<u64>,
    /// Whether it takes extensions of the one-byte and of the two-byte form in one stream.
    pub(super) takes_mixed: bool,
    pub(super) rtcp_rsize: bool,
    /// Layers that it sends, in its order, as it wrote them.
    pub(super) rids: Vec<Rid>,
    /// The layers of its `a=simulcast` line: in its order, with its alternatives, paused or not.
    pub(super) simulcast: Vec<Vec<SimulcastLayer>>,
    /// Sources that it announced.
    pub(super) ssrcs: Vec<SsrcSource>,
    pub(super) ssrc_groups: Vec<SsrcGroup>,
}

impl Told {
    /// Takes over what a live section says; the size of messages is that of the first, and of answers.
    pub(super) fn describe(&mut self, section: &Section) {
        self.rtcp_rsize = section.rtcp_rsize;
        self.takes_mixed = section.extmap_allow_mixed;
        self.ssrcs.clone_from(&section.ssrcs);
        self.ssrc_groups.clone_from(&section.ssrc_groups);
        self.rids.clear();
        for rid in section.rids.iter().filter(|rid| rid.direction == RidDirection::Send) {
            // A layer that the engine cannot tell from another is not taken, so it is not sent either.
            let name = dialect::layer_name(&rid.id);
            if dialect::is_layer(&rid.id)
                && !self.rids.iter().any(|known| dialect::layer_name(&known.id) == name)
            {
                self.rids.push(rid.clone());
            }
        }
        self.simulcast.clear();
        if let Some(simulcast) = &section.simulcast {
            self.describe_layers(&simulcast.send);
        }
    }

    /// Takes over the layers of a simulcast, which then decide which rids there are, and in which order.
    fn describe_layers(&mut self, layers: &[Vec<SimulcastLayer>]) {
        let mut named: Vec<Rid> = Vec::new();
        for alternatives in layers {
            let mut kept = Vec::new();
            for layer in alternatives {
                let line = self.rids.iter().find(|rid| rid.id == layer.rid);
                // RFC 8853 5.1: each stands once, and has a rid line.
                if let Some(line) = line.filter(|line| !named.iter().any(|known| known.id == line.id)) {
                    named.push(line.clone());
                    kept.push(layer.clone());
                }
            }
            if !kept.is_empty() {
                self.simulcast.push(kept);
            }
        }
        if !named.is_empty() {
            self.rids = named;
        }
    }

    /// Cuts the layers down to those that these payload types can carry, and to none where packets cannot tell theirs.
    pub(super) fn fit_layers(&mut self, payloads: &[Payload], are_told: bool) {
        if !are_told {
            self.rids.clear();
        }
        let Self { rids, simulcast, .. } = self;
        rids.retain_mut(|rid| {
            let Some(restrictions) = &rid.restrictions else { return true };
            let Some(list) = fmtp_parameter(restrictions, "pt") else { return true };
            let is_agreed =
                |pt: &&str| pt.parse().is_ok_and(|pt: u8| payloads.iter().any(|known| known.pt == pt));
            let kept = list.split(',').filter(is_agreed).collect::<Vec<_>>().join(",");
            let is_left = !kept.is_empty();
            rid.restrictions = Some(restrictions.replacen(list, &kept, 1));
            is_left
        });
        for alternatives in simulcast.iter_mut() {
            alternatives.retain(|layer| rids.iter().any(|rid| rid.id == layer.rid));
        }
        simulcast.retain(|alternatives| !alternatives.is_empty());
    }
}
