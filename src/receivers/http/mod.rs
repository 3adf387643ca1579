//! What the HTTP receivers share: the listener, bodies within bounds, and content codings.

pub(crate) mod body;
pub(crate) mod encoding;
pub(crate) mod lines;
pub mod listener;
