//! Whether a key comes twice among those of a row, found without hashing each: keys are few and nearly all differ.

use super::strings::StringsIter;
use crate::numbers::{saturating_usize, to_u64};

/// Keys among which one that looks like another is compared with each before it. Among more they are sorted instead.
pub(super) const COMPARED_KEYS_MAX: usize = 64;

/// Whether a key comes twice. Keys are few and differ, and a set of sketches nearly always shows that.
pub(super) fn has_duplicates(keys: &[u8]) -> bool {
    let mut seen = [0_u64; SKETCHES / 64];
    for (index, key) in StringsIter(keys).enumerate() {
        let sketch = sketch(key);
        let Some(word) = seen.get_mut(sketch / 64) else { return true };
        let bit = 1_u64 << (sketch % 64);
        if *word & bit != 0 {
            if index >= COMPARED_KEYS_MAX {
                return has_duplicates_once_sorted(keys);
            }
            if StringsIter(keys).take(index).any(|earlier| earlier == key) {
                return true;
            }
        }
        *word |= bit;
    }
    false
}

fn has_duplicates_once_sorted(keys: &[u8]) -> bool {
    let mut keys: Vec<_> = StringsIter(keys).collect();
    keys.sort_unstable();
    keys.windows(2).any(|pair| matches!(pair, [a, b] if a == b))
}

/// How many sketches of a key there are.
const SKETCHES: usize = 1 << 10;

/// A number below [`SKETCHES`] that differs for most pairs of keys: of their length, first and last bytes.
pub(super) fn sketch(key: &[u8]) -> usize {
    // odd, its bits in no order: the fraction of the golden ratio
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let ends = match (key.first_chunk(), key.last_chunk()) {
        (Some(first), Some(last)) => u64::from_le_bytes(*first).rotate_left(32) ^ u64::from_le_bytes(*last),
        _ => key.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    let spread = (ends ^ to_u64(key.len())).wrapping_mul(SPREAD);
    saturating_usize(spread >> (u64::BITS - SKETCHES.ilog2()))
}
