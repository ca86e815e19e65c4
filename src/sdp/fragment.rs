//! Fragments of descriptions that carry ICE alone (RFC 8840 9), as HTTP clients send them by PATCH.

use std::fmt::{self, Display, Formatter};

use super::write::write_candidate;
use super::{Candidate, Ice, SdpError};

/// Longest accepted fragment, bytes.
const BYTES_MAX: usize = 64 * 1024;
/// Most lines of one fragment.
const LINES_MAX: usize = 1_024;
/// Bounds of RFC 8839 5.4: characters of the user name fragment and of the password.
const UFRAG_CHARS: std::ops::RangeInclusive<usize> = 4..=256;
const PWD_CHARS: std::ops::RangeInclusive<usize> = 22..=256;

/// One side of an ICE session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceFragment {
    /// `a=ice-lite`.
    pub ice_lite: bool,
    /// Mids of the BUNDLE group.
    pub bundle: Vec<String>,
    /// Credentials.
    pub ice: Ice,
    /// Media type, protocol and mid of the section that the candidates stand in.
    pub section: Option<(String, String, String)>,
    /// Candidates to print; those of clients are not read, since the address is learnt from checks.
    pub candidates: Vec<Candidate>,
}

impl IceFragment {
    /// Reads the credentials of a fragment, and checks the form of all its lines. Candidates of kinds that are not
    /// known are as good as others.
    ///
    /// # Errors
    /// If a line breaks the grammar, or there are no credentials, or different ones.
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        if text.len() > BYTES_MAX {
            return Err(SdpError::TooLong(text.len()));
        }
        let syntax =
            |number: usize, problem: &str| SdpError::Syntax(format!("line {}: {problem}", number + 1));
        let (mut ufrag, mut pwd) = (None, None);
        let (mut ice_lite, mut in_section) = (false, false);
        for (number, line) in text.lines().map(str::trim_end).enumerate() {
            if number >= LINES_MAX {
                return Err(syntax(number, "there are too many lines"));
            }
            if line.is_empty() {
                continue;
            }
            match line.split_once('=') {
                Some(("m", media)) if media.split(' ').count() >= 3 => in_section = true,
                Some(("m", _)) => {
                    return Err(syntax(number, "an m-line needs media, port, protocol and formats"));
                }
                Some(("a", attribute)) => {
                    let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
                    match name {
                        "ice-ufrag" => {
                            one(&mut ufrag, value, &UFRAG_CHARS).map_err(|text| syntax(number, text))?
                        }
                        "ice-pwd" => one(&mut pwd, value, &PWD_CHARS).map_err(|text| syntax(number, text))?,
                        "ice-lite" => ice_lite = true,
                        "candidate" if !in_section => {
                            return Err(syntax(
                                number,
                                "a candidate needs the m-line and mid of its section",
                            ));
                        }
                        "candidate" if value.split_ascii_whitespace().count() < 8 => {
                            return Err(syntax(number, "the candidate is not complete"));
                        }
                        // Firefox ends its candidates with an empty one, which clients copy behind the `a=`.
                        "" if !attribute.is_empty() => {
                            return Err(syntax(number, "the attribute has no name"));
                        }
                        _ => {}
                    }
                }
                Some((kind, _)) if kind.len() == 1 => {}
                _ => return Err(syntax(number, "a line is one letter, =, and a value")),
            }
        }
        match (ufrag, pwd) {
            (Some(ufrag), Some(pwd)) => Ok(Self {
                ice_lite,
                bundle: Vec::new(),
                ice: Ice { ufrag, pwd },
                section: None,
                candidates: Vec::new(),
            }),
            _ => Err(SdpError::Session("the fragment has no a=ice-ufrag and a=ice-pwd".into())),
        }
    }
}

/// Takes a value that may stand several times, but only as the same.
fn one(
    known: &mut Option<String>,
    value: &str,
    length: &std::ops::RangeInclusive<usize>,
) -> Result<(), &'static str> {
    let ice_char = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    // Some clients use characters beside those of the grammar; what matters is that they can be printed.
    let printable = |byte: u8| ice_char(byte) || matches!(byte, b'-' | b'_' | b'=' | b'.' | b':');
    if !length.contains(&value.len()) || !value.bytes().all(printable) {
        return Err("the ICE credentials have a wrong length, or wrong characters");
    }
    if known.as_deref().is_some_and(|known| known != value) {
        return Err("the sections have different ICE credentials, which BUNDLE does not allow");
    }
    *known = Some(value.to_owned());
    Ok(())
}

