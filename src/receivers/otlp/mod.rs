//! OTLP, over gRPC and over HTTP.

pub(crate) mod answer;
pub(crate) mod destination;
pub(crate) mod error;
pub mod grpc;
pub(crate) mod http;
pub(crate) mod intake;
pub mod receiver;
