//! The real binary, started and ended.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use super::process::{self, signal};
use super::sql::Sql;
use super::{executable, http, project, wait_until};

const LOG_TAIL_LINES: usize = 200;
const ENGINE_SETTINGS: &str = "engine-settings.xml";

/// What a test wants different from the defaults.
#[derive(Debug, Default, Clone)]
pub struct Options {
    /// Sections of the configuration, as YAML, besides the addresses. With `exporter: {}` all of that is as by default.
    pub yaml: String,
    /// Further keys of `receivers.http`, such as `cors: {}`.
    pub http: String,
    /// Further keys of `receivers.otlp_grpc`, such as `tls: {}`.
    pub grpc: String,
    /// Further keys of the listeners of health and metrics.
    pub admin: String,
    /// When receivers say OK: `durable`, `stored` or `memory`; without it, as by default.
    pub ack: Option<&'static str>,
    /// `MILLRACE_CLICKHOUSE_URL`; without it the service runs its own engine.
    pub clickhouse_url: Option<String>,
    /// A process group of its own, as a shell gives it: Ctrl-C then reaches the service and its engine alike.
    pub own_group: bool,
    /// Senders go on while it is started again: it comes back on the same ports.
    pub fixed_ports: bool,
    /// Where its data are; absent = a new folder.
    pub data_dir: Option<PathBuf>,
    /// Further variables of its environment.
    pub environment: Vec<(String, String)>,
    /// Descriptors that it may have; absent = as many as the test.
    pub descriptors: Option<u32>,
}

/// A process of ours: its log is shown when the test fails, and it does not outlive the test.
struct Process {
    child: Child,
    log: PathBuf,
    guard: Child,
}

/// Waits until its standard input ends, as it does with the process that holds the other end, then kills the process `$0` if
/// that still runs the program `$1`.
const GUARD: &str = r#"cat >/dev/null; [ "$(readlink /proc/$0/exe)" = "$1" ] && kill -9 "$0""#;

/// A process that kills `pid` when this one is gone without having done so, as after a `kill -9` of the tests.
fn guard_of(pid: u32) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", GUARD, &pid.to_string()]).arg(executable());
    // a group of its own: what ends the group of the tests must leave it alone
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    command.spawn().expect("sh starts")
}

impl Process {
    fn spawn(command: &mut Command, log: PathBuf) -> Self {
        let out = File::options().create(true).append(true).open(&log).expect("the log can be written");
        let err = out.try_clone().expect("the log can be written");
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().expect("the binary starts");
        let guard = guard_of(child.id());
        Self { child, log, guard }
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the process can be asked")
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn show_log(&self) {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines.split_at(lines.len().saturating_sub(LOG_TAIL_LINES)).1;
        eprintln!("--- log of process {} ---\n{}\n--- end ---", self.child.id(), tail.join("\n"));
    }

    /// Ends it without ceremony, its children too.
    fn kill(&mut self) {
        if self.ended().is_some() {
            return;
        }
        let children = process::children(self.child.id());
        self.child.kill().expect("our own process can be killed");
        self.child.wait().expect("a killed process ends");
        for child in children.into_iter().filter(|child| process::is_alive(*child)) {
            // It may end by itself between the look and the signal.
            let _gone_meanwhile = Command::new("kill").args(["-9", &child.to_string()]).stderr(Stdio::null()).status();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            self.show_log();
        }
        self.kill();
        self.guard.kill().expect("our own process can be killed");
        self.guard.wait().expect("a killed process ends");
    }
}

/// A running `millrace serve`.
pub struct Service {
    process: Process,
    folder: TempDir,
    options: Options,
    ports: [u16; 4],
    ready: Value,
}

impl Service {
    /// Starts with a new data folder and everything else as it is by default, but for what [`exporter`] says.
    pub fn start() -> Self {
        Self::start_with(Options::default())
    }

    /// Starts with a new data folder; returns once everything listens.
    pub fn start_with(options: Options) -> Self {
        Self::start_in(tempfile::tempdir().expect("a temporary folder can be made"), options)
    }

    /// The same, and returns while it still starts.
    pub fn start_without_waiting(options: Options) -> Self {
        Self::launch_in(tempfile::tempdir().expect("a temporary folder can be made"), options)
    }

