//! A real ClickHouse server, with HTTP and native interfaces of ClickHouse's own: libchdb in a process of its own, started by
//! `tests/support/server/server.py`, which says how. Alone, or as a node of a cluster.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

use tempfile::TempDir;

use super::service::fixed_ports;
use super::sql::Sql;
use super::{project, scratch_dir, tool, wait_until};

const LOG_TAIL_LINES: usize = 40;
const PROGRAM: &str = "tests/support/server/server.py";
const LIBRARY: &str = ".tools/libchdb/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so";

/// A process that ends when its standard input does, and so with the test, however that ends.
pub struct Guarded(Child);

impl Guarded {
    /// Starts it with its output in a file.
    pub fn spawn(command: &mut Command, out: &Path) -> Self {
        let out = File::create(out).expect("the file can be written");
        let err = out.try_clone().expect("the file can be written");
        Self(command.stdin(Stdio::piped()).stdout(out).stderr(err).spawn().expect("the program starts"))
    }

    /// Writes a line to its standard input.
    pub fn say(&mut self, line: &str) {
        let input = self.0.stdin.as_mut().expect("its standard input is open");
        input.write_all(format!("{line}\n").as_bytes()).expect("it reads");
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("the process can be asked")
    }

    pub fn has_ended(&mut self) -> bool {
        self.ended().is_some()
    }

    pub fn close_input(&mut self) {
        drop(self.0.stdin.take());
    }

    /// Closes its standard input, and waits until it has ended.
    pub fn close(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().expect("it ends with its standard input");
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        drop(self.0.stdin.take());
        if !self.has_ended() {
            self.0.kill().expect("our own process can be killed");
        }
        self.0.wait().expect("a killed process ends");
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A server, running or killed.
pub struct Process {
    folder: PathBuf,
    is_node: bool,
    running: Option<Guarded>,
}

impl Process {
    /// One that is to run in a folder, which has its `config.xml` when it is started.
    pub fn absent(folder: PathBuf, is_node: bool) -> Self {
        Self { folder, is_node, running: None }
    }

    /// Starts it, on its data if it ran before; it may not listen yet.
    pub fn start(&mut self) {
        assert!(self.running.is_none(), "it still runs");
        let mut command = Command::new("python3");
        command.arg("-u").arg(project().join(PROGRAM)).arg(self.folder.join("config.xml")).arg(tool(LIBRARY));
        command.arg(scratch_dir()).args(self.is_node.then_some("--node"));
        self.running = Some(Guarded::spawn(&mut command, &self.out()));
    }

    pub fn wait_until_it_listens(&mut self) {
        let out = self.out();
        let running = self.running.as_mut().expect("it was started");
        wait_until("the server listens", || {
            let said = fs::read_to_string(&out).expect("its output can be read");
            assert!(!running.has_ended(), "the server ended: {said}");
            said.contains("READY").then_some(())
        });
    }

    pub fn kill(&mut self) {
        drop(self.running.take());
    }

    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    fn out(&self) -> PathBuf {
        self.folder.join("out")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            let errors = fs::read_to_string(self.folder.join("errors")).unwrap_or_default();
            let is_bad = |line: &&str| line.contains("<Error>") || line.contains("<Fatal>");
            let lines: Vec<&str> = errors.lines().filter(is_bad).collect();
            let tail = lines.split_at(lines.len().saturating_sub(LOG_TAIL_LINES)).1;
            let has_ended = self.running.as_mut().map(Guarded::has_ended);
            let folder = self.folder.display();
            eprintln!("--- errors of {folder}, ended: {has_ended:?} ---\n{}\n--- end ---", tail.join("\n"));
        }
    }
}

/// What every server's `config.xml` has; `more` follows.
pub fn config(folder: &Path, http: u16, tcp: u16, more: &str) -> String {
    let folder = folder.display();
    format!(
        "<clickhouse>\n<logger><level>error</level><log>{folder}/log</log><errorlog>{folder}/errors</errorlog><console>0</console></logger>\n\
         <path>{folder}/data/</path>\n<http_port>{http}</http_port><tcp_port>{tcp}</tcp_port>\n\
         <listen_host>127.0.0.1</listen_host>\n<max_server_memory_usage>3000000000</max_server_memory_usage>\n\
         {more}\n</clickhouse>\n"
    )
}

/// A server that is alone.
pub struct Server {
    process: Process,
    _folder: TempDir,
    http: u16,
}

impl Server {
    /// Starts with an empty folder; returns when it listens.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// The same with more sections of its configuration.
    pub fn start_with(xml: &str) -> Self {
        Self::start_in(tempfile::tempdir().expect("a temporary folder can be made"), xml)
    }

    /// The same with users, profiles and quotas of its own, as `users.xml` has them. One of the users is `default`.
    pub fn start_with_users(xml: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let users = folder.path().join("users.xml");
        fs::write(&users, format!("<clickhouse>{xml}</clickhouse>")).expect("the configuration can be written");
        Self::start_in(folder, &format!("<users_config>{}</users_config>", users.display()))
    }

    fn start_in(folder: TempDir, xml: &str) -> Self {
        let [http, tcp, ..] = fixed_ports();
        let config = config(folder.path(), http, tcp, xml);
        fs::write(folder.path().join("config.xml"), config).expect("the configuration can be written");
        let mut process = Process::absent(folder.path().to_owned(), false);
        process.start();
        process.wait_until_it_listens();
        Self { process, _folder: folder, http }
    }

    /// `http://host:port`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    /// Where its HTTP interface listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.http))
    }

    /// Asks it questions directly.
    pub fn sql(&self, database: &'static str) -> Sql {
        Sql { url: self.url(), database }
    }

    /// `kill -9`, and a start on the same data.
    pub fn kill_and_start(&mut self) {
        self.process.kill();
        self.process.start();
        self.process.wait_until_it_listens();
    }
}
