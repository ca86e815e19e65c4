//! One source: how much of it was speech, over three spans of time.
//!
//! Levels are compared with the noise of the source itself, which is the lowest level of the last seconds: speech has
//! pauses, a fan has none, and neither has one who writes 0 dBov into every packet. So neither is ever speech, however
//! loud, and to claim more than a loud voice gains nothing. Packets count by their time of arrival: many at once are one
//! step, and what a publisher writes into its timestamps does not matter.

use std::time::{Duration, Instant};

/// The shortest span that is told apart: a usual packet of sound.
pub const STEP: Duration = Duration::from_millis(20);
/// Steps of the medium span: syllables.
pub const MEDIUM: u32 = 10;
/// Medium spans of the long one: words.
pub const LONG: u32 = 8;
/// The longest span.
pub const HISTORY: Duration = Duration::from_millis(20 * (MEDIUM * LONG) as u64);

/// Steps that the immediate span is averaged over.
const IMMEDIATE: usize = 5;
/// A pause of so many steps is taken for packets that were late or long, and filled with the level of the next.
const LATE_MAX: u32 = 6;
/// Half of the time over which the lowest level is noise, in steps: two seconds in all.
const NOISE_HALF: u32 = 50;
/// Levels below this are silence, and no noise is lower, dBov.
const SILENCE: i16 = -70;
/// Speech is at least so loud, dBov.
const SPEECH: i16 = -55;
/// How far a band lies above the one below, dB.
const BAND: i16 = 4;
/// Bands above the noise that are told apart; what is louder is no more of a voice.
pub const BANDS: u8 = 10;
/// A step is speech from this band on.
const VOICED: u8 = 3;
/// A medium span is speech with so many steps of it.
const MEDIUM_VOICED: u32 = 4;
/// Where smoothing leaves a level that has fallen to that of no sound.
const QUIET: u8 = NO_SOUND - 3;
/// The level of no sound, dBov (RFC 6464 3).
const NO_SOUND: u8 = 127;

const _: () = assert!(MEDIUM * LONG <= u128::BITS, "one bit for each step of the longest span");

/// How much speech there was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Activity {
    /// How far above its noise the source is at present, 0 to [`BANDS`].
    pub immediate: u8,
    /// Steps of speech in the last [`MEDIUM`].
    pub medium: u8,
    /// Medium spans with speech among the last [`LONG`].
    pub long: u8,
    /// Smoothed level, dB below full scale: 0 is the loudest, 127 no sound.
    pub level: u8,
}

impl Activity {
    /// What is told of a source that is not heard.
    pub const SILENT: Self = Self { immediate: 0, medium: 0, long: 0, level: NO_SOUND };

    /// Whether nothing more will change while no packet comes.
    pub fn is_silent(self) -> bool {
        self.long == 0 && self.medium == 0 && self.immediate == 0 && self.level >= QUIET
    }

    /// Whether this is the same as another, and as loud but for so many dB.
    pub fn is_about(self, other: Self, decibels: u8) -> bool {
        let Self { immediate, medium, long, level } = self;
        (immediate, medium, long) == (other.immediate, other.medium, other.long)
            && level.abs_diff(other.level) <= decibels
    }
}

/// The history of one source.
#[derive(Debug, Clone)]
pub struct Voice {
    /// Which steps were speech, the newest in the lowest bit.
    voiced: u128,
    /// The bands of the newest steps.
    bands: [u8; IMMEDIATE],
    /// Start of the newest step; `None` before the first packet.
    at: Option<Instant>,
    /// Smoothed level, in sixteenths of a dB below full scale.
    level: u16,
    /// The loudest level of the newest step, dBov.
    loudest: i16,
    /// The lowest level of this half of the time for noise, and of the half before, dBov.
    lowest: [i16; 2],
    /// Steps of this half.
    half: u32,
}

impl Default for Voice {
    fn default() -> Self {
        Self {
            voiced: 0,
            bands: [0; IMMEDIATE],
            at: None,
            level: u16::from(NO_SOUND) << 4,
            loudest: -i16::from(NO_SOUND),
            lowest: [0; 2],
            half: 0,
        }
    }
}

impl Voice {
    /// Takes the level of a packet: dB below full scale, 0 to 127 (RFC 6464 3).
    pub fn hear(&mut self, level: u8, now: Instant) {
        let level = -i16::from(level & 0x7f);
        let Some(at) = self.at else {
            self.at = Some(now);
            // Noise may be as loud as this: what is to be speech has to rise above it.
            self.lowest = [level; 2];
            self.step(level);
            return;
        };
        let steps = steps_between(at, now);
        if steps == 0 {
            // More of the same step: the loudest counts, once.
            if level > self.loudest {
                self.unstep();
                self.step(level);
            }
            return;
        }
        if steps > LATE_MAX {
            self.fall_silent(steps - 1);
            self.step(level);
        } else {
            (0..steps).for_each(|_| self.step(level));
        }
        self.at = Some(at + STEP * steps);
    }

    /// Sums up what was heard until now.
    pub fn activity(&mut self, now: Instant) -> Activity {
        if let Some(at) = self.at {
            let steps = steps_between(at, now);
            if steps > LATE_MAX {
                self.fall_silent(steps);
                self.at = Some(at + STEP * steps);
            }
        }
        let sum: u32 = self.bands.iter().copied().map(u32::from).sum();
        let medium = |span: u32| (self.voiced >> (span * MEDIUM)) & ((1 << MEDIUM) - 1);
        let spoken = (0..LONG).filter(|span| medium(*span).count_ones() >= MEDIUM_VOICED).count();
        Activity {
            // Each is below its bound, which fits.
            immediate: (sum / IMMEDIATE as u32) as u8,
            medium: medium(0).count_ones() as u8,
            long: spoken as u8,
            level: (self.level >> 4) as u8,
        }
    }

    /// Steps without any packet.
    fn fall_silent(&mut self, steps: u32) {
        // Longer than all that is remembered is all the same.
        (0..steps.min(MEDIUM * LONG)).for_each(|_| self.step(-i16::from(NO_SOUND)));
    }

    fn step(&mut self, level: i16) {
        let band = self.band(level);
        self.voiced = self.voiced << 1 | u128::from(band >= VOICED);
        self.bands.rotate_right(1);
        if let Some(newest) = self.bands.first_mut() {
            *newest = band;
        }
        self.loudest = level;
        // A quarter of the way in each step: 70 ms.
        let below = level.unsigned_abs() << 4;
        self.level = self.level - (self.level >> 2) + (below >> 2);
        let [present, before] = &mut self.lowest;
        *present = (*present).min(level);
        self.half += 1;
        if self.half >= NOISE_HALF {
            (*before, *present) = (*present, level);
            self.half = 0;
        }
    }

    /// Takes the newest step back, as far as speech is concerned.
    fn unstep(&mut self) {
        self.voiced >>= 1;
        self.bands.rotate_left(1);
    }

    /// How far a level lies above the noise.
    fn band(&self, level: i16) -> u8 {
        if level < SPEECH {
            return 0;
        }
        let [present, before] = self.lowest;
        let noise = present.min(before).max(SILENCE);
        u8::try_from((level - noise) / BAND).unwrap_or_default().min(BANDS)
    }
}

fn steps_between(at: Instant, now: Instant) -> u32 {
    let steps = now.saturating_duration_since(at).as_millis() / STEP.as_millis();
    u32::try_from(steps).unwrap_or(u32::MAX)
}
