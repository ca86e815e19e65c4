//! A search for inputs that fail: those of the corpus and those found so far are changed at random, and what leads to
//! behaviour that was not seen before is changed further. Instruments see more; this needs none.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::Target;
use crate::pieces::{PIECE_BYTES_MAX, PIECES_MAX, Piece, read, write};

/// Inputs that are kept to be changed further.
const KEPT_MAX: usize = 4_000;
/// Attempts to make an input that fails shorter.
const CUTS_MAX: usize = 400;
/// Numbers that are looked at in a special way somewhere.
const NUMBERS: [u32; 12] =
    [0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0xffff_ffff];

/// What a search came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Inputs played.
    pub played: u64,
    /// Of these, kept for what they led to.
    pub kept: usize,
    /// Marks of behaviour seen.
    pub marks: usize,
    /// The first that failed, made short.
    pub failure: Option<Vec<u8>>,
}

/// The files of a folder with their names, in their order; none when there is no such folder.
pub fn inputs(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (name, fs::read(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// Searches for so long, or until something fails. The same number draws the same changes. What is played stands in a file
/// meanwhile, for inputs that never end.
#[expect(clippy::disallowed_methods, reason = "how long to search is told by the clock")]
pub fn search(target: Target, corpus: Vec<Vec<u8>>, span: Duration, number: u64, playing: &Path) -> Outcome {
    let end = Instant::now() + span;
    let mut random = Rng::with_seed(number);
    let mut seen = BTreeSet::new();
    let mut kept = corpus;
    let mut outcome = Outcome::default();
    let mut next = 0;
    while Instant::now() < end {
        // First the corpus as it is, then changes of it.
        let input = match kept.get(next).filter(|_| outcome.played == next as u64) {
            Some(input) => input.clone(),
            None => changed(&kept, &mut random),
        };
        next += 1;
        outcome.played += 1;
        fs::write(playing, &input).unwrap();
        let Some(marks) = play(target, &input) else {
            outcome.failure = Some(cut(target, input));
            break;
        };
        let before = seen.len();
        seen.extend(marks);
        if seen.len() > before && kept.len() < KEPT_MAX {
            kept.push(input);
            outcome.kept += 1;
        }
    }
    outcome.marks = seen.len();
    fs::remove_file(playing).unwrap();
    outcome
}

fn play(target: Target, input: &[u8]) -> Option<BTreeSet<(u16, u32)>> {
    // It makes its own random numbers the same for each input, and must not do so for ours: they are in a value.
    catch_unwind(AssertUnwindSafe(|| (target.play)(input))).ok().map(|trace| trace.0)
}

/// Leaves out pieces, then bytes, while it still fails.
fn cut(target: Target, input: Vec<u8>) -> Vec<u8> {
    let mut pieces = read(&input);
    let mut attempts = 0;
    let mut fails = |pieces: &[Piece]| {
        attempts += 1;
        attempts <= CUTS_MAX && play(target, &write(pieces)).is_none()
    };
    if !fails(&pieces) {
        return input;
    }
    let mut at = pieces.len();
    while at > 0 {
        at -= 1;
        let mut fewer = pieces.clone();
        fewer.remove(at);
        if fails(&fewer) {
            pieces = fewer;
        }
    }
    for at in 0..pieces.len() {
        let mut len = pieces[at].bytes.len();
        while len > 0 {
            let mut shorter = pieces.clone();
            shorter[at].bytes.truncate(len / 2);
            if !fails(&shorter) {
                break;
            }
            pieces = shorter;
            len /= 2;
        }
    }
    write(&pieces)
}

fn changed(kept: &[Vec<u8>], random: &mut Rng) -> Vec<u8> {
    let mut any = || kept.get(random.usize(..kept.len().max(1))).cloned().unwrap_or_default();
    let (mut pieces, other) = (read(&any()), read(&any()));
    for _ in 0..1 + random.usize(..6) {
        change_list(&mut pieces, &other, random);
        if !pieces.is_empty() {
            let at = random.usize(..pieces.len());
            for _ in 0..1 + random.usize(..4) {
                change_piece(&mut pieces[at], random);
            }
        }
    }
    write(&pieces)
}

fn change_list(pieces: &mut Vec<Piece>, other: &[Piece], random: &mut Rng) {
    let at = random.usize(..=pieces.len());
    match random.u8(..8) {
        0 if !other.is_empty() => pieces.insert(at, other[random.usize(..other.len())].clone()),
        1 if at < pieces.len() => drop(pieces.remove(at)),
        2 if at < pieces.len() => pieces.insert(at, pieces[at].clone()),
        3 if at < pieces.len() => {
            let other = random.usize(..pieces.len());
            pieces.swap(at, other);
        }
        4 => pieces.extend_from_slice(other),
        _ => {}
    }
    pieces.truncate(PIECES_MAX);
}

fn change_piece(piece: &mut Piece, random: &mut Rng) {
    let bytes = &mut piece.bytes;
    let at = random.usize(..=bytes.len());
    let len = random.usize(..=16.min(bytes.len() - at));
    match random.u8(..9) {
        0 => piece.kind = random.u8(..),
        1 | 2 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
        3 if at < bytes.len() => bytes[at] = random.u8(..),
        4 => {
            let number = NUMBERS[random.usize(..NUMBERS.len())].to_be_bytes();
            let number = &number[random.usize(..4)..];
            let end = bytes.len().min(at + number.len());
            bytes[at..end].copy_from_slice(&number[..end - at]);
        }
        5 => drop(bytes.drain(at..at + len)),
        6 => {
            let again: Vec<u8> = bytes[at..at + len].to_vec();
            bytes.splice(at..at, again);
        }
        7 => drop(bytes.splice(at..at, (0..len).map(|_| random.u8(..)).collect::<Vec<_>>())),
        8 if random.u8(..8) == 0 => bytes.truncate(at),
        _ => {}
    }
    bytes.truncate(PIECE_BYTES_MAX);
}
