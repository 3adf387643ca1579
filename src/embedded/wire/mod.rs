//! What clients of ClickHouse write and expect: statements, errors, formats, and revisions of Native.

pub(crate) mod allowed;
pub(crate) mod claim;
pub(crate) mod errors;
pub(crate) mod formats;
pub(crate) mod inspect;
pub(crate) mod lexer;
pub(crate) mod native_revision;
mod scan;
pub(crate) mod statement;
