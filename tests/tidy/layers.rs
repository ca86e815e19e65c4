//! Who may name whom: the layers of ARCHITECTURE.md, and what is kept to a few files.

use std::collections::BTreeSet;

use crate::report;
use crate::source::{Source, is_name, sources};

/// What each module may name of this crate besides itself. The longest fitting name counts; a module that may be
/// named may be named with all below it.
const LAYERS: [(&str, &[&str]); 22] = [
    ("main", &["config", "node", "control", "log", "metrics"]),
    ("log", &["config"]),
    ("node", &["config", "control", "ids", "log", "metrics", "negotiation", "net", "shard"]),
    ("config", &["ids", "net::IoKind", "net::probe::IoKind"]),
    ("metrics", &["drop", "ids", "rtp::MediaKind", "shard::command"]),
    (
        "control",
        &[
            "config",
            "ids",
            "metrics",
            "negotiation",
            "plan",
            "rtp::Codec",
            "rtp::MediaKind",
            "sdp",
            "shard::command",
            "shard::worker::ShardHandle",
            "speakers",
        ],
    ),
    ("negotiation", &["ids", "plan", "rtp", "sdp", "session::dialect"]),
    ("sdp", &["rtp"]),
    ("net", &[]),
    (
        "shard::worker",
        &["drop", "ids", "metrics::shard", "net", "plan", "random", "router", "rtp", "session", "speakers"],
    ),
    (
        "shard::command",
        &["ids", "metrics::shard", "net::dialled", "plan", "session::Description", "speakers"],
    ),
    (
        "shard",
        &[
            "congestion",
            "drop",
            "ids",
            "metrics::shard",
            "net",
            "plan",
            "random",
            "router",
            "rtp",
            "session",
            "speakers",
        ],
    ),
    ("session::dialect", &[]),
    ("session", &["congestion", "drop", "ids", "plan", "random", "rtp", "srtp"]),
    ("router", &["drop", "ids", "plan", "rtp"]),
    ("congestion", &[]),
    ("speakers", &[]),
    ("srtp", &["rtp"]),
    ("plan", &["ids", "rtp"]),
    ("rtp", &[]),
    ("ids", &["random"]),
    ("random", &[]),
];

/// The owners of what a shard has, and what each may name of the shard besides itself. Only the shard names all of them, so
/// that nobody else can touch what is another's: what one has of another is a key.
const OWNERS: [(&str, &[&str]); 6] = [
    ("shard::addresses", &["shard::dialled", "shard::lanes", "shard::sessions::SessionKey"]),
    ("shard::channels", &["shard::command", "shard::lanes", "shard::ledger", "shard::sessions"]),
    ("shard::lanes", &["shard::addresses::Source", "shard::handover"]),
    ("shard::ledger", &["shard::command::Event"]),
    (
        "shard::sessions",
        &[
            "shard::channels::Use",
            "shard::division::Division",
            "shard::table",
            "shard::timers",
            "shard::tracks::PublicationKey",
            "shard::tracks::SubscriptionKey",
        ],
    ),
    (
        "shard::tracks",
        &[
            "shard::command::Event",
            "shard::command::Heard",
            "shard::lanes",
            "shard::ledger",
            "shard::sessions::SessionKey",
            "shard::table",
            "shard::timers",
        ],
    ),
];

/// What only a few places may name, and where. Tests may name what they compare with.
const KEPT_TO: [(&str, &[&str]); 9] = [
    ("str0m", &["src/session/"]),
    ("dimpl", &["src/session/"]),
    ("sdp_types", &["src/sdp/"]),
    ("axum", &["src/control/"]),
    ("tokio_uring", &["src/net/host.rs"]),
    ("io_uring", &["src/net/uring.rs", "src/net/uring/"]),
    ("libc", &["src/net/"]),
    ("socket2", &["src/net/"]),
    ("prometheus", &["src/metrics/"]),
];

/// Where our own `unsafe` may stand.
const UNSAFE_IN: [&str; 2] = ["src/net/sys.rs", "src/net/uring.rs"];

/// The shells: where the clock may be read.
const CLOCKS_IN: [&str; 6] = [
    "src/control/",
    "src/main.rs",
    "src/net/mmsg.rs",
    "src/net/uring.rs",
    "src/node.rs",
    "src/shard/worker.rs",
];

