//! What the views promise, case by case: each call once, however often and by whomever it was reported, in any order.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Map, Value, json};

use crate::rollups::rebuild;
use crate::rows::text;
use support::http::{post_json, send};
use support::{Service, project, wait_until};

/// 2026-03-02, 09:00:00.
const BEGIN: u64 = 1_772_442_000_000_000_000;
const RANGE: &str = "(since = '2026-03-02 09:00:00', until = '2026-03-02 10:00:00')";

/// A span as a case writes it down: `id` and `parent` are one digit.
struct Span {
    id: char,
    parent: Option<char>,
    at_ms: u64,
    attributes: Value,
}

fn span(id: char, parent: Option<char>, at_ms: u64, attributes: Value) -> Span {
    Span { id, parent, at_ms, attributes }
}

/// The root of a trace, which names the session.
fn root(case: &str) -> Span {
    span('1', None, 0, json!({"session.id": format!("s-{case}")}))
}

/// What a span says of a call: model, response id, and what it took.
fn call(model: &str, response_id: &str, input: u64, output: u64) -> Value {
    json!({
        "gen_ai.operation.name": "chat", "gen_ai.request.model": model, "gen_ai.response.id": response_id,
        "gen_ai.usage.input_tokens": input, "gen_ai.usage.output_tokens": output,
    })
}

/// The same with its cost.
fn costing(mut call: Value, usd: f64) -> Value {
    call["gen_ai.usage.cost"] = usd.into();
    call
}

fn agent(model: &str, input: u64, output: u64) -> Value {
    json!({
        "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a", "gen_ai.request.model": model,
        "gen_ai.usage.input_tokens": input, "gen_ai.usage.output_tokens": output,
    })
}

fn span_id(trace: &str, digit: char) -> String {
    trace.chars().take(2).chain(std::iter::repeat_n(digit, 14)).collect()
}

fn attribute(key: &str, value: &Value) -> Value {
    let value = match value {
        Value::String(text) => json!({"stringValue": text}),
        Value::Number(number) if number.is_f64() => json!({"doubleValue": number}),
        other => json!({"intValue": other.to_string()}),
    };
    json!({"key": key, "value": value})
}

/// Sends spans of a trace, and waits until they are acknowledged.
fn export(service: &Service, workspace: &str, trace: &str, spans: &[Span]) {
    let spans: Vec<Value> = spans.iter().map(|span| otlp(trace, span)).collect();
    let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).to_string();
    let headers = [("content-type", "application/json"), ("x-millrace-workspace", workspace)];
    let answer = send("POST", &service.http("/v1/traces"), &headers, body.as_bytes());
    assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
}

fn otlp(trace: &str, span: &Span) -> Value {
    let start = BEGIN + span.at_ms * 1_000_000;
    let attributes = span.attributes.as_object().map_or_else(Map::new, Clone::clone);
    let attributes: Vec<Value> = attributes.iter().map(|(key, value)| attribute(key, value)).collect();
    json!({
        "traceId": trace, "spanId": span_id(trace, span.id),
        "parentSpanId": span.parent.map_or(String::new(), |parent| span_id(trace, parent)),
        "name": format!("span {}", span.id), "kind": 1, "attributes": attributes,
        "startTimeUnixNano": start.to_string(), "endTimeUnixNano": (start + 500_000_000).to_string(),
    })
}

