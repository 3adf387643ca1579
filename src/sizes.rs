//! What people write in a configuration: sizes as `134217728` or `128MiB`, and sections with nothing in them.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub usize);

const UNITS: [(&str, usize); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl ByteSize {
    /// So many MiB.
    #[must_use]
    pub const fn mib(count: usize) -> Self {
        Self(count << 20)
    }

    /// For people: `1.5 GiB`.
    #[must_use]
    pub fn rounded(self) -> String {
        let unit = UNITS.iter().take(3).find(|(_, factor)| self.0 >= *factor);
        unit.map_or_else(
            || format!("{} B", self.0),
            |(unit, factor)| format!("{}.{} {unit}", self.0 / factor, self.0 % factor * 10 / factor),
        )
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let unit = unit.trim();
        let factor = if unit.is_empty() {
            1
        } else {
            UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, factor)| *factor)?
        };
        digits.parse::<usize>().ok()?.checked_mul(factor).map(Self)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = UNITS.iter().take(3).find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor));
        match whole {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| D::Error::custom(format_args!("{text:?} is not a size: write bytes, or 64MiB")))
    }
}

/// Reads a section; one without keys, as an editor may leave it, is the default.
///
/// # Errors
/// If there is something else than the section's keys.
pub fn empty_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(section: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(section).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in
            [("0", 0), ("1024", 1024), ("64MiB", 64 << 20), ("1 GiB", 1 << 30), ("5kb", 5_000), ("7 B", 7)]
        {
            assert_eq!(ByteSize::parse(text), Some(ByteSize(bytes)), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5GiB", "1 parsec", "99999999999GiB"] {
            assert_eq!(ByteSize::parse(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_rounded_for_people() {
        for (bytes, text) in
            [(0, "0 B"), (1_023, "1023 B"), (1_536, "1.5 KiB"), (1 << 30, "1.0 GiB"), (5 << 29, "2.5 GiB")]
        {
            assert_eq!(ByteSize(bytes).rounded(), text);
        }
    }

    #[test]
    fn sizes_are_written_in_the_largest_unit_that_divides_them() {
        let written = |bytes| serde_json::to_string(&ByteSize(bytes)).unwrap();
        assert_eq!(
            [written(128 << 20), written(3 << 10), written(1_000), written(0)],
            ["\"128MiB\"", "\"3KiB\"", "\"1000\"", "\"0\""]
        );
    }
}
