//! The sources as tokens, so that comments and strings do not count and macros do; tests can be left out.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// One file below `src`.
pub(crate) struct Source {
    /// Path from the project's folder.
    pub(crate) path: String,
    /// Modules from the root: `["otlp", "json"]` for `src/otlp/json.rs` and `src/otlp/json/mod.rs`, none for `src/lib.rs`.
    pub(crate) module: Vec<String>,
    /// What it says.
    pub(crate) text: String,
    /// The same as tokens.
    pub(crate) tokens: Vec<TokenTree>,
}

impl Source {
    /// A source as a test spells it out.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let steps = path.trim_start_matches("src/").trim_end_matches(".rs").split('/');
        let module = steps.filter(|step| !["mod", "lib"].contains(step)).map(str::to_owned).collect();
        Self { path: path.to_owned(), module, text: text.to_owned(), tokens: tokens_of(text) }
    }

    /// Whether all of it belongs to tests: the module `tests`, or `testing`, which tests share.
    pub(crate) fn is_test(&self) -> bool {
        self.module.iter().any(|step| is_test_module(step))
    }

    /// Its tokens outside tests.
    pub(crate) fn production(&self) -> Vec<TokenTree> {
        if self.is_test() { Vec::new() } else { without_tests(&self.tokens) }
    }
}

/// The names that modules of tests may have.
pub(crate) fn is_test_module(name: &str) -> bool {
    ["tests", "testing"].contains(&name)
}

/// Every source below `src`, in the order of their paths.
pub(crate) fn sources() -> Vec<Source> {
    let files = files_below("src");
    assert!(files.len() > 100, "the sources were not found");
    let read = |file: &PathBuf| fs::read_to_string(file).expect("a source can be read");
    files.iter().map(|file| Source::new(&path_in_project(file), &read(file))).collect()
}

/// Every Rust file below a folder of the project.
pub(crate) fn files_below(folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    collect(&project().join(folder), &mut files);
    files.sort();
    files
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder can be read").flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("node_modules") {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// A file's path from the project's folder.
pub(crate) fn path_in_project(file: &Path) -> String {
    file.strip_prefix(project()).expect("below the project").to_str().expect("plain names").to_owned()
}

pub(crate) fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn tokens_of(text: &str) -> Vec<TokenTree> {
    text.parse::<TokenStream>().expect("the source is Rust").into_iter().collect()
}

/// The tokens in a pair of brackets.
pub(crate) fn inner(group: &Group) -> Vec<TokenTree> {
    group.stream().into_iter().collect()
}

pub(crate) fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

pub(crate) fn is_word(token: Option<&TokenTree>, wanted: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(word)) if word == wanted)
}

/// The tokens in the brackets of an attribute at `at`, and where the code after it goes on.
pub(crate) fn attribute(tokens: &[TokenTree], at: usize) -> Option<(Vec<TokenTree>, usize)> {
    if !is_punct(tokens.get(at), '#') {
        return None;
    }
    let at = if is_punct(tokens.get(at + 1), '!') { at + 2 } else { at + 1 };
    match tokens.get(at) {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Bracket => Some((inner(group), at + 1)),
        _ => None,
    }
}

/// Leaves out every item that an attribute makes part of tests alone.
pub(crate) fn without_tests(tokens: &[TokenTree]) -> Vec<TokenTree> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let (mut after, mut is_test) = (at, false);
        while let Some((attribute, next)) = attribute(tokens, after) {
            is_test |= is_test_attribute(&attribute);
            after = next;
        }
        if is_test {
            at = item_end(tokens, after);
            continue;
        }
        kept.extend(tokens.get(at..after.max(at + 1)).into_iter().flatten().map(without_tests_inside));
        at = after.max(at + 1);
    }
    kept
}

fn without_tests_inside(token: &TokenTree) -> TokenTree {
    let TokenTree::Group(group) = token else { return token.clone() };
    let mut left = Group::new(group.delimiter(), without_tests(&inner(group)).into_iter().collect());
    left.set_span(group.span());
    left.into()
}

/// `test`, `tokio::test(..)`, `cfg(test)`, `cfg(all(test, ..))`.
fn is_test_attribute(attribute: &[TokenTree]) -> bool {
    if is_word(attribute.first(), "cfg") {
        return has_word(attribute, "test") && !has_word(attribute, "not");
    }
    let path = attribute.split(|token| matches!(token, TokenTree::Group(_))).next().unwrap_or_default();
    is_word(path.last(), "test") && path.iter().all(|token| matches!(token, TokenTree::Ident(_) | TokenTree::Punct(_)))
}

/// Where the item that begins at `at` has ended: after its block, its semicolon, or the comma of a field.
fn item_end(tokens: &[TokenTree], at: usize) -> usize {
    let is_field = (at..at + 3).any(|at| {
        matches!(tokens.get(at), Some(TokenTree::Ident(_)))
            && is_punct(tokens.get(at + 1), ':')
            && !is_punct(tokens.get(at + 2), ':')
    });
    let is_end = |token: &TokenTree| match token {
        TokenTree::Punct(punct) => punct.as_char() == ';' || (is_field && punct.as_char() == ','),
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace && !is_field,
        _ => false,
    };
    let Some(end) = tokens.iter().skip(at).position(is_end) else { return tokens.len() };
    let end = at + end + 1;
    if is_punct(tokens.get(end), ';') { end + 1 } else { end }
}

/// Whether the word occurs as a token.
pub(crate) fn has_word(tokens: &[TokenTree], word: &str) -> bool {
    tokens.iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == word,
        TokenTree::Group(group) => has_word(&inner(group), word),
        _ => false,
    })
}

#[test]
fn what_belongs_to_tests_is_left_out() {
    for (source, kept) in [
        ("fn f() {} #[test] fn g() { 1 }", "fn f() {}"),
        ("#[cfg(test)] mod tests { fn g() {} } fn f() {}", "fn f() {}"),
        ("#[cfg(test)] mod tests; fn f() {}", "fn f() {}"),
        ("#[cfg(all(test, unix))] #[allow(x)] const A: T = T { a: 1 }; fn f() {}", "fn f() {}"),
        ("#[tokio::test(flavor = \"multi_thread\")] async fn g() {} fn f() {}", "fn f() {}"),
        ("struct S { a: u8, #[cfg(test)] b: Vec<(u8, u8)>, c: u8 }", "struct S { a: u8, c: u8 }"),
        ("impl S { #[cfg(test)] fn g(a: u8) {} fn f() {} }", "impl S { fn f() {} }"),
        ("#[cfg(not(test))] fn f() {}", "#[cfg(not(test))] fn f() {}"),
        ("#[cfg_attr(test, allow(x))] fn f() {}", "#[cfg_attr(test, allow(x))] fn f() {}"),
    ] {
        let left: TokenStream = without_tests(&tokens_of(source)).into_iter().collect();
        let kept: TokenStream = tokens_of(kept).into_iter().collect();
        assert_eq!(left.to_string(), kept.to_string(), "{source}");
    }
}
