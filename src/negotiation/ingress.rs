//! Writes the description that feeds the ingress engine: the client's sending sections alone.
//!
//! The engine is an SDP endpoint that only ever answers. It sees an order of m-lines of its own, which grows by
//! the sections in which the client sends, behind a dummy that never carries anything: so sessions without any
//! can connect too. Lines never move; a stopped one is taken over by the next new section, but only by a later
//! description than the one that stopped it.

use super::codecs;
use super::payloads::PayloadTable;
use super::slots::Slot;
use super::transport::RemoteTransport;
use crate::rtp::{Codec, MediaKind};
use crate::sdp::{
    Direction, Origin, Payload, Rid, RidDirection, Section, SectionKind, SessionDescription, Simulcast,
    SimulcastLayer, SsrcGroup, SsrcSource, Transport,
};

/// Mid of the dummy.
pub(super) const DUMMY_MID: &str = "__";

/// Video payload types that the engine can tell apart.
///
/// It matches codecs by name and parameters, and drops what it does not know. All it needs of a video payload
/// type is the clock rate and the link to its retransmissions, so every one is presented as VP9 with a
/// `profile-id` of its own, for which the engine has this many configurations.
pub const VIDEO_DISGUISES: usize = 16;

/// The m-lines and payload types as the engine knows them.
#[derive(Debug, Clone, Default)]
pub(super) struct IngressLines {
    lines: Vec<Line>,
    /// Client's video payload types; the index is the disguise.
    video: Vec<u8>,
    /// Client's audio payload types: the engine knows one of each codec.
    audio: Vec<(Codec, u8)>,
    /// Counts exchanges.
    epoch: u64,
}

#[derive(Debug, Clone)]
struct Line {
    mid: String,
    kind: SectionKind,
    /// The exchange that stopped it.
    stopped: Option<u64>,
}

impl IngressLines {
    /// Begins an exchange.
    pub(super) fn begin(&mut self) {
        self.epoch += 1;
    }

    /// Claims a payload type of a section in which the client sends; tells whether the engine can take it.
    pub(super) fn claim(&mut self, pt: u8, codec: Codec) -> bool {
        if codec.kind() == MediaKind::Video {
            if self.video.contains(&pt) {
                return true;
            }
            if self.video.len() == VIDEO_DISGUISES {
                return false;
            }
            self.video.push(pt);
            return true;
        }
        match self.audio.iter().find(|(known, _)| *known == codec) {
            Some((_, known)) => *known == pt,
            None => {
                self.audio.push((codec, pt));
                true
            }
        }
    }

