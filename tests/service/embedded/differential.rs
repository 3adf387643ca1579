//! The HTTP interface of the embedded engine beside that of a ClickHouse server of the same version: the same requests to both,
//! and the same status, headers and body.
//!
//! [`DELIBERATE`] lists what is answered otherwise on purpose, and why. A difference that is gone must leave the list.

use std::net::SocketAddr;

use serde_json::Value;
use support::Server;
use support::engine_child::EngineChild;
use support::raw_http::{self, Answer};
use support::wait_until;

/// The beginning of a case's name, and why its answer differs.
const DELIBERATE: &[(&str, &str)] = &[
    ("POST /ping", "whoever pings is answered, by whatever method"),
    ("GET /ping?x=1", "the same"),
    ("GET /play", "no pages of ClickHouse's: Millrace has one of its own"),
    ("GET /nope", "the advice that follows names ClickHouse's client and pages"),
    ("GET /replicas_status", "a text is declared as one"),
    ("PUT /", "a refusal gives its reason"),
    ("DELETE /", "the same"),
    ("PATCH /", "the same"),
    ("OPTIONS /", "pages of other origins are not served, so there is nothing to allow them"),
    ("with Origin", "the same"),
    ("SELECT throwIf(1)", "an error's body is text, and is declared as that, whenever it comes"),
    ("SELECT number FROM numbers(9) | max_result_rows", "the same"),
    ("SELECT 1; SELECT 2", "the statement is refused before the engine sees it, so no position is named"),
    ("GRANT", "users, roles and grants are not managed: there is one user"),
    ("SELECT * FROM url(", "the engine reaches no servers"),
    ("SELECT 1 AS a FORMAT Protobuf", "a schema of its own making needs a file outside the engine's folder"),
    ("DROP TABLE IF EXISTS d.nope | GET", "what may be written is decided by the statement, before it runs"),
    (
        "password without need",
        "`clickhouse local` has no user without a password check; a server's `no_password` takes any, as Millrace does",
    ),
    ("session_timeout=99999", "the text does not send people to a configuration file that is not there"),
    ("compress=1 of an error", "an error is never compressed: whoever looks at it can read it"),
    ("gzip of an error", "the same"),
    ("KILL QUERY", "it has a result, if an empty one"),
    ("unknown user in Authorization", "a browser is to ask for a name and a password again"),
    ("external table", "tables inside a form are not served, and it says so"),
    ("http_response_headers", "the client does not choose the headers of its answer"),
    ("exception inside JSON", "an error is not hidden in a result"),
    ("Content-Encoding: xz", "xz, bz2 and snappy are not served"),
    ("Content-Encoding: identity", "HTTP calls a plain body that"),
    ("garbage, Content-Encoding", "the code is that of what failed, not of the library that found it"),
    ("garbage, decompress=1", "the same"),
];

/// What an answer must have in common with ClickHouse's, value by value.
const HEADERS: [&str; 6] = [
    "content-type",
    "content-encoding",
    "x-clickhouse-format",
    "x-clickhouse-exception-code",
    "www-authenticate",
    "x-a",
];
/// Those that ClickHouse's answer has must be in ours.
const PRESENT: [&str; 5] = [
    "x-clickhouse-query-id",
    "x-clickhouse-summary",
    "x-clickhouse-timezone",
    "x-clickhouse-server-display-name",
    "x-clickhouse-exception-tag",
];

struct Case {
    name: String,
    method: &'static str,
    target: String,
    headers: Vec<(&'static str, &'static str)>,
    body: Vec<u8>,
}

/// A statement as the body of a POST.
fn post(sql: &str) -> Case {
    with_url(sql, "")
}

/// The same with parameters of the URL.
fn with_url(sql: &str, url: &str) -> Case {
    let name = if url.is_empty() { sql.to_owned() } else { format!("{sql} | {url}") };
    Case { name, method: "POST", target: format!("/?{url}"), headers: Vec::new(), body: sql.as_bytes().to_vec() }
}

fn bare(method: &'static str, target: &str) -> Case {
    Case {
        name: format!("{method} {target}"),
        method,
        target: target.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
    }
}

impl Case {
    fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    fn asked(&self, address: SocketAddr) -> Answer {
        let mut stream = raw_http::send(address, self.method, &self.target, &self.headers, &self.body);
        Answer::read(&mut stream).expect("an answer")
    }
}

