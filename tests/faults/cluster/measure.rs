//! What many spans cost on two shards, and on one server of the same engine: bytes, inserts, the statements that Millrace runs for
//! itself, and the questions of docs/queries.md. `make bench-cluster` prints it as a table.
//!
//! `received` is what the node that was asked got over its connections: of a statement that gathers whole shards it is large.

use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use millrace::clickhouse::superseded::{Ids, SPANS_MAX, Slice, doubled, superseded};
use millrace::clickhouse::{Client, Config, joins};
use millrace::config::environment;
use millrace::ids::{SpanId, TraceId};
use millrace::time::{Clock, UnixNanos};
use millrace::traces::TraceKey;
use millrace::workspace::Workspace;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::nodes::{Cluster, is_possible};
use super::succeeds;
use support::questions::{DOCUMENT, shown};
use support::sql::Sql;
use support::{Server, http, project, service, wait_at_most};

const SPANS: u64 = 10_000_000;
const SPANS_AN_INSERT: u64 = 100_000;
const HOUR_NANOS: i64 = 3_600_000_000_000;
/// Traces of a round of joining.
const TRACES: usize = 1_000;
const SETTLED_WITHIN: Duration = Duration::from_secs(1_800);

/// Where the rows are: nodes, of which the first is asked.
struct Place {
    name: &'static str,
    nodes: Vec<Sql>,
    client: Client,
    local: &'static str,
}

/// What a statement cost on all nodes, and what it sent to the one that was asked.
#[derive(Debug, Clone, Copy)]
struct Cost {
    took: Duration,
    cpu_micros: u64,
    rows: u64,
    received: u64,
}

impl Place {
    fn events(&self, nodes: &[Sql], name: &str) -> u64 {
        let query = format!("SELECT sum(value) FROM system.events WHERE event IN ({name})");
        nodes.iter().map(|node| node.number(&query, &[])).sum()
    }

    /// Nothing else is under way.
    fn settle(&self) {
        let merging = "SELECT count() AS n FROM system.merges";
        wait_at_most(SETTLED_WITHIN, "nothing is merged", || {
            self.nodes.iter().all(|node| node.number(merging, &[]) == 0).then_some(())
        });
    }

    fn cost<T>(&self, work: impl FnOnce() -> T) -> (Cost, T) {
        const CPU: &str = "'UserTimeMicroseconds', 'SystemTimeMicroseconds'";
        let look = || {
            let cpu = self.events(&self.nodes, CPU);
            (cpu, self.events(&self.nodes, "'SelectedRows'"), self.events(&self.nodes[..1], "'NetworkReceiveBytes'"))
        };
        let (before, began) = (look(), Instant::now());
        let done = work();
        let (took, after) = (began.elapsed(), look());
        let (cpu_micros, rows, received) = (after.0 - before.0, after.1 - before.1, after.2 - before.2);
        (Cost { took, cpu_micros, rows, received }, done)
    }

    fn fill(&self, spans: u64) -> Cost {
        let (cost, ()) = self.cost(|| {
            for first in (0..spans).step_by(usize::try_from(SPANS_AN_INSERT).expect("small")) {
                let count = SPANS_AN_INSERT.min(spans - first);
                let url =
                    format!("{}/?database=otel&insert_distributed_sync=1&max_insert_threads=1", self.nodes[0].url);
                let answer = http::send("POST", &url, &[], rows(first, count, spans).as_bytes());
                assert_eq!(answer.status, 200, "{}", answer.text());
            }
        });
        cost
    }

    fn bytes(&self) -> u64 {
        let query = format!("SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND table = '{}'", self.local);
        self.nodes.iter().map(|node| node.number(&query, &[])).sum()
    }
}

