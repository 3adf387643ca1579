//! Receivers of captured calls: one body, many lines, and the records of other tools.

pub(crate) mod answers;
pub(crate) mod capacity_wait;
pub(crate) mod ndjson;
pub mod single;
pub(crate) mod vendor;
