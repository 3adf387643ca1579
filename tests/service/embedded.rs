//! The embedded ClickHouse as its clients see it: the real binary, the real engine, HTTP over loopback.
#![expect(clippy::disallowed_methods, reason = "the test finds the installed library the way an operator would say it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use clickhouse::{Client, Compression, Row};
use millrace::columns::native::frames::{FrameReader, compress_pieces};
use serde::{Deserialize, Serialize};

/// A stuck test fails instead of hanging; nothing is asserted about how long anything takes.
const PATIENCE: Duration = Duration::from_secs(120);

struct Server {
    child: Child,
    address: SocketAddr,
    dir: tempfile::TempDir,
}

impl Server {
    fn start(more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::start_in(dir, more)
    }

    fn start_in(dir: tempfile::TempDir, more: &[&str]) -> Self {
        let mut child = spawn(dir.path(), more);
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said = line.split(';').next().unwrap().trim();
        let address = said.rsplit(['/', ' ']).next().and_then(|address| address.parse().ok());
        Self { child, address: address.expect("the server says where it listens"), dir }
    }

    fn ask(&self, sql: &str) -> Answer {
        self.post("/", &[], sql.as_bytes())
    }

    fn text(&self, sql: &str) -> String {
        let answer = self.ask(sql);
        assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
        answer.text()
    }

    fn post(&self, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut stream = self.send("POST", target, headers, body);
        Answer::read(&mut stream).unwrap()
    }

    /// As the exporter asks.
    fn as_millrace(&self, sql: &str) {
        let answer = self.post("/", &[(millrace::embedded::OWN_HEADER, OWN_SECRET)], sql.as_bytes());
        assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
    }

    fn get(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        let mut stream = self.send("GET", target, headers, b"");
        Answer::read(&mut stream).unwrap()
    }

    fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut head = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        if !headers.iter().any(|(name, _value)| *name == "Host") {
            head.push_str("Host: localhost\r\n");
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        // a server that refuses early may not read all of it
        let _refused_early = stream.write_all(body);
        stream
    }

    fn client(&self) -> Client {
        Client::default().with_url(format!("http://{}", self.address))
    }

    fn rss_peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn until(&self, what: &str, sql: &str, expected: &str) {
        let began = Instant::now();
        while self.text(sql) != expected {
            assert!(began.elapsed() < PATIENCE, "{what} never came");
            std::thread::yield_now();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // its stdin ends: it stops as it would when its parent dies
        drop(self.child.stdin.take());
        let began = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            if began.elapsed() > PATIENCE {
                self.child.kill().unwrap();
                self.child.wait().unwrap();
                assert!(std::thread::panicking(), "the server outlived its parent");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn library() -> PathBuf {
    let named = std::env::var_os("MILLRACE_LIBCHDB").map(PathBuf::from);
    let executable = Path::new(env!("CARGO_BIN_EXE_millrace"));
    let found = millrace::embedded::library_candidates(named, None, executable, Path::new(env!("CARGO_MANIFEST_DIR")));
    found.into_iter().find(|path| path.is_file()).expect("libchdb is installed: run `make libchdb`")
}

fn arguments(data_dir: &Path, more: &[&str]) -> Vec<String> {
    let fixed = ["clickhouse", "--parent-watch", "--listen", "127.0.0.1:0", "--data-dir"].map(str::to_owned);
    let paths =
        [data_dir.join("clickhouse").display().to_string(), "--library".into(), library().display().to_string()];
    fixed.into_iter().chain(paths).chain(more.iter().map(|more| (*more).to_owned())).collect()
}

fn spawn(data_dir: &Path, more: &[&str]) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(arguments(data_dir, more))
        .arg("--own-stdin")
        .env_remove("MILLRACE_CLICKHOUSE_PASSWORD")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.as_mut().unwrap().write_all(format!("{OWN_SECRET}\n").as_bytes()).unwrap();
    child
}

/// By which the server knows Millrace's own requests.
const OWN_SECRET: &str = "only the parent knows this";

/// An HTTP answer, its chunks put together.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// The body ended as it should: all of its length, or the last chunk.
    complete: bool,
}

impl Answer {
    fn read(stream: &mut TcpStream) -> std::io::Result<Self> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let mut headers = Vec::new();
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut answer = Self { status, headers, body: Vec::new(), complete: false };
        if answer.header("transfer-encoding") == "chunked" {
            answer.complete = answer.read_chunks(&mut reader).is_ok();
        } else {
            reader.read_to_end(&mut answer.body)?;
            answer.complete = answer.header("content-length") == answer.body.len().to_string();
        }
        Ok(answer)
    }

    fn read_chunks(&mut self, reader: &mut impl BufRead) -> std::io::Result<()> {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size)?;
            let size = usize::from_str_radix(size.trim(), 16).map_err(std::io::Error::other)?;
            let mut chunk = vec![0; size];
            reader.read_exact(&mut chunk)?;
            self.body.extend_from_slice(&chunk);
            reader.read_exact(&mut [0; 2])?;
            if size == 0 {
                return Ok(());
            }
        }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _value)| known == name).map_or("", |(_name, value)| value)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

