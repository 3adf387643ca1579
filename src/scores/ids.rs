//! Ids that are made here: random ones, and those that follow from what they name.

use crate::random;
use sha2::{Digest as _, Sha256};

/// A random id: the prefix and 32 hex digits.
#[must_use]
pub fn random(prefix: &str) -> String {
    let digits: String = random::bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{prefix}{digits}")
}

/// The id of what these texts name together: SHA-256 over the length of each, as eight bytes with the highest first, and its bytes; of
/// that the first 32 hex digits.
#[must_use]
pub fn stable(prefix: &str, parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        digest.update(length.to_be_bytes());
        digest.update(part.as_bytes());
    }
    let digits: String = digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{prefix}{digits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_an_evaluator_result_is_the_one_that_the_reference_gives() {
        // recorded from nemo-platform 0.2.0
        let id = stable("eval-", &["default", "sess-1", "a2a2a2a2a2a2a2a2", "helpful"]);
        assert_eq!(id, "eval-8b042b967de034e3aecc565e444049ea");
        assert_ne!(stable("", &["ab", "c"]), stable("", &["a", "bc"]));
    }
}
