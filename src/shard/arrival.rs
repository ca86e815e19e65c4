//! Datagrams of clients: to their session, or to the shard that has it.
//!
//! A datagram comes from a socket of this shard or, where all shards receive on one port, from the shard that the kernel
//! gave it to. A check names its owner; everything else goes by its source, which the owner has made known once a check
//! has proven it. So strangers make no state here either. A datagram is handed over once at most, but for a check from an
//! address that a third shard has: that shard alone knows whether it is held, so the check goes by way of it.

use std::time::Instant;

use super::addresses::{Landing, Source};
use super::backlog::Waiting;
use super::demux::{Protocol, protocol_of};
use super::handover::Note;
use super::sessions::SessionKey;
use super::{DATAGRAM_BYTES_MAX, Shard};
use crate::drop::DropReason;
use crate::ids::ShardId;
use crate::net::{CONGESTION_EXPERIENCED, Datagram, Outbox};
use crate::session::{Binding, Incoming, SessionOutput, answer_for, binding_request};

/// How one datagram came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) source: Source,
    /// The congestion bits of its IP header.
    ecn: u8,
    /// When the kernel took it from the network.
    pub(super) at: Instant,
    /// What the shard says that handed it over.
    note: Option<Note>,
    /// Whether it has waited behind media for its turn.
    pub(super) has_waited: bool,
}

impl Arrival {
    /// The same, when it has waited.
    pub(super) fn after_waiting(self) -> Self {
        Self { has_waited: true, ..self }
    }

    /// Lets packets keep the congestion bits of the datagram that they came in: to a session it has no IP header.
    pub(super) fn mark(&self, out: &mut SessionOutput) {
        out.packets.iter_mut().for_each(|one| one.packet.ecn = self.ecn);
    }
}

impl Shard {
    /// Takes one datagram that arrived on a socket.
    pub fn handle_datagram(&mut self, now: Instant, datagram: Datagram<'_>, outbox: &mut Outbox) {
        let Datagram { socket, source, payload, ecn, arrived: at } = datagram;
        self.ledger.counters.datagrams_in += 1;
        self.ledger.counters.bytes_in += payload.len() as u64;
        self.ledger.counters.congestion_marks += u64::from(ecn == CONGESTION_EXPERIENCED);
        let source = Source { socket, address: source };
        self.take(
            now,
            source,
            |source| Arrival { source, ecn, at, note: None, has_waited: false },
            payload,
            outbox,
        );
    }

    /// Takes what came to other shards but belongs to this one, at most `budget` datagrams.
    pub fn handle_handed_over(&mut self, now: Instant, budget: usize, outbox: &mut Outbox) {
        for _ in 0..budget {
            let Some((from, parcel)) = self.handover.receive() else { return };
            let Datagram { socket, source, payload, ecn, arrived: at } = parcel.datagram();
            let source = Source { socket, address: source };
            let note = parcel.note();
            let arrival = |source| Arrival { source, ecn, at, note: Some(note), has_waited: false };
            self.take(now, source, arrival, payload, outbox);
            self.handover.give_back(from, parcel);
        }
    }

    /// Takes one datagram that has waited behind media.
    pub(super) fn handle_waiting(&mut self, now: Instant, outbox: &mut Outbox) {
        if let Some(Waiting { arrival, contents, .. }) = self.next_waiting() {
            self.take(now, arrival.source, |_| arrival, &contents, outbox);
        }
    }

    // The compiler sees two callers and makes it a call, with all registers saved twice per datagram. What is told of an
    // arrival is put together where somebody takes it: strangers are turned away for less.
    #[inline(always)]
    fn take(
        &mut self,
        now: Instant,
        source: Source,
        arrival: impl Fn(Source) -> Arrival,
        datagram: &[u8],
        outbox: &mut Outbox,
    ) {
        let taken = if datagram.is_empty() || datagram.len() > DATAGRAM_BYTES_MAX {
            Err(DropReason::Size)
        } else {
            match protocol_of(datagram) {
                Some(_) if source.socket.is_dialled() => {
                    self.handle_dialled(now, &arrival(source), datagram, outbox)
                }
                None => Err(DropReason::UnknownProtocol),
                Some(Protocol::Stun) => self.handle_check(now, &arrival(source), datagram, outbox),
                // Only from an address that a check has proven.
                Some(Protocol::Dtls | Protocol::Rtp) => match self.addresses.session_at(&source) {
                    Some(key) => self.handle_known(now, key, &arrival(source), datagram, outbox),
                    None => match self.addresses.owner_elsewhere(&source) {
                        Some(owner) => {
                            let landing = Landing { shard: self.id, number: 0 };
                            let note = Note { landing, is_held: Some(false) };
                            self.hand_over(owner, &arrival(source), note, datagram, DropReason::UnknownSource)
                        }
                        None => Err(DropReason::UnknownSource),
                    },
                },
            }
        };
        if let Err(reason) = taken {
            self.ledger.drop(reason);
        }
    }

