//! Conventions: a span's attributes and events in any of them become the same [`Call`](crate::genai::call::Call).
//!
//! ```text
//! key --kind--> ordinary, typed or content      at every attribute, so it looks at a few bytes
//! a span with typed or content attributes --normalise--> Call
//!
//! attributes --meaning, keys, agents--> Slots --rules--> operation  sources  usage  tier  cost  finish  timing  failure  parameters
//!                                       messages (every form of messages as the conventions' parts; tools; system prompt)
//! ```
//!
//! Attributes stay as they were sent; only the typed columns are brought together. Source: section 4 of the mapping
//! specification.

mod agents;
mod cost;
pub mod events;
mod failure;
mod finish;
mod keys;
mod meaning;
mod messages;
mod operation;
mod parameters;
mod rules;
mod slots;
mod sources;
mod tier;
mod timing;
mod usage;

pub use meaning::{is_event, kind};
pub use messages::{EventMessages, Side, side_of_message};
pub use rules::normalise;

use crate::json::document::{Document, JsonError};
use std::borrow::Cow;

/// Most values in one JSON text of an attribute; one with more is a text like any other. What is written from a text can
/// be many times as long as it is, for each value in it, so this bounds what a span can make us hold. The longest
/// conversations have some ten thousand.
const VALUES_MAX: usize = 200_000;

fn read_json<'t>(text: impl Into<Cow<'t, str>>) -> Result<Document<'t>, JsonError> {
    Document::parse_within(text, VALUES_MAX)
}