/// Ten spans a trace, over the last day; of a trace in ten, two are model calls, of which one was captured.
fn rows(first: u64, count: u64, all: u64) -> String {
    let now = Clock::System.now().nanos();
    format!(
        "INSERT INTO otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, ResourceAttributes, \
         SpanAttributes, Duration, StatusCode, SegmentId, SessionId, Operation, Provider, RequestModel, ResponseModel, ResponseId, InputTokens, \
         OutputTokens, CostTotal, InputMessages, OutputMessages, JoinState) \
         SELECT fromUnixTimestamp64Nano(toInt64({now}) - toInt64(86400000000000 * (1 - t * 10 / {all})) + place * 1000000), \
         lower(hex(sipHash128(t))), leftPad(lower(hex(sipHash64(number))), 16, '0'), if(place = 0, '', leftPad(lower(hex(sipHash64(t * 10))), 16, '0')), \
         concat('GET /api/v1/items/', toString(number % 20)), 'Server', concat('service-', toString(t % 12)), \
         map('service.name', concat('service-', toString(t % 12)), 'host.name', concat('host-', toString(t % 40)), 'deployment.environment', 'production'), \
         map('http.request.method', 'GET', 'url.path', concat('/api/v1/items/', toString(number)), 'http.response.status_code', '200', \
         'server.address', 'shop.example.com', 'client.address', concat('10.1.2.', toString(number % 250))), \
         sipHash64(number, 1) % 100000000, 'Unset', toUUID('00112233-4455-6677-8899-aabbccddeeff'), \
         if(t % 10 = 0, concat('session-', toString(t)), ''), if(is_call, 'chat', ''), if(is_call, 'openai', ''), if(is_call, 'gpt-4o-mini', ''), \
         if(is_call, 'gpt-4o-mini', ''), if(is_call, concat('resp_', hex(sipHash128(number))), ''), if(is_call, 500 + number % 100, NULL), \
         if(is_call, 100 + number % 100, NULL), if(is_call, toDecimal64(0.0001, 12), NULL), if(is_call, repeat(hex(sipHash128(number)), 20), ''), \
         if(is_call, repeat(hex(sipHash128(number, 1)), 10), ''), if(is_call AND place = 2, 'joined', '') \
         FROM (SELECT number, intDiv(number, 10) AS t, number % 10 AS place, t % 10 = 0 AND place IN (1, 2) AS is_call \
         FROM numbers({first}, {count}))"
    )
}

fn client(url: &str, cluster: Option<&str>) -> Client {
    let config: Config = serde_json::from_value(json!({"cluster": cluster})).expect("a configuration");
    Client::new(url, &config)
}

/// Some spans of the last full hour, as what reports twice is looked for.
fn some_spans(place: &Place, hour: i64) -> Vec<Ids> {
    let query = format!(
        "SELECT TraceId, SpanId FROM otel_traces WHERE Timestamp >= fromUnixTimestamp64Nano({hour}) \
         AND Timestamp < fromUnixTimestamp64Nano({}) LIMIT {SPANS_MAX}",
        hour + HOUR_NANOS
    );
    let text = |row: &Value, name: &str| row[name].as_str().expect("a text").to_owned();
    let ids = |row: &Value| {
        let (trace, span) = (text(row, "TraceId"), text(row, "SpanId"));
        (TraceId::from_hex(trace.as_bytes()).expect("an id"), SpanId::from_hex(span.as_bytes()).expect("an id"))
    };
    place.nodes[0].rows(&query, &[]).iter().map(ids).collect()
}

/// The statements that Millrace runs for itself, each with its cost.
fn own_statements(place: &Place, runtime: &Runtime) -> Vec<(String, Cost)> {
    let now = Clock::System.now().nanos();
    let hour = now - now % HOUR_NANOS - HOUR_NANOS;
    let since = UnixNanos::new(u64::try_from(now - 7 * 24 * HOUR_NANOS).expect("after 1970")).expect("a time");
    let began = hour..=hour + HOUR_NANOS - 1;
    let client = &place.client;
    let (hours_cost, hours) = place.cost(|| runtime.block_on(joins::hours(client, since)).expect("hours"));
    let full =
        *hours.iter().find(|found| found.start_secs * 1_000_000_000 == hour).expect("the last full hour has calls");
    let first = (String::new(), String::new());
    let (page_cost, page) = place.cost(|| runtime.block_on(joins::page(client, full, &first, TRACES)).expect("a page"));
    let traces: Vec<TraceKey> = page.iter().filter_map(|(trace, workspace)| joins::key_of(trace, workspace)).collect();
    assert!(!traces.is_empty() && traces.iter().all(|(workspace, _)| *workspace == Workspace::default()));
    let (look_cost, seen) = place.cost(|| runtime.block_on(joins::look(client, &traces, since)).expect("a look"));
    assert!(seen.len() >= traces.len(), "{} of {}", seen.len(), traces.len());
    let slice = Slice { place: 0, of: 1 };
    let (walk_cost, found) =
        place.cost(|| runtime.block_on(doubled(client, &began, slice)).expect("a step of the walk"));
    assert!(found.is_empty(), "each span is there once");
    let spans = some_spans(place, hour);
    let (rank_cost, rows) = place.cost(|| runtime.block_on(superseded(client, &spans, &began)).expect("a look"));
    assert!(rows.is_empty());
    [
        ("joining: hours of a week with calls", hours_cost),
        ("joining: a page of 1,000 traces of an hour", page_cost),
        ("joining: the roots of 1,000 traces", look_cost),
        ("superseded: the walk over an hour", walk_cost),
        ("superseded: the reports of 500 spans", rank_cost),
    ]
    .map(|(name, cost)| (name.to_owned(), cost))
    .into()
}

