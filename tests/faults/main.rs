//! What breaks the service, or tries to: the real binary under attack, under faults, and in front of a failing cluster.
//!
//! ```text
//! attacks  requests, statements and clients that mean harm
//! torture  processes are killed, connections break, disks fail or are full
//! cluster  real ClickHouse nodes with ZooKeeper that come, go and disagree
//! ```
//!
//! The short form of all three is part of `make test`; `make attacks`, `make torture` and `make test-cluster` run one of them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod attacks;
mod cluster;
mod torture;