#[test]
fn errors_have_their_code_and_status() {
    let server = Server::start(&[]);
    let cases = [
        ("SELECT * FROM nope", 404, "60"),
        ("SELECT * FROM nope.nope", 404, "81"),
        ("SELECT nope(1)", 404, "46"),
        ("SELECT nope", 404, "47"),
        ("SELEC 1", 400, "62"),
        ("SELECT 1; SELECT 2", 400, "62"),
        ("SELECT 'a' + 1 + []", 500, "43"),
        ("SELECT 1 INTO OUTFILE '/tmp/millrace-never'", 500, "358"),
        ("SELECT 1 FORMAT NoSuchFormat", 404, "73"),
        (
            "SELECT count() FROM numbers(1e13) WHERE NOT ignore(sipHash64(number)) SETTINGS max_execution_time = 1",
            408,
            "159",
        ),
        ("INSERT INTO nope FORMAT CSV\n1\n", 404, "60"),
    ];
    for (sql, status, code) in cases {
        let answer = server.ask(sql);
        let got = (answer.status, answer.header("x-clickhouse-exception-code"));
        assert_eq!(got, (status, code), "{sql}: {}", answer.text());
        assert!(answer.text().starts_with(&format!("Code: {code}. DB::Exception: ")), "{}", answer.text());
        assert!(!answer.text().contains("/proc/self/fd"), "our own clause shows: {}", answer.text());
    }
    let unknown = server.post("/?no_such_setting=1", &[], b"SELECT 1");
    assert_eq!((unknown.status, unknown.header("x-clickhouse-exception-code")), (404, "115"));
    let write = server.get("/?query=CREATE+TABLE+t(a+Int8)ENGINE=Memory", &[]);
    assert_eq!((write.status, write.header("x-clickhouse-exception-code")), (500, "164"));
}

#[test]
fn the_interface_answers_as_documented() {
    let server = Server::start(&[]);
    assert_eq!(server.get("/ping", &[]).text(), "Ok.\n");
    assert_eq!(server.get("/", &[]).text(), "Ok.\n");
    assert_eq!(server.get("/?query=SELECT%201", &[]).text(), "1\n");
    assert_eq!(server.post("/?query=SELECT", &[], b"1, 2").text(), "1\t2\n");
    let answer =
        server.post("/?param_s=a%5Ctb&default_format=JSONEachRow&query_id=mine", &[], b"SELECT {s:String} AS s;");
    assert_eq!(answer.text(), "{\"s\":\"a\\tb\"}\n");
    assert_eq!(answer.header("x-clickhouse-query-id"), "mine");
    assert_eq!(answer.header("x-clickhouse-format"), "JSONEachRow");
    assert!(answer.header("x-clickhouse-summary").contains("\"result_rows\":\"1\""));
    let other = server.post(
        "/",
        &[("X-ClickHouse-Database", "system"), ("X-ClickHouse-Format", "CSV")],
        b"SELECT currentDatabase()",
    );
    assert_eq!(other.text(), "\"system\"\n");
    assert_eq!(other.header("content-type"), "text/csv; charset=UTF-8; header=absent");
    for (sql, expected) in [
        ("SHOW DATABASES LIKE 'system' -- comment", "system\n"),
        ("EXISTS TABLE system.one", "1\n"),
        ("WITH 2 AS x SELECT x FORMAT TSV SETTINGS max_threads = 1", "2\n"),
        ("(SELECT 1) UNION ALL (SELECT 1);", "1\n1\n"),
        ("DESCRIBE TABLE system.one", "dummy\tUInt8\t\t\t\t\t\n"),
    ] {
        assert_eq!(server.text(sql), expected, "{sql}");
    }
}

#[test]
fn inserts_take_any_bytes_in_any_place() {
    let server = Server::start(&[]);
    server.text("CREATE TABLE t (a UInt64, s String) ENGINE = MergeTree ORDER BY a");
    assert_eq!(server.post("/", &[], b"INSERT INTO t FORMAT JSONEachRow\n{\"a\":1,\"s\":\"\\n\\n\"}\n").status, 200);
    assert_eq!(server.post("/?query=INSERT+INTO+t+FORMAT+CSV", &[], b"2,two\n").status, 200);
    assert_eq!(server.post("/?query=INSERT+INTO+t+VALUES", &[], b"(3,'th;ree'),(4,'4')").status, 200);
    server.text("INSERT INTO t VALUES (5, 'five\n\n;')");
    server.text("INSERT INTO t SELECT 6, 'six'");
    // one Native block: 2 columns, 1 row; the string is two empty lines and a NUL
    let native = b"\x02\x01\x01a\x06UInt64\x07\0\0\0\0\0\0\0\x01s\x06String\x03\n\n\0";
    assert_eq!(server.post("/?query=INSERT+INTO+t+FORMAT+Native", &[], native).status, 200);
    assert_eq!(
        server.text("SELECT a, hex(s) FROM t ORDER BY a"),
        "1\t0A0A\n2\t74776F\n3\t74683B726565\n4\t34\n5\t666976650A0A3B\n6\t736978\n7\t0A0A00\n"
    );
    let bad = server.post("/?query=INSERT+INTO+t+FORMAT+JSONEachRow", &[], b"{\"a\":\"x\"}");
    assert_eq!((bad.status, bad.header("x-clickhouse-exception-code")), (400, "27"));
    assert_eq!(server.text("SELECT count() FROM t"), "7\n");
}

#[test]
fn frames_are_the_engines_own() {
    let server = Server::start(&[]);
    server.text("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a");
    let (mut frames, rows) = (Vec::new(), (0..200_000).map(|n| format!("{n}\n")).collect::<String>());
    for piece in rows.as_bytes().chunks(100_000) {
        compress_pieces(piece, &mut frames);
    }
    let target = "/?decompress=1&query=INSERT+INTO+t+FORMAT+TSV";
    assert_eq!(server.post(target, &[], &frames).status, 200);
    assert_eq!(server.text("SELECT count(), sum(a) FROM t"), "200000\t19999900000\n");
    let last = frames.len() - 1;
    frames[last] ^= 1;
    let broken = server.post(target, &[], &frames);
    assert_eq!((broken.status, broken.header("x-clickhouse-exception-code")), (500, "40"));

    let answer = server.post("/?compress=1", &[], b"SELECT a FROM t ORDER BY a");
    let (mut reader, mut out) = (FrameReader::default(), Vec::new());
    reader.push(&answer.body, &mut out).unwrap();
    reader.finish().unwrap();
    assert_eq!(out, rows.as_bytes());

    // the golden frame: what the engine itself wrote to disk for this column, read back by our decoder
    server.text(
        "CREATE TABLE golden (s String) ENGINE = MergeTree ORDER BY tuple() SETTINGS min_bytes_for_wide_part = 0, \
                 min_bytes_for_full_part_storage = 0, serialization_info_version = 'basic'",
    );
    server.text("INSERT INTO golden SELECT repeat('golden ', 100) FROM numbers(10)");
    let path = server.text("SELECT path FROM system.parts WHERE table = 'golden' AND active");
    let column = std::fs::read_dir(path.trim_end()).unwrap().map(|entry| entry.unwrap().path());
    let column = column.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with('s'));
    let column = column.filter(|path| path.extension().is_some_and(|ext| ext == "bin"));
    let content: Vec<u8> = column
        .flat_map(|path| {
            let (mut reader, mut out) = (FrameReader::default(), Vec::new());
            reader.push(&std::fs::read(path).unwrap(), &mut out).unwrap();
            reader.finish().unwrap();
            out
        })
        .collect();
    assert_eq!(String::from_utf8_lossy(&content).matches("golden ").count(), 1000);
}

