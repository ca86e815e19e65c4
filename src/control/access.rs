//! What the caller of a request may do: everything with a secret of the application, or what its token grants.
//!
//! Owns rights and the reasons for which they are refused; how a token is read stands in [`token`]. A right
//! that no claim names is not there.

pub mod apps;
pub mod token;
pub mod wish;

use std::sync::Arc;

use crate::metrics::names::DENIALS;

use super::error::ApiError;
use super::model::{DataChannelRequest, Location, TrackRequest};
use super::registry::stages::Seat;

/// Patterns of one claim.
pub const PATTERNS_MAX: usize = 64;
/// Longest pattern and longest name of an owner, in bytes.
pub const NAME_BYTES_MAX: usize = 512;

/// Whose token it is. Sessions belong to the owner that made them, and to no other token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Owner {
    /// All tokens of one `sub`.
    Subject(Box<str>),
    /// All tokens of one `jti`, when there is no `sub`.
    Id(Box<str>),
    /// The token itself, by its signature, when it has neither.
    Token(Box<[u8]>),
}

/// By what a stream is sent or played. Who shows the same again may take the place of what was sent with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// Nothing: the stream is open to everybody.
    Anybody,
    /// A secret of the application.
    Secret,
    /// The token that the configuration gives the stream for this.
    Configured,
    /// A scoped token; all of one owner count as the same.
    Token(Owner),
}

/// The authority behind a call on a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamAccess {
    /// By what the stream is sent or played.
    pub holder: Holder,
    /// The only session that the call may be about.
    session: Option<Box<str>>,
}

impl StreamAccess {
    /// Checks that a session of the stream may be made.
    pub fn may_open(&self) -> Result<(), ApiError> {
        if self.session.is_some() { Err(Refusal::OneSession.into()) } else { Ok(()) }
    }

    /// Checks that a session of the stream may be used.
    pub fn may_touch(&self, session: &str) -> Result<(), ApiError> {
        let allowed = self.session.as_deref().is_none_or(|only| only == session);
        if allowed { Ok(()) } else { Err(Refusal::Session.into()) }
    }
}

impl From<Holder> for StreamAccess {
    fn from(holder: Holder) -> Self {
        Self { holder, session: None }
    }
}

impl From<&Access> for StreamAccess {
    fn from(access: &Access) -> Self {
        let session = match access {
            Access::Secret => None,
            Access::Token(grant) => grant.session.clone(),
        };
        Self { holder: access.owner().map_or(Holder::Secret, Holder::Token), session }
    }
}

/// A name, or the beginning of names followed by `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// Reads a pattern; `None` when it is empty or too long, or has a star elsewhere than at its end: that would be
    /// taken for more than a name, and cover none.
    pub fn new(text: &str) -> Option<Self> {
        let front = text.strip_suffix('*').unwrap_or(text);
        let is_one = (1..=NAME_BYTES_MAX).contains(&text.len()) && !front.contains('*');
        is_one.then(|| Self(text.into()))
    }

    /// Whether a name fits.
    pub fn covers(&self, name: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(front) => name.starts_with(front),
            None => *self.0 == *name,
        }
    }
}

/// Something that a token may grant by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Publish tracks.
    Publish,
    /// Receive tracks.
    Subscribe,
    /// Publish data channels.
    PublishData,
    /// Receive data channels.
    SubscribeData,
    /// Send a stream by WHIP.
    Whip,
    /// Play a stream by WHEP.
    Whep,
    /// See who is in a room, and be there; likewise on the stage of that name.
    Rooms,
}

/// How many rights there are.
pub const RIGHTS: usize = 7;

/// What one token grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Whose sessions it may touch.
    pub owner: Owner,
    /// The only session that it may touch, whoever made it.
    pub session: Option<Box<str>>,
    /// Names by right, in the order of [`Right`].
    pub names: [Vec<Pattern>; RIGHTS],
}

impl Grant {
    fn covers(&self, right: Right, name: &str) -> bool {
        self.names.get(right as usize).is_some_and(|names| names.iter().any(|pattern| pattern.covers(name)))
    }
}

/// The authority behind a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// A secret of the application: everything.
    Secret,
    /// A token.
    Token(Arc<Grant>),
}

impl Access {
    /// What sessions that are made with it belong to; `None` for the secret.
    pub fn owner(&self) -> Option<Owner> {
        match self {
            Self::Secret => None,
            Self::Token(grant) => Some(grant.owner.clone()),
        }
    }

