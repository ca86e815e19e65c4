//! The server's process: command line in, exit code out.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use mimalloc::MiMalloc;
use ringcast::config::{
    self, CREDENTIALS_VARIABLE, Config, ConfigError, Environment, Flags, Invocation, MintToken, UsageError,
};
use ringcast::control::access::apps::{Apps, new_secret, unix_now};
use ringcast::control::access::token::Scope;
use ringcast::control::access::wish::Wish;
use ringcast::{log, node};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The command line cannot be understood, or a value in it not be used, as is usual.
const EXIT_USAGE: u8 = 2;
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
                warn(&config);
                let _ = write!(std::io::stdout(), "{}", config.to_toml());
                ExitCode::SUCCESS
            }
            Err(error) => refuse(&error),
        },
        Ok(Invocation::MintToken(flags, wish)) => {
            match load(&flags).and_then(|config| mint(&config, *wish)) {
                Ok(token) => {
                    let _ = writeln!(std::io::stdout(), "{token}");
                    ExitCode::SUCCESS
                }
                Err(error) => refuse(&error),
            }
        }
        Ok(Invocation::GenerateSecret(file)) => {
            let secret =
                new_secret().map_err(|cause| ConfigError::new(format!("no secret can be made: {cause}")));
            let done = secret.and_then(|secret| match file {
                Some(path) => write_secret(&path, &secret),
                None => {
                    let _ = writeln!(std::io::stdout(), "{secret}");
                    Ok(())
                }
            });
            done.map_or_else(|error| fail(EXIT_FAILURE, &error.to_string()), |()| ExitCode::SUCCESS)
        }
        Ok(Invocation::Run(flags)) => match load(&flags) {
            Ok(config) => run(config, flags),
            Err(error) => refuse(&error),
        },
        Err(UsageError(text)) => {
            let _ = write!(std::io::stderr(), "{text}");
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn load(flags: &Flags) -> Result<Config, ConfigError> {
    config::load(flags, &environment()?)
}

fn environment() -> Result<Environment, ConfigError> {
    let mut environment = Environment::new();
    for (name, text) in std::env::vars_os() {
        let Ok(name) = name.into_string() else { continue };
        if name.starts_with("RINGCAST_") || name == CREDENTIALS_VARIABLE {
            let bad = |_| ConfigError::new(format!("{name} cannot be used: it is no UTF-8, write it anew"));
            environment.insert(name.clone(), text.into_string().map_err(bad)?);
        }
    }
    Ok(environment)
}

/// Makes a token with the first secret of an application of the configuration.
fn mint(config: &Config, wish: MintToken) -> Result<String, ConfigError> {
    let error = |text: &str| ConfigError::new(format!("no token can be made: {text}"));
    let app = match (&wish.app_id, config.apps.as_slice()) {
        (None, [app]) => app.id.as_str(),
        (None, []) => {
            let text = "there is no app: give one with --app ID:SECRET or in the configuration";
            return Err(error(text).in_command_line());
        }
        (None, _) => {
            return Err(error("there are several apps: choose one with --for ID").in_command_line());
        }
        (Some(id), _) => id.as_str(),
    };
    let scope = Scope {
        publish: wish.publish,
        subscribe: wish.subscribe,
        publish_data: wish.publish_data,
        subscribe_data: wish.subscribe_data,
        whip: wish.whip,
        whep: wish.whep,
        rooms: wish.room,
    };
    let apps = Apps::new(&config.apps, &config.tokens);
    apps.find(app).map_err(|cause| {
        let unknown = error(&format!("{cause} {app} in the configuration: add it to apps"));
        if wish.app_id.is_some() { unknown.in_command_line() } else { unknown }
    })?;
    let wish = Wish { subject: wish.subject, session: wish.session, scope, ttl: wish.ttl };
    let claims = wish.claims(app, unix_now(), config.tokens.max_lifetime_seconds.get());
    let claims = claims.map_err(|cause| error(&cause.to_string()).in_command_line())?;
    apps.sign(app, &claims).map_err(|cause| error(&cause.to_string()))
}

/// Writes a new secret into a file that nobody else can read, and never over another one.
fn write_secret(path: &Path, secret: &str) -> Result<(), ConfigError> {
    let shown = path.display();
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| writeln!(file, "{secret}")).map_err(|cause| {
        let remedy = match cause.kind() {
            ErrorKind::AlreadyExists => "choose another name, or remove the file",
            _ => "correct the path or the rights of its folder",
        };
        ConfigError::new(format!("no secret can be written to {shown} ({cause}): {remedy}"))
    })
}

fn run(config: Config, flags: Flags) -> ExitCode {
    if let Err(error) = log::start(&config) {
        return fail(EXIT_FAILURE, &format!("the log cannot be started: {error}"));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .on_thread_start(node::begin_control_thread)
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(node::run(config, Box::new(move || load(&flags)))),
        Err(error) => Err(error.into()),
    };
    let code = match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(EXIT_FAILURE, &format!("{error:#}")),
    };
    log::flush();
    code
}

/// Tells what an operator should mend, beside what was asked for.
fn warn(config: &Config) {
    for warning in &config.warnings {
        let _ = writeln!(std::io::stderr(), "ringcast: warning: {warning}");
    }
}

fn refuse(error: &ConfigError) -> ExitCode {
    fail(if error.in_command_line { EXIT_USAGE } else { EXIT_CONFIG }, &error.to_string())
}

fn fail(code: u8, sentence: &str) -> ExitCode {
    log::complain(sentence);
    ExitCode::from(code)
}
