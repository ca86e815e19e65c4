//! A client's side of the exchange: descriptions as Chromium writes them, answers to whatever is offered.

use std::fmt::Write;

/// What a section of the client is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Send,
    Receive,
    Both,
    Inactive,
    /// `transceiver.stop()`: port 0.
    Stopped,
}

impl Direction {
    fn attribute(self) -> &'static str {
        match self {
            Self::Send => "sendonly",
            Self::Receive => "recvonly",
            Self::Both => "sendrecv",
            Self::Inactive | Self::Stopped => "inactive",
        }
    }
}

#[derive(Clone)]
struct Section {
    mid: String,
    kind: &'static str,
    direction: Direction,
    rids: Vec<&'static str>,
    /// Format lines as this client or the other side wrote them.
    formats: Vec<String>,
    m_line_tail: String,
}

/// One peer connection.
#[derive(Clone)]
pub(crate) struct Browser {
    sections: Vec<Section>,
    version: u32,
    pub(crate) ufrag: String,
}

const AUDIO: &[&str] = &[
    "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    "a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid",
    "a=rtcp-mux",
    "a=rtcp-rsize",
    "a=rtpmap:111 opus/48000/2",
    "a=rtcp-fb:111 transport-cc",
    "a=fmtp:111 minptime=10;useinbandfec=1",
    "a=rtpmap:63 red/48000/2",
    "a=fmtp:63 111/111",
    "a=rtpmap:0 PCMU/8000",
    "a=rtpmap:8 PCMA/8000",
];

const VIDEO: &[&str] = &[
    "a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid",
    "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
    "a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
    "a=extmap:13 urn:3gpp:video-orientation",
    "a=rtcp-mux",
    "a=rtcp-rsize",
    "a=rtpmap:96 VP8/90000",
    "a=rtcp-fb:96 goog-remb",
    "a=rtcp-fb:96 transport-cc",
    "a=rtcp-fb:96 ccm fir",
    "a=rtcp-fb:96 nack",
    "a=rtcp-fb:96 nack pli",
    "a=rtpmap:97 rtx/90000",
    "a=fmtp:97 apt=96",
    "a=rtpmap:103 H264/90000",
    "a=rtcp-fb:103 nack",
    "a=rtcp-fb:103 nack pli",
    "a=fmtp:103 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f",
    "a=rtpmap:104 rtx/90000",
    "a=fmtp:104 apt=103",
];

impl Default for Browser {
    fn default() -> Self {
        Self { sections: Vec::new(), version: 1, ufrag: "Qw7R".into() }
    }
}

impl Browser {
    /// Adds a transceiver and returns its mid.
    pub(crate) fn add(&mut self, kind: &'static str, direction: Direction) -> String {
        let mids = self.sections.iter().filter_map(|section| section.mid.parse::<u32>().ok());
        let mid = mids.max().map_or(0, |mid| mid + 1).to_string();
        let (formats, m_line_tail) = match kind {
            "audio" => (AUDIO, "UDP/TLS/RTP/SAVPF 111 63 0 8"),
            _ => (VIDEO, "UDP/TLS/RTP/SAVPF 96 97 103 104"),
        };
        self.sections.push(Section {
            mid: mid.clone(),
            kind,
            direction,
            rids: Vec::new(),
            formats: formats.iter().map(|line| (*line).to_owned()).collect(),
            m_line_tail: m_line_tail.to_owned(),
        });
        mid
    }