impl Display for IceFragment {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.ice_lite {
            f.write_str("a=ice-lite\r\n")?;
        }
        if !self.bundle.is_empty() {
            write!(f, "a=group:BUNDLE {}\r\n", self.bundle.join(" "))?;
        }
        write!(f, "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", self.ice.ufrag, self.ice.pwd)?;
        let Some((media, protocol, mid)) = &self.section else { return Ok(()) };
        write!(f, "m={media} 9 {protocol} 0\r\na=mid:{mid}\r\n")?;
        for (index, candidate) in self.candidates.iter().enumerate() {
            write_candidate(f, index, candidate)?;
            // The client that others copied theirs from looks for candidates up to CRLF, and joins what it finds with
            // commas, which no browser takes. So it shall find the first only. RFC 8866 9 lets a newline alone end a
            // line, so all others find every one.
            f.write_str(if index == 0 { "\r\n" } else { "\n" })?;
        }
        f.write_str("a=end-of-candidates\r\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "a=ice-ufrag:EsAw\r\na=ice-pwd:bP+XJMM09aR8AiX1jdukzR6Y\r\n";

    fn parse(text: &str) -> Result<Ice, SdpError> {
        IceFragment::parse(text).map(|fragment| fragment.ice)
    }

    #[test]
    fn candidates_of_any_kind_are_taken() {
        let section = "m=audio 9 RTP/AVP 0\r\na=mid:0\r\n\
                       a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw\r\n\
                       a=candidate:1 1 tcp 1 x.local 9 typ new tcptype active\r\na=end-of-candidates\r\n";
        assert_eq!(parse(&format!("{CREDENTIALS}{section}")).unwrap().ufrag, "EsAw");
        assert_eq!(parse(&format!("{section}{CREDENTIALS}").replace("\r\n", "\n")).unwrap().ufrag, "EsAw");
        assert_eq!(parse(&format!("{CREDENTIALS}{section}a=\r\n")).unwrap().ufrag, "EsAw");
    }

    #[test]
    fn what_breaks_the_grammar_is_refused() {
        let table = [
            String::new(),
            "hello".to_owned(),
            "a=ice-ufrag:EsAw\r\n".to_owned(),
            "a=ice-ufrag:E\r\na=ice-pwd:bP+XJMM09aR8AiX1jdukzR6Y\r\n".to_owned(),
            format!("{CREDENTIALS}candidate"),
            format!("{CREDENTIALS}m=audio\r\n"),
            format!("{CREDENTIALS}a=:\r\n"),
            format!("{CREDENTIALS}a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n"),
            format!("{CREDENTIALS}m=audio 9 RTP/AVP 0\r\na=candidate:1 1 udp\r\n"),
            format!("{CREDENTIALS}a=ice-ufrag:Other\r\n"),
            format!("{CREDENTIALS}{}", "a=x\r\n".repeat(LINES_MAX)),
        ];
        for text in table {
            assert!(IceFragment::parse(&text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_printed_can_be_read() {
        let fragment = IceFragment {
            ice_lite: true,
            bundle: vec!["0".into(), "1".into()],
            ice: Ice { ufrag: "EsAw".into(), pwd: "bP+XJMM09aR8AiX1jdukzR6Y".into() },
            section: Some(("audio".into(), "UDP/TLS/RTP/SAVPF".into(), "0".into())),
            candidates: vec![
                Candidate::host(([192, 0, 2, 1], 40_000).into(), 65_535),
                Candidate::host(([192, 0, 2, 2], 40_000).into(), 65_534),
                Candidate::host(([192, 0, 2, 3], 40_000).into(), 65_533),
            ],
        };
        let text = fragment.to_string();
        let ended =
            text.split("\r\n").filter(|line| line.starts_with("a=candidate:") && !line.contains('\n'));
        assert_eq!(ended.count(), 1, "a client that joins them with commas finds one: {text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("a=candidate:")).count(), 3, "{text}");
        assert!(text.contains("a=candidate:1 1 udp 2130706431 192.0.2.1 40000 typ host\r\n"), "{text}");
        let read = IceFragment::parse(&text).unwrap();
        assert_eq!((read.ice, read.ice_lite), (fragment.ice, true));
    }
}