/// What is compared: differences in here are differences.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Seen {
    fn of(case: &Case, answer: &Answer) -> Self {
        let headers = HEADERS.map(|name| {
            // two names of one format: `clickhouse local` has the short one as its default
            let value = answer.header(name).replace("TSV", "TabSeparated");
            (name, value.to_ascii_lowercase())
        });
        let body = if case.method == "HEAD" { String::new() } else { plain(answer) };
        Self { status: answer.status, headers: headers.to_vec(), body }
    }
}

/// The body without what no two answers have in common, and without what names the server.
fn plain(answer: &Answer) -> String {
    let mut body: String = answer.body.iter().map(|byte| char::from(*byte)).collect();
    let tag = answer.header("x-clickhouse-exception-tag");
    if !tag.is_empty() {
        body = body.replace(tag, "TAG");
    }
    if let Ok(Value::Object(mut json)) = serde_json::from_str::<Value>(&body) {
        json.remove("statistics");
        return Value::Object(json).to_string();
    }
    for (begin, end) in [(" (version ", ")"), ("<elapsed>", "</elapsed>")] {
        while let Some((before, rest)) = body.split_once(begin) {
            let (_, after) = rest.split_once(end).expect("it ends");
            body = format!("{before}{after}");
        }
    }
    // libchdb's parser ends a message without a full stop
    body.replace(". (SYNTAX_ERROR)", " (SYNTAX_ERROR)")
}

const FORMATS: &[&str] = &[
    "TabSeparated",
    "TSVWithNamesAndTypes",
    "TSVRaw",
    "TSKV",
    "CSV",
    "CSVWithNames",
    "CustomSeparated",
    "JSON",
    "JSONCompact",
    "JSONStrings",
    "JSONColumns",
    "JSONEachRow",
    "JSONStringsEachRow",
    "JSONCompactEachRow",
    "JSONCompactEachRowWithNamesAndTypes",
    "JSONCompactStringsEachRow",
    "JSONObjectEachRow",
    "JSONL",
    "PrettyNDJSON",
    "Values",
    "Vertical",
    "Pretty",
    "PrettyCompact",
    "PrettySpace",
    "XML",
    "Markdown",
    "SQLInsert",
    "RowBinary",
    "RowBinaryWithNamesAndTypes",
    "Native",
    "Null",
    "MsgPack",
    "LineAsString",
    "RawBLOB",
    "Raw",
    "Parquet",
    "Arrow",
    "Avro",
    "BSONEachRow",
    "Protobuf",
    "Nope",
    "One",
];

const STATEMENTS: &[&str] = &[
    "SELECT 1",
    "SELECT 1;",
    "SELECT 1; SELECT 2",
    "",
    ";",
    " ",
    "-- a comment",
    "SELEC 1",
    "SELECT nope",
    "SELECT * FROM nope",
    "SELECT * FROM nope.t",
    "SELECT nope(1)",
    "SELECT toInt32('a')",
    "SELECT throwIf(1)",
    "SELECT 1 INTO OUTFILE 'x'",
    "SELECT 1 SETTINGS nope = 1",
    "SELECT 1 SETTINGS max_threads = 'x'",
    "SET max_threads = 1",
    "SET nope = 1",
    "USE system",
    "USE nope",
    "DROP TABLE d.nope",
    "DROP TABLE IF EXISTS d.nope",
    "EXISTS d.t",
    "SHOW TABLES FROM d",
    "DESCRIBE d.t",
    "SHOW CREATE TABLE d.t",
    "EXPLAIN SELECT 1",
    "EXPLAIN SYNTAX SELECT 1",
    "EXPLAIN AST SELECT 1",
    "OPTIMIZE TABLE d.t",
    "INSERT INTO d.t VALUES",
    "INSERT INTO d.t VALUES (1",
    "INSERT INTO d.t VALUES ('a')",
    "INSERT INTO d.nope VALUES (1)",
    "INSERT INTO d.t SELECT 'x'",
    "INSERT INTO d.t FORMAT Nope\n1",
    "ALTER TABLE d.t ADD COLUMN a UInt8",
    "KILL QUERY WHERE query_id = 'none'",
    "GRANT SELECT ON *.* TO x",
    "SELECT currentUser()",
    "WITH 1 AS x SELECT x",
    "SELECT NULL",
    "SELECT [1, 2], map(1, 2), tuple(1, 'a')",
    "SELECT 18446744073709551615 AS a FORMAT JSON",
    "SELECT * FROM url('http://127.0.0.1:1/')",
    "SELECT number % 2 AS k, count() FROM numbers(4) GROUP BY k WITH TOTALS ORDER BY k FORMAT JSON",
    "BEGIN TRANSACTION",
    "CHECK TABLE d.t",
];

