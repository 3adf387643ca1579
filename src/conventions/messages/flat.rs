//! Keys with numbers in them, put together to the JSON they were taken apart from.
//!
//! ```text
//! 10.role = user          [{"content":"hi","role":"user"},
//! 2.content = hi     ->    {"role":"user"}]
//! 2.role = user
//! ```
//!
//! Each key is written as a path whose bytes compare as its segments do, numbers as numbers. The paths are sorted and written
//! in one pass: a number only says the order, so no key can ask for more room than its own bytes, and no comparison
//! reads more than what two keys have in common.

use super::NormalizedMessages;
use super::forms::MessageSource;
use crate::conventions::read_json;
use crate::json::document::Document;
use crate::numbers::saturating_u32;
use crate::steps;
use crate::text::write_string;
use std::borrow::Cow;

/// Most segments of a key that are put together; what lies deeper is left out.
const DEPTH_MAX: usize = 12;

/// Begins a segment that is a number: the count of its digits follows in four bytes, then the digits. Before all names.
const NUMBER: u8 = 1;
/// Begins a segment that is a name: its bytes follow, and [`END`].
const NAME: u8 = 2;
/// Ends a name; a zero byte of the name itself is followed by [`ESCAPE`].
const END: [u8; 2] = [0, 0];
const ESCAPE: u8 = 1;

/// The segments of a key, without words that only wrap what follows; a word that stands for two gives both.
fn segments(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    let key = key.strip_suffix(b".").unwrap_or(key);
    let words = key.split(|byte| *byte == b'.');
    let segments = words.flat_map(|word| -> [Option<&[u8]>; 2] {
        match word {
            b"message" | b"message_content" | b"tool_call" | b"tool" => [None, None],
            b"function_call_name" => [Some(b"function_call"), Some(b"name")],
            b"function_call_arguments_json" => [Some(b"function_call"), Some(b"arguments")],
            word => [Some(word), None],
        }
    });
    segments.flatten().take(DEPTH_MAX)
}

/// The digits of a number, without zeros before it.
fn number(segment: &[u8]) -> Option<&[u8]> {
    if segment.is_empty() || !segment.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let zeros = segment.iter().take_while(|digit| **digit == b'0').count();
    segment.get(zeros..)
}

/// Writes a key as a path.
fn put_path(out: &mut Vec<u8>, key: &[u8]) {
    steps::take(key.len());
    for segment in segments(key) {
        if let Some(digits) = number(segment) {
            out.push(NUMBER);
            out.extend_from_slice(&saturating_u32(digits.len()).to_be_bytes());
            out.extend_from_slice(digits);
            continue;
        }
        out.push(NAME);
        for byte in segment {
            out.push(*byte);
            if *byte == 0 {
                out.push(ESCAPE);
            }
        }
        out.extend_from_slice(&END);
    }
}

/// The first segment of a path, as it is written there.
fn first_segment(path: &[u8]) -> Option<&[u8]> {
    let length = match path {
        [NUMBER, rest @ ..] => {
            let digits = u32::from_be_bytes(*rest.first_chunk()?);
            1 + size_of::<u32>() + usize::try_from(digits).ok()?
        }
        [NAME, rest @ ..] => {
            let mut at = 0;
            while rest.get(at..at + 2)? != END {
                at += if rest.get(at) == Some(&0) { 2 } else { 1 };
            }
            1 + at + END.len()
        }
        _ => return None,
    };
    path.get(..length)
}

/// The name that a segment is; nothing for a number.
fn name(segment: &[u8]) -> Cow<'_, str> {
    let inner = segment.strip_prefix(&[NAME]).and_then(|rest| rest.strip_suffix(&END));
    let Some(inner) = inner else { return Cow::default() };
    let name = String::from_utf8_lossy(inner);
    if inner.contains(&0) { name.replace("\0\u{1}", "\0").into() } else { name }
}