    /// Adds a sending video transceiver with simulcast.
    pub(crate) fn add_simulcast(&mut self, rids: &[&'static str]) -> String {
        let mid = self.add("video", Direction::Send);
        self.section(&mid).rids = rids.to_vec();
        mid
    }

    fn section(&mut self, mid: &str) -> &mut Section {
        self.sections.iter_mut().find(|section| section.mid == mid).unwrap()
    }

    pub(crate) fn turn(&mut self, mid: &str, direction: Direction) {
        self.section(mid).direction = direction;
    }

    /// setCodecPreferences without H264.
    pub(crate) fn forget_h264(&mut self, mid: &str) {
        let section = self.section(mid);
        section.formats.retain(|line| !line.contains(":103 ") && !line.contains(":104 "));
        section.m_line_tail = section.m_line_tail.replace(" 103 104", "");
    }

    /// createOffer and setLocalDescription.
    pub(crate) fn offer(&mut self) -> String {
        self.describe("actpass")
    }

    /// setRemoteDescription with an offer, createAnswer and setLocalDescription.
    pub(crate) fn answer(&mut self, offer: &str) -> String {
        let offered: Vec<&str> = offer.split("\r\nm=").skip(1).collect();
        for (index, text) in offered.iter().enumerate() {
            let section = accept(text, self.sections.get(index));
            match self.sections.get_mut(index) {
                Some(known) => *known = section,
                None => self.sections.push(section),
            }
        }
        assert_eq!(self.sections.len(), offered.len(), "an offer keeps every m-line");
        self.describe("active")
    }

    fn describe(&mut self, setup: &str) -> String {
        self.version += 1;
        let live = self.sections.iter().filter(|section| section.direction != Direction::Stopped);
        let group: String = live.map(|section| format!(" {}", section.mid)).collect();
        let mut text = format!(
            "v=0\r\no=- 4611731400430051336 {} IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE{group}\r\n\
             a=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n",
            self.version
        );
        for (index, section) in self.sections.iter().enumerate() {
            self.describe_section(&mut text, index, section, setup);
        }
        text
    }

    fn describe_section(&self, text: &mut String, index: usize, section: &Section, setup: &str) {
        let port = if section.direction == Direction::Stopped { 0 } else { 9 };
        let (kind, tail, mid) = (section.kind, &section.m_line_tail, &section.mid);
        write!(
            text,
            "m={kind} {port} {tail}\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:{}\r\n\
             a=ice-pwd:0Jf7hnC8VTdRLQ1bUAy5nx2o\r\na=ice-options:trickle\r\na=fingerprint:sha-256 {}\r\n\
             a=setup:{setup}\r\na=mid:{mid}\r\n",
            self.ufrag,
            ["7C"; 32].join(":"),
        )
        .unwrap();
        if kind == "application" {
            text.push_str("a=sctp-port:5000\r\na=max-message-size:262144\r\n");
            return;
        }
        writeln!(text, "a={}\r", section.direction.attribute()).unwrap();
        for line in &section.formats {
            writeln!(text, "{line}\r").unwrap();
        }
        if !matches!(section.direction, Direction::Send | Direction::Both) {
            return;
        }
        if section.rids.is_empty() {
            let ssrc = 1_000 + index;
            writeln!(text, "a=msid:stream track{index}\r\na=ssrc:{ssrc} cname:abc\r").unwrap();
        } else {
            section.rids.iter().for_each(|rid| writeln!(text, "a=rid:{rid} send\r").unwrap());
            writeln!(text, "a=simulcast:send {}\r", section.rids.join(";")).unwrap();
        }
    }
}

/// The client's side of one offered section.
fn accept(text: &str, known: Option<&Section>) -> Section {
    let mut lines = text.split("\r\n");
    let mut m_line = lines.next().unwrap().splitn(3, ' ');
    let kind = match m_line.next().unwrap() {
        "audio" => "audio",
        "video" => "video",
        _ => "application",
    };
    let port = m_line.next().unwrap();
    let m_line_tail = m_line.next().unwrap().to_owned();
    let has = |name: &str| text.split("\r\n").any(|line| line == format!("a={name}"));
    let sends = known.is_some_and(|known| matches!(known.direction, Direction::Send | Direction::Both));
    let new = known.is_none();
    let direction = match () {
        () if port == "0" => Direction::Stopped,
        () if has("sendonly") => Direction::Receive,
        () if has("recvonly") && (sends || new) => Direction::Send,
        () if has("sendrecv") && (sends || new) => Direction::Both,
        () if has("sendrecv") => Direction::Receive,
        () => Direction::Inactive,
    };
    let kept = ["a=rtpmap", "a=fmtp", "a=rtcp-fb", "a=extmap:", "a=rtcp-mux", "a=rtcp-rsize"];
    let formats = lines.clone().filter(|line| kept.iter().any(|prefix| line.starts_with(prefix)));
    Section {
        mid: text.split("\r\n").find_map(|line| line.strip_prefix("a=mid:")).unwrap().to_owned(),
        kind,
        direction,
        rids: known.map(|known| known.rids.clone()).unwrap_or_default(),
        formats: formats.map(str::to_owned).collect(),
        m_line_tail,
    }
}

/// The attribute of direction of one section of a description.
pub(crate) fn direction_of(sdp: &str, mid: &str) -> Option<&'static str> {
    let section = sdp.split("\r\nm=").skip(1).find(|text| text.contains(&format!("\r\na=mid:{mid}\r\n")))?;
    ["sendonly", "recvonly", "sendrecv", "inactive"]
        .into_iter()
        .find(|name| section.split("\r\n").any(|line| line == format!("a={name}")))
}
