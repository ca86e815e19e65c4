//! Offer and answer of one session: which m-lines it has, what each carries, and on which transport.
//!
//! Pure code. It owns the agreed state and at most one open exchange, reads the client's descriptions, prints
//! ours, and writes the [`SessionPlan`](crate::plan::SessionPlan) that a shard carries out. It knows nothing of
//! HTTP, track names, shards' tables or the ingress engine.
//!
//! Control clones a [`Negotiation`], applies one API call to the clone and commits it if all of the call
//! succeeded: a refused call leaves no trace. What may grow is bounded: 512 m-lines, 128 payload types, 255
//! extension ids.
//!
//! An exchange goes one of two ways:
//!
//! ```text
//! client_offer -> bind_* / unbind_* -> answer            the client offers
//! bind_remote(Offered) -> create_offer -> client_answer  we offer; rollback if it stays unanswered
//! ```
//!
//! If both offer at once, the client's offer wins and ours is rolled back.

mod announce;
mod answer;
mod binding;
mod browsers;
mod client_answer;
mod client_offer;
mod codecs;
mod describe;
mod error;
mod extensions;
mod ingress;
mod limits;
mod media;
mod payloads;
mod planning;
mod slots;
mod ssrcs;
mod told;
mod transport;
mod unnamed;

#[cfg(test)]
mod tests;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

pub use error::{BindError, NegotiationError};
pub use media::{
    AnswerSummary, EndedSlot, KeepAlive, LocalTransport, OfferSummary, Place, PublishedCodec, PublishedMedia,
    RemoteSource, SectionState, SectionSummary,
};
pub use transport::Caller;

use crate::ids::{IceCredentials, PublicationId};
use crate::rtp::MediaKind;
use crate::sdp::{Origin, SectionKind};
use extensions::ExtensionTable;
use ingress::IngressLines;
use payloads::PayloadTable;
use slots::Slot;
use ssrcs::SsrcSequence;
use transport::TransportState;

/// What sessions in which we offer first have as their first line.
pub const KEEP_ALIVE: KeepAlive = KeepAlive::Application;

/// Mid of our data channel section.
const APPLICATION_MID: &str = "data";
/// SCTP port of our data channel sections (RFC 8841 5.1).
const SCTP_PORT: u16 = 5000;
/// Largest message that we take on a data channel, bytes.
const MESSAGE_BYTES_MAX: u64 = 262_144;

/// The offer/answer state of one session.
#[derive(Debug, Clone)]
pub struct Negotiation {
    local: Arc<LocalTransport>,
    keep_alive: KeepAlive,
    origin: Origin,
    slots: Vec<Slot>,
    payloads: PayloadTable,
    extensions: ExtensionTable,
    transport: TransportState,
    ingress: IngressLines,
    ssrcs: SsrcSequence,
    /// The next mid of ours: above every numeric one that was seen.
    next_mid: u32,
    exchange: Exchange,
}

/// The open exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Exchange {
    /// None.
    Stable,
    /// A client's offer waits for our answer.
    Answering {
        /// Its BUNDLE group, in its order.
        bundle: Vec<String>,
        /// Whether it has `a=extmap-allow-mixed`.
        allow_mixed: bool,
    },
    /// Our offer waits for the client's answer.
    Offering,
}

impl Negotiation {
    /// Starts a session: no m-lines, nothing agreed.
    ///
    /// The label is the beginning of the session's id; it only spreads what is numbered.
    #[must_use]
    pub fn new(session_label: String, local: Arc<LocalTransport>, credentials: IceCredentials) -> Self {
        let mut hasher = DefaultHasher::new();
        session_label.hash(&mut hasher);
        let seed = hasher.finish();
        Self {
            local,
            keep_alive: KEEP_ALIVE,
            // RFC 8829 5.2.1: below 2^62, and nothing else is asked of it.
            origin: Origin { id: seed >> 2, version: 1 },
            slots: Vec::new(),
            payloads: PayloadTable::default(),
            extensions: ExtensionTable::default(),
            transport: TransportState::new(credentials),
            ingress: IngressLines::default(),
            ssrcs: SsrcSequence::new(seed),
            next_mid: 0,
            exchange: Exchange::Stable,
        }
    }

    /// Chooses another first line than [`KEEP_ALIVE`] for the offers of this session.
    #[must_use]
    pub fn with_keep_alive(mut self, keep_alive: KeepAlive) -> Self {
        self.keep_alive = keep_alive;
        self
    }