    /// Makes a section known to the engine, if it is not yet.
    pub(super) fn open(&mut self, mid: &str, kind: SectionKind) {
        if let Some(line) = self.lines.iter_mut().find(|line| line.mid == mid) {
            line.stopped = None;
            return;
        }
        let line = Line { mid: mid.to_owned(), kind, stopped: None };
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
    pub(super) fn print(
        &self,
        id: u64,
        remote: &RemoteTransport,
        slots: &[Slot],
        table: &PayloadTable,
    ) -> String {
        let mut sections = vec![dummy()];
        for line in &self.lines {
            let slot = slots.iter().find(|slot| slot.mid == line.mid && slot.live());
            sections.push(match slot {
                Some(slot) if line.stopped.is_none() && slot.media_kind().is_some() => {
                    self.media(slot, table)
                }
                _ if line.kind == SectionKind::Application => application(&line.mid),
                _ => stopped(line),
            });
        }
        let live = sections.iter().filter(|section| !section.rejected);
        let description = SessionDescription {
            // No version: the text is the same as long as what it says is.
            origin: Origin { id, version: 1 },
            bundle: live.map(|section| section.mid.clone()).collect(),
            ice_lite: false,
            extmap_allow_mixed: true,
            transport: Transport {
                ice: Some(remote.ice.clone()),
                fingerprint: Some(remote.fingerprint.clone()),
                setup: Some(remote.setup),
            },
            sections,
        };
        description.to_string()
    }

    fn media(&self, slot: &Slot, table: &PayloadTable) -> Section {
        let mut section = Section::new(slot.kind, slot.mid.clone());
        section.direction = Direction::SendOnly;
        section.rtcp_mux = true;
        section.rtcp_rsize = slot.rtcp_rsize;
        section.extmap.clone_from(&slot.extmap);
        for extmap in &mut section.extmap {
            extmap.direction = None;
        }
        for payload in &slot.payloads {
            self.payload(payload, slot, table, &mut section.payloads);
        }
        section.rids =
            slot.rids.iter().map(|id| Rid { id: id.clone(), direction: RidDirection::Send }).collect();
        let layer = |rid: &String| vec![SimulcastLayer { rid: rid.clone(), paused: false }];
        section.simulcast = slot
            .simulcast
            .then(|| Simulcast { send: slot.rids.iter().map(layer).collect(), recv: Vec::new() });
        if slot.rids.is_empty() {
            (section.ssrcs, section.ssrc_groups) = sources(slot);
        }
        section
    }

    fn payload(&self, payload: &Payload, slot: &Slot, table: &PayloadTable, list: &mut Vec<Payload>) {
        let Some(kind) = slot.media_kind() else { return };
        let Some(codec) = codecs::known(payload, kind) else { return };
        let mut line = payload.clone();
        if kind == MediaKind::Audio {
            codec.name().clone_into(&mut line.name);
            line.channels = matches!(codec, Codec::Opus | Codec::Red).then_some(2);
            list.push(line);
            return;
        }
        let Some(disguise) = self.video.iter().position(|pt| *pt == payload.pt) else { return };
        Codec::Vp9.name().clone_into(&mut line.name);
        line.fmtp = Some(format!("profile-id={disguise}"));
        list.push(line);
        // The engine fixes the link at its first sight of the payload type, so it is given wherever the session
        // knows one, even if this section goes without.
        if let Some(rtx) = table.rtx_of(payload.pt) {
            list.push(Payload {
                pt: rtx,
                name: "rtx".to_owned(),
                clock: payload.clock,
                channels: None,
                fmtp: Some(format!("apt={}", payload.pt)),
                rtcp_fb: Vec::new(),
            });
        }
    }
}

/// What the client announced of its sources: one primary source and its retransmissions. More of them without
/// rids would be simulcast in its old form, which is not carried.
fn sources(slot: &Slot) -> (Vec<SsrcSource>, Vec<SsrcGroup>) {
    let fid = |group: &&SsrcGroup| group.semantics.eq_ignore_ascii_case("FID") && group.ssrcs.len() == 2;
    let old_simulcast = slot.ssrc_groups.iter().find(|group| group.semantics.eq_ignore_ascii_case("SIM"));
    let groups: Vec<SsrcGroup> = slot.ssrc_groups.iter().filter(fid).cloned().collect();
    let Some(first) = old_simulcast.and_then(|group| group.ssrcs.first()) else {
        return (named(slot, |_| true), groups);
    };
    let groups: Vec<SsrcGroup> =
        groups.into_iter().filter(|group| group.ssrcs.first() == Some(first)).collect();
    let kept = |ssrc: u32| ssrc == *first || groups.iter().any(|group| group.ssrcs.contains(&ssrc));
    (named(slot, kept), groups)
}

fn named(slot: &Slot, keep: impl Fn(u32) -> bool) -> Vec<SsrcSource> {
    let kept = slot.ssrcs.iter().filter(|source| keep(source.ssrc));
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
        clock: 8_000,
        channels: None,
        fmtp: None,
        rtcp_fb: Vec::new(),
    });
    section
}

fn application(mid: &str) -> Section {
    let mut section = Section::new(SectionKind::Application, mid);
    section.sctp_port = Some(super::SCTP_PORT);
    section.max_message_size = Some(super::MESSAGE_BYTES_MAX);
    section
}

fn stopped(line: &Line) -> Section {
    let mut section = Section::new(line.kind, line.mid.clone());
    section.rejected = true;
    section.direction = Direction::Inactive;
    section
}
