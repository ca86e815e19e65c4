//! Who has the floor, on made traces of levels: one packet each 20 ms.

use std::time::{Duration, Instant};

use super::voice::STEP;
use super::{Floor, Voice};

/// How often activities are told.
const TOLD: Duration = Duration::from_millis(100);

#[expect(clippy::disallowed_methods, reason = "an instant cannot be made without the clock")]
fn base_instant() -> Instant {
    Instant::now()
}

/// What one does over time: from each moment on, milliseconds, this.
type Part<'a> = &'a [(u64, Sound)];

#[derive(Debug, Clone, Copy)]
enum Sound {
    /// Syllables in words, over the noise of a room.
    Speech,
    /// The same, so many dB quieter.
    Quiet(u8),
    /// The noise of a room.
    Room,
    /// Something that does not change, so many dB below full scale.
    Steady(u8),
    /// No packets at all.
    Nothing,
}

/// A trace differs from the next by where its syllables lie.
fn level(sound: Sound, step: u64, person: u64) -> Option<u8> {
    let wobble = ((step * 7 + person * 13) % 5) as u8;
    let speech = |quieter: u8| {
        let step = step + person * 17;
        // A word is 1.2 s, a pause 240 ms; a syllable is 160 ms and sinks for 60 ms.
        let (in_word, in_syllable) = (step % 72, step % 11);
        Some(match (in_word, in_syllable) {
            (60.., _) => 62 + wobble,
            (_, 8..) => 44 + wobble + quieter,
            _ => 22 + wobble + quieter,
        })
    };
    match sound {
        Sound::Speech => speech(0),
        Sound::Quiet(quieter) => speech(quieter),
        Sound::Room => Some(62 + wobble),
        Sound::Steady(level) => Some(level),
        Sound::Nothing => None,
    }
}

/// Plays parts until a moment; gives who took the floor when, milliseconds.
fn play(parts: &[Part<'_>], until: u64) -> Vec<(u64, usize)> {
    let start = base_instant();
    let mut floor = Floor::default();
    let mut voices = vec![Voice::default(); parts.len()];
    (0..parts.len()).for_each(|person| floor.admit(person));
    let mut taken = Vec::new();
    for step in 0..until / 20 {
        let (ms, now) = (step * 20, start + STEP * u32::try_from(step).unwrap());
        for (person, (part, voice)) in parts.iter().zip(&mut voices).enumerate() {
            let sound =
                part.iter().rev().find(|(from, _)| *from <= ms).map_or(Sound::Room, |(_, sound)| *sound);
            if let Some(level) = level(sound, step, person as u64) {
                voice.hear(level, now);
            }
        }
        if ms % TOLD.as_millis() as u64 == 0 {
            voices.iter_mut().enumerate().for_each(|(person, voice)| floor.hear(person, voice.activity(now)));
            taken.extend(floor.decide(now).map(|person| (ms, person)));
        }
    }
    taken
}

fn order(taken: &[(u64, usize)]) -> Vec<usize> {
    taken.iter().map(|(_, person)| *person).collect()
}

const ROOM: Part<'_> = &[];
const FROM_1S: Part<'_> = &[(1_000, Sound::Speech)];

#[test]
fn whoever_speaks_first_has_the_floor_within_a_second_and_keeps_it_in_pauses() {
    let pauses: Part<'_> = &[
        (1_000, Sound::Speech),
        (4_000, Sound::Room),
        (6_000, Sound::Speech),
        (8_000, Sound::Nothing),
        (11_000, Sound::Speech),
    ];
    let taken = play(&[ROOM, pauses, ROOM], 14_000);
    assert_eq!(order(&taken), [1]);
    assert!((1_300..2_000).contains(&taken[0].0), "{taken:?}");
}

#[test]
fn the_floor_goes_from_one_to_the_next_within_a_second_and_a_half() {
    let first: Part<'_> =
        &[(0, Sound::Room), (1_000, Sound::Speech), (5_000, Sound::Room), (9_000, Sound::Speech)];
    let second: Part<'_> = &[(0, Sound::Room), (5_000, Sound::Speech), (9_000, Sound::Room)];
    let taken = play(&[first, second], 13_000);
    assert_eq!(order(&taken), [0, 1, 0], "{taken:?}");
    assert!(taken[1].0 < 6_500 && taken[2].0 < 10_500, "{taken:?}");
}

#[test]
fn who_interrupts_gets_the_floor_when_the_other_gives_way_and_no_sooner() {
    let first: Part<'_> = &[(1_000, Sound::Speech), (8_000, Sound::Room)];
    let second: Part<'_> = &[(5_000, Sound::Speech)];
    let taken = play(&[first, second], 12_000);
    assert_eq!(order(&taken), [0, 1], "{taken:?}");
    assert!((8_000..9_000).contains(&taken[1].0), "{taken:?}");
}

#[test]
fn two_who_talk_at_once_do_not_take_turns_every_second() {
    let taken = play(&[FROM_1S, FROM_1S], 60_000);
    assert!(taken.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 10_000), "{taken:?}");
    assert!((3..=6).contains(&taken.len()), "nobody keeps it for ever: {taken:?}");
}

#[test]
fn a_cough_a_click_and_a_yes_take_nothing() {
    let speaker: Part<'_> = &[(1_000, Sound::Speech), (4_000, Sound::Room)];
    let cough: Part<'_> = &[(5_000, Sound::Steady(8)), (5_350, Sound::Room)];
    let click: Part<'_> = &[(6_000, Sound::Steady(0)), (6_020, Sound::Room)];
    let yes: Part<'_> = &[(7_000, Sound::Speech), (7_400, Sound::Room)];
    assert_eq!(order(&play(&[speaker, cough, click, yes], 12_000)), [0]);
}

