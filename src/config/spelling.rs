//! How people write values: what is plain is taken, and what is not gets a sentence with the remedy.
//!
//! The parsers below speak of types and syntax; here their words are turned into those of an operator.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::BadValue;
use super::nearest::nearest;

/// Letters behind a number that stand for thousands and more.
const MULTIPLES: [(char, u64); 3] = [('k', 1_000), ('m', 1_000_000), ('g', 1_000_000_000)];

/// Reads a whole number.
pub(super) fn whole_number(text: &str) -> Result<u64, BadValue> {
    let text = text.trim();
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let digits: String = text.chars().filter(|char| !matches!(char, '_' | ',' | '\'' | ' ')).collect();
    if let Ok(number) = digits.parse::<u64>() {
        return Err(BadValue(format!("{text:?} is no whole number: write {number}")));
    }
    let unit = digits.trim_start_matches(|char: char| char.is_ascii_digit());
    let number = digits.strip_suffix(unit).and_then(|front| front.parse::<u64>().ok());
    let multiple = unit.chars().next().and_then(|first| {
        let known = MULTIPLES.iter().find(|(letter, _)| first.eq_ignore_ascii_case(letter));
        known.filter(|_| unit.len() == 1).map(|(_, multiple)| *multiple)
    });
    Err(BadValue(match (number, multiple) {
        (Some(number), Some(multiple)) => {
            format!("{text:?} is no whole number: write {}", number.saturating_mul(multiple))
        }
        (Some(number), None) => {
            format!("{text:?} is no whole number: write it without {unit:?}, such as {number}")
        }
        (None, _) => format!("{text:?} is no whole number: write one in digits, such as 10000"),
    }))
}

/// Reads `true` or `false`.
pub(super) fn switch(text: &str) -> Result<bool, BadValue> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(BadValue(format!("{text:?} is neither true nor false: give one of them"))),
    }
}

/// Reads an address with a port to listen on.
pub(super) fn listening_address(text: &str) -> Result<SocketAddr, BadValue> {
    let text = text.trim();
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Some((_, rest)) = text.split_once("://") {
        let rest = rest.trim_end_matches('/');
        return Err(BadValue(format!("{text:?} is a URL, where an address is needed: write {rest}")));
    }
    if text.parse::<IpAddr>().is_ok() {
        let shown = if text.contains(':') { format!("[{text}]") } else { text.to_owned() };
        return Err(BadValue(format!("{text:?} names no port: write it as {shown}:8080")));
    }
    let (host, port) = text.rsplit_once(':').unwrap_or_else(|| {
        if text.bytes().all(|byte| byte.is_ascii_digit()) { ("", text) } else { (text, "") }
    });
    if port.is_empty() {
        return Err(BadValue(format!(
            "{text:?} names no port: write an address and a port, as 127.0.0.1:8080"
        )));
    }
    let Ok(port) = port.parse::<u16>() else {
        return Err(BadValue(format!("{text:?} has no port that can be: give one from 1 to 65535")));
    };
    match host {
        "" | "*" => Err(BadValue(format!(
            "{text:?} names no address: write 127.0.0.1:{port} for this machine alone, or 0.0.0.0:{port} for its networks"
        ))),
        _ if host.eq_ignore_ascii_case("localhost") => Ok(SocketAddr::from(([127, 0, 0, 1], port))),
        _ => Err(BadValue(format!(
            "{host:?} is a name, and names are not looked up: write an address of this machine, as 0.0.0.0:{port}"
        ))),
    }
}

/// A whole number, also in quotes.
#[derive(Clone, Copy)]
pub(super) struct WholeNumber(pub(super) u64);

/// A word or a whole number, also in quotes.
pub(super) enum TextOrNumber {
    Count(u64),
    Word(String),
}

/// `true` or `false`, also in quotes.
struct Switch(bool);

/// One address to listen on, or several.
pub(super) struct Addresses(pub(super) Vec<SocketAddr>);

