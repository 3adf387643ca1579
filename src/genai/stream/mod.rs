//! Streamed responses: read from server-sent events or lists of chunks, and merged into the response they stand for.

mod content;
pub(crate) mod delta;
mod events;
mod joined;
pub(crate) mod merge;
mod ordered;
pub(crate) mod sse;
