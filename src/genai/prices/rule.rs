//! Whether a name is the one that a provider or a model goes by.

use std::sync::OnceLock;

use regex::bytes::{Regex, RegexBuilder};

/// Most bytes that a compiled expression may take.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// A rule about a name. Names are compared in lower case.
#[derive(Debug)]
pub(super) enum Rule {
    Equals(Box<str>),
    StartsWith(Box<str>),
    EndsWith(Box<str>),
    Contains(Box<str>),
    Regex(Pattern),
    Or(Box<[Rule]>),
    And(Box<[Rule]>),
    Not(Box<Rule>),
}

/// A regular expression, compiled when it is first looked for: few are.
#[derive(Debug)]
pub(super) struct Pattern {
    text: Box<str>,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    pub(super) fn new(text: String) -> Self {
        Self { text: text.into(), compiled: OnceLock::new() }
    }

    /// What is wrong with it.
    ///
    /// # Errors
    /// If it is no regular expression.
    pub(super) fn check(&self) -> Result<(), regex::Error> {
        compile(&self.text).map(drop)
    }

    fn is_in(&self, name: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| compile(&self.text).ok());
        compiled.as_ref().is_some_and(|regex| regex.is_match(name.as_bytes()))
    }
}

fn compile(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).unicode(false).size_limit(REGEX_BYTES_MAX).dfa_size_limit(REGEX_BYTES_MAX).build()
}

impl Rule {
    /// Whether it holds for a name in lower case.
    pub(super) fn holds(&self, name: &str) -> bool {
        match self {
            Self::Equals(text) => name == &**text,
            Self::StartsWith(text) => name.starts_with(&**text),
            Self::EndsWith(text) => name.ends_with(&**text),
            Self::Contains(text) => name.contains(&**text),
            Self::Regex(pattern) => pattern.is_in(name),
            Self::Or(rules) => rules.iter().any(|rule| rule.holds(name)),
            Self::And(rules) => rules.iter().all(|rule| rule.holds(name)),
            Self::Not(rule) => !rule.holds(name),
        }
    }

    /// The part of it that holds for a name, in words.
    pub(super) fn reason(&self, name: &str) -> String {
        match self {
            Self::Equals(text) => format!("equals {text:?}"),
            Self::StartsWith(text) => format!("starts_with {text:?}"),
            Self::EndsWith(text) => format!("ends_with {text:?}"),
            Self::Contains(text) => format!("contains {text:?}"),
            Self::Regex(pattern) => format!("regex {:?}", pattern.text),
            Self::Or(rules) => {
                let holding = rules.iter().find(|rule| rule.holds(name));
                holding.map_or_else(String::new, |rule| rule.reason(name))
            }
            Self::And(rules) => rules.iter().map(|rule| rule.reason(name)).collect::<Vec<_>>().join(" and "),
            Self::Not(rule) => format!("not {}", rule.reason(name)),
        }
    }

    /// The expressions in it.
    pub(super) fn patterns(&self) -> Vec<&Pattern> {
        match self {
            Self::Regex(pattern) => vec![pattern],
            Self::Or(rules) | Self::And(rules) => rules.iter().flat_map(Self::patterns).collect(),
            Self::Not(rule) => rule.patterns(),
            Self::Equals(_) | Self::StartsWith(_) | Self::EndsWith(_) | Self::Contains(_) => Vec::new(),
        }
    }
}

/// `gpt-5.2-2025-12-11` for `gpt-5.2-20251211`, as LiteLLM and OpenRouter write dates; `None` without such a date.
pub(super) fn with_dashed_dates(name: &str) -> Option<String> {
    const LEN: usize = "-20251211".len();
    let mut out = String::new();
    let mut rest = name;
    while let Some(dash) = rest.find('-') {
        let (before, from) = rest.split_at(dash);
        let date = from.get(..LEN).filter(|_| matches!(from.as_bytes().get(LEN), None | Some(b'-' | b':')));
        let taken = match date.and_then(dashed) {
            Some(dashed) => {
                out.push_str(before);
                out.push_str(&dashed);
                dash + LEN
            }
            None => {
                out.push_str(before);
                out.push('-');
                dash + 1
            }
        };
        rest = rest.get(taken..)?;
    }
    out.push_str(rest);
    (out != name).then_some(out)
}

/// `-2025-12-11` for `-20251211`, if there is such a day.
fn dashed(date: &str) -> Option<String> {
    let digits = date.strip_prefix('-')?;
    if !digits.starts_with("20") || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let part = |range: std::ops::Range<usize>| digits.get(range)?.parse::<i8>().ok();
    let year = digits.get(..4)?;
    jiff::civil::Date::new(year.parse().ok()?, part(4..6)?, part(6..8)?).ok()?;
    Some(format!("-{year}-{}-{}", digits.get(4..6)?, digits.get(6..8)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_hold_as_their_names_say() {
        let text = |text: &str| text.into();
        let regex = |text: &str| Rule::Regex(Pattern::new(text.to_owned()));
        let both = |one, other| Rule::And([one, other].into());
        for (rule, name, want) in [
            (Rule::Equals(text("gpt-5")), "gpt-5", true),
            (Rule::Equals(text("gpt-5")), "gpt-5-mini", false),
            (Rule::StartsWith(text("gpt-")), "gpt-5", true),
            (Rule::EndsWith(text(":free")), "x:free", true),
            (Rule::Contains(text("claude")), "us.claude-3", true),
            (regex(r"^o[134]"), "o3-mini", true),
            (regex(r"o[134]$"), "gpt-4o", false),
            (regex(r"-\d{8}$"), "claude-20250101", true),
            (Rule::Or([Rule::Equals(text("a")), Rule::Equals(text("b"))].into()), "b", true),
            (both(Rule::Contains(text("a")), Rule::Not(Box::new(Rule::Contains(text("b"))))), "ac", true),
            (both(Rule::Contains(text("a")), Rule::Not(Box::new(Rule::Contains(text("b"))))), "ab", false),
        ] {
            assert_eq!(rule.holds(name), want, "{rule:?} {name}");
        }
        assert!(Pattern::new("(".to_owned()).check().is_err());
    }

    #[test]
    fn dates_without_dashes_get_them_if_they_are_days() {
        for (name, want) in [
            ("gpt-5.2-20251211", Some("gpt-5.2-2025-12-11")),
            ("a-20251211:free", Some("a-2025-12-11:free")),
            ("a-20251211-b-20240229", Some("a-2025-12-11-b-2024-02-29")),
            ("a-20250229", None),
            ("a-202512111", None),
            ("a-20251311", None),
            ("a-19991211", None),
            ("gpt-5", None),
            ("-", None),
            ("é-2025121é", None),
        ] {
            assert_eq!(with_dashed_dates(name).as_deref(), want, "{name}");
        }
    }
}
