//! Turns slots into the sections of our descriptions.

use super::slots::{Maker, Slot};
use super::transport::Caller;
use super::{MESSAGE_BYTES_MAX, Negotiation, SCTP_PORT};
use crate::plan::DtlsPart;
use crate::sdp::{
    Direction, Fingerprint, Ice, Msid, Payload, Rid, RidDirection, Section, SectionKind, SessionDescription,
    Setup, Simulcast, SsrcGroup, SsrcSource, Transport,
};

/// Which side of the exchange we are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Offer,
    Answer,
}

impl Negotiation {
    /// Prints all slots as one description.
    pub(super) fn describe(&mut self, role: Role, bundle: Vec<String>, extmap_allow_mixed: bool) -> String {
        self.origin.version += 1;
        // RFC 8842 5.2, 5.3: offers leave the role open, answers do not.
        let setup = match role {
            Role::Offer => Setup::ActPass,
            Role::Answer => match self.transport.part {
                DtlsPart::Begins(_) => Setup::Active,
                DtlsPart::Waits => Setup::Passive,
            },
        };
        let sections = self.slots.iter().map(|slot| {
            if !slot.live() {
                return stopped(slot);
            }
            let mut section = match slot.kind {
                SectionKind::Application => application(slot),
                _ => media(slot, role),
            };
            // The tagged section speaks for its group (RFC 9143 7.1.3), yet clients exist that take the candidates of
            // the last section of a transport for all of them; repeating them does no harm.
            section.candidates.clone_from(&self.local.candidates);
            section.extmap_allow_mixed =
                slot.told.takes_mixed && !extmap_allow_mixed && slot.media_kind().is_some();
            section.end_of_candidates = true;
            section.transport = Transport {
                ice: Some(Ice {
                    ufrag: self.transport.local.ufrag.clone(),
                    pwd: self.transport.local.pwd.clone(),
                }),
                fingerprints: Vec::new(),
                setup: Some(setup),
            };
            section
        });
        let description = SessionDescription {
            origin: self.origin,
            author: None,
            bundle,
            ice_lite: self.transport.caller() == Caller::Client,
            extmap_allow_mixed,
            transport: Transport {
                fingerprints: self.fingerprint().into_iter().collect(),
                ..Transport::default()
            },
            sections: sections.collect(),
        };
        description.to_string()
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        let (hash, value) = self.local.fingerprint.split_once(' ')?;
        Some(Fingerprint { hash: hash.to_owned(), value: value.to_owned() })
    }
}

fn blank(slot: &Slot) -> Section {
    let mut section = Section::new(slot.kind, slot.mid.clone());
    section.media.clone_from(&slot.form.media);
    section.protocol.clone_from(&slot.form.protocol);
    section.direction = Direction::Inactive;
    section
}

fn stopped(slot: &Slot) -> Section {
    let mut section = blank(slot);
    section.rejected = true;
    if slot.media_kind().is_none() {
        section.formats.clone_from(&slot.form.formats);
    }
    // RFC 3264 6: at least one format must stand there; it means nothing.
    section
        .payloads
        .extend(slot.payloads.first().cloned().map(|payload| Payload { rtcp_fb: Vec::new(), ..payload }));
    section
}

fn application(slot: &Slot) -> Section {
    let mut section = blank(slot);
    section.formats.clone_from(&slot.form.formats);
    section.sctp_port = Some(SCTP_PORT);
    section.max_message_size = Some(MESSAGE_BYTES_MAX);
    section
}

fn media(slot: &Slot, role: Role) -> Section {
    let mut section = blank(slot);
    section.direction = match role {
        Role::Offer => slot.proposed(),
        Role::Answer => slot.answered(),
    };
    section.rtcp_mux = true;
    section.rtcp_rsize = slot.told.rtcp_rsize || (role == Role::Offer && slot.maker != Maker::Client);
    section.payloads.clone_from(&slot.payloads);
    section.extmap.clone_from(&slot.extmap);
    // Also while nothing of it is received: a client whose layers are not repeated gives them up for good.
    if slot.client.sends() {
        let recv = |rid: &Rid| Rid { direction: RidDirection::Recv, ..rid.clone() };
        section.rids = slot.told.rids.iter().map(recv).collect();
        section.simulcast = (!slot.told.simulcast.is_empty())
            .then(|| Simulcast { send: Vec::new(), recv: slot.told.simulcast.clone() });
    }
    if section.direction.sends() {
        announce(slot, &mut section);
    }
    section
}

/// Announces under which sources we send. Native clients find the stream by them.
fn announce(slot: &Slot, section: &mut Section) {
    let Some(sender) = slot.sender() else { return };
    section.msid = Some(sender.msid.clone());
    let source = |ssrc: u32| {
        let msid = Msid { stream: sender.msid.stream.clone(), track: sender.msid.track.clone() };
        SsrcSource { ssrc, cname: Some(sender.cname.clone()), msid: Some(msid) }
    };
    section.ssrcs.push(source(sender.ssrc));
    let has_rtx = slot.payloads.iter().any(|payload| payload.rtx_for().is_some());
    if let Some(rtx_ssrc) = sender.rtx_ssrc.filter(|_| has_rtx) {
        // RFC 5576 4.2: flow identification joins a source and its retransmissions.
        section
            .ssrc_groups
            .push(SsrcGroup { semantics: "FID".to_owned(), ssrcs: vec![sender.ssrc, rtx_ssrc] });
        section.ssrcs.push(source(rtx_ssrc));
    }
}
