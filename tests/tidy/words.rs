//! Length of files, and words: what a file opens with, unfinished work, names of modules and things.

use std::path::Path;

use crate::report;
use crate::source::{Source, files_below, is_name, read, sources};

/// Lines of a file, code for tests alone left out. Past the first number it should be split, past the second it
/// must be.
const FILE_LINES: [usize; 2] = [600, 800];

/// Macros that stand for work not done, or for a look while debugging.
const UNFINISHED_MACROS: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// Words that stand for work not done.
const UNFINISHED_WORDS: [&str; 3] = ["FIXME", "TODO", "XXX"];

/// Where those words are looked for, by how a file ends.
const WRITTEN_FILES: [&str; 11] =
    [".rs", ".md", ".js", ".html", ".css", ".py", ".sh", ".toml", ".yml", ".service", "/run"];

/// Names that say nothing of what a module owns.
const EMPTY_MODULE_NAMES: [&str; 8] =
    ["common", "helper", "helpers", "manager", "misc", "util", "utils", "shared"];

/// Words of other systems for things that have a name here, and that name.
const FOREIGN_WORDS: [(&str, &str); 8] = [
    ("consumer", "subscription"),
    ("consumers", "subscriptions"),
    ("munge", "rewrite"),
    ("munger", "rewrite"),
    ("munged", "rewritten"),
    ("producer", "publication"),
    ("producers", "publications"),
    ("downtrack", "subscription"),
];

fn all_sources() -> Vec<Source> {
    ["src", "bench", "tests"].iter().flat_map(|folder| sources(folder)).collect()
}

/// The parts of a name in `snake_case` or `CamelCase`, in lower case.
fn parts_of(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for character in name.chars() {
        if character == '_' || character.is_uppercase() {
            parts.push(String::new());
        }
        if character != '_' {
            parts.last_mut().unwrap().extend(character.to_lowercase());
        }
    }
    parts
}

#[test]
fn files_are_short_enough_to_read() {
    let [wanted, most] = FILE_LINES;
    let mut complaints = Vec::new();
    for source in all_sources() {
        let lines = source.lines_without_tests();
        if lines > most {
            complaints.push(format!("{}: {lines} lines, at most {most}: split it by noun", source.path));
        } else if lines > wanted {
            eprintln!("{}: {lines} lines, better at most {wanted}: look for a noun to move out", source.path);
        }
    }
    report(&complaints);
}

#[test]
fn every_file_says_first_what_it_is_for() {
    // The tests of a module may leave that to the module.
    let is_test_module = |source: &Source| {
        source.path.starts_with("src/") && source.tokens.iter().all(|token| token.test_only)
    };
    let silent = all_sources()
        .into_iter()
        .filter(|source| !is_test_module(source) && !source.text.starts_with("//! "));
    report(
        &silent
            .map(|source| {
                format!("{}: open with `//!`: what it owns, what it must not know, what is next", source.path)
            })
            .collect::<Vec<_>>(),
    );
}

#[test]
fn nothing_is_left_unfinished() {
    let mut complaints = Vec::new();
    for source in all_sources() {
        for pair in source.tokens.windows(2) {
            if pair[1].text == "!" && UNFINISHED_MACROS.contains(&pair[0].text.as_str()) {
                complaints.push(format!("{}:{}: finish it, or leave it out", source.path, pair[0].line));
            }
        }
    }
    let own = |path: &String| path.starts_with("tests/tidy/");
    let is_written = |path: &String| WRITTEN_FILES.iter().any(|end| path.ends_with(end));
    for path in files_below("").into_iter().filter(|path| is_written(path) && !own(path)) {
        for (index, line) in read(&path).lines().enumerate() {
            let mut words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            if words.any(|word| UNFINISHED_WORDS.contains(&word)) {
                complaints.push(format!("{path}:{}: finish it, or say what is so and why", index + 1));
            }
        }
    }
    report(&complaints);
}

#[test]
fn modules_are_named_for_what_they_own() {
    let mut complaints = Vec::new();
    for source in all_sources() {
        let path = Path::new(&source.path).with_extension("");
        let in_path = path.iter().map(|part| part.to_string_lossy().into_owned());
        let in_code = source
            .tokens
            .windows(2)
            .filter(|pair| pair[0].text == "mod" && is_name(&pair[1].text))
            .map(|pair| pair[1].text.clone());
        for name in in_path.chain(in_code).filter(|name| EMPTY_MODULE_NAMES.contains(&name.as_str())) {
            complaints
                .push(format!("{}: `{name}` says nothing: name the noun that the module owns", source.path));
        }
    }
    report(&complaints);
}

#[test]
fn things_are_called_by_one_name() {
    let mut complaints = Vec::new();
    for source in sources("src") {
        for token in source.tokens.iter().filter(|token| is_name(&token.text)) {
            let parts = parts_of(&token.text);
            for (foreign, ours) in
                FOREIGN_WORDS.iter().filter(|(foreign, _)| parts.iter().any(|part| part == foreign))
            {
                let place = format!("{}:{}", source.path, token.line);
                complaints.push(format!("{place}: `{}`: a {foreign} is called {ours} here", token.text));
            }
        }
    }
    report(&complaints);
}

#[test]
fn names_are_taken_apart_at_words() {
    assert_eq!(parts_of("NackCache"), ["", "nack", "cache"]);
    assert_eq!(parts_of("rtp_in"), ["rtp", "in"]);
}
