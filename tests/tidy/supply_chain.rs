//! What the project is made of: licences that allow its own, no version known to be bad, every source a registry, and the same features
//! of a crate in what ships as in tests.
//!
//! Runs offline on what Cargo has already fetched. `make deny` asks cargo-deny for the advisories of today too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Licences that code under Apache-2.0 may be shipped with. The same list is in deny.toml.
const LICENCES: [&str; 12] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "Apache-2.0 WITH LLVM-exception",
];

/// Crates that had a hole, and the first version without it.
const FIXED_IN: [(&str, [u64; 3], &str); 8] = [
    ("h2", [0, 4, 16], "RUSTSEC-2026-0258: unbounded empty DATA frames"),
    ("tonic", [0, 14, 3], "earlier ones bound only the compressed size of a request"),
    ("rustls-webpki", [0, 103, 13], "RUSTSEC-2026-0098 and 0104"),
    ("bytes", [1, 11, 1], "integer overflow in reserve"),
    ("time", [0, 3, 47], "stack exhaustion in parsing"),
    ("lz4_flex", [0, 11, 6], "uninitialised memory through block decompression"),
    ("memmap2", [0, 9, 11], "RUSTSEC advisory of 2026"),
    ("tracing-subscriber", [0, 3, 20], "escape sequences in logged input"),
];

/// Crates that nobody keeps.
const UNKEPT: [&str; 3] = ["bincode", "rustls-pemfile", "serde_yaml"];

fn lock_file() -> BTreeMap<String, Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
    let text = fs::read_to_string(path).expect("Cargo.lock is there");
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let value =
        |line: &str, key: &str| Some(line.strip_prefix(key)?.strip_prefix(" = \"")?.trim_end_matches('"').to_owned());
    let mut name = String::new();
    for line in text.lines() {
        if let Some(found) = value(line, "name") {
            name = found;
        } else if let Some(version) = value(line, "version") {
            versions.entry(name.clone()).or_default().push(version);
        } else if let Some(source) = value(line, "source") {
            assert!(source.starts_with("registry+"), "{name} comes from {source}");
        }
    }
    assert!(versions.len() > 100, "Cargo.lock was not understood");
    versions
}

/// The three numbers of a version; a pre-release counts as its release.
fn numbers(version: &str) -> [u64; 3] {
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let mut parts = core.split('.').map(|part| part.parse::<u64>().expect("a version has numbers"));
    [(); 3].map(|()| parts.next().unwrap_or(0))
}

#[test]
fn no_locked_version_is_known_to_be_bad() {
    let versions = lock_file();
    assert!(versions.contains_key("h2"), "h2 is what the rule is about");
    for (name, fixed, why) in FIXED_IN {
        for version in versions.get(name).into_iter().flatten() {
            assert!(numbers(version) >= fixed, "{name} {version} has a hole, fixed in {fixed:?}: {why}");
        }
    }
    for name in UNKEPT {
        assert!(!versions.contains_key(name), "{name} is no longer kept");
    }
}

#[test]
fn every_dependency_has_a_licence_that_fits() {
    let mut refused = BTreeSet::new();
    let packages = packages();
    assert!(packages.len() > 50, "the dependencies were not found");
    for package in &packages {
        let text = |key: &str| package.get(key).and_then(Value::as_str).unwrap_or_default();
        if !is_allowed(text("license")) {
            refused.insert(format!("{} {}: {:?}", text("name"), text("version"), text("license")));
        }
    }
    assert!(refused.is_empty(), "not on the list of licences: {refused:#?}");
}

/// What tests alone switch on in a crate that src uses, and why src cannot come to need it.
const OF_TESTS: [(&str, &str, &str); 2] = [
    ("opentelemetry-proto", "file-descriptors", "descriptors for the reference's JSON; src uses its messages"),
    ("rustix", "param", "tests of memory limits ask for the size of a page"),
];

