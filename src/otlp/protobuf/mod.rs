//! OTLP in protobuf: a pull parser over the request's bytes.

pub mod decode;
pub(crate) mod value;
pub(crate) mod wire;