    fn start_in(folder: TempDir, options: Options) -> Self {
        let mut service = Self::launch_in(folder, options);
        service.wait_until_ready();
        service
    }

    fn launch_in(folder: TempDir, options: Options) -> Self {
        let ports = if options.fixed_ports { fixed_ports() } else { [0; 4] };
        let process = launch(&folder, &options, ports);
        Self { process, folder, options, ports, ready: Value::Null }
    }

    /// Waits until everything listens, after a start without waiting.
    pub fn wait_until_ready(&mut self) {
        self.ready = wait_for_ready(&mut self.process, &self.folder);
    }

    /// Starts again in the same data folder, after [`Self::terminate`] or [`Self::kill`].
    pub fn start_again(&mut self) {
        self.start_again_without_waiting();
        self.wait_until_ready();
    }

    /// The same, and returns while it still starts. Its addresses must be fixed.
    pub fn start_again_without_waiting(&mut self) {
        assert!(self.process.ended().is_some(), "it still runs");
        self.process = launch(&self.folder, &self.options, self.ports);
    }

    /// The variables of the environment of the next start.
    pub fn set_environment(&mut self, environment: Vec<(String, String)>) {
        self.options.environment = environment;
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// Where its data are.
    pub fn data_dir(&self) -> PathBuf {
        data_dir(&self.folder, &self.options)
    }

    /// Its configuration, for further commands on the same data.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("millrace.yaml")
    }

    /// Asks it to end, as an operator would, and returns how it ended.
    pub fn terminate(&mut self) -> ExitStatus {
        signal(self.pid(), "TERM");
        wait_until("the service has ended after SIGTERM", || self.process.ended())
    }

    /// Ctrl-C at the terminal: SIGINT to the whole process group. Returns how the service ended.
    pub fn interrupt_group(&mut self) -> ExitStatus {
        self.signal_group("INT");
        wait_until("the service has ended after Ctrl-C", || self.process.ended())
    }

    /// `kill -9` of the service alone. Its engine has to notice by itself.
    pub fn kill(&mut self) {
        self.process.child.kill().expect("our own process can be killed");
        self.process.child.wait().expect("a killed process ends");
    }

    /// `kill -9` of the whole group at once: the service and its engine.
    pub fn kill_group(&mut self) {
        self.signal_group("KILL");
        self.process.child.wait().expect("a killed process ends");
    }

    /// A signal to the service and its engine.
    pub fn signal_group(&self, name: &str) {
        assert!(self.options.own_group, "the group would be the test's own");
        let group = format!("-{}", self.pid());
        let status = Command::new("kill").args([&format!("-{name}"), "--", &group]).status().expect("kill runs");
        assert!(status.success(), "no process group {group}");
    }

    /// All that it has written to its terminal so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.process.log).expect("the log can be read")
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The engine's process, when it has one now.
    pub fn engine_pid(&self) -> Option<u32> {
        process::children(self.pid()).into_iter().next()
    }

    /// `host:port` of OTLP/gRPC.
    pub fn grpc(&self) -> String {
        self.address("otlp_grpc")
    }

    /// `http://host:port/path` on the HTTP receiver.
    pub fn http(&self, path: &str) -> String {
        format!("http://{}{path}", self.address("http"))
    }

    /// Where chat-completions are posted.
    pub fn chat(&self, workspace: &str) -> String {
        self.http(&format!("/apis/intake/v2/workspaces/{workspace}/ingest/chat-completions"))
    }

    /// Every route, by its listener: method, path, what it needs.
    pub fn routes(&self) -> &Value {
        self.ready.get("routes").expect("the ready file lists the routes")
    }

    /// Has it read again what can change while it runs.
    pub fn hang_up(&self) {
        signal(self.pid(), "HUP");
    }

    /// The folder of its configuration.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// A URL of the page's listener.
    pub fn page(&self, path: &str) -> String {
        format!("http://{}{path}", self.address("page"))
    }

    /// The health page.
    pub fn health(&self) -> String {
        format!("http://{}/", self.address("health"))
    }

    /// The metrics page.
    pub fn metrics(&self) -> String {
        http::get(&self.metrics_url()).text()
    }

    /// Where it is.
    pub fn metrics_url(&self) -> String {
        format!("http://{}/metrics", self.address("metrics"))
    }

    /// One sample's value, summed over its label sets; `None` when the metric is not there.
    pub fn metric(&self, name: &str) -> Option<f64> {
        sample(&self.metrics(), name)
    }