#[test]
fn what_ships_has_the_features_that_tests_have() {
    let (shipped, tested) = (features("normal"), features("normal,dev"));
    assert!(shipped.len() > 40, "the dependencies were not found: {shipped:?}");
    let known = |name: &str, feature: &str| OF_TESTS.iter().any(|(of, own, _)| (*of, *own) == (name, feature));
    for (name, own) in &shipped {
        let more: Vec<&String> = tested.get(name).expect("tests have what ships").difference(own).collect();
        // "default" itself is no code: what it switches on is named too
        let unknown: Vec<_> = more.into_iter().filter(|more| *more != "default" && !known(name, more)).collect();
        assert!(
            unknown.is_empty(),
            "{name} has {unknown:?} in tests only: state it under [dependencies], or in OF_TESTS"
        );
    }
}

/// The features that crates named in Cargo.toml are built with, by name, along such edges of the graph.
fn features(edges: &str) -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["tree", "--offline", "--locked", "--package", "millrace", "--depth", "1", "--prefix", "none"])
        .args(["--edges", edges, "--format", "{p}|{f}"])
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut features: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let (package, on) = line.trim_end_matches(" (*)").split_once('|').expect("a package and its features");
        let name = package.split(' ').next().expect("a package has a name").to_owned();
        features.entry(name).or_default().extend(on.split(',').filter(|on| !on.is_empty()).map(str::to_owned));
    }
    features
}

/// The packages that are built here, as Cargo knows them.
fn packages() -> Vec<Value> {
    let rustc = Command::new("rustc").arg("-vV").output().expect("rustc runs");
    let said = String::from_utf8_lossy(&rustc.stdout).into_owned();
    let host = said.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host");
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["metadata", "--offline", "--locked", "--format-version", "1", "--filter-platform", host])
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    match metadata.get_mut("packages").map(Value::take) {
        Some(Value::Array(packages)) => packages,
        other => panic!("no packages: {other:?}"),
    }
}

/// Whether a licence expression can be met with the list. Source: SPDX 2.3, annex D; a slash is Cargo's old `OR`.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let allowed = any_of(&mut rest);
    allowed && rest.is_empty()
}

fn any_of(words: &mut &[&str]) -> bool {
    let mut allowed = all_of(words);
    while take(words, "OR") {
        allowed |= all_of(words);
    }
    allowed
}

fn all_of(words: &mut &[&str]) -> bool {
    let mut allowed = one(words);
    while take(words, "AND") {
        allowed &= one(words);
    }
    allowed
}

fn one(words: &mut &[&str]) -> bool {
    if take(words, "(") {
        let allowed = any_of(words);
        return take(words, ")") && allowed;
    }
    let Some((name, rest)) = words.split_first() else { return false };
    *words = rest;
    if take(words, "WITH") {
        let Some((exception, rest)) = words.split_first() else { return false };
        *words = rest;
        return LICENCES.contains(&format!("{name} WITH {exception}").as_str());
    }
    LICENCES.contains(name)
}

fn take(words: &mut &[&str], word: &str) -> bool {
    match words.split_first() {
        Some((first, rest)) if *first == word => {
            *words = rest;
            true
        }
        _ => false,
    }
}

#[test]
fn licence_expressions_are_read_as_spdx_means_them() {
    for allowed in [
        "MIT",
        "MIT OR Apache-2.0",
        "MIT/GPL-3.0",
        "GPL-3.0 OR (MIT AND ISC)",
        "(MIT OR GPL-2.0) AND Unicode-3.0",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(is_allowed(allowed), "{allowed}");
    }
    for refused in
        ["", "GPL-3.0", "MIT AND GPL-3.0", "GPL-3.0 WITH LLVM-exception", "(MIT", "MIT ISC", "AGPL-3.0 OR LGPL-2.1"]
    {
        assert!(!is_allowed(refused), "{refused}");
    }
}
