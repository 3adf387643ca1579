//! A cluster: ZooKeeper and a node for each replica of each shard, each a process of its own on loopback.
//!
//! ```text
//! 127.0.0.1:http, :tcp     each node's interfaces
//! 127.0.1.N:http           node N to other replicas
//! ```
//!
//! All of it ends with the test.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use millrace::config::environment;
use tempfile::TempDir;

use support::server::{self, Guarded, Process};
use support::service::{self, fixed_ports};
use support::sql::Sql;
use support::wait_until;

const ZOOKEEPER: &str = "/usr/share/java/zookeeper.jar";
/// Set where a missing ZooKeeper is a failure.
const REQUIRED: &str = "MILLRACE_TEST_CLUSTER";
/// How long Keeper takes to notice that a node is gone.
const SESSION_MILLIS: u32 = 3_000;

/// Whether a cluster can be started here. Where it must, this ends the test if it cannot.
pub(crate) fn is_possible() -> bool {
    if Path::new(ZOOKEEPER).exists() {
        return true;
    }
    let is_required = environment().get(REQUIRED).is_some_and(|value| value == "required");
    assert!(!is_required, "{ZOOKEEPER} is missing, and {REQUIRED} says that it must be there: run `make zookeeper`");
    println!("SKIPPED: no cluster was started, because {ZOOKEEPER} is missing; `make test-cluster` installs it");
    false
}

/// Shards and replicas of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Topology {
    pub(crate) shards: usize,
    pub(crate) replicas: usize,
}

impl Topology {
    fn nodes(self) -> impl Iterator<Item = (usize, usize)> {
        (1..=self.shards).flat_map(move |shard| (1..=self.replicas).map(move |replica| (shard, replica)))
    }
}

struct Node {
    process: Process,
    http: u16,
    tcp: u16,
    shard: usize,
    replica: usize,
}

/// A running cluster. Nodes are counted from 0, the replicas of a shard after each other.
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    keeper: Keeper,
    folder: TempDir,
    /// What `users.xml` has; empty for one user with all rights.
    users: String,
}

impl Cluster {
    /// Starts all nodes.
    pub(crate) fn start(shards: usize, replicas: usize) -> Self {
        Self::start_without(shards, replicas, &[])
    }

    /// The same, but for some nodes, which everybody knows and which were never there.
    pub(crate) fn start_without(shards: usize, replicas: usize, absent: &[usize]) -> Self {
        Self::start_as(Topology { shards, replicas }, absent, String::new())
    }

    /// All nodes, with users of its own as `users.xml` has them. One of them is `default`, as whom nodes ask each other.
    pub(crate) fn start_with_users(shards: usize, replicas: usize, users: String) -> Self {
        Self::start_as(Topology { shards, replicas }, &[], users)
    }

