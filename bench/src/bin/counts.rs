//! Compares counted instructions with their bounds, or sets the bounds anew; `bench/counts` calls it.
//!
//! `counts FILE < COUNTS` prints a line for each stage and fails when one is over its bound. `counts FILE --bless`
//! writes the file from what was counted instead.

#![expect(clippy::print_stdout, reason = "a command-line program speaks on its terminal")]

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use ringcast_bench::counts::{Verdict, compare, parse_bounds, parse_counts, write_bounds};

#[derive(Debug, Parser)]
#[command(about = "Compares counted instructions with their bounds")]
struct Arguments {
    /// The file of bounds.
    bounds: PathBuf,
    /// Writes that file from what was counted.
    #[arg(long)]
    bless: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let counts = parse_counts(&text)?;
    let file = arguments.bounds.display().to_string();
    let before = std::fs::read_to_string(&arguments.bounds).with_context(|| file.clone())?;
    let bounds = parse_bounds(&before)?;
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
            println!("  {stage}: {}", remedy(&verdict, &count, &bound, &file));
        } else {
            passed += 1;
        }
    }
    if arguments.bless {
        std::fs::write(&arguments.bounds, write_bounds(&before, &counts))?;
        println!("{file} is written anew. Say in the commit why each bound moved.");
    }
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
