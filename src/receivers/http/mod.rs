//! What receivers over HTTP share: headers, bodies within bounds, their lines, and content codings.

pub mod body;
pub(crate) mod encoding;
pub(crate) mod headers;
pub(crate) mod lines;
