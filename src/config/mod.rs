//! Configuration: a TOML file, then `RINGCAST_*` variables, then flags, each overruling the one before.
//!
//! Owns every value that an operator can set, its default and its bounds. A field's type cannot hold a value
//! that the server could not work with; what concerns several fields is checked once, in [`Config::check`].
//! Knows no socket and starts nothing: [`crate::node`] reads it.

mod flags;
mod layers;
mod log;
pub(crate) mod nearest;
mod places;
mod secret;
mod spelling;
mod values;

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use flags::{Flags, Invocation, MintToken, UsageError, invocation};
pub use layers::{DEFAULT_FILE, Environment, VARIABLES, Variable, load};
pub use log::{LogFilter, LogFormat};
pub use places::{Network, PublicUrl};
pub use secret::{CREDENTIALS_VARIABLE, OptionalSecret, SIGNING_CHARS, Secret};
pub use values::{
    Advertise, AppId, BadValue, DtlsRole, IoChoice, Listen, Origin, ShardChoice, SteeringChoice, StreamName,
    TcpPort, Within,
};

/// Why the configuration cannot be used: one sentence that names the cause and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ConfigError {
    text: String,
    /// Whether the command line says what cannot be used.
    pub in_command_line: bool,
}

impl ConfigError {
    /// One with this sentence, about a file, a variable or the machine.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), in_command_line: false }
    }

    /// The same, about what stands in the command line.
    #[must_use]
    pub fn in_command_line(self) -> Self {
        Self { in_command_line: true, ..self }
    }
}

/// Everything that an operator can set.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Which log lines are written.
    pub log: LogFilter,
    /// How they are written.
    pub log_format: LogFormat,
    /// How long sessions may go on when the server is told to stop.
    pub drain_seconds: Within<0, 86_400>,
    /// The HTTP API.
    pub http: Http,
    /// The listener for operators.
    pub admin: Admin,
    /// The media ports.
    pub media: Media,
    /// Bounds and times.
    pub limits: Limits,
    /// Applications and their secrets.
    pub apps: Vec<App>,
    /// Streams with tokens of their own.
    pub streams: Vec<Stream>,
    /// How streams are published.
    pub whip: Whip,
    /// How streams are played.
    pub whep: Whep,
    /// What `generate-ice-servers` answers.
    pub ice_servers: Vec<IceServer>,
    /// Scoped tokens.
    pub tokens: Tokens,
    /// Credentials for a TURN server.
    pub turn: Turn,
    /// What an operator should mend, though the server can work with it: sentences with cause and remedy.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

/// Scoped tokens, which browsers may hold in place of the secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tokens {
    /// A token that lives longer is refused.
    pub max_lifetime_seconds: Within<60, 2_592_000>,
}

/// Credentials for a TURN server that shares a secret with us (coturn: `use-auth-secret`).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Turn {
    /// Its addresses, as `turn:` and `turns:` URLs, and those of STUN servers to name beside it.
    pub urls: Vec<String>,
    /// What it shares with us (coturn: `static-auth-secret`).
    pub secret: OptionalSecret,
    /// Keys whose tokens may ask for credentials.
    pub keys: Vec<App>,
    /// How long credentials live that `generate-ice-servers` of an application gives to anybody; 0 to give none.
    pub public_ttl_seconds: PublicTtl,
}

/// Life of credentials that anybody may have, seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublicTtl(pub Within<0, 172_800>);

impl Default for PublicTtl {
    fn default() -> Self {
        Self(Within::new(14_400))
    }
}

/// The HTTP API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Addresses on which it is served.
    pub listen: Listen,
    /// Where clients reach the API through a proxy, with the path under which the proxy serves it.
    pub public_url: PublicUrl,
    /// Proxies whose word on clients is taken.
    pub trusted_proxies: Vec<Network>,
    /// Origins that browsers may call from; empty for any.
    pub cors_origins: Vec<Origin>,
    /// Connections served at the same time; more wait in the kernel's queue.
    pub connections: Within<1, 1_000_000>,
    /// Of these, connections from one address; those of trusted proxies are bounded by the whole alone.
    pub connections_per_address: Within<1, 1_000_000>,
    /// Time in which a client has to send a request head; an idle connection is closed after it too.
    pub header_timeout_seconds: Within<1, 300>,
    /// Time in which a client has to send a request body.
    pub body_timeout_seconds: Within<1, 300>,
    /// Time in which a request is answered.
    pub request_timeout_seconds: Within<15, 300>,
    /// Largest request body.
    pub body_bytes: Within<1_024, 16_777_216>,
    /// Whether a `{}` to sessions/new is refused, as the original does.
    #[serde(deserialize_with = "spelling::read_switch")]
    pub strict_session_body: bool,
}

