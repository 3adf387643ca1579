//! Numbers that are not finite, as Python writes them: without the quotes that OTLP/JSON has around them.

use crate::steps;

/// The text with quotes around `NaN`, `Infinity` and `-Infinity`, which Python writes without: so OTLP/JSON has them. `None` if there is
/// none of them.
pub(super) fn quoted_not_finite(text: &str) -> Option<String> {
    const WORDS: [&str; 3] = ["NaN", "Infinity", "-Infinity"];
    let mut quoted: Option<String> = None;
    let (mut copied_to, mut in_string, mut skip_to) = (0, false, 0);
    for (at, byte) in text.bytes().enumerate().filter(|(_, byte)| matches!(byte, b'"' | b'\\' | b'N' | b'I' | b'-')) {
        steps::take(1);
        if at < skip_to {
            continue;
        }
        match byte {
            b'\\' if in_string => skip_to = at + 2,
            b'"' => in_string = !in_string,
            b'N' | b'I' | b'-' if !in_string => {
                let rest = text.get(at..).unwrap_or_default();
                let Some(word) = WORDS.iter().find(|word| rest.starts_with(**word)) else { continue };
                let out = quoted.get_or_insert_with(|| String::with_capacity(text.len() + 64));
                out.push_str(text.get(copied_to..at).unwrap_or_default());
                out.extend(["\"", word, "\""]);
                copied_to = at + word.len();
                skip_to = copied_to;
            }
            _ => {}
        }
    }
    let mut quoted = quoted?;
    quoted.push_str(text.get(copied_to..).unwrap_or_default());
    Some(quoted)
}
