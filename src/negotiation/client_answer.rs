//! Reads a client's answer to our offer into the slots.

use super::error::NegotiationError;
use super::media::AnswerSummary;
use super::slots::{Asks, Slot};
use super::transport::RemoteTransport;
use super::{Exchange, Negotiation, codecs, unnamed};
use crate::sdp::{Direction, Section, SessionDescription};

impl Negotiation {
    /// Takes the client's answer to our pending offer and completes the exchange.
    ///
    /// # Errors
    /// If no offer is pending, the text is bad, or its m-lines are not those of the offer.
    pub fn client_answer(&mut self, sdp: &str) -> Result<AnswerSummary, NegotiationError> {
        if !self.pending_offer() {
            return Err(NegotiationError::NoOfferPending);
        }
        let answer = SessionDescription::parse(sdp)?;
        let remote = RemoteTransport::of(&answer, self.transport.caller())?;
        self.check_answer(&answer)?;
        self.ingress.begin();
        let mut summary = AnswerSummary::default();
        for (index, section) in answer.sections.iter().enumerate() {
            self.take_answer(index, section, &mut summary);
        }
        for index in unnamed::part(&mut self.slots) {
            let Some(slot) = self.slots.get_mut(index) else { continue };
            slot.agreed = Direction::new(slot.agreed.sends(), false);
            slot.give_up();
            summary.rejected.push(slot.mid.clone());
        }
        if let Some(remote) = remote {
            let tag = self.tag(&answer.bundle);
            self.transport.take_answer(remote, &tag)?;
        }
        self.exchange = Exchange::Stable;
        Ok(summary)
    }

    /// Checks that the answer has the m-lines of the offer (RFC 8829 5.11).
    fn check_answer(&self, answer: &SessionDescription) -> Result<(), NegotiationError> {
        if answer.sections.len() != self.slots.len() {
            let (offered, answered) = (self.slots.len(), answer.sections.len());
            let problem = format!("the answer has {answered} m-lines, but the offer has {offered}");
            return Err(NegotiationError::Sections(problem));
        }
        for (index, (slot, section)) in self.slots.iter().zip(&answer.sections).enumerate() {
            // What is said of a refused section is of no interest, not even its mid.
            if !section.rejected
                && (!slot.live() || slot.mid != section.mid || slot.form.media != section.media)
            {
                let problem = format!(
                    "section {index} of the answer is {} with mid \"{}\", but {} with mid \"{}\"{} was offered",
                    section.media,
                    section.mid,
                    slot.form.media,
                    slot.mid,
                    if !slot.live() { ", stopped," } else { "" },
                );
                return Err(NegotiationError::Sections(problem));
            }
        }
        Ok(())
    }

    fn take_answer(&mut self, index: usize, section: &Section, summary: &mut AnswerSummary) {
        let Self { slots, ingress, extensions, payloads, .. } = self;
        let Some(slot) = slots.get_mut(index).filter(|slot| slot.live()) else { return };
        let proposed = slot.accept_proposal();
        if section.rejected {
            if slot.asks != Asks::Nothing || slot.local.is_some() || slot.egress.is_some() {
                summary.rejected.push(slot.mid.clone());
            }
            // Browsers refuse the whole section when they know none of its codecs.
            if proposed && (slot.egress.is_some() || slot.announced.is_some()) {
                summary.unplayable.push(slot.mid.clone());
            }
            slot.stop(None);
            ingress.stop(&slot.mid);
            return;
        }
        let Some(kind) = slot.media_kind() else {
            slot.told.message_bytes = section.max_message_size;
            ingress.open(&slot.mid, slot.kind);
            return;
        };
        slot.describe(section);
        // RFC 3264 6.1: the answer keeps some of our numbers, in the client's order of preference.
        let mut kept = codecs::acceptable(section, kind);
        kept.retain(|answer| slot.payloads.iter().any(|payload| payload.pt == answer.pt));
        let sends = section.direction.sends();
        if sends {
            payloads.learn(section, kind);
            kept = ingress.receivable(&kept, kind, |pt| payloads.rtx_of(pt));
        }
        slot.payloads = kept;
        slot.fit_layers();
        extensions.learn_answer(&slot.extmap, section);
        accept_extensions(slot, section);
        if sends {
            ingress.name(&mut slot.extmap);
        }
        let direction = slot.proposed();
        let (both, can_carry) = (section.direction.reversed(), !slot.payloads.is_empty());
        slot.agreed = Direction::new(
            direction.sends() && both.sends() && can_carry,
            direction.receives() && both.receives() && can_carry,
        );
        if slot.agreed.receives() {
            ingress.open(&slot.mid, slot.kind);
        }
        if proposed && refused(slot) {
            if slot.egress.is_some() && section.direction.receives() {
                summary.unplayable.push(slot.mid.clone());
            }
            slot.egress = None;
            slot.give_up();
            summary.rejected.push(slot.mid.clone());
        }
        slot.settle();
    }
}

/// Whether nothing of what we proposed in a section came about.
fn refused(slot: &Slot) -> bool {
    if slot.asks != Asks::Nothing {
        return !slot.agreed.receives();
    }
    slot.egress
        .as_ref()
        .is_some_and(|source| !slot.agreed.sends() || slot.payload_map(&source.media).is_empty())
}

/// Cuts our extensions down to what the answer keeps, and turns its restrictions into our view.
fn accept_extensions(slot: &mut Slot, section: &Section) {
    slot.extmap.retain_mut(|extmap| {
        let answer = section.extmap.iter().find(|answer| answer.uri == extmap.uri && answer.id == extmap.id);
        if let Some(answer) = answer {
            extmap.direction = answer.direction.map(Direction::reversed);
        }
        answer.is_some()
    });
}
