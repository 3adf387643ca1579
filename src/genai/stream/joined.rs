//! A text in pieces, put together: a character whose halves are in two pieces becomes whole.
//!
//! ```text
//! "Hi \ud83d"  "\ude00!"   ->   Hi 😀!
//! ```
//!
//! JavaScript cuts texts between UTF-16 units, and writes each half as an escape of its own.

use crate::json::document::Value;

/// The text so far.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    text: String,
    /// The first half of a character, when the last piece ended in one. `text` ends in U+FFFD then.
    half: Option<u16>,
}

impl Joined {
    /// Adds a piece: a string's value, or what stands for another value.
    pub(crate) fn push(&mut self, piece: Value<'_>) {
        let Some(more) = piece.str() else { return };
        if more.is_empty() {
            return;
        }
        let (begins, ends) = piece.halves();
        let whole = self
            .half
            .take()
            .zip(begins)
            .and_then(|(high, low)| char::decode_utf16([high, low]).next().and_then(Result::ok));
        match whole.zip(more.strip_prefix(char::REPLACEMENT_CHARACTER)) {
            Some((whole, rest)) => {
                self.text.pop();
                self.text.push(whole);
                self.text.push_str(rest);
            }
            None => self.text.push_str(&more),
        }
        self.half = ends;
    }

    /// Adds text of our own.
    pub(crate) fn push_str(&mut self, more: &str) {
        self.half = None;
        self.text.push_str(more);
    }

    /// What there is.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::document::Document;

    fn joined(pieces: &[&str]) -> String {
        let mut joined = Joined::default();
        for piece in pieces {
            joined.push(Document::parse(format!("\"{piece}\"")).unwrap().root());
        }
        joined.text
    }

    #[test]
    fn halves_of_a_character_in_neighbouring_pieces_are_one() {
        assert_eq!(joined(&[r"Hi \ud83d", r"\ude00!"]), "Hi 😀!");
        assert_eq!(joined(&[r"\ud83d", r"\ude00"]), "😀");
        assert_eq!(joined(&[r"\ud83d", "", r"\uDE00\uD83D", r"\ude00"]), "😀😀");
        assert_eq!(joined(&[r"a\ud83d", r"b\ude00"]), "a\u{fffd}b\u{fffd}");
        assert_eq!(
            joined(&[r"a\ud83d", "\u{fffd}b"]),
            "a\u{fffd}\u{fffd}b",
            "a character of the sender's own is no half"
        );
        assert_eq!(joined(&[r"a\\ud83d", r"\ude00"]), "a\\ud83d\u{fffd}", "a backslash before it makes it plain text");
        assert_eq!(joined(&[r"a\ud83d\ude00", r"\ude00"]), "a😀\u{fffd}");
    }
}
