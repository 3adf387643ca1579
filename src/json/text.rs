//! JSON's text level: where strings and numbers end, and whether every reader understands an escape.

use crate::text::hex_unit;

/// What kind of string it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StringKind {
    /// Without escapes: its text is its value.
    Plain,
    /// With escapes that every reader understands.
    Escaped,
    /// With an escape that stands for half a character (a lone surrogate).
    Broken,
}

/// Finds the end of the number at `at`. The error is where it stops being a number.
pub(crate) fn scan_number(bytes: &[u8], at: usize) -> Result<usize, usize> {
    let is = |at: usize, wanted: &[u8]| bytes.get(at).is_some_and(|byte| wanted.contains(byte));
    let digits = |mut at: usize| {
        let start = at;
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        if at == start { Err(at) } else { Ok(at) }
    };
    let start = if is(at, b"-") { at + 1 } else { at };
    let mut end = if is(start, b"0") { start + 1 } else { digits(start)? };
    if is(end, b".") {
        end = digits(end + 1)?;
    }
    if is(end, b"eE") {
        let exponent = if is(end + 1, b"+-") { end + 2 } else { end + 1 };
        end = digits(exponent)?;
    }
    Ok(end)
}

/// Finds the closing quote of the string whose text starts at `start`, and what kind of string it is.
pub(crate) fn scan_string(bytes: &[u8], start: usize) -> Result<(usize, StringKind), (usize, &'static str)> {
    const SHORT_STRING: usize = 24;
    const UNENDING: &str = "string without an end";
    let (mut at, mut kind) = (start, StringKind::Plain);
    loop {
        let rest = bytes.get(at..).expect("an escape ends within the text");
        // names and most values are short: a call of the vectorised search costs more than it saves
        let near = rest.iter().take(SHORT_STRING).position(|byte| matches!(byte, b'"' | b'\\'));
        let Some(length) = near.or_else(|| memchr::memchr2(b'"', b'\\', rest)) else {
            return Err((bytes.len(), UNENDING));
        };
        let (clean, end) = rest.split_at(length);
        // two passes: this check and the search above are both vectorised, one loop over both is not, nor one that ends early
        if clean.iter().fold(false, |seen, byte| seen | (*byte < 0x20)) {
            let before = clean.iter().take_while(|byte| **byte >= 0x20).count();
            return Err((at + before, "control character in a string"));
        }
        at += length;
        if end.first() == Some(&b'"') {
            return Ok((at, kind));
        }
        let escape = scan_escape(bytes, at + 1).ok_or((at, "invalid escape"))?;
        at = escape.end;
        kind = match kind {
            StringKind::Broken => StringKind::Broken,
            _ if escape.is_lone_surrogate => StringKind::Broken,
            _ => StringKind::Escaped,
        };
    }
}

struct Escape {
    end: usize,
    is_lone_surrogate: bool,
}

/// Reads the escape whose letter is at `at`.
fn scan_escape(bytes: &[u8], at: usize) -> Option<Escape> {
    match bytes.get(at)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {
            Some(Escape { end: at + 1, is_lone_surrogate: false })
        }
        b'u' => {
            let unit = hex_unit(bytes, at + 1)?;
            match unit {
                0xD800..=0xDBFF => {
                    let follows = bytes.get(at + 5) == Some(&b'\\') && bytes.get(at + 6) == Some(&b'u');
                    let low = follows.then(|| hex_unit(bytes, at + 7)).flatten();
                    let pairs = low.is_some_and(|low| (0xDC00..=0xDFFF).contains(&low));
                    Some(Escape { end: if pairs { at + 11 } else { at + 5 }, is_lone_surrogate: !pairs })
                }
                _ => Some(Escape { end: at + 5, is_lone_surrogate: (0xDC00..=0xDFFF).contains(&unit) }),
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::{decode_string, write_string};

    #[test]
    fn lone_surrogates_are_replaced_and_pairs_are_not() {
        assert_eq!(decode_string(r"\ud83d\ude00"), "😀");
        assert_eq!(decode_string(r"\ud83d\u0041\ude00x\ud83d"), "\u{fffd}A\u{fffd}x\u{fffd}");
        assert_eq!(scan_string(br#"\ud83d\ude00""#, 0), Ok((12, StringKind::Escaped)));
        assert_eq!(scan_string(br#"\ude00\n""#, 0), Ok((8, StringKind::Broken)));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(text in any::<String>()) {
            let mut json = String::new();
            write_string(&mut json, &text);
            prop_assert_eq!(&serde_json::from_str::<String>(&json).unwrap(), &text);
            let (end, _) = scan_string(json.as_bytes(), 1).unwrap();
            prop_assert_eq!(decode_string(json.get(1..end).unwrap()), text);
        }
    }
}
