//! What clients of ClickHouse write and expect: statements, errors, formats, and revisions of Native.

#[cfg(test)]
mod agreement;
pub(crate) mod allowed;
pub(crate) mod errors;
pub(crate) mod formats;
pub(crate) mod lexer;
pub(crate) mod native_revision;
pub(crate) mod statement;
