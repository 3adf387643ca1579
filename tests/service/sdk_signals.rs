//! Log records and data points of the official OpenTelemetry SDKs for Python and JavaScript.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::metrics::stored;
use support::clients::{node, python, run_json};
use support::{Service, wait_until};

/// For each table the rows that must be there, with some of their columns.
pub(crate) type Ledger = BTreeMap<String, Vec<Map<String, Value>>>;

/// What all rows of one service together are in the tables of the ledger.
pub(crate) fn assert_stored(service: &Service, service_name: &str, ledger: &Ledger) {
    assert!(ledger.len() > 4, "the ledger is too short to prove anything");
    for (table, expected) in ledger {
        let count = format!("SELECT count() FROM {table} WHERE ServiceName = {{s:String}}");
        wait_until("the rows are stored", || {
            let rows = service.sql().try_rows(&count, &[("s", service_name)]).ok()?;
            let stored = rows.first()?.as_object()?.values().next()?.as_u64()?;
            (stored >= u64::try_from(expected.len()).ok()?).then_some(())
        });
        let mut rows = stored(service, table, service_name);
        assert_eq!(rows.len(), expected.len(), "{table}: {rows:?}");
        for expected in expected {
            let is_this = |row: &Map<String, Value>| expected.iter().all(|(name, value)| row.get(name) == Some(value));
            let found = rows.iter().position(is_this);
            let place = found.unwrap_or_else(|| panic!("{service_name}, {table}: no {expected:?}\namong {rows:#?}"));
            rows.swap_remove(place);
        }
    }
}

#[test]
fn log_records_and_data_points_of_the_python_sdk_are_in_their_tables() {
    let service = Service::start();
    let grpc = format!("http://{}", service.grpc());
    let (logs, metrics) = (service.http("/v1/logs"), service.http("/v1/metrics"));
    for (protocol, logs, metrics) in [("grpc", &grpc, &grpc), ("http", &logs, &metrics)] {
        for compression in ["gzip", "none"] {
            let name = format!("python-{protocol}-{compression}");
            let mut arguments = vec!["--protocol", protocol, "--logs", logs, "--metrics", metrics, "--service", &name];
            arguments.extend(["--compression", compression]);
            let ledger: Ledger = run_json(&mut python("otlp_signals.py", &arguments));
            assert_stored(&service, &name, &ledger);
        }
    }
}

#[test]
fn log_records_and_data_points_of_the_javascript_sdk_are_in_their_tables() {
    let service = Service::start();
    let (logs, metrics, grpc) = (service.http("/v1/logs"), service.http("/v1/metrics"), service.grpc());
    for (protocol, logs, metrics) in [("json", &logs, &metrics), ("proto", &logs, &metrics), ("grpc", &grpc, &grpc)] {
        let name = format!("javascript-{protocol}");
        let ledger: Ledger = run_json(&mut node("otlp_signals_js.mjs", &[protocol, logs, metrics, &name]));
        assert_stored(&service, &name, &ledger);
    }
}
