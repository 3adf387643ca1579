//! A pair and the root of its trace in every order: whatever comes first, the rows are the same in the end.
//!
//! Each case has its events, and what its pairs are in the end. A case is run once for each order of its events, in a trace
//! of its own each time; then the rows of all orders are compared whole, with the ids of the trace taken out.

use std::collections::BTreeMap;

use millrace::ids::TraceId;
use millrace::time::Clock;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::rows::text;
use support::http::send;
use support::wire::{Span, request_of, string_attribute};
use support::{Engine, Options, Service, wait_until};

/// Rounds come often, so that the test need not wait for them.
const OFTEN: &str = "joiner: { interval: 200ms }";
/// A trace of which only the first sixteen digits matter to a derived session.
const DERIVED: &str = "session_TRACE";
const HOUR: u64 = 3_600_000_000_000;

/// How senders of pairs write the id of the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    Hex,
    UpperCase,
    Uuid,
    FreeText,
}

/// Something that is sent.
#[derive(Debug, Clone)]
enum Event {
    /// An OTLP span.
    Span { id: u8, parent: Vec<u8>, start: u64, attributes: Vec<(&'static str, &'static str)> },
    /// A pair.
    Pair { question: &'static str, more: Value, traceparent: bool, workspace: &'static str, start: u64 },
}

/// What a pair is in the end: the question it asks, parent, session, how it joined.
type Expected = (&'static str, &'static str, &'static str, &'static str);

struct Case {
    name: &'static str,
    spelling: Spelling,
    events: Vec<Event>,
    expected: Vec<Expected>,
}

fn root(id: u8, start: u64, session: &'static str) -> Event {
    let session = (!session.is_empty()).then_some(("session.id", session));
    Event::Span { id, parent: vec![], start, attributes: session.into_iter().collect() }
}

fn pair(question: &'static str, more: Value) -> Event {
    Event::Pair { question, more, traceparent: false, workspace: "default", start: 5 }
}

fn with_traceparent(question: &'static str, more: Value) -> Event {
    Event::Pair { question, more, traceparent: true, workspace: "default", start: 5 }
}

fn case(name: &'static str, events: Vec<Event>, expected: Vec<Expected>) -> Case {
    Case { name, spelling: Spelling::Hex, events, expected }
}

const ROOT: &str = "0101010101010101";
const SECOND: &str = "0202020202020202";
const NAMED: &str = "7777777777777777";
const NASTY: &str = "it's \\ a \"session\"? \\' `x` {t:String} é";

fn cases() -> Vec<Case> {
    [sessions(), parents(), several(), others(), times(), spellings()].into_iter().flatten().collect()
}

fn none() -> Value {
    json!({})
}

/// Sessions on either side.
fn sessions() -> Vec<Case> {
    vec![
        case("a root without a session", vec![root(1, 4, ""), pair("q", none())], vec![("q", ROOT, DERIVED, "joined")]),
        case("a root with a session", vec![root(1, 4, NASTY), pair("q", none())], vec![("q", ROOT, NASTY, "joined")]),
        case(
            "both have a session",
            vec![root(1, 4, "theirs"), pair("q", json!({"session_id": "its own"}))],
            vec![("q", ROOT, "its own", "joined")],
        ),
        case(
            "only the pair has a session",
            vec![root(1, 4, ""), pair("q", json!({"session_id": NASTY}))],
            vec![("q", ROOT, NASTY, "joined")],
        ),
    ]
}

/// Parents that are named.
fn parents() -> Vec<Case> {
    vec![
        case(
            "a root whose parent is all zero",
            vec![
                Event::Span { id: 1, parent: vec![0; 8], start: 4, attributes: vec![("session.id", "s")] },
                pair("q", none()),
            ],
            vec![("q", ROOT, "s", "joined")],
        ),
        case("a traceparent", vec![root(1, 4, "s"), with_traceparent("q", none())], vec![("q", NAMED, "s", "given")]),
        case(
            "a traceparent and no session anywhere",
            vec![root(1, 4, ""), with_traceparent("q", none())],
            vec![("q", NAMED, DERIVED, "given")],
        ),
        case(
            "a traceparent and sessions on both sides",
            vec![root(1, 4, "s"), with_traceparent("q", json!({"session_id": "mine"}))],
            vec![("q", NAMED, "mine", "given")],
        ),
        case(
            "a parent in the body",
            vec![root(1, 4, "s"), pair("q", json!({"parent_span_id": NAMED}))],
            vec![("q", NAMED, "s", "given")],
        ),
    ]
}

