//! The m-lines of a session. Their order is sacred (RFC 8829 5.2.2): a line never moves and never goes away, it
//! only stops, and a stopped line may be taken over by a new section.

use super::error::BindError;
use super::media::{EndedSlot, PublishedMedia, RemoteSource, SectionState};
use super::told::Told;
use super::{codecs, extensions, media_kind};
use crate::ids::PublicationId;
use crate::plan::{PayloadForm, PayloadMap};
use crate::rtp::{Codec, ExtensionKind, MediaKind};
use crate::sdp::{Direction, Extmap, Msid, Payload, Section, SectionKind};

/// One m-line.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) mid: String,
    pub(super) kind: SectionKind,
    pub(super) form: Form,
    pub(super) maker: Maker,
    pub(super) stage: Stage,
    /// What the client last said that it does, from its view.
    pub(super) client: Direction,
    /// What else it said.
    pub(super) told: Told,
    /// What we do, by the last complete exchange.
    pub(super) agreed: Direction,
    /// Negotiated payload types; those we offer while a proposal is open.
    pub(super) payloads: Vec<Payload>,
    /// Negotiated header extensions, directions from our view.
    pub(super) extmap: Vec<Extmap>,
    /// The publication that the client feeds here.
    pub(super) local: Option<PublicationId>,
    /// What our offers ask of the client.
    pub(super) asks: Asks,
    /// The stream under which our descriptions say that we send, also while nothing is bound: a viewer then needs
    /// no further exchange when its source comes, goes or changes.
    pub(super) announced: Option<String>,
    /// What the client receives here.
    pub(super) egress: Option<RemoteSource>,
    pub(super) sending: Sending,
}

/// Media type, protocol and formats as they stand in the line: what is not carried is echoed.
#[derive(Debug, Clone)]
pub(super) struct Form {
    pub(super) media: String,
    pub(super) protocol: String,
    pub(super) formats: String,
}

/// Whose offer made a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Maker {
    /// One of the client.
    Client,
    /// One of ours, so that the client's transceiver is a receiver.
    Us,
    /// One of ours, only to keep the transport alive.
    UsToStayAlive,
}

/// Where a line stands between the two sides.
#[derive(Debug, Clone)]
pub(super) enum Stage {
    /// It carries nothing; with the reason if the client's last offer could not be carried.
    Stopped(Option<BindError>),
    /// Both sides know it as it is.
    Live,
    /// Only our unanswered offer has it.
    Added,
    /// Our unanswered offer changes it; so it was before.
    Changed(Box<Slot>),
}

/// What our offers ask of the client in a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    /// Nothing.
    Nothing,
    /// To send.
    Send,
    /// To send, and to expect media from us even while nothing is bound.
    BothWays,
}

/// Under which sources we send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sending {
    /// None are announced.
    Silent,
    /// These are announced; no packet has left under them.
    Named(Sender),
    /// Packets may have left under them.
    Flowing(Sender),
}

/// Our sources in one section, as announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sender {
    pub(super) ssrc: u32,
    pub(super) rtx_ssrc: Option<u32>,
    pub(super) cname: String,
    pub(super) msid: Msid,
}

impl Slot {
    /// Builds the slot of a section that the client offers.
    pub(super) fn offered_by_client(section: &Section) -> Self {
        let is_stopped = section.rejected || section.kind == SectionKind::Other;
        Self {
            form: Form {
                media: section.media.clone(),
                protocol: section.protocol.clone(),
                formats: section.formats.clone(),
            },
            told: Told { message_bytes: section.max_message_size, ..Told::default() },
            maker: Maker::Client,
            stage: if is_stopped { Stage::Stopped(None) } else { Stage::Live },
            ..Self::ours(section.kind, section.mid.clone())
        }
    }

    /// Builds the slot of a section that we are going to offer.
    pub(super) fn ours(kind: SectionKind, mid: String) -> Self {
        let Section { media, protocol, formats, .. } = Section::new(kind, String::new());
        Self {
            mid,
            kind,
            form: Form { media, protocol, formats },
            maker: Maker::Us,
            stage: Stage::Added,
            client: Direction::Inactive,
            told: Told::default(),
            agreed: Direction::Inactive,
            payloads: Vec::new(),
            extmap: Vec::new(),
            local: None,
            asks: Asks::Nothing,
            announced: None,
            egress: None,
            sending: Sending::Silent,
        }
    }

