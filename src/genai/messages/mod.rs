//! Messages, their parts, media and tools, in the form of the GenAI semantic conventions.

pub(crate) mod media;
pub(crate) mod message;
pub(crate) mod parts;
pub(crate) mod preview;
pub(crate) mod reader;
pub(crate) mod system;
pub(crate) mod tools;
