//! Scoped tokens: JSON Web Tokens (RFC 7519) signed by HS256 with a secret of an application.
//!
//! Owns the claims, how they are read and made. The library checks form, algorithm and signature; times and names are
//! compared here, with `now` from the caller.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};

use crate::config::Secret;

use super::super::error::ApiError;
use super::apps::random_hex;
use super::{Grant, NAME_BYTES_MAX, Owner, PATTERNS_MAX, Pattern, RIGHTS, Refusal};

/// What `aud` has to be, so that tokens which the same secret signs for other ends are refused.
pub const AUDIENCE: &str = "ringcast";
/// Seconds by which the clocks of two machines may differ.
pub const LEEWAY: u64 = 30;
/// Longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 8_192;

/// The claims as they stand in a token. Unknown ones are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claims {
    /// The application.
    pub iss: String,
    /// Always [`AUDIENCE`].
    pub aud: Audience,
    /// Whose token it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// Its own name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// End of its time, seconds since 1970.
    pub exp: Seconds,
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iat: Option<Seconds>,
    /// Begin of its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<Seconds>,
    /// The only session that it may touch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// What it may do with which names.
    #[serde(flatten)]
    pub scope: Scope,
}

/// Names by right: each exact, or a beginning followed by `*`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Scope {
    /// Tracks to publish.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<String>,
    /// Tracks to receive.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subscribe: Vec<String>,
    /// Data channels to send on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub publish_data: Vec<String>,
    /// Data channels to receive.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subscribe_data: Vec<String>,
    /// Streams to send by WHIP.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub whip: Vec<String>,
    /// Streams to play by WHEP.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub whep: Vec<String>,
    /// Rooms of the presence board to be in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rooms: Vec<String>,
}

impl Scope {
    /// Every right by the name of its claim, in the order of [`super::Right`].
    pub fn claims(&self) -> [(&'static str, &[String]); RIGHTS] {
        [
            ("publish", &self.publish),
            ("subscribe", &self.subscribe),
            ("publishData", &self.publish_data),
            ("subscribeData", &self.subscribe_data),
            ("whip", &self.whip),
            ("whep", &self.whep),
            ("rooms", &self.rooms),
        ]
    }

    /// The names by right, in the order of [`super::Right`]; `None` when they cannot be used.
    pub fn patterns(&self) -> Option<[Vec<Pattern>; RIGHTS]> {
        let mut all: [Vec<Pattern>; RIGHTS] = Default::default();
        for (patterns, (_, names)) in all.iter_mut().zip(self.claims()) {
            if names.len() > PATTERNS_MAX {
                return None;
            }
            *patterns = names.iter().map(|name| Pattern::new(name)).collect::<Option<_>>()?;
        }
        Some(all)
    }
}

/// One audience or several (RFC 7519 4.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

impl Audience {
    fn is_ours(&self) -> bool {
        match self {
            Self::One(audience) => audience == AUDIENCE,
            Self::Several(audiences) => audiences.iter().any(|audience| audience == AUDIENCE),
        }
    }
}

/// A time in seconds since 1970; tokens may carry fractions (RFC 7519 2), which are cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "f64")]
pub struct Seconds(pub u64);

impl From<f64> for Seconds {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast goes to the nearest number that there is, which is what is wanted"
    )]
    fn from(seconds: f64) -> Self {
        Self(seconds as u64)
    }
}

/// The secrets of one application as keys for tokens.
pub struct Keys {
    readers: Vec<DecodingKey>,
    maker: Option<EncodingKey>,
}

