//! Where a receiver listens, and what its answers wait for.

use crate::connections::browsers::Cors;
use crate::pipeline::Ack;
use crate::sizes;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// The configuration of a receiver that by default listens on `PORT` of the loopback address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerConfig<const PORT: u16> {
    /// Address and port.
    #[serde(default = "loopback::<PORT>")]
    pub listen: SocketAddr,
    /// What an answer waits for: `durable`, `stored` or `memory`.
    #[serde(default)]
    pub ack: Ack,
}

impl<const PORT: u16> Default for ListenerConfig<PORT> {
    fn default() -> Self {
        Self { listen: loopback::<PORT>(), ack: Ack::default() }
    }
}

fn loopback<const PORT: u16>() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], PORT))
}

/// OTLP over gRPC.
pub type GrpcConfig = ListenerConfig<4317>;

/// OTLP over HTTP and captured calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HttpConfig {
    /// Address and port.
    pub listen: SocketAddr,
    /// What an answer waits for: `durable`, `stored` or `memory`.
    pub ack: Ack,
    /// Which web pages may send.
    #[serde(deserialize_with = "sizes::empty_is_default")]
    pub cors: Cors,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self { listen: loopback::<4318>(), ack: Ack::default(), cors: Cors::default() }
    }
}
