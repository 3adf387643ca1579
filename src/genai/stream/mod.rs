//! Streamed responses: read from server-sent events or lists of chunks, and merged into the response they stand for.

pub(crate) mod delta;
pub(crate) mod merge;
mod ordered;
pub(crate) mod sse;