/// `millrace rollup rebuild`
fn count_all(place: &Place) {
    let mut config = tempfile::NamedTempFile::with_suffix(".yaml").expect("a file can be made");
    let cluster = if place.nodes.len() > 1 { ", cluster: one" } else { "" };
    writeln!(config, "clickhouse: {{ url: '{}'{cluster} }}", place.nodes[0].url).expect("it can be written");
    let output = service::binary().args(["rollup", "rebuild", "--config"]).arg(config.path()).output();
    succeeds(&output.expect("the binary runs"));
}

/// What people ask.
fn questions(place: &Place) -> Vec<(String, Cost)> {
    let document = fs::read_to_string(project().join(DOCUMENT)).expect("the document is there");
    let titles = document.lines().filter_map(|line| line.strip_prefix("## ")?.split_once(". ")).map(|(_, title)| title);
    let questions = shown(&document).into_iter().filter(|question| !question.statement.contains("since ="));
    let ask = |(title, statement): (&str, String)| {
        let (cost, _rows) = place.cost(|| place.nodes[0].rows(&statement, &[]));
        (title.to_owned(), cost)
    };
    titles.zip(questions.map(|question| question.statement)).map(ask).collect()
}

fn print(spans: u64, places: &[(&Place, Vec<(String, Cost)>)]) {
    let rest = |cost: &Cost| {
        format!(
            "{:.2} s, {} ms, {}, {} kB",
            cost.took.as_secs_f64(),
            cost.cpu_micros / 1_000,
            cost.rows,
            cost.received / 1_000
        )
    };
    println!(
        "| {spans} spans: time, CPU of all nodes, rows read, received by the node asked | {} | {} |\n|:-|-:|-:|",
        places[0].0.name, places[1].0.name
    );
    for ((name, one), (_, two)) in places[0].1.iter().zip(&places[1].1) {
        println!("| {name} | {} | {} |", rest(one), rest(two));
    }
}

#[test]
fn what_many_spans_cost_on_two_shards_and_on_one_server() {
    assert!(is_possible(), "this needs a cluster");
    let asked = environment().get("MILLRACE_BENCH_SPANS").map(|text| text.parse().expect("a number of spans"));
    let spans: u64 = asked.unwrap_or(SPANS);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let server = Server::start();
    let alone = Place {
        name: "one server",
        nodes: vec![server.sql("otel")],
        client: client(&server.url(), None),
        local: "otel_traces",
    };
    runtime
        .block_on(millrace::clickhouse::schema::apply(&alone.client, millrace::clickhouse::schema::Home::Embedded))
        .expect("the tables are made");
    let cluster = Cluster::start(2, 1);
    succeeds(&cluster.schema("apply", 0, ""));
    let nodes = cluster.all().map(|node| cluster.sql(node)).collect();
    let sharded =
        Place { name: "2 shards", nodes, client: client(&cluster.url(0), Some("one")), local: "otel_traces_local" };
    let figures = [&alone, &sharded].map(|place| {
        let mut figures = vec![("insert of all".to_owned(), place.fill(spans))];
        place.settle();
        println!("{}: {} bytes a span on disk", place.name, place.bytes() / spans);
        figures.extend(own_statements(place, &runtime));
        // what people ask is answered from what was counted
        figures.push(("count all calls and traces".to_owned(), place.cost(|| count_all(place)).0));
        figures.extend(questions(place));
        (place, figures)
    });
    print(spans, &figures);
}
