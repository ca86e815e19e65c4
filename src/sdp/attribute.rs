//! Reads the `a=` lines of a section one by one.

use std::net::SocketAddr;

use super::{
    ATTRIBUTES_MAX, CANDIDATES_MAX, Candidate, Direction, Extmap, Fingerprint, Ice, Msid, Payload, Rid,
    RidDirection, Section, SectionKind, Setup, Simulcast, SimulcastLayer, SsrcGroup, SsrcSource, Transport,
};

/// Most fingerprints that are kept of one section.
const FINGERPRINTS_MAX: usize = 16;
/// Most feedback lines that are kept of one payload type.
const FEEDBACK_MAX: usize = 16;

/// Collects the attributes of one section.
pub(super) struct AttributeSink {
    section: Section,
    /// Feedback for all payload types (RFC 4585 4.2, `*`).
    feedback: Vec<String>,
    /// Whether it has fingerprints of its own, which take the place of those of the session part.
    own_fingerprints: bool,
}

impl AttributeSink {
    /// Starts a section with the payload types of its m-line.
    pub(super) fn new(mut section: Section, payloads: Option<Vec<Payload>>) -> Self {
        section.payloads = payloads.unwrap_or_default();
        Self { section, feedback: Vec::new(), own_fingerprints: false }
    }

    /// Takes one attribute.
    pub(super) fn take(&mut self, name: &str, value: &str) -> Result<(), String> {
        let section = &mut self.section;
        match name {
            "mid" => section.mid = value.trim().to_owned(),
            "rtpmap" => rtpmap(section, value)?,
            "fmtp" => fmtp(section, value),
            "rtcp-fb" => self.rtcp_fb(value),
            "extmap" => extmap(&mut section.extmap, value)?,
            "rid" => rid(section, value)?,
            "simulcast" => section.simulcast = Some(simulcast(value)?),
            "ssrc" => ssrc(section, value)?,
            "ssrc-group" => ssrc_group(section, value)?,
            "msid" => section.msid = Some(msid(value)),
            "sctp-port" => section.sctp_port = value.trim().parse().ok(),
            "max-message-size" => section.max_message_size = value.trim().parse().ok(),
            "candidate" => candidate(section, value),
            "rtcp-mux" => section.rtcp_mux = true,
            "rtcp-rsize" => section.rtcp_rsize = true,
            "extmap-allow-mixed" => section.extmap_allow_mixed = true,
            _ => {
                if let Some(direction) = direction(name) {
                    section.direction = direction;
                } else {
                    if name == "fingerprint" && !std::mem::replace(&mut self.own_fingerprints, true) {
                        section.transport.fingerprints.clear();
                    }
                    transport(&mut section.transport, name, value)?;
                }
            }
        }
        Ok(())
    }

    /// Ends the section: payload types without a name are dropped.
    pub(super) fn finish(mut self) -> Section {
        self.section.payloads.retain(|payload| !payload.name.is_empty());
        for payload in &mut self.section.payloads {
            let own = std::mem::take(&mut payload.rtcp_fb);
            payload.rtcp_fb.clone_from(&self.feedback);
            payload.rtcp_fb.extend(own.into_iter().filter(|line| !self.feedback.contains(line)));
        }
        self.section
    }

    fn rtcp_fb(&mut self, value: &str) {
        let Some((pt, feedback)) = value.split_once(' ') else { return };
        let list = if pt == "*" {
            &mut self.feedback
        } else {
            let payload = payload_type(pt).ok().and_then(|pt| payload(&mut self.section, pt));
            let Some(payload) = payload else { return };
            &mut payload.rtcp_fb
        };
        if list.len() < FEEDBACK_MAX {
            list.push(feedback.trim().to_owned());
        }
    }
}

fn payload(section: &mut Section, pt: u8) -> Option<&mut Payload> {
    section.payloads.iter_mut().find(|payload| payload.pt == pt)
}

/// Reads a payload type; RTP has seven bits for it (RFC 3550 5.1).
pub(super) fn payload_type(word: &str) -> Result<u8, String> {
    word.parse().ok().filter(|pt| *pt < 128).ok_or_else(|| format!("\"{word}\" is no payload type"))
}

/// Reads a direction attribute.
pub(super) fn direction(name: &str) -> Option<Direction> {
    Some(match name {
        "sendrecv" => Direction::SendRecv,
        "sendonly" => Direction::SendOnly,
        "recvonly" => Direction::RecvOnly,
        "inactive" => Direction::Inactive,
        _ => return None,
    })
}

