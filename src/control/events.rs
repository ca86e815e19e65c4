//! What shards report, and what follows from it for clients.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::shard::command::{Command, EndReason, Event};

use super::Control;
use super::session::publication::Phase;

impl Control {
    /// Follows the events of all shards until the last sender is gone.
    pub async fn follow(self: Arc<Self>, mut events: mpsc::UnboundedReceiver<Event>) {
        while let Some(event) = events.recv().await {
            self.handle_event(event);
        }
    }

    /// Takes one event of a shard.
    pub fn handle_event(&self, event: Event) {
        match event {
            Event::Connected(id) => {
                if let Some(session) = self.registry.session(id) {
                    session.set_connected();
                    tracing::info!(session = %id, shard = session.shard.0, "session connected");
                }
            }
            Event::Ended(id, reason) => {
                self.end_session(id, ended_by(reason));
            }
            Event::PublicationLive(id) => {
                if let Some(publication) = self.registry.publication(id) {
                    publication.advance(&[Phase::Declared, Phase::Idle], Phase::Live);
                }
            }
            Event::PublicationIdle(id) => {
                if let Some(publication) = self.registry.publication(id) {
                    publication.advance(&[Phase::Declared, Phase::Live], Phase::Idle);
                }
            }
            Event::Channel(id, stream, state) => {
                if let Some(session) = self.registry.session(id) {
                    session.streams().take(stream, state);
                }
            }
            Event::Levels { heard, receipt } => {
                // From here on the next report may come.
                drop(receipt);
                for publication in self.stages.heard(&heard, Instant::now()) {
                    if let Some(known) = self.registry.publication(publication) {
                        self.try_send(known.shard, Command::Listen { publication, listens: false });
                    }
                }
            }
            Event::Report(shard, counters) => {
                self.placement.reported(shard, &counters);
                self.metrics.report(shard, *counters);
            }
        }
    }
}

const fn ended_by(reason: EndReason) -> &'static str {
    match reason {
        EndReason::NeverConnected => "never connected",
        EndReason::TimedOut => "timed out",
        EndReason::ClosedByClient => "closed by client",
        EndReason::Failed => "failed",
    }
}