    /// Whose token it is, if it says so.
    pub fn subject(&self) -> Option<&str> {
        match self {
            Self::Token(grant) => match &grant.owner {
                Owner::Subject(subject) => Some(subject),
                Owner::Id(_) | Owner::Token(_) => None,
            },
            Self::Secret => None,
        }
    }

    /// Checks that this is the secret itself.
    pub fn expect_secret(&self) -> Result<(), ApiError> {
        match self {
            Self::Secret => Ok(()),
            Self::Token(_) => Err(Refusal::SecretOnly.into()),
        }
    }

    /// Checks that sessions may be made.
    pub fn may_open(&self) -> Result<(), ApiError> {
        match self {
            Self::Token(grant) if grant.session.is_some() => Err(Refusal::OneSession.into()),
            Self::Secret | Self::Token(_) => Ok(()),
        }
    }

    /// Checks that a session of this owner may be used.
    pub fn may_touch(&self, session: &str, owner: Option<&Owner>) -> Result<(), ApiError> {
        let Self::Token(grant) = self else { return Ok(()) };
        let allowed = match &grant.session {
            Some(only) => **only == *session,
            None => owner == Some(&grant.owner),
        };
        if allowed { Ok(()) } else { Err(Refusal::Session.into()) }
    }

    /// Checks a right on one name.
    pub fn may(&self, right: Right, name: &str) -> Result<(), ApiError> {
        match self {
            Self::Token(grant) if !grant.covers(right, name) => Err(Refusal::Right(right).into()),
            Self::Secret | Self::Token(_) => Ok(()),
        }
    }

    /// Checks the tracks of tracks/new. What has no name is left to those who ask for one.
    pub fn may_use_tracks(&self, tracks: &[TrackRequest], discover: bool) -> Result<(), ApiError> {
        if discover {
            // The server chooses these names, so only a right on every name covers them.
            self.may(Right::Publish, "")?;
        }
        for track in tracks {
            let right = match track.place() {
                Location::Local => Right::Publish,
                Location::Remote => Right::Subscribe,
            };
            track.track_name.as_deref().map_or(Ok(()), |name| self.may(right, name))?;
        }
        self.may_watch_stages(tracks)
    }

    /// A stage is open to those to whom the room of its name is.
    fn may_watch_stages(&self, tracks: &[TrackRequest]) -> Result<(), ApiError> {
        let mut stages = tracks.iter().filter_map(|track| Seat::stage_of(track.session_id.as_deref()?));
        stages.try_for_each(|stage| self.may(Right::Rooms, stage))
    }

    /// Checks the tracks of tracks/update: a name there is that of another source.
    pub fn may_switch_to(&self, tracks: &[TrackRequest]) -> Result<(), ApiError> {
        let mut names = tracks.iter().filter_map(|track| track.track_name.as_deref());
        names.try_for_each(|name| self.may(Right::Subscribe, name))?;
        self.may_watch_stages(tracks)
    }

    /// Checks the data channels of datachannels/new and update: to reply is to send, too. What has no name is refused
    /// later, for that.
    pub fn may_use_channels(&self, channels: &[DataChannelRequest]) -> Result<(), ApiError> {
        for channel in channels {
            let Some(name) = channel.data_channel_name.as_deref() else { continue };
            let is_remote = channel.place() == Location::Remote;
            if is_remote {
                self.may(Right::SubscribeData, name)?;
            }
            if !is_remote || channel.can_reply == Some(true) {
                self.may(Right::PublishData, name)?;
            }
        }
        Ok(())
    }

    /// Checks a group of channels that clients open: its members both send and receive.
    pub fn may_join(&self, group: Option<&str>) -> Result<(), ApiError> {
        let Some(group) = group else { return Ok(()) };
        self.may(Right::PublishData, group)?;
        self.may(Right::SubscribeData, group)
    }
}

/// Why a request is refused for lack of authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no bearer token.
    Missing,
    /// What is there is neither a secret nor signed with one by HS256.
    Unknown,
    /// The time of the token is over.
    Expired,
    /// The time of the token has not begun.
    NotYetValid,
    /// The token lives longer than the configuration allows.
    Lifetime,
    /// The token was made for something else.
    Audience,
    /// The token was made for another application.
    WrongApp,
    /// The claims cannot be read.
    Claims,
    /// The session belongs to another owner.
    Session,
    /// The token is for one session, and another was to be made.
    OneSession,
    /// The call takes the secret alone.
    SecretOnly,
    /// The scope does not hold this.
    Right(Right),
}

