//! Prints a description. Values are written as they are: they come from our own code or from a parsed line, and
//! a parsed line holds no line end.

use std::fmt::{self, Display, Formatter, Write};

use super::{
    Candidate, Direction, Fingerprint, Msid, Payload, RidDirection, Section, SectionKind, SessionDescription,
    Setup, SimulcastLayer, Transport,
};

/// Writes one line with the line end of the grammar.
macro_rules! line {
    ($f:expr, $($arg:tt)*) => {{
        write!($f, $($arg)*)?;
        $f.write_str("\r\n")?;
    }};
}

impl Display for SessionDescription {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        line!(f, "v=0");
        line!(f, "o=- {} {} IN IP4 0.0.0.0", self.origin.id, self.origin.version);
        line!(f, "s=-");
        line!(f, "t=0 0");
        if !self.bundle.is_empty() {
            line!(f, "a=group:BUNDLE {}", self.bundle.join(" "));
        }
        if self.extmap_allow_mixed {
            line!(f, "a=extmap-allow-mixed");
        }
        line!(f, "a=msid-semantic: WMS *");
        if self.ice_lite {
            line!(f, "a=ice-lite");
        }
        transport(f, &self.transport)?;
        self.sections.iter().try_for_each(|section| section.fmt(f))
    }
}

impl Display for Section {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "m={} {} {}", self.media, if self.rejected { 0 } else { 9 }, self.protocol)?;
        if self.payloads.is_empty() {
            line!(f, " {}", self.formats);
        } else {
            for payload in &self.payloads {
                write!(f, " {}", payload.pt)?;
            }
            f.write_str("\r\n")?;
        }
        line!(f, "c=IN IP4 0.0.0.0");
        for (index, candidate) in self.candidates.iter().enumerate() {
            write_candidate(f, index, candidate)?;
            f.write_str("\r\n")?;
        }
        if self.end_of_candidates {
            line!(f, "a=end-of-candidates");
        }
        transport(f, &self.transport)?;
        line!(f, "a=mid:{}", self.mid);
        for extmap in &self.extmap {
            write!(f, "a=extmap:{}", extmap.id)?;
            if let Some(direction) = extmap.direction {
                write!(f, "/{}", direction_name(direction))?;
            }
            line!(f, " {}", extmap.uri);
        }
        if self.extmap_allow_mixed {
            line!(f, "a=extmap-allow-mixed");
        }
        if self.kind == SectionKind::Application {
            return sctp(f, self);
        }
        line!(f, "a={}", direction_name(self.direction));
        if let Some(msid) = &self.msid {
            line!(f, "a=msid:{}", Spaced(msid));
        }
        if self.rtcp_mux {
            line!(f, "a=rtcp-mux");
        }
        if self.rtcp_rsize {
            line!(f, "a=rtcp-rsize");
        }
        self.payloads.iter().try_for_each(|payload| write_payload(f, payload))?;
        streams(f, self)
    }
}

fn transport(f: &mut Formatter<'_>, transport: &Transport) -> fmt::Result {
    if let Some(ice) = &transport.ice {
        line!(f, "a=ice-ufrag:{}", ice.ufrag);
        line!(f, "a=ice-pwd:{}", ice.pwd);
    }
    for Fingerprint { hash, value } in &transport.fingerprints {
        line!(f, "a=fingerprint:{hash} {value}");
    }
    if let Some(setup) = transport.setup {
        let name = match setup {
            Setup::ActPass => "actpass",
            Setup::Active => "active",
            Setup::Passive => "passive",
        };
        line!(f, "a=setup:{name}");
    }
    Ok(())
}

/// Writes the line of a candidate, without its end.
pub(super) fn write_candidate(f: &mut Formatter<'_>, index: usize, candidate: &Candidate) -> fmt::Result {
    // One foundation per address: the bases of two host candidates differ (RFC 8445 5.1.1.3).
    let Candidate { address, priority, tcp } = candidate;
    let (protocol, tail) = if *tcp { ("tcp", " tcptype passive") } else { ("udp", "") };
    let (foundation, ip, port) = (index + 1, address.ip(), address.port());
    write!(f, "a=candidate:{foundation} 1 {protocol} {priority} {ip} {port} typ host{tail}")
}

fn sctp(f: &mut Formatter<'_>, section: &Section) -> fmt::Result {
    if let Some(port) = section.sctp_port {
        line!(f, "a=sctp-port:{port}");
    }
    if let Some(size) = section.max_message_size {
        line!(f, "a=max-message-size:{size}");
    }
    Ok(())
}

fn write_payload(f: &mut Formatter<'_>, payload: &Payload) -> fmt::Result {
    let Payload { pt, name, clock, channels, fmtp, rtcp_fb } = payload;
    write!(f, "a=rtpmap:{pt} {name}/{clock}")?;
    if let Some(channels) = channels.filter(|channels| *channels > 1) {
        write!(f, "/{channels}")?;
    }
    f.write_str("\r\n")?;
    for feedback in rtcp_fb {
        line!(f, "a=rtcp-fb:{pt} {feedback}");
    }
    if let Some(fmtp) = fmtp {
        line!(f, "a=fmtp:{pt} {fmtp}");
    }
    Ok(())
}

fn streams(f: &mut Formatter<'_>, section: &Section) -> fmt::Result {
    for rid in &section.rids {
        let direction = match rid.direction {
            RidDirection::Send => "send",
            RidDirection::Recv => "recv",
        };
        write!(f, "a=rid:{} {direction}", rid.id)?;
        if let Some(restrictions) = &rid.restrictions {
            write!(f, " {restrictions}")?;
        }
        f.write_str("\r\n")?;
    }
    if let Some(simulcast) = &section.simulcast {
        f.write_str("a=simulcast:")?;
        layers(f, "send", &simulcast.send)?;
        if !simulcast.send.is_empty() && !simulcast.recv.is_empty() {
            f.write_char(' ')?;
        }
        layers(f, "recv", &simulcast.recv)?;
        f.write_str("\r\n")?;
    }
    for group in &section.ssrc_groups {
        write!(f, "a=ssrc-group:{}", group.semantics)?;
        group.ssrcs.iter().try_for_each(|ssrc| write!(f, " {ssrc}"))?;
        f.write_str("\r\n")?;
    }
    for source in &section.ssrcs {
        if let Some(cname) = &source.cname {
            line!(f, "a=ssrc:{} cname:{cname}", source.ssrc);
        }
        if let Some(msid) = &source.msid {
            line!(f, "a=ssrc:{} msid:{}", source.ssrc, Spaced(msid));
        }
    }
    Ok(())
}

fn layers(f: &mut Formatter<'_>, direction: &str, layers: &[Vec<SimulcastLayer>]) -> fmt::Result {
    for (index, alternatives) in layers.iter().enumerate() {
        if index == 0 {
            write!(f, "{direction} ")?;
        } else {
            f.write_char(';')?;
        }
        for (index, layer) in alternatives.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}{}", if layer.paused { "~" } else { "" }, layer.rid)?;
        }
    }
    Ok(())
}

/// Prints a msid as its two words, or as one where there is no track.
struct Spaced<'a>(&'a Msid);

impl Display for Spaced<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.stream)?;
        if self.0.track.is_empty() { Ok(()) } else { write!(f, " {}", self.0.track) }
    }
}

fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::SendRecv => "sendrecv",
        Direction::SendOnly => "sendonly",
        Direction::RecvOnly => "recvonly",
        Direction::Inactive => "inactive",
    }
}
