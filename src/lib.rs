//! Millrace: OTLP and captured chat-completions in, one table of traces in ClickHouse out.
//!
//! The house has five floors; a module imports from lower floors only (ARCHITECTURE.md has the map,
//! `tests/tidy/layers.rs` keeps it):
//!
//! ```text
//! 4 wiring      main  cli  app  config  dead_letter
//! 3 edges       receivers  committer  exporter  reconciler  admin
//! 2 engines     dedup  pipeline  journal  clickhouse  embedded  traces  connections
//! 1 codecs      otlp  chat  conventions  genai  json  columns
//! 0 vocabulary  ids  numbers  time  sizes  bounds  text  codings  workspace  retention  timestamps  telemetry  shutdown  steps
//! ```

// who reads the output may be gone, and these macros panic then: write, and leave it at that
#![deny(clippy::print_stdout, clippy::print_stderr)]
#![cfg_attr(test, allow(clippy::string_slice, reason = "a test that slices wrongly fails, which is what it is for"))]

// floor 1: codecs, pure functions over bytes
pub mod chat;
pub mod columns;
pub mod conventions;
pub mod genai;
pub(crate) mod json;
pub mod otlp;
// floor 0: vocabulary
pub mod bounds;
pub mod codings;
pub mod ids;
pub mod numbers;
pub mod retention;
pub mod shutdown;
pub mod sizes;
pub mod steps;
pub mod telemetry;
pub mod text;
pub mod time;
pub mod timestamps;
pub mod workspace;
// floor 2: engines
pub mod clickhouse;
pub mod connections;
pub mod dedup;
pub mod embedded;
pub mod journal;
pub mod pipeline;
pub mod traces;
// floor 3: edges
pub mod admin;
pub mod committer;
pub mod exporter;
pub mod receivers;
pub mod reconciler;
// floor 4: wiring
pub mod app;
pub mod cli;
pub mod config;
pub mod dead_letter;
