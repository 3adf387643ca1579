//! The rules of the house, read off the sources: floors, `unsafe` in one file, how a file opens, what may not stay.
//!
//! `src/lib.rs` draws the floors. A module imports from lower floors only; [`SIDEWAYS`] lists the few neighbours that
//! know each other. Sources are read as tokens, so comments and strings do not count and macros do.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

const FLOORS: [&[&str]; 5] = [
    &[
        "ids",
        "numbers",
        "time",
        "sizes",
        "bounds",
        "text",
        "codings",
        "workspace",
        "retention",
        "timestamps",
        "telemetry",
        "shutdown",
        "steps",
    ],
    &["otlp", "chat", "conventions", "genai", "json", "columns"],
    &["dedup", "pipeline", "journal", "clickhouse", "embedded", "traces", "connections"],
    &["receivers", "committer", "exporter", "reconciler", "admin"],
    &["main", "cli", "app", "config", "dead_letter"],
];

/// Who may import from its own floor, and from whom: codecs fill columns, and the health page shows the exporter's state.
const SIDEWAYS: [(&str, &str); 19] = [
    ("chat", "json"),
    ("genai", "json"),
    ("conventions", "json"),
    ("embedded", "connections"),
    ("chat", "genai"),
    ("chat", "columns"),
    ("columns", "genai"),
    ("conventions", "chat"),
    ("conventions", "columns"),
    ("conventions", "genai"),
    ("otlp", "columns"),
    ("retention", "time"),
    ("retention", "workspace"),
    ("timestamps", "time"),
    ("text", "steps"),
    ("ids", "numbers"),
    ("time", "numbers"),
    ("telemetry", "numbers"),
    ("otlp", "conventions"),
];

/// On the top floor everybody may know everybody: it is one room that wires the others.
const TOP: usize = FLOORS.len() - 1;

/// The one file that talks to a C library.
const UNSAFE_FILE: &str = "src/embedded/engine/libchdb.rs";

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

fn may_import(from: &str, to: &str) -> bool {
    match (floor_of(from), floor_of(to)) {
        _ if from == to => true,
        (Some(TOP), Some(_)) => true,
        (Some(below), Some(above)) if below == above => SIDEWAYS.contains(&(from, to)),
        (Some(own), Some(other)) => other < own,
        _ => false,
    }
}

/// The top-level modules that a source names: by `crate::x`, by enough `super::` to reach the root, or by
/// `millrace::x` in a binary. `depth` says how many modules deep the source lies below the root.
fn modules_named(tokens: TokenStream, depth: usize) -> Vec<String> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut named = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if let Some(inner) = inline_module(&tokens, at) {
            named.extend(modules_named(inner, depth + 1));
            at += 3;
            continue;
        }
        if let Some(TokenTree::Group(group)) = tokens.get(at) {
            named.extend(modules_named(group.stream(), depth));
        }
        if let Some(behind) = path_from_root(&tokens, at, depth) {
            named.extend(first_names(&tokens, behind));
            at = behind;
            continue;
        }
        at += 1;
    }
    named
}

/// `mod name { ... }`
fn inline_module(tokens: &[TokenTree], at: usize) -> Option<TokenStream> {
    let (TokenTree::Ident(keyword), TokenTree::Ident(_), TokenTree::Group(body)) =
        (tokens.get(at)?, tokens.get(at + 1)?, tokens.get(at + 2)?)
    else {
        return None;
    };
    (keyword == "mod" && body.delimiter() == Delimiter::Brace).then(|| body.stream())
}

/// Where the path goes on behind `crate::`, `millrace::` or the last `super::` that reaches the root.
fn path_from_root(tokens: &[TokenTree], at: usize, depth: usize) -> Option<usize> {
    let is_continued =
        at.checked_sub(1).and_then(|before| tokens.get(before)).is_some_and(|token| is_punct(token, ':'));
    let TokenTree::Ident(first) = tokens.get(at)? else { return None };
    if is_continued {
        return None;
    }
    if first == "crate" || first == "millrace" {
        return behind_colons(tokens, at + 1);
    }
    let (mut at, mut supers) = (at, 0);
    while matches!(tokens.get(at), Some(TokenTree::Ident(word)) if word == "super") {
        supers += 1;
        at = behind_colons(tokens, at + 1)?;
    }
    (supers > 0 && supers >= depth).then_some(at)
}

