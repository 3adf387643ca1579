//! How a file looks: it opens with what it is for, is short, keeps its tests where they belong, and leaves nothing to do.

use std::fs;

use proc_macro2::{Delimiter, TokenTree};

use crate::sources::{
    Source, attribute, files_below, has_word, inner, is_punct, is_test_module, is_word, path_in_project, sources,
    tokens_of,
};

/// The files that call C: one function of the C library, and the engine.
const UNSAFE_FILES: [&str; 2] = ["src/arenas.rs", "src/embedded/engine/libchdb.rs"];

/// The one file that makes routes: each with what it needs of who asks.
const ROUTES_FILE: &str = "src/access/routes.rs";

/// Most lines of a file before its tests.
const LINES_MAX: usize = 500;

#[test]
fn unsafe_is_in_two_files() {
    let has_unsafe = |source: &Source| has_word(&source.tokens, "unsafe");
    let files: Vec<String> = sources().into_iter().filter(has_unsafe).map(|source| source.path).collect();
    assert_eq!(files, UNSAFE_FILES);
}

#[test]
fn routes_are_made_in_one_file() {
    let makes_routes = |source: &Source| has_word(&source.tokens, "Router") && source.text.contains("Router::new(");
    let files: Vec<String> = sources().into_iter().filter(makes_routes).map(|source| source.path).collect();
    assert_eq!(files, [ROUTES_FILE], "a route names what it needs: access::routes::Routes");
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    for folder in ["src", "tests", "benches"] {
        for file in files_below(folder) {
            let text = fs::read_to_string(&file).expect("a source can be read");
            let first = text.lines().next().unwrap_or_default();
            assert!(first.starts_with("//! ") && first.len() > "//! ".len(), "{} opens with {first:?}", file.display());
        }
    }
}

/// Whether a source writes a script and makes it executable in its own process: a child that another thread starts meanwhile
/// has it open for writing, and then it cannot be executed (`ETXTBSY`).
fn writes_what_it_executes(text: &str) -> bool {
    text.contains("\"#!/") && text.contains("set_permissions")
}

#[test]
fn what_tests_execute_is_written_by_another_process() {
    let folders = ["src", "tests", "benches"];
    let files = folders.into_iter().flat_map(files_below).filter(|file| !file.ends_with("tidy/files.rs"));
    let broken: Vec<_> = files.filter(|file| writes_what_it_executes(&fs::read_to_string(file).unwrap())).collect();
    assert!(broken.is_empty(), "embedded::parquet::testing::write_script writes scripts: {broken:#?}");
    assert!(writes_what_it_executes("fs::write(path, \"#!/bin/sh\\n\"); fs::set_permissions(path, executable)"));
}

/// The lines of a file before the module of its tests.
fn lines_before_tests(source: &Source) -> usize {
    let tests = source.tokens.iter().enumerate().find_map(|(at, token)| {
        let (attribute, next) = attribute(&source.tokens, at)?;
        let is_module = is_word(source.tokens.get(next), "mod");
        let has_body =
            matches!(source.tokens.get(next + 2), Some(TokenTree::Group(body)) if body.delimiter() == Delimiter::Brace);
        let is_of_tests = is_word(attribute.first(), "cfg") && has_word(&attribute, "test");
        (is_of_tests && is_module && has_body).then(|| token.span().start().line - 1)
    });
    tests.unwrap_or_else(|| source.text.lines().count())
}

#[test]
fn no_file_is_longer_than_500_lines_before_its_tests() {
    let lines = |source: Source| (source.path.clone(), lines_before_tests(&source));
    let long =
        sources().into_iter().filter(|source| !source.is_test()).map(lines).filter(|(_, lines)| *lines > LINES_MAX);
    let long: Vec<(String, String)> = long.map(|(path, lines)| (path, format!("{lines} lines"))).collect();
    assert!(long.is_empty(), "more than 500 lines before the tests: {long:#?}");
}

#[test]
fn the_lines_before_tests_end_at_their_module() {
    for (text, lines) in [
        ("//! a\nfn f() {}\n", 2),
        ("//! a\n\n#[cfg(test)]\nmod tests {\n}\n", 2),
        ("//! a\n#[cfg(test)]\nmod tests;\nfn f() {}\n", 4),
        ("//! a\n#[cfg(test)]\nfn f() {}\n", 3),
    ] {
        assert_eq!(lines_before_tests(&Source::new("src/a.rs", text)), lines, "{text}");
    }
}

