//! A span's attributes sorted into slots in one pass; the rules then look at slots alone.

use super::keys::{FAMILIES, Family, Meaning, Slot, meaning};
use crate::columns::typed::{SpanView, Text};
use crate::genai::cost::Usd;
use crate::genai::decimal::scaled;
use crate::steps;
use std::borrow::Cow;
use std::str;

/// The most slots there may be: a slot's number is its place.
const SLOTS: usize = 256;

/// Keys without what they have in common, and values, both as they came.
pub(crate) type Members<'a> = Vec<(&'a [u8], &'a [u8])>;

/// A span's attributes by what they mean.
pub(crate) struct Slots<'a> {
    values: [Option<&'a [u8]>; SLOTS],
    members: [Members<'a>; FAMILIES],
    /// Names behind `gen_ai.request.` that are no slots of their own.
    pub(crate) parameters: Members<'a>,
    /// Whether there is anything of content.
    pub(crate) has_content: bool,
}

impl<'a> Slots<'a> {
    pub(crate) fn of(span: &SpanView<'a>) -> Self {
        let mut slots =
            Self { values: [None; SLOTS], members: Default::default(), parameters: Vec::new(), has_content: false };
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
        match meaning(key) {
            Meaning::Slot(slot) if !is_blank(value) => self.set(slot, value),
            Meaning::Parameter(at) if !is_blank(value) => {
                self.parameters.push((key.get(at..).unwrap_or_default(), value))
            }
            Meaning::Member(family, at) => {
                if let Some(members) = self.members.get_mut(family as usize) {
                    members.push((key.get(at..).unwrap_or_default(), value));
                }
            }
            _ => {}
        }
    }

    fn set(&mut self, slot: Slot, value: &'a [u8]) {
        if let Some(place) = self.values.get_mut(slot as usize) {
            *place = Some(value);
        }
    }

    /// Takes what an event says that the span itself does not.
    pub(crate) fn complete(&mut self, key: &[u8], value: &'a [u8]) {
        if let Meaning::Slot(slot) = meaning(key)
            && !is_blank(value)
            && self.get(slot).is_none()
        {
            self.set(slot, value);
        }
    }

    /// The bytes of a slot, if there are any.
    #[inline]
    pub(crate) fn get(&self, slot: Slot) -> Option<&'a [u8]> {
        self.values.get(slot as usize).copied().flatten()
    }

    /// The text of a slot.
    pub(crate) fn text(&self, slot: Slot) -> Option<&'a str> {
        self.get(slot).and_then(as_text)
    }

    pub(crate) fn has(&self, slot: Slot) -> bool {
        self.get(slot).is_some()
    }

    /// The members of a family.
    pub(crate) fn members(&self, family: Family) -> &[(&'a [u8], &'a [u8])] {
        self.members.get(family as usize).map_or(&[], Vec::as_slice)
    }

    /// The first of several slots that has something.
    pub(crate) fn first(&self, sources: &[Slot]) -> Option<&'a [u8]> {
        sources.iter().find_map(|slot| self.get(*slot))
    }

    /// The same, where a text may stand in the quotes of JSON, as MLflow has it.
    pub(crate) fn first_text(&self, sources: &[Slot]) -> Option<Text<'a>> {
        sources.iter().find_map(|slot| match self.get(*slot)? {
            value if slot.key().starts_with("mlflow.") => unquoted(value),
            value => Some(Cow::Borrowed(value)),
        })
    }

    /// The first that is a count.
    pub(crate) fn first_count(&self, sources: &[Slot]) -> Option<u64> {
        sources.iter().find_map(|slot| count(self.text(*slot)?))
    }

    /// The first that is an amount of money.
    pub(crate) fn first_cost(&self, sources: &[Slot]) -> Option<Usd> {
        sources.iter().find_map(|slot| Usd::parse(self.text(*slot)?).ok())
    }
}

/// A value as text. It was checked when it was decoded, and is checked again because only its bytes came here.
fn as_text(bytes: &[u8]) -> Option<&str> {
    /// From this length on SIMD pays.
    const LONG: usize = 64;
    if bytes.len() < LONG { str::from_utf8(bytes).ok() } else { simdutf8::basic::from_utf8(bytes).ok() }
}

/// Whether a value says nothing: it counts as absent.
fn is_blank(value: &[u8]) -> bool {
    matches!(value, b"" | b"[]" | b"null" | b"\"\"")
}

/// A text without the quotes of JSON around it.
pub(crate) fn unquoted(value: &[u8]) -> Option<Text<'_>> {
    let text = match value {
        [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => Cow::Borrowed(inner),
        [b'"', .., b'"'] => match serde_json::from_slice::<String>(value) {
            Ok(text) => Cow::Owned(text.into_bytes()),
            Err(_) => Cow::Borrowed(value),
        },
        _ => Cow::Borrowed(value),
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
    fn quotes_of_json_go() {
        for (value, want) in
            [("\"a\"", Some("a")), ("a", Some("a")), ("\"a\\u0062\"", Some("ab")), ("\"\"", None), ("\"", Some("\""))]
        {
            assert_eq!(unquoted(value.as_bytes()).as_deref(), want.map(str::as_bytes));
        }
    }
}
