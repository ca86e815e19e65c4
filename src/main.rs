//! The server's process: command line in, exit code out.

use std::io::Write;
use std::process::ExitCode;

use mimalloc::MiMalloc;
use ringcast::config::{self, Config, ConfigError, Environment, Flags, Invocation, MintToken};
use ringcast::control::apps::{Apps, unix_now};
use ringcast::control::token::{Claims, Scope};
use ringcast::node;
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The configuration cannot be used (`EX_CONFIG` of sysexits.h).
const EXIT_CONFIG: u8 = 78;
/// The node could not start or go on.
const EXIT_FAILURE: u8 = 1;
/// Threads of control; media has threads of its own.
const CONTROL_THREADS: usize = 2;

fn main() -> ExitCode {
    match config::invocation(std::env::args_os()) {
        Ok(Invocation::Print(text)) => {
            let _ = write!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Ok(Invocation::CheckConfig(flags)) => match load(&flags) {
            Ok(config) => {
                let _ = write!(std::io::stdout(), "{}", config.to_toml());
                ExitCode::SUCCESS
            }
            Err(error) => fail(EXIT_CONFIG, &error.to_string()),
        },
        Ok(Invocation::MintToken(flags, wish)) => {
            match load(&flags).and_then(|config| mint(&config, *wish)) {
                Ok(token) => {
                    let _ = writeln!(std::io::stdout(), "{token}");
                    ExitCode::SUCCESS
                }
                Err(error) => fail(EXIT_CONFIG, &error.to_string()),
            }
        }
        Ok(Invocation::Run(flags)) => match load(&flags) {
            Ok(config) => run(config),
            Err(error) => fail(EXIT_CONFIG, &error.to_string()),
        },
        Err(error) => fail(EXIT_CONFIG, &error.to_string()),
    }
}

fn load(flags: &Flags) -> Result<Config, ConfigError> {
    let mut environment = Environment::new();
    for (name, text) in std::env::vars_os() {
        let Ok(name) = name.into_string() else { continue };
        if name.starts_with("RINGCAST_") {
            let bad = |_| ConfigError(format!("{name} cannot be used: it is no UTF-8, write it anew"));
            environment.insert(name.clone(), text.into_string().map_err(bad)?);
        }
    }
    config::load(flags, &environment)
}

/// Makes a token with the first secret of an application of the configuration.
fn mint(config: &Config, wish: MintToken) -> Result<String, ConfigError> {
    let error = |text: &str| ConfigError(format!("no token can be made: {text}"));
    let app = match (&wish.app_id, config.apps.as_slice()) {
        (None, [app]) => app.id.as_str(),
        (None, []) => {
            return Err(error("there is no app: give one with --app ID:SECRET or in the configuration"));
        }
        (None, _) => return Err(error("there are several apps: choose one with --for ID")),
        (Some(id), _) => id.as_str(),
    };
    let most = config.tokens.max_lifetime_seconds.get();
    if !(1..=most).contains(&wish.ttl) {
        let text = format!("--ttl must be from 1 to {most} seconds (tokens.max_lifetime_seconds)");
        return Err(error(&text));
    }
    let scope = Scope {
        publish: wish.publish,
        subscribe: wish.subscribe,
        publish_data: wish.publish_data,
        subscribe_data: wish.subscribe_data,
        whip: wish.whip,
        whep: wish.whep,
    };
    if scope.patterns().is_none() {
        return Err(error("names must have 1 to 512 bytes, and there may be 64 of each kind"));
    }
    let apps = Apps::new(&config.apps, &config.tokens);
    let claims = Claims::new(app, wish.subject, wish.session, scope, unix_now(), wish.ttl);
    claims.and_then(|claims| apps.sign(app, &claims)).map_err(|cause| error(&cause.to_string()))
}

fn run(config: Config) -> ExitCode {
    let filter = EnvFilter::try_new(config.log.as_str()).unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(node::run(config)),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(EXIT_FAILURE, &format!("{error:#}")),
    }
}

fn fail(code: u8, sentence: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "ringcast: {sentence}");
    ExitCode::from(code)
}
