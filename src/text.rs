//! Text within its bounds, numbers as text, and text as it stands in JSON and in base64.

use crate::steps;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use std::borrow::Cow;
use std::cell::Cell;
use std::fmt::{Display, Write as _};

thread_local! {
    static REPLACED: Cell<u64> = const { Cell::new(0) };
}

fn count_replaced() {
    REPLACED.with(|replaced| replaced.set(replaced.get() + 1));
}

/// The text of bytes that may be none: those that are not UTF-8 become U+FFFD, and that is counted.
#[must_use]
pub fn mended(bytes: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(bytes);
    if matches!(text, Cow::Owned(_)) {
        count_replaced();
    }
    text
}

/// How many texts this thread has mended since it was last asked: bytes that are not UTF-8, escapes of half a character.
#[must_use]
pub fn take_mended() -> u64 {
    REPLACED.with(Cell::take)
}

/// The longest beginning of `text` that has at most `bytes_max` bytes and ends between two characters.
#[must_use]
pub fn cut(text: &str, bytes_max: usize) -> &str {
    text.split_at(text.floor_char_boundary(bytes_max)).0
}

/// The first letters of a name that anybody may have given, to be shown on one line: nothing of it moves a terminal's cursor.
pub fn on_one_line(name: &str, letters_max: usize) -> String {
    name.chars().take(letters_max).map(|letter| if letter.is_control() { '_' } else { letter }).collect()
}

/// A number with its noun, which is given for one: `1 row`, `2 rows`, `1,000 rows`.
#[must_use]
pub fn counted(count: impl Display, one: &str) -> String {
    let count = count.to_string();
    let end = if count == "1" { "" } else { "s" };
    format!("{count} {one}{end}")
}

/// Which of the known names a misspelt one may stand for: the most similar, if it is similar at all.
pub fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let rated = known.map(|known| (strsim::jaro_winkler(known, name), known));
    let (similarity, nearest) = rated.max_by(|(left, _), (right, _)| left.total_cmp(right))?;
    (similarity > 0.8).then_some(nearest)
}

/// Whether a text is of the pattern, in which `*` stands for any text.
#[must_use]
pub fn is_like(pattern: &[u8], text: &[u8]) -> bool {
    let mut parts = pattern.split(|byte| *byte == b'*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts: Vec<&[u8]> = parts.collect();
    // without a star nothing may follow
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        let Some(at) = rest.windows(part.len()).position(|window| window == part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

/// The shortest text that reads back as the same number; an exponent below 1e-6 and from 1e21 on, as in JSON of
/// ECMAScript and Go.
pub fn put_double(out: &mut String, number: f64) {
    let size = number.abs();
    let _writing_to_a_string_cannot_fail = if number.is_nan() {
        out.write_str("NaN")
    } else if number.is_infinite() {
        out.write_str(if number > 0.0 { "Infinity" } else { "-Infinity" })
    } else if size != 0.0 && size < 1e-6 {
        write!(out, "{number:e}")
    } else if size >= 1e21 {
        out.write_str(&format!("{number:e}").replace('e', "e+"))
    } else {
        write!(out, "{number}")
    };
}

/// Writes `text` as a JSON string, quotes included.
pub fn write_string(out: &mut String, text: &str) {
    out.push('"');
    write_escaped(out, text);
    out.push('"');
}

/// Writes `text` as the inside of a JSON string.
pub fn write_escaped(out: &mut String, text: &str) {
    steps::take(text.len());
    let mut rest = text;
    while let Some((at, byte)) = rest.bytes().enumerate().find(|(_, byte)| matches!(byte, 0..0x20 | b'"' | b'\\')) {
        let (clean, escaped) = rest.split_at(at);
        out.push_str(clean);
        // the byte is a character of its own
        (_, rest) = escaped.split_at(1);
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            control => {
                out.push_str(if control < 16 { "\\u000" } else { "\\u001" });
                out.extend(char::from_digit(u32::from(control % 16), 16));
            }
        }
    }
    out.push_str(rest);
}

/// The value of a string's text, which is valid. A lone surrogate becomes U+FFFD.
#[must_use]
pub fn decode_string(raw: &str) -> String {
    let mut out = String::new();
    decode_string_into(raw, &mut out);
    out
}

/// Appends the value of a string's text, which is valid, as [`decode_string`] gives it.
pub(crate) fn decode_string_into(raw: &str, out: &mut String) {
    steps::take(raw.len());
    out.reserve(raw.len());
    let mut rest = raw;
    while let Some((clean, escaped)) = rest.split_once('\\') {
        out.push_str(clean);
        rest = decode_escape(escaped, out);
    }
    out.push_str(rest);
}

/// Appends what the escape at the start of `text` (after its backslash) stands for; returns the text after it.
fn decode_escape<'t>(text: &'t str, out: &mut String) -> &'t str {
    let mut after = text.chars();
    let decoded = match after.next() {
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some('u') => return decode_unicode(text, out),
        Some(itself) => itself,
        None => return "",
    };
    out.push(decoded);
    after.as_str()
}