impl Keys {
    /// Takes secrets. Those that are too short to sign are left out; the first of the others signs.
    pub fn new<'a>(secrets: impl Iterator<Item = &'a Secret> + Clone) -> Self {
        let mut usable = secrets.filter(|secret| secret.can_sign()).map(|secret| secret.reveal().as_bytes());
        Self {
            readers: usable.clone().map(DecodingKey::from_secret).collect(),
            maker: usable.next().map(EncodingKey::from_secret),
        }
    }

    /// Whether there is a secret that signs.
    pub fn can_sign(&self) -> bool {
        self.maker.is_some()
    }

    /// Signs claims; `None` without a secret that can.
    pub fn sign(&self, claims: &Claims) -> Option<String> {
        encode(&Header::new(Algorithm::HS256), claims, self.maker.as_ref()?).ok()
    }

    /// Reads a token of an application.
    pub fn read(&self, app: &str, token: &[u8], now: u64, lifetime: u64) -> Result<Grant, Refusal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::Unknown);
        }
        let header = decode_header(token).map_err(|_| Refusal::Unknown)?;
        // RFC 7515 4.1.11: what must be understood and is not makes a token invalid; we know no such extension.
        if header.alg != Algorithm::HS256 || header.crit.is_some() {
            return Err(Refusal::Unknown);
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        // Every secret is tried, whichever fits.
        let tried = self.readers.iter().map(|key| decode::<serde_json::Value>(token, key, &validation).ok());
        let signed =
            tried.fold(None, |found, tried| tried.or(found)).ok_or_else(|| not_signed(app, token))?;
        // An array of values would be taken for the members in their order.
        let claims = Some(signed.claims).filter(serde_json::Value::is_object);
        let claims = claims.and_then(|claims| serde_json::from_value::<Claims>(claims).ok());
        let claims = claims.ok_or(Refusal::Claims)?;
        check(&claims, app, now, lifetime)?;
        let signature = token.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
        claims.grant(signature).ok_or(Refusal::Claims)
    }
}

/// A token that none of the secrets has signed: one that says itself that it is for another application is told so.
fn not_signed(app: &str, token: &[u8]) -> Refusal {
    #[derive(Deserialize)]
    struct Issuer {
        iss: String,
    }
    match jsonwebtoken::dangerous::insecure_decode::<Issuer>(token) {
        Ok(unproven) if unproven.claims.iss != app => Refusal::WrongApp,
        _ => Refusal::Unknown,
    }
}

fn check(claims: &Claims, app: &str, now: u64, lifetime: u64) -> Result<(), Refusal> {
    let begins = [claims.iat, claims.nbf].into_iter().flatten().map(|Seconds(at)| at);
    // Without `iat` the life is counted from now: such a token is good for its last hours only.
    let made = claims.iat.map_or(now, |Seconds(at)| at);
    if claims.iss != app {
        Err(Refusal::WrongApp)
    } else if !claims.aud.is_ours() {
        Err(Refusal::Audience)
    } else if claims.exp.0.saturating_add(LEEWAY) <= now {
        Err(Refusal::Expired)
    } else if begins.max().is_some_and(|at| at > now.saturating_add(LEEWAY)) {
        Err(Refusal::NotYetValid)
    } else if claims.exp.0.saturating_sub(made) > lifetime {
        Err(Refusal::Lifetime)
    } else {
        Ok(())
    }
}

impl Claims {
    /// Claims of a new token, with a name of its own.
    pub fn new(
        app: &str,
        sub: Option<String>,
        session: Option<String>,
        scope: Scope,
        now: u64,
        ttl: u64,
    ) -> Result<Self, ApiError> {
        Ok(Self {
            iss: app.to_owned(),
            aud: Audience::One(AUDIENCE.into()),
            sub,
            jti: Some(random_hex::<16>()?),
            exp: Seconds(now.saturating_add(ttl)),
            iat: Some(Seconds(now)),
            nbf: None,
            session,
            scope,
        })
    }