    fn start_as(topology: Topology, absent: &[usize], users: String) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let keeper = Keeper::start(&folder.path().join("keeper"));
        let mut cluster = Self { nodes: Vec::new(), keeper, folder, users };
        let ports: Vec<[u16; 4]> = topology.nodes().map(|_| fixed_ports()).collect();
        for ((shard, replica), [http, tcp, ..]) in topology.nodes().zip(&ports) {
            let folder = cluster.folder_of(cluster.nodes.len());
            fs::create_dir_all(&folder).expect("a folder can be made");
            let process = Process::absent(folder, true);
            cluster.nodes.push(Node { process, http: *http, tcp: *tcp, shard, replica });
        }
        cluster.write_configs();
        let present: Vec<usize> = (0..cluster.nodes.len()).filter(|node| !absent.contains(node)).collect();
        present.iter().for_each(|node| cluster.nodes[*node].process.start());
        present.iter().for_each(|node| cluster.nodes[*node].process.wait_until_it_listens());
        cluster
    }

    fn folder_of(&self, node: usize) -> PathBuf {
        self.folder.path().join(format!("node{node}"))
    }

    fn write_configs(&self) {
        let shards = self.nodes.chunk_by(|a, b| a.shard == b.shard).map(|replicas| {
            let replicas = replicas
                .iter()
                .map(|node| format!("<replica><host>127.0.0.1</host><port>{}</port></replica>", node.tcp));
            format!(
                "<shard><internal_replication>true</internal_replication>{}</shard>\n",
                replicas.collect::<String>()
            )
        });
        let shards: String = shards.collect();
        for (number, node) in self.nodes.iter().enumerate() {
            let folder = self.folder_of(number);
            let users = folder.join("users.xml");
            fs::write(&users, format!("<clickhouse>{}</clickhouse>", self.users)).expect("users can be written");
            let users = if self.users.is_empty() {
                String::new()
            } else {
                format!("<users_config>{}</users_config>\n", users.display())
            };
            let more = format!(
                "{users}<listen_host>127.0.1.{}</listen_host>\n\
                 <zookeeper><node><host>127.0.0.1</host><port>{}</port></node>\
                 <session_timeout_ms>{SESSION_MILLIS}</session_timeout_ms></zookeeper>\n\
                 <macros><cluster>one</cluster><shard>{}</shard><replica>{}</replica></macros>\n\
                 <remote_servers><one>\n{shards}</one></remote_servers>\n\
                 <merge_tree><merge_with_ttl_timeout>0</merge_with_ttl_timeout></merge_tree>\n\
                 <background_distributed_schedule_pool_size>4</background_distributed_schedule_pool_size>",
                number + 1,
                self.keeper.port,
                node.shard,
                node.replica
            );
            let config = server::config(&folder, node.http, node.tcp, &more);
            fs::write(folder.join("config.xml"), config).expect("the configuration can be written");
        }
    }

    /// Replicas of each shard, which have all as many.
    pub(crate) fn replicas(&self) -> usize {
        self.nodes.iter().filter(|node| node.shard == 1).count()
    }

    /// Numbers of all nodes.
    pub(crate) fn all(&self) -> std::ops::Range<usize> {
        0..self.nodes.len()
    }

    /// `http://host:port` of a node.
    pub(crate) fn url(&self, node: usize) -> String {
        format!("http://127.0.0.1:{}", self.nodes[node].http)
    }

    /// As other nodes know it, and as messages name it.
    pub(crate) fn address(&self, node: usize) -> String {
        format!("127.0.0.1:{}", self.nodes[node].tcp)
    }

    /// Asks a node.
    pub(crate) fn sql(&self, node: usize) -> Sql {
        Sql { url: self.url(node), database: "otel" }
    }

    /// A replica that is added: every node is started again with a configuration that has it.
    pub(crate) fn add_node(&mut self, shard: usize, replica: usize) {
        let folder = self.folder_of(self.nodes.len());
        fs::create_dir_all(&folder).expect("a folder can be made");
        let [http, tcp, ..] = fixed_ports();
        self.nodes.push(Node { process: Process::absent(folder, true), http, tcp, shard, replica });
        self.write_configs();
        self.nodes.iter_mut().for_each(|node| node.process.kill());
        self.nodes.iter_mut().for_each(|node| node.process.start());
        self.nodes.iter_mut().for_each(|node| node.process.wait_until_it_listens());
    }

    /// `kill -9` of a node.
    pub(crate) fn kill(&mut self, node: usize) {
        self.nodes[node].process.kill();
    }

    /// Starts a node again, or for the first time; returns when it listens.
    pub(crate) fn start_node(&mut self, node: usize) {
        self.nodes[node].process.start();
        self.nodes[node].process.wait_until_it_listens();
    }

    /// ZooKeeper.
    pub(crate) fn keeper(&mut self) -> &mut Keeper {
        &mut self.keeper
    }

    /// A configuration file of a Millrace that writes through a node, with more sections.
    pub(crate) fn config(&self, node: usize, yaml: &str) -> PathBuf {
        let file = self.folder.path().join(format!("millrace{node}.yaml"));
        fs::write(&file, self.yaml(node, yaml)).expect("the configuration can be written");
        file
    }

    /// Its text.
    pub(crate) fn yaml(&self, node: usize, yaml: &str) -> String {
        let replica_path = if yaml.contains("REPLICA_PATH") {
            ", replica_path: '/clickhouse/tables/{shard}/{database}/{table}'"
        } else {
            ""
        };
        let yaml = yaml.replace("REPLICA_PATH", "");
        format!("clickhouse: {{ url: '{}', cluster: '{{cluster}}'{replica_path} }}\n{yaml}\n", self.url(node))
    }

    /// `millrace schema ACTION` through a node.
    pub(crate) fn schema(&self, action: &str, node: usize, yaml: &str) -> Output {
        let config = self.config(node, yaml);
        service::binary().args(["schema", action, "--config"]).arg(config).output().expect("the binary runs")
    }

    /// What each node says to a question, which must not fail.
    pub(crate) fn each(&self, query: &str) -> Vec<Vec<serde_json::Value>> {
        let running = self.all().filter(|node| self.nodes[*node].process.is_running());
        running.map(|node| self.sql(node).rows(query, &[])).collect()
    }
}

/// ZooKeeper, alone.
pub(crate) struct Keeper {
    folder: PathBuf,
    port: u16,
    running: Option<Guarded>,
}

impl Keeper {
    fn start(folder: &Path) -> Self {
        let [port, ..] = fixed_ports();
        fs::create_dir_all(folder.join("data")).expect("a folder can be made");
        let config = format!(
            "tickTime=500\ndataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n\
             maxClientCnxns=0\nforceSync=no\n4lw.commands.whitelist=srvr\n",
            folder.join("data").display()
        );
        fs::write(folder.join("zoo.cfg"), config).expect("the configuration can be written");
        let mut keeper = Self { folder: folder.to_owned(), port, running: None };
        keeper.start_again();
        keeper
    }

    /// After [`Self::kill`].
    pub(crate) fn start_again(&mut self) {
        assert!(self.running.is_none(), "it still runs");
        // java does not end with its standard input; the shell does, and takes it along
        let script = "java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djute.maxbuffer=8388608 -cp \"$1\" \
                      org.apache.zookeeper.server.quorum.QuorumPeerMain \"$2\" <&- & cat; kill -9 $!; wait";
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh", ZOOKEEPER]).arg(self.folder.join("zoo.cfg"));
        self.running = Some(Guarded::spawn(&mut command, &self.folder.join("out")));
        wait_until("ZooKeeper serves", || self.is_serving().then_some(()));
    }

    /// Source: ZooKeeper Administrator's Guide, "The Four Letter Words".
    fn is_serving(&self) -> bool {
        let mut said = String::new();
        let asked = TcpStream::connect(("127.0.0.1", self.port)).and_then(|mut socket| {
            // one that it accepted before it was ready is never answered
            socket.set_read_timeout(Some(Duration::from_secs(1)))?;
            socket.write_all(b"srvr")?;
            socket.read_to_string(&mut said)
        });
        asked.is_ok() && said.contains("Mode: standalone")
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.close();
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.kill();
    }
}
