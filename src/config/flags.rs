//! The command line. Flags only carry text here; the meaning of a value is decided where all sources meet.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use toml::Value;

use super::ConfigError;
use super::layers::{apps, strings};

/// What the command line asks for.
#[derive(Debug)]
pub enum Invocation {
    /// Serve.
    Run(Flags),
    /// Print the configuration in force and end.
    CheckConfig(Flags),
    /// Print a token and end.
    MintToken(Flags, Box<MintToken>),
    /// Print a new secret, or write it into this file, and end.
    GenerateSecret(Option<PathBuf>),
    /// Print this text (help, version) and end.
    Print(String),
}

#[derive(Parser)]
#[command(
    name = "ringcast",
    version,
    about = "A selective forwarding unit for WebRTC",
    override_usage = "ringcast [OPTIONS]\n       ringcast <COMMAND> [OPTIONS]",
    after_help = "Without a command it serves. Values come from the file, then from RINGCAST_* variables, then from \
                  options; ringcast.example.toml has all of them.\n\
                  SIGHUP reads them anew, SIGTERM or Ctrl-C ends the server, a second one at once.\n\
                  Exit codes: 2, the command line cannot be used; 78, the configuration cannot be used; \
                  1, the server could not start or go on."
)]
struct CommandLine {
    #[command(subcommand)]
    task: Option<Task>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Subcommand)]
enum Task {
    /// Print the configuration in force as TOML, with secrets hidden, and end.
    ///
    /// It takes the options of the server.
    CheckConfig(Box<Flags>),
    /// Print a token that a browser may hold in place of the secret, and end.
    ///
    /// It is signed with the first secret of 32 characters or more of the application that --app or the configuration
    /// gives. Names may end with *: then they stand for all names that begin so.
    MintToken(Box<MintToken>),
    /// Print a new secret of 64 characters, or write it into a file that nobody else can read, and end.
    GenerateSecret {
        /// A file that does not exist yet.
        file: Option<PathBuf>,
    },
}

/// What a token is to hold.
#[derive(Debug, Clone, Default, Args)]
pub struct MintToken {
    #[command(flatten)]
    source: Source,
    /// The application, when there are several.
    #[arg(long = "for", value_name = "ID")]
    pub app_id: Option<String>,
    /// Seconds that it lives.
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600)]
    pub ttl: u64,
    /// Whose token it is: tokens of one subject share the sessions that they make.
    #[arg(long, value_name = "NAME")]
    pub subject: Option<String>,
    /// The only session that it may touch.
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// Tracks to publish; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub publish: Vec<String>,
    /// Tracks to receive; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub subscribe: Vec<String>,
    /// Data channels to send on; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub publish_data: Vec<String>,
    /// Data channels to receive; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub subscribe_data: Vec<String>,
    /// Streams to send by WHIP; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub whip: Vec<String>,
    /// Streams to play by WHEP; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub whep: Vec<String>,
    /// Rooms of the demo page to be in; may be repeated. To see and be seen there takes --publish and --subscribe, too.
    #[arg(long, value_name = "NAME")]
    pub room: Vec<String>,
}

/// Where the secrets are.
#[derive(Debug, Clone, Default, Args)]
struct Source {
    /// Configuration file [default: /etc/ringcast/ringcast.toml if it exists].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// An application and a secret of it, or a file with the secret.
    #[arg(long, value_name = "ID:SECRET|ID:@FILE")]
    app: Vec<String>,
}

/// Flags as they were given.
#[derive(Debug, Clone, Default, Args)]
pub struct Flags {
    /// Configuration file [default: /etc/ringcast/ringcast.toml if it exists].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address of the HTTP API; may be repeated [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Vec<String>,
    /// Address for metrics and health [default: 127.0.0.1:9464].
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub admin: Option<String>,
    /// An application and a secret of it, or a file with the secret, which ps does not show; may be repeated, also for
    /// one id [default: one for development].
    #[arg(long, value_name = "ID:SECRET|ID:@FILE")]
    pub app: Vec<String>,
    /// Number of shards [default: one for each CPU].
    #[arg(long, value_name = "NUMBER|auto")]
    pub shards: Option<String>,
    /// How datagrams reach the kernel: uring, mmsg or auto [default: auto].
    #[arg(long, value_name = "KIND")]
    pub io: Option<String>,
    /// UDP port of the first shard; the next shards have the next ports [default: 40000].
    #[arg(long, value_name = "PORT")]
    pub media_port: Option<String>,
    /// TCP port of all shards, for clients without UDP: a number, auto or off [default: as --media-port].
    #[arg(long, value_name = "PORT|auto|off")]
    pub tcp_port: Option<String>,
    /// Let all shards share the one media port.
    #[arg(long)]
    pub single_port: bool,
    /// Public address to tell clients, for all local ones or for one; may be repeated.
    #[arg(long, value_name = "[LOCAL=]ADDRESS")]
    pub advertise: Vec<String>,
    /// Local address to serve media on; may be repeated [default: all].
    #[arg(long, value_name = "ADDRESS")]
    pub media_address: Vec<String>,
    /// What is logged: error, warn, info, debug or off, or target=level [default: info].
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// How a line of the log is written: text or json [default: text].
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
}

