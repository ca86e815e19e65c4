//! A client that describes itself as browsers and aiortc do: transceivers, m-lines that stop and come back, and
//! offers written line by line in their manner.

use std::fmt::Write;

use crate::rtp::MediaKind;
use crate::sdp::{
    Direction, Fingerprint, Ice, Section, SectionKind, SessionDescription, Setup, SsrcSource, Transport,
};

const AUDIO_LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
const SEND_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";
const TWCC: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
const REPAIRED: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
const ORIENTATION: &str = "urn:3gpp:video-orientation";
const PLAYOUT: &str = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";
const CONTENT: &str = "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type";

/// Whose manner a client has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Chromium,
    Firefox,
    Aiortc,
}

/// One transceiver and its m-line.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) mid: String,
    pub(super) kind: SectionKind,
    pub(super) direction: Direction,
    pub(super) stopped: bool,
    /// Whether the other side knows that it stopped, so that the line may be used again.
    pub(super) free: bool,
    pub(super) rids: Vec<&'static str>,
    pub(super) ssrc: u32,
}

/// A client with one connection.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) style: Style,
    pub(super) lines: Vec<Line>,
    pub(super) ufrag: String,
    pub(super) fingerprint: String,
    next_mid: u32,
    next_ssrc: u32,
}

impl Client {
    pub(super) fn new(style: Style) -> Self {
        Self {
            style,
            lines: Vec::new(),
            ufrag: "cAb1".to_owned(),
            fingerprint: "3A:5C:07:11:9E:D0:42:B8:66:01:F3:2D:9A:77:C4:18:52:EE:0B:6F:A1:34:D9:80:1C:45:B7:23:8E:F6:5A:90"
                .to_owned(),
            next_mid: 0,
            next_ssrc: 0x0100_0000,
        }
    }

    /// Adds a transceiver; its m-line takes the place of one that has stopped.
    pub(super) fn add(&mut self, kind: MediaKind, direction: Direction) -> String {
        let kind = crate::negotiation::section_kind(kind);
        self.add_line(kind, direction)
    }

    pub(super) fn add_application(&mut self) -> String {
        self.add_line(SectionKind::Application, Direction::SendRecv)
    }

    fn add_line(&mut self, kind: SectionKind, direction: Direction) -> String {
        let mid = self.next_mid.to_string();
        self.next_mid += 1;
        self.next_ssrc += 2;
        let line = Line {
            mid: mid.clone(),
            kind,
            direction,
            stopped: false,
            free: false,
            rids: Vec::new(),
            ssrc: self.next_ssrc,
        };
        match self.lines.iter_mut().find(|line| line.free) {
            Some(free) => *free = line,
            None => self.lines.push(line),
        }
        mid
    }

    pub(super) fn line(&mut self, mid: &str) -> &mut Line {
        self.lines.iter_mut().find(|line| line.mid == mid).unwrap()
    }

    pub(super) fn stop(&mut self, mid: &str) {
        self.line(mid).stopped = true;
    }

    /// Prints the present state as an offer.
    pub(super) fn offer(&self) -> String {
        let mut text = self.head();
        for line in &self.lines {
            self.section(&mut text, line);
        }
        text.replace('\n', "\r\n")
    }

    /// Applies our answer: stopped lines become free. Checks what every browser checks.
    pub(super) fn accept_answer(&mut self, answer: &str) -> SessionDescription {
        let answer = SessionDescription::parse(answer).unwrap();
        assert_eq!(answer.sections.len(), self.lines.len());
        for (section, line) in answer.sections.iter().zip(&mut self.lines) {
            assert_eq!((section.mid.as_str(), section.kind), (line.mid.as_str(), line.kind));
            assert!(section.rejected || !line.stopped, "a stopped line came alive");
            assert!(section.rejected || section.transport.setup == Some(Setup::Passive));
            line.stopped |= section.rejected;
            line.free = line.stopped;
        }
        answer
    }

    /// Applies our offer as browsers do and gives the answer.
    pub(super) fn answer(&mut self, offer: &str) -> String {
        self.answer_if(offer, |_| true)
    }

