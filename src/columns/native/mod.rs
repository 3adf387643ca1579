//! The Native format of ClickHouse, and the compressed frames around it.

pub mod encode;
pub mod frames;
mod json;
pub mod parse;
