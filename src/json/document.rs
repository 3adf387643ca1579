//! One pass over JSON text into a flat tree that borrows from it.
//!
//! ```text
//! {"a":[1,"b"]}   ->   Object(5) String(1) Array(3) Number(1) String(1)      (nodes in its subtree, itself included)
//! ```
//!
//! A node is its kind, the span of its text, and the size of its subtree; a value is a slice of nodes. So members
//! keep their order, numbers and strings keep their text, nothing is copied, and skipping a subtree is one step.
//! `serde_json` offers either an owned tree or `RawValue`, which reads each level of nesting anew; it is the oracle
//! of this reader's tests. Depth and number of values are bounded.
//!
//! Source: RFC 8259.

use std::borrow::Cow;
use std::ops::Range;

use crate::json::text::{StringKind, scan_number, scan_string};
use crate::numbers::{saturating_u32, to_usize};
use crate::steps;
use crate::text::{decode_string, hex_unit};

pub use crate::bounds::DEPTH_MAX;

/// Most values in one document. At 16 bytes a value this bounds what a dense body can make us hold.
pub const VALUES_MAX: usize = 4_000_000;

/// What is wrong with a text that is not JSON, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub(crate) struct JsonError {
    /// Offset into the text.
    pub(crate) at: usize,
    /// What is wrong there.
    pub(crate) what: &'static str,
}

/// The kind of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    False,
    True,
    Number,
    /// `NaN`, `Infinity` or `-Infinity`: not JSON, and what Python writes. It is neither null nor a number, and becomes null where it
    /// is written.
    NotFinite,
    /// A string without escapes: its text is its value.
    Plain,
    /// A string with escapes that every reader understands.
    Escaped,
    /// A string with an escape that stands for half a character (a lone surrogate).
    Broken,
    Array,
    Object,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// Where its text starts; after the quote for a string.
    pub(super) start: u32,
    /// Where its text ends; before the quote for a string.
    pub(super) end: u32,
    /// Nodes in its subtree, itself included.
    pub(super) size: u32,
}

/// A JSON text and its nodes.
#[derive(Debug, Clone)]
pub(crate) struct Document<'t> {
    pub(super) text: Cow<'t, str>,
    pub(super) nodes: Vec<Node>,
}

impl<'t> Document<'t> {
    /// Reads a whole text as one JSON value.
    pub(crate) fn parse(text: impl Into<Cow<'t, str>>) -> Result<Self, JsonError> {
        Self::parse_within(text, VALUES_MAX)
    }

    /// The same for a text that has no more than so many values.
    pub(crate) fn parse_within(text: impl Into<Cow<'t, str>>, values_max: usize) -> Result<Self, JsonError> {
        let text = text.into();
        steps::take(text.len());
        let nodes = Vec::with_capacity((text.len() / 24 + 4).min(values_max));
        let mut reader = Reader { bytes: text.as_bytes(), at: 0, nodes, values_max };
        if u32::try_from(text.len()).is_err() {
            return Err(reader.error("text too long"));
        }
        reader.value(0)?;
        reader.skip_space();
        if reader.at < reader.bytes.len() {
            return Err(reader.error("unexpected text after the value"));
        }
        let nodes = reader.nodes;
        Ok(Self { text, nodes })
    }

    /// Whether every reader understands it: no string has half a character, and no number is infinite or none.
    pub(crate) fn is_whole(&self) -> bool {
        steps::take(self.nodes.len());
        self.nodes.iter().all(|node| !matches!(node.kind, Kind::Broken | Kind::NotFinite))
    }

    /// The outermost value.
    pub(crate) fn root(&self) -> Value<'_> {
        Value { text: &self.text, nodes: &self.nodes }
    }
}

struct Reader<'t> {
    bytes: &'t [u8],
    at: usize,
    nodes: Vec<Node>,
    values_max: usize,
}

