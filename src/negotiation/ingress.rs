//! Writes the description that feeds the ingress engine: the client's sending sections alone.
//!
//! The engine is an SDP endpoint that only ever answers. It sees an order of m-lines of its own:
//!
//! ```text
//! 0    dummy      inactive audio, so that sessions in which the client sends nothing can connect too
//! 1    numbers    stopped; carries every payload type and extension id, under a new mid whenever one is added
//! 2..  sections   in which the client sends; append-only
//! ```
//!
//! Lines never move; a stopped one is taken over by the next new section, but only by a later description than
//! the one that stopped it. The second line is there because the engine learns numbers from lines that are new to
//! it and from no others, while a client may add codecs to a section that it has.

use super::codecs;
use super::slots::Slot;
use super::transport::RemoteTransport;
use crate::plan::DtlsPart;
use crate::rtp::{Codec, MediaKind};
use crate::sdp::{
    Direction, Extmap, Origin, Payload, Rid, Section, SectionKind, SessionDescription, Setup, Simulcast,
    SimulcastLayer, SsrcGroup, SsrcSource, Transport,
};
use crate::session::dialect::{self, VIDEO_DISGUISES};

/// Mid of the dummy.
const DUMMY_MID: &str = "__";
/// How the mids of the line with the numbers begin.
const NUMBERS_MID: &str = "_n";

/// As what every video payload type is presented.
///
/// The engine matches codecs by name and parameters, and drops what it does not know. All it needs of a video payload
/// type is the clock rate and the link to its retransmissions, so every one is presented as VP9 with a `profile-id` of
/// its own, for which the engine has [`VIDEO_DISGUISES`] configurations.
const DISGUISE: Codec = Codec::Vp9;

/// How names begin that a section has with the engine alone.
const ALIAS: &str = "_s";

/// Tells whether a name is one of the lines that are ours.
pub(super) fn reserved(name: &str) -> bool {
    name == DUMMY_MID || name.starts_with(NUMBERS_MID)
}

/// The m-lines and numbers as the engine knows them.
#[derive(Debug, Clone, Default)]
pub(super) struct IngressLines {
    lines: Vec<Line>,
    /// Client's video payload types; the index is the disguise.
    video: Vec<VideoClaim>,
    /// Client's audio payload types: the engine knows one of each codec.
    audio: Vec<AudioClaim>,
    /// Client's extension ids: the engine keeps the first of each URI.
    extensions: Vec<Extmap>,
    /// Counts exchanges.
    epoch: u64,
}

/// A video payload type. The engine fixes the link to its retransmissions at first sight.
#[derive(Debug, Clone)]
struct VideoClaim {
    pt: u8,
    rtx: Option<u8>,
    rtcp_fb: Vec<String>,
}

#[derive(Debug, Clone)]
struct AudioClaim {
    codec: Codec,
    payload: Payload,
    /// The exchange that brought it.
    epoch: u64,
}

#[derive(Debug, Clone)]
struct Line {
    mid: String,
    /// What the engine calls it.
    name: String,
    kind: SectionKind,
    /// The exchange that stopped it.
    stopped: Option<u64>,
}

impl IngressLines {
    /// Begins an exchange.
    pub(super) fn begin(&mut self) {
        self.epoch += 1;
    }

    /// Claims a payload type of a section in which the client sends; tells whether the engine can take it. What
    /// means something else already cannot be taken: the engine would renumber it in silence.
    fn claim(&mut self, payload: &Payload, rtx: Option<u8>, codec: Codec) -> bool {
        let (pt, epoch) = (payload.pt, self.epoch);
        if codec.kind() == MediaKind::Video {
            if self.video.iter().any(|claim| claim.pt == pt) {
                return true;
            }
            if self.video.len() == usize::from(VIDEO_DISGUISES) || self.claimed(pt) {
                return false;
            }
            let rtx = rtx.filter(|rtx| !self.claimed(*rtx));
            self.video.push(VideoClaim { pt, rtx, rtcp_fb: payload.rtcp_fb.clone() });
            return true;
        }
        if let Some(claim) = self.audio.iter().find(|claim| claim.codec == codec) {
            return claim.payload.pt == pt;
        }
        // Redundancy is a property of Opus, which the engine fixes at first sight.
        let late = self.audio.iter().any(|claim| claim.codec == Codec::Opus && claim.epoch != epoch);
        if self.claimed(pt) || (codec == Codec::Red && late) {
            return false;
        }
        let channels = matches!(codec, Codec::Opus | Codec::Red).then_some(2);
        let payload = Payload { name: codec.name().to_owned(), channels, ..payload.clone() };
        self.audio.push(AudioClaim { codec, payload, epoch });
        true
    }

