//! Lays the sources over each other as one TOML table: file, then variables, then flags.
//!
//! The table is turned into a [`Config`] after every step, so that a bad value is reported with the name of the
//! source that brought it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};

use super::nearest::nearest;
use super::secret::{self, CREDENTIALS_VARIABLE};
use super::spelling::in_plain_words;
use super::{Config, ConfigError, Flags};

/// Where the file is looked for when none is named.
pub const DEFAULT_FILE: &str = "/etc/ringcast/ringcast.toml";

/// Names the file.
const CONFIG: &str = "RINGCAST_CONFIG";
/// Prefix of the variables that are read.
const PREFIX: &str = "RINGCAST_";

/// Variables of the process that are read, in the order of their names: ours, and where systemd puts credentials.
pub type Environment = BTreeMap<String, String>;

/// One variable and the key of the file that it overrules.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// The key, from the outermost table.
    pub path: &'static [&'static str],
    /// How its text becomes a value.
    pub shape: Shape,
}

/// How text becomes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// As it is.
    Text,
    /// A whole number.
    Number,
    /// A whole number or a word.
    NumberOrText,
    /// `true` or `false`.
    Switch,
    /// Texts with commas.
    List,
    /// `ID:SECRET` pairs with commas.
    Apps,
    /// A JSON array of objects.
    Json,
}

