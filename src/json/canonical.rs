//! The canonical form of JSON: keys sorted at every level, strings escaped one way, no white space, numbers as written.
//!
//! Two bodies that differ only in the order of members, in white space or in escapes have the same canonical form, so
//! a sender that serialises a repeat anew still repeats.

use std::hash::Hasher as _;

use twox_hash::XxHash3_64;

use crate::json::document::{Kind, Value};
use crate::numbers::to_u64;
use crate::steps;
use crate::text::write_string;

/// A hash over values in canonical form. Each is written once, and may be hashed elsewhere too.
#[derive(Default)]
pub(crate) struct CanonicalHash<'d> {
    hash: XxHash3_64,
    text: String,
    /// As in [`write_value`]; empty between values.
    open: Vec<Member<'d>>,
}

impl<'d> CanonicalHash<'d> {
    /// Adds a value; gives its canonical text.
    pub(crate) fn value(&mut self, value: Value<'d>) -> &str {
        self.text.clear();
        self.text.reserve(value.raw().len());
        write_value(&mut self.text, value, &mut self.open);
        steps::take(self.text.len());
        self.hash.write(self.text.as_bytes());
        // a value's text says where it ends, but for a number's
        self.hash.write(b"\n");
        &self.text
    }

    /// Adds a value under a name; gives its canonical text.
    pub(crate) fn member(&mut self, name: &str, value: Value<'d>) -> &str {
        self.part(name);
        self.value(value)
    }

    /// Adds a text under a name.
    pub(crate) fn text(&mut self, name: &str, text: &str) {
        self.part(name);
        self.part(text);
    }

    /// Adds the members of an object that `is_open` holds for, in the order of their names.
    pub(crate) fn members(&mut self, object: Value<'d>, is_open: impl Fn(Value<'d>, Value<'d>) -> bool) {
        let mut members: Vec<_> = object.members().filter(|(key, value)| is_open(*key, *value)).collect();
        sort(&mut members);
        for (key, value) in members {
            self.value(key);
            self.value(value);
        }
    }

    fn part(&mut self, text: &str) {
        self.hash.write(&to_u64(text.len()).to_le_bytes());
        self.hash.write(text.as_bytes());
    }

    pub(crate) fn finish(&self) -> u64 {
        self.hash.finish()
    }
}

/// Writes the canonical form of `value`.
pub(crate) fn write(out: &mut String, value: Value<'_>) {
    write_value(out, value, &mut Vec::new());
}

/// `open` holds the members of the objects that are being written, so that one list serves them all.
fn write_value<'d>(out: &mut String, value: Value<'d>, open: &mut Vec<Member<'d>>) {
    match value.kind() {
        Kind::Object => write_object(out, value, open),
        Kind::Array => {
            out.push('[');
            for (index, item) in value.items().enumerate() {
                separate(out, index);
                write_value(out, item, open);
            }
            out.push(']');
        }
        Kind::Plain => {
            steps::take(value.raw().len());
            out.push('"');
            out.push_str(value.raw());
            out.push('"');
        }
        Kind::Escaped | Kind::Broken => write_string(out, &value.text()),
        Kind::Null | Kind::True | Kind::False | Kind::Number | Kind::NotFinite => out.push_str(value.raw()),
    }
}

/// A member's name and value.
type Member<'d> = (Value<'d>, Value<'d>);

fn write_object<'d>(out: &mut String, object: Value<'d>, open: &mut Vec<Member<'d>>) {
    let first = open.len();
    open.extend(object.members());
    sort(open.split_at_mut(first).1);
    out.push('{');
    let count = open.len() - first;
    for index in 0..count {
        let Some((key, value)) = open.get(first + index).copied() else {
            break;
        };
        separate(out, index);
        write_value(out, key, open);
        out.push(':');
        write_value(out, value, open);
    }
    open.truncate(first);
    out.push('}');
}

/// Members of one name keep their order.
fn sort(members: &mut [Member<'_>]) {
    // escapes are rare in names: only then are they decoded to be compared
    if members.iter().all(|(key, _)| key.kind() == Kind::Plain) {
        members.sort_by(|(left, _), (right, _)| {
            steps::take(left.raw().len().min(right.raw().len()));
            left.raw().cmp(right.raw())
        });
    } else {
        members.sort_by_cached_key(|(key, _)| key.text().into_owned());
    }
}

fn separate(out: &mut String, index: usize) {
    if index > 0 {
        out.push(',');
    }
}

#[cfg(test)]
mod tests {
    use crate::json::document::Document;

    fn canonical(text: &str) -> String {
        let mut out = String::new();
        super::write(&mut out, Document::parse(text).unwrap().root());
        out
    }

    #[test]
    fn order_space_and_escapes_do_not_matter_but_number_text_does() {
        let want = r#"{"a":[1,2.50,{"x":null,"y":"é/\n"}],"b":true}"#;
        assert_eq!(canonical(r#" {"b":true, "a":[1, 2.50, {"y":"\u00e9\/\u000a","x":null}]} "#), want);
        assert_eq!(canonical(want), want);
        assert_ne!(canonical("[1.0]"), canonical("[1]"));
    }
}