#[test]
fn large_results_stream_through_in_bounded_memory_in_any_format() {
    let server = Server::start(&[]);
    let limit_kib = 700 << 10;
    for format in ["JSONEachRow", "CSVWithNames", "Native"] {
        let sql = format!("SELECT number, repeat('x', 100) FROM numbers(9000000) FORMAT {format}");
        let mut stream = server.send("POST", "/", &[], sql.as_bytes());
        let received = std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
        assert!(received > 9_000_000 * 100 && received > limit_kib << 10, "{format}: {received} bytes");
        let peak = server.rss_peak_kib();
        assert!(peak < limit_kib, "{format}: peak of {peak} KiB");
    }
    // one document, header and footer once
    let answer = server.post("/", &[], b"SELECT number AS n FROM numbers(300000) FORMAT JSON");
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(json["data"].as_array().unwrap().len(), 300_000);
    assert_eq!(answer.text().matches("\"meta\"").count(), 1);
}

#[test]
fn an_error_in_the_middle_never_looks_like_the_end() {
    let server = Server::start(&[]);
    for target in ["/", "/?default_format=JSON", "/?compress=1"] {
        let answer = server.post(
            target,
            &[],
            b"SELECT number, throwIf(number = 3000000), repeat('x', 20) FROM numbers(6000000)",
        );
        assert_eq!(answer.status, 200);
        assert!(!answer.complete, "{target}: ended cleanly");
        if target != "/?compress=1" {
            let end = String::from_utf8_lossy(&answer.body[answer.body.len() - 600..]).into_owned();
            assert!(end.contains("__exception__") && end.contains("Code: 395."), "{target}: {end}");
            assert!(end.contains(answer.header("x-clickhouse-exception-tag")));
        }
    }
    let waited = server.post(
        "/?wait_end_of_query=1",
        &[],
        b"SELECT throwIf(number = 3000000), repeat('x', 20) FROM numbers(6000000)",
    );
    assert_eq!((waited.status, waited.header("x-clickhouse-exception-code")), (500, "395"));
    assert!(waited.complete);
}

#[derive(Debug, PartialEq, Row, Serialize, Deserialize)]
struct Reading {
    at: u32,
    name: String,
    values: Vec<f64>,
    note: Option<String>,
}

