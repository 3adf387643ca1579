//! Ending and starting again.

use serde_json::json;

use crate::rows::assert_stored;
use crate::sdk_python::send_trace;
use support::clients::{Load, acknowledged_spans};
use support::{Options, Service, process, wait_until};

/// Nothing is sent by age or size: what is stored was stored because the service was asked to end.
const NEVER_FLUSH_BY_ITSELF: &str =
    "exporter: { flush_after: 1h }\njournal: { segment_rows: 1000000, segment_bytes: 67108864 }";

#[test]
fn sigterm_flushes_what_was_acknowledged_and_a_new_start_finds_it() {
    let yaml = NEVER_FLUSH_BY_ITSELF.to_owned();
    let mut service = Service::start_with(Options { yaml, ..Options::default() });
    let ledger = send_trace(&service, "grpc", 11, "gzip");
    assert_eq!(service.sql().spans_of(&ledger.trace_id), 0, "not sent yet: the flush at the end is what is tested");
    let engine = service.engine_pid().expect("the engine runs");

    let status = service.terminate();
    assert_eq!(status.code(), Some(0), "{status}");
    wait_until("the engine has ended too", || (!process::is_alive(engine)).then_some(()));

    service.start_again();
    assert_stored(&service, &ledger);
}

#[test]
fn ctrl_c_reaches_the_engine_too_and_still_everything_is_flushed() {
    let yaml = NEVER_FLUSH_BY_ITSELF.to_owned();
    let mut service = Service::start_with(Options { yaml, own_group: true, ..Options::default() });
    let ledger = send_trace(&service, "http", 13, "gzip");
    let status = service.interrupt_group();
    assert_eq!(status.code(), Some(0), "{status}");
    service.start_again();
    assert_stored(&service, &ledger);
}

#[test]
fn sigterm_under_load_loses_nothing_that_was_acknowledged() {
    let mut service = Service::start();
    let load = Load::start(&service, "--batches 100000 --batch-spans 20 --tries 1");
    load.wait_for_acknowledged(20);
    let status = service.terminate();
    assert_eq!(status.code(), Some(0), "{status}");
    let batches = load.stop();

    service.start_again();
    assert_each_stored_once(&service, &acknowledged_spans(&batches), "load");
}

#[test]
fn a_killed_service_leaves_no_engine_behind_and_starts_again() {
    let mut service = Service::start();
    let ledger = send_trace(&service, "grpc", 12, "gzip");
    assert_stored(&service, &ledger);
    let engine = service.engine_pid().expect("the engine runs");
    service.kill();
    wait_until("the engine has noticed and ended", || (!process::is_alive(engine)).then_some(()));
    service.start_again();
    assert_stored(&service, &ledger);
}

/// Every one of these spans is in the table, and exactly once.
pub(crate) fn assert_each_stored_once(service: &Service, span_ids: &[&str], service_name: &str) {
    assert!(!span_ids.is_empty(), "nothing was acknowledged: this would prove nothing");
    let query = "SELECT SpanId, count() AS n FROM otel_traces WHERE ServiceName = {s:String} GROUP BY SpanId";
    let stored = wait_until("everything acknowledged is stored", || {
        let rows = service.sql().try_rows(query, &[("s", service_name)]).ok()?;
        let found: std::collections::HashMap<String, u64> = rows
            .iter()
            .filter_map(|row| Some((row.get("SpanId")?.as_str()?.to_owned(), row.get("n")?.as_u64()?)))
            .collect();
        span_ids.iter().all(|id| found.contains_key(*id)).then_some(found)
    });
    let repeated: Vec<_> = stored.iter().filter(|(_, n)| **n != 1).collect();
    assert_eq!(json!(repeated), json!([]), "each span is stored once");
}
