//! Millrace: OTLP and captured chat-completions in, tables of traces, logs and metrics in ClickHouse out.
//!
//! The modules lie in five layers, the highest first. A module imports from modules to its right in its own line and from the
//! lines below (`tests/tidy/layers.rs` reads this map and checks it; ARCHITECTURE.md says what each module is for):
//!
//! ```text
//! wiring      main  cli  import  status  dead_letter  deletion  redact  prices  rollup  token  peer  app  log  config
//! edges       own_telemetry  mcp  receivers  page  query  committer  exporter  admin  reconciler
//! engines     dedup  pipeline  journal  clickhouse  embedded  traces  connections  access
//! codecs      formats  otlp  documents  conventions  chat  scores  redaction  columns  genai  json
//! vocabulary  ids  reloadable  retention  timestamps  telemetry  time  sizes  bounds  text  codings  workspace  secret  random  sql  shutdown  audit  numbers  steps  locks  arenas
//! ```

// these macros panic when the reader of the output has ended: write, and ignore the error
#![deny(clippy::print_stdout, clippy::print_stderr)]
#![cfg_attr(test, allow(clippy::string_slice, reason = "a test that slices wrongly fails, which is what it is for"))]

// codecs: pure functions over bytes
pub mod chat;
pub mod columns;
pub mod conventions;
pub mod documents;
pub mod formats;
pub mod genai;
pub(crate) mod json;
pub mod otlp;
pub mod redaction;
pub mod scores;
// vocabulary
pub(crate) mod arenas;
pub mod audit;
pub mod bounds;
pub mod codings;
pub mod ids;
pub mod locks;
pub mod numbers;
pub mod random;
pub mod reloadable;
pub mod retention;
pub mod secret;
pub mod shutdown;
pub mod sizes;
pub mod sql;
pub mod steps;
pub mod telemetry;
pub mod text;
pub mod time;
pub mod timestamps;
pub mod workspace;
// engines
pub mod access;
pub mod clickhouse;
pub mod connections;
pub mod dedup;
pub mod embedded;
pub mod journal;
pub mod pipeline;
pub mod traces;
// edges
pub mod admin;
pub mod committer;
pub mod exporter;
pub mod mcp;
pub mod own_telemetry;
pub mod page;
pub mod query;
pub mod receivers;
pub mod reconciler;
// wiring
pub mod app;
pub mod cli;
pub mod config;
pub mod dead_letter;
pub mod deletion;
pub mod import;
pub mod log;
pub mod peer;
pub mod prices;
pub mod redact;
pub mod rollup;
pub mod status;
pub mod token;
