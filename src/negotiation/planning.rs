//! Writes the plan: the committed state as a shard carries it out.

use super::Negotiation;
use super::slots::Slot;
use super::unnamed;
use crate::ids::IceCredentials;
use crate::plan::{ChannelsPlan, DtlsPlan, EgressPlan, IngressPlan, PayloadPlan, SessionPlan, TransportPlan};
use crate::sdp::Ice;
use crate::session::dialect;

impl Negotiation {
    /// Gives the whole desired state of the session. Sections whose exchange is not complete are not in it,
    /// nor are data channels, whose names are not negotiation's.
    ///
    /// `ingress_offer` is empty until the client's first description.
    #[must_use]
    pub fn plan(&self) -> SessionPlan {
        let ingress_offer = self
            .transport
            .remote
            .as_ref()
            .map(|remote| self.ingress.print(self.origin.id, remote, self.transport.part, &self.slots));
        let ingress: Vec<IngressPlan> =
            self.slots.iter().filter_map(|slot| self.ingress_plan(slot)).collect();
        SessionPlan {
            transport: TransportPlan {
                generation: self.transport.generation,
                local: self.transport.local.clone(),
                remote: self.transport.remote.as_ref().map(|remote| credentials(&remote.ice)),
                ingress_offer: ingress_offer.unwrap_or_default().into(),
                agent: self.transport.agent,
                dtls: self.dtls_plan(),
                takes_media: !ingress.is_empty(),
            },
            ingress,
            egress: self.slots.iter().filter_map(egress_plan).collect(),
            channels: ChannelsPlan::default(),
        }
    }

    fn dtls_plan(&self) -> DtlsPlan {
        let fingerprints = self.transport.remote.as_ref().map(|remote| remote.fingerprints.decisive());
        DtlsPlan { part: self.transport.part, fingerprints: fingerprints.unwrap_or_default() }
    }

    fn told_by(&self, slot: &Slot) -> Vec<(u8, Option<u8>)> {
        let known = slot.payloads.iter().map(|payload| payload.pt).filter(|pt| self.ingress.knows(*pt));
        known.map(|pt| (pt, self.ingress.rtx_of(pt))).collect()
    }

    fn ingress_plan(&self, slot: &Slot) -> Option<IngressPlan> {
        let kind = slot.media_kind()?;
        if !slot.live() || !self.ingress.contains(&slot.mid) {
            return None;
        }
        let codecs = super::codecs::published(&slot.payloads, kind);
        Some(IngressPlan {
            mid: slot.mid.clone(),
            name: self.ingress.name_of(&slot.mid).to_owned(),
            kind,
            publication: slot.local,
            codecs: codecs
                .iter()
                .filter(|codec| self.ingress.knows(codec.pt))
                .map(|codec| PayloadPlan {
                    payload_type: codec.pt,
                    codec: codec.codec,
                    clock_rate: codec.clock_rate,
                })
                .collect(),
            rids: slot.layers(),
            layer_names: slot.told.rids.iter().map(|rid| dialect::layer_name(&rid.id)).collect(),
            extensions: slot.passed_extensions().collect(),
            told_by: if unnamed::is_unnamed(slot) { self.told_by(slot) } else { Vec::new() },
        })
    }
}

fn credentials(ice: &Ice) -> IceCredentials {
    IceCredentials { ufrag: ice.ufrag.clone(), pwd: ice.pwd.clone() }
}

fn egress_plan(slot: &Slot) -> Option<EgressPlan> {
    let (source, sender, payload_types) = slot.flow()?;
    let published = &source.media.extensions;
    let taken = slot.sent_extensions().filter(|(_, kind)| !kind.is_passed() || published.contains(kind));
    Some(EgressPlan {
        mid: slot.mid.clone(),
        kind: source.media.kind,
        publication: source.publication,
        origin: source.origin,
        ssrc: sender.ssrc,
        rtx_ssrc: sender.rtx_ssrc.filter(|_| payload_types.iter().any(|entry| entry.rtx.is_some())),
        // What was announced holds: a viewer of a stream keeps its name when the publisher is another one.
        cname: if slot.announced.is_some() { sender.cname.clone() } else { source.cname() },
        payload_types,
        extensions: taken.collect(),
        preference: source.preference.clone(),
    })
}
