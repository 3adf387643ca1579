//! Requests to the SQL port that are not what they seem: writes over GET, two statements for one, rows into files, and
//! sessions that were made read-only. One engine stands for all attacks; nothing may be written to its table `t`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::{Attack, hold_off, is_long};
use support::http::{self, Answer};
use support::process::peak_memory_bytes;
use support::{DEADLINE, Engine, wait_until};

const ATTACKS: &[Attack] = &[
    Attack { name: "large statements that are half sent", run: half_sent_statements },
    Attack { name: "large answers that are waited for and not read", run: answers_that_wait },
    Attack { name: "an INSERT in every place, whose data stalls", run: stalled_inserts },
    Attack { name: "an answer in every place, which nobody reads", run: stalled_answers },
    Attack { name: "a client that says no more, but listens", run: half_closed_clients },
    Attack { name: "a GET that writes, with odd blanks between its words", run: writes_with_odd_blanks },
    Attack { name: "a GET that writes after something that reads", run: hidden_writes_over_get },
    Attack { name: "several statements in one POST", run: several_statements },
    Attack { name: "rows into a file", run: rows_into_a_file },
    Attack { name: "an INSERT that the engine takes for another", run: inserts_with_comments },
    Attack { name: "a write in a session, under readonly", run: writes_in_a_read_only_request },
    Attack { name: "a session that sets readonly", run: sessions_that_set_readonly },
];

#[test]
fn attacks_of_this_area_hold() {
    *engine() = Some(Engine::start());
    assert_eq!(post("", "CREATE TABLE t (a String) ENGINE = MergeTree ORDER BY a").status, 200);
    hold_off("sql port", ATTACKS);
    let ended = engine().take();
    drop(ended);
}

static ENGINE: Mutex<Option<Engine>> = Mutex::new(None);

fn engine() -> MutexGuard<'static, Option<Engine>> {
    ENGINE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn url(parameters: &str) -> String {
    format!("{}/?{parameters}", engine().as_ref().unwrap().url())
}

fn post(parameters: &str, sql: &str) -> Answer {
    http::send("POST", &url(parameters), &[], sql.as_bytes())
}

fn get(parameters: &str, sql: &str) -> Answer {
    let sql: String = form_urlencoded::byte_serialize(sql.as_bytes()).collect();
    http::get(&url(&format!("{parameters}&query={sql}")))
}

fn code(answer: &Answer) -> &str {
    answer.header("x-clickhouse-exception-code")
}

fn nothing_is_written() {
    assert_eq!(post("", "SELECT count() FROM t").text(), "0\n");
}

/// Blanks and comments of the engine.
const BLANKS: &[&str] = &[
    "\t",
    "\u{b}",
    "\u{c}",
    "\r\n",
    "\u{85}",
    "\u{a0}",
    "\u{180e}",
    "\u{2003}",
    "\u{200b}",
    "\u{200d}",
    "\u{2028}",
    "\u{202f}",
    "\u{205f}",
    "\u{2060}",
    "\u{3000}",
    "\u{feff}",
    "/**/",
    "/*/ ' */",
    "/* /* */ ' */",
    "-- '\n",
    "// '\n",
    "# '\n",
    "#! '\n",
];

fn writes_with_odd_blanks() {
    for blank in BLANKS {
        for sql in [
            "INSERT INTO t VALUES ('x')",
            "INSERT INTO t SELECT 'x'",
            "WITH 'x' AS x INSERT INTO t SELECT x",
            "(( INSERT INTO t SELECT 'x'",
            "ALTER TABLE t ADD COLUMN b Int8",
            "DESC TABLE t PARALLEL WITH DROP TABLE t",
            "EXPLAIN AST INSERT INTO t VALUES ('x') ; DROP TABLE t",
        ] {
            let sql = format!("{blank}{}", sql.replace(' ', blank));
            let answer = get("", &sql);
            // what follows VALUES is data to the engine, after a blank that its data has not
            let explains = sql.contains("EXPLAIN") && answer.text().starts_with("InsertQuery");
            assert!(answer.status != 200 || explains, "{sql:?}: {}", answer.text());
        }
    }
    nothing_is_written();
}

