//! The m-lines of a session. Their order is sacred (RFC 8829 5.2.2): a line never moves and never goes away, it
//! only stops, and a stopped line may be taken over by a new section.

use super::media::{EndedSlot, PublishedMedia, RemoteSource, SectionState};
use super::{codecs, media_kind};
use crate::ids::PublicationId;
use crate::plan::{PayloadForm, PayloadMap};
use crate::rtp::{Codec, ExtensionKind, MediaKind};
use crate::sdp::{
    Direction, Extmap, Msid, Payload, RidDirection, Section, SectionKind, SsrcGroup, SsrcSource,
};

/// One m-line.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) mid: String,
    pub(super) kind: SectionKind,
    /// Media type, protocol and formats as the client wrote them, for lines that are echoed.
    pub(super) media: String,
    pub(super) protocol: String,
    pub(super) formats: String,
    /// Largest data channel message that the client takes (RFC 8841 6.1), when it says so.
    pub(super) message_bytes: Option<u64>,
    pub(super) stopped: bool,
    /// Whether an offer of ours made the section, so that the client's transceiver is a receiver.
    pub(super) ours: bool,
    /// Whether it is there only to keep the transport alive.
    pub(super) keep_alive: bool,
    /// What the client last said, from its view.
    pub(super) client: Direction,
    /// Whether we send, by the last complete exchange.
    pub(super) sends: bool,
    /// Whether we receive, by the last complete exchange.
    pub(super) receives: bool,
    /// Negotiated payload types; those we offer while a proposal is open.
    pub(super) payloads: Vec<Payload>,
    /// Negotiated header extensions, directions from our view.
    pub(super) extmap: Vec<Extmap>,
    /// Whether the client takes extensions of the one-byte and of the two-byte form in one stream.
    pub(super) takes_mixed: bool,
    /// Layers that the client sends, in its order.
    pub(super) rids: Vec<String>,
    /// Whether the client listed them in `a=simulcast`.
    pub(super) simulcast: bool,
    /// Sources that the client announced.
    pub(super) ssrcs: Vec<SsrcSource>,
    pub(super) ssrc_groups: Vec<SsrcGroup>,
    pub(super) rtcp_rsize: bool,
    /// The publication that the client feeds here.
    pub(super) local: Option<PublicationId>,
    /// Whether our offers ask the client to send.
    pub(super) wants_local: bool,
    /// Whether our descriptions say that we send even while nothing is bound.
    pub(super) bidirectional: bool,
    /// The stream under which our descriptions say that we send, also while nothing is bound: a viewer then needs
    /// no further exchange when its source comes, goes or changes.
    pub(super) announced: Option<String>,
    /// What the client receives here.
    pub(super) egress: Option<RemoteSource>,
    /// Under which sources we send, once announced.
    pub(super) sender: Option<Sender>,
    /// Whether packets may have left under them.
    pub(super) flowed: bool,
    /// What our unanswered offer changes.
    pub(super) proposal: Option<Proposal>,
}

/// Our sources in one section, as announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sender {
    pub(super) ssrc: u32,
    pub(super) rtx_ssrc: Option<u32>,
    pub(super) cname: String,
    pub(super) msid: Msid,
}

/// How to take a slot back if our offer is not answered.
#[derive(Debug, Clone)]
pub(super) enum Proposal {
    /// The line is new: remove it.
    Added,
    /// The line was like this.
    Changed(Box<Slot>),
}

impl Slot {
    /// Builds the slot of a section that the client offers.
    pub(super) fn offered_by_client(section: &Section) -> Self {
        Self {
            media: section.media.clone(),
            protocol: section.protocol.clone(),
            formats: section.formats.clone(),
            message_bytes: section.max_message_size,
            stopped: section.rejected || section.kind == SectionKind::Other,
            ours: false,
            ..Self::ours(section.kind, section.mid.clone())
        }
    }

    /// Builds the slot of a section that we are going to offer.
    pub(super) fn ours(kind: SectionKind, mid: String) -> Self {
        let blank = Section::new(kind, String::new());
        Self {
            mid,
            kind,
            media: blank.media,
            protocol: blank.protocol,
            formats: blank.formats,
            message_bytes: None,
            stopped: false,
            ours: true,
            keep_alive: false,
            client: Direction::Inactive,
            sends: false,
            receives: false,
            payloads: Vec::new(),
            extmap: Vec::new(),
            takes_mixed: false,
            rids: Vec::new(),
            simulcast: false,
            ssrcs: Vec::new(),
            ssrc_groups: Vec::new(),
            rtcp_rsize: false,
            local: None,
            wants_local: false,
            bidirectional: false,
            announced: None,
            egress: None,
            sender: None,
            flowed: false,
            proposal: None,
        }
    }

    pub(super) fn media_kind(&self) -> Option<MediaKind> {
        media_kind(self.kind)
    }