/// The listener for operators: metrics and health.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Its address. It has no authentication: keep it away from the public.
    #[serde(deserialize_with = "spelling::read_listening_address")]
    pub listen: SocketAddr,
}

/// The media ports.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Media {
    /// UDP port of the first shard; the next shard has the next port.
    pub port: MediaPort,
    /// TCP port of all shards, for clients whose network lets no UDP through.
    pub tcp_port: TcpPort,
    /// Whether all shards share that one port.
    #[serde(deserialize_with = "spelling::read_switch")]
    pub single_port: bool,
    /// How datagrams of a single port reach their shard.
    pub steering: SteeringChoice,
    /// Number of shards, one thread each.
    pub shards: ShardChoice,
    /// How datagrams reach the kernel.
    pub io: IoChoice,
    /// Local addresses to serve on; empty for all of this machine.
    #[serde(deserialize_with = "spelling::read_local_addresses")]
    pub addresses: Vec<std::net::IpAddr>,
    /// Addresses under which others reach us, when they differ from the local ones.
    pub advertise: Vec<Advertise>,
    /// Whether segmentation offload may be used.
    pub gso: Gso,
    /// Who begins the DTLS handshake where a client leaves that to us.
    pub dtls_role: DtlsRole,
    /// How long a shard looks for work before it sleeps, burning its core meanwhile; 0 to sleep at once.
    pub busy_poll_microseconds: Within<0, 1_000_000>,
}

/// UDP port of the first shard.
pub type MediaPort = values::Port<40_000>;

/// Whether segmentation offload may be used where the kernel has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Gso(#[serde(deserialize_with = "spelling::read_switch")] pub bool);

impl Default for Gso {
    fn default() -> Self {
        Self(true)
    }
}

/// Bounds and times of the service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Sessions of the node at the same time.
    pub sessions: Within<1, 1_000_000>,
    /// Of these, sessions whose clients have not connected yet.
    pub connecting_sessions: Within<1, 1_000_000>,
    /// Of these, sessions of one application; 0 for as many as the share of the others leaves.
    pub sessions_per_app: Within<0, 1_000_000>,
    /// Of these, sessions of one owner of tokens: those of one `sub`, or of one `jti`.
    pub sessions_per_owner: Within<1, 1_000_000>,
    /// Of these, viewers of one address whom no token of their own tells apart.
    pub sessions_per_address: Within<1, 1_000_000>,
    /// Of these, sessions that call another server (`thirdparty=true`); 0 refuses them.
    pub thirdparty_sessions: Within<0, 16_000>,
    /// TCP connections for media at the same time.
    pub tcp_connections: Within<1, 1_000_000>,
    /// TCP connections for media from one address.
    pub tcp_connections_per_address: Within<1, 1_000_000>,
    /// Requests per second on one session.
    pub requests_per_second: Within<1, 100_000>,
    /// Requests that one session may make at once.
    pub request_burst: Within<1, 100_000>,
    /// Requests per second on one stream of WHIP or WHEP.
    pub stream_requests_per_second: Within<1, 100_000>,
    /// Requests on one such stream at once.
    pub stream_request_burst: Within<1, 100_000>,
    /// Tracks in one request.
    pub tracks_per_request: Within<1, 1_024>,
    /// Media sections of one session.
    pub sections_per_session: Within<2, 4_096>,
    /// Subscriptions of one publication.
    pub subscriptions_per_publication: Within<1, 1_000_000>,
    /// A session that never connected ends after this.
    pub never_connected_seconds: Within<1, 3_600>,
    /// A session from which nothing authenticated comes ends after this.
    pub disconnected_seconds: Within<5, 3_600>,
    /// A publication without RTP becomes inactive after this.
    pub publication_idle_seconds: Within<1, 3_600>,
    /// How long a pull waits for media of a publication.
    pub pull_hold_milliseconds: Within<0, 8_000>,
    /// How long an offer of ours waits for the client's answer before it is rolled back.
    pub pending_offer_seconds: Within<1, 60>,
    /// How long a request waits for an earlier one of its session.
    pub queue_seconds: Within<1, 10>,
    /// Rooms of the demo's presence board.
    pub rooms: Within<0, 100_000>,
    /// Members of one such room.
    pub room_members: Within<1, 10_000>,
    /// Bytes that the members of one such room may show together.
    pub room_bytes: Within<1_024, 16_777_216>,
    /// Bytes that all rooms may show together.
    pub rooms_bytes: Within<1_024, 1_073_741_824>,
    /// A room member that is not repeated disappears after this.
    pub room_member_seconds: Within<1, 3_600>,
}