    /// Filters a payload list of a section in which the client sends down to what the engine can take.
    pub(super) fn receivable(
        &mut self,
        payloads: &[Payload],
        kind: MediaKind,
        rtx_of: impl Fn(u8) -> Option<u8>,
    ) -> Vec<Payload> {
        let mut kept =
            codecs::filtered(payloads, kind, |payload, codec| self.claim(payload, rtx_of(payload.pt), codec));
        kept.retain(|payload| payload.rtx_for().is_none_or(|pt| self.rtx_of(pt) == Some(payload.pt)));
        kept
    }

    /// Takes over the extension ids of a section in which the client sends. Ids that mean something else already are
    /// taken off the list: the engine would keep the first meaning in silence.
    pub(super) fn name(&mut self, extmap: &mut Vec<Extmap>) {
        extmap.retain(|line| {
            let known = self.extensions.iter().find(|known| known.uri == line.uri || known.id == line.id);
            if let Some(known) = known {
                return known.uri == line.uri && known.id == line.id;
            }
            self.extensions.push(Extmap { direction: None, ..line.clone() });
            true
        });
    }

    /// Gives the retransmissions of a video payload type as the engine knows them.
    pub(super) fn rtx_of(&self, pt: u8) -> Option<u8> {
        self.video.iter().find(|claim| claim.pt == pt)?.rtx
    }

    /// Tells whether the engine knows a payload type.
    pub(super) fn knows(&self, pt: u8) -> bool {
        self.audio.iter().any(|claim| claim.payload.pt == pt) || self.video.iter().any(|claim| claim.pt == pt)
    }

    fn claimed(&self, pt: u8) -> bool {
        self.knows(pt) || self.video.iter().any(|claim| claim.rtx == Some(pt))
    }

    /// Makes a section known to the engine, if it is not yet.
    pub(super) fn open(&mut self, mid: &str, kind: SectionKind) {
        match self.lines.iter_mut().find(|line| line.mid == mid) {
            Some(line) if line.kind == kind => {
                line.stopped = None;
                return;
            }
            // The client has called a section of another kind so before. The engine keeps that line, and its name.
            Some(line) => line.mid.clear(),
            None => {}
        }
        let line = Line { mid: mid.to_owned(), name: self.name_for(mid), kind, stopped: None };
        if kind == SectionKind::Application {
            // The engine has one such line, which can neither move nor change its mid.
            if !self.lines.iter().any(|line| line.kind == kind) {
                self.lines.push(line);
            }
            return;
        }
        match self.lines.iter_mut().find(|line| line.stopped.is_some_and(|epoch| epoch < self.epoch)) {
            Some(free) => *free = line,
            None => self.lines.push(line),
        }
    }

    /// Finds a name for a section that the engine can tell from all others. Where its own does not do, packets are told
    /// by the sources that the client announces: see `limits::check_mids`.
    fn name_for(&self, mid: &str) -> String {
        let taken =
            |name: &str| reserved(name) || self.lines.iter().any(|line| line.name == name && line.mid != mid);
        let own = dialect::section_name(mid);
        if !taken(&own) {
            return own;
        }
        let mut aliases = (0..=self.lines.len()).map(|number| format!("{ALIAS}{number}"));
        aliases.find(|alias| !taken(alias)).unwrap_or(own)
    }

