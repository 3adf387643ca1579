//! JSON as senders write it: a flat document that borrows from its text, with the text of every number, and a writer that keeps values
//! within bounds. Nothing here knows about models or calls.

pub(crate) mod build;
pub(crate) mod canonical;
pub(crate) mod document;
pub(crate) mod limits;
pub(crate) mod text;
pub(crate) mod writer;