#[test]
fn steady_noise_is_nobody_and_a_fan_that_starts_is_outdone_by_who_speaks() {
    let fan: Part<'_> = &[(0, Sound::Steady(30))];
    assert_eq!(order(&play(&[fan, FROM_1S], 30_000)), [1]);
    let starts: Part<'_> = &[(0, Sound::Room), (6_000, Sound::Steady(30))];
    let taken = play(&[starts, FROM_1S], 30_000);
    assert_eq!(order(&taken), [1], "{taken:?}");
    assert_eq!(order(&play(&[fan, ROOM], 30_000)), [] as [usize; 0]);
}

#[test]
fn one_who_always_claims_full_scale_is_never_heard() {
    let liar: Part<'_> = &[(0, Sound::Steady(0))];
    let first: Part<'_> = &[(1_000, Sound::Speech), (5_000, Sound::Room)];
    let second: Part<'_> = &[(0, Sound::Room), (5_000, Sound::Speech)];
    assert_eq!(order(&play(&[liar, first, second], 12_000)), [1, 2]);
}

#[test]
fn one_who_claims_to_talk_without_end_has_to_share() {
    // Speech as loud as can be, for ever; a person speaks quietly now and then, for three seconds.
    let start = base_instant();
    let (mut liar, mut person) = (Voice::default(), Voice::default());
    let mut floor = Floor::default();
    floor.admit("liar");
    floor.admit("person");
    let mut had = [0_u32; 2];
    for step in 0..6_000_u32 {
        let now = start + STEP * step;
        liar.hear(if step % 10 < 8 { 0 } else { 127 }, now);
        let sound = if step % 300 < 150 { Sound::Quiet(10) } else { Sound::Room };
        person.hear(level(sound, u64::from(step), 1).unwrap(), now);
        if step % 5 == 0 {
            floor.hear("liar", liar.activity(now));
            floor.hear("person", person.activity(now));
            floor.decide(now);
            had[usize::from(floor.holder() == Some("person"))] += 1;
        }
    }
    assert!(had[1] * 6 >= had[0], "{had:?}");
}

#[test]
fn a_quiet_voice_counts_as_much_as_a_loud_one() {
    let quiet: Part<'_> = &[(0, Sound::Room), (5_000, Sound::Quiet(18))];
    let loud: Part<'_> = &[(1_000, Sound::Speech), (5_000, Sound::Room)];
    assert_eq!(order(&play(&[quiet, loud], 9_000)), [1, 0]);
}

#[test]
fn packets_that_come_late_and_all_at_once_are_the_same_voice() {
    let (start, mut even, mut bunched) = (base_instant(), Voice::default(), Voice::default());
    for step in 0..400_u32 {
        let now = start + STEP * step;
        let level = level(Sound::Speech, u64::from(step), 0).unwrap();
        even.hear(level, now);
        bunched.hear(level, start + STEP * (step - step % 4));
    }
    let end = start + STEP * 400;
    let (even, bunched) = (even.activity(end), bunched.activity(end));
    assert!(even.long.abs_diff(bunched.long) <= 1, "{even:?} {bunched:?}");
    assert!(bunched.medium >= 5, "{bunched:?}");
}

#[test]
fn a_flood_of_packets_is_no_more_of_a_voice() {
    let (start, mut flood) = (base_instant(), Voice::default());
    for micros in 0..1_000_000_u64 {
        flood.hear(if micros % 2 == 0 { 0 } else { 90 }, start + Duration::from_micros(micros));
    }
    let activity = flood.activity(start + Duration::from_secs(1));
    assert_eq!(activity.medium, 0, "{activity:?}");
}

#[test]
fn who_is_not_heard_any_more_falls_silent() {
    let (start, mut voice) = (base_instant(), Voice::default());
    for step in 0..400_u32 {
        voice.hear(level(Sound::Speech, u64::from(step), 0).unwrap(), start + STEP * step);
    }
    assert!(voice.activity(start + STEP * 400).long > 0);
    let later = voice.activity(start + STEP * 500);
    assert_eq!((later.immediate, later.medium, later.long), (0, 0, 0));
    assert!(later.level > 120, "{later:?}");
    // A clock that stands or runs back changes nothing.
    voice.hear(0, start);
    assert_eq!(voice.activity(start).long, 0);
}

#[test]
fn who_leaves_has_the_floor_no_more_and_a_stranger_gets_none() {
    let mut floor = Floor::default();
    let (start, mut voice) = (base_instant(), Voice::default());
    (0..200_u32).for_each(|step| {
        voice.hear(level(Sound::Speech, u64::from(step), 0).unwrap(), start + STEP * step);
    });
    let now = start + STEP * 200;
    floor.hear("stranger", voice.activity(now));
    assert_eq!(floor.decide(now), None);
    floor.admit("stranger");
    floor.hear("stranger", voice.activity(now));
    assert_eq!((floor.decide(now), floor.decide(now)), (Some("stranger"), None));
    floor.dismiss("stranger");
    assert_eq!(floor.holder(), None);
}

#[test]
fn one_voice_is_small() {
    assert!(size_of::<Voice>() <= 64, "{}", size_of::<Voice>());
}