    /// Has us make the connection to another server: a full ICE agent in place of a lite one (RFC 8445 2.5), with the
    /// addresses of its own that it was made with.
    #[must_use]
    pub fn calling(mut self) -> Self {
        self.transport.call();
        // Other servers need no line that keeps their transport, and some take no data channels.
        self.with_keep_alive(KeepAlive::None)
    }

    /// Tells whether an offer of ours waits for its answer.
    #[must_use]
    pub fn pending_offer(&self) -> bool {
        self.exchange == Exchange::Offering
    }

    /// Tells whether bindings were made that need an offer of ours.
    #[must_use]
    pub fn needs_offer(&self) -> bool {
        !self.pending_offer() && self.slots.iter().any(Slot::wants_offer)
    }

    /// Has the next offer of ours hold a section for data channels, if there is none.
    ///
    /// # Errors
    /// When the session has as many sections as it may have.
    pub fn offer_application(&mut self) -> Result<(), BindError> {
        if self.has_application() {
            return Ok(());
        }
        self.place_application()
    }

    /// Tells whether a live section carries data channels, or is offered to.
    #[must_use]
    pub fn has_application(&self) -> bool {
        self.slots.iter().any(|slot| slot.live() && slot.kind == SectionKind::Application)
    }

    /// Gives up on our unanswered offer: everything that was bound for it ends, which is told.
    ///
    /// Its m-lines stay, since the client may have applied the offer although its answer was lost. The next offer
    /// repeats them as inactive, which fits a client that knows them and one that does not; an offer of the
    /// client says which it is.
    pub fn rollback(&mut self) -> Vec<EndedSlot> {
        if !self.pending_offer() {
            return Vec::new();
        }
        self.exchange = Exchange::Stable;
        self.slots.iter_mut().filter_map(Slot::withdraw).collect()
    }

    /// Gives the state of one section.
    #[must_use]
    pub fn section_state(&self, mid: &str) -> Option<SectionState> {
        self.slot(mid).map(Slot::state)
    }

    /// Walks over the sections in m-line order.
    pub fn sections(&self) -> impl Iterator<Item = SectionState> {
        self.slots.iter().map(Slot::state)
    }

    /// Gives the publication that the client feeds in a section.
    #[must_use]
    pub fn local(&self, mid: &str) -> Option<PublicationId> {
        self.slot(mid)?.local
    }

    /// Tells whether an offer of ours is still to be answered before a section is as it is meant to be.
    #[must_use]
    pub fn is_proposed(&self, mid: &str) -> bool {
        self.slot(mid).is_some_and(Slot::is_proposed)
    }

    /// Describes what the client publishes in a section.
    #[must_use]
    pub fn published_media(&self, mid: &str) -> Option<PublishedMedia> {
        self.slot(mid)?.published()
    }

    fn slot(&self, mid: &str) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.mid == mid)
    }

    fn slot_mut(&mut self, mid: &str) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.mid == mid)
    }

    /// Notes a mid that the client uses.
    fn see_mid(&mut self, mid: &str) {
        // Absurdly high numbers are passed over, so that ours cannot be driven out of range.
        if let Some(number) = mid.parse::<u32>().ok().filter(|number| *number < 1 << 24) {
            self.next_mid = self.next_mid.max(number + 1);
        }
    }

    /// Names a data channel section of ours. Numbers are for media: clients count their own sections from 0, and those
    /// of theirs that carry the same tracks elsewhere are then called alike.
    fn mint_application_mid(&mut self) -> String {
        if self.knows_mid(APPLICATION_MID) { self.mint_mid() } else { APPLICATION_MID.to_owned() }
    }

    fn mint_mid(&mut self) -> String {
        loop {
            let mid = self.next_mid.to_string();
            self.next_mid += 1;
            // What was passed over may stand right here. The lines of a session are few, so this ends.
            if !self.knows_mid(&mid) {
                return mid;
            }
        }
    }

    /// Whether a line has this mid, or had it and may have it again, also with the engine.
    fn knows_mid(&self, mid: &str) -> bool {
        self.slots.iter().any(|slot| slot.is_called(mid)) || self.ingress.has(mid)
    }
}

fn media_kind(kind: SectionKind) -> Option<MediaKind> {
    match kind {
        SectionKind::Audio => Some(MediaKind::Audio),
        SectionKind::Video => Some(MediaKind::Video),
        SectionKind::Application | SectionKind::Other => None,
    }
}

fn section_kind(kind: MediaKind) -> SectionKind {
    match kind {
        MediaKind::Audio => SectionKind::Audio,
        MediaKind::Video => SectionKind::Video,
    }
}
