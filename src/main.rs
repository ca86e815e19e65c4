//! The server's process: command line in, exit code out.

use std::io::Write;
use std::process::ExitCode;

use mimalloc::MiMalloc;
use ringcast::config::{self, Config, ConfigError, Environment, Flags, Invocation};
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