/// Sends a pair of request and response that names the trace; the reply.
fn pair(service: &Service, trace: &str, model: &str, response_id: &str, cost: Option<f64>) -> Value {
    let mut body = json!({
        "trace_id": trace, "started_at": "2026-03-02T09:00:00.200Z", "ended_at": "2026-03-02T09:00:00.600Z",
        "request": {"model": model, "messages": [{"role": "user", "content": "How deep is the race?"}]},
        "response": {
            "id": response_id, "model": model,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Two feet."}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}
        }
    });
    if let Some(cost) = cost {
        body["cost_usd"] = cost.into();
    }
    let answer = post_json(&service.chat("default"), &body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

/// What the views have to say of a trace.
#[derive(Debug, Clone)]
struct Expected {
    case: &'static str,
    trace: String,
    workspace: &'static str,
    spans: u64,
    calls: u64,
    tokens: [Option<u64>; 2],
    cost: Option<&'static str>,
    root: &'static str,
    is_orphan: bool,
}

impl Expected {
    fn sums(&self) -> Value {
        let [input, output] = self.tokens;
        // what an embedding has no output of does not make the rest unknown
        let total = input.map_or(output, |input| Some(input + output.unwrap_or(0)));
        json!({"calls": self.calls, "input": input, "output": output, "total": total, "cost": self.cost})
    }

    fn whole(&self) -> Value {
        let mut whole = self.sums();
        whole["spans"] = self.spans.into();
        whole["root"] = self.root.into();
        whole["orphan"] = u8::from(self.is_orphan).into();
        whole["session"] = format!("s-{}", self.case).into();
        whole
    }
}

/// What a view says, by workspace and `key`; `calls` counts them there.
fn said(service: &Service, view: &str, key: &str, calls: &str, more: &str) -> BTreeMap<String, Value> {
    let sql = format!(
        "SELECT concat(Workspace, ' ', {key}) AS key, {calls} AS calls, sum(InputTokens) AS input, \
         sum(OutputTokens) AS output, sum(TotalTokens) AS total, toString(sum(CostTotal)) AS cost{more} FROM {view} GROUP BY Workspace, {key}"
    );
    let mut rows = service.sql().rows(&sql, &[]);
    let take_key = |row: &mut Value| row.as_object_mut().and_then(|row| row.shift_remove("key"));
    let key_of = |row: &mut Value| take_key(row).and_then(|key| key.as_str().map(str::to_owned)).expect("a key");
    rows.iter_mut().map(|row| (key_of(row), row.take())).collect()
}

/// The cases, one after the other, each with a trace of its own.
struct Cases {
    service: Service,
    expected: Vec<Expected>,
    sent: u64,
}

impl Cases {
    fn new() -> Self {
        Self { service: Service::start(), expected: Vec::new(), sent: 0 }
    }

    /// The id of a further trace.
    fn trace(&self) -> String {
        format!("{:02x}", 0x10 + self.expected.len()).repeat(16)
    }

    fn expect(&mut self, case: &'static str, trace: &str, spans: u64, calls: u64, tokens: [u64; 2]) -> &mut Expected {
        self.sent += spans;
        self.expected.push(Expected {
            case,
            trace: trace.to_owned(),
            workspace: "default",
            spans,
            calls,
            tokens: tokens.map(Some),
            cost: None,
            root: "span 1",
            is_orphan: false,
        });
        self.expected.last_mut().expect("just pushed")
    }

    /// A trace of instrumented spans only.
    fn spans(&mut self, case: &'static str, spans: &[Span], calls: u64, tokens: [u64; 2]) -> &mut Expected {
        let trace = self.trace();
        export(&self.service, "default", &trace, spans);
        self.expect(case, &trace, spans.len() as u64, calls, tokens)
    }

    fn wait_until_stored(&self) {
        wait_until("all is stored", || {
            let rows = self.service.sql().try_rows("SELECT count() AS n FROM otel_traces", &[]).ok()?;
            (rows.first()?.get("n")?.as_u64()? == self.sent).then_some(())
        });
        rebuild(&self.service);
    }

    /// Asks all views, and their twins for a range of time.
    fn assert_seen(&self) {
        const TRACE: &str =
            ", any(Spans) AS spans, any(RootName) AS root, any(IsOrphan) AS orphan, any(SessionId) AS session";
        for twin in [String::new(), format!("_between{RANGE}")] {
            let view = |name: &str| format!("{name}{twin}");
            let calls = said(&self.service, &view("genai_calls"), "TraceId", "count()", "");
            let traces = said(&self.service, &view("genai_traces"), "TraceId", "sum(Calls)", TRACE);
            let sessions = said(&self.service, &view("genai_sessions"), "SessionId", "sum(Calls)", "");
            let usage = said(&self.service, &view("genai_usage_1h"), "Model", "sum(Calls)", "");
            for expected in &self.expected {
                let Expected { case, workspace, trace, .. } = expected;
                let key = format!("{workspace} {trace}");
                assert_eq!(calls.get(&key), Some(&expected.sums()), "{case}: genai_calls{twin}");
                assert_eq!(traces.get(&key), Some(&expected.whole()), "{case}: genai_traces{twin}");
                let session = sessions.get(&format!("{workspace} s-{case}"));
                assert_eq!(session, Some(&expected.sums()), "{case}: genai_sessions{twin}");
                let used = usage.get(&format!("{workspace} {case}"));
                assert_eq!(used, Some(&expected.sums()), "{case}: genai_usage_1h{twin}");
            }
            assert_eq!((traces.len(), sessions.len()), (self.expected.len(), self.expected.len()), "{twin}");
        }
    }
}

/// The views as they were when they read the spans themselves: another way to the same rows.
fn assert_same_as_before(service: &Service) {
    const OF_CALLS: &str = "Workspace, TraceId, count() AS calls, sum(InputTokens) AS input, sum(OutputTokens) AS output, \
                            sum(TotalTokens) AS total, sum(CostTotal) AS usd, max(IsError) AS failed, \
                            max(InputMessages) AS asked, max(OutputMessages) AS answered";
    for (now, before, order) in [
        ("genai_calls_with_content", "genai_calls", "Workspace, TraceId"),
        ("genai_traces", "genai_traces", "Workspace, TraceId"),
        ("genai_sessions", "genai_sessions", "Workspace, SessionId"),
        ("genai_usage_1h", "genai_usage_1h", "Workspace, Hour, Provider, Model, Operation"),
    ] {
        let select = project().join("tests/fixtures/views").join(format!("{before}.sql"));
        let select = fs::read_to_string(select).expect("the view as it was");
        let sql = service.sql();
        sql.rows(&format!("CREATE VIEW before_{before} AS {select}"), &[]);
        let columns = sql.rows(
            "SELECT arrayStringConcat(groupArray(name), ', ') AS names FROM \
             (SELECT name FROM system.columns WHERE table = {t:String} ORDER BY position)",
            &[("t", &format!("before_{before}"))],
        );
        // which span of a nest is the call, and what session a captured call is in, was decided otherwise
        let (columns, group) = match before {
            "genai_calls" => (OF_CALLS, "GROUP BY Workspace, TraceId"),
            _ => (text(columns.first().expect("one row"), "names"), ""),
        };
        let rows = |view: &str| sql.rows(&format!("SELECT {columns} FROM {view} {group} ORDER BY {order}"), &[]);
        let (now, before) = (rows(now), rows(&format!("before_{before}")));
        assert!(!now.is_empty());
        for (now, before) in now.iter().zip(&before) {
            assert_eq!(now, before);
        }
        assert_eq!(now.len(), before.len());
    }
}

/// A root, a call below it that knows no cost, and what a gateway captured of the same call.
fn double_report(cases: &mut Cases, case: &'static str, is_pair_first: bool) {
    let trace = cases.trace();
    let spans = [root(case), span('2', Some('1'), 100, call(case, "chatcmpl-double", 10, 4))];
    let captured = || pair(&cases.service, &trace, case, "chatcmpl-double", Some(0.0042));
    if is_pair_first {
        captured();
        export(&cases.service, "default", &trace, &spans);
    } else {
        export(&cases.service, "default", &trace, &spans);
        captured();
    }
    cases.expect(case, &trace, 3, 1, [10, 4]).cost = Some("0.0042");
}

fn double_reports(cases: &mut Cases) {
    double_report(cases, "span-then-pair", false);
    double_report(cases, "pair-then-span", true);
    let case = "a-proxys-span";
    let spans = [
        root(case),
        span('2', Some('1'), 100, costing(call(case, "chatcmpl-x", 10, 4), 0.1)),
        span('3', Some('2'), 150, costing(call(case, "chatcmpl-x", 10, 4), 0.1)),
    ];
    cases.spans(case, &spans, 1, [10, 4]).cost = Some("0.1");
    let case = "ids-that-say-nothing";
    let twice = |id: char| span(id, Some('1'), 100, call(case, "chatcmpl-12", 10, 4));
    cases.spans(case, &[root(case), twice('2'), twice('3')], 2, [20, 8]);
}

fn agents(cases: &mut Cases) {
    let case = "agent-only";
    cases.spans(case, &[root(case), span('2', Some('1'), 10, agent(case, 100, 20))], 1, [100, 20]);
    let case = "agents-in-agents";
    let nested = [
        root(case),
        span('2', Some('1'), 10, agent(case, 100, 20)),
        span('3', Some('2'), 20, agent(case, 60, 15)),
        span('4', Some('2'), 30, agent(case, 40, 5)),
    ];
    cases.spans(case, &nested, 2, [100, 20]);
    let case = "a-call-beside-the-agent";
    let beside = [
        root(case),
        span('2', Some('1'), 10, agent(case, 100, 20)),
        span('3', Some('1'), 20, call(case, "resp-1", 7, 3)),
    ];
    cases.spans(case, &beside, 2, [107, 23]);
    let case = "clocks-that-differ";
    let skewed = [
        root(case),
        span('2', Some('1'), 900, agent(case, 100, 20)),
        span('3', Some('2'), 600, json!({})),
        span('4', Some('3'), 300, json!({})),
        span('5', Some('4'), 300, call(case, "resp-1", 90, 10)),
    ];
    cases.spans(case, &skewed, 1, [90, 10]);
    let case = "an-agents-call-as-a-pair";
    let trace = cases.trace();
    export(&cases.service, "default", &trace, &[root(case), span('2', Some('1'), 10, agent(case, 100, 20))]);
    pair(&cases.service, &trace, case, "resp-1", None);
    cases.expect(case, &trace, 3, 1, [10, 4]);
}

/// The sample of the mapping specification; its spans have no times and no session.
fn the_sample(cases: &mut Cases) {
    let file = project().join("tests/corpus/otlp/08_agent_rollup_double_count.json");
    let sample: Value = serde_json::from_slice(&fs::read(file).expect("the sample is there")).expect("JSON");
    let digit = |id: &str| id.chars().last();
    let mut spans: Vec<Span> = Vec::new();
    for of in sample["spans"].as_array().expect("a list") {
        let mut attributes = of["attributes"].clone();
        attributes["session.id"] = "s-m".into();
        let id = digit(text(of, "span_id")).expect("an id");
        spans.push(span(id, digit(text(of, "parent")), 0, attributes));
    }
    let expect = &sample["expect"];
    let [input, output] =
        ["trace_input_tokens", "trace_output_tokens"].map(|name| expect[name].as_u64().expect("a number"));
    assert_eq!(expect["trace_cost"], json!(0.01));
    cases.spans("m", &spans, 1, [input, output]).cost = Some("0.01");
}

fn late_and_lost_roots(cases: &mut Cases) {
    let case = "late-root";
    let trace = cases.trace();
    pair(&cases.service, &trace, case, "resp-1", Some(0.5));
    export(&cases.service, "default", &trace, &[span('2', Some('1'), 50, call(case, "resp-2", 1, 1))]);
    export(&cases.service, "default", &trace, &[root(case)]);
    cases.expect(case, &trace, 3, 2, [11, 5]).cost = Some("0.5");
    let case = "orphan";
    let mut lost = call(case, "resp-1", 3, 2);
    lost["session.id"] = "s-orphan".into();
    let orphan = [span('3', Some('2'), 100, json!({})), span('2', Some('1'), 50, lost)];
    let expected = cases.spans(case, &orphan, 1, [3, 2]);
    (expected.root, expected.is_orphan) = ("span 2", true);
}

fn two_workspaces(cases: &mut Cases) {
    let case = "two-workspaces";
    let trace = cases.trace();
    for (workspace, input) in [("default", 5), ("other", 6)] {
        let spans = [root(case), span('2', Some('1'), 100, call(case, "resp-1", input, 1))];
        export(&cases.service, workspace, &trace, &spans);
        cases.expect(case, &trace, 2, 1, [input, 1]).workspace = workspace;
    }
}

fn embeddings(cases: &mut Cases) {
    let case = "an-embedding-alone";
    let mut embedding = call(case, "resp-1", 7, 0);
    embedding["gen_ai.operation.name"] = "embeddings".into();
    embedding.as_object_mut().expect("an object").shift_remove("gen_ai.usage.output_tokens");
    cases.spans(case, &[root(case), span('2', Some('1'), 10, embedding)], 1, [7, 0]).tokens = [Some(7), None];
}

fn numbers(cases: &mut Cases) {
    let case = "unknown-is-not-0";
    let unknown = json!({"gen_ai.operation.name": "chat", "gen_ai.request.model": case});
    cases.spans(case, &[root(case), span('2', Some('1'), 100, unknown)], 1, [0, 0]).tokens = [None, None];
    let case = "exact-money";
    let costs = [
        root(case),
        span('2', Some('1'), 100, costing(call(case, "resp-1", 1, 1), 0.1)),
        span('3', Some('1'), 200, costing(call(case, "resp-2", 1, 1), 0.2)),
        span('4', Some('1'), 300, costing(call(case, "resp-3", 1, 1), 0.000_000_000_001)),
    ];
    cases.spans(case, &costs, 3, [3, 3]).cost = Some("0.300000000001");
}

#[test]
fn each_call_counts_once_in_every_view_and_still_does_when_every_row_is_stored_twice() {
    let mut cases = Cases::new();
    double_reports(&mut cases);
    agents(&mut cases);
    the_sample(&mut cases);
    late_and_lost_roots(&mut cases);
    two_workspaces(&mut cases);
    embeddings(&mut cases);
    numbers(&mut cases);
    cases.wait_until_stored();
    cases.assert_seen();
    assert_same_as_before(&cases.service);

    let again = "INSERT INTO otel_traces SELECT * FROM otel_traces SETTINGS insert_deduplicate = 0";
    cases.service.sql().rows(again, &[]);
    cases.sent *= 2;
    cases.wait_until_stored();
    cases.assert_seen();
}

#[test]
fn of_two_reports_the_instrumented_span_counts_and_shows_the_pairs_messages() {
    for is_pair_first in [false, true] {
        let mut cases = Cases::new();
        double_report(&mut cases, "double", is_pair_first);
        cases.wait_until_stored();
        let trace = cases.expected.first().expect("one case").trace.clone();
        let (sql, of_trace) = (cases.service.sql(), &[("t", trace.as_str())]);
        let counted = span_id(&trace, '2');

        let calls = sql.rows(
            "SELECT SpanId, ReportedBy, Reports, CostSource, InputMessages LIKE '%How deep%' AS asked, \
             OutputMessages LIKE '%Two feet.%' AS answered FROM genai_calls_with_content WHERE TraceId = {t:String}",
            of_trace,
        );
        let want = json!({
            "SpanId": counted, "ReportedBy": ["pair", "span"], "Reports": 2, "CostSource": "caller", "asked": 1, "answered": 1
        });
        assert_eq!(calls, [want]);

        let shown = sql.rows(
            "SELECT SpanId, CountedSpanId, SpanAttributes['gen_ai.output.messages'] LIKE '%Two feet.%' AS answered \
             FROM otel_traces_with_content WHERE TraceId = {t:String} ORDER BY Timestamp",
            of_trace,
        );
        assert_eq!(shown.len(), 3, "both reports are kept: {shown:?}");
        let facts: Vec<_> = shown.iter().map(|row| (text(row, "CountedSpanId"), row["answered"] == 1)).collect();
        assert_eq!(facts, [("", false), (counted.as_str(), true), (counted.as_str(), true)]);
        assert_eq!(text(&shown[1], "SpanId"), counted);

        let previews =
            sql.rows("SELECT InputPreview, OutputPreview FROM genai_traces WHERE TraceId = {t:String}", of_trace);
        assert_eq!(previews, [json!({"InputPreview": "How deep is the race?", "OutputPreview": "Two feet."})]);
    }
}

/// 20 days with 1,000 traces of ten spans each, two of them calls with messages of 2 KB.
const MANY: &str = "INSERT INTO otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, Operation, RequestModel, InputTokens, InputMessages) \
    WITH intDiv(number, 10) AS trace, number % 10 AS span \
    SELECT toDateTime64('2026-02-01 00:00:00', 9) + toIntervalSecond(trace * 86 + span), lower(hex(MD5(toString(trace)))), \
           lower(hex(sipHash64(number))), if(span = 0, '', lower(hex(sipHash64(number - span)))), 'span', \
           if(span IN (3, 6), 'chat', ''), 'm', if(span IN (3, 6), 100, NULL), if(span IN (3, 6), repeat('m', 2000), '') \
    FROM numbers(200000)";

/// Their calls and traces, so that nobody has to wait until all are counted.
const MANY_CALLS: &str = "INSERT INTO genai_report_rows (Workspace, Timestamp, TraceId, SpanId, Operation, CountedAs, Model, InputTokens, Version) \
    SELECT Workspace, Timestamp, TraceId, SpanId, Operation, 'call', RequestModel, InputTokens, 1 FROM otel_traces WHERE Operation != ''";
const MANY_TRACES: &str = "INSERT INTO genai_trace_rows (Workspace, Timestamp, TraceId, Spans, Calls, InputTokens, SessionId, Version) \
    SELECT Workspace, min(Timestamp), TraceId, count(), countIf(Operation != ''), sum(InputTokens), 's', 1 FROM otel_traces GROUP BY Workspace, TraceId";

/// Rows that a query reads, as ClickHouse says.
fn rows_read(service: &Service, query: &str) -> u64 {
    let sql = service.sql();
    let url = format!("{}/?database={}&wait_end_of_query=1", sql.url, sql.database);
    let answer = send("POST", &url, &[], query.as_bytes());
    assert_eq!(answer.status, 200, "{}\nin: {query}", answer.text());
    let summary: Value = serde_json::from_str(answer.header("x-clickhouse-summary")).expect("a summary");
    text(&summary, "read_rows").parse().expect("a number")
}

#[test]
fn a_filter_by_trace_or_range_reads_little_and_messages_are_read_when_asked_for() {
    let service = Service::start();
    for insert in [MANY, MANY_CALLS, MANY_TRACES] {
        wait_until("the table is there", || service.sql().try_rows(insert, &[]).ok());
    }
    let trace = service.sql().rows("SELECT lower(hex(MD5('77'))) AS id", &[]);
    let trace = text(trace.first().expect("one row"), "id").to_owned();
    let range = "(since = '2026-02-10 12:00:00', until = '2026-02-10 13:00:00')";
    for (name, has_trace) in
        [("genai_calls", true), ("genai_traces", true), ("genai_sessions", false), ("genai_usage_1h", false)]
    {
        let all = rows_read(&service, &format!("SELECT sum(InputTokens) FROM {name}"));
        assert!(all >= 20_000, "{name}: {all}");
        let between = rows_read(&service, &format!("SELECT sum(InputTokens) FROM {name}_between{range}"));
        assert!(between < all / 4, "{name}: {between} of {all} rows for an hour of twenty days");
        if has_trace {
            let one = rows_read(&service, &format!("SELECT sum(InputTokens) FROM {name} WHERE TraceId = '{trace}'"));
            assert!(one < all / 8, "{name}: {one} of {all} rows for one trace");
        }
    }
    let one = format!("SELECT count() FROM otel_traces_with_content WHERE TraceId = '{trace}'");
    assert!(rows_read(&service, &one) < 50_000);

    for (select, reads_messages) in [
        ("SELECT TraceId, RootName, Calls, InputTokens, Models FROM genai_traces", false),
        ("SELECT TraceId, InputPreview FROM genai_traces", false),
        ("SELECT SessionId, Traces, CostTotal FROM genai_sessions", false),
        ("SELECT * FROM genai_usage_1h", false),
        ("SELECT Timestamp, Duration, Model, CostTotal, ErrorMessage FROM genai_calls", false),
        ("SELECT InputMessages FROM genai_calls_with_content", true),
        ("SELECT Model FROM genai_calls_with_content", false),
    ] {
        let plan = service.sql().rows(&format!("EXPLAIN actions = 1 {select}"), &[]);
        let has_messages = plan.iter().any(|line| line.to_string().contains("InputMessages"));
        assert_eq!(has_messages, reads_messages, "{select}");
    }
}
