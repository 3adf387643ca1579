//! JSON's text level: where strings and numbers end, and whether every reader understands an escape.

use crate::numbers::to_usize;
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
    let (mut at, mut kind) = (start, StringKind::Plain);
    loop {
        at += plain_length(bytes.get(at..).expect("an escape ends within the text"));
        match bytes.get(at) {
            Some(b'"') => return Ok((at, kind)),
            Some(b'\\') => {}
            Some(_) => return Err((at, "control character in a string")),
            None => return Err((at, "string without an end")),
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

/// How many bytes there are before the first quote, backslash or control character.
#[inline]
fn plain_length(bytes: &[u8]) -> usize {
    /// Names and most values are not longer.
    const SHORT_WORDS: usize = 4;
    let ends = |byte: u8| byte == b'"' || byte == b'\\' || byte < 0x20;
    let in_word = |word: &[u8; 8]| ending_bits(u64::from_le_bytes(*word));
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().take(SHORT_WORDS).enumerate() {
        let bits = in_word(word);
        if bits != 0 {
            return index * 8 + to_usize(bits.trailing_zeros() / 8);
        }
    }
    if words.len() < SHORT_WORDS {
        let before = words.len() * 8;
        return before + rest.iter().position(|byte| ends(*byte)).unwrap_or(rest.len());
    }
    let before = SHORT_WORDS * 8;
    let long = bytes.get(before..).unwrap_or_default();
    let length = memchr::memchr2(b'"', b'\\', long).unwrap_or(long.len());
    // a pass of its own: both are vectorised, one loop over both is not, nor one that ends early
    let clean = long.get(..length).unwrap_or_default();
    let has_control = clean.iter().fold(u8::MAX, |least, byte| least.min(*byte)) < 0x20;
    let control = if has_control { clean.iter().position(|byte| *byte < 0x20) } else { None };
    before + control.unwrap_or(length)
}

/// Bits of which the lowest is in the first byte of the word that is a quote, a backslash or a control character; none if no byte is.
/// Source: Anderson, "Bit Twiddling Hacks", "Determine if a word has a byte less than n"; a byte after the first may be found wrongly.
#[inline]
fn ending_bits(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const TOPS: u64 = u64::from_le_bytes([0x80; 8]);
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES.wrapping_mul(limit)) & !word;
    let is = |byte: u8| below(word ^ ONES.wrapping_mul(byte.into()), 1);
    (is(b'"') | is(b'\\') | below(word, 0x20)) & TOPS
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