/// One flag, the key that it overrules and its value.
type FlagValue = (&'static str, &'static [&'static str], Value);

impl Flags {
    /// These with others, which stand behind a command and so overrule them.
    fn overruled_by(self, later: Self) -> Self {
        let list = |later: Vec<String>, earlier| if later.is_empty() { earlier } else { later };
        Self {
            config: later.config.or(self.config),
            listen: list(later.listen, self.listen),
            admin: later.admin.or(self.admin),
            app: list(later.app, self.app),
            shards: later.shards.or(self.shards),
            io: later.io.or(self.io),
            media_port: later.media_port.or(self.media_port),
            tcp_port: later.tcp_port.or(self.tcp_port),
            single_port: later.single_port || self.single_port,
            advertise: list(later.advertise, self.advertise),
            media_address: list(later.media_address, self.media_address),
            log: later.log.or(self.log),
            log_format: later.log_format.or(self.log_format),
        }
    }

    /// The given flags as values of the configuration.
    pub(super) fn values(&self) -> Result<Vec<FlagValue>, ConfigError> {
        let mut values: Vec<FlagValue> = Vec::new();
        let mut list = |flag, path, texts: &[String]| {
            if !texts.is_empty() {
                values.push((flag, path, strings(texts.iter().map(String::as_str))));
            }
        };
        list("--listen", &["http", "listen"][..], &self.listen);
        list("--advertise", &["media", "advertise"][..], &self.advertise);
        list("--media-address", &["media", "addresses"][..], &self.media_address);
        if !self.app.is_empty() {
            let apps = apps(self.app.iter().map(String::as_str));
            let apps = apps.map_err(|cause| ConfigError::new(format!("--app cannot be used: {cause}")))?;
            values.push(("--app", &["apps"], apps));
        }
        if self.single_port {
            values.push(("--single-port", &["media", "single_port"], Value::Boolean(true)));
        }
        let number = |text: &String| {
            text.trim().parse().map_or_else(|_| Value::String(text.trim().to_owned()), Value::Integer)
        };
        let text = |text: &String| Value::String(text.clone());
        values.extend(self.shards.as_ref().map(|t| ("--shards", &["media", "shards"][..], number(t))));
        values.extend(self.media_port.as_ref().map(|t| ("--media-port", &["media", "port"][..], number(t))));
        values.extend(self.tcp_port.as_ref().map(|t| ("--tcp-port", &["media", "tcp_port"][..], number(t))));
        values.extend(self.admin.as_ref().map(|t| ("--admin", &["admin", "listen"][..], text(t))));
        values.extend(self.io.as_ref().map(|t| ("--io", &["media", "io"][..], text(t))));
        values.extend(self.log.as_ref().map(|t| ("--log", &["log"][..], text(t))));
        values.extend(self.log_format.as_ref().map(|t| ("--log-format", &["log_format"][..], text(t))));
        Ok(values)
    }
}

/// Why the command line cannot be understood, as it is to be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Reads the command line.
///
/// # Errors
/// When it cannot be understood. Whether a value can be used is found where all sources meet.
pub fn invocation(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, UsageError> {
    let line = match CommandLine::try_parse_from(arguments) {
        Ok(line) => line,
        Err(error) if !error.use_stderr() => return Ok(Invocation::Print(error.to_string())),
        Err(error) => return Err(UsageError(error.to_string())),
    };
    Ok(match line.task {
        None => Invocation::Run(line.flags),
        Some(Task::CheckConfig(flags)) => Invocation::CheckConfig(line.flags.overruled_by(*flags)),
        Some(Task::MintToken(mint)) => {
            let Source { config, app } = mint.source.clone();
            let flags = Flags { config, app, ..Flags::default() };
            Invocation::MintToken(line.flags.overruled_by(flags), mint)
        }
        Some(Task::GenerateSecret { file }) => Invocation::GenerateSecret(file),
    })
}