const fn variable(name: &'static str, path: &'static [&'static str], shape: Shape) -> Variable {
    Variable { name, path, shape }
}

/// Every variable, and the key that it overrules.
pub const VARIABLES: &[Variable] = &[
    variable("RINGCAST_LOG", &["log"], Shape::Text),
    variable("RINGCAST_LOG_FORMAT", &["log_format"], Shape::Text),
    variable("RINGCAST_DRAIN_SECONDS", &["drain_seconds"], Shape::Number),
    variable("RINGCAST_APPS", &["apps"], Shape::Apps),
    variable("RINGCAST_ICE_SERVERS", &["ice_servers"], Shape::Json),
    variable("RINGCAST_TOKENS_MAX_LIFETIME_SECONDS", &["tokens", "max_lifetime_seconds"], Shape::Number),
    variable("RINGCAST_TURN_URLS", &["turn", "urls"], Shape::List),
    variable("RINGCAST_TURN_SECRET", &["turn", "secret"], Shape::Text),
    variable("RINGCAST_TURN_KEYS", &["turn", "keys"], Shape::Apps),
    variable("RINGCAST_TURN_PUBLIC_TTL_SECONDS", &["turn", "public_ttl_seconds"], Shape::Number),
    variable("RINGCAST_STREAMS", &["streams"], Shape::Json),
    variable("RINGCAST_WHIP_TAKEOVER", &["whip", "takeover"], Shape::Switch),
    variable("RINGCAST_WHEP_WAIT", &["whep", "wait"], Shape::Switch),
    variable("RINGCAST_WHEP_PUBLIC", &["whep", "public"], Shape::Switch),
    variable("RINGCAST_HTTP_LISTEN", &["http", "listen"], Shape::List),
    variable("RINGCAST_HTTP_PUBLIC_URL", &["http", "public_url"], Shape::Text),
    variable("RINGCAST_HTTP_TRUSTED_PROXIES", &["http", "trusted_proxies"], Shape::List),
    variable("RINGCAST_HTTP_CORS_ORIGINS", &["http", "cors_origins"], Shape::List),
    variable("RINGCAST_HTTP_CONNECTIONS", &["http", "connections"], Shape::Number),
    variable("RINGCAST_HTTP_CONNECTIONS_PER_ADDRESS", &["http", "connections_per_address"], Shape::Number),
    variable("RINGCAST_HTTP_HEADER_TIMEOUT_SECONDS", &["http", "header_timeout_seconds"], Shape::Number),
    variable("RINGCAST_HTTP_BODY_TIMEOUT_SECONDS", &["http", "body_timeout_seconds"], Shape::Number),
    variable("RINGCAST_HTTP_REQUEST_TIMEOUT_SECONDS", &["http", "request_timeout_seconds"], Shape::Number),
    variable("RINGCAST_HTTP_BODY_BYTES", &["http", "body_bytes"], Shape::Number),
    variable("RINGCAST_HTTP_STRICT_SESSION_BODY", &["http", "strict_session_body"], Shape::Switch),
    variable("RINGCAST_ADMIN_LISTEN", &["admin", "listen"], Shape::Text),
    variable("RINGCAST_MEDIA_PORT", &["media", "port"], Shape::Number),
    variable("RINGCAST_MEDIA_TCP_PORT", &["media", "tcp_port"], Shape::NumberOrText),
    variable("RINGCAST_MEDIA_SINGLE_PORT", &["media", "single_port"], Shape::Switch),
    variable("RINGCAST_MEDIA_STEERING", &["media", "steering"], Shape::Text),
    variable("RINGCAST_MEDIA_SHARDS", &["media", "shards"], Shape::NumberOrText),
    variable("RINGCAST_MEDIA_IO", &["media", "io"], Shape::Text),
    variable("RINGCAST_MEDIA_ADDRESSES", &["media", "addresses"], Shape::List),
    variable("RINGCAST_MEDIA_ADVERTISE", &["media", "advertise"], Shape::List),
    variable("RINGCAST_MEDIA_GSO", &["media", "gso"], Shape::Switch),
    variable("RINGCAST_MEDIA_DTLS_ROLE", &["media", "dtls_role"], Shape::Text),
    variable("RINGCAST_MEDIA_BUSY_POLL_MICROSECONDS", &["media", "busy_poll_microseconds"], Shape::Number),
    variable("RINGCAST_LIMITS_SESSIONS", &["limits", "sessions"], Shape::Number),
    variable("RINGCAST_LIMITS_CONNECTING_SESSIONS", &["limits", "connecting_sessions"], Shape::Number),
    variable("RINGCAST_LIMITS_SESSIONS_PER_APP", &["limits", "sessions_per_app"], Shape::Number),
    variable("RINGCAST_LIMITS_SESSIONS_PER_OWNER", &["limits", "sessions_per_owner"], Shape::Number),
    variable("RINGCAST_LIMITS_SESSIONS_PER_ADDRESS", &["limits", "sessions_per_address"], Shape::Number),
    variable("RINGCAST_LIMITS_THIRDPARTY_SESSIONS", &["limits", "thirdparty_sessions"], Shape::Number),
    variable("RINGCAST_LIMITS_TCP_CONNECTIONS", &["limits", "tcp_connections"], Shape::Number),
    variable(
        "RINGCAST_LIMITS_TCP_CONNECTIONS_PER_ADDRESS",
        &["limits", "tcp_connections_per_address"],
        Shape::Number,
    ),
    variable("RINGCAST_LIMITS_REQUESTS_PER_SECOND", &["limits", "requests_per_second"], Shape::Number),
    variable("RINGCAST_LIMITS_REQUEST_BURST", &["limits", "request_burst"], Shape::Number),
    variable(
        "RINGCAST_LIMITS_STREAM_REQUESTS_PER_SECOND",
        &["limits", "stream_requests_per_second"],
        Shape::Number,
    ),
    variable("RINGCAST_LIMITS_STREAM_REQUEST_BURST", &["limits", "stream_request_burst"], Shape::Number),
    variable("RINGCAST_LIMITS_TRACKS_PER_REQUEST", &["limits", "tracks_per_request"], Shape::Number),
    variable("RINGCAST_LIMITS_SECTIONS_PER_SESSION", &["limits", "sections_per_session"], Shape::Number),
    variable(
        "RINGCAST_LIMITS_SUBSCRIPTIONS_PER_PUBLICATION",
        &["limits", "subscriptions_per_publication"],
        Shape::Number,
    ),
    variable(
        "RINGCAST_LIMITS_NEVER_CONNECTED_SECONDS",
        &["limits", "never_connected_seconds"],
        Shape::Number,
    ),
    variable("RINGCAST_LIMITS_DISCONNECTED_SECONDS", &["limits", "disconnected_seconds"], Shape::Number),
    variable(
        "RINGCAST_LIMITS_PUBLICATION_IDLE_SECONDS",
        &["limits", "publication_idle_seconds"],
        Shape::Number,
    ),
    variable("RINGCAST_LIMITS_PULL_HOLD_MILLISECONDS", &["limits", "pull_hold_milliseconds"], Shape::Number),
    variable("RINGCAST_LIMITS_PENDING_OFFER_SECONDS", &["limits", "pending_offer_seconds"], Shape::Number),
    variable("RINGCAST_LIMITS_QUEUE_SECONDS", &["limits", "queue_seconds"], Shape::Number),
    variable("RINGCAST_LIMITS_ROOMS", &["limits", "rooms"], Shape::Number),
    variable("RINGCAST_LIMITS_ROOM_MEMBERS", &["limits", "room_members"], Shape::Number),
    variable("RINGCAST_LIMITS_ROOM_BYTES", &["limits", "room_bytes"], Shape::Number),
    variable("RINGCAST_LIMITS_ROOMS_BYTES", &["limits", "rooms_bytes"], Shape::Number),
    variable("RINGCAST_LIMITS_ROOM_MEMBER_SECONDS", &["limits", "room_member_seconds"], Shape::Number),
];

/// Reads all sources and checks the whole.
pub fn load(flags: &Flags, environment: &Environment) -> Result<Config, ConfigError> {
    let mut table = Table::new();
    let named = flags
        .config
        .clone()
        .or_else(|| ours(environment).find(|(name, _)| *name == CONFIG).map(|(_, path)| path.into()));
    let file = named.or_else(|| Some(DEFAULT_FILE.into()).filter(|path: &PathBuf| path.exists()));
    if let Some(path) = &file {
        table = read_file(path)?;
    }
    let mut config = parse(&table, "the configuration")?;
    let readers =
        file.filter(|_| secret::any_inline(&config)).and_then(|path| secret::warn_of_readers(&path));
    for (name, text) in ours(environment) {
        if name == CONFIG || is_of_a_platform(name, text) {
            continue;
        }
        let Some(variable) = VARIABLES.iter().find(|variable| variable.name == name) else {
            let Some(meant) = nearest(name, known_names()) else { continue };
            return Err(ConfigError::new(format!(
                "the variable {name} is not known: did you mean {meant}? Otherwise remove it"
            )));
        };
        set(&mut table, variable.path, value(variable.shape, text).map_err(|cause| at(name, &cause))?);
        config = parse(&table, name)?;
    }
    for (flag, path, value) in flags.values().map_err(ConfigError::in_command_line)? {
        set(&mut table, path, value);
        config = parse(&table, flag).map_err(ConfigError::in_command_line)?;
    }
    config.warnings.extend(readers);
    config.warnings.extend(passed_over(environment));
    secret::read_files(&mut config, environment.get(CREDENTIALS_VARIABLE).map(Path::new))?;
    config.check()?;
    let short = secret::warn_of_short(&config);
    config.warnings.extend(short);
    Ok(config)
}

/// What is to be said of variables that mean nothing here: sentences with cause and remedy.
fn passed_over(environment: &Environment) -> Vec<String> {
    let passed_over = ours(environment).filter_map(|(name, text)| {
        if is_of_a_platform(name, text) {
            return Some(format!(
                "the variable {name} is passed over: a container platform has set it for a service of that name"
            ));
        }
        let is_known = known_names().any(|known| known == name);
        (!is_known).then(|| format!("the variable {name} is passed over: it is not known, see ringcast.example.toml"))
    });
    passed_over.collect()
}

/// Our variables. An empty one counts as none: that is how it is taken away in many a file of another tool.
fn ours(environment: &Environment) -> impl Iterator<Item = (&str, &str)> {
    let ours = environment.iter().filter(|(name, text)| name.starts_with(PREFIX) && !text.trim().is_empty());
    ours.map(|(name, text)| (name.as_str(), text.as_str()))
}

fn known_names() -> impl Iterator<Item = &'static str> {
    VARIABLES.iter().map(|variable| variable.name).chain([CONFIG])
}