fn reading(at: u32) -> Reading {
    let note = at.is_multiple_of(2).then(|| format!("note {at}"));
    Reading { at, name: format!("name\n\n\0{at}"), values: vec![f64::from(at), 0.5], note }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clickhouse_crate_reads_and_writes_typed_rows() {
    let server = tokio::task::spawn_blocking(|| Server::start(&[])).await.unwrap();
    for compression in [Compression::None, Compression::Lz4] {
        let client = server.client().with_compression(compression);
        client
            .query("CREATE OR REPLACE TABLE readings (at UInt32, name String, values Array(Float64), note Nullable(String)) \
                    ENGINE = MergeTree ORDER BY at")
            .execute()
            .await
            .unwrap();
        let mut insert = client.insert::<Reading>("readings").await.unwrap();
        for at in 0..5000 {
            insert.write(&reading(at)).await.unwrap();
        }
        insert.end().await.unwrap();
        let rows = client
            .query("SELECT ?fields FROM readings WHERE at >= {from:UInt32} AND name LIKE ? ORDER BY at")
            .param("from", 1000)
            .bind("name%")
            .fetch_all::<Reading>()
            .await
            .unwrap();
        assert_eq!(rows, (1000..5000).map(reading).collect::<Vec<_>>());
        let error = client.query("SELECT nope FROM readings").fetch_all::<u8>().await.unwrap_err();
        assert!(error.to_string().contains("Code: 47"), "{error}");
        let broken =
            client.query("SELECT throwIf(number = 3000000) FROM numbers(6000000)").fetch_all::<u8>().await.unwrap_err();
        assert!(broken.to_string().contains("Code: 395"), "{broken}");
    }
    tokio::task::spawn_blocking(move || drop(server)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_of_frames_is_an_insert_and_its_token_makes_it_one() {
    let server = tokio::task::spawn_blocking(|| Server::start(&[])).await.unwrap();
    let client = server.client().with_compression(Compression::None);
    client
        .query("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100")
        .execute()
        .await
        .unwrap();
    let mut segment = Vec::new();
    compress_pieces(b"\x01\x02\x01a\x06UInt64\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0", &mut segment);
    for token in ["one", "one", "two"] {
        let mut insert = client
            .insert_formatted_with("INSERT INTO t FORMAT Native")
            .with_setting("decompress", "1")
            .with_setting("insert_deduplication_token", token)
            .with_setting("insert_deduplicate", "1")
            .with_setting("async_insert", "0");
        insert.send(segment.clone().into()).await.unwrap();
        insert.end().await.unwrap();
    }
    let rows = client.query("SELECT count() FROM t").fetch_one::<u64>().await.unwrap();
    assert_eq!(rows, 4, "two rows for each of two tokens");
    tokio::task::spawn_blocking(move || drop(server)).await.unwrap();
}

/// What clickhouse-go, and Grafana with it, asks for over HTTP.
#[test]
fn native_is_written_for_the_protocol_version_that_was_asked_for() {
    let server = Server::start(&[]);
    let sql = "SELECT number, toString(number), if(number % 3 = 0, NULL, number), [number, number + 1], \
               map('k', toString(number)), toLowCardinality(toNullable(toString(number % 5))), (number, 'x'), \
               toDateTime64(number, 9), toDecimal128(1.5, 3), CAST([], 'Array(LowCardinality(String))'), \
               arrayMap(x -> toLowCardinality(toString(x)), range(number % 4)) FROM numbers(200000) FORMAT Native";
    let plain = server.ask(sql);
    let asked = server.post("/?client_protocol_version=54460", &[], sql.as_bytes());
    assert_eq!((plain.status, asked.status), (200, 200), "{}", asked.text());
    // 200,000 rows are several blocks; the first has its info, and each block has that and a byte for each column more
    let info = b"\x01\0\x02\xff\xff\xff\xff\0\x0b";
    assert!(asked.body.starts_with(info));
    let blocks = asked.body.windows(info.len()).filter(|window| window == info).count();
    assert!(blocks > 1);
    assert_eq!(asked.body.len(), plain.body.len() + blocks * (8 + 11));
    let json = server.post("/?client_protocol_version=54460", &[], b"SELECT CAST('{}', 'JSON') FORMAT Native");
    assert_eq!((json.status, json.header("x-clickhouse-exception-code")), (501, "48"));
}

#[test]
fn a_setting_holds_for_its_request_and_a_session_keeps_its_own() {
    let server = Server::start(&[]);
    let ask = b"SELECT getSetting('max_block_size'), currentDatabase()";
    let usual = server.post("/", &[], ask).text();
    assert_eq!(server.post("/?max_block_size=77&database=system", &[], ask).text(), "77\tsystem\n");
    assert_eq!(server.post("/", &[], ask).text(), usual);

    assert_eq!(server.post("/?session_id=s", &[], b"SET max_block_size = 55").status, 200);
    assert_eq!(server.post("/?session_id=s", &[], b"CREATE TEMPORARY TABLE mine AS SELECT 1 AS a").status, 200);
    assert_eq!(
        server.post("/?session_id=s&max_block_size=66&database=system&log_comment=x", &[], ask).text(),
        "66\tsystem\n"
    );
    assert_eq!(server.post("/?session_id=s", &[], ask).text(), "55\tdefault\n");
    assert_eq!(server.post("/?session_id=s", &[], b"SELECT a FROM mine").text(), "1\n");
    assert_eq!(
        server.post("/?session_id=other", &[], b"SELECT a FROM mine").header("x-clickhouse-exception-code"),
        "60"
    );
    let unknown = server.post("/?session_id=unknown&session_check=1", &[], b"SELECT 1");
    assert_eq!(unknown.header("x-clickhouse-exception-code"), "372");
}

/// Runs for hours unless it is stopped; the comment tells it from the query that looks for it.
const ENDLESS: &str = "SELECT count(), 'endless' FROM numbers(100000000000000) WHERE NOT ignore(sipHash64(number))";
const ENDLESS_RUNNING: &str = "SELECT count() FROM system.processes WHERE query LIKE concat('%end', 'less%')";

#[test]
fn a_client_that_leaves_frees_its_query() {
    let server = Server::start(&[]);
    let waiting = server.send("POST", "/", &[], ENDLESS.as_bytes());
    server.until("the query", ENDLESS_RUNNING, "1\n");
    drop(waiting);
    server.until("its end", ENDLESS_RUNNING, "0\n");
    // one that is already sending rows, to a client that reads a few and leaves
    let mut streaming = server.send("POST", "/", &[], b"SELECT number, 'endless' FROM numbers(100000000000000)");
    streaming.read_exact(&mut [0; 100_000]).unwrap();
    server.until("the stream", ENDLESS_RUNNING, "1\n");
    drop(streaming);
    server.until("its end", ENDLESS_RUNNING, "0\n");
    // an insert whose data never comes to an end stores nothing
    server.text("CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a");
    let mut half = TcpStream::connect(server.address).unwrap();
    half.write_all(
        b"POST /?query=INSERT+INTO+t+FORMAT+CSV HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n1\n",
    )
    .unwrap();
    drop(half);
    for _again in 0..3 {
        server.until("the table", "SELECT count() FROM t", "0\n");
    }
}

#[test]
fn a_client_that_leaves_its_complete_insert_frees_it() {
    let server = Server::start(&[]);
    server.text("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a");
    // the data is all there, but storing it takes hours, and no memory: a client that is gone is waited for as one that half-closed
    server.text(
        "CREATE MATERIALIZED VIEW slow ENGINE = MergeTree ORDER BY a AS \
         SELECT a FROM t WHERE a IN (SELECT number FROM numbers(100000000000000) WHERE sipHash64(number) = 1)",
    );
    let running = "SELECT count() FROM system.processes WHERE query_kind = 'Insert'";
    for _retry in 0..3 {
        let insert = server.send("POST", "/?query=INSERT+INTO+t+FORMAT+CSV", &[], b"1\n2\n");
        server.until("the insert", running, "1\n");
        drop(insert);
        server.until("its end", running, "0\n");
    }
}

#[test]
fn a_query_is_killed_by_the_id_its_client_gave() {
    let server = Server::start(&[]);
    let mut waiting = server.send("POST", "/?query_id=the-endless-one", &[], ENDLESS.as_bytes());
    server.until("the query", ENDLESS_RUNNING, "1\n");
    let twice = server.post("/?query_id=the-endless-one", &[], b"SELECT 1");
    assert_eq!(twice.header("x-clickhouse-exception-code"), "216");
    assert_ne!(server.text("KILL QUERY WHERE query_id = 'the-endless-one' SYNC"), "");
    let answer = Answer::read(&mut waiting).unwrap();
    assert_eq!((answer.status, answer.header("x-clickhouse-exception-code")), (500, "394"));
}

#[test]
fn many_queries_run_at_once_and_one_too_many_is_told_why_not() {
    let most = 8;
    let server = Server::start(&["--queries-max", &(most + 2).to_string()]);
    // long, but idle: this is about places, not about processors
    let sql =
        b"SELECT sleepEachRow(0.05), 'endless' FROM numbers(1000000) SETTINGS max_block_size = 1, max_threads = 1";
    let held = |count: usize| (0..count).map(|_n| server.send("POST", "/", &[], sql)).collect::<Vec<_>>();
    let waiting = held(most);
    server.until("all of them", ENDLESS_RUNNING, &format!("{most}\n"));
    let mut last = Vec::new();
    let began = Instant::now();
    let refused = loop {
        // one of these may itself be refused, while the question before it still leaves
        last.extend(held(1));
        let answer = server.ask("SELECT 1");
        if answer.status != 200 {
            break answer;
        }
        assert!(began.elapsed() < PATIENCE, "never refused");
    };
    assert_eq!((refused.status, refused.header("x-clickhouse-exception-code")), (500, "202"));
    // those who store rows have places of their own
    server.as_millrace("CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a");
    server.as_millrace("INSERT INTO t VALUES (1)");
    drop((waiting, last));
    let began = Instant::now();
    while server.ask("SELECT 1").status != 200 {
        assert!(began.elapsed() < PATIENCE, "the places were never freed");
    }
}

#[test]
fn compression_works_both_ways() {
    let server = Server::start(&[]);
    let ask = |encoding: &str| {
        server.post("/?enable_http_compression=1", &[("Accept-Encoding", encoding)], b"SELECT repeat('ab', 50000)")
    };
    let expected = format!("{}\n", "ab".repeat(50_000)).into_bytes();
    server.text("CREATE TABLE t (s String) ENGINE = MergeTree ORDER BY tuple()");
    for encoding in ["zstd", "lz4", "gzip", "deflate", "br"] {
        let answer = ask(encoding);
        assert_eq!(answer.header("content-encoding"), encoding);
        assert!(answer.body.len() < 2000, "{encoding}: {} bytes", answer.body.len());
        // what was compressed for the client is taken back as an insert: both directions are checked by each other
        let stored = server.post("/?query=INSERT+INTO+t+FORMAT+TSV", &[("Content-Encoding", encoding)], &answer.body);
        assert_eq!(stored.status, 200, "{encoding}: {}", stored.text());
    }
    assert_eq!(server.text("SELECT count(), uniqExact(s), max(length(s)) FROM t"), "5\t1\t100000\n");
    let plain = server.post("/", &[("Accept-Encoding", "gzip")], b"SELECT repeat('ab', 50000)");
    assert_eq!((plain.header("content-encoding"), &plain.body), ("", &expected));
    let garbage = server.post("/?query=INSERT+INTO+t+FORMAT+TSV", &[("Content-Encoding", "gzip")], b"no gzip at all");
    assert_eq!(garbage.header("x-clickhouse-exception-code"), "271");
}

#[test]
fn strangers_are_refused() {
    let mut config = tempfile::NamedTempFile::new().unwrap();
    config.write_all(b"clickhouse: { password: s3cret }\n").unwrap();
    let server = Server::start(&["--config", &config.path().display().to_string()]);
    let with = |headers: &[(&str, &str)]| server.post("/", headers, b"SELECT 1").status;
    assert_eq!(with(&[]), 403);
    assert_eq!(with(&[("X-ClickHouse-User", "default"), ("X-ClickHouse-Key", "s3cret")]), 200);
    assert_eq!(with(&[("X-ClickHouse-User", "root"), ("X-ClickHouse-Key", "s3cret")]), 403);
    assert_eq!(with(&[("Authorization", "Basic ZGVmYXVsdDpzM2NyZXQ=")]), 200);
    assert_eq!(with(&[("Authorization", "Basic ZGVmYXVsdDp3cm9uZw==")]), 401);
    assert_eq!(server.get("/?user=default&password=s3cret&query=SELECT+1", &[]).text(), "1\n");
    let known = ("X-ClickHouse-Key", "s3cret");
    assert_eq!(with(&[known, ("Host", "evil.example")]), 403);
    assert_eq!(with(&[known, ("Origin", "http://evil.example")]), 403);
    assert_eq!(with(&[known, ("Sec-Fetch-Site", "cross-site")]), 403);
    assert_eq!(server.get("/ping", &[]).status, 200);
}

#[test]
fn the_engine_reaches_nothing_but_its_data() {
    let server = Server::start(&[]);
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "secret\n").unwrap();
    let secret_path = secret.path().display();
    let inside = server.dir.path().join("clickhouse/inside.csv");
    for sql in [
        format!("SELECT * FROM file('{secret_path}', 'LineAsString')"),
        format!("INSERT INTO FUNCTION file('{secret_path}.new', 'CSV', 'a Int8') SELECT 1"),
        "SELECT * FROM file('/etc/passwd', 'LineAsString')".to_owned(),
        format!("SELECT * FROM url('http://{}/ping', 'LineAsString')", server.address),
    ] {
        assert_ne!(server.ask(&sql).status, 200, "{sql}");
    }
    assert!(!PathBuf::from(format!("{secret_path}.new")).exists());
    server.text(&format!("INSERT INTO FUNCTION file('{}', 'CSV', 'a Int8') SELECT 1", inside.display()));
    assert_eq!(server.text(&format!("SELECT * FROM file('{}', 'CSV', 'a Int8')", inside.display())), "1\n");
}

#[test]
fn a_second_process_on_the_data_is_told_so() {
    let server = Server::start(&[]);
    let second = Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(arguments(server.dir.path(), &[]))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("another process uses this data folder"), "{said}");
    assert_eq!(server.text("SELECT 1"), "1\n");
}

#[test]
fn a_wider_address_needs_a_password() {
    let dir = tempfile::tempdir().unwrap();
    let refused = Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(["clickhouse", "--listen", "0.0.0.0:0", "--data-dir", &dir.path().display().to_string()])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("needs a password"), "{said}");
}