const PARAMETERS: &[(&str, &str)] = &[
    ("UInt8", "1"),
    ("UInt8", "x"),
    ("UInt8", "300"),
    ("String", "it's"),
    ("String", "a%09b"),
    ("String", "a%5Ctb"),
    ("String", ""),
    ("Array(UInt8)", "[1,2]"),
    ("Nullable(UInt8)", "%5CN"),
    ("Date", "2020-01-01"),
    ("DateTime64(3)", "2020-01-01%2000:00:00.1"),
    ("Map(String,UInt8)", "%7B'a':1%7D"),
    ("Tuple(UInt8,String)", "(1,'a')"),
    ("Nope", "1"),
    ("Bool", "true"),
    ("Decimal(5,2)", "1.5"),
    ("UUID", "x"),
];

const URLS: &[&str] = &[
    "max_threads=1",
    "max_threads=x",
    "nope=1",
    "max_result_rows=2&result_overflow_mode=throw",
    "readonly=1",
    "readonly=2",
    "database=system",
    "database=nope",
    "database=",
    "query_id=abc",
    "user=default",
    "user=nope",
    "role=nope",
    "role=",
    "quota_key=x",
    "wait_end_of_query=1",
    "session_id=s1",
    "session_id=s2&session_check=1",
    "session_id=s1&session_timeout=x",
    "session_id=s1&session_timeout=99999",
    "session_id=",
    "session_check=1",
    "session_id=s3&close_session=1",
    "compress=1",
    "compress=0",
    "default_format=",
    "default_format=JSON&extremes=1",
    "format=CSV",
    "query=SELECT%202,",
    "max_query_size=5",
    "log_queries=0",
    "http_response_headers=%7B'X-A':'b'%7D",
];

const INSERTS: &[(&str, &str)] = &[
    ("INSERT INTO d.t FORMAT CSV", "1\n2\n"),
    ("INSERT INTO d.t FORMAT CSV", ""),
    ("INSERT INTO d.t FORMAT CSV", "x\n"),
    ("INSERT INTO d.t VALUES", "(1),(2)"),
    ("INSERT INTO d.t VALUES (5)", "(6)"),
    ("INSERT INTO d.t FORMAT JSONEachRow", "{\"a\":1}\n{\"a\":\"x\"}"),
    ("INSERT INTO d.t FORMAT JSONEachRow", "{\"b\":1}"),
    ("INSERT INTO d.t FORMAT TSV", "1\t2\n"),
    ("INSERT INTO d.t", "(1)"),
    ("INSERT INTO d.t FORMAT RowBinary", "ab"),
    ("INSERT INTO d.t FORMAT Native", "garbage"),
    ("INSERT INTO d.t FORMAT Parquet", "xx"),
    ("INSERT INTO d.t SELECT 1", "xxx"),
    ("SELECT 1", ", 2"),
    ("SELECT 1 FORMAT", "JSON"),
    ("", "SELECT 1"),
];

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = STATEMENTS.iter().map(|sql| post(sql)).collect();
    cases.extend(FORMATS.iter().map(|format| post(&format!("SELECT 1 AS a FORMAT {format}"))));
    cases.extend(
        PARAMETERS.iter().map(|(kind, value)| with_url(&format!("SELECT {{a:{kind}}}"), &format!("param_a={value}"))),
    );
    cases.push(post("SELECT {a:UInt8}"));
    cases.push(with_url("SELECT 1", "param_unused=1"));
    cases.extend(URLS.iter().map(|url| with_url("SELECT number FROM numbers(9)", url)));
    cases.extend(
        INSERTS
            .iter()
            .map(|(query, body)| with_url(body, &format!("input_format_parallel_parsing=0&query={}", encoded(query)))),
    );
    for method in ["GET", "HEAD", "POST", "OPTIONS", "DELETE", "PUT", "PATCH"] {
        cases.extend(["/", "/?query=SELECT%201"].map(|target| bare(method, target)));
    }
    cases.extend(
        ["/ping", "/ping?x=1", "/replicas_status", "/?query=", "/?", "/play", "/nope"]
            .map(|target| bare("GET", target)),
    );
    cases.push(bare("POST", "/ping"));
    for sql in [
        "INSERT INTO d.t VALUES (1)",
        "DROP TABLE d.t",
        "DROP TABLE IF EXISTS d.nope",
        "SET max_threads = 1",
        "USE system",
        "EXISTS d.t",
    ] {
        cases.push(bare("GET", &format!("/?query={}", encoded(sql))).named(&format!("{sql} | GET")));
    }
    cases.extend(of_headers());
    cases.extend(of_sessions());
    cases
}