/// Whether Kubernetes or Docker has made a variable, which they do for every service that is called ringcast or begins
/// so: `RINGCAST_PORT=tcp://10.0.0.1:80`, `RINGCAST_SERVICE_HOST`, `RINGCAST_PORT_80_TCP_ADDR`. A service may also be
/// called as one of our variables.
fn is_of_a_platform(name: &str, text: &str) -> bool {
    let is_url = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| text.trim().starts_with(scheme));
    let words: Vec<&str> = name.split('_').collect();
    let is_port = |words: &[&str]| {
        let [port, number, protocol] = words else { return false };
        *port == "PORT"
            && !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && ["TCP", "UDP", "SCTP"].contains(protocol)
    };
    let is_service = words.windows(2).any(|pair| matches!(pair, ["SERVICE", "HOST" | "PORT"]));
    (is_url && name.ends_with("_PORT")) || is_service || words.windows(3).any(is_port)
}

fn read_file(path: &Path) -> Result<Table, ConfigError> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        ConfigError::new(format!("the file {shown} cannot be read ({error}): correct its path or its rights"))
    })?;
    // Read once as a whole configuration, because only that names the line of a mistake.
    match toml::from_str::<Config>(&text).and_then(|_| toml::from_str::<Table>(&text)) {
        Ok(table) => Ok(table),
        Err(error) => {
            let start = error.span().map_or(0, |span| span.start);
            let line = text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
            let cause = in_plain_words(error.message());
            Err(ConfigError::new(format!("line {line} of {shown} cannot be used: {cause}")))
        }
    }
}

