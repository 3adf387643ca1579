//! A cluster of real ClickHouse nodes with ZooKeeper, and the real binary in front of it.
//!
//! ```text
//! nodes      the cluster: up, a node or Keeper killed and started again, and down
//! load       spans through a Millrace, and what became of them
//! ddl        the schema on every topology
//! replicas   those added later, and those that do not meet
//! faults     nodes and Keeper that are away for a while
//! endpoints  several nodes in `clickhouse.url`
//! grants     a user who may do no more than docs/cluster.md says
//! once       a Millrace, its ClickHouse through a proxy, and the law: each row exactly once, or a dead letter
//! refused    rows that a shard refuses
//! lost       answers that are lost, inserts that go on alone, shards that go away in the middle of one
//! changes    rows that are superseded, joined, deleted or too old; views
//! scores     annotations, evaluator results, experiments and what these come to
//! reads      every list of the read API
//! chaos      all of it fails at random, under load
//! measure    what many spans cost (`make bench-cluster`)
//! ```
//!
//! `make test-cluster` installs ZooKeeper and runs these. Without it they are skipped, which they say; `MILLRACE_TEST_CLUSTER=required`
//! makes that a failure.

mod changes;
mod chaos;
mod ddl;
mod endpoints;
mod faults;
mod grants;
mod load;
mod lost;
#[cfg(feature = "torture")]
mod measure;
mod nodes;
mod once;
mod reads;
mod refused;
mod replicas;
mod rollups;
mod scores;

use std::process::Output;

/// What a command printed.
pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
pub(crate) fn succeeds(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", said(output));
}

/// `millrace schema apply` through a node, when no running Millrace is at the same.
pub(crate) fn apply(cluster: &nodes::Cluster, node: usize, yaml: &str) {
    support::wait_until("nobody else changes the schema", || {
        let output = cluster.schema("apply", node, yaml);
        let is_busy = said(&output).contains("another Millrace is changing the schema");
        assert!(output.status.success() || is_busy, "node {node}: {}", said(&output));
        output.status.success().then_some(())
    });
}
