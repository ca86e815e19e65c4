//! Reads a description. Lenient where clients are known to be sloppy and nothing hangs on it; strict where a
//! wrong reading would bind media to the wrong section.

use sdp_types::{Attribute, Media, Session};

use super::attribute::{self, AttributeSink};
use super::{
    Direction, Origin, PAYLOADS_MAX, Payload, SECTIONS_MAX, SdpError, Section, SectionKind,
    SessionDescription, Transport, VALUE_BYTES_MAX,
};

impl SessionDescription {
    /// Parses a description. Line ends may be LF, and the last one may be missing.
    ///
    /// # Errors
    /// Says which line or section breaks the grammar or a bound.
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        if text.len() > super::BYTES_MAX {
            return Err(SdpError::TooLong(text.len()));
        }
        let session = Session::parse(text.as_bytes()).map_err(|error| SdpError::Syntax(error.to_string()))?;
        if session.medias.len() > SECTIONS_MAX {
            let problem = format!("{} sections, more than {SECTIONS_MAX}", session.medias.len());
            return Err(SdpError::Session(problem));
        }
        let mut description = Self {
            origin: Origin {
                id: session.origin.sess_id.parse().unwrap_or_default(),
                version: session.origin.sess_version,
            },
            author: session.origin.username.filter(|name| name != "-" && name.len() <= VALUE_BYTES_MAX),
            ..Self::default()
        };
        let mut shared = Shared::default();
        for (name, value) in pairs(&session.attributes) {
            session_attribute(&mut description, &mut shared, name, value).map_err(SdpError::Session)?;
        }
        description.transport = shared.transport.clone();
        for (index, media) in session.medias.iter().enumerate() {
            let section = section(media, &shared).map_err(|problem| {
                let mid = media.get_first_attribute_value("mid").flatten().unwrap_or_default();
                SdpError::Section { index, mid: mid.chars().take(64).collect(), problem }
            })?;
            description.sections.push(section);
        }
        Ok(description)
    }
}

/// What sections inherit from the session part.
#[derive(Default)]
struct Shared {
    transport: Transport,
    direction: Direction,
    extmap: Vec<super::Extmap>,
    extmap_allow_mixed: bool,
}

/// Gives the attributes as name and value; over-long values stand as if they were absent lines.
fn pairs(attributes: &[Attribute]) -> impl Iterator<Item = (&str, &str)> {
    attributes
        .iter()
        .map(|attribute| (attribute.attribute.as_str(), attribute.value.as_deref().unwrap_or_default()))
        .filter(|(_, value)| value.len() <= VALUE_BYTES_MAX)
}

fn session_attribute(
    description: &mut SessionDescription,
    shared: &mut Shared,
    name: &str,
    value: &str,
) -> Result<(), String> {
    match name {
        "group" => {
            let mut words = value.split_ascii_whitespace();
            if words.next() == Some("BUNDLE") && description.bundle.is_empty() {
                description.bundle = words.take(SECTIONS_MAX).map(str::to_owned).collect();
            }
        }
        "ice-lite" => description.ice_lite = true,
        "extmap-allow-mixed" => {
            description.extmap_allow_mixed = true;
            shared.extmap_allow_mixed = true;
        }
        "extmap" => attribute::extmap(&mut shared.extmap, value)?,
        _ => {
            if let Some(direction) = attribute::direction(name) {
                shared.direction = direction;
            } else {
                attribute::transport(&mut shared.transport, name, value)?;
            }
        }
    }
    Ok(())
}