fn parse(table: &Table, source: &str) -> Result<Config, ConfigError> {
    Config::deserialize(table.clone()).map_err(|error| at(source, &in_plain_words(error.message())))
}

fn at(source: &str, cause: &str) -> ConfigError {
    ConfigError::new(format!("{source} cannot be used: {cause}"))
}

fn set(table: &mut Table, path: &[&str], value: Value) {
    let Some((last, outer)) = path.split_last() else { return };
    let mut table = table;
    for key in outer {
        let inner = table.entry(*key).or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(inner) = inner else { return };
        table = inner;
    }
    table.insert((*last).to_owned(), value);
}

fn value(shape: Shape, text: &str) -> Result<Value, String> {
    match shape {
        // Numbers and switches are read where all sources meet.
        Shape::Text | Shape::Number | Shape::NumberOrText | Shape::Switch => {
            Ok(Value::String(text.trim().to_owned()))
        }
        Shape::List => Ok(strings(pieces(text))),
        Shape::Apps => apps(pieces(text)),
        Shape::Json => serde_json::from_str::<Vec<Table>>(text)
            .map(|tables| Value::Array(tables.into_iter().map(Value::Table).collect()))
            .map_err(|error| format!("it is no JSON array of objects ({error}): correct it")),
    }
}

fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|piece| !piece.is_empty())
}

/// An array of texts.
pub(super) fn strings<'a>(texts: impl Iterator<Item = &'a str>) -> Value {
    Value::Array(texts.map(|text| Value::String(text.to_owned())).collect())
}

/// `ID:SECRET` pairs as the array that `apps` is in the file; one id may come with several secrets.
pub(super) fn apps<'a>(pairs: impl Iterator<Item = &'a str>) -> Result<Value, String> {
    let mut apps: Vec<(&str, Vec<Value>)> = Vec::new();
    for pair in pairs {
        let Some((id, secret)) = pair.split_once(':') else {
            return Err("an app is written without its secret: write it as ID:SECRET or ID:@FILE".into());
        };
        let secret = Value::String(secret.to_owned());
        match apps.iter_mut().find(|(known, _)| *known == id) {
            Some((_, secrets)) => secrets.push(secret),
            None => apps.push((id, vec![secret])),
        }
    }
    let tables = apps.into_iter().map(|(id, secrets)| {
        let mut app = Table::new();
        app.insert("id".into(), Value::String(id.to_owned()));
        app.insert("secrets".into(), Value::Array(secrets));
        Value::Table(app)
    });
    Ok(Value::Array(tables.collect()))
}
