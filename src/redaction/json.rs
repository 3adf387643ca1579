//! A JSON text: its strings, keys and numbers one by one. What is not changed stays as it stands, but for blanks between values.

use super::tally::Tally;
use crate::text::write_string;
use std::borrow::Cow;

/// What becomes of the parts of a JSON text.
pub(super) trait Rewrite {
    /// A string, of which JSON may be looked into so many times more.
    fn text<'t>(&self, text: &'t str, tally: &mut Tally, nested_left: usize) -> Cow<'t, str>;
    /// A number, if it is to go.
    fn number(&self, digits: &str, tally: &mut Tally) -> Option<String>;
    /// Whether the value of that member goes, whatever it is.
    fn goes_whole(&self, key: &str) -> bool;
    /// What stands in its place; nothing when the member goes with it.
    fn instead_of(&self, key: &str, value: &str, tally: &mut Tally) -> Option<String>;
}

/// The text without what is to go; nothing when it is not JSON.
pub(super) fn rewritten<'t>(
    rules: &impl Rewrite,
    text: &'t str,
    tally: &mut Tally,
    nested_left: usize,
) -> Option<Cow<'t, str>> {
    let out = String::with_capacity(text.len());
    let mut walk = Walk { rules, tally, nested_left, text, at: 0, out, around: Vec::new(), is_changed: false };
    walk.document()?;
    Some(if walk.is_changed { Cow::Owned(walk.out) } else { Cow::Borrowed(text) })
}

/// A list or object that is not closed yet.
struct Around {
    is_object: bool,
    /// Whether something in it was read.
    is_begun: bool,
    /// Whether something in it was written.
    has_items: bool,
}

struct Walk<'r, 't, R> {
    rules: &'r R,
    tally: &'r mut Tally,
    nested_left: usize,
    text: &'t str,
    at: usize,
    out: String,
    around: Vec<Around>,
    is_changed: bool,
}

impl<'t, R: Rewrite> Walk<'_, 't, R> {
    fn document(&mut self) -> Option<()> {
        self.blanks();
        self.value()?;
        while let Some(around) = self.around.last_mut() {
            let (is_object, is_begun) = (around.is_object, around.is_begun);
            around.is_begun = true;
            self.blanks();
            let next = self.peek()?;
            if next == if is_object { b'}' } else { b']' } {
                self.at += 1;
                self.out.push(char::from(next));
                self.around.pop();
                continue;
            }
            if is_begun {
                self.skip(b',')?;
                self.blanks();
            }
            if is_object { self.member()? } else { self.element()? }
        }
        self.blanks();
        (self.at == self.text.len()).then_some(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// A comma, unless it is the first that is written.
    fn comma(&mut self) {
        if let Some(around) = self.around.last_mut() {
            if around.has_items {
                self.out.push(',');
            }
            around.has_items = true;
        }
    }

    fn element(&mut self) -> Option<()> {
        self.comma();
        self.value()
    }

    fn member(&mut self) -> Option<()> {
        let key = self.string()?;
        self.blanks();
        self.skip(b':')?;
        self.blanks();
        let name = unescaped(key);
        if !self.rules.goes_whole(&name) {
            self.comma();
            self.put_string(key, &name);
            self.out.push(':');
            return self.value();
        }
        let value = self.whole_value()?;
        let value = if value.starts_with('"') { unescaped(value) } else { Cow::Borrowed(value) };
        self.is_changed = true;
        if let Some(instead) = self.rules.instead_of(&name, &value, self.tally) {
            self.comma();
            self.out.push_str(key);
            self.out.push(':');
            write_string(&mut self.out, &instead);
        }
        Some(())
    }

    /// Writes a value; of a list or an object its beginning.
    fn value(&mut self) -> Option<()> {
        match self.peek()? {
            opening @ (b'{' | b'[') => {
                self.at += 1;
                self.out.push(char::from(opening));
                self.around.push(Around { is_object: opening == b'{', is_begun: false, has_items: false });
            }
            b'"' => {
                let token = self.string()?;
                self.put_string(token, &unescaped(token));
            }
            _ => {
                let token = self.scalar()?;
                match self.rules.number(token, self.tally) {
                    Some(instead) => {
                        self.is_changed = true;
                        write_string(&mut self.out, &instead);
                    }
                    None => self.out.push_str(token),
                }
            }
        }
        Some(())
    }

    fn put_string(&mut self, token: &str, text: &str) {
        match self.rules.text(text, self.tally, self.nested_left) {
            Cow::Borrowed(_) => self.out.push_str(token),
            Cow::Owned(instead) => {
                self.is_changed = true;
                write_string(&mut self.out, &instead);
            }
        }
    }

    /// A string with its quotes.
    fn string(&mut self) -> Option<&'t str> {
        let start = self.at;
        self.skip(b'"')?;
        loop {
            let rest = self.text.as_bytes().get(self.at..)?;
            let next = memchr::memchr2(b'"', b'\\', rest)?;
            self.at += next + 1;
            if rest.get(next) == Some(&b'"') {
                return self.text.get(start..self.at);
            }
            // what is escaped is one byte at least, and the others are no quotes
            self.at += 1;
        }
    }

    /// A number, `true`, `false` or `null`.
    fn scalar(&mut self) -> Option<&'t str> {
        let rest = self.text.get(self.at..)?;
        let is_of_one = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        let length = rest.bytes().take_while(|byte| is_of_one(*byte)).count();
        self.at += length;
        rest.get(..length).filter(|token| !token.is_empty())
    }

    /// A value with all that is in it, not written.
    fn whole_value(&mut self) -> Option<&'t str> {
        let (start, mut depth) = (self.at, 0_usize);
        loop {
            match self.peek()? {
                b'"' => drop(self.string()?),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' if depth > 0 => self.at += 1,
                _ => drop(self.scalar()?),
            }
            if depth == 0 {
                return self.text.get(start..self.at);
            }
        }
    }
}

/// What a string says; one that cannot be read, as it stands between its quotes.
fn unescaped(token: &str) -> Cow<'_, str> {
    let inside = token.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(token);
    if memchr::memchr(b'\\', inside.as_bytes()).is_none() {
        return Cow::Borrowed(inside);
    }
    serde_json::from_str::<String>(token).map_or(Cow::Borrowed(inside), Cow::Owned)
}
