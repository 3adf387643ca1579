//! The official OpenTelemetry SDK for JavaScript, unmodified: its three exporters.

use crate::rows::assert_stored;
use support::Service;
use support::clients::{Ledger, node, run_json};

#[test]
fn every_field_of_a_trace_sent_by_the_javascript_sdk_is_in_the_table() {
    let service = Service::start();
    let grpc = format!("http://{}", service.grpc());
    let http = service.http("/v1/traces");
    for arguments in [["grpc", &grpc], ["proto", &http], ["json", &http]] {
        let ledger: Ledger = run_json(&mut node("otlp_js.mjs", &arguments));
        assert_stored(&service, &ledger);
    }
}