fn behind_colons(tokens: &[TokenTree], at: usize) -> Option<usize> {
    let both = is_punct(tokens.get(at)?, ':') && is_punct(tokens.get(at + 1)?, ':');
    both.then_some(at + 2)
}

fn is_punct(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == wanted)
}

/// The name a path starts with; of `{a::b, c}` all names.
fn first_names(tokens: &[TokenTree], at: usize) -> Vec<String> {
    match tokens.get(at) {
        Some(TokenTree::Ident(name)) => vec![name.to_string()],
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
            let inner: Vec<TokenTree> = group.stream().into_iter().collect();
            inner.split(|token| is_punct(token, ',')).flat_map(|item| first_names(item, 0)).collect()
        }
        Some(token) if is_punct(token, '*') => vec!["*".to_owned()],
        _ => Vec::new(),
    }
}

/// What a source breaks, as `module -> module`.
fn violations(module: &str, depth: usize, source: &str) -> Vec<String> {
    let tokens: TokenStream = source.parse().expect("the source is Rust");
    let named = modules_named(tokens, depth);
    // Names of no floor are items of the root or macros; the list of modules is checked by another test.
    let known = named.iter().filter(|name| floor_of(name).is_some() || *name == "*");
    known.filter(|name| !may_import(module, name)).map(|name| format!("{module} -> {name}")).collect()
}

struct Source {
    /// Path from the project's folder.
    path: String,
    /// Top-level module.
    module: String,
    /// Modules below the root: 1 for `src/ids.rs` and `src/otlp/mod.rs`, 2 for `src/otlp/wire.rs`.
    depth: usize,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    assert!(files.len() > 5, "the sources were not found");
    let source = |file: PathBuf| {
        let path = file.strip_prefix(root).expect("below the root").to_str().expect("plain names").to_owned();
        let steps: Vec<&str> = path.split('/').skip(1).map(|step| step.trim_end_matches(".rs")).collect();
        let module = steps.first().copied().unwrap_or_default().to_owned();
        let depth = steps.iter().filter(|step| **step != "mod").count();
        let text = fs::read_to_string(&file).expect("a source can be read");
        Source { path, module, depth, text }
    };
    files.into_iter().map(source).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder can be read").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Whether the word occurs as a token, whatever comments and strings say.
fn has_word(tokens: TokenStream, word: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == word,
        TokenTree::Group(group) => has_word(group.stream(), word),
        _ => false,
    })
}

#[test]
fn modules_import_from_lower_floors_only() {
    let mut broken = BTreeMap::new();
    for source in sources().into_iter().filter(|source| source.module != "lib") {
        let mut found = violations(&source.module, source.depth, &source.text);
        // tests may come in by the door that a neighbour of their floor keeps
        if source.path.contains("/tests/") {
            found.retain(|import| {
                let floors = import.split_once(" -> ").map(|(from, to)| (floor_of(from), floor_of(to)));
                floors.is_none_or(|(from, to)| to > from)
            });
        }
        if !found.is_empty() {
            broken.insert(source.path, found);
        }
    }
    assert!(broken.is_empty(), "imports that do not go down: {broken:#?}");
}

#[test]
fn every_module_has_its_floor_in_the_map_of_the_crate() {
    let sources = sources();
    let map = &sources.iter().find(|source| source.path == "src/lib.rs").expect("src/lib.rs is there").text;
    for (number, floor) in FLOORS.iter().enumerate() {
        let prefix = format!("//! {number} ");
        let line = map.lines().find(|line| line.starts_with(&prefix));
        let line = line.unwrap_or_else(|| panic!("floor {number} is not drawn in src/lib.rs"));
        let drawn: Vec<&str> = line.split_whitespace().skip(3).collect();
        assert_eq!(drawn, *floor, "floor {number}: src/lib.rs and this test differ");
    }
    for source in sources.iter().filter(|source| source.module != "lib") {
        assert!(floor_of(&source.module).is_some(), "{} is on no floor", source.path);
    }
}

