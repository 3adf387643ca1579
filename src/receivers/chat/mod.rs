//! Captured calls: one, many as lines, and the records of other tools.

mod answers;
mod batch;
mod ndjson;
pub mod receiver;
pub(crate) mod response;
pub(crate) mod routes;
pub(crate) mod row;
mod vendor;