/// One application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// Its id, as it stands in URLs.
    pub id: AppId,
    /// Bearer tokens that are valid for it; more than one while they are rotated.
    pub secrets: Vec<Secret>,
}

/// One stream of WHIP and WHEP with tokens of its own. Any other stream is for those with a secret of its application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// The application that it belongs to.
    pub app: AppId,
    /// Its name, as it stands in URLs.
    pub stream: StreamName,
    /// Bearer token for publishing it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish_token: Option<Secret>,
    /// Bearer token for playing it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub play_token: Option<Secret>,
    /// Whether it can be played without any token.
    #[serde(default, deserialize_with = "spelling::read_switch")]
    pub public: bool,
}

/// How streams are published (RFC 9725).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Whip {
    /// Whether any publisher of a stream takes the place of the one before, instead of being refused; one that comes
    /// again with the same token always does.
    #[serde(deserialize_with = "spelling::read_switch")]
    pub takeover: bool,
}

/// How streams are played (draft-ietf-wish-whep).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Whep {
    /// Whether a viewer may wait for a stream that nobody publishes yet, instead of being refused.
    #[serde(deserialize_with = "spelling::read_switch")]
    pub wait: bool,
    /// Whether every stream can be played without a token.
    #[serde(deserialize_with = "spelling::read_switch")]
    pub public: bool,
}

impl Default for Whep {
    fn default() -> Self {
        Self { wait: true, public: false }
    }
}

/// One STUN or TURN server that clients are told of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IceServer {
    /// Its addresses, as `stun:` and `turn:` URLs.
    pub urls: Vec<String>,
    /// TURN user name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// TURN credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Secret>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: Listen::default(),
            public_url: PublicUrl::default(),
            trusted_proxies: Network::loopback(),
            cors_origins: Vec::new(),
            connections: Within::new(4_096),
            connections_per_address: Within::new(256),
            header_timeout_seconds: Within::new(30),
            body_timeout_seconds: Within::new(10),
            request_timeout_seconds: Within::new(30),
            body_bytes: Within::new(1_048_576),
            strict_session_body: false,
        }
    }
}

impl Default for Tokens {
    fn default() -> Self {
        Self { max_lifetime_seconds: Within::new(86_400) }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9_464)) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: Within::new(10_000),
            connecting_sessions: Within::new(2_000),
            sessions_per_app: Within::new(0),
            sessions_per_owner: Within::new(1_000),
            sessions_per_address: Within::new(256),
            thirdparty_sessions: Within::new(256),
            tcp_connections: Within::new(4_096),
            tcp_connections_per_address: Within::new(256),
            requests_per_second: Within::new(50),
            request_burst: Within::new(50),
            stream_requests_per_second: Within::new(200),
            stream_request_burst: Within::new(1_000),
            tracks_per_request: Within::new(64),
            sections_per_session: Within::new(512),
            subscriptions_per_publication: Within::new(10_000),
            never_connected_seconds: Within::new(60),
            disconnected_seconds: Within::new(30),
            publication_idle_seconds: Within::new(30),
            pull_hold_milliseconds: Within::new(2_000),
            pending_offer_seconds: Within::new(10),
            queue_seconds: Within::new(5),
            rooms: Within::new(1_000),
            room_members: Within::new(200),
            room_bytes: Within::new(524_288),
            rooms_bytes: Within::new(33_554_432),
            room_member_seconds: Within::new(15),
        }
    }
}

impl Limits {
    /// How long a pull waits for media of a publication.
    pub fn pull_hold(&self) -> Duration {
        Duration::from_millis(self.pull_hold_milliseconds.get())
    }

    /// How long an offer of ours waits for the client's answer.
    pub fn pending_offer(&self) -> Duration {
        Duration::from_secs(self.pending_offer_seconds.get())
    }

    /// How long a request waits for an earlier one of its session.
    pub fn queue(&self) -> Duration {
        Duration::from_secs(self.queue_seconds.get())
    }

    /// Life time of a room member that is not repeated.
    pub fn room_member(&self) -> Duration {
        Duration::from_secs(self.room_member_seconds.get())
    }
}

