//! How many instructions each stage of a packet's way takes, counted under callgrind, against the bounds of a file:
//! `bench/counts` runs this.
//!
//! `counts FILE` starts itself under valgrind for each stage, prints a line for it, and fails when one is over its
//! bound. `counts FILE --bless` writes the file from what was counted instead.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark ends where its premise ends"
)]
#![expect(clippy::print_stdout, reason = "a command-line program speaks on its terminal")]

mod stages;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use clap::Parser;
use ringcast_bench::counts::{Counts, UNITS, Verdict, collected, compare, parse_bounds, write_bounds};

use self::stages::{Run, STAGES, Stage};

#[derive(Debug, Parser)]
#[command(about = "Counts the instructions of each stage and compares them with their bounds")]
struct Arguments {
    /// The file of bounds.
    #[arg(required_unless_present = "stage")]
    bounds: Option<PathBuf>,
    /// Writes that file from what was counted.
    #[arg(long)]
    bless: bool,
    /// Runs this stage alone, for valgrind to watch.
    #[arg(long)]
    stage: Option<String>,
    /// Cargo says that this is a benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(name) = arguments.stage {
        run_stage(&name);
        return Ok(ExitCode::SUCCESS);
    }
    let file = arguments.bounds.context("no file of bounds")?;
    let name = file.display().to_string();
    let before = std::fs::read_to_string(&file).with_context(|| name.clone())?;
    let bounds = parse_bounds(&before)?;
    let counts: Counts = STAGES.iter().map(count).collect::<anyhow::Result<_>>()?;
    let (mut passed, mut failed) = (0, 0);
    println!("{:<24} {:>12} {:>12}  instructions per unit", "stage", "counted", "bound");
    for (stage, count, bound, verdict) in compare(&counts, &bounds) {
        let number =
            |value: Option<f64>| value.map_or_else(|| "none".to_owned(), |value| format!("{value:.1}"));
        let (count, bound) = (number(count), number(bound));
        let word = if arguments.bless { "" } else { word(&verdict) };
        println!("{stage:<24} {count:>12} {bound:>12}  {word}");
        if verdict.is_failure() && !arguments.bless {
            failed += 1;
            println!("  {stage}: {}", remedy(&verdict, &count, &bound, &name));
        } else {
            passed += 1;
        }
    }
    if arguments.bless {
        std::fs::write(&file, write_bounds(&before, &counts))?;
        println!("{name} is written anew. Say in the commit why each bound moved.");
    }
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Makes a stage, runs it until its memory and the dynamic linker have settled, and then once more under the count.
fn run_stage(name: &str) {
    let stage = STAGES.iter().find(|stage| stage.name == name).unwrap();
    assert!(UNITS.is_multiple_of(stage.units), "{name}: runs are counted whole");
    let (mut run, runs) = ((stage.make)(), UNITS / stage.units);
    for _ in 0..runs {
        run();
    }
    counted_runs(&mut run, runs);
}

/// What callgrind counts, by its name: nothing that this calls may bear a name with this one in it.
#[inline(never)]
fn counted_runs(run: &mut Run, runs: u32) {
    for _ in 0..runs {
        run();
    }
}

/// Instructions of one unit of a stage.
fn count(stage: &Stage) -> anyhow::Result<(String, f64)> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"])
        .arg("--toggle-collect=*counted_runs*")
        .arg(std::env::current_exe()?)
        .args(["--stage", stage.name])
        .output()
        .context("valgrind cannot be started")?;
    let said = String::from_utf8_lossy(&output.stderr);
    match collected(&said) {
        Some(instructions) if output.status.success() && instructions > 0 => {
            Ok((stage.name.to_owned(), instructions as f64 / f64::from(UNITS)))
        }
        _ => bail!("{}: nothing was counted; valgrind said:\n{said}", stage.name),
    }
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Within => "",
        Verdict::Loose => "far below: lower the bound with `bench/counts --bless`",
        Verdict::Over => "OVER",
        Verdict::Unbounded | Verdict::Uncounted => "FAILED",
    }
}

fn remedy(verdict: &Verdict, count: &str, bound: &str, file: &str) -> String {
    match verdict {
        Verdict::Over => format!(
            "{count} instructions per unit, the bound is {bound}. Find out what was added; if it is worth its price, \
             run `bench/counts --bless` and commit {file} with the reason."
        ),
        Verdict::Unbounded => format!("it has no bound in {file}: run `bench/counts --bless`."),
        _ => {
            format!("it has a bound in {file} and was not counted: run `bench/counts --bless` if it is gone.")
        }
    }
}
