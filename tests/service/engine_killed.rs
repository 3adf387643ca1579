//! ClickHouse dies under load.

use crate::restart::assert_each_stored_once;
use support::clients::{Load, acknowledged_spans};
use support::process::signal;
use support::{Service, wait_until};

const KILLS: usize = 2;

#[test]
fn a_clickhouse_killed_under_load_comes_back_and_every_acknowledged_span_is_there_once() {
    let service = Service::start();
    let load = Load::start(&service, "--batches 100000 --batch-spans 20");
    for _ in 0..KILLS {
        load.wait_for_acknowledged(20);
        let engine = service.engine_pid().expect("the engine runs");
        signal(engine, "KILL");
        wait_until("another engine runs", || service.engine_pid().filter(|pid| *pid != engine));
        wait_until("it answers", || service.sql().try_rows("SELECT 1 AS one", &[]).ok());
        load.wait_for_acknowledged(20);
    }
    let batches = load.stop();
    assert!(batches.len() >= KILLS * 40, "the load went on: {} batches", batches.len());
    assert_each_stored_once(&service, &acknowledged_spans(&batches), "load");
}
