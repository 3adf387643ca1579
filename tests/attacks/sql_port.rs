//! Requests to the SQL port that are not what they seem: writes over GET, two statements for one, rows into files, and
//! sessions that were made read-only. One engine stands for all attacks; nothing may be written to its table `t`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::support::Engine;
use crate::support::http::{self, Answer};
use crate::{Attack, hold_off};

const ATTACKS: &[Attack] = &[
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
