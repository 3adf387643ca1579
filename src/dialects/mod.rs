//! Dialects: whatever convention a span's attributes follow, the same typed columns come of them.
//!
//! ```text
//! key --kind--> ordinary, typed or content      at every attribute, so it looks at a few bytes
//! a span with typed or content attributes --normalise--> Typed
//! ```
//!
//! Attributes stay as they were sent; only the typed columns are brought together. Source: section 4 of the mapping
//! specification.

mod keys;
mod rules;

pub use keys::{is_event, kind};
pub use rules::normalise;
