//! How large one value may be, and what is left of it when it is larger.

use crate::numbers::to_u64;
use crate::text;

/// Bounds of values, from the configuration (`genai.*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest text in bytes, as an attribute or anywhere inside a JSON attribute; the rest is cut.
    pub max_value_bytes: usize,
    /// Largest inline medium in bytes, decoded; a larger one becomes a reference by its hash.
    pub max_inline_media_bytes: usize,
}

impl Limits {
    /// Nothing is cut.
    pub(crate) const NONE: Self = Self { max_value_bytes: usize::MAX, max_inline_media_bytes: usize::MAX };
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_value_bytes: 1 << 20, max_inline_media_bytes: 64 << 10 }
    }
}

/// What is kept of a text that is too long, cut at a character, and how many bytes are missing. `None`: all of it.
pub(crate) fn cut(text: &str, bytes_max: usize) -> Option<(&str, u64)> {
    if text.len() <= bytes_max {
        return None;
    }
    let kept = text::cut(text, bytes_max);
    Some((kept, to_u64(text.len() - kept.len())))
}

/// What stands at the end of a text that was cut.
pub(crate) fn marker(missing: u64) -> String {
    format!("…[{missing} bytes cut by millrace]")
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn a_cut_falls_between_characters() {
        assert_eq!(cut("aé", 3), None);
        assert_eq!(cut("aéb", 2), Some(("a", 3)));
        assert_eq!(cut("é", 0), Some(("", 2)));
    }
}
