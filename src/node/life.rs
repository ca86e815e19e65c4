//! What a node is told while it runs: to read its configuration anew, and to stop.
//!
//! SIGHUP is what a closed terminal and tools that rotate logs send, so nothing may end by it. SIGTERM and SIGINT end
//! the node: sessions may go on for a while if that is wanted, then every client is told. A second one cuts that short.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::service_manager;
use crate::config::{Config, ConfigError};
use crate::control::access::apps::Apps;
use crate::control::turn::IceServers;
use crate::control::{Control, Rules};
use crate::net::tcp::Admission;
use crate::shard::worker::Workers;

/// How often the shards' threads are looked after, and whether sessions are left while they may go on.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Reads the configuration anew, from where it was read at the start.
pub type Reader = Box<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// The signals that a node listens to.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Listens from here on; before, any of them ends the process.
    pub(super) fn new() -> anyhow::Result<Self> {
        let listen = |kind, name| signal(kind).with_context(|| format!("{name} cannot be waited for"));
        Ok(Self {
            terminate: listen(SignalKind::terminate(), "SIGTERM")?,
            interrupt: listen(SignalKind::interrupt(), "SIGINT")?,
            hangup: listen(SignalKind::hangup(), "SIGHUP")?,
        })
    }

    /// Waits for the order to stop.
    pub(super) async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// What can be changed without a restart, and what it was made from.
pub(super) struct Running {
    pub(super) control: Arc<Control>,
    pub(super) admission: Arc<Admission>,
    pub(super) read: Reader,
    /// What is in force, as far as it needs no restart.
    pub(super) config: Config,
    /// What the node was started with.
    pub(super) started: Config,
    /// Whether its application is one for this run alone.
    pub(super) development: bool,
}

impl Running {
    /// Goes on until it is told to stop, or until a shard has failed.
    pub(super) async fn until_told(
        &mut self,
        signals: &mut Signals,
        workers: &Workers,
    ) -> anyhow::Result<()> {
        let mut look = tokio::time::interval(WATCH_INTERVAL);
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => return Ok(()),
                _ = signals.interrupt.recv() => return Ok(()),
                _ = signals.hangup.recv() => self.reload().await,
                _ = look.tick() => ensure_alive(workers)?,
            }
        }
    }

    /// Lets sessions go on for as long as is configured, takes no new ones, and tells every client that it is over.
    pub(super) async fn drain(&mut self, signals: &mut Signals, workers: &Workers) -> anyhow::Result<()> {
        self.control.drain();
        service_manager::tell("STOPPING=1");
        let (sessions, seconds) = (self.control.sessions(), self.config.drain_seconds.get());
        if sessions > 0 && seconds > 0 {
            tracing::info!(
                sessions,
                seconds,
                "stopping: no new sessions, those that are there may go on; another signal ends them at once"
            );
            tokio::select! {
                outcome = self.until_empty(workers) => outcome?,
                () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
                () = signals.stop() => {}
            }
        }
        tracing::info!(sessions = self.control.sessions(), "stopping: every client is told");
        self.control.say_goodbye().await;
        Ok(())
    }

    async fn until_empty(&self, workers: &Workers) -> anyhow::Result<()> {
        let mut look = tokio::time::interval(WATCH_INTERVAL);
        while self.control.sessions() > 0 {
            look.tick().await;
            ensure_alive(workers)?;
        }
        Ok(())
    }

    /// Takes what has changed in the configuration. One that cannot be used changes nothing.
    async fn reload(&mut self) {
        let mut config = match (self.read)() {
            Ok(config) => config,
            Err(error) => {
                return tracing::warn!("SIGHUP: the settings in force stay, since {error}");
            }
        };
        if config.apps.is_empty() && self.development {
            config.apps.clone_from(&self.config.apps);
        }
        let waiting = self.started.needing_restart(&config);
        if !waiting.is_empty() {
            tracing::warn!(
                "SIGHUP: these settings take a restart, and stay as they were: {}",
                waiting.join(", ")
            );
        }
        for warning in &config.warnings {
            tracing::warn!("SIGHUP: {warning}");
        }
        crate::log::refilter(&config.log);
        self.admission.set_bounds(super::tcp::bounds(&config));
        self.control.adopt(rules(&config)).await;
        self.config = config;
        tracing::info!("SIGHUP: the settings were read anew, no session ends by that");
    }
}

fn ensure_alive(workers: &Workers) -> anyhow::Result<()> {
    anyhow::ensure!(!workers.any_ended(), "a shard has ended by itself: the log above tells why");
    Ok(())
}

/// What of the configuration can be changed at any time.
pub(super) fn rules(config: &Config) -> Rules {
    Rules {
        limits: config.limits.clone(),
        ice: IceServers::new(&config.ice_servers, &config.turn),
        whip: config.whip,
        whep: config.whep,
        apps: Apps::new(&config.apps, &config.tokens).with_streams(&config.streams, config.whep.public),
    }
}