#[test]
fn stalled_readers_do_not_keep_rows_from_being_stored() {
    let most = 4;
    let server = Server::start(&["--queries-max", &most.to_string()]);
    // each has its answer begun and reads none of it
    let sql = b"SELECT number, repeat('endless', 100) FROM numbers(100000000000000) SETTINGS max_threads = 1";
    let stalled: Vec<TcpStream> = (0..most).map(|_client| server.send("POST", "/", &[], sql)).collect();
    for answer in &stalled {
        answer.peek(&mut [0]).unwrap();
    }
    server.as_millrace("CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a");
    server.as_millrace("INSERT INTO t VALUES (1)");
    drop(stalled);
}

#[test]
fn a_running_query_does_not_hold_up_the_stop() {
    let mut server = Server::start(&[]);
    let mut waiting = server.send("POST", "/", &[], ENDLESS.as_bytes());
    server.until("the query", ENDLESS_RUNNING, "1\n");
    drop(server.child.stdin.take());
    let answer = Answer::read(&mut waiting).unwrap();
    assert_eq!((answer.status, answer.header("x-clickhouse-exception-code")), (500, "394"));
    assert!(server.child.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_childs_password_is_where_its_sql_cannot_read_it() {
    use millrace::embedded::{ChildCommand, Supervised, supervise};
    let dir = tempfile::tempdir().unwrap();
    let command = ChildCommand {
        executable: env!("CARGO_BIN_EXE_millrace").into(),
        arguments: arguments(dir.path(), &["--password-stdin"]),
        own_secret: None,
        password: Some("s3cret".to_owned()),
    };
    let shutdown = CancellationToken::new();
    let trigger = shutdown.clone().drop_guard();
    let (changes, mut heard) = tokio::sync::mpsc::channel(16);
    let running = tokio::spawn(supervise(command, shutdown, move |change| changes.try_send(change).unwrap()));
    let Some(Supervised::Up(bound)) = heard.recv().await else { panic!("expected it to be up") };
    let stranger = Client::default().with_url(format!("http://{}", bound.address));
    assert!(stranger.query("SELECT 1").execute().await.is_err());
    let client = stranger.with_user("default").with_password("s3cret");
    assert_eq!(client.query("SELECT 1").fetch_one::<u8>().await.unwrap(), 1);
    // what the kernel shows of the process is what file() could read
    let pid = child_of(dir.path());
    for file in ["environ", "cmdline"] {
        // the environment may not even be read: nobody but root looks into this process
        let text = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&text).contains("s3cret"), "{file}");
    }
    drop(trigger);
    running.await.unwrap().unwrap();
}