    /// Whether a section is known by this mid, also one that has stopped.
    pub(super) fn has(&self, mid: &str) -> bool {
        self.lines.iter().any(|line| line.mid == mid)
    }

    /// What the engine calls a section.
    pub(super) fn name_of<'a>(&'a self, mid: &'a str) -> &'a str {
        self.lines.iter().find(|line| line.mid == mid).map_or(mid, |line| line.name.as_str())
    }

    /// Stops a section for the engine. Data channels have no stop there.
    pub(super) fn stop(&mut self, mid: &str) {
        let media = |line: &&mut Line| line.mid == mid && line.kind != SectionKind::Application;
        if let Some(line) = self.lines.iter_mut().find(media) {
            line.stopped.get_or_insert(self.epoch);
        }
    }

    /// Whether the engine knows the section as live.
    pub(super) fn contains(&self, mid: &str) -> bool {
        self.lines.iter().any(|line| line.mid == mid && line.stopped.is_none())
    }

    /// Prints the description.
    pub(super) fn print(&self, id: u64, remote: &RemoteTransport, part: DtlsPart, slots: &[Slot]) -> String {
        let mut sections = vec![dummy(), self.numbers()];
        for line in &self.lines {
            let slot = slots.iter().find(|slot| slot.mid == line.mid && slot.live());
            sections.push(match slot {
                Some(slot) if line.stopped.is_none() && slot.media_kind().is_some() => {
                    self.media(slot, &line.name)
                }
                _ if line.kind == SectionKind::Application => application(&line.name, slot),
                _ => stopped(line),
            });
        }
        if let Some(first) = sections.first_mut() {
            first.candidates.clone_from(&remote.candidates);
        }
        let setup = match part {
            DtlsPart::Waits => Setup::Active,
            DtlsPart::Begins(_) => Setup::Passive,
        };
        let live = sections.iter().filter(|section| !section.rejected);
        let description = SessionDescription {
            // No version: the text is the same as long as what it says is.
            origin: Origin { id, version: 1 },
            bundle: live.map(|section| section.mid.clone()).collect(),
            ice_lite: remote.lite,
            extmap_allow_mixed: true,
            author: None,
            transport: Transport {
                ice: Some(remote.ice.clone()),
                // It takes the certificate for proven when the session has: `session/dtls` looks at the digests.
                fingerprints: vec![remote.fingerprints.first.clone()],
                setup: Some(setup),
            },
            sections,
        };
        description.to_string()
    }

    fn media(&self, slot: &Slot, name: &str) -> Section {
        let mut section = Section::new(slot.kind, name);
        section.direction = Direction::SendOnly;
        section.rtcp_mux = true;
        section.rtcp_rsize = slot.told.rtcp_rsize;
        section.extmap.clone_from(&slot.extmap);
        for extmap in &mut section.extmap {
            extmap.direction = None;
        }
        for payload in &slot.payloads {
            self.describe(payload.pt, &mut section.payloads);
        }
        // To the engine every alternative is a layer of its own, and none is paused: what comes, comes.
        let named = |rid: &Rid| Rid { id: dialect::layer_name(&rid.id), restrictions: None, ..rid.clone() };
        section.rids = slot.told.rids.iter().map(named).collect();
        let layer = |rid: &Rid| vec![SimulcastLayer { rid: dialect::layer_name(&rid.id), paused: false }];
        section.simulcast = (!slot.told.simulcast.is_empty())
            .then(|| Simulcast { send: slot.told.rids.iter().map(layer).collect(), recv: Vec::new() });
        if slot.told.rids.is_empty() {
            (section.ssrcs, section.ssrc_groups) = sources(slot);
        }
        section
    }