    pub(super) fn live(&self) -> bool {
        !self.stopped
    }

    /// Takes over what a live section of the client says of itself. Payloads and extensions are negotiated by
    /// the caller.
    pub(super) fn describe(&mut self, section: &Section) {
        self.client = section.direction;
        self.rtcp_rsize = section.rtcp_rsize;
        self.takes_mixed = section.extmap_allow_mixed;
        self.ssrcs.clone_from(&section.ssrcs);
        self.ssrc_groups.clone_from(&section.ssrc_groups);
        let layers =
            section.simulcast.as_ref().map(|simulcast| simulcast.send.as_slice()).unwrap_or_default();
        self.simulcast = !layers.is_empty();
        let sent = |rid: &str| {
            section.rids.iter().any(|known| known.id == rid && known.direction == RidDirection::Send)
        };
        let mut rids: Vec<String> = Vec::new();
        if self.simulcast {
            // RFC 8853 5.2: of the alternatives of a layer, the first that has a rid line.
            let chosen = layers.iter().filter_map(|layer| layer.iter().find(|layer| sent(&layer.rid)));
            rids.extend(chosen.map(|layer| layer.rid.clone()));
        } else {
            rids.extend(
                section
                    .rids
                    .iter()
                    .filter(|rid| rid.direction == RidDirection::Send)
                    .map(|rid| rid.id.clone()),
            );
        }
        let mut unique = Vec::with_capacity(rids.len());
        for rid in rids {
            if !unique.contains(&rid) {
                unique.push(rid);
            }
        }
        self.simulcast &= !unique.is_empty();
        self.rids = unique;
    }

    /// Stops the line and tells what ended with it.
    pub(super) fn stop(&mut self) -> Option<EndedSlot> {
        self.stopped = true;
        self.sends = false;
        self.receives = false;
        self.client = Direction::Inactive;
        self.wants_local = false;
        self.bidirectional = false;
        self.announced = None;
        self.sender = None;
        self.flowed = false;
        let ended = EndedSlot {
            mid: self.mid.clone(),
            local: self.local.take(),
            remote: self.egress.take().is_some(),
        };
        (ended.local.is_some() || ended.remote).then_some(ended)
    }

    /// Whether a track waits for an offer of ours.
    pub(super) fn wants_offer(&self) -> bool {
        self.proposal.is_some() && (self.egress.is_some() || self.announced.is_some() || self.wants_local)
    }

    /// Ends what was bound for our unanswered offer, and tells what. The line itself stays proposed.
    pub(super) fn withdraw(&mut self) -> Option<EndedSlot> {
        let previous = self.proposal.as_ref()?;
        // What the client publishes on a line of before does not depend on our offer.
        let kept = matches!(previous, Proposal::Changed(previous) if previous.mid == self.mid);
        let local = if kept { None } else { self.local.take() };
        self.wants_local = false;
        self.bidirectional = false;
        self.sender = None;
        self.flowed = false;
        let ended = EndedSlot { mid: self.mid.clone(), local, remote: self.egress.take().is_some() };
        (ended.local.is_some() || ended.remote).then_some(ended)
    }

    fn wants_to_send(&self) -> bool {
        self.egress.is_some() || self.bidirectional || self.announced.is_some()
    }

    /// Our direction in an answer to the client's last offer.
    pub(super) fn answered(&self) -> Direction {
        let sends = self.client.receives() && self.wants_to_send();
        Direction::new(sends, self.client.sends() && self.local.is_some())
    }

    /// Our direction in an offer of ours.
    pub(super) fn proposed(&self) -> Direction {
        let sends = self.wants_to_send();
        Direction::new(sends, self.wants_local || (self.local.is_some() && self.client.sends()))
    }

    /// Whether a new pull can reuse the live line: our own receiver transceiver that the client knows to be
    /// inactive. One that it still believes to be receiving would not announce another track.
    pub(super) fn reusable(&self, kind: MediaKind) -> bool {
        self.live()
            && self.ours
            && !self.keep_alive
            && self.media_kind() == Some(kind)
            && self.proposal.is_none()
            && self.egress.is_none()
            && self.local.is_none()
            && !self.wants_local
            && !self.bidirectional
            && self.announced.is_none()
            && !self.sends
            && !self.receives
            && !self.client.sends()
    }

    /// Describes what the client publishes here: nothing but the kind until it has answered our offer.
    pub(super) fn published(&self) -> Option<PublishedMedia> {
        let answered = self.client.sends();
        let kind = self.media_kind().filter(|_| self.live() && (answered || self.wants_local))?;
        let payloads = if answered { self.payloads.as_slice() } else { &[] };
        Some(PublishedMedia {
            kind,
            codecs: codecs::published(payloads, kind),
            rids: self.rids.clone(),
            extensions: self.passed_extensions().map(|(_, extension)| extension).collect(),
        })
    }

