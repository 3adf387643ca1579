//! Real ClickHouse clients against the engine that `serve` runs.

use crate::rows::assert_stored;
use crate::sdk_python::send_trace;
use support::Service;
use support::clients::{node, python, run};

#[test]
fn clickhouse_connect_and_the_npm_client_work_on_the_engine_of_serve() {
    let service = Service::start();
    let ledger = send_trace(&service, "grpc", 31, "gzip");
    assert_stored(&service, &ledger);
    let url = service.sql().url;
    run(&mut python("clickhouse_connect_check.py", &[&url]));
    run(&mut node("clickhouse_js_check.mjs", &[&url]));
}