/// What breaks the one convention of tests below `src`: they are in a module `tests` at the end of the file, or in a file of
/// that name beside it; what several of them share is in a module `testing`.
fn misplaced_tests(source: &Source) -> Option<String> {
    if has_attribute(&source.tokens, "path") {
        return Some("has #[path]".to_owned());
    }
    if source.is_test() {
        return None;
    }
    let named =
        source.module.iter().find(|step| step.ends_with("_test") || step.ends_with("_tests") || *step == "test");
    named.map(|step| format!("is called {step}")).or_else(|| {
        let other = modules_of_tests(&source.tokens).into_iter().find(|name| !is_test_module(name));
        other.map(|name| format!("has tests in {name}"))
    })
}

/// The modules that an attribute makes part of tests alone.
fn modules_of_tests(tokens: &[TokenTree]) -> Vec<String> {
    let module = |at: usize| {
        let (attribute, mut next) = attribute(tokens, at)?;
        if !(is_word(attribute.first(), "cfg") && has_word(&attribute, "test") && !has_word(&attribute, "not")) {
            return None;
        }
        while !is_word(tokens.get(next), "mod") {
            let is_before_it =
                is_word(tokens.get(next), "pub") || matches!(tokens.get(next), Some(TokenTree::Group(_)));
            next = if is_before_it { next + 1 } else { self::attribute(tokens, next)?.1 };
        }
        tokens.get(next + 1).map(ToString::to_string)
    };
    (0..tokens.len()).filter_map(module).collect()
}

fn has_attribute(tokens: &[TokenTree], name: &str) -> bool {
    let here = (0..tokens.len()).filter_map(|at| attribute(tokens, at)).any(|(inner, _)| is_word(inner.first(), name));
    here || tokens.iter().any(|token| matches!(token, TokenTree::Group(group) if has_attribute(&inner(group), name)))
}

#[test]
fn tests_are_inline_or_in_a_file_of_that_name() {
    let broken = |source: Source| misplaced_tests(&source).map(|what| (source.path, what));
    let broken: Vec<(String, String)> = sources().into_iter().filter_map(broken).collect();
    assert!(broken.is_empty(), "tests are not where they belong: {broken:#?}");
}

#[test]
fn misplaced_tests_are_found() {
    for (path, text, is_misplaced) in [
        ("src/a.rs", "#[cfg(test)] mod tests { #[test] fn f() {} }", false),
        ("src/a.rs", "#[cfg(test)] mod tests;", false),
        ("src/a.rs", "#[cfg(test)] pub(crate) mod testing;", false),
        ("src/a/tests.rs", "mod others;", false),
        ("src/a/tests/others.rs", "", false),
        ("src/a.rs", "#[cfg(test)] mod more_tests;", true),
        ("src/a.rs", "#[cfg(test)] #[allow(x)] pub(crate) mod checks { }", true),
        ("src/a.rs", "#[cfg(test)] #[path = \"b.rs\"] mod tests;", true),
        ("src/a_tests.rs", "", true),
    ] {
        assert_eq!(misplaced_tests(&Source::new(path, text)).is_some(), is_misplaced, "{path}: {text}");
    }
}

#[test]
fn no_test_shares_a_file_by_its_path() {
    for file in ["tests", "benches", "fuzz/fuzz_targets"].into_iter().flat_map(files_below) {
        let text = fs::read_to_string(&file).expect("a source can be read");
        assert!(!has_attribute(&tokens_of(&text), "path"), "{} has #[path]", path_in_project(&file));
    }
}

#[test]
fn nothing_is_ignored_or_left_to_do() {
    for file in ["src", "tests"].into_iter().flat_map(files_below) {
        let text = fs::read_to_string(&file).expect("a source can be read");
        let left = leftovers(&tokens_of(&text));
        assert!(left.is_empty(), "{}: {left:?}", file.display());
    }
}

/// `#[ignore]`, `todo!`, `unimplemented!`, `dbg!`.
fn leftovers(tokens: &[TokenTree]) -> Vec<String> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Ident(word) => {
                let is_macro = is_punct(tokens.get(at + 1), '!');
                if is_macro && ["todo", "unimplemented", "dbg"].iter().any(|banned| word == banned) {
                    found.push(format!("{word}!"));
                }
            }
            TokenTree::Group(group) => {
                let inner = inner(group);
                let is_attribute = at > 0 && is_punct(tokens.get(at - 1), '#');
                if is_attribute && is_word(inner.first(), "ignore") {
                    found.push("#[ignore]".to_owned());
                }
                found.extend(leftovers(&inner));
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
    found
}

#[test]
fn what_is_ignored_or_left_to_do_is_found_in_every_form() {
    for (source, want) in [
        ("fn f() { todo!() }", "todo!"),
        ("#[ignore] fn f() {}", "#[ignore]"),
        ("#[ignore = \"slow\"] fn f() {}", "#[ignore]"),
        ("mod m { fn f() { dbg!(1); } }", "dbg!"),
    ] {
        assert_eq!(leftovers(&tokens_of(source)), [want], "{source}");
    }
}
