//! Where a receiver listens, and what its answers wait for.

use crate::connections::browsers::Cors;
use crate::connections::tls;
use crate::pipeline::Ack;
use crate::sizes;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// OTLP over gRPC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GrpcConfig {
    /// Address and port.
    pub listen: SocketAddr,
    /// What an answer waits for: `durable`, `stored` or `memory`.
    pub ack: Ack,
    /// Certificates; absent: without TLS.
    pub tls: Option<tls::Config>,
}

impl Default for GrpcConfig {
    fn default() -> Self {
        Self { listen: loopback(4317), ack: Ack::default(), tls: None }
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// OTLP over HTTP and captured calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HttpConfig {
    /// Address and port.
    pub listen: SocketAddr,
    /// What an answer waits for: `durable`, `stored` or `memory`.
    pub ack: Ack,
    /// Certificates; absent: without TLS.
    pub tls: Option<tls::Config>,
    /// Which web pages may send.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub cors: Cors,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self { listen: loopback(4318), ack: Ack::default(), tls: None, cors: Cors::default() }
    }
}
