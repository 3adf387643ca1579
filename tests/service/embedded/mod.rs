//! The embedded ClickHouse as its clients see it: the real binary, the real engine, HTTP over loopback.

mod differential;
mod interface;
mod process;
mod queries;
mod recent;

use clickhouse::Client;
use support::engine_child::EngineChild;

/// The official client of Rust.
fn client(server: &EngineChild) -> Client {
    Client::default().with_url(format!("http://{}", server.address))
}
