//! A place in JSON text, and the steps from there: over white space, strings, numbers and whole values.
//!
//! What is passed over is checked as strictly as what is read. Values nest as deep as they like: passing over them is a loop.
//!
//! Source: RFC 8259.

use crate::json::text::{StringKind, scan_number, scan_string};
use crate::steps;
use crate::text::decode_string_into;

/// What is wrong with a text that is not JSON, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub(super) struct SyntaxError {
    at: usize,
    what: &'static str,
}

pub(super) type Result<T> = std::result::Result<T, SyntaxError>;

/// A string as it stands in the text, without its quotes.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawString<'t> {
    raw: &'t str,
    is_plain: bool,
}

impl<'t> RawString<'t> {
    /// Its value; `room` holds that of a string with escapes. A lone surrogate becomes U+FFFD.
    #[inline]
    pub(super) fn value<'r>(self, room: &'r mut String) -> &'r str
    where
        't: 'r,
    {
        if self.is_plain {
            return self.raw;
        }
        room.clear();
        decode_string_into(self.raw, room);
        room
    }
}

/// A place in a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn error(&self, what: &'static str) -> SyntaxError {
        SyntaxError { at: self.at, what }
    }

    /// The next byte that is not white space.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = self.text.as_bytes().get(self.at).copied();
            if !matches!(byte, Some(b' ' | b'\n' | b'\r' | b'\t')) {
                return byte;
            }
            self.at += 1;
        }
    }

    /// Steps over this byte, if it comes next.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Steps over this string, if it comes next: no escape in it, quotes included.
    #[inline]
    pub(super) fn take_name(&mut self, quoted: &[u8]) -> bool {
        let is_next = self.peek() == Some(b'"') && self.rest().starts_with(quoted);
        self.at += if is_next { quoted.len() } else { 0 };
        is_next
    }

    /// Steps over `null`, if it comes next.
    pub(super) fn take_null(&mut self) -> bool {
        self.peek() == Some(b'n') && self.word("null").is_ok()
    }

    fn rest(&self) -> &'t [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// Ends the text.
    pub(super) fn end(&mut self) -> Result<()> {
        if self.peek().is_some() { Err(self.error("unexpected text after the value")) } else { Ok(()) }
    }

    /// Begins an array or object that was peeked at; returns whether it has anything in it.
    pub(super) fn open(&mut self, close: u8) -> bool {
        self.at += 1;
        !self.take(close)
    }

    /// After an element or a member: whether another one follows.
    #[inline]
    pub(super) fn another(&mut self, close: u8) -> Result<bool> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            Some(_) => Err(self.error("expected a comma or the end of the list")),
            None => Err(self.error("unexpected end")),
        }
    }

    /// Reads a member's name and the colon after it.
    #[inline]
    pub(super) fn name(&mut self) -> Result<RawString<'t>> {
        if self.peek() != Some(b'"') {
            return Err(self.error("expected a key in double quotes"));
        }
        let name = self.string()?;
        if self.take(b':') { Ok(name) } else { Err(self.error("expected a colon")) }
    }

    /// Reads the string that was peeked at.
    #[inline]
    pub(super) fn string(&mut self) -> Result<RawString<'t>> {
        let start = self.at + 1;
        let (end, kind) = scan_string(self.text.as_bytes(), start).map_err(|(at, what)| SyntaxError { at, what })?;
        steps::take(end - start);
        self.at = end + 1;
        let raw = self.text.get(start..end).expect("quotes are between characters");
        Ok(RawString { raw, is_plain: kind == StringKind::Plain })
    }

    /// Reads a string without escapes, if one comes next.
    #[inline]
    pub(super) fn plain(&mut self) -> Option<&'t str> {
        let string = (self.peek() == Some(b'"')).then(|| self.string().ok())??;
        string.is_plain.then_some(string.raw)
    }

    /// The text of the next value.
    #[inline]
    pub(super) fn value(&mut self) -> Result<&'t str> {
        let first = self.peek();
        let start = self.at;
        match first {
            Some(b'"') => drop(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => self.pass_over()?,
        }
        Ok(self.text.get(start..self.at).expect("a value begins and ends between characters"))
    }

    fn number(&mut self) -> Result<()> {
        let end = scan_number(self.text.as_bytes(), self.at);
        self.at = end.map_err(|at| SyntaxError { at, what: "invalid number" })?;
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<()> {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(self.error("expected a value"));
        }
        self.at += word.len();
        Ok(())
    }

    /// Steps over the next value, however deep it is.
    pub(super) fn pass_over(&mut self) -> Result<()> {
        let mut open = Vec::new();
        self.pass_over_first(&mut open)?;
        while let Some(close) = open.last().copied() {
            if self.another(close)? {
                if close == b'}' {
                    self.name()?;
                }
                self.pass_over_first(&mut open)?;
            } else {
                open.pop();
            }
        }
        Ok(())
    }

    /// Steps over a scalar, or into the first scalar of an array or object; `open` has the brackets that end what was begun.
    fn pass_over_first(&mut self, open: &mut Vec<u8>) -> Result<()> {
        loop {
            steps::take(1);
            let close = match self.peek() {
                Some(b'{') => b'}',
                Some(b'[') => b']',
                Some(b'"') => return self.string().map(drop),
                Some(b'-' | b'0'..=b'9') => return self.number(),
                Some(b't') => return self.word("true"),
                Some(b'f') => return self.word("false"),
                Some(b'n') => return self.word("null"),
                Some(_) => return Err(self.error("expected a value")),
                None => return Err(self.error("unexpected end")),
            };
            if !self.open(close) {
                return Ok(());
            }
            open.push(close);
            if close == b'}' {
                self.name()?;
            }
        }
    }
}