    fn grant(self, signature: &[u8]) -> Option<Grant> {
        let named = |name: &str| (1..=NAME_BYTES_MAX).contains(&name.len());
        if ![&self.sub, &self.jti, &self.session].into_iter().flatten().all(|name| named(name)) {
            return None;
        }
        let names = self.scope.patterns()?;
        let owner = match (self.sub, self.jti) {
            (Some(subject), _) => Owner::Subject(subject.into()),
            (None, Some(id)) => Owner::Id(id.into()),
            (None, None) => Owner::Token(signature.into()),
        };
        Some(Grant { owner, session: self.session.map(Into::into), names })
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::super::Right;
    use super::*;

    const NOW: u64 = 1_700_000_000;
    const OLD: &str = "an-older-secret-of-thirty-two-bytes";
    const NEW: &str = "the-newer-secret-of-thirty-two-bytes";

    fn keys() -> Keys {
        keys_of(&[NEW, OLD])
    }

    fn keys_of(secrets: &[&str]) -> Keys {
        let secrets: Vec<Secret> =
            secrets.iter().map(|text| Secret::try_from((*text).to_owned()).unwrap()).collect();
        Keys::new(secrets.iter())
    }

    fn signed(secret: &str, algorithm: Algorithm, claims: &Value) -> String {
        encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
    }

    fn claims(change: Value) -> Value {
        let mut claims =
            json!({"iss": "app", "aud": "ringcast", "iat": NOW, "exp": NOW + 60, "publish": ["cam-*"]});
        for (name, value) in change.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        claims
    }

    fn read(change: Value) -> Result<Grant, Refusal> {
        keys().read("app", signed(NEW, Algorithm::HS256, &claims(change)).as_bytes(), NOW, 3_600)
    }

    #[test]
    fn every_secret_of_the_app_signs_tokens() {
        for secret in [OLD, NEW] {
            let token = signed(secret, Algorithm::HS256, &claims(json!({"sub": "ann"})));
            let grant = keys().read("app", token.as_bytes(), NOW, 3_600).unwrap();
            assert_eq!(grant.owner, Owner::Subject("ann".into()));
        }
        let token = signed("some-other-secret-of-thirty-two-bytes", Algorithm::HS256, &claims(json!({})));
        assert_eq!(keys().read("app", token.as_bytes(), NOW, 3_600), Err(Refusal::Unknown));
    }

    #[test]
    fn a_short_secret_neither_signs_nor_checks() {
        let (short, enough) = (&"s".repeat(31), &"s".repeat(32));
        let token = |secret: &str| signed(secret, Algorithm::HS256, &claims(json!({})));
        let read = |keys: &Keys, token: &str| keys.read("app", token.as_bytes(), NOW, 3_600).map(drop);
        let new = Claims::new("app", None, None, Scope::default(), NOW, 60).unwrap();
        let keys = keys_of(&[short]);
        assert!(!keys.can_sign() && keys.sign(&new).is_none());
        assert_eq!(read(&keys, &token(short)), Err(Refusal::Unknown));
        // Beside a short one the long one does both, wherever it stands.
        let keys = keys_of(&[short, enough]);
        let made = keys.sign(&new).unwrap();
        assert_eq!((read(&keys, &made), read(&keys_of(&[enough]), &made)), (Ok(()), Ok(())));
        assert_eq!(read(&keys, &token(enough)), Ok(()));
        assert_eq!(read(&keys, &token(short)), Err(Refusal::Unknown));
    }

    #[test]
    fn only_hs256_is_taken_whatever_the_header_says() {
        let refused = |token: &str| keys().read("app", token.as_bytes(), NOW, 3_600).err();
        for algorithm in [Algorithm::HS384, Algorithm::HS512] {
            assert_eq!(refused(&signed(NEW, algorithm, &claims(json!({})))), Some(Refusal::Unknown));
        }
        let good = signed(NEW, Algorithm::HS256, &claims(json!({})));
        let (_, rest) = good.split_once('.').unwrap();
        for header in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"None","typ":"JWT"}"#,
            r#"{"alg":"RS256"}"#,
            r#"{"alg":"HS256","crit":["b64"]}"#,
            r#"{"alg":"HS256","kid":"changed"}"#,
            r#"{"typ":"JWT"}"#,
            "[]",
        ] {
            let header = URL_SAFE_NO_PAD.encode(header);
            assert_eq!(refused(&format!("{header}.{rest}")), Some(Refusal::Unknown), "{header}");
            let (payload, _) = rest.split_once('.').unwrap();
            assert_eq!(refused(&format!("{header}.{payload}.")), Some(Refusal::Unknown), "{header}");
        }
        for broken in ["", ".", "..", "a.b.c", &good[..good.len() - 1], &format!("{good}.x")] {
            assert_eq!(refused(broken), Some(Refusal::Unknown), "{broken}");
        }
        assert_eq!(refused(&good), None);
    }

    #[test]
    fn times_are_kept_with_a_small_leeway() {
        let table = [
            (json!({"exp": NOW - 29}), None),
            (json!({"exp": NOW - 30}), Some(Refusal::Expired)),
            (json!({"exp": 0}), Some(Refusal::Expired)),
            (json!({"nbf": NOW + 30}), None),
            (json!({"nbf": NOW + 31}), Some(Refusal::NotYetValid)),
            (json!({"iat": NOW + 31, "exp": NOW + 90}), Some(Refusal::NotYetValid)),
            (json!({"exp": NOW + 3_600}), None),
            (json!({"exp": NOW + 3_601}), Some(Refusal::Lifetime)),
            (json!({"exp": NOW + 60, "iat": NOW - 3_541}), Some(Refusal::Lifetime)),
            (json!({"exp": NOW + 3_601, "iat": null}), Some(Refusal::Lifetime)),
            (json!({"exp": NOW + 60, "iat": null}), None),
            (json!({"exp": 1e300}), Some(Refusal::Lifetime)),
            (json!({"exp": f64::from(1_700_000_059_u32) + 0.5}), None),
        ];
        for (change, refusal) in table {
            assert_eq!(read(change.clone()).err(), refusal, "{change}");
        }
    }

    #[test]
    fn claims_that_cannot_be_read_are_refused() {
        let table = [
            (json!({"exp": null}), Refusal::Claims),
            (json!({"exp": "1700000060"}), Refusal::Claims),
            (json!({"aud": null}), Refusal::Claims),
            (json!({"aud": "other"}), Refusal::Audience),
            (json!({"aud": ["other"]}), Refusal::Audience),
            (json!({"iss": null}), Refusal::Claims),
            (json!({"iss": "other"}), Refusal::WrongApp),
            (json!({"publish": "cam"}), Refusal::Claims),
            (json!({"publish": [""]}), Refusal::Claims),
            (json!({"publish": ["a*b"]}), Refusal::Claims),
            (json!({"subscribe": vec!["x"; 65]}), Refusal::Claims),
            (json!({"sub": ""}), Refusal::Claims),
            (json!({"session": 7}), Refusal::Claims),
        ];
        for (change, refusal) in table {
            assert_eq!(read(change.clone()), Err(refusal), "{change}");
        }
        assert!(read(json!({"aud": ["other", "ringcast"]})).is_ok());
        let list = json!(["app", "ringcast", "ann", "j", NOW + 60]);
        let token = signed(NEW, Algorithm::HS256, &list);
        assert_eq!(keys().read("app", token.as_bytes(), NOW, 3_600), Err(Refusal::Claims));
    }

    #[test]
    fn a_token_of_another_app_is_told_so_also_when_its_secret_is_not_ours() {
        let token = signed(
            "some-other-secret-of-thirty-two-bytes",
            Algorithm::HS256,
            &claims(json!({"iss": "other"})),
        );
        assert_eq!(keys().read("app", token.as_bytes(), NOW, 3_600), Err(Refusal::WrongApp));
    }

    #[test]
    fn owners_are_the_subject_else_the_id_else_the_token() {
        let owner = |change| read(change).unwrap().owner;
        assert_eq!(owner(json!({"sub": "ann", "jti": "1"})), Owner::Subject("ann".into()));
        assert_eq!(owner(json!({"jti": "ann"})), Owner::Id("ann".into()));
        let (first, second) = (owner(json!({})), owner(json!({"exp": NOW + 61})));
        assert!(matches!(first, Owner::Token(_)) && first != second);
        assert_eq!(first, owner(json!({})));
    }

    #[test]
    fn what_is_made_can_be_read() {
        let scope =
            Scope { whep: vec!["stage".into()], publish_data: vec!["chat".into()], ..Scope::default() };
        let claims = Claims::new("app", None, None, scope, NOW, 60).unwrap();
        let token = keys().sign(&claims).unwrap();
        let grant = keys().read("app", token.as_bytes(), NOW, 3_600).unwrap();
        let access = super::super::Access::Token(grant.into());
        assert!(access.may(Right::Whep, "stage").is_ok() && access.may(Right::PublishData, "chat").is_ok());
        assert!(
            access.may(Right::Whip, "stage").is_err() && access.may(Right::SubscribeData, "chat").is_err()
        );
        assert!(access.may(Right::Publish, "stage").is_err());
    }
}
