//! How many calls had no price, by provider and model.

use crate::locks::locked;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// Most pairs of provider and model that are counted apart. Calls of further ones are counted as [`OTHER`].
pub const PAIRS_MAX: usize = 100;
/// Longest name that is counted apart, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// Provider and model of all others.
pub const OTHER: &str = "other";

/// The counts since the start.
#[derive(Debug, Default)]
pub(super) struct Unpriced {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    pairs: usize,
    by_provider: BTreeMap<Box<str>, BTreeMap<Box<str>, u64>>,
    others: u64,
}

impl Unpriced {
    pub(super) fn add(&self, provider: &str, model: &str) {
        let mut counts = locked(&self.counts);
        if let Some(count) = counts.by_provider.get_mut(provider).and_then(|models| models.get_mut(model)) {
            *count += 1;
        } else if counts.pairs < PAIRS_MAX && provider.len() <= NAME_BYTES_MAX && model.len() <= NAME_BYTES_MAX {
            counts.pairs += 1;
            counts.by_provider.entry(provider.into()).or_default().insert(model.into(), 1);
        } else {
            counts.others += 1;
        }
    }

    /// Provider, model and count of each.
    pub(super) fn counts(&self) -> Vec<(String, String, u64)> {
        let counts = locked(&self.counts);
        let pairs = counts.by_provider.iter().flat_map(|(provider, models)| {
            models.iter().map(|(model, count)| (provider.to_string(), model.to_string(), *count))
        });
        let others = (counts.others > 0).then(|| (OTHER.to_owned(), OTHER.to_owned(), counts.others));
        pairs.chain(others).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_pairs_are_counted_apart_and_the_rest_together() {
        let unpriced = Unpriced::default();
        for number in 0..150 {
            unpriced.add("p", &number.to_string());
            unpriced.add("p", "0");
        }
        unpriced.add("p", &"m".repeat(NAME_BYTES_MAX + 1));
        let counts = unpriced.counts();
        assert_eq!(counts.len(), PAIRS_MAX + 1);
        assert!(counts.contains(&("p".into(), "0".into(), 151)) && counts.contains(&("p".into(), "99".into(), 1)));
        assert_eq!(counts.last().unwrap(), &(OTHER.to_owned(), OTHER.to_owned(), 51));
    }
}