    /// The ClickHouse that it writes to.
    pub fn sql(&self) -> Sql {
        let url = self.options.clickhouse_url.clone();
        Sql { url: url.unwrap_or_else(|| self.text("clickhouse")), database: "otel" }
    }

    fn address(&self, name: &str) -> String {
        self.text(name)
    }

    fn text(&self, name: &str) -> String {
        let value = self.ready.get(name).and_then(Value::as_str);
        value.unwrap_or_else(|| panic!("{name} is not in the ready file: {}", self.ready)).to_owned()
    }
}

/// One sample's value on a page of metrics, summed over its label sets; `None` when the metric is not there.
pub fn sample(page: &str, name: &str) -> Option<f64> {
    let mut samples = page.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        (rest.starts_with(['{', ' '])).then(|| rest.rsplit_once(' '))?
    });
    let first = samples.next()?;
    let number = |(_, value): (&str, &str)| value.parse::<f64>().expect("a sample is a number");
    Some(number(first) + samples.map(number).sum::<f64>())
}

fn data_dir(folder: &TempDir, options: &Options) -> PathBuf {
    options.data_dir.clone().unwrap_or_else(|| folder.path().join("data"))
}

/// Tests often wait for a row before they send the next, so rows are gathered for less time than by default.
fn exporter(options: &Options) -> &'static str {
    if options.yaml.contains("exporter:") { "" } else { "exporter: { flush_after: 200ms }" }
}

fn launch(folder: &TempDir, options: &Options, [grpc, http, health, metrics]: [u16; 4]) -> Process {
    let config = folder.path().join("millrace.yaml");
    let ready = folder.path().join("ready.json");
    let ack = options.ack.map_or(String::new(), |ack| format!(", ack: {ack}"));
    let more = |keys: &str| if keys.is_empty() { String::new() } else { format!(", {keys}") };
    let (of_http, of_grpc, of_admin) = (more(&options.http), more(&options.grpc), more(&options.admin));
    let yaml = format!(
        "data_dir: {}\n\
         receivers:\n  otlp_grpc: {{ listen: 127.0.0.1:{grpc}{ack}{of_grpc} }}\n  http: {{ listen: 127.0.0.1:{http}{ack}{of_http} }}\n\
         admin:\n  health: {{ listen: 127.0.0.1:{health}{of_admin} }}\n  metrics: {{ listen: 127.0.0.1:{metrics}{of_admin} }}\n\
         {}embedded: {{ listen: 127.0.0.1:0 }}\n{}\n{}\n",
        data_dir(folder, options).display(),
        if options.yaml.contains("page:") { "" } else { "page: { listen: 127.0.0.1:0 }\n" },
        exporter(options),
        options.yaml
    );
    fs::write(&config, yaml).expect("the configuration can be written");
    if ready.exists() {
        fs::remove_file(&ready).expect("the old ready file can be removed");
    }
    let mut command = options.descriptors.map_or_else(binary, binary_with_descriptors);
    command.arg("serve").arg("--config").arg(&config).arg("--ready-file").arg(&ready);
    command.envs(options.environment.iter().map(|(name, value)| (name, value)));
    if let Some(url) = &options.clickhouse_url {
        command.env("MILLRACE_CLICKHOUSE_URL", url);
    }
    if options.own_group {
        command.process_group(0);
    }
    Process::spawn(&mut command, folder.path().join("log"))
}

fn wait_for_ready(process: &mut Process, folder: &TempDir) -> Value {
    let ready = folder.path().join("ready.json");
    wait_until("the service is ready", || {
        if let Some(status) = process.ended() {
            panic!("the service ended before it was ready: {status}");
        }
        let text = fs::read_to_string(&ready).ok()?;
        Some(serde_json::from_str(&text).expect("the ready file is whole: it is written atomically"))
    })
}

/// Four ports that were free a moment ago, below those that the kernel gives to outgoing connections: a sender that
/// tries again and again must not take the port of the service that is being started again.
pub fn fixed_ports() -> [u16; 4] {
    static FOURS_TAKEN: AtomicU32 = AtomicU32::new(0);
    let mut candidates = (0..5_000).map(|_| {
        let four = (std::process::id() + FOURS_TAKEN.fetch_add(1, Ordering::SeqCst)) % 5_000;
        let first = 10_000 + 4 * u16::try_from(four).expect("below 5,000");
        [first, first + 1, first + 2, first + 3]
    });
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    candidates.find(|ports| ports.iter().all(is_free)).expect("four ports are free")
}

