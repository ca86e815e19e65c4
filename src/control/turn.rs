//! ICE servers for clients: those of the configuration, and a TURN server with credentials made for one client.
//!
//! The credentials are those of coturn's `use-auth-secret`: the user name begins with the end of its time, the password
//! is a code of the user name under the shared secret. Nothing is stored, so none can be taken back before its time.

use aws_lc_rs::digest::SHA256_OUTPUT_LEN;
use aws_lc_rs::hmac::{self, HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use utoipa::ToSchema;

use crate::config::{IceServer, Turn};

use super::access::Refusal;
use super::access::apps::{bearer, is_one_of, random_hex, sha256};
use super::error::ApiError;

/// Longest life of credentials, seconds.
pub const TTL_MAX: u64 = 172_800;

/// One server, as `RTCPeerConnection` takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct IceServerBody {
    /// Its addresses.
    pub urls: Vec<String>,
    /// TURN user name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub username: Option<String>,
    /// TURN credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub credential: Option<String>,
}

impl IceServerBody {
    fn plain(urls: Vec<String>) -> Self {
        Self { urls, username: None, credential: None }
    }
}

/// All that clients may be told of.
#[derive(Default)]
pub struct IceServers {
    fixed: Vec<IceServerBody>,
    stun: Vec<String>,
    turn: Vec<String>,
    secret: Option<Key>,
    keys: Vec<(String, Vec<[u8; SHA256_OUTPUT_LEN]>)>,
    public_ttl: u64,
}

impl IceServers {
    /// Takes the servers of the configuration.
    pub fn new(fixed: &[IceServer], turn: &Turn) -> Self {
        let body = |server: &IceServer| IceServerBody {
            urls: server.urls.clone(),
            username: server.username.clone(),
            credential: server.credential.as_ref().map(|secret| secret.reveal().to_owned()),
        };
        let key = |key: &crate::config::App| {
            let tokens = key.secrets.iter().map(|token| sha256(token.reveal().as_bytes()));
            (key.id.as_str().to_owned(), tokens.collect())
        };
        let (relays, others) = turn.urls.iter().cloned().partition(|url| url.starts_with("turn"));
        let code = |text: &str| Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
        Self {
            fixed: fixed.iter().map(body).collect(),
            stun: others,
            turn: relays,
            secret: turn.secret.get().map(|secret| code(secret.reveal())),
            keys: turn.keys.iter().map(key).collect(),
            public_ttl: turn.public_ttl_seconds.0.get(),
        }
    }

    /// Life of credentials for those who show no secret and no token; 0 when they get none.
    pub fn public_ttl(&self) -> u64 {
        self.public_ttl
    }

    /// Checks that there is such a key, then the bearer of the `Authorization` header against its tokens.
    pub fn authorize(&self, key: &str, header: Option<&[u8]>) -> Result<(), ApiError> {
        let (_, tokens) = self.keys.iter().find(|(id, _)| id == key).ok_or(ApiError::UnknownTurnKey)?;
        let given = header.and_then(bearer).ok_or(Refusal::Missing)?;
        if is_one_of(tokens, given) { Ok(()) } else { Err(Refusal::Unknown.into()) }
    }

    /// Whether there is such a key.
    pub fn has_key(&self, key: &str) -> bool {
        self.keys.iter().any(|(id, _)| id == key)
    }

    /// The STUN servers beside the TURN server, and the TURN server with new credentials.
    pub fn minted(&self, client: Option<&str>, ttl: u64, now: u64) -> Result<Vec<IceServerBody>, ApiError> {
        let mut servers = Vec::new();
        if !self.stun.is_empty() {
            servers.push(IceServerBody::plain(self.stun.clone()));
        }
        if let Some(secret) = &self.secret {
            let client = client.map_or_else(random_hex::<16>, |client| Ok(client.to_owned()))?;
            let username = format!("{}:{client}", now.saturating_add(ttl.min(TTL_MAX)));
            let credential = STANDARD.encode(hmac::sign(secret, username.as_bytes()));
            let (username, credential) = (Some(username), Some(credential));
            servers.push(IceServerBody { urls: self.turn.clone(), username, credential });
        }
        Ok(servers)
    }

    /// Everything for one client: the servers of the configuration, then what [`Self::minted`] gives. With a life of 0
    /// there are no credentials, and so no TURN server of that kind.
    pub fn all(&self, client: Option<&str>, ttl: u64, now: u64) -> Result<Vec<IceServerBody>, ApiError> {
        let mut servers = self.fixed.clone();
        if ttl > 0 {
            servers.extend(self.minted(client, ttl, now)?);
        } else if !self.stun.is_empty() {
            servers.push(IceServerBody::plain(self.stun.clone()));
        }
        Ok(servers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::OptionalSecret;

    fn servers() -> IceServers {
        let urls = ["stun:t.example:3478", "turn:t.example:3478?transport=udp"].map(str::to_owned).to_vec();
        let secret = OptionalSecret::try_from("north".to_owned()).unwrap();
        IceServers::new(&[], &Turn { urls, secret, ..Turn::default() })
    }

    #[test]
    fn credentials_are_those_that_coturn_computes() {
        // printf %s 1700000600:ann | openssl dgst -sha1 -hmac north -binary | base64
        let minted = servers().minted(Some("ann"), 600, 1_700_000_000).unwrap();
        assert_eq!(minted[0].urls, ["stun:t.example:3478"]);
        assert_eq!(minted[1].urls, ["turn:t.example:3478?transport=udp"]);
        assert_eq!(minted[1].username.as_deref(), Some("1700000600:ann"));
        assert_eq!(minted[1].credential.as_deref(), Some("7frJsC9X1ENSUqDpiZimUxlaSY8="));
    }

    #[test]
    fn without_a_name_each_client_gets_its_own() {
        let name = || servers().minted(None, 600, 0).unwrap().pop().unwrap().username.unwrap();
        assert!(name().starts_with("600:") && name() != name());
    }

    #[test]
    fn no_life_means_no_credentials_and_too_long_a_life_is_cut() {
        let none = servers().all(None, 0, 0).unwrap();
        assert!(none.iter().all(|server| server.credential.is_none() && server.urls[0].starts_with("stun:")));
        let long = servers().all(Some("a"), u64::MAX, 0).unwrap();
        assert_eq!(long[1].username.as_deref(), Some("172800:a"));
    }
}
