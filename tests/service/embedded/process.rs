//! The engine's process: who may ask it, what it may reach, and how it ends and starts again.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clickhouse::Client;
use support::DEADLINE;
use support::engine_child::{EngineChild, arguments, library};
use tokio_util::sync::CancellationToken;

#[test]
fn strangers_are_refused() {
    let mut config = tempfile::NamedTempFile::new().unwrap();
    config.write_all(b"clickhouse: { password: s3cret }\n").unwrap();
    let server = EngineChild::start(&["--config", &config.path().display().to_string()]);
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
    let server = EngineChild::start(&[]);
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
    let server = EngineChild::start(&[]);
    let second = Command::new(support::executable())
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
    let refused = Command::new(support::executable())
        .args(["clickhouse", "--listen", "0.0.0.0:0", "--data-dir", &dir.path().display().to_string()])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("needs a password"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_childs_password_is_where_its_sql_cannot_read_it() {
    use millrace::embedded::{ChildCommand, Supervised, supervise};
    let dir = tempfile::tempdir().unwrap();
    let command = ChildCommand {
        executable: support::executable(),
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
fn nobody_else_can_open_the_folder_even_if_they_could_before() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("clickhouse");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    let server = EngineChild::start_in(dir, &[]);
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
        executable: support::executable(),
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
         page: {{ listen: 127.0.0.1:0 }}\nembedded: {{ listen: 127.0.0.1:0, library: {} }}\n",
        dir.display(),
        library.display()
    );
    file.write_all(config.as_bytes()).unwrap();
    let (_file, path) = file.keep().unwrap();
    let mut command = Command::new(support::executable());
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
        assert!(service.try_wait().unwrap().is_none() && began.elapsed() < DEADLINE, "it never said that it is ready");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(Command::new("kill").arg(service.id().to_string()).status().unwrap().success());
    assert!(service.wait().unwrap().success());
}

#[test]
fn an_engine_that_can_never_start_ends_serve_with_its_reason_said_once() {
    let server = EngineChild::start(&[]);
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
        executable: support::executable(),
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
