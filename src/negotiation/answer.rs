//! Prints our answer, and our offer.

use super::describe::Role;
use super::slots::Slot;
use super::{Exchange, Negotiation};
use crate::sdp::SectionKind;

impl Negotiation {
    /// Prints the answer to the client's offer and completes the exchange: what is bound flows.
    pub fn answer(&mut self) -> String {
        let (group, allow_mixed) = match std::mem::replace(&mut self.exchange, Exchange::Stable) {
            Exchange::Answering { bundle, allow_mixed } => (bundle, allow_mixed),
            Exchange::Stable | Exchange::Offering => (Vec::new(), true),
        };
        self.mint_senders(Slot::answered);
        for slot in self.slots.iter_mut().filter(|slot| slot.live()) {
            let direction = slot.answered();
            slot.sends = direction.sends();
            slot.receives = direction.receives();
            slot.settle();
            if slot.receives || slot.kind == SectionKind::Application {
                self.ingress.open(&slot.mid, slot.kind);
            }
        }
        let live = |mid: &String| self.slot(mid).is_some_and(Slot::live);
        // RFC 9143 7.3.1: the answerer keeps the order, so that both sides see the same tag.
        let bundle = group.into_iter().filter(live).collect();
        self.describe(Role::Answer, bundle, allow_mixed)
    }

    /// Prints our offer. It is pending until it is answered or rolled back.
    pub fn create_offer(&mut self) -> String {
        self.exchange = Exchange::Offering;
        self.mint_senders(Slot::proposed);
        let live = self.slots.iter().filter(|slot| slot.live());
        let bundle = live.map(|slot| slot.mid.clone()).collect();
        self.describe(Role::Offer, bundle, true)
    }
}
