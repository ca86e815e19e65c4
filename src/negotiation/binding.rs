//! Binds tracks to sections.

use super::error::BindError;
use super::media::{KeepAlive, Place, PublishedCodec, PublishedMedia, RemoteSource, cname};
use super::slots::{self, Asks, Free, Maker, Sender, Sending, Slot, Stage};
use super::{Exchange, Negotiation, section_kind};
use crate::ids::PublicationId;
use crate::plan::LayerPreference;
use crate::rtp::{Codec, MediaKind};
use crate::sdp::{Direction, Msid, SECTIONS_MAX, SectionKind};

/// Mid of an audio section that only keeps the transport alive.
const KEEP_ALIVE_MID: &str = "keep";

impl Negotiation {
    /// Binds a publication to a section in which the client sends, or in which we ask it to. A binding that the
    /// section had before is replaced.
    ///
    /// # Errors
    /// If there is no such section.
    pub fn bind_local(&mut self, mid: &str, publication: PublicationId) -> Result<PublishedMedia, BindError> {
        let slot = self.slot_mut(mid).ok_or(BindError::NoSection)?;
        if !slot.live() {
            return Err(slot.refusal().unwrap_or(BindError::NoSection));
        }
        let media = slot.published().ok_or(BindError::NotSending)?;
        slot.local = Some(publication);
        Ok(media)
    }

    /// Ends what the client publishes in a section. The m-line stays and can be bound anew.
    pub fn unbind_local(&mut self, mid: &str) -> Option<PublicationId> {
        let slot = self.slot_mut(mid)?;
        slot.asks = Asks::Nothing;
        slot.local.take()
    }

    /// Binds a publication to a section in which the client receives. Gives the mid of that section.
    ///
    /// # Errors
    /// If no section can carry it.
    pub fn bind_remote(&mut self, source: RemoteSource, place: Place) -> Result<String, BindError> {
        match place {
            Place::Offered => self.bind_offered(source),
            Place::FirstFree => self.bind_first_free(source),
            Place::Existing(mid) => self.bind_existing(source, mid),
        }
    }

    /// Changes which layer of its publication a section receives. Tells whether there is such a binding.
    pub fn set_preference(&mut self, mid: &str, preference: LayerPreference) -> bool {
        let source = self.slot_mut(mid).and_then(|slot| slot.egress.as_mut());
        source.map(|source| source.preference = preference).is_some()
    }

    /// Puts another publication on a section that receives one: same transceiver, same source, no description.
    ///
    /// # Errors
    /// If the section receives nothing, or cannot carry the new publication.
    pub fn switch_source(&mut self, mid: &str, source: RemoteSource) -> Result<(), BindError> {
        let slot = self.slot_mut(mid).filter(|slot| slot.egress.is_some()).ok_or(BindError::NoSection)?;
        fits(slot, &source)?;
        slot.egress = Some(source);
        slot.settle();
        Ok(())
    }

    /// Ends what a section receives. The m-line stays; a later pull may use it again.
    pub fn unbind_remote(&mut self, mid: &str) -> Option<PublicationId> {
        let slot = self.slot_mut(mid)?;
        let source = slot.egress.take()?;
        slot.settle();
        Some(source.publication)
    }

    /// Prepares a section of our next offer in which the client is to send. Gives its mid.
    ///
    /// # Errors
    /// If an offer is pending, or the session has too many m-lines.
    pub fn add_offered_local(&mut self, kind: MediaKind, bidirectional: bool) -> Result<String, BindError> {
        let media = wished(kind);
        let payloads = self.payloads.offer(&media)?;
        let extmap = self.extensions.offer(kind, None);
        let index = self.place(kind, None)?;
        let Some(slot) = self.slots.get_mut(index) else { return Err(BindError::Limit) };
        slot.payloads = payloads;
        slot.extmap = extmap;
        slot.asks = if bidirectional { Asks::BothWays } else { Asks::Send };
        Ok(slot.mid.clone())
    }

