//! OTLP, over gRPC and over HTTP.

pub(crate) mod answer;
pub mod grpc;
pub(crate) mod http;
pub(crate) mod intake;
pub mod receiver;