fn of_headers() -> Vec<Case> {
    let asks = || post("SELECT currentDatabase()");
    vec![
        asks().header("X-ClickHouse-User", "default").named("user in a header"),
        asks().header("X-ClickHouse-User", "nope").named("unknown user in a header"),
        asks().header("X-ClickHouse-Database", "system").named("database in a header"),
        asks().header("X-ClickHouse-Database", "nope").named("unknown database in a header"),
        asks().header("X-ClickHouse-Format", "JSON").named("format in a header"),
        with_url("SELECT 1", "default_format=CSV")
            .header("X-ClickHouse-Format", "JSON")
            .named("format in a header and in the URL"),
        with_url("SELECT 1", "user=default")
            .header("X-ClickHouse-User", "default")
            .named("user in a header and in the URL"),
        with_url("SELECT 1", "user=default")
            .header("Authorization", "Basic ZGVmYXVsdDo=")
            .named("user in Authorization and in the URL"),
        asks().header("Authorization", "Basic ZGVmYXVsdDo=").named("user in Authorization"),
        asks().header("Authorization", "Basic bm9wZTp4").named("unknown user in Authorization"),
        asks().header("Authorization", "Bearer x").named("a token"),
        asks().header("Content-Type", "application/x-www-form-urlencoded").named("a form that is none"),
        asks().header("Origin", "http://example.com").named("with Origin"),
        with_url("SELECT 1", "password=x").named("password without need"),
        with_url("SELECT nope", "compress=1").named("compress=1 of an error"),
        post("SELECT nope").header("Accept-Encoding", "gzip").named("gzip of an error"),
        post("SELECT 1").header("Content-Encoding", "xz").named("Content-Encoding: xz"),
        post("SELECT 1").header("Content-Encoding", "identity").named("Content-Encoding: identity"),
        post("SELECT 1").header("Content-Encoding", "gzip").named("garbage, Content-Encoding: gzip"),
        with_url("no frame of ClickHouse's, but long enough to be one", "decompress=1").named("garbage, decompress=1"),
        // ClickHouse adds X-ClickHouse-Progress if there is time; headers are sent once here, when the status is known
        with_url("SELECT 1", "send_progress_in_http_headers=1&http_headers_progress_interval_ms=1"),
        with_url("SELECT 1", "http_response_headers=%7B'X-A':'b'%7D").named("http_response_headers, again"),
        with_url("SELECT nope", "http_write_exception_in_output_format=1&default_format=JSON")
            .named("exception inside JSON"),
        form(
            "a form",
            "/",
            "name=\"query\"\r\n\r\nSELECT {a:UInt8}\r\n--X\r\nContent-Disposition: form-data; name=\"param_a\"\r\n\r\n5",
        ),
        form(
            "external table",
            "/?query=SELECT%20*%20FROM%20e&e_structure=a%20UInt8",
            "name=\"e\"; filename=\"e\"\r\n\r\n5",
        ),
    ]
}

fn form(name: &str, target: &str, fields: &str) -> Case {
    let body = format!("--X\r\nContent-Disposition: form-data; {fields}\r\n--X--\r\n").into_bytes();
    let headers = vec![("Content-Type", "multipart/form-data; boundary=X")];
    Case { name: name.to_owned(), method: "POST", target: target.to_owned(), headers, body }
}

/// In this order.
fn of_sessions() -> Vec<Case> {
    let steps = [
        "CREATE TEMPORARY TABLE tt (a UInt8)",
        "INSERT INTO tt VALUES (4)",
        "SELECT * FROM tt",
        "SET max_threads = 3",
        "SELECT getSetting('max_threads')",
        "USE system",
        "SELECT currentDatabase()",
    ];
    let mut cases: Vec<Case> = steps.iter().map(|sql| with_url(sql, "session_id=q1")).collect();
    cases.push(with_url("SELECT a FROM tt", "session_id=q1&close_session=1"));
    cases.push(with_url("SELECT a FROM tt", "session_id=q1"));
    cases
}

