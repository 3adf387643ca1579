//! A span's attributes sorted into slots in one pass; the rules then look at slots alone.

use super::keys::{FAMILIES, Family, KEYS, Slot};
use super::meaning::{Meaning, meaning};
use crate::columns::typed::{SpanView, text_of};
use crate::conventions::read_json;
use crate::genai::call::{Text, is_blank};
use crate::genai::cost::Given;
use crate::genai::decimal::scaled;
use crate::genai::usage::first_told;
use crate::json::document::Document;
use crate::steps;
use std::borrow::Cow;

/// How many slots there are: a slot's number is its place.
const SLOTS: usize = KEYS.len();

/// Keys without what they have in common, and values, both as they came.
pub(crate) type Members<'a> = Vec<(&'a str, &'a str)>;

/// A span's attributes by what they mean.
pub(crate) struct Slots<'a> {
    values: [Option<&'a str>; SLOTS],
    members: [Members<'a>; FAMILIES],
    /// Names after `gen_ai.request.` that are not slots of their own.
    pub(crate) parameters: Members<'a>,
    /// Whether there is anything of content.
    pub(crate) has_content: bool,
    /// Which parts the sender leaves out of its totals.
    pub(crate) beside: Beside,
}

/// Parts that a sender counts beside the totals they belong to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Beside {
    /// Cached tokens are not part of the input.
    pub(crate) cache: bool,
    /// Reasoning is not part of the output.
    pub(crate) reasoning: bool,
    /// So many tokens are not part of the input.
    pub(crate) input: u64,
}

impl<'a> Slots<'a> {
    pub(crate) fn of(span: &SpanView<'a>) -> Self {
        let mut slots = Self {
            values: [None; SLOTS],
            members: Default::default(),
            parameters: Vec::new(),
            has_content: false,
            beside: Beside::default(),
        };
        for (key, value) in span.attributes.iter() {
            slots.put(key, value);
        }
        for (key, value) in span.content.iter() {
            slots.has_content = true;
            slots.put(key, value);
        }
        slots
    }

    fn put(&mut self, key: &'a [u8], value: &'a [u8]) {
        steps::take(1 + key.len());
        let (meaning, value) = match meaning(key) {
            Meaning::None | Meaning::Content => return,
            meaning => (meaning, text_of(value)),
        };
        match meaning {
            Meaning::Slot(slot) if !is_blank(value) => self.set(slot, value),
            Meaning::Parameter(at) if !is_blank(value) => self.parameters.extend(end_of(key, at).zip(Some(value))),
            Meaning::Member(family, at) => {
                if let Some(members) = self.members.get_mut(family as usize) {
                    members.extend(end_of(key, at).zip(Some(value)));
                }
            }
            _ => {}
        }
    }

    pub(crate) fn set(&mut self, slot: Slot, value: &'a str) {
        if let Some(place) = self.values.get_mut(slot as usize) {
            *place = Some(value);
        }
    }

    /// Takes what an event says that the span itself does not.
    pub(crate) fn complete(&mut self, key: &[u8], value: &'a [u8]) {
        if let Meaning::Slot(slot) = meaning(key)
            && !self.has(slot)
            && let value = text_of(value)
            && !is_blank(value)
        {
            self.set(slot, value);
        }
    }

    /// The text of a slot, if there is any.
    #[inline]
    pub(crate) fn get(&self, slot: Slot) -> Option<&'a str> {
        self.values.get(slot as usize).copied().flatten()
    }

    pub(crate) fn has(&self, slot: Slot) -> bool {
        self.get(slot).is_some()
    }

    /// A slot's text as JSON, if it is JSON.
    pub(crate) fn json(&self, slot: Slot) -> Option<Document<'a>> {
        read_json(self.get(slot)?).ok()
    }

    /// The members of a family.
    pub(crate) fn members(&self, family: Family) -> &[(&'a str, &'a str)] {
        self.members.get(family as usize).map_or(&[], Vec::as_slice)
    }

    /// The first of several slots that has something.
    pub(crate) fn first(&self, sources: &[Slot]) -> Option<&'a str> {
        sources.iter().find_map(|slot| self.get(*slot))
    }

    /// The same, where a text may stand in the quotes of JSON, as MLflow has it.
    pub(crate) fn first_text(&self, sources: &[Slot]) -> Option<Text<'a>> {
        sources.iter().find_map(|slot| match self.get(*slot)? {
            value if slot.key().starts_with("mlflow.") => unquoted(value),
            value => Some(Cow::Borrowed(value)),
        })
    }

    /// The first that is a count and not zero, else zero if one is.
    pub(crate) fn first_count(&self, sources: &[Slot]) -> Option<u64> {
        first_told(sources.iter().filter_map(|slot| count(self.get(*slot)?)))
    }

    /// The first that is an amount of money; without one, whether any of them has something.
    pub(crate) fn first_cost(&self, sources: &[Slot]) -> Given {
        let given = |slot: &Slot| self.get(*slot).map_or(Given::Absent, Given::of_text);
        sources.iter().fold(Given::Absent, |found, slot| found.or_else(|| given(slot)))
    }
}

/// A key from byte `at` on.
fn end_of(key: &[u8], at: usize) -> Option<&str> {
    key.get(at..).map(text_of)
}

/// A text without the quotes of JSON around it.
pub(crate) fn unquoted(value: &str) -> Option<Text<'_>> {
    let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    let text = match inner {
        Some(inner) if !inner.contains('\\') => Cow::Borrowed(inner),
        Some(_) => serde_json::from_str::<String>(value).map_or(Cow::Borrowed(value), Cow::Owned),
        None => Cow::Borrowed(value),
    };
    Some(text).filter(|text| !text.is_empty())
}

/// A whole number of things, however it is written: `12`, `12.0`, `1.2e1`.
pub(crate) fn count(text: &str) -> Option<u64> {
    let text = text.trim();
    if let Ok(count) = text.parse() {
        return Some(count);
    }
    let whole = scaled(text, 0).ok()?;
    // a fraction shows at a finer scale
    (scaled(text, 3).ok()? == whole.checked_mul(1_000)?).then_some(whole)
}

/// `true` and `false`, as JSON and as Python write them.
pub(crate) fn truth(text: &str) -> Option<bool> {
    let is = |word: &str| text.trim().eq_ignore_ascii_case(word);
    is("true").then_some(true).or_else(|| is("false").then_some(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_whole_numbers_in_any_notation() {
        for (text, want) in [
            ("0", Some(0)),
            ("12", Some(12)),
            (" 12 ", Some(12)),
            ("12.0", Some(12)),
            ("1.2e1", Some(12)),
            ("9007199254740993", Some(9_007_199_254_740_993)),
            ("12.5", None),
            ("-1", None),
            ("NaN", None),
            ("twelve", None),
            ("", None),
        ] {
            assert_eq!(count(text), want, "{text}");
        }
    }

    #[test]
    fn the_quotes_of_a_json_string_are_removed() {
        for (value, want) in
            [("\"a\"", Some("a")), ("a", Some("a")), ("\"a\\u0062\"", Some("ab")), ("\"\"", None), ("\"", Some("\""))]
        {
            assert_eq!(unquoted(value).as_deref(), want);
        }
    }
}
