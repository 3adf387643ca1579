//! End-to-end tests: the real binary, the real engine, and clients that nobody here wrote.
//!
//! `make test` installs what they need; see `support` for how they run. One binary, so that it is linked once.

mod bounds;
mod chat;
mod chat_shapes;
mod clickhouse_clients;
mod command_line;
mod content;
mod dialects;
mod engine_killed;
mod external_clickhouse;
mod full_channel;
mod grafana;
mod http_interface;
mod joining;
mod joining_orders;
mod journal;
mod older_table;
mod otlp_http;
mod queries;
mod repeats;
mod restart;
mod retention;
mod rows;
mod schema;
mod schema_cluster;
mod sdk_javascript;
mod sdk_python;
mod superseded;
mod support;
mod tokens;
mod views;
mod wire;
