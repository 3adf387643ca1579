//! What is secret or personal is taken out of requests before anything of them is read further, written or logged.
//!
//! ```text
//! a text           detectors and patterns find what is to go; checks (Luhn, mod 97) sort out what only looks like it
//! a JSON text      its strings, keys and numbers one by one, so that it stays JSON; a string that is JSON itself, again
//! a stream's text  each of its lines `data: ...` as JSON
//! a key            a value of that attribute, or member, goes whole
//! ```
//!
//! Pure functions over texts; who has requests calls them (`otlp/redacted.rs`, `receivers/chat/`). What a request says is the same
//! whenever it comes again, so that repeats are still recognised.

mod config;
mod detectors;
mod json;
mod of_workspaces;
mod prefilter;
mod rules;
mod sse;
mod tally;

pub use config::{Action, Config, KeyRule, Pattern, RuleSet};
pub use detectors::Detector;
pub use of_workspaces::Redaction;
pub use rules::{KeyHit, Rules};
pub use tally::{ATTRIBUTE_PREFIX, Tally};

#[cfg(test)]
mod tests;
