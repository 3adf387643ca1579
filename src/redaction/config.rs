//! The section `redaction` of the configuration.
//!
//! ```text
//! redaction:
//!   detectors: [api_key, email]                       what is found by its form
//!   patterns: [{ name: order, regex: 'ORD-[0-9]{8}' }]  what is found by a form of your own
//!   keys: [{ key: user.email, action: hash }]         what goes whole, whatever it is
//!   action: replace                                   hash, remove
//!   workspaces: { audit: { detectors: [] } }          other rules for one workspace
//! ```

use super::detectors::Detector;
use crate::secret::Secret;
use crate::workspace::Workspace;
use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most patterns, and most keys, of one workspace.
const RULES_MAX: usize = 128;
/// Longest name of a pattern, regular expression, or key.
const NAME_BYTES_MAX: usize = 64;
const REGEX_BYTES_MAX: usize = 4_096;
const KEY_BYTES_MAX: usize = 256;
/// Shortest key for hashes: what has fewer bytes is tried out.
const HASH_KEY_BYTES_MIN: usize = 16;

/// Most memory of a compiled regular expression.
const REGEX_SIZE_MAX: usize = 1 << 20;

/// A regular expression in the syntax that operators write, within its bounds.
pub(super) fn compiled(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).size_limit(REGEX_SIZE_MAX).build()
}

/// What becomes of what is found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// `[REDACTED:email]` stands in its place.
    #[default]
    Replace,
    /// `[email:0f3a...]`: the same text has the same hash, under `redaction.hash_key`.
    Hash,
    /// Nothing stands in its place; an attribute goes with its key.
    Remove,
}

/// A regular expression of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// What it finds: a word of small letters, digits and `_`.
    pub name: String,
    /// In the syntax of the crate `regex`, which takes linear time. A group named `secret` goes alone.
    pub regex: String,
    /// Absent: that of the section.
    #[serde(default)]
    pub action: Option<Action>,
}

/// A key whose value goes whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRule {
    /// Key of an attribute, or name of a member of a JSON object.
    pub key: String,
    /// Absent: that of the section.
    #[serde(default)]
    pub action: Option<Action>,
}

/// The rules of a workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuleSet {
    /// What is found by its form.
    pub detectors: Vec<Detector>,
    /// What is found by a form of the operator's own.
    pub patterns: Vec<Pattern>,
    /// What goes whole.
    pub keys: Vec<KeyRule>,
    /// What becomes of it, unless a rule says otherwise.
    pub action: Action,
}

/// What is taken out of requests before it is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// What is found by its form.
    pub detectors: Vec<Detector>,
    /// What is found by a form of the operator's own.
    pub patterns: Vec<Pattern>,
    /// Attributes that go whole.
    pub keys: Vec<KeyRule>,
    /// What becomes of it, unless a rule says otherwise.
    pub action: Action,
    /// The key of all hashes.
    pub hash_key: Option<Secret>,
    /// Workspaces with rules of their own, instead of those above.
    pub workspaces: BTreeMap<String, RuleSet>,
}

impl Pattern {
    /// What is wrong with it, each by its key.
    fn problems(&self) -> Vec<String> {
        let Self { name, regex, .. } = self;
        let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let is_name = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_word);
        let name = (!is_name).then(|| format!("name: {name:?} must be 1 to {NAME_BYTES_MAX} of a-z, 0-9 and _"));
        let regex = if regex.len() > REGEX_BYTES_MAX {
            Some(format!("regex: must have at most {REGEX_BYTES_MAX} bytes"))
        } else {
            compiled(regex).err().map(|error| {
                let said = error.to_string();
                // the lines before the last one show the expression
                let last = said.rsplit_once('\n').map_or(said.as_str(), |(_, last)| last);
                format!("regex: {}", last.trim_start_matches("error: "))
            })
        };
        name.into_iter().chain(regex).collect()
    }
}

impl Config {
    /// Those for workspaces without rules of their own.
    pub(super) fn rules_of_all(&self) -> RuleSet {
        let Self { detectors, patterns, keys, action, .. } = self.clone();
        RuleSet { detectors, patterns, keys, action }
    }

    /// All sets of rules, with the key in front of theirs.
    fn sets(&self) -> Vec<(String, RuleSet)> {
        let own = self.workspaces.iter().map(|(name, set)| (format!("redaction.workspaces.{name}"), set.clone()));
        std::iter::once(("redaction".to_owned(), self.rules_of_all())).chain(own).collect()
    }

    /// All that is wrong with it, each by its key.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let names = self.workspaces.keys().filter_map(|name| Some((name, Workspace::new(name).err()?)));
        let names = names.map(|(name, error)| format!("redaction.workspaces.{name}: {error}"));
        let sets = self.sets().into_iter().flat_map(|(place, set)| set.problems(&place, self.hash_key.as_ref()));
        names.chain(sets).collect()
    }
}

impl RuleSet {
    /// Whether nothing is taken out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.detectors.is_empty() && self.patterns.is_empty() && self.keys.is_empty()
    }

    fn problems(&self, place: &str, hash_key: Option<&Secret>) -> Vec<String> {
        let mut problems = Vec::new();
        for (what, number) in [("patterns", self.patterns.len()), ("keys", self.keys.len())] {
            if number > RULES_MAX {
                problems.push(format!("{place}.{what}: {number} are more than {RULES_MAX}"));
            }
        }
        for (number, pattern) in self.patterns.iter().enumerate() {
            problems.extend(pattern.problems().into_iter().map(|why| format!("{place}.patterns[{number}].{why}")));
        }
        for (number, KeyRule { key, .. }) in self.keys.iter().enumerate() {
            if !(1..=KEY_BYTES_MAX).contains(&key.len()) {
                problems.push(format!("{place}.keys[{number}].key: must have 1 to {KEY_BYTES_MAX} bytes"));
            }
        }
        match hash_key.map(|key| key.reveal().len()) {
            Some(HASH_KEY_BYTES_MIN..) => {}
            _ if !self.hashes() => {}
            Some(bytes) => problems.push(format!(
                "redaction.hash_key: has {bytes} bytes, and must have {HASH_KEY_BYTES_MIN} or more: a short one can be guessed"
            )),
            None => problems.push(format!(
                "redaction.hash_key: is needed for the action hash (in {place}); without a key a hash can be looked up"
            )),
        }
        problems
    }

    fn hashes(&self) -> bool {
        let own = self.patterns.iter().map(|rule| rule.action).chain(self.keys.iter().map(|rule| rule.action));
        !self.is_empty() && (own.flatten().any(|action| action == Action::Hash) || self.action == Action::Hash)
    }
}