    /// A connectivity check, by its user name, or the answer to one of ours.
    #[inline(never)]
    fn handle_check(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        datagram: &[u8],
        outbox: &mut Outbox,
    ) -> Result<(), DropReason> {
        if let Some(asked) = answer_for(datagram) {
            return self.handle_answer(now, asked, arrival, datagram, outbox);
        }
        let (_, ufrag) = binding_request(datagram).ok_or(DropReason::BadStun)?;
        let named = self.addresses.session_named(ufrag);
        let owner = match named {
            Some(_) => self.id,
            None => self.keys.owner_of_ufrag(ufrag).map_err(|_| DropReason::ForeignUfrag)?,
        };
        if named.is_none() && owner == self.id {
            return Err(DropReason::UnknownUfrag);
        }
        let source = arrival.source;
        let landing = arrival.note.map_or_else(|| self.addresses.land(), |note| note.landing);
        let holder = self.addresses.owner_elsewhere(&source).filter(|holder| *holder != owner);
        if let Some(holder) = holder.filter(|_| arrival.note.is_none()) {
            let note = Note { landing, is_held: None };
            return self.hand_over(holder, arrival, note, datagram, DropReason::ForeignUfrag);
        }
        let is_held = arrival.note.and_then(|note| note.is_held).unwrap_or_default()
            || self.is_held(source, named, now);
        let Some(key) = named else {
            let note = Note { landing, is_held: Some(is_held) };
            return self.hand_over(owner, arrival, note, datagram, DropReason::ForeignUfrag);
        };
        if self.puts_off(key, arrival, datagram)? {
            return Ok(());
        }
        let path = self.addresses.path_of(source).ok_or(DropReason::UnknownSource)?;
        if is_held {
            self.with_session(now, key, outbox, |session, setup, out| {
                session.handle_claim(path, datagram, setup, now, out)
            })?;
            self.addresses.claim(source, key);
            return Err(DropReason::HeldAddress);
        }
        let binding = self.with_session(now, key, outbox, |session, setup, out| {
            session.handle_binding(path, datagram, setup, now, out)
        })?;
        self.bind(key, source, landing, binding);
        Ok(())
    }

    /// The answer to a check of ours: only from an address that a session has.
    fn handle_answer(
        &mut self,
        now: Instant,
        asked: ShardId,
        arrival: &Arrival,
        datagram: &[u8],
        outbox: &mut Outbox,
    ) -> Result<(), DropReason> {
        let source = arrival.source;
        let landing = arrival.note.map_or_else(|| self.addresses.land(), |note| note.landing);
        if asked != self.id {
            // What strangers send is not handed over.
            if !self.addresses.is_known(&source) {
                return Err(DropReason::UnknownSource);
            }
            let note = Note { landing, is_held: Some(false) };
            return self.hand_over(asked, arrival, note, datagram, DropReason::BadStun);
        }
        let path = self.addresses.path_of(source).ok_or(DropReason::UnknownSource)?;
        for key in self.addresses.asking_at(&source) {
            let taken = self
                .with_session(now, key, outbox, |session, _, _| session.handle_answer(path, datagram, now));
            if let Ok(binding) = taken {
                self.bind(key, source, landing, binding);
                return Ok(());
            }
        }
        Err(DropReason::BadStun)
    }

    /// Whether another session of this shard than the one that a check is for holds its address.
    fn is_held(&self, source: Source, session: Option<SessionKey>, now: Instant) -> bool {
        let holder = self.addresses.session_at(&source).filter(|holder| Some(*holder) != session);
        let slot = holder.and_then(|holder| self.sessions.get(holder));
        slot.zip(self.addresses.path_of(source)).is_some_and(|(slot, path)| slot.session.holds(path, now))
    }

    /// Makes an address that of the session which has proven it.
    fn bind(&mut self, key: SessionKey, source: Source, landing: Landing, binding: Binding) {
        if let Some(had) = self.addresses.prove(source, key, landing) {
            self.take_path(source, had);
        }
        if let Binding::New { evicted: Some(evicted) } = binding {
            self.addresses.release(evicted, key);
        }
        self.sessions.arm(key);
    }

    /// Has a session send nothing more to an address that another one has proven.
    pub(super) fn take_path(&mut self, source: Source, session: SessionKey) {
        let path = self.addresses.path_of(source);
        if let (Some(slot), Some(path)) = (self.sessions.get_mut(session), path) {
            slot.session.forget_path(path);
        }
    }

    /// DTLS, SRTP or SRTCP of a session's client.
    #[inline(never)]
    fn handle_known(
        &mut self,
        now: Instant,
        key: SessionKey,
        arrival: &Arrival,
        datagram: &[u8],
        outbox: &mut Outbox,
    ) -> Result<(), DropReason> {
        if self.puts_off(key, arrival, datagram)? {
            return Ok(());
        }
        let path = self.addresses.path_of(arrival.source).ok_or(DropReason::UnknownSource)?;
        let incoming = Incoming { path, contents: datagram, arrived: arrival.at };
        let taken = self.with_session(now, key, outbox, |session, setup, out| {
            session.handle_datagram(incoming, setup, now, out)?;
            arrival.mark(out);
            Ok(())
        });
        self.sessions.arm(key);
        taken
    }

    /// Brings a datagram to another shard, unless it has been handed over already and is not to be handed on, each shard has
    /// its own port, or it came by a connection, which belongs to one shard for good.
    #[inline(never)]
    fn hand_over(
        &mut self,
        to: ShardId,
        arrival: &Arrival,
        note: Note,
        datagram: &[u8],
        otherwise: DropReason,
    ) -> Result<(), DropReason> {
        let Arrival { source: Source { socket, address }, ecn, at: arrived, note: came_with, .. } = *arrival;
        let may_go_on = came_with.is_none_or(|came_with| came_with.is_held.is_none());
        if !may_go_on || !self.addresses.is_shared(socket) {
            return Err(otherwise);
        }
        let parcel = Datagram { socket, source: address, payload: datagram, ecn, arrived };
        if !self.handover.send(to, parcel, note) {
            return Err(DropReason::HandoverFull);
        }
        self.ledger.counters.handed_over += 1;
        Ok(())
    }
}