/// Reads ICE and DTLS attributes; others are ignored.
pub(super) fn transport(transport: &mut Transport, name: &str, value: &str) -> Result<(), String> {
    let value = value.trim();
    match name {
        "ice-ufrag" => credentials(transport).ufrag = credential(value, "a=ice-ufrag")?,
        "ice-pwd" => credentials(transport).pwd = credential(value, "a=ice-pwd")?,
        "fingerprint" => {
            let fingerprint = fingerprint(value)?;
            if transport.fingerprints.len() < FINGERPRINTS_MAX {
                transport.fingerprints.push(fingerprint);
            }
        }
        "setup" => {
            transport.setup = Some(match value {
                "actpass" => Setup::ActPass,
                "active" => Setup::Active,
                "passive" => Setup::Passive,
                // RFC 4145 4: nobody is to connect for the time being, which a session cannot wait for.
                "holdconn" => {
                    return Err(
                        "a=setup:holdconn asks for no connection: send actpass, active or passive".into()
                    );
                }
                _ => {
                    let value: String = value.chars().take(32).collect();
                    return Err(format!("a=setup:{value} is no role: send actpass, active or passive"));
                }
            });
        }
        _ => {}
    }
    Ok(())
}

fn credentials(transport: &mut Transport) -> &mut Ice {
    transport.ice.get_or_insert_with(|| Ice { ufrag: String::new(), pwd: String::new() })
}

/// Checks a credential: 1 to 256 ice-chars (RFC 8839 5.4); shorter ones than the RFC's minimum do no harm here.
fn credential(value: &str, what: &str) -> Result<String, String> {
    let valid = (1..=256).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic());
    if valid { Ok(value.to_owned()) } else { Err(format!("{what} is malformed")) }
}

fn fingerprint(value: &str) -> Result<Fingerprint, String> {
    let (hash, bytes) = value.split_once(' ').ok_or("a=fingerprint has no value")?;
    let bytes = bytes.trim();
    let hex = |pair: &str| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
    if bytes.len() > 256 || hash.is_empty() || !bytes.split(':').all(hex) {
        return Err("a=fingerprint is malformed".to_owned());
    }
    Ok(Fingerprint { hash: hash.to_ascii_lowercase(), value: bytes.to_ascii_uppercase() })
}

fn rtpmap(section: &mut Section, value: &str) -> Result<(), String> {
    if !matches!(section.kind, SectionKind::Audio | SectionKind::Video) {
        return Ok(());
    }
    let malformed = || format!("a=rtpmap:{value} is malformed");
    let (pt, encoding) = value.split_once(' ').ok_or_else(malformed)?;
    let pt = payload_type(pt)?;
    let mut parts = encoding.trim().split('/');
    let name = parts.next().unwrap_or_default();
    let clock = parts.next().and_then(|clock| clock.parse().ok()).ok_or_else(malformed)?;
    let channels = parts.next().map(str::parse).transpose().map_err(|_| malformed())?;
    if name.is_empty() || name.contains(' ') || clock == 0 {
        return Err(malformed());
    }
    if let Some(payload) = payload(section, pt) {
        name.clone_into(&mut payload.name);
        payload.clock = clock;
        payload.channels = channels;
    }
    Ok(())
}

fn fmtp(section: &mut Section, value: &str) {
    let Some((pt, parameters)) = value.split_once(' ') else { return };
    let Some(payload) = payload_type(pt).ok().and_then(|pt| payload(section, pt)) else { return };
    let parameters = parameters.trim();
    match &mut payload.fmtp {
        Some(fmtp) if fmtp.len() + parameters.len() < super::VALUE_BYTES_MAX => {
            fmtp.push(';');
            fmtp.push_str(parameters);
        }
        Some(_) => {}
        None => payload.fmtp = Some(parameters.to_owned()),
    }
}

/// Reads `a=extmap` into a list; a line that is repeated below the session part replaces the inherited one.
pub(super) fn extmap(list: &mut Vec<Extmap>, value: &str) -> Result<(), String> {
    let mut words = value.split_ascii_whitespace();
    let (Some(id), Some(uri)) = (words.next(), words.next()) else { return Ok(()) };
    let (id, restriction) = id.split_once('/').map_or((id, None), |(id, direction)| (id, Some(direction)));
    // RFC 8285 5: ids above 255 stand for offers of alternatives, which nobody makes.
    let Ok(id) = id.parse::<u8>() else { return Ok(()) };
    if id == 0 {
        return Err(format!("a=extmap:{value} has id 0"));
    }
    let extmap = Extmap { id, uri: uri.to_owned(), direction: restriction.and_then(direction) };
    if let Some(known) = list.iter_mut().find(|known| known.id == id) {
        *known = extmap;
        return Ok(());
    }
    push(list, extmap, "a=extmap")
}

