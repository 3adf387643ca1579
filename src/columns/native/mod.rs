//! The Native format: encoding a block, reading one back, and the compressed frames that carry it.

pub mod encode;
pub mod frames;
pub mod parse;