/// What a reader may take for the beginning of a literal, and what for its end. The engine does not.
const HIDING: &[(&str, &str)] = &[
    ("\u{2018}'\u{2019}", "-- '"),
    ("\u{2018}\\\u{2019}", "-- \u{2019}"),
    ("1 AS \u{201c}\"\u{201d}", "-- \""),
    ("1 AS \u{201c}`\u{201d}", "-- `"),
    ("1 // '\n", "-- '"),
    ("1 # '\n", "-- '"),
    ("1 /*/ ' */", "-- '"),
    ("1 -- \\\n", ""),
    ("'\\\\'", "-- '"),
    ("$a$'$a$", "-- '"),
    ("1 AS a$b$c", "-- $b$"),
    ("x'41'", "-- '"),
    ("1\u{feff}", ""),
    ("1\0", ""),
    ("$a b$", "$a b$"),
    ("\u{2018}", "\u{2019}"),
];

fn hidden_writes_over_get() {
    for (open, close) in HIDING {
        for middle in ["; INSERT INTO t SELECT 'x'; SELECT 2", ";INSERT INTO t VALUES ('x')", " ; DROP TABLE t ;"] {
            let sql = format!("SELECT {open}{middle} {close}");
            let answer = get("", &sql);
            // the last of them is one string
            assert!(answer.status != 200 || *open == "\u{2018}", "{sql}: {}", answer.text());
        }
    }
    nothing_is_written();
}

fn several_statements() {
    for (open, close) in HIDING.iter().filter(|(open, _close)| *open != "\u{2018}") {
        for blank in ["", " ", "\u{a0}", "/*;*/", "//;\n"] {
            let sql = format!("SELECT {open}{blank};{blank}INSERT INTO t SELECT 'x';{blank}SELECT 2 {close}");
            let answer = post("", &sql);
            assert_eq!((answer.status, code(&answer)), (400, "62"), "{sql}: {}", answer.text());
        }
    }
    for sql in ["INSERT INTO t SELECT 'x'; DROP TABLE t", "INSERT INTO t; DROP TABLE t", "SET a = 1; DROP TABLE t"] {
        assert_eq!(code(&post("", sql)), "62", "{sql}");
    }
    nothing_is_written();
}

fn rows_into_a_file() {
    let files = engine().as_ref().unwrap().clickhouse_dir().join("user_files");
    for blank in BLANKS {
        for sql in [
            "SELECT 1 INTO OUTFILE 'x'",
            "SELECT 1 INTO OUTFILE \u{2018}x\u{2019} FORMAT CSV",
            "SELECT 1 into outfile $a$x$a$ APPEND",
            "SHOW TABLES INTO OUTFILE 'x'",
            "SELECT a FROM insert INTO OUTFILE 'x'",
            "CREATE VIEW v AS SELECT 1 INTO OUTFILE 'x'",
            "OPTIMIZE TABLE t INTO OUTFILE 'x'",
            "EXPLAIN PLAN INSERT INTO t SELECT 'x' INTO OUTFILE 'x'",
            "SELECT 1 SETTINGS async_insert = 1 INTO OUTFILE 'x'",
        ] {
            let sql = sql.replace(' ', blank);
            assert_ne!(post("", &sql).status, 200, "{sql}");
        }
    }
    for (open, close) in HIDING {
        post("", &format!("SELECT {open} INTO OUTFILE 'x' {close}"));
    }
    assert_eq!(std::fs::read_dir(files).unwrap().count(), 0);
    nothing_is_written();
}

/// What ends in a comment keeps its FORMAT.
fn inserts_with_comments() {
    for comment in ["-- x\n", "// x\n", "# x\n"] {
        let answer = post("", &format!("INSERT INTO t {comment}FORMAT JSONEachRow\n{{\"a\":\"x\"}}"));
        assert_eq!(answer.status, 200, "{comment}: {}", answer.text());
        assert_eq!(post("", "SELECT a FROM t").text(), "x\n");
        assert_eq!(post("", "TRUNCATE TABLE t").status, 200);
    }
    nothing_is_written();
}