    pub(super) fn media_kind(&self) -> Option<MediaKind> {
        media_kind(self.kind)
    }

    pub(super) fn live(&self) -> bool {
        !matches!(self.stage, Stage::Stopped(_))
    }

    /// Whether our unanswered offer has it, or has it otherwise.
    pub(super) fn is_proposed(&self) -> bool {
        matches!(self.stage, Stage::Added | Stage::Changed(_))
    }

    /// Lets our next offer change it.
    pub(super) fn propose(&mut self) {
        if !self.is_proposed() {
            self.stage = Stage::Changed(Box::new(self.clone()));
        }
    }

    /// Takes our offer as answered; tells whether it had anything new to say of this line.
    pub(super) fn accept_proposal(&mut self) -> bool {
        let was_proposed = self.is_proposed();
        if was_proposed {
            self.stage = Stage::Live;
        }
        was_proposed
    }

    /// Why the client's last offer could not be carried here.
    pub(super) fn refusal(&self) -> Option<BindError> {
        match self.stage {
            Stage::Stopped(refusal) => refusal,
            Stage::Live | Stage::Added | Stage::Changed(_) => None,
        }
    }

    /// The announced sources.
    pub(super) fn sender(&self) -> Option<&Sender> {
        match &self.sending {
            Sending::Silent => None,
            Sending::Named(sender) | Sending::Flowing(sender) => Some(sender),
        }
    }

    /// Takes over what a live section of the client says of itself. Payloads and extensions are negotiated by
    /// the caller.
    pub(super) fn describe(&mut self, section: &Section) {
        self.client = section.direction;
        self.told.describe(section);
    }

    /// Cuts the layers down to those that the agreed payload types can carry (RFC 8851 6.2.2).
    pub(super) fn fit_layers(&mut self) {
        let has = |uri: &str| self.extmap.iter().any(|line| line.uri == uri);
        // Without both nothing would tell which packet belongs to which layer (RFC 8853 5.5), so there is one.
        let are_told = has(ExtensionKind::Mid.uri()) && has(extensions::STREAM_ID);
        self.told.fit_layers(&self.payloads, are_told);
    }

    /// The names of the layers that the client sends.
    pub(super) fn layers(&self) -> Vec<String> {
        self.told.rids.iter().map(|rid| rid.id.clone()).collect()
    }

    /// Stops the line, for a reason if the client's offer cannot be carried, and tells what ended with it.
    pub(super) fn stop(&mut self, refusal: Option<BindError>) -> Option<EndedSlot> {
        self.stage = Stage::Stopped(refusal);
        self.agreed = Direction::Inactive;
        self.client = Direction::Inactive;
        self.asks = Asks::Nothing;
        self.announced = None;
        self.sending = Sending::Silent;
        let local = self.local.take();
        self.ended(local, false)
    }

    /// Whether the line has this mid, or had it before our unanswered offer.
    pub(super) fn is_called(&self, mid: &str) -> bool {
        let before = match &self.stage {
            Stage::Changed(before) => Some(before.mid.as_str()),
            Stage::Stopped(_) | Stage::Live | Stage::Added => None,
        };
        self.mid == mid || before == Some(mid)
    }

    /// Whether a track waits for an offer of ours.
    pub(super) fn wants_offer(&self) -> bool {
        let carries = self.egress.is_some() || self.announced.is_some() || self.asks != Asks::Nothing;
        self.is_proposed() && carries
    }

    /// Ends what was bound for our unanswered offer, and tells what. The line itself stays proposed.
    pub(super) fn withdraw(&mut self) -> Option<EndedSlot> {
        let kept = match &self.stage {
            // What the client publishes on a line of before does not depend on our offer.
            Stage::Changed(previous) => previous.mid == self.mid,
            Stage::Added => false,
            Stage::Stopped(_) | Stage::Live => return None,
        };
        let local = if kept { None } else { self.local.take() };
        let asked = !kept && self.asks != Asks::Nothing;
        self.asks = Asks::Nothing;
        self.sending = Sending::Silent;
        self.ended(local, asked)
    }