    /// Writes the lines of one payload type as the engine is to see it.
    fn describe(&self, pt: u8, list: &mut Vec<Payload>) {
        if let Some(claim) = self.audio.iter().find(|claim| claim.payload.pt == pt) {
            list.push(claim.payload.clone());
        }
        let Some((disguise, claim)) = self.video.iter().enumerate().find(|(_, claim)| claim.pt == pt) else {
            return;
        };
        let line = |pt: u8, name: &str, fmtp: String, rtcp_fb: Vec<String>| Payload {
            pt,
            name: name.to_owned(),
            clock: DISGUISE.clock_rate(),
            channels: None,
            fmtp: Some(fmtp),
            rtcp_fb,
        };
        list.push(line(pt, DISGUISE.name(), format!("profile-id={disguise}"), claim.rtcp_fb.clone()));
        if let Some(rtx) = claim.rtx {
            list.push(line(rtx, "rtx", format!("apt={pt}"), Vec::new()));
        }
    }

    /// The line that teaches the engine all numbers before any section uses them.
    fn numbers(&self) -> Section {
        let count = self.audio.len() + self.video.len() + self.extensions.len();
        let mut section = Section::new(SectionKind::Video, format!("{NUMBERS_MID}{count}"));
        section.rejected = true;
        section.direction = Direction::Inactive;
        section.extmap.clone_from(&self.extensions);
        let audio = self.audio.iter().map(|claim| claim.payload.pt);
        for pt in audio.chain(self.video.iter().map(|claim| claim.pt)) {
            self.describe(pt, &mut section.payloads);
        }
        section
    }
}

/// What the client announced of its sources: one primary source and its retransmissions. More of them without
/// rids would be simulcast in its old form, which is not carried.
fn sources(slot: &Slot) -> (Vec<SsrcSource>, Vec<SsrcGroup>) {
    let fid = |group: &&SsrcGroup| group.semantics.eq_ignore_ascii_case("FID") && group.ssrcs.len() == 2;
    let old_simulcast =
        slot.told.ssrc_groups.iter().find(|group| group.semantics.eq_ignore_ascii_case("SIM"));
    let groups: Vec<SsrcGroup> = slot.told.ssrc_groups.iter().filter(fid).cloned().collect();
    let Some(first) = old_simulcast.and_then(|group| group.ssrcs.first()) else {
        return (named(slot, |_| true), groups);
    };
    let groups: Vec<SsrcGroup> =
        groups.into_iter().filter(|group| group.ssrcs.first() == Some(first)).collect();
    let kept = |ssrc: u32| ssrc == *first || groups.iter().any(|group| group.ssrcs.contains(&ssrc));
    (named(slot, kept), groups)
}

fn named(slot: &Slot, keep: impl Fn(u32) -> bool) -> Vec<SsrcSource> {
    let kept = slot.told.ssrcs.iter().filter(|source| keep(source.ssrc));
    // The name plays no part here, and the client's may hold what the engine does not parse.
    kept.map(|source| SsrcSource { ssrc: source.ssrc, cname: Some("c".to_owned()), msid: None }).collect()
}

fn dummy() -> Section {
    let mut section = Section::new(SectionKind::Audio, DUMMY_MID);
    section.direction = Direction::Inactive;
    section.rtcp_mux = true;
    section.payloads.push(Payload {
        pt: 0,
        name: Codec::Pcmu.name().to_owned(),
        clock: Codec::Pcmu.clock_rate(),
        channels: None,
        fmtp: None,
        rtcp_fb: Vec::new(),
    });
    section
}

fn application(mid: &str, slot: Option<&Slot>) -> Section {
    let mut section = Section::new(SectionKind::Application, mid);
    section.sctp_port = Some(super::SCTP_PORT);
    // 0 is a client without a limit (RFC 8841 6.1); the engine takes the number as it stands.
    let size = slot.and_then(|slot| slot.told.message_bytes);
    let bound =
        |size: u64| if size == 0 { super::MESSAGE_BYTES_MAX } else { size.min(super::MESSAGE_BYTES_MAX) };
    section.max_message_size = size.map(bound);
    section
}

fn stopped(line: &Line) -> Section {
    let mut section = Section::new(line.kind, line.name.clone());
    section.rejected = true;
    section.direction = Direction::Inactive;
    section
}