fn writes_in_a_read_only_request() {
    for session in ["", "session_id=plain", "session_id=loosened"] {
        if session.ends_with("loosened") {
            assert_eq!(post(session, "SET readonly = 0").status, 200);
        }
        for (request, written) in [
            (get(session, "INSERT INTO t SELECT 'x'"), "GET"),
            (get(&format!("{session}&readonly=0"), "INSERT INTO t SELECT 'x'"), "GET with readonly=0"),
            (post(&format!("{session}&readonly=1"), "INSERT INTO t SELECT 'x'"), "readonly=1"),
            (post(&format!("{session}&readonly=2"), "INSERT INTO t VALUES ('x')"), "readonly=2"),
            (post(&format!("{session}&readonly=0&readonly=1&readonly=0"), "DROP TABLE t"), "the last readonly is 0"),
            (post(&format!("{session}&readonly=1"), "SET max_threads = 1"), "SET"),
            (post(&format!("{session}&readonly=1"), "SELECT 1 SETTINGS max_threads = 1"), "a setting of the query"),
            (post(&format!("{session}&readonly=1"), "SELECT 1 SETTINGS readonly = 0"), "readonly of the query"),
            (get(session, "SELECT 1 FORMAT CSV SETTINGS readonly = 0"), "readonly after the format"),
        ] {
            // the engine takes a setting that is given twice as it is given last
            let harmless = written == "readonly after the format" && !session.is_empty();
            assert!(code(&request) == "164" || harmless, "{session} {written}: {}", request.text());
        }
        let ask = "SELECT getSetting('readonly')";
        let forms = ["", " FORMAT TSV", " SETTINGS max_threads = 2", " FORMAT TSV SETTINGS max_threads = 2"];
        for form in forms {
            assert_eq!(get(session, &format!("{ask}{form}")).text(), "2\n", "{session}{form}");
        }
        let silent =
            ["SHOW TABLES", "SHOW TABLES SETTINGS max_threads = 2 FORMAT CSV", "DESC t SETTINGS max_threads = 2"];
        for sql in silent {
            let answer = get(session, sql);
            assert_eq!(answer.status, 200, "{session} {sql}: {}", answer.text());
        }
        assert_eq!(post(&format!("{session}&readonly=1"), ask).text(), "1\n", "{session}");
        assert_eq!(post(session, ask).text(), "0\n", "{session}: a request's readonly stays");
    }
    nothing_is_written();
}

fn sessions_that_set_readonly() {
    let (read, kept) = ("session_id=read", "session_id=read&session_check=1");
    assert_eq!(post(read, "SET readonly = 2").status, 200);
    for sql in ["INSERT INTO t SELECT 'x'", "SET readonly = 0", "DROP TABLE t"] {
        assert_eq!(code(&post(kept, sql)), "164", "{sql}");
        assert_eq!(code(&post(&format!("{kept}&readonly=0"), sql)), "164", "{sql}");
    }
    assert_eq!(post(kept, "SELECT getSetting('readonly')").text(), "2\n");
    // could serve nothing more: it is said at once
    let stuck = post("session_id=stuck", "SET readonly = 1");
    assert_eq!(code(&stuck), "164", "{}", stuck.text());
    assert!(stuck.text().contains("readonly=1 to the URL"), "{}", stuck.text());
    assert_eq!(code(&post("session_id=stuck&session_check=1", "SELECT 1")), "372");
    nothing_is_written();
}

/// As many queries as run at once.
const PLACES: usize = 64;
const MIB: u64 = 1 << 20;

fn engine_pid() -> u32 {
    engine().as_ref().unwrap().pid()
}

