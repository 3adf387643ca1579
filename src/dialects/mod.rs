//! Dialects: whatever convention a span's attributes follow, the same typed columns come of them.
//!
//! ```text
//! key --kind--> ordinary, typed or content      at every attribute, so it looks at a few bytes
//! a span with typed or content attributes --normalise--> Typed
//!
//! attributes --keys--> Slots --rules--> operation  sources  usage  cost  finish  timing  failure  parameters
//!                                       messages (every form of messages as the conventions' parts; tools; system prompt)
//! ```
//!
//! Attributes stay as they were sent; only the typed columns are brought together. Source: section 4 of the mapping
//! specification.

mod cost;
mod failure;
mod finish;
mod keys;
mod messages;
mod operation;
mod parameters;
mod rules;
mod slots;
mod sources;
mod timing;
mod usage;

pub use keys::{is_event, kind};
pub use rules::normalise;