    /// The same, refusing the sections for which the choice says no.
    pub(super) fn answer_if(&mut self, offer: &str, accept: impl Fn(&Section) -> bool) -> String {
        let offer = SessionDescription::parse(offer).unwrap();
        assert!(offer.sections.len() >= self.lines.len(), "the offer lost m-lines");
        let mut answer = SessionDescription { extmap_allow_mixed: true, ..SessionDescription::default() };
        for (index, section) in offer.sections.iter().enumerate() {
            self.meet(index, section);
            let line = &mut self.lines[index];
            line.stopped |= section.rejected || !accept(section);
            line.free = line.stopped;
            let line = line.clone();
            answer.sections.push(self.answered(&line, section));
        }
        let live = answer.sections.iter().filter(|section| !section.rejected);
        answer.bundle = live.map(|section| section.mid.clone()).collect();
        assert_eq!(offer.bundle, {
            let live = offer.sections.iter().filter(|section| !section.rejected);
            live.map(|section| section.mid.clone()).collect::<Vec<_>>()
        });
        answer.to_string()
    }

    /// Finds or makes the transceiver for a section of our offer.
    fn meet(&mut self, index: usize, section: &Section) {
        // RFC 8829 5.10: the transceiver is a receiver, whatever the offer says. Where it asks for a track, the
        // application gives one.
        let direction = Direction::new(section.direction.receives(), true);
        if let Some(line) = self.lines.get_mut(index) {
            if line.mid == section.mid {
                assert!(section.rejected || !line.stopped, "the offer revived a stopped line");
                return;
            }
            assert!(line.free, "the offer changed the mid of a live line");
        }
        if let Ok(number) = section.mid.parse::<u32>() {
            self.next_mid = self.next_mid.max(number + 1);
        }
        self.next_ssrc += 2;
        let line = Line {
            mid: section.mid.clone(),
            kind: section.kind,
            direction,
            stopped: false,
            free: false,
            rids: Vec::new(),
            ssrc: self.next_ssrc,
        };
        match self.lines.get_mut(index) {
            Some(old) => *old = line,
            None => self.lines.push(line),
        }
    }

    fn answered(&self, line: &Line, offered: &Section) -> Section {
        let mut section = Section::new(offered.kind, offered.mid.clone());
        section.rejected = line.stopped;
        section.direction = Direction::Inactive;
        if line.stopped {
            return section;
        }
        let theirs = offered.direction;
        section.direction = Direction::new(
            line.direction.sends() && theirs.receives(),
            line.direction.receives() && theirs.sends(),
        );
        section.transport = Transport {
            ice: Some(Ice { ufrag: self.ufrag.clone(), pwd: self.pwd() }),
            fingerprints: vec![Fingerprint { hash: "sha-256".to_owned(), value: self.fingerprint.clone() }],
            setup: Some(Setup::Active),
        };
        section.rtcp_mux = true;
        section.rtcp_rsize = true;
        section.sctp_port = offered.sctp_port;
        section.max_message_size = offered.sctp_port.map(|_| 262_144);
        let known = self.known();
        section.payloads = offered.payloads.clone();
        section.payloads.retain(|payload| known.contains(&payload.name.to_ascii_lowercase().as_str()));
        section.extmap = offered.extmap.clone();
        let uris = self.extensions(offered.kind);
        section.extmap.retain(|extmap| uris.iter().any(|(_, uri)| *uri == extmap.uri));
        if section.direction.sends() {
            section.rids = offered.rids.clone();
            for rid in &mut section.rids {
                rid.direction = crate::sdp::RidDirection::Send;
            }
            section.simulcast = offered.simulcast.clone().map(|mut simulcast| {
                std::mem::swap(&mut simulcast.send, &mut simulcast.recv);
                simulcast
            });
            section.ssrcs = vec![SsrcSource { ssrc: line.ssrc, cname: Some("me".to_owned()), msid: None }];
        }
        section
    }

    fn pwd(&self) -> String {
        format!("pwd{}0123456789abcdefghij", self.ufrag)
    }