/// Takes whatever stands there, and makes a value of it.
struct Spelling<T>(fn(Written<'_>) -> Result<T, BadValue>, &'static str);

/// What stands there.
enum Written<'a> {
    Number(u64),
    Text(&'a str),
    Switch(bool),
    List(Vec<String>),
}

impl<'de, T> Visitor<'de> for Spelling<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        self.0(Written::Number(number)).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::custom(format!("{number} is below 0: give {}", self.1))),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        self.0(Written::Text(text)).map_err(E::custom)
    }

    fn visit_bool<E: Error>(self, switch: bool) -> Result<T, E> {
        self.0(Written::Switch(switch)).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<T, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = list.next_element()? {
            texts.push(text);
        }
        self.0(Written::List(texts)).map_err(A::Error::custom)
    }
}

/// What a value of the given kind cannot be made of.
fn other(written: &Written<'_>, wanted: &str) -> BadValue {
    let found = match written {
        Written::Number(number) => number.to_string(),
        Written::Text(text) => format!("{text:?}"),
        Written::Switch(switch) => switch.to_string(),
        Written::List(_) => "a list".to_owned(),
    };
    BadValue(format!("{found} stands where {wanted} is needed"))
}

impl<'de> Deserialize<'de> for WholeNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const WANTED: &str = "a whole number";
        deserializer.deserialize_any(Spelling(
            |written| match written {
                Written::Number(number) => Ok(Self(number)),
                Written::Text(text) => whole_number(text).map(Self),
                written => Err(other(&written, WANTED)),
            },
            WANTED,
        ))
    }
}

impl<'de> Deserialize<'de> for TextOrNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const WANTED: &str = "a whole number or a word";
        deserializer.deserialize_any(Spelling(
            |written| match written {
                Written::Number(number) => Ok(Self::Count(number)),
                Written::Text(text) => Ok(match text.trim().parse() {
                    Ok(number) => Self::Count(number),
                    Err(_) => Self::Word(text.trim().to_owned()),
                }),
                written => Err(other(&written, WANTED)),
            },
            WANTED,
        ))
    }
}

impl Serialize for TextOrNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(number) => serializer.serialize_u64(*number),
            Self::Word(word) => serializer.serialize_str(word),
        }
    }
}

impl<'de> Deserialize<'de> for Switch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const WANTED: &str = "true or false";
        deserializer.deserialize_any(Spelling(
            |written| match written {
                Written::Switch(value) => Ok(Self(value)),
                Written::Text(text) => switch(text).map(Self),
                written => Err(other(&written, WANTED)),
            },
            WANTED,
        ))
    }
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const WANTED: &str = "a list of addresses with ports, as [\"127.0.0.1:8080\"]";
        deserializer.deserialize_any(Spelling(
            |written| match written {
                Written::Text(text) => Ok(Self(vec![listening_address(text)?])),
                Written::List(texts) => {
                    texts.iter().map(|text| listening_address(text)).collect::<Result<_, _>>().map(Self)
                }
                written => Err(other(&written, WANTED)),
            },
            WANTED,
        ))
    }
}

/// For fields: `true` or `false`.
pub(super) fn read_switch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Switch::deserialize(deserializer).map(|Switch(value)| value)
}

/// For fields: one address to listen on.
pub(super) fn read_listening_address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    listening_address(&text).map_err(D::Error::custom)
}

/// For fields: addresses of this machine.
pub(super) fn read_local_addresses<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<IpAddr>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| super::values::address(text).map_err(D::Error::custom)).collect()
}

/// Says in plain words what a parser has complained of.
pub(super) fn in_plain_words(message: &str) -> String {
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let known = |names: &[&str]| names.join(", ");
    match names.as_slice() {
        [name, others @ ..] if message.starts_with("unknown field") => {
            match nearest(name, others.iter().copied()) {
                Some(meant) => format!("{name} is not known here: did you mean {meant}?"),
                None if others.is_empty() => format!("{name} is not known here: remove it"),
                None => format!("{name} is not known here: there are {}", known(others)),
            }
        }
        [name, others @ ..] if message.starts_with("unknown variant") => {
            let meant = nearest(name, others.iter().copied());
            let hint = meant.map(|meant| format!(" (did you mean {meant}?)")).unwrap_or_default();
            format!("{name:?} cannot be used here{hint}: give one of {}", known(others))
        }
        [name] if message.starts_with("missing field") => format!("{name} is missing: add it"),
        _ => wrong_type(&message).unwrap_or(message),
    }
}

