//! Packages: pins, licences, sources, floors, and that what is declared is there and used.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use toml::Table;

use crate::licences::is_met;
use crate::report;
use crate::source::{Source, files_below, read, root, sources};

/// Crates whose behaviour between releases we rely on: every release is read before it is taken.
const PINNED: [&str; 2] = ["dimpl", "str0m"];

/// Crates that are declared for the sake of a feature alone, so that the server and its tests share one build of them.
const FOR_A_FEATURE: [&str; 2] = ["num-traits", "regex-syntax"];

fn manifest(path: &str) -> Table {
    read(path).parse().unwrap_or_else(|error| panic!("{path} cannot be read: {error}"))
}

fn dependencies(manifest: &Table, kind: &str) -> Vec<(String, toml::Value)> {
    let table = manifest.get(kind).and_then(toml::Value::as_table).cloned().unwrap_or_default();
    table.into_iter().collect()
}

/// Every package of the tree, from what is already on this machine.
fn packages() -> Vec<Value> {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", &platform])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "run `cargo fetch`, and commit Cargo.lock if that changed it: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array_mut().map(std::mem::take).unwrap()
}

fn field<'a>(package: &'a Value, name: &str) -> &'a str {
    package[name].as_str().unwrap_or_default()
}

/// The rules of deny.toml as texts.
fn rules(section: &str, list: &str) -> Vec<String> {
    let table = manifest("deny.toml");
    let list = table[section][list].as_array().unwrap().clone();
    list.into_iter().map(|value| value.as_str().unwrap_or_default().to_owned()).collect()
}