    fn known(&self) -> Vec<&'static str> {
        let mut known = vec!["opus", "pcmu", "pcma", "vp8", "h264", "rtx"];
        if self.style != Style::Aiortc {
            known.extend(["vp9", "av1"]);
        }
        if self.style == Style::Chromium {
            known.push("red");
        }
        known
    }

    fn extensions(&self, kind: SectionKind) -> Vec<(&'static str, &'static str)> {
        let audio = kind == SectionKind::Audio;
        match (self.style, audio) {
            (Style::Chromium, true) => vec![("1", AUDIO_LEVEL), ("2", SEND_TIME), ("3", TWCC), ("4", MID)],
            (Style::Chromium, false) => vec![
                ("2", SEND_TIME),
                ("13", ORIENTATION),
                ("3", TWCC),
                ("5", PLAYOUT),
                ("6", CONTENT),
                ("4", MID),
                ("10", RID),
                ("11", REPAIRED),
            ],
            (Style::Firefox, true) => vec![("1", AUDIO_LEVEL), ("3", MID)],
            (Style::Firefox, false) => {
                vec![
                    ("3", MID),
                    ("4", SEND_TIME),
                    ("6/recvonly", PLAYOUT),
                    ("7", TWCC),
                    ("8", RID),
                    ("9", REPAIRED),
                ]
            }
            (Style::Aiortc, true) => vec![("1", MID), ("2", AUDIO_LEVEL)],
            (Style::Aiortc, false) => vec![("1", MID), ("3", SEND_TIME)],
        }
    }

    fn head(&self) -> String {
        let live: Vec<&str> =
            self.lines.iter().filter(|line| !line.stopped).map(|line| line.mid.as_str()).collect();
        let mut text = "v=0\no=- 4611731400430051336 2 IN IP4 127.0.0.1\ns=-\nt=0 0\n".to_owned();
        if self.style == Style::Firefox {
            writeln!(text, "a=sendrecv\na=fingerprint:sha-256 {}\na=ice-options:trickle", self.fingerprint)
                .unwrap();
        }
        if !live.is_empty() {
            writeln!(text, "a=group:BUNDLE {}", live.join(" ")).unwrap();
        }
        if self.style != Style::Aiortc {
            text.push_str("a=extmap-allow-mixed\n");
        }
        text.push_str("a=msid-semantic: WMS *\n");
        text
    }

    fn section(&self, text: &mut String, line: &Line) {
        let port = if line.stopped { 0 } else { 9 };
        let (media, list, body) = match line.kind {
            SectionKind::Audio => ("audio", self.audio().0, self.audio().1),
            SectionKind::Video => ("video", self.video().0, self.video().1),
            _ => {
                writeln!(text, "m=application {port} UDP/DTLS/SCTP webrtc-datachannel\nc=IN IP4 0.0.0.0")
                    .unwrap();
                self.transport(text);
                writeln!(text, "a=mid:{}\na=sctp-port:5000\na=max-message-size:262144", line.mid).unwrap();
                return;
            }
        };
        writeln!(text, "m={media} {port} UDP/TLS/RTP/SAVPF {list}\nc=IN IP4 0.0.0.0").unwrap();
        writeln!(text, "a=rtcp:9 IN IP4 0.0.0.0").unwrap();
        self.transport(text);
        writeln!(text, "a=mid:{}", line.mid).unwrap();
        for (id, uri) in self.extensions(line.kind) {
            writeln!(text, "a=extmap:{id} {uri}").unwrap();
        }
        let direction = match line.direction {
            _ if line.stopped => "inactive",
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        };
        writeln!(text, "a={direction}\na=rtcp-mux").unwrap();
        if self.style != Style::Aiortc {
            text.push_str("a=rtcp-rsize\n");
        }
        text.push_str(&body);
        if line.direction.sends() && !line.stopped {
            self.sources(text, line);
        }
    }

    fn sources(&self, text: &mut String, line: &Line) {
        let Line { mid, ssrc, rids, .. } = line;
        writeln!(text, "a=msid:stream track{mid}").unwrap();
        if !rids.is_empty() {
            for rid in rids {
                writeln!(text, "a=rid:{rid} send").unwrap();
            }
            writeln!(text, "a=simulcast:send {}", rids.join(";")).unwrap();
            return;
        }
        if line.kind == SectionKind::Video {
            writeln!(text, "a=ssrc-group:FID {ssrc} {}", ssrc + 1).unwrap();
            writeln!(text, "a=ssrc:{} cname:{{name of it}}", ssrc + 1).unwrap();
        }
        writeln!(text, "a=ssrc:{ssrc} cname:{{name of it}}\na=ssrc:{ssrc} msid:stream track{mid}").unwrap();
    }

    fn transport(&self, text: &mut String) {
        writeln!(text, "a=ice-ufrag:{}\na=ice-pwd:{}", self.ufrag, self.pwd()).unwrap();
        if self.style == Style::Chromium {
            text.push_str("a=ice-options:trickle\n");
        }
        if self.style == Style::Aiortc {
            text.push_str("a=candidate:6d1f 1 udp 2130706431 10.0.0.7 54321 typ host\na=end-of-candidates\n");
            writeln!(text, "a=fingerprint:sha-512 {}", ["01"; 64].join(":")).unwrap();
        }
        if self.style != Style::Firefox {
            writeln!(text, "a=fingerprint:sha-256 {}", self.fingerprint).unwrap();
        }
        text.push_str("a=setup:actpass\n");
    }

    fn audio(&self) -> (&'static str, String) {
        let common = "a=rtpmap:9 G722/8000\na=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\n";
        match self.style {
            Style::Chromium => (
                "111 63 9 0 8 13 110 126",
                format!(
                    "a=rtpmap:111 opus/48000/2\na=rtcp-fb:111 transport-cc\na=fmtp:111 minptime=10;useinbandfec=1\n\
                     a=rtpmap:63 red/48000/2\na=fmtp:63 111/111\n{common}a=rtpmap:13 CN/8000\n\
                     a=rtpmap:110 telephone-event/48000\na=rtpmap:126 telephone-event/8000\n"
                ),
            ),
            Style::Firefox => (
                "109 9 0 8 101",
                format!(
                    "a=fmtp:109 maxplaybackrate=48000;stereo=1;useinbandfec=1\na=fmtp:101 0-15\n\
                     a=rtpmap:109 opus/48000/2\n{common}a=rtpmap:101 telephone-event/8000\n"
                ),
            ),
            Style::Aiortc => ("96 9 0 8", format!("a=rtpmap:96 opus/48000/2\n{common}")),
        }
    }

    fn video(&self) -> (&'static str, String) {
        let mut text = String::new();
        let h264 = |profile: &str, mode: u8| {
            format!("level-asymmetry-allowed=1;packetization-mode={mode};profile-level-id={profile}")
        };
        let mut codec = |pt: u8, rtx: u8, name: &str, fmtp: &str| {
            writeln!(text, "a=rtpmap:{pt} {name}/90000\na=rtcp-fb:{pt} goog-remb").unwrap();
            if self.style != Style::Aiortc {
                writeln!(text, "a=rtcp-fb:{pt} transport-cc\na=rtcp-fb:{pt} ccm fir").unwrap();
            }
            writeln!(text, "a=rtcp-fb:{pt} nack\na=rtcp-fb:{pt} nack pli").unwrap();
            if !fmtp.is_empty() {
                writeln!(text, "a=fmtp:{pt} {fmtp}").unwrap();
            }
            writeln!(text, "a=rtpmap:{rtx} rtx/90000\na=fmtp:{rtx} apt={pt}").unwrap();
        };
        let list = match self.style {
            Style::Chromium => {
                codec(96, 97, "VP8", "");
                codec(98, 99, "VP9", "profile-id=0");
                codec(100, 101, "VP9", "profile-id=2");
                codec(102, 103, "H264", &h264("42001f", 1));
                codec(104, 105, "H264", &h264("42001f", 0));
                codec(106, 107, "H264", &h264("42e01f", 1));
                codec(45, 46, "AV1", "level-idx=5;profile=0;tier=0");
                text.push_str("a=rtpmap:114 red/90000\na=rtpmap:115 rtx/90000\na=fmtp:115 apt=114\n");
                text.push_str("a=rtpmap:116 ulpfec/90000\na=rtpmap:118 flexfec-03/90000\n");
                text.push_str("a=fmtp:118 repair-window=10000000\n");
                "96 97 98 99 100 101 102 103 104 105 106 107 45 46 114 115 116 118"
            }
            Style::Firefox => {
                codec(120, 124, "VP8", "max-fs=12288;max-fr=60");
                codec(121, 125, "VP9", "max-fs=12288;max-fr=60");
                codec(
                    126,
                    127,
                    "H264",
                    "profile-level-id=42e01f;level-asymmetry-allowed=1;packetization-mode=1",
                );
                codec(99, 100, "AV1", "");
                text.push_str("a=rtpmap:123 ulpfec/90000\na=rtpmap:122 red/90000\n");
                "120 124 121 125 126 127 99 100 123 122"
            }
            Style::Aiortc => {
                codec(97, 98, "VP8", "");
                codec(99, 100, "H264", &h264("42001f", 1));
                codec(101, 102, "H264", &h264("42e01f", 1));
                "97 98 99 100 101 102"
            }
        };
        (list, text)
    }
}
