//! Spans through a Millrace, and what the nodes say of them.

use millrace::time::Clock;
use serde_json::{Value, json};

use super::nodes::Cluster;
use support::proxy::Proxy;
use support::wire::{Span, request_of};
use support::{Options, Service, http, wait_until};

/// Rows, and rows that are not there twice.
const COUNTS: &str = "SELECT count() AS stored, uniqExact(TraceId, SpanId) AS distinct FROM otel_traces";

/// A Millrace that writes through a node.
pub(crate) fn millrace(cluster: &Cluster, node: usize, yaml: &str) -> Service {
    Service::start_with(Options { yaml: cluster.yaml(node, yaml), fixed_ports: true, ..Options::default() })
}

/// The same through a proxy before a node.
pub(crate) fn millrace_through(cluster: &Cluster, proxy: &Proxy) -> Service {
    let (yaml, clickhouse_url) = (cluster.yaml(0, ""), Some(proxy.url()));
    Service::start_with(Options { yaml, clickhouse_url, fixed_ports: true, ..Options::default() })
}

/// `count` spans, each in a trace of its own, so that they go to all shards. `first` makes their ids.
pub(crate) fn spans(first: u64, count: u64) -> Vec<Span> {
    let now = u64::try_from(Clock::System.now().nanos()).expect("it is after 1970");
    let span = |number: u64| {
        let id = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        Span {
            trace_id: [id.to_be_bytes(), number.to_be_bytes()].concat(),
            span_id: id.to_be_bytes().to_vec(),
            name: format!("span {number}"),
            start_time_unix_nano: now,
            end_time_unix_nano: now + 1_000,
            ..Span::default()
        }
    };
    (first..first + count).map(span).collect()
}

/// Sends spans in one request, which must be accepted.
pub(crate) fn send(service: &Service, spans: Vec<Span>) {
    let headers = [("content-type", "application/x-protobuf")];
    let answer = http::send("POST", &service.http("/v1/traces"), &headers, &request_of(spans));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Sends a captured call, which must be accepted.
pub(crate) fn post(service: &Service, call: &Value) {
    let answer = http::post_json(&service.chat("default"), call);
    assert_eq!(answer.status, 201, "{}", answer.text());
}

/// A captured call of a trace, unlike that of any other number.
pub(crate) fn captured_call(trace: &str, number: u64) -> Value {
    let answer = json!({"role": "assistant", "content": "A"});
    json!({
        "trace_id": trace,
        "request": {"model": "m", "messages": [{"role": "user", "content": format!("Q {number}")}]},
        "response": {"id": format!("r-{number}"), "object": "chat.completion", "model": "m",
                     "choices": [{"index": 0, "message": answer, "finish_reason": "stop"}]},
    })
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Waits until the replicas of each shard have the same rows, by a sum over all that changes.
pub(crate) fn assert_replicas_are_equal(cluster: &Cluster) {
    let sums = "SELECT count() AS rows, groupBitXor(sipHash64(TraceId, SpanId, SegmentId, ParentSpanId, SessionId, JoinState, Duration)) \
                AS sum FROM otel_traces_local";
    wait_until("the replicas of each shard have the same rows", || {
        let sums = cluster.each(sums);
        sums.chunks(cluster.replicas()).all(|shard| shard.iter().all(|sum| *sum == shard[0])).then_some(())
    });
}

/// Waits until every node that runs says that so many rows are stored, each once. There must never be more.
pub(crate) fn assert_stored_once(cluster: &Cluster, rows: u64) {
    wait_until(&format!("each node has {rows} rows"), || {
        let counts = cluster.each(COUNTS);
        for (node, counts) in counts.iter().enumerate() {
            let count = |name: &str| counts[0][name].as_u64().expect("a number");
            let (stored, distinct) = (count("stored"), count("distinct"));
            assert!(
                stored <= rows && stored == distinct,
                "node {node} has {stored} rows, {distinct} distinct, of {rows}"
            );
        }
        counts.iter().all(|counts| counts[0]["stored"] == rows).then_some(())
    });
}
