//! Keys with numbers in them, put together to the JSON they were taken apart from.
//!
//! ```text
//! 10.role = user          [{"content":"hi","role":"user"},
//! 2.content = hi     ->    {"role":"user"}]
//! 2.role = user
//! ```
//!
//! Keys are sorted, their numbers as numbers, and written in one pass: what a number says is only the order, so no key can
//! ask for more room than its own bytes.

use super::Made;
use super::forms::Form;
use crate::chat::json::Document;
use crate::chat::json_text::write_string;
use crate::dialects::read_json;
use std::cmp::Ordering;
use std::str;

/// Deepest nesting of what is put together; what lies deeper is left out.
const DEPTH_MAX: usize = 12;

/// A key's segments that are still to come.
#[derive(Debug, Clone, Copy)]
struct Path<'a> {
    rest: &'a [u8],
    /// A segment that one of the key's was taken apart into.
    next: &'static [u8],
}

impl<'a> Path<'a> {
    fn segment(&mut self) -> Option<&'a [u8]> {
        if !self.next.is_empty() {
            return Some(std::mem::take(&mut self.next));
        }
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let end = self.rest.iter().position(|byte| *byte == b'.').unwrap_or(self.rest.len());
            let (segment, behind) = self.rest.split_at(end);
            self.rest = behind.get(1..).unwrap_or_default();
            match segment {
                // words that only wrap what follows
                b"message" | b"message_content" | b"tool_call" | b"tool" => {}
                b"function_call_name" => {
                    self.next = b"name";
                    return Some(b"function_call");
                }
                b"function_call_arguments_json" => {
                    self.next = b"arguments";
                    return Some(b"function_call");
                }
                segment => return Some(segment),
            }
        }
    }

    fn is_at_end(self) -> bool {
        let mut ahead = self;
        ahead.segment().is_none()
    }
}

fn compare(one: Path<'_>, other: Path<'_>) -> Ordering {
    let (mut one, mut other) = (one, other);
    loop {
        let order = match (one.segment(), other.segment()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(one), Some(other)) => compare_segments(one, other),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Numbers before names, by their value however long they are.
fn compare_segments(one: &[u8], other: &[u8]) -> Ordering {
    match (number(one), number(other)) {
        (Some(one), Some(other)) => one.len().cmp(&other.len()).then_with(|| one.cmp(other)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => one.cmp(other),
    }
}

/// The digits of a number, without zeros before it.
fn number(segment: &[u8]) -> Option<&[u8]> {
    if segment.is_empty() || !segment.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let zeros = segment.iter().take_while(|digit| **digit == b'0').count();
    segment.get(zeros..)
}

/// The JSON of keys and values, a list; `None` when there are none.
pub(super) fn json(members: &[(&[u8], &[u8])]) -> Option<String> {
    let mut entries: Vec<_> = members.iter().map(|(key, value)| (Path { rest: key, next: &[] }, *value)).collect();
    if entries.is_empty() {
        return None;
    }
    entries.sort_by(|(one, _), (other, _)| compare(*one, *other));
    let mut out = String::new();
    write(&mut out, &mut entries, b"", 0);
    Some(out)
}

fn write(out: &mut String, entries: &mut [(Path<'_>, &[u8])], name: &[u8], depth: usize) {
    let Some((path, value)) = entries.first().copied() else {
        return out.push_str("null");
    };
    if path.is_at_end() || depth >= DEPTH_MAX {
        return write_value(out, name, value);
    }
    let is_list = {
        let mut ahead = path;
        ahead.segment().is_some_and(|segment| number(segment).is_some())
    };
    out.push(if is_list { '[' } else { '{' });
    let mut rest = entries;
    let mut is_first = true;
    while let Some((path, _)) = rest.first_mut() {
        let segment = path.segment().unwrap_or_default();
        let mut alike = 1;
        while let Some((path, _)) = rest.get_mut(alike) {
            let mut ahead = *path;
            if compare_segments(ahead.segment().unwrap_or_default(), segment) != Ordering::Equal {
                break;
            }
            *path = ahead;
            alike += 1;
        }
        let (group, behind) = rest.split_at_mut(alike);
        if !std::mem::take(&mut is_first) {
            out.push(',');
        }
        if !is_list {
            write_string(out, str::from_utf8(segment).unwrap_or_default());
            out.push(':');
        }
        write(out, group, segment, depth + 1);
        rest = behind;
    }
    out.push(if is_list { ']' } else { '}' });
}

/// A value as a text; where JSON is put into a text, as what it says.
fn write_value(out: &mut String, name: &[u8], value: &[u8]) {
    let text = str::from_utf8(value).unwrap_or_default();
    let may_be_json = match name {
        b"content" => text.starts_with('['),
        b"json_schema" | b"parameters" => text.starts_with('{'),
        _ => false,
    };
    let is_json = may_be_json
        && read_json(text).is_ok_and(|document| {
            name != b"content" || document.root().items().all(|item| item.is_object() && item.get("type").is_some())
        });
    if is_json { out.push_str(text) } else { write_string(out, text) }
}

/// Messages of a family of keys.
pub(super) fn messages(members: &[(&[u8], &[u8])], form: Form<'_>) -> Option<Made<'static>> {
    let document = read_json(json(members)?).ok()?;
    form.list(document.root().items())
}

/// LiteLLM's calls of functions, which it numbers by themselves: `gen_ai.completion.0.function_call.name`.
pub(super) fn function_calls(members: &[(&[u8], &[u8])]) -> Option<Document<'static>> {
    let is_call = |key: &[u8]| {
        let behind = key.iter().position(|byte| *byte == b'.').and_then(|dot| key.get(dot..));
        behind.is_some_and(|behind| behind.starts_with(b".function_call."))
    };
    let calls: Vec<_> = members.iter().filter(|(key, _)| is_call(key)).copied().collect();
    read_json(json(&calls)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put_together(members: &[(&str, &str)]) -> String {
        let members: Vec<_> = members.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes())).collect();
        json(&members).unwrap_or_default()
    }

    #[test]
    fn numbers_are_sorted_as_numbers_and_only_order() {
        let members = [
            ("10.role", "c"),
            ("2.role", "b"),
            ("00.role", "a"),
            ("99999999999999999999999999.role", "e"),
            ("4000000000.role", "d"),
        ];
        assert_eq!(put_together(&members), r#"[{"role":"a"},{"role":"b"},{"role":"c"},{"role":"d"},{"role":"e"}]"#);
    }

    #[test]
    fn wrapping_words_go_and_joined_words_part() {
        let members = [
            ("0.message.contents.1.message_content.image.image.url", "u"),
            ("0.message.contents.0.message_content.text", "t"),
            ("0.message.function_call_name", "f"),
            ("0.message.function_call_arguments_json", "{}"),
            ("0.message.tool_calls.0.tool_call.function.name", "g"),
        ];
        let want = r#"[{"contents":[{"text":"t"},{"image":{"image":{"url":"u"}}}],"function_call":{"arguments":"{}","name":"f"},"tool_calls":[{"function":{"name":"g"}}]}]"#;
        assert_eq!(put_together(&members), want);
    }

    #[test]
    fn a_value_hides_what_lies_below_it() {
        assert_eq!(put_together(&[("0.a.b", "2"), ("0.a", "1")]), r#"[{"a":"1"}]"#);
        let deep = format!("0{}", ".a".repeat(50_000));
        assert!(read_json(put_together(&[(&deep, "x")])).is_ok());
    }
}
