//! Figures of style, counted over the code below `src` without tests, comments and blank lines.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenTree};

use crate::sources::{inner, is_punct, is_word, sources, tokens_of};

/// Most values that stand in for what is missing: `.unwrap_or(..)` and `.unwrap_or_default()` in 1,000 lines of code.
const DEFAULTS_PER_1000_MAX: f64 = 4.0;

/// Fewest assertions in 1,000 lines: `assert..!`, `debug_assert..!`, `expect("why it holds")`.
const ASSERTIONS_PER_1000_MIN: f64 = 1.0;

/// What was counted.
#[derive(Debug, Default)]
struct Figures {
    lines: BTreeSet<usize>,
    defaults: usize,
    assertions: usize,
}

impl Figures {
    fn of(tokens: &[TokenTree]) -> Self {
        let mut figures = Self::default();
        figures.count(tokens);
        figures
    }

    fn count(&mut self, tokens: &[TokenTree]) {
        for (at, token) in tokens.iter().enumerate() {
            let before = at.checked_sub(1).and_then(|before| tokens.get(before));
            match token {
                TokenTree::Group(group) => {
                    let inner = inner(group);
                    // a comment of documentation is an attribute by now
                    let is_documentation = is_word(inner.first(), "doc") && is_punct(inner.get(1), '=');
                    if is_documentation && (is_punct(before, '#') || is_punct(before, '!')) {
                        continue;
                    }
                    if group.delimiter() != Delimiter::None {
                        self.lines.insert(group.span_open().start().line);
                        self.lines.insert(group.span_close().end().line);
                    }
                    self.count(&inner);
                    continue;
                }
                TokenTree::Ident(word) => {
                    let word = word.to_string();
                    let argument = tokens.get(at + 1).and_then(arguments);
                    if let (true, Some(argument)) = (is_punct(before, '.'), argument) {
                        self.defaults += usize::from(["unwrap_or", "unwrap_or_default"].contains(&word.as_str()));
                        let is_text =
                            matches!(argument.first(), Some(TokenTree::Literal(_))) || is_punct(argument.first(), '&');
                        self.assertions += usize::from(word == "expect" && is_text);
                    }
                    let is_assertion = word.starts_with("assert") || word.starts_with("debug_assert");
                    self.assertions += usize::from(is_assertion && is_punct(tokens.get(at + 1), '!'));
                }
                TokenTree::Punct(punct) if punct.as_char() == '#' && is_documented(tokens, at) => continue,
                TokenTree::Punct(punct) if punct.as_char() == '!' && at > 0 && is_documented(tokens, at - 1) => {
                    continue;
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
            self.lines.extend(token.span().start().line..=token.span().end().line);
        }
    }
}

fn arguments(token: &TokenTree) -> Option<Vec<TokenTree>> {
    match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis => Some(inner(group)),
        _ => None,
    }
}

/// Whether a comment of documentation begins at `at`.
fn is_documented(tokens: &[TokenTree], at: usize) -> bool {
    let after = tokens.get(at + 1);
    let after = if is_punct(after, '!') { tokens.get(at + 2) } else { after };
    matches!(after, Some(TokenTree::Group(group)) if is_word(inner(group).first(), "doc"))
}

#[test]
fn values_that_stand_in_are_few_and_assertions_are_not() {
    let mut whole = (0, 0, 0);
    for source in sources() {
        let figures = Figures::of(&source.production());
        whole.0 += figures.lines.len();
        whole.1 += figures.defaults;
        whole.2 += figures.assertions;
    }
    let per_1000 = |count: usize| count as f64 * 1000.0 / whole.0 as f64;
    let (defaults, assertions) = (per_1000(whole.1), per_1000(whole.2));
    println!(
        "style: {} lines of code; .unwrap_or*: {} ({defaults:.1} in 1,000); assertions: {} ({assertions:.1})",
        whole.0, whole.1, whole.2
    );
    assert!(defaults <= DEFAULTS_PER_1000_MAX, "{defaults:.2} values that stand in for what is missing in 1,000 lines");
    assert!(assertions >= ASSERTIONS_PER_1000_MIN, "{assertions:.2} assertions in 1,000 lines");
}

#[test]
fn figures_count_code_and_neither_comments_nor_blank_lines() {
    for (text, lines, defaults, assertions) in [
        ("//! a\n\n// b\n/// c\nfn f() {\n}\n", 2, 0, 0),
        ("fn f() {\n    a.unwrap_or(1);\n    b.unwrap_or_default();\n    unwrap_or(1);\n}\n", 5, 2, 0),
        ("fn f() {\n    assert_eq!(1, 1);\n    debug_assert!(a.expect(\"b\").c); // d\n    a.expect(b);\n}", 5, 0, 3),
        ("const A: &str = \"a\n\nb\";\n", 3, 0, 0),
        ("#[allow(x)]\n/** a\n b */\nstruct S;\n", 2, 0, 0),
    ] {
        let figures = Figures::of(&tokens_of(text));
        assert_eq!(
            (figures.lines.len(), figures.defaults, figures.assertions),
            (lines, defaults, assertions),
            "{text}"
        );
    }
}