fn rid(section: &mut Section, value: &str) -> Result<(), String> {
    let mut words = value.split_ascii_whitespace();
    let (Some(id), Some(direction)) = (words.next(), words.next()) else {
        return Err(format!("a=rid:{value} is malformed"));
    };
    let direction = match direction {
        "send" => RidDirection::Send,
        "recv" => RidDirection::Recv,
        _ => return Err(format!("a=rid:{value} has no direction")),
    };
    let restrictions = words.collect::<Vec<_>>().join(" ");
    let restrictions = Some(restrictions).filter(|restrictions| !restrictions.is_empty());
    push(&mut section.rids, Rid { id: rid_name(id)?, direction, restrictions }, "a=rid")
}

/// Checks the name of a rid. RFC 8851 10 allows letters and digits; earlier drafts also `-` and `_`.
fn rid_name(name: &str) -> Result<String, String> {
    let valid = (1..=32).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if valid { Ok(name.to_owned()) } else { Err("the name of a rid is malformed".to_owned()) }
}

fn simulcast(value: &str) -> Result<Simulcast, String> {
    let mut simulcast = Simulcast::default();
    let mut words = value.split_ascii_whitespace();
    while let Some(direction) = words.next() {
        let list = words.next().ok_or_else(|| format!("a=simulcast:{value} is malformed"))?;
        let mut parsed = Vec::new();
        for layer in list.split(';') {
            let alternatives = layer.split(',').map(simulcast_layer).collect::<Result<Vec<_>, _>>()?;
            push(&mut parsed, alternatives, "simulcast layers")?;
        }
        match direction {
            "send" => simulcast.send = parsed,
            "recv" => simulcast.recv = parsed,
            _ => return Err(format!("a=simulcast:{value} is malformed")),
        }
    }
    Ok(simulcast)
}

fn simulcast_layer(word: &str) -> Result<SimulcastLayer, String> {
    let (rid, paused) = word.strip_prefix('~').map_or((word, false), |rid| (rid, true));
    Ok(SimulcastLayer { rid: rid_name(rid)?, paused })
}

fn ssrc(section: &mut Section, value: &str) -> Result<(), String> {
    let (ssrc, attribute) = value.split_once(' ').unwrap_or((value, ""));
    let ssrc = ssrc.parse().map_err(|_| format!("a=ssrc:{ssrc} is malformed"))?;
    if !section.ssrcs.iter().any(|source| source.ssrc == ssrc) {
        push(&mut section.ssrcs, SsrcSource { ssrc, cname: None, msid: None }, "a=ssrc")?;
    }
    let Some(source) = section.ssrcs.iter_mut().find(|source| source.ssrc == ssrc) else { return Ok(()) };
    match attribute.split_once(':') {
        Some(("cname", cname)) => source.cname = Some(cname.to_owned()),
        Some(("msid", value)) => source.msid = Some(msid(value)),
        _ => {}
    }
    Ok(())
}

fn ssrc_group(section: &mut Section, value: &str) -> Result<(), String> {
    let mut words = value.split_ascii_whitespace();
    let semantics = words.next().unwrap_or_default().to_owned();
    let ssrcs = words.take(ATTRIBUTES_MAX).map(str::parse).collect::<Result<Vec<u32>, _>>();
    let ssrcs = ssrcs.map_err(|_| format!("a=ssrc-group:{value} is malformed"))?;
    push(&mut section.ssrc_groups, SsrcGroup { semantics, ssrcs }, "a=ssrc-group")
}

fn msid(value: &str) -> Msid {
    let mut words = value.split_ascii_whitespace().map(str::to_owned);
    Msid { stream: words.next().unwrap_or_else(|| "-".to_owned()), track: words.next().unwrap_or_default() }
}

fn push<T>(list: &mut Vec<T>, value: T, what: &str) -> Result<(), String> {
    if list.len() >= ATTRIBUTES_MAX {
        return Err(format!("more than {ATTRIBUTES_MAX} {what}"));
    }
    list.push(value);
    Ok(())
}

/// Takes a candidate that we can send checks to: UDP, component 1, an address in numbers. Others are of no use.
fn candidate(section: &mut Section, value: &str) {
    let mut words = value.split_ascii_whitespace();
    let (_foundation, component, protocol) = (words.next(), words.next(), words.next());
    let is_ours = component == Some("1") && protocol.is_some_and(|name| name.eq_ignore_ascii_case("udp"));
    let priority = words.next().and_then(|word| word.parse().ok());
    let ip = words.next().and_then(|word| word.parse().ok());
    let port = words.next().and_then(|word| word.parse().ok()).filter(|port| *port != 0);
    let (Some(priority), Some(ip), Some(port), true) = (priority, ip, port, is_ours) else { return };
    if section.candidates.len() < CANDIDATES_MAX {
        section.candidates.push(Candidate { address: SocketAddr::new(ip, port), priority, tcp: false });
    }
}
