//! Text within its bounds, numbers as text, and text as JSON.

use crate::steps;
use std::fmt::Write as _;

/// The longest beginning of `text` that has at most `bytes_max` bytes and ends between two characters.
#[must_use]
pub fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text)
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
    let mut clean_from = 0;
    for (at, byte) in text.bytes().enumerate().filter(|(_, byte)| matches!(byte, 0..0x20 | b'"' | b'\\')) {
        out.push_str(text.get(clean_from..at).unwrap_or_default());
        clean_from = at + 1;
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
    out.push_str(text.get(clean_from..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

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
