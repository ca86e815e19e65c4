//! Plays inputs to a target, or searches for some that fail.
//!
//! ```text
//! fuzz TARGET FILE...              plays files, and ends with an error when one fails: for instruments, and to see it again
//! fuzz TARGET --seconds N [SEED]   searches; what fails is made short and written to tests/fuzz/found/
//! fuzz --seconds N [SEED]          the same with all targets, N seconds each
//! fuzz --write-corpus              writes the corpus anew, out of what true clients send
//! ```

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a tool of ours talks to who has called it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use ringcast_fuzz::search::{inputs, search};
use ringcast_fuzz::{TARGETS, Target, corpus};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--write-corpus"] => {
            for (target, name, input) in corpus::all() {
                let folder = folder("corpus").join(target);
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join(name), input).unwrap();
            }
            ExitCode::SUCCESS
        }
        ["--seconds", seconds] => search_all(&TARGETS, seconds, "1"),
        ["--seconds", seconds, seed] => search_all(&TARGETS, seconds, seed),
        [name, ref rest @ ..] => {
            let Some(target) = TARGETS.into_iter().find(|target| target.name == name) else {
                let names = TARGETS.map(|target| target.name).join(", ");
                println!("There is no target '{name}'. Targets: {names}");
                return ExitCode::from(2);
            };
            match rest {
                ["--seconds", seconds] => search_all(&[target], seconds, "1"),
                ["--seconds", seconds, seed] => search_all(&[target], seconds, seed),
                files => {
                    files.iter().for_each(|file| drop((target.play)(&fs::read(file).unwrap())));
                    ExitCode::SUCCESS
                }
            }
        }
        [] => {
            println!("fuzz TARGET FILE... | fuzz [TARGET] --seconds N [SEED] | fuzz --write-corpus");
            ExitCode::from(2)
        }
    }
}

fn search_all(targets: &[Target], seconds: &str, seed: &str) -> ExitCode {
    let (Ok(seconds), Ok(seed)) = (seconds.parse(), seed.parse()) else {
        println!("seconds and seed are whole numbers, not '{seconds}' and '{seed}'");
        return ExitCode::from(2);
    };
    let mut code = ExitCode::SUCCESS;
    for target in targets {
        let corpus =
            inputs(&folder("corpus").join(target.name)).into_iter().map(|(_, input)| input).collect();
        let found = folder("found");
        fs::create_dir_all(&found).unwrap();
        let playing = found.join(format!("{}-{seed}-playing", target.name));
        let outcome = search(*target, corpus, Duration::from_secs(seconds), seed, &playing);
        println!(
            "{}: {} played, {} kept, {} marks",
            target.name, outcome.played, outcome.kept, outcome.marks
        );
        if let Some(input) = outcome.failure {
            let file = found.join(format!("{}-{seed}", target.name));
            fs::write(&file, input).unwrap();
            println!("{} fails: see it again with `fuzz {} {}`", target.name, target.name, file.display());
            code = ExitCode::FAILURE;
        }
    }
    code
}
