//! SQL that reaches for programs, files, sockets and other processes. One service stands for all attacks.
//!
//! Each attack sends its statements to the SQL port, whatever they are answered, and then looks at what must not have
//! happened: a file made outside, a process started, a connection made, a bystander signalled, the engine gone.

use std::fs;
use std::io::ErrorKind;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

use super::{Attack, hold_off};
use support::http::{self, Answer};
use support::process::{children, is_alive};
use support::{Service, wait_until};

const ATTACKS: &[Attack] = &[
    Attack {
        name: "a dictionary whose source is a command",
        run: || {
            attack(&[
                "CREATE DICTIONARY d1 (k UInt64, v String) PRIMARY KEY k \
                 SOURCE(EXECUTABLE(COMMAND 'touch {OUT}/made; kill -9 {BYSTANDER}; echo 1,2' FORMAT CSV)) \
                 LAYOUT(FLAT()) LIFETIME(0)",
                "SELECT dictGet('d1', 'v', 1::UInt64)",
                "SYSTEM RELOAD DICTIONARY d1",
                "SELECT * FROM dictionary('d1')",
            ]);
        },
    },
    Attack {
        name: "a dictionary whose source is a pool of commands",
        run: || {
            attack(&[
                "CREATE DICTIONARY d2 (k UInt64, v String) PRIMARY KEY k \
                 SOURCE(EXECUTABLE_POOL(COMMAND 'touch {OUT}/made' FORMAT CSV SIZE 1)) LAYOUT(DIRECT())",
                "SELECT dictGet('d2', 'v', 1::UInt64)",
            ]);
        },
    },
    Attack {
        name: "a dictionary whose source is a web page",
        run: || {
            attack(&["CREATE DICTIONARY d3 (k UInt64, v String) PRIMARY KEY k \
                 SOURCE(HTTP(URL 'http://127.0.0.1:{TCP}/' FORMAT 'CSV')) LAYOUT(FLAT()) LIFETIME(0)"]);
        },
    },
    Attack {
        name: "a table function that is a program",
        run: || attack(&["SELECT * FROM executable('x.sh', 'TSV', 'a String')"]),
    },
    Attack {
        name: "a table function that reads and writes a web page",
        run: || {
            attack(&[
                "SELECT * FROM url('http://127.0.0.1:{TCP}/', 'LineAsString')",
                "INSERT INTO FUNCTION url('http://127.0.0.1:{TCP}/', 'LineAsString', 'a String') SELECT 'x'",
            ]);
        },
    },
    Attack {
        name: "a table function that asks another server",
        run: || {
            attack(&["SELECT * FROM remote('127.0.0.1:{TCP}', system.one)"]);
        },
    },
    Attack {
        name: "files outside the engine's folder, read and written",
        run: || {
            attack(&[
                "INSERT INTO FUNCTION file('{OUT}/made', 'LineAsString', 'a String') SELECT 'x'",
                "SELECT 1 INTO OUTFILE '{OUT}/made'",
                "CREATE TABLE f1 (a String) ENGINE = File(LineAsString, '{OUT}/made')",
                "INSERT INTO f1 SELECT 'x'",
            ]);
            let answer = ask("SELECT * FROM file('{OUT}/secret', 'LineAsString', 'a String')");
            assert!(!answer.text().contains("not for SQL"), "{}", answer.text());
        },
    },
    Attack {
        name: "a dictionary that asks another server",
        run: || {
            attack(&[
                "CREATE DICTIONARY d4 (k UInt64, v String) PRIMARY KEY k SOURCE(MYSQL(HOST '127.0.0.1' PORT {TCP} USER 'u' PASSWORD '' DB 'd' TABLE 't')) LAYOUT(FLAT()) LIFETIME(0)",
                "CREATE DICTIONARY d5 (k UInt64, v String) PRIMARY KEY k SOURCE(POSTGRESQL(HOST '127.0.0.1' PORT {TCP} USER 'u' PASSWORD '' DB 'd' TABLE 't')) LAYOUT(FLAT()) LIFETIME(0)",
                "CREATE DICTIONARY d6 (k UInt64, v String) PRIMARY KEY k SOURCE(REDIS(HOST '127.0.0.1' PORT {TCP})) LAYOUT(FLAT()) LIFETIME(0)",
                "CREATE DICTIONARY d7 (k UInt64, v String) PRIMARY KEY k SOURCE(MONGODB(URI 'mongodb://127.0.0.1:{TCP}/d' COLLECTION 't')) LAYOUT(FLAT()) LIFETIME(0)",
            ]);
        },
    },
    Attack {
        name: "a dictionary that asks a ClickHouse on another port",
        run: || {
            attack(&[
                "CREATE DICTIONARY d8 (k UInt64, v String) PRIMARY KEY k SOURCE(CLICKHOUSE(HOST '127.0.0.1' PORT {TCP} TABLE 't' DB 'd')) LAYOUT(DIRECT())",
                "SELECT dictGet('d8', 'v', 1::UInt64)",
                "DROP DICTIONARY d8",
            ]);
        },
    },
    Attack {
        name: "a dictionary whose source is a file outside",
        run: || {
            attack(&[
                "CREATE DICTIONARY d9 (k String, v String) PRIMARY KEY k SOURCE(FILE(PATH '{OUT}/secret' FORMAT 'TSV')) LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(0)",
            ]);
        },
    },
    Attack {
        name: "a dictionary whose source is written with quotes, comments and odd letters",
        run: || {
            attack(&[
                "create /* a */ dictionary `d10` (k UInt64, v String) primary key k source /**/ ( `eXeCuTaBlE` (command 'touch {OUT}/made' format 'CSV')) layout(flat()) lifetime(0)",
                "CREATE OR REPLACE DICTIONARY d10 (k UInt64, v String) PRIMARY KEY k LAYOUT(FLAT()) LIFETIME(0) SOURCE(\"executable\"(COMMAND 'touch {OUT}/made' FORMAT CSV))",
                "SELECT dictGet('d10', 'v', 1::UInt64)",
            ]);
        },
    },
    Attack {
        name: "a dictionary whose key is a name of several lines",
        run: || {
            attack(&[
                "CREATE DICTIONARY d11 (`k
 Foo` UInt64, v String) PRIMARY KEY `k
 Foo` SOURCE(EXECUTABLE(COMMAND 'touch {OUT}/made' FORMAT CSV)) LAYOUT(FLAT()) LIFETIME(0)",
                "SELECT dictGet('d11', 'v', 1::UInt64)",
            ]);
        },
    },
    Attack {
        name: "two statements of which the second is a dictionary",
        run: || {
            attack(&[
                "CREATE TABLE x1 (a Int8) ENGINE = Memory PARALLEL WITH CREATE DICTIONARY d12 (k UInt64, v String) PRIMARY KEY k SOURCE(EXECUTABLE(COMMAND 'touch {OUT}/made' FORMAT CSV)) LAYOUT(FLAT()) LIFETIME(0)",
                "SELECT 1; CREATE DICTIONARY d12 (k UInt64, v String) PRIMARY KEY k SOURCE(EXECUTABLE(COMMAND 'touch {OUT}/made' FORMAT CSV)) LAYOUT(FLAT()) LIFETIME(0)",
                "SELECT dictGet('d12', 'v', 1::UInt64)",
            ]);
        },
    },
    Attack {
        name: "a table whose engine is a program",
        run: || {
            attack(&[
                "CREATE TABLE e1 (a String) ENGINE = Executable('x.sh', TSV)",
                "CREATE TABLE e2 (a String) ENGINE = ExecutablePool('x.sh', TSV)",
                "SELECT * FROM e1",
                "SELECT * FROM e2",
            ]);
        },
    },
    Attack {
        name: "a script that is written first and then run",
        run: || {
            attack(&[
                "INSERT INTO FUNCTION file('../user_scripts/x.sh', 'LineAsString', 'a String') SELECT '#!/bin/sh
touch {OUT}/made'",
                "SELECT * FROM executable('x.sh', 'TSV', 'a String')",
                "CREATE TABLE e3 (a String) ENGINE = Executable('x.sh', TSV)",
            ]);
        },
    },
    Attack {
        name: "a table function in quotes with an escape in its name",
        run: || {
            attack(&[
                "SELECT * FROM `ur\\x6c`('http://127.0.0.1:{TCP}/', 'LineAsString')",
                "SELECT * FROM \"executable\"('x.sh', 'TSV', 'a String')",
            ]);
        },
    },
    Attack {
        name: "a table function inside a view",
        run: || {
            attack(&[
                "CREATE VIEW v1 AS SELECT * FROM url('http://127.0.0.1:{TCP}/', 'LineAsString', 'a String')",
                "SELECT * FROM v1",
                "CREATE MATERIALIZED VIEW v2 REFRESH EVERY 1 SECOND ENGINE = Memory AS SELECT * FROM url('http://127.0.0.1:{TCP}/', 'LineAsString', 'a String')",
            ]);
        },
    },
    Attack {
        name: "a table function inside a subquery, a join and a CTE",
        run: || {
            attack(&[
                "SELECT 1 WHERE 1 IN (SELECT a FROM url('http://127.0.0.1:{TCP}/', 'TSV', 'a UInt8'))",
                "SELECT * FROM system.one AS o JOIN url('http://127.0.0.1:{TCP}/', 'TSV', 'a UInt8') AS u ON u.a = o.dummy",
                "WITH u AS (SELECT * FROM url('http://127.0.0.1:{TCP}/', 'TSV', 'a UInt8')) SELECT * FROM u",
            ]);
        },
    },
    Attack {
        name: "a table function inside EXPLAIN and DESCRIBE",
        run: || {
            attack(&[
                "EXPLAIN PIPELINE SELECT * FROM url('http://127.0.0.1:{TCP}/', 'LineAsString')",
                "EXPLAIN SYNTAX SELECT * FROM url('http://127.0.0.1:{TCP}/', 'LineAsString')",
                "EXPLAIN TABLE OVERRIDE mysql('127.0.0.1:{TCP}', 'd', 't', 'u', 'p') PARTITION BY a",
                "DESCRIBE url('http://127.0.0.1:{TCP}/', 'CSV')",
            ]);
        },
    },
    Attack {
        name: "a table function inside another",
        run: || {
            attack(&[
                "SELECT * FROM view(SELECT * FROM url('http://127.0.0.1:{TCP}/', 'LineAsString'))",
                "SELECT * FROM viewExplain('EXPLAIN PIPELINE', '', (SELECT * FROM url('http://127.0.0.1:{TCP}/', 'LineAsString')))",
                "SELECT * FROM loop(url('http://127.0.0.1:{TCP}/', 'LineAsString')) LIMIT 1",
                "SELECT * FROM cluster('default', url('http://127.0.0.1:{TCP}/', 'LineAsString'))",
            ]);
        },
    },
    Attack {
        name: "a table made as a table function",
        run: || {
            attack(&[
                "CREATE TABLE a1 AS url('http://127.0.0.1:{TCP}/', 'LineAsString', 'a String')",
                "CREATE TABLE a2 AS remote('127.0.0.1:{TCP}', system.one)",
                "INSERT INTO a1 SELECT 'x'",
                "SELECT * FROM a2",
            ]);
        },
    },
    Attack {
        name: "a table whose engine is a web page or a bucket",
        run: || {
            attack(&[
                "CREATE TABLE w1 (a String) ENGINE = URL('http://127.0.0.1:{TCP}/', CSV)",
                "CREATE TABLE w2 (a String) ENGINE = S3('http://127.0.0.1:{TCP}/b/k', 'k', 's', CSV)",
                "INSERT INTO w1 VALUES ('x')",
                "SELECT * FROM w2",
            ]);
        },
    },
    Attack {
        name: "a table whose engine is another database",
        run: || {
            attack(&[
                "CREATE TABLE b1 (a String) ENGINE = MySQL('127.0.0.1:{TCP}', 'd', 't', 'u', 'p')",
                "CREATE TABLE b2 (a String) ENGINE = PostgreSQL('127.0.0.1:{TCP}', 'd', 't', 'u', 'p')",
                "CREATE TABLE b3 (a String) ENGINE = MongoDB('127.0.0.1:{TCP}', 'd', 't', 'u', 'p')",
                "CREATE TABLE b4 (k String, v String) ENGINE = Redis('127.0.0.1:{TCP}') PRIMARY KEY k",
            ]);
        },
    },
    Attack {
        name: "a table whose engine is a queue",
        run: || {
            attack(&[
                "CREATE TABLE q1 (a String) ENGINE = Kafka('127.0.0.1:{TCP}', 't', 'g', 'CSV')",
                "CREATE TABLE q2 (a String) ENGINE = NATS SETTINGS nats_url = '127.0.0.1:{TCP}', nats_subjects = 's', nats_format = 'CSV'",
                "CREATE TABLE q3 (a String) ENGINE = RabbitMQ SETTINGS rabbitmq_host_port = '127.0.0.1:{TCP}', rabbitmq_exchange_name = 'e', rabbitmq_format = 'CSV'",
                "CREATE TABLE q4 (a String) ENGINE = FileLog('{OUT}', 'LineAsString')",
            ]);
        },
    },
    Attack {
        name: "a table on ZooKeeper or on another ClickHouse",
        run: || {
            attack(&[
                "CREATE TABLE z1 (k String, v String) ENGINE = KeeperMap('/x') PRIMARY KEY k",
                "CREATE TABLE z2 (a UInt8) ENGINE = ODBC('DSN=x', 'd', 't')",
                "CREATE TABLE z3 (a UInt8) ENGINE = JDBC('jdbc:x', 'd', 't')",
            ]);
        },
    },
    Attack {
        name: "a database that is somewhere else",
        run: || {
            attack(&[
                "CREATE DATABASE db1 ENGINE = MySQL('127.0.0.1:{TCP}', 'd', 'u', 'p')",
                "CREATE DATABASE db2 ENGINE = PostgreSQL('127.0.0.1:{TCP}', 'd', 'u', 'p')",
                "CREATE DATABASE db3 ENGINE = S3('http://127.0.0.1:{TCP}/b', 'k', 's')",
                "CREATE DATABASE db4 ENGINE = DataLakeCatalog('http://127.0.0.1:{TCP}') SETTINGS warehouse = 'w', catalog_type = 'rest'",
            ]);
        },
    },
    Attack {
        name: "a database of files outside",
        run: || {
            attack(&[
                "CREATE DATABASE db5 ENGINE = Filesystem('{OUT}')",
                "CREATE DATABASE db6 ENGINE = SQLite('{OUT}/made')",
                "SELECT * FROM db5.secret",
                "SELECT * FROM sqlite('{OUT}/made', 't')",
                "SELECT * FROM filesystem('{OUT}')",
            ]);
        },
    },
    Attack {
        name: "a lake of files and a bucket elsewhere",
        run: || {
            attack(&[
                "SELECT * FROM s3('http://127.0.0.1:{TCP}/b/k', 'k', 's', 'CSV', 'a String')",
                "SELECT * FROM gcs('http://127.0.0.1:{TCP}/b/k', 'k', 's', 'CSV', 'a String')",
                "SELECT * FROM deltaLake('http://127.0.0.1:{TCP}/b/k', 'k', 's')",
                "SELECT * FROM icebergS3('http://127.0.0.1:{TCP}/b/k', 'k', 's')",
                "SELECT * FROM hdfs('hdfs://127.0.0.1:{TCP}/x', 'CSV', 'a String')",
                "SELECT * FROM azureBlobStorage('http://127.0.0.1:{TCP}/', 'c', 'b', 'a', 'k', 'CSV', 'auto', 'a String')",
            ]);
        },
    },
    Attack {
        name: "another database's table functions",
        run: || {
            attack(&[
                "SELECT * FROM mysql('127.0.0.1:{TCP}', 'd', 't', 'u', 'p')",
                "SELECT * FROM postgresql('127.0.0.1:{TCP}', 'd', 't', 'u', 'p')",
                "SELECT * FROM mongodb('127.0.0.1:{TCP}', 'd', 't', 'u', 'p', 'a String')",
                "SELECT * FROM redis('127.0.0.1:{TCP}', 'k', 'k String, v String')",
                "SELECT * FROM odbc('DSN=x', 't')",
                "SELECT * FROM jdbc('jdbc:x', 't')",
            ]);
        },
    },
    Attack {
        name: "a backup to a file and to a bucket",
        run: || {
            attack(&[
                "BACKUP TABLE system.one TO File('{OUT}/made')",
                "BACKUP DATABASE otel TO S3('http://127.0.0.1:{TCP}/b', 'k', 's')",
                "BACKUP ALL TO Disk('default', '{OUT}/made')",
            ]);
        },
    },
    Attack {
        name: "a restore of something else",
        run: || {
            attack(&[
                "RESTORE ALL FROM File('{OUT}/secret')",
                "RESTORE DATABASE x FROM S3('http://127.0.0.1:{TCP}/b', 'k', 's')",
                "CREATE DATABASE db7 ENGINE = Backup('otel', File('{OUT}/secret'))",
            ]);
        },
    },
    Attack {
        name: "a disk of the table's own",
        run: || {
            attack(&[
                "CREATE TABLE k1 (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = local, path = '{OUT}/made/')",
                "CREATE TABLE k2 (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = web, endpoint = 'http://127.0.0.1:{TCP}/')",
                "CREATE TABLE k3 (a Int8) ENGINE = MergeTree ORDER BY a",
                "ALTER TABLE k3 MODIFY SETTING disk = disk(type = s3, endpoint = 'http://127.0.0.1:{TCP}/b/', access_key_id = 'k', secret_access_key = 's')",
            ]);
        },
    },
    Attack {
        name: "attached folders and tables from outside",
        run: || {
            attack(&[
                "ATTACH TABLE t1 FROM '{OUT}' (a String) ENGINE = File(LineAsString)",
                "ATTACH TABLE t2 UUID '00000000-0000-4000-8000-000000000001' (a String) ENGINE = URL('http://127.0.0.1:{TCP}/', CSV)",
                "SELECT * FROM t2",
            ]);
        },
    },
    Attack {
        name: "functions that read files or load models",
        run: || {
            attack(&[
                "SELECT file('{OUT}/secret')",
                "SELECT catboostEvaluate('{OUT}/secret', 1)",
                "SELECT * FROM `{OUT}/secret`",
            ]);
        },
    },
    Attack {
        name: "functions made of programs",
        run: || {
            attack(&[
                "CREATE FUNCTION f1 ENGINE = Executable COMMAND 'touch {OUT}/made'",
                "CREATE FUNCTION f2 LANGUAGE python AS 'open(\"{OUT}/made\", \"w\")'",
                "SELECT f1(1)",
                "SELECT f2(1)",
            ]);
        },
    },
    Attack {
        name: "named collections, users and rights",
        run: || {
            attack(&[
                "CREATE NAMED COLLECTION n1 AS url = 'http://127.0.0.1:{TCP}/', format = 'CSV'",
                "SELECT * FROM url(n1)",
                "CREATE USER u1",
                "GRANT ALL ON *.* TO default",
                "GRANT CURRENT GRANTS ON *.* TO default",
                "SET ROLE ALL",
                "EXECUTE AS default SELECT * FROM url('http://127.0.0.1:{TCP}/', 'LineAsString')",
            ]);
        },
    },
    Attack {
        name: "settings that change how a statement is read or what it may take",
        run: || {
            attack(&[
                "SET dialect = 'kusto'",
                "SELECT 1 SETTINGS dialect = 'prql'",
                "SET allow_experimental_eval_table_function = 1",
                "SELECT * FROM eval('SELECT * FROM url(''http://127.0.0.1:{TCP}/'', ''LineAsString'')') SETTINGS allow_experimental_eval_table_function = 1",
            ]);
        },
    },
    Attack {
        name: "files that outlive a restart as settings",
        run: || {
            attack(&[
                "INSERT INTO FUNCTION file('../millrace-engine.d/x.xml', 'LineAsString', 'a String') SELECT '<clickhouse><users_config>x</users_config></clickhouse>'",
                "INSERT INTO FUNCTION file('/proc/self/fd/3', 'LineAsString', 'a String') SELECT 'x'",
            ]);
        },
    },
    Attack {
        name: "files of the kernel",
        run: || {
            attack(&[
                "INSERT INTO FUNCTION file('/proc/self/mem', 'LineAsString', 'a String') SELECT 'x'",
                "INSERT INTO FUNCTION file('/proc/self/oom_score_adj', 'LineAsString', 'a String') SELECT '-1000'",
                "SELECT * FROM file('/dev/mem', 'RawBLOB', 'a String')",
                "INSERT INTO FUNCTION file('/dev/vda', 'LineAsString', 'a String') SELECT 'x'",
            ]);
        },
    },
    Attack {
        name: "a file that is a link to the outside",
        run: || {
            attack(&[
                "INSERT INTO FUNCTION file('x/../../../../../../../../{OUT}/made', 'LineAsString', 'a String') SELECT 'x'",
                "SELECT 1 INTO OUTFILE '{OUT}/made' TRUNCATE",
                "SELECT 1 INTO/**/OUTFILE '{OUT}/made' FORMAT CSV",
                "SHOW TABLES INTO OUTFILE '{OUT}/made'",
                "INSERT INTO FUNCTION file('x', 'LineAsString', 'a String') FROM INFILE '{OUT}/secret' FORMAT LineAsString",
            ]);
        },
    },
    Attack {
        name: "the statements that end, stop or empty the engine",
        run: || {
            attack(&[
                "SYSTEM SHUTDOWN",
                "SYSTEM KILL",
                "system /* */ shutdown",
                "SYSTEM SUSPEND FOR 60 SECOND",
                "DETACH DATABASE default",
                "DROP DATABASE system",
                "DETACH TABLE system.processes",
                "SYSTEM RELOAD CONFIG",
            ]);
        },
    },
    Attack {
        name: "more endless queries than there are places, in Millrace's name",
        run: || {
            let address = target();
            let mut held: Vec<TcpStream> = (0..80).map(|_| endless_query(&address)).collect();
            wait_until("all places are taken", || {
                let is_full = ask("SELECT 1").status == 500;
                // while all of them come at once, a busy machine turns some away that others would have had room for
                held.extend((0..8).filter(|_| !is_full).map(|_| endless_query(&address)));
                is_full.then_some(())
            });
            still_stores();
            drop(held);
            wait_until("they have ended with their clients", || (ask("SELECT 1").status == 200).then_some(()));
        },
    },
];

#[test]
fn attacks_of_this_area_hold() {
    let _field = Opened::open();
    hold_off("statements", ATTACKS);
    still_stores();
}

/// The fence stands around every thread of the engine, and health says so.
#[test]
fn every_thread_of_the_engine_is_confined() {
    let service = Service::start();
    let engine = service.engine_pid().expect("the engine runs");
    assert_eq!(service.sql().number("SELECT 1", &[]), 1);
    let threads = fs::read_dir(format!("/proc/{engine}/task")).unwrap();
    for thread in threads.flatten() {
        let status = fs::read_to_string(thread.path().join("status")).unwrap();
        for line in ["NoNewPrivs:\t1", "Seccomp:\t2", "Seccomp_filters:\t2"] {
            assert!(status.lines().any(|known| known == line), "{line} of {status}");
        }
    }
    let health = http::get(&service.health()).json();
    assert_eq!(health["embedded"]["fence"], serde_json::json!({"files": "full", "calls": "full"}));
}

/// Where the attacks take place: a service, and around it what must not be touched.
struct Field {
    service: Service,
    engine: u32,
    /// A folder that is nobody's but the test's. `secret` is in it.
    outside: TempDir,
    tcp: TcpListener,
    udp: UdpSocket,
    /// Listens at `outside`/socket.
    unix: UnixListener,
    /// Listens at an abstract name.
    unnamed: UnixListener,
    bystander: Child,
}

/// One for all attacks: they are plain functions.
static FIELD: Mutex<Option<Field>> = Mutex::new(None);

/// Closes the field when the test is over, however it ends.
struct Opened;

impl Opened {
    fn open() -> Self {
        let service = Service::start();
        let engine = service.engine_pid().expect("the engine runs");
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "not for SQL\n").unwrap();
        let unix = UnixListener::bind(outside.path().join("socket")).unwrap();
        let name = format!("millrace-attacks-{}", std::process::id());
        let unnamed = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap();
        let (tcp, udp) = (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        for listens in [unix.set_nonblocking(true), unnamed.set_nonblocking(true), tcp.set_nonblocking(true)] {
            listens.unwrap();
        }
        udp.set_nonblocking(true).unwrap();
        let bystander = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        *field() = Some(Field { service, engine, outside, tcp, udp, unix, unnamed, bystander });
        Self
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some(mut field) = field().take() {
            field.bystander.kill().expect("our own process can be killed");
            field.bystander.wait().expect("a killed process ends");
        }
    }
}

fn field() -> MutexGuard<'static, Option<Field>> {
    // an attack that got through has panicked here before
    FIELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends the statements to the SQL port, which is Grafana's too, and to the page's box, then looks around.
fn attack(statements: &[&str]) {
    for statement in statements {
        ask(statement);
        let answer = ask_page(statement);
        assert!(answer.status < 500, "the page's box: {statement}: {} {}", answer.status, answer.text());
    }
    look_around();
}

/// Sends one statement to the SQL port.
fn ask(statement: &str) -> Answer {
    let statement = filled(statement);
    let field = field();
    let service = &field.as_ref().expect("the field is open").service;
    http::send("POST", &service.sql().url, &[], statement.as_bytes())
}

/// Types one statement into the page's box.
fn ask_page(statement: &str) -> Answer {
    let body = serde_json::json!({ "sql": filled(statement) });
    let field = field();
    http::post_json(&field.as_ref().expect("the field is open").service.page("/api/v1/sql"), &body)
}

/// `{OUT}`, `{TCP}`, `{UDP}` and `{BYSTANDER}` stand for the field's.
fn filled(statement: &str) -> String {
    let field = field();
    let field = field.as_ref().expect("the field is open");
    let port = |address: std::io::Result<std::net::SocketAddr>| address.unwrap().port().to_string();
    statement
        .replace("{OUT}", &field.outside.path().display().to_string())
        .replace("{TCP}", &port(field.tcp.local_addr()))
        .replace("{UDP}", &port(field.udp.local_addr()))
        .replace("{BYSTANDER}", &field.bystander.id().to_string())
}

/// `host:port` of the SQL port.
fn target() -> String {
    let field = field();
    let url = field.as_ref().expect("the field is open").service.sql().url;
    url.trim_start_matches("http://").to_owned()
}

/// A query that does not end while its client stays.
fn endless_query(address: &str) -> TcpStream {
    let sql = "SELECT sleepEachRow(1) FROM numbers(1000) SETTINGS max_block_size = 1";
    let mut stream = TcpStream::connect(address).unwrap();
    let (agent, length) = ("millrace/0.1.0", sql.len());
    let head = format!("POST / HTTP/1.1\r\nHost: {address}\r\nUser-Agent: {agent}\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(format!("{head}{sql}").as_bytes()).unwrap();
    stream
}

/// Panics if anything was touched that must not be.
fn look_around() {
    let mut field = field();
    let field = field.as_mut().expect("the field is open");
    let mut found: Vec<_> = fs::read_dir(&field.outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    found.sort();
    assert_eq!(found, ["secret", "socket"], "files outside");
    assert_eq!(fs::read_to_string(field.outside.path().join("secret")).unwrap(), "not for SQL\n");
    let arrivals = [
        field.tcp.accept().map(|_| ()),
        field.unix.accept().map(|_| ()),
        field.unnamed.accept().map(|_| ()),
        field.udp.recv(&mut [0; 1]).map(|_| ()),
    ];
    for arrived in arrivals {
        assert_eq!(arrived.unwrap_err().kind(), ErrorKind::WouldBlock, "a connection arrived");
    }
    assert!(field.bystander.try_wait().unwrap().is_none(), "the bystander is gone");
    assert!(field.service.ended().is_none(), "the service is gone");
    assert!(is_alive(field.engine), "the engine is gone");
    assert_eq!(field.service.engine_pid(), Some(field.engine), "it is another engine");
    assert_eq!(children(field.engine), Vec::<u32>::new(), "the engine has started a process");
    assert_eq!(field.service.sql().number("SELECT 1", &[]), 1);
}

/// After all that, what is sent is stored.
fn still_stores() {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let question = format!("still there after {}?", ASKED.fetch_add(1, Ordering::SeqCst));
    let field = field();
    let service = &field.as_ref().expect("the field is open").service;
    let chat = serde_json::json!({
        "request": {"model": "gpt-4o", "messages": [{"role": "user", "content": question}]},
        "response": {"choices": [{"message": {"role": "assistant", "content": "yes"}}]},
    });
    let answer = http::post_json(&service.chat("attacks"), &chat);
    assert_eq!(answer.status, 201, "{}", answer.text());
    wait_until("the pair is stored", || {
        let stored = service.metric("millrace_spans_stored_total").expect("it is counted");
        let received = service.metric("millrace_spans_received_total").expect("it is counted");
        (stored >= received && stored > 0.0).then_some(())
    });
}
