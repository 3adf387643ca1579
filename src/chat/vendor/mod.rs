//! Records of other tools that log model calls: LiteLLM and Helicone.

pub(crate) mod foreign;
pub mod helicone;
pub mod litellm;
pub mod records;
