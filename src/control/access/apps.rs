//! Applications, and what the bearer of a secret or token may do with them.
//!
//! Secrets are compared by their digests; the secrets themselves are kept as keys of tokens alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use aws_lc_rs::rand;
use subtle::{Choice, ConstantTimeEq};

use crate::config::{App, SIGNING_CHARS, Secret, Stream, Tokens};

use super::super::error::ApiError;
use super::token::{Claims, Keys};
use super::{Access, Holder, Refusal, Right, StreamAccess};

type Digest = [u8; SHA256_OUTPUT_LEN];

/// One application.
struct Entry {
    secrets: Vec<Digest>,
    keys: Keys,
}

/// The applications of this node.
#[derive(Default)]
pub struct Apps {
    by_id: BTreeMap<String, Entry>,
    lifetime: u64,
    streams: BTreeMap<(String, String), StreamTokens>,
    public_playback: bool,
}

/// The tokens of one stream.
struct StreamTokens {
    publish: Option<Digest>,
    play: Option<Digest>,
    public: bool,
}

impl Apps {
    /// Takes the applications of the configuration.
    pub fn new(apps: &[App], tokens: &Tokens) -> Self {
        let by_id = apps.iter().map(|app| {
            let keys = Keys::new(app.secrets.iter());
            let secrets = app.secrets.iter().map(|secret| sha256(secret.reveal().as_bytes())).collect();
            (app.id.as_str().to_owned(), Entry { secrets, keys })
        });
        Self { by_id: by_id.collect(), lifetime: tokens.max_lifetime_seconds.get(), ..Self::default() }
    }

    /// Takes the streams of the configuration, and whether all of them can be played without a token.
    #[must_use]
    pub fn with_streams(mut self, streams: &[Stream], public_playback: bool) -> Self {
        let digest = |token: &Option<Secret>| token.as_ref().map(|token| sha256(token.reveal().as_bytes()));
        let streams = streams.iter().map(|stream| {
            let tokens = StreamTokens {
                publish: digest(&stream.publish_token),
                play: digest(&stream.play_token),
                public: stream.public,
            };
            ((stream.app.as_str().to_owned(), stream.stream.as_str().to_owned()), tokens)
        });
        self.streams = streams.collect();
        self.public_playback = public_playback;
        self
    }

    /// Checks that an application exists.
    pub fn find(&self, app: &str) -> Result<(), ApiError> {
        self.entry(app).map(|_| ())
    }

    /// The ids of all applications.
    pub fn ids(&self) -> Vec<&str> {
        self.by_id.keys().map(String::as_str).collect()
    }

    fn entry(&self, app: &str) -> Result<&Entry, ApiError> {
        self.by_id.get(app).ok_or(ApiError::UnknownApp)
    }

    /// Checks that an application exists, then the bearer of the `Authorization` header: a secret or a token.
    pub fn authorize(&self, app: &str, header: Option<&[u8]>) -> Result<Access, ApiError> {
        let entry = self.entry(app)?;
        let bearer = header.and_then(bearer).ok_or(Refusal::Missing)?;
        if is_one_of(&entry.secrets, bearer) {
            return Ok(Access::Secret);
        }
        let grant = entry.keys.read(app, bearer, unix_now(), self.lifetime)?;
        Ok(Access::Token(Arc::new(grant)))
    }

    /// Checks that a stream may be sent ([`Right::Whip`]) or played ([`Right::Whep`]): with a secret of its
    /// application, a token with a scope, or its own token for this. Playing may be open to everybody.
    ///
    /// A token of the stream that is good for the other of the two is told apart from one that is good for nothing. A name
    /// that is the id of a session stands for what that session publishes by the API, which nobody has opened.
    pub fn authorize_stream(
        &self,
        app: &str,
        stream: &str,
        right: Right,
        header: Option<&[u8]>,
        is_session: bool,
    ) -> Result<StreamAccess, ApiError> {
        self.find(app)?;
        if right == Right::Whep && self.is_public(app, stream, is_session) {
            return Ok(Holder::Anybody.into());
        }
        if let (Some(given), Some(tokens)) = (header.and_then(bearer), self.tokens_of(app, stream)) {
            let given = sha256(given);
            let is = |known: Option<Digest>| known.is_some_and(|known| bool::from(known.ct_eq(&given)));
            let (own, other) = match right {
                Right::Whip => (is(tokens.publish), is(tokens.play)),
                _ => (is(tokens.play), is(tokens.publish)),
            };
            if own {
                return Ok(Holder::Configured.into());
            }
            if other {
                return Err(Refusal::Right(right).into());
            }
        }
        let access = self.authorize(app, header)?;
        access.may(right, stream)?;
        Ok(StreamAccess::from(&access))
    }

    /// Whether everybody may play a stream. That all streams are open says nothing of sessions, which have ids for names.
    pub fn is_public(&self, app: &str, stream: &str, is_session: bool) -> bool {
        let is_opened = || self.tokens_of(app, stream).is_some_and(|tokens| tokens.public);
        (self.public_playback && !is_session) || is_opened()
    }

    fn tokens_of(&self, app: &str, stream: &str) -> Option<&StreamTokens> {
        self.streams.get(&(app.to_owned(), stream.to_owned()))
    }

    /// Signs claims with the first secret of an application that is long enough.
    pub fn sign(&self, app: &str, claims: &Claims) -> Result<String, ApiError> {
        let keys = &self.entry(app)?.keys;
        if !keys.can_sign() {
            return Err(ApiError::params(format!(
                "the app {app} has no secret of {SIGNING_CHARS} characters or more, and shorter ones sign no tokens: \
                 add one that ringcast generate-secret makes"
            )));
        }
        keys.sign(claims).ok_or(ApiError::Internal)
    }

