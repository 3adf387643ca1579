//! The service from outside: the real binary, the real engine, and clients that nobody here wrote.
//!
//! `make test-tools` installs what they need; the crate `support` starts and drives everything.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod access;
mod bounds;
mod browsers;
mod chat;
mod chat_clients;
mod chat_shapes;
mod chat_stored;
mod clickhouse_clients;
mod coding_agents;
mod command_line;
mod content;
mod conversation;
mod deletion;
mod deploy;
mod dialects;
mod documents;
mod embedded;
mod endpoints;
mod engine_killed;
mod external_clickhouse;
mod frameworks;
mod full_channel;
mod grafana;
mod http_interface;
mod import;
mod import_formats;
mod joining;
mod joining_orders;
mod journal;
mod logs;
mod messages_in_logs;
mod metrics;
mod older_table;
mod openapi;
mod operations;
mod otlp_http;
mod page;
mod prices;
mod queries;
mod quotas;
mod read_api;
mod redaction;
mod reload;
mod repeats;
mod restart;
mod retention;
mod rollups;
mod rollups_oracle;
mod rows;
mod schema;
mod schema_cluster;
mod scores;
mod sdk_javascript;
mod sdk_python;
mod sdk_rust;
mod sdk_signals;
mod secrets;
mod superseded;
mod tls;
mod tokens;
mod usage;
mod views;
