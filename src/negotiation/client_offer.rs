//! Reads a client's offer into the slots.

use std::collections::BTreeSet;

use super::browsers;
use super::codecs;
use super::error::{BindError, NegotiationError};
use super::extensions::ExtensionTable;
use super::limits;
use super::media::{EndedSlot, OfferSummary, SectionSummary};
use super::slots::{self, Slot};
use super::transport::{Caller, RemoteTransport};
use super::{Exchange, Negotiation, media_kind, unnamed};
use crate::ids::IceCredentials;
use crate::plan::{DtlsPart, SrtpOffer};
use crate::sdp::{Section, SectionKind, SessionDescription};

impl Negotiation {
    /// Takes a client's offer; [`Negotiation::answer`] completes it. An offer of ours that waits for its answer
    /// is rolled back first.
    ///
    /// # Errors
    /// If the text is bad, or does not fit what was agreed.
    pub fn client_offer(
        &mut self,
        sdp: &str,
        mint: &mut dyn FnMut() -> IceCredentials,
    ) -> Result<OfferSummary, NegotiationError> {
        let offer = SessionDescription::parse(sdp)?;
        let remote = RemoteTransport::of(&offer, self.transport.caller())?;
        let ended = slots::roll_back(&mut self.slots);
        let mut summary = OfferSummary { ended, ..OfferSummary::default() };
        self.check_offer(&offer)?;
        self.ingress.begin();
        self.learn(&offer);
        let mut are_new = Vec::with_capacity(offer.sections.len());
        let group: BTreeSet<&str> = offer.bundle.iter().map(String::as_str).collect();
        // Without a group the first section is alone on its transport.
        let alone = offer.sections.iter().position(|section| !section.rejected).filter(|_| group.is_empty());
        for (index, section) in offer.sections.iter().enumerate() {
            let is_bundled = group.contains(section.mid.as_str()) || alone == Some(index);
            are_new.push(self.take_section(index, section, is_bundled, &mut summary.ended));
        }
        for index in unnamed::part(&mut self.slots) {
            let Some(slot) = self.slots.get_mut(index) else { continue };
            summary.ended.extend(slot.stop(Some(BindError::Unnamed)));
            self.ingress.stop(&slot.mid);
        }
        for (index, is_new) in are_new.into_iter().enumerate() {
            self.summarise(index, is_new, &mut summary);
        }
        if let Some(remote) = remote {
            let tag = self.tag(&offer.bundle);
            let preferred = self.preferred_part(&offer);
            self.transport.take_offer(remote, preferred, &tag, mint)?;
        }
        self.exchange = Exchange::Answering { bundle: offer.bundle, allow_mixed: offer.extmap_allow_mixed };
        Ok(summary)
    }

    /// Our part in the DTLS handshake where an offer leaves it to us.
    fn preferred_part(&self, offer: &SessionDescription) -> DtlsPart {
        match self.transport.caller() {
            Caller::Client if self.local.begins_dtls && browsers::know_gcm(offer) => {
                DtlsPart::Begins(SrtpOffer::Gcm)
            }
            Caller::Client => DtlsPart::Waits,
            // RFC 5763 5: who answers had better begin, and a server that waits for checks waits for the handshake as well.
            Caller::Us => DtlsPart::Begins(SrtpOffer::All),
        }
    }

    /// Gives the mid that tags the transport: the first of the group whose section is live.
    pub(super) fn tag(&self, bundle: &[String]) -> String {
        let live = |mid: &&String| self.slot(mid).is_some_and(Slot::live);
        let first = bundle.iter().find(live).cloned();
        first
            .or_else(|| self.slots.iter().find(|slot| slot.live()).map(|slot| slot.mid.clone()))
            .unwrap_or_default()
    }

    /// Checks the m-lines against the agreed ones (RFC 8829 5.10).
    fn check_offer(&self, offer: &SessionDescription) -> Result<(), NegotiationError> {
        let sections = &offer.sections;
        if sections.len() < self.slots.len() {
            let (agreed, offered) = (self.slots.len(), sections.len());
            let problem = format!("the offer has {offered} m-lines, but {agreed} are agreed");
            return Err(NegotiationError::Sections(problem));
        }
        limits::check_mids(sections)?;
        for (index, (slot, section)) in self.slots.iter().zip(sections).enumerate() {
            let same = slot.mid == section.mid && slot.form.media == section.media;
            if slot.live() && !same {
                let problem = format!(
                    "section {index} is {} with mid \"{}\", but {} with mid \"{}\" is agreed and not stopped",
                    section.media, section.mid, slot.form.media, slot.mid
                );
                return Err(NegotiationError::Sections(problem));
            }
        }
        Ok(())
    }

    /// Learns numbers and names before any section is negotiated, so that the order of sections plays no part.
    fn learn(&mut self, offer: &SessionDescription) {
        for section in &offer.sections {
            self.see_mid(&section.mid);
            if let Some(kind) = media_kind(section.kind).filter(|_| !section.rejected) {
                self.payloads.learn(section, kind);
                self.extensions.learn_offer(section, kind);
            }
        }
    }

    /// Brings one slot to what the offer says. Tells whether the section is new.
    fn take_section(
        &mut self,
        index: usize,
        section: &Section,
        is_bundled: bool,
        ended: &mut Vec<EndedSlot>,
    ) -> bool {
        let known = self.slots.get(index).is_some_and(Slot::live);
        if !known {
            let slot = Slot::offered_by_client(section);
            match self.slots.get_mut(index) {
                // RFC 8829 5.2.2: a stopped line may come back under another mid.
                Some(stopped) => *stopped = slot,
                None => self.slots.push(slot),
            }
        }
        let Self { slots, ingress, payloads, .. } = self;
        let Some(slot) = slots.get_mut(index) else { return false };
        let refusal = if section.rejected { None } else { limits::refusal(section, is_bundled) };
        if section.rejected || !slot.live() || refusal.is_some() {
            ended.extend(slot.stop(refusal));
            ingress.stop(&slot.mid);
            return false;
        }
        slot.describe(section);
        if let Some(kind) = media_kind(section.kind) {
            slot.payloads = codecs::acceptable(section, kind);
            slot.extmap = ExtensionTable::accept(section, kind);
            if section.direction.sends() || ingress.contains(&slot.mid) {
                slot.payloads = ingress.receivable(&slot.payloads, kind, |pt| payloads.rtx_of(pt));
                ingress.name(&mut slot.extmap);
            }
            slot.fit_layers();
            if slot.payloads.is_empty() {
                // RFC 3264 6: without a common format the section is refused.
                ended.extend(slot.stop(Some(BindError::UnknownCodecs)));
                ingress.stop(&slot.mid);
            }
        }
        !known && slot.live()
    }

    fn summarise(&self, index: usize, is_new: bool, summary: &mut OfferSummary) {
        let Some(slot) = self.slots.get(index).filter(|slot| slot.live()) else { return };
        summary.has_application |= slot.kind == SectionKind::Application;
        let Some(kind) = slot.media_kind() else { return };
        summary.sections.push(SectionSummary {
            mid: slot.mid.clone(),
            kind,
            sends: slot.client.sends(),
            receives: slot.client.receives(),
            is_new,
            rids: slot.layers(),
            local: slot.local,
        });
    }
}