fn section(media: &Media, shared: &Shared) -> Result<Section, String> {
    let kind = match media.media.as_str() {
        "audio" => SectionKind::Audio,
        "video" => SectionKind::Video,
        "application" => SectionKind::Application,
        _ => SectionKind::Other,
    };
    let mut section = Section::new(kind, "");
    section.media.clone_from(&media.media);
    section.protocol.clone_from(&media.proto);
    section.formats.clone_from(&media.fmt);
    section.direction = shared.direction;
    section.transport = shared.transport.clone();
    section.extmap.clone_from(&shared.extmap);
    section.extmap_allow_mixed = shared.extmap_allow_mixed;
    let mut sink = AttributeSink::new(section, has_payloads(kind).then(|| formats(&media.fmt)).transpose()?);
    for (name, value) in pairs(&media.attributes) {
        sink.take(name, value)?;
    }
    let mut section = sink.finish();
    if section.mid.is_empty() {
        return Err("a=mid is missing".to_owned());
    }
    // RFC 9143 6: port zero with bundle-only is a live section that has no transport of its own.
    section.rejected = media.port == 0 && !media.has_attribute("bundle-only");
    Ok(section)
}

fn has_payloads(kind: SectionKind) -> bool {
    matches!(kind, SectionKind::Audio | SectionKind::Video)
}

