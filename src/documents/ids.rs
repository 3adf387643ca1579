//! Ids that follow from what a document calls its parts.

use crate::ids::{SpanId, TraceId};
use crate::numbers::to_u64;
use sha2::{Digest as _, Sha256};

/// A hash of what names something: each part with its length, so that parts do not run into each other.
fn digest<'p>(parts: impl IntoIterator<Item = &'p str>) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(to_u64(part.len()).to_be_bytes());
        digest.update(part.as_bytes());
    }
    digest.finalize().into()
}

/// The span that these parts name together.
pub(super) fn span<'p>(parts: impl IntoIterator<Item = &'p str>) -> SpanId {
    let digest = digest(parts);
    let found = digest.chunks_exact(8).find_map(|bytes| SpanId::from_slice(bytes).ok());
    found.or(SpanId::new([1; 8]).ok()).expect("an id of ones is not zero")
}

/// The trace that these parts name together.
pub(super) fn trace<'p>(parts: impl IntoIterator<Item = &'p str>) -> TraceId {
    let digest = digest(parts);
    let found = digest.chunks_exact(16).find_map(|bytes| TraceId::from_slice(bytes).ok());
    found.or(TraceId::new([1; 16]).ok()).expect("an id of ones is not zero")
}
