//! The HTTP interface of the embedded ClickHouse: its errors, settings, formats, compression, and what clients read of it.

use clickhouse::{Compression, Row};
use millrace::columns::native::frames::{FrameReader, compress_pieces};
use serde::{Deserialize, Serialize};
use support::engine_child::EngineChild;

use super::client;

#[test]
fn errors_have_their_code_and_status() {
    let server = EngineChild::start(&[]);
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
    let server = EngineChild::start(&[]);
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
    let server = EngineChild::start(&[]);
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
    let server = EngineChild::start(&[]);
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
    let server = EngineChild::start(&[]);
    let limit_kib = 700 << 10;
    for format in ["JSONEachRow", "CSVWithNames", "Native"] {
        let sql = format!("SELECT number, repeat('x', 100) FROM numbers(9000000) FORMAT {format}");
        let mut stream = server.send("POST", "/", &[], sql.as_bytes());
        let received = std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
        assert!(received > 9_000_000 * 100 && received > limit_kib << 10, "{format}: {received} bytes");
        let peak = server.peak_memory_bytes() >> 10;
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
    let server = EngineChild::start(&[]);
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
    let server = tokio::task::spawn_blocking(|| EngineChild::start(&[])).await.unwrap();
    for compression in [Compression::None, Compression::Lz4] {
        let client = client(&server).with_compression(compression);
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
    let server = tokio::task::spawn_blocking(|| EngineChild::start(&[])).await.unwrap();
    let client = client(&server).with_compression(Compression::None);
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
    let server = EngineChild::start(&[]);
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
    let server = EngineChild::start(&[]);
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

#[test]
fn compression_works_both_ways() {
    let server = EngineChild::start(&[]);
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
    // by default too, as in ClickHouse; a client that accepts none gets none
    let by_default = server.post("/", &[("Accept-Encoding", "gzip")], b"SELECT repeat('ab', 50000)");
    assert_eq!(by_default.header("content-encoding"), "gzip");
    let plain = server.post("/", &[], b"SELECT repeat('ab', 50000)");
    assert_eq!((plain.header("content-encoding"), &plain.body), ("", &expected));
    let garbage = server.post("/?query=INSERT+INTO+t+FORMAT+TSV", &[("Content-Encoding", "gzip")], b"no gzip at all");
    assert_eq!(garbage.header("x-clickhouse-exception-code"), "271");
}

#[test]
fn a_relative_path_is_one_of_the_user_files() {
    let server = EngineChild::start(&[]);
    server.text("INSERT INTO FUNCTION file('x.csv', 'CSV', 'a Int8') SELECT 7");
    assert!(server.dir.path().join("clickhouse/user_files/x.csv").is_file());
    assert_eq!(server.text("SELECT * FROM file('x.csv', 'CSV', 'a Int8')"), "7\n");
}
