//! Sections for viewers of a stream whose publisher may come, go and be another one: we say at once that we send in
//! them, and what is bound later needs no further exchange. And what such clients do outside of descriptions.

use std::collections::BTreeSet;

use super::Negotiation;
use super::binding::wished;
use super::error::BindError;
use super::media::{PublishedMedia, RemoteSource, SectionState};
use super::slots::{Maker, Sending, Slot};
use crate::ids::{IceCredentials, PublicationId, ShardId};
use crate::rtp::MediaKind;
use crate::sdp::{Ice, IceFragment};

impl Negotiation {
    /// Has the answer to the client's offer say that we send in every section in which the client receives, but for some.
    pub fn announce(&mut self, stream: &str, but: &BTreeSet<String>) {
        for slot in self.slots.iter_mut().filter(|slot| slot.live() && slot.client.receives()) {
            slot.announced = (!but.contains(&slot.mid)).then(|| stream.to_owned());
        }
    }

    /// Gives the section of a viewer for one kind of media, also one that was refused for its codecs alone.
    #[must_use]
    pub fn viewed(&self, kind: MediaKind) -> Option<SectionState> {
        let of_kind = || self.slots.iter().filter(|slot| slot.media_kind() == Some(kind));
        let receives =
            of_kind().find(|slot| slot.live() && (slot.maker != Maker::Client || slot.client.receives()));
        let refused = || of_kind().find(|slot| slot.refusal() == Some(BindError::UnknownCodecs));
        receives.or_else(refused).map(Slot::state)
    }

    /// Gives the sections of the client's last offer that cannot be answered, and why.
    pub fn refusals(&self) -> impl Iterator<Item = (&str, BindError)> {
        self.slots.iter().filter_map(|slot| Some((slot.mid.as_str(), slot.refusal()?)))
    }

    /// Prepares a section of our next offer in which we say that we send: with the codecs of the given publication,
    /// or else with what every browser has. Gives its mid.
    ///
    /// # Errors
    /// If an offer is pending, or the session has too many m-lines.
    pub fn offer_announced(
        &mut self,
        kind: MediaKind,
        media: Option<&PublishedMedia>,
        stream: &str,
    ) -> Result<String, BindError> {
        let payloads = match media {
            Some(media) => self.payloads.offer(media)?,
            None => self.payloads.offer(&wished(kind))?,
        };
        let extmap = self.extensions.offer(kind, media);
        let index = self.place(kind, None)?;
        let Some(slot) = self.slots.get_mut(index) else { return Err(BindError::Limit) };
        slot.payloads = payloads;
        slot.extmap = extmap;
        slot.announced = Some(stream.to_owned());
        Ok(slot.mid.clone())
    }

    /// Prepares a section of our next offer for tracks that take turns in it: with whatever every browser has, so that each of
    /// them can be carried, the first one included if there is one yet. Gives its mid.
    ///
    /// # Errors
    /// If an offer is pending, the session has too many m-lines, or the first one cannot be carried.
    pub fn offer_seat(
        &mut self,
        kind: MediaKind,
        stream: &str,
        first: Option<RemoteSource>,
    ) -> Result<String, BindError> {
        let mid = self.offer_announced(kind, None, stream)?;
        let slot = self.slot_mut(&mid).ok_or(BindError::NoSection)?;
        if first.as_ref().is_some_and(|source| slot.payload_map(&source.media).is_empty()) {
            return Err(BindError::NoCodec);
        }
        slot.sending = Sending::Silent;
        slot.egress = first;
        Ok(mid)
    }

    /// Has a section receive a publication that nobody feeds, in place of the one that it receives. The section, and the
    /// sources that its client knows, stay as they are.
    pub fn vacate(&mut self, mid: &str, nothing: PublicationId, shard: ShardId) {
        if let Some(source) = self.slot_mut(mid).and_then(|slot| slot.egress.as_mut()) {
            (source.publication, source.origin) = (nothing, shard);
        }
    }

    /// Tells whether a section could carry a publication: same kind, and a codec in common.
    #[must_use]
    pub fn can_carry(&self, mid: &str, media: &PublishedMedia) -> bool {
        let slot = self.slot(mid).filter(|slot| slot.media_kind() == Some(media.kind));
        slot.is_some_and(|slot| !slot.payload_map(media).is_empty())
    }

    /// Gives our credentials of the present transport.
    #[must_use]
    pub fn local_credentials(&self) -> &IceCredentials {
        &self.transport.local
    }

    /// Tells whether these are the client's present credentials; `None` before its first description.
    #[must_use]
    pub fn is_remote(&self, ice: &Ice) -> Option<bool> {
        self.transport.remote.as_ref().map(|remote| remote.ice == *ice)
    }

    /// Restarts ICE by new credentials of the client, outside of any description (RFC 9725 4.3.3). False before its
    /// first description.
    pub fn restart_ice(&mut self, ice: Ice, mint: &mut dyn FnMut() -> IceCredentials) -> bool {
        self.transport.restart(ice, mint)
    }

    /// Gives our side of the present transport as a fragment of a description (RFC 8840 9).
    #[must_use]
    pub fn ice_fragment(&self) -> IceFragment {
        let live = || self.slots.iter().filter(|slot| slot.live());
        let IceCredentials { ufrag, pwd } = &self.transport.local;
        IceFragment {
            ice_lite: true,
            bundle: live().map(|slot| slot.mid.clone()).collect(),
            ice: Ice { ufrag: ufrag.clone(), pwd: pwd.clone() },
            section: live()
                .next()
                .map(|slot| (slot.form.media.clone(), slot.form.protocol.clone(), slot.mid.clone())),
            candidates: self.local.candidates.clone(),
        }
    }
}
