//! The engine's process: libchdb, the statements that run in it, and the fence around it.

pub(crate) mod capacity;
pub(crate) mod instance;
pub(crate) mod job;
pub(crate) mod libchdb;
pub(crate) mod run;
pub(crate) mod sandbox;
pub(crate) mod sessions;
pub(crate) mod settings;
pub(crate) mod system_calls;
#[cfg(test)]
mod tests;
