//! Prints our answer, and our offer.

use std::collections::BTreeSet;

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
            slot.agreed = slot.answered();
            slot.settle();
            if slot.agreed.receives() || slot.kind == SectionKind::Application {
                self.ingress.open(&slot.mid, slot.kind);
            }
        }
        let live: BTreeSet<&str> =
            self.slots.iter().filter(|slot| slot.live()).map(|slot| slot.mid.as_str()).collect();
        // RFC 9143 7.3.1: the answerer keeps the order, so that both sides see the same tag.
        let bundle = group.into_iter().filter(|mid| live.contains(mid.as_str())).collect();
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
