//! The engine's HTTP interface beside ClickHouse's own: the same requests to both, the same answers.

use support::http::{Answer, try_send};
use support::{Engine, Server};

/// What a client asks: method, path with query, body.
const REQUESTS: &[(&str, &str, &str)] = &[
    ("GET", "/ping", ""),
    ("GET", "/?query=SELECT%201", ""),
    ("POST", "/", "SELECT 1 AS one, 'a\tb' AS text, NULL AS nothing"),
    ("POST", "/?default_format=JSONEachRow", "SELECT number FROM numbers(3)"),
    (
        "POST",
        "/?default_format=JSON&output_format_write_statistics=0",
        "SELECT number, toString(number) AS text FROM numbers(2)",
    ),
    ("POST", "/?default_format=RowBinaryWithNamesAndTypes", "SELECT 1, 'x', [1, 2], map('a', 1)"),
    ("POST", "/?default_format=Native", "SELECT number FROM numbers(5)"),
    ("POST", "/", "SELECT 1 FORMAT CSVWithNames"),
    ("POST", "/", "SELECT 1 FORMAT TabSeparatedWithNamesAndTypes"),
    ("POST", "/?output_format_write_statistics=0&query=SELECT%201%20FORMAT%20", "JSONCompact"),
    ("POST", "/?param_n=3", "SELECT {n:UInt8} + 1"),
    ("POST", "/?param_t=a%27b", "SELECT {t:String}"),
    ("POST", "/", "SELECT {n:UInt8}"),
    ("POST", "/?compress=1", "SELECT number FROM numbers(10)"),
    ("POST", "/?max_result_rows=1&result_overflow_mode=throw", "SELECT number FROM numbers(10)"),
    ("POST", "/?max_threads=1", "SELECT getSetting('max_threads')"),
    ("POST", "/?no_such_setting=1", "SELECT 1"),
    ("POST", "/?database=system", "SELECT count() > 0 FROM one"),
    ("POST", "/?database=nowhere", "SELECT 1"),
    ("POST", "/", "SELECT"),
    ("POST", "/", "SELECT * FROM no_such_table"),
    ("POST", "/", "SELECT throwIf(number = 3, 'three') FROM numbers(10)"),
    ("POST", "/?wait_end_of_query=1", "SELECT throwIf(number = 3, 'three') FROM numbers(10)"),
    ("POST", "/", ""),
    ("GET", "/nowhere", ""),
    ("POST", "/", "SELECT toUInt8('x')"),
    ("GET", "/?query=CREATE%20TABLE%20t%20(x%20UInt8)%20ENGINE%20%3D%20Memory", ""),
    ("POST", "/", "CREATE TABLE t (x UInt8, y String) ENGINE = MergeTree ORDER BY x"),
    (
        "POST",
        "/?query=INSERT%20INTO%20t%20FORMAT%20JSONEachRow",
        "{\"x\": 1, \"y\": \"a\"}\n{\"x\": 2, \"y\": \"b\"}\n",
    ),
    ("POST", "/", "INSERT INTO t VALUES (3, 'c')"),
    ("POST", "/?query=INSERT%20INTO%20t%20FORMAT%20CSV", "not a number,d\n"),
    ("POST", "/", "SELECT * FROM t ORDER BY x"),
    ("POST", "/?session_id=s", "CREATE TEMPORARY TABLE s (x UInt8)"),
    ("POST", "/?session_id=s", "SELECT count() FROM s"),
    ("POST", "/?session_id=other", "SELECT count() FROM s"),
    ("POST", "/?session_id=s", "SET max_threads = 1"),
    ("POST", "/?session_id=s", "SELECT getSetting('max_threads')"),
    ("POST", "/?session_id=never&session_check=1", "SELECT 1"),
    ("POST", "/?query_id=mine", "SELECT 1"),
    ("POST", "/?readonly=1", "CREATE TABLE u (x UInt8) ENGINE = Memory"),
    ("POST", "/", "DROP TABLE t"),
];

/// What a client goes by. Of an error its code and name, because texts name files, versions and hosts; of a result its format too.
fn seen(answer: &Answer) -> (u16, String, Vec<u8>) {
    let (code, text) = (answer.header("x-clickhouse-exception-code"), answer.text());
    if !code.is_empty() {
        let is_name = |word: &&str| word.len() > 3 && word.bytes().all(|c| c.is_ascii_uppercase() || c == b'_');
        let name = text.rsplit(['(', ')']).find(is_name).unwrap_or_default();
        return (answer.status, code.to_owned(), name.as_bytes().to_vec());
    }
    let is_result = answer.status == 200 && !answer.header("x-clickhouse-format").is_empty() && !answer.body.is_empty();
    // one format, two names: libchdb's own server says the short one
    let format = answer.header("x-clickhouse-format").replace("TSV", "TabSeparated");
    let headers = if is_result { format!("{format}, {}", answer.header("content-type")) } else { String::new() };
    // a server goes on with advice for people
    let body = if answer.status == 404 { text.lines().next().unwrap_or_default().into() } else { answer.body.clone() };
    let id = Some(answer.header("x-clickhouse-query-id")).filter(|id| *id == "mine").unwrap_or_default();
    (answer.status, format!("{headers} {id}"), body)
}

#[test]
fn the_engine_answers_as_a_server_does() {
    let (server, engine) = (Server::start(), Engine::start());
    let mut differing = Vec::new();
    for (method, path, body) in REQUESTS {
        let ask = |url: String| {
            let answer = try_send(method, &format!("{url}{path}"), &[], body.as_bytes()).expect("an answer");
            seen(&answer)
        };
        let (theirs, ours) = (ask(server.url()), ask(engine.url()));
        if theirs != ours {
            let show = |(status, headers, body): (u16, String, Vec<u8>)| {
                format!("{status} {headers} {:?}", String::from_utf8_lossy(&body))
            };
            differing.push(format!("{method} {path} {body:?}\n  server {}\n  engine {}", show(theirs), show(ours)));
        }
    }
    println!("{} of {} answers are the same", REQUESTS.len() - differing.len(), REQUESTS.len());
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}
