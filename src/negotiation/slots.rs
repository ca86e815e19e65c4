//! The m-lines of a session. Their order is sacred (RFC 8829 5.2.2): a line never moves and never goes away, it
//! only stops, and a stopped line may be taken over by a new section.

use super::error::BindError;
use super::media::{EndedSlot, PublishedMedia, RemoteSource, SectionState};
use super::{codecs, extensions, limits, media_kind};
use crate::ids::PublicationId;
use crate::plan::{PayloadForm, PayloadMap};
use crate::rtp::{Codec, ExtensionKind, MediaKind};
use crate::sdp::{
    Direction, Extmap, Msid, Payload, Rid, RidDirection, Section, SectionKind, SimulcastLayer, SsrcGroup,
    SsrcSource, fmtp_parameter,
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
    /// Layers that the client sends, in its order, as it wrote them.
    pub(super) rids: Vec<Rid>,
    /// The layers of its `a=simulcast` line: in its order, with its alternatives, paused or not.
    pub(super) simulcast: Vec<Vec<SimulcastLayer>>,
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
    /// Why the section could not be carried.
    pub(super) refusal: Option<BindError>,
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
            simulcast: Vec::new(),
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
            refusal: None,
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
        self.rids.clear();
        for rid in section.rids.iter().filter(|rid| rid.direction == RidDirection::Send) {
            // A layer that the engine cannot tell from another is not taken, so it is not sent either.
            let name = limits::layer_name(&rid.id);
            if limits::is_layer(&rid.id)
                && !self.rids.iter().any(|known| limits::layer_name(&known.id) == name)
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

    /// Cuts the layers down to those that the agreed payload types can carry (RFC 8851 6.2.2).
    pub(super) fn fit_layers(&mut self) {
        let has = |uri: &str| self.extmap.iter().any(|line| line.uri == uri);
        if !has(ExtensionKind::Mid.uri()) || !has(extensions::STREAM_ID) {
            // Nothing would tell which packet belongs to which layer (RFC 8853 5.5), so there is one.
            self.rids.clear();
        }
        let Self { rids, payloads, simulcast, .. } = self;
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

    /// The names of the layers that the client sends.
    pub(super) fn layers(&self) -> Vec<String> {
        self.rids.iter().map(|rid| rid.id.clone()).collect()
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

    /// Whether the line has this mid, or had it before our unanswered offer.
    pub(super) fn is_called(&self, mid: &str) -> bool {
        let before = match &self.proposal {
            Some(Proposal::Changed(before)) => Some(before.mid.as_str()),
            Some(Proposal::Added) | None => None,
        };
        self.mid == mid || before == Some(mid)
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
            rids: self.layers(),
            extensions: self.passed_extensions().map(|(_, extension)| extension).collect(),
        })
    }

    /// Gives what the client receives here, under which sources, and numbered how; `None` if nothing flows.
    pub(super) fn flow(&self) -> Option<(&RemoteSource, &Sender, Vec<PayloadMap>)> {
        let (source, sender) = (self.egress.as_ref()?, self.sender.as_ref()?);
        let map = self.payload_map(&source.media);
        (self.live() && self.sends && !map.is_empty()).then_some((source, sender, map))
    }

    /// Ends what the client was to send here.
    pub(super) fn give_up(&mut self) {
        self.local = None;
        self.wants_local = false;
        self.bidirectional = false;
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