/// Sends a request's head and what there is of its body.
fn begin(parameters: &str, body_bytes: usize, body: &[u8]) -> TcpStream {
    let port = engine().as_ref().unwrap().port;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let head = format!("POST /?{parameters} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {body_bytes}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let _refused_early = stream.write_all(body);
    stream
}

/// The code in the head of an answer; empty when it has none.
fn code_of(stream: &TcpStream) -> String {
    let lines = BufReader::new(stream).lines().map(|line| line.unwrap());
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let code = head.iter().find_map(|line| line.strip_prefix("x-clickhouse-exception-code: "));
    code.unwrap_or_default().to_owned()
}

fn half_sent_statements() {
    let (clients, bytes) = (if is_long() { 60 } else { 24 }, 15 << 20);
    let before = peak_memory_bytes(engine_pid());
    let senders: Vec<JoinHandle<TcpStream>> = (0..clients)
        .map(|_client| {
            std::thread::spawn(move || {
                let mut body = b"SELECT length('".to_vec();
                body.resize(bytes, b'x');
                begin("", bytes + 100, &body)
            })
        })
        .collect();
    let streams: Vec<TcpStream> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
    assert_eq!(post("", "SELECT 1").text(), "1\n");
    let grown = peak_memory_bytes(engine_pid()).saturating_sub(before);
    assert!(grown < 200 * MIB, "{clients} statements of {bytes} bytes took {} MiB", grown / MIB);
    // there was room for a few; one that is refused says why, and the room is there again once they are gone
    assert!(streams.iter().any(|stream| {
        stream.set_nonblocking(true).unwrap();
        let refused = stream.peek(&mut [0]).is_ok();
        stream.set_nonblocking(false).unwrap();
        refused && code_of(stream) == "241"
    }));
    drop(streams);
    let whole = format!("SELECT length('{}')", "x".repeat(bytes));
    // the engine takes 256 KiB, and says so
    wait_until("there is room for a large statement", || (code(&post("", &whole)) == "62").then_some(()));
}

fn answers_that_wait() {
    let clients = if is_long() { 600 } else { 150 };
    let before = peak_memory_bytes(engine_pid());
    let sql = b"SELECT repeat('x', 1000000) FROM numbers(4)";
    let streams: Vec<TcpStream> = (0..clients)
        .map(|_client| {
            let stream = begin("wait_end_of_query=1", sql.len(), sql);
            // its answer is there, and stays where it is
            stream.peek(&mut [0]).unwrap();
            stream
        })
        .collect();
    let grown = peak_memory_bytes(engine_pid()).saturating_sub(before);
    assert!(grown < 300 * MIB, "{clients} answers took {} MiB", grown / MIB);
    let mut all = Vec::new();
    let last = streams.last().unwrap();
    last.shutdown(Shutdown::Write).unwrap();
    BufReader::new(last).read_to_end(&mut all).unwrap();
    assert!(all.len() > 4_000_000, "the answer itself is whole: {}", all.len());
}

fn stalled_inserts() {
    let data = "xxxxxxxxxxxxxxx\n".repeat(20_000);
    for bytes in [1, data.len()] {
        let streams: Vec<TcpStream> = (0..PLACES + 8)
            .map(|_client| begin("query=INSERT+INTO+t+FORMAT+TSV", 1 << 30, &data.as_bytes()[..bytes]))
            .collect();
        for _query in 0..20 {
            let answer = post("", "SELECT 1");
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        if bytes > 1 {
            assert!(streams.iter().any(|stream| {
                stream.set_nonblocking(true).unwrap();
                let ended = stream.peek(&mut [0]).is_ok();
                stream.set_nonblocking(false).unwrap();
                ended && code_of(stream) == "209"
            }));
        }
    }
    nothing_is_written();
}

fn stalled_answers() {
    let sql = b"SELECT number, repeat('endless', 100) FROM numbers(100000000000000) SETTINGS max_threads = 1";
    let streams: Vec<TcpStream> = (0..PLACES).map(|_client| begin("", sql.len(), sql)).collect();
    for stream in &streams {
        // it has begun
        stream.peek(&mut [0]).unwrap();
    }
    for _query in 0..20 {
        let answer = post("", "SELECT 1");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

fn half_closed_clients() {
    for (sql, answer) in [
        ("SELECT 1", "1\n"),
        ("SELECT 1 + sleep(1)", "1\n"),
        ("SET max_threads = 1", ""),
        ("INSERT INTO t SELECT toString(number) FROM numbers(0)", ""),
        ("SELECT repeat('x', 1000000) FROM numbers(5)", "x\n"),
    ] {
        let stream = begin("", sql.len(), sql.as_bytes());
        stream.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        BufReader::new(stream).read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 200"), "{sql}: {text}");
        assert!(text.contains(answer), "{sql}: {} bytes", text.len());
    }
}