impl Refusal {
    /// Where its label stands in [`DENIALS`].
    pub fn index(self) -> usize {
        match self {
            Self::Missing => 0,
            Self::Unknown => 1,
            Self::Expired => 2,
            Self::NotYetValid => 3,
            Self::Lifetime => 4,
            Self::Audience => 5,
            Self::WrongApp => 6,
            Self::Claims => 7,
            Self::Session => 8,
            Self::OneSession => 9,
            Self::SecretOnly => 10,
            Self::Right(right) => 11 + right as usize,
        }
    }

    /// Its label.
    pub fn label(self) -> &'static str {
        DENIALS.get(self.index()).copied().unwrap_or_default()
    }

    /// Whether it is about who is calling (401), not about what was asked (403).
    pub fn is_unauthorized(self) -> bool {
        matches!(self, Self::Missing | Self::Unknown)
    }

    /// Cause and remedy.
    pub fn text(self) -> &'static str {
        match self {
            Self::Missing | Self::Unknown => {
                "the Authorization header must carry a valid secret of this app, or a token signed with one of 32 \
                 characters or more, as a bearer token"
            }
            Self::Expired => "the token has expired: have your server make a new one",
            Self::NotYetValid => {
                "the token is not valid yet: its nbf or iat lies in the future; compare the clocks of both machines"
            }
            Self::Lifetime => {
                "the token lives longer than this server allows: choose an earlier exp (tokens.max_lifetime_seconds)"
            }
            Self::Audience => "the token is for something else: its aud must be \"ringcast\"",
            Self::WrongApp => "the token is for another app: its iss must be the appId of the path",
            Self::Claims => {
                "the claims of the token cannot be read: exp must be a number, names lists of non-empty texts, 64 at \
                 most, with a * at their end or none"
            }
            Self::Session => {
                "the token may touch only sessions that were made with tokens of the same sub (or jti), or the one \
                 session that it names"
            }
            Self::OneSession => {
                "the token is for one session: use a token without the claim session to make another"
            }
            Self::SecretOnly => "a token cannot do this: call it from your server with the secret of the app",
            Self::Right(right) => right.refused(),
        }
    }
}

impl Right {
    fn refused(self) -> &'static str {
        match self {
            Self::Publish => "the token does not allow to publish this: name it in the claim publish",
            Self::Subscribe => "the token does not allow to receive this: name it in the claim subscribe",
            Self::PublishData => {
                "the token does not allow to send on this data channel: name it in the claim publishData"
            }
            Self::SubscribeData => {
                "the token does not allow to receive this data channel: name it in the claim subscribeData"
            }
            Self::Whip => "the token does not allow to send this stream: name it in the claim whip",
            Self::Whep => "the token does not allow to play this stream: name it in the claim whep",
            Self::Rooms => "the token does not open this room or stage: name it in the claim rooms",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_the_beginning_of_names() {
        let covers = |pattern: &str, name| Pattern::new(pattern).unwrap().covers(name);
        assert!(
            covers("cam", "cam") && covers("cam-*", "cam-1") && covers("cam-*", "cam-") && covers("*", "x")
        );
        assert!(!covers("cam", "cam-1") && !covers("cam-*", "cam"));
        for bad in ["", "*cam", "a*b", "**", &"x".repeat(513)] {
            assert!(Pattern::new(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn every_refusal_has_a_label_of_its_own_and_a_remedy() {
        let rights = [
            Right::Publish,
            Right::Subscribe,
            Right::PublishData,
            Right::SubscribeData,
            Right::Whip,
            Right::Whep,
            Right::Rooms,
        ];
        let others = [
            Refusal::Missing,
            Refusal::Unknown,
            Refusal::Expired,
            Refusal::NotYetValid,
            Refusal::Lifetime,
            Refusal::Audience,
            Refusal::WrongApp,
            Refusal::Claims,
            Refusal::Session,
            Refusal::OneSession,
            Refusal::SecretOnly,
        ];
        let all: Vec<Refusal> = others.into_iter().chain(rights.map(Refusal::Right)).collect();
        let labels: Vec<&str> = all.iter().map(|refusal| refusal.label()).collect();
        assert_eq!(labels, DENIALS);
        assert!(all.iter().all(|refusal| refusal.text().len() > 40));
    }
}