    /// What has ended here, the client's receipt of a track with it.
    fn ended(&mut self, local: Option<PublicationId>, asked: bool) -> Option<EndedSlot> {
        let remote = self.egress.take().is_some();
        let is_any = local.is_some() || asked || remote;
        is_any.then(|| EndedSlot { mid: self.mid.clone(), local, asked, remote })
    }

    fn wants_to_send(&self) -> bool {
        self.egress.is_some() || self.asks == Asks::BothWays || self.announced.is_some()
    }

    /// Our direction in an answer to the client's last offer.
    pub(super) fn answered(&self) -> Direction {
        let sends = self.client.receives() && self.wants_to_send();
        Direction::new(sends, self.client.sends() && self.local.is_some())
    }

    /// Our direction in an offer of ours.
    pub(super) fn proposed(&self) -> Direction {
        let sends = self.wants_to_send();
        let receives = self.asks != Asks::Nothing || (self.local.is_some() && self.client.sends());
        Direction::new(sends, receives)
    }

    /// Whether a new pull can reuse the live line: our own receiver transceiver that the client knows to be
    /// inactive. One that it still believes to be receiving would not announce another track.
    pub(super) fn reusable(&self, kind: MediaKind) -> bool {
        matches!(self.stage, Stage::Live)
            && self.maker == Maker::Us
            && self.media_kind() == Some(kind)
            && self.egress.is_none()
            && self.local.is_none()
            && self.asks == Asks::Nothing
            && self.announced.is_none()
            && self.agreed == Direction::Inactive
            && !self.client.sends()
    }

    /// Describes what the client publishes here: nothing but the kind until it has answered our offer.
    pub(super) fn published(&self) -> Option<PublishedMedia> {
        let answered = self.client.sends();
        let kind = self.media_kind().filter(|_| self.live() && (answered || self.asks != Asks::Nothing))?;
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
        let (source, sender) = (self.egress.as_ref()?, self.sender()?);
        let map = self.payload_map(&source.media);
        (self.live() && self.agreed.sends() && !map.is_empty()).then_some((source, sender, map))
    }

    /// Ends what the client was to send here.
    pub(super) fn give_up(&mut self) {
        self.local = None;
        self.asks = Asks::Nothing;
    }

    /// Burns sources whose flow has ended. A shard forgets where their packet indices stood, and the same index
    /// under the same key must never seal another packet (RFC 7714 8.4): what flows later has new sources.
    pub(super) fn settle(&mut self) {
        let flows = self.flow().is_some();
        self.sending = match (std::mem::replace(&mut self.sending, Sending::Silent), flows) {
            (Sending::Named(sender) | Sending::Flowing(sender), true) => Sending::Flowing(sender),
            (Sending::Named(sender), false) => Sending::Named(sender),
            (Sending::Flowing(_), false) | (Sending::Silent, _) => Sending::Silent,
        };
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
        let used = |extension| super::extensions::is_used(extension, self.told.takes_mixed);
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
            stopped: !self.live(),
            sends: self.agreed.sends(),
            receives: self.agreed.receives(),
            local: self.local,
            remote: self.egress.as_ref().map(|source| source.publication),
            proposed: self.is_proposed(),
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
    let stopped = slots.iter().enumerate().skip(first).find(|(_, slot)| !slot.live());
    stopped.map_or(Free::End, |(index, _)| Free::Stopped(index))
}

/// Takes back what our unanswered offers had changed, and tells which tracks were in them.
pub(super) fn roll_back(slots: &mut Vec<Slot>) -> Vec<EndedSlot> {
    let mut ended = Vec::new();
    let mut kept = Vec::with_capacity(slots.len());
    for mut slot in slots.drain(..) {
        ended.extend(slot.withdraw());
        match std::mem::replace(&mut slot.stage, Stage::Live) {
            Stage::Added => {}
            Stage::Changed(previous) => {
                let local = if previous.mid == slot.mid { slot.local } else { None };
                kept.push(Slot { local, ..*previous });
            }
            stage @ (Stage::Stopped(_) | Stage::Live) => kept.push(Slot { stage, ..slot }),
        }
    }
    *slots = kept;
    ended
}
