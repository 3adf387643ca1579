//! Writes JSON straight into one text, applying the limits to every string on its way.

use super::limits::{self, Limits};
use crate::json::document::{Kind, Value};
use crate::steps;
use crate::text::{write_escaped, write_string};

/// A JSON text in the making. Commas come by themselves.
pub(crate) struct JsonWriter {
    out: String,
    limits: Limits,
    losses: Losses,
}

/// What the limits took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    /// Bytes cut from texts.
    pub(crate) bytes_cut: u64,
    /// Media replaced by references.
    pub(crate) media_replaced: u64,
}

impl JsonWriter {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { out: String::with_capacity(256), limits, losses: Losses::default() }
    }

    pub(crate) fn finish(self) -> (String, Losses) {
        (self.out, self.losses)
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    pub(crate) fn count_replaced_medium(&mut self) {
        self.losses.media_replaced += 1;
    }

    /// A comma, unless nothing stands before it in this array, object or member. A string ends in a quote, so the
    /// last byte tells.
    fn separate(&mut self) {
        if !matches!(self.out.as_bytes().last(), None | Some(b'{' | b'[' | b':')) {
            self.out.push(',');
        }
    }

    pub(crate) fn begin_object(&mut self) {
        self.separate();
        self.out.push('{');
    }

    pub(crate) fn end_object(&mut self) {
        self.out.push('}');
    }

    pub(crate) fn begin_array(&mut self) {
        self.separate();
        self.out.push('[');
    }

    pub(crate) fn end_array(&mut self) {
        self.out.push(']');
    }

    pub(crate) fn key(&mut self, name: &str) {
        self.separate();
        write_string(&mut self.out, name);
        self.out.push(':');
    }

    /// A string.
    pub(crate) fn str(&mut self, text: &str) {
        self.separate();
        self.out.push('"');
        match limits::cut(text, self.limits.max_value_bytes) {
            None => write_escaped(&mut self.out, text),
            Some((kept, missing)) => {
                write_escaped(&mut self.out, kept);
                self.out.push_str(&limits::marker(missing));
                self.losses.bytes_cut += missing;
            }
        }
        self.out.push('"');
    }

    /// A number, by its text.
    pub(crate) fn number(&mut self, text: &str) {
        steps::take(text.len());
        self.separate();
        self.out.push_str(text);
    }

    pub(crate) fn member_str(&mut self, name: &str, text: &str) {
        self.key(name);
        self.str(text);
    }

    /// A member whose text is our own: no limit applies.
    pub(crate) fn member_own(&mut self, name: &str, text: &str) {
        self.key(name);
        write_string(&mut self.out, text);
    }

    pub(crate) fn member(&mut self, name: &str, value: Value<'_>) {
        self.key(name);
        self.value(value);
    }

    /// Any value, as it was written, without white space.
    pub(crate) fn value(&mut self, value: Value<'_>) {
        match value.kind() {
            Kind::Plain | Kind::Escaped if value.raw().len() <= self.limits.max_value_bytes => {
                self.string_as_written(value)
            }
            Kind::Plain | Kind::Escaped | Kind::Broken => self.str(&value.text()),
            Kind::Null | Kind::True | Kind::False | Kind::Number => self.number(value.raw()),
            Kind::NotFinite => self.number("null"),
            Kind::Array => {
                self.begin_array();
                value.items().for_each(|item| self.value(item));
                self.end_array();
            }
            Kind::Object => {
                self.begin_object();
                for (key, member) in value.members() {
                    self.copy_member(key, member);
                }
                self.end_object();
            }
        }
    }

    /// A member as it was written.
    pub(crate) fn copy_member(&mut self, key: Value<'_>, value: Value<'_>) {
        if key.kind() == Kind::Broken {
            self.key(&key.text());
        } else {
            self.string_as_written(key);
            self.out.push(':');
        }
        self.value(value);
    }

    fn string_as_written(&mut self, value: Value<'_>) {
        steps::take(value.raw().len());
        self.separate();
        self.out.push('"');
        self.out.push_str(value.raw());
        self.out.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::document::Document;

    fn copied(text: &str, max_value_bytes: usize) -> (String, Losses) {
        let mut writer = JsonWriter::new(Limits { max_value_bytes, ..Limits::default() });
        writer.value(Document::parse(text).unwrap().root());
        writer.finish()
    }

    #[test]
    fn a_copy_is_compact_and_keeps_texts() {
        let (text, losses) = copied(r#" { "a" : [ 1.50 , "\u00e9" , { } , [ ] ] , "b" : null } "#, 100);
        assert_eq!(text, r#"{"a":[1.50,"\u00e9",{},[]],"b":null}"#);
        assert_eq!(losses, Losses::default());
    }

    #[test]
    fn a_lone_surrogate_is_replaced_when_it_is_copied() {
        assert_eq!(copied(r#"{"\ud83d":"\ud83d"}"#, 100).0, "{\"\u{fffd}\":\"\u{fffd}\"}");
    }

    #[test]
    fn a_long_text_is_cut_inside_valid_json() {
        let (text, losses) = copied(r#"["aé\"bcd","x"]"#, 4);
        assert_eq!(text, r#"["aé\"…[3 bytes cut by millrace]","x"]"#);
        assert_eq!(losses.bytes_cut, 3);
    }
}