/// The JSON of keys and values, a list; `None` when there are none.
pub(crate) fn json(members: &[(&str, &str)]) -> Option<String> {
    if members.is_empty() {
        return None;
    }
    let mut paths = Vec::with_capacity(members.iter().map(|(key, _)| key.len() + 16).sum());
    let mut ends = Vec::with_capacity(members.len());
    for (key, _) in members {
        put_path(&mut paths, key.as_bytes());
        ends.push(paths.len());
    }
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let paths = starts.zip(&ends).filter_map(|(start, end)| paths.get(start..*end));
    let mut entries: Vec<Entry<'_>> = paths.zip(members).map(|(path, (_, value))| (path, *value)).collect();
    entries.sort_by(|(one, _), (other, _)| {
        steps::take(one.len().min(other.len()));
        one.cmp(other)
    });
    let mut out = String::new();
    write(&mut out, &mut entries, "");
    Some(out)
}

/// The segments of a key that are still to come, and its value.
type Entry<'a> = (&'a [u8], &'a str);

fn write(out: &mut String, entries: &mut [Entry<'_>], name_of_all: &str) {
    let Some((path, value)) = entries.first().copied() else {
        return out.push_str("null");
    };
    // a value hides what lies below it
    let Some(first) = first_segment(path) else {
        return write_value(out, name_of_all, value);
    };
    let is_list = first.starts_with(&[NUMBER]);
    out.push(if is_list { '[' } else { '{' });
    let mut rest = entries;
    let mut is_first = true;
    while let Some(segment) = rest.first().and_then(|(path, _)| first_segment(path)) {
        let mut same = 0;
        while let Some((path, _)) = rest.get_mut(same)
            && let Some(after) = path.strip_prefix(segment)
        {
            steps::take(1 + segment.len());
            *path = after;
            same += 1;
        }
        let (group, after) = rest.split_at_mut(same);
        if !std::mem::take(&mut is_first) {
            out.push(',');
        }
        let name = name(segment);
        if !is_list {
            write_string(out, &name);
            out.push(':');
        }
        write(out, group, &name);
        rest = after;
    }
    out.push(if is_list { ']' } else { '}' });
}

/// A value as a text; where JSON is put into a text, as what it says.
fn write_value(out: &mut String, name: &str, text: &str) {
    let may_be_json = match name {
        "content" => text.starts_with('['),
        "json_schema" | "parameters" => text.starts_with('{'),
        _ => false,
    };
    let is_json = may_be_json
        && read_json(text).is_ok_and(|document| {
            name != "content" || document.root().items().all(|item| item.is_object() && item.get("type").is_some())
        });
    if is_json { out.push_str(text) } else { write_string(out, text) }
}

/// Messages of a family of keys.
pub(crate) fn messages(members: &[(&str, &str)], form: MessageSource<'_>) -> Option<NormalizedMessages<'static>> {
    let document = read_json(json(members)?).ok()?;
    form.list(document.root().items())
}

/// LiteLLM's calls of functions, which it numbers by themselves: `gen_ai.completion.0.function_call.name`.
pub(crate) fn function_calls(members: &[(&str, &str)]) -> Option<Document<'static>> {
    let is_call = |key: &str| key.split_once('.').is_some_and(|(_, rest)| rest.starts_with("function_call."));
    let calls: Vec<_> = members.iter().filter(|(key, _)| is_call(key)).copied().collect();
    read_json(json(&calls)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put_together(members: &[(&str, &str)]) -> String {
        json(members).unwrap_or_default()
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
    fn names_are_names_whatever_bytes_they_have() {
        let members =
            [("0.a\0b", "1"), ("0.a", "2"), ("0.a\0", "3"), ("0.\u{1}x", "4"), ("0.\u{2}", "5"), ("0..", "6")];
        let want = r#"[{"":"6","\u0001x":"4","\u0002":"5","a":"2","a\u0000":"3","a\u0000b":"1"}]"#;
        assert_eq!(put_together(&members), want);
        assert_eq!(put_together(&[("007.a", "1"), ("7.b", "2")]), r#"[{"a":"1","b":"2"}]"#);
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
