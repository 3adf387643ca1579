//! The section `query` of the configuration.

use crate::sizes::ByteSize;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What questions may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// How long ClickHouse may work on one statement.
    #[serde(with = "crate::time::spelt")]
    pub max_execution_time: Duration,
    /// Memory of ClickHouse for one statement.
    pub max_memory: ByteSize,
    /// Statements at the same time; others wait.
    pub concurrency: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_execution_time: Duration::from_secs(10), max_memory: ByteSize::mib(512), concurrency: 8 }
    }
}
