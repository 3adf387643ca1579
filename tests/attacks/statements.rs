//! SQL that reaches for programs, files, sockets and other processes. One service stands for all attacks.
//!
//! Each attack sends its statements to the SQL port, whatever they are answered, and then looks at what must not have
//! happened: a file made outside, a process started, a connection made, a bystander signalled, the engine gone.

use std::fs;
use std::io::ErrorKind;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

use crate::support::http::{self, Answer};
use crate::support::process::{children, is_alive};
use crate::support::{Service, wait_until};
use crate::{Attack, hold_off};

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
    Attack { name: "a statement that ends the service", run: || attack(&["SYSTEM SHUTDOWN"]) },
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

/// Sends the statements, then looks around.
fn attack(statements: &[&str]) {
    for statement in statements {
        ask(statement);
    }
    look_around();
}

/// Sends one statement to the SQL port. `{OUT}`, `{TCP}`, `{UDP}` and `{BYSTANDER}` stand for the field's.
fn ask(statement: &str) -> Answer {
    let field = field();
    let field = field.as_ref().expect("the field is open");
    let port = |address: std::io::Result<std::net::SocketAddr>| address.unwrap().port().to_string();
    let statement = statement
        .replace("{OUT}", &field.outside.path().display().to_string())
        .replace("{TCP}", &port(field.tcp.local_addr()))
        .replace("{UDP}", &port(field.udp.local_addr()))
        .replace("{BYSTANDER}", &field.bystander.id().to_string());
    http::send("POST", &field.service.sql().url, &[], statement.as_bytes())
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
    let field = field();
    let service = &field.as_ref().expect("the field is open").service;
    let chat = serde_json::json!({
        "request": {"model": "gpt-4o", "messages": [{"role": "user", "content": "still there?"}]},
        "response": {"choices": [{"message": {"role": "assistant", "content": "yes"}}]},
    });
    let answer = http::post_json(&service.chat("attacks"), &chat);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let count = "SELECT count() FROM otel_traces";
    wait_until("the pair is stored", || (service.sql().number(count, &[]) > 0).then_some(()));
}
