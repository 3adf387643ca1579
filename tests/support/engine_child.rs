//! `millrace clickhouse` as the service starts it: with flags, and watching the standard input by which it knows that its parent lives.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::thread;

use millrace::config::environment;
use tempfile::TempDir;

use super::process::peak_memory_bytes;
use super::raw_http::{self, Answer};
use super::server::Guarded;
use super::{executable, project, wait_until};

/// By which the engine's process knows Millrace's own requests.
const OWN_SECRET: &str = "only the parent knows this";

/// A running engine's process with a folder of its own.
pub struct EngineChild {
    process: Guarded,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its data are in `clickhouse` in here.
    pub dir: TempDir,
}

impl EngineChild {
    /// Starts it with further flags.
    pub fn start(more: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().expect("a temporary folder can be made"), more)
    }

    /// The same in a folder that is there.
    pub fn start_in(dir: TempDir, more: &[&str]) -> Self {
        let out = dir.path().join("out");
        let mut command = Command::new(executable());
        command.args(arguments(dir.path(), more)).arg("--own-stdin").env_remove("MILLRACE_CLICKHOUSE_PASSWORD");
        let mut process = Guarded::spawn(&mut command, &out);
        process.say(OWN_SECRET);
        let address = wait_until("the engine's process says where it listens", || {
            let said = fs::read_to_string(&out).expect("its output can be read");
            assert!(process.ended().is_none(), "it ended before it listened: {said}");
            // among the lines of its log, the one that begins with the address
            let mut lines = said.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            lines.find_map(|line| line.split(';').next()?.trim().rsplit(['/', ' ']).next()?.parse().ok())
        });
        Self { process, address, dir }
    }

    /// The answer to a statement.
    pub fn ask(&self, sql: &str) -> Answer {
        self.post("/", &[], sql.as_bytes())
    }

    /// The result of a statement that must run.
    pub fn text(&self, sql: &str) -> String {
        let answer = self.ask(sql);
        assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
        answer.text()
    }

    /// Runs a statement as the exporter does.
    pub fn as_millrace(&self, sql: &str) {
        let answer = self.post("/", &[(millrace::embedded::OWN_HEADER, OWN_SECRET)], sql.as_bytes());
        assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
    }

    pub fn post(&self, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        Answer::read(&mut self.send("POST", target, headers, body)).expect("an answer")
    }

    pub fn get(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        Answer::read(&mut self.send("GET", target, headers, b"")).expect("an answer")
    }

    /// Sends a request, and leaves its answer unread.
    pub fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> TcpStream {
        raw_http::send(self.address, method, target, headers, body)
    }

    /// The highest resident memory that it ever had.
    pub fn peak_memory_bytes(&self) -> u64 {
        peak_memory_bytes(self.pid())
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Waits until a statement has this result.
    pub fn until(&self, what: &str, sql: &str, expected: &str) {
        wait_until(what, || (self.text(sql) == expected).then_some(()));
    }

    /// Ends its standard input, as it ends with the parent.
    pub fn close_input(&mut self) {
        self.process.close_input();
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) -> ExitStatus {
        wait_until("the engine's process has ended", || self.process.ended())
    }
}

impl Drop for EngineChild {
    fn drop(&mut self) {
        self.close_input();
        if !thread::panicking() {
            // it may not outlive its parent
            self.wait();
        }
    }
}

/// The engine's library.
pub fn library() -> PathBuf {
    let named = environment().get("MILLRACE_LIBCHDB").map(PathBuf::from);
    let found = millrace::embedded::library_candidates(named, None, &executable(), project());
    found.into_iter().find(|path| path.is_file()).expect("libchdb is installed: run `make libchdb`")
}

/// The command line of an engine's process with its data below a folder.
pub fn arguments(data_dir: &Path, more: &[&str]) -> Vec<String> {
    let fixed = ["clickhouse", "--parent-watch", "--listen", "127.0.0.1:0", "--data-dir"].map(str::to_owned);
    let paths =
        [data_dir.join("clickhouse").display().to_string(), "--library".into(), library().display().to_string()];
    fixed.into_iter().chain(paths).chain(more.iter().map(|more| (*more).to_owned())).collect()
}
