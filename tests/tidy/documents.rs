//! Documents and dashboards: what they point at is there.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::report;
use crate::source::{files_below, read, root};

/// Commands that people and machines start by name.
const COMMANDS: [&str; 11] = [
    ".ci/run",
    "bench/counts",
    "bench/run",
    "kernel-tuning/check",
    "start",
    "tests/browser/run",
    "tests/browser/stacks/webrtc-rs/run",
    "tests/fresh",
    "tests/run",
    "tests/schemathesis/run",
    "tests/service",
];

/// Where the names of all metrics stand.
const METRIC_NAMES: &str = "src/metrics/names.rs";

/// Where the flags of the server and its variables stand.
const FLAGS: &str = "src/config/flags.rs";
const VARIABLES: &str = "src/config/layers.rs";

/// What a name of a metric begins with: our own, and those that are the same for every program.
const METRIC_PREFIXES: [&str; 2] = ["ringcast_", "process_"];

/// What Prometheus adds to the name of a histogram.
const HISTOGRAM_ENDS: [&str; 3] = ["_bucket", "_count", "_sum"];

/// Top-level folders whose files documents name in code marks.
const NAMED_FOLDERS: [&str; 10] = [
    "src/",
    "tests/",
    "bench/",
    "client/src/",
    "client/examples/",
    "docs/",
    "grafana/",
    "kernel-tuning/",
    ".ci/",
    "demo/",
];

fn documents() -> impl Iterator<Item = (String, String)> {
    files_below("").into_iter().filter(|path| path.ends_with(".md")).map(|path| {
        let text = read(&path);
        (path, text)
    })
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Words of `text` that begin with `prefix`.
fn words_with_prefix<'a>(text: &'a str, prefix: &str) -> BTreeSet<&'a str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with(prefix) && word.len() > prefix.len())
        .collect()
}

/// What stands between a pair of marks on one line, for each such pair.
fn between<'a>(text: &'a str, open: &'a str, close: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().flat_map(move |line| {
        line.split(open).skip(1).filter_map(move |rest| rest.split_once(close).map(|x| x.0))
    })
}

/// Whether a document has a heading that is reached by `place`, the way GitHub makes it of the heading's words.
fn has_heading(text: &str, place: &str) -> bool {
    text.lines().filter(|line| line.starts_with('#')).any(|line| {
        let words = line.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).eq(place.chars())
    })
}

#[test]
fn commands_that_documents_name_can_be_run() {
    let mut complaints = Vec::new();
    for command in COMMANDS {
        if !is_executable(&root().join(command)) {
            complaints.push(format!("{command}: write it, or make it executable: chmod +x {command}"));
        }
    }
    for (path, text) in documents() {
        let mut in_commands = false;
        for (index, line) in text.lines().enumerate() {
            if line.starts_with("```") {
                in_commands = matches!(line, "```sh" | "```bash" | "```console");
                continue;
            }
            let word = line
                .trim_start_matches("$ ")
                .split_whitespace()
                .find(|word| !word.contains('='))
                .unwrap_or_default();
            let is_ours = NAMED_FOLDERS.iter().any(|folder| word.starts_with(folder));
            if in_commands && is_ours && !is_executable(&root().join(word)) {
                complaints.push(format!("{path}:{}: `{word}` cannot be run", index + 1));
            }
        }
    }
    report(&complaints);
}

#[test]
fn links_and_paths_in_documents_lead_somewhere() {
    let mut complaints = Vec::new();
    for (path, text) in documents() {
        let folder = root().join(&path).parent().unwrap().to_path_buf();
        for link in between(&text, "](", ")") {
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            if link.contains("://") {
                continue;
            }
            let target = if file.is_empty() { root().join(&path) } else { folder.join(file) };
            let is_there = target.exists()
                && (place.is_empty()
                    || std::fs::read_to_string(&target).is_ok_and(|text| has_heading(&text, place)));
            if !is_there {
                complaints.push(format!("{path}: the link to `{link}` leads nowhere"));
            }
        }
        let mut in_marks =
            text.split('`').skip(1).step_by(2).filter(|word| !word.contains(char::is_whitespace));
        for word in
            in_marks.by_ref().filter(|word| NAMED_FOLDERS.iter().any(|folder| word.starts_with(folder)))
        {
            if !word.contains(['*', '{', '<']) && !root().join(word).exists() {
                complaints.push(format!("{path}: `{word}` is not there: mend the document"));
            }
        }
    }
    report(&complaints);
}