/// Reads the format list of an RTP section as payload types, static ones with their names (RFC 3551 6).
fn formats(list: &str) -> Result<Vec<Payload>, String> {
    let mut payloads: Vec<Payload> = Vec::new();
    for word in list.split_ascii_whitespace() {
        let pt = attribute::payload_type(word)?;
        if payloads.len() == PAYLOADS_MAX {
            return Err(format!("more than {PAYLOADS_MAX} payload types"));
        }
        if payloads.iter().any(|payload| payload.pt == pt) {
            continue;
        }
        let name = match pt {
            0 => "PCMU",
            8 => "PCMA",
            9 => "G722",
            13 => "CN",
            _ => "",
        };
        let name = name.to_owned();
        payloads.push(Payload { pt, name, clock: 8000, channels: None, fmtp: None, rtcp_fb: Vec::new() });
    }
    Ok(payloads)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdp::{RidDirection, Setup};

    const MINIMAL: &str = "v=0\no=- 7 1 IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE a b\n\
        a=ice-ufrag:uuuu\na=ice-pwd:pppppppppppppppppppppp\n\
        a=fingerprint:sha-256 0a:0B:0c\na=setup:actpass\na=sendrecv\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 96 0\na=mid:a\na=rtpmap:96 opus/48000/2\na=fmtp:96 useinbandfec=1\n\
        m=video 0 UDP/TLS/RTP/SAVPF 98 99\na=bundle-only\na=mid:b\na=sendonly\na=rtpmap:98 VP8/90000\n\
        a=rtpmap:99 rtx/90000\na=fmtp:99 apt=98\na=rtcp-fb:* nack\na=rtcp-fb:98 nack pli\n\
        a=rid:hi send pt=98;max-width=640\na=rid:lo send\na=simulcast:send hi,lo;~lo\na=ssrc:5 cname:x\na=ssrc-group:FID 5 6";

    #[test]
    fn line_feeds_and_a_missing_last_line_end_are_accepted() {
        let description = SessionDescription::parse(MINIMAL).unwrap();
        assert_eq!(description.sections.len(), 2);
        assert_eq!(description.bundle, ["a", "b"]);
        assert_eq!(description.origin, Origin { id: 7, version: 1 });
        let crlf = MINIMAL.replace('\n', "\r\n");
        assert_eq!(SessionDescription::parse(&crlf).unwrap(), description);
    }

    #[test]
    fn session_attributes_are_inherited() {
        let description = SessionDescription::parse(MINIMAL).unwrap();
        for section in &description.sections {
            assert_eq!(section.transport.ice.as_ref().unwrap().ufrag, "uuuu");
            assert_eq!(section.transport.fingerprints[0].value, "0A:0B:0C");
            assert_eq!(section.transport.setup, Some(Setup::ActPass));
        }
        assert_eq!(description.sections[0].direction, Direction::SendRecv);
        assert_eq!(description.sections[1].direction, Direction::SendOnly);
    }

    #[test]
    fn bundle_only_is_not_a_rejection() {
        let description = SessionDescription::parse(MINIMAL).unwrap();
        assert!(!description.sections[1].rejected);
        let rejected = MINIMAL.replace("a=bundle-only\n", "");
        assert!(SessionDescription::parse(&rejected).unwrap().sections[1].rejected);
    }

    #[test]
    fn payloads_carry_their_lines_and_static_types_their_names() {
        let description = SessionDescription::parse(MINIMAL).unwrap();
        let [audio, video] = description.sections.as_slice() else { panic!() };
        assert_eq!(audio.payloads[0].channels, Some(2));
        assert_eq!(audio.payloads[1].name, "PCMU");
        assert_eq!(video.rtx_of(98), Some(99));
        assert_eq!(video.payloads[0].rtcp_fb, ["nack", "nack pli"]);
        assert_eq!(video.payloads[1].rtcp_fb, ["nack"]);
    }

    #[test]
    fn simulcast_keeps_order_alternatives_and_pauses() {
        let description = SessionDescription::parse(MINIMAL).unwrap();
        let video = &description.sections[1];
        assert_eq!(video.rids.len(), 2);
        assert_eq!(video.rids[0].direction, RidDirection::Send);
        let send = &video.simulcast.as_ref().unwrap().send;
        assert_eq!((send[0][0].rid.as_str(), send[0][1].rid.as_str()), ("hi", "lo"));
        assert!(send[1][0].paused && !send[0][0].paused);
    }

    #[test]
    fn what_is_written_parses_to_the_same() {
        let description = SessionDescription::parse(MINIMAL).unwrap();
        let again = SessionDescription::parse(&description.to_string()).unwrap();
        assert_eq!(again.sections.len(), description.sections.len());
        for (left, right) in again.sections.iter().zip(&description.sections) {
            assert_eq!(left, right);
        }
    }

    #[test]
    fn errors_name_the_line_or_the_section() {
        let error = SessionDescription::parse("v=0\r\nbroken\r\n").unwrap_err().to_string();
        assert!(error.contains('2'), "{error}");
        let error = SessionDescription::parse(&MINIMAL.replace("a=mid:b\n", "")).unwrap_err().to_string();
        assert!(error.contains("section 1") && error.contains("a=mid"), "{error}");
        let error =
            SessionDescription::parse(&MINIMAL.replace("98 VP8/90000", "98 VP8")).unwrap_err().to_string();
        assert!(error.contains("\"b\"") && error.contains("rtpmap"), "{error}");
        assert!(SessionDescription::parse("").is_err());
    }

    #[test]
    fn every_list_is_bounded() {
        let head = "v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\nt=0 0\n";
        let section = |mid: usize| format!("m=audio 9 UDP/TLS/RTP/SAVPF 0\na=mid:{mid}\n");
        let full: String = (0..SECTIONS_MAX).map(section).collect();
        assert_eq!(SessionDescription::parse(&format!("{head}{full}")).unwrap().sections.len(), SECTIONS_MAX);
        let over = format!("{head}{full}{}", section(SECTIONS_MAX));
        assert!(SessionDescription::parse(&over).unwrap_err().to_string().contains("512"));
        let long = format!("{head}a=x:{}\n", "y".repeat(crate::sdp::BYTES_MAX));
        assert!(matches!(SessionDescription::parse(&long), Err(SdpError::TooLong(_))));
        let sources: String = (0..200).map(|ssrc| format!("a=ssrc:{ssrc} cname:x\n")).collect();
        let error = SessionDescription::parse(&format!("{head}{}{sources}", section(0))).unwrap_err();
        assert!(error.to_string().contains("ssrc"));
    }

    #[test]
    fn over_long_values_are_dropped() {
        let long = format!("{MINIMAL}\na=fmtp:98 {}\n", "z".repeat(VALUE_BYTES_MAX + 1));
        assert_eq!(SessionDescription::parse(&long).unwrap().sections[1].payloads[0].fmtp, None);
    }
}
