//! Has the program linked without tables of lines, and tells it which commit it was built from. Needs no network, and neither
//! git nor its folder: a source archive that git has made carries the commit in `commit.txt`.

use std::path::Path;
use std::process::Command;

/// Filled in by `git archive`, as `.gitattributes` says.
const ARCHIVED: &str = "commit.txt";

/// What the program is made of.
const SOURCES: [&str; 4] = ["src", "client/src", "Cargo.toml", "Cargo.lock"];

fn main() {
    // Not the folder of git: a commit alone changes nothing that is built, and would build everything anew.
    for path in SOURCES.into_iter().chain(["build.rs", ARCHIVED]) {
        println!("cargo::rerun-if-changed={path}");
    }
    // Of 147 MB of the program 126 are tables of lines. Tests and benches keep theirs; functions keep their names, which is
    // what a profile and a report of a crash need.
    println!("cargo::rustc-link-arg-bin=ringcast=-Wl,--strip-debug");
    let commit = from_git().or_else(from_archive).unwrap_or_else(|| "unknown".into());
    println!("cargo::rustc-env=RINGCAST_COMMIT={commit}");
}

/// The commit that is checked out here, with a mark if what is built differs from it.
fn from_git() -> Option<String> {
    // A folder of git further up belongs to somebody else.
    if !Path::new(".git").exists() {
        return None;
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let status = ["status", "--porcelain", "--untracked-files=no", "--"];
    let changes = git(&[&status[..], &SOURCES[..]].concat())?;
    Some(if changes.is_empty() { commit } else { format!("{commit}-modified") })
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn from_archive() -> Option<String> {
    let text = std::fs::read_to_string(ARCHIVED).ok()?;
    let commit = text.trim();
    commit.chars().all(|c| c.is_ascii_hexdigit()).then(|| commit.get(..12).map(str::to_owned))?
}
