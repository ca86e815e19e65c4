//! What is logged, and how a line is written.

use serde::{Deserialize, Serialize};
use tracing_subscriber::filter::Directive;

use super::BadValue;
use super::nearest::nearest;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
/// Other names of levels, which other programs take.
const SYNONYMS: [(&str, &str); 5] =
    [("warning", "warn"), ("err", "error"), ("none", "off"), ("notice", "info"), ("verbose", "debug")];
/// What a directive is likely to name: this program and the engines in it.
const TARGETS: [&str; 5] = ["ringcast", "str0m", "dimpl", "sctp_proto", "hyper"];
/// What holds unless something else is said: the libraries are silent. What is an error to an engine, such as a client
/// that hangs up, is the daily course of things here.
const BASE: &str = "off,ringcast=info";

/// Which log lines are written: a level for those of Ringcast itself, and `target=level` pairs with commas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LogFilter {
    text: String,
    directives: String,
}

impl LogFilter {
    /// The filter as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The whole filter, with what holds unless something else is said, as `EnvFilter` reads it.
    pub fn directives(&self) -> &str {
        &self.directives
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self { text: "info".into(), directives: format!("{BASE},ringcast=info") }
    }
}

impl TryFrom<String> for LogFilter {
    type Error = BadValue;

    fn try_from(text: String) -> Result<Self, BadValue> {
        let mut directives = BASE.to_owned();
        let pieces: Vec<&str> = text.split(',').map(str::trim).filter(|piece| !piece.is_empty()).collect();
        if pieces.is_empty() {
            return Err(BadValue("the log filter is empty: give a level, such as info".into()));
        }
        for piece in pieces {
            let directive = match piece.rsplit_once('=') {
                None => format!("ringcast={}", level(piece)?),
                // A span with fields has its own `=`, in brackets.
                Some((target, level_text)) if !target.contains('[') => {
                    format!("{}={}", checked_target(target)?, level(level_text)?)
                }
                Some(_) => piece.to_owned(),
            };
            directive.parse::<Directive>().map_err(|error| {
                BadValue(format!("{piece:?} is no log directive ({error}): write it as target=level"))
            })?;
            directives.push(',');
            directives.push_str(&directive);
        }
        Ok(Self { text, directives })
    }
}

impl From<LogFilter> for String {
    fn from(value: LogFilter) -> Self {
        value.text
    }
}

fn level(text: &str) -> Result<&'static str, BadValue> {
    let text = text.trim();
    if let Some(level) = LEVELS.into_iter().find(|level| level.eq_ignore_ascii_case(text)) {
        return Ok(level);
    }
    let synonym = SYNONYMS.into_iter().find(|(other, _)| other.eq_ignore_ascii_case(text));
    let meant = synonym.map(|(_, level)| level).or_else(|| nearest(text, LEVELS));
    let known = "error, warn, info, debug or off, or target=level";
    Err(BadValue(match meant {
        Some(meant) => format!("{text:?} is no level of the log: did you mean {meant}? There are {known}"),
        None if text.contains("::") || TARGETS.contains(&text) => {
            format!("{text:?} names a part of the program without a level: write {text}=debug")
        }
        None => format!("{text:?} is no level of the log: use {known}"),
    }))
}

fn checked_target(text: &str) -> Result<&str, BadValue> {
    let text = text.trim();
    let is_path = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
    if text.is_empty() || !text.bytes().all(is_path) {
        return Err(BadValue(format!(
            "{text:?} names no part of a program: write it as ringcast::control=debug"
        )));
    }
    let package = text.split("::").next().unwrap_or_default();
    match nearest(package, TARGETS).filter(|target| *target != package) {
        Some(meant) => Err(BadValue(format!("nothing logs as {package:?}: did you mean {meant}?"))),
        None => Ok(text),
    }
}

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for machines.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> Result<LogFilter, String> {
        LogFilter::try_from(text.to_owned()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_level_is_about_ringcast_and_the_engines_are_asked_for_by_name() {
        let directives = |text: &str| filter(text).unwrap().directives().to_owned();
        assert_eq!(directives("debug"), "off,ringcast=info,ringcast=debug");
        assert_eq!(directives(" WARN , str0m=debug"), "off,ringcast=info,ringcast=warn,str0m=debug");
        assert_eq!(directives("str0m::ice=Debug,"), "off,ringcast=info,str0m::ice=debug");
        assert_eq!(directives("ringcast::control=debug"), "off,ringcast=info,ringcast::control=debug");
        assert_eq!(directives("off"), "off,ringcast=info,ringcast=off");
        assert_eq!(filter("info").unwrap(), LogFilter::default());
    }

    #[test]
    fn what_would_silence_the_log_by_mistake_is_refused_with_what_was_meant() {
        for (text, part) in [
            ("inof", "did you mean info?"),
            ("warning", "did you mean warn?"),
            ("verbose", "did you mean debug?"),
            ("loud", "use error, warn"),
            ("", "empty"),
            (" , ", "empty"),
            ("info,ringcast=debgu", "did you mean debug?"),
            ("ringcats=debug", "did you mean ringcast?"),
            ("sctp-proto=debug", "names no part"),
            ("ringcast::shard", "write ringcast::shard=debug"),
            ("str0m", "write str0m=debug"),
            ("=loud=", "names no part"),
            ("info;debug", "no level"),
        ] {
            let refusal = filter(text).unwrap_err();
            assert!(refusal.contains(part) && !refusal.contains('\n'), "{text:?}: {refusal}");
        }
    }
}
