//! The queries of the provisioned dashboard, run on the real engine over a real trace.

use std::fs;

use serde_json::Value;

use crate::rollups::rebuild;
use crate::rows::assert_stored;
use crate::sdk_python::send_trace;
use support::{Service, project};

/// What Grafana and its plugin would have put in place of macros and variables.
fn filled_in(query: &str, trace_id: &str) -> String {
    let filled = query
        .replace("$__timeFilter(Timestamp)", "Timestamp > now() - INTERVAL 1 HOUR")
        .replace("$__timeInterval(Timestamp)", "toStartOfInterval(toDateTime(Timestamp), INTERVAL 10 second)")
        .replace("$__conditionalAll(ServiceName IN (${service:singlequote}), $service)", "1 = 1")
        .replace("$__conditionalAll(RootService IN (${service:singlequote}), $service)", "1 = 1")
        .replace("$__fromTime", "toDateTime(intDiv(1700000000000, 1000))")
        .replace("$__toTime", "toDateTime(intDiv(4000000000000, 1000))")
        .replace("${trace_id:raw}", trace_id);
    assert!(!filled.contains('$'), "a macro is left: {filled}");
    filled
}

#[test]
fn every_query_of_the_dashboard_runs_and_finds_the_trace() {
    let file = project().join("deploy/grafana/dashboards/millrace-traces.json");
    let dashboard: Value =
        serde_json::from_str(&fs::read_to_string(file).expect("it can be read")).expect("it is JSON");
    let panels = dashboard.get("panels").and_then(Value::as_array).expect("it has panels");
    let of_panel = |panel: &Value| panel.pointer("/targets/0/rawSql").and_then(Value::as_str).map(str::to_owned);
    let mut queries: Vec<String> = panels.iter().filter_map(of_panel).collect();
    let variable = dashboard.pointer("/templating/list/0/query/rawSql").and_then(Value::as_str);
    queries.push(variable.expect("the first variable is a query").to_owned());
    assert_eq!(queries.len(), 7, "all panels have a query");

    let service = Service::start();
    let ledger = send_trace(&service, "grpc", 41, "gzip");
    assert_stored(&service, &ledger);
    rebuild(&service);
    for query in queries {
        let rows = service.sql().rows(&filled_in(&query, &ledger.trace_id), &[]);
        assert!(!rows.is_empty(), "nothing found by {query}");
        if query.contains("operationName") {
            assert_eq!(rows.len(), ledger.rows.len(), "the trace panel shows the whole trace");
        }
    }
}
