//! What a question of the read API may take: a client that leaves takes its statement along, and a limit says which one it is.
//!
//! ClickHouse is an external one here: of the embedded engine nobody else sees Millrace's own statements.

use std::net::{Shutdown, SocketAddr};
use support::http::{Answer, get};
use support::sql::Sql;
use support::{Engine, Options, Service, raw_http, wait_until};

/// With a filter, as a list of all users does not ask for each call.
const USERS: &str = "/apis/intake/v2/workspaces/default/users?filter[session_id]=s";
const RUNNING: &str =
    "SELECT query_id FROM system.processes WHERE query LIKE '%UserId AS user%' AND query NOT LIKE '%system.processes%'";

/// A service with these limits whose calls are as many as ClickHouse counts to, each of the user that the expression names.
fn service(engine: &Engine, limits: &str, user: &str) -> (Service, Sql) {
    let yaml = format!("query: {{ {limits} }}");
    let service = Service::start_with(Options { yaml, clickhouse_url: Some(engine.url()), ..Options::default() });
    let sql = engine.sql("otel");
    let made = "SELECT name FROM system.tables WHERE database = 'otel' AND name = 'genai_calls'";
    wait_until("the schema is there", || (sql.try_rows(made, &[]).ok()?.len() == 1).then_some(()));
    sql.rows("DROP VIEW otel.genai_calls", &[]);
    let view = format!(
        "CREATE VIEW otel.genai_calls AS SELECT 'default' AS Workspace, toDateTime64(number % 1000, 9, 'UTC') AS Timestamp, {user} AS UserId, \
         false AS IsError, 's' AS SessionId, 't' AS TraceId, toNullable(number) AS InputTokens, toNullable(number) AS OutputTokens, \
         toNullable(number) AS CacheReadTokens, toNullable(number) AS TotalTokens, toNullable(toDecimal64(1, 2)) AS CostTotal, 'm' AS Model \
         FROM numbers(100000000000000)"
    );
    sql.rows(&view, &[]);
    (service, sql)
}

fn refusal(answer: &Answer) -> (u16, &str, String) {
    (answer.status, answer.header("retry-after"), answer.json()["detail"].as_str().unwrap().to_owned())
}

#[test]
fn a_question_whose_client_leaves_is_cancelled_and_one_whose_client_only_says_no_more_is_answered() {
    let engine = Engine::start();
    let (service, sql) = service(&engine, "max_execution_time: 10m", "'u'");
    let address = |url: String| -> SocketAddr { url.trim_start_matches("http://").parse().expect("an address") };
    let (api, page) = (address(service.http("")), address(service.page("")));
    let json = ("content-type", "application/json");
    let typed = br#"{"sql": "SELECT max(UserId AS user) FROM otel.genai_calls"}"#;
    let running = || sql.rows(RUNNING, &[]).len();
    let accept = ("accept", "application/json, text/event-stream");
    let tool = br#"{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "query_sql",
        "arguments": {"sql": "SELECT max(UserId AS user) FROM otel.genai_calls"}}}"#;
    for (to, method, target, body) in [
        (api, "GET", USERS, &b""[..]),
        (page, "GET", USERS, b""),
        (page, "POST", "/api/v1/sql", typed),
        (page, "POST", "/mcp", tool),
    ] {
        let client = raw_http::send(to, method, target, &[json, accept], body);
        wait_until("ClickHouse works on the question", || (running() == 1).then_some(()));
        drop(client);
        // it would go on for minutes
        wait_until("it does no more", || (running() == 0).then_some(()));
    }
    let mut client = raw_http::send(api, "GET", &USERS.replace("users", "spans"), &[], b"");
    client.shutdown(Shutdown::Write).expect("it can close its side");
    assert_eq!(raw_http::Answer::read(&mut client).expect("an answer").status, 200);
}

#[test]
fn a_limit_of_time_and_of_memory_is_named() {
    let engine = Engine::start();
    let (service, sql) = service(&engine, "max_execution_time: 1s, max_memory: 64MiB", "'u'");
    let slow = get(&service.http(USERS));
    let why = "the question takes more than 1 s; narrow it, for example by started_at";
    assert_eq!(refusal(&slow), (503, "1", why.to_owned()));
    wait_until("ClickHouse stops as well", || sql.rows(RUNNING, &[]).is_empty().then_some(()));
    drop(service);

    let engine = Engine::start();
    let (service, _) = self::service(&engine, "max_execution_time: 10m, max_memory: 64MiB", "toString(number)");
    let large = get(&service.http(USERS));
    let why = "the question takes too much memory; narrow it, for example by started_at";
    assert_eq!(refusal(&large), (503, "1", why.to_owned()));
}