    /// Gives what the client receives here, under which sources, and numbered how; `None` if nothing flows.
    pub(super) fn flow(&self) -> Option<(&RemoteSource, &Sender, Vec<PayloadMap>)> {
        let (source, sender) = (self.egress.as_ref()?, self.sender.as_ref()?);
        let map = self.payload_map(&source.media);
        (self.live() && self.sends && !map.is_empty()).then_some((source, sender, map))
    }

    /// Burns sources whose flow has ended. A shard forgets where their packet indices stood, and the same index
    /// under the same key must never seal another packet (RFC 7714 8.4): what flows later has new sources.
    pub(super) fn settle(&mut self) {
        let flows = self.flow().is_some();
        if self.flowed && !flows {
            self.sender = None;
        }
        self.flowed = flows;
    }

    /// The negotiated extensions of the client's packets that are passed on, with their ids.
    pub(super) fn passed_extensions(&self) -> impl Iterator<Item = (u8, ExtensionKind)> {
        let received = |direction: Option<Direction>| direction.is_none_or(Direction::receives);
        self.known_extensions()
            .filter(move |(_, direction, extension)| extension.is_passed() && received(*direction))
            .map(|(id, _, kind)| (id, kind))
    }

    /// The negotiated extensions that packets to the client may carry, with their ids.
    pub(super) fn sent_extensions(&self) -> impl Iterator<Item = (u8, ExtensionKind)> {
        let sent = |direction: Option<Direction>| direction.is_none_or(Direction::sends);
        self.known_extensions()
            .filter(move |(_, direction, _)| sent(*direction))
            .map(|(id, _, kind)| (id, kind))
    }

    fn known_extensions(&self) -> impl Iterator<Item = (u8, Option<Direction>, ExtensionKind)> {
        let known =
            |extmap: &Extmap| Some((extmap.id, extmap.direction, ExtensionKind::from_uri(&extmap.uri)?));
        let used = |extension| super::extensions::is_used(extension, self.takes_mixed);
        self.extmap.iter().filter_map(known).filter(move |(_, _, extension)| used(*extension))
    }

    /// How packets of a source are numbered here.
    pub(super) fn payload_map(&self, media: &PublishedMedia) -> Vec<PayloadMap> {
        let mut map = codecs::payload_map(&media.codecs, &self.payloads, media.kind);
        let described = |(_, extension)| extension == ExtensionKind::DependencyDescriptor;
        // Nothing else tells a decoder which packets of AV1 are which layer's. VP9 says it in its payload.
        if media.extensions.contains(&ExtensionKind::DependencyDescriptor)
            && !self.sent_extensions().any(described)
        {
            map.iter_mut()
                .filter(|entry| entry.codec == Codec::Av1)
                .for_each(|entry| entry.form = PayloadForm::LowestLayer);
        }
        map
    }

    pub(super) fn state(&self) -> SectionState {
        SectionState {
            mid: self.mid.clone(),
            kind: self.media_kind(),
            stopped: self.stopped,
            sends: self.sends,
            receives: self.receives,
            local: self.local,
            remote: self.egress.as_ref().map(|source| source.publication),
            proposed: self.proposal.is_some(),
        }
    }
}

/// Where a new section of ours can go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Free {
    /// A live line of ours that carries nothing: same mid.
    Idle(usize),
    /// A stopped line: new mid.
    Stopped(usize),
    /// Behind the last line.
    End,
}

/// Finds the place for a new section of ours.
pub(super) fn free(slots: &[Slot], idle_kind: Option<MediaKind>) -> Free {
    if let Some(kind) = idle_kind
        && let Some(index) = slots.iter().position(|slot| slot.reusable(kind))
    {
        return Free::Idle(index);
    }
    // The first live section tags the transport. A section in front of it would become the tag, and the client
    // would leave its present transport for it. Where nothing is live there is no transport to lose.
    let first = slots.iter().position(Slot::live).unwrap_or(0);
    let stopped =
        slots.iter().enumerate().skip(first).find(|(_, slot)| slot.stopped && slot.proposal.is_none());
    stopped.map_or(Free::End, |(index, _)| Free::Stopped(index))
}

/// Takes back what our unanswered offers had changed, and tells which tracks were in them.
pub(super) fn roll_back(slots: &mut Vec<Slot>) -> Vec<EndedSlot> {
    let mut ended = Vec::new();
    let mut kept = Vec::with_capacity(slots.len());
    for mut slot in slots.drain(..) {
        ended.extend(slot.withdraw());
        match slot.proposal.take() {
            None => kept.push(slot),
            Some(Proposal::Added) => {}
            Some(Proposal::Changed(previous)) => {
                let local = if previous.mid == slot.mid { slot.local } else { None };
                kept.push(Slot { local, ..*previous });
            }
        }
    }
    *slots = kept;
    ended
}