impl Reader<'_> {
    fn error(&self, what: &'static str) -> JsonError {
        JsonError { at: self.at, what }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn push(&mut self, kind: Kind, start: usize, end: usize) -> Result<usize, JsonError> {
        if self.nodes.len() >= self.values_max {
            return Err(self.error("too many values"));
        }
        self.nodes.push(Node { kind, start: saturating_u32(start), end: saturating_u32(end), size: 1 });
        Ok(self.nodes.len() - 1)
    }

    /// Reads a value inside `depth` arrays and objects.
    fn value(&mut self, depth: usize) -> Result<(), JsonError> {
        self.skip_space();
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'{') => self.container(depth, Kind::Object, b'}'),
            Some(b'[') => self.container(depth, Kind::Array, b']'),
            Some(b'-') if self.follows(b"-Infinity") => self.word(b"-Infinity", Kind::NotFinite),
            Some(b'-' | b'0'..=b'9') => {
                let end = scan_number(self.bytes, self.at).map_err(|at| JsonError { at, what: "invalid number" })?;
                self.push(Kind::Number, self.at, end)?;
                self.at = end;
                Ok(())
            }
            Some(b't') => self.word(b"true", Kind::True),
            Some(b'f') => self.word(b"false", Kind::False),
            Some(b'n') => self.word(b"null", Kind::Null),
            Some(b'N') => self.word(b"NaN", Kind::NotFinite),
            Some(b'I') => self.word(b"Infinity", Kind::NotFinite),
            Some(_) => Err(self.error("expected a value")),
            None => Err(self.error("unexpected end")),
        }
    }

    fn follows(&self, word: &[u8]) -> bool {
        self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word))
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Result<(), JsonError> {
        if !self.follows(word) {
            return Err(self.error("expected a value"));
        }
        self.push(kind, self.at, self.at + word.len())?;
        self.at += word.len();
        Ok(())
    }

    fn string(&mut self) -> Result<(), JsonError> {
        let start = self.at + 1;
        let (end, kind) = scan_string(self.bytes, start).map_err(|(at, what)| JsonError { at, what })?;
        let kind = match kind {
            StringKind::Plain => Kind::Plain,
            StringKind::Escaped => Kind::Escaped,
            StringKind::Broken => Kind::Broken,
        };
        self.push(kind, start, end)?;
        self.at = end + 1;
        Ok(())
    }

    fn container(&mut self, depth: usize, kind: Kind, close: u8) -> Result<(), JsonError> {
        if depth >= DEPTH_MAX {
            return Err(self.error("nested too deep"));
        }
        let own = self.push(kind, self.at, self.at)?;
        self.at += 1;
        self.skip_space();
        if self.peek() == Some(close) {
            self.close(own);
            return Ok(());
        }
        loop {
            if kind == Kind::Object {
                self.key()?;
            }
            self.value(depth + 1)?;
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(byte) if byte == close => break,
                Some(_) => return Err(self.error("expected a comma or the end of the list")),
                None => return Err(self.error("unexpected end")),
            }
        }
        self.close(own);
        Ok(())
    }

    /// Steps over the closing bracket of the array or object whose node is `own`.
    fn close(&mut self, own: usize) {
        self.at += 1;
        let (end, size) = (saturating_u32(self.at), saturating_u32(self.nodes.len() - own));
        if let Some(node) = self.nodes.get_mut(own) {
            (node.end, node.size) = (end, size);
        }
    }

    fn key(&mut self) -> Result<(), JsonError> {
        self.skip_space();
        if self.peek() != Some(b'"') {
            return Err(self.error("expected a key in double quotes"));
        }
        self.string()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.error("expected a colon"));
        }
        self.at += 1;
        Ok(())
    }
}

/// A value of a document: its nodes, its own first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Value<'d> {
    text: &'d str,
    pub(super) nodes: &'d [Node],
}

impl<'d> Value<'d> {
    #[inline]
    pub(crate) fn kind(self) -> Kind {
        self.nodes.first().map_or(Kind::Null, |node| node.kind)
    }