/// Several roots.
fn several() -> Vec<Case> {
    vec![
        case(
            "two roots: the one that began first",
            vec![root(1, 4, "later"), root(2, 3, "first"), pair("q", none())],
            vec![("q", SECOND, "first", "joined")],
        ),
        case(
            "two roots, and a parent that is given",
            vec![root(1, 4, "later"), root(2, 3, "first"), with_traceparent("q", none())],
            vec![("q", NAMED, "first", "given")],
        ),
        case(
            "two roots that began at once: the smaller id",
            vec![root(2, 4, "second"), root(1, 4, "one"), pair("q", none())],
            vec![("q", ROOT, "one", "joined")],
        ),
        case(
            "a first root without a session",
            vec![root(1, 4, "later"), root(2, 3, ""), pair("q", none())],
            vec![("q", SECOND, DERIVED, "joined")],
        ),
    ]
}

/// Other spans, and repeats.
fn others() -> Vec<Case> {
    vec![
        case(
            "only another pair",
            vec![pair("a", none()), pair("b", json!({"session_id": "b's"}))],
            vec![("a", "", DERIVED, "waiting"), ("b", "", "b's", "waiting")],
        ),
        case(
            "two pairs and a root",
            vec![pair("a", none()), root(1, 6, "s"), pair("b", none())],
            vec![("a", ROOT, "s", "joined"), ("b", ROOT, "s", "joined")],
        ),
        case(
            "a span that is no root",
            vec![
                Event::Span { id: 1, parent: vec![2; 8], start: 4, attributes: vec![("session.id", "s")] },
                pair("q", none()),
            ],
            vec![("q", "", DERIVED, "waiting")],
        ),
        case(
            "the pair comes twice",
            vec![pair("q", none()), root(1, 4, "s"), pair("q", none())],
            vec![("q", ROOT, "s", "joined")],
        ),
        case(
            "the root comes twice",
            vec![root(1, 4, "s"), pair("q", none()), root(1, 4, "s")],
            vec![("q", ROOT, "s", "joined")],
        ),
        case(
            "another workspace",
            vec![
                root(1, 4, "s"),
                Event::Pair { question: "q", more: none(), traceparent: false, workspace: "other", start: 5 },
            ],
            vec![("q", "", DERIVED, "waiting")],
        ),
    ]
}

/// Far apart, and side by side.
fn times() -> Vec<Case> {
    vec![
        case(
            "a root that began hours after the pair",
            vec![
                root(1, 5 * HOUR, "s"),
                Event::Pair { question: "q", more: none(), traceparent: false, workspace: "default", start: 5 },
            ],
            vec![("q", ROOT, "s", "joined")],
        ),
        case(
            "a root that began hours before the pair",
            vec![
                root(1, 4, ""),
                Event::Pair { question: "q", more: none(), traceparent: false, workspace: "default", start: 7 * HOUR },
            ],
            vec![("q", ROOT, DERIVED, "joined")],
        ),
        case(
            "the same call as the pair, instrumented",
            vec![
                root(1, 4, "s"),
                pair("q", none()),
                Event::Span {
                    id: 2,
                    parent: vec![1; 8],
                    start: 5,
                    attributes: vec![("gen_ai.operation.name", "chat"), ("gen_ai.response.id", "chatcmpl-1")],
                },
            ],
            vec![("q", ROOT, "s", "joined")],
        ),
        case(
            "a root whose session is too long to be handed on",
            vec![root(1, 4, too_long()), pair("q", none())],
            vec![("q", ROOT, DERIVED, "joined")],
        ),
    ]
}

