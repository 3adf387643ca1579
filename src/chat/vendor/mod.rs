//! Records of other tools that log model calls: LiteLLM and Helicone.

pub mod helicone;
pub mod litellm;
mod record;
pub mod records;

#[cfg(test)]
mod tests;
