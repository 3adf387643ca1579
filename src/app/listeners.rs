//! The sockets, bound before anything else is opened.

use crate::config::Config;
use crate::connections;
use anyhow::Context as _;
use std::net::SocketAddr;
use tokio::net::TcpListener;

pub(super) struct Listeners {
    pub(super) grpc: TcpListener,
    pub(super) http: TcpListener,
    pub(super) health: TcpListener,
    pub(super) metrics: TcpListener,
}

impl Listeners {
    pub(super) fn bind(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            grpc: bind(config.receivers.otlp_grpc.listen, "receivers.otlp_grpc.listen")?,
            http: bind(config.receivers.http.listen, "receivers.http.listen")?,
            health: bind(config.admin.health.listen, "admin.health.listen")?,
            metrics: bind(config.admin.metrics.listen, "admin.metrics.listen")?,
        })
    }
}

/// Listens on an address; `key` is where it is configured.
pub(super) fn bind(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    if !address.ip().is_loopback() {
        tracing::warn!(%address, key, "listening beyond this machine without authentication");
    }
    connections::listen(address).with_context(|| format!("failed to listen on {address} ({key})"))
}
