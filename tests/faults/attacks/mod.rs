//! Attacks on the real binary: each must get the documented answer, and must cost nobody else anything.
//!
//! ```text
//! statements    SQL that reaches for programs, files, sockets, other settings
//! sql port      statements that are read otherwise than they run, bodies and answers that stall
//! journal       a journal folder that is removed, copied into, emptied, damaged
//! connections   clients that are silent, slow, or never read
//! bodies        requests that are small to send and large to read
//! protocols     floods of HTTP/2, header bombs, smuggled requests, a gibibyte of zeros, requests of every signal cut at every byte
//! ndjson        many records one a line: blank, endless, unread
//! timestamps    spans on thousands of days
//! repeats       the same request, or nearly the same, around a restart
//! ```
//!
//! `make test` runs the short form in under a minute and prints how many attacks held; `make attacks` runs the long form.

mod bodies;
mod connections;
mod journal;
mod ndjson;
mod protocols;
mod repeats;
mod sql_port;
mod statements;
mod timestamps;

use support::Options;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// One attack; `run` panics unless it is held off.
pub(crate) struct Attack {
    /// What is tried, as a sentence.
    pub(crate) name: &'static str,
    pub(crate) run: fn(),
}

/// Runs every attack, says which held, and fails if any did not.
pub(crate) fn hold_off(area: &str, attacks: &[Attack]) {
    let broken: Vec<&str> = attacks
        .iter()
        .filter(|attack| catch_unwind(AssertUnwindSafe(attack.run)).is_err())
        .map(|attack| attack.name)
        .collect();
    println!("{area}: {} of {} attacks held", attacks.len() - broken.len(), attacks.len());
    assert!(broken.is_empty(), "did not hold: {broken:#?}");
}

/// A captured call that is accepted.
pub(crate) const CALL: &str =
    r#"{"request":{"model":"m","messages":[{"role":"user","content":"a"}]},"response":{"model":"m","choices":[]}}"#;

/// A service whose ClickHouse is away: what it accepts stays in its journal.
pub(crate) fn without_clickhouse(yaml: &str) -> Options {
    Options { yaml: yaml.to_owned(), clickhouse_url: Some("http://127.0.0.1:1".to_owned()), ..Options::default() }
}

/// Whether this is the long form.
pub(crate) fn is_long() -> bool {
    cfg!(feature = "torture")
}