fn version(text: &str) -> Vec<u64> {
    let plain = text.split(['-', '+']).next().unwrap_or_default();
    plain.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

#[test]
fn engines_are_pinned_to_one_release() {
    let mut complaints = Vec::new();
    for path in ["Cargo.toml", "bench/Cargo.toml"] {
        for (name, value) in dependencies(&manifest(path), "dependencies") {
            let wanted =
                value.as_str().or_else(|| value.get("version")?.as_str()).unwrap_or_default().to_owned();
            if PINNED.contains(&name.as_str()) && !wanted.starts_with('=') {
                complaints.push(format!("{path}: write `{name} = \"={wanted}\"`"));
            }
        }
    }
    report(&complaints);
}

/// The licence of a package: as it says itself, or as deny.toml says where it has but a file of it.
fn licence(package: &Value) -> String {
    let clarified = manifest("deny.toml")["licenses"].get("clarify").and_then(toml::Value::as_array).cloned();
    let of_package = |rule: &toml::Value| rule["crate"].as_str() == package["name"].as_str();
    let rule = clarified.into_iter().flatten().find(of_package);
    let said = rule.as_ref().and_then(|rule| rule["expression"].as_str());
    said.filter(|_| field(package, "license").is_empty())
        .map_or_else(|| field(package, "license").to_owned(), str::to_owned)
}

#[test]
fn every_licence_is_allowed_and_every_allowed_one_is_needed() {
    let allowed = rules("licenses", "allow");
    let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
    let packages = packages();
    let mut complaints: Vec<String> = packages
        .iter()
        .filter(|package| !is_met(&licence(package), &allowed))
        .map(|package| {
            let (name, licence) = (field(package, "name"), licence(package));
            format!("{name}: `{licence}`: choose another crate, or allow it in deny.toml after reading it")
        })
        .collect();
    for needed in &allowed {
        let others: Vec<&str> = allowed.iter().filter(|other| *other != needed).copied().collect();
        if packages.iter().all(|package| is_met(&licence(package), &others)) {
            complaints.push(format!("deny.toml: nothing needs `{needed}`: take it out"));
        }
    }
    report(&complaints);
}

#[test]
fn packages_come_from_the_registry_alone() {
    let registries = rules("sources", "allow-registry");
    let from_elsewhere = packages().into_iter().filter(|package| {
        let source = field(package, "source");
        !source.is_empty() && !registries.iter().any(|registry| source == format!("registry+{registry}"))
    });
    report(
        &from_elsewhere
            .map(|package| format!("{}: use a release of the registry", field(&package, "name")))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn no_package_is_below_its_floor() {
    let rules = manifest("deny.toml")["bans"]["deny"].as_array().unwrap().clone();
    let packages = packages();
    let mut complaints = Vec::new();
    for rule in rules {
        let (crate_rule, reason) = (rule["crate"].as_str().unwrap(), rule["reason"].as_str().unwrap());
        let (name, floor) = crate_rule.split_once("@<").unwrap();
        let found: Vec<&str> = packages
            .iter()
            .filter(|package| field(package, "name") == name)
            .map(|p| field(p, "version"))
            .collect();
        if found.is_empty() {
            complaints.push(format!("deny.toml: `{name}` is no longer in the tree: take its floor out"));
        }
        if found.iter().any(|found| version(found) < version(floor)) {
            complaints.push(format!("{name}: {reason}: run `cargo update -p {name}` to reach {floor}"));
        }
    }
    report(&complaints);
}

#[test]
fn every_second_version_of_a_package_has_a_reason() {
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages() {
        versions
            .entry(field(&package, "name").to_owned())
            .or_default()
            .push(field(&package, "version").to_owned());
    }
    let mut second = BTreeSet::new();
    for (name, versions) in &mut versions {
        versions.sort_by_key(|one| version(one));
        versions.pop();
        second.extend(versions.iter().map(|version| format!("{name}@{version}")));
    }
    let skipped = manifest("deny.toml")["bans"]["skip"].as_array().unwrap().clone();
    let skipped: BTreeSet<String> =
        skipped.iter().map(|skip| skip["crate"].as_str().unwrap().to_owned()).collect();
    let mut complaints: Vec<String> = second
        .difference(&skipped)
        .map(|package| {
            format!(
                "{package}: a newer one is here as well: move who asks for it (`cargo tree --invert {package}`), or give \
                 the reason in deny.toml"
            )
        })
        .collect();
    let gone = skipped.difference(&second);
    complaints
        .extend(gone.map(|package| format!("deny.toml: `{package}` is no second version: take it out")));
    report(&complaints);
}

/// Packages with their features, as they are built for what the arguments of `cargo tree` name.
fn built(arguments: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--no-dedupe", "--prefix", "none", "--format", "{p}|{f}"])
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // The mark tells that a package was listed before, below one that depends on itself for its tests.
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| line.trim_end_matches(" (*)").to_owned())
        .collect()
}

#[test]
fn tests_and_benchmarks_share_the_build_of_the_servers_dependencies() {
    let server = built(&["--package", "ringcast", "--edges", "normal,build"]);
    let everything = built(&["--workspace", "--edges", "normal,build,dev"]);
    assert!(server.len() > 100, "cargo tree says something else than was thought: {server:?}");
    // Build scripts may have a build of the same package beside it, with fewer features: what is new tells.
    let package = |line: &str| line.split('|').next().unwrap_or_default().to_owned();
    let of_server: BTreeSet<String> = server.iter().map(|line| package(line)).collect();
    let complaints: Vec<String> = everything
        .difference(&server)
        .filter(|line| of_server.contains(&package(line)))
        .map(|line| {
            format!(
                "{line}: a crate of the tests adds features: do without, or switch them on for the server too"
            )
        })
        .collect();
    report(&complaints);
}

#[test]
fn every_dependency_is_named_in_the_code() {
    let mut complaints = Vec::new();
    for (path, folders) in [("Cargo.toml", ["src", "tests"]), ("bench/Cargo.toml", ["bench", "bench"])] {
        let sources: Vec<Source> = folders.iter().flat_map(|folder| sources(folder)).collect();
        let mut named: BTreeSet<String> = sources
            .iter()
            .flat_map(|source| source.paths())
            .filter_map(|path| path.segments.into_iter().next())
            .collect();
        // Paths into the server are read from its root: the name of the crate is not among their segments.
        let names_server = |source: &Source| source.tokens.iter().any(|token| token.text == "ringcast");
        if sources.iter().any(names_server) {
            named.insert("ringcast".to_owned());
        }
        let manifest = manifest(path);
        for kind in ["dependencies", "dev-dependencies"] {
            for (name, _) in dependencies(&manifest, kind) {
                if !named.contains(&name.replace('-', "_")) && !FOR_A_FEATURE.contains(&name.as_str()) {
                    complaints.push(format!("{path}: nothing uses `{name}`: take it out"));
                }
            }
        }
    }
    report(&complaints);
}

#[test]
fn every_folder_of_tests_is_run() {
    let manifest = manifest("Cargo.toml");
    let declared: BTreeSet<String> = manifest
        .get("test")
        .and_then(toml::Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|test| test.get("path")?.as_str().map(str::to_owned))
        .collect();
    let written: BTreeSet<String> = files_below("tests")
        .into_iter()
        .filter(|path| path.ends_with("/main.rs") || path.ends_with(".rs") && path.matches('/').count() == 1)
        .collect();
    let mut complaints: Vec<String> = written
        .difference(&declared)
        .map(|path| format!("{path}: declare it as a [[test]] in Cargo.toml: it is never run"))
        .collect();
    let gone = declared.iter().filter(|path| !Path::new(&root()).join(path).exists());
    complaints.extend(gone.map(|path| format!("Cargo.toml: {path} is gone: take its [[test]] out")));
    report(&complaints);
}