#[test]
fn a_relative_path_is_one_of_the_user_files() {
    let server = Server::start(&[]);
    server.text("INSERT INTO FUNCTION file('x.csv', 'CSV', 'a Int8') SELECT 7");
    assert!(server.dir.path().join("clickhouse/user_files/x.csv").is_file());
    assert_eq!(server.text("SELECT * FROM file('x.csv', 'CSV', 'a Int8')"), "7\n");
}

#[test]
fn a_sort_larger_than_the_memory_ends_within_the_limit() {
    let limit_kib = 512 << 10;
    let server = Server::start(&["--memory-max-bytes", &(limit_kib << 10).to_string()]);
    let answer = server.ask("SELECT number FROM numbers(10000000000) ORDER BY sipHash64(number) FORMAT Null");
    assert_eq!((answer.status, answer.header("x-clickhouse-exception-code")), (500, "241"), "{}", answer.text());
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    // the library's own pages lie in its file: the kernel takes them back when it needs room
    let most = kib("VmHWM:") - kib("RssFile:");
    assert!(most <= limit_kib * 12 / 10, "{most} KiB of {limit_kib}");
    assert_eq!(server.text("SELECT 1"), "1\n");
}

#[test]
fn sorting_on_disk_leaves_room_for_others_there() {
    let server = Server::start(&[]);
    let setting = "min_free_disk_space_for_temporary_data";
    assert_eq!(server.text(&format!("SELECT getSetting('{setting}')")), "1073741824\n");
    for (value, code) in [("0", "452"), ("1000000000000000", "243")] {
        let spills = "max_bytes_before_external_sort = 1000000, max_bytes_ratio_before_external_sort = 0";
        let sort = "SELECT number, repeat('x', 100) AS s FROM numbers(2000000) ORDER BY s, number FORMAT Null";
        let answer = server.ask(&format!("{sort} SETTINGS {spills}, {setting} = {value}"));
        assert_eq!(answer.header("x-clickhouse-exception-code"), code, "{}", answer.text());
    }
}

