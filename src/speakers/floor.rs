//! Who has the floor: comparing the activities of all who may speak.
//!
//! Somebody takes the floor when, on all three spans of time, more speech comes from there: it sounds at present, it is
//! syllables and no click, and it is words and no cough. The one who has the floor keeps it in pauses, and while others
//! talk at the same time, for [`TENURE`]: then it goes to whoever else speaks at length, since nobody may keep it from
//! others by talking, or by claiming to talk, without end.

use std::time::{Duration, Instant};

use super::voice::{Activity, MEDIUM};

/// The floor is kept against others who speak as much for so long.
pub const TENURE: Duration = Duration::from_secs(10);
/// Nobody loses the floor sooner than this, so that a picture is seen before the next.
pub const HOLD: Duration = Duration::from_millis(1_500);
/// Bands by which a challenger is ahead.
const IMMEDIATE_AHEAD: u8 = 2;
/// Steps of speech by which it is ahead.
const MEDIUM_AHEAD: u8 = 3;
/// Spans of speech by which it is ahead: more than a pause between two words takes from who has the floor.
const LONG_AHEAD: u8 = 3;
/// Spans of speech that make words: more than a cough or one syllable.
const WORDS: u8 = 3;
/// Spans of speech after which the floor passes on that was kept for long.
const AT_LENGTH: u8 = 6;
/// Somebody with so many steps of speech in the medium span speaks.
const SPEAKS: u8 = (MEDIUM / 2) as u8;

/// One who may speak.
#[derive(Debug, Clone)]
struct Speaker<S> {
    id: S,
    activity: Activity,
}

/// The floor of one conversation. `S` names those who may speak.
#[derive(Debug, Clone)]
pub struct Floor<S> {
    speakers: Vec<Speaker<S>>,
    /// Who has it, and since when.
    holder: Option<(S, Instant)>,
}

impl<S> Default for Floor<S> {
    fn default() -> Self {
        Self { speakers: Vec::new(), holder: None }
    }
}

impl<S: Copy + PartialEq> Floor<S> {
    /// Lets one more speak.
    pub fn admit(&mut self, id: S) {
        if self.find(id).is_none() {
            self.speakers.push(Speaker { id, activity: Activity::SILENT });
        }
    }

    /// Lets one speak no more; nobody has the floor then, if that was who had it.
    pub fn dismiss(&mut self, id: S) {
        self.speakers.retain(|speaker| speaker.id != id);
        self.holder.take_if(|(holder, _)| *holder == id);
    }

    /// Takes what was heard of one; of a stranger nothing.
    pub fn hear(&mut self, id: S, activity: Activity) {
        if let Some(speaker) = self.speakers.iter_mut().find(|speaker| speaker.id == id) {
            speaker.activity = activity;
        }
    }

    /// Who has the floor.
    pub fn holder(&self) -> Option<S> {
        self.holder.map(|(holder, _)| holder)
    }

    /// What was heard last of one.
    pub fn activity(&self, id: S) -> Activity {
        self.find(id).map_or(Activity::SILENT, |speaker| speaker.activity)
    }

    /// Compares all; returns who has the floor from now on if that is another than before.
    pub fn decide(&mut self, now: Instant) -> Option<S> {
        let had_for = self.holder.map(|(_, since)| now.saturating_duration_since(since));
        if had_for.is_some_and(|had_for| had_for < HOLD) {
            return None;
        }
        let is_long = had_for.is_some_and(|had_for| had_for >= TENURE);
        let holder = self.holder();
        let held = holder.map_or(Activity::SILENT, |holder| self.activity(holder));
        let takes =
            |speaker: &&Speaker<S>| holder != Some(speaker.id) && is_ahead(speaker.activity, held, is_long);
        let strength = |speaker: &&Speaker<S>| (speaker.activity.long, speaker.activity.medium);
        let next = self.speakers.iter().filter(takes).max_by_key(strength)?.id;
        self.holder = Some((next, now));
        Some(next)
    }

    fn find(&self, id: S) -> Option<&Speaker<S>> {
        self.speakers.iter().find(|speaker| speaker.id == id)
    }
}

/// Whether a challenger takes the floor from who has it, perhaps for long.
fn is_ahead(challenger: Activity, held: Activity, is_long: bool) -> bool {
    if challenger.medium < SPEAKS || challenger.long < WORDS {
        return false;
    }
    if is_long && challenger.long >= AT_LENGTH {
        return true;
    }
    challenger.immediate >= held.immediate + IMMEDIATE_AHEAD
        && challenger.medium >= held.medium + MEDIUM_AHEAD
        && challenger.long >= held.long + LONG_AHEAD
}