/// How the trace's id is written.
fn spellings() -> Vec<Case> {
    let all = [("upper case", Spelling::UpperCase), ("a UUID", Spelling::Uuid), ("any text", Spelling::FreeText)];
    let of = |(name, spelling)| {
        let events = vec![root(1, 4, "s"), pair("q", none())];
        Case { name, spelling, events, expected: vec![("q", ROOT, "s", "joined")] }
    };
    all.into_iter().map(of).collect()
}

fn too_long() -> &'static str {
    Box::leak("s".repeat(1_025).into_boxed_str())
}

/// One order of a case's events, in a trace of its own.
struct Run<'c> {
    case: &'c Case,
    events: Vec<&'c Event>,
    trace: String,
    given: String,
    /// Nanoseconds since 1970 that the events' starts count from: a whole hour, about nine hours ago.
    from: u64,
    /// The ids of its pairs, by what they ask.
    pairs: BTreeMap<&'static str, String>,
}

impl<'c> Run<'c> {
    fn new(case: &'c Case, order: &[usize], number: usize, from: u64) -> Self {
        let name = format!("{} {number}", case.name);
        let digest: String = Sha256::digest(&name).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let given = match case.spelling {
            Spelling::Hex => digest.clone(),
            Spelling::UpperCase => digest.to_uppercase(),
            Spelling::Uuid => {
                let mut uuid = digest.clone();
                [20, 16, 12, 8].into_iter().for_each(|dash| uuid.insert(dash, '-'));
                uuid
            }
            Spelling::FreeText => name,
        };
        let events = order.iter().filter_map(|at| case.events.get(*at)).collect();
        Self { case, events, trace: digest, given, from, pairs: BTreeMap::new() }
    }

    fn send(&mut self, event: usize, to: &Service, ack: &str) {
        let Some(event) = self.events.get(event).copied() else { return };
        match event {
            Event::Span { id, parent, start, attributes } => {
                let body = request_of(vec![self.span(*id, parent, *start, attributes)]);
                let headers = [("content-type", "application/x-protobuf"), ("x-millrace-ack", ack)];
                let answer = send("POST", &to.http("/v1/traces"), &headers, &body);
                assert_eq!(answer.status, 200, "{}", answer.text());
            }
            Event::Pair { question, more, traceparent, workspace, start } => {
                let header = format!("00-{}-{NAMED}-01", self.trace);
                let mut headers = vec![("content-type", "application/json"), ("x-millrace-ack", ack)];
                if *traceparent {
                    headers.push(("traceparent", &header));
                }
                let body = self.body(question, more, *start).to_string();
                let answer = send("POST", &to.chat(workspace), &headers, body.as_bytes());
                assert_eq!(answer.status, 201, "{}: {}", self.case.name, answer.text());
                let said = answer.json();
                assert_eq!(text(&said, "trace_id"), self.trace, "{}", self.case.name);
                self.pairs.insert(question, text(&said, "span_id").to_owned());
            }
        }
    }

    fn span(&self, id: u8, parent: &[u8], start: u64, attributes: &[(&str, &str)]) -> Span {
        let trace = TraceId::from_hex(self.trace.as_bytes()).expect("an id");
        Span {
            trace_id: trace.bytes().to_vec(),
            span_id: vec![id; 8],
            parent_span_id: parent.to_vec(),
            name: format!("span {id}"),
            start_time_unix_nano: self.from + start,
            end_time_unix_nano: self.from + start + 1_000,
            attributes: attributes.iter().map(|(key, value)| string_attribute(key, (*value).to_owned())).collect(),
            ..Span::default()
        }
    }