    /// Longest life of a token, seconds.
    pub fn lifetime(&self) -> u64 {
        self.lifetime
    }
}

/// Whether a text is one of those with the given digests. Digests have one length and each is compared, so time tells
/// nothing of any of them.
pub(in super::super) fn is_one_of(digests: &[Digest], text: &[u8]) -> bool {
    let given = sha256(text);
    digests.iter().fold(Choice::from(0), |seen, digest| seen | digest.ct_eq(&given)).into()
}

/// Random bytes as hexadecimal digits: what ids and secrets are made of.
pub fn random_hex<const BYTES: usize>() -> Result<String, ApiError> {
    let mut bytes = [0; BYTES];
    rand::fill(&mut bytes).map_err(|_| ApiError::Internal)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A new secret of 256 bits.
pub fn new_secret() -> Result<String, ApiError> {
    random_hex::<32>()
}

/// The wall clock, in seconds since 1970: what tokens and credentials are measured by.
#[expect(
    clippy::disallowed_methods,
    reason = "control is a shell; what is below takes the moment as an argument"
)]
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The token of a bearer header (RFC 6750 2.1; the scheme is case-insensitive by RFC 9110 11.1).
pub(in super::super) fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(7)?;
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return None;
    }
    let token = token.trim_ascii();
    (!token.is_empty()).then_some(token)
}

pub(in super::super) fn sha256(bytes: &[u8]) -> Digest {
    let mut output = [0; SHA256_OUTPUT_LEN];
    output.copy_from_slice(digest(&SHA256, bytes).as_ref());
    output
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AppId, StreamName};

    fn apps() -> Apps {
        let secret = |text: &str| Secret::try_from(text.to_owned()).unwrap();
        let id = AppId::try_from("app".to_owned()).unwrap();
        Apps::new(&[App { id, secrets: vec![secret("old"), secret("new")] }], &Tokens::default())
    }

    #[test]
    fn any_secret_of_the_app_is_taken() {
        for header in ["Bearer old", "bearer new", "BEARER  new "] {
            assert_eq!(apps().authorize("app", Some(header.as_bytes())), Ok(Access::Secret), "{header}");
        }
    }

    #[test]
    fn a_stream_is_open_to_its_own_tokens_and_to_the_secrets_of_its_app() {
        let name = |text: &str| StreamName::try_from(text.to_owned()).unwrap();
        let secret = |text: &str| Some(Secret::try_from(text.to_owned()).unwrap());
        let stream = |text: &str, public| Stream {
            app: AppId::try_from("app".to_owned()).unwrap(),
            stream: name(text),
            publish_token: secret("push"),
            play_token: secret("play"),
            public,
        };
        let apps = apps().with_streams(&[stream("studio", false), stream("open", true)], false);
        use Right::{Whep as Play, Whip as Publish};
        let table = [
            ("studio", Publish, Some("Bearer push"), Ok(Holder::Configured)),
            ("studio", Publish, Some("Bearer new"), Ok(Holder::Secret)),
            ("studio", Publish, Some("Bearer play"), Err(ApiError::Refused(Refusal::Right(Publish)))),
            ("studio", Publish, Some("Bearer nope"), Err(ApiError::Refused(Refusal::Unknown))),
            ("studio", Publish, None, Err(ApiError::Refused(Refusal::Missing))),
            ("studio", Play, Some("Bearer play"), Ok(Holder::Configured)),
            ("studio", Play, Some("Bearer old"), Ok(Holder::Secret)),
            ("studio", Play, Some("Bearer push"), Err(ApiError::Refused(Refusal::Right(Play)))),
            ("studio", Play, None, Err(ApiError::Refused(Refusal::Missing))),
            ("open", Play, None, Ok(Holder::Anybody)),
            ("open", Publish, None, Err(ApiError::Refused(Refusal::Missing))),
            ("other", Publish, Some("Bearer push"), Err(ApiError::Refused(Refusal::Unknown))),
            ("other", Play, Some("Bearer new"), Ok(Holder::Secret)),
        ];
        for (stream, access, header, outcome) in table {
            let header = header.map(str::as_bytes);
            let given = apps.authorize_stream("app", stream, access, header, false);
            assert_eq!(given.map(|access| access.holder), outcome, "{stream} {access:?}");
        }
        let unknown = apps.authorize_stream("none", "open", Play, None, false);
        assert_eq!(unknown, Err(ApiError::UnknownApp));
        assert!(apps.is_public("app", "open", false) && !apps.is_public("app", "studio", false));
    }

    #[test]
    fn streams_that_are_all_open_are_no_sessions() {
        let apps = apps().with_streams(&[], true);
        assert!(apps.is_public("app", "any", false) && !apps.is_public("app", "any", true));
        let refused = apps.authorize_stream("app", "any", Right::Whep, None, true);
        assert_eq!(refused, Err(ApiError::Refused(Refusal::Missing)));
    }

    #[test]
    fn the_app_is_checked_before_the_secret() {
        assert_eq!(apps().authorize("other", None), Err(ApiError::UnknownApp));
        let missing =
            [None, Some("Bearer "), Some("Basic old"), Some("old")].map(|header| (header, Refusal::Missing));
        let unknown = [Some("Bearer nope"), Some("Bearer ol")].map(|header| (header, Refusal::Unknown));
        for (header, refusal) in missing.into_iter().chain(unknown) {
            let given = apps().authorize("app", header.map(str::as_bytes));
            assert_eq!(given, Err(ApiError::Refused(refusal)), "{header:?}");
        }
    }
}
