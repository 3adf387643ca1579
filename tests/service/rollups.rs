//! The tables of what was counted follow the spans, whatever happens: `millrace rollup rebuild`, which counts everything anew, never
//! finds a row that is not right.

use millrace::time::Clock;
use serde_json::{Value, json};

use crate::read_api::list;
use support::http::{post_json, send};
use support::wire::{Span, request_of, string_attribute};
use support::{Engine, Options, Service, service, wait_until};

const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3_600 * SECOND;

/// All that was counted, without what differs from run to run.
const TRACES: &str = "SELECT * EXCEPT (Checksum, Digest, Version, RowKey) FROM genai_trace_rows FINAL WHERE IsDeleted = 0 ORDER BY Timestamp, TraceId";
const REPORTS: &str = "SELECT * EXCEPT (Digest, Version, RowKey) FROM genai_report_rows FINAL WHERE IsDeleted = 0 ORDER BY Timestamp, TraceId, SpanId, SpanKind";

/// A span of a test: ids are single bytes.
#[derive(Debug, Clone, Default)]
struct Test {
    trace: u8,
    id: u8,
    parent: u8,
    /// Nanoseconds after the beginning.
    start: u64,
    attributes: Vec<(&'static str, String)>,
}

fn now() -> u64 {
    u64::try_from(Clock::System.now().nanos()).expect("it is after 1970")
}

impl Test {
    fn with(mut self, attributes: &[(&'static str, &str)]) -> Self {
        self.attributes.extend(attributes.iter().map(|(key, value)| (*key, (*value).to_owned())));
        self
    }

    fn span(&self, began: u64) -> Span {
        Span {
            trace_id: vec![self.trace; 16],
            span_id: vec![self.id; 8],
            parent_span_id: if self.parent == 0 { vec![] } else { vec![self.parent; 8] },
            name: format!("span {}", self.id),
            kind: 3,
            start_time_unix_nano: began + self.start,
            end_time_unix_nano: began + self.start + SECOND,
            attributes: self.attributes.iter().map(|(key, value)| string_attribute(key, value.clone())).collect(),
            ..Span::default()
        }
    }
}

fn plain(trace: u8, id: u8, parent: u8) -> Test {
    Test { trace, id, parent, start: u64::from(id), ..Test::default() }
}

fn chat(trace: u8, id: u8, parent: u8, tokens: u64) -> Test {
    plain(trace, id, parent).with(&[
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.request.model", "m"),
        ("gen_ai.usage.input_tokens", &tokens.to_string()),
    ])
}

fn agent(trace: u8, id: u8, parent: u8, tokens: u64) -> Test {
    plain(trace, id, parent).with(&[
        ("gen_ai.operation.name", "invoke_agent"),
        ("gen_ai.agent.name", "planner"),
        ("gen_ai.usage.input_tokens", &tokens.to_string()),
    ])
}

fn export(service: &Service, began: u64, spans: &[Test]) {
    let spans: Vec<Span> = spans.iter().map(|span| span.span(began)).collect();
    let headers = [("content-type", "application/x-protobuf")];
    let answer = send("POST", &service.http("/v1/traces"), &headers, &request_of(spans));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Counts everything that is stored; what `millrace rollup rebuild` says.
pub(crate) fn rebuild(service: &Service) -> String {
    let mut command = service::binary();
    command.args(["rollup", "rebuild", "--config", service.config().to_str().expect("a plain path")]);
    let output = command.env("MILLRACE_CLICKHOUSE_URL", &service.sql().url).output().expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The tables come to hold `traces` traces, and are as they would be if all were counted anew.
fn assert_right(service: &Service, traces: u64) {
    let count = "SELECT count() FROM genai_trace_rows FINAL WHERE IsDeleted = 0";
    wait_until("all traces are counted", || (service.sql().number(count, &[]) == traces).then_some(()));
    wait_until("nothing waits to be counted", || {
        (service.metric("millrace_rollup_backlog") == Some(0.0)).then_some(())
    });
    let said = rebuild(service);
    assert!(said.contains(" 0 rows corrected"), "{said}");
}

fn number(service: &Service, what: &str) -> u64 {
    service.sql().number(
        &format!("SELECT toUInt64(sum(ifNull({what}, 0))) FROM genai_trace_rows FINAL WHERE IsDeleted = 0"),
        &[],
    )
}

/// A trace with a wrapper over a provider's span, an agent above both that repeats their sum, and a call beside them.
fn agents_trace(trace: u8) -> Vec<Test> {
    vec![
        plain(trace, 1, 0).with(&[("session.id", "s"), ("user.id", "u")]),
        agent(trace, 2, 1, 30),
        chat(trace, 3, 2, 10),
        chat(trace, 4, 3, 10),
        chat(trace, 5, 2, 20),
        plain(trace, 6, 5),
    ]
}

#[test]
fn spans_of_a_trace_give_the_same_counts_in_whatever_order_and_company_they_come() {
    let service = Service::start();
    let began = now();
    let orders: Vec<Vec<Vec<usize>>> = vec![
        vec![vec![0, 1, 2, 3, 4, 5]],
        vec![vec![5], vec![4], vec![3], vec![2], vec![1], vec![0]],
        vec![vec![3, 4], vec![0], vec![5, 1], vec![2]],
        vec![vec![0], vec![5], vec![1], vec![2, 4], vec![3]],
    ];
    for round in 0..6 {
        for (place, order) in orders.iter().enumerate() {
            let all = agents_trace(u8::try_from(place + 1).expect("few"));
            if let Some(some) = order.get(round) {
                export(&service, began, &some.iter().map(|at| all[*at].clone()).collect::<Vec<_>>());
            }
        }
        // so that visits come in between
        wait_until("a visit has been", || (service.metric("millrace_rollup_backlog") == Some(0.0)).then_some(()));
    }
    assert_right(&service, 4);
    let without_ids = |mut row: Value| {
        row["TraceId"] = Value::Null;
        row.to_string()
    };
    let traces: Vec<String> = service.sql().rows(TRACES, &[]).into_iter().map(without_ids).collect();
    assert!(traces.iter().all(|row| *row == traces[0]), "{traces:#?}");
    let row = &service.sql().rows(TRACES, &[])[0];
    let said = json!([row["Spans"], row["Calls"], row["InputTokens"], row["SessionId"], row["UserId"], row["Agents"]]);
    assert_eq!(said, json!([6, 2, 30, "s", "u", ["planner"]]));
    let reports: Vec<String> = service.sql().rows(REPORTS, &[]).into_iter().map(without_ids).collect();
    assert_eq!(reports.len(), 16, "three chats and an agent in each");
    for place in 0..4 {
        let of_kind: Vec<&String> = reports[place * 4..place * 4 + 4].iter().collect();
        assert!(of_kind.iter().all(|row| *row == of_kind[0]), "{of_kind:#?}");
    }
}

#[test]
fn what_comes_late_or_is_reported_again_or_joins_later_is_counted_as_if_it_had_come_first() {
    let service = Service::start();
    let began = now() - 3 * HOUR;
    export(&service, began, &[chat(1, 2, 1, 5), chat(2, 2, 0, 5), chat(3, 2, 0, 5)]);
    assert_right(&service, 3);
    // a root an hour earlier moves the trace; a span an hour later makes it longer
    let early = Test { start: 0, ..plain(1, 1, 0) };
    export(&service, began - HOUR, &[early]);
    export(&service, began + HOUR, &[chat(1, 3, 1, 7)]);
    // a fuller report of the same span
    let longer = Test { start: SECOND, ..chat(2, 2, 0, 50) };
    export(&service, began, &[longer]);
    wait_until("the fuller one counts", || (number(&service, "InputTokens") == 5 + 7 + 50 + 5).then_some(()));
    wait_until("the other is removed", || (service.metric("millrace_superseded_spans_total")? == 1.0).then_some(()));
    // which changes what the trace's row was counted from, and nothing that it says: the walk would find it, or this span
    export(&service, began, &[plain(2, 9, 2)]);
    // a captured call that waits for its root, and then the root
    let call = json!({"trace_id": "04".repeat(16),
        "request": {"model": "m", "messages": [{"role": "user", "content": "q"}]},
        "response": {"id": "chatcmpl-abcdef", "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 1}}});
    assert_eq!(post_json(&service.chat("default"), &call).status, 201);
    assert_right(&service, 4);
    export(&service, now(), &[plain(4, 1, 0).with(&[("session.id", "named")])]);
    wait_until("it has joined", || {
        let joined = "SELECT count() FROM otel_traces WHERE JoinState = 'joined' AND SessionId = 'named'";
        (service.sql().number(joined, &[]) == 1).then_some(())
    });
    assert_right(&service, 4);
    assert_eq!((number(&service, "Calls"), number(&service, "InputTokens")), (5, 5 + 7 + 50 + 5 + 9));
    let sessions = "SELECT count() FROM genai_trace_rows FINAL WHERE IsDeleted = 0 AND SessionId = 'named' AND RootName = 'span 1'";
    assert_eq!(service.sql().number(sessions, &[]), 1);
}

/// Calls and tokens by a key: of a list of the read API, of a grouping of its metrics, and of a view.
fn by_user(service: &Service) -> [Vec<Value>; 3] {
    let row = |key: &Value, calls: &Value, tokens: &Value| json!([key, calls, tokens]);
    let users = list(service, "default", "/users?page_size=100");
    let of_list = users["data"].as_array().expect("a list").iter();
    let metrics = list(service, "default", "/metrics?by=user");
    let of_metrics = metrics["data"].as_array().expect("rows").iter();
    let view = "SELECT UserId, Calls, InputTokens FROM genai_usage_by_user";
    let sorted = |mut rows: Vec<Value>| {
        rows.retain(|row| row[0] != "");
        rows.sort_by_key(Value::to_string);
        rows
    };
    [
        sorted(of_list.map(|user| row(&user["id"], &user["call_count"], &user["input_tokens"])).collect()),
        sorted(of_metrics.map(|group| row(&group["group"], &group["calls"], &group["input_tokens"])).collect()),
        sorted(
            service
                .sql()
                .rows(view, &[])
                .iter()
                .map(|of| row(&of["UserId"], &of["Calls"], &of["InputTokens"]))
                .collect(),
        ),
    ]
}

#[test]
fn what_users_and_sessions_come_to_is_what_their_traces_do_whoever_named_them_and_whenever() {
    let service = Service::start();
    let began = now() - 60 * SECOND;
    // of trace 1 the root is missing, of trace 2 no root names anybody, trace 3 is nobody's
    export(&service, began, &[agent(1, 2, 1, 30), chat(1, 3, 2, 10), chat(1, 4, 2, 20)]);
    export(&service, began, &[plain(2, 1, 0), plain(2, 2, 1).with(&[("user.id", "ana")]), chat(2, 3, 2, 40)]);
    export(&service, began, &[plain(2, 4, 1).with(&[("user.id", "bo"), ("session.id", "t")]), chat(2, 5, 4, 80)]);
    export(&service, began, &[chat(2, 6, 1, 160), plain(3, 1, 0), chat(3, 2, 1, 320)]);
    let call = json!({"trace_id": "01".repeat(16),
        "request": {"model": "m", "messages": [{"role": "user", "content": "q"}]},
        "response": {"id": "chatcmpl-abcdef", "choices": [], "usage": {"prompt_tokens": 640, "completion_tokens": 1}}});
    assert_eq!(post_json(&service.chat("default"), &call).status, 201);
    assert_right(&service, 3);
    let of_branches = vec![json!(["ana", 2, 40 + 160]), json!(["bo", 1, 80])];
    assert_eq!(by_user(&service), [of_branches.clone(), of_branches.clone(), of_branches.clone()]);

    export(&service, began, &[plain(1, 1, 0).with(&[("user.id", "ana"), ("session.id", "s")])]);
    let with_root = vec![json!(["ana", 5, 40 + 160 + 10 + 20 + 640]), of_branches[1].clone()];
    wait_until("the calls below the late root are its user's", || {
        (by_user(&service) == [with_root.clone(), with_root.clone(), with_root.clone()]).then_some(())
    });
    assert_right(&service, 3);
    let sum = |sql: &str| service.sql().number(sql, &[]);
    for name in ["UserId", "SessionId"] {
        let of_calls = sum(&format!("SELECT sum(InputTokens) FROM genai_calls WHERE {name} != ''"));
        let of_traces = sum(&format!("SELECT sum(InputTokens) FROM genai_traces WHERE {name} != ''"));
        assert_eq!(of_calls, of_traces, "{name}");
    }
    for (session, tokens) in [("s", 10 + 20 + 640), ("t", 40 + 80 + 160)] {
        let of_list = &list(&service, "default", &format!("/sessions?filter[id]={session}"))["data"][0]["input_tokens"];
        let alone = &list(&service, "default", &format!("/sessions/{session}"))["input_tokens"];
        assert_eq!((of_list, alone), (&json!(tokens), &json!(tokens)), "{session}");
    }
    let agents =
        service.sql().rows("SELECT AgentName AS agent, Calls AS calls FROM genai_usage_by_agent ORDER BY agent", &[]);
    assert_eq!(agents, [json!({"agent": "", "calls": 5}), json!({"agent": "planner", "calls": 2})]);
}

#[test]
fn a_millrace_that_is_killed_again_and_again_neither_forgets_nor_doubles_a_call() {
    let mut service = Service::start_with(Options { fixed_ports: true, ..Options::default() });
    let began = now();
    for round in 0..8_u8 {
        for trace in 0..12_u8 {
            export(&service, began, &[chat(trace + 1, 2 * round + 2, 1, 1), plain(trace + 1, 2 * round + 3, 2)]);
        }
        // at another point of the way each time: journal, insert, visit
        std::thread::sleep(std::time::Duration::from_millis(u64::from(round) * 180));
        service.kill();
        service.start_again();
    }
    export(&service, began, &(1..=12).map(|trace| plain(trace, 1, 0)).collect::<Vec<_>>());
    let expected = (12 * 8, 12 * 8, 12 * 17);
    wait_until("every call is counted once", || {
        let counts = (number(&service, "Calls"), number(&service, "InputTokens"), number(&service, "Spans"));
        assert!(counts.0 <= expected.0 && counts.2 <= expected.2, "{counts:?}");
        (counts == expected).then_some(())
    });
    assert_right(&service, 12);
}

#[test]
fn two_millraces_that_share_the_spans_of_a_trace_count_it_together() {
    let engine = Engine::start();
    let options = || Options { clickhouse_url: Some(engine.url()), ..Options::default() };
    let both = [Service::start_with(options()), Service::start_with(options())];
    let table = "SELECT 1 FROM genai_trace_rows LIMIT 1";
    wait_until("there are tables", || both[0].sql().try_rows(table, &[]).ok());
    let began = now();
    for trace in 1..=10_u8 {
        for (place, span) in agents_trace(trace).into_iter().enumerate() {
            export(&both[(place + usize::from(trace)) % 2], began, &[span]);
        }
    }
    // what neither of them could know is found by a walk
    wait_until("all spans are counted", || {
        let counts = (number(&both[0], "Calls"), number(&both[0], "InputTokens"), number(&both[0], "Spans"));
        (counts == (20, 300, 60)).then_some(())
    });
    assert_right(&both[0], 10);
}

#[test]
fn spans_of_an_earlier_version_and_changes_by_hand_are_found_without_being_told() {
    let service = Service::start();
    let old = "INSERT INTO otel_traces (Timestamp, TraceId, SpanId, SpanName, Operation, InputTokens, CostTotal) \
               SELECT now64(9) - number * 500, lower(hex(toFixedString(leftPad(toString(number), 16, 'x'), 16))), \
               lower(hex(toFixedString(leftPad(toString(number), 8, 'y'), 8))), 'old', 'chat', 5, 1 FROM numbers(700)";
    service.sql().rows(old, &[]);
    wait_until("they are counted", || (number(&service, "InputTokens") == 3_500).then_some(()));
    assert_right(&service, 700);
    let reprice = "ALTER TABLE otel_traces UPDATE CostTotal = 2 WHERE InputTokens = 5 SETTINGS mutations_sync = 1";
    service.sql().rows(reprice, &[]);
    wait_until("the new costs are counted", || (number(&service, "CostTotal") == 1_400).then_some(()));
    // half of all traces, and all of some days: those of the beginning, of today and of one between them
    let delete = "ALTER TABLE otel_traces DELETE WHERE cityHash64(TraceId) % 2 = 0 \
                  OR toDate(Timestamp) IN (today(), today() - 2, (SELECT min(toDate(Timestamp)) FROM otel_traces)) \
                  SETTINGS mutations_sync = 1, allow_nondeterministic_mutations = 1";
    service.sql().rows(delete, &[]);
    let left = service.sql().number("SELECT count() FROM otel_traces", &[]);
    assert!(left > 0 && left < 700, "{left}");
    wait_until("what is gone is not counted", || (number(&service, "Calls") == left).then_some(()));
    assert_right(&service, left);
}

#[test]
fn a_rebuild_writes_what_is_missing_and_nothing_else() {
    let service = Service::start();
    export(&service, now(), &[agents_trace(1), agents_trace(2)].concat());
    assert_right(&service, 2);
    let before = (service.sql().rows(TRACES, &[]), service.sql().rows(REPORTS, &[]));
    service.sql().rows("TRUNCATE TABLE genai_report_rows", &[]);
    let said = rebuild(&service);
    assert!(said.contains("2 traces counted, 8 rows corrected"), "{said}");
    assert_eq!((service.sql().rows(TRACES, &[]), service.sql().rows(REPORTS, &[])), before);
}
