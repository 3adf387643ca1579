//! The harness: starts the real binary on free ports with a folder of its own, drives it, and cleans up after it.
//!
//! ```text
//! Service   a running `millrace serve` (its engine is its child process)
//! Engine    a running `millrace clickhouse`, ClickHouse alone
//! Server    a real ClickHouse server, alone or a node of a cluster
//! Proxy     stands before a ClickHouse, and breaks what passes as a test wants it
//! clients   the official SDKs, run as programs, and their ledgers
//! grpc      one OTLP/gRPC request, one answer
//! http      one request, one answer
//! sql       queries over the ClickHouse HTTP interface
//! ```
//!
//! Nothing here sleeps for a fixed time and then hopes: [`wait_until`] polls a condition against one generous deadline.

#![allow(dead_code, unused_imports, reason = "each test binary needs a part of it")]

pub(crate) mod clients;
pub(crate) mod grpc;
pub(crate) mod http;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod server;
pub(crate) mod service;
pub(crate) mod sql;

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

pub(crate) use server::Server;
pub(crate) use service::{Engine, Options, Service};

/// How long a condition may take before the test is failed. No measurement: a bound for a machine under load.
pub(crate) const DEADLINE: Duration = Duration::from_secs(150);

const POLL_EVERY: Duration = Duration::from_millis(25);

/// Polls `condition` until it yields a value.
///
/// # Panics
/// When [`DEADLINE`] passes first; `what` says what was waited for.
pub(crate) fn wait_until<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    wait_at_most(DEADLINE, what, condition)
}

/// The same with a deadline of its own, for what is known to take long.
pub(crate) fn wait_at_most<T>(deadline: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(started.elapsed() < deadline, "waited {deadline:?} in vain until {what}");
        sleep(POLL_EVERY);
    }
}

/// The folder of the project.
pub(crate) fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A tool that `make test-tools` installs.
///
/// # Panics
/// When it is not there: a test that cannot run has failed.
pub(crate) fn tool(path: &str) -> PathBuf {
    let tool = project().join(path);
    assert!(tool.exists(), "{} is missing: run `make test-tools` first", tool.display());
    tool
}