/// Names of the tests in a file of the browser suite, each as the parts around what is filled in.
fn browser_tests(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().filter_map(|line| {
        let (_, rest) = line.split_once("test(")?;
        let mark = rest.chars().next().filter(|mark| matches!(mark, '"' | '`'))?;
        let (name, _) = rest[1..].split_once(&format!("{mark}, "))?;
        let mut parts = name.split("${");
        let first = parts.next();
        // An expression may hold braces of its own: the last one that closes is the end of it.
        Some(first.into_iter().chain(parts.filter_map(|part| Some(part.rsplit_once('}')?.1))).collect())
    })
}

fn is_filled_in(parts: &[&str], name: &str) -> bool {
    let [first, middle @ .., last] = parts else { return parts == [name] };
    let inner = name.strip_prefix(first).and_then(|rest| rest.strip_suffix(last));
    inner.is_some_and(|inner| {
        middle.iter().try_fold(inner, |rest, part| Some(rest.split_once(part)?.1)).is_some()
    })
}

/// What a cell of a table refers to, by the name of the reference: `[name]: file "test"`.
fn references(text: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    text.lines().filter_map(|line| {
        let (name, target) = line.strip_prefix('[')?.split_once("]: ")?;
        let (file, test) = target.split_once(" \"")?;
        Some((name, file, test.strip_suffix('"')?))
    })
}

#[test]
fn clients_that_we_say_were_tried_have_a_test_for_each_cell() {
    let clients = read("docs/clients.md");
    let mut complaints = Vec::new();
    let named: BTreeSet<&str> = between(&clients, "][", "]").collect();
    let defined: BTreeSet<&str> = references(&clients).map(|(name, ..)| name).collect();
    assert!(!named.is_empty());
    for name in named.symmetric_difference(&defined) {
        complaints.push(format!("docs/clients.md: `{name}` is either no reference, or nothing refers to it"));
    }
    for (_, file, name) in references(&clients) {
        let tests = read(file.trim_start_matches("../"));
        if !browser_tests(&tests).any(|parts| is_filled_in(&parts, name)) {
            complaints.push(format!("docs/clients.md: {file} has no test `{name}`"));
        }
    }
    report(&complaints);
}

#[test]
fn settings_that_the_clients_names_are_read() {
    let readme = read("README.md");
    let (flags, variables) = (read(FLAGS), read(VARIABLES));
    let known = words_with_prefix(&variables, "RINGCAST_");
    let mut complaints: Vec<String> = words_with_prefix(&readme, "RINGCAST_")
        .difference(&known)
        .map(|name| format!("README.md: nothing reads `{name}`: see {VARIABLES}"))
        .collect();
    for flag in readme.split('`').skip(1).step_by(2).filter_map(|code| code.strip_prefix("--")) {
        let field = flag.split_whitespace().next().unwrap_or_default().replace('-', "_");
        if !flags.contains(&format!("pub {field}:")) {
            complaints.push(format!("README.md: there is no flag `--{flag}`: see {FLAGS}"));
        }
    }
    report(&complaints);
}

/// Metrics of the catalogue, and others, that a text names; the series of a histogram count as the histogram.
fn metrics_named<'a>(text: &'a str, catalogue: &BTreeSet<&'a str>) -> BTreeSet<&'a str> {
    let metric = |word: &'a str| {
        let histogram = HISTOGRAM_ENDS.iter().find_map(|end| word.strip_suffix(end));
        histogram.filter(|name| catalogue.contains(name)).unwrap_or(word)
    };
    metric_words(text).into_iter().map(metric).collect()
}

fn metric_words(text: &str) -> BTreeSet<&str> {
    METRIC_PREFIXES.into_iter().flat_map(|prefix| words_with_prefix(text, prefix)).collect()
}

#[test]
fn dashboards_and_alerts_use_metrics_that_exist() {
    let used =
        files_below("grafana").into_iter().filter(|path| path.ends_with(".json") || path.ends_with(".yml"));
    let names = read(METRIC_NAMES);
    let catalogue = metric_words(&names);
    let mut complaints = Vec::new();
    for path in used {
        for word in metrics_named(&read(&path), &catalogue).difference(&catalogue) {
            complaints.push(format!("{path}: `{word}` is not in {METRIC_NAMES}: rename it there or here"));
        }
    }
    report(&complaints);
}

#[test]
fn every_metric_can_be_seen_on_the_dashboard() {
    let (names, dashboard) = (read(METRIC_NAMES), read("grafana/ringcast.json"));
    let catalogue = metric_words(&names);
    let shown = metrics_named(&dashboard, &catalogue);
    let no_panel = |name: &&str| {
        format!("grafana/ringcast.json: `{name}` has no panel: {METRIC_NAMES} says what it counts")
    };
    let complaints: Vec<String> = catalogue.difference(&shown).map(no_panel).collect();
    report(&complaints);
}
