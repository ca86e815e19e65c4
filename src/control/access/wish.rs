//! What a token is asked to hold, checked before it is made: a slip would else make a token that allows nothing, which
//! is noticed far from here.

use std::fmt::Write as _;

use super::super::error::ApiError;
use super::token::{Claims, Scope};
use super::{NAME_BYTES_MAX, PATTERNS_MAX, Pattern};
use crate::config::nearest::nearest;

/// A token that somebody wants.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Whose it is to be.
    pub subject: Option<String>,
    /// The only session that it may touch.
    pub session: Option<String>,
    /// What it may do.
    pub scope: Scope,
    /// Seconds that it lives.
    pub ttl: u64,
}

impl Wish {
    /// The claims of that token, which lives at most so many seconds; refused with cause and remedy.
    pub fn claims(self, app: &str, now: u64, longest: u64) -> Result<Claims, ApiError> {
        self.check(longest).map_err(ApiError::InvalidParams)?;
        Claims::new(app, self.subject, self.session, self.scope, now, self.ttl)
    }

    fn check(&self, longest: u64) -> Result<(), String> {
        if !(1..=longest).contains(&self.ttl) {
            return Err(format!(
                "ttl must be from 1 to {longest} seconds (tokens.max_lifetime_seconds), and is {}",
                self.ttl
            ));
        }
        for (what, name) in [("sub", &self.subject), ("session", &self.session)] {
            let Some(name) = name else { continue };
            if name.trim().is_empty() {
                return Err(format!("{what} is empty: name one, or leave it out"));
            }
            if name.len() > NAME_BYTES_MAX {
                return Err(format!("{what} has {} bytes: give {NAME_BYTES_MAX} at most", name.len()));
            }
        }
        for (claim, names) in self.scope.claims() {
            if names.len() > PATTERNS_MAX {
                return Err(format!(
                    "{claim} has {} names: give {PATTERNS_MAX} at most, or one that ends with *",
                    names.len()
                ));
            }
            names.iter().try_for_each(|name| check_name(claim, name))?;
        }
        // One that names a session may look at it and end it.
        let allows = self.session.is_some() || self.scope.claims().iter().any(|(_, names)| !names.is_empty());
        if allows {
            return Ok(());
        }
        let rights = self.scope.claims().map(|(claim, _)| claim);
        Err(format!(
            "the token would allow nothing: give at least one of {}, each with names, such as \"*\" for all",
            listed(&rights)
        ))
    }
}

fn check_name(claim: &str, name: &str) -> Result<(), String> {
    if name.contains(',') {
        let pieces: Vec<&str> = name.split(',').map(str::trim).filter(|piece| !piece.is_empty()).collect();
        return Err(format!("{claim} names {name:?}: give each name by itself ({})", quoted(&pieces)));
    }
    if name.trim() != name || name.is_empty() {
        return Err(format!("{claim} names {name:?}: give a name without spaces around it"));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(format!("{claim} has a name of {} bytes: give {NAME_BYTES_MAX} at most", name.len()));
    }
    match Pattern::new(name) {
        Some(_) => Ok(()),
        None => {
            let front = name.split('*').next().unwrap_or_default();
            Err(format!(
                "{claim} names {name:?}, with a * that is not its end: write {:?} for all names that begin so, or list \
                 the names",
                format!("{front}*")
            ))
        }
    }
}

/// Refuses members that are not known, with the one that was probably meant.
pub fn refuse_unknown<'a>(
    members: impl IntoIterator<Item = &'a String>,
    known: &[&str],
) -> Result<(), ApiError> {
    let Some(unknown) = members.into_iter().find(|name| !known.contains(&name.as_str())) else {
        return Ok(());
    };
    // Some write a word out that is short here.
    let short =
        || known.iter().copied().filter(|name| unknown.starts_with(name)).max_by_key(|name| name.len());
    let remedy = match nearest(unknown, known.iter().copied()).or_else(short) {
        Some(name) => format!("did you mean {name:?}?"),
        None => format!("there are {}", listed(known)),
    };
    Err(ApiError::Decoding(format!("{unknown:?} is not known here: {remedy}")))
}

fn listed(names: &[&str]) -> String {
    let mut text = String::new();
    for (index, name) in names.iter().enumerate() {
        let joint = match names.len() - index {
            _ if index == 0 => "",
            1 => " and ",
            _ => ", ",
        };
        let _ = write!(text, "{joint}{name}");
    }
    text
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut Wish)) -> String {
        let scope = Scope { publish: vec!["cam".into()], ..Scope::default() };
        let mut wish = Wish { scope, ttl: 60, ..Wish::default() };
        change(&mut wish);
        match wish.claims("app", 0, 3_600) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn slips_are_refused_with_the_remedy() {
        assert_eq!(refused(|_| {}), "");
        assert_eq!(refused(|wish| wish.scope.publish = vec!["cam-*".into(), "*".into()]), "");
        let comma = refused(|wish| wish.scope.publish = vec!["cam,mic".into()]);
        assert!(comma.contains("publish") && comma.contains("\"cam\" and \"mic\""), "{comma}");
        let star = refused(|wish| wish.scope.subscribe = vec!["a*b".into()]);
        assert!(star.contains("subscribe") && star.contains("\"a*\""), "{star}");
        for blank in ["", " ", "\t"] {
            assert!(refused(|wish| wish.subject = Some(blank.into())).contains("sub is empty"));
            assert!(refused(|wish| wish.session = Some(blank.into())).contains("session is empty"));
        }
        assert!(refused(|wish| wish.scope.whip = vec![" cam".into()]).contains("spaces"));
        assert!(refused(|wish| wish.scope.whip = vec!["x".into(); 65]).contains("64 at most"));
        assert!(refused(|wish| wish.ttl = 3_601).contains("3600 seconds"));
    }

    #[test]
    fn a_token_that_allows_nothing_is_not_made() {
        let nothing = refused(|wish| wish.scope = Scope::default());
        assert!(nothing.contains("publish") && nothing.contains(" and "), "{nothing}");
        let for_one = refused(|wish| {
            wish.scope = Scope::default();
            wish.session = Some("0123".into());
        });
        assert_eq!(for_one, "", "the bearer may look at that session");
    }

    #[test]
    fn an_unknown_member_is_told_with_the_nearest_known_one() {
        let known = ["ttl", "sub", "publish", "publishData", "whip"];
        let told = |name: &str| refuse_unknown([&name.to_owned()], &known).unwrap_err().to_string();
        for (slip, meant) in
            [("publsih", "publish"), ("publish_data", "publishData"), ("subject", "sub"), ("WHIP", "whip")]
        {
            assert!(told(slip).contains(&format!("did you mean \"{meant}\"?")), "{slip}: {}", told(slip));
        }
        assert!(told("expires").contains("ttl, sub, publish"), "{}", told("expires"));
        assert_eq!(refuse_unknown([&"ttl".to_owned()], &known), Ok(()));
    }
}
