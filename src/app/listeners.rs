//! The sockets, bound before anything else is opened.

use crate::audit;
use crate::config::Config;
use crate::connections;
use crate::connections::browsers::{Browsers, Cors, Hosts};
use crate::connections::tls::{self, Speaks, Tls};
use anyhow::Context as _;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

pub(super) struct Listeners {
    pub(super) grpc: TcpListener,
    pub(super) http: TcpListener,
    pub(super) page: TcpListener,
    pub(super) health: TcpListener,
    pub(super) metrics: TcpListener,
    pub(super) browsers: GuardedListeners,
    pub(super) tls: TlsOfListeners,
}

/// TLS of those that have it.
#[derive(Clone)]
pub(super) struct TlsOfListeners {
    pub(super) grpc: Option<Arc<Tls>>,
    pub(super) http: Option<Arc<Tls>>,
    pub(super) page: Option<Arc<Tls>>,
    pub(super) health: Option<Arc<Tls>>,
    pub(super) metrics: Option<Arc<Tls>>,
}

/// Which web pages may ask those that speak HTTP/1.1.
pub(super) struct GuardedListeners {
    pub(super) http: Browsers,
    pub(super) page: Browsers,
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
            page: of(config.page.listen, Cors::default()),
            health: of(config.admin.health.listen, Cors::default()),
            metrics: of(config.admin.metrics.listen, Cors::default()),
        }
    }
}

impl TlsOfListeners {
    fn load(config: &Config) -> anyhow::Result<Self> {
        let [grpc, http, page, health, metrics] = Self::loaded(config);
        Ok(Self { grpc: grpc?, http: http?, page: page?, health: health?, metrics: metrics? })
    }

    /// What each listener says to who connects, or what is wrong with its files.
    fn loaded(config: &Config) -> [anyhow::Result<Option<Arc<Tls>>>; 5] {
        let of_each = [
            ("receivers.otlp_grpc", &config.receivers.otlp_grpc.tls, Speaks::Http2),
            ("receivers.http", &config.receivers.http.tls, Speaks::Both),
            ("page", &config.page.tls, Speaks::Both),
            ("admin.health", &config.admin.health.tls, Speaks::Both),
            ("admin.metrics", &config.admin.metrics.tls, Speaks::Both),
        ];
        of_each.map(|(key, config, speaks)| {
            let loaded = config.as_ref().map(|config| Tls::load(config, speaks)).transpose();
            loaded.map_err(|why| anyhow::anyhow!("{key}.tls: {why}"))
        })
    }

    /// All of them, each with the key of its listener.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, &Arc<Tls>)> {
        let all = [
            ("receivers.otlp_grpc.tls", &self.grpc),
            ("receivers.http.tls", &self.http),
            ("page.tls", &self.page),
            ("admin.health.tls", &self.health),
            ("admin.metrics.tls", &self.metrics),
        ];
        all.into_iter().filter_map(|(key, tls)| Some((key, tls.as_ref()?)))
    }
}

impl Listeners {
    pub(super) fn bind(config: &Config) -> anyhow::Result<Self> {
        warn_of_open_ports(config);
        Ok(Self {
            tls: TlsOfListeners::load(config)?,
            grpc: bind(config.receivers.otlp_grpc.listen, "receivers.otlp_grpc.listen")?,
            http: bind(config.receivers.http.listen, "receivers.http.listen")?,
            page: bind(config.page.listen, "page.listen")?,
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
    let (grpc, http, metrics) = (&config.receivers.otlp_grpc, &config.receivers.http, &config.admin.metrics);
    for (key, address, tls) in [
        ("receivers.otlp_grpc.listen", grpc.listen, &grpc.tls),
        ("receivers.http.listen", http.listen, &http.tls),
        ("admin.metrics.listen", metrics.listen, &metrics.tls),
        ("page.listen", config.page.listen, &config.page.tls),
    ] {
        if !address.ip().is_loopback() && !tls.as_ref().is_some_and(tls::Config::asks_for_certificates) {
            tracing::info!(target: audit::TARGET, %address, key, "open to everybody");
            tracing::warn!(%address, key, "auth: none, beyond this machine: WHOEVER REACHES THIS PORT MAY WRITE AND READ EVERYTHING");
        }
    }
}

/// What is wrong with the files that the configuration names, of tokens, certificates and prices, each by its key.
#[must_use]
pub fn problems_of_files(config: &Config) -> Vec<String> {
    let loaded = [
        config.prices.read().map(|_prices| ()).map_err(|error| error.to_string()),
        config.auth.load().map(|_tokens| ()),
        config.telemetry.check_files(),
    ];
    let tls = TlsOfListeners::loaded(config).into_iter().filter_map(Result::err);
    loaded.into_iter().filter_map(Result::err).chain(tls.map(|error| format!("{error:#}"))).collect()
}