    /// Its text as it stands in the document; a string's without its quotes.
    pub(crate) fn raw(self) -> &'d str {
        self.text.get(self.span()).expect("a node's span is of its text")
    }

    /// Where in the document [`Self::raw`] is.
    pub(crate) fn span(self) -> Range<usize> {
        self.nodes.first().map_or(0..0, |node| to_usize(node.start)..to_usize(node.end))
    }

    /// The text of its document.
    pub(crate) fn document_text(self) -> &'d str {
        self.text
    }

    /// Where in the document all of it is, quotes included.
    pub(crate) fn whole_span(self) -> Range<usize> {
        let Range { start, end } = self.span();
        if self.is_string() { start.saturating_sub(1)..end + 1 } else { start..end }
    }

    /// All of its text as it stands in the document, quotes included.
    pub(crate) fn whole_text(self) -> &'d str {
        self.text.get(self.whole_span()).expect("a node's span is of its document's text")
    }

    /// Whether both are the same place of the same document.
    pub(crate) fn is_same(self, other: Value<'_>) -> bool {
        std::ptr::eq(self.nodes.as_ptr(), other.nodes.as_ptr())
    }

    #[inline]
    pub(crate) fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    pub(crate) fn is_object(self) -> bool {
        self.kind() == Kind::Object
    }

    pub(crate) fn is_array(self) -> bool {
        self.kind() == Kind::Array
    }

    pub(crate) fn is_string(self) -> bool {
        matches!(self.kind(), Kind::Plain | Kind::Escaped | Kind::Broken)
    }

    /// Null, an empty string, an empty array or an empty object.
    pub(crate) fn is_empty(self) -> bool {
        match self.kind() {
            Kind::Null => true,
            Kind::Array | Kind::Object => self.nodes.len() == 1,
            _ => self.is_string() && self.raw().is_empty(),
        }
    }

    /// The value of what is known to be a string, as the name of a member always is.
    pub(crate) fn text(self) -> Cow<'d, str> {
        debug_assert!(self.is_string(), "a name is a string");
        match self.kind() {
            Kind::Escaped | Kind::Broken => Cow::Owned(decode_string(self.raw())),
            _ => Cow::Borrowed(self.raw()),
        }
    }

    /// A string's value; half characters become U+FFFD.
    pub(crate) fn str(self) -> Option<Cow<'d, str>> {
        self.is_string().then(|| self.text())
    }

    /// A string's value, if there is anything in it.
    pub(crate) fn filled_str(self) -> Option<Cow<'d, str>> {
        self.str().filter(|text| !text.is_empty())
    }

    /// The halves of characters (lone surrogates) that a string begins and ends with: the second half of one, and the first half
    /// of one.
    pub(crate) fn halves(self) -> (Option<u16>, Option<u16>) {
        if self.kind() != Kind::Broken {
            return (None, None);
        }
        let raw = self.raw().as_bytes();
        let unit =
            |at: usize| raw.get(at..at + 2).filter(|escape| *escape == b"\\u").and_then(|_| hex_unit(raw, at + 2));
        let last = raw.len().checked_sub(6);
        // the backslash of an escape is not itself escaped
        let is_escape = |at: &usize| {
            let before = raw.get(..*at).unwrap_or_default();
            before.iter().rev().take_while(|byte| **byte == b'\\').count().is_multiple_of(2)
        };
        let low = unit(0).filter(|unit| (0xDC00..=0xDFFF).contains(unit));
        let high = last.filter(is_escape).and_then(unit).filter(|unit| (0xD800..=0xDBFF).contains(unit));
        (low, high)
    }

    pub(crate) fn number(self) -> Option<&'d str> {
        (self.kind() == Kind::Number).then(|| self.raw())
    }

    pub(crate) fn bool(self) -> Option<bool> {
        match self.kind() {
            Kind::True => Some(true),
            Kind::False => Some(false),
            _ => None,
        }
    }

    /// A finite number as a double.
    pub(crate) fn double(self) -> Option<f64> {
        self.number()?.parse().ok().filter(|value: &f64| value.is_finite())
    }

    /// A number without a fraction, however it is written.
    pub(crate) fn int(self) -> Option<i64> {
        /// Doubles are exact integers up to here.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let text = self.number()?;
        if let Ok(value) = text.parse() {
            return Some(value);
        }
        let value: f64 = text.parse().ok()?;
        (value.fract() == 0.0 && value.abs() < EXACT).then_some(value as i64)
    }

    /// The elements of an array; nothing for other kinds.
    pub(crate) fn items(self) -> Items<'d> {
        Items { text: self.text, nodes: self.nodes_of(Kind::Array) }
    }

    /// The members of an object in order; nothing for other kinds.
    #[inline]
    pub(crate) fn members(self) -> Members<'d> {
        Members(Items { text: self.text, nodes: self.nodes_of(Kind::Object) })
    }

    /// The nodes within an array or an object; nothing for other kinds.
    #[inline]
    fn nodes_of(self, kind: Kind) -> &'d [Node] {
        match self.nodes {
            [own, within @ ..] if own.kind == kind => within,
            _ => &[],
        }
    }

    /// The member of that name, if it is there and not null; of several, the last, as most readers have it.
    pub(crate) fn get(self, name: &str) -> Option<Self> {
        let mut found = None;
        for (key, value) in self.members() {
            if key.is_key(name) && !value.is_null() {
                found = Some(value);
            }
        }
        found
    }

    /// The last member of that name, null or not.
    pub(crate) fn last_member(self, name: &str) -> Option<Self> {
        let mut found = None;
        for (key, value) in self.members() {
            if key.is_key(name) {
                found = Some(value);
            }
        }
        found
    }

    /// Whether a member of that name is there, null or not.
    pub(crate) fn has(self, name: &str) -> bool {
        self.members().any(|(key, _)| key.is_key(name))
    }

    /// Whether this string, a member's name, is `name`.
    #[inline]
    pub(crate) fn is_key(self, name: &str) -> bool {
        let Some(node) = self.nodes.first() else {
            return false;
        };
        if node.kind != Kind::Plain {
            return self.is_escaped_key(name);
        }
        let Ok(start) = usize::try_from(node.start) else {
            return false;
        };
        // most names differ in length already
        if usize::try_from(node.end.wrapping_sub(node.start)) != Ok(name.len()) {
            return false;
        }
        steps::take(name.len());
        self.text.as_bytes().get(start..start + name.len()) == Some(name.as_bytes())
    }

    #[cold]
    fn is_escaped_key(self, name: &str) -> bool {
        self.str().is_some_and(|key| key == name)
    }
}

