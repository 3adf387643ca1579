//! Builds a document from values of others, node by node: no text is written for the reader to parse again.
//!
//! ```text
//! record  {"model": "m", "messages": [1], "user": "u"}
//! built   {"model""m""messages"[1]}                      texts as they were written, nodes moved to where they stand now
//! ```

use super::document::{Document, Kind, Node, Value};
use crate::numbers::to_usize;
use crate::steps;

/// Text and nodes of a document that is being built.
#[derive(Default)]
struct Parts {
    text: String,
    nodes: Vec<Node>,
}

/// Members of an object that is being built.
pub(crate) struct ObjectBuilder<'p>(&'p mut Parts);

/// Elements of an array that is being built.
pub(crate) struct ListBuilder<'p>(&'p mut Parts);

/// Builds an object.
pub(crate) fn object(build: impl FnOnce(&mut ObjectBuilder<'_>)) -> Document<'static> {
    let mut parts = Parts::default();
    parts.object(build);
    Document { text: parts.text.into(), nodes: parts.nodes }
}

impl ObjectBuilder<'_> {
    /// Adds a value under a name of our own.
    pub(crate) fn member(&mut self, name: &str, value: Value<'_>) {
        self.0.word(name);
        self.0.value(value);
    }

    /// Adds a member of another object.
    pub(crate) fn copy(&mut self, key: Value<'_>, value: Value<'_>) {
        self.0.value(key);
        self.0.value(value);
    }

    /// Adds a word of our own.
    pub(crate) fn word(&mut self, name: &str, word: &str) {
        self.0.word(name);
        self.0.word(word);
    }

    /// Adds a number.
    pub(crate) fn number(&mut self, name: &str, number: i64) {
        self.0.word(name);
        self.0.scalar(Kind::Number, itoa::Buffer::new().format(number));
    }

    /// Adds an object.
    pub(crate) fn object(&mut self, name: &str, build: impl FnOnce(&mut ObjectBuilder<'_>)) {
        self.0.word(name);
        self.0.object(build);
    }

    /// Adds an array.
    pub(crate) fn list(&mut self, name: &str, build: impl FnOnce(&mut ListBuilder<'_>)) {
        self.0.word(name);
        self.0.container(Kind::Array, ('[', ']'), |parts| build(&mut ListBuilder(parts)));
    }
}

impl ListBuilder<'_> {
    /// Adds a value.
    pub(crate) fn value(&mut self, value: Value<'_>) {
        self.0.value(value);
    }

    /// Adds an object.
    pub(crate) fn object(&mut self, build: impl FnOnce(&mut ObjectBuilder<'_>)) {
        self.0.object(build);
    }
}

impl Parts {
    /// Where the next text begins.
    fn at(&self) -> u32 {
        // request bodies are at most 64 MiB, and our words about them are a small multiple of that
        u32::try_from(self.text.len()).expect("a document is shorter than 4 GiB")
    }

    /// A word of our own, which needs no escapes.
    fn word(&mut self, word: &str) {
        debug_assert!(!word.bytes().any(|byte| matches!(byte, b'"' | b'\\' | ..=0x1f)), "{word} needs escapes");
        self.text.push('"');
        self.scalar(Kind::Plain, word);
        self.text.push('"');
    }

    fn scalar(&mut self, kind: Kind, text: &str) {
        let start = self.at();
        self.text.push_str(text);
        self.nodes.push(Node { kind, start, end: self.at(), size: 1 });
    }

    fn object(&mut self, build: impl FnOnce(&mut ObjectBuilder<'_>)) {
        self.container(Kind::Object, ('{', '}'), |parts| build(&mut ObjectBuilder(parts)));
    }

    fn container(&mut self, kind: Kind, (open, close): (char, char), build: impl FnOnce(&mut Self)) {
        let (start, own) = (self.at(), self.nodes.len());
        self.nodes.push(Node { kind, start, end: start, size: 1 });
        self.text.push(open);
        build(self);
        self.text.push(close);
        let end = self.at();
        let size = u32::try_from(self.nodes.len() - own).expect("nodes are fewer than bytes");
        if let Some(node) = self.nodes.get_mut(own) {
            (node.end, node.size) = (end, size);
        }
    }

    /// Copies a value's text as it stands, and its nodes.
    fn value(&mut self, value: Value<'_>) {
        let written = value.whole_text();
        let from = value.whole_span().start;
        let to = to_usize(self.at());
        steps::take(written.len());
        self.text.push_str(written);
        let _every_end_fits = self.at();
        let moved = |at: u32| {
            let at = to_usize(at) - from + to;
            u32::try_from(at).expect("what a value holds stands within its text")
        };
        self.nodes.extend(value.nodes.iter().map(|node| Node {
            start: moved(node.start),
            end: moved(node.end),
            ..*node
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::canonical;
    use proptest::prelude::*;

    fn canonical(document: &Document<'_>) -> String {
        let mut out = String::new();
        canonical::write(&mut out, document.root());
        out
    }

    #[test]
    fn members_of_many_documents_become_one() {
        let first = Document::parse(r#" {"a": [1, {"b" : "\u00e9\n"}], "c\t": "x"} "#).unwrap();
        let second = Document::parse("[ true, null ]").unwrap();
        let built = object(|object| {
            first.root().members().for_each(|(key, value)| object.copy(key, value));
            object.member("second", second.root());
            object.number("code", -5);
            object.list("list", |list| {
                list.value(second.root());
                list.object(|object| object.word("role", "user"));
            });
            object.object("empty", |_| {});
        });
        let want = r#"{"a":[1,{"b":"é\n"}],"c\t":"x","code":-5,"empty":{},"list":[[true,null],{"role":"user"}],"second":[true,null]}"#;
        assert_eq!(canonical(&built), want);
        let root = built.root();
        assert_eq!(root.get("a").unwrap().whole_text(), r#"[1, {"b" : "\u00e9\n"}]"#);
        assert_eq!(root.get("c\t").unwrap().whole_text(), r#""x""#);
        assert_eq!(root.get("code").unwrap().int(), Some(-5));
    }

    proptest! {
        #[test]
        fn a_copy_is_what_was_copied(text in "(\\[|\\{\"a\":|\"[a-z\\\\\"]{0,4}\"|1.5|null|,|\\]|\\}| ){0,12}") {
            let Ok(document) = Document::parse(text.as_str()) else { return Ok(()) };
            let built = object(|object| object.list("x", |list| list.value(document.root())));
            let copy = built.root().get("x").unwrap().items().next().unwrap();
            prop_assert_eq!(copy.whole_text(), document.root().whole_text());
            let mut out = String::new();
            canonical::write(&mut out, copy);
            prop_assert_eq!(out, canonical(&document));
        }
    }
}