    fn body(&self, question: &str, more: &Value, start: u64) -> Value {
        let seconds = (self.from + start) / 1_000_000_000;
        let mut body = json!({
            "trace_id": self.given,
            "provider": "openai",
            "started_at": seconds,
            "ended_at": seconds + 1,
            "request": {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": question}]},
            "response": {
                "id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4.1-mini-2025-04-14",
                "choices": [{"index": 0, "message": {"role": "assistant", "content": "Two."}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 12, "completion_tokens": 4, "total_tokens": 16}
            }
        });
        let members = body.as_object_mut().expect("an object");
        members.extend(more.as_object().expect("an object").clone());
        body
    }

    /// Every column of every row of the trace but the insert that it came with, without what makes this trace another.
    fn rows(&self, all: &[Value]) -> Vec<Value> {
        let mut rows: Vec<Value> = all.iter().filter(|row| text(row, "TraceId") == self.trace).cloned().collect();
        for row in &mut rows {
            let columns = row.as_object_mut().expect("a row");
            columns.remove("SegmentId").expect("every row has it");
            self.take_out_ids(columns);
        }
        rows.sort_by_key(|row| text(row, "SpanId").to_owned());
        // a span sent to two Millraces is stored by both, and must be the same row
        rows.dedup();
        rows
    }

    fn take_out_ids(&self, columns: &mut Map<String, Value>) {
        let mut line = Value::Object(std::mem::take(columns)).to_string();
        let (half, _) = self.trace.split_at(16);
        line = line.replace(&self.trace, "THE TRACE").replace(half, "TRACE").replace(&self.given, "GIVEN");
        for (question, id) in &self.pairs {
            line = line.replace(id, &format!("PAIR {question}"));
        }
        *columns = serde_json::from_str(&line).expect("still JSON");
    }

    /// What its pairs are now.
    fn pairs_of(&self, all: &[Value]) -> Vec<(String, String, String, String)> {
        let rows = self.rows(all);
        let pairs = rows.iter().filter(|row| text(row, "SpanId").starts_with("PAIR "));
        let texts = |row: &Value| {
            let of = |column| text(row, column).to_owned();
            let question = of("SpanId").trim_start_matches("PAIR ").to_owned();
            (question, of("ParentSpanId"), of("SessionId"), of("JoinState"))
        };
        pairs.map(texts).collect()
    }

    fn is_as_expected(&self, all: &[Value]) -> bool {
        let want = self.case.expected.iter().map(|(q, p, s, j)| [*q, *p, *s, *j].map(str::to_owned));
        let want: Vec<_> = want.map(|[q, p, s, j]| (q, p, s, j)).collect();
        let spans: std::collections::BTreeSet<u8> = self
            .case
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Span { id, .. } => Some(*id),
                Event::Pair { .. } => None,
            })
            .collect();
        self.pairs_of(all) == want && self.rows(all).len() == want.len() + spans.len()
    }
}

/// All orders of so many things.
fn orders(of: usize) -> Vec<Vec<usize>> {
    if of == 0 {
        return vec![vec![]];
    }
    let insert = |order: Vec<usize>| {
        (0..of).map(move |at| {
            let mut order = order.clone();
            order.insert(at, of - 1);
            order
        })
    };
    orders(of - 1).into_iter().flat_map(insert).collect()
}

/// Every order of every case.
fn runs(cases: &[Case]) -> Vec<Run<'_>> {
    let now = u64::try_from(Clock::System.now().nanos()).expect("after 1970");
    let from = (now / HOUR - 9) * HOUR;
    let orders_of = |case: &Case| orders(case.events.len()).into_iter().enumerate();
    cases.iter().flat_map(|case| orders_of(case).map(move |(n, order)| Run::new(case, &order, n, from))).collect()
}

fn all_rows(service: &Service) -> Result<Vec<Value>, String> {
    // a hash of the trace's id is another in each trace
    let query = "SELECT * EXCEPT (SessionHash), if(SessionHash = cityHash64(concat('session_', substring(TraceId, 1, 16))), \
                 'of the trace', toString(SessionHash)) AS SessionHash FROM otel_traces";
    service.sql().try_rows(query, &[])
}

fn rounds(service: &Service) -> f64 {
    service.metric("millrace_join_rounds_total").expect("the metric is there")
}

