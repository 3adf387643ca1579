//! The HTTP interface of the embedded engine: from a request to its answer.

pub(crate) mod body;
pub(crate) mod flush;
pub(crate) mod guard;
pub(crate) mod handler;
pub(crate) mod headers;
pub(crate) mod info;
pub(crate) mod listener;
pub(crate) mod request;
pub(crate) mod respond;