/// Ways of reading a clock: the two last names of a path.
const CLOCKS: [(&str, &str); 4] =
    [("Instant", "now"), ("SystemTime", "now"), ("Instant", "elapsed"), ("SystemTime", "elapsed")];

fn starts_path(path: &str, front: &str) -> bool {
    path == front || path.starts_with(&format!("{front}::"))
}

/// The row of the table that holds for a module.
fn layer_of(module: &str) -> Option<(&'static str, &'static [&'static str])> {
    LAYERS.into_iter().filter(|(name, _)| starts_path(module, name)).max_by_key(|(name, _)| name.len())
}

fn module_name(source: &Source) -> String {
    match source.path.as_str() {
        "src/main.rs" => "main".to_owned(),
        _ => source.module().join("::"),
    }
}

fn stands_in(source: &Source, places: &[&str]) -> bool {
    places.iter().any(|place| source.path == *place || place.ends_with('/') && source.path.starts_with(place))
}

#[test]
fn modules_name_only_their_layers() {
    let mut complaints = Vec::new();
    for source in sources("src").iter().filter(|source| source.path != "src/lib.rs") {
        let module = module_name(source);
        let top = module.split("::").next().unwrap().to_owned();
        let paths: Vec<_> = source.paths().into_iter().filter(|path| path.is_own).collect();
        let Some((name, allowed)) = layer_of(&module) else {
            if paths.iter().any(|path| path.segments.first().is_some_and(|first| *first != top)) {
                complaints.push(format!("{}: add `{top}` to LAYERS in tests/tidy/layers.rs", source.path));
            }
            continue;
        };
        for path in paths {
            let target = path.display();
            let is_inside = path.segments.first().is_none_or(|first| *first == top);
            if !is_inside && !allowed.iter().any(|allowed| starts_path(&target, allowed)) {
                complaints.push(format!(
                    "{}:{}: `{name}` must not name `{target}`: pass a value through a layer that may name both, \
                     or change LAYERS and ARCHITECTURE.md together",
                    source.path, path.line
                ));
            }
        }
    }
    report(&complaints);
}

#[test]
fn the_pure_core_of_a_shard_does_not_name_its_shell() {
    let mut complaints = Vec::new();
    for source in sources("src/shard").iter().filter(|source| source.path != "src/shard/worker.rs") {
        for path in source.paths() {
            if path.is_own && starts_path(&path.display(), "shard::worker") {
                let place = format!("{}:{}", source.path, path.line);
                complaints
                    .push(format!("{place}: let the worker hand this in, so that a shard runs without one"));
            }
        }
    }
    report(&complaints);
}

#[test]
fn the_owners_of_a_shard_do_not_reach_into_each_other() {
    let mut complaints = Vec::new();
    for source in sources("src/shard") {
        let module = module_name(&source);
        let Some((owner, allowed)) = OWNERS.iter().find(|(name, _)| starts_path(&module, name)) else {
            continue;
        };
        for path in source.paths().iter().filter(|path| path.is_own && !path.test_only) {
            let target = path.display();
            // The shard itself is named by how far an item is seen.
            let is_of_shard = target.starts_with("shard::") && !starts_path(&target, owner);
            if is_of_shard && !allowed.iter().any(|allowed| starts_path(&target, allowed)) {
                let place = format!("{}:{}", source.path, path.line);
                complaints.push(format!(
                    "{place}: `{owner}` must not name `{target}`: let the shard take the value from one and hand it to \
                     the other, or change OWNERS and the picture in ARCHITECTURE.md together"
                ));
            }
        }
    }
    for (owner, _) in OWNERS {
        let place = format!("src/{}", owner.replace("::", "/"));
        let is_there = [format!("{place}.rs"), format!("{place}/mod.rs")];
        if !sources("src/shard").iter().any(|source| is_there.contains(&source.path)) {
            complaints.push(format!("`{owner}` is gone: take it out of OWNERS in tests/tidy/layers.rs"));
        }
    }
    report(&complaints);
}

#[test]
fn what_is_kept_to_few_places_stays_there() {
    let mut complaints = Vec::new();
    for source in sources("src") {
        for path in source.paths().iter().filter(|path| !path.is_own && !path.test_only) {
            let first = path.segments.first().map_or("", String::as_str);
            let rule = KEPT_TO.iter().find(|(name, places)| *name == first && !stands_in(&source, places));
            if let Some((name, places)) = rule {
                let place = format!("{}:{}", source.path, path.line);
                complaints
                    .push(format!("{place}: `{name}` is named in {} only: wrap it there", places.join(", ")));
            }
        }
    }
    report(&complaints);
}

#[test]
fn our_unsafe_code_stands_in_two_files() {
    let mut complaints = Vec::new();
    for source in ["src", "bench", "tests"].iter().flat_map(|folder| sources(folder)) {
        if stands_in(&source, &UNSAFE_IN) {
            continue;
        }
        for token in source.tokens.iter().filter(|token| token.text == "unsafe") {
            let place = format!("{}:{}", source.path, token.line);
            complaints
                .push(format!("{place}: move the unsafe part behind a safe function of {}", UNSAFE_IN[0]));
        }
    }
    report(&complaints);
}

#[test]
fn the_clock_is_read_by_the_shells_alone() {
    let mut complaints = Vec::new();
    for source in sources("src").iter().filter(|source| !stands_in(source, &CLOCKS_IN)) {
        let reads_clock =
            |names: &[String]| CLOCKS.iter().any(|(kind, read)| names[0] == *kind && names[1] == *read);
        let by_path = source
            .paths()
            .into_iter()
            .filter(|path| !path.test_only && path.segments.windows(2).any(reads_clock))
            .map(|path| path.line);
        let by_method = source
            .tokens
            .windows(4)
            .filter(|window| window[0].text == "." && window[1].text == "elapsed" && !window[1].test_only)
            .filter(|window| window[2].text == "(" && window[3].text == ")")
            .map(|window| window[1].line);
        for line in by_path.chain(by_method) {
            complaints.push(format!("{}:{line}: take `now` from the caller", source.path));
        }
    }
    report(&complaints);
}

#[test]
fn every_layer_of_the_table_is_there() {
    let sources = sources("src");
    let modules: BTreeSet<String> = sources.iter().map(module_name).collect();
    let gone = LAYERS.iter().filter(|(name, _)| !modules.contains(*name));
    report(
        &gone
            .map(|(name, _)| format!("`{name}` is gone: take it out of LAYERS in tests/tidy/layers.rs"))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn every_file_is_a_module_of_the_crate() {
    let sources = sources("src");
    let mut declared: BTreeSet<String> = ["", "main"].map(str::to_owned).into();
    for source in &sources {
        for module in source.declared_modules() {
            let mut path = source.module();
            path.push(module.to_owned());
            declared.insert(path.join("::"));
        }
    }
    let lost = sources.iter().filter(|source| !declared.contains(&module_name(source)));
    report(
        &lost
            .map(|source| format!("{}: declare it with `mod` or remove it", source.path))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn every_reason_of_a_drop_is_used() {
    let sources = sources("src");
    let owner = sources.iter().find(|source| source.path == "src/drop.rs").unwrap();
    let start =
        owner.tokens.windows(2).position(|pair| pair[0].text == "enum" && pair[1].text == "DropReason");
    let body = owner.tokens[start.unwrap() + 3..].iter().take_while(|token| token.text != "}");
    let reasons: Vec<&str> = body.map(|token| token.text.as_str()).filter(|text| is_name(text)).collect();
    assert!(reasons.len() > 3, "the reasons cannot be read from src/drop.rs");
    let used: BTreeSet<String> = sources
        .iter()
        .filter(|source| source.path != owner.path)
        .flat_map(Source::paths)
        .filter(|path| !path.test_only)
        .filter_map(|path| {
            let at = path.segments.iter().position(|name| name == "DropReason")?;
            path.segments.get(at + 1).cloned()
        })
        .collect();
    let unused = reasons.into_iter().filter(|reason| !used.contains(*reason));
    report(
        &unused
            .map(|reason| {
                format!("src/drop.rs: nothing drops for `{reason}`: count it where it happens or remove it")
            })
            .collect::<Vec<_>>(),
    );
}