/// As [`decode_escape`], for `uXXXX` and for a pair `uXXXX\uXXXX`.
fn decode_unicode<'t>(text: &'t str, out: &mut String) -> &'t str {
    let bytes = text.as_bytes();
    let first = hex_unit(bytes, 1).unwrap_or(0xFFFD);
    let second = text.get(5..).filter(|rest| rest.starts_with("\\u")).and_then(|_| hex_unit(bytes, 7));
    let (character, length) = match char::decode_utf16([first].into_iter().chain(second)).next() {
        Some(Ok(character)) => (character, if character.len_utf16() == 2 { 11 } else { 5 }),
        _ => {
            count_replaced();
            (char::REPLACEMENT_CHARACTER, 5)
        }
    };
    out.push(character);
    text.get(length..).unwrap_or_default()
}

/// The four hex digits at `at`.
pub(crate) fn hex_unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 4)?;
    digits.iter().try_fold(0_u16, |unit, digit| {
        let value = char::from(*digit).to_digit(16)?;
        Some(unit << 4 | u16::try_from(value).ok()?)
    })
}

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// The bytes of base64 as it is found: with or without padding, either alphabet, broken into lines.
#[must_use]
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    steps::take(text.len());
    let clean: Cow<'_, str> = if text.bytes().any(|c| c.is_ascii_whitespace()) {
        Cow::Owned(text.split_ascii_whitespace().collect())
    } else {
        Cow::Borrowed(text)
    };
    STANDARD.decode(clean.as_bytes()).or_else(|_| URL_SAFE.decode(clean.as_bytes())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, key, want) in [
            ("app.prompt", "app.prompt", true),
            ("app.prompt", "app.prompts", false),
            ("app.*", "app.prompt", true),
            ("app.*", "my.app.prompt", false),
            ("*.prompt", "app.prompt", true),
            ("*.prompt", "app.prompt.id", false),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c", false),
            ("a*a", "a", false),
            ("*", "", true),
        ] {
            assert_eq!(is_like(pattern.as_bytes(), key.as_bytes()), want, "{pattern} {key}");
        }
    }

    #[test]
    fn a_noun_agrees_with_its_number() {
        assert_eq!(
            [counted(0_u64, "row"), counted(1_usize, "row"), counted(2_i32, "row")],
            ["0 rows", "1 row", "2 rows"]
        );
        assert_eq!(
            [counted("1", "dead letter"), counted("1,000", "dead letter")],
            ["1 dead letter", "1,000 dead letters"]
        );
        assert_eq!(
            [counted(11, "import"), counted(21, "import"), counted(-1, "day")],
            ["11 imports", "21 imports", "-1 days"]
        );
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!([cut("häß", 2), cut("häß", 3), cut("häß", 99), cut("", 0)], ["h", "hä", "häß", ""]);
    }

    #[test]
    fn doubles_are_printed_as_javascript_and_go_print_them() {
        let shown = |number| {
            let mut out = String::new();
            put_double(&mut out, number);
            out
        };
        assert_eq!(
            [1.0, -0.0, 0.1, 1e20, 1e21, 1.5e-7, 1e-6].map(shown),
            ["1", "-0", "0.1", "100000000000000000000", "1e+21", "1.5e-7", "0.000001"]
        );
        assert_eq!([f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(shown), ["NaN", "Infinity", "-Infinity"]);
    }
}