fn wrong_type(message: &str) -> Option<String> {
    let (found, wanted) = message.strip_prefix("invalid type: ")?.split_once(", expected ")?;
    let found = match found.split_once(' ') {
        Some(("string", text)) => text.to_owned(),
        Some(("integer" | "boolean" | "floating", value)) => {
            value.trim_start_matches("point ").trim_matches('`').to_owned()
        }
        _ if found == "sequence" => "a list".to_owned(),
        _ if found == "map" => "a table".to_owned(),
        _ => found.to_owned(),
    };
    let wanted = match wanted {
        "a string" => "a text in quotes".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list, as [\"one\", \"two\"],".to_owned(),
        _ => match wanted.strip_prefix("struct ") {
            Some(table) => format!("a table, as [{}],", table.to_ascii_lowercase()),
            None => wanted.to_owned(),
        },
    };
    Some(format!("{found} stands where {wanted} is needed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal<T>(result: Result<T, BadValue>) -> String {
        result.map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn numbers_are_digits_and_others_are_told_which() {
        assert_eq!(whole_number(" 40000 "), Ok(40_000));
        for (text, part) in [
            ("10k", "write 10000"),
            ("2M", "write 2000000"),
            ("10_000", "write 10000"),
            ("10,000", "write 10000"),
            ("30s", "write it without \"s\", such as 30"),
            ("4GiB", "write it without \"GiB\", such as 4"),
            ("many", "in digits"),
            ("-5", "in digits"),
            ("1.5", "such as 1"),
            ("", "in digits"),
        ] {
            assert!(refusal(whole_number(text)).contains(part), "{text}: {}", refusal(whole_number(text)));
        }
    }

    #[test]
    fn addresses_are_taken_where_they_are_plain_and_others_are_told_how() {
        let localhost = Ok(SocketAddr::from(([127, 0, 0, 1], 8_080)));
        for text in ["127.0.0.1:8080", "localhost:8080", " LOCALHOST:8080"] {
            assert_eq!(listening_address(text), localhost, "{text}");
        }
        assert!(listening_address("[::1]:8080").is_ok());
        for (text, part) in [
            (":8080", "0.0.0.0:8080 for its networks"),
            ("*:8080", "127.0.0.1:8080 for this machine"),
            ("8080", "0.0.0.0:8080"),
            ("0.0.0.0", "0.0.0.0:8080"),
            ("::1", "[::1]:8080"),
            ("localhost", "no port"),
            ("127.0.0.1:", "no port"),
            ("127.0.0.1:99999", "from 1 to 65535"),
            ("sfu.example.com:80", "not looked up"),
            ("http://127.0.0.1:8080/", "write 127.0.0.1:8080"),
        ] {
            let refusal = refusal(listening_address(text));
            assert!(refusal.contains(part), "{text}: {refusal}");
        }
    }

    #[test]
    fn parsers_are_put_into_plain_words() {
        for (message, plain) in [
            (
                "unknown field `lisen`, expected `listen` or `port`",
                "lisen is not known here: did you mean listen?",
            ),
            (
                "unknown field `x`, expected one of `a`, `bcd`, `efg`",
                "x is not known here: there are a, bcd, efg",
            ),
            (
                "unknown variant `urin`, expected one of `auto`, `uring`, `mmsg`",
                "\"urin\" cannot be used here (did you mean uring?): give one of auto, uring, mmsg",
            ),
            ("missing field `secrets`", "secrets is missing: add it"),
            (
                "invalid type: string \"a\", expected a sequence",
                "\"a\" stands where a list, as [\"one\", \"two\"], is needed",
            ),
            ("invalid type: integer `5`, expected a string", "5 stands where a text in quotes is needed"),
            (
                "invalid type: integer `5`, expected struct Http",
                "5 stands where a table, as [http], is needed",
            ),
            ("no  known\nwords", "no known words"),
        ] {
            assert_eq!(in_plain_words(message), plain);
        }
    }
}
