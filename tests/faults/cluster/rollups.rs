//! Counts on two shards of two replicas, with two Millraces that share the spans of each trace, and a node killed meanwhile.

use millrace::time::Clock;
use serde_json::{Value, json};

use super::load::{millrace, send};
use super::nodes::{Cluster, is_possible};
use super::{said, succeeds};
use support::wire::{Span, string_attribute};
use support::{Service, service, wait_until};

const TRACES: u64 = 40;
const TOTALS: &str = "SELECT count() AS traces, sum(Calls) AS calls, sum(InputTokens) AS tokens, sum(Spans) AS spans \
                      FROM genai_trace_rows FINAL WHERE IsDeleted = 0";
const CALLS: &str = "SELECT countIf(CountedAs = 'call') AS calls FROM genai_report_rows FINAL WHERE IsDeleted = 0";

/// The span `id` of a trace: 1 is the root, 2 an agent that repeats the sum of its calls, the others are its calls.
fn span(trace: u64, id: u8, began: u64) -> Span {
    let number = trace.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let attribute = |key: &str, value: &str| string_attribute(key, value.to_owned());
    let (operation, tokens, parent) = match id {
        1 => ("", "", 0),
        2 => ("invoke_agent", "20", 1),
        _ => ("chat", "10", 2),
    };
    let attributes = [("gen_ai.operation.name", operation), ("gen_ai.usage.input_tokens", tokens)];
    let said = attributes.iter().filter(|(_, value)| !value.is_empty());
    Span {
        trace_id: [number.to_be_bytes(), trace.to_be_bytes()].concat(),
        span_id: vec![id; 8],
        parent_span_id: if parent == 0 { vec![] } else { vec![parent; 8] },
        name: format!("span {id}"),
        start_time_unix_nano: began + u64::from(id),
        end_time_unix_nano: began + 1_000,
        attributes: said.map(|(key, value)| attribute(key, value)).collect(),
        ..Span::default()
    }
}

fn send_round(both: &[Service; 2], traces: std::ops::Range<u64>, began: u64) {
    for id in [3, 1, 4, 2] {
        for place in 0..2 {
            let spans = traces.clone().filter(|trace| (trace + u64::from(id)) % 2 == place);
            let of_one = usize::try_from(place).expect("0 or 1");
            send(&both[of_one], spans.map(|trace| span(trace, id, began)).collect());
        }
    }
}

/// Each node that runs says the same, and that is what was sent.
#[track_caller]
fn assert_counted(cluster: &Cluster, traces: u64) {
    let want: Value = json!({"traces": traces, "calls": traces * 2, "tokens": traces * 20, "spans": traces * 4});
    wait_until(&format!("each node counts {traces} traces"), || {
        let totals = cluster.each(TOTALS);
        totals.iter().all(|totals| totals[0] == want).then_some(())
    });
    wait_until("each node counts the calls", || {
        cluster.each(CALLS).iter().all(|calls| calls[0]["calls"] == traces * 2).then_some(())
    });
}

#[test]
fn totals_are_right_and_the_same_through_each_node_while_nodes_come_and_go() {
    if !is_possible() {
        return;
    }
    let mut cluster = Cluster::start(2, 2);
    succeeds(&cluster.schema("apply", 0, ""));
    let both = [millrace(&cluster, 0, ""), millrace(&cluster, 2, "")];
    let began = u64::try_from(Clock::System.now().nanos()).expect("it is after 1970");
    send_round(&both, 0..TRACES / 2, began);
    assert_counted(&cluster, TRACES / 2);
    cluster.kill(3);
    send_round(&both, TRACES / 2..TRACES, began);
    assert_counted(&cluster, TRACES);
    cluster.start_node(3);
    assert_counted(&cluster, TRACES);
    wait_until("counting anew finds nothing wrong", || {
        let config = cluster.config(1, "");
        let output = service::binary().args(["rollup", "rebuild", "--config"]).arg(config).output().expect("it runs");
        assert!(output.status.success(), "{}", said(&output));
        said(&output).contains(" 0 rows corrected").then_some(())
    });
}