/// Waits until every run is as its case says, and lets some more rounds pass; then all runs of a case must have the same rows.
fn assert_same_in_every_order(runs: &[Run<'_>], services: &[&Service]) {
    let service = *services.first().expect("one service");
    let mut left = String::new();
    let settled = |left: &mut String| {
        let all = all_rows(service).ok()?;
        let wrong = runs.iter().find(|run| !run.is_as_expected(&all));
        *left = wrong.map_or(String::new(), |run| {
            let order: Vec<_> = run.events.iter().map(|event| format!("{event:?}")).collect();
            format!("{}: {order:#?}\nis {:?}\nnot {:?}", run.case.name, run.pairs_of(&all), run.case.expected)
        });
        wrong.is_none().then_some(())
    };
    let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_until("all pairs are as expected", || settled(&mut left));
    }));
    assert!(waited.is_ok(), "{left}");
    for service in services {
        let now = rounds(service);
        wait_until("some more rounds are over", || (rounds(service) > now + 10.0).then_some(()));
    }
    let all = all_rows(service).expect("the table is there");
    let mut first: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for run in runs {
        assert!(run.is_as_expected(&all), "{} changed: {:?}", run.case.name, run.pairs_of(&all));
        let rows = run.rows(&all);
        let same = first.entry(run.case.name).or_insert_with(|| rows.clone());
        assert_eq!(same, &rows, "{}: {:?}", run.case.name, run.events);
    }
}

fn phases(runs: &[Run<'_>]) -> usize {
    runs.iter().map(|run| run.events.len()).max().unwrap_or_default()
}

fn options(clickhouse_url: Option<String>) -> Options {
    Options { yaml: OFTEN.to_owned(), clickhouse_url, ..Options::default() }
}

#[test]
fn in_every_order_the_rows_are_the_same_when_one_comes_right_after_the_other() {
    let (cases, service) = (cases(), Service::start_with(options(None)));
    let mut runs = runs(&cases);
    for run in &mut runs {
        (0..run.events.len()).for_each(|event| run.send(event, &service, "durable"));
    }
    assert_same_in_every_order(&runs, &[&service]);
}

#[test]
fn in_every_order_the_rows_are_the_same_when_each_is_stored_before_the_next() {
    let (cases, service) = (cases(), Service::start_with(options(None)));
    let mut runs = runs(&cases);
    for event in 0..phases(&runs) {
        // the last of a phase waits until it is in the table, and the others went before it
        let last = runs.len() - 1;
        for (number, run) in runs.iter_mut().enumerate() {
            run.send(event, &service, if number == last { "stored" } else { "durable" });
        }
        wait_until("the phase is stored", || (service.metric("millrace_spans_pending")? == 0.0).then_some(()));
    }
    assert_same_in_every_order(&runs, &[&service]);
    assert!(service.metric("millrace_join_joined_total") > Some(0.0), "pairs were joined after they were stored");
}

#[test]
fn in_every_order_the_rows_are_the_same_when_millrace_ends_in_between() {
    let (cases, mut service) = (cases(), Service::start_with(options(None)));
    let mut runs = runs(&cases);
    for event in 0..phases(&runs) {
        runs.iter_mut().for_each(|run| run.send(event, &service, "durable"));
        match event {
            0 => service.kill(),
            1 => drop(service.terminate()),
            _ => continue,
        }
        service.start_again();
    }
    assert_same_in_every_order(&runs, &[&service]);
}

#[test]
fn in_every_order_the_rows_are_the_same_when_two_millraces_share_a_clickhouse() {
    let engine = Engine::start();
    let [one, other] = [(); 2].map(|()| Service::start_with(options(Some(engine.url()))));
    let cases = cases();
    let mut runs = runs(&cases);
    for event in 0..phases(&runs) {
        // pair here, root there, and the other way round in another order of the same case
        runs.iter_mut().for_each(|run| run.send(event, if event % 2 == 0 { &one } else { &other }, "durable"));
    }
    assert_same_in_every_order(&runs, &[&one, &other]);
}
