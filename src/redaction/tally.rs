//! How many of what were taken out.

use std::sync::Arc;

/// Attributes that say how many are named so: `millrace.redacted.email`.
pub const ATTRIBUTE_PREFIX: &str = "millrace.redacted.";

/// Numbers by the name of what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally(Vec<(Arc<str>, u64)>);

impl Tally {
    /// One more.
    pub(super) fn count(&mut self, name: &Arc<str>) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, count)) => *count += 1,
            None => self.0.push((Arc::clone(name), 1)),
        }
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Name and number of each, in the order they were found.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, count)| (&**name, *count))
    }

    /// Adds those of another.
    pub fn add(&mut self, other: &Self) {
        for (name, more) in &other.0 {
            match self.0.iter_mut().find(|(known, _)| known == name) {
                Some((_, count)) => *count += more,
                None => self.0.push((Arc::clone(name), *more)),
            }
        }
    }
}
