//! The rules of a workspace, compiled, and what they make of a text.

use super::config::{Action, RuleSet, compiled};
use super::detectors::Detector;
use super::json::{self, Rewrite};
use super::prefilter::Candidates;
use super::sse;
use super::tally::Tally;
use crate::secret::Secret;
use crate::steps;
use hmac::{Hmac, KeyInit as _, Mac as _};
use regex::Regex;
use sha2::Sha256;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

/// JSON in a string of JSON is looked into so many times; deeper it is text.
const NESTED_MAX: usize = 8;
/// Bytes of a hash that are shown: 64 bits tell apart what one service sees.
const HASH_BYTES: usize = 8;
/// From this length on a text of nothing but base64 is a file: an image, a sound.
const FILE_BYTES_MIN: usize = 512;
/// Longest type of a file in a `data:` URL.
const MEDIA_TYPE_BYTES_MAX: usize = 128;
/// Name of the group that goes alone; others may have a number behind it.
const SECRET_GROUP: &str = "secret";
/// What values of keys are counted as.
const BY_KEY: &str = "key";

/// The rules of a workspace.
pub struct Rules {
    finders: Vec<Finder>,
    /// What the detectors find something by.
    candidates: Candidates,
    /// Whether there are keys, or forms of an operator: those may be in any text.
    is_any_text: bool,
    keys: HashMap<Box<str>, Action>,
    by_key: Arc<str>,
    /// Ready for a text; only there when something is hashed.
    hasher: Option<Hmac<Sha256>>,
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rules").field("finders", &self.finders).field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// What finds something.
#[derive(Debug)]
struct Finder {
    name: Arc<str>,
    regex: Regex,
    detector: Option<Detector>,
    /// Numbers of the groups that go alone.
    groups: Vec<usize>,
    action: Action,
}

/// A key whose value goes whole.
#[derive(Debug, Clone, Copy)]
pub struct KeyHit(Action);

/// Where something was found.
struct Found<'r> {
    at: Range<usize>,
    finder: &'r Finder,
}

impl Rules {
    /// The rules that are configured and sound; nothing when there are none.
    pub(super) fn compile(set: &RuleSet, hash_key: Option<&Secret>) -> Option<Self> {
        if set.is_empty() {
            return None;
        }
        let built_in = Detector::ALL.into_iter().filter(|detector| set.detectors.contains(detector));
        let built_in = built_in.map(|detector| {
            let regex = Regex::new(detector.form()).expect("the forms are sound");
            Finder::new(detector.name(), regex, Some(detector), set.action)
        });
        let own = set.patterns.iter().map(|pattern| {
            let regex = compiled(&pattern.regex).expect("the configuration was checked");
            Finder::new(&pattern.name, regex, None, pattern.action.unwrap_or(set.action))
        });
        let keys = set.keys.iter().map(|rule| (rule.key.as_str().into(), rule.action.unwrap_or(set.action)));
        let hasher = hash_key.map(|key| {
            Hmac::new_from_slice(key.reveal().as_bytes()).expect("a key of any length is one. Source: RFC 2104")
        });
        Some(Self {
            // an operator knows more of these texts than a form that fits all
            finders: own.chain(built_in).collect(),
            candidates: Candidates::of(set.detectors.iter().copied()),
            is_any_text: !set.patterns.is_empty() || !set.keys.is_empty(),
            keys: keys.collect(),
            by_key: BY_KEY.into(),
            hasher,
        })
    }

    /// Whether the value of this key goes whole.
    #[must_use]
    pub fn key(&self, key: &str) -> Option<KeyHit> {
        if self.keys.is_empty() { None } else { self.keys.get(key).copied().map(KeyHit) }
    }

    /// What stands in the place of the value of such a key; nothing when the key goes too.
    pub fn value_of_key(&self, KeyHit(action): KeyHit, value: &str, tally: &mut Tally) -> Option<String> {
        tally.count(&self.by_key);
        (action != Action::Remove).then(|| self.instead(&self.by_key, action, value))
    }