impl Config {
    /// Checks what concerns several fields.
    pub fn check(&self) -> Result<(), ConfigError> {
        let last = u64::from(self.media.port.get()) + self.media.shards.most() - 1;
        if last > u64::from(u16::MAX) && !self.media.single_port {
            return Err(ConfigError::new(format!(
                "media.port {} leaves no room for {} shards below 65536: choose a lower port",
                self.media.port.get(),
                self.media.shards.most(),
            )));
        }
        for (index, app) in self.apps.iter().enumerate() {
            if app.secrets.is_empty() {
                return Err(ConfigError::new(format!("app {} has no secret: give it at least one", app.id)));
            }
            if self.apps.iter().take(index).any(|other| other.id == app.id) {
                return Err(ConfigError::new(format!(
                    "app {} stands twice in apps: put all its secrets into one entry",
                    app.id
                )));
            }
        }
        self.check_streams()?;
        for server in &self.ice_servers {
            check_ice_server(server)?;
        }
        check_turn(&self.turn)?;
        if self.apps.is_empty()
            && let Some(address) = self.http.listen.addresses().iter().find(|a| !a.ip().is_loopback())
        {
            return Err(ConfigError::new(format!(
                "http.listen {address} can be reached from other machines, but without apps the secret is one \
                 for development that is printed on the screen: add --app ID:SECRET, or listen on 127.0.0.1",
            )));
        }
        Ok(())
    }

    /// The settings of `new` that differ from these and cannot be changed while the server runs, by name.
    pub fn needing_restart(&self, new: &Self) -> Vec<String> {
        const CHANGED_AT_ONCE: [&str; 11] = [
            "log",
            "drain_seconds",
            "limits",
            "apps",
            "streams",
            "whip",
            "whep",
            "ice_servers",
            "tokens",
            "turn",
            "warnings",
        ];
        let table = |config: &Self| toml::Table::try_from(config).unwrap_or_default();
        let (old, new) = (table(self), table(new));
        let mut names = Vec::new();
        for (name, value) in old.iter().filter(|(name, _)| !CHANGED_AT_ONCE.contains(&name.as_str())) {
            match (value, new.get(name)) {
                (toml::Value::Table(inner), Some(toml::Value::Table(new))) => {
                    let changed = inner.iter().filter(|(key, value)| new.get(*key) != Some(*value));
                    names.extend(changed.map(|(key, _)| format!("{name}.{key}")));
                }
                (value, new) if new != Some(value) => names.push(name.clone()),
                _ => {}
            }
        }
        names
    }

    fn check_streams(&self) -> Result<(), ConfigError> {
        for (index, Stream { app, stream, .. }) in self.streams.iter().enumerate() {
            if !self.apps.iter().any(|known| known.id == *app) {
                return Err(ConfigError::new(format!(
                    "stream {stream} is of the app {app}, which is not in apps: add it there, or correct the stream"
                )));
            }
            if self.streams.iter().take(index).any(|other| other.app == *app && other.stream == *stream) {
                return Err(ConfigError::new(format!(
                    "stream {stream} of app {app} stands twice in streams: keep one entry"
                )));
            }
        }
        Ok(())
    }

    /// The values in force as TOML, with secrets hidden.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).unwrap_or_else(|error| format!("# cannot be printed: {error}\n"))
    }
}

fn check_ice_server(server: &IceServer) -> Result<(), ConfigError> {
    let known = ["stun:", "stuns:", "turn:", "turns:"];
    match server.urls.iter().find(|url| !known.iter().any(|scheme| url.starts_with(scheme))) {
        Some(url) => Err(ConfigError::new(format!(
            "ice_servers has the url {url:?}, which is neither STUN nor TURN: start it with stun: or turn:"
        ))),
        None if server.urls.is_empty() => {
            Err(ConfigError::new("ice_servers has an entry without urls: add one or remove the entry"))
        }
        None => Ok(()),
    }
}

fn check_turn(turn: &Turn) -> Result<(), ConfigError> {
    let error = |text: &str| Err(ConfigError::new(text));
    let known = ["stun:", "stuns:", "turn:", "turns:"];
    if turn.urls.iter().any(|url| !known.iter().any(|scheme| url.starts_with(scheme))) {
        return error(
            "turn.urls has a url that is neither STUN nor TURN: start it with turn:, turns: or stun:",
        );
    }
    if turn.urls.iter().any(|url| url.starts_with("turn")) != turn.secret.get().is_some() {
        return error("turn.urls and turn.secret belong together: set both, or neither");
    }
    for (index, key) in turn.keys.iter().enumerate() {
        if key.secrets.is_empty() || turn.keys.iter().take(index).any(|other| other.id == key.id) {
            return Err(ConfigError::new(format!(
                "turn.keys needs one entry for {} with at least one secret: mend or remove it",
                key.id
            )));
        }
    }
    if !turn.keys.is_empty() && turn.secret.get().is_none() {
        return error("turn.keys is set, but no TURN server is: set turn.urls and turn.secret too");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
