//! Queries under way: ended, killed, refused when there are too many, and within their memory and disk.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use support::DEADLINE;
use support::engine_child::EngineChild;
use support::raw_http::Answer;

/// Runs for hours unless it is stopped; the comment tells it from the query that looks for it.
const ENDLESS: &str = "SELECT count(), 'endless' FROM numbers(100000000000000) WHERE NOT ignore(sipHash64(number))";
const ENDLESS_RUNNING: &str = "SELECT count() FROM system.processes WHERE query LIKE concat('%end', 'less%')";

#[test]
fn a_client_that_leaves_frees_its_query() {
    let server = EngineChild::start(&[]);
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
    let server = EngineChild::start(&[]);
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
    let server = EngineChild::start(&[]);
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
    let server = EngineChild::start(&["--queries-max", &(most + 2).to_string()]);
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
        assert!(began.elapsed() < DEADLINE, "never refused");
    };
    assert_eq!((refused.status, refused.header("x-clickhouse-exception-code")), (500, "202"));
    // those who store rows have places of their own
    server.as_millrace("CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a");
    server.as_millrace("INSERT INTO t VALUES (1)");
    drop((waiting, last));
    let began = Instant::now();
    while server.ask("SELECT 1").status != 200 {
        assert!(began.elapsed() < DEADLINE, "the places were never freed");
    }
}

#[test]
fn stalled_readers_do_not_keep_rows_from_being_stored() {
    let most = 4;
    let server = EngineChild::start(&["--queries-max", &most.to_string()]);
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
    let mut server = EngineChild::start(&[]);
    let mut waiting = server.send("POST", "/", &[], ENDLESS.as_bytes());
    server.until("the query", ENDLESS_RUNNING, "1\n");
    server.close_input();
    let answer = Answer::read(&mut waiting).unwrap();
    assert_eq!((answer.status, answer.header("x-clickhouse-exception-code")), (500, "394"));
    assert!(server.wait().success());
}

#[test]
fn a_sort_larger_than_the_memory_ends_within_the_limit() {
    let limit_kib = 512 << 10;
    let server = EngineChild::start(&["--memory-max-bytes", &(limit_kib << 10).to_string()]);
    let answer = server.ask("SELECT number FROM numbers(10000000000) ORDER BY sipHash64(number) FORMAT Null");
    assert_eq!((answer.status, answer.header("x-clickhouse-exception-code")), (500, "241"), "{}", answer.text());
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
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
    let server = EngineChild::start(&[]);
    let setting = "min_free_disk_space_for_temporary_data";
    assert_eq!(server.text(&format!("SELECT getSetting('{setting}')")), "1073741824\n");
    for (value, code) in [("0", "452"), ("1000000000000000", "243")] {
        let spills = "max_bytes_before_external_sort = 1000000, max_bytes_ratio_before_external_sort = 0";
        let sort = "SELECT number, repeat('x', 100) AS s FROM numbers(2000000) ORDER BY s, number FORMAT Null";
        let answer = server.ask(&format!("{sort} SETTINGS {spills}, {setting} = {value}"));
        assert_eq!(answer.header("x-clickhouse-exception-code"), code, "{}", answer.text());
    }
}
