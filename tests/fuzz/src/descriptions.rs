//! Session descriptions of any contents: what negotiation takes is carried out by the shard.

use ringcast::negotiation::Negotiation;

use crate::Trace;
use crate::pieces::read;
use crate::world::{Stage, World};

/// Offers of a client. Each piece is one, whole.
pub(crate) fn offers(input: &[u8]) -> Trace {
    let mut world = World::begin(Stage::Sending);
    for piece in read(input) {
        let text = String::from_utf8_lossy(&piece.bytes).into_owned();
        let keys = std::sync::Arc::clone(&world.sim.keys);
        let shard = crate::world::SHARD;
        let negotiation = &mut world.sim.peer_mut(world.client).negotiation;
        if negotiation.client_offer(&text, &mut || keys.mint_ice(shard)).is_ok() {
            // What is offered is answered, and carried out as far as the engine takes it.
            let _answer = negotiation.answer();
            let _refused = world.sim.configure(world.client);
        }
        world.go_on(piece.kind);
    }
    world.end()
}

/// Answers of a client to an offer of ours.
pub(crate) fn answers(input: &[u8]) -> Trace {
    let mut world = World::begin(Stage::Sending);
    for piece in read(input) {
        let text = String::from_utf8_lossy(&piece.bytes).into_owned();
        let negotiation: &mut Negotiation = &mut world.sim.peer_mut(world.client).negotiation;
        let _offer = negotiation.create_offer();
        if negotiation.client_answer(&text).is_ok() {
            let _refused = world.sim.configure(world.client);
        } else {
            negotiation.rollback();
        }
        world.go_on(piece.kind);
    }
    world.end()
}