/// Consecutive values.
pub(crate) struct Items<'d> {
    text: &'d str,
    nodes: &'d [Node],
}

impl<'d> Iterator for Items<'d> {
    type Item = Value<'d>;

    #[inline]
    fn next(&mut self) -> Option<Value<'d>> {
        steps::take(1);
        let size = usize::try_from(self.nodes.first()?.size).ok()?;
        let (nodes, rest) = self.nodes.split_at_checked(size)?;
        self.nodes = rest;
        Some(Value { text: self.text, nodes })
    }
}

/// Names and values in turn.
pub(crate) struct Members<'d>(Items<'d>);

impl<'d> Iterator for Members<'d> {
    type Item = (Value<'d>, Value<'d>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        Some((self.0.next()?, self.0.next()?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn to_serde(value: Value<'_>) -> serde_json::Value {
        match value.kind() {
            Kind::Null => serde_json::Value::Null,
            Kind::True | Kind::False => serde_json::Value::Bool(value.bool().unwrap()),
            Kind::Number => serde_json::from_str(value.raw()).unwrap(),
            Kind::Array => value.items().map(to_serde).collect(),
            Kind::Object => value.members().map(|(key, value)| (key.str().unwrap(), to_serde(value))).collect(),
            _ => serde_json::Value::String(value.str().unwrap().into_owned()),
        }
    }

    fn agrees_with_serde_json(text: &str) {
        let theirs = serde_json::from_str::<serde_json::Value>(text);
        match (Document::parse(text), theirs) {
            (Ok(ours), Ok(theirs)) => assert_eq!(to_serde(ours.root()), theirs, "{text}"),
            (Err(_), Err(_)) => {}
            (Ok(_), Err(error)) if error.to_string().contains("surrogate") => {}
            (Ok(_), Err(error)) if error.to_string().contains("escape") && text.contains("\\u") => {}
            (ours, theirs) => panic!("{text}: {:?} {theirs:?}", ours.map(|_| ())),
        }
    }

    #[test]
    fn what_json_allows_is_read_and_what_it_forbids_is_not() {
        let texts = [
            "0",
            "-0",
            "01",
            "1.",
            ".5",
            "1e",
            "1E+2",
            "-1.5e-3",
            "+1",
            "--1",
            "1 2",
            "",
            " ",
            "tru",
            "true",
            "nullx",
            "[]",
            "[1,]",
            "[,]",
            "{",
            "{}",
            "{\"a\"}",
            "{\"a\":1,}",
            "{a:1}",
            "\"\\x\"",
            "\"\\u12\"",
            "\"a",
            "\"\u{1}\"",
            "\"\\ud83d\\ude00 \\u00e9 \\n\\t\\b\\f\\r\\/\\\\\\\"\"",
            " { \"a\" : [ 1 , { } , null ] } ",
            "Nan",
            "+Infinity",
            "-infinity",
            "'a'",
        ];
        texts.into_iter().for_each(agrees_with_serde_json);
    }

    #[test]
    fn numbers_that_are_not_finite_cost_themselves_alone() {
        let doc = Document::parse(r#"{"a":[NaN,Infinity,-Infinity,1],"b":-1}"#).unwrap();
        let root = doc.root();
        let items: Vec<_> = root.get("a").unwrap().items().collect();
        let kinds = |item: &Value<'_>| (item.number().is_some(), item.is_null(), item.is_string(), item.is_empty());
        assert!(items[..3].iter().all(|item| kinds(item) == (false, false, false, false)));
        assert_eq!((items[3].int(), root.get("b").unwrap().int()), (Some(1), Some(-1)));
        assert!(!doc.is_whole(), "no other reader takes it");
        let mut json = crate::json::writer::JsonWriter::new(crate::json::limits::Limits::NONE);
        json.value(root);
        assert_eq!(json.finish().0, r#"{"a":[null,null,null,1],"b":-1}"#);
    }

    #[test]
    fn depth_is_bounded_and_the_error_says_so() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Document::parse(nested(DEPTH_MAX)).is_ok());
        let error = Document::parse(nested(DEPTH_MAX + 1)).unwrap_err();
        assert_eq!((error.at, error.what), (DEPTH_MAX, "nested too deep"));
    }

    #[test]
    fn numbers_keep_their_text_and_integers_their_value() {
        let doc = Document::parse("[12345678901234567890123, 1.50, 20.0, 9007199254740993, 1.5, true]").unwrap();
        let items: Vec<_> = doc.root().items().collect();
        assert_eq!(items[0].raw(), "12345678901234567890123");
        assert_eq!(items[1].raw(), "1.50");
        let ints: Vec<_> = items.iter().map(|item| item.int()).collect();
        assert_eq!(ints, [None, None, Some(20), Some(9_007_199_254_740_993), None, None]);
    }

    #[test]
    fn the_last_of_equal_names_counts_and_null_does_not() {
        let doc = Document::parse(r#"{"a":1,"\u0061":2,"b":null}"#).unwrap();
        assert_eq!(doc.root().get("a").and_then(Value::int), Some(2));
        assert!(doc.root().get("b").is_none());
        assert!(doc.root().has("b"));
    }

    proptest! {
        #[test]
        fn any_text_reads_as_serde_json_reads_it(text in r#"[\[\]{}:," \\/ubtrue0-9nulfals.eE+\-é]{0,40}"#) {
            agrees_with_serde_json(&text);
        }
    }
}