    /// The text without what is to go.
    pub fn text<'t>(&self, text: &'t str, tally: &mut Tally) -> Cow<'t, str> {
        self.nested(text, tally, NESTED_MAX)
    }

    /// A number without a text around it, as a text, if it is to go.
    pub fn number(&self, digits: &str, tally: &mut Tally) -> Option<String> {
        // what has a point or an exponent is no number of a card, as it is none in a text
        if !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
            return None;
        }
        let finder = self.finders.iter().find(|finder| {
            let finds = finder.detector.filter(|detector| detector.finds_numbers());
            finds.is_some_and(|detector| detector.accepted(digits) == Some(digits.len()))
        })?;
        tally.count(&finder.name);
        Some(self.instead(&finder.name, finder.action, digits))
    }

    fn nested<'t>(&self, text: &'t str, tally: &mut Tally, nested_left: usize) -> Cow<'t, str> {
        steps::take(text.len());
        if is_file(text) {
            return Cow::Borrowed(text);
        }
        let Some(left) = nested_left.checked_sub(1) else { return self.plain(text, tally) };
        let (is_json, is_stream) = (text.trim_start().starts_with(['{', '[']), sse::is_stream(text));
        if !is_json && !is_stream {
            return self.plain(text, tally);
        }
        if !self.is_any_text && !self.candidates.are_in(text) {
            return Cow::Borrowed(text);
        }
        if is_json {
            let mut found = Tally::default();
            if let Some(rewritten) = json::rewritten(self, text, &mut found, left) {
                tally.add(&found);
                return rewritten;
            }
        }
        if is_stream { self.stream(text, tally, left) } else { self.plain(text, tally) }
    }

    fn stream<'t>(&self, text: &'t str, tally: &mut Tally, nested_left: usize) -> Cow<'t, str> {
        let mut out = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            match sse::data_of(line) {
                Some((at, data)) => {
                    let (front, rest) = line.split_at(at);
                    out.push_str(front);
                    out.push_str(&self.nested(data, tally, nested_left));
                    out.push_str(rest.split_at(data.len()).1);
                }
                None => out.push_str(&self.plain(line, tally)),
            }
        }
        if out == text { Cow::Borrowed(text) } else { Cow::Owned(out) }
    }

    /// A text that is nothing but text.
    fn plain<'t>(&self, text: &'t str, tally: &mut Tally) -> Cow<'t, str> {
        if is_file(text) {
            return Cow::Borrowed(text);
        }
        let candidates = Candidates::in_text(text);
        let mut found: Vec<Found<'_>> = Vec::new();
        for finder in &self.finders {
            if finder.detector.is_none_or(|detector| candidates.has(detector)) {
                finder.find_in(text, &mut found);
            }
        }
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        found.sort_by_key(|found| found.at.start);
        let (mut out, mut end) = (String::with_capacity(text.len()), 0);
        for Found { at, finder } in found {
            out.push_str(text.get(end..at.start).unwrap_or_default());
            let secret = text.get(at.clone()).unwrap_or_default();
            out.push_str(&self.instead(&finder.name, finder.action, secret));
            tally.count(&finder.name);
            end = at.end;
        }
        out.push_str(text.get(end..).unwrap_or_default());
        Cow::Owned(out)
    }

    /// What stands in the place of something.
    fn instead(&self, name: &str, action: Action, secret: &str) -> String {
        match (action, &self.hasher) {
            (Action::Remove, _) => String::new(),
            (Action::Hash, Some(hasher)) => {
                let hash = hasher.clone().chain_update(name).chain_update([0]).chain_update(secret).finalize();
                let mut instead = format!("[{name}:");
                for byte in hash.into_bytes().iter().take(HASH_BYTES) {
                    let _to_a_string = write!(instead, "{byte:02x}");
                }
                instead.push(']');
                instead
            }
            // without a key, which the configuration is checked for
            (Action::Replace | Action::Hash, _) => format!("[REDACTED:{name}]"),
        }
    }
}

impl Rewrite for Rules {
    fn text<'t>(&self, text: &'t str, tally: &mut Tally, nested_left: usize) -> Cow<'t, str> {
        self.nested(text, tally, nested_left)
    }

    fn number(&self, digits: &str, tally: &mut Tally) -> Option<String> {
        self.number(digits, tally)
    }

    fn goes_whole(&self, key: &str) -> bool {
        self.key(key).is_some()
    }

    fn instead_of(&self, key: &str, value: &str, tally: &mut Tally) -> Option<String> {
        self.value_of_key(self.key(key)?, value, tally)
    }
}

impl Finder {
    fn new(name: &str, regex: Regex, detector: Option<Detector>, action: Action) -> Self {
        let named = regex.capture_names().enumerate();
        let groups = named.filter(|(_, name)| name.is_some_and(|name| name.starts_with(SECRET_GROUP)));
        let groups = groups.map(|(number, _)| number).collect();
        Self { name: name.into(), regex, detector, groups, action }
    }

    /// Adds what it finds, but for what another found before.
    fn find_in<'r>(&'r self, text: &str, found: &mut Vec<Found<'r>>) {
        let mut from = 0;
        while let Some(whole) = self.regex.find_at(text, from) {
            let accepted = match self.detector {
                Some(detector) => detector.accepted(whole.as_str()),
                None => Some(whole.len()),
            };
            let Some(length) = accepted.filter(|length| *length > 0) else {
                // what only looks like it may have one in it
                let Some(next) = next_letter(text, whole.start()) else { return };
                from = next;
                continue;
            };
            let whole = whole.start()..whole.start() + length;
            from = whole.end;
            let at = out_of_escape(text, self.secret_in(text, whole));
            if !at.is_empty() && found.iter().all(|other| other.at.end <= at.start || at.end <= other.at.start) {
                found.push(Found { at, finder: self });
            }
        }
    }

    /// The part of what was found that goes.
    fn secret_in(&self, text: &str, whole: Range<usize>) -> Range<usize> {
        if self.groups.is_empty() {
            return whole;
        }
        let Some(captures) = self.regex.captures_at(text, whole.start) else { return whole };
        let secret = self.groups.iter().find_map(|number| captures.get(*number));
        secret.map_or(whole, |secret| secret.range())
    }
}

fn next_letter(text: &str, at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    rest.char_indices().nth(1).map(|(width, _)| at + width)
}

/// In a text that is the inside of a JSON string, the first letter may be that of an escape, such as `\n`: that stays.
fn out_of_escape(text: &str, at: Range<usize>) -> Range<usize> {
    let before = text.as_bytes().get(..at.start).unwrap_or_default();
    let slashes = before.iter().rev().take_while(|byte| **byte == b'\\').count();
    let is_escape = slashes % 2 == 1 && text.get(at.clone()).is_some_and(|found| found.starts_with(ESCAPES));
    if is_escape { at.start + 1..at.end } else { at }
}

/// Letters of escapes that may begin something that is found. Source: RFC 8259, section 7.
const ESCAPES: [char; 5] = ['b', 'f', 'n', 'r', 't'];

/// A file as text has nothing to read.
fn is_file(text: &str) -> bool {
    let is_of_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=\r\n".contains(&byte);
    match text.strip_prefix("data:").and_then(|url| url.split_once(";base64,")) {
        Some((media, file)) if media.len() < MEDIA_TYPE_BYTES_MAX => file.bytes().all(is_of_base64),
        _ => text.len() >= FILE_BYTES_MIN && text.bytes().all(is_of_base64),
    }
}