#[test]
fn an_upward_import_is_seen_in_every_form() {
    for (module, depth, source, want) in [
        ("otlp", 1, "use crate::receivers::http;", "otlp -> receivers"),
        ("otlp", 1, "use crate::{ids::TraceId, exporter::Exporter};", "otlp -> exporter"),
        ("otlp", 1, "use crate::{ids::{SpanId, TraceId}, admin};", "otlp -> admin"),
        ("otlp", 1, "fn f() { let x = crate::config::load(); }", "otlp -> config"),
        ("otlp", 1, "use super::pipeline;", "otlp -> pipeline"),
        ("otlp", 2, "use super::super::pipeline;", "otlp -> pipeline"),
        ("otlp", 1, "mod tests { use super::super::app::run; }", "otlp -> app"),
        ("otlp", 1, "macro_rules! m { () => { $crate::cli::go() } }", "otlp -> cli"),
        ("otlp", 1, "thing!(x, crate::exporter::Y);", "otlp -> exporter"),
        ("otlp", 1, "fn f(x: Vec<crate::exporter::Y>) {}", "otlp -> exporter"),
        ("otlp", 1, "use crate::*;", "otlp -> *"),
        ("columns", 1, "use crate::otlp::decode;", "columns -> otlp"),
        ("genai", 1, "use crate::chat::span;", "genai -> chat"),
        ("ids", 1, "use crate::time::Clock;", "ids -> time"),
        ("receivers", 2, "use crate::exporter::Exporter;", "receivers -> exporter"),
    ] {
        assert_eq!(violations(module, depth, source), [want], "{source}");
    }
}

#[test]
fn imports_that_go_down_or_stay_at_home_are_fine() {
    for (module, depth, source) in [
        ("otlp", 1, "use crate::{ids::TraceId, columns::RowGroup, otlp::wire};"),
        ("otlp", 2, "use super::pipeline_like; use super::decode::Part;"),
        ("otlp", 1, "mod tests { use super::*; }"),
        ("otlp", 1, "// use crate::receivers;\nconst T: &str = \"crate::receivers\";"),
        ("otlp", 1, "use other::crate_like::receivers; use tower::exporter;"),
        ("receivers", 2, "use crate::{pipeline::Pipeline, otlp, ids, telemetry};"),
        ("main", 1, "use millrace::{cli, app};"),
        ("app", 1, "use crate::config::Config;"),
    ] {
        assert_eq!(violations(module, depth, source), Vec::<String>::new(), "{source}");
    }
}

#[test]
fn unsafe_is_in_one_file() {
    let has_unsafe = |source: &Source| has_word(source.text.parse().expect("the source is Rust"), "unsafe");
    let files: Vec<String> = sources().into_iter().filter(has_unsafe).map(|source| source.path).collect();
    assert_eq!(files, [UNSAFE_FILE]);
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    for source in sources() {
        let first = source.text.lines().next().unwrap_or_default();
        assert!(first.starts_with("//! ") && first.len() > "//! ".len(), "{} opens with {first:?}", source.path);
    }
}

#[test]
fn nothing_is_ignored_or_left_to_do() {
    let mut files: Vec<PathBuf> = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    collect(&root.join("src"), &mut files);
    collect(&root.join("tests"), &mut files);
    for file in files {
        let text = fs::read_to_string(&file).expect("a source can be read");
        let tokens: Vec<TokenTree> = text.parse::<TokenStream>().expect("the source is Rust").into_iter().collect();
        let left = leftovers(&tokens);
        assert!(left.is_empty(), "{}: {left:?}", file.display());
    }
}

/// `#[ignore]`, `todo!`, `unimplemented!`, `dbg!`.
fn leftovers(tokens: &[TokenTree]) -> Vec<String> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Ident(word) => {
                let is_macro = tokens.get(at + 1).is_some_and(|next| is_punct(next, '!'));
                if is_macro && ["todo", "unimplemented", "dbg"].iter().any(|banned| word == banned) {
                    found.push(format!("{word}!"));
                }
            }
            TokenTree::Group(group) => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                let is_attribute =
                    at.checked_sub(1).and_then(|before| tokens.get(before)).is_some_and(|t| is_punct(t, '#'));
                if is_attribute && matches!(inner.first(), Some(TokenTree::Ident(word)) if word == "ignore") {
                    found.push("#[ignore]".to_owned());
                }
                found.extend(leftovers(&inner));
            }
            _ => {}
        }
    }
    found
}

#[test]
fn leftovers_are_seen() {
    for (source, want) in [
        ("fn f() { todo!() }", "todo!"),
        ("#[ignore] fn f() {}", "#[ignore]"),
        ("#[ignore = \"slow\"] fn f() {}", "#[ignore]"),
        ("mod m { fn f() { dbg!(1); } }", "dbg!"),
    ] {
        let tokens: Vec<TokenTree> = source.parse::<TokenStream>().expect("Rust").into_iter().collect();
        assert_eq!(leftovers(&tokens), [want], "{source}");
    }
}