    fn bind_offered(&mut self, source: RemoteSource) -> Result<String, BindError> {
        let kind = source.media.kind;
        if self.pending_offer() {
            return Err(BindError::OfferPending);
        }
        let payloads = self.payloads.offer(&source.media)?;
        let extmap = self.extensions.offer(kind, Some(&source.media));
        let index = self.place(kind, Some(kind))?;
        let Some(slot) = self.slots.get_mut(index) else { return Err(BindError::Limit) };
        slot.payloads = payloads;
        slot.extmap = extmap;
        slot.sending = Sending::Silent;
        slot.egress = Some(source);
        Ok(slot.mid.clone())
    }

    fn bind_first_free(&mut self, source: RemoteSource) -> Result<String, BindError> {
        let kind = source.media.kind;
        if !matches!(self.exchange, Exchange::Answering { .. }) {
            return Err(BindError::NoSection);
        }
        let free = |slot: &&Slot| {
            slot.live() && slot.media_kind() == Some(kind) && slot.client.receives() && slot.egress.is_none()
        };
        if !self.slots.iter().any(|slot| free(&slot)) {
            return Err(BindError::NoSection);
        }
        let carries = |slot: &&Slot| free(slot) && !slot.payload_map(&source.media).is_empty();
        // A receiver that was told of a track before would not announce another one: such are the last choice.
        let fresh = self.slots.iter().filter(|slot| !slot.agreed.sends()).find(carries);
        let slot = fresh.or_else(|| self.slots.iter().find(carries)).ok_or(BindError::NoCodec)?;
        let mid = slot.mid.clone();
        if let Some(slot) = self.slot_mut(&mid) {
            slot.sending = Sending::Silent;
            slot.egress = Some(source);
        }
        Ok(mid)
    }

    fn bind_existing(&mut self, source: RemoteSource, mid: String) -> Result<String, BindError> {
        let answering = matches!(self.exchange, Exchange::Answering { .. });
        let pending = self.pending_offer();
        let slot = self.slot_mut(&mid).filter(|slot| slot.live() && slot.maker != Maker::UsToStayAlive);
        let slot = slot.ok_or(BindError::NoSection)?;
        fits(slot, &source)?;
        let offered = slot.is_proposed() && slot.proposed().sends();
        let announced = slot.sender().is_some() && (slot.agreed.sends() || offered);
        let in_answer = answering && slot.client.receives();
        if !announced && !in_answer {
            // The transceiver exists, but the client knows of no source in it: that takes an offer.
            if slot.maker == Maker::Client && !slot.client.receives() {
                return Err(BindError::NoSection);
            }
            if pending {
                return Err(BindError::OfferPending);
            }
            slot.propose();
            slot.agreed = Direction::new(false, slot.agreed.receives());
        }
        slot.egress = Some(source);
        slot.settle();
        Ok(mid)
    }

    /// Burns the sources of what flows but is not among these: a shard may have ended it there, and forgets where its packet
    /// indices stood. It flows again with the next description, under another source.
    pub fn burn_all_but(&mut self, kept: &[u32]) {
        for slot in &mut self.slots {
            if slot.flow().is_some_and(|(_, sender, _)| !kept.contains(&sender.ssrc)) {
                slot.sending = Sending::Silent;
            }
        }
    }

    /// Finds or makes the slot of a new section of ours and gives its index.
    pub(super) fn place(
        &mut self,
        kind: MediaKind,
        idle_kind: Option<MediaKind>,
    ) -> Result<usize, BindError> {
        if self.pending_offer() {
            return Err(BindError::OfferPending);
        }
        self.add_keep_alive();
        let free = slots::free(&self.slots, idle_kind);
        match free {
            Free::Idle(index) => {
                if let Some(slot) = self.slots.get_mut(index) {
                    slot.propose();
                }
                Ok(index)
            }
            Free::Stopped(index) => {
                let mut slot = Slot::ours(section_kind(kind), self.mint_mid());
                if let Some(stopped) = self.slots.get_mut(index) {
                    std::mem::swap(stopped, &mut slot);
                    stopped.stage = Stage::Changed(Box::new(slot));
                }
                Ok(index)
            }
            Free::End if self.slots.len() >= SECTIONS_MAX => Err(BindError::Limit),
            Free::End => {
                let mid = self.mint_mid();
                self.slots.push(Slot::ours(section_kind(kind), mid));
                Ok(self.slots.len() - 1)
            }
        }
    }

