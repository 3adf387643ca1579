//! The clients that nobody here wrote, run as programs, and the ledgers of what they sent.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use serde::Deserialize;
use serde_json::Value;

use super::{Service, project, tool, wait_until};

/// What a client says it sent: every span as a row of the table.
#[derive(Debug, Deserialize)]
pub struct Ledger {
    pub trace_id: String,
    pub root_span_id: String,
    pub rows: Vec<Value>,
}

/// A Python program of tests/clients, in the virtual environment that has the SDK.
pub fn python(script: &str, arguments: &[&str]) -> Command {
    client("venv", script, arguments)
}

/// The same in another virtual environment of `.tools`.
pub fn client(venv: &str, script: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(tool(&format!(".tools/{venv}/bin/python")));
    command.arg(project().join("tests/clients").join(script)).args(arguments);
    without_otel_variables(&mut command);
    command
}

/// A Node program of tests/clients.
pub fn node(script: &str, arguments: &[&str]) -> Command {
    tool("tests/clients/node_modules");
    let mut command = Command::new("node");
    command.arg(project().join("tests/clients").join(script)).args(arguments);
    without_otel_variables(&mut command);
    command
}

/// What the machine's environment says about OpenTelemetry or proxies must not steer the clients.
fn without_otel_variables(command: &mut Command) {
    for name in ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_RESOURCE_ATTRIBUTES"] {
        command.env_remove(name);
    }
    for name in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command.env("NO_PROXY", "127.0.0.1,localhost").env("PYTHONDONTWRITEBYTECODE", "1");
}

/// Runs a client to its end.
///
/// # Panics
/// When it fails, with all it said.
pub fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    output
}

/// Runs a client that prints JSON.
pub fn run_json<T: for<'de> Deserialize<'de>>(command: &mut Command) -> T {
    let output = run(command);
    serde_json::from_slice(&output.stdout).expect("the client prints JSON")
}

/// One batch of `load_python.py`, its fate known.
#[derive(Debug, Deserialize, Clone)]
pub struct Batch {
    pub acknowledged: bool,
    pub span_ids: Vec<String>,
}

/// A running `load_python.py`.
pub struct Load {
    child: Child,
    batches: Arc<Mutex<Vec<Batch>>>,
    reader: Option<JoinHandle<()>>,
}

impl Load {
    /// Starts a load over gRPC, with further options as on a command line; batches come in as they are answered.
    pub fn start(service: &Service, options: &str) -> Self {
        Self::start_at(&format!("http://{}", service.grpc()), options)
    }

    /// The same to `http://host:port`.
    pub fn start_at(endpoint: &str, options: &str) -> Self {
        let mut command = python("load_python.py", &["--protocol", "grpc", "--endpoint", endpoint]);
        command.args(options.split_whitespace());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python starts");
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let batches = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&batches);
        let reader = thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let batch: Batch = serde_json::from_str(&line).expect("the load prints JSON");
                shared.lock().expect("no reader panics").push(batch);
            }
        });
        Self { child, batches, reader: Some(reader) }
    }

    /// The batches whose fate is known by now.
    pub fn batches(&self) -> Vec<Batch> {
        self.batches.lock().expect("no reader panics").clone()
    }

    /// How many batches were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.batches.lock().expect("no reader panics").iter().filter(|batch| batch.acknowledged).count()
    }

    /// Waits until `more` further batches were acknowledged.
    pub fn wait_for_acknowledged(&self, more: usize) {
        let goal = self.acknowledged() + more;
        wait_until("more batches are acknowledged", || (self.acknowledged() >= goal).then_some(()));
    }

    /// Tells it to stop after the batches under way, and returns all batches.
    pub fn stop(mut self) -> Vec<Batch> {
        drop(self.child.stdin.take());
        self.finish()
    }

    /// Waits for the end of the load, and returns all batches.
    pub fn finish(&mut self) -> Vec<Batch> {
        let status = wait_until("the load has ended", || self.child.try_wait().expect("the load can be asked"));
        assert!(status.success(), "the load ended with {status}");
        self.reader.take().expect("finished once").join().expect("every line was JSON");
        self.batches.lock().expect("no reader panics").clone()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().expect("our own process can be killed");
            self.child.wait().expect("a killed process ends");
        }
    }
}

/// The span ids that were acknowledged.
pub fn acknowledged_spans(batches: &[Batch]) -> Vec<&str> {
    let acknowledged = batches.iter().filter(|batch| batch.acknowledged);
    acknowledged.flat_map(|batch| batch.span_ids.iter().map(String::as_str)).collect()
}

/// How `grpc_answer.py` was answered.
#[derive(Debug, Deserialize)]
pub struct GrpcAnswers {
    pub answers: Vec<GrpcAnswer>,
    pub last: BTreeMap<String, Value>,
}

/// One answer of OTLP/gRPC.
#[derive(Debug, Deserialize)]
pub struct GrpcAnswer {
    pub code: String,
    pub span_ids: Vec<String>,
}

/// Sends bare OTLP/gRPC requests.
pub fn grpc_answers(endpoint: &str, arguments: &[&str]) -> GrpcAnswers {
    run_json(python("grpc_answer.py", &[endpoint]).args(arguments))
}