fn both() -> (EngineChild, Server) {
    let (ours, theirs) = (EngineChild::start(&[]), Server::start());
    for address in [ours.address, theirs.address()] {
        for sql in ["CREATE DATABASE d", "CREATE TABLE d.t (a UInt8) ENGINE = MergeTree ORDER BY a"] {
            let answer = post(sql).asked(address);
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    }
    (ours, theirs)
}

/// What differs between the two answers.
fn difference(case: &Case, ours: &Answer, theirs: &Answer) -> Option<String> {
    let (we, they) = (Seen::of(case, ours), Seen::of(case, theirs));
    let is_of_a_query = !theirs.header("x-clickhouse-query-id").is_empty();
    let missing = PRESENT
        .iter()
        .filter(|_| is_of_a_query)
        .find(|name| ours.header(name).is_empty() && !theirs.header(name).is_empty());
    (we != they || missing.is_some()).then(|| format!("ours:   {we:?}\ntheirs: {they:?}\nheader not sent: {missing:?}"))
}

#[test]
fn the_same_request_gets_the_same_answer_from_the_engine_and_from_clickhouses_own_server() {
    let (ours, theirs) = both();
    let (mut failures, mut used) = (Vec::new(), vec![false; DELIBERATE.len()]);
    let cases = cases();
    for case in &cases {
        let found = difference(case, &case.asked(ours.address), &case.asked(theirs.address()));
        let listed = DELIBERATE.iter().position(|(begin, _why)| case.name.contains(begin));
        match (found, listed) {
            (Some(_), Some(place)) => used[place] = true,
            (Some(found), None) => failures.push(format!("## {}\n{found}", case.name)),
            (None, _) => {}
        }
    }
    println!(
        "{} requests, {} of them answered otherwise on purpose",
        cases.len(),
        used.iter().filter(|used| **used).count()
    );
    assert!(failures.is_empty(), "{} of {} differ:\n{}", failures.len(), cases.len(), failures.join("\n"));
    let gone: Vec<_> = DELIBERATE.iter().zip(used).filter(|(_, used)| !used).collect();
    assert!(gone.is_empty(), "listed, and yet the same: {gone:?}");
}

#[test]
fn what_one_compresses_the_other_reads() {
    let (ours, theirs) = both();
    let rows: String = (0..50_000).map(|number| format!("{}\n", number % 251)).collect();
    let sum = (0..50_000_u64).map(|number| number % 251).sum::<u64>();
    let select = "SELECT number % 251 FROM numbers(50000)";
    let coded = |coding: &'static str| {
        let insert = with_url("", "query=INSERT%20INTO%20d.t%20FORMAT%20TSV").header("Content-Encoding", coding);
        (post(select).header("Accept-Encoding", coding), insert)
    };
    let frames =
        (with_url(select, "compress=1"), with_url("", "decompress=1&query=INSERT%20INTO%20d.t%20FORMAT%20TSV"));
    for (select, mut insert) in ["gzip", "deflate", "br", "zstd", "lz4"].map(coded).into_iter().chain([frames]) {
        for (from, to) in [(ours.address, theirs.address()), (theirs.address(), ours.address)] {
            let answer = select.asked(from);
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert!(answer.body.len() < rows.len() / 2, "it is compressed: {} bytes", answer.body.len());
            insert.body = answer.body;
            let stored = insert.asked(to);
            assert_eq!(stored.status, 200, "{:?}: {}", select.headers, stored.text());
            assert_eq!(
                post("SELECT count(), sum(a) FROM d.t").asked(to).text(),
                format!("50000\t{sum}\n"),
                "{:?}",
                select.headers
            );
            assert_eq!(post("TRUNCATE TABLE d.t").asked(to).status, 200);
        }
    }
}

#[test]
fn a_query_is_killed_by_its_id_and_another_of_the_same_id_is_refused_as_by_clickhouse() {
    let (ours, theirs) = both();
    let endless = "SELECT count(), 'endless' FROM numbers(100000000000000) WHERE NOT ignore(sipHash64(number))";
    let seen = [ours.address, theirs.address()].map(|address| {
        let running = with_url(endless, "query_id=one");
        let mut stream = raw_http::send(address, running.method, &running.target, &[], &running.body);
        wait_until("it runs", || {
            let count = post("SELECT count() FROM system.processes WHERE query LIKE concat('%end', 'less%')")
                .asked(address)
                .text();
            (count == "1\n").then_some(())
        });
        let second = with_url("SELECT 1", "query_id=one");
        let refused = Seen::of(&second, &second.asked(address)).status;
        let killed = post("KILL QUERY WHERE query_id = 'one' SYNC").asked(address);
        let ended = Answer::read(&mut stream).expect("an answer");
        let codes = ["x-clickhouse-exception-code", "x-clickhouse-query-id"].map(|name| ended.header(name).to_owned());
        (refused, killed.status, ended.status, codes)
    });
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0].3[0], "394");
}