#[test]
fn nobody_else_can_open_the_folder_even_if_they_could_before() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("clickhouse");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    let server = Server::start_in(dir, &[]);
    server.text("CREATE TABLE t (s String) ENGINE = MergeTree ORDER BY s");
    server.text("INSERT INTO t VALUES ('a prompt')");
    let part = server.text("SELECT path FROM system.parts WHERE table = 't' AND active");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&data), mode(Path::new(part.trim_end()))), (0o700, 0o700));
    for file in std::fs::read_dir(part.trim_end()).unwrap() {
        let file = file.unwrap().path();
        assert_eq!(mode(&file) & 0o077, 0, "{}", file.display());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_queries_are_known_by_a_secret_and_others_neither_see_nor_end_them() {
    use millrace::embedded::{ChildCommand, OWN_HEADER, Supervised, own_secret, supervise};
    let dir = tempfile::tempdir().unwrap();
    let secret = own_secret();
    let command = ChildCommand {
        executable: env!("CARGO_BIN_EXE_millrace").into(),
        arguments: arguments(dir.path(), &["--own-stdin", "--queries-max", "2"]),
        own_secret: Some(secret.clone()),
        password: None,
    };
    let shutdown = CancellationToken::new();
    let trigger = shutdown.clone().drop_guard();
    let (changes, mut heard) = tokio::sync::mpsc::channel(16);
    let running = tokio::spawn(supervise(command, shutdown, move |change| changes.try_send(change).unwrap()));
    let Some(Supervised::Up(bound)) = heard.recv().await else { panic!("expected it to be up") };
    let other = Client::default().with_url(format!("http://{}", bound.address)).with_product_info("millrace", "1");
    let own = other.clone().with_header(OWN_HEADER, &secret);
    let slow = "SELECT sum(sleepEachRow(0.02)) FROM numbers(100) SETTINGS max_block_size = 1";
    let asked = |client: &Client| client.query(slow).fetch_one::<u64>();
    let seen =
        "SELECT count() FROM system.processes WHERE query ILIKE '%sleepEachRow%' AND query NOT ILIKE '%processes%'";
    let count = |client: Client| async move { client.query(seen).fetch_one::<u64>().await.unwrap() };
    let under_way = tokio::spawn(asked(&own));
    while count(own.clone()).await == 0 {
        assert!(!under_way.is_finished());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(count(other.clone()).await, 0);
    other.query("KILL QUERY WHERE 1 SYNC").execute().await.unwrap();
    assert_eq!(under_way.await.unwrap().unwrap(), 0, "it was not ended");
    // two of somebody else, whatever they call themselves, are all that fit; Millrace has places of its own
    // for longer than a query waits for its place
    let slower = slow.replace("numbers(100)", "numbers(400)");
    let asked = |client: &Client| client.query(&slower).fetch_one::<u64>();
    let others = [tokio::spawn(asked(&other)), tokio::spawn(asked(&other))];
    while count(own.clone()).await < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(other.query("SELECT 1").fetch_one::<u8>().await.unwrap_err().to_string().contains("Code: 202"));
    assert_eq!(own.query("SELECT 1").fetch_one::<u8>().await.unwrap(), 1);
    for other in others {
        other.await.unwrap().unwrap();
    }
    drop(trigger);
    running.await.unwrap().unwrap();
}

/// `millrace serve` with any free ports, its data in `dir`.
fn serve(dir: &Path, library: &Path) -> Command {
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile_in(dir).unwrap();
    let config = format!(
        "data_dir: {}\nreceivers: {{ otlp_grpc: {{ listen: 127.0.0.1:0 }}, http: {{ listen: 127.0.0.1:0 }} }}\n\
         admin: {{ health: {{ listen: 127.0.0.1:0 }}, metrics: {{ listen: 127.0.0.1:0 }} }}\n\
         embedded: {{ listen: 127.0.0.1:0, library: {} }}\n",
        dir.display(),
        library.display()
    );
    file.write_all(config.as_bytes()).unwrap();
    let (_file, path) = file.keep().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
    command.args(["serve", "--config", &path.display().to_string()]).stdin(Stdio::null());
    for name in ["MILLRACE_CLICKHOUSE_PASSWORD", "MILLRACE_CLICKHOUSE_URL", "MILLRACE_LIBCHDB"] {
        command.env_remove(name);
    }
    command
}

#[test]
fn a_service_whose_output_nobody_reads_still_starts() {
    let dir = tempfile::tempdir().unwrap();
    let ready = dir.path().join("ready.json");
    // as in `millrace serve | head -0`
    let (closed, output) = std::io::pipe().unwrap();
    drop(closed);
    let mut command = serve(dir.path(), &library());
    command.args(["--ready-file", &ready.display().to_string()]).stdout(output);
    let mut service = command.spawn().unwrap();
    let began = Instant::now();
    while !ready.is_file() {
        assert!(service.try_wait().unwrap().is_none() && began.elapsed() < PATIENCE, "it never said that it is ready");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(Command::new("kill").arg(service.id().to_string()).status().unwrap().success());
    assert!(service.wait().unwrap().success());
}

#[test]
fn an_engine_that_can_never_start_ends_serve_with_its_reason_said_once() {
    let server = Server::start(&[]);
    let (nothing, no_folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(no_folder.path().join("clickhouse"), "a file").unwrap();
    let no_library = nothing.path().join("no-such-libchdb.so");
    let not_a_library = nothing.path().join("garbage.so");
    std::fs::write(&not_a_library, "garbage").unwrap();
    for (dir, library, reason) in [
        (nothing.path(), no_library, "no-such-libchdb.so"),
        (nothing.path(), not_a_library, "file too short"),
        (server.dir.path(), library(), "another process uses this data folder"),
        (no_folder.path(), library(), "File exists"),
    ] {
        let ended = serve(dir, &library).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(78), "{said}");
        assert_eq!(said.matches("the embedded ClickHouse cannot start: ").count(), 1, "{said}");
        assert_eq!(said.matches(reason).count(), 1, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_that_dies_is_started_again_with_its_data() {
    use millrace::embedded::{ChildCommand, Supervised, supervise};
    let dir = tempfile::tempdir().unwrap();
    let command = ChildCommand {
        executable: env!("CARGO_BIN_EXE_millrace").into(),
        arguments: arguments(dir.path(), &[]),
        own_secret: None,
        password: None,
    };
    let shutdown = CancellationToken::new();
    let trigger = shutdown.clone().drop_guard();
    let (changes, mut heard) = tokio::sync::mpsc::channel(16);
    let running = tokio::spawn(async move {
        supervise(command, shutdown, move |change| changes.try_send(change).unwrap()).await.unwrap();
    });
    let up = |change| match change {
        Some(Supervised::Up(bound)) => Client::default().with_url(format!("http://{}", bound.address)),
        other => panic!("expected it to be up: {other:?}"),
    };
    let client = up(heard.recv().await);
    client.query("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a").execute().await.unwrap();
    client.query("INSERT INTO t SELECT 7").execute().await.unwrap();
    // the lock file names nobody; the child is found by what it was told
    let pid = child_of(dir.path());
    assert!(std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    assert_eq!(heard.recv().await, Some(Supervised::Down));
    let client = up(heard.recv().await);
    assert_eq!(client.query("SELECT a FROM t").fetch_one::<u64>().await.unwrap(), 7);
    drop(trigger);
    running.await.unwrap();
    assert_eq!(heard.recv().await, None);
}

/// The engine's process that keeps its data under this folder.
fn child_of(data_dir: &Path) -> u32 {
    let folder = data_dir.join("clickhouse").display().to_string();
    let processes =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut told = processes.filter(|pid: &u32| {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command.split(|byte| *byte == 0).any(|argument| argument == folder.as_bytes())
    });
    told.next().unwrap()
}

/// Rows of the table with these ids, of workspace `w`.
fn group_of(span_ids: std::ops::Range<u64>) -> millrace::columns::RowGroup {
    use millrace::columns::{MapRow, RowGroup, SpanKind, SpanScalars};
    use millrace::ids::{SpanId, TraceId};
    let mut resource = MapRow::default();
    resource.push(b"millrace.workspace", b"w");
    let mut rows = RowGroup::default();
    for id in span_ids {
        let span = SpanScalars {
            duration_nanos: 1,
            kind: SpanKind::Client,
            ..SpanScalars::new(
                millrace::time::UnixNanos::new(1).unwrap(), // long ago: it is the part's time that counts
                TraceId::new([0xab; 16]).unwrap(),
                SpanId::new(id.to_be_bytes()).unwrap(),
            )
        };
        let mark = rows.begin();
        rows.finish(mark, &span, &resource, None).unwrap();
    }
    rows
}

/// The span ids found, in order; every other thing about them is checked.
async fn recent_spans(client: &millrace::clickhouse::Client, window: Duration, spans_max: usize) -> Vec<u64> {
    let now = millrace::time::Clock::System.now();
    let (send, mut receive) = tokio::sync::mpsc::channel(1_000);
    millrace::clickhouse::recent::spans(client, window, spans_max, &send).await.unwrap();
    drop(send);
    let mut ids = Vec::new();
    while let Some(batch) = receive.recv().await {
        for span in batch {
            assert_eq!((span.workspace.unwrap().as_str(), &span.trace[..]), ("w", "ab".repeat(16).as_bytes()));
            assert!(now.nanos_since(span.accepted_by) < 3_600_000_000_000, "{:?}", span.accepted_by);
            ids.push(u64::from_str_radix(std::str::from_utf8(&span.span).unwrap(), 16).unwrap());
        }
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_spans_stored_lately_are_found_newest_parts_first() {
    use millrace::clickhouse::schema::{Home, apply};
    let server = tokio::task::spawn_blocking(|| Server::start(&[])).await.unwrap();
    let client = millrace::clickhouse::Client::new(
        &format!("http://{}", server.address),
        &millrace::clickhouse::Config::default(),
    );
    apply(&client, Home::Embedded).await.unwrap();
    client.execute("SYSTEM STOP MERGES otel.otel_traces").await.unwrap();
    let day = Duration::from_secs(86_400);
    assert_eq!(recent_spans(&client, day, 10).await, [0; 0]);
    for (token, ids) in [("a", 1..4), ("b", 4..6), ("c", 6..9)] {
        let (mut block, mut frames) = (Vec::new(), Vec::new());
        millrace::columns::native::encode::encode_block(
            &[&group_of(ids)],
            millrace::ids::SegmentId::new(1, 1),
            &mut block,
        );
        compress_pieces(&block, &mut frames);
        client.insert_frames(frames.into(), None, token, PATIENCE).await.unwrap();
    }
    client.execute("INSERT INTO otel.otel_traces (TraceId, SpanId) VALUES ('somebody', 'elses')").await.unwrap();

    let sorted = |mut ids: Vec<u64>| {
        ids.sort_unstable();
        ids
    };
    // the parts newest first, the rows of an hour in any order
    let all = recent_spans(&client, day, 1_000).await;
    let parts = [3, 2, 3].iter().scan(&*all, |rest, rows| {
        let (part, others) = rest.split_at(*rows);
        *rest = others;
        Some(sorted(part.to_vec()))
    });
    assert_eq!(parts.collect::<Vec<_>>(), [vec![6, 7, 8], vec![4, 5], vec![1, 2, 3]]);
    // somebody else's row counts as one of them
    assert_eq!(sorted(recent_spans(&client, day, 6).await), [4, 5, 6, 7, 8]);
    assert_eq!(recent_spans(&client, day, 5).await.len(), 4);

    // a part that was written three days ago
    let path = "SELECT path FROM system.parts WHERE table = 'otel_traces' AND active ORDER BY max_block_number LIMIT 1";
    let path = server.text(path);
    client.execute("DETACH TABLE otel.otel_traces").await.unwrap();
    let then = std::time::SystemTime::now() - 3 * day;
    std::fs::File::open(path.trim()).unwrap().set_modified(then).unwrap();
    client.execute("ATTACH TABLE otel.otel_traces").await.unwrap();
    assert_eq!(sorted(recent_spans(&client, day, 1_000).await), [4, 5, 6, 7, 8]);

    client.execute("SYSTEM START MERGES otel.otel_traces").await.unwrap();
    client.execute("OPTIMIZE TABLE otel.otel_traces FINAL").await.unwrap();
    assert_eq!(
        sorted(recent_spans(&client, day, 1_000).await),
        (1..9).collect::<Vec<_>>(),
        "merged: as new as its merge"
    );
    tokio::task::spawn_blocking(move || drop(server)).await.unwrap();
}