/// The binary, in an environment that says nothing about ClickHouse. It runs in the project's folder, where it finds
/// the engine's library.
pub fn binary() -> Command {
    let mut command = Command::new(executable());
    command.current_dir(project()).env_remove("MILLRACE_CLICKHOUSE_URL");
    command
}

/// The same with so many descriptors and no more.
fn binary_with_descriptors(descriptors: u32) -> Command {
    let mut command = Command::new("sh");
    command.current_dir(project()).env_remove("MILLRACE_CLICKHOUSE_URL");
    command.args(["-c", &format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"")]).arg(executable());
    command
}

/// A running `millrace clickhouse`: the engine alone, as a ClickHouse that somebody else runs.
pub struct Engine {
    process: Process,
    folder: TempDir,
    pub port: u16,
}

impl Engine {
    /// Starts on a free port with an empty data folder.
    pub fn start() -> Self {
        Self::start_with_settings("")
    }

    /// The same with server settings of its own: elements as ClickHouse has them in its configuration file.
    pub fn start_with_settings(xml: &str) -> Self {
        Self::start_with(xml, "")
    }

    /// The same with so much memory.
    pub fn start_with_memory(bytes: usize) -> Self {
        Self::start_with("", &format!(", memory_max_bytes: {bytes}"))
    }

    fn start_with(xml: &str, embedded: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let port = free_port();
        let config = folder.path().join("millrace.yaml");
        let data = folder.path().join("data");
        let yaml = format!("data_dir: {}\nembedded: {{ listen: 127.0.0.1:{port}{embedded} }}\n", data.display());
        fs::write(&config, yaml).expect("the configuration can be written");
        if !xml.is_empty() {
            fs::write(folder.path().join(ENGINE_SETTINGS), xml).expect("settings can be written");
        }
        let mut engine = Self { process: launch_engine(&folder), folder, port };
        engine.wait_for_answer();
        engine
    }

    /// Ends it and starts it again on the same data.
    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// Ends it.
    pub fn stop(&mut self) {
        signal(self.process.pid(), "TERM");
        wait_until("the engine has ended after SIGTERM", || self.process.ended());
    }

    /// Starts it again on the same data, after [`Self::stop`].
    pub fn start_again(&mut self) {
        self.process = launch_engine(&self.folder);
        self.wait_for_answer();
    }

    fn wait_for_answer(&mut self) {
        let ping = format!("{}/ping", self.url());
        wait_until("the engine answers", || {
            if let Some(status) = self.process.ended() {
                panic!("the engine ended before it was ready: {status}");
            }
            http::try_send("GET", &ping, &[], &[]).ok().filter(|answer| answer.status == 200)
        });
    }

    /// Ends it and starts a service that runs its own engine on the same data.
    pub fn into_service(mut self) -> Service {
        signal(self.process.child.id(), "TERM");
        wait_until("the engine has ended after SIGTERM", || self.process.ended());
        Service::start_in(self.folder, Options::default())
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Where ClickHouse keeps its files.
    pub fn clickhouse_dir(&self) -> PathBuf {
        self.folder.path().join("data/clickhouse")
    }

    /// A configuration that names it as somebody else's ClickHouse, with more sections.
    pub fn config_of_a_writer(&self, yaml: &str) -> PathBuf {
        let config = self.folder.path().join("writer.yaml");
        fs::write(&config, yaml.replace("URL", &self.url())).expect("the configuration can be written");
        config
    }

    /// `http://host:port`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Asks it questions directly.
    pub fn sql(&self, database: &'static str) -> Sql {
        Sql { url: self.url(), database }
    }
}

fn launch_engine(folder: &TempDir) -> Process {
    let mut command = binary();
    command.arg("clickhouse").arg("--config").arg(folder.path().join("millrace.yaml"));
    let settings = folder.path().join(ENGINE_SETTINGS);
    if settings.exists() {
        command.arg("--engine-settings").arg(settings);
    }
    Process::spawn(&mut command, folder.path().join("log"))
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback can be bound");
    listener.local_addr().expect("a bound socket has an address").port()
}
