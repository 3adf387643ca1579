//! A peer: another collector that gets the same load in the same run, right after ours.
//!
//! ```text
//! --peer 'rotel start --exporter clickhouse --clickhouse-exporter-endpoint $CLICKHOUSE' --peer-port 4317
//! ```
//!
//! The command is started anew for each scenario, by a shell, with the address of the null sink or of an engine of its own in
//! `$CLICKHOUSE`. It listens for OTLP/gRPC on a port of this machine, and is ended afterwards. What it has in that engine is
//! not looked at: whether it lost anything is to be seen elsewhere.

use super::scenario::{Scenario, Target};
use super::sink::Sink;
use anyhow::{Context as _, ensure};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use support::process::signal;
use support::{Engine, wait_until};

/// How it is started, and where it listens.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) command: String,
    pub(crate) port: u16,
}

/// One that runs.
pub(crate) struct Peer {
    child: Child,
    engine: Option<Engine>,
    port: u16,
}

impl Peer {
    /// Starts it; returns when it listens.
    pub(crate) fn start(plan: &Plan, scenario: &Scenario, sink: &Sink) -> anyhow::Result<Self> {
        let address = ("127.0.0.1", plan.port);
        ensure!(TcpStream::connect(address).is_err(), "something listens on port {} already", plan.port);
        let engine = (scenario.target == Target::Engine).then(Engine::start);
        let clickhouse = engine.as_ref().map_or_else(|| sink.url(), Engine::url);
        let mut command = Command::new("sh");
        // the shell becomes the peer, so that its process is the one that is measured
        command.arg("-c").arg(format!("exec {}", plan.command)).env("CLICKHOUSE", clickhouse);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut peer = Self { child: command.spawn().context("the peer does not start")?, engine, port: plan.port };
        wait_until("the peer listens", || {
            let ended = peer.child.try_wait().expect("our own process can be asked");
            assert!(ended.is_none(), "the peer ended before it listened: {ended:?}");
            TcpStream::connect(address).ok()
        });
        Ok(peer)
    }

    /// `host:port` of OTLP/gRPC.
    pub(crate) fn grpc(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn engine_pid(&self) -> Option<u32> {
        self.engine.as_ref().map(Engine::pid)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            signal(self.pid(), "KILL");
        }
        let _its_end_says_nothing = self.child.wait();
    }
}
