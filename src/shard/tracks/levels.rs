//! Levels of the publications that a stage listens to, summed up and told to control a few times a second.
//!
//! Only where a publication is fed it is listened to, so each level is heard once, whatever the number of shards that
//! receive its packets. What control is told is merged: one report is under way at a time, and holds of each voice the
//! newest. Bound: one entry for each publication that control names.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use tokio::sync::oneshot;

use super::Tracks;
use crate::ids::PublicationId;
use crate::rtp::{ExtensionKind, PassedExtensions};
use crate::shard::command::{Event, Heard};
use crate::shard::ledger::Ledger;
use crate::speakers::{Activity, Voice};

/// Pause between two reports.
const REPORT: Duration = Duration::from_millis(100);
/// A level that differs by no more is not told again by itself, dB.
const SAME_LEVEL: u8 = 2;

/// The voices that are listened to.
#[derive(Debug, Default)]
pub(super) struct Levels {
    voices: HashMap<PublicationId, Listened, RandomState>,
    /// When there may be something to tell.
    due: Option<Instant>,
    /// Resolved when control has taken the last report.
    taken: Option<oneshot::Receiver<()>>,
}

#[derive(Debug)]
struct Listened {
    voice: Voice,
    told: Activity,
}

impl Levels {
    pub(super) fn listens_to(&self, id: PublicationId) -> bool {
        self.voices.contains_key(&id)
    }

    /// When a report is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Takes the level of a packet, if it has one.
    pub(super) fn hear(&mut self, id: PublicationId, extensions: &PassedExtensions, now: Instant) {
        let level = extensions.iter().find(|(kind, _)| *kind == ExtensionKind::AudioLevel);
        let Some((_, [level, ..])) = level else { return };
        let Some(listened) = self.voices.get_mut(&id) else { return };
        // The highest bit is the publisher's own opinion of whether that is speech (RFC 6464 3).
        listened.voice.hear(*level & 0x7f, now);
        self.due.get_or_insert(now + REPORT);
    }

    /// Tells control what has changed, unless it has not taken the last report yet.
    pub(super) fn report(&mut self, now: Instant, ledger: &mut Ledger) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        self.due = Some(now + REPORT);
        let is_under_way = self
            .taken
            .as_mut()
            .is_some_and(|taken| matches!(taken.try_recv(), Err(oneshot::error::TryRecvError::Empty)));
        if is_under_way {
            return;
        }
        let mut is_quiet = true;
        let mut heard = Vec::new();
        for (publication, listened) in &mut self.voices {
            let activity = listened.voice.activity(now);
            is_quiet &= activity.is_silent();
            if !activity.is_about(listened.told, SAME_LEVEL) {
                listened.told = activity;
                heard.push(Heard { publication: *publication, activity });
            }
        }
        if heard.is_empty() {
            // Packets that come begin it anew.
            self.due = self.due.filter(|_| !is_quiet);
            return;
        }
        let (receipt, taken) = oneshot::channel();
        self.taken = Some(taken);
        ledger.tell(Event::Levels { heard, receipt });
    }
}

impl Tracks {
    /// Listens to a publication that is fed here, or no more.
    pub(in crate::shard) fn listen(&mut self, id: PublicationId, listens: bool) {
        if listens {
            let fresh = || Listened { voice: Voice::default(), told: Activity::SILENT };
            self.levels.voices.entry(id).or_insert_with(fresh);
        } else {
            self.levels.voices.remove(&id);
        }
        if let Some(slot) = self.key_of(id).and_then(|key| self.publications.get_mut(key)) {
            slot.listened = listens;
        }
    }
}
