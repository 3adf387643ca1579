//! Receivers of OTLP: gRPC and HTTP.

pub(crate) mod answer;
pub mod grpc;
pub(crate) mod http;
