//! What the process says: the log on standard error, and the lines of its start on standard output.
//!
//! Whoever says something never waits for whoever reads it. Lines go by a bounded queue to a thread of each channel
//! (`outlet`); what finds no room there, or cannot be written, is lost and counted. So a reader that has gone away, a
//! full disk or a reader that stands still cost lines and nothing else.

mod outlet;

use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use self::outlet::Outlet;
use crate::config::{Config, LogFilter, LogFormat};

/// How long the last lines of the process may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// There is one in a process, as there is one standard error.
static LOG: OnceLock<Log> = OnceLock::new();

/// The channels of this process.
struct Log {
    output: Outlet,
    errors: Outlet,
    format: LogFormat,
    filter: reload::Handle<EnvFilter, Registry>,
    lost: Arc<AtomicU64>,
}

/// Starts the log, and has panics told in it. The first call counts.
///
/// # Errors
/// When the system gives no thread or descriptor for it.
pub fn start(config: &Config) -> std::io::Result<()> {
    let (format, lost) = (config.log_format, Arc::default());
    let file = |channel: std::os::fd::BorrowedFd<'_>| channel.try_clone_to_owned().map(std::fs::File::from);
    let open = |name, file| Outlet::open(name, file, format, Arc::clone(&lost));
    let output = open("output", file(std::io::stdout().as_fd())?)?;
    let errors = open("log", file(std::io::stderr().as_fd())?)?;
    let (filter, handle) = reload::Layer::new(EnvFilter::new(config.log.directives()));
    let lines = errors.clone();
    // A writer that fails would be told on standard error, which is where it has just failed.
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(move || lines.line())
        .with_ansi(is_coloured())
        .log_internal_errors(false);
    let layer = match format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(false).boxed(),
    };
    if LOG.set(Log { output, errors, format, filter: handle, lost }).is_ok() {
        // It fails only where another one was set before, which then is the log.
        let _set_before = tracing_subscriber::registry().with(filter).with(layer).try_init();
        std::panic::set_hook(Box::new(tell_panic));
    }
    Ok(())
}

/// Colours are for terminals, and for those who do not object (no-color.org).
fn is_coloured() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The usual hook writes to standard error itself, and waits there.
fn tell_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let cause = panic.payload_as_str().unwrap_or("of unknown cause");
    let place = panic.location().map(ToString::to_string);
    let backtrace = std::backtrace::Backtrace::capture();
    let backtrace =
        (backtrace.status() == std::backtrace::BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(thread, place, backtrace, "a panic: {cause}");
}

/// Writes a line for the operator, whatever the filter is.
pub fn say(line: &str) {
    match LOG.get() {
        Some(log) => log.output.put(log.format.line("INFO", line)),
        // Nobody reading it is no reason to stop.
        None => drop(writeln!(std::io::stdout(), "{line}")),
    }
}

/// The same on standard error, for what ends the process or should be known before it serves.
pub fn complain(line: &str) {
    match LOG.get() {
        Some(log) => log.errors.put(match log.format {
            LogFormat::Text => format!("ringcast: {line}\n").into_bytes(),
            LogFormat::Json => log.format.line("ERROR", line),
        }),
        None => drop(writeln!(std::io::stderr(), "ringcast: {line}")),
    }
}

/// Takes another filter from here on.
pub fn refilter(filter: &LogFilter) {
    if let Some(log) = LOG.get() {
        // It fails only when the log has gone, and it never goes.
        let _gone = log.filter.reload(EnvFilter::new(filter.directives()));
    }
}

/// Lines that were lost so far.
pub fn lost() -> Arc<AtomicU64> {
    LOG.get().map(|log| Arc::clone(&log.lost)).unwrap_or_default()
}

/// Waits a moment for what was said to be written.
pub fn flush() {
    if let Some(log) = LOG.get() {
        log.output.flush(FAREWELL);
        log.errors.flush(FAREWELL);
    }
}

impl LogFormat {
    /// A line that is no event of the program.
    fn line(self, level: &str, text: &str) -> Vec<u8> {
        match self {
            Self::Text => format!("{text}\n").into_bytes(),
            Self::Json => {
                let mut timestamp = String::new();
                // Without a time the line still says what it says.
                let _no_time = SystemTime.format_time(&mut Writer::new(&mut timestamp));
                let line = serde_json::json!({
                    "timestamp": timestamp, "level": level, "message": text, "target": "ringcast",
                });
                format!("{line}\n").into_bytes()
            }
        }
    }
}