    /// Adds a section for data channels to what we offer next.
    pub(super) fn place_application(&mut self) -> Result<(), BindError> {
        if self.pending_offer() {
            return Err(BindError::OfferPending);
        }
        if self.slots.len() >= SECTIONS_MAX {
            return Err(BindError::Limit);
        }
        let mid = self.mint_application_mid();
        // The first section of the session is the one that never closes.
        let maker = if self.slots.is_empty() { Maker::UsToStayAlive } else { Maker::Us };
        self.slots.push(Slot { maker, ..Slot::ours(SectionKind::Application, mid) });
        Ok(())
    }

    /// Begins a session in which we offer first with the line that never closes.
    fn add_keep_alive(&mut self) {
        if !self.slots.is_empty() {
            return;
        }
        let kind = match self.keep_alive {
            KeepAlive::Application => SectionKind::Application,
            KeepAlive::InactiveAudio => SectionKind::Audio,
            KeepAlive::None => return,
        };
        let mid = match kind {
            SectionKind::Application => self.mint_application_mid(),
            _ => KEEP_ALIVE_MID.to_owned(),
        };
        let mut slot = Slot::ours(kind, mid);
        slot.maker = Maker::UsToStayAlive;
        if kind == SectionKind::Audio {
            slot.payloads = self.payloads.offer(&wished(MediaKind::Audio)).unwrap_or_default();
        }
        self.slots.push(slot);
    }

    /// Gives sources to all sections in which our next description says that we send.
    pub(super) fn mint_senders(&mut self, direction: impl Fn(&Slot) -> Direction) {
        let announced: Vec<u32> =
            self.slots.iter().flat_map(|slot| slot.told.ssrcs.iter().map(|source| source.ssrc)).collect();
        let taken = |ssrc: u32| announced.contains(&ssrc);
        let Self { slots, ssrcs, origin, .. } = self;
        let nameless = |slot: &&mut Slot| slot.live() && slot.sender().is_none() && direction(slot).sends();
        for slot in slots.iter_mut().filter(nameless) {
            let Some(kind) = slot.media_kind() else { continue };
            let ssrc = ssrcs.mint(taken);
            let source = slot.egress.as_ref();
            let stream =
                slot.announced.as_deref().or_else(|| source.map(|source| source.stream_label.as_str()));
            slot.sending = Sending::Named(Sender {
                ssrc,
                rtx_ssrc: (kind == MediaKind::Video).then(|| ssrcs.mint(taken)),
                // Without a publication there is no name yet that others share.
                cname: stream.map_or_else(|| origin.id.to_string(), cname),
                msid: Msid { stream: stream.unwrap_or("-").to_owned(), track: format!("t{ssrc}") },
            });
        }
    }
}

/// Checks that a section can carry a publication.
fn fits(slot: &Slot, source: &RemoteSource) -> Result<(), BindError> {
    if slot.media_kind() != Some(source.media.kind) {
        return Err(BindError::KindMismatch);
    }
    if slot.payload_map(&source.media).is_empty() { Err(BindError::NoCodec) } else { Ok(()) }
}

/// What we ask of a client whose track we offer to receive: what every browser has.
pub(super) fn wished(kind: MediaKind) -> PublishedMedia {
    let codec = |pt, codec: Codec, fmtp: Option<&str>| PublishedCodec {
        pt,
        codec,
        clock_rate: codec.clock_rate(),
        channels: (codec == Codec::Opus).then_some(2),
        fmtp: fmtp.map(str::to_owned),
        rtcp_fb: Vec::new(),
        rtx: (codec.kind() == MediaKind::Video).then_some(pt + 1),
    };
    let h264 = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";
    let codecs = match kind {
        MediaKind::Audio => vec![
            codec(111, Codec::Opus, Some("minptime=10;useinbandfec=1")),
            codec(0, Codec::Pcmu, None),
            codec(8, Codec::Pcma, None),
        ],
        MediaKind::Video => vec![
            codec(96, Codec::Vp8, None),
            codec(102, Codec::H264, Some(h264)),
            codec(98, Codec::Vp9, Some("profile-id=0")),
            codec(45, Codec::Av1, None),
        ],
    };
    PublishedMedia { kind, codecs, rids: Vec::new(), extensions: Vec::new() }
}
