//! The harness: starts the real binary on free ports with a folder of its own, drives it, and cleans up after it.
//!
//! ```text
//! Service   a running `millrace serve` (its engine is its child process)
//! Engine    a running `millrace clickhouse`, ClickHouse alone
//! EngineChild  the same as the service starts it, asked over plain sockets
//! Server    a real ClickHouse server, alone or a node of a cluster
//! Proxy     stands before a ClickHouse, and breaks what passes as a test wants it
//! clients   the official SDKs, run as programs, and their ledgers
//! grpc      one OTLP/gRPC request, one answer
//! http      one request, one answer; raw_http sees how an answer ended
//! sql       queries over the ClickHouse HTTP interface
//! questions  those of docs/queries.md, and their sample
//! wire      OTLP messages made by hand
//! corpus    the samples of captured calls
//! samples   requests of any size, for the benchmarks
//! machine   what a process costs: CPU, memory, disk
//! ```
//!
//! Nothing here sleeps for a fixed time and then hopes: [`wait_until`] polls a condition against one generous deadline.

#![allow(missing_docs, clippy::missing_errors_doc, reason = "what is public here is so for the tests beside it")]

pub mod balancer;
pub mod clients;
pub mod corpus;
pub mod engine_child;
pub mod grpc;
pub mod http;
pub mod machine;
pub mod process;
pub mod proxy;
pub mod questions;
pub mod raw_http;
pub mod samples;
pub mod server;
pub mod service;
pub mod sql;
pub mod wire;

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

pub use server::Server;
pub use service::{Engine, Options, Service};

/// How long a condition may take before the test is failed. No measurement: a bound for a machine under load.
pub const DEADLINE: Duration = Duration::from_secs(150);

const POLL_EVERY: Duration = Duration::from_millis(25);

/// Polls `condition` until it yields a value.
///
/// # Panics
/// When [`DEADLINE`] passes first; `what` says what was waited for.
pub fn wait_until<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    wait_at_most(DEADLINE, what, condition)
}

/// The same with a deadline of its own, for what is known to take long.
pub fn wait_at_most<T>(deadline: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
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
pub fn project() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("this crate is in tests/support of the project")
}

/// The `millrace` that Cargo built for the tests or benchmarks that run: it lies above their `deps`.
pub fn executable() -> PathBuf {
    built(2).join("millrace")
}

/// A folder beside what Cargo builds, for what is costly to make anew in each run.
pub fn scratch_dir() -> PathBuf {
    let folder = built(3).join("tmp");
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    folder
}

/// The folder so many levels above the running test: 2 is that of its profile, 3 the target folder.
fn built(levels_up: usize) -> PathBuf {
    let test = std::env::current_exe().expect("the path of the test is known");
    test.ancestors().nth(levels_up).expect("tests lie in target/PROFILE/deps").to_owned()
}

/// A tool that `make test-tools` installs.
///
/// # Panics
/// When it is not there: a test that cannot run has failed.
pub fn tool(path: &str) -> PathBuf {
    let tool = project().join(path);
    assert!(tool.exists(), "{} is missing: run `make test-tools` first", tool.display());
    tool
}
