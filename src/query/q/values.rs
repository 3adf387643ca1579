//! Values of a search: numbers with units, times, patterns.

use super::Compare;
use crate::query::filter::parse_time;
use crate::time::UnixNanos;
use std::time::Duration;

/// What a comparison begins with; the longer ones first.
const COMPARES: [(&str, Compare); 5] = [
    (">=", Compare::AtLeast),
    ("<=", Compare::AtMost),
    (">", Compare::Greater),
    ("<", Compare::Less),
    ("=", Compare::Equal),
];

/// The comparison that a value begins with, and the rest.
pub(super) fn compare(text: &str) -> (Option<Compare>, &str) {
    let found = COMPARES.iter().find_map(|(sign, compare)| Some((Some(*compare), text.strip_prefix(sign)?)));
    found.unwrap_or((None, text))
}

/// A number that is not infinite.
pub(super) fn number(text: &str) -> Option<f64> {
    let is_number = text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E'));
    text.parse().ok().filter(|number: &f64| is_number && number.is_finite())
}

/// `10000`, `10k`, `1.5M`.
pub(super) fn count(text: &str) -> Option<f64> {
    let units = [("k", 1e3), ("K", 1e3), ("M", 1e6)];
    with_unit(text, &units).or_else(|| number(text))
}

/// `0.1`, `$0.1`.
pub(super) fn cost(text: &str) -> Option<f64> {
    number(text.strip_prefix('$').unwrap_or(text))
}

/// Nanoseconds of `500ms`, `2s`, `1.5m`.
pub(super) fn duration(text: &str) -> Option<f64> {
    let units = [
        ("ns", 1.0),
        ("us", 1e3),
        ("\u{b5}s", 1e3),
        ("ms", 1e6),
        ("s", 1e9),
        ("m", 60e9),
        ("h", 3_600e9),
        ("d", 86_400e9),
    ];
    with_unit(text, &units)
}

fn with_unit(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    units.iter().find_map(|(unit, factor)| Some(number(text.strip_suffix(unit)?)? * factor))
}

/// A day, RFC 3339, or a duration before now: `-1h`.
pub(super) fn time(text: &str, now: UnixNanos) -> Option<UnixNanos> {
    match text.strip_prefix('-') {
        Some(ago) => {
            let ago = Duration::try_from_secs_f64(duration(ago)? / 1e9).ok()?;
            Some(now.saturating_sub(ago))
        }
        None => parse_time(text),
    }
}

/// The pattern of `LIKE` for a word in which `*` is any text, if it has one.
pub(super) fn pattern(word: &str) -> Option<String> {
    if !word.contains('*') {
        return None;
    }
    let mut pattern = String::with_capacity(word.len() + 8);
    for c in word.chars() {
        match c {
            '*' => pattern.push('%'),
            '%' | '_' | '\\' => pattern.extend(['\\', c]),
            other => pattern.push(other),
        }
    }
    Some(pattern)
}
