//! The sockets, bound before anything else is opened.

use crate::config::Config;
use crate::connections;
use crate::connections::browsers::{Browsers, Cors, Hosts};
use anyhow::Context as _;
use std::net::SocketAddr;
use tokio::net::TcpListener;

pub(super) struct Listeners {
    pub(super) grpc: TcpListener,
    pub(super) http: TcpListener,
    pub(super) health: TcpListener,
    pub(super) metrics: TcpListener,
    pub(super) browsers: GuardedListeners,
}

/// Which web pages may ask those that speak HTTP/1.1.
pub(super) struct GuardedListeners {
    pub(super) http: Browsers,
    pub(super) health: Browsers,
    pub(super) metrics: Browsers,
}

impl GuardedListeners {
    fn of(config: &Config) -> Self {
        let of = |address: SocketAddr, cors: Cors| {
            let hosts = if address.ip().is_loopback() { Hosts::Loopback } else { Hosts::Own };
            Browsers::new(hosts, config.connections.allowed_hosts.clone(), cors)
        };
        Self {
            http: of(config.receivers.http.listen, config.receivers.http.cors.clone()),
            health: of(config.admin.health.listen, Cors::default()),
            metrics: of(config.admin.metrics.listen, Cors::default()),
        }
    }
}

impl Listeners {
    pub(super) fn bind(config: &Config) -> anyhow::Result<Self> {
        warn_of_open_ports(config);
        Ok(Self {
            grpc: bind(config.receivers.otlp_grpc.listen, "receivers.otlp_grpc.listen")?,
            http: bind(config.receivers.http.listen, "receivers.http.listen")?,
            health: bind(config.admin.health.listen, "admin.health.listen")?,
            metrics: bind(config.admin.metrics.listen, "admin.metrics.listen")?,
            browsers: GuardedListeners::of(config),
        })
    }
}

/// Listens on an address; `key` is where it is configured.
pub(super) fn bind(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    connections::listen(address).with_context(|| format!("failed to listen on {address} ({key})"))
}

/// Says it loudly if others may do everything.
fn warn_of_open_ports(config: &Config) {
    if config.auth.needs_tokens() {
        return;
    }
    for (key, address) in [
        ("receivers.otlp_grpc.listen", config.receivers.otlp_grpc.listen),
        ("receivers.http.listen", config.receivers.http.listen),
        ("admin.metrics.listen", config.admin.metrics.listen),
    ] {
        if !address.ip().is_loopback() {
            tracing::warn!(%address, key, "auth: none, beyond this machine: WHOEVER REACHES THIS PORT MAY WRITE AND READ EVERYTHING");
        }
    }
}
